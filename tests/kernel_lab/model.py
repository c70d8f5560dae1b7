"""The model's side: the same probe, asked of the walk, and its answer in the words of `probing`."""

from __future__ import annotations

from typing import Any

from kubenet_lab.kernel.ask import Question, Result, put
from kubenet_lab.kernel.l3 import path_mtu, route_output
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.packet import Filler, Icmp, Packet
from kubenet_lab.kernel.state import State

#: the same things as probing.VERDICTS are compared: silence has no errno there
_SILENT = ("timeout", "stalled")


def ask(net: Network, state: State, probe: dict[str, Any], capture: bool = False) -> tuple[dict[str, Any], Result]:
    """One probe on `state`, which it changes."""
    q = Question(
        probe["src"], probe["dst"], probe.get("port", 0), probe["proto"], Filler(int(probe.get("size", 200))), wait_answer=True,
        source_port=probe.get("sport"), df=probe.get("df", True), ttl=probe.get("ttl") or 64, timeout=float(probe["timeout"]),
        closing=probe.get("close", "reset"),
    )  # fmt: skip
    r = put(net, state, q, capture=capture)
    answer: dict[str, Any] = {
        "verdict": r.verdict, "error": None if r.verdict in _SILENT else r.error, "by": None, "seen": None, "icmp": None,
        "seconds": round(r.elapsed, 3),
    }  # fmt: skip
    if r.verdict == "delivered" and probe["proto"] != "ICMP":
        answer["by"], answer["seen"] = r.answered_by, r.source_seen
    last = r.reply.events()[-1].after if r.reply is not None else None
    if answer["error"] is not None and isinstance(last, Packet) and isinstance(last.l4, Icmp) and last.l4.quote is not None:
        answer["icmp"] = [last.l4.type, last.l4.code, last.src, last.l4.mtu]
    return answer, r


def known_mtu(net: Network, state: State, r: Result) -> int:
    """What the asking namespace now believes the path takes: what getsockopt(IP_MTU) says."""
    w, q = r.walk, r.question
    ns = net.namespaces[q.ns]
    route, _, _ = route_output(ns, q.dst, q.source)
    return path_mtu(w, ns, q.dst, route) if route is not None and route.dev in ns.links else 0
