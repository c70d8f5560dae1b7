"""`Declared`: the objects with everything that is decided when they change: addresses, disks, options, notes.

A change works on a copy that replaces the old one when all of it went well, so a change that fails leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import KubenetError, LoadError, Problem
from ..kernel.address import number, prefix
from ..objects.documents import read
from ..objects.kinds import kind_of_document
from ..objects.snapshot import Snapshot
from ..objects.status import hosted, pending
from ..objects.store import Store
from ..objects.views import Node, Pod, Service
from ..services import KubeProxy, ServiceNetwork
from ..services.endpoints import MAX_ENDPOINTS
from .balancers import provider
from .controllers import reconcile
from .detect import enforcer, nodes_of_pods, own_policies, proxy_options, selects_any
from .names import further_addresses, node_address
from .options import Options
from .outside import Server, no_longer_named
from .plan import Assumption, Plan, node_documents, plan_for
from .pod_network import DATASTORE, Disk, PodNetwork, pod_cidrs, pod_network
from .sanity import bad_addresses
from .segments import FIRST, node_addresses, renumbered
from .service_networks import NODE_PORTS, added_cidrs, node_port_range, slice_size

__all__ = ["Declared"]

_NETWORKS = frozenset(("node network", "segments", "pod network", "Service network"))
_RUN = frozenset(("pod network plugin", "pod addresses", "routes between nodes", "flannel backend", "kube-proxy", "policy engine"))
_DNS = "cluster DNS"
_BALANCER = "load balancer"


@dataclass(slots=True)
class Declared:
    """Everything that changes by apply and delete."""

    options: Options
    store: Store
    disks: dict[str, Disk] = field(default_factory=dict)  # node (or DATASTORE) -> {path: content}: what keeps addresses
    plan: Plan | None = None
    node_ports: str = NODE_PORTS
    slice_size: int = MAX_ENDPOINTS
    network: PodNetwork | None = None
    proxy: KubeProxy = field(default_factory=KubeProxy)
    engine: str | None = None
    broken: str = ""  # why no packet can be walked, whatever the policies are; "" if it can
    unenforced: str = ""  # why policies cannot be enforced as in the real cluster; "" if they can
    blocked: str = ""  # why no packet can be walked now; "" if it can
    notes: list[Assumption] = field(default_factory=list)
    load_findings: list[Problem] = field(default_factory=list)
    findings: list[Problem] = field(default_factory=list)  # of the controllers, now
    once_named: Mapping[Server, str] = field(default_factory=dict)  # machines outside that only slices have named that are gone
    observed: frozenset[str] = frozenset()  # EndpointSlices of a dump, used as they are until the first change

    def copy(self, clock: Callable[[], float]) -> Declared:
        disks: dict[str, Disk] = {k: dict(v) for k, v in self.disks.items()}
        return replace(
            self, store=self.store.copy(clock), disks=disks, notes=list(self.notes), load_findings=list(self.load_findings),
            findings=list(self.findings)
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------------- changes
    def apply(self, source: Any, strict: bool | None) -> None:
        """Objects from a source. Raises LoadError with everything that is wrong."""
        if not isinstance(source, str | bytes | Mapping) and isinstance(source, Iterable) and not hasattr(source, "__fspath__"):
            source = list(source)  # it may be read twice
        first, before = self.plan is None, self.store.snapshot()
        done = self.store.apply(source, strict=strict)
        if bad := bad_addresses(self.store.snapshot(), done.changed):
            raise LoadError(_placed(bad, source))
        self.notes += [_namespace_note(text) for text in done.assumptions]
        gone = {f"{kind} {key}" for kind, key in done.changed}
        self.load_findings = [f for f in self.load_findings if f.object not in gone]
        self.load_findings += [f for f in done.findings if f not in self.load_findings]
        self.observed = frozenset(k for kind, k in done.created if kind == "EndpointSlice") if first else frozenset()
        self.settle(before, [k for kind, k in done.created if kind == "Service"], strict, source)

    def delete(self, kind: str, key: str) -> None:
        before, self.observed = self.store.snapshot(), frozenset()
        self.store.delete(kind, key)
        self.load_findings = [f for f in self.load_findings if f.object != f"{kind} {key}"]
        self.settle(before)

    def write(self, documents: Iterable[dict[str, Any]], by: str) -> None:
        before, self.observed = self.store.snapshot(), frozenset()
        self.store.write(documents, by=by)
        self.settle(before)

    def settle(self, before: Snapshot, newest: Collection[str] = (), strict: bool | None = None, source: Any = None) -> None:
        """After any change: networks and system objects the first time, then the controllers and allocations."""
        if self.plan is None:
            self._first()
        assert self.plan is not None and self.network is not None
        self.network = self.network.joined(self.store.snapshot(), self.plan)
        self._release(before)
        middle = self.store.snapshot()
        wrong = self._service_networks(middle)
        services = ServiceNetwork(self.plan.service_cidrs, self.node_ports, self.options.seed)
        balancer = provider(self.options, self.plan, middle)
        self.notes = [n for n in self.notes if n.what != _BALANCER]
        if balancer is not None and self.options.load_balancer == "auto":
            self.notes.append(Assumption(_BALANCER, "MetalLB", "detected", "IPAddressPool objects"))
        done = reconcile(self.store, self.plan, self.network, self.disks, services, self.observed, newest, balancer, self.slice_size)
        refused = [p for p in done.refused if strict is True or (strict is None and self._written_by_people(p.object))]
        if refused:
            raise LoadError(_placed(refused, source))
        self.findings = [*wrong, *done.findings, *done.refused, *self._outlying()]
        self._release(middle)
        self.once_named = {**self.once_named, **no_longer_named(before, self.store.snapshot())}
        self._judge()

    def _service_networks(self, snapshot: Snapshot) -> list[Problem]:
        """What ServiceCIDR objects add and take away. Returns what is wrong with them."""
        plan = self.plan
        assert plan is not None
        first = tuple(c for c in plan.service_cidrs if c not in plan.added_service_cidrs)
        added, wrong = added_cidrs(snapshot, first, (*plan.node_cidrs, *plan.pod_cidrs))
        self.plan = replace(plan, service_cidrs=(*first, *added), added_service_cidrs=added)
        return wrong

    def _written_by_people(self, label: str) -> bool:
        """Not seen in a real cluster: an API server would have refused it."""
        kind, _, key = label.partition(" ")
        return self.store.last_applied(kind, key) is not None

    def _release(self, before: Snapshot) -> None:
        """Pods that are gone or have ended give their addresses back; nodes that are gone take their disks along."""
        assert self.network is not None
        now = self.store.snapshot()
        for pod in before.list(Pod):
            here = now.get(Pod, pod.name, pod.namespace)
            stays = here is not None and here.metadata.uid == pod.metadata.uid and not here.terminated
            disk = self.disks.get(self.network.store(pod.spec.node_name))
            if not stays and disk is not None and not pod.spec.host_network:
                self.network.release(pod, disk, self.store.clock())
        for name in self.disks.keys() - {n.name for n in now.list(Node)} - {DATASTORE}:
            del self.disks[name]

    def _outlying(self) -> list[Problem]:
        """Nodes that no wire of the node network reaches."""
        assert self.plan is not None
        out = []
        for node in self.store.snapshot().list(Node):
            own = [ip for f in (4, 6) if (ip := node_address(node, f))]
            segment = self.plan.segment_of(node.name, own)
            if not own:
                out.append(Problem("the node has no InternalIP: nothing reaches it", "status.addresses", f"Node {node.name}"))
            for ip in (*own, *further_addresses(node)):
                cidr = segment.cidr(6 if ":" in ip else 4)
                if cidr and ip not in prefix(cidr):
                    wire = f"the node network {cidr}" if len(self.plan.segments) == 1 else f"{cidr} of segment {segment.name}"
                    out.append(Problem(f"InternalIP {ip} is outside of {wire}", "status.addresses", f"Node {node.name}"))
        return out

    # ------------------------------------------------------------------------------------------------ the first time
    def _first(self) -> None:
        """Networks, nodes and system objects that the source does not bring."""
        missing, note = nodes_of_pods(self.store.snapshot())
        notes = [note] if note is not None else []
        self.store.write(missing, by="kubenet-lab")
        plan = self.plan = plan_for(self.store.snapshot(), self.options, strict=True)
        notes += plan.assumptions
        seen = [s for s in self.store.snapshot().list(Service) if not self._written_by_people(f"Service {s.key}")]
        self.node_ports, note = node_port_range(self.store.snapshot(), self.options.node_ports, seen)
        notes += [note] if note is not None else []
        self.slice_size, note = slice_size(self.store.snapshot(), self.options.max_endpoints_per_slice)
        notes += [note] if note is not None else []
        if not self.store.snapshot().list(Node):
            self.store.write(node_documents(plan, self.options, self.options.nodes), by="kubenet-lab")
            names = ", ".join(n.name for n in self.store.snapshot().list(Node))
            notes.append(Assumption("nodes", names, "assumed", "the objects contain none"))
        if more := [f"{n.name} {a}" for n in self.store.snapshot().list(Node) for a in further_addresses(n)]:
            notes.append(Assumption("further InternalIPs", ", ".join(more), "assumed", "nothing says on which interface; on eth0"))
        bare = [n.name for n in self.store.snapshot().list(Node) if not pod_cidrs(n)]
        if bare:
            notes.append(Assumption("podCIDR", ", ".join(bare), "assumed", "these nodes show none; each gets the next free one"))
        if self.store.find("Service", "default/kubernetes") is None:
            notes.append(
                Assumption(
                    "API server",
                    plan.api_server,
                    "assumed",
                    "no Service default/kubernetes in the objects; a control plane outside the nodes",
                )
            )
        self._dns(notes, set())
        self._agents(notes)
        self.notes = [*notes, *self.notes]

    def _agents(self, notes: list[Assumption]) -> None:
        """Which agents program the nodes."""
        assert self.plan is not None
        snapshot = self.store.snapshot()
        self.network = pod_network(snapshot, self.options, self.plan, notes)
        self.proxy, unproxied = proxy_options(snapshot, self.options, notes)
        self.engine, unenforced = enforcer(snapshot, self.options, self.network.name.split()[0], notes)
        self.broken, self.unenforced = f"pod network: {self.network.unmodelled}" if self.network.unmodelled else unproxied, unenforced
        self._judge()

    def _judge(self) -> None:
        """Can packets be walked? An engine without a model is in nobody's way until a policy selects a pod. A network that gives each pod a
        device of its own to be judged at is told which (`Build`); otherwise, and for an engine's own kinds of policy, nothing is walked."""
        asked, snapshot = self.options.policy != "auto", self.store.snapshot()
        assert self.network is not None
        in_the_way = own_policies(snapshot) or (not self.network.judged_at_devices and selects_any(snapshot))
        self.blocked = self.broken or (self.unenforced if asked or in_the_way else "")

    def _renumber(self, plan: Plan) -> None:
        """A copy on another pod network: podCIDRs and pods' addresses that do not fit are given anew; names and nodes stay."""
        snapshot = self.store.snapshot()
        documents, changed = [], set()
        for node in snapshot.list(Node):
            if not all(any(prefix(c).covers(prefix(mine)) for c in plan.pod_cidrs) for mine in pod_cidrs(node)):
                document = self.store.document("Node", node.name)
                document["spec"] = {k: v for k, v in (document.get("spec") or {}).items() if k not in ("podCIDR", "podCIDRs")}
                documents.append(document)
                changed.add(node.name)
        for pod in snapshot.list(Pod):
            if pod.spec.node_name in changed and not pod.spec.host_network and not pod.terminated and pod.ips:
                documents.append(pending(self.store.document("Pod", pod.key)))
        self.store.write(documents, by="kubenet-lab")
        for name in changed:
            self.disks.pop(name, None)
        self.observed = frozenset()

    def _readdress(self, anew: bool) -> None:
        """A copy with another network: pods whose addresses it could not have given get new ones. `anew`: it is another kind of network,
        so nothing of what the old one wrote on the disks means anything to it."""
        assert self.network is not None
        snapshot = self.store.snapshot()
        nodes = {n.name: n for n in snapshot.list(Node)}
        moved = [
            p for p in snapshot.list(Pod)
            if p.ips and not p.spec.host_network and not p.terminated and p.spec.node_name in nodes
            and not self.network.fits(nodes[p.spec.node_name], p)
        ]  # fmt: skip
        self.store.write([pending(self.store.document("Pod", p.key)) for p in moved], by="kubenet-lab")
        if moved or anew:
            self.disks = {}
        if moved:
            self.observed = frozenset()

    def _move_nodes(self, plan: Plan, old: Plan) -> None:
        """A copy on other segments: nodes whose addresses do not fit get new ones there, and what repeats them follows."""
        snapshot = self.store.snapshot()
        taken = {a.address for n in snapshot.list(Node) for a in n.status.addresses} | {plan.api_server}
        documents, moved = [], {}
        for node in snapshot.list(Node):
            own = [a for f in (4, 6) if (a := node_address(node, f))]
            segment = plan.segment_of(node.name, own)
            if own and all(segment.holds(a) for a in own):
                continue
            before = next((prefix(c) for a in own for c in old.node_cidrs if a in prefix(c)), None)
            offset = number(own[0]) - before.network if before is not None else FIRST
            own.sort(key=lambda a: (":" in a) != (":" in segment.cidrs[0]))
            new = node_addresses(segment, offset, taken)
            taken.update(new)
            documents.append(renumbered(self.store.document("Node", node.name), own, new))
            moved[node.name] = new
        for pod in snapshot.list(Pod):
            if pod.spec.node_name in moved and not pod.terminated:
                document = self.store.document("Pod", pod.key)
                documents.append(pending(document) if pod.spec.host_network else hosted(document, moved[pod.spec.node_name]))
        self.store.write(documents, by="kubenet-lab")
        if moved:
            self.observed = frozenset()

    def _dns(self, notes: list[Assumption], given: set[str]) -> None:
        """The cluster DNS add-on, where the objects bring none. `given`: the options that a copy changes."""
        option, ours = self.options.coredns, any(n.what == _DNS for n in self.notes)
        if option is None:
            if ours:
                self.notes = [n for n in self.notes if n.what != _DNS]
                for kind, key in (("Service", "kube-dns"), ("Deployment", "coredns"), ("ConfigMap", "coredns")):
                    if self.store.find(kind, f"kube-system/{key}") is not None:
                        self.store.delete(kind, f"kube-system/{key}")
            return
        assert self.plan is not None
        snapshot, domain = self.store.snapshot(), self.options.domain
        if snapshot.get(Service, "kube-dns", "kube-system") is None:
            address = self.plan.cluster_dns({ip for s in snapshot.list(Service) for ip in (s.spec.cluster_ip, *s.spec.cluster_ips)})
            documents = [d for d in option.documents(domain, address) if self.store.find(d["kind"], _key(d)) is None]
            self.store.write(documents, by="kubeadm")
            notes.append(
                Assumption(
                    _DNS,
                    f"CoreDNS behind kube-dns {address}",
                    "assumed",
                    "no Service kube-system/kube-dns in the objects; kubeadm's add-on",
                )
            )
        elif "dns" in given or (option.corefile is not None and not ours):
            wanted = ("ConfigMap", "Deployment") if ours else ("ConfigMap",)
            self.store.write([d for d in option.documents(domain, "") if d["kind"] in wanted], by="kubeadm")

    def with_options(self, options: Options, given: set[str], clock: Callable[[], float]) -> Declared:
        """The same objects under other options: names, placement and Service addresses kept, pod addresses where the pod network allows."""
        for name in given & {"nodes", "node_cidr", "ip_families", "domain"}:
            raise KubenetError(
                f"copy({name}=...): a copy keeps its objects, and they hold the {name.replace('_', ' ')} already; load the manifests anew"
            )
        other = self.copy(clock)
        other.options = options
        notes: list[Assumption] = []
        decided: frozenset[str] = frozenset()
        rewired = "underlay" in given and options.underlay.segments != self.options.underlay.segments
        if "node_ports" in given and options.node_ports:
            other.node_ports = options.node_ports
        if "max_endpoints_per_slice" in given:
            other.slice_size, _ = slice_size(other.store.snapshot(), options.max_endpoints_per_slice)
        if rewired or given & {"cni", "pod_cidr", "service_cidr"}:
            assert self.plan is not None
            other.plan = plan_for(other.store.snapshot(), options, strict=rewired)
            notes, decided = list(other.plan.assumptions), _NETWORKS
            if rewired:
                other._move_nodes(other.plan, self.plan)
            other._renumber(other.plan)
        if "dns" in given:
            other._dns(notes, given)
        if rewired or given & {"cni", "pod_cidr", "proxy", "policy"}:
            other._agents(notes)
            decided |= _RUN
        if rewired or "cni" in given:
            assert self.network is not None and other.network is not None
            other._readdress(anew=other.network.name.split()[0] != self.network.name.split()[0])
        other.notes = [*notes, *(n for n in other.notes if n.what not in decided)]
        anew = {"cni", "pod_cidr", "service_cidr", "dns", "strict", "load_balancer", "node_ports", "max_endpoints_per_slice"}
        if rewired or given & anew:
            other.settle(other.store.snapshot(), strict=options.strict)
        return other


def _placed(problems: Iterable[Problem], source: Any) -> list[Problem]:
    """The problems with the place of their object in the source that was applied."""
    documents, _ = read(source) if source is not None else ([], [])
    origins = {}
    for d in documents:
        info, meta = kind_of_document(d.data), d.data.get("metadata")
        if info is not None and isinstance(meta, Mapping):
            origins[f"{info.name} {meta.get('namespace') or 'default'}/{meta.get('name')}"] = d.origin
    return [origins[p.object].problem(p.message, p.path, p.object) if p.object in origins else p for p in problems]


def _namespace_note(text: str) -> Assumption:
    name = text.split('"')[1] if text.count('"') >= 2 else text
    return Assumption("namespace", name, "assumed", "objects are in it, nothing declares it; an API server would refuse them")


def _key(document: Mapping[str, Any]) -> str:
    meta = document["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])
