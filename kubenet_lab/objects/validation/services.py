"""Service.

Source: pkg/apis/core/validation/validation.go (ValidateService, ValidateServiceClusterIPsRelatedFields).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .containers import PROTOCOLS, port_number_or_name
from .field import Document, Errors, items, mapping, text
from .meta import labels
from .names import address_warning, cidr_errors, dns1123_label, dns1123_subdomain, ip_errors, parse_ip, port_number, qualified_name

__all__ = ["externally_accessible", "is_headless", "needs_health_check", "service"]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_EXTERNAL = ("LoadBalancer", "NodePort")
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_MAX_AFFINITY_SECONDS = 86400


def is_headless(spec: Document) -> bool:
    return items(spec, "clusterIPs") == ["None"]


def externally_accessible(spec: Document) -> bool:
    kind = text(spec, "type")
    return kind in _EXTERNAL or (kind == "ClusterIP" and bool(items(spec, "externalIPs")))


def needs_health_check(spec: Document) -> bool:
    return text(spec, "type") == "LoadBalancer" and text(spec, "externalTrafficPolicy") == "Local"


def service(document: Document, errors: Errors) -> None:
    """A defaulted Service. Node ports and ClusterIPs outside the ranges of the cluster are the allocators' business."""
    spec, meta = mapping(document, "spec"), mapping(document, "metadata")
    kind, headless, ports = text(spec, "type"), is_headless(spec), items(spec, "ports")
    notes = mapping(meta, "annotations")
    mode, hints = notes.get("service.kubernetes.io/topology-mode"), notes.get("service.kubernetes.io/topology-aware-hints")
    if mode is not None and hints is not None and mode != hints:
        said = "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified"
        errors.invalid("metadata.annotations[service.kubernetes.io/topology-mode]", mode, said)
    if not ports and not headless and kind != "ExternalName":
        errors.required("spec.ports")
    if kind in _EXTERNAL and headless:
        errors.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        for part in ("clusterIPs", "ipFamilies"):
            if items(spec, part):
                errors.forbidden(f"spec.{part}", "may not be set for ExternalName services")
        if spec.get("ipFamilyPolicy") is not None:
            errors.forbidden("spec.ipFamilyPolicy", "may not be set for ExternalName services")
        name = text(spec, "externalName").removesuffix(".")
        if name:
            errors.each("spec.externalName", name, dns1123_subdomain(name))
        else:
            errors.required("spec.externalName")
    _ports(ports, errors)
    labels(mapping(spec, "selector"), "spec.selector", errors)
    _affinity(spec, errors)
    _cluster_ips(spec, kind, headless, errors)
    for i, ip in enumerate(items(spec, "externalIPs")):
        where = f"spec.externalIPs[{i}]"
        errors.each(where, ip, ip_errors(ip) or address_warning(ip))
    if not kind:
        errors.required("spec.type")
    elif kind not in _TYPES:
        errors.unsupported("spec.type", kind, _TYPES)
    _port_conflicts(ports, kind, errors)
    _load_balancer(spec, kind, notes, errors)
    _traffic_policies(spec, kind, errors)
    for i, ingress in enumerate(items(mapping(mapping(document, "status"), "loadBalancer"), "ingress")):
        _ingress(ingress, kind, f"status.loadBalancer.ingress[{i}]", errors)


def _ports(ports: list[Any], errors: Errors) -> None:
    names: set[str] = set()
    for i, port in enumerate(ports):
        where = f"spec.ports[{i}]"
        name = text(port, "name")
        if not name:
            if len(ports) > 1:
                errors.required(f"{where}.name")
        else:
            errors.each(f"{where}.name", name, dns1123_label(name))
            if name in names:
                errors.duplicate(f"{where}.name", name)
            names.add(name)
        number = port.get("port") or 0
        errors.each(f"{where}.port", number, port_number(number))
        protocol = text(port, "protocol")
        if not protocol:
            errors.required(f"{where}.protocol")
        elif protocol not in PROTOCOLS:
            errors.unsupported(f"{where}.protocol", protocol, PROTOCOLS)
        port_number_or_name(port.get("targetPort", number), f"{where}.targetPort", errors)
        if port.get("appProtocol") is not None:
            errors.each(f"{where}.appProtocol", port["appProtocol"], qualified_name(port["appProtocol"]))


def _affinity(spec: Document, errors: Errors) -> None:
    affinity, config = text(spec, "sessionAffinity"), spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if not affinity:
        errors.required("spec.sessionAffinity")
    elif affinity not in ("ClientIP", "None"):
        errors.unsupported("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "None" and config is not None:
        errors.forbidden(path, "must not be set when session affinity is None")
    if affinity == "ClientIP":
        given = config.get("clientIP") if isinstance(config, Mapping) else None
        seconds = given.get("timeoutSeconds") if isinstance(given, Mapping) else None
        said = "when session affinity type is ClientIP"
        if config is None:
            errors.required(path, said)
        elif given is None:
            errors.required(f"{path}.clientIP", said)
        elif seconds is None:
            errors.required(f"{path}.clientIP.timeoutSeconds", said)
        elif not 0 < seconds <= _MAX_AFFINITY_SECONDS:
            errors.invalid(f"{path}.clientIP.timeoutSeconds", seconds, f"must be greater than 0 and less than {_MAX_AFFINITY_SECONDS}")


def _cluster_ips(spec: Document, kind: str, headless: bool, errors: Errors) -> None:
    if kind == "ExternalName":
        return
    first, ips, families = text(spec, "clusterIP"), items(spec, "clusterIPs"), items(spec, "ipFamilies")
    if first:
        if not ips:
            errors.required("spec.clusterIPs")
        elif ips[0] != first:
            errors.invalid("spec.clusterIPs", ips, "first value must match `clusterIP`")
    elif ips:
        errors.invalid("spec.clusterIPs", ips, "must be empty when `clusterIP` is not specified")
    seen: set[str] = set()
    for i, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            errors.unsupported(f"spec.ipFamilies[{i}]", family, ("IPv4", "IPv6"))
        if family in seen:
            errors.duplicate(f"spec.ipFamilies[{i}]", family)
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    if policy is not None and policy not in policies:
        errors.unsupported("spec.ipFamilyPolicy", policy, policies)
    bad = False
    for i, ip in enumerate(ips):
        if i == 0 and ip == "None":
            if len(ips) > 1:
                bad = True
                errors.invalid("spec.clusterIPs", ips, "'None' must be the first and only value")
            continue
        wrong = ip_errors(ip)
        bad = bad or bool(wrong)
        errors.each(f"spec.clusterIPs[{i}]", ip, wrong)
    if len(ips) > 2:
        errors.invalid("spec.clusterIPs", ips, "may only hold up to 2 values")
    if bad:
        return
    if len(ips) > 1 and len({_version(ip) for ip in ips}) < 2:
        errors.invalid("spec.clusterIPs", ips, "may specify no more than one IP for each IP family")
    if not headless:
        for i, (ip, family) in enumerate(zip(ips, families, strict=False)):
            if family in ("IPv4", "IPv6") and f"IPv{_version(ip)}" != family:
                errors.invalid(f"spec.clusterIPs[{i}]", ip, f"expected an {family} value as indicated by `ipFamilies[{i}]`")


def _version(ip: str) -> int:
    found = parse_ip(ip)
    return found.version if found is not None else 0


def _port_conflicts(ports: list[Any], kind: str, errors: Errors) -> None:
    if kind == "ClusterIP":
        for i, port in enumerate(ports):
            if port.get("nodePort"):
                errors.forbidden(f"spec.ports[{i}].nodePort", "may not be used when `type` is 'ClusterIP'")
    seen: set[tuple[Any, Any]] = set()
    for i, port in enumerate(ports):
        if port.get("nodePort"):
            key = (port.get("protocol"), port["nodePort"])
            if key in seen:
                errors.duplicate(f"spec.ports[{i}].nodePort", port["nodePort"])
            seen.add(key)
    seen = set()
    for i, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            errors.duplicate(f"spec.ports[{i}]", {"protocol": key[0], "port": key[1]})
        seen.add(key)


def _load_balancer(spec: Document, kind: str, notes: Document, errors: Errors) -> None:
    ranges = items(spec, "loadBalancerSourceRanges")
    only = "may only be used when `type` is 'LoadBalancer'"
    if ranges:
        if kind != "LoadBalancer":
            errors.forbidden("spec.LoadBalancerSourceRanges", only)
        for i, value in enumerate(ranges):
            errors.each(f"spec.LoadBalancerSourceRanges[{i}]", value.strip(), cidr_errors(value.strip()))
    elif _RANGES in notes:
        path = f"metadata.annotations[{_RANGES}]"
        if kind != "LoadBalancer":
            errors.forbidden(path, only)
        for value in notes[_RANGES].strip().split(",") if notes[_RANGES].strip() else ():
            errors.each(path, value.strip(), cidr_errors(value.strip()))
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        errors.forbidden("spec.allocateLoadBalancerNodePorts", only)
    if spec.get("allocateLoadBalancerNodePorts") is None and kind == "LoadBalancer":
        errors.required("allocateLoadBalancerNodePorts")  # the API server's own path
    chosen = spec.get("loadBalancerClass")
    if chosen is not None:
        if kind != "LoadBalancer":
            errors.forbidden("spec.loadBalancerClass", only)
        else:
            errors.each("spec.loadBalancerClass", chosen, qualified_name(chosen))


def _ingress(ingress: Document, kind: str, path: str, errors: Errors) -> None:
    """An address that a balancer gave (ValidateLoadBalancerStatus)."""
    ip, mode, host = text(ingress, "ip"), ingress.get("ipMode"), text(ingress, "hostname")
    if ip:
        errors.each(f"{path}.ip", ip, ip_errors(ip))
    if ip and mode is None and kind == "LoadBalancer":  # another type's is left from before, and nobody defaults it
        errors.required(f"{path}.ipMode", "must be specified when `ip` is set")
    elif mode is not None and not ip:
        errors.forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
    elif mode is not None and mode not in ("Proxy", "VIP"):
        errors.unsupported(f"{path}.ipMode", mode, ("Proxy", "VIP"))
    if host:
        errors.each(f"{path}.hostname", host, dns1123_subdomain(host))
        if parse_ip(host) is not None:
            errors.invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")


def _traffic_policies(spec: Document, kind: str, errors: Errors) -> None:
    external, health = text(spec, "externalTrafficPolicy"), spec.get("healthCheckNodePort") or 0
    if not externally_accessible(spec):
        if external:
            errors.invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    elif not external:
        errors.required("spec.externalTrafficPolicy")
    elif external not in ("Cluster", "Local"):
        errors.unsupported("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    if health and not needs_health_check(spec):
        said = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.invalid("spec.healthCheckNodePort", health, said)
    elif health:
        errors.each("spec.healthCheckNodePort", health, port_number(health))
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
            errors.required("spec.internalTrafficPolicy")
    elif internal not in ("Cluster", "Local"):
        errors.unsupported("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errors.unsupported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)
