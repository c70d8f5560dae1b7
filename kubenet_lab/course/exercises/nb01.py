"""Exercises of notebook 01: what a pod has of the network, and where its packets go first."""

from __future__ import annotations

from typing import Any

from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import address_of_node, bookshop

__all__ = ["QUESTIONS"]

#: who sends, and where to; seed 0 takes the first
SENDERS = ("shop/web", "shop/api", "data/cache", "ops/jobs", "shop/cart")
TARGETS = ("other node", "service", "world", "same node", "nobody")
#: the pod that is put beside the till in 01.2: its port, and what the other container already has
PORTS = ((8080, 8080), (9000, 8080), (8080, 9000), (6379, 6379), (5432, 6379))

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: desk, namespace: shop}}
spec:
  containers:
  - {{name: till, image: bookshop/till:1.2, ports: [{{containerPort: {first}}}]}}
  - {{name: log, image: bookshop/log:1.0}}
"""


# 01.1


def _route_case(seed: int) -> Case:
    """A pod, and an address that it sends to."""
    cluster = bookshop()
    src = pick(seed, "sender", SENDERS)
    pod = cluster.pod(src)
    pods = [p for p in cluster.objects("Pod") if p.ips and not p.spec.host_network and p.key != pod.name]
    near = [p.ips[0] for p in pods if p.spec.node_name == pod.node.name]
    far = [p.ips[0] for p in pods if p.spec.node_name != pod.node.name]
    free = next(f"{pod.ip.rsplit('.', 1)[0]}.{n}" for n in range(200, 250) if f"{pod.ip.rsplit('.', 1)[0]}.{n}" not in near)
    kind = pick(seed, "target", TARGETS)
    dst = {
        "other node": far[0], "same node": near[0], "nobody": free, "world": "203.0.113.7",
        "service": cluster.get("Service", "data/cache").spec.cluster_ip,
    }[kind]  # fmt: skip
    told = pod.run(f"ip route get {dst}").split()
    via = told[told.index("via") + 1] if "via" in told else dst
    return Case(cluster, {"src": src, "dst": dst, "via": via, "gateway": _gateway(pod), "node": pod.node, "kind": kind})


def _gateway(pod: Any) -> str:
    words: list[str] = str(pod.run("ip route show default")).split()
    return words[words.index("via") + 1]


def _why_hop(case: Case) -> str:
    if case["via"] == case["dst"]:
        return f"{case['dst']} is on the pod's own network: no gateway stands between, so the pod asks for {case['dst']} itself."
    return f"No entry is more exact than the ones that lead by {case['via']}, so the frame goes to the pod's own node first."


def _node_address(case: Case) -> Any:
    """What the far end of the way would be: the address of another node."""
    others = [n.name for n in case.cluster.objects("Node") if n.name != case["node"].name]
    return address_of_node(case.cluster, others[0])


NEXT_HOP = Exercise(
    id="01.1",
    title="Who gets the frame",
    prompt="{src} sends a packet to {dst}. Whose hardware address does it look for: which address is its next hop?",
    form=Form("address"),
    setup=_route_case,
    truth=lambda case: case["via"],
    because=_why_hop,
    hints=(
        "Read the routes of the pod, and look which of their networks the address belongs to.",
        'Ask the table: `cluster.pod("{src}").run("ip route get {dst}")`.',
        "If the line says `via`, the next hop stands right behind it. If it does not, the address is on the pod's own wire.",
    ),
    distractors=(
        Distractor(
            "sender-asks-for-the-target",
            lambda case: case["dst"],
            "The pod would shout for {dst} on its own wire, and nobody there has it. Look for the word `via`.",
        ),
        Distractor(
            "everything-by-the-gateway",
            lambda case: case["gateway"],
            "That is the gateway of the default route. Is there a more exact entry that {dst} fits?",
        ),
        Distractor(
            "gateway-is-elsewhere",
            _node_address,
            "That is the address of the other node. A pod knows no nodes: look at its routes.",
        ),
    ),
)

# 01.2


def _ports_case(seed: int) -> Case:
    """Two containers of one pod: the first listens, then the second wants a port too."""
    first, second = pick(seed, "ports", PORTS)
    cluster = bookshop()
    cluster.apply(POD.format(first=first))
    free = str(cluster.pod("shop/desk").run(f"nc -zv 127.0.0.1 {second}")).find("succeeded") < 0
    return Case(cluster, {"first": first, "second": second, "free": free})


TWO_PROGRAMS = Form(
    "word",
    choices=("starts", "fails"),
    synonyms={"works": "starts", "ok": "starts", "runs": "starts", "address already in use": "fails", "error": "fails", "in use": "fails"},
)

SHARED_PORTS = Exercise(
    id="01.2",
    title="Two programs, one port",
    prompt=(
        "In the pod desk the container till listens on TCP port {first}, on all addresses. Then the program in the container log wants to "
        "listen on TCP port {second}. Does it start, or does it fail?"
    ),
    form=TWO_PROGRAMS,
    setup=_ports_case,
    truth=lambda case: "starts" if case["free"] else "fails",
    because=lambda case: (
        f"The containers share one namespace, and with it one list of ports: {case['second']} was "
        f"{'still free' if case['free'] else 'taken, and the program is told: Address already in use'}."
    ),
    hints=(
        "Think of the pod as one machine on which two programs run.",
        "`ss -ltn` in the pod shows one list of ports for all its containers.",
        "Is there a line for port {second} in that list before the second program starts?",
    ),
    distractors=(
        Distractor(
            "container-has-an-address",
            lambda case: "starts",
            "They would, if each container had an address of its own. Run `ip -br addr` in the pod and count.",
        ),
        Distractor(
            "one-program-per-pod",
            lambda case: "fails",
            "Two programs may well listen in one pod. What they cannot have is the same port.",
        ),
    ),
)

# 01.3

HOST_POD = """
apiVersion: v1
kind: Pod
metadata: {{name: watch, namespace: ops}}
spec:
  hostNetwork: {host}
  nodeName: {node}
  containers:
  - {{name: watch, image: bookshop/watch:1.0}}
"""


def _host_case(seed: int) -> Case:
    node = pick(seed, "node", ("worker-2", "worker-1"))
    host = pick(seed, "host", (True, True, False))
    cluster = bookshop()
    cluster.apply(HOST_POD.format(host=str(host).lower(), node=node))
    subnet = next(n.spec.pod_cidr for n in cluster.objects("Node") if n.name == node)
    return Case(cluster, {"node": node, "host": str(host).lower(), "subnet": subnet, "address": cluster.pod("ops/watch").ip})


def _wrong_host(case: Case) -> Any:
    """The next free address of the node's pod network, as if the pod took part in it."""
    from ipaddress import ip_network

    pods: Any = case.cluster.objects("Pod")
    taken = {ip for p in pods for ip in p.ips}
    return next(str(a) for a in list(ip_network(case["subnet"]).hosts())[1:] if str(a) not in taken)


def _internal(case: Case) -> Any:
    return address_of_node(case.cluster, case["node"])


HOST_ADDRESS = Exercise(
    id="01.3",
    title="The address of a guest",
    prompt="A pod with hostNetwork: {host} starts on {node}. Which address does Kubernetes show for it?",
    form=Form("address"),
    setup=_host_case,
    truth=lambda case: case["address"],
    because=lambda case: (
        f"It has no namespace of its own: its address is that of {case['node']}."
        if case["host"] == "true"
        else f"It is a pod like any other: an address of {case['node']}'s pod network, {case['subnet']}, the next one in order."
    ),
    hints=(
        "With hostNetwork a pod gets no namespace. Whose stack does it use then?",
        'Look at a pod that you know: `print(cluster.pod("ops/ingress"))`.',
        '`kubectl get node -o wide` shows the address under INTERNAL-IP; in the lab, `cluster.node(...).run("ip -br addr")`.',
    ),
    distractors=(
        Distractor(
            "every-pod-has-a-pod-address",
            _wrong_host,
            "That would be the next address of the node's pod network. Look again at what the pod asks for.",
        ),
        Distractor(
            "host-network-is-the-default",
            _internal,
            "That is the node's own address. Only a pod with hostNetwork: true shows it.",
        ),
    ),
)

# 01.4


def _cable_case(seed: int) -> Case:
    src = pick(seed, "cable", ("shop/cart", "data/cache", "shop/api", "ops/jobs"))
    cluster = bookshop()
    pod = cluster.pod(src)
    told = str(pod.run("ip -br link show dev eth0")).split()[0]
    number = int(told.partition("@if")[2])
    links = pod.node.links()
    near = str(links[links.ifindex == number].ifname.iloc[0])
    others = [n for n in links.ifname if n.startswith("veth") and n != near]
    return Case(cluster, {"src": src, "node": pod.node.name, "near": near, "number": number, "other": others[0]})


CABLE = Exercise(
    id="01.4",
    title="The other end of the cable",
    prompt="Which interface of {node} is the other end of the cable of {src}?",
    form=Form("word"),
    setup=_cable_case,
    truth=lambda case: case["near"],
    because="eth0@if{number} in the pod says that the other end has number {number} on the node, and that is {near}.",
    hints=(
        "The name of eth0 inside the pod carries the number of the other end.",
        'In the pod: `cluster.pod("{src}").run("ip -br link")`. On its node: `cluster.node("{node}").links()`.',
        "Look for the row of {node} whose ifindex is the number behind `@if`.",
    ),
    distractors=(
        Distractor(
            "cable-ends-in-the-bridge", lambda case: "cni0", "cni0 is the bridge into which all of them are plugged. Which plug is it?"
        ),
        Distractor(
            "cable-ends-at-the-wire",
            lambda case: "eth0",
            "eth0 of the node leads to the other nodes. The pod's cable ends inside its node.",
        ),
    ),
)

# predictions

ADDRESSES = Prediction(
    id="01.a",
    title="Addresses of two containers",
    prompt="The pod desk is about to start with two containers. How many addresses of the pod network will it have?",
    form=Form("number"),
    setup=lambda seed: _ports_case(0),
    truth=lambda case: len(case.cluster.pod("shop/desk").object.ips),
)

GUEST = Prediction(
    id="01.b",
    title="The address of ingress",
    prompt="ingress asks for hostNetwork. Will its address be one of the pod network ('pod') or the node's ('node')?",
    form=Form("word", choices=("pod", "node")),
    setup=lambda seed: Case(bookshop()),
    truth=lambda case: "node" if case.cluster.pod("ops/ingress").object.spec.host_network else "pod",
)

QUESTIONS: tuple[Question, ...] = (ADDRESSES, GUEST, NEXT_HOP, SHARED_PORTS, HOST_ADDRESS, CABLE)
