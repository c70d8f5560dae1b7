"""`Apply`: one apply under way, from documents to objects: decode, merge, default, validate, keep."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from ..errors import Problem
from . import stamps
from .defaults import default_in_place
from .documents import Document, Origin
from .kinds import KIND_INFO, Kind, kind_of_document, removed_version
from .merge import merge, settle_service
from .ownership import ObjectId, settled_owners
from .redact import LAST_APPLIED
from .state import ObjectKey, State, identity_of, key_of
from .validation import Violation, decode, late_findings, validate, validate_update
from .validation.names import path_segment
from .views import Node, Pod, ReplicaSet

__all__ = ["Applied", "Apply"]

Doc = dict[str, Any]

#: namespaces that every cluster has
_SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did. `created` is part of `changed`; what was applied again as it stands is in neither."""

    changed: tuple[ObjectKey, ...] = ()
    created: tuple[ObjectKey, ...] = ()
    findings: tuple[Problem, ...] = ()
    ignored: tuple[ObjectKey, ...] = ()  # ("Certificate.cert-manager.io", "shop/tls")
    assumptions: tuple[str, ...] = ()


class Apply:
    """One apply under way: works on a copy of the tables, collects everything that is wrong."""

    def __init__(self, state: State, strict: bool | None, ip_families: tuple[str, ...], now: float):
        self.strict, self.ip_families, self.now = strict, ip_families, now
        self.state = state
        self.problems: list[Problem] = []
        self.findings: list[Problem] = []
        self.assumptions: list[str] = []
        self.created: dict[ObjectId, None] = {}
        self.changed: dict[ObjectId, None] = {}
        self.ignored: dict[ObjectId, None] = {}
        self.observed: list[ObjectId] = []
        self.origins: dict[ObjectId, Origin] = {}

    def take(self, document: Document) -> None:
        data, origin = document.data, document.origin
        info = kind_of_document(data)
        meta = data.get("metadata")
        observed = isinstance(meta, dict) and isinstance(meta.get("uid"), str) and meta["uid"] != ""
        refuse = self.strict is True or (self.strict is None and not observed)
        if info is None:
            self._ignore(data, origin, refuse)
            return
        clean, unknown, wrong = decode(data, info.name)
        label = _label(clean, info)
        for violation in wrong.found:
            self.problems.append(origin.problem(violation.message, violation.path, label))
        self._judge(unknown.found, origin, label, refuse)
        if wrong:
            return
        self._object(clean, info, origin, observed, refuse)

    def _object(self, clean: Doc, info: Kind, origin: Origin, observed: bool, refuse: bool) -> None:
        meta = clean.setdefault("metadata", {})
        if not observed:
            for stamp in ("uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields"):
                meta.pop(stamp, None)
        if info.namespaced:
            meta["namespace"] = meta.get("namespace") or "default"
        elif "namespace" in meta:
            del meta["namespace"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._generated(info.name, meta.get("namespace", ""), meta["generateName"])
        identity = identity_of(clean, info)
        label = f"{info.name} {key_of(identity)}"
        unnamed = path_segment(identity[2]) if identity[2] else ("",)
        if unnamed and not refuse:  # nothing can be kept under such a name
            said = "Required value: name or generateName is required"
            if identity[2]:
                said = f"Invalid value: {json.dumps(identity[2])}: {unnamed[0]}"
            self.problems.append(origin.problem(said, "metadata.name", label))
            return
        old = self.state.docs.get(identity)
        if old is not None and observed and old["metadata"]["uid"] != meta["uid"]:
            old = None  # another object of the same name: it replaces the one that stands
        given = None if observed else copy.deepcopy(clean)  # a dump shows whole objects, there is nothing to merge
        new = clean if old is None or observed else merge(old, self._last(identity, old), clean)
        standing = old if info.name == "Service" else None
        default_in_place(new, ip_families=self.ip_families if standing is None else ())
        if standing is not None:
            settle_service(new, standing)
        found = validate(new, info.name) if old is None else validate_update(new, old, info.name)
        if self._judge(found, origin, label, refuse):
            return
        self.findings.extend(origin.problem(v.message, v.path, label) for v in late_findings(new, info.name))
        try:
            changed = self.state.keep(identity, new, info, self.now)
        except msgspec.ValidationError as error:
            said, _, where = str(error).partition(" - at `$")
            self.problems.append(origin.problem(said, where.rstrip("`").lstrip("."), label))
            return
        self.origins[identity] = origin
        self.state.applied.pop(identity, None)
        if given is not None:
            self.state.applied[identity] = given
        if observed:
            self.observed.append(identity)
        if changed:
            self.changed[identity] = None
            if old is None:
                self.created[identity] = None

    def _judge(self, violations: Iterable[Violation], origin: Origin, label: str, refuse: bool) -> bool:
        """Put violations where they belong; whether they stop the object."""
        stopped = False
        for violation in violations:
            problem = origin.problem(violation.message, violation.path, label)
            (self.problems if refuse else self.findings).append(problem)
            stopped = stopped or refuse
        return stopped

    def _last(self, identity: ObjectId, old: Doc) -> Doc:
        """What was applied last: remembered, else as kubectl noted it."""
        found = self.state.applied.get(identity)
        if found is not None:
            return found
        note = (old["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        try:
            last = json.loads(note) if note else {}
        except ValueError:
            last = {}
        return last if isinstance(last, dict) else {}

    def _generated(self, kind: str, namespace: str, prefix: str) -> str:
        n = 0
        while True:
            name = prefix[:58] + stamps.suffix(kind, namespace, prefix, n)
            if (kind, namespace, name) not in self.state.docs and (kind, namespace, name) not in self.state.retired:
                return name
            n += 1

    def _ignore(self, data: Doc, origin: Origin, refuse: bool) -> None:
        meta = data.get("metadata")
        meta = meta if isinstance(meta, dict) else {}
        group, _, _ = data["apiVersion"].rpartition("/")
        name, namespace = str(meta.get("name") or meta.get("generateName") or ""), str(meta.get("namespace") or "")
        label = f"{data['kind']} {f'{namespace}/{name}' if namespace else name}".strip()
        if removed_version(data):
            now = KIND_INFO[data["kind"]].api_version
            said = f'no matches for kind "{data["kind"]}" in version "{data["apiVersion"]}": this release serves it in {now}'
            if self._judge([Violation("apiVersion", said)], origin, label, refuse):
                return
        if not name:
            self._judge([Violation("metadata.name", "Required value: name or generateName is required")], origin, label, refuse)
            if refuse:
                return
        identity = (f"{data['kind']}.{group}" if group else data["kind"], namespace, name)
        self.state.ignored[identity] = data
        self.ignored[identity] = None

    def done(self) -> Applied:
        """Finish: namespaces that are used, owners that were seen with their children. What came of it."""
        self._namespaces()
        pods = [v for v in self.state.views.values() if isinstance(v, Pod)]
        sets = [v for v in self.state.views.values() if isinstance(v, ReplicaSet)]
        nodes = [v.name for v in self.state.views.values() if isinstance(v, Node)]
        loaded = [self.state.views[i] for i in self.observed]
        self.state.settled.update(settled_owners(loaded, pods, sets, nodes))
        return Applied(
            changed=tuple((i[0], key_of(i)) for i in self.changed),
            created=tuple((i[0], key_of(i)) for i in self.created),
            findings=tuple(self.findings),
            ignored=tuple((i[0], key_of(i)) for i in self.ignored),
            assumptions=tuple(self.assumptions),
        )

    def _namespaces(self) -> None:
        """A real API server refuses an object in a namespace that does not exist; here it is made, and said."""
        used = [i[1] for i in (*self.changed, *self.ignored)]
        for namespace in self.state.add_namespaces(used, self.now):
            identity = ("Namespace", "", namespace)
            self.changed[identity] = self.created[identity] = None
            if namespace not in _SYSTEM_NAMESPACES:
                self.assumptions.append(f'namespace "{namespace}" is used but not declared: made it (an API server would refuse)')


def _label(document: Doc, info: Kind) -> str:
    meta = document.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    name, namespace = meta.get("name"), meta.get("namespace")
    if not isinstance(name, str):
        return info.name
    if not info.namespaced:
        return f"{info.name} {name}"
    return f"{info.name} {namespace if isinstance(namespace, str) and namespace else 'default'}/{name}"
