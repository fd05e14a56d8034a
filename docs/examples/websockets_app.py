"""A server with the package `websockets` that answers calls."""

import asyncio

from websockets.asyncio.server import ServerConnection, serve

from twilio_realtime import Agent
from twilio_realtime.hosts import handle_websockets

agent = Agent("You answer for a pizza shop. Be brief.", greeting="Greet the caller.")


async def media_stream(connection: ServerConnection) -> None:
    await handle_websockets(connection, agent)


async def main(port: int = 5050) -> None:
    async with serve(media_stream, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
