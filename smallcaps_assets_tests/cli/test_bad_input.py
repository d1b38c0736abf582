"""Bad input ends in one line on standard error, exit status 2, and a lake folder as it was."""

from __future__ import annotations

import gzip
import shutil
import socket
import subprocess
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from smallcaps_assets.cli import main
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.setup import ready_lake, settings_of, ticker_list
from smallcaps_assets.lake import LakeIdentity, open_lake
from smallcaps_assets.lake.file_identity import BLANK, seal, seal_of
from smallcaps_assets.pipeline import processes
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.sandbox import Sandbox, SandboxConfig
from smallcaps_assets.settings import Settings, load_settings
from smallcaps_assets_tests.end_to_end.command import PROGRAM, environment, listing
from smallcaps_assets_tests.end_to_end.recording import DAY, place, write_recording

SECTIONS = f"valid sections are {', '.join(Settings.model_fields)}"
SMALL = ("--set", "sandbox.tickers=20", "--set", "sandbox.start=2024-12-09")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and an environment without anything that the command heeds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", environment())
    return tmp_path


def refusal(*arguments: str, command: str = "run") -> str:
    """The one line in which a command ends; nothing below the working folder has changed."""
    before = listing(Path.cwd()), sorted(Path.cwd().rglob("*"))
    done = CliRunner().invoke(main, [command, *arguments])
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert done.stderr.startswith("smallcaps: ") and done.stderr.count("\n") == 1, done.stderr
    assert (listing(Path.cwd()), sorted(Path.cwd().rglob("*"))) == before
    return done.stderr.strip()


# The settings file -------------------------------------------------------------------------------
def test_config_missing_is_refused() -> None:
    told = "smallcaps: nope.toml does not exist; create it or leave the option out"
    assert refusal("--config", "nope.toml") == told


@pytest.mark.parametrize("arguments", [(), ("--config", "smallcaps.toml")], ids=["cwd", "option"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[market\n", "smallcaps.toml is not valid TOML: Expected ']'"),
        ("market = 1\n", "smallcaps.toml: 'market' stands outside a section; " + SECTIONS),
        ("[markets]\nname = 'x'\n", "smallcaps.toml: unknown section 'markets'; " + SECTIONS),
        ("[bars]\nalhpa = 1\n", "smallcaps.toml: unknown setting bars.alhpa; valid fields of bars"),
        ("[bars]\nalpha = 7\n", "setting bars.alpha=7 is invalid: Input should be less than"),
    ],
    ids=["syntax", "loose", "section", "field", "value"],
)
def test_config_malformed_is_refused(
    folder: Path, arguments: tuple[str, ...], text: str, told: str
) -> None:
    (folder / "smallcaps.toml").write_text(text)
    assert told in refusal(*arguments)


@pytest.mark.parametrize("command", ["run", "status", "ui"])
def test_config_malformed_is_refused_by_every_command(folder: Path, command: str) -> None:
    (folder / "smallcaps.toml").write_bytes(b"\xff\xfe")
    assert "smallcaps.toml is not valid TOML" in refusal(command=command)


@pytest.mark.parametrize("arguments", [("--config", "folder"), ()], ids=["option", "cwd"])
def test_config_that_is_a_folder_is_refused(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / (arguments[1] if arguments else "smallcaps.toml")).mkdir()
    named = arguments[1] if arguments else "smallcaps.toml"
    found = refusal(*arguments, command="status")
    assert found == f"smallcaps: {named} is a folder; name a settings file in it with --config"


def test_config_with_a_byte_order_mark_is_read(folder: Path) -> None:
    """As editors on Windows write it."""
    (folder / "smallcaps.toml").write_bytes(b"\xef\xbb\xbf[bars]\r\nalpha = 7\r\n")
    assert "setting bars.alpha=7 is invalid" in refusal()
    (folder / "other.toml").write_text("\ufeff[lake]\nroot = 'nowhere'\n", encoding="utf-8")
    told = "smallcaps: lake nowhere is empty; fill it with `smallcaps run`"
    assert refusal("--config", "other.toml", command="status") == told


# Single settings ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("nope.x=1", "--set: unknown section 'nope'; " + SECTIONS),
        ("bars.nope=1", "--set: unknown setting bars.nope; valid fields of bars are dollar_target"),
        ("bars.alpha=7", "bars.alpha='7' is invalid: Input should be less than or equal to 1"),
        ("bars.alpha=x", "bars.alpha='x' is invalid: Input should be a valid number"),
        ("bars.alpha", "--set 'bars.alpha' is not of the form section.field=value"),
        ("selection.tick_rules=x", "unknown rule 'x'; choose from info_rich, intraday_trigger"),
        ("market.name=x", "Input should be 'simulated', 'placebo', 'recorded' or 'polygon'"),
        ("sandbox.faults=x@trades", "unknown fault 'x'; valid kinds: 429, "),
        ("sandbox.end=2020-01-01", "the market has no session; choose a later sandbox.end"),
        ("sandbox.end=2024-10-02", "has 2 sessions, at least 3 are needed; choose a later end"),
    ],
)
def test_setting_unknown_or_invalid_is_refused(setting: str, told: str) -> None:
    assert told in refusal("--set", setting)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SMALLCAPS_NOPE_X", "1", "the environment: unknown section 'nope'; " + SECTIONS),
        ("SMALLCAPS_BARS_NOPE", "1", "the environment: unknown setting bars.nope; valid fields"),
        ("SMALLCAPS_BARS_ALPHA", "7", "setting bars.alpha='7' is invalid: Input should be less"),
    ],
)
def test_variable_unknown_or_invalid_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert told in refusal()


# Tickers and dates -------------------------------------------------------------------------------
@pytest.mark.parametrize("ticker", ["NOPE", "bcpc", "../x", "BCPC,NOPE"])
def test_ticker_unknown_is_refused(ticker: str) -> None:
    named = ticker.rpartition(",")[2]
    told = f"smallcaps: unknown ticker {named!r}; check the spelling, case matters"
    assert refusal("--tickers", ticker, *SMALL).startswith(told)


@pytest.mark.parametrize("tickers", ["", " , "])
def test_tickers_without_a_name_are_refused(tickers: str) -> None:
    told = f"smallcaps: --tickers {tickers!r} names no ticker; name some or leave the option out"
    assert refusal("--tickers", tickers) == told


@pytest.mark.parametrize(
    ("dates", "told"),
    [
        (
            "2019-01-01 2019-12-31",
            "--from 2019-01-01 --to 2019-12-31: no session; the market's are",
        ),
        ("1700-01-04 1700-01-05", ": no session; the market's are 2024-10-01 to 2025-01-10"),
        ("2900-01-02 2900-01-02", ": no session; the market's are 2024-10-01 to 2025-01-10"),
        ("2024-12-25 2024-12-25", ": no session; the market's are 2024-10-01 to 2025-01-10"),
        ("2024-12-07 2024-12-08", ": no session; the market's are 2024-10-01 to 2025-01-10"),
        ("2024-12-10 2024-12-09", "--from 2024-12-10 is after --to 2024-12-09; swap them"),
        ("2024-13-01 2024-12-09", "--from '2024-13-01' is not a date; write it as YYYY-MM-DD"),
        ("2024-12-02 yesterday", "--to 'yesterday' is not a date; write it as YYYY-MM-DD"),
    ],
)
def test_dates_wrong_are_refused(dates: str, told: str) -> None:
    first, last = dates.split()
    assert told in refusal("--from", first, "--to", last)


# Recorded markets --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("recording"))


@pytest.mark.parametrize(
    ("market", "told"),
    [
        ("recorded:nope", "recorded market folder 'nope' does not exist; give it as recorded:DIR"),
        ("recorded:.", "has no us_stocks_sip/day_aggs_v1 files; name its top folder"),
        ("recorded", "a folder goes with recorded, as recorded:DIR, only"),
        ("simulated:x", "a folder goes with recorded, as recorded:DIR, only"),
    ],
)
def test_recorded_folder_missing_or_misplaced_is_refused(market: str, told: str) -> None:
    assert told in refusal("--market", market)


@pytest.mark.parametrize("data_set", ["trades_v1", "minute_aggs_v1", "day_aggs_v1"])
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("missing", "the file is missing; copy it into the folder or choose other sessions"),
        ("cut gzip", "the gzip stream is broken"),
        ("cut text", "the last line is cut; copy the file again"),
        ("wrong columns", "copy the file again"),
        ("wrong values", "the table cannot be read"),
    ],
)
def test_recorded_file_missing_or_broken_is_refused(
    recording: Path, folder: Path, data_set: str, damage: str, told: str
) -> None:
    market = Path(shutil.copytree(recording, folder / "market"))
    path = place(market, data_set, DAY)
    spoil(path, damage)
    days = ("--from", str(DAY), "--to", str(DAY))
    found = refusal("--market", "recorded:market", *days)
    if (data_set, damage) == ("day_aggs_v1", "missing"):
        assert found.startswith(f"smallcaps: --from {DAY} --to {DAY}: no session; ")
        return
    assert found.startswith(f"smallcaps: {path}: ") and told in found


def spoil(path: Path, damage: str) -> None:
    """Damage one file of a recorded market."""
    data = path.read_bytes()
    lines = gzip.decompress(data).decode().splitlines(keepends=True)
    damaged = {
        "cut gzip": data[: len(data) * 3 // 5],
        "cut text": gzip.compress("".join(lines).encode()[:-5], mtime=0),
        "wrong columns": gzip.compress(("a,b\n" + "1,2\n").encode(), mtime=0),
        "wrong values": gzip.compress(
            (lines[0] + lines[1].replace("IBM,", "IBM,x", 1)).encode(), mtime=0
        ),
    }
    path.unlink()
    if damage in damaged:
        path.write_bytes(damaged[damage])


# The lake ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("place_of_file", ["file", "file/below"])
def test_lake_that_is_a_file_is_refused(folder: Path, place_of_file: str) -> None:
    (folder / "file").write_text("not a lake")
    found = refusal("--lake", place_of_file, *SMALL)
    assert found.startswith(f"smallcaps: lake {place_of_file} can't be written: ")
    assert found.endswith("; choose another with --lake")


def test_lake_without_a_name_is_refused() -> None:
    assert refusal("--lake", "") == "smallcaps: the lake's folder is empty; name one with --lake"


def test_lake_of_an_unknown_file_system_is_refused() -> None:
    found = refusal("--lake", "nowhere://lake")
    assert found.startswith("smallcaps: lake nowhere://lake: a lake is a folder or s3://bucket/")


@pytest.mark.parametrize("command", ["run", "status", "ui"])
def test_lake_of_another_market_is_refused(folder: Path, command: str) -> None:
    open_lake(folder / "lake", market_of(load_settings()).identity, {})
    found = refusal("--lake", "lake", "--market", "placebo", command=command)
    assert found.startswith("smallcaps: lake lake holds the market simulated (")
    assert "not placebo (" in found and found.endswith("; name another folder with --lake")


def test_lake_with_an_unreadable_identity_is_refused(folder: Path) -> None:
    (folder / "lake").mkdir()
    (folder / "lake" / "lake.json").write_text("{")
    assert "lake.json is damaged" in refusal("--lake", "lake")


@pytest.mark.parametrize("command", ["run", "status", "verify", "ui", "coverage", "sql"])
def test_lake_whose_identity_was_changed_is_damaged(folder: Path, command: str) -> None:
    """Neither used without a word nor taken for another market."""
    lake = open_lake(folder / "lake", market_of(load_settings()).identity, {})
    file = Path(str(lake.root)) / "lake.json"
    file.write_text(file.read_text().replace('"seed": 7', '"seed": 8'))
    query = ["select 1"] if command == "sql" else []
    told = "smallcaps: lake/lake.json is damaged: its bytes are not those that were written;"
    found = refusal("--lake", "lake", *query, command=command)
    assert found == f"{told} put its copy lake/state/lake.json in its place"


@pytest.mark.parametrize("command", ["run", "status", "ui"])
@pytest.mark.parametrize(
    "remembered",
    [
        {"dataset": {"periods": [{"name": "bull market", "start": "2024-01-01"}]}},
        {"dataset": {"periods": [{"name": "a", "start": "2024-01-01", "end": "2023-01-01"}]}},
    ],
    ids=["name", "end"],
)
def test_lake_that_remembers_a_bad_period_says_how_to_mend_it(
    folder: Path, command: str, remembered: dict
) -> None:
    open_lake(folder / "lake", market_of(load_settings()).identity, remembered)
    found = refusal("--lake", "lake", command=command)
    assert found.startswith("smallcaps: the lake: setting dataset.periods.0.")
    assert found.endswith("; give dataset.periods anew in smallcaps.toml or by --set")


def test_lake_that_remembers_infinity_is_mended_by_a_correct_setting(folder: Path) -> None:
    identity = market_of(load_settings()).identity
    open_lake(folder / "lake", identity, {"selection": {"min_dollar_volume": 1}})
    file = folder / "lake" / "lake.json"
    data = file.read_bytes()
    blank = data.replace(seal_of(data).encode(), BLANK.encode())
    file.write_bytes(seal(blank.replace(b'"min_dollar_volume": 1', b'"min_dollar_volume": NaN')))
    assert "min_dollar_volume=nan is invalid" in refusal("--lake", "lake", command="status")
    given = ("selection.min_dollar_volume=7",)
    ready_lake(settings_of(LakeOptions(lake="lake", overrides=given)))
    assert settings_of(LakeOptions(lake="lake")).selection.min_dollar_volume == 7


def test_bad_setting_is_not_remembered(folder: Path) -> None:
    open_lake(folder / "lake", market_of(load_settings()).identity, {})
    for bad in ("selection.min_dollar_volume=inf", 'dataset.periods=[{"name": "../x"}]'):
        refusal("--lake", "lake", "--set", bad)
    with pytest.raises(ValueError, match="JSON"):
        open_lake(folder / "lake", market_of(load_settings()).identity, {"a": {"b": float("inf")}})
    assert settings_of(LakeOptions(lake="lake")) == load_settings(["lake.root=lake"])


def test_status_of_an_empty_lake_is_refused() -> None:
    told = "smallcaps: lake lake is empty; fill it with `smallcaps run`"
    assert refusal("--lake", "lake", command="status") == told


# Markets and keys --------------------------------------------------------------------------------
def test_market_unknown_is_refused() -> None:
    told = "smallcaps: unknown market 'nope'; choose simulated, placebo, recorded:DIR, polygon"
    assert refusal("--market", "nope") == told


def test_polygon_without_a_key_is_refused() -> None:
    told = (
        "smallcaps: market polygon needs a key: set POLYGON_API_KEY, or choose --market simulated"
    )
    assert refusal("--market", "polygon") == told


def test_key_of_nobody_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SandboxConfig(tickers=20, start=date(2024, 12, 9), end=date(2024, 12, 11))
    monkeypatch.setenv("POLYGON_API_KEY", "wrong-secret")
    with Sandbox(config) as server:
        monkeypatch.setenv("SMALLCAPS_POLYGON_URL", server.url)
        found = refusal("--from", "2024-12-09", "--to", "2024-12-10")
    assert "HTTP 401" in found and "set POLYGON_API_KEY to a valid key" in found
    assert "wrong-secret" not in found


@pytest.mark.parametrize(
    "name", ["POLYGON_API_KEY", "POLYGON_S3_ACCESS_KEY", "POLYGON_S3_SECRET_KEY"]
)
@pytest.mark.parametrize("secret", ["hunter2\r\nhunter2", "hunter2 hunter2", "hunter2é"])
@pytest.mark.parametrize("command", ["run", "ui"])
def test_secret_that_can_be_no_key_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str, secret: str, command: str
) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "sandbox")
    monkeypatch.setenv(name, secret)
    found = refusal("--market", "polygon", command=command)
    assert found.startswith(f"smallcaps: {name} can't be a key: its character ")
    assert "hunter" not in found


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_secret_of_an_object_store_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "hunter2\nhunter2")
    found = refusal("--lake", "s3://bucket/lake")
    assert found.startswith(f"smallcaps: {name} can't be a key: ") and "hunter" not in found


@pytest.mark.parametrize("keys", ["AKIA:hunter2", "AKIA:hun/hunter2"])
def test_address_of_a_lake_with_keys_is_refused_without_showing_them(keys: str) -> None:
    found = refusal("--lake", f"s3://{keys}@bucket/lake")
    assert found.startswith("smallcaps: lake s3://***@bucket/lake: keys are no part of an address")


# Options of single commands ----------------------------------------------------------------------
@pytest.mark.parametrize("command", ["ui", "sandbox"])
@pytest.mark.parametrize("port", ["70000", "-1"])
def test_port_that_is_none_is_refused(command: str, port: str) -> None:
    assert f"--port {port} is not a port; choose one from " in refusal(
        "--port", port, command=command
    )


def test_end_of_the_market_before_the_one_reached_is_refused(folder: Path) -> None:
    for end in ("2025-01-10", "2025-01-13"):
        given = settings_of(LakeOptions(overrides=(f"sandbox.end={end}",)))
        ready_lake(given)  # as a run that moves it on
    assert str(settings_of(LakeOptions()).sandbox.end) == "2025-01-13"
    told = (
        "smallcaps: sandbox.end=2025-01-10 is before 2025-01-13, which the market of lake data"
        " has reached; leave it out, or name another lake with --lake"
    )
    for command in ("run", "status"):
        assert refusal("--set", "sandbox.end=2025-01-10", command=command) == told


def test_lake_of_an_earlier_simulation_is_refused(folder: Path) -> None:
    given = market_of(settings_of(LakeOptions())).identity.parameters
    old = {name: value for name, value in given.items() if name not in ("generation", "edge")}
    open_lake(folder / "data", LakeIdentity("simulated", old), {"market": {"name": "simulated"}})
    told = refusal(command="run")
    assert "holds the market simulated (" in told and "generation=2" in told
    assert "made by an earlier version" in told and "--lake" in told


@pytest.mark.parametrize("market", ["recorded:.", "polygon"])
def test_oracle_of_a_market_that_is_not_simulated_is_refused(market: str) -> None:
    told = refusal("--market", market, "oracle", command="sandbox")
    assert "only a simulated market has an oracle" in told


def test_oracle_without_a_dataset_is_refused(folder: Path) -> None:
    assert "is empty; fill it" in refusal("oracle", command="sandbox")


def test_edge_below_zero_and_unknown_settings_of_quotes_are_refused() -> None:
    assert "sandbox.edge" in refusal("--set", "sandbox.edge=-1", command="sandbox")
    assert "sandbox.quote_width" in refusal("--set", "sandbox.quote_width=2", command="sandbox")


def test_port_that_is_taken_is_refused_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "is taken (" in refusal("--port", port, command="sandbox")
        told = f"smallcaps: can't listen on 127.0.0.1 port {port}: Address already in use"
        assert refusal("--port", port, command="ui").startswith(told)


@pytest.mark.parametrize("host", ["", "no host", "203.0.113.9", "a" * 64])
def test_host_that_is_not_of_this_machine_is_refused(host: str) -> None:
    assert "address" in refusal("--host", host, command="ui")


LISTS = pytest.mark.parametrize(
    ("command", "option"),
    [
        (("backfill", "splits"), "--keys"),
        (("backfill", "splits"), "--tickers"),
        (("run",), "--tickers"),
        (("export", "daily_bars", "x.csv"), "--tickers"),
    ],
    ids=["backfill keys", "backfill", "run", "export"],
)


@LISTS
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory; name a readable file"),
        (b"\x7fELF\xff\xfe", "not a text file; name a readable one"),
        (b"BCPC\0RUSE\n", "not a text file; name a readable one"),
        (b"# nothing yet\n\n , \n", "names no "),
        (b"BCPC\n" * 3_200_001, "it is longer than 16,000,000 bytes; split it"),
    ],
    ids=["missing", "binary", "NUL", "empty", "huge"],
)
def test_list_in_a_file_that_is_none_is_refused(
    folder: Path, command: tuple[str, ...], option: str, content: bytes | None, told: str
) -> None:
    open_lake(folder / "data", market_of(load_settings()).identity, {})
    if content is not None:
        (folder / "names").write_bytes(content)
    found = refusal(*command[1:], option, "@names", command=command[0])
    assert found.startswith(f"smallcaps: {option} ") and "@names" in found and told in found


@LISTS
def test_list_in_a_folder_is_refused(folder: Path, command: tuple[str, ...], option: str) -> None:
    open_lake(folder / "data", market_of(load_settings()).identity, {})
    told = f"smallcaps: {option} @data: Is a directory; name a readable file"
    assert refusal(*command[1:], option, "@data", command=command[0]) == told


def test_tickers_of_a_file_are_those_of_its_lines(folder: Path) -> None:
    text = "\ufeff# mine\r\nVLDX, BCPC\r\n\r\nBCPC  # twice\r\nBCpC,"
    (folder / "names").write_text(text, encoding="utf-8", newline="")
    assert ticker_list("@names") == ticker_list("VLDX,BCPC,BCpC") == ["BCPC", "BCpC", "VLDX"]


def test_ticker_of_a_file_that_is_unknown_is_refused(folder: Path) -> None:
    (folder / "names").write_text("BCPC\nNOPE\n")
    assert "unknown ticker 'NOPE'" in refusal("--tickers", "@names", *SMALL)


@pytest.mark.parametrize("key", ["../../../etc", "/etc", "", "2024-13-01"])
@pytest.mark.parametrize("version", [(), ("--version", "2")], ids=["list", "put back"])
def test_partition_that_can_not_be_is_refused(
    folder: Path, key: str, version: tuple[str, ...]
) -> None:
    open_lake(folder / "data", market_of(load_settings()).identity, {})
    assert "partition key" in refusal("daily_bars", key, *version, command="restore")


# As the shell sees it ----------------------------------------------------------------------------
def test_installed_command_ends_in_two_with_one_line(folder: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "run", "--from", "2026-01-01"],
        env=environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    market = "the market's are 2024-10-01 to 2025-01-10"
    told = f"smallcaps: --from 2026-01-01: no session; {market}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)
    assert listing(folder) == {}


# The machine -------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", ["run", "ui"])
def test_more_worker_processes_than_memory_allows_are_refused(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "free_memory", lambda: 2 * processes.WORKER_BYTES)
    told = refusal("--set", "run.processes=20", command=command)
    assert "run.processes=20 is invalid: 20 worker processes need 9.4 GB of memory" in told
    assert "0.9 GB are free; choose 2 at most" in told
