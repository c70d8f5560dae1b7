"""The PacketTracer on the screen: a real JupyterLab in headless Chromium, by mouse, by keyboard alone, in light, dark and 400 px."""

from __future__ import annotations

import pytest

from tests.browser.on_screen import barriers, too_wide

pytestmark = pytest.mark.browser

VIEWS = ["desk", "night", "phone"]


@pytest.fixture(params=VIEWS)
def view(request):
    page = request.getfixturevalue(request.param)
    page.name = request.param
    home(page)
    return page


def home(page):
    """Back to the first hop of the way there."""
    box = page.tracer()
    if box.get_by_role("button", name="Reply path").get_attribute("aria-pressed") == "true":
        box.get_by_role("button", name="Reply path").click()
    box.locator(".kn-hops button").first.click()
    page.page.wait_for_function("() => document.querySelector('.kn-tracer .kn-hops button').getAttribute('aria-current') === 'step'")


def wait_hop(page, n):
    page.page.wait_for_function(
        "(n) => document.querySelector('.kn-tracer .kn-h span:nth-child(2)').textContent.startsWith(`hop ${n} of`)", arg=n, timeout=5000
    )


def wait_verdict(page, text):
    page.page.wait_for_function("() => !document.querySelector('.kn-tracer').hasAttribute('aria-busy')", timeout=10_000)
    page.page.wait_for_function(
        "(text) => document.querySelector('.kn-tracer .kn-verdict').textContent.includes(text)", arg=text, timeout=10_000
    )


def test_the_notebook_runs_without_an_error(view):
    assert view.cell_errors() == []
    counts = view.counts()
    assert counts == list(range(1, len(counts) + 1))
    assert view.problems == []


def test_what_is_on_the_screen(view):
    box = view.tracer()
    assert "✓ delivered to shop/cart-" in box.locator(".kn-verdict").inner_text()
    n, of = view.hop()
    assert n == 1 and of >= 9
    assert box.locator(".kn-hops button").count() == of
    assert box.locator("svg text").filter(has_text="worker-1").count() >= 1
    assert box.locator(".kn-say .kn-t").inner_text().startswith("1. ")
    assert box.locator(".kn-hd").count() >= 3
    view.shoot(f"tracer-{view.name}")
    view.shoot(f"notebook-{view.name}", window=True)


def test_nothing_sticks_out(view):
    """No text is cut off and nothing scrolls sideways, at any of the widths."""
    assert too_wide(view.page, ".kn-tracer", but="small, input", inside="svg, .kn-hidden, [hidden]") == []
    out = view.page.evaluate("""() => [...document.querySelectorAll('.kn-pic svg')].flatMap((svg) => {
      const frame = svg.getBoundingClientRect();
      const cut = (r) => r.left < frame.left - 1 || r.right > frame.right + 1;
      return [...svg.querySelectorAll('text')].filter((t) => cut(t.getBoundingClientRect())).map((t) => t.textContent);
    })""")
    assert out == []


def test_the_picture_is_readable(view):
    """The smallest text in the picture (a namespace) stays above 7.5 CSS pixels after scaling, names above 9."""
    small = view.page.evaluate("""() => { const svg = document.querySelector('.kn-pic svg');
      const k = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      return Math.min(...[...svg.querySelectorAll('text')].map((t) => parseFloat(t.getAttribute('font-size')) * k)); }""")
    assert small >= 7.5


def test_by_mouse(desk):
    home(desk)
    box = desk.tracer()
    _, of = desk.hop()
    for n in range(2, of + 1):
        box.get_by_role("button", name="Next").click()
        wait_hop(desk, n)
        if n == of // 2 + 1:
            desk.shoot("tracer-middle")
    assert box.get_by_role("button", name="Next").get_attribute("aria-disabled") == "true"
    assert box.locator(".kn-hops button[aria-current]").inner_text().splitlines()[0] == str(of)
    box.get_by_role("button", name="Back").click()
    wait_hop(desk, of - 1)
    box.locator(".kn-hops button").nth(2).click()
    wait_hop(desk, 3)
    box.get_by_role("button", name="Reply path").click()
    wait_hop(desk, 1)
    assert "reply" in box.locator(".kn-h span").nth(1).inner_text()
    desk.shoot("tracer-reply")
    box.get_by_role("button", name="Reply path").click()


def test_another_question_by_mouse(desk):
    home(desk)
    box = desk.tracer()
    target = box.get_by_role("combobox", name="to", exact=True)
    target.click()
    options = box.get_by_role("listbox", name="to", exact=True).get_by_role("option")
    assert options.count() > 10
    desk.shoot("tracer-list")
    target.fill("cart")
    assert 1 <= options.count() < 8
    options.filter(has_text="svc:shop/cart").click()
    box.get_by_role("button", name="Send one packet").click()
    wait_verdict(desk, "delivered")
    target.fill("kube-dns")
    options.first.click()
    assert box.get_by_label("port").input_value() == "53", "a Service brings its port"
    box.get_by_label("port").fill("8080")
    box.get_by_label("protocol").select_option("TCP")
    target.fill("shop/nobody")
    target.press("Enter")
    wait_verdict(desk, "no answer")
    assert "nobody" in box.locator(".kn-verdict").inner_text()
    assert "Traceback" not in box.inner_text()
    desk.shoot("tracer-error")
    target.fill("svc:shop/cart")
    target.press("Enter")
    wait_verdict(desk, "delivered")
    assert desk.problems == [] and desk.cell_errors() == []


def test_by_keyboard_alone(desk):
    home(desk)
    page, keys = desk.page, desk.page.keyboard
    cells = "() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map((c) => c.type)"
    before = page.evaluate(cells)
    # from its cell, Tab leads into the tracer
    page.evaluate("() => document.querySelector('.kn-tracer').closest('.jp-Cell').focus()")
    inside = "() => document.activeElement.closest('.kn-tracer') === document.querySelector('.kn-tracer')"
    for _ in range(12):
        keys.press("Tab")
        if page.evaluate(inside):
            break
    assert page.evaluate(inside), "Tab does not lead into the tracer"
    named = "() => document.activeElement.labels?.[0]?.textContent || document.activeElement.textContent"
    assert page.evaluate(named) == "from"
    keys.press("Tab")
    assert page.evaluate(named) == "to"
    keys.press("ControlOrMeta+a")
    keys.type("svc:shop/ca")
    keys.press("ArrowDown")
    active = page.evaluate("() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).textContent")
    assert active.startswith("svc:shop/cart")
    keys.press("Enter")
    assert page.evaluate("() => document.activeElement.value") == "svc:shop/cart"
    assert page.evaluate("() => document.activeElement.getAttribute('aria-expanded')") == "false"
    keys.press("Tab")
    assert page.evaluate(named) == "port"
    keys.press("Tab")
    keys.press("Tab")
    assert page.evaluate(named) == "Send one packet"
    keys.press("Enter")
    wait_verdict(desk, "delivered")
    wait_hop(desk, 1)
    _, of = desk.hop()
    for n in range(2, of + 1):
        keys.press("ArrowRight")
        wait_hop(desk, n)
    keys.press("Home")
    wait_hop(desk, 1)
    keys.press("End")
    wait_hop(desk, of)
    keys.press("ArrowLeft")
    wait_hop(desk, of - 1)
    keys.press("r")
    page.wait_for_function("() => document.querySelector('.kn-tracer .kn-h span:nth-child(2)').textContent.endsWith('reply')")
    keys.press("R")
    page.wait_for_function("() => document.querySelector('.kn-tracer .kn-h span:nth-child(2)').textContent.endsWith('forward')")
    assert page.evaluate(inside), "the focus stays in the tracer"
    # on to the list of hops, where up and down walk as well
    for _ in range(6):
        keys.press("Tab")
        if page.evaluate("() => !!document.activeElement.closest('.kn-hops')"):
            break
    keys.press("ArrowDown")
    wait_hop(desk, 2)
    assert page.evaluate("() => document.activeElement.getAttribute('aria-current')") == "step"
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "the focus can be seen"
    assert page.evaluate(cells) == before, "no notebook shortcut fired"
    assert desk.problems == []


def test_escape_closes_the_list(desk):
    home(desk)
    target = desk.tracer().get_by_role("combobox", name="from", exact=True)
    target.focus()
    target.press("ArrowDown")
    assert target.get_attribute("aria-expanded") == "true"
    target.press("Escape")
    assert target.get_attribute("aria-expanded") == "false"


def test_the_command_can_be_copied(desk):
    home(desk)
    box = desk.tracer()
    command = box.locator(".kn-say .kn-row").filter(has_text="On a real node").locator("code").inner_text()
    box.get_by_role("button", name="Copy the command").click()
    desk.page.wait_for_function("() => [...document.querySelectorAll('.kn-tracer button')].some((b) => b.textContent === 'Copied')")
    assert desk.page.evaluate("() => navigator.clipboard.readText()") == command


def test_steps_are_announced(desk):
    home(desk)
    desk.tracer().get_by_role("button", name="Next").click()
    wait_hop(desk, 2)
    said = desk.tracer().locator(".kn-hidden[aria-live]").inner_text()
    assert said.startswith("Hop 2 of ")
    assert desk.tracer().locator(".kn-verdict").get_attribute("role") == "status"


def test_python_drives_the_screen(desk):
    home(desk)
    desk.page.evaluate("""async () => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
      await kernel.requestExecute({code: "tracer.hop = 4"}).done; }""")
    wait_hop(desk, 4)


def test_two_tracers_do_not_clash(lab):
    pair = lab.open(notebook="two.ipynb")
    pair.tracer(1).wait_for()
    twice = pair.page.evaluate(
        """() => { const ids = [...document.querySelectorAll('.kn-tracer [id]')].map((e) => e.id);
          return ids.filter((id, n) => ids.indexOf(id) !== n); }"""
    )
    assert twice == []
    before = pair.tracer(1).locator(".kn-h span").nth(1).inner_text()
    pair.tracer(0).get_by_role("button", name="Next").click()
    wait_hop(pair, 2)
    assert pair.tracer(1).locator(".kn-h span").nth(1).inner_text() == before
    assert pair.problems == []


def test_accessibility(view, require_that):
    target = view.tracer().get_by_role("combobox", name="to", exact=True)
    for state in ("closed", "open"):
        if state == "open":
            target.click()
        assert barriers(view.page, ".kn-tracer", require_that) == [], state
    target.press("Escape")


def test_reduced_motion_and_zoom(lab):
    """At 200 % zoom a 1280 px window is 640 px wide; nothing moves for those who asked so."""
    page = lab.open(width=640, height=450, scale=2)
    page.page.emulate_media(reduced_motion="reduce")
    page.tracer().get_by_role("button", name="Next").click()
    wait_hop(page, 2)
    assert page.page.evaluate("() => document.querySelector('.kn-packet').getAnimations().length") == 0
    test_nothing_sticks_out(page)
    page.shoot("tracer-zoom")
    page.close()
    lab.pages.remove(page)
