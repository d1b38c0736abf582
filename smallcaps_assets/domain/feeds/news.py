"""What a company's articles say in the days before a decision: how many, of what, in which tone."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

KEYWORDS = {
    "offering": r"\bofferings?\b",
    "fda": r"\bfda\b",
    "merger": r"\bmerg(?:e|es|ed|er|ers|ing)\b|\bacqui(?:re|res|red|ring|sition|sitions)\b",
    "bankruptcy": r"\bbankrupt(?:cy|cies)?\b|\bchapter (?:7|11)\b",
    "halt": r"\bhalt(?:s|ed)?\b",
}
"""What flags an article, in small letters, in its title, summary or the vendor's keywords."""
WINDOWS = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_MOODS = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}


def article_marks(news: pl.DataFrame) -> pl.DataFrame:
    """known_at, identity and 0 or 1 for each mark of an article, once per company.

    `news` has the identity of its tickers. Marks: `articles`, those of KEYWORDS, `opinions` (1 with
    the vendor's opinion) and `mood` (1, 0, -1).
    """
    words = pl.concat_str(
        pl.col("title").fill_null(""),
        pl.col("description").fill_null(""),
        pl.col("keywords").list.join(" ").fill_null(""),
        separator=" ",
    ).str.to_lowercase()
    mood = pl.col("sentiment").replace_strict(_MOODS, default=None, return_dtype=pl.Float64)
    articles = news.sort("known_at", "id", "ticker").unique(
        ["identity", "id"], keep="first", maintain_order=True
    )
    return articles.select(
        "known_at",
        "identity",
        pl.lit(1.0).alias("articles"),
        *(words.str.contains(text).cast(pl.Float64).alias(n) for n, text in KEYWORDS.items()),
        mood.is_not_null().cast(pl.Float64).alias("opinions"),
        mood.fill_null(0.0).alias("mood"),
    )
