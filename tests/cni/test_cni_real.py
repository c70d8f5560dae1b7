"""The bridge and portmap plugins against the real programs, in network namespaces of their own."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubenet_lab.cni import PLUGINS, CniError, Flannel, PluginHost
from kubenet_lab.cni.contract import Call, netns_path
from kubenet_lab.cni.flannel import conflist, leases, subnet_env
from kubenet_lab.cni.flannel.plugin import delegate_config, read_subnet_env
from kubenet_lab.cni.rules import restore_text
from kubenet_lab.kernel.namespace import Namespace
from kubenet_lab.kernel.network import Network
from tests.cni.cni_lab import node

pytestmark = [pytest.mark.real, pytest.mark.kernel]
DRIVER = Path(__file__).parent / "cni_real_driver.py"
BIN = next((d for d in ("/usr/lib/cni", "/opt/cni/bin") if Path(d, "bridge").exists()), None)


def missing() -> str:
    if BIN is None:
        return "the CNI plugins are not installed (package containernetworking-plugins)"
    done = subprocess.run(["unshare", "-n", "-m", "sh", "-c", "mount -t tmpfs t /run && ip link && iptables-save"], capture_output=True)
    return "" if done.returncode == 0 else f"no network namespaces here: {done.stderr.decode().strip()}"


@pytest.fixture(scope="module")
def able() -> None:
    if why := missing():
        if os.environ.get("KUBENET_REQUIRE") == "all":
            pytest.fail(why)
        pytest.skip(why)


class Both:
    """Plans steps, doing each to the model at once; `compare` runs the plan for real and compares every step."""

    def __init__(self, pods: tuple[str, ...] = ("p1", "p2", "p3")):
        self.net = Network()
        self.net.add_host("n")
        for p in pods:
            self.net.add_namespace("n", p)
        self.host = PluginHost(self.net, "n", PLUGINS)
        self.pods, self.steps, self.expected = pods, [], []
        self.results: dict[tuple[str, str], Any] = {}

    def step(self, command: str, config: dict[str, Any], container: str, pod: str, ifname: str = "eth0") -> Any:
        given = {**config}
        if config["type"] != "bridge" or command == "CHECK":
            given["prevResult"] = self.results.get((container, ifname))
        call = Call(container, pod, ifname, given, self.host)
        plugin, answer = PLUGINS[config["type"]], None
        try:
            if command == "ADD":
                answer = plugin.add(call).to_dict(call.version)
                self.results[container, ifname] = answer
            else:
                (plugin.delete if command == "DEL" else plugin.check)(call)
        except CniError as e:
            answer = e.to_dict()
        restore = restore_text([s for s in self.host.rules if s.table == "nat"]) or "*nat\nCOMMIT\n"
        self.steps.append(
            {
                "command": command,
                "type": config["type"],
                "config": config,
                "container": container,
                "pod": pod,
                "ifname": ifname,
                "restore": restore,
            }
        )
        ns = self.net.namespaces[pod]
        self.expected.append({
            "answer": answer, "node_routes": routes(self.host.node), "pod_routes": routes(ns), "node_links": links(self.host.node),
            "pod_links": links(ns), "forward": str(int(self.host.node.forwards(4))),
        })  # fmt: skip
        return answer

    def compare(self, data: Path) -> None:
        plan = {"bin": BIN, "data": str(data), "pods": self.pods, "steps": self.steps}
        done = subprocess.run(["unshare", "-n", "-m", sys.executable, str(DRIVER)], input=json.dumps(plan), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == len(self.steps)
        for step, line, ours in zip(self.steps, lines, self.expected, strict=True):
            real = json.loads(line)
            what = f"{step['command']} {step['type']} {step['container']} {step['pod']} {json.dumps(step['config'])}"
            assert real.pop("ours_nat") == real.pop("nat"), what
            ours, real = plain(ours), plain(real)
            for key in real:
                assert (what, key, ours[key]) == (what, key, real[key])


def routes(ns: Namespace) -> list[str]:
    out = []
    for r in ns.routes:
        dst = "default" if r.default else r.dst
        out.append(" ".join([dst, r.via, r.dev, r.scope if r.scope != "global" and r.family == 4 else "", r.src]))
    return sorted(out)


def links(ns: Namespace) -> dict[str, dict[str, Any]]:
    return {
        k.name: {
            "mtu": k.mtu,
            "master": k.master,
            "addresses": [str(a) for a in k.addresses],
            "hairpin": k.port.hairpin,
            "promisc": k.promisc,
        }
        for k in ns.links.values()
        if k.name != "lo"
    }


LINKS = ("node_links", "pod_links")


def plain(observed: Any) -> Any:
    """Names and MACs that are drawn at random, made alike; the netns paths made the lab's."""
    named = {k: sorted(json.dumps([re.sub("^veth.*", "veth", n), v], sort_keys=True) for n, v in observed[k].items()) for k in LINKS}
    text = json.dumps({**observed, **named}, sort_keys=True)
    text = re.sub(r"veth[0-9a-f]{8}", "vethX", text)
    text = re.sub(r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b", "MAC", text)
    for p in ("p1", "p2", "p3"):
        text = text.replace(netns_path(p), f"/run/netns/{p}")
    return json.loads(text)


FLANNEL = delegate_config(
    {**conflist(Flannel())["plugins"][0], "name": "cbr0", "cniVersion": "0.4.0"},
    read_subnet_env(subnet_env(leases([node(1)], Flannel()), Flannel(), 1450)),
)


def portmap(*mappings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "portmap", "name": "cbr0", "cniVersion": "0.4.0", "runtimeConfig": {"portMappings": list(mappings)}, **more}


def test_a_flannel_pod_with_host_ports(able: None, tmp_path: Path) -> None:
    both = Both()
    one = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
    two = {"hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "192.0.2.7"}
    three = {"hostPort": 8081, "containerPort": 81, "protocol": "tcp", "hostIP": "::1"}
    assert both.step("ADD", FLANNEL, "c1", "p1")["ips"][0]["address"] == "10.244.1.2/24"
    both.step("ADD", portmap(one, two, three), "c1", "p1")
    both.step("ADD", FLANNEL, "c2", "p2")
    both.step("ADD", portmap({"hostPort": 9000, "containerPort": 90, "protocol": "tcp"}, snat=False), "c2", "p2")
    both.step("ADD", FLANNEL, "c2", "p2")  # refused: eth0 is there
    both.step("CHECK", FLANNEL, "c2", "p2")
    both.step("DEL", portmap(one, two, three), "c1", "p1")
    both.step("DEL", FLANNEL, "c1", "p1")
    both.step("DEL", FLANNEL, "c1", "p1")
    both.compare(tmp_path)


def test_many_ports_and_own_marks(able: None, tmp_path: Path) -> None:
    both = Both()
    many = [{"hostPort": 8000 + n, "containerPort": n + 1, "protocol": "tcp"} for n in range(17)]
    both.step("ADD", FLANNEL, "c1", "p1")
    both.step("ADD", portmap(*many, markMasqBit=5), "c1", "p1")
    both.step("ADD", FLANNEL, "c2", "p2")
    both.step("ADD", portmap(many[0], markMasqBit=5), "c2", "p2")
    both.compare(tmp_path)


def ipam(**more: Any) -> dict[str, Any]:
    return {"ipam": {"type": "host-local", **more}}


BAD: list[dict[str, Any]] = [
    {"hairpinMode": True, "promiscMode": True},
    {"vlan": 5000},
    {"bridge": "lo"},
    ipam(subnet="10.1.0.0/31"),
    ipam(),
    {"isGateway": True, "bridge": "other"},
    {"isGateway": True, **ipam(subnet="10.99.0.0/24")},
    ipam(subnet="10.1.0.0/24", routes=[{"dst": "10.8.0.0/16", "gw": "172.16.0.1"}]),
]


def test_refusals(able: None, tmp_path: Path) -> None:
    both = Both()
    base = {"cniVersion": "1.0.0", "name": "bad", "type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}
    both.step("ADD", {**base, "isGateway": True}, "c1", "p1")
    for n, more in enumerate(BAD):
        both.step("ADD", {**base, "name": f"bad{n}", **more}, "c2", "p2")
        both.step("DEL", {**base, "name": f"bad{n}", **more, "promiscMode": False, "vlan": 0}, "c2", "p2")
    assert sum("code" in (e["answer"] or {}) for e in both.expected) >= 7
    both.compare(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_random_histories(able: None, seed: int, tmp_path: Path) -> None:
    rng = random.Random(f"bridge {seed}")
    both = Both()
    networks = []
    for n in range(2):
        ranges = [[{"subnet": f"10.{n}.0.0/29"}]]
        if n == 0 and rng.random() < 0.4:  # two IPv6 default routes in one pod are not modelled
            ranges.append([{"subnet": f"fd0{n}::/64"}])
        routes = [{"dst": "10.200.0.0/16"}] if rng.random() < 0.5 else []
        config: dict[str, Any] = {
            "cniVersion": rng.choice(["0.4.0", "1.0.0"]), "name": f"net{n}", "type": "bridge", "bridge": f"br{n}",
            "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
        }  # fmt: skip
        config |= {k: True for k in ("isGateway", "isDefaultGateway", "ipMasq", "hairpinMode") if rng.random() < 0.5}
        config |= {"mtu": rng.choice([1400, 1450])} if rng.random() < 0.5 else {}
        networks.append(config)
    for _ in range(12):
        command = rng.choices(["ADD", "DEL", "CHECK"], [6, 3, 2])[0]
        pod = rng.choice(both.pods)
        n = rng.randrange(2)
        ifname = f"eth{n}"
        # without an address of its own a bridge has the lowest MAC of its ports, and those are drawn at random
        if command == "CHECK" and not networks[n].keys() & {"isGateway", "isDefaultGateway"}:
            continue
        if command == "CHECK" and both.results.get((f"c-{pod}", ifname), {}).get("cniVersion") != networks[n]["cniVersion"]:
            continue
        both.step(command, networks[n], f"c-{pod}", pod, ifname)
    both.compare(tmp_path)
