"""nftables: tables, chains, rules, sets and maps, read, printed, edited and run.

`NftRuleset` holds the tables of a namespace; `run` is the command line; `evaluate` walks a packet through a base chain.
"""

from __future__ import annotations

from .command import run
from .errors import NftError
from .listing import Seen
from .model import Base, Chain, Element, NftRule, NftSet, Outcome, Table
from .program import MapEntry, Program, evaluate
from .ruleset import NftRuleset

__all__ = [
    "Base", "Chain", "Element", "MapEntry", "NftError", "NftRule", "NftRuleset", "NftSet", "Outcome", "Program", "Seen", "Table",
    "evaluate", "run",
]  # fmt: skip
