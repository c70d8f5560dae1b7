"""DNS messages as values: `Question`, `Query`, `Record`, `Response`.

Records hold presentation text (RFC 1035 zone-file form), so nothing here needs a wire library;
`wire` makes bytes of them. Source: RFC 1035 section 4, RFC 6891 (EDNS), miekg/dns SetReply for the flags of a reply.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from .names import fqdn

__all__ = ["TYPES", "Edns", "Flags", "Query", "Question", "RRset", "Record", "Response", "record"]

#: mnemonics that a Corefile may name
_NAMES = (
    "A A6 AAAA AFSDB AMTRELAY ANY APL ATMA AVC AXFR CAA CDNSKEY CDS CERT CNAME CSYNC CXC DHCID DLV DNAME DNSKEY DS EID EUI48 EUI64 GID "
    "GPOS HINFO HIP HTTPS IPSECKEY ISDN IXFR KEY KX L32 L64 LOC LP MAILA MAILB MB MD MF MG MINFO MR MX NAPTR NID NIMLOC NINFO NS NSEC "
    "NSEC3 NSEC3PARAM NULL NXNAME NXT OPENPGPKEY OPT PTR PX RESINFO RKEY RP RRSIG RT SIG SMIMEA SOA SPF SRV SSHFP SVCB TA TALINK TKEY "
    "TLSA TSIG TXT UID UINFO UNSPEC URI X25 ZONEMD"
)
TYPES = frozenset(_NAMES.split())

_FLAG_ORDER = ("AA", "TC", "RD", "RA", "AD", "CD")


class Flags(frozenset[str]):
    """Header flags, a subset of {"AA", "TC", "RD", "RA", "AD", "CD"}; prints in header order."""

    def __repr__(self) -> str:
        return "{" + ", ".join(repr(f) for f in self.in_order()) + "}"

    def in_order(self) -> tuple[str, ...]:
        return tuple(f for f in _FLAG_ORDER if f in self)

    def having(self, *on: str, off: Iterable[str] = ()) -> Flags:
        return Flags((self | set(on)) - set(off))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `name` has its closing dot and keeps its case; `type` is a mnemonic ("A", "SRV", "TYPE65")."""

    name: str
    type: str = "A"
    cls: str = "IN"

    @property
    def key(self) -> str:
        """The name folded, for comparing."""
        return self.name.lower()

    def __str__(self) -> str:
        return f"{self.name}\t{self.cls}\t{self.type}"


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record. `data` is its rdata in presentation form, names in it with closing dots; `ttl` in seconds."""

    name: str
    type: str
    ttl: int
    data: str
    cls: str = "IN"

    @property
    def target(self) -> str:
        """The name that the rdata points at, or "": CNAME, NS, PTR, DNAME, the last field of SRV and MX, SOA's mname."""
        if self.type in ("CNAME", "NS", "PTR", "DNAME"):
            return self.data
        if self.type in ("SRV", "MX"):
            return self.data.rsplit(None, 1)[-1]
        return self.data.split(None, 1)[0] if self.type == "SOA" else ""

    def pointing(self, target: str) -> Record:
        """The same record with another `target`."""
        if self.type in ("CNAME", "NS", "PTR", "DNAME"):
            return replace(self, data=target)
        if self.type in ("SRV", "MX"):
            return replace(self, data=f"{self.data.rsplit(None, 1)[0]} {target}")
        return replace(self, data=f"{target} {self.data.split(None, 1)[1]}") if self.type == "SOA" else self

    def but(self, **changes: Any) -> Record:
        return replace(self, **changes)

    def __str__(self) -> str:
        return f"{self.name}\t{self.ttl}\t{self.cls}\t{self.type}\t{self.data}"


RRset = tuple[Record, ...]


def record(text: str) -> Record:
    """A record from one line of zone-file text with owner, TTL, class and type. Raises ValueError."""
    parts = text.split(None, 4)
    if len(parts) != 5 or not parts[1].isdigit():
        raise ValueError(f"not a record: {text!r}: expected 'name TTL IN TYPE data'")
    return Record(fqdn(parts[0]), parts[3].upper(), int(parts[1]), " ".join(parts[4].split()), parts[2])


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT pseudo-record (RFC 6891): the sender's UDP payload size in bytes, the DO bit, options as (code, bytes)."""

    size: int = 1232
    do: bool = False
    version: int = 0
    options: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A question on its way: what a client sends."""

    question: Question
    id: int = 0
    rd: bool = True
    ad: bool = False
    cd: bool = False
    edns: Edns | None = None
    opcode: str = "QUERY"

    @property
    def name(self) -> str:
        """The qname folded to lower case."""
        return self.question.name.lower()

    @property
    def type(self) -> str:
        return self.question.type

    @property
    def do(self) -> bool:
        return self.edns is not None and self.edns.do

    def but(self, **changes: Any) -> Query:
        return replace(self, **changes)

    def asking(self, name: str, type: str | None = None) -> Query:
        """The same query with another question."""
        return replace(self, question=Question(fqdn(name), type or self.question.type, "IN"))

    def reply(self, rcode: str = "NOERROR", *, flags: Iterable[str] = (), **sections: Any) -> Response:
        """An answer to this query: the question, id, RD and CD are copied from it."""
        keep = [f for f, on in (("RD", self.rd), ("CD", self.cd)) if on]
        return Response(rcode=rcode, question=self.question, id=self.id, flags=Flags([*keep, *flags]), opcode=self.opcode, **sections)

    def __str__(self) -> str:
        return f"{self.question.name} {self.question.type}"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `rcode` is a mnemonic: "NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "BADVERS"."""

    rcode: str = "NOERROR"
    answer: RRset = ()
    authority: RRset = ()
    additional: RRset = ()
    flags: Flags = field(default_factory=Flags)
    question: Question | None = None
    id: int = 0
    edns: Edns | None = None
    opcode: str = "QUERY"
    compress: bool = False  # names are compressed on the wire (RFC 1035 4.1.4); CoreDNS does so only where it must

    @property
    def truncated(self) -> bool:
        return "TC" in self.flags

    @property
    def nodata(self) -> bool:
        """The name exists, a record of this type does not: NOERROR and nothing in the answer."""
        return self.rcode == "NOERROR" and not self.answer

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(r.data for r in self.answer if r.type in ("A", "AAAA"))

    @property
    def records(self) -> RRset:
        return (*self.answer, *self.authority, *self.additional)

    def but(self, **changes: Any) -> Response:
        return replace(self, **changes)

    def mapped(self, change: Any) -> Response:
        """Every record of every section through `change`."""
        answer, authority, additional = (tuple(map(change, s)) for s in (self.answer, self.authority, self.additional))
        return replace(self, answer=answer, authority=authority, additional=additional)

    def with_ttl(self, ttl: int) -> Response:
        return self.mapped(lambda r: r.but(ttl=ttl))

    def __str__(self) -> str:
        from .dig import dig

        return dig(self)

    def to_dict(self) -> dict[str, Any]:
        return {
            "rcode": self.rcode, "flags": list(self.flags.in_order()), "question": str(self.question) if self.question else None,
            "answer": [str(r) for r in self.answer], "authority": [str(r) for r in self.authority],
            "additional": [str(r) for r in self.additional],
        }  # fmt: skip
