"""Host and path matching of Ingress v1, as the API's text says it.

Sources: networking.k8s.io/v1 types.go (IngressRule, HTTPIngressPath), the Kubernetes documentation
"Ingress" (path types, hostname wildcards) and KEP-1453 (path matching semantics).

What the API leaves open, and what is done here: a request path is compared as it was sent. Whether
`//`, dot segments and percent-encoding are normalised first is up to the controller; `open_parts`
names what in a path an answer may hang on. A trailing dot of the Host header is ignored, as every
controller in use does.
"""

from __future__ import annotations

from typing import Literal

from ..errors import NotModelled

__all__ = ["HOST_RANK", "HostMatch", "PathType", "elements", "match_host", "match_path", "open_parts", "precedence", "request_host"]

PathType = Literal["Exact", "Prefix", "ImplementationSpecific"]
HostMatch = Literal["exact", "wildcard", "any"]

#: the more specific host first
HOST_RANK: dict[str, int] = {"exact": 0, "wildcard": 1, "any": 2}


def request_host(header: str) -> str:
    """The name in a Host header: without port and trailing dot, in lower case."""
    host = header.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]" if "]" in host else host
    name, colon, port = host.rpartition(":")
    if colon and (port.isdigit() or not port):
        host = name
    return host.removesuffix(".")


def match_host(pattern: str, host: str) -> HostMatch | None:
    """How a rule's host covers a request's host (already through `request_host`), or None.

    An empty pattern is every host; `*.foo.com` covers exactly one more label.
    """
    if not pattern:
        return "any"
    pattern = pattern.lower()
    if pattern.startswith("*."):
        label, dot, rest = host.partition(".")
        return "wildcard" if label and dot and rest == pattern[2:] else None
    return "exact" if pattern == host else None


def elements(path: str) -> tuple[str, ...]:
    """The elements of a path: what stands between the slashes; one trailing slash is ignored, "/" has none."""
    path = path.removeprefix("/").removesuffix("/")
    return tuple(path.split("/")) if path else ()


def match_path(path_type: str, path: str, request_path: str) -> bool:
    """Whether a path of a rule matches the path of a request (no query). Case sensitive.

    Raises NotModelled for ImplementationSpecific (and for a missing pathType, which v1 refuses and
    v1beta1 took as ImplementationSpecific).
    """
    if path_type == "Exact":
        return path == request_path
    if path_type == "Prefix":
        wanted = elements(path)
        return elements(request_path)[: len(wanted)] == wanted
    raise NotModelled("pathType ImplementationSpecific: it is up to the controller")


def precedence(path_type: str, path: str) -> tuple[int, int, int]:
    """Sort key among paths that match one request: the smallest wins.

    The longest path first, counted in elements (a trailing slash does not make a Prefix longer), then
    Exact over Prefix, then the longer text. Source: the documentation's "multiple matches" and KEP-1453.
    """
    return -len(elements(path)), 0 if path_type == "Exact" else 1, -len(path)


def open_parts(path: str) -> tuple[str, ...]:
    """What in a request path the API does not say how to compare: controllers may normalise it first."""
    found = []
    if "%" in path:
        found.append("percent-encoding")
    if "//" in path:
        found.append("an empty element (//)")
    if any(e in (".", "..") for e in path.split("/")):
        found.append("a dot segment")
    return tuple(found)
