"""The `autopath` plugin: walks the client's search list on the server, so that one query is enough.

Source: coredns plugin/autopath/autopath.go, cname.go; plugin/kubernetes/autopath.go for `@kubernetes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import NotModelled
from ..caddyfile import CorefileError
from ..corefile import origins
from ..message import Query, Record, Response
from ..names import is_subdomain, longest_zone, trim_zone
from ..resolv import parse_resolv_conf
from .base import Env, Plugin, Reply, Setup, Unwritten, pass_on
from .kubernetes import Kubernetes

__all__ = ["Autopath", "setup"]


@dataclass(slots=True)
class Autopath:
    zones: tuple[str, ...]
    search: tuple[str, ...] = ()
    kubernetes: bool = False
    next: Plugin | None = None
    name: str = "autopath"

    def _search(self, query: Query, env: Env) -> tuple[str, ...]:
        if not self.kubernetes:
            return self.search
        plugin = self.next
        while plugin is not None and not isinstance(plugin, Kubernetes):
            plugin = plugin.next
        return plugin.search_path(query, env) if plugin else ()

    def serve(self, query: Query, env: Env) -> Reply:
        if not longest_zone(self.zones, query.name):
            return pass_on(self, query, env)
        search = self._search(query, env)
        if not search or not is_subdomain(search[0], query.name):
            return pass_on(self, query, env)
        original = query.question.name
        base = trim_zone(original, search[0])
        first: Reply | None = None
        for path in search:
            reply = pass_on(self, query.asking(f"{base}.{path}" if path else base), env)
            if isinstance(reply, Unwritten) and reply.error:
                return reply
            first = first or reply
            if isinstance(reply, Unwritten) or reply.rcode == "NXDOMAIN":
                continue
            env.step("dns.autopath", name=original, found=f"{base}.{path}" if path else f"{base}.")
            return _renamed(reply, query)
        assert first is not None
        return first


def _renamed(reply: Response, query: Query) -> Response:
    """The answer under the name that was asked: a CNAME leads from it to the first owner that differs."""
    original = query.question.name
    answer = reply.answer
    for r in answer:
        if r.name.lower() != original.lower():
            answer = (Record(original, "CNAME", r.ttl, r.name), *answer)
            break
    return reply.but(answer=answer, question=query.question)


def setup(s: Setup) -> Autopath:
    d = s.dispenser()
    plugin = Autopath(s.block.zones)
    while d.next():
        args = d.remaining_args()
        if not args:
            raise CorefileError("no resolv-conf specified")
        source = args.pop()
        plugin.zones = origins(args, s.block.zones)
        if source == "@kubernetes":
            plugin.kubernetes = True
        elif source.startswith("@"):
            raise NotModelled(f"autopath {source}")
        else:
            paths = parse_resolv_conf(s.file(source)).searches
            plugin.search = (*(p.lower() + "." for p in paths), "")
    return plugin
