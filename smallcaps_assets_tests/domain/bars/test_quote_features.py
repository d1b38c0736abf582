"""Quote features of a ticker-session: order and nulls of the frame, and no look-ahead."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quote_features import (
    MEASURES,
    QuoteError,
    no_quotes,
    quote_arrays,
    quote_features,
)
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.domain.tape_frames import cut
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at, tape_of, trade

HOURS = session_hours(DAY)
START = at("10:00:00")
TAPE = tape_of([trade(START + n * SECOND, 5.0 + n % 2 / 100) for n in range(8)])
BARS = cut(TAPE.ticks, [3, 5, 7], {1: "halt"})


def quotes_frame(rows, **columns):
    """Quotes of (seconds after 10:00, bid, bid size, ask, ask size) with sequence numbers."""
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    frame = pl.DataFrame(
        {
            "sip_timestamp": [START + int(row[0] * SECOND) for row in rows],
            "sequence_number": list(range(len(rows))),
            **{name: [row[k + 1] for row in rows] for k, name in enumerate(names)},
            **columns,
        },
        strict=False,
    )
    return frame.cast({"sip_timestamp": pl.Datetime("ns", "UTC")})


QUOTES = quotes_frame(
    [(-5, 5.0, 100, 5.02, 300), (2.5, 5.01, 200, 5.02, 300), (4.5, 5.01, 200, None, None)]
)


def features(quotes=QUOTES, tape=TAPE, bars=BARS):
    held = quote_arrays(quotes, HOURS, HOURS.close) if quotes is not None else no_quotes()
    return quote_features(tape, bars, held)


def test_quote_features_have_a_row_per_bar_that_its_threshold_closed():
    found, quality = features()
    assert dict(found.schema) == TABLES["quote_features"].columns
    assert found["bar_id"].to_list() == [0, 2]
    assert found["known_at"].to_list() == BARS["close_timestamp"].gather([0, 2]).to_list()
    assert found["spread_last"].to_list() == [pytest.approx(0.01 / 5.015), None]
    assert found["null_reason"].to_list() == [None, "no_clean_quote_at_close"]
    (told,) = quality.to_dicts()
    assert (told["quotes"], told["inside_share"]) == (3, pytest.approx(4 / 5))


def test_quote_features_without_quotes_are_null_with_a_reason():
    found, quality = features(None)
    assert found["null_reason"].to_list() == ["no_quote_yet"] * 2
    empty = found.select(MEASURES)
    assert empty.null_count().row(0) == (2,) * empty.width
    (told,) = quality.to_dicts()
    assert (told["quotes"], told["missing_share"], told["inside_share"]) == (0, 1.0, None)
    assert told["longest_silence_seconds"] == 6.5 * 3600


def test_quote_features_given_quotes_after_the_first_print_begin_with_them():
    found, _ = features(quotes_frame([(1.5, 5.0, 100, 5.02, 100)]))
    assert found["quoted_volume"].to_list() == [200, 200]
    only_late, _ = features(quotes_frame([(3, 5.0, 100, 5.02, 100)]))
    assert only_late["null_reason"].to_list() == ["no_quote_yet", None]
    assert only_late["quoted_volume"].to_list()[0] is None


def test_quote_features_ignore_order_and_repetition():
    rows = [(n / 3, 5.0 + n % 4 / 100, 100, 5.04 - n % 3 / 100, 300) for n in range(20)]
    frame = quotes_frame(rows)
    frame = frame.with_columns(sip_timestamp=pl.col("sip_timestamp").dt.truncate("1s"))
    expected, _ = features(frame)
    assert_frame_equal(features(frame.reverse())[0], expected)
    twice, _ = features(pl.concat([frame, frame]).sort("sip_timestamp", "sequence_number"))
    assert_frame_equal(twice, expected)


def test_quote_features_leave_out_quotes_that_are_not_firm_or_outside_the_session():
    firm = quotes_frame([(-5, 5.0, 1, 5.02, 1), (1, 5.0, 1, 5.5, 1)], is_firm=[True, False])
    found, _ = features(firm)
    assert found["null_reason"].to_list() == ["no_clean_quote_at_close"] * 2
    early = quotes_frame([(-7 * 3600, 5.0, 1, 5.02, 1), (7 * 3600, 5.0, 1, 5.5, 1)])
    found, quality = features(early)
    assert found["null_reason"].to_list() == ["no_quote_yet"] * 2
    assert quality["quotes"].item() == 0


def test_quote_features_given_bars_of_another_tape_or_quotes_without_time_raise():
    with pytest.raises(QuoteError, match="end at tick 7, the tape has 2"):
        features(tape=tape_of([trade(START), trade(START + 1)]))
    with pytest.raises(QuoteError, match="no sip_timestamp"):
        features(QUOTES.with_columns(sip_timestamp=pl.lit(None, pl.Datetime("ns", "UTC"))))


def test_quote_features_given_no_bars_are_empty():
    found, _ = features(bars=BARS[:0])
    assert dict(found.schema) == TABLES["quote_features"].columns
    assert found.is_empty()


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(-2, 16), st.sampled_from((None, 4.99, 5.0, 5.01)),
            st.sampled_from((0.0, 100.0, 200.0)), st.sampled_from((5.0, 5.01, 5.02)),
            st.sampled_from((100.0, 300.0)),
        ),
        max_size=12,
    ),
    st.integers(0, 2),
)  # fmt: skip
def test_quote_features_of_inputs_cut_at_a_close_are_the_same(rows, seen):
    quotes = quotes_frame(sorted(((n / 2, *sides) for n, *sides in rows), key=lambda row: row[0]))
    whole, _ = features(quotes)
    until, last = BARS["close_timestamp"][seen], BARS["last_tick"][seen]
    tape = tape_of([trade(START + n * SECOND, 5.0 + n % 2 / 100) for n in range(last + 1)])
    part, _ = features(quotes.filter(pl.col("sip_timestamp") <= until), tape, BARS[: seen + 1])
    assert_frame_equal(part, whole.filter(pl.col("bar_id") <= seen), check_exact=True)
