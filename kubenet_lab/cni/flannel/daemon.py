"""The daemon on every node: a function of the leases. Also what it leaves on disk, and the conflist that goes with it."""

from __future__ import annotations

import json
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
from .udp import UdpBackend
from .vxlan import VxlanBackend
from .wireguard import WireguardBackend

__all__ = ["SUBNET_FILE", "backend_of", "conflist", "mtu_of", "program", "subnet_env", "subnet_files"]

SUBNET_FILE = "/run/flannel/subnet.env"
_BACKENDS: dict[str, Backend] = {b.type: b for b in (VxlanBackend(), HostGwBackend(), UdpBackend(), WireguardBackend())}


def backend_of(options: Flannel) -> Backend:
    return _BACKENDS[options.backend]


def program(network: Network, all_leases: Sequence[Lease], options: Flannel) -> tuple[tuple[Lease, ...], list[Problem]]:
    """Give every node its devices and the entries for all the others; gives the leases that are held, and what the daemons complain of.

    May be repeated: what flannel wrote before (told by its origin) is replaced, what others wrote stays. A node whose daemon
    does not start holds no lease, so the others know nothing of it.
    """
    backend = backend_of(options)
    held: dict[str, list[Lease]] = {}
    problems = []
    for name, mine in _by_node(all_leases).items():
        node = network.namespaces[name]
        _clear(node)
        try:
            backend.start(node, mine, options)
        except CniError as e:
            problems.append(Problem(f"flanneld does not start: {e.msg}; pods on this node have no network", "", f"Node {name}"))
            continue
        # the daemon's start-up: pods are routed through the node
        for family in options.families:
            node.set_sysctl("net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding", 1)
        held[name] = mine
    for name, mine in held.items():
        for other, theirs in held.items():
            for line in backend.add(network.namespaces[name], mine, theirs, options) if other != name else ():
                text = f"flanneld logs: {line}; from here nothing reaches the pods of {other}"
                problems.append(Problem(text, "", f"Node {name}"))
    return tuple(lease for mine in held.values() for lease in mine), problems


def _by_node(all_leases: Sequence[Lease]) -> dict[str, list[Lease]]:
    found: dict[str, list[Lease]] = {}
    for lease in all_leases:
        found.setdefault(lease.node, []).append(lease)
    return found


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


def subnet_env(mine: Sequence[Lease], options: Flannel, mtu: int) -> str:
    """/run/flannel/subnet.env: how the daemon tells the CNI plugin. `mine` are the node's leases (pkg/subnet/subnet.go WriteSubnetFile)."""
    lines = []
    for lease in mine:
        six = "IPV6_" if lease.family == 6 else ""
        lines += [f"FLANNEL_{six}NETWORK={options.network_of(lease.family)}", f"FLANNEL_{six}SUBNET={lease.gateway}"]
    return "\n".join([*lines, f"FLANNEL_MTU={mtu}", f"FLANNEL_IPMASQ={str(options.ip_masq).lower()}"]) + "\n"


def subnet_files(network: Network, held: Sequence[Lease], options: Flannel) -> dict[str, dict[str, str]]:
    """{node: {path: content}} of what the daemons write on their nodes' disks."""
    found = _by_node(held)
    return {node: {SUBNET_FILE: subnet_env(mine, options, mtu_of(network, mine[0], options))} for node, mine in found.items()}


def conflist(options: Flannel) -> dict[str, Any]:
    """/etc/cni/net.d/10-flannel.conflist: what the options bring, else as Documentation/kube-flannel.yml ships it."""
    if options.cni_conf:
        found: dict[str, Any] = json.loads(options.cni_conf)
        return found
    delegate: dict[str, Any] = {"hairpinMode": options.hairpin_mode, "isDefaultGateway": True}
    if options.bridge != "cni0":
        delegate["bridge"] = options.bridge
    plugins = [{"type": "flannel", "delegate": delegate}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"name": "cbr0", "cniVersion": "0.3.1", "plugins": plugins}
