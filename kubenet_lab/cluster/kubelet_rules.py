"""What the kubelet writes with iptables when it starts, before kube-proxy and whatever its mode.

KUBE-IPTABLES-HINT tells other programs which iptables the node uses; the canaries are chains by which the kubelet notices that somebody
flushed the tables; KUBE-FIREWALL keeps strangers from the node's 127.0.0.1. It does so for both families, whether or not the node has
addresses of both; the guard is for IPv4 only.
Source: kubelet 1.34, pkg/kubelet/kubelet_network_linux.go (initNetworkUtil, syncIPTablesRules), pkg/util/iptables/iptables.go (Monitor).
"""

from __future__ import annotations

from ..services.iptables_base import GUARD, loopback_rule

__all__ = ["ORIGINS", "kubelet_text"]

ORIGINS = {GUARD: "kubelet: loopback guard"}
_CANARY = "KUBE-KUBELET-CANARY"


def kubelet_text(family: int) -> str:
    """For `iptables-restore --noflush` (`ip6tables-restore` for family 6) on a node that has none of it."""
    guard = [f":{GUARD} - [0:0]", f"-I OUTPUT -j {GUARD}", f"-I INPUT -j {GUARD}", loopback_rule()] if family == 4 else []
    tables = {
        "mangle": [":KUBE-IPTABLES-HINT - [0:0]", f":{_CANARY} - [0:0]"],
        "nat": [f":{_CANARY} - [0:0]"],
        "filter": [f":{_CANARY} - [0:0]", *guard],
    }
    return "".join("\n".join([f"*{name}", *lines, "COMMIT", ""]) for name, lines in tables.items())
