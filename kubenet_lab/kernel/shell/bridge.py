"""`bridge fdb` and `bridge link`. Source: iproute2 6.1 bridge/{fdb,link}.c, Linux net/bridge/br_fdb.c, drivers/net/vxlan; measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import NotModelled
from .. import bridge_vlans
from ..links import Link
from ..namespace import FdbEntry
from . import as_json, bridge_vlan
from .devices import by_index, flags, multicast_list, port_cost, shown_name, unicast_list
from .ip import options_of
from .ip_link import find_device
from .terminal import Terminal, ToolError
from .words import Words, address, begins, garbage, mac_address

if TYPE_CHECKING:
    from .ip import Options

__all__ = ["run"]

_USAGE = """Usage: bridge [ OPTIONS ] OBJECT { COMMAND | help }
where  OBJECT := { link | fdb | vlan }
       OPTIONS := { -V[ersion] | -d[etails] | -o[neline] | -j[son] | -p[retty] }
(this is what kubenet-lab models of bridge)"""
_LINK_USAGE = """Usage: bridge link set dev DEV [ hairpin {on | off} ]
                               [ learning {on | off} ]
                               [ flood {on | off} ]
                               [ isolated {on | off} ]
                               [ self ] [ master ]
       bridge link show [dev DEV]
(this is what kubenet-lab models of bridge link)"""


def run(t: Terminal, argv: list[str]) -> str:
    words = Words(argv[1:])
    o = options_of(words, "bridge")
    if isinstance(o, str):
        return o
    if not words:
        raise ToolError(_USAGE, 255)
    word = words.take()
    if begins(word, "link"):
        return _link(t, words, o)
    if begins(word, "fdb"):
        return _fdb(t, words, o)
    if begins(word, "vlan"):
        return bridge_vlan.run(t, words, o)
    if any(begins(word, n) for n in ("mdb", "vni", "monitor")):
        raise NotModelled(f"bridge {word}; kubenet-lab knows bridge fdb, bridge link and bridge vlan")
    if begins(word, "help"):
        return _USAGE + "\n"
    raise ToolError(f'Object "{word}" is unknown, try "bridge help".', 255)


# ---------------------------------------------------------------------------------------------------------------- fdb
def _fdb(t: Terminal, words: Words, o: Options) -> str:
    command = words.command(("add", "append", "replace", "delete", "get", "show", "lst", "list", "flush", "help"), "show", "bridge fdb")
    match command:
        case "add" | "append" | "replace" | "delete":
            return _fdb_change(t, words, command)
        case "show" | "lst" | "list":
            return _fdb_show(t, words, o)
    raise NotModelled(f"bridge fdb {command}")


def _entries(t: Terminal, link: Link) -> list[FdbEntry]:
    """Everything that `bridge fdb` shows of one device, the bridge's table before the device's own."""
    ns, out = t.ns, []
    bridge = link if link.kind == "bridge" else ns.links.get(link.master)
    if bridge is not None and bridge.kind == "bridge" and link is not bridge:
        known = t.state.read("fdb", ns.id)
        for (name, mac), (port, seen) in reversed(list(known.items())):
            alive = t.state.clock - seen <= bridge.bridge.ageing
            if name == bridge.name and port == link.name and alive:
                out.append(FdbEntry(mac, port, state="dynamic", self_=False, master=bridge.name))
        out += bridge_vlan.learned(t, bridge, link)
        out += [e for e in reversed(ns.fdb) if e.dev == link.name and e.master]
        out += bridge_vlan.local(bridge, link)
        out.append(FdbEntry(link.mac, link.name, self_=False, master=bridge.name))
    out += [e for e in ns.fdb if e.dev == link.name and e.self_]
    if link.kind == "vxlan":
        for (name, mac), (remote, _) in t.state.read("fdb", ns.id).items():
            if name == link.name:
                out.append(FdbEntry(mac, name, remote, "dynamic"))
    out += [FdbEntry(mac, link.name) for mac in (*unicast_list(ns, link), *multicast_list(ns, link))]
    if link.kind == "bridge":
        out += [
            e
            for e in bridge_vlan.local(link, link)
            if not any(e.mac == p.mac and bridge_vlans.egress(link, p, e.vlan) for p in ns.ports(link.name))
        ]
    if link.kind == "bridge" and not any(p.mac == link.mac for p in ns.ports(link.name)):
        out.append(FdbEntry(link.mac, link.name, self_=False, master=link.name))
    return out


def _line(e: FdbEntry, hide_dev: bool) -> str:
    words = [e.mac]
    if not hide_dev:
        words += ["dev", e.dev]
    if e.dst:
        words += ["dst", e.dst]
    if e.vlan:
        words += ["vlan", str(e.vlan)]
    if e.self_:
        words.append("self")
    if e.master:
        words += ["master", e.master]
    # the state of a dynamic entry is printed as nothing, after a blank
    return " ".join(words) + " " + ("" if e.state == "dynamic" else e.state)


def _fdb_show(t: Terminal, words: Words, o: Options) -> str:
    dev = bridge = ""
    hide = False
    state = ""
    while words:
        word = words.take()
        if word in ("brport", "dev"):
            dev, hide = words.take(), True
        elif word == "br":
            bridge = words.take()
        elif word == "state":
            state = words.take()
            if state not in ("permanent", "static", "stale", "reachable", "all"):
                raise ToolError(f'Error: argument "{state}" is wrong: invalid state', 255)
        elif word in ("vlan", "dynamic"):
            raise NotModelled(f"bridge fdb show {word}")
        elif begins(word, "help"):
            raise NotModelled("bridge fdb help")
        else:
            garbage("dev", word) if dev else None
            dev, hide = word, True
    if bridge and bridge not in t.ns.links:
        raise ToolError(f'Cannot find bridge device "{bridge}"', 255)
    if dev and dev not in t.ns.links:
        raise ToolError(f'Cannot find device "{dev}"', 255)
    out = []
    for k in by_index(t.ns):
        if dev not in ("", k.name) or (bridge and bridge not in (k.name, k.master)):
            continue
        out += [e for e in _entries(t, k) if state in ("", "all", e.state)]
    if o.json:
        return as_json.dumps([_record(e, hide) for e in out], o.pretty)
    return "".join(f"{_line(e, hide)}\n" for e in out)


def _record(e: FdbEntry, hide: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"mac": e.mac}
    if not hide:
        out["ifname"] = e.dev
    if e.dst:
        out["dst"] = e.dst
    if e.vlan:
        out["vlan"] = e.vlan
    out["flags"] = ["self"] if e.self_ else []
    if e.master:
        out["master"] = e.master
    out["state"] = "" if e.state == "dynamic" else e.state
    return out


def _fdb_change(t: Terminal, words: Words, command: str) -> str:
    mac = dev = dst = ""
    state, via_master, own = "permanent", False, False
    while words:
        word = words.take()
        if word == "dev":
            dev = words.take()
        elif begins(word, "dst"):
            if dst:
                garbage("dst", words.peek())
            dst = address(words.take())
        elif word == "self":
            own = True
        elif begins(word, "master"):
            via_master = True
        elif begins(word, "local") or begins(word, "permanent"):
            state = "permanent"
        elif begins(word, "static"):
            state = "static"
        elif begins(word, "temp") or begins(word, "dynamic"):
            state = "dynamic"
        elif word in ("router", "use", "extern_learn", "sticky", "via", "vlan", "vni", "src_vni", "port", "nhid"):
            raise NotModelled(f"bridge fdb ... {word}")
        else:
            if word == "to":
                word = words.take()
            if mac:
                garbage("to", word)
            mac = word
    if not dev or not mac:
        raise ToolError("Device and address are required arguments.", 255)
    found = mac_address(mac)
    if found is None:
        raise ToolError(f"Invalid mac address {mac}", 255)
    link = find_device(t, dev, 255)
    if via_master and own:
        raise NotModelled("bridge fdb ... self master: give two commands")
    try:
        if via_master:
            return _in_bridge(t, found, link, state, command)
        if link.kind == "vxlan":
            return _in_vxlan(t, found, link, dst, state, command)
        return _in_device(t, found, link, state, command)
    finally:
        t.ns._changed()


def _in_bridge(t: Terminal, mac: str, link: Link, state: Any, command: str) -> str:
    if not link.master:
        raise ToolError("RTNETLINK answers: Operation not supported", 255)
    old = next((e for e in t.ns.fdb if e.mac == mac and e.master == link.master), None)
    learned = (link.master, mac) in t.state.read("fdb", t.ns.id)
    local = mac == link.mac
    if command == "delete":
        if old is not None and old.dev == link.name:
            t.ns.fdb.remove(old)
            t.changed = True
        elif learned and t.state.read("fdb", t.ns.id)[link.master, mac][0] == link.name:
            del t.state.write("fdb", t.ns.id)[link.master, mac]
        elif local:
            raise NotModelled("deleting a port's own address from its bridge")
        else:
            raise ToolError("RTNETLINK answers: No such file or directory", 255)
        return ""
    if command == "add" and (old is not None or learned or local):
        raise ToolError("RTNETLINK answers: File exists", 255)
    if state == "dynamic":
        t.state.write("fdb", t.ns.id)[link.master, mac] = (link.name, t.state.clock)
        return ""
    if learned:
        del t.state.write("fdb", t.ns.id)[link.master, mac]
    if old is not None:
        t.ns.fdb.remove(old)
    t.ns.add_fdb(mac, link.name, state=state, master=link.master)
    t.changed = True
    return ""


def _in_device(t: Terminal, mac: str, link: Link, state: Any, command: str) -> str:
    """A NIC's list of addresses that it takes frames for."""
    if link.kind == "bridge":
        raise NotModelled("addresses of a bridge beyond its own")
    old = next((e for e in t.ns.fdb if e.mac == mac and e.dev == link.name and e.self_), None)
    if command == "delete":
        if old is None:
            raise ToolError("RTNETLINK answers: No such file or directory", 255)
        t.ns.fdb.remove(old)
    elif old is not None:
        raise (
            ToolError("RTNETLINK answers: File exists", 255)
            if command == "add"
            else NotModelled(f"bridge fdb {command} of a device's own address")
        )
    elif state != "permanent":
        raise ToolError("RTNETLINK answers: Invalid argument", 255)
    else:
        t.ns.fdb.append(FdbEntry(mac, link.name))
    t.changed = True
    return ""


def _group(mac: str) -> bool:
    return int(mac[:2], 16) & 1 == 1 or mac == "00:00:00:00:00:00"


def _in_vxlan(t: Terminal, mac: str, link: Link, dst: str, state: Any, command: str) -> str:
    """Only group and all-zero addresses may have several remotes (vxlan_fdb_update)."""
    ns = t.ns
    mine = [e for e in ns.fdb if e.mac == mac and e.dev == link.name and e.self_]
    learned = (link.name, mac) in t.state.read("fdb", ns.id)
    if command == "delete":
        gone = [e for e in mine if dst in ("", e.dst)]
        if mine:  # another remote than the entry's is no error, and nothing happens
            for e in gone:
                ns.fdb.remove(e)
                t.changed = True
        elif learned and dst in ("", t.state.read("fdb", ns.id)[link.name, mac][0]):
            del t.state.write("fdb", ns.id)[link.name, mac]
        else:
            raise ToolError("RTNETLINK answers: No such file or directory", 255)
        return ""
    if not dst:
        raise ToolError("RTNETLINK answers: Invalid argument", 255)
    if command == "add" and (mine or learned):
        raise ToolError("RTNETLINK answers: File exists", 255)
    if command == "replace" and _group(mac):
        raise ToolError("Error: Cannot replace non-unicast fdb entries." if mine else "RTNETLINK answers: Operation not supported", 255)
    if command == "append" and mine and not _group(mac):
        return ""  # a unicast address keeps its one remote
    if any(e.dst == dst for e in mine):
        return ""
    if learned:
        del t.state.write("fdb", ns.id)[link.name, mac]
    if command == "replace" and mine:
        ns.fdb[ns.fdb.index(mine[0])] = replace(mine[0], dst=dst, state=state)
    else:
        ns.fdb.append(FdbEntry(mac, link.name, dst, state))
    t.changed = True
    return ""


# --------------------------------------------------------------------------------------------------------------- link
_SWITCHES = ("guard", "hairpin", "fastleave", "root_block", "learning", "learning_sync", "flood", "mcast_flood", "bcast_flood", "mcast_to_unicast",
             "neigh_suppress", "vlan_tunnel", "isolated", "locked")  # fmt: skip
_KNOWN = ("hairpin", "isolated", "learning", "flood")


def _link(t: Terminal, words: Words, o: Options) -> str:
    command = words.command(("set", "change", "show", "lst", "list", "help"), "show", "bridge link")
    if command in ("set", "change"):
        return _link_set(t, words)
    if command == "help":
        return _LINK_USAGE + "\n"
    dev = ""
    while words:
        word = words.take()
        if word == "dev":
            word = words.take()
        elif word == "master":
            raise NotModelled("bridge link show master")
        dev = word
    if dev:
        find_device(t, dev, 255)
    ports = [k for k in by_index(t.ns) if k.master and dev in ("", k.name)]
    if o.json:
        raise NotModelled("bridge -j link")
    return "".join(_link_line(t, k, o) for k in ports)


def _on(value: bool) -> str:
    return "on" if value else "off"


def _link_line(t: Terminal, k: Link, o: Options) -> str:
    state = "forwarding" if k.up and t.ns.links[k.master].up and "LOWER_UP" in flags(t.network, t.ns, k) else "disabled"
    text = f"{k.index}: {shown_name(t.network, t.ns, k)}: <{','.join(flags(t.network, t.ns, k))}> mtu {k.mtu} master {k.master} state {state} priority 32 cost {port_cost(t.ns, k)} "
    if o.details:
        p = k.port
        text += ("\\" if o.oneline else "\n") + (
            f"    hairpin {_on(p.hairpin)} guard off root_block off fastleave off learning {_on(p.learning)} flood {_on(p.flood)} mcast_flood on "
            f"bcast_flood on mcast_router 1 mcast_to_unicast off neigh_suppress off vlan_tunnel off isolated {_on(p.isolated)} locked off "
        )
    return text + "\n"


def _link_set(t: Terminal, words: Words) -> str:
    dev = ""
    changes: dict[str, Any] = {}
    while words:
        word = words.take()
        if word == "dev":
            dev = words.take()
        elif word in _SWITCHES:
            value = words.take()
            if value not in ("on", "off"):
                raise ToolError(f'Error: argument of "{word}" must be one of "off", "on", not "{value}"', 234)
            if word not in _KNOWN:
                raise NotModelled(f"bridge link set ... {word}")
            changes[word] = value == "on"
        elif word in ("cost", "priority", "state", "mcast_router", "hwmode", "backup_port", "nobackup_port"):
            raise NotModelled(f"bridge link set ... {word}")
        elif word in ("self", "master"):
            pass
        else:
            raise ToolError(_LINK_USAGE, 255)
    if not dev:
        raise ToolError("Device is a required argument.", 255)
    if dev not in t.ns.links:
        raise ToolError(f'Cannot find bridge device "{dev}"', 255)
    link = t.ns.links[dev]
    if not link.master:
        raise ToolError("RTNETLINK answers: Operation not supported", 255)
    if changes:
        t.ns.set_link(dev, port=replace(link.port, **changes))
        t.changed = True
    return ""
