"""The state of one call: its parts, follow-up requests, and how it ends."""

from collections.abc import Callable

import pytest

from calling import OTHER_SID, SESSION, Call, StepResult, created, delta, response_done, start
from twilio_realtime_core import (
    CallConfig,
    HangUp,
    Interrupt,
    ModelSilencePolicy,
    Peer,
    Play,
    SendMessage,
)
from twilio_realtime_core.call.state import CallState
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.config.call import SessionConfig
from twilio_realtime_core.machine.lifecycles import ResponseInput, SessionState, StreamState
from twilio_realtime_core.notifications import CallEnded, ClipFinished, EndReason
from twilio_realtime_core.protocols.realtime import Item
from twilio_realtime_core.protocols.twilio import Clear
from twilio_realtime_core.values.usage import Usage

NOTIFY = ModelSilencePolicy(ask_again=0, hang_up=False)
BOTH = [Peer.TWILIO, Peer.REALTIME]


def test_a_call_starts_with_nothing_open_or_due() -> None:
    parts = CallState(CallConfig())
    assert (parts.stream.state, parts.session.state) == (
        StreamState.UNOPENED,
        SessionState.UNOPENED,
    )
    assert (parts.ending.cause, parts.has_deferred, parts.timers.deadline) == (None, False, None)
    assert parts.outbox.take_actions() == []


def test_two_calls_share_no_part() -> None:
    config = CallConfig()
    one, two = CallState(config), CallState(config)
    one.after_playback.is_hangup_pending = True
    assert (one.has_deferred, two.has_deferred) == (True, False)


def test_events_before_the_session_is_ready_are_sent_in_order() -> None:
    call = Call.connected()
    assert call.send(SendMessage("Hello")).to_model == []
    done = call.model(type="session.updated", session=SESSION)
    assert [type(each).__name__ for each in done.to_model] == ["CreateItem", "CreateResponse"]


def hang_up(call: Call) -> StepResult:
    return call.send(HangUp())


def close_phone(call: Call) -> StepResult:
    return call.closed(Peer.TWILIO)


def lose_model(call: Call) -> StepResult:
    return call.closed(Peer.REALTIME, 1006)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (hang_up, EndReason.HUNG_UP),
        (close_phone, EndReason.CALLER_HUNG_UP),
        (lose_model, EndReason.REALTIME_LOST),
    ],
)
@pytest.mark.parametrize("first", BOTH)
def test_the_end_is_notified_once_with_its_first_cause(
    end: Callable[[Call], StepResult], reason: EndReason, first: Peer
) -> None:
    call = Call.ready(CallConfig(reconnect=None))
    told = list(end(call).notified(CallEnded))
    call.send(HangUp())
    for peer in (first, *(each for each in BOTH if each is not first)):
        if call.bridge.deadline is not None:
            told += call.closed(peer).notified(CallEnded)
    assert [each.reason for each in told] == [reason]
    assert call.bridge.deadline is None


def test_a_socket_whose_closing_is_not_reported_is_given_up() -> None:
    call = Call.ready(CallConfig(closing_timeout_ms=3_000))
    call.send(HangUp())
    assert call.wait(2_999).actions == []
    assert [type(each) for each in call.wait(1).events] == [CallEnded]
    assert call.bridge.deadline is None


def test_the_end_has_the_usage_of_all_responses() -> None:
    call = Call.ready()
    usage = {"input_tokens": 3, "output_tokens": 4}
    for name in ("r", "s"):
        call.model(created(name))
        call.model({**response_done(name), "response": {"id": name, "usage": usage}})
    call.send(HangUp())
    call.closed(Peer.REALTIME)
    (ended,) = call.closed(Peer.TWILIO).notified(CallEnded)
    once = Usage.from_json(usage)
    assert once is not None
    assert ended.usage == once + once


@pytest.mark.parametrize("command", [Interrupt(), Interrupt(cancel=False)])
def test_an_interruption_stops_all_audio_and_ends_the_goodbye(
    command: Interrupt,
) -> None:
    call = Call.talking(8000)
    call.send(Play(b"\x00" * 800, "hold", until_agent_speaks=True))
    call.send(HangUp(after_playback=True))
    call.wait(100)
    done = call.send(command)
    assert done.to_twilio == [Clear("MZ1")]
    assert done.notified(ClipFinished) == [ClipFinished("hold", 0, 0)]
    assert done.closes == BOTH


def test_an_interruption_of_nothing_does_not_end_the_call() -> None:
    call = Call.ready()
    call.send(SendMessage("Say goodbye."))
    call.send(HangUp(after_playback=True))
    assert call.send(Interrupt(cancel=False)).closes == []


def test_a_follow_up_is_requested_after_the_output() -> None:
    call = Call.ready()
    call.model(created())
    item = {"id": "f", "type": "function_call", "status": "completed", "name": "weather"}
    item = {**item, "call_id": "c1", "arguments": "{}"}
    call.model(type="response.output_item.done", response_id="r", item=item)
    assert call.model(response_done()).to_model == []
    done = call.send(SendFunctionOutput("c1", "{}"))
    assert [type(each).__name__ for each in done.to_model] == ["CreateItem", "CreateResponse"]


def call(call_id: str) -> Item:
    return Item(
        f"item of {call_id}",
        "function_call",
        status="completed",
        call_id=call_id,
        name="weather",
        arguments="{}",
    )


def requests_made(state: CallState) -> int:
    """How many responses are requested, or queued to be."""
    return state.requests.unanswered_count


def test_one_follow_up_is_requested_once_all_outputs_are_sent() -> None:
    """S81: several outputs cause one response."""
    state = CallState(CallConfig())
    first, second = (state.responses.get_or_create(each) for each in "rs")
    for record, call_id in ((first, "a"), (first, "b"), (second, "c")):
        state.function_calls.item_done(record, call(call_id))
        record.lifecycle.step(ResponseInput.DONE)
    state.function_calls.mark_answered("a")
    state.function_calls.mark_output_sent("a", respond=True)
    state.request_followup(first)
    assert requests_made(state) == 0
    state.function_calls.mark_answered("b")
    state.function_calls.mark_output_sent("b", respond=False)
    state.request_followup(second)
    assert requests_made(state) == 0
    state.request_followup(first)
    assert (requests_made(state), first.is_followup_requested) == (1, False)
    state.requests.open()
    state.request_followup(first)
    assert requests_made(state) == 1


def test_no_follow_up_is_requested_before_the_response_is_done() -> None:
    state = CallState(CallConfig())
    record = state.responses.get_or_create("r")
    record.is_followup_requested = True
    state.request_followup(record)
    assert (requests_made(state), record.is_followup_requested) == (0, True)
    record.lifecycle.step(ResponseInput.DONE)
    state.request_followup(record)
    assert (requests_made(state), record.is_followup_requested) == (1, False)


def test_no_follow_up_is_requested_while_an_approval_is_pending() -> None:
    state = CallState(CallConfig())
    record = state.responses.get_or_create("r")
    record.is_followup_requested = True
    record.lifecycle.step(ResponseInput.DONE)
    request = Item("a", "mcp_approval_request")
    state.mcp.output_item(record, request)
    state.mcp.item_done(request)
    state.request_followup(record)
    assert requests_made(state) == 0
    state.mcp.mark_answered("a", is_granted=False)
    state.request_followup(record)
    assert requests_made(state) == 1


def test_follow_ups_of_several_responses_are_one_request() -> None:
    state = CallState(CallConfig())
    records = [state.responses.get_or_create(each) for each in "rs"]
    for record in records:
        record.is_followup_requested = True
        record.lifecycle.step(ResponseInput.DONE)
    state.request_followup(*records)
    assert requests_made(state) == 1
    assert not any(each.is_followup_requested for each in records)


def test_no_follow_up_is_requested_without_an_output() -> None:
    state = CallState(CallConfig())
    record = state.responses.get_or_create("r")
    record.lifecycle.step(ResponseInput.DONE)
    state.request_followup(record)
    state.request_followup()
    assert requests_made(state) == 0


def test_a_goodbye_continues_while_there_are_signs_of_it() -> None:
    """S82."""
    call = Call.ready(CallConfig(on_model_silent=NOTIFY))
    call.model(created())
    for _ in range(40):
        call.model(delta(8000))
    call.send(HangUp(after_playback=True))
    call.wait(9_000)
    assert call.model(delta(800)).closes == []
    assert call.wait(9_999).closes == []
    assert call.wait(1).closes == BOTH


def test_a_peer_that_is_late_ends_the_call() -> None:
    call = Call.answered(CallConfig(start_timeout_ms=1_000))
    done = call.wait(1_000)
    assert (len(done.faults), done.closes) == (1, [Peer.TWILIO])


def test_the_session_is_opened_once_for_several_streams() -> None:
    call = Call.streaming(CallConfig(model="m", session=SessionConfig(), url="ws://model/v1"))
    assert call.phone(start(OTHER_SID)).urls == []


def test_queued_hold_audio_starts_after_the_playing_time() -> None:
    call = Call.ready()
    call.model(created())
    call.model(delta(800))
    call.model(response_done())
    call.send(Play(b"\x00" * 800, "hold", until_agent_speaks=True))
    assert call.wait(2_099).audio_samples == []
    assert sum(call.wait(1).audio_samples) == 800
