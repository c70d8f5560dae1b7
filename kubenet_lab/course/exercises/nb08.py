"""Exercises of notebook 08: node ports, traffic policies, and whose address the server sees."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ...cni import Flannel
from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import VERDICTS, address_of_node, bookshop, web_pods
from .nb08_balancers import DOOR, HEALTH, STATUS

__all__ = ["QUESTIONS"]

OUTSIDE = "external:203.0.113.7"
NODES = ("worker-1", "worker-2", "worker-3")


def _public(policy: str = "Cluster", internal: str = "Cluster", replicas: int = 1, nodes: int = 2) -> Any:
    """The bookshop with the Service web-public under these policies, and so many pods of web."""
    cluster = bookshop(**({"nodes": nodes} if nodes != 2 else {}))
    cluster.scale("shop/web", replicas)
    cluster.apply(
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web-public", "namespace": "shop"},
            "spec": {
                "type": "NodePort", "externalTrafficPolicy": policy, "internalTrafficPolicy": internal,
                "selector": {"app.kubernetes.io/name": "web"},
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}],
            },
        }
    )  # fmt: skip
    return cluster


def _places(cluster: Any) -> list[str]:
    """The nodes of web's pods."""
    return sorted(p.spec.node_name for p in web_pods(cluster))


# 08.1


def _source_case(seed: int) -> Case:
    policy, side = pick(seed, "source", (("Cluster", "other"), ("Local", "same"), ("Cluster", "same")))
    cluster = _public(policy, nodes=3)
    home = _places(cluster)[0]
    node = home if side == "same" else next(n for n in reversed(NODES) if n != home)
    seen = cluster.connect(OUTSIDE, f"node:{node}", port=30080).source_seen
    facts = {"policy": policy, "home": home, "node": node, "seen": seen, "nth": ("first", "second", "third")[NODES.index(node)]}
    return Case(cluster, facts | {"address": address_of_node(cluster, node)})


SOURCE = Exercise(
    id="08.1",
    title="Whom the pod sees",
    prompt=(
        "The bookshop runs on worker-1, worker-2 and worker-3. The Service web-public has one pod, on {home}, and externalTrafficPolicy "
        "{policy}. The customer 203.0.113.7 asks {node} at port 30080. Which source address does the pod see?"
    ),
    form=Form("address"),
    setup=_source_case,
    truth=lambda case: case["seen"],
    because=lambda case: (
        "With Local only pods of that node are chosen, so the answer passes it anyway, and nothing is masqueraded."
        if case["policy"] == "Local"
        else "With Cluster all that comes by this door is masqueraded, with the address of the device that it leaves by."
    ),
    hints=(
        "Does this policy masquerade? If so, by which device does the packet leave {node}?",
        "A pod on the same node is reached by cni0, a pod elsewhere by flannel.1. Which addresses do they have on {node}, the {nth} node?",
        'Three nodes: `kn.example("bookshop", nodes=3)`. Apply the Service; `cluster.outcomes(...)` lists what the server sees.',
    ),
    distractors=(
        Distractor(
            "client-address-arrives",
            lambda case: "203.0.113.7" if case["policy"] == "Cluster" else None,
            "Then the answer could take another way back. What does this policy do against that?",
        ),
        Distractor(
            "masquerade-is-the-node-address",
            lambda case: case["address"],
            "That is the node's address on the wire between the nodes. Is there a masquerade, and which device does the packet leave by?",
        ),
    ),
)

# 08.2


def _nodes_case(seed: int) -> Case:
    policy, replicas = pick(seed, "nodes", (("Local", 1), ("Local", 2), ("Cluster", 1), ("Cluster", 2)))
    cluster = _public(policy, replicas=replicas, nodes=3)
    ends = {n: cluster.outcomes(OUTSIDE, f"node:{n}", port=30080) for n in NODES}
    answering = sorted(n for n, found in ends.items() if any(o.verdict == "delivered" for o in found))
    places = sorted(set(_places(cluster)))
    facts = {"policy": policy, "count": replicas, "answering": answering, "places": places, "where": " and ".join(places)}
    return Case(cluster, facts | {"pods": "one pod" if replicas == 1 else f"{replicas} pods"})


WHICH_NODES = Exercise(
    id="08.2",
    title="Which doors are open",
    prompt=(
        "The bookshop runs on worker-1, worker-2 and worker-3. The Service web-public has {pods}, on {where}, and externalTrafficPolicy "
        "{policy}. At which nodes is a customer answered who asks for port 30080?"
    ),
    form=Form("word", "set", choices=NODES),
    setup=_nodes_case,
    truth=lambda case: case["answering"],
    because=lambda case: (
        "With Local a node answers only if a pod of the Service runs on it."
        if case["policy"] == "Local"
        else "With Cluster every node answers, and sends on what its own pods cannot take."
    ),
    hints=(
        "Every node has the port. Which of them have somebody to send to, under this policy?",
        'Three nodes: `kn.example("bookshop", nodes=3)`. Then apply the Service with its policy.',
        "Ask each node from outside. Write the nodes as a set or a list.",
    ),
    distractors=(
        Distractor(
            "local-falls-back",
            lambda case: NODES if case["policy"] == "Local" else None,
            "With Local no node sends to another. What does a node do that has no pod?",
        ),
        Distractor(
            "node-port-is-where-the-pod-is",
            lambda case: case["places"] if case["policy"] == "Cluster" else None,
            "With this policy a node may send to any pod, wherever it is.",
        ),
    ),
)

# 08.3

WAYS = ("own door", "outside", "inside", "other door", "internal")
WAY_WORDS = {
    "outside": ("Local", "Cluster", "a customer outside connects to port 30080 of the other node"),
    "inside": ("Local", "Cluster", "a pod on the other node connects to its ClusterIP"),
    "own door": ("Local", "Cluster", "a pod on the other node connects to port 30080 of the node that it runs on"),
    "other door": ("Cluster", "Local", "a customer outside connects to port 30080 of the other node"),
    "internal": ("Cluster", "Local", "a pod on the other node connects to its ClusterIP"),
}


def _way_case(seed: int) -> Case:
    way = pick(seed, "way", WAYS)
    policy, internal, words = WAY_WORDS[way]
    cluster = _public(policy, internal)
    home = _places(cluster)[0]
    other = next(n for n in NODES if n != home)
    pods = [p for p in cluster.objects("Pod") if p.spec.node_name == other and p.ips and not p.spec.host_network]
    pod = next(p for p in pods if p.namespace in ("ops", "shop")).key
    src = OUTSIDE if "outside" in words else pod
    dst, port = ("svc:shop/web-public", 80) if "ClusterIP" in words else (f"node:{other}", 30080)
    trace = cluster.connect(src, dst, port=port)
    return Case(cluster, {"way": way, "policy": policy, "internal": internal, "words": words, "home": home, "trace": trace})


def _why_way(case: Case) -> str:
    return {
        "outside": "The other node has no pod of its own, and under Local it drops what comes from outside.",
        "inside": "externalTrafficPolicy is about the doors to the outside. The ClusterIP goes to all endpoints.",
        "own door": "What starts in a pod of the node takes the short circuit to all endpoints.",
        "other door": "internalTrafficPolicy is about the ClusterIP. The node port goes to all endpoints.",
        "internal": "Under internalTrafficPolicy Local the client's node chooses only pods of its own, and has none: it drops the packet.",
    }[case["way"]]


POLICY = Exercise(
    id="08.3",
    title="Two policies",
    prompt=(
        "The Service web-public has one pod, on {home}. Its externalTrafficPolicy is {policy}, its internalTrafficPolicy {internal}. "
        "Then {words}. Which verdict does the client get?"
    ),
    form=Form("word", choices=VERDICTS, synonyms={"works": "delivered", "ok": "delivered", "hangs": "timeout", "dropped": "timeout"}),
    setup=_way_case,
    truth=lambda case: case["trace"].verdict,
    because=_why_way,
    hints=(
        "Which of the two fields speaks of this address: that for doors to the outside, or that for the ClusterIP?",
        "Which node meets the packet first, and may it choose a pod elsewhere?",
        "Apply the Service with both fields in a copy, scale web to 1, and connect.",
    ),
    distractors=(
        Distractor(
            "local-refuses",
            lambda case: "refused" if case["way"] in ("outside", "internal") else None,
            "A node without a pod of its own does not say no: there are endpoints elsewhere.",
        ),
        Distractor(
            "local-falls-back",
            lambda case: "delivered" if case["way"] in ("outside", "internal") else None,
            "Does a node under Local send to another node when it has no pod?",
        ),
        Distractor(
            "local-changes-inside",
            lambda case: "timeout" if case["way"] in ("inside", "own door") else None,
            "Where does this packet start? The policy is about what comes from outside.",
        ),
        Distractor(
            "policies-are-one",
            lambda case: "timeout" if case["way"] == "other door" else None,
            "That field is about another address of the Service. Which one?",
        ),
    ),
)

# 08.4


def _share_case(seed: int) -> Case:
    policy, replicas = pick(seed, "even", (("Local", 5), ("Local", 3), ("Cluster", 3), ("Cluster", 5)))
    cluster = _public(policy, replicas=replicas)
    places = _places(cluster)
    lonely = min(NODES[:2], key=places.count)
    mine = next(p.key for p in web_pods(cluster) if p.spec.node_name == lonely)
    share = sum(
        (o.probability / 2 for n in NODES[:2] for o in cluster.outcomes(OUTSIDE, f"node:{n}", port=30080) if o.answered_by == mine),
        Fraction(0),
    )
    facts = {"policy": policy, "n": replicas, "node": lonely, "here": places.count(lonely), "share": share}
    return Case(cluster, facts | {"are": "is" if places.count(lonely) == 1 else "are"})


SHARE = Exercise(
    id="08.4",
    title="An even share",
    prompt=(
        "The Service web-public has {n} pods, of which {here} {are} on {node} and the rest on one other node; its externalTrafficPolicy is "
        "{policy}. A balancer sends every second customer to {node}, the others to the other node. With which probability does one given "
        "pod of {node} answer a customer? Write a fraction, such as 2/7."
    ),
    form=Form("number"),
    setup=_share_case,
    truth=lambda case: case["share"],
    because=lambda case: (
        "Each node gets one half, and under Local shares it among its own pods."
        if case["policy"] == "Local"
        else "Under Cluster it does not matter at which node a customer knocks: every node chooses among all pods."
    ),
    hints=(
        "What does each node get, and among whom does it share that?",
        'Ask both nodes: `cluster.outcomes("external:203.0.113.7", "node:worker-1", port=30080)`, and the same for worker-2.',
        "Take half of each probability and add up. Pass the fraction as a text.",
    ),
    distractors=(
        Distractor(
            "local-is-even",
            lambda case: Fraction(1, case["n"]),
            "So it would be if every node chose among all pods. Does this policy let it?",
        ),
        Distractor(
            "node-port-is-where-the-pod-is",
            lambda case: Fraction(1, 2 * case["here"]),
            "Under this policy a node chooses among the pods of all nodes.",
        ),
    ),
)


def _bare(seed: int) -> Case:
    """Neither kube-proxy nor flannel masquerades what comes to worker-1's node port."""
    cluster = bookshop(cni=Flannel(ip_masq=False))
    chain = next(
        word for word in str(cluster.node("worker-1").run("iptables -t nat -S KUBE-NODEPORTS | grep shop/web-public")).split()
        if word.startswith("KUBE-EXT-")
    )  # fmt: skip
    mark = str(cluster.node("worker-1").run(f"iptables -t nat -S {chain} | grep KUBE-MARK-MASQ")).strip()
    cluster.node("worker-1").run(mark.replace("-A", "iptables -t nat -D", 1))
    return Case(cluster)


def _far_end(case: Case) -> str:
    ends = case.cluster.outcomes(OUTSIDE, "node:worker-1", port=30080)
    return next((str(o.verdict) for o in ends if o.verdict != "delivered"), "delivered")


NO_MASQUERADE = Prediction(
    id="08.a",
    title="Without the masquerade",
    prompt="Without any masquerade, a customer of worker-1 is sent to the pod on worker-2. What does the customer see?",
    form=Form("word", choices=VERDICTS),
    setup=_bare,
    truth=_far_end,
)


def _local(seed: int) -> Case:
    return Case(_public("Local"))


NO_POD = Prediction(
    id="08.b",
    title="A door without a pod",
    prompt="With externalTrafficPolicy Local, and the only pod on worker-2, what does a customer see at port 30080 of worker-1?",
    form=Form("word", choices=VERDICTS),
    setup=_local,
    truth=lambda case: case.cluster.preview(OUTSIDE, "node:worker-1", port=30080).verdict,
)

QUESTIONS: tuple[Question, ...] = (NO_MASQUERADE, NO_POD, STATUS, SOURCE, WHICH_NODES, POLICY, SHARE, DOOR, HEALTH)
