"""musl 1.2.3's resolver: all servers at once, no second chance on the search list, UDP only.

Source: musl src/network/lookup_name.c (name_from_dns_search, name_from_dns), res_msend.c, resolvconf.c; the sequences
are measured with getaddrinfo(AF_UNSPEC).
"""

from __future__ import annotations

from ..errors import NotModelled
from .message import Response
from .names import labels
from .resolver import Call, SentQuery

__all__ = ["lookup"]

MAX_NAME = 255


def lookup(call: Call, name: str, types: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Addresses, or none and getaddrinfo's error."""
    conf = call.resolv
    if len(name) >= MAX_NAME:
        return (), "EAI_NONAME"
    if not (name.count(".") >= conf.ndots or name.endswith(".")):
        for path in conf.searches:
            if path == ".":
                raise NotModelled("musl with the search path '.': it sends a malformed name and waits for an answer")
            path = path.rstrip(".")
            if not path or len(name) + 1 + len(path) >= MAX_NAME:
                continue
            addresses, error, go_on = _query(call, f"{name}.{path}.", types)
            if not go_on:
                return addresses, error
    addresses, error, _ = _query(call, name if name.endswith(".") else name + ".", types)
    return addresses, error


def _query(call: Call, name: str, types: tuple[str, ...]) -> tuple[tuple[str, ...], str | None, bool]:
    """Addresses, error, and whether the next search path is to be tried (only after NXDOMAIN)."""
    if not all(0 < len(p) <= 63 for p in labels(name)):
        return (), "EAI_NONAME", False
    responses = _send(call, name, types)
    for r in responses:  # the first one that is no plain answer decides
        if r is None:
            return (), "EAI_AGAIN", False
        if r.rcode == "NXDOMAIN":
            return (), "EAI_NONAME", True
    # of a truncated answer the records that fit are taken
    addresses = tuple(rec.data for t, r in zip(types, responses, strict=True) if r for rec in r.answer if rec.type == t)
    return (addresses, None, False) if addresses else ((), "EAI_NONAME", False)


def _send(call: Call, name: str, types: tuple[str, ...]) -> list[Response | None]:
    """Each question to every server from one socket; what has no answer is asked again after timeout/attempts seconds.

    Only NOERROR and NXDOMAIN are answers. A SERVFAIL is asked again at once, twice per question and round.
    """
    conf = call.resolv
    timeout = conf.number("timeout", 5, 60)
    attempts = max(conf.number("attempts", 2, 10), 1)
    interval = timeout / attempts
    port = call.socket()
    answered: list[SentQuery | None] = [None] * len(types)
    start = at = call.time

    def known(i: int, by: float) -> bool:
        q = answered[i]
        return q is not None and q.at + q.elapsed <= by

    while at - start < timeout:
        retries = 2 * len(types)
        queue = [(i, server, at) for i in range(len(types)) for server in call.servers if not known(i, at)]
        while queue:
            i, server, when = queue.pop(0)
            q = call.ask(name, types[i], server, port, start + timeout - when, at=when)
            best, arrival = answered[i], q.at + q.elapsed
            if q.rcode in ("NOERROR", "NXDOMAIN"):
                if best is None or arrival < best.at + best.elapsed:
                    answered[i] = q
            elif q.rcode == "SERVFAIL" and retries and not known(i, arrival):
                retries -= 1
                queue.append((i, server, arrival))
        at += interval
        if all(known(i, at) for i in range(len(types))):
            break
    if all(q is not None for q in answered):
        call.time = max(q.at + q.elapsed for q in answered if q is not None)
    else:
        call.time = start + timeout
    return [q.response if q else None for q in answered]
