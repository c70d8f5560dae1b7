"""Which targets there are, by name; and which the tool knows but the lab does not model."""

from __future__ import annotations

from typing import ClassVar

from ...errors import NotModelled
from .extension import Env, Given, Opt, mark_mask, number
from .target_marks import Connmark, Ct, MarkTarget, NoTrack
from .target_nat import Dnat, Masquerade, Redirect, Snat
from .targets import Log, NfLog, Reject, Silent, Target, TcpMssTarget
from .values import Bad, address_text, address_value, integer, network, network_text

__all__ = ["STANDARD", "TARGETS", "find_target"]

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
        saved = f"--queue-num {integer(given['queue-num'].text) if 'queue-num' in given else 0}"
        if "queue-balance" in given:
            saved = f"--queue-balance {given['queue-balance'].text}"
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
        port = number(cls, given, "on-port", 0xFFFF)
        value, mask = mark_mask(cls, given, "tproxy-mark") if "tproxy-mark" in given else (0, 0)
        ip = address_value(given["on-ip"].text, env.family) if "on-ip" in given else 0
        if ip is None:
            raise Bad(f'TPROXY: Bad value for "--on-ip" option: "{given["on-ip"].text}"')
        words = [f"--on-port {port}"]
        if ip:
            words.append(f"--on-ip {address_text(ip, env.family)}")
        if mask:
            words.append(f"--tproxy-mark 0x{value:x}/0x{mask:x}")
        shown = f" TPROXY redirect {address_text(ip, env.family)}:{port} mark 0x{value:x}/0x{mask:x}"
        return cls(cls.NAME, " ".join(words), shown, "iptables -j TPROXY")


class NetMap(Silent):
    NAME: ClassVar[str] = "NETMAP"
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("to", mandatory=True),)

    @classmethod
    def build(cls, given: Given, env: Env) -> Silent:
        value, mask = network(given["to"].text, env.family)
        text = network_text(value, mask, env.family)
        text = text.removesuffix("/32" if env.family == 4 else "/128")
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
