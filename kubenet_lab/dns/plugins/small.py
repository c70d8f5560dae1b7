"""Plugins of a few lines: `local`, `minimal`, `bufsize`, and what stands for those that the lab does not model.

Source: coredns plugin/local/local.go, plugin/minimal/minimal.go, plugin/bufsize/bufsize.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import NotModelled
from ..corefile import hosts_of
from ..message import Query, Record, Response
from ..names import longest_zone
from ..typify import typify
from .base import Env, Plugin, Reply, Setup, pass_on

__all__ = ["Bufsize", "Local", "Minimal", "Unmodelled", "bufsize", "local", "minimal", "unmodelled"]

LOCAL_TTL = 604800
LOCAL_ZONES = ("localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa.")


@dataclass(slots=True)
class Local:
    """Keeps questions about localhost at home."""

    next: Plugin | None = None
    name: str = "local"

    def serve(self, query: Query, env: Env) -> Reply:
        qname, name = query.question.name, query.name
        address = {"A": "127.0.0.1", "AAAA": "::1"}.get(query.type)
        if name.startswith("localhost.") and name != "localhost.":
            env.step("dns.local", name=qname)
            if address:
                return query.reply(answer=(Record(qname, query.type, LOCAL_TTL, address),))
            return query.reply(authority=(_local_soa(qname),))
        zone = longest_zone(LOCAL_ZONES, name)
        if not zone:
            return pass_on(self, query, env)
        env.step("dns.local", name=qname)
        zone = qname[len(qname) - len(zone) :]
        if name in LOCAL_ZONES:
            if address and name == "localhost.":
                return query.reply(answer=(Record(qname, query.type, LOCAL_TTL, address),))
            if query.type == "SOA":
                return query.reply(answer=(_local_soa(qname),))
            if query.type == "NS":
                return query.reply(answer=(Record(qname, "NS", LOCAL_TTL, "localhost."),))
            return query.reply(authority=(_local_soa(qname),))
        if name == "1.0.0.127.in-addr.arpa.":
            if query.type == "PTR":
                return query.reply(answer=(Record(qname, "PTR", LOCAL_TTL, "localhost."),))
            return query.reply(authority=(_local_soa(zone),))
        return query.reply("NXDOMAIN", authority=(_local_soa(zone),))


def _local_soa(owner: str) -> Record:
    return Record(owner, "SOA", LOCAL_TTL, f"localhost. root.localhost. 1 0 0 0 {LOCAL_TTL}")


@dataclass(slots=True)
class Minimal:
    """Drops the authority and additional sections of positive answers."""

    next: Plugin | None = None
    name: str = "minimal"

    def serve(self, query: Query, env: Env) -> Reply:
        reply = pass_on(self, query, env)
        if isinstance(reply, Response) and typify(reply) == "NOERROR":
            return reply.but(authority=(), additional=())
        return reply


@dataclass(slots=True)
class Bufsize:
    """Lowers the UDP size that a client advertises (RFC 6891) to `size` bytes."""

    size: int = 1232
    next: Plugin | None = None
    name: str = "bufsize"

    def serve(self, query: Query, env: Env) -> Reply:
        if query.edns is not None and query.edns.size > self.size:
            query = query.but(edns=replace(query.edns, size=self.size))
            env.largest = self.size  # the client's own answer is cut to it as well
        return pass_on(self, query, env)


@dataclass(slots=True)
class Unmodelled:
    """A plugin that would decide an answer in its zones and that the lab does not model."""

    name: str
    zones: tuple[str, ...] = (".",)
    types: tuple[str, ...] = ()  # if any, only these are its business
    next: Plugin | None = None

    def serve(self, query: Query, env: Env) -> Reply:
        if longest_zone(self.zones, query.name) and (not self.types or query.type in self.types):
            raise NotModelled(f"the CoreDNS plugin {self.name!r}, which would decide the answer for {query}")
        return pass_on(self, query, env)


def local(s: Setup) -> Local:
    return Local()


def minimal(s: Setup) -> Minimal:
    d = s.dispenser()
    d.next()
    if d.remaining_args():
        raise d.argument_error()
    return Minimal()


def bufsize(s: Setup) -> Bufsize:
    d = s.dispenser()
    d.next()
    args = d.remaining_args()
    size = int(args[0]) if args and args[0].isdigit() else 1232
    if len(args) > 1 or (args and not args[0].isdigit()) or not 512 <= size <= 4096:
        raise d.argument_error()
    return Bufsize(size)


#: where a plugin's zones stand among its arguments: after so many words; None: it sees every query of its block
_ZONES_AFTER = {"k8s_external": 0, "file": 1, "etcd": 0, "route53": 0, "azure": 0, "clouddns": 0, "secondary": 0, "dnssec": 0, "auto": 0}
_TYPES = {"any": ("ANY",), "transfer": ("AXFR", "IXFR"), "dns64": ("AAAA",)}


def unmodelled(s: Setup) -> Unmodelled:
    d = s.dispenser()
    zones: list[str] = []
    while d.next():
        args = d.remaining_args()
        if s.name in _ZONES_AFTER:
            named = [z.partition(":")[0] for z in args[_ZONES_AFTER[s.name] :]]
            zones += [z for a in named for z in hosts_of(a)] or s.block.zones
        while d.next_block():
            pass
    return Unmodelled(s.name, tuple(zones) or s.block.zones, _TYPES.get(s.name, ()))
