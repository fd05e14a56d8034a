"""The simulated Realtime server: a session's settings, turns, responses, edits, and its end."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, OpeningError, RealtimePeer, SentError
from twilio_realtime.sim.model.replies import (
    FunctionCallReply,
    Reply,
    ResponseRequest,
    SpokenReply,
    TextReply,
)
from twilio_realtime.sim.model.server_events import ServerEvent
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Close, Send, SendPing
from twilio_realtime_core.machine.units import MS

Event = dict[str, Any]

PCMU = {"type": "audio/pcmu"}
QUIET, LOUD = b"\xff" * 160, b"\x10\x90" * 80
TURN = (*[LOUD] * 20, *[QUIET] * 12)
"""400 ms of speech and enough silence to end it: `speech_stopped` comes at 640 ms."""


def speech(ms: int, transcript: str = "Of course. One moment, please.") -> SpokenReply:
    return SpokenReply(b"\x20" * (8 * ms), transcript)


LONG = Reply([speech(10_000)])


class Session:
    """A client with an open session; it logs the server's events, with times in ms."""

    def __init__(self, replies: Any = (LONG,), **options: Any) -> None:
        self.peer = RealtimePeer(replies, **options)
        self.events: list[Event] = []
        self.times: list[int] = []
        self.actions: list[Action] = []
        self.now = 0
        self.peer.start(0)
        self._take(self.peer.opened(CLIENT, 0))
        self.wait(10)

    def wait(self, ms: int) -> "Session":
        until = self.now + ms * MS
        while (deadline := self.peer.deadline) is not None and deadline <= until:
            self.now = deadline
            self._take(self.peer.handle_timeout(deadline))
            assert self.peer.deadline is None or self.peer.deadline > deadline
        self.now = until
        return self

    def send(self, type_: str, /, **fields: Any) -> "Session":
        self.send_text(json.dumps({"type": type_, **fields}))
        return self

    def send_text(self, text: str) -> None:
        self._take(self.peer.receive_text(CLIENT, text, self.now))

    def send_and_wait(self, type_: str, /, **fields: Any) -> list[Event]:
        """The events that the server sends within 3 ms."""
        before = len(self.events)
        self.send(type_, **fields).wait(3)
        return self.events[before:]

    def update(self, *, turn_detection: Any = ..., **fields: Any) -> "Session":
        """Set µ-law in both directions, and other fields."""
        listening: Event = {"format": PCMU}
        if turn_detection is not ...:
            listening["turn_detection"] = turn_detection
        audio = {"input": listening, "output": {"format": PCMU}}
        self.send_and_wait("session.update", session={"type": "realtime", "audio": audio, **fields})
        return self

    def append(self, *frames: bytes) -> "Session":
        for frame in frames:
            self.send("input_audio_buffer.append", audio=b64encode(frame).decode()).wait(20)
        return self

    def events_of(self, type_: str) -> list[Event]:
        return [event for event in self.events if event["type"] == type_]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def error(self) -> Event:
        """The body of the last event, which is an error."""
        last = self.events[-1]
        assert last["type"] == "error"
        assert set(last["error"]) == {"type", "code", "message", "param", "event_id"}
        return dict(last["error"])

    def _take(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self.actions.append(action)
            if isinstance(action, Send):
                assert isinstance(action.message, ServerEvent)
                assert json.loads(action.message.encode()) == action.message.body
                self.events.append(action.message.body)
                self.times.append(self.now // MS)


def a_session(replies: Any = (LONG,), **options: Any) -> Session:
    """A session with µ-law and default turn detection."""
    return Session(replies, **options).update()


def a_manual_session(replies: Any = (LONG,), **options: Any) -> Session:
    return Session(replies, **options).update(turn_detection=None)


def typed(text: str, **fields: Any) -> Event:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content, **fields}


# The session.


def test_session_created_comes_4_ms_after_the_opening() -> None:
    session = Session().wait(1000)
    assert (session.types(), session.times) == (["session.created"], [4])
    created = session.events[0]["session"]
    assert created["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert created["expires_at"] - 3600 > 1_700_000_000


def test_an_update_changes_its_fields_and_returns_the_session() -> None:
    session = Session()
    before = session.peer.session
    (updated,) = session.send_and_wait(
        "session.update",
        session={"type": "realtime", "audio": {"output": {"voice": "marin"}}},
    )
    assert updated["type"] == "session.updated"
    assert updated["session"] == session.peer.session
    assert list(updated["session"]) == list(before)
    assert session.peer.session["audio"]["output"]["voice"] == "marin"
    assert session.peer.session["audio"]["input"] == before["audio"]["input"]


def test_a_refused_update_changes_nothing() -> None:
    session = Session()
    before = session.peer.session
    session.send_and_wait(
        "session.update",
        event_id="mine",
        session={"type": "realtime", "instructions": "x", "bogus_field": 1},
    )
    assert session.error() == {
        "type": "invalid_request_error",
        "code": "unknown_parameter",
        "message": "Unknown parameter: 'session.bogus_field'.",
        "param": "session.bogus_field",
        "event_id": "mine",
    }
    assert session.peer.session == before
    assert session.peer.sent_errors == [
        SentError(
            "session.update",
            "unknown_parameter",
            "Unknown parameter: 'session.bogus_field'.",
            "session.bogus_field",
            "mine",
        )
    ]


def test_an_update_keeps_other_fields_of_turn_detection() -> None:
    session = a_session()
    session.update(turn_detection={"type": "server_vad", "silence_duration_ms": 700})
    session.update(turn_detection={"type": "server_vad", "threshold": 0.7})
    vad = session.peer.session["audio"]["input"]["turn_detection"]
    assert (vad["silence_duration_ms"], vad["threshold"]) == (700, 0.7)
    session.update(turn_detection={"type": "semantic_vad"})
    assert session.peer.session["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }
    session.update(turn_detection=None).update(turn_detection={"type": "server_vad"})
    vad = session.peer.session["audio"]["input"]["turn_detection"]
    assert vad["silence_duration_ms"] == 200


def test_the_voice_is_fixed_after_assistant_audio() -> None:
    session = a_session()
    other = {"type": "realtime", "audio": {"output": {"voice": "marin"}}, "instructions": "x"}
    session.send("response.create").wait(1000)
    session.send_and_wait("session.update", session=other)
    error = session.error()
    assert error["code"] == "cannot_update_voice"
    assert error["param"] == "session.audio.output.voice"
    assert error["message"] == "Cannot update a conversation's voice if assistant audio is present."
    assert session.peer.session["instructions"] != "x"
    same = {"type": "realtime", "audio": {"output": {"voice": "alloy"}}}
    assert session.send_and_wait("session.update", session=same)[-1]["type"] != "error"


@pytest.mark.parametrize(
    ("first", "then", "fixed"),
    [
        ({}, {"model": "gpt-realtime-2"}, True),
        ({}, {"model": "gpt-realtime-2.1"}, False),
        ({"tracing": "auto"}, {"tracing": {"group_id": "g"}}, True),
        ({"tracing": "auto"}, {"tracing": None}, False),
        ({"tracing": None}, {"tracing": "auto"}, False),
    ],
)
def test_the_model_and_enabled_tracing_cannot_be_changed(
    first: Event, then: Event, *, fixed: bool
) -> None:
    session = Session().update(**first)
    (answer,) = session.send_and_wait("session.update", session={"type": "realtime", **then})
    assert answer["type"] == ("error" if fixed else "session.updated")


# Invalid input.


def test_a_session_is_usable_after_bad_input() -> None:
    session = a_session()
    for text in ("nope", "[]", "{}", '{"type": "nope"}', '{"type": "response.create", "x": 1}'):
        session.send_text(text)
    session.wait(40)
    assert [each.code for each in session.peer.sent_errors] == [
        "invalid_json",
        "invalid_event",
        "invalid_event",
        "invalid_value",
        "unknown_parameter",
    ]
    session.send("response.create").wait(3000)
    assert session.events_of("response.done")


def test_bad_audio_is_refused_and_good_audio_unanswered() -> None:
    session = a_manual_session()
    assert session.send_and_wait("input_audio_buffer.append", audio=b64encode(LOUD).decode()) == []
    session.send_and_wait("input_audio_buffer.append", event_id="a", audio="no base64!")
    assert session.error()["event_id"] == "a"
    assert session.error()["param"] == "audio"


def test_too_many_queued_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.sim.model.realtime_peer.MAX_QUEUED_EVENTS", 2)
    session = a_session()
    for _ in range(3):
        session.send("input_audio_buffer.clear")
    assert session.error()["code"] == "rate_limit_exceeded"
    session.wait(10)
    assert session.types().count("input_audio_buffer.cleared") == 2


# Turns.


def test_a_turn_is_committed_and_answered_in_one_burst() -> None:
    session = a_session().append(*[QUIET] * 50, *TURN)
    assert session.types()[2:] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    started, stopped, committed, added = session.events[2:6]
    assert started["audio_start_ms"] == 992 - 300
    assert stopped["audio_end_ms"] == 1408 + 224
    assert started["item_id"] == stopped["item_id"] == committed["item_id"] == added["item"]["id"]
    assert committed["previous_item_id"] is None
    assert len(set(session.times[3:])) == 1


def test_the_next_turn_follows_the_answer_in_the_conversation() -> None:
    session = a_session([Reply([speech(300)])]).append(*TURN).wait(2000).append(*TURN)
    first, second = session.events_of("input_audio_buffer.committed")
    answer = session.peer.conversation[1]
    assert answer.role == "assistant"
    assert second["previous_item_id"] == answer.id
    assert first["item_id"] != second["item_id"]


def test_a_turns_audio_includes_padding_and_silence() -> None:
    session = a_session().append(*[QUIET] * 50, *TURN)
    item_id = session.peer.conversation[0].id
    (retrieved,) = session.send_and_wait("conversation.item.retrieve", item_id=item_id)[-1:]
    audio = b64decode(retrieved["item"]["content"][0]["audio"])
    assert len(audio) == 8 * (1632 - 692)
    assert audio.count(0x10) == audio.count(0x90) == 20 * 80


def test_without_create_response_a_turn_is_only_committed() -> None:
    session = Session().update(turn_detection={"type": "server_vad", "create_response": False})
    session.append(*TURN).wait(1000)
    assert session.types()[-1] == "conversation.item.done"


def test_without_turn_detection_the_client_commits() -> None:
    session = a_manual_session().append(*TURN)
    assert session.types() == ["session.created", "session.updated"]
    assert [event["type"] for event in session.send_and_wait("input_audio_buffer.commit")] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    session.wait(1000)
    assert not session.events_of("response.created")


@pytest.mark.parametrize(("size", "words"), [(0, "0.00ms"), (400, "50.00ms"), (799, "99.88ms")])
def test_a_commit_of_less_than_100_ms_is_refused(size: int, words: str) -> None:
    session = a_manual_session()
    session.send("input_audio_buffer.append", audio=b64encode(b"\xff" * size).decode())
    session.send_and_wait("input_audio_buffer.commit", event_id="mine")
    assert session.error() == {
        "type": "invalid_request_error",
        "code": "input_audio_buffer_commit_empty",
        "message": "Error committing input audio buffer: buffer too small. Expected at least "
        f"100ms of audio, but buffer only has {words} of audio.",
        "param": None,
        "event_id": "mine",
    }


def test_clearing_the_buffer_drops_the_turn() -> None:
    session = a_session().append(*[LOUD] * 10)
    assert [event["type"] for event in session.send_and_wait("input_audio_buffer.clear")] == [
        "input_audio_buffer.cleared"
    ]
    session.append(*[QUIET] * 30)
    assert not session.events_of("input_audio_buffer.speech_stopped")


def test_a_commit_during_a_turn_uses_its_item() -> None:
    session = a_session().append(*[LOUD] * 10)
    (started,) = session.events_of("input_audio_buffer.speech_started")
    committed = session.send_and_wait("input_audio_buffer.commit")[0]
    assert committed["item_id"] == started["item_id"]


def test_disabling_turn_detection_drops_the_turn() -> None:
    session = a_session().append(*[LOUD] * 10).update(turn_detection=None).append(*[QUIET] * 30)
    assert not session.events_of("input_audio_buffer.speech_stopped")


def test_events_sent_in_one_burst_are_answered_in_order() -> None:
    session = a_manual_session()
    for audio in (LOUD * 10, LOUD * 2):
        session.send("input_audio_buffer.append", audio=b64encode(audio).decode())
        session.send("input_audio_buffer.commit")
    session.wait(20)
    assert [item.audio_ms for item in session.peer.conversation] == [200]
    assert session.error()["code"] == "input_audio_buffer_commit_empty"
    assert "only has 40.00ms" in session.error()["message"]


# Transcription.


def transcribed(model: str, *transcripts: str | None) -> Session:
    session = Session([Reply([TextReply("Yes.")])], transcripts=transcripts)
    audio = {"input": {"format": PCMU, "transcription": {"model": model}}}
    session.send_and_wait("session.update", session={"type": "realtime", "audio": audio})
    return session


def test_a_transcription_comes_after_the_turn() -> None:
    session = transcribed("gpt-4o-transcribe", "What time is it?").append(*TURN).wait(2000)
    deltas = session.events_of("conversation.item.input_audio_transcription.delta")
    assert "".join(delta["delta"] for delta in deltas) == "What time is it?"
    (completed,) = session.events_of("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "What time is it?"
    assert completed["usage"]["type"] == "tokens"
    assert session.peer.conversation[0].transcript == "What time is it?"


def test_a_live_transcription_begins_while_the_caller_speaks() -> None:
    session = transcribed("gpt-realtime-whisper", "What time is it?")
    session.append(*[LOUD] * 60, *[QUIET] * 12).wait(2000)
    types = session.types()
    delta = "conversation.item.input_audio_transcription.delta"
    assert types.index(delta) < types.index("input_audio_buffer.speech_stopped")
    assert "".join(event["delta"] for event in session.events_of(delta)) == "What time is it?"
    (completed,) = session.events_of("conversation.item.input_audio_transcription.completed")
    assert completed["usage"] == {"type": "duration", "seconds": 2}


def test_a_failed_transcription_does_not_stop_the_response() -> None:
    session = transcribed("whisper-1", None).append(*TURN).wait(2000)
    (failed,) = session.events_of("conversation.item.input_audio_transcription.failed")
    item_id = session.peer.conversation[0].id
    assert failed["error"]["message"] == f"Input transcription failed for item '{item_id}'."
    assert session.events_of("response.done")


def test_turns_beyond_the_given_transcripts_are_empty() -> None:
    session = transcribed("whisper-1").append(*TURN).wait(2000)
    (completed,) = session.events_of("conversation.item.input_audio_transcription.completed")
    assert (completed["transcript"], completed["usage"]["seconds"]) == ("", 0)


def test_a_dropped_turn_is_not_transcribed() -> None:
    session = transcribed("gpt-realtime-whisper", "a b c d").append(*[LOUD] * 10)
    session.send("input_audio_buffer.clear").wait(3000)
    assert not session.events_of("conversation.item.input_audio_transcription.delta")


def test_a_manual_turn_is_transcribed() -> None:
    session = transcribed("gpt-realtime-whisper", "Yes.").update(turn_detection=None)
    session.append(*TURN).send("input_audio_buffer.commit").wait(2000)
    (completed,) = session.events_of("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "Yes."


# Responses.


def test_a_response_is_created_20_ms_after_its_request() -> None:
    session = a_session().wait(1000)
    requested_ms = session.now // MS
    session.send("response.create").wait(4000)
    at = {
        kind: at_ms - requested_ms
        for kind, at_ms in zip(session.types(), session.times, strict=True)
    }
    assert at["response.created"] == 20
    assert at["response.output_item.added"] == 320
    assert at["rate_limits.updated"] - at["response.done"] == 35
    assert session.types()[-1] == "rate_limits.updated"


def test_two_responses_at_once_are_refused() -> None:
    session = a_session()
    session.send("response.create").send("response.create", event_id="second").wait(50)
    (created,) = session.events_of("response.created")
    assert session.error() == {
        "type": "invalid_request_error",
        "code": "conversation_already_has_active_response",
        "message": "Conversation already has an active response in progress: "
        f"{created['response']['id']}. Wait until the response is finished before creating a "
        "new one.",
        "param": None,
        "event_id": "second",
    }
    session.wait(4000)
    assert session.events_of("response.done")[0]["response"]["status"] == "completed"
    assert len(session.events_of("response.created")) == 1


def test_a_response_takes_its_parameters() -> None:
    session = a_session([Reply([speech(300)])])
    session.send(
        "response.create",
        response={
            "metadata": {"topic": "weather"},
            "max_output_tokens": 100,
            "audio": {"output": {"voice": "marin", "format": {"type": "audio/pcma"}}},
        },
    ).wait(2000)
    for kind in ("response.created", "response.done"):
        response = session.events_of(kind)[0]["response"]
        assert response["metadata"] == {"topic": "weather"}
        assert response["max_output_tokens"] == 100
        assert response["audio"]["output"] == {"format": {"type": "audio/pcma"}, "voice": "marin"}
        assert response["output_modalities"] == ["audio"]
    assert session.events_of("response.done")[0]["response"]["conversation_id"].startswith("conv_")


def test_a_response_may_be_text() -> None:
    session = a_session()
    session.send("response.create", response={"output_modalities": ["text"]}).wait(2000)
    assert session.events_of("response.output_text.done")
    assert not session.events_of("response.output_audio.delta")


def test_out_of_band_responses_run_in_parallel() -> None:
    session = a_session([LONG, Reply([TextReply("formal")])])
    session.send("response.create")
    session.send("response.create", response={"conversation": "none", "metadata": {"a": "b"}})
    session.wait(4000)
    first, second = session.events_of("response.done")
    assert first["response"]["conversation_id"] is None
    assert first["response"]["metadata"] == {"a": "b"}
    assert second["response"]["conversation_id"] is not None
    assert len(session.peer.conversation) == 1
    assert len(session.events_of("conversation.item.added")) == 1


def test_replies_come_in_order_and_the_last_repeats() -> None:
    session = a_session([Reply([TextReply("one")]), Reply([TextReply("two")])])
    for _ in range(3):
        session.send("response.create").wait(1000)
    said = [event["text"] for event in session.events_of("response.output_text.done")]
    assert said == ["one", "two", "two"]


def test_replies_can_be_a_function_of_the_request() -> None:
    requests: list[ResponseRequest] = []

    def reply(request: ResponseRequest) -> Reply:
        requests.append(request)
        return Reply([TextReply(f"{request.number} after {len(request.conversation)}")])

    session = a_session(reply)
    session.send("conversation.item.create", item=typed("Hello")).send("response.create").wait(1000)
    session.send("response.create", response={"conversation": "none"}).wait(1000)
    said = [event["text"] for event in session.events_of("response.output_text.done")]
    assert said == ["0 after 1", "1 after 2"]
    assert [request.is_out_of_band for request in requests] == [False, True]


def test_an_empty_list_of_replies_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reply"):
        RealtimePeer([])


def test_a_response_may_refer_to_items() -> None:
    session = a_session([Reply([TextReply("x")])])
    session.send_and_wait("conversation.item.create", item=typed("Hello", id="mine"))
    known = {"type": "item_reference", "id": "mine"}
    params = {"conversation": "none", "input": [known, typed("a")]}
    session.send("response.create", response=params).wait(1000)
    assert session.events_of("response.done")
    unknown = {"type": "item_reference", "id": "other"}
    session.send("response.create", response={"input": [unknown]}).wait(1000)
    assert session.error()["param"] == "response.input"


def test_a_response_may_fail() -> None:
    session = a_session([Reply.failed(code="rate_limit_exceeded", message="Slow down.")])
    session.send("response.create").wait(1000)
    response = session.events_of("response.done")[0]["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["message"] == "Slow down."
    assert not session.peer.is_responding


# Cancelling and interrupting.


def test_a_cancelled_response_closes_what_is_open() -> None:
    session = a_session().send("response.create").wait(800)
    events = session.send_and_wait("response.cancel")
    assert [event["type"] for event in events[-6:]] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    response = events[-1]["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    deltas = len(session.events_of("response.output_audio.delta"))
    session.wait(3000)
    assert len(session.events_of("response.output_audio.delta")) == deltas
    assert session.types()[-1] == "rate_limits.updated"
    assert session.peer.sent_errors == []


def test_a_cancel_without_a_response_is_refused() -> None:
    session = a_session()
    session.send_and_wait("response.cancel")
    assert session.error()["code"] == "response_cancel_not_active"
    assert session.error()["message"] == "Cancellation failed: no active response found"
    session.send_and_wait("response.cancel", response_id="resp_unknown")
    assert session.error()["code"] == "response_cancel_not_active"


def test_a_cancel_may_name_an_out_of_band_response() -> None:
    session = a_session().send("response.create", response={"conversation": "none"}).wait(500)
    response_id = session.events_of("response.created")[0]["response"]["id"]
    session.send_and_wait("response.cancel")
    assert session.error()["code"] == "response_cancel_not_active"
    assert (
        session.send_and_wait("response.cancel", response_id=response_id)[-1]["type"]
        == "response.done"
    )


def test_a_cancelled_response_may_end_after_the_next_starts() -> None:
    session = a_session(pace=Pace(cancelled_done_ns=100 * MS)).send("response.create").wait(800)
    session.send("response.cancel").send("response.create").wait(1000)
    types = session.types()
    second = len(types) - 1 - types[::-1].index("response.created")
    assert types.index("response.done") > second
    assert session.peer.is_responding


def test_speech_interrupts_the_response() -> None:
    session = a_session().send("response.create").wait(800)
    session.append(*[LOUD] * 3)
    types = session.types()
    assert types[types.index("input_audio_buffer.speech_started") :] == [
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    response = session.events_of("response.done")[0]["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}


def test_deltas_may_follow_speech_started_before_the_end() -> None:
    session = a_session(pace=Pace(interruption_ns=120 * MS)).send("response.create").wait(800)
    session.append(*[LOUD] * 10)
    types = session.types()
    after = types[types.index("input_audio_buffer.speech_started") : types.index("response.done")]
    assert after.count("response.output_audio.delta") >= 2


def test_a_turn_that_ends_at_once_still_interrupts_first() -> None:
    session = a_session(pace=Pace(interruption_ns=1000 * MS)).send("response.create").wait(800)
    session.send("input_audio_buffer.append", audio=b64encode(b"".join(TURN)).decode())
    types = session.types()
    assert types[types.index("input_audio_buffer.speech_stopped") :].count("response.created") == 1
    assert session.events_of("response.done")[0]["response"]["status"] == "cancelled"
    session.wait(1500)
    assert len(session.events_of("response.done")) == 1


def test_speech_after_the_response_is_done_cancels_nothing() -> None:
    session = a_session([Reply([speech(1000)])]).send("response.create").wait(1500)
    session.append(*[LOUD] * 5)
    assert session.types()[-1] == "input_audio_buffer.speech_started"
    assert session.events_of("response.done")[0]["response"]["status"] == "completed"


def test_the_end_of_speech_does_not_interrupt_a_response() -> None:
    session = a_session().append(*[LOUD] * 5).send("response.create").append(*[QUIET] * 20)
    assert len(session.events_of("response.created")) == 1
    assert not session.events_of("response.done")


@pytest.mark.parametrize("answer_after", [False, True])
def test_a_turn_during_a_response_may_be_answered_afterwards(*, answer_after: bool) -> None:
    session = Session(answer_turn_after_response=answer_after)
    session.update(turn_detection={"type": "server_vad", "interrupt_response": False})
    session.send("response.create").wait(500).append(*TURN)
    assert session.peer.is_responding
    assert len(session.events_of("response.created")) == 1
    session.wait(3000)
    assert session.events_of("response.done")[0]["response"]["status"] == "completed"
    assert len(session.events_of("response.created")) == (2 if answer_after else 1)


def test_out_of_band_responses_are_not_interrupted_by_speech() -> None:
    session = a_session().send("response.create", response={"conversation": "none"}).wait(500)
    session.append(*[LOUD] * 10)
    assert not session.events_of("response.done")


# The conversation.


def test_an_item_is_added_and_done() -> None:
    session = a_session()
    added, done = session.send_and_wait("conversation.item.create", item=typed("Hello"))
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert added["item"] == done["item"]
    assert list(added["item"]) == ["id", "type", "status", "role", "content"]
    assert added["item"]["status"] == "completed"
    assert added["previous_item_id"] is done["previous_item_id"] is None


def test_items_are_inserted_where_the_client_says() -> None:
    session = a_session()
    session.send_and_wait("conversation.item.create", item=typed("1", id="one"))
    session.send_and_wait("conversation.item.create", item=typed("2", id="two"))
    between = session.send_and_wait(
        "conversation.item.create", item=typed("1.5", id="between"), previous_item_id="one"
    )
    front = session.send_and_wait(
        "conversation.item.create", item=typed("0", id="front"), previous_item_id="root"
    )
    assert [event["previous_item_id"] for event in between] == ["one", "one"]
    assert [event["previous_item_id"] for event in front] == [None, None]
    assert [item.id for item in session.peer.conversation] == ["front", "one", "between", "two"]


def test_unknown_predecessors_and_used_ids_are_refused() -> None:
    session = a_session()
    session.send_and_wait("conversation.item.create", item=typed("1", id="one"))
    session.send_and_wait("conversation.item.create", item=typed("2"), previous_item_id="nobody")
    assert "'nobody' does not exist" in session.error()["message"]
    session.send_and_wait("conversation.item.create", item=typed("2", id="one"))
    assert session.error()["param"] == "item.id"
    assert len(session.peer.conversation) == 1


def test_audio_of_the_caller_may_be_created() -> None:
    session = a_session()
    for audio in (b64encode(LOUD).decode(), "no base64"):
        content = [{"type": "input_audio", "audio": audio}, {"type": "input_text", "text": "a"}]
        item = {"type": "message", "role": "user", "content": content}
        session.send_and_wait("conversation.item.create", item=item)
    assert session.error()["param"] == "audio"
    (created,) = session.peer.conversation
    assert created.audio == LOUD
    assert created.to_wire()["content"][0] == {"type": "input_audio", "transcript": None}


def test_a_functions_output_needs_its_call() -> None:
    session = a_session([Reply([FunctionCallReply("f", "{}", "call_1")])])
    output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    session.send_and_wait("conversation.item.create", item=output)
    assert session.error()["code"] == "invalid_value"
    assert session.error()["param"] == "item.call_id"
    session.send("response.create").wait(1000)
    added, _ = session.send_and_wait("conversation.item.create", item=output)
    assert list(added["item"]) == ["id", "type", "call_id", "output"]
    assert added["previous_item_id"] == session.peer.conversation[0].id


def test_a_function_call_of_the_client_gets_an_id() -> None:
    session = a_session()
    item = {"type": "function_call", "name": "f", "arguments": "{}", "object": "realtime.item"}
    added, _ = session.send_and_wait("conversation.item.create", item=item)
    assert list(added["item"]) == ["id", "type", "status", "name", "call_id", "arguments"]


def test_a_deleted_item_is_only_marked_as_deleted() -> None:
    session = a_session([Reply([speech(300)])]).send("response.create").wait(1000)
    (item,) = session.peer.conversation
    (deleted,) = session.send_and_wait("conversation.item.delete", item_id=item.id)
    assert deleted["item_id"] == item.id
    assert (item.is_deleted, item.generated_ms, item.assumed_heard_ms) == (True, 300, 0)
    for doing, verb in (("retrieve", "retrieving"), ("delete", "deleting")):
        session.send_and_wait(f"conversation.item.{doing}", item_id=item.id)
        error = session.error()
        assert error["code"] == f"item_{doing}_invalid_item_id"
        assert (
            error["message"] == f"Error {verb} item: the item with id '{item.id}' does not exist."
        )
    added, _ = session.send_and_wait("conversation.item.create", item=typed("next"))
    assert added["previous_item_id"] is None


def test_an_item_is_retrieved_with_its_audio() -> None:
    session = a_session([Reply([speech(300, "Hm.")])]).send("response.create").wait(1000)
    item_id = session.peer.conversation[0].id
    (retrieved,) = session.send_and_wait("conversation.item.retrieve", item_id=item_id)
    (part,) = retrieved["item"]["content"]
    assert (part["type"], part["transcript"]) == ("output_audio", "Hm.")
    assert b64decode(part["audio"]) == b"\x20" * 2400


# Truncation.


def spoken(session: Session, ms: int) -> str:
    session.send("response.create").wait(ms)
    return session.peer.conversation[-1].id


def truncate(session: Session, item_id: str, audio_end_ms: int, index: int = 0) -> list[Event]:
    return session.send_and_wait(
        "conversation.item.truncate",
        item_id=item_id,
        content_index=index,
        audio_end_ms=audio_end_ms,
    )


@pytest.mark.parametrize("audio_end_ms", [0, 777, 1750])
def test_a_truncation_within_the_sent_audio_is_confirmed(audio_end_ms: int) -> None:
    session = a_session([Reply([speech(1750)])])
    item_id = spoken(session, 2000)
    (truncated,) = truncate(session, item_id, audio_end_ms)
    assert truncated == {
        "type": "conversation.item.truncated",
        "event_id": truncated["event_id"],
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": audio_end_ms,
    }
    (item,) = session.peer.conversation
    assert (item.truncated_ms, item.assumed_heard_ms) == (audio_end_ms, audio_end_ms)
    assert (item.generated_ms, item.transcript) == (1750, None)
    assert len(item.audio) == 8 * audio_end_ms


def test_a_truncation_beyond_the_sent_audio_is_refused() -> None:
    session = a_session([Reply([speech(3700)])])
    item_id = spoken(session, 3000)
    truncate(session, item_id, 3760)
    assert session.error()["message"] == "Audio content of 3700ms is already shorter than 3760ms"
    assert session.error()["code"] == "invalid_value"
    assert session.peer.conversation[0].truncated_ms is None


def test_sent_audio_is_a_multiple_of_50_ms() -> None:
    session = a_session()
    item_id = spoken(session, 700)
    truncate(session, item_id, 9_000)
    words = session.error()["message"].split()
    assert int(words[3].removesuffix("ms")) % 50 == 0


def test_a_truncated_item_keeps_no_later_audio() -> None:
    session = a_session()
    item_id = spoken(session, 700)
    truncate(session, item_id, 100)
    session.wait(3000)
    (item,) = session.peer.conversation
    assert (item.generated_ms, item.assumed_heard_ms, item.audio_ms) == (10_000, 100, 100)
    assert item.transcript is None
    truncate(session, item_id, 150)
    assert session.error()["message"] == "Audio content of 100ms is already shorter than 150ms"


@pytest.mark.parametrize(
    ("reply", "index", "wait_ms"),
    [
        (LONG, 0, 400),
        (LONG, 1, 3000),
        (Reply([TextReply("Yes.")]), 0, 1000),
        (Reply([FunctionCallReply("f")]), 0, 1000),
    ],
    ids=["before any audio", "another part", "text", "a call"],
)
def test_only_audio_of_the_model_is_truncated(reply: Reply, index: int, wait_ms: int) -> None:
    session = a_session([reply])
    truncate(session, spoken(session, wait_ms), 0, index)
    assert session.error()["code"] == "unsupported_content_type"
    assert session.error()["message"] == "Only model output audio messages can be truncated"


def test_an_unknown_item_is_not_truncated() -> None:
    session = a_session()
    truncate(session, "item_nobody", 0)
    assert session.error()["code"] == "item_truncate_invalid_item_id"


# Idle timeout.


def test_a_silent_caller_triggers_the_idle_timeout() -> None:
    session = Session([Reply([speech(1000)])])
    session.update(turn_detection={"type": "server_vad", "idle_timeout_ms": 5000})
    session.send("response.create").append(*[QUIET] * 400)
    types = session.types()
    nudge = types.index("input_audio_buffer.timeout_triggered")
    assert types[nudge : nudge + 7] == [
        "input_audio_buffer.timeout_triggered",
        "conversation.item.added",
        "conversation.item.done",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    triggered, note, _, committed, item = session.events[nudge : nudge + 5]
    assert note["item"]["role"] == "system"
    assert committed["previous_item_id"] == note["item"]["id"]
    assert triggered["item_id"] == committed["item_id"] == item["item"]["id"]
    assert triggered["audio_start_ms"] % 32 == triggered["audio_end_ms"] % 32 == 0
    assert 4900 < triggered["audio_end_ms"] - triggered["audio_start_ms"] < 5100
    done = session.times[types.index("response.done")]
    assert 6000 <= session.times[nudge] - done < 6050


def test_a_caller_who_speaks_is_not_idle() -> None:
    session = Session([Reply([speech(1000)])])
    vad = {"type": "server_vad", "idle_timeout_ms": 5000, "create_response": False}
    session.update(turn_detection=vad)
    session.send("response.create").append(*[QUIET] * 200, *TURN, *[QUIET] * 300)
    assert not session.events_of("input_audio_buffer.timeout_triggered")


# The connection.


@pytest.mark.parametrize(
    ("opening_error", "code", "reason"),
    [
        ("invalid_api_key", 3000, "invalid_request_error.invalid_api_key"),
        ("missing_key", 3000, "invalid_request_error"),
        ("invalid_model", 4000, "invalid_request_error.invalid_model"),
        ("missing_model", 4000, "invalid_request_error.missing_model"),
        (
            OpeningError.BETA_API_SHAPE_DISABLED,
            4000,
            "invalid_request_error.beta_api_shape_disabled",
        ),
    ],
)
def test_a_connection_may_be_refused(opening_error: Any, code: int, reason: str) -> None:
    session = Session(opening_error=opening_error)
    assert session.types() == ["error"]
    assert session.actions[-1] == Close(CLIENT, code, reason)
    assert session.peer.deadline is None
    session.send("response.create").wait(1000)
    assert len(session.actions) == 2


def test_a_session_ends_after_60_minutes() -> None:
    session = Session().wait(3_600_000)
    assert session.error()["code"] == "session_expired"
    sentence = "Your session hit the maximum duration of 60 minutes."
    assert session.error()["message"] == sentence
    assert session.actions[-1] == Close(CLIENT, 1001, sentence)
    assert session.peer.deadline is None


def test_a_client_may_close_the_session_by_an_event() -> None:
    session = Session()
    session.send("session.close").send("response.create").wait(1000)
    assert session.actions[-1] == Close(CLIENT, 1000, "")


def test_the_server_pings_every_20_seconds() -> None:
    session = Session().wait(41_000)
    pings = [action for action in session.actions if isinstance(action, SendPing)]
    assert [len(ping.payload) for ping in pings] == [4, 4]
    assert session.peer.pong(CLIENT, pings[0].payload, session.now) == []


def test_a_closed_session_does_nothing() -> None:
    session = a_session().send("response.create").wait(500)
    assert session.peer.closed(CLIENT, 1000, "", session.now) == []
    assert session.peer.deadline is None
    before = len(session.actions)
    session.send("response.create").wait(1000)
    assert session.peer.closed(CLIENT, 1006, "", session.now) == []
    assert len(session.actions) == before


def test_misuse_raises_before_anything_changes() -> None:
    peer = RealtimePeer([LONG])
    with pytest.raises(LocalProtocolError):
        peer.opened(CLIENT, 0)
    peer.start(5)
    with pytest.raises(LocalProtocolError):
        peer.start(5)
    with pytest.raises(LocalProtocolError):
        peer.receive_text(CLIENT, "{}", 5)
    with pytest.raises(LocalProtocolError):
        peer.opened("somebody", 5)
    with pytest.raises(LocalProtocolError):
        peer.opened(CLIENT, 4)
    assert peer.opened(CLIENT, 5) == []
    with pytest.raises(LocalProtocolError):
        peer.opened(CLIENT, 5)
    assert peer.handle_timeout(5) == []
    assert len(peer.handle_timeout(5 + 4 * MS)) == 1


def test_a_late_timeout_sends_everything_in_order() -> None:
    punctual, late = a_session(), a_session()
    punctual.send("response.create").wait(10_000)
    late.send("response.create")
    late.wait(0)
    actions = late.peer.handle_timeout(late.now + 10_000 * MS)
    sent = [action.message for action in actions if isinstance(action, Send)]
    assert sent == [ServerEvent(event) for event in punctual.events[2:]]
    assert late.peer.handle_timeout(late.now + 10_000 * MS) == []


def test_a_seed_decides_every_id() -> None:
    def play(seed: int) -> list[Event]:
        session = a_session(seed=seed).append(*TURN).wait(5000)
        return session.events

    assert play(7) == play(7)
    assert play(7) != play(8)


KINDS = st.sampled_from(
    [
        {"type": "response.create"},
        {"type": "response.create", "response": {"conversation": "none"}},
        {"type": "response.cancel"},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "input_audio_buffer.append", "audio": b64encode(b"".join(TURN)).decode()},
        {"type": "input_audio_buffer.append", "audio": b64encode(LOUD * 5).decode()},
        {"type": "conversation.item.create", "item": typed("Hello")},
        {"type": "conversation.item.create", "item": typed("Hello", id="mine")},
        {"type": "conversation.item.delete", "item_id": "mine"},
        {
            "type": "session.update",
            "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
        },
        {"type": "nonsense"},
    ]
)


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(KINDS, st.integers(0, 900)), max_size=14),
    interrupt_ms=st.sampled_from([0, 2, 300]),
    cancelled_ms=st.sampled_from([0, 300]),
    answer_after=st.booleans(),
)
def test_every_response_and_item_ends_for_any_client(
    steps: list[tuple[Event, int]], interrupt_ms: int, cancelled_ms: int, *, answer_after: bool
) -> None:
    pace = Pace(interruption_ns=interrupt_ms * MS, cancelled_done_ns=cancelled_ms * MS)
    reply = Reply([speech(900), FunctionCallReply("f", '{"a": 1}'), TextReply("Done.")])
    session = a_session([reply], pace=pace, answer_turn_after_response=answer_after)
    for event, ms in steps:
        session.send_text(json.dumps(event))
        session.wait(ms)
    session.wait(20_000)
    assert not session.peer.is_responding
    for started, done in (
        ("response.created", "response.done"),
        ("response.output_item.added", "response.output_item.done"),
        ("conversation.item.added", "conversation.item.done"),
        ("response.content_part.added", "response.content_part.done"),
    ):
        assert len(session.events_of(started)) == len(session.events_of(done))
    assert len(session.peer.sent_errors) == len(session.events_of("error"))
    ids = [event["event_id"] for event in session.events]
    assert len(set(ids)) == len(ids)
    assert session.times == sorted(session.times)
    in_progress = [item for item in session.peer.conversation if item.status == "in_progress"]
    assert in_progress == []


@given(st.lists(st.text(max_size=30), max_size=8))
def test_no_client_text_raises(texts: list[str]) -> None:
    session = Session()
    for text in texts:
        session.send_text(text)
    session.wait(100)
    assert len(session.events_of("error")) == len(texts) == len(session.peer.sent_errors)
