"""`State`: the tables behind a store, and the stamps that the API server puts on what it keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from . import stamps
from .defaults import default_in_place
from .kinds import KIND_INFO, Kind
from .ownership import Gap, ObjectId
from .views import Object

__all__ = ["ObjectKey", "State", "identity_of", "key_of"]

ObjectKey = tuple[str, str]  # kind and "ns/name"
Doc = dict[str, Any]

#: kinds whose metadata.generation counts changes of the spec
_COUNTED = frozenset((
    "Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "NetworkPolicy", "Ingress", "IngressClass",
    "EndpointSlice",
))  # fmt: skip

_VOLATILE = ("resourceVersion", "generation", "managedFields")


def identity_of(document: Doc, info: Kind) -> ObjectId:
    meta = document["metadata"]
    return info.name, str(meta.get("namespace") or "") if info.namespaced else "", str(meta.get("name") or "")


def key_of(identity: ObjectId) -> str:
    return f"{identity[1]}/{identity[2]}" if identity[1] else identity[2]


def _rest(document: Doc) -> Doc:
    return {**document, "metadata": {k: v for k, v in document["metadata"].items() if k not in _VOLATILE}}


def _view(document: Doc, info: Kind) -> Object:
    if info.name == "Secret":
        document = {**document, "keys": sorted(document.get("data") or {})}
    view: Object = msgspec.convert(document, type=info.view)
    return view


@dataclass(slots=True)
class State:
    """The tables of a store. Copied before a change, so a change that fails leaves no trace."""

    docs: dict[ObjectId, Doc] = field(default_factory=dict)
    views: dict[ObjectId, Object] = field(default_factory=dict)
    ignored: dict[ObjectId, Doc] = field(default_factory=dict)
    applied: dict[ObjectId, Doc] = field(default_factory=dict)  # what people applied last
    incarnations: dict[ObjectId, int] = field(default_factory=dict)
    settled: dict[ObjectId, Gap] = field(default_factory=dict)
    retired: frozenset[ObjectId] = frozenset()
    revision: int = 0

    def copy(self) -> State:
        return State(
            dict(self.docs), dict(self.views), dict(self.ignored), dict(self.applied), dict(self.incarnations), dict(self.settled),
            self.retired, self.revision,
        )  # fmt: skip

    def keep(self, identity: ObjectId, new: Doc, info: Kind, now: float) -> bool:
        """Stamp a document and put it in place; False if nothing but stamps would change. Raises msgspec.ValidationError.

        `now` is the lab time in seconds.
        """
        kind, namespace, name = identity
        old = self.docs.get(identity)
        meta = new["metadata"]
        stands = old is not None and meta.get("uid") in (None, "", old["metadata"]["uid"])
        if old is not None and stands:
            before = old["metadata"]
            meta["uid"], meta["creationTimestamp"] = before["uid"], before["creationTimestamp"]
            if _rest(new) == _rest(old):
                return False
            spec_changed = {k: v for k, v in new.items() if k not in ("metadata", "status")} != {
                k: v for k, v in old.items() if k not in ("metadata", "status")
            }
            if kind in _COUNTED:
                meta["generation"] = int(before.get("generation") or 1) + (1 if spec_changed else 0)
                if spec_changed:
                    self.settled.pop(identity, None)
            self.revision += 1
            meta["resourceVersion"] = str(self.revision)
        else:
            if not meta.get("uid"):
                count = self.incarnations.get(identity, 0)
                self.incarnations[identity] = count + 1
                meta["uid"] = stamps.uid(kind, namespace, name, count)
                meta.pop("resourceVersion", None)
                if kind in _COUNTED:
                    meta["generation"] = 1
            meta.setdefault("creationTimestamp", stamps.timestamp(now))
            version = meta.get("resourceVersion")
            if isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 20:
                self.revision = max(self.revision, int(version))
            else:
                self.revision += 1
                meta["resourceVersion"] = str(self.revision)
        view = _view(new, info)
        self.docs[identity], self.views[identity] = new, view
        return True

    def add_namespaces(self, used: Iterable[str], now: float) -> tuple[str, ...]:
        """Make the namespaces among `used` that do not stand yet. Returns their names, sorted."""
        made = tuple(n for n in sorted(set(used)) if n and ("Namespace", "", n) not in self.docs)
        for name in made:
            new: Doc = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            default_in_place(new)
            self.keep(("Namespace", "", name), new, KIND_INFO["Namespace"], now)
        return made

    def remove(self, doomed: list[ObjectId], *, cascade: bool) -> tuple[ObjectKey, ...]:
        """Delete objects, then what they own, until nothing more falls."""
        gone: list[ObjectKey] = []
        while doomed:
            uids = set()
            emptied = {i[2] for i in doomed if i[0] == "Namespace"}
            for identity in sorted(doomed):
                document = self.docs.pop(identity)
                uids.add(document["metadata"].get("uid"))
                for table in (self.views, self.applied, self.settled):
                    table.pop(identity, None)
                gone.append((identity[0], key_of(identity)))
            self.retired |= frozenset(doomed)
            for other in [i for i in self.ignored if i[1] in emptied]:
                del self.ignored[other]
            if not cascade:
                break
            uids.discard(None)
            doomed = [
                i
                for i, view in self.views.items()
                if i[1] in emptied or any(r.uid in uids for r in view.metadata.owner_references)
            ]  # fmt: skip
        return tuple(gone)
