"""Every row of the API server's own tests of Services, on documents as they stand before any default is filled in.

Source: kubernetes/kubernetes 1.34, pkg/apis/core/validation/validation_test.go (TestValidateServiceCreate, TestValidateServiceUpdate,
TestValidateServiceExternalTrafficPolicy, TestValidateLoadBalancerStatus), in our own form: the name of the row, how many errors,
 what differs from the valid Service.
What the API server's list says twice (an update checks loadBalancerClass twice, and names ipFamilies[0] for both families) counts once,
 as in
the message that it sends.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kubenet_lab.objects.validation import validate, validate_update

Doc = dict[str, Any]

VALID: Doc = {
    "apiVersion": "v1", "kind": "Service",
    "metadata": {"name": "valid", "namespace": "valid", "labels": {}, "annotations": {}},
    "spec": {"selector": {"key": "val"}, "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster",
             "ports": [{"name": "p", "protocol": "TCP", "port": 8675, "targetPort": 8675}]},
}  # fmt: skip
[P0] = VALID["spec"]["ports"]


def port(name: str = "q", number: int = 12345, protocol: str = "TCP", target: Any = 12345, **more: Any) -> Doc:
    return {"name": name, "port": number, "protocol": protocol, "targetPort": target, **more}


def plus(*ports: Doc) -> Doc:
    return {"ports": [P0, *ports]}


def first(**change: Any) -> Doc:
    return {"ports": [{k: v for k, v in {**P0, **change}.items() if v is not None}]}


def ips(*addresses: str, families: str = "", policy: str = "", **more: Any) -> Doc:
    """clusterIPs and clusterIP; families "46": IPv4, IPv6; policy by its first letter."""
    found: Doc = {"clusterIP": addresses[0], "clusterIPs": list(addresses)} if addresses else {}
    found |= {"ipFamilies": [{"4": "IPv4", "6": "IPv6"}.get(f, f) for f in families]} if families else {}
    found |= {"ipFamilyPolicy": {"S": "SingleStack", "P": "PreferDualStack", "R": "RequireDualStack"}[policy]} if policy else {}
    return found | more


LB: Doc = {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": True}
NODE: Doc = {"type": "NodePort", "externalTrafficPolicy": "Cluster"}
NONE, HERE, WAS = ips("None"), ips("1.2.3.4"), {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": True}
EXT: Doc = {"type": "ExternalName", "externalName": "foo.bar.example.com"}
RANGES, CLASS = "service.beta.kubernetes.io/load-balancer-source-ranges", "loadBalancerClass"
MODES = {"service.kubernetes.io/topology-aware-hints": "original", "service.kubernetes.io/topology-mode": "different"}


def notes(value: str) -> Doc:
    return {"metadata": {"annotations": {RANGES: value}}}


CREATE: list[tuple[str, int, Doc]] = [
    ("missing namespace", 1, {"metadata": {"namespace": ""}}), ("invalid namespace", 1, {"metadata": {"namespace": "-123"}}),
    ("missing name", 1, {"metadata": {"name": ""}}), ("invalid name", 1, {"metadata": {"name": "-123"}}),
    ("too long name", 1, {"metadata": {"name": "a" * 64}}), ("invalid generateName", 1, {"metadata": {"generateName": "-123"}}),
    ("too long generateName", 1, {"metadata": {"generateName": "a" * 64}}),
    ("invalid label", 1, {"metadata": {"labels": {"NoUppercaseOrSpecialCharsLike=Equals": "bar"}}}),
    ("invalid annotation", 1, {"metadata": {"annotations": {"NoSpecialCharsLike=Equals": "bar"}}}),
    ("nil selector", 0, {"selector": None}), ("invalid selector", 1, {"selector": {"key": "val", "NoSpecialCharsLike=Equals": "bar"}}),
    ("missing session affinity", 1, {"sessionAffinity": None}), ("missing type", 1, {"type": None}), ("missing ports", 1, {"ports": None}),
    ("missing ports but headless", 0, {"ports": None, **NONE}), ("empty port[0] name", 0, first(name=None)),
    ("empty port[1] name", 1, plus(port(""))), ("empty multi-port port[0] name", 1, {"ports": [*first(name=None)["ports"], port("p")]}),
    ("invalid port name", 1, first(name="INVALID")), ("missing protocol", 1, first(protocol=None)),
    ("invalid protocol", 1, first(protocol="INVALID")), ("invalid cluster ip", 1, ips("invalid")), ("missing port", 1, first(port=None)),
    ("invalid port", 1, first(port=65536)), ("invalid TargetPort int", 1, first(targetPort=65536)),
    ("valid port headless", 0, {**first(port=11722, targetPort=11722), **NONE}),
    ("invalid port headless 1: tolerated", 0, {**first(port=11722, targetPort=11721), **NONE}),
    ("invalid port headless 2: tolerated", 0, {**first(port=11722, targetPort="target"), **NONE}),
    *((f"invalid publicIPs {ip}", 1, {"externalTrafficPolicy": "Cluster", "externalIPs": [ip]})
      for ip in ("127.0.0.1", "0.0.0.0", "myhost.mydomain")),
    ("valid publicIPs", 0, {"externalTrafficPolicy": "Cluster", "externalIPs": ["1.2.3.4"]}), ("dup port name", 1, plus(port("p"))),
    ("valid load balancer protocol UDP 1", 0, {**LB, **first(protocol="UDP")}),
    ("valid load balancer protocol UDP 2", 0, {**LB, "ports": [port(protocol="UDP")]}),
    ("load balancer with mix protocol", 0, {**LB, **plus(port(protocol="UDP"))}),
    ("valid 1", 0, {}), ("valid 2", 0, first(protocol="UDP", targetPort=12345)), ("valid 3", 0, first(targetPort="http")),
    ("valid cluster ip - none", 0, NONE), ("valid cluster ip - empty", 0, first(targetPort="http")), ("valid type - clusterIP", 0, {}),
    ("valid type - loadbalancer", 0, LB), ("with allocateLoadBalancerNodePorts=false", 0, {**LB, "allocateLoadBalancerNodePorts": False}),
    ("missing AllocateLoadBalancerNodePorts for loadbalancer type", 1, {**LB, "allocateLoadBalancerNodePorts": None}),
    ("valid type loadbalancer 2 ports", 0, {**LB, **plus(port())}),
    ("duplicate nodeports", 1, {**NODE, **plus(port("q", 1, nodePort=1), port("r", 2, nodePort=1))}),
    ("duplicate nodeports (different protocols)", 0,
     {**NODE, **plus(port("q", 1, nodePort=1), port("r", 2, "UDP", nodePort=1), port("s", 3, "SCTP", nodePort=1))}),
    ("invalid duplicate ports (with same protocol)", 1, plus(port("q", target=8080), port("r", target=80))),
    ("valid duplicate ports (with different protocols)", 0, plus(port("q"), port("r", protocol="UDP"), port("s", protocol="SCTP"))),
    ("valid type - nodeport", 0, NODE), ("valid type loadbalancer with NodePort", 0, {**LB, **plus(port(nodePort=12345))}),
    ("valid type=NodePort service with NodePort", 0, {**NODE, **plus(port(nodePort=12345))}),
    ("valid type=NodePort service without NodePort", 0, {**NODE, **plus(port())}),
    ("valid cluster service without NodePort", 0, plus(port())),
    ("invalid cluster service with NodePort", 1, plus(port(nodePort=12345))),
    ("the kubelet's port may be exposed", 0, {**LB, **plus(port("kubelet", 10250))}),
    *((f"source range annotation {v!r}", n, {**LB, **notes(v)})
      for v, n in (("1.2.3.0/24,  5.6.0.0/16", 0), ("", 0), ("  ", 0), ("foo.bar", 1), ("1.2.3.4/33", 1))),
    ("source range annotation for non LoadBalancer", 1, notes("1.2.3.0/24")),
    ("empty-but-set source range annotation for non LoadBalancer", 1, notes("")),
    *((f"source ranges {v}", n, {**LB, "loadBalancerSourceRanges": v})
      for v, n in ((["1.2.3.0/24", "5.6.0.0/16"], 0), (["1.2.3.0/24  ", " 5.6.0.0/16"], 0), (["   "], 1), (["foo.bar"], 1),
       (["1.2.3.4/33"], 1))),
    ("invalid source range for non LoadBalancer type service", 1, {"loadBalancerSourceRanges": ["1.2.3.0/24", "5.6.0.0/16"]}),
    ("invalid annotation ignored with valid field", 0, {**LB, "loadBalancerSourceRanges": ["1.2.3.0/24"], **notes("foo.bar")}),
    ("valid ExternalName", 0, EXT), ("valid ExternalName (trailing dot)", 0, {**EXT, "externalName": "foo.bar.example.com."}),
    ("invalid ExternalName clusterIP (valid IP)", 1, {**EXT, **HERE}), ("invalid ExternalName clusterIP (None)", 1, {**EXT, **NONE}),
    ("invalid ExternalName (not a DNS name)", 1, {**EXT, "externalName": "-123"}), ("LoadBalancer with None ClusterIP", 1, {**LB, **NONE}),
    ("invalid node port with clusterIP None", 1, {**NODE, **NONE, **plus(port("q", 1, nodePort=1))}),
    ("invalid externalTraffic field", 1, {**LB, "externalTrafficPolicy": "invalid"}),
    ("nil internalTraffic field", 1, {"internalTrafficPolicy": None}),
    ("nil internalTraffic, ExternalName", 0, {**EXT, "internalTrafficPolicy": None}),
    ("internalTrafficPolicy field is set when type is ExternalName", 0, EXT),
    ("invalid internalTraffic", 1, {"internalTrafficPolicy": "invalid"}),
    ("internalTrafficPolicy Local", 0, {"internalTrafficPolicy": "Local"}),
    ("negative healthCheckNodePort", 1, {**LB, "externalTrafficPolicy": "Local", "healthCheckNodePort": -1}),
    ("healthCheckNodePort", 0, {**LB, "externalTrafficPolicy": "Local", "healthCheckNodePort": 31100}),
    ("invalid timeoutSeconds field", 1, {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": -1}}}),
    ("sessionAffinityConfig with affinity None", 1, {**LB, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90}}}),
    ("invalid ipFamilies", 1, ips(families="x")), ("invalid ipFamilies (2nd)", 1, ips(families="4x", policy="R")),
    ("SingleStack for two families: the allocator's", 0, ips(families="46", policy="S")),
    ("Prefer, two families", 0, ips(families="46", policy="P")),
    ("2+ ipFamilies", 1, ips(families="464", policy="R")), ("same ip families", 1, ips(families="66", policy="R")),
    ("nil ipFamilies", 0, {}),
    ("v4", 0, ips(families="4")), ("v6", 0, ips(families="6")), ("v4, v6", 0, ips(families="46", policy="R")),
    ("v6, v4", 0, ips(families="64", policy="R")), ("Prefer with single family", 0, ips(families="6", policy="P")),
    ("garbage single ip", 1, ips("garbage-ip")), ("garbage ips", 2, ips("garbage-ip", "garbage-second-ip", policy="R")),
    ("garbage first ip", 1, ips("garbage-ip", "2001::1", policy="R")), ("garbage second ip", 1, ips("2001::1", "garbage-ip", policy="R")),
    ("NONE + IP", 1, ips("None", "2001::1", policy="R")), ("IP + NONE", 1, ips("2001::1", "None", policy="R")),
    ("EMPTY STRING + IP", 2, ips("", "2001::1", policy="R")), ("IP + EMPTY STRING", 1, ips("2001::1", "", policy="R")),
    ("same ip family (v6)", 2, ips("2001::1", "2001::4", families="46", policy="R")),
    ("same ip family (v4)", 2, ips("10.0.0.1", "10.0.0.10", families="46", policy="R")),
    ("more than two ips", 1, ips("10.0.0.1", "2001::1", "10.0.0.10", families="46", policy="R")),
    ("multi ip, SingleStack (request for downgrade)", 0, ips("10.0.0.1", "2001::1", families="46", policy="S")),
    ("headless-no-selector + multi family", 0, ips("None", families="46", policy="R", selector=None)),
    ("multi ip, single ipfamilies, Prefer", 0, ips("10.0.0.1", "2001::1", families="4", policy="P")),
    ("multi ip, single ipfamilies, Require", 0, ips("10.0.0.1", "2001::1", families="4", policy="R")),
    ("families don't match (v4=>v6)", 1, ips("10.0.0.1", families="6")), ("families don't match (v6=>v4)", 1, ips("2001::1", families="4")),
    ("single ip", 0, ips("10.0.0.1", policy="S")), ("single family", 0, ips(families="6", policy="S")),
    ("single ip + single family", 0, ips("2001::1", families="6", policy="S")),
    ("single ip + single family (dual stack requested)", 0, ips("2001::1", families="6", policy="P")),
    ("single ip, multi ipfamilies", 0, ips("10.0.0.1", families="46", policy="R")),
    ("multi ips, multi ipfamilies (4,6)", 0, ips("10.0.0.1", "2001::1", families="46", policy="R")),
    ("ips, multi ipfamilies (6,4)", 0, ips("2001::1", "10.0.0.1", families="64", policy="R")),
    ("multi ips (6,4)", 0, ips("2001::1", "10.0.0.1", policy="R")), ("multi ips (4,6)", 0, ips("10.0.0.1", "2001::1", policy="R")),
    ("dual stack", 0, ips(policy="R")), ("valid appProtocol", 0, {"ports": [port(appProtocol="HTTP")]}),
    ("valid custom appProtocol", 0, {"ports": [port(appProtocol="example.com/protocol")]}),
    ("invalid appProtocol", 1, {"ports": [port(appProtocol="example.com/protocol_with{invalid}[characters]")]}),
    ("cluster ip != clusterIP in multi ip service", 1, ips("10.0.0.1", "2001::1", policy="R") | {"clusterIP": "10.0.0.10"}),
    ("cluster ip != clusterIP in single ip service", 1, ips("10.0.0.1") | {"clusterIP": "10.0.0.10"}),
    ("AllocateLoadBalancerNodePorts when type is not LoadBalancer", 1, {"allocateLoadBalancerNodePorts": True}),
    ("valid LoadBalancerClass", 0, {**LB, CLASS: "test.com/test-load-balancer-class"}),
    ("invalid LoadBalancerClass", 1, {**LB, CLASS: "Bad/LoadBalancerClass"}),
    ("LoadBalancerClass when type is not LoadBalancer", 1, {CLASS: "test.com/test-load-balancer-class"}),
    ("topology annotations are mismatched", 1, {"metadata": {"annotations": MODES}}),
    *((f"trafficDistribution {v}", n, {"trafficDistribution": v})
      for v, n in (("PreferClose", 0), ("PreferSameZone", 0), ("PreferSameNode", 0), ("Random", 1), ("", 1))),
]  # fmt: skip

EXTERNAL: list[tuple[str, int, Doc]] = [  # the errors of these two fields alone
    ("LoadBalancer, Local, with a health check port", 0, {**LB, "externalTrafficPolicy": "Local", "healthCheckNodePort": 34567}),
    ("NodePort, Local", 0, {**NODE, "externalTrafficPolicy": "Local"}), ("ClusterIP", 0, {}),
    ("a health check port with policy Cluster", 1, {**LB, "healthCheckNodePort": 34567}),
    ("a health check port on NodePort", 1, {**NODE, "externalTrafficPolicy": "Local", "healthCheckNodePort": 34567}),
    ("both on ClusterIP", 2, {"externalTrafficPolicy": "Local", "healthCheckNodePort": 34567}),
    ("the policy on ExternalName", 1, {**EXT, "externalTrafficPolicy": "Local"}), ("required on NodePort", 1, {"type": "NodePort"}),
    ("required on LoadBalancer", 1, {"type": "LoadBalancer"}), ("required with externalIPs", 1, {"externalIPs": ["1.2.3,4"]}),
]  # fmt: skip

#: every type's row: a set ClusterIP stays, an empty one may be filled; name of a type, as it was, as it is after the update
TYPES = (("ClusterIP", {}, {}), ("NodePort", {"type": "NodePort"}, NODE), ("LoadBalancer", WAS, LB))
ONE, TWO = ips("1.2.3.4", families="4", policy="S"), ips("1.2.3.4", "2001::1", families="46", policy="R")
HEADLESS = ips("None", families="46", policy="R")
APP = [port("a", 443, target=3000)]

UPDATE: list[tuple[str, int, Doc, Doc]] = [
    ("no change", 0, {}, {}), ("change label valid", 0, {}, {"metadata": {"labels": {"key": "other-value"}}}),
    ("change cluster IP", 1, HERE, ips("8.6.7.5")), ("remove cluster IP", 1, HERE, {}),
    ("change affinity", 0, {}, {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90}}}),
    ("remove affinity", 1, {}, {"sessionAffinity": None}), ("change type", 0, {}, LB), ("remove type", 1, {}, {"type": None}),
    ("change type -> nodeport", 0, {}, NODE), ("add loadBalancerSourceRanges", 0, WAS, {**LB, "loadBalancerSourceRanges": ["10.0.0.0/8"]}),
    ("update loadBalancerSourceRanges", 0, {**WAS, "loadBalancerSourceRanges": ["10.0.0.0/8"]},
     {**LB, "loadBalancerSourceRanges": ["10.100.0.0/16"]}),
    ("LoadBalancer type cannot have None ClusterIP", 1, {}, {**LB, **NONE}), ("`None` ClusterIP can NOT be changed", 1, NONE, HERE),
    ("`None` ClusterIP can NOT be removed", 1, NONE, {}), ("ClusterIP can NOT be changed to None", 1, HERE, NONE),
    *((f"a set ClusterIP, {a} to {b}", 1, {**was, **HERE}, {**now, **ips("1.2.3.5")}) for a, was, _ in TYPES for b, _, now in TYPES),
    *((f"an empty ClusterIP, {a} to {b}", 0, was, {**now, **ips("1.2.3.5")}) for a, was, _ in TYPES for b, _, now in TYPES),
    ("AllocateLoadBalancerNodePorts from true to false", 0, WAS, {**LB, "allocateLoadBalancerNodePorts": False}),
    ("AllocateLoadBalancerNodePorts from false to true", 0, {**WAS, "allocateLoadBalancerNodePorts": False}, LB),
    ("ExternalName, empty ClusterIP, to ClusterIP", 0, {"type": "ExternalName"}, ips("1.2.3.5")),
    ("ExternalName, set ClusterIP, to ClusterIP", 0, {"type": "ExternalName", **HERE}, ips("1.2.3.5")),
    ("invalid node port with clusterIP None", 1, {"type": "NodePort", **plus(port("q", 1, nodePort=1))},
     {**NODE, **NONE, **plus(port("q", 1, nodePort=1))}),
    ("convert from ExternalName", 0, {"type": "ExternalName"}, {}), ("invalid: convert to ExternalName", 3, ONE, {**ONE, **EXT}),
    ("valid: convert to ExternalName", 0, ONE, EXT), ("same family", 0, ips(families="4"), ips(families="4")),
    ("same family, to SingleStack", 0, ips(families="4"), ips(families="4", policy="S")),
    ("same family, SingleStack => Require", 0, ips(families="4", policy="S"), ips(families="4", policy="R")),
    ("add a new family", 0, ips(families="4", policy="R"), ips(families="46", policy="R")),
    ("ExternalName both", 0, {"type": "ExternalName", "externalName": "somename"}, {"type": "ExternalName", "externalName": "somename"}),
    ("from nil to v4", 0, {}, ips(families="4", externalName="somename")),
    ("from nil to v6", 0, {}, ips(families="6", externalName="somename")),
    ("change primary family", 2, ips("1.2.3.4", families="4"), ips("1.2.3.4", families="6")),
    ("upgrade, Require", 0, ips("1.2.3.4", families="4", policy="R"), ips("1.2.3.4", families="4")),
    ("upgrade, Prefer", 0, ONE, ips("1.2.3.4", families="4", policy="P")),
    ("upgrade, no specific secondary ip", 0, ONE, ips("1.2.3.4", families="46", policy="R")),
    ("upgrade, a specific secondary ip", 0, ONE, TWO),
    ("downgrade from dual to single", 0, TWO, ONE),
    ("change families for a headless service", 0, HEADLESS, ips("None", families="64", policy="R")),
    ("upgrade a headless service", 0, ips("None", families="4", policy="S"), ips("None", families="64", policy="R")),
    ("downgrade a headless service", 0, HEADLESS, ips("None", families="6", policy="S")),
    ("flip families", 3, TWO | {"clusterIP": "1.2.3.40"}, ips("2001::1", "1.2.3.5", families="64", policy="R")),
    ("change first ip, in dualstack service", 1, TWO, ips("1.2.3.5", "2001::1", families="46", policy="R")),
    ("change second ip in dualstack service", 1, TWO, ips("1.2.3.4", "2002::1", families="46", policy="R")),
    ("downgrade keeping the families", 0, TWO, ips("1.2.3.4", families="46", policy="S")),
    ("downgrade without changing to SingleStack", 2, TWO, ips("1.2.3.4", families="4", policy="R")),
    ("downgrade and change primary ip", 1, TWO, ips("1.2.3.5", families="4", policy="S")),
    ("upgrade to dual stack and change primary", 1, ONE, ips("1.2.3.5", families="46", policy="R")),
    ("update to valid app protocol", 0, {"ports": APP}, {"ports": [{**APP[0], "appProtocol": "https"}]}),
    ("update to invalid app protocol", 1, {"ports": APP}, {"ports": [{**APP[0], "appProtocol": "~https"}]}),
    ("Set AllocateLoadBalancerNodePorts when type is not LoadBalancer", 1, {}, {"allocateLoadBalancerNodePorts": True}),
    ("the same class", 0, {**WAS, CLASS: "test.com/test-old"}, {**LB, CLASS: "test.com/test-old"}),
    ("change the class", 1, {**WAS, CLASS: "test.com/test-old"}, {**LB, CLASS: "test.com/test-new"}),
    ("unset the class", 1, {**WAS, CLASS: "test.com/test-old"}, LB), ("set a class", 1, WAS, {**LB, CLASS: "test.com/test-new"}),
    ("to LoadBalancer with a class", 0, {}, {**LB, CLASS: "test.com/x"}), ("to LoadBalancer without a class", 0, {}, LB),
    ("to LoadBalancer with a bad class", 1, {}, {**LB, CLASS: "Bad/LoadBalancerclass"}),
    ("a class without the type", 1, {}, {CLASS: "test.com/x"}),
    ("a class on ExternalName", 2, {"type": "ExternalName"}, {"type": "ExternalName", CLASS: "test.com/x"}),
    ("a class on NodePort", 1, {"type": "NodePort"}, {**NODE, CLASS: "test.com/x"}),
    ("a class kept, to ClusterIP", 1, {**WAS, CLASS: "test.com/x"}, {CLASS: "test.com/x"}),
    ("a class kept, to ExternalName", 2, {**WAS, CLASS: "test.com/x"}, {"type": "ExternalName", CLASS: "test.com/x"}),
    ("a class kept, to NodePort", 1, {**WAS, CLASS: "test.com/x"}, {**NODE, CLASS: "test.com/x"}),
    ("internalTrafficPolicy to Local", 0, {}, {"internalTrafficPolicy": "Local"}),
    ("internalTrafficPolicy to Cluster", 0, {"internalTrafficPolicy": "Local"}, {}),
    ("topology annotations are mismatched", 1, {}, {"metadata": {"annotations": MODES}}),
]  # fmt: skip

STATUS: list[tuple[str, int, Doc, list[Doc]]] = [
    ("type is not LB, nothing in the status", 0, {}, []), ("valid vip ipMode", 0, LB, [{"ip": "1.2.3.4", "ipMode": "VIP"}]),
    ("valid proxy ipMode", 0, LB, [{"ip": "1.2.3.4", "ipMode": "Proxy"}]),
    ("invalid ipMode", 1, LB, [{"ip": "1.2.3.4", "ipMode": "dummy"}]),
    ("missing ipMode", 1, LB, [{"ip": "1.2.3.4"}]), ("missing ip with ipMode present", 1, LB, [{"ipMode": "Proxy"}]),
    ("a name", 0, LB, [{"hostname": "lb.example.com"}]), ("a name that is an address", 1, LB, [{"hostname": "1.2.3.4"}]),
    ("no name", 1, LB, [{"hostname": "LB_"}]), ("no address", 1, LB, [{"ip": "x", "ipMode": "VIP"}]),
]  # fmt: skip


def service(change: Doc) -> Doc:
    document = copy.deepcopy(VALID)
    document["metadata"] |= change.get("metadata", {})
    for name, value in change.items():
        if value is None:
            document["spec"].pop(name, None)
        elif name != "metadata":
            document["spec"][name] = value
    return document


def said(violations: Any) -> list[str]:
    return sorted({str(v) for v in violations})


@pytest.mark.parametrize(("name", "errors", "change"), CREATE, ids=[r[0] for r in CREATE])
def test_create(name: str, errors: int, change: Doc) -> None:
    found = said(validate(service(change), "Service"))
    assert len(found) == errors, found


@pytest.mark.parametrize(("name", "errors", "change"), EXTERNAL, ids=[r[0] for r in EXTERNAL])
def test_external_traffic_policy(name: str, errors: int, change: Doc) -> None:
    fields = ("spec.externalTrafficPolicy", "spec.healthCheckNodePort")
    found = said(v for v in validate(service(change), "Service") if v.path in fields)
    assert len(found) == errors, found


@pytest.mark.parametrize(("name", "errors", "before", "after"), UPDATE, ids=[r[0] for r in UPDATE])
def test_update(name: str, errors: int, before: Doc, after: Doc) -> None:
    found = said(validate_update(service(after), service(before), "Service"))
    assert len(found) == errors, found


@pytest.mark.parametrize(("name", "errors", "change", "ingress"), STATUS, ids=[r[0] for r in STATUS])
def test_load_balancer_status(name: str, errors: int, change: Doc, ingress: list[Doc]) -> None:
    found = said(validate({**service(change), "status": {"loadBalancer": {"ingress": ingress}}}, "Service"))
    assert len(found) == errors, found
