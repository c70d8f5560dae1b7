"""The `loadbalance` plugin: addresses in a random order behind the other records, cache hits included.

Source: coredns plugin/loadbalance/loadbalance.go, setup.go, prefer.go.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ...errors import NotModelled
from ..caddyfile import CorefileError, Dispenser
from ..message import Query, Response, RRset
from .base import Env, Plugin, Reply, Setup, duration, pass_on

__all__ = ["LoadBalance", "setup"]


@dataclass(slots=True)
class LoadBalance:
    prefer: tuple[str, ...] = ()
    weighted: str = ""  # path of the file with the weights
    next: Plugin | None = None
    name: str = "loadbalance"

    def serve(self, query: Query, env: Env) -> Reply:
        reply = pass_on(self, query, env)
        if not isinstance(reply, Response) or reply.rcode != "NOERROR" or query.type in ("AXFR", "IXFR"):
            return reply
        if self.weighted and sum(r.type in ("A", "AAAA") for r in reply.answer) > 1:
            raise NotModelled(f"loadbalance weighted: weights from the file {self.weighted!r}")
        answer = _shuffle(reply.answer, env)
        if sum(r.type in ("A", "AAAA") for r in answer) > 1:
            env.step("dns.shuffled", name=query.question.name, count=sum(r.type in ("A", "AAAA") for r in answer))
        if self.prefer:
            answer = self._preferred(answer)
        return reply.but(answer=answer, authority=_shuffle(reply.authority, env), additional=_shuffle(reply.additional, env))

    def _preferred(self, records: RRset) -> RRset:
        """Addresses in the named subnets come first, in the order of the subnets."""
        others = [r for r in records if r.type not in ("A", "AAAA")]
        left = [r for r in records if r.type in ("A", "AAAA")]
        for cidr in self.prefer:
            net = ipaddress.ip_network(cidr, strict=False)
            others += [r for r in left if ipaddress.ip_address(r.data) in net]
            left = [r for r in left if ipaddress.ip_address(r.data) not in net]
        return (*others, *left)


def _shuffle(records: RRset, env: Env) -> RRset:
    """CNAMEs, other types, addresses, MX: the last two each in a drawn order."""
    if len(records) < 2:
        return records
    cname = [r for r in records if r.type == "CNAME"]
    rest = [r for r in records if r.type not in ("CNAME", "A", "AAAA", "MX")]
    out = cname + rest
    for group in ([r for r in records if r.type in ("A", "AAAA")], [r for r in records if r.type == "MX"]):
        while len(group) > 1:
            out.append(group.pop(env.choose([1] * len(group), "coredns.loadbalance")))
        out += group
    return tuple(out)


def setup(s: Setup) -> LoadBalance:
    d = s.dispenser()
    plugin = LoadBalance()
    while d.next():
        args = d.remaining_args()
        if args and args[0] == "weighted":
            _weighted(plugin, d, args)
        elif args and args[0] != "round_robin":
            raise CorefileError(f"unknown policy: {args[0]}")
        elif len(args) > 1:
            raise d.error(f"unknown property for {args[0]}")
        while d.next_block():
            if d.value != "prefer":
                raise d.error(f"unknown property '{d.value}'")
            for cidr in d.remaining_args():
                try:
                    ipaddress.ip_network(cidr, strict=False)
                except ValueError:
                    raise d.error(f'invalid CIDR "{cidr}": invalid CIDR address: {cidr}') from None
                plugin.prefer += (cidr,)
    return plugin


def _weighted(plugin: LoadBalance, d: Dispenser, args: list[str]) -> None:
    if len(args) < 2:
        raise d.error("missing weight file argument")
    if len(args) > 2:
        raise d.error("unexpected argument(s)")
    plugin.weighted = args[1]
    while d.next_block():
        if d.value != "reload":
            raise d.error(f"unknown property '{d.value}'")
        given = d.remaining_args()
        if not given:
            raise d.error("reload duration value is missing")
        if len(given) > 1:
            raise d.error("unexpected argument")
        try:
            duration(given[0])
        except CorefileError:
            raise d.error(f"invalid reload duration '{given[0]}'") from None
