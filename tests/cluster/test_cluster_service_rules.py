"""The rules of one Service: what is read from the node's ruleset is what its tools print, nothing of it twice and nothing left over."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.cluster.service_rules import CAUGHT_IN, service_rules
from kubenet_lab.errors import KubenetError, NotFound
from tests.cluster.cluster_fixtures import FRONT

PUBLIC = FRONT + """---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec: {type: NodePort, selector: {app: nobody}, ports: [{port: 80, nodePort: 30099}]}
"""


@pytest.fixture(scope="module")
def cluster() -> Any:
    return kn.example("bookshop").apply(PUBLIC)


def test_every_rule_of_kube_proxy_is_one_services(cluster: Any) -> None:
    """All rules in kube-proxy's chains, apart from those that serve every Service, are found for exactly one Service."""
    for node in ("worker-1", "worker-2"):
        printed = [line for line in str(cluster.node(node).iptables_save()).splitlines() if line.startswith("-A KUBE-")]
        own = [
            line for line in printed
            if line.split()[1].startswith(("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-"))
            or (line.split()[1] in CAUGHT_IN and "NOTE: this must be the last rule" not in line)
        ]  # fmt: skip
        found: list[str] = []
        for service in cluster.objects("Service"):
            if service.spec.cluster_ip not in ("", "None"):
                found += [str(r) for r in service_rules(cluster, node, service.key)]
        assert sorted(found) == sorted(own) and len(set(found)) == len(found)


def test_nftables_maps_and_chains_are_one_services() -> None:
    """Every verdict map's element and every chain with a Service's name is found for exactly one Service, as `nft` prints it."""
    lab = kn.example("bookshop", proxy="nftables").apply(PUBLIC)
    printed = str(lab.node("worker-1").nft_ruleset())
    found: list[str] = []
    for service in lab.objects("Service"):
        if service.spec.cluster_ip not in ("", "None"):
            rules = service_rules(lab, "worker-1", service.key)
            assert rules.mode == "nftables" and rules.caught and all(r.text in printed for r in rules), service.key
            assert all(f"-{service.key}/" in name for name in rules.chains)
            found += [*rules.chains, *(r.text for r in rules.caught)]
            assert str(rules).startswith("table ip kube-proxy {\n\tmap ") and str(rules).endswith("}")
    assert len(set(found)) == len(found)
    chains = {line.split()[1] for line in printed.splitlines() if line.startswith("\tchain ") and "-" in line and "/" in line}
    assert {f for f in found if " " not in f} == {c for c in chains if not c.startswith("affinity-")}
    one = service_rules(lab, "worker-1", "shop/front", port="alt")
    assert one.caught and all("http" not in name.split("/")[-1] for name in one.chains if not name.startswith("endpoint-"))


def test_chances_and_counters(cluster: Any) -> None:
    lab = cluster.copy()
    lab.scale("shop/api", 3)
    before = service_rules(lab, lab.pod("shop/web").node.name, "shop/api")
    choose = next(rules for name, rules in before.chains.items() if name.startswith("KUBE-SVC-"))
    assert [r.chance for r in choose if r.goes_to.startswith("KUBE-SEP-")] == [Fraction(1, 3), Fraction(1, 2), None]
    assert not any(r.packets for r in before)
    trace = lab.connect("shop/web", "svc:shop/api", port=8080)
    after = service_rules(lab, lab.pod("shop/web").node.name, "svc:shop/api")
    counted = [r for r in after if r.packets and r.goes_to.startswith("DNAT")]
    assert [r.packets for r in counted] == [1] and lab.pod(f"pod/{trace.answered_by}").ip in counted[0].goes_to


def test_an_address_that_two_services_name_is_each_ones_own_rule(cluster: Any) -> None:
    lab = cluster.copy().apply("""
apiVersion: v1
kind: Service
metadata: {name: rival, namespace: shop}
spec: {externalIPs: [198.51.100.9], selector: {app.kubernetes.io/name: api}, ports: [{port: 80, targetPort: 8080}]}
""")
    assert all('"shop/front:' not in str(r) for r in service_rules(lab, "worker-1", "shop/rival"))
    assert all('"shop/rival' not in str(r) for r in service_rules(lab, "worker-1", "shop/front"))


def test_what_somebody_wrote_by_hand_is_seen(cluster: Any) -> None:
    lab = cluster.copy()
    vip = lab.get("Service", "shop/cart").spec.cluster_ip
    lab.node("worker-1").run(f"iptables -t nat -I KUBE-SERVICES -d {vip} -p tcp --dport 99 -j DNAT --to-destination 10.244.0.9:99")
    assert service_rules(lab, "worker-1", "shop/cart").caught[0].goes_to == "DNAT 10.244.0.9:99"
    lab.node("worker-1").run("iptables -t nat -F KUBE-SERVICES")
    assert str(service_rules(lab, "worker-1", "shop/cart")) == ""


def test_no_endpoints_is_a_rule_of_the_filter_table(cluster: Any) -> None:
    rules = service_rules(cluster, "worker-1", "shop/empty")
    assert not rules.chains and {(r.table, r.goes_to.split()[0]) for r in rules} == {("filter", "REJECT")}
    assert {r.chain for r in rules} == {"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"}


def test_what_has_no_rules(cluster: Any) -> None:
    with pytest.raises(NotFound):
        service_rules(cluster, "worker-1", "shop/none")
    with pytest.raises(NotFound):
        service_rules(cluster, "worker-9", "shop/cart")
    with pytest.raises(KubenetError, match="headless: it has no address"):
        service_rules(cluster, "worker-1", "data/db")


def test_rules_that_are_written_anew_count_from_zero(cluster: Any) -> None:
    """iptables-restore begins a chain at [0:0]; a counter is of a rule, never of another one that stands where it stood."""
    lab = kn.example("bookshop")
    lab.connect("shop/web", "svc:shop/api", port=8080)
    node = lab.pod("shop/web").node.name
    assert any(r.packets for r in service_rules(lab, node, "shop/api"))
    assert any(r.packets for r in service_rules(lab.copy(), node, "shop/api")), "a copy goes on"
    lab.apply(PUBLIC)
    assert "[0:0]" in lab.node(node).iptables_save(counters=True) and not any(
        count for line in str(lab.node(node).iptables_save(counters=True)).splitlines() if line.startswith("[")
        for count in [int(line[1:].split(":")[0])]
    )  # fmt: skip
    lab.connect("shop/web", "svc:shop/api", port=8080)
    lab.resync()
    assert not any(r.packets for r in service_rules(lab, node, "shop/api"))


def test_a_chain_without_rules_counts_for_its_policy_once_it_was_set() -> None:
    """As the nft kind of iptables does it: before -P an empty chain has no counters (tests/kernel_iptables/test_iptables_counted.py)."""
    cluster = kn.example("bookshop")
    node, listing = cluster.node("worker-1"), "iptables -t mangle -L FORWARD -v"
    node.run("iptables -t mangle -N KUBE-NOBODY")
    assert cluster.connect("shop/web", "svc:shop/cart", port=8080)
    assert "(policy ACCEPT 0 packets, 0 bytes)" in str(node.run(listing))
    node.run("iptables -t mangle -P FORWARD ACCEPT")
    assert cluster.connect("shop/web", "svc:shop/cart", port=8080)
    assert "(policy ACCEPT 0 packets" not in str(node.run(listing))
