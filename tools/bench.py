"""Measure the benchmark cases and print a table (`make bench`).

Each case has a goal, where the design names one; nothing in the test suite asserts a time. Read the numbers as
upper bounds on a machine that does other things too: the best of a few runs is shown.

    python tools/bench.py [--quick] [CASE ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dumps import dump

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Row:
    case: str
    value: str
    goal: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        mark = "" if self.met is None else "  ok" if self.met else "  NOT MET"
        return f"{self.case:<52} {self.value:>16}   {self.goal:<28}{mark}".rstrip()


def best(action: Callable[[], Any], times: int = 3) -> float:
    """Seconds of the quickest of a few runs."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return min(found)


def process(code: str, *argv: str) -> dict[str, Any]:
    """Run code in a new process; its last line is JSON."""
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def import_time(quick: bool) -> Iterator[Row]:
    code = "import time, json; t = time.perf_counter(); import {0}; print(json.dumps({{'s': time.perf_counter() - t}}))"
    times = 3 if quick else 7
    ours = min(process(code.format("kubenet_lab"))["s"] for _ in range(times))
    pandas = min(process(code.format("pandas"))["s"] for _ in range(times))
    yield Row("import kubenet_lab", f"{ours * 1000:.0f} ms", f"< half of pandas ({pandas * 500:.0f} ms)", ours < pandas / 2)


def first_answer(quick: bool) -> Iterator[Row]:
    code = (
        "import time, json; t = time.perf_counter(); import kubenet_lab as kn; a = time.perf_counter() - t\n"
        "c = kn.example('bookshop'); b = time.perf_counter() - t\n"
        "c.connect('shop/web', 'svc:shop/cart', port=8080).hops; d = time.perf_counter() - t\n"
        "print(json.dumps({'load': b - a, 'first': d - b, 'all': d}))"
    )
    runs = [process(code) for _ in range(2 if quick else 5)]
    for key, label in (("load", "load the bookshop"), ("first", "first connect and its hops"), ("all", "import to first trace")):
        value = min(run[key] for run in runs)
        yield Row(label, f"{value * 1000:.0f} ms", "< 3 s" if key == "all" else "", value < 3 if key == "all" else None)


def many_services(count: int) -> list[dict[str, Any]]:
    """Manifests of a two-node cluster with `count` Services, one endpoint each on the other node: `count` rules to pass."""
    labels = {"app": "server"}
    port = {"containerPort": 8080}
    documents: list[dict[str, Any]] = []
    for name, node, app in (("client", "worker-1", {"app": "client"}), ("server", "worker-2", labels)):
        documents.append(
            {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": app},
                "spec": {"nodeName": node, "containers": [{"name": "c", "image": "c", "ports": [port]}]},
            }
        )  # fmt: skip
    for n in range(count):
        documents.append(
            {
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": f"svc-{n:04d}", "namespace": "default"},
                "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
            }
        )  # fmt: skip
    return documents


def proxy_modes(quick: bool) -> Iterator[Row]:
    """2,000 Services of three endpoints: one node's rules in both modes, and what the last Service costs beside the first."""
    import kubenet_lab as kn

    count = 500 if quick else 2000
    documents = many_services(count)
    for n in (3, 4):
        copy = json.loads(json.dumps(documents[1]))
        copy["metadata"]["name"] = f"server-{n}"
        documents.append(copy)
    for mode in ("iptables", "nftables"):
        cluster = kn.load(documents, cni="flannel", proxy=mode)
        node = cluster.node("worker-1")
        written = best(lambda node=node, mode=mode: node.iptables_written() if mode == "iptables" else node.nft_written(), 2)  # type: ignore[misc]
        yield Row(f"{mode}: rules of {count} Services x 3, one node", f"{written:.2f} s", "< 2 s", written < 2)

        def ask(which: int, cluster: Any = cluster) -> Callable[[], Any]:
            return lambda: [cluster.connect("default/client", f"svc:default/svc-{which:04d}", port=80) for _ in range(20)]

        ask(0)(), ask(count - 1)()
        first, last = best(ask(0), 5), best(ask(count - 1), 5)
        goal = ("< 2 times the first", last < 2 * first) if mode == "nftables" else ("", None)
        yield Row(f"{mode}: connect to the last Service, by the first", f"{last / first:.2f} times", *goal)


def walks(quick: bool) -> Iterator[Row]:
    import kubenet_lab as kn

    cluster = kn.load(many_services(300), cni="flannel", policy="kube-router")
    count = 300 if quick else 1500
    for label, target, goal in (
        ("connect over vxlan to a Service, past 300 rules", "svc:default/svc-0299", 700),
        ("connect over vxlan to a pod", "default/server", None),
    ):
        port = 80 if target.startswith("svc:") else 8080
        assert cluster.connect("default/client", target, port=port)

        def run(target: str = target, port: int = port) -> None:
            for _ in range(count):
                cluster.connect("default/client", target, port=port)

        rate = count / best(run, 2)
        yield Row(label, f"{rate:,.0f} /s", f">= {goal} /s" if goal else "", rate >= goal if goal else None)

        if goal:
            ways = _one_way_walks(cluster)
            yield Row(f"  one-way walks in it ({ways} each, closing included)", f"{rate * ways:,.0f} /s", ">= 4000 /s", rate * ways >= 4000)


def _one_way_walks(cluster: Any) -> int:
    """How many packets crossed the wire between the nodes for the last connect, until both ends were closed."""
    assert not cluster.state.later
    wires = [where for _, where, *_ in cluster.capture if where in ("worker-1/eth0", "worker-2/eth0")]
    return len(wires) // 2


BIG = """
import json, sys, time, resource
t = time.perf_counter()
import kubenet_lab as kn
c = kn.load(sys.argv[1], cni="flannel")
loaded = time.perf_counter() - t
t = time.perf_counter()
trace = c.connect("pod/" + c.objects("Pod")[-1].key, "svc:ns-0/svc-000", port=80)
first = time.perf_counter() - t
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"loaded": loaded, "first": first, "mb": peak, "verdict": trace.verdict}))
"""


def big_dump(quick: bool) -> Iterator[Row]:
    shape = (20, 600, 100) if quick else (100, 3000, 500)
    text = json.dumps(dump(*shape))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dump.json"
        file.write_text(text, encoding="utf-8")
        found = process(BIG, str(file))
    label = f"{shape[0]} nodes, {shape[1]} pods, {shape[2]} Services"
    yield Row(f"load {label} ({len(text) / 1e6:.1f} MB)", f"{found['loaded']:.1f} s", "< 10 s", found["loaded"] < 10)
    yield Row("  peak memory of that process", f"{found['mb']:.0f} MB", "< 400 MB", found["mb"] < 400)
    yield Row(f"  first connect in it ({found['verdict']})", f"{found['first']:.2f} s")


SETUP = """
import json, sys, time
import kubenet_lab as kn
nodes, pods, cni = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
port = {"containerPort": 8080}
documents = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{n}-{p}", "namespace": "default"},
     "spec": {"nodeName": f"worker-{n}", "containers": [{"name": "c", "image": "c", "ports": [port]}]}}
    for n in range(1, nodes + 1) for p in range(pods)
]
network = {"flannel": "flannel", "host-gw": kn.Flannel(backend="host-gw"), "calico": "calico", "macvlan": "macvlan"}[cni]
def setup():
    start = time.perf_counter()
    cluster = kn.load(documents, nodes=nodes, cni=network, node_cidr="192.168.0.0/16")
    cluster.network()
    for node in cluster.nodes:
        cluster.node(node.name).routes()
    assert cluster.connect("default/pod-1-0", f"default/pod-{nodes}-1", port=8080)
    return time.perf_counter() - start
print(json.dumps({"s": min(setup() for _ in range(1 if nodes > 10 else 3))}))
"""


def setup(quick: bool) -> Iterator[Row]:
    """From manifests to programmed nodes and the first packet across: load, ADD for every pod, agents, routes of all nodes."""
    for nodes, pods, goal in ((3, 10, 0.2), (20, 30, 10.0) if quick else (100, 30, 10.0)):
        for cni in ("flannel", "host-gw", "calico", "macvlan"):
            seconds = process(SETUP, str(nodes), str(pods), cni)["s"]
            yield Row(f"set up {nodes} nodes x {pods} pods, {cni}", f"{seconds:.2f} s", f"< {goal:g} s", seconds < goal)


def many_policies(nodes: int, pods: int, policies: int) -> dict[str, Any]:
    """A dump with policies that each admit all namespaces on a port: on every node, sets of every pod for every policy."""
    found = dump(nodes, pods, policies)
    everyone: dict[str, Any] = {"namespaceSelector": {}}
    port = {"port": 8080, "protocol": "TCP"}
    for n in range(policies):
        found["items"].append(
            {
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": f"policy-{n}", "namespace": f"ns-{n % 20}"},
                "spec": {
                    "podSelector": {"matchLabels": {"app": f"app-{n:03d}"}}, "policyTypes": ["Ingress", "Egress"],
                    "ingress": [{"from": [everyone], "ports": [port]}], "egress": [{"to": [everyone], "ports": [port]}],
                },
            }
        )  # fmt: skip
    return found


POLICIES = """
import json, sys, time, resource
import kubenet_lab as kn
c = kn.load(sys.argv[1], cni="flannel", policy="kube-router")
pods = sorted(c.objects("Pod"), key=lambda p: p.spec.node_name)
half = len(pods) // 2
times = []
for a, b in ((0, 1), (0, 2), (half, half + 1)):
    t = time.perf_counter()
    c.connect("pod/" + pods[a].key, "pod/" + pods[b].key, port=8080)
    times.append(time.perf_counter() - t)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"first": times[0], "again": times[1], "node": times[2], "mb": peak}))
"""


def policies(quick: bool) -> Iterator[Row]:
    shape = (20, 600, 100) if quick else (100, 3000, 100)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dump.json"
        file.write_text(json.dumps(many_policies(*shape)), encoding="utf-8")
        found = process(POLICIES, str(file))
    yield Row(f"kube-router, {shape[1]} pods, {shape[2]} policies: first packet", f"{found['first']:.1f} s")
    yield Row("  first packet on one more node", f"{found['node'] * 1000:.0f} ms")
    yield Row("  the next one there", f"{found['again'] * 1000:.1f} ms")
    yield Row("  peak memory of that process", f"{found['mb']:.0f} MB", "< 400 MB", found["mb"] < 400)


def services(quick: bool) -> Iterator[Row]:
    code = (ROOT / "tools" / "bench_services.py").read_text(encoding="utf-8")
    count = 300 if quick else 2000
    for mode in ("iptables", "nftables"):
        found = process(code, str(count), "60", mode)
        if mode == "iptables":
            yield Row(f"kube-proxy's rules of a node, {count} Services x 3", f"{found['written']:.2f} s", "< 2 s", found["written"] < 2)
        for which in ("first", "last"):
            seconds, ways = found[which]
            yield Row(f"{mode}: outcomes of the {which} ({ways} ways)", f"{seconds * 1000:.1f} ms", "< 5 ms", seconds < 0.005)
        seconds, ways = process(code, "1", "210" if quick else "999", mode)["wide"]
        yield Row(f"{mode}: outcomes of {ways} endpoints", f"{seconds * 1000:.0f} ms", "< 500 ms", seconds < 0.5)


ALL_NODES = """
import json, sys, time, resource
import kubenet_lab as kn
c = kn.load(sys.argv[1], cni="flannel", proxy=sys.argv[2])
clients = {p.spec.node_name: p.key for p in c.objects("Pod")}
service = max(s.key for s in c.objects("Service"))
t = time.perf_counter()
assert all(c.connect(f"pod/{client}", f"svc:{service}", port=80) for client in clients.values())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"s": time.perf_counter() - t, "mb": peak}))
"""


def all_nodes(quick: bool) -> Iterator[Row]:
    """A client on every node connects, so every node's rules are there."""
    nodes, pods, count = (10, 300, 200) if quick else (100, 3000, 2000)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dump.json"
        file.write_text(json.dumps(dump(nodes, pods, count, pods // 3)), encoding="utf-8")
        for mode in ("iptables", "nftables"):
            found = process(ALL_NODES, str(file), mode)
            yield Row(f"{mode}: rules of all {nodes} nodes, {count} Services x 3", f"{found['s']:.0f} s")
            yield Row("  peak memory of that process", f"{found['mb']:.0f} MB", "< 1024 MB", found["mb"] < 1024)


CASES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "import": import_time, "first": first_answer, "walks": walks, "services": services, "nodes": all_nodes, "proxy": proxy_modes,
    "big": big_dump,
    "setup": setup, "policies": policies,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer")
    args = parser.parse_args()
    for name in args.cases or CASES:
        for row in CASES[name](args.quick):
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
