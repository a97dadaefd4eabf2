"""Markdown that shows texts as they are, whatever they hold."""

import re
from html import unescape

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipelines.reports.as_markdown import cut, escaped, markdown
from pipelines.reports.blocks import Bullets, Cell, Document, Grid, Paragraph, Section

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKS = st.text(alphabet="ab 1.)-+=#>*_`~[]()!<>&;|\\$:/\n\t", max_size=30)


def shown(source: str) -> str:
    """What a reader sees of one paragraph, without its markup."""
    page = READER.render(source)
    assert page.count("<p>") == (1 if source.strip() else 0), page
    assert not re.search(r"<(?!/?p>)", page), page
    return unescape(re.sub(r"</?p>", "", page)).strip()


@given(MARKS)
@example("---")
@example("1. one")
@example("- [x] done")
@example("![a](b) <b>&lt;</b> ~~c~~")
@example("# no heading")
@example("a ``` b")
def test_any_text_is_shown_as_it_is(text):
    assert shown(escaped(text)) == " ".join(text.split())


@given(MARKS, MARKS)
def test_any_text_stays_in_its_cell(first, second):
    grid = Grid("t", ("A", "B"), ((Cell(first, strong=True), Cell("1", (second,))),))
    source = markdown(Document("d", (), (Section("s", (grid,)),)))
    page = READER.render(source)
    assert page.count("<td") == 2
    assert page.count("<th") - page.count("<thead") == 2


def test_addresses_are_no_links():
    assert "&#8203;" in escaped("see https://example.org and www.example.org")
    assert "&#8203;" not in escaped("a httpserver")


def test_a_document_is_sections_of_blocks():
    blocks = (Paragraph("one"), Bullets(("a", "- b")))
    found = Document("T", ("lead",), (Section("s", blocks), Section("x", (), 3)))
    assert markdown(found) == "# T\n\nlead\n\n## s\n\none\n\n- a\n- \\- b\n\n### x\n"


def test_long_texts_are_cut():
    assert cut("a b\n c", 10) == "a b c"
    assert cut("word " * 9, 12) == "word word wo…"
