"""Network configurations: the conflist as libcni reads it.

Source: containernetworking/cni SPEC.md 1.1.0 section 1, libcni/conf.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .result import VERSIONS, CniError, newest, version_key

__all__ = ["CONF_DIR", "NetworkList"]

#: where a node's configurations stand; the first in order of name is the one that runtimes use
CONF_DIR = "/etc/cni/net.d"


def _bad(message: str) -> CniError:
    return CniError(7, f"error parsing configuration list: {message}")


def _bool(raw: Mapping[str, Any], key: str) -> bool:
    value = raw.get(key, False)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if not isinstance(value, bool):
        raise _bad(f"invalid value {value!r} for {key}")
    return value


@dataclass(frozen=True, slots=True)
class NetworkList:
    """A conflist: what stands in /etc/cni/net.d. `cni_version` is the highest that both sides know."""

    name: str
    cni_version: str
    plugins: tuple[Mapping[str, Any], ...]
    disable_check: bool = False
    disable_gc: bool = False
    load_only_inlined_plugins: bool = False

    @classmethod
    def parse(cls, source: str | Mapping[str, Any]) -> NetworkList:
        """From JSON text or a mapping. Raises CniError: 6 for bad JSON, 7 for a bad configuration, 1 for unknown versions."""
        if isinstance(source, str):
            try:
                raw = json.loads(source)
            except ValueError as e:
                raise CniError(6, "error parsing configuration list", str(e)) from None
        else:
            raw = source
        if not isinstance(raw, Mapping):
            raise _bad("expected an object")
        if "name" not in raw:
            raise _bad("no name")
        name = raw["name"]
        if not isinstance(name, str):
            raise _bad(f"invalid name type {type(name).__name__}")
        plugins = raw.get("plugins", [] if _bool(raw, "loadOnlyInlinedPlugins") else None)
        if "plugins" not in raw:
            raise _bad("no 'plugins' key")
        if not isinstance(plugins, list):
            raise _bad(f"invalid 'plugins' type {type(plugins).__name__}")
        if not plugins:
            raise _bad("no plugins in list")
        for i, p in enumerate(plugins):
            if not isinstance(p, Mapping):
                raise _bad(f"failed to parse plugin config {i}: expected an object")
            if not isinstance(p.get("type"), str) or not p["type"]:
                raise _bad(f"failed to parse plugin config {i}: missing 'type'")
        version = cls._version(raw)
        flags = (_bool(raw, "disableCheck"), _bool(raw, "disableGC"), _bool(raw, "loadOnlyInlinedPlugins"))
        return cls(name, version, tuple(plugins), *flags)

    @staticmethod
    def _version(raw: Mapping[str, Any]) -> str:
        single = raw.get("cniVersion", "")
        if not isinstance(single, str):
            raise _bad(f"invalid cniVersion type {type(single).__name__}")
        several = raw.get("cniVersions", [])
        if not isinstance(several, list) or not all(isinstance(v, str) for v in several):
            raise _bad("invalid type for cniVersions: expected a list of strings")
        known = [v for v in [*several, *([single] if single else [])] if version_key(v) <= version_key(VERSIONS[-1])]
        if not known and single:
            supported = " ".join(json.dumps(v) for v in VERSIONS)
            raise CniError(1, "incompatible CNI versions", f'config is "{single}", plugin supports [{supported}]')
        return newest(known) if known else "0.1.0"

    def to_dict(self) -> dict[str, Any]:
        flags = {"disableCheck": self.disable_check, "disableGC": self.disable_gc, "loadOnlyInlinedPlugins": self.load_only_inlined_plugins}
        head = {"cniVersion": self.cni_version, "name": self.name, **{k: v for k, v in flags.items() if v}}
        return {**head, "plugins": [dict(p) for p in self.plugins]}

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), indent=2)
