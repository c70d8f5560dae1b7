"""What the PacketTracer shows, as plain data: a pure function of a topology and a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..cluster.topology import Topology
from ..explain import summary
from ..plots.headers_figure import layer_of
from ..plots.paint import scene_data
from ..plots.path_figure import services_of
from ..plots.route import focus_of, route, walks
from ..plots.scene import scene
from ..plots.shapes import Scene
from ..trace import Header, Hop, Trace

__all__ = ["choices", "failure", "header_stack", "trace_view"]

MOST_PODS = 24  # drawn one by one in a widget
WIDE_NODES = 3


def choices(t: Topology, ports: Mapping[str, Sequence[tuple[int, str]]] = MappingProxyType({})) -> dict[str, list[list[Any]]]:
    """What can be asked, in the words of the API: [value, kind, ports] for the source and for the target, the application first.

    `ports`: by value, the (port, protocol) that a target serves.
    """
    workloads: dict[str, str] = {}
    single: dict[str, str] = {}
    for p in sorted(t.pods, key=lambda p: (p.namespace.startswith("kube-"), p.key)):
        if p.workload and p.workload_kind not in ("", "Pod"):
            workloads.setdefault(f"{p.namespace}/{p.workload}", p.workload_kind)
        single[f"pod/{p.key}"] = "pod"
    ends = [[name, kind, []] for name, kind in workloads.items()]
    ends += [[name, kind, []] for name, kind in single.items() if not workloads or len(single) <= 200]
    nodes = [[f"node:{n.name}", "node", []] for n in t.nodes]
    outside = [[f"external:{e.address}", "outside", []] for e in t.externals] or [["external:203.0.113.7", "outside", []]]
    services = sorted((name for name, _ in t.services), key=lambda n: (n.startswith(("kube-", "default/kubernetes")), n))
    targets = [[f"svc:{name}", "Service", [list(p) for p in ports.get(f"svc:{name}", ())]] for name in services]
    return {"sources": ends + nodes + outside, "targets": targets + ends + nodes + outside}


def header_stack(hop: Hop) -> dict[str, Any]:
    """The packet after a hop, outermost first, with what is new, gone and changed; before it if the packet ended here."""
    before, after = hop.before, hop.after
    if not after:
        note = "as it was when it ended" if hop.failed else ""
        return {"note": note, "total": sum(h.size for h in before), "new": 0, "gone": 0, "stack": _nest([_header(h) for h in before])}
    same = 0
    for old, new in zip(reversed(before), reversed(after), strict=False):
        if old.name != new.name:
            break
        same += 1
    fresh = len(after) - same if before else 0
    lost = before[: len(before) - same]
    cards = [_header(h, "gone") for h in lost]
    for n, h in enumerate(after):
        back = len(after) - n
        cards.append(_header(h, "new" if n < fresh else "", before[-back] if n >= fresh and before else None))
    return {
        "note": "",
        "total": sum(h.size for h in after),
        "new": sum(h.size for h in after[:fresh]),
        "gone": sum(h.size for h in lost),
        "stack": _nest(cards),
    }


def _nest(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each header how deep it lies: what follows a tunnel's header is a packet inside a packet."""
    depth = 0
    for card in cards:
        card["depth"] = depth
        depth += card["layer"] == "tunnel"
    return cards


def _header(header: Header, mark: str = "", old: Header | None = None) -> dict[str, Any]:
    fields = []
    for f in header.fields:
        was = old.get(f.name) if old else None
        fields.append([f.name, f.value, was] if was is not None and was != f.value else [f.name, f.value])
    return {"name": header.name, "size": header.size, "layer": layer_of(header.name), "mark": mark, "fields": fields}


def _where(hop: Hop) -> str:
    place = hop.namespace.removeprefix("pod:") if hop.namespace.startswith("pod:") else hop.host
    return f"{place}, {hop.device}" if hop.device else place


def _brief(text: str) -> str:
    """An entry for a narrow list: its start names it, its end says what it does."""
    return text if len(text) <= 37 else f"{text[:13].rstrip()}…{text[-23:].lstrip()}"


def _hop(number: int, hop: Hop, stage: str) -> dict[str, Any]:
    evidence = hop.evidence
    return {
        "number": number,
        "stage": stage,
        "title": hop.title,
        "sentence": hop.sentence,
        "command": hop.command,
        "layer": hop.layer,
        "failed": hop.failed,
        "entry": hop.entry.text if hop.entry else "",
        "brief": _brief(hop.entry.text) if hop.entry else "",
        "origin": hop.entry.origin if hop.entry else "",
        "where": _where(hop),
        "evidence": str(evidence) if evidence else "",
        "headers": header_stack(hop),
        "details": [[d.title, d.entry.text if d.entry else ""] for d in hop.details],
    }


def _pictures(t: Topology, trace: Trace) -> dict[str, Scene]:
    focus = focus_of(trace)
    services = services_of(t, trace)
    marks = (*focus, *(f"service:{name}" for name in services))
    outside = [f.removeprefix("external:") for f in focus if f.startswith("external:")]
    home = {f"pod:{p.key}": p.node for p in t.pods}
    touched = {home.get(f, f.removeprefix("node:")) for f in focus}
    nodes: list[str] = [n.name for n in t.nodes if n.name in touched]
    nodes += [n.name for n in t.nodes if n.name not in touched][: max(0, 2 - len(nodes))]
    options: dict[str, Any] = {"nodes": nodes, "most": MOST_PODS, "services": services, "externals": outside}
    wide = len(nodes) if len(nodes) <= WIDE_NODES else 2
    return {"wide": scene(t, marks, columns=wide, **options), "narrow": scene(t, marks, columns=1, pod_columns=2, **options)}


def trace_view(t: Topology, trace: Trace) -> dict[str, Any]:
    """Everything the tracer needs to show a trace and step through it without asking again."""
    pictures = _pictures(t, trace)
    head, _, tail = summary(trace).partition(" · ")
    symbol, _, rest = head.partition(" ")
    node = next((p.node for p in t.pods if p.key == trace.answered_by), "")
    hops: dict[str, list[dict[str, Any]]] = {"forward": [], "reply": []}
    steps: dict[str, dict[str, list[Any]]] = {name: {"forward": [], "reply": []} for name in pictures}
    ends: dict[str, str] = {}
    for stage, walk in walks(trace):
        for direction, legs in (("forward", walk.hops), ("reply", walk.reply_hops)):
            hops[direction] += [_hop(len(hops[direction]) + n, hop, stage) for n, hop in enumerate(legs, 1)]
            for name, picture in pictures.items():
                made = route(picture, legs, walk.answered_by, ends.get(name) if direction == "reply" else None)
                steps[name][direction] += [s.to_dict() for s in made]
                if made:
                    ends[name] = made[-1].place
    return {
        "question": trace.question, "ok": bool(trace), "symbol": symbol, "verdict": trace.verdict,
        "head": rest.removeprefix(trace.verdict).strip() + (f" on {node}" if node else ""), "tail": tail,
        "reasons": [r.sentence for r in trace.reasons], "assumptions": list(trace.assumptions), "hops": hops,
        "pictures": {name: {**scene_data(picture), "steps": steps[name]} for name, picture in pictures.items()},
        "description": _describe(trace, hops["forward"]),
    }  # fmt: skip


def _describe(trace: Trace, hops: Sequence[dict[str, Any]]) -> str:
    places: Iterable[str] = dict.fromkeys(h["where"] for h in hops)
    return f"{trace.question}: {trace.verdict}. The packet's way: {', '.join(places) or 'none'}."


def failure(t: Topology, message: str) -> dict[str, Any]:
    """The view of a question that has no answer: what is wrong with it, and the cluster as it is."""
    names = [n.name for n in t.nodes][:2]
    pictures = {
        name: scene(t, nodes=names, columns=columns, pod_columns=columns + 1, most=MOST_PODS, externals=False)
        for name, columns in (("wide", 2), ("narrow", 1))
    }
    empty: dict[str, list[Any]] = {"forward": [], "reply": []}
    return {
        "question": "",
        "ok": False,
        "symbol": "!",
        "verdict": "no answer",
        "head": message,
        "tail": "",
        "reasons": [],
        "assumptions": [],
        "hops": empty,
        "pictures": {name: {**scene_data(picture), "steps": empty} for name, picture in pictures.items()},
        "description": "The cluster's nodes.",
    }
