"""Decoders of what users and other programs hand in: settings, keys, files below a lake."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath

from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.lake.file_identity import BLANK, seal
from smallcaps_assets.lake.market import read_identity
from smallcaps_assets.lake.paths import PartitionKeyError, key_of_folder, partition_folder
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import SettingsError, load_settings
from smallcaps_assets_tests.fuzz.decoder import Decoder, file_named

TOML = (
    b'[lake]\nroot = "x"\n[bars]\nalpha = 0.3\n[universe]\ntypes = ["CS", "ADRC"]\n'
    b'[market]\nstart = 2024-05-03\n[[dataset.periods]]\nname = "a"\nstart = 2024-01-01\n'
    b"end = 2024-12-31\n"
)
LAKE = (
    b'{"format": 1, "market": "simulated", "parameters": {"seed": 7}, "settings": {},'
    b' "smallcaps_seal": "%b"}' % BLANK.encode()
)


def _keys(body: bytes) -> None:
    """A key is refused, or stands for a folder inside the lake and comes back from it."""
    text = body.decode("utf-8", "surrogateescape")
    for table in TABLES.values():
        for key in (text, f"{text}_2024-05-03"):
            try:
                folder = partition_folder(table, key)
            except PartitionKeyError:
                continue
            path = PurePosixPath(folder)
            assert not path.is_absolute() and not {"..", "."} & set(path.parts)
            assert "\0" not in folder and len(folder) < 200
            assert path.parts[:2] == (table.layer, table.name)
            if len(path.parts) > 2:
                assert key_of_folder(table, "/".join(path.parts[2:])) == key


def _settings(body: bytes) -> None:
    with file_named("smallcaps.toml", body) as file:
        load_settings(config_file=file)


def _identity(body: bytes) -> None:
    """Sealed where it still has a place for one, or nothing behind the seal would be tried."""
    with suppress(ValueError):
        body = seal(body)
    with file_named("lake.json", body) as file:
        read_identity(file.parent)


DECODERS: dict[str, Decoder] = {
    "smallcaps_toml": Decoder([TOML], _settings, (SettingsError,)),
    "lake_json": Decoder([LAKE], _identity, (LakeError,)),
    "partition_keys": Decoder(
        [b"AAME", b"BRK.B", b"BCpC", b"2024-05-03", b"2024-05", b"2024", b"union", b"../x", b"A/B"],
        _keys,
        (),
    ),
}
