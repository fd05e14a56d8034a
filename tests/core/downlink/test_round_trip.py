from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.downlink.round_trip import RoundTrip, middle_mean
from twilio_realtime_core.machine.units import MS, SECOND


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


def test_the_mean_of_the_middle_half_counts() -> None:
    assert measured(120, 80) == 100
    assert measured(120, 80, 100) == 100
    assert measured(probes=(120, 84, 100, 90)) == 95
    assert measured(probes=(90, 91, 92, 93, 94, 95, 300, 20)) == 92


def test_stalls_do_not_count() -> None:
    assert measured(2400, 80) == 80
    assert measured(80, 231, 84, 400, 400) == 82


def test_a_few_retransmissions_change_nothing() -> None:
    assert measured(80, 81, 380, 82, 83, 280, 84, 80) == 81


def test_a_probe_outweighs_pings_answered_by_an_edge() -> None:
    assert measured(20, 22, probes=(90,)) == 90


def test_pings_that_agree_with_the_probes_count() -> None:
    assert measured(80, probes=(90,)) == 85
    assert measured(79, probes=(90,)) == 90
    assert measured(101, probes=(90,)) == 90


def test_pings_agree_within_the_jitter_of_the_probes() -> None:
    assert measured(90, probes=(100, 120)) == 100
    assert measured(80, probes=(100, 120)) == 100
    assert measured(79, probes=(100, 120)) == 110


def test_a_ping_behind_a_probe_counts_only_without_its_echo() -> None:
    round_trip = RoundTrip()
    round_trip.ping_sent(b"x", 0, is_behind_mark=True)
    round_trip.pong(b"x", 95 * MS)
    assert round_trip.estimate_ns == 95 * MS
    round_trip.probe_echoed(SECOND, SECOND + 89 * MS)
    assert round_trip.estimate_ns == 92 * MS
    round_trip.ping_sent(b"y", 2 * SECOND, is_behind_mark=True)
    round_trip.pong(b"y", 2 * SECOND + 99 * MS)
    assert round_trip.estimate_ns == 92 * MS


def test_marks_that_a_clear_frees_count_like_probes() -> None:
    round_trip = RoundTrip()
    round_trip.clear_echoed(0, 90 * MS)
    assert round_trip.estimate_ns == 90 * MS
    round_trip.probe_echoed(0, 80 * MS)
    assert round_trip.estimate_ns == 85 * MS


def test_eight_samples_are_enough() -> None:
    round_trip = RoundTrip()
    for number in range(8):
        assert not round_trip.is_measured
        if number % 2:
            round_trip.probe_echoed(0, 80 * MS)
        else:
            round_trip.clear_echoed(0, 80 * MS)
    assert round_trip.is_measured


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


def test_another_path_counts_after_seven_samples() -> None:
    assert measured(*[50] * 8, *[90] * 2) == 50
    assert measured(*[50] * 8, *[90] * 6) == 90
    assert measured(*[90] * 8, *[50] * 6) == 50


# Bounds.


def test_quicker_echoes_from_behind_audio_are_samples_too() -> None:
    round_trip = RoundTrip()
    round_trip.probe_echoed(0, 90 * MS)
    assert round_trip.add_upper_bound(400 * MS, "burst", 0) == 90 * MS
    assert round_trip.estimate_ns == 90 * MS
    round_trip = RoundTrip()
    round_trip.probe_echoed(0, 90 * MS)
    assert round_trip.add_upper_bound(80 * MS, "burst", 0) == 90 * MS
    assert round_trip.estimate_ns == 85 * MS


def test_echoes_as_quick_as_the_samples_are_samples_too() -> None:
    """As exactly as these show it: one is as wrong as the jitter, four half as much."""
    for samples, bound, estimate in ((1, 108, 108), (1, 111, 90), (4, 99, 93), (4, 101, 90)):
        round_trip = RoundTrip()
        for _ in range(samples):
            round_trip.probe_echoed(0, 90 * MS)
        for burst in range(3):
            round_trip.add_upper_bound(bound * MS, burst, echo_jitter_ns=20 * MS)
        assert round_trip.estimate_ns is not None
        assert round_trip.estimate_ns // MS == estimate


def test_a_burst_counts_once() -> None:
    round_trip = RoundTrip()
    round_trip.probe_echoed(0, 90)
    for bound in (80, 60, 70):
        round_trip.add_upper_bound(bound, "burst", 0)
    assert round_trip.estimate_ns == (90 + 70) // 2


def test_the_lowest_bound_is_the_estimate_without_any_sample() -> None:
    round_trip = RoundTrip()
    bounds = enumerate((300, 200, 250))
    assert [round_trip.add_upper_bound(each, burst, 0) for burst, each in bounds] == [300, 300, 200]
    assert round_trip.estimate_ns == 200
    assert round_trip.jitter_ns == 100


def test_a_bound_is_forgotten_after_those_of_eight_bursts() -> None:
    round_trip = RoundTrip()
    round_trip.add_upper_bound(50, "first", 0)
    estimates: list[int | None] = []
    for burst in range(8):
        round_trip.add_upper_bound(90, burst, 0)
        estimates.append(round_trip.estimate_ns)
    assert estimates == [50] * 7 + [90]


def test_the_jitter_is_what_the_samples_differ_by() -> None:
    round_trip = RoundTrip()
    assert round_trip.fastest_ns is None
    assert round_trip.jitter_ns is None
    for took in (80, 130, 90):
        round_trip.probe_echoed(0, took * MS)
    round_trip.ping_sent(b"x", 0)
    round_trip.pong(b"x", 85 * MS)
    round_trip.add_upper_bound(70 * MS, "burst", 0)
    assert round_trip.fastest_ns == 80 * MS
    assert round_trip.jitter_ns == 50 * MS


round_trips = st.lists(st.integers(0, 400), max_size=12)


@given(round_trips, round_trips)
def test_the_estimate_is_among_recent_samples(pings: list[int], probes: list[int]) -> None:
    estimate = measured(*pings, probes=tuple(probes))
    recent = [*pings[-8:], *probes[-8:]]
    assert (estimate is None) == (not recent)
    if estimate is not None:
        assert min(recent) <= estimate <= max(recent)


@given(st.lists(st.integers(60, 100), min_size=8, max_size=8), st.lists(st.integers(0, 5000)))
def test_one_sample_in_eight_does_not_move_the_estimate(took: list[int], late: list[int]) -> None:
    typical = measured(probes=tuple(took))
    assert typical is not None
    for each in late:
        found = measured(probes=(*took[1:], each))
        assert found is not None
        assert min(took) <= found <= max(took)


@given(st.lists(st.integers(), min_size=1, max_size=40))
def test_the_middle_mean_is_between_the_quartiles(values: list[int]) -> None:
    ordered = sorted(values)
    cut = len(values) // 4
    assert ordered[cut] <= middle_mean(values) <= ordered[-1 - cut]
    assert middle_mean(values) == middle_mean(ordered)
    assert middle_mean([each + 7 for each in values]) == middle_mean(values) + 7
