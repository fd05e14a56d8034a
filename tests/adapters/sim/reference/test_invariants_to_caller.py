"""What the caller hears, and the end: each invariant of it catches a bridge that breaks it."""

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
from twilio_realtime_core import CallConfig, HangUp, Interrupt
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
from wrong_call import WrongCall, breaks, to_model, to_twilio

C = TypeVar("C", bound=Call)

GREETING = Play(b"\1" * 1600, "greeting")
HOLD = Play(b"\2" * 16_000, "hold", until_agent_speaks=True)


# 3: own audio and hold sound.


def test_3_own_audio_is_played_between_what_the_agent_says() -> None:
    call = Call.talking(900)
    assert sum(call.send(GREETING).audio) == 1600
    assert sum(call.model(delta(220)).audio) == 320
    assert call.send(PressKeys("1,2")).audio


def test_3_own_audio_sent_twice() -> None:
    call = WrongCall.ready()
    call.change(lambda right: right * 2)
    with breaks(3):
        call.send(GREETING)


def test_3_own_audio_that_is_kept_back() -> None:
    call = WrongCall.ready()
    call.leave_out(Media)
    with breaks(3):
        call.send(GREETING)


def test_3_own_audio_that_goes_on_after_an_interruption() -> None:
    call = WrongCall.talking(800)
    rest = to_twilio(Media(SID, audio(100, 1)))
    call.change(lambda _: [to_twilio(Media(SID, audio(1500, 1))), to_twilio(Mark(SID, "m"))])
    call.send(GREETING)
    call.change(lambda right: [*right[:2], rest])
    with breaks(3):
        call.model(speech_started())


def test_3_a_clear_of_own_audio_that_nobody_has_interrupted() -> None:
    call = WrongCall.ready()
    call.send(GREETING)
    call.add(to_twilio(Clear(SID)))
    with breaks(3):
        call.nudge()


def test_3_hold_sound_yields_to_the_agent() -> None:
    call = Call.ready()
    call.send(HOLD)
    call.wait(500)
    call.model(created())
    assert isinstance(call.model(delta(800)).to_twilio[0], Clear)


def test_3_hold_sound_that_does_not_yield() -> None:
    call = WrongCall.ready()
    call.send(HOLD)
    call.wait(500)
    call.leave_out(Clear)
    with breaks(3):
        call.model(delta(800))


def test_3_hold_sound_that_does_not_yield_to_other_audio() -> None:
    call = WrongCall.ready()
    call.send(HOLD)
    call.leave_out(Clear)
    with breaks(3):
        call.send(GREETING)


def test_3_hold_sound_while_something_else_plays() -> None:
    call = WrongCall.ready()
    call.send(GREETING)
    call.add(to_twilio(Media(SID, audio(160, 2))))
    with breaks(3):
        call.send(HOLD)


def test_3_hold_sound_goes_on_behind_its_own_beginning_and_not_behind_its_end() -> None:
    call = WrongCall.ready()
    call.send(HOLD)
    call.add(to_twilio(Media(SID, audio(160, 2))))
    with breaks(3):
        call.nudge()


def test_3_hold_sound_that_another_has_taken_the_place_of() -> None:
    call = WrongCall.ready()
    call.send(GREETING)
    call.send(HOLD)
    call.send(Play(b"\3" * 800, "other", until_agent_speaks=True))
    call.add(to_twilio(Media(SID, audio(160, 2))))
    call.now += 5 * SECOND
    with breaks(3):
        call.nudge()


def test_3_hold_sound_is_cut_by_an_interruption_and_by_a_new_stream() -> None:
    call = Call.ready()
    call.send(HOLD)
    call.send(Interrupt())
    call.send(HOLD)
    call.phone(start(OTHER_SID))
    call.send(GREETING)
    call.send(HOLD)
    call.phone(start(SID))


def test_3_audio_of_a_response_that_was_interrupted_before_it_began() -> None:
    call = WrongCall.ready()
    call.send(CreateResponse())
    call.send(Interrupt())
    call.model(created())
    call.add(to_twilio(Media(SID, audio(160))))
    with breaks(3):
        call.model(delta(160))


# 4: what was heard.


@pytest.mark.parametrize("command", [GREETING, PressKeys("1")])
def test_4_own_audio_finishes_once_it_was_heard(command: Any) -> None:
    call = Call.ready()
    name = call.send(command).marks[-1]
    call.wait(300)
    (event,) = call.phone(mark(name)).told(ClipFinished)
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
def test_4_own_audio_that_finishes_otherwise(event: ClipFinished) -> None:
    call = WrongCall.ready()
    name = call.send(GREETING).marks[-1]
    call.wait(300)
    call.change(lambda _: [Notify(event)])
    with breaks(4):
        call.phone(mark(name))


def test_4_own_audio_that_finishes_by_the_echo_of_a_mark_within_it() -> None:
    call = WrongCall.ready()
    first, *_ = call.send(Play(bytes(8000), "long")).marks
    call.add(Notify(ClipFinished("long", 1000, 1000)))
    with breaks(4):
        call.phone(mark(first))


def test_4_own_audio_that_finishes_twice() -> None:
    call = WrongCall.ready()
    name = call.send(GREETING).marks[-1]
    call.wait(300)
    call.change(lambda right: right * 2)
    with breaks(4):
        call.phone(mark(name))


def test_4_own_audio_cut_by_an_interruption_was_heard_as_far_as_marks_confirm() -> None:
    call = WrongCall.ready()
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
def test_4_a_correction_of_an_item_that_is_gone(event: Any) -> None:
    call = WrongCall.talking(800)
    call.model(item_added())
    call.model(item_deleted())
    call.add(to_model(event))
    with breaks(4):
        call.nudge()


def test_5_a_response_that_may_be_unheard_is_not_taken_for_the_next_that_says_the_same() -> None:
    call = Call.ready()
    call.model(response_done("never heard of"))
    call.send(CreateResponse())
    call.send(Interrupt(cancel=False))
    call.model(created())
    assert call.model(delta(800)).to_twilio == []
    call.model(response_done())
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    (started,) = call.hear(100).told(PlaybackStarted)
    assert started.item_id == "j"


# 10: hanging up once all was heard.


def goodbye(kind: type[C]) -> C:
    call = kind.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    return call


def test_10_a_call_is_hung_up_once_all_was_heard() -> None:
    call = goodbye(Call)
    done = call.hear(100)
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]


def test_10_a_call_hung_up_before_all_was_heard() -> None:
    call = goodbye(WrongCall)
    call.add(*(Close(peer, 1000, "") for peer in Peer))
    call.nudge()
    call.change(lambda _: [])
    call.closed(Peer.TWILIO)
    call.change(lambda _: [Notify(CallEnded(EndReason.HUNG_UP))])
    with breaks(10):
        call.closed(Peer.REALTIME)


def test_10_hold_sound_keeps_no_call_from_its_end() -> None:
    call = Call.ready()
    call.send(HOLD)
    call.wait(100)
    assert call.send(HangUp(after_playback=True)).closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).told(CallEnded)


def test_10_a_goodbye_that_is_interrupted_was_the_last_word() -> None:
    call = goodbye(Call)
    done = call.model(speech_started())
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).told(CallEnded)
    assert done.told(Interrupted)


def test_10_a_goodbye_may_be_cut_short_by_a_hang_up() -> None:
    call = goodbye(Call)
    assert call.send(HangUp()).closes == [Peer.TWILIO, Peer.REALTIME]


# 13: the call ends.


def test_13_a_call_that_ends_without_looking_again() -> None:
    call = WrongCall.ready()
    call.wrong.wrong_deadline = call.now + 11 * SECOND
    with breaks(13):
        call.send(HangUp())


def test_13_a_call_may_be_given_another_time_to_end() -> None:
    call = Call.ready(CallConfig(closing_timeout_ms=20_000))
    call.send(HangUp())
    assert call.wait(20_000).told(CallEnded)


def test_13_a_call_that_is_to_end_and_never_looks_again() -> None:
    call = WrongCall.talking(800)
    call.wrong.never_due = True
    with breaks(13):
        call.send(HangUp(after_playback=True))


def test_13_a_call_that_goes_on_when_it_must_have_ended() -> None:
    call = Call.ready()
    with breaks(13):
        call.bridge.must_have_ended(call.now)
    call.send(HangUp())
    with breaks(13):
        call.bridge.must_have_ended(call.now)
    call.wait(10_000)
    call.bridge.must_have_ended(call.now)
