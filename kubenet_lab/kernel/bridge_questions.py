"""A node asks for a plain end behind its bridge, and hears the answer: one step of the walk, where nothing else happens in that instant.

A flannel node asks so for every pod that it has not talked to yet. Frames, their order and what is learned are as if the bridge, the
ends (`hearers`) and the node took a step each; where anything is out of the ordinary, they do.
"""

from __future__ import annotations

from . import bridge_nft
from .arp import answer, speaks_for_itself
from .flight import Timer
from .hearers import Group, Hearers, behind_bridge, heard, places, question
from .l2 import learn_address
from .links import Link
from .namespace import Namespace
from .neighbours import ask, learn
from .packet import Arp
from .walk import Successor, Walk, stage

__all__: list[str] = []


@stage("ask_behind")
def ask_behind(w: Walk, t: Timer) -> list[Successor]:
    dev, ip = t.args
    ns = w.ns(t.ns)
    bridge = ns.links[dev]
    request = ask(w, ns, bridge, ip)
    arp = question(request)
    ends = behind_bridge(w, ns, bridge)
    found = _end(ns, bridge, ends, arp, w) if arp is not None and len(w.asking) == 1 and w.quiet_until(w.state.clock) else None
    if arp is None or found is None:
        return [(0.0, request)]
    port, there, link = found
    w.tap(request)
    parts = list(ends.parts(ip, ""))
    for part in parts:
        if isinstance(part, Group):
            w.tap_each(request, places(part))
        else:
            w.tap(request.to("xmit", dev=port.name))
    out: list[Successor] = []
    for part in parts:
        if isinstance(part, Group):
            out += heard(w, request, part)
        else:
            w.tap(request.arriving("rx", there.id, link.name, link.name, None))
            out += learn(w, there, link.name, arp.sender_ip, arp.sender_mac)
    reply = answer(there, link, arp)
    w.tap(reply)
    back = reply.arriving("rx", ns.id, port.name, port.name, None)
    w.tap(back)
    learn_address(w, ns, bridge, port, link.mac, 0)
    w.tap(back.to("rx", dev=bridge.name))
    return [*out, *learn(w, ns, bridge.name, ip, link.mac)]


def _end(ns: Namespace, bridge: Link, ends: Hearers, arp: Arp, w: Walk) -> tuple[Link, Namespace, Link] | None:
    """The port and the device of the one plain end that has the address and says so, if all ends and the bridge are plain."""
    key = (arp.target_ip, arp.sender_ip)
    if key not in ends.speakers:
        ends.speakers[key] = _looked_for(ns, bridge, ends, arp, w)
    return ends.speakers[key]


def _looked_for(ns: Namespace, bridge: Link, ends: Hearers, arp: Arp, w: Walk) -> tuple[Link, Namespace, Link] | None:
    if ends.others or not bridge.up or bridge.bridge.vlan_filtering or bridge.name in ns.macvlans or bridge_nft.has_chains(ns):
        return None
    match ends.owners.get(arp.target_ip):
        case [i]:
            hearer, port = ends.plain[i], ends.ports[i]
            assert hearer is not None and isinstance(port, Link)
            there = w.ns(hearer.ns)
            link = there.links[hearer.dev]
            return (port, there, link) if port.port.learning and speaks_for_itself(there, link, arp) else None
        case _:
            return None
