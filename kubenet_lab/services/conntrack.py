"""Which conntrack entries kube-proxy deletes: UDP flows to a Service whose endpoint does not serve any more.

TCP notices by itself; a UDP client that keeps its source port would send to the removed endpoint for as long as it talks.
A Service that has no serving endpoint at all keeps its entries. Policies and hints do not matter here.
Source: Kubernetes 1.34, pkg/proxy/conntrack/cleanup.go (CleanStaleEntries).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..kernel.conntrack import Entry
from .endpoint_view import ServicePort, for_node

__all__ = ["stale_entries"]


def stale_entries(ports: Sequence[ServicePort], entries: Iterable[Entry], node: str) -> list[Entry]:
    """Of the entries of `node` in one family those that its kube-proxy deletes, by what it sees of the endpoints."""
    fronts: dict[tuple[str, int], set[str]] = {}
    node_ports: dict[int, set[str]] = {}
    for port in ports:
        if port.protocol != "UDP":
            continue
        serving = {e.ip for e in for_node(port.endpoints, node) if e.serving}
        if not serving:
            continue
        for ip in (port.cluster_ip, *port.load_balancer_vips, *port.external_ips):
            fronts[ip, port.port] = serving
        if port.node_port:
            node_ports[port.node_port] = serving
    out = []
    for entry in entries:
        if entry.orig.proto != "UDP":
            continue
        wanted = (fronts.get((entry.orig.dst, entry.orig.dport)), node_ports.get(entry.orig.dport))
        if any(ips is not None and entry.reply.src not in ips for ips in wanted):
            out.append(entry)
    return out
