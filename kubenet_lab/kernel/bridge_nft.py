"""nftables chains of family bridge: what a bridge asks about a frame that has come in by a port, before it learns or forwards.

Source: Linux net/bridge/br_input.c (nf_hook_bridge_pre), net/bridge/netfilter/nf_tables_bridge.c.
"""

from __future__ import annotations

from typing import Any

from .flight import Flight
from .hook_chains import nft_program, rank
from .links import Link
from .namespace import Namespace
from .nftables import Program, evaluate
from .nftables.model import Chain
from .packet import Arp
from .walk import Walk

__all__ = ["has_chains", "refused"]


class _Frame:
    """A frame as rules see it."""

    __slots__ = ("dmac", "indev", "met_elements", "outdev", "plain", "size", "smac", "state")

    def __init__(self, w: Walk, f: Flight, ns: Namespace, indev: str):
        self.smac, self.dmac, self.indev, self.outdev = f.smac, f.dmac, indev, ""
        self.size, self.state = getattr(f.packet, "size", 28), w.state.write("nft-hits", ns.id)
        self.met_elements: list[Any] = []

    def count(self, uid: int) -> None:
        n, total = self.state.get(uid, (0, 0))
        self.state[uid] = (n + 1, total + self.size)


def _chains(ns: Namespace) -> tuple[tuple[Program, Chain], ...]:
    """The base chains of a namespace's bridges at prerouting, in their order."""
    found: tuple[tuple[Program, Chain], ...] | None = ns.derived.get("nft-bridge")
    if found is None:
        tables = [t for t in ns.nft.tables.values() if t.family == "bridge"]
        chains = [(nft_program(ns, t), c) for t in tables for c in t.chains.values() if c.base is not None]
        found = ns.derived["nft-bridge"] = tuple(sorted(chains, key=lambda x: rank(x[1])))
    return found


def has_chains(ns: Namespace) -> bool:
    """Does anybody look at the frames of this namespace's bridges?"""
    return bool(_chains(ns))


def refused(w: Walk, f: Flight, ns: Namespace, bridge: Link, port: Link) -> bool:
    """Does a chain drop the frame? Then it ends here."""
    for program, chain in _chains(ns):
        path: list[Any] = []
        verdict = evaluate(program, chain, _Frame(w, f, ns, port.name), path)  # type: ignore[arg-type]
        if verdict.kind == "DROP":
            told = {"bridge": bridge.name, "port": port.name, "mac": f.smac, "table": program.table.name, "chain": verdict.chain}
            if isinstance(f.packet, Arp):
                w.refusals[f.packet.target_ip] = ("bridge.filtered", ns.id, told)
            origin = verdict.rule.origin if verdict.rule is not None else ""
            w.end(f, "bridge.filtered", entry=verdict.rule, dev=port.name, rules=tuple(path), origin=origin, **told)
            return True
    return False
