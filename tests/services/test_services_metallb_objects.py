"""MetalLB as its own objects configure it: which pool, which address, who answers for it.

Sources: metallb internal/allocator/allocator_test.go, internal/config/config_test.go, controller/service_test.go,
speaker/layer2_controller_test.go, in our own form.
"""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL, Doc, namespace, node, pod
from tests.services.test_services_balancers import LAN, ips, lb

Notes = dict[str, str]


def crd(kind: str, name: str, labels: Notes | None = None, **spec: Any) -> Doc:
    metadata: Doc = {"name": name, "namespace": "metallb-system", "labels": labels or {}}
    return {"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}


def pool(name: str, *addresses: str, labels: Notes | None = None, **spec: Any) -> Doc:
    return crd("IPAddressPool", name, labels, addresses=list(addresses), **spec)


def l2(name: str = "all", **spec: Any) -> Doc:
    return crd("L2Advertisement", name, **spec)


def load(*docs: Doc, **options: Any) -> kn.Cluster:
    return kn.load([*SMALL[:3], *docs], **options)


def said(cluster: kn.Cluster) -> str:
    return "\n".join(map(str, cluster.findings))


def test_pools_show_that_metallb_runs_and_give_the_addresses() -> None:
    cluster = load(pool("first", "192.168.50.240/30"), l2(), lb("a"))
    assert ips(cluster, "a") == ["192.168.50.240"]
    note = next(n for n in cluster.assumptions if n.what == "load balancer")
    assert (note.value, note.how) == ("MetalLB", "detected")
    assert cluster.connect(LAN, "192.168.50.240")
    assert ips(load(pool("first", "192.168.50.240/30"), l2(), lb("a"), load_balancer="none"), "a") == []
    own = load(pool("first", "192.168.50.240/30"), l2(), lb("a"), load_balancer=kn.MetalLB("192.168.50.230/32"))
    assert ips(own, "a") == ["192.168.50.230"]


def test_assignment() -> None:
    """TestAssignment: one after the other, as the Services come to ask."""
    cluster = load(pool("test", "192.168.50.4/31"), pool("test2", "192.168.51.0/24", avoidBuggyIPs=True), l2())

    def take(name: str, ip: str, port: int = 0, key: str = "", backend: str = "server") -> list[str]:
        notes = {"metallb.io/loadBalancerIPs": ip} | ({"metallb.io/allow-shared-ip": key} if key else {})
        local = {"externalTrafficPolicy": "Local"} if backend != "server" else {}
        cluster.apply(lb(name, {"port": port or 80, "targetPort": 8080}, notes=notes, app=backend, **local))
        return ips(cluster, name)

    assert take("s1", "192.168.50.4") == ["192.168.50.4"] == take("s1", "192.168.50.4")
    assert take("s2", "192.168.50.4") == []
    assert take("s2", "192.168.50.5") == ["192.168.50.5"]
    assert take("s3", "192.168.51.0") == take("s3", "192.168.51.255") == []  # buggy
    assert take("s3", "192.168.51.254") == ["192.168.51.254"]
    assert take("s4", "192.168.51.3", 80, "share") == ["192.168.51.3"]
    assert take("s3", "192.168.51.3", 80, "share") == []  # its port
    assert 'port TCP/80 is already in use on "192.168.51.3"' in said(cluster)
    assert take("s3", "192.168.51.3", 443, "other") == []  # another key
    assert take("s3", "192.168.51.3", 443, "share", backend="client") == []  # other pods, and policy Local
    assert 'can\'t change sharing key for "default/s3", address also in use by default/s4' in said(cluster)
    assert take("s3", "192.168.51.3", 443, "share") == ["192.168.51.3"]
    assert take("s4", "192.168.51.254") == ["192.168.51.254"]


def test_a_pool_is_used_up_and_no_other_one_is_asked_where_one_is_named() -> None:
    """TestPoolAllocation."""
    named = {"metallb.universe.tf/address-pool": "test"}
    docs = [pool("other", "192.168.60.0/24"), pool("test", "192.168.50.4/31", "192.168.50.10-192.168.50.11"), l2()]
    cluster = load(*docs, *(lb(f"s{i}", notes=named) for i in range(1, 7)))
    assert [ips(cluster, f"s{i}") for i in range(1, 7)] == [[f"192.168.50.{n}"] for n in (4, 5, 10, 11)] + [[], []]
    assert 'Failed to allocate IP for "default/s5": no available IPs in pool test for ipv4 IPFamily' in said(cluster)
    cluster.delete("svc", "default/s1")
    assert (ips(cluster, "s5"), ips(cluster, "s6")) == (["192.168.50.4"], [])


@pytest.mark.parametrize(
    ("pools", "notes", "want"),
    [
        # TestAutoAssign: a pool that is not for everybody is used when it is named
        ([pool("a", "192.168.50.1/32", autoAssign=False), pool("b", "192.168.50.10/32")], {}, ["192.168.50.10"]),
        ([pool("a", "192.168.50.1/32", autoAssign=False)], {}, []),
        ([pool("a", "192.168.50.1/32", autoAssign=False)], {"metallb.io/address-pool": "a"}, ["192.168.50.1"]),
        ([pool("a", "192.168.50.1/32", autoAssign=False)], {"metallb.io/loadBalancerIPs": "192.168.50.1"}, ["192.168.50.1"]),
        # TestBuggyIPs
        ([pool("a", "192.168.50.0/31", avoidBuggyIPs=True)], {}, ["192.168.50.1"]),
        ([pool("a", "192.168.50.255/32", avoidBuggyIPs=True)], {}, []),
        ([pool("a", "192.168.50.255/32")], {}, ["192.168.50.255"]),
        # host bits are cut off, as net.ParseCIDR does
        ([pool("a", "192.168.50.9/31")], {}, ["192.168.50.8"]),
        # addresses and pool must agree
        ([pool("a", "192.168.50.1/32"), pool("b", "192.168.50.2/32")],
         {"metallb.io/loadBalancerIPs": "192.168.50.1", "metallb.io/address-pool": "b"}, []),
        # serviceAllocation (internal/allocator TestAllocation..., config_test.go): pinned pools first, the smallest priority first, 0 last
        ([pool("a", "192.168.50.1/32"), pool("b", "192.168.50.2/32", serviceAllocation={"namespaces": ["default"]})], {}, ["192.168.50.2"]),
        ([pool("a", "192.168.50.1/32", serviceAllocation={}), pool("b", "192.168.50.2/32", serviceAllocation={"priority": 20}),
          pool("c", "192.168.50.3/32", serviceAllocation={"priority": 10})], {}, ["192.168.50.3"]),
        ([pool("a", "192.168.50.1/32", serviceAllocation={"namespaces": ["other"]}), pool("b", "192.168.50.2/32")], {}, ["192.168.50.2"]),
        ([pool("a", "192.168.50.1/32", serviceAllocation={"namespaces": ["other"]})], {"metallb.io/address-pool": "a"}, []),
        ([pool("a", "192.168.50.1/32", serviceAllocation={"namespaceSelectors": [{"matchLabels": {"team": "x"}}]})], {}, ["192.168.50.1"]),
        ([pool("a", "192.168.50.1/32", serviceAllocation={"serviceSelectors": [{"matchLabels": {"tier": "gold"}}]})], {}, []),
        ([pool("a", "192.168.50.1/32", serviceAllocation={"serviceSelectors": [{"matchLabels": {"app": "z"}}]})], {}, ["192.168.50.1"]),
    ],
)  # fmt: skip
def test_which_pool(pools: list[Doc], notes: Notes, want: list[str]) -> None:
    service = lb("z", notes=notes)
    service["metadata"]["labels"] = {"app": "z"}
    cluster = load(namespace("default", team="x"), *pools, l2(), service)
    assert ips(cluster, "z") == want


def test_another_pool_asked_for_later_gives_another_address() -> None:
    """controller/service.go: differentPoolRequested, differentIPRequested."""
    cluster = load(pool("a", "192.168.50.1/31"), pool("b", "192.168.50.20/31"), l2(), lb("z"))
    assert ips(cluster, "z") == ["192.168.50.0"]
    assert ips(cluster.apply(lb("z", notes={"metallb.io/address-pool": "b"})), "z") == ["192.168.50.20"]
    assert ips(cluster.apply(lb("z", notes={"metallb.io/loadBalancerIPs": "192.168.50.21"})), "z") == ["192.168.50.21"]


@pytest.mark.parametrize(
    ("pools", "policy", "want"),
    [
        ([pool("a", "192.168.50.1/32", "fd00:50::1/128")], "RequireDualStack", ["192.168.50.1", "fd00:50::1"]),
        ([pool("a", "192.168.50.1/32"), pool("b", "fd00:50::1/128")], "RequireDualStack", []),  # both must be of one pool
        ([pool("a", "192.168.50.1/32"), pool("b", "192.168.50.2/32", "fd00:50::2/128")], "RequireDualStack",
         ["192.168.50.2", "fd00:50::2"]),
        ([pool("a", "fd00:50::1/128"), pool("b", "192.168.50.1/32")], "PreferDualStack", ["192.168.50.1"]),
        ([pool("a", "fd00:50::1/128")], "PreferDualStack", ["fd00:50::1"]),
        ([pool("a", "fd00:50::1/128")], "SingleStack", []),
    ],
)  # fmt: skip
def test_two_families(pools: list[Doc], policy: str, want: list[str]) -> None:
    cluster = load(*pools, l2(), lb("z", ipFamilyPolicy=policy), ip_families=("IPv4", "IPv6"))
    assert ips(cluster, "z") == want


THREE = [node(f"worker-{i}", f"192.168.50.{10 + i}", f"10.244.{i}.0/24") for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("advertisements", "who"),
    [
        ([], []),  # without one nobody answers
        ([l2(nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "worker-2"}}])], ["worker-2"]),
        ([l2(nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "nobody"}}])], []),
        ([l2(ipAddressPools=["other"])], []),
        ([l2(ipAddressPools=["first"], nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "worker-3"}}])], ["worker-3"]),
        ([l2(ipAddressPoolSelectors=[{"matchLabels": {"zone": "a"}}],
             nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "worker-1"}}])], ["worker-1"]),
        ([l2(interfaces=["eth9"], nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "worker-1"}}])], []),
        ([l2(interfaces=["eth0"], nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "worker-1"}}])], ["worker-1"]),
        ([l2(serviceSelectors=[{"matchLabels": {"tier": "gold"}}])], []),
    ],
)  # fmt: skip
def test_who_answers(advertisements: list[Doc], who: list[str]) -> None:
    cluster = kn.load([*THREE, *SMALL[:3], pool("first", "192.168.50.240/32", labels={"zone": "a"}), *advertisements, lb("a")])
    assert ips(cluster, "a") == ["192.168.50.240"]
    announced = [n.name for n in cluster.nodes if ("eth0", "192.168.50.240") in cluster.network().namespaces[n.name].announced]
    assert announced == who
    assert cluster.connect(LAN, "192.168.50.240").error == (None if who else "EHOSTUNREACH")


def test_policy_local_needs_an_endpoint_on_a_node_that_may_answer() -> None:
    only = l2(nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "worker-3"}}])
    docs = [*THREE, *SMALL[:3], pool("first", "192.168.50.240/32"), only, lb("a", externalTrafficPolicy="Local")]
    cluster = kn.load(docs)
    assert not cluster.network().namespaces["worker-3"].announced
    cluster.apply(pod("third", "worker-3", {"app": "server"}, (("http", 8080, "TCP"),)))
    assert cluster.network().namespaces["worker-3"].announced
    away = node("worker-3", "192.168.50.13", "10.244.3.0/24")
    away["status"]["conditions"] = [{"type": "NetworkUnavailable", "status": "True"}]
    assert not cluster.apply(away).network().namespaces["worker-3"].announced


@pytest.mark.parametrize(
    ("doc", "words"),
    [
        (pool("bad"), "pool has no prefixes defined"),
        (pool("bad", "192.168.50.1"), 'invalid CIDR "192.168.50.1" in pool "bad"'),
        (pool("bad", "192.168.50.9-192.168.50.1"), 'invalid CIDR "192.168.50.9-192.168.50.1" in pool "bad"'),
        (pool("bad", "192.168.50.240/28"), "overlaps with already defined CIDR"),
        (pool("bad", "192.168.60.0/24", autoAssign="yes"), "autoAssign"),
        (l2("bad", interfaces="eth0"), "interfaces"),
        (crd("BGPAdvertisement", "bgp"), "BGP mode is not modelled"),
    ],
)
def test_what_is_wrong_with_an_object_is_said_and_the_others_count(doc: Doc, words: str) -> None:
    cluster = load(pool("a", "192.168.50.240/32"), l2(), doc, lb("z"))
    assert words in said(cluster)
    assert ips(cluster, "z") == ["192.168.50.240"]


def test_objects_that_metallb_reads_are_counted_and_not_called_ignored() -> None:
    widget: Doc = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w"}}
    cluster = load(pool("first", "192.168.50.240/30"), l2(), lb("a"), widget)
    summary = cluster.summary().to_dict()
    assert summary["ignored"] == {"Widget.example.org": 1}
    assert summary["counts"]["IPAddressPool.metallb.io"] == summary["counts"]["L2Advertisement.metallb.io"] == 1
    assert cluster.ignored == (("Widget.example.org", "w"),)
    other = cluster.copy(load_balancer="none")
    assert ("IPAddressPool.metallb.io", "metallb-system/first") in other.ignored
    cluster.delete("IPAddressPool", "metallb-system/first")
    assert "IPAddressPool.metallb.io" not in cluster.to_yaml() and ("Widget.example.org", "w") in cluster.ignored
