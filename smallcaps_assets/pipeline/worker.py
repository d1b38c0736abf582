"""A worker process: it makes the calls that its owner sends, one after the other.

Calls come through standard input and answers go through standard output, pickled. The process ends
when standard input does, also in the middle of a call: at the end of its owner, however that came.
Nothing heavy is imported here; a call's function brings what it needs.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
import traceback
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, BinaryIO


def serve() -> None:
    """Make calls until the owner ends. Ctrl-C is the owner's matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    waiting: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(calls, waiting), name="owner", daemon=True).start()
    while True:
        pickle.dump(_answer(waiting.get()), answers)
        answers.flush()


def _listen(calls: BinaryIO, waiting: SimpleQueue[bytes]) -> None:
    """Hand over the calls; end the process with its owner. Files are written so that it may."""
    while True:
        try:
            waiting.put(pickle.load(calls))
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)


def _answer(call: bytes) -> bytes:
    """Whether a call succeeded, and its result or what it raised."""
    try:
        function, arguments = pickle.loads(call)
        return packed((True, function(*arguments)))
    except BaseException as error:  # noqa: BLE001 - raised again by the owner
        error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
        return packed((False, error))


def packed(value: Any) -> bytes:
    """A pickle in which exceptions keep what they say, whatever their constructors take."""
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        """An exception by its type, arguments and what can be pickled of the rest."""
        if not isinstance(obj, BaseException):
            return NotImplemented
        held = {name: value for name, value in vars(obj).items() if _is_picklable(value)}
        made_of, args = obj.__reduce__()[1], obj.args  # of an OSError only the former has the file
        if not _is_picklable((type(obj), made_of, args)):
            return RuntimeError, (f"{type(obj).__name__}: {obj}",)
        return _rebuilt, (type(obj), made_of, args, str(obj), held)


def _rebuilt(
    kind: type[BaseException], made_of: tuple[Any, ...], args: tuple[Any, ...], text: str, held: Any
) -> BaseException:
    """An exception as it was; one that would say something else, as a plain one that says it."""
    with suppress(Exception):
        error = kind.__new__(kind, *made_of)
        error.args = args
        vars(error).update(held)
        if str(error) == text:
            return error
    return RuntimeError(f"{kind.__name__}: {text}")


def _is_picklable(value: Any) -> bool:
    try:
        pickle.loads(packed(value))
    except Exception:  # noqa: BLE001 - anything may refuse
        return False
    return True
