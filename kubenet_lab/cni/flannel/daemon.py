"""The daemon on every node: a function of the leases. Also what it leaves on disk, and the conflist that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import Problem
from ...kernel.namespace import Namespace
from ...kernel.network import Network
from ..result import CniError
from .backend import ORIGIN, Backend, underlay
from .host_gw import HostGwBackend
from .leases import Lease
from .options import Flannel
from .vxlan import VxlanBackend

__all__ = ["SUBNET_FILE", "backend_of", "conflist", "mtu_of", "program", "subnet_env", "subnet_file"]

SUBNET_FILE = "/run/flannel/subnet.env"
_BACKENDS: dict[str, Backend] = {b.type: b for b in (VxlanBackend(), HostGwBackend())}


def backend_of(options: Flannel) -> Backend:
    return _BACKENDS[options.backend]


def program(network: Network, all_leases: Sequence[Lease], options: Flannel) -> tuple[tuple[Lease, ...], list[Problem]]:
    """Give every node its device and the entries for all the others; gives the leases that are held, and what the daemons complain of.

    May be repeated: what flannel wrote before (told by its origin) is replaced, what others wrote stays. A node whose daemon
    does not start holds no lease, so the others know nothing of it.
    """
    backend = backend_of(options)
    held, problems = [], []
    for lease in all_leases:
        node = network.namespaces[lease.node]
        _clear(node)
        try:
            backend.start(node, lease, options)
        except CniError as e:
            problems.append(Problem(f"flanneld does not start: {e.msg}; pods on this node have no network", "", f"Node {lease.node}"))
            continue
        # the daemon's start-up: pods are routed through the node
        node.set_sysctl("net.ipv4.ip_forward", 1)
        held.append(lease)
    for lease in held:
        for other in (o for o in held if o.node != lease.node):
            if line := backend.add(network.namespaces[lease.node], lease, other, options):
                text = f"flanneld logs: {line}; from here nothing reaches the pods of {other.node}"
                problems.append(Problem(text, "", f"Node {lease.node}"))
    return tuple(held), problems


def _clear(node: Namespace) -> None:
    for r in [r for r in node.routes if r.origin == ORIGIN]:
        node.remove_route(r.dst, dev=r.dev, via=r.via)
    for n in [n for n in node.neighbours.values() if n.origin == ORIGIN]:
        node.remove_neighbour(n.ip, n.dev)
    for e in [e for e in node.fdb if e.origin == ORIGIN]:
        node.remove_fdb(e.mac, e.dev, dst=e.dst)


# ------------------------------------------------------------------------------------------------ what it leaves on disk
def mtu_of(network: Network, lease: Lease, options: Flannel) -> int:
    """The MTU of pods."""
    node = network.namespaces[lease.node]
    return backend_of(options).mtu(node.link(underlay(node, lease)).mtu, options)


def subnet_env(lease: Lease, options: Flannel, mtu: int) -> str:
    """/run/flannel/subnet.env: how the daemon tells the CNI plugin."""
    masq = str(options.ip_masq).lower()
    return f"FLANNEL_NETWORK={options.network}\nFLANNEL_SUBNET={lease.gateway}\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ={masq}\n"


def subnet_file(network: Network, lease: Lease, options: Flannel) -> dict[str, str]:
    """{path: content} of what the daemon writes on its node's disk."""
    return {SUBNET_FILE: subnet_env(lease, options, mtu_of(network, lease, options))}


def conflist(options: Flannel) -> dict[str, Any]:
    """/etc/cni/net.d/10-flannel.conflist, as the project's manifest ships it (Documentation/kube-flannel.yml)."""
    delegate: dict[str, Any] = {"hairpinMode": options.hairpin_mode, "isDefaultGateway": True}
    if options.bridge != "cni0":
        delegate["bridge"] = options.bridge
    plugins = [{"type": "flannel", "delegate": delegate}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"name": "cbr0", "cniVersion": "0.3.1", "plugins": plugins}
