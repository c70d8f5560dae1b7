"""What the browser tests do with any widget: a notebook of some cells, what axe finds, what is wider than its place."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any


def notebook(cells: list[str]) -> dict[str, Any]:
    """A notebook of code cells that have not run."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": text}
            for n, text in enumerate(cells)
        ],
    }


def barriers(page: Any, selector: str, require_that: Callable[..., None]) -> list[str]:
    """The serious and critical findings of axe-core about a part of a playwright page."""
    require_that(importlib.util.find_spec("axe_core_python") is not None, "the Python package axe-core-python", "axe")
    import axe_core_python

    if page.evaluate("() => typeof window.axe === 'undefined'"):
        page.evaluate((Path(axe_core_python.__file__).parent / "axe.min.js").read_text())
    found = page.evaluate("(part) => axe.run(part, {resultTypes: ['violations']})", selector)
    return [
        f"{v['id']} ({v['impact']}): {n['html'][:160]} {n.get('failureSummary', '')[:200]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ]


def too_wide(page: Any, widget: str, but: str, inside: str = "[hidden]") -> list[str]:
    """The elements of a widget, by class, that are wider than they are shown; `but`: which may scroll, `inside`: in what nothing counts."""
    found: list[str] = page.evaluate(
        """([widget, but, inside]) => [...document.querySelectorAll(`${widget}, ${widget} *`)].filter((e) => {
      if (e.closest(inside) || e.matches(but)) return false;
      return e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== 'inline';
    }).map((e) => e.className || e.tagName)""",
        [widget, but, inside],
    )
    return found
