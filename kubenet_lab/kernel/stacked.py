"""Devices that stand on another device: a macvlan child and the device below it, its parent, often of another namespace.

What the children of one parent may be, what they follow when the parent changes, and whether there is carrier. Frames are `macvlan`'s.
Sources: Linux drivers/net/macvlan.c (macvlan_common_newlink, macvlan_open, macvlan_device_event), net/core/dev.c
(netif_stacked_transfer_operstate, __dev_set_rx_mode); measured on Linux 6.18.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import CommandError
from .links import Link, MacvlanMode, MacvlanOptions

if TYPE_CHECKING:
    from .namespace import Namespace

__all__ = ["add_macvlan", "allmulti", "carrier", "check", "children", "detach", "follow", "lower_of", "move", "owns", "promiscuity"]

_INVALID = "RTNETLINK answers: Invalid argument"
_BUSY = "RTNETLINK answers: Device or resource busy"
_IN_USE = "RTNETLINK answers: Address already in use"


# ---------------------------------------------------------------------------------------------------------- who is whose
def lower_of(ns: Namespace, link: Link) -> tuple[Namespace, Link] | None:
    """The device that a macvlan child stands on, and its namespace."""
    if link.macvlan is None:
        return None
    below = ns.around.get(link.macvlan.lower[0])
    lower = below.links.get(link.macvlan.lower[1]) if below is not None else None
    return (below, lower) if below is not None and lower is not None else None


def children(ns: Namespace, dev: str) -> list[tuple[Namespace, Link]]:
    """The macvlan children of a device, oldest first."""
    found = []
    for id, name in ns.macvlans.get(dev, ()):
        upper = ns.around.get(id)
        link = upper.links.get(name) if upper is not None else None
        if upper is not None and link is not None and link.macvlan is not None and link.macvlan.lower == (ns.id, dev):
            found.append((upper, link))
    return found


def owns(ns: Namespace, link: Link, mac: str) -> bool:
    """Is `mac` the device's own, or one of a child that is up? Those are the addresses that its NIC lets in."""
    return link.mac == mac or any(k.up and k.mac == mac for _, k in (children(ns, link.name) if link.name in ns.macvlans else ()))


def carrier(ns: Namespace, link: Link) -> bool:
    """Is there someone at the other end? A veth asks its peer, a bridge its ports, a macvlan child its parent."""
    if link.kind == "veth":
        there = ns.around.get(link.peer[0]) if link.peer is not None else None
        peer = there.links.get(link.peer[1]) if there is not None and link.peer is not None else None
        return peer is not None and peer.up
    if link.kind == "bridge":
        return any(p.up and carrier(ns, p) for p in ns.ports(link.name))
    if link.kind == "macvlan":
        below = lower_of(ns, link)
        return below is not None and below[1].up and carrier(*below)
    return True


def promiscuity(ns: Namespace, link: Link) -> int:
    """How many want the device to let everything in: itself, its bridge, children that are promiscuous or passthru.

    A veth or a bridge has no filter for further unicast addresses, so children that are up make it promiscuous once.
    """
    count = int(bool(link.master)) + int(link.promisc)
    own = False
    for upper, child in children(ns, link.name) if link.name in ns.macvlans else ():
        if child.up and child.macvlan is not None and child.macvlan.mode == "passthru":
            count += not child.macvlan.nopromisc
        elif child.up:
            own = True
            count += promiscuity(upper, child) > 0
    return count + (own and link.kind in ("veth", "bridge"))


def allmulti(ns: Namespace, link: Link) -> int:
    """How many want every multicast: the device's bridge, and those of its children."""
    return int(bool(link.master)) + sum(k.up and bool(k.master) for _, k in (children(ns, link.name) if link.name in ns.macvlans else ()))


# --------------------------------------------------------------------------------------------------------------- making
def add_macvlan(
    ns: Namespace, name: str, lower: tuple[Namespace, str], mode: MacvlanMode = "vepa", *, mtu: int = 0, mac: str = "", up: bool = True,
    nopromisc: bool = False, origin: str = "",
) -> Link:  # fmt: skip
    """A macvlan child in `ns` on the device `lower` = (its namespace, its name). Without `mtu` it has the parent's.

    A child of a child stands on the same parent. Raises CommandError in netlink's words, and then nothing has changed.
    """
    below, parent = lower[0], lower[0].link(lower[1])
    if parent.macvlan is not None:
        found = lower_of(below, parent)
        if found is None:
            raise CommandError("RTNETLINK answers: No such device")
        below, parent = found
    if name in ns.links:
        raise CommandError("RTNETLINK answers: File exists")
    if 0 < mtu < 68:  # ETH_MIN_MTU
        raise CommandError("Error: mtu less than device minimum.")
    if mtu > parent.mtu or parent.kind == "loopback":
        raise CommandError(_INVALID)
    if parent.master:  # a device hands its frames to one only
        raise CommandError(_BUSY)
    siblings = children(below, parent.name)
    if any(k.macvlan is not None and k.macvlan.mode == "passthru" for _, k in siblings) or (mode == "passthru" and siblings):
        raise CommandError(_INVALID)
    options = MacvlanOptions((below.id, parent.name), mode, nopromisc, parent.mac)
    link = ns.add_link(
        name, "macvlan", mac=parent.mac if mode == "passthru" else mac, mtu=mtu or parent.mtu, up=False, macvlan=options, origin=origin
    )
    _register(ns, link)
    if not up:
        return link
    try:
        return ns.set_link(name, up=True)
    except CommandError:
        ns.remove_link(name)
        raise


def _register(ns: Namespace, link: Link) -> None:
    if (found := lower_of(ns, link)) is not None:
        below, lower = found
        below.macvlans = {**below.macvlans, lower.name: (*below.macvlans.get(lower.name, ()), (ns.id, link.name))}
        below.touch()


def _unregister(ns: Namespace, link: Link) -> None:
    below = ns.around.get(link.macvlan.lower[0]) if link.macvlan is not None else None
    if below is not None and link.macvlan is not None:
        dev = link.macvlan.lower[1]
        left = tuple(c for c in below.macvlans.get(dev, ()) if c != (ns.id, link.name))
        below.macvlans = {k: v for k, v in below.macvlans.items() if k != dev} | ({dev: left} if left else {})
        below.touch()


def move(ns: Namespace, old: Link, target: Namespace, new: Link) -> None:
    """A link got another name or namespace: its parent and its children know it by the new one."""
    if old.macvlan is not None:
        below = ns.around.get(old.macvlan.lower[0])
        if below is not None:
            dev, was, now = old.macvlan.lower[1], (ns.id, old.name), (target.id, new.name)
            below.macvlans = {**below.macvlans, dev: tuple(now if c == was else c for c in below.macvlans.get(dev, ()))}
    mine = ns.macvlans.pop(old.name, ())
    if mine:
        target.macvlans[new.name] = mine
    for id, name in mine:
        upper = ns.around[id]
        link = upper.links[name]
        if link.macvlan is not None:
            upper.links[name] = replace(link, macvlan=replace(link.macvlan, lower=(target.id, new.name)))


# ------------------------------------------------------------------------------------------------------------- changing
def check(ns: Namespace, old: Link, new: Link) -> None:
    """What a macvlan child may not become. Raises CommandError in netlink's words."""
    if new.master and new.name in ns.macvlans and not old.master:
        raise CommandError(_BUSY)
    if new.macvlan is None or old.macvlan is None:
        return
    if (new.macvlan.mode == "passthru") != (old.macvlan.mode == "passthru"):
        raise CommandError(_INVALID)
    found = lower_of(ns, new)
    if found is None:
        return
    below, lower = found
    if new.mtu > lower.mtu and new.mtu != old.mtu:
        raise CommandError(_INVALID)
    wakes = new.up and not old.up
    if new.macvlan.mode == "passthru" or not (wakes or new.mac != old.mac):
        return
    taken = any(k.up and k.mac == new.mac for u, k in children(below, lower.name) if (u.id, k.name) != (ns.id, old.name))
    if taken or lower.mac == new.mac:
        raise CommandError(_IN_USE)


def follow(ns: Namespace, old: Link, new: Link) -> None:
    """What a change does to the devices above and below (macvlan_device_event, macvlan_set_mac_address)."""
    if new.macvlan is not None and new.macvlan.mode == "passthru" and new.mac != old.mac:
        found = lower_of(ns, new)
        if found is not None and found[1].mac != new.mac:
            below, lower = found
            below.links[lower.name] = replace(lower, mac=new.mac)
            below.touch()
    for upper, child in children(ns, new.name) if new.name in ns.macvlans else ():
        if child.mtu > new.mtu:
            upper.set_link(child.name, mtu=new.mtu)
        if child.macvlan is not None and child.macvlan.mode == "passthru" and new.mac != old.mac:
            upper.links[child.name] = replace(upper.links[child.name], mac=new.mac, macvlan=replace(child.macvlan, lower_mac=new.mac))
            upper.touch()


def detach(ns: Namespace, link: Link) -> None:
    """A device that goes takes its children along, and leaves its parent as it was."""
    if link.macvlan is not None:
        found = lower_of(ns, link)
        _unregister(ns, link)
        if found is not None and link.macvlan.mode == "passthru" and found[1].mac != link.macvlan.lower_mac:
            found[0].set_link(found[1].name, mac=link.macvlan.lower_mac)
    for upper, child in children(ns, link.name):
        upper.remove_link(child.name)
    ns.macvlans = {k: v for k, v in ns.macvlans.items() if k != link.name}
