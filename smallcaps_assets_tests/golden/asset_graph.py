"""The asset graph as text: per asset its place, cut, kinds, inputs with windows, checks, code.

python -m smallcaps_assets_tests.golden.asset_graph     # writes the golden file anew
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

import smallcaps_assets
from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

GRAPH_FILE = Path(__file__).with_name("asset_graph.txt")


def asset_graph() -> str:
    """One paragraph an asset, in the graph's order."""
    definitions = build_definitions(Settings())
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    graph = definitions.resolve_asset_graph()
    checks: dict[str, list[str]] = {}
    for key in graph.asset_check_keys:
        checks.setdefault(key.asset_key.to_user_string(), []).append(key.name)
    return "\n".join(_paragraph(name, specs[name], checks[name]) for name in TABLES)


def _paragraph(name: str, spec: dg.AssetSpec, checks: list[str]) -> str:
    inputs = [f"    {_dep(dep)}" for dep in sorted(spec.deps, key=lambda d: d.asset_key.path)]
    lines = [
        f"{name} [{spec.group_name}; {', '.join(sorted(spec.kinds))}; {', '.join(spec.owners)}]",
        f"    tags: {', '.join(f'{k}={v}' for k, v in sorted(_own_tags(spec).items()))}",
        f"    checks: {', '.join(sorted(checks))}",
        f"    code: {_code(spec)}",
        *inputs,
    ]
    return "\n".join(lines) + "\n"


def _code(spec: dg.AssetSpec) -> str:
    """The file that the UI links to."""
    (place,) = spec.metadata["dagster/code_references"].code_references
    folder = Path(smallcaps_assets.__file__).parent
    return Path(place.file_path).relative_to(folder).as_posix()


def _own_tags(spec: dg.AssetSpec) -> dict[str, str]:
    return {name: value for name, value in spec.tags.items() if not name.startswith("dagster/")}


def _dep(dep: dg.AssetDep) -> str:
    mapping = dep.partition_mapping
    how = "" if mapping is None else type(mapping).__name__
    if isinstance(mapping, dg.TimeWindowPartitionMapping):
        how = f"window {mapping.start_offset}..{mapping.end_offset}"
    return f"<- {dep.asset_key.to_user_string()} {how}".rstrip()


if __name__ == "__main__":
    GRAPH_FILE.write_text(asset_graph(), encoding="utf-8")
