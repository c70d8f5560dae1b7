"""Who may import whom.

    widgets, course, api, cli -> plots -> explain -> cluster -> cni, services, dns, ingress, policy -> objects, kernel -> trace

Rooms of one line do not import each other. The only imports that go up are inside functions, and listed here by name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import Import, dotted, imports, modules

LEVELS = (
    ("trace",),
    ("objects", "kernel"),
    ("cni", "services", "dns", "ingress", "policy"),
    ("cluster",),
    ("explain",),
    ("plots",),
    ("widgets", "course", "api", "cli", "magics"),
)
LEVEL = {room: height for height, rooms in enumerate(LEVELS) for room in rooms}
ANYWHERE = {"errors", "versions"}
FACE = ""  # kubenet_lab/__init__.py: re-exports, so it may import every room; the top rooms may use it

#: one-line delegations upward, inside a function: (from, to) -> what for
UPWARD = {
    ("trace", "explain"): "words of a trace, hop, reason",
    ("trace", "plots"): "Trace.plot",
    ("trace", "plots.tables"): "Trace.to_frame",
    ("trace", "kernel.pcap"): "Trace.to_pcap",
    **{(chapter, "explain"): "explain() of its decisions" for chapter in ("cni", "services", "dns", "ingress", "policy")},
    **{(chapter, "plots.tables"): "to_frame() of its values" for chapter in ("kernel", "services", "dns", "ingress", "policy")},
    ("policy", "plots"): "Matrix.plot",
    ("cni", "plots"): "Operation.plot",
    ("cluster", "explain"): "the words of summaries and findings",
    ("cluster", "plots"): "cluster.plot",
    ("cluster", "plots.tables"): "tables of a node",
    ("cluster", "api"): "cluster.serve_api",
}
#: between rooms of one line
SIDEWAYS = {
    ("cli", "course"): "start, doctor",
    ("cli", "api"): "serve",
    ("cli", "widgets"): "doctor looks for them",
}


def room(name: str) -> str:
    return name.split(".")[0]


def ours(found: Import) -> str | None:
    if found.target != "kubenet_lab" and not found.target.startswith("kubenet_lab."):
        return None
    return found.target.removeprefix("kubenet_lab").removeprefix(".")


def offence(found: Import) -> str | None:
    """What is wrong with an import, or None."""
    target = ours(found)
    if target is None:
        return None
    here, there = room(found.module), room(target)
    if here == there or there in ANYWHERE or found.module in (FACE, "__main__"):
        return None
    if here in ANYWHERE:
        return "errors and versions import no room"
    if there == FACE:
        return None if LEVEL[here] == len(LEVELS) - 1 else "the face is for the top rooms"
    if LEVEL[there] < LEVEL[here]:
        return None
    if LEVEL[there] == LEVEL[here]:
        return None if (here, there) in SIDEWAYS else "rooms of one line do not import each other"
    if any(pair in UPWARD for pair in ((found.module, target), (here, target), (found.module, there), (here, there))):
        return None if found.lazy or found.typing else "goes up, so it must stand inside a function"
    return "goes up, and is not listed"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_go_down(path: Path) -> None:
    assert room(dotted(path)) in {*LEVEL, *ANYWHERE, FACE, "__main__"}, "a room that the design does not know"
    wrong = [f"line {i.line}: {i.module} -> {i.target}: {why}" for i in imports(path) if (why := offence(i))]
    assert not wrong, "\n".join(wrong)


def test_a_planted_import_is_found() -> None:
    def planted(module: str, target: str, lazy: bool = False, typing: bool = False) -> str | None:
        return offence(Import(module, f"kubenet_lab.{target}", 1, lazy, typing))

    assert planted("kernel.walk", "objects.views")
    assert planted("objects.views", "kernel.walk")
    assert planted("dns.plugin", "services.allocation")
    assert planted("cni.flannel", "cluster")
    assert planted("trace", "explain") and not planted("trace", "explain", lazy=True)
    assert planted("policy.engine", "explain") and not planted("policy.engine", "explain", lazy=True)
    assert planted("policy.engine", "widgets", lazy=True)
    assert planted("kernel.walk", "cluster", typing=True)
    assert planted("errors", "trace")
    assert not planted("cluster.load", "dns.query") and not planted("widgets.tracer", "plots.scene")
    assert not planted("explain.dns", "trace") and not planted("dns.zone", "errors")


# one room of each library; pandas may stand in any function that hands out a table
HOMES = {"ipywidgets": {"widgets"}, "anywidget": {"widgets"}, "matplotlib": {"plots"}, "jupyterlab": {"cli"}, "tornado": {"api"}}


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_libraries_stay_in_their_room(path: Path) -> None:
    for found in imports(path):
        library = found.target.split(".")[0]
        if library in HOMES and not found.typing:
            assert room(found.module) in HOMES[library], f"line {found.line}: {library} is imported only in {HOMES[library]}"
        if library == "pandas":
            assert found.lazy or found.typing, f"line {found.line}: pandas only inside a function that hands out a table"
        if library in ("matplotlib", "networkx", "numpy") and room(found.module) not in ("plots", "widgets"):
            assert found.lazy or found.typing or library == "numpy", f"line {found.line}: {library} loads late"
