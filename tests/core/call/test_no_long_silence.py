"""A caller who waits for the agent hears nothing for ten seconds at most, whatever the model leaves
out."""

from collections.abc import Callable
from typing import Any

import pytest

from calling import (
    SESSION,
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
    Interrupt,
    InterruptionLimit,
    InterruptionPolicy,
    ModelSilencePolicy,
    SendFunctionOutput,
    SendMessage,
)
from twilio_realtime_core.machine.actions import Close
from twilio_realtime_core.notifications import (
    FunctionCallRequested,
    Interrupted,
    InterruptionBlocked,
    ModelSilent,
    ResponseRefused,
)
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    ClearInputAudio,
    CreateResponse,
)

BUSY = "conversation_already_has_active_response"
COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u", "previous_item_id": None}
OUT_OF_BAND = {"conversation": "none"}


def detecting(**detection: Any) -> dict[str, Any]:
    """A session with this turn detection."""
    direction = {**SESSION["audio"]["input"]}
    direction["turn_detection"] = {"type": "server_vad", **detection}
    return {**SESSION, "audio": {**SESSION["audio"], "input": direction}}


def requests(done: StepResult) -> list[CreateResponse]:
    return [each for each in done.to_model if isinstance(each, CreateResponse)]


def is_over(done: StepResult) -> bool:
    return any(isinstance(each, Close) for each in done.actions)


def say(call: Call) -> None:
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(COMMITTED)


# The model falls silent.


def behind_an_interrupted_response() -> Call:
    call = Call.ready()
    call.model(created())
    call.model(delta(8_000))
    call.play(500)
    say(call)
    return call


def behind_an_interrupted_request() -> Call:
    call = Call.ready(session=detecting(create_response=False))
    call.send(SendMessage("hello"))
    say(call)
    call.send(CreateResponse())
    return call


def behind_a_response_that_nobody_interrupts() -> Call:
    policy = InterruptionPolicy(allowed=False)
    call = Call.ready(CallConfig(interruption=policy), detecting(interrupt_response=False))
    call.model(created())
    call.model(delta(8_000))
    call.model(audio_done())
    call.model(item_done())
    say(call)
    return call


def behind_a_function_call() -> Call:
    call = Call.ready()
    call.model(created())
    call.model(function_call())
    call.send(SendFunctionOutput("f", "42"))
    return call


def behind_a_function_call_of_a_response_that_was_not_created() -> Call:
    call = Call.ready()
    call.model(function_call())
    call.send(SendFunctionOutput("f", "42"))
    return call


def without_a_commit() -> Call:
    call = Call.ready()
    call.model(speech_started())
    call.model(speech_stopped())
    return call


@pytest.mark.parametrize(
    "wait",
    [
        behind_an_interrupted_response,
        behind_an_interrupted_request,
        behind_a_response_that_nobody_interrupts,
        behind_a_function_call,
        behind_a_function_call_of_a_response_that_was_not_created,
        without_a_commit,
    ],
)
def test_a_silent_model_is_asked_again_after_five_seconds_and_given_up_after_ten(
    wait: Callable[[], Call],
) -> None:
    call = wait()
    silent = call.wait(5_000)
    assert silent.notified(ModelSilent) == [ModelSilent(5_000, (), is_asked_again=True)]
    assert len(requests(silent)) == 1
    given_up = call.wait(5_000)
    assert given_up.notified(ModelSilent) == [ModelSilent(10_000, (), is_asked_again=False)]
    assert is_over(call.play(10_000)) or is_over(given_up)


@pytest.mark.parametrize(
    "event",
    [speech_started(), COMMITTED, created("r2")],
    ids=["speech", "commit", "response"],
)
def test_a_turn_without_a_commit_is_awaited_until_something_follows(event: dict[str, Any]) -> None:
    call = without_a_commit()
    call.wait(4_000)
    call.model(event)
    assert not requests(call.wait(2_000))


def test_a_turn_without_a_commit_is_not_awaited_once_its_audio_is_cleared() -> None:
    call = without_a_commit()
    call.wait(4_000)
    call.send(ClearInputAudio())
    assert not requests(call.wait(2_000))


def test_a_turn_without_a_commit_needs_no_answer_where_the_server_gives_none() -> None:
    call = Call.ready(session=detecting(create_response=False))
    call.model(speech_started())
    call.model(speech_stopped())
    assert not call.wait(30_000).notified(ModelSilent)


def test_a_turn_without_a_commit_is_notified_once() -> None:
    by_hand = ModelSilencePolicy(ask_again=0, hang_up=False)
    call = Call.ready(CallConfig(on_model_silent=by_hand))
    call.model(speech_started())
    call.model(speech_stopped())
    assert len(call.wait(30_000).notified(ModelSilent)) == 1


def test_the_end_of_a_response_is_not_awaited_while_a_tool_is_at_work() -> None:
    call = Call.ready()
    call.model(created())
    item = {"id": "m", "type": "mcp_call", "name": "look_up", "server_label": "shop"}
    call.model(type="response.output_item.added", response_id="r", item=item)
    call.model(type="response.mcp_call.in_progress", item_id="m", output_index=0)
    call.send(CreateResponse())
    assert not call.wait(9_000).notified(ModelSilent)


def test_the_end_of_a_response_is_awaited_though_its_audio_stopped_before_its_words() -> None:
    goes_on = ModelSilencePolicy(ask_again=0, hang_up=False)
    call = Call.ready(CallConfig(on_model_silent=goes_on))
    call.model(created())
    call.model(item_added())
    call.send(CreateResponse())
    call.wait(3_000)
    call.model(
        type="response.output_audio_transcript.delta",
        response_id="r",
        item_id="i",
        content_index=0,
        delta="word",
    )
    silences = call.wait(10_000).notified(ModelSilent)
    assert [each.silent_ms for each in silences] == [5_000, 10_000]


# Other responses go on.


def test_a_stalled_response_is_given_up_though_others_go_on() -> None:
    call = Call.ready()
    call.model(created())
    call.model(delta(800))
    call.send(SendMessage("hello"))
    asked: list[CreateResponse] = []
    for number in range(4):
        asked += [each for each in requests(call.play(3_000)) if each.response is None]
        call.send(CreateResponse({**OUT_OF_BAND, "output_modalities": ["text"]}))
        call.model(created(f"o{number}", None))
        call.model(response_done(f"o{number}", conversation=None))
    assert len(asked) == 1


def without_answer() -> Call:
    """A call whose request for speech out of band was given up."""
    call = Call.ready(session=detecting(create_response=False))
    call.send(CreateResponse(OUT_OF_BAND))
    for _ in range(10):
        call.play(1_000)
        call.model(type="rate_limits.updated", rate_limits=[])
    return call


def test_a_late_answer_out_of_band_answers_no_request_of_the_conversation() -> None:
    call = without_answer()
    call.send(SendMessage("hello"))
    call.model(created("o", None))
    call.model(response_done("o", conversation=None))
    call.model(speech_started())
    answer = call.model(created("r"))
    assert any(isinstance(each, CancelResponse) for each in answer.to_model)


def test_a_late_answer_out_of_band_covers_no_output() -> None:
    call = without_answer()
    call.model(created("r0"))
    call.model(function_call("f", "r0"))
    call.model(response_done("r0"))
    call.model(speech_started())
    call.send(SendFunctionOutput("f", "42"))
    call.model(item_added("o", type="function_call_output", call_id="f", output="42"))
    call.model(created("x", None))
    call.model(response_done("x", conversation=None))
    call.model(speech_stopped())
    assert len(requests(call.model(COMMITTED))) == 1


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_a_late_answer_out_of_band_is_not_heard_once_it_is_asked_for_again(
    *, is_interrupted: bool
) -> None:
    call = Call.ready()
    call.send(CreateResponse(OUT_OF_BAND))
    if is_interrupted:
        call.model(speech_started())
        call.model(speech_stopped())
        call.send(SendMessage("hello"))
    assert requests(call.wait(5_000))
    answers = [call.model(created(f"o{number}", None)) for number in range(2)]
    cancels = [any(isinstance(e, CancelResponse) for e in each.to_model) for each in answers]
    assert cancels == [is_interrupted, not is_interrupted]


@pytest.mark.parametrize("stop", [speech_started(), Interrupt()], ids=["caller", "application"])
def test_a_late_answer_out_of_band_is_not_heard_where_it_was_interrupted(
    stop: dict[str, Any] | Interrupt,
) -> None:
    call = Call.ready(session=detecting(create_response=False))
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(stop) if isinstance(stop, dict) else call.send(stop)
    for _ in range(10):
        call.play(1_000)
        call.model(type="rate_limits.updated", rate_limits=[])
    assert CancelResponse("o", "bridge-cancel-o") in call.model(created("o", None)).to_model
    assert not call.model(delta(800, "o")).to_twilio


def test_a_late_answer_out_of_band_is_heard_where_it_is_not_asked_for_again() -> None:
    policy = ModelSilencePolicy(ask_again=0, hang_up=False, clip=b"\xff" * 800)
    call = Call.ready(CallConfig(on_model_silent=policy))
    call.send(CreateResponse(OUT_OF_BAND))
    call.wait(5_000)
    call.play(1_000)
    call.model(created("o", None))
    assert call.model(delta(8_000, "o", "x")).to_twilio


# What the server refuses.


def test_a_request_that_another_response_seemed_to_answer_is_made_again_once() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.model(speech_stopped())
    call.send(CreateResponse({"instructions": "Bye."}, event_id="a", waits_for_caller=False))
    call.model(COMMITTED)
    call.model(created("r2"))
    call.model(server_error("busy", "a", BUSY))
    first = requests(call.wait(5_000))
    call.model(created("r3"))
    second = requests(call.model(response_done("r3")))
    call.model(created("r4"))
    assert requests(call.model(response_done("r4"))) == []
    assert [each.response for each in (*first, *second)] == [{"instructions": "Bye."}, None]


def test_an_error_that_names_no_event_refuses_the_only_request() -> None:
    call = Call.ready()
    call.send(SendMessage("hello"))
    refused = call.model(server_error("slow down", None, "rate_limit_exceeded"))
    assert refused.notified(ResponseRefused)
    assert not refused.notified(Fault)


def test_a_response_is_cancelled_once_though_it_was_only_requested() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    assert call.send(CancelResponse()).to_model
    call.model(created())
    assert call.send(CancelResponse()).to_model == []
    assert call.send(CancelResponse("r")).to_model == []


# What ends without saying of what it is the end.


def test_an_end_without_an_id_is_of_the_response_that_was_interrupted() -> None:
    """The end of a cancelled response may come behind the start of the next."""
    call = Call.ready()
    call.model(created())
    call.model(delta(8_000))
    call.play(500)
    say(call)
    call.model(created("r2"))
    call.model(type="response.done", response={"status": "cancelled", "output": []})
    assert call.model(delta(8_000, "r2", "i2")).to_twilio


@pytest.mark.parametrize("ends", [(), (audio_done(), item_done())], ids=["audio", "response"])
def test_first_words_whose_end_is_lost_are_protected_until_they_were_heard(
    ends: tuple[dict[str, Any], ...],
) -> None:
    policy = InterruptionPolicy(protect_first=True)
    call = Call.ready(CallConfig(interruption=policy), detecting(interrupt_response=False))
    call.model(created())
    call.model(delta(800))
    for each in ends:
        call.model(each)
    call.play(2_000)
    say(call)
    call.model(created("r2"))
    call.model(delta(8_000, "r2", "i2"))
    call.play(500)
    assert call.model(speech_started()).notified(Interrupted)


def test_first_words_whose_end_is_lost_are_protected_while_they_are_held() -> None:
    policy = InterruptionPolicy(protect_first=True)
    call = Call.ready(CallConfig(interruption=policy), detecting(interrupt_response=False))
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(created())
    call.model(created("o", None))
    call.model(delta(80_000, "o", "x"))
    call.model(delta(800))
    call.model(created("r2"))
    call.play(500)
    assert call.model(speech_started()).notified(InterruptionBlocked)


def without_an_end(**policy: Any) -> Call:
    """A call in which a response was heard whose end never came."""
    config = CallConfig(interruption=InterruptionPolicy(**policy))
    call = Call.ready(config, detecting(interrupt_response=False))
    call.model(created())
    call.model(delta(800))
    call.model(audio_done())
    call.model(item_done())
    call.play(15_000)
    return call


def test_a_caller_interrupts_no_response_that_is_given_up() -> None:
    call = without_an_end(limit=InterruptionLimit(1, 20_000))
    assert not call.model(speech_started()).notified(Interrupted)
    call.model(speech_stopped())
    call.model(COMMITTED)
    call.model(created("r2"))
    call.model(delta(80_000, "r2", "i2"))
    call.play(500)
    assert call.model(speech_started()).notified(Interrupted)


def test_nothing_is_cancelled_for_a_response_that_is_given_up() -> None:
    call = without_an_end()
    assert not call.send(CancelResponse()).to_model


# The start of a response is lost.


def test_a_turn_is_answered_by_a_response_whose_start_is_lost() -> None:
    call = Call.ready()
    say(call)
    for event in (delta(8_000), audio_done(), item_done(), response_done()):
        call.model(event)
    waited = call.play(5_000)
    assert not requests(waited)
    assert not waited.notified(Fault)


def test_a_response_whose_start_is_lost_ends_nothing_that_is_being_said() -> None:
    policy = InterruptionPolicy(after_speech_ms=200)
    call = Call.ready(CallConfig(interruption=policy), detecting(interrupt_response=False))
    call.model(delta(16_000))
    call.model(speech_started())
    call.model(response_done())
    assert call.play(1_000).notified(Interrupted)


# The end of an item is lost.


def test_a_function_call_is_requested_though_the_end_of_its_item_is_lost() -> None:
    call = Call.ready()
    call.model(created())
    item = function_call()["item"]
    done = call.model(response_done(output=[{"type": "message"}, item]))
    assert [each.call_id for each in done.notified(FunctionCallRequested)] == ["f"]
    assert len(requests(call.send(SendFunctionOutput("f", "42")))) == 1


def test_a_function_call_is_requested_once() -> None:
    call = Call.ready()
    call.model(created())
    call.model(function_call())
    done = call.model(response_done(output=[function_call()["item"]]))
    assert not done.notified(FunctionCallRequested)


def test_a_function_call_out_of_band_is_not_that_of_the_response_under_way() -> None:
    call = Call.ready()
    call.model(created())
    end = response_done(conversation=None, output=[function_call()["item"]])
    del end["response"]["id"]
    assert not call.model(end).notified(FunctionCallRequested)


def test_a_function_call_that_was_cut_is_not_requested() -> None:
    call = Call.ready()
    call.model(created())
    cut = function_call(status="incomplete")["item"]
    done = call.model(response_done(status="cancelled", output=[cut]))
    assert not done.notified(FunctionCallRequested)


def test_events_of_another_response_do_not_keep_a_stalled_one_active() -> None:
    call = Call.ready()
    call.model(created())
    call.send(CreateResponse(OUT_OF_BAND))
    call.model(created("o", None))
    call.send(SendMessage("hello"))
    sent: list[CreateResponse] = []
    for _ in range(11):
        sent += requests(call.wait(1000))
        sent += requests(call.model(delta(160, "o", "x")))
    assert len(sent) == 1
