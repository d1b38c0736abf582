"""Private modules of Dagster are used in one place."""

import re
from pathlib import Path

import smallcaps_assets

ROOT = Path(smallcaps_assets.__file__).parent
PRIVATE = re.compile(r"^\s*(from|import) dagster\._", re.MULTILINE)


def test_private_modules_are_imported_in_storage_alone():
    found = {
        path.relative_to(ROOT) for path in ROOT.rglob("*.py") if PRIVATE.search(path.read_text())
    }
    assert found
    assert {path.parent.as_posix() for path in found} == {"orchestration/storage"}
