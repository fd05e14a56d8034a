"""A uvicorn server that lets calls finish when it is asked to end.

    app = asgi_app(agent)
    DrainingServer(uvicorn.Config(app, port=5050), app).run()

uvicorn itself closes every WebSocket within 0.1 s of SIGTERM, with the code 1012.
"""

import asyncio
import signal
from types import FrameType

import uvicorn

from ..stop_requests import StopRequest, StopRequests
from .asgi import AsgiApp

__all__ = ["DrainingServer"]


class DrainingServer(uvicorn.Server):
    """A `uvicorn.Server` that drains `calls`, the application of the calls, on SIGTERM.

    New calls are refused, and `/readyz` answers 503. Once the calls in progress are over, or after
    `drain_timeout_s` (default: the setting), the server ends as it always does. A second SIGTERM,
    later than by half a second, and Ctrl-C end it at once. Other requests are answered meanwhile.
    """

    def __init__(
        self, config: uvicorn.Config, calls: AsgiApp, drain_timeout_s: float | None = None
    ) -> None:
        super().__init__(config)
        self._calls = calls
        self._drain_timeout_s = drain_timeout_s
        self._is_asked_to_drain = False
        self._stop_requests = StopRequests()
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: the first SIGTERM drains the calls."""
        is_to_drain = sig == signal.SIGTERM and not self.should_exit
        match self._stop_requests.receive() if is_to_drain else StopRequest.SECOND:
            case StopRequest.FIRST:
                self._is_asked_to_drain = True
                self._captured_signals.append(sig)  # raised again at the end, as uvicorn does
            case StopRequest.SECOND:
                super().handle_exit(sig, frame)
            case None:
                pass

    async def on_tick(self, counter: int) -> bool:
        """Check, ten times a second, whether to end."""
        if self._is_asked_to_drain and self._draining is None:
            drain = self._calls.host.drain(self._drain_timeout_s)
            self._draining = asyncio.create_task(drain)
        if self._draining is not None and self._draining.done():
            self.should_exit = True
        return await super().on_tick(counter)
