"""Words: sentences made from codes and parameters, one catalogue per chapter."""

from __future__ import annotations

from .story import all_evidence, command, evidence, explain, sentence, summary, title, trace_html

__all__ = ["all_evidence", "command", "evidence", "explain", "sentence", "summary", "title", "trace_html"]
