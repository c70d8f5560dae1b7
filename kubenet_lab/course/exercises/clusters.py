"""The cluster that exercises ask about, each time a new one, and what they read off it."""

from __future__ import annotations

from typing import Any

from ...cluster.names import node_address

__all__ = ["VERDICTS", "address_of_node", "bookshop", "web_pods"]

#: how a connection may end, as the lab says it
VERDICTS = ("delivered", "refused", "timeout", "unreachable")


def bookshop(**options: Any) -> Any:
    """A bookshop of one's own; `options` as kn.load takes them."""
    from ... import example

    return example("bookshop", **options)


def web_pods(cluster: Any) -> list[Any]:
    """The pods of the shop's pages."""
    return [p for p in cluster.objects("Pod") if p.labels.get("app.kubernetes.io/name") == "web"]


def address_of_node(cluster: Any, name: str) -> str:
    """The InternalIP of a node."""
    return node_address(next(n for n in cluster.objects("Node") if n.name == name))
