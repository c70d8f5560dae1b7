"""`cluster.underlay`: the network under the pods as it is programmed, and the doors to change it by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import NotFound
from ..kernel.network import ROUTER, Network
from ..kernel.port_filter import CHAIN, FilterRule
from .edits import Edit
from .filters import EVERY_NODE, ROUTER_KEY, check_place, rules_of, set_filter
from .segments import NodeSegment
from .views import Machine, Output

if TYPE_CHECKING:
    import pandas as pd

    from .cluster import Cluster

__all__ = ["RouterView", "UnderlayView", "underlay_lines"]


class RouterView(Machine):
    """The router between the segments: its links, routes and rules, and a shell on it."""

    def __init__(self, cluster: Cluster):
        super().__init__(cluster, ROUTER)
        self._party_name = f"node:{ROUTER}"

    @property
    def name(self) -> str:
        return ROUTER

    def iptables_save(self, family: int = 4) -> Output:
        """What `iptables-save` prints on the router."""
        return self.run("iptables-save" if family == 4 else "ip6tables-save")

    def _addresses_of(self, name: str) -> tuple[str, ...]:
        return ()  # nobody told it a resolver

    def __repr__(self) -> str:
        return "Router(" + ", ".join(s.name for s in self._cluster.plan.segments) + ")"


class UnderlayView:
    """The segments of the node network, the router, and the packet filters.

        cluster.underlay.filter("worker-2", "deny udp 8472")     # its security group drops VXLAN
        cluster.underlay.unfilter("worker-2")
    """

    def __init__(self, cluster: Cluster):
        self._cluster = cluster

    @property
    def segments(self) -> tuple[NodeSegment, ...]:
        """The layer-2 networks on which nodes stand."""
        return self._cluster.plan.segments

    @property
    def router(self) -> RouterView:
        """The router: `.run("ip route")`, `.run("iptables -S")`."""
        return RouterView(self._cluster)

    def filter(self, where: str, rules: Any) -> Cluster:
        """Put rules at a place, instead of those that are there: a node (its security group), "router", or "*" for every node.

        `rules`: "deny udp 8472", kn.Deny("UDP", 8472), kn.SecurityGroup(ingress=[...]), or a list of these; the first that fits decides.
        A hand edit: it survives copy and apply until `resync`, and shows in diff. Raises KubenetError, and then nothing has changed.
        """
        c = self._cluster
        network, done = c.network(), rules_of(rules)
        names = [n.name for n in c.nodes if n.name in network.hosts]
        if where not in (ROUTER_KEY, EVERY_NODE, *names):
            raise NotFound("place for a filter", str(where), [ROUTER_KEY, EVERY_NODE, *names])
        for place in names if where == EVERY_NODE else (where,):
            check_place(place, done)
        for place in names if where == EVERY_NODE else (where,):
            set_filter(network, place, done)
            c.record(Edit(place, "; ".join(map(str, done)), door="filter"))
        return c

    def unfilter(self, where: str) -> Cluster:
        """Take all rules at a place away."""
        return self.filter(where, ())

    @property
    def filters(self) -> dict[str, tuple[FilterRule, ...]]:
        """The security groups that are in force: node -> rules. The router's are its iptables rules."""
        return {host: at.rules for s in self._cluster.network().segments.values() for (host, _), at in s.filters.items()}

    def to_frame(self) -> pd.DataFrame:
        """One row per segment: segment, cidrs, gateways, nodes, mtu (bytes), delay (seconds one way)."""
        import pandas as pd

        under = self._cluster.options.underlay
        rows = [
            (s.name, ", ".join(s.cidrs), ", ".join(g.split("/")[0] for g in s.gateways), ", ".join(self._standing(s)), under.mtu_of(s.name),
             under.delay_of(s.name)) for s in self.segments
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["segment", "cidrs", "gateways", "nodes", "mtu", "delay"])

    def _standing(self, segment: NodeSegment) -> list[str]:
        network = self._cluster.network()
        return [host for host, _ in network.segments[segment.name].ports if network.hosts[host].role == "node"]

    def __repr__(self) -> str:
        rows = [f"{s.name} {', '.join(s.cidrs)}: {', '.join(self._standing(s)) or 'no node'}" for s in self.segments]
        rows += [f"filter of {where}: {'; '.join(map(str, rules))}" for where, rules in self.filters.items()]
        return "\n".join(rows)


def underlay_lines(network: Network) -> list[str]:
    """What is programmed under the pods, for comparing: wires, security groups, the router's rules."""
    out = []
    for s in network.segments.values():
        out.append(f"segment {s.name} mtu {s.mtu} delay {s.delay}")
        out += [f"{at.name}: {line}" for at in s.filters.values() for line in at.lines]
    router = network.namespaces.get(ROUTER)
    for fam, tool in ((4, "iptables"), (6, "ip6tables")):
        rules = router.ruleset(fam).save().splitlines() if router is not None else []
        out += [f"router: {tool} {line}" for line in rules if line.startswith("-A") and line != f"-A {CHAIN}"]
    return out
