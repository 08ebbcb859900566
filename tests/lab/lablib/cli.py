# SPDX-License-Identifier: GPL-2.0-or-later
"""cli.py - the verbs of the program `lab`."""

import json
import os
import shlex
import signal
import sys
import time

from . import client, conf, image, life, net, san
from .conf import LabError

EXIT_USAGE = 2
EXIT_LAB = 255		# exec, client: the lab failed, not the command
LATER_VERBS = ("shape",)

USAGE = """\
usage: lab VERB ...
  up [--stock]              boot hosts a and b; --stock: Debian's own Xen
                             and backends
  down                      end all of it
  status [--json]           what runs, since when, addresses
  exec HOST -- CMD...       run CMD in HOST's dom0
  put HOST SRC DST          copy a file to HOST
  get HOST SRC DST          copy a file from HOST
  client -- CMD...          run CMD in the outside world's network
  power-off HOST            cut the power; prints CLOCK_MONOTONIC (ns) of it
  power-on HOST             boot again; returns when `xl list` answers
  freeze HOST, thaw HOST    the whole host stands still, goes on
  cut LINK HOST, heal LINK HOST      LINK: lan, repl, san, mgmt
  fence HOST, unfence HOST  storage drops the host and refuses it, or not
  disk NAME SIZE [--from FILE | --add FILE...]
                            make or replace a disk of the storage
  disk-path NAME            path of a disk's file
  san-delay HOST [read=D] [write=D] [flush=D] [seed=N]
                            the storage's delay for HOST: MS, MIN-MAX or hold
  guest-image OUT [--add FILE]... [--init SCRIPT]    make a guest's initramfs
  guest-kernel              path of the guests' kernel
  log HOST [GUEST]          path of the log of a host's, a guest's console
"""


class UsageError(Exception):
    pass


def want(args, count, names):
    if len(args) != count:
        raise UsageError(f"expected: {names or 'no arguments'}")
    return args


def command_of(args, names):
    """Split `HOST -- CMD...` (or `-- CMD...`)."""
    fixed = len(names.split())
    if args[fixed:fixed + 1] != ["--"] or len(args) < fixed + 2:
        raise UsageError(f"expected: {names + ' ' if names else ''}-- CMD...")
    return args[:fixed], args[fixed + 1:]


def do_up(args):
    if args not in ([], ["--stock"]):
        raise UsageError("expected: [--stock]")
    life.up(bool(args))


def do_down(args):
    want(args, 0, "")
    life.down()


def do_status(args):
    if args not in ([], ["--json"]):
        raise UsageError("expected: [--json]")
    try:
        status, _ = client.request("status")
    except client.NotRunning:
        status = {"running": False}
    status.pop("ok", None)
    status["lab_dir"] = conf.lab_dir()
    if args:
        print(json.dumps(status, indent=2))
        return 0
    if not status["running"]:
        print(f"lab in {conf.lab_dir()}: not running")
        return 1
    print(f"lab in {conf.lab_dir()}: running {status['xen']} since "
          f"{clock(status['since'])}")
    for name, host in status["hosts"].items():
        print(f"host {name}: {host['state']} since {clock(host['since'])}, "
              f"boot {host['boots']}; " +
              ", ".join(f"{n} {a}" + (" (cut)" if n in host["cut"] else "")
                        for n, a in host["addresses"].items()) +
              f"; storage {host['san']['address']}" +
              (" (fenced)" if host["san"]["fenced"] else
               "" if host["san"]["serving"] else " (off)"))
    print(f"client: {status['client']}; "
          f"power switch: {status['power_switch']}")
    return 0


def clock(seconds):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def write_out(kind, data):
    fd = 1 if kind == b"O" else 2
    while data:
        data = data[os.write(fd, data):]


def do_exec(args):
    (host,), command = command_of(args, "HOST")
    conf.check_host(host)
    return client.Command(host, command, 0, write_out).run()


def do_put(args):
    host, src, dst = want(args, 3, "HOST SRC DST")
    conf.check_host(host)
    script = ('t=$1; [ -d "$t" ] && t=$t/$2; cat >"$t.lab-part" && '
              'chmod "$3" "$t.lab-part" && mv "$t.lab-part" "$t"')
    with open(src, "rb") as f:
        mode = oct(os.fstat(f.fileno()).st_mode & 0o7777)[2:]
        return client.Command(
            host, ["sh", "-c", script, "put", dst, os.path.basename(src),
                   mode], f.fileno(), write_out).run()


def do_get(args):
    host, src, dst = want(args, 3, "HOST SRC DST")
    conf.check_host(host)
    if os.path.isdir(dst):
        dst = os.path.join(dst, os.path.basename(src))
    part = f"{dst}.lab-part"
    try:
        with open(part, "wb") as f:
            def on_data(kind, data):
                if kind == b"O":
                    f.write(data)
                else:
                    write_out(kind, data)
            status = client.Command(host, ["cat", "--", src], b"",
                                    on_data).run()
        if status == 0:
            os.rename(part, dst)
        return status
    finally:
        if os.path.exists(part):
            os.unlink(part)


def do_client(args):
    _, command = command_of(args, "")
    _, (user, pids, network) = client.request("namespaces")
    if not os.path.samestat(os.fstat(user), os.stat("/proc/self/ns/user")):
        net.setns(user, net.CLONE_NEWUSER)
    net.setns(network, net.CLONE_NEWNET)
    net.setns(pids, net.CLONE_NEWPID)	# so that `down` ends it too
    return run_child(command)


def run_child(command):
    """Run @command as our child; it ends when we are killed."""
    pid = os.fork()
    if not pid:
        net.die_with_parent()
        try:
            os.execvp(command[0], command)
        except OSError as e:
            print(f"lab: {command[0]}: {e.strerror}", file=sys.stderr)
            os._exit(127 if isinstance(e, FileNotFoundError) else 126)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _: os.kill(pid, n))
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def host_verb(verb):
    def run(args):
        host, = want(args, 1, "HOST")
        client.request(verb, host=conf.check_host(host))
    return run


def do_power_off(args):
    host, = want(args, 1, "HOST")
    answer, _ = client.request("power-off", host=conf.check_host(host))
    print(answer["ns"])


def do_power_on(args):
    host, = want(args, 1, "HOST")
    conf.check_host(host)
    client.request("power-on", host=host)
    life.wait_ready([host])


def link_verb(verb):
    def run(args):
        link, host = want(args, 2, "LINK HOST")
        client.request(verb, host=conf.check_host(host),
                       link=conf.check_net(link))
    return run


def do_disk(args):
    usage = "NAME SIZE [--from FILE | --add FILE...]"
    args, options = args[:2], args[2:]
    name, size = want(args, 2, usage)
    kinds, files = options[0::2], options[1::2]
    if len(kinds) != len(files) or not (
            kinds == ["--from"] or set(kinds) <= {"--add"}):
        raise UsageError(f"expected: {usage}")
    size = san.parse_size(size)
    with san.new_disk(name, size) as path:
        if kinds == ["--from"]:
            san.fill_disk(path, size, files[0])
        elif files:
            image.file_system(path, files)


def do_disk_path(args):
    name, = want(args, 1, "NAME")
    print(san.disk_path(name))


def do_san_delay(args):
    usage = "HOST [read=D] [write=D] [flush=D] [seed=N]"
    if not args:
        raise UsageError(f"expected: {usage}")
    host, seed, delays = conf.check_host(args[0]), None, {}
    for arg in args[1:]:
        key, _, value = arg.partition("=")
        if key == "seed" and value.isdigit():
            seed = int(value) % (1 << 64)
        elif key in san.KINDS:
            delays[key] = san.parse_delay(value)
        else:
            raise UsageError(f"expected: {usage}")
    client.request("san-delay", host=host, seed=seed, delays=delays)


def do_guest_image(args):
    out, files, init = None, [], None
    args = list(args)
    while args:
        arg = args.pop(0)
        if arg in ("--add", "--init"):
            if not args or (arg == "--init" and init):
                raise UsageError(f"{arg} takes one file")
            if arg == "--add":
                files.append(args.pop(0))
            else:
                init = args.pop(0)
        elif out is None and not arg.startswith("-"):
            out = arg
        else:
            raise UsageError(f"'{arg}' not expected")
    if out is None:
        raise UsageError("expected: OUT [--add FILE]... [--init SCRIPT]")
    image.guest_image(out, files, init)


def do_guest_kernel(args):
    want(args, 0, "")
    print(image.guest_kernel())


def do_log(args):
    if len(args) not in (1, 2):
        raise UsageError("expected: HOST [GUEST]")
    conf.check_host(args[0])
    print(conf.console_log(args[0]) if len(args) == 1
          else conf.guest_log(*args))


VERBS = {
    "up": do_up, "down": do_down, "status": do_status, "exec": do_exec,
    "put": do_put, "get": do_get, "client": do_client,
    "power-off": do_power_off, "power-on": do_power_on,
    "freeze": host_verb("freeze"), "thaw": host_verb("thaw"),
    "cut": link_verb("cut"), "heal": link_verb("heal"),
    "fence": host_verb("fence"), "unfence": host_verb("unfence"),
    "disk": do_disk, "disk-path": do_disk_path, "san-delay": do_san_delay,
    "guest-image": do_guest_image, "guest-kernel": do_guest_kernel,
    "log": do_log, "_holder": life.holder,
}


def main(argv):
    verb, args = (argv[0], argv[1:]) if argv else (None, [])
    if verb in ("help", "--help", "-h"):
        print(USAGE, end="")
        return 0
    if verb in LATER_VERBS:
        print(f"lab: '{verb}' is not in this version", file=sys.stderr)
        return EXIT_USAGE
    if verb not in VERBS:
        print(f"lab: no verb '{verb}'" if verb else "lab: which verb?",
              USAGE, sep="\n", end="", file=sys.stderr)
        return EXIT_USAGE
    for fd in range(3):		# closed ones would be taken by our files
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)
    failed = EXIT_LAB if verb in ("exec", "client") else 1
    try:
        return VERBS[verb](args) or 0
    except UsageError as e:
        print(f"lab: {verb}: {e}; got: {shlex.join(args)}", file=sys.stderr)
        return EXIT_USAGE
    except LabError as e:
        print(f"lab: {verb}: {e}", file=sys.stderr)
        return failed
    except BrokenPipeError:
        return failed
    except OSError as e:
        print(f"lab: {verb}: {e}", file=sys.stderr)
        return failed
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
