"""Spoiled inputs end in a frame or a typed error: no other exception, no hang, no flood of memory.

Most examples spoil a good input in a few places, because random bytes fail at the first check. The
full run tries 100,000 inputs of each decoder:

    pytest smallcaps_assets_tests/fuzz -n 0 --hypothesis-profile=fuzz
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallcaps_assets_tests.fuzz import project, regulators, vendor

DECODERS = vendor.DECODERS | regulators.DECODERS | project.DECODERS
TOKENS = [
    b"", b"0", b"-1", b"1e400", b"NaN", b"99999999999999999999", b"null", b"true", b'"', b"{}",
    b"[]", b"[[[[", b",", b"\n", b"\r\n", b"\0", b"\xff\xfe", b"../", b"=", b"|", b"\\u0000",
    b"2024-13-45", b"A" * 300, b"-9223372036854775808", b"0.1e-320", b"\xef\xbb\xbf", b"9" * 5000,
    "\u0663".encode(), b"9999-12-31", b"0001-01-01", b"<!DOCTYPE x>", b"[" * 5000, b"&#0;", b"\\",
    b"1e300", b"9223372036854775808", b"//[", b"%",
]  # fmt: skip
MOST_SECONDS, MOST_MEMORY = 20.0, 400_000_000
INPUTS = 8  # of each example, because making an example costs more than most decoders do
# A byte that chooses the seed, one the number of changes, and for each the place (2), the bytes
# cut out, the new bytes.
LENGTH = 2 + 4 * 4
PROGRAMS = st.binary(min_size=INPUTS * LENGTH, max_size=INPUTS * LENGTH)
AS_IT_IS = 240


def spoiled(seeds: Sequence[bytes], program: bytes) -> bytes:
    """A seed with some bytes cut out here and there, others put in their place."""
    chosen, changes = program[0], program[1] % 5
    if chosen >= AS_IT_IS:
        return program[2 : 2 + 4 * changes]
    data = seeds[chosen % len(seeds)]
    for start in range(2, 2 + 4 * changes, 4):
        place, cut, new = (
            int.from_bytes(program[start : start + 2]),
            *program[start + 2 : start + 4],
        )
        at = place % (len(data) + 1)
        end = len(data) if cut == 255 else at + cut % 13
        data = data[:at] + (TOKENS[new] if new < len(TOKENS) else bytes([new])) + data[end:]
    return data


@contextmanager
def hang_refused() -> Iterator[None]:
    """TimeoutError after MOST_SECONDS of processor time."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"a decoder took more than {MOST_SECONDS} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.fixture
def flood_refused() -> Iterator[None]:
    """At the end no more than MOST_MEMORY bytes may have been taken at any moment; Linux only."""
    if not Path("/proc/self/clear_refs").exists():
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")
    before = most_memory()
    yield
    assert most_memory() - before < MOST_MEMORY


def most_memory() -> int:
    """The most bytes of memory that this process has had since they were last cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.usefixtures("flood_refused")
@settings(
    suppress_health_check=list(HealthCheck), max_examples=settings().max_examples // INPUTS + 1
)
@given(programs=PROGRAMS)
def test_decoder_given_spoiled_input_expected_result_or_typed_error(
    name: str, programs: bytes
) -> None:
    decoder = DECODERS[name]
    for start in range(0, len(programs), LENGTH):
        body = spoiled(decoder.seeds, programs[start : start + LENGTH])
        with hang_refused(), suppress(*decoder.errors):
            decoder.decode(body)


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_given_good_input_expected_no_error(name: str) -> None:
    """A seed that is refused would test nothing but the refusal."""
    for seed in DECODERS[name].seeds:
        with suppress(*(() if seed is DECODERS[name].seeds[0] else DECODERS[name].errors)):
            DECODERS[name].decode(seed)
