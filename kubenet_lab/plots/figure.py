"""`Figure`: a picture as a value. It shows itself as SVG in a notebook and as its description in text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import KubenetError
from .canvas import Canvas
from .style import ThemeName, automatic, palette

__all__ = ["Figure"]


class Figure:
    """A finished figure: the same bytes on every run.

    `description` says in words what the picture shows; it is the SVG's `<desc>` and the text/plain form.
    Drawn when first looked at; `theme` gives the same figure in "light", "dark" or "auto" (follows the reader's colour scheme).
    """

    def __init__(self, title: str, description: str, size: tuple[float, float], draw: Callable[[Canvas], None], theme: ThemeName = "light"):
        palette(theme)  # refuse a theme that does not exist here, not when drawn
        self.title, self.description, self.size = title, description, size
        self._draw, self._theme = draw, theme

    def _canvas(self) -> Canvas:
        canvas = Canvas(*self.size, palette(self._theme))
        self._draw(canvas)
        return canvas

    @cached_property
    def svg(self) -> str:
        text = self._canvas().svg(self.title, self.description)
        return automatic(text) if self._theme == "auto" else text

    def theme(self, name: ThemeName) -> Figure:
        return Figure(self.title, self.description, self.size, self._draw, name)

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
        return {"image/svg+xml": self.svg, "text/plain": self.description}

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
