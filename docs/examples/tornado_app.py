"""Calls in a framework that calls back: Tornado, which nothing here knows."""

import asyncio

from tornado.web import Application
from tornado.websocket import WebSocketHandler

from twilio_realtime import Agent
from twilio_realtime.hosts import host

agent = Agent("You answer for a pizza shop. Be brief.", greeting="Greet the caller.")


class MediaStream(WebSocketHandler):
    def open(self) -> None:
        self.received = asyncio.Queue[str | bytes | None]()
        call = host(self.received.get, self.write_message, agent, close=self.end)
        self.task = asyncio.create_task(call)

    def on_message(self, message: str | bytes) -> None:
        self.received.put_nowait(message)

    def on_close(self) -> None:
        self.received.put_nowait(None)

    async def end(self, code: int, reason: str) -> None:
        self.close(code, reason)


app = Application([("/media-stream", MediaStream)])
