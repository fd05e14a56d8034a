"""What is always true of audio: the caller's, the agent's, and what of it was heard."""

from typing import Final

from twilio_realtime_core.commands import Play, PressKeys
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Encodable, Peer
from twilio_realtime_core.machine.units import (
    FRAME_SAMPLES,
    MS,
    SECOND,
    ns_to_samples,
    samples_to_ms,
)
from twilio_realtime_core.notifications import (
    CallerAudioDropped,
    CallerAudioPadded,
    ClipFinished,
    InterruptionBlocked,
    PaddingCause,
    PlaybackFinished,
    PlaybackStarted,
)
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    TruncateItem,
)

from .facts import Facts
from .links import Line
from .sent_audio import Key, yields
from .speech import Speech
from .step_record import CLIENT_EVENTS, Invariant, TimedOut, Told, is_later, news_of, value_of
from .to_model import MOST_EARLY, ToModel

__all__ = ["CallerAudio", "Heard", "Marks", "Silence"]

_MAX_GAP: Final = ns_to_samples(10 * SECOND)
_INACTIVITY: Final = ns_to_samples(1 * SECOND)
_JITTER: Final = 2 * FRAME_SAMPLES
"""How much of a gap may be owed from frames before, each off by less than a frame."""


class CallerAudio(Invariant):
    """What is appended is the caller's audio as it came, silence in its place while muted, padding
    as it is reported, and the audio of commands, with the events of commands in their places: in
    order, each once, less what is reported as dropped. A gap is padded once, and not for more than
    it lasts; if the caller speaks and nothing comes of him, in the time that is stated. Audio is
    dropped only where there is no room, and a frame that is no audio is reported."""

    number = 2
    inputs = (
        twilio.StartEvent,
        twilio.MediaEvent,
        realtime.SpeechStartedEvent,
        realtime.SpeechStoppedEvent,
    )
    outputs = (CallerAudioDropped, CallerAudioPadded, *CLIENT_EVENTS)
    ends = news_of(Line, ToModel)

    def __init__(self, facts: Facts) -> None:
        self._line, self._to_model = facts.line, facts.to_model
        timeout_ms = facts.config.inactivity_timeout_ms
        self._timeout_ns = None if timeout_ms is None else timeout_ms * MS
        self._speaking = False
        self._padded = True
        """Nothing has to be put where frames are missing: it has been, or there was none."""
        self._waits_since = 0
        """When a frame came, or the caller began to speak, last (ns)."""
        self._timestamp: int | None = None
        self._samples = 0
        """Of the last frame."""
        self._gap = 0
        """Samples that the frame of this step may be behind the one before."""

    # A gap is judged by the frame that ends it, so it is measured before the outputs are judged.

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        match told.event:
            case twilio.MediaEvent(timestamp_ms=timestamp):
                if self._to_model.frame is None:
                    return self._judge_left_out(told)
                self._measure(timestamp, self._to_model.frame)
            case twilio.StartEvent():
                if self._line.begins:
                    self._speaking, self._padded = False, True
                    self._timestamp = None
            case realtime.SpeechStartedEvent():
                self._speaking, self._waits_since = True, told.now
            case _:
                self._speaking = False
        return None

    def _judge_left_out(self, told: Told) -> str | None:
        line, event = self._line, told.event
        if not (isinstance(event, twilio.MediaEvent) and line.live and line.streaming):
            return None
        reported = event.stream_sid != line.stream_sid or any(
            isinstance(each, Fault) and (each.peer, each.kind) == (Peer.TWILIO, FaultKind.BAD_AUDIO)
            for each in map(value_of, told.outputs)
        )
        return None if reported else "a frame that is no audio was left out, and nobody is told"

    def _measure(self, timestamp: int | None, samples: int) -> None:
        before, self._timestamp = self._timestamp, timestamp
        passed = 0 if before is None or timestamp is None else (timestamp - before) * 8
        self._gap = passed - self._samples + _JITTER if passed > 0 else 0
        self._samples = samples

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        match value:
            case AppendAudio():
                if not self._to_model.is_next(value):
                    return "appended audio that is not what came next"
            case CallerAudioPadded():
                return self._judge_padding(value, told)
            case CallerAudioDropped(samples):
                return self._judge_drop(samples)
            case _:
                return self._judge_event(value, told)  # type: ignore[arg-type]
        return None

    def _judge_drop(self, samples: int) -> str | None:
        oldest = self._to_model.oldest_audio(samples)
        if sum(each.samples for each in oldest) != samples:
            return f"{samples} samples dropped, which are not the oldest messages"
        needless = self._to_model.samples - samples + oldest[-1].samples <= MOST_EARLY
        return f"{samples} samples dropped, though there was room" if needless else None

    def _judge_padding(self, padding: CallerAudioPadded, told: Told) -> str | None:
        again, self._padded = self._padded, True
        if again:
            return "a gap was padded twice"
        if not self._line.speaks_mulaw:
            return "padding in a stream of another format"
        if padding.cause is PaddingCause.GAP:
            most = min(self._gap, _MAX_GAP)
            right = isinstance(told.event, twilio.MediaEvent) and 0 < padding.samples <= most
        else:
            right = isinstance(told.event, TimedOut) and self._speaking
            right = right and padding.samples == _INACTIVITY
        return None if right else f"{padding.samples} samples of padding where there is no such gap"

    def _judge_event(self, event: Encodable, told: Told) -> str | None:
        """The bridge's own events are cancels, corrections, its first update, its requests, and
        what it tells the model of a caller who may not interrupt; all others have to be what a
        command has asked for."""
        if isinstance(event, CancelResponse | CreateResponse | DeleteItem | TruncateItem):
            return None
        if isinstance(event, realtime.UpdateSession) and not self._line.ready:
            return None
        blocked = any(isinstance(value_of(each), InterruptionBlocked) for each in told.outputs)
        if blocked and isinstance(event, realtime.CreateItem):
            return None
        if self._to_model.is_next(event) or self._to_model.held_as(event) is not None:
            return None
        return f"{type(event).__name__} where another event comes next, or none"

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        if self._to_model.frame is not None:
            self._padded, self._waits_since = False, told.now
        if not self._line.live:
            return None
        if self._line.ready and self._to_model.unsent:
            return "the session is ready, and something still waits for it"
        if self._may_stay_silent(told.deadline):
            return "nothing comes of a caller who speaks, and may not for longer than is stated"
        return None

    def _may_stay_silent(self, deadline: int | None) -> bool:
        if self._timeout_ns is None or not self._speaking or not self._line.speaks_mulaw:
            return False
        return not self._padded and is_later(deadline, self._waits_since + self._timeout_ns)


class Silence(Invariant):
    """After a `clear` there is no media of a response whose interruption is committed, ever: all
    media is what the model said of responses that may still be heard, or the application's own
    audio, each in order, and at once but for the beginning of a frame. Hold sound begins when
    nothing else plays, and is cleared before anything else is sent; nothing but an interruption
    clears anything else."""

    number = 3
    inputs = (realtime.OutputAudioDeltaEvent, realtime.OutputAudioDoneEvent)
    outputs = (twilio.Media, twilio.Clear)
    ends = news_of(Line, Speech)

    def __init__(self, facts: Facts) -> None:
        self._line, self._asks, self._speech = facts.line, facts.asks, facts.speech

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        speech = self._speech
        match value:
            case twilio.Media(payload=payload):
                key = speech.source(payload)
                if key is None:
                    return "media that is not what comes next of what may be heard"
                if speech.sound.holds or yields(key):
                    return self._judge_hold(key, told.now)
            case _:
                unheard = speech.sound.unheard(told.now)
                if not speech.interrupting and not all(map(yields, unheard)):
                    return "a clear of what nobody has interrupted"
        return None

    def _judge_hold(self, key: Key, now: int) -> str | None:
        others = [each for each in self._speech.sound.unheard(now) if each != key]
        wrong = others if yields(key) else any(map(yields, others))
        return "hold sound and something else wait to be played" if wrong else None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        if self._speech.own and self._line.streaming and self._speech.idle:
            return "own audio waits, though nothing else is being said"
        if self._line.live and not self._asks.vague and self._keeps_back(told):
            return "audio of the model is kept back"
        if self._line.live and self._hold_waits(told):
            return "hold sound waits, though all was heard"
        return None

    def _keeps_back(self, told: Told) -> bool:
        """Whether more than the beginning of a frame waits, or anything of a part that is over."""
        match told.event:
            case realtime.OutputAudioDeltaEvent():
                full = any(
                    isinstance(each, Fault) and each.kind is FaultKind.OVERFLOW
                    for each in map(value_of, told.outputs)
                )
                return self._speech.kept_back() >= FRAME_SAMPLES and not full
            case realtime.OutputAudioDoneEvent(_, item_id, index):
                return self._speech.kept_back((item_id, index)) > 0
            case _:
                return False

    def _hold_waits(self, told: Told) -> bool:
        """Whether hold sound is to begin, since the last echo says that all was heard."""
        speech, hold = self._speech, self._speech.hold
        if hold is None or hold.at or not isinstance(told.event, twilio.MarkEvent):
            return False
        return speech.echoed and speech.sound.sent == speech.sound.confirmed and speech.idle


class Heard(Invariant):
    """An item of the history is truncated between what marks confirm and what was sent, and deleted
    only if no mark confirms any of it; what the history does not hold is not corrected. Own audio
    has finished once, as soon as an echo says so, and as much of it was heard."""

    number = 4
    inputs = (twilio.MarkEvent,)
    outputs = (TruncateItem, DeleteItem, ClipFinished)

    def __init__(self, facts: Facts) -> None:
        self._to_model, self._speech, self._history = facts.to_model, facts.speech, facts.history

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        match value:
            case ClipFinished():
                about = self._speech.may_finish(value)
                if not any(self._speech.finishes(each, value) for each in about):
                    return "own audio finished that was not so heard, or has finished before"
            case TruncateItem() if self._to_model.is_own(value):
                key = value.item_id, value.content_index
                if key in self._speech.sound.unheard(told.now):
                    return "truncated before the sound was stopped"
                least = samples_to_ms(self._speech.judged.confirmed_of(key))
                most = samples_to_ms(self._speech.judged.sent_of(key))
                if not least <= value.audio_end_ms <= most:
                    return f"truncated at {value.audio_end_ms} ms, not in {least} to {most}"
                return self._judge_item(value.item_id)
            case DeleteItem(item_id) if self._to_model.is_own(value):
                if item_id in self._speech.heard_items:
                    return "deleted an item of which something was heard"
                return self._judge_item(item_id)
            case _:
                pass
        return None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        if isinstance(told.event, twilio.MarkEvent) and self._speech.echoed:
            for each in self._speech.unfinished:
                if self._speech.confirms(each, whole=True) and each.at == len(each.audio):
                    return "own audio was heard to the end, and nobody is told"
        return None

    def _judge_item(self, item_id: str) -> str | None:
        gone = self._speech.is_outside(item_id) or self._history.is_deleted(item_id)
        return "corrected an item that the history does not hold" if gone else None


class Marks(Invariant):
    """Mark names are unique, and echoes after a clear never count as heard. All others do: when
    they confirm the first of a part, or the last, that is told. The end of a part has a mark."""

    number = 5
    inputs = (twilio.MarkEvent, realtime.OutputAudioDoneEvent, Play, PressKeys)
    outputs = (twilio.Mark, PlaybackStarted, PlaybackFinished)

    def __init__(self, facts: Facts) -> None:
        self._line, self._speech = facts.line, facts.speech
        self._names: set[str] = set()
        self._started: set[Key] = set()
        self._finished: set[Key] = set()

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        match value:
            case twilio.Mark(name=name):
                if name in self._names:
                    return "a mark's name was used before"
                self._names.add(name)
            case PlaybackStarted() | PlaybackFinished():
                whole = isinstance(value, PlaybackFinished)
                key = value.item_id, value.content_index
                by_echo = isinstance(told.event, twilio.MarkEvent)
                if by_echo and not self._speech.confirms(key, whole=whole):
                    return "an echo made audio count as heard that it says nothing of"
                (self._finished if whole else self._started).add(key)
            case _:
                pass
        return None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        speech = self._speech
        match told.event:
            case twilio.MarkEvent():
                for key, whole in speech.heard_parts() if speech.echoed else ():
                    if key not in self._started or (whole and key not in self._finished):
                        return "an echo says that audio was heard, and nobody is told"
            case realtime.OutputAudioDoneEvent() | Play(until_agent_speaks=False) | PressKeys():
                if self._line.live and speech.sound.marked < speech.sound.sent:
                    return "what was said last has no mark"
            case _:
                pass
        return None
