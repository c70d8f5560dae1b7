"""`Snapshot`: the objects at one moment, read-only. What every chapter sees of the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from .views import Object

__all__ = ["Snapshot"]

V = TypeVar("V", bound=Object)


class Snapshot:
    """Objects by kind and by (namespace, name). Iteration is always sorted, so nothing depends on the order of applying."""

    __slots__ = ("_by_kind", "_documents", "_labels", "_others", "domain", "retired", "settled", "version")

    def __init__(
        self,
        objects: Iterable[Object] = (),
        *,
        version: int = 0,
        domain: str = "cluster.local",
        documents: Mapping[tuple[str, str, str], dict[str, Any]] | None = None,
        settled: Mapping[tuple[str, str, str], int | frozenset[str]] | None = None,
        retired: frozenset[tuple[str, str, str]] = frozenset(),
        others: Mapping[tuple[str, str, str], dict[str, Any]] | None = None,
    ):
        """`documents`: the kept documents by (kind, namespace, name). `settled`: see `ownership`. `retired`: names that were used once.

        `others`: documents of kinds that have no view, the kind with its group: "IPPool.crd.projectcalico.org".
        """
        by_kind: dict[str, dict[tuple[str, str], Object]] = {}
        for o in objects:
            by_kind.setdefault(o.kind, {})[o.namespace, o.name] = o
        self._by_kind: Mapping[str, dict[tuple[str, str], Object]] = {k: dict(sorted(v.items())) for k, v in by_kind.items()}
        self._labels: dict[str, dict[str, str]] = {}
        self.version, self.domain = version, domain
        self._documents: Mapping[tuple[str, str, str], dict[str, Any]] = documents or {}
        self.settled: Mapping[tuple[str, str, str], int | frozenset[str]] = settled or {}
        self.retired = retired
        self._others: Mapping[tuple[str, str, str], dict[str, Any]] = others or {}

    def get(self, kind: type[V], name: str, namespace: str = "") -> V | None:
        """One object, or None. `kind` is a view class: `snapshot.get(Service, "web", "shop")`."""
        return cast("V | None", self._by_kind.get(kind.__name__, {}).get((namespace, name)))

    def list(self, kind: type[V], namespace: str | None = None) -> tuple[V, ...]:
        """All of a kind, by (namespace, name); of one namespace if it is given."""
        found = self._by_kind.get(kind.__name__, {})
        return tuple(cast("V", o) for (ns, _), o in found.items() if namespace is None or ns == namespace)

    def document(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The kept document behind a view, or None. Shared: copy it before a change."""
        return self._documents.get((kind, namespace, name))

    def others(self, kind: str) -> Mapping[str, dict[str, Any]]:
        """{name: document} of a kind that has no view, by name ("namespace/name" where there is one). Shared: copy before a change."""
        found = {f"{ns}/{name}" if ns else name: doc for (k, ns, name), doc in self._others.items() if k == kind}
        return dict(sorted(found.items()))

    def all(self) -> tuple[Object, ...]:
        return tuple(o for kind in sorted(self._by_kind) for o in self._by_kind[kind].values())

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        """The labels of a namespace; one that was never declared still has kubernetes.io/metadata.name."""
        if name not in self._labels:
            declared = self._by_kind.get("Namespace", {}).get(("", name))
            self._labels[name] = {**(declared.labels if declared else {}), "kubernetes.io/metadata.name": name}
        return self._labels[name]
