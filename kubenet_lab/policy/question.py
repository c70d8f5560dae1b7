"""`Question`: one packet put to the policies, and how one rule meets it in the plain semantics of the API."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import KubenetError, NotFound
from ..kernel.address import family
from .engines import Engine
from .index import Direction, IndexedPeer, IndexedPort, IndexedRule, PolicyIndex
from .peers import Peer, PodPeer, address_of

__all__ = ["ANY", "Hit", "Question", "ask", "governed", "peer_holds", "port_holds", "rule_hit"]

#: (peer index, port index) of what admitted; ANY where the rule has no peers or no ports
ANY = -1
Hit = tuple[int, int]

DEFINED = ("TCP", "UDP", "SCTP")


class PolicyQuestionError(KubenetError):
    """A question that has no meaning: no port where one is needed, or one out of range."""


@dataclass(frozen=True, slots=True)
class Question:
    """One packet as it is after DNAT: the pod's own address and the port it listens on. `port` is None for ICMP and the like."""

    index: PolicyIndex
    src: Peer
    dst: Peer
    protocol: str
    port: int | None
    engine: Engine
    hairpin: bool
    src_address: str | None
    dst_address: str | None

    @property
    def defined(self) -> bool:
        """Does the API say anything about this protocol?"""
        return self.protocol in DEFINED

    @property
    def itself(self) -> bool:
        return isinstance(self.src, PodPeer) and self.src == self.dst

    def ends(self, direction: Direction) -> tuple[Peer, Peer]:
        """(the one whose policies count, the other)."""
        return (self.dst, self.src) if direction == "ingress" else (self.src, self.dst)

    def address(self, peer: Peer) -> str | None:
        return self.src_address if peer is self.src else self.dst_address


def ask(
    index: PolicyIndex, src: Peer, dst: Peer, port: int | str | None, protocol: str, engine: Engine, hairpin: bool, ip_family: int | None
) -> Question:
    """Check and complete a question. Raises PolicyQuestionError, or NotFound for a port's name that the destination does not declare."""
    protocol = protocol.upper()
    number = _port(index, dst, port, protocol)
    if ip_family is None:
        mine, yours = _meeting(src, dst)
    else:
        mine, yours = address_of(src, ip_family), address_of(dst, ip_family)
    return Question(index, src, dst, protocol, number, engine, hairpin, mine, yours)


def _meeting(src: Peer, dst: Peer) -> tuple[str | None, str | None]:
    """The addresses the two talk with: IPv4 if both have it. Where they share no family, each one's first: no packet can be, but
    the policies still say something of each address."""
    shared = {family(a) for a in src.addresses} & {family(a) for a in dst.addresses}
    if shared:
        return address_of(src, min(shared)), address_of(dst, min(shared))
    return next(iter(src.addresses), None), next(iter(dst.addresses), None)


def _port(index: PolicyIndex, dst: Peer, port: int | str | None, protocol: str) -> int | None:
    if protocol not in DEFINED:
        return None
    if isinstance(port, str):
        if port.isascii() and port.isdigit():
            port = int(port)
        else:
            declared = index.declared(dst) if isinstance(dst, PodPeer) else {}
            numbers = declared.get((port, protocol), ())
            if not numbers:
                raise NotFound(f"{protocol} port of {dst} named", port, (n for n, p in declared if p == protocol))
            return numbers[0]
    if port is None:
        raise PolicyQuestionError(f"a {protocol} question needs a port")
    if not 1 <= port <= 65535:
        raise PolicyQuestionError(f"port {port}: must be between 1 and 65535, inclusive")
    return port


def governed(peer: Peer, engine: Engine) -> str:
    """The reason why no policy can govern this peer, as a code; "" if policies do."""
    if not isinstance(peer, PodPeer):
        return "policy.not_a_pod"
    if peer.pod.terminated:
        return "policy.terminated"
    if peer.pod.spec.host_network and engine.host_network == "node":
        return "policy.host_network"
    if engine.address_sets and not peer.addresses:
        return "policy.no_address"
    return ""


def peer_holds(q: Question, peer: IndexedPeer, other: Peer) -> bool:
    """Is `other` meant by this entry of `from` or `to`? Selectors mean pods only; an ipBlock means addresses."""
    if peer.kind == "pods":
        return isinstance(other, PodPeer) and not governed(other, q.engine) and peer.selects(other)
    if peer.kind == "ipBlock":
        if isinstance(other, PodPeer) and not governed(other, q.engine) and not q.engine.ip_block_matches_pods:
            return False
        address = q.address(other)
        return address is not None and peer.contains(address)
    return False


def port_holds(q: Question, port: IndexedPort) -> bool:
    """Does this entry of `ports` admit the packet? A name means what the destination pod declares, in both directions."""
    if port.name is None:
        return port.holds(q.protocol, q.port)
    if port.protocol != q.protocol or not isinstance(q.dst, PodPeer):
        return False
    return q.port in q.index.numbers(q.dst, port.name, port.protocol)


def rule_hit(q: Question, rule: IndexedRule, other: Peer) -> Hit | None:
    """The first peer and the first port of the rule that admit the packet, or None. No peers: anyone; no ports: everything."""
    port = ANY
    if rule.ports:
        port = next((p.number for p in rule.ports if port_holds(q, p)), -2)
        if port == -2:
            return None
    if not rule.peers:
        return ANY, port
    peer = next((p.number for p in rule.peers if peer_holds(q, p, other)), None)
    return None if peer is None else (peer, port)
