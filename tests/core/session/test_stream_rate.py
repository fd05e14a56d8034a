"""What a stream may send."""

from hypothesis import given
from hypothesis import strategies as st

from calling import Call, audio, mark, media, start
from twilio_realtime_core import CallConfig, Close, FaultKind, Peer
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded, CallStarted, EndReason
from twilio_realtime_core.session.stream_rate import (
    MAX_MESSAGE_BURST,
    MAX_MESSAGES_PER_SECOND,
    StreamRate,
)

FRAME_NS = 20 * MS


def count_media(rate: StreamRate, now: int) -> int:
    """How many frames are accepted at `now`."""
    count = 0
    while rate.take_media(160, now):
        count += 1
    return count


def test_a_minute_of_audio_may_come_at_once_and_then_twice_real_time() -> None:
    rate = StreamRate()
    assert count_media(rate, 0) == 3000
    assert count_media(rate, SECOND) == 100
    assert count_media(rate, 10 * SECOND) == 900
    assert count_media(rate, 1000 * SECOND) == 3000


@given(st.lists(st.integers(0, 40), max_size=200))
def test_audio_in_real_time_is_always_accepted(jitter_ms: list[int]) -> None:
    rate = StreamRate()
    for index, late_ms in enumerate(jitter_ms):
        assert rate.take_media(160, index * FRAME_NS + late_ms * MS + 100 * FRAME_NS)


def test_ten_seconds_of_other_messages_may_come_at_once_and_then_twenty_a_second() -> None:
    rate = StreamRate()
    assert [rate.take_message(0) for _ in range(MAX_MESSAGE_BURST + 1)].count(True) == 200
    assert [rate.take_message(SECOND) for _ in range(100)].count(True) == MAX_MESSAGES_PER_SECOND


def closes(call: Call, *messages: object, count: int) -> list[Close]:
    """The closes after so many messages, and the end of the call."""
    found: list[Close] = []
    for _ in range(count):
        for message in messages:
            done = call.phone(message)  # type: ignore[arg-type]
            found += [each for each in done.actions if isinstance(each, Close)]
    return found


def assert_over_limit(call: Call, found: list[Close]) -> None:
    assert [(each.peer, each.code) for each in found] == [
        (Peer.TWILIO, 1008),
        (Peer.REALTIME, 1000),
    ]
    call.closed(Peer.TWILIO)
    (end,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert end.reason is EndReason.STREAM_OVER_LIMIT


def test_audio_at_a_hundred_times_real_time_ends_the_call() -> None:
    call = Call.ready()
    sent = 0
    while True:
        done = call.phone(media(audio(160)))
        call.wait(0.2)
        if done.closes:
            break
        sent += len(done.to_model)
    assert 3000 <= sent < 3100
    assert FaultKind.TOO_MANY in done.faults
    assert_over_limit(call, [each for each in done.actions if isinstance(each, Close)])


def test_junk_ends_the_call() -> None:
    call = Call.ready()
    assert closes(call, "junk", count=190) == []
    assert_over_limit(call, closes(call, "junk", count=12))


def test_bad_audio_unknown_marks_and_foreign_streams_end_the_call() -> None:
    call = Call.ready()
    messages = (media("?"), mark("unknown"), media(audio(160), "MZother"))
    assert_over_limit(call, closes(call, *messages, count=67))


def test_streams_that_start_again_and_again_end_the_call() -> None:
    call = Call.ready()
    found: list[Close] = []
    for number in range(300):
        done = call.phone(start(sid=f"MZ{number}"))
        found += [each for each in done.actions if isinstance(each, Close)]
    assert_over_limit(call, found)


def test_audio_and_echoes_of_a_long_call_are_within_the_limits() -> None:
    call = Call.ready()
    for _ in range(10_000):
        assert call.phone(media(audio(160))).closes == []
        call.wait(20)


def test_a_long_sid_is_a_fault() -> None:
    call = Call.answered()
    assert call.phone(start(sid=65 * "M")).faults == [FaultKind.BAD_MESSAGE]
    assert call.phone(start(sid=64 * "M")).notified(CallStarted)


def test_a_stream_that_sends_no_audio_is_ended() -> None:
    call = Call.ready(CallConfig(idle_timeout_ms=60_000))
    call.wait(59_000)
    call.phone(media(audio(160)))
    assert call.wait(59_900).closes == []
    assert call.wait(200).closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    (end,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert end.reason is EndReason.STREAM_IDLE


def test_a_call_ends_at_its_longest_duration() -> None:
    call = Call.ready(CallConfig(idle_timeout_ms=None, max_call_ms=3_600_000, reconnect=None))
    assert call.wait(3_599_000).closes == []
    assert call.wait(1_000).closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    (end,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert end.reason is EndReason.TOO_LONG


def test_a_second_stream_does_not_prolong_a_call() -> None:
    call = Call.ready(CallConfig(idle_timeout_ms=None, max_call_ms=10_000))
    call.wait(9_000)
    call.phone(start(sid="MZagain"))
    assert call.wait(1_001).closes


def test_without_limits_a_call_may_be_idle_for_ever() -> None:
    call = Call.ready(CallConfig(idle_timeout_ms=None, max_call_ms=None, reconnect=None))
    assert call.wait(20_000_000).closes == []
