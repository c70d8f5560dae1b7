"""iptables rules: filters, rewriting, flannel's masquerade, a Service in kube-proxy's shape."""

from __future__ import annotations

from random import Random

from .draft import NODE_PORT_NUMBER, SERVICE_IP, SERVICE_PORT, SERVICE_UDP, Draft, feature
from .modes import BRIDGED, TUNNELLED
from .shape import CLIENT, TCP_PORT, UDP_PORT, gateway_of


# ----------------------------------------------------------------------------------------------------------- rules
@feature("mark and rule")
def mark_and_rule(d: Draft) -> None:
    p = d.pod
    d.touch += [p["name"], p["node"]]
    d.claim(f"rule {p['node']}")
    way = d.rng.choice(["blackhole 10.244.0.0/16", "unreachable 10.244.0.0/16", f"192.168.50.0/24 via {d.gateway(d.node_of(p))} dev eth0"])
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
    third = gateway_of(n) if d.mode in BRIDGED else "192.168.50.88"
    to = d.rng.choice(["-j MASQUERADE", f"-j SNAT --to-source {n['ip']}", f"-j SNAT --to-source {third}"])
    d.run(n["name"], f"iptables -t nat -A POSTROUTING -s {p['ip']} {d.rng.choice(['-d 10.244.0.0/16 ', '', '-o eth0 '])}{to}")


@feature("destination rewritten")
def destination_rewritten(d: Draft) -> None:
    n, p = d.node, d.pod
    d.touch += [n["name"], p["name"]]
    proto, port, own = d.rng.choice([("tcp", TCP_PORT, 9100), ("udp", UDP_PORT, 9100)])
    to = d.rng.choice(
        [f"-j REDIRECT --to-ports {own}", f"-j DNAT --to-destination {d.pod['ip']}", f"-j DNAT --to-destination {CLIENT}:{own}"]
    )
    d.run(
        n["name"],
        f"iptables -t nat -A {d.rng.choice(['PREROUTING', 'PREROUTING', 'OUTPUT'])} -d {p['ip']} -p {proto} -m {proto} --dport {port} {to}",
    )


@feature("frag-needed dropped")
def frag_needed_dropped(d: Draft) -> None:
    n = d.node
    d.touch += [n["name"], *(p["name"] for p in d.pods_of(n))]
    chain = d.rng.choice(["OUTPUT", "OUTPUT", "FORWARD"])
    d.run(n["name"], f"iptables -A {chain} -p icmp --icmp-type fragmentation-needed -j DROP")


def _devices(d: Draft) -> list[str]:
    return ["eth0", *(["cni0"] if d.mode in BRIDGED else []), *(["flannel.1"] if d.mode in TUNNELLED else [])]


def _target(rng: Random, tcp: bool) -> str:
    kinds = [
        "port-unreachable",
        "host-unreachable",
        "net-unreachable",
        "admin-prohibited",
        "host-prohibited",
        "net-prohibited",
        "proto-unreachable",
    ]
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
    words.append(
        d.rng.choice(
            [f"-d {p['ip']}", f"-s {p['ip']}", f"-d {q['ip']}", f"-s {q['ip']} -d {p['ip']}", "", "-s 10.244.0.0/16", f"-s {CLIENT}"]
        )
    )
    if protocol:
        words.append(f"-p {protocol}")
    if protocol == "tcp":
        words.append(d.rng.choice(["", f"-m tcp --dport {TCP_PORT}", "-m tcp --tcp-flags SYN,ACK SYN"]))
    if protocol == "udp":
        words.append(d.rng.choice(["", f"-m udp --dport {UDP_PORT}"]))
    if chain in ("FORWARD", "INPUT") and d.rng.random() < 0.3:
        words.append(f"-i {d.rng.choice(_devices(d))}")
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


@feature("flannel masquerade", *BRIDGED)
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
                "-N KUBE-SERVICES",
                "-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES",
                "-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES",
                f"-A KUBE-SERVICES -d {SERVICE_IP}/32 -p tcp -m tcp --dport {SERVICE_PORT} -j REJECT",
                f"-A KUBE-SERVICES -d {SERVICE_IP}/32 -p udp -m udp --dport {SERVICE_UDP} -j REJECT",
            ]  # fmt: skip
        else:
            t = "-t nat"
            lines += [
                f"{t} -N {c}"
                for c in (
                    "KUBE-SERVICES",
                    "KUBE-NODEPORTS",
                    "KUBE-SVC-TCP",
                    "KUBE-SVC-UDP",
                    "KUBE-SEP-TCP",
                    "KUBE-SEP-UDP",
                    "KUBE-EXT-TCP",
                    "KUBE-MARK-MASQ",
                    "KUBE-POSTROUTING",
                )
            ]
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
                "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
                "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            ]  # fmt: skip
        for line in lines:
            d.run(n["name"], f"iptables {line}")
