"""The colours that the page is set in: contrast, and nothing fetched from elsewhere."""

from __future__ import annotations

import re

import pytest

from guardui.theme import MARK_PAIRS, STATIC, TEXT_PAIRS, TOKENS, GuardTheme, head, tokens_css


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG 2.1 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT_PAIRS)
def test_text_meets_wcag_aa(ink: str, ground: str, theme: int) -> None:
    assert contrast(TOKENS[ink][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), MARK_PAIRS)
def test_marks_meet_wcag_aa(mark: str, ground: str, theme: int) -> None:
    assert contrast(TOKENS[mark][theme], TOKENS[ground][theme]) >= 3


def test_each_background_that_the_stylesheet_gives_text_is_a_tested_pair() -> None:
    css = (STATIC / "style.css").read_text(encoding="utf-8")
    rules = re.findall(r"\{([^{}]*)\}", css)
    for rule in rules:
        ground = re.search(r"(?:^|[;\s])background: var\(--gu-([a-z-]+)\)", rule)
        ink = re.search(r"(?:^|[;\s])color: var\(--gu-([a-z-]+)\)", rule)
        if ground and ink:
            assert (ink[1], ground[1]) in TEXT_PAIRS, rule


def test_stylesheets_use_only_colours_of_the_table() -> None:
    for sheet in STATIC.glob("*.css"):
        css = sheet.read_text(encoding="utf-8")
        assert set(re.findall(r"var\(--gu-([a-z-]+)\)", css)) <= set(TOKENS)
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*\})", css), sheet


def test_theme_and_head_fetch_nothing() -> None:
    theme = GuardTheme()
    assert theme._stylesheets == []
    text = (theme._get_theme_css() + head()).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert "@import" not in text
    assert ".dark{" in tokens_css()


def test_theme_sets_light_and_dark() -> None:
    css = GuardTheme()._get_theme_css()
    light, dark = css.split(":root.dark", 1)
    assert f"--button-primary-background-fill: {TOKENS['accent'][0]}" in light
    assert f"--button-primary-background-fill: {TOKENS['accent'][1]}" in dark
