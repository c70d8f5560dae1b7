"""Targets that change what goes with a packet: MARK, CONNMARK, CT and NOTRACK.

Sources: Linux net/netfilter/xt_mark.c, xt_connmark.c, xt_CT.c; what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...errors import NotModelled
from .context import Context, Place
from .extension import Env, Extension, Given, Opt, mark_mask, number
from .targets import Effect, Target, not_modelled
from .values import Bad, integer

__all__ = ["Connmark", "Ct", "MarkTarget", "NoTrack"]

FULL = 0xFFFFFFFF


def _mark_words(name: str, value: int, mask: int) -> str:
    if value == 0:
        return f" {name} and 0x{~mask & FULL:x}"
    if value == mask:
        return f" {name} or 0x{value:x}"
    if mask == 0:
        return f" {name} xor 0x{value:x}"
    if mask == FULL:
        return f" {name} set 0x{value:x}"
    return f" {name} xset 0x{value:x}/0x{mask:x}"


_MARK_OPTIONS = ("set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark")


def _xmark(cls: type[Extension], given: Given) -> tuple[int, int] | None:
    """Every way to say it, as (value, mask): mark = mark & ~mask ^ value."""
    if "set-xmark" in given:
        return mark_mask(cls, given, "set-xmark")
    if "set-mark" in given:
        value, mask = mark_mask(cls, given, "set-mark")
        return value, mask | value
    for name in ("and-mark", "or-mark", "xor-mark"):
        if name in given:
            bits = number(cls, given, name)
            return {"and-mark": (0, ~bits & FULL), "or-mark": (bits, bits), "xor-mark": (bits, 0)}[name]
    return None


@dataclass(frozen=True, slots=True)
class MarkTarget(Target):
    NAME: ClassVar[str] = "MARK"
    OPTIONS: ClassVar[tuple[Opt, ...]] = tuple(Opt(n, excludes=tuple(o for o in _MARK_OPTIONS if o != n)) for n in _MARK_OPTIONS)

    value: int
    mask: int

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required")

    @classmethod
    def build(cls, given: Given, env: Env) -> MarkTarget:
        found = _xmark(cls, given)
        assert found is not None
        return cls(*found)

    def save(self) -> str:
        return f"--set-xmark 0x{self.value:x}/0x{self.mask:x}"

    def show(self, numeric: bool = True) -> str:
        return _mark_words("MARK", self.value, self.mask)

    def effect(self, place: Place) -> Effect:
        keep, value = ~self.mask & FULL, self.value

        def effect(c: Context) -> None:
            c.mark = c.mark & keep ^ value

        return effect


_CONN_OPTIONS = (*_MARK_OPTIONS, "save-mark", "restore-mark")


@dataclass(frozen=True, slots=True)
class Connmark(Target):
    """`mode` "set": connmark = connmark & ~ctmask ^ value; "save": from the packet; "restore": to the packet."""

    NAME: ClassVar[str] = "CONNMARK"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        *(Opt(n, n in _MARK_OPTIONS, excludes=tuple(o for o in _CONN_OPTIONS if o != n)) for n in _CONN_OPTIONS),
        Opt("ctmask", excludes=("mask",)), Opt("nfmask", excludes=("mask",)), Opt("mask", excludes=("ctmask", "nfmask")),
        Opt("left-shift-mark"), Opt("right-shift-mark"),
    )  # fmt: skip

    mode: str
    value: int
    ctmask: int
    nfmask: int

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not any(n in given for n in _CONN_OPTIONS):
            raise Bad("CONNMARK target: No operation specified")

    @classmethod
    def build(cls, given: Given, env: Env) -> Connmark:
        if [number(cls, given, name, 32) for name in ("left-shift-mark", "right-shift-mark") if name in given]:
            raise NotModelled("iptables -j CONNMARK with a shift")
        for name in ("ctmask", "nfmask", "mask"):
            if name in given:
                number(cls, given, name)
        found = _xmark(cls, given)
        if found is not None:
            masks = [n for n in given if n in ("ctmask", "mask")]
            at = [i for i, n in enumerate(given) if n in _MARK_OPTIONS]
            later = [n for n in masks if list(given).index(n) > at[0]]  # written over what the value brought
            return cls("set", found[0], number(cls, given, later[-1]) if later else found[1], FULL)

        def mask(name: str) -> int:
            return number(cls, given, name) if name in given else number(cls, given, "mask") if "mask" in given else FULL

        return cls("save" if "save-mark" in given else "restore", 0, mask("ctmask"), mask("nfmask"))

    def save(self) -> str:
        if self.mode == "set":
            return f"--set-xmark 0x{self.value:x}/0x{self.ctmask:x}"
        return f"--{self.mode}-mark --nfmask 0x{self.nfmask:x} --ctmask 0x{self.ctmask:x}"

    def show(self, numeric: bool = True) -> str:
        if self.mode == "set":
            return _mark_words("CONNMARK", self.value, self.ctmask)
        out = f" CONNMARK {self.mode}"
        if self.nfmask == self.ctmask:
            return out if self.nfmask == FULL else f"{out} mask 0x{self.nfmask:x}"
        if self.mode == "save":
            return f"{out} nfmask 0x{self.nfmask:x} ctmask ~0x{self.ctmask:x}"
        return f"{out} ctmask 0x{self.ctmask:x} nfmask ~0x{self.nfmask:x}"

    def effect(self, place: Place) -> Effect:
        mode, value, ctmask, nfmask = self.mode, self.value, self.ctmask, self.nfmask

        def effect(c: Context) -> None:
            if c.ct_original is None:
                return
            if mode == "set":
                c.connmark = c.connmark & ~ctmask & FULL ^ value
            elif mode == "save":
                c.connmark = c.connmark & ~ctmask & FULL ^ c.mark & nfmask
            else:
                c.mark = c.mark & ~nfmask & FULL ^ c.connmark & ctmask

        return effect


_ZONES = ("zone", "zone-orig", "zone-reply")


@dataclass(frozen=True, slots=True)
class Ct(Target):
    """-j CT, and -j NOTRACK, which is another word for -j CT --notrack."""

    NAME: ClassVar[str] = "CT"
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"raw"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("notrack", 0), Opt("helper"), Opt("timeout"), Opt("ctevents"), Opt("expevents"), *(Opt(z) for z in _ZONES),
    )  # fmt: skip

    notrack: bool
    zones: tuple[tuple[str, str], ...] = ()
    alias: bool = False  # written as NOTRACK

    @classmethod
    def build(cls, given: Given, env: Env) -> Ct:
        zones = []
        for z in _ZONES:
            if z in given:
                value = integer(given[z].text, 0xFFFF)
                if value is None and given[z].text != "mark":
                    raise Bad(f'Cannot parse {given[z].text} as a zone ID')
                if value != 0:
                    zones.append((z, "mark" if value is None else str(value)))
        for name in ("helper", "timeout", "ctevents", "expevents"):
            if name in given:
                raise NotModelled(f"iptables -j CT --{name}")
        return cls("notrack" in given, tuple(zones))

    @property
    def words(self) -> str:
        saved = self.save()
        return "-j NOTRACK" if self.alias else f"-j CT {saved}".rstrip()

    def save(self) -> str:
        return " ".join(["--notrack"] * self.notrack + [f"--{z} {value}" for z, value in self.zones])

    def show(self, numeric: bool = True) -> str:
        if self.alias:
            return " NOTRACK"
        return " CT" + " notrack" * self.notrack + "".join(f" {z} {value}" for z, value in self.zones)

    def effect(self, place: Place) -> Effect | None:
        if self.zones:
            return not_modelled("conntrack zones", place)
        return (lambda c: c.notrack()) if self.notrack else None


class NoTrack(Target):
    NAME: ClassVar[str] = "NOTRACK"

    @classmethod
    def build(cls, given: Given, env: Env) -> Ct:
        return Ct(True, (), True)
