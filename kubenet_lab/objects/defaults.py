"""What the API server fills in.

`defaulted` returns a new document; no field that was given is changed, no unknown field is dropped (one exception, which is
the API server's own: `sessionAffinityConfig` goes when `sessionAffinity` is None). Beside the
defaulting functions it does what the strategies and default admission do to every request: the namespace "default",
the label kubernetes.io/metadata.name, the service account, stringData into data, ClusterIP into clusterIPs.
Source: pkg/apis/{core,apps,batch,networking,discovery}/v1/defaults.go, pkg/registry/core/service/storage/alloc.go and
plugin/pkg/admission/serviceaccount.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from .kinds import KIND_INFO

__all__ = ["default_in_place", "defaulted", "pod_template_defaults"]

Doc = dict[str, Any]


def defaulted(document: Doc, *, ip_families: Sequence[str] = ("IPv4",)) -> Doc:
    """A deep copy with everything filled in that the API server fills in. `ip_families` are the cluster's, primary first; without
    any a Service's families are left to the allocator, as in an update.

    The document must have decoded (its fields have the right types).
    """
    out = copy.deepcopy(document)
    default_in_place(out, ip_families=ip_families)
    return out


def default_in_place(document: Doc, *, ip_families: Sequence[str] = ("IPv4",)) -> None:
    kind = document.get("kind", "")
    info = KIND_INFO.get(kind)
    if info is None:
        return
    meta = document.setdefault("metadata", {})
    if info.namespaced:
        if not meta.get("namespace"):
            meta["namespace"] = "default"
    else:
        meta.pop("namespace", None)  # the API server clears it
    if kind == "Service":
        _service(document, ip_families)
        return
    fill = _FILL.get(kind)
    if fill is not None:
        fill(document)


def _set(target: Doc, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def _empty(target: Doc, **values: Any) -> None:
    """As `_set`, for text fields where Go's "" means absent."""
    for name, value in values.items():
        if not target.get(name):
            target[name] = value


def _list(parent: Doc, name: str) -> list[Any]:
    value = parent.get(name)
    return value if isinstance(value, list) else []


# --- core --------------------------------------------------------------------------------------------------------
def _namespace(document: Doc) -> None:
    meta = document["metadata"]
    labels = meta.setdefault("labels", {})
    if meta.get("name"):
        labels["kubernetes.io/metadata.name"] = meta["name"]
    _set(document.setdefault("spec", {}), finalizers=["kubernetes"])
    _empty(document.setdefault("status", {}), phase="Active")


def _node(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    one, many = spec.get("podCIDR"), spec.get("podCIDRs")
    if one and not many:
        spec["podCIDRs"] = [one]
    elif many and not one:
        spec["podCIDR"] = many[0]
    status = document.get("status")
    if isinstance(status, dict) and status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def _secret(document: Doc) -> None:
    _empty(document, type="Opaque")
    given = document.pop("stringData", None)
    if given:
        document["data"] = {**(document.get("data") or {}), **given}


def _service(document: Doc, ip_families: Sequence[str]) -> None:
    spec = document.setdefault("spec", {})
    _empty(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.get("sessionAffinityConfig") or {}
        seconds = (config.get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None:
            spec["sessionAffinityConfig"] = {**config, "clientIP": {**(config.get("clientIP") or {}), "timeoutSeconds": 10800}}
    for port in _list(spec, "ports"):
        _empty(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    kind = spec["type"]
    external = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if external:
        _empty(spec, externalTrafficPolicy="Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        _empty(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        _set(spec, allocateLoadBalancerNodePorts=True)
        status = document.get("status")
        balancer = status.get("loadBalancer") if isinstance(status, dict) else None
        for ingress in _list(balancer if isinstance(balancer, dict) else {}, "ingress"):
            if ingress.get("ip"):
                _set(ingress, ipMode="VIP")
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if kind != "ExternalName" and ip_families:
        _families(spec, tuple(ip_families))


def _families(spec: Doc, cluster: tuple[str, ...]) -> None:
    """ipFamilyPolicy and ipFamilies; a given ClusterIP decides the family."""
    families = list(spec.get("ipFamilies") or [])
    addresses = [ip for ip in spec.get("clusterIPs") or [] if ip != "None"]
    if not families and addresses:
        families = ["IPv6" if ":" in ip else "IPv4" for ip in addresses]
    if not families:
        families = [cluster[0]]
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        # headless and without a selector: its endpoints may be of either family
        _empty(spec, ipFamilyPolicy="RequireDualStack")
        if len(families) < 2 and spec["ipFamilyPolicy"] != "SingleStack":
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    else:
        _empty(spec, ipFamilyPolicy="SingleStack")
        if len(families) < 2 and spec["ipFamilyPolicy"] != "SingleStack" and len(cluster) > 1:
            families.append(cluster[1] if families[0] == cluster[0] else cluster[0])
    if not spec.get("ipFamilies") or len(spec["ipFamilies"]) < len(families):
        spec["ipFamilies"] = families


def _pull_policy(image: str) -> str:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if not digest and tag in ("", "latest") else "IfNotPresent"


def _probe(probe: Doc) -> None:
    _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _handler(probe)


def _handler(handler: Doc) -> None:
    get = handler.get("httpGet")
    if isinstance(get, dict):
        _empty(get, path="/", scheme="HTTP")
    grpc = handler.get("grpc")
    if isinstance(grpc, dict):
        _set(grpc, service="")


def _container(container: Doc) -> None:
    _empty(
        container,
        imagePullPolicy=_pull_policy(container.get("image") or ""),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    _set(container, resources={})
    for port in _list(container, "ports"):
        _empty(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(name), dict):
            _probe(container[name])
    lifecycle = container.get("lifecycle")
    for hook in lifecycle.values() if isinstance(lifecycle, dict) else ():
        if isinstance(hook, dict):
            _handler(hook)


_VOLUME_MODES = {"configMap": 420, "secret": 420, "downwardAPI": 420, "projected": 420}


def pod_template_defaults(spec: Doc) -> None:
    """What a pod spec gets in a Pod and in a template alike (SetDefaults_PodSpec)."""
    _empty(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    _set(spec, securityContext={}, terminationGracePeriodSeconds=30)
    for part in ("containers", "initContainers", "ephemeralContainers"):
        for container in _list(spec, part):
            _container(container)
    if spec.get("serviceAccountName"):
        _empty(spec, serviceAccount=spec["serviceAccountName"])
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for volume in _list(spec, "volumes"):
        if not any(v is not None for k, v in volume.items() if k != "name"):
            volume["emptyDir"] = {}
        for kind, mode in _VOLUME_MODES.items():
            if isinstance(volume.get(kind), dict):
                _set(volume[kind], defaultMode=mode)
        if isinstance(volume.get("hostPath"), dict):
            _set(volume["hostPath"], type="")


def _node_trouble(spec: Doc) -> None:
    """Admission (DefaultTolerationSeconds): a pod stays 300 s on a node that is not ready or not reachable."""
    tolerations = _list(spec, "tolerations")
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(t.get("key") in (key, "", None) and t.get("effect") in ("NoExecute", "", None) for t in tolerations):
            tolerations = [*tolerations, {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
    spec["tolerations"] = tolerations


def _pod(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    pod_template_defaults(spec)
    _node_trouble(spec)
    _set(spec, enableServiceLinks=True)
    _empty(spec, serviceAccountName="default", serviceAccount=spec.get("serviceAccountName") or "default")
    for part in ("containers", "initContainers"):
        for container in _list(spec, part):
            if spec.get("hostNetwork") is True:
                for port in _list(container, "ports"):
                    if not port.get("hostPort"):
                        port["hostPort"] = port.get("containerPort", 0)
            resources = container["resources"]
            if isinstance(resources.get("limits"), dict):
                requests = resources.setdefault("requests", {})
                for name, amount in resources["limits"].items():
                    requests.setdefault(name, amount)
    _empty(document.setdefault("status", {}), phase="Pending")


# --- apps and batch ----------------------------------------------------------------------------------------------
def _template(spec: Doc) -> None:
    template = spec.setdefault("template", {})
    pod_template_defaults(template.setdefault("spec", {}))


def _deployment(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    _template(spec)
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _empty(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        _set(rolling, maxUnavailable="25%", maxSurge="25%")
        strategy["rollingUpdate"] = rolling


def _replica_set(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    _template(spec)
    _set(spec, replicas=1)


def _stateful_set(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    _template(spec)
    _empty(spec, podManagementPolicy="OrderedReady")
    _set(spec, replicas=1, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    _empty(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        _set(rolling, partition=0)
        strategy["rollingUpdate"] = rolling
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    _empty(retention, whenDeleted="Retain", whenScaled="Retain")


def _daemon_set(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    _template(spec)
    _set(spec, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    _empty(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        _set(rolling, maxUnavailable=1, maxSurge=0)
        strategy["rollingUpdate"] = rolling


def _job_spec(spec: Doc) -> None:
    _template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _set(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    _set(spec, backoffLimit=(1 << 31) - 1 if spec.get("backoffLimitPerIndex") is not None else 6)
    _set(spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed")


def _job(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    _job_spec(spec)
    meta = document["metadata"]
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if not meta.get("labels") and labels:
        meta["labels"] = dict(labels)


def _cron_job(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    _empty(spec, concurrencyPolicy="Allow")
    _set(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = spec.setdefault("jobTemplate", {})
    inner = template.setdefault("spec", {})
    pod_template_defaults(inner.setdefault("template", {}).setdefault("spec", {}))


# --- networking and discovery ------------------------------------------------------------------------------------
def _network_policy(document: Doc) -> None:
    spec = document.setdefault("spec", {})
    _set(spec, podSelector={})
    for direction in ("ingress", "egress"):
        for rule in _list(spec, direction):
            for port in _list(rule, "ports"):
                _empty(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _ingress_class(document: Doc) -> None:
    parameters = document.setdefault("spec", {}).get("parameters")
    if isinstance(parameters, dict):
        _set(parameters, scope="Cluster")


def _endpoint_slice(document: Doc) -> None:
    for port in _list(document, "ports"):
        _set(port, name="", protocol="TCP")
    _set(document, endpoints=[])


def _endpoints(document: Doc) -> None:
    for subset in _list(document, "subsets"):
        for port in _list(subset, "ports"):
            _empty(port, protocol="TCP")


_FILL: dict[str, Callable[[Doc], None]] = {
    "Namespace": _namespace, "Node": _node, "Secret": _secret, "Pod": _pod, "Deployment": _deployment, "ReplicaSet": _replica_set,
    "StatefulSet": _stateful_set, "DaemonSet": _daemon_set, "Job": _job, "CronJob": _cron_job, "NetworkPolicy": _network_policy,
    "IngressClass": _ingress_class, "EndpointSlice": _endpoint_slice, "Endpoints": _endpoints,
}  # fmt: skip
