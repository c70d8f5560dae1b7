"""`ss`: sockets. Source: iproute2 6.1 misc/ss.c; the layout is measured."""

from __future__ import annotations

from ...errors import NotModelled
from ..port_names import service_name
from ..tcp_close import WITH_FIN
from ..tcp_conn import find
from .terminal import Terminal, ToolError
from .traffic import options

__all__ = ["run"]

_USAGE = """Usage: ss [ -l ] [ -a ] [ -t ] [ -u ] [ -n ] [ -4 ] [ -6 ] [ -H ]
(these are the options that kubenet-lab models)"""
_LONG = ["listening", "all", "tcp", "udp", "numeric", "ipv4", "ipv6", "no-header", "processes"]
_BACKLOG = 4096

#: (netid, state, receive queue, send queue, local address, local port, peer address, peer port)
Row = tuple[str, str, str, str, str, str, str, str]


def run(t: Terminal, argv: list[str]) -> str:
    found, rest = options("ss", argv[1:], "latun46HpemioswxZzbrO", _LONG, _USAGE, 255)
    names = {n for n, _ in found}

    def on(short: str, long: str) -> bool:
        return short in names or long in names

    known = {"-l", "-a", "-t", "-u", "-n", "-4", "-6", "-H", *(f"--{n}" for n in _LONG)} - {"--processes"}
    left_out = names - known
    if left_out:
        what = sorted(left_out)[0]
        raise NotModelled(f"ss {what}" + (": the lab's processes have no pid" if what in ("-p", "--processes") else ""))
    if rest:
        raise NotModelled("ss filters; take the lines you want")
    tcp, udp = on("-t", "--tcp"), on("-u", "--udp")
    if not tcp and not udp:
        raise ToolError("ss: say which sockets: -t, -u or both (the lab has no others)", 255)
    listening, everything, numeric = on("-l", "--listening"), on("-a", "--all"), on("-n", "--numeric")
    fams = {4, 6}
    if on("-4", "--ipv4") != on("-6", "--ipv6"):
        fams = {4} if on("-4", "--ipv4") else {6}
    rows: list[Row] = []
    if udp:
        rows += _listeners(t, "UDP", fams) if listening or everything else []
    if tcp:
        rows += _listeners(t, "TCP", fams) if listening or everything else []
        rows += _connections(t, fams, everything) if not listening or everything else []
    if not numeric:
        rows = [_named(r) for r in rows]
    return _table(rows, netid=tcp and udp, header=not on("-H", "--no-header"))


def _named(r: Row) -> Row:
    def name(port: str) -> str:
        return (service_name(int(port), r[0]) or port) if port != "*" else port

    return (*r[:5], name(r[5]), r[6], name(r[7]))


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _listeners(t: Terminal, protocol: str, fams: set[int]) -> list[Row]:
    state = ("LISTEN", "0", str(_BACKLOG)) if protocol == "TCP" else ("UNCONN", "0", "0")
    out: list[Row] = []
    for k in t.ns.listeners:
        if k.protocol != protocol:
            continue
        if not k.address:  # takes both families: an IPv6 socket, which ss shows as *
            if 6 in fams:
                out.append((protocol.lower(), *state, "*", str(k.port), "*", "*"))
        elif (6 if ":" in k.address else 4) in fams:
            out.append((protocol.lower(), *state, _bracket(k.address), str(k.port), "[::]" if ":" in k.address else "0.0.0.0", "*"))
    if protocol == "UDP":
        for link in t.ns.links.values():  # the sockets of tunnels: the kernel's own, and the program's that holds a TUN device
            if link.vxlan is not None and link.up and link.vxlan.family in fams:
                everyone = "0.0.0.0" if link.vxlan.family == 4 else "[::]"
                row: Row = ("udp", *state, everyone, str(link.vxlan.port), everyone, "*")
                if row not in out:
                    out.append(row)
            if link.wireguard is not None and link.up:
                out += [("udp", *state, a, str(link.wireguard.port), a, "*") for f, a in ((4, "0.0.0.0"), (6, "[::]")) if f in fams]
            if link.tun is not None and 4 in fams:
                out.append(("udp", *state, link.tun.local, str(link.tun.port), "0.0.0.0", "*"))
    return out


_STATES = {"ESTABLISHED": "ESTAB", "FIN_WAIT1": "FIN-WAIT-1", "FIN_WAIT2": "FIN-WAIT-2"}
#: shown only when all are asked for
_HIDDEN = ("SYN_RECV", "TIME_WAIT")


def _connections(t: Terminal, fams: set[int], everything: bool) -> list[Row]:
    """Send-Q: bytes that are not acknowledged; a FIN counts as one."""
    out: list[Row] = []
    for key in list(t.state.read("tcp", t.ns.id)):
        conn = find(t.state, t.ns.id, key)
        local, lport, remote, rport = key
        if conn is None or (conn.state in _HIDDEN and not everything) or (6 if ":" in local else 4) not in fams:
            continue
        state = _STATES.get(conn.state, conn.state.replace("_", "-"))
        queued = conn.unsent + (conn.state in WITH_FIN)
        out.append(("tcp", state, "0", str(queued), _bracket(local), str(lport), _bracket(remote), str(rport)))
    return out


def _table(rows: list[Row], netid: bool, header: bool) -> str:
    """Columns as wide as what is in them; addresses to the right, ports to the left of their colon."""
    head: Row = ("Netid", "State", "Recv-Q", "Send-Q", "Local Address", "Port", "Peer Address", "Port")
    lines = [head, *rows] if header else rows
    if not lines:
        return ""
    widths = [max(len(r[i]) for r in lines) for i in range(8)]
    tail = "Process" if header else ""
    out = ""
    for r in lines:
        first = f"{r[0]:<{widths[0]}} " if netid else ""
        left = f"{r[1]:<{widths[1]}} {r[2]:<{widths[2]}} {r[3]:<{widths[3]}} "
        out += f"{first}{left}{r[4]:>{widths[4]}}:{r[5]:<{widths[5]}} {r[6]:>{widths[6]}}:{r[7]:<{widths[7]}}"
        out += (tail if r is head else " " * len(tail)) + "\n"
    return out
