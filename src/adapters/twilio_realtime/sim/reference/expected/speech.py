"""The expected audio for the caller: of the model, and of the clips of the application."""

from collections import Counter, deque
from collections.abc import Iterator

from attrs import define, field

from twilio_realtime_core.commands import Interrupt, Play, PressKeys
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import ClipFinished, Interrupted
from twilio_realtime_core.protocols.realtime import CancelResponse

from ..received import (
    ReceivedAudio,
    ReceivedAudioEnd,
    ReceivedMark,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
    ReceivedResponseEnd,
    ReceivedResponseStart,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
)
from ..sent import SentCancel, SentClear, SentMark, SentMedia
from ..step_record import ExpectedState, StepRecord, TimeoutHandled
from ..tones import keypad_tones
from ..units import FRAME_SAMPLES, samples_to_ms
from ..wire import count_samples, decode_audio
from .links import ExpectedLinks
from .playback import ExpectedClip, ExpectedPlayback, PartId, SourceId
from .requests import ExpectedRequests
from .uplink import ExpectedUplink

__all__ = ["ExpectedSpeech"]


@define(eq=False)
class _ExpectedResponse:
    """A response of the model."""

    is_in_conversation: bool = True
    is_done: bool = False
    is_interrupted: bool = False
    """Nothing more of it may be heard."""
    is_cancelled: bool = False
    """A command or the bridge has cancelled it."""
    ended_parts: set[PartId] = field(factory=set[PartId])


@define(eq=False)
class _ExpectedAudio:
    """Audio of a part that was received and may be heard; `sent_samples` counts what was sent."""

    part: PartId
    response_id: str
    audio: bytes
    sent_samples: int = 0

    @property
    def unsent_samples(self) -> int:
        """Samples that were not sent."""
        return len(self.audio) - self.sent_samples


@define(eq=False)
class ExpectedSpeech(ExpectedState):
    """The audio on its way to the caller."""

    inputs = (
        ReceivedStart,
        ReceivedMark,
        Interrupt,
        ReceivedSpeechStart,
        ReceivedSpeechStop,
        TimeoutHandled,
        Play,
        PressKeys,
        CancelResponse,
        ReceivedAudio,
        ReceivedAudioEnd,
        ReceivedOutputItemAdded,
        ReceivedOutputItemDone,
        ReceivedResponseStart,
        ReceivedResponseEnd,
    )
    outputs = (
        SentMedia,
        SentMark,
        SentClear,
        SentCancel,
        Interrupted,
        ClipFinished,
        Fault,
    )

    _links: ExpectedLinks
    _uplink: ExpectedUplink
    _requests: ExpectedRequests
    playback: ExpectedPlayback = field(init=False, factory=ExpectedPlayback)
    corrected: ExpectedPlayback = field(init=False)
    """The playback that corrections are about: as it was before a `clear` of this step."""
    heard_items: set[str] = field(init=False, factory=set[str])
    """Items of which an echo has confirmed something."""
    sent_items: set[str] = field(init=False, factory=set[str])
    """Items of which some audio was sent."""
    is_echo: bool = field(init=False, default=False)
    """The echo of a mark is received in this step."""
    is_interrupting: bool = field(init=False, default=False)
    """This step interrupts, or may do so since the caller speaks."""
    _is_caller_speaking: bool = field(init=False, default=False)
    unfinished_clips: list[ExpectedClip] = field(init=False, factory=list[ExpectedClip])
    """Clips whose end was not notified."""
    queued_clips: deque[ExpectedClip] = field(init=False, factory=deque[ExpectedClip])
    hold: ExpectedClip | None = field(init=False, default=None)
    """The hold audio that is queued until nothing else plays, or is being sent."""

    _queued_audio: deque[_ExpectedAudio] = field(init=False, factory=deque[_ExpectedAudio])
    _responses: dict[str, _ExpectedResponse] = field(
        init=False, factory=dict[str, _ExpectedResponse]
    )
    _response_of: dict[str, str] = field(init=False, factory=dict[str, str])
    """By item."""
    _has_overflow: bool = field(init=False, default=False)
    """Audio was dropped and reported in this step."""

    def __attrs_post_init__(self) -> None:
        self.corrected = self.playback

    # Queries.

    def source_of(self, payload: str) -> SourceId | None:
        """Return what media is of; `None` if its audio is not the next of anything."""
        audio = decode_audio(payload)
        if audio is None:
            return None
        queued = self._queued_audio[0] if self._queued_audio else None
        if queued is not None and queued.audio.startswith(audio, queued.sent_samples):
            return queued.part
        for clip in (self.queued_clips[0] if self.queued_clips else None, self.hold):
            if clip is not None and clip.audio.startswith(audio, clip.sent_samples):
                return clip
        return None

    def finished_clip(self, event: ClipFinished) -> ExpectedClip | None:
        """Return the clip that may have finished as a notification says; `None` if none may."""
        named = (each for each in self.unfinished_clips if each.name in (None, event.name))
        return next((each for each in named if self._may_finish(each, event)), None)

    def _may_finish(self, clip: ExpectedClip, event: ClipFinished) -> bool:
        sent_ms = samples_to_ms(self.corrected.sent_of(clip))
        least_ms = samples_to_ms(self.corrected.confirmed_of(clip))
        is_possible = least_ms <= event.heard_ms <= event.sent_ms == sent_ms
        is_by_echo = self.is_echo and event.heard_ms == event.sent_ms
        return is_possible and (not is_by_echo or least_ms == sent_ms)

    def is_out_of_band(self, item_id: str) -> bool:
        """Whether an item belongs to a response outside the conversation."""
        response = self._responses.get(self._response_of.get(item_id, ""))
        return response is not None and not response.is_in_conversation

    def is_generating(self, response_id: str) -> bool:
        """Whether a response is known, and not known to be done."""
        response = self._responses.get(response_id)
        return response is not None and not response.is_done

    def is_interrupted(self, response_id: str) -> bool:
        """Whether a response of the conversation was interrupted."""
        response = self._responses.get(response_id)
        return response is not None and response.is_in_conversation and response.is_interrupted

    @property
    def has_interruptible_response(self) -> bool:
        """Whether a response of the conversation is being generated that may be heard."""
        return any(
            each.is_in_conversation and not each.is_done and not each.is_interrupted
            for each in self._responses.values()
        )

    def cut_parts(self, now: int) -> list[PartId]:
        """Return the parts that an interruption cuts: something of them is not played, or more of
        them would be generated."""
        unplayed = self.playback.unplayed_sources(now)
        parts = {part: None for part, _ in self.playback.runs if not isinstance(part, ExpectedClip)}
        return [part for part in parts if part in unplayed or self._is_growing(part)]

    def _is_growing(self, part: PartId) -> bool:
        response = self._responses[self._response_of[part[0]]]
        return not (response.is_done or response.is_interrupted or part in response.ended_parts)

    def uncancelled_responses(self, now: int, *, in_conversation: bool) -> set[str]:
        """Return the responses that are being generated and were not cancelled: those out of band
        that are heard, and those `in_conversation`, if these count."""
        heard = {self._response_of[item_id] for item_id, _ in self.cut_parts(now)}
        return {
            id_
            for id_, each in self._responses.items()
            if not each.is_done
            and not each.is_cancelled
            and (in_conversation if each.is_in_conversation else id_ in heard)
        }

    def unsent_samples(self, part: PartId | None = None) -> int:
        """Return the samples that were received, may be heard and were not sent: of a part, or of
        all."""
        queued = (each for each in self._queued_audio if part in (None, each.part))
        return sum(each.unsent_samples for each in queued)

    def heard_parts(self) -> Iterator[tuple[PartId, bool]]:
        """Yield the parts of which marks of this stream confirm something, and whether they confirm
        the end; not those of interrupted responses."""
        for part in dict.fromkeys(source for source, _ in self.playback.runs):
            if isinstance(part, ExpectedClip) or not self.playback.confirms(part, whole=False):
                continue
            response = self._responses[self._response_of[part[0]]]
            is_ended = response.is_done or part in response.ended_parts
            if not response.is_interrupted:
                yield part, is_ended and self.playback.confirms(part, whole=True)

    def least_heard_ms(self, now: int) -> int:
        """Return how much was heard, at the least, of any response or clip that may be playing; 0
        if it is not certain that anything plays."""
        if not self.playback.unplayed_sources(now):
            return 0
        heard, playing = Counter[str | ExpectedClip](), set[str | ExpectedClip]()
        for source in dict.fromkeys(source for source, _ in self.playback.runs):
            owner = source if isinstance(source, ExpectedClip) else self._response_of[source[0]]
            confirmed = self.playback.confirmed_of(source)
            heard[owner] += confirmed
            if confirmed < self.playback.sent_of(source):
                playing.add(owner)
        return min((samples_to_ms(heard[each]) for each in playing), default=0)

    @property
    def is_hold_playing(self) -> bool:
        """Whether only hold audio plays."""
        return self.hold is not None and self.hold.sent_samples > 0

    @property
    def is_idle(self) -> bool:
        """Whether no response is under way, so that nothing more can be said."""
        return not self._queued_audio and all(each.is_done for each in self._responses.values())

    @property
    def is_all_heard(self) -> bool:
        """Whether nothing more can be said, and all that was is confirmed as heard."""
        return self.playback.is_confirmed and self.is_idle

    def is_confirmed_by_echo(self, source: SourceId, *, whole: bool) -> bool:
        """Whether the echo of this step confirms some, or the whole, of a source."""
        return self.is_echo and self.playback.confirms(source, whole=whole)

    # Inputs.

    def apply_input(self, step: StepRecord) -> None:
        """Apply audio that is received, an echo, a command or an interruption."""
        match step.event:
            case ReceivedAudio() as event:
                self._receive_audio(event)
            case ReceivedMark(stream_sid=sid, name=name):
                self._confirm(sid, name, step.now)
            case ReceivedStart() if self._links.is_stream_starting:
                self._start_stream()
            case Interrupt() | ReceivedSpeechStart():
                self.is_interrupting = True
                self._is_caller_speaking |= isinstance(step.event, ReceivedSpeechStart)
            case TimeoutHandled():
                self.is_interrupting = self._is_caller_speaking
            case ReceivedSpeechStop():
                self.is_interrupting = self._is_caller_speaking
                self._is_caller_speaking = False
            case Play(audio, name, until_agent_speaks):
                self._play(ExpectedClip(audio, name, until_agent_speaks))
            case PressKeys(keys, tone_ms, pause_ms):
                self._play(ExpectedClip(keypad_tones(keys, tone_ms, pause_ms)))
            case CancelResponse(id_):
                self._cancel(id_)
            case _:
                self._apply_model_event(step.event)

    def _start_stream(self) -> None:
        """Start a stream, perhaps in place of another."""
        self.playback = self.corrected = self.playback.restart()
        self.queued_clips.clear()
        if self.is_hold_playing:
            self.hold = None

    def _confirm(self, sid: str, mark: str, now: int) -> None:
        if self._links.is_streaming and sid == self._links.stream_sid:
            self.is_echo = self.playback.confirm(mark, now)
            self.heard_items |= self.playback.confirmed_items() if self.is_echo else set()

    def _play(self, clip: ExpectedClip) -> None:
        self.unfinished_clips.append(clip)
        if clip.is_hold:
            self.hold = clip  # it replaces one that is queued, or plays
        else:
            self.queued_clips.append(clip)

    def _cancel(self, response_id: str | None) -> None:
        for id_, each in self._responses.items():
            is_named = each.is_in_conversation if response_id is None else id_ == response_id
            each.is_cancelled |= is_named and not each.is_done

    def _apply_model_event(self, event: object) -> None:
        match event:
            case ReceivedResponseStart(id_, is_out_of_band):
                response = self._get_or_create(id_)
                response.is_in_conversation = not is_out_of_band
                response.is_interrupted |= self._requests.suppressed_id == id_
            case ReceivedResponseEnd(id_, is_out_of_band):
                response = self._get_or_create(id_)
                response.is_in_conversation = not is_out_of_band
                response.is_done = True
            case ReceivedOutputItemAdded(response_id):
                self._get_or_create(response_id)  # its start may be lost
            case ReceivedOutputItemDone(response_id, item):
                self._get_or_create(response_id)
                self._response_of[item.id] = response_id
            case ReceivedAudioEnd(response_id, item_id, index):
                self._get_or_create(response_id).ended_parts.add((item_id, index))
            case _:
                pass

    def _get_or_create(self, response_id: str) -> _ExpectedResponse:
        return self._responses.setdefault(response_id, _ExpectedResponse())

    def _receive_audio(self, event: ReceivedAudio) -> None:
        response = self._get_or_create(event.response_id)
        part = event.item_id, event.content_index
        self._response_of[event.item_id] = event.response_id
        is_over = response.is_done or response.is_interrupted or part in response.ended_parts
        audio = None if is_over else decode_audio(event.payload)
        if audio is None:
            return
        last = self._queued_audio[-1] if self._queued_audio else None
        if last is not None and (last.part, last.response_id) == (part, event.response_id):
            last.audio, last.sent_samples = last.audio[last.sent_samples :] + audio, 0
        else:
            self._queued_audio.append(_ExpectedAudio(part, event.response_id, audio))

    # Outputs.

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Apply audio, a mark or a clear that is sent, or what is notified of them."""
        match value:
            case SentMedia(payload=payload):
                self._send(payload, step.now)
            case SentMark(name=name):
                playback = self.playback
                playback.marks[name] = playback.marked_samples = playback.sent_samples
            case SentClear() if not self.is_interrupting:
                self.playback, self.hold = self.playback.restart(), self._queued_hold()
            case SentClear():
                self.playback = ExpectedPlayback()
                self._interrupt()
            case SentCancel(response_id=str(id_)) if self._uplink.is_initiated_by_bridge(value):
                response = self._get_or_create(id_)
                response.is_interrupted = response.is_cancelled = True
            case Interrupted(items=items):
                self._interrupt()
                for item in items:
                    self._get_or_create(item.response_id).is_interrupted = True
            case ClipFinished():
                self._finish_clip(value)
            case Fault(Peer.REALTIME, FaultKind.OVERFLOW):
                self._has_overflow = True
            case _:
                pass

    def _send(self, payload: str, now: int) -> None:
        source, samples = self.source_of(payload), count_samples(payload) or 0
        if source is None:
            return
        self.playback.send(source, samples, now)
        if isinstance(source, ExpectedClip):
            source.sent_samples += samples
            if source.is_sent and not source.is_hold:
                self.queued_clips.popleft()
            return
        queued = self._queued_audio[0]
        self.sent_items.add(source[0])
        queued.sent_samples += samples
        if not queued.unsent_samples:
            self._queued_audio.popleft()

    def _finish_clip(self, event: ClipFinished) -> None:
        clip = self.finished_clip(event)
        if clip is not None:
            self.unfinished_clips.remove(clip)
            if clip is self.hold:
                self.hold = None

    def _queued_hold(self) -> ExpectedClip | None:
        return None if self.is_hold_playing else self.hold

    def _interrupt(self) -> None:
        """Stop all that the conversation says; the rest of a frame is dropped."""
        for response in self._responses.values():
            response.is_interrupted |= response.is_in_conversation and not response.is_done
        self._queued_audio.clear()
        self.queued_clips.clear()
        self.hold = self._queued_hold()

    def finish_step(self, step: StepRecord) -> None:
        """Drop what the bridge dropped, and reset what holds for one step only."""
        if self._has_overflow:
            self.queued_clips.clear()
            self._drop_queued(step.event)
        elif self._requests.is_ambiguous and isinstance(step.event, ReceivedAudio):
            self._drop_unsent()
        self.is_echo = self.is_interrupting = self._has_overflow = False
        self.corrected = self.playback

    def _drop_unsent(self) -> None:
        """Where the server has left open whether a response answers the request that was
        interrupted, audio that is not sent immediately is not to be heard."""
        last = self._queued_audio[-1] if self._queued_audio else None
        if last is not None and last.unsent_samples >= FRAME_SAMPLES:
            self._get_or_create(last.response_id).is_interrupted = True
            self._queued_audio.pop()

    def _drop_queued(self, event: object) -> None:
        """Drop what found no room, but for the start of the next frame."""
        last = self._queued_audio[-1] if self._queued_audio else None
        self._queued_audio.clear()
        if last is not None and isinstance(event, ReceivedAudio):
            last.sent_samples = len(last.audio) - last.unsent_samples % FRAME_SAMPLES
            if last.unsent_samples:
                self._queued_audio.append(last)
