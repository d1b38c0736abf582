"""What vendors' texts may do in the pages of Dagster: be read, and nothing else."""

from __future__ import annotations

import re

import dagster as dg
import polars as pl
import pytest
from markdown_it import MarkdownIt

from smallcaps_assets.lake import Written
from smallcaps_assets.orchestration.describe import event_metadata, preview
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.reports.sparkline import columns_of, label_strip

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a &lt;b&gt; &#60;i&#62; & c",
    "[click](javascript:alert(1))",
    "![x](http://127.0.0.1/x.svg)",
    "<http://127.0.0.1/>",
    "a|b\n| c |",
    "**bold** _slanted_ ~~gone~~ `code`",
    "\\<i>x</i>\\|y",
    "x" * 59 + "<script>alert(1)</script>",
    "\r\n\r\n<b>x</b>\u2028# heading",
]
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
GFM = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@pytest.mark.parametrize("text", HOSTILE)
def test_preview_given_markup_shows_it_as_text(text: str) -> None:
    page = GFM.render(preview(pl.DataFrame({"ticker": [text], "close": [1.5]})))
    assert set(re.findall(r"<(\w+)", page)) == TABLE
    shown = GFM.parse(preview(pl.DataFrame({"headline": [text]})))[-5].content
    (child,) = GFM.parseInline(shown)[0].children or []
    assert child.content == re.sub(r"\s+", " ", text)[:60].strip()


def test_metadata_is_an_image_only_where_it_was_drawn_here() -> None:
    vendor = "![x](http://127.0.0.1/x.svg)"
    both = label_strip({1: 3}) + "<script>alert(1)</script>"
    told = {"labels": label_strip({1: 3, 0: 1}), "days": columns_of([1, 2], "days")}
    stored = Written("news", "2024-12", 1, 1, "x")
    found = event_metadata(
        Outcome("news", "2024-12", 0.0, stored, metadata={**told, "title": vendor, "both": both})
    )
    assert all(isinstance(found[name], dg.MarkdownMetadataValue) for name in told)
    assert found["title"] == vendor and found["both"] == both
