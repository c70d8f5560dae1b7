"""The `hosts` plugin: answers from lines in the form of /etc/hosts, in a file or in the Corefile itself.

A name it does not know is SERVFAIL unless it falls through: there is no SOA to make an NXDOMAIN with.
Source: coredns plugin/hosts/hosts.go, hostsfile.go, setup.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..caddyfile import CorefileError
from ..corefile import origins
from ..message import Query, Record
from ..names import longest_zone, normalize, parse_ip, reverse_address
from .base import NEVER, Env, Fall, Plugin, Reply, Setup, Unwritten, duration, integer, only_once, pass_on

__all__ = ["Hosts", "setup"]


@dataclass(slots=True)
class Hosts:
    zones: tuple[str, ...]
    fall: Fall = NEVER
    ttl: int = 3600
    reverse: bool = True
    by_name: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (name, "A" | "AAAA")
    by_address: dict[str, list[str]] = field(default_factory=dict)
    next: Plugin | None = None
    name: str = "hosts"

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            fields = line.partition("#")[0].split()
            if len(fields) < 2 or (ip := parse_ip(fields[0].partition("%")[0])) is None:
                continue
            for name in map(normalize, fields[1:]):
                if not longest_zone(self.zones, name):
                    continue
                self.by_name.setdefault((name, "AAAA" if ":" in ip else "A"), []).append(ip)
                if self.reverse:
                    self.by_address.setdefault(ip, []).append(name)

    def serve(self, query: Query, env: Env) -> Reply:
        name = query.name
        if not longest_zone(self.zones, name) and query.type != "PTR":
            return pass_on(self, query, env)
        found: list[str] = []
        if query.type == "PTR":
            found = self.by_address.get(reverse_address(name) or "", [])
            if not found:
                return pass_on(self, query, env)
        elif query.type in ("A", "AAAA"):
            found = self.by_name.get((name, query.type), [])
        if not found and not any((name, t) in self.by_name for t in ("A", "AAAA")):
            if self.fall.through(name):
                return pass_on(self, query, env)
            env.step("dns.hosts_unknown", name=query.question.name)
            return Unwritten("SERVFAIL")
        env.step("dns.hosts", name=query.question.name, type=query.type, found=tuple(found))
        owner = name if query.type == "PTR" or found else query.question.name
        return query.reply(flags=("AA",), answer=tuple(Record(owner, query.type, self.ttl, data) for data in found))


def setup(s: Setup) -> Hosts:
    d = s.dispenser()
    d.next()
    args = d.remaining_args()
    path = args.pop(0) if args else "/etc/hosts"
    hosts = Hosts(origins(args, s.block.zones))
    inline = []
    while d.next_block():
        match d.value:
            case "fallthrough":
                hosts.fall = Fall.of(d.remaining_args())
            case "no_reverse":
                hosts.reverse = False
            case "ttl":
                args = d.remaining_args()
                if not args:
                    raise d.error("ttl needs a time in second")
                if not args[0].lstrip("+-").isdigit():
                    raise d.error("ttl needs a number of second")
                hosts.ttl = integer(args[0])
                if not 0 < hosts.ttl <= 65535:
                    raise d.error("ttl provided is invalid")
            case "reload":
                args = d.remaining_args()
                if len(args) != 1:
                    raise d.error("reload needs a duration (zero seconds to disable)")
                try:
                    seconds = duration(args[0])
                except CorefileError:
                    raise d.error(f"invalid duration for reload '{args[0]}'") from None
                if seconds < 0:
                    raise d.error(f"invalid negative duration for reload '{args[0]}'")
            case word:
                if hosts.fall.zones:
                    raise d.error(f"unknown property '{word}'")
                inline.append(" ".join([word, *d.remaining_args()]))
    only_once(d)
    # the image has an /etc/hosts of its own (the kubelet's); it counts only where it is given
    if path in s.files:
        hosts.read(s.files[path].splitlines())
    elif path != "/etc/hosts":
        hosts.read(s.file(path).splitlines())
    hosts.read(inline)
    return hosts
