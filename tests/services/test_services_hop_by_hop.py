"""What a packet meets on its way to a Service, hop by hop, in iptables mode: who does something to it, where, and who does nothing.

Sources: kube-proxy 1.34, pkg/proxy/iptables/proxier.go; Linux, bridge and VXLAN as measured in namespaces (Linux 6.18, iptables 1.8.9).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.kernel.iptables import Ruleset, evaluate
from kubenet_lab.kernel.packet import Packet, Tcp
from kubenet_lab.services import KubeProxy, rules
from kubenet_lab.trace import Outcome, Trace
from tests.cluster.cluster_fixtures import SMALL, Doc, pod, service
from tests.conformance.services.service_tables import NODE, case_snapshot, options
from tests.kernel_iptables.fake_context import Fake

LAN, VIP = "external:192.168.50.200", "203.0.113.77"
ONE, TWO = "worker-1", "worker-2"
#: the answer's way from the pod on worker-2 to worker-1, and a packet's way there, with flannel's VXLAN
TO_FAR = [f"{ONE} vxlan.encap", f"{ONE} wire.cross", f"{TWO} vxlan.decap", f"{TWO} route.forward", f"{TWO} bridge.forward"]
FROM_FAR = [f"{TWO} bridge.up", f"{TWO} route.forward", f"{TWO} vxlan.encap", f"{TWO} wire.cross", f"{ONE} vxlan.decap"]


def load(cni: Any = "flannel", proxy: Any = "auto", extra: Iterable[Doc] = (), ingress: Doc | None = None, **spec: Any) -> kn.Cluster:
    port = {"port": 80, "targetPort": 8080, "nodePort": 30080}
    door = service("s", {"app": "server"}, port, **{"type": "NodePort", **spec})
    if ingress:
        door["status"] = {"loadBalancer": {"ingress": [ingress]}}
    return kn.load([*SMALL[:3], door, *extra], cni=cni, proxy=proxy)


def way(trace: Trace, back: bool = False) -> list[str]:
    return [f"{h.namespace.removeprefix('pod:default/')} {h.code}" for h in (trace.reply_hops if back else trace.hops)]


def by(found: Iterable[Outcome]) -> dict[str, Outcome]:
    return {str(o.answered_by).removeprefix("default/"): o for o in found}


def seen(found: Iterable[Outcome]) -> dict[str | None, str | None]:
    return {o.answered_by: o.source_seen for o in found}


def test_cluster_ip_on_the_same_node_is_rewritten_on_the_bridge_and_back_again_there() -> None:
    near = by(load().outcomes("default/client", "svc:default/s"))["near"].trace
    assert way(near) == ["client socket.send", f"{ONE} nat.dnat", f"{ONE} bridge.forward", "near socket.deliver"]
    assert way(near, back=True) == [f"{ONE} bridge.forward", f"{ONE} nat.reverse", "client socket.connected"]


def test_cluster_ip_on_another_node_whose_kube_proxy_does_nothing() -> None:
    far = by(load().outcomes("default/client", "svc:default/s"))["far"].trace
    assert way(far) == [
        "client socket.send", f"{ONE} nat.dnat", f"{ONE} bridge.up", f"{ONE} route.forward", *TO_FAR, "far socket.deliver"
    ]  # fmt: skip
    here = [f"{ONE} route.forward", f"{ONE} nat.reverse", f"{ONE} bridge.forward"]
    assert way(far, back=True) == [*FROM_FAR, *here, "client socket.connected"]
    wire = next(h for h in far.hops if h.code == "wire.cross").after
    shown = [{f.name: f.value for f in layer.fields} for layer in wire]
    assert [(s["src"], s["dst"]) for s in shown if "ttl" in s] == [("192.168.50.11", "192.168.50.12"), ("10.244.0.2", "10.244.1.2")]


def test_node_port_policy_cluster_goes_on_as_the_outgoing_interface_and_comes_back_the_same_way() -> None:
    far = by(load().outcomes(LAN, f"node:{ONE}", 30080))["far"].trace
    assert way(far) == [
        f"{LAN} socket.send", f"{LAN} wire.cross", f"{ONE} nat.dnat", f"{ONE} route.forward", f"{ONE} nat.masquerade", *TO_FAR,
        "far socket.deliver",
    ]  # fmt: skip
    assert far.source_seen == "10.244.0.0"
    assert way(far, back=True) == [
        *FROM_FAR, f"{ONE} nat.reverse", f"{ONE} route.forward", f"{ONE} nat.reverse", f"{ONE} wire.cross", f"{LAN} socket.connected"
    ]  # fmt: skip


def test_node_port_policy_local_leaves_the_source_alone() -> None:
    cluster = load(externalTrafficPolicy="Local")
    [only] = cluster.outcomes(LAN, f"node:{ONE}", 30080)
    assert way(only.trace) == [
        f"{LAN} socket.send", f"{LAN} wire.cross", f"{ONE} nat.dnat", f"{ONE} route.forward", f"{ONE} bridge.forward", "near socket.deliver"
    ]  # fmt: skip
    assert (only.source_seen, only.masquerade) == ("192.168.50.200", None)


def test_a_balancers_address_from_inside_never_leaves() -> None:
    """Short circuit: all endpoints for pods, unmasqueraded, and for the node, masqueraded; the local ones for who comes from outside."""
    cluster = load(type="LoadBalancer", externalTrafficPolicy="Local", ingress={"ip": VIP})
    inside = by(cluster.outcomes("default/client", VIP, 80))
    assert inside.keys() == {"near", "far"} and {o.source_seen for o in inside.values()} == {"10.244.0.2"}
    assert way(inside["near"].trace) == ["client socket.send", f"{ONE} nat.dnat", f"{ONE} bridge.forward", "near socket.deliver"]
    assert seen(cluster.outcomes(f"node:{ONE}", VIP, 80)) == {"default/near": "10.244.0.1", "default/far": "10.244.0.0"}
    assert seen(cluster.outcomes(LAN, VIP, 80, via=ONE)) == {"default/near": "192.168.50.200"}
    proxied = load(type="LoadBalancer", externalTrafficPolicy="Local", ingress={"ip": VIP, "ipMode": "Proxy"})
    out = proxied.connect("default/client", VIP, 80)
    assert f"{ONE} nat.dnat" not in way(out) and "gateway route.blackhole" in way(out)


def test_an_external_name_is_dns_alone() -> None:
    alias: Doc = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "ext", "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": "s.default.svc.cluster.local", "ports": [{"port": 80}]},
    }  # fmt: skip
    cluster = load(extra=[alias])
    assert "default/ext" not in cluster.node(ONE).iptables_written()
    assert [r.type for r in cluster.dns.query("ext.default.svc.cluster.local", "A").answer] == ["CNAME", "A"]
    answer = cluster.request("default/client", "http://ext/")
    assert answer and "host: ext\n" in str(answer), "the server is asked by the alias"


def test_a_pod_that_meets_itself_comes_back_by_its_own_port() -> None:
    found = by(load().outcomes("default/near", "svc:default/s"))
    assert way(found["near"].trace) == [
        "near socket.send", f"{ONE} nat.dnat", f"{ONE} bridge.forward", f"{ONE} nat.masquerade", "near socket.deliver"
    ]  # fmt: skip
    devices = {h.device for h in found["near"].trace.hops if h.code in ("nat.dnat", "bridge.forward")}
    assert len(devices) == 1 and found["near"].source_seen == "10.244.0.1"
    assert found["far"].masquerade is None


def test_a_nodes_own_client_starts_in_output() -> None:
    found = by(load().outcomes(f"node:{ONE}", "svc:default/s"))
    assert way(found["far"].trace) == [f"{ONE} socket.send", f"{ONE} nat.dnat", f"{ONE} nat.masquerade", *TO_FAR, "far socket.deliver"]
    assert way(found["near"].trace)[:3] == [f"{ONE} socket.send", f"{ONE} nat.dnat", f"{ONE} nat.masquerade"]
    assert (found["far"].source_seen, found["near"].source_seen) == ("10.244.0.0", "10.244.0.1")
    assert way(found["far"].trace, back=True)[: len(FROM_FAR)] == FROM_FAR, "the answer goes to the node, not to its address on the wire"


def test_what_goes_to_no_service_meets_the_networks_masquerade_only() -> None:
    cluster = load()
    for target, port in (("external:203.0.113.9", 443), (f"node:{TWO}", 10250)):
        trace = cluster.connect("default/client", target, port)
        done = [h for h in trace.hops if h.code.startswith("nat.")]
        assert [h.code for h in done] == ["nat.masquerade"] and "flanneld masq" in str(done[0]) and trace.source_seen == "192.168.50.11"


def test_forwarding_that_is_forbidden_lets_marked_traffic_and_its_answers_pass() -> None:
    """KUBE-FORWARD, where the policy of FORWARD is DROP and the network does not accept its own: what is not marked is lost."""
    for proxy, inside in ((KubeProxy(), {"None"}), (KubeProxy(masquerade_all=True), {"near", "far"})):
        cluster = load(cni=kn.Flannel(forward_rules=False), proxy=proxy)
        cluster.node(ONE).run("iptables -P FORWARD DROP")
        assert by(cluster.outcomes(LAN, f"node:{ONE}", 30080)).keys() == {"near", "far"}
        assert by(cluster.outcomes("default/client", "svc:default/s")).keys() == inside
    cluster.node(ONE).run("iptables -D KUBE-FORWARD -m comment --comment 'kubernetes forwarding conntrack rule' "
                          "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")  # fmt: skip
    assert by(cluster.outcomes(LAN, f"node:{ONE}", 30080)).keys() == {"None"}, "the answers are not marked"


def test_affinity_is_per_source_address_and_per_node() -> None:
    clients = [pod(f"c{i}", TWO, {"app": "c"}) for i in range(6)]

    def sticky() -> kn.Cluster:
        return load(extra=clients, sessionAffinity="ClientIP")

    cluster = sticky()
    assert {cluster.connect(f"default/c{i}", "svc:default/s").answered_by for i in range(6)} == {"default/near", "default/far"}
    cluster = sticky()
    cluster.connect(LAN, f"node:{ONE}", 30080)
    assert [len(cluster.outcomes(LAN, f"node:{n}", 30080)) for n in (ONE, TWO)] == [1, 2], "each node has a list of its own"
    assert len(cluster.outcomes("external:192.168.50.201", f"node:{ONE}", 30080)) == 2
    # pods of one node reach another node as that node: to its list they are one client
    assert len({cluster.connect(f"default/c{i}", f"node:{ONE}", 30080).answered_by for i in range(6)}) == 1


POD, NODES, BRIDGE = "10.244.0.2", "10.244.0.0", "10.244.0.1"
BRIDGED, PREFIXED = {"detect_local_mode": "BridgeInterface"}, {"detect_local_mode": "InterfaceNamePrefix"}


@pytest.mark.parametrize(
    ("cni", "given", "pod_is_told_apart", "pod_seen", "node_seen"),
    [
        ("flannel", {"detect_local_mode": "NodeCIDR"}, True, {POD}, {NODES, BRIDGE}),
        ("flannel", {**BRIDGED, "bridge_interface": "cni0"}, True, {POD}, {NODES, BRIDGE}),
        # what crosses a bridge has come in by the bridge, not by its port
        ("flannel", {**PREFIXED, "interface_name_prefix": "veth"}, False, {NODES, BRIDGE}, {NODES, BRIDGE}),
        ("calico", {**PREFIXED, "interface_name_prefix": "cali"}, True, {"10.244.226.64"}, {"192.168.50.11"}),
        # Calico gives no pod an address of its node's podCIDR
        ("calico", {"detect_local_mode": "NodeCIDR"}, False, {"192.168.50.11"}, {"192.168.50.11"}),
        ("flannel", {"cluster_cidr": "172.16.0.0/12"}, False, {NODES, BRIDGE}, {NODES, BRIDGE}),
        # nobody to tell: kube-proxy marks nothing, flannel's own masquerade covers the way to another node's pods
        ("flannel", {"cluster_cidr": ""}, False, {POD}, {NODES, "192.168.50.11"}),
    ],
)
def test_how_pods_are_told_from_others(cni: str, given: Doc, pod_is_told_apart: bool, pod_seen: set[str], node_seen: set[str]) -> None:
    cluster = load(cni=cni, proxy=KubeProxy(**given), externalTrafficPolicy="Local")
    assert set(seen(cluster.outcomes("default/client", "svc:default/s")).values()) == pod_seen
    assert set(seen(cluster.outcomes(f"node:{ONE}", "svc:default/s")).values()) == node_seen
    short_circuit = by(cluster.outcomes("default/client", f"node:{ONE}", 30080)).keys() == {"near", "far"}
    assert short_circuit == pod_is_told_apart


@pytest.mark.parametrize(
    ("source", "states", "verdict"),
    [
        ("192.168.50.200", {"NEW"}, "DROP"),
        ("192.168.50.200", {"ESTABLISHED"}, "ACCEPT"),
        ("192.168.50.200", {"RELATED"}, "ACCEPT"),
        ("192.168.50.200", {"NEW", "DNAT"}, "ACCEPT"),  # a node port that was asked for on another address
        ("127.0.0.1", {"NEW"}, "ACCEPT"),
    ],
)
def test_nobody_outside_reaches_loopback_though_route_localnet_is_on(source: str, states: set[str], verdict: str) -> None:
    """KUBE-FIREWALL (kubernetes#90259): the kubelet and kube-proxy write the same rule."""
    text = rules(case_snapshot({}), NODE, options({}))
    ruleset = Ruleset()
    ruleset.restore(text.jumps, noflush=True)
    ruleset.restore(text.text, noflush=True)
    program = ruleset.program("filter")
    assert program is not None and text.sysctls == {"net.ipv4.conf.all.route_localnet": "1"}
    packet = Packet(source, "127.0.0.1", "TCP", Tcp(40000, 10250, "S"))
    assert evaluate(program, "INPUT", Fake(packet, ctstate=frozenset(states))).kind == verdict


# --------------------------------------------------------------------------------------- a routed network, as Calico makes it
def test_routed_pods_have_one_address_one_gateway_and_its_fixed_neighbour() -> None:
    client = kn.load(SMALL, cni="calico").pod("default/client")
    assert "/32 scope global eth0" in client.run("ip addr show eth0")
    assert client.run("ip route").splitlines() == ["default via 169.254.1.1 dev eth0 ", "169.254.1.1 dev eth0 scope link "]
    client.run("ping -c1 -W1 10.244.226.65")
    assert "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee" in client.run("ip neigh")


def test_the_gateway_answers_at_once_late_or_not_at_all() -> None:
    cluster = kn.load(SMALL, cni="calico")
    node = cluster.node(ONE)
    ends = [word.split("@")[0] for word in node.run("ip -o link").split() if word.startswith("cali")]
    assert ends and float(cluster.connect("default/client", "default/near", 8080).elapsed) < 0.003
    for end in ends:
        node.run(f"sysctl -w net.ipv4.neigh.{end}.proxy_delay=80")
    late = []
    for seed in range(6):  # a random part of 0.8 s for each neighbour that is asked for
        again = kn.load(SMALL, cni="calico", seed=seed)
        for end in ends:
            again.node(ONE).run(f"sysctl -w net.ipv4.neigh.{end}.proxy_delay=80")
        late.append(float(again.connect("default/client", "default/near", 8080).elapsed))
    assert len(set(late)) > 3 and max(late) < 1.7 and max(late) > 0.1
    for end in ends:
        node.run(f"sysctl -w net.ipv4.conf.{end}.proxy_arp=0")
    assert cluster.flush().connect("default/client", "default/near", 8080).error == "EHOSTUNREACH"
