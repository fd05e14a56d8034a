from base64 import b64decode
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.units import FRAME_SAMPLES, MS, SECOND
from twilio_realtime_core.uplink.caller_audio import (
    INACTIVITY_SAMPLES,
    MAX_GAP_SAMPLES,
    CallerAudio,
    silence_payload,
)

TIMEOUT = 750 * MS


def begun(timeout: int | None = TIMEOUT) -> CallerAudio:
    audio = CallerAudio(timeout)
    audio.start_stream(True)  # noqa: FBT003
    return audio


def padding(audio: CallerAudio, *timestamps: int | None, frame: int = FRAME_SAMPLES) -> list[int]:
    """The silence before each of some frames."""
    return [audio.frame_received(each, frame, now=0) for each in timestamps]


# Gaps.


def test_a_lost_frame_becomes_silence() -> None:
    """S19."""
    assert padding(begun(), 100, 140, 160) == [0, 160, 0]


def test_a_gap_becomes_as_much_silence() -> None:
    assert padding(begun(), 155, 175, 475, 495) == [0, 0, 8 * 280, 0]


def test_frames_of_any_size_leave_no_gap() -> None:
    assert padding(begun(), 100, 150, 200, 300, frame=400) == [0, 0, 0, 400]


def test_audio_that_is_not_mu_law_is_left_alone() -> None:
    """S20."""
    audio = CallerAudio(TIMEOUT)
    assert padding(audio, 100, 1000) == [0, 0]
    audio.start_stream(False)  # noqa: FBT003
    assert padding(audio, 100, 1000) == [0, 0]
    audio.speech_started(0)
    assert audio.deadline is None


def test_without_a_timestamp_nothing_is_inferred() -> None:
    """S21."""
    assert padding(begun(), 100, None, 1000, 1040) == [0, 0, 0, 160]


def test_timestamps_that_go_backwards_begin_anew() -> None:
    """S22."""
    assert padding(begun(), 1000, 500, 520, 560) == [0, 0, 0, 160]


def test_a_long_gap_is_filled_in_part() -> None:
    """S23."""
    assert padding(begun(), 100, 20_120, 20_140) == [0, MAX_GAP_SAMPLES, 0]
    assert MAX_GAP_SAMPLES == 80_000


def test_a_new_stream_begins_anew() -> None:
    """S30."""
    audio = begun()
    padding(audio, 100)
    audio.speech_started(0)
    audio.start_stream(True)  # noqa: FBT003
    assert padding(audio, 5000, 5020) == [0, 0]
    assert audio.deadline is None


# Jitter.

jitter_ms = st.integers(-4, 4)


def test_the_jitter_of_a_real_stream_is_no_gap() -> None:
    # A recorded stream: frame 1 at 155 ms, frame 73 at 1593, where 1595 would be exact.
    timestamps = [155 + 20 * n - round(2 * n / 72) for n in range(73)]
    assert (timestamps[0], timestamps[-1]) == (155, 1593)
    assert set(padding(begun(), *timestamps)) == {0}


@given(st.lists(jitter_ms, min_size=2, max_size=200))
@settings(max_examples=30)
def test_jitter_alone_is_never_padded(jitter: list[int]) -> None:
    timestamps = [100 + 20 * n + off for n, off in enumerate(jitter)]
    assert set(padding(begun(), *timestamps)) == {0}


@given(st.lists(st.integers(0, 40), min_size=1, max_size=50))
@settings(max_examples=30)
def test_exact_timestamps_make_up_for_exactly_what_is_missing(lost: list[int]) -> None:
    before = list(accumulate(lost, initial=0))
    timestamps = [100 + 20 * (n + missing) for n, missing in enumerate(before)]
    assert padding(begun(), *timestamps) == [0] + [FRAME_SAMPLES * each for each in lost]


@given(st.lists(st.tuples(jitter_ms, st.sampled_from([0, 0, 0, 0, 2, 3, 10])), max_size=100))
@settings(max_examples=50)
def test_jitter_does_not_add_up_however_many_gaps_there_are(
    frames: list[tuple[int, int]],
) -> None:
    audio = begun()
    frame, padded, lost = 0, 0, 0
    padding(audio, 1000)
    for jitter, missing in frames:
        frame += 1 + missing
        lost += missing * FRAME_SAMPLES
        padded += audio.frame_received(1000 + 20 * frame + jitter, FRAME_SAMPLES, now=0)
        # Never a frame off, but for what each frame may move the expectation.
        assert abs(padded - lost) < FRAME_SAMPLES + len(frames)


def test_a_frame_whose_loss_jitter_hides_is_made_up_for_behind_it() -> None:
    steady = [100 + 20 * n for n in range(50)]
    behind = steady[-1] + 40
    later = [behind - 3, behind + 20, behind + 40]
    assert padding(begun(), *steady, *later) == [0] * 51 + [160, 0]


def test_what_was_padded_early_is_not_padded_again() -> None:
    # The gap is 20 ms, but its frame is 15 ms late; the frames behind it are not.
    assert padding(begun(), 100, 155, 160, 180, 200) == [0, 280, 0, 0, 0]


def test_clocks_that_differ_are_never_a_gap() -> None:
    # Half a per cent, far more than clocks do: 100 ms fast after a thousand frames.
    fast = [100 + n * 201 // 10 for n in range(1000)]
    slow = [100 + n * 199 // 10 for n in range(1000)]
    assert set(padding(begun(), *fast)) == {0}
    assert set(padding(begun(), *slow)) == {0}
    # And a gap afterwards is still seen.
    assert padding(begun(), *fast, fast[-1] + 220)[-1] == pytest.approx(1600, abs=80)


def test_timestamps_that_stand_still_are_no_gap() -> None:
    assert set(padding(begun(), *[0] * 500)) == {0}


# Inactivity.


def speaking(timeout: int | None = TIMEOUT) -> CallerAudio:
    """A caller whose last frame, of timestamp 100, came at 1 s, while speaking."""
    audio = begun(timeout)
    audio.frame_received(80, FRAME_SAMPLES, 980 * MS)
    audio.speech_started(990 * MS)
    audio.frame_received(100, FRAME_SAMPLES, SECOND)
    return audio


def test_a_speaking_caller_whose_frames_stop_is_given_a_second_of_silence_once() -> None:
    """S24."""
    audio = speaking()
    assert audio.deadline == SECOND + TIMEOUT
    assert audio.take_due_silence(SECOND + TIMEOUT) == INACTIVITY_SAMPLES == 8000
    assert audio.deadline == SECOND + 2 * TIMEOUT
    assert audio.take_due_silence(SECOND + 2 * TIMEOUT) == 0
    assert audio.take_due_silence(5 * SECOND) == 0
    assert audio.frame_received(5120, FRAME_SAMPLES, 6 * SECOND) == 0
    assert audio.frame_received(5160, FRAME_SAMPLES, 6 * SECOND + 40 * MS) == 160


def test_the_next_gap_is_another() -> None:
    audio = speaking()
    audio.take_due_silence(SECOND + TIMEOUT)
    audio.frame_received(5120, FRAME_SAMPLES, 6 * SECOND)
    assert audio.deadline == 6 * SECOND + TIMEOUT
    assert audio.take_due_silence(6 * SECOND + TIMEOUT) == INACTIVITY_SAMPLES


def test_speech_that_goes_on_does_not_make_a_gap_another() -> None:
    audio = speaking()
    audio.take_due_silence(SECOND + TIMEOUT)
    audio.speech_stopped()
    audio.speech_started(3 * SECOND)
    assert audio.take_due_silence(4 * SECOND) == 0


def test_an_early_call_changes_nothing() -> None:
    audio = speaking()
    assert audio.take_due_silence(SECOND + TIMEOUT - 1) == 0
    assert audio.deadline == SECOND + TIMEOUT
    assert audio.frame_received(140, FRAME_SAMPLES, SECOND + TIMEOUT) == 160


def test_each_frame_moves_the_deadline() -> None:
    audio = speaking()
    audio.frame_received(120, FRAME_SAMPLES, SECOND + 20 * MS)
    assert audio.deadline == SECOND + 20 * MS + TIMEOUT
    assert audio.take_due_silence(SECOND + TIMEOUT) == 0
    audio.frame_received(None, FRAME_SAMPLES, 2 * SECOND)
    assert audio.deadline == 2 * SECOND + TIMEOUT


def test_speech_that_has_stopped_is_not_padded() -> None:
    """S26."""
    audio = speaking()
    audio.speech_stopped()
    assert audio.deadline is None
    assert audio.take_due_silence(10 * SECOND) == 0


def test_the_timeout_is_as_configured() -> None:
    """S27."""
    assert speaking(250 * MS).deadline == SECOND + 250 * MS


def test_without_a_timeout_nothing_is_padded() -> None:
    """S28."""
    audio = speaking(None)
    assert audio.deadline is None
    assert audio.take_due_silence(11 * SECOND) == 0


def test_a_caller_of_whom_no_frame_has_come_is_not_padded() -> None:
    audio = begun()
    audio.speech_started(SECOND)
    assert audio.take_due_silence(2 * SECOND) == 0


def test_frames_may_stay_away_for_the_whole_time_from_when_speech_is_heard() -> None:
    audio = begun()
    audio.frame_received(100, FRAME_SAMPLES, SECOND)
    audio.speech_started(3 * SECOND)
    assert audio.deadline == 3 * SECOND + TIMEOUT


@given(
    st.lists(
        st.tuples(st.sampled_from(["media", "started", "stopped", "expire"]), st.integers(0, 2000)),
        max_size=60,
    )
)
@settings(max_examples=50)
def test_each_gap_is_filled_once_and_only_when_due(steps: list[tuple[str, int]]) -> None:
    audio = begun()
    now, filled, timestamp = 0, True, 0
    for step, after in steps:
        now += after * MS
        match step:
            case "media":
                timestamp += 20
                assert audio.frame_received(timestamp, FRAME_SAMPLES, now) == 0
                filled = False
            case "started":
                audio.speech_started(now)
            case "stopped":
                audio.speech_stopped()
            case _:
                deadline = audio.deadline
                due = deadline is not None and now >= deadline and not filled
                assert audio.take_due_silence(now) == (INACTIVITY_SAMPLES if due else 0)
                assert audio.deadline is None or audio.deadline > now
                filled = filled or due


def test_a_timer_set_when_speech_starts_and_when_it_expires_misses_no_gap() -> None:
    audio = begun()
    frames = {n * 20 * MS for n in range(150) if not (20 <= n < 70 or 90 <= n < 140)}
    audio.frame_received(0, FRAME_SAMPLES, 0)
    audio.speech_started(0)
    timer, padded = audio.deadline, 0
    for now in range(0, 3 * SECOND, 10 * MS):
        if now in frames:
            audio.frame_received(now // MS, FRAME_SAMPLES, now)
        if timer is not None and now >= timer:
            padded += audio.take_due_silence(now)
            timer = audio.deadline
    assert padded == 2 * INACTIVITY_SAMPLES


# Silence.


def test_a_caller_is_not_muted_at_first_and_stays_as_muted_in_a_new_stream() -> None:
    audio = CallerAudio(None)
    assert not audio.is_muted
    audio.is_muted = True
    audio.start_stream(True)  # noqa: FBT003
    assert audio.is_muted


@given(st.integers(1, 20_000))
@settings(max_examples=20)
def test_silence_is_base64_of_nothing_but_silence(samples: int) -> None:
    payload = silence_payload(samples)
    assert count_samples(payload) == samples
    assert b64decode(payload) == b"\xff" * samples


def test_a_muted_frame_is_as_long_as_one_that_is_heard() -> None:
    lengths = {len(silence_payload(FRAME_SAMPLES)) for _ in range(3)}
    assert lengths == {216}
    assert all(
        len(silence_payload(a)) <= len(silence_payload(b)) for a, b in pairwise((1, 80, 160, 8000))
    )
