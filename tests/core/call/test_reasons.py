"""The bridge says why it decided as it did where it had a choice."""

from collections.abc import Callable
from typing import Any

import pytest

from calling import (
    SESSION,
    Call,
    StepResult,
    audio,
    audio_done,
    created,
    delta,
    dtmf,
    function_call,
    item_added,
    item_done,
    media,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
)
from twilio_realtime.sim.reference import CallMachine
from twilio_realtime_core import (
    Bridge,
    CallConfig,
    Configure,
    HangUp,
    Interrupt,
    InterruptionAttempt,
    InterruptionLimit,
    InterruptionPolicy,
    LocalProtocolError,
    ModelSilencePolicy,
    Peer,
    Play,
    ReconnectPolicy,
    SendFunctionOutput,
    SendMessage,
)
from twilio_realtime_core.commands import AnswerApproval, NotifyAfterPlayback
from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.protocols.realtime import CancelResponse, CreateResponse, DeleteItem

BUSY = "conversation_already_has_active_response"
OUT_OF_BAND = CreateResponse({"conversation": "none"}, event_id="aside")
COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u"}
NO_RESPONSES = {"type": "server_vad", "create_response": False}


class ExplainedCall(Call):
    """A call that keeps the reasons of all steps."""

    inner: Bridge
    reasons: list[Reason]

    def build(self) -> CallMachine:
        self.inner, self.reasons = Bridge(self.config), []
        return self.inner

    def record(self, actions: list[Action]) -> StepResult:
        self.reasons += self.inner.reasons
        return super().record(actions)

    def why(self) -> list[Reason]:
        """The reasons since the last call of this method."""
        reasons, self.reasons = self.reasons, []
        return reasons


def ready(session: Any = None, **config: Any) -> ExplainedCall:
    call = ExplainedCall.ready(CallConfig(**config), session)
    call.why()
    return call


def talking(**config: Any) -> ExplainedCall:
    """The model has started a response, and 0.5 seconds of it were sent."""
    call = ready(**config)
    call.model(created())
    call.model(delta(4000))
    call.why()
    return call


def policy(**fields: Any) -> dict[str, Any]:
    return {"interruption": InterruptionPolicy(**fields)}


# The query.


def test_reasons_are_those_of_the_last_step() -> None:
    call = ready()
    call.send(CreateResponse())
    assert call.inner.reasons == call.inner.reasons == (Reason.SENT_AT_ONCE,)
    call.phone(dtmf("1"))
    assert not call.inner.reasons


MISUSES: list[Callable[[Any], object]] = [
    lambda bridge: bridge.receive_text(Peer.TWILIO, b"x", 0),
    lambda bridge: bridge.receive_text(Peer.TWILIO, "x", 0.5),
    lambda bridge: bridge.receive_text("twilio", "x", 0),
    lambda bridge: bridge.send(None, 0),
    lambda bridge: bridge.send(SendMessage(()), 0),
    lambda bridge: bridge.send(Configure(), 0),
    lambda bridge: bridge.pong(Peer.TWILIO, "x", 0),
    lambda bridge: bridge.closed(Peer.TWILIO, 1e3, "", 0),
    lambda bridge: bridge.closed(Peer.TWILIO, 1000, b"", 0),
    lambda bridge: bridge.opened(Peer.TWILIO, 0),
    lambda bridge: bridge.refused(Peer.REALTIME, None, 0),
    lambda bridge: bridge.start(0),
    lambda bridge: bridge.handle_timeout(-1),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_keeps_the_reasons_of_the_last_step(misuse: Callable[[Any], object]) -> None:
    call = ready()
    call.send(CreateResponse())
    with pytest.raises(LocalProtocolError):
        misuse(call.inner)
    assert call.inner.reasons == (Reason.SENT_AT_ONCE,)
    call.phone(dtmf("1"))
    assert not call.inner.reasons


def test_audio_has_no_reasons() -> None:
    call = talking()
    call.phone(media(audio(160)))
    call.model(delta(4000))
    assert call.why() == []


# Requests.


def test_a_request_waits_for_the_session_and_says_so_once() -> None:
    call = ExplainedCall.connected()
    call.send(CreateResponse())
    call.phone(dtmf("1"))
    assert call.why() == [Reason.HELD_BY_SESSION]
    call.model(type="session.updated", session=SESSION)
    assert call.why() == [Reason.SENT_AFTER_SESSION]


def test_a_request_waits_for_the_caller() -> None:
    call = ready()
    call.model(speech_started())
    call.send(CreateResponse())
    call.phone(dtmf("1"))
    call.model(speech_stopped())
    assert call.why() == [Reason.AGENT_SILENT, Reason.HELD_BY_CALLER]
    call.model(COMMITTED)
    call.model(created())
    assert call.why() == [
        Reason.TURN_AWAITS_RESPONSE,
        Reason.PLAYED_UNREQUESTED,
        Reason.HELD_BY_RESPONSE,
    ]
    call.model(response_done())
    assert call.why() == [Reason.SENT_AFTER_RESPONSE]


def test_a_request_is_sent_when_the_turn_is_over() -> None:
    session = {**SESSION, "audio": {**SESSION["audio"]}}
    session["audio"]["input"] = {**SESSION["audio"]["input"], "turn_detection": NO_RESPONSES}
    call = ready(session)
    call.model(speech_started())
    call.send(CreateResponse())
    call.model(speech_stopped())
    call.model(COMMITTED)
    assert call.why()[-2:] == [Reason.TURN_WITHOUT_RESPONSE, Reason.SENT_AFTER_TURN]


def test_messages_are_answered_by_one_response() -> None:
    call = talking()
    call.send(SendMessage("a"))
    call.send(SendMessage("b"))
    assert call.why() == [
        *(Reason.REQUESTED_FOR_MESSAGE, Reason.HELD_BY_RESPONSE),
        *(Reason.REQUESTED_FOR_MESSAGE, Reason.DROPPED_AS_MERGED),
    ]


def test_a_request_is_covered_until_its_item_is_added_late() -> None:
    call = ready()
    call.model(speech_started())
    call.send(SendMessage("a"))
    call.model(created())
    assert Reason.DROPPED_AS_COVERED in call.why()
    call.model(item_added("x", role="user", content=[{"type": "input_text", "text": "a"}]))
    assert call.why() == [Reason.REQUESTED_FOR_LATE_ITEM, Reason.HELD_BY_RESPONSE]


def test_a_refused_request_is_queued_again_or_dropped() -> None:
    call = ready()
    call.send(CreateResponse(event_id="mine"))
    call.why()
    call.model(server_error("busy", "mine", BUSY))
    assert call.why() == [Reason.AGAIN_AFTER_RESPONSE, Reason.HELD_BY_RESPONSE]
    call.model(response_done("other"))
    call.model(server_error("no", "mine", "bad"))
    assert call.why()[-1] is Reason.DROPPED_AS_REFUSED


def test_a_refused_request_that_stands_for_several_stays() -> None:
    call = talking()
    call.send(SendMessage("a"))
    call.send(SendMessage("b"))
    (request,) = call.model(response_done()).to_model
    call.why()
    assert isinstance(request, CreateResponse)
    call.model(server_error("no", request.event_id, "bad"))
    assert call.why() == [Reason.AGAIN_FOR_OTHERS, Reason.SENT_AT_ONCE]


@pytest.mark.parametrize("command", [CreateResponse(), OUT_OF_BAND])
def test_a_request_without_an_answer_is_dropped(command: CreateResponse) -> None:
    call = ready(on_model_silent=ModelSilencePolicy(ask_again=0, hang_up=False))
    call.send(command)
    call.wait(10_001)
    assert Reason.DROPPED_AS_UNANSWERED in call.why()


def test_a_response_without_events_is_given_up() -> None:
    call = talking(on_model_silent=ModelSilencePolicy(ask_again=0, hang_up=False))
    call.wait(10_001)
    assert Reason.GIVEN_UP_WITHOUT_EVENT in call.why()


@pytest.mark.parametrize(
    ("times", "reasons"),
    [
        (1, [Reason.SILENCE_ASKED_AGAIN, Reason.AGAIN_AFTER_SILENCE, Reason.SENT_AT_ONCE]),
        (0, [Reason.SILENCE_GIVEN_UP, Reason.DROPPED_IN_SILENCE]),
    ],
)
def test_a_silent_model_is_asked_again(times: int, reasons: list[Reason]) -> None:
    call = ready(on_model_silent=ModelSilencePolicy(ask_again=times, clip=b"\x7f" * 800))
    call.send(CreateResponse())
    call.why()
    call.wait(5001)
    assert call.why()[: len(reasons)] == reasons


def test_a_response_that_stops_is_requested_again() -> None:
    call = talking()
    call.wait(5001)
    assert call.why() == [
        Reason.SILENCE_ASKED_AGAIN,
        Reason.GIVEN_UP_IN_SILENCE,
        Reason.REQUESTED_FOR_SILENCE,
        Reason.SENT_AT_ONCE,
    ]


# The caller's turn.


def test_a_turn_during_a_response_is_answered_after_it() -> None:
    call = talking(**policy(allowed=False))
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(COMMITTED)
    call.model(response_done())
    assert call.why() == [
        Reason.REFUSED_BY_POLICY,
        Reason.TURN_DURING_RESPONSE,
        Reason.REQUESTED_FOR_TURN,
        Reason.SENT_AT_ONCE,
    ]


@pytest.mark.parametrize(
    ("events", "reasons"),
    [
        ([], [Reason.TURN_NOT_COMMITTED]),
        (
            [COMMITTED],
            [
                Reason.TURN_AWAITS_RESPONSE,
                Reason.TURN_NOT_ANSWERED,
                Reason.REQUESTED_FOR_LATE_TURN,
                Reason.SENT_AT_ONCE,
            ],
        ),
    ],
)
def test_a_turn_that_the_server_leaves_ends(events: list[Any], reasons: list[Reason]) -> None:
    call = ready()
    for event in [speech_started(), speech_stopped(), *events]:
        call.model(event)
    call.wait(3001)
    assert call.why() == [Reason.AGENT_SILENT, *reasons]


# Interruptions.


def refuse(attempt: InterruptionAttempt) -> bool:
    del attempt
    return False


def test_the_caller_interrupts() -> None:
    call = talking()
    call.play(200)
    call.model(speech_started())
    assert call.why() == [
        Reason.INTERRUPTED_BY_CALLER,
        Reason.CLEARED_AUDIO,
        Reason.CANCEL_BY_SERVER,
        Reason.TRUNCATED_AS_HEARD,
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"allowed": False}, Reason.REFUSED_BY_POLICY),
        ({"protect_first": True}, Reason.REFUSED_FIRST_WORDS),
        ({"after_heard_ms": 300}, Reason.REFUSED_LITTLE_HEARD),
        ({"predicate": refuse}, Reason.REFUSED_BY_APPLICATION),
    ],
)
def test_an_interruption_is_refused(fields: dict[str, Any], reason: Reason) -> None:
    call = talking(**policy(**fields))
    call.play(100)
    call.model(speech_started())
    assert call.why() == [reason]


def test_interruptions_are_refused_beyond_their_limit() -> None:
    call = talking(**policy(limit=InterruptionLimit(1, 10_000)))
    call.model(speech_started())
    for event in (speech_stopped(), COMMITTED, response_done(), created("s"), delta(800, "s")):
        call.model(event)
    call.why()
    call.model(speech_started())
    assert call.why() == [Reason.REFUSED_BY_LIMIT]


def test_speech_that_is_short_does_not_interrupt() -> None:
    call = talking(**policy(after_speech_ms=300))
    call.model(speech_started())
    call.wait(100)
    call.model(speech_stopped())
    assert call.why() == [Reason.POSTPONED_UNTIL_CONFIRMED, Reason.REFUSED_SHORT_SPEECH]


def test_speech_that_lasts_interrupts() -> None:
    call = talking(**policy(after_speech_ms=300))
    call.model(speech_started())
    call.wait(300)
    assert call.why()[:2] == [Reason.POSTPONED_UNTIL_CONFIRMED, Reason.INTERRUPTED_BY_CALLER]


def test_speech_that_lasts_finds_the_agent_silent() -> None:
    call = ready(**policy(after_speech_ms=300))
    call.model(speech_started())
    call.wait(300)
    assert call.why() == [Reason.POSTPONED_UNTIL_CONFIRMED, Reason.AGENT_SILENT]


def test_the_application_interrupts_a_response_that_is_over() -> None:
    call = talking()
    call.send(Interrupt(response_id="other"))
    assert call.why() == [Reason.RESPONSE_OVER]
    ready_call = ready()
    ready_call.send(Interrupt())
    assert ready_call.why() == [Reason.NOTHING_TO_STOP]


@pytest.mark.parametrize(
    ("cancel", "reason"),
    [(True, Reason.CANCELLED_BY_INTERRUPTION), (False, Reason.CANCEL_NOT_WANTED)],
)
def test_the_application_interrupts_before_audio_is_heard(*, cancel: bool, reason: Reason) -> None:
    call = talking()
    call.send(Interrupt(cancel=cancel))
    assert call.why() == [
        Reason.INTERRUPTED_BY_APPLICATION,
        Reason.CLEARED_AUDIO,
        reason,
        Reason.KEPT_UNTIL_DONE,
    ]
    call.model(item_done())
    assert call.why() == [Reason.DELETED_ONCE_DONE]


def test_an_item_that_is_done_and_unheard_is_deleted() -> None:
    call = talking()
    for event in (audio_done(), item_done(), response_done()):
        call.model(event)
    call.why()
    call.send(Interrupt())
    assert call.why() == [
        Reason.INTERRUPTED_BY_APPLICATION,
        Reason.CLEARED_AUDIO,
        Reason.CANCEL_TOO_LATE,
        Reason.DELETED_AS_UNHEARD,
    ]


def test_an_item_that_was_heard_to_its_end_is_kept() -> None:
    call = talking()
    call.model(audio_done())
    call.wait(3000)
    call.why()
    call.send(Interrupt())
    assert call.why() == [
        Reason.INTERRUPTED_BY_APPLICATION,
        Reason.KEPT_NO_AUDIO,
        Reason.CANCELLED_BY_INTERRUPTION,
        Reason.KEPT_AS_HEARD,
    ]
    call.model(item_done())
    assert call.why() == [Reason.KEPT_AS_TRUNCATED]


def test_an_item_that_the_application_deleted_is_kept() -> None:
    call = talking()
    call.send(DeleteItem("i"))
    call.send(Interrupt())
    call.model(item_done())
    assert call.why()[-2:] == [Reason.KEPT_AS_DELETED, Reason.KEPT_AS_DELETED]


def test_an_item_out_of_band_is_kept() -> None:
    call = ready()
    call.model(created("o", None))
    call.model(delta(4000, "o"))
    call.send(Interrupt())
    assert call.why()[-1] is Reason.KEPT_OUT_OF_BAND


# A response that was requested before an interruption.


@pytest.mark.parametrize(
    ("cancel", "reasons"),
    [
        (True, [Reason.CANCELLED_WHEN_CREATED, Reason.CANCELLED_ON_CREATE]),
        (False, [Reason.SILENCED_WHEN_CREATED, Reason.SUPPRESSED_ON_CREATE]),
    ],
)
def test_a_requested_response_is_interrupted(*, cancel: bool, reasons: list[Reason]) -> None:
    call = ready()
    call.send(CreateResponse())
    call.send(Interrupt(cancel=cancel))
    call.model(created())
    assert call.why() == [Reason.SENT_AT_ONCE, Reason.NOTHING_TO_STOP, *reasons]


def test_a_requested_response_is_played() -> None:
    call = ready()
    call.send(CreateResponse())
    call.send(OUT_OF_BAND)
    call.model(created())
    call.model(created("o", None))
    call.model(created())  # a second time, which decides nothing
    assert call.why() == [Reason.SENT_AT_ONCE] * 2 + [Reason.PLAYED_AS_REQUESTED] * 2


# Speech that is held.


def test_speech_out_of_band_and_clips_are_held_until_the_end() -> None:
    call = talking()
    call.model(created("o", None))
    call.model(delta(160, "o", "j"))
    call.model(delta(160, "o", "j"))
    call.send(Play(b"\x7f" * 160, "clip"))
    assert call.why() == [
        Reason.PLAYED_UNREQUESTED,
        Reason.HELD_BEHIND_SPEECH,
        Reason.CLIP_BEHIND_SPEECH,
    ]
    call.model(response_done())
    assert call.why() == [Reason.RELEASED_AT_END]


def test_held_speech_is_released_when_the_speaker_stalls() -> None:
    call = talking(on_model_silent=ModelSilencePolicy(ask_again=0, hang_up=False))
    call.model(created("o", None))
    call.model(delta(160, "o", "j"))
    call.why()
    call.wait(5001)
    assert Reason.RELEASED_AT_STALL in call.why()


def test_held_speech_is_dropped_by_an_interruption() -> None:
    call = talking()
    call.send(Play(b"\x7f" * 160, "clip"))
    call.send(Interrupt())
    assert Reason.DROPPED_HELD_SPEECH in call.why()


# Calls of functions and MCP tools.


def test_a_followup_waits_for_the_response_and_all_outputs() -> None:
    call = talking()
    call.model(function_call("f", item="j"))
    call.model(function_call("g", item="k"))
    call.send(SendFunctionOutput("f", "1"))
    assert call.why() == [Reason.FOLLOWUP_HELD_BY_RESPONSE]
    call.model(response_done())
    assert call.why() == [Reason.FOLLOWUP_HELD_BY_OUTPUT]
    call.send(SendFunctionOutput("g", "2"))
    assert call.why() == [Reason.REQUESTED_FOR_OUTCOMES, Reason.SENT_AT_ONCE]


def test_an_output_that_does_not_wait_is_followed_at_once() -> None:
    call = talking()
    call.model(function_call("f", item="j"))
    call.model(function_call("g", item="k"))
    call.model(response_done())
    call.send(SendFunctionOutput("f", "1", wait_for_others=False))
    assert call.why() == [Reason.REQUESTED_AT_ONCE, Reason.SENT_AT_ONCE]


def approval(item_id: str) -> dict[str, Any]:
    fields = {"server_label": "s", "name": "n", "arguments": "{}"}
    return {"id": item_id, "type": "mcp_approval_request", **fields}


def test_a_followup_waits_for_an_approval() -> None:
    call = talking()
    call.model(function_call("f", item="j"))
    call.model(type="response.output_item.done", response_id="r", item=approval("q"))
    call.model(response_done())
    call.send(SendFunctionOutput("f", "1"))
    assert call.why() == [Reason.FOLLOWUP_HELD_BY_APPROVAL]


def test_an_approval_of_an_unknown_response_is_followed_up() -> None:
    call = ready()
    call.model(type="conversation.item.done", item=approval("q"))
    call.send(AnswerApproval("q", approve=False))
    assert call.why() == [Reason.REQUESTED_FOR_MCP, Reason.SENT_AT_ONCE]


# What follows playback.


def test_a_hang_up_waits_for_speech_and_playback() -> None:
    call = talking()
    call.send(HangUp(after_playback=True))
    call.model(response_done())
    assert call.why() == [Reason.DEFERRED_BY_AUDIO]
    call.play(600)
    assert call.why() == [Reason.HANG_UP_AFTER_PLAYBACK]


def test_a_hang_up_waits_for_a_response_that_is_requested() -> None:
    call = ready()
    call.send(CreateResponse())
    call.send(HangUp(after_playback=True))
    call.phone(dtmf("1"))
    assert call.why() == [Reason.SENT_AT_ONCE, Reason.DEFERRED_BY_SPEECH]


def test_a_hang_up_at_once() -> None:
    call = talking()
    call.send(HangUp())
    assert call.why() == [Reason.HANG_UP_AT_ONCE]


def test_a_goodbye_that_is_interrupted_is_the_last_word() -> None:
    call = talking()
    call.send(HangUp(after_playback=True))
    call.model(speech_started())
    assert call.why()[-1] is Reason.HANG_UP_INTERRUPTED


def test_a_stream_that_plays_nothing_is_hung_up() -> None:
    call = talking()
    call.send(HangUp(after_playback=True))
    for _ in range(600):
        call.model(delta(4000))  # ten minutes of audio, whose marks never come
    call.why()
    call.wait(10_001)
    assert Reason.HANG_UP_STALLED in call.why()


def test_a_model_that_stays_silent_is_hung_up_on() -> None:
    call = talking(on_model_silent=ModelSilencePolicy(ask_again=0))
    call.send(OUT_OF_BAND)
    call.why()
    call.play(20_000)
    assert call.why()[0] is Reason.SILENCE_GIVEN_UP
    assert call.inner.has_ended or Reason.HANG_UP_AFTER_PLAYBACK in call.why()


def test_outputs_and_notices_follow_playback() -> None:
    call = talking()
    call.model(function_call("f", item="j"))
    call.send(SendFunctionOutput("f", "1", after_playback=True))
    call.send(NotifyAfterPlayback("done"))
    call.model(response_done())
    assert call.why() == [Reason.DEFERRED_BY_AUDIO]
    call.play(600)
    reasons = call.why()
    assert reasons[:2] == [Reason.RUN_AFTER_PLAYBACK, Reason.REQUESTED_FOR_OUTCOMES]
    assert Reason.SENT_AT_ONCE in reasons


# Sessions.


def test_a_lost_session_is_tried_again() -> None:
    call = ready()
    call.send(CreateResponse())
    call.why()
    call.closed(Peer.REALTIME, 1006)
    assert call.why() == [
        Reason.AGAIN_AFTER_LOSS,
        Reason.RETRIED_AFTER_LOSS,
        Reason.HELD_BY_SESSION,
    ]
    call.wait(300)
    call.closed(call.link, 1006)
    assert call.why() == [Reason.RETRIED_AFTER_ATTEMPT]


def test_a_request_that_was_cancelled_is_lost_with_its_session() -> None:
    call = ready()
    call.send(CreateResponse())
    call.send(CancelResponse())
    call.why()
    call.closed(Peer.REALTIME, 1006)
    assert Reason.DROPPED_AS_INTERRUPTED in call.why()


def test_a_response_that_nobody_heard_is_requested_of_the_next_session() -> None:
    call = ready()
    call.send(CreateResponse())
    call.model(created())
    call.why()
    call.closed(Peer.REALTIME, 1006)
    assert Reason.REQUESTED_FOR_LOST_SPEECH in call.why()


@pytest.mark.parametrize(
    ("config", "code", "reason"),
    [
        ({"reconnect": None}, 1006, Reason.GIVEN_UP_WITHOUT_POLICY),
        ({}, 1008, Reason.GIVEN_UP_AS_FINAL),
        (
            {"reconnect": ReconnectPolicy(max_attempts=1, timeout_ms=100)},
            1006,
            Reason.GIVEN_UP_AFTER_TIME,
        ),
    ],
)
def test_a_session_is_given_up(config: dict[str, Any], code: int, reason: Reason) -> None:
    call = ready(**config)
    call.closed(Peer.REALTIME, code)
    assert call.why()[0] is reason


def test_a_session_is_given_up_after_all_attempts() -> None:
    call = ready(reconnect=ReconnectPolicy(max_attempts=1))
    call.closed(call.link, 1006)
    call.wait(300)
    call.why()
    call.closed(call.link, 1006)
    assert call.why()[0] is Reason.GIVEN_UP_AFTER_ATTEMPTS


def test_a_session_that_is_never_ready_is_given_up() -> None:
    call = ExplainedCall.connected(CallConfig(reconnect=None))
    call.why()
    call.wait(60_000)
    assert call.why()[0] is Reason.GIVEN_UP_AFTER_TIME


def rotating() -> ExplainedCall:
    """A call whose next session is being opened."""
    call = ready(idle_timeout_ms=None)
    call.wait(3_480_000)
    call.opened(call.link)
    return call


def test_a_session_is_rotated_while_nobody_speaks() -> None:
    call = rotating()
    call.model(type="session.updated", session=SESSION)
    assert call.why() == [Reason.ROTATED_IN_SILENCE]


def test_a_session_is_rotated_before_it_expires() -> None:
    call = rotating()
    new, call.link = call.link, Peer.REALTIME
    call.model(speech_started())
    call.link = new
    call.model(type="session.updated", session=SESSION)
    call.why()
    call.wait(105_000)
    assert call.why() == [Reason.ROTATED_BY_FORCE]
    call.wait(3_000)
    assert call.why() == [Reason.TURN_NOT_REPORTED]


def test_a_turn_whose_words_are_known_is_answered_by_the_next_session() -> None:
    call = ready()
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(COMMITTED)
    content = [{"type": "input_audio", "transcript": "hello"}]
    call.model(item_added("u", role="user", content=content))
    call.why()
    call.closed(Peer.REALTIME, 1006)
    assert Reason.REQUESTED_FOR_LOST_TURN in call.why()


def test_an_item_of_an_earlier_session_is_kept() -> None:
    call = talking()
    call.model(audio_done())
    call.model(item_done())
    call.closed(Peer.REALTIME, 1006)
    call.why()
    call.send(Interrupt())
    assert Reason.KEPT_OF_OLD_SESSION in call.why()


def test_a_call_without_a_model_ends_once_all_was_heard() -> None:
    call = talking(reconnect=None)
    call.send(CreateResponse())
    call.closed(Peer.REALTIME, 1006)
    call.play(2000)
    assert call.why()[-1] is Reason.HANG_UP_WITHOUT_MODEL


def test_a_turn_whose_words_are_unknown_is_not_requested_again() -> None:
    call = ready()
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(COMMITTED)
    call.why()
    call.closed(Peer.REALTIME, 1006)
    assert call.why() == [Reason.RETRIED_AFTER_LOSS]


def test_each_response_that_is_held_says_so_once() -> None:
    call = talking()
    for response in ("o", "p", "o", "p"):
        call.model(created(response, None))
        call.model(delta(160, response, response))
    assert call.why().count(Reason.HELD_BEHIND_SPEECH) == 2
