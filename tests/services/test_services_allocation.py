"""Allocation: what is kept, what is chosen, and that the choice depends on nothing but the seed and the Service."""

from __future__ import annotations

import copy
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.errors import KubenetError
from kubenet_lab.services import ServiceNetwork, allocate


def svc(name, namespace="shop", **spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"a": "b"}, **spec},
    }


NET = ServiceNetwork(("10.96.0.0/16",), seed=3)


def ips(result):
    return {d["metadata"]["name"]: d["spec"].get("clusterIP") for d in result.documents}


def test_the_first_address_is_the_api_servers():
    kubernetes = svc("kubernetes", "default")
    assert ips(allocate([svc("a"), kubernetes], NET))["kubernetes"] == "10.96.0.1"
    small = ips(allocate([svc(n) for n in "bcdef"], ServiceNetwork(("10.0.0.0/29",))))
    assert sorted(small.values()) == [f"10.0.0.{i}" for i in range(2, 7)]  # .1 is taken without the Service in the list


def test_chosen_addresses_leave_the_static_band_free():
    found = ips(allocate([svc(f"s{i}") for i in range(300)], NET))
    assert len(set(found.values())) == 300
    for ip in found.values():
        _, _, third, fourth = map(int, ip.split("."))
        assert third * 256 + fourth > 256


def test_the_static_band_is_used_when_the_other_is_full():
    network = ServiceNetwork(("10.0.0.0/27",))  # 30 addresses, 16 of them static, one of these the API server's
    services = [svc(f"s{i:02}") for i in range(30)]
    result = allocate(services, network)
    given_out = [d["spec"].get("clusterIP") for d in result.documents]
    assert len([ip for ip in given_out if ip]) == 29
    [problem] = result.problems
    assert problem.message == "Internal error occurred: failed to allocate a serviceIP: range is full"
    assert result.documents[29] is services[29]


@given(st.permutations([svc(n, type="NodePort", ports=[{"port": 80}]) for n in "abcdefgh"]))
def test_order_does_not_matter(services):
    result = allocate(services, NET)
    expected = {"a", "b", "c", "d", "e", "f", "g", "h"}
    assert ips(result).keys() == expected
    again = allocate(sorted(services, key=lambda d: d["metadata"]["name"]), NET)
    assert {d["metadata"]["name"]: d["spec"] for d in result.documents} == {d["metadata"]["name"]: d["spec"] for d in again.documents}


def test_another_seed_chooses_other_addresses():
    assert ips(allocate([svc("a")], NET)) != ips(allocate([svc("a")], ServiceNetwork(NET.cidrs, seed=4)))


def test_inputs_are_not_changed_and_unchanged_documents_are_the_same_objects():
    done = svc(
        "done", type="ClusterIP", clusterIP="10.96.0.10", clusterIPs=["10.96.0.10"], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack"
    )
    new = svc("new")
    before = copy.deepcopy([done, new])
    result = allocate([done, new], NET)
    assert [done, new] == before
    assert result.documents[0] is done
    assert result.documents[1] is not new


def test_allocating_twice_changes_nothing():
    services = [svc(f"s{i}", type="LoadBalancer", externalTrafficPolicy="Local", ports=[{"port": 80}, {"port": 81}]) for i in range(20)]
    once = allocate(services, NET)
    assert not once.problems
    shuffled = list(once.documents)
    random.Random(1).shuffle(shuffled)
    twice = allocate(shuffled, NET)
    assert not twice.problems
    assert list(twice.documents) == shuffled


def test_explicit_requests_win_over_choices_of_the_same_batch():
    chosen = ips(allocate([svc("a")], NET))["a"]
    result = allocate([svc("a"), svc("b", clusterIP=chosen)], NET)
    assert not result.problems
    assert ips(result)["b"] == chosen != ips(result)["a"]


def test_node_ports():
    ports = [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}, {"name": "c", "port": 80}]
    [document] = allocate([svc("a", type="NodePort", ports=ports)], NET).documents
    one, two, three = [p["nodePort"] for p in document["spec"]["ports"]]
    assert one == two != three
    assert 30086 <= one <= 32767
    assert 30086 <= three <= 32767


def test_a_later_request_decides_the_shared_node_port():
    ports = [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 30053}]
    [document] = allocate([svc("a", type="NodePort", ports=ports)], NET).documents
    assert [p["nodePort"] for p in document["spec"]["ports"]] == [30053, 30053]


def test_no_node_port_where_nobody_asks():
    plain = allocate([svc("a", type="ClusterIP", ports=[{"port": 80}])], NET).documents[0]
    assert "nodePort" not in plain["spec"]["ports"][0]
    ports = [{"name": "x", "port": 80}, {"name": "y", "port": 81, "nodePort": 30081}]
    without = allocate([svc("a", type="LoadBalancer", allocateLoadBalancerNodePorts=False, ports=ports)], NET).documents[0]
    assert [p.get("nodePort") for p in without["spec"]["ports"]] == [None, 30081]


def test_health_check_port():
    local = allocate([svc("a", type="LoadBalancer", externalTrafficPolicy="Local", ports=[{"port": 80}])], NET).documents[0]["spec"]
    assert 30086 <= local["healthCheckNodePort"] <= 32767 and local["healthCheckNodePort"] != local["ports"][0]["nodePort"]
    cluster = allocate([svc("a", type="LoadBalancer", externalTrafficPolicy="Cluster", ports=[{"port": 80}])], NET).documents[0]["spec"]
    assert "healthCheckNodePort" not in cluster


def test_node_ports_run_out():
    services = [svc(f"s{i:02}", type="NodePort", ports=[{"port": 80}]) for i in range(17)]
    result = allocate(services, ServiceNetwork(NET.cidrs, node_ports="30000-30015"))
    [problem] = result.problems
    assert problem.message == "Internal error occurred: failed to allocate a nodePort: range is full"
    assert problem.object == "Service shop/s16"


def test_what_a_failed_service_took_is_free_again():
    taken = svc("a", type="NodePort", clusterIP="10.96.0.20", ports=[{"port": 80, "nodePort": 30080}])
    fails = svc("b", type="NodePort", clusterIP="10.96.0.21", ports=[{"port": 80, "nodePort": 30080}])
    wants = svc("c", clusterIP="10.96.0.21")
    result = allocate([taken, fails, wants], NET)
    assert [p.object for p in result.problems] == ["Service shop/b"]


def test_headless_and_external_name_get_nothing():
    result = allocate([svc("h", clusterIP="None"), svc("e", type="ExternalName", externalName="a.example")], NET)
    headless, external = (d["spec"] for d in result.documents)
    assert headless["clusterIPs"] == ["None"]
    assert "clusterIP" not in external and "ipFamilies" not in external


def test_two_ranges_of_one_family():
    """KEP-1880: a second ServiceCIDR is used when the first is full."""
    network = ServiceNetwork(("10.0.0.0/29", "10.1.0.0/24"))
    result = allocate([*(svc(n) for n in "abcdef"), svc("x", clusterIP="10.1.0.9")], network)
    assert not result.problems
    assert sorted(ip.rsplit(".", 1)[0] for ip in ips(result).values()) == ["10.0.0"] * 5 + ["10.1.0"] * 2


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (ServiceNetwork(("10.96.0.0",)), "at least 8 IP addresses"),
        (ServiceNetwork(("10.96.0.0/33",)), "found '10.96.0.0/33'"),
        (ServiceNetwork(("fd00::/48",)), "64"),
        (ServiceNetwork(node_ports="0"), "found '0'"),
        (ServiceNetwork(node_ports="32767-30000"), "expected a range"),
    ],
)
def test_bad_networks(network, words):
    with pytest.raises(KubenetError, match=words):
        allocate([], network)


def test_address_that_is_none():
    [problem] = allocate([svc("a", clusterIP="not-an-ip")], NET).problems
    assert problem.message == 'Internal error occurred: failed to parse service IP "not-an-ip"'


def test_two_node_ports_for_one_port_number():
    ports = [{"name": "a", "port": 53, "nodePort": 30053}, {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 30054}]
    result = allocate([svc("a", type="NodePort", ports=ports), svc("b", type="NodePort", ports=[{"port": 80, "nodePort": 30054}])], NET)
    assert [f"{p.object} {p.path}" for p in result.problems] == ["Service shop/b spec.ports[0].nodePort"]


def test_one_node_port_for_two_port_numbers():
    """alloc.go: only ports with the same number share one, so the second request finds it taken."""
    ports = [{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81, "protocol": "UDP", "nodePort": 30080}]
    [problem] = allocate([svc("a", type="NodePort", ports=ports)], NET).problems
    assert f"{problem.path}: {problem.message}" == "spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated"


def test_zero_means_not_set():
    ports = [{"name": "a", "port": 53, "nodePort": 0}, {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 0}]
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 0, "ports": ports}
    [document] = allocate([svc("a", **spec)], NET).documents
    one, two = [p["nodePort"] for p in document["spec"]["ports"]]
    assert one == two > 0 and document["spec"]["healthCheckNodePort"] not in (0, one)


def test_cluster_ips_without_cluster_ip():
    [document] = allocate([svc("a", clusterIPs=["10.96.0.30"])], NET).documents
    assert document["spec"]["clusterIP"] == "10.96.0.30"
