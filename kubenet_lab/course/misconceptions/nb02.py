"""The wrong ideas that notebook 02 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "02_how_a_pod_gets_its_ip.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "kubernetes-gives-addresses",
        "Kubernetes, or the kubelet, gives out the pods' addresses.",
        "A plugin on the pod's own node does. The kubelet reads the result and writes it into the pod's status.",
        _NOTEBOOK,
        "Look at what is left",
    ),
    Misconception(
        "cni-is-a-daemon",
        "CNI is a program that runs on every node.",
        "It is an agreement about how programs are called. They run for a moment, for each pod that comes or goes.",
        _NOTEBOOK,
        "Look at what is left",
    ),
    Misconception(
        "host-local-is-a-network",
        "host-local is a pod network like flannel.",
        "It is IPAM: it keeps the addresses of one node in files. A main plugin, such as bridge, makes the network.",
        _NOTEBOOK,
        "Look at what is left",
    ),
    Misconception(
        "lowest-free-address",
        "A new pod gets the lowest free address.",
        "host-local goes on from the last one that it gave, and comes back to freed ones only when it has gone round.",
        _NOTEBOOK,
        "Which address comes next?",
    ),
    Misconception(
        "last-freed-address",
        "The address that was freed last is given out next.",
        "Freeing an address takes its file away and moves nothing else.",
        _NOTEBOOK,
        "Which address comes next?",
    ),
    Misconception(
        "gateway-is-for-pods",
        "The first address of the subnet goes to the first pod.",
        "It is the gateway's. The first pod gets the second.",
        _NOTEBOOK,
        "Which address comes next?",
    ),
    Misconception(
        "del-follows-add",
        "DEL calls the plugins in the order of the list.",
        "It begins at the end: what was put on last comes off first.",
        _NOTEBOOK,
        "Take it away",
    ),
    Misconception(
        "runtime-calls-the-ipam",
        "The runtime calls the IPAM plugin itself.",
        "The main plugin calls it, with the same verb. The runtime knows the plugins of the list only.",
        _NOTEBOOK,
        "Take it away",
    ),
    Misconception(
        "macvlan-pod-hears-its-node",
        "A macvlan pod and its node are on one wire, so they reach each other.",
        "A macvlan device hands frames to its siblings or out of the wire, never to the device it stands on.",
        _NOTEBOOK,
        "Do it yourself",
    ),
    Misconception(
        "macvlan-hears-nobody",
        "A macvlan pod is cut off from everything on its node's wire.",
        "Only from its own node, and in some modes from its siblings. All others on the wire reach it.",
        _NOTEBOOK,
        "Do it yourself",
    ),
)
