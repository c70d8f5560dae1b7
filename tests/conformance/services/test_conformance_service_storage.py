"""What a Service gets when it is created, and what an update of it adds, keeps, gives back or may not say.

Source: kubernetes/kubernetes 1.34, pkg/registry/core/service/storage/storage_test.go (TestCreateInitIPFields, TestUpdateIPsFromSingleStack,
TestUpdateIPsFromDualStack, TestUpdatePatchAllocatedValues, TestFeaturePorts, TestFeatureType), in our own form. An update is the manifest
applied again, which says of each field what upstream's PUT says.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import kubenet_lab as kn

Doc = dict[str, Any]
ADDRESS = {"4": "10.96.0.77", "6": "fd00:96::77"}
FAMILY = {"4": "IPv4", "6": "IPv6"}
POLICY = {"S": "SingleStack", "P": "PreferDualStack", "R": "RequireDualStack"}
CIDRS = {"4": "10.96.0.0/16", "6": "fd00:96::/112"}


def service(policy: str = "", families: str = "", ips: str = "", name: str = "foo", **spec: Any) -> Doc:
    """`families` and `ips` by the digits of the families: "46" is IPv4, IPv6; "-" before them, or alone, is what nobody says."""
    found: Doc = {"selector": {"k": "v"}, "ports": [{"name": "p", "port": 80}]}
    found |= {"ipFamilyPolicy": POLICY[policy]} if policy else {}
    found |= {"ipFamilies": [FAMILY[f] for f in families]} if families else {}
    found |= {"clusterIPs": [ADDRESS[f] for f in ips], "clusterIP": ADDRESS[ips[0]]} if ips else {}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": found | spec}


#: clusterIPs -> for each policy (unset, Single, Prefer, Require) the outcome by ipFamilies unset, 4, 6, 46, 64:
#: the families, or "-" for refused
CREATE: dict[str, dict[str, tuple[str, str, str, str]]] = {
    "4": {
        "": ("4 4 - - -", "4 4 - - -", "4 4 - - -", "- - - - -"),
        "4": ("4 4 - - -", "4 4 - - -", "4 4 - - -", "- - - - -"),
        "6": ("- - - - -", "- - - - -", "- - - - -", "- - - - -"),
        "46": ("- - - - -", "- - - - -", "- - - - -", "- - - - -"),
        "64": ("- - - - -", "- - - - -", "- - - - -", "- - - - -"),
    },
    "46": {
        "": ("4 4 6 - -", "4 4 6 - -", "46 46 64 46 64", "46 46 64 46 64"),
        "4": ("4 4 - - -", "4 4 - - -", "46 46 - 46 -", "46 46 - 46 -"),
        "6": ("6 - 6 - -", "6 - 6 - -", "64 - 64 - 64", "64 - 64 - 64"),
        "46": ("- - - - -", "- - - - -", "46 46 - 46 -", "46 46 - 46 -"),
        "64": ("- - - - -", "- - - - -", "64 - 64 - 64", "64 - 64 - 64"),
    },
    "64": {"": ("6 4 6 - -", "6 4 6 - -", "64 46 64 46 64", "64 46 64 46 64")},
}
HEADLESS: dict[str, dict[str, tuple[str, str, str, str]]] = {  # clusterIP None, with a selector and without
    "4": {"selector": ("4 4 - - -", "4 4 - - -", "4 4 - - -", "- - - - -"),
          "": ("46 46 64 46 64", "4 4 6 - -", "46 46 64 46 64", "46 46 64 46 64")},
    "46": {"selector": ("4 4 6 - -", "4 4 6 - -", "46 46 64 46 64", "46 46 64 46 64"),
           "": ("46 46 64 46 64", "4 4 6 - -", "46 46 64 46 64", "46 46 64 46 64")},
}  # fmt: skip
CREATE_ROWS = [
    (cluster, ips, policy, families, expected)
    for cluster, blocks in CREATE.items()
    for ips, block in blocks.items()
    for policy, cells in zip(("", "S", "P", "R"), block, strict=True)
    for families, expected in zip(("", "4", "6", "46", "64"), cells.split(), strict=True)
]
HEADLESS_ROWS = [
    (cluster, kind, policy, families, expected)
    for cluster, blocks in HEADLESS.items()
    for kind, block in blocks.items()
    for policy, cells in zip(("", "S", "P", "R"), block, strict=True)
    for families, expected in zip(("", "4", "6", "46", "64"), cells.split(), strict=True)
]


@cache
def cluster_of(families: str) -> kn.Cluster:
    return kn.load([], ip_families=tuple(FAMILY[f] for f in families), service_cidr=",".join(CIDRS[f] for f in families))


def applied(cluster: kn.Cluster, document: Doc) -> Doc | None:
    """The Service's spec after an apply; None if it was refused."""
    try:
        cluster.apply(document)
    except kn.LoadError:
        return None
    return dict(cluster.store.document("Service", "default/foo")["spec"])


def short(spec: Doc | None) -> str:
    return "".join(f[-1] for f in spec["ipFamilies"]) if spec else "-"


@pytest.mark.parametrize(("families_of", "ips", "policy", "families", "expected"), CREATE_ROWS)
def test_create(families_of: str, ips: str, policy: str, families: str, expected: str) -> None:
    found = applied(cluster_of(families_of).copy(), service(policy, families, ips))
    assert short(found) == expected
    if found:
        assert found["ipFamilyPolicy"] == POLICY[policy or "S"]
        assert ["6" if ":" in ip else "4" for ip in found["clusterIPs"]] == list(expected)


@pytest.mark.parametrize(("families_of", "kind", "policy", "families", "expected"), HEADLESS_ROWS)
def test_create_headless(families_of: str, kind: str, policy: str, families: str, expected: str) -> None:
    document = service(policy, families, clusterIP="None", **({} if kind else {"selector": None}))
    found = applied(cluster_of(families_of).copy(), document)
    assert short(found) == expected
    assert not found or found["clusterIPs"] == ["None"]


#: policy of the update -> by its ipFamilies (unset, one, two) the number of families then
#: by its clusterIPs (unset, one, two); "-": refused
FROM_ONE = {"": ("1 1 -", "1 1 -", "- - -"), "S": ("1 1 -", "1 1 -", "- - -"),
            "P": ("2 2 2", "2 2 2", "2 2 2"), "R": ("2 2 2", "2 2 2", "2 2 2")}  # fmt: skip
FROM_TWO = {"": ("2 - 2", "- - -", "2 - 2"), "S": ("1 1 1", "1 1 1", "1 1 1"),
            "P": ("2 - 2", "- - -", "2 - 2"), "R": ("2 - 2", "- - -", "2 - 2")}  # fmt: skip
UPDATE_ROWS = [
    (order, count, policy, order[:families], order[:ips], expected)
    for order in ("46", "64")
    for count, table in ((1, FROM_ONE), (2, FROM_TWO))
    for policy, blocks in table.items()
    for families, cells in enumerate(blocks)
    for ips, expected in enumerate(cells.split())
]


@pytest.mark.parametrize(("order", "count", "policy", "families", "ips", "expected"), UPDATE_ROWS)
def test_update(order: str, count: int, policy: str, families: str, ips: str, expected: str) -> None:
    cluster = cluster_of(order).copy()
    assert applied(cluster, service("SR"[count - 1], "", order[:count]))
    found = applied(cluster, service(policy, families, ips, selector={"k2": "v2"}))
    assert (str(len(found["ipFamilies"])) if found else "-") == expected
    if found:
        assert found["clusterIPs"][0] == ADDRESS[order[0]] and len(found["clusterIPs"]) == len(found["ipFamilies"])


@pytest.mark.parametrize(("order", "before", "after"), [
    ("4", service("S"), service("R", "46")), ("4", service("S"), service("R")), ("4", service("S"), service("", "46")),
    *(("46", service("S", "", "4"), u) for u in (service("R", "64"), service("R", "", "64"))),
    *(("64", service("S", "", "6"), u) for u in (service("R", "46"), service("R", "", "46"))),
    *(("46", service("R", "", "46"), u) for u in (service("S", "6"), service("S", "", "6"))),
])  # fmt: skip
def test_updates_that_are_refused(order: str, before: Doc, after: Doc) -> None:
    cluster = cluster_of(order).copy()
    was = applied(cluster, before)
    assert was and applied(cluster, after) is None
    assert cluster.store.document("Service", "default/foo")["spec"] == was


def test_a_second_address_that_is_taken() -> None:
    cluster = cluster_of("46").copy()
    cluster.apply(service("S", "", "6", name="bar"))
    assert applied(cluster, service("S", "", "4"))
    assert applied(cluster, service("R", "46", "46")) is None


# --- ports ---------------------------------------------------------------------------------------------------------
def ports(text: str, **spec: Any) -> Doc:
    """ "p:867=30093 q:5309/UDP": names, numbers, protocols, node ports."""
    found = []
    for one in text.split():
        name, _, rest = one.partition(":")
        rest, _, node_port = rest.partition("=")
        number, _, protocol = rest.partition("/")
        found.append(
            {"name": name, "port": int(number), "protocol": protocol or "TCP"} | ({"nodePort": int(node_port)} if node_port else {})
        )
    return service(ports=found, **spec)


LOCAL: Doc = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
TWO = "p:867=30093 q:5309=30076"
PATCH: list[tuple[str, str, int, str, str | None]] = [  # name; ports of the update, health check (0: unsaid); then
    ("all as they were", TWO, 30118, "30093 30076"), ("nothing said", "p:867 q:5309", 0, "30093 30076"),
    ("swap-ports", "p:867=30076 q:5309=30093", 30118, "30076 30093"),
    ("partial-swap-ports", "p:867=30076 q:5309", 30118, "30076 ?"), ("swap-port-with-hcnp", "p:867=30076 q:5309=30118", 0, None),
    ("partial-swap-port-with-hcnp", "p:867=30118 q:5309", 0, None), ("update-hcnp", TWO, 30111, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "after", "health", "expected"), PATCH, ids=[r[0] for r in PATCH])
def test_allocated_ports(name: str, after: str, health: int, expected: str | None) -> None:
    cluster = cluster_of("4").copy()
    assert applied(cluster, ports(TWO, **LOCAL, healthCheckNodePort=30118))
    found = applied(cluster, ports(after, **LOCAL, **({"healthCheckNodePort": health} if health else {})))
    assert (found is None) == (expected is None)
    if found and expected:
        given = [p["nodePort"] for p in found["ports"]]
        assert len(set(given)) == 2 and all(want in ("?", str(have)) for want, have in zip(expected.split(), given, strict=True))


FEATURES: list[tuple[str, str, str, str | None]] = [  # name, NodePort's ports before and after, what stays the same
    ("add_port", "p:80", "p:80 q:443", "p"), ("remove_port", "p:80 q:443", "p:80", "p"), ("swap_ports", "p:80 q:443", "q:443 p:80", "pq"),
    ("modify_ports", "p:80 q:443", "p:8080 q:8443", "pq"), ("modify_protos", "p:80 q:443", "p:80/UDP q:443/UDP", "pq"),
    ("modify_ports_and_protos", "p:80 q:443", "r:53 s:53/UDP", ""), ("add_alt_proto", "p:53", "p:53 q:53/UDP", "p"),
    ("wipe_all", "p:80", "", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "same"), FEATURES, ids=[r[0] for r in FEATURES])
def test_feature_ports(name: str, before: str, after: str, same: str | None) -> None:
    cluster = cluster_of("4").copy()
    was = applied(cluster, ports(before, type="NodePort"))
    found = applied(cluster, ports(after, type="NodePort"))
    assert was and (found is None) == (same is None)
    if found:
        have, had = ({p["name"]: p["nodePort"] for p in s["ports"]} for s in (found, was))
        assert list(have) == [one.partition(":")[0] for one in after.split()]
        assert all(have[n] == had[n] for n in same or "") and len(set(have.values())) == len(have)
        still = applied(cluster, ports(after))
        assert still and not any("nodePort" in p for p in still["ports"])


TYPES: dict[str, Doc] = {
    "ClusterIP": {}, "NodePort": {"type": "NodePort"}, "LoadBalancer": {"type": "LoadBalancer"}, "Headless": {"clusterIP": "None"},
    "ExternalName": {"type": "ExternalName", "externalName": "example.com"},
}  # fmt: skip


@pytest.mark.parametrize("after", TYPES)
@pytest.mark.parametrize("before", TYPES)
def test_feature_type(before: str, after: str) -> None:
    cluster = cluster_of("4").copy()
    assert applied(cluster, service(**TYPES[before]))
    found = applied(cluster, service(**TYPES[after]))
    lasting = {"ClusterIP", "NodePort", "LoadBalancer"}
    stays = (before, after) == ("Headless", "ClusterIP")  # an address that is not said is the one from before: None
    refused = "Headless" in (before, after) and bool(lasting & {before, after}) and not stays
    assert (found is None) == refused
    if found:
        assert bool(found.get("clusterIPs")) == (after != "ExternalName")
        assert (found.get("clusterIP") == "None") == (after == "Headless" or stays)
        assert all(("nodePort" in p) == (after in ("NodePort", "LoadBalancer")) for p in found["ports"])
