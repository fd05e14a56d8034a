"""Items of a conversation: from the server's events, from JSON and to JSON."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai.types.realtime import ConversationItem as ServerConversationItem
from pydantic import TypeAdapter

from twilio_realtime_core.conversation.history_diff import diff
from twilio_realtime_core.conversation.item_json import (
    item_from_json,
    item_from_server,
    item_to_json,
)
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols.realtime import Item
from twilio_realtime_core.values.items import (
    AudioPart,
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownItem,
    UnknownPart,
)

IMAGE = "data:image/png;base64,AAAA"


def read(**fields: Any) -> ConversationItem:
    return item_from_server(msgspec.convert({"id": "i", **fields}, Item))


def user(*content: Any) -> ConversationItem:
    return read(type="message", role="user", status="completed", content=list(content))


# From the server.


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "input_text", "text": "Hi"}, TextPart("Hi")),
        ({"type": "output_text", "text": "Hi"}, TextPart("Hi")),
        ({"type": "input_audio", "transcript": None}, AudioPart()),
        ({"type": "output_audio", "transcript": "Hi", "audio": "AAAA"}, AudioPart("Hi")),
        ({"type": "input_image", "image_url": IMAGE}, ImagePart(IMAGE)),
        ({"type": "input_image", "image_url": IMAGE, "detail": "low"}, ImagePart(IMAGE, "low")),
    ],
)
def test_each_kind_of_part_is_read(part: dict[str, Any], expected: ContentPart) -> None:
    assert user(part) == Message("i", Role.USER, (expected,))


def test_a_message_is_complete_unless_it_is_in_progress() -> None:
    for status, complete in [("in_progress", False), ("incomplete", True), (None, True)]:
        item = read(type="message", role="assistant", status=status, content=[])
        assert item == Message("i", Role.ASSISTANT, (), complete)


def test_calls_and_their_outputs_are_read() -> None:
    call = read(type="function_call", status="in_progress", call_id="c", name="f", arguments="")
    assert call == FunctionCall("i", "c", "f", "", is_complete=False)
    output = read(type="function_call_output", call_id="c", output="{}")
    assert output == FunctionOutput("i", "c", "{}")


def test_an_item_of_another_kind_keeps_its_fields() -> None:
    item = read(type="mcp_approval_request", server_label="docs", name="find", arguments="{}")
    data = {"server_label": "docs", "name": "find", "arguments": "{}"}
    assert item == UnknownItem("i", "mcp_approval_request", data)


def test_no_audio_is_kept_of_any_item() -> None:
    part = {"type": "strange", "audio": "AAAA", "x": 1}
    assert user(part) == Message("i", Role.USER, (UnknownPart("strange", {"x": 1}),))
    other = read(type="strange", content=[part])
    assert other == UnknownItem("i", "strange", {"content": [{"type": "strange", "x": 1}]})


def test_items_without_their_fields_are_read() -> None:
    assert read(type="function_call") == FunctionCall("i", "", "")
    assert read(type="function_call_output", output={"no": "text"}) == FunctionOutput("i", "")
    assert read(type="message", role="user", content="no list") == Message("i", Role.USER)
    assert read(type="message", role="narrator") == UnknownItem(
        "i", "message", {"role": "narrator"}
    )
    assert user({"type": "input_text", "text": 7}, {"type": "input_image"}) == Message(
        "i", Role.USER, (TextPart(""), ImagePart(""))
    )


def test_a_part_that_cannot_be_read_keeps_its_place() -> None:
    item = user(7, {"type": "input_text", "text": "Hi"})
    assert item == Message("i", Role.USER, (UnknownPart(""), TextPart("Hi")))


def test_deeply_nested_data_is_left_out() -> None:
    deep: Any = 1
    for _ in range(990):
        deep = [{"a": deep}]
    item = item_from_server(Item("i", "mcp_call", output=deep))
    assert item == item_from_server(Item("i", "mcp_call", output=deep))
    assert len(repr(item_to_json(item))) < 1000


# JSON.

texts = st.text(max_size=8)
maybe_texts = st.none() | texts
other_data = st.dictionaries(st.sampled_from(["name", "tools"]), st.integers() | texts, max_size=2)
parts: st.SearchStrategy[ContentPart] = st.one_of(
    st.builds(TextPart, texts),
    st.builds(AudioPart, maybe_texts),
    st.builds(AudioPart, maybe_texts, maybe_texts, st.integers(0, 9)),
    st.builds(ImagePart, texts, maybe_texts),
    st.builds(UnknownPart, st.just("strange"), other_data),
)
items: st.SearchStrategy[ConversationItem] = st.one_of(
    st.builds(
        Message,
        texts,
        st.sampled_from(Role),
        st.lists(parts, max_size=3).map(tuple),
        st.booleans(),
    ),
    st.builds(FunctionCall, texts, texts, texts, texts, st.booleans()),
    st.builds(FunctionOutput, texts, texts, texts),
    st.builds(UnknownItem, texts, st.just("mcp_call"), other_data),
)


@settings(max_examples=60)
@given(items)
@example(Message("i", Role.USER, (UnknownPart("strange", {"x": 1}), ImagePart("", "low"))))
@example(UnknownItem("i", "mcp_call", {"name": "f"}))
def test_an_item_is_equal_after_a_round_trip(item: ConversationItem) -> None:
    assert item_from_json(json.loads(json.dumps(item_to_json(item)))) == item


@pytest.mark.parametrize("role", [{"role": "developer"}, {"role": "tool"}, {"role": ""}, {}])
def test_a_message_of_an_unknown_role_is_equal_after_a_round_trip(role: dict[str, str]) -> None:
    content = [{"type": "input_text", "text": "x"}]
    item = read(type="message", status="completed", content=content, **role)
    assert isinstance(item, UnknownItem)
    data = json.loads(json.dumps(item_to_json(item)))
    assert item_from_json(data) == item
    with pytest.raises(LocalProtocolError, match=r"item\.role must be"):
        item_from_json({"id": "i", "type": "message", "content": content, **role})
    with pytest.raises(LocalProtocolError, match="only the server makes items of type 'message'"):
        diff([], [item])
    assert diff([item], [item]) == []


def test_the_data_has_the_shape_of_the_protocol() -> None:
    server: TypeAdapter[Any] = TypeAdapter(ServerConversationItem)
    for item in (
        Message("i", Role.SYSTEM, (TextPart("Be brief."),)),
        Message("i", Role.USER, (TextPart("Hi"), AudioPart(), ImagePart(IMAGE, "low"))),
        Message(
            "i", Role.ASSISTANT, (TextPart("Hi"), AudioPart("Hello", "Hel", 3)), is_complete=False
        ),
        FunctionCall("i", "c", "f", "{}"),
        FunctionOutput("i", "c", "{}"),
    ):
        server.validate_python(item_to_json(item), strict=True)
    assert item_to_json(Message("i", Role.ASSISTANT, (AudioPart("a b", "a", 50),))) == {
        "id": "i",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_audio", "transcript": "a b", "heard": "a", "heard_ms": 50}],
    }


def message(part: Any) -> dict[str, Any]:
    return {"id": "i", "type": "message", "role": "user", "content": [part]}


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ([], "item must be an object"),
        ({"id": "i"}, r"item\.type must be a string"),
        ({"type": "message", "id": 7}, r"item\.id must be a string"),
        ({"type": "message", "id": "i", "role": "asistant"}, r"item\.role must be 'system'"),
        ({"type": "message", "id": "i", "role": "user"}, r"item\.content must be a list"),
        ({"type": "function_call", "id": "i", "call_id": "c"}, r"item\.name must"),
        ({"type": "function_call_output", "id": "i"}, r"item\.call_id must"),
        (message("Hi"), r"item\.content\[0\] must be an object"),
        (message({}), r"item\.content\[0\]\.type must"),
        (message({"type": "input_text"}), r"item\.content\[0\]\.text must"),
        (message({"type": "input_image"}), r"item\.content\[0\]\.image_url must"),
        (message({"type": "input_audio", "transcript": 7}), r"\[0\]\.transcript must"),
        (message({"type": "input_audio", "heard": 7}), r"\[0\]\.heard must"),
        (message({"type": "input_audio", "heard_ms": -1}), r"\[0\]\.heard_ms must"),
        (message({"type": "input_audio", "heard_ms": True}), r"\[0\]\.heard_ms must"),
    ],
)
def test_wrong_data_is_refused_with_its_place(data: Any, place: str) -> None:
    with pytest.raises(LocalProtocolError, match=place):
        item_from_json(data)
