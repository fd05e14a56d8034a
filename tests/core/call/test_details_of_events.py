"""What events say beside their subject: metadata, output, phases, probabilities, limits."""

from typing import Any

import pytest

from calling import Call, created, item_added, item_complete, response_done
from twilio_realtime_core.commands import ResetHistory
from twilio_realtime_core.conversation.item_json import item_from_json, item_to_json
from twilio_realtime_core.notifications import (
    CallerTranscript,
    IdleTimeoutTriggered,
    ItemAdded,
    ItemUpdated,
    RateLimitsUpdated,
    ResponseFinished,
    ResponseStarted,
)
from twilio_realtime_core.protocols.realtime import CreateItem, DeleteItem
from twilio_realtime_core.values.items import AudioPart, FunctionCall, Message, Role, TextPart
from twilio_realtime_core.values.log_probability import TokenLogprob
from twilio_realtime_core.values.rate_limit import RateLimit
from twilio_realtime_core.values.usage import Usage

_TRANSCRIPTION = "conversation.item.input_audio_transcription"
LOGPROBS = [{"token": "Yes", "logprob": -0.5, "bytes": [89, 101, 115]}]


# What the API has added to its events.


def test_metadata_of_a_request_comes_back_with_its_response() -> None:
    call = Call.ready()
    metadata = {"topic": "weather"}
    started, finished = created(), response_done()
    started["response"]["metadata"] = finished["response"]["metadata"] = metadata
    assert call.model(started).events == [ResponseStarted("r", metadata)]
    assert call.model(finished).events == [
        ResponseFinished("r", "completed", None, Usage(), metadata)
    ]


@pytest.mark.parametrize("metadata", [None, {}, [], "x"])
def test_without_metadata_there_is_none(metadata: Any) -> None:
    started = created()
    started["response"]["metadata"] = metadata
    assert Call.ready().model(started).events == [ResponseStarted("r")]


def test_a_finished_response_has_the_items_that_it_generated() -> None:
    call = Call.ready()
    call.model(created())
    spoken = {"type": "output_audio", "transcript": "One moment.", "audio": "////"}
    done = response_done()
    done["response"]["output"] = [
        {
            "id": "i",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [spoken],
        },
        "nonsense",
        {"id": 5, "type": "message"},
        {
            "id": "j",
            "type": "function_call",
            "status": "completed",
            "call_id": "f",
            "name": "look_up",
            "arguments": "{}",
        },
    ]
    (finished,) = call.model(done).notified(ResponseFinished)
    parts = (AudioPart("One moment."),)
    assert finished.items == (
        Message("i", Role.ASSISTANT, parts, phase="commentary"),
        FunctionCall("j", "f", "look_up", "{}"),
    )
    assert "One moment" not in repr(finished)


def test_the_text_of_an_error_is_in_the_details() -> None:
    call = Call.ready()
    call.model(created())
    error = {"type": "server_error", "code": "overloaded", "message": "Try again."}
    done = response_done(status="failed")
    done["response"]["status_details"] = {"type": "failed", "error": error}
    (finished,) = call.model(done).notified(ResponseFinished)
    assert finished.details["error"]["message"] == "Try again."
    assert "Try again" not in repr(finished)


def test_the_phase_of_a_message_is_in_its_notifications() -> None:
    call = Call.ready()
    (added,) = call.model(item_added(status="in_progress", phase="commentary")).events
    empty = Message("i", Role.ASSISTANT, is_complete=False, phase="commentary")
    assert added == ItemAdded(empty, None)
    words = [{"type": "output_audio", "transcript": "Let me see."}]
    done = call.model(item_complete(phase="commentary", content=words))
    expected = Message("i", Role.ASSISTANT, (AudioPart("Let me see."),), phase="commentary")
    assert done.events == [ItemUpdated(expected)]


@pytest.mark.parametrize("phase", [None, 1, ["commentary"]])
def test_a_phase_that_is_no_text_is_none(phase: Any) -> None:
    (added,) = Call.ready().model(item_added(phase=phase)).notified(ItemAdded)
    assert isinstance(added.item, Message)
    assert added.item.phase is None


def test_a_phase_is_stored_with_its_item_and_not_sent() -> None:
    item = Message("i", Role.ASSISTANT, (TextPart("Hello."),), phase="final_answer")
    data = item_to_json(item)
    assert data["phase"] == "final_answer"
    assert item_from_json(data) == item
    (event,) = Call.ready().send(ResetHistory([item])).to_model
    assert isinstance(event, CreateItem)
    assert "phase" not in event.item


def test_a_phase_alone_makes_no_other_item() -> None:
    call = Call.ready()
    content = [{"type": "output_text", "text": "Hello."}]
    call.model(item_complete("i"))
    call.model(item_added("i", content=content, phase="commentary", status="completed"))
    kept = Message("i", Role.ASSISTANT, (TextPart("Hello."),))
    assert call.send(ResetHistory([kept])).to_model == []
    assert call.send(ResetHistory([])).to_model == [DeleteItem("i", "history-1")]


def test_an_idle_timeout_is_notified() -> None:
    done = Call.ready().model(
        type="input_audio_buffer.timeout_triggered",
        item_id="u",
        audio_start_ms=1000,
        audio_end_ms=7000,
    )
    assert done.events == [IdleTimeoutTriggered("u", 1000, 7000)]
    bare = Call.ready().model(type="input_audio_buffer.timeout_triggered")
    assert bare.events == [IdleTimeoutTriggered(None, None, None)]


def test_rate_limits_are_notified() -> None:
    limits = [{"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 60}]
    done = Call.ready().model(type="rate_limits.updated", rate_limits=limits)
    assert done.events == [RateLimitsUpdated((RateLimit("requests", 1000, 999, 60),))]


def test_transcripts_have_the_probabilities_of_their_tokens() -> None:
    call = Call.ready()
    expected = (TokenLogprob("Yes", -0.5),)
    delta = call.model(type=f"{_TRANSCRIPTION}.delta", item_id="u", delta="Yes", logprobs=LOGPROBS)
    assert delta.events == [CallerTranscript("u", "Yes", final=False, logprobs=expected)]
    whole = call.model(
        type=f"{_TRANSCRIPTION}.completed", item_id="u", transcript="Yes", logprobs=LOGPROBS
    )
    assert whole.events == [CallerTranscript("u", "Yes", final=True, logprobs=expected)]


def test_without_probabilities_there_are_none() -> None:
    done = Call.ready().model(type=f"{_TRANSCRIPTION}.delta", item_id="u", delta="Yes")
    assert done.events == [CallerTranscript("u", "Yes", final=False)]
