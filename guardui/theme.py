"""The look: one table of colours, the Gradio theme made from it, and the page's stylesheet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import gradio as gr
from gradio.themes.utils.colors import Color

STATIC = Path(__file__).parent / "static"

# Light and dark value of each colour. `edge` outlines inputs, `line` only separates.
TOKENS: dict[str, tuple[str, str]] = {
    "bg": ("#f7f8fa", "#0f1217"),
    "panel": ("#ffffff", "#171b22"),
    "line": ("#e3e6eb", "#2a303a"),
    "edge": ("#868e9c", "#666f7e"),
    "ink": ("#16191f", "#e8ebf0"),
    "soft": ("#5b6472", "#9aa4b2"),
    "accent": ("#3b5bdb", "#8da2ff"),
    "accent-deep": ("#2f4bc0", "#a9b8ff"),
    "accent-soft": ("#e7ecff", "#1d2647"),
    "on-accent": ("#ffffff", "#0f1217"),
    "ok": ("#187545", "#6fd3a0"),
    "ok-bg": ("#e6f5ec", "#12291e"),
    "bad": ("#b3261e", "#ff9a92"),
    "bad-bg": ("#fdeceb", "#341616"),
    "warn": ("#8a5a00", "#f2c265"),
    "warn-bg": ("#fff4da", "#2f2410"),
    "na": ("#5b6472", "#9aa4b2"),
    "na-bg": ("#eef0f3", "#20262f"),
    "other": ("#c2410c", "#ffa36b"),
    # Lines of several jobs in one chart; pipelines/comparison_png.py has the light ones too.
    "curve-a": ("#3b5bdb", "#8da2ff"),
    "curve-b": ("#c2410c", "#ffa36b"),
    "curve-c": ("#187545", "#6fd3a0"),
    "curve-d": ("#8b3fc7", "#d7a3ff"),
    "curve-e": ("#8a5a00", "#f2c265"),
    "curve-f": ("#0b7285", "#66d9e8"),
}

# (ink, ground) pairs that the page sets text in; a test holds them to WCAG AA (4.5:1).
TEXT_PAIRS = [
    ("ink", "bg"),
    ("ink", "panel"),
    ("ink", "na-bg"),
    ("ink", "accent-soft"),
    ("soft", "bg"),
    ("soft", "panel"),
    ("soft", "accent-soft"),
    ("accent", "bg"),
    ("accent", "panel"),
    ("accent", "accent-soft"),
    ("accent-deep", "panel"),
    ("on-accent", "accent"),
    ("on-accent", "accent-deep"),
    ("ok", "ok-bg"),
    ("ok", "panel"),
    ("bad", "bad-bg"),
    ("bad", "panel"),
    ("warn", "warn-bg"),
    ("warn", "panel"),
    ("na", "na-bg"),
    ("other", "panel"),
]

# Outlines and marks that carry meaning; WCAG asks 3:1 of them.
MARK_PAIRS = [
    *((f"curve-{letter}", "panel") for letter in "abcdef"),
    ("edge", "bg"),
    ("edge", "panel"),
    ("accent", "bg"),
    ("accent", "na-bg"),
    ("ok", "na-bg"),
    ("bad", "na-bg"),
]

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

# Gradio variable -> token, the same word in light and dark.
_FROM_TOKENS = {
    "body_background_fill": "bg",
    "body_text_color": "ink",
    "body_text_color_subdued": "soft",
    "background_fill_primary": "panel",
    "background_fill_secondary": "bg",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "border_color_accent_subdued": "line",
    "color_accent_soft": "accent-soft",
    "link_text_color": "accent",
    "link_text_color_hover": "accent-deep",
    "link_text_color_active": "accent",
    "link_text_color_visited": "accent",
    "code_background_fill": "na-bg",
    "block_background_fill": "panel",
    "block_border_color": "line",
    "block_info_text_color": "soft",
    "block_label_background_fill": "panel",
    "block_label_border_color": "line",
    "block_label_text_color": "soft",
    "block_title_text_color": "ink",
    "panel_background_fill": "panel",
    "panel_border_color": "line",
    "accordion_text_color": "ink",
    "table_text_color": "ink",
    "table_border_color": "line",
    "table_even_background_fill": "panel",
    "table_odd_background_fill": "bg",
    "table_row_focus": "accent-soft",
    "input_background_fill": "bg",
    "input_background_fill_focus": "panel",
    "input_background_fill_hover": "bg",
    "input_border_color": "edge",
    "input_border_color_focus": "accent",
    "input_border_color_hover": "soft",
    "input_placeholder_color": "soft",
    "checkbox_background_color": "panel",
    "checkbox_background_color_focus": "panel",
    "checkbox_background_color_hover": "panel",
    "checkbox_background_color_selected": "accent",
    "checkbox_border_color": "edge",
    "checkbox_border_color_focus": "accent",
    "checkbox_border_color_hover": "accent",
    "checkbox_border_color_selected": "accent",
    "checkbox_label_background_fill": "panel",
    "checkbox_label_background_fill_hover": "na-bg",
    "checkbox_label_background_fill_selected": "accent-soft",
    "checkbox_label_border_color": "edge",
    "checkbox_label_border_color_hover": "accent",
    "checkbox_label_border_color_selected": "accent",
    "checkbox_label_text_color": "ink",
    "checkbox_label_text_color_selected": "ink",
    "error_background_fill": "bad-bg",
    "error_border_color": "bad",
    "error_text_color": "bad",
    "error_icon_color": "bad",
    "loader_color": "accent",
    "slider_color": "accent",
    "stat_background_fill": "accent-soft",
    "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "accent-deep",
    "button_primary_border_color": "accent",
    "button_primary_border_color_hover": "accent-deep",
    "button_primary_text_color": "on-accent",
    "button_primary_text_color_hover": "on-accent",
    "button_secondary_background_fill": "panel",
    "button_secondary_background_fill_hover": "na-bg",
    "button_secondary_border_color": "edge",
    "button_secondary_border_color_hover": "soft",
    "button_secondary_text_color": "ink",
    "button_secondary_text_color_hover": "ink",
    "button_cancel_background_fill": "panel",
    "button_cancel_background_fill_hover": "bad-bg",
    "button_cancel_border_color": "bad",
    "button_cancel_border_color_hover": "bad",
    "button_cancel_text_color": "bad",
    "button_cancel_text_color_hover": "bad",
}

_SHAPES = {
    "body_text_size": "15px",
    "block_radius": "10px",
    "block_padding": "14px 16px",
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_title_text_size": "13.5px",
    "block_title_text_weight": "600",
    "block_info_text_size": "13px",
    "block_label_text_size": "13px",
    "container_radius": "10px",
    "layout_gap": "16px",
    "form_gap_width": "0px",
    "panel_border_width": "0px",
    "input_radius": "8px",
    "input_border_width": "1px",
    "input_padding": "9px 11px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "input_text_size": "15px",
    "checkbox_shadow": "none",
    "checkbox_label_shadow": "none",
    "checkbox_label_border_width": "1px",
    "button_border_width": "1px",
    "button_large_radius": "8px",
    "button_large_padding": "9px 18px",
    "button_large_text_size": "15px",
    "button_large_text_weight": "600",
    "button_medium_radius": "8px",
    "button_medium_padding": "8px 16px",
    "button_medium_text_size": "14.5px",
    "button_medium_text_weight": "600",
    "button_small_radius": "8px",
    "button_small_padding": "6px 12px",
    "button_small_text_size": "13.5px",
    "button_small_text_weight": "600",
    "button_primary_shadow": "none",
    "button_primary_shadow_hover": "none",
    "button_primary_shadow_active": "none",
    "button_secondary_shadow": "none",
    "button_secondary_shadow_hover": "none",
    "button_secondary_shadow_active": "none",
    "button_transform_hover": "none",
    "button_transform_active": "none",
    "section_header_text_size": "15px",
    "section_header_text_weight": "600",
    "table_radius": "8px",
    "shadow_drop": "none",
    "shadow_drop_lg": "0 8px 24px rgb(15 18 23 / 16%)",
}


_GREYS = [
    *("#f7f8fa", "#eef0f3", "#e3e6eb", "#c9ced7", "#9aa4b2", "#868e9c"),
    *("#5b6472", "#3d4552", "#2a303a", "#171b22", "#0f1217"),
]


class GuardTheme(gr.themes.Base):
    """Base with every colour taken from TOKENS; fonts are the system's, fetched from nowhere."""

    def __init__(self) -> None:
        (strong, light), pale = TOKENS["accent"], TOKENS["accent-soft"]
        # Gradio derives a few colours from a ramp; a few shades of the accent serve all of them.
        shades = [pale[0]] * 3 + [light] * 2 + [strong] * 4 + [pale[1]] * 2
        accent = _ramp("accent", shades)
        grey = _ramp("quiet", _GREYS)
        super().__init__(
            primary_hue=accent, secondary_hue=accent, neutral_hue=grey, font=SANS, font_mono=MONO
        )
        colours = {name: TOKENS[token][0] for name, token in _FROM_TOKENS.items()}
        dark = {f"{name}_dark": TOKENS[token][1] for name, token in _FROM_TOKENS.items()}
        self.set(**colours, **dark, **_SHAPES, color_accent=TOKENS["accent"][0])


def _ramp(name: str, shades: Sequence[str]) -> Color:
    """Eleven shades from the lightest to the darkest."""
    steps = ("c50", *(f"c{n}00" for n in range(1, 10)), "c950")
    return Color(**dict(zip(steps, shades, strict=True)), name=name)


def tokens_css() -> str:
    """The colours as custom properties `--gu-NAME`, light and dark."""
    light = "".join(f"--gu-{name}:{pair[0]};" for name, pair in TOKENS.items())
    dark = "".join(f"--gu-{name}:{pair[1]};" for name, pair in TOKENS.items())
    return f":root{{{light}color-scheme:light}}\n.dark{{{dark}color-scheme:dark}}\n"


@cache
def head() -> str:
    """What goes into the page's head: stylesheet first, so that nothing flashes unstyled."""
    names = ("style.css", "curves.css", "rate.css", "samples.css", "compare.css", "studies.css")
    sheets = [STATIC / name for name in names]
    style = tokens_css() + "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    script = (STATIC / "page.js").read_text(encoding="utf-8")
    return f"<style>{style}</style>\n<script>{script}</script>"
