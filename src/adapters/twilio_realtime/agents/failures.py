"""What goes wrong in the application's own code, told without what people said."""

import asyncio
import site
import sysconfig
import traceback
from pathlib import Path
from typing import Final

import anyio

__all__ = ["ApplicationError", "is_failure", "place"]

_OF_OTHERS: Final = tuple(
    f"{folder}/"
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
    }
)
"""Where the code of the standard library and of installed packages is."""


class ApplicationError(Exception):
    """An agent, a handler or a function of the application has gone wrong.

    The text says which, and where in the code; never what an exception said, since that may hold
    what people said. Whoever may see it finds the exception in `__cause__`.
    """


def is_failure(error: BaseException) -> bool:
    """Whether what a task of a call has raised is a failure of the application; else it is to be
    raised again, such as that the task itself is cancelled.

    Asyncio has one exception for two things: who awaits a task that somebody has cancelled gets the
    same as who is cancelled. Only then is somebody waiting for the task to end (`Task.cancelling`).
    """
    if not isinstance(error, asyncio.CancelledError):
        return isinstance(error, Exception)
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return True
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


def place(error: BaseException) -> str:
    """The type of an exception, and the file and line of the application that it comes from: the
    last that is not in a library, if there is one."""
    match error:
        case BaseExceptionGroup(exceptions=(BaseException() as cause,)):  # of a task group
            return place(cause)
        case _:
            pass
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not each.filename.startswith((*_OF_OTHERS, "<"))]
    at = [f" at {Path(each.filename).name}:{each.lineno}" for each in (own or frames)[-1:]]
    return "".join([type(error).__name__, *at])
