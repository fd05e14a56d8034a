"""What is to be sent to the model's server: the caller's audio, and what commands ask for."""

from base64 import b64decode, b64encode
from collections import deque
from functools import lru_cache
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.commands import (
    AnswerApproval,
    Mute,
    ResetHistory,
    SendAudio,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from twilio_realtime_core.machine.actions import Encodable, Notify
from twilio_realtime_core.notifications import CallerAudioDropped, CallerAudioPadded
from twilio_realtime_core.protocols import twilio
from twilio_realtime_core.protocols.realtime import AppendAudio, CreateResponse

from .client_events import answer, message, output, plain, same
from .history import History, Reset
from .links import Line
from .step_record import CLIENT_EVENTS, Fact, TimedOut, Told, news_of

__all__ = ["MOST_EARLY", "ToModel", "silence"]

MOST_EARLY: Final = 10 * 8000
"""Samples of audio that may wait for the session: ten seconds, as is stated; what the bridge itself
takes it to be does not count."""


@define
class _Audio:
    """Audio in base64. `event_id` is that of a command's own event. (A value: do not change it.)"""

    payload: str
    samples: int
    number: int
    event_id: str | None = None


@frozen
class _Event:
    """An event of a command."""

    given: dict[str, Any]
    number: int


@frozen
class _Reset:
    """The events that make the conversation what a command says."""

    reset: Reset
    number: int


_Entry: TypeAlias = _Audio | _Event | _Reset


@define(eq=False)
class ToModel(Fact):
    """A queue of all that was asked for and has not been sent. Requests for responses are not in
    it, since they wait for their turn (`Asks`)."""

    inputs = (
        twilio.MediaEvent,
        Mute,
        Unmute,
        TimedOut,
        SendAudio,
        SendMessage,
        SendFunctionOutput,
        AnswerApproval,
        ResetHistory,
        *(kind for kind in CLIENT_EVENTS if kind is not CreateResponse),
    )
    outputs = (*CLIENT_EVENTS, CallerAudioDropped)
    ends = news_of(Line)

    _line: Line
    _history: History
    waiting: deque[_Entry] = field(init=False, factory=deque[_Entry])
    samples: int = field(init=False, default=0)
    """Those of the audio that waits."""
    events: int = field(init=False, default=0)
    """How many events of commands wait."""
    held: list[dict[str, Any]] = field(init=False, factory=list[dict[str, Any]])
    """Outputs of functions that wait until all was heard."""
    number: int = field(init=False, default=0)
    """How many entries there have been."""
    frame: int | None = field(init=False, default=None)
    """Samples of the caller's frame that this step was told of."""
    _muted: bool = field(init=False, default=False)

    # What is asked for.

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""
        match told.event:
            case twilio.MediaEvent(stream_sid=sid, payload=payload):
                if self._line.streaming and sid == self._line.stream_sid:
                    self._caller_audio(payload, told)
            case TimedOut():
                self._padding(told)
            case Mute() | Unmute():
                self._muted = isinstance(told.event, Mute)
            case SendAudio(audio, commit):
                self._audio(b64encode(audio).decode(), len(audio))
                if commit:
                    self._event({"type": "input_audio_buffer.commit"})
            case AppendAudio(audio, event_id):
                self._audio(audio, count_samples(audio) or 0, event_id)
            case SendFunctionOutput() as command if command.after_playback:
                self.held.append(output(command))
            case ResetHistory(items):
                before = [each.reset for each in self.waiting if isinstance(each, _Reset)]
                self._add(_Reset(self._history.reset(items, before), self.number))
            case _:
                self._event(_given(told.event))

    def _caller_audio(self, payload: str, told: Told) -> None:
        samples = self.frame = _count(payload)
        if samples is not None:
            self._padding(told)
            self._audio(silence(samples) if self._muted else payload, samples)

    def _padding(self, told: Told) -> None:
        """The silence that the step says it has put before the frame that it was told of."""
        for each in told.outputs:
            if isinstance(each, Notify) and isinstance(each.event, CallerAudioPadded):
                self._audio(silence(each.event.samples), each.event.samples)

    def _audio(self, payload: str, samples: int, event_id: str | None = None) -> None:
        if samples:
            self.samples += samples
            self._add(_Audio(payload, samples, self.number, event_id))

    def _event(self, given: dict[str, Any]) -> None:
        self.events += 1
        self._add(_Event(given, self.number))

    def _add(self, entry: _Entry) -> None:
        self.waiting.append(entry)
        self.number += 1

    # What is sent.

    @property
    def unsent(self) -> bool:
        """Whether anything waits that must still be sent."""
        return bool(self.waiting) and any(
            not isinstance(each, _Reset) or not each.reset.complete for each in self.waiting
        )

    def waits_before(self, number: int) -> bool:
        """Whether anything still waits that came before the entry of this number."""
        for each in self.waiting:
            if each.number >= number:
                return False
            if not isinstance(each, _Reset) or not each.reset.complete:
                return True
        return False

    def is_next(self, sent: Encodable) -> bool:
        """Whether an event is what has to be sent next."""
        if isinstance(sent, AppendAudio):
            return self._span(sent) is not None
        return bool(self.waiting) and self._follows(sent) is not None

    def held_as(self, sent: Encodable) -> dict[str, Any] | None:
        """The output that waits until all was heard, and that an event gives."""
        if not self.held or self.is_next(sent):
            return None
        told = plain(sent)
        return next((each for each in self.held if same(told, each)), None)

    def is_own(self, sent: Encodable) -> bool:
        """Whether an event is the bridge's own, not one of a command."""
        return not self.is_next(sent)

    def resets(self, sent: Encodable) -> bool:
        """Whether an event is one of those of a reset."""
        told = plain(sent)
        for each in self.waiting:
            if not isinstance(each, _Reset) or each.reset.has(told):
                return isinstance(each, _Reset)
        return False

    def oldest_audio(self, samples: int) -> list[_Audio]:
        """The oldest audio that waits, until it holds `samples`."""
        found: list[_Audio] = []
        for each in self.waiting:
            if isinstance(each, _Audio) and samples > 0:
                found.append(each)
                samples -= each.samples
        return found

    def asked(self, value: object, told: Told) -> None:
        """Take in one thing that the bridge asked for."""
        match value:
            case CallerAudioDropped(samples):
                for each in self.oldest_audio(samples):
                    self.waiting.remove(each)
                self.samples -= samples
            case AppendAudio() as sent:
                self._take_audio(sent)
            case _ if (held := self.held_as(value)) is not None:  # type: ignore[arg-type]
                self.held.remove(held)
            case _:
                self._take(value)  # type: ignore[arg-type]

    def _take_audio(self, sent: AppendAudio) -> None:
        span = self._span(sent)
        if span is None:
            return
        count, rest = span
        for _ in range(count):
            last = self.waiting.popleft()
            if isinstance(last, _Audio):
                self.samples -= last.samples
        if rest:
            self.samples += len(rest)
            number = self.waiting[0].number if self.waiting else self.number
            self.waiting.appendleft(_Audio(b64encode(rest).decode(), len(rest), number))

    def _span(self, sent: AppendAudio) -> tuple[int, bytes] | None:
        """How many entries at the front an event carries, and what it leaves of the last."""
        front = self.waiting[0] if self.waiting else None
        if isinstance(front, _Audio) and front.payload == sent.audio:
            return (1, b"") if front.event_id in (None, sent.event_id) else None
        if count_samples(sent.audio) is None:
            return None
        return self._cut(b64decode(sent.audio), sent.event_id)

    def _cut(self, audio: bytes, event_id: str | None) -> tuple[int, bytes] | None:
        gathered = b""
        for count, each in enumerate(self.waiting, 1):
            if isinstance(each, _Reset) and each.reset.complete and not gathered:
                continue
            if not isinstance(each, _Audio) or each.event_id not in (None, event_id):
                return None
            gathered += b64decode(each.payload)
            if len(gathered) >= len(audio):
                return (count, gathered[len(audio) :]) if gathered.startswith(audio) else None
        return None

    def _follows(self, sent: Encodable) -> int | None:
        """How many entries are done with once an event has been sent; `None`: it is not next."""
        told = plain(sent)
        for done, each in enumerate(self.waiting):
            match each:
                case _Event(given):
                    return done + 1 if same(told, given) else None
                case _Reset(reset) if reset.has(told):
                    return done
                case _Reset(reset) if reset.complete:
                    pass
                case _:
                    return None
        return None

    def _take(self, sent: Encodable) -> None:
        done = self._follows(sent)
        for _ in range(done or 0):
            self.events -= isinstance(self.waiting.popleft(), _Event)
        if done is not None and self.waiting and isinstance(self.waiting[0], _Reset):
            self.waiting[0].reset.take(plain(sent))

    def finish(self, told: Told) -> None:
        """The step is over: what it has made right waits no longer."""
        self.frame = None
        while self.waiting and isinstance(self.waiting[0], _Reset):
            if not (self._line.ready and self.waiting[0].reset.complete):
                return
            self.waiting.popleft()


def _given(command: object) -> dict[str, Any]:
    match command:
        case SendMessage():
            return message(command)
        case SendFunctionOutput():
            return output(command)
        case AnswerApproval():
            return answer(command)
        case _:
            return plain(command)  # type: ignore[arg-type]


_count = lru_cache(64)(count_samples)  # most frames are of silence, the same again and again


@lru_cache(64)
def silence(samples: int) -> str:
    """So much µ-law silence (0xFF), in base64."""
    return b64encode(b"\xff" * samples).decode()
