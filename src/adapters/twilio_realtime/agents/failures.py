"""Failures of the application's code, described without anything that people said."""

import asyncio
import site
import sysconfig
import traceback
from pathlib import Path
from typing import Final

import anyio

__all__ = ["ApplicationError", "describe_error", "is_application_failure"]

_LIBRARY_PREFIXES: Final = tuple(
    f"{folder}/"
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
    }
)
"""The folders of the standard library and of installed packages."""


class ApplicationError(Exception):
    """An agent, a handler or a function of the application has failed.

    The text says which, with the type of the exception and the line of the code. It never contains
    the exception's text, since that may quote what people said; the exception is `__cause__`.
    """


def is_application_failure(error: BaseException) -> bool:
    """Whether an exception of a call's task is the application's, and not a cancellation.

    Any other must be raised again, such as the cancellation of the task itself.
    On asyncio both look alike: awaiting a task that was cancelled raises the same exception as
    being cancelled. Only in the second case is a cancellation of the current task requested
    (`Task.cancelling`).
    """
    if not isinstance(error, asyncio.CancelledError):
        return isinstance(error, Exception)
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return True
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


def describe_error(error: BaseException) -> str:
    """Return the type of an exception, and the file and line that raised it: the innermost of the
    application, else the innermost of a library. The exception's text is left out."""
    match error:
        case BaseExceptionGroup(exceptions=(BaseException() as cause,)):  # of a task group
            return describe_error(cause)
        case _:
            pass
    frames = traceback.extract_tb(error.__traceback__)
    in_application = [
        each for each in frames if not each.filename.startswith((*_LIBRARY_PREFIXES, "<"))
    ]
    location = [
        f" at {Path(each.filename).name}:{each.lineno}" for each in (in_application or frames)[-1:]
    ]
    return "".join([type(error).__name__, *location])
