"""`Outcomes`: every way one connection can go, with exact probabilities."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ..trace import Outcome

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Outcomes"]


class Outcomes(tuple[Outcome, ...]):
    """All outcomes of one question, likeliest first. The probabilities are fractions and sum to 1."""

    __slots__ = ()

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [(str(o.probability), o.verdict, o.answered_by or "", o.source_seen or "", o.error or "") for o in self]

    def to_frame(self) -> pd.DataFrame:
        """One row per outcome: probability, verdict, answered_by, source_seen, error."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=["probability", "verdict", "answered_by", "source_seen", "error"])

    def to_dict(self) -> dict[str, Any]:
        names = ("probability", "verdict", "answered_by", "source_seen", "error")
        return {"outcomes": [dict(zip(names, row, strict=True)) for row in self._rows()]}

    def __repr__(self) -> str:
        return f"Outcomes({', '.join(f'{o.probability} {o.verdict}' + (f' {o.answered_by}' if o.answered_by else '') for o in self)})"

    def __str__(self) -> str:
        return "\n".join(
            f"{p:>8}  {verdict}{f' to {who}' if who else ''}{f', the server sees {seen}' if seen else ''}{f' ({error})' if error else ''}"
            for p, verdict, who, seen, error in self._rows()
        )  # fmt: skip

    def _repr_html_(self) -> str:
        """A table of the columns that say something."""
        columns = zip(("probability", "verdict", "answered by", "source seen", "error"), zip(*self._rows(), strict=True), strict=False)
        said = [(name, cells) for name, cells in columns if any(cells)]
        head = "".join(f"<th style=text-align:left>{name}</th>" for name, _ in said)
        body = zip(*(cells for _, cells in said), strict=True)
        rows = "".join(f"<tr>{''.join(f'<td style=text-align:left>{escape(cell)}</td>' for cell in row)}</tr>" for row in body)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
