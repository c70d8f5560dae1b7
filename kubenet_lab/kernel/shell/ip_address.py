"""`ip address`. Source: iproute2 6.1 ip/ipaddress.c, Linux net/ipv4/devinet.c, net/ipv6/addrconf.c; output and errors are measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ...errors import NotModelled
from ..address import family, number, prefix
from ..links import Address, Link, is_secondary
from . import as_json
from .devices import operstate, shown_name
from .ip_link import find_device, head, link_lines, selected
from .terminal import Terminal, ToolError
from .words import Words, begins, garbage, invalid, prefix_text

if TYPE_CHECKING:
    from .ip import Options

__all__ = ["run", "shown"]

_FOREVER = "       valid_lft forever preferred_lft forever"
Scope = Literal["global", "link", "host"]


def run(t: Terminal, words: Words, o: Options) -> str:
    command = words.command(
        ("add", "change", "chg", "replace", "delete", "show", "lst", "list", "flush", "save", "restore", "help"), "show", "ip address"
    )
    match command:
        case "add" | "change" | "chg" | "replace":
            return _add(t, words, o, command)
        case "delete":
            return _delete(t, words, o)
        case "show" | "lst" | "list":
            return _show(t, words, o)
        case "flush":
            return _flush(t, words, o)
    raise NotModelled(f"ip address {command}")


# ----------------------------------------------------------------------------------------------------------- printing
def scope_of(a: Address) -> str:
    if a.family == 6:
        value = number(a.ip)
        return "host" if a.ip == "::1" else "link" if value >> 118 == 0x3FA else "global"
    return a.scope


def shown(link: Link, fam: int) -> list[Address]:
    """A link's addresses in the order in which the kernel lists them."""
    own = [a for a in link.addresses if a.family == 4]
    width = {"host": 0, "link": 1, "global": 2}
    # the narrowest scope first, secondary addresses last (devinet.c); a new IPv6 address goes in front of those of its scope (addrconf.c)
    four = sorted((a for a in own if not is_secondary(own, a)), key=lambda a: width[a.scope]) + [a for a in own if is_secondary(own, a)]
    six = sorted([a for a in link.addresses[::-1] if a.family == 6], key=lambda a: -width[scope_of(a)])
    return [*(four if fam != 6 else []), *(six if fam != 4 else [])]


def _line(link: Link, a: Address) -> str:
    if a.family == 6:
        flags = "" if a.prefixroute else "noprefixroute "
        return f"    inet6 {a} scope {scope_of(a)} {flags}"
    text = f"    inet {a} "
    if a.brd and a.broadcast and a.scope == "global":
        text += f"brd {a.broadcast} "
    text += f"scope {a.scope} "
    if is_secondary(link.addresses, a):
        text += "secondary "
    if not a.prefixroute:
        text += "noprefixroute "
    return text + link.name


def _info(link: Link, a: Address) -> dict[str, Any]:
    out: dict[str, Any] = {"family": "inet" if a.family == 4 else "inet6", "local": a.ip, "prefixlen": a.length}
    if a.family == 4 and a.brd and a.broadcast and a.scope == "global":
        out["broadcast"] = a.broadcast
    out["scope"] = scope_of(a)
    if a.family == 4 and is_secondary(link.addresses, a):
        out["secondary"] = True
    if not a.prefixroute:
        out["noprefixroute"] = True
    if a.family == 4:
        out["label"] = link.name
    return out | {"valid_life_time": 4294967295, "preferred_life_time": 4294967295}


def _show(t: Terminal, words: Words, o: Options) -> str:
    within, scope, permanent = "", "", False
    rest: list[str] = []
    while words:
        word = words.take()
        if begins(word, "to"):
            within = prefix_text(words.take(), o.family)
        elif begins(word, "scope"):
            scope = words.take()
            if scope not in ("global", "link", "host"):
                invalid(scope, 'invalid "scope"\n')
        elif word in ("primary", "secondary", "tentative", "deprecated", "dynamic", "label"):
            raise NotModelled(f"ip address show {word}")
        elif word == "permanent":
            permanent = True
        elif word in ("master", "type", "dev", "group", "vrf"):
            rest += [word, words.take()]
        else:
            rest.append(word)
    fam = o.family or (family(within) if within else 0)
    out: list[str] = []
    data: list[dict[str, Any]] = []
    for k in selected(t, Words(rest)):
        found = [
            a for a in shown(k, fam)
            if (not within or a.ip in prefix(within)) and (not scope or scope_of(a) == scope)
        ]  # fmt: skip
        filtered = bool(fam or scope or permanent)
        if filtered and not found and (fam or k.addresses):
            continue
        if o.json:
            data.append(as_json.link(t, k, o.details, mode=False) | {"addr_info": [_info(k, a) for a in found]})
        elif o.brief:
            out.append(f"{shown_name(t.network, t.ns, k):<16} {operstate(t.network, t.ns, k):<14} " + "".join(f"{a} " for a in found))
        elif o.oneline:
            out += [f"{k.index}: {k.name}{_line(k, a)}\\{_FOREVER}" for a in found]
        else:
            out += [head(t, k, mode=False, short=o.family == 6)] if fam else link_lines(t, k, o, mode=False)
            for a in found:
                out += [_line(k, a), _FOREVER]
    return as_json.dumps(data, o.pretty) if o.json else "".join(f"{line}\n" for line in out)


# ----------------------------------------------------------------------------------------------------------- changing
def _parse(t: Terminal, words: Words, o: Options) -> tuple[str, str, Scope | None, bool, bool, bool]:
    """(address, device, scope, broadcast, prefix route, was a length given)"""
    text = dev = ""
    scope: Scope | None = None
    broadcast, route, length = "", True, False
    while words:
        word = words.take()
        if word in ("peer", "remote", "anycast", "metric", "proto"):
            raise NotModelled(f"ip address ... {word}")
        if begins(word, "broadcast") or word == "brd":
            broadcast = words.take()
        elif begins(word, "scope"):
            value = words.take()
            if value not in ("global", "link", "host"):
                invalid(value, "invalid scope value.")
            scope = value  # type: ignore[assignment]
        elif word == "dev":
            dev = words.take()
        elif begins(word, "label") or word in ("valid_lft", "preferred_lft"):
            value = words.take()
            if word.endswith("_lft") and value != "forever":
                raise NotModelled("addresses that expire")
        elif word == "noprefixroute":
            route = False
        elif word in ("nodad", "home", "mngtmpaddr", "optimistic"):
            pass
        elif word == "autojoin":
            raise NotModelled("ip address add ... autojoin")
        else:
            if begins(word, "local"):
                word = words.take()
            if text:
                garbage("local", word)
            length = "/" in word
            text = prefix_text(word, o.family)
    if not dev:
        raise ToolError('Not enough information: "dev" argument is required.', 1)
    if broadcast not in ("", "+", "-") and text:
        own = Address(*_split(text))
        if broadcast != own.broadcast:
            raise NotModelled("a broadcast address that is not the network's last")
        broadcast = "+"
    return text, dev, scope, broadcast == "+", route, length


def _split(text: str) -> tuple[str, int]:
    ip, _, length = text.partition("/")
    return ip, int(length)


def _add(t: Terminal, words: Words, o: Options, command: str) -> str:
    text, dev, scope, broadcast, route, _ = _parse(t, words, o)
    link = find_device(t, dev)
    if not text:
        raise ToolError("RTNETLINK answers: Operation not supported", 2)
    ip, length = _split(text)
    six = ":" in ip
    exists = any(a.ip == ip and (six or a.length == length) for a in link.addresses)
    if exists and command == "add":
        raise ToolError("Error: ipv6: address already assigned." if six else "Error: ipv4: Address already assigned.", 2)
    if exists:
        return ""
    if scope is None:
        scope = "host" if ip.startswith("127.") or ip == "::1" else "global"
    t.ns.add_address(dev, text, scope=scope, prefixroute=route)
    addresses = t.ns.links[dev].addresses
    new = replace(addresses[-1], brd=broadcast)
    t.ns.set_link(dev, addresses=(*addresses[:-1], new))
    t.changed = True
    return ""


def _delete(t: Terminal, words: Words, o: Options) -> str:
    text, dev, _, _, _, length = _parse(t, words, o)
    link = find_device(t, dev)
    if not text:
        raise ToolError("RTNETLINK answers: Operation not supported", 2)
    ip, bits = _split(text)
    found = next((a for a in link.addresses if a.ip == ip and (a.length == bits or (not length and a.family == 4))), None)
    if found is None:
        raise ToolError("Error: ipv6: address not found." if ":" in ip else "Error: ipv4: Address not found.", 2)
    warning = ""
    if not length and found.family == 4 and found.length != 32:
        warning = (
            "Warning: Executing wildcard deletion to stay compatible with old scripts.\n"
            f"         Explicitly specify the prefix length ({ip}/32) to avoid this warning.\n"
            "         This special behaviour is likely to disappear in further releases,\n         fix your scripts!\n"
        )
    _remove(t, dev, found)
    t.changed = True
    return warning


def _remove(t: Terminal, dev: str, a: Address) -> None:
    """Without its primary a network's secondary addresses go too (promote_secondaries is 0)."""
    link = t.ns.links[dev]
    gone = [a]
    if a.family == 4 and not is_secondary(link.addresses, a):
        gone += [
            b
            for b in link.addresses
            if b is not a and b.family == 4 and b.length == a.length and b.network == a.network and b.scope == a.scope
        ]
    for b in gone:
        t.ns.remove_address(dev, str(b))
    if not any(b.family == 4 for b in t.ns.links[dev].addresses) and a.family == 4:
        table = t.state.read("neigh", t.ns.id)
        for key in [k for k in table if k[0] == dev and ":" not in k[1]]:
            del t.state.write("neigh", t.ns.id)[key]


def _flush(t: Terminal, words: Words, o: Options) -> str:
    dev, scope, within = "", "", ""
    if not words:
        raise ToolError("Flush requires arguments.", 1)
    while words:
        word = words.take()
        if word == "dev":
            dev = words.take()
        elif begins(word, "scope"):
            scope = words.take()
        elif begins(word, "to"):
            within = prefix_text(words.take(), o.family)
        elif word in ("up", "label", "primary", "secondary", "permanent", "dynamic"):
            raise NotModelled(f"ip address flush {word}")
        else:
            dev = word
    if dev and dev not in t.ns.links:
        raise ToolError(f'Device "{dev}" does not exist.', 1)
    for name in [dev] if dev else list(t.ns.links):
        for a in list(t.ns.links[name].addresses):
            fits = o.family in (0, a.family) and (not scope or scope_of(a) == scope) and (not within or a.ip in prefix(within))
            if fits and a in t.ns.links[name].addresses:
                _remove(t, name, a)
                t.changed = True
    return ""
