"""Service networks and node ports of a cluster: ServiceCIDR objects, ranges given or inferred, what is refused.

Sources: KEP-1880 (ServiceCIDR), KEP-3070 and KEP-3668 (bands), kube-apiserver 1.34 pkg/registry/core/service.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.objects.views import EndpointSlice, Pod, Service
from kubenet_lab.services.allocators import NodePortRange
from tests.cluster.cluster_fixtures import SMALL, Doc, deployment, observed, service


def cidr(name: str, *cidrs: str) -> Doc:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name}, "spec": {"cidrs": list(cidrs)}}


def ip_of(cluster: kn.Cluster, name: str) -> str:
    found: Any = cluster.get("svc", f"default/{name}")
    return str(found.spec.cluster_ip)


def test_a_full_network_is_helped_by_a_second_one_that_works_like_the_first() -> None:
    cluster = kn.load(SMALL[:3], service_cidr="10.96.0.0/28", dns="none")
    cluster.apply([service(f"s{i}", {"app": "server"}) for i in range(13)])  # .1 is the API server's; .2 to .14 are left
    with pytest.raises(kn.LoadError, match="range is full"):
        cluster.apply(service("more", {"app": "server"}))
    cluster.apply([cidr("second", "10.111.0.0/24"), service("more", {"app": "server"})])
    assert ip_address(ip_of(cluster, "more")) in ip_network("10.111.0.0/24")
    assert cluster.connect("default/client", "svc:default/more")
    cluster.apply(service("asked", {"app": "server"}, clusterIP="10.111.0.9"))
    assert cluster.plan.service_cidrs == ("10.96.0.0/28", "10.111.0.0/24")
    cluster.delete("svc", "default/more").delete("svc", "default/asked")
    assert cluster.copy().plan.service_cidrs == cluster.plan.service_cidrs


def test_networks_that_overlap_give_no_address_twice() -> None:
    """cidrallocator_test.go, TestCIDRAllocateGrow, TestCIDRAllocateShadow, TestCIDRAllocateShrink."""
    cluster = kn.load(SMALL[:3], service_cidr="10.96.0.0/28", dns="none")
    cluster.apply([service(f"s{i}", {"app": "server"}) for i in range(13)])
    with pytest.raises(kn.LoadError, match="10.96.0.15: the provided network does not match the current range"):
        cluster.apply(service("last", {"app": "server"}, clusterIP="10.96.0.15"))  # the small network's broadcast address
    cluster.apply(cidr("wide", "10.96.0.0/27"))
    cluster.apply(service("last", {"app": "server"}, clusterIP="10.96.0.15"))
    cluster.apply([service(f"t{i}", {"app": "server"}) for i in range(15)])
    found = {s.spec.cluster_ip for s in cluster.store.snapshot().list(Service)}
    assert found == {f"10.96.0.{i}" for i in range(1, 31)}
    with pytest.raises(kn.LoadError, match="range is full"):
        cluster.apply(service("more", {"app": "server"}))
    cluster.delete("svc", "default/t3").apply(service("more", {"app": "server"}))


def test_a_network_that_is_not_ready_gives_out_nothing() -> None:
    def condition(status: str) -> Doc:
        return {**cidr("second", "10.250.0.0/24"), "status": {"conditions": [{"type": "Ready", "status": status}]}}

    assert kn.load([*SMALL[:3], condition("False")]).plan.service_cidrs == ("10.96.0.0/12",)
    assert kn.load([*SMALL[:3], condition("True")]).plan.service_cidrs == ("10.96.0.0/12", "10.250.0.0/24")


def test_without_the_object_the_address_is_refused() -> None:
    cluster = kn.load(SMALL)
    with pytest.raises(kn.LoadError, match="does not match the current range"):
        cluster.apply(service("asked", {"app": "server"}, clusterIP="10.250.0.9"))
    cluster.apply([cidr("wide", "10.250.0.0/16"), service("asked", {"app": "server"}, clusterIP="10.250.0.9")])
    assert cluster.connect("default/client", "10.250.0.9")


def test_what_overlaps_or_is_no_network_is_a_finding_and_gives_out_nothing() -> None:
    cluster = kn.load([*SMALL, cidr("bad", "10.244.7.0/24"), cidr("worse", "10.9.9.9/8"), cidr("inside", "10.96.4.0/24")])
    assert cluster.plan.service_cidrs == ("10.96.0.0/12",)
    said = "\n".join(map(str, cluster.findings))
    assert "10.244.7.0/24 overlaps the cluster's network 10.244.0.0/16" in said and "ServiceCIDR worse" in said


def test_the_first_object_is_the_clusters_own_network() -> None:
    cluster = kn.load([*SMALL[:3], cidr("kubernetes", "172.30.0.0/16"), service("s", {"app": "server"})])
    assert cluster.plan.service_cidrs == ("172.30.0.0/16",)
    assert ip_address(ip_of(cluster, "s")) in ip_network("172.30.0.0/16")
    assert next(n for n in cluster.assumptions if n.what == "Service network").how == "observed"


def node_port(number: int) -> Doc:
    return service("np", {"app": "server"}, {"port": 80, "targetPort": 8080, "nodePort": number}, type="NodePort")


def test_a_range_of_node_ports() -> None:
    with pytest.raises(kn.LoadError, match="The range of valid ports is 30000-32767"):
        kn.load([*SMALL[:3], node_port(8000)])
    cluster = kn.load([*SMALL[:3], node_port(8000)], node_ports="7000-9000")
    assert cluster.connect("external:192.168.50.200", "node:worker-2", 8000)
    with pytest.raises(kn.LoadError, match="7000-9000"):
        cluster.apply(service("other", {"app": "server"}, {"port": 80, "nodePort": 30000}, type="NodePort"))
    wide = cluster.copy(node_ports="7000-32767")
    assert wide.apply(service("other", {"app": "server"}, {"port": 80, "nodePort": 30000}, type="NodePort"))


def test_a_dump_shows_its_range() -> None:
    seen = observed(node_port(9000))
    seen["spec"] |= {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    cluster = kn.load([*SMALL[:3], seen])
    note = next(n for n in cluster.assumptions if n.what == "node ports")
    assert (note.value, note.how) == ("9000-32767", "assumed")
    text = "apiServer:\n  extraArgs:\n    service-node-port-range: 8000-9999\n"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubeadm-config", "namespace": "kube-system"}}
    cluster = kn.load([*SMALL[:3], observed(config | {"data": {"ClusterConfiguration": text}}), seen])
    assert next(n for n in cluster.assumptions if n.what == "node ports").value == "8000-9999"
    text = "apiServer:\n  extraArgs:\n  - name: service-node-port-range\n    value: 8000+1999\n"
    text += "controllerManager:\n  extraArgs:\n  - name: max-endpoints-per-slice\n    value: '2'\n"  # kubeadm v1beta4
    cluster = kn.load([*SMALL[:3], observed(config | {"data": {"ClusterConfiguration": text}}), seen])
    assert {n.what: n.value for n in cluster.assumptions if n.how == "detected"}.items() >= {
        ("node ports", "8000+1999"), ("endpoints per slice", "2")
    }  # fmt: skip


@pytest.mark.parametrize("value", ["", "40000-30000", "0-10", "1-70000", 30000, "a-b", "٣٠٠٠٠-٣٢٧٦٧", "30000-" + "9" * 5000])
def test_what_is_no_range(value: Any) -> None:
    with pytest.raises(kn.KubenetError, match="node_ports: found"):
        kn.load(SMALL, node_ports=value)


#: apimachinery pkg/util/net/port_range_test.go (TestPortRange); None: refused. A range from 0 on is refused here: a Service has no port 0.
RANGES: list[tuple[str, str | None]] = [
    ("100-200", "100-200"), (" 100-200 ", "100-200"), ("100", "100-100"), ("100 - 200", None), ("-100", None), ("100-", None),
    ("200-100", None), ("60000-70000", None), ("70000-80000", None), ("70000+80000", None), ("1+0", "1-1"), ("1+-1", None), ("1-+1", None),
    ("100+200", "100-300"), ("1+65535", None), ("30000+2767", "30000-32767"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), RANGES)
def test_ranges_as_the_api_server_reads_them(text: str, found: str | None) -> None:
    if found is None:
        with pytest.raises(kn.KubenetError, match="node port range: found"):
            NodePortRange(text)
        return
    range_ = NodePortRange(text)
    assert (range_.text, f"{range_.low}-{range_.high}") == (found, found)


def slice_sizes(cluster: kn.Cluster) -> list[int]:
    return sorted(len(s.endpoints) for s in cluster.snapshot().list(EndpointSlice) if s.service == "many")


def test_the_size_of_slices() -> None:
    many = [deployment("many", replicas=7), service("many", {"app": "many"})]
    cluster = kn.load(many, max_endpoints_per_slice=3)
    assert slice_sizes(cluster) == [1, 3, 3]
    other = cluster.copy(max_endpoints_per_slice=5)  # as with a controller that is started anew: what is there stays
    assert slice_sizes(other) == [1, 3, 3]
    other.scale("default/many", 9)
    assert slice_sizes(other) == [1, 3, 5] and slice_sizes(cluster) == [1, 3, 3]
    cluster.scale("default/many", 6)
    assert sum(slice_sizes(cluster)) == 6
    assert slice_sizes(kn.load(many)) == [7]
    assert {str(o.endpoint) for o in cluster.outcomes("default/many", "svc:default/many")} == {
        str(o.endpoint) for o in cluster.copy(max_endpoints_per_slice=100).outcomes("default/many", "svc:default/many")
    }


def members(cluster: kn.Cluster) -> dict[str, list[str]]:
    """The addresses in each slice of the Service "many"."""
    found = (s for s in cluster.snapshot().list(EndpointSlice) if s.service == "many")
    return {s.name: [a for e in s.endpoints for a in e.addresses] for s in found}


def test_endpoints_stay_in_their_slices() -> None:
    """reconciler.go: over what happens to pods and to the Service; a dump's slices are where the controller starts."""
    cluster = kn.load([deployment("many", replicas=7), service("many", {"app": "many"})], max_endpoints_per_slice=3)
    before = members(cluster)
    cluster.set_pod(next(p.key for p in cluster.snapshot().list(Pod) if p.labels.get("app") == "many"), ready=False)
    assert members(cluster) == before
    labelled = service("many", {"app": "many"})
    labelled["metadata"]["labels"] = {"team": "a"}
    cluster.apply(labelled)
    assert members(cluster) == before
    cluster.scale("default/many", 4)
    thin = members(cluster)
    assert all(set(addresses) <= set(before[name]) for name, addresses in thin.items()) and sum(map(len, thin.values())) == 4

    again = kn.load(cluster.to_yaml(), max_endpoints_per_slice=3)
    assert members(again) == thin
    again.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}})
    assert members(again) == thin  # nobody packs them anew
    again.scale("default/many", 5)
    more = members(again)
    assert all(set(addresses) <= set(more[name]) for name, addresses in thin.items()) and sum(map(len, more.values())) == 5


@pytest.mark.parametrize("size", [0, 1001, "10", True, 1.5])
def test_what_is_no_size_of_slices(size: Any) -> None:
    with pytest.raises(kn.KubenetError, match="max_endpoints_per_slice: found .*, expected a number from 1 to 1000"):
        kn.load(SMALL, max_endpoints_per_slice=size)
