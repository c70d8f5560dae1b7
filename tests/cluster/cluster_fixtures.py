"""Small manifests, and what of a cluster is compared."""

from __future__ import annotations

import hashlib
from typing import Any

from kubenet_lab import Cluster

Doc = dict[str, Any]


def pod(key: str, node: str = "", labels: dict[str, str] | None = None, ports: tuple[tuple[str, int, str], ...] = (), **spec: Any) -> Doc:
    """A pod with one container; `ports` are (name, number, protocol)."""
    namespace, _, name = key.rpartition("/")
    container: Doc = {"name": "c", "image": "example/c:1"}
    if ports:
        container["ports"] = [{"name": n, "containerPort": p, "protocol": q} for n, p, q in ports]
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace or "default", "labels": labels or {}},
        "spec": {**({"nodeName": node} if node else {}), "containers": [container], **spec},
    }  # fmt: skip


def service(key: str, selector: dict[str, str] | None = None, *ports: Doc, **spec: Any) -> Doc:
    """A Service; without `ports` it has one, 80 to 8080/TCP."""
    namespace, _, name = key.rpartition("/")
    body: Doc = {"ports": list(ports) or [{"port": 80, "targetPort": 8080}], **spec}
    if selector is not None:
        body["selector"] = selector
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace or "default"}, "spec": body}


def deployment(key: str, replicas: int = 2, port: int = 8080, **spec: Any) -> Doc:
    """A Deployment whose pods carry app=NAME and listen on one TCP port called http."""
    namespace, _, name = key.rpartition("/")
    container = {"name": "c", "image": "example/c:1", "ports": [{"name": "http", "containerPort": port}]}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace or "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], **spec}},
        },
    }  # fmt: skip


def node(name: str, address: str, cidr: str = "", **more: Any) -> Doc:
    spec = {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {}
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, **more},
        "spec": spec,
        "status": {"addresses": addresses},
    }


def namespace(name: str, **labels: str) -> Doc:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


#: a client on worker-1, a server on each node behind one Service
SMALL: list[Doc] = [
    pod("client", "worker-1", {"app": "client"}),
    pod("near", "worker-1", {"app": "server"}, (("http", 8080, "TCP"), ("echo", 9000, "UDP"))),
    pod("far", "worker-2", {"app": "server"}, (("http", 8080, "TCP"), ("echo", 9000, "UDP"))),
    service("server", {"app": "server"}, {"name": "http", "port": 80, "targetPort": 8080},
     {"name": "echo", "port": 9, "targetPort": 9000, "protocol": "UDP"}),
]  # fmt: skip


def observed(doc: Doc) -> Doc:
    """The document as a dump shows it: accepted by an API server."""
    meta = doc["metadata"]
    what = f"{doc['kind']}/{meta.get('namespace', '')}/{meta['name']}"
    uid = hashlib.md5(what.encode(), usedforsecurity=False).hexdigest()
    return {**doc, "metadata": {**meta, "uid": uid, "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}}


def running(doc: Doc, ip: str, host_ip: str) -> Doc:
    """A pod's document as a dump shows it while it runs and is ready."""
    status = {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": host_ip,
        "conditions": [{"type": "Ready", "status": "True"}],
    }  # fmt: skip
    return {**observed(doc), "status": status}


def programmed(cluster: Cluster) -> dict[str, list[str]]:
    """Everything that is programmed, by namespace, as the tools print it; order of rules and entries included."""
    out = {}
    for id, ns in cluster.network().namespaces.items():
        if id.startswith("external:"):
            continue  # machines outside are there as soon as somebody names them
        rows = [repr(link) for link in ns.links.values()] + [str(r) for r in ns.routes if id != "gateway"]
        rows += [str(n) for n in ns.neighbours.values()] + [str(e) for e in ns.fdb]
        rows += [f"{k.protocol} {k.address}:{k.port} {k.owner}" for k in ns.listeners] + [f"{k}={v}" for k, v in sorted(ns.sysctls.items())]
        for fam in (4, 6):
            rows += ns.ruleset(fam).save().splitlines()
        out[id] = [row for row in rows if not row.startswith("#")]
    return out


#: every door that a Service of the bookshop can have, as YAML
FRONT = """\
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  externalIPs: [198.51.100.9]
  loadBalancerSourceRanges: [203.0.113.0/24]
  selector: {app.kubernetes.io/name: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: alt, port: 81, targetPort: http}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}}
"""


def dynamic(cluster: Cluster) -> tuple[Any, ...]:
    """The whole dynamic state, comparable."""
    state = cluster.state
    return state.clock, state.serial, {key: dict(state.read(*key)) for key in sorted(state.keys())}


def everything(cluster: Cluster) -> tuple[Any, ...]:
    """All three kinds of state, and what is known of them."""
    return (
        cluster.to_yaml(), programmed(cluster), dynamic(cluster), cluster.assumptions, cluster.findings, cluster.ignored,
        cluster.edits, cluster.plan, cluster.topology(),
    )  # fmt: skip
