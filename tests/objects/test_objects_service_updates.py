"""What the API server takes out of a Service that changes its type, and what it keeps.

Source: kubernetes/kubernetes 1.34, pkg/registry/core/service/strategy_test.go (TestDropTypeDependentFields), storage/storage_test.go
(TestUpdateIPsFromScratch and its siblings), in our own form.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.objects.merge import settle_service
from tests.cluster.cluster_fixtures import SMALL, Doc, service

DUAL: Doc = {
    "clusterIP": "1.2.3.4", "clusterIPs": ["1.2.3.4", "5:6:7::8"], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
}  # fmt: skip


def spec(kind: str = "ClusterIP", node_ports: tuple[int, ...] = (0, 0), **more: Any) -> Doc:
    ports = [{"name": n, "port": i} | ({"nodePort": p} if p else {}) for i, (n, p) in enumerate(zip("abc", node_ports, strict=False), 80)]
    return {"type": kind, "ports": ports, **DUAL, **more}


WITHOUT: Doc = dict.fromkeys(DUAL)
NP = (30000, 30001)
LB = "LoadBalancer"
ROWS: list[tuple[str, Doc, Doc, Doc]] = [  # name, before, after, what is different from `after` once it is settled
    ("nothing is cleared", spec(), spec(), {}),
    ("clusterIP and its like", spec(), spec("ExternalName"), WITHOUT),
    ("a changed clusterIP stays", spec(), spec("ExternalName", clusterIP="1.2.3.40", clusterIPs=["1.2.3.40", "5:6:7::8"]),
     {"ipFamilies": None, "ipFamilyPolicy": None}),
    ("changed families stay", spec(), spec("ExternalName", ipFamilies=["IPv6"]), WITHOUT | {"ipFamilies": ["IPv6"]}),
    ("a changed policy stays", spec(), spec("ExternalName", ipFamilyPolicy="SingleStack"), WITHOUT | {"ipFamilyPolicy": "SingleStack"}),
    ("node ports of NodePort", spec("NodePort", NP), spec("NodePort", NP), {}),
    ("node ports of LoadBalancer", spec(LB, NP), spec(LB, NP), {}),
    ("node ports go", spec(LB, NP), spec("ClusterIP", NP), {"ports": spec()["ports"]}),
    ("changed node ports stay, all of them", spec(LB, NP), spec("ClusterIP", (30000, 30101)), {}),
    ("and go with a port more", spec(LB, NP), spec("ClusterIP", (*NP, 0)), {"ports": spec(node_ports=(0, 0, 0))["ports"]}),
    ("but not with a node port more", spec(LB, NP), spec("ClusterIP", (*NP, 30002)), {}),
    ("and with a port less", spec(LB, NP), spec("ClusterIP", NP[:1]), {"ports": spec(node_ports=(0,))["ports"]}),
    ("a health check stays", spec(LB, externalTrafficPolicy="Local", healthCheckNodePort=32000),
     spec(LB, externalTrafficPolicy="Local", healthCheckNodePort=32000), {}),
    ("a health check goes with the type", spec(LB, externalTrafficPolicy="Local", healthCheckNodePort=32000),
     spec(externalTrafficPolicy="Local", healthCheckNodePort=32000), {"healthCheckNodePort": None, "externalTrafficPolicy": None}),
    ("a health check goes with the policy", spec(LB, externalTrafficPolicy="Local", healthCheckNodePort=32000),
     spec(LB, externalTrafficPolicy="Cluster", healthCheckNodePort=32000), {"healthCheckNodePort": None}),
    ("a changed health check stays", spec(LB, externalTrafficPolicy="Local", healthCheckNodePort=32000),
     spec(externalTrafficPolicy="Local", healthCheckNodePort=32100), {"externalTrafficPolicy": None}),
    *((f"allocateLoadBalancerNodePorts {a}", spec(LB, allocateLoadBalancerNodePorts=a), spec("NodePort", allocateLoadBalancerNodePorts=a),
       {"allocateLoadBalancerNodePorts": None}) for a in (True, False)),
    ("a changed allocateLoadBalancerNodePorts stays", spec(LB, allocateLoadBalancerNodePorts=True),
     spec("NodePort", allocateLoadBalancerNodePorts=False), {}),
    ("loadBalancerClass goes", spec(LB, loadBalancerClass="x/y"), spec(loadBalancerClass="x/y"), {"loadBalancerClass": None}),
    ("a changed loadBalancerClass stays", spec(LB, loadBalancerClass="x/y"), spec(loadBalancerClass="x/z"), {}),
    ("loadBalancerClass stays with the type", spec(LB, loadBalancerClass="x/y"), spec(LB, loadBalancerClass="x/y"), {}),
    ("the traffic policy goes with the external addresses", spec(externalIPs=["1.1.1.1"], externalTrafficPolicy="Cluster"),
     spec(externalTrafficPolicy="Cluster"), {"externalTrafficPolicy": None}),
    ("and stays with them", spec("NodePort", NP, externalTrafficPolicy="Cluster"),
     spec("ClusterIP", NP, externalIPs=["1.1.1.1"], externalTrafficPolicy="Cluster"), {"ports": spec()["ports"]}),
    ("SingleStack lets the second family go", spec(), spec(ipFamilyPolicy="SingleStack"),
     {"clusterIPs": ["1.2.3.4"], "ipFamilies": ["IPv4"]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "different"), ROWS, ids=[r[0] for r in ROWS])
def test_fields_that_depend_on_the_type(name: str, before: Doc, after: Doc, different: Doc) -> None:
    found, wanted = copy.deepcopy({"spec": after}), {**after, **different}
    settle_service(found, {"spec": before})
    assert found["spec"] == {k: v for k, v in wanted.items() if v is not None}


def test_the_balancers_addresses_go_with_the_type() -> None:
    local = service("s", {"app": "server"}, type="LoadBalancer", externalTrafficPolicy="Local")
    cluster = kn.load([*SMALL[:3], local], load_balancer="cloud")
    assert cluster.get("svc", "default/s").status.load_balancer.ingress  # type: ignore[attr-defined]
    cluster.apply(service("s", {"app": "server"}, type="LoadBalancer"))  # nothing is said of a health check
    document = cluster.store.document("Service", "default/s")
    assert (document["spec"]["externalTrafficPolicy"], document["spec"].get("healthCheckNodePort")) == ("Cluster", None)
    cluster.apply(service("s", {"app": "server"}))
    document = cluster.store.document("Service", "default/s")
    assert not (document.get("status") or {}).get("loadBalancer")
    assert document["spec"]["type"] == "ClusterIP" and "nodePort" not in document["spec"]["ports"][0]


def test_a_second_family_comes_and_goes() -> None:
    cluster = kn.load([*SMALL[:3], service("s", {"app": "server"})], ip_families=("IPv4", "IPv6"))

    def ips() -> list[str]:
        return list(cluster.get("svc", "default/s").spec.cluster_ips)  # type: ignore[attr-defined]

    [first] = ips()
    cluster.apply(service("s", {"app": "server"}, ipFamilyPolicy="PreferDualStack"))
    assert ips()[0] == first and len(ips()) == 2
    both = ips()
    cluster.apply(service("s", {"app": "server"}))
    assert ips() == both
    cluster.apply(service("s", {"app": "server"}, ipFamilyPolicy="SingleStack"))
    assert ips() == [first]
    with pytest.raises(kn.LoadError, match="may not change once set"):
        cluster.apply(service("s", {"app": "server"}, clusterIP="10.96.0.99"))
