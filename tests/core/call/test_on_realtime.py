"""What each event of the model's server means for the call, seen from outside: through `Bridge`."""

import json
from typing import Any

import pytest

from calling import (
    PCMU,
    SESSION,
    Call,
    Done,
    audio,
    audio_done,
    created,
    delta,
    item_done,
    media,
    response_done,
    server_error,
    speech_started,
)
from twilio_realtime_core import CallConfig, FaultKind, HangUp, Interrupt, Peer, SendMessage
from twilio_realtime_core.commands import AnswerApproval
from twilio_realtime_core.config.interruption_policy import InterruptionLimit, InterruptionPolicy
from twilio_realtime_core.machine.actions import Encodable
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallEnded,
    CallerAudioPadded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallerTranscriptFailed,
    FunctionCallRequested,
    Interrupted,
    InterruptionBlocked,
    ItemAdded,
    ItemDeleted,
    ItemUpdated,
    McpApprovalRequested,
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
    PlaybackFinished,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import CancelResponse, CreateItem, CreateResponse
from twilio_realtime_core.values.block_cause import BlockCause
from twilio_realtime_core.values.items import AudioPart, Role
from twilio_realtime_core.values.items import Message as MessageItem
from twilio_realtime_core.values.usage import Tokens, Usage

BUSY = "conversation_already_has_active_response"
TRANSCRIPTION = "conversation.item.input_audio_transcription"
SPEECH_STOPPED = {"type": "input_audio_buffer.speech_stopped", "item_id": "u", "audio_end_ms": 9}
COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u"}
OUR_SESSION = {
    "audio": {
        "input": {
            "format": PCMU,
            "turn_detection": {"type": "server_vad", "interrupt_response": False},
        },
        "output": {"format": PCMU},
    }
}
"""A session that leaves it to the bridge to interrupt."""


def types(messages: list[Encodable]) -> list[str]:
    return [json.loads(each.encode())["type"] for each in messages]


def words(kind: str, **fields: Any) -> dict[str, Any]:
    """An event about words of the agent."""
    part = {"response_id": "r", "item_id": "i", "content_index": 0}
    return {"type": f"response.{kind}", **part, **fields}


def mcp_item(kind: str, id_: str, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "type": kind, "server_label": "docs", **fields}


def policed(**policy: Any) -> Call:
    """The agent has begun to speak, and this decides who may interrupt it."""
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(**policy)), OUR_SESSION)
    call.model(created())
    call.model(delta(16_000))
    return call


def blocked(cause: BlockCause) -> list[object]:
    return [CallerSpeechStarted("u", 640), InterruptionBlocked(cause)]


# Words.


def test_what_the_agent_says_and_writes_is_told() -> None:
    call = Call.ready()
    speech, text = "output_audio_transcript", "output_text"
    told = [
        call.model(words(f"{speech}.delta", delta="Hel")).told(AgentTranscript),
        call.model(words(f"{speech}.done", transcript="Hello")).told(AgentTranscript),
        call.model(words(f"{text}.delta", delta="Hel")).told(AgentText),
        call.model(words(f"{text}.done", text="Hello")).told(AgentText),
    ]
    assert told == [
        [AgentTranscript("r", "i", 0, "Hel", final=False)],
        [AgentTranscript("r", "i", 0, "Hello", final=True)],
        [AgentText("r", "i", 0, "Hel", final=False)],
        [AgentText("r", "i", 0, "Hello", final=True)],
    ]


def test_what_the_caller_says_is_told() -> None:
    call = Call.ready()
    piece = call.model(type=f"{TRANSCRIPTION}.delta", item_id="u", delta="Hel")
    none = call.model(type=f"{TRANSCRIPTION}.delta", item_id="u")
    whole = call.model(type=f"{TRANSCRIPTION}.completed", item_id="u", transcript="Hello")
    assert piece.told(CallerTranscript) == [CallerTranscript("u", "Hel", final=False)]
    assert none.told(CallerTranscript) == [CallerTranscript("u", "", final=False)]
    assert whole.told(CallerTranscript) == [CallerTranscript("u", "Hello", final=True)]


def test_words_that_could_not_be_written_down_are_told_without_what_must_not_be_shown() -> None:
    error = {"type": "server_error", "code": "x", "message": "no model for\n+1 555 123 4567"}
    done = Call.ready().model(type=f"{TRANSCRIPTION}.failed", item_id="u", error=error)
    assert done.told(CallerTranscriptFailed) == [
        CallerTranscriptFailed("u", "no model for [hidden]")
    ]
    assert done.faults == []


@pytest.mark.parametrize("tells", [False, True])
def test_audio_of_the_agent_is_told_where_it_is_asked_for(*, tells: bool) -> None:
    call = Call.ready(CallConfig(notify_agent_audio=tells))
    call.model(created())
    told = [AgentAudio("r", "i", 0, audio(800, 3))] if tells else []
    assert call.model(delta(800, value=3)).told(AgentAudio) == told
    call.send(Interrupt())
    assert call.model(delta(800)).told(AgentAudio) == []


# The conversation.


def test_items_are_told_as_they_come_are_completed_and_go() -> None:
    """S71."""
    call = Call.ready()
    item = {"id": "u", "type": "message", "role": "user", "status": "in_progress"}
    content = [{"type": "input_audio", "transcript": None}]
    event = {"previous_item_id": None, "item": {**item, "content": content}}
    added = call.model(type="conversation.item.added", **event)
    unheard = MessageItem("u", Role.USER, (AudioPart(),), is_complete=False)
    assert added.events == [ItemAdded(unheard, None)]
    words_known = call.model(type=f"{TRANSCRIPTION}.completed", item_id="u", transcript="Hello")
    heard = MessageItem("u", Role.USER, (AudioPart("Hello"),), is_complete=False)
    assert words_known.told(ItemUpdated) == [ItemUpdated(heard)]
    deleted = call.model(type="conversation.item.deleted", item_id="u")
    assert deleted.events == [ItemDeleted("u")]


# MCP.


def test_tools_are_told_once_they_are_listed() -> None:
    call = Call.ready()
    tools: list[dict[str, Any]] = [{"name": "search", "input_schema": {}}]
    item = mcp_item("mcp_list_tools", "l", tools=tools)
    call.model(type="conversation.item.done", item=item)
    listed = call.model(type="mcp_list_tools.completed", item_id="l")
    assert listed.told(McpToolsListed) == [McpToolsListed("l", "docs", tuple(tools))]


def test_an_approval_is_asked_for_and_the_model_does_not_go_on_before_the_tool_has_answered() -> (
    None
):
    call = Call.ready()
    request = mcp_item("mcp_approval_request", "a", name="search", arguments="{}")
    asked = call.model(type="conversation.item.done", item=request)
    assert asked.told(McpApprovalRequested) == [McpApprovalRequested("a", "docs", "search", "{}")]
    assert types(call.send(AnswerApproval("a", approve=True)).to_model) == [
        "conversation.item.create"
    ]


def test_what_a_tool_has_answered_is_told_and_the_model_goes_on_when_its_response_is_done() -> None:
    call = Call.ready()
    call.model(created())
    call.model(output_item("added", mcp_call()))
    begun = call.model(type="response.mcp_call.in_progress", item_id="c")
    assert begun.told(McpCallStarted) == [McpCallStarted("c")]
    call.model(type="response.mcp_call.completed", item_id="c")
    finished = call.model(output_item("done", mcp_call("found")))
    assert finished.told(McpCallFinished) == [McpCallFinished("c", "docs", "search", "found", None)]
    assert types(call.model(response_done()).to_model) == ["response.create"]


def test_with_what_a_tool_answers_outside_the_conversation_the_model_does_not_go_on() -> None:
    call = Call.ready()
    call.send(CreateResponse({"conversation": "none"}))
    call.model(created(conversation=None))
    call.model(output_item("added", mcp_call()))
    assert call.model(output_item("done", mcp_call("found"))).told(McpCallFinished) == []
    assert call.model(response_done(conversation=None)).to_model == []


def mcp_call(output: str | None = None) -> dict[str, Any]:
    return mcp_item("mcp_call", "c", name="search", arguments="{}", output=output, error=None)


def output_item(what: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{what}", "response_id": "r", "item": item}


# Responses.


def test_a_complete_function_call_is_told_before_its_response_ends() -> None:
    call = Call.ready()
    assert call.model(created()).events == [ResponseStarted("r")]
    item = {
        "id": "f",
        "type": "function_call",
        "status": "completed",
        "name": "weather",
        "call_id": "c1",
        "arguments": "{}",
    }
    done = call.model(type="response.output_item.done", response_id="r", item=item)
    assert done.told(FunctionCallRequested) == [
        FunctionCallRequested("c1", "weather", "{}", "r", "f")
    ]


def test_a_request_that_is_refused_for_good_is_told_and_the_next_is_made() -> None:
    """S43."""
    call = Call.ready()
    call.send(CreateResponse({"instructions": "x"}, "first"))
    second = CreateResponse({"instructions": "y"}, "second")
    call.send(second)
    done = call.model(server_error("no", "first", "invalid_value"))
    assert done.events == [ResponseRefused("first", "invalid_value", "no")]
    assert done.to_model == [second]


def test_a_request_that_meets_an_active_response_is_made_again_when_that_is_done() -> None:
    call = Call.ready()
    request = CreateResponse({"instructions": "x"}, "mine")
    call.send(request)
    assert call.model(server_error("wait", "mine", BUSY)).actions == []
    call.model(created())
    assert call.model(response_done()).to_model == [request]


def test_a_response_that_is_done_twice_costs_once() -> None:
    call = Call.talking(800)
    call.model(response_done())
    assert call.model(response_done()).faults == [FaultKind.UNEXPECTED]


@pytest.mark.parametrize("code", [None, "odd"])
def test_another_error_is_a_fault_and_frees_nothing(code: str | None) -> None:
    """S36, S38."""
    call = Call.ready()
    call.send(SendMessage("one"))
    assert call.model(server_error("no", "another", code)).faults == [FaultKind.SERVER_ERROR]
    assert types(call.send(SendMessage("two")).to_model) == ["conversation.item.create"]


def test_a_cancel_that_came_too_late_is_silent() -> None:
    """S91."""
    call = Call.talking(800)
    (cancel,) = [
        each for each in call.send(Interrupt()).to_model if isinstance(each, CancelResponse)
    ]
    call.model(response_done())
    late = server_error("no active response", cancel.event_id, "response_cancel_not_active")
    assert call.model(late).actions == []


@pytest.mark.parametrize("cancel", [False, True])
def test_a_response_interrupted_before_it_has_begun_is_stopped_at_its_birth(
    *, cancel: bool
) -> None:
    call = Call.ready()
    call.send(SendMessage("Tell me a story."))
    call.send(Interrupt(cancel=cancel))
    assert types(call.model(created()).to_model) == (["response.cancel"] if cancel else [])
    assert call.model(delta(800)).audio == []


def test_a_response_whose_begin_is_told_after_its_end_is_not_cancelled() -> None:
    call = Call.ready()
    call.model(response_done("r"))
    call.send(SendMessage("Tell me a story."))
    call.send(Interrupt())
    late = call.model(created("r"))
    assert late.to_model == []
    assert late.faults == [FaultKind.UNEXPECTED]


def test_what_each_response_has_cost_is_told_and_summed_up_at_the_end() -> None:
    call = Call.ready()
    usage = {
        "total_tokens": 30,
        "input_tokens": 20,
        "output_tokens": 10,
        "input_token_details": {"audio_tokens": 15, "text_tokens": 5, "cached_tokens": 4},
        "output_token_details": {"audio_tokens": 10},
    }
    once = Usage(Tokens(20, text=5, audio=15), Tokens(4), Tokens(10, audio=10))
    for name, told in (("r", usage), ("s", None), ("t", usage)):
        call.model(created(name))
        body = {"id": name, "status": "completed", "conversation_id": "conv", "usage": told}
        done = call.model(type="response.done", response=body)
        expected = None if told is None else once
        assert [each.usage for each in done.told(ResponseFinished)] == [expected]
    assert ended(call).usage == once + once


def test_a_request_that_nobody_answered_is_counted_at_the_end() -> None:
    call = Call.ready()
    call.send(SendMessage("one"))
    assert ended(call).unanswered_requests == 1


def ended(call: Call) -> CallEnded:
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    (end,) = call.closed(Peer.REALTIME).told(CallEnded)
    return end


# The session.


def test_a_session_is_ready_with_what_the_server_tells_and_again_after_each_update() -> None:
    call = Call.connected()
    assert call.model(type="session.updated", session=SESSION).events == [SessionReady(SESSION)]
    assert call.model(type="session.updated", session=SESSION).events == [SessionReady(SESSION)]
    assert call.wait(60_000).closes == []


def test_a_session_of_another_format_ends_the_call() -> None:
    call = Call.connected()
    done = call.model(type="session.updated", session={})
    assert (done.faults, done.closes) == (
        [FaultKind.WRONG_FORMAT],
        [Peer.TWILIO, Peer.REALTIME],
    )


def test_a_refusal_of_the_configuration_ends_the_call_and_of_a_later_update_does_not() -> None:
    refusal = server_error("no", "configure-session", "invalid_value")
    done = Call.connected().model(refusal)
    assert (done.faults, done.closes) == (
        [FaultKind.SERVER_ERROR],
        [Peer.TWILIO, Peer.REALTIME],
    )
    assert Call.ready().model(refusal).closes == []


def test_what_is_no_event_is_a_fault_and_what_is_not_known_passes() -> None:
    """S49."""
    call = Call.ready()
    assert call.model("{").faults == [FaultKind.NOT_JSON]
    assert call.model(type="weather.changed").actions == []
    assert call.model(server_error("no", None)).faults == [FaultKind.SERVER_ERROR]


# The caller.


def test_the_caller_s_turn_is_told_and_out_of_order_it_is_a_fault_as_well() -> None:
    call = Call.ready()
    assert call.model(speech_started()).events == [CallerSpeechStarted("u", 640)]
    assert call.model(speech_started()).faults == [FaultKind.UNEXPECTED]
    assert call.model(SPEECH_STOPPED).events == [CallerSpeechStopped("u", 9)]
    again = call.model(SPEECH_STOPPED)
    assert (again.faults, again.told(CallerSpeechStopped)) == (
        [FaultKind.UNEXPECTED],
        [CallerSpeechStopped("u", 9)],
    )
    assert call.model(COMMITTED).events == []


def test_a_caller_who_speaks_interrupts_at_once_by_default() -> None:
    call = Call.talking(8000)
    call.hear(200)
    (interrupted,) = call.model(speech_started()).told(Interrupted)
    assert [each.heard_ms for each in interrupted.items] == [200]


@pytest.mark.parametrize(("timeout_ms", "padded"), [(900, 8000), (None, 0)])
def test_a_caller_who_is_heard_to_speak_has_time_to_send_the_next_frame(
    timeout_ms: int | None, padded: int
) -> None:
    """S24, S28."""
    call = Call.ready(CallConfig(inactivity_timeout_ms=timeout_ms))
    call.phone(media(audio(160)))
    call.model(speech_started())
    assert sum(each.samples for each in call.wait(1000).told(CallerAudioPadded)) == padded


def test_while_nothing_is_said_or_asked_for_there_is_nothing_to_judge() -> None:
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(allowed=False)), OUR_SESSION)
    assert call.model(speech_started()).events == [CallerSpeechStarted("u", 640)]


def test_a_caller_who_may_not_interrupt_is_answered_once_the_agent_has_ended() -> None:
    """S78."""
    call = policed(allowed=False)
    assert call.model(speech_started()).events == blocked(BlockCause.NEVER)
    call.model(SPEECH_STOPPED)
    assert call.model(COMMITTED).to_model == []
    assert types(call.model(response_done()).to_model) == ["response.create"]


def test_a_caller_who_may_not_interrupt_yet_is_told_so_and_nothing_is_cleared() -> None:
    """S76."""
    call = policed(after_heard_ms=500)
    call.hear(499)
    done = call.model(speech_started())
    assert (done.events, done.to_twilio) == (blocked(BlockCause.LITTLE_HEARD), [])
    call.model(SPEECH_STOPPED)
    call.hear(1)
    assert call.model(speech_started()).told(Interrupted) != []


def test_a_caller_interrupts_once_having_spoken_for_long_enough() -> None:
    call = policed(after_speech_ms=300)
    assert call.model(speech_started()).told(Interrupted) == []
    assert call.wait(299).told(Interrupted) == []
    assert len(call.wait(1).told(Interrupted)) == 1


def test_a_caller_who_stops_before_that_has_not_interrupted() -> None:
    call = policed(after_speech_ms=300)
    call.model(speech_started())
    call.wait(100)
    done = call.model(SPEECH_STOPPED)
    assert done.told(InterruptionBlocked) == [InterruptionBlocked(BlockCause.SHORT_SPEECH)]
    assert call.wait(1000).told(Interrupted) == []


def test_a_short_word_while_the_agent_is_silent_is_no_attempt() -> None:
    policy = InterruptionPolicy(after_speech_ms=300)
    call = Call.ready(CallConfig(interruption=policy), OUR_SESSION)
    call.model(speech_started())
    assert call.model(SPEECH_STOPPED).told(InterruptionBlocked) == []


def test_a_line_that_interrupts_too_often_is_told_to_the_model_once() -> None:
    call = policed(limit=InterruptionLimit(1, 60_000, "Be brief."))
    assert len(speak(call).told(Interrupted)) == 1
    told = list[list[str]]()
    for name in ("s", "t"):
        call.model(created(name))
        call.model(delta(800, name, f"item of {name}"))
        done = speak(call)
        assert done.told(InterruptionBlocked) == [InterruptionBlocked(BlockCause.LIMIT)]
        told.append([each.item["role"] for each in done.to_model if isinstance(each, CreateItem)])
    assert told == [["system"], []]


def speak(call: Call) -> Done:
    """The caller says something; what its beginning led to."""
    done = call.model(speech_started())
    call.model(SPEECH_STOPPED)
    call.model(COMMITTED)
    return done


def test_where_the_server_makes_no_responses_a_turn_that_was_blocked_is_nobodys_debt() -> None:
    session = json.loads(json.dumps(OUR_SESSION))
    session["audio"]["input"]["turn_detection"]["create_response"] = False
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(allowed=False)), session)
    call.model(created())
    call.model(delta(800))
    speak(call)
    assert call.model(response_done()).to_model == []


# All audio of a part.


def test_the_end_of_a_part_is_marked_and_heard_at_its_echo() -> None:
    call = Call.talking(800, 800)
    assert len(call.model(audio_done()).marks) == 1
    call.model(item_done())
    assert call.hear(199).told(PlaybackFinished) == []
    assert call.hear(1).told(PlaybackFinished) == [PlaybackFinished("r", "i", 0)]
