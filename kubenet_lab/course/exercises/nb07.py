"""Exercises of notebook 07: what kube-proxy's rules do with a connection."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ...cluster.service_rules import service_rules
from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import VERDICTS, address_of_node, bookshop

__all__ = ["QUESTIONS"]


def _chances(cluster: Any, service: str) -> list[Fraction]:
    """The chances that stand in the rules of a Service's chain, in their order; the last rule's is 1."""
    chains = service_rules(cluster, "worker-1", service).chains
    rules = next(rules for name, rules in chains.items() if name.startswith("KUBE-SVC-"))
    return [rule.chance if rule.chance is not None else Fraction(1) for rule in rules if rule.goes_to.startswith("KUBE-SEP-")]


# 07.1


def _chance_case(seed: int) -> Case:
    endpoints, place = pick(seed, "chance", ((5, 3), (4, 2), (3, 1), (6, 4), (5, 2)))
    cluster = bookshop()
    cluster.scale("shop/api", endpoints)
    words = {1: "first", 2: "second", 3: "third", 4: "fourth"}
    return Case(cluster, {"n": endpoints, "place": place, "word": words[place], "chance": _chances(cluster, "shop/api")[place - 1]})


CHANCE = Exercise(
    id="07.1",
    title="The chance in a rule",
    prompt=(
        "A Service has {n} ready endpoints. Which probability was meant for the {word} of the rules that choose one? "
        "Write a fraction, such as 2/7."
    ),
    form=Form("number"),
    setup=_chance_case,
    truth=lambda case: case["chance"],
    because="To this rule comes what the rules above left over, and it takes {chance} of it: every endpoint gets 1/{n} of all.",
    hints=(
        "How many endpoints are still in the running when a packet comes to that rule?",
        'Make it: `cluster.scale("shop/api", {n})`, then `iptables -t nat -S KUBE-SVC-RUKNB3TURLFC6SGL` on a node.',
        "The rule prints a rounded number. Which fraction with a small denominator is it? Pass it as a text.",
    ),
    distractors=(
        Distractor(
            "rule-share-is-total-share",
            lambda case: Fraction(1, case["n"]),
            "That is what each endpoint gets of all connections. This rule no longer sees all of them.",
        ),
        Distractor(
            "chance-counts-rules-above",
            lambda case: Fraction(1, case["place"]),
            "That counts the rules above. Count those endpoints that are left.",
        ),
    ),
)

# 07.2

#: the client of the Service cart: cart runs on worker-2
CLIENTS = ("node:worker-2", "node:worker-1", "shop/web", "shop/cart", "data/cache")


def _source_case(seed: int) -> Case:
    client = pick(seed, "client", CLIENTS)
    cluster = bookshop()
    trace = cluster.connect(client, "svc:shop/cart", port=8080)
    names = {"node:worker-1": "a process of worker-1 itself", "node:worker-2": "a process of worker-2 itself"}
    pod = None if client.startswith("node:") else cluster.pod(client)
    node = client.removeprefix("node:") if pod is None else pod.node.name
    own = address_of_node(cluster, node) if pod is None else pod.ip
    service = next(s for s in cluster.objects("Service") if s.key == "shop/cart").spec.cluster_ip
    facts = {"client": client, "who": names.get(client, client), "seen": trace.source_seen, "own": own}
    return Case(cluster, facts | {"node": address_of_node(cluster, node), "vip": service, "pod": pod is not None})


def _why_source(case: Case) -> str:
    if case["seen"] == case["own"]:
        return "A pod's packet keeps its source: DNAT changes the destination only."
    if case["pod"]:
        return "It was sent to itself, so its packet was marked, and got the address of the bridge that it left by."
    return "It does not come from the pod network, so it was marked, and got the address of the device that it left by."


SOURCE = Exercise(
    id="07.2",
    title="Who is the client",
    prompt="The Service cart has one pod, on worker-2. Its ClusterIP is asked by {who}. Which source address does the pod see?",
    form=Form("address"),
    setup=_source_case,
    truth=lambda case: case["seen"],
    because=_why_source,
    hints=(
        "Which rules mark a packet? Does this one come from the pod network, and is it sent to itself?",
        "If it is marked, which device of the client's node does the packet leave by, and which address has that device?",
        'Ask: `cluster.connect("{client}", "svc:shop/cart", port=8080).source_seen`.',
    ),
    distractors=(
        Distractor(
            "masquerade-is-the-node-address",
            lambda case: case["node"],
            "That is the address that you know the node by. Look whether a new source is needed, and which device the packet leaves by.",
        ),
        Distractor("service-hides-the-client", lambda case: case["vip"], "The ClusterIP stands in the destination, and only at first."),
        Distractor(
            "hairpin-needs-nothing", lambda case: case["own"], "A packet that comes in with one's own address as source looks forged."
        ),
    ),
)

# 07.3

ODD = ("deleted", "ping", "port", "empty", "hairpin")
ODD_WORDS = {
    "ping": "web pings the ClusterIP of api", "port": "web connects to TCP port 443 of the ClusterIP of api, which has only port 8080",
    "empty": "cart has no ready pod, and web connects to its ClusterIP",
    "hairpin": "cart, with one pod, connects to its own Service, and the hairpin flag of every bridge port on worker-2 is off",
    "deleted": "somebody deletes the rule of api from KUBE-SERVICES on worker-2, and web, on worker-1, connects to api",
}  # fmt: skip


def _odd_case(seed: int) -> Case:
    what = pick(seed, "odd", ODD)
    cluster = bookshop()
    if what == "empty":
        cluster.set_pod("shop/cart", ready=False)
    if what == "hairpin":
        for line in str(cluster.node("worker-2").run("bridge link show")).splitlines():
            cluster.node("worker-2").run(f"bridge link set dev {line.split(': ')[1].partition('@')[0]} hairpin off")
    if what == "deleted":
        rule = str(cluster.node("worker-2").run("iptables -t nat -S KUBE-SERVICES | grep shop/api")).strip()
        cluster.node("worker-2").run(rule.replace("-A", "iptables -t nat -D", 1))
    vip = next(s for s in cluster.objects("Service") if s.key == "shop/api").spec.cluster_ip
    trace = {
        "ping": lambda: cluster.connect("shop/web", vip, 0, "ICMP"),
        "port": lambda: cluster.connect("shop/web", vip, 443),
        "empty": lambda: cluster.connect("shop/web", "svc:shop/cart", 8080),
        "hairpin": lambda: cluster.connect("shop/cart", "svc:shop/cart", 8080),
        "deleted": lambda: cluster.connect("shop/web", "svc:shop/api", 8080),
    }[what]()
    return Case(cluster, {"what": what, "words": ODD_WORDS[what], "trace": trace})


def _why_odd(case: Case) -> str:
    return {
        "ping": "No rule fits ICMP, and no machine has the address: the packet leaves by the default route and is lost.",
        "port": "The rule of api names port 8080. What fits no rule leaves by the default route and is lost.",
        "empty": "For a Service without a ready endpoint stands a rule that rejects, on every node.",
        "hairpin": "The bridge does not send a frame out of the port it came in by, unless that port's hairpin flag is on.",
        "deleted": "The client's own node chooses the endpoint, and the rules of worker-1 are whole.",
    }[case["what"]]


ENDS = Exercise(
    id="07.3",
    title="How it ends",
    prompt="In the bookshop, in iptables mode, {words}. Which verdict does the client get?",
    form=Form("word", choices=VERDICTS, synonyms={"works": "delivered", "ok": "delivered", "hangs": "timeout", "nothing": "timeout"}),
    setup=_odd_case,
    truth=lambda case: case["trace"].verdict,
    because=_why_odd,
    hints=(
        "Which node's rules does the packet meet first? Does one of them fit its address, protocol and port?",
        "A packet that no rule fits keeps its address. Who has that address?",
        "Build it in a copy of the cluster, ask, and read the last hop.",
    ),
    distractors=(
        Distractor(
            "cluster-ip-is-a-host",
            lambda case: "delivered" if case["what"] == "ping" else None,
            "Who would answer? Look for the ClusterIP among the addresses of the nodes.",
        ),
        Distractor(
            "unused-port-is-refused",
            lambda case: "refused" if case["what"] in ("port", "ping") else None,
            "A refusal comes from somebody who owns the address, or from a rule. Is there either?",
        ),
        Distractor(
            "hairpin-needs-nothing",
            lambda case: "delivered" if case["what"] == "hairpin" else None,
            "By which port of the bridge did the frame come in, and by which must it leave?",
        ),
        Distractor(
            "one-balancer-for-all",
            lambda case: "timeout" if case["what"] == "deleted" else None,
            "Whose rules does a packet of web meet: those of one place for all, or those of its own node?",
        ),
    ),
)

# 07.4

ANSWERED = (
    ("shop/api", "data/cache", 6379), ("shop/web", "shop/cart", 8080), ("shop/cart", "shop/web", 80), ("ops/jobs", "shop/api", 8080),
)  # fmt: skip


def _reply_case(seed: int) -> Case:
    src, service, port = pick(seed, "reply", ANSWERED)
    cluster = bookshop()
    trace = cluster.connect(src, f"svc:{service}", port=port)
    last = next(h for h in reversed(trace.reply_hops) if any(x.name == "IPv4" for x in h.after or h.before))
    seen = next(x.get("src") for x in reversed(last.after or last.before) if x.name == "IPv4")
    pod = str(cluster.pod(trace.answered_by).ip)
    gateway = str(cluster.pod(src).run("ip route show default")).split()[2]
    return Case(cluster, {"src": src, "service": service, "port": port, "seen": seen, "pod": pod, "gateway": gateway})


REPLY = Exercise(
    id="07.4",
    title="The answer's sender",
    prompt="{src} connects to the ClusterIP of {service}, port {port}. Which source address do the answers have when they reach {src}?",
    form=Form("address"),
    setup=_reply_case,
    truth=lambda case: case["seen"],
    because="The client's node undoes the rewriting for all that comes back: the answer has the source that the client asked, {seen}.",
    hints=(
        "What would a program think of an answer from somebody it never asked?",
        'Follow the way back: `cluster.connect("{src}", "svc:{service}", port={port}).reply_hops`.',
        "Find the hop that undoes the rewrite, and look at what `changed` in it.",
    ),
    distractors=(
        Distractor(
            "reply-comes-from-the-pod",
            lambda case: case["pod"],
            "That is the sender at the start of the way back. Its source is changed before the client sees it.",
        ),
        Distractor(
            "kube-proxy-carries-packets",
            lambda case: case["gateway"],
            "Nobody answers on the pod's behalf. The packets of the pod itself come back, with one field changed.",
        ),
    ),
)


# 07.5

TALKS = (("TCP", "unready"), ("UDP", "unready"), ("UDP", "nothing"), ("UDP", "other"))
TALK_WORDS = {
    "unready": "Then that pod stops being ready", "nothing": "Nothing changes", "other": "Then the other pod stops being ready",
}  # fmt: skip


def _talk_case(seed: int) -> Case:
    """One talk with one of the two DNS pods, something that happens, and the next packet of the same talk."""
    protocol, what = pick(seed, "talk", TALKS)
    cluster = bookshop()
    to = ("shop/web", "svc:kube-system/kube-dns", 53)
    line = cluster.open(*to) if protocol == "TCP" else None

    def say() -> Any:
        return line.send(40) if line is not None else cluster.connect(*to, "UDP", source_port=40000)

    first = say().answered_by
    other = next(p.key for p in cluster.objects("Pod") if p.name.startswith("coredns") and p.key != first)
    if what != "nothing":
        cluster.set_pod(first if what == "unready" else other, ready=False)
    last = say()
    who = "nobody" if not last else "the same pod" if last.answered_by == first else "the other pod"
    how = "from source port 40000 over UDP" if protocol == "UDP" else "over one open TCP connection"
    return Case(cluster, {"protocol": protocol, "what": what, "words": TALK_WORDS[what], "who": who, "how": how})


def _why_talk(case: Case) -> str:
    if case["what"] != "unready":
        return "conntrack knows the flow, and its endpoint is still there: nobody asks the rules again."
    if case["protocol"] == "TCP":
        return "conntrack knows the connection, and kube-proxy leaves TCP alone: it goes on until one side ends it."
    return (
        "kube-proxy deletes the entry of a UDP flow whose endpoint is lost, so the packet meets the rules, which know only the other pod."
    )


TALK = Exercise(
    id="07.5",
    title="The next packet",
    prompt=(
        "The Service kube-dns has two ready pods. web asks it {how}, and one of them answers. {words}. web sends the next packet of "
        "the same {protocol} talk. Who answers?"
    ),
    form=Form(
        "word", choices=("the same pod", "the other pod", "either pod", "nobody"),
        synonyms={"same": "the same pod", "the same": "the same pod", "other": "the other pod", "another": "the other pod"},
    ),
    setup=_talk_case,
    truth=lambda case: case["who"],
    because=_why_talk,
    hints=(
        "Does this packet meet the rules, or does something else decide first?",
        "What does kube-proxy do with conntrack's entries when the list changes, and for which protocol?",
        "Build it: keep `source_port=40000` for UDP, or `cluster.open(...)` for TCP, and look at `conntrack -L` before and after.",
    ),
    distractors=(
        Distractor(
            "udp-chooses-every-time",
            lambda case: "either pod" if case["protocol"] == "UDP" and case["what"] == "nothing" else None,
            "Look at conntrack after the first question. Does it keep nothing of UDP?",
        ),
        Distractor(
            "udp-flow-stays",
            lambda case: "the same pod" if case["protocol"] == "UDP" and case["what"] == "unready" else None,
            "So it is for TCP. Look what becomes of this flow's entry when the list changes.",
        ),
        Distractor(
            "unready-cuts-connections",
            lambda case: "the other pod" if case["protocol"] == "TCP" else None,
            "Who would tell conntrack? Look whether the entry is still there.",
        ),
    ),
)


def _deleted(seed: int) -> Case:
    cluster = bookshop()
    rule = str(cluster.node("worker-1").run("iptables -t nat -S KUBE-SERVICES | grep shop/api")).strip()
    cluster.node("worker-1").run(rule.replace("-A", "iptables -t nat -D", 1))
    return Case(cluster)


NO_RULE = Prediction(
    id="07.a",
    title="One rule is gone",
    prompt="The rule of the Service api disappears from KUBE-SERVICES on web's node. What does web see when it connects to api?",
    form=Form("word", choices=VERDICTS),
    setup=_deleted,
    truth=lambda case: case.cluster.preview("shop/web", "svc:shop/api", port=8080).verdict,
)


def _four(seed: int) -> Case:
    cluster = bookshop()
    cluster.scale("shop/api", 4)
    return Case(cluster)


SECOND = Prediction(
    id="07.b",
    title="The second of four",
    prompt="Four endpoints share all connections evenly. Which probability stands in the second rule?",
    form=Form("number"),
    setup=_four,
    truth=lambda case: _chances(case.cluster, "shop/api")[1],
)

PING = Prediction(
    id="07.c",
    title="Ping a ClusterIP",
    prompt="web pings the ClusterIP of api. What does it get?",
    form=Form("word", choices=VERDICTS),
    setup=lambda seed: Case(bookshop()),
    truth=lambda case: case.cluster.preview("shop/web", "svc:shop/api", 0, "ICMP").verdict,
)

QUESTIONS: tuple[Question, ...] = (NO_RULE, SECOND, PING, CHANCE, SOURCE, ENDS, REPLY, TALK)
