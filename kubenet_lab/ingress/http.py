"""HTTP/1.1 requests and responses as frozen values that are also payloads.

`bytes()` gives what stands on the wire (RFC 9112), `len()` its size. `scheme` and `sni` are what TLS
around it would carry; TLS itself adds no bytes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import KubenetError, is_text
from ..kernel.packet import Filler

if TYPE_CHECKING:
    from ..kernel.process import Exchange

__all__ = ["REASONS", "Headers", "HttpRequest", "HttpResponse", "Url", "split_url"]

Headers = tuple[tuple[str, str], ...]

#: reason phrases of RFC 9110 for the status codes that the lab produces
REASONS: dict[int, str] = {
    200: "OK", 301: "Moved Permanently", 302: "Found", 308: "Permanent Redirect", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    413: "Content Too Large", 421: "Misdirected Request", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Url:
    scheme: str  # "http" | "https"
    host: str  # as written, without port, lower case; an IPv6 address without brackets
    port: int
    path: str  # at least "/"
    query: str = ""

    @property
    def target(self) -> str:
        """Path and query: what the request line carries."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def authority(self) -> str:
        """The Host header a client sends: the port only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def split_url(url: str) -> Url:
    """The parts of an http or https URL; without a scheme it is http. User and fragment are dropped, as a client does.

    Raises KubenetError that says what is wrong with it.
    """
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    if any(c <= " " or c == "\x7f" for c in text):
        raise KubenetError(f"bad URL {url!r}: it contains white space or a control character; encode it as %20")
    if not is_text(text):
        raise KubenetError(f"bad URL {url!r}: half of a UTF-16 pair is no character")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        raise KubenetError(f"bad URL {url!r}: {e}") from None
    if parts.scheme not in ("http", "https"):
        raise KubenetError(f"bad URL {url!r}: the scheme is {parts.scheme!r}, expected http or https")
    if not parts.hostname:
        raise KubenetError(f"bad URL {url!r}: no host")
    if port == 0:
        raise KubenetError(f"bad URL {url!r}: port 0 cannot be connected to")
    return Url(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.path or "/", parts.query)


def _pairs(headers: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> Headers:
    items = tuple(headers.items() if isinstance(headers, Mapping) else headers or ())
    for name, value in items:
        if not name or any(c in ' \t\r\n:"(),/;<=>?@[\\]{}' or ord(c) < 33 or ord(c) > 126 for c in name):
            raise KubenetError(f"bad header name {name!r}: a name is one token, without spaces and colons")
        if any(c in value for c in "\r\n\0"):
            raise KubenetError(f"bad value of header {name!r}: it contains a line break")
        if not is_text(value):
            raise KubenetError(f"bad value of header {name!r}: half of a UTF-16 pair is no character")
    return items


def _get(headers: Headers, name: str) -> str | None:
    """All values of a header joined by commas (RFC 9110, 5.3), or None."""
    found = [v for n, v in headers if n.lower() == name.lower()]
    return ", ".join(found) if found else None


def _with(headers: Headers, name: str, value: str) -> Headers:
    """Header `name` set to `value`, at its first place or at the end."""
    out: list[tuple[str, str]] = []
    done = False
    for n, v in headers:
        if n.lower() != name.lower():
            out.append((n, v))
        elif not done:
            out.append((n, value))
            done = True
    return tuple(out) if done else (*out, (name, value))


def _head(first: str, headers: Headers) -> bytes:
    return "".join([first, "\r\n", *(f"{n}: {v}\r\n" for n, v in headers), "\r\n"]).encode("latin-1", "replace")


def _split(data: bytes) -> tuple[str, Headers, bytes]:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        raise KubenetError("not HTTP/1.1: no empty line after the headers")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise KubenetError(f"not HTTP/1.1: bad header line {line!r}")
        headers.append((name, value.strip(" \t")))
    return first, tuple(headers), body


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `headers` holds everything but Host and Content-Length, in order; `body_size` counts bytes that carry no meaning."""

    method: str = "GET"
    target: str = "/"  # path and query
    host: str = ""  # the Host header, port included if the client sent it
    headers: Headers = ()
    body: bytes = b""
    body_size: int = 0
    scheme: str = "http"
    sni: str = ""

    @classmethod
    def to(
        cls,
        url: str | Url,
        method: str = "GET",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body_size: int = 0,
        sni: str | None = None,
    ) -> HttpRequest:
        """The request a client sends for a URL. A Host header among `headers` replaces the URL's own, the SNI stays the URL's."""
        u = split_url(url) if isinstance(url, str) else url
        pairs = _pairs(headers)
        method = method.upper()
        if not method.isalpha():
            raise KubenetError(f"bad method {method!r}: expected one word such as GET")
        host = _get(pairs, "Host")
        rest = tuple((n, v) for n, v in pairs if n.lower() not in ("host", "content-length"))
        name = (sni if sni is not None else u.host) if u.scheme == "https" else ""
        return cls(method, u.target, u.authority if host is None else host, rest, b"", body_size, u.scheme, name)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.body) + self.body_size

    def header(self, name: str) -> str | None:
        if name.lower() == "host":
            return self.host
        return _get(self.headers, name)

    def with_header(self, name: str, value: str) -> HttpRequest:
        """This request with one header set."""
        if name.lower() == "host":
            return replace(self, host=value)
        return replace(self, headers=_with(self.headers, name, value))

    def _top(self) -> bytes:
        # RFC 9112: exactly one Host in every request; Content-Length where there is a body
        headers = (("Host", self.host), *self.headers)
        if self.size:
            headers = (*headers, ("Content-Length", str(self.size)))
        return _head(f"{self.method} {self.target} HTTP/1.1", headers)

    def __len__(self) -> int:
        return len(self._top()) + self.size

    def __bytes__(self) -> bytes:
        return self._top() + self.body + bytes(Filler(self.body_size))

    @classmethod
    def from_bytes(cls, data: bytes, scheme: str = "http") -> HttpRequest:
        """Parse one request in origin form. Raises KubenetError."""
        first, headers, body = _split(data)
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise KubenetError(f"not HTTP/1.1: bad request line {first!r}")
        hosts = [v for n, v in headers if n.lower() == "host"]
        if len(hosts) != 1:
            raise KubenetError(f"not HTTP/1.1: {len(hosts)} Host headers, expected 1")
        rest = tuple((n, v) for n, v in headers if n.lower() not in ("host", "content-length"))
        return cls(words[0], words[1], hosts[0], rest, body, 0, scheme, "")

    def __str__(self) -> str:
        return f"{self.method} {self.scheme}://{self.host}{self.target}"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response. `decision` and `exchange` (not on the wire) say how a controller came to it: its route and the walk to the pod."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    decision: Any = field(default=None, compare=False, repr=False)
    exchange: Exchange | None = field(default=None, compare=False, repr=False)
    endpoint: str = ""  # "10.244.1.5:8080", the pod a controller chose

    @property
    def reason(self) -> str:
        return REASONS.get(self.status, "")

    def header(self, name: str) -> str | None:
        return str(len(self.body)) if name.lower() == "content-length" else _get(self.headers, name)

    def _top(self) -> bytes:
        return _head(f"HTTP/1.1 {self.status} {self.reason}", (*self.headers, ("Content-Length", str(len(self.body)))))

    def __len__(self) -> int:
        return len(self._top()) + len(self.body)

    def __bytes__(self) -> bytes:
        return self._top() + self.body

    @classmethod
    def from_bytes(cls, data: bytes) -> HttpResponse:
        """Parse one response. Raises KubenetError."""
        first, headers, body = _split(data)
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise KubenetError(f"not HTTP/1.1: bad status line {first!r}")
        return cls(int(words[1]), tuple((n, v) for n, v in headers if n.lower() != "content-length"), body)

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".rstrip()
