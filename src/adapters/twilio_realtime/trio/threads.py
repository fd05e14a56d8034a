"""Functions that may block, in threads of their own."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from ..runtime.headers import ThreadCall

__all__ = ["run_in_thread"]


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread of its own, and return what it returns. A cancellation does not
    wait for it.

    Raises what the function raises, and `RuntimeError` if there is no thread left.
    """
    done, token = trio.Event(), trio.lowlevel.current_trio_token()

    def wake() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    call = ThreadCall(function, wake)
    call.start()
    try:
        await done.wait()
    except trio.Cancelled:
        call.abandon()
        raise
    return call.result()
