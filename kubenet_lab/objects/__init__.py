"""Kubernetes objects: documents kept whole, typed views over them, defaults, validation, selectors, controllers and the store."""

from __future__ import annotations

from .defaults import defaulted
from .documents import Document, Origin, read
from .dump import dump
from .examples import example_path, examples
from .kinds import KIND_INFO, Kind, kind_of, split_key
from .ownership import active, controller_of, is_owned_by, owner_reference
from .scheduling import schedule
from .selectors import (
    SelectorError,
    describe,
    describe_requirement,
    failing_terms,
    matches,
    matches_labels,
    matches_text,
    parse,
    requirement_matches,
    requirements,
)
from .snapshot import Snapshot
from .stamps import EPOCH, timestamp
from .status import pending, running, scale, with_ready, workload_statuses
from .store import Applied, Changes, ObjectKey, Store
from .workloads import CONTROLLERS, Controller, reconcile

__all__ = [
    "CONTROLLERS", "EPOCH", "KIND_INFO", "Applied", "Changes", "Controller", "Document", "Kind", "ObjectKey", "Origin", "SelectorError",
    "Snapshot", "Store", "active", "controller_of", "defaulted", "describe", "describe_requirement", "dump", "example_path", "examples",
    "failing_terms", "is_owned_by", "kind_of", "matches", "matches_labels", "matches_text", "owner_reference", "parse", "pending", "read",
    "reconcile", "requirement_matches", "requirements", "running", "scale", "schedule", "split_key", "timestamp", "with_ready",
    "workload_statuses",
]  # fmt: skip
