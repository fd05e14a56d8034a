"""Answers calls on trio. A key of the telephone ends the call."""

import os
from collections.abc import Callable

import trio

from twilio_realtime.agents.call import Call
from twilio_realtime.agents.call_acceptor import answering
from twilio_realtime.server.service import Service, ServiceConfig
from twilio_realtime.trio import Driver, listen
from twilio_realtime_core import HangUp
from twilio_realtime_core.notifications import KeyPressed


async def agent(call: Call) -> None:
    """Look after one call."""
    async for event in call:
        if isinstance(event, KeyPressed):
            call.send(HangUp())


async def main(config: ServiceConfig, port: int, tell: Callable[[object], None] = print) -> None:
    """Listen until cancelled; `tell` is told where, and what goes wrong."""
    accept = answering(Service(config), agent, Driver)
    await listen("127.0.0.1", port, accept, on_error=tell, on_listening=tell)


if __name__ == "__main__":
    trio.run(main, ServiceConfig(api_key=os.environ["OPENAI_API_KEY"]), 5050)
