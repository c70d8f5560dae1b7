"""A history of CNI operations, done to the model and, by the driver, to the real plugins; and both observations made comparable.

Names of veth ends and MAC addresses are drawn at random by the real plugins. Each is replaced by what it is: "veth(p1/eth0)".
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubenet_lab.cni import PLUGINS, CniRuntime, Operation
from kubenet_lab.cni.live import LiveHost
from kubenet_lab.kernel.namespace import Namespace
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.shell.sysctl import known_to, value_in
from kubenet_lab.kernel.state import State

DRIVER = Path(__file__).parent / "cni_chains_driver.py"
BIN = next((d for d in ("/usr/lib/cni", "/opt/cni/bin") if Path(d, "bridge").exists()), None)
PODS = ("p1", "p2", "p3")
NO_MAC = "00:00:00:00:00:00"
#: the version that the model speaks and release 1.1.1 does not, in a list inside a JSON text
NEWER = ' \\"1.1.0\\"]'
_MAC = re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b")
_BUILT_IN = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING", "FORWARD")


def missing() -> str:
    """Why the real plugins cannot be asked here; "" if they can."""
    if BIN is None:
        return "the CNI plugins (package containernetworking-plugins)"
    done = subprocess.run(["unshare", "-n", "-m", "sh", "-c", "mount -t tmpfs t /run && ip link && iptables-save"], capture_output=True)
    return "" if done.returncode == 0 else f"network namespaces: {done.stderr.decode().strip()}"


class History:
    """Operations on one node, done to the model at once. `real()` does them for real."""

    def __init__(self, pods: Sequence[str] = PODS, before: Sequence[str] = (), sysctls: Sequence[str] = ()):
        self.network = Network()
        self.network.add_host("node")
        self.cni = CniRuntime(LiveHost(self.network, "node", PLUGINS))
        self.pods, self.before = tuple(pods), list(before)
        self.sysctls = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", *sysctls]
        for p in pods:
            self.cni.sandbox(p)
        for line in before:
            Shell(self.network, State(), "node").run(line)
        self.explained: Counter[str] = Counter()
        self.steps: list[dict[str, Any]] = []
        self.ours: list[dict[str, Any]] = []

    def run(self, line: str, pod: str | None = None) -> None:
        """A command line on the node or in a pod."""
        Shell(self.network, State(), f"pod:{pod}" if pod else "node").run(line)
        self._note({"command": "RUN", "line": line, "pod": pod}, [])

    def add(self, conflist: dict[str, Any], pod: str, ifname: str = "eth0", args: str = "", **capabilities: Any) -> Operation:
        done = self.cni.add(pod, conflist, ifname=ifname, args=args, capabilities=capabilities)
        return self._operation("ADD", conflist, pod, ifname, args, capabilities, done)

    def delete(self, conflist: dict[str, Any], pod: str, ifname: str = "eth0", args: str = "", **capabilities: Any) -> Operation:
        done = self.cni.delete(pod, conflist, ifname=ifname, args=args, capabilities=capabilities or None)
        return self._operation("DEL", conflist, pod, ifname, args, capabilities, done)

    def check(self, conflist: dict[str, Any], pod: str, ifname: str = "eth0", args: str = "", **capabilities: Any) -> Operation:
        done = self.cni.check(pod, conflist, ifname=ifname)
        return self._operation("CHECK", conflist, pod, ifname, args, capabilities, done)

    def _operation(
        self, command: str, conflist: dict[str, Any], pod: str, ifname: str, args: str, capabilities: dict[str, Any], done: Operation
    ) -> Operation:
        step = {"command": command, "conflist": conflist, "pod": pod, "container": pod, "ifname": ifname, "args": args}
        answers = [c.error.to_dict() if c.error is not None else dict(c.stdout) if c.stdout is not None else None for c in done.calls]
        self._note({**step, "capabilities": capabilities}, answers)
        return done

    def _note(self, step: dict[str, Any], answers: list[Any]) -> None:
        nodes = {"node": self.network.namespaces["node"], **{p: self.network.namespaces[f"pod:{p}"] for p in self.pods}}
        seen = {where: self._seen(ns) for where, ns in nodes.items()}
        kept = {p: t for p, t in self.cni.files.items() if not p.startswith(("/var/lib/cni/results", "/etc"))}
        self.steps.append(step)
        self.ours.append({"answers": answers, "seen": seen, "files": kept})

    def _seen(self, ns: Namespace) -> dict[str, Any]:
        return {
            "links": [_link(self.network, ns, k.name) for k in ns.links.values()], "routes": [_route(r) for r in ns.routes],
            "rules": [f"{tool}: {line}" for tool, fam in (("iptables-save", 4), ("ip6tables-save", 6))
                      for line in ns.ruleset(fam).save().splitlines() if line[:1] in "*:-"],
            "frames": ns.nft.ruleset(family="bridge"),
            "sysctls": {k: str(value_in(ns, k)) for k in self.sysctls if known_to(ns, k)},
        }  # fmt: skip

    def real(self) -> list[dict[str, Any]]:
        plan = {"bin": BIN, "pods": self.pods, "before": self.before, "sysctls": self.sysctls, "steps": self.steps}
        done = subprocess.run(["unshare", "-n", "-m", sys.executable, str(DRIVER)], input=json.dumps(plan), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == len(self.steps)
        return lines

    def differences(self) -> list[str]:
        """Where the real plugins did something else, in words; empty if nowhere."""
        given = set(_MAC.findall(json.dumps([self.steps, self.before]).lower()))
        out = []
        left, right = Roles(given), Roles(given)
        everything = self.real()
        # a kernel without CONFIG_BRIDGE_VLAN_FILTERING lists no VLANs, not even the default one
        filters = any(k["vlans"] for real in everything for k in real["seen"]["node"]["links"])
        for n, (step, ours, real) in enumerate(zip(self.steps, self.ours, everything, strict=True)):
            a, b = left.plain(ours, filters), right.plain(real, filters)
            if self.explain(step, a, b):
                break
            for key in sorted({*a, *b}):
                if a.get(key) != b.get(key):
                    what = "\n    ".join(unlike(a.get(key), b.get(key)))
                    out.append(f"step {n} {json.dumps(step)}\n  {key}\n    {what}")
        return out

    def explain(self, step: dict[str, Any], ours: dict[str, Any], real: dict[str, Any]) -> bool:
        """Differences that have a reason, made equal and counted. Gives True where the two go apart from here on.

        All are faults of release 1.1.1 that later ones do not have: the bridge plugin drops the DNS settings of its IPAM plugin
        (plugins/main/bridge/bridge.go, "Use incoming DNS settings if provided"), the portmap plugin looks for the rules of
        each family in the tables of both (plugins/meta/portmap, "check is called for each address"), and DEL of the macvlan plugin
        wants the master and an MTU that fits, as ADD does (plugins/main/macvlan/macvlan.go, cmdDel).
        """
        for n, (a, b) in enumerate(zip(ours["answers"], real["answers"], strict=False)):
            if step["command"] == "ADD" and isinstance(a, dict) and isinstance(b, dict) and a.get("dns") and b.get("dns") == {}:
                self.explained["bridge drops the DNS settings of the IPAM plugin"] += 1
                a["dns"] = {}
            wrong = isinstance(b, dict) and str(b.get("msg", "")).startswith(("could not check ipv6 dnat", "could not check ipv4 dnat"))
            if step["command"] == "CHECK" and a is None and wrong:
                self.explained["portmap checks each family in both"] += 1
                # what stands behind it in the chain was not asked
                real["answers"] = [*real["answers"][:n], *ours["answers"][n:]]
            if step["command"] == "DEL" and step["conflist"]["plugins"][0]["type"] == "macvlan" and isinstance(b, dict):
                said = str(b.get("msg", ""))
                b["msg"] = said.replace("load netconf:", "load netConf:")
                if said.startswith(("Link not found", "no default route interface found", "invalid MTU")):
                    self.explained["DEL of macvlan wants the master"] += 1
                    return True
        return False


def unlike(ours: Any, real: Any, where: str = "") -> list[str]:
    """The places where two JSON values differ."""
    if ours == real:
        return []
    if isinstance(ours, dict) and isinstance(real, dict):
        return [line for k in sorted({*ours, *real}) for line in unlike(ours.get(k), real.get(k), f"{where}.{k}")]
    if isinstance(ours, list) and isinstance(real, list) and len(ours) == len(real):
        return [line for i, (a, b) in enumerate(zip(ours, real, strict=True)) for line in unlike(a, b, f"{where}[{i}]")]
    if isinstance(ours, list) and isinstance(real, list):
        ours, real = [x for x in ours if x not in real], [x for x in real if x not in ours]
    return [f"{where}: ours {json.dumps(ours)} real {json.dumps(real)}"]


def _link(net: Network, ns: Namespace, name: str) -> dict[str, Any]:
    k = ns.links[name]
    kind = {"loopback": "", "physical": ""}.get(k.kind, k.kind)
    return {
        "name": k.name, "peer": k.peer, "mac": k.mac, "mtu": k.mtu, "up": k.up, "promisc": k.promisc, "allmulti": k.allmulti,
        "master": k.master, "hairpin": k.port.hairpin, "isolated": k.port.isolated, "kind": kind,
        "vlan_filtering": bool(getattr(k.bridge, "vlan_filtering", False)), "vlans": vlans_of(ns, name),
        "mode": k.macvlan.mode if k.macvlan else "", "lower": k.macvlan.lower[1] if k.macvlan else "",
        "addresses": [str(a) for fam in (4, 6) for a in k.addresses if a.family == fam],
    }  # fmt: skip


def vlans_of(ns: Namespace, name: str) -> list[Any]:
    """As `bridge vlan` lists them: [first, last, flags]."""
    k = ns.links[name]
    if not k.master and k.kind != "bridge":
        return []
    return [[1, 1, ["Egress Untagged", "PVID"]]]


def _route(r: Any) -> dict[str, Any]:
    bits = 32 if r.family == 4 else 128
    dst = "default" if r.default else r.dst.removesuffix(f"/{bits}")
    return {
        "type": r.type if r.type != "unicast" else None, "dst": dst, "gateway": r.via or None, "dev": r.dev or None,
        "scope": r.scope if r.scope != "global" and r.family == 4 else None, "prefsrc": r.src or None,
        "metric": r.metric or None, "protocol": r.proto, "table": str(r.table) if r.table != 254 else None,
    }  # fmt: skip


class Roles:
    """What a random name or MAC of one side stands for; kept over a history, for results speak of interfaces that are gone."""

    def __init__(self, given: set[str]):
        self.given = given
        self.names: dict[str, str] = {}
        self.macs: dict[str, str] = {}

    def plain(self, observed: dict[str, Any], filters: bool) -> dict[str, Any]:
        self._learn(observed["seen"])
        for answer in observed["answers"]:
            for i in (answer or {}).get("interfaces", ()):
                if i.get("sandbox") and i.get("mac") and i["mac"] not in self.macs:
                    self._mac(i["mac"], f"mac({i['sandbox'].rpartition('cni-pod-')[2]}/{i['name']})")
        seen = json.loads(self._text(json.dumps(observed["seen"])))
        answers = self._text(json.dumps([self._bridge_macs(a, observed["seen"]) for a in observed["answers"]]))
        out = {
            "answers": json.loads(answers.replace(str(BIN), "/opt/cni/bin").replace(NEWER, "]")),
            "files": json.loads(self._text(json.dumps(observed["files"]))),
        }
        for where, what in seen.items():
            left_out = ("index", "peer", "peer_ns", *(() if filters else ("vlans", "vlan_filtering")))
            shown = [{k: v for k, v in link.items() if k not in left_out} for link in what["links"]]
            for link in shown:
                if link["kind"] == "bridge" and str(link["mac"]).startswith("mac(host end"):
                    link["mac"] = "mac(a port)"
            out[f"{where} links"] = sorted(shown, key=lambda k: str(k["name"]))
            out[f"{where} routes"] = sorted((_plain_route(r) for r in what["routes"]), key=json.dumps)
            out[f"{where} rules"] = _chains(what["rules"])
            out[f"{where} frames"] = what["frames"]
            out[f"{where} sysctls"] = what["sysctls"]
        return out

    def _learn(self, seen: dict[str, Any]) -> None:
        node = seen["node"]["links"]
        by_index = {k["index"]: k for k in node if "index" in k}
        by_name = {k["name"]: k for k in node}
        for pod, what in seen.items():
            for k in what["links"]:
                if pod == "node" or k["kind"] not in ("veth", "macvlan"):
                    continue
                self._mac(k["mac"], f"mac({pod}/{k['name']})")
                if k["kind"] == "macvlan":
                    k["lower"] = k["lower"] or by_index[k["peer"]]["name"]
                    continue
                end = by_name.get(k["peer"][1]) if isinstance(k["peer"], (list, tuple)) else by_index.get(k["peer"])
                if end is not None:
                    self.names[end["name"]] = f"veth({pod}/{k['name']})"
                    self._mac(end["mac"], f"mac(host end of {pod}/{k['name']})")
        for k in node:
            if k["kind"] == "veth" and "." in k["name"]:  # a VLAN's gateway: both ends are on the node
                self._mac(k["mac"], f"mac({k['name']})")
                end = by_name.get(k["peer"][1]) if isinstance(k["peer"], (list, tuple)) else by_index.get(k["peer"])
                if end is not None:
                    self.names[end["name"]] = f"veth({k['name']})"
                    self._mac(end["mac"], f"mac(port of {k['name']})")
        for k in node:
            if k["kind"] == "bridge" and k["mac"] not in self.macs:  # else it is the MAC of a port, which may be gone by now
                self._mac(k["mac"], f"mac({k['name']})")

    def _bridge_macs(self, answer: Any, seen: dict[str, Any]) -> Any:
        """A bridge without an address has the MAC of one of its ports, and which one is chance."""
        bridges = {k["name"]: k["mac"] for k in seen["node"]["links"] if k["kind"] == "bridge"}
        for i in (answer or {}).get("interfaces", ()):
            if i.get("name") in bridges and self.macs.get(i.get("mac", ""), "").startswith("mac(host end"):
                i["mac"] = "mac(a port)"
        return answer

    def _mac(self, mac: str, role: str) -> None:
        if mac and mac != NO_MAC and mac not in self.given:
            self.macs[mac] = role

    def _text(self, text: str) -> str:
        for name in sorted(self.names, key=len, reverse=True):
            text = re.sub(rf"\b{re.escape(name)}\b", self.names[name], text)
        # a 0.2.0 result lists no interfaces: what they were before a change nobody knows
        return _MAC.sub(lambda m: self.macs.get(m[0], m[0] if m[0] in self.given or m[0] == NO_MAC else "mac(?)"), text)


def _plain_route(r: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in r.items() if v is not None and (k, v) != ("protocol", "boot")}


def _chains(lines: list[str]) -> dict[str, Any]:
    """{tool and table: {chain: rules}}, without what is empty and built in."""
    out: dict[str, Any] = {}
    table = ""
    for line in lines:
        tool, _, text = line.partition(": ")
        if text[0] == "*":
            table = f"{tool} {text[1:]}"
        elif text[0] == ":":
            out.setdefault(table, {}).setdefault(text[1:].split()[0], [])
        else:
            out.setdefault(table, {}).setdefault(text.split()[1], []).append(text)
    kept = {t: {c: r for c, r in chains.items() if r or c not in _BUILT_IN} for t, chains in out.items()}
    return {t: c for t, c in kept.items() if c}
