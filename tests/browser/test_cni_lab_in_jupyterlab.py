"""CniLab on the screen: a real JupyterLab in headless Chromium, by mouse, by keyboard alone, light, dark, at 400 px, at 200 % zoom."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

from tests.browser.on_screen import barriers, notebook, too_wide

pytestmark = pytest.mark.browser

CELLS = ["import kubenet_lab as kn\nlab = kn.widgets.CniLab()\nlab", "other = kn.widgets.CniLab()\nother"]
#: name, width and height of the window, zoom, JupyterLab's theme
VIEWS: tuple[tuple[str, int, int, float, str], ...] = (
    ("desk", 1280, 900, 1, "Light"), ("night", 1280, 900, 1, "Dark"), ("phone", 400, 860, 1, "Light"),
    ("night phone", 400, 860, 1, "Dark"), ("zoom", 1280, 900, 2, "Light"),
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, lab: Any) -> Iterator[browser.Lab]:
    folder: Path = tmp_path_factory.mktemp("cni-lab")
    for name, *_ in VIEWS:  # a name of its own: each window has its own document and kernel
        (folder / f"{name.replace(' ', '-')}.ipynb").write_text(json.dumps(notebook(CELLS)), encoding="utf-8")
    with browser.Lab(folder) as running:
        yield running


@pytest.fixture(scope="module", params=VIEWS, ids=[name for name, *_ in VIEWS])
def page(request: Any, server: browser.Lab, lab: Any) -> Iterator[Any]:
    name, width, height, zoom, theme = request.param
    file = f"{name.replace(' ', '-')}.ipynb"
    with server.open(file, width=width, height=height, zoom=zoom, within=lab.browser) as shown:
        shown.page.evaluate("(t) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", f"JupyterLab {theme}")
        shown.page.wait_for_function("(t) => document.body.dataset.jpThemeLight === t", arg=str(theme == "Light").lower())
        shown.run_all()
        shown.page.wait_for_function("() => document.querySelectorAll('.kn-cni').length === 2")
        shown.screens, shown.name = lab.screens, file.removesuffix(".ipynb")
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


def test_the_whole_of_it_by_keyboard_alone(page: Any) -> None:
    """Tab leads in from the cell and through every control; Enter, Space and arrows do what the mouse does; the focus stays."""
    keys, js = page.page.keyboard, page.page.evaluate
    cells = "() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map((c) => c.type)"
    before = js(cells)
    js("() => document.querySelectorAll('.kn-cni')[1].closest('.jp-Cell').focus()")
    named = """() => { const e = document.activeElement;
      if (e.closest('.kn-cni') !== document.querySelectorAll('.kn-cni')[1]) return '';
      return (e.labels?.[0] || e).textContent.trim(); }"""
    seen: list[str] = []
    for _ in range(60):
        keys.press("Tab")
        if (name := js(named)) == "host-gw":
            assert js("() => getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus can be seen"
            break
        seen += [name] if name else []
    wanted = ["start from", "conflist", "ADD a pod", "pod", "DEL", "CHECK", "GC", "STATUS", "VXLAN", "DirectRouting"]
    assert [name for name in seen if name in wanted] == wanted
    keys.press("Enter")
    page.page.wait_for_function("() => document.querySelectorAll('.kn-cni')[1].querySelector('.kn-facts').textContent.includes('MTU 1500')")
    assert js(named) == "host-gw" and js("() => document.activeElement.getAttribute('aria-pressed')") == "true"
    keys.press("Tab")
    keys.press("Tab")
    assert js(named) == "a router between the nodes"
    keys.press("Space")
    page.page.wait_for_function("() => document.querySelectorAll('.kn-cni')[1].querySelector('.kn-facts').textContent.includes('timeout')")
    keys.press("Space")
    page.page.wait_for_function("() => document.querySelectorAll('.kn-cni')[1].querySelector('.kn-facts').textContent.includes('deliver')")
    assert js(cells) == before, "no notebook shortcut fired"
    assert page.errors() == [] and page.complaints == []


def test_every_control_has_a_label_and_no_id_stands_twice(page: Any) -> None:
    bare = page.page.evaluate("""() => [...document.querySelectorAll('.kn-cni :is(button, input, select, textarea)')]
      .filter((e) => !(e.getAttribute('aria-label') || (e.labels && e.labels[0]?.textContent.trim()) || e.textContent.trim()))
      .map((e) => e.outerHTML)""")
    twice = page.page.evaluate("""() => { const ids = [...document.querySelectorAll('.kn-cni [id]')].map((e) => e.id);
      return ids.filter((id, n) => ids.indexOf(id) !== n); }""")
    assert bare == [] and twice == []


def test_arrow_keys_belong_to_the_choice(page: Any) -> None:
    """JupyterLab in command mode takes an arrow key for itself, unless the widget keeps it."""
    choice = box(page).get_by_label("start from")
    choice.select_option("bridge and host-local")
    choice.focus()
    page.page.keyboard.press("ArrowDown")
    assert choice.input_value() not in ("", "bridge and host-local")
    assert page.page.evaluate("() => document.activeElement.matches('.kn-cni select')")
    choice.select_option("bridge and host-local")


def test_verdicts_are_announced_with_a_symbol_and_a_word(page: Any) -> None:
    lab = box(page)
    said, facts = lab.locator(".kn-verdict"), lab.locator(".kn-facts")
    for region in (said, facts, lab.locator(".kn-problem")):
        assert region.get_attribute("role") == "status" and region.get_attribute("aria-live") == "polite"
    lab.get_by_label("start from").select_option("macvlan and host-local")
    lab.get_by_role("button", name="ADD a pod").click()
    wait_said(page, "192.168.50.20")
    assert said.inner_text().startswith("✓ ADD demo-")
    lab.locator("textarea").fill('{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "nobody"}]}')
    lab.get_by_role("button", name="ADD a pod").click()
    page.page.wait_for_function("() => document.querySelector('.kn-cni .kn-verdict').textContent.startsWith('✗')")
    lab.get_by_label("start from").select_option("bridge and host-local")
    assert facts.inner_text()[0] in "✓✗"


def test_python_drives_the_screen_and_says_the_same(page: Any) -> None:
    """The text twin holds every line that the screen shows."""
    asked = """async (code) => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
      const future = kernel.requestExecute({code}); let out = '';
      future.onIOPub = (m) => { if (m.header.msg_type === 'stream') out += m.content.text; };
      await future.done; return out; }"""
    page.page.evaluate(asked, 'lab.example = "bridge and host-local"; lab.add("told"); lab.mode = "vxlan"; lab.apart = False')
    wait_said(page, "ADD told")
    page.page.wait_for_function("() => document.querySelector('.kn-cni .kn-facts').textContent.includes('MTU 1450')")
    words = page.page.evaluate(asked, "print(lab.text)")
    lab = box(page)
    shown = [*lab.locator(".kn-tables li").all_inner_texts(), *lab.locator(".kn-calls span:first-child").all_inner_texts()]
    assert len(shown) > 8
    for line in shown:
        assert line.partition(". ")[2].replace(" ADD", "") in words if line[0].isdigit() and ". " in line else line in words, line
    assert lab.locator(".kn-facts").inner_text().splitlines()[0] in words
    pictures = page.screens / f"cni-lab-{page.name}.png"
    size = page.page.viewport_size
    page.page.set_viewport_size({"width": size["width"], "height": 4400 if size["width"] < 700 else 2200})  # the notebook scrolls inside
    lab.screenshot(path=pictures, animations="disabled")
    page.page.set_viewport_size(size)
    assert pictures.stat().st_size > 10_000


def test_nothing_sticks_out(page: Any) -> None:
    assert too_wide(page.page, ".kn-cni", but="textarea, option, select, pre") == []


def test_accessibility(page: Any, require_that: Callable[..., None]) -> None:
    assert barriers(page.page, ".kn-cni", require_that) == []
