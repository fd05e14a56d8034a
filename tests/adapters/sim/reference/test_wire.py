"""The decoder of the judges and that of the core, which share no code, read the same."""

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twilio_realtime.sim.reference.expected.events import event_of
from twilio_realtime.sim.reference.invariants.redaction import may_quote, may_show
from twilio_realtime.sim.reference.reading import read_realtime, read_twilio
from twilio_realtime.sim.reference.received import (
    ReceivedAudio,
    ReceivedItemAdded,
    ReceivedMedia,
    ReceivedMessage,
    ReceivedOther,
    ReceivedResponseEnd,
    ReceivedStart,
    UnreadableMessage,
)
from twilio_realtime.sim.reference.sent import (
    SentAppend,
    SentCancel,
    SentClear,
    SentDelete,
    SentItem,
    SentMark,
    SentMedia,
    SentOther,
    SentRequest,
    SentTruncate,
    SentUpdate,
    UnreadableToTwilio,
    read_sent,
)
from twilio_realtime.sim.reference.tones import keypad_tones
from twilio_realtime.sim.reference.wire import count_samples, decode_audio, is_object, read_object
from twilio_realtime_core import Fault, FaultKind, Peer, SendEvent
from twilio_realtime_core.audio import dtmf, pcmu
from twilio_realtime_core.errors import redact
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClientEvent,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    TruncateItem,
    UpdateSession,
)

CORPUS: Final = Path(__file__).parents[4] / "fuzz" / "corpus"
TEXTS: Final = {
    peer: {each.name: each.read_bytes().decode("utf-8", "surrogateescape") for each in files}
    for peer, files in (
        (peer, sorted((CORPUS / peer.value).iterdir())) for peer in (Peer.TWILIO, Peer.REALTIME)
    )
}
AMBIGUOUS: Final = "tag-duplicate.json"
"""Which of two fields of one name counts is open (RFC 8259, section 4)."""
EXAMPLES: Final = [
    (peer, name) for peer, texts in TEXTS.items() for name in texts if name != AMBIGUOUS
]
MESSAGES: Final = [
    (peer, message)
    for peer, texts in TEXTS.items()
    for text in texts.values()
    if (message := read_object(text)) is not None
]

READ: Final[dict[Peer, tuple[Callable[[str], object], Callable[[str], ReceivedMessage]]]] = {
    Peer.TWILIO: (twilio.decode, read_twilio),
    Peer.REALTIME: (realtime.decode, read_realtime),
}

UNLISTED: Final = (
    twilio.UnknownEvent,
    twilio.ConnectedEvent,
    realtime.UnknownServerEvent,
    realtime.SessionCreatedEvent,
    realtime.ItemRetrievedEvent,
    realtime.ItemTruncatedEvent,
)
"""Messages of the core that no judge looks at."""


def assert_same(peer: Peer, text: str) -> None:
    """Both read the same message, or report the same fault."""
    in_core, received = (read(text) for read in READ[peer])
    match in_core:
        case Fault(kind=kind):
            assert isinstance(received, UnreadableMessage), text
            assert received.peer is peer
            assert kind in received.kinds
        case _ if isinstance(in_core, UNLISTED):
            assert isinstance(received, ReceivedOther), text
        case _:
            assert not isinstance(received, UnreadableMessage | ReceivedOther), text
            assert values_of(received) <= values_of(in_core), text


def values_of(message: Any) -> set[str]:
    """All single values of a message, as texts, whatever their names and their nesting."""
    match message:
        case {**fields}:
            return {each for value in fields.values() for each in values_of(value)}
        case [*values]:
            return {each for value in values for each in values_of(value)}
        case None | bool() | "":
            return set()
        case str() | int() | float():
            return {str(float(message)) if isinstance(message, int | float) else message}
        case twilio.MediaBody():  # its time is read where it is needed
            return values_of([message.payload, message.track, message.timestamp_ms])
        case _:
            names = [each.name for each in getattr(message, "__attrs_attrs__", ())]
            names += getattr(message, "__struct_fields__", ())
            return {each for name in names for each in values_of(getattr(message, name))}


@pytest.mark.parametrize(("peer", "name"), EXAMPLES)
def test_both_decoders_read_an_example_alike(peer: Peer, name: str) -> None:
    assert_same(peer, TEXTS[peer][name])


VALUES: Final = [
    *("null", "true", "0", "1", "-1", "2.5", "100000000000000000000", '""', '"x"', '"7"', '"é"'),
    *('"\\ud800"', "[]", '["x"]', "{}", '{"id":"x"}'),
]
"""JSON texts."""


@st.composite
def changed_messages(draw: st.DrawFn) -> tuple[Peer, str]:
    """A message of which some fields, at any depth, are missing or have another value."""
    peer, message = draw(st.sampled_from(MESSAGES))
    message = json.loads(json.dumps(message))
    for _ in range(draw(st.integers(1, 3))):
        fields: dict[str, Any] = message
        while fields:
            name = draw(st.sampled_from(sorted(fields)))
            if is_object(fields[name]) and draw(st.booleans()):
                fields = fields[name]
            elif draw(st.booleans()):
                del fields[name]
                break
            else:
                fields[name] = json.loads(draw(st.sampled_from(VALUES)))
                break
    return peer, json.dumps(message, ensure_ascii=draw(st.booleans()))


@given(changed_messages())
def test_both_decoders_read_a_changed_message_alike(example: tuple[Peer, str]) -> None:
    assert_same(*example)


@given(st.sampled_from(EXAMPLES), st.integers(0, 400))
def test_both_decoders_read_a_cut_message_alike(example: tuple[Peer, str], end: int) -> None:
    peer, name = example
    assert_same(peer, TEXTS[peer][name][:end])


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"event":7}', "{} x", '{"event":"x","a":NaN}', '{"a":"\ud800"}'],
)
@pytest.mark.parametrize("peer", Peer)
def test_both_decoders_refuse_the_same_texts(peer: Peer, text: str) -> None:
    assert_same(peer, text)


def test_the_fields_of_a_start_are_read() -> None:
    body = {
        "callSid": "CA1",
        "accountSid": "AC1",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"name": "Ann", "age": 7},
    }
    start = read_twilio(json.dumps({"event": "start", "streamSid": "MZ1", "start": body}))
    assert isinstance(start, ReceivedStart)
    assert (start.stream_sid, start.call_sid, start.account_sid) == ("MZ1", "CA1", "AC1")
    assert start.format == ("audio/x-mulaw", 8000, 1)
    assert start.custom_parameters == {"name": "Ann"}


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("155", 155),
        (155, 155),
        ("x", None),
        (None, None),
        (-1, None),
        (True, None),
        ("9" * 19, None),
    ],
)
def test_a_timestamp_is_a_whole_number_or_none(timestamp: object, expected: int | None) -> None:
    body = {"payload": "AAAA", "timestamp": timestamp}
    media = read_twilio(json.dumps({"event": "media", "streamSid": "MZ1", "media": body}))
    assert isinstance(media, ReceivedMedia)
    assert media.timestamp_ms == expected


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [({"conversation_id": None}, True), ({"conversation_id": "conv"}, False), ({}, False)],
)
def test_a_null_conversation_is_out_of_band(conversation: Any, *, expected: bool) -> None:
    response = {"id": "r", "status": "completed", **conversation}
    end = read_realtime(json.dumps({"type": "response.done", "response": response}))
    assert isinstance(end, ReceivedResponseEnd)
    assert end.is_out_of_band is expected


def test_the_content_index_of_audio_is_0_by_default() -> None:
    event = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i"}
    audio = read_realtime(json.dumps({**event, "delta": "AAAA"}))
    assert isinstance(audio, ReceivedAudio)
    assert audio.content_index == 0


def test_an_item_keeps_all_fields_that_are_not_null() -> None:
    item = {"id": "i", "type": "message", "role": "user", "content": None}
    added = read_realtime(json.dumps({"type": "conversation.item.added", "item": item}))
    assert isinstance(added, ReceivedItemAdded)
    assert added.item.fields == {"id": "i", "type": "message", "role": "user"}
    assert added.previous_item_id == ""


# Base64 and tones.


@given(st.text(st.sampled_from("ABab01+/=\n _-é"), max_size=12))
@example("0000=")
def test_both_decoders_take_the_same_payloads(text: str) -> None:
    samples = pcmu.count_samples(text)
    assert count_samples(text) == samples
    assert (len(audio) if (audio := decode_audio(text)) is not None else None) == samples


@given(st.binary(min_size=1, max_size=400))
def test_a_payload_is_decoded_to_its_audio(audio: bytes) -> None:
    assert decode_audio(b64encode(audio).decode()) == audio


@pytest.mark.parametrize(("tone_ms", "pause_ms"), [(40, 40), (100, 100), (1500, 50)])
def test_both_compute_the_same_tones(tone_ms: int, pause_ms: int) -> None:
    keys = "0123456789*#ABCD,,1"
    assert keypad_tones(keys, tone_ms, pause_ms) == dtmf.key_tones(keys, tone_ms, pause_ms)


# What is sent.


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (AppendAudio("AAAA", "e"), SentAppend),
        (UpdateSession({"type": "realtime"}), SentUpdate),
        (CreateItem({"type": "message"}, "root"), SentItem),
        (DeleteItem("i"), SentDelete),
        (TruncateItem("i", 0, 20), SentTruncate),
        (CreateResponse({"conversation": "none"}), SentRequest),
        (CancelResponse("r"), SentCancel),
        (CommitAudio(), SentOther),
    ],
)
def test_an_event_that_is_sent_has_its_kind_and_body(event: ClientEvent, kind: type) -> None:
    sent = read_sent(Peer.REALTIME, event)
    assert type(sent) is kind
    assert getattr(sent, "body") == json.loads(event.encode()) == event_of(event)  # noqa: B009


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.cancel", "response_id": "r", "unknown": 1},
        {"type": "conversation.item.delete"},
        {"type": "something.new"},
    ],
)
def test_an_event_that_the_server_refuses_has_no_kind(event: dict[str, Any]) -> None:
    class Raw:
        def encode(self) -> str:
            return json.dumps(event)

    sent = read_sent(Peer.REALTIME, Raw())
    assert isinstance(sent, SentOther)
    assert sent.body == event


def test_a_raw_event_of_a_command_is_its_body() -> None:
    body = {"type": "something.new", "values": [1, 2], "more": {"a": None}}
    assert event_of(SendEvent(body).event) == body


def test_messages_to_twilio_are_read() -> None:
    media = read_sent(Peer.TWILIO, twilio.Media("MZ1", "AAAA"))
    mark = read_sent(Peer.TWILIO, twilio.Mark("MZ1", "7"))
    clear = read_sent(Peer.TWILIO, twilio.Clear("MZ1"))
    assert isinstance(media, SentMedia)
    assert (media.stream_sid, media.payload) == ("MZ1", "AAAA")
    assert isinstance(mark, SentMark)
    assert (mark.stream_sid, mark.name) == ("MZ1", "7")
    assert isinstance(clear, SentClear)
    assert clear.stream_sid == "MZ1"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"event":"clear"}',
        '{"event":"clear","streamSid":"MZ1","more":1}',
        '{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA","more":1}}',
        '{"event":"mark","streamSid":"MZ1","mark":{"name":7}}',
        '{"event":"play","streamSid":"MZ1"}',
    ],
)
def test_twilio_cannot_read_undocumented_messages(text: str) -> None:
    class Raw:
        def encode(self) -> str:
            return text

    assert isinstance(read_sent(Peer.TWILIO, Raw()), UnreadableToTwilio)


# A peer's own words.


@given(st.text(st.sampled_from("ab 0123456789-+.:\n\x07skAC"), max_size=400))
def test_words_may_be_shown_as_the_core_shows_them(words: str) -> None:
    assert may_show(redact(words), words)
    assert may_quote(f"session.update x: {redact(words)}", words)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ("other words", "some words"),
        ("some", "some words"),
        ("some words more", "some words"),
        ("[hidden]", "some words"),
        ("call +491234567890", "call +491234567890"),
        ("sk-abcdefgh1234", "sk-abcdefgh1234"),
        ("line one\nline two", "line one\nline two"),
        (None, "some words"),
        ("some words", None),
    ],
)
def test_words_may_not_be_shown_otherwise(shown: str | None, words: str | None) -> None:
    assert not may_show(shown, words)


def test_no_words_are_shown_as_none() -> None:
    assert may_show(None, None)


def test_an_unreadable_message_may_be_either_fault() -> None:
    unreadable = read_twilio('{"event":"media","streamSid":null,"med')
    assert isinstance(unreadable, UnreadableMessage)
    assert set(unreadable.kinds) == {FaultKind.NOT_JSON, FaultKind.BAD_MESSAGE}
