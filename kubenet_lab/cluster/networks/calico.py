"""Calico as a cluster's pod network: IPAM over one datastore, the calico plugin per pod, BIRD's routes, Felix's nat table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...cni import PLUGINS, NetworkList, PluginHost, Result
from ...cni.calico import Calico, CalicoIpam, CalicoPlugin, Ipam, IpPool, bird, conflist, felix, node_files
from ...cni.calico.conflist import NETWORK
from ...cni.contract import Call
from ...cni.result import IpConfig
from ...errors import KubenetError, Problem
from ...kernel.address import family, prefix
from ...kernel.network import Network
from ...objects.snapshot import Snapshot
from ...objects.views import Node, Pod
from ..names import node_address
from ..plan import Assumption, Plan
from .base import DATASTORE, Disk, PodNetwork, Programmed, attach, container_id, primary_first
from .unmodelled import UnmodelledNetwork

__all__ = ["KINDS", "CalicoNetwork", "CalicoProvider"]

GROUPS = ("crd.projectcalico.org", "projectcalico.org")
#: what keeps addresses, and what says how they are given
_ALLOCATION = ("IPAMBlock", "BlockAffinity")
_RULES = ("IPPool", "IPAMConfig", "IPAMConfiguration", "IPReservation")
KINDS = frozenset(f"{kind}.{group}" for kind in (*_ALLOCATION, *_RULES) for group in GROUPS)
ANNOTATION = "cni.projectcalico.org"
#: for which options the datastore was filled
OPTIONS = "/kubenet-lab/options"


def _handle(pod: Pod) -> str:
    return f"{NETWORK}.{container_id(pod)}"


def _secondary(pod: Pod) -> dict[str, str]:
    return {"namespace": pod.namespace, "node": pod.spec.node_name, "pod": pod.name}


class _AsGiven(CalicoIpam):
    """calico-ipam when a network is built anew: a pod's addresses were given when it started."""

    def add(self, call: Call) -> Result:
        held = self.ipam(call).held(f"{call.name}.{call.container_id}")
        return Result(ips=tuple(IpConfig(f"{ip}/{32 if family(ip) == 4 else 128}") for ip in held), cni_version=call.version)


class _Stray(CalicoIpam):
    """For a pod whose addresses are in no pool: they are what the pod shows."""

    def __init__(self, ips: Sequence[str]):
        super().__init__({})
        self.ips = ips

    def add(self, call: Call) -> Result:
        return Result(ips=tuple(IpConfig(f"{ip}/{32 if family(ip) == 4 else 128}") for ip in self.ips), cni_version=call.version)


class CalicoNetwork:
    """Routed pods. `seeds` is what a dump shows of the datastore: {kind: {name: spec}}."""

    unmodelled = ""
    judged_at_devices = True
    assumptions: tuple[Assumption, ...] = ()

    def __init__(self, options: Calico, families: Sequence[int], seeds: Mapping[str, Mapping[str, Any]] | None = None):
        """`families`: the cluster's, primary first."""
        self.options, self.families, self.seeds = options, tuple(families), seeds or {}
        self.name = options.name

    def pod_ranges(self, plan: Plan) -> tuple[str, ...]:
        return self.options.networks

    def joined(self, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        return self

    def store(self, node: str) -> str:
        return DATASTORE

    def _ipam(self, disk: Disk, now: float) -> Ipam:
        """The datastore; filled with the pools, and with what a dump shows of it, the first time."""
        ipam = Ipam(disk, now)
        if disk.get(OPTIONS) != repr(self.options):
            disk[OPTIONS] = repr(self.options)
            ipam.configure(self.options)
            for block in self.seeds.get("IPAMBlock", {}).values():
                ipam.import_block(block)
            for spec in self.seeds.get("BlockAffinity", {}).values():
                ipam.set_affinity(str(spec.get("node")), str(spec.get("cidr")), str(spec.get("state") or ""))
        return ipam

    # ----------------------------------------------------------------------------------------------------- addresses
    def allocate(self, node: Node, pod: Pod, disk: Disk, now: float) -> tuple[str, ...]:
        """As `calico` has `calico-ipam` do it: what the pod's annotations ask for, else one address of each family."""
        ipam, handle, secondary = self._ipam(disk, now), _handle(pod), _secondary(pod)
        ipam.adopt()
        notes = pod.metadata.annotations
        out: list[str] = []
        try:
            if fixed := notes.get(f"{ANNOTATION}/ipAddrs"):
                for ip in _strings(fixed):
                    ipam.assign(ip, node.name, handle, secondary)
                    out.append(ip)
            else:
                for fam in (f for f in (4, 6) if f in self.families):
                    pools = [self._cidr(ipam, p) for p in _strings(notes.get(f"{ANNOTATION}/ipv{fam}pools") or "[]")]
                    out.append(ipam.auto_assign(node.name, handle, fam, secondary, pools)[0])
        except KubenetError:
            ipam.release(handle)
            raise
        return primary_first(node, out)

    @staticmethod
    def _cidr(ipam: Ipam, pool: str) -> str:
        return pool if "/" in pool else next((p.cidr for p in ipam.pools() if p.name == pool), pool)

    def observed(self, node: Node, pod: Pod, disk: Disk, now: float) -> None:
        ipam, handle = self._ipam(disk, now), _handle(pod)
        if not ipam.knows(handle):
            for ip in pod.ips:
                ipam.observe(ip, node.name, handle, _secondary(pod))

    def release(self, pod: Pod, disk: Disk, now: float) -> None:
        self._ipam(disk, now).release(_handle(pod))

    def fits(self, node: Node, pod: Pod) -> bool:
        return all(any(ip in prefix(p.cidr) for p in self.options.ip_pools) for ip in pod.ips)

    # --------------------------------------------------------------------------------------------------- programming
    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: Mapping[str, Disk]) -> Programmed:
        done, store = Programmed(), dict(disks.get(DATASTORE, {}))
        ipam = self._ipam(store, 0.0)
        ipam.adopt()
        pools = list(ipam.pools())
        by_node: dict[str, list[Pod]] = {n.name: [] for n in nodes}
        for pod in pods:
            by_node.setdefault(pod.spec.node_name, []).append(pod)
        speakers = []
        for node in nodes:
            here, own = network.namespaces[node.name], by_node[node.name]
            for fam, key in ((4, "net.ipv4.ip_forward"), (6, "net.ipv6.conf.all.forwarding")):
                if fam in self.families and not here.forwards(fam):
                    here.set_sysctl(key, 1)
            done.steps[node.name] = self._attach(network, node, own, store, done.problems)
            felix.configure_interfaces(here, self.options.felix_interface_prefix)
            done.ipsets[node.name] = felix.ipset_text(pools, self.families)
            addresses = {fam: ip for fam in (4, 6) if (ip := node_address(node, fam))}
            speakers.append(bird.Speaker.of(node.name, addresses, ipam, [ip for p in own for ip in p.ips]))
        for speaker in speakers:
            bird.program(network.namespaces[speaker.name], speaker, speakers, pools)
        done.problems += _foreign(pods, pools)
        return done

    def _attach(self, network: Network, node: Node, pods: Sequence[Pod], store: Disk, problems: list[Problem]) -> tuple[Any, ...]:
        """CNI ADD for every pod of a node, then Felix's rules: they go to the head of their chains, whoever came first."""
        ns = network.namespaces[node.name]
        underlay = next((k.mtu for k in ns.links.values() if k.kind == "physical"), 1500)
        plugin, given = CalicoPlugin(self.options.felix_interface_prefix), _AsGiven(store)
        files = node_files(node.name, self.options.mtu or underlay)
        host = PluginHost(network, node.name, {**PLUGINS, plugin.type: plugin, given.type: given}, {**files})
        config = NetworkList.parse(conflist(self.options, node.name))
        ipam = Ipam(store)
        for pod in pods:
            stray = not ipam.held(_handle(pod))
            host.plugins = {**host.plugins, given.type: _Stray(pod.ips) if stray else given}
            if (problem := attach(network, host, config, pod, host_local=False)) is not None:
                problems.append(problem)
        pools = self.options.ip_pools
        return (*host.rules, *(s for fam in sorted(self.families) for s in felix.nat_steps(pools, fam)))


def _strings(text: str) -> list[str]:
    """An annotation's JSON list. Raises KubenetError."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise KubenetError(f"annotation {ANNOTATION}: found {text!r}, expected a JSON list of strings")
    return found


def _foreign(pods: Sequence[Pod], pools: Sequence[IpPool]) -> list[Problem]:
    """Pods whose address is in no pool: no other node hears of them."""
    return [
        Problem(f"{ip} is in no IP pool: other nodes have no route to it", "status.podIP", f"Pod {p.key}")
        for p in pods for ip in p.ips if not any(ip in prefix(pool.cidr) for pool in pools)
    ]  # fmt: skip


class CalicoProvider:
    names = ("calico",)
    option = Calico

    def named(self, name: str) -> Calico:
        return Calico()

    def chosen(self, option: Calico, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        options = option.with_pools(plan.pod_cidrs)
        options.require_modelled()
        return CalicoNetwork(options, _families(plan), _seeds(snapshot))

    def detected(self, name: str, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        resources = _seeds(snapshot, *_RULES)
        try:
            pools = tuple(IpPool.from_resource(n, spec) for n, spec in resources["IPPool"].items())
        except KubenetError as e:
            return UnmodelledNetwork("calico", f"calico: {e}")
        if not pools:
            why = "no IPPool among the objects, so it is not known which encapsulation runs; name it with cni=kn.Calico(...)"
            return UnmodelledNetwork("calico", f"calico: {why}")
        config: Mapping[str, Any] = next((s for kind in ("IPAMConfig", "IPAMConfiguration") for s in resources[kind].values()), {})
        strict = bool(config.get("strictAffinity"))
        options = Calico(
            pools, strict_affinity=strict, max_blocks_per_host=int(config.get("maxBlocksPerHost") or 0) if strict else 0,
            reserved=tuple(str(c) for s in resources["IPReservation"].values() for c in s.get("reservedCIDRs") or ()),
        )  # fmt: skip
        if why := options.not_modelled():
            return UnmodelledNetwork("calico", why)
        return CalicoNetwork(options, _families(plan), _seeds(snapshot))


def _families(plan: Plan) -> tuple[int, ...]:
    """The families of the pod network, primary first."""
    return tuple(dict.fromkeys(prefix(c).family for c in plan.pod_cidrs))


def _seeds(snapshot: Snapshot, *kinds: str) -> dict[str, dict[str, Any]]:
    """Custom resources of Calico's groups by kind and name: those that keep addresses, unless others are asked for."""
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds or _ALLOCATION:
        named = found.setdefault(kind, {})
        for group in GROUPS:
            for name, document in snapshot.others(f"{kind}.{group}").items():
                spec = document.get("spec")
                named.setdefault(name, spec if isinstance(spec, dict) else {})
    return found
