"""`nc -z`: is a port open? Source: OpenBSD netcat 1.219 as Debian has it; output and exit status are measured."""

from __future__ import annotations

from ...errors import NotModelled
from ..ask import Question, put, source_port_of
from ..l3 import connected_to
from ..packet import Filler, Packet, Udp
from ..port_names import service_name, service_number
from ..tcp_conn import find
from .terminal import Terminal, ToolError, captured
from .traffic import ERRNO, Probes, Target, options, source_of, target_of

__all__ = ["run"]

_USAGE = """usage: nc -z [-46nuv] [-p source_port] [-s sourceaddr] [-w timeout]
\t  [destination] [port]
(these are the options that kubenet-lab models)"""


def run(t: Terminal, argv: list[str]) -> str:
    found, rest = options("nc", argv[1:], "46CDdFhklNnrStUuvZzI:i:M:m:O:P:p:q:s:T:V:W:w:X:x:", [], _USAGE, 1)
    verbose = udp = numeric = scan = False
    wait: float | None = None
    fam, source, port = 0, "", None
    for name, value in found:
        match name:
            case "-z":
                scan = True
            case "-v":
                verbose = True
            case "-u":
                udp = True
            case "-n":
                numeric = True
            case "-4":
                fam = 4
            case "-6":
                fam = 6
            case "-w" | "-p":
                if not value.isdigit() or (name == "-p" and not 1 <= int(value) <= 65535):
                    raise ToolError(f"nc: {'timeout invalid' if name == '-w' else 'port number invalid'}: {value}", 1)
                if name == "-w":
                    wait = float(value)
                else:
                    port = int(value)
            case "-s":
                source = value
            case _:
                raise NotModelled(f"nc {name}: kubenet-lab knows nc -z; to exchange data use cluster.request or cluster.open")
    if len(rest) < 1:
        raise ToolError(_USAGE, 1)
    if len(rest) < 2:
        raise ToolError("nc: missing port number", 1)
    if not scan:
        raise NotModelled("nc without -z: to exchange data use cluster.request or cluster.open")
    protocol = "udp" if udp else "tcp"
    ports = _ports(rest[1], protocol)
    target = target_of(t, rest[0], fam)
    if target is None:
        t.status = 1
        return f'nc: getaddrinfo for host "{rest[0]}" port {rest[1]}: {"Temporary failure in name resolution" if t.resolve is None else "Name or service not known"}\n'
    if source and t.ns.local_device(source) is None:
        t.status = 1
        return "nc: bind failed: Cannot assign requested address\n"
    if port and not udp and _taken(t, port):
        t.status = 1
        return "nc: bind failed: Address already in use\n"
    out, t.status = "", 1
    for p in ports:
        text, good = (_udp if udp else _tcp)(t, target, p, wait, source, port, verbose)
        out += text
        if good:
            t.status = 0
            if verbose:
                service = "*" if numeric else service_name(p, protocol) or "*"
                shown = f"{target.word} ({target.ip})" if target.named else target.word
                out += f"Connection to {shown} {p} port [{protocol}/{service}] succeeded!\n"
    return out


def _taken(t: Terminal, port: int) -> bool:
    """nc binds without SO_REUSEADDR, so that a listener or a connection in any state is in the way, TIME_WAIT too."""
    if any(k.protocol == "TCP" and k.port == port for k in t.ns.listeners):
        return True
    return any(key[1] == port and find(t.state, t.ns.id, key) is not None for key in list(t.state.read("tcp", t.ns.id)))


def _ports(text: str, protocol: str) -> list[int]:
    first, dash, last = text.partition("-")
    if dash and first.isdigit():
        if not last.isdigit() or not 1 <= int(last) <= 65535 or not 1 <= int(first) <= 65535:
            raise ToolError(f"nc: port number invalid: {last if not last.isdigit() else text}", 1)
        low, high = sorted((int(first), int(last)))
        if high - low > 1024:
            raise NotModelled("nc -z over more than 1024 ports")
        return list(range(low, high + 1))
    if text.isdigit():
        if int(text) > 65535:
            raise ToolError(f"nc: port number too large: {text}", 1)
        if int(text) < 1:
            raise ToolError(f"nc: port number too small: {text}", 1)
        return [int(text)]
    named = service_number(text, protocol)
    if named is None:
        raise ToolError(f"nc: port number invalid: {text}", 1)
    return [named]


def _tcp(
    t: Terminal, target: Target, port: int, wait: float | None, source: str, source_port: int | None, verbose: bool
) -> tuple[str, bool]:
    # without -w the kernel gives up by itself: 127 seconds after the first SYN with six retries
    retries = t.ns.sysctl("net.ipv4.tcp_syn_retries")
    timeout = float(2 ** (retries + 1)) + 1.0
    if wait:
        timeout = min(timeout, wait)
    q = Question(t.ns.id, target.ip, port, "TCP", source=source, source_port=source_port, timeout=timeout)
    result = put(t.network, t.state, q)
    t.frames = captured(result.walk.frames or ())
    if result.verdict == "delivered":
        return "", True
    if not verbose:
        return "", False
    head = f"nc: connect to {target.word}" + (f" ({target.ip})" if target.named else "") + f" port {port} (tcp) "
    if wait and result.error == "ETIMEDOUT":
        return f"{head}timed out: Operation now in progress\n", False
    return f"{head}failed: {ERRNO.get(result.error or '', result.error)}\n", False


def _udp(
    t: Terminal, target: Target, port: int, wait: float | None, source: str, source_port: int | None, verbose: bool
) -> tuple[str, bool]:
    """Silence counts as open: only an ICMP error tells that nobody listens. Without -v nothing is sent, and all is well."""
    reached = connected_to(target.ip, source)
    _, src, problem = source_of(t.ns, reached, source)
    if problem:
        text = f"nc: connect to {target.word} port {port} (udp) failed: {ERRNO.get(problem, problem)}\n"
        return text if verbose else "", False
    if not verbose:
        return "", True
    p = Probes(t, reached, port, "UDP")
    sport = source_port or source_port_of(t.network, t.state, Question(t.ns.id, reached, port, "UDP"))
    p.open((src, sport, reached, port))
    packet = Packet(src, reached, "UDP", Udp(sport, port, Filler(1)))
    p.send(packet, "datagram")
    p.send(packet, "datagram")
    good = True
    for _ in range(int(wait) if wait else 3):
        p.wait(p.now + 1.0)
        if any(e.what == "error" for e in p.heard()):
            good = False
            break
        p.send(packet, "datagram")
    p.walk.settle()
    p.close()
    return "", good
