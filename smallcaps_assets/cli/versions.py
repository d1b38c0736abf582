"""`smallcaps diff`, `migrate` and `restore`: two lakes compared, and files of earlier versions."""

from __future__ import annotations

from rich.console import Console
from rich.progress import track

from smallcaps_assets.cli.console import progress_bar, wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.setup import known_tables, settings_of, stored_lake
from smallcaps_assets.lake import LakeError
from smallcaps_assets.lake.diff import Difference, compare, compare_versions
from smallcaps_assets.lake.file_identity import is_intact, version_of
from smallcaps_assets.lake.migrate import is_migratable, migrate, outdated_keys
from smallcaps_assets.lake.reading import existing_lake
from smallcaps_assets.schemas import TABLES, ContractError


def show_diff(first: str, second: str, tables: tuple[str, ...]) -> int:
    """Print how two lakes differ; status 1 when they do."""
    old, new = existing_lake(first), existing_lake(second)
    named = known_tables(tables) or tuple(TABLES)
    console, count = wide_console(), 0
    with progress_bar(console) as progress:
        progress.disable = not console.is_terminal  # a pipe gets the differences alone
        task = progress.add_task("partitions", note="")
        for found in compare(old, new, named, lambda places: progress.track(places, task_id=task)):
            _show(console, found)
            count += 1
    console.print(f"{count} partitions differ" if count else "the lakes are equal")
    return 1 if count else 0


def run_migrate(
    options: LakeOptions,
) -> int:
    """Rewrite every raw file of an older contract under the current one."""
    settings = settings_of(options)
    store, console = stored_lake(settings), wide_console()
    failed, done = [], 0
    for table in TABLES:
        keys = outdated_keys(store, table)
        for key in track(keys, table, console=console, disable=not keys):
            stamp = store.stamp(table, key or None)
            if stamp and TABLES[table].layer != "raw" and not is_migratable(table, stamp.version):
                continue
            try:
                migrate(store, table, key)
                done += 1
            except (LakeError, ContractError) as error:
                failed.append(str(error))
    for line in failed:
        console.print(f"  {line}", soft_wrap=True, markup=False)
    console.print(f"{done} partitions migrated, {len(failed)} failed; `smallcaps run` goes on")
    return 1 if failed else 0


def run_restore(options: LakeOptions, table: str, key: str, version: str | None) -> int:
    """List the replaced versions of a partition, or put one back."""
    settings = settings_of(options)
    store, console = stored_lake(settings), wide_console()
    known_tables((table,))
    if version is None:
        for found in compare_versions(store, table, key):
            _show(console, found)
        return 0
    chosen = version_of(store.root, store.path(table, key or None), version)
    data = chosen.path.read_bytes()
    if not is_intact(data):
        raise LakeError(f"{chosen.path} is damaged; choose another version")
    store.put(table, key or None, data)
    console.print(f"{table} {key} is as it was until {chosen.replaced_at:%Y-%m-%d %H:%M:%S} UTC")
    return 0


def _show(console: Console, found: Difference) -> None:
    console.print(str(found), soft_wrap=True, markup=False)
