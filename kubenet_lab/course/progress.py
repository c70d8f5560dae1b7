"""`Progress`: what `kn.progress()` shows."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Progress", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    title: str
    symbol: str
    state: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far you are, and the line that brings it back. Tabular: `to_frame()`."""

    learner: str
    rows: tuple[Row, ...]
    line: str
    note: str = ""

    @property
    def done(self) -> int:
        return sum(row.symbol == "✓" for row in self.rows)

    @property
    def exercises(self) -> int:
        return sum(row.symbol != "•" for row in self.rows)

    @property
    def head(self) -> str:
        who = f"{self.learner}: " if self.learner else ""
        return f"{who}{self.done} of {self.exercises} exercises right"

    @property
    def copy(self) -> str:
        return f'kn.progress("{self.line}")'

    def to_frame(self) -> Any:
        import pandas as pd

        return pd.DataFrame([(r.id, r.title, r.state) for r in self.rows], columns=["id", "title", "state"])

    def to_dict(self) -> dict[str, Any]:
        return {"learner": self.learner, "rows": [asdict(row) for row in self.rows], "line": self.line}

    def __repr__(self) -> str:
        return f"Progress({self.head})"

    def __str__(self) -> str:
        lines = [self.head]
        lines += [f"  {r.symbol} {r.id}  {r.title}: {r.state}" for r in self.rows]
        lines += ["", "To go on elsewhere, run this line there:", f"  {self.copy}"]
        return "\n".join(lines + [self.note] * bool(self.note))

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><td style='text-align:left;white-space:nowrap'>{r.symbol} {html.escape(r.id)}</td><td {left}>{html.escape(r.title)}</td>"
            f"<td {left}>{html.escape(r.state)}</td></tr>"
            for r in self.rows
        )
        note = f"<div>{html.escape(self.note)}</div>" if self.note else ""
        return (
            f"<div role='status'><strong>{html.escape(self.head)}</strong><table>"
            f"<thead><tr><th {left}>id</th><th {left}>exercise</th><th {left}>state</th></tr></thead><tbody>{rows}</tbody></table>"
            f"<div>To go on elsewhere, run this line there:</div>"
            f"<pre style='white-space:pre-wrap;word-break:break-all'>{html.escape(self.copy)}</pre>{note}</div>"
        )
