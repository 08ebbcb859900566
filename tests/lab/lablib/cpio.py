# SPDX-License-Identifier: GPL-2.0-or-later
"""cpio.py - writes an initramfs (cpio "newc") without being root."""

import os
import shutil
import stat

# Debian's merged /usr: these are links, so nothing may be unpacked below them.
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "usr/bin",
          "lib": "usr/lib", "lib64": "usr/lib64"}


class Tree:
    """A file tree in memory: path without leading slash -> entry."""

    def __init__(self):
        self.entries = {}
        for path, target in MERGED.items():
            self.dir(target)
            self.entries[path] = (stat.S_IFLNK | 0o777,
                                  f"/{target}".encode(), None, (0, 0))

    def _put(self, path, mode, data=b"", source=None, rdev=(0, 0)):
        path = path.strip("/")
        for link, target in MERGED.items():
            if path.startswith(link + "/"):
                path = target + path[len(link):]
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.dir(parent)
        self.entries[path] = (mode, data, source, rdev)

    def dir(self, path, mode=0o755):
        self._put(path, stat.S_IFDIR | mode)

    def text(self, path, text, mode=0o644):
        self._put(path, stat.S_IFREG | mode, text.encode())

    def file(self, path, source, mode=None):
        """Take @source from this machine; read when the tree is written."""
        if mode is None:
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self._put(path, stat.S_IFREG | mode, source=source)

    def link(self, path, target):
        self._put(path, stat.S_IFLNK | 0o777, target.encode())

    def char_dev(self, path, major, minor, mode=0o600):
        self._put(path, stat.S_IFCHR | mode, rdev=(major, minor))

    def fingerprint(self):
        """What the archive will hold, without reading the files."""
        for path, (mode, data, source, rdev) in sorted(self.entries.items()):
            what = data
            if source:
                st = os.stat(source)
                what = (os.path.realpath(source), st.st_size, st.st_mtime_ns)
            yield repr((path, mode, what, rdev))

    def write(self, out):
        """Write the archive into the binary file @out."""
        for ino, (path, entry) in enumerate(sorted(self.entries.items()), 1):
            mode, data, source, rdev = entry
            if source:
                with open(source, "rb") as f:
                    data = f.read()
            _write_entry(out, ino, path, mode, data, rdev)
        _write_entry(out, 0, "TRAILER!!!", 0, b"", (0, 0))

    def unpack(self, root):
        """Lay the tree out in the directory @root; without devices."""
        for path, (mode, data, source, _) in sorted(self.entries.items()):
            path = os.path.join(root, path)
            if stat.S_ISDIR(mode):
                os.makedirs(path, exist_ok=True)
            elif stat.S_ISLNK(mode):
                os.symlink(data, path)
            elif stat.S_ISREG(mode):
                with open(path, "wb") as f:
                    f.write(data)
                if source:
                    shutil.copyfile(source, path)
                os.chmod(path, mode & 0o7777)


def _write_entry(out, ino, path, mode, data, rdev):
    name = path.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1],
              len(name), 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields)
    out.write(head + name + b"\0" * (-(len(head) + len(name)) % 4))
    out.write(data + b"\0" * (-len(data) % 4))
