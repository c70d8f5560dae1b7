"""The wrong ideas that notebook 07 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "07_kube_proxys_rules.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "kube-proxy-carries-packets",
        "Packets to a Service pass through the program kube-proxy.",
        "It writes rules, and the kernel follows them. When it stops, packets still pass; only changes no longer arrive.",
        _NOTEBOOK,
        "The way through",
    ),
    Misconception(
        "one-balancer-for-all",
        "One place in the cluster decides which endpoint a connection gets.",
        "Every node has the rules, and the client's own node decides.",
        _NOTEBOOK,
        "The way through",
    ),
    Misconception(
        "rule-share-is-total-share",
        "With n endpoints every rule has the probability 1/n.",
        "A rule sees only what the rules above it left. The second of four takes a third of three quarters.",
        _NOTEBOOK,
        "Chance, rule by rule",
    ),
    Misconception(
        "chance-counts-rules-above",
        "The k-th rule has the probability 1/k.",
        "It has 1 divided by the number of endpoints that are left, this one included.",
        _NOTEBOOK,
        "Chance, rule by rule",
    ),
    Misconception(
        "reply-comes-from-the-pod",
        "The client gets its answer from the pod's address.",
        "The client's node undoes the rewriting: the answer comes from the ClusterIP that was asked.",
        _NOTEBOOK,
        "One connection, one choice",
    ),
    Misconception(
        "service-hides-the-client",
        "A pod sees the Service, or a node, as the client of every connection through a Service.",
        "A pod's packets keep their source. Only what does not come from the pod network, or comes back to its sender, gets a new one.",
        _NOTEBOOK,
        "Whose address the server sees",
    ),
    Misconception(
        "masquerade-is-the-node-address",
        "Masquerade writes the node's own address as source.",
        "It writes that of the device by which the packet leaves: a bridge's or a tunnel's as well.",
        _NOTEBOOK,
        "Whose address the server sees",
    ),
    Misconception(
        "hairpin-needs-nothing",
        "That a pod reaches itself through its own Service goes without saying.",
        "The packet needs a new source, and the bridge port must send out what it took in: its hairpin flag must be on.",
        _NOTEBOOK,
        "Whose address the server sees",
    ),
    Misconception(
        "cluster-ip-is-a-host",
        "A ClusterIP belongs to some machine, which can be pinged.",
        "In iptables mode no device has it. It stands in rules for one protocol and one port each.",
        _NOTEBOOK,
        "An address without a machine",
    ),
    Misconception(
        "unused-port-is-refused",
        "A port that a Service does not have is refused.",
        "In iptables mode no rule fits such a packet. It leaves by the default route, and nobody answers.",
        _NOTEBOOK,
        "An address without a machine",
    ),
    Misconception(
        "unready-cuts-connections",
        "When a pod stops being ready, its open connections are cut, or moved to another pod.",
        "Rules are for new connections. What conntrack knows goes on until one of the two ends it.",
        _NOTEBOOK,
        "One connection, one choice",
    ),
    Misconception(
        "udp-chooses-every-time",
        "UDP has no connections, so every packet gets an endpoint anew.",
        "conntrack keeps a flow of two addresses and two ports. While it lives, its packets go to one endpoint.",
        _NOTEBOOK,
        "UDP too",
    ),
    Misconception(
        "udp-flow-stays",
        "A UDP flow stays with a pod that is not ready any more, as a TCP connection does.",
        "While another endpoint is left, kube-proxy deletes the flow's entry, and the next packet meets the new rules.",
        _NOTEBOOK,
        "UDP too",
    ),
)
