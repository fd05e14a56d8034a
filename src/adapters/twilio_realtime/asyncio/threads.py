"""Functions that may block, in threads of their own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..runtime.headers import ThreadCall

__all__ = ["run_in_thread"]


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread of its own, and return what it returns. A cancellation does not
    wait for it.

    Raises what the function raises, and `RuntimeError` if there is no thread left.
    """
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(done.set)

    call = ThreadCall(function, wake)
    call.start()
    try:
        await done.wait()
    except asyncio.CancelledError:
        call.abandon()
        raise
    return call.result()
