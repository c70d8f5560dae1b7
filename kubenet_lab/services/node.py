"""`NodeView`: what a proxy knows of the node it runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ..objects.views import Node

__all__ = ["NodeView"]

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node. `primary` holds its node IPs, at most one a family; `addresses` all addresses of its interfaces, in their order."""

    name: str
    primary: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_LABELS)
    pod_cidrs: tuple[str, ...] = ()

    @classmethod
    def of(cls, node: Node, addresses: Sequence[str] = ()) -> NodeView:
        """From a Node object; `addresses` are those of its interfaces (without them: what the object lists)."""
        listed = [a.address for a in node.status.addresses if a.type == "InternalIP"]
        primary: dict[int, str] = {}
        for address in listed:
            primary.setdefault(6 if ":" in address else 4, address)
        cidrs = tuple(node.spec.pod_cidrs) or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())
        return cls(node.name, tuple(primary.values()), tuple(addresses) or tuple(listed), MappingProxyType(dict(node.labels)), cidrs)

    def primary_ip(self, family: int) -> str:
        """The node IP of a family, or ""."""
        return next((a for a in self.primary if (6 if ":" in a else 4) == family), "")

    def all_addresses(self, family: int) -> tuple[str, ...]:
        """Every address of a family, the loopback's first: what the kernel lists for the node."""
        loopback = "127.0.0.1" if family == 4 else "::1"
        own = [a for a in (*self.addresses, *self.primary) if (6 if ":" in a else 4) == family]
        return tuple(dict.fromkeys([loopback, *own]))
