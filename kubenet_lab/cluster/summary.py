"""`cluster.summary()`: counts, assumptions, findings, ignored kinds, in this order."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from .kept import sorted_out
from .plan import Assumption

if TYPE_CHECKING:
    import pandas as pd

    from .cluster import Cluster
    from .settle import Declared

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What was loaded, and what of it was settled by the lab."""

    counts: tuple[tuple[str, int], ...]
    networks: tuple[tuple[str, str], ...]
    assumptions: tuple[Assumption, ...]
    findings: tuple[Problem, ...]
    ignored: tuple[tuple[str, int], ...]

    def _sections(self) -> list[tuple[str, list[str]]]:
        return [
            ("Objects", [", ".join(f"{n} {kind}" for kind, n in self.counts)]),
            ("Networks", [f"{what}: {value}" for what, value in self.networks]),
            ("Assumptions", [str(a) for a in self.assumptions] or ["none"]),
            ("Findings", [str(f) for f in self.findings] or ["none"]),
            ("Kept but not acted on", [", ".join(f"{n} {kind}" for kind, n in self.ignored) or "nothing"]),
        ]

    def __str__(self) -> str:
        return "\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in self._sections())

    def __repr__(self) -> str:
        return f"Summary({sum(n for _, n in self.counts)} objects, {len(self.assumptions)} assumptions, {len(self.findings)} findings)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(title)}</th><td style='text-align:left'>"
            + "<br>".join(html.escape(line) for line in lines) + "</td></tr>"
            for title, lines in self._sections()
        )  # fmt: skip
        return f"<table><tbody>{rows}</tbody></table>"

    def to_frame(self) -> pd.DataFrame:
        """One row per kind: kind, count."""
        import pandas as pd

        return pd.DataFrame(self.counts, columns=["kind", "count"])

    def to_dict(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts), "networks": dict(self.networks), "assumptions": [str(a) for a in self.assumptions],
            "findings": [str(f) for f in self.findings], "ignored": dict(self.ignored),
        }  # fmt: skip


def summarise(cluster: Cluster, declared: Declared) -> Summary:
    read, unread = sorted_out(declared)
    counts = Counter([*(o.kind for o in cluster.snapshot().all()), *(kind for kind, _ in read)])
    ignored = Counter(kind for kind, _ in unread)
    plan, network = cluster.plan, declared.network
    policy = cluster.engine if cluster.engine else "nobody"
    networks = (
        ("pods", f"{', '.join(network.pod_ranges(plan) if network is not None else plan.pod_cidrs)} by {cluster.pod_network}"),
        ("Services", f"{', '.join(plan.service_cidrs)} by kube-proxy, mode {cluster.proxy.mode}"),
        ("nodes", _node_network(cluster)),
        ("NetworkPolicy enforced by", policy),
    )
    return Summary(tuple(sorted(counts.items())), networks, cluster.assumptions, cluster.findings, tuple(sorted(ignored.items())))


def _node_network(cluster: Cluster) -> str:
    """The node network with its MTU; each segment, where there are several."""
    plan, under = cluster.plan, cluster.options.underlay
    out = f"; an uplink of MTU {under.uplink_mtu}" if under.uplink_mtu else ""
    if len(plan.segments) == 1:
        return f"{', '.join(plan.node_cidrs)}, MTU {under.mtu_of(plan.segments[0].name)}{out}"
    return "; ".join(f"{s.name} {', '.join(s.cidrs)}, MTU {under.mtu_of(s.name)}" for s in plan.segments) + "; a router between them" + out
