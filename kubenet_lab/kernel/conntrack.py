"""Connection tracking and NAT bindings.

An entry is a value; the table maps both of its tuples to its id. Source of the behaviour: Linux
net/netfilter/nf_conntrack_core.c, nf_conntrack_proto_tcp.c, nf_nat_core.c.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from .conntrack_tcp import TIMEOUTS as TCP_TIMEOUTS
from .conntrack_tcp import UNACKNOWLEDGED, follow
from .packet import Icmp, Packet, Tcp, Udp
from .state import State
from .value import Value, copy_with, value

__all__ = ["TCP_TIMEOUTS", "Conntrack", "Entry", "Tuple", "apply_nat", "invert", "tuple_of"]


class Tuple(NamedTuple):
    """One direction of a connection. For ICMP `sport` is the id and `dport` the type and code."""

    src: str
    sport: int
    dst: str
    dport: int
    proto: str


@value
class Entry(Value):
    """A tracked connection. `orig` as first seen, `reply` as answers will look: NAT is where they are not mirrors."""

    id: int
    orig: Tuple
    reply: Tuple
    confirmed: bool = False
    seen_reply: bool = False
    assured: bool = False
    dnat: bool = False
    snat: bool = False
    dst_bound: bool = False  # the nat table has spoken on the destination (or nothing matched)
    src_bound: bool = False
    mark: int = 0
    tcp_state: str = ""
    unacked: tuple[int, int] | None = None  # the end of the newest data, and its direction (0 original, 1 reply), until it is acknowledged
    expires: float = 0.0
    born: float = 0.0  # lab time of the first packet
    masquerade: tuple[str, str] | None = None  # the device it was masqueraded out of, and its address there ("": another device's)

    if TYPE_CHECKING:

        def bound(self, dst_bound: bool, src_bound: bool) -> Entry:
            """The entry when the nat table has spoken."""

        def in_table(self, confirmed: bool) -> Entry:
            """The entry as the table takes it in."""

        def refreshed(self, seen_reply: bool, tcp_state: str, assured: bool, unacked: tuple[int, int] | None, expires: float) -> Entry:
            """The entry after one more packet."""
    else:
        bound = copy_with("dst_bound", "src_bound", more=False)
        in_table = copy_with("confirmed", more=False)
        refreshed = copy_with("seen_reply", "tcp_state", "assured", "unacked", "expires", more=False)


_WITH_PORTS = (Tcp, Udp)


def tuple_of(packet: Packet) -> Tuple | None:
    """The packet's tuple; None for a protocol without one that is tracked (ICMP errors among them)."""
    l4 = packet.l4
    if isinstance(l4, _WITH_PORTS):
        return Tuple(packet.src, l4.sport, packet.dst, l4.dport, packet.proto)
    if isinstance(l4, Icmp):
        if l4.quote is not None:
            return None
        return Tuple(packet.src, l4.id, packet.dst, l4.type << 8 | l4.code, packet.proto)
    return Tuple(packet.src, 0, packet.dst, 0, packet.proto)


_ECHO = {8: 0, 0: 8, 128: 129, 129: 128, 13: 14, 14: 13}


def invert(t: Tuple) -> Tuple:
    src, sport, dst, dport, proto = t
    if proto in ("ICMP", "ICMPv6"):
        kind = _ECHO.get(dport >> 8, dport >> 8)
        return Tuple(dst, sport, src, kind << 8 | dport & 0xFF, proto)
    return Tuple(dst, dport, src, sport, proto)


UDP_STREAM_AFTER = 2.0  # seconds


class Conntrack:
    """The table of one namespace, over a state."""

    __slots__ = ("ns", "state")

    def __init__(self, state: State, ns: str):
        self.state, self.ns = state, ns

    def find(self, t: Tuple) -> tuple[Entry, bool] | None:
        """The entry with this tuple, and whether the tuple is its reply direction."""
        ref = self.state.read("ct", self.ns).get(t)
        if ref is None:
            return None
        entry: Entry = self.state.read("ct-entries", self.ns)[ref[0]]
        if entry.expires < self.state.clock:
            self.delete(entry)
            return None
        return entry, ref[1]

    def get(self, id: int) -> Entry | None:
        return self.state.read("ct-entries", self.ns).get(id)

    def new(self, t: Tuple) -> Entry:
        return Entry(self.state.next_serial(), t, invert(t), born=self.state.clock)

    def confirm(self, entry: Entry) -> Entry | None:
        """Put a new entry into the table; None if another with the same tuple won the race (the packet is dropped)."""
        table = self.state.read("ct", self.ns)
        for t in (entry.orig, entry.reply):
            other = table.get(t)
            if other is not None and other[0] != entry.id and self.find(t) is not None:
                return None
        entry = entry.in_table(True)
        refs = self.state.write("ct", self.ns)
        # the reply first: a connection to itself has one tuple, and its first packet is the original direction
        refs[entry.reply] = (entry.id, True)
        refs[entry.orig] = (entry.id, False)
        self.save(entry)
        return entry

    def save(self, entry: Entry) -> None:
        self.state.write("ct-entries", self.ns)[entry.id] = entry

    def delete(self, entry: Entry) -> None:
        refs = self.state.write("ct", self.ns)
        refs.pop(entry.orig, None)
        refs.pop(entry.reply, None)
        self.state.write("ct-entries", self.ns).pop(entry.id, None)

    def entries(self) -> list[Entry]:
        return [e for e in self.state.read("ct-entries", self.ns).values() if e.expires >= self.state.clock]

    def taken(self, reply: Tuple, own: int) -> bool:
        found = self.find(reply)
        return found is not None and found[0].id != own

    def refresh(self, entry: Entry, packet: Packet, is_reply: bool) -> Entry | None:
        """The entry after one more packet: reply seen, TCP state, time left. None: the packet is INVALID, and changes nothing."""
        seen = entry.seen_reply or is_reply
        tcp, assured, unacked = entry.tcp_state, entry.assured, entry.unacked
        dead = False
        if isinstance(packet.l4, Tcp):
            flags = packet.l4.flags
            following = follow(tcp, flags, is_reply)
            if following is None:
                return None
            assured = assured or (entry.seen_reply and tcp in ("SYN_RECV", "ESTABLISHED") and following == "ESTABLISHED")
            life = TCP_TIMEOUTS[following]
            unacked = _unacknowledged(unacked, packet.l4, int(is_reply))
            if following == "ESTABLISHED" and (not seen or unacked is not None):
                life = UNACKNOWLEDGED
            dead = "R" in flags and is_reply and not entry.seen_reply  # nothing but a reset came back: over at once
            tcp = following
        elif packet.proto == "UDP":
            # answered, and still going two seconds after it began: a stream (nf_conntrack_proto_udp.c)
            stream = entry.seen_reply and self.state.clock > entry.born + UDP_STREAM_AFTER
            assured = assured or stream
            life = 120 if stream else 30
        else:
            life = 30 if packet.proto in ("ICMP", "ICMPv6") else 600
        changed = entry.refreshed(seen, tcp, assured, unacked, self.state.clock + life)
        if dead:
            self.delete(entry)
        elif entry.confirmed:
            self.save(changed)
        return changed

    def null_binding(self, entry: Entry, manip: str, seed: int) -> Entry:
        """No rule asks for a change: the tuple stays as it is, but its source moves if somebody else has the same answers."""
        if manip == "dst":
            return entry.bound(True, entry.src_bound)
        if not self.taken(entry.reply, entry.id):
            return entry.bound(entry.dst_bound, True)
        return self.unique_reply(entry, manip, entry.reply.dst, None, False, seed)

    def unique_reply(self, entry: Entry, manip: str, address: str, ports: tuple[int, int] | None, scatter: bool, seed: int) -> Entry:
        """A binding: the reply tuple after the source ("src") or destination ("dst") is rewritten.

        The port is kept unless a range is asked for, `scatter` (--random-fully) is set or the tuple is taken.
        Source: nf_nat_core.c get_unique_tuple, nf_nat_l4proto_unique_tuple.
        """
        t = invert(entry.reply)  # what the packet looks like after the bindings so far
        port = t.sport if manip == "src" else t.dport
        icmp = t.proto in ("ICMP", "ICMPv6")
        if manip == "src":
            want = t._replace(src=address)
        else:
            want = t._replace(dst=address)
        low, high = ports or ((0, 65535) if icmp else (1, 511) if port < 512 else (600, 1023) if port < 1024 else (1024, 65535))
        has_ports = t.proto in ("TCP", "UDP", "SCTP", "DCCP") or (icmp and manip == "src")

        def with_port(p: int) -> Tuple:
            return want._replace(sport=p) if manip == "src" else want._replace(dport=p)

        chosen = want
        if has_ports:
            keep = not scatter and (ports is None or low <= port <= high) and not self.taken(invert(with_port(port)), entry.id)
            if manip == "dst" and ports is None:
                keep = True
            if not keep:
                span = high - low + 1
                start = low if manip == "dst" else low + self._drawn(seed, entry.orig) % span
                for i in range(min(span, 128)):
                    chosen = with_port(low + (start - low + i) % span)
                    if not self.taken(invert(chosen), entry.id):
                        break
            else:
                chosen = with_port(port)
        changed = invert(chosen) != entry.reply
        if manip == "src":
            return entry.but(reply=invert(chosen), src_bound=True, snat=entry.snat or changed)
        return entry.but(reply=invert(chosen), dst_bound=True, dnat=entry.dnat or changed)

    def _drawn(self, seed: int, orig: Tuple) -> int:
        """A number for this tuple, another one each time: a flow that was forgotten (kube-proxy's cleaning, say) gets a new port."""
        before = self.state.read("nat-draws", self.ns).get(orig, 0)
        self.state.write("nat-draws", self.ns)[orig] = before + 1
        return _hash(seed, self.ns, *map(str, orig), *([before] if before else ()))


def _unacknowledged(known: tuple[int, int] | None, l4: Tcp, direction: int) -> tuple[int, int] | None:
    """IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED: is there data that the other side has not acknowledged? Of both directions the newest counts."""
    if known is not None and "A" in l4.flags and known[1] != direction and l4.ack == known[0]:
        known = None
    if len(l4.payload):
        known = ((l4.seq + len(l4.payload)) & 0xFFFFFFFF, direction)
    return known


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


def apply_nat(packet: Packet, entry: Entry, is_reply: bool, manip: str) -> Packet:
    """The packet with its source ("src") or destination ("dst") as the entry's bindings say.

    Original packets get the destination where DNAT put it and the source where SNAT put it; replies the reverse.
    """
    if is_reply:
        # a reply's destination is undone where SNAT was, its source where DNAT was
        wanted = entry.snat if manip == "dst" else entry.dnat
    else:
        wanted = entry.dnat if manip == "dst" else entry.snat
    return rewrite(packet, manip, invert(entry.orig if is_reply else entry.reply)) if wanted else packet


def rewrite(packet: Packet, manip: str, target: Tuple) -> Packet:
    """One side (address and port or ICMP id) of a packet as `target` has it."""
    l4 = packet.l4
    if manip == "dst":
        if isinstance(l4, _WITH_PORTS) and l4.dport != target.dport:
            l4 = l4.but(dport=target.dport)
        elif isinstance(l4, Icmp) and l4.quote is None and l4.id != target.sport:
            l4 = l4.but(id=target.sport)
        if packet.dst == target.dst and l4 is packet.l4:
            return packet
        return packet.but(dst=target.dst, l4=l4)
    if isinstance(l4, _WITH_PORTS) and l4.sport != target.sport:
        l4 = l4.but(sport=target.sport)
    elif isinstance(l4, Icmp) and l4.quote is None and l4.id != target.sport:
        l4 = l4.but(id=target.sport)
    if packet.src == target.src and l4 is packet.l4:
        return packet
    return packet.but(src=target.src, l4=l4)
