"""Answers are compared by what they mean."""

from __future__ import annotations

import ipaddress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.course.compare import Form, Unreadable, read, same, show

NUMBER, BYTES = Form("number"), Form("number", unit="bytes")
ADDRESS, NETWORK, NAME = Form("address"), Form("network"), Form("name")
OBJECT, WORKLOAD = Form("object", namespace="shop"), Form("workload", namespace="shop")
VERDICT = Form("word", choices=("delivered", "refused", "timeout"), synonyms={"ETIMEDOUT": "timeout"})


class View:
    key = "shop/web-6c9d8f7b5-x2k4q"


SAME: list[tuple[Form, Any, Any]] = [
    (NUMBER, 50, "50"),
    (NUMBER, 50, 50.0),
    (NUMBER, " 50 ", 50),
    (NUMBER, Fraction(1, 3), "1/3"),
    (NUMBER, 0.1, Fraction(1, 10)),
    (NUMBER, "25%", 0.25),
    (NUMBER, "1 450", 1450),
    (NUMBER, {7}, 7),
    (BYTES, "50 bytes", 50),
    (BYTES, "1 byte", 1),
    (BYTES, "50 Bytes", 50),
    (ADDRESS, "10.244.1.2", ipaddress.ip_address("10.244.1.2")),
    (ADDRESS, "10.244.1.2/24", "10.244.1.2"),
    (ADDRESS, "FD00::0:5", "fd00::5"),
    (ADDRESS, "'10.0.0.1'", "10.0.0.1"),
    (NETWORK, "10.244.1.7/24", ipaddress.ip_network("10.244.1.0/24")),
    (NAME, "Cart.shop.svc.cluster.local.", "cart.shop.svc.cluster.local"),
    (OBJECT, "web", "shop/web"),
    (OBJECT, "pod/shop/web", "shop/web"),
    (OBJECT, "svc:shop/cart", "cart"),
    (OBJECT, "deploy/web", "shop/web"),
    (OBJECT, View(), "shop/web-6c9d8f7b5-x2k4q"),
    (WORKLOAD, "shop/web-6c9d8f7b5-x2k4q", "web"),
    (WORKLOAD, "db-0", "shop/db"),
    (WORKLOAD, View(), "pod/shop/web"),
    (VERDICT, "Timeout", "timeout"),
    (VERDICT, "etimedout.", "timeout"),
    (Form("address", "set"), ["10.0.0.2", "10.0.0.1"], {"10.0.0.1", "10.0.0.2"}),
    (Form("address", "set"), "10.0.0.2, 10.0.0.1", ("10.0.0.1", "10.0.0.2")),
    (Form("name", "list"), ["a.b.", "c"], ("a.b", "c")),
    (Form("object", "set", namespace="shop"), "web api", {"shop/api", "pod/shop/web"}),
]

DIFFERENT: list[tuple[Form, Any, Any]] = [
    (NUMBER, 50, 51),
    (NUMBER, "0.333", Fraction(1, 3)),
    (ADDRESS, "10.244.1.2", "10.244.1.3"),
    (NETWORK, "10.244.0.0/16", "10.244.0.0/24"),
    (NAME, "cart.shop.svc", "cart.shop.svc.cluster.local"),
    (OBJECT, "data/web", "shop/web"),
    (WORKLOAD, "shop/web-admin", "shop/web"),
    (VERDICT, "refused", "timeout"),
    (Form("address", "set"), ["10.0.0.1"], {"10.0.0.1", "10.0.0.2"}),
    (Form("name", "list"), ["c", "a"], ["a", "c"]),
]

UNREADABLE: list[tuple[Form, Any]] = [
    (NUMBER, "fifty"),
    (NUMBER, True),
    (NUMBER, None),
    (NUMBER, float("nan")),
    (NUMBER, "1/0"),
    (NUMBER, [1, 2]),
    (NUMBER, object()),
    (ADDRESS, "10.244.1"),
    (ADDRESS, "cart"),
    (NETWORK, "10.244.0.0/33"),
    (NAME, "not a name"),
    (OBJECT, ""),
    (OBJECT, "a/b/c/d"),
    (VERDICT, "broken"),
    (VERDICT, 3.5),
]


def label(value: Any) -> str:
    """The same on every run and in every process: no address of an object, no order of a set."""
    if isinstance(value, Form):
        return f"{value.shape}-{value.kind}"
    return repr(value)[:30] if isinstance(value, str | int | float | Fraction) else type(value).__name__


@pytest.mark.parametrize(("form", "one", "other"), SAME, ids=label)
def test_same(form: Form, one: Any, other: Any) -> None:
    assert same(one, other, form) and same(other, one, form)


@pytest.mark.parametrize(("form", "one", "other"), DIFFERENT, ids=label)
def test_different(form: Form, one: Any, other: Any) -> None:
    assert not same(one, other, form)


@pytest.mark.parametrize(("form", "value"), UNREADABLE, ids=label)
def test_unreadable_is_not_wrong(form: Form, value: Any) -> None:
    with pytest.raises(Unreadable) as caught:
        read(value, form)
    assert "0x" not in str(caught.value), "a message is the same on every run"
    assert form.describe() in str(caught.value)


def test_numpy_and_pandas_values() -> None:
    import numpy as np
    import pandas as pd

    assert same(np.int64(50), 50, NUMBER) and same(np.float32(0.5), "1/2", NUMBER)
    assert same(pd.Series(["10.0.0.1", "10.0.0.2"]), {"10.0.0.2", "10.0.0.1"}, Form("address", "set"))
    with pytest.raises(Unreadable):
        read(np.bool_(True), NUMBER)


def test_show_is_stable() -> None:
    form = Form("address", "set")
    assert show({"10.0.0.2", "10.0.0.1"}, form) == show(["10.0.0.1", "10.0.0.2"], form) == "10.0.0.1, 10.0.0.2"
    assert show(50, BYTES) == "50 bytes"


KINDS = st.sampled_from(["number", "address", "network", "name", "object", "workload", "word"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@given(KINDS, st.sampled_from(["one", "set", "list"]), VALUES)
def test_whatever_is_typed_is_read_or_unreadable(kind: Any, shape: Any, value: Any) -> None:
    form = Form(kind, shape, namespace="shop")
    try:
        meaning = read(value, form)
    except Unreadable:
        return
    hash(meaning)
    assert isinstance(show(value, form), str)
    if shape == "one":
        assert read(str(meaning), form) == meaning, "what is shown can be typed"
