"""Pod specs, as they stand in a Pod or in a workload's template.

Source: pkg/apis/core/validation/validation.go (ValidatePodSpec, validatePodDNSConfig, ValidateTolerations, ValidateNodeSelector).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .containers import containers
from .field import Document, Errors, items, mapping, text
from .meta import check_annotations, label_selector, labels
from .names import dns1123_label, dns1123_subdomain, ip_errors, label_key_errors, label_value_errors

__all__ = ["pod", "pod_spec", "pod_template"]

_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_UNDERSCORE = r"[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?"
_SEARCH = re.compile(rf"{_UNDERSCORE}(\.{_UNDERSCORE})*")
_MAX_INT32 = (1 << 31) - 1


def pod(document: Document, errors: Errors) -> None:
    pod_spec(mapping(document, "spec"), "spec", errors, is_pod=True)
    _status_ips(mapping(document, "status"), errors)


def pod_template(template: Document, path: str, errors: Errors, claims: tuple[str, ...] = ()) -> None:
    """`claims` are volume names that a StatefulSet adds to its pods."""
    meta = mapping(template, "metadata")
    labels(mapping(meta, "labels"), f"{path}.labels", errors)
    check_annotations(mapping(meta, "annotations"), f"{path}.annotations", errors)
    spec = mapping(template, "spec")
    pod_spec(spec, f"{path}.spec", errors, is_pod=False, claims=claims)
    if items(spec, "ephemeralContainers"):
        errors.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def pod_spec(spec: Document, path: str, errors: Errors, *, is_pod: bool, claims: tuple[str, ...] = ()) -> None:
    names = _volumes(items(spec, "volumes"), f"{path}.volumes", errors)
    containers(spec, path, names | frozenset(claims), errors, is_pod=is_pod)
    _choice(spec, "restartPolicy", _RESTART_POLICIES, path, errors)
    _choice(spec, "dnsPolicy", _DNS_POLICIES, path, errors)
    labels(mapping(spec, "nodeSelector"), f"{path}.nodeSelector", errors)
    _affinity(mapping(spec, "affinity"), f"{path}.affinity", errors)
    _dns_config(spec, f"{path}.dnsConfig", errors)
    _spread(items(spec, "topologySpreadConstraints"), f"{path}.topologySpreadConstraints", errors)
    for name in ("serviceAccountName", "nodeName"):
        if text(spec, name):
            errors.each(f"{path}.{name}", spec[name], dns1123_subdomain(spec[name]))
    deadline = spec.get("activeDeadlineSeconds")
    if isinstance(deadline, int) and not 1 <= deadline <= _MAX_INT32:
        errors.invalid(f"{path}.activeDeadlineSeconds", deadline, f"must be between 1 and {_MAX_INT32}, inclusive")
    for name in ("hostname", "subdomain"):
        if text(spec, name):
            errors.each(f"{path}.{name}", spec[name], dns1123_label(spec[name]))
    _tolerations(items(spec, "tolerations"), f"{path}.tolerations", errors)
    for i, alias in enumerate(items(spec, "hostAliases")):
        where = f"{path}.hostAliases[{i}]"
        errors.each(f"{where}.ip", text(alias, "ip"), ip_errors(text(alias, "ip")))
        for host in items(alias, "hostnames"):
            errors.each(f"{where}.hostnames", host, dns1123_subdomain(host))


def _choice(parent: Document, name: str, supported: tuple[str, ...], path: str, errors: Errors) -> None:
    value = text(parent, name)
    if not value:
        errors.required(f"{path}.{name}")
    elif value not in supported:
        errors.unsupported(f"{path}.{name}", value, supported)


def _volumes(volumes: list[Any], path: str, errors: Errors) -> frozenset[str]:
    names: set[str] = set()
    for i, volume in enumerate(volumes):
        where = f"{path}[{i}]"
        name = text(volume, "name")
        kinds = [k for k, v in volume.items() if k != "name" and v is not None]
        if not kinds:
            errors.required(where, "must specify a volume type")
        for extra in kinds[1:]:
            errors.forbidden(f"{where}.{extra}", "may not specify more than 1 volume type")
        if not name:
            errors.required(f"{where}.name")
            continue
        wrong = dns1123_label(name)
        errors.each(f"{where}.name", name, wrong)
        if name in names:
            errors.duplicate(f"{where}.name", name)
        elif not wrong:
            names.add(name)
    return frozenset(names)


def _dns_config(spec: Document, path: str, errors: Errors) -> None:
    config, policy = spec.get("dnsConfig"), text(spec, "dnsPolicy")
    if policy == "None":
        if not isinstance(config, Mapping):
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not items(config, "nameservers"):
            errors.required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
            return
    if not isinstance(config, Mapping):
        return
    servers, searches = items(config, "nameservers"), items(config, "searches")
    if len(servers) > 3:
        errors.invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers")
    for i, server in enumerate(servers):
        errors.each(f"{path}.nameservers[{i}]", server, ip_errors(server))
    if len(searches) > 32:
        errors.invalid(f"{path}.searches", searches, "must not have more than 32 search paths")
    if len(" ".join(searches)) > 2048:
        errors.invalid(f"{path}.searches", searches, "must not have more than 2048 characters (including spaces) in the search list")
    for i, search in enumerate(searches):
        if search == ".":
            continue  # RelaxedDNSSearchValidation, on since 1.33
        name = search.removesuffix(".")
        if len(name) > 253 or not _SEARCH.fullmatch(name):
            errors.each(f"{path}.searches[{i}]", name, dns1123_subdomain(name) or ("must be no more than 253 bytes",))
    for i, option in enumerate(items(config, "options")):
        if not text(option, "name"):
            errors.required(f"{path}.options[{i}]", "must not be empty")


def _tolerations(tolerations: list[Any], path: str, errors: Errors) -> None:
    for i, toleration in enumerate(tolerations):
        where = f"{path}[{i}]"
        key, operator, effect = text(toleration, "key"), text(toleration, "operator"), text(toleration, "effect")
        value = text(toleration, "value")
        if key:
            errors.each(f"{where}.key", key, label_key_errors(key))
        elif operator != "Exists":
            said = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.invalid(f"{where}.operator", operator, said)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.invalid(f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        if operator in ("Equal", ""):
            wrong = label_value_errors(value)
            if wrong:
                errors.invalid(f"{where}.operator", value, ";".join(wrong))
        elif operator == "Exists":
            if value:
                errors.invalid(f"{where}.operator", toleration, "value must be empty when `operator` is 'Exists'")
        else:
            errors.unsupported(f"{where}.operator", operator, ("Equal", "Exists"))
        if effect and effect not in _EFFECTS:
            errors.unsupported(f"{where}.effect", effect, _EFFECTS)


def _affinity(affinity: Document, path: str, errors: Errors) -> None:
    node = mapping(affinity, "nodeAffinity")
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    where = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    if isinstance(required, Mapping):
        terms = items(required, "nodeSelectorTerms")
        if not terms:
            errors.required(f"{where}.nodeSelectorTerms", "must have at least one node selector term")
        for i, term in enumerate(terms):
            _node_term(term, f"{where}.nodeSelectorTerms[{i}]", errors, values=True)
    where = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution"
    for i, soft in enumerate(items(node, "preferredDuringSchedulingIgnoredDuringExecution")):
        _weight(soft, f"{where}[{i}]", errors)
        _node_term(mapping(soft, "preference"), f"{where}[{i}].preference", errors, values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = mapping(affinity, kind)
        where = f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution"
        for i, term in enumerate(items(rules, "requiredDuringSchedulingIgnoredDuringExecution")):
            _pod_term(term, f"{where}[{i}]", errors)
        where = f"{path}.{kind}.preferredDuringSchedulingIgnoredDuringExecution"
        for i, soft in enumerate(items(rules, "preferredDuringSchedulingIgnoredDuringExecution")):
            _weight(soft, f"{where}[{i}]", errors)
            _pod_term(mapping(soft, "podAffinityTerm"), f"{where}[{i}].podAffinityTerm", errors)


def _weight(soft: Document, path: str, errors: Errors) -> None:
    weight = soft.get("weight") or 0
    if not 1 <= weight <= 100:
        errors.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _node_term(term: Document, path: str, errors: Errors, *, values: bool) -> None:
    for i, requirement in enumerate(items(term, "matchExpressions")):
        where = f"{path}.matchExpressions[{i}]"
        operator, given = text(requirement, "operator"), items(requirement, "values")
        if operator in ("In", "NotIn"):
            if not given:
                errors.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if given:
                errors.forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator in ("Gt", "Lt"):
            if len(given) != 1:
                errors.required(f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        else:
            errors.invalid(f"{where}.operator", operator, "not a valid selector operator")
        errors.each(f"{where}.key", text(requirement, "key"), label_key_errors(text(requirement, "key")))
        for j, value in enumerate(given if values else ()):
            errors.each(f"{where}.values[{j}]", value, label_value_errors(value))
    for i, requirement in enumerate(items(term, "matchFields")):
        where = f"{path}.matchFields[{i}]"
        operator, given = text(requirement, "operator"), items(requirement, "values")
        if operator not in ("In", "NotIn"):
            errors.invalid(f"{where}.operator", operator, "not a valid selector operator")
        elif len(given) != 1:
            errors.required(f"{where}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")
        if text(requirement, "key") != "metadata.name":
            errors.invalid(f"{where}.key", text(requirement, "key"), "not a valid field selector key")
        else:
            for j, value in enumerate(given):
                errors.each(f"{where}.values[{j}]", value, dns1123_subdomain(value))


def _pod_term(term: Document, path: str, errors: Errors) -> None:
    for part in ("labelSelector", "namespaceSelector"):
        if isinstance(term.get(part), Mapping):
            label_selector(term[part], f"{path}.{part}", errors)
    for name in items(term, "namespaces"):
        errors.each(f"{path}.namespace", name, dns1123_label(name))
    key = text(term, "topologyKey")
    if not key:
        errors.required(f"{path}.topologyKey", "can not be empty")
    errors.each(f"{path}.topologyKey", key, label_key_errors(key))


def _spread(constraints: list[Any], path: str, errors: Errors) -> None:
    seen: set[tuple[str, str]] = set()
    for i, constraint in enumerate(constraints):
        where = f"{path}[{i}]"
        skew, key, action = constraint.get("maxSkew") or 0, text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable")
        if skew <= 0:
            errors.invalid(f"{where}.maxSkew", skew, "must be greater than zero")
        if not key:
            errors.required(f"{where}.topologyKey", "can not be empty")
        else:
            errors.each(f"{where}.topologyKey", key, label_key_errors(key))
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.unsupported(f"{where}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, action) in seen:
            errors.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        seen.add((key, action))
        if isinstance(constraint.get("labelSelector"), Mapping):
            label_selector(constraint["labelSelector"], f"{where}.labelSelector", errors)


def _status_ips(status: Document, errors: Errors) -> None:
    ips = [text(p, "ip") for p in items(status, "podIPs")]
    for i, ip in enumerate(ips):
        errors.each(f"status.podIPs[{i}]", ip, ip_errors(ip))
    if len(ips) > 1 and (len(ips) > 2 or len({":" in ip for ip in ips}) != 2):
        errors.invalid("status.podIPs", items(status, "podIPs"), "may specify no more than one IP for each IP family")
