"""CniLab on the screen: a real JupyterLab in headless Chromium, by mouse, by keyboard alone, dark and at 400 px."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

pytestmark = pytest.mark.browser

CELLS = ["import kubenet_lab as kn\nlab = kn.widgets.CniLab()\nlab", "other = kn.widgets.CniLab()\nother"]
VIEWS: tuple[tuple[browser.Theme, int], ...] = (("light", 1280), ("dark", 400))


@pytest.fixture(scope="module", params=VIEWS, ids=["desk", "night phone"])
def page(request: Any, tmp_path_factory: pytest.TempPathFactory, lab: Any) -> Iterator[Any]:
    theme, width = request.param
    folder: Path = tmp_path_factory.mktemp("cni-lab")
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": text}
        for n, text in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
    (folder / "lab.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with browser.Lab(folder, theme=theme) as server, server.open("lab.ipynb", width=width, within=lab.browser) as shown:
        shown.run_all()
        yield shown


def box(page: Any, n: int = 0) -> Any:
    return page.page.locator(".kn-cni").nth(n)


def wait_said(page: Any, text: str, n: int = 0) -> None:
    page.page.wait_for_function(
        "([n, text]) => document.querySelectorAll('.kn-cni')[n].querySelector('.kn-verdict').textContent.includes(text)", arg=[n, text]
    )


def test_by_mouse_and_two_do_not_clash(page: Any) -> None:
    lab = box(page)
    lab.get_by_role("button", name="ADD a pod").click()
    wait_said(page, "10.1.0.2/24")
    lab.get_by_role("button", name="ADD a pod").click()
    wait_said(page, "10.1.0.3/24")
    assert lab.locator(".kn-calls button").count() == 2
    lab.locator(".kn-calls button").nth(1).click()
    page.page.wait_for_function("() => document.querySelector('.kn-cni .kn-detail').textContent.includes('what host-local changed')")
    lab.get_by_label("pod", exact=True).select_option("demo-1")
    lab.get_by_role("button", name="DEL", exact=True).click()
    wait_said(page, "DEL demo-1")
    assert "demo-2" in lab.locator(".kn-tables").inner_text() and "10.1.0.2/24" not in lab.locator(".kn-tables").inner_text()
    assert box(page, 1).locator(".kn-log li").count() == 0
    lab.get_by_role("button", name="host-gw").click()
    page.page.wait_for_function("() => document.querySelector('.kn-cni .kn-facts').textContent.includes('pod MTU 1500')")
    assert lab.locator(".kn-stack .kn-hd").count() == 3
    lab.get_by_label("a router between the nodes").check()
    page.page.wait_for_function("() => document.querySelector('.kn-cni .kn-facts').textContent.includes('timeout')")
    assert page.errors() == [] and page.complaints == []


def test_by_keyboard_alone_with_an_error_at_its_line(page: Any) -> None:
    lab, keys = box(page, 1), page.page.keyboard
    editor = lab.get_by_label("conflist", exact=True).first
    lab.locator("textarea").focus()
    before = lab.locator("textarea").input_value()
    keys.press("Control+End")
    keys.type("}")
    page.page.wait_for_function("() => document.querySelectorAll('.kn-cni')[1].querySelector('.kn-nums .kn-wrong') !== null")
    assert "error 6" in lab.locator(".kn-problem").inner_text()
    keys.press("Backspace")
    page.page.wait_for_function("() => document.querySelectorAll('.kn-cni')[1].querySelector('.kn-nums .kn-wrong') === null")
    assert lab.locator("textarea").input_value() == before and editor is not None
    keys.press("Tab")  # the editor does not keep it
    assert page.page.evaluate("() => document.activeElement.tagName") == "BUTTON"
    keys.press("Enter")
    wait_said(page, "10.1.0.2/24", 1)


def test_nothing_sticks_out(page: Any) -> None:
    wide = page.page.evaluate("""() => [...document.querySelectorAll('.kn-cni, .kn-cni *')].filter((e) => {
      if (e.closest('[hidden]') || e.matches('textarea, option, select, pre')) return false;
      return e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== 'inline';
    }).map((e) => e.className || e.tagName)""")
    assert wide == []


def test_accessibility(page: Any, require_that: Callable[..., None]) -> None:
    require_that(importlib.util.find_spec("axe_core_python") is not None, "the Python package axe-core-python", "axe")
    import axe_core_python

    page.page.evaluate((Path(axe_core_python.__file__).parent / "axe.min.js").read_text())
    found = page.page.evaluate("() => axe.run('.kn-cni', {resultTypes: ['violations']})")
    bad = [
        f"{v['id']} ({v['impact']}): {n['html'][:160]} {n.get('failureSummary', '')[:200]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ]
    assert bad == []
