"""The phone: what it sends, what it plays, and its warnings."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.sim.phone.caller import (
    MAX_SPEECH_BYTES,
    AfterDelay,
    AtTime,
    CallerAct,
    CallerHangsUp,
    CallerMutes,
    CallerPressesKey,
    CallerSays,
    CallerUnmutes,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from twilio_realtime.sim.phone.player import MAX_PENDING_MARKS, MAX_QUEUED_BYTES, PlayedSegment
from twilio_realtime.sim.phone.twilio_peer import (
    SERVER,
    CueStarted,
    PhoneDisconnected,
    QueueCleared,
    StreamWarning,
    TwilioPeer,
)
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Close, Notify, Open, Send
from twilio_realtime_core.machine.units import MS, SAMPLE_NS, SECOND

SILENT = b"\xff" * 160
NEVER_NS = 10**6 * SECOND
"""The time of a first frame that never comes, for tests that look only at playing."""


def answered(**arguments: Any) -> TwilioPeer:
    phone = TwilioPeer(**arguments)
    phone.start(0)
    phone.opened(SERVER, 0)
    return phone


def listener(**arguments: Any) -> TwilioPeer:
    return answered(first_frame_ns=NEVER_NS, **arguments)


def sent(actions: Iterable[Action]) -> list[dict[str, Any]]:
    return [json.loads(action.message.encode()) for action in actions if isinstance(action, Send)]


def notifications(actions: Iterable[Action]) -> list[object]:
    return [action.event for action in actions if isinstance(action, Notify)]


def marks(actions: Iterable[Action]) -> list[str]:
    return [message["mark"]["name"] for message in sent(actions) if message["event"] == "mark"]


def media(phone: TwilioPeer, audio: bytes) -> str:
    payload = b64encode(audio).decode()
    return json.dumps(
        {"event": "media", "streamSid": phone.stream_sid, "media": {"payload": payload}}
    )


def mark(phone: TwilioPeer, name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": phone.stream_sid, "mark": {"name": name}})


def clear(phone: TwilioPeer) -> str:
    return json.dumps({"event": "clear", "streamSid": phone.stream_sid})


def play(phone: TwilioPeer, audio: bytes, now: int) -> list[Action]:
    return phone.receive_text(SERVER, media(phone, audio), now)


def run_until(phone: TwilioPeer, until: int) -> list[tuple[int, Action]]:
    """The actions of the phone up to `until_ns`, each in time."""
    done: list[tuple[int, Action]] = []
    while (due := phone.deadline) is not None and due <= until:
        done += [(due, action) for action in phone.handle_timeout(due)]
    return done


# What the phone sends.


def test_the_phone_dials_its_url_and_starts_the_stream() -> None:
    phone = TwilioPeer(url="wss://bridge.example/stream")
    assert phone.deadline is None
    assert phone.handle_timeout(0) == []
    assert phone.start(1) == [Open(SERVER, "wss://bridge.example/stream")]
    assert phone.deadline is None
    connected, start = sent(phone.opened(SERVER, 5))
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start["event"] == "start"
    assert phone.opened(SERVER, 5) == []


def test_start_describes_the_call_and_its_format() -> None:
    phone = TwilioPeer(custom_parameters={"who": 'An"n'}, call_sid="CA" + "5" * 32)
    phone.start(0)
    _, start = sent(phone.opened(SERVER, 0))
    assert start == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": phone.stream_sid,
        "start": {
            "accountSid": phone.account_sid,
            "streamSid": phone.stream_sid,
            "callSid": "CA" + "5" * 32,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"who": 'An"n'},
        },
    }


def test_sids_have_twilios_pattern_and_come_from_the_seed() -> None:
    one, same, other = TwilioPeer(seed=1), TwilioPeer(seed=1), TwilioPeer(seed=2)
    assert one.stream_sid == same.stream_sid != other.stream_sid
    for prefix, sid in [("AC", one.account_sid), ("CA", one.call_sid), ("MZ", one.stream_sid)]:
        assert re.fullmatch(f"{prefix}[0-9a-f]{{32}}", sid)


def test_frames_are_silent_and_timestamps_jitter() -> None:
    phone = answered(seed=3)
    frames = [
        (due, message) for due, action in run_until(phone, 2 * SECOND) for message in sent([action])
    ]
    assert len(frames) in (92, 93)
    for n, (due, frame) in enumerate(frames):
        assert frame["event"] == "media"
        assert frame["sequenceNumber"] == str(n + 2)
        assert frame["media"]["track"] == "inbound"
        assert frame["media"]["chunk"] == str(n + 1)
        assert frame["media"]["timestamp"] == str(due // MS)
        assert len(frame["media"]["payload"]) == 216
        assert b64decode(frame["media"]["payload"]) == SILENT
        assert abs(due - phone.first_frame_ns - n * 20 * MS) <= 2 * MS
    assert 148 * MS <= frames[0][0] <= 177 * MS
    steps = {b - a for (a, _), (b, _) in pairwise(frames)}
    assert len(steps) > 50


@pytest.mark.parametrize("jitter_ns", [-1, 10 * MS])
def test_jitter_that_could_reorder_frames_is_refused(jitter_ns: int) -> None:
    with pytest.raises(ValueError, match="jitter_ns"):
        TwilioPeer(jitter_ns=jitter_ns)


def test_a_late_timeout_catches_up_in_order_with_true_timestamps() -> None:
    punctual, late = answered(jitter_ns=0), answered(jitter_ns=0)
    for phone in (punctual, late):
        play(phone, b"a" * 1600, 0)
        phone.receive_text(SERVER, mark(phone, "end"), 0)
    expected = [action for _, action in run_until(punctual, SECOND)]
    assert late.handle_timeout(SECOND) == expected
    assert late.deadline == punctual.deadline
    assert late.deadline is not None
    assert late.deadline > SECOND


def test_an_early_timeout_changes_nothing() -> None:
    phone = answered()
    due = phone.deadline
    assert due is not None
    assert phone.handle_timeout(due - 1) == []
    assert phone.deadline == due


# The caller's acts.


def sent_audio(done: Sequence[tuple[int, Action]]) -> bytes:
    messages = sent(action for _, action in done)
    return b"".join(b64decode(m["media"]["payload"]) for m in messages if m["event"] == "media")


def test_speech_goes_out_in_frames_padded_by_silence() -> None:
    phone = answered(first_frame_ns=100 * MS, jitter_ns=0)
    phone.say(b"a" * 200, 0)
    phone.say(b"b" * 40, 1)
    assert sent_audio(run_until(phone, 140 * MS)) == b"a" * 200 + b"b" * 40 + b"\xff" * 80 + SILENT


def test_speech_while_muted_is_lost() -> None:
    phone = answered(first_frame_ns=100 * MS, jitter_ns=0)
    phone.say(b"a" * 160 + b"b" * 160 + b"c" * 160, 0)
    phone.mute(0)
    assert sent_audio(run_until(phone, 110 * MS)) == SILENT
    phone.unmute(110 * MS)
    assert sent_audio(run_until(phone, 150 * MS)) == b"b" * 160 + b"c" * 160


def test_a_key_is_one_dtmf_message() -> None:
    phone = answered()
    assert sent(phone.press_key("#", 7)) == [
        {
            "event": "dtmf",
            "streamSid": phone.stream_sid,
            "sequenceNumber": "2",
            "dtmf": {"track": "inbound_track", "digit": "#"},
        }
    ]


def test_hanging_up_stops_the_stream_and_closes_the_link() -> None:
    phone = answered()
    play(phone, b"a" * 800, 0)
    actions = phone.hang_up(50 * MS)
    assert sent(actions) == [
        {
            "event": "stop",
            "sequenceNumber": "2",
            "streamSid": phone.stream_sid,
            "stop": {"accountSid": phone.account_sid, "callSid": phone.call_sid},
        }
    ]
    assert actions[-1] == Close(SERVER, 1000, "")
    assert phone.deadline is None
    assert phone.heard_bytes_at(SECOND) == 400
    assert play(phone, b"a", 60 * MS) == []
    assert not phone.is_over
    assert phone.closed(SERVER, 1000, "", 90 * MS) == [
        Notify(PhoneDisconnected(caller_hung_up=True, code=1000, reason=""))
    ]


def test_once_over_a_call_ignores_everything() -> None:
    phone = answered()
    play(phone, b"a" * 800, 0)
    assert phone.closed(SERVER, 1001, "bye", 10 * MS) == [
        Notify(PhoneDisconnected(caller_hung_up=False, code=1001, reason="bye"))
    ]
    assert phone.is_over
    assert phone.heard_bytes_at(SECOND) == 80
    inputs = [
        phone.closed(SERVER, 1000, "", SECOND),
        phone.opened(SERVER, SECOND),
        play(phone, b"a", SECOND),
        phone.receive_binary(SERVER, SECOND),
        phone.pong(SERVER, b"", SECOND),
        phone.say(b"a", SECOND),
        phone.press_key("1", SECOND),
        phone.hang_up(SECOND),
        phone.handle_timeout(SECOND),
    ]
    assert inputs == [[]] * 9
    assert phone.deadline is None


def test_nothing_is_sent_after_the_link_is_closed() -> None:
    phone = answered()
    play(phone, b"a" * 80, 0)
    phone.receive_text(SERVER, mark(phone, "played"), 0)
    assert phone.deadline == 10 * MS
    assert phone.closed(SERVER, 1006, "", 10 * MS) == [
        Notify(PhoneDisconnected(caller_hung_up=False, code=1006, reason=""))
    ]


def test_an_unanswered_call_is_over() -> None:
    phone = TwilioPeer()
    phone.start(0)
    assert notifications(phone.closed(SERVER, 1006, "refused", 1)) == [
        PhoneDisconnected(caller_hung_up=False, code=1006, reason="refused")
    ]


def test_misuse_raises_and_changes_nothing() -> None:
    phone = TwilioPeer()
    with pytest.raises(LocalProtocolError, match="not been started"):
        phone.opened(SERVER, 5)
    phone.start(1)
    with pytest.raises(LocalProtocolError, match="start was called twice"):
        phone.start(5)
    with pytest.raises(LocalProtocolError, match="before the stream"):
        phone.say(b"a", 5)
    with pytest.raises(LocalProtocolError, match="one peer"):
        phone.opened("elsewhere", 5)
    with pytest.raises(LocalProtocolError, match="backwards"):
        phone.opened(SERVER, 0)
    assert len(sent(phone.opened(SERVER, 1))) == 2


@pytest.mark.parametrize("digit", ["", "12", "x", "é"])
def test_only_keys_of_a_telephone_can_be_pressed(digit: str) -> None:
    with pytest.raises(LocalProtocolError, match="key must be"):
        answered().press_key(digit, 0)


def test_queued_speech_of_the_caller_is_limited() -> None:
    phone = answered(record_audio=False)
    phone.say(b"a" * MAX_SPEECH_BYTES, 0)
    with pytest.raises(LocalProtocolError, match="left to say"):
        phone.say(b"a", 0)
    with pytest.raises(LocalProtocolError, match="must not be longer"):
        CallerSays(b"a" * (MAX_SPEECH_BYTES + 1))


# The script.


def cues(done: Iterable[tuple[int, Action]]) -> list[tuple[int, object]]:
    return [
        (event.at_ns, event.cue.act)
        for _, action in done
        for event in notifications([action])
        if isinstance(event, CueStarted)
    ]


def test_a_script_acts_in_order_at_its_times() -> None:
    acts: list[CallerAct] = [CallerPressesKey("1"), CallerMutes(), CallerUnmutes(), CallerHangsUp()]
    phone = answered(
        script=[
            AtTime(30 * MS, acts[0]),
            AfterDelay(10 * MS, acts[1]),
            AtTime(20 * MS, acts[2]),
            AfterDelay(5 * MS, acts[3]),
        ]
    )
    done = run_until(phone, SECOND)
    times = [30 * MS, 40 * MS, 40 * MS, 45 * MS]
    assert cues(done) == list(zip(times, acts, strict=True))
    assert done[-1] == (45 * MS, Close(SERVER, 1000, ""))


def test_a_cue_waits_until_speech_has_been_said() -> None:
    phone = answered(
        first_frame_ns=100 * MS,
        jitter_ns=0,
        script=[
            AtTime(0, CallerSays(b"a" * 330)),
            AfterDelay(0, CallerPressesKey("1")),
            AfterDelay(0, CallerSays(b"")),
            AfterDelay(0, CallerHangsUp()),
        ],
    )
    assert cues(run_until(phone, SECOND)) == [
        (140 * MS, CallerPressesKey("1")),
        (140 * MS, CallerSays(b"")),
        (140 * MS, CallerHangsUp()),
    ]


def test_a_script_can_interrupt_after_some_audio_was_heard() -> None:
    phone = listener(
        start_delay_ns=7 * MS,
        script=[WhenAgentHeard(80, CallerPressesKey("1")), WhenAgentHeard(0, CallerHangsUp())],
    )
    play(phone, b"a" * 400, 0)
    assert cues(run_until(phone, SECOND)) == []
    play(phone, b"b" * 8000, SECOND)
    eighty_ms_heard_ns = SECOND + 7 * MS + 30 * MS
    assert cues(run_until(phone, 2 * SECOND)) == [
        (eighty_ms_heard_ns, CallerPressesKey("1")),
        (eighty_ms_heard_ns + SAMPLE_NS, CallerHangsUp()),
    ]


def test_cleared_audio_does_not_trigger() -> None:
    phone = listener(script=[WhenAgentHeard(80, CallerPressesKey("1"))])
    play(phone, b"a" * 8000, 0)
    phone.receive_text(SERVER, clear(phone), 40 * MS)
    play(phone, b"a" * 8000, 500 * MS)
    assert cues(run_until(phone, SECOND)) == [(540 * MS, CallerPressesKey("1"))]


def test_a_script_can_wait_until_the_agent_is_quiet() -> None:
    phone = listener(
        script=[
            WhenAgentQuiet(300 * MS, CallerPressesKey("1")),
            WhenAgentQuiet(300 * MS, CallerHangsUp()),
        ]
    )
    assert run_until(phone, SECOND) == []
    play(phone, b"a" * 800, SECOND)
    play(phone, b"a" * 800, SECOND + 350 * MS)
    assert cues(run_until(phone, 2 * SECOND)) == [(SECOND + 750 * MS, CallerPressesKey("1"))]
    play(phone, b"a" * 800, 2 * SECOND)
    assert cues(run_until(phone, 3 * SECOND)) == [(2 * SECOND + 400 * MS, CallerHangsUp())]


# What the phone plays.


def test_a_mark_is_echoed_when_everything_before_was_played() -> None:
    phone = listener()
    play(phone, b"a" * 161, 0)
    assert marks(phone.receive_text(SERVER, mark(phone, "one"), MS)) == []
    play(phone, b"b" * 80, 2 * MS)
    phone.receive_text(SERVER, mark(phone, "two"), 3 * MS)
    echoes = [
        (due, message) for due, action in run_until(phone, SECOND) for message in sent([action])
    ]
    assert echoes == [
        (
            161 * SAMPLE_NS,
            {
                "event": "mark",
                "sequenceNumber": "2",
                "streamSid": phone.stream_sid,
                "mark": {"name": "one"},
            },
        ),
        (
            241 * SAMPLE_NS,
            {
                "event": "mark",
                "sequenceNumber": "3",
                "streamSid": phone.stream_sid,
                "mark": {"name": "two"},
            },
        ),
    ]


def test_a_mark_on_an_empty_queue_is_echoed_at_once() -> None:
    phone = listener(start_delay_ns=100 * MS)
    assert marks(phone.receive_text(SERVER, mark(phone, 'qu"ote\ud800'), 5)) == ['qu"ote\ud800']
    play(phone, b"", 6)
    assert marks(phone.receive_text(SERVER, mark(phone, "b"), 7)) == ["b"]


def test_clear_discards_the_queue_and_echoes_all_marks() -> None:
    phone = listener()
    play(phone, b"a" * 800, 0)
    for name in ("b", "a", "c"):
        phone.receive_text(SERVER, mark(phone, name), 0)
    actions = phone.receive_text(SERVER, clear(phone), 50 * MS + 1)
    assert notifications(actions) == [QueueCleared(50 * MS + 1, 400, 400, 3)]
    assert phone.clears == [QueueCleared(50 * MS + 1, 400, 400, 3)]
    assert marks(actions) == ["b", "a", "c"]
    assert phone.heard_bytes_at(SECOND) == 400
    play(phone, b"b" * 8, 50 * MS + 1)
    assert phone.segments(SECOND) == [
        PlayedSegment(0, b"a" * 400),
        PlayedSegment(50 * MS + 1, b"b" * 8),
    ]
    phone.receive_text(SERVER, clear(phone), SECOND)
    assert phone.clears[1:] == [QueueCleared(SECOND, 408, 0, 0)]


def test_the_start_delay_applies_whenever_the_queue_was_empty() -> None:
    delays = iter([10 * MS, 0, 20 * MS])
    phone = listener(start_delay_ns=lambda: next(delays))
    play(phone, b"a" * 80, 0)
    play(phone, b"b" * 80, 5 * MS)
    play(phone, b"c" * 80, 30 * MS)
    play(phone, b"d" * 80, 40 * MS)
    phone.receive_text(SERVER, mark(phone, "end"), 40 * MS)
    assert [due for due, _ in run_until(phone, SECOND)] == [70 * MS]
    first, second = phone.segments(SECOND)
    assert first == PlayedSegment(10 * MS, b"a" * 80 + b"b" * 80 + b"c" * 80)
    assert second == PlayedSegment(60 * MS, b"d" * 80)
    assert (first.end_ns, second.end_ns) == (40 * MS, 70 * MS)
    assert [phone.heard_bytes_at(ms * MS) for ms in (0, 10, 11, 30, 40, 60, 61)] == [
        0, 0, 8, 160, 240, 240, 248,
    ]  # fmt: skip


def test_a_clear_before_the_first_byte_plays_nothing() -> None:
    phone = listener(start_delay_ns=10 * MS)
    play(phone, b"a" * 80, 0)
    phone.receive_text(SERVER, clear(phone), 5 * MS)
    assert phone.clears == [QueueCleared(5 * MS, 0, 80, 0)]
    assert phone.segments(SECOND) == []


def test_segments_hold_only_what_was_played_until_then() -> None:
    phone = listener()
    play(phone, b"a" * 80, 0)
    play(phone, b"b" * 80, SECOND)
    assert phone.segments(5 * MS) == [PlayedSegment(0, b"a" * 40)]
    assert repr(phone.segments(5 * MS)[0]) == "PlayedSegment(start_ns=0)"


def test_both_sides_are_recorded_from_the_streams_start() -> None:
    phone = answered(first_frame_ns=100 * MS, jitter_ns=0)
    phone.say(b"c" * 160, 0)
    play(phone, b"a" * 80, 10 * MS)
    run_until(phone, 200 * MS)
    caller, agent = phone.recorded_audio(200 * MS)
    assert caller == b"\xff" * 640 + b"c" * 160 + b"\xff" * 800
    assert agent == b"\xff" * 80 + b"a" * 80 + b"\xff" * 1440


def test_without_recorded_audio_bytes_are_still_counted() -> None:
    phone = answered(record_audio=False)
    play(phone, b"a" * 800, 0)
    phone.receive_text(SERVER, clear(phone), 50 * MS)
    run_until(phone, SECOND)
    assert phone.clears == [QueueCleared(50 * MS, 400, 400, 0)]
    with pytest.raises(LocalProtocolError, match="not recorded"):
        phone.segments(SECOND)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("media"), st.integers(1, 12)),
        st.tuples(st.just("mark"), st.just(0)),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 20)),
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(STEPS, st.integers(0, 3))
def test_any_sequence_plays_like_a_queue_of_single_bytes(
    steps: list[tuple[str, int]], delay: int
) -> None:
    phone = listener(start_delay_ns=delay * SAMPLE_NS)
    now, byte = 0, 0
    queue: list[int | str] = []  # bytes to play, -1 for a tick of delay, marks by name
    played: list[tuple[int, int]] = []
    echoed: list[tuple[int, str]] = []
    heard_echoes: list[tuple[int, str]] = []

    def hear(actions: list[Action]) -> None:
        heard_echoes.extend((now, name) for name in marks(actions))

    def echo_front() -> None:
        while queue and isinstance(queue[0], str):
            echoed.append((now, str(queue.pop(0))))

    for n, (kind, size) in enumerate(steps):
        match kind:
            case "media":
                data = [(byte + i) % 251 for i in range(size)]
                byte += size
                queue += [*([] if queue else [-1] * delay), *data]
                hear(play(phone, bytes(data), now))
            case "mark":
                queue.append(f"m{n}")
                echo_front()
                hear(phone.receive_text(SERVER, mark(phone, f"m{n}"), now))
            case "clear":
                left = len([entry for entry in queue if isinstance(entry, int) and entry >= 0])
                waiting = [entry for entry in queue if isinstance(entry, str)]
                echoed += [(now, name) for name in waiting]
                queue.clear()
                hear(phone.receive_text(SERVER, clear(phone), now))
                assert phone.clears[-1] == QueueCleared(now, len(played), left, len(waiting))
            case _:
                for _ in range(size):
                    if queue and isinstance(entry := queue.pop(0), int) and entry >= 0:
                        played.append((now, entry))
                    now += SAMPLE_NS
                    echo_front()
                    hear(phone.handle_timeout(now))
        assert phone.heard_bytes_at(now) == len(played)

    assert heard_echoes == echoed
    truth = [
        (segment.start_ns + i * SAMPLE_NS, data)
        for segment in phone.segments(now)
        for i, data in enumerate(segment.audio)
    ]
    assert truth == played


# Warnings.


def test_audio_beyond_ten_minutes_is_discarded_with_one_warning() -> None:
    phone = listener(record_audio=False)
    assert notifications(play(phone, b"a" * MAX_QUEUED_BYTES, 0)) == []
    (warning,) = notifications(play(phone, b"a", 0))
    assert isinstance(warning, StreamWarning)
    assert warning.code == 31931
    assert notifications(play(phone, b"a", 0)) == []
    assert play(phone, b"a", SAMPLE_NS) == []
    assert phone.warnings == [warning]
    assert phone.warning_counts == {31931: 2}
    assert phone.heard_bytes_at(3600 * SECOND) == MAX_QUEUED_BYTES + 1


def test_pending_marks_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_PENDING_MARKS == 100_000
    monkeypatch.setattr("twilio_realtime.sim.phone.player.MAX_PENDING_MARKS", 30)
    phone = listener()
    play(phone, b"a", 0)
    text = mark(phone, "m")
    for _ in range(30):
        phone.receive_text(SERVER, text, 0)
    assert phone.warnings == []
    phone.receive_text(SERVER, text, 0)
    assert [warning.code for warning in phone.warnings] == [31931]
    assert len(marks(phone.handle_timeout(SAMPLE_NS))) == 30


def test_a_binary_message_logs_a_warning() -> None:
    phone = listener()
    assert notifications(phone.receive_binary(SERVER, 0)) == [
        StreamWarning(31950, "a binary message")
    ]
    assert phone.receive_binary(SERVER, 0) == []


def change(**fields: object) -> dict[str, Any]:
    message = {"event": "media", "streamSid": "MZ1", "media": {"payload": "////"}, **fields}
    return {key: value for key, value in message.items() if value is not None}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 5000, "not JSON"),
        ("", "not JSON"),
        ("[]", "no JSON object"),
        ("{}", "no event"),
        (json.dumps(change(event="dtmf")), "no event"),
        (json.dumps(change(event=["media"])), "no event"),
        (json.dumps(change(streamSid=None)), "media: streamSid is missing"),
        (json.dumps(change(streamSid="MZ2")), "media: streamSid is not that"),
        (json.dumps(change(streamSid=1)), "media: streamSid is not that"),
        (json.dumps(change(media=None)), "media: media is missing"),
        (json.dumps(change(media="////")), "media: media is missing"),
        (json.dumps(change(media={"paylod": "////"})), "media: media.payload is missing"),
        (json.dumps(change(media={"payload": 1})), "media: media.payload is missing"),
        (json.dumps(change(media={"payload": "///"})), "media: media.payload is no base64"),
        (json.dumps(change(media={"payload": "//_/"})), "media: media.payload is no base64"),
        (json.dumps(change(media={"payload": "////é"})), "media: media.payload is no base64"),
        (json.dumps(change(event="mark", media=None)), "mark: mark is missing"),
        (json.dumps(change(event="mark", media=None, mark={})), "mark: mark.name is missing"),
    ],
)
def test_noncompliant_messages_are_ignored_with_a_warning(text: str, fault: str) -> None:
    phone = listener(stream_sid="MZ1")
    (warning,) = notifications(phone.receive_text(SERVER, text, 0))
    assert isinstance(warning, StreamWarning)
    assert warning.code == 31951
    assert warning.message.startswith(fault)
    assert phone.heard_bytes_at(SECOND) == 0
    assert phone.receive_text(SERVER, text, 0) == []
    assert phone.warning_counts == {31951: 2}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(change(sequenceNumber="4")),
        json.dumps(change(media={"payload": "////", "track": "outbound"})),
    ],
)
def test_audio_with_extra_fields_is_played_with_a_warning(text: str) -> None:
    phone = listener(stream_sid="MZ1")
    (warning,) = notifications(phone.receive_text(SERVER, text, 0))
    assert warning == StreamWarning(31951, "media: 1 field(s) too many")
    assert phone.heard_bytes_at(SECOND) == 3


def test_a_clear_with_extra_fields_clears_with_a_warning() -> None:
    phone = listener(stream_sid="MZ1")
    play(phone, b"a" * 800, 0)
    warnings_and_clear = notifications(
        phone.receive_text(SERVER, json.dumps(change(event="clear")), 0)
    )
    assert warnings_and_clear == [
        StreamWarning(31951, "clear: 1 field(s) too many"),
        QueueCleared(0, 0, 800, 0),
    ]


VALUES: list[object] = ["media", "mark", "clear", "MZ1", None, 1, [], {}]
OBJECTS = st.dictionaries(
    st.sampled_from(["event", "media", "mark", "streamSid"]), st.sampled_from(VALUES)
)


@settings(max_examples=100)
@given(st.text() | st.builds(json.dumps, OBJECTS))
def test_no_received_text_raises(text: str) -> None:
    phone = listener(stream_sid="MZ1")
    for _ in range(2):
        for action in phone.receive_text(SERVER, text, 0):
            assert isinstance(action, Notify | Send)
    assert len(phone.warnings) <= 1
