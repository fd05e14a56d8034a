"""The downlink: audio to the caller, its marks, and what echoes show."""

from base64 import b64decode
from typing import Any

import pytest
from attrs import define, field

from calling import (
    OTHER_SID,
    SID,
    Call,
    StepResult,
    audio,
    audio_done,
    created,
    delta,
    mark,
    response_done,
    speech_started,
    start,
)
from twilio_realtime_core import Encodable, FaultKind, HangUp, Interrupt, Peer, Play
from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.downlink.downlink import Downlink
from twilio_realtime_core.downlink.framing import AudioChunk
from twilio_realtime_core.machine.outbox import Outbox
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    ClipFinished,
    Interrupted,
    PlaybackFinished,
    PlaybackStarted,
)
from twilio_realtime_core.protocols.realtime import TruncateItem
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media
from twilio_realtime_core.responses.responses import Responses
from twilio_realtime_core.values.playback_position import AudioSource, PartKey

GREETING = Play(b"\x00" * 2400, "greeting")


def playback(kind: type[Any]) -> list[Any]:
    return [kind("r", "i", 0)]


def kinds(done: StepResult) -> list[type[Encodable]]:
    return [type(each) for each in done.to_twilio]


# To Twilio.


def test_audio_has_a_first_mark_and_a_final_one() -> None:
    """S73."""
    call = Call.ready()
    call.model(created())
    assert call.model(delta(160)).to_twilio == [Media(SID, audio(160)), Mark(SID, "1")]
    assert [call.model(delta(800)).marks for _ in range(4)] == [[], [], ["2"], []]
    call.model(delta(810))
    done = call.model(audio_done())
    assert (done.audio_samples, done.marks) == ([10], ["3"])


def test_the_first_frame_of_a_burst_has_a_separate_mark() -> None:
    call = Call.ready()
    call.model(created())
    assert call.model(delta(800, value=7)).to_twilio == [
        Media(SID, audio(160, 7)),
        Mark(SID, "1"),
        Media(SID, audio(640, 7)),
    ]
    assert call.model(delta(800)).to_twilio == [Media(SID, audio(800))]


def test_a_burst_after_a_pause_starts_with_one_frame() -> None:
    call = Call.talking(800)
    call.play(500)
    done = call.model(delta(800))
    assert kinds(done) == [Media, Mark, Media]
    assert done.audio_samples == [160, 640]


def test_a_burst_starts_after_a_clear() -> None:
    call = Call.talking(800)
    call.play(50)
    call.send(Interrupt())
    call.model(created("s"))
    done = call.model(delta(800, "s", "j"))
    assert kinds(done) == [Media, Mark, Media]
    assert done.audio_samples == [160, 640]


def test_bursts_close_together_have_four_marks_a_second() -> None:
    call = Call.ready()
    call.model(created())
    marks = 0
    for _ in range(40):  # each of 40 ms, so that the player is idle in between
        marks += len(call.model(delta(320)).marks)
        call.play(50)
    assert marks == 8


def test_continued_audio_is_in_one_message() -> None:
    call = Call.talking(800)
    call.play(99)
    assert call.model(delta(800)).audio_samples == [800]


def test_the_audio_of_a_burst_is_complete_and_in_order() -> None:
    call = Call.ready()
    sound = bytes(range(250)) * 8
    done = call.send(Play(sound))
    assert b64decode(done.audio_base64) == sound
    assert done.audio_samples[0] == 160


@pytest.mark.parametrize("samples", [1, 159, 160])
def test_a_burst_of_one_frame_is_one_message_and_mark(samples: int) -> None:
    assert kinds(Call.ready().send(Play(bytes(samples)))) == [Media, Mark]


def test_a_clip_starts_with_one_frame_too() -> None:
    call = Call.ready()
    assert kinds(call.send(GREETING))[:3] == [Media, Mark, Media]
    assert call.send(GREETING).audio_samples[0] > 160  # behind the first


def test_a_message_holds_960_ms_at_most_without_padding() -> None:
    call = Call.ready()
    call.model(created())
    done = call.model(delta(20_000))
    assert done.audio_samples[0] == 160
    assert sum(done.audio_samples) == 20_000
    assert max(done.audio_samples) == 7680
    media = [each.payload for each in done.to_twilio if isinstance(each, Media)]
    assert not any("=" in each for each in media[1:-1])
    (interrupted,) = call.send(Interrupt()).notified(Interrupted)
    assert [each.sent_ms for each in interrupted.items] == [2500]


def test_clips_and_speech_are_sent_in_their_order() -> None:
    call = Call.talking(800)
    call.model(response_done())
    assert sum(call.send(GREETING).audio_samples) == 2400
    call.model(created("s"))
    assert call.model(delta(800, "s", "j")).audio_samples == [800]
    call.model(audio_done("s", "j"))
    assert call.play(399).notified(ClipFinished) == []
    assert call.play(1).notified(ClipFinished) == [ClipFinished("greeting", 300, 300)]
    assert call.play(99).events == []
    assert call.play(1).notified(PlaybackFinished) == [PlaybackFinished("s", "j", 0)]


def test_audio_beyond_the_capacity_is_dropped_and_reported() -> None:
    call = Call.talking(*[800_000] * 6)
    done = call.model(delta(800))
    assert (done.faults, done.to_twilio) == ([FaultKind.OVERFLOW], [])


def test_a_measurement_has_a_mark_only_where_nothing_plays() -> None:
    call = Call.ready()
    done = call.wait(1_000)
    assert (done.pings, done.marks) == ([b"round-trip-2"], ["1"])
    call.phone(mark("1"))
    call.model(created())
    call.model(delta(80_000))
    done = call.wait(1_000)
    assert (done.pings, done.marks) == ([b"round-trip-3"], [])


@pytest.mark.parametrize("end", [audio_done(), response_done()])
def test_hold_audio_is_cleared_before_the_rest_of_a_frame(end: dict[str, Any]) -> None:
    call = Call.ready()
    call.model(created())
    call.model(delta(1, value=7))
    call.send(Play(b"\x00" * 2000, "hold", until_agent_speaks=True))
    call.play(100)
    done = call.model(end)
    assert (done.to_twilio[0], done.audio_base64) == (Clear(SID), audio(1, 7))


def test_hold_audio_is_cleared_before_audio_of_the_agent() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 2000, "hold", until_agent_speaks=True))
    call.play(100)
    call.model(created())
    done = call.model(delta(800, value=7))
    assert (done.to_twilio[0], done.audio_base64) == (Clear(SID), audio(800, 7))
    assert done.notified(ClipFinished) == [ClipFinished("hold", 100, 250)]


def test_hold_audio_does_not_delay_the_end_of_a_call() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 80_000, "hold", until_agent_speaks=True))
    assert call.send(HangUp(after_playback=True)).closes == [Peer.TWILIO, Peer.REALTIME]


# From Twilio.


def test_echoes_notify_the_start_and_end_of_two_deltas() -> None:
    call = Call.talking(800, 2400)
    marks = call.model(audio_done()).marks
    assert marks == []  # there is one behind the last delta
    assert call.play(399).events == playback(PlaybackStarted)
    assert call.play(1).events == playback(PlaybackFinished)


@pytest.mark.parametrize("name", ["9", "", "greeting"])
def test_the_fault_of_an_unknown_mark_does_not_name_it(name: str) -> None:
    """S18, S31."""
    call = Call.ready()
    done = call.phone(mark(name))
    assert done.faults == [FaultKind.UNKNOWN_MARK]
    assert len(done.actions) == 1


def test_a_clip_heard_is_notified_once_and_only_as_such() -> None:
    call = Call.ready()
    call.send(GREETING)
    assert call.play(299).events == []
    assert call.play(1).events == [ClipFinished("greeting", 300, 300)]


def test_a_pong_notifies_nothing() -> None:
    call = Call.streaming()
    assert call.pong(b"round-trip-1").actions == []


@pytest.mark.parametrize("name", ["1", "", "x", "-1", "00", "99999999999", "²"])
def test_s18_the_echo_of_an_unknown_mark_is_a_fault(
    name: str,
) -> None:
    done = Call.ready().phone(mark(name))
    assert done.faults == [FaultKind.UNKNOWN_MARK]
    assert getattr(done.events[0], "message", "") == "mark: the echo of a mark that is not expected"


def test_a_repeated_echo_is_a_fault() -> None:
    assert Call.ready().phone(mark("0")).faults == [FaultKind.UNKNOWN_MARK]


def test_the_first_echo_starts_a_part_the_last_ends_it() -> None:
    call = Call.talking(800, 1600)
    call.model(audio_done())
    assert call.play(299).events == [PlaybackStarted("r", "i", 0)]
    assert call.play(1).events == [PlaybackFinished("r", "i", 0)]


def test_the_last_echo_may_precede_the_end_of_a_part() -> None:
    call = Call.talking(160)
    assert call.play(20).events == [PlaybackStarted("r", "i", 0)]
    assert call.model(audio_done()).events == [PlaybackFinished("r", "i", 0)]
    assert call.model(response_done()).notified(PlaybackFinished) == []


# Another stream.


def test_another_stream_cuts_clips_and_starts_anew() -> None:
    """S33."""
    call = Call.ready()
    call.send(GREETING)
    call.send(Play(b"\x00" * 800, "more"))
    call.play(200)
    done = call.phone(start(OTHER_SID))
    assert done.notified(ClipFinished) == [
        ClipFinished("greeting", 200, 300),
        ClipFinished("more", 0, 100),
    ]
    done = call.send(GREETING)
    assert {each.stream_sid for each in done.to_twilio if isinstance(each, Media | Mark)} == {
        OTHER_SID
    }


# The round trip.


def test_the_first_round_trips_are_measured_every_second() -> None:
    call = Call.ready()
    for number in range(1, 7):
        assert call.wait(999).actions == []
        measured = call.wait(1)
        assert measured.pings == [b"round-trip-%d" % (number + 1)]
        assert measured.marks == [str(number)]
        call.phone(mark(str(number)))


def test_the_round_trip_is_measured_every_five_seconds() -> None:
    call = Call.ready()
    for number in range(1, 9):
        assert call.wait(1000).marks == [str(number)]
        call.phone(mark(str(number)))
    assert call.wait(4999).actions == []
    measured = call.wait(1)
    assert measured.pings == [b"round-trip-10"]
    assert measured.marks == ["9"]
    call.phone(mark("9"))
    call.model(delta(160))
    assert [call.wait(5000).marks, call.phone(mark("10")).marks, call.wait(5000).marks] == [
        [],
        [],
        ["11"],
    ]


def test_a_hidden_start_delay_is_learned_from_late_echoes() -> None:
    call = Call.ready()
    call.start_delay_ns = 120 * MS
    call.model(created())
    call.model(delta(1920))
    call.play(500)
    call.model(delta(1920))  # it starts late again
    call.play(120 + 10)  # so that no echo has shown it
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 240 + 10)]


def test_the_echo_of_the_first_frame_shows_the_start_delay() -> None:
    call = Call.ready()
    call.start_delay_ns = 120 * MS
    call.model(created())
    call.model(delta(1920))
    call.play(120 + 50)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 50)]


def test_a_pong_counts_until_the_first_echo() -> None:
    call = Call.streaming()
    call.wait(80)
    call.pong(b"round-trip-1")
    call.pong(b"another")
    call.opened_and_configured()
    call.model(created())
    first = call.model(delta(1920)).marks[0]
    call.wait(20 + 100 + 80)  # of which 80 ms are the round trip
    call.phone(mark(first))
    call.wait(220)
    call.model(delta(1920))
    call.wait(100 + 50)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 240 + 50)]


def test_another_stream_is_measured_anew() -> None:
    call = Call.ready()
    assert call.phone(start(OTHER_SID)).pings == [b"round-trip-2"]


# Clips and parts.

PART = PartKey(1, "", "1", 0)
"""A part whose ids are like the name and the number of a clip."""


@define
class Parts:
    """A downlink with a stream, and the parts that it uses."""

    outbox: Outbox = field(factory=Outbox)
    responses: Responses = field(factory=Responses)
    downlink: Downlink = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.downlink = Downlink(self.outbox, self.responses, StartDelayHistory())
        self.downlink.start_stream(SID, 0)

    def play(self, source: AudioSource, samples: int) -> None:
        self.downlink.play(AudioChunk(source, audio(samples), samples), 0)

    def take(self) -> StepResult:
        return StepResult(self.outbox.take_actions())

    def echo_all(self, now: int) -> StepResult:
        """Echo every mark that was sent since the last time."""
        for name in self.take().marks:
            self.downlink.mark_echoed(name, now)
        return self.take()


def test_a_clip_is_unfinished_until_it_was_heard() -> None:
    parts = Parts()
    clip = parts.downlink.add_clip("1", 800)
    parts.play(clip, 800)
    parts.downlink.end_clip(clip, 0)
    assert parts.downlink.is_clip_unfinished(clip)
    assert parts.downlink.clip_samples == 800
    assert parts.echo_all(100 * MS).events == [ClipFinished("1", 100, 100)]
    assert not parts.downlink.is_clip_unfinished(clip)
    assert parts.downlink.clip_samples == 0


def test_a_part_is_no_clip_whatever_its_ids() -> None:
    parts = Parts()
    record = parts.responses.get_or_create("")
    clip = parts.downlink.add_clip("1", 800)
    parts.play(clip, 800)
    parts.play(PART, 1600)
    parts.downlink.end_response("", (), 0)
    assert [each.is_complete for each in parts.downlink.positions(0)] == [False, True]
    assert (parts.downlink.clip_samples, record.sent_samples) == (800, 1600)
    parts.downlink.end_clip(clip, 0)
    assert parts.echo_all(300 * MS).events == [
        PlaybackStarted("", "1", 0),
        ClipFinished("1", 100, 100),
        PlaybackFinished("", "1", 0),
    ]
    assert record.heard_items == {"1"}


def test_only_clips_are_finished_as_cut() -> None:
    parts = Parts()
    clip = parts.downlink.add_clip("greeting", 800)
    parts.play(clip, 800)
    parts.play(PART, 800)
    parts.take()
    parts.downlink.finish_clips(parts.downlink.positions(50 * MS))
    assert parts.take().events == [ClipFinished("greeting", 50, 100)]
    assert not parts.downlink.is_clip_unfinished(clip)


def test_what_was_heard_of_a_clip_and_of_a_response_is_separate() -> None:
    parts = Parts()
    for response_id in ("", "r"):
        parts.responses.get_or_create(response_id)
    clip = parts.downlink.add_clip("1", 800)
    parts.play(clip, 800)
    for item in ("1", "2"):
        parts.play(PartKey(1, "r", item, 0), 800)
    assert [parts.downlink.heard_ms(each * MS) for each in (50, 150, 250, 300)] == [
        50,
        50,
        150,
        200,
    ]


def test_nothing_is_known_to_be_heard_of_a_forgotten_response() -> None:
    parts = Parts()
    parts.play(PartKey(1, "forgotten", "i", 0), 800)
    assert parts.downlink.heard_ms(50 * MS) == 0
    assert parts.echo_all(100 * MS).events == [PlaybackStarted("forgotten", "i", 0)]
    assert parts.responses.get("forgotten") is None
