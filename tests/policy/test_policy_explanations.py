"""What a decision says of itself: the term that failed, the smallest change, what is undefined, who enforces."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from policy_worlds import NODES, peer_of, snapshot_of

from kubenet_lab.errors import KubenetError, NotFound, NotModelled
from kubenet_lab.explain.policy import PHRASES
from kubenet_lab.policy import ENGINES, PolicyEngine, decide, engine_for, engine_named, peer_at
from kubenet_lab.policy import peers as peers_module

HERE = Path(__file__).resolve().parents[2] / "kubenet_lab" / "policy"


def shop(*specs, pods=(), namespaces=None):
    """web and api in shop, db in data (on node n2); each policy is (namespace, name, spec)."""
    base = [
        {"ns": "shop", "name": "web", "labels": {"app": "web"}, "ip": "10.244.1.2"},
        {"ns": "shop", "name": "api", "labels": {"app": "api"}, "ip": "10.244.1.3"},
        {"ns": "data", "name": "db", "labels": {"app": "db"}, "node": "n2", "ip": "10.244.2.2", "ports": [{"name": "pg", "port": 5432}]},
    ]
    policies = [{"metadata": {"namespace": ns, "name": name}, "spec": spec} for ns, name, spec in specs]
    return snapshot_of({"pods": [*base, *pods], "namespaces": namespaces or {}, "policies": policies})


def end(snapshot, text):
    kind, _, rest = text.partition(":")
    if kind == "external":
        return peer_of(snapshot, ("external", rest))
    return peer_of(snapshot, ("node", rest, NODES[rest])) if kind == "node" else peer_of(snapshot, ("pod", *text.split("/")))


def ask(snapshot, src, dst, port=5432, protocol="TCP", **options):
    return decide(snapshot, end(snapshot, src), end(snapshot, dst), port, protocol, **options)


def codes(decision):
    return [r.code for r in decision.reasons]


API_ONLY = ("data", "db", {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [
    {"from": [{"podSelector": {"matchLabels": {"app": "api"}}, "namespaceSelector": {}}], "ports": [{"port": 5432}]}]})  # fmt: skip


def test_a_denial_down_to_the_term():
    d = ask(shop(API_ONLY), "shop/web", "data/db")
    assert not d and d.denied_by == ("ingress",) and d.ingress.isolated_by == ("data/db",)
    text = d.explain()
    assert "Policy data/db, ingress rule 1, from[0].podSelector: app=api does not hold: the pod has app=web." in text
    assert "if pod shop/web had label app=api (policy data/db, ingress rule 1)" in text
    assert [f.text for f in d.fixes] == ["pod shop/web had label app=api"]
    assert codes(d) == ["policy.denied", "policy.not_isolated", "policy.denied_ingress", "policy.selector_term_failed", "policy.fix"]
    assert all(r.origin == "NetworkPolicy data/db" for r in d.reasons[2:])


def test_a_denial_by_the_port():
    d = ask(shop(API_ONLY), "shop/api", "data/db", 80)
    assert "ports[0]: it admits TCP 5432; this is TCP 80." in d.explain() and d.fixes[0].text == "the port were 5432"
    assert ask(shop(API_ONLY), "shop/api", "data/db", 5432, "UDP").fixes[0].text == "the port were TCP 5432"


def test_an_admission_names_rule_peer_and_port():
    d = ask(shop(API_ONLY), "shop/api", "data/db")
    match = d.ingress.allowed_by
    assert (match.policy, match.rule, match.peer, match.port, match.path) == ("data/db", 0, 0, 0, "ingress[0].from[0]")
    assert "ingress rule 1 admits this (from[0]: pods with app=api of every namespace; TCP 5432)" in d.explain()
    assert d.fixes == () and d.ingress.nearest is None


def test_the_fix_with_the_fewest_changes_wins():
    d = ask(
        shop(("data", "p", {"podSelector": {}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"a": "1", "b": "2"}}, "namespaceSelector": {}}]},
            {"from": [{"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, "namespaceSelector": {}}]},
        ]})),
        "shop/web", "data/db",
    )  # fmt: skip
    assert d.ingress.nearest.rule == 1 and d.ingress.nearest.text == "pod shop/web had label tier=true"
    assert [c.rule for c in d.ingress.candidates] == [0, 1] and len(d.ingress.candidates[0].misses) == 2


@pytest.mark.parametrize(("peer", "says", "fix"), [
    ({"podSelector": {"matchLabels": {"app": "api"}}}, "means pods of data only; the pod is in shop", None),
    ({"namespaceSelector": {"matchLabels": {"team": "a"}}},
     "team=a does not hold: the namespace has no label team", "namespace shop had label team=a"),
    ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}}},
     "the namespace has kubernetes.io/metadata.name=shop", None),
    ({"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}},
     "app notin (web) does not hold: the pod has app=web", "pod shop/web had no label app"),
    ({"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["z", "y"]}]}},
     "app in (y,z) does not hold", "pod shop/web had label app=z"),
    ({"namespaceSelector": {}, "podSelector": {"matchExpressions": [
        {"key": "app", "operator": "In", "values": ["z", "y"]}, {"key": "app", "operator": "NotIn", "values": ["z"]}]}},
     "app in (y,z) does not hold", "pod shop/web had label app=y"),
    ({"namespaceSelector": {}, "podSelector": {"matchExpressions": [
        {"key": "app", "operator": "In", "values": ["z"]}, {"key": "app", "operator": "DoesNotExist"}]}}, "app in (z) does not hold", None),
    ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.1.0/24"]}}, "10.244.1.2 is in the exception 10.244.1.0/24", None),
    ({"ipBlock": {"cidr": "192.0.2.0/24"}}, "10.244.1.2 is not in 192.0.2.0/24", None),
    ({}, "the API server would refuse this entry", None),
    ({"podSelector": {}, "ipBlock": {"cidr": "0.0.0.0/0"}}, "the API server would refuse this entry", None),
])  # fmt: skip
def test_what_each_kind_of_peer_says(peer, says, fix):
    d = ask(shop(("data", "p", {"podSelector": {}, "ingress": [{"from": [peer]}]})), "shop/web", "data/db")
    assert not d and says in d.explain(), d.explain()
    assert [f.text for f in d.fixes] == ([fix] if fix else [])


def test_no_rule_at_all():
    d = ask(shop(("data", "deny", {"podSelector": {}})), "shop/web", "data/db")
    assert "Policy data/deny has no ingress rule: it isolates and admits nothing." in d.explain() and d.fixes == ()


def test_both_directions_may_refuse():
    d = ask(
        shop(API_ONLY, ("shop", "out", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53}]}]})),
        "shop/web",
        "data/db",
    )
    assert d.denied_by == ("egress", "ingress") and "denied by the egress of shop/web and the ingress of data/db" in d.explain()
    assert [f.text for f in d.fixes] == ["the port were 53", "pod shop/web had label app=api"]


def test_selectors_mean_no_outside_address():
    d = ask(shop(API_ONLY), "external:203.0.113.7", "data/db")
    assert "selectors mean pods, and external:203.0.113.7 is none" in d.explain()


def test_a_port_name_that_nobody_declares():
    d = ask(shop(("data", "p", {"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]})), "shop/web", "data/db")
    assert "TCP http is a name, and data/db declares no such port" in d.explain() and d.fixes == ()
    d = ask(shop(("data", "p", {"podSelector": {}, "ingress": [{"ports": [{"port": "pg"}]}]})), "shop/web", "data/db", 80)
    assert "it admits TCP pg (5432); this is TCP 80" in d.explain() and d.fixes[0].text == "the port were 5432"


def test_asking_by_name():
    s = shop()
    assert ask(s, "shop/web", "data/db", "pg").port == 5432
    with pytest.raises(NotFound, match="nearest: pg"):
        ask(s, "shop/web", "data/db", "pgg")
    with pytest.raises(NotFound):
        ask(s, "shop/web", "data/db", "pg", "UDP")
    for port in (0, 65536, -1, None):
        with pytest.raises(KubenetError):
            ask(s, "shop/web", "data/db", port)


def test_undefined_by_the_api_is_said():
    d = ask(shop(API_ONLY), "shop/api", "data/db", None, "ICMP")
    assert not d and "undefined by the API: engines differ" in d.explain() and d.fixes == ()
    d = ask(
        shop(("data", "p", {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.244.0.0/16"}}]}]})), "shop/api", "data/db"
    )
    assert d and "Undefined by the API: engines differ; spec lets an ipBlock match pods." in d.explain()
    d = ask(shop(("data", "p", {"podSelector": {}})), "data/db", "data/db", hairpin=True)
    assert d and "policy.self_hairpin" in codes(d)


def test_an_engine_is_a_table_and_may_be_varied():
    s = shop(("data", "p", {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.244.0.0/16"}}]}]}))
    outside_only = replace(ENGINES["spec"], name="outside-only", ip_block_matches_pods=False)
    d = ask(s, "shop/api", "data/db", engine=outside_only)
    assert not d and "policy.block_means_outside" in codes(d)
    host = {"ns": "shop", "name": "hostly", "labels": {"app": "api"}, "node": "n1", "ip": NODES["n1"], "host_network": True}
    s = shop(API_ONLY, pods=[host])
    assert not ask(s, "shop/hostly", "data/db")
    assert ask(s, "shop/hostly", "data/db", engine=replace(ENGINES["spec"], host_network="pod"))


def test_every_answer_of_an_engine_has_evidence():
    for engine in ENGINES.values():
        for answer in ("ip_block_matches_pods", "host_network", "from_local_node", "to_local_node", "hairpin", "other_protocols"):
            assert engine.evidence[answer].source


def test_nobody_enforces():
    d = ask(shop(API_ONLY), "shop/web", "data/db")
    assert d.enforced_by == "" and "policy.not_enforced" not in codes(d)
    told = d.with_enforcer(None, "flannel")
    assert "flannel enforces no NetworkPolicy" in told.explain() and told.explain().endswith("The policies themselves say: deny.")
    assert told.enforced_by is None and not told and told.to_dict()["enforced_by"] is None
    assert d.with_enforcer("kube-router").enforced_by == "kube-router"


def test_kube_router_says_where_it_leaves_the_api_text():
    s = shop(("shop", "p", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": []}))
    d = ask(s, "shop/web", "shop/api", 80, engine="kube-router")
    assert d and d.egress.foreign and "The API text would deny it." in d.explain()
    assert not ask(s, "shop/web", "shop/api", 80)
    assert "policy.icmp_always" in codes(ask(s, "shop/web", "data/db", None, "ICMP", engine="kube-router"))


def test_local_node_and_self_are_said():
    s = shop(("data", "deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
    assert "policy.from_local_node" in codes(ask(s, "node:n2", "data/db")) and "policy.to_local_node" in codes(ask(s, "data/db", "node:n2"))
    assert not ask(s, "node:n1", "data/db")
    assert codes(ask(s, "data/db", "data/db")) == ["policy.allowed", "policy.self", "policy.self"]


def test_dual_stack_asks_in_one_family():
    pods = [{"ns": "shop", "name": "dual", "labels": {"app": "dual"}, "ip": "10.244.1.9", "more_ips": ("fd00:1::9",)},
            {"ns": "data", "name": "six", "labels": {"app": "six"}, "ip": "fd00:2::9"}]  # fmt: skip
    s = shop(("data", "p", {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "fd00:1::/64"}}]}]}), pods=pods)
    assert ask(s, "shop/dual", "data/six") and not ask(s, "shop/dual", "data/db")
    assert not ask(s, "shop/dual", "data/six", ip_family=4)


def test_shows_itself():
    d = ask(shop(API_ONLY), "shop/web", "data/db")
    assert repr(d) == "PolicyDecision(shop/web -> data/db:5432/TCP: denied (ingress), spec)"
    assert str(d) == d.explain() and "&lt;" not in d._repr_html_()
    evil = {"ns": "shop", "name": "x", "labels": {"app": "<script>"}, "ip": "10.244.1.7"}
    assert "<script>" not in ask(shop(API_ONLY, pods=[evil]), "shop/x", "data/db")._repr_html_()
    out = d.to_dict()
    assert out["ingress"] == {"verdict": False, "isolated_by": ["data/db"], "exempt": "", "allowed_by": None}
    assert all(r["sentence"] for r in out["reasons"])


def test_every_code_has_words_and_every_word_a_use():
    used = set(re.findall(r'"(policy\.[a-z_]+)"', "".join(p.read_text() for p in HERE.glob("*.py"))))
    used |= {"policy.denied_ingress", "policy.denied_egress"}
    walk = {"policy.rejected", "policy.accepted"}  # said by the walk, where the programmed rules act
    assert used - set(PHRASES) == set() and set(PHRASES) - used == walk
    assert all(p.evidence for code, p in PHRASES.items() if code != "policy.fix")


# --- who enforces ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("cni", "option", "who"), [
    ("flannel", "auto", None), ("bridge", "auto", None), ("flannel", "kube-router", "kube-router"), ("flannel", None, None),
    ("kube-router", "auto", "kube-router"), ("kube-router", "none", None), ("calico", "auto", "calico"), ("flannel", "calico", "calico"),
    ("flannel", PolicyEngine(), "kube-router"), ("cilium", "auto", "cilium"),
])  # fmt: skip
def test_engine_for(cni, option, who):
    assert engine_for(cni, option) == who


def test_engines_that_are_not_modelled_say_so():
    for name in ("calico", "cilium", "antrea"):
        with pytest.raises(NotModelled, match=name):
            engine_named(name)
        with pytest.raises(NotModelled):
            PolicyEngine(name)
        with pytest.raises(NotModelled):
            ask(shop(), "shop/web", "data/db", engine=name)
    with pytest.raises(NotModelled, match="aws-node"):
        engine_for("aws-node")
    with pytest.raises(NotFound):
        engine_named("kube-ruter")
    with pytest.raises(NotFound):
        engine_for("flannel", "spec")


# --- peers -------------------------------------------------------------------------------------------------------------
def test_who_has_an_address():
    s = shop(pods=[{"ns": "shop", "name": "old", "labels": {}, "ip": "10.244.1.3", "finished": True},
                   {"ns": "shop", "name": "hostly", "labels": {}, "ip": NODES["n1"], "host_network": True}])  # fmt: skip
    assert str(peer_at(s, "10.244.1.3")) == "shop/api", "a finished pod has given its address back"
    assert str(peer_at(s, NODES["n1"])) == "node:n1", "a hostNetwork pod shares its node's address"
    assert str(peer_at(s, "203.0.113.7")) == "external:203.0.113.7"
    with pytest.raises(ValueError):
        peer_at(s, "shop/web")
    with pytest.raises(NotFound, match="shop/web"):
        peers_module.pod_peer(s, "shop/wbe")
    assert peers_module.node_peer(s, "n2").addresses == (NODES["n2"],)
    with pytest.raises(NotFound):
        peers_module.node_peer(s, "n3")
    assert [p.key for p in peers_module.pod_peers(s)] == ["data/db", "shop/api", "shop/hostly", "shop/web"]


def test_a_new_snapshot_is_a_new_answer():
    """Answers are kept per snapshot; a pod of the same name in another one is another pod."""
    a, b = shop(API_ONLY), shop(API_ONLY, namespaces={"shop": {}})
    assert not ask(a, "shop/web", "data/db")
    relabelled = snapshot_of({
        "pods": [{"ns": "shop", "name": "web", "labels": {"app": "api"}, "ip": "10.244.1.2"},
                 {"ns": "data", "name": "db", "labels": {"app": "db"}, "node": "n2", "ip": "10.244.2.2"}],
        "namespaces": {}, "policies": [{"metadata": {"namespace": "data", "name": "db"}, "spec": API_ONLY[2]}]})  # fmt: skip
    assert ask(relabelled, "shop/web", "data/db") and not ask(b, "shop/web", "data/db") and not ask(a, "shop/web", "data/db")
