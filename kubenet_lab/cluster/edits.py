"""Hand edits: commands and filters that changed programmed state, recorded so that they survive rebuilds and copies until resync."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import KubenetError, Problem
from ..kernel.network import Network
from ..kernel.shell import Shell
from ..kernel.state import State
from .filters import rules_of, set_filter

__all__ = ["Edit", "HandEdit", "replay"]


class HandEdit(Protocol):
    """What somebody changed by hand, and how to do it again."""

    @property
    def namespace(self) -> str: ...

    @property
    def door(self) -> str: ...

    @property
    def command(self) -> str: ...

    def again(self, network: Network) -> None:
        """Raises KubenetError if it no longer fits."""
        ...


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

    def again(self, network: Network) -> None:
        if self.door == "filter":
            set_filter(network, self.namespace, rules_of(self.command))
        else:
            Shell(network, State(), self.namespace).run(self.command, stdin=self.stdin)


def replay(network: Network, edits: Sequence[HandEdit]) -> list[Problem]:
    """Make the edits again on a network that was just built. One that no longer fits is a finding."""
    problems = []
    for e in edits:
        if e.door != "filter" and e.namespace not in network.namespaces:
            problems.append(Problem(f"hand edit lost, {e.namespace} is gone: {e.command}", object=e.namespace))
            continue
        try:
            e.again(network)
        except KubenetError as error:
            what = e.command if e.door == "shell" else e
            problems.append(Problem(f"hand edit no longer fits: {what}: {error}", object=e.namespace))
    return problems
