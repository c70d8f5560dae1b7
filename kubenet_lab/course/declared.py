"""What reading an object of a mystery shows: one as YAML, all of a kind as `kubectl get -o wide` lists them, without ages.

Source: the printer columns of kubectl get (pkg/printers/internalversion/printers.go).
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from ..objects.views import EndpointSlice, Node, Object, Pod, Service
from ..objects.yamltext import dump_yaml

#: what a newer value of would point at the object that was touched last
_STAMPS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")

__all__ = ["Declared", "Listing", "listing"]


class Declared:
    """One object: its YAML to read, and the fields of the typed view as attributes (`.spec.selector`)."""

    __slots__ = ("_text", "_view")

    def __init__(self, view: Object, document: dict[str, Any]):
        metadata = {k: v for k, v in document["metadata"].items() if k not in _STAMPS}
        self._view, self._text = view, dump_yaml({**document, "metadata": metadata})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._view, name)

    def __repr__(self) -> str:
        return f"{self._view.kind} {self._view.key}"

    def __str__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._text)}</pre>"


class Listing(tuple[Declared, ...]):
    """All objects of a kind, by namespace and name."""

    __slots__ = ()

    def __str__(self) -> str:
        head, cells = _COLUMNS.get(self[0].kind if self else "", ((), lambda o: ()))
        rows = [("NAME", *head), *((o.key, *cells(o)) for o in self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def __repr__(self) -> str:
        return f"({', '.join(map(repr, self))})"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items())) or "<none>"


def _service(o: Service) -> tuple[str, ...]:
    ports = ",".join(f"{p.port}{f':{p.node_port}' if p.node_port else ''}/{p.protocol}" for p in o.spec.ports) or "<none>"
    return o.spec.type, o.spec.cluster_ip or "<none>", ports, _labels(o.spec.selector)


def _pod(o: Pod) -> tuple[str, ...]:
    of = len(o.spec.containers)
    return f"{of if o.ready else 0}/{of}", o.status.phase, next(iter(o.ips), "<none>"), o.spec.node_name or "<none>"


def _slice(o: EndpointSlice) -> tuple[str, ...]:
    ports = ",".join("*" if p.port is None else str(p.port) for p in o.ports) or "<unset>"
    return o.address_type, ports, ",".join(e.addresses[0] for e in o.endpoints) or "<unset>"


def _node(o: Node) -> tuple[str, ...]:
    return next((a.address for a in o.status.addresses if a.type == "InternalIP"), "<none>"), o.spec.pod_cidr or "<none>"


_COLUMNS: dict[str, tuple[tuple[str, ...], Callable[[Any], tuple[str, ...]]]] = {
    "Service": (("TYPE", "CLUSTER-IP", "PORT(S)", "SELECTOR"), _service),
    "Pod": (("READY", "STATUS", "IP", "NODE"), _pod),
    "EndpointSlice": (("ADDRESSTYPE", "PORTS", "ENDPOINTS"), _slice),
    "Node": (("INTERNAL-IP", "POD-CIDR"), _node),
    "Deployment": (("REPLICAS",), lambda o: (str(o.spec.replicas),)),
}


def listing(views: tuple[Object, ...], document: Callable[[str, str], dict[str, Any]]) -> Listing:
    """`document(kind, key)` gives an object's document."""
    return Listing(Declared(view, document(view.kind, view.key)) for view in views)
