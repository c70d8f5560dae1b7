"""What `ip -j` prints. Source: iproute2 6.1 lib/json_writer.c and the print functions of ip/; measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .devices import flags, iflink, netnsid, operstate, qdisc

if TYPE_CHECKING:
    from ..links import Link
    from .terminal import Terminal

__all__ = ["dumps", "link"]


def dumps(value: Any, pretty: bool = False) -> str:
    """One line, or as `-p` indents it."""
    return (_pretty(value, 0) if pretty else json.dumps(value, separators=(",", ":"))) + "\n"


def _pretty(value: Any, depth: int) -> str:
    """The indentation of iproute2's json_writer: lists stay on the line, members of objects get lines of their own."""
    if isinstance(value, list):
        return "[ " + ",".join(_pretty(v, depth + 1) for v in value) + (" ]" if value else "]")
    if isinstance(value, dict):
        inner = ("," + "\n" + "    " * (depth + 1)).join(f"{json.dumps(k)}: {_pretty(v, depth + 1)}" for k, v in value.items())
        return "{\n" + "    " * (depth + 1) + inner + "\n" + "    " * depth + "}" if value else "{}"
    return json.dumps(value)


def link(t: Terminal, k: Link, details: bool = False, mode: bool = True) -> dict[str, Any]:
    from ...errors import NotModelled

    if details:
        raise NotModelled("ip -d -j link")
    out: dict[str, Any] = {"ifindex": k.index}
    other = iflink(t.network, k)
    if other is not None and other[0] is t.ns:
        out["link"] = other[1].name
    elif other is not None:
        out["link_index"] = other[1].index
    out |= {"ifname": k.name, "flags": flags(t.network, t.ns, k), "mtu": k.mtu, "qdisc": qdisc(k)}
    if k.master:
        out["master"] = k.master
    out["operstate"] = operstate(t.network, t.ns, k)
    if mode:
        out["linkmode"] = "DEFAULT"
    lo = k.kind == "loopback"
    out |= {
        "group": "default", "txqlen": 1000, "link_type": "loopback" if lo else "ether", "address": k.mac,
        "broadcast": "00:00:00:00:00:00" if lo else "ff:ff:ff:ff:ff:ff",
    }  # fmt: skip
    nsid = netnsid(t.network, t.ns, k)
    if nsid is not None:
        out["link_netnsid"] = nsid
    return out
