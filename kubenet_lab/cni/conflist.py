"""Network configurations: the conflist as libcni reads it, and what is wrong with one, line by line.

Source: containernetworking/cni SPEC.md 1.1.0 section 1, libcni/conf.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import NotModelled, Problem
from .contract import Plugin
from .decode import mistakes
from .json_lines import Path, find_value, line_of, lines
from .result import VERSIONS, CniError, newest, version_key

__all__ = ["CONF_DIR", "NetworkList", "problems"]

#: where a node's configurations stand; the first in order of name is the one that runtimes use
CONF_DIR = "/etc/cni/net.d"


class _Bad(CniError):
    """A configuration that libcni refuses; `path` is the place in it."""

    def __init__(self, message: str, *path: str | int):
        super().__init__(7, f"error parsing configuration list: {message}")
        self.path: Path = path


def _go_type(value: Any) -> str:
    """Go's name of the type of a decoded JSON value."""
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "float64", float: "float64", type(None): "<nil>", list: "[]interface {}"}.get(
        type(value), "map[string]interface {}"
    )


def _bool(raw: Mapping[str, Any], key: str) -> bool:
    value = raw.get(key, False)
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise _Bad(f"invalid type {_go_type(value)} for {key}", key)
    if value.lower() not in ("true", "false"):
        raise _Bad(f"invalid value {json.dumps(value.lower())} for {key}", key)
    return value.lower() == "true"


def read_json(source: str) -> Any:
    """A JSON text. Raises CniError with the line."""
    try:
        return json.loads(source, parse_constant=_refuse)
    except ValueError as e:
        line = getattr(e, "lineno", 0)
        where = f": line {line} column {getattr(e, 'colno', 0)}" if line else ""
        error = CniError(6, f"error parsing configuration list: {getattr(e, 'msg', e)}{where}")
        error.line = line or None
        raise error from None
    except RecursionError:
        raise CniError(6, "error parsing configuration list: exceeded max depth") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


@dataclass(frozen=True, slots=True)
class NetworkList:
    """A conflist: what stands in /etc/cni/net.d. `cni_version` is the highest that both sides know; `text` is the source."""

    name: str
    cni_version: str
    plugins: tuple[Mapping[str, Any], ...]
    disable_check: bool = False
    disable_gc: bool = False
    load_only_inlined_plugins: bool = False
    text: str = field(default="", repr=False, compare=False)

    @classmethod
    def parse(cls, source: str | Mapping[str, Any], others: Mapping[str, str] | None = None) -> NetworkList:
        """From JSON text or a mapping. `others`: {file name: text} of single plugins in the folder named as the network, which
        come after those of the list unless it sets loadOnlyInlinedPlugins.

        Raises CniError, with `line` where the source is a text: 6 for bad JSON, 7 for a bad configuration.
        """
        raw = read_json(source) if isinstance(source, str) else source
        try:
            return cls._read(raw, source if isinstance(source, str) else "", others or {})
        except _Bad as e:
            if isinstance(source, str):
                e.line = line_of(lines(source), e.path)
            raise

    @classmethod
    def _read(cls, raw: Any, text: str, others: Mapping[str, str]) -> NetworkList:
        if not isinstance(raw, Mapping):
            raise _Bad(f"json: cannot unmarshal {_word(raw)} into Go value of type map[string]interface {{}}")
        if "name" not in raw:
            raise _Bad("no name")
        name = raw["name"]
        if not isinstance(name, str):
            raise _Bad(f"invalid name type {_go_type(name)}", "name")
        version = cls._version(raw) or "0.1.0"
        check, gc, only = (_bool(raw, k) for k in ("disableCheck", "disableGC", "loadOnlyInlinedPlugins"))
        plugins = cls._plugins(raw, only)
        if not only:
            for file, source in sorted(others.items()):
                plugins.append(_one(read_json(source), f"error parsing {file}", ()))
        if not plugins:
            raise _Bad(f"no plugin configs found: no 'plugins' key, and nothing in {CONF_DIR}/{name}")
        return cls(name, version, tuple(plugins), check, gc, only, text)

    @staticmethod
    def _plugins(raw: Mapping[str, Any], only: bool) -> list[Mapping[str, Any]]:
        if "plugins" not in raw:
            if only:
                raise _Bad("`loadOnlyInlinedPlugins` is true, and no 'plugins' key", "loadOnlyInlinedPlugins")
            return []
        plugins = raw["plugins"]
        if not isinstance(plugins, list | tuple):
            raise _Bad(f"invalid 'plugins' type {_go_type(plugins)}", "plugins")
        if not plugins:
            raise _Bad("no plugins in list", "plugins")
        return [_one(p, f"failed to parse plugin config {i}", ("plugins", i)) for i, p in enumerate(plugins)]

    @staticmethod
    def _version(raw: Mapping[str, Any]) -> str:
        single = raw.get("cniVersion", "")
        if not isinstance(single, str):
            raise _Bad(f"invalid cniVersion type {_go_type(single)}", "cniVersion")
        if "cniVersions" not in raw:
            return single
        several = raw["cniVersions"]
        if not isinstance(several, list | tuple):
            raise _Bad(f"invalid type for cniVersions: {_go_type(several)}", "cniVersions")
        known = []
        for i, v in enumerate(several):
            if not isinstance(v, str):
                raise _Bad(f"invalid type for cniVersions index {i}: {_go_type(v)}", "cniVersions", i)
            if _key(v, f"invalid cniVersions entry {v} at index {i}", "cniVersions", i) <= version_key(VERSIONS[-1]):
                known.append(v)
        if single and _key(single, f"invalid cniVersion {single}", "cniVersion") <= version_key(VERSIONS[-1]):
            known.append(single)
        return newest(known) if known else single

    def to_dict(self) -> dict[str, Any]:
        flags = {"disableCheck": self.disable_check, "disableGC": self.disable_gc, "loadOnlyInlinedPlugins": self.load_only_inlined_plugins}
        head = {"cniVersion": self.cni_version, "name": self.name, **{k: v for k, v in flags.items() if v}}
        return {**head, "plugins": [dict(p) for p in self.plugins]}

    def __str__(self) -> str:
        return self.text or json.dumps(self.to_dict(), indent=2)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "number", float: "number", list: "array"}.get(type(value), "null")


def _key(version: str, what: str, *path: str | int) -> tuple[int, ...]:
    try:
        return version_key(version)
    except CniError as e:
        raise _Bad(f"{what}: {e.msg}", *path) from None


def _one(raw: Any, what: str, path: Path) -> Mapping[str, Any]:
    """One plugin's configuration."""
    if not isinstance(raw, Mapping):
        raise _Bad(f"{what}: error parsing configuration: json: cannot unmarshal {_word(raw)} into Go value of type types.NetConf", *path)
    given = raw.get("type", "")
    if given is not None and not isinstance(given, str):
        wrong = f"json: cannot unmarshal {_word(given)} into Go struct field NetConf.type of type string"
        raise _Bad(f"{what}: error parsing configuration: {wrong}", *path, "type")
    if not given:
        raise _Bad(f"{what}: error parsing configuration: missing 'type'", *path)
    return raw


def problems(source: str | Mapping[str, Any], plugins: Mapping[str, Plugin] | None = None) -> tuple[Problem, ...]:
    """Everything that can be seen to be wrong with a conflist before it is run, in the order of its lines.

    Bad JSON, what libcni refuses, plugins that are not installed, values of a wrong type, options that no plugin has, and
    what the plugins themselves refuse at once (a VLAN of 5000, a subnet with host bits).
    """
    if plugins is None:
        from . import INSTALLED

        plugins = INSTALLED
    text = source if isinstance(source, str) else json.dumps(source, indent=2)
    try:
        conf = NetworkList.parse(text)
    except CniError as e:
        return (Problem(e.msg, line=e.line),)
    raw, where = json.loads(text), lines(text)
    found = {(line_of(where, path), _text(path), message) for path, message in _seen(conf, raw, plugins)}
    return tuple(Problem(message, path, line=line) for line, path, message in sorted(found))


def _text(path: Path) -> str:
    """("plugins", 0, "ipam") -> "plugins[0].ipam"."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


def _seen(conf: NetworkList, raw: Mapping[str, Any], plugins: Mapping[str, Plugin]) -> Iterator[tuple[Path, str]]:
    if conf.cni_version and conf.cni_version not in VERSIONS:
        yield ("cniVersion",), f'no plugin supports version "{conf.cni_version}": they support {", ".join(VERSIONS)}'
    for i, given in enumerate(raw.get("plugins") or ()):
        here: Path = ("plugins", i)
        config = {**given, "name": conf.name, "cniVersion": conf.cni_version}
        ipam = given.get("ipam")
        delegate = ipam.get("type") if isinstance(ipam, Mapping) else None
        for path, type in ((here, given["type"]), ((*here, "ipam"), delegate)):
            if not isinstance(type, str) or not type:
                continue
            plugin = plugins.get(type)
            if plugin is None:
                yield (*path, "type"), f'failed to find plugin "{type}" in path; installed: {", ".join(sorted(plugins))}'
                continue
            yield from _of_plugin(plugin, config, given, here, path)


def _of_plugin(plugin: Plugin, config: Mapping[str, Any], given: Mapping[str, Any], here: Path, path: Path) -> Iterator[tuple[Path, str]]:
    """What one plugin, a main one at `here` or its IPAM delegate at `path`, finds wrong with its part."""
    schema = getattr(plugin, "schema", None)
    wrong = False
    for at, message in mistakes(config, schema) if schema is not None else ():
        # what stands in `ipam` is the delegate's to read, and the rest is not
        if (at[0] == "ipam") if path != here else (at[0] != "ipam" or at[1:] in ((), ("type",))):
            wrong = wrong or "is ignored" not in message
            yield (*here, *at), message
    validate = getattr(plugin, "validate", None)
    if validate is not None and not wrong:
        try:
            validate(config)
        except CniError as e:
            value = find_value(given, e.msg)
            yield (*here, *value) if value is not None else (*path, "type"), e.msg
        except NotModelled as e:
            yield (*path, "type"), str(e)
