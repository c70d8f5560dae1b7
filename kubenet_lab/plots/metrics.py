"""How wide a text is, without a font engine: advance widths of DejaVu Sans, the widest of the fonts that a viewer may fall back to.

Units: pixels for sizes in pixels. Source of the numbers: the `hmtx` table of DejaVu 2.37 (per 1000 em).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

__all__ = ["ELLIPSIS", "fit", "lines", "shorten", "text_width"]

ELLIPSIS = "…"

# printable ASCII from the space on, per 1000 em
_REGULAR = tuple(
    int(n)
    for n in [
        "318",
        "401",
        "460",
        "838",
        "636",
        "950",
        "780",
        "275",
        "390",
        "390",
        "500",
        "838",
        "318",
        "361",
        "318",
        "337",
        "636",
        "636",
        "636",
        "636",
        "636",
        "636",
        "636",
        "636",
        "636",
        "636",
        "337",
        "337",
        "838",
        "838",
        "838",
        "531",
        "1000",
        "684",
        "686",
        "698",
        "770",
        "632",
        "575",
        "775",
        "752",
        "295",
        "295",
        "656",
        "557",
        "863",
        "748",
        "787",
        "603",
        "787",
        "695",
        "635",
        "611",
        "732",
        "684",
        "989",
        "685",
        "611",
        "685",
        "390",
        "337",
        "390",
        "838",
        "500",
        "500",
        "613",
        "635",
        "550",
        "635",
        "615",
        "352",
        "635",
        "634",
        "278",
        "278",
        "579",
        "278",
        "974",
        "634",
        "612",
        "635",
        "635",
        "411",
        "521",
        "392",
        "634",
        "592",
        "818",
        "592",
        "592",
        "525",
        "636",
        "337",
        "636",
        "838",
    ]
)
_BOLD = tuple(
    int(n)
    for n in [
        "348",
        "456",
        "521",
        "838",
        "696",
        "1002",
        "872",
        "306",
        "457",
        "457",
        "523",
        "838",
        "380",
        "415",
        "380",
        "365",
        "696",
        "696",
        "696",
        "696",
        "696",
        "696",
        "696",
        "696",
        "696",
        "696",
        "400",
        "400",
        "838",
        "838",
        "838",
        "580",
        "1000",
        "774",
        "762",
        "734",
        "830",
        "683",
        "683",
        "821",
        "837",
        "372",
        "372",
        "775",
        "637",
        "995",
        "837",
        "850",
        "733",
        "850",
        "770",
        "720",
        "682",
        "812",
        "774",
        "1103",
        "771",
        "724",
        "725",
        "457",
        "365",
        "457",
        "838",
        "500",
        "500",
        "675",
        "716",
        "593",
        "716",
        "678",
        "435",
        "716",
        "712",
        "343",
        "343",
        "665",
        "343",
        "1042",
        "712",
        "687",
        "716",
        "716",
        "493",
        "595",
        "478",
        "712",
        "652",
        "924",
        "645",
        "652",
        "582",
        "712",
        "365",
        "712",
        "838",
    ]
)
_MONO = 602


@lru_cache(maxsize=1 << 13)
def text_width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """Width in the unit of `size`. Characters outside ASCII count as one em, the middle dot as a space."""
    if mono:
        return sum(_MONO if ord(c) < 0x2E80 else 1000 for c in text) * size / 1000
    table = _BOLD if bold else _REGULAR
    return sum(table[ord(c) - 32] if 32 <= ord(c) < 127 else table[0] if c == "·" else 1000 for c in text) * size / 1000


def shorten(
    text: str, width: float, size: float, *, bold: bool = False, mono: bool = False, keep: Literal["start", "end", "both"] = "start"
) -> str:
    """`text`, or as much of it as fits `width` with an ellipsis.

    `keep` says which end stays: addresses differ at their end, rules tell by both.
    """
    if text_width(text, size, bold=bold, mono=mono) <= width:
        return text
    for n in range(len(text) - 1, 0, -1):
        if keep == "both":
            part = text[: n - n * 3 // 5].rstrip() + ELLIPSIS + (text[-(n * 3 // 5) :].lstrip() if n > 1 else "")
        else:
            part = text[:n].rstrip() + ELLIPSIS if keep == "start" else ELLIPSIS + text[-n:].lstrip()
        if text_width(part, size, bold=bold, mono=mono) <= width:
            return part
    return ELLIPSIS


def fit(
    text: str, width: float, sizes: Sequence[float], *, bold: bool = False, mono: bool = False,
    keep: Literal["start", "end", "both"] = "start",
) -> tuple[str, float]:
    """(text, size): the largest of `sizes` (descending) at which it fits `width`, else shortened at the smallest."""
    for size in sizes:
        if text_width(text, size, bold=bold, mono=mono) <= width:
            return text, size
    return shorten(text, width, sizes[-1], bold=bold, mono=mono, keep=keep), sizes[-1]


def heading(question: str, room: float, size: float) -> list[str]:
    """A question in bold on one line, or broken before its arrow, so that a narrow figure still says whom it is about."""
    src, arrow, dst = question.partition(" → ")
    parts = [src, f"→ {dst}"] if arrow and text_width(question, size, bold=True) > room else [question]
    return [shorten(part, room, size, bold=True) for part in parts]


def lines(text: str, room: float, size: float) -> list[str]:
    """A text in lines of at most `room` pixels, broken between words; a longer word stands alone and is shortened."""
    out: list[str] = []
    for word in text.split():
        longer = f"{out[-1]} {word}" if out else word
        if out and text_width(longer, size) <= room:
            out[-1] = longer
        else:
            out.append(shorten(word, room, size, keep="both"))
    return out
