"""Secrets stay outside: values of Secrets and of environment variables are dropped when a document is read."""

from __future__ import annotations

import base64
import binascii
import copy
import json
from typing import Any

__all__ = ["LAST_APPLIED", "drop_secrets"]

#: kubectl's note of what was applied, which repeats all of it
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def drop_secrets(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Empty Secret values and drop the values of environment variables, in place. Returns what was wrong with them."""
    wrong: list[tuple[str, str]] = []
    if document.get("kind") == "Secret" and document.get("apiVersion") == "v1":
        for part in ("data", "stringData"):
            values = document.get(part)
            if not isinstance(values, dict):
                continue
            for key, value in values.items():
                if part == "data" and isinstance(value, str):
                    message = _bad_base64(value)
                    if message:
                        wrong.append((f"data[{key}]", message))
                if isinstance(value, str) or value is None:
                    values[key] = ""
                else:
                    go = {bool: "bool", int: "number", float: "number"}.get(type(value), "object")
                    wrong.append((f"{part}[{key}]", f"json: cannot unmarshal {go} into Go struct field Secret.{part} of type string"))
                    values[key] = ""
    else:
        _drop_env(document)
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        notes = metadata.get("annotations")
        if isinstance(notes, dict) and isinstance(notes.get(LAST_APPLIED), str):
            notes[LAST_APPLIED] = _redacted(notes[LAST_APPLIED])
    return wrong


def _bad_base64(text: str) -> str:
    plain = text.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        at = next((i for i, c in enumerate(plain) if c not in allowed), len(plain) - len(plain) % 4)
        return f"illegal base64 data at input byte {at}"
    return ""


def _pod_specs(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return []
    out = [spec] if document.get("kind") == "Pod" else []
    for steps in (("template", "spec"), ("jobTemplate", "spec", "template", "spec")):
        node: Any = spec
        for step in steps:
            node = node.get(step) if isinstance(node, dict) else None
        if isinstance(node, dict):
            out.append(node)
    return out


def _drop_env(document: dict[str, Any]) -> None:
    for spec in _pod_specs(document):
        for part in ("containers", "initContainers", "ephemeralContainers"):
            containers = spec.get(part)
            for container in containers if isinstance(containers, list) else ():
                env = container.get("env") if isinstance(container, dict) else None
                for variable in env if isinstance(env, list) else ():
                    if isinstance(variable, dict):
                        variable.pop("value", None)


def _redacted(text: str) -> str:
    """kubectl's copy of what was applied, with the same values dropped."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(value, dict):
        return ""
    inner = copy.deepcopy(value)
    drop_secrets(inner)
    return json.dumps(inner, separators=(",", ":"), sort_keys=True) + "\n"
