"""What a packet meets: verdicts, jumps, marks, chance, memory.

Sources: Linux net/ipv4/netfilter/ip_tables.c and the xt_*.c files; kube-proxy's, flannel's and kube-router's rules.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from fake_context import Fake

from kubenet_lab.errors import NotModelled
from kubenet_lab.kernel.ipset import IpSets
from kubenet_lab.kernel.iptables import IptablesError, NatRange, Ruleset, Verdict, evaluate
from kubenet_lab.kernel.iptables.match_chance import Statistic
from kubenet_lab.kernel.packet import Icmp, Packet, Raw, Tcp, Udp

TABLES = Path(__file__).parents[1] / "conformance" / "kernel_iptables"


def tcp(
    src: str = "10.244.0.5", dst: str = "10.244.1.5", sport: int = 40000, dport: int = 80, flags: str = "S", mss: int | None = None
) -> Packet:
    return Packet(src, dst, "TCP", Tcp(sport, dport, flags, mss=mss))


def go(rules: Ruleset, chain: str, context: Fake, table: str = "filter") -> Verdict:
    program = rules.program(table)
    assert program is not None
    return evaluate(program, chain, context)


def one(rule: str, context: Fake, table: str = "filter", chain: str = "FORWARD") -> bool:
    """Does a rule with this body match?"""
    rules = Ruleset()
    rules.append(table, chain, rule)
    go(rules, chain, context, table)
    return any(not h.policy for h in context.hits)


def agents(*names: str, sets: IpSets | None = None) -> Ruleset:
    rules = Ruleset(sets=sets.get if sets else None)
    for name in names:
        rules.restore((TABLES / f"{name}.rules").read_text(), noflush=True)
    return rules


def path(context: Fake) -> list[str]:
    return [h.chain for h in context.hits]


# ------------------------------------------------------------------------------------------------------- the machine
def test_return_goes_back_to_the_jump_and_at_the_top_to_the_policy() -> None:
    rules = Ruleset()
    rules.restore("*filter\n:FORWARD DROP [0:0]\n:A - [0:0]\n-A FORWARD -j A\n-A FORWARD -j MARK --set-mark 7\n-A FORWARD -j RETURN\n"
                  "-A FORWARD -j ACCEPT\n-A A -j MARK --set-mark 1\n-A A -j RETURN\n-A A -j ACCEPT\nCOMMIT\n")  # fmt: skip
    context = Fake(tcp())
    verdict = go(rules, "FORWARD", context)
    assert (verdict.kind, verdict.chain, context.mark) == ("DROP", "FORWARD", 7)
    assert verdict.rule is not None and str(verdict.rule) == "-P FORWARD DROP"
    assert path(context) == ["FORWARD", "A", "A", "FORWARD", "FORWARD", "FORWARD"]


def test_goto_does_not_come_back() -> None:
    text = "*filter\n:FORWARD DROP [0:0]\n:A - [0:0]\n:B - [0:0]\n-A FORWARD -j A\n-A FORWARD -j ACCEPT\n"
    text += "-A A -g B\n-A A -j DROP\n-A B -j RETURN\nCOMMIT\n"
    rules = Ruleset()
    rules.restore(text)
    assert go(rules, "FORWARD", Fake(tcp())).kind == "ACCEPT"  # B ends where A was called: in FORWARD
    rules.restore(text.replace("-A FORWARD -j A\n", "-A FORWARD -g A\n"))
    assert go(rules, "FORWARD", Fake(tcp())).kind == "DROP"  # from a base chain, only the policy is left


def test_a_jump_may_stand_in_many_places_and_chains_may_be_deep() -> None:
    chains = [f"C{i}" for i in range(15)]
    rules = Ruleset()
    rules.restore("\n".join([
        "*filter", *(f":{c} - [0:0]" for c in chains), "-A FORWARD -j C0", "-A FORWARD -j C0",
        *(f"-A {a} -j {b}" for a, b in itertools.pairwise(chains)), f"-A {chains[-1]} -j MARK --or-mark 0x1", "COMMIT", "",
    ]))  # fmt: skip
    context = Fake(tcp())
    assert go(rules, "FORWARD", context).kind == "ACCEPT"
    assert path(context).count("C14") == 2


def test_counters_go_by_uid_which_stays_while_the_rule_does() -> None:
    rules = Ruleset()
    rules.append("filter", "FORWARD", "-s 10.244.0.0/16 -j ACCEPT")
    uid = rules.rules("filter", "FORWARD")[0].uid
    rules.insert("filter", "FORWARD", "-j LOG")
    rules.new_chain("filter", "X")
    assert rules.rules("filter", "FORWARD")[1].uid == uid
    assert rules.copy().rules("filter", "FORWARD")[1].uid == uid
    rules.replace("filter", "FORWARD", 2, "-s 10.244.0.0/16 -j ACCEPT")
    assert rules.rules("filter", "FORWARD")[1].uid != uid
    other = rules.copy()
    other.flush("filter")
    assert len(rules.rules("filter", "FORWARD")) == 2 and not other.rules("filter", "FORWARD")


def test_save_prints_counters_where_they_are_kept() -> None:
    rules, counters = Ruleset(), {}
    rules.restore("*filter\n:FORWARD DROP [3:180]\n[5:300] -A FORWARD -s 10.0.0.0/8 -j ACCEPT\nCOMMIT\n", counters=counters)
    assert "[5:300] -A FORWARD -s 10.0.0.0/8 -j ACCEPT" in rules.save(counters)
    assert ":FORWARD DROP [3:180]" in rules.save(counters)
    rules.zero(counters, "filter", "FORWARD", 1)
    assert "[0:0] -A FORWARD" in rules.save(counters) and ":FORWARD DROP [3:180]" in rules.save(counters)


def test_a_refused_table_leaves_everything_as_it_was() -> None:
    rules = Ruleset()
    rules.restore("*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n")
    before = rules.save()
    with pytest.raises(IptablesError, match="line 3: RULE_APPEND failed"):
        rules.restore("*filter\n-F\n-A FORWARD -j MASQUERADE\nCOMMIT\n", noflush=True)
    assert rules.save() == before


# --------------------------------------------------------------------------------------------------------- verdicts
@pytest.mark.parametrize(
    ("table", "chain", "rule", "kind", "params"),
    [
        ("nat", "PREROUTING", "-p tcp -j DNAT --to-destination 10.244.1.5:8080", "DNAT", NatRange(("10.244.1.5",) * 2, (8080, 8080))),
        (
            "nat",
            "OUTPUT",
            "-j DNAT --to-destination 1.1.1.1-1.1.1.9 --persistent",
            "DNAT",
            NatRange(("1.1.1.1", "1.1.1.9"), persistent=True),
        ),
        ("nat", "PREROUTING", "-p tcp -j DNAT --to-destination :81", "DNAT", NatRange(None, (81, 81))),
        ("nat", "POSTROUTING", "-j MASQUERADE --random-fully", "MASQUERADE", NatRange(fully_random=True)),
        ("nat", "POSTROUTING", "-p tcp -j MASQUERADE --to-ports 1024-2048", "MASQUERADE", NatRange(None, (1024, 2048))),
        ("nat", "POSTROUTING", "-p tcp -j SNAT --to-source 2.2.2.2:5-9 --random", "SNAT", NatRange(("2.2.2.2",) * 2, (5, 9), random=True)),
        ("nat", "PREROUTING", "-p tcp -j REDIRECT --to-ports 8080", "REDIRECT", NatRange(None, (8080, 8080))),
        ("filter", "FORWARD", "-j REJECT", "REJECT", "icmp-port-unreachable"),
        ("filter", "FORWARD", "-p tcp -j REJECT --reject-with tcp-reset", "REJECT", "tcp-reset"),
        ("filter", "FORWARD", "-j DROP", "DROP", None),
    ],
)
def test_verdicts_carry_what_they_need(table: str, chain: str, rule: str, kind: str, params: object) -> None:
    rules = Ruleset()
    rules.append(table, chain, rule, origin="Service shop/cart")
    verdict = go(rules, chain, Fake(tcp()), table)
    assert (verdict.kind, verdict.params, verdict.chain) == (kind, params, chain)
    assert verdict.rule is not None and verdict.rule.origin == "Service shop/cart"
    assert verdict.rule.command == f"iptables -t {table} -S {chain}"


def test_ipv6_addresses_are_matched_and_given_as_packets_carry_them() -> None:
    rules = Ruleset(6)
    rules.append("nat", "PREROUTING", "-d fd00:96:0:0::0014 -p tcp --dport 80 -j DNAT --to-destination [fd00:244:1::0005]:8080")
    verdict = go(rules, "PREROUTING", Fake(tcp("fd00:244::5", "fd00:96::14")), "nat")
    assert verdict.params == NatRange(("fd00:244:1::5",) * 2, (8080, 8080))


@pytest.mark.parametrize(
    ("target", "mark", "after"),
    [
        ("--set-mark 5", 0xFF, 5), ("--set-mark 0x4000/0x4000", 1, 0x4001), ("--set-xmark 0x4000/0x4000", 0x4001, 0x4001),
        ("--xor-mark 0x4000", 0x4001, 1), ("--or-mark 0x2000", 1, 0x2001), ("--and-mark 0xff", 0x1234, 0x34),
        ("--set-mark 0/0x10000", 0x10001, 1),
        ("--set-mark 1/0xf0", 0xF2, 3),
    ],
)  # fmt: skip
def test_marks(target: str, mark: int, after: int) -> None:
    context = Fake(tcp(), mark=mark)
    assert one(f"-j MARK {target}", context) and context.mark == after


def test_connection_marks() -> None:
    ct = ("10.244.0.5", 1, "10.244.1.5", 2, "TCP")
    context = Fake(tcp(), mark=0x12, connmark=0xF00, ct_original=ct)
    one("-j CONNMARK --save-mark --mask 0xff", context)
    assert context.connmark == 0xF12
    one("-j CONNMARK --restore-mark --nfmask 0xff00 --ctmask 0xf00", context)
    assert context.mark == 0xF12
    one("-j CONNMARK --set-mark 1/0xf0", context)
    assert context.connmark == 0xF03
    untracked = Fake(tcp(), mark=1)
    one("-j CONNMARK --save-mark", untracked)
    assert untracked.connmark == 0 and not one("-m connmark ! --mark 5", Fake(tcp(), connmark=0))


def test_notrack_and_mss() -> None:
    context = Fake(tcp(mss=1460))
    rules = Ruleset()
    rules.append("raw", "PREROUTING", "-j NOTRACK")
    rules.append("mangle", "FORWARD", "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu")
    rules.append("mangle", "FORWARD", "-p tcp -m tcpmss --mss 1400:1500 -j TCPMSS --set-mss 1200")
    go(rules, "PREROUTING", context, "raw")
    go(rules, "FORWARD", context, "mangle")
    assert context.done == ["notrack", ("mss", None), ("mss", 1200)]


# ---------------------------------------------------------------------------------------------------------- matches
YES = [
    "-s 10.244.0.0/16", "! -s 10.96.0.0/12", "-d 10.244.1.5", "-d 10.0.1.5/255.0.255.255", "-i cni0", "-i cni+", "! -i eth0",
    "-o flannel.1",
    "-p tcp", "! -p udp", "-p tcp --dport 80", "-p tcp --dport 79:81", "-p tcp ! --dport 443", "-p tcp --sport 1024:", "-p tcp --syn",
    "-p tcp --tcp-flags ALL SYN", "-p tcp -m multiport --dports 22,80", "-p tcp -m multiport ! --ports 22", "-m mark --mark 0x4000/0x4000",
    "-m mark ! --mark 0x1/0x1", "-m conntrack --ctstate NEW", "-m conntrack --ctstate DNAT", "-m conntrack ! --ctstate INVALID",
    "-m conntrack --ctorigdst 10.96.0.20 --ctorigdstport 8080 --ctproto tcp", "-m state --state NEW,ESTABLISHED",
    "-m addrtype --src-type LOCAL", "-m addrtype ! --dst-type LOCAL", "-m addrtype --dst-type UNICAST,LOCAL", "-m length --length 60",
    "-m ttl --ttl-gt 63", "-m pkttype --pkt-type unicast", "-m iprange --src-range 10.244.0.1-10.244.0.9", "-m physdev --physdev-in veth+",
    "-m physdev --physdev-is-in", "-m physdev ! --physdev-is-bridged", "-m physdev ! --physdev-out eth0", "-m dscp --dscp 0",
    "-m comment --comment x", "-p tcp -m tcpmss --mss 1460", "! -f",
]  # fmt: skip
NO = [
    "-s 10.96.0.0/12", "! -d 10.244.1.5", "-i eth0", "-i c", "! -i cni+", "-o cni0", "-p udp", "! -p tcp", "-p tcp --dport 81",
    "-p tcp ! --dport 80", "-p tcp --sport :1023", "-p tcp ! --syn", "-p tcp -m multiport --sports 22",
    "-p tcp -m multiport ! --ports 22,80",
    "-m mark --mark 1", "-m conntrack ! --ctstate NEW", "-m conntrack --ctstate RELATED,ESTABLISHED", "-m conntrack --ctorigdst 10.96.0.21",
    "-m conntrack --ctproto udp", "-m addrtype --dst-type LOCAL", "-m addrtype --src-type LOCAL --limit-iface-in",
    "-m length ! --length 60",
    "-m ttl --ttl-lt 64", "-m pkttype --pkt-type broadcast", "-m physdev --physdev-is-bridged", "-m physdev --physdev-is-out",
    "-m physdev --physdev-out veth+", "-m physdev ! --physdev-in veth+", "-f", "-p icmp --icmp-type any", "-p tcp -m tcpmss --mss 500",
]  # fmt: skip


def context() -> Fake:
    return Fake(
        tcp(mss=1460), indev="cni0", outdev="flannel.1", physin="vethabc", mark=0x4000, ctstate=frozenset({"NEW", "DNAT"}),
        ct_original=("10.244.0.5", 40000, "10.96.0.20", 8080, "TCP"), types={"10.244.0.5": "LOCAL"},
    )  # fmt: skip


@pytest.mark.parametrize("rule", YES)
def test_matches(rule: str) -> None:
    assert one(f"{rule} -j ACCEPT", context())


@pytest.mark.parametrize("rule", NO)
def test_does_not_match(rule: str) -> None:
    assert not one(f"{rule} -j ACCEPT", context())


def test_later_fragments_carry_no_ports() -> None:
    whole = Packet("10.244.0.5", "10.244.1.5", "UDP", Udp(1, 53))
    later = whole.but(l4=Raw(), frag=1480, whole=whole)
    assert not one("-p udp --dport 53 -j ACCEPT", Fake(later)) and not one("-p udp ! --dport 54 -j ACCEPT", Fake(later))
    assert one("-p udp -f -j ACCEPT", Fake(later)) and one("-p udp -j ACCEPT", Fake(later))
    assert not one("-p udp -m udp -j ACCEPT", Fake(later))


def test_icmp_types() -> None:
    needed = Fake(Packet("10.244.0.5", "10.244.1.5", "ICMP", Icmp(3, 4)))
    for rule, wanted in (("fragmentation-needed", True), ("3", True), ("3/5", False), ("any", True), ("echo-request", False)):
        needed.hits.clear()
        assert one(f"-p icmp --icmp-type {rule} -j ACCEPT", needed) is wanted
        needed.hits.clear()
        assert one(f"-p icmp ! --icmp-type {rule} -j ACCEPT", needed) is not wanted
    v6 = Ruleset(6)
    v6.append("filter", "FORWARD", "-p icmpv6 --icmpv6-type packet-too-big -j DROP")
    assert go(v6, "FORWARD", Fake(Packet("fd00::1", "fd00::2", "ICMPv6", Icmp(2)))).kind == "DROP"


def test_a_bridged_packet_by_both_ports() -> None:
    bridged = Fake(tcp(), physin="vetha", physout="vethb")
    assert one("-m physdev --physdev-is-bridged --physdev-in vetha --physdev-out vethb -j ACCEPT", bridged)
    assert not one("-m physdev ! --physdev-is-bridged -j ACCEPT", Fake(tcp(), physin="vetha", physout="vethb"))
    assert one("-m physdev ! --physdev-is-bridged -j ACCEPT", Fake(tcp()))  # no bridge at all: only negations hold


# ---------------------------------------------------------------------------------------------------- chance, memory
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 17, 33, 100, 250, 999])
def test_probabilities_are_the_fractions_that_kube_proxy_meant(n: int) -> None:
    rules = Ruleset()
    for i in range(n - 1):
        rules.append("filter", "FORWARD", f"-m statistic --mode random --probability {1 / (n - i):.10f}")
    left, total = Fraction(1), Fraction(0)
    for rule in rules.rules("filter", "FORWARD"):
        (match,) = rule.matches
        assert isinstance(match, Statistic)
        assert left * match.probability == Fraction(1, n)
        total += left * match.probability
        left *= 1 - match.probability
    assert left == Fraction(1, n)


def test_choices_pass_one_door_and_are_named_by_their_place() -> None:
    context = Fake(tcp(dst="10.96.0.20", dport=8080), draws=lambda weights, chooser: 1)
    verdict = go(agents("kube-proxy"), "PREROUTING", context, "nat")
    assert context.choices == [((1, 1), "nat KUBE-SVC-CARTCARTCARTCART 4")]
    assert verdict.params == NatRange(("10.244.2.5", "10.244.2.5"), (8080, 8080))


def test_odd_probabilities_stay_what_the_kernel_stores() -> None:
    context = Fake(tcp())
    one("-m statistic --mode random --probability 0.3 -j ACCEPT", context)
    assert context.choices == [((644245094, 0x80000000 - 644245094), "filter FORWARD 1")] or Fraction(
        context.choices[0][0][0], sum(context.choices[0][0])
    ) == Fraction(round(0.3 * 0x80000000), 0x80000000)


def test_nth_counts_from_its_packet() -> None:
    rules = Ruleset()
    rules.append("filter", "FORWARD", "-m statistic --mode nth --every 3 --packet 1 -j DROP")
    context = Fake(tcp())
    assert [go(rules, "FORWARD", context).kind for _ in range(7)] == ["ACCEPT", "DROP", "ACCEPT", "ACCEPT", "DROP", "ACCEPT", "ACCEPT"]


def test_limit_is_a_bucket_that_fills_with_time() -> None:
    rules = Ruleset()
    rules.append("filter", "FORWARD", "-m limit --limit 1/s --limit-burst 3 -j DROP")
    context = Fake(tcp())
    seen = []
    for now in (0, 0, 0, 0, 0.5, 1.0, 1.1, 9.0, 9.0, 9.0, 9.0):
        context.now = now
        seen.append(go(rules, "FORWARD", context).kind == "DROP")
    assert seen == [True, True, True, False, False, True, False, True, True, True, False]


def test_hashlimit_keeps_one_bucket_per_key() -> None:
    rules = Ruleset()
    rules.append(
        "filter", "FORWARD", "-m hashlimit --hashlimit-above 1/s --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name a -j DROP"
    )
    lists: dict[str, dict[str, tuple[float, ...]]] = {}
    kinds = [go(rules, "FORWARD", Fake(tcp(src), lists=lists)).kind for src in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2")]
    assert kinds == ["ACCEPT", "DROP", "ACCEPT", "DROP"]


def test_client_ip_affinity_holds_for_its_time_and_is_reaped() -> None:
    rules = agents("kube-proxy")
    context = Fake(tcp(dst="10.96.0.20", dport=8080), draws=lambda weights, chooser: 1)
    ends = []
    for now in (0.0, 100.0, 10899.0, 30000.0):
        context.now = now
        context.draws = (lambda weights, chooser: 0) if now else context.draws
        verdict = go(rules, "PREROUTING", context, "nat")
        ends.append(verdict.params.addresses[0])
    # each connection refreshes the entry; after more than three hours of silence the draw decides again
    assert ends == ["10.244.2.5", "10.244.2.5", "10.244.2.5", "10.244.1.5"]
    assert list(context.lists["KUBE-SEP-BBBBBBBBBBBBBBBB"]) == []
    assert context.lists["KUBE-SEP-AAAAAAAAAAAAAAAA"]["10.244.0.5"] == (64.0, 30000.0)


def test_a_recent_list_holds_a_hundred_addresses() -> None:
    rules = Ruleset()
    rules.append("filter", "FORWARD", "-m recent --name X --set")
    lists: dict[str, dict[str, tuple[float, ...]]] = {}
    for i in range(120):
        go(rules, "FORWARD", Fake(tcp(f"10.1.0.{i + 1}"), now=float(i), lists=lists))
    assert len(lists["X"]) == 100 and "10.1.0.20" not in lists["X"] and "10.1.0.21" in lists["X"]


def test_recent_hitcount_ttl_update_and_remove() -> None:
    lists: dict[str, dict[str, tuple[float, ...]]] = {}

    def ask(options: str, now: float = 0.0, ttl: int = 64) -> bool:
        return one(f"-m recent --name X {options} -j ACCEPT", Fake(tcp().but(ttl=ttl), now=now, lists=lists))

    assert not ask("--rcheck") and ask("! --rcheck") and ask("--set")
    assert ask("--rcheck") and not ask("--rcheck --hitcount 2") and ask("--update", 5) and ask("--rcheck --hitcount 2")
    assert not ask("--rcheck --seconds 3 --hitcount 1", 9) and ask("--rcheck --seconds 5", 9)
    assert not ask("--rcheck --rttl", ttl=63) and ask("--rcheck --rttl")
    assert not ask("--rcheck --rdest") and ask("--remove") and not ask("--rcheck")


# ------------------------------------------------------------------------------------------------- agents' own rules
def test_kube_proxy_masquerades_what_does_not_come_from_a_pod() -> None:
    rules = agents("kube-proxy", "flannel")
    outside = Fake(tcp("192.168.50.11", "10.96.0.20", dport=8080))
    assert go(rules, "OUTPUT", outside, "nat").kind == "DNAT" and outside.mark == 0x4000
    assert go(rules, "POSTROUTING", outside, "nat").kind == "MASQUERADE" and outside.mark == 0
    pod = Fake(tcp("10.244.1.9", "10.96.0.20", dport=8080))
    assert go(rules, "PREROUTING", pod, "nat").kind == "DNAT" and pod.mark == 0
    after = Fake(tcp("10.244.1.9", "10.244.2.5", dport=8080))
    verdict = go(rules, "POSTROUTING", after, "nat")
    assert (verdict.kind, path(after)[-2:]) == ("ACCEPT", ["FLANNEL-POSTRTG", "POSTROUTING"])


def test_kube_proxy_rejects_drops_and_lets_through() -> None:
    rules = agents("kube-proxy")
    assert go(rules, "FORWARD", Fake(tcp(dst="10.96.0.30"))).params == "icmp-port-unreachable"
    assert go(rules, "FORWARD", Fake(tcp(dst="10.96.0.30"), ctstate=frozenset({"ESTABLISHED"}))).kind == "ACCEPT"
    assert go(rules, "INPUT", Fake(tcp(dst="192.168.50.11", dport=30080), types={"192.168.50.11": "LOCAL"})).kind == "DROP"
    assert go(rules, "FORWARD", Fake(tcp(), ctstate=frozenset({"INVALID"}))).kind == "DROP"
    marked = Fake(tcp(), mark=0x4000)
    assert go(rules, "FORWARD", marked).rule.spec.text.endswith("-j ACCEPT")  # type: ignore[union-attr]


def test_kube_proxy_external_traffic_policy_local() -> None:
    rules, local = agents("kube-proxy"), {"192.168.50.11": "LOCAL"}
    client = Fake(tcp("192.168.50.100", "192.168.50.11", dport=30080), types=local)
    assert go(rules, "PREROUTING", client, "nat").params.addresses == ("10.244.1.7",) * 2
    assert "KUBE-SVL-WEBWEBWEBWEBWEBW" in path(client) and client.mark == 0
    node = Fake(tcp("192.168.50.11", "192.168.50.11", dport=30080), types=local)
    go(rules, "OUTPUT", node, "nat")
    assert "KUBE-SVC-WEBWEBWEBWEBWEBW" in path(node) and node.mark == 0x4000


def test_flannel_masquerades_to_the_outside_only() -> None:
    rules = agents("flannel")

    def kind(src: str, dst: str) -> str:
        return go(rules, "POSTROUTING", Fake(tcp(src, dst)), "nat").kind

    assert kind("10.244.1.5", "10.244.2.5") == "ACCEPT" and kind("10.244.1.5", "8.8.8.8") == "MASQUERADE"
    assert kind("10.244.1.5", "224.0.0.5") == "ACCEPT" and kind("192.168.50.9", "10.244.1.5") == "ACCEPT"
    assert kind("192.168.50.9", "10.244.2.5") == "MASQUERADE"


def test_portmap_maps_and_marks() -> None:
    rules, local = agents("portmap"), {"192.168.50.11": "LOCAL"}
    outside = Fake(tcp("192.168.50.100", "192.168.50.11", dport=8443), types=local)
    assert go(rules, "PREROUTING", outside, "nat").params == NatRange(("10.244.1.9",) * 2, (443, 443)) and outside.mark == 0
    hairpin = Fake(tcp("10.244.1.9", "192.168.50.11", dport=8080), types=local)
    assert go(rules, "PREROUTING", hairpin, "nat").kind == "DNAT" and hairpin.mark == 0x2000
    assert go(rules, "POSTROUTING", hairpin, "nat").chain == "CNI-HOSTPORT-MASQ"


def test_kube_router_allows_the_web_pod_and_rejects_the_rest() -> None:
    sets = IpSets()
    sets.restore("create KUBE-SRC-SHOPWEBSHOPWEBSH hash:ip\nadd KUBE-SRC-SHOPWEBSHOPWEBSH 10.244.0.5\n"
                 "create KUBE-DST-SHOPCARTSHOPCARTS hash:ip\nadd KUBE-DST-SHOPCARTSHOPCARTS 10.244.1.5\n")  # fmt: skip
    rules = agents("kube-router", sets=sets)

    def ask(src: str, port: int = 8080, **more: object) -> Verdict:
        return go(rules, "FORWARD", Fake(tcp(src, "10.244.1.5", dport=port), sets=sets, **more))  # type: ignore[arg-type]

    assert ask("10.244.0.5").kind == "ACCEPT"
    assert ask("10.244.0.6").kind == "REJECT" and ask("10.244.0.5", 5432).params == "icmp-port-unreachable"
    assert ask("10.244.0.6", ctstate=frozenset({"ESTABLISHED"})).kind == "ACCEPT"
    assert ask("192.168.50.11", types={"192.168.50.11": "LOCAL"}).kind == "ACCEPT"
    sets.run(["ipset", "del", "KUBE-SRC-SHOPWEBSHOPWEBSH", "10.244.0.5"])
    assert ask("10.244.0.5").kind == "REJECT"


# ------------------------------------------------------------------------------------------------------ not modelled
@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ("filter", "-m cpu --cpu 0 -j DROP"), ("filter", "-j NFQUEUE --queue-num 1"), ("nat", "-j NETMAP --to 10.0.0.0/8"),
        ("filter", "-p tcp --tcp-option 5 -j DROP"), ("filter", "-m hashlimit --hashlimit-upto 4kb/s --hashlimit-name q -j DROP"),
        ("filter", "-m conntrack --ctdir REPLY -j DROP"), ("mangle", "-p tcp -j TPROXY --on-port 80"), ("raw", "-j CT --zone 5"),
    ],
)  # fmt: skip
def test_what_is_kept_but_not_modelled_says_so_when_it_is_met(table: str, rule: str) -> None:
    rules = Ruleset()
    rules.append(table, "PREROUTING" if table != "filter" else "FORWARD", rule)
    assert rule.split(" -j ")[0][:5] in rules.save()
    tracked = Fake(tcp(), ct_original=("10.244.0.5", 1, "10.244.1.5", 2, "TCP"))
    with pytest.raises(NotModelled):
        go(rules, "PREROUTING" if table != "filter" else "FORWARD", tracked, table)


@pytest.mark.parametrize(
    "rule", ["-m string --string x --algo bm", "-j TEE --gateway 1.1.1.1", "-m u32 --u32 0=0", "-j SET --add-set x src"]
)
def test_what_cannot_be_read_says_so_at_once(rule: str) -> None:
    with pytest.raises(NotModelled, match="iptables -"):
        Ruleset().append("filter", "FORWARD", rule)
    with pytest.raises(NotModelled, match="line 2"):
        Ruleset().restore(f"*filter\n-A FORWARD {rule}\nCOMMIT\n")
