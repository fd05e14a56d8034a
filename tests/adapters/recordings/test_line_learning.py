"""A line is learned from recordings of calls that are simulated over it."""

import json
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.cli.simulate import record_simulated_call
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.line_learning import LineLearner
from twilio_realtime.recordings.line_picture import draw_bars, draw_svg
from twilio_realtime.sim.line_profile import Distribution, LineProfile

SCENARIO = "several-items"


def constant(value: float) -> Distribution:
    return Distribution((value,) * 21)


def even(low: float, high: float) -> Distribution:
    return Distribution(tuple(low + (high - low) * step / 20 for step in range(21)))


KNOWN = LineProfile(
    round_trip_ms=even(120, 160),
    jitter_ms=even(0, 10),
    start_delay_ms=even(80, 120),
    start_delay_varies_ms=constant(0),
    first_audio_ms=even(350, 450),
    audio_speed=even(3, 5),
)


def recordings(line: LineProfile, seeds: Sequence[int]) -> list[list[bytes]]:
    """Recordings of calls over a line that nothing else impairs."""
    found: list[list[bytes]] = []
    for seed in seeds:
        result, text = record_simulated_call(seed, scenario=SCENARIO, line=line)
        if not result.impairments:
            found.append(text.encode().splitlines(keepends=True))
    return found


def learned(calls: Sequence[Sequence[bytes]]) -> LineLearner:
    learner = LineLearner()
    for lines in calls:
        learner.add_recording(lines)
    return learner


@pytest.fixture(scope="module")
def calls() -> list[list[bytes]]:
    found = recordings(KNOWN, range(40))
    assert len(found) >= 10
    return found


@pytest.fixture(scope="module")
def profile(calls: list[list[bytes]]) -> LineProfile:
    return learned(calls).profile()


def medians(profile: LineProfile) -> dict[str, float]:
    return {name: each.median for name, each in profile.distributions.items()}


def test_the_parameters_of_a_line_are_recovered(profile: LineProfile) -> None:
    found, known = medians(profile), medians(KNOWN)
    assert found["round_trip_ms"] == pytest.approx(known["round_trip_ms"], abs=12)
    assert found["jitter_ms"] == pytest.approx(known["jitter_ms"], abs=3)
    assert found["start_delay_ms"] == pytest.approx(known["start_delay_ms"], abs=12)
    assert found["start_delay_varies_ms"] == pytest.approx(0, abs=5)
    assert found["first_audio_ms"] == pytest.approx(known["first_audio_ms"], abs=40)
    assert found["audio_speed"] == pytest.approx(known["audio_speed"], abs=0.8)
    assert found["frame_gap_ms"] == pytest.approx(20, abs=2)
    assert profile.jitter_ms is not None
    assert 7 <= profile.jitter_ms.highest <= 25


def test_calls_over_the_learned_line_show_it_again(profile: LineProfile) -> None:
    again = medians(learned(recordings(profile, range(100, 140))).profile())
    for name, bound in (("round_trip_ms", 12), ("jitter_ms", 3), ("start_delay_ms", 12)):
        assert again[name] == pytest.approx(medians(profile)[name], abs=bound)


def test_all_of_a_good_recording_is_known_or_explained(calls: list[list[bytes]]) -> None:
    learner = learned(calls)
    known = set(learner.profile().distributions)
    assert known | set(learner.missing()) == set(LineProfile.distribution_names())
    assert {"round_trip_ms", "jitter_ms", "start_delay_ms", "audio_speed"} <= known


# Recordings that show little, or are none.


def test_a_recording_may_be_cut_off_at_any_byte(calls: list[list[bytes]]) -> None:
    text = b"".join(calls[0])
    header = len(calls[0][0])
    random = Random(7)
    for size in (*range(header, header + 40), *(random.randrange(len(text)) for _ in range(25))):
        cut = text[:size].splitlines(keepends=True)
        if size < header:
            with pytest.raises(UsageError, match="no whole line"):
                learned([cut])
        else:
            assert learned([cut]).profile().calls == 1


def test_what_a_recording_does_not_show_is_named(calls: list[list[bytes]]) -> None:
    header, *steps = calls[0]
    assert learned([[header]]).profile().distributions == {}
    assert learned([[header]]).missing()["round_trip_ms"] == "no media stream started"
    without_marks = [each for each in steps if b'\\"event\\":\\"mark\\"' not in each]
    missing = learned([[header, *without_marks]]).missing()
    assert missing["start_delay_ms"] == "no mark behind audio was echoed, or no round trip is known"
    without_audio = [each for each in steps if b'"message":{"event":"media"' not in each]
    missing = learned([[header, *without_audio]]).missing()
    assert missing["start_delay_ms"] == "no audio was sent to the phone"
    assert missing["audio_speed"] == "no response had three deltas of audio"
    assert "round_trip_ms" not in missing


def test_pings_measure_the_round_trip_where_no_mark_does(calls: list[list[bytes]]) -> None:
    header, *steps = calls[0]
    without_marks = [each for each in steps if b'\\"event\\":\\"mark\\"' not in each]
    assert learned([[header, *without_marks]]).profile().round_trip_ms is not None


def test_each_stream_of_a_recording_is_learned_from(calls: list[list[bytes]]) -> None:
    header, *steps = calls[0]
    once = learned([[header, *steps]]).profile()
    shifted = [shift(each, 3_600_000_000_000) for each in steps]
    twice = learned([[header, *steps, *shifted]]).profile()
    assert once.round_trip_ms is not None
    assert twice.round_trip_ms is not None
    assert twice.round_trip_ms.samples == 2 * once.round_trip_ms.samples
    assert twice.round_trip_ms.median == once.round_trip_ms.median


def shift(line: bytes, by_ns: int) -> bytes:
    """The line of a step, so much later."""
    at, comma, rest = line.partition(b",")
    name, colon, value = at.partition(b":")
    return name + colon + str(int(value) + by_ns).encode() + comma + rest


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no whole line"),
        ([b"\xff\xfe\n"], "first line is not a JSON object"),
        ([b"[1]\n"], "first line is not a JSON object"),
        ([b"{}\n"], "does not name the format"),
        ([b'{"format":"twilio-realtime-call","version":1}\n'], "version 1 of the format"),
        ([b'{"format":"twilio-realtime-call","version":2}\n', b"[" * 99_999 + b"\n"], "line 2"),
        ([b'{"format":"twilio-realtime-call","version":2}\n', b"{}\n"], "no time `at_ns`"),
        (
            [
                b'{"format":"twilio-realtime-call","version":2}\n',
                b'{"at_ns":5}\n',
                b'{"at_ns":4}\n',
            ],
            "line 3",
        ),
    ],
)
def test_what_is_no_recording_is_refused(lines: list[bytes], message: str) -> None:
    learner = LineLearner()
    with pytest.raises(UsageError, match=message):
        learner.add_recording(lines)
    assert learner.profile() == LineProfile()


HEADER = b'{"format":"twilio-realtime-call","version":2}\n'
texts = st.sampled_from(
    [
        '{"event":"start"}',
        '{"event":"mark","mark":{"name":"0"}}',
        '{"event":"mark","mark":{"name":7}}',
        '{"event":"media","media":{"payload":"////"}}',
        '{"event":"media","media":[]}',
        '{"type":"response.created","response":{"id":"r"}}',
        '{"type":"response.output_audio.delta","response_id":"r","delta":"////"}',
        '{"type":"input_audio_buffer.speech_stopped"}',
        "not JSON",
        "[[[",
    ]
)
actions = st.sampled_from(
    [
        {
            "@": "Send",
            "peer": "twilio",
            "message": {"event": "media", "media": {"payload": "//8="}},
        },
        {"@": "Send", "peer": "twilio", "message": {"event": "media", "media": {"payload": 3}}},
        {"@": "Send", "peer": "twilio", "message": {"event": "mark", "mark": {"name": "0"}}},
        {"@": "Send", "peer": "twilio", "message": {"event": "clear"}},
        {"@": "SendPing", "peer": "twilio", "payload": {"@": "bytes", "base64": "eA=="}},
        {"@": "SendPing", "peer": "twilio", "payload": {"@": "bytes", "base64": "x"}},
        None,
        7,
    ]
)
steps = st.fixed_dictionaries(
    {
        "wait_ns": st.integers(0, 10**9),
        "method": st.sampled_from(["receive_text", "pong", "send", None]),
        "arguments": st.tuples(st.sampled_from(["twilio", "realtime", "realtime-2", 1]), texts),
        "actions": st.lists(actions, max_size=3),
    }
)


@settings(deadline=None)
@given(st.lists(steps, max_size=30))
def test_no_step_of_a_recording_raises(found: list[dict[str, object]]) -> None:
    now, lines = 0, [HEADER]
    for step in found:
        now += int(str(step.pop("wait_ns")))
        lines.append(json.dumps({"at_ns": now, **step}).encode() + b"\n")
    profile = learned([lines]).profile()
    assert LineProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


# Pictures.


def test_the_picture_has_a_panel_for_each_quantity(profile: LineProfile) -> None:
    picture = draw_svg(profile)
    assert picture.count("median ") == len(profile.distributions)
    assert picture == draw_svg(profile)
    assert draw_svg(LineProfile()).endswith("</svg>\n")


def test_a_histogram_is_as_wide_as_asked_for() -> None:
    assert draw_bars(even(0, 10), 8) == "████████"
    assert draw_bars(constant(3), 8) == "█       "
    assert draw_bars(Distribution((*([0.0] * 20), 10.0)), 4)[0] == "█"
