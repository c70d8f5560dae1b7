"""How answers are read and compared: by what they mean, not by how they are typed.

A `Form` names what an answer is. `read` brings the learner's value and the lab's into one canonical
shape, so that `10.244.1.2` equals `IPv4Address("10.244.1.2")`, `"50 bytes"` equals 50, `web` equals
`pod/shop/web`, and a set has no order. What cannot be read as the form at all is `Unreadable`: a
different thing from a wrong answer, and said differently.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Number, Rational, Real
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["Form", "Unreadable", "read", "same", "show"]

Kind = Literal["number", "address", "network", "name", "object", "workload", "word"]
Shape = Literal["one", "set", "list"]

_KIND_PREFIXES = {"pod", "pods", "po", "deploy", "deployment", "sts", "statefulset", "ds", "daemonset", "svc", "service", "workload"}
# "web-6c9d8f7b5-x2k4q" (Deployment), "agent-x2k4q" (DaemonSet), "db-0" (StatefulSet): the letters that Kubernetes draws names from
_GENERATED = re.compile(r"^(?P<workload>.+?)(-[a-z0-9]{8,10})?-(?P<tail>[bcdfghjklmnpqrstvwxz2456789]{5}|\d+)$")


class Unreadable(ValueError):
    """The answer is not of the kind that was asked for. The message says what was found and what would do."""


@dataclass(frozen=True)
class Form:
    """What an answer is.

    `unit` is shown, and tolerated when typed ("50 bytes"). `namespace` completes a bare object name.
    `choices` lists the words that are possible; `synonyms` maps other words to them.
    """

    kind: Kind
    shape: Shape = "one"
    unit: str = ""
    namespace: str = ""
    choices: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def describe(self) -> str:
        """What would do as an answer, for messages."""
        if self.choices:
            return f"one of {', '.join(repr(c) for c in self.choices)}"
        one = {
            "number": f"a number of {self.unit}" if self.unit else "a number",
            "address": "an IP address",
            "network": "a network such as '10.244.1.0/24'",
            "name": "a DNS name",
            "object": "a name such as 'shop/web'",
            "workload": "a workload such as 'shop/web'",
            "word": "a word",
        }[self.kind]
        return one if self.shape == "one" else f"a {self.shape} of these, each {one}"


def read(value: Any, form: Form) -> Any:
    """The canonical value: hashable, comparable with `==`. Raises Unreadable."""
    one = _READERS[form.kind]
    if form.shape == "one":
        # a set or list of one thing is that thing: `{"flannel.1"}` answers "which device"
        if isinstance(value, list | tuple | set | frozenset) and len(value) == 1:
            value = next(iter(value))
        return one(_plain(value), form)
    items = [one(_plain(item), form) for item in _items(value, form)]
    return frozenset(items) if form.shape == "set" else tuple(items)


def same(answer: Any, truth: Any, form: Form) -> bool:
    """Whether two values mean the same. Raises Unreadable for an answer that has no meaning in this form."""
    return bool(read(answer, form) == read(truth, form))


def show(value: Any, form: Form) -> str:
    """A value as text, sets in a fixed order."""
    if form.shape == "one":
        return _show_one(value, form)
    items = [_show_one(item, form) for item in _items(value, form)]
    return ", ".join(sorted(items) if form.shape == "set" else items) or "nothing"


def _show_one(value: Any, form: Form) -> str:
    try:
        text = str(read(value, Form(form.kind, unit=form.unit, namespace=form.namespace, choices=form.choices, synonyms=form.synonyms)))
    except Unreadable:
        text = str(value)
    return f"{text} {form.unit}" if form.unit and form.kind == "number" else text


def _items(value: Any, form: Form) -> Iterable[Any]:
    if isinstance(value, str):
        return [part for part in re.split(r"[,;\s]+", value.strip().strip("[](){}")) if part]
    if isinstance(value, Mapping):
        return list(value)
    if isinstance(value, Iterable):
        return list(value)
    return [value]


def _plain(value: Any) -> Any:
    """Numpy and pandas scalars as Python's own; a pod, node or Service view as its key."""
    if not isinstance(value, str | Number) and isinstance(key := getattr(value, "key", None), str):
        return key
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    return value


def _text(value: Any, form: Form) -> str:
    if isinstance(value, bool) or value is None or not isinstance(value, str | Number | ipaddress._IPAddressBase):
        raise Unreadable(f"{_short(value)} is not {form.describe()}")
    text = str(value).strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"`":
        text = text[1:-1].strip()
    if not text:
        raise Unreadable(f"an empty text is not {form.describe()}")
    return text


def _short(value: Any) -> str:
    text = repr(value)
    if " object at 0x" in text:  # a default repr carries an address that changes with every run
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _number(value: Any, form: Form) -> Fraction | int:
    if isinstance(value, bool):
        raise Unreadable(f"{value!r} is not {form.describe()}")
    try:
        if isinstance(value, Rational):
            number = Fraction(int(value.numerator), int(value.denominator))
        elif isinstance(value, Real):
            number = Fraction(str(float(value)))  # 0.1 means a tenth
        else:
            text = _text(value, form)
            if form.unit:
                text = re.sub(rf"\s*{re.escape(form.unit.rstrip('s'))}s?\s*$", "", text, flags=re.IGNORECASE)
            if text.endswith("%"):
                number = Fraction(text[:-1].strip()) / 100
            else:
                number = Fraction(text.replace("_", "").replace(" ", ""))
    except (ValueError, OverflowError, ZeroDivisionError):
        raise Unreadable(f"{_short(value)} is not {form.describe()}") from None
    return int(number) if number.denominator == 1 else number


def _address(value: Any, form: Form) -> str:
    text = _text(value, form)
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise Unreadable(f"{_short(value)} is not {form.describe()}") from None
    return str(interface.ip)  # "10.244.1.2/24", as `ip addr` prints it, names the address 10.244.1.2


def _network(value: Any, form: Form) -> str:
    text = _text(value, form)
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise Unreadable(f"{_short(value)} is not {form.describe()}") from None


def _name(value: Any, form: Form) -> str:
    text = _text(value, form).rstrip(".").lower()
    if not re.fullmatch(r"[a-z0-9_*-]+(\.[a-z0-9_-]+)*", text):
        raise Unreadable(f"{_short(value)} is not {form.describe()}")
    return text


def _object(value: Any, form: Form) -> str:
    text = _text(value, form).lower()
    if ":" in text:
        head, _, rest = text.partition(":")
        text = rest if head in _KIND_PREFIXES else text
    parts = text.split("/")
    if len(parts) > 1 and parts[0] in _KIND_PREFIXES:
        parts = parts[1:]
    if len(parts) == 1 and form.namespace:
        parts = [form.namespace, *parts]
    if len(parts) > 2 or not all(re.fullmatch(r"[a-z0-9]([a-z0-9.:-]*[a-z0-9])?", part) for part in parts):
        raise Unreadable(f"{_short(value)} is not {form.describe()}")
    return "/".join(parts)


def _workload(value: Any, form: Form) -> str:
    key = _object(value, form)
    found = _GENERATED.match(key)
    return found["workload"] if found else key


def _word(value: Any, form: Form) -> str:
    text = re.sub(r"\s+", " ", _text(value, form)).strip(" .!?").casefold()
    synonyms = {k.casefold(): v for k, v in form.synonyms.items()}
    text = synonyms.get(text, text).casefold()
    choices = {c.casefold(): c for c in form.choices}
    if choices and text not in choices:
        raise Unreadable(f"{_short(value)} is not {form.describe()}")
    return choices.get(text, text)


_READERS: dict[Kind, Callable[[Any, Form], Any]] = {
    "number": _number, "address": _address, "network": _network, "name": _name,
    "object": _object, "workload": _workload, "word": _word,
}  # fmt: skip
