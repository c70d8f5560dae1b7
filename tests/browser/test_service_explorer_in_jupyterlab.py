"""ServiceExplorer on the screen: a real JupyterLab in headless Chromium, by mouse, by keyboard alone, dark and at 400 px."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

from tests.browser.on_screen import barriers, notebook, too_wide

pytestmark = pytest.mark.browser

CELLS = [
    'import kubenet_lab as kn\ncluster = kn.example("bookshop")\nexplorer = kn.widgets.ServiceExplorer(cluster)\nexplorer',
    'other = kn.widgets.ServiceExplorer(cluster, "data/cache")\nother',
]
VIEWS: tuple[tuple[browser.Theme, int], ...] = (("light", 1280), ("dark", 400))


@pytest.fixture(scope="module", params=VIEWS, ids=["desk", "night phone"])
def page(request: Any, tmp_path_factory: pytest.TempPathFactory, lab: Any) -> Iterator[Any]:
    theme, width = request.param
    folder: Path = tmp_path_factory.mktemp("service-explorer")
    (folder / "services.ipynb").write_text(json.dumps(notebook(CELLS)), encoding="utf-8")
    with browser.Lab(folder, theme=theme) as server, server.open("services.ipynb", width=width, within=lab.browser) as shown:
        shown.run_all()
        yield shown


def box(page: Any, n: int = 0) -> Any:
    return page.page.locator(".kn-service").nth(n)


def wait_for(page: Any, part: str, text: str, n: int = 0) -> None:
    page.page.wait_for_function(
        "([n, part, text]) => document.querySelectorAll('.kn-service')[n].querySelector(part).textContent.includes(text)",
        arg=[n, part, text],
    )


def test_by_mouse_and_two_do_not_clash(page: Any, root: Path) -> None:
    shown = box(page)
    wait_for(page, ".kn-verdict", "answered by 2 endpoints")
    size = page.page.viewport_size
    page.page.set_viewport_size({"width": size["width"], "height": 3200})
    (root / "build" / "screens").mkdir(parents=True, exist_ok=True)
    shown.screenshot(path=root / "build" / "screens" / f"service-explorer-{size['width']}.png", animations="disabled")
    page.page.set_viewport_size(size)
    assert shown.get_by_label("externalTrafficPolicy").is_disabled(), "a ClusterIP has no door to the outside"
    shown.get_by_label("type", exact=True).select_option("NodePort")
    wait_for(page, ".kn-facts", "node port")
    assert shown.get_by_label("externalTrafficPolicy").is_enabled()
    shown.get_by_label("who asks").select_option("external:203.0.113.7")
    wait_for(page, ".kn-verdict", "never answered")
    shown.get_by_label("by which address").select_option(index=1)
    wait_for(page, ".kn-verdict", "answered by 2 endpoints")
    shown.get_by_label("externalTrafficPolicy").select_option("Local")
    wait_for(page, ".kn-bars", "the server sees 203.0.113.7")
    assert shown.locator(".kn-bars li").count() == 1 and "KUBE-SVL-" in shown.locator("pre").inner_text()
    shown.locator(".kn-pods .kn-good select").first.select_option("not ready")
    wait_for(page, ".kn-pods", "✗ not ready")
    assert "answered by 1 endpoint" in box(page, 1).locator(".kn-verdict").inner_text() and box(page, 1).locator(".kn-pods li").count() == 2
    shown.get_by_role("button", name="as in the cluster").click()
    wait_for(page, ".kn-pods", "✓ 10.244.0.6:8080")
    assert page.errors() == [] and page.complaints == []


def test_by_keyboard_alone_with_an_error_at_its_field(page: Any) -> None:
    shown, keys = box(page, 1), page.page.keyboard
    field = shown.get_by_label("port", exact=True)
    field.focus()
    keys.press("Control+A")
    keys.type("many")
    page.page.wait_for_function("() => document.querySelectorAll('.kn-service')[1].querySelector('[aria-invalid=\"true\"]') !== null")
    described = page.page.evaluate("(e) => document.getElementById(e).textContent", field.get_attribute("aria-describedby"))
    assert "a number from 1 to 65535" in described and "cannot be applied" in shown.locator(".kn-verdict").inner_text()
    assert field.input_value() == "many", "what is typed stays"
    heights = shown.locator(".kn-form select").evaluate_all("(all) => all.map((e) => Math.round(e.offsetHeight))")
    assert len(set(heights)) == 1, "an error stretches no neighbour"
    assert not shown.get_by_role("region", name="the likeliest way").is_visible() and not shown.locator("pre").is_visible()
    keys.press("Control+A")
    keys.type("6380")
    wait_for(page, ".kn-verdict", "answered by 1 endpoint", 1)
    assert page.page.evaluate("() => document.activeElement.value") == "6380", "the focus stays"
    for _ in range(30):
        keys.press("Tab")
        if page.page.evaluate("() => document.activeElement.matches('.kn-pods select')"):
            break
    else:
        pytest.fail("no pod can be reached by Tab")
    keys.press("ArrowDown")
    wait_for(page, ".kn-verdict", "never answered", 1)
    assert shown.locator(".kn-verdict").get_attribute("aria-live") == "polite"


def test_nothing_sticks_out(page: Any) -> None:
    assert too_wide(page.page, ".kn-service", but="input, option, select, pre") == []


def test_rules_break_between_words_and_who_asks_can_be_read(page: Any) -> None:
    broken = page.page.evaluate(
        """() => [...document.querySelectorAll('.kn-service pre span, .kn-service .kn-path code span')].filter((word) => {
      const style = getComputedStyle(word), lines = Math.round(word.offsetHeight / parseFloat(style.lineHeight));
      return lines > 1 && word.textContent.length * parseFloat(style.fontSize) * 0.61 < word.parentElement.clientWidth - 18;
    }).map((word) => word.textContent)"""
    )
    assert page.page.locator(".kn-service pre span").count() > 50
    rules = box(page).locator("pre").inner_text()
    assert broken == [] and "-A KUBE-SERVICES -d " in " ".join(rules.split())
    cut = page.page.evaluate(
        """() => [...document.querySelectorAll('.kn-service select')].filter((e) => {
      const style = getComputedStyle(e), pen = document.createElement('canvas').getContext('2d');
      pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
      return pen.measureText(e.selectedOptions[0].textContent).width > e.clientWidth - parseFloat(style.paddingLeft) - 18;
    }).map((e) => e.selectedOptions[0].textContent)"""
    )
    assert cut == []


def test_accessibility(page: Any, require_that: Callable[..., None]) -> None:
    assert barriers(page.page, ".kn-service", require_that) == []
