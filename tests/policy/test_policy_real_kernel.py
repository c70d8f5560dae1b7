"""kube-router's rules in real network namespaces: every pair of random clusters, by real TCP and UDP, against the decider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from random import Random

import pytest
from policy_worlds import NODES, OUTSIDE, ends_of, peer_of, random_cluster, snapshot_of

from kubenet_lab.policy import decide
from kubenet_lab.policy.kube_router import rules

WORLD = Path(__file__).with_name("kernel_world.py")


def run(world: dict) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XTABLES_LOCKFILE": "/dev/null", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    command = ["unshare", "-n", "-m", sys.executable, str(WORLD)]
    return subprocess.run(command, input=json.dumps(world), capture_output=True, text=True, env=env, check=False, timeout=240)


def name(end) -> str:
    return f"pod {end[1]}/{end[2]}" if end[0] == "pod" else f"node {end[1]}" if end[0] == "node" else f"outside {end[1]}"


def world_of(cluster, snapshot, probes) -> dict:
    nodes = {}
    for i, (node, address) in enumerate(NODES.items(), 1):
        compiled = rules(snapshot, node, [address])
        nodes[node] = {"ip": address, "cidr": f"10.244.{i}.0/24", "ipset": compiled.ipset_text, "iptables": compiled.iptables_text}
    pods = [{"key": f"{p['ns']}/{p['name']}", "ip": p["ip"], "node": p["node"]} for p in cluster["pods"]]
    return {"nodes": nodes, "pods": pods, "outside": list(OUTSIDE), "probes": probes}


@pytest.fixture(scope="module")
def kernel(require_tool, require_that):
    for tool in ("unshare", "ip", "ipset", "iptables-restore", "mount"):
        require_tool(tool)
    Path("/run/netns").mkdir(exist_ok=True)
    open_world = {
        "nodes": {},
        "pods": [],
        "outside": ["203.0.113.7"],
        "probes": [["outside 203.0.113.7", "outside 203.0.113.7", 80, "TCP"]],
    }
    done = run(open_world)
    require_that(done.returncode == 0, f"network namespaces ({done.stderr.strip()[-200:]})", "netns")


@pytest.mark.kernel
def test_the_kernel_does_what_the_decider_says(kernel, cases, seed):
    met: Counter[str] = Counter()
    for case in range(cases(3)):
        cluster = random_cluster(Random(f"{seed}/kernel/{case}"), special=False)
        snapshot = snapshot_of(cluster)
        ends = ends_of(cluster)
        asked = [
            (src, dst, port, protocol)
            for src, dst in product(ends, ends)
            for port, protocol in ((80, "TCP"), (81, "TCP"), (80, "UDP"))
            if "pod" in (src[0], dst[0])
        ]
        done = run(world_of(cluster, snapshot, [[name(s), name(d), port, protocol] for s, d, port, protocol in asked]))
        assert done.returncode == 0, done.stderr
        for (src, dst, port, protocol), arrived in zip(asked, json.loads(done.stdout), strict=True):
            got = decide(snapshot, peer_of(snapshot, src), peer_of(snapshot, dst), port, protocol, engine="kube-router")
            assert bool(got) is arrived, (case, src, dst, port, protocol, cluster["policies"], got.explain())
            met[f"{protocol} {'arrived' if arrived else 'stopped'}"] += 1
    print(f"seed {seed}:", dict(sorted(met.items())))
    assert all(met[f"{p} {v}"] > 20 for p in ("TCP", "UDP") for v in ("arrived", "stopped")), met
