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

TIMEOUT_NS = 750 * MS


class Caller(CallerAudio):
    """The caller's audio, and whether turn detection hears the caller speak."""

    def __init__(self, inactivity_timeout_ns: int | None) -> None:
        super().__init__(inactivity_timeout_ns)
        self.is_speaking = False

    def start_stream(self, *, is_pcmu: bool) -> None:
        super().start_stream(is_pcmu=is_pcmu)
        self.is_speaking = False

    def speech_started(self) -> None:
        self.is_speaking = True

    def speech_stopped(self) -> None:
        self.is_speaking = False

    @property
    def due_at_ns(self) -> int | None:
        return self.silence_due_at_ns(is_speaking=self.is_speaking)

    def take_silence(self, now: int) -> int:
        return self.take_due_silence(now, is_speaking=self.is_speaking)


def streaming(timeout_ns: int | None = TIMEOUT_NS) -> Caller:
    audio = Caller(timeout_ns)
    audio.start_stream(is_pcmu=True)
    return audio


def padding(audio: CallerAudio, *timestamps: int | None, frame: int = FRAME_SAMPLES) -> list[int]:
    """The silence before each of some frames."""
    return [audio.frame_received(each, frame, now=0) for each in timestamps]


# Gaps.


def test_a_lost_frame_becomes_silence() -> None:
    """S19."""
    assert padding(streaming(), 100, 140, 160) == [0, 160, 0]


def test_a_gap_becomes_as_much_silence() -> None:
    assert padding(streaming(), 155, 175, 475, 495) == [0, 0, 8 * 280, 0]


def test_frames_of_any_size_leave_no_gap() -> None:
    assert padding(streaming(), 100, 150, 200, 300, frame=400) == [0, 0, 0, 400]


def test_audio_of_another_format_is_not_padded() -> None:
    """S20."""
    audio = Caller(TIMEOUT_NS)
    assert padding(audio, 100, 1000) == [0, 0]
    audio.start_stream(is_pcmu=False)
    assert padding(audio, 100, 1000) == [0, 0]
    audio.speech_started()
    assert audio.due_at_ns is None


def test_nothing_is_inferred_without_a_timestamp() -> None:
    """S21."""
    assert padding(streaming(), 100, None, 1000, 1040) == [0, 0, 0, 160]


def test_timestamps_that_run_backwards_start_anew() -> None:
    """S22."""
    assert padding(streaming(), 1000, 500, 520, 560) == [0, 0, 0, 160]


@pytest.mark.parametrize(
    "timestamps",
    [
        (958, 996, 978, 1018),
        (100, 80, 120),
        (100, 80, 120, 140, 160),
        (100, 80, 60, 120),
        (100, 20, 40, 60, 80, 120),
    ],
)
def test_late_frames_are_no_gap(timestamps: tuple[int, ...]) -> None:
    assert set(padding(streaming(), *timestamps)) == {0}


def test_a_frame_stamped_a_little_early_takes_its_place() -> None:
    assert padding(streaming(), 100, 95, 140, 160, 200) == [0, 0, 0, 0, 160]


def test_a_frame_lost_around_late_frames_is_padded_once() -> None:
    """The late frame is appended as well, although its place was filled: nobody knew."""
    assert padding(streaming(), 100, 80, 140) == [0, 0, 160]
    assert padding(streaming(), 100, 140, 120, 160, 200) == [0, 160, 0, 0, 160]


def test_a_clock_set_back_by_little_is_used_again_once_it_has_caught_up() -> None:
    set_back = [1000, *range(860, 1061, 20)]
    *before, gap = padding(streaming(), *set_back, 1080 + 200)
    assert before == [0] * len(set_back)
    assert gap == pytest.approx(1600, abs=FRAME_SAMPLES + len(set_back))


def test_a_long_gap_is_filled_in_part() -> None:
    """S23."""
    assert padding(streaming(), 100, 20_120, 20_140) == [0, MAX_GAP_SAMPLES, 0]
    assert MAX_GAP_SAMPLES == 80_000


def test_a_new_stream_starts_anew() -> None:
    """S30."""
    audio = streaming()
    padding(audio, 100)
    audio.speech_started()
    audio.start_stream(is_pcmu=True)
    assert padding(audio, 5000, 5020) == [0, 0]
    assert audio.due_at_ns is None


# Jitter.

jitter_ms = st.integers(-4, 4)


def test_the_jitter_of_a_real_stream_is_no_gap() -> None:
    # A recorded stream: frame 1 at 155 ms, frame 73 at 1593, where 1595 would be exact.
    timestamps = [155 + 20 * n - round(2 * n / 72) for n in range(73)]
    assert (timestamps[0], timestamps[-1]) == (155, 1593)
    assert set(padding(streaming(), *timestamps)) == {0}


@given(st.lists(jitter_ms, min_size=2, max_size=200))
@settings(max_examples=30)
def test_jitter_alone_is_never_padded(jitter: list[int]) -> None:
    timestamps = [100 + 20 * n + off for n, off in enumerate(jitter)]
    assert set(padding(streaming(), *timestamps)) == {0}


@given(st.lists(st.integers(0, 40), min_size=1, max_size=50))
@settings(max_examples=30)
def test_exact_timestamps_are_padded_exactly(lost: list[int]) -> None:
    before = list(accumulate(lost, initial=0))
    timestamps = [100 + 20 * (n + missing) for n, missing in enumerate(before)]
    assert padding(streaming(), *timestamps) == [0] + [FRAME_SAMPLES * each for each in lost]


@given(st.lists(st.tuples(jitter_ms, st.sampled_from([0, 0, 0, 0, 2, 3, 10])), max_size=100))
@settings(max_examples=50)
def test_jitter_does_not_add_up_over_many_gaps(
    frames: list[tuple[int, int]],
) -> None:
    audio = streaming()
    frame, padded, lost = 0, 0, 0
    padding(audio, 1000)
    for jitter, missing in frames:
        frame += 1 + missing
        lost += missing * FRAME_SAMPLES
        padded += audio.frame_received(1000 + 20 * frame + jitter, FRAME_SAMPLES, now=0)
        # Never a frame off, but for what each frame may move the expectation.
        assert abs(padded - lost) < FRAME_SAMPLES + len(frames)


def test_a_lost_frame_hidden_by_jitter_is_padded_later() -> None:
    steady = [100 + 20 * n for n in range(50)]
    behind = steady[-1] + 40
    later = [behind - 3, behind + 20, behind + 40]
    assert padding(streaming(), *steady, *later) == [0] * 51 + [160, 0]


def test_a_gap_padded_early_is_not_padded_again() -> None:
    # The gap is 20 ms, but its frame is 15 ms late; the frames behind it are not.
    assert padding(streaming(), 100, 155, 160, 180, 200) == [0, 280, 0, 0, 0]


def test_the_drift_of_clocks_is_never_a_gap() -> None:
    # Half a per cent, far more than clocks do: 100 ms fast after a thousand frames.
    fast = [100 + n * 201 // 10 for n in range(1000)]
    slow = [100 + n * 199 // 10 for n in range(1000)]
    assert set(padding(streaming(), *fast)) == {0}
    assert set(padding(streaming(), *slow)) == {0}
    # And a gap afterwards is still seen.
    assert padding(streaming(), *fast, fast[-1] + 220)[-1] == pytest.approx(1600, abs=80)


def test_constant_timestamps_are_no_gap() -> None:
    assert set(padding(streaming(), *[0] * 500)) == {0}


# Inactivity.


def speaking(timeout_ns: int | None = TIMEOUT_NS) -> Caller:
    """A caller who speaks, and whose last frame, of timestamp 100, was received at 1 s."""
    audio = streaming(timeout_ns)
    audio.frame_received(80, FRAME_SAMPLES, 980 * MS)
    audio.speech_started()
    audio.frame_received(100, FRAME_SAMPLES, SECOND)
    return audio


def test_silence_follows_a_speaking_caller_once() -> None:
    """S24."""
    audio = speaking()
    assert audio.due_at_ns == SECOND + TIMEOUT_NS
    assert audio.take_silence(SECOND + TIMEOUT_NS) == INACTIVITY_SAMPLES == 8000
    assert audio.due_at_ns == SECOND + 2 * TIMEOUT_NS
    assert audio.take_silence(SECOND + 2 * TIMEOUT_NS) == 0
    assert audio.take_silence(5 * SECOND) == 0
    assert audio.frame_received(5120, FRAME_SAMPLES, 6 * SECOND) == 0
    assert audio.frame_received(5160, FRAME_SAMPLES, 6 * SECOND + 40 * MS) == 160


def test_the_next_gap_is_filled_too() -> None:
    audio = speaking()
    audio.take_silence(SECOND + TIMEOUT_NS)
    audio.frame_received(5120, FRAME_SAMPLES, 6 * SECOND)
    assert audio.due_at_ns == 6 * SECOND + TIMEOUT_NS
    assert audio.take_silence(6 * SECOND + TIMEOUT_NS) == INACTIVITY_SAMPLES


def test_speech_that_starts_again_does_not_refill_a_gap() -> None:
    audio = speaking()
    audio.take_silence(SECOND + TIMEOUT_NS)
    audio.speech_stopped()
    audio.speech_started()
    assert audio.take_silence(4 * SECOND) == 0


def test_an_early_call_changes_nothing() -> None:
    audio = speaking()
    assert audio.take_silence(SECOND + TIMEOUT_NS - 1) == 0
    assert audio.due_at_ns == SECOND + TIMEOUT_NS
    assert audio.frame_received(140, FRAME_SAMPLES, SECOND + TIMEOUT_NS) == 160


def test_each_frame_moves_the_time_of_silence() -> None:
    audio = speaking()
    audio.frame_received(120, FRAME_SAMPLES, SECOND + 20 * MS)
    assert audio.due_at_ns == SECOND + 20 * MS + TIMEOUT_NS
    assert audio.take_silence(SECOND + TIMEOUT_NS) == 0
    audio.frame_received(None, FRAME_SAMPLES, 2 * SECOND)
    assert audio.due_at_ns == 2 * SECOND + TIMEOUT_NS


def test_stopped_speech_is_not_padded() -> None:
    """S26."""
    audio = speaking()
    audio.speech_stopped()
    assert audio.due_at_ns is None
    assert audio.take_silence(10 * SECOND) == 0


def test_the_timeout_is_as_configured() -> None:
    """S27."""
    assert speaking(250 * MS).due_at_ns == SECOND + 250 * MS


def test_nothing_is_padded_without_a_timeout() -> None:
    """S28."""
    audio = speaking(None)
    assert audio.due_at_ns is None
    assert audio.take_silence(11 * SECOND) == 0


def test_a_caller_without_a_frame_is_not_padded() -> None:
    audio = streaming()
    audio.speech_started()
    assert audio.take_silence(2 * SECOND) == 0


def test_the_timeout_counts_from_the_last_frame() -> None:
    audio = streaming()
    audio.frame_received(100, FRAME_SAMPLES, SECOND)
    audio.speech_started()
    assert audio.due_at_ns == SECOND + TIMEOUT_NS
    assert audio.take_silence(3 * SECOND) == INACTIVITY_SAMPLES


@given(
    st.lists(
        st.tuples(st.sampled_from(["media", "started", "stopped", "expire"]), st.integers(0, 2000)),
        max_size=60,
    )
)
@settings(max_examples=50)
def test_each_gap_is_filled_once_and_only_when_due(steps: list[tuple[str, int]]) -> None:
    audio = streaming()
    now, is_filled, timestamp_ms = 0, True, 0
    for step, after in steps:
        now += after * MS
        match step:
            case "media":
                timestamp_ms += 20
                assert audio.frame_received(timestamp_ms, FRAME_SAMPLES, now) == 0
                is_filled = False
            case "started":
                audio.speech_started()
            case "stopped":
                audio.speech_stopped()
            case _:
                due_at_ns = audio.due_at_ns
                due = due_at_ns is not None and now >= due_at_ns and not is_filled
                assert audio.take_silence(now) == (INACTIVITY_SAMPLES if due else 0)
                if due_at_ns is not None:
                    assert (audio.due_at_ns or 0) > now
                is_filled = is_filled or due


def test_a_timer_set_at_speech_and_expiry_misses_no_gap() -> None:
    audio = streaming()
    frames = {n * 20 * MS for n in range(150) if not (20 <= n < 70 or 90 <= n < 140)}
    audio.frame_received(0, FRAME_SAMPLES, 0)
    audio.speech_started()
    timer_ns, padded = audio.due_at_ns, 0
    for now in range(0, 3 * SECOND, 10 * MS):
        if now in frames:
            audio.frame_received(now // MS, FRAME_SAMPLES, now)
        if timer_ns is not None and now >= timer_ns:
            padded += audio.take_silence(now)
            timer_ns = audio.due_at_ns
    assert padded == 2 * INACTIVITY_SAMPLES


# Silence.


def test_a_caller_stays_muted_on_a_new_stream() -> None:
    audio = CallerAudio(None)
    assert not audio.is_muted
    audio.is_muted = True
    audio.start_stream(is_pcmu=True)
    assert audio.is_muted


@given(st.integers(1, 20_000))
@settings(max_examples=20)
def test_a_silence_payload_is_silence_in_base64(samples: int) -> None:
    payload = silence_payload(samples)
    assert count_samples(payload) == samples
    assert b64decode(payload) == b"\xff" * samples


def test_a_muted_frame_has_the_length_of_the_frame() -> None:
    lengths = {len(silence_payload(FRAME_SAMPLES)) for _ in range(3)}
    assert lengths == {216}
    assert all(
        len(silence_payload(a)) <= len(silence_payload(b)) for a, b in pairwise((1, 80, 160, 8000))
    )
