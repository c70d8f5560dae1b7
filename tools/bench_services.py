"""Many Services in a process of its own (`make bench`): what kube-proxy writes for a node, and what `outcomes` costs.

    python tools/bench_services.py SERVICES PODS MODE
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import kubenet_lab as kn
from kubenet_lab.services import NodeView, rules


def service(name: str, **selector: str) -> dict[str, Any]:
    spec = {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def pod(i: int) -> dict[str, Any]:
    spec = {"nodeName": f"worker-{1 + i % 8}", "containers": [{"name": "c", "image": "c", "ports": [{"containerPort": 8080}]}]}
    labels = {"app": f"a{i // 3}", "all": "x"}  # three pods each
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{i}", "namespace": "default", "labels": labels}, "spec": spec}


def best(cluster: kn.Cluster, target: str) -> tuple[float, int]:
    """(seconds of the quickest of five, how many ways)."""
    found, ways = [], len(cluster.outcomes("default/p0", target))
    for _ in range(5):
        start = time.perf_counter()
        kept = cluster.outcomes("default/p0", target)
        found.append(time.perf_counter() - start)
        del kept  # what it costs to throw an answer away is no part of asking
    return min(found), ways


def main() -> None:
    count, pods, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    documents = [pod(i) for i in range(pods)] + [service(f"s{n:04d}", app=f"a{n % (pods // 3)}") for n in range(count)]
    cluster = kn.load([*documents, service("wide", all="x")], nodes=8, cni="flannel", proxy=mode)
    start = time.perf_counter()
    rules(cluster.snapshot(), NodeView.of(cluster.nodes[0]), kn.KubeProxy(cluster_cidr="10.244.0.0/16"))
    written = time.perf_counter() - start
    found = {name: best(cluster, f"svc:default/{of}") for name, of in (("first", "s0000"), ("last", f"s{count - 1:04d}"), ("wide", "wide"))}
    print(json.dumps({"written": written, **found}))


if __name__ == "__main__":
    main()
