"""iptables: rules as values, parsed, printed, edited and run.

`Ruleset` holds the tables of one family; `run` is the command line; `evaluate` walks a packet through a table.
"""

from __future__ import annotations

from .command import run
from .context import Context, looks
from .edit import IptablesError
from .evaluate import Program, Verdict, evaluate
from .model import BUILTIN, TABLES, Chain, Rule, Table
from .ruleset import Counters, Ruleset
from .spec import Header, Spec
from .target_nat import NatRange

__all__ = [
    "BUILTIN", "TABLES", "Chain", "Context", "Counters", "Header", "IptablesError", "NatRange", "Program", "Rule", "Ruleset", "Spec",
    "Table", "Verdict", "evaluate", "looks", "run",
]  # fmt: skip
