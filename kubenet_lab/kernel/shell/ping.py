"""`ping`. Source: iputils 20221126 ping/ping.c, ping_common.c, ping6_common.c; output and exit status are measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import NotModelled
from ..l3 import connected_to, path_mtu
from ..packet import Filler, Icmp, Packet
from ..walk import Event
from .terminal import Terminal, ToolError
from .traffic import ERRNO, Probes, Target, options, source_of, target_of

__all__ = ["run"]

_USAGE = """
Usage
  ping [options] <destination>

Options (those that kubenet-lab models):
  -4 -6              use IPv4, IPv6
  -c <count>         stop after <count> replies
  -i <interval>      seconds between sending each packet
  -I <interface>     either interface name or address
  -M <pmtud opt>     define mtu discovery, can be one of <do|dont|want>
  -n                 no dns name resolution
  -q                 quiet output
  -s <size>          use <size> as number of data bytes to be sent
  -t <ttl>           define time to live
  -w <deadline>      reply wait <deadline> in seconds
  -W <timeout>       time to wait for response"""

_UNREACHABLE = {
    0: "Destination Net Unreachable", 1: "Destination Host Unreachable", 2: "Destination Protocol Unreachable", 3: "Destination Port Unreachable",
    5: "Source Route Failed", 6: "Destination Net Unknown", 7: "Destination Host Unknown", 8: "Source Host Isolated",
    9: "Destination Net Prohibited", 10: "Destination Host Prohibited", 11: "Destination Net Unreachable for Type of Service",
    12: "Destination Host Unreachable for Type of Service", 13: "Packet filtered", 14: "Precedence Violation", 15: "Precedence Cutoff",
}  # fmt: skip
_UNREACHABLE6 = {
    0: "No route",
    1: "Administratively prohibited",
    2: "Beyond scope of source address",
    3: "Address unreachable",
    4: "Port unreachable",
}
_LINGER = 10.0


@dataclass(slots=True)
class _Options:
    count: int = 0
    interval: float = 1.0
    size: int = 56
    discovery: str = "want"
    wait: float = _LINGER
    deadline: float = 0.0
    ttl: int = 64
    source: str = ""
    device: str = ""
    quiet: bool = False
    family: int = 0


@dataclass(slots=True)
class _Tally:
    sent: int = 0
    errors: int = 0
    times: list[float] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    pipe: int = 0
    last: float = 0.0


def _integer(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ToolError(f"ping: invalid argument: '{text}'", 1) from None
    if not low <= value <= high:
        raise ToolError(f"ping: invalid argument: '{text}': out of range: {low} <= value <= {high}", 1)
    return value


def _seconds(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ToolError(f"ping: {what}: {text}", 2) from None
    if not 0 <= value < 1e6:
        raise ToolError(f"ping: {what}: {text}", 2)
    return value


def _parse(t: Terminal, argv: list[str]) -> tuple[_Options, list[str]]:
    o = _Options()
    found, rest = options("ping", argv[1:], "46ac:hi:I:M:nqs:t:vVw:W:DObLrRfAUp:Q:l:m:F:N:S:T:e:B", [], _USAGE, 2)
    for name, value in found:
        match name:
            case "-4":
                o.family = 4
            case "-6":
                o.family = 6
            case "-c":
                o.count = _integer(value, 1, 9223372036854775807)
            case "-i":
                o.interval = _seconds(value, "bad timing interval")
                if o.interval < 0.002:
                    o.interval = 0.002
            case "-I":
                if value in t.ns.links:
                    o.device = value
                else:
                    o.source = value
            case "-M":
                if value not in ("do", "dont", "want"):
                    raise ToolError(f"ping: invalid -M argument: {value}", 2)
                o.discovery = value
            case "-s":
                o.size = _integer(value, 0, 2147483647)
            case "-t":
                o.ttl = _integer(value, 0, 255)
            case "-W":
                o.wait = _seconds(value, "bad linger time") or _LINGER
            case "-w":
                o.deadline = float(_integer(value, 0, 2147483647))
            case "-q":
                o.quiet = True
            case "-V":
                raise NotModelled("ping -V")
            case "-n" | "-a" | "-v" | "-U":
                pass
            case _:
                raise NotModelled(f"ping {name}")
    return o, rest


def run(t: Terminal, argv: list[str]) -> str:
    o, rest = _parse(t, argv)
    if not rest:
        raise ToolError("ping: usage error: Destination address required", 1)
    if len(rest) > 1:
        raise ToolError("ping: only one destination is modelled (the others would be a source route)", 2)
    if not o.count and not o.deadline:
        raise ToolError("ping: without -c it would go on for ever, and there is no Ctrl-C here: say ping -c 3", 2)
    target = target_of(t, rest[0], o.family)
    if target is None:
        t.status = 2
        return (
            f"ping: {rest[0]}: Temporary failure in name resolution\n"
            if t.resolve is None
            else f"ping: {rest[0]}: Name or service not known\n"
        )
    target = Target(target.word, connected_to(target.ip, o.source))
    problem = _bound(t, o, target)
    if problem:
        t.status = 2
        return problem
    return _ping(t, o, target)


def _bound(t: Terminal, o: _Options, target: Target) -> str:
    """Sources and the route; what ping says when they do not fit."""
    if o.source:
        try:
            from ..address import canonical

            o.source = canonical(o.source)
        except ValueError:
            return f"ping: SO_BINDTODEVICE {o.source}: No such device\n"
        if t.ns.local_device(o.source) is None:
            return "ping: bind: Cannot assign requested address\n"
    route, source, problem = source_of(t.ns, target.ip, o.source)
    if problem == "EACCES":
        return "ping: Do you want to ping broadcast? Then -b. If not, check your local firewall rules\n"
    if problem:
        return f"ping: connect: {ERRNO.get(problem, problem)}\n"
    assert route is not None
    if o.device and route.dev != o.device:
        raise NotModelled(f"ping -I {o.device}: the route to {target.ip} leaves by {route.dev}")
    if o.device:
        o.source = source
    return ""


def _ping(t: Terminal, o: _Options, target: Target) -> str:
    six = ":" in target.ip
    p = Probes(t, target.ip, 0, "ICMP")
    _, source, _ = source_of(t.ns, target.ip, o.source)
    key = ("icmp", p.ident)
    p.open(key)
    lines = [_headline(o, target, source)]
    tally = _Tally()
    start = p.now
    sent_at: dict[int, float] = {}
    hard_end = start + o.deadline if o.deadline else float("inf")
    seq = 0
    while (not o.count or seq < o.count) and p.now < hard_end:
        seq += 1
        sent_at[seq] = p.now
        tally.last = p.now
        tally.sent += 1
        _echo(t, p, o, target.ip, source, seq, lines, tally)
        last = seq == o.count
        until = p.now if last else min(p.now + o.interval, hard_end)
        if not last:
            _collect(p, until, o, sent_at, lines, tally, target)
    end = p.now + (o.wait if not tally.times else max(2 * max(tally.times), o.wait if not o.count else 0.0))
    while len(tally.answered | tally.failed) < tally.sent:
        heard = p.wait_for(max(p.now, min(end, hard_end)))
        if not heard:
            break
        _report(heard, p, o, sent_at, lines, tally, target)
    p.walk.settle()
    p.close()
    t.status = 0 if tally.answered and (not o.deadline or not o.count or len(tally.answered) >= o.count) else 1
    lines += _statistics(o, target, tally, start, six)
    return "\n".join(lines) + "\n"


def _headline(o: _Options, target: Target, source: str) -> str:
    origin = f" from {source} {o.device}:" if o.device else f" from {source} :" if o.source else ""
    if ":" in target.ip:
        return f"PING {target.word}({target.word if target.word == '::' else target.ip}){origin} {o.size} data bytes"
    return f"PING {target.word} ({target.ip}){origin} {o.size}({o.size + 28}) bytes of data."


def _echo(t: Terminal, p: Probes, o: _Options, dst: str, source: str, seq: int, lines: list[str], tally: _Tally) -> None:
    six = ":" in dst
    echo = Icmp(128 if six else 8, 0, p.ident, seq, payload=Filler(o.size))
    packet = Packet(source, dst, "ICMPv6" if six else "ICMP", echo, ttl=o.ttl or 64, df=o.discovery != "dont")
    route, _, _ = source_of(t.ns, dst, source)
    if route is not None and route.dev in t.ns.links:
        mtu = path_mtu(p.walk, t.ns, dst, route)
        if (o.discovery == "do" and packet.size > mtu) or (not six and packet.size > 65535):
            tally.errors += 1
            tally.failed.add(seq)
            if not o.quiet:
                lines.append(f"ping: local error: message too long, mtu={mtu}")
            return
    p.send(packet, "echo", fragment=o.discovery != "do")


def _collect(p: Probes, until: float, o: _Options, sent_at: dict[int, float], lines: list[str], tally: _Tally, target: Target) -> None:
    while True:
        heard = p.wait_for(until)
        if not heard:
            return
        _report(heard, p, o, sent_at, lines, tally, target)


def _report(heard: list[Event], p: Probes, o: _Options, sent_at: dict[int, float], lines: list[str], tally: _Tally, target: Target) -> None:
    for e in heard:
        packet = e.flight.packet if e.flight is not None else None
        if not isinstance(packet, Packet) or not isinstance(packet.l4, Icmp):
            continue
        if e.what == "answer":
            seq = packet.l4.seq
            waiting = tally.sent - len(tally.answered | tally.failed)
            tally.pipe = max(tally.pipe, waiting)
            duplicate = seq in tally.answered
            tally.answered.add(seq)
            spent = e.time - sent_at.get(seq, e.time)
            if not duplicate:
                tally.times.append(spent)
            if not o.quiet:
                timing = f" time={_ms(spent)} ms" if o.size >= 16 else ""
                named = f"{target.word} ({packet.src})" if target.named and packet.src == target.ip else packet.src
                label = "ttl"
                lines.append(
                    f"{packet.l4.size} bytes from {named}: icmp_seq={seq} {label}={packet.ttl}{timing}" + (" (DUP!)" if duplicate else "")
                )
            continue
        quote = packet.l4.quote
        if quote is None or not isinstance(quote.l4, Icmp):
            _local(e, o, lines, tally)
            continue
        seq = quote.l4.seq
        waiting = tally.sent - len(tally.answered | tally.failed)
        tally.pipe = max(tally.pipe, waiting)
        tally.failed.add(seq)
        tally.errors += 1
        if not o.quiet:
            lines.append(f"From {packet.src} icmp_seq={seq} {_words(packet.l4, packet.family)}")
            cause = e.flight.cause if e.flight is not None else None
            if cause is not None and cause.code == "filter.reject" and cause.ns == p.ns.id:
                lines.append("ping: sendmsg: Operation not permitted")


def _local(e: Event, o: _Options, lines: list[str], tally: _Tally) -> None:
    """The send call failed. A DROP in OUTPUT is one that ping says nothing about."""
    packet = e.flight.packet if e.flight is not None else None
    if isinstance(packet, Packet) and isinstance(packet.l4, Icmp):
        tally.failed.add(packet.l4.seq) if e.value != "EPERM" else None
    if e.value != "EPERM" and not o.quiet:
        lines.append(f"ping: sendmsg: {ERRNO.get(e.value, e.value)}")


def _words(message: Icmp, fam: int) -> str:
    if fam == 6:
        match message.type:
            case 1:
                return "Destination unreachable: " + _UNREACHABLE6.get(message.code, f"Unknown code {message.code}")
            case 2:
                return f"Packet too big: mtu={message.mtu}"
            case 3:
                return "Time exceeded: " + ("Hop limit" if message.code == 0 else "Defragmentation failure")
        return f"unknown icmp type: {message.type}"
    match message.type:
        case 3:
            if message.code == 4:
                return f"Frag needed and DF set (mtu = {message.mtu})"
            return _UNREACHABLE.get(message.code, f"Dest Unreachable, Bad Code: {message.code}")
        case 11:
            return "Time to live exceeded" if message.code == 0 else "Frag reassembly time exceeded"
    return f"Bad ICMP type: {message.type}"


def _ms(seconds: float) -> str:
    """Milliseconds with the digits that ping gives them."""
    us = round(seconds * 1e6)
    if us >= 100000:
        return str(us // 1000)
    digits = 1 if us >= 10000 else 2 if us >= 1000 else 3
    return f"{us // 1000}.{us % 1000 // 10 ** (3 - digits):0{digits}d}"


def _statistics(o: _Options, target: Target, tally: _Tally, start: float, six: bool) -> list[str]:
    received = len(tally.answered)
    line = f"{tally.sent} packets transmitted, {received} received"
    if tally.errors:
        line += f", +{tally.errors} errors"
    loss = 100 * (tally.sent - received) / tally.sent if tally.sent else 0
    line += f", {loss:.6g}% packet loss, time {round((tally.last - start) * 1000)}ms"
    out = ["", f"--- {target.word} ping statistics ---", line]
    tail = ""
    if received and o.size >= 16:
        us = [round(s * 1e6) for s in tally.times]
        mean = sum(us) // len(us)
        spread = int(max(0, sum(x * x for x in us) // len(us) - (sum(us) / len(us)) ** 2) ** 0.5)
        tail = "rtt min/avg/max/mdev = " + "/".join(f"{v // 1000}.{v % 1000:03d}" for v in (min(us), mean, max(us), spread)) + " ms"
    if tally.pipe > 1:
        tail += f"{', ' if tail else ''}pipe {tally.pipe}"
    return [*out, tail]
