"""kube-proxy's iptables mode against the tables of its own tests."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kubenet_lab.services import KubeProxy, ProxyEndpoint, ServicePort, categorize, health_checks, rules, service_ports
from kubenet_lab.services.iptables_port import probability
from kubenet_lab.services.node import NodeView
from tests.conformance.services.service_tables import NODE, case_snapshot, endpoint, flow, options, snapshot, table, view

RULES = table("kube_proxy_rules.yaml")
FLOWS = [
    pytest.param(case, row, id=f"{case['source']}: {row[0]}") for case in table("kube_proxy_flows.yaml") for row in case["flows"]
]  # fmt: skip


@pytest.mark.parametrize("case", RULES, ids=[c["name"] for c in RULES])
def test_rules(case):
    text = rules(case_snapshot(case), NODE, options(case, random_fully=False, nfacct=True))
    for name in ("filter", "nat"):
        for chain, expected in case.get(name, {}).items():
            assert [r.removeprefix(f"-A {chain} ").replace("0x00004000", "0x4000") for r in text.chain(chain, name)] == expected
            assert f":{chain} - [0:0]" in text.table(name)


@pytest.mark.parametrize(("case", "row"), FLOWS)
def test_flows(case, row):
    name, source, destination, port, outcome, masqueraded, *protocol = row
    expected = {"output": outcome, "masq": masqueraded, **case.get("overrides", {}).get(name, {})}
    text = rules(case_snapshot(case), NODE, options(case))
    assert flow(text, source, destination, port, *protocol) == (expected["output"], expected["masq"])


def test_overrides_name_flows():
    for case in table("kube_proxy_flows.yaml"):
        assert case.get("overrides", {}).keys() <= {row[0] for row in case["flows"]}


@pytest.mark.parametrize("case", table("node_ports.yaml"), ids=lambda c: c["name"])
def test_node_ports(case):
    six = case["family"] == 6
    cluster_ip, one, two = ("fd00:172:30::41", "fd00:10:180::1", "fd00:10:180::2:1") if six else ("172.30.0.41", "10.180.0.1", "10.180.2.1")
    pod, client, node, alt, localhost = (
        ("fd00:10::2", "2600:5200::1", "2001:db8::1", "2001:db8:1::2", "::1")
        if six
        else ("10.0.0.2", "203.0.113.2", "192.168.0.2", "192.168.1.2", "127.0.0.1")
    )
    spec = {"type": "NodePort", "clusterIP": cluster_ip, "ports": [{"name": "p80", "port": 80, "nodePort": 3001}]}
    objects = case_snapshot(
        {
            "services": [{"key": "ns1/svc1", "spec": spec}],
            "slices": [{"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": [one, f"{two}@test-node"]}],
        }
    )
    proxy = options({}, localhost_node_ports=case["localhost_node_ports"], node_port_addresses=case["addresses"])
    text = rules(objects, NODE, proxy, family=case["family"])
    both = f"[{one}]:80, [{two}]:80" if six else f"{one}:80, {two}:80"
    assert flow(text, pod, cluster_ip, 80) == (both, False)
    assert flow(text, client, node, 3001) == (both, True)
    assert flow(text, node, node, 3001) == (both, True)
    assert flow(text, localhost, localhost, 3001) == ((both, True) if case["localhost"] else ("", False))
    assert flow(text, client, alt, 3001) == ((both, True) if case["alt"] else ("", False))
    assert bool(text.chain("KUBE-FIREWALL", "filter")) == case["firewall"]
    assert bool(text.sysctls) == case["firewall"]


@pytest.mark.parametrize("case", table("categorize.yaml"), ids=lambda c: c["name"])
def test_categorize(case):
    endpoints = []
    for row in (endpoint(e) for e in case["endpoints"]):
        hints = row.get("hints", {})
        endpoints.append(
            ProxyEndpoint(
                row["addresses"][0],
                80,
                node=row.get("nodeName", ""),
                zone_hints=tuple(z["name"] for z in hints.get("forZones", ())),
                node_hints=tuple(n["name"] for n in hints.get("forNodes", ())),
                **row["conditions"],
            )
        )
    port = ServicePort("ns", "svc", "", "TCP", 80, "172.30.0.1", endpoints=tuple(endpoints), **case.get("port", {}))
    found = categorize(port, NodeView("node-1", labels=case.get("labels", {})))

    def texts(chosen):
        return None if chosen is None else [e.ip for e in chosen]

    everything = case.get("all", case.get("cluster", case.get("local")))
    assert texts(found.cluster) == case.get("cluster")
    assert texts(found.local) == case.get("local")
    assert texts(found.reachable) == everything
    assert found.has_any == case.get("has_any", bool(everything))
    assert found.topology == case.get("topology", "")


# TestComputeProbability
@pytest.mark.parametrize(
    ("n", "text"),
    [(1, "1.0000000000"), (2, "0.5000000000"), (3, "0.3333333333"), (10, "0.1000000000"), (100, "0.0100000000"), (1000, "0.0010000000"),
     (10000, "0.0001000000"), (100000, "0.0000100000"), (100001, "0.0000099999")],
)  # fmt: skip
def test_probability(n, text):
    assert probability(n) == text


def test_probabilities_fall_strictly():
    """TestComputeProbability: no two neighbours print alike up to 100 000 endpoints."""
    values = [float(probability(n)) for n in range(100_000, 1, -1)]
    assert all(a < b for a, b in pairwise(values))


# TestSyncProxyRulesLargeClusterMode
def test_large_cluster_drops_comments():
    services = [
        {"key": f"ns{i}/svc{i}", "spec": {"clusterIP": f"172.30.0.4{i}", "ports": [{"name": name, "port": port}]}}
        for i, (name, port) in enumerate([("p80", 80), ("p8080", 8080), ("p8081", 8081)], 1)
    ]
    many = [
        {"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": [f"10.0.{i % 256}.{i // 256}" for i in range(499)]},
        {"service": "ns2/svc2", "ports": {"p8080": 8080}, "endpoints": [f"10.1.{i % 256}.{i // 256}" for i in range(499)]},
    ]
    proxy = options({}, masquerade_all=True)
    text = rules(case_snapshot({"services": services, "slices": many}), NODE, proxy)
    line = "-A KUBE-SEP-DKGQUZGBKLTPAR56 -m comment --comment ns1/svc1:p80 -m tcp -p tcp -j DNAT --to-destination 10.0.0.0:80"
    assert line in text.table("nat") and not text.large_cluster

    # a partial sync that crosses the limit writes the changed Service without comments and leaves the others
    third = {"service": "ns3/svc3", "ports": {"p8081": 8081}, "endpoints": ["203.0.113.4", "203.0.113.8", "203.0.113.12"]}
    objects = case_snapshot({"services": services, "slices": [*many, third]})
    partial = rules(objects, NODE, proxy, changed=["ns3/svc3"]).text.splitlines()
    assert [r.split()[-1] for r in partial if "-j DNAT" in r] == [f"203.0.113.{n}:8081" for n in (12, 4, 8)]
    assert not [r for r in partial if "-j DNAT" in r and "--comment" in r]
    text = rules(objects, NODE, proxy)
    dnat = [r for r in text.table("nat") if "-j DNAT" in r]
    assert text.large_cluster and len(dnat) == 1001
    assert "-A KUBE-SEP-RUVVH7YV3PHQBDOS -m tcp -p tcp -j DNAT --to-destination 203.0.113.4:8081" in dnat
    assert "-A KUBE-SEP-DKGQUZGBKLTPAR56 -m tcp -p tcp -j DNAT --to-destination 10.0.0.0:80" in dnat
    assert not [r for r in text.table("nat") if "--comment" in r and (r.startswith("-A KUBE-SEP-") or " -> " in r)]
    assert '--comment "ns3/svc3:p8081 cluster IP"' in text.text

    # the limit itself is not above it, and an address that two slices list counts once
    twice = {**third, "endpoints": [*third["endpoints"][:2], "203.0.113.4@test-node"]}
    again = {"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": ["10.0.0.0"]}
    text = rules(case_snapshot({"services": services, "slices": [*many, twice, again]}), NODE, proxy)
    assert len([r for r in text.table("nat") if "-j DNAT" in r]) == 1000 and not text.large_cluster


# TestBuildServiceMap*: which Services become ports
SERVICE_MAPS = [
    ("TestBuildServiceMapServiceHeadless", {"clusterIP": "None", "ports": [{"name": "rpc", "port": 1234, "protocol": "UDP"}]}, 0),
    ("TestBuildServiceMapServiceHeadless, without port", {"clusterIP": "None"}, 0),
    ("TestBuildServiceMapServiceTypeExternalName", {"type": "ExternalName", "clusterIP": "172.30.55.4", "externalName": "foo2.bar.com",
                                                     "ports": [{"name": "blah", "port": 1235, "protocol": "UDP"}]}, 0),
    ("TestBuildServiceMapAddRemove, cluster-ip", {"clusterIP": "172.30.55.4", "ports": [{"name": n, "port": p} for n, p in
                                                  (("something", 1234), ("somethingelse", 1235), ("sctpport", 1236))]}, 3),
    ("no address yet", {"ports": [{"port": 80}]}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "spec", "count"), SERVICE_MAPS, ids=[r[0] for r in SERVICE_MAPS])
def test_service_map(name, spec, count):
    assert len(service_ports(case_snapshot({"services": [{"key": "somewhere-else/svc", "spec": spec}]}))) == count


@pytest.mark.parametrize("label", ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"])
def test_a_service_with_such_a_label_is_left_alone(label):
    """cmd/kube-proxy/app/server.go: Services and slices with one of these labels are not watched, whatever the value."""
    row = {
        "key": "ns/svc",
        "labels": {label: ""},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]},
    }
    assert service_ports(case_snapshot({"services": [row]})) == ()


# TestUpdateEndpointsMap: what the slices become; endpoint (text, node), in kube-proxy's order
ENDPOINT_MAPS = [
    ("unnamed port", {"": "11/UDP"}, ["10.1.1.1"], [("10.1.1.1:11", "")]),
    ("local endpoint", {"p11": "11/UDP"}, ["10.1.1.1@test-node"], [("10.1.1.1:11", "test-node")]),
    ("renumbered port", {"p11": "22/UDP"}, ["10.1.1.1"], [("10.1.1.1:22", "")]),
    ("order is that of the text", {"p11": "11/UDP"}, ["10.1.1.1", "10.1.1.11", "10.1.1.2"],
     [("10.1.1.11:11", ""), ("10.1.1.1:11", ""), ("10.1.1.2:11", "")]),
    ("no port number", {"p11": "0/UDP"}, ["10.1.1.1"], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "ports", "endpoints", "expected"), ENDPOINT_MAPS, ids=[r[0] for r in ENDPOINT_MAPS])
def test_endpoints_map(name, ports, endpoints, expected):
    [port_name] = ports
    spec = {"clusterIP": "172.30.0.1", "ports": [{"name": port_name, "port": 11, "protocol": "UDP"}]}
    objects = case_snapshot(
        {"services": [{"key": "ns1/ep1", "spec": spec}], "slices": [{"service": "ns1/ep1", "ports": ports, "endpoints": endpoints}]}
    )
    [port] = service_ports(objects)
    assert [(str(e), e.node) for e in port.endpoints] == expected


# TestHealthCheckNodePortWhenTerminating, TestUpdateEndpointsMap (local ready endpoints)
@pytest.mark.parametrize(
    ("endpoints", "count", "status"),
    [
        (["10.0.1.1@test-node", "10.0.1.2@test-node", "10.0.1.3@test-node", "10.0.1.4@test-node!unready"], 3, 200),
        (["10.0.1.2@test-node!terminating", "10.0.1.3@test-node!terminating", "10.0.1.4@test-node!dead"], 0, 503),
        (["10.0.1.1@other"], 0, 503),
    ],
)
def test_health_check(endpoints, count, status):
    spec = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "clusterIP": "172.30.1.1",
        "healthCheckNodePort": 30000,
        "ports": [{"port": 80}],
    }
    objects = case_snapshot(
        {"services": [{"key": "ns1/svc1", "spec": spec}], "slices": [{"service": "ns1/svc1", "ports": {"": 80}, "endpoints": endpoints}]}
    )
    [check] = health_checks(objects, NODE)
    assert (check.port, check.service, check.local_endpoints, check.status) == (30000, "ns1/svc1", count, status)


@pytest.mark.parametrize("given", [{"type": "LoadBalancer"}, {"type": "NodePort", "externalTrafficPolicy": "Local"}])
def test_health_check_only_for_local_load_balancers(given):
    """TestInternalExternalMasquerade sets healthCheckNodePort on Cluster Services too; it means nothing there."""
    spec = {**given, "clusterIP": "172.30.1.1", "healthCheckNodePort": 30001, "ports": [{"port": 80}]}
    objects = case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec}]})
    assert health_checks(objects, NODE) == ()
    assert rules(objects, NODE, KubeProxy()).chain("KUBE-NODEPORTS", "filter") == ()


def test_health_check_of_a_service_with_two_ports():
    """One rule for each port, for TCP whatever the port's protocol is; one server, which counts addresses, not ports."""
    ports = [{"name": n, "port": p, "protocol": q} for n, p, q in (("a", 80, "UDP"), ("b", 81, "TCP"))]
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "clusterIP": "172.30.1.1", "ports": ports}
    spec |= {"healthCheckNodePort": 30000}
    slices = [{"service": "ns1/svc1", "ports": {"a": "80/UDP", "b": 81}, "endpoints": ["10.0.1.1@test-node", "10.0.1.2@test-node"]}]
    objects = case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec}], "slices": slices})
    assert [c.local_endpoints for c in health_checks(objects, NODE)] == [2]
    accepting = rules(objects, NODE).chain("KUBE-NODEPORTS", "filter")
    slices.append({"service": "ns1/svc1", "ports": {"nobody's": 80}, "endpoints": ["10.0.1.3@test-node"]})
    with_another = case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec}], "slices": slices})
    assert [c.local_endpoints for c in health_checks(with_another, NODE)] == [3]  # LocalReadyEndpoints knows no port of the Service
    assert len(accepting) == 2 and all(r.endswith(" -m tcp -p tcp --dport 30000 -j ACCEPT") for r in accepting)


def test_the_tables_use_real_views():
    """A misspelt field of a table would be ignored by the view and prove nothing."""
    allowed = {"type", "clusterIP", "clusterIPs", "ports", "externalIPs", "externalTrafficPolicy", "internalTrafficPolicy"}
    allowed |= {"healthCheckNodePort", "loadBalancerSourceRanges", "sessionAffinity", "sessionAffinityConfig"}
    for case in [*RULES, *table("kube_proxy_flows.yaml")]:
        for row in case.get("services", []):
            assert row["spec"].keys() <= allowed
            assert {k for p in row["spec"]["ports"] for k in p} <= {"name", "port", "protocol", "targetPort", "nodePort"}
    assert view({"kind": "Service", "metadata": {"name": "a"}}) and snapshot([])
