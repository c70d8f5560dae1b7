"""Containers: names, images, ports, environment, mounts, probes.

Source: pkg/apis/core/validation/validation.go (validateContainerCommon, validateContainerPorts, validateHandler).
"""

from __future__ import annotations

import re
from typing import Any

from .field import Document, Errors, items, mapping, text
from .names import dns1123_label, http_header_name, port_name, port_number

__all__ = ["PROTOCOLS", "containers", "port_number_or_name"]

PROTOCOLS = ("SCTP", "TCP", "UDP")

_ENV_NAME = re.compile(r"[ -<>-~]+\Z")  # printable ASCII without "=" (RelaxedEnvironmentVariableValidation, on since 1.32)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def port_number_or_name(value: Any, path: str, errors: Errors) -> None:
    errors.each(path, value, port_name(value) if isinstance(value, str) else port_number(value))


def containers(spec: Document, path: str, volumes: frozenset[str], errors: Errors, *, is_pod: bool) -> None:
    """Check containers and initContainers of a pod spec at `path`."""
    regular, init = items(spec, "containers"), items(spec, "initContainers")
    if not regular:
        errors.required(f"{path}.containers")
    names: set[str] = set()
    for i, container in enumerate(regular):
        where = f"{path}.containers[{i}]"
        _container(container, where, volumes, errors)
        for probe in _PROBES:
            _probe(container, probe, where, errors)
        for hook in ("postStart", "preStop"):
            handler = mapping(container, "lifecycle").get(hook)
            if handler is not None:
                _handler(handler, f"{where}.lifecycle.{hook}", errors, (*_HANDLERS, "sleep"))
        _unique(container, where, names, errors)
    _host_ports(regular, f"{path}.containers", errors)
    for i, container in enumerate(init):
        where = f"{path}.initContainers[{i}]"
        _container(container, where, volumes, errors)
        restart = container.get("restartPolicy")
        if restart is not None and restart != "Always":
            errors.unsupported(f"{where}.restartPolicy", restart, ("Always",))
        _unique(container, where, names, errors)
        _host_ports([container], f"{path}.initContainers", errors)
        for probe in _PROBES:
            if restart == "Always":
                _probe(container, probe, where, errors)
            elif container.get(probe) is not None:
                errors.forbidden(f"{where}.{probe}", "may not be set for init containers without restartPolicy=Always")
    if spec.get("hostNetwork") is True:
        for i, container in enumerate(regular):
            for j, port in enumerate(items(container, "ports")):
                host, inner = port.get("hostPort") or 0, port.get("containerPort") or 0
                if host != inner and (is_pod or host):
                    where = f"{path}.containers[{i}].ports[{j}].hostPort"
                    errors.invalid(where, host, "must match `containerPort` when `hostNetwork` is true")


def _unique(container: Document, path: str, names: set[str], errors: Errors) -> None:
    name = text(container, "name")
    if name and name in names:
        errors.duplicate(f"{path}.name", name)
    names.add(name)


def _container(container: Document, path: str, volumes: frozenset[str], errors: Errors) -> None:
    name, image = text(container, "name"), text(container, "image")
    if not name:
        errors.required(f"{path}.name")
    else:
        errors.each(f"{path}.name", name, dns1123_label(name))
    if not image:
        errors.required(f"{path}.image")
    elif image != image.strip():
        errors.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    _choice(container, "terminationMessagePolicy", ("FallbackToLogsOnError", "File"), path, errors)
    _ports(items(container, "ports"), f"{path}.ports", errors)
    for i, variable in enumerate(items(container, "env")):
        where = f"{path}.env[{i}].name"
        if not text(variable, "name"):
            errors.required(where)
        elif not _ENV_NAME.match(variable["name"]):
            said = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            errors.invalid(where, variable["name"], said)
    mounted: set[str] = set()
    for i, mount in enumerate(items(container, "volumeMounts")):
        where = f"{path}.volumeMounts[{i}]"
        if not text(mount, "name"):
            errors.required(f"{where}.name")
        elif mount["name"] not in volumes:
            errors.not_found(f"{where}.name", mount["name"])
        at = text(mount, "mountPath")
        if not at:
            errors.required(f"{where}.mountPath")
        elif at in mounted:
            errors.invalid(f"{where}.mountPath", at, "must be unique")
        mounted.add(at)
    _choice(container, "imagePullPolicy", ("Always", "IfNotPresent", "Never"), path, errors)
    _resources(mapping(container, "resources"), f"{path}.resources", errors)


def _choice(parent: Document, name: str, supported: tuple[str, ...], path: str, errors: Errors) -> None:
    value = text(parent, name)
    if not value:
        errors.required(f"{path}.{name}")
    elif value not in supported:
        errors.unsupported(f"{path}.{name}", value, supported)


def _ports(ports: list[Any], path: str, errors: Errors) -> None:
    names: set[str] = set()
    for i, port in enumerate(ports):
        where = f"{path}[{i}]"
        name = text(port, "name")
        if name:
            wrong = port_name(name)
            if wrong:
                errors.each(f"{where}.name", name, wrong)
            elif name in names:
                errors.duplicate(f"{where}.name", name)
            else:
                names.add(name)
        number = port.get("containerPort") or 0
        if number == 0:
            errors.required(f"{where}.containerPort")
        else:
            errors.each(f"{where}.containerPort", number, port_number(number))
        host = port.get("hostPort") or 0
        if host:
            errors.each(f"{where}.hostPort", host, port_number(host))
        _choice(port, "protocol", PROTOCOLS, where, errors)


def _host_ports(group: list[Any], path: str, errors: Errors) -> None:
    seen: set[str] = set()
    for i, container in enumerate(group):
        for j, port in enumerate(items(container, "ports")):
            if not port.get("hostPort"):
                continue
            key = f"{text(port, 'protocol')}/{text(port, 'hostIP')}/{port['hostPort']}"
            if key in seen:
                errors.duplicate(f"{path}[{i}].ports[{j}].hostPort", key)
            seen.add(key)


def _probe(container: Document, name: str, path: str, errors: Errors) -> None:
    probe = container.get(name)
    if not isinstance(probe, dict):
        return
    where = f"{path}.{name}"
    _handler(probe, where, errors, _HANDLERS)
    for part in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        errors.nonnegative(f"{where}.{part}", probe.get(part))
    if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        errors.invalid(f"{where}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(handler: Document, path: str, errors: Errors, allowed: tuple[str, ...]) -> None:
    given = [h for h in allowed if handler.get(h) is not None]
    if not given:
        errors.required(path, "must specify a handler type")
        return
    for extra in given[1:]:
        errors.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    kind, where = given[0], f"{path}.{given[0]}"
    action = mapping(handler, kind)
    if kind == "exec" and not items(action, "command"):
        errors.required(f"{where}.command")
    if kind == "httpGet":
        if not text(action, "path"):
            errors.required(f"{where}.path")
        port_number_or_name(action.get("port", 0), f"{where}.port", errors)
        if text(action, "scheme") not in ("HTTP", "HTTPS"):
            errors.unsupported(f"{where}.scheme", text(action, "scheme"), ("HTTP", "HTTPS"))
        for header in items(action, "httpHeaders"):
            errors.each(f"{where}.httpHeaders", text(header, "name"), http_header_name(text(header, "name")))
    if kind in ("tcpSocket", "grpc"):
        port_number_or_name(action.get("port", 0), f"{where}.port", errors)


_QUANTITY = re.compile(r"([+-]?[0-9.]+)(.*)\Z")
_SUFFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIXES.update({f"{s}i": float(1 << (10 * (i + 1))) for i, s in enumerate("KMGTPE")})


def _amount(quantity: Any) -> float:
    found = _QUANTITY.match(str(quantity))
    if found is None:
        return 0.0
    number, suffix = found.groups()
    if suffix in _SUFFIXES:
        return float(number) * _SUFFIXES[suffix]
    return float(f"{number}{suffix}") if suffix[:1] in ("e", "E") else 0.0


def _resources(resources: Document, path: str, errors: Errors) -> None:
    limits, requests = mapping(resources, "limits"), mapping(resources, "requests")
    for part, values in (("limits", limits), ("requests", requests)):
        for name in sorted(values):
            if _amount(values[name]) < 0:
                errors.invalid(f"{path}.{part}[{name}]", str(values[name]), "must be greater than or equal to 0")
    for name in sorted(requests):
        if name in limits and _amount(requests[name]) > _amount(limits[name]):
            errors.invalid(f"{path}.requests", str(requests[name]), f"must be less than or equal to {name} limit of {limits[name]}")
