"""`hostname`. Source: Debian's hostname 3.23, hostname(1)."""

from __future__ import annotations

from ...errors import NotModelled
from ...kernel.shell import Terminal, ToolError
from .machine import Machine

__all__ = ["hostname"]


def hostname(machine: Machine, t: Terminal, argv: list[str]) -> str:
    """The name; -f with its domain, -i its addresses by /etc/hosts, -I those of all interfaces."""
    name, domain = machine.hostname, machine.domain
    match argv[1:]:
        case [] | ["-s"]:
            return f"{name}\n"
        case ["-f"] | ["--fqdn"]:
            return f"{name}.{domain}\n" if domain else f"{name}\n"
        case ["-d"]:
            return f"{domain}\n" if domain else ""
        case ["-i"]:
            found = list(dict.fromkeys(ip for ip, _ in machine.named_in_hosts(name)))
            if not found:
                raise NotModelled("hostname -i on a node, which asks its resolver; hostname -I lists the addresses")
            return f"{' '.join(found)}\n"
        case ["-I"]:
            plain = [a for dev, a in t.ns.addresses() if dev != "lo" and a.scope != "link" and t.ns.links[dev].up]
            return "".join(f"{a.ip} " for a in sorted(plain, key=lambda a: a.family)) + "\n"
    if len(argv) == 2 and not argv[1].startswith("-"):
        raise NotModelled("giving a machine another name")
    raise ToolError("Usage: hostname [-s|-f|-d|-i|-I]   (these are the options that kubenet-lab models)", 4)
