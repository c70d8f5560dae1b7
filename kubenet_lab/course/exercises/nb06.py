"""Exercises of notebook 06: who answers for a Service, and on which port."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import VERDICTS, bookshop

__all__ = ["QUESTIONS"]

NAME, PART = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
#: (namespace, selector) of a new Service; seed 0 takes the first
SELECTORS: tuple[tuple[str, dict[str, str]], ...] = (
    ("shop", {PART: "bookshop", "tier": "backend"}),
    ("shop", {NAME: "web", "tier": "backend"}),
    ("data", {PART: "bookshop"}),
    ("shop", {"tier": "frontend"}),
    ("ops", {NAME: "cart"}),
)


def _service(namespace: str, name: str, selector: dict[str, str], port: int, target: int | str, **spec: Any) -> str:
    """A manifest, as JSON: YAML that needs no layout."""
    return json.dumps({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector, "ports": [{"name": "main", "port": port, "targetPort": target}], **spec},
    })  # fmt: skip


def _ready_endpoints(cluster: Any, namespace: str, name: str) -> int:
    """How many addresses of the Service's slices are ready."""
    slices = [s for s in cluster.objects("EndpointSlice") if s.namespace == namespace and s.service == name]
    return len({a for s in slices for e in s.endpoints if e.conditions.ready for a in e.addresses})


# 06.1


def _selector_case(seed: int) -> Case:
    """A Service with a selector of two labels, or in a namespace of its own."""
    namespace, selector = pick(seed, "selector", SELECTORS)
    cluster = bookshop()
    cluster.apply(_service(namespace, "mine", selector, 8080, 8080))
    pods = [p for p in cluster.objects("Pod") if p.ips]
    home = [p for p in pods if p.namespace == namespace]
    return Case(
        cluster,
        {
            "ns": namespace, "selector": ", ".join(f"{k}={v}" for k, v in selector.items()),
            "endpoints": _ready_endpoints(cluster, namespace, "mine"),
            "any": sum(1 for p in home if selector.items() & p.labels.items()),
            "everywhere": sum(1 for p in pods if selector.items() <= p.labels.items()),
            "workloads": len({p.labels.get(NAME) for p in home if selector.items() <= p.labels.items()}),
            "named": sum(1 for p in home if any(p.name.startswith(v) for v in selector.values())),
        },
    )  # fmt: skip


WHO_FITS = Exercise(
    id="06.1",
    title="Who fits",
    prompt="A new Service in the namespace {ns} of the bookshop has the selector {selector}. How many endpoints does it get?",
    form=Form("number"),
    setup=_selector_case,
    truth=lambda case: case["endpoints"],
    because="The pods of {ns} whose labels hold every pair of the selector: {endpoints}.",
    hints=(
        "Which pods may a Service in {ns} select at all?",
        'List the pods of {ns} with their labels: `for p in cluster.objects("Pod"): print(p.key, p.labels)`.',
        "Count those that carry every pair of {selector}. One pair alone is not enough.",
    ),
    distractors=(
        Distractor("selector-is-or", lambda case: case["any"], "That counts pods that carry one of the pairs. Every pair must be there."),
        Distractor(
            "selector-crosses-namespaces", lambda case: case["everywhere"], "That counts all namespaces. Look only at the pods of {ns}."
        ),
        Distractor(
            "service-finds-by-name",
            lambda case: case["named"],
            "That goes by the names of pods. A selector asks for labels, and for nothing else.",
        ),
        Distractor(
            "endpoint-per-workload",
            lambda case: case["workloads"],
            "That counts Deployments. Each pod has an address of its own, and is an endpoint of its own.",
        ),
    ),
)

# 06.2

#: (port of the Service, targetPort, workload): a number or a name
PORTS: tuple[tuple[int, int | str, str], ...] = (
    (443, "http", "cart"), (80, 8080, "api"), (5000, "postgres", "db"), (8443, "http", "web"), (7000, "redis", "cache"),
)  # fmt: skip


def _port_case(seed: int) -> Case:
    """A Service whose port is not the pod's; the number that reaches the pod is read off the packet."""
    port, target, workload = pick(seed, "port", PORTS)
    cluster = bookshop()
    namespace = "data" if workload in ("db", "cache") else "shop"
    cluster.apply(_service(namespace, "mine", {NAME: workload}, port, target, type="NodePort"))
    node_port = next(s for s in cluster.objects("Service") if s.key == f"{namespace}/mine").spec.ports[0].node_port
    trace = cluster.connect("ops/jobs", f"svc:{namespace}/mine", port=port)
    arrived = next(int(h.get("dport")) for h in reversed(trace.hops[-1].before) if h.name == "TCP")
    return Case(
        cluster,
        {
            "port": port, "target": target, "workload": workload, "ns": namespace, "arrived": arrived, "node_port": node_port,
            "what": f"targetPort {target}" if isinstance(target, int) else f"targetPort “{target}”",
        },
    )  # fmt: skip


ARRIVES_AT = Exercise(
    id="06.2",
    title="The number in the packet",
    prompt=(
        "A new Service of type NodePort selects the pods of {workload}. It has port {port}, {what}, and node port {node_port}. "
        "jobs connects to its ClusterIP. Which destination port has the packet when it reaches the pod?"
    ),
    form=Form("number"),
    setup=_port_case,
    truth=lambda case: case["arrived"],
    because="The targetPort decides, and in these pods {target} means {arrived}.",
    hints=(
        "Three numbers belong to a Service. One of them is for those who ask it by its own address; which belongs to the pod?",
        'If the targetPort is a name, look it up in the pod: `cluster.pod("{ns}/{workload}").object.spec.containers`.',
        "Build it in a copy, connect, and read the title of the hop with the code `nat.dnat`.",
    ),
    distractors=(
        Distractor(
            "port-is-target-port", lambda case: case["port"], "That is what jobs writes into the packet. A rule changes it on the way."
        ),
        Distractor(
            "node-port-is-on-the-way",
            lambda case: case["node_port"],
            "The node port is another door, for those who ask a node. This packet was never sent to it.",
        ),
    ),
)

# 06.3

#: what is wrong with the Service cart, and what a client of it does
WRONGS = ("unready", "selector", "port", "one unready", "number", "leaving")
WRONG_WORDS = {
    "selector": "its selector fits no pod", "port": "web connects to port 80, and the Service has only port 8080",
    "unready": "its only pod is not ready", "one unready": "of its two pods one is not ready",
    "number": "its targetPort is 9999, and the pod listens on 8080",
    "leaving": "its pod was told to stop and still answers its probe, and the pod that follows it is not ready yet",
}  # fmt: skip


def _wrong_case(seed: int) -> Case:
    wrong = pick(seed, "wrong", WRONGS)
    cluster = bookshop(listening={"shop/cart": [8080]})
    port = 80 if wrong == "port" else 8080
    if wrong == "selector":
        cluster.apply(_service("shop", "cart", {NAME: "basket"}, 8080, "http"))
    elif wrong == "number":
        cluster.apply(_service("shop", "cart", {NAME: "cart"}, 8080, 9999))
    elif wrong == "one unready":
        cluster.scale("shop/cart", 2)
    if wrong in ("unready", "one unready"):
        cluster.set_pod("shop/cart", ready=False)
    if wrong == "leaving":
        before = {p.key for p in cluster.objects("Pod")}
        cluster.set_pod("shop/cart", terminating=True)
        cluster.set_pod(next(p.key for p in cluster.objects("Pod") if p.key not in before), ready=False)
    return Case(cluster, {"wrong": wrong, "words": WRONG_WORDS[wrong], "trace": cluster.connect("shop/web", "svc:shop/cart", port=port)})


def _why_end(case: Case) -> str:
    return {
        "selector": "The list is empty, and web's own node has a rule that refuses at once.",
        "unready": "No endpoint is ready. It is as if the list were empty: web's own node refuses at once.",
        "port": "No rule knows that port, and nobody else knows the address. The packet strays, and nothing comes back.",
        "one unready": "The list has one ready endpoint, and it gets all connections.",
        "number": "The packet reaches the pod, and its kernel has no socket at 9999.",
        "leaving": "No endpoint is ready, but one that leaves still serves: kube-proxy falls back to it.",
    }[case["wrong"]]


THE_END = Exercise(
    id="06.3",
    title="What web sees",
    prompt="Something is odd about the Service cart: {words}. web connects to it. Which verdict does it get?",
    form=Form("word", choices=VERDICTS, synonyms={"works": "delivered", "ok": "delivered", "hangs": "timeout"}),
    setup=_wrong_case,
    truth=lambda case: case["trace"].verdict,
    because=_why_end,
    hints=(
        "Who meets the packet first, and does it know the address and the port?",
        "Is there a ready endpoint? If so, is there a socket at the port that the packet is rewritten to?",
        "Build it in a copy of the cluster, as the lesson does, and connect.",
    ),
    distractors=(
        Distractor(
            "no-endpoints-hang",
            lambda case: "timeout" if case["wrong"] in ("selector", "unready") else None,
            "Would the client's node leave it at that? It knows that the list is empty.",
        ),
        Distractor(
            "endpoints-mean-it-works",
            lambda case: "delivered" if case["wrong"] == "number" else None,
            "The list has an endpoint, that much is true. Follow the packet to it: who is at that port?",
        ),
        Distractor(
            "port-is-target-port",
            lambda case: "delivered" if case["wrong"] == "port" else None,
            "The port of the pod is known at the pod, that of the Service at the Service. Which of them was asked?",
        ),
        Distractor(
            "leaving-never-gets-traffic",
            lambda case: "refused" if case["wrong"] == "leaving" else None,
            "Nobody is ready, that much is true. Who still serves, and what does kube-proxy do when nobody is ready?",
        ),
        Distractor(
            "unready-is-stopped",
            lambda case: "refused" if case["wrong"] == "one unready" else None,
            "Is there anybody who would say no to this packet? Look at the list of endpoints.",
        ),
    ),
)

# 06.4


def _share_case(seed: int) -> Case:
    replicas, unready, always = pick(seed, "share", ((4, 1, False), (4, 1, True), (3, 1, False), (5, 2, False), (5, 2, True)))
    cluster = bookshop()
    cluster.scale("shop/api", replicas)
    if always:
        cluster.apply(_service("shop", "api", {NAME: "api"}, 8080, 8080, publishNotReadyAddresses=True))
    for _ in range(unready):
        cluster.set_pod("shop/api", ready=False)
    ends = cluster.outcomes("shop/web", "svc:shop/api", port=8080)
    ready = next(p for p in cluster.objects("Pod") if p.namespace == "shop" and p.labels.get(NAME) == "api" and p.ready)
    share = next(o.probability for o in ends if o.answered_by == ready.key)
    extra = " and publishNotReadyAddresses is set" if always else ""
    facts = {"n": replicas, "unready": unready, "share": share, "always": always, "extra": extra}
    return Case(cluster, facts | {"are": "is" if unready == 1 else "are"})


SHARE = Exercise(
    id="06.4",
    title="The share of one pod",
    prompt=(
        "The Service api has {n} pods, of which {unready} {are} not ready{extra}. With which probability does one given ready pod get a "
        "new connection? Write a fraction, such as 2/7."
    ),
    form=Form("number"),
    setup=_share_case,
    truth=lambda case: case["share"],
    because=lambda case: (
        "With publishNotReadyAddresses every endpoint counts as ready, whatever its probe says."
        if case["always"]
        else "The ready endpoints share all connections; the others get none."
    ),
    hints=(
        "Who is on the list, and who of them counts as ready?",
        '`cluster.scale("shop/api", {n})` makes the pods, `cluster.set_pod("shop/api", ready=False)` fails one of them.',
        "Ask `cluster.outcomes` and read the first column. In Python a fraction may be given as a text.",
    ),
    distractors=(
        Distractor(
            "unready-still-gets-traffic",
            lambda case: Fraction(1, case["n"]),
            "That counts all {n} pods. Does a pod that is not ready get new connections?",
        ),
        Distractor(
            "unready-never-gets-traffic",
            lambda case: Fraction(1, case["n"] - case["unready"]),
            "Look at what the Service says about addresses that are not ready.",
        ),
    ),
)


def _tired(seed: int) -> Case:
    cluster = bookshop()
    cluster.set_pod("shop/api", ready=False)
    return Case(cluster)


ALONE = Prediction(
    id="06.a",
    title="One pod is not ready",
    prompt="One of the two api pods fails its readiness probe. What share of new connections does the other one get?",
    form=Form("number"),
    setup=_tired,
    truth=lambda case: case.cluster.outcomes("shop/web", "svc:shop/api", port=8080)[0].probability,
)


def _renamed(seed: int) -> Case:
    cluster = bookshop()
    cluster.apply(_service("shop", "cart", {NAME: "basket"}, 8080, "http"))
    return Case(cluster)


NOBODY = Prediction(
    id="06.b",
    title="Nobody fits",
    prompt="The selector of the Service cart fits no pod any more. What does web see when it connects to it?",
    form=Form("word", choices=VERDICTS),
    setup=_renamed,
    truth=lambda case: case.cluster.preview("shop/web", "svc:shop/cart", port=8080).verdict,
)

QUESTIONS: tuple[Question, ...] = (ALONE, NOBODY, WHO_FITS, ARRIVES_AT, THE_END, SHARE)
