"""What a real Linux 6.18 kernel did with a bridge + VXLAN network (measured in namespaces, iptables 1.8.9), as tests of the walk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from two_nodes import TCP_PORT, UDP_PORT, Lab, codes, frames

from kubenet_lab.kernel.icmp import ERRORS
from kubenet_lab.kernel.packet import Arp, Filler, Icmp, Packet, Udp, Vxlan


def ip_frames(result, where):
    return [p for p in frames(result, where) if isinstance(p, Packet)]


# ---------------------------------------------------------------------------------------------- encapsulation
def test_every_frame_of_the_flannel_device_is_one_frame_on_the_wire():
    lab = Lab()
    lab.ask("p02", "10.244.1.2")  # ARP is done
    r = lab.ask("p02", "10.244.1.2", payload=Filler(10), wait_answer=True)
    assert r.verdict == "delivered"
    assert len(ip_frames(r, "n0/eth0")) == len(ip_frames(r, "n0/flannel.1")) >= 6


def test_encapsulation_costs_exactly_50_bytes_and_keeps_the_inner_frame():
    lab = Lab()
    r = lab.ask("p02", "10.244.1.2")
    outer = ip_frames(r, "n0/eth0")[0]
    assert isinstance(outer.l4, Udp) and isinstance(outer.l4.payload, Vxlan)
    inner = outer.l4.payload.frame
    assert outer.size - inner.body.size == 50
    assert (outer.src, outer.dst, outer.l4.dport, outer.l4.payload.vni) == ("192.168.50.11", "192.168.50.12", 8472, 1)
    assert outer.df is False and outer.ttl == 64
    assert inner.body.ttl == 63, "one routed hop before the tunnel"
    assert (inner.src, inner.dst) == (lab["n0"].links["flannel.1"].mac, lab["n1"].links["flannel.1"].mac)


def test_outer_source_port_varies_with_the_inner_flow_and_is_stable_within_it():
    lab = Lab()
    ports = {ip_frames(lab.ask("p02", "10.244.1.2"), "n0/eth0")[0].l4.sport for _ in range(12)}
    assert len(ports) > 3
    one = lab.ask("p02", "10.244.1.2")
    forward = {p.l4.sport for p in ip_frames(one, "n0/eth0") if p.src == "192.168.50.11"}
    assert len(forward) == 1


def test_same_node_traffic_never_touches_the_wire():
    r = Lab().ask("p02", "10.244.0.3")
    assert r.verdict == "delivered" and not frames(r, "n0/eth0") and not frames(r, "n0/flannel.1")


# -------------------------------------------------------------------------------------------------------- MTU
def test_the_syn_carries_mss_1410():
    r = Lab().ask("p02", "10.244.1.2")
    assert ip_frames(r, "p02/eth0")[0].l4.mss == 1410


def test_1500_with_df_fails_in_the_send_call_without_any_packet():
    r = Lab().ask("p02", "10.244.1.2", 0, "ICMP", payload=Filler(1472))
    assert (r.verdict, r.error) == ("too-big", "EMSGSIZE")
    assert not frames(r, "p02/eth0")


def test_pod_mtu_left_at_1500_works_on_the_node_and_gets_icmp_across():
    lab = Lab(pod_mtu=1500)
    assert lab.ask("p02", "10.244.0.3", 0, "ICMP", payload=Filler(1472)).verdict == "delivered"
    r = lab.ask("p02", "10.244.1.2", 0, "ICMP", payload=Filler(1472))
    assert (r.verdict, r.error) == ("too-big", "EMSGSIZE")
    error = r.reply.events()[-1].after
    assert isinstance(error.l4, Icmp) and (error.l4.type, error.l4.code) == ERRORS["frag-needed"][0]
    assert error.l4.mtu == 1450 and error.src == "10.244.0.1"


def test_path_mtu_is_remembered_and_tcp_finds_its_way():
    lab = Lab(pod_mtu=1500)
    assert lab.ask("p02", "10.244.1.2", payload=Filler(4000)).verdict == "delivered"
    second = lab.ask("p02", "10.244.1.2", 0, "ICMP", payload=Filler(1472))
    assert codes(second.forward) == ["mtu.send"], "the second time the kernel knows, and nothing is sent"
    assert lab.ask("p02", "10.244.1.2", 0, "ICMP", payload=Filler(1422)).verdict == "delivered"


def test_black_hole_handshake_succeeds_data_stalls():
    lab = Lab(pod_mtu=1500)
    lab["n0"].ruleset(4).append("filter", "OUTPUT", "-p icmp --icmp-type fragmentation-needed -j DROP")
    lab["n0"].rules_changed()
    assert lab.ask("p02", "10.244.1.2").verdict == "delivered"
    r = lab.ask("p02", "10.244.1.2", payload=Filler(4000))
    assert (r.verdict, r.phase) == ("stalled", "data")
    assert "mtu.forward" in codes(r.forward)


# ----------------------------------------------------------------------------------------------------- the way
@pytest.mark.parametrize(
    ("dst", "hops"),
    [("10.244.0.3", []), ("10.244.1.2", ["10.244.0.1", "10.244.1.0"])],
    ids=["same node: bridged", "other node: two routers"],
)
def test_ttl_path(dst, hops):
    lab = Lab()
    seen = []
    for ttl in range(1, 6):
        r = lab.ask("p02", dst, UDP_PORT, "UDP", ttl=ttl)
        if r.verdict == "delivered":
            assert r.answered_by == ("p03" if dst.endswith(".3") else "p12")
            break
        seen.append(r.reply.events()[-1].after.src)
    assert seen == hops


def test_a_node_speaks_to_a_remote_pod_with_its_flannel_address_and_to_its_own_with_the_gateway():
    lab = Lab()
    assert lab.ask("n0", "10.244.1.2").source_seen == "10.244.0.0"
    assert lab.ask("n0", "10.244.0.2").source_seen == "10.244.0.1"


def test_one_fdb_entry_removed_is_silence_to_that_node_only():
    lab = Lab(nodes=3)
    mac = lab["n1"].links["flannel.1"].mac
    lab["n0"].remove_fdb(mac, "flannel.1", dst="192.168.50.12")
    r = lab.ask("p02", "10.244.1.2")
    assert (r.verdict, r.ending) == ("timeout", "fdb.miss")
    assert lab.ask("p02", "10.244.2.2").verdict == "delivered"
    assert lab.ask("p02", "10.244.0.3").verdict == "delivered"
    lab["n0"].add_fdb(mac, "flannel.1", dst="192.168.50.12")
    assert lab.ask("p02", "10.244.1.2").verdict == "delivered"


@pytest.mark.parametrize(("dst", "sender"), [("10.244.0.9", "10.244.0.2"), ("10.244.1.9", "10.244.1.0")], ids=["own subnet", "other node"])
def test_absent_pod_address_is_host_unreachable_after_three_seconds(dst, sender):
    r = Lab().ask("p02", dst)
    assert (r.verdict, r.error) == ("unreachable", "EHOSTUNREACH")
    assert 2.9 < r.elapsed < 3.2
    assert r.reply.events()[-1].after.src == sender
    questions = [p for _, _, _, _, p in r.walk.frames if isinstance(p, Arp) and p.op == "request" and p.target_ip == dst]
    assert len({id(p) for p in questions}) >= 3


# ---------------------------------------------------------------------------------------------------- sockets
@pytest.mark.parametrize(("protocol", "port"), [("TCP", 81), ("UDP", 81)])
def test_a_closed_port_is_refused_at_once(protocol, port):
    r = Lab().ask("p02", "10.244.1.2", port, protocol)
    assert (r.verdict, r.error) == ("refused", "ECONNREFUSED") and r.elapsed < 0.01


def test_no_route_fails_in_the_call():
    lab = Lab()
    lab["p02"].remove_route("default")
    r = lab.ask("p02", "10.244.1.2")
    assert (r.verdict, r.error, r.elapsed) == ("unreachable", "ENETUNREACH", 0.0)


def test_forwarding_off_is_silence():
    lab = Lab()
    lab["n0"].set_sysctl("net.ipv4.ip_forward", 0)
    r = lab.ask("p02", "10.244.1.2")
    assert (r.verdict, r.ending) == ("timeout", "forward.disabled")


def test_unreachable_route_on_the_gateway_is_told():
    lab = Lab()
    lab["n0"].add_route("10.99.0.0/16", type="unreachable")
    r = lab.ask("p02", "10.99.0.1")
    assert (r.verdict, r.error) == ("unreachable", "EHOSTUNREACH")
    assert r.reply.events()[-1].after.src == "10.244.0.1"


def test_ping_is_answered_by_the_kernel():
    r = Lab().ask("p02", "10.244.1.2", 0, "ICMP")
    assert r.verdict == "delivered" and r.answered_by == "p12"


# ------------------------------------------------------------------------------------------ Services by hand (d)
def service(lab, *endpoints, masquerade=True):
    """One ClusterIP 10.96.0.50:80 on every node, in kube-proxy's shape."""
    n = len(endpoints)
    rules = ["*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-SVC-A - [0:0]", ":KUBE-MARK-MASQ - [0:0]", ":KUBE-POSTROUTING - [0:0]"]
    rules += [f":KUBE-SEP-{i} - [0:0]" for i in range(n)]
    rules += ["-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES", "-A POSTROUTING -j KUBE-POSTROUTING"]
    rules += ["-A KUBE-SERVICES -d 10.96.0.50/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A", "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000"]
    rules += ["-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.50/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ"]
    rules += [
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
        "-A KUBE-POSTROUTING -j MASQUERADE",
    ]
    for i, e in enumerate(endpoints):
        chance = f" -m statistic --mode random --probability {1 / (n - i):.10f}" if i < n - 1 else ""
        rules += [
            f"-A KUBE-SVC-A{chance} -j KUBE-SEP-{i}",
            f"-A KUBE-SEP-{i} -s {e}/32 -j KUBE-MARK-MASQ",
            f"-A KUBE-SEP-{i} -p tcp -m tcp -j DNAT --to-destination {e}:{TCP_PORT}",
        ]
    for name in [n for n in lab.net.hosts if n.startswith("n")]:
        lab[name].ruleset(4).restore("\n".join([*rules, "COMMIT", ""]), noflush=True)
        lab[name].rules_changed()


def test_clusterip_keeps_the_pods_address_and_the_endpoint_answers():
    lab = Lab()
    service(lab, "10.244.1.2")
    r = lab.ask("p02", "10.96.0.50", 80)
    assert (r.verdict, r.answered_by, r.source_seen) == ("delivered", "p12", "10.244.0.2")
    assert codes(r.forward)[1] == "nat.dnat" and "nat.reverse" in codes(r.reply)


def test_hairpin_shows_the_gateway_as_client_and_needs_the_port_flag():
    lab = Lab()
    service(lab, "10.244.0.2")
    r = lab.ask("p02", "10.96.0.50", 80)
    assert (r.verdict, r.source_seen) == ("delivered", "10.244.0.1")
    without = Lab(hairpin=False)
    service(without, "10.244.0.2")
    r = without.ask("p02", "10.96.0.50", 80)
    assert (r.verdict, r.ending) == ("timeout", "bridge.no_hairpin")


def test_bridge_nf_off_breaks_only_the_endpoint_on_the_same_node():
    for endpoint, verdict in (("10.244.0.3", "timeout"), ("10.244.1.2", "delivered")):
        lab = Lab()
        lab["n0"].set_sysctl("net.bridge.bridge-nf-call-iptables", 0)
        service(lab, endpoint)
        assert lab.ask("p02", "10.96.0.50", 80).verdict == verdict, endpoint


def test_bridged_dnat_spends_no_ttl():
    """A same-node endpoint behind the bridge answers already at TTL 1."""
    lab = Lab()
    service(lab, "10.244.0.3")
    r = lab.ask("p02", "10.96.0.50", 80)
    assert all(p.ttl == 64 for p in ip_frames(r, "p03/eth0"))


def test_traceroute_to_a_clusterip_shows_the_clusterip():
    lab = Lab()
    service(lab, "10.244.1.2")
    for name in ("n0", "n1"):
        lab[name].ruleset(4).append(
            "nat", "PREROUTING", f"-d 10.96.0.50/32 -p udp --dport {UDP_PORT} -j DNAT --to-destination 10.244.1.2:{UDP_PORT}"
        )
        lab[name].rules_changed()
    for ttl in (1, 2):
        r = lab.ask("p02", "10.96.0.50", UDP_PORT, "UDP", ttl=ttl)
        assert r.verdict == "unreachable"
        assert r.reply.events()[-1].after.src == "10.96.0.50"


def test_unused_port_of_a_clusterip_leaks_to_the_default_route():
    lab = Lab()
    service(lab, "10.244.1.2")
    r = lab.ask("p02", "10.96.0.50", 81)
    assert (r.verdict, r.ending) == ("timeout", "route.blackhole")


def test_connection_keeps_its_endpoint_and_chances_are_exact():
    from fractions import Fraction

    from kubenet_lab.kernel.ask import Question
    from kubenet_lab.kernel.ways import outcomes

    lab = Lab(nodes=3)
    service(lab, "10.244.0.2", "10.244.1.2", "10.244.2.2")
    found = outcomes(lab.net, lab.state, Question("p03", "10.96.0.50", 80), lambda r: r.answered_by)
    assert sorted(found, key=lambda x: x[1]) == [(Fraction(1, 3), "p02"), (Fraction(1, 3), "p12"), (Fraction(1, 3), "p22")]


def test_reject_is_at_once_and_drop_waits():
    lab = Lab()
    lab["n0"].ruleset(4).append("filter", "FORWARD", "-d 10.244.1.2/32 -p tcp -j REJECT --reject-with icmp-admin-prohibited")
    lab["n0"].rules_changed()
    r = lab.ask("p02", "10.244.1.2")
    assert (r.verdict, r.error) == ("unreachable", "EHOSTUNREACH") and r.elapsed < 0.01
    other = Lab()
    other["n0"].ruleset(4).append("filter", "FORWARD", "-d 10.244.1.2/32 -j DROP")
    other["n0"].rules_changed()
    assert other.ask("p02", "10.244.1.2").verdict == "timeout"


def test_same_node_traffic_passes_forward_only_with_bridge_nf():
    for value, verdict in ((1, "timeout"), (0, "delivered")):
        lab = Lab()
        lab["n0"].set_sysctl("net.bridge.bridge-nf-call-iptables", value)
        lab["n0"].ruleset(4).append("filter", "FORWARD", "-d 10.244.0.3/32 -j DROP")
        lab["n0"].rules_changed()
        assert lab.ask("p02", "10.244.0.3").verdict == verdict


def test_nodeport_on_loopback_needs_route_localnet():
    for value, verdict in ((0, "timeout"), (1, "delivered")):
        lab = Lab()
        lab["n0"].set_sysctl("net.ipv4.conf.all.route_localnet", value)
        ruleset = lab["n0"].ruleset(4)
        ruleset.append("nat", "OUTPUT", f"-d 127.0.0.1/32 -p tcp --dport 30080 -j DNAT --to-destination 10.244.0.2:{TCP_PORT}")
        ruleset.append("nat", "POSTROUTING", "-d 10.244.0.2/32 -j MASQUERADE")
        lab["n0"].rules_changed()
        assert lab.ask("n0", "127.0.0.1", 30080).verdict == verdict
