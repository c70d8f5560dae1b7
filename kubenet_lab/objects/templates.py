"""From a pod template to pods: hashes, names, owner references, and the pods of a snapshot by their owners."""

from __future__ import annotations

import copy
import json
from typing import Any

from .defaults import pod_template_defaults
from .ownership import active, controller_of, is_owned_by, owner_reference
from .selectors import matches
from .snapshot import Snapshot
from .stamps import safe_encode, suffix
from .views import Object, Pod, Workload

__all__ = ["HASH_LABEL", "PodIndex", "comparable", "fresh_name", "gap_of", "pod_of", "template_hash", "template_of"]

Doc = dict[str, Any]

HASH_LABEL = "pod-template-hash"
_NAME_LIMIT = 58  # of a generateName's base: 63 less the suffix


def template_hash(template: Doc) -> str:
    """A pod template's hash as names carry it: 32 bits of FNV-1a, printed, in the safe alphabet.

    The form is the controllers'; the value is the lab's own, since theirs depends on Go's memory layout.
    """
    value = 2166136261
    for byte in json.dumps(template, sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return safe_encode(str(value))


def comparable(template: Doc) -> Doc:
    """A template as two of them are compared: defaulted, without the hash label (EqualIgnoreHash)."""
    out = copy.deepcopy(template)
    pod_template_defaults(out.setdefault("spec", {}))
    meta = out.get("metadata") or {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != HASH_LABEL}
    out["metadata"] = {"labels": labels, "annotations": meta.get("annotations") or {}}
    return out


def template_of(snapshot: Snapshot, owner: Object) -> Doc:
    document = snapshot.document(owner.kind, owner.name, owner.namespace) or {}
    return copy.deepcopy((document.get("spec") or {}).get("template") or {})


def fresh_name(snapshot: Snapshot, kind: str, namespace: str, base: str, seed: str, taken: set[str]) -> str:
    """A generated name that never was used: base and five letters."""
    n = 0
    while True:
        name = f"{base[:_NAME_LIMIT]}{suffix(kind, namespace, seed, n)}"
        if name not in taken and (kind, namespace, name) not in snapshot.retired:
            taken.add(name)
            return name
        n += 1


def pod_of(owner: Object, template: Doc, name: str, **labels: str) -> Doc:
    meta = template.get("metadata") or {}
    metadata: Doc = {"name": name, "namespace": owner.namespace}
    for part in ("labels", "annotations"):
        if meta.get(part):
            metadata[part] = dict(meta[part])
    if labels:
        metadata["labels"] = {**metadata.get("labels", {}), **labels}
    metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(template.get("spec") or {})}


class PodIndex:
    """The pods of a snapshot by controller, and those without one by namespace."""

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self.owned: dict[tuple[str, str, str], list[Pod]] = {}
        self.orphans: dict[str, list[Pod]] = {}
        self.names: dict[str, set[str]] = {}
        for pod in snapshot.list(Pod):
            self.names.setdefault(pod.namespace, set()).add(pod.name)
            found = controller_of(pod.metadata)
            if found is None:
                self.orphans.setdefault(pod.namespace, []).append(pod)
            else:
                self.owned.setdefault((found[0], pod.namespace, found[1]), []).append(pod)

    def of(self, owner: Object) -> list[Pod]:
        return [p for p in self.owned.get((owner.kind, owner.namespace, owner.name), ()) if is_owned_by(p, owner) and active(p)]

    def adopted(self, owner: Workload) -> list[Doc]:
        """Pods without a controller that the selector selects: the controller takes them over."""
        out = []
        for pod in self.orphans.get(owner.namespace, ()):
            if active(pod) and matches(owner.spec.selector, pod.labels):
                document = copy.deepcopy(self.snapshot.document("Pod", pod.name, pod.namespace) or {})
                references = document["metadata"].setdefault("ownerReferences", [])
                references.append(owner_reference(owner))
                out.append(document)
        return out

    def taken(self, namespace: str) -> set[str]:
        return self.names.setdefault(namespace, set())


def gap_of(snapshot: Snapshot, owner: Object) -> int:
    gap = snapshot.settled.get((owner.kind, owner.namespace, owner.name), 0)
    return gap if isinstance(gap, int) else 0
