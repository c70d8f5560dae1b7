"""macvlan: devices with MAC addresses of their own on one NIC. What such a device sends, and what its parent hands up to it.

A child's frame goes to a sibling (bridge mode) or out of the parent's wire, never to the parent itself; what comes in by
the parent is handed to the child that has the address before the parent's own stack looks at it. `unheard` says why a question
for an address never reached the one who has it.
Source: Linux drivers/net/macvlan.c (macvlan_queue_xmit, macvlan_handle_frame, macvlan_multicast_rx); measured on Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .flight import Flight
from .links import Link, MacvlanMode
from .namespace import Namespace
from .packet import Packet, is_group
from .stacked import carrier, children, lower_of
from .walk import Successor, Walk, stage

__all__ = ["handle", "send", "unheard"]

Successors = Iterable[Successor]
_EVERYONE: tuple[MacvlanMode, ...] = ("private", "vepa", "bridge", "passthru")


def send(w: Walk, f: Flight, ns: Namespace, link: Link) -> Successors:
    """macvlan_queue_xmit: in bridge mode to siblings directly, everything else to the world, by the parent's wire."""
    found = lower_of(ns, link)
    if found is None:
        return w.end(f, "link.gone")
    below, lower = found
    if not carrier(ns, link):
        return w.end(f, "macvlan.parent_down", parent=lower.name, parent_label=below.label)
    w.tap(f)
    out: list[Successor] = []
    if link.macvlan is not None and link.macvlan.mode == "bridge":
        if is_group(f.dmac):
            out += _spread(w, f, below, lower, ("bridge",), (ns.id, link.name), sent=True)
        else:
            for upper, child in children(below, lower.name):
                if child.up and child.mac == f.dmac and child.macvlan is not None and child.macvlan.mode == "bridge":
                    return _switch(w, f, below, lower, upper, child)
    g = f.anew("xmit", ns=below.id, dev=lower.name)
    if isinstance(f.packet, Packet):
        g = w.note(g, "macvlan.out", child=link.name, child_label=ns.label, mode=link.macvlan.mode if link.macvlan else "")
    return [*out, (0.0, g)]


def _switch(w: Walk, f: Flight, below: Namespace, lower: Link, upper: Namespace, child: Link) -> Successors:
    """To a sibling by way of the parent, where captures see it (dev_forward_skb)."""
    if f.packet.size > lower.mtu + 4 and not f.gso:
        return w.end(f, "mtu.macvlan", size=f.packet.size, mtu=lower.mtu, parent=lower.name)
    g = f.anew("macvlan_rx", ns=below.id, dev=lower.name, mark=f.mark if f.ns == below.id else 0)
    w.tap(g)
    if isinstance(f.packet, Packet):
        g = w.note(g, "macvlan.switch", child=child.name, child_label=upper.label)
    return ((0.0, g.to("macvlan_rx", ns=upper.id, dev=child.name)),)


def handle(w: Walk, f: Flight, ns: Namespace, lower: Link) -> tuple[Successors, bool]:
    """macvlan_handle_frame: (what goes to children, whether the parent takes the frame too)."""
    family = children(ns, lower.name)
    if is_group(f.dmac):
        source = next(((u, k) for u, k in family if k.up and k.mac == f.smac), None)
        mode = source[1].macvlan.mode if source is not None and source[1].macvlan is not None else ""
        if source is not None and mode in ("private", "passthru"):
            return [_to_child(w, f, *source)], False  # its own frame came back: nobody else sees it
        if source is None:
            return _spread(w, f, ns, lower, _EVERYONE, ("", "")), True
        # bridge siblings saw the frame of one of theirs on its way out
        modes: tuple[MacvlanMode, ...] = ("vepa", "bridge") if mode == "vepa" else ("vepa",)
        return _spread(w, f, ns, lower, modes, (source[0].id, source[1].name)), True
    passthru = next(((u, k) for u, k in family if k.macvlan is not None and k.macvlan.mode == "passthru"), None)
    found = passthru or next(((u, k) for u, k in family if k.up and k.mac == f.dmac), None)
    if found is None:
        return (), True
    if not found[1].up:
        return w.end(f, "link.down", dev=found[1].name), False
    return [_to_child(w, f, *found)], False


def _spread(
    w: Walk, f: Flight, below: Namespace, lower: Link, modes: tuple[MacvlanMode, ...], source: tuple[str, str], *, sent: bool = False
) -> list[Successor]:
    """macvlan_broadcast: a copy for each child in one of these modes but the sender. `sent`: on its way out, so the size is looked at."""
    out = []
    for upper, child in children(below, lower.name):
        if not child.up or child.macvlan is None or child.macvlan.mode not in modes or (upper.id, child.name) == source:
            continue
        if not sent or f.gso or f.packet.size <= child.mtu + 4:
            out.append(_to_child(w, f.to(f.stage, ns=below.id, dev=lower.name), upper, child))
    return out


def _to_child(w: Walk, f: Flight, upper: Namespace, child: Link) -> Successor:
    if isinstance(f.packet, Packet):
        f = w.note(f, "macvlan.in", child=child.name, child_label=upper.label, child_mac=child.mac)
    return (0.0, f.anew("macvlan_rx", ns=upper.id, dev=child.name, mark=0))


@stage("macvlan_rx")
def macvlan_rx(w: Walk, f: Flight) -> Successors:
    """The frame is the child's, whatever address it carries."""
    from .l2 import bridge_input, to_protocol

    ns = w.ns(f.ns)
    link = ns.links[f.dev]
    if not link.up:
        return w.end(f, "link.down")
    w.tap(f)
    return bridge_input(w, f, ns, link) if link.master else to_protocol(w, f.to("rx"))


# -------------------------------------------------------------------------------------------------------------- the why
def unheard(w: Walk, ns: Namespace, link: Link, ip: str) -> tuple[str, dict[str, Any]] | None:
    """(code, parameters): why a question for `ip` by `link` does not reach the one who has it, where macvlan or its wire is the reason."""
    found = lower_of(ns, link)
    if found is not None:
        below, lower = found
        here = {"parent": lower.name, "parent_label": below.label, "ip": ip}
        if not carrier(ns, link):
            return "macvlan.parent_down", here
        if below.local_device(ip) not in (None, "lo"):
            return "macvlan.parent", here
        wire = lower
    else:
        below, wire = ns, link
        here = {"parent": link.name, "parent_label": ns.label, "ip": ip}
    for upper, child in children(below, wire.name):
        if (upper.id, child.name) == (ns.id, link.name) or not any(a.ip == ip for a in child.addresses):
            continue
        modes = [k.macvlan.mode for k in (link, child) if k.macvlan is not None]
        if found is None:
            return "macvlan.child", {**here, "child": child.name, "child_label": upper.label}
        if modes != ["bridge", "bridge"]:
            return "macvlan.sibling", {**here, "child": child.name, "child_label": upper.label, "modes": tuple(modes)}
    return _foreign(w, link, wire, ip)


def _foreign(w: Walk, link: Link, wire: Link, ip: str) -> tuple[str, dict[str, Any]] | None:
    """The wire drops what carries another address than its NIC's: the question's, or the answer's."""
    segment = w.net.segments.get(wire.segment)
    if segment is None or segment.foreign_macs:
        return None
    if link is not wire and link.mac != wire.mac:
        return "wire.foreign_mac", {"mac": link.mac, "own": wire.mac, "segment": segment.name}
    owner = w.net.owner_of(ip)
    held = next((k for k in owner.links.values() if any(a.ip == ip for a in k.addresses)), None) if owner is not None else None
    far = lower_of(owner, held) if owner is not None and held is not None else None
    if held is not None and far is not None and far[1].segment == segment.name and far[1].mac != held.mac:
        return "wire.foreign_mac", {"mac": held.mac, "own": far[1].mac, "segment": segment.name}
    return None
