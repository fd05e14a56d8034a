"""Tests of an agent, in simulated calls."""

import pytest
from hypothesis import given, settings

from order_agent import agent
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime.testing.strategies import interruption_times
from twilio_realtime_core.notifications import EndReason

pytestmark = pytest.mark.call(agent=agent)

LOOKS = ("One moment, please, I will look.", function_call("look_up", order=42))


async def test_the_caller_is_told_where_the_order_is(call: PhoneCall) -> None:
    call.model.respond_with(LOOKS, "It has left our warehouse yesterday.")
    await call.say("Where is my order?")
    await call.listen()
    assert call.model.function_outputs == ['{"left": "yesterday"}']
    assert call.transcript == [
        ("caller", "Where is my order?"),
        ("agent", "One moment, please, I will look."),
        ("agent", "It has left our warehouse yesterday."),
    ]


@settings(deadline=None)
@given(ms=interruption_times(max_ms=2000))
async def test_an_interruption_does_no_harm_whenever_it_comes(call: PhoneCall, ms: int) -> None:
    call.model.respond_with(LOOKS, "Yes?")
    call.interrupt_after(ms=ms)
    await call.say("Where is my order?")
    await call.listen()
    await call.hang_up()
    assert (await call.wait_for_end()).reason is EndReason.CALLER_HUNG_UP
