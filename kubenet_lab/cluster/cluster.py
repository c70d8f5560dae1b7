"""`Cluster`: applies objects, lets the chapters program the nodes, answers questions."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError, LoadError, NotFound, Problem
from ..kernel.ask import DEFAULT_TIMEOUT, Result
from ..kernel.network import Network
from ..kernel.state import State
from ..objects.kinds import kind_of
from ..objects.snapshot import Snapshot
from ..objects.status import scale, with_ready
from ..objects.store import Store
from ..objects.views import ConfigMap, Deployment, Node, Object, Pod, ReplicaSet, Service, StatefulSet
from ..policy import engine_for, engine_named
from ..services import ServiceNetwork
from ..trace import Evidence, Outcome, Reason, Trace
from . import questions
from .build import Builder
from .controllers import reconcile
from .diff import Diff, difference
from .edits import Edit, replay
from .facades import DnsFacade, IngressFacade, PlotFacade, PolicyFacade
from .names import Party, party
from .options import Options
from .plan import Assumption, Plan, api_server_documents, missing_pod_cidrs, node_documents, plan_for
from .pod_network import Disk, PodNetwork, pod_network
from .questions import Connection, Fork
from .summary import Summary, summarise
from .topology import Topology, topology_of
from .views import NodeView, PodView

if TYPE_CHECKING:
    from ..dns import Resolution, Server

__all__ = ["Cluster"]


class Cluster:
    """A Kubernetes cluster's network. Made by `kn.load` and `kn.example`."""

    def __init__(self, options: Options, store: Store | None = None):
        self.options = options
        self._state = State()
        self.store = store.copy(lambda: self.now) if store is not None else Store(lambda: self.now, options.domain, ip_families=options.ip_families)
        self._disks: dict[str, Disk] = {}
        self._edits: list[Edit] = []
        self._network: Network | None = None
        self._build_problems: list[Problem] = []
        self._load_findings: list[Problem] = []
        self._controller_findings: list[Problem] = []
        self._notes: list[Assumption] = []
        self._pod_network: PodNetwork | None = None
        self._topology: tuple[int, Topology] | None = None
        self._outside: dict[str, None] = {}
        self._observed_slices: frozenset[str] = frozenset()  # EndpointSlices of a dump, used as they are until the first change
        self.plan: Plan = plan_for(self.store.snapshot(), options)
        self.last_result: Result | None = None
        self.policy, self.dns = PolicyFacade(self), DnsFacade(self)
        self.ingress, self.plot = IngressFacade(self), PlotFacade(self)

    # ------------------------------------------------------------------------------------------------- the objects
    def apply(self, source: Any, *, strict: bool | None = None) -> Cluster:
        """Apply manifests. Everything or nothing: raises LoadError with all that is wrong, and then nothing has changed."""
        before: Store = self.store.copy()
        disks: dict[str, Disk] = {k: dict(v) for k, v in self._disks.items()}
        notes, findings, network = list(self._notes), list(self._load_findings), self._pod_network
        try:
            done = self.store.apply(source, strict=self.options.strict if strict is None else strict)
            self._notes += [Assumption("namespace", a, "assumed", "used by an object, not declared") for a in done.assumptions]
            self._load_findings += [f for f in done.findings if f not in self._load_findings]
            first = self._pod_network is None
            self._observed_slices = frozenset(k for kind, k in done.created if kind == "EndpointSlice") if first else frozenset()
            self._settle()
        except Exception:
            self.store, self._disks = before, disks
            self.store.clock = lambda: self.now
            self._notes, self._load_findings, self._pod_network = notes, findings, network
            raise
        return self

    def _settle(self) -> None:
        """After any change of the objects: system objects, controllers, allocations; the network is programmed when next asked."""
        if self._pod_network is None:
            self._first_settle()
        assert self._pod_network is not None
        service_network = ServiceNetwork(self.plan.service_cidrs, seed=self.options.seed)
        before = {p.key: p for p in self.store.snapshot().list(Pod)}
        problems = reconcile(self.store, self._pod_network, self._disks, service_network, self._observed_slices)
        refused = [p for p in problems if p.object.startswith("Service ") and ("allocated" in p.message or "valid IPs" in p.message or "range" in p.message)]
        if refused:
            raise LoadError(refused)
        self._controller_findings = problems
        now = {p.key: p for p in self.store.snapshot().list(Pod)}
        for key, pod in before.items():
            if key not in now and pod.spec.node_name in self._disks:
                self._pod_network.release(pod, self._disks[pod.spec.node_name])
        self._network = None
        self._topology = None

    def _first_settle(self) -> None:
        snapshot = self.store.snapshot()
        self.plan = plan_for(snapshot, self.options)
        notes = list(self.plan.assumptions)
        if not snapshot.list(Node):
            self.store.write(node_documents(self.plan, self.options, self.options.nodes), by="kubenet-lab")
            names = ", ".join(n.name for n in self.store.snapshot().list(Node))
            notes.append(Assumption("nodes", names, "assumed", "the objects contain none"))
        else:
            for name, cidr in missing_pod_cidrs(snapshot, self.plan):
                document = self.store.document("Node", name)
                document.setdefault("spec", {}).update(podCIDR=cidr, podCIDRs=[cidr])
                self.store.write([document], by="node-ipam-controller")
                notes.append(Assumption(f"podCIDR of {name}", cidr, "assumed", "the node shows none"))
        system = api_server_documents(self.store.snapshot(), self.plan)
        if system:
            self.store.write(system, by="kube-apiserver")
            notes.append(Assumption("API server", self.plan.api_server, "assumed", "no Service default/kubernetes in the objects; a control plane outside the nodes"))
        self._add_dns(notes)
        self._pod_network = pod_network(self.store.snapshot(), self.options, self.plan, notes)
        self.options.kube_proxy.only_iptables()
        self._notes = [*notes, *self._notes]

    def _add_dns(self, notes: list[Assumption]) -> None:
        snapshot = self.store.snapshot()
        option = self.options.coredns
        if option is None:
            return
        if snapshot.get(Service, "kube-dns", "kube-system") is None:
            documents = option.documents(self.options.domain, self.plan.cluster_dns)
            self.store.write([d for d in documents if self.store.find(d["kind"], _key(d)) is None], by="kubeadm")
            notes.append(Assumption("cluster DNS", f"CoreDNS behind kube-dns {self.plan.cluster_dns}", "assumed", "no Service kube-system/kube-dns in the objects; kubeadm's add-on"))
        elif option.corefile is not None:
            self.store.write([d for d in option.documents(self.options.domain, self.plan.cluster_dns) if d["kind"] == "ConfigMap"], by="kubeadm")

    def delete(self, kind: str, key: str) -> Cluster:
        """Delete an object and what it owns. Raises NotFound with the nearest names."""
        self.store.delete(kind, key)
        self._settle()
        return self

    def scale(self, key: str, replicas: int) -> Cluster:
        """Set the replicas of a Deployment, StatefulSet or ReplicaSet."""
        kind, name = _scalable(self.store.snapshot(), key)
        try:
            changes = scale(self.store.snapshot(), kind, name, replicas)
        except ValueError as e:
            raise KubenetError(f"{kind} {name}: {e}") from None
        self.store.commit(changes, by="kubectl scale")
        self._settle()
        return self

    def set_pod(self, key: str, *, ready: bool) -> Cluster:
        """Let a pod's readiness probe succeed or fail."""
        who = party(self.store.snapshot(), key).pod
        if who is None:
            raise NotFound("pod", key)
        self.store.write([with_ready(self.store.document("Pod", who.key), ready, at=self.now)], by="kubelet")
        self._settle()
        return self

    def get(self, kind: str, key: str) -> Object:
        """The typed view of one object: `cluster.get("svc", "shop/cart").spec.cluster_ip`."""
        return self.store.get(kind, key)

    def objects(self, kind: str) -> tuple[Object, ...]:
        """All objects of a kind, by namespace and name."""
        return self.store.objects(kind)

    def to_yaml(self) -> str:
        """Every object, as one multi-document YAML text that `load` reads back."""
        return self.store.to_yaml()

    def snapshot(self) -> Snapshot:
        """The objects at this moment, read-only."""
        return self.store.snapshot()

    # ------------------------------------------------------------------------------------------------ what is known
    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What the lab had to settle: observed, detected or assumed, and why."""
        return tuple(self._notes)

    @property
    def findings(self) -> tuple[Problem, ...]:
        """What is contradictory or cannot work: things a real cluster accepted, pods that found no node ..."""
        self.network()
        return (*self._load_findings, *self._controller_findings, *self._build_problems)

    @property
    def ignored(self) -> tuple[tuple[str, str], ...]:
        """(kind, key) of objects that are kept but not acted on."""
        return self.store.ignored

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the lab's statements rest on: every source that the catalogues of explanations name."""
        from ..explain import all_evidence

        return all_evidence()

    def summary(self) -> Summary:
        """The first thing to look at: counts, assumptions, findings, ignored kinds."""
        return summarise(self)

    @property
    def pod_network(self) -> str:
        """The pod network's name: "flannel vxlan"."""
        return self._pod_network.name if self._pod_network is not None else ""

    @property
    def engine(self) -> str | None:
        """The policy engine that enforces, or None."""
        name = (self._pod_network.name if self._pod_network else "flannel").split()[0]
        found = engine_for(name, self.options.policy_option)
        if found is not None:
            engine_named(found)
        return found

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.store.snapshot().list(Node)

    def topology(self) -> Topology:
        """Nodes, devices and pods as plain values, for figures and widgets."""
        snapshot = self.store.snapshot()
        if self._topology is None or self._topology[0] != snapshot.version:
            self._topology = (snapshot.version, topology_of(self))
        return self._topology[1]

    # ---------------------------------------------------------------------------------------------- what is programmed
    def network(self) -> Network:
        """The programmed network; built when first asked for after a change, hand edits included."""
        if self._network is None:
            self._network, self._build_problems = self._builder().build()
            for address in self._outside:
                self.outside_server(self._network, address)
            self._build_problems += replay(self, self._edits)
        return self._network

    def _builder(self) -> Builder:
        assert self._pod_network is not None, "nothing was loaded"
        return Builder(
            self.store.snapshot(), self.options, self.plan, self._pod_network, self._disks, self._modelled_engine(), self.store.snapshot,
            self.corefile, self._resolv_of, self.zones,
        )  # fmt: skip

    def _modelled_engine(self) -> str | None:
        if self._pod_network is not None and not self._pod_network.modelled:
            return None
        return self.engine

    def outside_server(self, network: Network, address: str) -> None:
        """A machine in the world outside that answers on every port asked for."""
        from ..ingress import HttpServer
        from ..kernel.namespace import Listener
        from ..kernel.process import Echo

        self._outside.setdefault(address)
        ns = network.external(address)
        if ns.listeners:
            return
        why = f"external:{address} answers, because nothing is known about it"
        for port in (80, 443, 53, 22, 25, 5432, 6379, 8080, 3306):
            ns.listen(Listener("TCP", port, HttpServer(ns.label), ns.label, "", why))
        ns.listen(Listener("UDP", 53, Echo(), ns.label, "", why))
        ns.listen(Listener("UDP", 123, Echo(), ns.label, "", why))

    def node(self, name: str) -> NodeView:
        """A node: its links, routes, neighbours, rules, and a shell."""
        who = party(self.store.snapshot(), name if name.startswith("node:") else f"node:{name}")
        return NodeView(self, who.namespace)

    def pod(self, key: str) -> PodView:
        """A pod (or the first of a workload): its network namespace, and a shell."""
        who = party(self.store.snapshot(), key)
        if who.pod is None:
            raise NotFound("pod", key)
        return PodView(self, who.namespace, who.pod)

    def written_rules(self, node: str, family: int) -> str:
        """What the agents of a node hand over, agent by agent."""
        return self._builder().written(node, family)

    def resync(self) -> Cluster:
        """Drop every hand edit: the agents write their state again."""
        self._edits.clear()
        self._network = None
        return self

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The hand edits since the last resync."""
        return tuple(self._edits)

    # -------------------------------------------------------------------------------------------------- dynamic state
    @property
    def now(self) -> float:
        """The lab's clock, in seconds since it was loaded."""
        return self._state.clock

    def flush(self) -> Cluster:
        """Empty the dynamic state: conntrack, learned neighbours and FDB entries, counters, caches, path MTUs."""
        self._state.flush()
        return self

    def tick(self, seconds: float) -> Cluster:
        """Let time pass."""
        if seconds < 0:
            raise KubenetError(f"tick: found {seconds}, expected a number of seconds that is not negative")
        self._state.clock += seconds
        return self

    @property
    def state(self) -> State:
        return self._state

    def _live(self) -> Fork:
        return Fork(self, self._walkable(), self._state)

    def _fork(self) -> Fork:
        return Fork(self, self._walkable(), self._state.fork())

    def _walkable(self) -> Network:
        network = self.network()
        if self._pod_network is not None and not self._pod_network.modelled:
            from ..errors import NotModelled

            raise NotModelled(f"pod network: {self._pod_network.name}")
        return network

    # ------------------------------------------------------------------------------------------------------ questions
    def ask(self, src: Any, target: Any, **options: Any) -> Any:
        """The one verb of the first lessons: a URL is requested, "host:port" is connected to, a bare name is resolved."""
        return questions.ask(self._live(), src, target, **options)

    def connect(
        self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", size: int | None = None, df: bool = True,
        source_port: int | None = None, via: str | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> Trace:  # fmt: skip
        """One connection, datagram or ping. `size`: bytes of L4 payload; `via`: the node by which a packet from outside enters; `timeout`: lab seconds."""
        return questions.connect(self._live(), src, dst, port, protocol, size=size, df=df, source_port=source_port, via=via, timeout=timeout)

    def preview(self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", **options: Any) -> Trace:
        """As `connect`, on a fork: it leaves no marks."""
        return questions.connect(self._fork(), src, dst, port, protocol, **options)

    def outcomes(self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", via: str | None = None, size: int | None = None) -> Outcomes:
        """Every way the connection can go, with exact probabilities that sum to 1. Leaves no marks."""
        return Outcomes(questions.outcomes(self._fork(), src, dst, port, protocol, via=via, size=size))

    def request(self, src: Any, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body_size: int = 0) -> Trace:
        """An HTTP request: DNS, connection, HTTP routing, each with its own trace in `stages`."""
        return questions.request(self._live(), src, url, method, headers, body_size)

    def resolve(self, src: Any, name: str, family: str = "any", resolver: str = "glibc") -> Resolution:
        """The pod's stub resolver: every query in order, with timing."""
        return questions.resolve(self._live(), src, name, family, resolver)

    def open(self, src: Any, dst: Any, port: int | str = 80, source_port: int | None = None) -> Connection:
        """An established TCP flow: `.send(size=100)`, `.close()`."""
        return questions.open_connection(self._live(), src, dst, port, source_port=source_port)

    def reasons_for(self, result: Result, source: Party, target: Party | None, address: str) -> Sequence[Reason]:
        """What the objects add to a walk's own reasons."""
        from .reasons import reasons_for

        return reasons_for(self, result, source, target, address)

    def policy_on(self, source: Party, result: Result) -> Any:
        """What the policies say about a walk that found its pod, and who enforces it; None where no pod answered."""
        from .reasons import policy_on

        return policy_on(self, source, result)

    # ------------------------------------------------------------------------------------------------------------ DNS
    def corefile(self) -> str:
        """The Corefile in force: of ConfigMap kube-system/coredns, else the shipped one."""
        found = self.store.snapshot().get(ConfigMap, "coredns", "kube-system")
        if found is not None and "Corefile" in found.data:
            return found.data["Corefile"]
        from ..dns.corefile import shipped

        return str(shipped(self.options.domain))

    def dns_server(self) -> Server:
        """CoreDNS over the objects, without a network."""
        from ..dns import Server

        return Server(self.corefile(), self.snapshot, self.options.domain, files={"/etc/resolv.conf": self.node_resolv_conf})

    @property
    def node_resolv_conf(self) -> str:
        """The nodes' /etc/resolv.conf."""
        given = self.options.kubelet.resolv_conf
        return given if given is not None else f"nameserver {self.plan.gateway_address}\n"

    def zones(self) -> Any:
        """What the world's DNS knows: given zones, and the cluster's Ingress hosts at the nodes that serve them."""
        from .world import world_zones

        return world_zones(self)

    def _resolv_of(self, pod: Pod) -> Any:
        from ..dns import resolv_conf

        given = self.options.kubelet.cluster_dns
        service = self.store.snapshot().get(Service, "kube-dns", "kube-system")
        dns = given if given is not None else ((service.spec.cluster_ip,) if service is not None else ())
        return resolv_conf(pod, node_resolv=self.node_resolv_conf, cluster_dns=dns, domain=self.options.domain)

    def stub_resolve(self, fork: Fork, source: Party, name: str, family: str, resolver: str) -> Resolution:
        from .world import stub_resolve

        return stub_resolve(self, fork, source, name, family, resolver)

    # ------------------------------------------------------------------------------------------------------- comparing
    def copy(self, **options: Any) -> Cluster:
        """An independent cluster. With options, the same objects on another network: names, placement and Service addresses are kept."""
        merged = Options.of(**{**{f: getattr(self.options, f) for f in self.options.__dataclass_fields__}, **options})
        other = Cluster(merged, self.store)
        other._disks = {k: dict(v) for k, v in self._disks.items()}
        other._edits = list(self._edits)
        other._outside = dict(self._outside)
        other._load_findings = list(self._load_findings)
        other.plan = self.plan
        other._pod_network = None if options.keys() & {"cni", "pod_cidr", "dns", "node_cidr"} else copying.copy(self._pod_network)
        other._notes = list(self._notes) if other._pod_network is not None else []
        if not options:
            other._state = self._state.fork()
        else:
            other._state.clock = self.now
        other._settle()
        return other

    def diff(self, other: Cluster, flows: Sequence[tuple[Any, ...]] | None = None) -> Diff:
        """What is different in `other`: objects, programmed entries, and the verdicts of `flows` (default: every workload to every Service port)."""
        return difference(self, other, flows)

    def __repr__(self) -> str:
        s = self.store.snapshot()
        return f"Cluster({len(s.list(Node))} nodes, {len(s.list(Pod))} pods, {len(s.list(Service))} services, {self.pod_network})"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


class Outcomes(tuple[Outcome, ...]):
    """All outcomes of one question, likeliest first."""

    __slots__ = ()

    def to_frame(self) -> Any:
        """One row per outcome: probability, verdict, answered_by, source_seen, error."""
        import pandas as pd

        rows = [{"probability": str(o.probability), "verdict": o.verdict, "answered_by": o.answered_by, "source_seen": o.source_seen, "error": o.error} for o in self]
        return pd.DataFrame(rows, columns=["probability", "verdict", "answered_by", "source_seen", "error"])

    def __iter__(self) -> Iterator[Outcome]:
        return super().__iter__()

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{o.probability}</td><td style='text-align:left'>{o.verdict}</td><td style='text-align:left'>{escape(o.answered_by or '')}</td>"
            f"<td style='text-align:left'>{escape(o.source_seen or '')}</td></tr>"
            for o in self
        )
        return f"<table><thead><tr><th>probability</th><th>verdict</th><th>answered by</th><th>source seen</th></tr></thead><tbody>{rows}</tbody></table>"


def _scalable(snapshot: Snapshot, key: str) -> tuple[str, str]:
    """(kind, "ns/name") of what `scale` is asked for: "shop/api" or "sts/data/db"."""
    if key.count("/") == 2:
        kind, _, name = key.partition("/")
        return kind_of(kind), name
    views: tuple[type[Object], ...] = (Deployment, StatefulSet, ReplicaSet)
    namespace, _, name = key.rpartition("/")
    for view in views:
        if snapshot.get(view, name, namespace) is not None:
            return view.__name__, key
    raise NotFound("Deployment, StatefulSet or ReplicaSet", key, [o.key for v in views[:2] for o in snapshot.list(v)])


def _key(document: Mapping[str, Any]) -> str:
    meta = document["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])
