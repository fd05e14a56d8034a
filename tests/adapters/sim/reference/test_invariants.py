"""Each invariant finds a bridge that breaks it, and raises for no other."""

import inspect
import re
from base64 import b64encode
from typing import Any

import attrs
import pytest

from calling import (
    OTHER_SID,
    PCMU,
    SESSION,
    SID,
    Call,
    audio,
    audio_done,
    connected,
    created,
    delta,
    item_done,
    mark,
    media,
    response_done,
    speech_started,
    start,
    stop,
)
from faulty_call import FaultyCall, breaks, to_model, to_twilio
from twilio_realtime.sim.reference import INVARIANTS
from twilio_realtime_core import (
    CallConfig,
    HangUp,
    Interrupt,
    LocalProtocolError,
    ModelSilencePolicy,
    SendEvent,
)
from twilio_realtime_core.machine.actions import Action, Close, Notify, Peer, Send, SendPing
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioDropped,
    EndReason,
    KeyPressed,
    PlaybackFinished,
    PlaybackStarted,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClientEvent,
    CommitAudio,
    CreateResponse,
    DeleteItem,
    TruncateItem,
    UpdateSession,
)
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media
from twilio_realtime_core.session.pending_events import MAX_PENDING_EVENTS

# Bridges that break an invariant.


def test_an_error_has_the_number_and_the_step() -> None:
    call = FaultyCall.ready()
    call.add(Notify(KeyPressed("5")))
    with breaks(0) as caught:
        call.timeout()
    assert caught.value.number == 0
    assert "before the deadline" in caught.value.text
    assert caught.value.step.method == "handle_timeout"
    assert "bridge.handle_timeout()" in str(caught.value)


def test_0_breaks_if_the_deadline_after_a_timeout_is_past() -> None:
    call = FaultyCall.ready()
    call.faulty_bridge.wrong_deadline_ns = call.now
    with breaks(0):
        call.timeout()


def test_0_breaks_if_an_early_timeout_moves_the_deadline() -> None:
    call = FaultyCall.ready()

    def move(right: list[Action]) -> list[Action]:
        call.faulty_bridge.wrong_deadline_ns = call.now + MS
        return right

    call.change(move)
    with breaks(0):
        call.timeout()


@pytest.mark.parametrize(
    "action", [to_twilio(Media("", audio(160))), to_twilio(Clear("")), SendPing(Peer.TWILIO, b"1")]
)
def test_1_breaks_if_twilio_gets_a_message_before_start(action: Action) -> None:
    call = FaultyCall.answered()
    call.add(action)
    with breaks(1):
        call.phone(connected())


def test_1_breaks_if_twilio_gets_a_message_after_stop() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: [to_twilio(Clear(SID)), *right])
    with breaks(1):
        call.phone(stop())


def test_1_breaks_if_twilio_gets_a_message_after_our_close() -> None:
    call = FaultyCall.ready()
    call.add(to_twilio(Clear(SID)))
    with breaks(1):
        call.send(HangUp())


def test_1_breaks_if_a_message_names_the_earlier_stream() -> None:
    call = FaultyCall.ready()
    call.phone(start(OTHER_SID))
    call.add(to_twilio(Clear(SID)))
    with breaks(1):
        call.nudge()


def test_1_breaks_if_the_model_gets_an_event_before_opening() -> None:
    call = FaultyCall.streaming()
    call.add(to_model(CommitAudio()))
    with breaks(1):
        call.phone(media(audio(160)))


def test_1_breaks_if_audio_is_sent_before_the_configuration() -> None:
    call = FaultyCall.connected()
    call.add(to_model(AppendAudio(audio(160))))
    with breaks(1):
        call.phone(media(audio(160)))


def test_2_breaks_if_audio_is_appended_twice() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: right * 2)
    with breaks(2):
        call.phone(media(audio(160)))


def test_2_breaks_if_audio_is_lost() -> None:
    call = FaultyCall.ready()
    call.leave_out(AppendAudio)
    with breaks(2):
        call.phone(media(audio(160)))


def test_2_breaks_if_audio_is_changed() -> None:
    call = FaultyCall.ready()
    call.change(lambda _: [to_model(AppendAudio(audio(160, 1)))])
    with breaks(2):
        call.phone(media(audio(160)))


def test_2_breaks_if_audio_is_out_of_order() -> None:
    call = FaultyCall.connected()
    for value in range(2):
        call.phone(media(audio(160, value)))
    call.change(lambda right: right[::-1])
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_breaks_if_a_command_follows_later_audio() -> None:
    call = FaultyCall.connected()
    call.send(SendEvent(CommitAudio()))
    call.phone(media(audio(160)))
    call.change(lambda right: right[::-1])
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


@pytest.mark.parametrize("samples", [159, 161, 321])
def test_2_breaks_if_a_drop_is_not_the_oldest_messages(samples: int) -> None:
    call = FaultyCall.connected()
    for value in range(2):
        call.phone(media(audio(160, value)))
    call.add(Notify(CallerAudioDropped(samples)))
    with breaks(2):
        call.nudge()


@pytest.mark.parametrize("late", [media("", SID), media(audio(160), OTHER_SID), "{"])
def test_2_holds_if_a_message_without_audio_sends_none(late: Any) -> None:
    call = Call.ready()
    assert call.phone(late).to_model == []


def test_3_breaks_if_media_is_of_an_interrupted_response() -> None:
    call = FaultyCall.talking(800)
    call.send(Interrupt())
    call.add(to_twilio(Media(SID, audio(160))))
    with breaks(3):
        call.model(delta(160))


def test_3_breaks_if_media_follows_the_clear_of_the_step() -> None:
    call = FaultyCall.talking(900)
    call.add(to_twilio(Media(SID, audio(100))))
    with breaks(3):
        call.model(speech_started())


def test_3_breaks_if_media_is_of_a_silently_cancelled_response() -> None:
    call = FaultyCall.ready()
    call.model(created(conversation=None))
    call.add(to_model(CancelResponse("r")))
    call.nudge()
    call.add(to_twilio(Media(SID, audio(160))))
    with breaks(3):
        call.model(delta(160))


def test_3_breaks_if_media_is_sent_twice() -> None:
    call = FaultyCall.ready()
    call.add(to_twilio(Media(SID, audio(160))))
    with breaks(3):
        call.model(delta(160))


@pytest.mark.parametrize("payload", [audio(160, 1), "no base64"])
def test_3_breaks_if_media_is_not_from_the_model(payload: str) -> None:
    call = FaultyCall.ready()
    call.change(lambda _: [to_twilio(Media(SID, payload))])
    with breaks(3):
        call.model(delta(160))


def test_3_breaks_if_media_is_received_after_its_response() -> None:
    call = FaultyCall.talking(160)
    call.model(response_done())
    call.add(to_twilio(Media(SID, audio(160))))
    with breaks(3):
        call.model(delta(160))


@pytest.mark.parametrize("ms", [19, 161])
def test_4_breaks_if_a_truncate_is_out_of_bounds(ms: int) -> None:
    call = FaultyCall.talking(160)
    call.play(20)
    call.model(delta(1120))
    call.play(19)
    call.change(lambda right: [_truncated_at(each, ms) for each in right])
    with breaks(4):
        call.model(speech_started())


@pytest.mark.parametrize("ms", [20, 160])
def test_4_holds_if_a_truncate_is_at_a_bound(ms: int) -> None:
    call = FaultyCall.talking(160)
    call.play(20)
    call.model(delta(1120))
    call.play(19)
    call.change(lambda right: [_truncated_at(each, ms) for each in right])
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, ms)]


def _truncated_at(action: Action, ms: int) -> Action:
    match action:
        case Send(Peer.REALTIME, TruncateItem() as event):
            return to_model(attrs.evolve(event, audio_end_ms=ms))
        case _:
            return action


def test_4_breaks_if_the_server_cannot_read_a_truncate(monkeypatch: pytest.MonkeyPatch) -> None:
    call = FaultyCall.talking(800)
    call.play(100)
    monkeypatch.setattr(TruncateItem, "type", "conversation.items.truncate")
    with breaks(4):
        call.send(Interrupt())


def test_1_breaks_if_twilio_cannot_read_media(monkeypatch: pytest.MonkeyPatch) -> None:
    call = FaultyCall.ready()

    def encode(_: Media) -> str:
        return '{"event":"media","media":{}}'

    monkeypatch.setattr(Media, "encode", encode)
    with breaks(1):
        call.model(delta(800))


def test_4_breaks_if_a_heard_item_is_deleted() -> None:
    call = FaultyCall.talking(800)
    call.play(100)
    call.add(to_model(DeleteItem("i")))
    with breaks(4):
        call.nudge()


@pytest.mark.parametrize("event", [TruncateItem("i", 0, 0), DeleteItem("i")])
def test_4_breaks_if_an_out_of_band_item_is_corrected(event: ClientEvent) -> None:
    call = FaultyCall.ready()
    call.model(created(conversation=None))
    call.model(delta(160))
    call.add(to_model(event))
    with breaks(4):
        call.nudge()


def test_4_breaks_if_a_late_out_of_band_item_changes() -> None:
    call = FaultyCall.ready()
    call.model(item_done())
    call.model(response_done(conversation=None))
    call.add(to_model(DeleteItem("i")))
    with breaks(4):
        call.nudge()


def test_5_breaks_if_a_mark_name_is_used_again() -> None:
    call = FaultyCall.ready()
    call.add(to_twilio(Mark(SID, "0")))
    with breaks(5):
        call.nudge()


@pytest.mark.parametrize("event", [PlaybackStarted("r", "i", 0), PlaybackFinished("r", "i", 0)])
def test_5_breaks_if_an_echo_after_a_clear_counts(event: Any) -> None:
    call = FaultyCall.talking(800)
    call.send(Interrupt())
    call.add(Notify(event))
    with breaks(5):
        call.phone(mark("1"))


def test_5_breaks_if_an_echo_counts_for_a_later_part() -> None:
    call = FaultyCall.talking(160)
    call.model(delta(160, item="j"))
    call.add(Notify(PlaybackStarted("r", "j", 0)))
    with breaks(5):
        call.phone(mark("1"))


def test_5_breaks_if_an_echo_within_a_part_ends_it() -> None:
    call = FaultyCall.talking(800, 160)
    call.add(Notify(PlaybackFinished("r", "i", 0)))
    with breaks(5):
        call.phone(mark("1"))


def test_6_breaks_if_a_done_response_is_cancelled() -> None:
    call = FaultyCall.talking(800)
    call.model(response_done())
    call.add(to_model(CancelResponse("r")))
    with breaks(6):
        call.nudge()


@pytest.mark.parametrize("response_id", ["unknown", None])
def test_6_breaks_if_a_cancel_names_no_response(response_id: str | None) -> None:
    call = FaultyCall.ready()
    call.add(to_model(CancelResponse(response_id)))
    with breaks(6):
        call.nudge()


def test_6_breaks_if_a_cancel_is_sent_twice() -> None:
    call = FaultyCall.talking(800)
    call.change(lambda right: [*right, to_model(CancelResponse("r"))])
    with breaks(6):
        call.send(Interrupt())


def test_6_breaks_if_a_truncate_is_sent_twice() -> None:
    call = FaultyCall.talking(800)
    call.wait(20)
    call.add(to_model(TruncateItem("i", 0, 20)))
    with breaks(6):
        call.model(speech_started())


def test_6_holds_for_cancels_and_truncates_of_the_application() -> None:
    call = Call.talking()
    events: list[ClientEvent] = [CancelResponse(event_id="e"), *[TruncateItem("x", 0, 99)] * 2]
    for event in events:
        assert call.send(SendEvent(event)).to_model == [event]


def pcm(way: str) -> dict[str, Any]:
    formats = {"input": {"format": PCMU}, "output": {"format": PCMU}}
    return {"type": "realtime", "audio": {**formats, way: {"format": {"type": "audio/pcm"}}}}


@pytest.mark.parametrize(
    "event",
    [
        UpdateSession({"type": "realtime"}),
        UpdateSession(pcm("input")),
        UpdateSession(pcm("output")),
        UpdateSession(
            {"audio": {way: {"format": {"rate": 8000, **PCMU}} for way in ("input", "output")}}
        ),
        CreateResponse({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}}),
    ],
)
def test_8_breaks_if_an_event_does_not_pin_the_format(event: ClientEvent) -> None:
    call = FaultyCall.ready()
    call.faulty_bridge.is_refusing = False
    call.change(lambda _: [to_model(event)])
    with breaks(8):
        call.send(SendEvent(event))


@pytest.mark.parametrize("session", [pcm("input"), pcm("output"), {}, {"audio": "none"}])
def test_8_breaks_if_another_format_counts_as_ready(session: dict[str, Any]) -> None:
    call = FaultyCall.connected()
    call.add(Notify(SessionReady(session)))
    with breaks(8):
        call.nudge()


def test_8_breaks_if_a_call_continues_in_another_format() -> None:
    call = FaultyCall.connected()
    call.change(lambda _: [])
    with breaks(8):
        call.model(type="session.updated", session=pcm("output"))


def test_9_breaks_if_more_early_audio_is_queued() -> None:
    call = FaultyCall.connected()
    call.leave_out(CallerAudioDropped)
    call.phone(media(audio(40_000)))
    call.phone(media(audio(40_000)))
    with breaks(9):
        call.phone(media(audio(160)))


def test_9_breaks_if_more_early_events_are_queued() -> None:
    call = FaultyCall.connected()
    call.faulty_bridge.is_refusing = False
    for _ in range(MAX_PENDING_EVENTS):
        call.send(SendEvent(CommitAudio()))
    with breaks(9):
        call.send(SendEvent(CommitAudio()))


def test_9_breaks_if_more_audio_is_queued_at_twilio() -> None:
    call = FaultyCall.ready()
    for _ in range(5):
        call.model(delta(960_000))
    call.add(to_twilio(Media(SID, audio(160))))
    with breaks(9):
        call.model(delta(160))


def test_10_breaks_if_an_output_follows_the_end() -> None:
    call = FaultyCall()
    call.send(HangUp())
    call.add(Notify(KeyPressed("5")))
    with breaks(10):
        call.send(Interrupt())


def test_10_breaks_if_an_output_follows_call_ended_at_once() -> None:
    call = FaultyCall()
    call.add(Notify(KeyPressed("5")))
    with breaks(10):
        call.send(HangUp())


def test_10_breaks_if_call_ended_is_notified_twice() -> None:
    call = FaultyCall()
    call.change(lambda right: right * 2)
    with breaks(10):
        call.send(HangUp())


def test_10_breaks_if_a_deadline_follows_the_end() -> None:
    call = FaultyCall()
    call.faulty_bridge.wrong_deadline_ns = 1
    with breaks(10):
        call.send(HangUp())


def test_10_breaks_if_a_link_is_closed_twice() -> None:
    call = FaultyCall.ready()
    call.send(HangUp())
    call.add(Close(Peer.TWILIO, 1000, ""))
    with breaks(10):
        call.nudge()


def test_10_breaks_if_a_link_stays_open() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: right[:1])
    with breaks(10):
        call.send(HangUp())


def test_10_breaks_if_call_ended_precedes_a_close() -> None:
    call = FaultyCall.ready()
    call.add(Notify(CallEnded(EndReason.HUNG_UP)))
    with breaks(10):
        call.send(HangUp())


def test_10_breaks_if_call_ended_is_missing() -> None:
    call = FaultyCall.ready()
    call.leave_out(CallEnded)
    call.closed(Peer.TWILIO)
    with breaks(10):
        call.closed(Peer.REALTIME)


# Bridges that break none.


def test_every_invariant_has_a_number_a_name_and_a_sentence() -> None:
    numbers = [each.number for each in INVARIANTS]
    assert numbers == sorted(numbers)
    for each in INVARIANTS:
        assert 2 <= len(each.name.split()) <= 5
        sentence = " ".join((inspect.getdoc(each) or "").partition("\n\n")[0].split())
        assert sentence.endswith(".")
        assert not re.search(r"\. [A-Z]", sentence)


def test_misuse_raises_and_changes_nothing() -> None:
    call = Call.ready()
    with pytest.raises(LocalProtocolError):
        call.bridge.opened(Peer.TWILIO, call.now)
    with pytest.raises(LocalProtocolError):
        call.bridge.receive_text(Peer.TWILIO, "{", call.now - 1)
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


def test_dropped_audio_is_no_longer_expected() -> None:
    notify = ModelSilencePolicy(ask_again=0, hang_up=False)
    call = Call.ready(CallConfig(on_model_silent=notify))
    for _ in range(5):
        call.model(delta(960_000))
    assert call.model(delta(500, value=1)).to_twilio == []
    call.wait(300_000)
    done = call.model(delta(140, value=2))
    assert done.to_twilio[0] == Media(SID, _joined((1, 20), (2, 140)))
    assert call.model(audio_done()).audio_samples == []


def _joined(*runs: tuple[int, int]) -> str:
    return b64encode(b"".join(bytes([value]) * samples for value, samples in runs)).decode()
