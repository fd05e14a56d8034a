import json
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from attrs import frozen
from hypothesis import example, given
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.protocols.tagged import TaggedDecoder

CORPORA = Path(__file__).parents[3] / "fuzz" / "corpus"
MARKER = "+441632960961"


@frozen
class Ping:
    number: int


@frozen
class Pong:
    words: dict[str, int] | None = None


@frozen
class Other:
    kind: str


Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | None"
Family: TypeAlias = Ping | Pong | Other

DECODER: TaggedDecoder[Family] = TaggedDecoder(
    Peer.TWILIO, "kind", {"ping": Ping, "pong": Pong}, make_unlisted=lambda tag, _: Other(tag)
)


def kind_of_fault(text: str) -> FaultKind:
    fault = DECODER.decode(text)
    assert isinstance(fault, Fault)
    assert fault.peer is Peer.TWILIO
    return fault.kind


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"ping","number":7}',
        '{"kind": "ping", "number": 7}',
        ' \r\n{\t"kind" : "ping" , "number" : 7 } \n',
        '{"number":7,"kind":"ping"}',
        '{"k\\u0069nd":"p\\u0069ng","number":7}',
        '{"kind":"ping","number":7,"more":[{"kind":"pong"},null,1e400,"\\""]}',
        '{"more":{"kind":"pong"},"number":7,"kind":"ping"}',
    ],
)
def test_a_listed_message_becomes_its_type_wherever_its_tag_stands(text: str) -> None:
    assert DECODER.decode(text) == Ping(7)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ('{"kind":"pang","number":7}', "pang"),
        ('{"kind":"","number":7}', ""),
        ('{"number":"x", "kind":"pang"}', "pang"),
        ('{"kind":"pi\\nng"}', "pi\nng"),
        ('{"kind":"\\"ping"}', '"ping'),
        ('{"kind":"Ping"}', "Ping"),
    ],
)
def test_a_message_of_an_unlisted_tag_passes(text: str, tag: str) -> None:
    assert DECODER.decode(text) == Other(tag)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind":"ping"}', "ping: Object missing required field `number`"),
        ('{"kind":"ping","number":"7"}', "ping: Expected `int`, got `str` - at `$.number`"),
        ('{"number":null,"kind":"ping"}', "ping: Expected `int`, got `null` - at `$.number`"),
        ("{}", "a message: Object missing required field `kind`"),
        (' {"number":7}', "a message: Object missing required field `kind`"),
        ('{"kind":null,"number":7}', "a message: Expected `str`, got `null` - at `$.kind`"),
        ('{"kind":{"kind":"ping"}}', "a message: Expected `str`, got `object` - at `$.kind`"),
    ],
)
def test_a_bad_message_is_reported_with_its_kind_and_field(text: str, message: str) -> None:
    assert DECODER.decode(text) == Fault(Peer.TWILIO, FaultKind.BAD_MESSAGE, message)


@pytest.mark.parametrize(
    "text", ["[]", "1", '"ping"', "null", "true", ' [{"kind":"ping"}]', "[" * 30_000]
)
def test_a_message_that_is_no_object_is_reported(text: str) -> None:
    assert DECODER.decode(text) == Fault(
        Peer.TWILIO, FaultKind.NOT_JSON, "a text message that is not a JSON object"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "hello",
        '{"kind":"ping',
        '{"kind":"pingx',
        '{"kind":"ping","number":7',
        '{"kind":"ping","number":7} 8',
        '{"kind":"ping","number":7,}',
        '{"kind":"ping","number":NaN}',
        '{"kind":"pang","number":NaN}',
        '{"kind":"pang"',
        "{'kind':'ping'}",
        '\ufeff{"kind":"ping","number":7}',
        '{\u2003"kind":"ping","number":7}',
        '{"kind":"pi\nng"}',
        '{"kind":"ping","number":7,"more":"\\ud800"}',
        '{"kind":"ping","number":7,"more":"\\ud800\\u0041"}',
        '{"kind":"\\x"}',
    ],
)
def test_malformed_json_is_reported(text: str) -> None:
    assert kind_of_fault(text) is FaultKind.NOT_JSON


@pytest.mark.parametrize(
    "text",
    ['\ud800{"kind":"ping"}', '{"kind":"ping","number":7,"more":"\udfff"}', '{"kind":"\ud800"}'],
)
def test_lone_surrogates_are_reported(text: str) -> None:
    assert DECODER.decode(text) == Fault(
        Peer.TWILIO, FaultKind.NOT_JSON, "a text message that is not JSON: it has lone surrogates"
    )


@pytest.mark.parametrize(
    "frame",
    [
        '{"kind":"ping","number":7,"more":%s}',
        '{"kind":"pang","more":%s}',
        '{"more":%s,"kind":"ping","number":7}',
    ],
)
def test_deep_nesting_is_reported(frame: str) -> None:
    assert DECODER.decode(frame % ("[" * 30_000 + "]" * 30_000)) == Fault(
        Peer.TWILIO, FaultKind.NOT_JSON, "a text message whose JSON is nested too deeply"
    )


def test_the_first_of_two_tags_counts_if_it_is_listed() -> None:
    assert DECODER.decode('{"kind":"ping","kind":"pong","number":7}') == Ping(7)
    assert DECODER.decode('{"kind":"pang","kind":"pong","number":7}') == Pong()


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.sampled_from([None, 2]))
def test_arbitrary_json_is_an_unlisted_message_or_a_fault(value: Any, indent: int | None) -> None:
    decoded = DECODER.decode(json.dumps(value, indent=indent))
    assert isinstance(decoded, Fault)
    whole = isinstance(value, dict)
    assert decoded.kind is (FaultKind.BAD_MESSAGE if whole else FaultKind.NOT_JSON)


@given(
    kind=st.sampled_from(["ping", "pong", "pang"]) | st.text(),
    more=st.dictionaries(
        st.text().filter(lambda name: name not in ("kind", "number", "words")), json_values
    ),
    tag_first=st.booleans(),
    ascii_only=st.booleans(),
)
def test_fields_that_a_type_does_not_name_change_nothing(
    *, kind: str, more: dict[str, Any], tag_first: bool, ascii_only: bool
) -> None:
    body = {"kind": kind, "number": 7}
    text = json.dumps({**body, **more} if tag_first else {**more, **body}, ensure_ascii=ascii_only)
    expected = {"ping": Ping(7), "pong": Pong()}.get(kind, Other(kind))
    assert DECODER.decode(text) == expected


# The same promises for the two families that there are.

decoders = pytest.mark.parametrize("decode", [twilio.decode, realtime.decode])
WELL_FORMED = [
    (decode, json.loads(path.read_text("utf-8")))
    for decode, corpus in ((twilio.decode, "twilio"), (realtime.decode, "realtime"))
    for path in sorted((CORPORA / corpus).glob("*.json"))
]
"""Messages of the fuzz targets' corpora, to spoil; there, what is no JSON is no `.json`."""


@decoders
@given(text=st.text() | st.text(st.characters()) | st.text('{}[]:,"\\ eventyp0.-'))
@example(text="")
def test_no_text_raises(decode: Any, text: str) -> None:
    assert decode(text) is not None


def spots(value: Json) -> list[tuple[Any, str | int]]:
    """Every place in a JSON value where another can be put: what holds it, and its key."""
    inside: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        inside = [*value.items()]
    elif isinstance(value, list):
        inside = [*enumerate(value)]
    here = [(value, key) for key, _ in inside]
    return here + [spot for _, inner in inside for spot in spots(inner)]


@given(st.sampled_from(WELL_FORMED), st.data())
def test_no_spoilt_message_raises_and_no_fault_repeats_its_content(
    whole: tuple[Any, Any], data: st.DataObject
) -> None:
    decode, message = whole
    spoilt = json.loads(json.dumps(message))
    if places := spots(spoilt):
        for container, key in data.draw(st.lists(st.sampled_from(places), max_size=3)):
            container[key] = data.draw(
                st.sampled_from([MARKER, [MARKER], {MARKER: MARKER}, None, 441632960961, 1.5])
            )
    text = json.dumps(spoilt, separators=(",", data.draw(st.sampled_from([":", ": "]))))
    cut = data.draw(st.none() | st.integers(0, len(text)))
    fault = decode(text[:cut])
    if isinstance(fault, Fault):
        assert MARKER not in repr(fault)
        assert "441632960961" not in repr(fault)


@decoders
@pytest.mark.parametrize(
    "text",
    [
        '{"TAG":"+441632960961","x":}',
        '{"TAG":"+441632960961\ud800"}',
        '{"TAG":"media","+441632960961":[',
        '{"TAG":"media","streamSid":{"+441632960961":1},"media":{}}',
        '{"TAG":"start","streamSid":"a","start":{"customParameters":{"+441632960961":1e400}}}',
        '{"TAG":"session.created","session":{"+441632960961":1e400}}',
        '{"TAG":"error","error":{"message":"+441632960961","code":441632960961}}',
        '["+441632960961"]',
        '"+441632960961"',
    ],
)
def test_no_fault_repeats_content(decode: Any, text: str) -> None:
    for tag in ("event", "type"):
        assert "441632960961" not in str(decode(text.replace("TAG", tag)))
