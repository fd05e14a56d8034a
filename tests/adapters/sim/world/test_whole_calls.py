"""Whole calls in virtual time: phone, bridge and model, at message level and at byte level."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from twilio_realtime.sim.phone.twilio_peer import QueueCleared, TwilioPeer
from twilio_realtime.sim.world.byte_world import ByteWorld
from twilio_realtime.sim.world.calls import byte_call, message_call
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime.sim.world.world import SimLink
from twilio_realtime_core import (
    Bridge,
    CallConfig,
    Command,
    Fault,
    FaultKind,
    HangUp,
    Interrupt,
    Peer,
    SendEvent,
    SessionConfig,
)
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ms
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioDropped,
    CallStarted,
    EndReason,
    Interrupted,
    KeyPressed,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import CreateResponse

QUESTION = sample_speech.load("caller_question").audio
INTERRUPTION = sample_speech.load("caller_interruption").audio
VAD = {"type": "server_vad", "silence_duration_ms": 500}
"""Longer than any pause in the sample speech."""


def speech(name: str) -> SpokenReply:
    sample = sample_speech.load(name)
    return SpokenReply(sample.audio, sample.transcript)


GREETING, ANSWER, GOODBYE = map(speech, ("agent_greeting", "agent_answer", "agent_goodbye"))


class Call:
    """A call in a world."""

    def __init__(
        self,
        build: Callable[..., MessageWorld | ByteWorld],
        script: tuple[Cue, ...],
        *replies: Reply,
        session: SessionConfig | None = None,
        start_delay_ns: int = 0,
        pace: Pace | None = None,
        opening_error: str | None = None,
        **options: object,
    ) -> None:
        session = session or SessionConfig(turn_detection=VAD)
        config = CallConfig(url="ws://model/v1/realtime", session=session, reconnect=None)
        self.bridge = Bridge(config)
        self.phone = TwilioPeer(
            url="ws://bridge/media-stream", seed=1, script=script, start_delay_ns=start_delay_ns
        )
        self.model = RealtimePeer(replies, seed=2, pace=pace, opening_error=opening_error)
        self.world = build(self.bridge, self.phone, self.model, trace_limit=40, **options)

    def notifications(self, *kinds: type[Any]) -> list[Any]:
        """The notifications of the bridge, in order; of some kinds only, or all."""
        return [
            event
            for _, name, event in self.world.notifications
            if name == "bridge" and (not kinds or isinstance(event, kinds))
        ]

    def cleared(self) -> list[QueueCleared]:
        return [
            event for _, _, event in self.world.notifications if isinstance(event, QueueCleared)
        ]

    def send(self, command: Command) -> None:
        """Give a command; at byte level the stack performs the actions of the bridge."""
        if isinstance(self.world, ByteWorld):
            self.world.call("bridge", "perform", self.bridge.send(command, self.world.now))
        else:
            self.world.call("bridge", "send", command)

    def link(self, peer_name: str) -> SimLink[Any]:
        """The link to the phone, or to the model."""
        peer = Peer.TWILIO if peer_name == "phone" else Peer.REALTIME
        return self.world.link("bridge", peer)

    def run_to_end(self, limit_ns: int = 60 * SECOND) -> None:
        self.world.run_until(lambda: bool(self.notifications(CallEnded)), limit_ns)
        self.world.run(limit_ns)

    def assert_no_errors(self) -> None:
        assert self.notifications(Fault) == []
        assert self.phone.warnings == []
        assert self.model.sent_errors == []


TWO_INTERRUPTIONS: tuple[Cue, ...] = (
    AfterDelay(500 * MS, CallerSays(QUESTION)),
    WhenAgentHeard(1500, CallerSays(INTERRUPTION)),
    WhenAgentHeard(3000, CallerSays(INTERRUPTION)),
    WhenAgentQuiet(300 * MS, CallerPressesKey("5")),
    AfterDelay(300 * MS, CallerHangsUp()),
)
REPLIES = (Reply((ANSWER,)), Reply((GREETING, ANSWER)), Reply((GOODBYE,)))

SLOW_TO_CONFIGURE = Pace(client_event_ns=12 * SECOND)
"""`session.updated` comes 12 s after the `session.update`."""

LEVELS = pytest.mark.parametrize("build", [message_call, byte_call], ids=["messages", "bytes"])


@LEVELS
def test_a_call_with_two_interruptions_and_a_key_completes(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    call = Call(build, TWO_INTERRUPTIONS, *REPLIES)
    call.run_to_end()
    call.assert_no_errors()
    assert [
        type(event) for event in call.notifications(CallStarted, Interrupted, KeyPressed, CallEnded)
    ] == [
        CallStarted,
        Interrupted,
        Interrupted,
        KeyPressed,
        CallEnded,
    ]
    (ended,) = call.notifications(CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert ended.usage.output.audio
    assert call.phone.is_over
    assert call.bridge.deadline is None


@LEVELS
def test_truncation_matches_what_was_heard_to_the_millisecond(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    call = Call(build, TWO_INTERRUPTIONS, *REPLIES)
    call.run_to_end()
    first, second = call.cleared()
    answer, greeting, cut_answer, _ = (item for item in call.model.conversation if item.is_spoken)
    assert answer.truncated_ms == samples_to_ms(first.heard_bytes)
    assert greeting.truncated_ms is None
    assert cut_answer.truncated_ms == samples_to_ms(
        second.heard_bytes - first.heard_bytes - 8 * greeting.generated_ms
    )


def test_both_levels_notify_the_same() -> None:
    calls = [
        Call(message_call, TWO_INTERRUPTIONS, *REPLIES),
        Call(byte_call, TWO_INTERRUPTIONS, *REPLIES),
        Call(byte_call, TWO_INTERRUPTIONS, *REPLIES, is_segmented=True),
    ]
    for call in calls:
        call.run_to_end()
    first, *others = (call.notifications() for call in calls)
    assert len(first) > 40
    assert all(other == first for other in others)


def test_hash_seeds_do_not_change_a_calls_notifications() -> None:
    program = (
        "import test_whole_calls as t\n"
        "call = t.Call(t.message_call, t.TWO_INTERRUPTIONS, *t.REPLIES)\n"
        "call.run_to_end()\n"
        "print(*call.world.notifications, sep='\\n')"
    )
    outputs = [
        subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-c", program],
            cwd=os.path.dirname(__file__),
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert b"Interrupted" in outputs[0]
    assert outputs[0] == outputs[1]


@LEVELS
def test_an_answer_heard_to_the_end_is_not_truncated(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    script = (
        AfterDelay(500 * MS, CallerSays(QUESTION)),
        WhenAgentQuiet(9 * SECOND, CallerHangsUp()),
    )
    call = Call(build, script, Reply((ANSWER,)))
    call.run_to_end()
    call.assert_no_errors()
    assert (
        len(call.notifications(PlaybackStarted)) == len(call.notifications(PlaybackFinished)) == 1
    )
    assert call.notifications(Interrupted) == []
    assert [item.truncated_ms for item in call.model.conversation] == [None, None]


@LEVELS
def test_the_application_greets_and_interrupts(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    call = Call(build, (), Reply((ANSWER,)))
    call.world.run(500 * MS)
    call.send(SendEvent(CreateResponse()))
    call.world.run(3 * SECOND)
    call.send(Interrupt())
    call.world.run(4 * SECOND)
    call.send(HangUp())
    call.run_to_end()
    call.assert_no_errors()
    (cleared,) = call.cleared()
    (answer,) = call.model.conversation
    assert answer.truncated_ms == samples_to_ms(cleared.heard_bytes)
    assert [each.reason for each in call.notifications(CallEnded)] == [EndReason.HUNG_UP]


@LEVELS
def test_the_bridge_cancels_where_the_server_does_not_interrupt(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    detection = {**VAD, "interrupt_response": False}
    script = (
        AfterDelay(500 * MS, CallerSays(QUESTION)),
        WhenAgentHeard(400, CallerSays(INTERRUPTION)),
        WhenAgentQuiet(9 * SECOND, CallerHangsUp()),
    )
    call = Call(build, script, Reply((ANSWER,)), session=SessionConfig(turn_detection=detection))
    call.run_to_end()
    call.assert_no_errors()
    first = call.notifications(ResponseFinished)[0]
    assert first.status == "cancelled"
    assert first.details == {"type": "cancelled", "reason": "client_cancelled"}


@LEVELS
def test_a_hidden_start_delay_is_learned_from_marks(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    call = Call(build, TWO_INTERRUPTIONS, *REPLIES, start_delay_ns=250 * MS)
    call.run_to_end()
    call.assert_no_errors()
    answer = next(item for item in call.model.conversation if item.is_spoken)
    assert answer.truncated_ms is not None
    assert abs(answer.truncated_ms - samples_to_ms(call.cleared()[0].heard_bytes)) <= 1


@LEVELS
def test_early_caller_audio_is_kept_for_ten_seconds(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    call = Call(
        build, (AfterDelay(0, CallerSays(QUESTION)),), Reply((GREETING,)), pace=SLOW_TO_CONFIGURE
    )
    call.world.run(20 * SECOND)
    dropped = sum(event.samples for event in call.notifications(CallerAudioDropped))
    assert dropped > 0
    assert call.notifications(SessionReady)
    call.send(HangUp())
    call.run_to_end()
    call.assert_no_errors()


@LEVELS
@pytest.mark.parametrize("error", ["invalid_api_key", "invalid_model", "beta_api_shape_disabled"])
def test_an_opening_error_of_the_server_ends_the_call(
    build: Callable[..., MessageWorld | ByteWorld], error: str
) -> None:
    call = Call(build, (), Reply((GREETING,)), opening_error=error)
    call.run_to_end()
    (notified,) = call.notifications(Fault)
    assert (notified.kind, notified.code) == (FaultKind.SERVER_ERROR, error)
    (ended,) = call.notifications(CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.SESSION_REFUSED, notified.message)
    assert call.phone.is_over


@LEVELS
def test_an_unreachable_model_ends_the_call(
    build: Callable[..., MessageWorld | ByteWorld],
) -> None:
    call = Call(build, (), Reply((GREETING,)))
    call.link("model").is_accepting = False
    call.run_to_end()
    (ended,) = call.notifications(CallEnded)
    assert ended.reason is EndReason.REALTIME_UNREACHABLE
    assert call.phone.is_over


@LEVELS
@pytest.mark.parametrize("after_ms", [205, 230, 300, 700, 3000, 5000, 5470])
@pytest.mark.parametrize(
    ("peer_name", "reasons"),
    [
        ("phone", {EndReason.TWILIO_LOST}),
        ("model", {EndReason.REALTIME_LOST, EndReason.REALTIME_UNREACHABLE}),
    ],
)
def test_a_socket_lost_at_any_moment_ends_both_links_once(
    build: Callable[..., MessageWorld | ByteWorld],
    peer_name: str,
    reasons: set[EndReason],
    after_ms: int,
) -> None:
    call = Call(build, TWO_INTERRUPTIONS, *REPLIES)
    call.world.run(after_ms * MS)
    call.world.sever(call.link(peer_name))
    call.run_to_end()
    (ended,) = call.notifications(CallEnded)
    assert ended.reason in reasons
    assert call.notifications()[-1] is ended
    assert call.bridge.deadline is None
    assert call.phone.is_over
