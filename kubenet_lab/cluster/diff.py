"""`cluster.diff(other)`: which objects, programmed entries and verdicts changed."""

from __future__ import annotations

import difflib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError, NotFound, NotModelled
from ..kernel.namespace import Namespace
from ..kernel.network import PROVIDER, ROUTER
from ..objects.views import Pod, Service
from .names import owner_workload
from .underlay_view import underlay_lines

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
            f"<tr>{''.join(f'<td style=text-align:left>{html.escape(v)}</td>' for v in (c.what, c.where, c.before, c.after))}</tr>"
            for c in self.changes
        )
        head = "".join(f"<th style=text-align:left>{name}</th>" for name in ("what", "where", "before", "after"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def to_frame(self) -> pd.DataFrame:
        """One row per change: what, where, before, after."""
        import pandas as pd

        return pd.DataFrame([(c.what, c.where, c.before, c.after) for c in self.changes], columns=["what", "where", "before", "after"])

    def to_dict(self) -> dict[str, Any]:
        return {"changes": [{"what": c.what, "where": c.where, "before": c.before, "after": c.after} for c in self.changes]}


_NOISE = ("resourceVersion", "generation", "managedFields", "creationTimestamp", "uid")


def _plain(cluster: Cluster) -> dict[str, dict[str, Any]]:
    out = {}
    snapshot = cluster.snapshot()
    for o in snapshot.all():
        d = snapshot.document(o.kind, o.name, o.namespace) or {}
        out[f"{o.kind} {o.key}"] = {**d, "metadata": {k: v for k, v in d["metadata"].items() if k not in _NOISE}}
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
            changes += [
                Change("object", f"{key} {p}", str(x) if x is not None else "", str(y) if y is not None else "")
                for p, x, y in _paths(a[key], b[key])
            ]
    changes += _entries(one, other)
    changes += _verdicts(one, other, flows)
    return Diff(tuple(changes))


def _lines(ns: Namespace) -> list[str]:
    """What is programmed in a namespace: the commands that make it, and its rules."""
    from ..kernel.shell import commands_for

    out = list(commands_for(ns))
    for fam, tool in ((4, "iptables"), (6, "ip6tables")):
        table = ""
        for line in ns.ruleset(fam).save().splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith("-A"):
                out.append(f"{tool} -t {table} {line}")
            elif line.startswith(":"):
                out.append(f"{tool} -t {table} {line.split(' [')[0]}")
    out += [f"nft {line.strip()}" for line in ns.nft.ruleset(stateless=True).splitlines() if line.strip() not in ("", "}")]
    if ns.ipsets is not None:
        out += [f"ipset {line}" for line in ns.ipsets.save().splitlines()]
    return out


def _entries(one: Cluster, other: Cluster) -> list[Change]:
    out = []
    mine, theirs = one.network().namespaces, other.network().namespaces
    for id in sorted(mine.keys() & theirs.keys()):
        if mine[id] is theirs[id] or id.startswith(("external:", ROUTER, PROVIDER)):
            continue
        for line in difflib.unified_diff(_lines(mine[id]), _lines(theirs[id]), n=0, lineterm=""):
            if line.startswith("-") and not line.startswith("---"):
                out.append(Change("entry", id, line[1:], ""))
            elif line.startswith("+") and not line.startswith("+++"):
                out.append(Change("entry", id, "", line[1:]))
    for line in difflib.unified_diff(underlay_lines(one.network()), underlay_lines(other.network()), n=0, lineterm=""):
        if line.startswith("-") and not line.startswith("---"):
            out.append(Change("entry", "underlay", line[1:], ""))
        elif line.startswith("+") and not line.startswith("+++"):
            out.append(Change("entry", "underlay", "", line[1:]))
    return out


def _flows(cluster: Cluster) -> list[tuple[str, str, int, str]]:
    """The default flows: the first pod of every workload to every port of every Service with an address."""
    s = cluster.snapshot()
    sources = sorted({f"{p.namespace}/{owner_workload(s, p)[1]}" for p in s.list(Pod) if p.ips and not p.terminated})
    targets = [
        (f"svc:{x.key}", p.port, p.protocol)
        for x in s.list(Service)
        if x.spec.cluster_ip not in ("", "None")
        for p in x.spec.ports
        if p.protocol != "SCTP"
    ]
    return [(a, b, port, protocol) for a in sources for b, port, protocol in targets]


def _verdicts(one: Cluster, other: Cluster, flows: Sequence[tuple[Any, ...]] | None) -> list[Change]:
    out = []
    if flows is None:
        flows = list(dict.fromkeys([*_flows(one), *_flows(other)]))
    for flow in flows:
        src, dst, *rest = flow
        before, after = _verdict(one, src, dst, *rest), _verdict(other, src, dst, *rest)
        if before != after:
            port = f":{rest[0]}" if rest else ""
            protocol = f" {rest[1]}" if len(rest) > 1 and rest[1] != "TCP" else ""
            out.append(Change("verdict", f"{src} → {dst}{port}{protocol}", before, after))
    return out


def _verdict(cluster: Cluster, src: Any, dst: Any, *rest: Any) -> str:
    """What can become of a connection: "delivered", or "1/2 delivered, 1/2 timeout" where chance decides."""
    shares: dict[str, Fraction] = {}
    try:
        for o in cluster.outcomes(src, dst, *rest):
            shares[o.verdict] = shares.get(o.verdict, Fraction(0)) + o.probability
    except NotFound as e:
        return f"no {e.what} {e.name}"
    except NotModelled as e:
        return str(e)
    except KubenetError as e:
        return f"error: {e}"
    if len(shares) == 1:
        return next(iter(shares))
    return ", ".join(f"{p} {v}" for v, p in sorted(shares.items(), key=lambda x: (-x[1], x[0])))
