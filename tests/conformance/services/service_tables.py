"""Reads the tables of this folder: short forms of Services and EndpointSlices, and a walk through iptables text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import msgspec
import yaml

from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS, Object
from kubenet_lab.services import IptablesText, KubeProxy, NodeView

HERE = Path(__file__).parent
NODE_ADDRESSES = ("192.168.0.2", "192.168.1.2", "192.168.99.11", "2001:db8::1", "2001:db8:1::2")
NODE = NodeView("test-node", ("192.168.0.2", "2001:db8::1"), NODE_ADDRESSES)

STATES = {
    "": {},
    "unready": {"ready": False, "serving": False, "terminating": False},
    "terminating": {"ready": False, "serving": True, "terminating": True},
    "dead": {"ready": False, "serving": False, "terminating": True},
}


def table(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load((HERE / name).read_text())


def view(document: dict[str, Any]) -> Object:
    return msgspec.convert(document, KINDS[document["kind"]][0])


def snapshot(documents: Iterable[dict[str, Any]]) -> Snapshot:
    return Snapshot([view(d) for d in documents])


def service(row: dict[str, Any]) -> dict[str, Any]:
    namespace, name = row["key"].split("/")
    metadata = {"namespace": namespace, "name": name, "labels": row.get("labels", {})}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": row["spec"],
        "status": {"loadBalancer": {"ingress": row.get("ingress", [])}},
    }


def endpoint(text: str) -> dict[str, Any]:
    address, node, state, zones, nodes = re.fullmatch(r"([^@!#%]+)(?:@([^!#%]+))?(?:!([^#%]+))?(?:#([^%]+))?(?:%(.+))?", text).groups()
    found: dict[str, Any] = {"addresses": [address], "conditions": STATES[state or ""]}
    if node:
        found["nodeName"] = node
    hints = {}
    if zones:
        hints["forZones"] = [{"name": z} for z in zones.split(",")]
    if nodes:
        hints["forNodes"] = [{"name": n} for n in nodes.split(",")]
    if hints:
        found["hints"] = hints
    return found


def endpoint_slice(row: dict[str, Any], number: int = 1) -> dict[str, Any]:
    namespace, name = row["service"].split("/")
    ports = []
    for port_name, text in row["ports"].items():
        port, _, protocol = str(text).partition("/")
        ports.append({"name": port_name, "port": int(port), "protocol": protocol or "TCP"})
    endpoints = [endpoint(e) for e in row["endpoints"]]
    family = "IPv6" if endpoints and ":" in endpoints[0]["addresses"][0] else "IPv4"
    labels = {"kubernetes.io/service-name": name, **row.get("labels", {})}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": namespace, "name": f"{name}-{number}", "labels": labels},
        "addressType": row.get("addressType", family),
        "endpoints": endpoints,
        "ports": ports,
    }


def case_snapshot(case: dict[str, Any]) -> Snapshot:
    slices = [endpoint_slice(s, i) for i, s in enumerate(case.get("slices", []), 1)]
    return snapshot([*(service(s) for s in case.get("services", [])), *slices])


def options(case: dict[str, Any], **defaults: Any) -> KubeProxy:
    given = {"cluster_cidr": "10.0.0.0/8,fd00:10::/64", **defaults, **case.get("options", {})}
    return KubeProxy(**given)


# --- a walk through iptables text, as far as kube-proxy's own flow tests need it ------------------------------------
@dataclass
class Rule:
    """One rule, split into its matches. A match is (name, negated, value)."""

    text: str
    matches: list[tuple[str, bool, str]] = field(default_factory=list)
    target: str = ""
    destination: str = ""
    by_chance: bool = False


KNOWN = {"-m", "-p", "-s", "-d", "-i", "--comment", "--dport", "--src-type", "--dst-type", "--mark", "--ctstate", "--mode", "--probability",
         "--name", "--seconds", "--nfacct-name", "--xor-mark", "--or-mark", "--to-destination"}  # fmt: skip


def parse_rule(words: Sequence[str]) -> Rule:
    rule, negated, i = Rule(" ".join(words)), False, 0
    while i < len(words):
        word = words[i]
        if word == "!":
            negated, i = True, i + 1
            continue
        if word in ("--set", "--rcheck", "--reap", "--random-fully"):
            if word == "--rcheck":
                rule.matches.append((word, False, ""))
            i += 1
            continue
        value = words[i + 1]
        if word == "-j":
            rule.target = value
        elif word == "--to-destination":
            rule.destination = value
        elif word == "--probability":
            rule.by_chance = True
        elif word in KNOWN:
            rule.matches.append((word, negated, value))
        else:
            raise AssertionError(f"unexpected {word} in {rule.text}")
        negated, i = False, i + 2
    return rule


def tables_of(text: IptablesText) -> dict[str, dict[str, list[Rule]]]:
    found: dict[str, dict[str, list[Rule]]] = {"filter": {}, "nat": {}}
    for part in (text.jumps, text.text):
        table_name = ""
        for line in part.splitlines():
            if line.startswith("*"):
                table_name = line[1:]
            elif line.startswith(":"):
                found[table_name][line[1:].split()[0]] = []
            elif line.startswith(("-A", "-I")):
                words = shlex.split(line)
                chain = found[table_name].setdefault(words[1], [])
                rule = parse_rule(words[2:])
                chain.insert(0 if words[0] == "-I" else len(chain), rule)
    return found


@dataclass
class Walk:
    """Follows a packet; every branch of a random choice counts as taken. Matches on state and history never match."""

    tables: dict[str, dict[str, list[Rule]]]
    local: frozenset[str]
    source: str
    destination: str
    port: int
    protocol: str
    outcome: list[str] = field(default_factory=list)
    marked: bool = False

    def matches(self, rule: Rule) -> bool:
        for name, negated, value in rule.matches:
            if name in ("--rcheck", "--mark", "--ctstate"):
                return False
            if name in ("-s", "-d"):
                address = self.source if name == "-s" else self.destination
                hit = ip_address(address) in ip_network(value)
            elif name in ("--src-type", "--dst-type"):
                assert value == "LOCAL"
                hit = (self.source if name == "--src-type" else self.destination) in self.local
            elif name == "-p":
                hit = value == self.protocol
            elif name == "--dport":
                hit = int(value) == self.port
            elif name in ("-m", "--comment", "--mode", "--name", "--seconds", "--nfacct-name", "--xor-mark", "--or-mark"):
                continue
            else:
                raise AssertionError(f"cannot match {name} in {rule.text}")
            if hit == negated:
                return False
        return True

    def chain(self, table_name: str, name: str) -> bool:
        for rule in self.tables[table_name].get(name, []):
            if not rule.target or not self.matches(rule):
                continue
            if rule.target == "KUBE-MARK-MASQ":
                self.marked = True
            elif rule.target in ("ACCEPT", "DROP", "REJECT"):
                self.outcome.append(rule.target)
                return True
            elif rule.target == "DNAT":
                self.outcome.append(rule.destination)
                return True
            elif self.chain(table_name, rule.target) and not rule.by_chance:
                return True
        return False


def flow(text: IptablesText, source: str, destination: str, port: int, protocol: str = "tcp") -> tuple[str, bool]:
    """The outcome of a packet that comes in, and whether it is marked for masquerade."""
    local = frozenset({"127.0.0.1", "::1", *NODE_ADDRESSES})
    walk = Walk(tables_of(text), local, source, str(ip_address(destination)), port, protocol)
    walk.chain("nat", "PREROUTING")
    if walk.outcome:
        walk.destination = walk.outcome[0].rsplit(":", 1)[0].strip("[]")
    for name in ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"):
        walk.chain("filter", name)
    return ", ".join(walk.outcome), walk.marked
