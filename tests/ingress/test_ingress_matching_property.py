"""Routing by host and path against a naive second implementation, written from the API's text alone."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenet_lab.ingress import route
from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import Ingress


def naive(rules: list[tuple[str, str, str]], host: str, path: str) -> str | None:
    """rules: (host, kind, path). The path that wins, as "kind path host", or None."""
    groups: list[list[tuple[str, str, str]]] = [[], [], []]
    covered = [False, False, False]
    for h, kind, p in rules:
        labels, want = host.split("."), h.split(".")
        level = 2 if h == "" else 0 if h == host else 1 if want[0] == "*" and len(labels) == len(want) and labels[1:] == want[1:] else None
        if level is None:
            continue
        covered[level] = True
        have, need = path.split("/")[1:], p.split("/")[1:]
        if have[-1] == "":
            have.pop()
        if need[-1] == "":
            need.pop()
        if p == path if kind == "Exact" else have[: len(need)] == need:
            groups[level].append((kind, p, h))
    level = covered.index(True) if any(covered) else 2
    for group in (groups[level], groups[2]):
        if group:
            best = max(group, key=lambda g: (len(g[1].rstrip("/")), g[0] == "Exact", len(g[1])))
            return " ".join(best)
    return None


LABEL = st.sampled_from(["a", "b", "foo", "com"])
HOST = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
RULE_HOST = st.one_of(st.just(""), HOST, HOST.map(lambda h: f"*.{h}"))
PATH = st.tuples(st.lists(st.sampled_from(["a", "aa", "b", "A"]), max_size=3), st.booleans()).map(
    lambda t: "/" + "/".join(t[0]) + ("/" if t[1] and t[0] else "")
)
RULE = st.tuples(RULE_HOST, st.sampled_from(["Exact", "Prefix"]), PATH)


@settings(max_examples=400, deadline=None)
@given(st.lists(RULE, max_size=6, unique=True), HOST, PATH)
def test_same_as_the_naive_router(rules: list[tuple[str, str, str]], host: str, path: str) -> None:
    spec = {
        "rules": [
            {"host": h, "http": {"paths": [{"path": p, "pathType": k, "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}
            for h, k, p in rules
        ]
    }
    ingress = msgspec.convert({"kind": "Ingress", "metadata": {"name": "i", "namespace": "n"}, "spec": spec}, Ingress)
    d = route(Snapshot([ingress]), f"http://{host}{path}")
    got = f"{d.path_type} {d.matched_path} {d.matched_host}" if d.service else None
    assert got == naive(rules, host, path)
    # winner and losers together are all the paths, each once
    where = {(c.rule, c.path_index) for c in d.candidates} | ({(d.rule, d.path_index)} if d.service else set())
    assert where == {(i, 0) for i in range(len(rules))}
    assert len(d.candidates) == len(rules) - bool(d.service)
