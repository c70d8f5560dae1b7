"""Defaults, field by field from the API server's own tests."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.objects import defaulted

TABLE = yaml.safe_load((Path(__file__).parent.parent / "conformance" / "objects" / "defaults.yaml").read_text(encoding="utf-8"))


def at(document: Any, path: str) -> Any:
    for step in re.findall(r"\[\d+\]|[^.\[\]]+", path):
        key = int(step[1:-1]) if step.startswith("[") else step
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int) and key < len(document):
            document = document[key]
        else:
            return None
    return document


@pytest.mark.parametrize("case", TABLE["cases"], ids=[c["source"][:60] for c in TABLE["cases"]])
def test_table(case: dict[str, Any]) -> None:
    before = copy.deepcopy(case["given"])
    stored = defaulted(case["given"], ip_families=case.get("families", ["IPv4"]))
    assert case["given"] == before, "the argument was changed"
    assert {path: at(stored, path) for path in case["stored"]} == case["stored"]
    assert defaulted(stored, ip_families=case.get("families", ["IPv4"])) == stored, "defaulting twice is defaulting once"


@pytest.mark.parametrize("kind", ["Pod", "Service", "Deployment", "Namespace", "NetworkPolicy", "Ingress", "ConfigMap", "Job", "Endpoints"])
def test_unknown_fields_stay(kind: str) -> None:
    document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "x": 1}, "spec": {"y": {"z": [1]}}, "extra": True}
    stored = defaulted(document)
    assert stored["metadata"]["x"] == 1 and stored["spec"]["y"] == {"z": [1]} and stored["extra"] is True


def test_kinds_that_are_not_modelled_are_left_alone() -> None:
    assert defaulted({"apiVersion": "v1", "kind": "LimitRange"}) == {"apiVersion": "v1", "kind": "LimitRange"}
