from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.downlink.play_queue import PlayQueue
from twilio_realtime_core.machine.units import MS, SAMPLE_NS, samples_to_ns
from twilio_realtime_core.values.playback_position import PartKey

A = PartKey(1, "r", "a", 0)
B = PartKey(1, "r", "b", 0)
C = PartKey(1, "r", "c", 0)


def queue(*sends: tuple[PartKey, int, int], lag: int = 0) -> PlayQueue:
    """What was sent, as (part, ms, at); each burst is expected so much (ms) late."""
    fifo = PlayQueue()
    for part, ms, at in sends:
        fifo.append(part, 8 * ms, at * MS, lag * MS)
    return fifo


def played(fifo: PlayQueue, *at: int) -> list[int]:
    """How many ms have been played at these moments (ms)."""
    return [fifo.position_at(each * MS) // 8 for each in at]


def test_audio_of_the_application_is_told_from_the_models_by_its_session() -> None:
    assert PartKey(0, "", "1", 0).is_clip
    assert not A.is_clip


def test_an_empty_queue_has_played_all_and_does_not_end() -> None:
    fifo = PlayQueue()
    assert (len(fifo), fifo.position_at(MS), fifo.ends_at_ns, fifo.samples_before(8)) == (
        0,
        0,
        None,
        {},
    )
    assert fifo.is_idle(0)


def test_audio_starts_at_the_later_of_its_arrival_and_the_end_of_what_is_before() -> None:
    fifo = queue((A, 100, 0), (B, 100, 50), (C, 100, 500))
    assert played(fifo, 0, 50, 150, 250, 499, 500, 550, 900) == [
        0,
        50,
        150,
        200,
        200,
        200,
        250,
        300,
    ]
    assert fifo.ends_at_ns == 600 * MS


def test_a_burst_starts_late_by_its_lag_and_what_follows_it_with_it() -> None:
    fifo = queue((A, 100, 0), (B, 100, 100), lag=30)
    assert played(fifo, 30, 80, 130, 180, 300) == [0, 50, 100, 150, 200]
    assert fifo.ends_at_ns == 230 * MS


def test_audio_is_in_the_burst_that_would_end_as_it_comes_and_not_a_moment_later() -> None:
    fifo = queue((A, 100, 0))
    assert not fifo.is_idle(100 * MS)
    assert fifo.is_idle(100 * MS + 1)
    fifo.append(A, 800, 100 * MS, 50 * MS)
    assert len(fifo) == 1
    fifo.append(A, 800, 200 * MS + 1, 50 * MS)
    assert len(fifo) == 2
    assert fifo.burst_of(1600) is not fifo.burst_of(2400)


def test_pieces_are_kept_apart_by_part() -> None:
    fifo = queue((A, 100, 0), (A, 100, 0), (B, 100, 0), (A, 100, 0))
    assert len(fifo) == 3
    assert fifo.burst_of(800) is fifo.burst_of(fifo.sent_samples)
    assert fifo.samples_before(2000) == {A: 1600, B: 400}
    assert fifo.samples_before(8 * 350) == {A: 2000, B: 800}


def test_a_lag_that_grows_makes_one_burst_of_two_and_one_that_shrinks_two_of_one() -> None:
    fifo = queue((A, 100, 0), (B, 100, 120), (C, 100, 130))
    first, second = fifo.burst_of(800), fifo.burst_of(1600)
    assert first is not second
    fifo.set_start_delay(first, 40 * MS)
    assert fifo.burst_of(2400) is first
    assert played(fifo, 40, 90, 190, 340) == [0, 50, 150, 300]
    fifo.set_start_delay(first, 10 * MS)
    assert fifo.burst_of(1600) is second
    assert fifo.burst_of(2400) is second
    assert played(fifo, 119, 120, 170) == [100, 100, 150]


def test_a_burst_that_is_sent_while_a_late_one_plays_has_its_lag() -> None:
    fifo = queue((A, 100, 0), lag=60)
    fifo.append(B, 800, 150 * MS, 90 * MS)
    assert fifo.burst_of(1600) is fifo.burst_of(800)
    assert fifo.ends_at_ns == 260 * MS


def test_pieces_are_forgotten_whole() -> None:
    fifo = queue((A, 100, 0), (B, 100, 0), (C, 100, 400))
    assert fifo.take_played(799) == []
    assert fifo.take_played(1599) == [(A, 800)]
    assert played(fifo, 0, 150) == [100, 150]
    assert fifo.take_played(2400) == [(B, 800), (C, 800)]
    assert played(fifo, 0) == [300]
    assert fifo.is_idle(0)


sends = st.lists(
    st.tuples(st.sampled_from([A, B]), st.integers(1, 2000), st.integers(0, 300 * MS)), max_size=12
)


@given(sends, st.lists(st.tuples(st.integers(0, 11), st.integers(0, 400 * MS)), max_size=4))
def test_the_queue_plays_each_piece_as_soon_as_it_can(
    sends: list[tuple[PartKey, int, int]], lags: list[tuple[int, int]]
) -> None:
    fifo = PlayQueue()
    now = 0
    for part, samples, gap in sends:
        now += gap
        fifo.append(part, samples, now, 0)
    for index, lag in lags:
        if index < fifo.sent_samples:
            fifo.set_start_delay(fifo.burst_of(index + 1), lag)
    moments = [step * 40 * MS for step in range(60)]
    positions = [fifo.position_at(at) for at in moments]
    assert positions == sorted(positions)
    for before, after in pairwise(positions):
        assert after - before <= 40 * MS // SAMPLE_NS
    if fifo.ends_at_ns is not None:
        assert fifo.ends_at_ns >= now
        assert fifo.ends_at_ns >= samples_to_ns(fifo.sent_samples)
        assert fifo.position_at(fifo.ends_at_ns) == fifo.sent_samples
        assert fifo.position_at(fifo.ends_at_ns - 1) == fifo.sent_samples - 1
    assert sum(fifo.samples_before(fifo.sent_samples).values()) == fifo.sent_samples
