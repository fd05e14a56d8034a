import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.protocols.twilio import (
    Clear,
    ConnectedEvent,
    DtmfEvent,
    Mark,
    MarkEvent,
    Media,
    MediaBody,
    MediaEvent,
    StartEvent,
    StopEvent,
    StreamEvent,
    UnknownEvent,
    decode,
)

STREAM = "MZ0123456789abcdef0123456789abcdef"
FRAME = base64.b64encode(b"\xff\x7f" * 80).decode()

# Twilio documentation, "Media Streams - WebSocket Messages".
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": STREAM,
    "start": {
        "accountSid": "AC0123456789abcdef0123456789abcdef",
        "streamSid": STREAM,
        "callSid": "CA0123456789abcdef0123456789abcdef",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"who": "Ann"},
    },
}
MEDIA: dict[str, Any] = {
    "event": "media",
    "sequenceNumber": "2",
    "streamSid": STREAM,
    "media": {"track": "inbound", "chunk": "1", "timestamp": "155", "payload": FRAME},
}
MARK = {"event": "mark", "sequenceNumber": "4", "streamSid": STREAM, "mark": {"name": "x"}}
DTMF = {
    "streamSid": STREAM,
    "event": "dtmf",
    "sequenceNumber": "5",
    "dtmf": {"track": "inbound_track", "digit": "1"},
}
STOP = {
    "event": "stop",
    "sequenceNumber": "378",
    "streamSid": STREAM,
    "stop": {
        "accountSid": "AC0123456789abcdef0123456789abcdef",
        "callSid": "CA0123456789abcdef0123456789abcdef",
    },
}

STARTED = StartEvent(
    stream_sid=STREAM,
    call_sid="CA0123456789abcdef0123456789abcdef",
    account_sid="AC0123456789abcdef0123456789abcdef",
    encoding="audio/x-mulaw",
    sample_rate=8000,
    channels=1,
    tracks=["inbound"],
    custom_parameters={"who": "Ann"},
)

DOCUMENTED = [
    (CONNECTED, ConnectedEvent()),
    (START, STARTED),
    (MEDIA, MediaEvent(STREAM, MediaBody(FRAME, "inbound", "155"))),
    (MARK, MarkEvent(STREAM, "x")),
    (DTMF, DtmfEvent(STREAM, "1")),
    (STOP, StopEvent(STREAM)),
]


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_each_key_of_a_phone_is_a_digit(digit: str) -> None:
    assert decode(json.dumps({**DTMF, "dtmf": {"digit": digit}})) == DtmfEvent(STREAM, digit)


@pytest.mark.parametrize("digit", ["", "12", "w", "a", "é", "٣", " 1", "1" * 1000])
def test_a_digit_that_is_no_key_is_a_bad_message(digit: str) -> None:
    fault = decode(json.dumps({**DTMF, "dtmf": {"digit": digit}}))
    what = "dtmf: a digit that is no key of a phone"
    assert fault == Fault(Peer.TWILIO, FaultKind.BAD_MESSAGE, what)


def kind_of_fault(message: dict[str, Any]) -> FaultKind:
    fault = decode(json.dumps(message))
    assert isinstance(fault, Fault)
    assert fault.peer is Peer.TWILIO
    return fault.kind


@pytest.mark.parametrize(("wire", "message"), DOCUMENTED)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_every_documented_message_is_read(
    wire: dict[str, Any], message: StreamEvent, separators: tuple[str, str]
) -> None:
    assert decode(json.dumps(wire, separators=separators)) == message


@pytest.mark.parametrize(("wire", "message"), DOCUMENTED)
@given(data=st.data())
@settings(max_examples=20)
def test_order_and_unknown_fields_change_nothing(
    wire: dict[str, Any], message: StreamEvent, data: st.DataObject
) -> None:
    others = st.text().filter(lambda name: name not in wire)
    more = data.draw(st.dictionaries(others, st.text(), max_size=2))
    fields = data.draw(st.permutations([*wire.items(), *more.items()]))
    assert decode(json.dumps(dict(fields))) == message


def test_a_message_of_an_unknown_event_passes() -> None:
    assert decode('{"event":"error","streamSid":"MZ0","error":{"code":100002}}') == UnknownEvent()


# Faults of a peer.


@pytest.mark.parametrize(
    ("wire", "path"),
    [
        *[(wire, ["streamSid"]) for wire in (START, MEDIA, MARK, DTMF, STOP)],
        (START, ["start"]),
        (MEDIA, ["media"]),
        (MEDIA, ["media", "payload"]),
        (MARK, ["mark"]),
        (MARK, ["mark", "name"]),
        (DTMF, ["dtmf"]),
        (DTMF, ["dtmf", "digit"]),
    ],
)
@pytest.mark.parametrize("value", [..., None, 5, ["x"]])
def test_a_missing_or_wrong_field_is_a_bad_message(
    wire: dict[str, Any], path: list[str], value: object
) -> None:
    spoilt = json.loads(json.dumps(wire))
    inner = spoilt
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    if value is ...:
        del inner[path[-1]]
    assert kind_of_fault(spoilt) is FaultKind.BAD_MESSAGE


def test_a_start_without_a_stream_sid_is_a_bad_message() -> None:
    assert kind_of_fault({**START, "streamSid": ""}) is FaultKind.BAD_MESSAGE


@pytest.mark.parametrize("text", ["", "[]", "hello", '{"event":"media"', '\ufeff{"event":"stop"}'])
def test_a_message_that_is_no_json_object_is_reported(text: str) -> None:
    fault = decode(text)
    assert isinstance(fault, Fault)
    assert (fault.peer, fault.kind) == (Peer.TWILIO, FaultKind.NOT_JSON)


# Surprises that cost nothing.


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("155", 155),
        ("0", 0),
        (155, 155),
        (0, 0),
        ("9" * 18, 10**18 - 1),
        (10**18 - 1, 10**18 - 1),
        ("9" * 19, None),
        (10**18, None),
        (10**30, None),
        ("9" * 5000, None),
        ("", None),
        (" ", None),
        (" 155", None),
        ("NaN", None),
        ("²", None),
        ("-5", None),
        (-5, None),
        ("155.0", None),
        (155.0, None),
        (True, None),
        (None, None),
        ([155], None),
        ({"ms": 155}, None),
    ],
)
def test_a_timestamp_that_is_no_whole_number_is_left_out(
    timestamp: object, expected: int | None
) -> None:
    media = {**MEDIA["media"], "timestamp": timestamp}
    message = decode(json.dumps({**MEDIA, "media": media}))
    assert isinstance(message, MediaEvent)
    assert message.media.payload == FRAME
    assert message.media.timestamp_ms == expected


def test_audio_without_timestamp_and_track_is_audio() -> None:
    message = decode(json.dumps({**MEDIA, "media": {"payload": FRAME}}))
    assert isinstance(message, MediaEvent)
    assert message == MediaEvent(STREAM, MediaBody(FRAME, None, None))
    assert message.media.timestamp_ms is None


def test_a_start_needs_its_stream_sid_only() -> None:
    message = decode('{"event":"start","streamSid":"MZ0","start":{}}')
    assert message == StartEvent("MZ0", None, None, None, None, None, None, {})


def test_null_strings_of_a_start_are_left_out() -> None:
    start: dict[str, Any] = {"accountSid": None, "callSid": None, "customParameters": None}
    message = decode(json.dumps({**START, "start": start}))
    assert message == StartEvent(STREAM, None, None, None, None, None, None, {})


def test_custom_parameters_are_those_that_are_strings() -> None:
    parameters: dict[str, Any] = {"who": "Ann", "empty": "", "n": 1, "list": ["x"], "null": None}
    message = decode(json.dumps({**START, "start": {"customParameters": parameters}}))
    assert isinstance(message, StartEvent)
    assert message.custom_parameters == {"who": "Ann", "empty": ""}


def test_the_announced_format_is_handed_on_whatever_it_is() -> None:
    formats = {"encoding": ["audio/x-alaw"], "sampleRate": "8000", "channels": 2.5}
    message = decode(json.dumps({**START, "start": {"mediaFormat": formats}}))
    assert isinstance(message, StartEvent)
    assert (message.encoding, message.sample_rate) == (["audio/x-alaw"], "8000")
    assert message.channels == 2.5


def test_values_show_nothing_private() -> None:
    values = [message for _, message in DOCUMENTED] + [Media(STREAM, FRAME)]
    shown = repr(values)
    for private in (FRAME, "payload", "account_sid", "Ann", "digit", "name"):
        assert private not in shown


# To Twilio.


@given(st.text(), st.binary())
def test_media_holds_the_documented_fields_only(sid: str, audio: bytes) -> None:
    payload = base64.b64encode(audio).decode()
    assert json.loads(Media(sid, payload).encode()) == {
        "event": "media",
        "streamSid": sid,
        "media": {"payload": payload},
    }


@given(st.text(), st.text())
def test_mark_holds_the_documented_fields_only(sid: str, name: str) -> None:
    assert json.loads(Mark(sid, name).encode()) == {
        "event": "mark",
        "streamSid": sid,
        "mark": {"name": name},
    }


@given(st.text())
def test_clear_holds_the_documented_fields_only(sid: str) -> None:
    assert json.loads(Clear(sid).encode()) == {"event": "clear", "streamSid": sid}


@pytest.mark.parametrize("hostile", ['","event":"clear', '"}}', "\\", "\u2028\0\n", "</script>"])
def test_a_hostile_stream_sid_or_mark_name_stays_one_string(hostile: str) -> None:
    for message in (Media(hostile, FRAME), Mark(hostile, "x"), Mark(STREAM, hostile)):
        wire = json.loads(message.encode())
        assert list(wire) == ["event", "streamSid", wire["event"]]
        assert hostile in (wire["streamSid"], wire[wire["event"]].get("name"))
    assert json.loads(Clear(hostile).encode()) == {"event": "clear", "streamSid": hostile}


@given(st.text(st.characters()), st.booleans())
def test_a_stream_sid_that_can_be_read_can_be_sent(sid: str, ascii_only: bool) -> None:  # noqa: FBT001
    # With every surrogate there is; JSON can spell a lone one, UTF-8 cannot.
    wire = json.dumps({"event": "stop", "streamSid": sid}, ensure_ascii=ascii_only)
    match decode(wire):
        case StopEvent(stream_sid):
            assert json.loads(Clear(stream_sid).encode())["streamSid"] == stream_sid
        case other:
            assert isinstance(other, Fault)
            assert any("\ud800" <= character <= "\udfff" for character in sid)


CORPUS = Path(__file__).parents[3] / "fuzz" / "corpus" / "twilio"


@pytest.mark.parametrize(("wire", "message"), DOCUMENTED)
def test_the_fuzzer_starts_from_every_documented_message(
    wire: dict[str, Any], message: StreamEvent
) -> None:
    assert decode((CORPUS / f"{wire['event']}.json").read_text("utf-8")) == message
