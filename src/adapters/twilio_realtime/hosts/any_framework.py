"""A call behind the WebSocket of any framework, given as two functions.

await host(websocket.receive_text, websocket.send_text, agent)

And the end of a program that hosts calls, with any framework.
"""

from collections.abc import Awaitable, Callable

from ..agents.call import CallHandler
from ..server.service_config import ServiceConfig
from .call_host import find_call_host
from .socket import CallbackSocket, HostSocketClosed

__all__ = ["drain", "host"]


async def host(
    receive: Callable[[], Awaitable[str | bytes | HostSocketClosed | None]],
    send: Callable[[str], Awaitable[object]],
    agent: CallHandler,
    *,
    close: Callable[[int, str], Awaitable[object]] | None = None,
    config: ServiceConfig | None = None,
) -> None:
    """Handle one call of Twilio's with `agent`, over a WebSocket that is accepted already, on the
    event loop that runs, of trio or asyncio. It returns once the call is over.

    `receive` waits for the next message, and returns `HostSocketClosed` or `None` at the end.
    `send` sends a text message, and waits while the socket has no room. An exception of either
    means that the socket is closed; its attribute `code` is the close code, if it has one. `close`
    closes the socket with a code and a reason; without it, the caller of this function does that.

    The key and all that concerns the model are from `config`, or else from the environment and the
    settings, as in `serve`. Nothing checks that it is Twilio who opened the socket
    (`is_signature_valid` does). An exception of the agent hangs up and is logged. A cancellation
    ends the call in good order.

    Raises `UsageError` for a setting that cannot be used.
    """
    await find_call_host(agent, config).host(CallbackSocket(receive, send, close))


async def drain(
    agent: CallHandler, *, config: ServiceConfig | None = None, timeout_s: float | None = None
) -> None:
    """Refuse new calls of `agent`, wait until those in progress are over, for `timeout_s` at most
    (default: the setting `drain_timeout`), and then end the rest in good order.

    `agent` and `config` are the same objects as those of `host`, `handle_aiohttp` or
    `handle_websockets`. Call it when the program is asked to end, before the server closes its
    sockets.
    """
    await find_call_host(agent, config).drain(timeout_s)
