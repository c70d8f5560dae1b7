"""Mysteries are puzzles: no probe of a client names the fault, and for each fault a few real tools lead to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from kubenet_lab.course import CourseError
from kubenet_lab.course.case_file import Mystery
from kubenet_lab.course.mysteries import FAULTS, bookshop
from kubenet_lab.course.mysteries.fault import Fault
from kubenet_lab.errors import KubenetError

FAULT = {f.id: f for f in FAULTS}

#: what is asked as a client; (verb, args, options)
QUESTIONS: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("ask", ("shop/web", "http://cart:8080"), {}), ("request", ("ops/jobs", "http://web.shop"), {}), ("resolve", ("shop/web", "cart"), {}),
    ("ask", ("shop/web", "http://api:8080"), {}), ("connect", ("ops/jobs", "svc:data/db-read"), {"port": 5432}),
    ("connect", ("ops/jobs", "svc:data/cache"), {"port": 6379}), ("ask", ("node:worker-1", "svc:shop/cart"), {}),
    ("connect", ("external:203.0.113.7", "node:worker-1"), {"port": 30080}), ("outcomes", ("ops/jobs", "svc:shop/web"), {}),
    ("outcomes", ("shop/web", "svc:shop/cart"), {"port": 8080}),
)  # fmt: skip

Probe = Callable[[Any], Any]


def shell(where: str, command: str) -> Probe:
    return lambda m: (m.pod(where) if "/" in where else m.node(where)).run(command)


def get(kind: str, key: str) -> Probe:
    return lambda m: m.get(kind, key)


def listed(kind: str) -> Probe:
    return lambda m: m.objects(kind)


#: fault -> what an operator looks at after the symptom, and what is there, or not there, unlike in a healthy bookshop
WAYS: dict[str, tuple[tuple[Probe, str], ...]] = {
    "selector-typo": ((listed("EndpointSlice"), r"shop/cart-\S+ +IPv4 +<unset>"), (get("Service", "shop/cart"), "name: kart")),
    "wrong-target-port": (
        (shell("shop/web", "tcpdump -n tcp"), r"Flags \[R"),
        (shell("shop/api", "ss -ltn"), ":8080"), (get("Service", "shop/api"), "targetPort: 8081"),
    ),
    "wrong-named-port": ((listed("EndpointSlice"), r"shop/web-\w+ +IPv4 +<unset>"), (get("Service", "shop/web"), "targetPort: htpp")),
    "wrong-service-port": ((shell("worker-1", "tcpdump -n tcp"), r" > 10\.109\S+: "), (listed("Service"), r"shop/cart .* 80/TCP")),
    "wrong-protocol": ((listed("Service"), r"data/db-read .* 5432/UDP"),),
    "unready-pod": ((listed("Service"), "data/cache .*name=cache"), (listed("Pod"), r"data/cache-\S+ +0/1")),
    "local-without-endpoint": (
        (lambda m: m.connect("external:203.0.113.7", "node:worker-2", 30080), "✓"),
        (listed("Pod"), r"shop/web-\S+ .* worker-2"), (get("Service", "shop/web-public"), "externalTrafficPolicy: Local"),
    ),
    "internal-local": (
        (lambda m: m.connect("node:worker-2", "svc:shop/cart", 8080), "✓"),
        (listed("Pod"), r"shop/cart-\S+ .* worker-2"), (get("Service", "shop/cart"), "internalTrafficPolicy: Local"),
    ),
    "no-dns": (
        (lambda m: m.resolve("shop/web", "cart"), "port unreachable"), (listed("Pod"), "coredns"), (listed("Deployment"), r"coredns +0"),
    ),
    "no-pods": ((listed("EndpointSlice"), r"shop/api-\S+ +IPv4 +<unset>"), (listed("Deployment"), r"shop/api +0")),
    "no-fdb-entry": (
        (shell("worker-1", "tcpdump -ni eth0 udp port 8472"), "10.244.1.5"),
        (shell("worker-1", "bridge fdb show dev flannel.1"), "dst 192"),
    ),
    "no-neighbour": (
        (shell("worker-2", "tcpdump -ni flannel.1"), "who-has 10.244.0.0"), (shell("worker-2", "ip neigh show dev flannel.1"), "PERMANENT"),
    ),
    "no-route": ((shell("worker-1", "ip route get 10.244.1.5"), "dev eth0"),),
    "pod-without-gateway": ((shell("worker-2", "tcpdump -ni cni0"), r"Flags \[S\.\]"), (shell("shop/cart", "ip route"), "default")),
    "tunnel-blocked": (
        (shell("worker-1", "tcpdump -ni eth0 udp port 8472"), r"\.12\.8472"),
        (shell("worker-2", "tcpdump -ni eth0 udp port 8472"), r"\.12\.8472"),
        (lambda m: m.underlay(), "worker-2: deny udp 8472"),
    ),
    "small-mtu": (
        (shell("data/cache", "tcpdump -n icmp"), r"10\.244\.0\.1 > .*need to frag \(mtu 1300\)"),
        (shell("worker-1", "ip link"), "flannel.1.*mtu 1300"),
    ),
    "missing-rule": (
        (shell("worker-1", "tcpdump -ni eth0 tcp"), r" > 10\.109\S+: "),
        (shell("worker-2", "iptables -t nat -S KUBE-SERVICES"), "shop/cart"),
        (shell("worker-1", "iptables -t nat -S KUBE-SERVICES"), "shop/cart"),
    ),
    "dropped-by-hand": (
        (shell("worker-2", "tcpdump -ni any tcp port 5432"), r"Flags \[S\.\]"), (shell("worker-2", "iptables -S FORWARD"), "5432 -j DROP"),
    ),
    "no-forwarding": (
        (shell("worker-2", "tcpdump -ni cni0"), r"10\.244\.1\.5"), (shell("worker-2", "sysctl net.ipv4.ip_forward"), "= 0"),
    ),
    "bridge-down": (
        (shell("worker-2", "ip route get 10.244.1.5"), "dev eth0"), (shell("worker-2", "ip link show cni0"), "state DOWN"),
    ),
}  # fmt: skip


def words(value: Any) -> str:
    return f"{value!r}\n{value}\n{value._repr_html_()}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.id)
def test_what_a_client_sees_does_not_name_the_fault(fault: Fault) -> None:
    """No field of the accused, no entry and no sentence of the lab; the whole story only at the end."""
    m = Mystery(7, fault)
    lab = bookshop(fault)
    seen = []
    for verb, args, options in (*QUESTIONS, (fault.symptom.verb, fault.symptom.args, dict(fault.symptom.options))):
        whole, found = getattr(lab, verb)(*args, **options), getattr(m, verb)(*args, **options)
        text = words(found)
        for field in fault.fields:
            assert not re.search(rf"\b{re.escape(field)}\b", text, re.I), (field, text)
        stories = [o.trace for o in whole] if verb == "outcomes" else [whole]
        for story in stories:
            told = [r.sentence for r in getattr(story, "reasons", ())]
            told += [
                t for h in (*getattr(story, "hops", ()), *getattr(story, "reply_hops", ())) for t in (h.sentence, h.entry and h.entry.text)
            ]
            for sentence in filter(None, told):
                assert sentence not in text
        if verb == "outcomes":
            assert all(o.trace is o.endpoint is o.masquerade is None for o in found) and sum(o.probability for o in found) == 1
        else:
            seen.append(found)
            assert (bool(found), found.error) == (bool(whole), whole.error)
            with pytest.raises(CourseError, match="when the case is closed"):
                found.explain()
    with pytest.raises(CourseError, match="when the case is closed"):
        seen[0].hops
    assert not hasattr(seen[0], "verdit")
    assert m.accuse(fault.object, fault.fields[0])
    assert str(seen[-1].explain()) and seen[0].hops


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.id)
def test_a_few_probes_lead_to_it(fault: Fault) -> None:
    """The symptom, then at most three looks. The last one shows what is wrong: it finds what a healthy bookshop has not, or lacks it."""
    m, healthy = Mystery(7, fault), Mystery(7, FAULT["no-route"])
    healthy._cluster = bookshop(fault, planted=False)
    for game in (m, healthy):
        getattr(game, fault.symptom.verb)(*fault.symptom.args, **fault.symptom.options)
    for probe, pattern in WAYS[fault.id]:
        here, there = (re.search(pattern, str(probe(game))) is not None for game in (m, healthy))
    assert here != there
    assert m.probes <= 4 and m.accuse(fault.object, fault.fields[0])


def test_the_symptom_alone_leaves_several_suspects() -> None:
    """What the first probe of a case shows is what it shows for other faults too, but for three
    whose error names the layer."""
    ends: dict[tuple[Any, ...], list[str]] = {}
    for fault in FAULTS:
        seen = getattr(Mystery(7, fault), fault.symptom.verb)(*fault.symptom.args, **fault.symptom.options)
        ends.setdefault((seen.verdict, seen.error, seen.phase), []).append(fault.id)
    alone = {ids[0] for ids in ends.values() if len(ids) == 1}
    assert alone == {"no-dns", "no-neighbour", "small-mtu"}


def test_what_a_healthy_bookshop_refuses_too_is_free() -> None:
    m = Mystery(7, FAULT["no-pods"])
    for slip in (lambda: m.ask("shop/webb", "cart"), lambda: m.node("worker-1").run("ip route shwo"), lambda: m.get("svc", "shop/crat")):
        with pytest.raises(KubenetError):
            slip()
    assert m.probes == 0
    with pytest.raises(KubenetError, match="has no running pod"):
        m.pod("shop/api")
    assert m.probes == 1, "that it has none is something that one learns"
    m = Mystery(7, FAULT["pod-without-gateway"])
    with pytest.raises(KubenetError, match="unreachable"):
        m.pod("shop/cart").run("ip route get 10.244.0.6")
    assert m.probes == 1


def test_what_was_declared_can_be_read() -> None:
    m = Mystery(7, FAULT["selector-typo"])
    cart, services = m.get("svc", "shop/cart"), m.objects("Service")
    assert repr(cart) == "Service shop/cart" and "targetPort: http" in str(cart) and cart.spec.cluster_ip in str(services)
    assert "resourceVersion" not in str(cart) and "uid" not in str(cart), "the number of the last change would give it away"
    assert str(m.objects("ConfigMap")).startswith("NAME") and str(m.objects("Ingress")).startswith("NAME")
    assert "<pre>" in services._repr_html_() and repr(services).startswith("(Service data/cache, ")
