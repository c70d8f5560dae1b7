"""Flannel: leases, a backend's entries on every node, its masquerading and forwarding rules, its CNI plugin."""

from __future__ import annotations

from .backend import ORIGIN
from .daemon import SUBNET_FILE, conflist, mtu_of, program, subnet_env, subnet_files
from .leases import ANNOTATION, Lease, leases, node_annotations
from .observed import Observed, backend_of_node, observed, observed_networks
from .options import BACKENDS, Flannel, net_conf
from .rules import forward_steps, masquerade_steps, node_steps
from .vxlan import OVERHEAD

__all__ = [
    "ANNOTATION", "BACKENDS", "ORIGIN", "OVERHEAD", "SUBNET_FILE", "Flannel", "Lease", "Observed", "backend_of_node", "conflist",
    "forward_steps", "leases", "masquerade_steps", "mtu_of", "net_conf", "node_annotations", "node_steps", "observed",
    "observed_networks", "program", "subnet_env", "subnet_files",
]  # fmt: skip
