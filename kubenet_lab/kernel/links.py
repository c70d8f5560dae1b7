"""Links (interfaces) and their addresses, as values.

A link is replaced, never changed: `Namespace.set_link` is the door. Kinds: "loopback", "physical"
(a NIC on a `Segment`), "veth", "bridge", "vxlan", "wireguard", "tun", "macvlan". Options carry the names iproute2 gives them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .address import family, number, prefix

__all__ = [
    "DEFAULT_VLANS", "RAW", "Address", "BridgeOptions", "BridgePort", "Link", "LinkKind", "MacvlanMode", "MacvlanOptions", "PortVlan",
    "TunOptions", "VxlanOptions", "WireguardOptions", "WireguardPeer", "is_secondary", "mac_of",
]  # fmt: skip

LinkKind = Literal["loopback", "physical", "veth", "bridge", "vxlan", "wireguard", "tun", "macvlan"]
MacvlanMode = Literal["private", "vepa", "bridge", "passthru"]
#: devices that carry IP packets without a frame around them: they have no hardware address and ask for none
RAW: frozenset[str] = frozenset(("wireguard", "tun"))


def mac_of(text: str) -> str:
    """A stable, locally administered unicast MAC made from a text (a real kernel draws one at random)."""
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:6])
    digest[0] = digest[0] & 0xFC | 0x02
    return ":".join(f"{b:02x}" for b in digest)


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link. `scope` is "global", "link" or "host"; `prefixroute` False is `noprefixroute`.

    `brd`: it carries its broadcast address, as with `brd +` (and as CNI plugins and DHCP clients set it).
    """

    ip: str
    length: int
    scope: Literal["global", "link", "host"] = "global"
    prefixroute: bool = True
    brd: bool = True

    @property
    def family(self) -> int:
        return family(self.ip)

    @property
    def network(self) -> str:
        return str(prefix(f"{self.ip}/{self.length}"))

    @property
    def broadcast(self) -> str | None:
        """The directed broadcast address, as `brd +` would set it; None for /31, /32 and IPv6."""
        if self.family == 6 or self.length >= 31:
            return None
        import ipaddress

        return str(ipaddress.ip_address(number(self.ip) | (1 << (32 - self.length)) - 1))

    def __str__(self) -> str:
        return f"{self.ip}/{self.length}"


def is_secondary(addresses: Iterable[Address], a: Address) -> bool:
    """Does an address of the same network and length stand before it (__inet_insert_ifa)? Then it brings no routes of its own."""
    if a.family == 6:
        return False
    for other in addresses:
        if other == a:
            return False
        if other.family == 4 and other.length == a.length and other.network == a.network and other.scope == a.scope:
            return True
    return False


@dataclass(frozen=True, slots=True)
class PortVlan:
    """A VLAN that a bridge's port is in. `pvid`: untagged frames that come in belong to it; `untagged`: its frames leave so."""

    id: int
    pvid: bool = False
    untagged: bool = False


#: what the kernel gives every port of a bridge (default_pvid 1)
DEFAULT_VLANS = (PortVlan(1, True, True),)


@dataclass(frozen=True, slots=True)
class BridgePort:
    """Options of a link that has a bridge as master (`bridge -d link`, `bridge vlan`)."""

    hairpin: bool = False
    isolated: bool = False
    learning: bool = True
    flood: bool = True
    vlans: tuple[PortVlan, ...] = DEFAULT_VLANS  # they count where the bridge filters


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """`mtu_set`: someone has set the bridge's MTU; until then it is that of its smallest port (br_mtu_auto_adjust).

    `mac_set`: likewise its MAC; until then it is the lowest of its ports' (br_stp_recalculate_bridge_id).

    `nf_mtu` is what bridge netfilter fragments to: 1500 until the bridge's MTU changes, whatever it was created with
    (br_nf_core.c br_dst_default_metrics, br_device.c br_change_mtu).
    """

    ageing: float = 300.0  # seconds a learned entry lives
    mtu_set: bool = False
    mac_set: bool = False
    nf_mtu: int = 1500
    vlan_filtering: bool = False
    vlans: tuple[PortVlan, ...] = DEFAULT_VLANS  # of the bridge's own device


@dataclass(frozen=True, slots=True)
class VxlanOptions:
    """`df`: may the outer IPv4 packet be fragmented on its way ("unset", the default), never ("set"), or as the inner one says?"""

    vni: int
    local: str
    dev: str  # the underlay device
    port: int = 8472
    learning: bool = False
    df: str = "unset"

    @property
    def family(self) -> int:
        """What its packets travel in: IPv6 if its own address is one."""
        return 6 if ":" in self.local else 4


@dataclass(frozen=True, slots=True)
class WireguardPeer:
    """`wg show`: whom packets for `allowed_ips` (CIDRs) go to, and who alone may send from them."""

    public_key: str
    endpoint: str
    port: int
    allowed_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WireguardOptions:
    public_key: str
    port: int
    peers: tuple[WireguardPeer, ...] = ()


@dataclass(frozen=True, slots=True)
class TunOptions:
    """What the program that holds the device is bound to, and its own table: (CIDR, the other program's address)."""

    local: str
    port: int
    routes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MacvlanOptions:
    """`lower` is (namespace id, link name) of the device below, the parent, which is often another namespace's.

    `nopromisc`: a passthru child does not make its parent promiscuous. `lower_mac`: the parent's own address, which it
    gets back when a passthru child that changed it goes away.
    """

    lower: tuple[str, str]
    mode: MacvlanMode = "vepa"
    nopromisc: bool = False
    lower_mac: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One interface of one namespace. `peer` is (namespace id, link name) of a veth's other end; `segment` names a NIC's wire."""

    name: str
    kind: LinkKind
    index: int
    mac: str
    mtu: int = 1500
    up: bool = True
    master: str = ""
    peer: tuple[str, str] | None = None
    segment: str = ""
    addresses: tuple[Address, ...] = ()
    port: BridgePort = BridgePort()
    bridge: BridgeOptions = BridgeOptions()
    vxlan: VxlanOptions | None = None
    wireguard: WireguardOptions | None = None
    tun: TunOptions | None = None
    macvlan: MacvlanOptions | None = None
    promisc: bool = False
    allmulti: bool = False
    opened: bool = False  # it was up before it went down: it keeps its queueing discipline
    arp: bool = True
    origin: str = ""

    @property
    def header_size(self) -> int:
        return 0 if self.kind in RAW else 14
