"""The ports of an EndpointSlice, in the order in which the controllers write them: that of a hash, whatever the Service's order is.

Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/util/controller_utils.go (NewPortMapKey, portsInOrder, deepHashObjectToString: MD5
of k8s.io/utils/dump.ForHash; from 1.35 on it is FNV-1a, and the order another one).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import md5
from typing import Any

from ..objects.views import EndpointPort

__all__ = ["Port", "Ports", "as_documents", "in_order", "ports_of"]

#: name, number, protocol, appProtocol
Port = tuple[str, int | None, str, str | None]
Ports = tuple[Port, ...]


@lru_cache(maxsize=4096)
def _hash(port: Port) -> str:
    name, number, protocol, app = ("<nil>" if value is None else value for value in port)
    text = f"(v1.EndpointPort){{Name:(*string){name} Protocol:(*v1.Protocol){protocol} Port:(*int32){number} AppProtocol:(*string){app}}}"
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def in_order(ports: Iterable[Port]) -> Ports:
    """The ports as a slice lists them; slices of equal ports belong together."""
    return tuple(sorted(ports, key=_hash))


def ports_of(ports: Iterable[EndpointPort]) -> Ports:
    return in_order((p.name, p.port, p.protocol, p.app_protocol) for p in ports)


def as_documents(ports: Ports) -> list[dict[str, Any]]:
    return [
        {"name": name, "port": number, "protocol": protocol} | ({"appProtocol": app} if app is not None else {})
        for name, number, protocol, app in ports
    ]
