"""The expected events to the Realtime server: audio of the caller, and events of commands."""

from base64 import b64encode
from collections import deque
from functools import lru_cache
from typing import Any, TypeAlias

from attrs import define, field, frozen

from twilio_realtime_core.commands import (
    AnswerApproval,
    Mute,
    ResetHistory,
    SendAudio,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from twilio_realtime_core.notifications import CallerAudioDropped, CallerAudioPadded
from twilio_realtime_core.protocols.realtime import AppendAudio, CancelResponse, CreateResponse

from ..received import ReceivedMedia, ReceivedSpeechStart
from ..sent import SentAppend, SentCancel, SentEvent
from ..step_record import CLIENT_EVENTS, ExpectedState, StepRecord, TimeoutHandled, kinds_of
from ..wire import count_samples, decode_audio
from .conversation import ExpectedConversation, ExpectedReset
from .events import event_of, matches, output_event
from .links import ExpectedLinks

__all__ = ["ExpectedUplink"]


@define
class _AudioEntry:
    """Audio in base64. `event_id` is that of the command. (A value: do not change it.)"""

    payload: str
    samples: int
    number: int
    event_id: str | None = None


@frozen
class _EventEntry:
    """An event of a command."""

    event: dict[str, Any]
    number: int
    is_optional: bool = False
    """It may be left out."""


@frozen
class _ResetEntry:
    """The events of a reset of the history."""

    reset: ExpectedReset
    number: int

    @property
    def is_complete(self) -> bool:
        """Whether all necessary events of the reset were sent."""
        return self.reset.is_complete


_Entry: TypeAlias = _AudioEntry | _EventEntry | _ResetEntry


@define(eq=False)
class ExpectedUplink(ExpectedState):
    """The queue of all that is to be sent. Requests for responses are not in it, since they wait
    for their turn (see `ExpectedRequests`)."""

    inputs = (
        ReceivedMedia,
        Mute,
        Unmute,
        TimeoutHandled,
        ReceivedSpeechStart,
        SendAudio,
        SendMessage,
        SendFunctionOutput,
        AnswerApproval,
        ResetHistory,
        *(kind for kind in CLIENT_EVENTS if kind is not CreateResponse),
    )
    outputs = (SentEvent, CallerAudioDropped)
    triggers = kinds_of(ExpectedLinks)
    is_frame_judge = True

    _links: ExpectedLinks
    _conversation: ExpectedConversation
    queue: deque[_Entry] = field(init=False, factory=deque[_Entry])
    queued_samples: int = field(init=False, default=0)
    queued_events: int = field(init=False, default=0)
    """Events of commands in the queue."""
    deferred_outputs: list[dict[str, Any]] = field(init=False, factory=list[dict[str, Any]])
    """Outputs of functions that are to be sent after playback."""
    next_number: int = field(init=False, default=0)
    """The number of the next entry; entries count from 0."""
    frame_samples: int | None = field(init=False, default=None)
    """Samples of the caller's frame that is received in this step."""
    is_muted: bool = field(init=False, default=False)
    """Silence is sent in place of the caller's frames."""

    # What is to be sent.

    def apply_input(self, step: StepRecord) -> None:
        """Queue what an input causes to be sent."""
        match step.event:
            case ReceivedMedia(stream_sid=sid, payload=payload, is_outbound=is_outbound):
                is_of_stream = self._links.is_streaming and sid == self._links.stream_sid
                if is_of_stream and not is_outbound:
                    self._queue_frame(payload, step)
            case TimeoutHandled() | ReceivedSpeechStart():
                self._queue_padding(step)
            case Mute() | Unmute():
                self.is_muted = isinstance(step.event, Mute)
            case SendAudio(audio, commit):
                self._queue_audio(b64encode(audio).decode(), len(audio))
                if commit:
                    self._queue_event({"type": "input_audio_buffer.commit"})
            case AppendAudio(audio, event_id):
                self._queue_audio(audio, count_samples(audio) or 0, event_id)
            case SendFunctionOutput() as command if command.after_playback:
                self.deferred_outputs.append(output_event(command))
            case CancelResponse():
                self._queue_cancel(step)
            case ResetHistory(items):
                earlier = [each.reset for each in self.queue if isinstance(each, _ResetEntry)]
                reset = self._conversation.plan_reset(items, earlier)
                self._add(_ResetEntry(reset, self.next_number))
            case _:
                self._queue_event(event_of(step.event))

    def _queue_frame(self, payload: str, step: StepRecord) -> None:
        samples = self.frame_samples = count_samples(payload)
        if samples is not None:
            self._queue_padding(step)
            self._queue_audio(_silence(samples) if self.is_muted else payload, samples)

    def _queue_padding(self, step: StepRecord) -> None:
        """Queue the silence that the step reports: it goes before the frame of the step."""
        for each in step.values:
            if isinstance(each, CallerAudioPadded):
                self._queue_audio(_silence(each.samples), each.samples)

    def _queue_audio(self, payload: str, samples: int, event_id: str | None = None) -> None:
        if samples:
            self.queued_samples += samples
            self._add(_AudioEntry(payload, samples, self.next_number, event_id))

    def _queue_cancel(self, step: StepRecord) -> None:
        """Queue a cancel, which is sent only if there is something to cancel."""
        if not self._links.is_session_ready:
            self._add(_EventEntry(event_of(step.event), self.next_number, is_optional=True))
        elif step.has_output(SentCancel):
            self._queue_event(event_of(step.event))

    def _queue_event(self, event: dict[str, Any]) -> None:
        self.queued_events += 1
        self._add(_EventEntry(event, self.next_number))

    def _add(self, entry: _Entry) -> None:
        self.queue.append(entry)
        self.next_number += 1

    # What is sent.

    @property
    def has_unsent(self) -> bool:
        """Whether the queue holds anything that is still to be sent."""
        return bool(self.queue) and any(map(_is_unsent, self.queue))

    def has_unsent_before(self, number: int) -> bool:
        """Whether anything is still to be sent of the entries before the one of this number."""
        for each in self.queue:
            if each.number >= number:
                return False
            if _is_unsent(each):
                return True
        return False

    def is_next(self, sent: SentEvent) -> bool:
        """Whether an event is the next to be sent."""
        if isinstance(sent, SentAppend):
            return self._span_of(sent) is not None
        return bool(self.queue) and self._count_done(sent) is not None

    def deferred_output(self, sent: SentEvent) -> dict[str, Any] | None:
        """Return the deferred output that an event gives; `None` if it gives none."""
        if not self.deferred_outputs or self.is_next(sent):
            return None
        return next((each for each in self.deferred_outputs if matches(sent.body, each)), None)

    def is_initiated_by_bridge(self, sent: SentEvent) -> bool:
        """Whether no command asks for an event."""
        return not self.is_next(sent)

    def is_of_reset(self, sent: SentEvent) -> bool:
        """Whether an event is one of the reset that is next."""
        for each in self.queue:
            if not isinstance(each, _ResetEntry) or each.reset.has(sent.body):
                return isinstance(each, _ResetEntry)
        return False

    def oldest_audio(self, samples: int) -> list[_AudioEntry]:
        """Return the oldest queued audio, until it has `samples`."""
        found: list[_AudioEntry] = []
        for each in self.queue:
            if isinstance(each, _AudioEntry) and samples > 0:
                found.append(each)
                samples -= each.samples
        return found

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Take what is sent or dropped from the queue."""
        match value:
            case CallerAudioDropped(samples):
                for each in self.oldest_audio(samples):
                    self.queue.remove(each)
                self.queued_samples -= samples
            case SentAppend():
                self._take_audio(value)
            case SentEvent() if (output := self.deferred_output(value)) is not None:
                self.deferred_outputs.remove(output)
            case SentEvent():
                self._take_event(value)
            case _:
                pass

    def _take_audio(self, sent: SentAppend) -> None:
        span = self._span_of(sent)
        if span is None:
            return
        count, rest = span
        for _ in range(count):
            last = self.queue.popleft()
            if isinstance(last, _AudioEntry):
                self.queued_samples -= last.samples
        if rest:
            self.queued_samples += len(rest)
            number = self.queue[0].number if self.queue else self.next_number
            self.queue.appendleft(_AudioEntry(b64encode(rest).decode(), len(rest), number))

    def _span_of(self, sent: SentAppend) -> tuple[int, bytes] | None:
        """How many entries at the front an event sends, and what it leaves of the last; `None` if
        its audio is not the next."""
        front = self.queue[0] if self.queue else None
        if isinstance(front, _AudioEntry) and front.payload == sent.audio:
            return (1, b"") if front.event_id in (None, sent.event_id) else None
        audio = decode_audio(sent.audio)
        return None if audio is None else self._span_of_bytes(audio, sent.event_id)

    def _span_of_bytes(self, audio: bytes, event_id: str | None) -> tuple[int, bytes] | None:
        gathered = b""
        for count, each in enumerate(self.queue, 1):
            if not _is_unsent(each) and not gathered:
                continue
            if not isinstance(each, _AudioEntry) or each.event_id not in (None, event_id):
                return None
            gathered += decode_audio(each.payload) or b""
            if len(gathered) >= len(audio):
                return (count, gathered[len(audio) :]) if gathered.startswith(audio) else None
        return None

    def _count_done(self, sent: SentEvent) -> int | None:
        """How many entries are done with once an event is sent; `None` if it is not the next."""
        for done, each in enumerate(self.queue):
            match each:
                case _EventEntry(event, is_optional=True) if not matches(sent.body, event):
                    pass
                case _EventEntry(event):
                    return done + 1 if matches(sent.body, event) else None
                case _ResetEntry(reset) if reset.has(sent.body):
                    return done
                case _ResetEntry() if each.is_complete:
                    pass
                case _:
                    return None
        return None

    def _take_event(self, sent: SentEvent) -> None:
        done = self._count_done(sent)
        for _ in range(done or 0):
            self.queued_events -= isinstance(self.queue.popleft(), _EventEntry)
        if done is not None and self.queue and isinstance(self.queue[0], _ResetEntry):
            self.queue[0].reset.remove(sent.body)

    def finish_step(self, step: StepRecord) -> None:
        """Remove what need not be sent, once the session is ready: resets that are complete, and
        cancels of nothing."""
        self.frame_samples = None
        while self.queue and self._links.is_session_ready and not _is_unsent(self.queue[0]):
            self.queue.popleft()


def _is_unsent(entry: _Entry) -> bool:
    if isinstance(entry, _EventEntry):
        return not entry.is_optional
    return not isinstance(entry, _ResetEntry) or not entry.is_complete


@lru_cache(64)
def _silence(samples: int) -> str:
    """Silence in µ-law (ITU-T G.711: the code of 0 is 0xFF), in base64."""
    return b64encode(b"\xff" * samples).decode()
