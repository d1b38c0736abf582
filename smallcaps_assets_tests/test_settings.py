"""Settings: where they come from, which wins, and how a wrong one is refused."""

import json
import re
from datetime import date
from pathlib import Path

import pytest

from smallcaps_assets.schemas import RULES
from smallcaps_assets.settings import (
    SELECTION_RULES,
    Settings,
    SettingsError,
    api_key,
    explicit,
    load_settings,
    secret_of,
)


def test_load_settings_nothing_given_gives_the_defaults_of_the_algorithms():
    settings = load_settings()
    assert (settings.bars.gamma, settings.bars.kappa, settings.bars.alpha) == (0.125, 2.0, 0.2)
    assert settings.bars.dollar_imbalance_target == 50_000
    assert (settings.labels.take_profit, settings.labels.stop_loss) == (0.15, 0.10)
    assert settings.selection.tick_rules == ("info_rich", "intraday_trigger")


def test_load_settings_later_source_wins(tmp_path: Path):
    file = tmp_path / "smallcaps.toml"
    file.write_text("[bars]\nalpha = 0.3\ngamma = 0.5\nkappa = 3\n")
    settings = load_settings(
        ["bars.kappa=4"],
        {"SMALLCAPS_BARS_GAMMA": "0.25", "SMALLCAPS_POLYGON_URL": "http://localhost:1"},
        file,
        {"bars": {"alpha": 0.9, "dollar_target": 1000}},
    )
    bars = settings.bars
    assert (bars.alpha, bars.gamma, bars.kappa, bars.dollar_target) == (0.3, 0.25, 4, 1000)
    assert settings.polygon.url == "http://localhost:1"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("bars.alfa=1", ["bars.alfa", "alpha", "gamma"]),
        ("bar.alpha=1", ["'bar'", "valid sections", "bars"]),
        ("bars.alpha=much", ["bars.alpha", "much"]),
        ("polygon.url=api.massive.com", ["polygon.url", "api.massive.com", "https://"]),
        ("finra.url=http://", ["finra.url", "URL"]),
        ("bars.alpha=2", ["bars.alpha", "2"]),
        ("bars.alpha", ["section.field=value"]),
        ("market.name=nyse", ["market.name", "nyse", "simulated"]),
        ("selection.tick_rules=info_rich,moon", ["moon", "premarket_gap"]),
        ("ticks.halt_sources=feed,silence", ["silence", "feed, market_wide, reopening, inferred"]),
    ],
)
def test_load_settings_wrong_override_is_refused_naming_it(override: str, words: list[str]):
    with pytest.raises(SettingsError) as error:
        load_settings([override])
    assert all(word in str(error.value) for word in words)


def test_load_settings_unknown_variable_is_refused():
    with pytest.raises(SettingsError, match=r"the environment: unknown setting bars\.alhpa"):
        load_settings(environment={"SMALLCAPS_BARS_ALHPA": "1"})


@pytest.mark.parametrize(
    "text", ["[bars\nalpha=1", "alpha = 1", "\x00", "a=" + "[" * 5000, "a=" + "1" * 5000]
)
def test_load_settings_malformed_file_is_refused_naming_it(tmp_path: Path, text: str):
    file = tmp_path / "smallcaps.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"smallcaps\.toml"):
        load_settings(config_file=file)


def test_load_settings_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(config_file=tmp_path / "none.toml")


def test_digest_changes_with_its_sections_only():
    one, other = load_settings(["bars.alpha=0.3"]), Settings()
    assert one.digest(["bars"]) != other.digest(["bars"])
    assert one.digest(["labels"]) == other.digest(["labels"])


def test_labels_from_a_value_unknown_is_refused_and_the_default_is_that_of_older_lakes():
    with pytest.raises(SettingsError, match="labels.from='close'"):
        load_settings(["labels.from=close"])
    plain, entry = Settings(), load_settings(["labels.from=entry"])
    assert (plain.labels.is_from_entry, entry.labels.is_from_entry) == (False, True)
    assert plain.digest(["labels"]) == "6600957785b9ee73"
    assert plain.digest(["labels"]) != entry.digest(["labels"])
    assert load_settings(remembered=explicit(entry, ["labels"])) == entry


def test_explicit_holds_only_what_differs_and_loads_back():
    settings = load_settings(["bars.alpha=0.3", "universe.types=CS,ADRC"])
    values = explicit(settings, Settings.model_fields)
    assert values == {"bars": {"alpha": 0.3}, "universe": {"types": ["CS", "ADRC"]}}
    assert load_settings(remembered=values) == settings


def test_api_key_is_not_shown():
    key = api_key({"POLYGON_API_KEY": " secret "})
    assert key is not None
    assert key.get_secret_value() == "secret"
    assert "secret" not in repr(key)
    assert api_key({"POLYGON_API_KEY": "  "}) is None


BAD_KEYS = {
    "abc\r\nX-Injected: 1": "character 4 of 18 is a line break",
    "geheimer schlüssel": "character 9 of 18 is a blank",
    "schlüssel": "character 5 of 9 is a letter outside ASCII",
    "schl\x00ssel": "character 5 of 9 is a control character",
}


@pytest.mark.parametrize("name", ["POLYGON_API_KEY", "POLYGON_S3_SECRET_KEY"])
@pytest.mark.parametrize("value", BAD_KEYS)
def test_secret_that_can_be_no_key_is_refused_without_telling_it(name: str, value: str):
    with pytest.raises(SettingsError) as error:
        secret_of({name: value}, name)
    assert str(error.value) == f"{name} can't be a key: its {BAD_KEYS[value]}; copy it again"


def test_secret_may_have_blanks_and_line_ends_around_it():
    found = secret_of({"POLYGON_API_KEY": " abc-DEF_123\r\n"}, "POLYGON_API_KEY")
    assert found is not None and found.get_secret_value() == "abc-DEF_123"


@pytest.mark.parametrize(
    "override",
    [
        "polygon.url=https://me:hunter2@api.massive.com",
        "polygon.url=https://me:hun/hunter2@api.massive.com",
        "finra.url=https://cdn.finra.org?token=hunter2",
        "polygon.flatfiles_url=ftp://me:hunter2@files.massive.com",
        "POLYGON_API_KEY=hunter2",
    ],
)
def test_setting_that_holds_a_secret_is_refused_without_telling_it(override: str):
    with pytest.raises(SettingsError) as error:
        load_settings([override])
    assert "hunter2" not in str(error.value)


def test_contact_that_no_header_can_hold_is_refused():
    for contact in ("Łukasz lukasz@example.com", "Jane\r\nX: y jane@example.com"):
        with pytest.raises(SettingsError, match="one line of Latin letters"):
            load_settings([f"sec.contact={contact}"])
    assert load_settings(["sec.contact=Jürgen j@example.com"]).sec.contact == "Jürgen j@example.com"


# Numbers and periods that a lake must never remember ---------------------------------------------
def layered(tmp_path: Path, layer: str, name: str, value: str) -> Settings:
    """A setting given in one layer, as that layer spells it."""
    section, field = name.split(".")
    if layer == "file":
        file = tmp_path / "smallcaps.toml"
        file.write_text(f"[{section}]\n{field} = {value}\n")
        return load_settings(config_file=file)
    if layer == "lake":
        return load_settings(remembered={section: {field: float(value)}})
    if layer == "environment":
        return load_settings(environment={f"SMALLCAPS_{section}_{field}".upper(): value})
    return load_settings([f"{name}={value}"])


@pytest.mark.parametrize("layer", ["file", "lake", "environment", "--set"])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_number_without_end_is_refused_in_every_layer(tmp_path: Path, layer: str, value: str):
    with pytest.raises(SettingsError, match=r"selection\.min_dollar_volume=.*finite number"):
        layered(tmp_path, layer, "selection.min_dollar_volume", value)


def test_no_number_of_any_section_may_be_infinite_or_none():
    numbers = [
        f"{section}.{field}"
        for section, model in Settings.model_fields.items()
        for field, info in model.default.__class__.model_fields.items()
        if info.annotation is float
    ]
    assert len(numbers) > 40
    for name in numbers:
        for value in ("inf", "nan"):
            with pytest.raises(SettingsError, match=name.replace(".", r"\.")):
                load_settings([f"{name}={value}"])


def periods(*values: dict) -> str:
    return f"dataset.periods={json.dumps(values)}"


def period(name: str = "p", start: str = "2024-01-01", **values: str | None) -> dict:
    return {"name": name, "start": start, **values}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (periods(period("bull market")), ["periods.0.name='bull market'", "letters, digits"]),
        (periods(period("../x")), ["periods.0.name='../x'", "letters, digits"]),
        (periods(period("..")), ["periods.0.name", "letters, digits"]),
        (periods(period("")), ["periods.0.name=''", "letters, digits"]),
        (periods(period("a" * 65)), ["periods.0.name", "letters, digits"]),
        (periods(period("Union")), ["periods.0.name='Union'", "not union"]),
        (periods(period("a,b")), ["periods.0.name='a,b'"]),
        (periods(period(end="2023-12-31")), ["periods.0.end='2023-12-31'", "start 2024-01-01"]),
        (periods(period("a"), period("b", "2025-01-01")), ["'a' has no end and 'b' starts 2025"]),
        (
            periods(period("b", "2024-06-30"), period("a", end="2024-06-30")),
            ["'a' ends 2024-06-30 and 'b' starts 2024-06-30", "don't overlap"],
        ),
        (
            periods(period("a", end="2024-06-30"), period("A", "2025-01-01")),
            ["two periods are named 'a'", "rename one"],
        ),
        (periods(period(start="0001-01-01")), ["periods.0.start", "1900-01-01"]),
        ("dataset.periods=recent", ["dataset.periods='recent'", "JSON list", '"start"']),
    ],
)
def test_period_that_is_no_good_is_refused_in_one_line(override: str, words: list[str]):
    with pytest.raises(SettingsError) as error:
        load_settings([override])
    told = str(error.value)
    assert all(word in told for word in words), told
    assert "\n" not in told and "Value error" not in told


def test_period_without_an_end_is_read_from_every_layer_and_covers_all_later_days(tmp_path: Path):
    file = tmp_path / "smallcaps.toml"
    file.write_text('[[dataset.periods]]\nname = "p"\nstart = 2024-01-01\n')
    text = periods(period()).partition("=")[2]
    found = [
        load_settings(config_file=file),
        load_settings(environment={"SMALLCAPS_DATASET_PERIODS": text}),
        load_settings([periods(period(end=None))]),
    ]
    found.append(load_settings(remembered=explicit(found[0], ["dataset"])))
    for settings in found:
        (only,) = settings.dataset.periods
        assert only.end is None
        assert [only.covers(date(year, 1, 1)) for year in (2023, 2024, 2999)] == [False, True, True]


def test_last_of_the_default_periods_has_no_end():
    *_, newest = Settings().dataset.periods
    assert newest.covers(date(2027, 1, 4)) and newest.covers(date(2050, 1, 3))


def test_bad_value_that_the_lake_remembers_is_named_and_a_correct_one_replaces_it():
    bad = {"dataset": {"periods": [period("bull market")]}, "bars": {"alpha": 0.3}}
    with pytest.raises(
        SettingsError, match=r"^the lake: .*bull market.* give dataset\.periods anew"
    ):
        load_settings(remembered=bad)
    mended = load_settings([periods(period("bull_market"))], remembered=bad)
    assert [p.name for p in mended.dataset.periods] == ["bull_market"]
    assert mended.bars.alpha == 0.3


@pytest.mark.parametrize("given", ["CS,ETF", " CS , ETF,", '["CS", "ETF"]', ' ["CS","ETF"] '])
def test_names_are_a_list_with_commas_or_a_json_list(given: str) -> None:
    assert load_settings([f"universe.types={given}"]).universe.types == ("CS", "ETF")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("universe.types=cs", "unknown security type 'cs'; choose from CS, ADRC"),
        ('universe.types=["CS"', "names with commas between, or a JSON list"),
        ("universe.types=[]", "at least 1 item"),
        ("universe.exchanges=NASDAQ", "unknown exchange 'NASDAQ'; choose from XNAS, XNYS"),
        ('selection.tick_rules=["x"]', "unknown rule 'x'; choose from info_rich"),
        ("short.facilities=X", "unknown facility 'X'; choose from FNSQ"),
    ],
)
def test_names_that_are_none_are_refused(given: str, told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        load_settings([given])


def test_rules_of_the_settings_are_those_of_the_watchlist() -> None:
    assert SELECTION_RULES == RULES
