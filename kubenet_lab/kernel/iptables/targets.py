"""Targets: verdicts, jumps, REJECT, MSS, logging.

Sources: Linux net/ipv4/netfilter/ipt_REJECT.c, net/netfilter/xt_TCPMSS.c, xt_LOG.c, xt_NFLOG.c; what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ...errors import NotModelled
from .context import Context, Place
from .extension import Env, Extension, Given, Opt, number
from .values import TOO_SHORT, Bad, integer, quote

if TYPE_CHECKING:
    from .spec import Spec

__all__ = ["Effect", "Jump", "Log", "NfLog", "Reject", "Silent", "Standard", "Target", "TcpMssTarget", "not_modelled"]

Effect: TypeAlias = Callable[[Context], None]
FULL = 0xFFFFFFFF


class Target(Extension):
    """`VERDICT` is the kind of verdict it ends the table with, "" if the packet goes on to the next rule."""

    VERDICT: ClassVar[str] = ""

    @property
    def kind(self) -> str:
        return self.VERDICT

    @property
    def params(self) -> Any:
        """What the verdict carries."""
        return None

    @property
    def label(self) -> str:
        """What stands in the target column of -L."""
        return self.NAME

    @property
    def words(self) -> str:
        """As iptables-save prints it, with -j."""
        saved = self.save()
        return f"-j {self.NAME} {saved}" if saved else f"-j {self.NAME}"

    def effect(self, place: Place) -> Effect | None:
        """What it does to the packet before the next rule."""
        return None


@dataclass(frozen=True, slots=True)
class Standard(Target):
    """ACCEPT, DROP, RETURN, QUEUE."""

    verdict: str

    @property
    def kind(self) -> str:
        return "" if self.verdict in ("RETURN", "QUEUE") else self.verdict

    @property
    def label(self) -> str:
        return self.verdict

    @property
    def words(self) -> str:
        return f"-j {self.verdict}"

    def effect(self, place: Place) -> Effect | None:
        return not_modelled("iptables -j QUEUE", place) if self.verdict == "QUEUE" else None


@dataclass(frozen=True, slots=True)
class Jump(Target):
    chain: str
    goto: bool = False

    @property
    def label(self) -> str:
        return self.chain

    @property
    def words(self) -> str:
        return f"-{'g' if self.goto else 'j'} {self.chain}"


def not_modelled(reason: str, place: Place) -> Effect:
    def effect(c: Context) -> None:
        raise NotModelled(f"{reason} (table {place.table}, chain {place.chain}, rule {place.number})")

    return effect


_REJECT4 = (
    ("icmp-net-unreachable", "net-unreach"), ("icmp-host-unreachable", "host-unreach"), ("icmp-proto-unreachable", "proto-unreach"),
    ("icmp-port-unreachable", "port-unreach"), ("icmp-net-prohibited", "net-prohib"), ("icmp-host-prohibited", "host-prohib"),
    ("tcp-reset", "tcp-rst"), ("icmp-admin-prohibited", "admin-prohib"),
)  # fmt: skip
_REJECT6 = (
    ("icmp6-no-route", "no-route"), ("icmp6-adm-prohibited", "adm-prohibited"), ("icmp6-addr-unreachable", "addr-unreach"),
    ("icmp6-port-unreachable", "port-unreach"), ("tcp-reset", "tcp-reset"), ("icmp6-policy-fail", "policy-fail"),
    ("icmp6-reject-route", "reject-route"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reject(Target):
    """Drops the packet and sends what `reject_with` names to its source."""

    NAME: ClassVar[str] = "REJECT"
    VERDICT: ClassVar[str] = "REJECT"
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"filter"})
    HOOKS: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "FORWARD", "OUTPUT"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("reject-with"),)

    reject_with: str

    @classmethod
    def build(cls, given: Given, env: Env) -> Reject:
        if "reject-with" not in given:
            return cls("icmp-port-unreachable" if env.family == 4 else "icmp6-port-unreachable")
        text = given["reject-with"].text
        for name, alias in _REJECT4 if env.family == 4 else _REJECT6:
            if name.startswith(text.lower()) or alias.startswith(text.lower()):
                return cls(name)
        gone = "--reject-with echo-reply no longer supported\n" if "echo-reply".startswith(text.lower()) and env.family == 4 else ""
        raise Bad(f'unknown reject type "{text}"', before=gone)

    @property
    def params(self) -> str:
        return self.reject_with

    def save(self) -> str:
        return f"--reject-with {self.reject_with}"

    def show(self, numeric: bool = True) -> str:
        return f" reject-with {self.reject_with}"

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        return self.reject_with == "tcp-reset" and (spec.header.protocol != 6 or spec.header.protocol_inverted)


_LEVELS = {
    "alert": 1, "crit": 2, "debug": 7, "emerg": 0, "error": 3, "info": 6, "notice": 5, "panic": 0, "warning": 4,
}  # fmt: skip
_LEVELS_SHOWN = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
_LOG_FLAGS = (("log-tcp-sequence", 1), ("log-tcp-options", 2), ("log-ip-options", 4), ("log-uid", 8), ("log-macdecode", 32))


@dataclass(frozen=True, slots=True)
class Log(Target):
    NAME: ClassVar[str] = "LOG"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("log-level"), Opt("log-prefix"), *(Opt(n, 0) for n, _ in _LOG_FLAGS))

    prefix: str
    level: int
    flags: int

    @classmethod
    def build(cls, given: Given, env: Env) -> Log:
        level = 4
        if "log-level" in given:
            text = given["log-level"].text
            value = integer(text, 7)
            if value is None:
                value = _LEVELS.get(text)
            if value is None:
                raise Bad(f'log level "{text}" unknown\n')
            level = value
        if "log-prefix" in given and not given["log-prefix"].text:
            raise Bad(TOO_SHORT)
        prefix = given["log-prefix"].text[:29] if "log-prefix" in given else ""
        return cls(prefix, level, sum(bit for n, bit in _LOG_FLAGS if n in given))

    def save(self) -> str:
        words = [f"--log-prefix {quote(self.prefix)}"] if self.prefix else []
        if self.level != 4:
            words.append(f"--log-level {self.level}")
        return " ".join(words + [f"--{n}" for n, bit in _LOG_FLAGS if self.flags & bit])

    def show(self, numeric: bool = True) -> str:
        if numeric:
            out = f" LOG flags {self.flags} level {self.level}"
        else:
            out = f" LOG level {_LEVELS_SHOWN[self.level]}"
            out += "".join(f" {n.removeprefix('log-')}" for n, bit in _LOG_FLAGS if self.flags & bit)
        return out + (f' prefix "{self.prefix}"' if self.prefix else "")


@dataclass(frozen=True, slots=True)
class NfLog(Target):
    NAME: ClassVar[str] = "NFLOG"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("nflog-group"), Opt("nflog-prefix"), Opt("nflog-range", excludes=("nflog-size",)),
        Opt("nflog-size", excludes=("nflog-range",)), Opt("nflog-threshold"),
    )  # fmt: skip

    prefix: str
    group: int
    range: int
    size: int | None
    threshold: int
    nft: bool = True

    @classmethod
    def build(cls, given: Given, env: Env) -> NfLog:
        def value(name: str, default: int, maximum: int = FULL) -> int:
            return number(cls, given, name, maximum) if name in given else default

        prefix = given["nflog-prefix"].text if "nflog-prefix" in given else ""
        if "nflog-prefix" in given and not prefix:
            raise Bad(TOO_SHORT)
        prefix = prefix[: 127 if env.backend == "nft" else 63]
        size = value("nflog-size", 0) if "nflog-size" in given else None
        group, threshold = value("nflog-group", 0, 0xFFFF), value("nflog-threshold", 1, 0xFFFF)
        return cls(prefix, group, value("nflog-range", 0), size, threshold, env.backend == "nft")

    def save(self) -> str:
        words = [f"--nflog-prefix {quote(self.prefix)}"] if self.prefix else []
        if self.group:
            words.append(f"--nflog-group {self.group}")
        if self.size is not None:
            words.append(f"--nflog-size {self.size}")
        elif self.range and not self.nft:  # it has never worked, and the nft kind forgets it
            words.append(f"--nflog-range {self.range}")
        if self.threshold not in ((0, 1) if self.nft else (1,)):
            words.append(f"--nflog-threshold {self.threshold}")
        return " ".join(words)

    def show(self, numeric: bool = True) -> str:
        saved = self.save()
        return " " + saved.replace("--nflog-", "nflog-") if saved else ""


@dataclass(frozen=True, slots=True)
class TcpMssTarget(Target):
    """`mss` None: clamp to the path MTU."""

    NAME: ClassVar[str] = "TCPMSS"
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({6})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("set-mss"), Opt("clamp-mss-to-pmtu", 0),
    )  # fmt: skip

    mss: int | None

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("TCPMSS target: At least one parameter is required")

    @classmethod
    def build(cls, given: Given, env: Env) -> TcpMssTarget:
        mss = number(cls, given, "set-mss", 65535 - (20 if env.family == 4 else 40)) if "set-mss" in given else None
        return cls(None if list(given)[-1:] == ["clamp-mss-to-pmtu"] else mss)  # the last one counts

    def save(self) -> str:
        return "--clamp-mss-to-pmtu" if self.mss is None else f"--set-mss {self.mss}"

    def show(self, numeric: bool = True) -> str:
        return " TCPMSS clamp to PMTU" if self.mss is None else f" TCPMSS set {self.mss}"

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        from .match_transport import Tcp

        if self.mss is None and hooks - {"FORWARD", "OUTPUT", "POSTROUTING"}:
            return True
        # the kernel wants to see that only SYNs come here; it does not ask that of nft
        syn = any(isinstance(m, Tcp) and m.flags and m.flags[1] & 2 and not m.flags_inverted for m in spec.matches)
        return backend == "legacy" and not syn

    def effect(self, place: Place) -> Effect:
        mss = self.mss
        return lambda c: c.set_mss(mss)


@dataclass(frozen=True, slots=True)
class Silent(Target):
    """Targets that change nothing the lab looks at (CHECKSUM, TRACE, AUDIT, CLASSIFY), and those that it does not model."""

    name: str
    saved: str
    shown: str
    reason: str = ""

    @property
    def label(self) -> str:
        return self.name

    @property
    def words(self) -> str:
        return f"-j {self.name} {self.saved}".rstrip()

    def save(self) -> str:
        return self.saved

    def show(self, numeric: bool = True) -> str:
        return self.shown

    def effect(self, place: Place) -> Effect | None:
        return not_modelled(self.reason, place) if self.reason else None
