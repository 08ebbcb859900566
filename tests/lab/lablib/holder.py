# SPDX-License-Identifier: GPL-2.0-or-later
"""holder.py - the lab's one long-lived process.

First process of its own pid namespace, in its own network namespace (and user
namespace, for an ordinary user): the emulators are its children, and the end
of this process ends all of them.  It collects the consoles that leave the
hosts, runs the power switch, and takes requests on the socket LAB_DIR/ctl.

A request is one JSON line {"verb": ..., ...}, the answer another one
{"ok": true, ...} or {"error": "..."}.  "connect" and "namespaces" send file
descriptors with their answer; the connection of "connect" is closed when the
host's emulator ends.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import threading
import time

from . import conf, net, san
from .conf import LabError

PIPE_SIZE = 1 << 20		# consoles wait here while we are busy


class Host:
    """One emulated machine.  @cond guards all of it."""

    def __init__(self, name, command, slow_filter):
        self.name = name
        self.command = command
        self.cond = threading.Condition()
        self.pid = 0			# emulator; 0: power is off
        self.frozen = False
        self.boots = 0
        self.since = time.time()	# of the present state
        self.watchers = []		# sockets closed when the emulator ends
        self.collector = None
        shutil.rmtree(self.path(""), ignore_errors=True)	# older logs
        os.makedirs(self.path(""))
        self.san = san.Server(name, slow_filter)

    def path(self, name):
        return os.path.join(conf.lab_dir(), self.name, name)

    def state(self):
        if not self.pid:
            return "off"
        return "frozen" if self.frozen else "on"

    def power_on(self):
        with self.cond:
            if self.pid:
                return
            if self.collector:
                self.collector.join()
            self.san.want(powered=True)
            rd, wr = os.pipe()
            fcntl.fcntl(wr, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            log = self.path("qemu.log")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            with open(log, "a", encoding="utf-8") as f:
                f.write(f"{self.command}\n")
            self.pid = os.posix_spawnp(
                self.command[0], self.command, os.environ, file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, wr, net.CONSOLE_FD)])
            os.close(wr)
            self.frozen = False
            self.boots += 1
            self.since = time.time()
            self.collector = threading.Thread(target=self.collect, args=(rd,))
            self.collector.start()

    def power_off(self):
        """Return CLOCK_MONOTONIC (ns) right before the kill, 0 if off."""
        with self.cond:
            when, boot = 0, self.boots
            if self.pid:
                when = time.monotonic_ns()
                os.kill(self.pid, signal.SIGKILL)
            while self.pid and self.boots == boot:
                self.cond.wait()
            collector = self.collector
        if collector:
            # What left the host is in the files now, and storage has no
            # request of it any more.
            collector.join()
        return when

    def stop(self, freeze):
        with self.cond:
            if not self.pid:
                raise LabError(f"host {self.name} is off")
            os.kill(self.pid, signal.SIGSTOP if freeze else signal.SIGCONT)
            if self.frozen != freeze:
                self.frozen = freeze
                self.since = time.time()

    def ended(self):
        """The emulator is gone and reaped.  @cond is held."""
        self.pid = 0
        self.frozen = False
        self.since = time.time()
        for sock in self.watchers:
            sock.shutdown(socket.SHUT_RDWR)
        self.cond.notify_all()

    def watch(self, sock):
        """Return when the peer closed @sock, or when the emulator ended."""
        with self.cond:
            if not self.pid:
                return
            self.watchers.append(sock)
        try:
            sock.recv(1)
        except OSError:
            pass
        with self.cond:
            self.watchers.remove(sock)

    def collect(self, rd):
        """Store the guests' console lines as they leave the host."""
        files, rest = {}, b""
        while data := os.read(rd, 65536):
            now = time.monotonic_ns()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                guest, tab, text = line.partition(b"\t")
                if not tab:
                    guest, text = b"unknown", line
                if guest not in files:
                    files[guest] = os.open(
                        conf.guest_log(self.name, guest.decode("latin-1")),
                        os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.write(files[guest],
                         b"%d %s\n" % (now, text.rstrip(b"\r")))
        for fd in [rd, *files.values()]:
            os.close(fd)
        self.san.want(powered=False)


def reap(hosts):
    """Wait for children for ever; orphans of the namespace come here too."""
    owners = [*hosts.values(), *(h.san for h in hosts.values())]
    while True:
        try:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            time.sleep(0.05)
            continue
        owner = next((o for o in owners if o.pid == info.si_pid), None)
        if owner:
            # Reaped under the lock: nobody may signal a pid that is free.
            with owner.cond:
                os.waitpid(info.si_pid, 0)
                owner.ended()
        else:
            os.waitpid(info.si_pid, 0)


class Holder:
    """Answers requests; one thread each."""

    def __init__(self, setup):
        self.setup = setup		# of `up`: flavour, commands
        self.nets = net.create()
        self.hosts = {name: Host(name, setup["commands"][name],
                                 setup["slow_filter"])
                      for name in conf.HOSTS}
        self.since = time.time()

    def status(self):
        return {"running": True, "xen": self.setup["xen"],
                "stock": self.setup["stock"], "since": self.since,
                "client": conf.CLIENT_ADDR,
                "power_switch": f"{conf.MGMT_ADDR}:{conf.SWITCH_PORT}",
                "hosts": {h.name: {
                    "state": h.state(), "since": h.since, "boots": h.boots,
                    "addresses": {n: conf.host_addr(h.name, n)
                                  for n in conf.NETS},
                    "cut": [n for n in conf.NETS
                            if not net.is_up(net.tap(h.name, n))],
                    "san": h.san.status(),
                } for h in self.hosts.values()}}

    def handle(self, sock):
        reader = sock.makefile("rb")
        keep, fds = False, []
        try:
            request = json.loads(reader.readline(4096))
            host = self.hosts.get(request.get("host"))
            answer = {"ok": True}
            verb = request["verb"]
            if verb == "status":
                answer.update(self.status())
            elif verb == "setup":
                answer["setup"] = self.setup
            elif verb == "power-on":
                host.power_on()
            elif verb == "power-off":
                answer["ns"] = host.power_off()
            elif verb in ("freeze", "thaw"):
                host.stop(verb == "freeze")
            elif verb in ("cut", "heal"):
                net.set_up(net.tap(host.name, request["link"]),
                           verb == "heal")
            elif verb in ("fence", "unfence"):
                host.san.want(fenced=verb == "fence")
            elif verb == "san-delay":
                host.san.delay(request["seed"], request["delays"])
            elif verb == "connect":
                fds = [self.connect(host)]
                keep = True
            elif verb == "namespaces":
                fds = self.nets.open_namespaces()
            else:
                raise LabError(f"holder: no verb {verb}")
        except LabError as e:
            answer, fds, keep = {"error": str(e)}, [], False
        except (OSError, ValueError, KeyError, AttributeError) as e:
            answer, fds, keep = {"error": f"holder: {e!r}"}, [], False
        try:
            line = json.dumps(answer).encode() + b"\n"
            socket.send_fds(sock, [line], fds)
        except OSError:
            keep = False
        for fd in fds:
            os.close(fd)
        if keep:
            host.watch(sock)
        reader.close()
        sock.close()

    def connect(self, host):
        """A TCP connection to the host's agent, as a file descriptor."""
        state = host.state()
        if state != "on":
            raise LabError(f"host {host.name} is {state}")
        addr = (conf.host_addr(host.name, "mgmt"), conf.AGENT_PORT)
        try:
            with socket.create_connection(addr,
                                          conf.CONNECT_TIMEOUT_S) as sock:
                sock.settimeout(None)
                return sock.detach()
        except OSError as e:
            cut = "" if net.is_up(net.tap(host.name, "mgmt")) else \
                "; its link mgmt is cut"
            raise LabError(f"host {host.name}: no answer from its agent "
                           f"{addr[0]}:{addr[1]} ({e}){cut}") from e

    def switch(self, sock):
        """The power switch and the storage's fence: one line a request."""
        sock.settimeout(60)
        try:
            for line in sock.makefile("rb"):
                words = line.decode("ascii", "replace").split()
                host = self.hosts.get(words[1]) if len(words) == 2 else None
                verb = words[0] if host else ""
                if verb == "off":
                    host.power_off()
                    answer = "off"
                elif verb in ("fence", "unfence"):
                    host.san.want(fenced=verb == "fence")
                    answer = f"{verb}d"
                elif verb == "status":
                    answer = host.state()
                else:
                    answer = "error: off HOST | status HOST | fence HOST | " \
                        "unfence HOST; HOST one of " + " ".join(self.hosts)
                sock.sendall(answer.encode() + b"\n")
        except (OSError, LabError) as e:
            print(f"power switch: {e}", flush=True)
        finally:
            sock.close()

    def run(self):
        threading.Thread(target=reap, args=(self.hosts,)).start()
        switch = socket.create_server((conf.MGMT_ADDR, conf.SWITCH_PORT))
        threading.Thread(target=accept, args=(switch, self.switch)).start()
        with socket.socket(socket.AF_UNIX) as ctl:
            net.bind_in(conf.lab_dir(), "ctl", ctl)
            ctl.listen(64)
            accept(ctl, self.handle)


def accept(listener, serve):
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def main():
    with open(os.path.join(conf.lab_dir(), "setup.json"),
              encoding="utf-8") as f:
        setup = json.load(f)
    os.chdir(conf.lab_dir())
    Holder(setup).run()
