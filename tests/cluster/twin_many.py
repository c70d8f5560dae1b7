"""Many new connections at once from one namespace of a twin, and what became of each: only silence costs time, and only once."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.kernel_lab.netns import Space

#: seconds; longer than three ARP requests
WAIT = 4.0
#: sockets that wait at the same time
TOGETHER = 256
#: (IP_RECVERR, IPV6_RECVERR): else a datagram socket hears only of errors that end all hope (icmp_err_convert)
RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
#: an echo request with identifier 0 and number 1; the kernel fills in the checksum of ICMPv6
ECHO = {socket.AF_INET: b"\x08\0\xf7\xfe\0\0\0\x01", socket.AF_INET6: b"\x80\0\0\0\0\0\0\x01"}
#: ICMP_FILTER, ICMP6_FILTER: a raw socket of ping hears echo replies only
FILTER = {
    socket.AF_INET: (255, 1, (~1 & 0xFFFFFFFF).to_bytes(4, sys.byteorder)),
    socket.AF_INET6: (socket.IPPROTO_ICMPV6, 1, b"\xff" * 16 + (~2 & 0xFFFFFFFF).to_bytes(4, sys.byteorder) + b"\xff" * 12),
}

#: [verdict, errno's name or who answered, whom it saw]
Answer = list[str]


@contextmanager
def inside(space: Space) -> Iterator[None]:
    """This thread in that namespace (`with space:` is for one thread at a time)."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.setns(space.fd, 0x40000000) == 0
    try:
        yield
    finally:
        assert libc.setns(back, 0x40000000) == 0
        os.close(back)


def opened(space: Space, protocol: str, dst: str, source_port: int = 0) -> socket.socket:
    """A socket of that namespace, not yet connected."""
    fam = socket.AF_INET6 if ":" in dst else socket.AF_INET
    kind = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM, "ICMP": socket.SOCK_RAW}[protocol]
    icmp = (socket.IPPROTO_ICMPV6 if fam == socket.AF_INET6 else socket.IPPROTO_ICMP) if protocol == "ICMP" else 0
    with inside(space):
        s = socket.socket(fam, kind, icmp)
    if protocol != "TCP":
        s.setsockopt(*RECVERR[fam], 1)
    if protocol == "ICMP":
        s.setsockopt(*FILTER[fam])
    if source_port:
        s.bind(("", source_port))
    return s


def heard(protocol: str, data: bytes) -> Answer:
    if not data:
        return ["error", "closed", ""]
    return ["delivered", "", ""] if protocol == "ICMP" else ["delivered", *json.loads(data)]


def failed(e: OSError) -> Answer:
    return ["error", errno.errorcode.get(e.errno or 0, str(e)), ""]


def ask_many(space: Space, protocol: str, dst: str, port: int, times: int) -> list[Answer]:
    """What became of so many new connections (or datagrams, or pings), in the order in which it was known."""
    found: list[Answer] = []
    begun: dict[socket.socket, float] = {}  # in the order of their start
    left = times

    with selectors.DefaultSelector() as waiting:

        def over(s: socket.socket, answer: Answer) -> None:
            found.append(answer)
            with suppress(KeyError):
                waiting.unregister(s)
            begun.pop(s, None)
            s.close()

        def start() -> None:
            s = opened(space, protocol, dst)
            s.setblocking(False)
            try:
                with suppress(BlockingIOError):
                    s.connect((dst, port))
                if protocol != "TCP":
                    s.send(b"?" if protocol == "UDP" else ECHO[s.family])
            except OSError as e:
                return over(s, failed(e))
            begun[s] = time.monotonic()
            waiting.register(s, selectors.EVENT_READ)

        together = 1  # what the first one leaves behind, the others meet
        while left or begun:
            while left and len(begun) < together:
                start()
                left -= 1
            oldest = next(iter(begun.values()), time.monotonic())
            patience = 0.1 if together == 1 else WAIT - (time.monotonic() - oldest)
            together = TOGETHER
            for key, _ in waiting.select(max(0.0, patience)) if begun else ():
                s = key.fileobj
                assert isinstance(s, socket.socket)
                try:
                    over(s, heard(protocol, s.recv(4096)))
                except BlockingIOError:
                    continue
                except OSError as e:
                    over(s, failed(e))
            for s in [s for s, since in begun.items() if time.monotonic() - since >= WAIT]:
                over(s, ["timeout", "", ""])
    return found
