import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import (
    RealtimeClientEvent,
    RealtimeConversationItemFunctionCall,
    RealtimeConversationItemFunctionCallOutput,
    RealtimeConversationItemUserMessage,
    RealtimeMcpApprovalRequest,
    RealtimeMcpApprovalResponse,
    RealtimeMcpListTools,
    RealtimeMcpToolCall,
    RealtimeServerEvent,
)
from pydantic import BaseModel, TypeAdapter

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    AudioCommittedEvent,
    CancelResponse,
    ClearInputAudio,
    ClearOutputAudio,
    ClientEvent,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    ErrorEvent,
    IdleTimeoutEvent,
    InputTranscriptCompletedEvent,
    InputTranscriptDeltaEvent,
    InputTranscriptFailedEvent,
    Item,
    ItemAddedEvent,
    ItemDeletedEvent,
    ItemDoneEvent,
    ItemRetrievedEvent,
    ItemTruncatedEvent,
    McpCallCompletedEvent,
    McpCallFailedEvent,
    McpCallInProgressEvent,
    McpToolsCompletedEvent,
    McpToolsFailedEvent,
    OutputAudioDeltaEvent,
    OutputAudioDoneEvent,
    OutputItemAddedEvent,
    OutputItemDoneEvent,
    OutputTextDeltaEvent,
    OutputTextDoneEvent,
    OutputTranscriptDeltaEvent,
    OutputTranscriptDoneEvent,
    RateLimitsEvent,
    RawClientEvent,
    Response,
    ResponseCreatedEvent,
    ResponseDoneEvent,
    RetrieveItem,
    ServerError,
    SessionCreatedEvent,
    SessionUpdatedEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
    TruncateItem,
    UnknownServerEvent,
    UpdateSession,
    check_encodable,
    client_event,
    decode,
)
from twilio_realtime_core.values.items import TextPart

TRACES = Path(__file__).parents[1] / "traces"
EVENTS = Path(__file__).parents[3] / "fuzz" / "corpus" / "realtime"


class Shout(str):
    """Text of another class."""

    __slots__ = ()


def types_of(union: Any) -> list[str]:
    """The `type`s of the events of one of the vendor's unions."""
    models = get_args(get_args(union)[0])
    return [get_args(model.model_fields["type"].annotation)[0] for model in models]


def frames(direction: str) -> list[Any]:
    """The frames of the recorded sessions in one direction."""
    return [
        pytest.param(frame["event"], id=f"{path.stem}:{number}")
        for path in sorted(TRACES.glob("*.jsonl"))
        for number, frame in enumerate(
            map(json.loads, path.read_text("utf-8").splitlines()), start=1
        )
        if frame["direction"] == direction
    ]


def matches(event: Any, wire: Mapping[str, Any]) -> bool:
    """Whether every field of `event` is on the wire, by its name and with its value; only what has
    no value, or is for the bridge alone, may be left out there."""
    fields = attrs.asdict(event, recurse=False)
    fields.pop("waits_for_caller", None)
    return all(
        matches(value, wire[name])
        if hasattr(value, "__attrs_attrs__")
        else value == wire.get(name) and (name in wire or value is None)
        for name, value in fields.items()
    )


# From the server.

TYPED = {
    "session.created": SessionCreatedEvent,
    "session.updated": SessionUpdatedEvent,
    "error": ErrorEvent,
    "input_audio_buffer.speech_started": SpeechStartedEvent,
    "input_audio_buffer.speech_stopped": SpeechStoppedEvent,
    "input_audio_buffer.committed": AudioCommittedEvent,
    "conversation.item.input_audio_transcription.delta": InputTranscriptDeltaEvent,
    "conversation.item.input_audio_transcription.completed": InputTranscriptCompletedEvent,
    "response.created": ResponseCreatedEvent,
    "response.done": ResponseDoneEvent,
    "response.output_item.done": OutputItemDoneEvent,
    "response.output_audio.delta": OutputAudioDeltaEvent,
    "response.output_audio.done": OutputAudioDoneEvent,
    "response.output_audio_transcript.delta": OutputTranscriptDeltaEvent,
    "response.output_audio_transcript.done": OutputTranscriptDoneEvent,
    "conversation.item.added": ItemAddedEvent,
    "conversation.item.created": ItemAddedEvent,
    "conversation.item.done": ItemDoneEvent,
    "conversation.item.deleted": ItemDeletedEvent,
    "conversation.item.retrieved": ItemRetrievedEvent,
    "conversation.item.truncated": ItemTruncatedEvent,
    "conversation.item.input_audio_transcription.failed": InputTranscriptFailedEvent,
    "input_audio_buffer.timeout_triggered": IdleTimeoutEvent,
    "rate_limits.updated": RateLimitsEvent,
    "response.output_item.added": OutputItemAddedEvent,
    "response.output_text.delta": OutputTextDeltaEvent,
    "response.output_text.done": OutputTextDoneEvent,
    "mcp_list_tools.completed": McpToolsCompletedEvent,
    "mcp_list_tools.failed": McpToolsFailedEvent,
    "response.mcp_call.in_progress": McpCallInProgressEvent,
    "response.mcp_call.completed": McpCallCompletedEvent,
    "response.mcp_call.failed": McpCallFailedEvent,
}
server_events: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


@pytest.mark.parametrize("kind", types_of(RealtimeServerEvent))
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_every_server_event_is_read(kind: str, separators: tuple[str, str]) -> None:
    wire = json.loads((EVENTS / f"{kind}.json").read_text("utf-8"))
    assert wire["type"] == kind
    server_events.validate_python(wire)
    event = decode(json.dumps(wire, separators=separators))
    assert type(event) is TYPED.get(kind, UnknownServerEvent)
    assert matches(event, wire)


@pytest.mark.parametrize("wire", frames("received"))
def test_every_frame_that_a_server_sent_is_read(wire: dict[str, Any]) -> None:
    event = decode(json.dumps(wire))
    assert type(event) is TYPED.get(wire["type"], UnknownServerEvent)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (
            '{"type":"response.smell.delta","delta":"rose"}',
            UnknownServerEvent("response.smell.delta"),
        ),
        (
            '{"type":"input_audio_buffer.speech_started"}',
            SpeechStartedEvent(item_id=None, audio_start_ms=None),
        ),
        (
            '{"type":"input_audio_buffer.speech_stopped","audio_end_ms":12.5,"item_id":null}',
            SpeechStoppedEvent(item_id=None, audio_end_ms=12.5),
        ),
        (
            '{"type":"input_audio_buffer.committed","item_id":"i","previous_item_id":null}',
            AudioCommittedEvent("i"),
        ),
        (
            '{"type":"conversation.item.input_audio_transcription.delta","item_id":"i"}',
            InputTranscriptDeltaEvent("i"),
        ),
        ('{"type":"error","error":{}}', ErrorEvent(ServerError())),
        (
            '{"type":"error","error":{"type":null,"code":null,"message":"no","param":null}}',
            ErrorEvent(ServerError("no")),
        ),
        (
            '{"type":"response.done","response":{"id":"r","usage":null,"new":{}}}',
            ResponseDoneEvent(Response("r")),
        ),
        (
            '{"type":"response.output_item.done","response_id":"r","item":{"id":"i","type":"x"}}',
            OutputItemDoneEvent("r", Item("i", "x")),
        ),
        (
            '{"type":"response.output_audio.done","response_id":"r","item_id":"i"}',
            OutputAudioDoneEvent("r", "i", 0),
        ),
        (
            '{"type":"response.output_text.delta","response_id":"r","item_id":"i","delta":"a"}',
            OutputTextDeltaEvent("r", "i", "a", 0),
        ),
        (
            '{"type":"response.output_text.done","response_id":"r","item_id":"i","text":"ab"}',
            OutputTextDoneEvent("r", "i", "ab", 0),
        ),
        (
            '{"type":"conversation.item.added","item":{"id":"i","type":"x"}}',
            ItemAddedEvent(Item("i", "x"), ""),
        ),
        (
            '{"type":"conversation.item.added","item":{"id":"i","type":"x"},"previous_item_id":null}',
            ItemAddedEvent(Item("i", "x"), None),
        ),
        (
            '{"type":"conversation.item.input_audio_transcription.failed","item_id":"i"}',
            InputTranscriptFailedEvent("i", ServerError()),
        ),
    ],
)
def test_fields_that_a_server_leaves_out_have_defaults(text: str, event: object) -> None:
    assert decode(text) == event


ITEMS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (
        RealtimeConversationItemUserMessage,
        {"role": "user", "content": [{"type": "input_audio", "transcript": None}]},
    ),
    (
        RealtimeConversationItemFunctionCall,
        {"status": "completed", "call_id": "c", "name": "look", "arguments": "{}"},
    ),
    (RealtimeConversationItemFunctionCallOutput, {"call_id": "c", "output": "42"}),
    (
        RealtimeMcpListTools,
        {"server_label": "docs", "tools": [{"name": "look", "input_schema": {"type": "object"}}]},
    ),
    (RealtimeMcpApprovalRequest, {"server_label": "docs", "name": "look", "arguments": "{}"}),
    (RealtimeMcpApprovalResponse, {"approval_request_id": "r", "approve": False}),
    (
        RealtimeMcpToolCall,
        {
            "server_label": "docs",
            "name": "look",
            "arguments": "{}",
            "approval_request_id": None,
            "output": None,
            "error": {"type": "http_error", "code": 404, "message": "no"},
        },
    ),
]


@pytest.mark.parametrize(("model", "fields"), ITEMS, ids=lambda each: getattr(each, "__name__", ""))
def test_every_kind_of_item_is_read(model: type[BaseModel], fields: dict[str, Any]) -> None:
    (kind,) = get_args(model.model_fields["type"].annotation)
    wire: dict[str, Any] = {"id": "i", "type": kind, **fields}
    assert not model.model_validate(wire).model_extra
    text = json.dumps({"type": "conversation.item.done", "item": wire})
    assert decode(text) == ItemDoneEvent(Item(**wire))


def test_an_out_of_band_response_has_no_conversation() -> None:
    outside = decode('{"type":"response.created","response":{"id":"r","conversation_id":null}}')
    unnamed = decode('{"type":"response.created","response":{"id":"r"}}')
    assert outside == ResponseCreatedEvent(Response("r", conversation_id=None))
    assert unnamed == ResponseCreatedEvent(Response("r", conversation_id=""))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", FaultKind.NOT_JSON),
        ("[]", FaultKind.NOT_JSON),
        ('{"type":"response.done"', FaultKind.NOT_JSON),
        ("{}", FaultKind.BAD_MESSAGE),
        ('{"type":7}', FaultKind.BAD_MESSAGE),
        ('{"type":"response.done"}', FaultKind.BAD_MESSAGE),
        ('{"type":"response.done","response":null}', FaultKind.BAD_MESSAGE),
        ('{"type":"session.created","session":[]}', FaultKind.BAD_MESSAGE),
        ('{"type":"error","error":null}', FaultKind.BAD_MESSAGE),
        (
            '{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":null}',
            FaultKind.BAD_MESSAGE,
        ),
    ],
)
def test_faults_of_the_server_are_reported(text: str, kind: FaultKind) -> None:
    fault = decode(text)
    assert isinstance(fault, Fault)
    assert (fault.peer, fault.kind) == (Peer.REALTIME, kind)


# To the server.

SESSION: dict[str, Any] = {
    "type": "realtime",
    "instructions": 'Say "hello".',
    "audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}},
}
MESSAGE: dict[str, Any] = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Hé"}],
}

SENDABLE: list[ClientEvent] = [
    UpdateSession(SESSION),
    UpdateSession(SESSION, event_id="e"),
    AppendAudio("/38="),
    AppendAudio("/38=", event_id="e"),
    CommitAudio(),
    CommitAudio(event_id="e"),
    ClearInputAudio(),
    ClearInputAudio(event_id="e"),
    ClearOutputAudio(),
    ClearOutputAudio(event_id="e"),
    CreateItem(MESSAGE),
    CreateItem(MESSAGE, previous_item_id="root", event_id="e"),
    RetrieveItem("i"),
    RetrieveItem("i", event_id="e"),
    TruncateItem("i", 0, 1500),
    TruncateItem("i", 0, 0, event_id="e"),
    DeleteItem("i"),
    DeleteItem("i", event_id="e"),
    CreateResponse(),
    CreateResponse({}),
    CreateResponse({"conversation": "none", "metadata": {"k": "v"}}, event_id="e"),
    CancelResponse(),
    CancelResponse("r", event_id="e"),
]
client_events: TypeAdapter[BaseModel] = TypeAdapter(RealtimeClientEvent)


def body_of(event: ClientEvent) -> dict[str, Any]:
    """The fields of an event, in which the vendor's types have found nothing wrong or unknown."""
    text = event.encode()
    model = client_events.validate_json(text)
    assert not model.model_extra
    body: dict[str, Any] = json.loads(text)
    return body


def present(event: ClientEvent) -> list[str]:
    """The names of the fields that are not left out."""
    return [name for name, value in attrs.asdict(event).items() if value is not None]


@pytest.mark.parametrize("event", SENDABLE, ids=lambda event: event.type)
def test_every_client_event_is_one_by_the_vendors_types(event: ClientEvent) -> None:
    body = body_of(event)
    assert body["type"] == event.type
    assert body.keys() == {"type", *present(event)} - {"waits_for_caller"}
    assert matches(event, body)


def test_every_type_of_client_event_can_be_sent() -> None:
    assert {event.type for event in SENDABLE} == set(types_of(RealtimeClientEvent))


@pytest.mark.parametrize("event", SENDABLE, ids=lambda event: event.type)
def test_plain_data_becomes_the_equal_event(event: ClientEvent) -> None:
    assert client_event(json.loads(event.encode())) == event


@pytest.mark.parametrize("wire", frames("sent"))
def test_every_recorded_client_event_can_be_sent_unchanged(wire: dict[str, Any]) -> None:
    event = client_event(wire)
    assert not isinstance(event, RawClientEvent)
    assert body_of(event) == wire


ids = st.text(max_size=20) | st.sampled_from(['"', '","type":"x', "\\", "\u2028\0", "item_Ä😀"])
optional_ids = st.none() | ids
json_objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(max_size=5),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(max_size=5)
    | st.just(["x", 1]),
    max_size=3,
)
arbitrary_events: st.SearchStrategy[ClientEvent] = st.one_of(
    st.builds(AppendAudio, st.just("/38="), optional_ids),
    st.builds(CommitAudio, optional_ids),
    st.builds(ClearInputAudio, optional_ids),
    st.builds(ClearOutputAudio, optional_ids),
    st.builds(RetrieveItem, ids, optional_ids),
    st.builds(TruncateItem, ids, st.integers(0), st.integers(0), optional_ids),
    st.builds(DeleteItem, ids, optional_ids),
    st.builds(CancelResponse, optional_ids, optional_ids),
    st.builds(CreateItem, st.just(MESSAGE), optional_ids, optional_ids),
    st.builds(
        CreateResponse, st.none() | ids.map(lambda words: {"instructions": words}), optional_ids
    ),
    st.builds(
        UpdateSession,
        ids.map(lambda words: {"type": "realtime", "instructions": words}),
        optional_ids,
    ),
)


@given(arbitrary_events)
def test_no_value_of_a_field_spoils_an_event(event: ClientEvent) -> None:
    body = body_of(event)
    assert body.keys() == {"type", *present(event)} - {"waits_for_caller"}
    assert client_event(body) == event


@given(ids, json_objects)
def test_an_event_of_an_unknown_type_is_sent_unchanged(kind: str, more: dict[str, Any]) -> None:
    body = {**more, "type": f"x.{kind}"}
    event = client_event(body)
    assert event == RawClientEvent(f"x.{kind}", body)
    assert json.loads(event.encode()) == body


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (
            {"type": "response.cancel", "response_id": "r", "reason": "tired"},
            CancelResponse("r", extra_fields={"reason": "tired"}),
        ),
        (
            {"type": "conversation.item.delete", "item_id": "i", "waits_for_caller": 1},
            DeleteItem("i", extra_fields={"waits_for_caller": 1}),
        ),
        (
            {"type": "session.update", "session": {}, "rate": 1},
            UpdateSession({}, extra_fields={"rate": 1}),
        ),
        (
            {"type": "response.create", "event_id": "e", "priority": "high"},
            CreateResponse(event_id="e", extra_fields={"priority": "high"}),
        ),
        (
            {"type": "input_audio_buffer.append", "audio": "/38=", "x": None, "extra_fields": 1},
            AppendAudio("/38=", extra_fields={"x": None, "extra_fields": 1}),
        ),
    ],
)
def test_an_event_of_a_known_type_is_typed_with_unknown_fields(
    body: dict[str, Any], event: ClientEvent
) -> None:
    assert client_event(body) == event
    assert json.loads(event.encode()) == body


def test_an_unknown_field_never_replaces_a_documented_one() -> None:
    event = CreateResponse({"instructions": "a"}, extra_fields={"type": "x", "response": "y"})
    assert json.loads(event.encode()) == {
        "type": "response.create",
        "response": {"instructions": "a"},
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "needs a 'type'"),
        ({"type": None}, "needs a 'type'"),
        ({"type": 7}, "needs a 'type'"),
        ({"type": "input_audio_buffer.append"}, "missing required field `audio`"),
        ({"type": "input_audio_buffer.append", "audio": None}, r"`\$.audio`"),
        ({"type": "input_audio_buffer.append", "audio": ""}, "empty, or not base64"),
        ({"type": "input_audio_buffer.append", "audio": '"}'}, "empty, or not base64"),
        ({"type": "session.update", "session": None}, r"`\$.session`"),
        ({"type": "response.create", 1: 2, "x": 3}, "each name in response.create must be text"),
        ({"type": "response.cancel", "event_id": object()}, "must be JSON data, not object"),
        ({"type": "response.cancel", "event_id": 7}, r"`\$.event_id`"),
        ({"type": "conversation.item.create", "item": {"text": "\ud800"}}, "surrogates"),
        ({"type": "x", "y": object()}, r"x\.y must be JSON data, not object"),
        ({"type": "\ud800"}, "surrogates"),
    ],
)
def test_data_that_cannot_be_sent_is_misuse(body: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        client_event(body)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "must be JSON data, not object"),
        ({1, 2}, "must be JSON data, not set"),
        (b"hi", "must be JSON data, not bytes"),
        (date(2026, 1, 1), "must be JSON data, not date"),
        (Decimal("0.5"), "must be JSON data, not Decimal"),
        (TextPart("x"), "must be JSON data, not TextPart"),
        (float("nan"), "must be JSON data: it is nan"),
        (float("inf"), "must be JSON data: it is inf"),
        ("\ud800", "must be JSON data: it has lone surrogates"),
        (Shout("hi"), "must be JSON data: it is of the class Shout"),
    ],
)
def test_the_place_of_what_is_not_json_is_named(value: object, message: str) -> None:
    item = {"type": "message", "content": [{"text": "fine"}, {"text": value}]}
    place = r"conversation\.item\.create\.item\.content\[1\]\.text"
    with pytest.raises(LocalProtocolError, match=f"^{place} {message}$"):
        check_encodable(CreateItem(item))
    with pytest.raises(LocalProtocolError, match=f"^{place} {message}$"):
        client_event({"type": "conversation.item.create", "item": item})
    with pytest.raises(LocalProtocolError, match=rf"^x\.y {message}$"):
        check_encodable(RawClientEvent("x", {"type": "x", "y": value}))


def test_a_name_in_json_is_text() -> None:
    with pytest.raises(LocalProtocolError, match=r"^each name in response\.create\.response must"):
        check_encodable(CreateResponse({1: 2}))  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [None, True, 2**70, 0.5, "é", (), [1, ("x",)], {"a": {}}])
def test_json_data_can_be_encoded(value: object) -> None:
    check_encodable(CreateResponse({"x": value}, extra_fields={"y": value}))


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (CreateResponse(extra_fields={"response": {}}), "CreateResponse.*'response'"),
        (CreateItem({}, extra_fields={"previous_item_id": 5}), "CreateItem.*'previous_item_id'"),
        (DeleteItem("i", extra_fields={"item_id": "j"}), "DeleteItem.*'item_id'"),
        (AppendAudio("AAAA", extra_fields={"event_id": 5}), "AppendAudio.*'event_id'"),
        (CommitAudio(extra_fields={"type": "x"}), "CommitAudio.*'type'"),
    ],
)
def test_an_unknown_field_is_not_one_of_the_event(event: ClientEvent, name: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"{name}, which .* sets: use its fields"):
        check_encodable(event)


def test_data_that_is_nested_without_end_is_misuse() -> None:
    session: dict[str, Any] = {}
    session["session"] = session
    with pytest.raises(LocalProtocolError, match="nested too deeply"):
        client_event({"type": "session.update", "session": session})


def test_values_show_no_session_and_nothing_that_was_said() -> None:
    secret = "sk-secret"
    content = {"key": secret}
    events = [
        SessionCreatedEvent(content),
        SessionUpdatedEvent(content),
        Item("i", "x", content=secret, arguments=secret, output=secret, tools=secret, error=secret),
        InputTranscriptDeltaEvent("i", secret),
        InputTranscriptCompletedEvent("i", secret),
        OutputAudioDeltaEvent("r", "i", secret),
        OutputTranscriptDeltaEvent("r", "i", secret),
        OutputTranscriptDoneEvent("r", "i", secret),
        OutputTextDeltaEvent("r", "i", secret),
        OutputTextDoneEvent("r", "i", secret),
        UpdateSession(content),
        AppendAudio(secret),
        CreateItem(content),
        CreateResponse(content),
        RawClientEvent("x", content),
    ]
    assert secret not in repr(events)


@pytest.mark.parametrize(
    "kind",
    [
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.delta",
        "response.output_text.done",
        "conversation.item.truncated",
        "conversation.item.input_audio_transcription.delta",
    ],
)
def test_a_negative_index_is_a_fault(kind: str) -> None:
    wire = json.loads((EVENTS / f"{kind}.json").read_text("utf-8"))
    event = decode(json.dumps({**wire, "content_index": -1}))
    assert isinstance(event, Fault)
    assert event.kind is FaultKind.BAD_MESSAGE


@pytest.mark.parametrize(
    ("response_id", "is_named"), [("r", True), ("", True), (None, False), (5, False), ([], False)]
)
def test_an_event_that_is_not_typed_names_its_response(response_id: Any, *, is_named: bool) -> None:
    event = decode(json.dumps({"type": "response.smell.delta", "response_id": response_id}))
    expected = response_id if is_named else None
    assert event == UnknownServerEvent("response.smell.delta", expected)
