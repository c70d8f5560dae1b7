"""The node network as several segments with a router between them: addresses, ways, copies, what options may say."""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.cluster.segments import detected_networks
from kubenet_lab.errors import KubenetError, NotFound
from kubenet_lab.objects.views import Node
from tests.cluster.cluster_fixtures import deployment, node, pod, service

RACKS: dict[str, Any] = {
    "rack-a": {"cidr": "192.168.50.0/24", "nodes": ["worker-1"]},
    "rack-b": {"cidr": "192.168.51.0/24", "nodes": ["worker-2"]},
}
TWO = [
    pod("app/client", "worker-1", ports=(("http", 8080, "TCP"),)),
    pod("app/server", "worker-2", {"app": "server"}, (("http", 8080, "TCP"),)),
    service("app/server", {"app": "server"}, {"port": 80, "targetPort": 8080, "nodePort": 30080}, type="NodePort"),
    pod("app/agent", "worker-2", hostNetwork=True),
]  # fmt: skip


def addresses(cluster: kn.Cluster) -> dict[str, tuple[str, ...]]:
    return {n.name: tuple(a.address for a in n.status.addresses if a.type == "InternalIP") for n in cluster.nodes}


def places(trace: kn.Trace) -> list[str]:
    return list(dict.fromkeys(h.namespace for h in trace.hops))


def two_racks(**more: Any) -> kn.Cluster:
    return kn.load(TWO, underlay=kn.Underlay(segments=RACKS, **more))


def test_nodes_get_addresses_of_their_segment_and_the_router_has_the_first_one() -> None:
    cluster = two_racks()
    assert addresses(cluster) == {"worker-1": ("192.168.50.11",), "worker-2": ("192.168.51.12",)}
    router = cluster.network().namespaces["gateway"]
    assert {(dev, str(a)) for dev, a in router.addresses(4) if dev.startswith("rack")} == {
        ("rack-a", "192.168.50.1/24"), ("rack-b", "192.168.51.1/24"),
    }  # fmt: skip
    assert "default via 192.168.51.1 dev eth0" in cluster.node("worker-2").run("ip route")
    assert cluster.objects("pod")[0].status.host_ip == "192.168.51.12"


def test_a_packet_between_segments_is_routed_by_the_router() -> None:
    cluster = two_racks()
    trace = cluster.connect("app/client", "app/server", 8080)
    assert trace.verdict == "delivered"
    assert places(trace) == ["pod:app/client", "worker-1", "gateway", "worker-2", "pod:app/server"]
    crossed = [h for h in trace.hops if h.code == "route.forward" and h.namespace == "gateway"]
    assert len(crossed) == 1 and crossed[0].device == "rack-b"
    # the outer packet spends a TTL at the router, the inner one does not
    hops = cluster.pod("app/client").run(f"traceroute -n -q 1 {_ip(cluster, 'app/server')}").splitlines()[1:]
    assert [line.split()[1] for line in hops] == ["10.244.0.1", "10.244.1.0", _ip(cluster, "app/server")]
    one = kn.load(TWO)
    assert "gateway" not in places(one.connect("app/client", "app/server", 8080))


def _ip(cluster: kn.Cluster, key: str) -> str:
    return str(cluster.get("pod", key).ips[0])


def test_copy_moves_nodes_and_what_repeats_their_addresses() -> None:
    one = kn.load(TWO)
    moved = one.copy(underlay={"segments": RACKS})
    assert addresses(moved) == addresses(two_racks())
    assert moved.get("pod", "app/agent").ips == ("192.168.51.12",)
    assert {p.key: p.ips for p in moved.objects("pod") if not p.spec.host_network} == {
        p.key: p.ips for p in one.objects("pod") if not p.spec.host_network
    }
    assert moved.get("pod", "app/server").status.host_ip == "192.168.51.12"
    assert addresses(one)["worker-2"] == ("192.168.50.12",), "the original is as it was"
    assert moved.connect("app/client", "app/server", 8080).verdict == "delivered"
    again = moved.copy(cni=kn.Flannel())
    assert addresses(again) == addresses(moved) and len(again.plan.segments) == 2
    assert moved.copy(underlay=kn.Underlay(segments=RACKS, mtu=9000)).node("worker-2").links().set_index("ifname").mtu["eth0"] == 9000
    back = moved.copy(underlay=kn.Underlay())
    assert len(back.plan.segments) == 1 and "gateway" not in places(back.connect("app/client", "app/server", 8080))


def test_nodes_that_no_segment_names_take_turns_and_that_is_an_assumption() -> None:
    cluster = kn.load(TWO, nodes=5, underlay=kn.Underlay(segments=2))
    assert [s.nodes for s in cluster.plan.segments] == [("worker-1", "worker-3", "worker-5"), ("worker-2", "worker-4")]
    assert addresses(cluster)["worker-4"] == ("192.168.51.14",)
    (note,) = [a for a in cluster.assumptions if a.what == "segments"]
    assert note.how == "assumed" and "worker-4 on lan-2" in note.value
    names = kn.load(TWO[2:3], underlay={"segments": {"a": {"nodes": ["alpha"]}, "b": {"nodes": ["beta"]}}})
    assert [n.name for n in names.nodes] == ["alpha", "beta"]


def test_nodes_of_a_dump_stand_where_their_addresses_belong() -> None:
    dump = [node("n1", "10.0.1.5", "10.244.0.0/24"), node("n2", "10.0.2.7", "10.244.1.0/24"), node("n3", "10.0.2.8", "10.244.2.0/24")]
    one = kn.load(dump)
    assert [s.cidrs for s in one.plan.segments] == [("10.0.0.0/22",)], "one wire is what the lab assumes, and says"
    assert any("all nodes on one wire" in a.why for a in one.assumptions)
    two = kn.load(dump, underlay={"segments": {"az-a": "10.0.1.0/24", "az-b": "10.0.2.0/24"}})
    assert [s.nodes for s in two.plan.segments] == [("n1",), ("n2", "n3")] and addresses(two) == addresses(one)
    read = kn.load(dump, underlay={"segments": {"az-a": {"nodes": ["n1"]}, "az-b": {"nodes": ["n2", "n3"]}}})
    assert [s.cidrs for s in read.plan.segments] == [("10.0.1.0/24",), ("10.0.2.0/24",)]
    assert not [f for f in (*two.findings, *read.findings) if "InternalIP" in f.message]


def test_a_node_of_a_dump_outside_of_its_segment_is_a_finding() -> None:
    segments = {"a": {"cidr": "10.0.1.0/24", "nodes": ["n1", "n2"]}}
    cluster = kn.load([node("n1", "10.0.1.5"), node("n2", "10.0.9.7")], underlay={"segments": segments})
    said = [f.message for f in cluster.findings if f.object == "Node n2"]
    assert said == ["InternalIP 10.0.9.7 is outside of the node network 10.0.1.0/24"]


@pytest.mark.parametrize(
    ("addresses", "annotations", "networks"),
    [
        (["10.0.1.5", "10.0.2.7"], [], []),  # one wire may be as large as that
        (["10.0.1.5", "10.200.2.7"], [], ["10.0.1.0/24", "10.200.2.0/24"]),
        (["10.0.1.5", "192.168.1.7", "10.0.1.9"], [], ["10.0.1.0/24", "192.168.1.0/24"]),
        (["fd00:1::5", "fd00:2::5"], [], ["fd00:1::/64", "fd00:2::/64"]),
        (["10.0.1.5", "10.0.2.7"], ["10.0.1.5/24", "10.0.2.7/24"], ["10.0.1.0/24", "10.0.2.0/24"]),
        (["10.0.1.5", "10.0.2.7"], ["10.0.1.5/16", "10.0.2.7/16"], ["10.0.0.0/16"]),
        (["10.0.1.5", "10.0.2.7"], ["10.0.1.5/32", "10.0.2.7/32"], []),  # a cloud's point-to-point address says nothing
        (["10.0.1.5", "10.0.2.7"], ["10.0.1.5/24", "nonsense/24"], []),
        (["10.0.1.5", "10.0.2.7"], ["10.9.1.5/24", "10.9.2.7/24"], []),  # it speaks of other addresses
    ],
)  # fmt: skip
def test_what_a_dump_shows_of_its_segments(addresses: list[str], annotations: list[str], networks: list[str]) -> None:
    key = "projectcalico.org/IPv4Address"
    documents = [node(f"n{i}", a, annotations={key: annotations[i]} if annotations else {}) for i, a in enumerate(addresses)]
    cluster = kn.load(documents)
    nodes = [n for n in cluster.objects("node") if isinstance(n, Node)]
    assert detected_networks(nodes)[0] == networks
    assert [s.cidrs[0] for s in cluster.plan.segments] == (networks or ["10.0.0.0/22"])
    (note,) = [a for a in cluster.assumptions if a.what == "node network"]
    assert note.how == "detected" and ("one wire" in note.why) == (len(networks) < 2)


@pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6", "IPv4"), ("IPv6",)])
def test_segments_in_every_family(families: tuple[str, ...]) -> None:
    given = {"rack-a": {"nodes": ["worker-1"]}, "rack-b": {"nodes": ["worker-2"]}}
    cluster = kn.load(TWO[2:3], ip_families=families, underlay={"segments": given})
    v4, v6 = ("192.168.50.11", "192.168.51.12"), ("fd50::b", "fd50:0:0:1::c")
    wanted = [v4 if f == "IPv4" else v6 for f in families]
    assert addresses(cluster) == {"worker-1": tuple(w[0] for w in wanted), "worker-2": tuple(w[1] for w in wanted)}
    ns = cluster.network().namespaces["worker-2"]
    assert [a.ip for a in ns.links["eth0"].addresses] == [w[1] for w in wanted]
    gateways = {r.via for r in ns.routes if r.dst in ("0.0.0.0/0", "::/0")}
    assert gateways == {"192.168.51.1" if f == "IPv4" else "fd50:0:0:1::1" for f in families}


def test_a_dual_stack_wire_carries_both_families_to_the_outside() -> None:
    from kubenet_lab.kernel.ask import Question, put
    from kubenet_lab.kernel.state import State

    cluster = kn.load(TWO[2:3], ip_families=("IPv4", "IPv6"))
    network = cluster.network()
    assert cluster.plan.node_cidrs == ("192.168.50.0/24", "fd50::/64")
    network.external("2001:db8::7")
    network.external("203.0.113.7")
    for address in ("2001:db8::7", "203.0.113.7", "fd50::c", "192.168.50.12"):
        assert put(network, State(), Question("worker-1", address, protocol="ICMP")).verdict == "delivered", address


def test_machines_on_a_segment_and_behind_the_router_enter_by_any_node() -> None:
    cluster = two_racks()
    for source, via, way in (
        ("external:192.168.51.77", "worker-1", ["external:192.168.51.77", "gateway", "worker-1"]),
        ("external:192.168.51.77", "worker-2", ["external:192.168.51.77", "worker-2"]),
        ("external:203.0.113.7", "worker-2", ["external:203.0.113.7", "gateway", "worker-2"]),
    ):
        trace = cluster.connect(source, "svc:app/server", 80, via=via)
        assert trace.verdict == "delivered" and places(trace)[: len(way)] == way, (source, via)
    seen = cluster.connect("external:192.168.51.77", "node:worker-1", 30080)
    assert seen.verdict == "delivered" and places(seen)[:3] == ["external:192.168.51.77", "gateway", "worker-1"]


def test_host_routes_across_segments_do_not_exist() -> None:
    """A next hop on another segment is none: the kernel refuses the route (fib_check_nh), and so flannel's host-gw cannot work there."""
    cluster = two_racks()
    for command in ("ip route add 10.244.1.0/24 via 192.168.51.12", "ip route add 10.244.1.0/24 via 192.168.51.12 dev eth0"):
        with pytest.raises(kn.CommandError, match="Nexthop has invalid gateway"):
            cluster.node("worker-1").run(command)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"segments": {"rack a": "10.0.0.0/24"}}, "found the name 'rack a'"),
        ({"segments": {"router": "10.0.0.0/24"}}, "found the name 'router'"),
        ({"segments": {"a": "10.0.0.0/33"}}, "segments['a'] cidr: found '10.0.0.0/33'"),
        ({"segments": {"a": ["10.0.0.0/24", "10.0.1.0/24"]}}, "one network of each family"),
        ({"segments": {"a": "10.0.0.0/24", "b": "10.0.0.128/25"}}, "10.0.0.0/24 and 10.0.0.128/25 overlap"),
        ({"segments": {"a": "10.244.0.0/24"}}, "overlap: traffic for one"),
        ({"segments": {"a": {"nodes": ["worker-1"]}, "b": {"nodes": ["worker-1"]}}}, "worker-1 in more than one segment"),
        ({"segments": {"a": {"nodes": "worker-1"}}}, "expected a list of node names"),
        ({"segments": {"a": {"mtu": 20}}}, "segments['a'] mtu: found 20"), ({"segments": {"a": {"delay": "x"}}}, "segments['a'] delay"),
        ({"segments": {"a": {"subnet": "10.0.0.0/24"}}}, "expected a CIDR or a dict of cidr, nodes, mtu, delay"),
        ({"segments": {"a": 5}}, "found 5"), ({"segments": 0}, "segments: found 0"), ({"segments": "rack-a"}, "segments: found 'rack-a'"),
        ({"segments": {"a": "192.168.9.0/30"}}, "too small for its nodes"), ({"uplink_mtu": 9}, "uplink_mtu: found 9"),
        ({"nic_mtu": {"worker-1": 5}}, "nic_mtu['worker-1']: found 5"), ({"nic_mtu": 1400}, "nic_mtu: found 1400"),
        ({"nic_mtu": {"router/rack-z": 1400}}, "nic_mtu: found 'router/rack-z'"), ({"nic_mtu": {"worker-1/x": 1400}}, "worker-1/x"),
    ],
)  # fmt: skip
def test_underlays_that_cannot_be(given: dict[str, Any], says: str) -> None:
    with pytest.raises(KubenetError) as error:
        kn.load(TWO, underlay=given)
    assert says in str(error.value)


def test_a_segment_of_an_unknown_node_names_the_ones_there_are() -> None:
    dump = [node("n1", "10.0.1.5"), node("n2", "10.0.2.7")]
    with pytest.raises(NotFound, match="n3.*nearest: n"):
        kn.load(dump, underlay={"segments": {"a": {"nodes": ["n1", "n3"]}, "b": {}}})
    with pytest.raises(KubenetError, match="node_cidr"):
        kn.load(dump, node_cidr="10.0.0.0/16", underlay={"segments": {"a": {"nodes": ["n1"]}, "b": {}}})
    cluster = kn.load(deployment("app/web"), underlay={"segments": 2})
    with pytest.raises(NotFound):
        cluster.copy(underlay={"segments": {"a": {"nodes": ["worker-9"]}}})
    assert len(cluster.plan.segments) == 2


# ------------------------------------------------------------------------------------------------------ packet filters
def verdict(cluster: kn.Cluster, **more: Any) -> tuple[str, str]:
    """Verdict and last event of client to server, on a fork."""
    trace = cluster.preview("app/client", "app/server", 8080, **more)
    return trace.verdict, [*trace.hops, *trace.reply_hops][-1].code


def test_blocked_vxlan_shows_as_the_group_that_blocks_it() -> None:
    cluster = two_racks(filters={"worker-2": "deny udp 8472"})
    trace = cluster.connect("app/client", "app/server", 8080)
    assert (trace.verdict, trace.phase, trace.error) == ("timeout", "handshake", "ETIMEDOUT")
    last = trace.hops[-1]
    assert (last.code, last.title) == ("group.denied", "the security group of worker-2 drops it: deny udp 8472")
    assert last.entry is not None and (last.entry.text, last.entry.kind) == ("deny udp 8472", "filter")
    assert "never reaches eth0" in last.sentence and trace.reasons[-1].code == "group.denied"
    assert trace.evidence and "documented" in {e.kind for e in trace.evidence}
    assert cluster.connect("node:worker-1", "node:worker-2", 10250).verdict == "delivered", "nothing else is blocked"


def test_filters_are_edited_recorded_copied_shown_and_dropped() -> None:
    cluster = two_racks()
    plain = cluster.copy()
    assert verdict(cluster)[0] == "delivered"
    assert cluster.underlay.filter("worker-2", kn.Deny("UDP", 8472)) is cluster
    assert verdict(cluster) == ("timeout", "group.denied")
    assert [str(e) for e in cluster.edits] == ["filter of worker-2: deny udp 8472"]
    assert verdict(cluster.copy()) == verdict(cluster.copy(cni=kn.Flannel())) == ("timeout", "group.denied")
    cluster.apply(pod("app/third", "worker-1"))
    assert verdict(cluster) == ("timeout", "group.denied")
    changes = plain.diff(cluster.copy(), flows=[("app/client", "app/server", 8080)])
    assert "underlay: + the security group of worker-2: deny udp 8472" in [str(c) for c in changes.entries]
    assert [(c.before, c.after) for c in changes.verdicts] == [("delivered", "timeout")]
    cluster.underlay.unfilter("worker-2")
    assert verdict(cluster)[0] == "delivered" and cluster.underlay.filters == {}
    cluster.underlay.filter("*", "deny udp 8472")
    assert sorted(cluster.underlay.filters) == ["worker-1", "worker-2"]
    assert verdict(cluster.resync())[0] == "delivered"


def test_filters_on_the_router_are_its_iptables_rules() -> None:
    cluster = two_racks(filters={"router": ["deny udp 8472"]})
    assert verdict(cluster) == ("timeout", "filter.drop")
    rule = '-A UNDERLAY -p udp -m udp --dport 8472 -m comment --comment "deny udp 8472" -j DROP'
    assert rule in cluster.underlay.router.run("iptables -S")
    cluster.underlay.router.run("iptables -F UNDERLAY")
    assert verdict(cluster)[0] == "delivered"
    cluster.underlay.filter("router", "deny udp 8472")
    assert verdict(cluster)[0] == "timeout" and len(cluster.edits) == 2
    assert verdict(cluster.copy())[0] == "timeout"
    cluster.underlay.unfilter("router")
    assert verdict(cluster)[0] == "delivered"
    assert verdict(cluster.resync())[0] == "timeout", "what the option says is there again"
    one = kn.load(TWO, underlay={"filters": {"router": "deny udp 8472"}})
    assert verdict(one)[0] == "delivered", "on one wire the router sees nothing of it"


def test_a_security_group_is_what_may_come_in() -> None:
    group = kn.SecurityGroup(ingress=["tcp 10250", {"protocol": "UDP", "port": 8472, "source": "192.168.50.0/23"}])
    cluster = two_racks(filters={"*": group})
    assert verdict(cluster)[0] == "delivered"
    assert cluster.connect("node:worker-1", "node:worker-2", 10250).verdict == "delivered"
    assert cluster.connect("external:203.0.113.7", "node:worker-2", 10250).verdict == "delivered"
    blocked = cluster.connect("external:203.0.113.7", "svc:app/server", 80, via="worker-2")
    assert (blocked.verdict, blocked.hops[-1].title) == ("timeout", "the security group of worker-2 drops it: deny ingress all")
    assert cluster.connect("app/client", "external:203.0.113.7", 443).verdict == "delivered", "answers come in"
    assert cluster.underlay.filters["worker-1"] == group.rules
    narrow = two_racks(filters={"worker-1": kn.SecurityGroup(ingress=["tcp 10250"])})
    lost = narrow.connect("app/client", "app/server", 8080)
    assert lost.reply_hops[-1].code == "group.denied", "the answer is another UDP flow: it does not come from port 8472"


def test_icmp_blocked_makes_a_black_hole() -> None:
    """The router's link to rack-b is narrower than the nodes' NICs: a node's large segments need the router's word."""
    narrow = {"nic_mtu": {"router/rack-b": 1400}}
    told = two_racks(**narrow).connect("node:worker-1", "node:worker-2", 10250, size=3000)
    assert told.verdict == "delivered"
    cluster = two_racks(**narrow, icmp="blocked")
    lost = cluster.connect("node:worker-1", "node:worker-2", 10250, size=3000)
    assert (lost.verdict, lost.phase) == ("stalled", "data")
    assert cluster.connect("node:worker-1", "node:worker-2", 10250).verdict == "delivered", "the handshake is small"
    assert cluster.connect("node:worker-1", "node:worker-2", protocol="ICMP").verdict == "timeout"
    only = two_racks(**narrow, filters={"router": "deny icmp frag-needed"})
    assert only.connect("node:worker-1", "node:worker-2", 10250, size=3000).verdict == "stalled"
    assert only.connect("node:worker-1", "node:worker-2", protocol="ICMP").verdict == "delivered", "which is why ping looks well"


def test_a_narrow_wire_shows_in_every_device_on_it() -> None:
    racks = {**RACKS, "rack-b": {**RACKS["rack-b"], "mtu": 1400}}
    cluster = kn.load(TWO, underlay=kn.Underlay(segments=racks, nic_mtu={"worker-1": 9000}))
    mtus = {n: cluster.node(n).links().set_index("ifname").mtu for n in ("worker-1", "worker-2")}
    assert (mtus["worker-1"]["eth0"], mtus["worker-2"]["eth0"], mtus["worker-2"]["cni0"]) == (9000, 1400, 1350)
    assert cluster.underlay.to_frame().set_index("segment").mtu.to_dict() == {"rack-a": 1500, "rack-b": 1400}
    lost = cluster.connect("node:worker-1", "external:192.168.50.77", 9, "UDP", size=4000, df=True)
    assert (lost.verdict, lost.hops[-1].code) == ("timeout", "mtu.wire")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"filters": {"worker-1": "drop everything"}}, "found 'drop everything'"), ({"filters": "deny all"}, "filters: found 'deny all'"),
        ({"filters": {"router": "deny in udp 8472"}}, "router's filter: found ingress or egress"), ({"icmp": "no"}, "icmp: found 'no'"),
        ({"filters": {"worker-1": 5}}, "filter rules: found 5"),
        ({"filters": {"worker-1": {"action": "deny", "ports": 5}}}, "filter rule: found"),
        ({"filters": {"worker-1": {"protocol": "udp"}}}, "expected the action allow or deny"),
    ],
)  # fmt: skip
def test_filters_that_cannot_be(given: dict[str, Any], says: str) -> None:
    with pytest.raises(KubenetError) as error:
        kn.load(TWO, underlay=given)
    assert says in str(error.value)


def test_an_edit_of_a_filter_that_cannot_be_changes_nothing() -> None:
    cluster = two_racks()
    for where, rules, says in (
        ("worker-9", "deny all", "place for a filter"), ("worker-2", "deny udp x", "could not read"),
        ("router", "deny in all", "ingress or egress"),
    ):  # fmt: skip
        with pytest.raises(KubenetError, match=says):
            cluster.underlay.filter(where, rules)
    with pytest.raises(KubenetError, match="SecurityGroup ingress"):
        kn.SecurityGroup(ingress=["deny udp 5"])
    with pytest.raises(KubenetError, match="port: found True"):
        kn.Allow("TCP", True)
    assert cluster.edits == () and cluster.underlay.filters == {}


def test_a_filter_that_names_an_unknown_node_is_a_finding() -> None:
    cluster = two_racks(filters={"worker-9": "deny all"}, nic_mtu={"worker-8": 1400})
    said = [str(f) for f in cluster.findings]
    assert any("worker-9" in s and "filters" in s for s in said) and any("worker-8" in s and "nic_mtu" in s for s in said)


# ------------------------------------------------------------------------------------------- pod networks over segments
def test_host_gw_ends_at_the_router_which_knows_no_pods() -> None:
    cluster = kn.load(TWO, cni=kn.Flannel(backend="host-gw"), underlay=kn.Underlay(segments=RACKS))
    assert any("network is unreachable" in f.message for f in cluster.findings), "flanneld could not write the route"
    trace = cluster.connect("app/client", "app/server", 8080)
    assert (trace.verdict, trace.error) == ("timeout", "ETIMEDOUT")
    last = trace.hops[-1]
    assert (last.namespace, last.code) == ("gateway", "route.blackhole")
    assert last.title == f"the router knows no way to {_ip(cluster, 'app/server')}"
    assert "Nothing comes back" in last.sentence
    told = cluster.underlay.router.run(f"ip route add 10.244.1.0/24 via {addresses(cluster)['worker-2'][0]}")
    assert told == "" and cluster.connect("app/client", "app/server", 8080).verdict == "timeout", "the answer is not known either"
    cluster.underlay.router.run(f"ip route add 10.244.0.0/24 via {addresses(cluster)['worker-1'][0]}")
    assert cluster.connect("app/client", "app/server", 8080).verdict == "delivered", "a router that is told is what BGP is for"


def test_direct_routing_is_for_the_own_segment_only() -> None:
    racks = {"rack-a": {"nodes": ["worker-1", "worker-3"]}, "rack-b": {"nodes": ["worker-2"]}}
    more = [*TWO, pod("app/near", "worker-3", ports=(("http", 8080, "TCP"),))]
    cluster = kn.load(more, nodes=3, cni=kn.Flannel(direct_routing=True), underlay=kn.Underlay(segments=racks))
    near, far = (cluster.connect("app/client", to, 8080) for to in ("app/near", "app/server"))
    assert near.verdict == far.verdict == "delivered"
    assert [sum(h.code == "vxlan.encap" for h in t.hops) for t in (near, far)] == [0, 1]
    assert "gateway" in places(far) and "gateway" not in places(near)


@pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6",)])
def test_pods_of_every_family_cross_the_router(families: tuple[str, ...]) -> None:
    cluster = kn.load(TWO, ip_families=families, underlay=kn.Underlay(segments=RACKS if "IPv4" in families else 2))
    ips = cluster.get("pod", "app/server").ips
    assert len(ips) == len(families)
    for ip in ips:
        trace = cluster.connect("app/client", ip, 8080)
        assert trace.verdict == "delivered" and "gateway" in places(trace), ip
    for node_ip in addresses(cluster)["worker-2"]:
        outside = "external:2001:db8::7" if ":" in node_ip else "external:203.0.113.7"
        assert cluster.connect(outside, node_ip, 10250).verdict == "delivered"
    address = cluster.get("svc", "app/server").spec.cluster_ip
    outside = "external:2001:db8::7" if ":" in address else "external:203.0.113.7"
    entered = cluster.connect(outside, "svc:app/server", 80, via="worker-1")
    assert entered.verdict == "delivered" and places(entered)[:3] == [outside, "gateway", "worker-1"]


def test_a_filter_holds_for_both_families() -> None:
    cluster = kn.load(TWO, ip_families=("IPv6",), underlay=kn.Underlay(segments=2, filters={"worker-2": "deny udp 8472"}))
    assert verdict(cluster) == ("timeout", "group.denied")
    router = kn.load(TWO, ip_families=("IPv6",), underlay=kn.Underlay(segments=2, filters={"router": "deny udp 8472"}))
    assert verdict(router) == ("timeout", "filter.drop")


def test_the_shell_shows_the_path_mtu_and_forgets_it() -> None:
    cluster = two_racks(nic_mtu={"router/rack-b": 1400})
    shell = cluster.node("worker-1")
    said = shell.run("ping -c 1 -M do -s 1472 192.168.51.12")
    assert "From 192.168.50.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)" in said
    assert "ping: local error: message too long, mtu=1400" in shell.run("ping -c 1 -M do -s 1472 192.168.51.12")
    assert "expires 600sec mtu 1400" in shell.run("ip route get 192.168.51.12").replace("599", "600")
    assert "1 received" in shell.run("ping -c 1 -M do -s 1372 192.168.51.12")
    datagram = cluster.connect("node:worker-1", "node:worker-2", 9, "UDP", size=1472, df=True)
    assert (datagram.verdict, datagram.error) == ("too-big", "EMSGSIZE")
    shell.run("ip route flush cache")
    assert "mtu" not in shell.run("ip route get 192.168.51.12")
    cluster.connect("node:worker-1", "node:worker-2", protocol="ICMP", size=1472)
    cluster.tick(601)
    assert "mtu" not in shell.run("ip route get 192.168.51.12"), "ten minutes later it is tried anew"


# -------------------------------------------------------------------------------------------------------------- uplink
def test_a_narrow_uplink_is_found_by_both_ends() -> None:
    cluster = kn.load(TWO, underlay={"uplink_mtu": 1400})
    up = cluster.connect("app/client", "external:203.0.113.7", 443, size=5000)
    assert up.verdict == "delivered" and {"gateway", "provider"} <= set(places(up))
    assert "mtu 1400" in cluster.pod("app/client").run("ip route get 203.0.113.7"), "the node gave the router's message on to its pod"
    down = cluster.open("external:203.0.113.7", "node:worker-1", 10250).send(size=5000)
    assert down.verdict == "delivered"
    answer = cluster.preview("external:198.51.100.9", "node:worker-1", protocol="ICMP", size=1472)
    assert (answer.verdict, answer.error) == ("too-big", "EMSGSIZE")
    assert any(h.namespace == "provider" and h.code == "icmp.error" for h in answer.reply_hops), "the far end of the link says so"


def test_a_narrow_uplink_with_icmp_blocked_is_a_black_hole_for_what_leaves() -> None:
    cluster = kn.load(TWO, underlay={"uplink_mtu": 1400, "icmp": "blocked"})
    up = cluster.connect("app/client", "external:203.0.113.7", 443, size=5000)
    assert (up.verdict, up.phase) == ("stalled", "data") and up.hops[-1].code in ("mtu.forward", "filter.drop")
    assert cluster.connect("app/client", "external:203.0.113.7", 443, size=1000).verdict == "delivered"
    plain = kn.load(TWO, underlay={"icmp": "blocked"})
    assert plain.connect("app/client", "external:203.0.113.7", 443, size=5000).verdict == "delivered"


@pytest.mark.parametrize("families", [("IPv4",), ("IPv6",)])
def test_everything_else_is_as_without_an_uplink(families: tuple[str, ...]) -> None:
    six = families == ("IPv6",)
    outside, unused = ("external:2001:db8::7", "2001:db8:9::9") if six else ("external:203.0.113.7", "198.18.0.1")
    for more in ({}, {"segments": 2}):
        cluster = kn.load(TWO, ip_families=families, underlay={"uplink_mtu": 1400, **more})
        assert cluster.connect(outside, "svc:app/server", 80, via="worker-1").verdict == "delivered"
        assert cluster.connect(outside, "node:worker-2", 30080).verdict == "delivered"
        assert cluster.connect("app/client", outside, 443).verdict == "delivered"
        lost = cluster.connect(outside, cluster.get("svc", "app/server").spec.cluster_ip, 80)
        assert (lost.verdict, lost.hops[-1].namespace) == ("timeout", "provider") and "the provider knows no way" in lost.hops[-1].title
        assert "1 received" not in cluster.node("worker-1").run(f"ping -c 1 -W 1 {unused}")
        assert "<svg" in cluster.plot.path(cluster.connect("app/client", outside, 443)).svg
