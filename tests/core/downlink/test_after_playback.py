"""What is deferred until all was heard: the end of the call, and function outputs."""

from typing import Any

import pytest

from calling import (
    Call,
    audio_done,
    created,
    delta,
    mark,
    response_done,
    speech_started,
    speech_stopped,
)
from twilio_realtime_core import (
    CallConfig,
    HangUp,
    Interrupt,
    LocalProtocolError,
    ModelSilencePolicy,
    Peer,
    Play,
)
from twilio_realtime_core.commands import NotifyAfterPlayback, SendFunctionOutput, SendMessage
from twilio_realtime_core.downlink.after_playback import (
    MAX_NOTICES,
    STALL_NS,
    AfterPlayback,
    DeferredOutput,
)
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import AllHeard, CallEnded, EndReason
from twilio_realtime_core.protocols.realtime import CreateResponse
from twilio_realtime_core.responses.requests import ANSWER_NS

NOTIFY = ModelSilencePolicy(ask_again=0, hang_up=False)
BOTH = [Peer.TWILIO, Peer.REALTIME]
STALL_MS = STALL_NS // MS


def saying_goodbye(*samples: int) -> Call:
    """The agent has generated its last words, after which the call is to end."""
    call = Call.talking(*samples)
    call.model(audio_done())
    call.model(response_done())
    assert call.send(HangUp(after_playback=True)).closes == []
    return call


def detail(call: Call) -> tuple[EndReason, str]:
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    return ended.reason, ended.detail


# The end of the call.


def test_the_call_ends_when_the_last_mark_is_echoed() -> None:
    """S82."""
    call = saying_goodbye(800)
    assert call.play(99).closes == []
    assert call.play(1).closes == BOTH
    assert detail(call) == (EndReason.HUNG_UP, "all was heard")


def test_a_call_that_ends_as_its_request_expires_has_one_unanswered() -> None:
    call = Call.ready(CallConfig(on_model_silent=NOTIFY))
    call.send(CreateResponse())
    call.send(HangUp(after_playback=True))
    assert call.wait(STALL_MS).closes == BOTH
    assert STALL_NS == ANSWER_NS
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.unanswered_requests == 1


def test_the_call_ends_without_marks_after_the_playing_time() -> None:
    """S86."""
    call = saying_goodbye(800)
    assert call.wait(2_099).closes == []
    assert call.wait(1).closes == BOTH
    assert detail(call) == (EndReason.HUNG_UP, "all was heard")


def test_the_call_ends_at_once_where_nothing_plays() -> None:
    assert Call.ready().send(HangUp(after_playback=True)).closes == BOTH


def test_the_first_hang_up_after_playback_counts() -> None:
    call = saying_goodbye(800)
    assert call.send(HangUp(after_playback=True)).closes == []
    assert call.play(100).closes == BOTH


def test_the_call_ends_after_clips_too() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 800, "goodbye"))
    assert call.send(HangUp(after_playback=True)).closes == []
    assert call.play(99).closes == []
    assert call.play(1).closes == BOTH


def test_the_call_ends_after_active_and_requested_responses() -> None:
    call = Call.ready()
    call.model(created())
    call.send(CreateResponse())
    assert call.send(HangUp(after_playback=True)).closes == []
    assert call.model(response_done()).closes == []
    call.model(created("s"))
    assert call.model(response_done("s")).closes == BOTH


@pytest.mark.parametrize("by_caller", [False, True])
def test_an_interruption_of_the_goodbye_ends_the_call(*, by_caller: bool) -> None:
    """S82."""
    call = saying_goodbye(8000)
    call.wait(100)
    done = call.model(speech_started()) if by_caller else call.send(Interrupt())
    assert done.closes == BOTH
    assert detail(call) == (EndReason.HUNG_UP, "the goodbye was interrupted")


def test_a_slowly_played_goodbye_is_not_cut() -> None:
    """S82."""
    call = Call.ready()
    call.model(created())
    marks = [name for _ in range(80) for name in call.model(delta(2000)).marks]  # of 20 s
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    for name in marks[:-1]:
        assert call.wait(300).closes == []  # playing takes longer than the audio lasts
        assert call.phone(mark(name)).closes == []
    assert call.phone(mark(marks[-1])).closes == BOTH


def test_a_stream_without_a_sign_of_playing_is_dead() -> None:
    """S82."""
    call = saying_goodbye(*[8000] * 30)
    assert call.wait(STALL_MS - 1).closes == []
    assert call.wait(1).closes == BOTH
    assert detail(call) == (EndReason.HUNG_UP, "the stream gave no sign of playing")


def test_a_goodbye_waits_for_a_caller_who_speaks_for_long() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.send(SendMessage("Say goodbye."))
    call.send(HangUp(after_playback=True))
    for _ in range(3):
        assert call.wait(STALL_MS).closes == []
    call.model(speech_stopped())
    call.model(type="input_audio_buffer.committed", item_id="u", previous_item_id=None)
    call.model(created())
    call.model(delta(800))
    call.model(audio_done())
    call.model(response_done())
    assert call.play(2_100).closes == BOTH


def test_audio_of_the_agent_is_a_sign_of_playing() -> None:
    call = Call.ready(CallConfig(on_model_silent=NOTIFY))
    call.model(created())
    for _ in range(15):
        call.model(delta(8000))
    call.send(HangUp(after_playback=True))
    for _ in range(3):
        assert call.wait(STALL_MS - 1).closes == []
        call.model(delta(80_000))
    assert call.wait(STALL_MS).closes == BOTH


# Function outputs.


def function_call(call_id: str) -> dict[str, Any]:
    item = {
        "id": f"item-{call_id}",
        "type": "function_call",
        "status": "completed",
        "name": "transfer",
        "call_id": call_id,
        "arguments": "{}",
    }
    return {"type": "response.output_item.done", "response_id": "r", "item": item}


def test_deferred_outputs_cause_one_response() -> None:
    """S81."""
    call = Call.talking(800)
    for each in ("c1", "c2"):
        call.model(function_call(each))
        assert call.send(SendFunctionOutput(each, "{}", after_playback=True)).to_model == []
    call.model(response_done())
    assert call.play(99).to_model == []
    kinds = [each.__class__.__name__ for each in call.play(1).to_model]
    assert kinds == ["CreateItem", "CreateItem", "CreateResponse"]


def test_deferred_outputs_are_taken_once_in_order() -> None:
    deferred = AfterPlayback()
    outputs = [DeferredOutput(each, "{}") for each in ("c1", "c2")]
    deferred.outputs += outputs
    assert deferred.take_outputs() == outputs
    assert deferred.take_outputs() == []


def test_a_deferred_output_is_sent_before_the_call_ends() -> None:
    call = Call.talking(800)
    call.model(function_call("c1"))
    call.send(SendFunctionOutput("c1", "{}", respond=False, after_playback=True))
    call.send(HangUp(after_playback=True))
    call.model(response_done())
    assert call.play(99).to_model == []
    done = call.play(1)
    assert [each.__class__.__name__ for each in done.to_model] == ["CreateItem"]
    assert done.closes == BOTH


# Notices.


def test_a_notice_comes_when_the_last_mark_is_echoed() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    assert call.send(NotifyAfterPlayback("goodbye")).events == []
    assert call.play(99).notified(AllHeard) == []
    assert call.play(1).notified(AllHeard) == [AllHeard("goodbye")]
    assert call.wait(60_000).notified(AllHeard) == []


def test_notices_where_nothing_plays_come_at_once() -> None:
    call = Call.ready()
    assert call.send(NotifyAfterPlayback("one")).notified(AllHeard) == [AllHeard("one")]
    assert call.send(NotifyAfterPlayback()).notified(AllHeard) == [AllHeard("")]


def test_a_notice_awaits_active_and_requested_responses() -> None:
    call = Call.ready()
    call.model(created())
    call.send(CreateResponse())
    assert call.send(NotifyAfterPlayback("one")).notified(AllHeard) == []
    assert call.model(response_done()).notified(AllHeard) == []
    call.model(created("s"))
    assert call.model(response_done("s")).notified(AllHeard) == [AllHeard("one")]


@pytest.mark.parametrize("by_caller", [False, True])
def test_an_interruption_brings_the_notice(*, by_caller: bool) -> None:
    call = Call.talking(8000)
    call.model(response_done())
    call.send(NotifyAfterPlayback("one"))
    call.wait(100)
    done = call.model(speech_started()) if by_caller else call.send(Interrupt())
    assert done.notified(AllHeard) == [AllHeard("one")]


def test_a_notice_awaits_the_response_to_a_deferred_output() -> None:
    call = Call.talking(800)
    call.model(function_call("c1"))
    call.send(SendFunctionOutput("c1", "{}", after_playback=True))
    call.send(NotifyAfterPlayback("one"))
    call.model(response_done())
    assert call.play(100).notified(AllHeard) == []
    call.model(created("s"))
    assert call.model(response_done("s")).notified(AllHeard) == [AllHeard("one")]


def test_a_notice_precedes_the_end_of_the_call() -> None:
    call = saying_goodbye(800)
    call.send(NotifyAfterPlayback("one"))
    done = call.play(100)
    assert (done.notified(AllHeard), done.closes) == ([AllHeard("one")], BOTH)


def test_notices_beyond_the_limit_are_refused() -> None:
    call = Call.talking(800)
    for _ in range(MAX_NOTICES):
        call.send(NotifyAfterPlayback("one"))
    with pytest.raises(LocalProtocolError, match="32 notifications"):
        call.send(NotifyAfterPlayback("one"))
