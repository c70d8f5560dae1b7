"""`wget -q -O-`: a page or nothing. Source: GNU Wget 1.21 wget(1), src/exits.c; status and retries are measured."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

from ...errors import KubenetError, NotModelled
from ...ingress import HttpResponse, split_url
from ...kernel.shell import Terminal, ToolError
from ...kernel.shell.traffic import options
from .machine import Machine

__all__ = ["wget"]

_USAGE = "Usage: wget [OPTION]... [URL]...\n\nTry `wget --help' for more options."
_LONG = ["spider", "quiet", "timeout=", "tries=", "header=", "output-document=", "server-response", "no-check-certificate"]
_SAME = {"--quiet": "-q", "--timeout": "-T", "--tries": "-t", "--output-document": "-O", "--server-response": "-S"}
NETWORK_FAILURE, SERVER_ERROR = 4, 8


def wget(machine: Machine, t: Terminal, argv: list[str]) -> str:
    found, urls = options("wget", argv[1:], "qO:T:t:S", _LONG, _USAGE, 2)
    given: dict[str, Any] = {_SAME.get(name, name): value for name, value in found}
    headers = dict(v.split(":", 1) for n, v in found if n == "--header" and ":" in v)
    if not urls:
        raise ToolError(f"wget: missing URL\n{_USAGE}", 1)
    if "-q" not in given:
        raise NotModelled("wget without -q, which tells a story with dates; wget -qO- URL, or curl")
    if given.get("-O", "" if "--spider" not in given else "-") not in ("-", "/dev/null"):
        raise NotModelled("wget into a file; wget -qO- URL prints it")
    if "-S" in given:
        raise NotModelled("wget -S; curl -i URL")
    limit, tries = _number(given.get("-T", "0")), int(_number(given.get("-t", "20")))
    out = ""
    for url in urls:
        out += _page(machine, t, url, limit, tries or 20, {k.strip(): v.strip() for k, v in headers.items()}, spider="--spider" in given)
    return out if given.get("-O") == "-" and "--spider" not in given else ""


def _number(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?", text):
        raise ToolError(f"wget: timeout: Invalid time period ‘{text}’" if text else _USAGE, 2)
    return float(text)


def _page(machine: Machine, t: Terminal, url: str, limit: float, tries: int, headers: dict[str, str], *, spider: bool) -> str:
    """What it prints; `t.status` says how it went. Refusals end it at once; silence is tried again, after 1, 2, ... 10 seconds."""
    patience = float(2 ** (t.ns.sysctl("net.ipv4.tcp_syn_retries") + 1)) + 1.0
    at = 0
    for _ in range(20):  # redirections
        while True:
            at += 1
            try:
                split_url(url)
                method = "HEAD" if spider else "GET"
                trace = machine.fetch(t, url, method=method, headers=headers, timeout=min(patience, limit) if limit else patience)
            except NotModelled:
                raise
            except KubenetError:
                t.status = NETWORK_FAILURE if "://" in url else 1
                return ""
            answer = trace.answer
            if isinstance(answer, HttpResponse) or trace.phase == "resolve" or trace.error == "ECONNREFUSED" or at >= tries:
                break
            t.state.clock += min(at, 10)
        if not isinstance(answer, HttpResponse):
            t.status = NETWORK_FAILURE
            return ""
        where = answer.header("Location")
        if where is not None and answer.status in (301, 302, 303, 307, 308):
            url = urljoin(url if "://" in url else f"http://{url}", where)
            continue
        if answer.status >= 400:
            t.status = SERVER_ERROR
            return ""
        return answer.body.decode(errors="replace")
    t.status = SERVER_ERROR
    return ""
