"""The iptables, ipset and nft families: run by their own modules on this namespace's rules and sets."""

from __future__ import annotations

from .. import iptables, nftables
from ..ipset import IpSets
from ..rule_memory import forget_unnamed
from . import files
from .terminal import Terminal

__all__ = ["IPTABLES", "run_ipset", "run_iptables", "run_nft"]

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
            forget_unnamed(t.ns, t.state)
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


def run_nft(t: Terminal, argv: list[str]) -> str:
    timed = {key[2]: t.state.read(*key) for key in list(t.state.keys()) if key[:2] == ("nft-set", t.ns.id)}
    seen = nftables.Seen(t.state.read("nft-hits", t.ns.id), timed, t.state.clock)
    done = nftables.run(t.ns.nft, argv, stdin=t.stdin, read=lambda name: files.input_of(t, "nft", [name]), seen=seen)
    for there, name, key, life, own in done.timed:
        table = t.state.write("nft-set", t.ns.id, name)
        if key is None:
            table.clear()
        elif there:
            table.setdefault(repr(key), (key, t.state.clock + life, own))
        else:
            table.pop(repr(key), None)
    if done.changed:
        t.ns.rules_changed()
        forget_unnamed(t.ns, t.state)
        t.changed = True
    return done.output
