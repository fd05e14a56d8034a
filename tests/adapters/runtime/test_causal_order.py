"""The same call is told in the same order under virtual time and over real sockets.

Causes come before their effects wherever a call runs; only what happens side by side, such as the
words of a transcript and the echoes of marks, may interleave differently on real clocks.
"""

import pytest

from driving import RUNTIMES, Call, call_over_sockets, run
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
)
from twilio_realtime.sim.world.calls import byte_call, message_call
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallStarted,
    Interrupted,
    KeyPressed,
    ResponseStarted,
    SessionReady,
)

CAUSES = (
    CallStarted,
    SessionReady,
    CallerSpeechStarted,
    CallerSpeechStopped,
    ResponseStarted,
    Interrupted,
    KeyPressed,
    CallEnded,
)
WORDS = sample_speech.load("caller_interruption").audio[:4000]
SCRIPT: tuple[Cue, ...] = (
    AfterDelay(0, CallerSays(WORDS)),
    WhenAgentHeard(300, CallerSays(WORDS)),
    WhenAgentHeard(300, CallerPressesKey("5")),
    AfterDelay(100 * MS, CallerHangsUp()),
)


def causes(told: list[object]) -> list[str]:
    return [type(event).__name__ for event in told if isinstance(event, CAUSES)]


def simulated(*, level: str) -> list[str]:
    call = Call(SCRIPT)
    build = byte_call if level == "bytes" else message_call
    world = build(call.bridge, call.phone, call.model, twilio_latency_ns=0, model_latency_ns=0)
    world.run(60 * SECOND)
    return causes([event for _, name, event in world.notifications if name == "bridge"])


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_a_call_over_real_sockets_has_the_causal_order_of_the_simulated_one(runtime: str) -> None:
    call, told = Call(SCRIPT), list[object]()

    async def main() -> None:
        await call_over_sockets(RUNTIMES[runtime], call, told.append)

    run(runtime, main)
    expected = simulated(level="messages")
    assert expected.count("Interrupted") == 1
    assert simulated(level="bytes") == expected
    assert causes(told) == expected
