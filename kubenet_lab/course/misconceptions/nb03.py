"""The wrong ideas that notebook 03 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "03_two_nodes.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "far-bridge-is-next",
        "The next hop to another node's pods is the bridge of that node.",
        "A next hop must be reachable on the sender's own wire. The far bridge stands behind the far node.",
        _NOTEBOOK,
        "The three entries of a neighbour",
    ),
    Misconception(
        "overlay-routes-to-nodes",
        "In an overlay a node's route names the other node.",
        "It names the far VTEP. Neighbour and forwarding entries lead from there to the node, whose address stands in the outer packet.",
        _NOTEBOOK,
        "The three entries of a neighbour",
    ),
    Misconception(
        "vtep-everywhere",
        "Packets to other nodes always go through flannel.1.",
        "Only where flannel wraps. With host-gw there is no such device, and the route names the other node.",
        _NOTEBOOK,
        "Without a tunnel",
    ),
    Misconception(
        "overlay-is-required",
        "Pods of different nodes can only talk through an overlay.",
        "Nodes that know the way send pods' packets as they are. An overlay is one way of telling nothing to the network below.",
        _NOTEBOOK,
        "Without a tunnel",
    ),
    Misconception(
        "nodes-rewrite-pod-addresses",
        "Pods of different nodes are translated: the packet carries node addresses.",
        "A pod sees the address of the other pod, over a tunnel or without. Node addresses stand in outer headers only.",
        _NOTEBOOK,
        "Without a tunnel",
    ),
    Misconception(
        "host-gw-works-everywhere",
        "host-gw works wherever the nodes reach each other.",
        "Its routes name nodes as next hops, and a next hop must stand on the same wire. Behind a router the route cannot be written.",
        _NOTEBOOK,
        "When the wire ends",
    ),
    Misconception(
        "routers-report-unknown-pods",
        "A router that does not know the pods tells the sender.",
        "It follows its own default route, out into the world, where such a packet is lost. Nobody answers.",
        _NOTEBOOK,
        "When the wire ends",
    ),
    Misconception(
        "a-route-for-each-pod",
        "A node needs a route for every pod of the cluster.",
        "Each node owns a slice of the pod network. One route leads to all pods of a node.",
        _NOTEBOOK,
        "The three entries of a neighbour",
    ),
    Misconception(
        "a-tunnel-to-oneself",
        "A node reaches its own pods through the tunnel as well.",
        "Its own slice is on its own bridge. Tunnel entries exist for the other nodes only.",
        _NOTEBOOK,
        "The three entries of a neighbour",
    ),
)
