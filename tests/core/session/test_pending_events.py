import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols.realtime import AppendAudio, ClientEvent, DeleteItem
from twilio_realtime_core.session.pending_events import (
    DROPPED_SAMPLES,
    MAX_PENDING_EVENTS,
    MAX_PENDING_SAMPLES,
    PendingEvents,
)


def audio(number: int) -> AppendAudio:
    return AppendAudio(str(number))


def event(number: int) -> DeleteItem:
    return DeleteItem(str(number))


def taken(pending: PendingEvents) -> list[ClientEvent]:
    return [each for each, _ in pending.take_all()]


def test_queued_events_are_taken_once_in_order() -> None:
    pending = PendingEvents()
    queued: list[ClientEvent] = [event(0), audio(1), event(2), audio(3)]
    for each in queued:
        assert pending.enqueue(each, 160 if isinstance(each, AppendAudio) else 0) == 0
    assert taken(pending) == queued
    assert taken(pending) == []


def test_ten_seconds_of_audio_are_kept() -> None:
    assert MAX_PENDING_SAMPLES == 80_000
    pending = PendingEvents()
    assert [pending.enqueue(audio(number), 160) for number in range(500)] == [0] * 500
    assert taken(pending) == [audio(number) for number in range(500)]


def test_the_oldest_audio_is_dropped_and_no_other_event() -> None:
    pending = PendingEvents()
    pending.enqueue(event(0))
    for number in range(500):
        pending.enqueue(audio(number), 160)
    pending.enqueue(event(1))
    assert pending.enqueue(audio(500), 160) == 51 * 160  # a second, in whole messages
    assert pending.enqueue(audio(501), 161) == 0
    kept = [audio(number) for number in range(51, 500)]
    assert taken(pending) == [event(0), *kept, event(1), audio(500), audio(501)]


def test_audio_longer_than_the_limit_is_dropped_itself() -> None:
    pending = PendingEvents()
    pending.enqueue(event(0))
    assert pending.enqueue(audio(1), MAX_PENDING_SAMPLES + 1) == MAX_PENDING_SAMPLES + 1
    assert pending.enqueue(audio(2), MAX_PENDING_SAMPLES) == 0
    assert taken(pending) == [event(0), audio(2)]


def test_one_event_too_many_is_refused() -> None:
    pending = PendingEvents()
    for number in range(MAX_PENDING_EVENTS):
        pending.check_capacity(1, 0)
        pending.enqueue(event(number))
    with pytest.raises(LocalProtocolError, match="wait for SessionReady"):
        pending.check_capacity(1, 0)
    assert taken(pending) == [event(number) for number in range(MAX_PENDING_EVENTS)]


def test_audio_takes_no_room_from_other_events() -> None:
    pending = PendingEvents()
    for number in range(MAX_PENDING_EVENTS):
        pending.enqueue(audio(number), 1)
    pending.check_capacity(1, 0)


def test_a_release_makes_room_for_everything() -> None:
    pending = PendingEvents()
    pending.enqueue(audio(0), MAX_PENDING_SAMPLES)
    for number in range(MAX_PENDING_EVENTS):
        pending.enqueue(event(number))
    pending.take_all()
    pending.check_capacity(1, 0)
    assert pending.enqueue(audio(1), MAX_PENDING_SAMPLES) == 0


@given(st.lists(st.one_of(st.just(0), st.integers(1, 60_000)), max_size=40))
def test_the_newest_audio_is_kept_within_the_limit(
    lengths: list[int],
) -> None:
    pending = PendingEvents()
    dropped = sum(pending.enqueue(audio(n), length) for n, length in enumerate(lengths))
    kept = [int(each.audio) for each in taken(pending) if isinstance(each, AppendAudio)]
    others = [n for n, length in enumerate(lengths) if not length]
    assert [n for n in kept if not lengths[n]] == others
    heard = [n for n in kept if lengths[n]]
    spoken = [n for n, length in enumerate(lengths) if length]
    assert heard == spoken[len(spoken) - len(heard) :]
    assert sum(lengths[n] for n in heard) + dropped == sum(lengths)
    assert sum(lengths[n] for n in heard) <= MAX_PENDING_SAMPLES
    if len(heard) < len(spoken):
        oldest_dropped = lengths[spoken[len(spoken) - len(heard) - 1]]
        assert (
            sum(lengths[n] for n in heard) + oldest_dropped > MAX_PENDING_SAMPLES - DROPPED_SAMPLES
        )


def test_audio_that_would_drop_itself_is_refused() -> None:
    pending = PendingEvents()
    pending.check_capacity(0, MAX_PENDING_SAMPLES)
    with pytest.raises(LocalProtocolError, match="wait for SessionReady"):
        pending.check_capacity(0, MAX_PENDING_SAMPLES + 1)
