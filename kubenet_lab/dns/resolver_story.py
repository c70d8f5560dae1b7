"""Why a resolution went as it did: the reasons behind its queries, worked out when somebody reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trace import Reason

if TYPE_CHECKING:
    from .resolver import Resolution

__all__ = ["reasons"]


def reasons(r: Resolution) -> tuple[Reason, ...]:
    """How the name was expanded, what the answers meant to this C library, and what the server says decided the last one."""
    if r.source == "literal":
        return (Reason("dns.literal", {"name": r.name}),)
    if r.source == "hosts":
        return (Reason("dns.from_hosts", {"name": r.name, "addresses": r.addresses}),)
    out = [_expansion(r)]
    names = list(dict.fromkeys(q.name for q in r.queries))
    found = r.answered_as
    missed = [n for n in names if n != found]
    if missed:
        outcomes = {n: tuple(dict.fromkeys(q.outcome for q in r.queries if q.name == n)) for n in missed}
        packets = sum(q.name in outcomes for q in r.queries)
        out.append(Reason("dns.tried", {"outcomes": outcomes, "packets": packets, "resolver": r.resolver}))
    lost = [q for q in r.queries if q.error == "ETIMEDOUT"]
    if lost:
        q = lost[0]
        out.append(Reason("dns.lost", {"name": q.name, "type": q.type, "server": q.server, "count": len(lost), "elapsed": r.elapsed}))
    for q in r.queries:
        if q.error not in (None, "ETIMEDOUT"):
            out.append(Reason("dns.unreachable", {"server": q.server, "error": q.error}))
            break
    if r:
        out.append(Reason("dns.resolved", {"name": r.name, "full": found or r.name, "addresses": r.addresses, "packets": len(r.queries)}))
    else:
        out.append(Reason("dns.unresolved", {"name": r.name, "error": r.error or "", "text": r.error_text, "packets": len(r.queries)}))
    deciding = next((q for q in r.queries if q.name == found and q.answers), r.queries[0] if r.queries else None)
    if deciding is not None:
        out += deciding.steps
    return tuple(out)


def _expansion(r: Resolution) -> Reason:
    dots, ndots, paths = r.name.count("."), r.resolv.ndots, r.resolv.searches
    params = {"name": r.name, "dots": dots, "ndots": ndots, "searches": paths, "resolver": r.resolver}
    if r.name.endswith("."):
        return Reason("dns.absolute", params)
    if not paths:
        return Reason("dns.no_search", params)
    if dots >= ndots:
        return Reason("dns.absolute_first" if r.resolver == "glibc" else "dns.absolute_only", params)
    return Reason("dns.search_first", params)
