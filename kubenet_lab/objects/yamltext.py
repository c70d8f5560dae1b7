"""YAML text to plain values, as Kubernetes' own loader reads it.

kubectl reads YAML with sigs.k8s.io/yaml, a fork of go-yaml v2: YAML 1.1 with differences that
bite in manifests. What it does, and so what is done here:

- `yes`, `no`, `on`, `off`, `y`, `n` (and Yes, YES, ...) are booleans, `~` and an empty value are null;
- `0777` is octal, `0x1F` hexadecimal, `0b1` binary, `0o17` octal, `1_000` is 1000;
- base 60 is not read: `22:22` and `1:30` are strings (PyYAML alone would make numbers of them);
- dates stay strings; `1e3` is a number; `.5` and `5.` are numbers;
- a number or boolean as a mapping key becomes the string that Go prints for it (`1: x` has the key "1");
- `<<` merges, keys that stand in the mapping itself win.

A key that stands twice is an error here, as it is for the API server's strict decoder.
Source: sigs.k8s.io/yaml goyaml.v2/resolve.go and yaml.go (convertToJSONableObject).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import yaml

__all__ = ["MarkedError", "Segment", "construct", "dump_yaml", "mark_of", "resolve", "segments"]

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_PLAIN = "plain"
_STR, _MAP, _SEQ = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_MERGE = "tag:yaml.org,2002:merge"

#: objects that one document may grow to through aliases before it is refused
_ALIAS_LIMIT = 200_000
_DEPTH_LIMIT = 200


class MarkedError(Exception):
    """Text that cannot be read: the message, and the 1-based line within the segment where it shows."""

    def __init__(self, message: str, line: int | None):
        super().__init__(message)
        self.message, self.line = message, line


class _Loader(_BASE):  # type: ignore[misc]
    """Composes nodes only; every plain scalar gets the tag "plain" and is resolved by `_scalar`."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _STR
        return _MAP if kind is yaml.MappingNode else _SEQ


class Segment:
    """One document's share of a text: where it begins (0-based line), and the text itself."""

    __slots__ = ("first_line", "text")

    def __init__(self, text: str, first_line: int):
        self.text, self.first_line = text, first_line


_MARKER = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_ONLY_COMMENTS = re.compile(r"(?:\s*(?:[#%][^\n]*)?(?:\n|$))*\Z")


def segments(text: str) -> Iterator[Segment]:
    """Split a multi-document text at its `---` lines, as kubectl's reader does: an error in one document leaves the others readable."""
    starts = [m.start() for m in _MARKER.finditer(text)]
    if not starts or _ONLY_COMMENTS.match(text[: starts[0]]):
        bounds = [0, *starts[1:], len(text)]  # comments and directives before the first marker belong to it
    else:
        bounds = [0, *starts, len(text)]
    line = 0
    for begin, end in pairwise(bounds):
        part = text[begin:end]
        yield Segment(part, line)
        line += part.count("\n")


_WORDS: dict[str, Any] = {}
for _word in ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"):
    _WORDS[_word] = True
for _word in ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"):
    _WORDS[_word] = False
for _word in ("", "~", "null", "Null", "NULL"):
    _WORDS[_word] = None
for _word in (".nan", ".NaN", ".NAN"):
    _WORDS[_word] = math.nan
for _word in (".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"):
    _WORDS[_word] = math.inf
for _word in ("-.inf", "-.Inf", "-.INF"):
    _WORDS[_word] = -math.inf

_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_FIRST = frozenset("0123456789+-.")


def resolve(text: str) -> Any:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    if _INT.match(plain):
        sign = -1 if plain[0] == "-" else 1
        digits = plain.lstrip("+-")
        if len(digits) > 400:  # Python's own limit on digits is higher; no field takes such a number
            return text
        prefix = digits[:2].lower()
        if prefix in ("0x", "0b", "0o"):
            return sign * int(digits, 0)
        return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
    if _FLOAT.match(plain):
        value = float(plain)
        return text if math.isinf(value) else value
    return text


_CACHE: dict[str, Any] = {}


def _scalar(node: yaml.ScalarNode) -> Any:
    tag, value = node.tag, node.value
    if tag == _STR:
        return value
    if tag == _PLAIN:
        try:
            return _CACHE[value]
        except KeyError:
            found = resolve(value)
            if len(_CACHE) < 20_000:
                _CACHE[value] = found
            return found
    short = tag.removeprefix("tag:yaml.org,2002:")
    if short in ("int", "float", "bool", "null"):
        found = resolve(value)
        if short == "float" and isinstance(found, int) and not isinstance(found, bool):
            return float(found)
        kind = {"int": int, "float": float, "bool": bool, "null": type(None)}[short]
        if type(found) is not kind:
            raise MarkedError(f"cannot decode `{value}` as a !!{short}", node.start_mark.line + 1)
        return found
    if short in ("timestamp", "binary") or not tag.startswith("tag:yaml.org,2002:"):
        return value
    raise MarkedError(f"cannot decode a value with the tag {tag}", node.start_mark.line + 1)


def key_text(key: Any, line: int | None) -> str:
    """A mapping key as JSON has it. Raises MarkedError for a key that JSON cannot have."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(key)
    if isinstance(key, float) and math.isfinite(key):
        return str(int(key)) if key.is_integer() else repr(key)
    raise MarkedError(f"a mapping key must be text, found {'null' if key is None else type(key).__name__}", line)


class _Builder:
    def __init__(self) -> None:
        self.count = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node, depth: int) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        self.count += 1
        if depth > _DEPTH_LIMIT:
            raise MarkedError(f"nested deeper than {_DEPTH_LIMIT} levels", node.start_mark.line + 1)
        if self.count > _ALIAS_LIMIT:
            raise MarkedError("document contains excessive aliasing", node.start_mark.line + 1)
        if id(node) in self.open:
            raise MarkedError("an anchor contains itself", node.start_mark.line + 1)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, depth + 1) for child in node.value]
            return self.mapping(node, depth)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise MarkedError("a mapping key must be text, found a mapping or a list", line)
            if key_node.value == "<<" and key_node.tag in (_PLAIN, _MERGE):
                merged.extend(self.merge(value_node, depth))
                continue
            key = key_text(_scalar(key_node), line)
            if key in out:
                raise MarkedError(f'key "{key}" already set in map', line)
            out[key] = self.build(value_node, depth + 1)
        for more in merged:
            for key, value in more.items():
                out.setdefault(key, value)
        return out

    def merge(self, node: yaml.Node, depth: int) -> list[dict[str, Any]]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        out = []
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                raise MarkedError("map merge requires map or sequence of maps as the value", node.start_mark.line + 1)
            out.append(self.build(part, depth + 1))
        return out


_DOUBLE_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def _compose(text: str) -> list[yaml.Node]:
    loader = _Loader(text)
    nodes = []
    try:
        while loader.check_node():
            nodes.append(loader.get_node())
    finally:
        loader.dispose()
    return nodes


def _nodes(text: str) -> list[yaml.Node]:
    _check_depth(text)
    try:
        return _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise MarkedError(_words(error, text, line), line) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
        code = error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")
        raise MarkedError(f"control characters are not allowed (found U+{code:04X})", line) from None
    except yaml.YAMLError as error:
        raise MarkedError(str(error).splitlines()[0] if str(error) else "not YAML", None) from None
    except RecursionError:
        raise MarkedError(f"nested deeper than {_DEPTH_LIMIT} levels", None) from None


_NESTED_ON_A_LINE = re.compile(rf"(?:[-?:][ \t]+){{{_DEPTH_LIMIT}}}")


def _check_depth(text: str) -> None:
    """Refuse what would exhaust the parser's stack: it recurses on nesting."""
    found = _NESTED_ON_A_LINE.search(text)
    if found:
        raise MarkedError(f"nested deeper than {_DEPTH_LIMIT} levels", text.count("\n", 0, found.start()) + 1)
    if text.count("[") + text.count("{") <= 25 * _DEPTH_LIMIT:
        return
    depth = 0
    for number, line in enumerate(_DOUBLE_QUOTED.sub('""', text).split("\n"), 1):
        for c in line:
            if c in "[{":
                depth += 1
                if depth > 25 * _DEPTH_LIMIT:
                    raise MarkedError(f"nested deeper than {_DEPTH_LIMIT} levels", number)
            elif c in "]}" and depth:
                depth -= 1


def _words(error: yaml.MarkedYAMLError, text: str, line: int | None) -> str:
    said = error.problem or error.context or "not YAML"
    if line is None:
        return said
    lines = text.split("\n")
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in shown[: len(shown) - len(shown.lstrip())] or "\\t" in said:
        return "found a tab where YAML wants spaces: indent with spaces"
    return said


def construct(text: str) -> list[Any]:
    """The values of a segment's documents (one, as a rule). Raises MarkedError."""
    builder = _Builder()
    return [builder.build(node, 0) for node in _nodes(text) if node is not None]


@lru_cache(maxsize=2)
def _marked(text: str) -> list[yaml.Node]:
    return _nodes(text)


def mark_of(text: str, path: tuple[str | int, ...], index: int = 0) -> int | None:
    """The 1-based line within the segment of the value at `path`, or of the nearest parent that is there.

    The second, marked parse: made only when a document has something wrong with it.
    """
    try:
        nodes = _marked(text)
    except MarkedError:
        return None
    if index >= len(nodes):
        return None
    node = nodes[index]
    line = node.start_mark.line
    for step in path:
        found = None
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if isinstance(key_node, yaml.ScalarNode) and key_node.value.lower() == str(step).lower():
                    found, line = value_node, key_node.start_mark.line  # the API writes a few fields in another case than the YAML
                    if key_node.value == step:
                        break
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
            line = found.start_mark.line
        if found is None:
            break
        node = found
    return int(line) + 1


_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Quotes every string that `resolve` would read as something else; block style for text of several lines; no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    if "\n" in value and all(c.isprintable() or c == "\n" for c in value) and not re.search(r"[ \t]\n|[ \t]\Z", value):
        return dumper.represent_scalar(_STR, value, style="|")
    if not value or not isinstance(resolve(value), str):
        return dumper.represent_scalar(_STR, value, style='"')
    return dumper.represent_scalar(_STR, value)


_Dumper.add_representer(str, _text)


def dump_yaml(value: Any) -> str:
    """One value as YAML that kubectl and `construct` read back as it was; keys in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120))
