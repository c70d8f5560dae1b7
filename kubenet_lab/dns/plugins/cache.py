"""The `cache` plugin: keeps answers and denials, and rewrites every TTL to the one it keeps them for.

Its state is in the server's memory, so it forks with a walk. Source: coredns plugin/cache (cache.go, handler.go, item.go,
setup.go) and plugin/pkg/cache (256 shards, a full one loses an element at random).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ...errors import NotModelled
from ..caddyfile import CorefileError
from ..corefile import origins
from ..message import Query, Response
from ..names import is_subdomain, longest_zone, normalize
from ..typify import answers, minimal_ttl, typify
from .base import Env, Plugin, Reply, Setup, Unwritten, duration, integer, only_once, pass_on

__all__ = ["Cache", "Item", "setup"]

SHARDS = 256
_EMPTY: Mapping[int, Item] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Item:
    """A kept response: its one TTL in seconds and when it was stored (lab time); `hits` counts late hits, for prefetch."""

    response: Response
    ttl: int
    stored: float
    last_hit: float = 0.0
    hits: int = 0

    def left(self, now: float) -> int:
        return self.ttl - int(now - self.stored)


def _fnv(query: Query) -> int:
    """FNV-1, 64 bits, of DO, CD, type and folded name: which shard an answer lives in."""
    from ..wire import _type

    number = _type(query.type)
    h = 0xCBF29CE484222325
    for byte in (b"1" if query.do else b"0") + (b"1" if query.cd else b"0") + number.to_bytes(2, "big") + query.name.encode():
        h = (h * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        h ^= byte
    return h


@dataclass(slots=True)
class Cache:
    zones: tuple[str, ...]
    number: int = 0  # of the server block: each has its own cache
    success_capacity: int = 10_000
    denial_capacity: int = 10_000
    success_ttl: int = 3600
    denial_ttl: int = 1800
    success_min: int = 5
    denial_min: int = 5
    failure_ttl: int = 5
    keep_ttl: bool = False
    no_success: tuple[str, ...] = ()
    no_denial: tuple[str, ...] = ()
    stale: float = 0.0
    verify_stale: bool = False
    prefetch: int = 0
    prefetch_window: float = 60.0
    prefetch_percentage: int = 10
    next: Plugin | None = None
    name: str = "cache"

    def serve(self, query: Query, env: Env) -> Reply:
        if not longest_zone(self.zones, query.name):
            return pass_on(self, query, env)
        now = env.now()
        found = self._find(query, env, now)
        if found is None:
            return self._fresh(query, env)
        kind, key, item = found
        left = item.left(now)
        if left < 0:
            if self.verify_stale:
                reply = self._fresh(query, env, only_good=True)
                if isinstance(reply, Response) and reply.rcode in ("NOERROR", "NXDOMAIN"):
                    return reply
            env.step("dns.cache_stale", name=query.question.name, age=int(now - item.stored), kind=kind)
            if not self.verify_stale:
                self._refresh(query, env, item.hits)
            left = 0
        else:
            env.step("dns.cache_hit", name=query.question.name, age=int(now - item.stored), left=left, kind=kind, rcode=item.response.rcode)
            if self.prefetch and (hits := self._prefetch_due(kind, key, item, env, now)):
                self._refresh(query, env, hits)
        ttl = item.ttl if self.keep_ttl else left
        kept = item.response
        flags = ["AA", *(f for f in ("RA",) if f in kept.flags)]
        if "AD" in kept.flags and (query.do or query.ad):
            flags.append("AD")
        return query.reply(
            kept.rcode, flags=flags, answer=kept.answer, authority=kept.authority, additional=kept.additional
        ).with_ttl(ttl)  # fmt: skip

    # --- the store -----------------------------------------------------------------------------------------------
    def _slot(self, kind: str, key: int) -> str:
        return f"cache/{self.number}/{kind}/{key % SHARDS}"

    def _find(self, query: Query, env: Env, now: float) -> tuple[str, int, Item] | None:
        key = _fnv(query)
        for kind in ("denial", "success"):
            item = env.memory.get(self._slot(kind, key), _EMPTY).get(key)
            if item is None or not answers(item.response, query):
                continue
            left = item.left(now)
            if left > 0 or (self.stale > 0 and -left < int(self.stale)):
                return kind, key, item
        return None

    def _store(self, kind: str, key: int, item: Item, env: Env) -> None:
        slot = self._slot(kind, key)
        shard = dict(env.memory.get(slot, _EMPTY))
        capacity = self.success_capacity if kind == "success" else self.denial_capacity
        if key not in shard and len(shard) >= max(capacity // SHARDS, 4):
            keys = sorted(shard)
            del shard[keys[env.choose([1] * len(keys), "coredns.cache.evict")]]
        shard[key] = item
        env.memory[slot] = MappingProxyType(shard)

    def _fresh(self, query: Query, env: Env, only_good: bool = False, drop_denial: bool = False) -> Reply:
        """Ask the next plugin, keep what it wrote and give it the TTL it is kept for."""
        reply = pass_on(self, query, env)
        if isinstance(reply, Unwritten) or (only_good and reply.rcode not in ("NOERROR", "NXDOMAIN")):
            return reply
        kind = typify(reply)
        least = minimal_ttl(reply, kind)
        if kind in ("NXDOMAIN", "NODATA"):
            ttl = min(max(least, self.denial_min), self.denial_ttl)
        elif kind == "SERVERERROR":
            ttl = self.failure_ttl
        else:
            ttl = min(max(least, self.success_min), self.success_ttl)
        reply = reply.with_ttl(ttl)
        if not query.do and not query.ad:
            reply = reply.but(flags=reply.flags.having(off=("AD",)))
        if not reply.truncated and kind not in ("OTHERERROR", "META") and ttl > 0 and answers(reply, query):
            positive = kind in ("NOERROR", "DELEGATION")
            if any(is_subdomain(z, query.name) for z in (self.no_success if positive else self.no_denial)):
                env.step("dns.cache_disabled", name=query.question.name, kind="success" if positive else "denial")
            else:
                key = _fnv(query)
                self._store("success" if positive else "denial", key, Item(reply.but(edns=None), ttl, env.now()), env)
                if positive and drop_denial and (shard := env.memory.get(self._slot("denial", key))) and key in shard:
                    env.memory[self._slot("denial", key)] = MappingProxyType({k: v for k, v in shard.items() if k != key})
                env.step("dns.cache_stored", name=query.question.name, ttl=ttl, kind="success" if positive else "denial")
        return reply

    def _refresh(self, query: Query, env: Env, hits: int) -> None:
        """A refresh that the client does not wait for; the count of hits goes over to the new element."""
        if env.waits:
            raise NotModelled("a refresh of CoreDNS's cache behind the client's back (prefetch, serve_stale) while packets are walked")
        steps = env.steps
        env.steps = []
        self._fresh(query, env, drop_denial=True)
        env.steps = steps
        key = _fnv(query)
        for kind in ("denial", "success"):
            if (item := env.memory.get(self._slot(kind, key), _EMPTY).get(key)) is not None:
                self._store(kind, key, replace(item, last_hit=env.now(), hits=hits), env)
                return

    def _prefetch_due(self, kind: str, key: int, item: Item, env: Env, now: float) -> int:
        """The count of hits if the element is to be fetched again, else 0. Hits count while at most `duration` apart (cache/freq)."""
        restart = item.hits == 0 or now > item.last_hit + self.prefetch_window
        item = replace(item, last_hit=now, hits=1 if restart else item.hits + 1)
        self._store(kind, key, item, env)
        threshold = math.ceil(self.prefetch_percentage / 100 * item.ttl)
        return item.hits if item.hits >= self.prefetch and item.left(now) <= threshold else 0


def setup(s: Setup) -> Cache:
    d = s.dispenser()
    d.next()
    cache = Cache((), s.block.number)
    args = d.remaining_args()
    if args and args[0].lstrip("+-").isdigit():
        ttl = integer(args.pop(0))
        if ttl <= 0:
            raise CorefileError(f"cache TTL can not be zero or negative: {ttl}")
        cache.success_ttl = cache.denial_ttl = ttl
    cache.zones = origins(args, s.block.zones)
    while d.next_block():
        match d.value:
            case "success" | "denial" as kind:
                args = d.remaining_args()
                if not args:
                    raise d.argument_error()
                capacity, *rest = (integer(a) for a in args[:3])
                if rest and rest[0] <= 0:
                    raise CorefileError(f"cache TTL can not be zero or negative: {rest[0]}")
                if len(rest) > 1 and rest[1] < 0:
                    raise CorefileError(f"cache min TTL can not be negative: {rest[1]}")
                if kind == "success":
                    cache.success_capacity = capacity
                    cache.success_ttl, cache.success_min = _pair(rest, cache.success_ttl, cache.success_min)
                else:
                    cache.denial_capacity = capacity
                    cache.denial_ttl, cache.denial_min = _pair(rest, cache.denial_ttl, cache.denial_min)
            case "prefetch":
                args = d.remaining_args()
                if not 1 <= len(args) <= 3:
                    raise d.argument_error()
                cache.prefetch = integer(args[0])
                if cache.prefetch < 0:
                    raise CorefileError(f"prefetch amount should be positive: {cache.prefetch}")
                if len(args) > 1:
                    cache.prefetch_window = duration(args[1])
                if len(args) > 2:
                    if not args[2].endswith("%"):
                        raise CorefileError(f'last character of percentage should be `%`, but is: "{args[2][-1:]}"')
                    cache.prefetch_percentage = integer(args[2][:-1])
                    if not 10 <= cache.prefetch_percentage <= 90:
                        raise CorefileError(f"percentage should fall in range [10, 90]: {cache.prefetch_percentage}")
            case "serve_stale":
                args = d.remaining_args()
                if len(args) > 2:
                    raise d.argument_error()
                cache.stale = duration(args[0]) if args else 3600.0
                if cache.stale < 0:
                    raise CorefileError("invalid negative duration for serve_stale")
                mode = args[1].lower() if len(args) > 1 else "immediate"
                if mode not in ("immediate", "verify"):
                    raise CorefileError(f"invalid value for serve_stale refresh mode: {mode}")
                cache.verify_stale = mode == "verify"
            case "servfail":
                args = d.remaining_args()
                if len(args) != 1:
                    raise d.argument_error()
                seconds = duration(args[0])
                if seconds < 0:
                    raise CorefileError("invalid negative ttl for servfail")
                if seconds > 300:
                    raise CorefileError("caching SERVFAIL responses over 5 minutes is not permitted")
                cache.failure_ttl = int(seconds)
            case "disable":
                args = d.remaining_args()
                if not args:
                    raise d.argument_error()
                zones = tuple(normalize(z) for z in args[1:]) or (".",)
                if args[0] == "denial":
                    cache.no_denial = zones
                elif args[0] == "success":
                    cache.no_success = zones
                else:
                    raise CorefileError('cache type for disable must be "success" or "denial"')
            case "keepttl":
                if d.remaining_args():
                    raise d.argument_error()
                cache.keep_ttl = True
            case _:
                raise d.argument_error()
    only_once(d)
    return cache


def _pair(given: list[int], ttl: int, least: int) -> tuple[int, int]:
    return (given[0] if given else ttl, given[1] if len(given) > 1 else least)
