"""Exercises of notebook 03: how packets reach another node, over a tunnel or without."""

from __future__ import annotations

from typing import Any

from ...cni import Flannel
from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import address_of_node, bookshop

__all__ = ["QUESTIONS"]

#: (client, target): on different nodes; seed 0 takes the first
PAIRS = (("shop/web", "shop/cart"), ("ops/jobs", "shop/cart"), ("shop/cart", "data/cache"))
#: how the pods' packets travel, and whether a router stands between the nodes
WAYS = (("host-gw", True), ("direct", False), ("vxlan", True), ("host-gw", False), ("direct", True))
RACKS = {
    "segments": {
        "rack-a": {"cidr": "192.168.50.0/24", "nodes": ["worker-1"]},
        "rack-b": {"cidr": "192.168.51.0/24", "nodes": ["worker-2"]},
    }
}


def _cluster(mode: str = "vxlan", apart: bool = False) -> Any:
    network = Flannel(backend="host-gw") if mode == "host-gw" else Flannel(direct_routing=mode == "direct")
    return bookshop(cni=network, **({"underlay": RACKS} if apart else {}))


def _pair(seed: int, cluster: Any) -> tuple[str, str]:
    """A pair whose pods are on different nodes."""
    first = pick(seed, "pair", range(len(PAIRS)))
    ordered = [PAIRS[(first + n) % len(PAIRS)] for n in range(len(PAIRS))]
    return next(p for p in ordered if cluster.pod(p[0]).node.name != cluster.pod(p[1]).node.name)


def _port(cluster: Any, dst: str) -> int:
    return int(next(p.container_port for c in cluster.pod(dst).object.spec.containers for p in c.ports))


# 03.1


def _hop_case(seed: int) -> Case:
    mode = pick(seed, "mode", ("host-gw", "vxlan"))
    cluster = _cluster(mode)
    src, dst = _pair(seed, cluster)
    node, far = cluster.pod(src).node, cluster.pod(dst)
    words = str(node.run(f"ip route get {far.ip}")).split()
    nodes: Any = cluster.objects("Node")
    internal = address_of_node(cluster, far.node.name)
    subnet = next(n.spec.pod_cidr for n in nodes if n.name == far.node.name)
    return Case(
        cluster,
        {
            "mode": mode, "node": node.name, "dst": far.ip, "via": words[words.index("via") + 1], "far": internal,
            "vtep": subnet.partition("/")[0], "gateway": f"{subnet.rpartition('.')[0]}.1",
        },
    )  # fmt: skip


NEXT_HOP = Exercise(
    id="03.1",
    title="The next hop",
    prompt="flannel runs with the backend {mode}. Which next hop does {node} use for packets to the pod {dst}?",
    form=Form("address"),
    setup=_hop_case,
    truth=lambda case: case["via"],
    because=lambda case: (
        "With host-gw the route names the other node itself."
        if case["mode"] == "host-gw"
        else "With VXLAN the route names the far VTEP; the neighbour and forwarding entries say what that means."
    ),
    hints=(
        "The pod's address belongs to the slice of one node. Find the route for that slice.",
        'Build it: `kn.example("bookshop", cni=kn.Flannel(backend="{mode}"))`, then `ip route` on {node}.',
        "Ask the table: `ip route get {dst}` on {node}. The next hop stands behind `via`.",
    ),
    distractors=(
        Distractor(
            "sender-asks-for-the-target", lambda case: case["dst"], "That is the pod. It is not on the wire of {node}: look for `via`."
        ),
        Distractor(
            "far-bridge-is-next",
            lambda case: case["gateway"],
            "That is the bridge of the other node. It stands behind that node, not on a wire of {node}.",
        ),
        Distractor(
            "overlay-routes-to-nodes",
            lambda case: case["far"],
            "That is the other node. In an overlay it stands in the outer packet, not in the route.",
        ),
        Distractor("vtep-everywhere", lambda case: case["vtep"], "That is the name of a far VTEP. Is there a tunnel in this mode?"),
    ),
)

# 03.2


def _way_case(seed: int) -> Case:
    mode, apart = pick(seed, "way", WAYS)
    cluster = _cluster(mode, apart)
    src, dst = _pair(seed, cluster)
    trace = cluster.connect(src, dst, port=_port(cluster, dst))
    label = {"host-gw": "the backend host-gw", "direct": "the backend vxlan and DirectRouting", "vxlan": "the backend vxlan"}[mode]
    place = "on two segments with a router between" if apart else "on one wire"
    return Case(cluster, {"mode": mode, "label": label, "place": place, "apart": apart, "src": src, "dst": dst, "trace": trace})


ARRIVES = Exercise(
    id="03.2",
    title="Does it arrive",
    prompt="flannel runs with {label}. The two nodes stand {place}. {src} connects to {dst}, on the other node. Which verdict does it get?",
    form=Form("word", choices=("delivered", "refused", "timeout", "unreachable"), synonyms={"works": "delivered", "ok": "delivered"}),
    setup=_way_case,
    truth=lambda case: case["trace"].verdict,
    because=lambda case: (
        "The packet reaches the other node, "
        + ("inside a packet from node to node." if any(h.added > 1 for h in case["trace"].hops) else "by a plain route.")
        if case["trace"]
        else "The next hop is not on the node's wire, so there is no route; the router gets the packet and knows no pods."
    ),
    hints=(
        "Who has to know the way to the pod: only the nodes, or a router too?",
        "A plain route needs a next hop on the node's own wire. Is it there?",
        'Build it with `kn.example("bookshop", cni=kn.Flannel(...), underlay=...)`, and connect.',
    ),
    distractors=(
        Distractor(
            "host-gw-works-everywhere",
            lambda case: "delivered",
            "Look at the routes of the client's node. Is there one for the other node's pods?",
        ),
        Distractor(
            "overlay-is-required",
            lambda case: "timeout",
            "Follow the packet: which device does the node send it to, and who receives it there?",
        ),
        Distractor(
            "routers-report-unknown-pods", lambda case: "unreachable", "Does anybody on the way tell the client? Look at the last hop."
        ),
    ),
)

# 03.3


def _outer_case(seed: int) -> Case:
    mode = pick(seed, "outer", ("vxlan", "host-gw"))
    cluster = _cluster(mode, apart=False)
    src, dst = _pair(seed, cluster)
    trace = cluster.connect(src, dst, port=_port(cluster, dst))
    crossing = next(h for h in trace.hops if h.code == "wire.cross")
    addresses = [h.get("dst") for h in crossing.after if h.name == "IPv4"]
    return Case(
        cluster,
        {
            "mode": mode, "src": src, "dst": dst, "outer": addresses[0], "pod": cluster.pod(dst).ip,
            "own": address_of_node(cluster, cluster.pod(src).node.name), "far": address_of_node(cluster, cluster.pod(dst).node.name),
        },
    )  # fmt: skip


OUTER = Exercise(
    id="03.3",
    title="On the wire",
    prompt=(
        "flannel runs with the backend {mode}. {src} sends to {dst}, on the other node. "
        "Which destination stands in the outermost IP header on the wire?"
    ),
    form=Form("address"),
    setup=_outer_case,
    truth=lambda case: case["outer"],
    because=lambda case: (
        "The tunnel's packet goes from node to node."
        if case["mode"] == "vxlan"
        else "Nothing is wrapped: the pod's packet travels as it is."
    ),
    hints=(
        "Is there a tunnel in this mode? If so, who are its two ends?",
        "Find the hop with the code `wire.cross`, and list the headers after it.",
        "`[h.get('dst') for h in hop.after if h.name == 'IPv4'][0]` is the outermost.",
    ),
    distractors=(
        Distractor("overlay-is-free", lambda case: case["pod"], "That is the pod. In an overlay its address stands in the inner header."),
        Distractor(
            "nodes-rewrite-pod-addresses", lambda case: case["far"], "That is the node. Without a tunnel nobody writes it into the packet."
        ),
        Distractor("next-hop-in-packet", lambda case: case["own"], "That is the sender's own node. It is not where the packet goes."),
    ),
)

# 03.4


def _nodes_case(seed: int) -> Case:
    """How many routes to other nodes' pods a node has, counted in a cluster of that size."""
    count = pick(seed, "nodes", (5, 4, 6, 3))
    cluster = bookshop(nodes=count)
    node = cluster.node("worker-1")
    found = [line for line in str(node.run("ip route")).splitlines() if "flannel" in line]
    pods = sum(1 for p in cluster.objects("Pod") if getattr(p, "ips", ()))
    return Case(cluster, {"count": count, "routes": len(found), "pods": pods})


ROUTES = Exercise(
    id="03.4",
    title="How many routes",
    prompt="The bookshop runs on {count} nodes. How many routes to other nodes' pods does each node have?",
    form=Form("number"),
    setup=_nodes_case,
    truth=lambda case: case["routes"],
    because="One for the slice of each other node, {routes} in all, however many pods there are.",
    hints=(
        "A route is for a network, not for a pod.",
        'Load it: `kn.example("bookshop", nodes={count})`, and look at `ip route` on worker-1.',
        "Count the lines that lead to flannel.1.",
    ),
    distractors=(
        Distractor(
            "a-route-for-each-pod",
            lambda case: case["pods"],
            "That is the number of pods. All pods of a node share one slice, and one route.",
        ),
        Distractor("a-tunnel-to-oneself", lambda case: case["count"], "A node needs no route through the tunnel to its own pods."),
    ),
)

GROWTH = Prediction(
    id="03.a",
    title="Without a tunnel",
    prompt="With host-gw, how many bytes is the packet larger on the wire than in the pod?",
    form=Form("number", unit="bytes"),
    setup=lambda seed: Case(_cluster("host-gw")),
    truth=lambda case: _growth(case.cluster),
)


def _growth(cluster: Any) -> int:
    hops = cluster.preview("shop/web", "shop/cart", port=8080).hops
    wire = next(h for h in hops if h.code == "wire.cross")
    grown: int = sum(h.size for h in wire.after) - sum(h.size for h in hops[0].after) - (14 if hops[0].after[0].name != "Ethernet" else 0)
    return grown


APART = Prediction(
    id="03.b",
    title="A router between the nodes",
    prompt="With host-gw and a router between the nodes, what does web see when it connects to cart?",
    form=Form("word", choices=("delivered", "refused", "timeout", "unreachable")),
    setup=lambda seed: Case(_cluster("host-gw", apart=True)),
    truth=lambda case: case.cluster.preview("shop/web", "shop/cart", port=8080).verdict,
)

QUESTIONS: tuple[Question, ...] = (GROWTH, APART, NEXT_HOP, ARRIVES, OUTER, ROUTES)
