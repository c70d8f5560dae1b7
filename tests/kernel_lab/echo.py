"""Servers in many namespaces, in one event loop: each answers with who it is and whom it saw, padded to the size of the question."""

from __future__ import annotations

import json
import selectors
import socket
import struct
from typing import Any

from .netns import Space

IP_PKTINFO = 8
#: shortest question: an answer of this size holds the JSON
LEAST = 160


def padded(data: dict[str, Any], size: int) -> bytes:
    """The answer as JSON, filled with spaces to `size` bytes."""
    return json.dumps(data).encode().ljust(size)


class EchoServers:
    """Register listening sockets in a selector; `handle` serves what is ready. Both belong to the loop that probes."""

    def __init__(self, selector: selectors.BaseSelector):
        self.selector = selector
        self.sockets: dict[str, list[socket.socket]] = {}

    def listen(self, owner: str, space: Space, label: str, protocol: str, port: int) -> None:
        with space:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if protocol == "UDP":
            s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        s.bind(("", port))
        s.setblocking(False)
        if protocol == "TCP":
            s.listen(256)
        self._add(owner, s, (self._accept if protocol == "TCP" else self._datagram, owner, label))

    def _add(self, owner: str, s: socket.socket, data: Any) -> None:
        self.sockets.setdefault(owner, []).append(s)
        self.selector.register(s, selectors.EVENT_READ, data)

    def _drop(self, owner: str, s: socket.socket) -> None:
        self.selector.unregister(s)
        if s in self.sockets.get(owner, ()):
            self.sockets[owner].remove(s)
        s.close()

    def close(self, owner: str) -> None:
        for s in list(self.sockets.pop(owner, ())):
            self.selector.unregister(s)
            s.close()

    # ------------------------------------------------------------------------------------------------ handlers
    def _accept(self, s: socket.socket, owner: str, label: str) -> None:
        while True:
            try:
                conn, peer = s.accept()
            except OSError:
                return
            conn.setblocking(False)
            said = {"name": label, "peer": list(peer), "local": list(conn.getsockname())}
            self._add(owner, conn, (self._stream, owner, [said, b""]))

    def _stream(self, s: socket.socket, owner: str, state: list[Any]) -> None:
        """A question is its length in four bytes and filling; the answer has the same length."""
        try:
            data = s.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(owner, s)
            return
        state[1] += data
        if len(state[1]) >= 4 and len(state[1]) >= (size := struct.unpack_from("!I", state[1])[0]):
            state[1] = b""
            try:
                s.send(padded(state[0], size))
            except OSError:
                self._drop(owner, s)

    def _datagram(self, s: socket.socket, owner: str, label: str) -> None:
        while True:
            try:
                data, ancillary, _, peer = s.recvmsg(1 << 16, 256)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about an earlier answer
            local = next(
                (socket.inet_ntoa(d[8:12]) for level, kind, d in ancillary if level == socket.IPPROTO_IP and kind == IP_PKTINFO), "?"
            )
            answer = padded({"name": label, "peer": list(peer), "local": [local, s.getsockname()[1]]}, len(data))
            info = struct.pack("=i4s4s", 0, socket.inet_aton(local), b"\0" * 4)
            try:
                s.sendmsg([answer], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, peer)
            except OSError:
                pass
