"""Which targets there are, by name; and which the tool knows but the lab does not model."""

from __future__ import annotations

from typing import ClassVar

from ...errors import NotModelled
from .extension import Env, Given, Opt, mark_mask, number, number_range
from .target_marks import Connmark, Ct, MarkTarget, NoTrack
from .target_nat import Dnat, Masquerade, Redirect, Snat
from .targets import Log, NfLog, Reject, Silent, Target, TcpMssTarget
from .values import Bad, address_text, address_value, host_length, resolved_port

__all__ = ["STANDARD", "TARGETS", "check_chain_name", "find_target"]

STANDARD = frozenset({"ACCEPT", "DROP", "RETURN", "QUEUE"})


class Checksum(Silent):
    NAME: ClassVar[str] = "CHECKSUM"
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"mangle"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("checksum-fill", 0, mandatory=True),)

    @classmethod
    def build(cls, given: Given, env: Env) -> Silent:
        return cls(cls.NAME, "--checksum-fill", " CHECKSUM fill")


class Trace(Silent):
    NAME: ClassVar[str] = "TRACE"
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"raw"})

    @classmethod
    def build(cls, given: Given, env: Env) -> Silent:
        return cls(cls.NAME, "", "")


class NfQueue(Silent):
    NAME: ClassVar[str] = "NFQUEUE"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("queue-num", excludes=("queue-balance",)), Opt("queue-balance", excludes=("queue-num",)), Opt("queue-bypass", 0),
    )  # fmt: skip

    @classmethod
    def build(cls, given: Given, env: Env) -> Silent:
        saved = f"--queue-num {number(cls, given, 'queue-num', 0xFFFF) if 'queue-num' in given else 0}"
        if "queue-balance" in given:
            text = given["queue-balance"].text
            first, last = number_range(cls, given, "queue-balance", 0xFFFF)
            if ":" not in text:
                raise Bad(f'Bad range "{text}"')
            if first >= last:
                raise Bad(f"{first} should be less than {last}")
            saved = f"--queue-balance {first}:{last}"
        shown = " NFQUEUE " + saved.removeprefix("--queue-")
        bypass = "queue-bypass" in given
        return cls(cls.NAME, saved + " --queue-bypass" * bypass, shown + " bypass" * bypass, "iptables -j NFQUEUE")


class TProxy(Silent):
    NAME: ClassVar[str] = "TPROXY"
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"mangle"})
    HOOKS: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING"})
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({6, 17})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("on-port", mandatory=True), Opt("on-ip"), Opt("tproxy-mark"))

    @classmethod
    def build(cls, given: Given, env: Env) -> Silent:
        value, mask = mark_mask(cls, given, "tproxy-mark") if "tproxy-mark" in given else (0, 0)
        ip = address_value(given["on-ip"].text, env.family) if "on-ip" in given else 0
        if ip is None:
            raise Bad(f'TPROXY: Bad value for "--on-ip" option: "{given["on-ip"].text}"')
        port = resolved_port(given["on-port"].text)
        words = [f"--on-port {port}", f"--on-ip {address_text(ip, env.family)}", f"--tproxy-mark 0x{value:x}/0x{mask:x}"]
        shown = f" TPROXY redirect {address_text(ip, env.family)}:{port} mark 0x{value:x}/0x{mask:x}"
        return cls(cls.NAME, " ".join(words), shown, "iptables -j TPROXY")


class NetMap(Silent):
    NAME: ClassVar[str] = "NETMAP"
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("to", mandatory=True),)

    @classmethod
    def build(cls, given: Given, env: Env) -> Silent:
        value, length = host_length(cls.NAME, "to", given["to"].text, env.family)
        bits = 32 if env.family == 4 else 128
        text = f"{address_text(value >> (bits - length) << (bits - length), env.family)}/{length}"
        return cls(cls.NAME, f"--to {text}", f" to:{text}", "iptables -j NETMAP")


TARGETS: dict[str, type[Target]] = {
    t.NAME: t
    for t in (
        Reject, MarkTarget, Connmark, Ct, NoTrack, Log, NfLog, TcpMssTarget, Dnat, Snat, Masquerade, Redirect,
        Checksum, Trace, NfQueue, TProxy, NetMap,
    )
}  # fmt: skip

# extensions of iptables 1.8.9 that are left out
LEFT_OUT = frozenset({
    "AUDIT", "CLASSIFY", "CLUSTERIP", "CONNSECMARK", "DNPT", "DSCP", "ECN", "HL", "HMARK", "IDLETIMER", "LED", "RATEEST", "SECMARK", "SET",
    "SNPT", "SYNPROXY", "TCPOPTSTRIP", "TEE", "TOS", "TTL", "ULOG",
})  # fmt: skip


def find_target(name: str) -> type[Target] | None:
    """None for a name that can only be a chain. Raises NotModelled for a target that is left out."""
    found = TARGETS.get(name)
    if found is None and name in LEFT_OUT:
        raise NotModelled(f"iptables -j {name}")
    return found


def check_chain_name(name: str, clash: bool = True) -> None:
    """What -N refuses. Raises Bad."""
    if len(name) > 28:
        raise Bad(f"chain name `{name}' too long (must be under 29 chars)")
    if clash and (name in STANDARD or name in TARGETS or name in LEFT_OUT):
        raise Bad("chain name may not clash with target name")
    if any(c.isspace() for c in name):
        raise Bad(f"Invalid chain name `{name}'")
