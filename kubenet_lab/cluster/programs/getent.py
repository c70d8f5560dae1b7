"""`getent hosts`, `ahosts`, `ahostsv4`, `ahostsv6`. Source: glibc nss/getent.c; output and status are measured (2.36)."""

from __future__ import annotations

from ...dns.hosts_file import hosts_entries
from ...dns.names import parse_ip, reverse_name
from ...errors import NotModelled
from ...kernel.shell import Terminal, ToolError
from .machine import Machine, canonical_name

__all__ = ["getent"]

_FAMILIES = {"ahosts": "any", "ahostsv4": "IPv4", "ahostsv6": "IPv6"}
_OTHERS = ("aliases", "ethers", "group", "gshadow", "initgroups", "netgroup", "networks", "passwd", "protocols", "rpc", "services",
           "shadow")  # fmt: skip
NOT_FOUND = 2


def getent(machine: Machine, t: Terminal, argv: list[str]) -> str:
    if len(argv) < 2:
        raise ToolError("getent: wrong number of arguments\nTry `getent --help' or `getent --usage' for more information.", 1)
    database, keys = argv[1], argv[2:]
    if database in _OTHERS:
        raise NotModelled(f"getent {database}; kubenet-lab knows hosts, {', '.join(_FAMILIES)}")
    if database != "hosts" and database not in _FAMILIES:
        raise ToolError(f"Unknown database: {database}\nTry `getent --help' or `getent --usage' for more information.", 1)
    if not keys:
        return "".join(_line(_four(ip), names) for ip, names in hosts_entries(machine.hosts) if ":" not in _four(ip))
    out = ""
    for key in keys:
        found = _host(machine, t, key) if database == "hosts" else _addresses(machine, t, key, _FAMILIES[database])
        if not found:
            t.status = NOT_FOUND
        out += found
    return out


def _line(ip: str, names: tuple[str, ...]) -> str:
    return f"{ip:<15} {' '.join(names)}\n"


def _host(machine: Machine, t: Terminal, key: str) -> str:
    """gethostbyname2 for IPv6, then for IPv4; gethostbyaddr for an address."""
    listed = machine.named_in_hosts(key)
    if parse_ip(key) is not None:
        if listed:
            return _line(*listed[0])
        call = machine.call(key)
        name = reverse_name(key)
        sent = machine.ask(t, call, name, "PTR", call.servers[0], float(machine.resolv.timeout))
        names = tuple(r.data.rstrip(".") for r in (sent.response.answer if sent.response else ()) if r.type == "PTR")
        return _line(key, names) if names else ""
    for six in (True, False):
        if here := [(ip, names) for ip, names in listed if (":" in ip) == six]:
            return _line(*here[0])
        done = machine.resolve(t, key, "IPv6" if six else "IPv4")
        if done:
            good = next(q for q in reversed(done.queries) if q.answers)
            name = canonical_name(good.response, good.name).rstrip(".")
            alias = (good.name.rstrip("."),) if good.name.rstrip(".").lower() != name.lower() else ()
            return "".join(_line(ip, (name, *alias)) for ip in done.addresses)
    return ""


def _four(ip: str) -> str:
    """A file that is read for IPv4 has its own ::1 as 127.0.0.1 (nss_files)."""
    return "127.0.0.1" if ip == "::1" else ip


def _addresses(machine: Machine, t: Terminal, key: str, family: str) -> str:
    """getaddrinfo with AI_ADDRCONFIG: only families of which this machine has an address beside its loopback's."""
    families = {a.family for dev, a in t.ns.addresses() if dev != "lo"}
    if family == "any" and len(families) == 1:
        family = "IPv4" if families == {4} else "IPv6"
    listed = machine.named_in_hosts(key)
    if family == "IPv4" and any(_four(ip) == "127.0.0.1" for ip, _ in listed):
        mine = [(_four(ip), listed[0][1][0]) for ip, _ in listed if ":" not in _four(ip)]
        return _three(mine)
    done = machine.resolve(t, key, family)
    if not done:
        return ""
    good = next((q for q in reversed(done.queries) if q.answers), None)
    name = canonical_name(good.response, good.name).rstrip(".") if good else listed[0][1][0] if listed and done.source == "hosts" else key
    return _three([(ip, name) for ip in done.addresses])


def _three(found: list[tuple[str, str]]) -> str:
    """A line for each kind of socket; the name stands in the first."""
    out = ""
    for ip, name in found:
        for kind in ("STREAM", "DGRAM", "RAW"):
            out += f"{ip:<15} {kind:<6} {name if not out else ''}\n"
    return out
