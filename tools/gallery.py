"""Render everything that is seen into build/gallery, with an index page (`make gallery`).

Every figure of `plots.FIGURES` in light and dark and for narrow pages; every notebook, with its widgets, run in a real JupyterLab
in light, dark, and at 400 pixels. Look at all of it as pictures.

    python tools/gallery.py [--figures-only] [--into FOLDER]
"""

from __future__ import annotations

import argparse
import html
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browser

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
VIEWS: tuple[tuple[str, browser.Theme, int], ...] = (("light", "light", 1280), ("dark", "dark", 1280), ("narrow", "light", 400))


def subjects() -> dict[str, list[tuple[str, Any]]]:
    """What figures are drawn from: (label, value) by kind."""
    import kubenet_lab as kn

    cluster = kn.example("bookshop")
    arrives = cluster.connect("shop/web", "svc:shop/cart", port=8080)
    refused = cluster.copy().connect("shop/web", "shop/cart", port=9999)
    broken = cluster.copy()
    wrap = next((hop for hop in arrives.hops if hop.added > 1), None)
    traces = [("a request that arrives", arrives), ("a port where nothing listens", refused)]
    if wrap is not None:
        ethernet = [h for h in wrap.after if h.name == "Ethernet"][-1]
        remote = next(h for h in wrap.after if h.name.startswith("IP"))
        broken.node(wrap.host).run(f"bridge fdb del {ethernet.get('dst')} dev {wrap.device} dst {remote.get('dst')}")
        traces.append(("an FDB entry is gone", broken.connect("shop/web", "svc:shop/cart", port=8080)))
    clusters = _clusters()
    traces += [(f"to another node: {label}", c.connect("shop/web", "data/db", port=5432)) for label, c in clusters]
    hops = [("the tunnel", wrap)] if wrap is not None else []
    others = {"mtu": [("an Ethernet", 1500)], "operation": [("ADD", _add())]}
    return {"cluster": [("bookshop", cluster), *clusters], "trace": traces, "hop": hops, **others}


def _clusters() -> list[tuple[str, Any]]:
    """The bookshop on other pod networks, wires and nodes."""
    import kubenet_lab as kn

    racks = kn.Underlay(segments={"rack-a": {"nodes": ["worker-1"]}, "rack-b": {"nodes": ["worker-2"], "mtu": 1400}})
    return [
        ("Calico, routed", kn.example("bookshop", cni="calico", policy="none")),
        ("ptp", kn.example("bookshop", cni="ptp")),
        ("macvlan", kn.example("bookshop", cni="macvlan")),
        ("dual stack", kn.example("bookshop", ip_families=("IPv4", "IPv6"))),
        ("two segments and a router", kn.example("bookshop", underlay=racks)),
        ("eight nodes, sixty pods", _with_more(kn.example("bookshop", nodes=8), 60)),
        ("eight nodes, pods counted by workload", _with_more(kn.example("bookshop", nodes=8), 140)),
        ("macvlan, no address left", _with_more(kn.example("bookshop", cni="macvlan"), 90)),
    ]


def _with_more(cluster: Any, pods: int) -> Any:
    """The cluster with as many pods in all: reading rooms, which nobody talks to."""
    more = pods - sum(not p.spec.host_network for p in cluster.objects("Pod"))
    spec = {"containers": [{"name": "room", "image": "bookshop/room:1.0"}]}
    for name, replicas in (("reading", more // 2), ("writing", more - more // 2)):
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": spec}
        room = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        meta = {"name": name, "namespace": "ops"}
        cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": room})
    return cluster


def _add() -> Any:
    """A pod attached by bridge, host-local and portmap."""
    import kubenet_lab as kn

    ipam = {"type": "host-local", "subnet": "10.1.0.0/24"}
    plugins = [{"type": "bridge", "isDefaultGateway": True, "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    return kn.CniRuntime().add("demo", {"cniVersion": "1.0.0", "name": "net", "plugins": plugins}, capabilities=ports)


def figures(folder: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every figure as SVG and PNG. Returns (title, [(label, file)])."""
    from kubenet_lab.errors import KubenetError
    from kubenet_lab.plots import FIGURES

    out = []
    values = subjects()
    for name, kind, draw in FIGURES:
        for number, (label, value) in enumerate(values[kind]):
            shots = []
            for variant, options in _variants(draw).items():
                stem = f"{name}-{number}-{variant}"
                try:
                    figure = draw(value, **options)
                except KubenetError as error:  # there is no such picture of this one: rules that pods of macvlan never meet
                    print(f"no {name} of {label}: {error}")
                    break
                figure.save(folder / f"{stem}.svg")
                figure.save(folder / f"{stem}.png")
                shots.append((variant, f"{stem}.svg"))
            else:
                out.append((f"{name}: {label}", shots))
                print(f"figure {name}: {label}")
    return out


def _variants(draw: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    options = inspect.signature(draw).parameters
    found: dict[str, dict[str, Any]] = {"light": {"theme": "light"}, "dark": {"theme": "dark"}}
    if "columns" in options:
        found["narrow"] = {"theme": "light", "columns": 1}
    return found


def notebooks(folder: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """The learner's copy of every notebook, run in JupyterLab."""
    from kubenet_lab.course.workspace import start

    course = folder / "course"
    names = [path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    start(course)
    shots: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    for theme in ("light", "dark"):
        with browser.Lab(course, theme=theme) as lab:  # type: ignore[arg-type]
            for view, wanted, width in VIEWS:
                if wanted != theme:
                    continue
                for name in names:
                    file = f"{Path(name).stem}-{view}.png"
                    with lab.open(name, width=width) as page:
                        page.run_all()
                        pictures = page.screenshot(folder / file)
                        for trouble in (*page.errors(), *page.complaints):
                            print(f"  {name} ({view}): {trouble}")
                    shots[name] += [(f"{view}, {width} px", picture.name) for picture in pictures]
                    print(f"notebook {name}: {view}")
    return list(shots.items())


def index(folder: Path, parts: list[tuple[str, list[tuple[str, list[tuple[str, str]]]]]]) -> None:
    body = []
    for heading, entries in parts:
        body.append(f"<h1>{html.escape(heading)}</h1>")
        for title, shots in entries:
            pictures = "".join(
                f"<figure class='{'dark' if 'dark' in label else 'light'}'>"
                f"<a href='{file}'><img src='{file}' alt='{html.escape(title)}, {label}'></a>"
                f"<figcaption>{html.escape(label)}</figcaption></figure>"
                for label, file in shots
            )
            body.append(f"<h2>{html.escape(title)}</h2><div>{pictures}</div>")
    style = (
        "body{font:15px system-ui;margin:2em;max-width:1500px}div{display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start}"
        "figure{margin:0;border:1px solid #ccc;padding:.5em}figure.dark{background:#111;color:#ddd}img{max-width:680px;height:auto}"
    )
    page = f"<!doctype html><meta charset=utf-8><title>kubenet-lab gallery</title><style>{style}</style>{''.join(body)}"
    (folder / "index.html").write_text(page, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--figures-only", action="store_true", help="no browser")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "gallery", metavar="FOLDER")
    args = parser.parse_args()
    args.into.mkdir(parents=True, exist_ok=True)
    parts = [("Figures", figures(args.into))]
    if not args.figures_only:
        if browser.chromium() is None:
            print("no chromium here: figures only")
        else:
            parts.append(("Notebooks", notebooks(args.into)))
    index(args.into, parts)
    print(f"open {args.into / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
