"""`tcpdump`: the frames of the last traffic, as one interface saw them. Source: tcpdump 4.99; its output is compared with the real one's.

There is no waiting in the lab: a capture shows what went by in the last question, not what is still to come.
"""

from __future__ import annotations

from ...errors import NotModelled
from ..links import RAW, Link
from ..packet import BROADCAST, Frame, Packet
from ..pcap import EPOCH, SNAPLEN
from .capture_filter import compile_filter
from .capture_text import Printer
from .devices import by_index, peer_of
from .terminal import Terminal, ToolError
from .traffic import options

__all__ = ["clock", "run"]

_USAGE = """tcpdump version 4.99.3
Usage: tcpdump [-enqStv] [-c count] [-i interface] [-T type] [expression]
(these are the options that kubenet-lab models)"""


def clock(when: float, style: int) -> str:
    """A time stamp: 0 as the time of day (UTC), 1 none (-t), 2 seconds since 1970 (-tt), 4 with the date (-tttt)."""
    micros = round(when * 1_000_000)
    seconds, micros = EPOCH + micros // 1_000_000, micros % 1_000_000
    day = seconds % 86400
    text = f"{day // 3600:02d}:{day // 60 % 60:02d}:{day % 60:02d}.{micros:06d} "
    if style == 1:
        return ""
    if style == 2:
        return f"{seconds}.{micros:06d} "
    if style == 4:
        import datetime

        return f"{datetime.date(1970, 1, 1) + datetime.timedelta(days=seconds // 86400)} {text}"
    return text


def run(t: Terminal, argv: list[str]) -> str:
    found, expression = _options(argv)
    device, most, style, quiet = "", 0, 0, False
    printer = Printer()
    for name, value in found:
        match name:
            case "-i":
                device = value
            case "-c":
                if not value.isdigit() or not int(value):
                    raise ToolError(f"tcpdump: invalid packet count {value}", 1)
                most = int(value)
            case "-n":
                printer.numeric = True
            case "-e":
                printer.ethernet = True
            case "-v":
                if printer.verbose:
                    raise NotModelled("tcpdump -vv")
                printer.verbose = True
            case "-S":
                printer.absolute = True
            case "-t":
                style += 1
            case "-T":
                if value != "vxlan":
                    raise NotModelled(f"tcpdump -T {value}")
                printer.tunnel = value
            case "-q":
                quiet = True
            case "-l" | "-U" | "-p" | "-K":
                pass
            case _:
                raise NotModelled(f"tcpdump {name}" + (": use trace.to_pcap(path)" if name in ("-w", "-r") else ""))
    if quiet:
        raise NotModelled("tcpdump -q")
    if style == 3 or style > 4:
        raise NotModelled("tcpdump -ttt: times between packets")
    keep = compile_filter(expression)
    device = device or next((k.name for k in by_index(t.ns) if k.up and k.kind != "loopback"), "lo")
    if device != "any" and device not in t.ns.links:
        raise ToolError(f"tcpdump: {device}: No such device exists\n(No such device exists)", 1)
    if device != "any" and not t.ns.links[device].up:
        raise ToolError(f"tcpdump: {device}: That device is not up", 1)
    lines, total = [], 0
    for when, where, frame in t.frames:
        ns_id, _, name = where.rpartition("/")
        if ns_id != t.ns.id or (device not in ("any", name)) or not keep(frame):
            continue
        if most and total >= most:
            break
        total += 1
        label = _cooked(t, t.ns.links[name], frame) if device == "any" and name in t.ns.links else ""
        lines.append(clock(when, style) + label + printer.frame(frame))
    raw = device in t.ns.links and t.ns.links[device].kind in RAW
    kind = "LINUX_SLL2 (Linux cooked v2)" if device == "any" else "RAW (Raw IP)" if raw else "EN10MB (Ethernet)"
    head = ["tcpdump: data link type LINUX_SLL2"] if device == "any" else []
    if not printer.verbose:
        head.append("tcpdump: verbose output suppressed, use -v[v]... for full protocol decode")
        head.append(f"listening on {device}, link-type {kind}, snapshot length {SNAPLEN} bytes")
    else:
        head.append(f"tcpdump: listening on {device}, link-type {kind}, snapshot length {SNAPLEN} bytes")
    many = "packet" if total == 1 else "packets"
    tail = [f"{total} {many} captured", f"{total} {many} received by filter", "0 packets dropped by kernel"]
    return "\n".join([*head, *lines, *tail]) + "\n"


def _options(argv: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options end where the expression begins; getopt(3) of tcpdump takes them anywhere."""
    return options("tcpdump", argv[1:], "AbB:c:C:dDeE:fF:G:hHi:IJj:KlLm:M:nNOpq#Q:r:s:StT:uUvV:w:W:xXy:Y:z:Z:", [], _USAGE, 1)


def _cooked(t: Terminal, link: Link, frame: Frame) -> str:
    """With `-i any` every line names the interface and the direction."""
    if link.kind == "veth":
        peer = peer_of(t.network, link)
        out = peer is None or frame.src != peer.mac
    elif link.kind in RAW:  # no hardware address says it: what is routed here goes out
        route = t.ns.fib(frame.body.family).lookup(frame.body.dst) if isinstance(frame.body, Packet) else None
        out = route is not None and route.dev == link.name
    else:
        out = frame.src == link.mac
    if out:
        way = "Out"
    elif link.kind in RAW:
        way = "In"
    elif frame.dst == BROADCAST:
        way = "B"
    elif int(frame.dst[:2], 16) & 1:
        way = "M"
    else:
        way = "In" if frame.dst == link.mac or link.kind == "loopback" else "P"
    return f"{link.name:<5} {way:<3} "
