"""Who speaks when: nobody talks over anybody, and every request ends."""

from base64 import b64decode
from typing import Any

import pytest

from calling import (
    PCMU,
    SID,
    Call,
    StepResult,
    audio_done,
    created,
    delta,
    function_call,
    item_added,
    item_done,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
)
from twilio_realtime_core import (
    CallConfig,
    Fault,
    FaultKind,
    HangUp,
    Interrupt,
    InterruptionPolicy,
    LocalProtocolError,
    ModelSilencePolicy,
    Peer,
    Play,
    SendFunctionOutput,
    SendMessage,
    ServerVad,
    SessionConfig,
)
from twilio_realtime_core.machine.actions import Close
from twilio_realtime_core.notifications import (
    CallEnded,
    ClipFinished,
    EndReason,
    Interrupted,
    InterruptionBlocked,
    ModelSilent,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
)
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    ClearInputAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    UpdateSession,
)
from twilio_realtime_core.protocols.twilio import Clear, Media

COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u"}
BUSY = "conversation_already_has_active_response"
OUT_OF_BAND = {"conversation": "none"}
FIRST_PROTECTED = InterruptionPolicy(protect_first=True)


def session(**detection: Any) -> dict[str, Any]:
    heard = {"format": PCMU, "turn_detection": {"type": "server_vad", **detection}}
    return {"type": "realtime", "audio": {"input": heard, "output": {"format": PCMU}}}


def requests(*steps: StepResult) -> list[CreateResponse]:
    return [each for step in steps for each in step.to_model if isinstance(each, CreateResponse)]


def cancels(step: StepResult) -> list[str | None]:
    return [each.response_id for each in step.to_model if isinstance(each, CancelResponse)]


def with_open_call(call: Call) -> Call:
    """The model has called the function `f`, and its response is done."""
    call.model(created("r0"))
    call.model(function_call("f", "r0"))
    call.model(response_done("r0"))
    return call


def turn_of(call: Call, answer: str | None = None) -> list[StepResult]:
    """The caller says something, which the server answers at once."""
    steps = [call.model(each) for each in (speech_started(), speech_stopped(), COMMITTED)]
    return steps if answer is None else [*steps, call.model(created(answer))]


def output_added(call_id: str = "f") -> dict[str, Any]:
    return item_added("o", type="function_call_output", role=None, call_id=call_id, output="{}")


# Automatic requests wait while the caller has the turn.


def test_an_output_while_the_caller_speaks_is_covered_by_their_turn() -> None:
    call = with_open_call(Call.ready())
    call.model(speech_started())
    call.wait(600)
    sent = call.send(SendFunctionOutput("f", "{}"))
    assert [type(each) for each in sent.to_model] == [CreateItem]
    steps = [
        call.model(output_added()),
        call.model(speech_stopped()),
        call.model(COMMITTED),
        call.model(created("r1")),
        call.model(delta(800, "r1")),
        call.model(response_done("r1")),
        call.wait(20_000),
    ]
    assert requests(sent, *steps) == []


def test_an_output_sent_after_the_answer_was_created_gets_its_own() -> None:
    call = with_open_call(Call.ready())
    turn_of(call, "r1")
    assert requests(call.send(SendFunctionOutput("f", "{}"))) == []
    assert len(requests(call.model(response_done("r1")))) == 1


def test_an_output_that_crosses_the_answer_gets_its_own() -> None:
    """The server had created the response before it had the output: the echo comes later."""
    call = with_open_call(Call.ready())
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(COMMITTED)
    assert requests(call.send(SendFunctionOutput("f", "{}"))) == []
    call.model(created("r1"))
    assert requests(call.model(output_added())) == []
    assert len(requests(call.model(response_done("r1")))) == 1


def test_an_output_whose_echo_is_no_longer_awaited_counts_as_echoed() -> None:
    call = with_open_call(Call.ready())
    turn_of(call, "r1")
    call.send(SendFunctionOutput("f", "{}"))
    for number in range(256):
        call.send(SendMessage(f"{number}", respond=False))
    call.model(created("r2"))
    call.model(output_added())
    assert requests(call.model(response_done("r2"))) == []


def user_added(item: str) -> dict[str, Any]:
    return item_added(item, role="user", content=[{"type": "input_text", "text": "x"}])


def test_messages_that_were_echoed_before_an_answer_are_covered_by_it() -> None:
    call = Call.ready()
    first, second = call.send(SendMessage("x")), call.send(SendMessage("x"))
    assert (len(requests(first)), requests(second)) == (1, [])
    call.model(user_added("u1"))
    call.model(user_added("u2"))
    call.model(created("r1"))
    assert requests(call.model(response_done("r1"))) == []


@pytest.mark.parametrize(("echoes", "count"), [(["mine"], 0), (["mine", "u1"], 1)])
def test_the_echo_of_an_item_is_known_by_its_id(echoes: list[str], count: int) -> None:
    call = Call.ready()
    call.model(created("r0"))
    call.send(SendMessage("x"))
    call.send(CreateItem(user_added("mine")["item"]))
    call.model(created("r1"))
    for each in echoes:
        call.model(user_added(each))
    assert len(requests(call.model(response_done("r1")))) == count


def test_without_responses_of_the_server_a_request_waits_for_the_commit() -> None:
    call = with_open_call(Call.ready(session=session(create_response=False)))
    call.model(speech_started())
    assert requests(call.send(SendFunctionOutput("f", "{}"))) == []
    assert requests(call.model(speech_stopped())) == []
    assert len(requests(call.model(COMMITTED))) == 1


def test_without_turn_detection_nothing_waits() -> None:
    off = session()
    off["audio"]["input"]["turn_detection"] = None
    call = with_open_call(Call.ready(session=off))
    assert len(requests(call.send(SendFunctionOutput("f", "{}")))) == 1


def test_turn_detection_that_is_switched_off_releases_what_waits() -> None:
    call = with_open_call(Call.ready())
    call.model(speech_started())
    call.send(SendFunctionOutput("f", "{}"))
    off = session()
    off["audio"]["input"]["turn_detection"] = None
    assert len(requests(call.model(type="session.updated", session=off))) == 1


@pytest.mark.parametrize("after_playback", [False, True])
def test_all_automatic_requests_wait(*, after_playback: bool) -> None:
    call = with_open_call(Call.ready())
    call.model(speech_started())
    steps = [
        call.send(SendMessage("hello")),
        call.send(SendFunctionOutput("f", "{}", after_playback=after_playback)),
        call.model(speech_stopped()),
    ]
    assert requests(*steps) == []


def test_the_follow_up_of_an_mcp_call_waits() -> None:
    call = Call.ready()
    call.model(speech_started())
    item = {"id": "m", "type": "mcp_call", "name": "t", "output": "x"}
    done = call.model(type="conversation.item.done", item=item)
    assert requests(done) == []
    assert requests(*turn_of(call, "r1"), call.model(response_done("r1"))) == []


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_turn_that_is_never_answered_releases_what_waits(*, is_committed: bool) -> None:
    call = with_open_call(Call.ready())
    call.model(speech_started())
    call.send(SendFunctionOutput("f", "{}"))
    call.model(speech_stopped())
    if is_committed:
        call.model(COMMITTED)
    assert requests(call.wait(2_999)) == []
    done = call.wait(1)
    assert len(requests(done)) == 1
    assert done.faults == [FaultKind.TIMED_OUT]


def without_detection() -> dict[str, Any]:
    off = session()
    off["audio"]["input"]["turn_detection"] = None
    return off


def test_a_turn_is_over_when_turn_detection_is_switched_off() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.model(type="session.updated", session=without_detection())
    call.wait(1_000)
    call.model(type="session.updated", session=session())
    assert len(requests(call.send(CreateResponse()))) == 1


def test_a_paused_turn_ends_without_a_fault_when_detection_is_switched_off() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(type="session.updated", session=without_detection())
    assert call.wait(5_000).faults == []


def test_a_turn_is_over_when_its_audio_is_cleared() -> None:
    policy = InterruptionPolicy(after_speech_ms=300)
    call = Call.ready(CallConfig(interruption=policy), session(interrupt_response=False))
    call.model(created())
    call.model(delta(8_000))
    call.model(speech_started())
    call.send(ClearInputAudio())
    assert call.play(900).notified(Interrupted) == []
    call.model(response_done())
    assert len(requests(call.send(CreateResponse()))) == 1


def test_a_committed_turn_goes_on_though_the_audio_is_cleared() -> None:
    call = Call.ready()
    turn_of(call)
    call.send(ClearInputAudio())
    assert requests(call.send(SendMessage("x"))) == []


@pytest.mark.parametrize("lost", [[], [COMMITTED]])
def test_the_response_to_a_turn_whose_end_was_lost_ends_it(lost: list[dict[str, Any]]) -> None:
    call = Call.ready()
    call.model(speech_started())
    for event in lost:
        call.model(event)
    with_open_call(call)
    assert len(requests(call.send(SendFunctionOutput("f", "{}")))) == 1


def test_a_response_that_is_announced_twice_ends_no_turn() -> None:
    call = Call.ready()
    turn_of(call, "r")
    call.model(response_done("r"))
    call.model(speech_started())
    call.model(created("r"))
    call.model(response_done("r"))
    assert requests(call.send(CreateResponse())) == []


def test_the_response_to_an_earlier_turn_does_not_end_the_next() -> None:
    call = Call.ready()
    turn_of(call)
    call.model(speech_started())
    call.model(created("r"))
    call.model(response_done("r", "cancelled"))
    assert requests(call.send(SendMessage("x"))) == []


def test_the_answer_to_a_request_does_not_end_a_turn() -> None:
    call = Call.ready()
    call.send(CreateResponse(waits_for_caller=False))
    call.model(speech_started())
    call.model(COMMITTED)
    call.model(created("r"))
    call.model(response_done("r"))
    assert requests(call.send(SendMessage("x"))) == []


def test_a_turn_is_awaited_though_a_request_was_answered_before_its_commit() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(created("r1"))
    call.model(response_done("r1", "cancelled"))
    assert requests(call.send(SendMessage("x")), call.model(COMMITTED), call.wait(2_999)) == []
    assert len(requests(call.wait(1))) == 1


def test_a_turn_that_is_committed_twice_is_answered_once() -> None:
    call = Call.ready()
    turn_of(call, "r")
    call.model(delta(8_000))
    assert call.model(COMMITTED).faults == [FaultKind.UNEXPECTED]
    assert requests(call.model(response_done())) == []


def test_a_turn_during_a_response_that_goes_on_silently_is_answered_after_it() -> None:
    config = CallConfig(interruption=InterruptionPolicy(allowed=False))
    call = Call.ready(config, session(interrupt_response=False))
    call.model(created())
    call.model(delta(8_000))
    call.send(Interrupt(cancel=False))
    turn_of(call)
    assert len(requests(call.model(response_done()))) == 1


def test_a_turn_that_is_never_answered_ends_the_call_in_ten_seconds() -> None:
    call = Call.ready()
    turn_of(call)
    assert call.wait(5_000).notified(ModelSilent) == [ModelSilent(5_000, (), is_asked_again=True)]
    assert call.wait(4_999).closes == []
    assert call.wait(1).closes


def test_a_turn_that_was_committed_during_speech_ends_after_a_time() -> None:
    """The application has committed it, and the server reports no end of the speech."""
    call = Call.ready()
    call.model(speech_started())
    call.send(CommitAudio())
    call.model(COMMITTED)
    assert requests(call.send(CreateResponse()), call.wait(2_999)) == []
    done = call.wait(1)
    assert len(requests(done)) == 1
    assert done.faults == []


def test_a_turn_that_goes_on_holds_what_waits() -> None:
    call = with_open_call(Call.ready())
    call.model(speech_started())
    call.send(SendFunctionOutput("f", "{}"))
    call.model(speech_stopped())
    call.wait(2_000)
    call.model(speech_started())
    assert requests(call.wait(60_000)) == []


def test_a_request_by_hand_waits_unless_it_says_not_to() -> None:
    call = Call.ready()
    call.model(speech_started())
    assert requests(call.send(CreateResponse(event_id="waits"))) == []
    now = CreateResponse(event_id="now", waits_for_caller=False)
    assert requests(call.send(now)) == [now]
    assert now.encode() == '{"type":"response.create","event_id":"now"}'
    call.model(created("r1"))
    turn_of(call, "r2")
    assert requests(call.model(response_done("r1"))) == []
    assert [each.event_id for each in requests(call.model(response_done("r2")))] == ["waits"]


@pytest.mark.parametrize("create_response", [True, False])
def test_requests_wait_though_the_server_does_not_describe_turn_detection(
    *, create_response: bool
) -> None:
    detection = ServerVad(create_response=create_response)
    config = CallConfig(session=SessionConfig(turn_detection=detection))
    formats = {"audio": {"input": {"format": PCMU}, "output": {"format": PCMU}}}
    call = with_open_call(Call.ready(config, formats))
    call.model(speech_started())
    call.wait(600)
    assert requests(call.send(SendFunctionOutput("f", "{}"))) == []
    call.model(output_added())
    call.model(speech_stopped())
    assert len(requests(call.model(COMMITTED))) == (not create_response)


def test_requests_do_not_wait_where_turn_detection_was_asked_to_be_off() -> None:
    config = CallConfig(session=SessionConfig(turn_detection=None))
    formats = {"audio": {"input": {"format": PCMU}, "output": {"format": PCMU}}}
    call = Call.ready(config, formats)
    call.model(speech_started())
    assert len(requests(call.send(SendMessage("hello")))) == 1


@pytest.mark.parametrize("is_asked_again", [True, False])
def test_a_late_answer_does_not_end_the_turn_of_the_caller(*, is_asked_again: bool) -> None:
    policy = ModelSilencePolicy(ask_again=int(is_asked_again), hang_up=False)
    call = with_open_call(Call.ready(CallConfig(on_model_silent=policy)))
    call.send(CreateResponse({"instructions": "Greet the caller."}))
    if is_asked_again:
        assert len(requests(call.wait(5_000))) == 1
        call.model(created("r1"))
        call.model(response_done("r1"))
    else:
        assert call.wait(10_000).notified(Fault)
    call.model(speech_started())
    call.wait(500)
    call.model(created("late"))
    call.model(response_done("late"))
    assert requests(call.send(SendFunctionOutput("f", "{}"))) == []
    call.model(output_added())
    call.model(speech_stopped())
    assert requests(call.model(COMMITTED)) == []


def test_text_out_of_band_waits_for_nobody() -> None:
    call = Call.ready()
    call.model(speech_started())
    silent = CreateResponse({**OUT_OF_BAND, "output_modalities": ["text"]})
    assert len(requests(call.send(silent))) == 1
    assert requests(call.send(CreateResponse(OUT_OF_BAND))) == []


def test_speech_that_resumes_while_a_request_waits_interrupts_nobody() -> None:
    config = CallConfig(interruption=InterruptionPolicy(allowed=False))
    call = Call.ready(config, session(interrupt_response=False))
    call.model(speech_started())
    call.send(SendMessage("hello"))
    call.model(speech_stopped())
    assert call.model(speech_started()).notified(InterruptionBlocked) == []


# Requests that end.


def test_the_answer_to_the_turn_is_heard_though_a_request_has_none() -> None:
    call = Call.ready()
    assert len(requests(call.send(SendMessage("hello")))) == 1
    call.wait(4_000)
    turn = turn_of(call, "r2")
    heard = call.model(delta(800, "r2", "i2"))
    assert [cancels(each) for each in turn] == [[]] * len(turn)
    assert heard.audio_samples == [160, 640]
    done = [call.model(item_done("r2", "i2")), call.model(response_done("r2"))]
    assert not any(isinstance(e, DeleteItem) for each in done for e in each.to_model)
    assert len(requests(call.send(SendMessage("more")))) == 1


def test_a_request_without_an_answer_ends_after_ten_seconds() -> None:
    off = session()
    off["audio"]["input"]["turn_detection"] = None
    call = Call.ready(session=off)
    call.send(CreateResponse(event_id="first"))
    call.send(CreateResponse(event_id="second"))
    ended: list[StepResult] = []
    for _ in range(10):  # other events come
        ended.append(call.wait(1_000))
        call.model(type="rate_limits.updated", rate_limits=[])
    assert [each.event_id for each in requests(*ended)] == ["second"]
    assert [each.faults for each in ended] == [[]] * 9 + [[FaultKind.TIMED_OUT]]


def test_a_missing_answer_out_of_band_is_notified() -> None:
    call = Call.ready(CallConfig(on_model_silent=ModelSilencePolicy(ask_again=0, hang_up=False)))
    call.send(CreateResponse(OUT_OF_BAND))
    faults: list[FaultKind] = []
    for _ in range(10):
        faults += call.wait(1_000).faults
        call.model(type="rate_limits.updated", rate_limits=[])
    assert faults == [FaultKind.TIMED_OUT]


def test_an_out_of_band_request_without_an_answer_ends_as_well() -> None:
    call = Call.ready(CallConfig(on_model_silent=ModelSilencePolicy(ask_again=0, hang_up=False)))
    call.send(CreateResponse(OUT_OF_BAND))
    call.send(HangUp(after_playback=True))
    ended: list[Any] = []
    for _ in range(12):
        ended += call.wait(1_000).closes
        if not ended:
            call.model(type="rate_limits.updated", rate_limits=[])
    assert ended


@pytest.mark.parametrize(
    "error",
    [
        {"message": "The server had an error", "type": "server_error"},
        {"message": "no", "type": "invalid_request_error", "code": "unheard_of"},
        {"message": "no", "type": "x", "code": "response_create_failed"},
        {"message": "no", "type": "x", "code": "y", "param": "response.input"},
    ],
)
def test_an_error_without_an_event_id_refuses_the_only_request(error: dict[str, Any]) -> None:
    call = Call.ready()
    call.send(CreateResponse(event_id="first"))
    call.send(CreateResponse(event_id="second"))
    done = call.model(type="error", error=error)
    assert [each.event_id for each in done.notified(ResponseRefused)] == ["first"]
    assert [each.event_id for each in requests(done)] == ["second"]


@pytest.mark.parametrize(
    "error",
    [
        {"message": "x", "code": "item_truncate_invalid_item_id"},
        {"message": "x", "code": "input_audio_buffer_commit_empty"},
        {"message": "Audio content of 50ms is already shorter than 60ms", "code": "invalid_value"},
        {"message": "x", "param": "item.content"},
        {"message": "conversation.item.create is refused"},
        {"message": "x", "event_id": "of_nobody"},
    ],
)
def test_an_error_of_another_event_refuses_no_request(error: dict[str, Any]) -> None:
    call = Call.ready()
    call.send(CreateResponse())
    done = call.model(type="error", error={"type": "invalid_request_error", **error})
    assert done.notified(ResponseRefused) == []
    assert done.faults == [FaultKind.SERVER_ERROR]


def test_an_error_that_may_refuse_two_requests_is_taken_for_the_first() -> None:
    """Of the conversation: it would block all that come after it. It may be answered all the same,
    and what the server says of it then is a fault."""
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND, "o"))
    call.send(CreateResponse(event_id="c"))
    unnamed = call.model(server_error("no 'response.x'", code="response_create_failed"))
    assert [each.event_id for each in unnamed.notified(ResponseRefused)] == ["c"]
    assert call.model(server_error("busy", "c", BUSY)).faults == [FaultKind.SERVER_ERROR]
    assert call.model(created("r", None)).faults == []


def test_a_refusal_of_one_request_keeps_the_later_ones_that_it_covered() -> None:
    call = Call.ready()
    call.model(created("r1"))
    for _ in range(3):
        call.send(SendMessage("hello"))
    (first,) = requests(call.model(response_done("r1")))
    again = call.model(server_error("no", first.event_id, "invalid_value"))
    assert len(requests(again)) == 1
    assert again.notified(ResponseRefused) == []
    assert again.faults == [FaultKind.SERVER_ERROR]


def test_a_refusal_of_one_automatic_request_is_final() -> None:
    call = Call.ready()
    (first,) = requests(call.send(SendMessage("hello")))
    done = call.model(server_error("no", first.event_id, "invalid_value"))
    assert requests(done) == []
    assert len(done.notified(ResponseRefused)) == 1


def test_a_request_that_met_the_answer_to_its_items_is_not_made_again() -> None:
    call = with_open_call(Call.ready())
    (first,) = requests(call.send(SendFunctionOutput("f", "{}")))
    call.model(output_added())
    call.model(created("r1"))  # by turn detection, which has crossed the request
    refused = call.model(server_error("busy", first.event_id, BUSY))
    assert requests(refused, call.model(response_done("r1"))) == []


# Refused configurations.


def test_an_error_without_an_event_id_refuses_the_configuration() -> None:
    call = Call.connected()
    done = call.model(server_error("Invalid 'session.audio'"))
    assert done.notified(Fault)[0].message == "Invalid 'session.audio'"
    assert any(isinstance(each, Close) for each in done.actions)
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.SESSION_REFUSED, "Invalid 'session.audio'")


def test_an_error_of_the_server_itself_does_not_refuse_the_configuration() -> None:
    call = Call.connected()
    error = {"type": "server_error", "message": "The server had an error", "event_id": None}
    done = call.model(type="error", error=error)
    assert done.faults == [FaultKind.SERVER_ERROR]
    assert done.closes == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no tracing", None),
        ("no tracing with session.update", None),
        ("Cannot update tracing: it was started", "cannot_update_tracing"),
    ],
)
def test_a_refusal_without_an_event_id_settles_the_oldest_update(
    message: str, code: str | None
) -> None:
    call = Call.ready()
    first = {"type": "realtime", "tracing": "auto"}
    call.send(UpdateSession(first))
    refusal = server_error(message, code=code)
    assert call.model(refusal).faults == [FaultKind.SERVER_ERROR]
    another = {"type": "realtime", "tracing": {"workflow_name": "x"}}
    assert len(call.send(UpdateSession(another)).to_model) == 1  # tracing is not on


# Out-of-band speech is speech.


def test_a_hang_up_after_playback_waits_for_out_of_band_speech() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    assert call.send(HangUp(after_playback=True)).closes == []
    assert call.model(created("o", None)).closes == []
    assert call.model(delta(1600, "o", "x")).closes == []
    assert call.model(response_done("o", conversation=None)).closes == []
    assert call.play(150).closes == []
    assert call.play(100).closes


def test_a_deferred_output_waits_for_out_of_band_speech() -> None:
    call = with_open_call(Call.ready())
    call.send(CreateResponse(OUT_OF_BAND))
    assert call.send(SendFunctionOutput("f", "{}", after_playback=True)).to_model == []
    call.model(created("o", None))
    call.model(delta(1600, "o", "x"))
    assert call.model(response_done("o", conversation=None)).to_model == []
    assert [type(each) for each in call.play(300).to_model] == [CreateItem, CreateResponse]


def test_text_out_of_band_does_not_keep_the_line() -> None:
    call = Call.ready()
    call.send(CreateResponse({**OUT_OF_BAND, "output_modalities": ["text"]}))
    assert call.send(HangUp(after_playback=True)).closes


def test_out_of_band_speech_that_was_to_start_is_interrupted() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(created("o", None))
    done = call.model(speech_started())
    assert cancels(done) == ["o"]
    assert len(done.notified(Interrupted)) == 1
    assert call.model(delta(1600, "o", "x")).to_twilio == []


def test_out_of_band_speech_that_was_requested_is_interrupted() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(speech_started())
    assert cancels(call.model(created("o", None))) == ["o"]
    assert call.model(delta(1600, "o", "x")).to_twilio == []


def test_text_out_of_band_that_is_requested_is_not_interrupted() -> None:
    call = Call.ready()
    call.send(CreateResponse({**OUT_OF_BAND, "output_modalities": ["text"]}))
    call.send(Interrupt())
    assert cancels(call.model(created("o", None))) == []


def test_text_out_of_band_is_not_interrupted() -> None:
    call = Call.ready()
    call.send(CreateResponse({**OUT_OF_BAND, "output_modalities": ["text"]}))
    call.model(speech_started())
    body = {"id": "o", "conversation_id": None, "output_modalities": ["text"]}
    assert cancels(call.model(type="response.created", response=body)) == []
    assert cancels(call.model(speech_stopped())) == []
    assert cancels(call.model(speech_started())) == []


def sources(*steps: StepResult) -> str:
    """What the samples sent are of, a letter for each 10 ms: their value."""
    sent = [each for step in steps for each in step.to_twilio if isinstance(each, Media)]
    return "".join(chr(each) for each in b"".join(b64decode(m.payload) for m in sent)[::80])


def test_responses_that_alternate_are_heard_one_after_the_other() -> None:
    call = Call.ready()
    call.model(created("r"))
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(created("o", None))
    steps: list[StepResult] = []
    for _ in range(3):
        steps.append(call.model(delta(800, "r", "i", value=ord("r"))))
        steps.append(call.model(delta(800, "o", "x", value=ord("o"))))
    steps.append(call.model(audio_done("o", "x")))
    steps.append(call.model(response_done("o", conversation=None)))
    steps.append(call.model(audio_done("r", "i")))
    steps.append(call.model(response_done("r")))
    assert sources(*steps) == 30 * "r" + 30 * "o"


def test_a_clip_does_not_begin_inside_a_sentence() -> None:
    call = Call.ready()
    call.model(created("r"))
    steps = [
        call.model(delta(800, value=ord("r"))),
        call.send(Play(b"c" * 400, "clip")),
        call.model(delta(800, value=ord("r"))),
        call.model(response_done()),
    ]
    assert sources(*steps) == 20 * "r" + 5 * "c"
    assert [each.name for each in call.play(1_000).notified(ClipFinished)] == ["clip"]


def test_what_is_held_is_dropped_by_an_interruption() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(created("o", None))
    call.model(delta(800, "o", "x"))
    call.model(created("r"))
    call.model(delta(800))
    call.model(audio_done())
    call.model(item_done())
    call.model(response_done())
    call.send(Play(b"c" * 400, "clip"))
    done = call.send(Interrupt())
    assert Clear(SID) in done.to_twilio
    assert DeleteItem("i") in done.to_model  # nothing of it was heard
    assert [(e.heard_ms, e.sent_ms) for e in done.notified(ClipFinished)] == [(0, 0)]
    assert call.model(response_done("o", conversation=None)).to_twilio == []


def test_a_response_that_stalls_does_not_hold_up_the_others() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(created("o", None))
    call.model(delta(800, "o", "x", value=ord("o")))
    call.model(created("r"))
    call.model(delta(800, value=ord("r")))
    steps = list[StepResult]()
    for _ in range(5):
        steps.append(call.wait(1_000))
        call.model(type="rate_limits.updated", rate_limits=[])
    assert sources(*steps) == 10 * "r"
    late = [
        call.model(delta(800, "o", "x", value=ord("o"))),
        call.model(delta(800, value=ord("r"))),
        call.model(response_done()),
    ]
    assert sources(*late) == 10 * "r" + 10 * "o"


# The first words.


def protected(*, is_clip: bool = False) -> Call:
    """The greeting lasts 100 ms, and 10 s of another response follow it."""
    call = Call.ready(CallConfig(interruption=FIRST_PROTECTED), session(interrupt_response=False))
    if is_clip:
        call.send(Play(b"c" * 800, "greeting"))
    else:
        call.model(created("g"))
        call.model(delta(800, "g", "g1"))
        call.model(audio_done("g", "g1"))
        call.model(response_done("g"))
    call.model(created("r"))
    call.model(delta(80_000))
    return call


@pytest.mark.parametrize("is_clip", [False, True])
@pytest.mark.parametrize("at_ms", [200, 3_000, 9_000])
def test_the_agent_is_interruptible_once_its_first_words_were_heard(
    at_ms: int, *, is_clip: bool
) -> None:
    call = protected(is_clip=is_clip)
    call.play(at_ms)
    assert len(call.model(speech_started()).notified(Interrupted)) == 1


@pytest.mark.parametrize("is_clip", [False, True])
def test_the_first_words_are_protected_to_their_end(*, is_clip: bool) -> None:
    call = protected(is_clip=is_clip)
    call.play(50)
    assert call.model(speech_started()).notified(Interrupted) == []


def test_the_first_words_are_protected_through_a_stall() -> None:
    call = Call.ready(CallConfig(interruption=FIRST_PROTECTED), session(interrupt_response=False))
    call.model(created("g"))
    call.model(delta(800, "g", "g1"))
    call.play(4_000)
    assert call.model(speech_started()).notified(Interrupted) == []
    call.model(speech_stopped())
    call.model(delta(800, "g", "g1"))
    call.model(response_done("g"))
    call.play(200)
    call.model(created("r"))
    call.model(delta(8_000))
    assert len(call.model(speech_started()).notified(Interrupted)) == 1


# Responses without ids, cancels, and late outputs.


def test_a_response_without_an_id_is_the_one_under_way() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.send(SendMessage("hello"))
    begun = call.model(type="response.created", response={"status": "in_progress"})
    assert len(begun.notified(ResponseStarted)) == 1
    assert call.model(delta(800, "r7")).audio_samples == [160, 640]
    done = call.model(type="response.done", response={"status": "completed"})
    assert [each.response_id for each in done.notified(ResponseFinished)] == ["r7"]
    assert done.faults == []
    assert len(requests(done)) == 1


@pytest.mark.parametrize("first", ["o", "p"])
def test_an_end_without_an_id_is_of_the_response_with_its_items(first: str) -> None:
    call = Call.ready()
    items = {"o": "x", "p": "y"}
    for response, item in items.items():
        call.model(created(response, None))
        call.model(delta(800, response, item))
        call.model(item_done(response, item))
    entry: list[Any] = ["odd", {"id": 5}, {"id": items[first], "type": "message"}]
    body = {"status": "completed", "conversation_id": None, "output": entry}
    done = call.model(type="response.done", response=body)
    assert [each.response_id for each in done.notified(ResponseFinished)] == [first]


def test_every_response_without_an_id_is_interrupted() -> None:
    """Without an id a cancel is for the response of the conversation."""
    call = Call.ready(session=session(interrupt_response=False))
    call.model(created("", None))
    call.model(created(""))
    assert cancels(call.send(Interrupt())) == [None]
    for response, conversation in (("o", None), ("r", "conv")):
        assert call.model(delta(800, response, response)).audio_samples == []
        call.model(response_done(response, conversation=conversation))
    call.model(created("s"))
    assert call.model(delta(800, "s", "j")).audio_samples == [160, 640]


def test_speech_out_of_band_without_an_id_is_silenced_before_it_starts() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    call.send(Interrupt())
    assert cancels(call.model(created("", None))) == []
    assert call.model(delta(800, "o", "x")).audio_samples == []


def test_an_id_is_of_the_latest_response_of_the_conversation() -> None:
    call = Call.ready()
    call.model(created(""))
    call.model(created(""))
    call.model(delta(800))
    assert call.model(response_done()).notified(ResponseFinished)[0].response_id == "r"
    silent = call.play(20_000)
    assert (cancels(silent), silent.notified(ModelSilent)) == ([], [])


def test_an_out_of_band_response_that_starts_twice_answers_one_request() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(created("o", None))
    assert call.model(created("o", None)).faults == [FaultKind.UNEXPECTED]
    call.model(response_done("o", conversation=None))
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.unanswered_requests == 1


def test_an_end_without_an_id_before_the_start_answers_a_request_out_of_band() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(delta(800, "o", "x"))
    entry = [{"id": "x", "type": "message"}]
    body = {"status": "completed", "conversation_id": None, "output": entry}
    call.model(type="response.done", response=body)
    call.model(created("o", None))
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.unanswered_requests == 0


def test_the_end_of_no_response_is_a_fault() -> None:
    done = Call.ready().model(type="response.done", response={})
    assert done.faults == [FaultKind.UNEXPECTED]


def test_a_response_without_an_id_can_be_interrupted() -> None:
    call = Call.ready(session=session(interrupt_response=False))
    call.model(type="response.created", response={})
    assert cancels(call.send(Interrupt())) == [None]
    call.model(type="response.created", response={})
    assert call.model(delta(800, "r8")).audio_samples == [160, 640]


def test_what_is_held_is_played_without_an_interrupted_response_between() -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    turn_of(call)
    call.model(created(""))
    call.model(delta(800, "r"))
    call.model(created("", None))
    assert call.model(delta(800, "interrupted", "x", value=1)).audio_samples == []
    assert call.model(delta(800, "held", "y", value=2)).audio_samples == []
    assert call.model(response_done("r")).audio_samples == [800]


def test_a_cancel_is_sent_once() -> None:
    call = Call.ready()
    assert call.send(CancelResponse()).to_model == []
    call.model(created())
    assert len(call.send(CancelResponse()).to_model) == 1
    assert call.send(CancelResponse()).to_model == []
    assert call.send(CancelResponse("r")).to_model == []
    assert call.send(Interrupt()).to_model == []
    call.model(response_done())
    assert call.send(CancelResponse("r")).to_model == []


def test_a_response_that_is_requested_can_be_cancelled_once() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    assert len(call.send(CancelResponse()).to_model) == 1
    assert call.send(CancelResponse()).to_model == []


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.function_call_arguments.delta", "call_id": "f", "delta": "{"},
        {"type": "response.content_part.added", "content_index": 0, "part": {"type": "audio"}},
        {"type": "response.output_text.delta", "content_index": 0, "delta": "word"},
        {"type": "response.output_audio_transcript.delta", "content_index": 0, "delta": "word"},
        {"type": "response.something.new"},
    ],
)
def test_each_event_of_a_response_shows_that_it_goes_on(event: dict[str, Any]) -> None:
    call = Call.ready()
    turn_of(call, "r")
    assert requests(call.send(SendMessage("hello"))) == []
    for _ in range(14):
        step = call.wait(1_000)
        assert (requests(step), step.notified(Fault)) == ([], [])
        call.model({"response_id": "r", "item_id": "i", "output_index": 0, **event})
    assert call.wait(5_000).notified(ModelSilent)


def test_a_response_of_words_alone_can_be_cancelled_however_long_it_is() -> None:
    call = Call.ready()
    call.model(created("r"))
    text = {"type": "response.output_text.delta", "delta": "word"}
    for _ in range(11):
        call.wait(1_000)
        call.model({**text, "response_id": "r", "item_id": "i", "content_index": 0})
    assert cancels(call.send(CancelResponse())) == [None]


def test_an_output_is_answered_however_late_it_is() -> None:
    call = with_open_call(Call.ready())
    for number in range(1_100):
        call.model(created(f"s{number}"))
        call.model(response_done(f"s{number}"))
    assert len(requests(call.send(SendFunctionOutput("f", "{}")))) == 1


# A model that falls silent.


def test_a_model_that_stops_is_asked_again_once_and_then_the_call_ends() -> None:
    call = Call.ready()
    turn_of(call, "r1")
    call.model(delta(800, "r1"))
    assert call.play(4_999).notified(ModelSilent) == []
    first = call.play(1)
    assert first.notified(ModelSilent) == [ModelSilent(5_000, ("r1",), is_asked_again=True)]
    assert cancels(first) == ["r1"]
    assert len(requests(first)) == 1
    second = call.play(5_000)
    assert second.notified(ModelSilent) == [ModelSilent(10_000, (), is_asked_again=False)]
    assert second.closes
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.reason is EndReason.MODEL_SILENT


def test_what_was_received_is_heard_before_the_call_ends() -> None:
    call = Call.ready(CallConfig(on_model_silent=ModelSilencePolicy(ask_again=0)))
    call.model(created())
    call.model(delta(8 * 7_000))
    assert call.play(5_000).closes == []
    assert call.play(2_001).closes


def test_what_is_queued_is_not_awaited_before_the_call_ends() -> None:
    call = Call.ready(CallConfig(on_model_silent=ModelSilencePolicy(ask_again=0)))
    call.send(CreateResponse())
    call.send(CreateResponse())
    assert call.play(5_000).closes


def test_speech_that_is_held_is_heard_though_the_model_is_silent() -> None:
    call = Call.ready()
    call.model(created("o", None))
    call.model(delta(800, "o", "x", value=ord("o")))
    call.model(created("r"))
    call.model(delta(800, value=ord("r")))
    silent = call.play(5_000)
    assert silent.notified(ModelSilent)[0].response_ids == ("o", "r")
    assert sources(silent, call.play(1)) == 10 * "r"


def test_a_clip_is_played_when_the_model_is_silent() -> None:
    policy = ModelSilencePolicy(ask_again=0, clip=b"c" * 800)
    call = Call.ready(CallConfig(on_model_silent=policy))
    call.send(CreateResponse())
    assert sources(call.play(5_000)) == 10 * "c"
    assert call.play(200).closes


def test_a_clip_of_the_policy_is_not_played_over_a_caller_who_speaks() -> None:
    policy = ModelSilencePolicy(clip=b"c" * 800)
    config = CallConfig(interruption=InterruptionPolicy(allowed=False), on_model_silent=policy)
    call = Call.ready(config, session(interrupt_response=False))
    call.model(created())
    call.model(delta(800, value=ord("r")))
    call.play(2_000)
    call.model(speech_started())
    silent = call.play(6_000)
    assert silent.notified(ModelSilent)
    assert sources(silent) == ""


def test_a_silent_model_can_be_left_to_the_application() -> None:
    policy = ModelSilencePolicy(ask_again=0, hang_up=False)
    call = Call.ready(CallConfig(on_model_silent=policy))
    call.send(CreateResponse())
    assert len(call.play(5_000).notified(ModelSilent)) == 1
    assert call.play(60_000).closes == []
    assert len(requests(call.send(CreateResponse()))) == 1


def test_a_model_that_answers_may_fall_silent_again() -> None:
    call = Call.ready()
    for number in range(3):
        call.send(CreateResponse(event_id=f"e{number}"))
        again = call.play(5_000)
        assert [each.event_id for each in requests(again)] == [f"e{number}"]
        call.model(created(f"r{number}"))
        call.model(response_done(f"r{number}"))


def test_text_out_of_band_is_not_heard_though_the_server_does_not_say_that_it_is_text() -> None:
    call = Call.ready()
    call.send(CreateResponse({**OUT_OF_BAND, "output_modalities": ["text"]}))
    call.model(created("o", None))
    assert call.model(speech_started()).to_model == []
    call.model(speech_stopped())
    call.model(COMMITTED)
    call.model(created("r"))
    call.model(response_done("r"))
    assert call.send(HangUp(after_playback=True)).closes


def test_out_of_band_speech_that_stops_is_asked_for_again() -> None:
    call = Call.ready()
    request = CreateResponse(OUT_OF_BAND, "e")
    call.send(request)
    call.model(created("o", None))
    call.model(delta(800, "o", "x"))
    done = call.play(5_000)
    assert (cancels(done), requests(done)) == (["o"], [request])


def test_out_of_band_speech_that_nobody_asked_for_is_not_asked_for_again() -> None:
    call = Call.ready()
    call.model(created("o", None))
    call.model(delta(800, "o", "x"))
    done = call.play(5_000)
    assert (cancels(done), requests(done)) == (["o"], [])


def test_a_response_that_is_generated_is_not_awaited() -> None:
    call = Call.ready()
    call.model(created())
    call.model(delta(80_000))
    call.model(audio_done())
    generated = call.play(9_999)
    assert generated.notified(ModelSilent) == []
    assert generated.faults == []
    done = call.play(1)
    assert done.faults == [FaultKind.TIMED_OUT]  # its end was lost
    assert len(requests(call.send(SendMessage("hello")))) == 1


def test_a_model_that_owes_nothing_may_be_silent() -> None:
    call = with_open_call(Call.ready(CallConfig(idle_timeout_ms=None)))
    assert call.wait(600_000).notified(ModelSilent) == []
    assert isinstance(call.bridge.deadline, int)  # that of the round trip


@pytest.mark.parametrize("clip", ["text", None])
def test_a_clip_of_the_policy_must_be_bytes(clip: Any) -> None:
    with pytest.raises(LocalProtocolError, match="clip must be bytes"):
        ModelSilencePolicy(clip=clip)


@pytest.mark.parametrize("times", [-1, 1.0, True, None])
def test_the_policy_counts_in_whole_numbers(times: Any) -> None:
    with pytest.raises(LocalProtocolError, match="ask_again"):
        ModelSilencePolicy(ask_again=times)
