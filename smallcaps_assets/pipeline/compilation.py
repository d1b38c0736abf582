"""All kernels compiled once on a machine, by one process while the others wait for it."""

from __future__ import annotations

from smallcaps_assets.domain.warm_up import compile_kernels
from smallcaps_assets.kernels.compiled import mark
from smallcaps_assets.lake.files import alone
from smallcaps_assets.sources.http.notices import say_once


def announce_compilation() -> None:
    """Say that kernels are going to be compiled, if they are."""
    if not mark().exists():
        say_once("compiling the kernels for this processor, once: some 20 s")


def compile_once() -> None:
    """Compile what is not kept on disk yet; at other times a look at one file.

    Where nothing can be kept each kernel is compiled when it is called, as without this.
    """
    done = mark()
    if done.exists():
        return
    try:
        with alone(done.with_suffix(".lock")):
            if not done.exists():
                compile_kernels()
                done.touch()
    except OSError:
        return
