import pickle
from collections.abc import Iterable

import pytest
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.downlink.playout import (
    CHECKPOINT_SAMPLES,
    MAX_QUEUED_SAMPLES,
    PlaybackProgress,
    Playout,
)
from twilio_realtime_core.machine.units import MS, SAMPLE_NS, SECOND, samples_to_ns
from twilio_realtime_core.values.playback_position import PartKey, PlaybackPosition

A = PartKey(1, "r1", "a", 0)
B = PartKey(1, "r1", "b", 0)
C = PartKey(1, "r2", "c", 0)
NOTHING = PlaybackProgress()


def send(playout: Playout, part: PartKey, ms: int, at: int) -> PlaybackProgress:
    """Send `ms` of audio at `at` (ms)."""
    return playout.audio_sent(part, ms * 8, at * MS)


def heard(playout: Playout, at: int) -> dict[str, int]:
    """How much of each item (ms) a clear at `at` (ms) leaves heard."""
    return {each.part.item_id: each.estimated_samples // 8 for each in playout.positions(at * MS)}


def confirmed(playout: Playout) -> dict[str, int]:
    """How much of each item (ms) marks confirm."""
    return {each.part.item_id: each.confirmed_samples // 8 for each in playout.positions(0)}


def probe(playout: Playout, at: int, round_trip: int) -> None:
    """Measure the round trip; times in ms."""
    assert playout.is_probe_due()
    name = playout.next_mark(at * MS)
    assert playout.mark_echoed(name, (at + round_trip) * MS) == NOTHING


# The queue


def test_nothing_sent_is_nothing_heard() -> None:
    playout = Playout()
    assert playout.positions(SECOND) == []
    assert not playout.is_playing(SECOND)
    assert not playout.is_final_mark_due()
    assert not playout.is_checkpoint_due(SECOND)


def test_audio_is_heard_as_time_passes_and_never_beyond_what_was_sent() -> None:
    playout = Playout()
    send(playout, A, 200, at=1000)
    assert [heard(playout, at)["a"] for at in (1000, 1050, 1200, 1500)] == [0, 50, 200, 200]


def test_a_sample_counts_when_all_of_it_has_been_played() -> None:
    playout = Playout()
    playout.audio_sent(A, 8, SECOND)
    before, after = (playout.positions(SECOND + SAMPLE_NS - early)[0] for early in (1, 0))
    assert (before.estimated_samples, after.estimated_samples) == (0, 1)


def test_a_single_sample_is_audio_too() -> None:
    playout = Playout()
    playout.audio_sent(A, 1, 0)
    assert playout.is_playing(0)
    assert playout.is_checkpoint_due(0)
    playout.audio_sent(A, 1, 0)
    assert [playout.positions(n * SAMPLE_NS)[0].estimated_samples for n in (0, 1, 2)] == [0, 1, 2]


def test_what_is_sent_faster_than_it_plays_waits_its_turn() -> None:
    playout = Playout()
    send(playout, A, 200, at=0)
    send(playout, B, 100, at=10)
    send(playout, C, 100, at=20)
    assert heard(playout, 150) == {"a": 150, "b": 0, "c": 0}
    assert heard(playout, 250) == {"a": 200, "b": 50, "c": 0}
    assert heard(playout, 399) == {"a": 200, "b": 100, "c": 99}


def test_silence_while_nothing_comes_is_not_heard_as_audio() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    send(playout, A, 100, at=500)
    assert [heard(playout, at)["a"] for at in (300, 500, 550, 700)] == [100, 100, 150, 200]


def test_many_short_deltas_are_heard_as_one_long_one() -> None:
    playout = Playout()
    for at in range(50):
        send(playout, A, 20, at)
    assert [heard(playout, at)["a"] for at in (49, 333, 1000)] == [49, 333, 1000]


def test_an_item_that_goes_on_after_another_is_heard_in_both_places() -> None:
    playout = Playout()
    for part in (A, B, A):
        send(playout, part, 100, at=0)
    assert heard(playout, 150) == {"a": 100, "b": 50}
    assert heard(playout, 250) == {"a": 150, "b": 100}


def test_content_parts_of_an_item_are_told_apart() -> None:
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


def test_positions_are_right_in_the_middle_of_128_queued_items_whose_echoes_are_late() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=100)
    marks: list[str] = []
    for number in range(128):
        send(playout, PartKey(1, "r1", str(number), 0), 100, at=1000)
        marks.append(playout.next_mark(SECOND))
    for number in range(64):
        playout.mark_echoed(marks[number], (1000 + 100 * (number + 1) + 100) * MS)
    at_clear = heard(playout, 1000 + 6_530)
    assert [at_clear[str(number)] for number in (64, 65, 66)] == [100, 30, 0]


# Marks


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


def test_what_is_confirmed_is_heard_even_if_the_model_is_not_as_far() -> None:
    playout = Playout()
    send(playout, A, 400, at=0)
    playout.mark_echoed(playout.next_mark(0), 10 * MS)
    assert heard(playout, 20) == {"a": 400}


def test_an_echo_answers_for_the_marks_before_it_and_comes_once() -> None:
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
def test_an_echo_of_no_mark_confirms_nothing(name: str) -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    assert playout.next_mark(0) == "0"
    assert playout.mark_echoed(name, 150 * MS) is None
    assert confirmed(playout) == {"a": 0}


def test_a_second_mark_in_the_same_place_tells_nothing_more() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    first, second = playout.next_mark(0), playout.next_mark(0)
    assert playout.mark_echoed(first, 180 * MS) == PlaybackProgress(started=(A,))
    assert playout.positions(180 * MS)[0].estimated_samples == 800
    assert playout.mark_echoed(second, 500 * MS) == NOTHING
    assert playout.round_trip.estimate_ns == 80 * MS


def test_a_part_is_finished_once_it_is_complete_and_confirmed_in_either_order() -> None:
    playout = Playout()
    for part in (A, B):
        send(playout, part, 100, at=0)
    marks = [playout.next_mark(0)]
    assert playout.part_completed(A) == NOTHING
    assert playout.mark_echoed(marks[0], 220 * MS) == PlaybackProgress(
        started=(A, B), finished=(A,)
    )
    assert playout.part_completed(B) == PlaybackProgress(finished=(B,))
    assert playout.positions(SECOND) == []


def test_a_part_is_not_finished_while_some_of_it_is_unconfirmed() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    mark = playout.next_mark(0)
    send(playout, A, 100, at=0)
    playout.part_completed(A)
    assert playout.mark_echoed(mark, 120 * MS) == PlaybackProgress(started=(A,))
    assert playout.positions(150 * MS) == [
        PlaybackPosition(A, 800, 1200, sent_samples=1600, is_complete=True)
    ]


def test_the_end_of_a_response_completes_its_parts_and_no_others() -> None:
    playout = Playout()
    for part in (A, B, C):
        send(playout, part, 100, at=0)
    playout.response_done("r1")
    assert [each.is_complete for each in playout.positions(0)] == [True, True, False]
    assert playout.mark_echoed(playout.next_mark(0), 320 * MS) == PlaybackProgress(
        (A, B, C), finished=(A, B)
    )
    assert playout.response_done("r2") == PlaybackProgress(finished=(C,))


def test_the_end_of_a_part_without_audio_is_nothing() -> None:
    playout = Playout()
    assert playout.part_completed(A) == NOTHING
    assert playout.response_done("r1") == NOTHING


# A player behind the model


def late_player() -> Playout:
    """A round trip of 80 ms; of 1000 ms of A sent at 1000, the echo of a mark after the first 200
    tells that the player is 150 ms behind."""
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    mark = playout.next_mark(1000 * MS)
    send(playout, A, 800, at=1000)
    playout.mark_echoed(mark, (1200 + 80 + 150) * MS)
    return playout


def test_a_late_echo_shifts_the_model() -> None:
    playout = late_player()
    assert heard(playout, 1500) == {"a": 350}


def test_without_a_measured_round_trip_the_first_echo_is_taken_to_be_timely() -> None:
    playout = Playout()
    send(playout, A, 200, at=1000)
    mark = playout.next_mark(1000 * MS)
    send(playout, A, 800, at=1000)
    playout.mark_echoed(mark, 1430 * MS)
    assert heard(playout, 1500) == {"a": 500}
    assert playout.round_trip.estimate_ns == 230 * MS


def test_a_timely_echo_ends_the_shift() -> None:
    playout = late_player()
    playout.mark_echoed(playout.next_mark(1500 * MS), (2000 + 80) * MS)
    send(playout, B, 500, at=2100)
    assert heard(playout, 2300) == {"a": 1000, "b": 200}


def test_audio_that_finds_a_late_player_busy_follows_without_a_gap() -> None:
    playout = late_player()  # busy until 2150
    send(playout, A, 100, at=2100)
    send(playout, B, 100, at=2110)
    assert heard(playout, 2240) == {"a": 1090, "b": 0}
    assert heard(playout, 2300) == {"a": 1100, "b": 50}


def test_audio_that_finds_a_late_player_idle_is_as_late_again() -> None:
    playout = late_player()
    send(playout, A, 100, at=2200)
    assert [heard(playout, at)["a"] for at in (2200, 2350, 2400)] == [1000, 1000, 1050]


def test_a_mark_that_finds_the_player_idle_does_not_make_it_late() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    playout.mark_echoed(playout.next_mark(2000 * MS), 2080 * MS)  # the end of the part came late
    send(playout, B, 200, at=3000)
    assert heard(playout, 3100) == {"a": 200, "b": 100}


def test_a_mark_that_finds_a_late_player_idle_tells_nothing_new() -> None:
    playout = late_player()
    playout.mark_echoed(playout.next_mark(4000 * MS), 4080 * MS)
    send(playout, B, 200, at=5000)
    assert heard(playout, 5200) == {"a": 1000, "b": 50}


def test_an_echo_late_by_jitter_alone_moves_nothing() -> None:
    playout = late_player()
    playout.mark_echoed(playout.next_mark(1500 * MS), (2150 + 80 + 200) * MS)
    send(playout, B, 200, at=3000)
    assert heard(playout, 3200) == {"a": 1000, "b": 50}


def test_a_player_that_has_run_dry_unseen_is_believed_to_be_late_once_three_echoes_say_so() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    marks: list[str] = []
    for _ in range(8):
        send(playout, A, 250, at=1000)
        marks.append(playout.next_mark(SECOND))
    for number, late in enumerate((0, 90, 90)):
        playout.mark_echoed(marks[number], (1000 + 250 * (number + 1) + late + 80) * MS)
    assert heard(playout, 1900) == {"a": 900}
    playout.mark_echoed(marks[3], (2000 + 90 + 80) * MS)
    assert heard(playout, 2200) == {"a": 1110}


def test_the_start_of_a_burst_is_expected_as_late_as_the_middle_one_of_earlier_bursts() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    for number, late in enumerate((10, 300, 40)):
        at = 1000 + 2000 * number
        send(playout, A, 200, at)
        playout.mark_echoed(playout.next_mark(at * MS), (at + 200 + late + 80) * MS)
    assert playout.start_delay_history == StartDelayHistory((10 * MS, 300 * MS, 40 * MS))
    send(playout, B, 500, at=9000)
    assert heard(playout, 9100) == {"a": 600, "b": 60}


def test_before_its_first_burst_a_call_expects_what_earlier_calls_have_shown() -> None:
    playout = Playout(StartDelayHistory((120 * MS,)))
    send(playout, A, 500, at=1000)
    assert heard(playout, 1300) == {"a": 180}
    assert playout.start_delay_history == StartDelayHistory()
    playout.restart()
    send(playout, B, 500, at=2000)
    assert heard(playout, 2300)["b"] == 180


def test_what_has_no_echo_yet_had_not_been_reached_a_round_trip_ago() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 20, at=1000)
    mark = playout.next_mark(SECOND)
    send(playout, A, 980, at=1000)
    assert [heard(playout, at)["a"] for at in (1050, 1100, 1101, 1400)] == [50, 100, 100, 100]
    playout.mark_echoed(mark, (1020 + 300 + 80) * MS)
    assert heard(playout, 1400) == {"a": 100}
    assert heard(playout, 1500) == {"a": 200}


def test_of_a_player_that_is_known_a_missing_echo_tells_nothing() -> None:
    playout = late_player()
    playout.next_mark(1000 * MS)
    assert heard(playout, 2400) == {"a": 1000}


def test_a_phone_that_has_never_echoed_is_not_waited_for() -> None:
    playout = Playout()
    playout.round_trip.ping_sent(b"x", 0)
    playout.round_trip.pong(b"x", 80 * MS)
    send(playout, A, 20, at=1000)
    playout.next_mark(SECOND)
    send(playout, A, 980, at=1000)
    assert heard(playout, 1600) == {"a": 600}


def test_a_probe_under_way_does_not_hide_the_first_mark() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    playout.next_mark(990 * MS)
    send(playout, A, 20, at=1000)
    playout.next_mark(SECOND)
    send(playout, A, 980, at=1000)
    assert heard(playout, 1600) == {"a": 100}


def test_audio_that_a_late_player_is_still_busy_with_makes_one_burst_of_two() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    mark = playout.next_mark(SECOND)
    send(playout, B, 200, at=1250)  # the first seems to have ended at 1200
    playout.mark_echoed(mark, (1200 + 150 + 80) * MS)
    assert heard(playout, 1500) == {"a": 200, "b": 150}


# How sure it is


def margins(playout: Playout, at: int) -> dict[str, int]:
    """How far the estimate of each item may be off (ms)."""
    return {each.part.item_id: each.margin_samples // 8 for each in playout.positions(at * MS)}


def test_before_anything_is_known_of_the_line_all_may_be_heard_or_nothing() -> None:
    playout = Playout()
    send(playout, A, 200, at=1000)
    assert margins(playout, 1050) == {"a": 150}
    assert margins(playout, 1150) == {"a": 150}


def test_before_the_first_burst_of_all_a_start_delay_cannot_be_told() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 200, at=1000)
    assert margins(playout, 1150) == {"a": 150}


def test_the_margin_of_a_burst_is_how_start_delays_and_round_trips_differ() -> None:
    playout = Playout(StartDelayHistory((20 * MS, 60 * MS)))
    probe(playout, at=0, round_trip=80)
    probe(playout, at=100, round_trip=85)
    send(playout, A, 500, at=1000)
    mark = playout.next_mark(SECOND)
    send(playout, A, 500, at=1000)
    assert margins(playout, 1200) == {"a": 45}
    playout.mark_echoed(mark, 1605 * MS)
    assert margins(playout, 1650) == {"a": 5}


def test_what_is_confirmed_or_not_sent_yet_bounds_the_margin() -> None:
    playout = Playout(StartDelayHistory((0, 900 * MS)))
    probe(playout, at=0, round_trip=80)
    send(playout, A, 100, at=1000)
    send(playout, B, 400, at=1000)
    assert margins(playout, 1150) == {"a": 100, "b": 350}


# The first frame of a burst


def test_audio_that_finds_the_player_idle_begins_a_burst() -> None:
    playout = Playout()
    assert playout.starts_burst(SECOND)
    send(playout, A, 100, at=1000)
    assert not playout.starts_burst(1100 * MS)
    assert playout.starts_burst(1101 * MS)
    playout.clear()
    assert playout.starts_burst(1000 * MS)


def test_a_burst_close_behind_a_mark_has_no_first_frame_of_its_own() -> None:
    playout = Playout()
    send(playout, A, 100, at=1000)
    playout.next_mark(1000 * MS)
    assert not playout.starts_burst(1249 * MS)
    assert playout.starts_burst(1250 * MS)


# When it will be silent


def test_it_is_silent_at_the_latest_two_seconds_after_the_models_end() -> None:
    playout = late_player()
    assert playout.silent_at_ns == 4150 * MS
    assert playout.is_playing(4149 * MS)
    assert not playout.is_playing(4150 * MS)
    playout.clear()
    assert playout.silent_at_ns is None


def test_an_echo_before_its_time_confirms_and_teaches_nothing() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 400, at=1000)
    playout.mark_echoed(playout.next_mark(SECOND), 1100 * MS)
    assert playout.round_trip.estimate_ns == 80 * MS
    assert playout.start_delay_history == StartDelayHistory()


def test_a_quick_echo_behind_audio_bounds_the_round_trip() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=130)
    send(playout, A, 100, at=1000)
    playout.mark_echoed(playout.next_mark(SECOND), 1180 * MS)
    assert playout.round_trip.estimate_ns == 80 * MS


# Marks that do not come back


def test_audio_that_no_mark_confirms_may_be_playing_for_two_seconds_more() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    assert playout.is_playing(2099 * MS)
    assert not playout.is_playing(2100 * MS)


def test_what_must_have_been_played_counts_as_heard_though_no_mark_came_back() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    send(playout, A, 20, at=0)
    playout.next_mark(0)
    send(playout, A, 780, at=0)
    assert heard(playout, 2799) == {"a": 100}
    assert heard(playout, 2800) == {"a": 800}
    assert not playout.is_playing(2800 * MS)


def test_lost_marks_are_given_up_when_later_audio_is_sent() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    lost = playout.next_mark(0)
    playout.part_completed(A)
    assert send(playout, B, 100, at=2100) == PlaybackProgress(started=(A,), finished=(A,))
    assert heard(playout, 2150) == {"b": 50}
    assert playout.mark_echoed(lost, 2200 * MS) == NOTHING
    assert confirmed(playout) == {"b": 0}
    assert playout.mark_echoed(playout.next_mark(2100 * MS), 2250 * MS) == PlaybackProgress(
        started=(B,)
    )


def test_marks_are_not_given_up_while_they_may_still_come() -> None:
    playout = Playout()
    send(playout, A, 100, at=0)
    mark = playout.next_mark(0)
    assert send(playout, B, 100, at=2099) == NOTHING
    assert playout.mark_echoed(mark, 2100 * MS) == PlaybackProgress(started=(A,))


def test_a_late_player_gets_longer() -> None:
    playout = late_player()
    assert playout.is_playing(4149 * MS)
    assert not playout.is_playing(4150 * MS)


# Clear, and another stream


def test_a_clear_empties_the_queue_and_makes_older_echoes_mean_nothing() -> None:
    playout = Playout()
    send(playout, A, 500, at=0)
    stale = playout.next_mark(0)
    playout.clear()
    assert not playout.is_playing(10 * MS)
    assert playout.positions(10 * MS) == []
    send(playout, B, 500, at=100)
    fresh = playout.next_mark(100 * MS)
    assert playout.mark_echoed(stale, 150 * MS) == NOTHING
    assert heard(playout, 200) == {"b": 100}
    assert confirmed(playout) == {"b": 0}
    assert playout.mark_echoed(fresh, 620 * MS) == PlaybackProgress(started=(B,))


def test_after_a_clear_the_player_is_expected_to_be_as_late_as_before() -> None:
    playout = late_player()
    playout.clear()
    send(playout, B, 500, at=3000)
    assert heard(playout, 3200) == {"b": 50}
    assert [each.estimated_samples for each in playout.positions(3149 * MS)] == [0]


def test_another_stream_is_measured_anew_and_confirms_nothing_of_the_old() -> None:
    playout = late_player()
    stale = playout.next_mark(1500 * MS)
    playout.part_completed(A)
    playout.restart()
    assert playout.round_trip.estimate_ns is None
    assert playout.positions(1500 * MS) == []
    assert playout.mark_echoed(stale, 2300 * MS) == NOTHING
    send(playout, B, 500, at=3000)
    assert heard(playout, 3200) == {"b": 200}


def test_a_part_that_goes_on_in_another_stream_keeps_its_positions() -> None:
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
    assert playout.part_completed(A) == PlaybackProgress(finished=(A,))


def test_a_part_of_which_another_stream_gets_nothing_does_not_finish() -> None:
    playout = Playout()
    send(playout, A, 500, at=0)
    playout.restart()
    assert playout.part_completed(A) == NOTHING
    assert playout.positions(SECOND) == []


# Which marks to send


def marks_of(sends: Iterable[tuple[int, int]]) -> int:
    """How many checkpoint marks go with audio sent as (ms, at)."""
    playout = Playout()
    count = 0
    for ms, at in sends:
        send(playout, A, ms, at)
        if playout.is_checkpoint_due(at * MS):
            playout.next_mark(at * MS)
            count += 1
        assert not playout.is_checkpoint_due(at * MS)
    return count


def test_three_short_deltas_get_a_mark_after_the_first_and_at_the_tail() -> None:
    playout = Playout()
    send(playout, A, 100, at=5)
    assert playout.is_checkpoint_due(5 * MS)
    playout.next_mark(5 * MS)
    for _ in range(2):
        send(playout, A, 100, at=5)
        assert not playout.is_checkpoint_due(5 * MS)
    assert playout.is_final_mark_due()
    playout.next_mark(5 * MS)
    assert not playout.is_final_mark_due()


@pytest.mark.parametrize("start", [0, 1000, -1000])
def test_the_first_audio_gets_a_mark_whatever_the_clock_says(start: int) -> None:
    playout = Playout()
    send(playout, A, 20, start)
    assert playout.is_checkpoint_due(start * MS)
    assert playout.has_capacity(MAX_QUEUED_SAMPLES - 160, start * MS)
    assert heard(playout, start + 10) == {"a": 10}


def test_the_next_mark_is_due_after_250_ms_of_audio_or_of_time() -> None:
    assert CHECKPOINT_SAMPLES * SAMPLE_NS == 250 * MS
    for samples, at, due in [(1999, 249, False), (2000, 249, True), (1, 250, True)]:
        playout = Playout()
        send(playout, A, 20, at=0)
        playout.next_mark(0)
        playout.audio_sent(A, samples, at * MS)
        assert playout.is_checkpoint_due(at * MS) is due


def test_audio_sent_at_once_gets_four_marks_a_second() -> None:
    assert marks_of((20, 0) for _ in range(500)) == 1 + (500 - 1) // 13


def test_audio_sent_as_it_plays_gets_four_marks_a_second() -> None:
    assert marks_of((20, at) for at in range(0, 10_000, 20)) == 1 + 9_980 // 260


def test_a_long_delta_gets_one_mark() -> None:
    assert marks_of((2000, 10 * at) for at in range(20)) == 20


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 400)), max_size=40))
def test_checkpoint_marks_are_at_most_four_a_second_of_audio_and_four_of_time(
    steps: list[tuple[int, int]],
) -> None:
    ms = at = 0
    sends: list[tuple[int, int]] = []
    for length, gap in steps:
        ms, at = ms + length, at + gap
        sends.append((length, at))
    elapsed = at - sends[0][1] if sends else 0
    assert marks_of(sends) <= (1 if sends else 0) + ms * 8 // CHECKPOINT_SAMPLES + elapsed // 250


def test_a_probe_is_due_only_where_its_echo_would_come_at_once() -> None:
    playout = Playout()
    probe(playout, at=0, round_trip=80)
    assert playout.round_trip.estimate_ns == 80 * MS
    under_way = playout.next_mark(100 * MS)
    assert not playout.is_probe_due()
    playout.mark_echoed(under_way, 170 * MS)
    assert playout.round_trip.estimate_ns == 70 * MS
    send(playout, A, 100, at=200)
    assert not playout.is_probe_due()
    playout.mark_echoed(playout.next_mark(200 * MS), 240 * MS)
    assert playout.round_trip.estimate_ns == 70 * MS
    assert playout.is_probe_due()


def test_the_queue_holds_ten_minutes_and_not_a_sample_more() -> None:
    playout = Playout()
    assert MAX_QUEUED_SAMPLES * SAMPLE_NS == 600 * SECOND
    assert playout.has_capacity(MAX_QUEUED_SAMPLES, 0)
    assert not playout.has_capacity(MAX_QUEUED_SAMPLES + 1, 0)
    playout.audio_sent(A, MAX_QUEUED_SAMPLES, 0)
    assert not playout.has_capacity(1, 0)
    assert playout.has_capacity(160, 20 * MS)
    assert not playout.has_capacity(161, 20 * MS)


def test_a_late_player_has_less_room() -> None:
    playout = late_player()  # at 1500, 650 ms wait
    assert playout.has_capacity(MAX_QUEUED_SAMPLES - 650 * 8, 1500 * MS)
    assert not playout.has_capacity(MAX_QUEUED_SAMPLES - 650 * 8 + 1, 1500 * MS)


def test_what_is_confirmed_makes_room() -> None:
    playout = Playout()
    playout.audio_sent(A, MAX_QUEUED_SAMPLES, 0)
    playout.mark_echoed(playout.next_mark(0), 100 * MS)
    assert playout.has_capacity(MAX_QUEUED_SAMPLES, 100 * MS)


# Against a player


@define
class Player:
    """The truth: plays sample after sample, `delay` (ns) after the first finds it idle."""

    delay: int
    played: list[tuple[int, PartKey]] = field(factory=list[tuple[int, PartKey]])
    end: int | None = None

    def add(self, part: PartKey, samples: int, now: int) -> None:
        if self.end is None or self.end < now:
            self.end = now + self.delay
        for _ in range(samples):
            self.end += SAMPLE_NS
            self.played.append((self.end, part))

    def mark_due(self, now: int) -> int:
        return now if self.end is None else max(now, self.end)

    def heard(self, now: int) -> dict[PartKey, int]:
        count: dict[PartKey, int] = {}
        for end, part in self.played:
            count[part] = count.get(part, 0) + (end <= now)
        return count


@frozen
class Line:
    """Trips in ns, there and back."""

    there: int
    back: int


@define
class Call:
    """A playout, and the player it should know about. Echoes reach it when they are due."""

    line: Line
    player: Player
    playout: Playout = field(factory=Playout)
    now: int = 0
    _under_way: list[tuple[int, str]] = field(factory=list[tuple[int, str]])

    def wait(self, duration: int) -> None:
        until = self.now + duration
        while self._under_way and self._under_way[0][0] <= until:
            self.now, name = self._under_way.pop(0)
            assert self.playout.mark_echoed(name, self.now) is not None
        self.now = until

    def send(self, part: PartKey, samples: int) -> None:
        self.playout.audio_sent(part, samples, self.now)
        self.player.add(part, samples, self.now + self.line.there)

    def mark(self) -> None:
        due = self.player.mark_due(self.now + self.line.there)
        self._under_way.append((due + self.line.back, self.playout.next_mark(self.now)))

    def estimated(self) -> dict[PartKey, int]:
        return {each.part: each.estimated_samples for each in self.playout.positions(self.now)}

    def heard_when_a_clear_arrives(self) -> dict[PartKey, int]:
        return self.player.heard(self.now + self.line.there)


trips = st.integers(0, 400 * MS)
lines = st.builds(Line, trips, trips)
steps = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 30 * MS), st.integers(0, 3 * SECOND)),
        st.sampled_from([A, B, C]),
        st.integers(1, 400),
        st.booleans(),
    ),
    max_size=20,
)


def talk(call: Call, steps: list[tuple[int, PartKey, int, bool]]) -> None:
    """Send audio, marks after some of it; at each step the estimate is what will have been played
    when a clear sent now arrives, to the sample."""
    for gap, part, samples, marked in steps:
        call.wait(gap)
        assert call.estimated() == call.heard_when_a_clear_arrives()
        call.send(part, samples)
        if marked:
            call.mark()


@settings(max_examples=60)
@given(lines, steps, st.integers(0, 1), st.integers(0, SECOND))
def test_on_a_steady_line_the_estimate_at_a_clear_is_what_the_player_has_played(
    line: Line, steps: list[tuple[int, PartKey, int, bool]], probes: int, rest: int
) -> None:
    call = Call(line, Player(delay=0))
    for _ in range(probes):
        call.mark()
    talk(call, steps)
    call.wait(rest)
    assert call.estimated() == call.heard_when_a_clear_arrives()


@settings(max_examples=60)
@given(lines, st.integers(1, SECOND), steps, st.integers(0, SECOND))
def test_once_learned_a_hidden_start_delay_is_allowed_for(
    line: Line, delay: int, steps: list[tuple[int, PartKey, int, bool]], rest: int
) -> None:
    call = Call(line, Player(delay))
    call.mark()
    call.wait(SECOND)
    call.send(A, 80)
    call.mark()
    call.wait(3 * SECOND)
    talk(call, steps)
    call.wait(rest)
    assert call.estimated() == call.heard_when_a_clear_arrives()


# Whatever comes


@frozen
class Sent:
    part: PartKey
    samples: int


@frozen
class Completed:
    part: PartKey


@frozen
class Echo:
    """Of the mark before last by so many, or by a name of its own."""

    name: int | str


Step = Sent | Completed | Echo | str
anything = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 3 * SECOND)),
        st.one_of(
            st.builds(Sent, st.sampled_from([A, B, C]), st.integers(1, 8000)),
            st.builds(Completed, st.sampled_from([A, B, C])),
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
class Witness:
    """Takes every step with a playout, and holds it to what must be true of any."""

    playout: Playout = field(factory=Playout)
    now: int = 0
    names: list[str] = field(factory=list[str])
    stale: set[str] = field(factory=set[str])
    sent: dict[PartKey, int] = field(factory=dict[PartKey, int])
    complete: set[PartKey] = field(factory=set[PartKey])
    confirmed: dict[PartKey, int] = field(factory=dict[PartKey, int])
    started: set[PartKey] = field(factory=set[PartKey])

    def take(self, step: Step) -> None:
        match step:
            case Sent(part, samples):
                self._note(self.playout.audio_sent(part, samples, self.now))
                self.sent[part] = self.sent.get(part, 0) + samples
            case Completed(part):
                self.complete |= {part} & set(self.sent)
                self._note(self.playout.part_completed(part))
            case Echo(name):
                self._echo(name if isinstance(name, str) else "".join(self.names[-name - 1 :][:1]))
            case "mark":
                self.names.append(self.playout.next_mark(self.now))
            case "clear":
                self.playout.clear()
                self._begin_anew(kept=set())
            case "restart":
                self.playout.restart()
                self._begin_anew(kept=set(self.sent) - self.complete)
            case response_id:
                self.complete |= {part for part in self.sent if part.response_id == response_id}
                self._note(self.playout.response_done(response_id))

    def check(self) -> None:
        assert len(set(self.names)) == len(self.names)
        heard = self.playout.positions(self.now)
        assert {each.part: each.sent_samples for each in heard} == self.sent
        assert {each.part for each in heard if each.is_complete} == self.complete
        for each in heard:
            assert self.confirmed.get(each.part, 0) <= each.confirmed_samples
            assert each.confirmed_samples <= each.estimated_samples <= each.sent_samples
            self.confirmed[each.part] = each.confirmed_samples

    def _echo(self, name: str) -> None:
        before = [each.confirmed_samples for each in self.playout.positions(self.now)]
        progress = self.playout.mark_echoed(name, self.now)
        if name in self.stale:
            assert progress == NOTHING
        if progress is None or name in self.stale:
            assert [each.confirmed_samples for each in self.playout.positions(self.now)] == before
        if progress is not None:
            assert name in self.names
            self._note(progress)

    def _note(self, progress: PlaybackProgress) -> None:
        assert not self.started & set(progress.started)
        self.started |= set(progress.started)
        assert set(progress.finished) <= self.complete & self.started
        known = {each.part for each in self.playout.positions(self.now)}
        for part in {*progress.finished, *(self.complete - known)}:
            del self.sent[part]
            self.confirmed.pop(part, None)
            self.complete.discard(part)
            self.started.discard(part)

    def _begin_anew(self, kept: set[PartKey]) -> None:
        self.stale = set(self.names)
        self.sent = {part: samples for part, samples in self.sent.items() if part in kept}
        self.complete.clear()
        self.confirmed.clear()
        self.started &= kept


@given(anything)
def test_whatever_comes_confirmed_is_at_most_heard_and_heard_at_most_sent(
    steps: list[tuple[int, Step]],
) -> None:
    witness = Witness()
    for gap, step in steps:
        witness.now += gap
        witness.take(step)
        witness.check()


# An hour of it


def size(playout: Playout) -> int:
    return len(pickle.dumps(playout))


def test_a_long_call_takes_no_more_memory_than_a_short_one() -> None:
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
        playout.part_completed(part)
        sizes.append(size(playout))
    assert max(sizes[100:]) <= sizes[1] + 64


def test_a_phone_that_echoes_nothing_costs_a_bounded_memory() -> None:
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


def test_of_parts_that_never_end_the_oldest_are_forgotten_once_they_are_heard() -> None:
    playout = Playout()
    for number in range(1200):
        playout.audio_sent(PartKey(1, "r", str(number), 0), 1, 0)
    playout.mark_echoed(playout.next_mark(0), MS)
    for number in range(1200, 1300):
        playout.audio_sent(PartKey(1, "r", str(number), 0), 1, SECOND)
        playout.mark_echoed(playout.next_mark(SECOND), SECOND)
    known = [each.part.item_id for each in playout.positions(SECOND)]
    assert known == [str(number) for number in range(100, 1300)]


def test_parts_without_number_in_short_turns_are_refused_until_some_are_heard() -> None:
    playout = Playout()
    pieces = 0
    while playout.has_capacity(1, 0):
        playout.audio_sent((A, B)[pieces % 2], 1, 0)
        pieces += 1
    assert pieces == 4096
    assert playout.mark_echoed(playout.next_mark(0), MS) == PlaybackProgress(started=(A, B))
    assert playout.has_capacity(1, 0)


def test_pieces_that_must_have_been_heard_by_now_leave_room() -> None:
    playout = Playout()
    for piece in range(4096):
        playout.audio_sent((A, B)[piece % 2], 1, 0)
    assert not playout.has_capacity(1, 2 * SECOND)
    assert playout.has_capacity(1, 3 * SECOND)
    assert playout.audio_sent(A, 1, 3 * SECOND) == PlaybackProgress(started=(A, B))
