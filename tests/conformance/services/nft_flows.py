"""A packet through kube-proxy's nftables chains as the kernel model runs them, every branch of a random choice taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from kubenet_lab.kernel.iptables import Verdict
from kubenet_lab.kernel.nftables import NftRuleset, Program, evaluate
from kubenet_lab.kernel.packet import Packet, Raw, Tcp, Udp
from kubenet_lab.services import NftablesText
from tests.conformance.services.service_tables import NODE_ADDRESSES

Draws = list[tuple[int, int]]
LOCAL = frozenset({"127.0.0.1", "::1", *NODE_ADDRESSES})


@dataclass
class Port:
    """SCTP, of which the lab models no more than the ports."""

    sport: int
    dport: int
    size: int = 0


@dataclass
class Context:
    """What rules see of a packet: `kubenet_lab.kernel.hooks.Skb` without a network."""

    packet: Any
    draws: Draws = field(default_factory=list)  # what is drawn, of how many
    asked: int = 0
    mark: int = 0
    ct: Any = None
    ctstate: frozenset[str] = frozenset({"NEW"})
    indev: str = "eth0"
    outdev: str = ""
    now: float = 0.0
    met_elements: list[Any] = field(default_factory=list)

    def addrtype(self, address: str) -> str:
        return "LOCAL" if address in LOCAL else "UNICAST"

    def choose(self, weights: Any, chooser: str) -> int:
        self.asked += 1
        if self.asked > len(self.draws):
            self.draws.append((0, len(weights)))
        return self.draws[self.asked - 1][0]

    def nft_set(self, name: str) -> dict[str, Any]:
        return {}

    def met(self, found: Any, element: Any, place: Any) -> None:
        self.met_elements.append(element)


def _packet(source: str, destination: str, port: int, protocol: str) -> Any:
    kinds: dict[str, Any] = {"tcp": Tcp(40000, port), "udp": Udp(40000, port), "sctp": Raw()}
    packet = Packet(source, str(ip_address(destination)), protocol.upper(), kinds[protocol])
    return packet if protocol != "sctp" else Sctp(packet, Port(40000, port))


class Sctp:
    """A packet whose transport has ports."""

    def __init__(self, packet: Packet, l4: Port):
        self.src, self.dst, self.proto, self.frag, self.family, self.l4 = packet.src, packet.dst, "SCTP", 0, packet.family, l4
        self._packet = packet

    def but(self, dst: str) -> Sctp:
        return Sctp(self._packet.but(dst=dst), self.l4)


def flow(text: NftablesText, source: str, destination: str, port: int, protocol: str = "tcp") -> tuple[str, bool]:
    """(the endpoints that it can reach, or a verdict, or ""; is it masqueraded?)"""
    ruleset = NftRuleset()
    ruleset.load(text.text)
    [table] = ruleset.tables.values()
    program = Program(table)
    outcomes: dict[str, bool] = {}
    draws: Draws | None = []
    while draws is not None:
        outcome, masqueraded, draws = _once(program, source, destination, port, protocol, draws)
        outcomes[outcome] = masqueraded
    return ", ".join(o for o in outcomes if o), any(outcomes.values())


def _once(program: Program, source: str, destination: str, port: int, protocol: str, draws: Draws) -> tuple[str, bool, Draws | None]:
    c: Any = Context(_packet(source, destination, port, protocol), list(draws))
    outcome, target = "", c.packet.dst

    def ask(name: str) -> Verdict:
        return evaluate(program, program.table.chains[name], c, [])

    verdict = ask("filter-prerouting-pre-dnat")
    if verdict.kind == "ACCEPT":
        verdict = ask("nat-prerouting")
        if verdict.kind == "DNAT":
            target = verdict.params.addresses[0]
            ports = verdict.params.ports[0]
            outcome = f"[{target}]:{ports}" if ":" in target else f"{target}:{ports}"
            c.packet = c.packet.but(dst=target)
        verdict = ask("filter-input" if target in LOCAL else "filter-forward")
    if verdict.kind in ("DROP", "REJECT"):
        outcome = verdict.kind
    masqueraded = outcome not in ("DROP", "REJECT") and ask("nat-postrouting").kind == "MASQUERADE"
    return outcome, masqueraded, _next(c.draws)


def _next(draws: Draws) -> Draws | None:
    """The next combination of draws, the last one turning fastest; None after the last."""
    while draws:
        at, size = draws.pop()
        if at + 1 < size:
            return [*draws, (at + 1, size)]
    return None
