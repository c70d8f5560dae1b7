"""`conntrack -L`, `-D`, `-F`, `-C`. Source: conntrack-tools 1.4.7 src/conntrack.c, libnetfilter_conntrack; measured."""

from __future__ import annotations

from ...errors import NotModelled
from ..conntrack import Conntrack, Entry, Tuple
from .conntrack_options import HEAD, parse
from .conntrack_template import Template
from .terminal import Terminal

__all__ = ["run"]

_NUMBERS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPv6": 58, "SCTP": 132}

_USAGE = """Command line interface for the connection tracking system. Version 1.4.7
Usage: conntrack [commands] [options]

Commands:
  -L [table] [options]\t\tList conntrack or expectation table
  -D [table] parameters\t\tDelete conntrack or expectation
  -F [table]\t\t\tFlush table
  -C [table]\t\t\tShow counter

Options: -s -d -r -q -p -f -u -m -n -g -j -o; with -p tcp or udp: --sport, --dport, --reply-port-src, --reply-port-dst, --state
(this is what kubenet-lab models of conntrack)
"""


def _tuple(x: Tuple) -> str:
    text = f"src={x.src} dst={x.dst} "
    if x.proto in ("ICMP", "ICMPv6"):
        return text + f"type={x.dport >> 8} code={x.dport & 0xFF} id={x.sport} "
    if x.proto in ("TCP", "UDP", "SCTP"):
        return text + f"sport={x.sport} dport={x.dport} "
    return text


def _line(t: Terminal, e: Entry, a: Template) -> str:
    six = ":" in e.orig.src
    text = (f"{'ipv6' if six else 'ipv4':<8} {10 if six else 2} ") if a.extended else ""
    proto = e.orig.proto
    number = _NUMBERS.get(proto) or (int(proto) if proto.isdigit() else 255)
    name = proto.lower() if proto in _NUMBERS else "unknown"
    text += f"{name:<8} {number} {max(0, int(e.expires - t.state.clock))} "
    if proto == "TCP":
        text += f"{e.tcp_state or 'NONE'} "
    text += _tuple(e.orig)
    if not e.seen_reply:
        text += "[UNREPLIED] "
    text += _tuple(e.reply)
    if e.assured:
        text += "[ASSURED] "
    return text + f"mark={e.mark} use=1" + (f" id={e.id}" if a.ids else "")


def run(t: Terminal, argv: list[str]) -> str:
    a = Template()
    g = parse(argv, a.visit)
    table = Conntrack(t.state, t.ns.id)
    if g.command in ("", "h"):
        return _USAGE
    if g.command == "V":
        return "conntrack v1.4.7 (conntrack-tools)\n"
    if g.command not in "LDFC":
        raise NotModelled(f"conntrack -{g.command}; kubenet-lab knows -L, -D, -F and -C")
    wanted = a.test(g)
    t.stderr += g.warnings + a.warnings
    expect = g.table == "expect"
    if g.command == "F":
        for e in () if expect else table.entries():
            table.delete(e)
        t.stderr += f"{HEAD}{'expectation' if expect else 'connection tracking'} table has been emptied.\n"
        return ""
    if g.command == "C":
        return f"{0 if expect else len(table.entries())}\n"
    if g.table != "conntrack":
        if g.command == "D":
            raise NotModelled("conntrack -D expect: the lab has no expectations")
        t.stderr += f"{HEAD}0 {'expectations' if expect else 'flow entries'} have been shown.\n"
        return ""
    found = [e for e in table.entries() if wanted(e)]
    out = "".join(f"{_line(t, e, a)}\n" for e in found)
    if g.command == "D":
        for e in found:
            table.delete(e)
        t.status = 0 if found else 1
    t.stderr += f"{HEAD}{len(found)} flow entries have been {'deleted' if g.command == 'D' else 'shown'}.\n"
    return out
