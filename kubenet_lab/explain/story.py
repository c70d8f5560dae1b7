"""Looks words up in the chapters' catalogues and makes a trace's story of them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from ..trace import Evidence, Hop, Trace
from .phrase import Phrase, Words

__all__ = ["Story", "all_evidence", "command", "evidence", "explain", "sentence", "summary", "title", "trace_html"]

CHAPTERS = ("kernel", "cni", "services", "dns", "policy", "ingress", "cluster")


@cache
def catalogue() -> Mapping[str, Phrase]:
    """Every phrase by code. A code that two chapters claim is an error."""
    found: dict[str, Phrase] = {}
    for chapter in CHAPTERS:
        phrases = import_module(f"{__package__}.{chapter}").PHRASES
        if twice := found.keys() & phrases.keys():
            raise RuntimeError(f"codes claimed twice: {sorted(twice)}")
        found.update(phrases)
    return found


def _fill(words: Words, params: Mapping[str, Any]) -> str:
    return words(params) if callable(words) else words.format_map(params)


def title(code: str, params: Mapping[str, Any]) -> str:
    return _fill(catalogue()[code].title, params)


def sentence(code: str, params: Mapping[str, Any]) -> str:
    return _fill(catalogue()[code].sentence, params)


def command(code: str, params: Mapping[str, Any]) -> str:
    return _fill(catalogue()[code].command, params)


def evidence(code: str) -> Evidence | None:
    return catalogue()[code].evidence


def all_evidence() -> tuple[Evidence, ...]:
    """Every source that a phrase names, in the order of the chapters, without repeats."""
    return tuple(dict.fromkeys(p.evidence for p in catalogue().values() if p.evidence is not None))


class Story(str):
    """Text that a notebook shows as paragraphs, and that is a plain string everywhere else."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        lines = "".join(f"<div style='white-space:pre-wrap'>{html.escape(line) or '&nbsp;'}</div>" for line in self.splitlines())
        return f"<div class='kubenet-story'>{lines}</div>"


SYMBOLS = {"delivered": "✓", "refused": "✗", "timeout": "✗", "unreachable": "✗", "too-big": "✗", "stalled": "✗"}


def summary(trace: Trace) -> str:
    """The verdict in one sentence, with a symbol and a word."""
    head = f"{SYMBOLS[trace.verdict]} {trace.verdict}"
    if trace.answered_by:
        head += f" to {trace.answered_by}"
    if trace.error:
        head += f" ({trace.error})"
    tail = []
    if trace.source_seen:
        tail.append(f"the server saw {trace.source_seen}")
    hops = len(trace.hops)
    tail.append(f"{hops} hop{'s' * (hops != 1)}")
    if wraps := sum(h.code.endswith(".encap") for h in trace.hops):
        tail.append(f"{wraps} encapsulation{'s' * (wraps != 1)}")
    if not trace:
        tail.append(f"after {trace.elapsed:.3g} s")
    return f"{head} · {', '.join(tail)}"


def _hop_lines(hop: Hop, details: bool, indent: str = "") -> list[str]:
    mark = "✗" if hop.failed else "↩" if hop.direction == "reply" else "→"
    lines = [f"{indent}{hop.number:>2} {mark} {hop.title}", f"{indent}     {hop.sentence}"]
    if hop.entry:
        lines.append(f"{indent}     entry: {hop.entry.text}")
    if hop.command:
        lines.append(f"{indent}     on a real node: {hop.command}")
    if details:
        for d in hop.details:
            lines.append(f"{indent}       · {d.title}" + (f"   [{d.entry.text}]" if d.entry else ""))
    return lines


def explain(trace: Trace, details: bool = False) -> Story:
    lines = [trace.question, summary(trace)]
    for reason in trace.reasons:
        lines.append(f"  because: {reason.sentence}")
    for text in trace.assumptions:
        lines.append(f"  assumed: {text}")
    if trace.stages:
        for name, stage in trace.stages:
            lines += ["", f"== {name}", *str(explain(stage, details) if isinstance(stage, Trace) else stage.explain()).splitlines()]
        return Story("\n".join(lines))
    lines.append("")
    for hop in trace.hops:
        lines += _hop_lines(hop, details)
    if trace.reply_hops:
        lines += ["", "the way back"]
        for hop in trace.reply_hops:
            lines += _hop_lines(hop, details)
    return Story("\n".join(lines))


def trace_html(trace: Trace) -> str:
    rows = "".join(
        f"<tr><td style='text-align:right'>{h.number}</td><td style='text-align:left'>{html.escape(h.host)}</td>"
        f"<td style='text-align:left'>{html.escape(h.title)}</td>"
        f"<td style='text-align:left'><code>{html.escape(h.entry.text) if h.entry else ''}</code></td></tr>"
        for h in trace.hops
    )
    if trace.stages:
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(name)}</td><td style='text-align:left'>{html.escape(stage.summary)}</td></tr>"
            for name, stage in trace.stages
        )
    return (
        f"<div><b>{html.escape(trace.question)}</b></div><div>{html.escape(summary(trace))}</div>"
        f"<table><tbody>{rows}</tbody></table>"
    )  # fmt: skip
