"""What a recording shows of a call, compared with what the phone knows."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shown_calls import QUESTION, ShownCall, interrupted_call, resumed_call, simulate, view_of
from twilio_realtime.cli.simulate import record_simulated_call
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.format import decode_line, encode_line
from twilio_realtime.recordings.show.call_view import view_call
from twilio_realtime.recordings.show.events import ShownEventKind
from twilio_realtime.recordings.show.figures import call_figures
from twilio_realtime.recordings.show.messages import Messages
from twilio_realtime.recordings.show.page import render_page
from twilio_realtime.recordings.show.perfetto import call_trace
from twilio_realtime.recordings.show.reader import RecordingEnding
from twilio_realtime.recordings.show.story import tell_story
from twilio_realtime.recordings.show.transcript import Speaker
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.phone.caller import AfterDelay, CallerHangsUp, CallerPressesKey
from twilio_realtime_core.machine.units import FRAME_SAMPLES, MS, samples_to_ns

FRAME_NS = samples_to_ns(FRAME_SAMPLES)
ONE_WAY_NS = 60 * MS
"""More than the latency of the simulated line: the bridge is that far from the phone."""


@pytest.fixture(scope="module")
def call() -> ShownCall:
    return interrupted_call()


# The two voices.


def test_what_was_heard_stands_where_the_phone_has_played_it(call: ShownCall) -> None:
    heard = view_of(call.lines).playback.heard
    played = call.phone.segments(60 * 10**9)
    assert len(heard) == len(played) == 2
    for shown, truth in zip(heard, played, strict=True):
        trip_ns = truth.start_ns - shown.start_ns
        assert 0 <= trip_ns < ONE_WAY_NS
        assert abs(trip_ns - (truth.end_ns - shown.end_ns)) <= 2 * MS


def test_what_was_cut_begins_at_the_clear_and_is_what_the_phone_discarded(call: ShownCall) -> None:
    view = view_of(call.lines)
    (clear,) = (each for each in view.events if each.kind is ShownEventKind.CLEAR)
    (cut,) = view.playback.cut
    assert cut.start_ns == clear.at_ns
    assert abs(cut.samples - call.phone.clears[0].discarded_bytes) <= 16


def test_the_track_of_the_agent_is_the_audio_that_was_heard(call: ShownCall) -> None:
    view = view_of(call.lines)
    answer = sample_speech.load("agent_answer").audio
    first = view.playback.heard[0]
    start = first.start_ns // samples_to_ns(1)
    track = view.agent_track()
    assert track[start : start + first.samples] == answer[: first.samples]
    assert set(track[start + first.samples : start + first.samples + 800]) == {0xFF}


def test_the_track_of_the_caller_holds_what_was_said_in_one_piece(call: ShownCall) -> None:
    track = view_of(call.lines).caller_track()
    assert QUESTION.audio[4000:12000] in track


def test_no_source_is_heard_and_cut_more_than_it_was_sent(call: ShownCall) -> None:
    playback = view_of(call.lines).playback
    for source in {each.source for each in playback.sent}:
        cut = sum(each.samples for each in playback.cut if each.source == source)
        assert playback.heard_samples(source) + cut == playback.sent_samples(source)


def test_a_redacted_recording_shows_the_same_without_audio() -> None:
    with_audio, redacted = interrupted_call(), interrupted_call(keep_audio=False)
    kept, removed = view_of(with_audio.lines), view_of(redacted.lines)
    assert removed.playback.heard == kept.playback.heard
    assert removed.speech == kept.speech
    assert removed.playback.heard_audio == []
    assert any("no audio" in each for each in removed.notices)


# Words.


def test_words_that_were_not_heard_are_apart(call: ShownCall) -> None:
    spoken = [each for each in view_of(call.lines).transcript if each.speaker is Speaker.AGENT]
    answer, goodbye = spoken
    words = sample_speech.load("agent_answer").transcript
    assert (answer.heard or "") + answer.unheard == words
    assert 0 < len(answer.heard or "") < len(words) / 3
    assert answer.is_cut
    assert not goodbye.is_cut
    assert goodbye.unheard == ""


def test_the_callers_words_stand_where_they_speak(call: ShownCall) -> None:
    entries = [each for each in view_of(call.lines).transcript if each.speaker is Speaker.CALLER]
    assert entries[0].heard == QUESTION.transcript
    length_ns = samples_to_ns(len(QUESTION.audio))
    assert abs((entries[0].end_ns - entries[0].at_ns) - length_ns) < 100 * MS


# Latencies.


def test_the_latency_of_a_turn_is_the_sum_of_its_stages(call: ShownCall) -> None:
    turns = view_of(call.lines).turns
    assert len(turns) == 2
    for turn in turns:
        assert turn.latency_ns == sum(each or 0 for each in turn.stages_ns)
        assert 480 * MS <= (turn.stages_ns[0] or 0) <= 560 * MS  # the silence that ends a turn


def test_the_distribution_is_that_of_the_turns(call: ShownCall) -> None:
    view = view_of(call.lines)
    found = sorted(round((each.latency_ns or 0) / MS) for each in view.turns)
    summary = view.latency
    assert summary is not None
    assert (summary.shortest_ms, summary.longest_ms, summary.count) == (found[0], found[-1], 2)
    assert found[0] <= summary.median_ms <= summary.p90_ms <= found[-1]


def test_a_call_without_turns_has_no_latency() -> None:
    call = simulate((AfterDelay(500 * MS, CallerHangsUp()),))
    view = view_of(call.lines)
    assert view.turns == []
    assert view.latency is None


# What else happened.


def test_an_interruption_shows_its_messages_in_order(call: ShownCall) -> None:
    kinds = [each.kind for each in view_of(call.lines).events]
    clear = kinds.index(ShownEventKind.CLEAR)
    assert kinds[clear : clear + 3] == [
        ShownEventKind.CLEAR,
        ShownEventKind.TRUNCATE,
        ShownEventKind.INTERRUPTION,
    ]


def test_marks_have_their_echo_or_were_cleared(call: ShownCall) -> None:
    view = view_of(call.lines)
    assert len(view.marks) > 10
    for mark in view.marks:
        assert mark.echoed_ns is None or mark.echoed_ns >= mark.sent_ns
    (clear,) = (each for each in view.events if each.kind is ShownEventKind.CLEAR)
    for mark in view.marks:
        if mark.is_cleared:
            assert mark.sent_ns <= clear.at_ns
            assert mark.echoed_ns is None or mark.echoed_ns > clear.at_ns


def test_a_key_is_shown() -> None:
    script = (AfterDelay(500 * MS, CallerPressesKey("5")), AfterDelay(500 * MS, CallerHangsUp()))
    kinds = [each.kind for each in view_of(simulate(script).lines).events]
    assert kinds.count(ShownEventKind.KEY) == 1


def test_each_reason_stands_with_what_it_explains(call: ShownCall) -> None:
    reasons = {
        each.kind: [reason.decision for reason in each.reasons]
        for each in view_of(call.lines).events
        if each.reasons
    }
    assert reasons[ShownEventKind.TRUNCATE] == ["item_truncated"]
    assert "queue_cleared" in reasons[ShownEventKind.CLEAR]
    assert "interruption_made" in reasons[ShownEventKind.INTERRUPTION]


def test_a_reason_that_nothing_else_shows_is_a_happening(call: ShownCall) -> None:
    lines = list(call.lines)
    step = decode_line(lines[30].decode())
    step["why"] = [{"decision": "speech_held", "reason": "caller_speaks"}]
    lines[30] = encode_line(step).encode()
    (held,) = (each for each in view_of(lines).events if each.text == "speech held")
    assert held.kind is ShownEventKind.DECISION
    assert [each.reason for each in held.reasons] == ["caller_speaks"]


def test_a_session_that_is_lost_and_restored_is_shown() -> None:
    view = view_of(resumed_call(keep_audio=False).lines)
    first, second = view.sessions
    assert (first.number, second.number) == (1, 2)
    assert first.closed_ns is not None
    assert first.closed_ns <= second.opened_ns < (second.configured_ns or 0)
    texts = [each.text for each in view.events]
    assert any("the session is lost" in each for each in texts)
    assert any("another session goes on" in each for each in texts)


# Estimates.


def test_estimates_lie_between_what_is_confirmed_and_what_is_sent(call: ShownCall) -> None:
    estimates = view_of(call.lines).playback.estimates
    assert len(estimates) > 20
    for each in estimates:
        assert each.confirmed <= each.estimated <= each.sent
        assert each.margin >= 0
    assert all(one.at_ns <= other.at_ns for one, other in pairwise(estimates))


def test_a_recording_of_another_behaviour_is_shown_without_estimates(call: ShownCall) -> None:
    """The actions that were recorded are shown, whatever this version would do."""
    lines = list(call.lines)
    index = next(number for number, line in enumerate(lines) if b'"event":"clear"' in line)
    step = decode_line(lines[index].decode())
    step["actions"] = [each for each in step["actions"] if each["@"] != "Notify"]
    lines[index] = encode_line(step).encode()
    view = view_of(lines)
    assert any("acts otherwise" in each for each in view.notices)
    assert [each.kind for each in view.events].count(ShownEventKind.CLEAR) == 1
    heard = view.playback.heard
    assert len(heard) == 2
    for shown, truth in zip(heard, call.phone.segments(60 * 10**9), strict=True):
        assert abs(shown.samples - (truth.end_ns - truth.start_ns) // 125_000) < 80 * 8


def test_actions_of_a_later_version_are_left_out_and_counted(call: ShownCall) -> None:
    lines = list(call.lines)
    step = decode_line(lines[5].decode())
    step["actions"].append({"@": "Notify", "event": {"@": "NotYetKnown", "field": 1}})
    lines[5] = encode_line(step).encode()
    assert any("1 actions of another version" in each for each in view_of(lines).notices)


# Recordings of which a part is missing.


@pytest.fixture(scope="module")
def short_call() -> bytes:
    script = (AfterDelay(200 * MS, CallerHangsUp()),)
    return simulate(script).text


def test_a_recording_is_shown_wherever_it_is_cut_off(short_call: bytes) -> None:
    first_end = short_call.index(b"\n") + 1
    whole = view_of(short_call.splitlines(keepends=True))
    assert whole.ending is RecordingEnding.COMPLETE
    for end in [*range(first_end, len(short_call), 401), len(short_call) - 1]:
        view = view_of(short_call[:end].splitlines(keepends=True))
        assert view.ending is RecordingEnding.CUT_OFF
        assert "cut off" in view.notices[0]


def test_a_recording_that_is_cut_off_in_its_header_is_refused(short_call: bytes) -> None:
    first_end = short_call.index(b"\n") + 1
    for end in range(0, first_end, 31):
        with pytest.raises(UsageError):
            view_of(short_call[:end].splitlines(keepends=True))
    with pytest.raises(UsageError, match="cut off in its first line"):
        view_of([short_call[: first_end - 1]])


def test_what_follows_a_damaged_line_is_left_out(call: ShownCall) -> None:
    for damage in (b"\xff\xfe\n", b"[]\n", b'{"at_ns":0}\n', b'{"at_ns":1,"method":"x","a":2}\n'):
        lines = [*call.lines[:100], damage, *call.lines[101:]]
        view = view_of(lines)
        assert view.ending is RecordingEnding.DAMAGED
        assert "Line 101 is not a step" in view.notices[0]
        assert view.duration_ns >= json.loads(call.lines[99].decode())["at_ns"]


def test_a_step_that_could_not_be_recorded_ends_the_call(call: ShownCall) -> None:
    view = view_of([*call.lines[:100], b'{"unrecordable":"RecursionError"}\n'])
    assert view.ending is RecordingEnding.UNRECORDABLE
    assert "RecursionError" in view.notices[0]


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (b"", "line 1 is not a JSON object"),
        (b"{}\n", "not a recording"),
        (b"\xff\xff\n", "not text"),
        (b'{"format":"twilio-realtime-call","version":9}\n', "has version 9"),
        (b'{"format":"twilio-realtime-call","version":2}\n', "no configuration"),
    ],
)
def test_a_file_that_is_not_a_recording_is_refused(first: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        view_of([first] if first else [])


@pytest.mark.parametrize("seed", range(20))
def test_any_simulated_call_is_shown(seed: int) -> None:
    _, text = record_simulated_call(seed)
    view = view_of([line.encode() for line in text.splitlines(keepends=True)])
    assert view.ending in (RecordingEnding.COMPLETE, RecordingEnding.UNRECORDABLE)
    assert not any("acts otherwise" in each for each in view.notices)
    playback = view.playback
    for source in {each.source for each in playback.sent}:
        cut = sum(each.samples for each in playback.cut if each.source == source)
        assert playback.heard_samples(source) + cut <= playback.sent_samples(source)
    for one, other in pairwise(playback.heard):
        assert one.end_ns <= other.start_ns


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def places_in(data: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in JSON data: the object or list that holds a value, and its key there."""
    keys: list[Any] = list(cast("dict[str, Any]", data))
    for key in keys if isinstance(data, dict) else range(len(data)):
        yield data, key
        if isinstance(data[key], dict | list):
            yield from places_in(data[key])


@settings(max_examples=60)
@given(number=st.integers(1, 300), place=st.integers(0, 200), value=VALUES)
def test_no_value_in_a_recording_raises(
    call: ShownCall, number: int, place: int, value: object
) -> None:
    """Any value of any step is replaced by any other: it is refused, or left out, or shown."""
    step = decode_line(call.lines[number].decode())
    places = list(places_in(step))
    holder, key = places[place % len(places)]
    holder[key] = value
    lines = [*call.lines[:number], encode_line(step).encode(), *call.lines[number + 1 : 350]]
    messages = Messages()
    view = view_call(lines, messages.add_step)
    render_page(view, messages.entries, title="", with_audio=False)
    list(tell_story(view))
    call_figures(view)
    call_trace(view)
