"""`cluster.diff(other)`: which objects, programmed entries and verdicts changed."""

from __future__ import annotations

import difflib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError, NotModelled
from ..objects.views import Pod, Service
from .names import owner_workload

if TYPE_CHECKING:
    import pandas as pd

    from .cluster import Cluster

__all__ = ["Change", "Diff", "difference"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `what` is "object", "entry" or "verdict"; `before` and `after` are "" where there was nothing."""

    what: str
    where: str
    before: str
    after: str

    def __str__(self) -> str:
        if self.what == "entry":
            return f"{self.where}: " + (f"- {self.before}" if self.before else f"+ {self.after}")
        return f"{self.where}: {self.before or 'nothing'} → {self.after or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Diff:
    """All differences; `bool(diff)` is True if there are any."""

    changes: tuple[Change, ...]

    @property
    def objects(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.what == "object")

    @property
    def entries(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.what == "entry")

    @property
    def verdicts(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.what == "verdict")

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return "\n".join(str(c) for c in self.changes) if self.changes else "no difference"

    def __repr__(self) -> str:
        return f"Diff({len(self.objects)} objects, {len(self.entries)} entries, {len(self.verdicts)} verdicts)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr>{''.join(f'<td style=text-align:left>{html.escape(v)}</td>' for v in (c.what, c.where, c.before, c.after))}</tr>" for c in self.changes
        )
        return f"<table><thead><tr><th>what</th><th>where</th><th>before</th><th>after</th></tr></thead><tbody>{rows}</tbody></table>"

    def to_frame(self) -> pd.DataFrame:
        """One row per change: what, where, before, after."""
        import pandas as pd

        return pd.DataFrame([(c.what, c.where, c.before, c.after) for c in self.changes], columns=["what", "where", "before", "after"])

    def to_dict(self) -> dict[str, Any]:
        return {"changes": [{"what": c.what, "where": c.where, "before": c.before, "after": c.after} for c in self.changes]}


_NOISE = ("resourceVersion", "generation", "managedFields", "creationTimestamp", "uid")


def _plain(cluster: Cluster) -> dict[str, dict[str, Any]]:
    out = {}
    for o in cluster.snapshot().all():
        d = cluster.store.document(o.kind, o.key)
        d["metadata"] = {k: v for k, v in d["metadata"].items() if k not in _NOISE}
        out[f"{o.kind} {o.key}"] = d
    return out


def _paths(a: Any, b: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The leaves at which two documents differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [p for k in [*a, *(k for k in b if k not in a)] for p in _paths(a.get(k), b.get(k), f"{path}.{k}" if path else k)]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [p for i, (x, y) in enumerate(zip(a, b, strict=True)) for p in _paths(x, y, f"{path}[{i}]")]
    return [] if a == b else [(path, a, b)]


def difference(one: Cluster, other: Cluster, flows: Sequence[tuple[Any, ...]] | None) -> Diff:
    changes: list[Change] = []
    a, b = _plain(one), _plain(other)
    for key in sorted(a.keys() | b.keys()):
        if key not in b:
            changes.append(Change("object", key, "exists", ""))
        elif key not in a:
            changes.append(Change("object", key, "", "exists"))
        else:
            changes += [Change("object", f"{key} {p}", str(x) if x is not None else "", str(y) if y is not None else "") for p, x, y in _paths(a[key], b[key])]
    changes += _entries(one, other)
    changes += _verdicts(one, other, flows)
    return Diff(tuple(changes))


def _entries(one: Cluster, other: Cluster) -> list[Change]:
    from ..kernel.shell import commands_for

    out = []
    mine, theirs = one.network().namespaces, other.network().namespaces
    for id in sorted(mine.keys() & theirs.keys()):
        before, after = list(commands_for(mine[id])), list(commands_for(theirs[id]))
        for fam in (4, 6):
            before += mine[id].ruleset(fam).save().splitlines()
            after += theirs[id].ruleset(fam).save().splitlines()
        for line in difflib.ndiff([x for x in before if not x.startswith("#")], [x for x in after if not x.startswith("#")]):
            if line[:2] == "- ":
                out.append(Change("entry", id, line[2:], ""))
            elif line[:2] == "+ ":
                out.append(Change("entry", id, "", line[2:]))
    return out


def _flows(cluster: Cluster) -> list[tuple[str, str, int, str]]:
    """The default flows: the first pod of every workload to every port of every Service with an address."""
    s = cluster.snapshot()
    sources = sorted({f"{p.namespace}/{owner_workload(s, p)[1]}" for p in s.list(Pod) if p.ips and not p.terminated})
    targets = [(f"svc:{x.key}", p.port, p.protocol) for x in s.list(Service) if x.spec.cluster_ip not in ("", "None") for p in x.spec.ports if p.protocol != "SCTP"]
    return [(a, b, port, protocol) for a in sources for b, port, protocol in targets]


def _verdicts(one: Cluster, other: Cluster, flows: Sequence[tuple[Any, ...]] | None) -> list[Change]:
    out = []
    for flow in _flows(one) if flows is None else flows:
        src, dst, *rest = flow
        before, after = _verdict(one, src, dst, *rest), _verdict(other, src, dst, *rest)
        if before != after:
            port = f":{rest[0]}" if rest else ""
            out.append(Change("verdict", f"{src} → {dst}{port}", before, after))
    return out


def _verdict(cluster: Cluster, src: Any, dst: Any, *rest: Any) -> str:
    try:
        return str(cluster.preview(src, dst, *rest).verdict)
    except NotModelled as e:
        return str(e)
    except KubenetError as e:
        return f"error: {e}"
