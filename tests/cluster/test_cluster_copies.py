"""copy, diff, and hand edits: what they keep, what they show, and what resync drops."""

from __future__ import annotations

import pytest

import kubenet_lab as kn
from kubenet_lab import CommandError, KubenetError
from tests.cluster.cluster_fixtures import SMALL, dynamic, everything, pod, programmed


@pytest.fixture
def small() -> kn.Cluster:
    return kn.load(SMALL)


def vtep(cluster: kn.Cluster, node: str = "worker-1") -> str:
    """The MAC address of the other node's flannel.1, as this node's FDB has it."""
    fdb = cluster.node(node).fdb()
    return str(fdb[(fdb.ifname == "flannel.1") & (fdb.dst != "")].mac.iloc[0])


def cut(cluster: kn.Cluster) -> str:
    """Take worker-1's way to worker-2 away; the command."""
    command = f"bridge fdb del {vtep(cluster)} dev flannel.1 dst 192.168.50.12"
    cluster.node("worker-1").run(command)
    return command


DENY = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "default"},
    "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]},
}  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- copies
def test_a_copy_is_equal_and_independent(small: kn.Cluster) -> None:
    small.connect("default/client", "svc:default/server")
    twin = small.copy()
    assert everything(twin) == everything(small) and not small.diff(twin)
    before = everything(small)
    twin.apply(pod("default/more", labels={"app": "server"})).set_pod("default/near", ready=False).tick(5)
    twin.connect("default/client", "svc:default/server")
    cut(twin)
    assert everything(small) == before
    after = everything(twin)
    small.delete("pod", "default/far").flush()
    cut_back = small.edits
    assert everything(twin) == after and cut_back == ()


def test_a_copy_asks_and_allocates_as_the_original(small: kn.Cluster) -> None:
    twin = small.copy()
    for c in (small, twin):
        c.apply([pod("default/next"), {**SMALL[3], "metadata": {"name": "other", "namespace": "default"}}])
        c.connect("default/client", "svc:default/other")
    assert everything(small) == everything(twin)


def test_a_copy_with_a_policy_engine_enforces(small: kn.Cluster) -> None:
    small.apply(DENY)
    trace = small.connect("default/client", "default/far", 8080)
    assert trace and trace.reasons[0].code == "cluster.policy_not_enforced" and "default/deny" in str(trace.explain())
    other = small.copy(policy="kube-router")
    assert other.engine == "kube-router" and small.engine is None
    denied = other.connect("default/client", "default/far", 8080)
    assert (denied.verdict, denied.error) == ("refused", "ECONNREFUSED")
    assert any("default/deny" in str(r) for r in denied.reasons) and denied.reasons[-1].code == "filter.reject"
    through = other.connect("default/client", "svc:default/server")
    assert through.error == "ECONNREFUSED" and any("default/deny" in str(r) for r in through.reasons), (
        "found behind the Service's address too"
    )
    assert other.to_yaml() == small.to_yaml(), "names, placement and addresses are kept"
    for engine in (None, "none"):
        assert other.copy(policy=engine).connect("default/client", "default/far", 8080)


def test_a_copy_on_another_pod_network(small: kn.Cluster) -> None:
    other = small.copy(pod_cidr="172.20.0.0/16")
    for p in small.objects("pod"):
        q = other.get("pod", p.key)
        assert q.spec.node_name == p.spec.node_name and q.ips[0].startswith("172.20.") and q.metadata.uid == p.metadata.uid
    assert {s.key: s.spec.cluster_ip for s in other.objects("svc")} == {s.key: s.spec.cluster_ip for s in small.objects("svc")}
    assert {o.answered_by for o in other.outcomes("default/client", "svc:default/server")} == {"default/near", "default/far"}
    assert other.connect("default/client", "server").source_seen == other.pod("default/client").ip
    assert "10.244" not in str(other.node("worker-1").iptables_save()) + str(other.summary())


def test_a_copy_with_other_options_of_the_network(small: kn.Cluster) -> None:
    other = small.copy(cni=kn.Flannel(vni=42, direct_routing=True))
    assert [p.ips for p in other.objects("pod")] == [p.ips for p in small.objects("pod")]
    trace = other.connect("default/client", "default/far", 8080)
    assert trace and not any(h.code.endswith("encap") for h in trace.hops)
    assert small.copy(underlay={"mtu": 1400}).node("worker-1").links().set_index("ifname").mtu["cni0"] == 1350
    assert (
        small.copy(proxy=kn.KubeProxy(masquerade_all=True))
        .outcomes("default/client", "svc:default/server")[0]
        .source_seen.startswith("10.244.0.")
    )
    assert not small.copy(listening={"default/near": []}).connect("default/client", "default/near", 8080)
    assert small.copy(seed=5).options.seed == 5 and small.options.seed == 0


def test_a_copy_with_another_dns(small: kn.Cluster) -> None:
    assert not [p for p in small.copy(dns="none").objects("pod") if p.namespace == "kube-system"]
    one = small.copy(dns=kn.CoreDNS(replicas=1, corefile=".:53 {\n    forward . /etc/resolv.conf\n}\n"))
    assert len([p for p in one.objects("pod") if p.namespace == "kube-system"]) == 1 and "kubernetes" not in one.dns.corefile
    assert small.resolve("default/client", "server").addresses and not one.resolve("default/client", "server").addresses
    kept = small.copy().scale("kube-system/coredns", 3).copy(policy="kube-router")
    assert len([p for p in kept.objects("pod") if p.namespace == "kube-system"]) == 3


def test_notes_of_a_copy_say_what_holds_for_it(small: kn.Cluster) -> None:
    whats = [a.what for a in small.copy(policy="kube-router").assumptions]
    assert sorted(whats) == sorted({*whats}) and set(whats) == {a.what for a in small.assumptions}
    assert {a.what for a in small.copy(pod_cidr="172.20.0.0/16").assumptions} >= {"nodes", "node network", "kube-proxy"}


# ---------------------------------------------------------------------------------------------------------------- diff
def test_no_difference(small: kn.Cluster) -> None:
    diff = small.diff(small.copy())
    assert not diff and str(diff) == "no difference" and diff.to_frame().empty and diff.to_dict() == {"changes": []}


def test_objects_entries_and_verdicts(small: kn.Cluster) -> None:
    other = small.copy().apply(DENY).copy(policy="kube-router").set_pod("default/far", ready=False)
    diff = small.diff(other)
    assert diff and {c.where for c in diff.objects} >= {"NetworkPolicy default/deny"}
    assert any("Pod default/far status.conditions" in c.where for c in diff.objects)
    assert any("KUBE-ROUTER" in c.after for c in diff.entries) and any("default/server:http -> 10.244.1." in c.before for c in diff.entries)
    assert [str(c) for c in diff.verdicts if c.where.startswith("default/client → svc:default/server")] == [
        "default/client → svc:default/server:80: delivered → refused", "default/client → svc:default/server:9 UDP: delivered → refused"
    ]  # fmt: skip
    back = other.diff(small)
    assert {(c.where, c.after, c.before) for c in back.verdicts} == {(c.where, c.before, c.after) for c in diff.verdicts}
    assert len(diff.to_frame()) == len(diff.changes) and "default/deny" in diff._repr_html_() and "\n" not in repr(diff)


def test_a_diff_of_chosen_flows_and_of_chance(small: kn.Cluster) -> None:
    other = small.copy(listening={"default/near": []})
    (one,) = small.diff(other, flows=[("default/client", "svc:default/server", 80), ("default/client", "default/far", 8080)]).verdicts
    assert str(one) == "default/client → svc:default/server:80: delivered → 1/2 delivered, 1/2 refused"
    for _ in range(3):
        other.connect("default/client", "svc:default/server")
    assert small.diff(other, flows=[("default/client", "svc:default/server", 80)]).verdicts == (one,), "not what was drawn, but what can be"
    gone = small.copy().delete("pod", "default/far")
    (lost,) = small.diff(gone, flows=[("default/client", "default/far", 8080)]).verdicts
    assert lost.before == "delivered" and lost.after.startswith("no pod")


# --------------------------------------------------------------------------------------------------------------- edits
def test_a_hand_edit_breaks_and_mends(small: kn.Cluster) -> None:
    mac = vtep(small)
    assert small.connect("default/client", "default/far", 8080)
    command = cut(small)
    assert [str(e) for e in small.edits] == [f"worker-1# {command}"]
    trace = small.connect("default/client", "default/far", 8080)
    assert (trace.verdict, trace.error) == ("timeout", "ETIMEDOUT") and trace.hops[-1].failed and trace.hops[-1].host == "worker-1"
    small.node("worker-1").run(f"bridge fdb add {mac} dev flannel.1 dst 192.168.50.12 self permanent")
    assert small.connect("default/client", "default/far", 8080) and len(small.edits) == 2
    assert not small.diff(kn.load(SMALL)).entries


def test_hand_edits_survive_copy_and_apply_until_resync(small: kn.Cluster) -> None:
    small.connect("default/client", "default/far", 8080)
    cut(small)
    twin = small.copy()
    enforcing = small.copy(policy="kube-router")
    small.apply(pod("default/more", labels={"app": "server"})).set_pod("default/near", ready=False).scale("kube-system/coredns", 1)
    for c in (small, twin, enforcing):
        assert c.connect("default/client", "default/far", 8080).verdict == "timeout" and len(c.edits) == 1
    small.resync()
    assert small.edits == () and small.connect("default/client", "default/far", 8080)
    assert twin.connect("default/client", "default/far", 8080).verdict == "timeout"


def test_hand_edits_show_in_diff(small: kn.Cluster) -> None:
    other = small.copy()
    command = cut(other)
    other.node("worker-2").run("iptables -t nat -I PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.244.1.9:80")
    other.pod("default/client").run("ip route del default")
    shown = [str(c) for c in small.diff(other, flows=[]).changes]
    assert any(line.startswith("worker-1: - bridge fdb") and command.split()[3] in line for line in shown)
    assert any(line.startswith("worker-2: + iptables -t nat -A PREROUTING") for line in shown)
    assert any(line.startswith("pod:default/client: - ip route") and "default" in line for line in shown) and len(shown) == 3


def test_only_what_changes_is_recorded(small: kn.Cluster) -> None:
    small.node("worker-1").run("ip route")
    small.pod("default/client").run("ping -c 1 10.244.0.1")
    with pytest.raises(CommandError):
        small.node("worker-1").run("ip route add 10.9.0.0/16 via 9.9.9.9")
    with pytest.raises(CommandError):
        small.node("worker-1").run("frobnicate --all")
    assert small.edits == ()
    small.node("worker-1").run("sysctl -w net.ipv4.ip_forward=0")
    assert len(small.edits) == 1 and small.connect("default/client", "default/far", 8080).verdict == "timeout"


def test_iptables_restore_is_an_edit(small: kn.Cluster) -> None:
    node = small.node("worker-1")
    saved = node.iptables_save()
    node.iptables_restore("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")
    assert small.copy().connect("default/client", "default/far", 8080).verdict == "timeout"
    node.iptables_restore(saved)
    assert small.connect("default/client", "default/far", 8080) and len(small.edits) == 2
    with pytest.raises(CommandError):
        node.iptables_restore("*filter\n-A NOWHERE -j ACCEPT\nCOMMIT\n")


def test_an_edit_that_fits_no_more_is_a_finding(small: kn.Cluster) -> None:
    small.pod("default/far").run("ip route del default")
    small.node("worker-1").run("ip route add 10.9.0.0/16 via 192.168.50.12")
    small.delete("pod", "default/far")
    assert any("hand edit lost, pod:default/far is gone" in f.message for f in small.findings)
    small.delete("node", "worker-1")
    assert sum("hand edit lost" in f.message for f in small.findings) == 2
    assert not small.resync().findings or not any("hand edit" in f.message for f in small.resync().findings)


def test_counters_and_marks_are_not_programmed_state(small: kn.Cluster) -> None:
    before = programmed(small)
    for _ in range(3):
        small.connect("default/client", "svc:default/server")
    small.pod("default/client").run("ping -c 2 10.244.1.2")
    assert programmed(small) == before and dynamic(small) != dynamic(kn.load(SMALL))


# --------------------------------------------------------------------------------------------------------------- views
def test_the_tables_of_a_node(small: kn.Cluster) -> None:
    node = small.node("worker-1")
    links = node.links().set_index("ifname")
    assert {"lo", "eth0", "flannel.1", "cni0"} <= set(links.index) and links.link_type["flannel.1"] == "vxlan"
    assert set(links[links.master == "cni0"].link_type) == {"veth"}
    routes = node.routes().set_index("dst")
    assert (routes.dev["10.244.1.0/24"], routes.gateway["10.244.1.0/24"], routes["flags"]["10.244.1.0/24"]) == (
        "flannel.1",
        "10.244.1.0",
        "onlink",
    )
    assert routes.gateway["default"] == "192.168.50.1" and "local" in set(node.routes("local").type)
    assert "10.244.1.0" in set(node.neighbors().dst) and vtep(small) in set(node.fdb().mac)
    assert node.run("ip route").startswith("default via 192.168.50.1 dev eth0")
    written = node.iptables_written()
    assert "# the pod network" in written and "*nat" in written and "FLANNEL-POSTRTG" in written and "KUBE-SERVICES" in written
    assert node.iptables_save().startswith("#") or node.iptables_save().startswith("*")
    assert "ip link add flannel.1 type vxlan" in node.ip_commands().replace("  ", " ") or "flannel.1" in node.ip_commands()
    assert node.name == "worker-1" and "worker-1" in repr(node)


def test_the_view_of_a_pod(small: kn.Cluster) -> None:
    view = small.pod("default/client")
    assert (view.name, view.node.name, view.ip) == ("default/client", "worker-1", small.get("pod", "default/client").ips[0])
    assert "default" in view.routes().dst.tolist() and "nameserver 10.96.0.10" in view.resolv_conf()
    assert "1 received" in view.run("ping -c 1 server") or "1 received" in view.run(f"ping -c 1 {small.pod('default/far').ip}")
    small.delete("pod", "default/client")
    with pytest.raises(KubenetError, match="not there"):
        view.routes()
