"""Typed views of the Kubernetes objects that the lab acts on.

A view holds the fields that some room reads, nothing else; the document itself is kept
whole by the store. Attribute names are the API's names in snake_case.
Source: Kubernetes API types (core/v1, apps/v1, batch/v1, discovery/v1, networking/v1) of the modelled release.
"""

# Subclasses of a frozen Struct are frozen; mypy wants it said at every one of them.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from .addresses import plain

__all__ = [
    "KINDS", "ConfigMap", "Container", "ContainerPort", "CronJob", "DaemonSet", "Deployment", "Endpoint", "EndpointPort", "EndpointSlice",
    "Endpoints", "Ingress", "IngressClass", "IngressPath", "IngressRule", "IntOrString", "Job", "LabelSelector", "Metadata", "Namespace",
    "NetworkPolicy", "Node", "Pod", "PolicyPeer", "PolicyPort", "PolicyRule", "ReplicaSet", "Requirement", "Secret", "Service",
    "ServicePort", "StatefulSet",
]  # fmt: skip

IntOrString = int | str


class _View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Unknown fields are ignored here and kept in the document."""


def _read(view: _View, *fields: str) -> None:
    """Addresses of these fields in the form that every program reads; the document keeps what was written."""
    for field in fields:
        given = getattr(view, field)
        found = plain(given) if isinstance(given, str) else [plain(text) for text in given]
        if found != given:
            msgspec.structs.force_setattr(view, field, found)


class OwnerReference(_View):
    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class Metadata(_View):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    generate_name: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []


class Requirement(_View):
    key: str
    operator: str  # In, NotIn, Exists, DoesNotExist
    values: list[str] = []


class LabelSelector(_View):
    match_labels: dict[str, str] = {}
    match_expressions: list[Requirement] = []


class Object(_View):
    api_version: str = ""
    kind: str = ""
    metadata: Metadata = msgspec.field(default_factory=Metadata)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def key(self) -> str:
        """ "ns/name", or "name" for a kind without a namespace."""
        return f"{self.metadata.namespace}/{self.metadata.name}" if self.metadata.namespace else self.metadata.name

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels


# --- core/v1 ---------------------------------------------------------------------------------------------------
class Namespace(Object):
    pass


class Taint(_View):
    key: str
    effect: str = ""
    value: str = ""


class NodeAddress(_View):
    type: str
    address: str


class NodeSpec(_View):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: list[str] = msgspec.field(default=[], name="podCIDRs")
    taints: list[Taint] = []
    unschedulable: bool = False


class Condition(_View):
    type: str = ""
    status: str = ""
    reason: str = ""


class NodeStatus(_View):
    addresses: list[NodeAddress] = []
    allocatable: dict[str, Any] = {}
    conditions: list[Condition] = []


class Node(Object):
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)

    @property
    def ready(self) -> bool:
        """Unless it says that it is not: nodes of manifests seldom say anything."""
        return all(c.status == "True" for c in self.status.conditions if c.type == "Ready")


class ContainerPort(_View):
    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")


class Container(_View):
    name: str = ""
    image: str = ""
    ports: list[ContainerPort] = []
    args: list[str] = []
    command: list[str] = []
    liveness_probe: dict[str, Any] | None = None
    readiness_probe: dict[str, Any] | None = None
    startup_probe: dict[str, Any] | None = None
    restart_policy: str = ""  # "Always" makes an init container a sidecar


class Toleration(_View):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class HostAlias(_View):
    ip: str
    hostnames: list[str] = []


class DnsOption(_View):
    name: str = ""
    value: str | None = None


class PodDnsConfig(_View):
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[DnsOption] = []


class PodSpec(_View):
    containers: list[Container] = []
    init_containers: list[Container] = []
    node_name: str = ""
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    affinity: dict[str, Any] | None = None
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    dns_policy: str = "ClusterFirst"
    dns_config: PodDnsConfig | None = None
    host_aliases: list[HostAlias] = []
    service_account_name: str = ""
    restart_policy: str = "Always"

    @property
    def running_containers(self) -> list[Container]:
        """Those that run as long as the pod: its containers, then its sidecars (init containers with restartPolicy Always)."""
        return [*self.containers, *(c for c in self.init_containers if c.restart_policy == "Always")]


class PodIP(_View):
    ip: str = ""


class PodStatus(_View):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: list[PodIP] = msgspec.field(default=[], name="podIPs")
    host_ip: str = msgspec.field(default="", name="hostIP")
    conditions: list[Condition] = []


class Pod(Object):
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def ready(self) -> bool:
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)

    @property
    def terminated(self) -> bool:
        """Succeeded or Failed: its address may belong to another pod by now."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def ips(self) -> tuple[str, ...]:
        return tuple(p.ip for p in self.status.pod_ips if p.ip) or ((self.status.pod_ip,) if self.status.pod_ip else ())


class ServicePort(_View):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: IntOrString = 0
    node_port: int = 0
    app_protocol: str | None = None


class ServiceSpec(_View):
    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    ports: list[ServicePort] = []
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: list[str] = msgspec.field(default=[], name="clusterIPs")
    ip_families: list[str] = []
    ip_family_policy: str = ""
    external_name: str = ""
    external_ips: list[str] = msgspec.field(default=[], name="externalIPs")
    session_affinity: str = "None"
    session_affinity_config: dict[str, Any] | None = None
    external_traffic_policy: str = ""
    internal_traffic_policy: str = "Cluster"
    publish_not_ready_addresses: bool = False
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: list[str] = []
    load_balancer_class: str | None = None
    allocate_load_balancer_node_ports: bool = True
    health_check_node_port: int = 0
    traffic_distribution: str | None = None

    def __post_init__(self) -> None:
        _read(self, "cluster_ip", "cluster_ips", "external_ips", "load_balancer_ip", "load_balancer_source_ranges")


class LoadBalancerIngress(_View):
    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None

    def __post_init__(self) -> None:
        _read(self, "ip")


class LoadBalancerStatus(_View):
    ingress: list[LoadBalancerIngress] = []


class ServiceStatus(_View):
    load_balancer: LoadBalancerStatus = msgspec.field(default_factory=LoadBalancerStatus)


class Service(Object):
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)

    @property
    def headless(self) -> bool:
        return self.spec.cluster_ip == "None"


class ConfigMap(Object):
    data: dict[str, str] = {}


class Secret(Object):
    """Values are dropped when parsed; only the keys remain, in `keys`."""

    type: str = "Opaque"
    keys: list[str] = []


# --- apps/v1, batch/v1 -------------------------------------------------------------------------------------------
class PodTemplate(_View):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class WorkloadSpec(_View):
    replicas: int = 1
    selector: LabelSelector | None = None
    template: PodTemplate = msgspec.field(default_factory=PodTemplate)
    service_name: str = ""
    pod_management_policy: str = ""


class Workload(Object):
    spec: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)


class Deployment(Workload):
    pass


class ReplicaSet(Workload):
    pass


class StatefulSet(Workload):
    pass


class DaemonSet(Workload):
    pass


class JobSpec(_View):
    parallelism: int = 1
    completions: int | None = None
    template: PodTemplate = msgspec.field(default_factory=PodTemplate)
    suspend: bool = False


class Job(Object):
    spec: JobSpec = msgspec.field(default_factory=JobSpec)


class JobTemplate(_View):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: JobSpec = msgspec.field(default_factory=JobSpec)


class CronJobSpec(_View):
    schedule: str = ""
    suspend: bool = False
    job_template: JobTemplate = msgspec.field(default_factory=JobTemplate)


class CronJob(Object):
    spec: CronJobSpec = msgspec.field(default_factory=CronJobSpec)


# --- discovery/v1 and the older Endpoints --------------------------------------------------------------------------
class ObjectReference(_View):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class EndpointConditions(_View):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Hint(_View):
    name: str = ""


class EndpointHints(_View):
    for_zones: list[Hint] = []
    for_nodes: list[Hint] = []


class Endpoint(_View):
    addresses: list[str] = []
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    hostname: str = ""
    node_name: str = ""
    zone: str = ""
    target_ref: ObjectReference | None = None
    hints: EndpointHints | None = None

    def __post_init__(self) -> None:
        _read(self, "addresses")


class EndpointPort(_View):
    port: int | None = None
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSlice(Object):
    address_type: str = "IPv4"
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] = []

    @property
    def service(self) -> str:
        """Name of the Service it belongs to (label kubernetes.io/service-name)."""
        return self.metadata.labels.get("kubernetes.io/service-name", "")


class EndpointAddress(_View):
    ip: str
    hostname: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None

    def __post_init__(self) -> None:
        _read(self, "ip")


class EndpointSubset(_View):
    addresses: list[EndpointAddress] = []
    not_ready_addresses: list[EndpointAddress] = []
    ports: list[EndpointPort] = []


class Endpoints(Object):
    subsets: list[EndpointSubset] = []


# --- networking/v1 -----------------------------------------------------------------------------------------------
class IPBlock(_View):
    cidr: str
    except_: list[str] = msgspec.field(default=[], name="except")


class PolicyPeer(_View):
    """Absent selectors are None: present but empty means all."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class PolicyPort(_View):
    protocol: str = "TCP"
    port: IntOrString | None = None
    end_port: int | None = None


class IngressPolicyRule(_View):
    from_: list[PolicyPeer] = msgspec.field(default=[], name="from")
    ports: list[PolicyPort] = []

    @property
    def peers(self) -> list[PolicyPeer]:
        return self.from_


class EgressPolicyRule(_View):
    to: list[PolicyPeer] = []
    ports: list[PolicyPort] = []

    @property
    def peers(self) -> list[PolicyPeer]:
        return self.to


PolicyRule = IngressPolicyRule | EgressPolicyRule


class NetworkPolicySpec(_View):
    pod_selector: LabelSelector = msgspec.field(default_factory=LabelSelector)
    policy_types: list[str] = []
    ingress: list[IngressPolicyRule] = []
    egress: list[EgressPolicyRule] = []


class NetworkPolicy(Object):
    spec: NetworkPolicySpec = msgspec.field(default_factory=NetworkPolicySpec)


class ServiceBackendPort(_View):
    number: int = 0
    name: str = ""


class IngressServiceBackend(_View):
    name: str
    port: ServiceBackendPort = msgspec.field(default_factory=ServiceBackendPort)


class IngressBackend(_View):
    service: IngressServiceBackend | None = None
    resource: dict[str, Any] | None = None


class IngressPath(_View):
    path: str = ""
    path_type: str = ""
    backend: IngressBackend = msgspec.field(default_factory=IngressBackend)


class IngressHTTP(_View):
    paths: list[IngressPath] = []


class IngressRule(_View):
    host: str = ""
    http: IngressHTTP | None = None


class IngressTLS(_View):
    hosts: list[str] = []
    secret_name: str = ""


class IngressSpec(_View):
    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: list[IngressRule] = []
    tls: list[IngressTLS] = []


class Ingress(Object):
    spec: IngressSpec = msgspec.field(default_factory=IngressSpec)


class IngressClassSpec(_View):
    controller: str = ""


class IngressClass(Object):
    spec: IngressClassSpec = msgspec.field(default_factory=IngressClassSpec)


T = TypeVar("T")


class Listing(_View, Generic[T]):
    items: list[T] = []


#: the kinds that have a view, and whether they live in a namespace
KINDS: dict[str, tuple[type[Object], bool]] = {
    "Namespace": (Namespace, False), "Node": (Node, False), "Pod": (Pod, True), "Service": (Service, True), "ConfigMap": (ConfigMap, True),
    "Secret": (Secret, True), "Deployment": (Deployment, True), "ReplicaSet": (ReplicaSet, True), "StatefulSet": (StatefulSet, True),
    "DaemonSet": (DaemonSet, True), "Job": (Job, True), "CronJob": (CronJob, True), "EndpointSlice": (EndpointSlice, True),
    "Endpoints": (Endpoints, True), "NetworkPolicy": (NetworkPolicy, True), "Ingress": (Ingress, True),
    "IngressClass": (IngressClass, False),
}  # fmt: skip

#: msgspec (0.22) lays a type out when it is first asked for, and crashes where a second thread asks meanwhile; only one thread imports
for _view, _ in KINDS.values():
    msgspec.json.Decoder(_view)
