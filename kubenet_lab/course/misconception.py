"""`Misconception`: a wrong idea that the course knows by name, and the cell that shows the lab refuting it.

`notebook` and `heading` say where: the code cell under that heading which carries the tag `refutes:ID`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["Misconception"]


@dataclass(frozen=True, slots=True)
class Misconception:
    id: str
    statement: str  # the idea, in the words of someone who holds it
    refutation: str  # what is so instead
    notebook: str
    heading: str

    @property
    def link(self) -> str:
        """Where JupyterLab finds the refuting cell, relative to the learner's folder."""
        anchor = quote(re.sub(r"\s", "-", self.heading))
        return f"{self.notebook}#{anchor}"

    @property
    def where(self) -> str:
        return f"notebook {self.notebook.partition('_')[0]}, “{self.heading}”"
