"""Figures on the screen: a real JupyterLab in headless Chromium, wide and at 400 px, in both of JupyterLab's themes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

from tests.browser.on_screen import barriers, notebook

pytestmark = pytest.mark.browser

CELLS = [
    'import kubenet_lab as kn\nfrom kubenet_lab import plots\ncluster = kn.example("bookshop")\nplots.topology(cluster, services=True)',
    'plots.path(cluster.connect("shop/web", "svc:shop/cart", port=8080))',
    'plots.pod(cluster, "shop/web")',
    'plots.routes(cluster, "10.244.1.5")',
    "plots.budget()",
    'plots.mtu(cluster, "shop/web", "shop/cart")',
    'conf = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "loopback"}]}\n'
    'plots.cni_sequence(kn.CniRuntime().add("demo", conf))',
    'plots.topology(kn.example("bookshop", cni="macvlan"))',
    "plots.headers(cluster.connect('shop/web', 'shop/cart', port=8080))",
    "plots.addresses(cluster)",
]
#: drawn in one form only
ONE_FORM = 2
MEASURE = """() => [...document.querySelectorAll('.jp-OutputArea-output')].filter((o) => o.querySelector('img')).map((o) => {
  const img = o.querySelector('img'), box = img.getBoundingClientRect();
  return {room: o.clientWidth, needs: o.scrollWidth, width: box.width, height: box.height, own: img.naturalWidth,
          ownHeight: img.naturalHeight, alt: img.alt, loaded: img.complete && img.naturalWidth > 0};
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, lab: Any) -> Iterator[browser.Lab]:
    folder: Path = tmp_path_factory.mktemp("figures")
    (folder / "figures.ipynb").write_text(json.dumps(notebook(CELLS)), encoding="utf-8")
    with browser.Lab(folder) as running:
        yield running


@pytest.fixture
def shown(server: browser.Lab, lab: Any) -> Iterator[Callable[[int], Any]]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def open_at(width: int) -> Any:
            page = stack.enter_context(server.open("figures.ipynb", width=width, within=lab.browser))
            page.run_all()
            page.page.wait_for_function(f"() => [...document.images].filter((i) => i.naturalWidth > 0).length >= {len(CELLS)}")
            assert page.errors() == [] and page.complaints == []
            return page

        yield open_at


def test_at_400_pixels_no_figure_scrolls_and_the_narrow_drawing_is_shown(shown: Callable[[int], Any]) -> None:
    page = shown(400)
    found = page.page.evaluate(MEASURE)
    assert len(found) == len(CELLS) and all(f["loaded"] for f in found)
    for cell, f in zip(CELLS, found, strict=True):
        assert f["needs"] <= f["room"] and f["width"] <= f["room"], cell
        assert f["height"] == pytest.approx(f["width"] * f["ownHeight"] / f["own"], rel=0.01), cell
    for cell, f in list(zip(CELLS, found, strict=True))[:-ONE_FORM]:
        assert f["own"] <= 420, cell  # drawn for it, so that its texts stay legible


def test_a_wide_page_shows_each_figure_in_its_own_size_with_its_words(shown: Callable[[int], Any]) -> None:
    page = shown(1280)
    found = page.page.evaluate(MEASURE)
    for cell, f in zip(CELLS, found, strict=True):
        assert f["needs"] <= f["room"] and f["width"] == pytest.approx(f["own"], abs=1) and f["own"] > 400, cell
        assert len(f["alt"].split()) > 10, cell
    assert "macvlan of eth0" in found[7]["alt"]


def test_figures_follow_the_theme_of_jupyterlab_whatever_the_system_has(shown: Callable[[int], Any]) -> None:
    page = shown(1280)

    def ground() -> tuple[int, ...]:
        from PIL import Image

        page.page.wait_for_timeout(500)  # the theme's style sheet is loaded
        picture = page.page.locator(".jp-OutputArea-output img").first.screenshot()
        return Image.open(io.BytesIO(picture)).convert("RGB").getpixel((12, 20))  # type: ignore[return-value]

    assert ground() == (255, 255, 255)
    page.page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    assert ground() == (0x12, 0x17, 0x1D)


def test_accessibility(shown: Callable[[int], Any], require_that: Callable[..., None]) -> None:
    assert barriers(shown(1280).page, ".jp-OutputArea-output picture", require_that) == []
