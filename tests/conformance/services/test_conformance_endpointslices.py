"""The EndpointSlice controller against rows that restate its own tests."""

from __future__ import annotations

import pytest

from kubenet_lab.services import slices
from tests.conformance.services.service_tables import snapshot, table

CASES = table("endpointslices.yaml")
ZONES = {"node-1": "zone-a", "node-2": "zone-b"}


def ports_of(mapping, **more):
    found = []
    for name, text in (mapping or {}).items():
        number, _, protocol = str(text).partition("/")
        found.append({"name": name, "containerPort": int(number), "protocol": protocol or "TCP", **more})
    return found


def pod(row):
    ips = row.get("ips") or ([row["ip"]] if row["ip"] else [])
    metadata = {"name": row["name"], "namespace": "shop", "uid": f"uid-{row['name']}", "labels": row.get("labels", {"app": "web"})}
    if row.get("deleted"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    init = [
        {"name": "setup", "ports": ports_of(row.get("init"))},
        {"name": "s", "restartPolicy": "Always", "ports": ports_of(row.get("sidecar"))},
    ]
    spec = {
        "nodeName": row.get("node", "node-1"),
        "containers": [{"name": "c", "ports": ports_of(row.get("ports"))}],
        "initContainers": init,
    }
    spec |= {k: row[k] for k in ("hostname", "subdomain") if k in row}
    spec["hostNetwork"] = row.get("host_network", False)
    status = {"phase": row.get("phase", "Running"), "podIPs": [{"ip": ip} for ip in ips], "podIP": ips[0] if ips else ""}
    status["conditions"] = [{"type": "Ready", "status": "True" if row.get("ready", True) else "False"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def objects(case):
    spec = {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.20",
        "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    }
    spec |= {"selector": case.get("selector", {"app": "web"}) or {}, **case.get("spec", {})}
    metadata = {"name": "web", "namespace": "shop", "uid": "uid-web", "labels": case.get("labels", {})}
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": n, "labels": {"topology.kubernetes.io/zone": z}}}
        for n, z in ZONES.items()
    ]
    return [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, *map(pod, case["pods"]), *nodes]


@pytest.mark.parametrize("case", CASES, ids=[c["source"] for c in CASES])
def test_slices(case):
    documents = objects(case)
    changes = slices(snapshot(documents))
    assert changes.delete == () and changes.notes == ()
    assert len(changes.write) == len(case["slices"])
    for found, expected in zip(changes.write, case["slices"], strict=True):
        assert found["addressType"] == expected.get("type", found["addressType"])
        names = {p["name"]: f"{p['port']}/{p['protocol']}" for p in found["ports"]}
        assert names == {n: t if "/" in str(t) else f"{t}/TCP" for n, t in expected["ports"].items()}
        assert {p.get("appProtocol") for p in found["ports"]} <= {expected.get("app_protocol")}
        for key, value in expected.get("labels", {}).items():
            assert found["metadata"]["labels"].get(key) == value
        assert [e["targetRef"]["name"] for e in found["endpoints"]] == [row[0] for row in expected["endpoints"]]
        for endpoint, row in zip(found["endpoints"], expected["endpoints"], strict=True):
            name, ready, serving, terminating, *more = row
            assert endpoint["conditions"] == {"ready": ready, "serving": serving, "terminating": terminating}
            assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "shop", "name": name, "uid": f"uid-{name}"}
            for key, value in more[0].items() if more else ():
                assert endpoint.get(key) == value


@pytest.mark.parametrize("case", CASES, ids=[c["source"] for c in CASES])
def test_a_second_run_changes_nothing(case):
    documents = objects(case)
    first = slices(snapshot(documents))
    again = slices(snapshot([*documents, *first.write]))
    assert (again.write, again.delete) == ((), ())
