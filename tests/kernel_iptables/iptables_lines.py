"""Random command lines of iptables: every command, every match and target that the lab models, right and wrong."""

from __future__ import annotations

import random

from kubenet_lab.kernel.iptables.extension import Extension, Opt
from kubenet_lab.kernel.iptables.matches import MATCHES
from kubenet_lab.kernel.iptables.target_registry import TARGETS

__all__ = ["CHAINS", "OWN", "Line", "random_line"]

PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp", 1: "icmp", 58: "icmpv6"}
OWN = ("C0", "C1", "KUBE-SERVICES")
CHAINS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"), "raw": ("PREROUTING", "OUTPUT"),
}  # fmt: skip
ADDRESSES = (
    "10.0.0.1", "10.244.1.2", "10.0.0.0/8", "10.96.0.10/32", "0.0.0.0/0", "0/0", "10.0.0.5/24", "10.0.0.0/255.255.0.255", "10/8", "1.2.3",
    "10.0.0.1,10.0.0.2", "10.0.0.0/33", "fd00::1", "256.1.1.1",
)  # fmt: skip
SIX = ("fd00::1", "fd00::/64", "::/0", "fd00:1::2/128", "fd00::1/ffff:ffff::", "fd00::/129", "10.0.0.1", "fd00::g", "fd00::1,fd00::2")
PORTS = ("80", "53", "http", "1024:65535", ":1023", "8080:", "0", "65536", "90:80", "nosuchport", "80,443", "-1", "0x50", "")
NUMBERS = ("0", "1", "5", "64", "255", "256", "65535", "0x10", "1:5", "5:1", "-1", "x", "4294967295", "4294967296", "")
MARKS = ("1", "0x1/0x1", "0x4000/0x4000", "0", "0xffffffff", "0x1/0", "1/2", "x", "0x100000000", "-1", "010", "")
#: (match or target, option) or option -> values, right ones first
VALUES: dict[object, tuple[str, ...]] = {
    "sport": PORTS,
    "source-port": PORTS,
    "dport": PORTS,
    "destination-port": PORTS,
    "sports": (
        "80",
        "80,443",
        "1:5,7,http",
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16",
        "1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16",
        "80,",
        "90:80",
        "x",
    ),
    "tcp-flags": ("SYN,RST,ACK SYN", "ALL NONE", "SYN SYN,ACK", "FIN FIN", "FOO SYN", "SYN", "ALL ALL"),
    "tcp-option": ("2", "0", "255", "256", "x"),
    "icmp-type": (
        "8",
        "0",
        "3/4",
        "echo-request",
        "any",
        "time-exceeded",
        "destination-unreachable",
        "fragmentation-needed",
        "256",
        "8/256",
        "ping",
        "pong",
        "foo",
        "ech",
        "network",
    ),
    "icmpv6-type": ("128", "echo-request", "1/0", "packet-too-big", "router-advertisement", "255", "256", "foo"),
    "mss": ("536", "100:1400", "1400:100", "65536", "x", "0"),
    ("tos", "tos"): ("0x10",),
    "set-class": ("EF", "AF11", "CS1", "BE", "FOO"),
    "set-dscp": ("0x2e", "46", "64", "x"),
    "dscp": ("46", "0x2e", "64"),
    "dscp-class": ("EF", "AF11", "CS1", "ef", "FOO"),
    "ctstate": ("NEW", "ESTABLISHED,RELATED", "INVALID", "DNAT", "SNAT,UNTRACKED", "new", "FOO", "NEW,", "NEW,NEW", ""),
    "state": ("NEW", "RELATED,ESTABLISHED", "INVALID", "UNTRACKED", "FOO", "new", ""),
    "ctproto": ("tcp", "6", "17", "foo", "0"),
    "ctstatus": ("ASSURED", "SEEN_REPLY,CONFIRMED", "NONE", "EXPECTED", "FOO"),
    "ctexpire": ("10", "10:20", "20:10", "x"),
    "ctdir": ("ORIGINAL", "REPLY", "original", "FOO"),
    "ctorigsrc": ADDRESSES,
    "ctorigdst": ADDRESSES,
    "ctreplsrc": ADDRESSES,
    "ctrepldst": ADDRESSES,
    "ctorigsrcport": PORTS,
    "ctorigdstport": PORTS,
    "ctreplsrcport": PORTS,
    "ctrepldstport": PORTS,
    "mark": MARKS,
    "set-mark": MARKS,
    "set-xmark": MARKS,
    "and-mark": MARKS,
    "or-mark": MARKS,
    "xor-mark": MARKS,
    "nfmask": MARKS,
    "ctmask": MARKS,
    "mask": MARKS,
    "tproxy-mark": MARKS,
    "src-type": ("LOCAL", "UNICAST,LOCAL", "BROADCAST", "local", "FOO", "LOCAL,"),
    "dst-type": ("LOCAL", "UNICAST", "MULTICAST,LOCAL", "FOO"),
    "src-range": ("10.0.0.1-10.0.0.9", "10.0.0.1", "10.0.0.9-10.0.0.1", "10.0.0.1-", "x-y", "fd00::1-fd00::5"),
    "dst-range": ("10.0.0.1-10.0.0.9", "10.0.0.1", "10.0.0.9-10.0.0.1", "10.0.0.0/8"),
    "mode": ("random", "nth", "foo"),
    "probability": ("0.5", "0.3333333333", "1", "0", "1.5", "x", "1e-9", "0.50000000000"),
    "every": ("2", "3", "0", "1", "x"),
    "packet": ("0", "1", "2", "5", "x"),
    "limit": ("5/sec", "3/minute", "1/hour", "10/day", "5/s", "5", "0/s", "5/foo", "20000/s", "x"),
    "limit-burst": ("5", "1", "0", "10001", "x"),
    "hashlimit": ("5/sec",),
    "hashlimit-upto": ("5/sec", "100kb/s", "1/minute", "x"),
    "hashlimit-above": ("5/sec", "1mb/s", "1/hour", "x"),
    "hashlimit-burst": ("5", "1", "0", "x"),
    "hashlimit-mode": ("srcip", "srcip,dstport", "dstip", "foo", ""),
    "hashlimit-name": ("H0", "x" * 60, ""),
    "hashlimit-srcmask": ("24", "32", "33"),
    "hashlimit-dstmask": ("24", "0"),
    "hashlimit-htable-expire": ("1000", "x"),
    "hashlimit-htable-size": ("64", "x"),
    "hashlimit-htable-max": ("64", "x"),
    "hashlimit-htable-gcinterval": ("1000", "x"),
    "seconds": ("10", "0", "x"),
    "hitcount": ("2", "1", "0", "300", "x"),
    ("recent", "name"): ("R0", "R1", "x" * 210),
    "rttl": ("",),
    "reap": ("",),
    ("recent", "mask"): ("255.255.255.0",),
    "comment": ("hello", "'a b'", "'it\\'s'", "x" * 256, "x" * 255, "''"),
    "length": ("40", "40:60", "60:40", "65536", ":60", "40:", "x"),
    "ttl": NUMBERS,
    "ttl-eq": NUMBERS,
    "ttl-lt": NUMBERS,
    "ttl-gt": NUMBERS,
    "ttl-set": NUMBERS,
    "ttl-inc": NUMBERS,
    "ttl-dec": NUMBERS,
    "hl-eq": NUMBERS,
    "hl-lt": NUMBERS,
    "hl-gt": NUMBERS,
    "cpu": ("0", "1", "x"),
    "pkt-type": ("unicast", "broadcast", "multicast", "foo", "host"),
    "uid-owner": ("0", "12345", "0-10", "10-0", "root", "nosuchuser", "x-y"),
    "gid-owner": ("0", "0-5", "root", "nosuchgroup"),
    "match-set": ("s0 src", "s0 src,dst", "nosuch src", "s0 foo", "s0"),
    "physdev-in": ("eth0", "veth+", "verylonginterface", "+"),
    "physdev-out": ("eth0", "veth+"),
    "to-destination": (
        "10.0.0.1",
        "10.0.0.1:80",
        ":80",
        "10.0.0.1-10.0.0.5",
        "10.0.0.1:80-90",
        "10.0.0.5-10.0.0.1",
        "x",
        "10.0.0.1:x",
        "10.0.0.1:0",
        "10.0.0.1:90-80",
        "fd00::1",
        "[fd00::1]:80",
        "",
    ),
    "to-source": ("10.0.0.1", "10.0.0.1:1024-2048", "10.0.0.1-10.0.0.5", "x", "fd00::1", "10.0.0.1:70000"),
    "to-ports": ("8080", "8080-8090", "90-80", "x", "0", "65536"),
    "to": ("10.0.0.0/24", "10.0.0.1", "10.0.0.0/33"),
    "reject-with": (
        "icmp-port-unreachable",
        "tcp-reset",
        "icmp-admin-prohibited",
        "icmp-host-prohibited",
        "icmp6-adm-prohibited",
        "icmp6-port-unreachable",
        "foo",
        "icmp-net",
        "port-unreach",
        "host-unreach",
    ),
    "log-prefix": ("'x: '", "abc", "x" * 30, "x" * 29, "''"),
    "log-level": ("4", "info", "debug", "8", "foo", "warn"),
    "nflog-group": ("1", "0", "65536", "x"),
    "nflog-prefix": ("'a b'", "x" * 64),
    "nflog-size": ("64", "x"),
    "nflog-threshold": ("5", "0", "x"),
    "nflog-range": ("64",),
    "set-mss": ("1400", "0", "65536", "x"),
    "queue-num": ("0", "5", "65536", "x"),
    "queue-balance": ("0:3", "3:0", "x"),
    "on-port": ("80", "0", "x"),
    "on-ip": ("10.0.0.1",),
    "zone": ("1", "0", "65536", "x"),
    "zone-orig": ("1",),
    "zone-reply": ("1",),
    "ctevents": ("new",),
    "expevents": ("new",),
    "helper": ("ftp",),
    "timeout": ("x",),
    "add-set": ("s0 src", "nosuch src"),
    "del-set": ("s0 src",),
    "map-set": ("s0 src",),
    "chunk-types": ("any INIT", "all DATA,SACK"),
    "hashlimit-rate-interval": ("1", "5"),
}

SIX_VALUES = {
    "match-set": ("s6 src", "s6 src,dst", "s6 dst", "s0 src", "nosuch src", "s6 foo"),
    "set": ("s6 src", "s0 src"),
    "mask": ("ffff::", "0x1"),
    "to": ("fd00::/64", "fd00::1", "fd00::/129"),
    "on-ip": ("fd00::1",),
    "to-destination": ("fd00::1", "[fd00::1]:80", "fd00::1-fd00::5", "10.0.0.1", "x"),
    "to-source": ("fd00::1", "[fd00::1]:1024-2048", "fd00::1-fd00::5", "10.0.0.1"),
    "src-range": ("fd00::1-fd00::5", "fd00::1", "10.0.0.1", "fd00::1-"),
    "dst-range": ("fd00::1-fd00::5", "fd00::1", "10.0.0.1", "fd00::1-"),
    "reject-with": ("icmp6-port-unreachable", "icmp6-adm-prohibited", "tcp-reset", "icmp-port-unreachable", "foo"),
}


class Line(random.Random):
    """The draws of one line: right values, the first ones of a list, until its one fault, if it is to have one."""

    fault = False

    def one(self, values: tuple[str, ...]) -> str:
        right = values[: max(1, len(values) // 3)]
        if self.fault and self.random() < 0.2:
            self.fault = False
            return self.choice(values)
        return self.choice(right)

    def slip(self, chance: float = 0.05) -> bool:
        """Is this the place of the fault?"""
        if self.fault and self.random() < chance:
            self.fault = False
            return True
        return False


def _options(r: Line, cls: type[Extension], six: bool) -> list[str]:
    words: list[str] = []
    chosen: list[Opt] = []
    for o in r.sample(cls.OPTIONS, len(cls.OPTIONS)):
        clash = any(o.canonical == c.canonical or o.canonical in c.excludes or c.canonical in o.excludes for c in chosen)
        wanted = o.mandatory or r.random() < (0.5 if len(cls.OPTIONS) < 5 else 0.25)
        if (wanted and not clash and not r.slip(0.03)) or r.slip(0.03):
            chosen.append(o)
            chosen += [a for a in cls.OPTIONS if a.name in o.also[:1] and a not in chosen]
    for o in chosen:
        if r.random() < 0.2 if o.invert else r.slip(0.02):
            words.append("!")
        words.append(f"--{o.name}")
        if o.args:
            values = VALUES.get((cls.NAME, o.name)) or VALUES.get(o.name) or VALUES.get(o.canonical) or NUMBERS
            value = r.one(SIX if six and values is ADDRESSES else SIX_VALUES.get(o.name, values) if six else values)
            words += value.split(" ") if o.args == 2 and "'" not in value else [value.strip("'").replace("\\'", "'")]
    return words


def _header(r: Line, chain: str, six: bool) -> list[str]:
    words: list[str] = []
    for flag in ("-s", "-d"):
        if r.random() < 0.25:
            words += ["!"] * (r.random() < 0.15) + [flag, r.one(SIX if six else ADDRESSES)]
    for flag, never in (("-i", ("OUTPUT", "POSTROUTING")), ("-o", ("INPUT", "PREROUTING"))):
        if r.random() < 0.2 if chain not in never else r.slip(0.02):
            words += ["!"] * (r.random() < 0.15) + [
                flag,
                r.one(("eth0", "cni0", "veth+", "verylonginterface", "a/b", "", "eth0:1", "-x")),
            ]
    if r.random() < 0.03:
        words.append("-f")
    return words


def _rule(r: Line, table: str, chain: str, six: bool) -> list[str]:
    words: list[str] = []
    names = r.sample(sorted(n for n, m in MATCHES.items() if (6 if six else 4) in m.FAMILIES), r.choices((0, 1, 2, 3), (3, 5, 3, 1))[0])
    target = r.choice(("ACCEPT", "DROP", "RETURN", *OWN[:2])) if r.random() < 0.5 else r.choice(sorted(TARGETS))
    wants = [MATCHES[n].PROTOCOLS for n in names] + ([TARGETS[target].PROTOCOLS] if target in TARGETS else [])
    protocol = next((PROTOCOLS[min(p)] for p in wants if p), "")
    if not protocol and ("multiport" in names or r.random() < 0.5):
        protocol = r.choice(
            ("tcp", "udp", "sctp") if "multiport" in names else ("tcp", "tcp", "udp", "icmpv6" if six else "icmp", "6", "all", "esp", "47")
        )
    if protocol and not r.slip(0.1):
        words += ["!"] * r.slip(0.1) + [r.choice(("-p", "-p", "--protocol", "--proto")), r.one((protocol, "UDP", "foo", "256", "0"))]
    words = [*_header(r, chain, six), *words] if r.random() < 0.8 else [*words, *_header(r, chain, six)]
    for name in names:
        words += ["-m", name] if not r.slip() else ["-m", r.choice(("foo", "string", "time", "", "TCP", *sorted(MATCHES)))]
        words += _options(r, MATCHES[name], six)
    if protocol in ("tcp", "udp") and protocol not in names and r.random() < 0.4:
        words += ["!"] * (r.random() < 0.1) + [r.choice(("--dport", "--sport", "--destination-port")), r.one(PORTS)]
    if r.slip(0.1):
        target = r.choice(("FOO", "accept", "FORWARD", chain, "QUEUE", "AUDIT", "x" * 29, "", *sorted(TARGETS)))
    if r.random() < 0.95:
        words += [r.choice(("-j", "-j", "--jump")) if not r.slip() and (target not in OWN or r.random() < 0.8) else "-g", target]
        words += _options(r, TARGETS[target], six) if target in TARGETS else []
    if r.random() < 0.04:
        words += ["-c", r.one(("1", "0", "x")), r.one(("100", "x"))]
    if r.slip():
        words.insert(r.randrange(len(words) + 1), r.choice(("!", "-x", "--foo", "extra", "-n", "--line-numbers")))
    return words


def random_line(r: Line) -> list[str]:
    """One command line as words; its effect depends on those before it."""
    r.fault = r.random() < 0.4
    six = r.random() < 0.2
    table = r.choices(("filter", "nat", "mangle", "raw"), (8, 5, 3, 2))[0] if not r.slip(0.02) else r.choice(("foo", "security"))
    at = CHAINS.get(table, CHAINS["filter"])
    chain = r.choice((*at, *OWN)) if not r.slip() else r.choice(("NOSUCH", "PREROUTING", "x" * 29, "-x", "!x", "a b"))
    words = ["ip6tables" if six else "iptables", *(["-w"] if r.random() < 0.05 else [])]
    if table != "filter" or r.random() < 0.3:
        words += ["-t", table]
    command = r.choices("AIDRCSLNXEPFZ", (14, 4, 5, 3, 3, 3, 4, 3, 2, 1, 2, 1, 2))[0]
    number = r.one(("1", "2", "3", "0", "9", "x", "-1", "1x", "99999999999"))
    match command:
        case "A" | "C":
            words += [r.choice((f"-{command}", "--append" if command == "A" else "--check")), chain, *_rule(r, table, chain, six)]
        case "I":
            words += ["-I", chain, *([number] if r.random() < 0.5 else []), *_rule(r, table, chain, six)]
        case "D":
            words += ["-D", chain, *([number] if r.random() < 0.6 else _rule(r, table, chain, six))]
        case "R":
            words += ["-R", chain, *([number] if not r.slip() else []), *_rule(r, table, chain, six)]
        case "S" | "L":
            words += [f"-{command}", *([chain] if r.random() < 0.7 else []), *([number] if r.random() < 0.2 else [])]
            words += [
                f for f in ("-n", "-v", "-x", "--line-numbers") if (r.random() < 0.4 if command == "L" or f == "-v" else r.slip(0.04))
            ]
        case "N":
            words += ["-N", r.choice(OWN) if not r.slip(0.2) else r.choice((chain, "DROP", "MARK", "x" * 29))]
        case "E":
            words += ["-E", r.choice((*OWN, chain)), *([r.choice((*OWN, "C9"))] if not r.slip() else [])]
        case "P":
            words += [
                "-P",
                chain,
                *([r.one(("ACCEPT", "DROP", "ACCEPT", "QUEUE", "REJECT", "RETURN", "foo", "C0"))] if not r.slip() else []),
            ]
        case "X" | "F":
            words += [f"-{command}", *([chain] if r.random() < 0.85 else [])]
        case "Z":
            words += ["-Z", *([chain] if r.random() < 0.8 else [])]  # of a rule's number in no chain it says what errno has from before
    if r.slip(0.03):
        words.append(r.choice(("-L", "-A", "-V", "--", "-t")))
    return words
