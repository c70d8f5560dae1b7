"""Wrong beliefs about macvlan, planted in the model: each must be caught by what the real kernel answered in a cluster that shows it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from kubenet_lab.kernel import arp, l2, macvlan

from . import planted as general

__all__ = ["PLANTED"]

PLANTED: list[general.Planted] = []
planted = partial(general.planted, mode="macvlan", into=PLANTED)


def _switch(m: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """While a frame crosses a wire, its switch has this; a function gives the value for the segment."""
    real = l2.wire_xmit

    def wire(w: Any, f: Any, link: Any) -> Any:
        segment = w.net.segments[link.segment]
        kept = getattr(segment, name)
        setattr(segment, name, value(segment) if callable(value) else value)
        try:
            return real(w, f, link)
        finally:
            setattr(segment, name, kept)

    m.setattr(l2, "wire_xmit", wire)


@planted("a node and its children meet: the switch brings every frame back", "mode changed")
def all_reflect(m: pytest.MonkeyPatch) -> None:
    _switch(m, "hairpin", lambda segment: set(segment.ports))


@planted("siblings meet in every mode", "mode changed")
def all_bridges(m: pytest.MonkeyPatch) -> None:
    real = macvlan.children

    def children(ns: Any, dev: str) -> Any:
        return [(u, replace(k, macvlan=replace(k.macvlan, mode="bridge"))) for u, k in real(ns, dev)]

    m.setattr(macvlan, "children", children)
    whole = macvlan.send
    m.setattr(macvlan, "send", lambda w, f, ns, k: whole(w, f, ns, replace(k, macvlan=replace(k.macvlan, mode="bridge"))))


@planted("a private child's broadcast that comes back is everybody's", "switch port reflects", "mode changed")
def private_heard(m: pytest.MonkeyPatch) -> None:
    real = macvlan.handle

    def handle(w: Any, f: Any, ns: Any, lower: Any) -> Any:
        if macvlan.is_group(f.dmac):
            return macvlan._spread(w, f, ns, lower, macvlan._EVERYONE, ("", "")), True
        return real(w, f, ns, lower)

    m.setattr(macvlan, "handle", handle)


@planted("a switch port never reflects", "switch port reflects")
def no_hairpin(m: pytest.MonkeyPatch) -> None:
    _switch(m, "hairpin", lambda segment: set())


@planted("a child has carrier while its parent is down", "node eth0 down")
def always_carrier(m: pytest.MonkeyPatch) -> None:
    m.setattr(macvlan, "carrier", lambda ns, link: True)


@planted("every network carries every address", "switch knows the nodes only")
def no_lock(m: pytest.MonkeyPatch) -> None:
    _switch(m, "foreign_macs", True)


@planted("a device without ARP answers it", "child arp off")
def answers_anyway(m: pytest.MonkeyPatch) -> None:
    real = arp.arp_input

    def hear(w: Any, f: Any, packet: Any) -> Any:
        ns = w.ns(f.ns)
        kept = ns.links[f.dev]
        ns.links[f.dev] = replace(kept, arp=True)
        try:
            return list(real(w, f, packet))
        finally:
            ns.links[f.dev] = kept

    m.setattr(l2, "arp_input", hear)


@planted("a node's rules meet what passes by its children", "rule on the node")
def node_rules(m: pytest.MonkeyPatch) -> None:
    from kubenet_lab.kernel import hooks
    from kubenet_lab.kernel.packet import Packet

    real = macvlan.handle

    def handle(w: Any, f: Any, ns: Any, lower: Any) -> Any:
        if isinstance(f.packet, Packet):
            for hook in ("forward", "input"):
                passed = hooks.run(w, f, hook, indev=lower.name, outdev=lower.name)
                if passed.stopped is not None:
                    return passed.stopped, False
        return real(w, f, ns, lower)

    m.setattr(macvlan, "handle", handle)
