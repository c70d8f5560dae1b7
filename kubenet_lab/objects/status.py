"""Statuses: a pod that runs, a pod that is ready or not, and what workloads report of their pods.

Source: pkg/kubelet/status/generate.go for the conditions, the controllers' status updates for the counts.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from . import stamps
from .kinds import kind_of, split_key
from .ownership import active, controller_of
from .snapshot import Snapshot
from .store import Changes
from .views import DaemonSet, Deployment, Job, Pod, ReplicaSet, StatefulSet

__all__ = ["hosted", "pending", "running", "scale", "with_deletion", "with_ready", "workload_statuses"]

Doc = dict[str, Any]

_POD_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_SCALABLE = ("Deployment", "ReplicaSet", "StatefulSet")


def running(document: Doc, pod_ip: str | Sequence[str], host_ip: str | Sequence[str], *, at: float = 0.0) -> Doc:
    """A pod's document as the kubelet reports it once it runs and is ready. Addresses: one, or one per family, primary first.

    `at` is the lab time in seconds. What the status says already of readiness and restarts is kept.
    """
    ips = [pod_ip] if isinstance(pod_ip, str) else list(pod_ip)
    hosts = [host_ip] if isinstance(host_ip, str) else list(host_ip)
    out = copy.deepcopy(document)
    spec, status = out.get("spec") or {}, out.setdefault("status", {})
    moment = stamps.timestamp(at)
    had = {c.get("type"): c for c in status.get("conditions") or []}
    conditions = []
    for kind in _POD_CONDITIONS:
        before = had.pop(kind, {})
        if before.get("status") == "True" or (before and kind in ("Ready", "ContainersReady") and status.get("phase") == "Running"):
            conditions.append(before)
        else:
            conditions.append({"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": moment})
    for condition in conditions:
        condition.pop("lastProbeTime", None)
    status["conditions"] = [*conditions, *had.values()]
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    status["phase"] = "Running"
    status["hostIP"], status["hostIPs"] = hosts[0], [{"ip": ip} for ip in hosts]
    status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
    status.setdefault("startTime", moment)
    status.setdefault("qosClass", _qos(spec))
    seen = {c.get("name"): c for c in status.get("containerStatuses") or []}
    status["containerStatuses"] = [
        {
            "image": container.get("image", ""),
            "imageID": "",
            "lastState": {},
            "name": container.get("name", ""),
            "ready": ready,
            "restartCount": int((seen.get(container.get("name")) or {}).get("restartCount") or 0),
            "started": True,
            "state": {"running": {"startedAt": moment}},
            **(seen.get(container.get("name")) or {}),
        }
        for container in spec.get("containers") or []
    ]
    return out


def pending(document: Doc) -> Doc:
    """A pod's document without its addresses: to be given new ones."""
    out = copy.deepcopy(document)
    status = out.setdefault("status", {})
    for name in ("podIP", "podIPs", "hostIP", "hostIPs", "startTime", "containerStatuses"):
        status.pop(name, None)
    status["phase"] = "Pending"
    status["conditions"] = [c for c in status.get("conditions") or [] if c.get("type") == "PodScheduled"]
    return out


def hosted(document: Doc, host_ips: Sequence[str]) -> Doc:
    """A pod's document with other addresses of its node."""
    out = copy.deepcopy(document)
    status = out.setdefault("status", {})
    if "hostIP" in status:
        status["hostIP"], status["hostIPs"] = host_ips[0], [{"ip": ip} for ip in host_ips]
    return out


def _qos(spec: Doc) -> str:
    """Guaranteed when every container's CPU and memory limits equal its requests, BestEffort when none is given."""
    resources = [c.get("resources") or {} for c in spec.get("containers") or []]
    if not any(r.get("limits") or r.get("requests") for r in resources):
        return "BestEffort"
    full = all(
        (r.get("limits") or {}).get(n) is not None and (r.get("requests") or r.get("limits") or {}).get(n) == (r.get("limits") or {}).get(n)
        for r in resources
        for n in ("cpu", "memory")
    )
    return "Guaranteed" if full else "Burstable"


def with_deletion(document: Doc, *, at: float = 0.0) -> Doc:
    """A pod's document after DELETE while it still runs: its deletionTimestamp is the end of its grace period.

    Source: staging/src/k8s.io/apiserver/pkg/registry/rest/delete.go (BeforeDelete).
    """
    out = copy.deepcopy(document)
    grace = (out.get("spec") or {}).get("terminationGracePeriodSeconds")
    seconds = 30 if grace is None else int(grace)
    out["metadata"] |= {"deletionTimestamp": stamps.timestamp(at + seconds), "deletionGracePeriodSeconds": seconds}
    return out


def with_ready(document: Doc, ready: bool, *, at: float = 0.0) -> Doc:
    """A pod's document with Ready and ContainersReady set, as when its readiness probe starts to fail or to succeed."""
    out = copy.deepcopy(document)
    status = out.setdefault("status", {})
    conditions = status.setdefault("conditions", [])
    names = [c.get("name", "") for c in (out.get("spec") or {}).get("containers") or []]
    for kind in ("Ready", "ContainersReady"):
        condition = next((c for c in conditions if c.get("type") == kind), None)
        if condition is None:
            condition = {"type": kind}
            conditions.append(condition)
        value = "True" if ready else "False"
        if condition.get("status") != value:
            condition["status"], condition["lastTransitionTime"] = value, stamps.timestamp(at)
        for part in ("reason", "message"):
            condition.pop(part, None)
        if not ready:
            condition["reason"] = "ContainersNotReady"
            condition["message"] = f"containers with unready status: [{' '.join(names)}]"
    for container in status.get("containerStatuses") or []:
        container["ready"] = ready
    return out


def scale(snapshot: Snapshot, kind: str, key: str, replicas: int) -> Changes:
    """Set `spec.replicas` of a Deployment, ReplicaSet or StatefulSet; the controllers do the rest. Raises ValueError for others."""
    name = kind_of(kind)
    if name not in _SCALABLE:
        raise ValueError(f"a {name} cannot be scaled: only {', '.join(_SCALABLE)}")
    if replicas < 0:
        raise ValueError("spec.replicas: Invalid value: must be greater than or equal to 0")
    namespace, own = split_key(key)
    found = snapshot.document(name, own, namespace)
    if found is None:
        raise ValueError(f"no {name} {key}")
    document = copy.deepcopy(found)
    document.setdefault("spec", {})["replicas"] = replicas
    return Changes(write=(document,))


def workload_statuses(snapshot: Snapshot) -> Changes:
    """The counts that workloads report: replicas, ready, available, updated. The last controller to run."""
    by_owner: dict[tuple[str, str, str], list[Pod]] = {}
    for pod in snapshot.list(Pod):
        found = controller_of(pod.metadata)
        if found is not None and active(pod):
            by_owner.setdefault((found[0], pod.namespace, found[1]), []).append(pod)
    writes: list[Doc] = []

    def report(kind: str, namespace: str, name: str, counts: Doc, optional: tuple[str, ...]) -> None:
        if (kind, namespace, name) in snapshot.settled:
            return  # a dump's own report stands until somebody changes the object
        document = snapshot.document(kind, name, namespace) or {}
        status = dict(document.get("status") or {})
        for field, value in counts.items():
            if value or field not in optional:
                status[field] = value
            else:
                status.pop(field, None)
        if status != (document.get("status") or {}):
            new = copy.deepcopy(document)
            new["status"] = status
            writes.append(new)

    sets: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for replica_set in snapshot.list(ReplicaSet):
        pods = by_owner.get(("ReplicaSet", replica_set.namespace, replica_set.name), [])
        ready = sum(p.ready for p in pods)
        counts = {
            "observedGeneration": replica_set.metadata.generation, "replicas": len(pods), "fullyLabeledReplicas": len(pods),
            "readyReplicas": ready, "availableReplicas": ready,
        }  # fmt: skip
        optional: tuple[str, ...] = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
        report("ReplicaSet", replica_set.namespace, replica_set.name, counts, optional)
        found = controller_of(replica_set.metadata)
        if found is not None and found[0] == "Deployment":
            sets.setdefault((replica_set.namespace, found[1]), []).append((len(pods), ready, replica_set.spec.replicas))
    for deployment in snapshot.list(Deployment):
        mine = sets.get((deployment.namespace, deployment.name), [])
        total, ready = sum(m[0] for m in mine), sum(m[1] for m in mine)
        updated = sum(m[0] for m in mine if m[2])
        counts = {
            "observedGeneration": deployment.metadata.generation, "replicas": total, "updatedReplicas": updated, "readyReplicas": ready,
            "availableReplicas": ready, "unavailableReplicas": max(deployment.spec.replicas - ready, 0),
        }  # fmt: skip
        optional = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
        report("Deployment", deployment.namespace, deployment.name, counts, optional)
    for stateful in snapshot.list(StatefulSet):
        pods = by_owner.get(("StatefulSet", stateful.namespace, stateful.name), [])
        ready = sum(p.ready for p in pods)
        counts = {
            "observedGeneration": stateful.metadata.generation, "replicas": len(pods), "readyReplicas": ready,
            "currentReplicas": len(pods), "updatedReplicas": len(pods), "availableReplicas": ready,
        }  # fmt: skip
        report("StatefulSet", stateful.namespace, stateful.name, counts, ("readyReplicas", "currentReplicas", "updatedReplicas"))
    for daemon in snapshot.list(DaemonSet):
        pods = by_owner.get(("DaemonSet", daemon.namespace, daemon.name), [])
        ready = sum(p.ready for p in pods)
        counts = {
            "observedGeneration": daemon.metadata.generation, "currentNumberScheduled": len(pods), "desiredNumberScheduled": len(pods),
            "numberMisscheduled": 0, "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": len(pods),
        }  # fmt: skip
        report("DaemonSet", daemon.namespace, daemon.name, counts, ("numberAvailable", "updatedNumberScheduled"))
    for job in snapshot.list(Job):
        pods = by_owner.get(("Job", job.namespace, job.name), [])
        counts = {"active": len(pods), "ready": sum(p.ready for p in pods)}
        report("Job", job.namespace, job.name, counts, ("active", "ready"))
    return Changes(write=tuple(writes))
