"""The header stack: every form the packet takes on its way, as bars on one axis of bytes; inner headers stand under each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..trace import Header, Hop, Trace
from .canvas import Canvas
from .figure import Figure
from .metrics import fit, shorten, text_width
from .route import leaf
from .style import ThemeName

__all__ = ["Form", "forms", "headers_figure", "layer_of", "short_field"]

#: which layer's colour a header has; what is not listed is the application's data
_LAYERS = {
    "Ethernet": "bridge",
    "IPv4": "pod",
    "IPv6": "pod",
    "TCP": "node",
    "UDP": "node",
    "SCTP": "node",
    "ICMP": "node",
    "ICMPv6": "node",
    "VXLAN": "tunnel",
    "WireGuard": "tunnel",
    "ARP": "bridge",
}
LONGEST_DATA = 48  # bytes of a data segment that are drawn to scale


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the packet and the hops during which it had it. `changed`: (header index, field, before, after)."""

    first: Hop
    last: Hop
    headers: tuple[Header, ...]
    added: int
    changed: tuple[tuple[int, str, str, str], ...]

    @property
    def size(self) -> int:
        return sum(h.size for h in self.headers)


def layer_of(name: str) -> str:
    return _LAYERS.get(name, "wire")


def short_field(value: str) -> str:
    """A MAC address by its ends, everything else as it is."""
    return f"{value[:5]}…{value[-5:]}" if len(value) == 17 and value.count(":") == 5 else value


def _changes(old: Sequence[Header], new: Sequence[Header]) -> tuple[tuple[int, str, str, str], ...]:
    out: list[tuple[int, str, str, str]] = []
    for back, (a, b) in enumerate(zip(reversed(old), reversed(new), strict=False), 1):
        if a.name != b.name:
            break
        out += [(len(new) - back, f.name, o, f.value) for f in b.fields if (o := a.get(f.name)) is not None and o != f.value]
    return tuple(reversed(out))


def forms(hops: Sequence[Hop]) -> tuple[Form, ...]:
    """The forms of the packet, in order: a hop that changes nothing in it belongs to the form before."""
    rows: list[Form] = []
    for hop in hops:
        stack = hop.after or hop.before
        if not stack:
            if rows:
                rows[-1] = Form(rows[-1].first, hop, rows[-1].headers, rows[-1].added, rows[-1].changed)
            continue
        old = rows[-1].headers if rows else ()
        if rows and stack == old:
            rows[-1] = Form(rows[-1].first, hop, old, rows[-1].added, rows[-1].changed)
            continue
        rows.append(Form(hop, hop, stack, max(0, len(stack) - len(old)) if rows else 0, _changes(old, stack) if rows else ()))
    return tuple(rows)


def _drawn(header: Header) -> float:
    return min(header.size, LONGEST_DATA) if layer_of(header.name) == "wire" else float(header.size)


def _what(form: Form) -> str:
    a, b = form.first.number, form.last.number
    return str(a) if a == b else f"{a}–{b}"


def describe_headers(question: str, rows: Sequence[Form]) -> str:
    lines = [f"{question}: the packet's headers, {len(rows)} forms" if len(rows) != 1 else f"{question}: the packet's headers"]
    for form in rows:
        stack = ", ".join(f"{h.name} {h.size}" for h in form.headers)
        notes = [f"{form.headers[i].name} {name} {a} → {b}" for i, name, a, b in form.changed]
        if form.added:
            notes.insert(0, f"{sum(h.size for h in form.headers[: form.added])} bytes new in front")
        lines.append(f"hop {_what(form)}, {form.first.title}: {stack}; {form.size} bytes" + (f"; {', '.join(notes)}" if notes else ""))
    return "\n".join(lines)


def headers_figure(source: Trace | Hop, *, reply: bool = False, theme: ThemeName = "light") -> Figure:
    if isinstance(source, Hop):
        question = source.title
        before = Form(source, source, source.before, 0, ())
        added = max(0, len(source.after) - len(source.before)) if source.before else 0
        after = Form(source, source, source.after, added, _changes(source.before, source.after) if source.before else ())
        rows = tuple(f for f in (before, after) if f.headers)
        names = [text for text, f in (("before", before), ("after", after)) if f.headers]
    else:
        walk = leaf(source)
        question = source.question
        rows = forms(walk.reply_hops if reply else walk.hops)
        names = [form.first.title for form in rows]
    width, left, right = 900.0, 250.0, 64.0
    most = max((sum(_drawn(h) for h in form.headers) for form in rows), default=1.0)
    scale = (width - left - right - 12) / most
    end = width - right
    notes = [[f"{form.headers[i].name} {name}: {short_field(a)} → {short_field(b)}" for i, name, a, b in form.changed] for form in rows]
    heights = [44.0 + (17.0 if n else 0) for n in notes]
    top = 92.0
    height = top + sum(heights) + 30

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(question, width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        canvas.text("The packet's headers, to scale: what is inside stands under what is inside", 16, 52, 12, role="soft")
        _axis(canvas, rows, end, scale, top - 16, height - 26)
        y = top
        for form, name, said, tall in zip(rows, names, notes, heights, strict=True):
            canvas.badge(26, y + 14, _what(form), "policy" if form.last.failed else form.first.layer)
            canvas.text(shorten(name, end - sum(_drawn(h) for h in form.headers) * scale - 58, 12), 46, y + 18, 12)
            _stack(canvas, form, end, scale, y)
            canvas.text(f"{form.size} B", end + 10, y + 18, 12, bold=True)
            if said:
                line = "changed: " + ", ".join(said)
                line = shorten(line, width - left - 20, 10.5, mono=True)
                at = max(left, min(end - text_width(line, 10.5, mono=True), end))
                canvas.text(line, at, y + 43, 10.5, role="hot", mono=True)
            y += tall
        canvas.text("thick frame: new here · dashed frame: a field changed · sizes in bytes", 16, height - 12, 11, role="soft")

    return Figure(f"Headers: {question}", describe_headers(question, rows), (width, height), draw, theme)


def _axis(canvas: Canvas, rows: Sequence[Form], end: float, scale: float, top: float, bottom: float) -> None:
    """Ticks every 20 bytes, counted from where the pod's own frame starts; left of it, where the names stand, they are short."""
    own = sum(_drawn(h) for h in rows[0].headers) if rows else 0.0
    most = max((sum(_drawn(h) for h in form.headers) for form in rows), default=0.0)
    zero = end - own * scale
    n = -int((most - own) // 20) * 20
    while n <= own:
        x = zero + n * scale
        canvas.line([(x, top + 4), (x, bottom if n >= 0 else top + 10)], stroke="line", width=1.6 if n == 0 else 0.7)
        canvas.text("0" if n == 0 else f"{n}".replace("-", "−"), x, top, 10, role="soft", mono=True, anchor="middle")
        n += 20
    canvas.text("bytes", end + 10, top, 10, role="soft")


def _stack(canvas: Canvas, form: Form, end: float, scale: float, y: float) -> None:
    x = end - sum(_drawn(h) for h in form.headers) * scale
    touched = {i for i, *_ in form.changed}
    for n, header in enumerate(form.headers):
        w, layer = _drawn(header) * scale, layer_of(header.name)
        new = n < form.added
        canvas.rect(x, y, w, 28, fill=f"{layer}bg", stroke=layer, width=2.4 if new else 1, radius=3)
        if n in touched:
            canvas.rect(x, y, w, 28, fill="hotbg", stroke="hot", width=1.8, radius=3, dash=(5, 2.5))
        size = str(header.size)
        room = w - 6
        if text_width(f"{header.name} {size}", 11, bold=new) <= room:
            canvas.text(f"{header.name} {size}", x + w / 2, y + 18, 11, role=layer, bold=new, anchor="middle")
        else:
            text, points = fit(header.name, w - 4, (9.5, 9, 8.5))
            canvas.text(text, x + w / 2, y + 13, points, role=layer, anchor="middle")
            canvas.text(size, x + w / 2, y + 24, 9.5, role=layer, anchor="middle")
        if header.size > _drawn(header):
            for shift in (0, 5):  # the axis is broken here
                canvas.line([(x + w * 0.8 + shift, y + 32), (x + w * 0.8 + 6 + shift, y - 4)], stroke="wire", width=1.4)
        x += w
