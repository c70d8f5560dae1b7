"""Random rulesets that the tools accept, and packets to meet them."""

from __future__ import annotations

import random

from fake_context import Fake

from kubenet_lab.kernel.packet import Icmp, Packet, Tcp, Udp

__all__ = ["random_context", "random_rules"]

ADDRESSES = [f"10.244.{n}.{h}" for n in (0, 1) for h in range(1, 9)] + ["10.96.0.1", "10.96.0.10", "192.168.50.11"]
NETWORKS = ["10.244.0.0/16", "10.244.1.0/24", "10.96.0.0/12", "0.0.0.0/0", "10.244.0.0/255.255.0.255"]
PORTS = [22, 53, 80, 443, 8080, 30080]
DEVICES = ["eth0", "cni0", "vethabc", "flannel.1"]


def _no(r: random.Random, p: float = 0.15) -> str:
    return "! " if r.random() < p else ""


def _address(r: random.Random, letter: str) -> str:
    text = r.choice(ADDRESSES) if r.random() < 0.7 else r.choice(NETWORKS)
    return f"-{letter} {text}" if text == "0.0.0.0/0" else f"{_no(r)}-{letter} {text}"


def _matches(r: random.Random, chance: bool) -> list[str]:
    out = []
    if r.random() < 0.6:
        out.append(_address(r, "d"))
    if r.random() < 0.25:
        out.append(_address(r, "s"))
    protocol = r.choice(["tcp", "tcp", "udp", "icmp", ""])
    if protocol:
        out.append(f"-p {protocol}")
        port = r.choice(PORTS)
        if protocol != "icmp" and r.random() < 0.7:
            out.append(r.choice([
                f"-m {protocol} {_no(r)}--dport {port}", f"-m {protocol} --dport {port}", f"-m {protocol} --sport 1024:",
                f"-m {protocol} --dport {port}:{port + 100}", f"-m multiport --dports {port},{r.choice(PORTS)},1000:1010",
                f"-m multiport {_no(r)}--ports {port}",
            ]))  # fmt: skip
        elif protocol == "icmp" and r.random() < 0.7:
            out.append(f"-m icmp {_no(r)}--icmp-type {r.choice(['8', '0', '3/4', 'any', 'time-exceeded'])}")
        if protocol == "tcp" and r.random() < 0.15:
            out.append(f"-m tcp {_no(r)}--tcp-flags SYN,RST,ACK SYN" if "-m tcp" not in " ".join(out) else "")
    extra = [
        f"-m mark {_no(r)}--mark 0x{r.choice([1, 2, 0x4000]):x}/0x{r.choice([1, 3, 0x4000, 0xFFFFFFFF]):x}",
        f"-m conntrack {_no(r)}--ctstate {r.choice(['NEW', 'RELATED,ESTABLISHED', 'INVALID', 'NEW,UNTRACKED', 'DNAT'])}",
        f"-m state --state {r.choice(['NEW', 'ESTABLISHED'])}", f"-m addrtype {_no(r)}--dst-type {r.choice(['LOCAL', 'UNICAST,LOCAL'])}",
        "-m physdev --physdev-is-bridged", f"-m physdev {_no(r)}--physdev-in vethabc", f"-m length {_no(r)}--length 40:60",
        f"-m ttl --ttl-{r.choice(['lt', 'gt', 'eq'])} {r.choice([1, 63, 64])}", f"-m iprange {_no(r)}--src-range 10.244.0.2-10.244.0.6",
        f'-m comment --comment "{r.choice(["shop/cart:http cluster IP", "x", "a b", "it is"])}"', "-m pkttype --pkt-type unicast",
        f"-m connmark --mark {r.choice([0, 1])}",
    ]  # fmt: skip
    if chance:
        extra += [
            f"-m statistic --mode random --probability {1 / r.choice([2, 3, 7]):.10f}", "-m statistic --mode nth --every 3 --packet 1",
            f"-m recent --name L{r.randint(0, 1)} {r.choice(['--set', '--rcheck', '--update --seconds 5', '--rcheck --seconds 9 --reap'])}",
            "-m limit --limit 2/sec --limit-burst 2",
        ]  # fmt: skip
    for _ in range(r.choice([0, 0, 1, 1, 2])):
        out.append(r.choice(extra))
    return [w for w in out if w]


TABLES = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "POSTROUTING")}


def random_rules(
    r: random.Random, chains: int = 4, rules: int = 60, chance: bool = True, tables: dict[str, tuple[str, ...]] = TABLES,
    reject: bool = True,
) -> str:  # fmt: skip
    """A filter and a nat table as iptables-restore reads them. Jumps only go to chains with a higher number: no loops."""
    out = []
    for table, hooks in tables.items():
        own = [f"C{i}" for i in range(chains)]
        out.append(f"*{table}")
        if table == "filter":
            out += [f":{h} {r.choice(['ACCEPT', 'DROP'])} [0:0]" for h in hooks]
        out += [f":{c} - [0:0]" for c in own]
        for _ in range(rules):
            chain = r.choice([*hooks, *own, own[0]])
            below = own if chain in hooks else own[own.index(chain) + 1 :]
            targets = ["-j RETURN", "-j MARK --set-xmark 0x1/0x3", "-j MARK --or-mark 0x4000", "", "-j ACCEPT"]
            targets += [f"-j {c}" for c in below] * 2 + [f"-g {c}" for c in below]
            if table == "filter":
                targets += ["-j DROP", "-j REJECT" if reject else "-j DROP", "-j CONNMARK --save-mark", "-j LOG --log-prefix x"]
            elif chain == "PREROUTING":
                targets += [f"-j DNAT --to-destination {r.choice(ADDRESSES)}"]
            elif chain == "POSTROUTING":
                targets += ["-j MASQUERADE --random-fully", "-j SNAT --to-source 192.168.50.11"]
            words = _matches(r, chance)
            devices = []
            if chain not in ("OUTPUT", "POSTROUTING") and chain not in own and r.random() < 0.15:
                devices.append(f"{_no(r)}-i {r.choice([*DEVICES, 'veth+'])}")
            out.append(" ".join([f"-A {chain}", *devices, *words, r.choice(targets)]).rstrip())
        out += ["COMMIT", ""]
    return "\n".join(out)


def random_context(r: random.Random) -> Fake:
    src, dst = r.choice(ADDRESSES), r.choice(ADDRESSES)
    kind = r.choice(["tcp", "tcp", "udp", "icmp"])
    if kind == "icmp":
        packet = Packet(src, dst, "ICMP", Icmp(r.choice([8, 0, 3, 11]), r.choice([0, 4])), ttl=r.choice([1, 63, 64]))
    else:
        sport, dport = r.choice([1023, 40000]), r.choice([*PORTS, 1005, 9])
        l4 = Tcp(sport, dport, r.choice(["S", "SA", "A", "R"])) if kind == "tcp" else Udp(sport, dport)
        packet = Packet(src, dst, kind.upper(), l4, ttl=r.choice([1, 63, 64]))
    state = r.choice(["NEW", "NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"])
    tracked = state not in ("INVALID", "UNTRACKED")
    draw = random.Random(r.random())
    return Fake(
        packet, indev=r.choice([*DEVICES, ""]), outdev=r.choice([*DEVICES, ""]), physin=r.choice(["", "", "vethabc"]),
        physout=r.choice(["", "vethdef"]), mark=r.choice([0, 1, 0x4000]), connmark=r.choice([0, 1]),
        ctstate=frozenset({state} | ({"DNAT"} if tracked and r.random() < 0.3 else set())),
        ct_original=(src, 1, dst, 2, packet.proto) if tracked else None, types=dict.fromkeys(ADDRESSES[:3], "LOCAL"), now=r.uniform(0, 30),
        draws=lambda weights, chooser: draw.choices(range(len(weights)), weights)[0],
    )  # fmt: skip
