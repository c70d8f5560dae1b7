"""Whatever is fed to the public names, only KubenetError comes out: mutated manifests and dumps, arbitrary questions and options."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import kubenet_lab as kn
from kubenet_lab import KubenetError, LoadError
from kubenet_lab.objects.examples import example_path

CASES = 20
JUNK: list[Any] = [
    None, "", 0, -1, 1, 70000, 3.5, True, [], {}, [None], [{}], "x", "a" * 300, "10.96.0.10", "10.244.0.2", "fd00::1",
    "10.0.0.0/33", "0.0.0.0/0",
    "<b>x</b>", "é", "*", ["x", 1], {"a": {"b": []}}, "ClusterIP", "NodePort", "None", "TCP", "worker-1", "True", 2**70,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def mutate(docs: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """A few places of a few documents deleted, doubled, exchanged or replaced by junk."""
    out = copy.deepcopy(docs)
    for _ in range(rng.randint(1, 5)):
        doc = rng.choice(out)
        where = rng.choice([p for p in places(doc) if p])
        holder: Any = doc
        for step in where[:-1]:
            holder = holder[step]
        what = rng.random()
        if what < 0.25:
            del holder[where[-1]]
        elif what < 0.35 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[where[-1]]))
        elif what < 0.45:
            other = rng.choice(out)
            leaf: Any = other
            for step in rng.choice(list(places(other))):
                leaf = leaf[step]
            holder[where[-1]] = copy.deepcopy(leaf)
        else:
            holder[where[-1]] = copy.deepcopy(rng.choice(JUNK))
    rng.shuffle(out)
    return out


def exercise(docs: list[dict[str, Any]], strict: bool | None, seen: Counter[str]) -> None:
    try:
        cluster = kn.load(docs, strict=strict)
    except LoadError as e:
        seen["LoadError"] += 1
        blamed = {p.object.rpartition("/")[2].rpartition(" ")[2] for p in e.problems}
        rest = [d for d in docs if isinstance(d.get("metadata"), dict) and str(d["metadata"].get("name")) not in blamed and "kind" in d]
        if len(rest) < len(docs):
            exercise(rest, strict, seen)  # what is left without the objects that it blames
        return
    except KubenetError as e:
        seen[type(e).__name__] += 1
        assert str(e)
        return
    seen["loaded"] += 1
    assert str(cluster.summary()) and cluster.topology() and cluster.to_yaml() and repr(cluster)
    for question in (
        lambda: cluster.connect("shop/web", "svc:shop/cart", 8080), lambda: cluster.request("external:203.0.113.7", "http://shop.example/cart"),
        lambda: cluster.outcomes("shop/web", "svc:shop/api", "http"), lambda: cluster.resolve("shop/web", "db.data"),
        lambda: cluster.policy.allowed("shop/web", "data/db", 5432), lambda: cluster.dns.query("cart.shop.svc.cluster.local"),
        lambda: cluster.ingress.route("http://shop.example/api"), lambda: [cluster.node(n.name).iptables_save() for n in cluster.nodes],
        lambda: cluster.copy(policy="kube-router").connect("shop/api", "svc:data/db-read", 5432), lambda: kn.load(cluster.to_yaml()),
        lambda: cluster.scale("shop/api", 3), lambda: cluster.set_pod("shop/web", ready=False), lambda: cluster.delete("svc", "shop/cart"),
    ):  # fmt: skip
        try:
            done = question()
        except KubenetError as e:
            seen[f"then {type(e).__name__}"] += 1
        else:
            assert str(done) is not None
            seen["answered"] += 1


def _manifests() -> list[dict[str, Any]]:
    return [d for p in sorted((example_path("bookshop") / "manifests").iterdir()) for d in yaml.safe_load_all(p.read_text("utf-8")) if d]


def test_mutated_manifests(cases: Callable[[int], int], seed: int) -> None:
    docs, seen = _manifests(), Counter[str]()
    for case in range(cases(CASES)):
        rng = random.Random(f"{seed}/manifests/{case}")
        try:
            exercise(mutate(docs, rng), rng.choice((None, None, False)), seen)
        except Exception as e:
            raise AssertionError(f"seed {seed}, case {case}") from e
    print(f"seed {seed}: {dict(seen)}")
    assert seen["loaded"] and seen["LoadError"] and seen["answered"]


def test_mutated_dumps(cases: Callable[[int], int], seed: int) -> None:
    """What a real cluster accepted is loaded with findings, so far more gets through to the controllers and the network."""
    docs, seen = yaml.safe_load((example_path("bookshop") / "dump.yaml").read_text("utf-8"))["items"], Counter[str]()
    for case in range(cases(CASES)):
        rng = random.Random(f"{seed}/dumps/{case}")
        kept = [d for d in docs if rng.random() > 0.1]
        try:
            exercise(mutate(kept, rng), rng.choice((None, None, False)), seen)
        except Exception as e:
            raise AssertionError(f"seed {seed}, case {case}") from e
    print(f"seed {seed}: {dict(seen)}")
    assert seen["loaded"] and seen["answered"]


SHOP = kn.example("bookshop")
ENDS = st.one_of(
    st.sampled_from(["shop/web", "svc:shop/cart", "node:worker-1", "external:203.0.113.7", "10.244.0.2", "cart", "data/db",
      "10.96.0.10", "::1", "fe80::1"]),
    st.text(max_size=12),
    st.from_regex(r"\A(pod|deploy|sts|svc|node|external|job|ds)[:/][a-z0-9:./\[\]-]{0,14}\Z"),
    st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]{1,6})?\Z"),
    st.none(), st.integers(), st.lists(st.text(max_size=3), max_size=2),
)  # fmt: skip
PORTS = st.one_of(st.integers(-5, 70000), st.sampled_from(["http", "dns", "", "80", "x-y"]), st.none(), st.floats(), st.booleans())
OPTIONS = st.fixed_dictionaries({}, optional={
    "protocol": st.sampled_from(["TCP", "UDP", "ICMP", "udp", "SCTP", "x", None, 6]),
    "size": st.one_of(st.integers(-3, 3000), st.none(), st.text(max_size=2)),
    "via": st.one_of(st.none(), st.sampled_from(["worker-1", "node:worker-2", "", "nope", 3])),
})  # fmt: skip


@settings(max_examples=120)
@given(ENDS, ENDS, PORTS, OPTIONS)
def test_any_question(src: Any, dst: Any, port: Any, options: dict[str, Any]) -> None:
    for ask in (SHOP.preview, SHOP.outcomes):
        try:
            assert ask(src, dst, port, **options) is not None
        except KubenetError as e:
            assert str(e)
    try:
        assert SHOP.policy.allowed(src, dst, port, **{k: v for k, v in options.items() if k == "protocol"}) is not None
    except KubenetError as e:
        assert str(e)


@settings(max_examples=120)
@given(st.one_of(st.text(max_size=24), st.from_regex(r"\A(https?://)?[a-z0-9.:\[\]-]{0,12}(/[ -~]{0,8})?\Z")))
def test_any_target(text: str) -> None:
    cluster = SHOP.copy()
    for ask in (lambda: cluster.ask("shop/web", text), lambda: cluster.request("shop/web", text), lambda: cluster.resolve("shop/web", text),
                lambda: cluster.dns.query(text), lambda: cluster.ingress.route(text)):  # fmt: skip
        try:
            assert ask() is not None
        except KubenetError as e:
            assert str(e)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["nodes", "cni", "proxy", "dns", "policy", "seed", "listening", "pod_cidr", "service_cidr", "node_cidr",
          "domain", "ip_families",
                         "kubelet", "underlay", "strict"]),
        st.sampled_from([*JUNK, "10.5.0.0/16", "auto", "flannel", "iptables", "kube-router", ["IPv6"], {"mtu": 1400}, {"a/b": [80]}]),
        max_size=2,
    )
)  # fmt: skip
def test_any_options(options: dict[str, Any]) -> None:
    try:
        cluster = kn.load(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "c"}]}}, **options
        )
        cluster.connect("default/a", "kubernetes.default", 443)
        str(cluster.summary())
    except KubenetError as e:
        assert str(e)


def test_html_in_names_is_inert() -> None:
    """Names of ignored kinds, findings and questions are text in every repr."""
    nasty = "<script>alert(1)</script>"
    tls = {"apiVersion": "x.example/v1", "kind": "Odd", "metadata": {"name": nasty, "namespace": nasty}}
    cluster = kn.load(
        [tls, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": nasty}]}}]
    )
    name = "<script>x"
    trace = cluster.connect("default/a", name, 80)
    other = cluster.copy().apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": nasty}})
    shown = [cluster, cluster.summary(), trace, trace.explain(), cluster.outcomes("default/a", name, 80),
     cluster.resolve("default/a", name),
             cluster.diff(other), other.diff(cluster)]  # fmt: skip
    for value in shown:
        html = getattr(value, "_repr_html_", lambda: "")()
        assert "<script" not in html, type(value)
