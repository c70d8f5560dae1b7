"""After a change the rules are new: their counters, what no rule remembers any more, and UDP flows to endpoints that are gone."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import KubenetError
from ..kernel.conntrack import Conntrack
from ..kernel.network import Network
from ..kernel.rule_memory import forget_unnamed
from ..kernel.state import State
from ..objects.snapshot import Snapshot
from ..objects.views import Node
from ..services import service_ports, stale_entries

__all__ = ["clean_stale_flows", "rules_are_new"]


def rules_are_new(state: State, network: Callable[[], Network]) -> None:
    """The agents have written their rules: counters begin anew, and lists that no rule names are gone. Changes the dynamic state.

    `network` is asked for only where something is remembered.
    """
    state.forget("hits")
    for name in sorted({key[1] for key in state.keys() if key[0] in ("recent", "nft-set")}):  # noqa: SIM118
        try:
            if ns := network().namespaces.get(name):
                forget_unnamed(ns, state)
        except KubenetError:
            return  # no rules can be written: who asks next hears why


def clean_stale_flows(snapshot: Snapshot, state: State, network: Callable[[], Network]) -> None:
    """`rules_are_new`, and every node's kube-proxy cleans its table of UDP flows to removed endpoints. Changes the dynamic state."""
    rules_are_new(state, network)
    tables = [Conntrack(state, n.name) for n in snapshot.list(Node)]
    flows = {t.ns: [e for e in t.entries() if e.orig.proto == "UDP"] for t in tables}
    for family in (4, 6):
        mine = {ns: [e for e in found if (":" in e.orig.dst) == (family == 6)] for ns, found in flows.items()}
        if not any(mine.values()):
            continue
        ports = service_ports(snapshot, family)
        for table in tables:
            for entry in stale_entries(ports, mine[table.ns], table.ns):
                table.delete(entry)
