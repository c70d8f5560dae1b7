"""Which engine enforces, and what engines do differently: one table.

The NetworkPolicy API leaves some questions open. Each engine answers them in its own way; every answer here carries
its evidence. `spec` is the API text, and where that is silent, what the upstream end-to-end tests expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ..errors import NotFound, NotModelled
from ..trace import Evidence

__all__ = ["ENGINES", "KUBE_ROUTER", "SPEC", "Engine", "PolicyEngine", "engine_for", "engine_named"]

_TYPES = "kubernetes/api networking/v1 types.go"
_DOCS = "kubernetes.io/docs/concepts/services-networking/network-policies"
_E2E = "kubernetes/kubernetes test/e2e/network/netpol/network_policy.go"
_NETPOL = "cloudnativelabs/kube-router pkg/controllers/netpol"


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine's answers to what the API leaves open."""

    name: str
    #: does an ipBlock match a pod's own address?
    ip_block_matches_pods: bool = True
    #: "node": traffic of a hostNetwork pod is its node's; "pod": it is told apart and treated as a pod
    host_network: Literal["node", "pod"] = "node"
    #: is traffic from the pod's own node always let in, and to it always let out?
    from_local_node: bool = True
    to_local_node: bool = True
    #: a pod that dials a Service and is answered by itself: never judged, judged as any pair, or both directions joined in one chain
    hairpin: Literal["allowed", "judged", "joined"] = "allowed"
    #: ICMP, GRE and so on: "peers": rules without `ports` admit them
    other_protocols: Literal["peers"] = "peers"
    #: ICMP echo requests and errors pass whatever the policies say
    icmp_always: bool = False
    #: a rule is compiled to address sets (ipset) before it is matched: see kube_router_rules
    address_sets: bool = False
    #: what the client sees of a denial
    denial: Literal["unspecified", "reject", "drop"] = "unspecified"
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


def _evidence(**sources: tuple[Literal["measured", "upstream", "documented"], str]) -> Mapping[str, Evidence]:
    return MappingProxyType({k: Evidence(*v) for k, v in sources.items()})


SPEC = Engine(
    "spec",
    evidence=_evidence(
        ip_block_matches_pods=("upstream", f"{_E2E}: 'should allow egress access to server in CIDR block' names a pod's address"),
        host_network=("documented", f"{_DOCS}: behaviour for hostNetwork pods is undefined, the common one is node traffic"),
        from_local_node=("documented", f"{_TYPES}: the source is the pod's local node"),
        to_local_node=("documented", f"{_DOCS}: traffic to and from the node where a Pod is running is always allowed"),
        hairpin=("documented", "kubernetes/kubernetes#95879: engines differ; a Pod cannot block access to itself"),
        other_protocols=("documented", f"{_DOCS}: defined for TCP, UDP and SCTP; for others it varies across plugins"),
    ),
)

KUBE_ROUTER = Engine(
    "kube-router",
    ip_block_matches_pods=True,
    host_network="node",
    from_local_node=True,
    to_local_node=False,
    hairpin="joined",
    icmp_always=True,
    address_sets=True,
    denial="reject",
    evidence=_evidence(
        ip_block_matches_pods=("upstream", f"{_NETPOL}/policy.go: an ipBlock is a hash:net set matched on the packet's address"),
        host_network=("upstream", f"{_NETPOL}/utils.go: isNetPolActionable leaves hostNetwork pods out"),
        from_local_node=("upstream", f"{_NETPOL}/pod.go: addrtype --src-type LOCAL is accepted for the pod's address"),
        to_local_node=("upstream", f"{_NETPOL}/pod.go: KUBE-ROUTER-INPUT jumps to the chain of the sending pod"),
        hairpin=("upstream", f"{_NETPOL}/pod.go: one chain per pod serves both directions and needs one mark"),
        other_protocols=("upstream", f"{_NETPOL}/policy.go: a rule without ports is written without -p"),
        icmp_always=("upstream", f"{_NETPOL}/network_policy_controller.go: ensureCommonPolicyChain"),
        denial=("upstream", f"{_NETPOL}/pod.go: unmarked packets meet REJECT"),
    ),
)

ENGINES: Mapping[str, Engine] = MappingProxyType({"spec": SPEC, "kube-router": KUBE_ROUTER})

#: engines that exist and have a name here, but no rules yet
_NOT_YET = ("antrea", "calico", "cilium", "kube-network-policies", "ovn-kubernetes", "weave")

#: who enforces when only the pod network is known
_BY_CNI: Mapping[str, str | None] = MappingProxyType({
    "flannel": None, "bridge": None, "ptp": None, "macvlan": None, "ipvlan": None, "vlan": None, "loopback": None, "none": None,
    "kube-router": "kube-router", "calico": "calico", "canal": "calico", "cilium": "cilium", "antrea": "antrea",
    "weave": "weave", "ovn-kubernetes": "ovn-kubernetes", "kindnet": "kube-network-policies",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class PolicyEngine:
    """The option `policy=` of `load`: which engine enforces.

    `node_port_range` and `service_cidrs` are what kube-router is started with (--service-node-port-range,
    --service-cluster-ip-range); None takes the cluster's own.
    """

    name: str = "kube-router"
    node_port_range: tuple[int, int] | None = None
    service_cidrs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        engine_named(self.name)


def engine_named(name: str) -> Engine:
    """The engine of that name. Raises NotModelled for a real one that has no model, NotFound for others."""
    if (found := ENGINES.get(name)) is not None:
        return found
    if name in _NOT_YET:
        raise NotModelled(f"the policy engine {name}")
    raise NotFound("policy engine", name, (*ENGINES, *_NOT_YET))


def engine_for(cni_name: str, option: Any = "auto") -> str | None:
    """Who enforces policies: an engine's name, or None where the objects are accepted and nothing happens.

    `option` is "auto" (what the CNI brings), None or "none", an engine's name, or a PolicyEngine. Flannel and the bridge
    plugin enforce nothing. The name that comes back may be of an engine that is not modelled: `engine_named` says so.
    """
    if isinstance(option, PolicyEngine):
        return option.name
    if option is None or option == "none":
        return None
    if option != "auto":
        if option == "spec":
            raise NotFound("policy engine that enforces", "spec", ("kube-router",), hint="spec is the API text, not a program")
        if option not in _NOT_YET:
            engine_named(option)
        return str(option)
    if cni_name in _BY_CNI:
        return _BY_CNI[cni_name]
    raise NotModelled(f"which policy engine comes with the pod network {cni_name}")
