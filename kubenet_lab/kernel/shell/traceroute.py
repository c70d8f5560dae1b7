"""`traceroute`: UDP by default, ICMP echo with -I, TCP SYN with -T. Source: traceroute 2.1.2 traceroute.c; measured.

Every probe is a flow of its own with a TTL of its own, so behind a Service one trace may show several endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import NotModelled
from ..ask import Question, source_port_of
from ..packet import Filler, Icmp, Packet, Udp
from ..walk import Event
from .terminal import Terminal, ToolError
from .traffic import ERRNO, Probes, Target, options, source_of, target_of

__all__ = ["run"]

_USAGE = """Usage:
  traceroute [ -46InT ] [ -f first_ttl ] [ -m max_ttl ] [ -N squeries ] [ -p port ] [ -q nqueries ] [ -s src_addr ] [ -w MAX ] host [ packetlen ]
(these are the options that kubenet-lab models)"""

#: ICMP code of a destination unreachable -> what follows the time (traceroute.c, parse_icmp_res)
_MARKS = {
    0: "!N",
    1: "!H",
    2: "!P",
    3: "",
    4: "!F",
    5: "!S",
    6: "!U",
    7: "!W",
    8: "!I",
    9: "!A",
    10: "!Z",
    11: "!Q",
    12: "!T",
    13: "!X",
    14: "!V",
    15: "!C",
}
_MARKS6 = {0: "!N", 1: "!X", 2: "!S", 3: "!H", 4: ""}


@dataclass(slots=True)
class _Options:
    method: str = "udp"
    first: int = 1
    most: int = 30
    together: int = 16
    port: int = 0
    each: int = 3
    source: str = ""
    wait: float = 5.0
    numeric: bool = False
    family: int = 0
    length: int = 0


@dataclass(slots=True)
class _Probe:
    ttl: int
    sent: float = 0.0
    key: tuple[object, ...] = ()
    port: int = 0
    address: str = ""
    time: float | None = None
    mark: str = ""
    final: bool = False
    done: bool = False


def _number(tool_option: str, text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ToolError(f"Cannot handle `{tool_option}' option with arg `{text}'", 2) from None
    if not low <= value <= high:
        raise ToolError(f"{tool_option[1:]}: {text}: must be from {low} to {high}", 2)
    return value


def _parse(argv: list[str]) -> tuple[_Options, list[str]]:
    o = _Options()
    found, rest = options(
        "traceroute", argv[1:], "46If:m:nN:p:q:s:Tw:UFi:rz:A", ["icmp", "tcp", "first=", "max-hops=", "queries=", "port="], _USAGE, 2
    )
    for name, value in found:
        match name:
            case "-4":
                o.family = 4
            case "-6":
                o.family = 6
            case "-I" | "--icmp":
                o.method = "icmp"
            case "-T" | "--tcp":
                o.method = "tcp"
            case "-n":
                o.numeric = True
            case "-f" | "--first":
                o.first = _number("-f", value, 1, 255)
            case "-m" | "--max-hops":
                o.most = _number("-m", value, 1, 255)
            case "-N":
                o.together = _number("-N", value, 1, 10000)
            case "-p" | "--port":
                o.port = _number("-p", value, 1, 65535)
            case "-q" | "--queries":
                o.each = _number("-q", value, 1, 10)
            case "-s":
                o.source = value
            case "-w":
                try:
                    o.wait = float(value.split(",")[0])
                except ValueError:
                    raise ToolError(f"Cannot handle `-w' option with arg `{value}' (argc 1)", 2) from None
            case _:
                raise NotModelled(f"traceroute {name}")
    if o.first > o.most:
        raise ToolError("first hop out of range", 2)
    return o, rest


def run(t: Terminal, argv: list[str]) -> str:
    o, rest = _parse(argv)
    if not rest:
        raise ToolError(_USAGE, 0)
    target = target_of(t, rest[0], o.family)
    if target is None:
        raise ToolError(f'{rest[0]}: Name or service not known\nCannot handle "host" cmdline arg `{rest[0]}\' on position 1 (argc 1)', 2)
    if o.method == "tcp":
        raise NotModelled("traceroute -T: a TCP half-open connection per probe")
    head = 20 if ":" not in target.ip else 40
    o.length = _number("-packetlen", rest[1], 0, 65000) if len(rest) > 1 else head + 40
    o.length = max(o.length, head + 8)
    headline = f"traceroute to {target.word} ({target.ip}), {o.most} hops max, {o.length} byte packets\n"
    if o.source and t.ns.local_device(o.source) is None:
        t.status = 1
        return headline + "bind: Cannot assign requested address\n"
    _, _, problem = source_of(t.ns, target.ip, o.source)
    if problem:
        t.status = 1
        return headline + f"connect: {ERRNO.get(problem, problem)}\n"
    return headline + _trace(t, o, target)


def _trace(t: Terminal, o: _Options, target: Target) -> str:
    probes = [_Probe(ttl) for ttl in range(o.first, o.most + 1) for _ in range(o.each)]
    p = Probes(t, target.ip, 0 if o.method == "icmp" else o.port or 33434, "ICMP" if o.method == "icmp" else "UDP")
    _, source, _ = source_of(t.ns, target.ip, o.source)
    following = 0
    end = len(probes)  # probes from here on are behind the target
    while True:
        outstanding = [q for q in probes[:following] if not q.done]
        while following < len(probes) and len(outstanding) < o.together and following < end:
            _send(t, p, o, target.ip, source, probes[following], following)
            outstanding.append(probes[following])
            following += 1
        if not outstanding or all(q.done for q in probes[:end]):
            break
        expiry = min(q.sent + o.wait for q in outstanding)
        heard = p.wait_for(expiry)
        for e in heard:
            _take(e, p, outstanding, target)
        for q in outstanding:
            if not q.done and p.now >= q.sent + o.wait:
                q.done = True
        for i, q in enumerate(probes):
            if q.final:
                end = min(end, (i // o.each + 1) * o.each)
                break
    p.walk.settle()
    p.close()
    return _table(o, probes[:end])


def _send(t: Terminal, p: Probes, o: _Options, dst: str, source: str, q: _Probe, index: int) -> None:
    head = 40 if ":" in dst else 20
    size = o.length - head - 8
    q.sent = p.now
    if o.method == "icmp":
        six = ":" in dst
        q.port = index + (o.port or 1)
        q.key = ("icmp", p.ident)
        packet = Packet(
            source, dst, "ICMPv6" if six else "ICMP", Icmp(128 if six else 8, 0, p.ident, q.port, payload=Filler(size)), ttl=q.ttl, df=False
        )
    else:
        # every probe has a socket of its own, and a port of its own to be told apart by
        q.port = (o.port or 33434) + index
        sport = source_port_of(t.network, t.state, Question(t.ns.id, dst, q.port, "UDP"))
        q.key = (source, sport, dst, q.port)
        packet = Packet(source, dst, "UDP", Udp(sport, q.port, Filler(size)), ttl=q.ttl, df=False)
        pair = (t.ns.id, dst, q.port, "UDP")
        t.state.write("pairs")[pair] = t.state.read("pairs").get(pair, 0) + 1
    p.open(q.key)
    p.send(packet, "probe", fragment=True)


def _take(e: Event, p: Probes, outstanding: list[_Probe], target: Target) -> None:
    packet = e.flight.packet if e.flight is not None else None
    if not isinstance(packet, Packet):
        return
    message = packet.l4
    quoted = message.quote if isinstance(message, Icmp) else None
    about = quoted if quoted is not None else packet
    if isinstance(about.l4, Icmp):
        found = [q for q in outstanding if q.key == e.key and q.port == about.l4.seq and not q.done]
    else:
        found = [q for q in outstanding if q.key == e.key and not q.done]
    if not found:
        return
    q = found[0]
    if e.what == "error" and quoted is None:
        return  # the send call failed: the probe stays unanswered
    q.done, q.address, q.time = True, packet.src, e.time - q.sent
    if e.what == "answer":
        q.final = True
        return
    assert isinstance(message, Icmp)
    six = packet.family == 6
    if message.type == (3 if six else 11):
        return
    q.final = True
    if message.type == 2 and six:
        q.mark = f"!F-{message.mtu}"
        return
    q.mark = (_MARKS6 if six else _MARKS).get(message.code, f"!<{message.code}>")
    if message.code == 4 and not six:
        q.mark = f"!F-{message.mtu}" if message.mtu else "!F"


def _table(o: _Options, probes: list[_Probe]) -> str:
    out = ""
    for i in range(0, len(probes), o.each):
        row = probes[i : i + o.each]
        line = f"{row[0].ttl:>2} "
        shown = ""
        for q in row:
            if q.time is None:
                line += " *"
                continue
            if q.address != shown:
                line += f" {q.address}" if o.numeric else f" {q.address} ({q.address})"
                shown = q.address
            line += f"  {q.time * 1000:.3f} ms"
            if q.mark:
                line += f" {q.mark}"
        out += line + "\n"
    return out
