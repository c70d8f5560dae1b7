"""Controllers run in a fixed order to a fixpoint: each is a function of the snapshot, the store carries their changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping

from ..errors import KubenetError, Problem
from ..objects.scheduling import schedule
from ..objects.snapshot import Snapshot
from ..objects.store import Changes, Store
from ..objects.views import Node, Pod, Service
from ..objects.status import running, workload_statuses
from ..objects.workloads import CONTROLLERS
from ..services import ServiceNetwork, allocate, slices
from .names import node_address
from .pod_network import Disk, PodNetwork

__all__ = ["allocate_services", "reconcile"]

ROUNDS = 100


def reconcile(
    store: Store, network: PodNetwork, disks: MutableMapping[str, Disk], service_network: ServiceNetwork, observed: Collection[str] = ()
) -> list[Problem]:
    """Run every controller until nothing changes; what they could not do. Raises KubenetError if they never agree."""
    findings: dict[str, Problem] = {}
    steps: tuple[tuple[str, Callable[[Snapshot], Changes]], ...] = (
        *((f"{c.__name__} controller", c) for c in CONTROLLERS),
        ("kube-scheduler", schedule),
        ("kubelet", lambda s: _start_pods(s, store, network, disks)),
        ("service allocator", lambda s: allocate_services(s, store, service_network)),
        ("endpointslice controller", lambda s: _endpoint_slices(s, observed)),
        ("workload statuses", workload_statuses),
    )
    for _ in range(ROUNDS):
        findings.clear()
        moved = False
        for by, controller in steps:
            changes = controller(store.snapshot())
            for p in changes.findings:
                findings.setdefault(str(p), p)
            if changes and store.commit(changes, by=by):
                moved = True
        if not moved:
            return list(findings.values())
    raise KubenetError(f"the controllers do not agree after {ROUNDS} rounds")


def _start_pods(snapshot: Snapshot, store: Store, network: PodNetwork, disks: MutableMapping[str, Disk]) -> Changes:
    """The kubelet: a pod that has a node gets an address and runs."""
    nodes = {n.name: n for n in snapshot.list(Node)}
    written, findings = [], []
    seen: dict[str, set[str]] = {}
    for pod in snapshot.list(Pod):
        node = nodes.get(pod.spec.node_name)
        if node is None or pod.terminated:
            continue
        disk = disks.setdefault(node.name, {})
        if pod.ips:
            if not pod.spec.host_network:
                network.observed(node, pod, pod.ips[0], disk)
                seen.setdefault(node.name, set()).add(pod.ips[0])
            continue
        host_ip = node_address(node)
        try:
            ip = host_ip if pod.spec.host_network else network.allocate(node, pod, disk)
        except KubenetError as e:
            findings.append(Problem(f"failed to create the pod sandbox: {e}", "status.podIP", f"Pod {pod.key}"))
            continue
        written.append(running(store.document("Pod", pod.key), ip, host_ip, at=store.clock()))
    return Changes(write=tuple(written), findings=tuple(findings))


def allocate_services(snapshot: Snapshot, store: Store, network: ServiceNetwork) -> Changes:
    """ClusterIPs and node ports for Services that lack one; those that have theirs keep them."""
    documents = [store.document("Service", s.key) for s in snapshot.list(Service)]
    done = allocate(documents, network)
    before = {(d["metadata"].get("namespace"), d["metadata"]["name"]): d for d in documents}
    changed = tuple(d for d in done.documents if d != before.get((d["metadata"].get("namespace"), d["metadata"]["name"])))
    return Changes(write=changed, findings=done.problems)


def _endpoint_slices(snapshot: Snapshot, observed: Collection[str]) -> Changes:
    wanted = slices(snapshot, observed)
    notes = tuple(Problem(n) for n in wanted.notes)
    return Changes(write=wanted.write, delete=tuple(("EndpointSlice", key) for key in wanted.delete), findings=notes)
