"""Selectors, as apimachinery has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.errors import KubenetError
from kubenet_lab.objects import (
    SelectorError,
    describe,
    failing_terms,
    matches,
    matches_labels,
    matches_text,
    parse,
    requirement_matches,
    requirements,
)
from kubenet_lab.objects.views import LabelSelector, Requirement

TABLE = yaml.safe_load((Path(__file__).parent.parent / "conformance" / "objects" / "selectors.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("text", "printed"), TABLE["parses"])
def test_parse_and_print(text: str, printed: str) -> None:
    assert describe(parse(text)) == (printed or "<none>")
    assert parse(printed) == parse(text)


@pytest.mark.parametrize(("text", "said"), TABLE["refused"])
def test_refused(text: str, said: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    if said != "label value":
        assert said in str(caught.value)
    else:
        assert "a valid label must be an empty string" in str(caught.value)


@pytest.mark.parametrize(("text", "labels", "expected"), TABLE["matches"])
def test_matches_text(text: str, labels: dict[str, str], expected: bool) -> None:
    assert matches_text(text, labels) is expected
    assert (failing_terms(parse(text), labels) == ()) is expected


@pytest.mark.parametrize("case", TABLE["objects"], ids=[c["text"] for c in TABLE["objects"]])
def test_objects(case: dict[str, Any]) -> None:
    selector = None if case["selector"] is None else msgspec.convert(case["selector"], type=LabelSelector)
    assert describe(selector) == case["text"]
    for labels in case["matches"]:
        assert matches(selector, labels) and failing_terms(selector, labels) == ()
    for labels in case.get("misses", ()):
        assert not matches(selector, labels) and failing_terms(selector, labels)


def test_failing_terms_name_each_term_that_fails() -> None:
    selector = parse("a=1,b in (2,3),!c,d")
    assert failing_terms(selector, {"a": "1", "b": "4", "c": "x"}) == ("b in (2,3)", "!c", "d")
    assert failing_terms(None, {}) == ("<none>",)


def test_a_service_selector_is_a_map() -> None:
    assert matches_labels({"a": "b"}, {"a": "b", "c": "d"})
    assert not matches_labels({"a": "b"}, {"a": "c"})
    assert matches_labels({}, {})


def test_gt_compares_integers_of_64_bits() -> None:
    assert requirement_matches(Requirement(key="n", operator="Gt", values=["9"]), {"n": "10"})
    assert not requirement_matches(Requirement(key="n", operator="Gt", values=["9"]), {"n": "10a"})
    assert not requirement_matches(Requirement(key="n", operator="Lt", values=["1", "2"]), {"n": "0"})
    assert not requirement_matches(Requirement(key="n", operator="Gt", values=["1"]), {"n": str(1 << 63)})
    assert not requirement_matches(Requirement(key="n", operator="Near", values=["1"]), {"n": "1"})


def test_requirements_lists_labels_first() -> None:
    selector = LabelSelector(match_labels={"b": "2", "a": "1"}, match_expressions=[Requirement(key="A", operator="Exists")])
    assert [(r.key, r.operator) for r in requirements(selector)] == [("a", "In"), ("b", "In"), ("A", "Exists")]


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "x", "y", "1", "2"])
TERMS = st.builds(
    lambda key, operator, values: Requirement(key=key, operator=operator, values=[] if "xist" in operator else values),
    KEYS, st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]), st.lists(VALUES, min_size=1, max_size=3, unique=True),
)  # fmt: skip
SELECTORS = st.builds(
    lambda labels, terms: LabelSelector(match_labels=labels, match_expressions=terms),
    st.dictionaries(KEYS, VALUES, max_size=2), st.lists(TERMS, max_size=3),
)  # fmt: skip
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)


@given(SELECTORS, LABELS)
def test_the_printed_form_means_the_same(selector: LabelSelector, labels: dict[str, str]) -> None:
    printed = describe(selector)
    again = parse("" if printed == "<none>" else printed)
    assert matches(again, labels) == matches(selector, labels)


@given(SELECTORS, LABELS)
def test_failing_terms_are_empty_exactly_when_it_matches(selector: LabelSelector, labels: dict[str, str]) -> None:
    assert (failing_terms(selector, labels) == ()) == matches(selector, labels)


@given(SELECTORS, LABELS)
def test_not_in_is_the_opposite_of_in(selector: LabelSelector, labels: dict[str, str]) -> None:
    opposite = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}
    for term in requirements(selector):
        other = Requirement(key=term.key, operator=opposite[term.operator], values=term.values)
        assert requirement_matches(term, labels) != requirement_matches(other, labels)


@given(st.text(alphabet="ab=!(),<> inot\0/.é", max_size=20))
def test_any_text_parses_or_is_refused_in_words(text: str) -> None:
    try:
        parse(text)
    except KubenetError as error:
        assert str(error)
