"""From the slices that a Service has to those that it should have, with as few writes as the controller makes.

Endpoints stay in the slice they are in. What is new goes into slices that change anyway, then into one that has room for all of it, then
into new slices; slices to make take the names of slices to delete. Of equal choices the controller takes any: here the first by name.
Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/reconciler.go, utils.go (getSliceToFill, ownedBy).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..objects.views import EndpointSlice, Service
from .pod_endpoints import Identity, identity, same
from .slice_documents import RESERVED
from .slice_ports import Ports, ports_of

__all__ = ["Draft", "SlicePlan", "owned", "reconcile"]

Document = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """A slice as it shall be. `changes`: the one that it comes from and whose metadata it keeps, None for one that is made."""

    endpoints: list[Document]
    ports: Ports = ()  # of a slice that is made; others keep theirs
    changes: EndpointSlice | None = None
    name: str = ""  # "" until a slice that is made has its name
    relabelled: bool = False


@dataclass(slots=True)
class SlicePlan:
    """What becomes of the slices of one address type. `stored`: the kept document of a slice; it is never changed."""

    stored: Callable[[EndpointSlice], Document]
    create: list[Draft] = field(default_factory=list)
    update: list[Draft] = field(default_factory=list)
    unchanged: list[EndpointSlice] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)

    def draft(self, slice_: EndpointSlice) -> Draft:
        """A slice to change, as it is so far."""
        return Draft([dict(e) for e in self.stored(slice_).get("endpoints") or ()], changes=slice_, name=slice_.name)

    def recycle(self, reusable: Collection[str]) -> None:
        """Slices to make take the place of slices to delete whose keys are `reusable`: one write instead of two."""
        left = []
        for old in self.delete:
            if self.create and old.key in reusable:
                draft = self.create.pop()
                draft.name = old.name
                self.update.append(draft)
            else:
                left.append(old)
        self.delete = left


def owned(slice_: EndpointSlice, service: Service) -> bool:
    """Whether it is this very Service's, and not that of one before it with the same name."""
    uid = service.metadata.uid
    return any((r.uid, r.kind, r.api_version) == (uid, "Service", "v1") for r in slice_.metadata.owner_references)


def reconcile(plan: SlicePlan, service: Service, wanted: Mapping[Ports, Mapping[Identity, Document]], existing: Sequence[EndpointSlice],
              labels: Mapping[str, str], size: int) -> None:  # fmt: skip
    """Fill a plan for the slices of one address type. `existing` are those so far, `labels` what they should carry, `size` the most
    endpoints of one."""
    by_ports: dict[Ports, list[EndpointSlice]] = {}
    for slice_ in existing:
        if owned(slice_, service):
            by_ports.setdefault(ports_of(slice_.ports), []).append(slice_)
        else:
            plan.delete.append(slice_)
    for ports in sorted(wanted, key=lambda ports: [(p[0], p[1] or 0, p[2], p[3] or "") for p in ports]):
        _by_ports(plan, by_ports.pop(ports, []), ports, dict(wanted[ports]), labels, size)
    for left in by_ports.values():
        plan.delete += left
    if len(existing) == len(plan.delete) and not plan.create:
        if len(plan.delete) == 1 and _is_placeholder(plan.delete[0], labels):
            plan.unchanged.append(plan.delete.pop())
        else:  # a Service that selects nothing still has one slice, an empty one
            plan.create.append(Draft([]))


def _by_ports(plan: SlicePlan, existing: Sequence[EndpointSlice], ports: Ports, wanted: dict[Identity, Document],
              labels: Mapping[str, str], size: int) -> None:  # fmt: skip
    """reconcileByPortMapping. `wanted` is used up."""
    changed: list[Draft] = []
    untouched: list[EndpointSlice] = []
    for slice_ in existing:
        kept, differs = [], False
        for endpoint in slice_.endpoints:
            found = wanted.pop(identity(endpoint), None)
            if found is not None:
                kept.append(found)
                differs = differs or not same(found, endpoint)
        if differs or len(kept) != len(slice_.endpoints):
            if kept:
                changed.append(Draft(kept, changes=slice_, name=slice_.name, relabelled=True))
            else:
                plan.delete.append(slice_)
        elif _unreserved(slice_.labels) != _unreserved(labels):
            draft = plan.draft(slice_)
            draft.relabelled = True
            changed.append(draft)
        else:
            untouched.append(slice_)
    rest = list(wanted.values())
    for draft in sorted(changed, key=lambda d: -len(d.endpoints)):
        rest = _filled(draft, rest, size)
    while rest:
        room = _closest_to_full(untouched, len(rest), size) if len(rest) < size else None
        if room is None:
            draft = Draft([], ports)
            plan.create.append(draft)
        else:
            draft = plan.draft(room)
            untouched = [s for s in untouched if s is not room]
            changed.append(draft)
        rest = _filled(draft, rest, size)
    plan.update += changed
    plan.unchanged += untouched


def _filled(draft: Draft, rest: list[Document], size: int) -> list[Document]:
    """What is left of `rest` when the draft is full."""
    room = max(size - len(draft.endpoints), 0)
    draft.endpoints += rest[:room]
    return rest[room:]


def _closest_to_full(slices: Sequence[EndpointSlice], more: int, size: int) -> EndpointSlice | None:
    """The slice that is fullest with so many more in it, None where they fit into none."""
    fitting = [s for s in slices if len(s.endpoints) + more <= size]
    return max(fitting, key=lambda s: len(s.endpoints), default=None)


def _unreserved(labels: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in labels.items() if k not in RESERVED}


def _is_placeholder(slice_: EndpointSlice, labels: Mapping[str, str]) -> bool:
    return not slice_.endpoints and not slice_.ports and slice_.labels == labels
