"""What kube-proxy makes of EndpointSlices and Services: endpoints by Service port, and Service ports themselves.

Source: kubernetes/kubernetes 1.34, pkg/proxy, in our own form: endpointslicecache_test.go (TestEndpointsMapFromESC,
TestEndpointInfoByServicePort, TestEsDataChanged), endpointschangetracker_test.go (TestGetLocalEndpointIPs, TestUpdateEndpointsMap,
TestEndpointSliceUpdate, TestCheckoutChanges), servicechangetracker_test.go (TestServiceToServiceMap, TestBuildServiceMap*). Left out:
TestLastChangeTriggerTime (a metric) and TestServiceCacheLeaks, which have no counterpart. A row of changes is stated by its slices
before and after.
"""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.services import NodeView, ProxyEndpoint, health_checks, service_ports
from kubenet_lab.services.endpoint_view import for_node
from tests.conformance.services.service_tables import case_snapshot, endpoint_slice, snapshot

Document = dict[str, Any]
HOST = "host1"
FLAGS = {"": (True, True, False), "u": (False, False, False), "t": (False, True, True), "d": (False, False, True)}


def generated(key: str, number: int, count: int, unready: int = 999, terminating: int = 999, hosts: str = "", ports: str = "80",
              third: int = 0) -> Document:  # fmt: skip
    """As upstream's generateEndpointSlice: every `unready`-th endpoint is not ready, every `terminating`-th terminates; hosts take turns.

    `ports`: numbers of port-0, port-1; "-" for none. `third`: of the addresses 10.0.third.n, else the slice's number.
    """
    found = endpoint_slice({"service": key, "ports": {}, "endpoints": []}, number)
    numbers = [] if not ports else ports.split(",")
    found["ports"] = [{"name": f"port-{i}", "protocol": "TCP"} | ({"port": int(p)} if p != "-" else {}) for i, p in enumerate(numbers)]
    for i in range(1, count + 1):
        serving, ends = i % unready != 0, i % terminating == 0
        conditions = {"ready": serving and not ends, "serving": serving, "terminating": ends}
        node = {"nodeName": hosts.split(",")[i % len(hosts.split(","))]} if hosts else {}
        found["endpoints"].append({"addresses": [f"10.0.{third or number}.{i}"], "conditions": conditions, **node})
    return found


def merged(slices: list[Document], node: str = HOST) -> dict[str, str]:
    """Per "ns/name:port": the endpoints in kube-proxy's order; "L" local, "u" unready, "t" terminating, "d" neither ready nor serving."""
    latest = {(s["metadata"]["namespace"], s["metadata"]["name"]): s for s in slices}
    keys = sorted({f"{s['metadata']['namespace']}/{s['metadata']['labels']['kubernetes.io/service-name']}" for s in slices})
    ports = {(p["name"], p["protocol"]) for s in slices for p in s["ports"]}
    listed = [{"name": name, "port": i, "protocol": protocol} for i, (name, protocol) in enumerate(sorted(ports), 1)]
    services = [{"key": key, "spec": {"clusterIP": f"172.30.0.{i}", "ports": listed}} for i, key in enumerate(keys, 1)]
    objects = [*case_snapshot({"services": services}).all(), *snapshot(latest.values()).all()]
    return {
        p.title: text for p in service_ports(Snapshot(objects)) if (text := " ".join(short(e, node) for e in for_node(p.endpoints, node)))
    }


def short(endpoint: ProxyEndpoint, node: str) -> str:
    state = next(f for f, conditions in FLAGS.items() if conditions == (endpoint.ready, endpoint.serving, endpoint.terminating))
    return f"{endpoint}{'L' if endpoint.node == node else ''}{state}"


ONE = "ns1/svc1"
A, B = "ns1/svc1:port-0", "ns1/svc1:port-1"
#: source, slices (a later one of the same name replaces the earlier), what they are for host1
MAPS: list[tuple[str, list[Document], dict[str, str]]] = [
    ("1 slice, 2 hosts, ports 80,443", [generated(ONE, 1, 3, hosts="host1,host2", ports="80,443")],
     {A: "10.0.1.1:80 10.0.1.2:80L 10.0.1.3:80", B: "10.0.1.1:443 10.0.1.2:443L 10.0.1.3:443"}),
    ("2 slices, same port", [generated(ONE, 1, 3), generated(ONE, 2, 3)],
     {A: "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.2.1:80 10.0.2.2:80 10.0.2.3:80"}),
    ("2 overlapping slices, same port", [generated(ONE, 1, 3), generated(ONE, 1, 4)],
     {A: "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80"}),
    ("the same as slices of two names", [generated(ONE, 1, 3), generated(ONE, 2, 4, third=1)],
     {A: "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80"}),
    ("2 slices, overlapping endpoints, some endpoints unready in 1 or both", [generated(ONE, 1, 10, 3), generated(ONE, 1, 10, 6)],
     {A: "10.0.1.10:80 10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80 10.0.1.5:80 10.0.1.6:80u 10.0.1.7:80 10.0.1.8:80 10.0.1.9:80"}),
    ("2 slices, overlapping endpoints, some endpoints unready and some endpoints terminating",
     [generated(ONE, 1, 10, 3, 5), generated(ONE, 1, 10, 6, 5)],
     {A: "10.0.1.10:80t 10.0.1.1:80 10.0.1.2:80 10.0.1.3:80 10.0.1.4:80 10.0.1.5:80t 10.0.1.6:80u 10.0.1.7:80 10.0.1.8:80 10.0.1.9:80"}),
    ("2 slices, overlapping endpoints, all unready", [generated(ONE, 1, 3, 1), generated(ONE, 1, 3, 1)],
     {A: "10.0.1.1:80u 10.0.1.2:80u 10.0.1.3:80u"}),
    ("3 slices with different services and namespaces", [generated(ONE, 1, 3), generated("ns1/svc2", 2, 3), generated("ns2/svc1", 3, 3)],
     {A: "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80", "ns1/svc2:port-0": "10.0.2.1:80 10.0.2.2:80 10.0.2.3:80",
      "ns2/svc1:port-0": "10.0.3.1:80 10.0.3.2:80 10.0.3.3:80"}),
    ("Nil port should not break anything", [generated(ONE, 1, 3, hosts="host1,host2", ports="-")], {}),
    ("Different endpoints with duplicate IPs should not be filtered; 4 different slices with duplicate IPs",
     [generated(ONE, 1, 2, hosts="host1,host2"), generated(ONE, 2, 2, hosts="host1,host2", ports="8080", third=1)],
     {A: "10.0.1.1:80 10.0.1.1:8080 10.0.1.2:80L 10.0.1.2:8080L"}),
    ("simple use case with 3 endpoints", [generated(ONE, 1, 3, hosts="host1,host2")], {A: "10.0.1.1:80 10.0.1.2:80L 10.0.1.3:80"}),
    ("add an FQDN slice (invalid address type)",
     [generated(ONE, 1, 1), {**generated(ONE, 2, 2), "addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]}],
     {A: "10.0.1.1:80"}),
    ("add a slice that overlaps with existing state",
     [generated(ONE, 1, 3, hosts="host1,host2", ports="80,443"), generated(ONE, 2, 2, hosts="host1,host2", ports="80,443"),
      generated(ONE, 1, 5, hosts="host1", ports="80,443")],
     {A: "10.0.1.1:80L 10.0.1.2:80L 10.0.1.3:80L 10.0.1.4:80L 10.0.1.5:80L 10.0.2.1:80 10.0.2.2:80L",
      B: "10.0.1.1:443L 10.0.1.2:443L 10.0.1.3:443L 10.0.1.4:443L 10.0.1.5:443L 10.0.2.1:443 10.0.2.2:443L"}),
    ("add a slice that overlaps with existing state and partial ports: one that is here goes before one that is not",
     [generated(ONE, 1, 3, hosts="host1,host2", ports="80,443"), generated(ONE, 2, 2, hosts="host1,host2", ports="80,443"),
      generated(ONE, 3, 5, hosts="host1", third=1)],
     {A: "10.0.1.1:80L 10.0.1.2:80L 10.0.1.3:80L 10.0.1.4:80L 10.0.1.5:80L 10.0.2.1:80 10.0.2.2:80L",
      B: "10.0.1.1:443 10.0.1.2:443L 10.0.1.3:443 10.0.2.1:443 10.0.2.2:443L"}),
    ("remove a slice that overlaps with existing state", [generated(ONE, 2, 2, hosts="host1,host2", ports="80,443")],
     {A: "10.0.2.1:80 10.0.2.2:80L", B: "10.0.2.1:443 10.0.2.2:443L"}),
    ("transition all endpoints to unready state", [generated(ONE, 1, 3, 1, hosts="host1", ports="80,443")],
     {A: "10.0.1.1:80Lu 10.0.1.2:80Lu 10.0.1.3:80Lu", B: "10.0.1.1:443Lu 10.0.1.2:443Lu 10.0.1.3:443Lu"}),
    ("transition all endpoints to ready state", [generated(ONE, 1, 2, hosts="host1", ports="80,443")],
     {A: "10.0.1.1:80L 10.0.1.2:80L", B: "10.0.1.1:443L 10.0.1.2:443L"}),
    ("transition some endpoints to ready state",
     [generated(ONE, 1, 3, 3, hosts="host1", ports="80,443"), generated(ONE, 2, 2, 2, hosts="host1", ports="80,443")],
     {A: "10.0.1.1:80L 10.0.1.2:80L 10.0.1.3:80Lu 10.0.2.1:80L 10.0.2.2:80Lu",
      B: "10.0.1.1:443L 10.0.1.2:443L 10.0.1.3:443Lu 10.0.2.1:443L 10.0.2.2:443Lu"}),
    ("transition some endpoints to terminating state",
     [generated(ONE, 1, 3, 3, 2, "host1", "80,443"), generated(ONE, 2, 2, 2, 2, "host1", "80,443")],
     {A: "10.0.1.1:80L 10.0.1.2:80Lt 10.0.1.3:80Lu 10.0.2.1:80L 10.0.2.2:80Ld",
      B: "10.0.1.1:443L 10.0.1.2:443Lt 10.0.1.3:443Lu 10.0.2.1:443L 10.0.2.2:443Ld"}),
    ("TestCheckoutChanges, adding initial slice", [generated(ONE, 1, 3, 3, 2, "host2")], {A: "10.0.1.1:80 10.0.1.2:80t 10.0.1.3:80u"}),
    ("TestCheckoutChanges, removing port in update", [generated(ONE, 1, 3, 3, hosts="host2")], {A: "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80u"}),
    ("TestCheckoutChanges, empty slices", [generated(ONE, 1, 0)], {}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "slices", "expected"), MAPS, ids=[r[0] for r in MAPS])
def test_endpoints_of_slices(source: str, slices: list[Document], expected: dict[str, str]) -> None:
    assert merged(slices) == expected


@pytest.mark.parametrize("order", ["80,443", "443,80"])
def test_the_order_of_ports_and_endpoints_in_a_slice_does_not_matter(order: str) -> None:
    """TestEsDataChanged: upstream takes it for a change, and comes to the same endpoints."""
    one = generated(ONE, 1, 2, ports="80,443")
    other = {**one, "ports": one["ports"][::-1], "endpoints": one["endpoints"][::-1]}
    assert merged([one]) == merged([other]) == {A: "10.0.1.1:80 10.0.1.2:80", B: "10.0.1.1:443 10.0.1.2:443"}


def row(text: str) -> list[Document]:
    """ "ns/name PORT=NUMBER,... ADDRESS[@NODE][!STATE] ..." per slice, with ";" between them; a port without a name is "=NUMBER"."""
    found = []
    for number, part in enumerate((p for p in text.split(";") if p.strip()), 1):
        key, ports, *endpoints = part.split()
        numbers = {name: f"{port}/UDP" for name, _, port in (p.partition("=") for p in ports.split(","))}
        found.append(endpoint_slice({"service": key, "ports": numbers, "endpoints": endpoints}, number))
    return found


#: source, slices before and after, the endpoints of each port then, ready ones on this node by Service
UPDATES: list[tuple[str, str, str, dict[str, str], dict[str, int]]] = [
    ("empty", "", "", {}, {}),
    ("no change, unnamed port", "ns1/ep1 =11 1.1.1.1", "ns1/ep1 =11 1.1.1.1", {"ns1/ep1": "1.1.1.1:11"}, {}),
    ("no change, named port, local", "ns1/ep1 p11=11 1.1.1.1@host1", "ns1/ep1 p11=11 1.1.1.1@host1",
     {"ns1/ep1:p11": "1.1.1.1:11L"}, {"ns1/ep1": 1}),
    ("no change, multiple slices", "", "ns1/ep1 p11=11 1.1.1.1; ns1/ep1 p12=12 1.1.1.2",
     {"ns1/ep1:p11": "1.1.1.1:11", "ns1/ep1:p12": "1.1.1.2:12"}, {}),
    ("no change, multiple slices, multiple ports, local", "", "ns1/ep1 p11=11,p12=12 1.1.1.1@host1; ns1/ep1 p13=13 1.1.1.3",
     {"ns1/ep1:p11": "1.1.1.1:11L", "ns1/ep1:p12": "1.1.1.1:12L", "ns1/ep1:p13": "1.1.1.3:13"}, {"ns1/ep1": 1}),
    ("no change, multiple services, slices, IPs, and ports", "",
     "ns1/ep1 p11=11,p12=12 1.1.1.1 1.1.1.2@host1; ns1/ep1 p13=13,p14=14 1.1.1.3 1.1.1.4@host1; "
     "ns2/ep2 p21=21,p22=22 2.2.2.1 2.2.2.2@host1",
     {"ns1/ep1:p11": "1.1.1.1:11 1.1.1.2:11L", "ns1/ep1:p12": "1.1.1.1:12 1.1.1.2:12L", "ns1/ep1:p13": "1.1.1.3:13 1.1.1.4:13L",
      "ns1/ep1:p14": "1.1.1.3:14 1.1.1.4:14L", "ns2/ep2:p21": "2.2.2.1:21 2.2.2.2:21L", "ns2/ep2:p22": "2.2.2.1:22 2.2.2.2:22L"},
     {"ns1/ep1": 2, "ns2/ep2": 1}),
    ("add an EndpointSlice", "", "ns1/ep1 =11 1.1.1.1@host1", {"ns1/ep1": "1.1.1.1:11L"}, {"ns1/ep1": 1}),
    ("remove an EndpointSlice", "ns1/ep1 =11 1.1.1.1@host1", "", {}, {}),
    ("add an IP and port", "ns1/ep1 p11=11 1.1.1.1", "ns1/ep1 p11=11,p12=12 1.1.1.1 1.1.1.2@host1",
     {"ns1/ep1:p11": "1.1.1.1:11 1.1.1.2:11L", "ns1/ep1:p12": "1.1.1.1:12 1.1.1.2:12L"}, {"ns1/ep1": 1}),
    ("remove an IP and port", "ns1/ep1 p11=11,p12=12 1.1.1.1 1.1.1.2@host1", "ns1/ep1 p11=11 1.1.1.1", {"ns1/ep1:p11": "1.1.1.1:11"}, {}),
    ("add a slice to an endpoint", "ns1/ep1 p11=11 1.1.1.1", "ns1/ep1 p11=11 1.1.1.1; ns1/ep1 p12=12 1.1.1.2@host1",
     {"ns1/ep1:p11": "1.1.1.1:11", "ns1/ep1:p12": "1.1.1.2:12L"}, {"ns1/ep1": 1}),
    ("remove a slice from an endpoint", "ns1/ep1 p11=11 1.1.1.1; ns1/ep1 p12=12 1.1.1.2", "ns1/ep1 p11=11 1.1.1.1",
     {"ns1/ep1:p11": "1.1.1.1:11"}, {}),
    ("rename a port", "ns1/ep1 p11=11 1.1.1.1", "ns1/ep1 p11-2=11 1.1.1.1", {"ns1/ep1:p11-2": "1.1.1.1:11"}, {}),
    ("renumber a port", "ns1/ep1 p11=11 1.1.1.1", "ns1/ep1 p11=22 1.1.1.1", {"ns1/ep1:p11": "1.1.1.1:22"}, {}),
    ("complex add and remove",
     "ns1/ep1 p11=11 1.1.1.1; ns2/ep2 p22=22 2.2.2.2@host1 2.2.2.22@host1; ns2/ep2 p23=23 2.2.2.3@host1; "
     "ns4/ep4 p44=44 4.4.4.4@host1 4.4.4.5@host1; ns4/ep4 p45=45 4.4.4.6@host1",
     "ns1/ep1 p11=11 1.1.1.1 1.1.1.11; ns1/ep1 p12=12,p122=122 1.1.1.2; ns3/ep3 p33=33 3.3.3.3; ns4/ep4 p44=44 4.4.4.4@host1",
     {"ns1/ep1:p11": "1.1.1.11:11 1.1.1.1:11", "ns1/ep1:p12": "1.1.1.2:12", "ns1/ep1:p122": "1.1.1.2:122", "ns3/ep3:p33": "3.3.3.3:33",
      "ns4/ep4:p44": "4.4.4.4:44L"}, {"ns4/ep4": 1}),
    ("change from 0 endpoint address to 1 unnamed port", "ns1/ep1 =11", "ns1/ep1 =11 1.1.1.1", {"ns1/ep1": "1.1.1.1:11"}, {}),
    ("change from ready to terminating pod", "ns1/ep1 =11 1.1.1.1", "ns1/ep1 =11 1.1.1.1!terminating", {"ns1/ep1": "1.1.1.1:11t"}, {}),
    ("change from terminating to empty pod", "ns1/ep1 =11 1.1.1.1!terminating", "ns1/ep1 =11", {}, {}),
    ("TestGetLocalEndpointIPs, named local and non-local ports for the same IP", "", "ns1/ep1 p11=11,p12=12 1.1.1.1 1.1.1.2@host1",
     {"ns1/ep1:p11": "1.1.1.1:11 1.1.1.2:11L", "ns1/ep1:p12": "1.1.1.1:12 1.1.1.2:12L"}, {"ns1/ep1": 1}),
    ("TestGetLocalEndpointIPs, named local and non-local ports for different IPs, some not ready", "",
     "ns1/ep1 p11=11 1.1.1.1; ns2/ep2 p22=22 2.2.2.2@host1 2.2.2.22@host1; ns2/ep2 p23=23 2.2.2.3@host1!terminating; "
     "ns4/ep4 p44=44 4.4.4.4@host1 4.4.4.5; ns4/ep4 p45=45 4.4.4.6@host1",
     {"ns1/ep1:p11": "1.1.1.1:11", "ns2/ep2:p22": "2.2.2.22:22L 2.2.2.2:22L", "ns2/ep2:p23": "2.2.2.3:23Lt",
      "ns4/ep4:p44": "4.4.4.4:44L 4.4.4.5:44", "ns4/ep4:p45": "4.4.4.6:45L"}, {"ns2/ep2": 2, "ns4/ep4": 2}),
    ("TestGetLocalEndpointIPs, all endpoints are terminating", "", "ns2/ep2 p22=22 2.2.2.2@host1!terminating 2.2.2.22@host1!terminating",
     {"ns2/ep2:p22": "2.2.2.22:22Lt 2.2.2.2:22Lt"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "before", "after", "expected", "here"), UPDATES, ids=[r[0] for r in UPDATES])
def test_endpoints_after_a_change(source: str, before: str, after: str, expected: dict[str, str], here: dict[str, int]) -> None:
    """TestUpdateEndpointsMap, TestGetLocalEndpointIPs. What was before leaves nothing behind."""
    slices = row(after)
    assert merged(slices) == expected
    ports = {(p["name"], p["protocol"]) for s in slices for p in s["ports"]}
    listed = [{"name": name, "port": i, "protocol": protocol} for i, (name, protocol) in enumerate(sorted(ports), 1)]
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": listed}
    keys = sorted({f"{s['metadata']['namespace']}/{s['metadata']['labels']['kubernetes.io/service-name']}" for s in slices})
    services = [{"key": k, "spec": {**local, "clusterIP": f"172.30.0.{i}", "healthCheckNodePort": 30000 + i}} for i, k in enumerate(keys)]
    objects = Snapshot([*case_snapshot({"services": services}).all(), *snapshot(slices).all()])
    assert {c.service: c.local_endpoints for c in health_checks(objects, NodeView(HOST)) if c.local_endpoints} == here
    if before:
        assert merged(row(before)) != expected or before == after


V4, V6 = "10.0.0.1", "2001:db8:85a3::8a2e:370:7334"
OUT4, OUT6 = "8.8.8.8", "2001:db8:85a3::8a2e:370:7335"
BOTH = [{"ip": OUT4}, {"ip": OUT6}]


def ports(*listed: str) -> list[Document]:
    """ "name:port[:nodePort]/PROTOCOL" each."""
    found = []
    for text in listed:
        numbers, _, protocol = text.partition("/")
        name, port, *node_port = numbers.split(":")
        found.append({"name": name, "port": int(port), "protocol": protocol} | ({"nodePort": int(node_port[0])} if node_port else {}))
    return found


BALANCER = {
    "type": "LoadBalancer",
    "clusterIP": "172.16.55.11",
    "loadBalancerIP": "5.6.7.8",
    "ports": ports("port3:8675:30061/UDP", "port4:8676:30062/UDP"),
}
TEST = {"ports": ports("testPort:12345/TCP")}
#: source, family, spec, ingress, and of each port: name, ClusterIP, port, protocol, health check port, external IPs, source ranges, VIPs
SERVICES: list[tuple[str, int, Document, list[Document], list[tuple[Any, ...]]]] = [
    ("headless service", 4, {"clusterIP": "None", "ports": ports("rpc:1234/UDP")}, [], []),
    ("headless sctp service", 4, {"clusterIP": "None", "ports": ports("sip:7777/SCTP")}, [], []),
    ("headless service without port", 4, {"clusterIP": "None"}, [], []),
    ("cluster ip service", 4, {"clusterIP": "172.16.55.4", "ports": ports("p1:1234:4321/UDP", "p2:1235:5321/UDP")}, [],
     [("p1", "172.16.55.4", 1234, "UDP", 0, (), (), ()), ("p2", "172.16.55.4", 1235, "UDP", 0, (), (), ())]),
    ("nodeport service", 4, {"type": "NodePort", "clusterIP": "172.16.55.10", "ports": ports("port1:345:678/UDP", "port2:344:677/TCP")}, [],
     [("port1", "172.16.55.10", 345, "UDP", 0, (), (), ()), ("port2", "172.16.55.10", 344, "TCP", 0, (), (), ())]),
    ("load balancer service", 4, BALANCER, [{"ip": "10.1.2.4"}],
     [("port3", "172.16.55.11", 8675, "UDP", 0, (), (), ("10.1.2.4",)), ("port4", "172.16.55.11", 8676, "UDP", 0, (), (), ("10.1.2.4",))]),
    ("load balancer service ipMode VIP feature gate enabled", 4, BALANCER, [{"ip": "10.1.2.4", "ipMode": "VIP"}],
     [("port3", "172.16.55.11", 8675, "UDP", 0, (), (), ("10.1.2.4",)), ("port4", "172.16.55.11", 8676, "UDP", 0, (), (), ("10.1.2.4",))]),
    ("load balancer service ipMode Proxy feature gate enabled", 4, BALANCER, [{"ip": "10.1.2.4", "ipMode": "Proxy"}],
     [("port3", "172.16.55.11", 8675, "UDP", 0, (), (), ()), ("port4", "172.16.55.11", 8676, "UDP", 0, (), (), ())]),
    ("load balancer service with only local traffic policy", 4,
     {**BALANCER, "externalTrafficPolicy": "Local", "healthCheckNodePort": 345}, [{"ip": "10.1.2.3"}],
     [("port3", "172.16.55.11", 8675, "UDP", 345, (), (), ("10.1.2.3",)),
      ("port4", "172.16.55.11", 8676, "UDP", 345, (), (), ("10.1.2.3",))]),
    ("external name service", 4,
     {"type": "ExternalName", "clusterIP": "172.16.55.4", "externalName": "foo2.bar.com", "ports": ports("portz:1235/UDP")}, [], []),
    ("service with ipv6 clusterIP under ipv4 mode, service should be filtered", 4, {"clusterIP": V6, **TEST}, BOTH, []),
    ("service with ipv4 clusterIP under ipv6 mode, service should be filtered", 6, {"clusterIP": V4, **TEST}, BOTH, []),
    ("service with ipv4 configurations under ipv4 mode", 4,
     {"clusterIP": V4, "externalIPs": [OUT4], "loadBalancerSourceRanges": ["0.0.0.0/1"], **TEST}, BOTH,
     [("testPort", V4, 12345, "TCP", 0, (OUT4,), ("0.0.0.0/1",), (OUT4,))]),
    ("service with ipv6 configurations under ipv6 mode", 6,
     {"clusterIP": V6, "externalIPs": [OUT6], "loadBalancerSourceRanges": ["2001:db8::/32"], **TEST}, BOTH,
     [("testPort", V6, 12345, "TCP", 0, (OUT6,), ("2001:db8::/32",), (OUT6,))]),
    ("service with both ipv4 and ipv6 configurations under ipv4 mode, ipv6 fields should be filtered", 4,
     {"clusterIP": V4, "externalIPs": [OUT4, OUT6], "loadBalancerSourceRanges": ["0.0.0.0/1", "2001:db8::/32"], **TEST}, BOTH,
     [("testPort", V4, 12345, "TCP", 0, (OUT4,), ("0.0.0.0/1",), (OUT4,))]),
    ("service with both ipv4 and ipv6 configurations under ipv6 mode, ipv4 fields should be filtered", 6,
     {"clusterIP": V6, "externalIPs": [OUT4, OUT6], "loadBalancerSourceRanges": ["0.0.0.0/1", "2001:db8::/32"], **TEST}, BOTH,
     [("testPort", V6, 12345, "TCP", 0, (OUT6,), ("2001:db8::/32",), (OUT6,))]),
    ("service with extra space in LoadBalancerSourceRanges", 4, {"clusterIP": V4, "loadBalancerSourceRanges": [" 10.1.2.0/28"], **TEST}, [],
     [("testPort", V4, 12345, "TCP", 0, (), ("10.1.2.0/28",), ())]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "family", "spec", "ingress", "expected"), SERVICES, ids=[r[0] for r in SERVICES])
def test_ports_of_a_service(source: str, family: int, spec: Document, ingress: list[Document], expected: list[tuple[Any, ...]]) -> None:
    """TestServiceToServiceMap. (Its rows with the feature LoadBalancerIPMode switched off have no counterpart in 1.34.)"""
    found = service_ports(case_snapshot({"services": [{"key": "ns/svc", "spec": spec, "ingress": ingress}]}), family)
    assert [(p.port_name, p.cluster_ip, p.port, p.protocol, p.health_check_node_port, p.external_ips, p.load_balancer_source_ranges,
             p.load_balancer_vips) for p in found] == expected  # fmt: skip


def test_health_checks_come_and_go_with_the_type_of_a_service() -> None:
    """TestBuildServiceMapServiceUpdate, TestBuildServiceMapAddRemove: one check for a Service, however many ports; none as ClusterIP."""
    plain = {"clusterIP": "172.16.55.4", "ports": ports("p1:1234:4321/UDP", "p2:1235:5321/TCP")}
    local = {**plain, "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 345}
    for spec, checks in ((plain, []), (local, [345]), (plain, [])):
        objects = case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec, "ingress": [{"ip": "10.1.2.3"}]}]})
        assert len(service_ports(objects)) == 2
        assert [c.port for c in health_checks(objects, NodeView(HOST))] == checks
