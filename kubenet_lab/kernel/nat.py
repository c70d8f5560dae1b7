"""The nat hook: bindings on a connection's first packet, rewrites on every packet, ICMP errors translated.

Sources: Linux net/netfilter/nf_nat_core.c, nf_nat_proto.c, nf_nat_masquerade.c.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .address import number
from .conntrack import Conntrack, Entry, apply_nat, invert, rewrite
from .hook_chains import nat_chains
from .iptables import NatRange, Verdict
from .packet import Icmp, Packet

if TYPE_CHECKING:
    from .hooks import Skb, Stop
    from .links import Link
    from .namespace import Namespace
    from .state import State

__all__ = ["forget_masquerades", "nat"]


def nat(skb: Skb) -> Stop | None:
    """nf_nat_inet_fn: bind on the first packet, rewrite every packet."""
    ct, info = skb.ct, skb.ctinfo
    if ct is None or info in ("untracked", "invalid"):
        return None
    manip = "dst" if skb.hook in ("prerouting", "output") else "src"
    if info.startswith("related") and isinstance(skb.packet.l4, Icmp):
        changed = _translate_error(skb.packet, ct, info.endswith("reply"), manip)
        if changed != skb.packet:
            skb.note("nat.error", changed, entry=ct, manip=manip)
        return None
    verdict: Verdict | None = None
    if info == "new" and not (ct.dst_bound if manip == "dst" else ct.src_bound):
        for ask in nat_chains(skb.ns, skb.packet.family, skb.hook):
            verdict = ask(skb)
            if verdict.kind in ("DROP", "REJECT"):
                return skb.refuse(verdict, "nat")
            if verdict.kind != "ACCEPT":
                break
        skb.ct = ct = _bind(skb, manip, verdict)
        if ct.confirmed:
            Conntrack(skb.w.state, skb.ns.id).save(ct)
    if not (ct.dnat or ct.snat):
        return None
    is_reply = info in ("reply", "related-reply")
    before = skb.packet
    changed = apply_nat(before, ct, is_reply, manip)
    if changed is before:
        return None
    if verdict is not None and verdict.kind not in ("ACCEPT", "RETURN"):
        code = {"DNAT": "nat.dnat", "REDIRECT": "nat.dnat", "SNAT": "nat.snat", "MASQUERADE": "nat.masquerade"}[verdict.kind]
        origin = verdict.rule.origin if verdict.rule is not None else ""
        skb.note(code, changed, entry=verdict.rule, chain=verdict.chain, rules=tuple(skb.path), origin=origin, outdev=skb.outdev)
    elif is_reply:
        skb.note("nat.reverse", changed, entry=ct, manip=manip)
    else:
        skb.note("nat.same", changed, entry=ct, manip=manip)
    return _unroutable_now(skb) if skb.hook == "output" and changed.dst != before.dst else None


def _unroutable_now(skb: Skb) -> Stop | None:
    """nf_nat_ipv4_local_fn: a new destination is routed at once; no way there is an error of the send call, before the filter table."""
    from .l3 import route_output

    known = skb.packet.src if skb.ns.local_device(skb.packet.src) is not None else ""
    route, _, problem = route_output(skb.ns, skb.packet.dst, known, skb.mark)
    if not problem:
        return None
    f = skb.flight
    skb.fails(f, problem)
    return skb.w.end(f, "route.none" if route is None else "route.refused", entry=route, errno=problem)


def _bind(skb: Skb, manip: str, verdict: Verdict | None) -> Entry:
    """The entry with this side's binding made: where the rule says, or nowhere (but unique)."""
    assert skb.ct is not None
    entry, table, seed = skb.ct, Conntrack(skb.w.state, skb.ns.id), skb.w.net.seed
    if verdict is not None and (kind := verdict.kind) in ("DNAT", "REDIRECT", "SNAT", "MASQUERADE"):
        wanted: NatRange = verdict.params
        if kind == "MASQUERADE":
            address = _masquerade_address(skb)
        elif kind == "REDIRECT":
            address = "127.0.0.1" if skb.hook == "output" else skb.ns.select_source(skb.indev, skb.packet.src) or skb.packet.dst
        else:
            address = _pick(wanted.addresses, skb) or (skb.packet.dst if manip == "dst" else skb.packet.src)
        bound = table.unique_reply(entry, manip, address, wanted.ports, wanted.random or wanted.fully_random, seed)
        return bound.but(masquerade=_out_of(skb, address)) if kind == "MASQUERADE" else bound
    return table.null_binding(entry, manip, seed)


def _pick(addresses: tuple[str, str] | None, skb: Skb) -> str | None:
    """One address of a range, by the hash of the source (and destination) as the kernel does."""
    if not addresses:
        return None
    low, high = number(addresses[0]), number(addresses[1])
    if low == high:
        return addresses[0]
    import ipaddress

    digest = hashlib.blake2b(f"{skb.w.net.seed}{skb.packet.src}{skb.packet.dst}".encode(), digest_size=8).digest()
    return str(ipaddress.ip_address(low + int.from_bytes(digest, "big") % (high - low + 1)))


def _masquerade_address(skb: Skb) -> str:
    """The address of the outgoing interface, not "the node IP" (nf_nat_masquerade_ipv4)."""
    route = skb._start.route
    nexthop = route.via if route and route.via else skb.packet.dst
    return skb.ns.select_source(skb.outdev, nexthop) or skb.packet.src


def _out_of(skb: Skb, address: str) -> tuple[str, str]:
    """nf_nat_masquerade.c remembers the device (masq_index)."""
    link = skb.ns.links.get(skb.outdev)
    return skb.outdev, address if link is not None and _holds(link, address) else ""


def _holds(link: Link, address: str) -> bool:
    return any(a.ip == address for a in link.addresses)


def forget_masquerades(ns: Namespace, state: State) -> None:
    """Connections that were masqueraded out of a device end when it goes down, or loses the address they go by.

    Source: Linux net/netfilter/nf_nat_masquerade.c (masq_device_event, masq_inet_event, inet_cmp).
    """
    table = Conntrack(state, ns.id)
    for entry in table.entries():
        if entry.masquerade is not None:
            dev, address = entry.masquerade
            link = ns.links.get(dev)
            if link is None or not link.up or (address and not _holds(link, address)):
                table.delete(entry)


def _translate_error(packet: Packet, entry: Entry, is_reply: bool, manip: str) -> Packet:
    """nf_nat_icmp_reply_translation: an ICMP error about a rewritten packet is rewritten back, outside and inside."""
    assert isinstance(packet.l4, Icmp) and packet.l4.quote is not None
    wanted = (entry.snat if manip == "src" else entry.dnat) if not is_reply else (entry.dnat if manip == "src" else entry.snat)
    if not wanted:
        return packet
    other = entry.orig if is_reply else entry.reply
    quote = rewrite(packet.l4.quote, "dst" if manip == "src" else "src", other)
    outer = invert(other)
    changed = packet.but(l4=packet.l4.but(quote=quote))
    return changed.but(src=outer.src) if manip == "src" else changed.but(dst=outer.dst)
