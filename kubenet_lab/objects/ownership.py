"""Who owns whom, and which owners were seen with their children.

An owner that a dump shows together with children is *settled*: nothing is made for it until somebody changes it
(observed beats generated). `gap` is how many of its children the dump did not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .selectors import matches
from .views import DaemonSet, Deployment, Job, Metadata, Object, Pod, ReplicaSet, StatefulSet, Workload

__all__ = ["POD_OWNERS", "Gap", "ObjectId", "active", "controller_of", "is_owned_by", "owner_reference", "settled_owners"]

ObjectId = tuple[str, str, str]  # kind, namespace, name
Gap = int | frozenset[str]

POD_OWNERS = ("ReplicaSet", "StatefulSet", "DaemonSet", "Job")


def active(pod: Pod) -> bool:
    """Neither finished nor being deleted: the pods that a controller counts."""
    return not pod.terminated and pod.metadata.deletion_timestamp is None


def controller_of(metadata: Metadata) -> tuple[str, str, str] | None:
    """(kind, name, uid) of the controlling owner. A dump stripped of `controller: true` still has one owner."""
    references = metadata.owner_references
    for reference in references:
        if reference.controller:
            return reference.kind, reference.name, reference.uid
    if len(references) == 1:
        return references[0].kind, references[0].name, references[0].uid
    return None


def is_owned_by(child: Object, owner: Object) -> bool:
    """By uid where both have one, else by kind and name."""
    found = controller_of(child.metadata)
    if found is None or child.namespace != owner.namespace:
        return False
    kind, name, uid = found
    if kind != owner.kind:
        return False
    return uid == owner.metadata.uid if uid and owner.metadata.uid else name == owner.name


def owner_reference(owner: Object) -> dict[str, Any]:
    """The reference that a controller writes into what it makes."""
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def settled_owners(
    loaded: Iterable[Object], pods: Iterable[Pod], replica_sets: Iterable[ReplicaSet], nodes: Iterable[str]
) -> Mapping[ObjectId, Gap]:
    """The owners among `loaded` that have children already, and their gaps: a count, for a DaemonSet the nodes without a pod."""
    owned: dict[ObjectId, list[Pod]] = {}
    orphans: dict[str, list[Pod]] = {}
    templated: dict[str, list[Pod]] = {}  # by namespace: one pod of each ReplicaSet
    known = set(nodes)
    for pod in pods:
        known.add(pod.spec.node_name)
        if not active(pod):
            continue
        found = controller_of(pod.metadata)
        if found is None:
            orphans.setdefault(pod.namespace, []).append(pod)
            continue
        group = owned.setdefault((found[0], pod.namespace, found[1]), [])
        group.append(pod)
        if found[0] == "ReplicaSet" and len(group) == 1:
            templated.setdefault(pod.namespace, []).append(pod)
    known.discard("")
    deployed = {
        (r.namespace, found[1]) for r in replica_sets if (found := controller_of(r.metadata)) is not None and found[0] == "Deployment"
    }
    out: dict[ObjectId, Gap] = {}
    for one in loaded:
        identity = (one.kind, one.namespace, one.name)
        have = owned.get(identity, [])
        if isinstance(one, Workload) and not have:
            have = [p for p in orphans.get(one.namespace, ()) if matches(one.spec.selector, p.labels)]
        if isinstance(one, Deployment):
            through = any(matches(one.spec.selector, p.labels) for p in templated.get(one.namespace, ()))
            if have or through or (one.namespace, one.name) in deployed:
                out[identity] = 0
        elif not have:
            continue
        elif isinstance(one, (ReplicaSet, StatefulSet)):
            out[identity] = one.spec.replicas - len(have)
        elif isinstance(one, Job):
            out[identity] = one.spec.parallelism - len(have)
        elif isinstance(one, DaemonSet):
            out[identity] = frozenset(known - {p.spec.node_name for p in have})
    return out
