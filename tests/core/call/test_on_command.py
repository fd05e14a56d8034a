"""What the commands of the application do to a call."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from calling import (
    OTHER_SID,
    PCMU,
    Call,
    audio,
    audio_done,
    created,
    delta,
    item_added,
    item_done,
    mark,
    media,
    response_done,
    server_error,
    speech_started,
    start,
)
from twilio_realtime_core import (
    AnswerApproval,
    Close,
    Command,
    GoAway,
    HangUp,
    Interrupt,
    LocalProtocolError,
    Mute,
    Peer,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from twilio_realtime_core.machine.actions import Encodable
from twilio_realtime_core.notifications import (
    CallEnded,
    ClipFinished,
    EndReason,
    FunctionCallRequested,
    McpApprovalRequested,
    ResponseRefused,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    RawClientEvent,
    RetrieveItem,
    UpdateSession,
)
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media
from twilio_realtime_core.values.items import (
    AudioPart,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Role,
    TextPart,
    UnknownItem,
)
from twilio_realtime_core.values.items import Message as MessageItem

SILENCE = "/" * 4


def types(messages: list[Encodable]) -> list[str]:
    return [json.loads(each.encode())["type"] for each in messages]


def function_call(
    call_id: str = "c1", status: str = "completed", response: str = "r"
) -> dict[str, Any]:
    item = {
        "id": f"item-{call_id}",
        "type": "function_call",
        "status": status,
        "name": "weather",
        "call_id": call_id,
        "arguments": '{"city":"Oslo"}',
    }
    return {"type": "response.output_item.done", "response_id": response, "item": item}


def calling_a_function(*call_ids: str) -> Call:
    """The model has called functions in a response that is not done."""
    call = Call.ready()
    call.model(created())
    for each in call_ids or ("c1",):
        call.model(function_call(each))
    return call


# Messages.


def test_a_message_becomes_an_item_and_the_model_answers() -> None:
    call = Call.ready()
    item, request = call.send(SendMessage("Hello")).to_model
    content = [{"type": "input_text", "text": "Hello"}]
    assert item == CreateItem({"type": "message", "role": "user", "content": content})
    assert isinstance(request, CreateResponse)


def test_a_message_may_have_pictures_and_no_response() -> None:
    call = Call.ready()
    picture = ImagePart("data:image/png;base64,AA==", "low")
    message = SendMessage(
        (TextPart("Look"), picture, ImagePart("https://x.example/a.png")),
        respond=False,
        extra_fields={"previous_item_id": "root", "event_id": "mine"},
    )
    (item,) = call.send(message).to_model
    assert isinstance(item, CreateItem)
    assert (item.previous_item_id, item.event_id) == ("root", "mine")
    assert [each["type"] for each in item.item["content"]] == [
        "input_text",
        "input_image",
        "input_image",
    ]
    assert item.item["content"][1]["detail"] == "low"


def test_several_messages_during_a_response_get_one_answer_after_it() -> None:
    """S67."""
    call = Call.ready()
    call.model(created())
    assert types(call.send(SendMessage("one")).to_model) == ["conversation.item.create"]
    assert types(call.send(SendMessage("two")).to_model) == ["conversation.item.create"]
    assert types(call.model(response_done()).to_model) == ["response.create"]


def test_a_message_after_an_interruption_is_answered_after_the_response() -> None:
    """S39."""
    call = Call.talking(8000)
    call.wait(300)
    assert types(call.send(Interrupt()).to_model) == [
        "response.cancel",
        "conversation.item.truncate",
    ]
    assert types(call.send(SendMessage("stop")).to_model) == ["conversation.item.create"]
    assert types(call.model(response_done(status="cancelled")).to_model) == ["response.create"]


def test_commands_before_the_session_is_ready_are_queued() -> None:
    call = Call.connected()
    assert call.send(SendMessage("one")).to_model == []
    assert call.send(CreateResponse({"instructions": "x"})).to_model == []
    assert types(call.model(type="session.updated", session=SESSION_DATA).to_model) == [
        "conversation.item.create",
        "response.create",
    ]


SESSION_DATA = {
    "type": "realtime",
    "audio": {"input": {"format": PCMU, "turn_detection": None}, "output": {"format": PCMU}},
}


# Requests for responses.


def test_a_request_is_queued_during_a_response_with_its_parameters() -> None:
    """S42."""
    call = Call.ready()
    call.model(created())
    request = CreateResponse({"instructions": "Say goodbye."}, event_id="mine")
    assert call.send(request).to_model == []
    assert call.model(response_done()).to_model == [request]


def test_a_request_and_later_audio_keep_their_order() -> None:
    """S41."""
    call = Call.ready()
    assert types(call.send(CreateResponse()).to_model) == ["response.create"]
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


def test_a_request_may_name_only_the_phone_s_format() -> None:
    call = Call.ready()
    output = {"audio": {"output": {"voice": "marin", "format": PCMU}}}
    assert call.send(CreateResponse(output, "e")).to_model == [CreateResponse(output, "e")]
    wrong = CreateResponse({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}})
    with pytest.raises(LocalProtocolError):
        call.send(wrong)


def test_an_out_of_band_response_is_requested_at_once() -> None:
    call = Call.ready()
    call.model(created())
    out_of_band = CreateResponse({"conversation": "none"}, "beside")
    assert call.send(out_of_band).to_model == [out_of_band]


def test_requests_that_were_never_answered_are_counted_at_the_end() -> None:
    call = Call.ready()
    call.send(SendMessage("one"))
    call.send(CreateResponse({"instructions": "x"}))
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.unanswered_requests == 2


def test_an_interruption_cancels_a_requested_response_when_created() -> None:
    call = Call.ready()
    call.send(SendMessage("Tell me a story"))
    assert call.model(speech_started()).to_model == []
    cancel = CancelResponse("r", event_id="bridge-cancel-r")
    assert call.model(created()).to_model == [cancel]
    assert call.model(delta(800)).actions == []


def test_an_interruption_without_cancel_suppresses_a_requested_response() -> None:
    call = Call.ready()
    call.send(SendMessage("Tell me a story"))
    call.send(Interrupt(cancel=False))
    assert call.model(created()).to_model == []
    assert call.model(delta(800)).actions == []


# Audio


def test_audio_of_the_application_may_be_committed() -> None:
    call = Call.ready()
    sound = bytes(range(200))
    assert call.send(SendAudio(sound)).to_model == [AppendAudio(b64encode(sound).decode())]
    assert call.send(SendAudio(sound, commit=True)).to_model[1:] == [CommitAudio()]


def test_no_audio_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match=r"SendAudio\.audio is empty"):
        Call.ready().send(SendAudio(b""))


@pytest.mark.parametrize("samples", [1, 80_000, 80_001, 5 * 60 * 8000 + 7])
def test_audio_of_any_length_is_sent_in_pieces(samples: int) -> None:
    sound = bytes(number % 251 for number in range(samples))
    *pieces, last = Call.ready().send(SendAudio(sound, commit=True)).to_model
    assert last == CommitAudio()
    audio = [b64decode(each.audio) for each in pieces if isinstance(each, AppendAudio)]
    assert b"".join(audio) == sound
    assert [len(each) for each in audio[:-1]] == [80_000] * (len(audio) - 1)
    assert 0 < len(audio[-1]) <= 80_000


def test_a_muted_caller_is_replaced_by_silence_until_unmuted() -> None:
    call = Call.ready()
    call.send(Mute())
    (silence,) = call.phone(media(audio(159))).to_model
    assert isinstance(silence, AppendAudio)
    assert silence == AppendAudio(b64encode(b"\xff" * 159).decode())
    call.send(Unmute())
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


# Clips.


def test_a_greeting_is_played_with_marks_and_notified() -> None:
    call = Call.ready()
    done = call.send(Play(b"\x00" * 2400, "greeting"))
    assert done.audio_base64 == audio(2400)
    assert isinstance(done.to_twilio[-1], Mark)
    assert call.play(299).notified(ClipFinished) == []
    assert call.play(1).notified(ClipFinished) == [ClipFinished("greeting", 300, 300)]


def test_a_greeting_is_not_cut_by_the_agent() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 8000, "greeting"))
    call.model(created())
    assert [type(each) for each in call.model(delta(800)).to_twilio] == [Media]
    call.play(500)
    interrupted = call.model(speech_started())
    assert interrupted.to_twilio == [Clear("MZ1")]
    assert types(interrupted.to_model) == []  # nothing of the response was heard, nor is it done
    assert interrupted.notified(ClipFinished) == [ClipFinished("greeting", 500, 1000)]


def test_hold_audio_is_cleared_when_the_agent_speaks() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 8000, "hold", until_agent_speaks=True))
    call.play(400)
    call.model(created())
    done = call.model(delta(800))
    assert [type(each) for each in done.to_twilio[:2]] == [Clear, Media]
    assert done.notified(ClipFinished) == [ClipFinished("hold", 400, 1000)]


def test_hold_audio_starts_after_the_agent_was_heard() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    assert call.send(Play(b"\x00" * 800, "hold", until_agent_speaks=True)).audio_samples == []
    assert call.play(99).audio_samples == []
    assert call.play(1).audio_base64 == audio(800)


def test_hold_audio_does_not_start_inside_a_part() -> None:
    call = Call.talking(800)
    call.play(100)
    assert call.send(Play(b"\x01" * 800, "hold", until_agent_speaks=True)).audio_samples == []
    assert call.play(4000).audio_samples == []
    assert call.model(audio_done()).audio_base64 == audio(800, 1)


def test_queued_hold_audio_is_dropped_when_the_next_response_speaks() -> None:
    call = Call.talking(8000)
    call.model(response_done())
    call.send(Play(b"\x00" * 800, "hold", until_agent_speaks=True))
    call.model(created("s"))
    done = call.model(delta(800, "s", "j"))
    assert done.notified(ClipFinished) == [ClipFinished("hold", 0, 0)]


def test_queued_hold_audio_is_dropped_when_a_response_speaks_that_was_only_created() -> None:
    call = Call.talking(8000)
    call.model(response_done())
    call.model(created("s"))
    call.send(Play(b"\x00" * 800, "hold", until_agent_speaks=True))
    done = call.model(delta(800, "s", "j"))
    assert done.notified(ClipFinished) == [ClipFinished("hold", 0, 0)]


def test_later_hold_audio_replaces_the_first() -> None:
    call = Call.talking(8000)
    call.send(Play(b"\x00" * 800, "one", until_agent_speaks=True))
    done = call.send(Play(b"\x00" * 800, "two", until_agent_speaks=True))
    assert done.notified(ClipFinished) == [ClipFinished("one", 0, 0)]


def test_keys_are_played_as_tones() -> None:
    call = Call.ready()
    done = call.send(PressKeys("1#", tone_ms=100, pause_ms=100))
    assert 2400 <= sum(done.audio_samples) <= 3200


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Play(b""), r"Play\.audio is empty"),
        (Play(bytes(60 * 8000 + 1)), "more than a minute"),
        (PressKeys("1" * 300), "more than a minute"),
    ],
)
def test_audio_that_cannot_be_played_is_misuse(command: Command, message: str) -> None:
    call = Call.ready()
    call.send(Play(bytes(8000)))
    with pytest.raises(LocalProtocolError, match=message):
        call.send(command)
    assert call.wait(1).actions == []


def test_clips_need_a_stream_and_capacity() -> None:
    with pytest.raises(LocalProtocolError, match="CallStarted"):
        Call.answered().send(Play(b"\x00"))
    call = Call.ready()
    for _ in range(2):
        call.send(Play(bytes(30 * 8000)))
    with pytest.raises(LocalProtocolError, match="a minute"):
        call.send(Play(b"\x00"))
    call = Call.talking(*[60 * 8000] * 10)
    with pytest.raises(LocalProtocolError, match="ten minutes"):
        call.send(Play(b"\x00"))


def test_a_clip_cut_by_another_stream_is_notified() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 8000, "greeting"))
    call.play(250)
    done = call.phone(start(OTHER_SID))
    assert done.notified(ClipFinished) == [ClipFinished("greeting", 250, 1000)]


# Function calls.


def test_a_call_is_notified_once_and_answered_after_its_response() -> None:
    call = calling_a_function()
    again = call.model(function_call())
    assert again.notified(FunctionCallRequested) == []
    (item,) = call.send(SendFunctionOutput("c1", "sunny")).to_model
    output = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
    assert item == CreateItem(output)
    assert types(call.model(response_done()).to_model) == ["response.create"]


def test_several_outputs_cause_one_response_once_all_are_sent() -> None:
    """S81."""
    call = calling_a_function("c1", "c2")
    call.model(response_done())
    item = "conversation.item.create"
    assert types(call.send(SendFunctionOutput("c1", "1")).to_model) == [item]
    done = call.send(SendFunctionOutput("c2", "2", respond=False))
    assert types(done.to_model) == [item, "response.create"]


def test_a_follow_up_needs_the_outputs_of_later_calls() -> None:
    call = calling_a_function("c1")
    call.send(SendFunctionOutput("c1", "1"))
    call.model(function_call("c2"))
    assert call.model(response_done()).to_model == []
    assert len(call.send(SendFunctionOutput("c2", "2", respond=False)).to_model) == 2


def test_an_output_need_not_wait_for_those_of_other_calls() -> None:
    call = calling_a_function("slow", "quick")
    item, request = "conversation.item.create", "response.create"
    done = call.send(SendFunctionOutput("quick", "1", wait_for_others=False))
    assert types(done.to_model) == [item]  # the response itself is still being generated
    assert types(call.model(response_done()).to_model) == [request]
    call.model(created("r2"))
    call.model(response_done("r2"))
    assert types(call.send(SendFunctionOutput("slow", "2")).to_model) == [item, request]


def test_an_output_without_a_response_requests_none_however_it_waits() -> None:
    call = calling_a_function("slow", "quick")
    call.model(response_done())
    output = SendFunctionOutput("quick", "1", respond=False, wait_for_others=False)
    assert types(call.send(output).to_model) == ["conversation.item.create"]
    assert len(call.send(SendFunctionOutput("slow", "2", respond=False)).to_model) == 1


def test_raw_events_with_unknown_fields_do_what_typed_ones_do() -> None:
    call = calling_a_function("c1")
    call.model(response_done())
    output = {"type": "function_call_output", "call_id": "c1", "output": ""}
    answer = {"type": "conversation.item.create", "item": output, "new": 1}
    raw = RawClientEvent("conversation.item.create", answer)
    (sent,) = call.send(raw).to_model
    assert json.loads(sent.encode()) == answer
    with pytest.raises(LocalProtocolError, match="has its output"):
        call.send(SendFunctionOutput("c1", "again"))
    text = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hello"}],
    }
    for body in (
        {"type": "conversation.item.delete", "item_id": "i", "new": 1},
        {"type": "input_audio_buffer.clear", "new": 1},
        {"type": "conversation.item.create", "item": text, "new": 1},
    ):
        (sent,) = call.send(SendEvent(body)).to_model
        assert json.loads(sent.encode()) == body
    nothing_to_cancel = {"type": "response.cancel", "response_id": "r", "new": 1}
    assert call.send(SendEvent(nothing_to_cancel)).to_model == []


def test_a_raw_event_of_a_known_type_needs_its_fields() -> None:
    raw = RawClientEvent("conversation.item.delete", {"type": "conversation.item.delete"})
    with pytest.raises(LocalProtocolError, match="missing required field `item_id`"):
        Call.ready().send(raw)
    with pytest.raises(LocalProtocolError, match="needs a 'type'"):
        Call.ready().send(RawClientEvent("x", {"item_id": "i"}))


def test_an_item_that_a_raw_event_deletes_is_not_deleted_again() -> None:
    call = Call.talking(160)
    call.model(item_added())
    call.send(SendEvent({"type": "conversation.item.delete", "item_id": "i", "new": 1}))
    assert "conversation.item.truncate" not in types(call.send(Interrupt()).to_model)


def test_unknown_fields_of_a_session_update_go_through_with_the_formats() -> None:
    session = {"type": "realtime", "instructions": "x"}
    event = {"type": "session.update", "session": session, "event_id": "e", "priority": 1}
    (update,) = Call.ready().send(SendEvent(event)).to_model
    sent = json.loads(update.encode())
    assert (sent["priority"], sent["session"]["instructions"]) == (1, "x")
    assert sent["session"]["audio"]["input"] == {"format": PCMU}
    (request,) = Call.ready().send(SendEvent({"type": "response.create", "priority": 1})).to_model
    assert json.loads(request.encode())["priority"] == 1


def test_an_output_may_be_sent_as_an_item() -> None:
    call = calling_a_function("c1")
    call.model(response_done())
    for call_id in ("c1", "of another session"):
        output = {"type": "function_call_output", "call_id": call_id, "output": ""}
        assert call.send(CreateItem(output)).to_model == [CreateItem(output)]


def test_an_incomplete_call_is_not_notified() -> None:
    call = Call.ready()
    call.model(created())
    assert call.model(function_call(status="incomplete")).notified(FunctionCallRequested) == []


def test_an_output_of_an_unknown_or_answered_call_is_misuse() -> None:
    call = calling_a_function()
    with pytest.raises(LocalProtocolError):
        call.send(SendFunctionOutput("c9", ""))
    call.send(SendFunctionOutput("c1", ""))
    with pytest.raises(LocalProtocolError):
        call.send(SendFunctionOutput("c1", ""))
    raw = {"type": "function_call_output", "call_id": "c1", "output": ""}
    with pytest.raises(LocalProtocolError):
        call.send(CreateItem(raw))


def test_deferred_outputs_are_sent_when_all_was_heard() -> None:
    """S81."""
    call = calling_a_function("c1", "c2")
    call.model(delta(800))
    call.send(SendFunctionOutput("c1", "1", after_playback=True))
    assert call.send(SendFunctionOutput("c2", "2", after_playback=True)).to_model == []
    assert call.model(response_done()).to_model == []
    assert call.play(99).to_model == []
    assert types(call.play(1).to_model) == [
        "conversation.item.create",
        "conversation.item.create",
        "response.create",
    ]


def test_one_request_for_outputs_of_several_responses_is_refused_once() -> None:
    call = Call.ready()
    call.send(Play(bytes(8000), "wait"))
    for number in ("1", "2"):
        call.model(created(number))
        call.model(function_call(f"c{number}", response=number))
        call.model(response_done(number))
        call.send(SendFunctionOutput(f"c{number}", "", after_playback=True))
    sent = types(call.play(1000).to_model)
    assert sent.count("response.create") == 1
    (refused,) = call.model(server_error("no", code="unknown_parameter")).notified(ResponseRefused)
    assert refused.code == "unknown_parameter"


def test_a_deferred_output_is_sent_without_marks_too() -> None:
    call = calling_a_function()
    call.model(delta(800))
    call.model(response_done())
    assert call.send(SendFunctionOutput("c1", "1", after_playback=True)).to_model == []
    assert types(call.wait(2200).to_model) == ["conversation.item.create", "response.create"]


# MCP.


def test_a_refused_approval_is_answered_once_with_a_follow_up() -> None:
    call = Call.ready()
    item = {"id": "a1", "type": "mcp_approval_request", "server_label": "docs", "name": "search"}
    done = call.model(type="conversation.item.done", item={**item, "arguments": "{}"})
    assert [each.approval_request_id for each in done.notified(McpApprovalRequested)] == ["a1"]
    answer, request = call.send(AnswerApproval("a1", approve=False, reason="no")).to_model
    assert isinstance(request, CreateResponse)
    assert answer == CreateItem(
        {
            "id": "mcp-answer-1",
            "type": "mcp_approval_response",
            "approval_request_id": "a1",
            "approve": False,
            "reason": "no",
        }
    )
    with pytest.raises(LocalProtocolError):
        call.send(AnswerApproval("a1", approve=True))


# The history and the session.


def test_the_history_is_reset_by_the_fewest_events() -> None:
    call = Call.ready()
    for name, before in (("a", None), ("b", "a")):
        item = {"id": name, "type": "message", "role": "user", "status": "completed"}
        content = [{"type": "input_text", "text": name}]
        call.model(
            type="conversation.item.added",
            previous_item_id=before,
            item={**item, "content": content},
        )
    kept = MessageItem("b", Role.USER, (TextPart("b"),))
    new = MessageItem("c", Role.USER, (TextPart("c"),))
    deleted, added = call.send(ResetHistory((kept, new))).to_model
    assert isinstance(deleted, DeleteItem)
    assert deleted.item_id == "a"
    assert isinstance(added, CreateItem)
    assert added.previous_item_id == "b"
    spoken = MessageItem("d", Role.ASSISTANT, (AudioPart("hello"),))
    with pytest.raises(LocalProtocolError):
        call.send(ResetHistory((spoken,)))


@pytest.mark.parametrize("event", [RetrieveItem("i"), DeleteItem("i")])
def test_an_event_is_a_command_typed_or_plain(event: Any) -> None:
    assert Call.ready().send(event).to_model == [event]
    raw = SendEvent(json.loads(event.encode()))
    assert Call.ready().send(raw).to_model == [event]


def test_an_update_has_both_formats_and_an_event_id() -> None:
    call = Call.ready()
    (update,) = call.send(UpdateSession({"type": "realtime", "instructions": "Be brief."})).to_model
    assert isinstance(update, UpdateSession)
    assert update.session["audio"]["input"]["format"] == PCMU
    assert update.event_id is not None
    refused = call.model(server_error("no", update.event_id))
    assert len(refused.faults) == 1
    assert call.send(HangUp()).closes  # the call had not ended


def test_a_value_that_is_no_command_is_misuse() -> None:
    nonsense: Any = "hang up"
    with pytest.raises(LocalProtocolError, match="str is not a command"):
        Call.ready().send(nonsense)


# Hanging up.


def test_hanging_up_after_playback_awaits_the_last_mark() -> None:
    """S82."""
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    assert call.send(HangUp(after_playback=True)).closes == []
    assert call.play(99).closes == []
    assert call.play(1).closes == [Peer.TWILIO, Peer.REALTIME]


def test_hanging_up_after_playback_awaits_a_requested_response() -> None:
    call = Call.ready()
    call.send(CreateResponse({"instructions": "Say goodbye."}))
    assert call.send(HangUp(after_playback=True)).closes == []
    call.model(created())
    assert call.model(response_done()).closes == [Peer.TWILIO, Peer.REALTIME]


def test_hanging_up_where_nothing_plays_happens_at_once() -> None:
    assert Call.ready().send(HangUp(after_playback=True)).closes == [Peer.TWILIO, Peer.REALTIME]


def test_a_caller_who_interrupts_the_goodbye_ends_the_call() -> None:
    """S82."""
    call = Call.talking(8000)
    call.send(HangUp(after_playback=True))
    call.wait(100)
    done = call.model(speech_started())
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.HUNG_UP, "the goodbye was interrupted")


def test_a_goodbye_with_signs_of_playing_is_not_cut() -> None:
    """S82."""
    call = Call.ready()
    call.model(created())
    marks = [name for _ in range(200) for name in call.model(delta(2080)).marks]  # of 52 s
    call.model(audio_done())
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    for name in marks[:-1]:
        assert call.wait(300).closes == []  # slower than it was sent
        assert call.phone(mark(name)).closes == []
    assert call.phone(mark(marks[-1])).closes == [Peer.TWILIO, Peer.REALTIME]


def test_a_stream_without_signs_of_playing_ends_the_call() -> None:
    """S82."""
    call = Call.talking(*[8000] * 30)
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    assert call.wait(9_900).closes == []
    assert call.wait(200).closes == [Peer.TWILIO, Peer.REALTIME]


# Special cases.


@pytest.mark.parametrize(
    "content", [(), "", [TextPart("")], [TextPart(""), TextPart("")], ImagePart("")]
)
def test_an_empty_message_is_misuse(content: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"SendMessage\.content says nothing"):
        Call.ready().send(SendMessage(content))


def test_a_message_may_have_an_empty_part_beside_others() -> None:
    item, _ = Call.ready().send(SendMessage([TextPart(""), ImagePart("data:x")])).to_model
    assert isinstance(item, CreateItem)
    assert len(item.item["content"]) == 2


def test_text_that_is_no_unicode_is_misuse() -> None:
    call = calling_a_function()
    with pytest.raises(LocalProtocolError):
        call.send(ResetHistory((UnknownItem("m", "mcp_call", {"output": "\ud800"}),)))
    assert len(call.send(SendFunctionOutput("c1", "sunny")).to_model) == 1


def test_an_output_of_another_history_answers_no_call() -> None:
    call = calling_a_function()
    old = (FunctionCall("a", "old", "weather"), FunctionOutput("b", "old", "rain"))
    assert len(call.send(ResetHistory(old)).to_model) == 2
    assert len(call.send(SendFunctionOutput("c1", "sunny")).to_model) == 1


def test_too_much_audio_before_the_session_is_misuse() -> None:
    call = Call.connected()
    with pytest.raises(LocalProtocolError, match="SessionReady"):
        call.send(SendAudio(bytes(80_001), commit=True))
    with pytest.raises(LocalProtocolError, match="SessionReady"):
        call.send(AppendAudio(audio(80_001)))


def test_a_second_interruption_may_cancel_an_uncancelled_response() -> None:
    call = Call.talking(800)
    assert types(call.send(Interrupt(cancel=False)).to_model) == []
    assert call.send(Interrupt()).to_model == [CancelResponse("r", "bridge-cancel-r")]
    assert call.send(Interrupt()).actions == []


def test_an_item_that_the_application_deletes_is_not_corrected() -> None:
    call = Call.talking(800)
    call.wait(50)
    call.send(DeleteItem("i"))
    assert types(call.send(Interrupt()).to_model) == ["response.cancel"]


def test_queued_hold_audio_is_dropped_by_an_interruption() -> None:
    call = Call.talking(8000)
    call.send(Play(b"\x00" * 800, "hold", until_agent_speaks=True))
    done = call.model(speech_started())
    assert done.to_twilio == [Clear("MZ1")]
    assert done.notified(ClipFinished) == [ClipFinished("hold", 0, 0)]


def test_hold_audio_delays_neither_outputs_nor_the_end() -> None:
    call = calling_a_function()
    call.model(response_done())
    call.send(Play(b"\x00" * 80_000, "hold", until_agent_speaks=True))
    given = call.send(SendFunctionOutput("c1", "sunny", respond=False, after_playback=True))
    assert types(given.to_model) == ["conversation.item.create"]
    done = call.send(HangUp(after_playback=True))
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]
    assert [each.name for each in done.notified(ClipFinished)] == ["hold"]


def test_a_model_that_never_answers_does_not_block_hanging_up() -> None:
    """S82."""
    call = Call.ready()
    call.send(CreateResponse())
    call.send(HangUp(after_playback=True))
    closes = list[Any]()
    for _ in range(11):
        done = call.wait(1000)
        closes += done.closes
        for name in done.marks:
            closes += call.phone(mark(name)).closes
    assert closes == [Peer.TWILIO, Peer.REALTIME]


def test_outputs_of_two_responses_cause_one_response() -> None:
    call = calling_a_function("c1")
    call.model(delta(8000))
    call.model(response_done())
    call.send(SendFunctionOutput("c1", "1", after_playback=True))
    call.model(created("s"))
    call.model({**function_call("c2"), "response_id": "s"})
    call.model(response_done("s"))
    call.send(SendFunctionOutput("c2", "2", after_playback=True))
    item = "conversation.item.create"
    assert types(call.play(1000).to_model) == [item, item, "response.create"]
    call.model(created("t"))
    assert call.model(response_done("t")).to_model == []


def test_an_item_deleted_by_the_application_is_deleted_once() -> None:
    call = Call.talking(8000)
    call.send(Interrupt(cancel=False))
    call.send(DeleteItem("i"))
    assert call.model(item_done()).to_model == []


@pytest.mark.parametrize("stage", [Call.streaming, Call.ready, lambda: Call.talking(800)])
def test_going_away_closes_both_links_with_1001(stage: Callable[[], Call]) -> None:
    call = stage()
    closes = [each for each in call.send(GoAway()).actions if isinstance(each, Close)]
    assert closes
    assert {each.code for each in closes} == {1001}
    *_, ended = [call.closed(close.peer, 1001) for close in closes]
    assert [event.reason for event in ended.notified(CallEnded)] == [EndReason.GOING_AWAY]


def test_going_away_does_not_close_a_call_that_has_ended_again() -> None:
    call = Call.ready()
    call.send(HangUp())
    assert call.send(GoAway()).actions == []
