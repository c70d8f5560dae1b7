"""NetworkPolicy, Ingress, IngressClass.

Source: pkg/apis/networking/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .field import Document, Errors, items, mapping, text
from .meta import label_selector
from .names import (
    cidr_errors,
    dns1123_subdomain,
    domain_prefixed_path,
    name_is_dns1035,
    name_is_label,
    parse_cidr,
    parse_ip,
    path_segment,
    port_name,
    port_number,
    wildcard_subdomain,
)

__all__ = ["ingress", "ingress_class", "network_policy"]

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


# --- NetworkPolicy -----------------------------------------------------------------------------------------------
def network_policy(document: Document, errors: Errors) -> None:
    spec = mapping(document, "spec")
    label_selector(mapping(spec, "podSelector"), "spec.podSelector", errors)
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(items(spec, direction)):
            path = f"spec.{direction}[{i}]"
            for j, port in enumerate(items(rule, "ports")):
                _policy_port(port, f"{path}.ports[{j}]", errors)
            for j, peer in enumerate(items(rule, peers)):
                _peer(peer, f"{path}.{peers}[{j}]", errors)
    types = items(spec, "policyTypes")
    if len(types) > 2:
        errors.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for i, one in enumerate(types):
        if one not in ("Ingress", "Egress"):
            errors.unsupported(f"spec.policyTypes[{i}]", one, ("Ingress", "Egress"))


def _policy_port(port: Document, path: str, errors: Errors) -> None:
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in ("TCP", "UDP", "SCTP"):
        errors.unsupported(f"{path}.protocol", protocol, ("TCP", "UDP", "SCTP"))
    if number is None:
        if end is not None:
            errors.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
    elif isinstance(number, str):
        if end is not None:
            errors.invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        errors.each(f"{path}.port", number, port_name(number))
    else:
        errors.each(f"{path}.port", number, port_number(number))
        if end is not None:
            if end < number:
                errors.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`")
            errors.each(f"{path}.endPort", end, port_number(end))


def _peer(peer: Document, path: str, errors: Errors) -> None:
    given = [k for k in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(k) is not None]
    for name in given:
        if name == "ipBlock":
            _ip_block(mapping(peer, "ipBlock"), f"{path}.ipBlock", errors)
        else:
            label_selector(mapping(peer, name), f"{path}.{name}", errors)
    if not given:
        errors.required(path, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        errors.forbidden(path, "may not specify both ipBlock and another peer")


def _ip_block(block: Document, path: str, errors: Errors) -> None:
    cidr = text(block, "cidr")
    if not cidr:
        errors.required(f"{path}.cidr")
        return
    errors.each(f"{path}.cidr", cidr, cidr_errors(cidr))
    outer = parse_cidr(cidr)
    if outer is None:
        return
    for i, hole in enumerate(items(block, "except")):
        where = f"{path}.except[{i}]"
        errors.each(where, hole, cidr_errors(hole))
        inner = parse_cidr(hole)
        if inner is None:
            continue
        inside = inner.version == outer.version and inner.network_address in outer
        if not inside or outer.prefixlen >= inner.prefixlen:
            errors.invalid(where, hole, "must be a strict subset of `cidr`")


# --- Ingress -----------------------------------------------------------------------------------------------------
def ingress(document: Document, errors: Errors, *, create: bool = True) -> None:
    spec, meta = mapping(document, "spec"), mapping(document, "metadata")
    rules, default, chosen = items(spec, "rules"), spec.get("defaultBackend"), spec.get("ingressClassName")
    if not rules and default is None:
        errors.invalid("spec", rules, "either `defaultBackend` or `rules` must be specified")
    if default is not None:
        _backend(default, "spec.defaultBackend", errors)
    for i, rule in enumerate(rules):
        path = f"spec.rules[{i}]"
        _host(text(rule, "host"), f"{path}.host", errors)
        if rule.get("http") is not None:
            paths = items(mapping(rule, "http"), "paths")
            if not paths:
                errors.required(f"{path}.http.paths")
            for j, one in enumerate(paths):
                _path(one, f"{path}.http.paths[{j}]", errors)
    for i, tls in enumerate(items(spec, "tls")):
        for j, host in enumerate(items(tls, "hosts")):
            wrong = wildcard_subdomain(host) if "*" in host else dns1123_subdomain(host)
            errors.each(f"spec.tls[{i}].hosts[{j}]", host, wrong)
        secret = text(tls, "secretName")
        if secret:
            errors.each(f"spec.tls[{i}].secretName", secret, dns1123_subdomain(secret))
    if chosen is not None:
        errors.each("spec.ingressClassName", chosen, dns1123_subdomain(chosen))
    legacy = mapping(meta, "annotations").get(_CLASS_ANNOTATION)
    if create and legacy is not None and chosen is not None and legacy != chosen:
        errors.invalid(f"annotations.{_CLASS_ANNOTATION}", legacy, "must match `ingressClassName` when both are specified")


def _host(host: str, path: str, errors: Errors) -> None:
    if not host:
        return
    if parse_ip(host) is not None:
        errors.invalid(path, host, "must be a DNS name, not an IP address")
    errors.each(path, host, wildcard_subdomain(host) if "*" in host else dns1123_subdomain(host))


def _path(path: Document, where: str, errors: Errors) -> None:
    kind, value = path.get("pathType"), text(path, "path")
    if kind is None:
        errors.required(f"{where}.pathType", "pathType must be specified")
        return
    if kind in ("Exact", "Prefix"):
        if not value.startswith("/"):
            errors.invalid(f"{where}.path", value, "must be an absolute path")
        for sequence in _BAD_SEQUENCES:
            if sequence in value:
                errors.invalid(f"{where}.path", value, f"must not contain '{sequence}'")
        for suffix in _BAD_SUFFIXES:
            if value.endswith(suffix):
                errors.invalid(f"{where}.path", value, f"cannot end with '{suffix}'")
    elif kind == "ImplementationSpecific":
        if value and not value.startswith("/"):
            errors.invalid(f"{where}.path", value, "must be an absolute path")
    else:
        errors.unsupported(f"{where}.pathType", kind, _PATH_TYPES)
    _backend(mapping(path, "backend"), f"{where}.backend", errors)


def _backend(backend: Document, path: str, errors: Errors) -> None:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        errors.invalid(path, "", "cannot set both resource and service backends")
    elif isinstance(resource, Mapping):
        _typed_reference(resource, f"{path}.resource", errors)
    elif isinstance(service, Mapping):
        name, port = text(service, "name"), mapping(service, "port")
        if not name:
            errors.required(f"{path}.service.name")
        else:
            errors.each(f"{path}.service.name", name, name_is_dns1035(name))
        port_label, number = text(port, "name"), port.get("number") or 0
        if port_label and number:
            errors.invalid(path, "", "cannot set both port name & port number")
        elif port_label:
            errors.each(f"{path}.service.port.name", port_label, port_name(port_label))
        elif number:
            errors.each(f"{path}.service.port.number", number, port_number(number))
        else:
            errors.required(path, "port name or number is required")
    else:
        errors.invalid(path, "", "resource or service backend is required")


def _typed_reference(reference: Document, path: str, errors: Errors) -> None:
    group = reference.get("apiGroup")
    if group is not None:
        errors.each(f"{path}.apiGroup", group, dns1123_subdomain(group))
    for part in ("kind", "name"):
        value = text(reference, part)
        if not value:
            errors.required(f"{path}.{part}")
        else:
            errors.each(f"{path}.{part}", value, path_segment(value))


# --- IngressClass ------------------------------------------------------------------------------------------------
def ingress_class(document: Document, errors: Errors) -> None:
    spec = mapping(document, "spec")
    controller = text(spec, "controller")
    if not controller:
        errors.required("spec.controller")
    else:
        if len(controller) > 250:
            errors.too_long("spec.controller", 250)
        errors.each("spec.controller", controller, domain_prefixed_path(controller))
    parameters: Any = spec.get("parameters")
    if not isinstance(parameters, Mapping):
        return
    path = "spec.parameters"
    _typed_reference(parameters, path, errors)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        errors.required(f"{path}.scope")
    elif scope not in ("Cluster", "Namespace"):
        errors.unsupported(f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace":
        if namespace is None:
            errors.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
        else:
            errors.each(f"{path}.namespace", namespace, name_is_label(namespace))
    elif namespace is not None:
        errors.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
