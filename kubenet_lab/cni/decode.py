"""A plugin's configuration read into its types, with the messages of Go's encoding/json, in which the plugins are written.

Field names match in any case, unknown fields are ignored, null leaves the default; the first value of a wrong type
is the error, unless a type that parses itself (an address, a prefix) fails before the end.
Source: Go's encoding/json decode.go; the types' own parsers in containernetworking/cni pkg/types and Go's net.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .result import CniError

__all__ = [
    "ANY", "BOOL", "INT", "IP", "IPNET", "NETCONF", "ROUTE", "STRING", "Kind", "ListOf", "MapOf", "Parsed", "Struct", "decode", "go_type",
    "kind_of", "mistakes",
]  # fmt: skip

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """ "string", "bool", an integer type such as "int" or "uint16", or "any"."""

    name: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A slice. `name` is Go's word for the whole, made from the element's without one."""

    of: Type
    name: str = ""
    pointers: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    of: Type


@dataclass(frozen=True, slots=True)
class Struct:
    """`name` with its package ("types.IPAM"); "" for an anonymous one."""

    name: str
    fields: Mapping[str, Type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A type that reads itself from a string, or from an `inner` struct. `parse` raises ValueError with the message.

    `as_text`: Go's UnmarshalText, for which a value that is no string is one of a wrong type; else UnmarshalJSON.
    """

    name: str
    parse: Callable[[str], Any]
    as_text: bool = True
    inner: Struct | None = None


Type = Kind | ListOf | MapOf | Struct | Parsed


class _WrongType(Exception):
    """A value of a wrong type, before it is known in which field."""

    def __init__(self, value: str, type: str, path: Path):
        self.value, self.type, self.path = value, type, path
        self.struct, self.field = "", ""

    def __str__(self) -> str:
        if self.struct or self.field:
            return f"json: cannot unmarshal {self.value} into Go struct field {self.struct}.{self.field} of type {self.type}"
        return f"json: cannot unmarshal {self.value} into Go value of type {self.type}"


class _Unparsed(Exception):
    def __init__(self, message: str, path: Path):
        super().__init__(message)
        self.path = path


def _ip(text: str) -> str:
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"invalid IP address: {text}") from None


def _cidr(text: str) -> str:
    """net.ParseCIDR, the host's bits kept."""
    address, slash, length = text.partition("/")
    try:
        if not slash or not length.isdigit():
            raise ValueError
        return str(ipaddress.ip_interface(f"{ipaddress.ip_address(address)}/{int(length)}"))
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None


STRING, BOOL, INT, ANY = Kind("string"), Kind("bool"), Kind("int"), Kind("any")
IP = Parsed("net.IP", _ip)
IPNET = Parsed("types.IPNet", _cidr, as_text=False)

#: what every plugin reads (containernetworking/cni pkg/types NetConf)
NETCONF: dict[str, Type] = {
    "cniVersion": STRING, "name": STRING, "type": STRING, "capabilities": MapOf(BOOL), "ipam": Struct("types.IPAM", {"type": STRING}),
    "dns": Struct("types.DNS", {"nameservers": ListOf(STRING), "domain": STRING, "search": ListOf(STRING), "options": ListOf(STRING)}),
    "prevResult": MapOf(ANY),
}  # fmt: skip
_ROUTE = Struct("types.route", {"dst": IPNET, "gw": IP, "mtu": INT, "advmss": INT, "priority": INT, "table": INT, "scope": INT})
#: one route of a configuration
ROUTE = Parsed("types.Route", str, as_text=False, inner=_ROUTE)

#: keys that runtimes set or that mean nothing to a plugin, for a reader who looks for misspelt options
_COMMON = frozenset({"args", "runtimeConfig", "cni.dev/valid-attachments", "cni.dev/attachments"})

_BITS = {"int": 63, "int8": 7, "int16": 15, "int32": 31, "int64": 63, "uint": 64, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}


def go_type(t: Type) -> str:
    """Go's name of a type."""
    if isinstance(t, Kind):
        return "interface {}" if t.name == "any" else t.name
    if isinstance(t, ListOf):
        return t.name or f"[]{'*' if t.pointers else ''}{go_type(t.of)}"
    if isinstance(t, MapOf):
        return f"map[string]{go_type(t.of)}"
    return t.name


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "object" if isinstance(value, Mapping) else "array"


class _Decoder:
    """One pass over a document. `struct` and `fields` are where it is, for messages."""

    def __init__(self) -> None:
        self.saved: _WrongType | None = None
        self.all: list[_WrongType | _Unparsed] = []  # for the reader who wants every mistake
        self.unknown: list[tuple[Path, str, tuple[str, ...]]] = []
        self.struct = ""
        self.fields: tuple[str, ...] = ()
        self.thorough = False

    def wrong(self, value: str, type: str, path: Path) -> None:
        self.save(_WrongType(value, type, path))

    def save(self, error: _WrongType) -> None:
        if self.fields:
            error.struct, error.field = self.struct.rpartition(".")[2], ".".join(self.fields)
        self.saved = self.saved or error
        self.all.append(error)

    def value(self, v: Any, t: Type, path: Path) -> Any:
        if isinstance(t, Parsed):
            return self.parsed(v, t, path)
        if v is None:
            return None
        if isinstance(t, Kind):
            return self.kind(v, t, path)
        if isinstance(t, ListOf):
            if not isinstance(v, list | tuple):
                return self.wrong(kind_of(v), go_type(t), path)
            return [self.value(e, t.of, (*path, i)) for i, e in enumerate(v)]
        if not isinstance(v, Mapping):
            return self.wrong(kind_of(v), go_type(t), path)
        if isinstance(t, MapOf):
            return {k: self.value(e, t.of, (*path, k)) for k, e in v.items()}
        return self.members(v, t, path)

    def members(self, v: Mapping[str, Any], t: Struct, path: Path) -> dict[str, Any]:
        folded = {k.lower(): k for k in t.fields}
        before, out = (self.struct, self.fields), {}
        for key, e in v.items():
            name = key if key in t.fields else folded.get(str(key).lower())
            if name is None:
                self.unknown.append(((*path, key), str(key), tuple(t.fields)))
                continue
            self.struct, self.fields = t.name, (*before[1], name)
            found = self.value(e, t.fields[name], (*path, key))
            if found is not None:
                out[name] = found
        self.struct, self.fields = before
        return out

    def kind(self, v: Any, t: Kind, path: Path) -> Any:
        if t.name == "any":
            return v
        if t.name in ("string", "bool"):
            if isinstance(v, str if t.name == "string" else bool):
                return v
            return self.wrong(kind_of(v), t.name, path)
        if isinstance(v, bool) or not isinstance(v, int | float):
            return self.wrong(kind_of(v), t.name, path)
        unsigned = t.name.startswith("u")
        if isinstance(v, float) or not (0 if unsigned else -(1 << _BITS[t.name])) <= v < 1 << _BITS[t.name]:
            return self.wrong(f"number {v!r}", t.name, path)
        return v

    def parsed(self, v: Any, t: Parsed, path: Path) -> Any:
        if v is None and (t.as_text or t.inner is not None):
            return None
        try:
            if t.inner is not None:
                inner = _Decoder()
                done = inner.value(v, t.inner, path)
                if inner.saved is not None:
                    raise inner.saved
                return done
            if not isinstance(v, str):
                if t.as_text:
                    return self.wrong(kind_of(v), t.name, path)
                if v is not None:
                    raise _WrongType(kind_of(v), "string", path)
            return t.parse(v or "")
        except ValueError as e:
            return self.fail(_Unparsed(str(e), path))
        except (_WrongType, _Unparsed) as e:
            return self.fail(e)

    def fail(self, error: _WrongType | _Unparsed) -> None:
        """A type that reads itself refused: that ends the decoding."""
        if isinstance(error, _WrongType) and self.fields:
            error.struct, error.field = self.struct.rpartition(".")[2], ".".join(self.fields)
        if not self.thorough:
            raise error
        self.all.append(error)


def decode(config: Mapping[str, Any], schema: Struct, prefix: str = "") -> dict[str, Any]:
    """The configuration as the plugin sees it: fields under their own names, nothing that it does not know.

    Raises CniError with Go's message after `prefix`.
    """
    d = _Decoder()
    try:
        out = d.members(config, schema, ())
    except (_WrongType, _Unparsed) as e:
        raise CniError(999, f"{prefix}{e}") from None
    if d.saved is not None:
        raise CniError(999, f"{prefix}{d.saved}")
    return out


def mistakes(config: Mapping[str, Any], schema: Struct) -> Iterator[tuple[Path, str]]:
    """Every value of a wrong type and every field that the plugin does not know: (path, message)."""
    d = _Decoder()
    d.thorough = True
    d.members(config, schema, ())
    for error in d.all:
        yield error.path, str(error)
    for path, key, known in d.unknown:
        if key not in _COMMON and path[0] not in _COMMON and path[0] != "prevResult":
            from difflib import get_close_matches

            near = get_close_matches(key, known, n=1, cutoff=0.6)
            yield path, f"{key!r} is ignored: the plugin has no such option" + (f"; nearest: {near[0]}" if near else "")
