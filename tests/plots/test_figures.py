from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import kubenet_lab.plots as plots
from kubenet_lab.errors import KubenetError
from kubenet_lab.plots.headers_figure import forms
from kubenet_lab.plots.tables import trace_frame

HERE = Path(__file__)
_spec = importlib.util.spec_from_file_location("plot_fixtures", HERE.with_name("fixtures.py"))
fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixtures)

LIMIT = 150_000


def figures():
    shop = fixtures.FixtureCluster()
    return {
        "topology": plots.topology(shop, services=True),
        "path": plots.path(fixtures.walk(True), reply=True),
        "broken": plots.path(fixtures.walk(broken=True)),
        "headers": plots.headers(fixtures.walk(True)),
        "hop": plots.headers(fixtures.walk(True).hops[4]),
        "addresses": plots.addresses(shop),
        "overlay": plots.topology(shop, fixtures.walk()),
        "narrow": plots.path(fixtures.walk(), columns=1),
    }


@pytest.fixture(scope="module")
def drawn():
    return figures()


def test_the_registry_is_what_the_gallery_draws():
    assert [name for name, _, _ in plots.FIGURES] == [
        "topology", "path", "headers", "addresses", "pod", "routes", "budget", "mtu", "cni_sequence",
        "selector", "chains", "traffic", "growth", "names",
    ]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_svg_is_small_whole_and_says_what_it_shows(drawn, theme):
    for name, figure in drawn.items():
        svg = figure.theme(theme).svg
        assert len(svg.encode()) < LIMIT, name
        root = ET.fromstring(svg)
        space = "{http://www.w3.org/2000/svg}"
        assert root.find(f"{space}title").text == figure.title
        assert root.find(f"{space}desc").text == figure.description
        assert root.get("role") == "img"
        texts = [t.text for t in root.iter(f"{space}text")]
        assert len(texts) > 5, "text stays text"
        assert not re.search(r"\d{4}-\d\d-\d\dT|matplotlib", svg), "no date, no maker"


def test_the_same_bytes_in_another_process(tmp_path):
    code = (
        "import hashlib,importlib.util,sys;"
        f"s=importlib.util.spec_from_file_location('t',{str(HERE)!r});m=importlib.util.module_from_spec(s);s.loader.exec_module(m);"
        "print({n:hashlib.sha256(f.svg.encode()).hexdigest() for n,f in m.figures().items()})"
    )
    path = os.pathsep.join([str(HERE.parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
        ).stdout
        for seed in ("1", "77")
    ]
    here = {n: hashlib.sha256(f.svg.encode()).hexdigest() for n, f in figures().items()}
    assert runs[0] == runs[1] == f"{here}\n"


@pytest.mark.parametrize(("nodes", "pods"), [(2, 60), (8, 60), (8, 900), (4, 300)])
def test_large_clusters_stay_small_pictures(nodes, pods):
    figure = plots.topology(fixtures.many(nodes, pods, workloads=40))
    assert len(figure.svg.encode()) < LIMIT
    assert len(figure.description) < 20_000


def test_a_figure_in_a_notebook_is_svg_and_words(drawn):
    figure = drawn["path"]
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml", "text/html", "text/plain"}
    assert bundle["text/plain"] == figure.description == str(figure)
    assert not hasattr(figure, "_repr_html_")
    assert repr(figure) == "Figure(shop/web -> svc:shop/cart:8080 TCP: delivered)"


def test_the_description_says_what_the_picture_says(drawn):
    words = drawn["path"].description
    for hop in fixtures.walk(True).hops:
        assert f"{hop.number}. {hop.host}" in words and hop.title in words
    assert "✓ delivered" in words
    plan = drawn["addresses"].description
    for text in ("10.244.0.4 shop/web", "10.96.0.20 shop/cart", "10.244.0.0/16", "10.96.0.0/12: 5 of 1,048,576"):
        assert text in plan
    topology = drawn["topology"].description
    for pod in fixtures.bookshop().pods:
        assert pod.key in topology
    assert "(not ready)" in topology
    broken = drawn["broken"].description
    assert "✗ timeout" in broken and broken.endswith("✗")


def test_header_forms_follow_the_packet():
    rows = forms(fixtures.walk(True).hops)
    assert [f.size for f in rows] == [74, 60, 60, 74, 124, 60, 74, 40]
    wrapped = rows[4]
    assert wrapped.added == 4 and sum(h.size for h in wrapped.headers[:4]) == 50
    assert [c[1:] for c in rows[2].changed] == [("dst", "10.96.0.20", "10.244.1.7")]
    assert "hop 5–6" in plots.headers(fixtures.walk(True)).description


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_save(tmp_path, drawn, ending):
    path = drawn["hop"].save(tmp_path / f"figure{ending}")
    head = path.read_bytes()[:8]
    assert head.startswith({".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF"}[ending])
    if ending != ".svg":
        again = drawn["hop"].save(tmp_path / f"again{ending}")
        assert again.read_bytes() == path.read_bytes()


def test_save_refuses_other_endings(tmp_path, drawn):
    with pytest.raises(KubenetError, match=r"use \.svg, \.png or \.pdf"):
        drawn["hop"].save(tmp_path / "figure.jpg")


def test_drawing_leaves_no_global_state(drawn):
    import matplotlib

    before = dict(matplotlib.rcParams)
    _ = drawn["topology"].theme("dark").svg
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_importing_the_room_is_light():
    code = (
        "import sys, kubenet_lab.plots, kubenet_lab.plots.scene, kubenet_lab.plots.route;"
        "print([m for m in ('matplotlib', 'numpy', 'pandas', 'ipywidgets') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(HERE.parents[2])}
    )
    assert out.stdout == "[]\n"


def test_names_with_markup_are_inert():
    trace = fixtures.walk(title="<script>alert(1)</script> & $x^2$")
    svg = plots.path(trace).svg
    assert "<script>" not in svg and "&lt;script&gt;" in svg and "$x^2$" in svg


def test_a_trace_without_a_topology_says_what_to_give():
    trace = fixtures.walk()
    trace.facts = {}
    with pytest.raises(ValueError, match="give the cluster"):
        plots.path(trace)
    assert plots.path(trace, fixtures.bookshop()).svg


def test_trace_plot_and_frame_are_the_same_things():
    trace = fixtures.walk()
    assert trace.plot() == plots.path(trace)
    frame = trace_frame(trace)
    assert list(frame.columns) == ["hop", "direction", "host", "device", "layer", "what", "entry", "size"]
    assert len(frame) == len(trace.hops) + len(trace.reply_hops)
    assert frame.loc[4, "size"] == 124


def test_as_html_a_figure_is_an_image_that_fits_its_page(drawn):
    """JupyterLab gives an SVG an <img> of its own width and without a name; the HTML form has both, and the narrow drawing."""
    figure = plots.topology(fixtures.bookshop())
    page = figure._repr_mimebundle_()["text/html"]
    images = [base64.b64decode(part.partition('"')[0]).decode() for part in page.split("data:image/svg+xml;base64,")[1:]]
    narrow, wide = images
    assert wide == figure.theme("auto").svg and narrow == plots.topology(fixtures.bookshop(), columns=1, theme="auto").svg
    assert f'alt="{html.escape(figure.description)}"' in page and "max-width:100%" in page
    assert page.count("<source") == 1 and "(max-width: 600px)" in page
    assert "<source" not in plots.topology(fixtures.bookshop(), columns=1)._repr_mimebundle_()["text/html"]
    dark = figure.theme("dark")
    assert base64.b64encode(dark.svg.encode()).decode() in dark._repr_mimebundle_()["text/html"]
