"""One look for every figure and widget: colours per layer, light and dark; in grey, line style, width and marker still tell them apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

__all__ = [
    "DARK",
    "FONT",
    "LAYER_STYLES",
    "LIGHT",
    "MONO",
    "LayerStyle",
    "Palette",
    "ThemeName",
    "automatic",
    "contrast",
    "css_variables",
    "palette",
]

ThemeName: TypeAlias = Literal["auto", "light", "dark"]
Palette: TypeAlias = Mapping[str, str]

FONT, MONO = "DejaVu Sans", "DejaVu Sans Mono"

#: Roles: bg, ink (text), soft (second text), line (neutral borders), card, card2 (raised surfaces), ok, no (verdicts), hot (what changed),
#: then for each layer its colour and, with "bg" behind the name, the tint of a surface of that layer. No two roles share a value,
#: so that a drawn colour leads back to its role (see `automatic`).
LIGHT: Palette = MappingProxyType({
    "bg": "#ffffff", "ink": "#1d2733", "soft": "#566371", "line": "#c9d1da", "card": "#f6f8fa", "card2": "#eaeff4", "focus": "#1a5fb4",
    "ok": "#00755a", "okbg": "#e2f4ee", "no": "#b23c08", "nobg": "#fdece4", "hot": "#8f5a00", "hotbg": "#fdf0cf",
    "pod": "#0070b0", "podbg": "#e5f1f9", "bridge": "#00785c", "bridgebg": "#e3f5ef", "node": "#475769", "nodebg": "#eceff3",
    "tunnel": "#96437a", "tunnelbg": "#f7eaf3", "nat": "#935c00", "natbg": "#fdf3dd", "policy": "#b33d09", "policybg": "#fbe9e0",
    "wire": "#5f6d7b", "wirebg": "#f1f3f5", "dns": "#5748b3", "dnsbg": "#edebf9", "ingress": "#66690c", "ingressbg": "#f3f4de",
})  # fmt: skip

DARK: Palette = MappingProxyType({
    "bg": "#12171d", "ink": "#e8edf2", "soft": "#a3b3c2", "line": "#3a4753", "card": "#1a2128", "card2": "#232c35", "focus": "#7db7ff",
    "ok": "#50caa5", "okbg": "#12312b", "no": "#ff9c6e", "nobg": "#3b2118", "hot": "#f2bd52", "hotbg": "#3a2e12",
    "pod": "#6cb8e6", "podbg": "#16303f", "bridge": "#4fc9a4", "bridgebg": "#12302a", "node": "#b4c1ce", "nodebg": "#27313b",
    "tunnel": "#dd9cc3", "tunnelbg": "#36222f", "nat": "#f0b84a", "natbg": "#352a13", "policy": "#ff9a6b", "policybg": "#3a2016",
    "wire": "#93a2b0", "wirebg": "#1f262d", "dns": "#b3a8f5", "dnsbg": "#272243", "ingress": "#cfd06a", "ingressbg": "#2e2f14",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerStyle:
    """How a line of a layer is drawn: `dash` in pixels on and off (empty: solid), `width` in pixels, `marker` a matplotlib marker."""

    dash: tuple[float, ...]
    width: float
    marker: str


LAYER_STYLES: Mapping[str, LayerStyle] = MappingProxyType(
    {
        "pod": LayerStyle((), 3.0, "o"),
        "bridge": LayerStyle((), 2.0, "s"),
        "node": LayerStyle((6, 2), 2.0, "h"),
        "tunnel": LayerStyle((), 9.0, "D"),
        "nat": LayerStyle((7, 3), 2.5, "^"),
        "policy": LayerStyle((3, 2), 2.5, "X"),
        "wire": LayerStyle((), 1.6, "|"),
        "dns": LayerStyle((1.5, 3), 2.2, "v"),
        "ingress": LayerStyle((8, 2, 2, 2), 2.5, "P"),
    }
)


def palette(theme: ThemeName) -> Palette:
    """The colours that a figure is drawn with; "auto" is drawn light and carries the dark ones in its style sheet."""
    if theme not in ("auto", "light", "dark"):
        raise ValueError(f'theme is "auto", "light" or "dark", not {theme!r}')
    return DARK if theme == "dark" else LIGHT


def css_variables(colours: Palette, prefix: str = "--kn-") -> str:
    return "".join(f"{prefix}{role}:{value};" for role, value in colours.items())


def automatic(svg: str) -> str:
    """A light SVG that follows the reader's colour scheme: every colour becomes a variable, defined twice in a style sheet."""
    role = {value: name for name, value in LIGHT.items()}
    body = re.sub(r"#[0-9a-f]{6}\b", lambda m: f"var(--kn-{role[m[0]]})" if m[0] in role else m[0], svg)
    sheet = f"<style>svg{{{css_variables(LIGHT)}}}@media (prefers-color-scheme:dark){{svg{{{css_variables(DARK)}}}}}</style>"
    head, tag, rest = body.partition("</desc>")
    return head + tag + sheet + rest if tag else body.replace(">", ">" + sheet, 1)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, 1.4.3)."""
    hi, lo = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (hi + 0.05) / (lo + 0.05)
