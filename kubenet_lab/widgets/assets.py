"""The scripts and style sheets of the widgets: one look and one set of helpers for all of them."""

from __future__ import annotations

from importlib.resources import files

from ..plots.style import DARK, LIGHT, css_variables

__all__ = ["asset", "script", "style"]


def asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def script(name: str) -> str:
    """A widget's ES module, with the helpers that all of them use before it."""
    return asset("shared.js") + asset(name)


def style(*more: str) -> str:
    """The style sheet with the palettes of the figures put in, and a widget's own rules behind it."""
    sheet = asset("tracer.css").replace("/*LIGHT*/", css_variables(LIGHT)).replace("/*DARK*/", css_variables(DARK))
    return sheet + "".join(asset(name) for name in more)
