"""What rules remember, and for how long: a list of `recent` addresses, a hashlimit table, a set's timed elements.

Each lives as long as a rule names it, or as its set exists: who comes later under the same name begins with nothing.
Source: Linux net/netfilter/xt_recent.c (recent_mt_destroy), xt_hashlimit.c (htable_put), nf_tables_api.c (nft_set_destroy).
"""

from __future__ import annotations

from .iptables.match_chance import HashLimit, Recent
from .namespace import Namespace
from .state import State

__all__ = ["forget_unnamed"]


def forget_unnamed(ns: Namespace, state: State) -> None:
    """Drop what no rule and no set of this namespace holds any more. To be called when they have changed."""
    held = [key for key in state.keys() if key[0] in ("recent", "nft-set") and key[1] == ns.id]  # noqa: SIM118
    if not held:
        return
    matches = [m for fam in (4, 6) for t in ns.ruleset(fam).tables.values() for c in t.chains.values() for r in c.rules for m in r.matches]
    named = {m.name for m in matches if isinstance(m, Recent)}
    named |= {f"/hashlimit {m.name}" for m in matches if isinstance(m, HashLimit)}
    sets = {f"{t.family} {t.name} {name}" for t in ns.nft.tables.values() for name in t.sets}
    for key in held:
        name = key[2]
        by_rule = name.startswith("/") and not name.startswith("/hashlimit ")  # kept by the rule's uid, which does not come again
        if name not in sets if key[0] == "nft-set" else not by_rule and name not in named:
            state.drop(*key)
