"""A drawing surface in CSS pixels, origin at the top left, and the SVG, PNG or PDF made of it. Only this calls matplotlib."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from typing import Any, Literal

from .shapes import Label, Point
from .style import FONT, MONO, Palette

__all__ = ["HEADING", "Canvas"]

#: from one line of a heading to the next
HEADING = 18.0

PT = 0.75  # points in a CSS pixel
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kubenet-lab",
    "svg.id": None,
    "font.family": FONT,
    "path.simplify": False,
    "text.usetex": False,
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 192,
    "axes.unicode_minus": True,
}


class Canvas:
    """Draws with colours named by their role in a palette ("pod", "podbg", "ink"...). Sizes in pixels.

    It holds a `matplotlib.figure.Figure` of its own: no pyplot, no global state, nothing to close.
    """

    def __init__(self, width: float, height: float, colours: Palette):
        from matplotlib.figure import Figure

        self.colours, self.size = colours, (width, height)
        self.figure = Figure(figsize=(width / 96, height / 96), facecolor="none", edgecolor="none")
        self.axes: Any = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        self.axes.set_axis_off()
        self._z = 0.0
        self.origin: Point = (0.0, 0.0)  # added to every coordinate that follows
        self.rect(0.5, 0.5, width - 1, height - 1, fill="bg", stroke="line", width=1, radius=12)

    def _next(self) -> float:
        self._z += 1
        return self._z

    def _move(self, points: Sequence[Point]) -> list[Point]:
        return [(x + self.origin[0], y + self.origin[1]) for x, y in points]

    def _colour(self, role: str | None) -> str:
        return "none" if role is None else self.colours[role]

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        *,
        fill: str | None = None,
        stroke: str | None = None,
        width: float = 1.0,
        radius: float = 0.0,
        dash: Sequence[float] = (),
        alpha: float | None = None,
        hatch: str | None = None,
    ) -> None:
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        x, y = x + self.origin[0], y + self.origin[1]
        r = min(radius, w / 2, h / 2)
        k = r * 0.4477  # a quarter of a circle as one Bézier curve
        if r:
            points = [
                (x + r, y),
                (x + w - r, y),
                (x + w - k, y),
                (x + w, y + k),
                (x + w, y + r),
                (x + w, y + h - r),
                (x + w, y + h - k),
                (x + w - k, y + h),
                (x + w - r, y + h),
                (x + r, y + h),
                (x + k, y + h),
                (x, y + h - k),
                (x, y + h - r),
                (x, y + r),
                (x, y + k),
                (x + k, y),
                (x + r, y),
                (x, y),
            ]
            codes = [1, 2, 4, 4, 4, 2, 4, 4, 4, 2, 4, 4, 4, 2, 4, 4, 4, 79]
        else:
            points, codes = [(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], [1, 2, 2, 2, 79]
        patch = PathPatch(
            Path(points, codes),
            facecolor=self._colour(fill),
            edgecolor=self._colour(stroke) if width else "none",
            linewidth=width * PT if stroke else 0,
            alpha=alpha,
            zorder=self._next(),
            hatch=hatch,
            snap=False,
            clip_on=False,
            capstyle="round",
            joinstyle="round",
        )
        if dash and stroke:
            patch.set_linestyle((0, tuple(d / max(width, 1e-6) for d in dash)))
        self.axes.add_patch(patch)

    def line(
        self,
        points: Sequence[Point],
        *,
        stroke: str,
        width: float = 1.0,
        dash: Sequence[float] = (),
        alpha: float | None = None,
        cap: Literal["round", "butt"] = "round",
    ) -> None:
        """A polyline; `dash` in pixels on and off."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        if len(points) < 2:
            return
        patch = PathPatch(
            Path(self._move(points), [1] + [2] * (len(points) - 1)),
            facecolor="none",
            edgecolor=self._colour(stroke),
            linewidth=width * PT,
            alpha=alpha,
            clip_on=False,
            zorder=self._next(),
            snap=False,
            capstyle=cap,
            joinstyle="round",
        )
        if dash:
            patch.set_linestyle((0, tuple(d / width for d in dash)))
        self.axes.add_patch(patch)

    def polygon(self, points: Sequence[Point], *, fill: str, stroke: str | None = None, width: float = 1.0) -> None:
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        path = Path(self._move([*points, points[0]]), [1] + [2] * (len(points) - 1) + [79])
        self.axes.add_patch(
            PathPatch(
                path,
                facecolor=self._colour(fill),
                edgecolor=self._colour(stroke),
                linewidth=width * PT if stroke else 0,
                clip_on=False,
                zorder=self._next(),
                snap=False,
                joinstyle="round",
            )
        )

    def text(self, text: str, x: float, y: float, size: float = 12, *, role: str = "ink", bold: bool = False, mono: bool = False,
             anchor: Literal["start", "middle", "end"] = "start", halo: str = "") -> None:  # fmt: skip
        """One line of text on the baseline `y`. `halo`: a role to outline it with, where lines may run beneath."""
        if not text:
            return
        if halo:
            # drawn as a second, stroked text below: text must stay text
            self._text(text, x, y, size, halo, bold, mono, anchor, gid="halo")
        self._text(text, x, y, size, role, bold, mono, anchor)

    def heading(self, lines: Sequence[str]) -> None:
        """What the figure answers, at its top: one line, or two."""
        for n, line in enumerate(lines):
            self.text(line, 16, 31 + n * HEADING, 14.5, bold=True)

    def _text(
        self, text: str, x: float, y: float, size: float, role: str, bold: bool, mono: bool, anchor: str, gid: str | None = None
    ) -> None:
        from matplotlib.font_manager import FontProperties

        x, y = x + self.origin[0], y + self.origin[1]
        across = {"start": "left", "middle": "center", "end": "right"}[anchor]
        font = FontProperties(family=MONO if mono else FONT, size=size * PT, weight="bold" if bold else "normal")
        artist = self.axes.text(
            x,
            y,
            text,
            fontproperties=font,
            color=self._colour(role),
            ha=across,
            va="baseline",
            zorder=self._next(),
            parse_math=False,
            clip_on=False,
        )
        if gid:
            artist.set_gid(gid)

    def labels(self, labels: Sequence[Label]) -> None:
        for t in labels:
            self.text(t.text, t.x, t.y, t.size, role=t.role, bold=t.bold, mono=t.mono, anchor=t.anchor)

    def badge(self, x: float, y: float, text: str, layer: str, radius: float = 8.5) -> None:
        """A numbered circle; longer texts make it a pill."""
        w = max(2 * radius, 2 * radius - 8 + 6.2 * len(text))
        self.rect(x - w / 2, y - radius, w, 2 * radius, fill=layer, stroke="bg", width=1.8, radius=radius)
        self.text(text, x, y + 3.7, 10.5, role="bg", bold=True, anchor="middle")

    # -- out

    def _save(self, target: Any, format: str, **options: Any) -> None:
        import matplotlib

        with matplotlib.rc_context(_SETTINGS):
            self.figure.savefig(target, format=format, facecolor="none", edgecolor="none", **options)

    def svg(self, title: str, description: str) -> str:
        """Byte-stable SVG: fixed ids, no date, text as text, with `<title>` and `<desc>`."""
        buffer = io.StringIO()
        self._save(buffer, "svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return _tidy(buffer.getvalue(), title, description)

    def write(self, path: Any, format: str, title: str) -> None:
        self._save(path, format, metadata={"Title": title} if format == "png" else {"Title": title, "CreationDate": None})


_SANS = "'DejaVu Sans',Verdana,sans-serif"


def _tidy(svg: str, title: str, description: str) -> str:
    """Drop what matplotlib adds and no reader needs; add the words."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(
        r'<g id="halo">(\s*)(<!--.*?-->\s*)?<text style="',
        r'<g>\1<text stroke-width="3" stroke-linejoin="round" class="halo" style="',
        svg,
        flags=re.S,
    )
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[A-Za-z]+_\d+">', "<g>", svg)
    svg = re.sub(r' transform="rotate\(-0 [-\d. ]+\)"', "", svg)
    svg = re.sub(r' style="stroke-linejoin: miter"', "", svg)
    svg = re.sub(r"<g>\s*(<(?:path|text)\b[^>]*?(?:/>|>[^<]*</text>))\s*</g>", r"\1", svg)
    svg = re.sub(r'class="halo" style="([^"]*?)fill: (#[0-9a-f]{6})', r'style="\1fill: \2; stroke: \2', svg)
    svg = re.sub(r"'DejaVu Sans Mono'", "'DejaVu Sans Mono',Menlo,Consolas,monospace", svg)
    svg = re.sub(r"'DejaVu Sans'(?! Mono)", _SANS, svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    svg = re.sub(r' d="([^"]*)"', lambda path: f' d="{" ".join(path[1].split())}"', svg)  # a notebook stores every line by itself
    svg = svg.replace(f" font-family: {_SANS};", "").replace(" text-anchor: start;", "")  # what the root says for all
    start = svg.index(">") + 1
    words = f"\n<title>{html.escape(title, quote=False)}</title>\n<desc>{html.escape(description, quote=False)}</desc>"
    head = svg[: start - 1]
    return f'{head} role="img" font-family="{_SANS}">{words}{svg[start:]}'
