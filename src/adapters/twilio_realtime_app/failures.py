"""What goes wrong in the application's own code, told without what people said."""

import traceback
from pathlib import Path

__all__ = ["ApplicationError", "place"]


class ApplicationError(Exception):
    """An agent, a handler or a function of the application has gone wrong.

    The text says which, and where in the code; never what an exception said, since that may hold
    what people said. Whoever may see it finds the exception in `__cause__`.
    """


def place(error: BaseException) -> str:
    """The type of an exception, and the file and line that raised it."""
    match error:
        case BaseExceptionGroup(exceptions=(BaseException() as cause,)):  # of a task group
            return place(cause)
        case _:
            pass
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{at}"
