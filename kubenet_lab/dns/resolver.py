"""The stub resolver of a program in a pod: what getaddrinfo asks, in which order, and how long it waits.

`resolve` takes an IP literal as it is, looks into /etc/hosts, then asks by DNS; the walk over the search list, retries
and timeouts are the C library's: `glibc` and `musl` differ. Each question is a packet sent by `Transport.exchange`.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

from ..errors import KubenetError, NotModelled
from ..kernel.process import Transport
from ..trace import Reason, Trace
from .hosts_file import hosts_entries
from .message import Edns, Query, Question, Response
from .names import parse_ip
from .resolv import ResolvConf
from .wire import BadMessage, DnsPayload, parse

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Resolution", "SentQuery", "Call", "resolve"]

FAMILIES: dict[str, tuple[str, ...]] = {"any": ("A", "AAAA"), "IPv4": ("A",), "IPv6": ("AAAA",)}

#: what getaddrinfo's errors say (gai_strerror)
ERRORS = {
    "EAI_NONAME": "Name or service not known", "EAI_AGAIN": "Temporary failure in name resolution",
    "EAI_NODATA": "No address associated with hostname", "EAI_FAIL": "Non-recoverable failure in name resolution",
    "EAI_ADDRFAMILY": "Address family for hostname not supported",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SentQuery:
    """One packet with a question and what came of it.

    `at` and `elapsed` are lab seconds (from the start of the resolution; until the answer, or until the resolver stopped
    waiting). `rcode` is None without an answer, then `error` is an errno name. `steps` says how the server decided.
    """

    name: str
    type: str
    server: str
    rcode: str | None
    at: float
    elapsed: float
    answers: tuple[str, ...] = ()
    error: str | None = None
    protocol: str = "UDP"
    source_port: int = 0
    response: Response | None = field(default=None, repr=False)
    trace: Trace | None = field(default=None, repr=False, compare=False)
    steps: tuple[Reason, ...] = field(default=(), repr=False, compare=False)

    @property
    def outcome(self) -> str:
        """The rcode; "NODATA" for NOERROR without an answer; "no answer" or "refused" without a message."""
        if self.response is not None:
            return "NODATA" if self.response.nodata else self.response.rcode
        return {"ETIMEDOUT": "no answer", "ECONNREFUSED": "port unreachable"}.get(self.error or "", self.error or "no answer")

    def __str__(self) -> str:
        tail = f": {', '.join(self.answers)}" if self.answers else ""
        return f"{self.at:7.3f} s  {self.name} {self.type} @{self.server}  {self.outcome}{tail}"


@dataclass(frozen=True)
class Resolution:
    """What getaddrinfo returned, and every question it asked on the way. `bool(resolution)` is whether there is an address."""

    name: str
    addresses: tuple[str, ...]
    queries: tuple[SentQuery, ...]
    error: str | None  # "EAI_NONAME", "EAI_AGAIN", "EAI_NODATA", "EAI_FAIL"
    elapsed: float
    source: str = "dns"  # "literal", "hosts", "dns"
    resolver: str = "glibc"
    resolv: ResolvConf = field(default_factory=ResolvConf, repr=False)
    family: str = "any"
    client: str = ""  # who asked, in words

    def __bool__(self) -> bool:
        return bool(self.addresses)

    @property
    def error_text(self) -> str:
        return ERRORS.get(self.error or "", "")

    @property
    def answered_as(self) -> str | None:
        """The full name that was found, or None."""
        return next((q.name for q in self.queries if q.answers), None)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        from .resolver_story import reasons

        return reasons(self)

    def explain(self) -> Any:
        """The story in plain sentences: what was asked, in order, and why the resolver went on or stopped."""
        from ..explain.story import Story

        head = f"{self.name}: {', '.join(self.addresses)}" if self else f"{self.name}: {self.error} ({self.error_text})"
        lines = [head, f"{len(self.queries)} queries in {self.elapsed:.3g} s", ""]
        lines += [f"  {q}" for q in self.queries]
        lines += ["", *(f"  {r.sentence}" for r in self.reasons)]
        return Story("\n".join(lines).rstrip())

    @property
    def summary(self) -> str:
        return str(self.explain()).splitlines()[0] + f" · {len(self.queries)} queries, {self.elapsed:.3g} s"

    def to_frame(self) -> pd.DataFrame:
        """One row per packet: at (s), name, type, server, outcome, answers, elapsed (s), protocol, port."""
        import pandas as pd

        columns = ["at", "name", "type", "server", "outcome", "answers", "elapsed", "protocol", "source_port"]
        rows = [[", ".join(q.answers) if c == "answers" else getattr(q, c) for c in columns] for q in self.queries]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "addresses": list(self.addresses), "error": self.error, "elapsed": self.elapsed, "source": self.source,
            "resolver": self.resolver,
            "queries": [
                {"name": q.name, "type": q.type, "server": q.server, "rcode": q.rcode, "error": q.error, "at": q.at, "elapsed": q.elapsed,
                 "answers": list(q.answers), "protocol": q.protocol}
                for q in self.queries
            ],
        }  # fmt: skip

    def __str__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        cells = ((f"{q.at:.3f}", q.name, q.type, q.server, q.outcome, ", ".join(q.answers)) for q in self.queries)
        rows = "".join("<tr>" + "".join(f"<td style='text-align:left'>{html.escape(c)}</td>" for c in row) + "</tr>" for row in cells)
        head = "".join(f"<th style='text-align:left'>{c}</th>" for c in ("s", "name", "type", "server", "outcome", "answers"))
        result = ", ".join(self.addresses) or f"{self.error} ({self.error_text})"
        return (
            f"<div><b>{html.escape(self.name)}</b> → {html.escape(result)}</div>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )  # fmt: skip


class Call:
    """One call of getaddrinfo: its own clock, its sockets, what it sent."""

    def __init__(self, transport: Transport, host: str, name: str, resolv: ResolvConf, ports: Callable[[int], int] | None = None):
        self.transport, self.host, self.name, self.resolv = transport, host, name, resolv
        self.time = 0.0
        self.sent: list[SentQuery] = []
        self._sockets = 0
        self._ports = ports or (lambda n: 32768 + crc32(f"{host}/{name}/{n}".encode()) % 28232)

    @property
    def servers(self) -> tuple[str, ...]:
        return self.resolv.nameservers[:3] or ("127.0.0.1",)

    def socket(self) -> int:
        """The source port of a new socket."""
        self._sockets += 1
        return self._ports(self._sockets)

    def ask(
        self, name: str, type: str, server: str, port: int, timeout: float, *, at: float | None = None, protocol: str = "UDP",
        edns: Edns | None = None, recurse: bool = True,
    ) -> SentQuery:  # fmt: skip
        """Send one question at a time (by default now) and wait for its answer; the call's clock does not move.

        `edns` and `recurse` (the RD bit) are for tools that say more than the C library does.
        """
        at = self.time if at is None else at
        ident = crc32(f"{self.host}/{name}/{type}/{len(self.sent)}".encode()) & 0xFFFF
        query = Query(Question(name, type), ident, rd=recurse, edns=edns)
        said = self.transport.exchange(self.host, server, 53, protocol, DnsPayload(query, stream=protocol == "TCP"), timeout, port)
        response: Response | None = None
        steps: tuple[Reason, ...] = ()
        if said.reply is not None:
            response, steps = _read(said.reply, protocol)
        error = None if response is not None else said.error or "ETIMEDOUT"
        answers = tuple(r.data for r in response.answer if r.type == type) if response else ()
        rcode = response.rcode if response else None
        elapsed = min(said.elapsed, timeout)
        sent = SentQuery(name, type, server, rcode, at, elapsed, answers, error, protocol, port, response, said.trace, steps)
        self.sent.append(sent)
        return sent


def _read(payload: Any, protocol: str) -> tuple[Response | None, tuple[Reason, ...]]:
    if isinstance(payload, DnsPayload):
        return (payload.message if isinstance(payload.message, Response) else None), payload.steps
    raw = bytes(payload)
    try:
        message = parse(raw[2:] if protocol == "TCP" else raw)
    except BadMessage:
        return None, ()
    return (message if isinstance(message, Response) else None), ()


def literal(name: str) -> str | None:
    """The address that a name is, as inet_pton and inet_aton read it (`10.1` is 10.0.0.1), or None."""
    if ":" in name:
        return parse_ip(name)
    parts = name.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    numbers = []
    for p in parts:
        base = 16 if p[:2].lower() == "0x" else 8 if p[:1] == "0" and len(p) > 1 else 10
        try:
            numbers.append(int(p, base) if p.isalnum() else -1)
        except ValueError:
            return None
    *heads, last = numbers
    if last < 0 or any(not 0 <= h < 256 for h in heads) or last >= 1 << (8 * (4 - len(heads))):
        return None
    value = sum(h << (24 - 8 * i) for i, h in enumerate(heads)) + last
    return ".".join(str(value >> s & 255) for s in (24, 16, 8, 0))


def _from_hosts(name: str, hosts: str, types: tuple[str, ...], fold: bool) -> tuple[tuple[str, ...], bool]:
    """Addresses of /etc/hosts, and whether the name stands there at all. glibc folds case, musl does not."""

    def same(n: str) -> bool:
        return n.lower() == name.lower() if fold else n == name

    found = [ip for ip, names in hosts_entries(hosts) if any(map(same, names))]
    return tuple(dict.fromkeys(ip for ip in found if ("AAAA" if ":" in ip else "A") in types)), bool(found)


def resolve(
    transport: Transport, host: str, name: str, resolv: ResolvConf, *, hosts: str = "", family: str = "any", resolver: str = "glibc",
    label: str = "", ports: Callable[[int], int] | None = None,
) -> Resolution:  # fmt: skip
    """getaddrinfo(name) in the namespace `host`. `hosts` is its /etc/hosts; `ports` gives the n-th socket's source port.

    `family` is "any", "IPv4" or "IPv6"; `resolver` "glibc" (2.36) or "musl" (1.2.3); `label` names who asks. Addresses keep the
    order of the answers. Raises NotModelled for other resolvers and for options whose effect is not modelled.
    """
    from . import glibc, musl

    if resolver not in ("glibc", "musl"):
        raise NotModelled(f"the stub resolver {resolver!r}: glibc and musl are modelled")
    if family not in FAMILIES:
        raise KubenetError(f"family {family!r}: expected one of {', '.join(FAMILIES)}")
    types = FAMILIES[family]

    def done(addresses: tuple[str, ...], source: str, error: str | None = None) -> Resolution:
        return Resolution(name, addresses, tuple(call.sent), error, call.time, source, resolver, resolv, family, label)

    call = Call(transport, host, name, resolv, ports)
    if (ip := literal(name)) is not None:
        fits = ("AAAA" if ":" in ip else "A") in types
        wrong = "EAI_ADDRFAMILY" if resolver == "glibc" else "EAI_NONAME"
        return done((ip,) if fits else (), "literal", None if fits else wrong)
    found, listed = _from_hosts(name, hosts, types, fold=resolver == "glibc")
    if found or (listed and resolver == "musl"):  # for musl an entry of the other family is the end
        return done(found, "hosts", None if found else "EAI_NONAME")
    addresses, error = (glibc.lookup if resolver == "glibc" else musl.lookup)(call, name, types)
    return done(addresses, "dns", error)
