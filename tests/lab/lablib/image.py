# SPDX-License-Identifier: GPL-2.0-or-later
"""image.py - initramfs of a host's dom0 and of guests, from installed files."""

import glob
import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile

from . import conf
from .conf import LabError
from .cpio import Tree

XEN_BIN = "/usr/lib/xen-4.17/bin"
LIB_DIR = "/usr/lib/x86_64-linux-gnu"
DOM0_BIN_DIR = os.path.join(conf.ROOT, "build/dom0-bin")
OUR_MODULES_DIR = os.path.join(conf.ROOT, "build/modules")

XEN_PROGRAMS = ("xl", "oxenstored", "xenstored", "xenconsoled", "xenconsole",
                "xen-init-dom0", "libxl-save-helper", "lsevtchn", "xen-hvmctx",
                "xenctx", "xenstore-control")
DOM0_PROGRAMS = ("/bin/bash", "/bin/ip", "/sbin/tc", "/sbin/bridge",
                 "/sbin/losetup", "/sbin/blockdev", "/usr/bin/flock",
                 "/usr/bin/stat", "/bin/readlink", "/sbin/nbd-client",
                 "/usr/bin/socat")
# Libraries that programs put into a running host may want.
DOM0_LIBS = ("libgcc_s.so.1", "libxenctrl.so.4.17", "libxenguest.so.4.17",
             "libxencall.so.1", "libxenforeignmemory.so.1",
             "libxenevtchn.so.1", "libxenstore.so.4", "libxentoollog.so.1",
             "libxendevicemodel.so.1", "libxengnttab.so.1",
             "libevent-2.1.so.7", "libevent_core-2.1.so.7",
             "libevent_openssl-2.1.so.7", "libevent_pthreads-2.1.so.7",
             "liblz4.so.1", "libssl.so.3", "libcrypto.so.3",
             "libjson-c.so.5")
# An HVM guest's machine: loader, firmware, device model, its boot ROM.
HVM_PROGRAM = "/usr/libexec/xen-qemu-system-i386"
HVM_FILES = ("/usr/lib/xen-4.17/boot/hvmloader",
             "/usr/share/seabios/bios-256k.bin",
             "/usr/share/qemu/linuxboot.bin",
             "/usr/share/seabios/vgabios-stdvga.bin",
             "/usr/share/seabios/vgabios-cirrus.bin",
             "/usr/share/qemu/keymaps/en-us")
DOM0_BOOT_MODULES = ("xen-privcmd", "xen-evtchn", "xen-gntdev",
                     "xen-gntalloc", "xenfs", "xen-blkback", "xen-netback",
                     "e1000", "bridge")
DOM0_MORE_MODULES = ("loop", "tun", "nbd", "sch_netem")
GUEST_MODULES = ("xen-blkfront", "xen-netfront")


def newest_kernel(cloud):
    """Release of the newest installed Debian kernel: host's or guest's."""
    found = []
    for path in glob.glob("/boot/vmlinuz-6.1.0-*-amd64"):
        m = re.fullmatch(r"/boot/vmlinuz-(6\.1\.0-(\d+)(-cloud)?-amd64)", path)
        if m and bool(m[3]) == cloud:
            found.append((int(m[2]), m[1]))
    if not found:
        name = "linux-image-cloud-amd64" if cloud else "linux-image-amd64"
        raise LabError(f"no kernel of package {name} in /boot: run `make deps`")
    return max(found)[1]


def guest_kernel():
    return f"/boot/vmlinuz-{newest_kernel(cloud=True)}"


def _closure(programs):
    """Libraries that @programs load, with the loader; static ones need none."""
    env = dict(os.environ, LC_ALL="C")
    run = subprocess.run(["ldd", *programs], env=env, text=True,
                         capture_output=True, check=False)
    missing = re.findall(r"^\s*(\S+) => not found", run.stdout, re.M)
    if missing:
        raise LabError("libraries not found on this machine: " +
                       ", ".join(sorted(set(missing))))
    return sorted(set(re.findall(r"(/\S+) \(0x", run.stdout)))


def _add_programs(tree, programs):
    """@programs: (path inside, path here); libraries keep their path."""
    for inside, source in programs:
        if not os.path.exists(source):
            raise LabError(f"{source} is not installed: run `make deps`")
        tree.file(inside, source, 0o755)
    for lib in _closure([source for _, source in programs]):
        tree.file(lib, lib, 0o755)


def _add_busybox(tree):
    busybox = shutil.which("busybox", path=f"/bin:/usr/bin:{conf.SBIN}")
    if not busybox:
        raise LabError("busybox is not installed: run `make deps`")
    tree.file("bin/busybox", busybox, 0o755)
    applets = subprocess.run([busybox, "--list"], text=True,
                             capture_output=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            tree.link(f"bin/{applet}", "busybox")


def _our_modules(release):
    """Backends of `make modules` for kernel @release: name -> path."""
    try:
        with open(f"{OUR_MODULES_DIR}/release", encoding="ascii") as f:
            built_for = f.read().strip()
    except FileNotFoundError:
        built_for = None
    if built_for != release:
        raise LabError(f"no modules for kernel {release} in "
                       f"{OUR_MODULES_DIR}: run `make modules`, or boot "
                       "Debian's with --stock")
    return {os.path.basename(path)[:-len(".ko")]: path
            for path in glob.glob(f"{OUR_MODULES_DIR}/*.ko")}


def _add_modules(tree, release, boot, more=(), ours=None):
    """Modules of kernel @release; etc/modules.boot is in loading order.

    @ours: our own take the place of those with the same name, all of them
    need kemari-gate.
    """
    base = f"/lib/modules/{release}"
    deps, paths, source = {}, {}, {}
    with open(f"{base}/modules.dep", encoding="ascii") as f:
        for line in f:
            path, _, needs = line.partition(":")
            deps[path] = needs.split()
            name = os.path.basename(path).split(".")[0].replace("_", "-")
            paths[name] = path
    for name, built in (ours or {}).items():
        path = paths.setdefault(name, f"updates/{name}.ko")
        source[path] = built
        deps.setdefault(path, [])
    for name in ours or {}:
        if name != "kemari-gate":
            deps[paths[name]].append(paths["kemari-gate"])
    order = []

    def want(path):
        for need in reversed(deps[path]):
            want(need)
        if path not in order:
            order.append(path)

    def want_all(names):
        for name in names:
            if name.replace("_", "-") not in paths:
                raise LabError(f"kernel {release} has no module {name}")
            want(paths[name.replace("_", "-")])

    want_all(boot)
    tree.text("etc/modules.boot",
              "".join(f"{base}/{path}\n" for path in order))
    want_all(more)
    for path in order:
        tree.file(f"{base}/{path}", source.get(path, f"{base}/{path}"), 0o644)
    tree.text(f"{base}/modules.dep", "".join(
        f"{path}: {' '.join(deps[path])}\n" for path in order))


def _base_tree():
    tree = Tree()
    for path in ("dev", "proc", "sys", "tmp", "root", "run", "etc", "mnt",
                 "usr/local/bin", "var/log"):
        tree.dir(path)
    tree.char_dev("dev/console", 5, 1)
    tree.char_dev("dev/null", 1, 3, 0o666)
    tree.text("etc/passwd", "root::0:0:root:/root:/bin/sh\n")
    tree.text("etc/group", "root:x:0:\n")
    return tree


def _cached(tree, directory, stem):
    """Path of @tree's archive, written only if its inputs changed."""
    digest = hashlib.sha256()
    for line in tree.fingerprint():
        digest.update(line.encode())
    path = os.path.join(directory, f"{stem}-{digest.hexdigest()[:16]}")
    if not os.path.exists(path):
        for old in glob.glob(os.path.join(directory, f"{stem}-*")):
            os.unlink(old)
        _write_atomically(tree.write, path)
    return path


def _write_atomically(write, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd, part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".part-")
    try:
        with os.fdopen(fd, "wb") as out:
            write(out)
        os.chmod(part, 0o644)
        os.rename(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _compile(source, directory, how=("-std=c11", "-D_GNU_SOURCE", "-static")):
    """Build of one of our small C programs, cached by its text."""
    with open(source, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()[:16]
    stem = os.path.splitext(os.path.basename(source))[0]
    path = os.path.join(directory, f"{stem}-{digest}")
    if os.path.exists(path):
        return path
    os.makedirs(directory, exist_ok=True)
    part = f"{path}.{os.getpid()}"
    try:
        subprocess.run([os.environ.get("CC", "gcc"), *how, "-O2", "-Wall",
                        "-Wextra", "-Werror", "-o", part, source], check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise LabError(f"cannot build {source}: {e}") from e
    os.rename(part, path)
    return path


def slow_filter():
    """Path of the storage servers' filter, whose name must end so."""
    plain = _compile(os.path.join(conf.LAB_SRC, "san/slow.c"),
                     os.path.join(conf.lab_dir(), "image"),
                     ("-std=gnu11", "-shared", "-fPIC"))
    if not os.path.exists(f"{plain}.so"):
        os.link(plain, f"{plain}.so")
    return f"{plain}.so"


def dom0_image(stock):
    """Path of the initramfs for both hosts' dom0."""
    release = newest_kernel(cloud=False)
    directory = os.path.join(conf.lab_dir(), "image")
    src = os.path.join(conf.LAB_SRC, "dom0")
    tree = _base_tree()
    _add_busybox(tree)
    programs = [(f"{XEN_BIN}/{name}", f"{XEN_BIN}/{name}")
                for name in XEN_PROGRAMS]
    for name in XEN_PROGRAMS:
        tree.link(f"bin/{name}", f"{XEN_BIN}/{name}")
    for name in ("chmod", "exists", "list", "ls", "read", "rm", "watch",
                 "write"):
        programs.append((f"bin/xenstore-{name}", f"/usr/bin/xenstore-{name}"))
    # What Debian's hotplug scripts call and busybox lacks or does otherwise.
    for path in DOM0_PROGRAMS:
        programs.append((path.lstrip("/"), path))
    for lib in DOM0_LIBS:
        programs.append((f"{LIB_DIR}/{lib}", f"{LIB_DIR}/{lib}"))
    programs.append((HVM_PROGRAM.lstrip("/"), HVM_PROGRAM))
    for path in sorted(glob.glob(f"{DOM0_BIN_DIR}/*")):
        programs.append((f"usr/local/bin/{os.path.basename(path)}", path))
    _add_programs(tree, programs)
    for path in HVM_FILES:
        tree.file(path, path, 0o644)
    _add_modules(tree, release, DOM0_BOOT_MODULES, DOM0_MORE_MODULES,
                 None if stock else _our_modules(release))
    for path in sorted(glob.glob("/etc/xen/scripts/*")):
        tree.file(path, path)
    for name in ("san-attach", "san-detach"):
        tree.file(f"usr/local/bin/{name}", os.path.join(src, name), 0o755)
    tree.text("etc/xen/xl.conf", "")
    tree.file("etc/xen/oxenstored.conf", "/etc/xen/oxenstored.conf", 0o644)
    for path in ("var/lock", "run/xen", "run/xenstored", "var/log/xen/console",
                 "var/lib/xen", "var/lib/xenstored"):
        tree.dir(path)
    tree.link("var/run", "/run")
    for name in ("lab-agent", "lab-confwd"):
        tree.file(f"bin/{name}",
                  _compile(os.path.join(src, f"{name}.c"), directory), 0o755)
    tree.file("init", os.path.join(src, "init"), 0o755)
    tree.file("boot/guest-vmlinuz", guest_kernel(), 0o644)
    return _cached(tree, directory, "dom0.cpio")


def dom0_kernel():
    """The hosts' kernel, unpacked: an emulated CPU takes 5 s for that."""
    path = f"/boot/vmlinuz-{newest_kernel(cloud=False)}"
    out = _derived(path, "vmlinux-dom0")
    if os.path.exists(out):
        return out
    with open(path, "rb") as f:
        image = f.read()
    # Linux boot protocol: setup sectors, payload offset and length.
    start, length = struct.unpack_from("<II", image, 0x248)
    start += ((image[0x1f1] or 4) + 1) * 512
    payload = image[start:start + length]
    try:
        elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    except lzma.LZMAError:
        return path		# packed otherwise; Xen can unpack it too
    _write_atomically(lambda f: f.write(elf), out)
    return out


def _derived(path, stem):
    """Name of a file made from @path; another one when @path changes."""
    st = os.stat(path)
    return os.path.join(conf.lab_dir(), "image",
                        f"{stem}-{st.st_size}-{st.st_mtime_ns}")


def hypervisor(stock):
    """Path of the Xen to boot, unpacked: QEMU's loader wants it so."""
    if stock:
        path = conf.STOCK_XEN
        if not os.path.exists(path):
            raise LabError(f"{path} is not installed: run `make deps`")
    else:
        path = os.path.abspath(os.environ.get("LAB_XEN") or
                               os.path.join(conf.ROOT, "build/xen/xen"))
        if not os.path.exists(path):
            raise LabError(f"no hypervisor at {path}: run `make xen`, or "
                           "boot Debian's with --stock")
    with open(path, "rb") as f:
        if f.read(2) != b"\x1f\x8b":
            return path
    out = _derived(path, "xen")
    if not os.path.exists(out):
        with gzip.open(path) as f:
            data = f.read()
        _write_atomically(lambda packed: packed.write(data), out)
    return out


def file_system(path, files):
    """Make an ext4 of the file @path, as large as that is, with what a chroot
    needs: each of @files in /bin, its libraries, and directories to use."""
    mkfs = shutil.which("mkfs.ext4", path=conf.SBIN)
    if not mkfs:
        raise LabError("e2fsprogs is not installed: run `make deps`")
    tree = Tree()
    for name in ("data", "dev", "proc", "tmp"):
        tree.dir(name)
    _add_programs(tree, [(f"bin/{os.path.basename(f)}", f) for f in files])
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path),
                                     prefix=".tree-") as root:
        tree.unpack(root)
        run = subprocess.run([mkfs, "-q", "-F", "-b", "4096", "-E",
                              "root_owner=0:0", "-d", root, path], text=True, capture_output=True,
                             check=False)
    if run.returncode:
        raise LabError(f"mkfs.ext4: {run.stderr.strip()}")


def guest_image(out, files, init):
    """Write a guest's initramfs (gzip) to @out."""
    for path in files + ([init] if init else []):
        if not os.path.isfile(path):
            raise LabError(f"{path}: no such file")
    src = os.path.join(conf.LAB_SRC, "guest")
    tree = _base_tree()
    _add_busybox(tree)
    _add_programs(tree, [(f"bin/{os.path.basename(path)}", path)
                         for path in files])
    _add_modules(tree, newest_kernel(cloud=True), GUEST_MODULES)
    tree.file("bin/guest-setup", os.path.join(src, "guest-setup"), 0o755)
    tree.file("init", init or os.path.join(src, "init"), 0o755)

    def write(raw):
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1,
                           filename="", mtime=0) as packed:
            tree.write(packed)
    _write_atomically(write, os.path.abspath(out))
