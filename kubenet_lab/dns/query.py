"""Asking the cluster's DNS server directly, without a network: what `cluster.dns.query` gives."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..trace import Reason
from .dig import dig
from .message import Flags, Query, Question, Response, RRset
from .names import fqdn
from .server import Resolver, Server

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DnsAnswer", "query"]


@dataclass(frozen=True)
class DnsAnswer:
    """One answer and why. `str()` is dig's output; `bool()` whether there is an answer section. Nothing was remembered."""

    response: Response
    reasons: tuple[Reason, ...] = field(repr=False, default=())

    @property
    def question(self) -> Question | None:
        return self.response.question

    @property
    def rcode(self) -> str:
        return self.response.rcode

    @property
    def answer(self) -> RRset:
        return self.response.answer

    @property
    def authority(self) -> RRset:
        return self.response.authority

    @property
    def additional(self) -> RRset:
        return self.response.additional

    @property
    def flags(self) -> Flags:
        return self.response.flags

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.response.addresses

    def __bool__(self) -> bool:
        return self.rcode == "NOERROR" and bool(self.answer)

    def explain(self) -> Any:
        """What decided, in plain sentences."""
        from ..explain.story import Story

        q = self.question
        state = "NODATA (NOERROR without an answer)" if self.response.nodata else self.rcode
        head = f"{q.name} {q.type}: {state}" if q else state
        lines = [head, *(f"  {r}" for r in self.answer), "", *(f"  {r.sentence}" for r in self.reasons)]
        return Story("\n".join(lines).rstrip())

    def to_frame(self) -> pd.DataFrame:
        """One row per record: section, name, ttl, class, type, data."""
        import pandas as pd

        sections = {"answer": self.answer, "authority": self.authority, "additional": self.additional}
        rows = [(section, r.name, r.ttl, r.cls, r.type, r.data) for section, records in sections.items() for r in records]
        return pd.DataFrame(rows, columns=["section", "name", "ttl", "class", "type", "data"])

    def to_dict(self) -> dict[str, Any]:
        return {**self.response.to_dict(), "reasons": [{"code": r.code, "sentence": r.sentence, "origin": r.origin} for r in self.reasons]}

    def __str__(self) -> str:
        return dig(self.response)

    def _repr_html_(self) -> str:
        why = "".join(f"<li>{html.escape(r.sentence)}</li>" for r in self.reasons)
        return f"<pre>{html.escape(str(self))}</pre><ul>{why}</ul>"


def query(
    server: Server, name: str, type: str = "A", *, client_ip: str = "127.0.0.1", now: float = 0.0, upstream: Resolver | None = None,
    ident: int = 0,
) -> DnsAnswer:  # fmt: skip
    """What the server answers to one question with an empty cache. `name` is taken as absolute, as dig takes it."""
    asked = Query(Question(fqdn(name), type.upper()), ident)
    response, reasons = server.answer(asked, client_ip, now, upstream=upstream)
    return DnsAnswer(response, reasons)
