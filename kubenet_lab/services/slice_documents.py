"""EndpointSlice documents: names, labels and owners as the controllers write them.

Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/utils.go; generateName: staging/src/k8s.io/apiserver/pkg/storage/names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from itertools import count
from typing import Any

__all__ = ["HEADLESS", "MANAGED_BY", "RESERVED", "SERVICE_NAME", "TRIGGER_TIME", "generated_name", "owner", "slice_document"]

Document = dict[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
RESERVED = (SERVICE_NAME, MANAGED_BY, HEADLESS)  # never copied from the Service's own labels
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # of names that the API server generates


def generated_name(base: str, what: str, taken: Collection[str] = ()) -> str:
    """`base` and five characters, as generateName gives them; the characters are a hash of `what` and of how often they were taken."""
    for turn in count():
        number, suffix = int.from_bytes(sha256(f"{what}|{turn}".encode()).digest(), "big"), ""
        for _ in range(5):
            number, i = divmod(number, len(NAME_ALPHABET))
            suffix += NAME_ALPHABET[i]
        if (name := base[:58] + suffix) not in taken:
            return name
    raise AssertionError("count() has no end")


def owner(kind: str, name: str, uid: str) -> list[Document]:
    reference: Document = {"apiVersion": "v1", "kind": kind, "name": name, "controller": True, "blockOwnerDeletion": True}
    if uid:
        reference["uid"] = uid
    return [reference]


def slice_document(
    namespace: str, name: str, prefix: str, labels: Mapping[str, str], owners: list[Document], address_type: str,
    endpoints: Sequence[Document], ports: Sequence[Document], annotations: Mapping[str, str] | None = None,
) -> Document:  # fmt: skip
    metadata: Document = {"name": name, "generateName": prefix, "namespace": namespace, "labels": dict(labels), "ownerReferences": owners}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": address_type,
        "endpoints": list(endpoints),
        "ports": list(ports),
    }
