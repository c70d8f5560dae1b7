"""The Deployment controller: one ReplicaSet per template.

Source: pkg/controller/deployment (sync.go, util.EqualIgnoreHash) of the modelled release.
"""

from __future__ import annotations

import copy
from typing import Any

from .ownership import active, controller_of, is_owned_by, owner_reference
from .selectors import matches
from .snapshot import Snapshot
from .store import Changes
from .templates import HASH_LABEL, PodIndex, comparable, template_hash, template_of
from .views import Deployment, Pod, ReplicaSet

__all__ = ["deployments"]

Doc = dict[str, Any]

_REVISION = "deployment.kubernetes.io/revision"


def deployments(snapshot: Snapshot) -> Changes:
    """One ReplicaSet per template; all others scaled to 0, for the lab shows a rollout when it is done."""
    pods = PodIndex(snapshot)
    of: dict[tuple[str, str], list[ReplicaSet]] = {}
    for replica_set in snapshot.list(ReplicaSet):
        found = controller_of(replica_set.metadata)
        if found is not None and found[0] == "Deployment":
            of.setdefault((replica_set.namespace, found[1]), []).append(replica_set)
    total = Changes()
    for deployment in snapshot.list(Deployment):
        mine = [r for r in of.get((deployment.namespace, deployment.name), ()) if is_owned_by(r, deployment)]
        total += _deployment(snapshot, deployment, mine, pods)
    return total


def _deployment(snapshot: Snapshot, deployment: Deployment, mine: list[ReplicaSet], pods: PodIndex) -> Changes:
    settled = (deployment.kind, deployment.namespace, deployment.name) in snapshot.settled
    if settled and mine:
        return Changes()
    if not mine:
        seen = _seen_sets(snapshot, deployment, pods)
        if seen:
            said = f"Deployment {deployment.key}: its ReplicaSet is not among the objects, made from the pods that name it"
            return Changes(write=tuple(seen), assumptions=(said,))
    template = template_of(snapshot, deployment)
    wanted = comparable(template)
    current = next((r for r in sorted(mine, key=_age) if comparable(template_of(snapshot, r)) == wanted), None)
    writes: list[Doc] = []
    paused = (snapshot.document("Deployment", deployment.name, deployment.namespace) or {}).get("spec", {}).get("paused") is True
    if paused and current is None:
        return Changes()  # a paused Deployment makes no new ReplicaSet and leaves the old ones as they are
    if current is None:
        writes.append(_new_set(snapshot, deployment, template, mine))
    for replica_set in mine:
        replicas = deployment.spec.replicas if replica_set is current else 0
        if replica_set.spec.replicas != replicas:
            document = copy.deepcopy(snapshot.document("ReplicaSet", replica_set.name, replica_set.namespace) or {})
            document["spec"]["replicas"] = replicas
            writes.append(document)
    return Changes(write=tuple(writes))


def _age(replica_set: ReplicaSet) -> tuple[str, str]:
    return replica_set.metadata.creation_timestamp or "", replica_set.name


def _new_set(snapshot: Snapshot, deployment: Deployment, template: Doc, mine: list[ReplicaSet]) -> Doc:
    document = snapshot.document("Deployment", deployment.name, deployment.namespace) or {}
    digest = template_hash(comparable(template))
    name, n = f"{deployment.name}-{digest}", 0
    while snapshot.get(ReplicaSet, name, deployment.namespace) is not None:  # a hash collision: count it in, as the controller does
        n += 1
        digest = template_hash({"template": comparable(template), "collisions": n})
        name = f"{deployment.name}-{digest}"
    inner = copy.deepcopy(template)
    labels = inner.setdefault("metadata", {}).setdefault("labels", {})
    labels[HASH_LABEL] = digest
    selector = copy.deepcopy(document["spec"].get("selector") or {})
    selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
    revision = 1 + max((int(r.metadata.annotations.get(_REVISION, "0") or 0) for r in mine), default=0)
    metadata = {
        "name": name,
        "namespace": deployment.namespace,
        "labels": dict(labels),
        "annotations": {
            "deployment.kubernetes.io/desired-replicas": str(deployment.spec.replicas),
            _REVISION: str(revision),
        },
        "ownerReferences": [owner_reference(deployment)],
    }
    spec = {"replicas": deployment.spec.replicas, "selector": selector, "template": inner}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def _seen_sets(snapshot: Snapshot, deployment: Deployment, pods: PodIndex) -> list[Doc]:
    """ReplicaSets that only their pods speak of: named by an owner reference, or by a pod-template-hash."""
    groups: dict[tuple[str, str], list[Pod]] = {}
    for (kind, namespace, name), group in pods.owned.items():
        if kind == "ReplicaSet" and namespace == deployment.namespace and snapshot.get(ReplicaSet, name, namespace) is None:
            for pod in group:
                if active(pod) and matches(deployment.spec.selector, pod.labels):
                    found = controller_of(pod.metadata)
                    groups.setdefault((name, found[2] if found else ""), []).append(pod)
    for pod in pods.orphans.get(deployment.namespace, ()):
        digest = pod.labels.get(HASH_LABEL)
        if active(pod) and matches(deployment.spec.selector, pod.labels):
            own = digest or template_hash(comparable(template_of(snapshot, deployment)))
            groups.setdefault((f"{deployment.name}-{own}", ""), []).append(pod)
    out = []
    for (name, uid), group in sorted(groups.items()):
        document = _new_set(snapshot, deployment, template_of(snapshot, deployment), [])
        digest = group[0].labels.get(HASH_LABEL)
        meta, spec = document["metadata"], document["spec"]
        meta["name"] = name
        if uid:
            meta["uid"] = uid
        for labels in (meta["labels"], spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
            if digest is None:
                labels.pop(HASH_LABEL, None)  # pods without the label could not be selected by it
            else:
                labels[HASH_LABEL] = digest
        spec["replicas"] = len(group)
        out.append(document)
    return out
