"""Messages to bytes and back, by dnspython (imported when first needed), and `DnsPayload`, what a packet carries.

The length of an answer decides fragmentation and truncation, so it must be the real one: records are packed
uncompressed unless the message asks for compression, and then only where RFC 1035 and RFC 3597 let names be compressed.
Source: RFC 1035 section 4, RFC 6891; miekg/dns Truncate for what is cut when an answer is too long.
"""

from __future__ import annotations

import io
import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError
from .message import Edns, Flags, Query, Question, Record, Response

if TYPE_CHECKING:
    from ..trace import Reason

__all__ = ["BadMessage", "BadName", "DnsPayload", "Unpackable", "legal_name", "packable", "parse", "to_wire", "truncate", "wire_length"]

_FLAGS = {"AA": 0x0400, "TC": 0x0200, "RD": 0x0100, "RA": 0x0080, "AD": 0x0020, "CD": 0x0010}
#: types whose rdata names may be compressed: those of RFC 1035
_COMPRESSIBLE = frozenset({"CNAME", "NS", "PTR", "SOA", "MX"})
HEADER = 12


class BadMessage(KubenetError):
    """Bytes that are no DNS message. `id` is the header's, or None if there is no whole header."""

    def __init__(self, reason: str, id: int | None = None):
        super().__init__(f"not a DNS message: {reason}")
        self.id = id


class BadName(KubenetError):
    """A text that is no domain name; `reason` in BIND's words (lib/dns/name.c, dns_name_fromtext)."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name!r} is not a legal name ({reason})")
        self.reason = reason


class Unpackable(KubenetError):
    """A message with a name or data that has no bytes: a server cannot send it."""


def legal_name(text: str) -> str:
    """The name as it is printed, with its closing dot: bytes that are not plain letters are escaped. Raises BadName.

    Other letters than ASCII go as their UTF-8 bytes, as tools send them that do not know IDNA.
    """
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(text.encode()).to_text()
    except dns.name.LabelTooLong:
        raise BadName(text, "label too long") from None
    except dns.name.EmptyLabel:
        raise BadName(text, "empty label") from None
    except dns.name.NameTooLong:
        raise BadName(text, "ran out of space") from None
    except dns.name.BadEscape:
        cut = re.search(r"(?<!\\)(?:\\\\)*\\\d{0,2}\Z", text)
        raise BadName(text, "unexpected end of input" if cut else "bad escape") from None
    except (UnicodeEncodeError, dns.exception.DNSException) as error:
        raise BadName(text, str(error) or type(error).__name__) from None


def packable(r: Record) -> None:
    """Raises ValueError for a record that has no bytes: a name or data that its type does not take."""
    try:
        _write_record(io.BytesIO(), r, None)
    except Unpackable as error:
        raise ValueError(str(error)) from None


def _type(text: str) -> int:
    import dns.rdatatype

    return int(dns.rdatatype.from_text(text))


@lru_cache(maxsize=1 << 12)
def _name(text: str) -> Any:
    import dns.name

    return dns.name.from_text(text)


@lru_cache(maxsize=1 << 12)
def _rdata(type: str, data: str, cls: str) -> Any:
    import dns.rdata
    import dns.rdataclass

    return dns.rdata.from_text(dns.rdataclass.from_text(cls), type, data, relativize=False)


def _write_name(file: io.BytesIO, name: str, compress: dict[bytes, int] | None) -> None:
    """A name; what stands behind some label already is pointed at. Case counts, as in miekg/dns (dnspython folds it). Raises Unpackable."""
    import dns.exception

    try:
        wire: bytes = _name(name).to_wire()
    except (dns.exception.DNSException, UnicodeError) as error:
        raise Unpackable(f"the name {name} has no bytes: {error or type(error).__name__}") from None
    if compress is None:
        file.write(wire)
        return
    at = 0
    while wire[at]:
        rest = wire[at:]
        if (pointer := compress.get(rest)) is not None:
            file.write(struct.pack("!H", 0xC000 | pointer))
            return
        if file.tell() < 0x4000:
            compress[rest] = file.tell()
        file.write(wire[at : at + 1 + wire[at]])
        at += 1 + wire[at]
    file.write(b"\0")


def _write_rdata(file: io.BytesIO, r: Record, compress: dict[bytes, int] | None) -> None:
    if compress is None or r.type not in _COMPRESSIBLE:
        _rdata(r.type, r.data, r.cls).to_wire(file)
        return
    words = r.data.split()
    if r.type == "MX":
        file.write(struct.pack("!H", int(words[0])))
    names, numbers = (words[:2], words[2:]) if r.type == "SOA" else (words[-1:], [])
    for name in names:
        _write_name(file, name, compress)
    file.write(b"".join(struct.pack("!I", int(n)) for n in numbers))


def _write_record(file: io.BytesIO, r: Record, compress: dict[bytes, int] | None) -> None:
    """Raises Unpackable."""
    import dns.exception
    import dns.rdataclass

    try:
        _write_name(file, r.name, compress)
        file.write(struct.pack("!HHI", _type(r.type), int(dns.rdataclass.from_text(r.cls)), r.ttl))
        at = file.tell()
        file.write(b"\0\0")
        _write_rdata(file, r, compress)
    except (dns.exception.DNSException, struct.error, ValueError) as error:
        raise Unpackable(f"the record {r.name} {r.type} {r.data} has no bytes: {error or type(error).__name__}") from None
    end = file.tell()
    file.seek(at)
    file.write(struct.pack("!H", end - at - 2))
    file.seek(end)


def _opt(edns: Edns, rcode: int) -> bytes:
    body = b"".join(struct.pack("!HH", code, len(data)) + data for code, data in edns.options)
    ttl = (rcode >> 4) << 24 | edns.version << 16 | (0x8000 if edns.do else 0)
    return b"\0" + struct.pack("!HHIH", 41, edns.size, ttl, len(body)) + body


def to_wire(message: Query | Response) -> bytes:
    """The bytes of a message. Raises Unpackable."""
    import dns.opcode
    import dns.rcode
    import dns.rdataclass

    sections: tuple[tuple[Record, ...], ...] = ((), (), ())
    compress: dict[bytes, int] | None = None
    question, code = message.question, 0
    if isinstance(message, Query):
        bits = sum(_FLAGS[f] for f, on in (("RD", message.rd), ("AD", message.ad), ("CD", message.cd)) if on)
    else:
        bits = 0x8000 | sum(_FLAGS[f] for f in message.flags)
        code = int(dns.rcode.from_text(message.rcode))
        sections = (message.answer, message.authority, message.additional)
        compress = {} if message.compress else None
    bits |= int(dns.opcode.from_text(message.opcode)) << 11 | (code & 15)
    counts = (1 if question else 0, len(sections[0]), len(sections[1]), len(sections[2]) + (message.edns is not None))
    file = io.BytesIO()
    file.write(struct.pack("!HHHHHH", message.id, bits, *counts))
    if question is not None:
        _write_name(file, question.name, compress)
        file.write(struct.pack("!HH", _type(question.type), int(dns.rdataclass.from_text(question.cls))))
    for section in sections:
        for r in section:
            _write_record(file, r, compress)
    if message.edns is not None:
        file.write(_opt(message.edns, code))
    return file.getvalue()


def parse(data: bytes) -> Query | Response:
    """A message from bytes. Raises BadMessage."""
    import dns.exception
    import dns.flags
    import dns.message
    import dns.opcode
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype

    if len(data) < HEADER:
        raise BadMessage(f"{len(data)} bytes, a header has {HEADER}")
    ident = struct.unpack_from("!H", data)[0]
    try:
        m = dns.message.from_wire(data, one_rr_per_rrset=True, ignore_trailing=False)
    except (dns.exception.DNSException, ValueError, struct.error, IndexError) as error:
        raise BadMessage(str(error) or type(error).__name__, ident) from None
    q = m.question[0] if m.question else None
    question = Question(q.name.to_text(), dns.rdatatype.to_text(q.rdtype), dns.rdataclass.to_text(q.rdclass)) if q is not None else None
    options = tuple((int(o.otype), bytes(o.to_wire() or b"")) for o in m.options)
    edns = Edns(m.payload, bool(m.ednsflags & dns.flags.DO), m.edns, options) if m.edns >= 0 else None
    opcode = dns.opcode.to_text(m.opcode())
    if not m.flags & dns.flags.QR:
        if question is None:
            raise BadMessage("a query without a question", ident)
        rd, ad, cd = (bool(m.flags & bit) for bit in (dns.flags.RD, dns.flags.AD, dns.flags.CD))
        return Query(question, ident, rd, ad, cd, edns, opcode)

    def records(section: Any) -> tuple[Record, ...]:
        return tuple(
            Record(s.name.to_text(), dns.rdatatype.to_text(s.rdtype), s.ttl, rd.to_text(), dns.rdataclass.to_text(s.rdclass))
            for s in section
            for rd in s
        )

    return Response(
        dns.rcode.to_text(m.rcode()), records(m.answer), records(m.authority), records(m.additional),
        Flags(f for f, bit in _FLAGS.items() if m.flags & bit), question, ident, edns, opcode,
    )  # fmt: skip


def wire_length(message: Query | Response) -> int:
    return len(to_wire(message))


def truncate(response: Response, size: int) -> Response:
    """The response as it fits in `size` bytes (at least 512): compressed if it must be, then cut section by section with TC set.

    Source: miekg/dns msg_truncate.go. An OPT record is kept and counted.
    """
    size = max(size, 512)
    if wire_length(response.but(compress=False)) <= size:
        return response.but(compress=False)
    room = size - (len(_opt(response.edns, 0)) if response.edns else 0)
    file = io.BytesIO()
    compress: dict[bytes, int] = {}
    file.write(b"\0" * HEADER)
    if response.question is not None:
        _write_name(file, response.question.name, compress)
        file.write(b"\0" * 4)
    kept: list[tuple[Record, ...]] = []
    full = file.tell() >= room
    for section in (response.answer, response.authority, response.additional):
        count = 0
        if not full:
            for r in section:
                _write_record(file, r, compress)
                if file.tell() > room:
                    full = True
                    break
                count += 1
                if file.tell() == room:
                    full = True
                    break
        kept.append(section[:count])
    cut = response.truncated or [len(s) for s in kept] != [len(response.answer), len(response.authority), len(response.additional)]
    return response.but(
        answer=kept[0], authority=kept[1], additional=kept[2], compress=True, flags=response.flags.having("TC") if cut else response.flags
    )


class DnsPayload:
    """A DNS message as the payload of a packet: a value. Its bytes are made when asked for, its length with them.

    `steps` says how the server came to the answer; it is not on the wire.
    `stream` adds the two bytes of length that TCP needs (RFC 1035 4.2.2).
    """

    __slots__ = ("_bytes", "message", "steps", "stream")

    def __init__(self, message: Query | Response, *, stream: bool = False, steps: tuple[Reason, ...] = ()):
        self.message, self.stream, self.steps = message, stream, steps
        self._bytes: bytes | None = None

    def __bytes__(self) -> bytes:
        if self._bytes is None:
            body = to_wire(self.message)
            self._bytes = struct.pack("!H", len(body)) + body if self.stream else body
        return self._bytes

    def __len__(self) -> int:
        return len(bytes(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DnsPayload) and (self.message, self.stream) == (other.message, other.stream)

    def __hash__(self) -> int:
        return hash((self.message, self.stream))

    def __repr__(self) -> str:
        m = self.message
        what = f"{m.rcode} " if isinstance(m, Response) else ""
        return f"DnsPayload({what}{m.question.name} {m.question.type})" if m.question else f"DnsPayload({what.strip()})"
