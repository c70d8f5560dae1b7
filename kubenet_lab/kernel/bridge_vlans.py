"""VLANs of a bridge that filters them: in which VLAN a frame is, and which ports it may leave by.

Source: Linux net/bridge/br_vlan.c (__allowed_ingress, br_allowed_egress, br_handle_vlan). The lab has no 802.1Q devices, so
what reaches a port is untagged, and a frame that leaves tagged meets nobody who takes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .links import BridgePort, Link, PortVlan

if TYPE_CHECKING:
    from .namespace import Namespace
    from .network import Network

__all__ = ["add", "delete", "egress", "find", "ingress", "kept_apart", "of_port"]


_NO_FILTER = PortVlan(0, untagged=True)


def find(vlans: Iterable[PortVlan], id: int) -> PortVlan | None:
    return next((v for v in vlans if v.id == id), None)


def _vlans(bridge: Link, port: Link | None) -> tuple[PortVlan, ...]:
    """Of a port, or of the bridge's own device."""
    return bridge.bridge.vlans if port is None else port.port.vlans


def ingress(bridge: Link, port: Link | None) -> int | None:
    """The VLAN of an untagged frame that comes in by `port` (None: the node sends it through the bridge itself).

    0: the bridge does not filter. None: the port has no PVID, and the frame is dropped.
    """
    if not bridge.bridge.vlan_filtering:
        return 0
    return next((v.id for v in _vlans(bridge, port) if v.pvid), None)


def egress(bridge: Link, port: Link | None, vlan: int) -> PortVlan | None:
    """The port's membership in the VLAN of a frame; None: it does not leave here. Without filtering it always does, untagged."""
    return _NO_FILTER if not vlan else find(_vlans(bridge, port), vlan)


def add(vlans: tuple[PortVlan, ...], id: int, *, pvid: bool = False, untagged: bool = False) -> tuple[PortVlan, ...]:
    """With one more, or another one in the same place; there is one PVID at most."""
    others = [replace(v, pvid=False) if pvid else v for v in vlans if v.id != id]
    return tuple(sorted((*others, PortVlan(id, pvid, untagged)), key=lambda v: v.id))


def delete(vlans: tuple[PortVlan, ...], id: int) -> tuple[PortVlan, ...]:
    return tuple(v for v in vlans if v.id != id)


def of_port(port: BridgePort, access: int = 0, trunk: Iterable[int] = (), keep_default: bool = True) -> BridgePort:
    """A port as the bridge plugin makes it: `access` untagged and PVID, each of `trunk` tagged, the default VLAN 1 kept or not."""
    vlans = port.vlans if keep_default or not (access or trunk) else ()
    if access:
        vlans = add(vlans, access, pvid=True, untagged=True)
    for id in trunk:
        vlans = add(vlans, id)
    return replace(port, vlans=vlans)


def _behind(net: Network, ns: Namespace, link: Link) -> tuple[Namespace, Link, Link | None] | None:
    """The bridge that a device leads to, its namespace, and the port (None: the device is the bridge)."""
    if link.kind == "bridge":
        return ns, link, None
    if link.peer is None or link.peer[0] not in net.namespaces:
        return None
    there = net.namespaces[link.peer[0]]
    port = there.links.get(link.peer[1])
    bridge = there.links.get(port.master) if port is not None else None
    return (there, bridge, port) if bridge is not None and bridge.kind == "bridge" else None


def kept_apart(net: Network, ns: Namespace, link: Link, ip: str) -> tuple[str, str, dict[str, Any]] | None:
    """(code, namespace, parameters): why a question for `ip` by `link`, or its answer, does not cross the bridge that both stand on."""
    owner = net.owner_of(ip)
    held = next((k for k in owner.links.values() if any(a.ip == ip for a in k.addresses)), None) if owner is not None else None
    here, far = _behind(net, ns, link), _behind(net, owner, held) if owner is not None and held is not None else None
    if here is None or far is None or (here[0].id, here[1].name) != (far[0].id, far[1].name):
        return None
    there, bridge = here[:2]
    for source, target in ((here[2], far[2]), (far[2], here[2])):
        name = target.name if target is not None else bridge.name
        if source is not None and target is not None and source.port.isolated and target.port.isolated:
            return "bridge.isolated", there.id, {"bridge": bridge.name, "port": name}
        vlan = ingress(bridge, source)
        if vlan is None:
            return "vlan.ingress", there.id, {"bridge": bridge.name, "port": source.name if source is not None else bridge.name}
        member = egress(bridge, target, vlan)
        if member is None or not member.untagged:
            return "vlan.egress" if member is None else "vlan.tagged", there.id, {"bridge": bridge.name, "port": name, "vlan": vlan}
    return None
