"""A two-node network for the tests of this room."""

from __future__ import annotations

import msgspec

from kubenet_lab.cni import PLUGINS, Flannel, PluginHost
from kubenet_lab.cni.flannel import Lease, leases, node_steps, program, subnet_files
from kubenet_lab.kernel.network import Network
from kubenet_lab.objects.views import Node


def node(n: int, six: bool = False, **more: object) -> Node:
    """Node worker-N; `six`: it has both families."""
    cidrs = [f"10.244.{n}.0/24", *([f"fd00:10:244:{n}::/64"] if six else [])]
    addresses = [f"192.168.50.{10 + n}", *([f"fd50::{10 + n}"] if six else [])]
    doc = {
        "kind": "Node",
        "metadata": {"name": f"worker-{n}", "annotations": more.get("annotations", {})},
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        "status": {"addresses": [{"type": "InternalIP", "address": a} for a in addresses]},
    }
    return msgspec.convert(doc, Node)


def network(nodes: int = 2, mtu: int = 1500, six: bool = False) -> Network:
    net = Network()
    net.add_segment("underlay", cidr="192.168.50.0/24", mtu=mtu)
    for n in range(1, nodes + 1):
        net.add_host(f"worker-{n}")
        net.plug(f"worker-{n}", "underlay", address=f"192.168.50.{10 + n}/24")
        if six:
            net.namespaces[f"worker-{n}"].add_address("eth0", f"fd50::{10 + n}/64")
    return net


def flannel_cluster(nodes: int = 2, options: Flannel | None = None) -> tuple[Network, tuple[Lease, ...], dict[str, PluginHost]]:
    """Nodes of the families that the options have, with a daemon each."""
    options = options or Flannel()
    six = 6 in options.families
    net = network(nodes, six=six)
    all_leases, _ = program(net, leases([node(n, six) for n in range(1, nodes + 1)], options), options)
    hosts = {name: PluginHost(net, name, PLUGINS, files) for name, files in subnet_files(net, all_leases, options).items()}
    for lease in all_leases:
        hosts[lease.node].program(node_steps(lease, options))
    return net, all_leases, hosts
