"""Hints for the slices of a plan: shared by CPUs (the annotation topology-mode), by trafficDistribution, or none.

Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/reconciler.go, trafficdist/trafficdist.go (ReconcileHints),
topologycache/utils.go (RemoveHintsFromSlices).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..objects.views import Endpoint, Node, Service
from .slice_reconciler import Draft, SlicePlan
from .topology_hints import add_hints, asks_for_hints, cpu_ratios

__all__ = ["give_hints", "settle_hints"]

Document = dict[str, Any]

CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")


def give_hints(plan: SlicePlan, service: Service, nodes: Mapping[str, Node]) -> None:
    """Hints for what the plan makes or changes; a slice that would stay is changed if its hints are no longer right."""
    distribution = service.spec.traffic_distribution
    if asks_for_hints(service.metadata.annotations):
        _share(plan, nodes)
    elif distribution in CLOSE:
        by_node = distribution == "PreferSameNode"
        _hint(plan, lambda e: _is_wrong(e, by_node), lambda e: _close(e, by_node))
    else:
        _hint(plan, lambda e: e.hints is not None, lambda e: e.pop("hints", None))


def _hint(plan: SlicePlan, wrong: Callable[[Endpoint], bool], put_right: Callable[[Document], object]) -> None:
    amiss = [s for s in plan.unchanged if any(map(wrong, s.endpoints))]
    if amiss:
        plan.unchanged = [s for s in plan.unchanged if not any(s is a for a in amiss)]
        plan.update += map(plan.draft, amiss)
    for draft in (*plan.create, *plan.update):
        for endpoint in draft.endpoints:
            put_right(endpoint)


def _close(endpoint: Document, by_node: bool) -> None:
    """Its own zone, and its own node; an endpoint that is not ready keeps what it has."""
    if not (endpoint.get("conditions") or {}).get("ready"):
        return
    hints = {}
    if zone := endpoint.get("zone"):
        hints["forZones"] = [{"name": zone}]
    if by_node and (node := endpoint.get("nodeName")):
        hints["forNodes"] = [{"name": node}]
    if hints:
        endpoint["hints"] = hints
    else:
        endpoint.pop("hints", None)


def _is_wrong(endpoint: Endpoint, by_node: bool) -> bool:
    if not endpoint.conditions.ready:
        return False
    zones = [h.name for h in endpoint.hints.for_zones] if endpoint.hints else []
    nodes = [h.name for h in endpoint.hints.for_nodes] if endpoint.hints else []
    return (zones, nodes) != ([endpoint.zone] if endpoint.zone else [], [endpoint.node_name] if by_node and endpoint.node_name else [])


def _share(plan: SlicePlan, nodes: Mapping[str, Node]) -> None:
    """By CPUs. Slices in which nothing else changes hand in the hints that they have."""
    drafts = [plan.draft(s) for s in plan.unchanged]
    changed = [e for d in (*plan.create, *plan.update) for e in d.endpoints]
    add_hints(changed, cpu_ratios(nodes.values()), [d.endpoints for d in drafts])
    _take_over(plan, drafts)


def settle_hints(plan: SlicePlan, service: Service, nodes: Mapping[str, Node]) -> None:
    """Hints that are shared may leave a zone below its least number: the controller's next rounds find that, and share anew what does
    not fit, until nothing moves. Here they go through the slices by name; all slices have theirs by now."""
    if not asks_for_hints(service.metadata.annotations):
        return
    stay = [plan.draft(s) for s in plan.unchanged]
    drafts = sorted([*plan.create, *plan.update, *stay], key=lambda d: d.name)
    ratios = cpu_ratios(nodes.values())
    for _ in drafts:
        before = _hints(drafts)
        add_hints([], ratios, [d.endpoints for d in drafts])
        if _hints(drafts) == before:
            break
    _take_over(plan, stay)


def _hints(drafts: Iterable[Draft]) -> list[Any]:
    return [e.get("hints") for d in drafts for e in d.endpoints]


def _take_over(plan: SlicePlan, drafts: Sequence[Draft]) -> None:
    """Of the drafts of all that would stay: those with other hints than before are changes, too."""
    moved = [_hints([d]) != _hints([plan.draft(s)]) for d, s in zip(drafts, plan.unchanged, strict=True)]
    plan.update += [d for d, m in zip(drafts, moved, strict=True) if m]
    plan.unchanged = [s for s, m in zip(plan.unchanged, moved, strict=True) if not m]
