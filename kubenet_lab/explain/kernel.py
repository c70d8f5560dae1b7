"""Words for what a Linux kernel does to a packet.

Parameters that every hop has: host, namespace, device, label (who speaks from that namespace), packet_src, packet_dst,
packet_dport, packet_proto, packet_ttl, packet_size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..kernel.network import PROVIDER, ROUTER
from .phrase import Phrase, documented, measured

__all__ = ["PHRASES"]

P = Mapping[str, Any]

#: header and sizes only, not compared with a running device
WIREGUARD = documented("Linux drivers/net/wireguard/{device,send,receive}.c; the WireGuard whitepaper, 5.4.6")
TUN = documented("flannel-io/flannel pkg/backend/udp/proxy_amd64.c")
_KERNEL = "tests/kernel_lab, real namespaces on Linux 6.18"
_ANYCAST = "tests/kernel_lab/test_kernel_lab_anycast.py, Linux 6.18"


def short(label: str) -> str:
    """A pod's label without what a ReplicaSet or DaemonSet put behind its name: enough for a title."""
    return re.sub(r"(-[a-z0-9]{8,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}$", "", label)


def _short(key: str, rest: str) -> Callable[[P], str]:
    """A title that begins with the short form of a parameter."""
    return lambda p: short(str(p[key])) + rest.format_map(p)


def _to(p: P) -> str:
    """Where a socket sends: an IPv6 address stands in brackets before a port (RFC 3986)."""
    if not p.get("port"):
        return str(p["dst"])
    return f"[{p['dst']}]:{p['port']}" if ":" in str(p["dst"]) else f"{p['dst']}:{p['port']}"


def _send_title(p: P) -> str:
    what = {"TCP": "connects", "UDP": "sends a datagram", "ICMP": "sends a ping"}[p["protocol"]]
    if p["protocol"] == "TCP" and "S" not in p["flags"]:
        what = f"sends {p['size']} bytes"
        if not p["size"]:
            what = "closes its connection" if "F" in p["flags"] else "resets its connection"
    return f"{short(p['label'])} {what} to {_to(p)}"


def _send(p: P) -> str:
    return f"{p['label']} writes {_to(p)} into the packet and asks its own routing table for the way out."


def _fin(p: P) -> str:
    if p["state"] == "ESTABLISHED":
        return f"A FIN arrives: the other end will send no more. {p['label']} has nothing left to say, and closes too: its FIN goes back with the ACK."
    return f"The other end's FIN arrives: both directions are closed. {p['label']} sends the last ACK and keeps the port pair in TIME_WAIT for 60 seconds."


def _reset(p: P) -> str:
    if p["state"] == "SYN_SENT":
        return "A TCP reset arrives: the other end has no such socket, or does not know this connection."
    return f"A TCP reset arrives: the connection ({p['state']}) is over at once, and what was not read is lost."


def _listens(p: P) -> str:
    text = f"A socket listens on {p['protocol']} port {p['port']}, so {p['owner']} takes it. It sees {p['src']} as its client."
    return text + (f" That it listens is assumed: {p['assumed']}." if p.get("assumed") else "")


def _closed(p: P) -> str:
    answer = "a TCP reset" if p["protocol"] == "TCP" else "ICMP port unreachable"
    return f"The packet reaches {p['label']}, but no socket listens on {p['protocol']} port {p['port']}. The kernel answers with {answer}: connection refused."


def _group(p: P) -> str:
    where = {
        "ingress": f"stands before {p['host']}, outside of the machine: the packet never reaches {p['device']}, and nothing there shows it",
        "egress": f"stands behind {p['device']} of {p['host']}: the machine has sent the packet, and tcpdump there shows it, but it goes no further",
    }[p["way"]]
    return f"{p['group'][0].upper()}{p['group'][1:]} {where}. The rule that decided: {p['rule']}. Nobody is told."


def _group_command(p: P) -> str:
    what = {"ICMP": "icmp", "ICMPv6": "icmp6"}.get(p["packet_proto"], f"{str(p['packet_proto']).lower()} port {p['packet_dport']}")
    return f"tcpdump -ni {p['device']} {what}"


def _unknown_outside(p: P) -> bool:
    """The router's last resort: it stands for the networks beyond, which do not say that they know no way."""
    return p["namespace"] in (ROUTER, PROVIDER) and bool(p.get("default"))


def _swallow_title(p: P) -> str:
    who = "the provider" if p["namespace"] == PROVIDER else "the router"
    return f"{who} knows no way to {p['packet_dst']}" if _unknown_outside(p) else f"{p['host']} swallows it: blackhole route"


def _block(p: P) -> str:
    return (
        f" BIRD keeps such a route for each block of addresses that {p['host']} has: {p['packet_dst']} lies in {p['dst']}, and no pod there "
        "has it. Without that route the packet would leave by the default route and might come back, round and round."
    )


def _swallow(p: P) -> str:
    if not _unknown_outside(p):
        return "The matching route discards the packet without a word." + (_block(p) if p.get("proto") == "bird" else "")
    if p["namespace"] == PROVIDER:
        return f"Nobody beyond the uplink knows the address {p['packet_dst']}. Nothing comes back."
    return (
        f"The router's table has its own segments, and nothing for {p['packet_dst']}. What it does not know it leaves to the network beyond it, "
        "and nobody there knows the address either. Nothing comes back."
    )


def _forward(p: P) -> str:
    way = f"via {p['via']} by {p['device']}" if p.get("via") else f"by {p['device']}, where {p['packet_dst']} is directly attached"
    return f"{p['host']} looks {p['packet_dst']} up in its routing table; the longest matching prefix sends it {way}. Being routed costs one TTL."


def _forward_title(p: P) -> str:
    return f"{p['host']} routes it to {p['device']}"


def _nat_rule(p: P) -> str:
    return f" The rule stands for {p['origin']}." if p.get("origin") else ""


def _masquerade(p: P) -> str:
    return (
        f"The source becomes the address of the outgoing interface {p['outdev']}, not \"the node IP\", so that the answer comes back "
        f"through {p['host']}.{_nat_outgoing(p)}{_nat_rule(p)}"
    )  # fmt: skip


def _nat_outgoing(p: P) -> str:
    if p.get("chain") != "cali-nat-outgoing":
        return ""
    return f" {p['packet_src']} belongs to an IP pool with natOutgoing, and {p['packet_dst']} to no pool: Felix hides the pod behind its node."


def _reverse(p: P) -> str:
    side = "source" if p.get("manip") == "src" else "destination"
    return f"{p['host']} remembers this connection. It puts the {side} back to what the client knows."


def _drop(p: P) -> str:
    if p.get("policy"):
        return (
            f"No rule of chain {p['chain']} (table {p['table']}) took it, and the chain's policy is DROP. Nobody is told: the client waits."
        )
    return f"A rule in chain {p['chain']} (table {p['table']}) drops it. Nobody is told: the client waits until it gives up.{_nat_rule(p)}"


def _reject(p: P) -> str:
    return f"A rule in chain {p['chain']} (table {p['table']}) rejects it with {p['how']}: the sender hears at once.{_nat_rule(p)}"


#: why a device does not answer on behalf of another: Silence.why -> the rest of a sentence that names who was asked
_SILENT: Mapping[str, str] = {
    "no_route": "has no route to {ip}: a proxy answers only for what it could forward",
    "route_type": "has a route for {ip} that leads nowhere: a proxy answers only for what it could forward",
    "same_device": "would forward to {ip} by {dev} itself, where whoever has it can answer",
    "forwarding": "does not forward what comes in by {dev}, so it answers for nobody else",
    "off": "does not answer for others there: proxy_arp is off on {dev}",
    "rp_filter": "does not believe the question, because its way back to the asker is not by {dev} (rp_filter)",
}


def _failed(p: P) -> str:
    how = "ARP" if ":" not in str(p["ip"]) else "neighbour solicitation"
    text = f"{p['host']} asked three times by {how} who has {p['ip']}. After {p['seconds']:.0f} seconds it gives up: host unreachable."
    silence = p.get("silence")
    if silence is not None and silence.why in _SILENT:
        text += f" {silence.label} was asked on {silence.dev} and " + _SILENT[silence.why].format(ip=p["ip"], dev=silence.dev) + "."
    return text


def _icmp_title(p: P) -> str:
    return f"{short(p['label'])} answers with ICMP {p['kind'].replace('-', ' ')}"


def _icmp(p: P) -> str:
    extra = f" and says how much fits: {p['mtu']} bytes" if p.get("mtu") else ""
    return f"{p['host']} tells the sender what became of its packet to {p['about']}{extra}. The error is a packet of its own and must find its way back."


def _received(p: P) -> str:
    if p["errno"] == "EMSGSIZE":
        return f"{p['label']} learns from {p['sender']} that only {p['mtu']} bytes fit on this path, and remembers it."
    return f"{p['label']} hears from {p['sender']}; the kernel gives the program {p['errno']}."


def _to_port(p: P) -> str:
    return f"The bridge knows the destination's MAC address behind port {p['port']} and sends the frame out there, unchanged: no routing, no TTL."


def _wire(p: P) -> str:
    return {"lan": "the node network", "outside": "the world outside", "uplink": "the uplink"}.get(p["segment"], f"the segment {p['segment']}")


def _mtu_send(p: P) -> str:
    why = f"may not be fragmented (DF) and {p['device']} takes {p['mtu']} bytes" if p["df"] else f"would be larger than the {p['mtu']} bytes that IP can carry"
    return f"The packet {why}: the send call fails with EMSGSIZE. No packet leaves."


def _fdb_miss(p: P) -> str:
    return (
        f"{p['device']} looks {p['mac']} up in its forwarding database and finds no entry, so it does not know which node to send to. "
        "Its learning is off: nothing asks, nothing answers, the packet is lost without a word."
    )  # fmt: skip


def _sibling(p: P) -> str:
    mine, other = p["modes"]
    text = f"{p['child_label']} has {p['ip']}, and both stand on {p['parent']} of {p['parent_label']}. "
    if "private" in (mine, other):
        return text + f"Frames between siblings pass only if both are in mode bridge; these are in {mine} and {other}, and private keeps siblings apart."
    return text + (
        f"Frames between siblings pass only if both are in mode bridge; these are in {mine} and {other}. vepa sends all to the switch and "
        "counts on it to send them back, which this one does not."
    )


def _same_port(p: P) -> str:
    return (
        f"The switch knows {p['mac']} behind the port that this frame came in by, and never sends a frame back where it came from. "
        "A macvlan child and its parent share one port; only a port that reflects (hairpin) would join them."
    )


def _foreign(p: P) -> str:
    wire = _wire(p)
    return (
        f"{wire[0].upper()}{wire[1:]} carries only the MAC addresses that it gave out: {p['own']} here, as clouds and Wi-Fi do. {p['mac']} belongs to "
        "a device that stands on that NIC, so every frame from it is dropped."
    )


PHRASES: dict[str, Phrase] = {
    # sockets
    "socket.send": Phrase(_send_title, _send, "ip route get {dst}", documented("Linux net/ipv4/route.c, ip_route_output_key")),
    "socket.deliver": Phrase(_short("owner", " accepts on {protocol} port {port}"), _listens, lambda p: "ss -ltn" if p["protocol"] == "TCP" else "ss -lun",
                             documented("RFC 9293, 3.10.7.2 (LISTEN); RFC 768")),
    "socket.closed": Phrase(_short("label", " has nothing on {protocol} port {port}"), _closed, lambda p: "ss -ltn" if p["protocol"] == "TCP" else "ss -lun",
                            measured(f"{_KERNEL}: ECONNREFUSED for a closed port")),
    "socket.connected": Phrase(_short("label", " is connected"), "The handshake is complete: {label} may send segments of up to {mss} bytes and headers.", "ss -tn",
                               documented("RFC 9293, 3.10.7.3 (SYN-SENT)")),
    "socket.answer": Phrase(_short("label", " gets its answer"), "The answer reaches the socket that asked.", "", documented("RFC 768; RFC 792")),
    "socket.data": Phrase(_short("label", " takes {size} bytes"), "{size} of {total} bytes of the message arrive in order and are acknowledged.", "ss -ti",
                          documented("RFC 9293, 3.10.7.4")),
    "socket.no_protocol": Phrase(_short("label", " does not speak {proto}"), "No protocol handler: the kernel answers ICMP protocol unreachable.", "",
                                 documented("RFC 1122, 3.2.2.1")),
    "tcp.reset": Phrase(lambda p: f"{short(p['label'])} is told: connection {'refused' if p['state'] == 'SYN_SENT' else 'reset'}", _reset, "",
                        documented("RFC 9293, 3.10.7.3")),
    "tcp.fin": Phrase(_short("label", " hears that the other end has closed"), _fin, "ss -tan", measured(f"{_KERNEL}: FIN, FIN-ACK, ACK; TIME_WAIT")),
    "tcp.reset_sent": Phrase("a TCP reset goes back", "The reset carries the address the client asked for, so the client believes it.", "",
                             documented("RFC 9293, 3.5.2")),
    "tcp.anycast": Phrase(_short("label", " takes no TCP at {packet_dst}"), "{packet_dst} is an anycast address here: the first address of a network for which {host} is a router. Linux neither accepts a connection to it nor refuses one: it drops the segment.",
                          "ip -6 route show table local", measured(f"{_ANYCAST}: TCP to it is silence, with a listener or without")),
    "tcp.stray": Phrase(_short("label", " does not know this connection"), "A segment ({flags}) of a connection that {label} never opened: it answers with a reset.",
                        "ss -tn", measured(f"{_KERNEL}: bridge-nf-call-iptables=0, ClusterIP to an endpoint on the same node")),
    # ICMP
    "icmp.error": Phrase(_icmp_title, _icmp, "tcpdump -ni any icmp", measured(f"{_KERNEL}: sender of ICMP errors per hop")),
    "icmp.received": Phrase(_short("label", " receives the error"), _received, "", documented("Linux net/ipv4/icmp.c, icmp_err_convert")),
    "icmp.echoed": Phrase(_short("label", " answers the ping"), "The kernel answers echo requests itself; no program in {label} is involved.", "ping {packet_dst}",
                          documented("RFC 792")),
    "icmp.ignored": Phrase(_short("label", " ignores pings"), "net.ipv4.icmp_echo_ignore_all is 1.", "sysctl net.ipv4.icmp_echo_ignore_all", documented("ip-sysctl")),
    # bridge and wire
    "bridge.up": Phrase("{bridge} takes it in: it is the gateway", "The frame is addressed to {bridge}'s own MAC address, so {host} itself receives it by port {port} and will route it.",
                        "bridge fdb show br {bridge}", measured(f"{_KERNEL}: cross-node traffic takes the routed hop 10.244.N.1")),
    "bridge.forward": Phrase("{bridge} switches it to port {port}", _to_port, "bridge fdb show br {bridge}", measured(f"{_KERNEL}: same-node traffic spends no TTL")),
    "bridge.flood": Phrase("{bridge} floods it to every port", "{bridge} has not learned this MAC address, so it sends the frame out of every port but the one it came by.",
                           "bridge fdb show br {device}", documented("IEEE 802.1D, 7.7; Linux net/bridge/br_forward.c")),
    "bridge.no_hairpin": Phrase("{bridge} will not send it back where it came from", "The frame would leave by {device}, the port it came in by, and that port's hairpin flag is off.",
                                "bridge -d link show dev {device}", measured(f"{_KERNEL}: hairpin flag off, a pod to itself through its Service: timeout")),
    "bridge.isolated": Phrase("{bridge} keeps isolated ports apart", "Both ports are isolated: isolated ports talk only to ports that are not.", "bridge -d link show dev {port}",
                              documented("bridge(8), isolated")),
    "bridge.filtered": Phrase("{bridge} refuses a frame from {mac}", "A rule of nftables' family bridge drops it where it comes in, at {port}. That is how macspoofchk keeps a pod to its own hardware address.",
                              "nft list table bridge {table}", documented("Linux net/bridge/netfilter/nf_tables_bridge.c; containernetworking/plugins pkg/link/spoofcheck.go")),
    "vlan.ingress": Phrase("{port} has no VLAN for untagged frames", "{bridge} filters VLANs, and its port {port} has no PVID: an untagged frame that comes in there belongs to no VLAN and is dropped.",
                           "bridge vlan show dev {port}", documented("Linux net/bridge/br_vlan.c, __allowed_ingress")),
    "vlan.egress": Phrase("{port} is not in VLAN {vlan}", "{bridge} filters VLANs: the frame is in VLAN {vlan}, and {port} is not a member of it, so the frame does not leave there.",
                          "bridge vlan show dev {port}", documented("Linux net/bridge/br_vlan.c, br_allowed_egress")),
    "vlan.tagged": Phrase("{port} sends it tagged, and nobody takes it", "{port} is a trunk port: a frame of VLAN {vlan} leaves it with an 802.1Q tag. Only a VLAN device behind it would take that, and kubenet-lab has none.",
                          "bridge vlan show dev {port}", documented("Linux net/bridge/br_vlan.c, br_handle_vlan")),
    "bridge.own_address": Phrase("{bridge} would talk to itself", "The destination MAC address is one of the bridge's own.", "", documented("Linux net/bridge/br_device.c")),
    "veth.cross": Phrase("through the veth pair to {peer}", "What goes into one end comes out of the other: {device} here, {peer} there.", "ip -d link show {device}",
                         documented("veth(4)")),
    "wire.cross": Phrase("{device} puts it on the wire to {to_host}", lambda p: f"The frame leaves {p['host']} by {p['device']} and crosses {_wire(p)} to {p['to_host']}.", "tcpdump -eni {device}",
                         measured(f"{_KERNEL}: frames on eth0 equal frames on flannel.1")),
    "wire.same_port": Phrase("the switch does not send it back", _same_port, "bridge -d link show", measured(f"{_KERNEL}: macvlan in mode vepa, hairpin off and on at the switch")),
    "wire.foreign_mac": Phrase("the network does not know {mac}", _foreign, "ip -d link show {device}",
                               documented("docs.docker.com, macvlan network driver: clouds and wireless interfaces allow one MAC address per port")),
    "wire.nobody": Phrase("nobody on the wire has {mac}", "The frame is on the network {segment}, but no interface there has the MAC address {mac}.", "ip neigh",
                          documented("IEEE 802.3")),
    "rx.other_host": Phrase("{device} ignores a frame for somebody else", "The frame's MAC address is not {device}'s ({mac}).", "ip link show {device}",
                            documented("Linux PACKET_OTHERHOST")),
    # macvlan
    "macvlan.out": Phrase("{device} sends it for {child_label}", "{child} of {child_label} is a macvlan child of {device}: its frame leaves by {device} as it is, under its own MAC address. "
                          "The routes, rules and addresses of {host} itself are not on the way.", "ip -d link show {child}", measured(f"{_KERNEL}: macvlan, children to other nodes and outside")),
    "macvlan.in": Phrase("{device} hands it up to {child_label}", "{device} knows {child_mac} as the address of its child {child} and hands the frame up to it, before the stack of {host} itself looks at it.",
                         "ip -d link show {child}", measured(f"{_KERNEL}: macvlan, other nodes to children")),
    "macvlan.switch": Phrase("{device} switches it to {child_label}", "{child} of {child_label} stands on {device} too, and both are in mode bridge: the frame goes over at once. It is not seen on the wire, and no TTL is spent.",
                             "ip -d link show {child}", measured(f"{_KERNEL}: macvlan, child to child in mode bridge")),
    "macvlan.parent": Phrase("{parent_label} does not hear its own macvlan children", "{ip} is an address of {parent_label}, whose {parent} this {device} stands on. What a child sends goes out of {parent}'s wire, "
                             "never up into {parent_label} itself, and the switch does not send it back by the port it came in by. So the question never arrived.",
                             "ip -d link show {device}", measured(f"{_KERNEL}: macvlan, host and own child: EHOSTUNREACH in every mode")),
    "macvlan.child": Phrase("{child_label} does not hear the node below it", "{ip} is the address of {child_label}, whose {child} stands on {parent}. What {host} itself sends by {parent} goes out of the wire, "
                            "never up to a macvlan child. A macvlan device of the node's own on {parent}, and a route to {ip} by it, would join them.",
                            "ip -d link show type macvlan", measured(f"{_KERNEL}: macvlan, host and own child: EHOSTUNREACH in every mode; a shim repairs it")),
    "macvlan.sibling": Phrase("{child_label} does not hear its sibling", _sibling, "ip -d link show {device}", measured(f"{_KERNEL}: macvlan, child to child by mode")),
    "macvlan.parent_down": Phrase("{parent} under {device} is down", "{device} stands on {parent} of {parent_label}, which is down or has no carrier. So it has none either, and nothing leaves, to siblings neither.",
                                  "ip link show {device}", measured(f"{_KERNEL}: macvlan, parent down")),
    # tunnel
    "vxlan.encap": Phrase("{device} wraps it in VXLAN for {remote}", "The forwarding database says that this MAC address lives at {remote}. {device} puts the whole frame into a UDP packet "
                          "to port {port} of that node, with VNI {vni}: {more} bytes more.", "bridge fdb show dev {device}", measured(f"{_KERNEL}: overhead exactly 50 bytes, outer DF clear, VNI 1")),
    "vxlan.decap": Phrase("{device} unwraps it", "{host} owns VNI {vni}: it takes the outer headers off, and the inner frame appears on {device} as if it had come by a wire.",
                          "ip -d link show {device}", measured(f"{_KERNEL}: inner frame as sent, inner MACs are the VTEPs'")),
    "vxlan.unknown_vni": Phrase("nobody here has VNI {vni}", "A VXLAN packet with VNI {vni} arrives, but no device of this node has that number.", "ip -d link show type vxlan",
                                documented("RFC 7348, 4.1")),
    "wireguard.encap": Phrase("{device} wraps it in WireGuard for {remote}", "The peer whose allowed IPs are {allowed} is the one for this destination. {device} encrypts the packet and sends it by UDP "
                              "to port {port} of {remote}: {more} bytes more, padding included. A handshake goes before the first packet; it is not shown.", "wg show {device}", WIREGUARD),
    "wireguard.decap": Phrase("{device} unwraps it", "The message comes from a peer of {host}: decrypted, the inner packet appears on {device}.", "wg show {device}", WIREGUARD),
    "wireguard.no_peer": Phrase("{device} has no peer for {ip}", "No peer's allowed IPs hold {ip}, so {device} knows no key to encrypt for: host unreachable.", "wg show {device} allowed-ips", WIREGUARD),
    "wireguard.unknown_peer": Phrase("{device} does not know the sender", "No peer of {device} has the key that {remote} speaks with: the message is dropped without an answer.", "wg show {device} peers", WIREGUARD),
    "wireguard.disallowed": Phrase("{device} does not take {ip} from this peer", "The packet inside comes from {ip}; its sender's allowed IPs are {allowed}. It is dropped.", "wg show {device} allowed-ips", WIREGUARD),
    "tun.encap": Phrase("the program behind {device} sends it by UDP to {remote}", "A program on {host} reads the packet from {device}, finds {remote} in its own table and sends the packet as the payload "
                        "of a datagram to port {port}: {more} bytes more. It takes one TTL, as a router does.", "ss -lunp", TUN),
    "tun.decap": Phrase("the program behind {device} writes it there", "The program takes the packet out of the datagram, takes one TTL more and writes it into {device}, where it appears as if it had come by a wire.",
                        "ip -d link show {device}", TUN),
    "tun.no_route": Phrase("the program behind {device} knows no way to {ip}", "Its table has no subnet that holds {ip}, so it writes ICMP network unreachable into {device}, from {device}'s own address. The kernel drops what comes to it from an address of its own, so nobody hears of it.", "ip -d link show {device}", TUN),
    "tun.ttl": Phrase("the program behind {device} drops a packet without TTL", "The program takes a TTL and none is left. Other than a router it says nothing.", "", TUN),
    "tun.garbage": Phrase("the program behind {device} does not understand it", "The datagram from {remote} holds no IP packet.", "", TUN),
    "fdb.miss": Phrase("{device} has no entry for {mac}", _fdb_miss, "bridge fdb show dev {device}", measured(f"{_KERNEL}: one FDB entry removed: silence, to that node only")),
    # routing
    "route.forward": Phrase(_forward_title, _forward, "ip route get {packet_dst}", measured(f"{_KERNEL}: TTL path")),
    "route.output": Phrase("routing table: {device}", "The longest matching prefix decides.", "ip route get {packet_dst}", documented("Linux net/ipv4/fib_trie.c")),
    "route.again": Phrase("routed again after NAT: {device}", "The destination changed, so the way out is looked up once more.", "ip route get {packet_dst}",
                          documented("Linux ip_route_me_harder")),
    "route.none": Phrase(_short("label", " has no route to {packet_dst}"), "No prefix in the routing table matches, and there is no default route: the program gets {errno} at once.", "ip route",
                         measured(f"{_KERNEL}: ENETUNREACH without a route")),
    "route.refused": Phrase(_short("label", "'s route refuses {packet_dst}"), "The matching route says so: the program gets {errno} at once.", "ip route get {packet_dst}", documented("ip-route(8)")),
    "route.no_device": Phrase(_short("label", " does not know on which device {packet_dst} is"), "A link-local address is on every link, and none is named: the program gets {errno} at once.",
                                "ip -6 route get {packet_dst}", documented("Linux tcp_v6_connect, __ip6_datagram_connect")),
    "route.unreachable": Phrase("{host} has no way to {packet_dst}", "No route leads on from here, so {host} answers with an ICMP error.", "ip route get {packet_dst}",
                                measured(f"{_KERNEL}: unreachable and prohibit routes")),
    "route.blackhole": Phrase(_swallow_title, _swallow, "ip route get {packet_dst}",
                              measured(f"{_KERNEL}: blackhole route: timeout")),
    "route.broadcast": Phrase("a broadcast address", "{packet_dst} is the broadcast address of {device}'s network; a connection cannot go there.", "", documented("RFC 919")),
    "forward.disabled": Phrase("{host} does not forward", "The packet is for somebody else, and IP forwarding is off here.", "sysctl net.ipv4.ip_forward",
                               measured(f"{_KERNEL}: ip_forward 0: timeout")),
    "martian.source": Phrase("{host} cannot believe the source", "The packet claims to come from {packet_src}, an address that cannot arrive by {device}.", "dmesg | grep martian",
                             documented("Linux fib_validate_source")),
    "martian.destination": Phrase("127.0.0.0/8 is not reachable from outside", "A packet to {packet_dst} came in by {device}, and route_localnet is off.", "sysctl net.ipv4.conf.all.route_localnet",
                                  measured(f"{_KERNEL}: NodePort on 127.0.0.1 without route_localnet: timeout")),
    "rp_filter": Phrase("{host} drops it: reverse path filter", "The way back to {packet_src} is not by {device}, and rp_filter is on.", "sysctl net.ipv4.conf.{device}.rp_filter",
                        documented("RFC 3704; ip-sysctl")),
    "ttl.exceeded": Phrase("the TTL ends at {host}", "The packet may not be routed once more: TTL {packet_ttl}. traceroute lives on this.", "traceroute {packet_dst}",
                           measured(f"{_KERNEL}: TTL path")),
    # neighbours
    "neigh.use": Phrase("neighbour table", "The next hop's MAC address is known.", "ip neigh show dev {device}", documented("Linux net/core/neighbour.c")),
    "neigh.learned": Phrase("ARP asks and is answered", "Nobody knew the next hop's MAC address, so an ARP request went out; the answer is remembered.", "ip neigh show dev {device}",
                            documented("RFC 826")),
    "neigh.proxied": Phrase("the other end answers for {ip}", "{ip} is nobody's address on this link. The machine at the other end could forward to it, has proxy_arp on, and answers with its own MAC address.",
                            "sysctl net.ipv4.conf.all.proxy_arp; ip neigh show dev {device}", measured(f"{_KERNEL}: routed cluster: a pod's gateway 169.254.1.1 is answered by proxy ARP")),
    "neigh.anycast": Phrase("a router answers for {ip}", "{ip} is the address of all routers of its network, the network's first one. A machine at the other end forwards IPv6, so it answers, with its own MAC address and a little late.",
                            "ip -6 route show table local; ip neigh show dev {device}", measured(f"{_ANYCAST}: a neighbour's question is answered after up to 0.8 s")),
    "neigh.failed": Phrase("nobody answers for {ip} on {device}", _failed,
                           "ip neigh show dev {device}", measured(f"{_KERNEL}: absent pod address: EHOSTUNREACH after about 3 s")),
    # size
    "mtu.send": Phrase(_short("label", " cannot send {size} bytes at once"), _mtu_send,
                       "ip link show {device}", measured(f"{_KERNEL}: EMSGSIZE without any ICMP")),
    "mss.lowered": Phrase("{host} lowers the MSS to {mss}", "The SYN says how large the other end's segments may be: {was} bytes. A rule writes {mss} into it, so that they fit the way.",
                          "iptables -t mangle -S", measured(f"{_KERNEL}: --clamp-mss-to-pmtu, --set-mss")),
    "mtu.local": Phrase("too big for {device}", "The packet has {size} bytes, {device} takes {mtu}, and it may not be fragmented.", "ip link show {device}", documented("RFC 1191")),
    "mtu.forward": Phrase("too big for {device}: {size} of {mtu} bytes", "The packet must leave by {device}, which takes {mtu} bytes, and DF forbids cutting it. {host} drops it and says what would fit.",
                          "ip link show {device}", measured(f"{_KERNEL}: pod MTU 1500 over VXLAN: ICMP 3/4 mtu 1450 from 10.244.N.1")),
    "mtu.bridge": Phrase("too big for port {device}: {size} of {mtu} bytes", "A bridge has no ICMP: a frame larger than the port's MTU disappears without a word.", "ip link show {device}",
                         documented("Linux is_skb_forwardable")),
    "mtu.veth": Phrase("too big for {peer}: {size} of {mtu} bytes", "The other end of the veth pair takes {mtu} bytes. The frame disappears without a word.", "ip link show {device}",
                       documented("Linux is_skb_forwardable")),
    "mtu.tunnel": Phrase("too big for the tunnel to {remote}: {size} of {mtu} bytes",
                         "Wrapped, it would not fit the path to {remote}. {device} is a bridge's port, so it answers at once, in the name of {packet_dst}.",
                         "ip route get {remote}", measured(f"{_KERNEL}: VXLAN as a bridge's port on a path of 1400 bytes")),
    "mtu.wire": Phrase("too big for the wire: {size} of {mtu} bytes", "The network {segment} carries at most {mtu} bytes in a frame; nobody is told of what is longer.",
                       "ip link show {device}", measured(f"{_KERNEL}: a NIC of 9000 on a wire of 1500: silence")),
    "mtu.nic": Phrase("too big for {device} of {host}: {size} of {mtu} bytes", "The frame reaches {host}, but {device} takes at most {mtu} bytes and drops it. Nobody is told.",
                      "ip -s link show {device}", measured(f"{_KERNEL}: a NIC of 1400 on a wire of 1500: silence")),
    "mtu.macvlan": Phrase("too big for {parent}: {size} of {mtu} bytes", "The frame passes by {parent}, on which both devices stand, and that takes {mtu} bytes. It disappears without a word.",
                          "ip link show {device}", documented("Linux dev_forward_skb, is_skb_forwardable")),
    "ip.fragment": Phrase("cut into fragments of up to {mtu} bytes", "The packet has {size} bytes and may be fragmented; each piece travels on its own.", "ip link show {device}",
                          documented("RFC 791, 2.3")),
    "ip.reassembled": Phrase("put together from its fragments", "All pieces are here.", "nstat -az IpReasmOKs", documented("RFC 815")),
    # NAT and filters
    "nat.dnat": Phrase("{host} rewrites it: now for {new_dst}", lambda p: f"A rule in chain {p['chain']} puts an endpoint's address in place of {p['packet_dst']}: from here on the packet is for {p['new_dst']}.{_nat_rule(p)}",
                       "conntrack -L -d {packet_dst}", documented("Linux net/netfilter/nf_nat_core.c")),
    "nat.snat": Phrase("{host} rewrites it: now from {new_src}", lambda p: f"A rule in chain {p['chain']} puts {p['new_src']} in place of {p['packet_src']}.{_nat_rule(p)}", "conntrack -L -s {packet_src}",
                       documented("Linux net/netfilter/nf_nat_core.c")),
    "nat.masquerade": Phrase("{host} rewrites it: now from {new_src}", _masquerade, "conntrack -L -s {packet_src}",
                             measured(f"{_KERNEL}: the masquerade takes the outgoing interface's address")),
    "nat.reverse": Phrase("{host} undoes the rewrite", _reverse, "conntrack -L", documented("Linux net/netfilter/nf_nat_core.c")),
    "nat.same": Phrase("{host} rewrites it as the packets before", "conntrack remembers what was decided for the first packet of this connection; no rule is asked again.", "conntrack -L",
                       measured(f"{_KERNEL}: a connection keeps its endpoint")),
    "nat.error": Phrase("{host} rewrites the ICMP error", "The error is about a rewritten packet: outside and inside it gets the addresses that the client knows.", "conntrack -L",
                        measured(f"{_KERNEL}: traceroute to a ClusterIP shows the ClusterIP")),
    "conntrack.race": Phrase("lost a race in conntrack", "Another packet of the same flow was confirmed first.", "conntrack -S", documented("Linux nf_conntrack_core.c, __nf_conntrack_confirm")),
    "filter.drop": Phrase("dropped by {chain}", _drop, "iptables -t {table} -S {chain}", documented("iptables(8)")),
    "filter.reject": Phrase("rejected by {chain}", _reject, "iptables -t {table} -S {chain}", measured(f"{_KERNEL}: REJECT at once, DROP times out")),
    "group.denied": Phrase("{group} drops it: {rule}", _group, _group_command,
                           documented("Azure: Network security groups (rules in order, stateful, at the NIC); AWS: Security groups for your VPC")),
    # links
    "link.down": Phrase("{device} is down", "The interface {device} is not up, so nothing passes.", "ip link show {device}", documented("ip-link(8)")),
    "link.gone": Phrase("{device} does not exist any more", "The interface, or its other end, was removed.", "ip link", documented("ip-link(8)")),
    "link.no_carrier": Phrase("the other end of {device} is down", "{peer}, the other end of the veth pair, is not up: {device} has no carrier.", "ip link show {device}",
                              documented("veth(4)")),
}  # fmt: skip
