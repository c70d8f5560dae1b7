"""`dig`: one question to one server, and all of the answer. Source: BIND 9.18 bin/dig (dig.c, dighost.c); the output is measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ...dns.dig import header_lines, question_line, section_line, sections
from ...dns.message import Edns, Response
from ...dns.names import fqdn, reverse_name
from ...dns.resolver import SentQuery, literal
from ...dns.wire import BadName, legal_name, wire_length
from ...errors import NotModelled
from ...kernel.pcap import EPOCH
from ...kernel.shell import Terminal, ToolError
from .machine import Machine

__all__ = ["LAST", "candidates", "dig", "failure", "named"]

_USAGE = """Usage:  dig [@global-server] [domain] [q-type] [q-class] {q-opt}
            {global-d-opt} host [@local-server] {local-d-opt}
            [ host [@local-server] {local-d-opt} [...]]

Use "dig -h" (or "dig -h | more") for complete list of options"""
TYPES = (
    "A", "AAAA", "ANY", "AXFR", "CAA", "CNAME", "DNSKEY", "DS", "HINFO", "HTTPS", "IXFR", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF",
    "SRV", "SVCB", "TXT",
)  # fmt: skip
_SHOWN = ("cmd", "comments", "question", "answer", "authority", "additional", "stats")
#: options of the real one that the lab's does not have
_LEFT_OUT = (
    "multiline", "ttlid", "class", "crypto", "cl", "idnin", "idnout", "ignore", "trace", "identify", "rrcomments", "split", "qr",
    "nssearch", "adflag", "cdflag", "zflag", "nsid", "subnet", "expire", "bufsize", "padding", "keepopen", "tls", "https", "retry",
    "dnssec", "do", "ndots", "domain", "vc", "yaml", "aaonly", "aaflag", "onesoa", "besteffort", "showsearch", "keepalive", "fail",
)  # fmt: skip
_MDNS = (
    ";; WARNING: .local is reserved for Multicast DNS",
    ";; You are currently testing what happens when an mDNS query is leaked to DNS",
)
_DEFAULT_TIMEOUT = 5.0
NO_ANSWER = 9

LAST = ";; no servers could be reached\n"


def failure(sent: SentQuery, server: str, name: str) -> str:
    """What dig and nslookup say of a try without an answer: the socket could not be connected, or nothing good came back."""
    problem = {
        "ECONNREFUSED": "connection refused", "EHOSTUNREACH": "host unreachable", "ENETUNREACH": "network unreachable",
        "EACCES": "permission denied", "EINVAL": "invalid argument",
    }.get(sent.error or "", "timed out")  # fmt: skip
    if problem not in ("timed out", "connection refused") and sent.trace is not None and not sent.trace.frames:
        return f";; UDP setup with {server}#53({server}) for {name or '.'} failed: {problem}.\n{LAST}"
    return f";; communications error to {server}#53: {problem}\n"


@dataclass(slots=True)
class _Asked:
    servers: list[str] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)
    type: str = ""
    shown: set[str] = field(default_factory=lambda: set(_SHOWN))
    short: bool = False
    search: bool = False
    recurse: bool = True
    tcp: bool = False
    edns: bool = True
    cookie: bool = True
    timeout: float = _DEFAULT_TIMEOUT
    tries: int = 3


def named(tool: str, text: str, status: int) -> str:
    """A name as it is asked for; with a closing dot only if it was typed. Raises ToolError as `tool` says it."""
    try:
        full = legal_name(text)
    except BadName as e:
        raise ToolError(f"{tool}: '{text}' is not a legal name ({e.reason})", status) from None
    return full if fqdn(text) == text else full[:-1]


def _fits(name: str) -> bool:
    try:
        return bool(legal_name(name))
    except BadName:
        return False


def candidates(machine: Machine, name: str) -> list[str]:
    """The full names that a search list makes of a name, in their order (dighost.c: all of the list, then the name itself).

    A name that is too long together with a search domain is left out.
    """
    if name.endswith("."):
        return [name]
    resolv = machine.resolv
    listed = [full for s in resolv.searches if _fits(full := f"{name}.{s.rstrip('.')}.")]
    return [f"{name}.", *listed] if name.count(".") >= resolv.ndots else [*listed, f"{name}."]


def dig(machine: Machine, t: Terminal, argv: list[str]) -> str:
    a = _parse(argv[1:])
    if len(a.names) > 1:
        raise NotModelled("dig with several names; one at a time")
    name, type = a.names[0] if a.names else (".", "NS")
    name = named("dig", name, 10)
    type = a.type or type or "A"
    if type in ("AXFR", "IXFR", "ANY"):
        raise NotModelled(f"dig {type}; cluster.dns.query(name, {type!r}) asks the server without a network")
    server, banner = _server(machine, t, a), " ".join(argv[1:])
    call = machine.call(name)
    edns = None
    if a.edns:
        cookie = hashlib.blake2b(f"{call.host}/{call.name}".encode(), digest_size=8).digest()
        edns = Edns(1232, options=((10, cookie),) if a.cookie else ())
    sent, out = None, ""
    for full in candidates(machine, name) if a.search else [name if name.endswith(".") else f"{name}."]:
        sent, text = _ask(machine, t, a, full, type, server, edns)
        out += text
        if sent is None:
            t.status = NO_ANSWER
            if out.endswith(LAST):
                return out
            return out + (_head(a, banner) if "cmd" in a.shown and not a.short else "") + LAST
        if sent.response is not None and sent.response.rcode == "NOERROR":
            break
    assert sent is not None and sent.response is not None
    if a.short:
        return out + "".join(f"{r.data}\n" for r in sent.response.answer)
    return out + _shown(t, a, sent.response, sent, server, banner)


def _ask(machine: Machine, t: Terminal, a: _Asked, name: str, type: str, server: str, edns: Edns | None) -> tuple[SentQuery | None, str]:
    """The answer, or None after the last try; and what is said of tries that failed."""
    said = ""
    protocol = "TCP" if a.tcp else "UDP"
    call = machine.call(name)
    for _ in range(a.tries):
        sent = machine.ask(t, call, name, type, server, a.timeout, protocol, edns, a.recurse)
        if sent.response is None:
            said += failure(sent, server, name.rstrip("."))
            continue
        if "TC" in sent.response.flags and protocol == "UDP":
            said, protocol = said + ";; Truncated, retrying in TCP mode.\n", "TCP"
            sent = machine.ask(t, call, name, type, server, a.timeout, protocol, edns, a.recurse)
            if sent.response is None:
                return None, said
        return sent, said
    return None, said


def _server(machine: Machine, t: Terminal, a: _Asked) -> str:
    if not a.servers:
        return machine.resolv.nameservers[0] if machine.resolv.nameservers else "127.0.0.1"
    word = a.servers[-1]
    if (ip := literal(word)) is not None:
        return ip
    found = machine.resolve(t, word)
    if not found:
        raise ToolError(f"dig: couldn't get address for '{word}': {'failure' if found.error == 'EAI_AGAIN' else 'not found'}", 1)
    return found.addresses[0]


def _head(a: _Asked, banner: str) -> str:
    one = "; (1 server found)\n" if a.servers else ""
    return f"\n; <<>> DiG 9.18 <<>>{' ' if banner else ''}{banner}\n{one};; global options: +cmd\n"


def _shown(t: Terminal, a: _Asked, r: Response, sent: SentQuery, server: str, banner: str) -> str:
    comments = "comments" in a.shown
    out = _head(a, banner) if "cmd" in a.shown else ""
    lines: list[str] = []
    if comments:
        lines.append(";; Got answer:")
        if r.question is not None and r.question.name.lower().rstrip(".").endswith(".local"):
            lines += _MDNS
        lines += header_lines(r)
    if "question" in a.shown and r.question is not None:
        lines += [*([";; QUESTION SECTION:"] if comments else []), question_line(r.question), *([""] if comments else [])]
    for title, records in sections(r):
        if records and title.lower() in a.shown:
            lines += [*([f";; {title} SECTION:"] if comments else []), *map(section_line, records), *([""] if comments else [])]
    if "stats" in a.shown:
        when = datetime.fromtimestamp(EPOCH + t.state.clock, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
        lines += [f";; Query time: {round(1000 * sent.elapsed)} msec", f";; SERVER: {server}#53({server}) ({sent.protocol})"]
        lines += [f";; WHEN: {when}", f";; MSG SIZE  rcvd: {wire_length(r)}", ""]
    return out + "".join(f"{line}\n" for line in lines)


# ---------------------------------------------------------------------------------------------------------- the options
def _parse(words: list[str]) -> _Asked:
    a = _Asked()
    at = 0

    def value(word: str) -> str:
        nonlocal at
        if at >= len(words):
            raise ToolError(f"Invalid option: {word}\n{_USAGE}", 1)
        at += 1
        return words[at - 1]

    while at < len(words):
        word = words[at]
        at += 1
        if word.startswith("@"):
            a.servers.append(word[1:])
        elif word.startswith("+"):
            _option(a, word)
        elif word.startswith("-x"):
            given = word[2:] or value("-x")
            address = literal(given) if ":" in given or given.count(".") == 3 else None
            a.names.append((reverse_name(address) if address else f"{'.'.join(reversed(given.split('.')))}.in-addr.arpa.", "PTR"))
        elif word.startswith("-t"):
            a.type = _type(word[2:] or value("-t"))
        elif word in ("-4", "-u", "-r"):
            pass
        elif word.startswith("-") and len(word) > 1:
            if word[1] in "6bcfhikmpqvy":
                raise NotModelled(f"dig {word}")
            raise ToolError(f"Invalid option: {word}\n{_USAGE}", 1)
        elif word.upper() in TYPES and (a.names or any(w[:1] not in "+-@" for w in words[at:])):
            a.type = word.upper()
        elif word.upper() in ("IN", "CH", "HS", "ANY") and a.names:
            if word.upper() != "IN":
                raise NotModelled(f"dig of class {word}")
        else:
            a.names.append((word, ""))
    return a


def _type(text: str) -> str:
    if text.upper() not in TYPES:
        raise ToolError(f";; Warning, ignoring invalid type {text}", 1)
    return text.upper()


def _option(a: _Asked, word: str) -> None:
    name, equals, text = word[1:].partition("=")
    on = not name.startswith("no")
    plain = name if on else name[2:]
    if plain == "all" and not equals:
        a.shown = set(_SHOWN) if on else set()
    elif plain in _SHOWN and not equals:
        a.shown = a.shown | {plain} if on else a.shown - {plain}
    elif plain == "short":
        a.short = on
    elif plain in ("search", "defname"):
        a.search = on
    elif plain in ("recurse", "rec", "rdflag"):
        a.recurse = on
    elif plain == "tcp":
        a.tcp = on
    elif plain == "edns" and not equals:
        a.edns = on
    elif plain == "cookie" and not equals:
        a.cookie = on
    elif plain in ("time", "timeout", "tries") and on and text.isdigit():
        if plain == "tries":
            a.tries = max(1, int(text))
        else:
            a.timeout = float(max(1, int(text)))
    elif plain in _LEFT_OUT or plain in ("edns", "cookie"):
        raise NotModelled(f"dig {word}")
    else:
        raise ToolError(f"Invalid option: {word}\n{_USAGE}", 1)
