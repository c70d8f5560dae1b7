"""Machines outside the cluster that EndpointSlices name: that one no longer names a machine does not end what runs there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..objects.snapshot import Snapshot
from ..objects.views import EndpointSlice

__all__ = ["Server", "named_machines", "names_api_server", "no_longer_named"]

#: (address, protocol, port)
Server = tuple[str, str, int]


def named_machines(slices: Sequence[EndpointSlice]) -> Iterator[tuple[Server, EndpointSlice]]:
    """The addresses and ports that are no object's, as far as these slices say, and which slice says so."""
    for s in slices:
        for address in (a for e in s.endpoints if e.target_ref is None for a in e.addresses):
            yield from (((address, p.protocol, p.port), s) for p in s.ports if p.port and p.protocol in ("TCP", "UDP"))


def no_longer_named(before: Snapshot, after: Snapshot) -> Mapping[Server, str]:
    """What slices named that are gone or say something else by now: the slice's key by the server. The API server is none of these."""
    old = [s for s in before.list(EndpointSlice) if after.get(EndpointSlice, s.name, s.namespace) is not s]
    return {server: s.key for server, s in named_machines(old) if not names_api_server(s)}


def names_api_server(s: EndpointSlice) -> bool:
    return s.key.startswith("default/") and s.service == "kubernetes"
