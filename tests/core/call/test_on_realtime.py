"""What each event of the model's server means for the call, seen from outside: through `Bridge`."""

import json
from typing import Any

import pytest

from calling import (
    PCMU,
    SESSION,
    Call,
    StepResult,
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
    """The agent has begun to speak, under this interruption policy."""
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(**policy)), OUR_SESSION)
    call.model(created())
    call.model(delta(16_000))
    return call


def blocked(cause: BlockCause) -> list[object]:
    return [CallerSpeechStarted("u", 640), InterruptionBlocked(cause)]


# Words.


def test_words_of_the_agent_are_notified() -> None:
    call = Call.ready()
    speech, text = "output_audio_transcript", "output_text"
    told = [
        call.model(words(f"{speech}.delta", delta="Hel")).notified(AgentTranscript),
        call.model(words(f"{speech}.done", transcript="Hello")).notified(AgentTranscript),
        call.model(words(f"{text}.delta", delta="Hel")).notified(AgentText),
        call.model(words(f"{text}.done", text="Hello")).notified(AgentText),
    ]
    assert told == [
        [AgentTranscript("r", "i", 0, "Hel", final=False)],
        [AgentTranscript("r", "i", 0, "Hello", final=True)],
        [AgentText("r", "i", 0, "Hel", final=False)],
        [AgentText("r", "i", 0, "Hello", final=True)],
    ]


def test_speech_and_words_of_the_caller_are_notified() -> None:
    call = Call.ready()
    piece = call.model(type=f"{TRANSCRIPTION}.delta", item_id="u", delta="Hel")
    none = call.model(type=f"{TRANSCRIPTION}.delta", item_id="u")
    whole = call.model(type=f"{TRANSCRIPTION}.completed", item_id="u", transcript="Hello")
    assert piece.notified(CallerTranscript) == [CallerTranscript("u", "Hel", final=False)]
    assert none.notified(CallerTranscript) == [CallerTranscript("u", "", final=False)]
    assert whole.notified(CallerTranscript) == [CallerTranscript("u", "Hello", final=True)]


def test_a_failed_transcript_is_notified_redacted() -> None:
    error = {"type": "server_error", "code": "x", "message": "no model for\n+1 555 123 4567"}
    done = Call.ready().model(type=f"{TRANSCRIPTION}.failed", item_id="u", error=error)
    assert done.notified(CallerTranscriptFailed) == [
        CallerTranscriptFailed("u", "no model for [hidden]")
    ]
    assert done.faults == []


@pytest.mark.parametrize("tells", [False, True])
def test_audio_of_the_agent_is_notified_if_configured(*, tells: bool) -> None:
    call = Call.ready(CallConfig(notify_agent_audio=tells))
    call.model(created())
    told = [AgentAudio("r", "i", 0, audio(800, 3))] if tells else []
    assert call.model(delta(800, value=3)).notified(AgentAudio) == told
    call.send(Interrupt())
    assert call.model(delta(800)).notified(AgentAudio) == []


# The conversation.


def test_items_are_notified_when_added_updated_and_deleted() -> None:
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
    assert words_known.notified(ItemUpdated) == [ItemUpdated(heard)]
    deleted = call.model(type="conversation.item.deleted", item_id="u")
    assert deleted.events == [ItemDeleted("u")]


def test_a_retrieved_item_is_notified_if_it_has_changed() -> None:
    call = Call.ready()
    item = {"id": "u", "type": "message", "role": "user", "status": "completed"}
    for type_, transcript in (("added", None), ("retrieved", "Hello")):
        content = [{"type": "input_audio", "transcript": transcript}]
        done = call.model(type=f"conversation.item.{type_}", item={**item, "content": content})
    update = ItemUpdated(MessageItem("u", Role.USER, (AudioPart("Hello"),)))
    assert done.events == [update]


# MCP.


def test_tools_are_notified_when_they_are_listed() -> None:
    call = Call.ready()
    tools: list[dict[str, Any]] = [{"name": "search", "input_schema": {}}]
    item = mcp_item("mcp_list_tools", "l", tools=tools)
    call.model(type="conversation.item.done", item=item)
    listed = call.model(type="mcp_list_tools.completed", item_id="l")
    assert listed.notified(McpToolsListed) == [McpToolsListed("l", "docs", tuple(tools))]


def test_a_failed_listing_of_tools_is_notified() -> None:
    call = Call.ready()
    call.model(type="conversation.item.added", item=mcp_item("mcp_list_tools", "l"))
    failed = call.model(type="mcp_list_tools.failed", item_id="l")
    assert failed.events == [McpToolsListed("l", "docs", None)]


def test_a_tool_call_of_an_unknown_response_is_followed_up_at_once() -> None:
    call = Call.ready()
    done = call.model(type="conversation.item.done", item=mcp_call("found"))
    assert done.notified(McpCallFinished) == [McpCallFinished("c", "docs", "search", "found", None)]
    assert types(done.to_model) == ["response.create"]


def test_a_granted_approval_requests_no_response() -> None:
    call = Call.ready()
    request = mcp_item("mcp_approval_request", "a", name="search", arguments="{}")
    asked = call.model(type="conversation.item.done", item=request)
    assert asked.notified(McpApprovalRequested) == [
        McpApprovalRequested("a", "docs", "search", "{}")
    ]
    assert types(call.send(AnswerApproval("a", approve=True)).to_model) == [
        "conversation.item.create"
    ]


def test_a_denied_approval_requests_a_response() -> None:
    call = Call.ready()
    request = mcp_item("mcp_approval_request", "a", name="search", arguments="{}")
    call.model(type="conversation.item.done", item=request)
    assert types(call.send(AnswerApproval("a", approve=False)).to_model) == [
        "conversation.item.create",
        "response.create",
    ]


@pytest.mark.parametrize("approve", [False, True])
def test_a_denied_approval_of_a_response_is_followed_up_at_its_end(*, approve: bool) -> None:
    call = Call.ready()
    call.model(created())
    request = mcp_item("mcp_approval_request", "a", name="search", arguments="{}")
    call.model(output_item("done", request))
    assert types(call.send(AnswerApproval("a", approve=approve)).to_model) == [
        "conversation.item.create"
    ]
    expected = [] if approve else ["response.create"]
    assert types(call.model(response_done()).to_model) == expected


def test_the_outcome_of_a_tool_is_notified_and_followed_up() -> None:
    call = Call.ready()
    call.model(created())
    call.model(output_item("added", mcp_call()))
    begun = call.model(type="response.mcp_call.in_progress", item_id="c")
    assert begun.notified(McpCallStarted) == [McpCallStarted("c")]
    call.model(type="response.mcp_call.completed", item_id="c")
    finished = call.model(output_item("done", mcp_call("found")))
    assert finished.notified(McpCallFinished) == [
        McpCallFinished("c", "docs", "search", "found", None)
    ]
    assert types(call.model(response_done()).to_model) == ["response.create"]


def test_an_out_of_band_tool_call_has_no_follow_up() -> None:
    call = Call.ready()
    call.send(CreateResponse({"conversation": "none"}))
    call.model(created(conversation=None))
    call.model(output_item("added", mcp_call()))
    assert call.model(output_item("done", mcp_call("found"))).notified(McpCallFinished) == []
    assert call.model(response_done(conversation=None)).to_model == []


def mcp_call(output: str | None = None) -> dict[str, Any]:
    return mcp_item("mcp_call", "c", name="search", arguments="{}", output=output, error=None)


def output_item(what: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{what}", "response_id": "r", "item": item}


# Responses.


def test_a_function_call_is_notified_before_its_response_ends() -> None:
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
    assert done.notified(FunctionCallRequested) == [
        FunctionCallRequested("c1", "weather", "{}", "r", "f")
    ]


def test_a_refused_request_is_notified_and_the_next_sent() -> None:
    """S43."""
    call = Call.ready()
    call.send(CreateResponse({"instructions": "x"}, "first"))
    second = CreateResponse({"instructions": "y"}, "second")
    call.send(second)
    done = call.model(server_error("no", "first", "invalid_value"))
    assert done.events == [ResponseRefused("first", "invalid_value", "no")]
    assert done.to_model == [second]


def test_a_request_during_a_response_is_sent_again_afterwards() -> None:
    call = Call.ready()
    request = CreateResponse({"instructions": "x"}, "mine")
    call.send(request)
    assert call.model(server_error("wait", "mine", BUSY)).actions == []
    call.model(created())
    assert call.model(response_done()).to_model == [request]


def test_a_response_done_twice_is_a_fault() -> None:
    call = Call.talking(800)
    call.model(response_done())
    assert call.model(response_done()).faults == [FaultKind.UNEXPECTED]


@pytest.mark.parametrize("code", [None, "odd"])
def test_another_error_is_a_fault_and_releases_nothing(code: str | None) -> None:
    """S36, S38."""
    call = Call.ready()
    call.send(SendMessage("one"))
    assert call.model(server_error("no", "another", code)).faults == [FaultKind.SERVER_ERROR]
    assert types(call.send(SendMessage("two")).to_model) == ["conversation.item.create"]


def test_a_late_cancel_is_not_reported() -> None:
    """S91."""
    call = Call.talking(800)
    (cancel,) = [
        each for each in call.send(Interrupt()).to_model if isinstance(each, CancelResponse)
    ]
    call.model(response_done())
    late = server_error("no active response", cancel.event_id, "response_cancel_not_active")
    assert call.model(late).actions == []


@pytest.mark.parametrize("cancel", [False, True])
def test_a_response_interrupted_while_requested_is_suppressed(*, cancel: bool) -> None:
    call = Call.ready()
    call.send(SendMessage("Tell me a story."))
    call.send(Interrupt(cancel=cancel))
    assert types(call.model(created()).to_model) == (["response.cancel"] if cancel else [])
    assert call.model(delta(800)).audio_samples == []


def test_a_response_created_after_its_end_is_not_cancelled() -> None:
    call = Call.ready()
    call.model(response_done("r"))
    call.send(SendMessage("Tell me a story."))
    call.send(Interrupt())
    late = call.model(created("r"))
    assert late.to_model == []
    assert late.faults == [FaultKind.UNEXPECTED]


def test_the_usage_of_responses_is_notified_and_added() -> None:
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
        assert [each.usage for each in done.notified(ResponseFinished)] == [expected]
    assert ended(call).usage == once + once


def test_an_unanswered_request_is_counted_at_the_end() -> None:
    call = Call.ready()
    call.send(SendMessage("one"))
    assert ended(call).unanswered_requests == 1


def ended(call: Call) -> CallEnded:
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    (end,) = call.closed(Peer.REALTIME).notified(CallEnded)
    return end


# The session.


def test_each_configuration_of_the_session_is_notified() -> None:
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


def test_only_a_refusal_of_the_configuration_ends_the_call() -> None:
    refusal = server_error("no", "configure-session", "invalid_value")
    done = Call.connected().model(refusal)
    assert (done.faults, done.closes) == (
        [FaultKind.SERVER_ERROR],
        [Peer.TWILIO, Peer.REALTIME],
    )
    assert Call.ready().model(refusal).closes == []


def test_a_wrong_event_is_a_fault_an_unknown_one_not() -> None:
    """S49."""
    call = Call.ready()
    assert call.model("{").faults == [FaultKind.NOT_JSON]
    assert call.model(type="weather.changed").actions == []
    assert call.model(server_error("no", None)).faults == [FaultKind.SERVER_ERROR]


# The caller.


def test_the_caller_s_turn_is_notified_even_out_of_order() -> None:
    call = Call.ready()
    assert call.model(speech_started()).events == [CallerSpeechStarted("u", 640)]
    assert call.model(speech_started()).faults == [FaultKind.UNEXPECTED]
    assert call.model(SPEECH_STOPPED).events == [CallerSpeechStopped("u", 9)]
    again = call.model(SPEECH_STOPPED)
    assert (again.faults, again.notified(CallerSpeechStopped)) == (
        [FaultKind.UNEXPECTED],
        [CallerSpeechStopped("u", 9)],
    )
    assert call.model(COMMITTED).events == []


def test_a_caller_who_speaks_interrupts_at_once_by_default() -> None:
    call = Call.talking(8000)
    call.play(200)
    (interrupted,) = call.model(speech_started()).notified(Interrupted)
    assert [each.heard_ms for each in interrupted.items] == [200]


@pytest.mark.parametrize(("timeout_ms", "padded"), [(900, 8000), (None, 0)])
def test_silence_follows_a_speaking_caller_after_the_timeout(
    timeout_ms: int | None, padded: int
) -> None:
    """S24, S28."""
    call = Call.ready(CallConfig(inactivity_timeout_ms=timeout_ms))
    call.phone(media(audio(160)))
    call.model(speech_started())
    assert sum(each.samples for each in call.wait(1000).notified(CallerAudioPadded)) == padded


def test_nothing_is_blocked_while_the_agent_is_inactive() -> None:
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(allowed=False)), OUR_SESSION)
    assert call.model(speech_started()).events == [CallerSpeechStarted("u", 640)]


def test_a_blocked_caller_is_answered_after_the_response() -> None:
    """S78."""
    call = policed(allowed=False)
    assert call.model(speech_started()).events == blocked(BlockCause.NEVER)
    call.model(SPEECH_STOPPED)
    assert call.model(COMMITTED).to_model == []
    assert types(call.model(response_done()).to_model) == ["response.create"]


def test_a_blocked_interruption_is_notified_and_clears_nothing() -> None:
    """S76."""
    call = policed(after_heard_ms=500)
    call.play(499)
    done = call.model(speech_started())
    assert (done.events, done.to_twilio) == (blocked(BlockCause.LITTLE_HEARD), [])
    call.model(SPEECH_STOPPED)
    call.play(1)
    assert call.model(speech_started()).notified(Interrupted) != []


def test_a_caller_interrupts_once_after_long_enough_speech() -> None:
    call = policed(after_speech_ms=300)
    assert call.model(speech_started()).notified(Interrupted) == []
    assert call.wait(299).notified(Interrupted) == []
    assert len(call.wait(1).notified(Interrupted)) == 1


def test_a_caller_who_stops_early_does_not_interrupt() -> None:
    call = policed(after_speech_ms=300)
    call.model(speech_started())
    call.wait(100)
    done = call.model(SPEECH_STOPPED)
    assert done.notified(InterruptionBlocked) == [InterruptionBlocked(BlockCause.SHORT_SPEECH)]
    assert call.wait(1000).notified(Interrupted) == []


def test_short_speech_while_the_agent_is_silent_is_no_attempt() -> None:
    policy = InterruptionPolicy(after_speech_ms=300)
    call = Call.ready(CallConfig(interruption=policy), OUR_SESSION)
    call.model(speech_started())
    assert call.model(SPEECH_STOPPED).notified(InterruptionBlocked) == []


def test_the_model_is_instructed_once_about_a_noisy_line() -> None:
    call = policed(limit=InterruptionLimit(1, 60_000, "Be brief."))
    assert len(speak(call).notified(Interrupted)) == 1
    told = list[list[str]]()
    for name in ("s", "t"):
        call.model(created(name))
        call.model(delta(800, name, f"item of {name}"))
        done = speak(call)
        assert done.notified(InterruptionBlocked) == [InterruptionBlocked(BlockCause.LIMIT)]
        told.append([each.item["role"] for each in done.to_model if isinstance(each, CreateItem)])
    assert told == [["system"], []]


def speak(call: Call) -> StepResult:
    """The caller says something; what its beginning led to."""
    done = call.model(speech_started())
    call.model(SPEECH_STOPPED)
    call.model(COMMITTED)
    return done


def test_a_blocked_turn_without_automatic_responses_is_not_answered() -> None:
    session = json.loads(json.dumps(OUR_SESSION))
    session["audio"]["input"]["turn_detection"]["create_response"] = False
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(allowed=False)), session)
    call.model(created())
    call.model(delta(800))
    speak(call)
    assert call.model(response_done()).to_model == []


# All audio of a part.


def test_the_end_of_a_part_is_marked_and_echoed() -> None:
    call = Call.talking(800, 800)
    assert len(call.model(audio_done()).marks) == 1
    call.model(item_done())
    assert call.play(199).notified(PlaybackFinished) == []
    assert call.play(1).notified(PlaybackFinished) == [PlaybackFinished("r", "i", 0)]
