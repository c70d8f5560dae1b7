"""`Figure`: a picture as a value. It shows itself as SVG in a notebook and as its description in text.

JupyterLab shows a bare SVG as an image of its own width, without a name and in its own colours. So a figure gives HTML too: an image
that is never wider than the page, has the description as its name, follows JupyterLab's theme (`color-scheme` of the image, which the
style sheet inside asks for), and is the narrow drawing where the window is narrow.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import KubenetError
from .canvas import Canvas
from .style import ThemeName, automatic, palette

__all__ = ["NARROW_WINDOW", "Figure"]

NARROW_WINDOW = 600  # pixels; below, the narrow drawing is shown
_STYLE = (
    "<style>.kn-figure{max-width:100%;height:auto}.kn-light{color-scheme:light}.kn-auto{color-scheme:light dark}"
    "[data-jp-theme-light=false] :is(.kn-light,.kn-auto){color-scheme:dark}</style>"
)


class Figure:
    """A finished figure: the same bytes on every run.

    `description` says in words what the picture shows; it is the SVG's `<desc>` and the text/plain form.
    Drawn when first looked at; `theme` gives the same figure in "light", "dark" or "auto" (follows the reader's colour scheme).
    `narrow` makes the same figure for narrow pages, where there is one.
    """

    def __init__(
        self, title: str, description: str, size: tuple[float, float], draw: Callable[[Canvas], None], theme: ThemeName = "light",
        narrow: Callable[[], Figure] | None = None,
    ):  # fmt: skip
        palette(theme)  # refuse a theme that does not exist here, not when drawn
        self.title, self.description, self.size = title, description, size
        self._draw, self._theme, self._narrow = draw, theme, narrow

    def _canvas(self) -> Canvas:
        canvas = Canvas(*self.size, palette(self._theme))
        self._draw(canvas)
        return canvas

    @cached_property
    def svg(self) -> str:
        text = self._canvas().svg(self.title, self.description)
        return automatic(text) if self._theme == "auto" else text

    def theme(self, name: ThemeName) -> Figure:
        return Figure(self.title, self.description, self.size, self._draw, name, self._narrow)

    def save(self, path: str | Path) -> Path:
        """Write .svg, .png (192 dpi) or .pdf, by the name's ending. Raises KubenetError for any other."""
        path = Path(path)
        match path.suffix.lower():
            case ".svg":
                path.write_text(self.svg, encoding="utf-8", newline="\n")
            case ".png" | ".pdf" as ending:
                self._canvas().write(path, ending[1:], self.title)
            case other:
                raise KubenetError(f"cannot save a figure as {other or 'a file without an ending'!r}: use .svg, .png or .pdf")
        return path

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/html": self._html(), "text/plain": self.description}

    def _html(self) -> str:
        """The figure as an image that fits the page it stands on."""
        fixed = self._theme == "dark"
        shown = self if fixed else self.theme("auto")
        source = ""
        if self._narrow is not None:
            small = _data(self._narrow().theme("dark" if fixed else "auto").svg)
            source = f'<source media="(max-width: {NARROW_WINDOW}px)" srcset="{small}">'
        image = f'<img class="kn-figure kn-{self._theme}" alt="{html.escape(self.description)}" src="{_data(shown.svg)}">'
        return f"{_STYLE}<picture>{source}{image}</picture>"

    def __str__(self) -> str:
        return self.description

    def __repr__(self) -> str:
        return f"Figure({self.title})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figure) and (self.title, self.description, self.size, self.svg) == (
            other.title,
            other.description,
            other.size,
            other.svg,
        )

    def __hash__(self) -> int:
        return hash((self.title, self.description, self._theme))


def _data(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
