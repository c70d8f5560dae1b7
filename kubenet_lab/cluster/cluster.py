"""`Cluster`: applies objects, lets the chapters program the nodes, answers questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError, NotFound, NotModelled, Problem
from ..kernel.ask import DEFAULT_TIMEOUT
from ..kernel.background import catch_up
from ..kernel.network import Network
from ..kernel.state import State
from ..objects.snapshot import Snapshot
from ..objects.status import scale
from ..objects.store import Store
from ..objects.views import Node, Object, Pod, Service
from ..services import KubeProxy
from ..trace import Evidence, Trace
from . import questions
from .build import Build, World
from .diff import Diff, difference
from .edits import HandEdit, replay
from .facades import DnsFacade, IngressFacade, PlotFacade, PolicyFacade
from .fork import Fork
from .kept import sorted_out
from .names import Party, party, scalable
from .node_cni import forget
from .options import Options
from .outcomes import Outcomes
from .plan import Assumption, Plan
from .pod_state import changed_pod
from .settle import Declared
from .stale_flows import clean_stale_flows, rules_are_new
from .summary import Summary, summarise
from .topology import Topology, topology_of
from .underlay_view import UnderlayView
from .views import NodeView, PodView
from .world import corefile_of, pod_resolv_conf, stub_resolve, unknown_listeners, world_zones

if TYPE_CHECKING:
    from ..cni import CniRuntime
    from ..cni.live import LiveHost
    from ..dns import Resolution, ResolvConf, Server, Zones

__all__ = ["Cluster"]


class Cluster:
    """A Kubernetes cluster's network. Made by `kn.load` and `kn.example`."""

    def __init__(self, options: Options, declared: Declared | None = None):
        self._state = State(lambda frames: setattr(self, "capture", (*self.capture, *frames)))
        self._declared = declared or Declared(options, Store(self._clock, options.domain, ip_families=options.ip_families))
        self._edits: list[HandEdit] = []
        self.runtimes: dict[str, CniRuntime] = {}  # CNI by hand, by node
        self._build: Build | None = None
        self._edit_problems: list[Problem] = []
        self._topology: Topology | None = None
        self._outside: dict[str, None] = {}  # machines outside that live questions have named
        self.capture: Sequence[tuple[Any, ...]] = ()  # the frames of the last live traffic, for tcpdump
        self.policy, self.dns = PolicyFacade(self), DnsFacade(self)
        self.ingress, self.plot, self.underlay = IngressFacade(self), PlotFacade(self), UnderlayView(self)

    def _clock(self) -> float:
        return self._state.clock

    # ------------------------------------------------------------------------------------------------- the objects
    def _change(self, change: Callable[[Declared], object]) -> Cluster:
        """Everything or nothing: a change works on a copy, which is taken over when all went well."""
        self.catch_up()
        work = self._declared.copy(self._clock)
        change(work)
        self._declared = work
        self._build = self._topology = None
        clean_stale_flows(work.store.snapshot(), self._state, self.walkable)
        return self

    def apply(self, source: Any, *, strict: bool | None = None) -> Cluster:
        """Apply manifests. Everything or nothing: raises LoadError with all that is wrong, and then nothing has changed."""
        return self._change(lambda d: d.apply(source, self.options.strict if strict is None else strict))

    def delete(self, kind: str, key: str) -> Cluster:
        """Delete an object and what it owns. Raises NotFound with the nearest names."""
        return self._change(lambda d: d.delete(kind, key))

    def scale(self, key: str, replicas: int) -> Cluster:
        """Set the replicas of a Deployment, StatefulSet or ReplicaSet."""
        if not isinstance(replicas, int) or isinstance(replicas, bool):
            raise KubenetError(f"replicas: found {replicas!r}, expected a number")
        kind, name = scalable(self.snapshot(), key)
        try:
            changes = scale(self.snapshot(), kind, name, replicas)
        except ValueError as e:
            raise KubenetError(f"{kind} {name}: {e}") from None
        return self._change(lambda d: d.write(changes.write, by="kubectl scale"))

    def set_pod(self, key: str, *, ready: bool | None = None, terminating: bool | None = None, serving: bool | None = None) -> Cluster:
        """Let a pod's readiness probe succeed or fail, or its deletion begin (`terminating`), while which it may still be `serving`.

        Of a workload: the first pod that is not so yet.
        """
        document = changed_pod(self.snapshot(), self.store, key, self.now, ready, terminating, serving)
        return self._change(lambda d: d.write([document], by="kubelet"))

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
        return self._declared.store.snapshot()

    @property
    def store(self) -> Store:
        """The objects' documents."""
        return self._declared.store

    @property
    def options(self) -> Options:
        return self._declared.options

    @property
    def plan(self) -> Plan:
        """The networks of the cluster."""
        if self._declared.plan is None:
            raise KubenetError("nothing was loaded")
        return self._declared.plan

    @property
    def proxy(self) -> KubeProxy:
        """How kube-proxy runs."""
        return self._declared.proxy

    # ------------------------------------------------------------------------------------------------ what is known
    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What the lab had to settle: observed, detected or assumed, and why."""
        return tuple(self._declared.notes)

    @property
    def findings(self) -> tuple[Problem, ...]:
        """What is contradictory or cannot work: things a real cluster accepted, pods that found no node, edits that no longer fit ..."""
        build, d = self._built(), self._declared
        return (*d.load_findings, *d.findings, *build.problems, *self._edit_problems, *unknown_listeners(self))

    @property
    def ignored(self) -> tuple[tuple[str, str], ...]:
        """(kind, key) of objects that are kept but not acted on."""
        return sorted_out(self._declared)[1]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the lab's statements rest on: every source that the catalogues of explanations name."""
        from ..explain import all_evidence

        return all_evidence()

    def summary(self) -> Summary:
        """The first thing to look at: counts, assumptions, findings, ignored kinds."""
        return summarise(self, self._declared)

    @property
    def pod_network(self) -> str:
        """The pod network's name: "flannel vxlan"."""
        return self._declared.network.name if self._declared.network is not None else ""

    @property
    def engine(self) -> str | None:
        """The policy engine that enforces, modelled or not; None: nobody does."""
        return self._declared.engine

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.snapshot().list(Node)

    def topology(self) -> Topology:
        """Nodes, devices, pods and the machines outside that were asked or asked: plain values, for figures and widgets."""
        if self._topology is None:
            self._topology = self.topology_then()()
        return self._topology

    def topology_then(self, outside: Sequence[str] = ()) -> Callable[[], Topology]:
        """The topology as it is now, with further machines outside; made when it is called."""
        snapshot, network, externals = self.snapshot(), self.network(), tuple(dict.fromkeys((*self._outside, *outside)))
        plan, mtu, name = self.plan, self.options.underlay.mtu, self.pod_network
        return cache(lambda: topology_of(snapshot, network, plan, mtu, name, externals))

    # ---------------------------------------------------------------------------------------------- what is programmed
    def _built(self) -> Build:
        if self._build is None:
            world = World(self.snapshot, self.corefile, self.resolv_of, self.node_resolv_conf, self.zones)
            self._build = Build(self._declared, world)
            for address in self._outside:
                self._build.network.external(address)
            self._edit_problems = replay(self._build.network, self._edits)
        return self._build

    def network(self) -> Network:
        """The programmed network; built when first asked for after a change, hand edits included."""
        return self._built().network

    def walkable(self) -> Network:
        """The network, where packets can be walked. Raises NotModelled("pod network: ...") where they cannot."""
        if self._declared.blocked:
            raise NotModelled(self._declared.blocked)
        return self.network()

    def node(self, name: str) -> NodeView:
        """A node: its links, routes, neighbours, rules, and a shell."""
        who = party(self.snapshot(), name if not isinstance(name, str) or name.startswith("node:") else f"node:{name}")
        if who.kind != "node":
            raise NotFound("node", str(name), [n.name for n in self.nodes])
        return NodeView(self, who.namespace)

    def pod(self, key: str) -> PodView:
        """A pod (or the first of a workload): its network namespace, and a shell."""
        who = party(self.snapshot(), key)
        if who.pod is None:
            raise NotFound("pod", str(key), [p.key for p in self.snapshot().list(Pod)])
        return PodView(self, who.namespace, who.pod)

    def live_host(self, node: str) -> LiveHost:
        """A node as CNI plugins find it: what its agents wrote, what allocations and hand edits left on its disk."""
        self.walkable()
        return self._built().live_host(node, self._declared.disks.setdefault(node, {}), self._state)

    def written_rules(self, node: str, family: int = 4, nft: bool = False) -> str:
        """What the agents of a node hand over to iptables-restore, agent by agent; or to `nft -f -`."""
        self.walkable()
        return self._built().nft_written(node) if nft else self._built().written(node, family)

    def disk(self, node: str) -> tuple[MutableMapping[str, str], Mapping[str, str]]:
        """{path: text} of what IPAM plugins keep on a node, which can be changed, as root can; and of what agents write there."""
        return self._declared.disks.setdefault(node, {}), self._built().files.get(node, {})

    def record(self, edit: HandEdit) -> None:
        """A hand edit was made."""
        self._edits.append(edit)
        self._topology = None
        self._built().probe_again()

    def resync(self) -> Cluster:
        """Drop every hand edit: the agents write their state again."""
        self.catch_up()
        forget(self._edits, self._declared.disks, lambda: self._built().files)
        self._edits.clear()
        self._build = self._topology = None
        rules_are_new(self._state, self.walkable)
        return self

    @property
    def edits(self) -> tuple[HandEdit, ...]:
        """The hand edits since the last resync."""
        return tuple(self._edits)

    # -------------------------------------------------------------------------------------------------- dynamic state
    @property
    def now(self) -> float:
        """The lab's clock, in seconds since it was loaded."""
        return self.state.clock

    def flush(self) -> Cluster:
        """Empty the dynamic state: conntrack, learned neighbours and FDB entries, open connections, counters, caches, path MTUs."""
        self.state.flush()
        return self

    def tick(self, seconds: float) -> Cluster:
        """Let time pass."""
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
            raise KubenetError(f"tick: found {seconds!r}, expected a number of seconds that is not negative")
        self.state.clock += seconds
        self.catch_up()
        return self

    @property
    def state(self) -> State:
        """The dynamic state, with everything done that was due."""
        self.catch_up()
        return self._state

    def catch_up(self) -> None:
        """What the last questions left under way happens: connections close, what was lost is sent again. tcpdump sees it too."""
        if self._state.later and not self._declared.blocked:
            catch_up(self.network(), self._state)

    def live(self) -> Fork:
        """The cluster's own dynamic state: what is asked leaves its marks."""
        return Fork(self, self.walkable(), self.state, live=True)

    def fork(self) -> Fork:
        """A copy of the dynamic state: what is asked changes nothing."""
        return Fork(self, self.walkable(), self.state.fork())

    def remember_outside(self, address: str) -> None:
        """A machine outside took part in a live question: figures show it from now on."""
        if address not in self._outside:
            self._outside[address] = self._topology = None

    # ------------------------------------------------------------------------------------------------------ questions
    def ask(self, src: Any, target: Any, **options: Any) -> Any:
        """The one verb of the first lessons: requests a URL, connects to "host:port", resolves a bare name, pings a bare IP."""
        return questions.ask(self.live(), src, target, **options)

    def connect(
        self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", size: int | None = None, df: bool = True,
        source_port: int | None = None, via: str | None = None, timeout: float = DEFAULT_TIMEOUT, ttl: int = 64,
    ) -> Trace:  # fmt: skip
        """One connection, datagram or ping. `size`: bytes of L4 payload; `via`: the node by which a packet from outside enters.

        `timeout`: lab seconds until the client gives up. A name as `dst` is resolved first, as the client would. A UDP client hears
        every ICMP error, as one does that sets IP_RECVERR (glibc's resolver); others hear only of refusals and wait for the rest.
        """
        return questions.connect(
            self.live(), src, dst, port, protocol, size=size, df=df, source_port=source_port, via=via, timeout=timeout, ttl=ttl
        )

    def preview(self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", **options: Any) -> Trace:
        """As `connect`, on a fork: it leaves no marks."""
        return questions.connect(self.fork(), src, dst, port, protocol, **options)

    def outcomes(
        self, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", via: str | None = None, size: int | None = None
    ) -> Outcomes:
        """Every way the connection can go, with exact probabilities that sum to 1. Leaves no marks."""
        return questions.outcomes(self.fork(), src, dst, port, protocol, via=via, size=size)

    def request(self, src: Any, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body_size: int = 0) -> Trace:
        """An HTTP request: DNS, connection, HTTP routing, each with its own trace in `stages`."""
        return questions.request(self.live(), src, url, method, headers, body_size)

    def resolve(self, src: Any, name: str, family: str = "any", resolver: str = "glibc") -> Resolution:
        """The pod's stub resolver: every query in order, with timing."""
        return questions.resolve(self.live(), src, name, family, resolver)

    def open(self, src: Any, dst: Any, port: int | str = 80, source_port: int | None = None) -> questions.Connection:
        """An established TCP flow: `.send(size=100)`, `.close()`."""
        return questions.open_connection(self.live(), src, dst, port, source_port=source_port)

    # ------------------------------------------------------------------------------------------------------------ DNS
    def corefile(self) -> str:
        """The Corefile in force: of ConfigMap kube-system/coredns, else the shipped one."""
        return corefile_of(self)

    def dns_server(self) -> Server:
        """CoreDNS over the objects, without a network."""
        from ..dns import Server

        return Server(self.corefile(), self.snapshot, self.options.domain, files={"/etc/resolv.conf": self.node_resolv_conf})

    @property
    def node_resolv_conf(self) -> str:
        """The nodes' /etc/resolv.conf."""
        given = self.options.kubelet.resolv_conf
        return given if given is not None else f"nameserver {self.plan.gateway_address}\n"

    def zones(self) -> Zones:
        """What the world's DNS knows: given zones, and the cluster's Ingress hosts at the nodes that serve them."""
        return world_zones(self)

    def resolv_of(self, pod: Pod) -> ResolvConf:
        """The resolv.conf that the kubelet gives a pod."""
        return pod_resolv_conf(self, pod)

    def stub_resolve(self, fork: Fork, source: Party, name: str, family: str, resolver: str) -> Resolution:
        """The stub resolver where `source` runs."""
        return stub_resolve(self, fork, source, name, family, resolver)

    # ------------------------------------------------------------------------------------------------------- comparing
    def copy(self, **options: Any) -> Cluster:
        """An independent cluster. With options, the same objects on another network: names, placement and Service addresses are kept."""
        merged = Options.of(**{**{f: getattr(self.options, f) for f in self.options.__dataclass_fields__}, **options})
        other = Cluster(merged, self._declared)
        other._edits, other._outside = list(self._edits), dict(self._outside)
        if not options:
            other._state = self.state.fork(other._state.seen)
            other._declared = self._declared.copy(other._clock)
        else:
            other._state.clock = self.now
            other._declared = self._declared.with_options(merged, set(options), other._clock)
        return other

    def diff(self, other: Cluster, flows: Sequence[tuple[Any, ...]] | None = None) -> Diff:
        """What is different in `other`: objects, programmed entries, verdicts of `flows` (default: every workload to each Service port)."""
        return difference(self, other, flows)

    def __repr__(self) -> str:
        s = self.snapshot()
        return f"Cluster({len(s.list(Node))} nodes, {len(s.list(Pod))} pods, {len(s.list(Service))} services, {self.pod_network})"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
