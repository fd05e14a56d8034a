"""The headers of a connection that a function of the application returns, since a token expires.

Such a function may ask a server for a token, so one that is not async runs in a thread of its own:
it delays its own connection alone.
"""

import inspect
from collections.abc import Awaitable, Callable
from threading import Lock, Thread
from typing import Any, Final, TypeAlias

from attrs import define, field

from twilio_realtime_core.errors import LocalProtocolError

__all__ = ["HeadersError", "RunInThread", "ThreadCall", "resolve_headers"]

_NOT_DONE: Final = object()


class HeadersError(Exception):
    """A function did not return headers. The text says why, without what they contain."""


@define(eq=False)
class ThreadCall:
    """A call of a function that may block, in a thread of its own.

    `on_done` is called in that thread once it is over. The thread does not keep the process alive.
    """

    _function: Callable[[], Any]
    _on_done: Callable[[], object]
    _result: Any = field(init=False, default=_NOT_DONE)
    _error: BaseException | None = field(init=False, default=None)
    _is_abandoned: bool = field(init=False, default=False)
    _lock: Lock = field(init=False, factory=Lock)

    def start(self) -> None:
        """Start the thread. Raises `RuntimeError` if there is none left."""
        Thread(target=self._run, name="twilio-realtime headers", daemon=True).start()

    def result(self) -> Any:
        """Return what the function has returned, or raise what it has raised."""
        match self._error:
            case None:
                return self._result
            case Exception() as error:
                raise error
            case error:  # an exit, which is not for the thread of the event loop
                raise RuntimeError(type(error).__name__) from error

    def abandon(self) -> None:
        """Nobody needs the result any more."""
        with self._lock:
            self._is_abandoned = True
            _discard(self._result)

    def _run(self) -> None:
        try:
            result = self._function()
        except BaseException as error:
            self._error = error
        else:
            with self._lock:
                self._result = result
                if self._is_abandoned:
                    _discard(result)
        self._on_done()


def _discard(result: object) -> None:
    """Close a coroutine that is not run: Python warns of it otherwise."""
    if inspect.iscoroutine(result):
        result.close()


RunInThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function in a thread, and waits for it without blocking the event loop."""


async def resolve_headers(source: Callable[[], Any], run_in_thread: RunInThread) -> Any:
    """Return the headers that `source`, a function of the application, returns.

    Raises `HeadersError` if it fails.
    """
    try:
        is_async = inspect.iscoroutinefunction(source)
        result = source() if is_async else await run_in_thread(source)
        return await result if inspect.isawaitable(result) else result
    except LocalProtocolError as error:  # its text has no secrets
        raise HeadersError(str(error)) from error
    except Exception as error:
        reason = f"the function of the headers has raised {type(error).__name__}"
        raise HeadersError(reason) from error
