"""The steps of a world, as text: what a message is about comes first."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.world.steps import Step
from twilio_realtime_core.machine.actions import Peer, Send
from twilio_realtime_core.protocols.twilio import Mark


def told(argument: object) -> str:
    """What a step tells of its argument."""
    text = str(Step(1_500_000, "bridge", "receive_text", (argument,), ()))
    assert text.startswith("       1.500 ms  bridge.receive_text(")
    return text.partition("(")[2].removesuffix(")")


def shown(message: dict[str, Any]) -> Any:
    return json.loads(told(json.dumps(message)))


SPOKEN = {
    "type": "response.output_audio.delta",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "f39/" * 500,
}


def test_a_message_is_told_by_its_kind_and_its_ids() -> None:
    expected = {"type": SPOKEN["type"], "response_id": "resp_1", "item_id": "item_1"}
    assert shown(SPOKEN) == expected


def test_so_is_what_it_is_about() -> None:
    item = {"id": "item_2", "type": "function_call", "name": "look", "call_id": "call_1"}
    added = {"type": "conversation.item.added", "previous_item_id": None, "item": item}
    assert shown({**added, "item": {**item, "object": "realtime.item"}}) == added

    details = {"type": "cancelled", "reason": "turn_detected"}
    response = {"id": "resp_1", "status": "cancelled", "status_details": details}
    more: dict[str, Any] = {
        "audio": {"output": {"format": {"type": "audio/pcmu"}}},
        "output": [],
        "usage": None,
    }
    done = {"type": "response.done", "response": response}
    assert shown({"type": "response.done", "response": {**response, **more}}) == done
    of_items = {**response, "output": [item, {"object": "x"}]}
    assert shown({"type": "response.done", "response": of_items})["response"]["output"] == [item]


def test_an_error_tells_which_event_it_is_about() -> None:
    error = {"type": "x", "code": "y", "message": "z", "event_id": "history-1"}
    message = {"type": "error", "error": error}
    assert shown({**message, "event_id": "event_1"}) == message


def test_what_twilio_says_of_a_stream_and_a_mark_is_told() -> None:
    mark = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "bridge-1"}}
    assert shown({**mark, "sequenceNumber": "4"}) == mark
    media = {"event": "media", "streamSid": "MZ1", "media": {"timestamp": "20"}}
    assert shown({**media, "media": {"timestamp": "20", "payload": "////" * 40}}) == media


def test_a_field_that_is_empty_or_of_another_kind_is_told_as_it_is() -> None:
    message = {"type": "error", "item_id": None, "code": 5, "name": {"id": "x", "y": 1}}
    assert shown(message) == {**message, "name": {"id": "x"}}


def test_what_is_long_is_cut() -> None:
    transcript = shown({"type": "x", "transcript": "a" * 1000})["transcript"]
    assert transcript == "a" * 40 + "… (1000 characters)"
    names = [{"name": f"number {n}"} for n in range(100)]
    text = told(json.dumps({"type": "x", "output": names}))
    assert text.startswith('{"type":"x","output":[{"name":"number 0"},')
    assert text.endswith(" characters)")
    assert len(text) < 280


@pytest.mark.parametrize("text", ["refused", "", "5", "null", "[]", "[1]", "{}", '{"delta":"x"}'])
def test_what_is_no_message_is_told_as_it_is(text: str) -> None:
    assert told(text) == repr(text)
    assert told(text + "{" * 200).startswith(repr(text)[:-1])


def test_what_a_machine_asks_for_is_told_with_its_name() -> None:
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
def test_any_json_is_told_in_a_line(value: object) -> None:
    text = told(json.dumps(value))
    assert "\n" not in text
    assert len(text) < 280
