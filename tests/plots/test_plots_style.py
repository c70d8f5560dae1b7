from __future__ import annotations

import pytest

from kubenet_lab.plots.style import DARK, LAYER_STYLES, LIGHT, automatic, contrast, palette
from kubenet_lab.trace import LAYERS


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable_on_every_surface_it_stands_on(colours):
    surfaces = ["bg", "card", "card2"]
    for text in ("ink", "soft"):
        for surface in (*surfaces, *(f"{layer}bg" for layer in LAYERS), "okbg", "nobg", "hotbg"):
            assert contrast(colours[text], colours[surface]) >= 4.5, (text, surface)
    for role in (*LAYERS, "ok", "no", "hot"):
        for surface in (*surfaces[:2], f"{role}bg"):
            assert contrast(colours[role], colours[surface]) >= 4.5, (role, surface)
    assert contrast(colours["bg"], colours["pod"]) >= 4.5  # the button
    assert contrast(colours["focus"], colours["bg"]) >= 3


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_role_has_its_own_colour(colours):
    assert len(set(colours.values())) == len(colours)
    assert LIGHT.keys() == DARK.keys()


def test_layers_differ_without_colour():
    assert set(LAYER_STYLES) == set(LAYERS)
    assert len({(s.dash, s.width) for s in LAYER_STYLES.values()}) == len(LAYERS)
    assert len({s.marker for s in LAYER_STYLES.values()}) == len(LAYERS)


def test_auto_theme_defines_each_colour_twice():
    out = automatic(f'<svg><desc>x</desc><rect style="fill: {LIGHT["pod"]}"/></svg>')
    assert "var(--kn-pod)" in out and f"--kn-pod:{LIGHT['pod']}" in out and f"--kn-pod:{DARK['pod']}" in out


def test_unknown_theme_is_refused():
    with pytest.raises(ValueError, match="not 'blue'"):
        palette("blue")  # type: ignore[arg-type]
