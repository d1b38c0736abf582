"""Spoiled inputs end in a frame or a typed error: no other exception, no endless asking.

Each example spoils a good input in a few places, because random bytes fail at the first check. The
full run tries 100,000 inputs of each decoder:

    pytest smallcaps_assets_tests/fuzz --hypothesis-profile=fuzz
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallcaps_assets_tests.fuzz.decoders import DECODERS

TOKENS = [
    b"", b"0", b"-1", b"1e400", b"NaN", b"99999999999999999999", b"null", b"true", b'"', b"{}",
    b"[]", b"[[[[", b",", b"\n", b"\r\n", b"\0", b"\xff\xfe", b"../", b"=", b"|", b"\\u0000",
    b"2024-13-45", b"A" * 300, b"-9223372036854775808", b"0.1e-320", b"\xef\xbb\xbf",
]  # fmt: skip
SPOIL = st.tuples(
    st.integers(0, 2**16),
    st.integers(0, 12),
    st.sampled_from(TOKENS) | st.binary(max_size=3),
    st.booleans(),
)


def spoiled(good: bytes, changes: list[tuple[int, int, bytes, bool]]) -> bytes:
    """Some bytes cut out here and there, others put in their place, the rest cut off or not."""
    data = good
    for place, length, new, is_end in changes:
        at = place % (len(data) + 1)
        data = data[:at] + new + (b"" if is_end and length == 0 else data[at + length :])
    return data


@pytest.mark.parametrize("name", DECODERS)
@settings(suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 100), changes=st.lists(SPOIL, max_size=4))
def test_decoder_given_spoiled_input_expected_result_or_typed_error(
    name: str, seed: int, changes: list[tuple[int, int, bytes, bool]]
) -> None:
    decoder = DECODERS[name]
    body = spoiled(decoder.seeds[seed % len(decoder.seeds)], changes)
    with suppress(*decoder.errors):
        decoder.decode(body)


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_given_good_input_expected_no_error(name: str) -> None:
    """A seed that is refused would test nothing but the refusal."""
    decoder = DECODERS[name]
    for seed in decoder.seeds[:1]:
        decoder.decode(seed)


@pytest.mark.parametrize("name", DECODERS)
@given(body=st.binary(max_size=200))
def test_decoder_given_any_bytes_expected_result_or_typed_error(name: str, body: bytes) -> None:
    with suppress(*DECODERS[name].errors):
        DECODERS[name].decode(body)
