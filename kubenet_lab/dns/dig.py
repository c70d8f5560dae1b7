"""A response as dig 9.18 prints it.

Columns are dig's: owner, TTL at 24, class at 32, type at 40, data at 48, with tabs of 8.
"""

from __future__ import annotations

from .message import Question, Record, Response, RRset

__all__ = ["dig", "header_lines", "question_line", "section_line", "sections"]


def _column(line: str, column: int) -> str:
    """The line filled up to a column, one further at least: tabs as far as they go, then spaces (BIND's masterdump.c indent)."""
    at = len(line.expandtabs(8))
    to = max(column, at + 1)
    if tabs := to // 8 - at // 8:
        line, at = line + "\t" * tabs, to // 8 * 8
    return line + " " * (to - at)


def section_line(r: Record) -> str:
    line = _column(r.name, 24) + str(r.ttl)
    line = _column(line, 32) + r.cls
    line = _column(line, 40) + r.type
    return _column(line, 48) + r.data


def question_line(q: Question) -> str:
    line = _column(q.name, 32) + q.cls  # the semicolon counts for no column
    return ";" + _column(line, 40) + q.type


def header_lines(response: Response) -> list[str]:
    """The header and what EDNS says; an empty line between them."""
    flags = " ".join(["qr", *(f.lower() for f in response.flags.in_order())])
    counts = (len(response.answer), len(response.authority), len(response.additional) + (response.edns is not None))
    lines = [
        f";; ->>HEADER<<- opcode: {response.opcode}, status: {response.rcode}, id: {response.id}",
        f";; flags: {flags}; QUERY: {1 if response.question else 0}, ANSWER: {counts[0]}, AUTHORITY: {counts[1]}, ADDITIONAL: {counts[2]}",
    ]
    if "RD" in response.flags and "RA" not in response.flags:
        lines.append(";; WARNING: recursion requested but not available")
    lines.append("")
    if response.edns is not None:
        do = " do" if response.edns.do else ""
        lines += [";; OPT PSEUDOSECTION:", f"; EDNS: version: {response.edns.version}, flags:{do}; udp: {response.edns.size}"]
        # RFC 7873: eight bytes are the client's own, sent back
        lines += [f"; COOKIE: {data.hex()}{' (echoed)' if len(data) == 8 else ''}" for code, data in response.edns.options if code == 10]
    return lines


def dig(response: Response) -> str:
    """The answer part of dig's output."""
    lines = header_lines(response)
    if response.question is not None:
        lines += [";; QUESTION SECTION:", question_line(response.question), ""]
    for title, records in sections(response):
        if records:
            lines += [f";; {title} SECTION:", *map(section_line, records), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def sections(response: Response) -> tuple[tuple[str, RRset], ...]:
    return (("ANSWER", response.answer), ("AUTHORITY", response.authority), ("ADDITIONAL", response.additional))
