"""The wrong ideas that notebook 08 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "08_node_ports_and_policies.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "node-port-is-where-the-pod-is",
        "A node port leads to the pods of that node.",
        "Under the usual policy it is in every node, and leads to all pods of the Service.",
        _NOTEBOOK,
        "A door in every node",
    ),
    Misconception(
        "client-address-arrives",
        "The pod behind a node port sees the customer's address.",
        "Under the policy Cluster it sees an address of the node that was asked, so that the answer comes back that way.",
        _NOTEBOOK,
        "A door in every node",
    ),
    Misconception(
        "local-falls-back",
        "A node without a pod of its own sends on to another node, even under Local.",
        "It drops the packet. Nobody falls back.",
        _NOTEBOOK,
        "Only local pods",
    ),
    Misconception(
        "local-refuses",
        "A node without a pod of its own refuses under Local.",
        "There are endpoints, only none here: the packet is dropped, and the customer waits.",
        _NOTEBOOK,
        "Only local pods",
    ),
    Misconception(
        "local-changes-inside",
        "externalTrafficPolicy Local also changes what pods get inside the cluster.",
        "The ClusterIP goes to all endpoints as before, and so does a node's port for what starts on that node.",
        _NOTEBOOK,
        "Only local pods",
    ),
    Misconception(
        "local-is-even",
        "Local shares connections evenly among the pods.",
        "Each node shares what it gets among its own pods. A pod alone on its node gets more than one of many.",
        _NOTEBOOK,
        "Only local pods",
    ),
    Misconception(
        "policies-are-one",
        "internalTrafficPolicy also governs node ports.",
        "It governs the ClusterIP. Node ports and balancers' addresses have externalTrafficPolicy.",
        _NOTEBOOK,
        "The same for the inside",
    ),
    Misconception(
        "health-check-is-of-the-service",
        "A health check port says whether the Service has a pod anywhere.",
        "Each node answers for itself: 200 with a ready endpoint of its own, 503 without.",
        _NOTEBOOK,
        "Who has a pod",
    ),
    Misconception(
        "source-ranges-close-node-ports",
        "loadBalancerSourceRanges closes every door of the Service to others.",
        "It is about the balancer's address. The node port stays open.",
        _NOTEBOOK,
        "Whom the address lets in",
    ),
    Misconception(
        "source-ranges-refuse",
        "A source outside of loadBalancerSourceRanges is refused.",
        "Its packets are dropped, and it waits.",
        _NOTEBOOK,
        "Whom the address lets in",
    ),
    Misconception(
        "external-ip-is-announced",
        "An address of externalIPs is given to a node, and the network learns where it is.",
        "It stands in the nodes' rules and nowhere else. Somebody must bring the packets to a node.",
        _NOTEBOOK,
        "Whom the address lets in",
    ),
)
