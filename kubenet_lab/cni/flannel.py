"""Flannel: leases, the vxlan backend's entries on every node, its masquerading and forwarding rules.

The daemon's work is a function of the leases: `program` gives every node the device flannel.N, and per remote
node a route, a permanent neighbour and an FDB entry. With the kube subnet manager a node's spec.podCIDR *is* its
lease; VTEP MAC and public address stand in node annotations and are used from there when a dump has them.
Sources: flannel-io/flannel pkg/backend/vxlan, pkg/trafficmngr/iptables, Documentation/kube-flannel.yml,
Documentation/backends.md.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import KubenetError, NotModelled
from ..kernel.address import prefix
from ..kernel.links import VxlanOptions, mac_of
from ..kernel.namespace import Namespace
from ..kernel.network import Network
from ..objects.views import Node
from .result import CniError
from .rules import RuleStep, append, new_chain

__all__ = [
    "ANNOTATION", "OVERHEAD", "Flannel", "Lease", "conflist", "forward_steps", "leases", "masquerade_steps", "net_conf",
    "node_annotations", "node_steps", "program", "subnet_env", "subnet_file",
]  # fmt: skip

ORIGIN = "DaemonSet kube-flannel/kube-flannel-ds"
ANNOTATION = "flannel.alpha.coreos.com"
SUBNET_FILE = "/run/flannel/subnet.env"
#: outer Ethernet, IPv4, UDP and VXLAN headers, in bytes
OVERHEAD = 50
#: what kube-proxy marks for masquerading; flannel leaves that to kube-proxy
KUBE_PROXY_MARK = "0x4000/0x4000"
BACKENDS = ("vxlan", "host-gw", "udp", "wireguard", "ipip", "ipsec", "alloc", "extension", "tencent-vpc")


@dataclass(frozen=True, slots=True)
class Flannel:
    """Options of the provider: net-conf.json and the daemon's flags. Only backend "vxlan" is modelled.

    `port` 8472 is the kernel's default (the IANA number 4789 is used on Windows only); `mtu` None is the underlay's less 50.
    `direct_routing`: nodes on one network get plain routes. `hairpin_mode` and `bridge` are the delegate's.
    """

    backend: str = "vxlan"
    network: str = "10.244.0.0/16"
    vni: int = 1
    port: int = 8472
    direct_routing: bool = False
    learning: bool = False
    mtu: int | None = None
    ip_masq: bool = True
    random_fully: bool = True
    hairpin_mode: bool = True
    bridge: str = "cni0"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise KubenetError(f"flannel has no backend {self.backend!r}; it has {', '.join(BACKENDS)}")
        if self.backend != "vxlan":
            raise NotModelled(f"flannel backend {self.backend}")
        if not 1 <= self.vni < 1 << 24:
            raise KubenetError(f"flannel VNI {self.vni}: expected 1 to 16777215")
        try:
            net = prefix(self.network)
        except ValueError as e:
            raise KubenetError(f"flannel Network {self.network!r}: {e}") from None
        if net.family == 6:
            raise NotModelled("flannel with IPv6 networks")

    @classmethod
    def from_net_conf(cls, text: str, ip_masq: bool = True) -> Flannel:
        """From net-conf.json. Without a Backend the type is "udp", which is not modelled. Raises KubenetError."""
        try:
            conf = json.loads(text)
            backend = conf.get("Backend") or {}
            if conf.get("EnableIPv6"):
                raise NotModelled("flannel with IPv6 networks")
            if conf.get("EnableNFTables"):
                raise NotModelled("flannel with EnableNFTables")
            return cls(
                str(backend.get("Type") or "udp").lower(), str(conf.get("Network") or ""), int(backend.get("VNI") or 1),
                int(backend.get("Port") or 8472), bool(backend.get("DirectRouting")), bool(backend.get("Learning")),
                int(backend["MTU"]) if backend.get("MTU") else None, ip_masq,
            )  # fmt: skip
        except (ValueError, AttributeError, TypeError) as e:
            raise KubenetError(f"net-conf.json: {e}") from None

    @property
    def device(self) -> str:
        return f"flannel.{self.vni}"


@dataclass(frozen=True, slots=True)
class Lease:
    """What one node has of the network, and how the others reach it."""

    node: str
    subnet: str  # CIDR
    public_ip: str
    vtep_mac: str

    @property
    def vtep_ip(self) -> str:
        """The address of the node's flannel device: the subnet's network address."""
        return self.subnet.partition("/")[0]

    @property
    def gateway(self) -> str:
        """The bridge's address, as subnet.env carries it: the first of the subnet, with the prefix length."""
        p = prefix(self.subnet)
        return f"{ipaddress.IPv4Address(p.network + 1)}/{p.length}"


def _public_ip(node: Node) -> str:
    stated = node.metadata.annotations.get(f"{ANNOTATION}/public-ip-overwrite") or node.metadata.annotations.get(f"{ANNOTATION}/public-ip")
    return stated or next((a.address for a in node.status.addresses if a.type == "InternalIP" and ":" not in a.address), "")


def leases(nodes: Iterable[Node], options: Flannel) -> tuple[Lease, ...]:
    """The lease of every node, by name. Raises CniError for a node that can have none, in the daemon's words."""
    out = []
    for node in sorted(nodes, key=lambda n: n.name):
        cidrs = node.spec.pod_cidrs or ([node.spec.pod_cidr] if node.spec.pod_cidr else [])
        subnet = next((c for c in cidrs if ":" not in c), "")
        if not subnet:
            raise CniError(999, f'failed to acquire lease: node "{node.name}" pod cidr not assigned')
        if not prefix(options.network).covers(prefix(subnet)):
            raise CniError(
                999, f"failed to acquire lease: subnet {subnet} of node {node.name} is not in the flannel network {options.network}"
            )
        ip = _public_ip(node)
        if not ip:
            raise CniError(999, f"failed to find any valid interface to use: node {node.name} has no IPv4 address")
        out.append(Lease(node.name, str(prefix(subnet)), ip, _vtep_mac(node, options)))
    return tuple(out)


def _vtep_mac(node: Node, options: Flannel) -> str:
    try:
        stated = json.loads(node.metadata.annotations.get(f"{ANNOTATION}/backend-data") or "{}")
        if mac := str(stated.get("VtepMAC") or ""):
            return mac.lower()
    except (ValueError, AttributeError):
        pass
    return mac_of(f"{node.name}/{options.device}")


def node_annotations(lease: Lease, options: Flannel) -> dict[str, str]:
    """What the daemon writes on its own Node object, for the others to read."""
    data = json.dumps({"VNI": options.vni, "VtepMAC": lease.vtep_mac}, separators=(",", ":"))
    return {
        f"{ANNOTATION}/backend-data": data, f"{ANNOTATION}/backend-type": "vxlan", f"{ANNOTATION}/kube-subnet-manager": "true",
        f"{ANNOTATION}/public-ip": lease.public_ip,
    }  # fmt: skip


def _underlay(node: Namespace, lease: Lease) -> tuple[str, int]:
    """The device that has the public address, and its MTU."""
    dev = node.local_device(lease.public_ip)
    if dev is None:
        raise CniError(999, f"failed to find interface with address {lease.public_ip} on {lease.node}")
    return dev, node.link(dev).mtu


def program(network: Network, all_leases: Sequence[Lease], options: Flannel) -> None:
    """Give every node that has a lease its flannel device and the entries for all the others.

    May be repeated: what flannel wrote before (told by its origin) is replaced, what others wrote stays.
    """
    for lease in all_leases:
        node = network.namespaces[lease.node]
        _clear(node)
        _device(node, lease, options)
        for other in all_leases:
            if other.node != lease.node:
                _remote(node, other, options)


def _clear(node: Namespace) -> None:
    for r in [r for r in node.routes if r.origin == ORIGIN]:
        node.remove_route(r.dst, dev=r.dev, via=r.via)
    for n in [n for n in node.neighbours.values() if n.origin == ORIGIN]:
        node.remove_neighbour(n.ip, n.dev)
    for e in [e for e in node.fdb if e.origin == ORIGIN]:
        node.remove_fdb(e.mac, e.dev, dst=e.dst)


def _device(node: Namespace, lease: Lease, options: Flannel) -> None:
    dev, mtu = _underlay(node, lease)
    wanted = VxlanOptions(options.vni, lease.public_ip, dev, options.port, options.learning)
    link = node.links.get(options.device)
    if link is not None and link.vxlan != wanted:
        # the daemon deletes a device that does not fit and makes it anew
        node.remove_link(options.device)
        link = None
    size = (mtu if options.mtu is None else options.mtu) - OVERHEAD
    if link is None:
        node.add_link(options.device, "vxlan", mac=lease.vtep_mac, mtu=size, vxlan=wanted, origin=ORIGIN)
        # /32, so that no route to the subnet comes with it: it is a source address for what the node itself sends to pods
        node.add_address(options.device, f"{lease.vtep_ip}/32")
    # the daemon's start-up: pods are routed through the node
    node.set_sysctl("net.ipv4.ip_forward", 1)


def _remote(node: Namespace, other: Lease, options: Flannel) -> None:
    if options.direct_routing:
        route = node.fib(4).lookup(other.public_ip)
        if route is not None and not route.via and route.type == "unicast":
            node.add_route(other.subnet, via=other.public_ip, origin=ORIGIN, replace_existing=True)
            return
    node.add_neighbour(other.vtep_ip, other.vtep_mac, options.device, origin=ORIGIN)
    node.add_fdb(other.vtep_mac, options.device, dst=other.public_ip, origin=ORIGIN)
    # last, as the daemon does: with the route first, traffic would ask by ARP
    node.add_route(other.subnet, dev=options.device, via=other.vtep_ip, onlink=True, origin=ORIGIN, replace_existing=True)


# -------------------------------------------------------------------------------------------------------- rules
def masquerade_steps(cluster_cidr: str, pod_cidr: str, random_fully: bool = True, origin: str = ORIGIN) -> list[RuleStep]:
    """FLANNEL-POSTRTG of one node, in the daemon's order: what kube-proxy marked and what stays between pods goes out as it is, what
    pods send elsewhere and what others send to pods of this network is masqueraded."""
    fam = prefix(cluster_cidr).family
    note = ("-m", "comment", "--comment", "flanneld masq")
    multicast = "224.0.0.0/4" if fam == 4 else "ff00::/8"
    masquerade = ("-j", "MASQUERADE", *(("--random-fully",) if random_fully else ()))
    chain = "FLANNEL-POSTRTG"

    def rule(where: str, *args: str) -> RuleStep:
        return append("nat", where, *args, family=fam, origin=origin)

    return [
        new_chain("nat", chain, fam, origin),
        rule("POSTROUTING", *note, "-j", chain),
        rule(chain, "-m", "mark", "--mark", KUBE_PROXY_MARK, *note, "-j", "RETURN"),
        rule(chain, "-s", pod_cidr, "-d", cluster_cidr, *note, "-j", "RETURN"),
        rule(chain, "-s", cluster_cidr, "-d", pod_cidr, *note, "-j", "RETURN"),
        rule(chain, "!", "-s", cluster_cidr, "-d", pod_cidr, *note, "-j", "RETURN"),
        rule(chain, "-s", cluster_cidr, "!", "-d", multicast, *note, *masquerade),
        rule(chain, "!", "-s", cluster_cidr, "-d", cluster_cidr, *note, *masquerade),
    ]


def forward_steps(network: str, origin: str = ORIGIN) -> list[RuleStep]:
    """FLANNEL-FWD: forwarding is allowed from and to the flannel network, whatever FORWARD's policy is."""
    fam = prefix(network).family
    note = ("-m", "comment", "--comment", "flanneld forward")
    chain = "FLANNEL-FWD"
    return [
        new_chain("filter", chain, fam, origin),
        append("filter", "FORWARD", *note, "-j", chain, family=fam, origin=origin),
        append("filter", chain, "-s", network, *note, "-j", "ACCEPT", family=fam, origin=origin),
        append("filter", chain, "-d", network, *note, "-j", "ACCEPT", family=fam, origin=origin),
    ]


def node_steps(lease: Lease, options: Flannel) -> list[RuleStep]:
    """All rules of one node's daemon: masquerading (with --ip-masq), then forwarding."""
    masq = masquerade_steps(options.network, lease.subnet, options.random_fully) if options.ip_masq else []
    return [*masq, *forward_steps(options.network)]


# ------------------------------------------------------------------------------------------------ what it leaves on disk
def mtu_of(network: Network, lease: Lease, options: Flannel) -> int:
    """The MTU of pods and of the flannel device."""
    return (_underlay(network.namespaces[lease.node], lease)[1] if options.mtu is None else options.mtu) - OVERHEAD


def subnet_env(lease: Lease, options: Flannel, mtu: int) -> str:
    """/run/flannel/subnet.env: how the daemon tells the CNI plugin."""
    masq = str(options.ip_masq).lower()
    return f"FLANNEL_NETWORK={options.network}\nFLANNEL_SUBNET={lease.gateway}\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ={masq}\n"


def subnet_file(network: Network, lease: Lease, options: Flannel) -> dict[str, str]:
    """{path: content} of what the daemon writes on its node's disk."""
    return {SUBNET_FILE: subnet_env(lease, options, mtu_of(network, lease, options))}


def conflist(options: Flannel) -> dict[str, Any]:
    """/etc/cni/net.d/10-flannel.conflist, as the project's manifest ships it."""
    delegate: dict[str, Any] = {"hairpinMode": options.hairpin_mode, "isDefaultGateway": True}
    if options.bridge != "cni0":
        delegate["bridge"] = options.bridge
    plugins = [{"type": "flannel", "delegate": delegate}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"name": "cbr0", "cniVersion": "0.3.1", "plugins": plugins}


def net_conf(options: Flannel) -> dict[str, Any]:
    """net-conf.json of the options: what differs from the defaults is named."""
    backend: dict[str, Any] = {"Type": options.backend}
    named: Mapping[str, tuple[Any, Any]] = {
        "VNI": (options.vni, 1), "Port": (options.port, 8472), "DirectRouting": (options.direct_routing, False),
        "Learning": (options.learning, False), "MTU": (options.mtu, None),
    }  # fmt: skip
    backend |= {k: v for k, (v, default) in named.items() if v != default}
    return {"Network": options.network, "EnableNFTables": False, "Backend": backend}
