"""The judges of the words that count as heard, and of the ids that the server has given."""

from typing import Any

import pytest
from attrs import evolve

from calling import (
    Call,
    audio_done,
    created,
    delta,
    dtmf,
    item_added,
    item_complete,
    response_done,
    speech_started,
)
from faulty_call import FaultyCall, breaks
from twilio_realtime_core.errors import FaultKind
from twilio_realtime_core.machine.actions import Action, Notify
from twilio_realtime_core.notifications import Interrupted, KeyPressed
from twilio_realtime_core.protocols.realtime import CreateItem

DIGITS_FIRST = " ".join(["5551234567"] * 3 + ["lovely"] * 10)


def say(call: Call, text: str, duration_ms: int) -> None:
    """Have the agent say a text, of which the bridge has all."""
    content = [{"type": "output_audio", "transcript": text}]
    call.model(created())
    call.model(item_added("i", status="in_progress"))
    place: dict[str, Any] = {"response_id": "r", "item_id": "i", "content_index": 0}
    call.model(type="response.output_audio_transcript.delta", **place, delta=text)
    call.model(delta(8 * duration_ms))
    call.model(audio_done())
    call.model(item_complete("i", content=content))
    call.model(response_done())


def claim_heard(call: FaultyCall, heard: str) -> None:
    """Have these words count as heard."""

    def change(action: Action) -> Action:
        match action:
            case Notify(Interrupted(items=(item,)) as event):
                return Notify(evolve(event, items=(evolve(item, heard=heard),)))
            case _:
                return action

    call.change(lambda right: [*map(change, right)])


@pytest.mark.parametrize(
    ("text", "duration_ms", "heard_ms", "heard"),
    [
        (DIGITS_FIRST, 15_000, 5000, "5551234567 5551234567"),
        (" ".join(["words"] * 40), 2000, 1000, " ".join(["words"] * 4)),
        ("one two three four", 4000, 2000, "two"),
    ],
)
def test_18_breaks_if_more_words_count_as_heard(
    text: str, duration_ms: int, heard_ms: int, heard: str
) -> None:
    call = FaultyCall.ready()
    say(call, text, duration_ms)
    call.play(heard_ms)
    claim_heard(call, heard)
    with breaks(18):
        call.model(speech_started())


def test_18_holds_for_a_completed_item_that_has_fewer_words_than_its_pieces() -> None:
    call = Call.ready()
    call.model(created())
    call.model(item_added("i", status="in_progress"))
    place: dict[str, Any] = {"response_id": "r", "item_id": "i", "content_index": 0}
    call.model(
        type="response.output_audio_transcript.delta", **place, delta="Good morning everybody"
    )
    call.model(delta(8 * 2000))
    content = [{"type": "output_audio", "transcript": "Good morning"}]
    call.model(item_complete("i", content=content))
    call.play(1000)
    (interrupted,) = call.model(speech_started()).notified(Interrupted)
    assert interrupted.items[0].heard == "Good"


ODD = "item_" + "x" * 35


@pytest.mark.parametrize(
    "event",
    [
        {"type": "conversation.item.retrieved", "item": {"id": ODD, "type": "message"}},
        {"type": "conversation.item.deleted", "item_id": ODD},
        {"type": "input_audio_buffer.committed", "item_id": "u", "previous_item_id": ODD},
        {"type": "response.created", "response": {"output": [{"id": ODD, "type": "message"}]}},
        {"type": "response.content_part.added", "response_id": "r", "item_id": ODD},
        {"type": "mcp_list_tools.in_progress", "item_id": ODD},
    ],
    ids=lambda event: event["type"],
)
def test_19_holds_for_an_id_that_any_event_gave(event: dict[str, Any]) -> None:
    content = [{"type": "input_text", "text": "x"}]
    item = {"id": ODD, "type": "message", "role": "user", "content": content}
    call = Call.ready()
    call.model(event)
    assert call.send(CreateItem(item)).to_model


def test_14_breaks_if_what_is_no_key_is_notified() -> None:
    call = FaultyCall.ready()
    call.change(lambda _: [Notify(KeyPressed("12"))])
    with breaks(14):
        call.phone(dtmf("12"))
    assert Call.ready().phone(dtmf("12")).faults == [FaultKind.BAD_MESSAGE]
