"""The EndpointSlice controllers: names, sizes, what is observed, what is mirrored, what goes."""

from __future__ import annotations

import re

import msgspec
import pytest

from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS
from kubenet_lab.services import service_ports, slices

LABEL = "kubernetes.io/service-name"
MANAGED = "endpointslice.kubernetes.io/managed-by"


def doc(kind, name, namespace="shop", labels=None, annotations=None, **rest):
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}, "annotations": annotations or {}, "uid": f"uid-{kind}-{name}"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest}


def service(name="web", selector=None, **spec):
    base = {"clusterIP": "10.96.0.20", "ipFamilies": ["IPv4"], "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return doc("Service", name, spec={**base, "selector": {"app": name} if selector is None else selector, **spec})


def pod(name, ip, app="web", node="node-1"):
    status = {"phase": "Running", "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": "True"}]}
    return doc("Pod", name, labels={"app": app}, spec={"nodeName": node}, status=status)


def snap(*documents):
    """A snapshot with the nodes that the pods are on."""
    nodes = {d["spec"]["nodeName"] for d in documents if d["kind"] == "Pod"}
    found = [*documents, *(doc("Node", n, "") for n in sorted(nodes))]
    keys = [(d["kind"], d["metadata"]["namespace"], d["metadata"]["name"]) for d in found]
    return Snapshot([msgspec.convert(d, KINDS[d["kind"]][0]) for d in found], documents=dict(zip(keys, found, strict=True)))


def test_document():
    [found] = slices(snap(service(), pod("web-1", "10.244.1.2"))).write
    assert found["apiVersion"] == "discovery.k8s.io/v1" and found["kind"] == "EndpointSlice"
    metadata = found["metadata"]
    assert re.fullmatch("web-[bcdfghjklmnpqrstvwxz2456789]{5}", metadata["name"])
    assert metadata["generateName"] == "web-"
    assert metadata["labels"] == {LABEL: "web", MANAGED: "endpointslice-controller.k8s.io"}
    owner = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "uid-Service-web", "controller": True, "blockOwnerDeletion": True}
    assert metadata["ownerReferences"] == [owner]
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    [endpoint] = found["endpoints"]
    assert endpoint["addresses"] == ["10.244.1.2"] and endpoint["nodeName"] == "node-1"


def test_a_hundred_to_a_slice():
    pods = [pod(f"web-{i:03}", f"10.244.{i // 250}.{i % 250 + 2}") for i in range(250)]
    found = slices(snap(service(), *pods)).write
    assert [len(s["endpoints"]) for s in found] == [100, 100, 50]
    assert len({s["metadata"]["name"] for s in found}) == 3
    [port] = service_ports(snap(service(), *found))
    assert len(port.endpoints) == 250


def test_names_are_stable_and_go_with_the_service():
    one = slices(snap(service(), pod("web-1", "10.244.1.2"))).write
    two = slices(snap(service(), pod("web-1", "10.244.1.2"), pod("web-2", "10.244.1.3"))).write
    assert one[0]["metadata"]["name"] == two[0]["metadata"]["name"]
    other = slices(snap(service("api"), pod("api-1", "10.244.1.2", "api"))).write
    assert other[0]["metadata"]["name"][-5:] != one[0]["metadata"]["name"][-5:]


def test_a_name_that_is_taken_is_not_used_again():
    [first] = slices(snap(service(), pod("web-1", "10.244.1.2"))).write
    foreign = {**first, "metadata": {**first["metadata"], "labels": {LABEL: "other"}}}
    [second] = slices(snap(service(), pod("web-1", "10.244.1.2"), foreign)).write
    assert second["metadata"]["name"] != first["metadata"]["name"]


def test_changes_only():
    base = [service(), service("api"), pod("web-1", "10.244.1.2"), pod("api-1", "10.244.1.3", "api")]
    written = slices(snap(*base)).write
    more = slices(snap(*base, *written, pod("web-2", "10.244.1.4")))
    assert [w["metadata"]["labels"][LABEL] for w in more.write] == ["web"] and more.delete == ()
    gone = slices(snap(base[0], base[2], base[3], *written))
    [api] = [w for w in written if w["metadata"]["labels"][LABEL] == "api"]
    assert gone.write == () and gone.delete == (f"shop/{api['metadata']['name']}",)


def test_a_service_that_loses_its_selector_keeps_its_slices():
    written = slices(snap(service(), pod("web-1", "10.244.1.2"))).write
    changes = slices(snap(service(selector={}), *written))
    assert (changes.write, changes.delete) == ((), ())


def test_observed_slices_are_used_as_they_are():
    observed = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-abcde", "namespace": "shop", "labels": {LABEL: "web", MANAGED: "endpointslice-controller.k8s.io"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.9.9.9"]}],
        "ports": [{"name": "http", "port": 8080}],
    }
    objects = snap(service(), pod("web-1", "10.244.1.2"), observed)
    changes = slices(objects, observed={"shop/web-abcde"})
    assert (changes.write, changes.delete) == ((), ())
    changes = slices(objects)  # our own from before: replaced
    assert len(changes.write) == 1 and changes.delete == ("shop/web-abcde",)


def test_slices_of_others_are_left_alone():
    mine = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "outside", "namespace": "shop", "labels": {LABEL: "db", MANAGED: "me"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["203.0.113.9"]}],
        "ports": [{"name": "http", "port": 5432}],
    }
    objects = snap(service("db", selector={}), mine)
    assert slices(objects).delete == ()
    [port] = service_ports(objects)
    assert [str(e) for e in port.endpoints] == ["203.0.113.9:5432"]


# pkg/controller/endpointslicemirroring: TestSyncEndpoints, TestNewEndpointSlice
def endpoints(name="db", labels=None, annotations=None, subsets=None):
    default = [
        {"addresses": [{"ip": "203.0.113.9"}], "notReadyAddresses": [{"ip": "203.0.113.10"}], "ports": [{"name": "http", "port": 5432}]}
    ]
    return doc("Endpoints", name, labels=labels, annotations=annotations, subsets=default if subsets is None else subsets)


def test_mirroring():
    [found] = slices(snap(service("db", selector={}), endpoints(labels={"team": "data"}))).write
    assert found["metadata"]["labels"] == {"team": "data", LABEL: "db", MANAGED: "endpointslicemirroring-controller.k8s.io"}
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
    assert found["ports"] == [{"name": "http", "port": 5432, "protocol": "TCP"}]
    assert [(e["addresses"], e["conditions"]) for e in found["endpoints"]] == [
        (["203.0.113.9"], {"ready": True}),
        (["203.0.113.10"], {"ready": False}),
    ]
    assert slices(snap(service("db", selector={}), endpoints(labels={"team": "data"}), found)).write == ()


def test_mirroring_copies_labels_notes_and_protocols():
    """TestNewEndpointSlice: only two labels are overwritten, two annotations are left out."""
    left_out = ("endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration")
    labels = {LABEL: "mine", MANAGED: "me", "service.kubernetes.io/headless": "", "team": "data"}
    subsets = [{"addresses": [{"ip": "203.0.113.9"}], "ports": [{"name": "h", "port": 80, "appProtocol": "kubernetes.io/h2c"}]}]
    subject = endpoints(labels=labels, annotations={"note": "x", **dict.fromkeys(left_out, "y")}, subsets=subsets)
    [found] = slices(snap(service("db", selector={}), subject)).write
    assert found["metadata"]["labels"] == {**labels, LABEL: "db", MANAGED: "endpointslicemirroring-controller.k8s.io"}
    assert found["metadata"]["annotations"] == {"note": "x"}
    assert found["ports"] == [{"name": "h", "port": 80, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}]
    assert slices(snap(service("db", selector={}), subject, found)).write == ()
    [again] = slices(snap(service("db", selector={}), endpoints(labels=labels, subsets=subsets), found)).write
    assert "annotations" not in again["metadata"] and again["metadata"]["name"] == found["metadata"]["name"]


def test_mirroring_stops_at_a_thousand():
    """TestReconcile, with too many in two subsets of the same ports, which are one (RepackSubsets, maxEndpointsPerSubset)."""
    many = [{"ip": f"203.0.{i // 250}.{i % 250 + 1}"} for i in range(1500)]
    subsets = [{"addresses": many[:600], "notReadyAddresses": many[600:], "ports": [{"port": 80}]}, {"addresses": [{"ip": "198.51.100.1"}],
               "ports": [{"port": 80}]}]  # fmt: skip
    [found] = slices(snap(service("db", selector={}), endpoints(subsets=subsets))).write
    assert [e["conditions"]["ready"] for e in found["endpoints"]] == [True] * 601 + [False] * 399


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [  # "address[!] ..." and ports of each slice; "!" is not ready. Source: pkg/api/v1/endpoints/util_test.go, TestPackSubsets
        ([(["1.2.3.4"], [111])], {(111,): "1.2.3.4"}),
        ([(["1.2.3.4"], [111]), (["1.2.3.4"], [111])], {(111,): "1.2.3.4"}),
        ([(["1.2.3.4"], [111]), (["1.2.3.4"], [222])], {(111, 222): "1.2.3.4"}),
        ([(["1.2.3.4"], [111]), (["5.6.7.8"], [111])], {(111,): "1.2.3.4 5.6.7.8"}),
        ([(["1.2.3.4", "5.6.7.8"], [111]), (["1.2.3.4"], [222])], {(111,): "1.2.3.4 5.6.7.8", (222,): "1.2.3.4"}),
        ([(["1.2.3.4"], [111]), (["1.2.3.4!"], [111])], {(111,): "1.2.3.4!"}),
        ([(["1.2.3.4!"], [111]), (["1.2.3.4"], [111])], {(111,): "1.2.3.4!"}),
        ([(["1.2.3.4"], [111]), (["1.2.3.4!"], [222])], {(111,): "1.2.3.4", (222,): "1.2.3.4!"}),
        ([(["5.6.7.8", "1.2.3.4!", "1.2.3.5"], [111])], {(111,): "1.2.3.5 5.6.7.8 1.2.3.4!"}),
        ([(["1.2.3.4"], []), (["1.2.3.4"], [])], {(): "1.2.3.4"}),
        ([(["1.2.3.4"], []), (["1.2.3.5"], [111])], {(): "1.2.3.4", (111,): "1.2.3.5"}),
    ],
)
def test_mirroring_repacks_subsets(subsets, expected):
    given = [
        {
            "addresses": [{"ip": a} for a in addresses if not a.endswith("!")],
            "notReadyAddresses": [{"ip": a.rstrip("!")} for a in addresses if a.endswith("!")],
            "ports": [{"name": f"p{p}", "port": p} for p in ports],
        }
        for addresses, ports in subsets
    ]
    found = slices(snap(service("db", selector={}), endpoints(subsets=given))).write
    assert {
        tuple(sorted(p["port"] for p in s["ports"])): " ".join(
            e["addresses"][0] + "!" * (not e["conditions"]["ready"]) for e in s["endpoints"]
        )
        for s in found
    } == expected


def test_mirrored_slices_keep_their_names():
    """reconciler.go, recycleSlices: other ports, other addresses, the same slice; of two slices with equal ports the second goes."""

    def given(*subsets):
        return endpoints(subsets=[{"addresses": [{"ip": a}], "ports": [{"port": p}]} for a, p in subsets])

    subject = service("db", selector={})
    [first] = slices(snap(subject, given(("203.0.113.9", 80)))).write
    for change in (("203.0.113.9", 81), ("203.0.113.10", 80)):
        changes = slices(snap(subject, given(change), first))
        [found] = changes.write
        assert (found["metadata"]["name"], changes.delete) == (first["metadata"]["name"], ())
        assert found["ports"] == [{"name": "", "port": change[1], "protocol": "TCP"}]
    twin = {**first, "metadata": {**first["metadata"], "name": f"{first['metadata']['name']}-2"}}
    changes = slices(snap(subject, given(("203.0.113.9", 80)), first, twin))
    assert (changes.write, changes.delete) == ((), (f"shop/{twin['metadata']['name']}",))
    assert slices(snap(given(("203.0.113.9", 80)), first)).delete == (f"shop/{first['metadata']['name']}",)


@pytest.mark.parametrize(
    ("others", "subject"),
    [
        ([], endpoints()),  # no such Service
        ([service("db")], endpoints()),  # it has a selector: the pods decide
        ([service("db", selector={})], endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"})),
        ([service("db", selector={})], endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"})),
        ([service("db", selector={})], endpoints(subsets=[])),
    ],
)
def test_not_mirrored(others, subject):
    written = slices(snap(*others, subject)).write
    assert not [w for w in written if "mirroring" in w["metadata"]["labels"][MANAGED]]


def test_mirroring_splits_families():
    subsets = [{"addresses": [{"ip": "203.0.113.9"}, {"ip": "2001:db8::9"}], "ports": [{"port": 80}]}]
    found = slices(snap(service("db", selector={}), endpoints(subsets=subsets))).write
    assert [s["addressType"] for s in found] == ["IPv4", "IPv6"]


def test_duplicate_addresses_count_once():
    """endpointslicecache.go: one address and port in two slices is one endpoint; the one on the proxy's node wins."""
    from kubenet_lab.services import NodeView, categorize

    def one(name, node):
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "shop", "labels": {LABEL: "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.1.2"], "nodeName": node}],
            "ports": [{"name": "http", "port": 8080}],
        }

    [port] = service_ports(snap(service(internalTrafficPolicy="Local"), one("a", "node-1"), one("b", "node-2")))
    for node in ("node-1", "node-2"):
        assert [e.node for e in categorize(port, NodeView(node)).local] == [node]
    assert categorize(port, NodeView("node-3")).local == ()


def test_other_family_other_proxy_and_headless_slices_are_ignored():
    slice_ = slices(snap(service(), pod("web-1", "10.244.1.2"))).write[0]

    def endpoints_with(**change):
        changed = msgspec.json.decode(msgspec.json.encode(slice_))
        changed["metadata"]["labels"] |= change.pop("labels", {})
        changed |= change
        return service_ports(snap(service(), changed))[0].endpoints

    assert len(endpoints_with()) == 1
    assert endpoints_with(addressType="IPv6") == ()
    assert endpoints_with(labels={"service.kubernetes.io/headless": ""}) == ()
    assert endpoints_with(labels={"service.kubernetes.io/service-proxy-name": "other"}) == ()


def test_mirroring_keeps_what_is_known_of_an_address():
    reference = {"kind": "Pod", "namespace": "shop", "name": "db-0", "uid": "u"}
    subsets = [
        {"addresses": [{"ip": "203.0.113.9", "hostname": "db-0", "nodeName": "node-1", "targetRef": reference}], "ports": [{"port": 80}]}
    ]
    [found] = slices(snap(service("db", selector={}), endpoints(subsets=subsets))).write
    [endpoint] = found["endpoints"]
    assert (endpoint["hostname"], endpoint["nodeName"], endpoint["targetRef"]) == ("db-0", "node-1", reference)


@pytest.mark.parametrize(
    ("spec", "types"), [({}, ["IPv4"]), ({"clusterIP": "fd00::1"}, ["IPv6"]), ({"clusterIP": "None"}, ["IPv4", "IPv6"])]
)
def test_families_of_a_service_that_names_none(spec, types):
    """utils.go, getAddressTypesForService: an old dump without ipFamilies."""
    assert [s["addressType"] for s in slices(snap(service(ipFamilies=[], **spec))).write] == types


def test_node_view():
    from kubenet_lab.services import NodeView

    addresses = [{"type": "Hostname", "address": "worker-1"}, {"type": "InternalIP", "address": "192.168.50.11"}]
    addresses += [{"type": "InternalIP", "address": "fd00:50::11"}, {"type": "InternalIP", "address": "192.168.60.11"}]
    node = doc("Node", "worker-1", "", labels={"a": "b"}, spec={"podCIDR": "10.244.1.0/24"}, status={"addresses": addresses})
    found = NodeView.of(msgspec.convert(node, KINDS["Node"][0]), ["192.168.50.11", "10.244.1.1"])
    assert (found.primary_ip(4), found.primary_ip(6), found.pod_cidrs) == ("192.168.50.11", "fd00:50::11", ("10.244.1.0/24",))
    assert found.all_addresses(4) == ("127.0.0.1", "192.168.50.11", "10.244.1.1")
    assert found.all_addresses(6) == ("::1", "fd00:50::11")
