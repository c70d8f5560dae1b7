"""glibc 2.36's resolver: the walk over the search list, A and AAAA in pairs, retries, and what it makes of each answer.

Source: glibc resolv/res_query.c (__res_context_search, __res_context_query), resolv/res_send.c (send_dg, send_vc),
resolv/nss_dns/dns-host.c; the sequences are measured with getaddrinfo(AF_UNSPEC) on Debian 12.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NotModelled
from .message import Response
from .names import labels
from .resolver import Call, SentQuery

__all__ = ["lookup"]

#: rcodes after which the next server, or the next attempt, is tried
_RETRY = ("SERVFAIL", "NOTIMP", "REFUSED")
MAX_NAME = 253


@dataclass(slots=True)
class _State:
    """What lasts over the questions of one call: the modes that a lost answer switched on."""

    types: tuple[str, ...]
    single: bool  # AAAA goes out only after A's answer
    reopen: bool  # and from a socket of its own
    tcp: bool
    last_rcode: str = "NOERROR"  # of the last message received


@dataclass(frozen=True, slots=True)
class _Tried:
    """One name asked: answers that count, or why there are none ("HOST_NOT_FOUND", "NO_DATA", "TRY_AGAIN", "NO_RECOVERY")."""

    responses: tuple[Response, ...] = ()
    h_errno: str = ""
    refused: bool = False  # no server is there at all

    @property
    def found(self) -> bool:
        return not self.h_errno


def lookup(call: Call, name: str, types: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Addresses, or none and getaddrinfo's error."""
    conf = call.resolv
    if conf.option("rotate") and len(call.servers) > 1:
        raise NotModelled("resolv.conf option rotate: the first server is drawn at random")
    if conf.option("no-aaaa"):
        types = tuple(t for t in types if t != "AAAA")
    reopen = conf.option("single-request-reopen")
    state = _State(types, conf.option("single-request") or reopen, reopen, conf.option("use-vc"))
    if not types:
        return (), "EAI_NODATA"
    tried = _search(call, name, state)
    if tried.found:
        addresses = tuple(r.data for t in types for response in tried.responses for r in response.answer if r.type == t)
        return (addresses, None) if addresses else ((), "EAI_NONAME")  # nothing but a CNAME
    return (), {"TRY_AGAIN": "EAI_AGAIN", "NO_DATA": "EAI_NODATA"}.get(tried.h_errno, "EAI_NONAME")


def _search(call: Call, name: str, state: _State) -> _Tried:
    """The name as it is first if it has enough dots or ends in one; then each search path; then as it is after all."""
    dots, absolute = name.count("."), name.endswith(".")
    first: _Tried | None = None
    if dots >= call.resolv.ndots or absolute:
        first = _query(call, name, state)
        if first.found or absolute:
            return first
    nodata = servfail = root_listed = False
    last = _Tried(h_errno="HOST_NOT_FOUND")
    for path in call.resolv.searches:
        path = path.removeprefix(".")
        root_listed |= not path
        last = _query(call, f"{name}.{path}" if path else name, state)
        if last.found:
            return last
        if last.refused:
            return _Tried(h_errno="TRY_AGAIN")
        if last.h_errno == "NO_DATA":
            nodata = True
        elif last.h_errno == "TRY_AGAIN" and state.last_rcode == "SERVFAIL":
            servfail = True
        elif last.h_errno != "HOST_NOT_FOUND":
            break
    if first is None and not root_listed:
        last = _query(call, name, state)
        if last.found:
            return last
    if first is not None:
        return first
    if nodata:
        return _Tried(h_errno="NO_DATA")
    return _Tried(h_errno="TRY_AGAIN") if servfail else last


def _query(call: Call, name: str, state: _State) -> _Tried:
    """Ask for one full name and judge the answers together."""
    fqdn = name if name.endswith(".") else name + "."
    parts = labels(fqdn)
    if len(fqdn) > MAX_NAME + 1 or not all(0 < len(p) <= 63 for p in parts):
        return _Tried(h_errno="NO_RECOVERY")
    responses, refused = _send(call, fqdn, state)
    if responses is None:
        return _Tried(h_errno="TRY_AGAIN", refused=refused)
    if any(r.rcode == "NOERROR" and r.answer for r in responses):
        return _Tried(tuple(r for r in responses if r.rcode == "NOERROR"))
    rcode = next((r.rcode for r in responses if r.rcode != "NOERROR"), "NOERROR")
    return _Tried(h_errno={"NXDOMAIN": "HOST_NOT_FOUND", "NOERROR": "NO_DATA", "SERVFAIL": "TRY_AGAIN"}.get(rcode, "NO_RECOVERY"))


def _send(call: Call, name: str, state: _State) -> tuple[tuple[Response, ...] | None, bool]:
    """Every server in turn, `attempts` times over. None if nobody gave an answer; then whether all of them refused."""
    servers = call.servers
    sockets: dict[int, int] = {}  # one per server, kept for every attempt
    somewhere = False
    for _ in range(call.resolv.attempts):
        for i, server in enumerate(servers):
            tcp = state.tcp
            if not tcp:
                # the wait doubles from server to server and is shared out among them
                seconds = max((call.resolv.timeout << i) // (len(servers) if i else 1), 1)
                responses, tcp, got = _datagrams(call, name, state, i, sockets, seconds)
                somewhere |= got
            if tcp:
                responses, got = _stream(call, name, state, server)
                somewhere |= got
            if responses:
                return responses, False
    return None, not somewhere


def _datagrams(
    call: Call, name: str, state: _State, index: int, sockets: dict[int, int], seconds: int
) -> tuple[tuple[Response, ...], bool, bool]:
    """One round over UDP: (answers that count, whether TCP is asked for, whether the server is there)."""
    server = call.servers[index]
    if index not in sockets:
        sockets[index] = call.socket()
    while True:
        start, port = call.time, sockets[index]
        events: list[SentQuery] = []
        second = port
        for n, kind in enumerate(state.types):
            at = start
            if n and state.single:
                at = events[0].at + events[0].elapsed
                if events[0].error is not None:
                    break  # the second question waits for the first answer
                if state.reopen:
                    second = sockets[index] = call.socket()
            sent = call.ask(name, kind, server, second if n else port, seconds - (at - start), at=at)
            events.append(sent)
        events.sort(key=lambda q: q.at + q.elapsed)
        kept: list[Response] = []
        waiting = len(state.types)
        got = False
        for q in events:
            if q.error is not None and q.error != "ETIMEDOUT":  # an ICMP error ends the round
                call.time = q.at + q.elapsed
                return (), False, got
            if q.response is None:
                continue
            got = True
            waiting -= 1
            call.time = q.at + q.elapsed
            state.last_rcode = q.response.rcode
            if q.response.rcode in _RETRY or _lame(q.response):
                if kept:
                    return tuple(kept), False, True
                continue
            if q.response.truncated:
                return (), True, True
            kept.append(q.response)
        if not waiting:
            return tuple(kept), False, True
        # time is up with an answer missing
        call.time = start + seconds
        if not kept:
            return (), False, True
        if not state.single:
            state.single = True  # some servers cannot take two questions at once: one after the other from now on
        elif not state.reopen:
            state.reopen = True
            sockets[index] = call.socket()
        else:
            return tuple(kept), False, True


def _stream(call: Call, name: str, state: _State, server: str) -> tuple[tuple[Response, ...], bool]:
    """Both questions over one TCP connection: (answers that count, whether the server is there)."""
    port = call.socket()
    kept: list[Response] = []
    end = call.time
    for kind in state.types:
        q = call.ask(name, kind, server, port, call.resolv.timeout, protocol="TCP")
        end = max(end, q.at + q.elapsed)
        if q.response is None:
            call.time = end
            return (), q.error == "ETIMEDOUT"
        state.last_rcode = q.response.rcode
        if q.response.rcode not in _RETRY:
            kept.append(q.response)
    call.time = end
    return tuple(kept), True


def _lame(r: Response) -> bool:
    """An empty answer of a server that neither knows the zone nor recurses."""
    return r.rcode == "NOERROR" and not r.answer and not r.flags & {"AA", "RA"} and not r.additional and r.edns is None
