"""An agent that looks up orders. It has a mistake, which its test finds."""

import anyio

from twilio_realtime.agents.call import Call
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.notifications import FunctionCallRequested, Interrupted


async def agent(call: Call) -> None:
    """Look orders up for the model. If the caller interrupts, they need not wait for that."""
    asked = set[str]()
    async for event in call:
        match event:
            case FunctionCallRequested(call_id=call_id):
                asked.add(call_id)
                call.start_soon(look_up, call, call_id)
            case Interrupted():
                for call_id in asked:
                    call.send(SendFunctionOutput(call_id, '{"given_up": true}', respond=False))
                asked.clear()
            case _:
                pass


async def look_up(call: Call, call_id: str) -> None:
    """It takes a while."""
    await anyio.sleep(1)
    call.send(SendFunctionOutput(call_id, '{"left": "yesterday"}'))
