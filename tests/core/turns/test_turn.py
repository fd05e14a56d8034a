"""Whose turn it is: the caller's speech, and whether it interrupts the agent."""

from typing import Any

import pytest

from calling import (
    PCMU,
    Call,
    StepResult,
    audio,
    created,
    delta,
    media,
    response_done,
    speech_started,
    speech_stopped,
)
from twilio_realtime_core import (
    CallConfig,
    Fault,
    FaultKind,
    Peer,
    SendAudio,
)
from twilio_realtime_core.call.state import CallState
from twilio_realtime_core.config.interruption_policy import InterruptionPolicy
from twilio_realtime_core.downlink.framing import AudioChunk
from twilio_realtime_core.machine.lifecycles import ResponseInput
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallerAudioPadded,
    Interrupted,
    InterruptionBlocked,
    PaddingCause,
)
from twilio_realtime_core.protocols.realtime import (
    CreateResponse,
    SpeechStartedEvent,
    SpeechStoppedEvent,
)
from twilio_realtime_core.values.block_cause import BlockCause
from twilio_realtime_core.values.playback_position import PartKey

COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u"}


def ready(policy: InterruptionPolicy, **detection: Any) -> Call:
    """A call in which the bridge interrupts, by this policy."""
    detection = {"type": "server_vad", "interrupt_response": False, **detection}
    audio_ = {"input": {"format": PCMU, "turn_detection": detection}, "output": {"format": PCMU}}
    return Call.ready(CallConfig(interruption=policy), {"type": "realtime", "audio": audio_})


def talking(policy: InterruptionPolicy, **detection: Any) -> Call:
    """The agent has started to speak, and the policy decides whether it can be interrupted."""
    call = ready(policy, **detection)
    call.model(created())
    for _ in range(8):
        call.model(delta(2080))
    return call


def say(call: Call) -> StepResult:
    """The caller says something. Returns what the commit of it leads to."""
    call.model(speech_started())
    call.model(speech_stopped())
    return call.model(COMMITTED)


def blocked(done: StepResult) -> list[BlockCause]:
    assert not done.to_twilio
    assert not done.notified(Interrupted)
    return [each.cause for each in done.notified(InterruptionBlocked)]


# The state of the caller's turn.


class Parts:
    """The parts of a call that no peer is connected to."""

    def __init__(self) -> None:
        self.call = CallState(CallConfig())
        self.turns = self.call.turns

    def step(self, *events: str) -> list[object]:
        """Let turn detection report something. Returns the faults."""
        for event in events:
            match event:
                case "started":
                    self.turns.speech_started(SpeechStartedEvent("u", 0), 0)
                case "stopped":
                    self.turns.speech_stopped(SpeechStoppedEvent("u", 9), 0)
                case "committed":
                    self.turns.committed("turn", 0)
                case _:
                    self.turns.stream_started()
        notified = StepResult(self.call.outbox.take_actions()).events
        return [each for each in notified if isinstance(each, Fault)]


@pytest.mark.parametrize(
    ("events", "is_speaking"),
    [
        ("", False),
        ("started", True),
        ("started stopped", False),
        ("started stopped committed", False),
        ("started stopped started", True),
        ("started committed", True),
        ("started committed committed", True),
        ("started committed started", True),
        ("started committed stopped", False),
        ("started committed stream", False),
        ("started stream", False),
        ("started stream stopped", False),
        ("committed", False),
    ],
)
def test_the_caller_speaks_between_start_and_stop(
    events: str,
    is_speaking: bool,  # noqa: FBT001
) -> None:
    parts = Parts()
    assert parts.step(*events.split()) == []
    assert parts.turns.is_speaking is is_speaking


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ("started started", "speech started while the caller's turn is speaking"),
        ("started stopped stopped", "speech stopped while the caller's turn is paused"),
    ],
)
def test_events_out_of_order_are_faults(events: str, fault: str) -> None:
    expected = Fault(Peer.REALTIME, FaultKind.UNEXPECTED, fault)
    assert Parts().step(*events.split()) == [expected]


def test_a_commit_during_speech_keeps_the_caller_speaking() -> None:
    """The application may commit audio of a caller who speaks on."""
    call = Call.ready()
    call.phone(media(audio(160)))
    call.model(speech_started())
    call.send(SendAudio(b"\x00" * 160, commit=True))
    assert call.model(COMMITTED).faults == []
    assert call.wait(750).notified(CallerAudioPadded) == [
        CallerAudioPadded(8000, PaddingCause.INACTIVITY)
    ]
    assert call.model(speech_stopped()).faults == []
    call.phone(media(audio(160), timestamp_ms=175))
    assert call.wait(5000).notified(CallerAudioPadded) == []


def test_the_agent_is_active_while_requested_generated_or_heard() -> None:
    parts = Parts()
    turns, requests = parts.turns, parts.call.requests
    assert not turns.is_agent_active(0)
    requests.open()
    requests.queue.add_automatic(Reason.REQUESTED_FOR_MESSAGE)
    assert turns.is_agent_active(0)
    assert len(requests.take_due(0, is_caller_turn=False)) == 1
    assert turns.is_agent_active(0)
    record = parts.call.responses.get_or_create("r")
    requests.created(record, is_repeated=False, now=0)
    assert turns.is_agent_active(0)
    requests.done(record, was_announced=True, now=0)
    assert turns.is_agent_active(0)
    record.lifecycle.step(ResponseInput.DONE)
    assert not turns.is_agent_active(0)
    parts.call.downlink.play(AudioChunk(PartKey(1, "r", "i", 0), audio(800), 800), 0)
    assert turns.is_agent_active(2099 * MS)
    assert not turns.is_agent_active(2100 * MS)


# The length of speech.


def test_only_long_speech_interrupts() -> None:
    call = talking(InterruptionPolicy(after_speech_ms=300))
    assert blocked(call.model(speech_started())) == []
    call.wait(200)
    assert blocked(call.model(speech_stopped())) == [BlockCause.SHORT_SPEECH]
    assert not call.wait(200).notified(Interrupted)
    call.model(speech_started())
    assert not call.wait(299).notified(Interrupted)
    assert call.wait(1).notified(Interrupted)
    assert blocked(call.model(speech_stopped())) == []


def test_short_speech_while_the_agent_is_silent_is_no_attempt() -> None:
    call = ready(InterruptionPolicy(after_speech_ms=300))
    call.model(speech_started())
    assert blocked(call.model(speech_stopped())) == []
    call.model(speech_started())
    assert not call.wait(400).notified(InterruptionBlocked)


# The answer to a turn.


def test_a_turn_during_a_protected_response_is_answered_afterwards() -> None:
    """S78."""
    call = talking(InterruptionPolicy(allowed=False))
    call.model(speech_started())
    call.model(speech_stopped())
    assert call.model(COMMITTED).to_model == []
    assert [type(each) for each in call.model(response_done()).to_model] == [CreateResponse]
    call.model(created("s"))
    assert call.model(response_done("s")).to_model == []


def test_a_turn_that_the_server_answers_is_answered_once() -> None:
    """S78."""
    call = talking(InterruptionPolicy(allowed=False))
    say(call)
    call.model(created("s"))
    assert call.model(response_done()).to_model == []
    assert call.model(response_done("s")).to_model == []


def test_a_turn_after_the_response_is_left_to_the_server() -> None:
    call = talking(InterruptionPolicy(allowed=False))
    call.model(response_done())
    call.model(speech_started())
    call.model(speech_stopped())
    assert call.model(COMMITTED).to_model == []


def test_turns_are_left_to_the_application_without_automatic_responses() -> None:
    call = ready(InterruptionPolicy(allowed=False), create_response=False)
    call.model(created())
    call.model(delta(800))
    say(call)
    assert call.model(response_done()).to_model == []
