"""Label selectors, exactly as apimachinery matches, parses and prints them.

Source: apimachinery pkg/labels/selector.go (Requirement.Matches, Parse) and
pkg/apis/meta/v1/helpers.go (LabelSelectorAsSelector, FormatLabelSelector).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ..errors import KubenetError
from .validation.names import label_key_errors, label_value_errors
from .views import LabelSelector, Requirement

__all__ = [
    "SelectorError", "describe", "describe_requirement", "failing_terms", "matches", "matches_labels", "matches_text", "parse",
    "requirement_matches", "requirements",
]  # fmt: skip

Labels = Mapping[str, str]


class SelectorError(KubenetError):
    """A selector in string form that kubectl would refuse; the message is apimachinery's."""


def requirement_matches(requirement: Requirement, labels: Labels) -> bool:
    """Whether one term holds. NotIn and DoesNotExist hold where the key is missing; In, Gt and Lt do not.

    Operators: In, NotIn, Exists, DoesNotExist of the API; Gt and Lt of node affinity and of the string form.
    """
    operator, key = requirement.operator, requirement.key
    if operator == "In":
        return key in labels and labels[key] in requirement.values
    if operator == "NotIn":
        return key not in labels or labels[key] not in requirement.values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator in ("Gt", "Lt"):
        if key not in labels or len(requirement.values) != 1:
            return False
        have, want = _int64(labels[key]), _int64(requirement.values[0])
        if have is None or want is None:
            return False
        return have > want if operator == "Gt" else have < want
    return False


def _int64(text: str) -> int | None:
    """strconv.ParseInt(text, 10, 64)."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or not digits.isascii() or not digits.isdigit() or len(digits) > 400:
        return None
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 63 else None


def matches(selector: LabelSelector | None, labels: Labels) -> bool:
    """Whether a label selector selects these labels. None (absent) selects nothing, an empty one everything."""
    if selector is None:
        return False
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            return False
    return all(requirement_matches(r, labels) for r in selector.match_expressions)


def matches_labels(selector: Labels, labels: Labels) -> bool:
    """A plain map as a selector (a Service's, a nodeSelector): every pair must be there. An empty map selects everything here;
    that a Service without a selector has no endpoints of its own is the endpoints controller's rule."""
    return all(labels.get(key) == value for key, value in selector.items())


def requirements(selector: LabelSelector) -> tuple[Requirement, ...]:
    """The terms of a selector, matchLabels as In with one value first by key, then matchExpressions as written."""
    pairs = tuple(Requirement(key=k, operator="In", values=[v]) for k, v in sorted(selector.match_labels.items()))
    return pairs + tuple(selector.match_expressions)


def failing_terms(selector: LabelSelector | None, labels: Labels) -> tuple[str, ...]:
    """The terms that do not hold, as kubectl prints them; empty if and only if the selector matches.

    An absent selector fails with the one term "<none>".
    """
    if selector is None:
        return ("<none>",)
    out = []
    for key, value in sorted(selector.match_labels.items()):
        if labels.get(key) != value:
            out.append(f"{key}={value}")
    out.extend(describe_requirement(r) for r in selector.match_expressions if not requirement_matches(r, labels))
    return tuple(out)


_WORDS = {"In": "in", "NotIn": "notin"}


def describe_requirement(requirement: Requirement) -> str:
    """One term in the string form: `tier in (api,web)`, `!canary`."""
    key, values = requirement.key, sorted(requirement.values)
    operator = requirement.operator
    if operator == "Exists":
        return key
    if operator == "DoesNotExist":
        return f"!{key}"
    if operator in ("Gt", "Lt"):
        return f"{key}{'>' if operator == 'Gt' else '<'}{','.join(values)}"
    return f"{key} {_WORDS.get(operator, operator)} ({','.join(values)})"


def describe(selector: LabelSelector | None) -> str:
    """A selector as kubectl prints it: "<none>" for one that is absent or empty; terms sorted by key."""
    if selector is None:
        return "<none>"
    terms = [(k, f"{k}={v}") for k, v in sorted(selector.match_labels.items())]
    terms += [(r.key, describe_requirement(r)) for r in selector.match_expressions]
    return ",".join(text for _, text in sorted(terms, key=lambda t: t[0])) or "<none>"


# --- the string form ---------------------------------------------------------------------------------------------
_SPACE = " \t\r\n"
_SPECIAL = "=!(),><"
_TOKENS = {
    ")": "close", ",": "comma", "!": "not", "==": "eqeq", "=": "eq", ">": "gt", "in": "in", "<": "lt", "!=": "ne", "notin": "notin",
    "(": "open",
}  # fmt: skip
_OPERATORS = "in, notin, =, ==, !=, gt, lt"


def _lex(text: str) -> list[tuple[str, str]]:
    """(token, literal) pairs, ended by ("end", "")."""
    out: list[tuple[str, str]] = []
    i, n = 0, len(text)
    while True:
        while i < n and text[i] in _SPACE:
            i += 1
        if i >= n or text[i] == "\0":  # a NUL byte reads as the end of the string
            out.append(("end", ""))
            return out
        begin = i
        if text[i] in _SPECIAL:
            taken = ""
            while i < n and text[i] in _SPECIAL:
                candidate = text[begin : i + 1]
                if candidate in _TOKENS:
                    taken = candidate
                elif taken:
                    break
                i += 1
            i = begin + len(taken) if taken else i
            out.append((_TOKENS[taken], taken) if taken else ("error", f"error expected: keyword found '{text[begin:i]}'"))
        else:
            while i < n and text[i] not in _SPECIAL and text[i] not in _SPACE and text[i] != "\0":
                i += 1
            word = text[begin:i]
            out.append((_TOKENS.get(word, "id"), word))


class _Parser:
    def __init__(self, text: str):
        self.tokens = _lex(text)
        self.at = 0

    def look(self, *, values: bool = True) -> tuple[str, str]:
        token, literal = self.tokens[min(self.at, len(self.tokens) - 1)]
        if values and token in ("in", "notin"):
            token = "id"  # a word is an operator only where an operator can stand
        return token, literal

    def take(self, *, values: bool = True) -> tuple[str, str]:
        found = self.look(values=values)
        self.at += 1
        return found

    def parse(self) -> list[tuple[Requirement, str]]:
        out: list[tuple[Requirement, str]] = []
        while True:
            token, literal = self.look()
            if token in ("id", "not"):
                try:
                    out.append(self.requirement())
                except SelectorError as error:
                    raise SelectorError(f"unable to parse requirement: {error}") from None
                token, literal = self.take()
                if token == "end":
                    return out
                if token != "comma":
                    raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
                token, literal = self.look()
                if token not in ("id", "not"):
                    raise SelectorError(f"found '{literal}', expected: identifier after ','")
            elif token == "end":
                return out
            else:
                raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")

    def requirement(self) -> tuple[Requirement, str]:
        token, literal = self.take()
        absent = token == "not"
        if absent:
            token, literal = self.take()
        if token != "id":
            raise SelectorError(f"found '{literal}', expected: identifier")
        key = literal
        wrong = label_key_errors(key)
        if wrong:
            raise SelectorError(f'<nil>: Invalid value: "{key}": {"; ".join(wrong)}')
        if self.look()[0] in ("end", "comma"):
            return (Requirement(key=key, operator="DoesNotExist"), "!") if absent else (Requirement(key=key, operator="Exists"), "")
        if absent:  # "!x=a": apimachinery stops at what follows the key
            return Requirement(key=key, operator="DoesNotExist"), "!"
        token, literal = self.take(values=False)
        if token in ("in", "notin"):
            return self.made(key, "In" if token == "in" else "NotIn", self.value_set(), token)
        names = {"eq": "In", "eqeq": "In", "ne": "NotIn", "gt": "Gt", "lt": "Lt"}
        if token not in names:
            raise SelectorError(f"found '{literal}', expected: {_OPERATORS}")
        return self.made(key, names[token], [self.exact_value()], literal)

    def made(self, key: str, operator: str, values: list[str], written: str) -> tuple[Requirement, str]:
        wrong = []
        if operator in ("Gt", "Lt") and _int64(values[0]) is None:
            wrong.append(f"values[0]: Invalid value: \"{values[0]}\": for 'Gt', 'Lt' operators, the value must be an integer")
        for i, value in enumerate(values):
            errors = label_value_errors(value)
            if errors:
                wrong.append(f'values[{i}][{key}]: Invalid value: "{value}": {"; ".join(errors)}')
        if wrong:
            raise SelectorError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
        return Requirement(key=key, operator=operator, values=values), written

    def value_set(self) -> list[str]:
        token, literal = self.take()
        if token != "open":
            raise SelectorError(f"found '{literal}' expected: '('")
        token, literal = self.look()
        if token == "close":
            self.take()
            return [""]
        if token not in ("id", "comma"):
            raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")
        found = self.identifiers()
        if self.take()[0] != "close":
            raise SelectorError(f"found '{literal}', expected: ')'")
        return sorted(found)

    def identifiers(self) -> set[str]:
        found: set[str] = set()
        while True:
            token, literal = self.take()
            if token == "id":
                found.add(literal)
                token, literal = self.look()
                if token == "close":
                    return found
                if token != "comma":
                    raise SelectorError(f"found '{literal}', expected: ',' or ')'")
            elif token == "comma":
                if not found:
                    found.add("")
                after = self.look()[0]
                if after == "close":
                    found.add("")
                    return found
                if after == "comma":
                    self.take()
                    found.add("")
            else:
                raise SelectorError(f"found '{literal}', expected: ',', or identifier")

    def exact_value(self) -> str:
        token, literal = self.look()
        if token in ("end", "comma"):
            return ""
        self.take()
        if token != "id":
            raise SelectorError(f"found '{literal}', expected: identifier")
        return literal


@lru_cache(maxsize=1024)
def parse(text: str) -> LabelSelector:
    """The selector that `kubectl -l TEXT` means: `a=b,c in (d,e),!f,g!=h,x>1`. Empty text selects everything.

    `a=b` and `a==b` become matchLabels (In, when the key stands twice), `a!=b` NotIn (so it holds where the key is missing),
    the others matchExpressions, sorted by key. Raises SelectorError with apimachinery's words.
    """
    labels: dict[str, str] = {}
    expressions: list[Requirement] = []
    for term, written in sorted(_Parser(text).parse(), key=lambda t: t[0].key):
        if written in ("=", "==") and term.key not in labels:
            labels[term.key] = term.values[0]
        else:
            expressions.append(term)
    return LabelSelector(match_labels=labels, match_expressions=expressions)


def matches_text(text: str, labels: Labels) -> bool:
    """Whether `kubectl -l TEXT` selects these labels. Raises SelectorError."""
    return matches(parse(text), labels)
