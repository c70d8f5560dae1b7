"""Figures of a cluster, a trace, a pod, a Service, a CNI operation.

Each is a `Figure`, a value that shows itself as SVG and says itself in words.

Importing this is light; matplotlib is loaded when a figure is first drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..cni.record import Operation
    from ..trace import Hop, Trace
    from .figure import Figure
    from .style import ThemeName

__all__ = [
    "FIGURES", "addresses", "budget", "chains", "cni_sequence", "growth", "headers", "mtu", "names", "path", "pod", "routes", "selector",
    "topology", "traffic",
]  # fmt: skip


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


def pod(cluster: Any, who: str, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """One pod's anatomy: its containers, the network namespace they share, its interfaces and routes, and the cable to the node."""
    from .pod_figure import pod_figure

    return pod_figure(cluster, who, columns=columns, theme=theme)


def routes(cluster: Any, to: Trace | str, at: Iterable[str] = (), *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """Route tables side by side, with the entry that decides for `to`.

    `to`: an IP address, looked up at the places of `at` ("shop/web", "worker-1"; all nodes by default), or a trace: then the tables that
    its packet met, each for the destination it had there. Raises KubenetError.
    """
    from .routes_figure import routes_figure

    return routes_figure(cluster, to, tuple(at), columns=columns, theme=theme)


def budget(mtu: int = 1500, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """What each way of carrying takes of a wire's MTU (bytes of an IP packet), and what is left for a pod's packet and TCP segment."""
    from .budget_figure import budget_figure

    return budget_figure(mtu, columns=columns, theme=theme)


def mtu(
    cluster: Any,
    src: Any,
    dst: Any,
    sizes: Iterable[int] = (),
    *,
    protocol: str = "ICMP",
    port: int | str = 80,
    df: bool = True,
    columns: int | None = None,
    theme: ThemeName = "light",
) -> Figure:
    """The devices on a way with their MTUs, and where packets of these sizes end (bytes of the IP packet; `df`: not to be split).

    Without `sizes`: around every MTU on the way. Found by walking on forks: the cluster does not change. Raises KubenetError.
    """
    from .mtu_figure import mtu_figure

    return mtu_figure(cluster, src, dst, tuple(sizes), protocol=protocol, port=port, df=df, columns=columns, theme=theme)


def cni_sequence(*operations: Operation, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """Who calls whom in these CNI operations (ADD, DEL ... as CniRuntime gives them), what comes back, what each call changed."""
    from .sequence_figure import sequence_figure

    return sequence_figure(*operations, columns=columns, theme=theme)


def selector(cluster: Any, service: str, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """The pods beside a Service ("shop/cart"): which labels fit its selector, who is ready, who became an endpoint, why others did not."""
    from .selector_figure import selector_figure

    return selector_figure(cluster, service, columns=columns, theme=theme)


def chains(
    cluster: Any, service: str, node: str, *, port: int | str | None = None, columns: int | None = None, theme: ThemeName = "light"
) -> Figure:
    """A Service's chains on one node, with the share of each rule and how often it was met; read from the programmed rules.

    In nftables mode its maps and chains; kube-proxy puts no counters there, so only a rule with one that was added by hand shows a count.
    `port`: only those of this port of the Service, by number or name. Raises KubenetError, NotModelled.
    """
    from .chains_figure import chains_figure

    return chains_figure(cluster, service, node, port=port, columns=columns, theme=theme)


def traffic(cluster: Any, service: str, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """Clients on each node and outside, the addresses of a Service, both traffic policies: who is answered, whom the server sees.

    Each cell is what `outcomes` says; worked out on copies. Raises KubenetError.
    """
    from .traffic_figure import traffic_figure

    return traffic_figure(cluster, service, columns=columns, theme=theme)


def growth(cluster: Any, counts: Iterable[int] = (), *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """The rules that a new connection asks at its node as Services grow (`counts`: how many are added), counted by walking on copies."""
    from .growth_figure import COUNTS, growth_figure

    return growth_figure(cluster, tuple(counts) or COUNTS, columns=columns, theme=theme)


def names(cluster: Any, *services: str, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """What the DNS names of Services ("data/db") stand for: a ClusterIP, every ready endpoint, one pod, another name.

    Asked of the cluster DNS, and nothing changes. Raises KubenetError.
    """
    from .names_figure import names_figure

    return names_figure(cluster, *services, columns=columns, theme=theme)


def _public(cluster: Any) -> str:
    """The Service that has most to show: one with a node port, else any with an address."""
    found = [s for s in cluster.objects("Service") if s.spec.selector and s.spec.cluster_ip not in ("", "None")]
    return str(max(found, key=lambda s: any(p.node_port for p in s.spec.ports)).key)


def _selector_of(cluster: Any, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    return selector(cluster, _public(cluster), columns=columns, theme=theme)


def _chains_of(cluster: Any, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    return chains(cluster, _public(cluster), cluster.nodes[0].name, columns=columns, theme=theme)


def _traffic_of(cluster: Any, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    return traffic(cluster, _public(cluster), columns=columns, theme=theme)


def _names_of(cluster: Any, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """A headless Service, if there is one, beside one with an address."""
    headless = next((s.key for s in cluster.objects("Service") if s.spec.cluster_ip == "None"), None)
    return names(cluster, _public(cluster), *([headless] if headless else []), columns=columns, theme=theme)


def _pod_of(cluster: Any, **options: Any) -> Figure:
    """The first pod with a network of its own: what the gallery draws."""
    key = next(p.key for p in cluster.objects("Pod") if p.ips and not p.spec.host_network)
    return pod(cluster, key, **options)


def _routes_of(cluster: Any, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """The tables of all nodes for the last pod's address."""
    last = [p.ips[0] for p in cluster.objects("Pod") if p.ips and not p.spec.host_network][-1]
    return routes(cluster, last, columns=columns, theme=theme)


def _mtu_of(cluster: Any, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    """From the first to the last pod, which are on different nodes where there are two."""
    keys = [f"pod/{p.key}" for p in sorted(cluster.objects("Pod"), key=lambda p: p.spec.node_name) if p.ips and not p.spec.host_network]
    return mtu(cluster, keys[0], keys[-1], columns=columns, theme=theme)


#: (name, what it is drawn from, function): what the gallery draws
FIGURES: tuple[tuple[str, str, Callable[..., Figure]], ...] = (
    ("topology", "cluster", topology),
    ("path", "trace", path),
    ("headers", "trace", headers),
    ("addresses", "cluster", addresses),
    ("pod", "cluster", _pod_of),
    ("routes", "cluster", _routes_of),
    ("budget", "mtu", budget),
    ("mtu", "cluster", _mtu_of),
    ("cni_sequence", "operation", cni_sequence),
    ("selector", "cluster", _selector_of),
    ("chains", "cluster", _chains_of),
    ("traffic", "cluster", _traffic_of),
    ("growth", "cluster", growth),
    ("names", "cluster", _names_of),
)
