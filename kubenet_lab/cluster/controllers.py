"""Controllers run in a fixed order to a fixpoint: each is a function of the snapshot, the store carries their changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping
from dataclasses import dataclass, field

from ..errors import KubenetError, Problem
from ..objects.scheduling import schedule
from ..objects.snapshot import Snapshot
from ..objects.status import running, workload_statuses
from ..objects.store import Changes, Store
from ..objects.views import Node, Pod, Service
from ..objects.workloads import CONTROLLERS
from ..services import LoadBalancer, ServiceNetwork, allocate, slices
from ..services.endpoints import MAX_ENDPOINTS
from .names import node_address
from .plan import Plan, api_server_documents, missing_pod_cidrs
from .pod_network import Disk, PodNetwork

__all__ = ["Settled", "reconcile"]

ROUNDS = 100


@dataclass(slots=True)
class Settled:
    """What the controllers could not do: `refused` is what an API server would not have taken (addresses, ports), `findings` the rest."""

    findings: list[Problem] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)


def reconcile(
    store: Store, plan: Plan, network: PodNetwork, disks: MutableMapping[str, Disk], service_network: ServiceNetwork,
    observed: Collection[str] = (), newest: Collection[str] = (), balancer: LoadBalancer | None = None,
    slice_size: int = MAX_ENDPOINTS,
) -> Settled:  # fmt: skip
    """Run every controller until nothing changes. Raises KubenetError if they never agree.

    `observed`: EndpointSlices of a dump, used as they are. `newest`: keys of Services in the order in which they were just
    created; of two that ask for the same number the later one is refused. All others are updated. `slice_size`: endpoints per slice.
    """
    steps: tuple[tuple[str, Callable[[Snapshot], Changes]], ...] = (
        ("kube-apiserver", lambda s: Changes(write=tuple(api_server_documents(s, plan)))),
        ("kubelet", lambda s: _register_nodes(s, store)),
        ("node-ipam-controller", lambda s: _node_cidrs(s, store, plan)),
        ("pod-garbage-collector", _orphans),
        *((f"{c.__name__} controller", c) for c in CONTROLLERS),
        ("kube-scheduler", schedule),
        ("kubelet", lambda s: _start_pods(s, store, network, disks)),
        (_ALLOCATOR, lambda s: _allocate_services(s, store, service_network, newest)),
        ("load-balancer provider", lambda s: _load_balancers(s, balancer)),
        ("endpointslice-controller", lambda s: _endpoint_slices(s, observed, slice_size)),
        ("workload statuses", workload_statuses),
    )
    for _ in range(ROUNDS):
        done, seen, moved = Settled(), set(), False
        for by, controller in steps:
            changes = controller(store.snapshot())
            for p in changes.findings:
                if str(p) not in seen:
                    seen.add(str(p))
                    (done.refused if by == _ALLOCATOR else done.findings).append(p)
            if changes and store.commit(changes, by=by):
                moved = True
        if not moved:
            return done
    raise KubenetError(f"the controllers do not agree after {ROUNDS} rounds")


_ALLOCATOR = "service allocator"


def _register_nodes(snapshot: Snapshot, store: Store) -> Changes:
    """The labels that a kubelet gives its own Node, for Nodes that people wrote. Source: pkg/kubelet/kubelet_node_status.go."""
    written = []
    for node in snapshot.list(Node):
        own = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}
        if not own.keys() <= node.labels.keys() and store.last_applied("Node", node.name) is not None:
            document = store.document("Node", node.name)
            document["metadata"]["labels"] = {**own, **(document["metadata"].get("labels") or {})}
            written.append(document)
    return Changes(write=tuple(written))


def _node_cidrs(snapshot: Snapshot, store: Store, plan: Plan) -> Changes:
    """Node IPAM: a podCIDR for every node that has none."""
    written, findings = [], []
    for name, cidrs in missing_pod_cidrs(snapshot, plan):
        if not cidrs:
            findings.append(
                Problem(
                    "CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range",
                    "spec.podCIDR",
                    f"Node {name}",
                )
            )
            continue
        document = store.document("Node", name)
        document.setdefault("spec", {}).update(podCIDR=cidrs[0], podCIDRs=list(cidrs))
        written.append(document)
    return Changes(write=tuple(written), findings=tuple(findings))


def _orphans(snapshot: Snapshot) -> Changes:
    """Pods of a node that is gone are deleted. Source: pkg/controller/podgc, gcOrphaned.

    One that never ran and names a node which never was is deleted too in a real cluster, after a while; here it stays, and is said.
    """
    nodes = {n.name for n in snapshot.list(Node)}
    lost = [p for p in snapshot.list(Pod) if p.spec.node_name and p.spec.node_name not in nodes]
    said = "there is no node {!r}: the pod waits for it, until a real cluster's garbage collector deletes it"
    waiting = tuple(Problem(said.format(p.spec.node_name), "spec.nodeName", f"Pod {p.key}") for p in lost if not p.ips)
    return Changes(delete=tuple(("Pod", p.key) for p in lost if p.ips), findings=waiting)


def _start_pods(snapshot: Snapshot, store: Store, network: PodNetwork, disks: MutableMapping[str, Disk]) -> Changes:
    """The kubelets: a pod that has a node gets its addresses and runs. Addresses that pods show are taken first."""
    nodes = {n.name: n for n in snapshot.list(Node)}
    waiting: list[tuple[Node, Pod]] = []
    for pod in snapshot.list(Pod):
        node = nodes.get(pod.spec.node_name)
        if node is None or pod.terminated:
            continue
        if not pod.ips:
            waiting.append((node, pod))
        elif not pod.spec.host_network:
            network.observed(node, pod, disks.setdefault(network.store(node.name), {}), store.clock())
    written, findings = [], []
    for node, pod in waiting:
        hosts = [a for a in (node_address(node), node_address(node, 6)) if a]
        try:
            if not hosts:
                raise KubenetError(f"node {node.name} has no InternalIP")
            disk = disks.setdefault(network.store(node.name), {})
            ips = hosts if pod.spec.host_network else network.allocate(node, pod, disk, store.clock())
        except KubenetError as e:
            findings.append(Problem(f"failed to create the pod sandbox: {e}", "status.podIP", f"Pod {pod.key}"))
            continue
        written.append(running(store.document("Pod", pod.key), ips, hosts, at=store.clock()))
    return Changes(write=tuple(written), findings=tuple(findings))


def _allocate_services(snapshot: Snapshot, store: Store, network: ServiceNetwork, newest: Collection[str]) -> Changes:
    """ClusterIPs and node ports for Services that lack one; those that have theirs keep them, the older ones first."""
    late = {key: i for i, key in enumerate(newest)}
    keys = sorted((s.key for s in snapshot.list(Service)), key=lambda k: late.get(k, -1))
    documents = [store.document("Service", k) for k in keys]
    done = allocate(documents, network, [k for k in keys if k not in late])
    changed = tuple(new for new, old in zip(done.documents, documents, strict=True) if new != old)
    return Changes(write=changed, findings=done.problems)


def _load_balancers(snapshot: Snapshot, balancer: LoadBalancer | None) -> Changes:
    """Addresses for Services of type LoadBalancer; without a provider they stay pending."""
    if balancer is None:
        return Changes()
    documents, problems = balancer.assign(snapshot)
    return Changes(write=tuple(documents), findings=tuple(problems))


def _endpoint_slices(snapshot: Snapshot, observed: Collection[str], size: int) -> Changes:
    wanted = slices(snapshot, observed, size)
    notes = tuple(Problem(n) for n in wanted.notes)
    return Changes(write=wanted.write, delete=tuple(("EndpointSlice", key) for key in wanted.delete), findings=notes)
