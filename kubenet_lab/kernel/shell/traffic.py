"""What the tools that send packets have in common: targets, sources, and walks of their own."""

from __future__ import annotations

import getopt
import ipaddress
from dataclasses import dataclass
from typing import Any

from ..ask import Question, source_port_of
from ..flight import Flight
from ..l3 import route_output
from ..namespace import Namespace
from ..packet import Packet
from ..routing import Route
from ..walk import Draws, Event, Walk
from .terminal import Terminal, ToolError, captured

__all__ = ["ERRNO", "Probes", "Target", "options", "source_of", "target_of"]

#: what strerror says
ERRNO = {
    "ENETUNREACH": "Network is unreachable", "EHOSTUNREACH": "No route to host", "ECONNREFUSED": "Connection refused", "EINVAL": "Invalid argument",
    "EACCES": "Permission denied", "EADDRNOTAVAIL": "Cannot assign requested address", "ETIMEDOUT": "Connection timed out",
    "EPERM": "Operation not permitted", "EMSGSIZE": "Message too long", "ECONNRESET": "Connection reset by peer", "ENOPROTOOPT": "Protocol not available",
    "EHOSTDOWN": "Host is down", "EPROTO": "Protocol error",
}  # fmt: skip

def options(tool: str, argv: list[str], short: str, long: list[str], usage: str, status: int) -> tuple[list[tuple[str, str]], list[str]]:
    """Options as getopt(3) takes them. Raises ToolError with its complaint and what is modelled."""
    try:
        return getopt.gnu_getopt(argv, short, long)
    except getopt.GetoptError as e:
        if "requires argument" in e.msg:
            text = f"{tool}: option requires an argument -- '{e.opt}'"
        else:
            text = f"{tool}: invalid option -- '{e.opt}'" if len(e.opt) == 1 else f"{tool}: unrecognized option '--{e.opt}'"
        raise ToolError(f"{text}\n{usage}", status) from None


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a tool was asked to talk to: the word and the address it stands for."""

    word: str
    ip: str

    @property
    def named(self) -> bool:
        return self.word not in (self.ip, "0.0.0.0", "::")


def target_of(t: Terminal, word: str, fam: int = 0) -> Target | None:
    """None for a name that nobody knows. Names are asked of the one who made the shell (a pod's resolver)."""
    try:
        found = str(ipaddress.ip_address(word))
    except ValueError:
        if word == "localhost":
            return Target(word, "::1" if fam == 6 else "127.0.0.1")
        if t.resolve is None:
            return None
        addresses = [a for a in t.resolve(word) if fam in (0, 6 if ":" in a else 4)]
        return Target(word, addresses[0]) if addresses else None
    if fam and (":" in found) != (fam == 6):
        return None
    return Target(found, found)


def source_of(ns: Namespace, dst: str, source: str = "") -> tuple[Route | None, str, str]:
    """(route, source address, errno) of what this namespace sends."""
    return route_output(ns, dst, source)


class Probes:
    """A walk in which a tool sends several packets and listens for what comes of each."""

    def __init__(self, t: Terminal, dst: str, port: int, protocol: str):
        self.t, self.ns = t, t.ns
        target = (t.ns.id, dst, port, protocol)
        count = t.state.read("pairs").get(target, 0)
        self.ident = source_port_of(t.network, t.state, Question(t.ns.id, dst, port, protocol))
        t.state.write("pairs")[target] = count + 1
        self.walk = Walk(t.network, t.state, Draws(t.network.seed, *target, count))
        self._cursor = 0
        self._keys: set[tuple[Any, ...]] = set()

    @property
    def now(self) -> float:
        return self.t.state.clock

    def open(self, key: tuple[Any, ...]) -> None:
        """Listen on this socket."""
        self._keys.add(key)
        self.t.state.write("sockets", self.ns.id)[key] = True

    def close(self) -> None:
        for key in self._keys:
            self.t.state.write("sockets", self.ns.id).pop(key, None)
        self.t.frames = captured(self.walk.frames or ())

    def send(self, packet: Packet, label: str, *, fragment: bool = False) -> None:
        """`fragment`: the sender may cut it, whatever its DF says."""
        f = Flight("output", self.ns.id, "", packet, label=label, dont_fragment_locally=fragment)
        size = packet.l4.size - packet.l4.header_size
        self.walk.send(
            self.walk.note(
                f, "socket.send", label=self.ns.label, flags="", dst=packet.dst, port=packet.dport or 0,
                protocol=packet.proto.removesuffix("v6"), size=size,
            )
        )  # fmt: skip

    def heard(self) -> list[Event]:
        """What has come since the last look: "answer" and "error" events of the open sockets."""
        out = []
        while self._cursor < len(self.walk.events):
            e = self.walk.events[self._cursor]
            self._cursor += 1
            if e.ns == self.ns.id and e.key in self._keys and e.what in ("answer", "error"):
                out.append(e)
        return out

    def wait(self, deadline: float) -> None:
        """Let time pass until the deadline (lab seconds)."""
        self.walk.run(lambda: False, deadline)

    def wait_for(self, deadline: float) -> list[Event]:
        """Until something is heard or the deadline passes."""
        found: list[Event] = []

        def done() -> bool:
            found.extend(self.heard())
            return bool(found)

        self.walk.run(done, deadline)
        return found
