"""`Store`: the objects of a cluster, as the API server keeps them.

Documents are kept whole and never changed in place: a change replaces a document, so copies and snapshots share them.
`apply` is the door of people (defaults, validation, merge), `write` the door of controllers (defaults only).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ..errors import KubenetError, LoadError, NotFound, Problem
from .apply import Applied, Apply
from .defaults import default_in_place
from .documents import Source, read_in_order
from .kinds import KIND_INFO, kind_of, kind_of_document, split_key
from .ownership import ObjectId
from .snapshot import Snapshot
from .state import ObjectKey, State, identity_of, key_of
from .views import Object
from .yamltext import dump_yaml

__all__ = ["Applied", "Changes", "ObjectKey", "Store"]

Doc = dict[str, Any]

#: the order in which a cluster is written out: what others refer to comes first
_ORDER = (
    "Namespace", "Node", "IngressClass", "ConfigMap", "Secret", "Service", "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job",
    "ReplicaSet", "Pod", "Endpoints", "EndpointSlice", "Ingress", "NetworkPolicy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Changes:
    """What a controller wants: documents to write whole, objects to delete, and what it could not do."""

    write: tuple[Doc, ...] = ()
    delete: tuple[ObjectKey, ...] = ()
    findings: tuple[Problem, ...] = ()
    assumptions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.write or self.delete)

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            self.write + other.write, self.delete + other.delete, self.findings + other.findings, self.assumptions + other.assumptions
        )


class Store:
    """The objects of one cluster.

    `clock` gives the lab's time in seconds; `domain` is the cluster domain; `ip_families` the cluster's, primary first.
    """

    def __init__(
        self, clock: Callable[[], float] | None = None, domain: str = "cluster.local", *, ip_families: Sequence[str] = ("IPv4",)
    ) -> None:
        self.clock: Callable[[], float] = clock or (lambda: 0.0)
        self.domain = domain
        self.ip_families = tuple(ip_families)
        self._state = State()
        self._version = 0
        self._snapshot: Snapshot | None = None

    def __repr__(self) -> str:
        return f"<Store: {len(self._state.docs)} objects, {len(self._state.ignored)} ignored>"

    # --- reading -------------------------------------------------------------------------------------------------
    def get(self, kind: str, key: str) -> Object:
        """The typed view of an object. `kind` in any spelling of kubectl. Raises NotFound with the nearest names."""
        found = self.find(kind, key)
        if found is None:
            name = kind_of(kind)
            raise NotFound(name, key, [o.key for o in self.objects(name)])
        return found

    def find(self, kind: str, key: str) -> Object | None:
        """As `get`, None where there is no such object."""
        namespace, name = split_key(key)
        return self._state.views.get((kind_of(kind), namespace, name))

    def document(self, kind: str, key: str) -> Doc:
        """A deep copy of the kept document. `kind` may also be an ignored one, as `ignored` writes it."""
        namespace, name = split_key(key)
        ignored = self._state.ignored.get((kind, namespace, name))
        if ignored is not None:
            return copy.deepcopy(ignored)
        found = self._state.docs.get((kind_of(kind), namespace, name))
        if found is None:
            raise NotFound(kind_of(kind), key, [o.key for o in self.objects(kind)])
        return copy.deepcopy(found)

    def last_applied(self, kind: str, key: str) -> Doc | None:
        """What people applied last under this name, as they wrote it; None for what controllers made or a dump showed."""
        namespace, name = split_key(key)
        found = self._state.applied.get((kind_of(kind), namespace, name))
        return copy.deepcopy(found) if found is not None else None

    def objects(self, kind: str) -> tuple[Object, ...]:
        """All objects of a kind, by (namespace, name)."""
        return self.snapshot().list(KIND_INFO[kind_of(kind)].view)

    def _untyped(self, kind: str, namespace: str, name: str) -> ObjectId | None:
        """The object of a kind without a view; by its plain kind only where no modelled kind has that name."""
        for known in self._state.ignored:
            plain = known[0].partition(".")[0]
            spelled = (known[0],) if plain in KIND_INFO else (known[0], plain)
            if known[1:] == (namespace, name) and kind.lower() in map(str.lower, spelled):
                return known
        return None

    @property
    def ignored(self) -> tuple[ObjectKey, ...]:
        """Kinds that the lab has no view of: ("Certificate.cert-manager.io", "shop/tls")."""
        return tuple((kind, f"{ns}/{name}" if ns else name) for kind, ns, name in sorted(self._state.ignored))

    def snapshot(self) -> Snapshot:
        """The objects at this moment; the same value until something changes."""
        if self._snapshot is None or self._snapshot.version != self._version:
            state = self._state
            self._snapshot = Snapshot(
                state.views.values(), version=self._version, domain=self.domain, documents=state.docs, settled=state.settled,
                retired=state.retired, others=state.ignored,
            )  # fmt: skip
        return self._snapshot

    def copy(self, clock: Callable[[], float] | None = None) -> Store:
        """An independent store with the same objects."""
        other = Store(clock or self.clock, self.domain, ip_families=self.ip_families)
        other._state = self._state.copy()
        other._version = self._version
        other._snapshot = self._snapshot
        return other

    def to_yaml(self) -> str:
        """Every kept document, ignored kinds last, as one multi-document text that `apply` reads back."""
        order = {kind: i for i, kind in enumerate(_ORDER)}
        docs = [self._state.docs[i] for i in sorted(self._state.docs, key=lambda i: (order[i[0]], i[1], i[2]))]
        docs += [self._state.ignored[i] for i in sorted(self._state.ignored)]
        return "---\n".join(dump_yaml(d) for d in docs)

    # --- the door of people --------------------------------------------------------------------------------------
    def apply(self, source: Source, *, strict: bool | None = None) -> Applied:
        """Apply a source: create what is new, merge into what stands.

        `strict=None`: objects that carry `metadata.uid` were accepted by a real API server, what is wrong with them becomes
        findings; all others are refused. `strict=True` refuses both, `strict=False` neither, as long as they decode.
        Raises LoadError with everything that is wrong; then nothing has changed.
        """
        documents, problems, files = read_in_order(source)
        work = Apply(self._state.copy(), strict, self.ip_families, self.clock())
        work.problems.extend(problems)
        for document in documents:
            work.take(document)
        if work.problems:
            raise LoadError(_in_reading_order(work.problems, files))
        applied = work.done()
        if applied.changed or applied.ignored:
            self._commit(work.state)
        return applied

    def delete(self, kind: str, key: str, *, cascade: bool = True) -> tuple[ObjectKey, ...]:
        """Delete an object and what it owns; a Namespace with everything in it. Returns what went. Raises NotFound.

        A kind that the lab has no view of goes by its name, with its group where two groups have it.
        """
        namespace, name = split_key(key)
        state = self._state.copy()
        untyped = self._untyped(kind, namespace, name)
        if untyped is not None:
            del state.ignored[untyped]
            self._commit(state)
            return ((untyped[0], key),)
        identity = (kind_of(kind), namespace, name)
        if identity not in state.docs:
            raise NotFound(identity[0], key, [o.key for o in self.objects(kind)])
        gone = state.remove([identity], cascade=cascade)
        self._commit(state)
        return gone

    # --- the door of controllers ---------------------------------------------------------------------------------
    def write(self, documents: Iterable[Doc], *, by: str) -> tuple[ObjectKey, ...]:
        """Write whole documents: defaulted and stamped, not validated. Returns what changed. `by` names the controller in errors."""
        return self.commit(Changes(write=tuple(documents)), by=by)

    def commit(self, changes: Changes, *, by: str) -> tuple[ObjectKey, ...]:
        """Write and delete together; namespaces that are written to are made. Deleting what is gone already is no error."""
        state = self._state.copy()
        changed: list[ObjectKey] = []
        written: list[str] = []
        doomed = [(k, *split_key(key)) for k, key in changes.delete]
        changed.extend(state.remove([i for i in doomed if i in state.docs], cascade=True))
        for document in changes.write:
            info = kind_of_document(document)
            if info is None:
                raise KubenetError(f"{by} wrote {document.get('apiVersion')} {document.get('kind')}, which is not a modelled kind")
            new = copy.deepcopy(document)
            default_in_place(new, ip_families=self.ip_families)
            identity = identity_of(new, info)
            written.append(identity[1])
            try:
                if state.keep(identity, new, info, self.clock()):
                    changed.append((identity[0], key_of(identity)))
            except msgspec.ValidationError as error:
                raise KubenetError(f"{by} wrote a {info.name} that does not decode: {error}") from None
        changed.extend(("Namespace", n) for n in state.add_namespaces(written, self.clock()))
        if changed:
            self._commit(state)
        return tuple(changed)

    def _commit(self, state: State) -> None:
        self._state = state
        self._version += 1


def _in_reading_order(problems: list[Problem], files: list[str]) -> list[Problem]:
    order = {name: i for i, name in enumerate(files)}
    return sorted(problems, key=lambda p: (order.get(p.file, len(files)), p.document or 0))
