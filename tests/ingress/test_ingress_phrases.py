"""Every code of the chapter has its words, and every word its use."""

from __future__ import annotations

import re
from pathlib import Path

import kubenet_lab.ingress
from kubenet_lab.explain.ingress import PHRASES


def test_codes_and_phrases_are_the_same_set() -> None:
    room = Path(kubenet_lab.ingress.__file__).parent
    used = {code for p in room.glob("*.py") for code in re.findall(r'"(ingress\.[a-z-]+)"', p.read_text())}
    assert used == set(PHRASES)
    assert all(p.evidence is not None for p in PHRASES.values())
    assert not any("!" in str(p.sentence) for p in PHRASES.values())
