"""kube-router's rules on the lab's own iptables: read, printed as the real tool prints them, and run packet by packet."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random
from types import SimpleNamespace

import pytest
from policy_worlds import NODES, ends_of, peer_of, random_cluster, snapshot_of
from rule_reader import Rules
from test_policy_kube_router_rules import LOAD, compiled, netns, tools  # noqa: F401  (a fixture)
from test_policy_kube_router_semantics import place

from kubenet_lab.kernel.iptables import Ruleset
from kubenet_lab.kernel.packet import Icmp, Packet, Raw, Tcp, Udp
from kubenet_lab.policy import decide
from kubenet_lab.policy.kube_router import rules

PROTOCOLS = {
    "TCP": lambda port: Tcp(40000, port),
    "UDP": lambda port: Udp(40000, port),
    "ICMP": lambda port: Icmp(8),
    "GRE": lambda port: Raw(),
}
ASKED = ((80, "TCP"), (81, "TCP"), (80, "UDP"), (None, "ICMP"))


def machine(text: str, ip_family: int = 4) -> Ruleset:
    ruleset = Ruleset(ip_family, sets=lambda name: True)
    ruleset.restore(text, noflush=True)
    return ruleset


def listed(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(("#", "create ", "add "))]


@pytest.mark.real
def test_it_prints_as_iptables_save_prints(tools):  # noqa: F811
    for c in (
        compiled(addresses=(NODES["n2"], "fd00::12")),
        *(rules(snapshot_of(random_cluster(Random(i))), "n1", (NODES["n1"], "fd00::11")) for i in range(4)),
    ):
        done = netns(LOAD, SETS=c.ipset_text, V4=c.iptables_text, V6=c.ip6tables_text)
        assert done.returncode == 0, done.stderr
        ours = machine(c.iptables_text).save() + machine(c.ip6tables_text, 6).save()
        assert listed(ours) == listed(done.stdout)


class Walk(SimpleNamespace):
    """One packet at one hook of a node: what the rules may ask."""

    def addrtype(self, address, dev):
        return "LOCAL" if address in self.local else "UNICAST"

    def ipset(self, name):
        address = {"src": self.packet.src, "dst": self.packet.dst}
        return SimpleNamespace(test=lambda packet, flags, now: self.sets.in_set(name, address[flags[0]]))

    def hit(self, rule):
        self.hits.append(rule)

    def recent(self, name):
        return self.lists

    def choose(self, weights, chooser):
        return 0

    def notrack(self): ...

    def set_mss(self, value): ...


def passes(node, hook: str, packet: Packet, address: str) -> bool:
    ruleset, sets = node
    walk = Walk(
        packet=packet, indev="eth0", outdev="eth0", physin="", physout="", mark=0, connmark=0, ctstate=frozenset({"NEW"}), ct_original=None,
        pkttype="unicast", now=0.0, local=(address,), sets=sets, hits=[], lists={},
    )  # fmt: skip
    verdict = ruleset.program("filter").evaluate(hook, walk)
    if not verdict.passed:
        assert verdict.kind == "REJECT" and verdict.chain.startswith("KUBE-POD-FW-")
    return verdict.passed


def test_packets_pass_as_the_decider_says(cases, seed):
    met: Counter[str] = Counter()
    for case in range(cases(40)):
        cluster = random_cluster(Random(f"{seed}/machine/{case}"), special=False)
        snapshot = snapshot_of(cluster)
        nodes = {}
        for name, address in NODES.items():
            c = rules(snapshot, name, [address])
            sets = Rules()
            sets.read_ipset(c.ipset_text)
            nodes[name] = machine(c.iptables_text), sets
        ends = [(e, place(cluster, e), peer_of(snapshot, e)) for e in ends_of(cluster)]
        for (src, (a, node_a, host_a), x), (dst, (b, node_b, host_b), y) in product(ends, ends):
            if src == dst or "pod" not in (src[0], dst[0]):
                continue
            hooks = [] if node_a is None else [(node_a, "OUTPUT" if host_a else "INPUT" if host_b and node_a == node_b else "FORWARD")]
            if node_b not in (None, node_a):
                hooks.append((node_b, "INPUT" if host_b else "FORWARD"))
            for port, protocol in ASKED:
                packet = Packet(a, b, protocol, PROTOCOLS[protocol](port))
                passed = all(passes(nodes[n], hook, packet, NODES[n]) for n, hook in hooks)
                got = decide(snapshot, x, y, port, protocol, engine="kube-router")
                assert bool(got) is passed, (case, src, dst, port, protocol, cluster["policies"], got.explain())
                met["passed" if passed else "stopped"] += 1
    print(f"seed {seed}:", dict(met))
    assert met["passed"] > 300 and met["stopped"] > 300
