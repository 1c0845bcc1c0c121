"""Contrast of the colors of the web kit, in both themes.

Source: WCAG 2.2, success criteria 1.4.3 (4.5:1 for text) and 1.4.11 (3:1 for graphics and controls)
"""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = (files("idlrt.web") / "static" / "kit.css").read_text(encoding="utf-8")
TEXT = ("text", "soft", "link", "good", "warning", "bad")
LINES = (*(f"line-{number}" for number in range(1, 9)), "control")
BACKGROUNDS = ("back", "panel")


def theme(name: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark if name == "dark" else light))


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_and_lines_can_be_seen(name: str) -> None:
    colors = theme(name)
    pairs = {(front, back): contrast(colors[front], colors[back]) for front in (*TEXT, *LINES) for back in BACKGROUNDS}
    assert {pair: value for pair, value in pairs.items() if value < (4.5 if pair[0] in TEXT else 3)} == {}
    assert contrast(colors["back"], colors["text"]) >= 4.5, "the current choice has the colors the other way round"


def test_both_themes_have_the_same_colors() -> None:
    assert theme("light").keys() == theme("dark").keys()
