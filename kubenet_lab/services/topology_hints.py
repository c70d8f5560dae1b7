"""Hints of the EndpointSlice controller for Services with the annotation service.kubernetes.io/topology-mode: Auto.

Endpoints are shared between the zones in the proportion of their nodes' CPUs. A slice in which nothing else changes keeps the hints that
it has as long as no zone is overloaded by them. Where the controller picks between equal zones by chance, the first name is taken.
Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/topologycache (topologycache.go, utils.go, sliceinfo.go).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..objects.views import Node

__all__ = ["ZONE", "add_hints", "asks_for_hints", "cpu_ratios", "cpus"]

ZONE = "topology.kubernetes.io/zone"
OVERLOAD = 0.2
EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]+))?", re.ASCII)
_SCALE = {s: Fraction(1000) ** i for i, s in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)} | {
    f"{s}i": Fraction(1024) ** i for i, s in enumerate("KMGTPE", 1)
}


@dataclass(frozen=True, slots=True)
class _Share:
    minimum: int
    maximum: int
    desired: float


def asks_for_hints(annotations: Mapping[str, str]) -> bool:
    """The deprecated annotation goes before the present one."""
    mode = annotations.get("service.kubernetes.io/topology-aware-hints", annotations.get("service.kubernetes.io/topology-mode", ""))
    return mode in ("Auto", "auto")


def cpus(quantity: object) -> Fraction:
    """ "2", "1500m" or 4 as a number; 0 for what is none."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None:
        return Fraction(0)
    return Fraction(found[1]) * _SCALE[found[2] or ""] * Fraction(10) ** int(found[3] or 0)


def counted(nodes: Iterable[Node]) -> list[Node]:
    """The nodes whose zones share the endpoints: ready ones (as all are that do not say) that are no control plane."""
    return [n for n in nodes if not any(label in n.labels for label in EXCLUDED) and n.ready]


def cpu_ratios(nodes: Iterable[Node]) -> dict[str, float] | None:
    """How much of all CPUs each zone has; None if a node has no zone or no CPU to allocate, or if there is one zone only."""
    by_zone: dict[str, Fraction] = {}
    for node in counted(nodes):
        zone, cpu = node.labels.get(ZONE, ""), cpus(node.status.allocatable.get("cpu", 0))
        if not zone or not cpu:
            return None
        by_zone[zone] = by_zone.get(zone, Fraction(0)) + cpu
    total = sum(math.ceil(cpu * 1000) for cpu in by_zone.values())
    return {z: math.ceil(cpu * 1000) / total for z, cpu in sorted(by_zone.items())} if len(by_zone) > 1 else None


def add_hints(
    endpoints: Sequence[dict[str, Any]], ratios: Mapping[str, float] | None, unchanged: Sequence[Sequence[dict[str, Any]]] = ()
) -> bool:
    """Give the ready ones of a Service's endpoints of one address type their hints, in place; False if there can be none.

    `unchanged`: the endpoints of each slice that stays as it is, with the hints that they have.
    """
    ready = _ready(endpoints)
    shares = _shares(ratios or {}, len(ready) + sum(len(_ready(part)) for part in unchanged))
    given: Counter[str] = Counter()
    for part in unchanged if shares else ():
        kept = _kept(part, given, shares or {})
        if kept is None:
            ready += _ready(part)
        else:
            given += kept
    if shares is None or any(not e.get("zone") for e in ready):
        for endpoint in (*endpoints, *(e for part in unchanged for e in part)):
            endpoint.pop("hints", None)
        return False
    given.update(e["zone"] for e in ready)
    giving, receiving = _exchange(shares, given)
    for endpoint in ready:
        zone = endpoint["zone"]
        if giving[zone] > 0 and (to := next((z for z in sorted(receiving) if receiving[z] > 0), "")):
            giving[zone] -= 1
            receiving[to] -= 1
            zone = to
        endpoint["hints"] = {"forZones": [{"name": zone}]}
    return True


def _ready(endpoints: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [e for e in endpoints if (e.get("conditions") or {}).get("ready")]


def _kept(endpoints: Iterable[dict[str, Any]], given: Mapping[str, int], shares: Mapping[str, _Share]) -> Counter[str] | None:
    """How many hints for each zone a slice has; None if one lacks its hint, or a zone is no longer there or has too many."""
    found: Counter[str] = Counter()
    for endpoint in _ready(endpoints):
        zones = [z["name"] for z in (endpoint.get("hints") or {}).get("forZones") or ()]
        if not zones or any(z not in shares for z in zones):
            return None
        found.update(zones)
    return None if any(given.get(z, 0) + n > shares[z].maximum for z, n in found.items()) else found


def _shares(ratios: Mapping[str, float], endpoints: int) -> dict[str, _Share] | None:
    """What each zone should have; None if no way of sharing keeps all zones below the overload."""
    if not ratios or len(ratios) > endpoints:
        return None
    minimums = {zone: math.ceil(ratio * endpoints * (1 / (1 + OVERLOAD))) for zone, ratio in ratios.items()}
    spare = endpoints - sum(minimums.values())
    if spare < 0:
        return None
    return {zone: _Share(least, least + spare, max(ratios[zone] * endpoints, least)) for zone, least in minimums.items()}


def _exchange(shares: Mapping[str, _Share], given: Mapping[str, int]) -> tuple[Counter[str], Counter[str]]:
    """How many endpoints each zone gives away, and how many each receives."""
    more = {z: given.get(z, 0) - s.desired for z, s in sorted(shares.items())}
    less = {z: -d for z, d in more.items() if d < 0}
    more = {z: d for z, d in more.items() if d > 0}
    giving: Counter[str] = Counter()
    receiving: Counter[str] = Counter()
    while more and less:
        giver, receiver = max(more, key=lambda z: more[z]), max(less, key=lambda z: less[z])
        gives, takes = more[giver], less[receiver]
        if max(gives, takes) < 1 or min(gives, takes) < 0.5:
            break
        giving[giver] += 1
        receiving[receiver] += 1
        more[giver] -= 1
        less[receiver] -= 1
    return giving, receiving
