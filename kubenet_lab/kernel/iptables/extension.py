"""The frame that every match and target fits: its options, its checks, how it prints and how it compiles.

Source: iptables 1.8.9 libxtables/xtoptions.c (the generic checks and their words).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from ...errors import NotModelled
from .context import Context, Place
from .values import Bad, integer

if TYPE_CHECKING:
    from .spec import Spec

__all__ = ["Env", "Extension", "Given", "Match", "Opt", "Test", "Value", "mark_mask", "number", "number_range", "unmodelled"]

Test: TypeAlias = Callable[[Context], bool]

V4, V6 = 4, 6


class Opt(NamedTuple):
    """One option of an extension. `excludes` and `also` name other options; `of` is the canonical name of an alias."""

    name: str
    args: int = 1
    invert: bool = False
    mandatory: bool = False
    multi: bool = False
    excludes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    of: str = ""

    @property
    def canonical(self) -> str:
        return self.of or self.name


class Value(NamedTuple):
    """An option as it was given."""

    args: tuple[str, ...]
    inverted: bool = False

    @property
    def text(self) -> str:
        return self.args[0] if self.args else ""


Given: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Env:
    """What stands around an extension on the line: family (4 or 6), protocol number and whether it is negated."""

    family: int
    protocol: int = 0
    protocol_inverted: bool = False
    backend: str = "nft"


class Extension:
    """A match or target. Subclasses are frozen dataclasses with what the kernel would store."""

    NAME: ClassVar[str] = ""
    OPTIONS: ClassVar[tuple[Opt, ...]] = ()
    FAMILIES: ClassVar[tuple[int, ...]] = (V4, V6)
    TABLES: ClassVar[frozenset[str] | None] = None  # where the kernel lets it be; None: anywhere
    HOOKS: ClassVar[frozenset[str] | None] = None
    PROTOCOLS: ClassVar[frozenset[int] | None] = None  # needs one of these as -p, not negated

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        """The extension's own complaints, made before the generic ones."""

    @classmethod
    def build(cls, given: Given, env: Env) -> Any:
        raise NotImplementedError

    @classmethod
    def given_twice(cls, option: Opt) -> Bad:
        return Bad(f'{cls.NAME}: option "--{option.canonical}" can only be used once.\n')

    @classmethod
    def not_inverted(cls, option: Opt) -> Bad:
        return Bad(f'{cls.NAME}: option "--{option.canonical}" cannot be inverted.\n')

    def save(self) -> str:
        """The options as iptables-save prints them, without `-m NAME`."""
        return ""

    def show(self, numeric: bool = True) -> str:
        """As `iptables -L` prints it, with its leading space."""
        return ""

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        """Does the kernel refuse it in a chain that these hooks reach?"""
        return False


class Match(Extension):
    KEYED: ClassVar[bool] = False  # what it compiles to depends on the rule's place

    def compile(self, place: Place) -> Test | None:
        """A function of the packet's context; None if it matches everything."""
        raise NotImplementedError

    @property
    def plain(self) -> bool:
        """Does the answer follow from a packet's `looks` (context.py) and from what is programmed, and from nothing else?"""
        return False


def check_given(cls: type[Extension], given: Given) -> None:
    """What every extension's options go through when the line has ended."""
    for option in cls.OPTIONS:
        if option.of:
            continue
        if option.name not in given:
            if option.mandatory:
                raise Bad(f'{cls.NAME}: option "--{option.name}" must be specified\n')
            continue
        if option.also and not any(name in given for name in option.also):
            raise Bad(f'{cls.NAME}: option "--{option.name}" also requires "--{option.also[0]}".\n')
        other = next((name for name in option.excludes if name in given), None)
        if other:
            raise Bad(f'{cls.NAME}: option "--{option.name}" cannot be used together with "--{other}".\n')


def number(cls: type[Extension], given: Given, name: str, maximum: int = 0xFFFFFFFF, minimum: int = 0) -> int:
    value = integer(given[name].text, maximum, minimum)
    if value is None:
        raise Bad(f'{cls.NAME}: bad value for option "--{name}", or out of range ({minimum}-{maximum}).\n')
    return value


def number_range(cls: type[Extension], given: Given, name: str, maximum: int) -> tuple[int, int]:
    """"5", "5:9", ":9", "5:"."""
    text = given[name].text
    low, colon, high = text.partition(":")
    first = integer(low, maximum) if low or not colon else 0
    last = first if not colon else integer(high, maximum) if high else maximum
    if first is None or last is None:
        bad = low if first is None else high
        raise Bad(f'{cls.NAME}: bad value for option "--{name}" near "{bad}", or out of range (0-{maximum}).\n')
    return first, last


def mark_mask(cls: type[Extension], given: Given, name: str, default: int = 0xFFFFFFFF) -> tuple[int, int]:
    """"0x4000/0x4000" as (value, mask)."""
    value_text, slash, mask_text = given[name].text.partition("/")
    value, mask = integer(value_text), integer(mask_text) if slash else default
    if value is None or mask is None:
        raise Bad(f'{cls.NAME}: bad integer value for option "--{name}", or out of range.\n')
    return value, mask


def unmodelled(reason: str, place: Place) -> Test:
    """A test that says what is not modelled, once a packet would meet it."""

    def test(c: Context) -> bool:
        raise NotModelled(f"{reason} (table {place.table}, chain {place.chain}, rule {place.number})")

    return test
