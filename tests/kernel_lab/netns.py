"""Network namespaces straight on system calls, standard library only.

A `Space` is an open file descriptor on a namespace. Nothing is published under /run/netns, so nothing can be left
behind: when the process ends, however it ends, its namespaces end too. Works as root and inside `unshare -Urn`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40

_libc = ctypes.CDLL(None, use_errno=True)


def _check(ret: int, what: str) -> None:
    if ret != 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{what}: {os.strerror(err)}")


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Space:
    """One namespace with its loopback up. `with space:` moves the thread into it."""

    def __init__(self, name: str):
        self.name = name
        self._stack: list[int] = []
        home = _here()
        try:
            _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
            self.fd = _here()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "setns")
            os.close(home)

    @property
    def path(self) -> str:
        """A path that other programs can open (`ip link ... netns PATH`, CNI_NETNS)."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def __enter__(self) -> Space:
        self._stack.append(_here())
        _check(_libc.setns(self.fd, CLONE_NEWNET), "setns")
        return self

    def __exit__(self, *_: object) -> None:
        back = self._stack.pop()
        _check(_libc.setns(back, CLONE_NEWNET), "setns")
        os.close(back)

    def tell(self, *argv: str) -> tuple[str, int]:
        """Run a program inside that may fail: what it printed, and its exit status."""
        with self:
            done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout, done.returncode

    def run(self, *argv: str, stdin: str | None = None, env: dict[str, str] | None = None, check: bool = True) -> str:
        """Run a program inside; its standard output. Raises RuntimeError with what it said if it fails."""
        with self:
            done = subprocess.run(argv, input=stdin, text=True, capture_output=True, env=env, check=False)
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()[:1500]
            raise RuntimeError(f"{self.name}: {' '.join(argv)}: status {done.returncode}: {said}\n{stdin or ''}"[:4000])
        return done.stdout

    def sysctl(self, key: str, value: object) -> None:
        """Set one value. Dots inside interface names are written as slashes, as sysctl(8) wants them."""
        with self, open(f"/proc/sys/{sysctl_path(key)}", "w", encoding="ascii") as f:
            f.write(str(value))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def sysctl_path(key: str) -> str:
    """The file of a key: "net.ipv4.conf.flannel/1.rp_filter" is net/ipv4/conf/flannel.1/rp_filter."""
    return key.translate(str.maketrans("./", "/."))
