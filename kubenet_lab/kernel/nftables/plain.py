"""Which rules give every packet of one look (`iptables.looks`) the same answer, on one machine as it is programmed."""

from __future__ import annotations

from .model import NftRule
from .selectors import Concat, Field, Mixed, Selector
from .statements import FlagMatch, Log, Lookup, MapValue, Match, SetMark, Sets, Statement, Verdict, Vmap
from .statements_nat import Nat, Reject

__all__ = ["is_plain"]

#: what `looks` tells of
_FIELDS = frozenset((
    "ip saddr", "ip daddr", "ip protocol", "ip6 saddr", "ip6 daddr", "ip6 nexthdr", "tcp dport", "udp dport", "sctp dport", "th dport",
    "tcp flags", "meta mark", "meta l4proto", "meta nfproto", "meta protocol", "meta iifname", "meta oifname", "meta iif", "meta oif",
    "ct state", "fib saddr type", "fib daddr type",
))  # fmt: skip


def is_plain(rule: NftRule, sets: Sets) -> bool:
    """No chance, no clock, no counter, and nothing in it that packets change."""
    return all(_plain(s, sets) for s in rule.statements)


def _plain(s: Statement, sets: Sets) -> bool:
    if isinstance(s, Match | FlagMatch):
        return _seen(s.of)
    if isinstance(s, Lookup | Vmap):
        return _fixed(s, sets)
    if isinstance(s, SetMark):
        return s.where == "meta mark" and (isinstance(s.value, int) or (not isinstance(s.value, MapValue) and _seen(s.value)))
    if isinstance(s, Nat):
        return s.mapped is None or _fixed(s.mapped, sets)
    return isinstance(s, Verdict | Log | Reject)


def _fixed(s: Lookup | Vmap | MapValue, sets: Sets) -> bool:
    return _seen(s.of) and not (s.inline or sets(s.named)).dynamic


def _seen(what: Selector) -> bool:
    if isinstance(what, Concat):
        return all(_seen(p) for p in what.parts)
    return _seen(what.of) if isinstance(what, Mixed) else isinstance(what, Field) and what.words in _FIELDS
