"""A two-node network for the tests of this room."""

from __future__ import annotations

import msgspec

from kubenet_lab.cni import PLUGINS, Flannel, PluginHost
from kubenet_lab.cni.flannel import Lease, leases, node_steps, program, subnet_file
from kubenet_lab.kernel.network import Network
from kubenet_lab.objects.views import Node


def node(n: int, **more: object) -> Node:
    doc = {
        "kind": "Node",
        "metadata": {"name": f"worker-{n}", "annotations": more.get("annotations", {})},
        "spec": {"podCIDR": f"10.244.{n}.0/24", "podCIDRs": [f"10.244.{n}.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": f"192.168.50.{10 + n}"}]},
    }
    return msgspec.convert(doc, Node)


def network(nodes: int = 2, mtu: int = 1500) -> Network:
    net = Network()
    net.add_segment("underlay", cidr="192.168.50.0/24", mtu=mtu)
    for n in range(1, nodes + 1):
        net.add_host(f"worker-{n}")
        net.plug(f"worker-{n}", "underlay", address=f"192.168.50.{10 + n}/24")
    return net


def flannel_cluster(nodes: int = 2, options: Flannel | None = None) -> tuple[Network, tuple[Lease, ...], dict[str, PluginHost]]:
    options = options or Flannel()
    net = network(nodes)
    all_leases = leases([node(n) for n in range(1, nodes + 1)], options)
    program(net, all_leases, options)
    hosts = {}
    for lease in all_leases:
        hosts[lease.node] = PluginHost(net, lease.node, PLUGINS, subnet_file(net, lease, options))
        hosts[lease.node].program(node_steps(lease, options))
    return net, all_leases, hosts
