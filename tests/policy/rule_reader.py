"""A small reader of the rules that kube-router writes: enough of iptables and ipset to follow one packet, and nothing of ours.

Knows the matches and targets of that text only; anything else raises. It does not forward: `verdict` asks one chain.
"""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass, field

FINAL = {"ACCEPT", "DROP", "REJECT"}


@dataclass
class Packet:
    src: str
    dst: str
    protocol: str  # "tcp", "udp", "sctp", "icmp"
    dport: int | None = None
    icmp_type: str = "echo-request"
    state: str = "NEW"
    local: tuple[str, ...] = ()  # the node's own addresses
    mark: int = 0


@dataclass
class Rules:
    sets: dict[str, list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, bool]]] = field(default_factory=dict)
    chains: dict[str, list[list[str]]] = field(default_factory=dict)

    def read_ipset(self, text: str) -> None:
        for line in text.splitlines():
            word, name, *rest = line.split()
            if word == "create":
                assert name not in self.sets and len(name) <= 31
                self.sets[name] = []
            else:
                assert word == "add"
                net = ipaddress.ip_network(rest[0])
                assert all(net != n for n, _ in self.sets[name]), "an entry twice"
                self.sets[name].append((net, "nomatch" not in rest))

    def read_iptables(self, text: str) -> None:
        self.chains = {"INPUT": [], "FORWARD": [], "OUTPUT": []}
        lines = text.splitlines()
        assert lines[0] == "*filter" and lines[-1] == "COMMIT"
        for line in lines[1:-1]:
            if line.startswith(":"):
                name = line[1:].split()[0]
                assert name not in self.chains and len(name) <= 28
                self.chains[name] = []
                continue
            words = shlex.split(line)
            if words[0] == "-A":
                self.chains[words[1]].append(words[2:])
            else:
                assert words[0] == "-I" and words[2] == "1"
                self.chains[words[1]].insert(0, words[3:])

    def in_set(self, name: str, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        held = [(n.prefixlen, match) for n, match in self.sets[name] if ip in n]
        return max(held)[1] if held else False

    def verdict(self, chain: str, packet: Packet) -> str | None:
        """ACCEPT, DROP or REJECT, or None if the chain ends or returns."""
        for rule in self.chains[chain]:
            target, options = self._applies(rule, packet)
            if target is None or target == "NFLOG":
                continue
            if target == "RETURN":
                return None
            if target == "MARK":
                self._set_mark(options, packet)
            elif target in FINAL:
                return target
            elif (verdict := self.verdict(target, packet)) is not None:
                return verdict
        return None

    def _set_mark(self, options: dict[str, str], packet: Packet) -> None:
        if "--set-xmark" in options:
            value, mask = (int(x, 0) for x in options["--set-xmark"].split("/"))
            packet.mark = (packet.mark & ~mask) ^ value
        else:
            value, mask = (int(x, 0) for x in options["--set-mark"].split("/"))
            packet.mark = (packet.mark & ~(mask | value)) | value

    def _applies(self, rule: list[str], packet: Packet) -> tuple[str | None, dict[str, str]]:
        words, holds, options = list(rule), True, {}
        target = None
        while words:
            word = words.pop(0)
            negate = word == "!"
            if negate:
                word = words.pop(0)
            if word == "-m":
                words.pop(0)
                continue
            if word == "--physdev-is-bridged":
                holds = False  # routed pods: nothing crosses a bridge here
                continue
            value = words.pop(0)
            if word == "-j":
                target = value
            elif word in ("--set-xmark", "--set-mark"):
                options[word] = value
            elif word in ("--comment", "--nflog-group", "--limit", "--limit-burst"):
                pass
            elif word == "--match-set":
                address = packet.src if words.pop(0) == "src" else packet.dst
                holds &= self.in_set(value, address)
            else:
                holds &= self._match(word, value, packet) is not negate
        return (target if holds else None), options

    @staticmethod
    def _match(word: str, value: str, packet: Packet) -> bool:
        if word in ("-s", "-d"):
            return ipaddress.ip_address(packet.src if word == "-s" else packet.dst) in ipaddress.ip_network(value)
        if word == "-p":
            return value == packet.protocol
        if word in ("--dport", "--dports"):
            low, _, high = value.partition(":")
            return packet.dport is not None and int(low) <= packet.dport <= int(high or low)
        if word == "--mark":
            want, mask = (int(x, 0) for x in value.split("/"))
            return packet.mark & mask == want
        if word == "--ctstate":
            return packet.state in value.split(",")
        if word in ("--src-type", "--dst-type"):
            assert value == "LOCAL"
            return (packet.src if word == "--src-type" else packet.dst) in packet.local
        if word in ("--icmp-type", "--icmpv6-type"):
            return packet.protocol in ("icmp", "ipv6-icmp") and value == packet.icmp_type
        raise AssertionError(f"unknown match {word} {value}")
