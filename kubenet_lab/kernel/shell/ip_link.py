"""`ip link`. Source: iproute2 6.1 ip/iplink.c, ip/ipaddress.c, ip/iplink_{bridge,vxlan,bridge_slave}.c; output and errors are measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import CommandError, NotModelled
from ..links import RAW, BridgeOptions, BridgePort, Link, VxlanOptions
from ..namespace import Namespace
from ..stacked import children, move
from ..vxlan import largest_mtu
from . import as_json, ip_macvlan
from .devices import by_index, flags, netnsid, operstate, peer_of, qdisc, shown_name
from .ip_link_details import details
from .ip_link_netns import move_to, namespace_named
from .terminal import Terminal, ToolError
from .words import Words, address, begins, garbage, integer, invalid, mac_address

if TYPE_CHECKING:
    from .ip import Options

__all__ = ["find_device", "head", "link_lines", "run", "selected"]

_KINDS = ("bridge", "veth", "vxlan", "macvlan")
_BRIDGE_SLAVE = {"hairpin": "hairpin", "isolated": "isolated", "learning": "learning", "flood": "flood"}


def run(t: Terminal, words: Words, o: Options) -> str:
    command = words.command(
        ("add", "set", "change", "replace", "delete", "show", "lst", "list", "xstats", "afstats", "property", "help"), "show", "ip link"
    )
    match command:
        case "add" | "replace":
            return _add(t, words)
        case "set" | "change":
            return _set(t, words)
        case "delete":
            return _delete(t, words)
        case "show" | "lst" | "list":
            return _show(t, words, o)
    raise NotModelled(f"ip link {command}")


def find_device(t: Terminal, name: str, status: int = 1) -> Link:
    if name not in t.ns.links:
        raise ToolError(f'Cannot find device "{name}"', status)
    return t.ns.links[name]


# ----------------------------------------------------------------------------------------------------------- printing
def selected(t: Terminal, words: Words) -> list[Link]:
    """The links that a `show` asks for: dev, up, master, type."""
    chosen = by_index(t.ns)
    while words:
        word = words.take()
        if word == "up":
            chosen = [k for k in chosen if k.up]
        elif begins(word, "master"):
            name = words.take()
            if name not in t.ns.links:
                invalid(name, "Device does not exist\n")
            chosen = [k for k in chosen if k.master == name]
        elif begins(word, "type"):
            kind = words.take()
            chosen = [k for k in chosen if k.kind == kind or (kind == "bridge_slave" and k.master)]
        elif begins(word, "group"):
            chosen = chosen if words.take() in ("default", "0") else []
        elif word in ("vrf", "nomaster", "novf"):
            raise NotModelled(f"ip link show {word}")
        else:
            name = words.take() if word == "dev" else word
            if words.peek() and words.peek() in ("dev",):
                garbage("dev", words.peek())
            if name not in t.ns.links:
                raise ToolError(f'Device "{name}" does not exist.', 1)
            chosen = [k for k in chosen if k.name == name]
    return chosen


def head(t: Terminal, link: Link, *, mode: bool, short: bool = False) -> str:
    """The first line: `3: eth0@if7: <BROADCAST,...> mtu 1500 ...`. `short` as with -6, which asks for less."""
    net, ns = t.network, t.ns
    text = f"{link.index}: {shown_name(net, ns, link)}: <{','.join(flags(net, ns, link))}> mtu {link.mtu} "
    if not short:
        text += f"qdisc {qdisc(link)} "
        if link.master:
            text += f"master {link.master} "
    text += f"state {operstate(net, ns, link)} "
    if mode:
        text += "mode DEFAULT "
    if not short:
        text += "group default "
    return text + ("qlen 500" if link.kind == "tun" else "qlen 1000")


def second(t: Terminal, link: Link) -> str:
    if link.kind in RAW:
        return "    link/none "
    kind = "loopback" if link.kind == "loopback" else "ether"
    everyone = "00:00:00:00:00:00" if kind == "loopback" else "ff:ff:ff:ff:ff:ff"
    nsid = netnsid(t.network, t.ns, link)
    return f"    link/{kind} {link.mac} brd {everyone}" + (f" link-netnsid {nsid}" if nsid is not None else "")


def link_lines(t: Terminal, link: Link, o: Options, *, mode: bool) -> list[str]:
    out = [head(t, link, mode=mode), second(t, link)]
    if o.details:
        out = [out[0], *details(t.ns, link, out[1])]
    if o.statistics:
        out += _statistics(t, link)
    return out


def _statistics(t: Terminal, link: Link) -> list[str]:
    raise NotModelled("ip -s: interface counters (iptables and conntrack count packets in the lab)")


def _show(t: Terminal, words: Words, o: Options) -> str:
    chosen = selected(t, words)
    if o.json:
        return as_json.dumps([as_json.link(t, k, o.details) for k in chosen], o.pretty)
    out = []
    for k in chosen:
        if o.brief:
            shown = ",".join(flags(t.network, t.ns, k))
            out.append(f"{shown_name(t.network, t.ns, k):<16} {operstate(t.network, t.ns, k):<14} {k.mac} <{shown}> ")
        else:
            out.append(("\\" if o.oneline else "\n").join(link_lines(t, k, o, mode=True)))
    return "".join(f"{line}\n" for line in out)


# ----------------------------------------------------------------------------------------------------------- changing
def _mtu(text: str) -> int:
    if not text.isdigit():
        invalid(text, 'Invalid "mtu" value\n')
    return int(text)


def _check_mtu(kind: str, mtu: int) -> None:
    if kind != "loopback" and mtu < 68:
        raise ToolError("Error: mtu less than device minimum.", 2)
    if kind != "loopback" and mtu > 65535:
        raise ToolError("Error: mtu greater than device maximum.", 2)


def _add(t: Terminal, words: Words) -> str:
    name = kind = mac = parent = ""
    mtu = 0
    master = ""
    up = False
    target = t.ns
    while words:
        word = words.take()
        if begins(word, "link"):
            parent = words.take()
        elif begins(word, "name") or begins(word, "dev"):
            name = words.take()
        elif begins(word, "mtu"):
            mtu = _mtu(words.take())
        elif begins(word, "address"):
            text = words.take()
            mac = _lladdr(text)
        elif begins(word, "up"):
            up = True
        elif begins(word, "type"):
            kind = words.take()
            break
        elif word == "master":
            master = words.take()
        elif word == "netns":
            target = namespace_named(t, words.take())
        elif word in ("index", "txqueuelen", "txqlen", "numtxqueues", "numrxqueues", "group", "alias"):
            raise NotModelled(f"ip link add ... {word}")
        elif not name:
            name = word
        else:
            garbage("dev", word)
    if not kind:
        raise ToolError('Not enough information: "type" argument is required', 1)
    if kind not in _KINDS:
        if kind in ("dummy", "vlan", "ipvlan", "bond", "ipip", "gre", "geneve", "wireguard", "vrf", "tun", "ifb", "macvtap"):
            raise NotModelled(f"links of type {kind}; kubenet-lab knows {', '.join(_KINDS)}")
        raise ToolError("Error: Unknown device type.", 2)
    if kind != "macvlan" and (parent or target is not t.ns):
        raise NotModelled(f"ip link add {'link' if parent else 'netns'} ... type {kind}")
    options: dict[str, Any] = {}
    if kind == "macvlan":
        name = name or _free(target, "macvlan")
        if mtu:
            _check_mtu(kind, mtu)
        with netlink():
            ip_macvlan.add(t, words, _checked_name(name), parent, target, mac=mac, mtu=mtu)
    elif kind == "veth":
        _add_veth(t, words, name, mac, mtu)
        name = name or _free(t.ns, "veth")
    else:
        options = _kind_options(t, words, kind)
        if options.get("vxlan") is None and kind == "vxlan":
            raise ToolError("Error: Required attributes not provided to perform the operation.", 2)
        name = name or _free(t.ns, kind if kind != "bridge" else "br")
        _new_name(t.ns, name)
        default = 1500
        if kind == "vxlan":
            under = t.ns.links.get(options["vxlan"].dev)
            default = largest_mtu(under.mtu, options["vxlan"].family) if under else 1500
            mtu = min(mtu, default) if under and mtu else mtu
        if mtu:
            _check_mtu(kind, mtu)
        t.ns.add_link(name, kind, mac=mac, mtu=mtu or default, up=False, **{k: v for k, v in options.items() if k in ("vxlan", "bridge")})  # type: ignore[arg-type]
        remote = options.get("remote")
        if remote:
            t.ns.add_fdb("00:00:00:00:00:00", name, dst=remote)
    t.changed = True
    if master:
        _enslave(t, name, master)
    if up:
        _raise(t if target is t.ns else replace(t, ns=target), name)
    return str(options.get("warning", ""))


def _free(ns: Namespace, stem: str) -> str:
    i = 0
    while f"{stem}{i}" in ns.links:
        i += 1
    return f"{stem}{i}"


@contextmanager
def netlink() -> Iterator[None]:
    """What the kernel refuses makes the tool end with status 2."""
    try:
        yield
    except ToolError:
        raise
    except CommandError as e:
        raise ToolError(str(e), 2) from None


def _checked_name(name: str) -> str:
    if len(name.encode()) > 15:
        raise ToolError("Error: Attribute failed policy validation.", 2)
    if not name or "/" in name or any(c.isspace() for c in name) or name in (".", ".."):
        raise ToolError(f'Error: argument "{name}" is wrong: "name" not a valid ifname', 255)
    return name


def _new_name(ns: Namespace, name: str) -> None:
    if _checked_name(name) in ns.links:
        raise ToolError("RTNETLINK answers: File exists", 2)


def _lladdr(text: str) -> str:
    mac = mac_address(text)
    if mac is None:
        raise ToolError(f'"{text}" is invalid lladdr.', 1)
    return mac


def _add_veth(t: Terminal, words: Words, name: str, mac: str, mtu: int) -> None:
    ns = t.ns
    other, other_mac, other_mtu = "", "", 0
    if words:
        word = words.take()
        if word != "peer":
            raise ToolError("Usage: ip link <options> type veth [peer <options>]\nTo get <options> type 'ip link add help'", 1)
        while words:
            word = words.take()
            if begins(word, "name") or word == "dev":
                other = words.take()
            elif begins(word, "address"):
                other_mac = _lladdr(words.take())
            elif begins(word, "mtu"):
                other_mtu = _mtu(words.take())
            elif word == "netns":
                raise NotModelled("moving a link to another namespace")
            elif not other:
                other = word
            else:
                garbage("name", word)
    name = name or _free(ns, "veth")
    other = other or next(n for i in range(1000) if (n := f"veth{i}") not in ns.links and n != name)
    _new_name(ns, other)
    _new_name(ns, name)
    if name == other:
        raise ToolError("RTNETLINK answers: File exists", 2)
    for size in (mtu, other_mtu):
        if size:
            _check_mtu("veth", size)
    # the kernel makes the peer first
    ns.add_link(other, "veth", mac=other_mac, mtu=other_mtu or 1500, up=False, peer=(ns.id, name))
    ns.add_link(name, "veth", mac=mac, mtu=mtu or 1500, up=False, peer=(ns.id, other))


def _kind_options(t: Terminal, words: Words, kind: str) -> dict[str, Any]:
    if kind == "bridge":
        ageing, filters = 300.0, False
        while words:
            word = words.take()
            if begins(word, "ageing_time"):
                text = words.take()
                ageing = integer(text, "ageing_time") / 100
            elif begins(word, "vlan_filtering"):
                filters = bool(integer(words.take(), "invalid vlan_filtering"))
            elif begins(word, "forward_delay") or begins(word, "stp_state") or begins(word, "mcast_snooping"):
                if integer(words.take(), word) and word == "stp_state":
                    raise NotModelled("a bridge with stp_state 1")
            else:
                raise ToolError(f'bridge: unknown command "{word}"?', 255)
        return {"bridge": BridgeOptions(ageing, vlan_filtering=filters)}
    vni: int | None = None
    local = dev = remote = ""
    df = "unset"
    port, learning = 0, True
    given = False
    while words:
        word = words.take()
        if begins(word, "id") or begins(word, "vni"):
            text = words.take()
            vni = integer(text, "invalid id")
            if vni >= 1 << 24:
                invalid(text, "invalid id")
        elif begins(word, "local"):
            local = address(words.take())
        elif begins(word, "remote"):
            remote = address(words.take())
        elif begins(word, "dev"):
            dev = words.take()
            find_device(t, dev, 255)
        elif begins(word, "dstport"):
            text = words.take()
            port, given = integer(text, "dst port"), True
        elif begins(word, "nolearning"):
            learning = False
        elif begins(word, "learning"):
            learning = True
        elif word == "df":
            df = words.take()
            if df not in ("unset", "set", "inherit"):
                invalid(df, "DF must be 'unset', 'set' or 'inherit'")
        elif begins(word, "ttl") or begins(word, "ageing") or begins(word, "tos"):
            words.take()
        elif word in ("udpcsum", "noudpcsum", "noproxy", "norsc", "nol2miss", "nol3miss"):
            pass
        elif begins(word, "group") or word in ("proxy", "rsc", "l2miss", "l3miss", "external", "gbp", "gpe"):
            raise NotModelled(f"vxlan {word}")
        else:
            raise ToolError(f'vxlan: unknown command "{word}"?', 255)
    if vni is None:
        return {}
    if given and port == 0:
        port = 8472
    warning = "" if given else (
        "vxlan: destination port not specified\nWill use Linux kernel default (non-standard value)\n"
        "Use 'dstport 4789' to get the IANA assigned value\nUse 'dstport 0' to get default and quiet this message\n"
    )  # fmt: skip
    return {"vxlan": VxlanOptions(vni, local, dev, port or 8472, learning, df), "remote": remote, "warning": warning}


def _delete(t: Terminal, words: Words) -> str:
    name = ""
    while words:
        word = words.take()
        if word == "dev":
            name = words.take()
        elif begins(word, "type"):
            words.take()
        elif name:
            garbage("dev", word)
        else:
            name = word
    if not name:
        raise ToolError('Not enough information: "dev" argument is required.', 255)
    link = find_device(t, name)
    if link.kind in ("loopback", "physical"):
        raise ToolError("RTNETLINK answers: Operation not supported", 2)
    peer = link.peer if peer_of(t.network, link) is not None else None
    _remove(t, t.ns, name)
    if peer is not None:
        _remove(t, t.network.namespaces[peer[0]], peer[1])
    t.changed = True
    return ""


def _remove(t: Terminal, ns: Namespace, name: str) -> None:
    """A device goes, and the VXLAN and macvlan devices that stand on it."""
    _forget(t, ns, name)
    for upper, child in children(ns, name):
        _forget(t, upper, child.name)
    ns.remove_link(name)
    for k in [k.name for k in ns.links.values() if k.vxlan is not None and k.vxlan.dev == name]:
        _remove(t, ns, k)


def _forget(t: Terminal, ns: Namespace, dev: str) -> None:
    """What was learned by way of a device is forgotten with it."""
    if any(k[0] == dev for k in t.state.read("neigh", ns.id)):
        table = t.state.write("neigh", ns.id)
        for key in [k for k in table if k[0] == dev]:
            del table[key]
    for name in ("fdb", "fdb-vlan"):
        if any(k[0] == dev or v[0] == dev for k, v in t.state.read(name, ns.id).items()):
            fdb = t.state.write(name, ns.id)
            for key in [k for k, v in fdb.items() if k[0] == dev or v[0] == dev]:
                del fdb[key]


def _lower(t: Terminal, name: str) -> None:
    ns = t.ns
    was = ns.links[name]
    if not was.up:
        return
    ns.set_link(name, up=False, opened=True)
    # the kernel forgets all neighbours of a device that goes down, and its IPv6 addresses
    _forget_neighbours(t, name)
    if any(a.family == 6 for a in was.addresses):
        ns.set_link(name, addresses=tuple(a for a in was.addresses if a.family == 4))
    _forget(t, ns, name)
    t.changed = True


def _forget_neighbours(t: Terminal, name: str) -> None:
    """A device that changes its address, or whether it does ARP, forgets all neighbours, permanent ones too (neigh_changeaddr)."""
    for _, ip in [k for k in t.ns.neighbours if k[0] == name]:
        t.ns.remove_neighbour(ip, name)
    for key in [k for k in t.state.read("neigh", t.ns.id) if k[0] == name]:
        del t.state.write("neigh", t.ns.id)[key]


def _raise(t: Terminal, name: str) -> None:
    link = t.ns.links[name]
    if link.up:
        return
    with netlink():
        t.ns.set_link(name, up=True)
    if link.kind == "loopback" and not any(a.ip == "::1" for a in link.addresses):
        t.ns.add_address(name, "::1/128", scope="host")
    t.changed = True


def _enslave(t: Terminal, name: str, master: str) -> None:
    ns = t.ns
    link, bridge = ns.links[name], ns.links[master]
    if link.master == master:
        return
    if bridge.kind != "bridge":
        raise ToolError("RTNETLINK answers: Operation not supported", 2)
    if link.kind == "bridge":
        raise ToolError("Error: Can not enslave a bridge to a bridge.", 2)
    if link.kind == "loopback":
        raise ToolError("RTNETLINK answers: Invalid argument", 2)
    with netlink():
        ns.set_link(name, master=master, port=BridgePort())
    _forget(t, ns, name)
    t.changed = True


def _set(t: Terminal, words: Words) -> str:
    name = ""
    steps: list[tuple[str, Any]] = []
    while words:
        word = words.take()
        if word == "up" or word == "down":
            steps.append((word, None))
        elif begins(word, "name"):
            steps.append(("name", words.take()))
        elif begins(word, "address"):
            steps.append(("mac", _lladdr(words.take())))
        elif begins(word, "mtu"):
            steps.append(("mtu", _mtu(words.take())))
        elif word == "arp" or word == "promisc":
            value = words.take()
            if value not in ("on", "off"):
                raise ToolError(f'Error: argument of "{word}" must be "on" or "off", not "{value}"', 1)
            steps.append((word, value == "on"))
        elif word == "master":
            value = words.take()
            if value not in t.ns.links:
                invalid(value, "Device does not exist\n")
            steps.append(("master", value))
        elif word == "nomaster":
            steps.append(("master", ""))
        elif word == "type":
            kind = words.take()
            if kind == "macvlan":
                steps.append(("macvlan", ip_macvlan.options(words)))
                continue
            if kind != "bridge_slave":
                raise NotModelled(f"ip link set ... type {kind}; kubenet-lab knows type bridge_slave and macvlan")
            steps.append(("port", _slave_options(words)))
        elif word == "netns":
            steps.insert(0, ("netns", namespace_named(t, words.take())))
        elif word in ("addrgenmode", "txqueuelen", "txqlen", "qlen", "group", "alias", "multicast", "allmulticast", "vf", "xdp", "state", "mode",
                      "protodown", "carrier", "trailers", "dynamic", "gso_max_size", "vrf"):  # fmt: skip
            raise NotModelled(f"ip link set ... {word}")
        else:
            if word == "dev":
                word = words.take()
            if name:
                garbage("dev", word)
            name = word
    if not name:
        raise ToolError('Not enough information: "dev" argument is required.', 255)
    link = find_device(t, name)
    for what, value in steps:
        if what == "mtu":
            _check_mtu(link.kind, value)
            under = t.ns.links.get(link.vxlan.dev) if link.vxlan is not None else None
            if under is not None and link.vxlan is not None and value > largest_mtu(under.mtu, link.vxlan.family):
                raise ToolError("RTNETLINK answers: Invalid argument", 2)
            if value < 1280 and any(a.family == 6 for a in link.addresses):
                raise NotModelled("an MTU below 1280, which takes IPv6 from a device")
        if what == "name" and value != name and steps[0][0] != "netns":
            _new_name(t.ns, value)
        if (what == "port" and not link.master) or (what == "macvlan" and link.macvlan is None):
            raise ToolError("RTNETLINK answers: Operation not supported", 2)
    for what, value in steps:
        match what:
            case "up":
                _raise(t, name)
            case "down":
                _lower(t, name)
            case "master":
                if value:
                    _enslave(t, name, value)
                elif t.ns.links[name].master:
                    _forget(t, t.ns, name)
                    t.ns.set_link(name, master="", port=BridgePort())
                    t.changed = True
            case "port":
                t.ns.set_link(name, port=replace(t.ns.links[name].port, **value))
                t.changed = True
            case "macvlan":
                with netlink():
                    t.ns.set_link(name, macvlan=replace(t.ns.links[name].macvlan, **value))  # type: ignore[type-var]
                t.changed = True
            case "netns":
                _forget(t, t.ns, name)
                move_to(t, name, value)
                t.ns = value
            case "name":
                if value != name:
                    _new_name(t.ns, value)
                name = _rename(t, name, value)
            case _:
                forgets = what in ("mac", "arp") and getattr(t.ns.links[name], what) != value
                with netlink():
                    t.ns.set_link(name, **{what: value})
                if forgets:
                    _forget_neighbours(t, name)
                t.changed = True
    return ""


def _slave_options(words: Words) -> dict[str, bool]:
    out = {}
    while words:
        word = words.take()
        if word not in _BRIDGE_SLAVE:
            raise ToolError(f'bridge_slave: unknown option "{word}"?', 255)
        value = words.take()
        if value not in ("on", "off"):
            raise ToolError(f'Error: argument of "{word}" must be one of "off", "on", not "{value}"', 234)
        out[_BRIDGE_SLAVE[word]] = value == "on"
    return out


def _rename(t: Terminal, old: str, new: str) -> str:
    """A new name for a link, everywhere in its namespace (and at the other end of the pair)."""
    if new == old:
        return old
    ns = t.ns
    if ns.links[old].kind == "physical":
        raise NotModelled("renaming a NIC")
    links = dict(ns.links)
    ns.links.clear()
    for name, link in links.items():
        vxlan = replace(link.vxlan, dev=new) if link.vxlan is not None and link.vxlan.dev == old else link.vxlan
        link = replace(link, name=new if name == old else name, master=new if link.master == old else link.master, vxlan=vxlan)
        ns.links[link.name] = link
    ns.routes = [replace(r, dev=new) if r.dev == old else r for r in ns.routes]
    ns.neighbours = {(new if d == old else d, ip): replace(n, dev=new) if d == old else n for (d, ip), n in ns.neighbours.items()}
    ns.proxies = {(new if d == old else d, ip): v for (d, ip), v in ns.proxies.items()}
    for own in (f"net.{fam}.{part}." for fam in ("ipv4", "ipv6") for part in ("conf", "neigh")):
        ns.sysctls = {k.replace(f"{own}{old}.", f"{own}{new}.", 1): v for k, v in ns.sysctls.items()}
    ns.fdb = [replace(e, dev=new if e.dev == old else e.dev, master=new if e.master == old else e.master) for e in ns.fdb]
    link = ns.links[new]
    if link.peer is not None and peer_of(t.network, link) is not None:
        t.network.namespaces[link.peer[0]].set_link(link.peer[1], peer=(ns.id, new))
    move(ns, replace(link, name=old), ns, link)
    _forget(t, ns, old)
    ns.set_link(new)
    t.changed = True
    return new
