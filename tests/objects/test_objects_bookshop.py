"""The bookshop: valid, believable, and the same from its manifests and from its dump."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.errors import NotFound
from kubenet_lab.objects import Store, dump, example_path, examples, read, reconcile, running, schedule, workload_statuses
from kubenet_lab.objects import examples as public_examples
from kubenet_lab.objects.views import DaemonSet, Deployment, IngressClass, NetworkPolicy, Node, Pod, Service, StatefulSet
from kubenet_lab.versions import MODELLED

MANIFESTS = example_path("bookshop") / "manifests"
NOTE = "kubectl.kubernetes.io/last-applied-configuration"


def standing() -> Store:
    store = Store()
    store.apply(MANIFESTS)
    for i in (1, 2):
        address = {"type": "InternalIP", "address": f"192.168.50.1{i}"}
        store.write([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"worker-{i}"}, "spec": {"podCIDR": f"10.244.{i}.0/24"},
                      "status": {"addresses": [address]}}], by="test")  # fmt: skip
    reconcile(store)
    store.commit(schedule(store.snapshot()), by="scheduler")
    nodes = {n.name: n for n in store.snapshot().list(Node)}
    last: Counter[str] = Counter()
    for pod in store.snapshot().list(Pod):
        last[pod.spec.node_name] += 1
        host = nodes[pod.spec.node_name].status.addresses[0].address
        own = host if pod.spec.host_network else f"10.244.{pod.spec.node_name[-1]}.{last[pod.spec.node_name] + 1}"
        store.write([running(store.document("pod", pod.key), own, host)], by="kubelet")
    store.commit(workload_statuses(store.snapshot()), by="status")
    return store


def test_every_manifest_is_valid_against_the_json_schema() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    documents = [d.data for d in read(MANIFESTS)[0]]
    assert len(documents) == 24
    for document in documents:
        validate.validate(document, MODELLED["kubernetes"], strict=True)


def test_every_stored_document_is_valid_against_the_json_schema() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    store = standing()
    for view in store.snapshot().all():
        document = store.document(view.kind, view.key)
        document["metadata"].pop("generation", None)
        validate.validate(document, MODELLED["kubernetes"], strict=True)


def test_it_loads_without_a_word() -> None:
    store = Store()
    applied = store.apply(MANIFESTS)
    assert applied.findings == () and applied.assumptions == () and applied.ignored == ()
    assert Counter(kind for kind, _ in applied.created) == {
        "Namespace": 3, "Secret": 1, "Service": 7, "Deployment": 5, "StatefulSet": 1, "DaemonSet": 1, "CronJob": 1, "IngressClass": 1,
        "Ingress": 1, "NetworkPolicy": 3,
    }  # fmt: skip


def test_who_is_in_it() -> None:
    snapshot = standing().snapshot()
    assert {d.key: d.spec.replicas for d in snapshot.list(Deployment)} == {
        "data/cache": 1, "ops/jobs": 1, "shop/api": 2, "shop/cart": 1, "shop/web": 2,
    }  # fmt: skip
    assert [s.key for s in snapshot.list(StatefulSet)] == ["data/db"] and [d.key for d in snapshot.list(DaemonSet)] == ["ops/ingress"]
    ports = {s.key: (s.spec.ports[0].port, s.spec.ports[0].target_port) for s in snapshot.list(Service)}
    assert ports == {
        "data/cache": (6379, "redis"), "data/db": (5432, "postgres"), "data/db-read": (5432, "postgres"), "shop/api": (8080, 8080),
        "shop/cart": (8080, "http"), "shop/web": (80, "http"), "shop/web-public": (80, "http"),
    }  # fmt: skip
    database = snapshot.get(Service, "db", "data")
    public = snapshot.get(Service, "web-public", "shop")
    assert database is not None and database.headless
    assert public is not None and public.spec.ports[0].node_port == 30080
    (default,) = snapshot.list(IngressClass)
    assert default.spec.controller == "kubenet-lab.dev/ingress"
    assert default.metadata.annotations["ingressclass.kubernetes.io/is-default-class"] == "true"
    assert {p.name for p in snapshot.list(NetworkPolicy, "data")} == {"cache", "db", "default-deny-ingress"}


def test_web_stands_on_both_workers_and_cart_on_one_of_them() -> None:
    places: dict[str, set[str]] = {}
    for pod in standing().snapshot().list(Pod):
        places.setdefault(pod.labels["app.kubernetes.io/name"], set()).add(pod.spec.node_name)
    for name in ("web", "api", "ingress"):
        assert places[name] == {"worker-1", "worker-2"}
    assert len(places["cart"]) == 1, "so one web pod has it near and the other far"


def test_no_value_of_a_secret_or_of_an_environment_is_kept() -> None:
    text = standing().to_yaml() + dump(standing())
    assert "change-me" not in text and "http://cart:8080" not in text
    assert "password:" in text and "CART_URL" in text


def without_notes(store: Store) -> list[dict[str, Any]]:
    out = []
    for view in store.snapshot().all():
        document = store.document(view.kind, view.key)
        document["metadata"].pop("managedFields", None)
        notes = document["metadata"].get("annotations", {})
        notes.pop(NOTE, None)
        if not notes:
            document["metadata"].pop("annotations", None)
        out.append(document)
    return out


def test_the_dump_is_the_same_cluster() -> None:
    store = standing()
    text = dump(store)
    parsed = yaml.safe_load(text)
    assert parsed["kind"] == "List" and len(parsed["items"]) == len(store.snapshot().all())
    again = Store()
    applied = again.apply(text)
    assert applied.findings == () and applied.assumptions == () and applied.ignored == ()
    assert without_notes(again) == without_notes(store)
    before = again.to_yaml()
    reconcile(again)
    again.commit(schedule(again.snapshot()), by="scheduler")
    again.commit(workload_statuses(again.snapshot()), by="status")
    assert again.to_yaml() == before, "nothing is made that the dump shows already"
    assert dump(store) == text


def test_the_dump_has_the_noise_of_a_real_one() -> None:
    items = yaml.safe_load(dump(standing()))["items"]
    assert all(i["metadata"]["uid"] and i["metadata"]["resourceVersion"] and i["metadata"]["managedFields"] for i in items)
    assert any(NOTE in i["metadata"].get("annotations", {}) for i in items)
    pods = [i for i in items if i["kind"] == "Pod"]
    assert len(pods) == 10 and all(p["status"]["phase"] == "Running" for p in pods)
    assert {p["metadata"]["managedFields"][0]["manager"] for p in pods} == {"kube-controller-manager"}


def test_applying_the_manifests_to_the_dump_changes_nothing_that_matters() -> None:
    again = Store()
    again.apply(dump(standing()))
    applied = again.apply(MANIFESTS)
    assert applied.findings == () and applied.created == ()
    reconcile(again)
    assert len(again.objects("pod")) == 10 and len(again.objects("rs")) == 5


def test_examples_are_found_by_name() -> None:
    assert "bookshop" in examples() and public_examples() == examples()
    assert (example_path("bookshop") / "README.md").is_file()
    with pytest.raises(NotFound, match="nearest: bookshop"):
        example_path("bookshp")


def test_the_tables_of_the_readmes_name_what_is_there() -> None:
    story = (example_path("bookshop") / "README.md").read_text(encoding="utf-8")
    for view in standing().snapshot().all():
        if view.kind in ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Service", "NetworkPolicy", "IngressClass"):
            assert f"`{view.name}`" in story
    index = (Path(example_path("bookshop")).parent / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name}]" in index for name in examples())
