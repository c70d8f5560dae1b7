"""After a change the rules' counters are new, and every node's kube-proxy cleans its table of UDP flows to removed endpoints."""

from __future__ import annotations

from ..kernel.conntrack import Conntrack
from ..kernel.state import State
from ..objects.snapshot import Snapshot
from ..objects.views import Node
from ..services import service_ports, stale_entries

__all__ = ["clean_stale_flows"]


def clean_stale_flows(snapshot: Snapshot, state: State) -> None:
    """Changes the dynamic state."""
    state.forget("hits")
    tables = [Conntrack(state, n.name) for n in snapshot.list(Node)]
    flows = {t.ns: [e for e in t.entries() if e.orig.proto == "UDP"] for t in tables}
    for family in (4, 6):
        mine = {ns: [e for e in found if (":" in e.orig.dst) == (family == 6)] for ns, found in flows.items()}
        if not any(mine.values()):
            continue
        ports = service_ports(snapshot, family)
        for table in tables:
            for entry in stale_entries(ports, mine[table.ns]):
                table.delete(entry)
