"""The hook handlers of connection tracking: put fragments together, find or make the entry, confirm it.

Sources: Linux net/netfilter/nf_conntrack_core.c, net/ipv4/netfilter/nf_defrag_ipv4.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NotModelled
from .conntrack import Conntrack, invert, tuple_of
from .conntrack_tcp import begins
from .packet import Icmp, Tcp

if TYPE_CHECKING:
    from .hooks import Skb, Stop

__all__ = ["confirm", "conntrack_in", "defrag", "unmodelled"]


def defrag(skb: Skb) -> Stop | None:
    """Where conntrack works, packets pass PREROUTING whole (nf_defrag_ipv4.c): fragments wait for the last one of them."""
    if not skb.packet.is_fragment or skb.packet.family == 6:
        return None
    from .l3 import reassemble

    done = reassemble(skb.w, skb.flight, skb.packet, "conntrack")
    if done is None:
        return ()
    skb.note("ip.reassembled", done[0], major=False)
    skb.trail_flight = skb.trail_flight.to(skb.trail_flight.stage, frag_max=done[1])
    return None


def conntrack_in(skb: Skb) -> Stop | None:
    """nf_conntrack_in: find or make the entry. Bridge netfilter may have done it already."""
    if skb.ctinfo:
        return None
    table = Conntrack(skb.w.state, skb.ns.id)
    packet = skb.packet if skb.packet.whole is None else skb.packet.whole
    l4 = packet.l4
    if isinstance(l4, Icmp) and l4.quote is not None:
        inner = tuple_of(l4.quote)
        found = table.find(invert(inner)) if inner else None
        if found is None:
            skb.ctinfo = "invalid"
        else:
            skb.ct, skb.ctinfo = found[0], "related-reply" if found[1] else "related"
        return None
    t = tuple_of(packet)
    if t is None:
        skb.ctinfo = "invalid"
        return None
    found = table.find(t)
    if found is not None:
        entry, is_reply = found
        if isinstance(l4, Tcp) and begins(entry.tcp_state, l4.flags, is_reply):
            table.delete(entry)
        else:
            skb.ct = table.refresh(entry, packet, is_reply)
            skb.ctinfo = "invalid" if skb.ct is None else "reply" if is_reply else "established" if entry.seen_reply else "new"
            return None
    if isinstance(l4, Tcp) and l4.flags != "S" and not skb.ns.sysctl("net.netfilter.nf_conntrack_tcp_loose"):
        skb.ctinfo = "invalid"
        return None
    if isinstance(l4, Icmp) and l4.type not in (8, 13, 15, 17, 128):
        skb.ctinfo = "invalid"
        return None
    skb.ct = table.refresh(table.new(t), packet, False)
    skb.ctinfo = "invalid" if skb.ct is None else "new"
    return None


def confirm(skb: Skb) -> Stop | None:
    if skb.ct is None or skb.ct.confirmed or skb.ctinfo != "new":
        return None
    entry = Conntrack(skb.w.state, skb.ns.id).confirm(skb.ct)
    if entry is None:
        return skb.w.end(skb.flight, "conntrack.race", dev=skb.where)
    skb.ct = entry
    return None


def unmodelled(skb: Skb) -> Stop | None:
    """The walk ends where a program would judge that the lab does not have. What belongs to a connection that began is not judged."""
    why = skb.ns.unmodelled.get((skb.indev, "in")) or skb.ns.unmodelled.get((skb.outdev, "out"))
    if why and not skb.ctstate & {"ESTABLISHED", "RELATED"}:
        raise NotModelled(why)
    return None
