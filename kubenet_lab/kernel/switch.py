"""What a wire's switch knows: who is at its ports, by hardware address.

A real switch learns it from what it sees; the lab's looks it up, and keeps it until something is programmed otherwise anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .links import Link
from .namespace import Namespace
from .network import Network, Segment
from .stacked import children

if TYPE_CHECKING:
    from .hearers import Hearers

__all__ = ["Port", "Switch", "switch_of"]

Port = tuple[tuple[str, str], Namespace, Link]  # (namespace id, link name), both as they are now


class Switch:
    """The ports of a segment that are up."""

    __slots__ = ("_by_mac", "_own", "hearers", "ports", "when")

    def __init__(self, net: Network, segment: Segment):
        self.when = _now(segment)
        self.ports: list[Port] = []
        self.hearers: Hearers | None = None
        self._own: dict[str, list[Port]] = {}
        self._by_mac: dict[str, list[Port]] = {}
        for at in segment.ports:
            ns = net.namespaces[at[0]]
            nic = ns.links.get(at[1])
            if nic is None or not nic.up:
                continue
            port = (at, ns, nic)
            self.ports.append(port)
            self._own.setdefault(nic.mac, []).append(port)
            for mac in dict.fromkeys((nic.mac, *(k.mac for _, k in children(ns, nic.name) if k.up))):
                self._by_mac.setdefault(mac, []).append(port)

    def takers(self, mac: str, foreign: bool) -> list[Port]:
        """The ports whose NIC lets this address in: its own and, where `foreign` ones may be, those of its macvlan children."""
        return (self._by_mac if foreign else self._own).get(mac, [])


def _now(segment: Segment) -> tuple[int, int]:
    return Namespace.changes, len(segment.ports)


def switch_of(net: Network, segment: Segment) -> Switch:
    found = segment.switch
    if found is None or found.when != _now(segment):
        found = segment.switch = Switch(net, segment)
    return found
