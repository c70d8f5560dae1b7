"""Kinds: the API's names for them, and the spellings that kubectl takes.

Source: `kubectl api-resources` of the modelled release (group, plural, short names, scope).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import NotFound
from .views import KINDS, Object

__all__ = ["KIND_INFO", "Kind", "kind_of", "kind_of_document", "removed_version", "split_key"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One modelled kind. `group` is "" for the core group."""

    name: str
    group: str
    version: str
    plural: str
    short: tuple[str, ...]
    namespaced: bool
    view: type[Object]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def _kind(name: str, group: str, plural: str, *short: str) -> Kind:
    view, namespaced = KINDS[name]
    return Kind(name, group, "v1", plural, short, namespaced, view)


#: every modelled kind, by name
KIND_INFO: dict[str, Kind] = {
    k.name: k
    for k in (
        _kind("Namespace", "", "namespaces", "ns"),
        _kind("Node", "", "nodes", "no"),
        _kind("Pod", "", "pods", "po"),
        _kind("Service", "", "services", "svc"),
        _kind("ConfigMap", "", "configmaps", "cm"),
        _kind("Secret", "", "secrets"),
        _kind("Endpoints", "", "endpoints", "ep"),
        _kind("Deployment", "apps", "deployments", "deploy"),
        _kind("ReplicaSet", "apps", "replicasets", "rs"),
        _kind("StatefulSet", "apps", "statefulsets", "sts"),
        _kind("DaemonSet", "apps", "daemonsets", "ds"),
        _kind("Job", "batch", "jobs"),
        _kind("CronJob", "batch", "cronjobs", "cj"),
        _kind("EndpointSlice", "discovery.k8s.io", "endpointslices"),
        _kind("NetworkPolicy", "networking.k8s.io", "networkpolicies", "netpol"),
        _kind("Ingress", "networking.k8s.io", "ingresses", "ing"),
        _kind("IngressClass", "networking.k8s.io", "ingressclasses"),
    )
}

_SPELLINGS: dict[str, str] = {}
for _k in KIND_INFO.values():
    for _text in (_k.name.lower(), _k.plural, *_k.short):
        _SPELLINGS[_text] = _k.name
        if _k.group:
            _SPELLINGS[f"{_text}.{_k.group}"] = _k.name
            _SPELLINGS[f"{_text}.{_k.version}.{_k.group}"] = _k.name

#: groups that served a modelled kind once and do so no more (deprecation guide: 1.16, 1.22, 1.25)
_FORMER_GROUPS: dict[str, tuple[str, ...]] = {
    "extensions": ("Deployment", "DaemonSet", "ReplicaSet", "NetworkPolicy", "Ingress"),
}


def kind_of(text: str) -> str:
    """The kind that a kubectl spelling means: `"deploy"`, `"svc"`, `"networkpolicies"`, `"Pod"`. Raises NotFound."""
    found = _SPELLINGS.get(text.strip().lower())
    if found is None:
        raise NotFound("kind", text, KIND_INFO)
    return found


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name) of "ns/name", or of "name" for a kind without a namespace."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def kind_of_document(document: Mapping[str, Any]) -> Kind | None:
    """The modelled kind of a document, by group and kind: Calico's NetworkPolicy or Knative's Service are other kinds."""
    info = KIND_INFO.get(str(document.get("kind")))
    if info is None or document.get("apiVersion") != info.api_version:
        return None
    return info


def removed_version(document: Mapping[str, Any]) -> bool:
    """Whether a modelled kind is named in a version that the modelled release does not serve (`extensions/v1beta1` Ingress)."""
    kind, api_version = str(document.get("kind")), str(document.get("apiVersion"))
    info = KIND_INFO.get(kind)
    if info is None or api_version == info.api_version:
        return False
    group, _, _ = api_version.rpartition("/")
    return group == info.group or kind in _FORMER_GROUPS.get(group, ())
