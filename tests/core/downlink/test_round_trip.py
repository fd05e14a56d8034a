from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.downlink.round_trip import RoundTrip
from twilio_realtime_core.machine.units import MS


def measured(*pings: int, probes: tuple[int, ...] = ()) -> int | None:
    """The estimate after these round trips (ms), pings first; in ms again."""
    round_trip = RoundTrip()
    for ping in pings:
        round_trip.ping_sent(b"x", 5 * MS)
        round_trip.pong(b"x", (5 + ping) * MS)
    for probe in probes:
        round_trip.probe_echoed(7 * MS, (7 + probe) * MS)
    return None if round_trip.estimate_ns is None else round_trip.estimate_ns // MS


def test_nothing_is_known_before_the_first_answer() -> None:
    round_trip = RoundTrip()
    assert round_trip.estimate_ns is None
    round_trip.ping_sent(b"x", 0)
    assert round_trip.estimate_ns is None


def test_a_pong_measures_the_round_trip() -> None:
    assert measured(80) == 80


def test_a_probe_measures_the_round_trip() -> None:
    assert measured(probes=(90,)) == 90


def test_the_least_of_the_samples_counts() -> None:
    assert measured(120, 80, 100) == 80
    assert measured(probes=(120, 85, 100)) == 85


def test_a_probe_outweighs_pings_answered_by_an_edge() -> None:
    assert measured(20, 22, probes=(90,)) == 90


def test_pings_that_agree_with_the_probes_count() -> None:
    assert measured(80, probes=(90,)) == 80
    assert measured(79, probes=(90,)) == 90


def test_a_ping_slower_than_the_probes_changes_nothing() -> None:
    assert measured(95, 200, probes=(90,)) == 90


def test_an_unexpected_pong_is_no_evidence() -> None:
    round_trip = RoundTrip()
    round_trip.pong(b"x", 5 * MS)
    round_trip.ping_sent(b"x", 6 * MS)
    round_trip.pong(b"y", 7 * MS)
    assert round_trip.estimate_ns is None


def test_a_pong_counts_once() -> None:
    round_trip = RoundTrip()
    round_trip.ping_sent(b"x", 0)
    round_trip.pong(b"x", 50 * MS)
    for _ in range(20):
        round_trip.pong(b"x", 51 * MS)
    round_trip.ping_sent(b"y", 100 * MS)
    round_trip.pong(b"y", 150 * MS)
    assert round_trip.estimate_ns == 50 * MS


def test_an_unanswered_ping_is_forgotten_at_the_next() -> None:
    round_trip = RoundTrip()
    round_trip.ping_sent(b"x", 0)
    round_trip.ping_sent(b"y", 100 * MS)
    round_trip.pong(b"x", 110 * MS)
    assert round_trip.estimate_ns is None
    round_trip.pong(b"y", 160 * MS)
    assert round_trip.estimate_ns == 60 * MS


def test_a_slower_path_counts_after_eight_samples() -> None:
    assert measured(50, *[90] * 7) == 50
    assert measured(50, *[90] * 8) == 90
    assert measured(probes=(50, *[90] * 7)) == 50
    assert measured(probes=(50, *[90] * 8)) == 90


def test_a_mark_behind_audio_bounds_the_round_trip_from_above() -> None:
    round_trip = RoundTrip()
    round_trip.probe_echoed(0, 90 * MS)
    assert round_trip.add_upper_bound(400 * MS) == 90 * MS
    assert round_trip.add_upper_bound(85 * MS) == 85 * MS
    assert round_trip.estimate_ns == 85 * MS


def test_the_lowest_bound_is_the_estimate_without_any_sample() -> None:
    round_trip = RoundTrip()
    assert [round_trip.add_upper_bound(each) for each in (300, 200, 250)] == [300, 200, 200]
    assert round_trip.slowest_ns == 300


def test_a_bound_is_forgotten_after_eight_others() -> None:
    round_trip = RoundTrip()
    round_trip.add_upper_bound(50)
    assert [round_trip.add_upper_bound(90) for _ in range(8)] == [50] * 7 + [90]


def test_the_slowest_of_the_counted_round_trips_is_known() -> None:
    round_trip = RoundTrip()
    assert round_trip.slowest_ns is None
    assert round_trip.jitter_ns is None
    for took in (80, 130, 90):
        round_trip.probe_echoed(0, took * MS)
    round_trip.ping_sent(b"x", 0)
    round_trip.pong(b"x", 85 * MS)
    round_trip.add_upper_bound(70 * MS)
    assert round_trip.slowest_ns == 130 * MS
    assert round_trip.jitter_ns == 60 * MS


round_trips = st.lists(st.integers(0, 400), max_size=12)


@given(round_trips, round_trips)
def test_the_estimate_is_a_recent_sample_at_most_any_probe(
    pings: list[int], probes: list[int]
) -> None:
    estimate = measured(*pings, probes=tuple(probes))
    recent = [*pings[-8:], *probes[-8:]]
    assert (estimate is None) == (not recent)
    if estimate is not None:
        assert estimate in recent
        assert all(estimate <= probe for probe in probes[-8:])
        assert not probes or min(probes[-8:]) - estimate <= 10
