"""What the model or the phone never sends any more: the ends of responses, late answers, and the
rest of what was being said when the call ends."""

from typing import Any

import pytest

from calling import (
    SESSION,
    Call,
    ObservedCall,
    StepResult,
    audio_done,
    created,
    delta,
    function_call,
    item_added,
    item_deleted,
    item_done,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
    stop,
)
from twilio_realtime_core import (
    CallConfig,
    HangUp,
    Interrupt,
    InterruptionPolicy,
    ModelSilencePolicy,
    Peer,
    Play,
    SendFunctionOutput,
)
from twilio_realtime_core.notifications import Interrupted, ModelSilent, ResponseRefused
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    DeleteItem,
    TruncateItem,
)
from twilio_realtime_core.values.items import AudioPart, Message

COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u", "previous_item_id": None}
WORDS = "one two three four five six seven eight nine ten eleven twelve"
BUSY = "conversation_already_has_active_response"


def spoken(call: ObservedCall) -> AudioPart:
    """The first part of the first item."""
    item = call.items[0]
    assert isinstance(item, Message)
    part = item.parts[0]
    assert isinstance(part, AudioPart)
    return part


def words(text: str = WORDS, response: str = "r", item: str = "i") -> dict[str, Any]:
    ids = {"response_id": response, "item_id": item, "content_index": 0}
    return {"type": "response.output_audio_transcript.delta", **ids, "delta": text}


def requests(done: StepResult) -> list[CreateResponse]:
    return [each for each in done.to_model if isinstance(each, CreateResponse)]


def speaking(call: ObservedCall, *, samples: int) -> None:
    """The agent is about to say twelve words, of which so much audio is there."""
    call.model(created())
    call.model(item_added(status="in_progress", role="assistant", content=[]))
    call.model(delta(samples))
    call.model(words())


def speak(call: Call, response: str, item: str) -> None:
    """A whole response, which is heard."""
    call.model(created(response))
    call.model(delta(8_000, response, item))
    call.model(audio_done(response, item))
    call.model(response_done(response))
    call.play(2_000)


def take_turn(call: Call) -> None:
    """The caller says something."""
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(COMMITTED)


def uninterrupted_call() -> Call:
    """A call in which nobody interrupts the agent."""
    detection = {"type": "server_vad", "interrupt_response": False}
    direction = {**SESSION["audio"]["input"], "turn_detection": detection}
    session = {**SESSION, "audio": {**SESSION["audio"], "input": direction}}
    return Call.ready(CallConfig(interruption=InterruptionPolicy(allowed=False)), session)


# The call ends while the agent speaks.


@pytest.mark.parametrize("end", ["stop", "lost", "hang up"])
def test_a_call_that_ends_in_mid_speech_has_heard_no_more_than_that(end: str) -> None:
    call = ObservedCall.ready()
    speaking(call, samples=40_000)
    call.play(500)
    match end:
        case "stop":
            call.phone(stop())
        case "lost":
            call.closed(Peer.TWILIO)
        case _:
            call.send(HangUp())
    assert spoken(call) == AudioPart(WORDS, "one", 500)


def test_the_next_call_is_told_what_was_heard() -> None:
    call = ObservedCall.ready()
    speaking(call, samples=40_000)
    call.play(500)
    call.phone(stop())
    following = Call.connected(CallConfig(resume=call.items))
    (told,) = following.model(type="session.updated", session=SESSION).to_model
    assert isinstance(told, CreateItem)
    assert told.item["content"] == [{"type": "output_text", "text": "one"}]


def test_what_is_held_when_the_call_ends_was_not_heard() -> None:
    call = ObservedCall.ready()
    call.model(created("o", None))
    call.model(delta(8_000, "o", "x"))
    speaking(call, samples=8_000)
    call.send(Play(b"clip"))
    call.play(500)
    call.phone(stop())
    assert spoken(call) == AudioPart(WORDS, "", 0)


def test_what_was_heard_to_its_end_stays_whole_when_the_call_ends() -> None:
    call = ObservedCall.ready()
    speaking(call, samples=8_000)
    call.model(audio_done())
    call.model(item_done())
    call.model(response_done())
    call.play(2_000)
    call.phone(stop())
    assert spoken(call) == AudioPart(WORDS)


# The end of a response is lost.


@pytest.mark.parametrize("is_output_early", [False, True])
def test_an_output_is_answered_though_the_end_of_its_response_is_lost(
    *, is_output_early: bool
) -> None:
    call = Call.ready()
    call.model(created())
    call.model(function_call())
    if is_output_early:
        assert requests(call.send(SendFunctionOutput("f", "42"))) == []
    lost = call.wait(10_000)
    if is_output_early:
        assert len(requests(lost)) == 1
    else:
        assert requests(lost) == []
        assert len(requests(call.send(SendFunctionOutput("f", "42")))) == 1


def test_an_output_is_answered_though_its_response_was_given_up() -> None:
    call = Call.ready()
    call.model(created())
    call.model(function_call())
    unfinished = {"id": "z", "type": "message", "role": "assistant"}
    call.model(type="response.output_item.added", response_id="r", item=unfinished)
    assert len(requests(call.wait(5_000))) == 1
    speak(call, "r2", "i2")
    assert len(requests(call.send(SendFunctionOutput("f", "42")))) == 1


@pytest.mark.parametrize("is_output_early", [False, True])
def test_an_output_is_answered_though_another_response_has_followed(
    *, is_output_early: bool
) -> None:
    call = Call.ready()
    call.model(created())
    call.model(function_call())
    call.model(speech_started())
    if is_output_early:
        call.send(SendFunctionOutput("f", "42"))
    call.model(speech_stopped())
    call.model(COMMITTED)
    speak(call, "r2", "i2")
    if is_output_early:  # the server has added it only afterwards
        output = {"type": "function_call_output", "call_id": "f", "output": "42"}
        assert len(requests(call.model(item_added("o", **output)))) == 1
    else:
        assert len(requests(call.send(SendFunctionOutput("f", "42")))) == 1


def test_a_turn_is_answered_though_the_end_of_the_response_before_is_lost() -> None:
    call = uninterrupted_call()
    call.model(created())
    call.model(delta(4_000))
    call.model(audio_done())
    take_turn(call)
    silent = call.play(5_000)
    assert silent.notified(ModelSilent) == [ModelSilent(5_000, (), is_asked_again=True)]
    assert len(requests(silent)) == 1


def test_a_turn_waits_for_the_active_response_when_another_one_is_lost() -> None:
    call = uninterrupted_call()
    call.model(created("o", None))
    call.model(delta(400, "o", "x"))
    call.model(audio_done("o", "x"))
    call.play(6_000)
    call.model(created())
    call.model(delta(4_000))
    call.model(audio_done())
    take_turn(call)
    assert requests(call.play(4_500)) == []
    assert len(requests(call.model(response_done()))) == 1


def mcp_event(kind: str) -> dict[str, Any]:
    return {"type": f"response.mcp_call.{kind}", "item_id": "m", "output_index": 0}


def test_a_tool_of_an_mcp_server_that_takes_long_is_no_silence_of_the_model() -> None:
    call = Call.ready()
    call.model(created())
    tool = {"id": "m", "type": "mcp_call", "name": "search", "server_label": "s"}
    call.model(type="response.output_item.added", response_id="r", item=tool)
    call.model(mcp_event("in_progress"))
    at_work = call.play(8_000)
    assert (at_work.notified(ModelSilent), at_work.to_model) == ([], [])
    call.model(mcp_event("completed"))
    call.model(response_done())
    assert call.play(5_000).notified(ModelSilent) == []


# A model that was silent, and answers after all.


def test_a_late_answer_is_not_asked_for_a_third_time() -> None:
    call = Call.ready()
    (asked,) = requests(call.send(CreateResponse({"instructions": "Say hello"})))
    assert requests(call.play(5_000)) == [asked]
    call.model(created())
    call.model(server_error("it has an active response", asked.event_id, BUSY))
    call.model(delta(8_000))
    call.model(audio_done())
    assert requests(call.model(response_done())) == []
    assert requests(call.play(2_000)) == []


def test_a_request_that_was_sent_again_and_met_another_response_is_sent_once_more() -> None:
    call = Call.ready()
    (asked,) = requests(call.send(CreateResponse()))
    assert requests(call.play(5_000)) == [asked]
    call.model(server_error("it has an active response", asked.event_id, BUSY))
    call.model(created())
    assert requests(call.model(response_done())) == [asked]


def test_an_answer_out_of_band_that_comes_twice_is_heard_once() -> None:
    call = Call.ready()
    call.send(CreateResponse({"conversation": "none"}))
    assert len(requests(call.play(5_000))) == 1
    heard: list[int] = []
    for response in ("a", "b"):
        call.model(created(response, None))
        heard.append(sum(call.model(delta(8_000, response, response)).audio_samples))
        call.model(audio_done(response, response))
        call.model(response_done(response, conversation=None))
    assert heard == [8_000, 0]


@pytest.mark.parametrize("command", [Interrupt(), CancelResponse()])
def test_what_was_interrupted_or_cancelled_is_not_asked_for_again(
    command: Interrupt | CancelResponse,
) -> None:
    call = Call.ready()
    call.send(CreateResponse({"instructions": "Say A."}))
    call.send(command)
    silent = call.play(9_000)
    assert (requests(silent), silent.notified(ModelSilent), silent.closes) == ([], [], [])


def test_an_interrupted_request_beside_another_is_not_asked_for_again() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.send(Interrupt())
    (other,) = requests(call.send(CreateResponse({"conversation": "none"})))
    silent = call.play(5_000)
    assert requests(silent) == [other]


def test_a_caller_who_speaks_for_long_is_no_silence_of_the_model() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.play(5_000)
    call.play(4_000)
    call.model(speech_started())
    speech = call.play(5_500)
    assert (speech.notified(ModelSilent), speech.closes) == ([], [])


def test_silences_count_in_a_row() -> None:
    call = Call.ready()
    take_turn(call)
    call.model(created("r1"))
    assert len(call.play(5_000).notified(ModelSilent)) == 1
    call.model(response_done("r1", "cancelled"))
    call.model(created("r2"))
    call.model(delta(8_000, "r2", "i2"))
    call.model(speech_started())  # the model works: it is the caller who interrupts it
    call.model(response_done("r2", "cancelled"))
    call.model(speech_stopped())
    call.model(COMMITTED)
    call.model(created("r3"))
    call.model(delta(8_000, "r3", "i3"))
    (silence,) = call.play(5_000).notified(ModelSilent)
    assert silence.is_asked_again


# Items that the server deletes.


def test_an_item_that_the_server_has_deleted_is_not_truncated() -> None:
    call = ObservedCall.ready()
    speaking(call, samples=16_000)
    call.play(500)
    call.model(item_deleted())
    assert call.model(speech_started()).to_model == []


# What was received of a response that is given up.


def test_the_conversation_holds_what_was_received_of_a_response_that_is_given_up() -> None:
    call = ObservedCall.ready()
    speaking(call, samples=8_000)
    silent = call.play(5_000)
    truncates = [each for each in silent.to_model if isinstance(each, TruncateItem)]
    assert truncates == [TruncateItem("i", 0, 1_000)]
    late = call.model(delta(80_000))
    assert late.audio_samples == []
    call.model(item_done())
    assert call.model(response_done(status="cancelled")).to_model == []
    assert spoken(call) == AudioPart(WORDS, "one two", 1_000)


def test_nothing_is_truncated_of_speech_out_of_band_that_is_given_up() -> None:
    call = Call.ready(CallConfig(on_model_silent=ModelSilencePolicy(ask_again=0, hang_up=False)))
    call.model(created("o", None))
    call.model(delta(8_000, "o", "x"))
    silent = call.play(5_000)
    assert silent.notified(ModelSilent)
    assert not any(isinstance(each, TruncateItem) for each in silent.to_model)


def test_what_the_application_has_deleted_is_not_truncated() -> None:
    call = ObservedCall.ready()
    speaking(call, samples=8_000)
    call.send(DeleteItem("i"))
    silent = call.play(5_000)
    assert silent.notified(ModelSilent)
    assert not any(isinstance(each, TruncateItem) for each in silent.to_model)


def test_an_interruption_of_what_was_given_up_truncates_further() -> None:
    call = ObservedCall.ready()
    speaking(call, samples=8 * 7_000)
    call.play(5_000)
    interrupted = call.model(speech_started())
    assert len(interrupted.notified(Interrupted)) == 1
    assert TruncateItem("i", 0, 5_000) in interrupted.to_model


# Answers out of band in another order than asked.


def asked_out_of_band(name: str, **body: Any) -> CreateResponse:
    return CreateResponse(
        {"conversation": "none", "metadata": {"name": name}, **body}, event_id=name
    )


def answered_out_of_band(name: str, **body: Any) -> dict[str, Any]:
    metadata = {"metadata": {"name": name}}
    response = {"id": f"r-{name}", "conversation_id": None, **metadata, **body}
    return {"type": "response.created", "response": response}


def test_answers_out_of_band_are_told_apart_by_their_metadata() -> None:
    call = Call.ready()
    call.send(asked_out_of_band("a"))
    call.send(asked_out_of_band("b"))
    call.model(answered_out_of_band("b"))
    call.model(delta(800, "r-b", "x"))
    call.model(audio_done("r-b", "x"))
    call.model(response_done("r-b", conversation=None))
    (refused,) = call.model(server_error("bad", "a", "invalid_value")).notified(ResponseRefused)
    assert refused.event_id == "a"
    assert requests(call.play(9_000)) == []


def test_text_out_of_band_is_not_the_answer_to_speech() -> None:
    text = {"output_modalities": ["text"]}
    call = Call.ready()
    call.send(CreateResponse({"conversation": "none"}))
    call.send(CreateResponse({"conversation": "none", **text}))
    call.model(answered_out_of_band("t", metadata=None, **text))
    call.model(response_done("r-t", conversation=None))
    assert call.send(HangUp(after_playback=True)).closes == []
    call.model(speech_started())  # interrupts what is asked for
    call.model(answered_out_of_band("s", metadata=None))
    assert call.model(delta(800, "r-s", "x")).audio_samples == []
