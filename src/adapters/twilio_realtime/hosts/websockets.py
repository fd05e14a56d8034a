"""A call behind a connection of a `websockets` server.

async def handler(connection: ServerConnection) -> None:
    await handle_websockets(connection, agent)
"""

import asyncio
from collections.abc import Callable
from functools import partial

from attrs import define, field
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from twilio_realtime_core.machine.actions import ABNORMAL_CLOSURE

from ..agents.call import CallHandler
from ..server.service_config import ServiceConfig
from .call_host import find_call_host
from .socket import HostSocketClosed, ReceivedMessage, ignore_pong

__all__ = ["WebsocketsSocket", "handle_websockets"]


async def handle_websockets(
    connection: Connection, agent: CallHandler, *, config: ServiceConfig | None = None
) -> None:
    """Handle one call of Twilio's with `agent`, over a connection of `websockets.asyncio`.

    The rest is as in `host`. The round trip is measured by pings.
    """
    await find_call_host(agent, config).host(WebsocketsSocket(connection))


@define(eq=False, repr=False)
class WebsocketsSocket:
    """A `HostSocket` of websockets."""

    _connection: Connection = field(alias="connection")
    on_pong: Callable[[bytes], None] = ignore_pong

    async def receive(self) -> ReceivedMessage:
        """See `HostSocket.receive`."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            if error.rcvd is None:
                return HostSocketClosed(ABNORMAL_CLOSURE)
            return HostSocketClosed(error.rcvd.code, error.rcvd.reason)

    async def send(self, text: str) -> None:
        """See `HostSocket.send`."""
        await self._connection.send(text)

    async def ping(self, payload: bytes) -> None:
        """See `HostSocket.ping`."""
        waiter = asyncio.ensure_future(await self._connection.ping(payload))
        waiter.add_done_callback(partial(self._handle_pong, payload))

    async def close(self, code: int, reason: str) -> None:
        """See `HostSocket.close`."""
        await self._connection.close(code, reason)

    def _handle_pong(self, payload: bytes, waiter: "asyncio.Future[float]") -> None:
        if not waiter.cancelled() and waiter.exception() is None:
            self.on_pong(payload)
