import pickle
from collections.abc import Iterable

import pytest
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.downlink.marks import MARK_INTERVAL_SAMPLES
from twilio_realtime_core.downlink.playout import (
    MAX_QUEUED_SAMPLES,
    PlaybackProgress,
    Playout,
)
from twilio_realtime_core.machine.units import MS, SAMPLE_NS, SECOND, samples_to_ns
from twilio_realtime_core.values.playback_position import (
    AudioSource,
    Clip,
    PartKey,
    PlaybackPosition,
)

A = PartKey(1, "r1", "a", 0)
B = PartKey(1, "r1", "b", 0)
C = PartKey(1, "r2", "c", 0)
D = Clip(1, "d", 800)
NOTHING = PlaybackProgress()


def send(playout: Playout, source: AudioSource, ms: int, at: int) -> PlaybackProgress:
    """Send `ms` of audio at `at` (ms)."""
    return playout.audio_sent(source, ms * 8, at * MS)


def name_of(position: PlaybackPosition) -> str:
    """The item of a part, or the name of a clip."""
    source = position.source
    return source.item_id if isinstance(source, PartKey) else source.name


def estimated(playout: Playout, at: int) -> dict[str, int]:
    """How much of each item (ms) a clear at `at` (ms) leaves heard."""
    return {name_of(each): each.estimated_samples // 8 for each in playout.positions(at * MS)}


def confirmed(playout: Playout) -> dict[str, int]:
    """How much of each item (ms) marks confirm."""
    return {name_of(each): each.confirmed_samples // 8 for each in playout.positions(0)}


def probe(playout: Playout, at: int, round_trip: int) -> None:
    """Measure the round trip; times in ms."""
    assert playout.is_probe_due()
    name = playout.next_mark(at * MS)
    assert playout.mark_echoed(name, (at + round_trip) * MS) == NOTHING


# The queue.


def test_nothing_is_heard_where_nothing_was_sent() -> None:
    playout = Playout()
    assert playout.positions(SECOND) == []
    assert not playout.is_playing(SECOND)
    assert not playout.is_final_mark_due()
    assert not playout.is_mark_due(SECOND)


def test_audio_is_heard_as_time_passes_to_its_end() -> None:
    playout = Playout()
    send(playout, A, 200, at=1000)
    assert [estimated(playout, at)["a"] for at in (1000, 1050, 1200, 1500)] == [0, 50, 200, 200]


def test_a_sample_counts_when_all_of_it_has_been_played() -> None:
    playout = Playout()
    playout.audio_sent(A, 8, SECOND)
    before, after = (playout.positions(SECOND + SAMPLE_NS - early)[0] for early in (1, 0))
    assert (before.estimated_samples, after.estimated_samples) == (0, 1)


def test_a_single_sample_is_audio_too() -> None:
    playout = Playout()
    playout.audio_sent(A, 1, 0)
    assert playout.is_playing(0)
    assert playout.is_mark_due(0)
    playout.audio_sent(A, 1, 0)
    assert [playout.positions(n * SAMPLE_NS)[0].estimated_samples for n in (0, 1, 2)] == [0, 1, 2]


def test_audio_sent_faster_than_it_plays_is_queued() -> None:
    playout = Playout()
    send(playout, A, 200, at=0)
    send(playout, B, 100, at=10)
    send(playout, C, 100, at=20)
    assert estimated(playout, 150) == {"a": 150, "b": 0, "c": 0}
    assert estimated(playout, 250) == {"a": 200, "b": 50, "c": 0}
    assert estimated(playout, 399) == {"a": 200, "b": 100, "c": 99}


def test_a_pause_in_the_audio_does_not_count_as_heard() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    send(playout, A, 100, at=500)
    assert [estimated(playout, at)["a"] for at in (300, 500, 550, 700)] == [100, 100, 150, 200]


def test_many_short_deltas_are_heard_as_one_long_one() -> None:
    playout = Playout()
    for at in range(50):
        send(playout, A, 20, at)
    assert [estimated(playout, at)["a"] for at in (49, 333, 1000)] == [49, 333, 1000]


def test_an_item_continued_after_another_is_heard_in_both_places() -> None:
    playout = Playout()
    for part in (A, B, A):
        send(playout, part, 100, at=0)
    assert estimated(playout, 150) == {"a": 100, "b": 50}
    assert estimated(playout, 250) == {"a": 150, "b": 100}


def test_content_parts_of_an_item_are_distinct() -> None:
    playout = Playout()
    second = PartKey(1, "r1", "a", 1)
    send(playout, A, 100, at=0)
    send(playout, second, 100, at=0)
    assert playout.positions(150 * MS) == [
        PlaybackPosition(
            A, confirmed_samples=0, estimated_samples=800, sent_samples=800, is_complete=False
        ),
        PlaybackPosition(
            second, confirmed_samples=0, estimated_samples=400, sent_samples=800, is_complete=False
        ),
    ]


def test_positions_are_right_among_128_queued_items() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=100)
    marks: list[str] = []
    for number in range(128):
        send(playout, PartKey(1, "r1", str(number), 0), 100, at=1000)
        marks.append(playout.next_mark(SECOND))
    for number in range(64):
        playout.mark_echoed(marks[number], (1000 + 100 * (number + 1) + 100) * MS)
    at_clear = estimated(playout, 1000 + 6_530)
    assert [at_clear[str(number)] for number in (64, 65, 66)] == [100, 30, 0]


# Marks.


def test_an_echo_confirms_all_before_the_mark() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    first = playout.next_mark(0)
    send(playout, A, 100, at=0)
    send(playout, B, 100, at=0)
    second = playout.next_mark(0)
    assert confirmed(playout) == {"a": 0, "b": 0}
    assert playout.mark_echoed(first, 120 * MS) == PlaybackProgress(started=(A,))
    assert confirmed(playout) == {"a": 100, "b": 0}
    assert playout.mark_echoed(second, 320 * MS) == PlaybackProgress(started=(B,))
    assert confirmed(playout) == {"a": 200, "b": 100}


def test_what_marks_confirm_counts_before_the_estimate() -> None:
    playout = Playout()
    send(playout, A, 400, at=0)
    playout.mark_echoed(playout.next_mark(0), 10 * MS)
    assert estimated(playout, 20) == {"a": 400}


def test_an_echo_answers_for_the_marks_before_it_once() -> None:
    playout = Playout()
    marks: list[str] = []
    for part in (A, B, C):
        send(playout, part, 100, at=0)
        marks.append(playout.next_mark(0))
    assert playout.mark_echoed(marks[1], 220 * MS) == PlaybackProgress(started=(A, B))
    assert playout.mark_echoed(marks[0], 221 * MS) is None
    assert playout.mark_echoed(marks[1], 222 * MS) is None
    assert playout.mark_echoed(marks[2], 320 * MS) == PlaybackProgress(started=(C,))


@pytest.mark.parametrize(
    "name", ["", "1", "00", "+0", "-1", "0 ", "٠", "²", "mark", "9" * 9, "9" * 5000]
)
def test_an_echo_of_an_unknown_mark_confirms_nothing(name: str) -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    assert playout.next_mark(0) == "0"
    assert playout.mark_echoed(name, 150 * MS) is None
    assert confirmed(playout) == {"a": 0}


def test_a_second_mark_in_one_place_changes_nothing() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    first, second = playout.next_mark(0), playout.next_mark(0)
    assert playout.mark_echoed(first, 180 * MS) == PlaybackProgress(started=(A,))
    assert playout.positions(180 * MS)[0].estimated_samples == 800
    assert playout.mark_echoed(second, 500 * MS) == NOTHING
    assert playout.round_trip.estimate_ns == 80 * MS


def test_a_part_finishes_when_complete_and_confirmed() -> None:
    playout = Playout()
    for part in (A, B):
        send(playout, part, 100, at=0)
    marks = [playout.next_mark(0)]
    assert playout.source_completed(A) == NOTHING
    assert playout.mark_echoed(marks[0], 220 * MS) == PlaybackProgress(
        started=(A, B), finished=(A,)
    )
    assert playout.source_completed(B) == PlaybackProgress(finished=(B,))
    assert playout.positions(SECOND) == []


def test_a_part_does_not_finish_while_some_is_unconfirmed() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    mark = playout.next_mark(0)
    send(playout, A, 100, at=0)
    playout.source_completed(A)
    assert playout.mark_echoed(mark, 120 * MS) == PlaybackProgress(started=(A,))
    assert playout.positions(150 * MS) == [
        PlaybackPosition(A, 800, 1200, sent_samples=1600, is_complete=True)
    ]


def test_the_end_of_a_response_completes_only_its_parts() -> None:
    playout = Playout()
    for part in (A, B, C):
        send(playout, part, 100, at=0)
    playout.response_completed("r1")
    assert [each.is_complete for each in playout.positions(0)] == [True, True, False]
    assert playout.mark_echoed(playout.next_mark(0), 320 * MS) == PlaybackProgress(
        (A, B, C), finished=(A, B)
    )
    assert playout.response_completed("r2") == PlaybackProgress(finished=(C,))


def test_the_end_of_a_part_without_audio_changes_nothing() -> None:
    playout = Playout()
    assert playout.source_completed(A) == NOTHING
    assert playout.response_completed("r1") == NOTHING


# A player behind the model.


def late_player() -> Playout:
    """A round trip of 80 ms. Of 1000 ms of A sent at 1000, the echo of a mark behind the first 200
    shows that the player is 150 ms late."""
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    mark = playout.next_mark(1000 * MS)
    send(playout, A, 800, at=1000)
    playout.mark_echoed(mark, (1200 + 80 + 150) * MS)
    return playout


def test_a_late_echo_shifts_the_model() -> None:
    playout = late_player()
    assert estimated(playout, 1500) == {"a": 350}


def test_the_first_echo_is_timely_without_a_measured_round_trip() -> None:
    playout = Playout()
    send(playout, A, 200, at=1000)
    mark = playout.next_mark(1000 * MS)
    send(playout, A, 800, at=1000)
    playout.mark_echoed(mark, 1430 * MS)
    assert estimated(playout, 1500) == {"a": 500}
    assert playout.round_trip.estimate_ns == 230 * MS


def test_a_timely_echo_ends_the_shift() -> None:
    playout = late_player()
    playout.mark_echoed(playout.next_mark(1500 * MS), (2000 + 80) * MS)
    send(playout, B, 500, at=2100)
    assert estimated(playout, 2300) == {"a": 1000, "b": 200}


def test_audio_that_a_late_player_is_busy_for_follows_directly() -> None:
    playout = late_player()  # busy until 2150
    send(playout, A, 100, at=2100)
    send(playout, B, 100, at=2110)
    assert estimated(playout, 2240) == {"a": 1090, "b": 0}
    assert estimated(playout, 2300) == {"a": 1100, "b": 50}


def test_audio_that_finds_a_late_player_idle_is_late_again() -> None:
    playout = late_player()
    send(playout, A, 100, at=2200)
    assert [estimated(playout, at)["a"] for at in (2200, 2350, 2400)] == [1000, 1000, 1050]


def test_a_mark_at_an_idle_player_does_not_delay_it() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    playout.mark_echoed(playout.next_mark(2000 * MS), 2080 * MS)  # the end of the part was late
    send(playout, B, 200, at=3000)
    assert estimated(playout, 3100) == {"a": 200, "b": 100}


def test_a_mark_at_an_idle_late_player_changes_nothing() -> None:
    playout = late_player()
    playout.mark_echoed(playout.next_mark(4000 * MS), 4080 * MS)
    send(playout, B, 200, at=5000)
    assert estimated(playout, 5200) == {"a": 1000, "b": 50}


def test_an_echo_late_by_jitter_changes_nothing() -> None:
    playout = late_player()
    playout.mark_echoed(playout.next_mark(1500 * MS), (2150 + 80 + 200) * MS)
    send(playout, B, 200, at=3000)
    assert estimated(playout, 3200) == {"a": 1000, "b": 50}


def test_three_late_echoes_show_that_the_player_ran_dry() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    marks: list[str] = []
    for _ in range(8):
        send(playout, A, 250, at=1000)
        marks.append(playout.next_mark(SECOND))
    for number, late in enumerate((0, 90, 90)):
        playout.mark_echoed(marks[number], (1000 + 250 * (number + 1) + late + 80) * MS)
    assert estimated(playout, 1900) == {"a": 900}
    playout.mark_echoed(marks[3], (2000 + 90 + 80) * MS)
    assert estimated(playout, 2200) == {"a": 1110}


@pytest.mark.parametrize(
    ("sent_at", "echo_at", "heard"),
    [
        (1605, 1605 + 400 + 20, 95),  # the player had run dry for 5 ms, and started anew
        (1605, 1610 + 20, 495),  # it had not
        (1605, 1605 + 300 + 20, 495),  # late, but not as a player is that starts anew
        (1500, 1500 + 400 + 20, 490),  # it was busy for sure, so the echo is late by itself
    ],
)
def test_an_echo_shows_whether_a_player_that_was_nearly_done_starts_anew(
    sent_at: int, echo_at: int, heard: int
) -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 20, at=1000)
    first = playout.next_mark(1000 * MS)
    send(playout, A, 180, at=1000)
    last = playout.next_mark(1000 * MS)
    playout.mark_echoed(first, (1000 + 410 + 20 + 80) * MS)  # 10 ms of it are jitter
    send(playout, B, 20, at=sent_at)
    next_ = playout.next_mark(sent_at * MS)
    send(playout, B, 580, at=sent_at)
    playout.mark_echoed(last, (1000 + 410 + 200 + 80) * MS)
    playout.mark_echoed(next_, (echo_at + 80) * MS)
    assert estimated(playout, 2105)["b"] == pytest.approx(heard, abs=8)


def test_a_burst_is_expected_to_have_the_middle_start_delay() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    for number, late in enumerate((50, 300, 90)):
        at = 1000 + 2000 * number
        send(playout, A, 200, at)
        playout.mark_echoed(playout.next_mark(at * MS), (at + 200 + late + 80) * MS)
    assert playout.start_delay_history == StartDelayHistory((50 * MS, 300 * MS, 90 * MS))
    send(playout, B, 500, at=9000)
    assert estimated(playout, 9100) == {"a": 600, "b": 10}


def test_the_first_burst_has_the_start_delay_of_earlier_calls() -> None:
    playout = Playout(StartDelayHistory((120 * MS,)))
    send(playout, A, 500, at=1000)
    assert estimated(playout, 1300) == {"a": 180}
    assert playout.start_delay_history == StartDelayHistory()
    playout.restart()
    send(playout, B, 500, at=2000)
    assert estimated(playout, 2300)["b"] == 180


def test_a_missing_echo_bounds_the_position() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 20, at=1000)
    mark = playout.next_mark(SECOND)
    send(playout, A, 980, at=1000)
    assert [estimated(playout, at)["a"] for at in (1050, 1100, 1101, 1400)] == [50, 100, 100, 100]
    playout.mark_echoed(mark, (1020 + 300 + 80) * MS)
    assert estimated(playout, 1400) == {"a": 100}
    assert estimated(playout, 1500) == {"a": 200}


def test_a_missing_echo_of_a_known_player_changes_nothing() -> None:
    playout = late_player()
    playout.next_mark(1000 * MS)
    assert estimated(playout, 2400) == {"a": 1000}


def test_a_missing_echo_does_not_count_before_the_first_echo() -> None:
    playout = Playout()
    playout.round_trip.ping_sent(b"x", 0)
    playout.round_trip.pong(b"x", 80 * MS)
    send(playout, A, 20, at=1000)
    playout.next_mark(SECOND)
    send(playout, A, 980, at=1000)
    assert estimated(playout, 1600) == {"a": 600}


def test_a_probe_under_way_does_not_hide_the_first_mark() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    playout.next_mark(990 * MS)
    send(playout, A, 20, at=1000)
    playout.next_mark(SECOND)
    send(playout, A, 980, at=1000)
    assert estimated(playout, 1600) == {"a": 100}


def test_a_late_player_joins_two_bursts() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    mark = playout.next_mark(SECOND)
    send(playout, B, 200, at=1250)  # the first seems to have ended at 1200
    playout.mark_echoed(mark, (1200 + 150 + 80) * MS)
    assert estimated(playout, 1500) == {"a": 200, "b": 150}


# Margins.


def margins(playout: Playout, at: int) -> dict[str, int]:
    """How far the estimate of each item may be off (ms)."""
    return {name_of(each): each.margin_samples // 8 for each in playout.positions(at * MS)}


def test_the_margin_is_all_audio_where_nothing_is_known() -> None:
    playout = Playout()
    send(playout, A, 200, at=1000)
    assert margins(playout, 1050) == {"a": 150}
    assert margins(playout, 1150) == {"a": 150}


def test_the_margin_is_all_audio_before_the_first_burst() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    assert margins(playout, 1150) == {"a": 150}


def test_the_margin_is_the_spread_of_delays_trips_and_echoes() -> None:
    playout = Playout(StartDelayHistory((20 * MS, 60 * MS)))
    probe(playout, at=0, round_trip=80)
    probe(playout, at=100, round_trip=85)
    send(playout, A, 500, at=1000)
    mark = playout.next_mark(SECOND)
    send(playout, A, 500, at=1000)
    assert margins(playout, 1200) == {"a": 40 + 24}
    playout.mark_echoed(mark, 1605 * MS)
    assert margins(playout, 1650) == {"a": 24}


def test_steady_echoes_make_the_margin_the_spread_of_trips() -> None:
    playout = Playout()
    for number, round_trip in enumerate((80, 85, 88)):
        probe(playout, at=number * 100, round_trip=round_trip)
    marks: list[str] = []
    for _ in range(9):
        send(playout, A, 250, at=1000)
        marks.append(playout.next_mark(SECOND))
    for number, mark in enumerate(marks[:8]):
        playout.mark_echoed(mark, (1000 + 250 * (number + 1) + 85 + 100) * MS)
    assert margins(playout, 3100) == {"a": 8}


def test_the_margin_is_within_confirmed_and_sent_audio() -> None:
    playout = Playout(StartDelayHistory((0, 900 * MS)))
    probe(playout, at=0, round_trip=80)
    send(playout, A, 100, at=1000)
    send(playout, B, 400, at=1000)
    assert margins(playout, 1150) == {"a": 100, "b": 400}


# The first frame of a burst.


def test_audio_that_finds_the_player_idle_starts_a_burst() -> None:
    playout = Playout()
    assert playout.starts_burst(SECOND)
    send(playout, A, 100, at=1000)
    assert not playout.starts_burst(1100 * MS)
    assert playout.starts_burst(1101 * MS)
    playout.clear(1101 * MS)
    assert playout.starts_burst(1000 * MS)


def test_a_burst_close_behind_a_mark_has_no_separate_frame() -> None:
    playout = Playout()
    send(playout, A, 100, at=1000)
    playout.next_mark(1000 * MS)
    assert not playout.starts_burst(1249 * MS)
    assert playout.starts_burst(1250 * MS)


# Silence.


def test_silence_is_certain_two_seconds_after_the_estimated_end() -> None:
    playout = late_player()
    assert playout.silent_at_ns == 4150 * MS
    assert playout.is_playing(4149 * MS)
    assert not playout.is_playing(4150 * MS)
    playout.clear(4150 * MS)
    assert playout.silent_at_ns is None


def test_an_early_echo_confirms_without_a_measurement() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 400, at=1000)
    playout.mark_echoed(playout.next_mark(SECOND), 1100 * MS)
    assert playout.round_trip.estimate_ns == 80 * MS
    assert playout.start_delay_history == StartDelayHistory()


def test_a_late_probe_makes_no_player_quicker_than_it_can_be() -> None:
    playout = Playout()
    probe(playout, 0, round_trip=3700)
    send(playout, A, 100, at=4000)
    name = playout.next_mark(4000 * MS)
    send(playout, A, 1900, at=4000)
    playout.mark_echoed(name, 4110 * MS)  # which would be 3.6 s before it can be played
    assert playout.is_playing(7900 * MS)
    assert not playout.is_playing(8100 * MS)


def test_a_quick_echo_behind_audio_bounds_the_round_trip() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=130)
    send(playout, A, 100, at=1000)
    playout.mark_echoed(playout.next_mark(SECOND), 1180 * MS)
    assert playout.round_trip.estimate_ns == 105 * MS


# Lost marks.


def test_unconfirmed_audio_may_play_for_two_more_seconds() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    assert playout.is_playing(2099 * MS)
    assert not playout.is_playing(2100 * MS)


def test_audio_counts_as_heard_after_its_playing_time() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 20, at=0)
    playout.next_mark(0)
    send(playout, A, 780, at=0)
    assert estimated(playout, 2799) == {"a": 100}
    assert estimated(playout, 2800) == {"a": 800}
    assert not playout.is_playing(2800 * MS)


def test_lost_marks_are_given_up_when_later_audio_is_sent() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    lost = playout.next_mark(0)
    playout.source_completed(A)
    assert send(playout, B, 100, at=2100) == PlaybackProgress(started=(A,), finished=(A,))
    assert estimated(playout, 2150) == {"b": 50}
    assert playout.mark_echoed(lost, 2200 * MS) == NOTHING
    assert confirmed(playout) == {"b": 0}
    assert playout.mark_echoed(playout.next_mark(2100 * MS), 2250 * MS) == PlaybackProgress(
        started=(B,)
    )


def test_marks_that_may_still_come_are_not_given_up() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    mark = playout.next_mark(0)
    assert send(playout, B, 100, at=2099) == NOTHING
    assert playout.mark_echoed(mark, 2100 * MS) == PlaybackProgress(started=(A,))


def test_a_late_player_may_play_for_longer() -> None:
    playout = late_player()
    assert playout.is_playing(4149 * MS)
    assert not playout.is_playing(4150 * MS)


# A clear, and another stream.


def test_a_clear_empties_the_queue_and_invalidates_marks() -> None:
    playout = Playout()
    send(playout, A, 500, at=0)
    stale = playout.next_mark(0)
    playout.clear(10 * MS)
    assert not playout.is_playing(10 * MS)
    assert playout.positions(10 * MS) == []
    send(playout, B, 500, at=100)
    valid = playout.next_mark(100 * MS)
    assert playout.mark_echoed(stale, 150 * MS) == NOTHING
    assert estimated(playout, 200) == {"b": 100}
    assert confirmed(playout) == {"b": 0}
    assert playout.mark_echoed(valid, 620 * MS) == PlaybackProgress(started=(B,))


def test_a_mark_that_a_clear_frees_measures_the_round_trip() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    marks: list[str] = []
    for _ in range(3):
        send(playout, A, 250, at=1000)
        marks.append(playout.next_mark(SECOND))
    playout.mark_echoed(marks[0], 1330 * MS)
    playout.clear(1400 * MS)
    for mark in marks[1:]:
        assert playout.mark_echoed(mark, 1500 * MS) == NOTHING
    assert playout.round_trip.estimate_ns == 80 * MS  # the middle of 80, 80 and 100
    assert playout.round_trip.jitter_ns == 20 * MS
    assert confirmed(playout) == {}


def test_a_mark_that_may_have_been_reached_measures_nothing() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 250, at=1000)
    mark = playout.next_mark(SECOND)
    playout.clear(1240 * MS)
    playout.mark_echoed(mark, 1325 * MS)
    assert playout.round_trip.jitter_ns == 0


def test_the_start_delay_is_expected_again_after_a_clear() -> None:
    playout = late_player()
    playout.clear(2000 * MS)
    send(playout, B, 500, at=3000)
    assert estimated(playout, 3200) == {"b": 50}
    assert [each.estimated_samples for each in playout.positions(3149 * MS)] == [0]


def test_another_stream_is_measured_anew() -> None:
    playout = late_player()
    stale = playout.next_mark(1500 * MS)
    playout.source_completed(A)
    playout.restart()
    assert playout.round_trip.estimate_ns is None
    assert playout.positions(1500 * MS) == []
    assert playout.mark_echoed(stale, 2300 * MS) == NOTHING
    send(playout, B, 500, at=3000)
    assert estimated(playout, 3200) == {"b": 200}


def test_a_part_continued_on_another_stream_keeps_its_positions() -> None:
    playout = Playout()
    send(playout, A, 500, at=0)
    playout.restart()
    assert not playout.is_playing(100 * MS)
    send(playout, A, 300, at=1000)
    assert playout.positions(1100 * MS) == [
        PlaybackPosition(A, 4000, 4800, sent_samples=6400, is_complete=False)
    ]
    assert playout.mark_echoed(playout.next_mark(1000 * MS), 1300 * MS) == PlaybackProgress(
        started=(A,)
    )
    assert playout.source_completed(A) == PlaybackProgress(finished=(A,))


def test_a_part_lost_with_its_stream_does_not_finish() -> None:
    playout = Playout()
    send(playout, A, 500, at=0)
    playout.restart()
    assert playout.source_completed(A) == NOTHING
    assert playout.positions(SECOND) == []


# Marks to send.


def marks_of(sends: Iterable[tuple[int, int]]) -> int:
    """How many checkpoint marks are sent with audio of (ms, sent at ms)."""
    playout = Playout()
    count = 0
    for ms, at in sends:
        send(playout, A, ms, at)
        if playout.is_mark_due(at * MS):
            playout.next_mark(at * MS)
            count += 1
        assert not playout.is_mark_due(at * MS)
    return count


def test_short_deltas_have_a_first_and_a_final_mark() -> None:
    playout = Playout()
    send(playout, A, 100, at=5)
    assert playout.is_mark_due(5 * MS)
    playout.next_mark(5 * MS)
    for _ in range(2):
        send(playout, A, 100, at=5)
        assert not playout.is_mark_due(5 * MS)
    assert playout.is_final_mark_due()
    playout.next_mark(5 * MS)
    assert not playout.is_final_mark_due()


@pytest.mark.parametrize("start", [0, 1000, -1000])
def test_the_first_audio_has_a_mark_at_any_time(start: int) -> None:
    playout = Playout()
    send(playout, A, 20, start)
    assert playout.is_mark_due(start * MS)
    assert playout.has_capacity(MAX_QUEUED_SAMPLES - 160, start * MS)
    assert estimated(playout, start + 10) == {"a": 10}


def test_a_mark_is_due_every_250_ms() -> None:
    assert MARK_INTERVAL_SAMPLES * SAMPLE_NS == 250 * MS
    for samples, at, due in [(1999, 249, False), (2000, 249, True), (1, 250, True)]:
        playout = Playout()
        send(playout, A, 20, at=0)
        playout.next_mark(0)
        playout.audio_sent(A, samples, at * MS)
        assert playout.is_mark_due(at * MS) is due


def test_audio_sent_at_once_has_four_marks_a_second() -> None:
    assert marks_of((20, 0) for _ in range(500)) == 1 + (500 - 1) // 13


def test_audio_sent_as_it_plays_has_four_marks_a_second() -> None:
    assert marks_of((20, at) for at in range(0, 10_000, 20)) == 1 + 9_980 // 260


def test_a_long_delta_has_one_mark() -> None:
    assert marks_of((2000, 10 * at) for at in range(20)) == 20


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 400)), max_size=40))
def test_checkpoint_marks_are_limited_by_audio_and_time(
    steps: list[tuple[int, int]],
) -> None:
    ms = at = 0
    sends: list[tuple[int, int]] = []
    for length, gap in steps:
        ms, at = ms + length, at + gap
        sends.append((length, at))
    elapsed = at - sends[0][1] if sends else 0
    assert marks_of(sends) <= (1 if sends else 0) + ms * 8 // MARK_INTERVAL_SAMPLES + elapsed // 250


def test_a_probe_is_due_only_where_nothing_is_queued() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    assert playout.round_trip.estimate_ns == 80 * MS
    under_way = playout.next_mark(100 * MS)
    assert not playout.is_probe_due()
    playout.mark_echoed(under_way, 170 * MS)
    assert playout.round_trip.estimate_ns == 75 * MS
    send(playout, A, 100, at=200)
    assert not playout.is_probe_due()
    playout.mark_echoed(playout.next_mark(200 * MS), 240 * MS)
    assert playout.round_trip.estimate_ns == 75 * MS
    assert playout.is_probe_due()


def test_the_queue_holds_exactly_ten_minutes() -> None:
    playout = Playout()
    assert MAX_QUEUED_SAMPLES * SAMPLE_NS == 600 * SECOND
    assert playout.has_capacity(MAX_QUEUED_SAMPLES, 0)
    assert not playout.has_capacity(MAX_QUEUED_SAMPLES + 1, 0)
    playout.audio_sent(A, MAX_QUEUED_SAMPLES, 0)
    assert not playout.has_capacity(1, 0)
    assert playout.has_capacity(160, 20 * MS)
    assert not playout.has_capacity(161, 20 * MS)


def test_a_late_player_has_less_capacity() -> None:
    playout = late_player()  # at 1500, 650 ms are queued
    assert playout.has_capacity(MAX_QUEUED_SAMPLES - 650 * 8, 1500 * MS)
    assert not playout.has_capacity(MAX_QUEUED_SAMPLES - 650 * 8 + 1, 1500 * MS)


def test_confirmed_audio_frees_capacity() -> None:
    playout = Playout()
    playout.audio_sent(A, MAX_QUEUED_SAMPLES, 0)
    playout.mark_echoed(playout.next_mark(0), 100 * MS)
    assert playout.has_capacity(MAX_QUEUED_SAMPLES, 100 * MS)


# Property tests: a simulated player.


@define
class Player:
    """A player of samples, which starts `delay_ns` after audio finds it idle."""

    delay_ns: int
    played: list[tuple[int, AudioSource]] = field(factory=list[tuple[int, AudioSource]])
    end_ns: int | None = None

    def add(self, source: AudioSource, samples: int, now: int) -> None:
        if self.end_ns is None or self.end_ns < now:
            self.end_ns = now + self.delay_ns
        for _ in range(samples):
            self.end_ns += SAMPLE_NS
            self.played.append((self.end_ns, source))

    def mark_due(self, now: int) -> int:
        return now if self.end_ns is None else max(now, self.end_ns)

    def heard(self, now: int) -> dict[AudioSource, int]:
        count: dict[AudioSource, int] = {}
        for end_ns, source in self.played:
            count[source] = count.get(source, 0) + (end_ns <= now)
        return count


@frozen
class Network:
    """The trip of a message to the player, and of its echo back."""

    there_ns: int
    back_ns: int


@define
class Call:
    """A playout, and the player that it models. Echoes reach it when they are due."""

    network: Network
    player: Player
    playout: Playout = field(factory=Playout)
    now: int = 0
    _under_way: list[tuple[int, str]] = field(factory=list[tuple[int, str]])

    def wait(self, duration_ns: int) -> None:
        until = self.now + duration_ns
        while self._under_way and self._under_way[0][0] <= until:
            self.now, name = self._under_way.pop(0)
            assert self.playout.mark_echoed(name, self.now) is not None
        self.now = until

    def send(self, source: AudioSource, samples: int) -> None:
        self.playout.audio_sent(source, samples, self.now)
        self.player.add(source, samples, self.now + self.network.there_ns)

    def mark(self) -> None:
        due = self.player.mark_due(self.now + self.network.there_ns)
        self._under_way.append((due + self.network.back_ns, self.playout.next_mark(self.now)))

    def estimated(self) -> dict[AudioSource, int]:
        return {each.source: each.estimated_samples for each in self.playout.positions(self.now)}

    def heard_when_a_clear_arrives(self) -> dict[AudioSource, int]:
        return self.player.heard(self.now + self.network.there_ns)


trips = st.integers(0, 400 * MS)
networks = st.builds(Network, trips, trips)
steps = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 30 * MS), st.integers(0, 3 * SECOND)),
        st.sampled_from([A, B, C, D]),
        st.integers(1, 400),
        st.booleans(),
    ),
    max_size=20,
)


def talk(call: Call, steps: list[tuple[int, AudioSource, int, bool]]) -> None:
    """Send audio, with marks behind some of it. At each step the estimate is, to the sample, what
    will have been played when a clear sent now arrives."""
    for gap_ns, source, samples, is_marked in steps:
        call.wait(gap_ns)
        assert call.estimated() == call.heard_when_a_clear_arrives()
        call.send(source, samples)
        if is_marked:
            call.mark()


@settings(max_examples=60)
@given(networks, steps, st.integers(0, 1), st.integers(0, SECOND))
def test_the_estimate_is_exact_without_jitter(
    network: Network, steps: list[tuple[int, AudioSource, int, bool]], probes: int, rest_ns: int
) -> None:
    call = Call(network, Player(delay_ns=0))
    for _ in range(probes):
        call.mark()
    talk(call, steps)
    call.wait(rest_ns)
    assert call.estimated() == call.heard_when_a_clear_arrives()


@settings(max_examples=60)
@given(networks, st.integers(25 * MS, SECOND), steps, st.integers(0, SECOND))
def test_the_estimate_is_exact_with_a_learned_start_delay(
    network: Network, delay_ns: int, steps: list[tuple[int, AudioSource, int, bool]], rest_ns: int
) -> None:
    """A shorter one might be jitter, as far as one probe and one echo show it."""
    call = Call(network, Player(delay_ns))
    call.mark()
    call.wait(SECOND)
    call.send(A, 80)
    call.mark()
    call.wait(3 * SECOND)
    talk(call, steps)
    call.wait(rest_ns)
    assert call.estimated() == call.heard_when_a_clear_arrives()


# Property tests: any order of steps.


@frozen
class Sent:
    source: AudioSource
    samples: int


@frozen
class Completed:
    source: AudioSource


@frozen
class Echo:
    """The echo of the mark that many before the last, or of any name."""

    name: int | str


Step = Sent | Completed | Echo | str
anything = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 3 * SECOND)),
        st.one_of(
            st.builds(Sent, st.sampled_from([A, B, C, D]), st.integers(1, 8000)),
            st.builds(Completed, st.sampled_from([A, B, C, D])),
            st.builds(
                Echo,
                st.one_of(st.integers(0, 5), st.text(max_size=5), st.from_regex(r"\d{1,3}")),
            ),
            st.sampled_from(["mark", "mark", "mark", "clear", "restart", "r1", "r2"]),
        ),
    ),
    max_size=40,
)


@define
class ModelledPlayout:
    """A playout, and what must be true of it after any step."""

    playout: Playout = field(factory=Playout)
    now: int = 0
    names: list[str] = field(factory=list[str])
    stale: set[str] = field(factory=set[str])
    sent: dict[AudioSource, int] = field(factory=dict[AudioSource, int])
    complete: set[AudioSource] = field(factory=set[AudioSource])
    confirmed: dict[AudioSource, int] = field(factory=dict[AudioSource, int])
    started: set[AudioSource] = field(factory=set[AudioSource])

    def apply(self, step: Step) -> None:
        match step:
            case Sent(source, samples):
                self._take_progress(self.playout.audio_sent(source, samples, self.now))
                self.sent[source] = self.sent.get(source, 0) + samples
            case Completed(source):
                self.complete |= {source} & set(self.sent)
                self._take_progress(self.playout.source_completed(source))
            case Echo(name):
                self._echo(name if isinstance(name, str) else "".join(self.names[-name - 1 :][:1]))
            case "mark":
                self.names.append(self.playout.next_mark(self.now))
            case "clear":
                self.playout.clear(self.now)
                self._start_anew(kept=set())
            case "restart":
                self.playout.restart()
                self._start_anew(kept=set(self.sent) - self.complete)
            case response_id:
                self.complete |= {
                    source
                    for source in self.sent
                    if isinstance(source, PartKey) and source.response_id == response_id
                }
                self._take_progress(self.playout.response_completed(response_id))

    def check(self) -> None:
        assert len(set(self.names)) == len(self.names)
        positions = self.playout.positions(self.now)
        assert {each.source: each.sent_samples for each in positions} == self.sent
        assert {each.source for each in positions if each.is_complete} == self.complete
        for each in positions:
            assert self.confirmed.get(each.source, 0) <= each.confirmed_samples
            assert each.confirmed_samples <= each.estimated_samples <= each.sent_samples
            self.confirmed[each.source] = each.confirmed_samples

    def _echo(self, name: str) -> None:
        before = [each.confirmed_samples for each in self.playout.positions(self.now)]
        progress = self.playout.mark_echoed(name, self.now)
        if name in self.stale:
            assert progress == NOTHING
        if progress is None or name in self.stale:
            assert [each.confirmed_samples for each in self.playout.positions(self.now)] == before
        if progress is not None:
            assert name in self.names
            self._take_progress(progress)

    def _take_progress(self, progress: PlaybackProgress) -> None:
        assert not self.started & set(progress.started)
        self.started |= set(progress.started)
        assert set(progress.finished) <= self.complete & self.started
        known = {each.source for each in self.playout.positions(self.now)}
        for source in {*progress.finished, *(self.complete - known)}:
            del self.sent[source]
            self.confirmed.pop(source, None)
            self.complete.discard(source)
            self.started.discard(source)

    def _start_anew(self, kept: set[AudioSource]) -> None:
        self.stale = set(self.names)
        self.sent = {source: samples for source, samples in self.sent.items() if source in kept}
        self.complete.clear()
        self.confirmed.clear()
        self.started &= kept


@given(anything)
def test_positions_are_in_order_after_any_steps(
    steps: list[tuple[int, Step]],
) -> None:
    model = ModelledPlayout()
    for gap_ns, step in steps:
        model.now += gap_ns
        model.apply(step)
        model.check()


# Memory.


def size(playout: Playout) -> int:
    return len(pickle.dumps(playout))


def test_a_long_call_takes_no_more_memory() -> None:
    playout = Playout()
    sizes: list[int] = []
    for number in range(600):
        now = (6 * number + 1) * SECOND
        part = PartKey(1, f"r{number:03}", f"i{number:03}", 0)
        marks: list[str] = []
        for _ in range(25):
            playout.audio_sent(part, 800, now)
            marks.append(playout.next_mark(now))
        for mark in marks:
            playout.mark_echoed(mark, now + 3 * SECOND)
        playout.source_completed(part)
        sizes.append(size(playout))
    assert max(sizes[100:]) <= sizes[20] + 64


def test_marks_without_echoes_take_limited_memory() -> None:
    playout = Playout()
    sizes: list[int] = []
    name = ""
    for frame in range(45_000):
        now = samples_to_ns(160 * frame)
        playout.audio_sent(A, 160, now)
        name = playout.next_mark(now)
        if frame in (34_999, 44_999):
            sizes.append(size(playout))
    assert sizes[1] <= sizes[0] * 1.05
    assert playout.mark_echoed(name, 900_000 * MS) == PlaybackProgress(started=(A,))
    assert not playout.is_playing(900_000 * MS)


def test_the_oldest_heard_parts_without_an_end_are_forgotten() -> None:
    playout = Playout()
    for number in range(1200):
        playout.audio_sent(PartKey(1, "r", str(number), 0), 1, 0)
    playout.mark_echoed(playout.next_mark(0), MS)
    for number in range(1200, 1300):
        playout.audio_sent(PartKey(1, "r", str(number), 0), 1, SECOND)
        playout.mark_echoed(playout.next_mark(SECOND), SECOND)
    known = [name_of(each) for each in playout.positions(SECOND)]
    assert known == [str(number) for number in range(100, 1300)]


def test_too_many_runs_are_refused_until_some_are_heard() -> None:
    playout = Playout()
    pieces = 0
    while playout.has_capacity(1, 0):
        playout.audio_sent((A, B)[pieces % 2], 1, 0)
        pieces += 1
    assert pieces == 4096
    assert playout.mark_echoed(playout.next_mark(0), MS) == PlaybackProgress(started=(A, B))
    assert playout.has_capacity(1, 0)


def test_runs_that_must_have_been_heard_free_capacity() -> None:
    playout = Playout()
    for piece in range(4096):
        playout.audio_sent((A, B)[piece % 2], 1, 0)
    assert not playout.has_capacity(1, 2 * SECOND)
    assert playout.has_capacity(1, 3 * SECOND)
    assert playout.audio_sent(A, 1, 3 * SECOND) == PlaybackProgress(started=(A, B))
