"""The steps of a world as text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.world.steps import Step
from twilio_realtime_core.machine.actions import Peer, Send
from twilio_realtime_core.protocols.twilio import Mark


def argument_text(argument: object) -> str:
    """The text of an argument of a step."""
    text = str(Step(1_500_000, "bridge", "receive_text", (argument,), ()))
    assert text.startswith("       1.500 ms  bridge.receive_text(")
    return text.partition("(")[2].removesuffix(")")


def shown_fields(message: dict[str, Any]) -> Any:
    return json.loads(argument_text(json.dumps(message)))


SPOKEN = {
    "type": "response.output_audio.delta",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "f39/" * 500,
}


def test_a_message_shows_its_kind_and_ids() -> None:
    expected = {"type": SPOKEN["type"], "response_id": "resp_1", "item_id": "item_1"}
    assert shown_fields(SPOKEN) == expected


def test_a_message_shows_the_object_it_refers_to() -> None:
    item = {"id": "item_2", "type": "function_call", "name": "look", "call_id": "call_1"}
    added = {"type": "conversation.item.added", "previous_item_id": None, "item": item}
    assert shown_fields({**added, "item": {**item, "object": "realtime.item"}}) == added

    details = {"type": "cancelled", "reason": "turn_detected"}
    response = {"id": "resp_1", "status": "cancelled", "status_details": details}
    more: dict[str, Any] = {
        "audio": {"output": {"format": {"type": "audio/pcmu"}}},
        "output": [],
        "usage": None,
    }
    done = {"type": "response.done", "response": response}
    assert shown_fields({"type": "response.done", "response": {**response, **more}}) == done
    of_items = {**response, "output": [item, {"object": "x"}]}
    assert shown_fields({"type": "response.done", "response": of_items})["response"]["output"] == [
        item
    ]


def test_an_error_shows_the_event_that_caused_it() -> None:
    error = {"type": "x", "code": "y", "message": "z", "event_id": "history-1"}
    message = {"type": "error", "error": error}
    assert shown_fields({**message, "event_id": "event_1"}) == message


def test_streams_and_marks_of_twilio_are_shown() -> None:
    mark = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "bridge-1"}}
    assert shown_fields({**mark, "sequenceNumber": "4"}) == mark
    media = {"event": "media", "streamSid": "MZ1", "media": {"timestamp": "20"}}
    assert shown_fields({**media, "media": {"timestamp": "20", "payload": "////" * 40}}) == media


def test_empty_fields_and_fields_of_other_types_are_shown_unchanged() -> None:
    message = {"type": "error", "item_id": None, "code": 5, "name": {"id": "x", "y": 1}}
    assert shown_fields(message) == {**message, "name": {"id": "x"}}


def test_long_values_are_shortened() -> None:
    transcript = shown_fields({"type": "x", "transcript": "a" * 1000})["transcript"]
    assert transcript == "a" * 40 + "… (1000 characters)"
    names = [{"name": f"number {n}"} for n in range(100)]
    text = argument_text(json.dumps({"type": "x", "output": names}))
    assert text.startswith('{"type":"x","output":[{"name":"number 0"},')
    assert text.endswith(" characters)")
    assert len(text) < 280


@pytest.mark.parametrize("text", ["refused", "", "5", "null", "[]", "[1]", "{}", '{"delta":"x"}'])
def test_text_that_is_no_message_is_shown_unchanged(text: str) -> None:
    assert argument_text(text) == repr(text)
    assert argument_text(text + "{" * 200).startswith(repr(text)[:-1])


def test_actions_are_shown_with_their_names() -> None:
    mark = Send(Peer.TWILIO, Mark("MZ" + "0" * 32, "bridge-1"))
    step = Step(0, "bridge", "handle_timeout", (b"abc",), (mark, "x" * 200))
    _, sent, long = str(step).splitlines()
    assert "(<3 bytes>)" in str(step)
    assert "name='bridge-1'" in sent
    assert long.endswith("xx… (202 characters)")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "item", "id", "audio"]), inner, max_size=3)
    ),
)


@given(JSON)
def test_any_json_fits_on_one_line(value: object) -> None:
    text = argument_text(json.dumps(value))
    assert "\n" not in text
    assert len(text) < 280
