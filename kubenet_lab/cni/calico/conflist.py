"""What Calico leaves on a node for CNI: 10-calico.conflist, the node's name, the MTU.

Sources: projectcalico/calico manifests/calico.yaml (calico-config), cni-plugin/pkg/install, node/pkg/lifecycle/startup.
"""

from __future__ import annotations

from typing import Any

from .options import Calico

__all__ = ["NETWORK", "conflist", "node_files"]

NETWORK = "k8s-pod-network"
NODENAME_FILE, MTU_FILE = "/var/lib/calico/nodename", "/var/lib/calico/mtu"


def conflist(options: Calico, node: str) -> dict[str, Any]:
    """The list that the install container writes for a node. An address family is asked for where there is a pool of it."""
    families = {p.family for p in options.ip_pools if not p.disabled}
    ipam: dict[str, Any] = {"type": "calico-ipam"}
    if 6 in families:
        ipam |= {"assign_ipv4": str(4 in families).lower(), "assign_ipv6": "true"}
    calico = {
        "type": "calico", "log_level": "info", "log_file_path": "/var/log/calico/cni/cni.log", "datastore_type": "kubernetes",
        "nodename": node, "mtu": options.mtu or 0, "ipam": ipam, "policy": {"type": "k8s"},
        "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"},
    }  # fmt: skip
    portmap = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
    return {"name": NETWORK, "cniVersion": "0.3.1", "plugins": [calico, portmap]}


def node_files(node: str, mtu: int) -> dict[str, str]:
    """{path: content} of what calico/node writes on its node's disk: without the name the plugin refuses to work."""
    return {NODENAME_FILE: node, MTU_FILE: f"{mtu}\n"}
