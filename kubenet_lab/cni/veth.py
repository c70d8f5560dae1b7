"""A veth pair between a pod and the node, as the bridge and ptp plugins make it.

Source: containernetworking/plugins pkg/ip/link_linux.go (SetupVeth, DelLinkByNameAddr). The host end's name is drawn at
random on a real node and a hash here: "veth" and 8 hex digits of container and interface. So is a MAC.
"""

from __future__ import annotations

import hashlib
import re

from ..kernel.links import BridgePort, Link, mac_of
from ..kernel.namespace import Namespace
from .contract import Call
from .result import CniError, Interface

__all__ = ["MAX_MTU", "MIN_MTU", "assignable", "delete_pair", "make_pair", "parse_mac", "veth_name"]

#: what a veth and a bridge take (ETH_MIN_MTU, ETH_MAX_MTU)
MIN_MTU, MAX_MTU = 68, 65535

_MAC = re.compile(r"(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4})\Z", re.IGNORECASE)


def veth_name(container_id: str, ifname: str) -> str:
    """The host end's name."""
    return "veth" + hashlib.sha256(f"{container_id}/{ifname}".encode()).hexdigest()[:8]


def parse_mac(text: str) -> str:
    """An Ethernet address as Go's net.ParseMAC reads it. Raises CniError."""
    if not _MAC.match(text):
        raise CniError(999, f"address {text}: invalid MAC address")
    digits = re.sub(r"[^0-9a-f]", "", text.lower())
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def assignable(mac: str) -> bool:
    """May a device have it: neither a group address nor none at all (is_valid_ether_addr)?"""
    return not int(mac[:2], 16) & 1 and mac != "00:00:00:00:00:00"


def make_pair(call: Call, pod: Namespace, mtu: int, mac: str = "", *, master: str = "", port: BridgePort | None = None) -> str:
    """Make the pair: `call.ifname` in the pod, still down, and the host end, up; gives the host end's name.

    `mtu` 0 or less: the kernel's. `master` and `port`: the bridge that the host end joins. Raises CniError.
    """
    node = call.host.node
    try:
        mac = parse_mac(mac) if mac else mac_of(f"{call.container_id}/{call.ifname}")
    except CniError as e:
        raise CniError(999, f"failed to make veth pair: {e.msg}") from None
    if mtu > 0 and not MIN_MTU <= mtu <= MAX_MTU:
        raise CniError(999, "failed to make veth pair: invalid argument")
    if call.ifname in pod.links:
        raise CniError(999, f"container veth name provided ({call.ifname}) already exists")
    if not assignable(mac):
        raise CniError(999, "failed to make veth pair: cannot assign requested address")
    size = mtu if mtu > 0 else 1500
    name, n = veth_name(call.container_id, call.ifname), 0
    while name in node.links:
        name, n = veth_name(f"{call.container_id}#{n}", call.ifname), n + 1
    pod.add_link(call.ifname, "veth", mac=mac, mtu=size, up=False, peer=(node.id, name), origin=pod.origin)
    node.add_link(
        name, "veth", mac=mac_of(f"{node.id}/{name}"), mtu=size, peer=(pod.id, call.ifname), master=master, port=port, origin=pod.origin
    )
    node.set_sysctl(f"net.ipv6.conf.{name}.accept_ra", 0)
    return name


def delete_pair(call: Call) -> list[str]:
    """Remove the pod's interface and with it the pair; gives its addresses (CIDR), of which global unicast ones count.

    What is gone already is no error.
    """
    pod = call.host.network.namespaces.get(call.netns)
    if pod is None or call.ifname not in pod.links:
        return []
    link = pod.remove_link(call.ifname)
    if link.peer and link.peer[0] in call.host.network.namespaces:
        there = call.host.network.namespaces[link.peer[0]]
        if link.peer[1] in there.links:
            there.remove_link(link.peer[1])
    return [str(a) for a in link.addresses if a.scope == "global"]


def interface_of(link: Link, sandbox: str = "") -> Interface:
    """A link as a result lists it; its MTU is told from version 1.1.0 on."""
    return Interface(link.name, link.mac, link.mtu, sandbox)
