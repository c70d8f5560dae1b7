"""What can be different or broken in a random cluster: each feature is a name and the command lines that make it so.

A feature claims the things it changes, so that two of them never undo each other; those that take a link down come last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .shape import CLIENT, GATEWAY, TCP_PORT, UDP_PORT, Spec, gateway_of, mac_of, port_of, vtep, vtep_mac

SERVICE_IP, SERVICE_PORT, SERVICE_UDP, NODE_PORT_NUMBER = "10.96.0.50", 80, 53, 30080
STRANGE_MAC = "0e:00:00:00:00:99"


@dataclass
class Draft:
    """A feature being drawn: `lines` to run, `touch` the spaces it matters to, `claims` what it changes."""

    rng: Random
    spec: Spec
    lines: list[list[str]] = field(default_factory=list)
    touch: list[str] = field(default_factory=list)
    claims: set[str] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)  # MTUs worth probing around
    last: bool = False

    def run(self, space: str, line: str) -> None:
        self.lines.append([space, line])

    def claim(self, *what: str) -> None:
        self.claims.update(what)

    @property
    def node(self) -> dict[str, Any]:
        return self.rng.choice(self.spec["nodes"])

    @property
    def pod(self) -> dict[str, Any]:
        return self.rng.choice(self.spec["pods"])

    def two_nodes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        a, b = self.rng.sample(self.spec["nodes"], 2)
        self.touch += [a["name"], b["name"]]
        return a, b

    def third(self, *others: dict[str, Any]) -> dict[str, Any] | None:
        rest = [n for n in self.spec["nodes"] if n not in others]
        return self.rng.choice(rest) if rest else None

    def pods_of(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        return [p for p in self.spec["pods"] if p["node"] == node["name"]]


FEATURES: dict[str, Callable[[Draft], None]] = {}


def feature(name: str) -> Callable[[Callable[[Draft], None]], Callable[[Draft], None]]:
    def register(fn: Callable[[Draft], None]) -> Callable[[Draft], None]:
        FEATURES[name] = fn
        return fn

    return register


# ------------------------------------------------------------------------------------------------------ the VTEPs
@feature("fdb removed")
def fdb_removed(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"fdb {a['name']} {b['name']}")
    d.run(a["name"], f"bridge fdb del {vtep_mac(b)} dev flannel.1 dst {b['ip']}")


@feature("fdb wrong remote")
def fdb_wrong_remote(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"fdb {a['name']} {b['name']}")
    c = d.third(a, b)
    wrong = d.rng.choice([c["ip"] if c else CLIENT, "192.168.50.77", CLIENT, GATEWAY])
    d.run(a["name"], f"bridge fdb del {vtep_mac(b)} dev flannel.1 dst {b['ip']}")
    d.run(a["name"], f"bridge fdb append {vtep_mac(b)} dev flannel.1 dst {wrong} self permanent")


@feature("fdb wrong mac")
def fdb_wrong_mac(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"fdb {a['name']} {b['name']}")
    d.run(a["name"], f"bridge fdb del {vtep_mac(b)} dev flannel.1 dst {b['ip']}")
    d.run(a["name"], f"bridge fdb append {STRANGE_MAC} dev flannel.1 dst {b['ip']} self permanent")


@feature("vtep neighbour removed")
def vtep_neighbour_removed(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"neigh {a['name']} {b['name']}")
    d.run(a["name"], f"ip neigh del {vtep(b)} dev flannel.1")


@feature("vtep neighbour wrong")
def vtep_neighbour_wrong(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"neigh {a['name']} {b['name']}")
    c = d.third(a, b)
    wrong = d.rng.choice([STRANGE_MAC, vtep_mac(c) if c else STRANGE_MAC, vtep_mac(a)])
    d.run(a["name"], f"ip neigh replace {vtep(b)} lladdr {wrong} dev flannel.1 nud permanent")


@feature("vtep mac wrong at both tables")
def vtep_mac_wrong(d: Draft) -> None:
    """Neighbour and FDB agree on a hardware address that the far VTEP does not have: it arrives, and is not for it."""
    a, b = d.two_nodes()
    d.claim(f"neigh {a['name']} {b['name']}", f"fdb {a['name']} {b['name']}")
    d.run(a["name"], f"ip neigh replace {vtep(b)} lladdr {STRANGE_MAC} dev flannel.1 nud permanent")
    d.run(a["name"], f"bridge fdb append {STRANGE_MAC} dev flannel.1 dst {b['ip']} self permanent")


# ------------------------------------------------------------------------------------------------------ neighbours
@feature("pod neighbour wrong on node")
def pod_neighbour_wrong(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"neigh {p['node']} {p['name']}")
    others = [q for q in d.spec["pods"] if q["node"] == p["node"] and q is not p]
    wrong = d.rng.choice([STRANGE_MAC, *(mac_of(q["ip"]) for q in others)])
    d.run(p["node"], f"ip neigh replace {p['ip']} lladdr {wrong} dev cni0 nud permanent")


@feature("gateway neighbour wrong in pod")
def gateway_neighbour_wrong(d: Draft) -> None:
    p = d.pod
    d.touch.append(p["name"])
    d.claim(f"neigh {p['name']}", f"up {p['name']}")
    d.run(p["name"], f"ip neigh replace {gateway_of(p)} lladdr {STRANGE_MAC} dev eth0 nud permanent")


# ---------------------------------------------------------------------------------------------------------- routes
@feature("route removed")
def route_removed(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"route {a['name']} {b['name']}")
    d.run(a["name"], f"ip route del {b['cidr']}")


@feature("route wrong via")
def route_wrong_via(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"route {a['name']} {b['name']}", f"up {a['name']} flannel.1", f"up {a['name']} eth0")
    c = d.third(a, b)
    way = d.rng.choice(
        [f"via {b['ip']} dev eth0", f"via {vtep(c)} dev flannel.1 onlink" if c else f"via {GATEWAY} dev eth0", "via 10.244.9.0 dev flannel.1 onlink", "dev cni0"]
    )
    d.claim(f"up {a['name']} cni0")
    d.run(a["name"], f"ip route replace {b['cidr']} {way}")


@feature("route of another type")
def route_type(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"route {a['name']} {b['name']}")
    kind = d.rng.choice(["blackhole", "unreachable", "prohibit", "throw"])
    d.run(a["name"], f"ip route del {b['cidr']}")
    d.run(a["name"], f"ip route add {kind} {b['cidr']}")


@feature("more specific route")
def more_specific(d: Draft) -> None:
    a, b = d.two_nodes()
    p = d.rng.choice(d.pods_of(b))
    d.touch.append(p["name"])
    d.claim(f"route {a['name']} {p['name']}", *(f"up {a['name']} {x}" for x in ("flannel.1", "eth0", "cni0")))
    c = d.third(a, b)
    half = f"{b['cidr'].replace('.0/24', '.0/25')}"
    to = d.rng.choice([f"{p['ip']}/32", half])
    way = d.rng.choice(["blackhole", "unreachable", "prohibit", f"via {vtep(c)} dev flannel.1 onlink" if c else "dev eth0", "dev cni0", f"via {b['ip']} dev eth0"])
    d.run(a["name"], f"ip route add {way} {to}" if " " not in way else f"ip route add {to} {way}")


@feature("route in the pod")
def pod_route(d: Draft) -> None:
    p, q = d.pod, d.pod
    d.touch += [p["name"], q["name"]]
    d.claim(f"route {p['name']}", f"up {p['name']}")
    way = d.rng.choice(["blackhole", "unreachable", "prohibit", f"via {gateway_of(p)} dev eth0", "dev eth0"])
    d.run(p["name"], f"ip route add {way} {q['ip']}/32" if " " not in way else f"ip route add {q['ip']}/32 {way}")


@feature("route with its own mtu")
def route_mtu(d: Draft) -> None:
    a, b = d.two_nodes()
    d.claim(f"route {a['name']} {b['name']}", f"up {a['name']} flannel.1")
    mtu = d.rng.choice([1300, 1380])
    d.sizes.append(mtu)
    d.run(a["name"], f"ip route replace {b['cidr']} via {vtep(b)} dev flannel.1 onlink mtu {mtu}")


@feature("pod without default route")
def no_default(d: Draft) -> None:
    p = d.pod
    d.touch.append(p["name"])
    d.claim(f"default {p['name']}", f"up {p['name']}")
    d.run(p["name"], "ip route del default")


@feature("node without default route")
def node_no_default(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"default {n['name']}", f"up {n['name']} eth0")
    d.run(n["name"], "ip route del default")


@feature("wrong pod prefix")
def wrong_prefix(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"prefix {p['name']}", f"default {p['name']}", f"route {p['name']}", f"up {p['name']}", f"neigh {p['name']}")
    length = d.rng.choice([16, 25, 30, 23])
    d.run(p["name"], "ip route del default")
    d.run(p["name"], f"ip addr del {p['ip']}/24 dev eth0")
    d.run(p["name"], f"ip addr add {p['ip']}/{length} dev eth0")
    d.run(p["name"], f"ip route add default via {gateway_of(p)} dev eth0 onlink")


@feature("rule by source")
def source_rule(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"rule {p['node']}")
    action = d.rng.choice(["blackhole", "unreachable", "prohibit", "lookup 100"])
    if action == "lookup 100":
        d.run(p["node"], f"ip route add {d.rng.choice(['blackhole', 'unreachable'])} 10.244.0.0/16 table 100")
    d.run(p["node"], f"ip rule add from {p['ip']} {action} priority 1000")


@feature("second pod network address on node")
def more_addresses(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"address {n['name']}")
    dev, ip = d.rng.choice([("eth0", n["ip"].replace(".50.1", ".50.2") + "/24"), ("cni0", gateway_of(n)[:-1] + "250/24"), ("lo", "10.99.1.1/32")])
    d.run(n["name"], f"ip addr add {ip} dev {dev}")


# --------------------------------------------------------------------------------------------------- links and MTU
@feature("pod link down on node")
def veth_down(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"up {p['name']}", f"port {p['name']}")
    d.last = True
    d.run(p["node"], f"ip link set {port_of(p)} down")


@feature("pod eth0 down")
def eth0_down(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"up {p['name']}", f"port {p['name']}", f"default {p['name']}", f"route {p['name']}", f"neigh {p['name']}")
    d.last = True
    d.run(p["name"], "ip link set eth0 down")


@feature("cni0 down")
def cni0_down(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"up {n['name']} cni0")
    d.last = True
    d.run(n["name"], "ip link set cni0 down")


@feature("flannel.1 down")
def flannel_down(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"up {n['name']} flannel.1", *(f"{w} {n['name']} {m['name']}" for w in ("route", "neigh", "fdb") for m in d.spec["nodes"]))
    d.last = True
    d.run(n["name"], "ip link set flannel.1 down")


@feature("node eth0 down")
def node_eth0_down(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"up {n['name']} eth0", f"default {n['name']}", *(f"route {n['name']} {m['name']}" for m in d.spec["nodes"]))
    d.last = True
    d.run(n["name"], "ip link set eth0 down")


@feature("pod mtu changed on one side")
def pod_mtu_side(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"mtu {p['name']}")
    mtu = d.rng.choice([1200, 1300, 1400, 1500])
    d.sizes.append(mtu)
    if d.rng.random() < 0.5:
        d.run(p["name"], f"ip link set eth0 mtu {mtu}")
    else:
        d.claim(f"mtu {p['node']} cni0")
        d.run(p["node"], f"ip link set {port_of(p)} mtu {mtu}")


@feature("pod mtu changed")
def pod_mtu(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"mtu {p['name']}", f"mtu {p['node']} cni0")
    mtu = d.rng.choice([1280, 1400, 1500])
    d.sizes.append(mtu)
    d.run(p["name"], f"ip link set eth0 mtu {mtu}")
    d.run(p["node"], f"ip link set {port_of(p)} mtu {mtu}")


@feature("flannel.1 mtu changed")
def flannel_mtu(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"mtu {n['name']} flannel.1")
    mtu = d.rng.choice([1280, 1350, 1400])
    d.sizes.append(mtu)
    d.run(n["name"], f"ip link set flannel.1 mtu {mtu}")


@feature("cni0 mtu changed")
def cni0_mtu(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"mtu {n['name']} cni0")
    mtu = d.rng.choice([1280, 1350, 1400])
    d.sizes.append(mtu)
    d.run(n["name"], f"ip link set cni0 mtu {mtu}")


@feature("hairpin off")
def hairpin_off(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.claim(f"hairpin {n['name']}")
    for p in d.pods_of(n):
        d.run(n["name"], f"bridge link set dev {port_of(p)} hairpin off")


@feature("ports isolated")
def isolated(d: Draft) -> None:
    n = d.node
    mine = d.pods_of(n)
    d.claim(f"isolated {n['name']}")
    for p in d.rng.sample(mine, d.rng.randint(1, len(mine))):
        d.touch.append(p["name"])
        d.run(n["name"], f"bridge link set dev {port_of(p)} isolated on")


@feature("port does not learn or flood")
def port_flags(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"flags {p['name']}")
    for flag in d.rng.choice([("learning",), ("flood",), ("learning", "flood")]):
        d.run(p["node"], f"bridge link set dev {port_of(p)} {flag} off")


@feature("bridge fdb names the wrong port")
def wrong_port(d: Draft) -> None:
    p = d.pod
    others = [q for q in d.spec["pods"] if q["node"] == p["node"] and q is not p]
    d.touch += [p["name"], p["node"]]
    d.claim(f"bridge fdb {p['name']}")
    port = port_of(d.rng.choice(others or [p]))
    d.run(p["node"], f"bridge fdb add {mac_of(p['ip'])} dev {port} master static")


# --------------------------------------------------------------------------------------------------------- sysctls
@feature("bridge-nf off")
def bridge_nf_off(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"nf {n['name']}")
    d.run(n["name"], "sysctl -w net.bridge.bridge-nf-call-iptables=0")


@feature("ip_forward off")
def forward_off(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"forward {n['name']}")
    d.run(n["name"], "sysctl -w net.ipv4.ip_forward=0")


@feature("rp_filter")
def rp_filter(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], "ext"]
    d.claim(f"rp {n['name']}")
    mode = d.rng.choice([1, 1, 2])
    for dev in d.rng.choice([("all",), ("flannel/1",), ("eth0",), ("cni0",), ("eth0", "flannel/1")]):
        d.run(n["name"], f"sysctl -w net.ipv4.conf.{dev}.rp_filter={mode}")


@feature("proxy_arp on cni0")
def proxy_arp(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    d.claim(f"proxy {n['name']}")
    d.run(n["name"], "sysctl -w net.ipv4.neigh.cni0.proxy_delay=0")
    d.run(n["name"], "sysctl -w net.ipv4.conf.cni0.proxy_arp=1")


@feature("echo ignored")
def echo_ignored(d: Draft) -> None:
    space = d.rng.choice([d.node, d.pod])["name"]
    d.touch.append(space)
    d.claim(f"echo {space}")
    d.run(space, "sysctl -w net.ipv4.icmp_echo_ignore_all=1")


@feature("route_localnet")
def route_localnet(d: Draft) -> None:
    n = d.node
    d.touch.append(n["name"])
    d.claim(f"localnet {n['name']}")
    d.run(n["name"], f"sysctl -w net.ipv4.conf.{d.rng.choice(['all', 'cni0'])}.route_localnet=1")


# ----------------------------------------------------------------------------------------------------------- rules
@feature("mark and rule")
def mark_and_rule(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"rule {p['node']}")
    way = d.rng.choice(["blackhole 10.244.0.0/16", "unreachable 10.244.0.0/16", f"192.168.50.0/24 via {GATEWAY} dev eth0"])
    d.claim(f"up {p['node']} eth0")
    d.run(p["node"], f"ip route add {way} table 100")
    d.run(p["node"], "ip rule add fwmark 0x7 lookup 100 priority 1000")
    d.run(p["node"], f"iptables -t mangle -A PREROUTING -s {p['ip']} -j MARK --set-xmark 0x7/0xffffffff")


@feature("mss clamped")
def mss_clamped(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    how = d.rng.choice(["--clamp-mss-to-pmtu", "--set-mss 1200"])
    d.run(n["name"], f"iptables -t mangle -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS {how}")


@feature("not tracked")
def not_tracked(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    chain, who = d.rng.choice([("PREROUTING", f"-s {p['ip']}"), ("PREROUTING", f"-d {p['ip']}"), ("OUTPUT", f"-d {p['ip']}")])
    d.run(p["node"], f"iptables -t raw -A {chain} {who} -j CT --notrack")


@feature("source rewritten")
def source_rewritten(d: Draft) -> None:
    n = d.node
    p = d.rng.choice(d.pods_of(n))
    d.touch += [n["name"], p["name"]]
    to = d.rng.choice(["-j MASQUERADE", f"-j SNAT --to-source {n['ip']}", f"-j SNAT --to-source {gateway_of(n)}"])
    d.run(n["name"], f"iptables -t nat -A POSTROUTING -s {p['ip']} {d.rng.choice(['-d 10.244.0.0/16 ', '', '-o eth0 '])}{to}")


@feature("destination rewritten")
def destination_rewritten(d: Draft) -> None:
    n, p = d.node, d.pod
    d.touch += [n["name"], p["name"]]
    proto, port, own = d.rng.choice([("tcp", TCP_PORT, 9100), ("udp", UDP_PORT, 9100)])
    to = d.rng.choice([f"-j REDIRECT --to-ports {own}", f"-j DNAT --to-destination {d.pod['ip']}", f"-j DNAT --to-destination {CLIENT}:{own}"])
    d.run(n["name"], f"iptables -t nat -A {d.rng.choice(['PREROUTING', 'PREROUTING', 'OUTPUT'])} -d {p['ip']} -p {proto} -m {proto} --dport {port} {to}")


@feature("frag-needed dropped")
def frag_needed_dropped(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    chain = d.rng.choice(["OUTPUT", "OUTPUT", "FORWARD"])
    d.run(n["name"], f"iptables -A {chain} -p icmp --icmp-type fragmentation-needed -j DROP")


def _target(rng: Random, tcp: bool) -> str:
    kinds = ["port-unreachable", "host-unreachable", "net-unreachable", "admin-prohibited", "host-prohibited", "net-prohibited", "proto-unreachable"]
    rejects = ["REJECT", *(f"REJECT --reject-with icmp-{k}" for k in kinds)] + (["REJECT --reject-with tcp-reset"] * 3 if tcp else [])
    return "DROP" if rng.random() < 0.4 else rng.choice(rejects)


@feature("filter rule on a node")
def filter_rule(d: Draft) -> None:
    n = d.node
    p, q = d.rng.choice(d.pods_of(n)), d.pod
    d.touch += [n["name"], p["name"], q["name"]]
    chain = d.rng.choice(["FORWARD", "FORWARD", "INPUT", "OUTPUT"])
    protocol = d.rng.choice(["tcp", "udp", "icmp", ""])
    words = [f"-A {chain}"]
    words.append(d.rng.choice([f"-d {p['ip']}", f"-s {p['ip']}", f"-d {q['ip']}", f"-s {q['ip']} -d {p['ip']}", "", "-s 10.244.0.0/16", f"-s {CLIENT}"]))
    if protocol:
        words.append(f"-p {protocol}")
    if protocol == "tcp":
        words.append(d.rng.choice(["", f"-m tcp --dport {TCP_PORT}", "-m tcp --tcp-flags SYN,ACK SYN"]))
    if protocol == "udp":
        words.append(d.rng.choice(["", f"-m udp --dport {UDP_PORT}"]))
    if chain in ("FORWARD", "INPUT") and d.rng.random() < 0.3:
        words.append(f"-i {d.rng.choice(['cni0', 'flannel.1', 'eth0'])}")
    words.append(f"-j {_target(d.rng, protocol == 'tcp')}")
    d.run(n["name"], "iptables " + " ".join(w for w in words if w))


@feature("filter rule in a pod")
def pod_rule(d: Draft) -> None:
    p, q = d.pod, d.pod
    d.touch += [p["name"], q["name"]]
    chain = d.rng.choice(["INPUT", "OUTPUT"])
    protocol = d.rng.choice(["tcp", "udp", "icmp"])
    end = d.rng.choice(["", f"-s {q['ip']}" if chain == "INPUT" else f"-d {q['ip']}"])
    d.run(p["name"], f"iptables -A {chain} {end} -p {protocol} -j {_target(d.rng, protocol == 'tcp')}".replace("  ", " "))


@feature("stateful forward policy")
def stateful(d: Draft) -> None:
    """Only answers and one way in: conntrack on the path, also where the two directions pass different nodes."""
    n = d.node
    p = d.rng.choice(d.pods_of(n))
    d.touch += [n["name"], p["name"], "ext"]
    d.claim(f"policy {n['name']}")
    d.run(n["name"], "iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    d.run(n["name"], f"iptables -A FORWARD {d.rng.choice(['-s', '-d'])} {p['ip']} -j ACCEPT")
    d.run(n["name"], "iptables -P FORWARD DROP")


@feature("invalid dropped")
def invalid_dropped(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], "ext"]
    d.run(n["name"], "iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP")


@feature("flannel masquerade")
def flannel_masquerade(d: Draft) -> None:
    d.touch += [n["name"] for n in d.spec["nodes"]]
    d.claim("flannel masquerade")
    for n in d.spec["nodes"]:
        chain = "iptables -t nat -A FLANNEL-POSTRTG"
        mine, all_ = n["cidr"], "10.244.0.0/16"
        for line in (
            "iptables -t nat -N FLANNEL-POSTRTG",
            "iptables -t nat -A POSTROUTING -j FLANNEL-POSTRTG",
            f"{chain} -m mark --mark 0x4000/0x4000 -j RETURN",
            f"{chain} -s {mine} -d {all_} -j RETURN",
            f"{chain} -s {all_} -d {mine} -j RETURN",
            f"{chain} ! -s {all_} -d {mine} -j RETURN",
            f"{chain} -s {all_} ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
            f"{chain} ! -s {all_} -d {all_} -j MASQUERADE --random-fully",
        ):
            d.run(n["name"], line)


@feature("service")
def service(d: Draft) -> None:
    """One endpoint, TCP and UDP, in kube-proxy's shape on every node; sometimes a node port, sometimes no endpoint."""
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim("service")
    masquerade_all = d.rng.random() < 0.25
    empty = d.rng.random() < 0.12
    d.spec["service"] = {"endpoint": p["name"], "masquerade": masquerade_all, "empty": empty}
    cidr = "" if masquerade_all else "! -s 10.244.0.0/16"
    for n in d.spec["nodes"]:
        lines = []
        if empty:
            lines += [
                "-N KUBE-SERVICES", "-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES", "-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES",
                f"-A KUBE-SERVICES -d {SERVICE_IP}/32 -p tcp -m tcp --dport {SERVICE_PORT} -j REJECT",
                f"-A KUBE-SERVICES -d {SERVICE_IP}/32 -p udp -m udp --dport {SERVICE_UDP} -j REJECT",
            ]  # fmt: skip
        else:
            t = "-t nat"
            lines += [f"{t} -N {c}" for c in ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-SVC-TCP", "KUBE-SVC-UDP", "KUBE-SEP-TCP", "KUBE-SEP-UDP", "KUBE-EXT-TCP", "KUBE-MARK-MASQ", "KUBE-POSTROUTING")]
            lines += [
                f"{t} -A PREROUTING -j KUBE-SERVICES", f"{t} -A OUTPUT -j KUBE-SERVICES", f"{t} -A POSTROUTING -j KUBE-POSTROUTING",
                f"{t} -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
                f"{t} -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
                f"{t} -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
                f"{t} -A KUBE-POSTROUTING -j MASQUERADE --random-fully",
                f"{t} -A KUBE-SERVICES -d {SERVICE_IP}/32 -p tcp -m tcp --dport {SERVICE_PORT} -j KUBE-SVC-TCP",
                f"{t} -A KUBE-SERVICES -d {SERVICE_IP}/32 -p udp -m udp --dport {SERVICE_UDP} -j KUBE-SVC-UDP",
                f"{t} -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
                f"{t} -A KUBE-NODEPORTS -p tcp -m tcp --dport {NODE_PORT_NUMBER} -j KUBE-EXT-TCP",
                f"{t} -A KUBE-EXT-TCP -j KUBE-MARK-MASQ", f"{t} -A KUBE-EXT-TCP -j KUBE-SVC-TCP",
            ]  # fmt: skip
            for proto, port, target in (("tcp", SERVICE_PORT, TCP_PORT), ("udp", SERVICE_UDP, UDP_PORT)):
                svc, sep = f"KUBE-SVC-{proto.upper()}", f"KUBE-SEP-{proto.upper()}"
                lines += [
                    f"{t} -A {svc} {cidr} -d {SERVICE_IP}/32 -p {proto} -m {proto} --dport {port} -j KUBE-MARK-MASQ".replace("  ", " "),
                    f"{t} -A {svc} -j {sep}",
                    f"{t} -A {sep} -s {p['ip']}/32 -j KUBE-MARK-MASQ",
                    f"{t} -A {sep} -p {proto} -m {proto} -j DNAT --to-destination {p['ip']}:{target}",
                ]
            lines += [
                "-N KUBE-FORWARD", "-A FORWARD -j KUBE-FORWARD", "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
                "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT", "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            ]  # fmt: skip
        for line in lines:
            d.run(n["name"], f"iptables {line}")
