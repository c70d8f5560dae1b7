"""Reference plugins that the lab knows by name only: they are installed on a real node, and here they say that they are not modelled."""

from __future__ import annotations

from ..errors import NotModelled
from .contract import Call
from .result import Result

__all__ = ["UNMODELLED", "Unmodelled"]

#: type -> what it would do
UNMODELLED: dict[str, str] = {
    "bandwidth": "shaping by queueing disciplines (tbf, ifb)",
    "dhcp": "leases from a DHCP server by a daemon on the node",
    "firewall": "its chains CNI-FORWARD, CNI-ADMIN and CNI-ISOLATION-STAGE, or firewalld",
    "host-device": "moving a device of the node into the pod",
    "ipvlan": "ipvlan devices",
    "sbr": "a routing table per interface by its source address",
    "vlan": "802.1Q devices",
    "vrf": "VRF devices",
}


class Unmodelled:
    """One of them. Every operation raises NotModelled with the reason."""

    def __init__(self, type: str):
        self.type = type

    def _refuse(self) -> NotModelled:
        return NotModelled(f"CNI plugin {self.type}: {UNMODELLED[self.type]}")

    def add(self, call: Call) -> Result:
        raise self._refuse()

    def delete(self, call: Call) -> None:
        raise self._refuse()

    def check(self, call: Call) -> None:
        raise self._refuse()

    def gc(self, call: Call) -> None:
        raise self._refuse()

    def status(self, call: Call) -> None:
        raise self._refuse()

    def validate(self, config: object) -> None:
        raise self._refuse()
