"""The notifications of a call have the same order in virtual time and over real sockets.

Causes come before their effects on any runtime; only concurrent events, such as pieces of a
transcript and echoes of marks, may interleave differently on real clocks.
"""

import pytest

from driving import RUNTIMES, CallParties, run_call_over_sockets, run_in_real_time
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


def kinds_of_causes(event: list[object]) -> list[str]:
    return [type(event).__name__ for event in event if isinstance(event, CAUSES)]


def simulate(*, level: str) -> list[str]:
    call = CallParties(SCRIPT)
    build = byte_call if level == "bytes" else message_call
    world = build(call.bridge, call.phone, call.model, twilio_latency_ns=0, model_latency_ns=0)
    world.run(60 * SECOND)
    return kinds_of_causes([event for _, name, event in world.notifications if name == "bridge"])


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_calls_over_sockets_keep_the_causal_order_of_simulated_ones(runtime: str) -> None:
    call, notifications = CallParties(SCRIPT), list[object]()

    async def main() -> None:
        await run_call_over_sockets(RUNTIMES[runtime], call, notifications.append)

    run_in_real_time(runtime, main)
    expected = simulate(level="messages")
    assert expected.count("Interrupted") == 1
    assert simulate(level="bytes") == expected
    assert kinds_of_causes(notifications) == expected
