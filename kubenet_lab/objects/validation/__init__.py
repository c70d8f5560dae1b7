"""What the API server refuses, in its own words.

`decode` checks types and unknown fields, `validate` a defaulted document, `validate_update` what may not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import cluster, networking, pods, services, updates, workloads
from .decode import decode
from .field import Errors, Violation
from .meta import NameCheck, metadata
from .names import name_is_dns1035, name_is_label, name_is_subdomain

__all__ = ["Errors", "Violation", "decode", "late_findings", "validate", "validate_update"]

_CHECKS: dict[str, Callable[[Mapping[str, Any], Errors], None]] = {
    "Namespace": cluster.namespace, "Node": cluster.node, "ConfigMap": cluster.config_map, "Secret": cluster.secret,
    "Endpoints": cluster.endpoints, "EndpointSlice": cluster.endpoint_slice, "Pod": pods.pod, "Service": services.service,
    "Deployment": workloads.deployment, "ReplicaSet": workloads.replica_set, "StatefulSet": workloads.stateful_set,
    "DaemonSet": workloads.daemon_set, "Job": workloads.job, "CronJob": workloads.cron_job, "NetworkPolicy": networking.network_policy,
    "Ingress": networking.ingress, "IngressClass": networking.ingress_class,
}  # fmt: skip

#: names are DNS-1123 subdomains unless the kind says otherwise
_NAMES: dict[str, NameCheck] = {"Service": name_is_dns1035, "Namespace": name_is_label, "StatefulSet": name_is_label}
_CLUSTER_SCOPED = ("Namespace", "Node", "IngressClass")


def validate(document: Mapping[str, Any], kind: str) -> list[Violation]:
    """All violations of a decoded and defaulted document, as the API server finds them on create."""
    errors = Errors()
    metadata(document, kind not in _CLUSTER_SCOPED, _NAMES.get(kind, name_is_subdomain), errors)
    _CHECKS[kind](document, errors)
    return errors.found


def validate_update(new: Mapping[str, Any], old: Mapping[str, Any], kind: str) -> list[Violation]:
    """As `validate`, for an object that stands already; what may not change comes first."""
    errors = Errors()
    updates.update(new, old, kind, errors)
    metadata(new, kind not in _CLUSTER_SCOPED, _NAMES.get(kind, name_is_subdomain), errors)
    if kind == "Ingress":
        networking.ingress(new, errors, create=False)
    else:
        _CHECKS[kind](new, errors)
    return errors.found


def late_findings(document: Mapping[str, Any], kind: str) -> list[Violation]:
    """What the API server accepts although it cannot work: the pods of a StatefulSet that would be refused."""
    errors = Errors()
    if kind == "StatefulSet":
        workloads.stateful_set_template(document, errors)
    return [Violation(v.path, f"accepted, but its pods will be refused: {v.message}") for v in errors.found]
