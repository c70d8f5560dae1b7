"""Namespace, Node, ConfigMap, Secret, Endpoints, EndpointSlice.

Source: pkg/apis/core/validation/validation.go, pkg/apis/discovery/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from .containers import PROTOCOLS
from .field import Document, Errors, items, mapping, text
from .meta import labels
from .names import (
    address_warning,
    cidr_errors,
    dns1123_label,
    dns1123_subdomain,
    fully_qualified_domain,
    ip_errors,
    label_key_errors,
    label_value_errors,
    parse_cidr,
    parse_ip,
    port_number,
    qualified_name,
)

__all__ = ["config_map", "endpoint_slice", "endpoints", "namespace", "node", "secret"]

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_MAX_DATA = 1024 * 1024
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def namespace(document: Document, errors: Errors) -> None:
    for one in items(mapping(document, "spec"), "finalizers"):
        errors.each("spec.finalizers", one, qualified_name(one))
        if "/" not in one and one not in ("kubernetes", "orphan", "foregroundDeletion"):
            errors.invalid("spec.finalizers", one, "name is neither a standard finalizer name nor is it fully qualified")


def node(document: Document, errors: Errors) -> None:
    spec, status = mapping(document, "spec"), mapping(document, "status")
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(items(spec, "taints")):
        path = f"metadata.taints[{i}]"  # the API server's own path
        key, value, effect = text(taint, "key"), text(taint, "value"), text(taint, "effect")
        errors.each(f"{path}.key", key, label_key_errors(key))
        wrong = label_value_errors(value)
        if wrong:
            errors.invalid(f"{path}.value", value, ";".join(wrong))
        if not effect:
            errors.required(f"{path}.effect")
        elif effect not in _EFFECTS:
            errors.unsupported(f"{path}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            errors.duplicate(path, taint, "taints must be unique by key and effect pair")
        seen.add((key, effect))
    cidrs = items(spec, "podCIDRs")
    for i, cidr in enumerate(cidrs):
        errors.each(f"spec.podCIDRs[{i}]", cidr, cidr_errors(cidr))
    if len(cidrs) > 1:
        networks = [parse_cidr(c) for c in cidrs]
        dual = len({n.version for n in networks if n is not None}) == 2
        if not dual or len(cidrs) > 2:
            errors.invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family")
        for i, cidr in enumerate(cidrs):
            if cidr in cidrs[:i]:
                errors.duplicate(f"spec.podCIDRs[{i}]", cidr)
    addresses: set[tuple[str, str]] = set()
    for i, address in enumerate(items(status, "addresses")):
        pair = (text(address, "type"), text(address, "address"))
        if pair in addresses:
            errors.duplicate(f"status.addresses[{i}]", address)
        addresses.add(pair)


def _data_key(key: str) -> tuple[str, ...]:
    out = []
    if len(key.encode()) > 253:
        out.append("must be no more than 253 bytes")
    if not _KEY.fullmatch(key):
        out.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
            "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
    if key == ".":
        out.append("must not be '.'")
    elif key == "..":
        out.append("must not be '..'")
    elif key.startswith(".."):
        out.append("must not start with '..'")
    return tuple(out)


def config_map(document: Document, errors: Errors) -> None:
    data, binary = mapping(document, "data"), mapping(document, "binaryData")
    for key in sorted(data):
        errors.each(f"data[{key}]", key, _data_key(key))
        if key in binary:
            errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in sorted(binary):
        errors.each(f"binaryData[{key}]", key, _data_key(key))
    if sum(len(str(v).encode()) for v in (*data.values(), *binary.values())) > _MAX_DATA:
        errors.too_long("", _MAX_DATA)


_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",), "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}  # fmt: skip


def secret(document: Document, errors: Errors) -> None:
    """Keys only: the values are gone by now."""
    data, kind = mapping(document, "data"), text(document, "type")
    for key in sorted(data):
        errors.each(f"data[{key}]", key, _data_key(key))
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            errors.required(f"data[{key}]")
    if kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        errors.required("data[username]")
        errors.required("data[password]")
    account = mapping(mapping(document, "metadata"), "annotations").get("kubernetes.io/service-account.name")
    if kind == "kubernetes.io/service-account-token" and not account:
        errors.required("metadata.annotations[kubernetes.io/service-account.name]")


# --- Endpoints and EndpointSlice ---------------------------------------------------------------------------------
def endpoints(document: Document, errors: Errors) -> None:
    for i, subset in enumerate(items(document, "subsets")):
        path = f"subsets[{i}]"
        ready, waiting, ports = items(subset, "addresses"), items(subset, "notReadyAddresses"), items(subset, "ports")
        if not ready and not waiting:
            errors.required(path, "must specify `addresses` or `notReadyAddresses`")
        for group, name in ((ready, "addresses"), (waiting, "notReadyAddresses")):
            for j, address in enumerate(group):
                _endpoint_address(address, f"{path}.{name}[{j}]", errors)
        for j, port in enumerate(ports):
            where = f"{path}.ports[{j}]"
            name = text(port, "name")
            if name:
                errors.each(f"{where}.name", name, dns1123_label(name))
            elif len(ports) > 1:
                errors.required(f"{where}.name")
            errors.each(f"{where}.port", port.get("port") or 0, port_number(port.get("port") or 0))
            _protocol(port, where, errors)


def _endpoint_address(address: Document, path: str, errors: Errors) -> None:
    ip = text(address, "ip")
    wrong = ip_errors(ip)
    errors.each(f"{path}.ip", ip, wrong)
    if text(address, "hostname"):
        errors.each(f"{path}.hostname", address["hostname"], dns1123_label(address["hostname"]))
    if address.get("nodeName") is not None:
        errors.each(f"{path}.nodeName", address["nodeName"], dns1123_subdomain(address["nodeName"]))
    errors.each(f"{path}.ip", ip, address_warning(ip))


def _protocol(port: Document, path: str, errors: Errors) -> None:
    protocol = text(port, "protocol")
    if not protocol:
        errors.required(f"{path}.protocol")
    elif protocol not in PROTOCOLS:
        errors.unsupported(f"{path}.protocol", protocol, PROTOCOLS)
    if port.get("appProtocol") is not None:
        errors.each(f"{path}.appProtocol", port["appProtocol"], qualified_name(port["appProtocol"]))


def endpoint_slice(document: Document, errors: Errors) -> None:
    kind, ends, ports = text(document, "addressType"), items(document, "endpoints"), items(document, "ports")
    if not kind:
        errors.required("addressType")
    elif kind not in ("FQDN", "IPv4", "IPv6"):
        errors.unsupported("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    if len(ends) > 1000:
        errors.too_many("endpoints", len(ends), 1000)
    else:
        for i, end in enumerate(ends):
            _endpoint(end, f"endpoints[{i}]", kind, errors)
    if len(ports) > 20000:
        errors.too_many("ports", len(ports), 20000)
        return
    names: set[str] = set()
    for i, port in enumerate(ports):
        name = text(port, "name")
        if name:
            errors.each(f"ports[{i}].name", name, dns1123_label(name))
        if name in names:
            errors.duplicate(f"ports[{i}].name", name)
        names.add(name)
        _protocol(port, f"ports[{i}]", errors)


def _endpoint(end: Document, path: str, kind: str, errors: Errors) -> None:
    addresses: list[Any] = items(end, "addresses")
    if not addresses:
        errors.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > 100:
        errors.too_many(f"{path}.addresses", len(addresses), 100)
    for i, address in enumerate(addresses):
        where = f"{path}.addresses[{i}]"
        if kind in ("IPv4", "IPv6"):
            found = parse_ip(address)
            if found is None or f"IPv{found.version}" != kind:
                errors.invalid(where, address, f"must be a valid {kind} address")
            else:
                errors.each(where, address, address_warning(address))
        elif kind == "FQDN":
            if not address:
                errors.required(where)
            else:
                errors.each(where, address, fully_qualified_domain(address))
    if end.get("nodeName") is not None:
        errors.each(f"{path}.nodeName", end["nodeName"], dns1123_subdomain(end["nodeName"]))
    topology = mapping(end, "deprecatedTopology")
    if len(topology) > 16:
        errors.too_many(f"{path}.deprecatedTopology", len(topology), 16)
    labels(topology, f"{path}.deprecatedTopology", errors)
    if end.get("hostname") is not None:
        errors.each(f"{path}.hostname", end["hostname"], dns1123_label(end["hostname"]))
    for part, check in (("forZones", label_value_errors), ("forNodes", dns1123_subdomain)):
        _hints(items(mapping(end, "hints"), part), f"{path}.hints.{part}", check, errors)


def _hints(hints: list[Any], path: str, check: Callable[[str], Sequence[str]], errors: Errors) -> None:
    if len(hints) > 8:
        errors.too_many(path, len(hints), 8)
        return
    names = [text(h, "name") for h in hints]
    for i, name in enumerate(names):
        if name in names[:i]:
            errors.duplicate(f"{path}[{i}].name", name)
        errors.each(f"{path}[{i}].name", name, check(name))
