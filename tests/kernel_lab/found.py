"""What the random clusters taught: small clusters, one question each, the answer of Linux 6.18 and the function that decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import shape
from .shape import TCP_PORT, UDP_PORT, Line, Spec


@dataclass(frozen=True)
class Found:
    what: str
    source: str
    asked: tuple[Any, ...]  # src, dst, port, protocol
    answer: dict[str, Any]
    lines: tuple[tuple[str, str], ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    mtus: tuple[int, ...] = (1450, 1450)  # of the pods of each node, in order
    mode: str = "vxlan"

    @property
    def spec(self) -> Spec:
        spec = shape.cluster(2, len(self.mtus), mode=self.mode)
        for pod in spec["pods"]:
            pod["mtu"] = self.mtus[int(pod["name"][-1]) - 2]
        spec["faults"] = [{"name": self.what, "lines": [list(line) for line in self.lines], "last": False}]
        return spec

    @property
    def probe(self) -> dict[str, Any]:
        src, dst, port, proto = self.asked
        return {"src": src, "dst": dst, "port": port, "proto": proto, "size": 200, "sport": 20001, "timeout": 4.2, **self.more}


def dnat(node: str, endpoint: str, proto: str, port: int, chain: str = "PREROUTING") -> Line:
    return [node, f"iptables -t nat -A {chain} -d 10.96.0.50 -p {proto} -m {proto} --dport {port} -j DNAT --to-destination {endpoint}"]


OK = {"verdict": "delivered"}
SILENCE = {"verdict": "timeout", "error": None}
NEAR, FAR = "10.244.0.3", "10.244.1.2"
#: pods whose MTU was left at 1500 over a tunnel that takes 1450, and nodes that do not say so
WIDE = (1500, 1500)
HOLE = tuple((n, "iptables -A OUTPUT -p icmp -m icmp --icmp-type fragmentation-needed -j DROP") for n in ("n0", "n1"))
CLAMP = ("n0", "iptables -t mangle -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu")

FOUND: tuple[Found, ...] = (
    Found(
        "a TCP socket's TTL counts for its SYN", "net/ipv4/ip_output.c ip_queue_xmit",
        ("p02", FAR, TCP_PORT, "TCP"), {"error": "EHOSTUNREACH", "icmp": [11, 0, "10.244.0.1", 0]}, more={"ttl": 1},
    ),
    Found(
        "a UDP answer that is too large for the server's device goes out in fragments", "net/ipv4/ip_output.c __ip_make_skb",
        ("p02", NEAR, UDP_PORT, "UDP"), OK, more={"size": 1482, "df": False},
    ),
    Found(
        "TCP to a broadcast address: no network", "net/ipv4/tcp_ipv4.c tcp_v4_connect",
        ("p02", "10.244.0.255", TCP_PORT, "TCP"), {"verdict": "unreachable", "error": "ENETUNREACH"},
    ),
    Found(
        "UDP to a broadcast address: not without SO_BROADCAST", "net/ipv4/datagram.c __ip4_datagram_connect",
        ("p02", "10.244.0.255", UDP_PORT, "UDP"), {"verdict": "unreachable", "error": "EACCES"},
    ),
    Found(
        "a bridge takes the MTU of its smallest port", "net/bridge/br_if.c br_mtu_auto_adjust",
        ("n0", FAR, 0, "ICMP"), {"error": "EMSGSIZE", "icmp": [3, 4, "10.244.1.0", 1280]},
        lines=(("n1", "ip link set veth13 mtu 1280"),), more={"size": 1372, "df": True},
    ),
    Found(
        "but not once its own was set", "net/bridge/br_device.c br_change_mtu",
        ("n0", FAR, 0, "ICMP"), OK,
        lines=(("n1", "ip link set cni0 mtu 1440"), ("n1", "ip link set veth13 mtu 1280")), more={"size": 1372, "df": True},
    ),
    Found(
        "DNAT to an endpoint behind the same bridge", "net/bridge/br_netfilter_hooks.c br_nf_pre_routing_finish",
        ("p02", "10.96.0.50", 80, "TCP"), {**OK, "by": "p03"}, lines=(tuple(dnat("n0", f"{NEAR}:{TCP_PORT}", "tcp", 80)),),  # type: ignore[arg-type]
    ),
    Found(
        "it needs ip_forward, though nothing is routed", "net/ipv4/route.c ip_route_input_slow",
        ("p02", "10.96.0.50", 80, "TCP"), SILENCE,
        lines=(tuple(dnat("n0", f"{NEAR}:{TCP_PORT}", "tcp", 80)), ("n0", "sysctl -w net.ipv4.ip_forward=0")),  # type: ignore[arg-type]
    ),
    Found(
        "bridge netfilter fragments for a smaller port", "net/bridge/br_netfilter_hooks.c br_nf_dev_queue_xmit",
        ("p02", NEAR, UDP_PORT, "UDP"), OK, mtus=(1450, 1300), more={"size": 1400, "df": False},
    ),
    Found(
        "with DF the frame is lost without a word", "net/bridge/br_netfilter_hooks.c br_nf_ip_fragment",
        ("p02", NEAR, UDP_PORT, "UDP"), SILENCE, mtus=(1450, 1300), more={"size": 1400, "df": True},
    ),
    Found(
        "without bridge netfilter it is lost too", "net/core/dev.c is_skb_forwardable",
        ("p02", NEAR, UDP_PORT, "UDP"), SILENCE,
        lines=(("n0", "sysctl -w net.bridge.bridge-nf-call-iptables=0"),), mtus=(1450, 1300), more={"size": 1400, "df": False},
    ),
    Found(
        "it fragments to 1500 until the bridge's MTU changes, whatever it was made with", "net/bridge/br_nf_core.c br_dst_default_metrics",
        ("p03", "10.244.0.2", UDP_PORT, "UDP"), SILENCE, mtus=(1400, 1500), more={"size": 1471, "df": False},
    ),
    Found(
        "conntrack puts fragments together before NAT", "net/ipv4/netfilter/nf_defrag_ipv4.c",
        ("p02", "10.96.0.50", 53, "UDP"), {**OK, "by": "p12"},
        lines=(tuple(dnat("n0", f"{FAR}:{UDP_PORT}", "udp", 53)),), more={"size": 3000, "df": False},  # type: ignore[arg-type]
    ),
    Found(
        "a rule says no network where a route says no host", "net/ipv4/fib_rules.c fib4_rule_action",
        ("p02", FAR, TCP_PORT, "TCP"), {"error": "ENETUNREACH", "icmp": [3, 0, "10.244.0.1", 0]},
        lines=(("n0", "ip rule add from 10.244.0.2 unreachable priority 1000"),),
    ),
    Found(
        "also to a sender on the same machine", "net/ipv4/fib_rules.c fib4_rule_action",
        ("n0", FAR, TCP_PORT, "TCP"), {"verdict": "unreachable", "error": "ENETUNREACH"},
        lines=(("n0", "ip rule add unreachable priority 1000"),),
    ),
    Found(
        "what an iptables rule sends from 127.0.0.1 to a pod does not leave without route_localnet", "net/ipv4/route.c __mkroute_output",
        ("n0", "127.0.0.1", 30080, "UDP"), {"verdict": "unreachable", "error": "EINVAL"},
        lines=(("n0", f"iptables -t nat -A OUTPUT -p udp -m udp --dport 30080 -j DNAT --to-destination {FAR}:{UDP_PORT}"),),
    ),
    Found(
        "conntrack that sees one direction only calls the client's ACK invalid", "net/netfilter/nf_conntrack_proto_tcp.c tcp_conntracks",
        ("ext", FAR, TCP_PORT, "TCP"), {"verdict": "stalled"},
        lines=(
            ("ext", "ip route replace 10.244.1.0/24 via 192.168.50.11"),
            ("n0", "iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP"),
        ),
    ),
    Found(
        "a route says no host", "net/ipv4/fib_semantics.c fib_props",
        ("p02", FAR, TCP_PORT, "TCP"), {"error": "EHOSTUNREACH", "icmp": [3, 1, "10.244.0.1", 0]},
        lines=(("n0", f"ip route add unreachable {FAR}/32"),),
    ),
    Found(
        "one's own prohibit route is EACCES", "net/ipv4/fib_semantics.c fib_props",
        ("n0", FAR, TCP_PORT, "TCP"), {"verdict": "unreachable", "error": "EACCES"}, lines=(("n0", f"ip route add prohibit {FAR}/32"),),
    ),
    Found(
        "a static bridge FDB entry moves to where the address speaks", "net/bridge/br_fdb.c br_fdb_update",
        ("p02", FAR, TCP_PORT, "TCP"), OK, lines=(("n0", f"bridge fdb add {shape.mac_of('10.244.0.2')} dev veth03 master static"),),
    ),
    Found(
        "a port that does not learn leaves it where it is", "net/bridge/br_input.c br_handle_frame_finish",
        ("p02", FAR, TCP_PORT, "TCP"), {"error": "EHOSTUNREACH", "icmp": [3, 1, "10.244.0.2", 0]},
        lines=(
            ("n0", f"bridge fdb add {shape.mac_of('10.244.0.2')} dev veth03 master static"),
            ("n0", "bridge link set dev veth02 learning off"),
        ),
    ),
    Found(
        "REJECT in OUTPUT is EPERM for the one who sends a datagram", "net/netfilter/core.c nf_hook_slow",
        ("n0", FAR, UDP_PORT, "UDP"), {"verdict": "refused", "error": "EPERM"},
        lines=(("n0", f"iptables -A OUTPUT -d {FAR} -p udp -j REJECT"),),
    ),
    Found(
        "and ECONNREFUSED for the one who connects", "net/ipv4/tcp_ipv4.c tcp_v4_err",
        ("n0", FAR, TCP_PORT, "TCP"), {"verdict": "refused", "error": "ECONNREFUSED"},
        lines=(("n0", f"iptables -A OUTPUT -d {FAR} -p tcp -j REJECT"),),
    ),
    Found(
        "DNAT of one's own datagram to where there is no way fails in the call",
        "net/netfilter/nf_nat_proto.c nf_nat_ipv4_local_fn",
        ("n0", "10.96.0.50", 53, "UDP"), {"verdict": "unreachable", "error": "EINVAL"},
        lines=(tuple(dnat("n0", f"{FAR}:{UDP_PORT}", "udp", 53, "OUTPUT")), ("n0", f"ip route add blackhole {FAR}/32")),  # type: ignore[arg-type]
    ),
    Found(
        "TCP takes no notice of it and asks again", "net/ipv4/tcp_output.c tcp_connect",
        ("n0", "10.96.0.50", 80, "TCP"), SILENCE,
        lines=(tuple(dnat("n0", f"{FAR}:{TCP_PORT}", "tcp", 80, "OUTPUT")), ("n0", f"ip route add blackhole {FAR}/32")),  # type: ignore[arg-type]
    ),
    Found(
        "what one write sends crosses a device that is too small for it", "net/core/dev.c is_skb_forwardable",
        ("p02", FAR, TCP_PORT, "TCP"), OK,
        lines=(("n0", "ip link set veth02 mtu 1200"), ("n0", "ip link set cni0 mtu 1450")), more={"size": 4000},
    ),
    Found(
        "a segment alone does not", "net/core/dev.c is_skb_forwardable",
        ("p02", FAR, TCP_PORT, "TCP"), {"verdict": "stalled"},
        lines=(("n0", "ip link set veth02 mtu 1200"), ("n0", "ip link set cni0 mtu 1450")), more={"size": 1300},
    ),
    Found(
        "IP carries no more than 65,507 bytes of UDP, in fragments or not", "net/ipv4/udp.c udp_sendmsg",
        ("p02", FAR, UDP_PORT, "UDP"), {"verdict": "too-big", "error": "EMSGSIZE", "icmp": None}, more={"size": 65508, "df": False},
    ),
    Found(
        "but so many", "net/ipv4/udp.c udp_sendmsg",
        ("p02", NEAR, UDP_PORT, "UDP"), OK, more={"size": 65507, "df": False},
    ),
    Found(
        "nor of an echo request", "net/ipv4/ping.c ping_common_sendmsg",
        ("p02", FAR, 0, "ICMP"), {"verdict": "too-big", "error": "EMSGSIZE", "icmp": None}, more={"size": 65508, "df": False},
    ),
    Found(
        "0.0.0.0 is the machine itself", "net/ipv4/route.c ip_route_output_key_hash_rcu",
        ("p02", "0.0.0.0", TCP_PORT, "TCP"), {**OK, "by": "p02", "seen": "127.0.0.1"},
    ),
    Found(
        "also for a datagram", "net/ipv4/route.c ip_route_output_key_hash_rcu",
        ("p02", "0.0.0.0", UDP_PORT, "UDP"), {**OK, "by": "p02", "seen": "127.0.0.1"},
    ),
    Found(
        "a black hole: the handshake is done, the data is lost", "RFC 2923, 2.1",
        ("p02", FAR, TCP_PORT, "TCP"), {"verdict": "stalled", "error": None}, lines=HOLE, mtus=WIDE, more={"size": 4000, "timeout": 9.0},
    ),
    Found(
        "tcp_mtu_probing 1 gets through it after four or five timeouts, by how long they are", "net/ipv4/tcp_timer.c tcp_mtu_probing",
        ("p02", FAR, TCP_PORT, "TCP"), OK,
        lines=(*HOLE, *(("p02", "sysctl -w net.ipv4.tcp_mtu_probing=1"), ("p12", "sysctl -w net.ipv4.tcp_mtu_probing=2"))), mtus=WIDE,
        more={"size": 4000, "timeout": 9.0},
    ),
    Found(
        "not before they add up to three seconds", "net/ipv4/tcp_timer.c tcp_mtu_probing",
        ("p02", FAR, TCP_PORT, "TCP"), {"verdict": "stalled", "error": None},
        lines=(*HOLE, *(("p02", "sysctl -w net.ipv4.tcp_mtu_probing=1"), ("p12", "sysctl -w net.ipv4.tcp_mtu_probing=2"))), mtus=WIDE,
        more={"size": 4000, "timeout": 2.9},
    ),
    Found(
        "the answer has the same hole before it", "net/ipv4/tcp_timer.c tcp_mtu_probing",
        ("p02", FAR, TCP_PORT, "TCP"), {"verdict": "stalled", "error": None},
        lines=(*HOLE, ("p02", "sysctl -w net.ipv4.tcp_mtu_probing=1")), mtus=WIDE, more={"size": 4000, "timeout": 12.0},
    ),
    Found(
        "tcp_mtu_probing 2 begins small", "net/ipv4/tcp_output.c tcp_mtup_init",
        ("p02", FAR, TCP_PORT, "TCP"), OK,
        lines=(*HOLE, *((p, "sysctl -w net.ipv4.tcp_mtu_probing=2") for p in ("p02", "p12"))), mtus=WIDE, more={"size": 4000},
    ),
    Found(
        "--clamp-mss-to-pmtu makes both sides send what fits", "net/netfilter/xt_TCPMSS.c tcpmss_reverse_mtu",
        ("p02", FAR, TCP_PORT, "TCP"), OK, lines=(*HOLE, CLAMP), mtus=WIDE, more={"size": 4000},
    ),
    Found(
        "--set-mss too, if it is small enough", "net/netfilter/xt_TCPMSS.c tcpmss_mangle_packet",
        ("p02", FAR, TCP_PORT, "TCP"), OK, lines=(*HOLE, (CLAMP[0], CLAMP[1].replace("--clamp-mss-to-pmtu", "--set-mss 1410"))), mtus=WIDE,
        more={"size": 4000},
    ),
    Found(
        "and not if it is not", "net/netfilter/xt_TCPMSS.c tcpmss_mangle_packet",
        ("p02", FAR, TCP_PORT, "TCP"), {"verdict": "stalled", "error": None},
        lines=(*HOLE, (CLAMP[0], CLAMP[1].replace("--clamp-mss-to-pmtu", "--set-mss 1411"))), mtus=WIDE, more={"size": 4000},
    ),
    Found(
        "an MSS is never raised", "net/netfilter/xt_TCPMSS.c tcpmss_mangle_packet",
        ("p02", FAR, TCP_PORT, "TCP"), OK, lines=((CLAMP[0], CLAMP[1].replace("--clamp-mss-to-pmtu", "--set-mss 9000")),),
        more={"size": 4000},
    ),
    Found(
        "an echo reply may go to a broadcast address", "net/ipv4/icmp.c icmp_reply",
        ("p03", "10.244.0.2", 0, "ICMP"), OK,
        lines=(
            ("p02", "ip route del default"), ("p02", "ip addr del 10.244.0.2/24 dev eth0"), ("p02", "ip addr add 10.244.0.2/30 dev eth0"),
        ),
    ),
    *(
        Found(
            f"REJECT verifies a checksum, and a {proto} fragment's is of the whole: {end}",
            "net/ipv4/netfilter/nf_reject_ipv4.c nf_send_unreach",
            ("p12", NEAR, port, proto), answer, mode=mode,
            lines=(("n0", f"iptables -A FORWARD -p {proto.lower()} -j REJECT --reject-with icmp-net-unreachable"),),
            more={"size": size, "df": False},
        )
        for proto, port, size in (("ICMP", 0, 4500), ("UDP", UDP_PORT, 3000))
        for mode, end, answer in (
            ("routed", "no answer", SILENCE), ("host-gw", "no answer", SILENCE),
            ("vxlan", "a tunnel has vouched for it", {"error": "ENETUNREACH"}),
        )
    ),
    Found(
        "REJECT answers a datagram that came whole", "net/ipv4/netfilter/nf_reject_ipv4.c nf_send_unreach",
        ("p12", NEAR, UDP_PORT, "UDP"), {"error": "ENETUNREACH"},
        lines=(("n0", "iptables -A FORWARD -p udp -j REJECT --reject-with icmp-net-unreachable"),), more={"size": 1000, "df": False},
    ),
)
