"""Controllers: what ReplicaSets, StatefulSets, DaemonSets and Jobs make of a snapshot, and the order in which all run.

Each is a pure function `Snapshot -> Changes`; `reconcile` runs them in order to a fixpoint. An owner that a dump shows
with its children is left as it was seen until somebody changes it (see `ownership`). CronJobs make nothing until their
time comes, and the lab's clock has no calendar: a Job that a CronJob made is used where a dump shows it.
A finished Job makes no pods; one that runs keeps `parallelism` pods running, for nothing in the lab ends them.
Source: pkg/controller/{replicaset,statefulset,daemon,job} of the modelled release.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import KubenetError
from .deployments import deployments
from .ownership import active, is_owned_by
from .scheduling import daemon_fits, daemon_node, daemon_tolerations
from .snapshot import Snapshot
from .store import Changes, Store
from .templates import PodIndex, comparable, fresh_name, gap_of, pod_of, template_hash, template_of
from .views import DaemonSet, Job, Node, Pod, ReplicaSet, StatefulSet

__all__ = [
    "CONTROLLERS", "Controller", "daemon_sets", "deployments", "jobs", "reconcile", "replica_sets", "stateful_sets", "surplus",
    "template_hash",
]  # fmt: skip

Doc = dict[str, Any]
Controller = Callable[[Snapshot], Changes]


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
    raise KubenetError(f"the controllers did not settle in {rounds} rounds")


# --- ReplicaSet --------------------------------------------------------------------------------------------------
def replica_sets(snapshot: Snapshot) -> Changes:
    pods = PodIndex(snapshot)
    writes: list[Doc] = []
    deletes: list[tuple[str, str]] = []
    for owner in snapshot.list(ReplicaSet):
        adopted = pods.adopted(owner)
        writes.extend(adopted)
        have = pods.of(owner)
        missing = owner.spec.replicas - gap_of(snapshot, owner) - len(have) - len(adopted)
        if missing > 0 and not adopted:
            template = template_of(snapshot, owner)
            for _ in range(missing):
                name = fresh_name(snapshot, "Pod", owner.namespace, f"{owner.name}-", owner.name, pods.taken(owner.namespace))
                document = pod_of(owner, template, name)
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
    pods = PodIndex(snapshot)
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
        missing = owner.spec.replicas - gap_of(snapshot, owner) - len([n for n in have if n in wanted]) - len(adopted)
        template = template_of(snapshot, owner)
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
    document = pod_of(
        owner,
        template,
        name,
        **{
            "apps.kubernetes.io/pod-index": str(number),
            "controller-revision-hash": f"{owner.name}-{template_hash(comparable(template))}",
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
    pods = PodIndex(snapshot)
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
        template = template_of(snapshot, owner)
        spec = template.setdefault("spec", {})
        spec["tolerations"] = daemon_tolerations(spec.get("tolerations") or [], host_network=spec.get("hostNetwork") is True)
        revision = template_hash(comparable(template_of(snapshot, owner)))
        for node in nodes:
            fits = daemon_fits(spec, node)
            mine = have.pop(node.name, [])
            if fits and not mine and node.name not in without:
                name = fresh_name(
                    snapshot, "Pod", owner.namespace, f"{owner.name}-", f"{owner.name}@{node.name}", pods.taken(owner.namespace)
                )
                document = pod_of(owner, template, name, **{"controller-revision-hash": revision, "pod-template-generation": "1"})
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
    pods = PodIndex(snapshot)
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
        missing = wanted - gap_of(snapshot, owner) - len(have)
        indexed = spec.get("completionMode") == "Indexed"
        template = template_of(snapshot, owner)
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
            name = fresh_name(snapshot, "Pod", owner.namespace, base, base, pods.taken(owner.namespace))
            pod = pod_of(owner, template, name, **labels)
            pod["metadata"]["generateName"] = base
            if indexed:
                pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = free[n]
                pod["metadata"].setdefault("annotations", {})["batch.kubernetes.io/job-completion-index"] = free[n]
                pod["spec"]["hostname"] = f"{owner.name}-{free[n]}"
            writes.append(pod)
    return Changes(write=tuple(writes))


#: in the order in which they run
CONTROLLERS: tuple[Controller, ...] = (deployments, replica_sets, stateful_sets, daemon_sets, jobs)
