"""`Network`: machines, the wires between them, and the world outside.

A `Segment` is one layer-2 network (a switch): NICs on it reach each other. A router joins the segments, and its last
side is the outside world; external clients stand there, or on a segment when their address belongs to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import KubenetError
from . import stacked
from .address import family, prefix
from .links import Link
from .namespace import Namespace
from .port_filter import PortFilter
from .routing import RoutingRule

if TYPE_CHECKING:
    from .switch import Switch

__all__ = ["PROVIDER", "ROUTER", "Host", "Network", "Segment"]

#: the machine between the segments and the world outside, and the one at the far end of its uplink
ROUTER, PROVIDER = "gateway", "provider"

#: the router's address towards the world outside (RFC 6598 shared space, RFC 4193), where every external machine sends
OUTSIDE_GATEWAY, OUTSIDE_GATEWAY6 = "100.64.0.1", "fd64::1"

#: the two ends of the uplink, the provider's first
UPLINK, UPLINK6 = ("100.64.1.1", "100.64.1.2"), ("fd64:1::1", "fd64:1::2")

#: the provider's table for what comes from inside
FROM_INSIDE = 100

#: one way over a wire, in lab seconds; veth, bridge and local work count as nothing
WIRE_DELAY = 0.0002
OUTSIDE_DELAY = 0.01


@dataclass(slots=True)
class Segment:
    """A wire: `cidrs` are what it is used for (documentation and external placement), `delay` one way in lab seconds."""

    name: str
    cidrs: tuple[str, ...] = ()
    mtu: int = 1500
    delay: float = WIRE_DELAY
    ports: list[tuple[str, str]] = field(default_factory=list)  # (namespace id, link name)
    filters: dict[tuple[str, str], PortFilter] = field(default_factory=dict)  # at these ports
    hairpin: set[tuple[str, str]] = field(default_factory=set)  # ports to which a frame goes back where it came from (802.1Qbg)
    switch: Switch | None = field(default=None, compare=False, repr=False)  # what it knows now (switch.py)
    foreign_macs: bool = True  # False: each port carries its NIC's own address only, as in clouds and on Wi-Fi


@dataclass(slots=True)
class Host:
    """A machine: "node", "router" or "external". Its own namespace has the machine's name."""

    name: str
    role: str
    root: Namespace
    pods: dict[str, Namespace] = field(default_factory=dict)


_SERIALS = itertools.count()


class Network:
    """Everything programmed. `seed` decides every draw of walks over it."""

    def __init__(self, seed: int = 0):
        self.seed, self.serial = seed, next(_SERIALS)
        self.hosts: dict[str, Host] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.segments: dict[str, Segment] = {}

    def add_segment(self, name: str, *, cidr: str | Sequence[str] = (), mtu: int = 1500, delay: float = WIRE_DELAY) -> Segment:
        """A new wire; `cidr` is its network, or one of each family."""
        if name in self.segments:
            raise KubenetError(f"segment {name!r} exists")
        cidrs = tuple(c for c in ((cidr,) if isinstance(cidr, str) else cidr) if c)
        self.segments[name] = Segment(name, cidrs, mtu, delay)
        return self.segments[name]

    def add_host(self, name: str, role: str = "node") -> Host:
        if name in self.namespaces:
            raise KubenetError(f"host {name!r} exists")
        root = Namespace(name, name)
        root.around = self.namespaces
        self.hosts[name] = Host(name, role, root)
        self.namespaces[name] = root
        return self.hosts[name]

    def add_namespace(self, host: str, id: str, origin: str = "") -> Namespace:
        """A namespace of its own on a machine (a pod's)."""
        if id in self.namespaces:
            raise KubenetError(f"namespace {id!r} exists")
        ns = Namespace(id, host, origin)
        ns.around = self.namespaces
        self.hosts[host].pods[id] = ns
        self.namespaces[id] = ns
        return ns

    def remove_namespace(self, id: str) -> None:
        """Take a pod's namespace away with both ends of its veth pairs and what stands on its devices."""
        ns = self.namespaces.pop(id)
        self.hosts[ns.host].pods.pop(id, None)
        for link in list(ns.links.values()):
            stacked.detach(ns, link)
            if link.peer and link.peer[0] in self.namespaces and link.peer[1] in self.namespaces[link.peer[0]].links:
                self.namespaces[link.peer[0]].remove_link(link.peer[1])

    def namespace(self, id: str) -> Namespace:
        return self.namespaces[id]

    def plug(self, host: str, segment: str, name: str = "eth0", *, address: str = "", mtu: int = 0, mac: str = "") -> Link:
        """A NIC of `host` on `segment`, with an address in CIDR form."""
        ns, seg = self.namespaces[host], self.segments[segment]
        ns.add_link(name, "physical", segment=segment, mtu=mtu or seg.mtu, mac=mac)
        seg.ports.append((host, name))
        if address:
            ns.add_address(name, address)
        return ns.links[name]

    def filter_port(self, host: str, at: PortFilter | None, name: str = "eth0") -> None:
        """Put a packet filter at the port of a NIC, or take it away."""
        for segment in self.segments.values():
            if (host, name) in segment.ports:
                segment.filters.pop((host, name), None)
                if at is not None and at.rules:
                    segment.filters[host, name] = at
                return
        raise KubenetError(f"{host} has no NIC {name} on a wire")

    # ---------------------------------------------------------------------------------------- the outside world
    def add_gateway(self, segment: str, address: str, *, outside: str = "outside", address6: str = "") -> Host:
        """The router between one segment and the outside world."""
        return self.add_router({segment: tuple(a for a in (address, address6) if a)}, outside=outside)

    def add_router(
        self, sides: Mapping[str, Sequence[str]], *, mtus: Mapping[str, int] | None = None, outside: str = "outside", uplink_mtu: int = 0
    ) -> Host:  # fmt: skip
        """The router between segments (`sides`: its addresses on each, in CIDR form) and the outside world.

        Its interface on a segment has the segment's name and MTU, or what `mtus` says. Outside, every address that nobody
        has stays silent. `uplink_mtu`: the way out is a link of that MTU to the provider's router, as a VPN or PPPoE has it.
        """
        router = self.add_host(ROUTER, "router")
        self.add_segment(outside, delay=OUTSIDE_DELAY)
        for segment, addresses in sides.items():
            self.plug(ROUTER, segment, segment, mtu=(mtus or {}).get(segment, 0))
            for address in addresses:
                router.root.add_address(segment, address)
        edge = self._uplink(uplink_mtu) if uplink_mtu else router
        self.plug(edge.name, outside, "wan", address=f"{OUTSIDE_GATEWAY}/32")
        edge.root.add_address("wan", f"{OUTSIDE_GATEWAY6}/128")
        for machine in {router.name: router, edge.name: edge}.values():
            machine.root.set_sysctl("net.ipv4.ip_forward", 1)
            machine.root.set_sysctl("net.ipv6.conf.all.forwarding", 1)
        # a provider's network does not say that it does not know an address: the packet is lost
        for any_prefix in ("0.0.0.0/0", "::/0"):
            edge.root.add_route(any_prefix, type="blackhole", metric=4278198272, table=FROM_INSIDE if uplink_mtu else 254)
        return router

    def _uplink(self, mtu: int) -> Host:
        """The provider's router and the link to it. What comes over it from inside goes outside or is lost; all else goes inside."""
        provider = self.add_host(PROVIDER, "router")
        self.add_segment("uplink", mtu=mtu)
        for (near, far), length, any_prefix in ((UPLINK, 30, "0.0.0.0/0"), (UPLINK6, 64, "::/0")):
            for name, own, other, dev in ((PROVIDER, near, far, "lan"), (ROUTER, far, near, "wan")):
                if dev not in self.namespaces[name].links:
                    self.plug(name, "uplink", dev)
                self.namespaces[name].add_address(dev, f"{own}/{length}")
                self.namespaces[name].add_route(any_prefix, via=other, dev=dev)
            provider.root.add_rule(RoutingRule(1000, FROM_INSIDE, iif="lan", family=6 if ":" in near else 4))
        return provider

    def segment_of(self, address: str) -> Segment | None:
        """The wire whose network holds `address`."""
        return next((s for s in self.segments.values() if any(address in prefix(c) for c in s.cidrs)), None)

    def external(self, address: str) -> Namespace:
        """The machine outside that has `address`; it is there as soon as it is asked for.

        On the segment whose network the address belongs to, else behind the router.
        """
        name = f"external:{address}"
        if name in self.namespaces:
            return self.namespaces[name]
        bits = 32 if family(address) == 4 else 128
        any_prefix = "0.0.0.0/0" if bits == 32 else "::/0"
        if (seg := self.segment_of(address)) is not None:
            length = next(prefix(c).length for c in seg.cidrs if address in prefix(c))
            host = self.add_host(name, "external")
            self.plug(name, seg.name, "eth0", address=f"{address}/{length}")
            gateway = self.gateway_address(seg.name, family(address))
            if gateway:
                host.root.add_route(any_prefix, via=gateway)
            return host.root
        if ROUTER not in self.hosts:
            raise KubenetError(f"no way to {address}: the network has no gateway")
        host = self.add_host(name, "external")
        self.plug(name, "outside", "eth0", address=f"{address}/{bits}")
        host.root.add_route(any_prefix, dev="eth0", via=OUTSIDE_GATEWAY if bits == 32 else OUTSIDE_GATEWAY6, onlink=True)
        edge = self.namespaces[PROVIDER if PROVIDER in self.hosts else ROUTER]
        edge.add_route(f"{address}/{bits}", dev="wan", scope="link")
        if edge.id == PROVIDER:
            edge.add_route(f"{address}/{bits}", dev="wan", scope="link", table=FROM_INSIDE)
        return host.root

    def gateway_address(self, segment: str, fam: int = 4) -> str | None:
        """The router's address of that family on a segment."""
        for id, name in self.segments[segment].ports:
            if id == ROUTER:
                return next((a.ip for a in self.namespaces[id].links[name].addresses if a.family == fam), None)
        return None

    def owner_of(self, address: str) -> Namespace | None:
        """The first namespace that has this address, nodes before pods; None if nobody has."""
        for ns in self.namespaces.values():
            if ns.local_device(address) not in (None, "lo"):
                return ns
        return None
