from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.downlink.play_queue import PlayQueue
from twilio_realtime_core.machine.units import MS, SAMPLE_NS, samples_to_ns
from twilio_realtime_core.values.playback_position import AudioSource, Clip, PartKey

A = PartKey(1, "r", "a", 0)
B = PartKey(1, "r", "b", 0)
C = Clip(1, "greeting", 800)


def queue_of(*sends: tuple[AudioSource, int, int], delay_ms: int = 0) -> PlayQueue:
    """Audio that was sent, as (source, ms, sent at ms); each burst has this start delay."""
    queue = PlayQueue()
    for source, ms, at_ms in sends:
        queue.append(source, 8 * ms, at_ms * MS, delay_ms * MS)
    return queue


def played(queue: PlayQueue, *at_ms: int) -> list[int]:
    """How many ms have been played at these instants (ms)."""
    return [queue.position_at(each * MS) // 8 for each in at_ms]


def test_an_empty_queue_has_played_all_and_has_no_end() -> None:
    queue = PlayQueue()
    assert (len(queue), queue.position_at(MS), queue.ends_at_ns, queue.samples_before(8)) == (
        0,
        0,
        None,
        {},
    )
    assert queue.is_idle(0)


def test_audio_starts_when_it_arrives_or_follows_earlier_audio() -> None:
    queue = queue_of((A, 100, 0), (B, 100, 50), (C, 100, 500))
    assert played(queue, 0, 50, 150, 250, 499, 500, 550, 900) == [
        0,
        50,
        150,
        200,
        200,
        200,
        250,
        300,
    ]
    assert queue.ends_at_ns == 600 * MS


def test_a_start_delay_moves_the_whole_burst() -> None:
    queue = queue_of((A, 100, 0), (B, 100, 100), delay_ms=30)
    assert played(queue, 30, 80, 130, 180, 300) == [0, 50, 100, 150, 200]
    assert queue.ends_at_ns == 230 * MS


def test_audio_at_the_end_of_a_burst_joins_it() -> None:
    queue = queue_of((A, 100, 0))
    assert not queue.is_idle(100 * MS)
    assert queue.is_idle(100 * MS + 1)
    queue.append(A, 800, 100 * MS, 50 * MS)
    assert len(queue) == 1
    queue.append(A, 800, 200 * MS + 1, 50 * MS)
    assert len(queue) == 2
    assert queue.burst_of(1600) is not queue.burst_of(2400)


def test_runs_are_separated_by_source() -> None:
    queue = queue_of((A, 100, 0), (A, 100, 0), (B, 100, 0), (A, 100, 0))
    assert len(queue) == 3
    assert queue.burst_of(800) is queue.burst_of(queue.sent_samples)
    assert queue.samples_before(2000) == {A: 1600, B: 400}
    assert queue.samples_before(8 * 350) == {A: 2000, B: 800}


def test_what_may_still_be_queued_does_not_count_as_played() -> None:
    queue = PlayQueue()
    queue.append(A, 800, 0, -10 * MS)
    queue.append(B, 800, 0, 0)
    found = [queue.position_at(ms * MS) for ms in (50, 95, 100, 150, 195, 200)]
    assert found == [480, 799, 880, 1280, 1599, 1600]


def test_a_corrected_start_delay_joins_or_separates_bursts() -> None:
    queue = queue_of((A, 100, 0), (B, 100, 120), (C, 100, 130))
    first, second = queue.burst_of(800), queue.burst_of(1600)
    assert first is not second
    queue.set_start_delay(first, 40 * MS)
    assert queue.burst_of(2400) is first
    assert played(queue, 40, 90, 190, 340) == [0, 50, 150, 300]
    queue.set_start_delay(first, 10 * MS)
    assert queue.burst_of(1600) is second
    assert queue.burst_of(2400) is second
    assert played(queue, 119, 120, 170) == [100, 100, 150]


def test_audio_sent_while_a_late_burst_plays_joins_it() -> None:
    queue = queue_of((A, 100, 0), delay_ms=60)
    queue.append(B, 800, 150 * MS, 90 * MS)
    assert queue.burst_of(1600) is queue.burst_of(800)
    assert queue.ends_at_ns == 260 * MS


def test_a_burst_that_was_joined_can_be_separated_for_good() -> None:
    queue = queue_of((A, 100, 0), delay_ms=60)
    assert queue.find_joined(800) is None
    queue.append(B, 800, 150 * MS, 90 * MS)
    queue.append(C, 800, 150 * MS, 90 * MS)
    joined = queue.find_joined(2400)
    assert joined is not None
    burst, overlap_ns = joined
    assert (burst.start, burst.start_delay_ns, overlap_ns) == (800, 90 * MS, 10 * MS)
    queue.take_played(800)
    queue.separate(burst)
    assert queue.burst_of(1600) is queue.burst_of(2400) is burst
    assert queue.find_joined(2400) is None
    queue.set_start_delay(burst, 100 * MS)
    assert queue.ends_at_ns == 450 * MS


def test_runs_are_removed_whole() -> None:
    queue = queue_of((A, 100, 0), (B, 100, 0), (C, 100, 400))
    assert queue.take_played(799) == []
    assert queue.take_played(1599) == [(A, 800)]
    assert played(queue, 0, 150) == [100, 150]
    assert queue.take_played(2400) == [(B, 800), (C, 800)]
    assert played(queue, 0) == [300]
    assert queue.is_idle(0)


sends = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.integers(1, 2000), st.integers(0, 300 * MS)),
    max_size=12,
)


@given(sends, st.lists(st.tuples(st.integers(0, 11), st.integers(0, 400 * MS)), max_size=4))
def test_the_queue_plays_each_run_as_soon_as_possible(
    sends: list[tuple[AudioSource, int, int]], delays: list[tuple[int, int]]
) -> None:
    queue = PlayQueue()
    now = 0
    for source, samples, gap_ns in sends:
        now += gap_ns
        queue.append(source, samples, now, 0)
    for index, delay_ns in delays:
        if index < queue.sent_samples:
            queue.set_start_delay(queue.burst_of(index + 1), delay_ns)
    instants = [step * 40 * MS for step in range(60)]
    positions = [queue.position_at(at) for at in instants]
    assert positions == sorted(positions)
    for before, after in pairwise(positions):
        assert after - before <= 40 * MS // SAMPLE_NS
    if queue.ends_at_ns is not None:
        assert queue.ends_at_ns >= now
        assert queue.ends_at_ns >= samples_to_ns(queue.sent_samples)
        assert queue.position_at(queue.ends_at_ns) == queue.sent_samples
        assert queue.position_at(queue.ends_at_ns - 1) == queue.sent_samples - 1
    assert sum(queue.samples_before(queue.sent_samples).values()) == queue.sent_samples
