"""The invariants of what the caller hears, and of the end of the call."""

from typing import Any, TypeVar

import pytest

from calling import (
    OTHER_SID,
    SID,
    Call,
    audio,
    audio_done,
    created,
    delta,
    item_added,
    item_deleted,
    mark,
    response_done,
    speech_started,
    start,
)
from faulty_call import FaultyCall, breaks, to_model, to_twilio
from twilio_realtime_core import CallConfig, HangUp, Interrupt, InterruptionPolicy
from twilio_realtime_core.commands import Play, PressKeys
from twilio_realtime_core.machine.actions import Close, Notify, Peer
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    ClipFinished,
    EndReason,
    Interrupted,
    PlaybackStarted,
)
from twilio_realtime_core.protocols.realtime import CreateResponse, DeleteItem, TruncateItem
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media

C = TypeVar("C", bound=Call)

GREETING = Play(b"\1" * 1600, "greeting")
HOLD = Play(b"\2" * 16_000, "hold", until_agent_speaks=True)


# 3: clips and hold audio.


def test_3_holds_if_a_clip_plays_between_responses() -> None:
    call = Call.talking(900)
    call.model(response_done())
    assert sum(call.send(GREETING).audio_samples) == 1600
    assert sum(call.model(delta(220, "s", "j")).audio_samples) == 160
    assert call.send(PressKeys("1,2")).audio_samples == []  # not inside a sentence
    assert call.model(response_done("s")).audio_samples


def test_3_breaks_if_a_clip_is_sent_inside_a_sentence() -> None:
    call = FaultyCall.talking(800)
    call.add(to_twilio(Media(SID, audio(1600, 1))))
    with breaks(3):
        call.send(GREETING)


def test_3_breaks_if_responses_are_sent_in_alternation() -> None:
    call = FaultyCall.talking(800)
    call.model(created("o", None))
    call.add(to_twilio(Media(SID, audio(800, 7))))
    with breaks(3):
        call.model(delta(800, "o", "x", value=7))


def test_3_breaks_if_the_first_words_are_interrupted() -> None:
    policy = InterruptionPolicy(protect_first=True)
    call = FaultyCall.ready(CallConfig(interruption=policy))
    call.model(created())
    call.model(delta(800))
    call.change(lambda _: [to_twilio(Clear(SID))])
    with breaks(3):
        call.model(speech_started())


def test_3_breaks_if_a_clip_is_sent_twice() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: right * 2)
    with breaks(3):
        call.send(GREETING)


def test_3_breaks_if_a_clip_is_kept_back() -> None:
    call = FaultyCall.ready()
    call.leave_out(Media)
    with breaks(3):
        call.send(GREETING)


def test_3_breaks_if_a_clip_is_sent_in_part() -> None:
    call = FaultyCall.ready()
    call.change(lambda _: [to_twilio(Media(SID, audio(1500, 1))), to_twilio(Mark(SID, "m"))])
    with breaks(3):
        call.send(GREETING)


def test_3_breaks_if_a_clip_is_cleared_without_interruption() -> None:
    call = FaultyCall.ready()
    call.send(GREETING)
    call.add(to_twilio(Clear(SID)))
    with breaks(3):
        call.nudge()


def test_3_holds_if_hold_audio_ends_for_the_agent() -> None:
    call = Call.ready()
    call.send(HOLD)
    call.wait(500)
    call.model(created())
    assert isinstance(call.model(delta(800)).to_twilio[0], Clear)


def test_3_breaks_if_hold_audio_continues_for_the_agent() -> None:
    call = FaultyCall.ready()
    call.send(HOLD)
    call.wait(500)
    call.leave_out(Clear)
    with breaks(3):
        call.model(delta(800))


def test_3_breaks_if_hold_audio_continues_for_a_clip() -> None:
    call = FaultyCall.ready()
    call.send(HOLD)
    call.leave_out(Clear)
    with breaks(3):
        call.send(GREETING)


def test_3_breaks_if_hold_audio_starts_while_others_play() -> None:
    call = FaultyCall.ready()
    call.send(GREETING)
    call.add(to_twilio(Media(SID, audio(160, 2))))
    with breaks(3):
        call.send(HOLD)


def test_3_breaks_if_hold_audio_continues_after_its_end() -> None:
    call = FaultyCall.ready()
    call.send(HOLD)
    call.add(to_twilio(Media(SID, audio(160, 2))))
    with breaks(3):
        call.nudge()


def test_3_breaks_if_replaced_hold_audio_is_sent() -> None:
    call = FaultyCall.ready()
    call.send(GREETING)
    call.send(HOLD)
    call.send(Play(b"\3" * 800, "other", until_agent_speaks=True))
    call.add(to_twilio(Media(SID, audio(160, 2))))
    call.now += 5 * SECOND
    with breaks(3):
        call.nudge()


def test_3_holds_if_hold_audio_is_cut() -> None:
    call = Call.ready()
    call.send(HOLD)
    call.send(Interrupt())
    call.send(HOLD)
    call.phone(start(OTHER_SID))
    call.send(GREETING)
    call.send(HOLD)
    call.phone(start(SID))


def test_3_breaks_if_a_suppressed_response_is_heard() -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse())
    call.send(Interrupt())
    call.model(created())
    call.add(to_twilio(Media(SID, audio(160))))
    with breaks(3):
        call.model(delta(160))


# 4: what was heard.


@pytest.mark.parametrize("command", [GREETING, PressKeys("1")])
def test_4_holds_if_a_clip_finishes_when_heard(command: Any) -> None:
    call = Call.ready()
    name = call.send(command).marks[-1]
    call.wait(300)
    (event,) = call.phone(mark(name)).notified(ClipFinished)
    assert event.heard_ms == event.sent_ms


@pytest.mark.parametrize(
    "event",
    [
        ClipFinished("other", 200, 200),
        ClipFinished("greeting", 200, 201),
        ClipFinished("greeting", 201, 200),
        ClipFinished("greeting", 150, 200),
    ],
)
def test_4_breaks_if_a_clip_finishes_otherwise(event: ClipFinished) -> None:
    call = FaultyCall.ready()
    name = call.send(GREETING).marks[-1]
    call.wait(300)
    call.change(lambda _: [Notify(event)])
    with breaks(4):
        call.phone(mark(name))


def test_5_holds_if_the_rest_of_a_part_waits_behind_another_response() -> None:
    call = Call.talking(800)
    call.model(created("s"))
    marks = call.model(delta(4000, "s", "j")).marks
    call.model(delta(800))
    call.model(audio_done())
    call.wait(1000)
    heard = call.phone(mark(marks[0])).notified(PlaybackStarted)
    assert [each.response_id for each in heard] == ["r", "s"]


def test_4_breaks_if_an_echo_within_a_clip_ends_it() -> None:
    call = FaultyCall.ready()
    first, *_ = call.send(Play(bytes(8000), "long")).marks
    call.add(Notify(ClipFinished("long", 1000, 1000)))
    with breaks(4):
        call.phone(mark(first))


def test_4_breaks_if_a_clip_finishes_twice() -> None:
    call = FaultyCall.ready()
    name = call.send(GREETING).marks[-1]
    call.wait(300)
    call.change(lambda right: right * 2)
    with breaks(4):
        call.phone(mark(name))


def test_4_breaks_if_a_cut_clip_was_heard_less() -> None:
    call = FaultyCall.ready()
    first, *_ = call.send(Play(bytes(8000), "long")).marks
    call.wait(400)
    call.phone(mark(first))
    call.change(
        lambda right: [
            Notify(ClipFinished("long", 0, 1000))
            if isinstance(getattr(each, "event", None), ClipFinished)
            else each
            for each in right
        ]
    )
    with breaks(4):
        call.send(Interrupt())


@pytest.mark.parametrize("event", [TruncateItem("i", 0, 0), DeleteItem("i")])
def test_4_breaks_if_a_deleted_item_is_corrected(event: Any) -> None:
    call = FaultyCall.talking(800)
    call.model(item_added())
    call.model(item_deleted())
    call.add(to_model(event))
    with breaks(4):
        call.nudge()


def test_5_holds_if_equal_audio_follows_an_ambiguous_response() -> None:
    call = Call.ready()
    call.model(response_done("never heard of"))
    call.send(CreateResponse())
    call.send(Interrupt(cancel=False))
    call.model(created())
    assert call.model(delta(800)).to_twilio == []
    call.model(response_done())
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    (started,) = call.play(100).notified(PlaybackStarted)
    assert started.item_id == "j"


# 10: the end after playback.


def goodbye(kind: type[C]) -> C:
    call = kind.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    return call


def test_10_holds_if_a_call_ends_after_playback() -> None:
    call = goodbye(Call)
    done = call.play(100)
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]


def test_10_breaks_if_a_call_ends_before_playback() -> None:
    call = goodbye(FaultyCall)
    call.add(*(Close(peer, 1000, "") for peer in Peer))
    call.nudge()
    call.change(lambda _: [])
    call.closed(Peer.TWILIO)
    call.change(lambda _: [Notify(CallEnded(EndReason.HUNG_UP))])
    with breaks(10):
        call.closed(Peer.REALTIME)


def test_10_holds_if_hold_audio_delays_no_end() -> None:
    call = Call.ready()
    call.send(HOLD)
    call.wait(100)
    assert call.send(HangUp(after_playback=True)).closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).notified(CallEnded)


def test_10_holds_if_an_interrupted_goodbye_ends_the_call() -> None:
    call = goodbye(Call)
    done = call.model(speech_started())
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).notified(CallEnded)
    assert done.notified(Interrupted)


def test_10_holds_if_a_hang_up_cuts_a_goodbye() -> None:
    call = goodbye(Call)
    assert call.send(HangUp()).closes == [Peer.TWILIO, Peer.REALTIME]


# 13: the time to end.


def test_13_breaks_if_an_ending_call_has_no_deadline() -> None:
    call = FaultyCall.ready()
    call.faulty_bridge.wrong_deadline_ns = call.now + 11 * SECOND
    with breaks(13):
        call.send(HangUp())


def test_13_holds_for_another_time_to_end() -> None:
    call = Call.ready(CallConfig(closing_timeout_ms=20_000))
    call.send(HangUp())
    assert call.wait(20_000).notified(CallEnded)


def test_13_breaks_if_a_deferred_end_has_no_deadline() -> None:
    call = FaultyCall.talking(800)
    call.faulty_bridge.is_never_due = True
    with breaks(13):
        call.send(HangUp(after_playback=True))


def test_13_breaks_if_a_call_is_not_over_in_time() -> None:
    call = Call.ready()
    with breaks(13):
        call.bridge.check_ended(call.now)
    call.send(HangUp())
    with breaks(13):
        call.bridge.check_ended(call.now)
    call.wait(10_000)
    call.bridge.check_ended(call.now)
