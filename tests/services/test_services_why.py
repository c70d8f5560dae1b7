"""Why a Service has no endpoint: the reason, its parameters, and that its words exist and fit."""

from __future__ import annotations

import msgspec
import pytest

from kubenet_lab.explain.services import PHRASES
from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS, Pod, Service
from kubenet_lab.services import slices, why_no_endpoints, why_not_an_endpoint


def doc(kind, name, namespace="shop", labels=None, **rest):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, **rest}


def service(selector=None, **spec):
    base = {"clusterIP": "10.96.0.20", "ipFamilies": ["IPv4"], "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return doc("Service", "cart", spec={**base, "selector": {"app": "cart"} if selector is None else selector, **spec})


def pod(
    name="cart-1", ready="True", ip="10.244.1.2", labels=None, namespace="shop", ports=(), deleted=False, phase="Running", node="node-1"
):
    status = {
        "phase": phase,
        "podIPs": [{"ip": ip}] if ip else [],
        "conditions": [{"type": "Ready", "status": ready, "reason": "ContainersNotReady"}],
    }
    spec = {"nodeName": node, "containers": [{"name": "c", "ports": list(ports)}]}
    found = doc("Pod", name, namespace, labels or {"app": "cart"}, spec=spec, status=status)
    if deleted:
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return found


def snap(*documents):
    nodes = () if any(d["kind"] == "Node" for d in documents) else [doc("Node", "node-1", "")]
    objects = Snapshot([msgspec.convert(d, KINDS[d["kind"]][0]) for d in (*documents, *nodes)])
    written = slices(objects).write
    return Snapshot([*objects.all(), *(msgspec.convert(d, KINDS["EndpointSlice"][0]) for d in written)])


NAMED = {"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}
TYPO = {"name": "wbe", "containerPort": 80}
UDP = {"name": "web", "containerPort": 80, "protocol": "UDP"}
TWO = {"app": "cart", "tier": "backend"}

CASES = [
    ("all is well", [service(), pod()], []),
    ("nobody has the labels", [service(), pod(labels={"tier": "db"})], ["selector_matches_nothing"]),
    ("no pod at all", [service()], ["selector_matches_nothing"]),
    ("a typo in the value", [service({"app": "crat"}), pod()], ["selector_nearly_matches"]),
    ("a typo in the key", [service({"ap": "cart"}), pod()], ["selector_nearly_matches"]),
    ("the other pair agrees", [service({"app": "cart", "tier": "back"}), pod(labels=TWO)], ["selector_nearly_matches"]),
    ("another namespace", [service(), pod(namespace="data")], ["selector_in_other_namespace"]),
    ("not ready", [service(), pod(ready="False")], ["endpoint_not_ready"]),
    ("two not ready", [service(), pod(ready="False"), pod("cart-2", ready="False")], ["endpoint_not_ready"] * 2),
    ("one of two is ready", [service(), pod(ready="False"), pod("cart-2", ip="10.244.1.3")], []),
    ("pending", [service(), pod(ip="", phase="Pending", ready="False")], ["endpoint_no_address"]),
    ("ended", [service(), pod(phase="Succeeded", ready="False")], ["endpoint_terminated"]),
    ("on its way out", [service(), pod(deleted=True)], ["endpoint_terminating"]),
    ("node is gone", [service(), pod(), doc("Node", "node-9", "")], ["endpoint_node_missing"]),
    ("other family", [service(ipFamilies=["IPv6"], clusterIP="fd00::1"), pod()], ["endpoint_wrong_family"]),
    ("named port missing", [service(**NAMED), pod()], ["target_port_missing"]),
    ("named port with a typo", [service(**NAMED), pod(ports=[TYPO])], ["target_port_missing"]),
    ("named port, other protocol", [service(**NAMED), pod(ports=[UDP])], ["target_port_protocol"]),
    ("no selector", [service({})], ["no_selector"]),
    ("ExternalName", [service({}, type="ExternalName", externalName="db.example.com")], ["external_name"]),
    ("headless without ports", [service(clusterIP="None", ports=[]), pod()], []),
    ("unready but published", [service(publishNotReadyAddresses=True), pod(ready="False")], []),
]


@pytest.mark.parametrize(("name", "documents", "codes"), CASES, ids=[c[0] for c in CASES])
def test_reasons(name, documents, codes):
    objects = snap(*documents)
    reasons = why_no_endpoints(objects, objects.get(Service, "cart", "shop"))
    assert [r.code for r in reasons] == [f"service.{c}" for c in codes]
    for reason in reasons:
        assert reason.origin == "Service shop/cart"
        phrase = PHRASES[reason.code]
        for words in (phrase.title, phrase.sentence, phrase.command):
            text = words(reason.params) if callable(words) else words.format_map(reason.params)
            assert text and "{" not in text.replace("{.status", "") and "None" not in text
        assert phrase.evidence


def reasons_of(*documents):
    objects = snap(*documents)
    return [
        PHRASES[r.code].sentence(r.params) if callable(PHRASES[r.code].sentence) else PHRASES[r.code].sentence.format_map(r.params)
        for r in why_no_endpoints(objects, objects.get(Service, "cart", "shop"))
    ]  # fmt: skip


def test_the_nearest_label_is_named():
    [text] = reasons_of(service({"app": "crat"}), pod(), pod("web-1", labels={"app": "web"}))
    assert text == "Service shop/cart selects app=crat, and no pod has app=crat. Pod shop/cart-1 has app=cart."


def test_the_nearest_port_is_named():
    [text] = reasons_of(service(**NAMED), pod(ports=[{"name": "wbe", "containerPort": 80}]))
    assert text.endswith("pod shop/cart-1 has none. It has one named 'wbe'.")


def test_stale_slices():
    old = slices(Snapshot([msgspec.convert(service(), Service)])).write  # made when there was no pod
    objects = Snapshot([msgspec.convert(d, KINDS[d["kind"]][0]) for d in (service(), pod(), doc("Node", "node-1", ""), *old)])
    assert [r.code for r in why_no_endpoints(objects, objects.get(Service, "cart", "shop"))] == ["service.slices_stale"]


def test_one_pod():
    objects = snap(service(), pod(), pod("web-1", labels={"app": "web"}))
    cart = objects.get(Service, "cart", "shop")
    assert why_not_an_endpoint(objects, cart, objects.get(Pod, "cart-1", "shop")) == ()
    [reason] = why_not_an_endpoint(objects, cart, objects.get(Pod, "web-1", "shop"))
    assert reason.code == "service.pod_not_selected" and reason.params["labels"] == "app=web"


FULL = {
    "service": "shop/cart", "vip": "10.96.0.20", "port": 80, "endpoint": "10.244.1.5:8080", "probability": "1/2", "node_port": 30080,
    "node": "worker-1", "source": "10.244.1.7", "seconds": 10800, "before": "10.244.1.7", "after": "10.244.1.1", "because": "It is no pod.",
    "ranges": "203.0.113.0/25", "status": 200, "local_endpoints": 2, "why": "it is headless", "name": "db.example.com", "pods": 3,
    "selector": "app=cart", "namespace": "shop", "found_in": "data", "asked": "app=crat", "nearest": "app=cart", "pod": "shop/cart-1",
    "labels": "app=web", "condition": "Ready=False", "phase": "Failed", "families": "IPv6", "addresses": "10.244.1.2", "target": "web",
    "protocol": "TCP", "found": "UDP", "names": "http", "host": "worker-1", "device": "eth0",
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(PHRASES))
def test_words(code):
    """Every phrase fits its parameters, keeps the house's voice and fits a line of a list."""
    phrase = PHRASES[code]
    assert code.startswith("service.")
    for words in (phrase.title, phrase.sentence, phrase.command):
        text = words(FULL) if callable(words) else words.format_map(FULL)
        assert "!" not in text and "simply" not in text and "{}" not in text
    title = phrase.title(FULL) if callable(phrase.title) else phrase.title.format_map(FULL)
    assert len(title) < 90 and not title.endswith(".")
    sentence = phrase.sentence(FULL) if callable(phrase.sentence) else phrase.sentence.format_map(FULL)
    assert sentence.endswith(".") and ".." not in sentence


def test_clusterip_words_without_an_endpoint():
    words = PHRASES["service.clusterip"].sentence
    assert words({"service": "shop/cart", "vip": "10.96.0.20"}) == "10.96.0.20 is no machine: it is the ClusterIP of Service shop/cart."
