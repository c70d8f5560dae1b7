"""What kind of answer a response is, as caches see it. Source: coredns plugin/pkg/response/typify.go, dnsutil/ttl.go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from .message import Query, Response

__all__ = ["Kind", "minimal_ttl", "typify"]

Kind = Literal["NOERROR", "NXDOMAIN", "NODATA", "SERVERERROR", "DELEGATION", "META", "OTHERERROR"]

MINIMAL_TTL = 5  # seconds; also of answers that carry no TTL
MAXIMAL_TTL = 3600


def typify(response: Response, now: float | None = None) -> Kind:
    """`now` is unix time in seconds, for signatures that have expired (looked at with DO only); None: they have not."""
    if response.opcode == "NOTIFY" or (response.question and response.question.type in ("AXFR", "IXFR")):
        return "META"
    if response.edns is not None and response.edns.do and now is not None and _expired(response, now):
        return "OTHERERROR"
    if response.answer and response.rcode == "NOERROR":
        return "NOERROR"
    types = [r.type for r in response.authority]
    if "SOA" in types and response.rcode == "NOERROR":
        return "NODATA"
    if "SOA" in types and response.rcode == "NXDOMAIN":
        return "NXDOMAIN"
    if response.rcode in ("SERVFAIL", "NOTIMP"):
        return "SERVERERROR"
    if "NS" in types and response.rcode == "NOERROR":
        return "DELEGATION"
    return "NOERROR" if response.rcode == "NOERROR" else "OTHERERROR"


def _expired(response: Response, now: float) -> bool:
    for r in response.records:
        if r.type == "RRSIG":
            expires, begins = r.data.split()[4:6]
            until, since = (datetime.strptime(t, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() for t in (expires, begins))
            if not since <= now <= until:
                return True
    return False


def minimal_ttl(response: Response, kind: Kind) -> int:
    """Seconds: the least TTL of all records, at most an hour; 5 for what is no answer or holds no record."""
    if kind not in ("NOERROR", "NXDOMAIN", "NODATA") or not response.records:
        return MINIMAL_TTL
    return min([MAXIMAL_TTL, *(r.ttl for r in response.records)])


def answers(response: Response, query: Query) -> bool:
    """Whether the response is about the question that was asked (request.Match)."""
    q = response.question
    return q is not None and q.name.lower() == query.name and q.type == query.type
