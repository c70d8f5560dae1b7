"""`nslookup` and `host`, as BIND has them. Source: BIND 9.18 bin/dig (nslookup.c, host.c, dighost.c); the output is measured."""

from __future__ import annotations

from ...dns.message import Record, Response
from ...dns.names import reverse_name
from ...dns.resolver import SentQuery, literal
from ...errors import NotModelled
from ...kernel.shell import Terminal, ToolError
from .dig import LAST, candidates, failure, named
from .machine import Machine, canonical_name

__all__ = ["host", "nslookup"]

_SHOWN = {
    "CNAME": "canonical name", "PTR": "name", "SRV": "service", "TXT": "text", "NS": "nameserver", "MX": "mail exchanger",
}  # fmt: skip
_TRIES = 3


class _NoServer(Exception):
    """Nobody answered; what was said until then."""


def _search(machine: Machine, t: Terminal, name: str, type: str, server: str, manual: bool, timeout: float) -> tuple[SentQuery, str]:
    """The answer that counts, and what is said on the way: until a name is there, or the last candidate. Raises _NoServer."""
    said = ""
    sent: SentQuery | None = None
    for full in candidates(machine, name):
        call = machine.call(full)
        for _ in range(_TRIES):
            sent = machine.ask(t, call, full, type, server, timeout)
            if sent.response is not None:
                break
            said += failure(sent, server, full.rstrip("."))
        assert sent is not None
        if sent.response is None:
            raise _NoServer(said if said.endswith(LAST) else f"{said}{LAST}")
        if not manual and "RA" not in sent.response.flags:
            said += f";; Got recursion not available from {server}\n"
        if sent.response.rcode == "NOERROR":
            break
    assert sent is not None
    return sent, said


def nslookup(machine: Machine, t: Terminal, argv: list[str]) -> str:
    type, words, timeout = "", [], float(machine.resolv.timeout)
    for word in argv[1:]:
        option, _, value = word[1:].partition("=")
        if word.startswith("-") and option in ("type", "query", "querytype", "q", "t") and value:
            type = value.upper()
        elif word.startswith("-") and option in ("timeout", "retry") and value.isdigit():
            timeout = float(value) if option == "timeout" else timeout
        elif word.startswith("-"):
            raise NotModelled(f"nslookup {word}; kubenet-lab knows -type=, -timeout=")
        else:
            words.append(word)
    if not words:
        raise NotModelled("nslookup's own prompt; nslookup NAME [SERVER]")
    if type and type not in ("A", "AAAA", *_SHOWN):
        raise NotModelled(f"nslookup -type={type}; dig NAME {type}")
    if len(words) > 2:
        raise ToolError("Usage:\n   nslookup [-opt ...] host        # just look up 'host' using default server\n"
                        "   nslookup [-opt ...] host server # just look up 'host' using 'server'", 1)  # fmt: skip
    server = _address_of(machine, t, words[1], "nslookup") if len(words) == 2 else _default(machine)
    name, manual = words[0], len(words) == 2
    head = f"Server:\t\t{words[1] if manual else server}\nAddress:\t{server}#53\n\n"
    if (ip := literal(name)) is not None and name.count(".") in (0, 3):
        name, type, head = reverse_name(ip), "PTR", ""
    name = named("nslookup", name, 10)
    try:
        sent, out = _search(machine, t, name, type or "A", server, manual, timeout)
    except _NoServer as e:
        t.status = 1
        return f"{e}\n"
    answer = sent.response
    assert answer is not None
    if answer.rcode != "NOERROR":
        t.status = 1
        return f"{out}{head}** server can't find {name.rstrip('.')}: {answer.rcode}\n\n"
    out += head
    if "AA" not in answer.flags and head:
        out += "Non-authoritative answer:\n"
    if type and not answer.answer:
        return f"{out}*** Can't find {words[0].rstrip('.')}: No answer\n\n"
    out += _records(answer)
    if type:
        return out + "\n"
    call = machine.call(sent.name)
    six = machine.ask(t, call, canonical_name(answer, sent.name), "AAAA", server, timeout)
    if six.response is not None:
        if not manual and "RA" not in six.response.flags:
            out += f";; Got recursion not available from {server}\n"
        out += _records(six.response)
        if not answer.answer and not six.response.answer:
            out += f"*** Can't find {words[0].rstrip('.')}: No answer\n"
    return out + "\n"


def _default(machine: Machine) -> str:
    return machine.resolv.nameservers[0] if machine.resolv.nameservers else "127.0.0.1"


def _address_of(machine: Machine, t: Terminal, word: str, tool: str) -> str:
    if (ip := literal(word)) is not None:
        return ip
    found = machine.resolve(t, word)
    if not found:
        raise ToolError(f"{tool}: couldn't get address for '{word}': {'failure' if found.error == 'EAI_AGAIN' else 'not found'}", 1)
    return found.addresses[0]


def _records(response: Response) -> str:
    def line(r: Record) -> str:
        if r.type in ("A", "AAAA"):
            return f"Name:\t{r.name.rstrip('.')}\nAddress: {r.data}\n"
        return f"{r.name.rstrip('.')}\t{_SHOWN[r.type]} = {r.data}\n" if r.type in _SHOWN else ""

    return "".join(line(r) for r in response.answer)


def host(machine: Machine, t: Terminal, argv: list[str]) -> str:
    """`host NAME [SERVER]`: addresses, aliases and what an address is called."""
    words = [w for w in argv[1:] if not w.startswith("-")]
    if len(words) != len(argv) - 1:
        raise NotModelled("host with options; dig NAME TYPE")
    if not 1 <= len(words) <= 2:
        raise ToolError("Usage: host hostname [server]   (this is what kubenet-lab models of host)", 1)
    server = _address_of(machine, t, words[1], "host") if len(words) == 2 else _default(machine)
    out = f"Using domain server:\nName: {words[1]}\nAddress: {server}#53\nAliases: \n\n" if len(words) == 2 else ""
    name = words[0]
    types: tuple[str, ...] = ("A", "AAAA", "MX")
    if (ip := literal(name)) is not None and name.count(".") in (0, 3):
        name, types = reverse_name(ip), ("PTR",)
    name = named("host", name, 1)
    sent: SentQuery | None = None
    for type in types:
        try:
            again = name if sent is None else canonical_name(sent.response, sent.name)
            sent, _ = _search(machine, t, again, type, server, True, 5.0)
        except _NoServer as e:
            t.status = 1
            return f"{out}{e}"
        assert sent.response is not None
        if sent.response.rcode != "NOERROR":
            t.status = 1
            number = {"FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}.get(sent.response.rcode, 0)
            return f"{out}Host {name.rstrip('.')} not found: {number}({sent.response.rcode})\n"
        out += "".join(_told(r) for r in sent.response.answer if type == "A" or r.type != "CNAME")
    return out


def _told(r: Record) -> str:
    name = r.name.rstrip(".")
    match r.type:
        case "A":
            return f"{name} has address {r.data}\n"
        case "AAAA":
            return f"{name} has IPv6 address {r.data}\n"
        case "CNAME":
            return f"{name} is an alias for {r.data}\n"
        case "PTR":
            return f"{name} domain name pointer {r.data}\n"
        case "MX":
            return f"{name} mail is handled by {r.data}\n"
    return f"{name} {r.type} {r.data}\n"
