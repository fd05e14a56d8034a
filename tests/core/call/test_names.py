"""Rules on ids and names apply to those that the application invents."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from calling import (
    Call,
    created,
    function_call,
    item_added,
    item_complete,
    item_deleted,
    response_done,
)
from twilio_realtime_core import (
    LocalProtocolError,
    ResetHistory,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    SessionConfig,
)
from twilio_realtime_core.config.tools import ChooseFunction, FunctionTool
from twilio_realtime_core.machine.actions import Peer, Send
from twilio_realtime_core.notifications import FunctionCallRequested
from twilio_realtime_core.protocols.realtime import CreateItem, CreateResponse, UpdateSession
from twilio_realtime_core.values.identifiers import GivenNames
from twilio_realtime_core.values.items import (
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    Message,
    Role,
    TextPart,
)

ID_OF_36: Final = "item_0123456789_0123456789_012345678"
CALL_ID_OF_46: Final = "call_" + "x" * 41
NAME_OF_65: Final = "f" * 65


def message_item(id_: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": "x"}]
    return {"id": id_, "type": "message", "role": "user", "content": content}


def call_item(call_id: str = "c", name: str = "f", id_: str = "i") -> dict[str, Any]:
    return {"id": id_, "type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"}


def output_item(call_id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "1"}


BAD_ITEMS: Final = [
    (message_item(ID_OF_36), r"item\.id must be an id of 1 to 32 characters"),
    (message_item("a b"), r"item\.id must be an id"),
    (message_item("ä"), r"item\.id must be an id"),
    (message_item(""), r"item\.id must be an id"),
    (message_item("root"), r"item\.id must be .* not 'root'"),
    (call_item(CALL_ID_OF_46), r"item\.call_id must be an id of 1 to 32 characters"),
    (output_item(CALL_ID_OF_46), r"item\.call_id must be an id of 1 to 32 characters"),
    (call_item(name="a.b"), r"item\.name must be a name of 1 to 64 characters"),
    (call_item(name=NAME_OF_65), r"item\.name must be a name of 1 to 64 characters"),
    (call_item(name=""), r"item\.name must be a name"),
]


CREATIONS: Final[list[Callable[[dict[str, Any]], CreateItem | SendEvent]]] = [
    CreateItem,
    lambda item: SendEvent({"type": "conversation.item.create", "item": item}),
    lambda item: SendEvent({"type": "conversation.item.create", "item": item, "later": 1}),
]


@pytest.mark.parametrize(("item", "rule"), BAD_ITEMS)
@pytest.mark.parametrize("command", CREATIONS, ids=["typed", "data", "raw"])
def test_an_item_with_an_invented_name_that_breaks_a_rule_is_refused(
    item: dict[str, Any], rule: str, command: Callable[[dict[str, Any]], CreateItem | SendEvent]
) -> None:
    call = Call.ready()
    with pytest.raises(LocalProtocolError, match=rule):
        call.send(command(item))
    assert call.send(command(message_item("a" * 32))).to_model


@pytest.mark.parametrize(("item", "rule"), BAD_ITEMS)
def test_the_input_of_a_response_follows_the_rules(item: dict[str, Any], rule: str) -> None:
    reference = {"type": "item_reference", "id": ID_OF_36}
    call = Call.ready()
    with pytest.raises(LocalProtocolError, match=r"response.input.1."):
        call.send(CreateResponse({"input": [reference, item]}))
    assert call.bridge.send(CreateResponse({"input": [reference]}), call.now)
    assert rule


@pytest.mark.parametrize("conversation", ["conv", None])
def test_names_that_the_server_gives_with_the_end_of_a_response_are_known(
    conversation: str | None,
) -> None:
    call = Call.ready()
    call.model(response_done(conversation=conversation, output=[call_item(CALL_ID_OF_46)]))
    (event,) = call.send(CreateItem(output_item(CALL_ID_OF_46))).to_model
    assert event == CreateItem(output_item(CALL_ID_OF_46))


ODD_CALL: Final = call_item(CALL_ID_OF_46, "a.b", ID_OF_36)
OF_CALL: Final = {"response_id": "r", "item_id": ID_OF_36, "call_id": CALL_ID_OF_46}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "conversation.item.added", "item": ODD_CALL},
        {"type": "conversation.item.done", "item": ODD_CALL},
        {"type": "conversation.item.retrieved", "item": ODD_CALL},
        {"type": "response.output_item.added", "response_id": "r", "item": ODD_CALL},
        {"type": "response.output_item.done", "response_id": "r", "item": ODD_CALL},
        {"type": "response.function_call_arguments.delta", **OF_CALL, "delta": "{"},
        {"type": "response.function_call_arguments.done", **OF_CALL, "arguments": "{}"},
        {"type": "response.created", "response": {"id": "r", "output": [ODD_CALL]}},
        response_done(output=[ODD_CALL]),
    ],
    ids=lambda event: event["type"],
)
def test_every_event_that_names_a_call_makes_its_ids_known(event: dict[str, Any]) -> None:
    call = Call.ready()
    call.model(event)
    assert call.send(CreateItem(output_item(CALL_ID_OF_46))).to_model
    assert call.send(CreateItem(message_item(ID_OF_36))).to_model
    with pytest.raises(LocalProtocolError, match=r"item\.id"):
        call.send(CreateItem(message_item(ID_OF_36 + "x")))


def test_the_name_with_the_arguments_of_a_call_is_known() -> None:
    call = Call.ready()
    done = {"type": "response.function_call_arguments.done", **OF_CALL, "arguments": "{}"}
    call.model({**done, "name": "a.b"})
    assert call.send(CreateItem(call_item(name="a.b"))).to_model


TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
OF_PART: Final = {"response_id": "r", "content_index": 0}


OF_ITEM: Final = {"item_id": ID_OF_36}
BEHIND_ITEM: Final = {"previous_item_id": ID_OF_36}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "input_audio_buffer.speech_started", **OF_ITEM, "audio_start_ms": 1},
        {"type": "input_audio_buffer.speech_stopped", **OF_ITEM, "audio_end_ms": 1},
        {"type": "input_audio_buffer.committed", **OF_ITEM},
        {"type": "input_audio_buffer.committed", "item_id": "a", **BEHIND_ITEM},
        {"type": "input_audio_buffer.timeout_triggered", **OF_ITEM},
        {"type": f"{TRANSCRIPTION}.delta", **OF_ITEM, "delta": "x"},
        {"type": f"{TRANSCRIPTION}.completed", **OF_ITEM, "transcript": "x"},
        {"type": f"{TRANSCRIPTION}.failed", **OF_ITEM},
        {"type": f"{TRANSCRIPTION}.segment", **OF_ITEM, "text": "x"},
        {"type": "conversation.item.added", "item": message_item("a"), **BEHIND_ITEM},
        {"type": "conversation.item.done", "item": message_item("a"), **BEHIND_ITEM},
        {"type": "conversation.item.deleted", **OF_ITEM},
        {
            "type": "conversation.item.truncated",
            **OF_ITEM,
            "content_index": 0,
            "audio_end_ms": 1,
        },
        {"type": "response.output_audio.delta", **OF_ITEM, **OF_PART, "delta": "AAAA"},
        {"type": "response.output_audio.done", **OF_ITEM, **OF_PART},
        {"type": "response.output_audio_transcript.delta", **OF_ITEM, **OF_PART, "delta": "x"},
        {"type": "response.output_text.done", **OF_ITEM, **OF_PART, "text": "x"},
        {"type": "response.content_part.added", **OF_ITEM, **OF_PART, "part": {}},
        {"type": "mcp_list_tools.in_progress", **OF_ITEM},
    ],
    ids=lambda event: event["type"],
)
def test_every_event_that_names_an_item_makes_its_id_known(event: dict[str, Any]) -> None:
    call = Call.ready()
    call.model(event)
    assert call.send(CreateItem(message_item(ID_OF_36))).to_model


@pytest.mark.parametrize("id_", ["", "root"])
def test_an_id_that_no_item_can_have_is_never_known(id_: str) -> None:
    call = Call.ready()
    call.model(item_deleted(id_))
    with pytest.raises(LocalProtocolError, match=r"item\.id"):
        call.send(CreateItem(message_item(id_)))


def test_an_input_that_is_no_item_is_left_to_the_server() -> None:
    event = CreateResponse({"input": ["m"]}, "e")
    assert Call.ready().bridge.send(event, 0) == [Send(Peer.REALTIME, event)]


def test_an_item_of_the_agent_is_sent() -> None:
    item: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
    (event,) = Call.ready().bridge.send(CreateItem(item), 0)
    assert event == Send(Peer.REALTIME, CreateItem(item))


def test_an_item_that_is_no_object_is_misuse() -> None:
    body = {"type": "conversation.item.create", "item": "m", "later": 1}
    with pytest.raises(LocalProtocolError, match=r"Expected `object`, got `str` - at `\$.item`"):
        Call.ready().send(SendEvent(body))


BAD_TOOLS: Final[list[dict[str, Any]]] = [
    {"tools": [{"type": "function", "name": "a.b"}]},
    {"tools": ({"type": "mcp", "server_label": "a.b"}, {"type": "function", "name": NAME_OF_65})},
    {"tool_choice": {"type": "function", "name": "a b"}},
    {"tools": [{"type": "function", "name": 5}]},
]


@pytest.mark.parametrize("fields", BAD_TOOLS)
def test_names_of_functions_follow_the_rules_in_every_form(fields: dict[str, Any]) -> None:
    name = "must be a name of 1 to 64 characters of a-z, A-Z, 0-9, _ and -"
    with pytest.raises(LocalProtocolError, match=rf"session\.tool.*\.name {name}"):
        SessionConfig(**fields)
    with pytest.raises(LocalProtocolError, match=rf"session\.tool.*\.name {name}"):
        SessionConfig(extra_fields=fields)
    call = Call.ready()
    with pytest.raises(LocalProtocolError, match=rf"session\.tool.*\.name {name}"):
        call.send(UpdateSession(fields))
    with pytest.raises(LocalProtocolError, match=rf"response\.tool.*\.name {name}"):
        call.send(SendEvent({"type": "response.create", "response": fields}))


@pytest.mark.parametrize("name", ["a.b", NAME_OF_65, "", "é"])
def test_a_function_has_a_name_that_the_server_accepts(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"FunctionTool\.name must be a name of 1 to 64"):
        FunctionTool(name)
    with pytest.raises(LocalProtocolError, match=r"ChooseFunction\.name must be a name"):
        ChooseFunction(name)
    assert FunctionTool("f" * 64).name == "f" * 64


@pytest.mark.parametrize(
    ("items", "rule"),
    [
        ([Message(ID_OF_36, Role.USER, (TextPart("x"),))], r"items\[0\]\.id must be"),
        ([FunctionCall("a", CALL_ID_OF_46, "f", "{}")], r"items\[0\]\.call_id must be"),
        ([FunctionCall("a", "c", "a.b", "{}")], r"items\[0\]\.name must be"),
    ],
)
def test_a_reset_follows_the_rules(items: list[ConversationItem], rule: str) -> None:
    call = Call.ready()
    call.model(item_added("kept", status="completed"))
    with pytest.raises(LocalProtocolError, match=rule):
        call.send(ResetHistory(items))


def test_names_that_the_server_gave_are_accepted() -> None:
    """In references, in outputs, and where the item is created again."""
    call = Call.ready()
    content = [{"type": "input_text", "text": "x"}]
    odd: dict[str, Any] = {"role": "user", "content": content, "status": "completed"}
    call.model(item_added(ID_OF_36, **odd))
    call.model(item_added("next", ID_OF_36, **odd))
    assert call.send(SendMessage("x", extra_fields={"previous_item_id": ID_OF_36})).to_model
    kept = Message(ID_OF_36, Role.USER, (TextPart("x"),))
    assert call.send(ResetHistory([Message("next", Role.USER, (TextPart("x"),)), kept])).to_model
    call.model(item_deleted(ID_OF_36))
    assert call.send(CreateItem(message_item(ID_OF_36))).to_model


def test_a_call_that_the_server_gave_is_answered_and_created_again() -> None:
    call = Call.ready()
    odd = {"type": "function_call", "call_id": CALL_ID_OF_46, "name": "a.b", "arguments": "{}"}
    call.model(item_added("i", **odd))
    call.model(item_complete("i", **odd))
    done = call.model(function_call(CALL_ID_OF_46))
    assert done.notified(FunctionCallRequested)[0].call_id == CALL_ID_OF_46
    assert call.send(SendFunctionOutput(CALL_ID_OF_46, "1")).to_model
    again = FunctionCall("i", CALL_ID_OF_46, "a.b", "{}"), FunctionOutput("o", CALL_ID_OF_46, "1")
    assert call.send(ResetHistory([Message("n", Role.USER, (TextPart("x"),)), *again])).to_model


def test_a_reset_that_answers_an_open_call_is_its_only_answer() -> None:
    call = Call.ready()
    call.model(created())
    fields = {"type": "function_call", "call_id": "f", "name": "look_up", "arguments": "{}"}
    call.model(item_added("i", **fields))
    call.model(function_call())
    call.model(item_complete("i", **fields))
    call.model(response_done())
    output = FunctionOutput("o", "f", "1")
    edits = call.send(ResetHistory([FunctionCall("i", "f", "look_up", "{}"), output])).to_model
    assert [type(each) for each in edits] == [CreateItem]
    with pytest.raises(LocalProtocolError, match="has its output"):
        call.send(SendFunctionOutput("f", "2"))


def test_so_many_odd_names_are_remembered() -> None:
    given = GivenNames()
    for number in range(7000):
        given.note(f"item {number}", "call", None)
    assert "item 6999" in given
    assert "item 0" not in given
    assert "call" not in given
