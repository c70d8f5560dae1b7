"""Controllers: what Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs make of a snapshot.

Each is a pure function `Snapshot -> Changes`; `reconcile` runs them in order to a fixpoint. An owner that a dump shows
with its children is left as it was seen until somebody changes it (see `ownership`). CronJobs make nothing until their
time comes, and the lab's clock has no calendar: a Job that a CronJob made is used where a dump shows it.
A finished Job makes no pods; one that runs keeps `parallelism` pods running, for nothing in the lab ends them.
Source: pkg/controller/{deployment,replicaset,statefulset,daemon,job} of the modelled release.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

from .defaults import pod_template_defaults
from .ownership import active, controller_of, is_owned_by, owner_reference
from .scheduling import daemon_fits, daemon_node, daemon_tolerations
from .selectors import matches
from .snapshot import Snapshot
from .stamps import safe_encode, suffix
from .store import Changes, Store
from .views import DaemonSet, Deployment, Job, Node, Object, Pod, ReplicaSet, StatefulSet, Workload

__all__ = [
    "CONTROLLERS", "Controller", "daemon_sets", "deployments", "jobs", "reconcile", "replica_sets", "stateful_sets", "surplus",
    "template_hash",
]  # fmt: skip

Doc = dict[str, Any]
Controller = Callable[[Snapshot], Changes]

_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"
_NAME_LIMIT = 58  # of a generateName's base: 63 less the suffix


def template_hash(template: Doc) -> str:
    """A pod template's hash as names carry it: 32 bits of FNV-1a, printed, in the safe alphabet.

    The form is the controllers'; the value is the lab's own, since theirs depends on Go's memory layout.
    """
    value = 2166136261
    for byte in json.dumps(template, sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return safe_encode(str(value))


def reconcile(store: Store, controllers: Iterable[Controller] | None = None, *, rounds: int = 100) -> Changes:
    """Run controllers over a store until none has anything left to do. Returns what they reported in the last round."""
    chosen = tuple(controllers) if controllers is not None else CONTROLLERS
    for _ in range(rounds):
        report = Changes()
        busy = False
        for controller in chosen:
            changes = controller(store.snapshot())
            report += changes
            if changes and store.commit(changes, by=controller.__name__):
                busy = True
        if not busy:
            return Changes(findings=report.findings, assumptions=report.assumptions)
    raise RuntimeError(f"controllers did not settle in {rounds} rounds")


# --- shared ------------------------------------------------------------------------------------------------------
def _template_of(snapshot: Snapshot, owner: Object) -> Doc:
    document = snapshot.document(owner.kind, owner.name, owner.namespace) or {}
    return copy.deepcopy((document.get("spec") or {}).get("template") or {})


def _fresh(snapshot: Snapshot, kind: str, namespace: str, base: str, seed: str, taken: set[str]) -> str:
    """A generated name that never was used: base and five letters."""
    n = 0
    while True:
        name = f"{base[:_NAME_LIMIT]}{suffix(kind, namespace, seed, n)}"
        if name not in taken and (kind, namespace, name) not in snapshot.retired:
            taken.add(name)
            return name
        n += 1


def _pod(owner: Object, template: Doc, name: str, **labels: str) -> Doc:
    meta = template.get("metadata") or {}
    metadata: Doc = {"name": name, "namespace": owner.namespace}
    for part in ("labels", "annotations"):
        if meta.get(part):
            metadata[part] = dict(meta[part])
    if labels:
        metadata["labels"] = {**metadata.get("labels", {}), **labels}
    metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(template.get("spec") or {})}


class _Pods:
    """The pods of a snapshot by controller, and those without one by namespace."""

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self.owned: dict[tuple[str, str, str], list[Pod]] = {}
        self.orphans: dict[str, list[Pod]] = {}
        self.names: dict[str, set[str]] = {}
        for pod in snapshot.list(Pod):
            self.names.setdefault(pod.namespace, set()).add(pod.name)
            found = controller_of(pod.metadata)
            if found is None:
                self.orphans.setdefault(pod.namespace, []).append(pod)
            else:
                self.owned.setdefault((found[0], pod.namespace, found[1]), []).append(pod)

    def of(self, owner: Object) -> list[Pod]:
        return [p for p in self.owned.get((owner.kind, owner.namespace, owner.name), ()) if is_owned_by(p, owner) and active(p)]

    def adopted(self, owner: Workload) -> list[Doc]:
        """Pods without a controller that the selector selects: the controller takes them over."""
        out = []
        for pod in self.orphans.get(owner.namespace, ()):
            if active(pod) and matches(owner.spec.selector, pod.labels):
                document = copy.deepcopy(self.snapshot.document("Pod", pod.name, pod.namespace) or {})
                references = document["metadata"].setdefault("ownerReferences", [])
                references.append(owner_reference(owner))
                out.append(document)
        return out

    def taken(self, namespace: str) -> set[str]:
        return self.names.setdefault(namespace, set())


def _gap(snapshot: Snapshot, owner: Object) -> int:
    gap = snapshot.settled.get((owner.kind, owner.namespace, owner.name), 0)
    return gap if isinstance(gap, int) else 0


# --- Deployment --------------------------------------------------------------------------------------------------
def deployments(snapshot: Snapshot) -> Changes:
    """One ReplicaSet per template; all others scaled to 0, for the lab shows a rollout when it is done."""
    pods = _Pods(snapshot)
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


def _deployment(snapshot: Snapshot, deployment: Deployment, mine: list[ReplicaSet], pods: _Pods) -> Changes:
    settled = (deployment.kind, deployment.namespace, deployment.name) in snapshot.settled
    if settled and mine:
        return Changes()
    if not mine:
        seen = _seen_sets(snapshot, deployment, pods)
        if seen:
            said = f"Deployment {deployment.key}: its ReplicaSet is not among the objects, made from the pods that name it"
            return Changes(write=tuple(seen), assumptions=(said,))
    template = _template_of(snapshot, deployment)
    wanted = _comparable(template)
    current = next((r for r in sorted(mine, key=_age) if _comparable(_template_of(snapshot, r)) == wanted), None)
    writes: list[Doc] = []
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


def _comparable(template: Doc) -> Doc:
    """A template as two of them are compared: defaulted, without the hash label (EqualIgnoreHash)."""
    out = copy.deepcopy(template)
    pod_template_defaults(out.setdefault("spec", {}))
    meta = out.get("metadata") or {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != _HASH}
    out["metadata"] = {"labels": labels, "annotations": meta.get("annotations") or {}}
    return out


def _new_set(snapshot: Snapshot, deployment: Deployment, template: Doc, mine: list[ReplicaSet]) -> Doc:
    document = snapshot.document("Deployment", deployment.name, deployment.namespace) or {}
    digest = template_hash(_comparable(template))
    name, n = f"{deployment.name}-{digest}", 0
    while snapshot.get(ReplicaSet, name, deployment.namespace) is not None:  # a hash collision: count it in, as the controller does
        n += 1
        digest = template_hash({"template": _comparable(template), "collisions": n})
        name = f"{deployment.name}-{digest}"
    inner = copy.deepcopy(template)
    labels = inner.setdefault("metadata", {}).setdefault("labels", {})
    labels[_HASH] = digest
    selector = copy.deepcopy(document["spec"].get("selector") or {})
    selector.setdefault("matchLabels", {})[_HASH] = digest
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


def _seen_sets(snapshot: Snapshot, deployment: Deployment, pods: _Pods) -> list[Doc]:
    """ReplicaSets that only their pods speak of: named by an owner reference, or by a pod-template-hash."""
    groups: dict[tuple[str, str], list[Pod]] = {}
    for (kind, namespace, name), group in pods.owned.items():
        if kind == "ReplicaSet" and namespace == deployment.namespace and snapshot.get(ReplicaSet, name, namespace) is None:
            for pod in group:
                if active(pod) and matches(deployment.spec.selector, pod.labels):
                    found = controller_of(pod.metadata)
                    groups.setdefault((name, found[2] if found else ""), []).append(pod)
    for pod in pods.orphans.get(deployment.namespace, ()):
        digest = pod.labels.get(_HASH)
        if active(pod) and matches(deployment.spec.selector, pod.labels):
            own = digest or template_hash(_comparable(_template_of(snapshot, deployment)))
            groups.setdefault((f"{deployment.name}-{own}", ""), []).append(pod)
    out = []
    for (name, uid), group in sorted(groups.items()):
        document = _new_set(snapshot, deployment, _template_of(snapshot, deployment), [])
        digest = group[0].labels.get(_HASH)
        meta, spec = document["metadata"], document["spec"]
        meta["name"] = name
        if uid:
            meta["uid"] = uid
        for labels in (meta["labels"], spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
            if digest is None:
                labels.pop(_HASH, None)  # pods without the label could not be selected by it
            else:
                labels[_HASH] = digest
        spec["replicas"] = len(group)
        out.append(document)
    return out


# --- ReplicaSet --------------------------------------------------------------------------------------------------
def replica_sets(snapshot: Snapshot) -> Changes:
    pods = _Pods(snapshot)
    writes: list[Doc] = []
    deletes: list[tuple[str, str]] = []
    for owner in snapshot.list(ReplicaSet):
        adopted = pods.adopted(owner)
        writes.extend(adopted)
        have = pods.of(owner)
        missing = owner.spec.replicas - _gap(snapshot, owner) - len(have) - len(adopted)
        if missing > 0 and not adopted:
            template = _template_of(snapshot, owner)
            for _ in range(missing):
                name = _fresh(snapshot, "Pod", owner.namespace, f"{owner.name}-", owner.name, pods.taken(owner.namespace))
                document = _pod(owner, template, name)
                document["metadata"]["generateName"] = f"{owner.name}-"
                writes.append(document)
        elif missing < 0:
            deletes.extend(("Pod", p.key) for p in surplus(snapshot, owner, have, -missing))
    return Changes(write=tuple(writes), delete=tuple(deletes))


def surplus(snapshot: Snapshot, owner: ReplicaSet, have: list[Pod], count: int) -> list[Pod]:
    """The pods that a ReplicaSet deletes first when it shrinks (controller.ActivePodsWithRanks).

    Unscheduled before scheduled, Pending before Running, not ready before ready, low pod-deletion-cost first, then those on
    the node with most pods of this owner's kin, the youngest, the most restarted; by name where all that is equal.
    """
    kin: dict[str, int] = {}
    for pod in have:
        kin[pod.spec.node_name] = kin.get(pod.spec.node_name, 0) + 1

    def restarts(pod: Pod) -> int:
        status = (snapshot.document("Pod", pod.name, pod.namespace) or {}).get("status") or {}
        return max((int(c.get("restartCount") or 0) for c in status.get("containerStatuses") or ()), default=0)

    phases = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}

    def rank(pod: Pod) -> tuple[Any, ...]:
        bound = bool(pod.spec.node_name)
        crowd = -kin[pod.spec.node_name]
        return bound, phases.get(pod.status.phase, 2), pod.ready, _cost(pod), crowd, _newest_first(pod), -restarts(pod), pod.name

    return sorted(have, key=rank)[:count]


def _newest_first(pod: Pod) -> tuple[int, ...]:
    return tuple(-ord(c) for c in pod.metadata.creation_timestamp or "")


def _cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        return 0


# --- StatefulSet -------------------------------------------------------------------------------------------------
def stateful_sets(snapshot: Snapshot) -> Changes:
    pods = _Pods(snapshot)
    writes: list[Doc] = []
    deletes: list[tuple[str, str]] = []
    for owner in snapshot.list(StatefulSet):
        adopted = [d for d in pods.adopted(owner) if _ordinal(owner.name, d["metadata"]["name"]) is not None]
        writes.extend(adopted)
        have = {_ordinal(owner.name, p.name): p for p in pods.of(owner)}
        have.pop(None, None)
        document = snapshot.document("StatefulSet", owner.name, owner.namespace) or {}
        start = int(((document.get("spec") or {}).get("ordinals") or {}).get("start") or 0)
        wanted = range(start, start + owner.spec.replicas)
        missing = owner.spec.replicas - _gap(snapshot, owner) - len([n for n in have if n in wanted]) - len(adopted)
        template = _template_of(snapshot, owner)
        if not adopted:
            for number in [n for n in wanted if n not in have][: max(missing, 0)]:
                writes.append(_stateful_pod(owner, template, number, (document.get("spec") or {}).get("volumeClaimTemplates") or []))
        for number in sorted((n for n in have if n is not None and n not in wanted), reverse=True):
            if (owner.kind, owner.namespace, owner.name) not in snapshot.settled:
                deletes.append(("Pod", have[number].key))
    return Changes(write=tuple(writes), delete=tuple(deletes))


def _ordinal(owner: str, pod: str) -> int | None:
    base, _, number = pod.rpartition("-")
    return int(number) if base == owner and number.isascii() and number.isdigit() else None


def _stateful_pod(owner: StatefulSet, template: Doc, number: int, claims: list[Doc]) -> Doc:
    name = f"{owner.name}-{number}"
    document = _pod(
        owner,
        template,
        name,
        **{
            "apps.kubernetes.io/pod-index": str(number),
            "controller-revision-hash": f"{owner.name}-{template_hash(_comparable(template))}",
            "statefulset.kubernetes.io/pod-name": name,
        },
    )
    document["metadata"]["generateName"] = f"{owner.name}-"
    document["spec"]["hostname"] = name
    if owner.spec.service_name:
        document["spec"]["subdomain"] = owner.spec.service_name
    names = [(c.get("metadata") or {}).get("name", "") for c in claims]
    volumes = [{"name": n, "persistentVolumeClaim": {"claimName": f"{n}-{name}"}} for n in names]
    if volumes:
        others = [v for v in document["spec"].get("volumes") or [] if v.get("name") not in names]
        document["spec"]["volumes"] = volumes + others
    return document


# --- DaemonSet ---------------------------------------------------------------------------------------------------
def daemon_sets(snapshot: Snapshot) -> Changes:
    """A pod on every node that takes it: the DaemonSet controller chooses the node, the scheduler binds."""
    pods = _Pods(snapshot)
    nodes = snapshot.list(Node)
    writes: list[Doc] = []
    deletes: list[tuple[str, str]] = []
    for owner in snapshot.list(DaemonSet):
        adopted = pods.adopted(owner)
        writes.extend(adopted)
        if adopted:
            continue
        seen = snapshot.settled.get((owner.kind, owner.namespace, owner.name), frozenset())
        without = seen if isinstance(seen, frozenset) else frozenset()
        have: dict[str, list[Pod]] = {}
        for pod in pods.of(owner):
            have.setdefault(daemon_node(pod), []).append(pod)
        template = _template_of(snapshot, owner)
        spec = template.setdefault("spec", {})
        spec["tolerations"] = daemon_tolerations(spec.get("tolerations") or [], host_network=spec.get("hostNetwork") is True)
        revision = template_hash(_comparable(_template_of(snapshot, owner)))
        for node in nodes:
            fits = daemon_fits(spec, node)
            mine = have.pop(node.name, [])
            if fits and not mine and node.name not in without:
                name = _fresh(snapshot, "Pod", owner.namespace, f"{owner.name}-", f"{owner.name}@{node.name}", pods.taken(owner.namespace))
                document = _pod(owner, template, name, **{"controller-revision-hash": revision, "pod-template-generation": "1"})
                document["metadata"]["generateName"] = f"{owner.name}-"
                document["spec"]["affinity"] = _pinned(document["spec"].get("affinity") or {}, node.name)
                writes.append(document)
            elif not fits and (owner.kind, owner.namespace, owner.name) not in snapshot.settled:
                deletes.extend(("Pod", p.key) for p in mine)
            elif len(mine) > 1 and (owner.kind, owner.namespace, owner.name) not in snapshot.settled:
                deletes.extend(("Pod", p.key) for p in sorted(mine, key=lambda p: (p.metadata.creation_timestamp or "", p.name))[1:])
    return Changes(write=tuple(writes), delete=tuple(deletes))


def _pinned(affinity: Doc, node: str) -> Doc:
    """The node of a daemon pod, as node affinity on its name (ReplaceDaemonSetPodNodeNameNodeAffinity)."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    out = copy.deepcopy(affinity)
    out.setdefault("nodeAffinity", {})["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [term]}
    return out


# --- Job ---------------------------------------------------------------------------------------------------------
def jobs(snapshot: Snapshot) -> Changes:
    pods = _Pods(snapshot)
    writes: list[Doc] = []
    for owner in snapshot.list(Job):
        document = snapshot.document("Job", owner.name, owner.namespace) or {}
        status, spec = document.get("status") or {}, document.get("spec") or {}
        finished = any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in status.get("conditions") or ())
        if finished or status.get("completionTime") or owner.spec.suspend:
            continue
        everyone = [p for p in pods.owned.get(("Job", owner.namespace, owner.name), ()) if is_owned_by(p, owner)]
        succeeded = [p for p in everyone if p.status.phase == "Succeeded"]
        wanted = owner.spec.parallelism
        if owner.spec.completions is not None:
            wanted = min(wanted, max(owner.spec.completions - max(len(succeeded), int(status.get("succeeded") or 0)), 0))
        elif succeeded:
            wanted = 0  # a work queue that had a success winds down
        have = [p for p in everyone if active(p)]
        missing = wanted - _gap(snapshot, owner) - len(have)
        indexed = spec.get("completionMode") == "Indexed"
        template = _template_of(snapshot, owner)
        uid = owner.metadata.uid
        labels = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": owner.name,
            "controller-uid": uid,
            "job-name": owner.name,
        }
        used = {p.labels.get("batch.kubernetes.io/job-completion-index") for p in (*have, *succeeded)}
        free = [str(i) for i in range(owner.spec.completions or 0) if str(i) not in used]
        for n in range(max(missing, 0)):
            base = f"{owner.name}-{free[n]}-" if indexed else f"{owner.name}-"
            name = _fresh(snapshot, "Pod", owner.namespace, base, base, pods.taken(owner.namespace))
            pod = _pod(owner, template, name, **labels)
            pod["metadata"]["generateName"] = base
            if indexed:
                pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = free[n]
                pod["metadata"].setdefault("annotations", {})["batch.kubernetes.io/job-completion-index"] = free[n]
                pod["spec"]["hostname"] = f"{owner.name}-{free[n]}"
            writes.append(pod)
    return Changes(write=tuple(writes))


#: in the order in which they run
CONTROLLERS: tuple[Controller, ...] = (deployments, replica_sets, stateful_sets, daemon_sets, jobs)
