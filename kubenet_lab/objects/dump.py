"""A store as `kubectl get ... -o yaml` shows a cluster, with the noise of a real one.

Source: what kubectl 1.34 prints: one List, items by kind, fields of each object in alphabetical order, managedFields of the
managers that write such objects, kubectl's note of the last applied configuration.
"""

from __future__ import annotations

import json
from typing import Any

from .kinds import KIND_INFO
from .store import Store
from .views import Object
from .yamltext import dump_yaml

__all__ = ["dump"]

Doc = dict[str, Any]

_KINDS = (
    "Namespace", "Node", "IngressClass", "ConfigMap", "Secret", "Service", "Endpoints", "EndpointSlice", "Deployment", "ReplicaSet",
    "StatefulSet", "DaemonSet", "CronJob", "Job", "Pod", "Ingress", "NetworkPolicy",
)  # fmt: skip

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: who writes objects of a kind that nobody applied
_MANAGERS = {"Pod": "kube-controller-manager", "ReplicaSet": "kube-controller-manager", "Endpoints": "kube-controller-manager"}


def dump(store: Store) -> str:
    """The store's objects as one YAML List. Loading it gives the same objects, with the same addresses, names and uids."""
    snapshot = store.snapshot()
    objects = [o for kind in _KINDS for o in snapshot.list(KIND_INFO[kind].view)]
    documents = [_noisy(store, o, snapshot.document(o.kind, o.name, o.namespace) or {}) for o in objects]
    documents += [store.document(kind, key) for kind, key in store.ignored]
    return dump_yaml(_sorted({"apiVersion": "v1", "items": documents, "kind": "List", "metadata": {"resourceVersion": ""}}))


def _sorted(value: Any) -> Any:
    """Fields in kubectl's order."""
    if isinstance(value, dict):
        return {k: _sorted(value[k]) for k in sorted(value)}
    if isinstance(value, list):
        return [_sorted(v) for v in value]
    return value


def _noisy(store: Store, view: Object, document: Doc) -> Doc:
    out = json.loads(json.dumps(document))
    meta = out["metadata"]
    given = store.last_applied(view.kind, view.key)
    if given is not None:
        note = json.loads(json.dumps(given))
        note["metadata"].setdefault("annotations", {})
        meta.setdefault("annotations", {})[_LAST_APPLIED] = json.dumps(note, separators=(",", ":"), sort_keys=True) + "\n"
    when = meta.get("creationTimestamp")
    managers = []
    manager = "kubectl-client-side-apply" if given is not None else _MANAGERS.get(view.kind, "kube-apiserver")
    body = {k: v for k, v in document.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    managers.append(_entry(manager, "Update", document["apiVersion"], when, body))
    if document.get("status") and view.kind != "Namespace":
        writer = "kubelet" if view.kind in ("Pod", "Node") else "kube-controller-manager"
        managers.append({**_entry(writer, "Update", document["apiVersion"], when, {"status": document["status"]}), "subresource": "status"})
    meta["managedFields"] = managers
    return dict(out)


def _entry(manager: str, operation: str, api_version: str, when: Any, fields: Doc) -> Doc:
    return {
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": _fields(fields, 0),
        "manager": manager,
        "operation": operation,
        "time": when,
    }


def _fields(value: Any, depth: int) -> Doc:
    """The set of fields in the form of managedFields, to the depth that shows what it is."""
    if not isinstance(value, dict) or depth > 3:
        return {}
    return {f"f:{k}": _fields(v, depth + 1) for k, v in value.items()}
