"""Sessions that are lost at any moment, twice, and callers who hang up meanwhile."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from calling import (
    SESSION,
    Call,
    StepResult,
    audio,
    created,
    delta,
    item_done,
    media,
    response_done,
    speech_started,
    start,
)
from twilio_realtime_core import (
    CallConfig,
    FaultKind,
    Peer,
    RealtimeLink,
    ReconnectPolicy,
    Refusal,
    SessionLossPolicy,
)
from twilio_realtime_core.commands import (
    AnswerApproval,
    Interrupt,
    SendFunctionOutput,
    SendMessage,
)
from twilio_realtime_core.notifications import (
    CallEnded,
    EndReason,
    SessionLost,
    SessionRestored,
    SessionRotated,
)
from twilio_realtime_core.protocols.realtime import AppendAudio, CreateItem, CreateResponse

CALLER = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
FUNCTION = {"id": "f", "type": "function_call", "call_id": "c", "name": "hours", "arguments": "{}"}
MCP_CALL = {"id": "m", "type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}"}
NEXT_CALL = CallConfig(reconnect=ReconnectPolicy(max_attempts=100), idle_timeout_ms=None)


def answer(item: Mapping[str, Any], status: str = "completed") -> list[dict[str, Any]]:
    """The echo of an item that was created."""
    of_server = {"id": "o", **item, "object": "realtime.item", "status": status}
    return [
        {"type": "conversation.item.added", "item": of_server},
        {"type": "conversation.item.done", "item": of_server},
    ]


def conversation() -> Call:
    """A call in which the caller has asked, a function was answered, and the agent has spoken."""
    call = Call.ready(NEXT_CALL)
    transcript = "input_audio_transcription"
    call.model(type="input_audio_buffer.committed", item_id="u")
    call.model(type="conversation.item.added", item=CALLER)
    call.model(
        type=f"conversation.item.{transcript}.completed",
        item_id="u",
        content_index=0,
        transcript="When are you open?",
    )
    call.model(created("r1"))
    call.model(type="conversation.item.added", item=FUNCTION)
    done = {**FUNCTION, "status": "completed"}
    call.model(type="response.output_item.added", response_id="r1", item=done)
    call.model(type="response.output_item.done", response_id="r1", item=done)
    call.model(response_done("r1"))
    sent = call.send(SendFunctionOutput("c", "9 to 5", respond=False)).to_model
    for event in answer(next(each.item for each in sent if isinstance(each, CreateItem))):
        call.model(event)
    call.model(created("r"))
    words: dict[str, Any] = {"response_id": "r", "item_id": "i", "content_index": 0}
    item: dict[str, Any] = {"id": "i", "type": "message", "role": "assistant", "content": []}
    call.model(type="conversation.item.added", item=item)
    call.model(type="response.output_audio_transcript.delta", **words, delta="From nine to five.")
    call.model(delta(1600))
    call.model(item_done())
    call.model(response_done())
    call.play(1000)
    return call


def texts_of(done: StepResult) -> list[tuple[str, str]]:
    """The items that are created: their types, and what they say."""
    items = [each.item for each in done.to_model if isinstance(each, CreateItem)]
    return [
        (
            str(each["type"]),
            "".join(part["text"] for part in each.get("content", ())) or each.get("output", ""),
        )
        for each in items
    ]


WHOLE = [
    ("message", "When are you open?"),
    ("function_call", ""),
    ("function_call_output", "9 to 5"),
    ("message", "From nine to five."),
]


def refusal(code: str) -> dict[str, Any]:
    error = {"type": "invalid_request_error", "code": code, "message": "it cannot be"}
    return {"type": "error", "error": error}


def lose(call: Call) -> StepResult:
    return call.closed(call.link, 1006)


def restored(call: Call) -> StepResult:
    call.wait(5000)
    return call.opened_and_configured()


@pytest.mark.parametrize("first", range(9))
@pytest.mark.parametrize("second", range(9))
def test_a_session_lost_while_it_is_restored_leaves_nothing_out(first: int, second: int) -> None:
    """The next two sessions are lost after so many events of theirs; the last one knows all."""
    call = conversation()
    lose(call)
    for count in (first, second):
        done = restored(call)
        assert texts_of(done) == WHOLE
        items = [each.item for each in done.to_model if isinstance(each, CreateItem)]
        echoes = [event for item in items for event in answer(dict(item))]
        for event in echoes[:count]:
            assert call.model(event).events == []
        assert lose(call).notified(SessionLost)[0].attempt == 1
    assert texts_of(restored(call)) == WHOLE
    assert len(call.bridge._bridge.items) == len(WHOLE)  # type: ignore[attr-defined] # noqa: SLF001


def fail_to_open(call: Call) -> StepResult:
    return lose(call)


def fail_by_refusal(call: Call) -> StepResult:
    return call.record(
        call.bridge.refused(call.link, Refusal(503, None, None, "overloaded"), call.now)
    )


def fail_when_open(call: Call) -> StepResult:
    call.opened(call.link)
    return lose(call)


def fail_when_created(call: Call) -> StepResult:
    call.opened(call.link)
    call.model(type="session.created", session={})
    return lose(call)


def fail_to_configure(call: Call) -> StepResult:
    call.opened(call.link)
    return call.model(refusal("invalid_value"))


def fail_in_format(call: Call) -> StepResult:
    call.opened(call.link)
    return call.model(type="session.updated", session={"audio": {"output": {"format": "opus"}}})


def fail_in_silence(call: Call) -> StepResult:
    call.opened(call.link)
    return call.wait(7_500)


FAILURES = [
    (fail_to_open, EndReason.REALTIME_UNREACHABLE),
    (fail_by_refusal, EndReason.REALTIME_UNREACHABLE),
    (fail_when_open, EndReason.REALTIME_LOST),
    (fail_when_created, EndReason.REALTIME_LOST),
    (fail_to_configure, EndReason.SESSION_REFUSED),
    (fail_in_format, EndReason.SESSION_REFUSED),
    (fail_in_silence, EndReason.SESSION_NOT_READY),
]
Fail = Callable[[Call], StepResult]


@pytest.mark.parametrize(("fail", "cause"), FAILURES)
def test_a_next_session_that_fails_is_another_attempt(fail: Fail, cause: EndReason) -> None:
    call = conversation()
    lose(call)
    call.wait(250)
    old = call.link
    (lost,) = fail(call).notified(SessionLost)
    assert (lost.cause, lost.attempt) == (cause, 2)
    call.wait(500)
    assert call.link != old
    assert texts_of(call.opened_and_configured()) == WHOLE
    # What is still received of the one that failed has no effect.
    late = created("late"), speech_started(), {"type": "session.updated", "session": SESSION}
    call.link, new = old, call.link
    for event in late:
        assert call.model(event).actions == []
    assert call.closed(old).actions == []
    call.link = new


@pytest.mark.parametrize(("fail", "cause"), FAILURES)
def test_a_call_whose_sessions_all_fail_ends_as_the_policy_says(
    fail: Fail, cause: EndReason
) -> None:
    reconnect = ReconnectPolicy(max_attempts=2, timeout_ms=60_000)
    loss = SessionLossPolicy(goodbye_clip=bytes(800))
    call = Call.ready(CallConfig(reconnect=reconnect, on_session_lost=loss))
    lose(call)
    call.wait(250)
    fail_to_open(call)
    call.wait(500)
    done = StepResult(fail(call).actions if fail is not fail_in_silence else silent(call))
    assert sum(done.audio_samples) == len(loss.goodbye_clip)
    done = call.play(1000)
    assert Peer.TWILIO in done.closes
    call.closed(call.link)
    (ended,) = call.closed(Peer.TWILIO).notified(CallEnded)
    assert ended.reason is cause


def silent(call: Call) -> list[Any]:
    call.opened(call.link)
    return call.wait(30_000).actions


def test_a_refusal_that_is_final_gives_up_in_a_later_session() -> None:
    call = Call.ready()
    lose(call)
    call.wait(250)
    call.opened(call.link)
    assert Peer.TWILIO in call.model(refusal("insufficient_quota")).closes


def test_a_restored_item_that_is_refused_is_a_fault_and_the_call_goes_on() -> None:
    call = conversation()
    lose(call)
    restored(call)
    done = call.model(refusal("invalid_value"))
    assert done.faults == [FaultKind.SERVER_ERROR]
    assert done.closes == []
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


# An old session that speaks after the switch.

LATE: list[dict[str, Any]] = [
    created("late"),
    delta(160),
    response_done("late"),
    speech_started(),
    {"type": "input_audio_buffer.committed", "item_id": "late"},
    {"type": "conversation.item.added", "item": {**CALLER, "id": "late"}},
    {"type": "session.updated", "session": {}},
    refusal("session_expired"),
]


@pytest.mark.parametrize("event", LATE, ids=[str(each["type"]) for each in LATE])
@pytest.mark.parametrize("is_rotated", [True, False])
def test_nothing_of_an_old_session_has_an_effect(
    event: dict[str, Any], *, is_rotated: bool
) -> None:
    call = Call.ready(NEXT_CALL)
    if is_rotated:
        call.wait(3_480_000)
        assert call.opened_and_configured().notified(SessionRotated)
    else:
        lose(call)
        restored(call)
    call.link, new = Peer.REALTIME, call.link
    assert call.model(event).actions == []
    call.link = new
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


@pytest.mark.parametrize("expires_at", [True, 1.5, -1, 10**30, [], {}])
def test_a_time_of_expiry_that_cannot_be_is_an_hour(expires_at: object) -> None:
    call = Call.ready(NEXT_CALL, {**SESSION, "expires_at": expires_at})
    assert call.wait(3_479_999).urls == []
    assert call.wait(1).urls


def test_each_session_is_rotated_in_its_turn() -> None:
    call = Call.ready(NEXT_CALL)
    for number in range(2, 5):
        assert call.wait(3_480_000).urls
        assert call.link == RealtimeLink(number)
        done = call.opened_and_configured()
        assert len(done.notified(SessionRotated)) == 1
        assert done.closes[0] == (Peer.REALTIME if number == 2 else RealtimeLink(number - 1))


# What the server does by itself.


def test_an_mcp_call_that_was_not_done_is_made_anew() -> None:
    call = Call.ready(NEXT_CALL)
    call.send(CreateResponse(event_id="mine"))
    call.model(created())
    call.model(type="conversation.item.added", item=MCP_CALL)
    call.model(type="response.output_item.added", response_id="r", item=MCP_CALL)
    call.model(type="response.mcp_call.in_progress", output_index=0, item_id="m")
    lose(call)
    done = restored(call)
    assert [each.event_id for each in done.to_model if isinstance(each, CreateResponse)] == ["mine"]
    call.model(created("s"))
    done = call.model(response_done("s"))
    assert not any(isinstance(each, CreateResponse) for each in done.to_model)


def test_an_mcp_call_that_is_done_is_lost_and_said() -> None:
    call = Call.ready(NEXT_CALL)
    call.model(created())
    called = {**MCP_CALL, "output": "9 to 5"}
    call.model(type="conversation.item.added", item=MCP_CALL)
    call.model(type="response.output_item.added", response_id="r", item=MCP_CALL)
    call.model(type="response.mcp_call.in_progress", output_index=0, item_id="m")
    call.model(type="response.output_item.done", response_id="r", item=called)
    call.model(type="conversation.item.done", item=called)
    call.model(type="response.mcp_call.completed", output_index=0, item_id="m")
    lose(call)
    done = restored(call)
    assert done.notified(SessionRestored) == [SessionRestored((), ("m",), {})]
    assert any(isinstance(each, CreateResponse) for each in done.to_model)


APPROVAL = {"id": "a", "type": "mcp_approval_request", "server_label": "s", "name": "n"}


def test_an_approval_is_not_asked_for_again_without_responses_to_mcp() -> None:
    call = Call.ready(CallConfig(respond_to_mcp=False))
    call.model(type="conversation.item.done", item=APPROVAL)
    lose(call)
    assert restored(call).to_model == []


def test_a_rotation_waits_for_an_approval() -> None:
    call = Call.ready(NEXT_CALL)
    call.model(type="conversation.item.done", item=APPROVAL)
    call.wait(3_480_000)
    assert call.opened_and_configured().notified(SessionRotated) == []
    assert call.send(AnswerApproval("a", approve=True)).notified(SessionRotated) == []
    call.link, new = Peer.REALTIME, call.link
    called = {**MCP_CALL, "approval_request_id": "a", "output": "9 to 5"}
    call.model(type="conversation.item.done", item=called)
    call.model(created())
    assert call.model(response_done()).notified(SessionRotated)
    call.link = new


def test_an_approval_that_was_granted_is_asked_for_again_with_its_call() -> None:
    call = Call.ready(NEXT_CALL)
    call.model(type="conversation.item.done", item=APPROVAL)
    call.send(AnswerApproval("a", approve=True))
    lose(call)
    done = restored(call)
    assert [type(each) for each in done.to_model] == [CreateResponse]


def test_a_refused_approval_lets_the_next_session_take_over() -> None:
    call = Call.ready(CallConfig(respond_to_mcp=False, idle_timeout_ms=None))
    call.model(type="conversation.item.done", item=APPROVAL)
    call.wait(3_480_000)
    call.opened_and_configured()
    assert call.send(AnswerApproval("a", approve=False)).notified(SessionRotated)


# A caller who hangs up.


def lost(call: Call) -> None:
    lose(call)


def connecting(call: Call) -> None:
    lose(call)
    call.wait(250)


def open_again(call: Call) -> None:
    connecting(call)
    call.opened(call.link)


def restoring(call: Call) -> None:
    lose(call)
    restored(call)


def interrupted_meanwhile(call: Call) -> None:
    lose(call)
    call.send(SendMessage("hello"))
    call.send(Interrupt())


def rotating(call: Call) -> None:
    call.wait(3_480_000)


def next_is_open(call: Call) -> None:
    rotating(call)
    call.opened(call.link)


def next_waits(call: Call) -> None:
    rotating(call)
    call.link, new = Peer.REALTIME, call.link
    call.model(speech_started())
    call.link = new
    call.opened_and_configured()


def asked(call: Call) -> None:
    call.closed(call.link, 1008)


MOMENTS = [
    *(lost, connecting, open_again, restoring, interrupted_meanwhile),
    *(rotating, next_is_open, next_waits, asked),
]


@pytest.mark.parametrize("leave", ["closed", "lost", "stop", "stop and closed"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_caller_hangs_up_at_any_moment(moment: Callable[[Call], None], leave: str) -> None:
    config = CallConfig(
        idle_timeout_ms=None, on_session_lost=SessionLossPolicy(ask_timeout_ms=2000)
    )
    call = Call.ready(config)
    moment(call)
    done = StepResult([])
    if leave.startswith("stop"):
        done = call.phone({"event": "stop", "streamSid": start()["start"]["streamSid"]})
    if leave != "stop":
        done = StepResult(
            [*done.actions, *call.closed(Peer.TWILIO, 1006 if leave == "lost" else 1000).actions]
        )
    done = StepResult([*done.actions, *call.wait(20_000).actions])
    assert len(done.notified(CallEnded)) == 1
    assert done.urls == []
    assert call.bridge.deadline is None
    assert call.wait(4_000_000).actions == []
