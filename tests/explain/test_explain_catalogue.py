"""Words for every code: what the walk can say has a sentence, every sentence has evidence, none is left over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kubenet_lab
from kubenet_lab.explain.kernel import PHRASES, short
from kubenet_lab.explain.story import CHAPTERS, catalogue
from kubenet_lab.kernel.story import LAYER_OF, layer_of
from kubenet_lab.trace import LAYERS

ROOT = Path(kubenet_lab.__file__).parent
CODE = re.compile(rf'"((?:{"|".join(sorted(LAYER_OF))})\.[a-z_]+|rp_filter)"')


def used() -> set[str]:
    """Codes that the kernel room's sources name (attribute names of modules are no codes)."""
    text = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "kernel").glob("*.py"))
    return set(CODE.findall(text)) - {"ip.ip"}


def test_every_code_of_the_walk_has_words():
    assert used() <= PHRASES.keys(), sorted(used() - PHRASES.keys())


def test_no_words_are_left_over():
    assert PHRASES.keys() <= used(), sorted(PHRASES.keys() - used())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapters_codes_begin_with_its_name(chapter):
    from importlib import import_module

    phrases = import_module(f"kubenet_lab.explain.{chapter}").PHRASES
    if chapter != "kernel":
        word = {"services": "service"}.get(chapter, chapter)
        assert all(code.startswith(f"{word}.") for code in phrases)


def test_every_phrase_has_evidence_or_says_why_not():
    bare = [code for code, phrase in catalogue().items() if phrase.evidence is None]
    # a fix is advice that follows from the decision before it, not a statement of its own
    assert bare in ([], ["policy.fix"])


def test_evidence_that_is_called_measured_names_the_test_that_measures():
    for code, phrase in catalogue().items():
        if phrase.evidence is not None and phrase.evidence.kind == "measured" and code in PHRASES:
            assert phrase.evidence.source.startswith("tests/kernel_lab"), code


def test_voice():
    for code, phrase in catalogue().items():
        for words in (phrase.title, phrase.sentence):
            if isinstance(words, str):
                assert not re.search(r"!(?![rs]\})", words) and "simply" not in words.lower(), code


def test_every_code_has_a_layer():
    assert all(layer_of(code) in LAYERS for code in PHRASES)


@pytest.mark.parametrize(
    ("label", "title"),
    [("shop/web-5798f5d689-96lt2", "shop/web"), ("data/db-0", "data/db-0"), ("ops/ingress-k9252", "ops/ingress"),
     ("node:worker-1", "node:worker-1"), ("external:203.0.113.7", "external:203.0.113.7"), ("shop/web-front", "shop/web-front")],
)  # fmt: skip
def test_titles_drop_only_what_controllers_put_behind_a_name(label, title):
    assert short(label) == title
