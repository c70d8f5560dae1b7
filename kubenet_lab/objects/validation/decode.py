"""Decoding as the API server does it: every field has a type, unknown fields are refused.

`fields.json` beside this module lists the fields of the modelled kinds and their types. "[T" is a list, "{T" a map.
Source: the OpenAPI definitions of the modelled release; sigs.k8s.io/json for the messages.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from .field import Errors

__all__ = ["decode", "fields"]

_INT_RANGE = {"int32": 1 << 31, "int64": 1 << 63}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)\Z", re.ASCII)
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)\Z", re.ASCII)
_SUFFIX = re.compile(r"(?:[numkMGTPE]|[KMGTPE]i|[eE][-+]?\d+)?\Z", re.ASCII)
_SCALARS = frozenset(("string", "bool", "int32", "int64", "float", "IntOrString", "Quantity", "Time", "MicroTime", "any", "bytes"))


@cache
def fields() -> dict[str, dict[str, str]]:
    """Type name -> field -> type."""
    table = json.loads(Path(__file__).with_name("fields.json").read_text(encoding="utf-8"))
    return {str(k): dict(v) for k, v in table.items()}


def decode(document: dict[str, Any], kind: str) -> tuple[dict[str, Any], Errors, Errors]:
    """The document as the API server would hold it, its unknown fields, and its fields of a wrong type.

    Null fields are dropped, whole floats become integers; unknown fields are kept where they stand. A field of a wrong
    type is kept too, so the result is only fit for use when the last list is empty.
    """
    table = fields()
    unknown, wrong = Errors(), Errors()
    clean = _struct(document, kind, table, "", kind, "", unknown, wrong)
    return clean, unknown, wrong


def _go_type(kind: str) -> str:
    if kind.startswith("["):
        return f"[]{_go_type(kind[1:])}"
    if kind.startswith("{"):
        return f"map[string]{_go_type(kind[1:])}"
    if kind == "bytes":
        return "[]uint8"
    if kind in ("Time", "MicroTime", "Quantity", "IntOrString") or kind in _SCALARS:
        return {"IntOrString": "intstr.IntOrString", "Quantity": "resource.Quantity", "Time": "v1.Time"}.get(kind, kind)
    return f"v1.{kind.rpartition('.')[2]}"


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _mismatch(value: Any, kind: str, path: str, owner: str, trail: str, wrong: Errors) -> Any:
    found = _json_type(value)
    if found == "number" and kind in ("int32", "int64"):
        found = f"number {value}"
    wrong.add(path, f"json: cannot unmarshal {found} into Go struct field {owner}.{trail} of type {_go_type(kind)}")
    return value


def _struct(
    value: dict[str, Any], kind: str, table: dict[str, dict[str, str]], path: str, owner: str, trail: str, unknown: Errors, wrong: Errors
) -> dict[str, Any]:
    known = table[kind]
    out: dict[str, Any] = {}
    owner = kind.rpartition(".")[2]
    for name, inner in value.items():
        where = f"{path}.{name}" if path else name
        expected = known.get(name)
        if expected is None:
            unknown.add(where, f'strict decoding error: unknown field "{where}"')
            out[name] = inner
        elif inner is not None:
            out[name] = _value(inner, expected, table, where, owner, f"{trail}.{name}" if trail else name, unknown, wrong)
    return out


def _value(
    value: Any, kind: str, table: dict[str, dict[str, str]], path: str, owner: str, trail: str, unknown: Errors, wrong: Errors
) -> Any:
    if kind == "string":
        return value if type(value) is str else _mismatch(value, kind, path, owner, trail, wrong)
    if kind[0] == "[":
        if type(value) is not list:
            return _mismatch(value, kind, path, owner, trail, wrong)
        inner = kind[1:]
        return [
            _zero(inner) if v is None else _value(v, inner, table, f"{path}[{i}]", owner, trail, unknown, wrong)
            for i, v in enumerate(value)
        ]
    if kind[0] == "{":
        if type(value) is not dict:
            return _mismatch(value, kind, path, owner, trail, wrong)
        inner = kind[1:]
        out = {}
        for key, v in value.items():
            dotted = f"{path}[{key}]" if "." in key or "/" in key else f"{path}.{key}"
            out[key] = _zero(inner) if v is None else _value(v, inner, table, dotted, owner, trail, unknown, wrong)
        return out
    if kind in table:
        if type(value) is not dict:
            return _mismatch(value, kind, path, owner, trail, wrong)
        return _struct(value, kind, table, path, owner, trail, unknown, wrong)
    return _scalar(value, kind, path, owner, trail, wrong)


def _zero(kind: str) -> Any:
    if kind in ("string", "bytes"):
        return ""
    return [] if kind[0] == "[" else {} if kind not in _SCALARS else None


def _scalar(value: Any, kind: str, path: str, owner: str, trail: str, wrong: Errors) -> Any:
    if kind == "any":
        return value
    if kind in _INT_RANGE:
        if type(value) is float and value.is_integer() and abs(value) < 1 << 53:
            value = int(value)
        if type(value) is int and -_INT_RANGE[kind] <= value < _INT_RANGE[kind]:
            return value
    elif kind == "bool":
        if type(value) is bool:
            return value
    elif kind == "bytes":
        if type(value) is str:
            return value
    elif kind == "float":
        if type(value) in (int, float):
            return value
    elif kind == "IntOrString":
        if type(value) is float and value.is_integer() and abs(value) < 1 << 53:
            value = int(value)
        if type(value) is str or (type(value) is int and -_INT_RANGE["int32"] <= value < _INT_RANGE["int32"]):
            return value
        if type(value) in (int, float):
            return _mismatch(value, "int32", path, owner, trail, wrong)
    elif kind == "Quantity":
        return _quantity(value, path, owner, trail, wrong)
    elif kind in ("Time", "MicroTime") and type(value) is str:
        if not _TIME.match(value):
            wrong.add(path, f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse it')
        return value
    return _mismatch(value, kind, path, owner, trail, wrong)


def _quantity(value: Any, path: str, owner: str, trail: str, wrong: Errors) -> Any:
    if type(value) in (int, float):
        return value if math.isfinite(value) else _mismatch(value, "Quantity", path, owner, trail, wrong)
    if type(value) is not str:
        return _mismatch(value, "Quantity", path, owner, trail, wrong)
    found = _QUANTITY.match(value)
    if not found or found[1].count(".") > 1 or not any(c.isdigit() for c in found[1]):
        wrong.add(path, "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    elif not _SUFFIX.match(found[2]):
        wrong.add(path, "unable to parse quantity's suffix")
    return value
