"""Probes from many namespaces at once, in one event loop: TCP, UDP and ping, with sizes, DF and TTL.

A probe is a dict: case, src (space), dst, port, proto, size (bytes after the TCP, UDP or ICMP header), df, ttl,
sport, timeout, close ("reset", which leaves nothing behind, or "fin").
An answer is a dict too: verdict, error (errno name or None), by, seen, icmp ([type, code, from, mtu] or None) and
seconds. Verdict and error are decided here from what the sockets said, by nothing of the model.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .netns import Space

IP_TTL, IP_MTU_DISCOVER, IP_RECVERR, IP_MTU = 2, 10, 11, 14
MSG_ERRQUEUE = 0x2000
PMTUDISC_DONT, PMTUDISC_DO = 0, 2
LINGER_RESET = struct.pack("ii", 1, 0)

VERDICTS = {"ECONNREFUSED": "refused", "ECONNRESET": "refused", "EMSGSIZE": "too-big", "EPERM": "refused"}


def read_errors(s: socket.socket) -> list[dict[str, Any]]:
    """What the socket's error queue holds: ICMP errors and local ones."""
    found: list[dict[str, Any]] = []
    while True:
        try:
            _, ancillary, _, _ = s.recvmsg(64, 512, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:
            return found
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_RECVERR and len(data) >= 16:
                number, origin, type_, code, _, info, _ = struct.unpack_from("=IBBBBII", data)
                sender = socket.inet_ntoa(data[20:24]) if len(data) >= 24 else None
                found.append({"errno": number, "origin": origin, "type": type_, "code": code, "from": sender, "mtu": info})


class _Try:
    """One probe under way."""

    def __init__(self, index: int, probe: dict[str, Any], space: Space):
        self.index, self.probe, self.state = index, probe, "new"
        self.got = b""
        self.kind = probe["proto"]
        style = socket.SOCK_STREAM if self.kind == "TCP" else socket.SOCK_DGRAM
        with space:
            self.socket = socket.socket(socket.AF_INET, style, socket.IPPROTO_ICMP if self.kind == "ICMP" else 0)
        s = self.socket
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if self.kind == "TCP":
            if probe.get("close", "reset") == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        else:
            s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO if probe.get("df", True) else PMTUDISC_DONT)
        if probe.get("ttl"):
            s.setsockopt(socket.IPPROTO_IP, IP_TTL, probe["ttl"])
        if probe.get("sport"):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("", probe["sport"]))
        self.start = self.since = time.monotonic()

    @property
    def deadline(self) -> float:
        return self.since + float(self.probe["timeout"])

    def question(self) -> bytes:
        size = int(self.probe.get("size", 200))
        if self.kind == "TCP":
            return struct.pack("!I", size).ljust(size, b"q")
        if self.kind == "ICMP":
            return struct.pack("!BBHHH", 8, 0, 0, 0, 1) + b"q" * size
        return b"q" * size


class Prober:
    """Runs probes over one selector, which serves other sockets (the servers, captures) meanwhile."""

    def __init__(self, selector: selectors.BaseSelector):
        self.selector = selector

    def run(self, probes: Sequence[dict[str, Any]], space_of: Callable[[dict[str, Any]], Space], window: int = 400) -> list[dict[str, Any]]:
        self.results: list[dict[str, Any] | None] = [None] * len(probes)
        queue = deque(enumerate(probes))
        self.live: dict[int, _Try] = {}
        while queue or self.live:
            for _ in range(16):  # a few at a time, so that the servers answer in between
                if queue and len(self.live) < window:
                    index, probe = queue.popleft()
                    self._begin(_Try(index, probe, space_of(probe)))
            for key, mask in self.selector.select(0.0 if queue and len(self.live) < window else 0.02):
                if isinstance(key.data, _Try):
                    self._ready(key.data, mask)
                else:
                    handler, owner, state = key.data
                    try:
                        handler(key.fileobj, owner, state)
                    except (KeyError, ValueError):
                        pass  # closed meanwhile
            now = time.monotonic()
            for t in [t for t in self.live.values() if t.deadline <= now]:
                self._finish(t, None)
        return [r for r in self.results if r is not None]

    def serve(self, seconds: float) -> None:
        """Let the servers work for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                handler, owner, state = key.data
                handler(key.fileobj, owner, state)

    # ----------------------------------------------------------------------------------------------- one probe
    def _begin(self, t: _Try) -> None:
        self.live[t.socket.fileno()] = t
        self.selector.register(t.socket, selectors.EVENT_WRITE if t.kind == "TCP" else selectors.EVENT_READ, t)
        p = t.probe
        code = t.socket.connect_ex((p["dst"], p.get("port", 0)))
        if code not in (0, errno.EINPROGRESS):
            self._finish(t, errno.errorcode[code])
            return
        t.state = "connecting"
        if t.kind != "TCP":
            t.state = "waiting"
            try:
                t.socket.send(t.question())
            except OSError as e:
                # ENOBUFS: the device dropped it; udp_send_skb tells only sockets that asked for errors, so it counts as silence
                if e.errno != errno.ENOBUFS:
                    self._finish(t, errno.errorcode[e.errno or 0])

    def _ready(self, t: _Try, mask: int) -> None:
        s = t.socket
        if s.fileno() not in self.live:
            return
        if t.state == "connecting":
            code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._finish(t, errno.errorcode[code])
                return
            t.state, t.since = "connected", time.monotonic()
            self.selector.modify(s, selectors.EVENT_READ, t)
            try:
                s.send(t.question())
            except OSError as e:
                self._finish(t, errno.errorcode[e.errno or 0])
            return
        try:
            data = s.recv(1 << 16)
        except BlockingIOError:
            errors = read_errors(s)
            if errors:  # a soft error: it stands in the queue only
                self._finish(t, errno.errorcode.get(errors[0]["errno"], "?"), errors)
            return
        except OSError as e:
            self._finish(t, errno.errorcode[e.errno or 0])
            return
        if t.kind == "TCP":
            if not data:
                self._finish(t, "closed")
                return
            t.got += data
            if len(t.got) < int(t.probe.get("size", 200)):
                return
            data = t.got
        self._finish(t, None, answer=data)

    def _finish(self, t: _Try, error: str | None, errors: list[dict[str, Any]] | None = None, answer: bytes | None = None) -> None:
        fd = t.socket.fileno()
        result: dict[str, Any] = {"error": error, "by": None, "seen": None, "icmp": None, "seconds": round(time.monotonic() - t.start, 3)}
        if answer is not None:
            result["verdict"] = "delivered"
            if t.kind != "ICMP":
                said = json.loads(answer)
                result["by"], result["seen"] = said["name"], said["peer"][0]
        elif error is None:
            result["verdict"] = "stalled" if t.state == "connected" else "timeout"
        else:
            result["verdict"] = VERDICTS.get(error, "unreachable")
            # EPERM comes from the send call itself, whatever else is in the queue
            found = [] if error == "EPERM" else [e for e in (errors or read_errors(t.socket)) if e["origin"] == 2]
            if found:
                e = found[-1]
                result["icmp"] = [e["type"], e["code"], e["from"], e["mtu"] if (e["type"], e["code"]) == (3, 4) else 0]
        if t.kind != "TCP" and error == "EMSGSIZE":
            try:
                result["mtu"] = t.socket.getsockopt(socket.IPPROTO_IP, IP_MTU)
            except OSError:
                pass
        self.selector.unregister(t.socket)
        del self.live[fd]
        t.socket.close()
        self.results[t.index] = result
