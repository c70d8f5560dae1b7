"""The wrong ideas that notebook 01 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "01_one_pod.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "container-has-an-address",
        "Each container has an address of its own.",
        "All containers of a pod share one network namespace: one address, one list of ports, one lo.",
        _NOTEBOOK,
        "Two programs, one network",
    ),
    Misconception(
        "one-program-per-pod",
        "Only one program of a pod can listen.",
        "As many as like can, each on a port of its own, as on any machine.",
        _NOTEBOOK,
        "Two programs, one network",
    ),
    Misconception(
        "sender-asks-for-the-target",
        "A pod sends its frames to the hardware address of the target, wherever that is.",
        "Only for addresses on its own network. For all others it looks for the gateway that the route names.",
        _NOTEBOOK,
        "The way out",
    ),
    Misconception(
        "everything-by-the-gateway",
        "All packets of a pod go by its default gateway.",
        "The most exact route wins, and the pod's own network is more exact than the default route: neighbours are asked directly.",
        _NOTEBOOK,
        "The way out",
    ),
    Misconception(
        "gateway-is-elsewhere",
        "A pod's gateway is a router somewhere in the network, or the other node.",
        "It is the pod's own node: the bridge cni0 has the gateway's address.",
        _NOTEBOOK,
        "Who is the gateway?",
    ),
    Misconception(
        "every-pod-has-a-pod-address",
        "Every pod gets an address of the pod network.",
        "A pod with hostNetwork: true gets no network of its own. It shows, and uses, its node's address.",
        _NOTEBOOK,
        "A pod without a network of its own",
    ),
    Misconception(
        "host-network-is-the-default",
        "A pod is reached at its node's address.",
        "A pod has an address of its own unless it asks for the host network.",
        _NOTEBOOK,
        "A pod without a network of its own",
    ),
    Misconception(
        "cable-ends-in-the-bridge",
        "A pod's cable ends in the bridge itself.",
        "A cable has two ends, and the end on the node is an interface too, with a name and a number. It is plugged into the bridge.",
        _NOTEBOOK,
        "Who is the gateway?",
    ),
    Misconception(
        "cable-ends-at-the-wire",
        "A pod is plugged into the wire between the nodes.",
        "A pod's cable ends inside its node. Whether a packet ever reaches the wire is for the node to decide.",
        _NOTEBOOK,
        "Who is the gateway?",
    ),
)
