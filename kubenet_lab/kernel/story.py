"""From trails to hops: what a walk recorded, as the values that people read. Made when read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ..trace import Entry, Hop, Layer, Reason, Trace
from .ask import Result
from .conntrack import Entry as Conntrack
from .flight import Trail
from .headers import headers
from .iptables import Rule
from .namespace import FdbEntry, Listener, Neighbour
from .network import Network
from .nftables import MapEntry, NftRule
from .packet import Arp, Packet
from .port_filter import FilterRule
from .routing import LOCAL, Route

__all__ = ["LAYER_OF", "hops_of", "trace_of"]

#: the first words of a code -> layer
LAYER_OF: dict[str, Layer] = {
    "socket": "pod", "tcp": "pod", "icmp": "node", "bridge": "bridge", "vxlan": "tunnel", "fdb": "tunnel", "wire": "wire", "veth": "pod",
    "wireguard": "tunnel", "tun": "tunnel", "mss": "node",
    "route": "node", "ttl": "node", "nat": "nat", "conntrack": "nat", "filter": "policy", "neigh": "node", "mtu": "node", "link": "node",
    "group": "policy", "rx": "wire", "martian": "node", "rp_filter": "node", "forward": "node", "ip": "node", "macvlan": "wire",
    "vlan": "bridge",
}  # fmt: skip


def layer_of(code: str) -> Layer:
    return LAYER_OF.get(code.split(".")[0], "node")


def entry_of(thing: Any, event: Trail) -> Entry | None:
    """The entry that decided, as the real tool prints it, with the command that prints it."""
    if thing is None:
        return None
    if isinstance(thing, Route):
        fam = "ip -6" if thing.family == 6 else "ip"
        if isinstance(event.before, Packet) and thing.type not in LOCAL:
            target = event.after.dst if isinstance(event.after, Packet) else event.before.dst
            return Entry("route", str(thing), f"{fam} route get {target}", thing.origin)
        return Entry("route", str(thing), f"{fam} route show table local" if thing.table == 255 else f"{fam} route", thing.origin)
    if isinstance(thing, Neighbour):
        return Entry("neighbour", str(thing), f"ip neigh show dev {thing.dev}", thing.origin)
    if isinstance(thing, FdbEntry):
        where = f"dev {thing.dev}" if thing.self_ else f"br {thing.master}"
        return Entry("fdb", str(thing), f"bridge fdb show {where}", thing.origin)
    if isinstance(thing, Listener):
        six = isinstance(event.before, Packet) and event.before.family == 6
        address = (f"[{thing.address}]" if ":" in thing.address else thing.address) or ("[::]" if six else "0.0.0.0")
        return Entry("socket", f"{thing.protocol} {address}:{thing.port}", "ss -ltn" if thing.protocol == "TCP" else "ss -lun")
    if isinstance(thing, Conntrack):
        there, back = thing.orig, thing.reply
        way = f"{there.proto} {there.src}:{there.sport} → {there.dst}:{there.dport}"
        text = f"{way}, answers {back.src}:{back.sport} → {back.dst}:{back.dport}"
        return Entry("conntrack", text, f"conntrack -L -p {thing.orig.proto.lower()} --orig-src {thing.orig.src}")
    if isinstance(thing, Rule | NftRule | MapEntry):
        return Entry("rule", str(thing), thing.command, thing.origin)
    if isinstance(thing, FilterRule):
        return Entry("filter", str(thing), origin=str(event.params.get("group", "")))
    return Entry("entry", str(thing))


def hops_of(net: Network, trail: Trail | None, direction: Literal["forward", "reply"], start: int = 1) -> list[Hop]:
    """Major events become hops; minor ones are details of the hop before them (of the first, if nothing precedes)."""
    if trail is None:
        return []
    events = trail.events()
    frames = _with_macs(events)
    out: list[Hop] = []
    early: list[Hop] = []
    for i, e in enumerate(events):
        ns = net.namespaces.get(e.ns)
        host = ns.host if ns is not None else e.ns
        # the first event makes the packet: there is nothing before it
        before = headers(e.before, *_pair(e, 0, frames, i)) if e.before is not None and i else ()
        after = headers(e.after, *_pair(e, 1, frames, i)) if e.after is not None else ()
        params: Mapping[str, Any] = {"label": ns.label if ns else e.ns, **_packet_params(e.before), **_new_params(e.after), **e.params}
        hop = Hop(
            0, e.time, e.code, layer_of(e.code), host, e.ns, e.dev, direction, params, before, after, entry_of(e.entry, e), (), e.after,
            e.failed,
        )  # fmt: skip
        if e.major or e.failed:
            out.append(replace(hop, number=start + len(out), details=tuple(early)))
            early = []
        elif out:
            out[-1] = replace(out[-1], details=(*out[-1].details, hop))
        else:
            early.append(hop)
    return _lift_entries(out)


def _lift_entries(hops: list[Hop]) -> list[Hop]:
    """A hop without an entry of its own shows the one that decided inside it: a send shows its route."""
    out = []
    for h in hops:
        if h.entry is None:
            inner = next((d.entry for d in h.details if d.entry is not None and d.code == "route.output"), None)
            if inner is not None:
                h = replace(h, entry=inner)
        out.append(h)
    return out


def _packet_params(packet: Packet | Arp | None) -> dict[str, Any]:
    if not isinstance(packet, Packet):
        return {}
    return {
        "packet_src": packet.src,
        "packet_dst": packet.dst,
        "packet_dport": packet.dport,
        "packet_proto": packet.proto,
        "packet_ttl": packet.ttl,
        "packet_size": packet.size,
    }


def _new_params(packet: Packet | Arp | None) -> dict[str, Any]:
    """Where the packet is from and for after the event, ports included where they changed hands."""
    if not isinstance(packet, Packet):
        return {}
    dst = f"[{packet.dst}]" if packet.family == 6 and packet.dport else packet.dst
    return {"new_src": packet.src, "new_dst": f"{dst}:{packet.dport}" if packet.dport else dst}


def _with_macs(events: Sequence[Trail]) -> dict[int, tuple[str, str]]:
    """For each event whose packet leaves it without Ethernet addresses: those it gets next, if it keeps its size till then."""
    found: dict[int, tuple[str, str]] = {}
    for i, e in enumerate(events):
        if e.after is None or e.dmacs[1]:
            continue
        for later in events[i + 1 :]:
            if later.after is None or later.after.size != e.after.size:
                break
            if later.dmacs[1]:
                found[i] = (later.smacs[1], later.dmacs[1])
                break
    return found


def _pair(e: Trail, side: int, frames: Mapping[int, tuple[str, str]], i: int) -> tuple[str, str]:
    if e.dmacs[side]:
        return e.smacs[side], e.dmacs[side]
    return frames.get(i, ("", "")) if side else ("", "")


def question_of(result: Result, net: Network) -> str:
    q = result.question
    who = net.namespaces[q.ns].label
    port = f":{q.port}" if q.port else ""
    return f"{who} → {q.dst}{port} {q.protocol}"


def trace_of(
    result: Result,
    *,
    question: str = "",
    reasons: Sequence[Reason] = (),
    facts: Mapping[str, Any] | None = None,
    assumptions: Sequence[str] = (),
    stages: Sequence[tuple[str, Any]] = (),
) -> Trace:
    """The trace of one result. `reasons` come before the one that the ending itself gives."""
    net = result.walk.net

    def build() -> tuple[Sequence[Hop], Sequence[Hop]]:
        forward = hops_of(net, result.forward, "forward")
        return forward, hops_of(net, result.reply, "reply", len(forward) + 1)

    def frames() -> Sequence[tuple[float, str, Any]]:
        from .background import catch_up
        from .packet import Frame

        if result.walk.frames is not None and result.walk.state.capture is result.walk.frames:
            catch_up(net, result.walk.state)  # nobody has asked since: how the connection closes is due, and seen
        return [(t, where, Frame(s, d, body)) for t, where, s, d, body in result.walk.frames or ()]

    own = list(reasons)
    if result.verdict != "delivered":
        trail = next((t for t in (result.forward, result.reply) if t is not None and t.failed), None) or result.forward
        if trail is not None:
            own += _reasons(net, trail)
    listening = _assumed(result)
    return Trace(
        question=question or question_of(result, net), verdict=result.verdict, phase=result.phase, error=result.error,
        elapsed=result.elapsed,
        answered_by=result.answered_by, source_seen=result.source_seen, build=build, frames=frames, reasons=own, stages=stages,
        answer=result.answer, facts=facts or {}, assumptions=(*assumptions, *listening),
    )  # fmt: skip


def _reasons(net: Network, trail: Trail) -> list[Reason]:
    """What ended it: the last event, after those right before it that say so too (nobody answered; and this is why)."""
    ends = [trail]
    while ends[0].parent is not None and ends[0].failed and ends[0].parent.failed:
        ends.insert(0, ends[0].parent)
    out = []
    for e in ends:
        ns = net.namespaces[e.ns]
        params = {"device": e.dev, "namespace": e.ns, "label": ns.label, **_packet_params(e.before), **_new_params(e.after), **e.params}
        out.append(Reason(e.code, params | {"host": ns.host}, str(e.params.get("origin", "") or "")))
    return out


def _assumed(result: Result) -> tuple[str, ...]:
    for trail in (result.forward, result.reply):
        e, first = trail, ""
        while e is not None:
            if e.code == "socket.deliver" and e.params.get("assumed"):
                first = str(e.params["assumed"])
            e = e.parent
        if first:
            return (first,)
    return ()
