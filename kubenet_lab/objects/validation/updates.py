"""What may not change once an object stands.

Source: ValidatePodUpdate, ValidateServiceUpdate, ValidateNodeUpdate, ValidateConfigMapUpdate, ValidateSecretUpdate (core),
ValidateDeploymentUpdate and its siblings (apps, batch), ValidateIngressClassUpdate (networking), ValidateEndpointSliceUpdate (discovery).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .field import Document, Errors, items, mapping, text
from .services import is_headless, needs_health_check

__all__ = ["update"]

_IMMUTABLE = "field is immutable"
_ONCE = "may not change once set"


def update(new: Document, old: Document, kind: str, errors: Errors) -> None:
    """Compare two defaulted documents of one object."""
    check = _CHECKS.get(kind)
    if check is not None:
        check(new, old, errors)


def _same(new: Document, old: Document, path: str, errors: Errors) -> None:
    """A field at a dotted path that may not change."""
    a: Any = new
    b: Any = old
    for step in path.split("."):
        a = a.get(step) if isinstance(a, Mapping) else None
        b = b.get(step) if isinstance(b, Mapping) else None
    if a != b:
        errors.invalid(path, a, _IMMUTABLE)


def _pod(new: Document, old: Document, errors: Errors) -> None:
    before, after = dict(mapping(old, "spec")), dict(mapping(new, "spec"))
    had, have = items(before, "containers"), items(after, "containers")
    if len(had) != len(have):
        errors.forbidden("spec.containers", "pod updates may not add or remove containers")
        return
    tolerated = items(after, "tolerations")
    for toleration in items(before, "tolerations"):
        if toleration not in tolerated:
            errors.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    for spec in (before, after):
        for part in ("containers", "initContainers"):
            if part in spec:
                spec[part] = [{k: v for k, v in c.items() if k != "image"} for c in items(spec, part)]
        for name in ("tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates"):
            spec.pop(name, None)
    changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
    if changed:
        said = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative); changed: "
        )
        errors.forbidden("spec", said + ", ".join(changed))


def _service(new: Document, old: Document, errors: Errors) -> None:
    before, after = mapping(old, "spec"), mapping(new, "spec")
    was, is_ = text(before, "type"), text(after, "type")
    if "ExternalName" not in (was, is_):
        if not (is_headless(before) and is_headless(after)):
            _stack("clusterIPs", "primary clusterIP can not be unset", before, after, errors)
        if not is_headless(before) and not is_headless(after):
            _stack("ipFamilies", "primary ipFamily can not be unset", before, after, errors)
    if was == is_ == "LoadBalancer" and before.get("loadBalancerClass") != after.get("loadBalancerClass"):
        errors.invalid("spec.loadBalancerClass", after.get("loadBalancerClass"), _ONCE)
    checked = needs_health_check(before) and needs_health_check(after)
    if checked and before.get("healthCheckNodePort") != after.get("healthCheckNodePort"):
        errors.forbidden("spec.healthCheckNodePort", _IMMUTABLE)


def _stack(name: str, unset: str, before: Document, after: Document, errors: Errors) -> None:
    """The primary address or family stays, a second one may come and go."""
    had, have = items(before, name), items(after, name)
    if len(had) == len(have):
        for i, (a, b) in enumerate(zip(had, have, strict=True)):
            if a != b:
                errors.invalid(f"spec.{name}[{i if name == 'clusterIPs' else 0}]", have, _ONCE)
        return
    if not have:
        errors.invalid(f"spec.{name}[0]", have, unset)
    elif had and had[0] != have[0]:
        errors.invalid(f"spec.{name}[0]", have, _ONCE)
    if len(had) > len(have) == 1 and after.get("ipFamilyPolicy") != "SingleStack":
        secondary = "cluster IP" if name == "clusterIPs" else "IP family"
        said = f"must be 'SingleStack' to release the secondary {secondary}"  # the allocator's words: it looks first (alloc.go)
        errors.invalid("spec.ipFamilyPolicy", after.get("ipFamilyPolicy"), said)


def _node(new: Document, old: Document, errors: Errors) -> None:
    before, after = mapping(old, "spec"), mapping(new, "spec")
    if items(before, "podCIDRs") and items(before, "podCIDRs") != items(after, "podCIDRs"):
        errors.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if text(before, "providerID") and text(before, "providerID") != text(after, "providerID"):
        errors.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')


def _config_map(new: Document, old: Document, errors: Errors) -> None:
    if old.get("immutable") is not True:
        return
    if new.get("immutable") is not True:
        errors.forbidden("immutable", "field is immutable when `immutable` is set")
    for part in ("data", "binaryData"):
        if mapping(new, part) != mapping(old, part):
            errors.forbidden(part, "field is immutable when `immutable` is set")


def _secret(new: Document, old: Document, errors: Errors) -> None:
    _same(new, old, "type", errors)
    _config_map(new, old, errors)


def _selector_stays(new: Document, old: Document, errors: Errors) -> None:
    _same(new, old, "spec.selector", errors)


_STATEFUL_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def _stateful_set(new: Document, old: Document, errors: Errors) -> None:
    before, after = mapping(old, "spec"), mapping(new, "spec")
    rest_before = {k: v for k, v in before.items() if k not in _STATEFUL_MUTABLE}
    rest_after = {k: v for k, v in after.items() if k not in _STATEFUL_MUTABLE}
    if rest_before != rest_after:
        said = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        errors.forbidden("spec", said)


def _job(new: Document, old: Document, errors: Errors) -> None:
    before = mapping(old, "spec")
    if before.get("completionMode") != "Indexed":  # Indexed Jobs may change completions and parallelism together
        _same(new, old, "spec.completions", errors)
    _same(new, old, "spec.selector", errors)
    if before.get("suspend") is not True:
        _same(new, old, "spec.template", errors)
    _same(new, old, "spec.completionMode", errors)


def _ingress_class(new: Document, old: Document, errors: Errors) -> None:
    _same(new, old, "spec.controller", errors)


def _endpoint_slice(new: Document, old: Document, errors: Errors) -> None:
    _same(new, old, "addressType", errors)


_CHECKS = {
    "Pod": _pod, "Service": _service, "Node": _node, "ConfigMap": _config_map, "Secret": _secret, "Deployment": _selector_stays,
    "ReplicaSet": _selector_stays, "DaemonSet": _selector_stays, "StatefulSet": _stateful_set, "Job": _job, "IngressClass": _ingress_class,
    "EndpointSlice": _endpoint_slice,
}  # fmt: skip
