"""`ip neigh`. Source: iproute2 6.1 ip/ipneigh.c, Linux net/core/neighbour.c; measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import NotModelled
from ..address import number, prefix
from ..namespace import Neighbour
from ..neighbours import learned_neighbours
from . import as_json
from .ip_link import find_device
from .terminal import Terminal, ToolError
from .words import Words, address, begins, garbage, invalid, mac_address, prefix_text

if TYPE_CHECKING:
    from .ip import Options

__all__ = ["run", "table"]

_STATES = ("permanent", "reachable", "noarp", "none", "stale", "incomplete", "delay", "probe", "failed")


def run(t: Terminal, words: Words, o: Options) -> str:
    command = words.command(
        ("add", "change", "chg", "replace", "delete", "get", "show", "lst", "list", "flush", "help"), "show", "ip neigh"
    )
    match command:
        case "add" | "change" | "chg" | "replace":
            return _change(t, words, o, command)
        case "delete":
            return _delete(t, words, o)
        case "get":
            return _get(t, words, o)
        case "show" | "lst" | "list":
            return _show(t, words, o)
        case "flush":
            return _flush(t, words, o)
    raise NotModelled(f"ip neigh {command}")


def table(t: Terminal) -> list[Neighbour]:
    """What was programmed and what traffic has found out, by device and address (the kernel's own order is that of a keyed hash)."""
    found = {k: v for k, v in learned_neighbours(t.walk(), t.ns.id).items() if k[0] in t.ns.links}
    found |= t.ns.neighbours
    return sorted(found.values(), key=lambda n: (":" in n.ip, t.ns.links[n.dev].index, number(n.ip)))


def _line(n: Neighbour, dev: bool) -> str:
    return f"{n.ip} " + (f"dev {n.dev} " if dev else "") + (f"lladdr {n.mac} " if n.mac else "") + f"{n.state} "


def _select(t: Terminal, words: Words, o: Options, proxies: list[bool] | None = None) -> tuple[list[Neighbour], bool]:
    """(entries that are meant, was a device named). `proxies` is filled where those to answer for are meant instead."""
    dev, within, states, named = "", "", set(_STATES) - {"noarp", "none"}, False
    fam = o.family
    while words:
        word = words.take()
        if word == "dev":
            dev = words.take()
            find_device(t, dev)
        elif word == "nud":
            name = words.take()
            if name == "all":
                states = set(_STATES)
            elif name in _STATES:
                states = {name} if not named else states | {name}
                named = True
            else:
                invalid(name, "nud state is bad")
        elif word == "proxy" and proxies is not None:
            proxies.append(True)
        elif word in ("unused", "vrf", "nomaster", "master", "proxy", "protocol"):
            raise NotModelled(f"ip neigh ... {word}")
        else:
            if word == "to":
                word = words.take()
            within = prefix_text(word, fam)
    if proxies:
        newest_first = list(reversed(t.ns.proxies))
        listed = sorted(newest_first, key=lambda k: (":" in k[1], _bucket(k[1])))
        return [
            Neighbour(ip, d, "") for d, ip in listed
            if dev in ("", d) and (not within or ip in prefix(within)) and (not fam or (":" in ip) == (fam == 6))
        ], bool(dev)  # fmt: skip
    found = [
        n for n in table(t)
        if dev in ("", n.dev) and n.state.lower() in states and (not within or n.ip in prefix(within)) and (not fam or (":" in n.ip) == (fam == 6))
    ]  # fmt: skip
    return found, bool(dev)


def _bucket(ip: str) -> int:
    """Where the kernel keeps an address to answer for (pneigh_hash); within a bucket the last one comes first."""
    value = int.from_bytes((number(ip) & 0xFFFFFFFF).to_bytes(4, "big"), "little")
    for shift in (16, 8, 4):
        value ^= value >> shift
    return value & 0xF


def _show(t: Terminal, words: Words, o: Options) -> str:
    if o.statistics:
        raise NotModelled("ip -s neigh: reference and use counters")
    proxies: list[bool] = []
    found, dev = _select(t, words, o, proxies)
    if proxies and o.json:
        return as_json.dumps([{"dst": n.ip, **({} if dev or not n.dev else {"dev": n.dev}), "proxy": None} for n in found], o.pretty)
    if proxies:
        return "".join(f"{n.ip} " + ("" if dev or not n.dev else f"dev {n.dev} ") + "proxy \n" for n in found)
    if o.json:
        data: list[dict[str, Any]] = [
            {"dst": n.ip, **({} if dev else {"dev": n.dev}), **({"lladdr": n.mac} if n.mac else {}), "state": [n.state]} for n in found
        ]  # fmt: skip
        return as_json.dumps(data, o.pretty)
    return "".join(f"{_line(n, not dev)}\n" for n in found)


def _parse(t: Terminal, words: Words, o: Options) -> tuple[str, str, str | None, str]:
    """(address, device, MAC if given, state); "PROXY" is the state of an address to answer for."""
    ip, dev, mac, state = "", "", None, "PERMANENT"
    while words:
        word = words.take()
        if begins(word, "lladdr"):
            mac = words.take()
        elif word == "nud":
            name = words.take()
            if name not in _STATES:
                invalid(name, "nud state is bad")
            state = name.upper()
        elif begins(word, "proxy"):
            ip, state = address(words.take(), o.family), "PROXY"
        elif word in ("router", "managed", "extern_learn", "use", "protocol"):
            raise NotModelled(f"ip neigh ... {word}")
        elif word == "dev":
            dev = words.take()
        else:
            if word == "to":
                word = words.take()
            if ip:
                garbage("to", word)
            ip = address(word, o.family)
    if not ip or not (dev or state == "PROXY"):
        raise ToolError("Device and destination are required arguments.", 255)
    if mac is not None:
        found = mac_address(mac)
        if found is None:
            raise ToolError(f'"{mac}" is invalid lladdr.', 1)
        mac = found
    if dev or state != "PROXY":
        find_device(t, dev)
    return ip, dev, mac, state


def _learned(t: Terminal, dev: str, ip: str) -> bool:
    return (dev, ip) in t.state.read("neigh", t.ns.id)


def _forget(t: Terminal, dev: str, ip: str) -> None:
    if _learned(t, dev, ip):
        del t.state.write("neigh", t.ns.id)[dev, ip]


def _change(t: Terminal, words: Words, o: Options, command: str) -> str:
    ip, dev, mac, state = _parse(t, words, o)
    if state == "PROXY":
        t.ns.add_proxy(ip, dev)
        t.changed = True
        return ""
    exists = (dev, ip) in t.ns.neighbours or _learned(t, dev, ip)
    if exists and command == "add":
        raise ToolError("RTNETLINK answers: File exists", 2)
    if not exists and command in ("change", "chg"):
        raise ToolError("RTNETLINK answers: No such file or directory", 2)
    if mac is None and state in ("PERMANENT", "REACHABLE", "STALE") and not exists:
        raise ToolError("Error: No link layer address given.", 2)
    if state in ("DELAY", "PROBE", "INCOMPLETE", "NONE"):
        raise NotModelled(f"ip neigh ... nud {state.lower()}")
    if mac is None:
        known = t.ns.neighbours.get((dev, ip))
        mac = known.mac if known is not None else t.state.read("neigh", t.ns.id).get((dev, ip), ("", 0))[0]
    _forget(t, dev, ip)
    t.ns.add_neighbour(ip, mac, dev, state=state)
    t.changed = True
    return ""


def _delete(t: Terminal, words: Words, o: Options) -> str:
    ip, dev, _, state = _parse(t, words, o)
    if state == "PROXY":
        if (dev, ip) not in t.ns.proxies:
            raise ToolError("RTNETLINK answers: No such file or directory", 2)
        t.ns.remove_proxy(ip, dev)
        t.changed = True
    elif (dev, ip) in t.ns.neighbours:
        t.ns.remove_neighbour(ip, dev)
        t.changed = True
        _forget(t, dev, ip)
    elif _learned(t, dev, ip):
        _forget(t, dev, ip)
    else:
        raise ToolError("RTNETLINK answers: No such file or directory", 2)
    return ""


def _get(t: Terminal, words: Words, o: Options) -> str:
    ip, dev, _, _ = _parse(t, words, o)
    for n in table(t):
        if (n.dev, n.ip) == (dev, ip):
            return _line(n, True) + "\n"
    raise ToolError("Error: Neighbour entry not found.", 2)


def _flush(t: Terminal, words: Words, o: Options) -> str:
    """PERMANENT and NOARP entries stay unless their state is named."""
    if not words:
        raise ToolError("Flush requires arguments.", 1)
    if words.peek() == "all":
        words.take()
    named = "nud" in words.rest
    found, _ = _select(t, words, o)
    gone = [n for n in found if named or n.state not in ("PERMANENT", "NOARP")]
    for n in gone:
        if (n.dev, n.ip) in t.ns.neighbours:
            t.ns.remove_neighbour(n.ip, n.dev)
            t.changed = True
        _forget(t, n.dev, n.ip)
    if o.statistics:
        many = "entry" if len(gone) == 1 else "entries"
        return (
            f"\n*** Round 1, deleting {len(gone)} {many} ***\n*** Flush is complete after 1 round ***\n" if gone else "Nothing to flush.\n"
        )
    return ""
