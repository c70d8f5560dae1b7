"""The iptables and ipset families: run by their own modules on this namespace's rules and sets."""

from __future__ import annotations

from .. import iptables
from ..ipset import IpSets
from .terminal import Terminal

__all__ = ["IPTABLES", "run_ipset", "run_iptables"]

IPTABLES = tuple(
    f"{six}tables{kind}{end}" for six in ("ip", "ip6") for kind in ("", "-legacy", "-nft") for end in ("", "-save", "-restore")
)


def run_iptables(t: Terminal, argv: list[str]) -> str:
    four, six = t.ns.ruleset(4), t.ns.ruleset(6)
    before = (four.version, six.version)
    hits = t.state.write("hits", t.ns.id)
    try:
        return iptables.run(four, six, argv, stdin=t.stdin, counters=hits, counters6=hits)
    finally:
        if (four.version, six.version) != before:
            t.ns.rules_changed()
            t.changed = True


_READS = ("list", "save", "test", "version", "help", "-L", "-S", "-T", "-v", "-V", "-h", "--list", "--save", "--test")


def run_ipset(t: Terminal, argv: list[str]) -> str:
    if t.ns.ipsets is None:
        t.ns.ipsets = IpSets()
    out = t.ns.ipsets.run(argv, stdin=t.stdin, now=t.state.clock)
    if not any(w in _READS for w in argv[1:]):
        t.ns.rules_changed()
        t.changed = True
    return out
