"""kube-proxy's options, and how it tells a pod's traffic from other traffic.

Source: kube-proxy 1.34, pkg/proxy/apis/config (KubeProxyConfiguration, and validation/), cmd/kube-proxy/app/server_linux.go
(getLocalDetectors), pkg/proxy/util/{localdetector,nodeport_addresses}.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from ..errors import KubenetError, NotModelled
from ..objects.addresses import parse_cidr
from .node import NodeView

__all__ = ["KubeProxy", "LocalDetector", "local_detector", "node_port_addresses", "serves_loopback"]

#: it works for both wherever the machine has both, whatever the cluster uses (server_linux.go, platformCheckSupported)
FAMILIES = (4, 6)
MODES = ("iptables", "nftables", "ipvs")
DETECT = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")


@dataclass(frozen=True, slots=True)
class KubeProxy:
    """How kube-proxy is run; the names are those of KubeProxyConfiguration.

    `cluster_cidr`: the pod network, one CIDR a family, separated by a comma. None: the cluster fills in its pod CIDR;
    "": not set, then kube-proxy cannot tell pods from others and masquerades no ClusterIP traffic.
    `node_port_addresses`: CIDRs in which node ports are served; ("primary",): on the node IPs; empty: see the function of this name.
    `random_fully`: iptables can do --random-fully (1.6.2 and later). `nfacct`: the kernel has nfnetlink_acct, so kube-proxy adds counters.
    `large_cluster_endpoints`: above so many endpoints the comments of endpoint rules are left out.
    """

    mode: str = "iptables"
    masquerade_all: bool = False
    cluster_cidr: str | None = None
    node_port_addresses: tuple[str, ...] = ()
    localhost_node_ports: bool = True
    masquerade_bit: int = 14
    detect_local_mode: str = "ClusterCIDR"
    bridge_interface: str = ""
    interface_name_prefix: str = ""
    random_fully: bool = True
    nfacct: bool = False
    tcp_be_liberal: bool = False  # net.netfilter.nf_conntrack_tcp_be_liberal: no DROP of INVALID then
    large_cluster_endpoints: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "node_port_addresses", tuple(self.node_port_addresses))
        if self.mode not in MODES:
            raise KubenetError(f"kube-proxy mode: found {self.mode!r}, expected one of {', '.join(MODES)}")
        if self.detect_local_mode not in DETECT:
            raise KubenetError(f"detectLocalMode: found {self.detect_local_mode!r}, expected one of {', '.join(DETECT)}")
        if not 0 <= self.masquerade_bit <= 31:
            raise KubenetError(f"iptables.masqueradeBit: found {self.masquerade_bit}, expected a number from 0 to 31")
        for mode, field, name in (
            ("BridgeInterface", "detectLocal.bridgeInterface", self.bridge_interface),
            ("InterfaceNamePrefix", "detectLocal.interfaceNamePrefix", self.interface_name_prefix),
        ):
            if self.detect_local_mode == mode and not name:
                raise KubenetError(f"{field}: found nothing, expected a name, as detectLocalMode is {mode}")
        cidrs = self.cluster_cidr.split(",") if self.cluster_cidr else []
        for cidr in cidrs:
            _cidr("clusterCIDR", cidr)
        if len({":" in c for c in cidrs}) != len(cidrs):
            raise KubenetError(f"clusterCIDR: found {self.cluster_cidr!r}, expected one CIDR, or one of each IP family")
        if self.node_port_addresses != ("primary",):
            for cidr in self.node_port_addresses:
                _cidr("nodePortAddresses", cidr)

    @property
    def mark(self) -> str:
        """The masquerade mark as kube-proxy writes it ("%#08x"); iptables prints 0x4000."""
        return f"{1 << self.masquerade_bit:#010x}"

    def modelled(self) -> None:
        """Raises NotModelled for a mode that the lab does not program."""
        if self.mode == "ipvs":
            raise NotModelled(f"kube-proxy mode {self.mode}")

    def only_iptables(self) -> None:
        if self.mode != "iptables":
            raise NotModelled(f"kube-proxy mode {self.mode}")


def _cidr(field: str, text: str) -> None:
    if parse_cidr(text) is None:
        raise KubenetError(f"{field}: found {text!r}, expected a CIDR like 10.244.0.0/16")


@dataclass(frozen=True, slots=True)
class LocalDetector:
    """The match that tells traffic of this cluster's pods from all other traffic, as iptables arguments."""

    if_local: str
    if_not_local: str


def local_detector(options: KubeProxy, node: NodeView, family: int) -> LocalDetector | None:
    """None where kube-proxy has no way to tell: it warns, and masquerades nothing for ClusterIPs."""
    mode = options.detect_local_mode
    if mode == "BridgeInterface":
        return LocalDetector(f"-i {options.bridge_interface}", f"! -i {options.bridge_interface}")
    if mode == "InterfaceNamePrefix":
        prefix = options.interface_name_prefix
        return LocalDetector(f"-i {prefix}+", f"! -i {prefix}+")
    cidrs = node.pod_cidrs if mode == "NodeCIDR" else (options.cluster_cidr or "").split(",")
    cidr = next((c for c in cidrs if c and (6 if ":" in c else 4) == family), None)
    if cidr is None:
        return None
    network = ip_network(cidr, strict=False)
    return LocalDetector(f"-s {network}", f"! -s {network}")


def serves_loopback(options: KubeProxy, family: int) -> bool:
    """Whether node ports are served on 127.0.0.1: in iptables mode for IPv4, switched on, and not excluded by nodePortAddresses."""
    if options.mode != "iptables" or family != 4 or not options.localhost_node_ports:
        return False
    if options.node_port_addresses == ("primary",):
        return False
    networks = [ip_network(c, strict=False) for c in options.node_port_addresses if ":" not in c]
    return not networks or any(n.is_loopback or ip_address("127.0.0.0") in n for n in networks)


def node_port_addresses(options: KubeProxy, node: NodeView, family: int) -> tuple[str, ...] | None:
    """The addresses on which node ports and health checks are served; None: on every local address.

    Without nodePortAddresses that is every address in iptables mode, and the node IP in nftables mode (KEP-3866).
    """
    if options.node_port_addresses == ("primary",) or (options.mode == "nftables" and not options.node_port_addresses):
        own = node.primary_ip(family)
        return (own,) if own else None  # no address of this family: as if nothing was given
    networks = [ip_network(c, strict=False) for c in options.node_port_addresses if (6 if ":" in c else 4) == family]
    if not networks or any(n.prefixlen == 0 for n in networks):
        return None
    matched = [a for n in networks for a in node.all_addresses(family) if ip_address(a) in n]
    return tuple(dict.fromkeys(matched))
