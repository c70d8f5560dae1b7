"""`bridge vlan`. Source: iproute2 6.1 bridge/vlan.c; Linux net/bridge/br_vlan.c. Documented, not measured: the kernel of the tests lacks it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import NotModelled
from ..bridge_vlans import add, delete
from ..links import DEFAULT_VLANS, Link, PortVlan
from ..namespace import FdbEntry
from .devices import by_index
from .terminal import Terminal, ToolError
from .words import Words

if TYPE_CHECKING:
    from .ip import Options

__all__ = ["commands", "learned", "local", "run"]

_USAGE = """Usage: bridge vlan { add | del } vid VLAN_ID dev DEV [ pvid ] [ untagged ]
                                               [ self ] [ master ]
       bridge vlan [ show ] [ dev DEV ] [ vid VLAN_ID ]
(this is what kubenet-lab models of bridge vlan)"""


def run(t: Terminal, words: Words, o: Options) -> str:
    command = words.command(("add", "delete", "set", "show", "lst", "list", "global", "tunnelshow", "help"), "show", "bridge vlan")
    if command in ("add", "delete"):
        return _change(t, words, command)
    if command == "help":
        return _USAGE + "\n"
    if command in ("set", "global", "tunnelshow") or o.json:
        raise NotModelled(f"bridge {'-j ' if o.json else ''}vlan {command}")
    return _show(t, words)


def _vlans(link: Link) -> tuple[PortVlan, ...]:
    return link.bridge.vlans if link.kind == "bridge" else link.port.vlans


def learned(t: Terminal, bridge: Link, port: Link) -> list[FdbEntry]:
    """What a bridge that filters has learned at one port."""
    out = []
    for (name, mac, vlan), (at, seen) in reversed(list(t.state.read("fdb-vlan", t.ns.id).items())):
        if name == bridge.name and at == port.name and t.state.clock - seen <= bridge.bridge.ageing:
            out.append(FdbEntry(mac, at, state="dynamic", self_=False, master=bridge.name, vlan=vlan))
    return out


def local(bridge: Link, device: Link) -> list[FdbEntry]:
    """The own address of a port, or of the bridge, in each of its VLANs."""
    vlans = _vlans(device) if bridge.bridge.vlan_filtering else ()
    return [FdbEntry(device.mac, device.name, self_=False, master=bridge.name, vlan=v.id) for v in vlans]


def commands(link: Link) -> list[str]:
    """The commands that give a port, or a bridge's own device, its VLANs."""
    vlans, own = _vlans(link), " self" if link.kind == "bridge" else ""
    gone = [v.id for v in DEFAULT_VLANS if not any(v.id == k.id for k in vlans)]
    out = [f"bridge vlan del vid {id} dev {link.name}{own}" for id in gone]
    for v in vlans:
        if v not in DEFAULT_VLANS:
            out.append(f"bridge vlan add vid {v.id} dev {link.name}{' pvid' if v.pvid else ''}{' untagged' if v.untagged else ''}{own}")
    return out


def _show(t: Terminal, words: Words) -> str:
    dev, vid = "", 0
    while words:
        word = words.take()
        if word == "dev":
            dev = words.take()
        elif word == "vid":
            vid = _vid(words.take())[0]
        else:
            raise ToolError(_USAGE, 255)
    out = ["port              vlan-id  "]
    for k in by_index(t.ns):
        if (k.master or k.kind == "bridge") and dev in ("", k.name):
            name = k.name
            for v in _vlans(k):
                if vid not in (0, v.id):
                    continue
                words_of = [str(v.id), *(["PVID"] if v.pvid else []), *(["Egress Untagged"] if v.untagged else [])]
                out.append(f"{name:<18}{' '.join(words_of)}")
                name = ""
    return "\n".join(out) + "\n"


def _vid(text: str) -> tuple[int, int]:
    """A VLAN or a range of them."""
    low, dash, high = text.partition("-")
    if not low.isdigit() or (dash and not high.isdigit()):
        raise ToolError(f'Error: argument "{text}" is wrong: Invalid VLAN ID', 255)
    first, last = int(low), int(high or low)
    if not 0 < first <= 4094 or not 0 < last <= 4094:
        raise ToolError(f'Invalid VLAN ID "{first if not 0 < first <= 4094 else last}"', 255)
    if last < first:
        raise ToolError(f"Invalid VLAN range {first}-{last}", 255)
    return first, last


def _change(t: Terminal, words: Words, command: str) -> str:
    dev, ids, pvid, untagged = "", (0, 0), False, False
    while words:
        word = words.take()
        if word == "dev":
            dev = words.take()
        elif word == "vid":
            ids = _vid(words.take())
        elif word in ("pvid", "untagged"):
            pvid, untagged = pvid or word == "pvid", untagged or word == "untagged"
        elif word not in ("self", "master"):
            raise ToolError(_USAGE, 255)
    if not dev or not ids[0]:
        raise ToolError("Device and VLAN ID are required arguments.", 255)
    if dev not in t.ns.links:
        raise ToolError(f'Cannot find bridge device "{dev}"', 255)
    if pvid and ids[0] != ids[1]:
        raise ToolError(f"Invalid VLAN range {ids[0]}-{ids[1]}", 255)
    link = t.ns.links[dev]
    if not link.master and link.kind != "bridge":
        raise ToolError("RTNETLINK answers: Operation not supported", 255)
    vlans = _vlans(link)
    for id in range(ids[0], ids[1] + 1):
        vlans = add(vlans, id, pvid=pvid, untagged=untagged) if command == "add" else delete(vlans, id)
    if link.kind == "bridge":
        t.ns.set_link(dev, bridge=replace(link.bridge, vlans=vlans))
    else:
        t.ns.set_link(dev, port=replace(link.port, vlans=vlans))
    t.changed = True
    return ""
