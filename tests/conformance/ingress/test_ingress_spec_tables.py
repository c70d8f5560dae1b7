"""Ingress v1 case by case, from the API's text and the conformance features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubenet_lab.ingress import route
from kubenet_lab.ingress.matching import match_host, request_host
from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS, Object

HERE = Path(__file__).parent
PATHS = yaml.safe_load((HERE / "paths.yaml").read_text())
HOSTS = yaml.safe_load((HERE / "hosts.yaml").read_text())
SCENARIOS = yaml.safe_load((HERE / "scenarios.yaml").read_text())


def view(doc: dict[str, Any]) -> Object:
    return msgspec.convert(doc, KINDS[doc["kind"]][0])


def service(name: str, port: int | str, spec: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    spec = spec or {}
    ports = spec.get("ports") or [{"name": port, "port": 80} if isinstance(port, str) else {"port": port}]
    addresses = spec.get("endpoints", [f"10.244.0.{sum(map(ord, name)) % 200 + 2}"])
    return [
        {"kind": "Service", "metadata": {"name": name, "namespace": "ns"}, "spec": {"ports": ports}},
        {
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-x", "namespace": "ns", "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": [a]} for a in addresses],
            "ports": [{"name": p.get("name", ""), "port": 8080} for p in ports],
        },
    ]


def backend(name: str, port: int | str) -> dict[str, Any]:
    return {"service": {"name": name, "port": {"name": port} if isinstance(port, str) else {"number": port}}}


def when(n: int | None) -> dict[str, str]:
    return {"creationTimestamp": f"2025-01-01T00:00:{n:02}Z"} if n is not None else {}


def snapshot(group: dict[str, Any]) -> Snapshot:
    docs: dict[tuple[str, str], dict[str, Any]] = {}
    given = group.get("services", {})

    def need(name: str, port: int | str) -> None:
        if name in given and given[name] is None:
            return
        for d in service(name, port, given.get(name)):
            docs.setdefault((d["kind"], d["metadata"]["name"]), d)

    for c in group.get("classes", []):
        annotations = {"ingressclass.kubernetes.io/is-default-class": "true"} if c.get("default") else {}
        meta = {"name": c["name"], "annotations": annotations, **when(c.get("age"))}
        docs["IngressClass", c["name"]] = {"kind": "IngressClass", "metadata": meta, "spec": {"controller": c["controller"]}}
    for i in group["ingresses"]:
        rules = []
        for r in i.get("rules", []):
            paths = []
            for what, name, port in r["paths"]:
                kind, path = what.split(" ", 1)
                need(name, port)
                paths.append({"path": path, "pathType": kind, "backend": backend(name, port)})
            rules.append({"host": r["host"], "http": {"paths": paths}})
        spec: dict[str, Any] = {"rules": rules, "tls": i.get("tls", [])}
        if "default" in i:
            need(*i["default"])
            spec["defaultBackend"] = backend(*i["default"])
        if "class" in i:
            spec["ingressClassName"] = i["class"]
        annotations = {"kubernetes.io/ingress.class": i["annotation"]} if "annotation" in i else {}
        meta = {"name": i["name"], "namespace": "ns", "annotations": annotations, **when(i.get("age"))}
        docs["Ingress", i["name"]] = {"kind": "Ingress", "metadata": meta, "spec": spec}
    for name in ("conformance-tls", "wild-tls", "a-tls"):
        meta = {"name": name, "namespace": "ns"}
        docs["Secret", name] = {"kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls", "keys": ["tls.crt", "tls.key"]}
    docs["Secret", "opaque"] = {"kind": "Secret", "metadata": {"name": "opaque", "namespace": "ns"}, "keys": ["tls.crt"]}
    return Snapshot(map(view, docs.values()))


@pytest.mark.parametrize("case", PATHS["cases"], ids=lambda c: f"{'+'.join(c['paths'])}~{c['request']}")
def test_paths(case: dict[str, Any]) -> None:
    assert case["source"] in PATHS["sources"]
    rows = [[p, f"s{n}", 80] for n, p in enumerate(case["paths"])]
    decision = route(snapshot({"ingresses": [{"name": "i", "rules": [{"host": "h", "paths": rows}]}]}), f"http://h{case['request']}")
    assert (f"{decision.path_type} {decision.matched_path}" if decision.service else None) == case["want"]
    # every other path is accounted for
    assert len(decision.candidates) == len(rows) - bool(case["want"])


@pytest.mark.parametrize("case", HOSTS["cases"], ids=lambda c: f"{c['host'] or 'any'}~{c['header']}")
def test_hosts(case: dict[str, Any]) -> None:
    assert case["source"] in HOSTS["sources"]
    assert match_host(case["host"], request_host(case["header"])) == case["want"]


@pytest.mark.parametrize(
    ("group", "case"),
    [(g, c) for g in SCENARIOS["groups"] for c in g["cases"]],
    ids=lambda x: x["ingresses"][0]["name"] if "ingresses" in x else f"{x.get('method', 'GET')} {x['url']}",
)
def test_scenarios(group: dict[str, Any], case: dict[str, Any]) -> None:
    assert group["source"] in SCENARIOS["sources"]
    d = route(
        snapshot(group), case["url"], case.get("method", "GET"), case.get("headers"), None, case.get("sni"), ingress_class=case.get("only")
    )
    assert (d.service or None) == case["want"], d.explain()
    assert d.status == case.get("status", 200 if case["want"] else 404)
    assert bool(d) == (d.status == 200)
    if "default" in case:
        assert d.default_backend == case["default"]
    if "class" in case:
        assert d.ingress_class == case["class"]
    if "secret" in case:
        assert d.tls is not None and d.tls.secret == case["secret"]
    if "reason" in case:
        assert case["reason"] in [r.code for r in d.reasons]
    if "undefined" in case:
        assert d.undefined == case["undefined"]
    text = d.explain()
    assert all(r.sentence in text and r.evidence is not None for r in d.reasons)


def test_enough_cases() -> None:
    assert len(PATHS["cases"]) + len(HOSTS["cases"]) + sum(len(g["cases"]) for g in SCENARIOS["groups"]) >= 100
