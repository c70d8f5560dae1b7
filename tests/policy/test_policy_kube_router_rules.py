"""The text that kube-router's compiler writes: names, structure, and the real programs that must take it."""

from __future__ import annotations

import os
import re
import subprocess
from random import Random

import pytest
from policy_worlds import NODES, random_cluster, snapshot_of

from kubenet_lab.policy import kube_router_names as names
from kubenet_lab.policy.kube_router import rules

CLUSTER = {
    "pods": [
        {"ns": "shop", "name": "web", "labels": {"app": "web"}, "node": "n1", "ip": "10.244.1.2", "more_ips": ("fd00:1::2",), "ports": []},
        {"ns": "data", "name": "db", "labels": {"app": "db"}, "node": "n2", "ip": "10.244.2.2", "more_ips": ("fd00:2::2",),
         "ports": [{"name": "pg", "port": 5432}]},
        {"ns": "data", "name": "proxy", "labels": {"app": "proxy"}, "node": "n2", "ip": "192.168.50.12", "host_network": True, "ports": []},
        {"ns": "data", "name": "done", "labels": {"app": "db"}, "node": "n2", "ip": "10.244.2.9", "finished": True, "ports": []},
    ],
    "namespaces": {"shop": {"team": "a"}},
    "policies": [
        {"metadata": {"name": "db", "namespace": "data"}, "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{
            "from": [
                {"namespaceSelector": {"matchLabels": {"team": "a"}}},
                {"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.64/26"]}},
            ],
            "ports": [{"port": "pg"}, {"port": 6000, "endPort": 6010}]}]}},
        {"metadata": {"name": "both", "namespace": "shop"},
         "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]}},
    ],
}  # fmt: skip


def compiled(node="n2", addresses=(NODES["n2"],), **options):
    return rules(snapshot_of(CLUSTER), node, addresses, **options)


def chain(text: str, name: str) -> list[str]:
    """The rules of a chain in the order in which they run."""
    out: list[str] = []
    for line in text.splitlines():
        if line.startswith(f"-A {name} "):
            out.append(line.removeprefix(f"-A {name} "))
        elif line.startswith(f"-I {name} 1 "):
            out.insert(0, line.removeprefix(f"-I {name} 1 "))
    return out


def test_the_marks_in_the_jumps_are_those_of_a_real_node():
    """Seen in iptables-save of a k3s node (which embeds kube-router's controller): INPUT, FORWARD, OUTPUT."""
    text = compiled().iptables_text
    for builtin, seen in (("INPUT", "4IA2OSFRMVNDXBVV"), ("FORWARD", "TEMCG2JMHZYE7H7T"), ("OUTPUT", "VEAAIY32XVBHCSCY")):
        assert f'-I {builtin} 1 -m comment --comment "kube-router netpol - {seen}" -j KUBE-ROUTER-{builtin}' in text


def test_service_addresses_go_by_before_any_pod_is_judged():
    top = chain(
        compiled(service_cidrs=("10.96.0.0/12", "fd00:10::/112"), external_ip_ranges=("198.51.100.0/24",)).iptables_text, names.INPUT
    )
    assert [("10.96.0.0/12" in top[0]), ("-p tcp" in top[1]), ("-p udp" in top[2]), ("198.51.100.0/24" in top[3])] == [True] * 4
    assert all(t.endswith("-j RETURN") for t in top[:4]) and "--dports 30000:32767" in top[1]
    assert "fd00:10::" not in "".join(top) and not any(t.endswith("-j RETURN") for t in top[4:])
    assert top[-1].endswith("-m mark --mark 0x20000/0x20000 -j ACCEPT")


def test_the_chain_of_a_pod_in_order():
    text = compiled().iptables_text
    name = names.pod_chain("data", "db", "1")
    order = [re.sub(r'--comment "[^"]*"', "", line) for line in chain(text, name)]
    policy = names.policy_chain("data", "db", "1", 4)
    assert [o.split("-j ")[1] for o in order] == [
        names.COMMON, "ACCEPT", names.DEFAULT, policy, "NFLOG --nflog-group 100 -m limit --limit 10/minute --limit-burst 10", "REJECT",
        "MARK --set-mark 0/0x10000", "MARK --set-mark 0x20000/0x20000",
    ]  # fmt: skip
    assert "--src-type LOCAL -d 10.244.2.2" in order[1]
    assert order[2].startswith("-s 10.244.2.2") and order[3].startswith("-d 10.244.2.2")
    assert text.count(f"-j {name}") == 7, "as on a real node: 7 references"


def test_a_policy_for_both_directions_is_jumped_to_whatever_the_direction():
    text = compiled("n1", (NODES["n1"],)).iptables_text
    policy = names.policy_chain("shop", "both", "1", 4)
    jumps = [line for line in chain(text, names.pod_chain("shop", "web", "1")) if policy in line]
    assert jumps == [f'-m comment --comment "run through nw policy both" -j {policy}']


def test_only_local_pods_of_the_pod_network_get_a_chain():
    c = compiled()
    assert {o for o in c.origins.values() if o.startswith("Pod ")} == {"Pod data/db"}
    assert {o for o in c.origins.values() if o.startswith("Net")} == {"NetworkPolicy data/db", "NetworkPolicy shop/both"}
    assert "10.244.2.9" not in c.ipset_text + c.iptables_text, "a finished pod"


def test_sets_of_a_rule():
    text = compiled().ipset_text
    pods, block = names.peer_set("data", "db", "ingress", 0, 4), names.block_set("data", "db", "ingress", 0, 4)
    port = names.named_port_set("data", "db", "ingress", 0, 0, 4)
    assert f"create {pods} hash:ip family inet hashsize 1024 maxelem 65536 timeout 0\nadd {pods} 10.244.1.2 timeout 0\n" in text
    assert f"create {block} hash:net " in text and f"add {block} 203.0.113.64/26 timeout 0 nomatch" in text
    assert f"add {port} 10.244.2.2 timeout 0" in text
    policy = chain(compiled().iptables_text, names.policy_chain("data", "db", "1", 4))
    assert len(policy) == 8, "two kinds of peer, two ports, a mark and a return each"
    assert sum("--dport 6000:6010" in p for p in policy) == 4 and sum(f"{port} dst -p tcp --dport 5432" in p for p in policy) == 4
    assert all(p.endswith(("-j MARK --set-xmark 0x10000/0x10000", "-m mark --mark 0x10000/0x10000 -j RETURN")) for p in policy)


def test_both_families():
    c = compiled(addresses=(NODES["n2"], "fd00::12"))
    assert "10.244.2.2" not in c.ip6tables_text and "fd00:2::2" in c.ip6tables_text and "fd00:" not in c.iptables_text
    assert f"create inet6:{names.target_set('data', 'db', 'ingress', 4)}" not in c.ipset_text, "the family is part of the hash"
    assert f"add {names.target_set('data', 'db', 'ingress', 6)} fd00:2::2 timeout 0" in c.ipset_text
    assert "ipv6-icmp --icmpv6-type neighbor-solicitation" in c.ip6tables_text
    assert compiled(addresses=("fd00::12",)).iptables_text == ""


def test_the_stamp_changes_chains_and_not_sets():
    one, two = compiled(), compiled(stamp="1700000000000000000")
    assert one.ipset_text == two.ipset_text and one.iptables_text != two.iptables_text
    assert compiled() == one, "the same again"


def test_origins_name_every_chain_and_set_but_the_common_ones():
    c = compiled()
    made = set(re.findall(r"^:(\S+)", c.iptables_text, re.M)) | set(re.findall(r"^create (\S+)", c.ipset_text, re.M))
    assert made - set(c.origins) == {names.INPUT, names.FORWARD, names.OUTPUT, names.DEFAULT, names.COMMON}


# --- the real programs -------------------------------------------------------------------------------------------------
def netns(script: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh network namespace; `files` are there as environment variables."""
    lock = {"XTABLES_LOCKFILE": "/dev/null"}
    return subprocess.run(
        ["unshare", "-n", "sh", "-ec", script], capture_output=True, text=True, env={**os.environ, **lock, **files}, check=False, timeout=60
    )


@pytest.fixture
def tools(require_tool, require_that):
    for tool in ("unshare", "ipset", "iptables-restore", "ip6tables-restore"):
        require_tool(tool)
    probe = netns(
        "ipset create probe hash:ip timeout 0 && iptables -A INPUT -m set --match-set probe src -m addrtype --src-type LOCAL -j ACCEPT"
    )
    require_that(probe.returncode == 0, f"a network namespace with ipset and iptables ({probe.stderr.strip()})", "netns")


LOAD = """printf %s "$SETS" | ipset restore
printf %s "$V4" | iptables-restore --noflush
printf %s "$V6" | ip6tables-restore --noflush
ipset save; iptables-save -t filter; ip6tables-save -t filter"""


@pytest.mark.real
@pytest.mark.parametrize("case", ["fixed", *range(6)])
def test_the_real_programs_load_it(tools, case):
    if case == "fixed":
        c = compiled(addresses=(NODES["n2"], "fd00::12"), external_ip_ranges=("198.51.100.0/24", "2001:db8::/64"))
    else:
        c = rules(snapshot_of(random_cluster(Random(f"load/{case}"))), "n1", (NODES["n1"], "fd00::11"))
    done = netns(LOAD, SETS=c.ipset_text, V4=c.iptables_text, V6=c.ip6tables_text)
    assert done.returncode == 0, done.stderr
    for text in (c.iptables_text, c.ip6tables_text):
        assert all(f":{name} - " in done.stdout for name in re.findall(r"^:(\S+)", text, re.M))
    written = sum(line[:2] in ("-A", "-I") for text in (c.iptables_text, c.ip6tables_text) for line in text.splitlines())
    assert sum(line.startswith("-A") for line in done.stdout.splitlines()) == written
    assert sum(line.startswith("add ") for line in done.stdout.splitlines()) == c.ipset_text.count("add ")
