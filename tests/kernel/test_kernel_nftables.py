"""nftables: what a text comes to, how it is listed, what is refused, and what a packet meets, against the real nft where it is there."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.errors import CommandError, KubenetError, NotModelled
from kubenet_lab.kernel.nftables import NftError, NftRuleset, program
from kubenet_lab.kernel.nftables.plain import is_plain
from tests.cluster.cluster_fixtures import pod, service
from tests.kernel.two_nodes import Lab


def load(text: str) -> NftRuleset:
    ruleset = NftRuleset()
    ruleset.load(text)
    return ruleset


def listed(text: str) -> str:
    return load(text).ruleset()


#: rules as they are written -> as they are listed (the same where it says None); in an inet table with sets @s (ipv4_addr),
#: @c (ipv4_addr . inet_service), @six (ipv6_addr), maps @m (inet_service : ipv4_addr), @v (mark : verdict)
RULES = {
    "ct state established,related accept": None,
    "ct state { new, related } counter": "ct state { related, new } counter packets 0 bytes 0",
    "ct state vmap { established : accept, invalid : drop }": "ct state vmap { invalid : drop, established : accept }",
    "ct state != new drop": None,
    "ct status dnat accept": None,
    "ct original ip daddr 10.0.0.1 accept": None,
    "tcp dport { 443, 80 } accept": "tcp dport { 80, 443 } accept",
    "tcp dport { 80 } accept": "tcp dport 80 accept",
    "tcp dport http accept": "tcp dport 80 accept",
    "tcp dport 1000-2000 accept": None,
    "tcp dport >= 1024 accept": None,
    "tcp flags syn accept": None,
    "tcp flags syn / syn,ack accept": None,
    "ip saddr 10.0.0.0/8 tcp sport 5 drop": None,
    "ip saddr 10.0.0.1-10.0.0.9 drop": None,
    "ip saddr { 10.0.0.0/9, 10.128.0.0/9 } drop": "ip saddr { 10.0.0.0/8 } drop",
    "ip saddr != { 1.2.3.4, 203.0.113.0/25 } drop": None,
    "ip6 saddr fd00::/8 drop": None,
    "ip6 daddr @six drop": None,
    "iifname { \"eth0\", \"cni0\" } accept": None,
    "iifname eth* accept": "iifname \"eth*\" accept",
    "oifname != lo accept": "oifname != \"lo\" accept",
    "meta l4proto { tcp, udp } th dport 53 accept": None,
    "meta l4proto tcp tcp dport 99 accept": "tcp dport 99 accept",
    "ip protocol icmp accept": None,
    "icmp type echo-request accept": None,
    "icmpv6 type { nd-neighbor-solicit, echo-request } accept": "icmpv6 type { echo-request, nd-neighbor-solicit } accept",
    "meta mark and 0xff == 0x10 accept": "meta mark & 0x000000ff == 0x00000010 accept",
    "mark set mark or 0x4000": "meta mark set meta mark | 0x00004000",
    "meta mark set meta mark and 0xff or 0x4000": "meta mark set meta mark & 0x000040ff | 0x00004000",
    "mark set mark xor 0x4000": "meta mark set meta mark ^ 0x00004000",
    "ct mark set meta mark": None,
    "meta mark set numgen random mod 3": None,
    "meta mark vmap @v": None,
    "fib saddr type { local, unicast } accept": "fib saddr type { unicast, local } accept",
    "numgen random mod 2 vmap { 1 : accept, 0 : jump x }": "numgen random mod 2 vmap { 0 : jump x, 1 : accept }",
    "ip daddr . tcp dport @c accept": None,
    "ip daddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 443 } accept": None,
    "ip saddr @s goto x": None,
    "reject": None,
    "reject with icmpx type port-unreachable": "reject",
    "reject with icmp type host-unreachable": "reject with icmp host-unreachable",
    "reject with icmpx type admin-prohibited": "reject with icmpx admin-prohibited",
    "reject with icmpv6 type no-route": "reject with icmpv6 no-route",
    "meta l4proto tcp reject with tcp reset": None,
    "log prefix \"hello\" drop": None,
    "counter packets 3 bytes 99 accept comment \"three\"": None,
    "notrack": None,
    "return": None,
}  # fmt: skip
NAT = {
    "dnat ip to 10.0.0.1": None,
    "tcp dport 80 dnat ip to 10.0.0.1:8080": None,
    "meta l4proto tcp dnat ip to tcp dport map @m": "dnat ip to tcp dport map @m",
    "dnat ip to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }": None,
    "meta l4proto tcp redirect to :8080": None,
}
SNAT = {"masquerade fully-random": None, "masquerade random,persistent": None, "snat ip to 1.2.3.4": None}
SETS = """
 set s { type ipv4_addr; elements = { 10.0.0.9, 10.0.0.1, 10.0.0.2 } }
 set six { type ipv6_addr; elements = { fd00::2, fd00::1 } }
 set c { type ipv4_addr . inet_service; elements = { 10.0.0.2 . 443, 10.0.0.1 . 80 } }
 set p { type inet_service; elements = { 80,443,8080,9090,22,23,24 } }
 set i { type ipv4_addr; flags interval; elements = { 192.168.1.5-192.168.1.9, 10.0.0.0/8, 1.2.3.4 } }
 set ifs { type ifname; elements = { "eth0", lo, cni0 } }
 set t { type ipv4_addr; flags dynamic,timeout; timeout 10800s; }
 map m { type inet_service : ipv4_addr; elements = { 443 : 10.0.0.2, 80 : 10.0.0.1 } }
 map v { type mark : verdict; comment "verdicts"; elements = { 2 : drop, 1 : accept, 3 : goto x } }
"""


def ruleset(rules: Sequence[str], nat: Sequence[str] = (), snat: Sequence[str] = (), base: str = "filter hook input priority 5") -> str:
    lines = ["table inet t {", SETS, " chain x { }", f" chain in {{ type {base}; policy drop;", *rules, " }"]
    lines += [" chain n { type nat hook prerouting priority dstnat;", *nat, " }"]
    return "\n".join([*lines, " chain o { type nat hook postrouting priority srcnat;", *snat, " }", "}"]) + "\n"


def body(text: str, chain: str) -> list[str]:
    found = re.search(rf"chain {chain} \{{\n(?:\t\ttype[^\n]*\n)?(.*?)\n?\t\}}", text, re.DOTALL)
    assert found is not None
    return [line.strip() for line in found[1].splitlines()]


@pytest.mark.parametrize("written", RULES)
def test_a_rule_is_listed(written: str) -> None:
    text = listed(ruleset([written]))
    assert body(text, "in") == [RULES[written] or written]
    if "{ 10.0.0.0/8 }" not in text:  # nft lists what it would itself write without braces
        assert listed(text) == text, "what is listed can be loaded"


def test_everything_at_once_is_listed_as_the_real_nft_does(real_nft: Callable[[Sequence[str]], list[str]]) -> None:
    text = ruleset(list(RULES), list(NAT), list(SNAT))
    [printed] = real_nft([text])
    assert listed(text) == printed


def random_text(rng: random.Random) -> str:
    base = rng.choice(["filter hook input priority filter", "filter hook forward priority -150", "filter hook output priority 12",
                       "filter hook prerouting priority -110", "filter hook prerouting priority dstnat + 3"])  # fmt: skip
    usable = [r for r in RULES if not r.startswith("reject with") or "prerouting" not in base]
    return ruleset(rng.sample(usable, rng.randint(1, 12)), rng.sample(list(NAT), 2), rng.sample(list(SNAT), 1), base) + (
        "add chain inet t late\nadd rule inet t late jump x\nadd element inet t s { 10.9.9.9 }\n"
        "insert rule inet t in counter\ndelete element inet t p { 22, 8080 }\nflush chain inet t x\n" if rng.random() < 0.5 else ""
    )  # fmt: skip


def test_random_rulesets_are_listed_as_the_real_nft_does(real_nft, cases: Callable[[int], int], seed: int) -> None:
    rng = random.Random(seed)
    texts = [random_text(rng) for _ in range(cases(30))]
    for text, printed in zip(texts, real_nft(texts), strict=True):
        assert listed(text) == printed, text


BAD = [
    "add rule ip t c accept\n", "table ip t { chain c { jump nowhere } }\n", "table ip t { chain c { tcp dport } }\n",
    "table ip t { chain c { ip saddr 10.0.0.300 } }\n", "table ip t { chain c { ip6 saddr fd00::1 } }\n",
    "table ip t { chain c { ip saddr @none accept } }\n", "table ip t { set s { type ipv4_addr; elements = { 10.0.0.0/8 } } }\n",
    "table ip t { chain c { type filter hook sideways priority 0; } }\n", "table ip t { chain c { accept drop } }\n",
    "table ip t { chain a { type filter hook input priority 0; jump b; }\n chain b { jump b; } }\n",
    "table ip t { chain c { type filter hook input priority 0; masquerade; } }\n", "create table ip t\ncreate table ip t\n",
    "table ip t { set s { type ipv4_addr; }\n chain c { tcp dport @s } }\n", "delete table ip t\n", "frobnicate\n",
    "table ip t { chain c { dnat to 10.0.0.1:80 } }\n", "table ip t { map m { type ipv4_addr; } }\n", "table ip t { chain c { \n",
    "table ip t { chain c { numgen random mod 0 vmap { 0 : accept } } }\n",
    "table ip t { chain c { type filter hook output priority dstnat; } }\n",
    "table ip t { chain a { }\n chain b { jump a } }\ndelete chain ip t a\n",
    "table ip t { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } } }\nadd element ip t s { 10.1.0.0/16 }\n",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_a_bad_text_is_an_error_with_its_line_and_changes_nothing(text: str) -> None:
    ruleset = load("table ip keep { chain c { accept } }\n")
    before = ruleset.ruleset()
    with pytest.raises(NftError, match="Error: ") as error:
        ruleset.load(text)
    assert 1 <= error.value.line <= text.count("\n") + 1
    assert ruleset.ruleset() == before


def test_the_real_nft_refuses_the_same(real_nft: Callable[[Sequence[str]], list[str]]) -> None:
    assert [t for t, said in zip(BAD, real_nft(BAD), strict=True) if "Error" not in said] == []


@pytest.mark.parametrize(
    "text",
    ["table arp t { }\n", "table ip t { chain c { limit rate 5/second accept } }\n",
     "table ip t { chain c { ether saddr 02:00:00:00:00:01 accept } }\n", "table bridge t { chain c { ip saddr 10.0.0.1 accept } }\n",
     "table bridge t { chain c { type filter hook forward priority 0; } }\n",
     "table ip t { chain c { jhash ip saddr mod 2 vmap { 0 : accept } } }\n", "add flowtable ip t f { }\n", "define x = 1\n",
     "table ip t { chain c { type filter hook ingress device eth0 priority 0; } }\n"],
)  # fmt: skip
def test_what_is_not_modelled_says_so(text: str) -> None:
    with pytest.raises(NotModelled, match="nft"):
        load(text)


def test_any_text_is_rules_or_a_clear_error(cases: Callable[[int], int], seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(cases(300)):
        words = random_text(rng).split(" ")
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(words))
            words[at : at + rng.randint(0, 2)] = [rng.choice([*words, "{", "}", ";", "@", "0", "\n", '"', "65536", "!=", ":"])]
        try:
            load(" ".join(words) + "\n")
        except KubenetError as e:
            assert str(e)


# ----------------------------------------------------------------------------------------------------------- packets
def small(**more: Any) -> kn.Cluster:
    docs = [pod("default/client", "worker-1", {"app": "client"}, (("http", 8080, "TCP"),))]
    docs += [pod(f"default/server-{i}", f"worker-{i}", {"app": "server"}, (("http", 8080, "TCP"),)) for i in (1, 2)]
    docs.append(service("svc", {"app": "server"}, {"port": 80, "targetPort": 8080, "nodePort": 30080}, type="NodePort", **more))
    return kn.load(docs, nodes=2, proxy="nftables", service_cidr="10.96.0.0/16")


def test_each_endpoint_has_its_exact_share() -> None:
    found = small().outcomes("default/client", "svc:default/svc")
    assert sorted((str(o.probability), o.answered_by) for o in found) == [("1/2", "default/server-1"), ("1/2", "default/server-2")]


def test_what_the_kernel_showed() -> None:
    """Measured in namespaces: unused port and ping of a ClusterIP refused, unallocated ClusterIP dropped, localhost refused."""
    cluster = small()
    vip = cluster.get("svc", "default/svc").spec.cluster_ip  # type: ignore[attr-defined]
    unused = cluster.connect("default/client", vip, port=81)
    assert (unused.verdict, unused.error) == ("refused", "ECONNREFUSED")
    assert "service.port_refused" in {r.code for r in unused.reasons} and "none of its maps" in unused.explain()
    assert cluster.connect("default/client", "10.96.77.77", port=80).verdict == "timeout"
    assert cluster.connect("node:worker-1", "127.0.0.1", port=30080).error == "ECONNREFUSED"
    assert "Destination Port Unreachable" in cluster.pod("default/client").run(f"ping -c 1 {vip}")
    assert "Operation not permitted" in cluster.node("worker-1").run(f"ping -c 1 {vip}")
    outside = {o.source_seen for o in cluster.outcomes("external:203.0.113.7", "192.168.50.11", port=30080)}
    assert outside == {"10.244.0.1", "10.244.0.0"}, "masquerade takes the address of the interface it goes out by"


def test_a_packet_without_a_device_has_index_zero_and_no_name() -> None:
    """Measured on Linux 6.18: what a node sends has no `iif`; a comparison that is turned round holds for it, others do not."""
    rules = {
        'iif != "lo"': True, 'iif "lo"': False, 'iifname != "eth0"': True, 'iifname "e*"': False, 'iifname != "e*"': True,
        'iifname { "lo", "eth0" }': False, 'iifname != { "lo", "eth0" }': True,
    }  # fmt: skip
    node = small().node("worker-1")
    node.run("nft add table inet t")
    node.run("nft add chain inet t o '{ type filter hook output priority 0 ; }'")
    for rule in rules:
        node.run(f"nft 'add rule inet t o {rule} counter'")
    node.run("ping -c 1 127.0.0.1")
    counted = [line.split() for line in node.run("nft list table inet t").splitlines() if "packets" in line]
    assert [words[words.index("packets") + 1] != "0" for words in counted] == list(rules.values())


def test_affinity_holds_until_its_time_is_over() -> None:
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 100}}}
    cluster = small(**affinity)
    first = cluster.connect("default/client", "svc:default/svc").answered_by
    assert {cluster.connect("default/client", "svc:default/svc").answered_by for _ in range(8)} == {first}
    assert len(cluster.outcomes("default/client", "svc:default/svc")) == 1
    assert " expires 1m" in str(cluster.node("worker-1").nft_ruleset())
    cluster.tick(101)
    assert len(cluster.outcomes("default/client", "svc:default/svc")) == 2
    assert " expires " not in str(cluster.node("worker-1").nft_ruleset())


def test_a_deciding_map_element_is_told_with_its_command() -> None:
    docs = [pod("default/client", "worker-1"), service("empty", {"app": "nobody"})]
    trace = kn.load(docs, nodes=1, proxy="nftables").connect("default/client", "svc:default/empty")
    last = trace.hops[-1]
    assert last.code == "filter.reject" and last.command == "nft list chain ip kube-proxy reject-chain"
    entries = [(str(e), e.command) for e in last.params["rules"]]
    assert any(text.endswith(": goto reject-chain") and c == "nft list map ip kube-proxy no-endpoint-services" for text, c in entries)
    assert trace.reasons[0].code == "service.no_endpoints"


def test_hand_edits_are_recorded_and_survive_a_copy() -> None:
    cluster = small()
    node = cluster.node("worker-1")
    node.run("nft add rule ip kube-proxy filter-forward tcp dport 8080 counter drop")
    assert cluster.connect("default/client", "svc:default/svc").verdict in ("timeout", "delivered")
    assert cluster.copy().outcomes("default/client", "svc:default/svc")[0].verdict == "timeout"
    assert "tcp dport 8080 counter packets" in node.run("nft list chain ip kube-proxy filter-forward")
    node.run("nft flush ruleset")
    assert str(node.nft_ruleset()) == "" and str(node.nft_written())
    cluster.resync()
    assert "chain services" in str(node.nft_ruleset())


def test_nft_and_iptables_meet_at_a_hook_by_priority() -> None:
    cluster = small()
    node = cluster.node("worker-1")
    node.run("nft add table inet guard")
    node.run("nft add chain inet guard early '{ type filter hook forward priority -10 ; }'")
    node.run("nft add rule inet guard early meta mark set 0x77")
    node.run("iptables -I FORWARD -m mark --mark 0x77 -j DROP")
    assert cluster.connect("default/client", "default/server-2", port=8080).verdict == "timeout"
    node.run("nft flush chain inet guard early")
    assert cluster.connect("default/client", "default/server-2", port=8080).verdict == "delivered"


def test_errors_look_as_the_tool_prints_them() -> None:
    node = small().node("worker-1")
    with pytest.raises(CommandError) as error:
        node.run("nft list chain ip kube-proxy foo")
    assert str(error.value) == "Error: No such file or directory\nlist chain ip kube-proxy foo\n                         ^^^"


def asked_under(text: str, rng: random.Random) -> list[Any]:
    """What becomes of some packets, each asked more than once, where all hold these rules; and what the rules have counted."""
    lab = Lab()
    for name in ("n0", "n1", "p12"):
        lab[name].use_nft(load(text))
    out: list[Any] = []
    for _ in range(12):
        src, dst = rng.sample(["p02", "p03", "p12", "n0", "n1"], 2)
        address = {"p02": "10.244.0.2", "p03": "10.244.0.3", "p12": "10.244.1.2", "n0": "192.168.50.11", "n1": "10.244.1.1"}[dst]
        protocol, port = rng.choice([("TCP", 8080), ("TCP", 80), ("UDP", 53), ("ICMP", 0)])
        for _ in range(2):
            try:
                r = lab.ask(src, address, port, protocol, timeout=0.5)
            except NotModelled as problem:
                out.append(str(problem))
                continue
            told = [(e.code, e.ns, e.after, str(e.params.get("rules"))) for t in (r.forward, r.reply) if t is not None for e in t]
            out.append((r.verdict, r.error, r.elapsed, told, [(e.time, e.code) for e in r.walk.endings]))
    return [out, [sorted(lab.state.read("nft-hits", n).values()) for n in ("n0", "n1", "p12")]]


def test_an_answer_that_is_remembered_is_the_one_that_would_be_given(
    cases: Callable[[int], int], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 0
    for number in range(cases(40)):
        text = random_text(random.Random(f"{seed} {number}"))
        answers = []
        for plain in (True, False):
            with monkeypatch.context() as m:
                if not plain:
                    m.setattr(program, "is_plain", lambda rule, sets: False)
                answers.append(asked_under(text, random.Random(number)))
        assert answers[0] == answers[1], text
        kept += sum(is_plain(r, t.sets.__getitem__) for t in load(text).tables.values() for c in t.chains.values() for r in c.rules)
    assert kept > 3 * number, "answers are remembered"


#: chance, counters, the clock, what packets change, and what `looks` does not tell of
NOT_REMEMBERED = (
    "counter", "ct status", "ct original", "tcp sport", "icmp type echo", "icmpv6 type {", "ct mark", "numgen", "notrack", "update @t",
    "@t drop",
)  # fmt: skip


@pytest.mark.parametrize("rule", [*RULES, "update @t { ip saddr timeout 1m }", "ip saddr @t drop", "meta length > 99 drop"])
def test_what_is_remembered(rule: str) -> None:
    table = load(ruleset([rule])).tables["inet", "t"]
    expected = not any(word in rule for word in (*NOT_REMEMBERED, "meta length"))
    assert all(is_plain(r, table.sets.__getitem__) for r in table.chains["in"].rules) is expected


@pytest.mark.parametrize("rule", NAT)
def test_what_is_remembered_of_nat(rule: str) -> None:
    table = load(ruleset([], [rule])).tables["inet", "t"]
    assert all(is_plain(r, table.sets.__getitem__) for r in table.chains["n"].rules) is ("numgen" not in rule)
