"""Answers calls on trio. A key of the telephone ends the call."""

import os
from collections.abc import Callable

import trio

from twilio_realtime import Call, HangUp, KeyPressed, Service, ServiceConfig, call_acceptor
from twilio_realtime.trio import Driver, listen


async def agent(call: Call) -> None:
    """Handle one call."""
    async for event in call:
        if isinstance(event, KeyPressed):
            call.send(HangUp())


async def main(config: ServiceConfig, port: int, report: Callable[[object], None] = print) -> None:
    """Listen until cancelled; `report` gets the addresses and the errors."""
    accept = call_acceptor(Service(config), agent, Driver)
    await listen("127.0.0.1", port, accept, on_error=report, on_listening=report)


if __name__ == "__main__":
    key, token = os.environ["OPENAI_API_KEY"], os.environ.get("TWILIO_AUTH_TOKEN")
    trio.run(main, ServiceConfig(api_key=key, auth_token=token), 5050)
