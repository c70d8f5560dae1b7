"""A DNS server as CoreDNS runs it: picks the server block, runs its plugins, makes the answer fit the client.

`Server` needs no network: `answer` is a function of the question, the objects, the clock and what is remembered.
Source: coredns core/dnsserver/server.go (ServeDNS), request/request.go (Scrub, SizeAndDo), plugin/pkg/edns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..errors import NotModelled
from ..objects.snapshot import Snapshot
from ..trace import Reason
from . import plugins
from .corefile import Corefile, ServerBlock, shipped
from .message import Edns, Query, Question, Response
from .names import ancestors, fqdn
from .plugins.base import Asked, Env, Plugin, Unwritten
from .zones import Zones

__all__ = ["NODE_RESOLV_CONF", "Resolver", "Server"]

MAX_DEPTH = 8  # the server asking itself
#: EDNS options that are handed back as they came: NSID, EXPIRE, COOKIE, TCP-KEEPALIVE, PADDING
_ECHOED = frozenset({3, 9, 10, 11, 12})
#: what a node's resolv.conf says where nothing else is known: one resolver outside the cluster
NODE_RESOLV_CONF = "nameserver 192.0.2.53\n"


class Resolver(Protocol):
    """Something that can be asked without a network, in place of an upstream."""

    def answer(self, query: Query) -> Response: ...


def _first(weights: Sequence[int], chooser: str) -> int:
    return 0


class Server:
    """A Corefile and the objects it answers from.

    `snapshot` is the objects or a function that gives them now. `files` are the files that the Corefile names, by path;
    `/etc/resolv.conf` is the node's (a CoreDNS pod has dnsPolicy Default). `serial` is the SOA serial (unix time of the
    last change); 0 takes the newest creation time of a Service or EndpointSlice.
    Raises CorefileError with CoreDNS's message.
    """

    def __init__(
        self,
        corefile: str | Corefile | None = None,
        snapshot: Snapshot | Callable[[], Snapshot] | None = None,
        domain: str = "cluster.local",
        *,
        files: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        local_ips: Sequence[str] = (),
        serial: int = 0,
        synced: bool = True,
    ):
        self.files = {"/etc/resolv.conf": NODE_RESOLV_CONF, **(files or {})}
        text = shipped(domain) if corefile is None else corefile
        self.corefile = text if isinstance(text, Corefile) else Corefile.parse(text, env=env, files=files)
        self.domain, self.local_ips, self.serial, self.synced = domain, tuple(local_ips), serial, synced
        empty = Snapshot(domain=domain)
        self._snapshot: Callable[[], Snapshot] = snapshot if callable(snapshot) else (lambda: snapshot or empty)
        self._chains: list[Plugin | None] = [plugins.chain(b, self.files) for b in self.corefile.blocks]
        self._zones: dict[tuple[int, str], list[ServerBlock]] = {}
        for block in self.corefile.blocks:
            for address in block.addresses:
                if address.transport == "dns":
                    self._zones.setdefault((address.port, address.zone.lower()), []).append(block)

    @property
    def ports(self) -> tuple[int, ...]:
        return self.corefile.ports

    def answer(
        self,
        question: Query | Question | str,
        client_ip: str = "127.0.0.1",
        now: float = 0.0,
        memory: MutableMapping[str, Any] | None = None,
        upstream: Resolver | None = None,
        *,
        type: str = "A",
        port: int = 53,
        protocol: str = "UDP",
        choose: Callable[[Sequence[int], str], int] = _first,
    ) -> tuple[Response, tuple[Reason, ...]]:
        """The answer, and in order what decided it.

        `memory` is what the server remembers (caches) and is changed; None starts empty. `upstream` answers in place of
        every address that is forwarded to; None is a small internet of its own. `choose` draws among weights: the first
        by default, so records keep their order.
        """
        if isinstance(question, str):
            question = Question(fqdn(question), type)
        query = question if isinstance(question, Query) else Query(question)
        resolver: Resolver = upstream or Zones.default()

        def ask(address: str, port: int, protocol: str, asked: Query, timeout: float) -> Asked:
            return Asked(resolver.answer(asked))

        env = self.environment(client_ip, lambda: now, {} if memory is None else memory, choose, ask, protocol)
        return self.serve(query, env, port), tuple(env.steps)

    def environment(
        self, client_ip: str, clock: Callable[[], float], memory: MutableMapping[str, Any], choose: Callable[[Sequence[int], str], int],
        ask: Callable[[str, int, str, Query, float], Asked], protocol: str = "UDP", local_ips: tuple[str, ...] = (), waits: bool = False,
    ) -> Env:  # fmt: skip
        addresses = local_ips or self.local_ips
        return Env(
            self._snapshot(), clock, memory, choose, ask, self._lookup, client_ip, protocol, addresses, self.serial, self.synced, waits
        )

    def _lookup(self, query: Query, env: Env) -> Response:
        if env.depth >= MAX_DEPTH:
            raise NotModelled(f"CoreDNS asking itself more than {MAX_DEPTH} times for one question ({query})")
        env.depth += 1
        try:
            return self.serve(query, env)
        finally:
            env.depth -= 1

    # --- one query -------------------------------------------------------------------------------------------------
    def serve(self, query: Query, env: Env, port: int = 53) -> Response:
        """The response to a query, cut to what the client takes."""
        response = self._decide(query, env, port).but(id=query.id)
        if query.edns is not None and response.edns is None:
            kept = tuple(o for o in query.edns.options if o[0] in _ECHOED)
            response = response.but(edns=Edns(min(query.edns.size, env.largest), query.edns.do, 0, kept))
        return _fit(response, query, env)

    def _decide(self, query: Query, env: Env, port: int) -> Response:
        name = query.question.name
        if query.question.cls != "IN":
            env.step("dns.refused_class", name=name, cls=query.question.cls)
            return query.reply("REFUSED")
        if query.edns is not None and query.edns.version != 0:
            return query.reply("BADVERS", edns=Edns(0))
        chosen = self._block(query, port)
        if chosen is None:
            env.step("dns.refused_zone", name=name, zones=tuple(sorted({z for p, z in self._zones if p == port})))
            return query.reply("REFUSED")
        block, zone = chosen
        first = self._chains[block.number]
        if first is None:
            env.step("dns.refused_empty", name=name, zone=zone)
            return query.reply("REFUSED")
        if len(self.corefile.blocks) > 1 and env.depth == 0:
            env.step("dns.server_block", name=name, zone=zone, line=block.line)
        reply = first.serve(query, env)
        if isinstance(reply, Unwritten):
            return query.reply(reply.rcode)
        return reply

    def _block(self, query: Query, port: int) -> tuple[ServerBlock, str] | None:
        """The block of the longest zone that holds the name. A DS question goes to the parent's block if that is here too."""
        held: tuple[ServerBlock, str] | None = None
        for zone in ancestors(query.name):
            for block in self._zones.get((port, zone), ()):
                self._plain(block)
                if query.type != "DS" or self._chains[block.number] is None:
                    return block, zone
                held = block, zone
        if held is not None:
            return held
        for block in self._zones.get((port, "."), ()):
            self._plain(block)
            return block, "."
        return None

    def _plain(self, block: ServerBlock) -> None:
        if "view" in block.directives:
            raise NotModelled("a server block with a `view`: expressions over a query")


def _fit(response: Response, query: Query, env: Env) -> Response:
    from .wire import truncate, wire_length

    limit = 65535 if env.protocol == "TCP" else max(min(query.edns.size, env.largest) if query.edns else 512, 512)
    if _most(response) <= 512:  # most answers need no measuring
        return replace(response, compress=False)
    fitted = truncate(response, limit)
    if fitted.truncated and not response.truncated:
        env.step("dns.truncated", name=query.question.name, limit=limit, records=len(response.answer), kept=len(fitted.answer))
    if env.protocol == "UDP" and not fitted.compress and wire_length(fitted) > (1480 if ":" not in env.client_ip else 1220):
        fitted = replace(fitted, compress=True)
    return fitted


def _most(response: Response) -> int:
    """No fewer bytes than the response has on the wire: rdata is never 20 bytes longer than its text."""
    question = len(response.question.name) + 6 if response.question else 0
    opt = 11 + sum(4 + len(data) for _, data in response.edns.options) if response.edns else 0
    return 12 + question + opt + sum(len(r.name) + len(r.data) + 32 for r in response.records)
