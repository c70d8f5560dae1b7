"""The API server's validation, case by case from its own tests."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.errors import LoadError
from kubenet_lab.objects import Store

TABLE = yaml.safe_load((Path(__file__).parent.parent / "conformance" / "objects" / "validation.yaml").read_text(encoding="utf-8"))
CASES = TABLE["cases"]


def steps(path: str) -> list[str | int]:
    return [int(s[1:-1]) if s.startswith("[") else s for s in re.findall(r"\[\d+\]|[^.\[\]]+", path)]


def put(document: Any, path: str, value: Any) -> None:
    *parents, last = steps(path)
    for step in parents:
        document = document.setdefault(step, {}) if isinstance(document, dict) else document[step]
    document[last] = value


def drop(document: Any, path: str) -> None:
    *parents, last = steps(path)
    for step in parents:
        document = document[step]
    del document[last]


def refused(document: Any) -> list[tuple[str, str]]:
    try:
        Store().apply(document)
    except LoadError as error:
        return [(p.path, f"{p.path}: {p.message}" if p.path else p.message) for p in error.problems]
    return []


def build(case: dict[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(TABLE["bases"][case["base"]])
    for path, value in case.get("set", {}).items():
        put(document, path, str(value) if path == "metadata.name" and case.get("quote") else value)
    for path in case.get("unset", ()):
        drop(document, path)
    return document


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c['base']}-{c['source'][:50]}" for i, c in enumerate(CASES)])
def test_table(case: dict[str, Any]) -> None:
    found = refused(build(case))
    if "errors" in case:
        assert [message for _, message in found] == case["errors"]
    if "paths" in case:
        assert [path for path, _ in found] == case["paths"]
    if "only" in case:
        assert set(case["only"]) <= {message for _, message in found}


@pytest.mark.parametrize("kind", sorted(TABLE["bases"]))
def test_bases_are_valid(kind: str) -> None:
    assert refused(TABLE["bases"][kind]) == []


def test_every_case_names_its_source_and_expects_something() -> None:
    assert all(c["source"] and {"errors", "paths", "only"} & set(c) for c in CASES)
    assert len(CASES) >= 200
