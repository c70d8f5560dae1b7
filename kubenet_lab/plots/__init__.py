"""Figures: topology, path, headers, addresses. Each is a `Figure`, a value that shows itself as SVG and says itself in words.

Importing this is light; matplotlib is loaded when a figure is first drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..trace import Hop, Trace
    from .figure import Figure
    from .style import ThemeName

__all__ = ["FIGURES", "addresses", "headers", "path", "topology"]


def topology(
    source: Any,
    trace: Trace | None = None,
    *,
    focus: Iterable[str] = (),
    services: bool | Iterable[str] = False,
    columns: int | None = None,
    theme: ThemeName = "light",
) -> Figure:
    """A cluster's nodes, pods, bridges, tunnels and node network; with a trace, its way over them.

    `source`: a cluster or a Topology. `focus`: ids to mark ("pod:shop/web-..."). `services`: all Service addresses, or those of
    these names ("shop/cart"). `columns`: nodes side by side (1 for narrow pages). `theme`: "light", "dark" or "auto".
    """
    if trace is not None:
        return path(trace, source, columns=columns, legend=False, theme=theme)
    from .topology_figure import topology_figure

    return topology_figure(source, focus=focus, services=services, columns=columns, theme=theme)


def path(
    trace: Trace, cluster: Any = None, *, reply: bool = False, legend: bool = True, columns: int | None = None, theme: ThemeName = "light"
) -> Figure:
    """The way of a trace over the topology: hops numbered in the picture and named under it. `reply` draws the way back too.

    `cluster` (or a Topology) is needed only for a trace that carries none.
    """
    from .path_figure import path_figure

    return path_figure(trace, cluster, reply=reply, legend=legend, columns=columns, theme=theme)


def headers(trace_or_hop: Trace | Hop, *, reply: bool = False, theme: ThemeName = "light") -> Figure:
    """The packet's headers with their sizes at each hop, on one axis of bytes; of a single hop, before and after it."""
    from .headers_figure import headers_figure

    return headers_figure(trace_or_hop, reply=reply, theme=theme)


def addresses(cluster: Any, *, theme: ThemeName = "light") -> Figure:
    """The address plan: node network, each node's pod CIDR, Service CIDR, and what is in use in each."""
    from .addresses_figure import addresses_figure

    return addresses_figure(cluster, theme=theme)


#: (name, what it is drawn from, function): what the gallery draws
FIGURES: tuple[tuple[str, str, Callable[..., Figure]], ...] = (
    ("topology", "cluster", topology),
    ("path", "trace", path),
    ("headers", "trace", headers),
    ("addresses", "cluster", addresses),
)
