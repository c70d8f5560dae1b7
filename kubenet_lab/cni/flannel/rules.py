"""Flannel's iptables rules: what is masqueraded, and that forwarding from and to the network is allowed.

Source: flannel-io/flannel pkg/trafficmngr/iptables/iptables.go.
"""

from __future__ import annotations

from ...kernel.address import prefix
from ..rules import RuleStep, append, new_chain
from .backend import ORIGIN
from .leases import Lease
from .options import Flannel

__all__ = ["forward_steps", "masquerade_steps", "node_steps"]

#: what kube-proxy marks for masquerading; flannel leaves that to kube-proxy
KUBE_PROXY_MARK = "0x4000/0x4000"


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
    """All rules of one family of one node's daemon: masquerading (with --ip-masq), then forwarding (--iptables-forward-rules)."""
    network = options.network_of(lease.family)
    masq = masquerade_steps(network, lease.subnet, options.random_fully) if options.ip_masq else []
    return [*masq, *(forward_steps(network) if options.forward_rules else ())]
