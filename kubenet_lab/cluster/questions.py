"""`ask`: one verb for the first lessons, which picks the question by the form of the target."""

from __future__ import annotations

import re
from typing import Any

from ..errors import KubenetError
from ..objects.snapshot import Snapshot
from .connect import connect, outcomes, resolve
from .connection import Connection, open_connection
from .fork import Fork
from .names import as_ip, party
from .request import request

__all__ = ["Connection", "Fork", "ask", "connect", "only_port", "open_connection", "outcomes", "request", "resolve", "split_port"]


def only_port(snapshot: Snapshot, text: str) -> int | str:
    """The port of a Service ("svc:ns/name") that has one; of several one must be named: KubenetError."""
    service = party(snapshot, text, role="destination").service
    ports = service.spec.ports if service is not None else []
    if len(ports) > 1:
        listed = ", ".join(f"{p.name or p.port} ({p.port}/{p.protocol})" for p in ports)
        raise KubenetError(f'{text} has several ports: {listed}; write one behind it, as in "{text}:{ports[0].name or ports[0].port}"')
    return ports[0].port if ports else 80


_HOST_PORT = re.compile(r"^(?P<host>\[[0-9a-fA-F:.]+\]|(?:(?:svc|node|external):)?[^:]+):(?P<port>[A-Za-z0-9-]+)$")
_PREFIXED = ("svc:", "node:", "external:")


def split_port(text: str) -> tuple[str, int | str] | None:
    """(host, port) of "cart:8080", "svc:shop/cart:http", "[fd00::1]:53"; None if no port is written behind it."""
    bare = text[text.index(":") + 1 :] if text.startswith(_PREFIXED) else text
    if as_ip(bare) is not None or (m := _HOST_PORT.match(text)) is None or (text.startswith(_PREFIXED) and ":" not in bare):
        return None
    return m["host"].strip("[]"), int(m["port"]) if m["port"].isascii() and m["port"].isdigit() else m["port"]


def ask(fork: Fork, src: Any, target: Any, **options: Any) -> Any:
    """A URL is requested, "host:port" is connected to, a bare name is resolved, a bare IP is pinged; anything else is connected to."""
    if not isinstance(target, str):
        return connect(fork, src, target, **options)
    text = target.strip()
    if not text:
        raise KubenetError('target: found nothing, expected a URL, "host:port", a name or an address')
    if "://" in text:
        return request(fork, src, text, **options)
    bare = text[text.index(":") + 1 :] if text.startswith(_PREFIXED) else text
    if as_ip(bare) is not None:
        if text.startswith(_PREFIXED) or "port" in options or "protocol" in options:
            return connect(fork, src, text, **options)
        return connect(fork, src, text, 0, "ICMP", **options)
    if (written := split_port(text)) is not None:
        return connect(fork, src, written[0], **{"port": written[1], **options})
    if text.startswith("svc:") and "port" not in options:
        options["port"] = only_port(fork.cluster.snapshot(), text)
    if "/" in text or text.startswith(_PREFIXED) or "port" in options:
        return connect(fork, src, text, **options)
    return resolve(fork, src, text, **options)
