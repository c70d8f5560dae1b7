"""`ip rule`. Source: iproute2 6.1 ip/iprule.c, Linux net/core/fib_rules.c; measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import NotModelled
from ..address import prefix
from ..routing import RoutingRule
from . import as_json
from .ip_route import table_name, table_number
from .terminal import Terminal, ToolError
from .words import Words, begins, integer, invalid, prefix_text

if TYPE_CHECKING:
    from .ip import Options

__all__ = ["run", "text_of"]


def run(t: Terminal, words: Words, o: Options) -> str:
    command = words.command(("list", "lst", "show", "save", "restore", "add", "delete", "flush", "help"), "list", "ip rule")
    fam = o.family or 4
    match command:
        case "list" | "lst" | "show":
            return _list(t, words, o, fam)
        case "add":
            rule = _parse(words, fam)
            if rule.priority < 0:
                rule = replace(rule, priority=_next_priority(t, fam))
            if any(_same(rule, r) for r in t.ns.rules):
                raise ToolError("RTNETLINK answers: File exists", 2)
            t.ns.add_rule(rule)
            t.changed = True
            return ""
        case "delete":
            wanted = _parse(words, fam, deleting=True)
            for r in sorted((r for r in t.ns.rules if r.family == wanted.family), key=lambda r: r.priority):
                if _fits(wanted, r):
                    t.ns.remove_rule(r)
                    t.changed = True
                    return ""
            raise ToolError("RTNETLINK answers: No such file or directory", 2)
        case "flush":
            for r in [r for r in t.ns.rules if r.family == fam and r.priority]:
                t.ns.remove_rule(r)
                t.changed = True
            return ""
    raise NotModelled(f"ip rule {command}")


def _same(a: RoutingRule, b: RoutingRule) -> bool:
    return a == b


def _next_priority(t: Terminal, fam: int) -> int:
    """One less than the first rule after `local` (fib_default_rule_pref)."""
    known = sorted(r.priority for r in t.ns.rules if r.family == fam)
    return max(0, known[1] - 1) if len(known) > 1 and known[1] else 0


def _fits(wanted: RoutingRule, r: RoutingRule) -> bool:
    """`ip rule del` names what it wants; the rest may be anything."""
    return (
        wanted.priority in (-1, r.priority)
        and wanted.table in (0, r.table)
        and wanted.src in ("", r.src)
        and wanted.dst in ("", r.dst)
        and (not wanted.fwmask or (wanted.fwmark, wanted.fwmask) == (r.fwmark, r.fwmask))
        and wanted.iif in ("", r.iif)
        and wanted.oif in ("", r.oif)
        and (wanted.action == r.action or (wanted.action == "lookup" and not wanted.table))
        and wanted.invert == r.invert
    )


def _parse(words: Words, fam: int, deleting: bool = False) -> RoutingRule:
    given: dict[str, Any] = {}
    action, table, priority, invert = "lookup", 0, -1, False
    if not words:
        raise ToolError('"ip rule add" requires arguments.' if not deleting else '"ip rule del" requires arguments.', 1)
    while words:
        word = words.take()
        if word == "not":
            invert = True
        elif word == "from":
            given["src"] = _cidr(words.take(), fam)
        elif word == "to":
            given["dst"] = _cidr(words.take(), fam)
        elif begins(word, "preference") or begins(word, "order") or begins(word, "priority"):
            priority = integer(words.take(), "preference value is invalid\n")
        elif word == "fwmark":
            mark, _, mask = words.take().partition("/")
            given["fwmark"] = integer(mark, "fwmark value is invalid\n")
            given["fwmask"] = integer(mask, "fwmask value is invalid\n") if mask else 0xFFFFFFFF
        elif begins(word, "table") or begins(word, "lookup"):
            table = table_number(words.take(), "invalid table ID\n")
        elif word in ("dev", "iif"):
            given["iif"] = words.take()
        elif word == "oif":
            given["oif"] = words.take()
        elif word in ("tos", "dsfield", "realms", "suppress_prefixlength", "sup_pl", "suppress_ifgroup", "uidrange", "l3mdev", "ipproto", "sport", "dport",
                      "tun_id", "protocol", "nat", "map-to", "goto", "dscp"):  # fmt: skip
            raise NotModelled(f"ip rule ... {word}")
        else:
            if begins(word, "type"):
                word = words.take()
            if word in ("unreachable", "prohibit", "blackhole"):
                action = word
            elif word in ("unicast",):
                pass
            else:
                invalid(word, "Failed to parse rule type")
    for key, name in (("src", "source"), ("dst", "dst")):
        text = given.get(key, "")
        if text and prefix(text).family != fam:  # an IPv6 prefix without -6 goes into the rules of IPv4
            raise ToolError(f"Error: Invalid {name} address.", 2)
    if not table and not deleting and action == "lookup":
        table = 254
    return RoutingRule(priority, table, action=action, family=fam, invert=invert, **given)  # type: ignore[arg-type]


def _cidr(text: str, fam: int) -> str:
    if text in ("all", "any", "default"):
        return ""
    return prefix(prefix_text(text, fam if fam == 6 else 0)).text


def text_of(t: Terminal, r: RoutingRule) -> str:
    """As `ip rule` prints it: a device that is not there is [detached]."""

    def bare(cidr: str) -> str:
        return cidr.split("/")[0] if cidr.endswith(("/32", "/128")) else cidr

    words = [f"{r.priority}:\t" + ("not " if r.invert else "") + "from " + (bare(r.src) or "all")]
    if r.dst:
        words.append(f"to {bare(r.dst)}")
    if r.fwmask:
        words.append(f"fwmark {r.fwmark:#x}" + ("" if r.fwmask == 0xFFFFFFFF else f"/{r.fwmask:#x}"))
    for side, name in (("iif", r.iif), ("oif", r.oif)):
        if name:
            words.append(f"{side} {name}" + ("" if name in t.ns.links else " [detached]"))
    words.append(f"lookup {table_name(r.table)}" if r.action == "lookup" else r.action)
    return " ".join(words)


def _list(t: Terminal, words: Words, o: Options, fam: int) -> str:
    table = 0
    while words:
        word = words.take()
        if begins(word, "table") or begins(word, "lookup"):
            table = table_number(words.take(), "invalid table ID\n")
        else:
            raise NotModelled(f"ip rule list {word}")
    rules = sorted((r for r in t.ns.rules if r.family == fam and table in (0, r.table)), key=lambda r: r.priority)
    if o.json:
        return as_json.dumps([_record(t, r) for r in rules], o.pretty)
    return "".join(f"{text_of(t, r)}\n" for r in rules)


def _record(t: Terminal, r: RoutingRule) -> dict[str, Any]:
    if r.invert or r.fwmask or r.iif or r.oif or r.action != "lookup":
        raise NotModelled("ip -j rule with fwmark, iif, oif, not or an action")
    out: dict[str, Any] = {"priority": r.priority}
    for key, name in ((r.src, "src"), (r.dst, "dst")):
        if key:
            out[name] = key.split("/")[0]
            if not key.endswith(("/32", "/128")):
                out[f"{name}len"] = int(key.split("/")[1])
        elif name == "src":
            out["src"] = "all"
    return out | {"table": table_name(r.table)}
