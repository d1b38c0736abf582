"""The documents: links lead somewhere, commands and settings exist, made tables are current."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import smallcaps_assets
from benchmarks.backfill_cost import table, totals
from smallcaps_assets.cli import main
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.settings import Settings

ROOT = Path(smallcaps_assets.__file__).parents[1]
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/*.ipynb",
        "data/*.md",
        "smallcaps_assets_tests/**/*.md",
    )
    for path in ROOT.glob(pattern)
)
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
NO_FIELDS = ("py", "md", "json", "scan", "features", "sequences")  # of files and functions
SETTING = re.compile(r"([a-z]+)\.([a-z_]+)(=.*)?")
pages = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def text_of(page: Path) -> str:
    """A page's Markdown; of a notebook that of its cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings get on a Git host."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(text_of(page)):
        if link.startswith(("http://", "https://")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{link} in {page.name}"
        assert not anchor or anchor in anchors(target), f"{link} in {page.name}"


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every `smallcaps` command on a page."""
    text = text_of(page).replace("\\\n", "")  # a command may go on in the next line
    inline = [code.replace("\n", " ") for code in INLINE.findall(BLOCK.sub("", text))]
    indented = re.findall(r"^    (.*)$", text, re.MULTILINE)
    lines = [*"\n".join(BLOCK.findall(text)).splitlines(), *indented, *inline]
    for line in lines:
        for part in line.split("&&"):
            words = part.replace("[", "").replace("]", "").replace("…", "").strip()
            if re.match(r"smallcaps( |$)", words):
                yield shlex.split(words, comments=True)[1:]


@pages
def test_commands_exist_with_their_options(page: Path) -> None:
    for name, *arguments in filter(None, commands(page)):
        if name.startswith("-"):
            continue
        assert name in main.commands, f"smallcaps {name} in {page.name}"
        try:
            main.commands[name].make_context(name, arguments)
        except click.MissingParameter:
            pass  # named in passing
        except click.ClickException as error:
            pytest.fail(f"smallcaps {name} {arguments} in {page.name}: {error.message}")


def test_commands_are_found() -> None:
    found = {name for page in PAGES for name, *_ in filter(None, commands(page))}
    assert found >= main.commands.keys()


@pages
def test_settings_exist(page: Path) -> None:
    for code in INLINE.findall(BLOCK.sub("", text_of(page))):
        match = SETTING.fullmatch(code)
        if match and match[1] in Settings.model_fields and match[2] not in NO_FIELDS:
            section = type(getattr(Settings(), match[1]))
            assert match[2] in section.model_fields, f"{code} in {page.name}"


@pytest.mark.parametrize(("name", "rows"), [("README.md", totals), ("docs/operations.md", table)])
def test_costs_are_those_of_the_benchmark(name: str, rows) -> None:
    """Update them: `python benchmarks/backfill_cost.py`."""
    assert "\n".join(rows(6_405, 100_000)) in (ROOT / name).read_text(encoding="utf-8")


def test_folder_page_names_every_table() -> None:
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert [name for name in TABLES if not re.search(rf"\b{name}\b", page)] == []


def test_row_of_the_readme_has_columns_of_the_dataset() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    section = page[page.index("What comes out is") : page.index("Then look around:")]
    columns = TABLES["ml_dataset"].columns
    assert f"of {len(columns)} columns" in section
    assert f"features, {len(CATALOGUE)} |" in section
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(named) > 10 and [name for name in named if name not in columns] == []


def test_rule_of_a_move_up_or_down_is_stated_as_that() -> None:
    for page in PAGES:
        bare = re.findall(r"(?<!\|)\bchange (?:≥|>=) \d+ %", text_of(page))
        assert bare == [], f"{bare} in {page.name}: write |change|"
