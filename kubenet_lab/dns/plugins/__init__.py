"""CoreDNS's plugins, one module each, and the chain that a server block makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from ..caddyfile import CorefileError
from ..corefile import ServerBlock
from . import autopath, cache, forward, hosts, kubernetes, loadbalance, rewrite, small, template
from .base import Plugin, Setup

__all__ = ["SILENT", "chain"]

#: directives that never change an answer: logs, metrics, probes, listeners, reloading
SILENT = frozenset({
    "root", "metadata", "geoip", "cancel", "tls", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts", "multisocket",
    "reload", "nsid", "bind", "debug", "trace", "ready", "health", "pprof", "prometheus", "errors", "log", "dnstap", "chaos", "loop", "on",
})  # fmt: skip

_SETUP: Mapping[str, Callable[[Setup], Any]] = {
    "autopath": autopath.setup, "bufsize": small.bufsize, "cache": cache.setup, "forward": forward.setup, "hosts": hosts.setup,
    "kubernetes": kubernetes.setup, "loadbalance": loadbalance.setup, "local": small.local, "minimal": small.minimal,
    "rewrite": rewrite.setup, "template": template.setup,
}  # fmt: skip


def chain(block: ServerBlock, files: Mapping[str, str]) -> Plugin | None:
    """The first plugin of a server block, linked to the next ones in the compiled order; None for a block without any.

    Raises CorefileError as `plugin/NAME: ...`.
    """
    plugins: list[Plugin] = []
    for name in block.plugins:
        if name in SILENT:
            continue
        try:
            made = _SETUP.get(name, small.unmodelled)(Setup(name, block, files))
        except CorefileError as error:
            raise CorefileError(f"plugin/{name}: {error}", error.line) from None
        plugins += made if isinstance(made, list) else [made]
    for one, two in pairwise(plugins):
        one.next = two
    return plugins[0] if plugins else None
