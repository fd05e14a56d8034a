"""Events of the Realtime server on which the bridge does not act."""

import json
from typing import Any, get_args

import attrs
import pytest
from openai.types.realtime import RealtimeServerEvent

from twilio_realtime_core.protocols.realtime import (
    FunctionArgumentsDoneEvent,
    InformationalEvent,
    UnknownServerEvent,
    decode,
    decode_informational,
)

KINDS = [kind for kind in get_args(InformationalEvent) if kind is not UnknownServerEvent]
MODELS = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(RealtimeServerEvent)[0])
}


def type_of(kind: type[Any]) -> str:
    """The `type` that the docstring of a class names."""
    return str(kind.__doc__).split("`")[1]


@pytest.mark.parametrize("kind", KINDS, ids=type_of)
def test_an_event_has_the_documented_fields(kind: type[Any]) -> None:
    documented = MODELS[type_of(kind)].model_fields
    assert set(attrs.fields_dict(kind)) == documented.keys() - {"type", "event_id"}
    text = json.dumps({"type": type_of(kind), "event_id": "e", **dict.fromkeys(documented, "x")})
    text = json.dumps({**json.loads(text), "type": type_of(kind)})
    values = dict.fromkeys(attrs.fields_dict(kind), "x")
    assert decode_informational(text) == kind(**values)
    assert decode_informational(json.dumps({"type": type_of(kind)})) == kind()


def test_every_documented_event_has_a_class() -> None:
    texts = {name: json.dumps({"type": name}) for name in MODELS}
    unknown = {name for name, text in texts.items() if isinstance(decode(text), UnknownServerEvent)}
    assert unknown == {type_of(kind) for kind in KINDS}


def test_an_event_of_another_type_is_unknown() -> None:
    assert decode_informational('{"type":"x"}') == UnknownServerEvent("x")


@pytest.mark.parametrize(
    "text", ["", '{"type":"conversation.created","conversation":%s}' % ("[" * 9999 + "]" * 9999)]
)
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    assert decode_informational(text) == UnknownServerEvent("")


def test_what_people_say_is_not_in_the_repr() -> None:
    event = FunctionArgumentsDoneEvent("r", "i", 0, "f", "look_up", arguments="secret")
    assert "secret" not in repr(event)
