"""`curl`: one or more HTTP requests. Source: curl 7.88 src/tool_getparam.c, lib/connect.c, curl(1); messages and status are measured."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ...errors import KubenetError, NotModelled
from ...ingress import HttpResponse, split_url
from ...kernel.shell import Terminal, ToolError
from .machine import Machine

__all__ = ["curl"]

_HINT = "curl: try 'curl --help' or 'curl --manual' for more information"
#: letter -> (long name, does it take a value?); those without a place in `_Asked` are accepted and change nothing here
_OPTIONS = {
    "s": ("silent", False), "S": ("show-error", False), "f": ("fail", False), "i": ("include", False), "I": ("head", False),
    "L": ("location", False), "k": ("insecure", False), "o": ("output", True), "w": ("write-out", True), "m": ("max-time", True),
    "H": ("header", True), "X": ("request", True), "d": ("data", True), "A": ("user-agent", True), "": ("connect-timeout", True),
    "N": ("no-buffer", False), "4": ("ipv4", False),
}  # fmt: skip
_LEFT_OUT = {
    "v": "verbose", "6": "ipv6", "x": "proxy", "u": "user", "O": "remote-name", "F": "form", "T": "upload-file", "b": "cookie",
    "c": "cookie-jar", "e": "referer", "r": "range", "0": "http1.0", "g": "globoff", "K": "config", "D": "dump-header", "Z": "parallel",
}  # fmt: skip
_LEFT_OUT_LONG = (
    "resolve", "connect-to", "retry", "retry-delay", "interface", "cacert", "cert", "key", "http2", "http1.1", "compressed", "trace",
)  # fmt: skip
_FACTS_LEFT_OUT = (
    "time_connect", "time_starttransfer", "time_pretransfer", "time_appconnect", "local_ip", "local_port", "num_connects", "json",
)  # fmt: skip
_MOST_REDIRECTS = 50


@dataclass(slots=True)
class _Asked:
    flags: set[str] = field(default_factory=set)
    headers: dict[str, str] = field(default_factory=dict)
    method: str = ""
    data: list[str] = field(default_factory=list)
    output: str = ""
    write_out: str = ""
    max_time: float | None = None
    connect_timeout: float | None = None
    urls: list[str] = field(default_factory=list)


class _Failed(Exception):
    """What `curl: (code) message` says."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def curl(machine: Machine, t: Terminal, argv: list[str]) -> str:
    a = _parse(argv[1:])
    if not a.urls:
        raise ToolError(f"curl: no URL specified!\n{_HINT}" if argv[1:] else _HINT, 2)
    out = ""
    for url in a.urls:
        facts: dict[str, Any] = {"http_code": "000", "response_code": "000", "size_download": "0", "url": url, "method": a.method or "GET"}
        t.status = 0
        try:
            shown = _transfer(machine, t, a, url, facts)
            out += "" if a.output == "/dev/null" else shown
        except _Failed as e:
            t.status = e.code
            if "s" not in a.flags or "S" in a.flags:
                t.stderr += f"curl: ({e.code}) {e}\n"
        if a.write_out:
            out += _written(t, a.write_out, facts)
    return out


def _transfer(machine: Machine, t: Terminal, a: _Asked, url: str, facts: dict[str, Any]) -> str:
    """What one URL prints. Raises _Failed."""
    out, spent = "", 0.0
    for _ in range(_MOST_REDIRECTS + 1):
        answer, elapsed = _request(machine, t, a, url, facts, spent)
        spent += elapsed
        facts["time_total"] = f"{spent:.6f}"
        facts["http_code"] = facts["response_code"] = f"{answer.status:03}"
        body = b"" if "I" in a.flags else answer.body
        facts["size_download"] = str(len(body))
        if "f" in a.flags and answer.status >= 400:
            raise _Failed(22, f"The requested URL returned error: {answer.status}")
        head = bytes(answer)[: len(answer) - len(answer.body)].decode(errors="replace").replace("\r\n", "\n")
        where = answer.header("Location")
        follows = "L" in a.flags and where is not None and answer.status in (301, 302, 303, 307, 308)
        out += (head if a.flags & {"i", "I"} else "") + ("" if follows else body.decode(errors="replace"))
        if not follows:
            return out
        url = _joined(url, where or "")
    raise _Failed(47, f"Maximum ({_MOST_REDIRECTS}) redirects followed")


def _joined(url: str, where: str) -> str:
    from urllib.parse import urljoin

    return urljoin(url if "://" in url else f"http://{url}", where)


def _request(machine: Machine, t: Terminal, a: _Asked, url: str, facts: dict[str, Any], spent: float) -> tuple[HttpResponse, float]:
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", url)
    if scheme and scheme[1].lower() not in ("http", "https"):
        raise _Failed(1, f'Protocol "{scheme[1]}" not supported or disabled in libcurl')
    if "[" in url.partition("://")[2].partition("/")[2] or "{" in url:
        raise NotModelled("curl's ranges and lists in URLs")
    try:
        parts = split_url(url)
    except KubenetError:
        raise _Failed(3, "URL using bad/illegal format or missing URL") from None
    limits = [x for x in (a.connect_timeout, a.max_time - spent if a.max_time is not None else None) if x is not None]
    # by itself the kernel gives up after its last SYN has waited in vain
    patience = float(2 ** (t.ns.sysctl("net.ipv4.tcp_syn_retries") + 1)) + 1.0
    method = a.method or ("HEAD" if "I" in a.flags else "POST" if a.data else "GET")
    headers = dict(a.headers)
    size = len("&".join(a.data).encode())
    if a.data:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    try:
        trace = machine.fetch(t, url, method=method, headers=headers, body_size=size, timeout=min([patience, *limits]))
    except NotModelled:
        raise
    except KubenetError as e:  # a name or a header that cannot be sent
        raise _Failed(6, f"Could not resolve host: {parts.host}") if "name" in str(e) else ToolError(f"curl: {e}", 2) from None
    name = next((stage for what, stage in trace.stages if what == "resolve"), None)
    tried = sum(what == "connect" for what, _ in trace.stages)
    addresses = (parts.host,) if name is None else name.addresses
    facts |= {"time_namelookup": f"{name.elapsed if name is not None else 0.0:.6f}", "remote_port": str(parts.port) if tried else "0"}
    facts["remote_ip"] = addresses[tried - 1] if tried and (trace or trace.phase == "data") else ""
    if isinstance(trace.answer, HttpResponse):
        return trace.answer, trace.elapsed
    facts["time_total"] = f"{spent + trace.elapsed:.6f}"
    raise _why(trace, parts.host, parts.port, a, spent)


def _why(trace: Any, host: str, port: int, a: _Asked, spent: float) -> _Failed:
    after = round((spent + trace.elapsed) * 1000)
    if trace.phase == "resolve":
        return _Failed(6, f"Could not resolve host: {host}")
    if trace.verdict == "delivered":
        got = len(trace.answer) if trace.answer is not None else 0
        return _Failed(1, "Received HTTP/0.9 when not allowed") if got else _Failed(52, "Empty reply from server")
    if trace.phase == "handshake":
        if trace.error == "ETIMEDOUT":
            if a.connect_timeout is not None and (a.max_time is None or a.connect_timeout < a.max_time):
                return _Failed(28, f"Failed to connect to {host} port {port} after {after} ms: Timeout was reached")
            if a.max_time is not None:
                return _Failed(28, f"Connection timed out after {after} milliseconds")
            return _Failed(28, f"Failed to connect to {host} port {port} after {after} ms: Couldn't connect to server")
        return _Failed(7, f"Failed to connect to {host} port {port} after {after} ms: Couldn't connect to server")
    if trace.error == "ECONNRESET":
        return _Failed(56, "Recv failure: Connection reset by peer")
    if a.max_time is not None or trace.error in (None, "ETIMEDOUT"):
        return _Failed(28, f"Operation timed out after {after} milliseconds with 0 bytes received")
    return _Failed(56, "Failure when receiving data from the peer")


def _written(t: Terminal, text: str, facts: dict[str, Any]) -> str:
    """-w: %{variables} and the escapes of C."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in facts:
            return str(facts[name])
        if name in _FACTS_LEFT_OUT:
            raise NotModelled(f"curl -w %{{{name}}}; the lab has {', '.join(sorted(facts))}")
        t.stderr += f"curl: unknown --write-out variable: '{name}'\n"
        return ""

    done = re.sub(r"%\{(\w+)\}", value, text.replace("%%", "\0")).replace("\0", "%")
    return done.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")


# ---------------------------------------------------------------------------------------------------------- the options
def _parse(words: list[str]) -> _Asked:
    a = _Asked()
    longs = {name: (letter or name, takes) for letter, (name, takes) in _OPTIONS.items()}
    at = 0

    def value(word: str) -> str:
        nonlocal at
        if at >= len(words):
            raise ToolError(f"curl: option {word}: requires parameter\n{_HINT}", 2)
        at += 1
        return words[at - 1]

    while at < len(words):
        word = words[at]
        at += 1
        if word.startswith("--") and len(word) > 2:
            if word[2:] in longs:
                letter, takes = longs[word[2:]]
                _take(a, letter, word, value(word) if takes else "")
            else:
                _unknown(word, word[2:] in (*_LEFT_OUT.values(), *_LEFT_OUT_LONG))
        elif word.startswith("-") and len(word) > 1 and word != "--":
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter not in _OPTIONS:
                    _unknown(f"-{letter}" if len(word) > 2 else word, letter in _LEFT_OUT)
                if _OPTIONS[letter][1]:
                    _take(a, letter, f"-{letter}", rest or value(word))
                    break
                _take(a, letter, word, "")
        elif word != "--":
            a.urls.append(word)
    return a


def _unknown(word: str, left_out: bool) -> None:
    if left_out:
        more = ": cluster.request(src, url).explain() tells more" if word in ("-v", "--verbose") else ""
        raise NotModelled(f"curl {word}{more}")
    raise ToolError(f"curl: option {word}: is unknown\n{_HINT}", 2)


def _take(a: _Asked, letter: str, word: str, text: str) -> None:
    match letter:
        case "m" | "connect-timeout":
            if not re.fullmatch(r"\d+(\.\d*)?", text):
                raise ToolError(f"curl: option {word}: expected a proper numerical parameter\n{_HINT}", 2)
            limit = float(text) or None
            if letter == "m":
                a.max_time = limit
            else:
                a.connect_timeout = limit
        case "H":
            name, colon, content = text.partition(":")
            if colon:
                a.headers[name.strip()] = content.strip()
        case "A":
            a.headers["User-Agent"] = text
        case "X":
            a.method = text
        case "d":
            if text.startswith("@"):
                raise NotModelled("curl -d @file")
            a.data.append(text)
        case "o":
            if text not in ("/dev/null", "-"):
                raise NotModelled(f"curl -o {text}: print it, or -o /dev/null")
            a.output = text
        case "w":
            if text.startswith("@"):
                raise NotModelled("curl -w @file")
            a.write_out = text
        case _:
            a.flags.add(letter)


