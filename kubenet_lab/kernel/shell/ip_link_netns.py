"""`ip link set DEV netns NAME`: a link goes to another namespace of the same machine.

It goes down on the way and loses its addresses, routes and neighbours, and its master; its other end, parent and children
stay its own. Source: Linux net/core/dev.c (__dev_change_net_namespace); measured.
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import NotModelled
from ..links import BridgePort
from ..namespace import Namespace
from ..stacked import move
from .devices import peer_of
from .terminal import Terminal, ToolError
from .words import invalid

__all__ = ["move_to", "namespace_named"]


def namespace_named(t: Terminal, name: str) -> Namespace:
    """A namespace of this machine: by the lab's name for it ("pod:shop/web-0", "shop/web-0"), or `1` for the machine's own."""
    if name == "1":
        return t.network.hosts[t.ns.host].root
    for ns in t.network.namespaces.values():
        if ns.host == t.ns.host and name in (ns.id, ns.label):
            return ns
    if name.isdigit():  # a process id, and the lab has no processes of that kind
        raise ToolError("RTNETLINK answers: No such process", 2)
    invalid(name, 'Invalid "netns" value\n')


def move_to(t: Terminal, name: str, target: Namespace) -> None:
    """Raises ToolError as the tool does; the link is `name` in `target` afterwards."""
    ns, link = t.ns, t.ns.links[name]
    if link.kind in ("loopback", "bridge"):
        raise ToolError("Error: The interface netns is immutable.", 2)
    if target is ns:
        return
    if name in target.links:
        raise ToolError("Error: An interface with the same name exists in the target netns.", 2)
    if link.kind in ("physical", "vxlan"):
        raise NotModelled(f"moving a {'NIC' if link.kind == 'physical' else 'VXLAN device'} to another namespace")
    if any(k.vxlan is not None and k.vxlan.dev == name for k in ns.links.values()):
        raise NotModelled("moving a device under a VXLAN device")
    ns.set_link(name, up=False)
    peer = link.peer if peer_of(t.network, link) is not None else None
    gone = replace(ns.release_link(name), up=False, opened=False, master="", port=BridgePort(), addresses=())
    new = target.adopt_link(gone)
    move(ns, link, target, new)
    if peer is not None:
        t.network.namespaces[peer[0]].set_link(peer[1], peer=(target.id, new.name))
    t.changed = True
