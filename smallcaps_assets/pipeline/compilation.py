"""All kernels compiled once on a machine, part by part, while other processes take other parts."""

from __future__ import annotations

from smallcaps_assets.domain.warm_up import PARTS, compile_kernels
from smallcaps_assets.kernels.compiled import mark
from smallcaps_assets.lake.files import alone
from smallcaps_assets.sources.http.notices import say_once


def announce_compilation() -> None:
    """Say that kernels are going to be compiled, if they are."""
    if not mark().exists():
        say_once("compiling the kernels for this processor, once: half a minute to two minutes")


def compile_once() -> None:
    """Compile what is not kept on disk yet; at other times a look at one file.

    A part that another process is at comes last, when there is nothing left but to wait for it.
    Where nothing can be kept each kernel is compiled when it is called, as without this.
    """
    done = mark()
    if done.exists():
        return
    try:
        left = [part for part in PARTS if not _compile(part, waits=False)]
        for part in left:
            _compile(part, waits=True)
        done.touch()
    except OSError:
        return


def _compile(part: str, waits: bool) -> bool:
    """Whether a part is compiled now; not if another process is at it and this one won't wait."""
    done = mark().with_suffix(f".{part}")
    with alone(done.with_suffix(f".{part}-lock"), waits) as is_ours:
        if is_ours and not done.exists():
            compile_kernels([part])
            done.touch()
        return is_ours
