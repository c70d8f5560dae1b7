"""The counters of iptables' rules: packets that take a known path are counted by it, and its rules are told when somebody reads."""

from __future__ import annotations

from .state import State

__all__ = ["Path", "count", "forget_hits", "rule_hits"]

#: uids of the rules that a packet matched in a table, in order
Path = tuple[int, ...]


def rule_hits(state: State, ns: str) -> dict[int, tuple[int, int]]:
    """(packets, bytes) of a namespace's rules by uid. Who changes it changes the counters."""
    hits: dict[int, tuple[int, int]] = state.write("hits", ns)
    for path, (packets, size) in state.read("paths", ns).items():
        count(state, ns, path, packets, size)
    state.drop("paths", ns)
    return hits


def count(state: State, ns: str, path: Path, packets: int, size: int) -> None:
    """At once, for a path that hardly another packet will take."""
    hits = state.write("hits", ns)
    for uid in path:
        n, total = hits.get(uid, (0, 0))
        hits[uid] = (n + packets, total + size)


def forget_hits(state: State) -> None:
    """Rules are written anew, and counters belong to rules."""
    state.forget("hits")
    state.forget("paths")
