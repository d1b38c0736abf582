"""Columns of folds, models, predictions and importances, declared once."""

from __future__ import annotations

import dataframely as dy

from smallcaps_assets.schemas.table import day, flag, instant, integer, number, text

BARS, PATTERNS = SAMPLES = ("bars", "patterns")
"""What models are made for: events of the dataset, and pattern events."""

_TARGET = "what is foretold: sign_5m, sign_15m, touch or meta"
_ALGORITHM = "lightgbm, xgboost, logistic, convolution, or ensemble: the mean of the others"
_EVENT = "bar_id of a bar, event_id of a pattern event"


def _list(meaning: str) -> dy.List:
    return dy.List(dy.Float64(), description=meaning, nullable=True)


class Folds(dy.Schema):
    sample = text(  # type: ignore[assignment]
        "bars: events of the dataset; patterns: pattern events", primary_key=True
    )
    month = text("test month, YYYY-MM", primary_key=True)
    train_start = day("first day of the training months")
    validate_start = day("first day of the validation months, the day after the training")
    test_start = day("first day of the test month, the day after the validation")
    test_end = day("the day after the test month")
    train_rows = integer("rows to train on, after purging", "events", min=0)
    validate_rows = integer("rows to validate on, after purging", "events", min=0)
    test_rows = integer("rows of the test month; none is ever dropped", "events", min=0)
    purged = integer("rows left out because their span meets that of a later block", "events")
    embargoed = integer("rows left out beside, since they are too near to a block", "events")
    train_effective = number("sum of the uniqueness of the training rows", "events", min=0)
    validate_effective = number("the same of the validation rows", "events", min=0)
    test_effective = number("the same of the test rows", "events", min=0)
    keys_digest = text("sha256 of the sorted keys of each part")
    digest = text("sha256 of all values of the rows; what the month's models are made from")
    refusal = text("why no model can be made of it; null: one can", nullable=True)


class Models(dy.Schema):
    month = text("test month, YYYY-MM", primary_key=True)
    target = text(_TARGET, primary_key=True)
    algorithm = text(_ALGORITHM, primary_key=True)
    sample = text("rows that it is for: bars or patterns")  # type: ignore[assignment]
    refusal = text("why there is no model; null: there is one", nullable=True)
    train_rows = integer("rows it was trained on", "events", nullable=True)
    validate_rows = integer("rows of the validation month", "events", nullable=True)
    train_effective = number("sum of their uniqueness, training", "events", nullable=True)
    validate_effective = number("sum of their uniqueness, validation", "events", nullable=True)
    train_share = number("share of the training rows that are positive", nullable=True)
    validate_auc = number("area under the curve on the validation month", nullable=True)
    validate_brier = number("mean squared error of its probabilities there", nullable=True)
    parameters = text("parameters of the algorithm, JSON", nullable=True)
    rounds = integer("rounds of boosting that the validation month allowed", "", nullable=True)
    trials = integer("parameters that were tried on the validation month", "", nullable=True)
    tuned_in = text("test month whose validation they were tried on; null: none", nullable=True)
    features = text(
        "features in order, categories of texts, and why others were left out: JSON", nullable=True
    )
    calibration = text("isotonic, platt, or none for an ensemble", nullable=True)
    knots_x = _list("scores of the calibration's knots; Platt: the slope")
    knots_y = _list("probabilities of the knots; Platt: the intercept")
    quantiles = _list("percentiles 0 to 100 of the validation month's scores")
    fold_digest = text("digest of the fold that it was made from")
    sha256 = text("of all that its predictions follow from", nullable=True)
    text = text("the model itself: LightGBM's text, else JSON; null: none", nullable=True)


class Predictions(dy.Schema):
    month = text("test month, YYYY-MM")
    target = text(_TARGET, primary_key=True)
    algorithm = text(_ALGORITHM, primary_key=True)
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    event_id = dy.Int32(description=_EVENT, primary_key=True, min=0)
    t0 = instant("decision")
    score = number("raw score: log odds of a balanced set; of an ensemble its probability")
    probability = number("calibrated on the validation month", min=0, max=1)
    rank = number("share of the validation month's scores below it", min=0, max=1)
    decile = dy.Int8(description="decile of the validation month's scores", min=1, max=10)
    is_unseen = flag("the company has no row in the fold's training months")
    outcome = dy.Bool(
        description="what came of it, known at `known`; null: neither, or unknown", nullable=True
    )
    outcome_return = number("the return that goes with it", "fraction", nullable=True)
    known = instant("when the outcome is known", nullable=True)
    model = text("sha256 of the model that gave the score")
    has_unseen_category = flag(
        "a text among the features, such as the sector, is one that no training row had; the model"
        " takes it as none of those it knows"
    )


class DayFamilies(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol", primary_key=True)
    family = dy.Int32(description="number of the family, 0 the largest; -1: none", min=-1)
    name = text("what such days are called, by their medians; none: of no family")
    strength = number("how surely the day belongs to it", min=0, max=1)
    gap = number("as of daily_metrics", "fraction", nullable=True)
    log_relative_volume = number("ln(rvol30)", nullable=True)
    day_return = number("ln(close / open) of the regular hours", nullable=True)
    rise = number("ln(high / open)", nullable=True)
    fall = number("ln(low / open)", nullable=True)
    fade = number("ln(close / high)", nullable=True)
    close_position = number("(close - low) / (high - low)", nullable=True, min=0, max=1)
    high_at = number("share of the session at which the high began", nullable=True)
    low_at = number("the same of the low", nullable=True)
    first_hour_volume = number("share of the volume up to the close", "fraction", nullable=True)
    premarket_volume = number("share of the volume up to the close", "fraction", nullable=True)
    steadiness = number("|day_return| / sum of the |returns| of all minutes", nullable=True)


class ModelImportance(dy.Schema):
    month = text("test month, YYYY-MM")
    target = text(_TARGET, primary_key=True)
    algorithm = text("lightgbm, xgboost or logistic", primary_key=True)
    feature = text("feature of the model", primary_key=True)
    mutual_information = number("with the target, in 32 quantile bins", "nats", min=0)
    shap = number("mean |exact contribution| to the score", "log odds", min=0)
    cluster = dy.Int32(description="features with correlated ranks have the same number", min=0)
    permutation = number("growth of the log loss when its cluster is permuted", "nats")
