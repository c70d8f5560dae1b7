"""Hand edits: commands and filters that changed programmed state, recorded so that they survive rebuilds and copies until resync."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import KubenetError, Problem
from ..kernel.network import Network
from ..kernel.shell import Shell
from ..kernel.state import State
from .filters import rules_of, set_filter

__all__ = ["Edit", "replay"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One command that changed something, and where. `stdin` is what iptables-restore was given.

    `door`: "shell", or "filter" for the rules of a packet filter of the underlay at a node or the router.
    """

    namespace: str
    command: str
    stdin: str = ""
    door: str = "shell"

    def __str__(self) -> str:
        if self.door == "filter":
            return f"filter of {self.namespace}: {self.command or 'none'}"
        return f"{self.namespace}# {self.command}"


def replay(network: Network, edits: Sequence[Edit]) -> list[Problem]:
    """Make the edits again on a network that was just built. One that no longer fits is a finding."""
    problems = []
    for e in edits:
        if e.door == "filter":
            try:
                set_filter(network, e.namespace, rules_of(e.command))
            except KubenetError as error:
                problems.append(Problem(f"hand edit no longer fits: {e}: {error}", object=e.namespace))
            continue
        if e.namespace not in network.namespaces:
            problems.append(Problem(f"hand edit lost, {e.namespace} is gone: {e.command}", object=e.namespace))
            continue
        try:
            Shell(network, State(), e.namespace).run(e.command, stdin=e.stdin)
        except KubenetError as error:
            problems.append(Problem(f"hand edit no longer fits: {e.command}: {error}", object=e.namespace))
    return problems
