"""The Media Stream: which of Twilio's messages make sense when, and faults for the others."""

import json
from typing import Any

import pytest

from calling import OTHER_SID, SID, Call, audio, connected, delta, dtmf, mark, media, start, stop
from twilio_realtime_core import Fault, FaultKind, HangUp, Peer
from twilio_realtime_core.machine.lifecycles import StreamState
from twilio_realtime_core.machine.outbox import Outbox
from twilio_realtime_core.notifications import CallEnded, CallStarted, EndReason, KeyPressed
from twilio_realtime_core.protocols.realtime import AppendAudio
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media
from twilio_realtime_core.session.media_stream import MediaStream

A_FRAME = audio(160)
STREAM_MESSAGES = pytest.mark.parametrize(
    ("name", "message"),
    [("media", media(A_FRAME)), ("mark", mark("0")), ("dtmf", dtmf("5"))],
    ids=["media", "mark", "dtmf"],
)


def test_a_start_is_notified_with_its_fields() -> None:
    call = Call.answered()
    assert call.phone(connected()).actions == []
    assert call.phone(start()).notified(CallStarted) == [
        CallStarted(SID, "CA1", "AC1", {"who": "Ann"})
    ]


def test_s92_a_token_comes_in_the_custom_parameters() -> None:
    call = Call.answered()
    (started,) = call.phone(start(customParameters={"token": "t", "odd": 3})).notified(CallStarted)
    assert started.custom_parameters == {"token": "t"}


def test_a_start_without_connected_is_as_good() -> None:
    assert Call.answered().phone(start()).notified(CallStarted)


@STREAM_MESSAGES
def test_a_message_before_start_is_a_fault(name: str, message: dict[str, Any]) -> None:
    done = Call.answered().phone(message)
    assert done.events == [Fault(Peer.TWILIO, FaultKind.UNEXPECTED, f"{name} while awaiting start")]
    assert len(done.actions) == 1


@STREAM_MESSAGES
def test_a_message_of_another_stream_is_a_fault(name: str, message: dict[str, Any]) -> None:
    done = Call.ready().phone({**message, "streamSid": OTHER_SID})
    assert done.events == [
        Fault(Peer.TWILIO, FaultKind.WRONG_STREAM, f"{name}: streamSid is not that of start")
    ]
    assert len(done.actions) == 1


def test_the_stop_of_another_stream_does_not_end_the_call() -> None:
    call = Call.ready()
    assert call.phone(stop(OTHER_SID)).faults == [FaultKind.WRONG_STREAM]
    assert call.phone(media(A_FRAME)).to_model == [AppendAudio(A_FRAME)]


@pytest.mark.parametrize("message", [start(), connected()], ids=["start", "connected"])
def test_a_repeated_message_is_a_fault(message: dict[str, Any]) -> None:
    call = Call.talking(800)
    done = call.phone(message)
    assert done.faults == [FaultKind.UNEXPECTED]
    assert len(done.actions) == 1
    assert call.model(delta(160)).audio_samples == [160]


def test_s33_another_start_starts_anew_with_its_stream_sid() -> None:
    call = Call.talking(800)
    call.wait(50)
    done = call.phone(start(OTHER_SID))
    assert done.notified(CallStarted) == [CallStarted(OTHER_SID, "CA1", "AC1", {"who": "Ann"})]
    assert done.urls == []
    assert done.to_twilio == [Mark(OTHER_SID, "2")]
    assert call.phone(mark("1")).faults == [FaultKind.WRONG_STREAM]
    assert call.phone(mark("1", OTHER_SID)).actions == []
    sent = call.model(delta(160)).to_twilio
    assert sent[0] == Media(OTHER_SID, A_FRAME)
    assert call.phone(media(A_FRAME)).faults == [FaultKind.WRONG_STREAM]
    assert call.phone(media(A_FRAME, OTHER_SID)).to_model == [AppendAudio(A_FRAME)]
    assert call.phone(mark("3", OTHER_SID)).faults == []
    call.model(delta(160))
    assert call.model(type="input_audio_buffer.speech_started").to_twilio == [Clear(OTHER_SID)]


def test_an_unsent_rest_is_sent_on_the_next_stream() -> None:
    call = Call.talking(900)
    call.phone(start(OTHER_SID))
    assert call.model(delta(60)).audio_samples == [160]


@pytest.mark.parametrize(
    "format_",
    [
        {"encoding": "audio/x-alaw", "sampleRate": 8000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2},
        {"encoding": "audio/x-alaw"},
    ],
)
def test_another_media_format_is_reported_and_the_call_continues(format_: dict[str, Any]) -> None:
    done = Call.answered().phone(start(mediaFormat=format_))
    assert done.faults == [FaultKind.WRONG_FORMAT]
    assert done.notified(CallStarted)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", FaultKind.NOT_JSON),
        ("{", FaultKind.NOT_JSON),
        ("[]", FaultKind.NOT_JSON),
        ('{"event":"media","streamSid":"MZ1"}', FaultKind.BAD_MESSAGE),
        ('{"event":"media","streamSid":1,"media":{"payload":"AA=="}}', FaultKind.BAD_MESSAGE),
        ('{"event":"media","streamSid":"MZ1","media":{"payload":7}}', FaultKind.BAD_MESSAGE),
        ('{"event":"mark","streamSid":"MZ1","mark":"x"}', FaultKind.BAD_MESSAGE),
        ('{"event":3}', FaultKind.BAD_MESSAGE),
        ("[" * 100_000, FaultKind.NOT_JSON),
    ],
)
def test_s18_a_bad_message_is_a_fault(text: str, kind: FaultKind) -> None:
    call = Call.ready()
    done = call.phone(text)
    assert done.faults == [kind]
    assert len(done.actions) == 1
    assert call.phone(media(A_FRAME)).to_model == [AppendAudio(A_FRAME)]


@pytest.mark.parametrize(
    "text",
    [
        *('{"event":"start"}', '{"event":"media","media":{"payload":null}}', "[]", "{", "junk"),
        *(json.dumps(each) for each in (media("?"), mark("unknown"), start(), connected())),
    ],
)
def test_what_is_wrong_is_notified_once_in_a_stream(text: str) -> None:
    call = Call.ready()
    kinds = call.phone(text).faults
    assert len(kinds) == 1
    assert call.phone(text).actions == call.phone(" " + text).actions == []
    call.phone(start(OTHER_SID))
    assert call.phone(text.replace(SID, OTHER_SID)).faults == kinds


def test_faults_of_other_fields_and_messages_are_notified() -> None:
    call = Call.ready()
    texts = (
        '{"event":"media"}',
        '{"event":"media","streamSid":"MZ1"}',
        '{"event":"media","streamSid":"MZ1","media":{}}',
        '{"event":"mark","streamSid":"MZ1"}',
    )
    faults = [fault for text in texts for fault in call.phone(text).notified(Fault)]
    assert len(faults) == len({fault.message for fault in faults}) == len(texts)


def test_a_message_of_an_unknown_kind_is_ignored() -> None:
    call = Call.answered()
    assert call.phone({"event": "video", "streamSid": SID}).actions == []
    assert Call.ready().phone({"event": "video"}).actions == []


def test_a_key_is_notified() -> None:
    assert Call.ready().phone(dtmf("#")).events == [KeyPressed("#")]


@pytest.mark.parametrize("call", [Call.answered(), Call.streaming(), Call.ready()])
def test_a_stop_ends_the_call(call: Call) -> None:
    done = call.phone(stop())
    assert done.closes[0] is Peer.TWILIO
    call.closed(Peer.TWILIO)
    if Peer.REALTIME in done.closes:
        done = call.closed(Peer.REALTIME)
        assert done.events == [CallEnded(EndReason.CALLER_HUNG_UP, "stop")]


def test_its_state_follows_the_socket() -> None:
    stream = MediaStream(Outbox())
    states = [stream.state]
    for happens in (stream.opened, lambda: stream.close(1000), stream.closed):
        happens()
        states.append(stream.state)
    assert states == [
        StreamState.UNOPENED,
        StreamState.AWAITING_START,
        StreamState.CLOSING,
        StreamState.CLOSED,
    ]


def test_a_socket_that_never_opened_is_not_closed() -> None:
    assert Call().send(HangUp()).events == [CallEnded(EndReason.HUNG_UP)]
