"""Every row of the API server's own tests of EndpointSlices and Endpoints.

Source: kubernetes/kubernetes 1.34, pkg/apis/discovery/validation/validation_test.go (TestValidateEndpointSlice, ...Create, ...Update),
pkg/apis/core/validation/validation_test.go (TestValidateEndpointsCreate, TestValidateEndpointsUpdate), in our own form. Two rows hold for
nobody from outside: the key topology.kubernetes.io/zone in deprecatedTopology, which v1 turns into `zone`, and a port without a name.
"""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.objects.validation import validate, validate_update

Doc = dict[str, Any]
META: Doc = {"name": "hello", "namespace": "world"}


def ports(*names: str, **more: Any) -> list[Doc]:
    return [{"name": n, "protocol": "TCP", **more} for n in names]


def end(*addresses: str, **more: Any) -> Doc:
    return {"addresses": list(addresses or ("10.1.2.0",)), **more}


def many(count: int) -> list[str]:
    return [f"10.1.2.{i % 255}" for i in range(count)]


def slice_(*endpoints: Doc, kind: str = "IPv4", ports_: list[Doc] | None = None, **meta: Any) -> Doc:
    listed = ports("http") if ports_ is None else ports_
    return {"kind": "EndpointSlice", "metadata": {**META, **meta}, "addressType": kind, "endpoints": list(endpoints), "ports": listed}


def zones(names: str) -> Doc:
    return {"hints": {"forZones": [{"name": f"zone-{z}"} for z in names]}}


def nodes(*names: str) -> Doc:
    return {"hints": {"forNodes": [{"name": n} for n in names]}}


FQDNS = ("foo.example.com", "example.com", "example.com.", "hyphens-are-good.example.com")
SLICES: list[tuple[str, int, Doc]] = [
    ("good-slice", 0, slice_(end(hostname="valid-123"))), ("good-ipv6", 0, slice_(end("a00:100::4"), kind="IPv6")),
    ("good-fqdns", 0, slice_(end(*FQDNS), kind="FQDN")),
    ("all-protocols", 0, slice_(end(), ports_=[{"name": p.lower(), "protocol": p} for p in ("TCP", "UDP", "SCTP")])),
    *((f"appProtocol {p}", 0, slice_(end(), ports_=ports("one", appProtocol=p)))
      for p in ("HTTP", "https", "my-protocol", "example.com/custom-protocol")),
    ("empty-port-name", 0, slice_(end(), ports_=ports("", "http"))), ("long-port-name", 0, slice_(end(), ports_=ports("a" * 63))),
    ("empty-ports-and-endpoints", 0, slice_(ports_=[])), ("max-endpoints", 0, slice_(*(end(a) for a in many(1000)))),
    ("max-ports", 0, slice_(ports_=ports(*(f"http-{i}" for i in range(20000))))), ("max-addresses", 0, slice_(end(*many(100)))),
    ("max-topology-keys", 0, slice_(end(deprecatedTopology={f"topology-{i}": "example" for i in range(16)}))),
    ("valid-hints", 0, slice_(end(**zones("a")))), ("duplicate-port-name", 1, slice_(ports_=ports("", ""))),
    ("bad-port-name-caps", 1, slice_(ports_=ports("aCapital"))), ("bad-port-name-chars", 1, slice_(ports_=ports("almost_valid"))),
    ("bad-port-name-length", 1, slice_(ports_=ports("a" * 64))), ("invalid-port-protocol", 1, slice_(ports_=ports("http", protocol="foo"))),
    ("too-many-ports", 1, slice_(ports_=ports(*(f"http-{i}" for i in range(20001))))),
    ("too-many-endpoints", 1, slice_(*(end(a) for a in many(1001)))), ("no-endpoint-addresses", 1, slice_({"addresses": []})),
    ("too-many-addresses", 1, slice_(end(*many(101)))), ("bad-topology-key", 1, slice_(end(deprecatedTopology={"--INVALID": "example"}))),
    ("too-many-topology-keys", 1, slice_(end(deprecatedTopology={f"topology-{i}": "example" for i in range(17)}))),
    ("bad-hostname", 1, slice_(end(hostname="--INVALID"))), ("bad-meta", 1, slice_(end(), name="*&^")),
    ("bad-ip", 1, slice_(end("123.456.789.012"))), ("bad-ipv4", 2, slice_(end("123.456.789.012", "2001:4860:4860::8888"))),
    ("bad-ipv6", 2, slice_(end("123.456.789.012", "2001:4860:4860:defg"), kind="IPv6")),
    ("bad-fqdns", 4, slice_(end("foo.*", "FOO.example.com", "underscores_are_bad.example.com", "*.example.com"), kind="FQDN")),
    ("bad-app-protocol", 1, slice_(end(), ports_=ports("http", appProtocol="--"))),
    ("invalid-hints", 1, slice_(end(hints={"forZones": [{"name": "inv@lid"}]}))), ("overlapping-hints", 1, slice_(end(**zones("aba")))),
    ("too-many-hints", 1, slice_(end(**zones("abcdefghi")))), ("node hints (KEP-3015)", 0, slice_(end(**nodes("node-1", "node-2")))),
    ("a node hint twice", 1, slice_(end(**nodes("a", "a")))), ("a node hint that is no node's name", 1, slice_(end(**nodes("A_")))),
    ("too many node hints", 1, slice_(end(**nodes(*"abcdefghi")))),
    ("empty-everything", 3, {"kind": "EndpointSlice"}), ("special-ipv4", 1, slice_(end("127.0.0.1"))),
    ("special-ipv6", 1, slice_(end("fe80::9656:d028:8652:66b6"), kind="IPv6")),
    ("good-slice-node-name", 0, slice_(end(nodeName="valid-node-name"))),
    ("bad-node-name", 1, slice_(end(nodeName="INvalid-node-name"))), ("deprecated-address-type", 1, slice_(end(), kind="IP")),
    ("bad-address-type", 1, slice_(end(), kind="other")),
]  # fmt: skip

UPDATES: list[tuple[str, int, Doc, Doc]] = [
    ("valid and identical slices", 0, slice_(kind="IPv6"), slice_(kind="IPv6")),
    ("invalid node name set", 1, slice_(end()), slice_(end(nodeName="INVALID foo"))),
    ("deprecated address type", 1, slice_(kind="IP"), slice_(kind="IP")), ("another address type", 1, slice_(kind="other"), slice_()),
    ("an invalid protocol", 1, slice_(), slice_(ports_=ports("", protocol="invalid"))),
]  # fmt: skip


def endpoints(*addresses: Any, ports_: Any = ({"name": "a", "port": 93, "protocol": "TCP"},), **meta: Any) -> Doc:
    subsets = [{"addresses": [{"ip": a} if isinstance(a, str) else a for a in addresses], "ports": list(ports_)}]
    return {"kind": "Endpoints", "metadata": {**META, **meta}, "subsets": subsets}


def port(**more: Any) -> list[Doc]:
    return [{k: v for k, v in {"name": "p", "port": 93, "protocol": "TCP", **more}.items() if v is not None}]


ENDPOINTS: list[tuple[str, str, Doc]] = [  # the first error begins like this; "" is none
    ("simple endpoint", "", endpoints("10.10.1.1", "10.10.2.2")), ("empty subsets", "", {"kind": "Endpoints", "metadata": META}),
    ("no name required for singleton port", "", endpoints("10.10.1.1", ports_=port(name=None))),
    ("valid appProtocol", "", endpoints("10.10.1.1", ports_=port(appProtocol="HTTP"))),
    ("empty ports", "", endpoints("10.10.3.3", ports_=())),
    ("missing namespace", "metadata.namespace: Required", endpoints("10.10.1.1", namespace="")),
    ("missing name", "metadata.name: Required", endpoints("10.10.1.1", name="")),
    ("invalid namespace", "metadata.namespace: Invalid", endpoints("10.10.1.1", namespace='no@#invalid.;chars"allowed')),
    ("invalid name", "metadata.name: Invalid", endpoints("10.10.1.1", name="-_Invliad^&Characters")),
    ("empty addresses", "subsets[0]: Required", endpoints()),
    ("invalid IP", "subsets[0].addresses[0].ip: Invalid", endpoints("[2001:0db8:85a3:0042:1000:8a2e:0370:7334]")),
    ("Multiple ports, one without name", "subsets[0].ports[0].name: Required", endpoints("10.10.1.1", ports_=[*port(name=None),
     *port(port=309)])),
    ("Invalid port number", "subsets[0].ports[0].port: Invalid", endpoints("10.10.1.1", ports_=port(port=66000))),
    ("Invalid protocol", "subsets[0].ports[0].protocol: Unsupported", endpoints("10.10.1.1", ports_=port(protocol="Protocol"))),
    ("Address missing IP", "subsets[0].addresses[0].ip: Invalid", endpoints({})),
    ("Port missing number", "subsets[0].ports[0].port: Invalid", endpoints("10.10.1.1", ports_=port(port=None))),
    ("Port missing protocol", "subsets[0].ports[0].protocol: Required", endpoints("10.10.1.1", ports_=port(protocol=None))),
    *((f"Address {a}", "subsets[0].addresses[0].ip: Invalid", endpoints(a)) for a in ("127.0.0.1", "169.254.169.254", "224.0.0.1")),
    ("Invalid AppProtocol", "subsets[0].ports[0].appProtocol: Invalid", endpoints("10.10.1.1",
     ports_=port(appProtocol="lots-of[invalid]-{chars}"))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "errors", "document"), SLICES, ids=[r[0] for r in SLICES])
def test_slices(name: str, errors: int, document: Doc) -> None:
    found = [str(v) for v in validate(document, "EndpointSlice")]
    assert len(found) == errors, found


@pytest.mark.parametrize(("name", "errors", "before", "after"), UPDATES, ids=[r[0] for r in UPDATES])
def test_slice_updates(name: str, errors: int, before: Doc, after: Doc) -> None:
    found = [str(v) for v in validate_update(after, before, "EndpointSlice")]
    assert len(found) == errors, found


@pytest.mark.parametrize(("name", "error", "document"), ENDPOINTS, ids=[r[0] for r in ENDPOINTS])
def test_endpoints(name: str, error: str, document: Doc) -> None:
    found = [str(v) for v in validate(document, "Endpoints")]
    assert found[0].startswith(error) if error else not found, found


@pytest.mark.parametrize(("protocol", "errors"), [("https", 0), ("~https", 1)])
def test_endpoints_get_an_application_protocol(protocol: str, errors: int) -> None:
    found = validate_update(endpoints("10.1.2.3", ports_=port(appProtocol=protocol)), endpoints("10.1.2.3", ports_=port()), "Endpoints")
    assert len(found) == errors
