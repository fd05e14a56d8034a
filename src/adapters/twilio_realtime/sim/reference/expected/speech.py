"""The expected speech to the caller: what is said and played, and what of it was heard."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from twilio_realtime_core.commands import Interrupt, Play, PressKeys
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import ClipFinished, Interrupted, ModelSilent
from twilio_realtime_core.protocols.realtime import CancelResponse

from ..limits import WAITING_NS
from ..received import (
    RESPONSE_EVENTS,
    ReceivedAudio,
    ReceivedCommit,
    ReceivedError,
    ReceivedInputFailure,
    ReceivedInputTranscript,
    ReceivedItemAdded,
    ReceivedItemDeleted,
    ReceivedItemDone,
    ReceivedKey,
    ReceivedMark,
    ReceivedMcpCallEnd,
    ReceivedMcpCallStart,
    ReceivedOther,
    ReceivedRateLimits,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
    ReceivedWords,
)
from ..sent import SentCancel, SentClear, SentMark, SentMedia
from ..step_record import ExpectedState, StepRecord, TimeoutHandled
from ..tones import keypad_tones
from ..units import samples_to_ms
from ..wire import count_samples, decode_audio
from .audio_queue import ExpectedAudioQueue
from .links import OPEN_STATES, ExpectedLinks
from .playback import ExpectedClip, ExpectedPlayback, PartId, SourceId
from .requests import ExpectedRequests
from .responses import ExpectedResponses
from .uplink import ExpectedUplink

__all__ = ["ExpectedSpeech"]

_PASSING: Final = (
    ReceivedCommit,
    ReceivedError,
    ReceivedInputFailure,
    ReceivedInputTranscript,
    ReceivedItemAdded,
    ReceivedItemDeleted,
    ReceivedKey,
    ReceivedOther,
    ReceivedRateLimits,
    ReceivedSession,
    ReceivedWords,
)
"""Events that change nothing of the speech, but may come when what is held is due."""


@define(eq=False)
class ExpectedSpeech(ExpectedState):
    """The audio of the model and the clips of the application, on their way to the caller."""

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
        ReceivedItemDone,
        ReceivedMcpCallEnd,
        ReceivedMcpCallStart,
        *RESPONSE_EVENTS,
        *_PASSING,
    )
    outputs = (
        SentMedia,
        SentMark,
        SentClear,
        SentCancel,
        Interrupted,
        ClipFinished,
        Fault,
        ModelSilent,
    )

    _links: ExpectedLinks
    _uplink: ExpectedUplink
    _requests: ExpectedRequests
    _responses: ExpectedResponses
    _config: CallConfig
    queue: ExpectedAudioQueue = field(init=False)
    """Audio to be sent."""
    playback: ExpectedPlayback = field(init=False, factory=ExpectedPlayback)
    _has_waiting_clip: bool = field(init=False, default=False)
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
    accepts_audio: bool = field(init=False, default=False)
    """The audio that is received in this step may be heard."""
    cancels_response: bool = field(init=False, default=False)
    """The command of this step cancels a response that is generated, for the first time."""
    _is_caller_speaking: bool = field(init=False, default=False)
    unfinished_clips: list[ExpectedClip] = field(init=False, factory=list[ExpectedClip])
    """Clips whose end was not notified."""
    first: "str | ExpectedClip | None" = field(init=False, default=None)
    """What the caller is to hear first: a response, by its id, or a clip."""
    first_ns: int = field(init=False, default=0)
    """When that started."""
    _has_overflow: bool = field(init=False, default=False)
    """Audio was dropped and reported in this step."""

    def __attrs_post_init__(self) -> None:
        self.queue = ExpectedAudioQueue(self._requests, self._responses)
        self.corrected = self.playback

    # Queries.

    def source_of(self, payload: str) -> SourceId | None:
        """Return what media is of; `None` if its audio is not the next of anything."""
        audio = decode_audio(payload)
        return None if audio is None else self.queue.source_of(audio)

    def finished_clip(self, event: ClipFinished) -> ExpectedClip | None:
        """Return the clip that may have finished as a notification says; `None` if none may."""
        named = [each for each in self.unfinished_clips if each.name in (None, event.name)]
        named.sort(key=lambda each: each.name is None)  # keys have no name of their own
        return next((each for each in named if self._may_finish(each, event)), None)

    def _may_finish(self, clip: ExpectedClip, event: ClipFinished) -> bool:
        sent_ms = samples_to_ms(self.corrected.sent_of(clip))
        least_ms = samples_to_ms(self.corrected.confirmed_of(clip))
        is_possible = least_ms <= event.heard_ms <= event.sent_ms == sent_ms
        # Where hold audio starts, what was before it must have been played, by the clock.
        is_whole = event.heard_ms == event.sent_ms
        is_by_echo = self.is_echo and is_whole and not self.queue.is_hold_playing
        return is_possible and (not is_by_echo or least_ms == sent_ms)

    def cut_parts(self, now: int) -> list[PartId]:
        """Return the parts that an interruption cuts: something of them is not played, or more of
        them would be generated."""
        unplayed = self.playback.unplayed_sources(now)
        parts = {part: None for part, _ in self.playback.runs if not isinstance(part, ExpectedClip)}
        sent = [part for part in parts if part in unplayed or self._responses.is_growing(part)]
        return [*sent, *(part for part in self.queue.held_parts() if part not in sent)]

    def is_over(self, response_id: str) -> bool:
        """Whether nothing more of a response can be generated or heard: marks confirm all of it. (A
        player may be behind the clock.)"""
        sources = dict.fromkeys(source for source, _ in self.playback.runs)
        parts = [each for each in sources if not isinstance(each, ExpectedClip)]
        unheard = {
            self._responses.of_item.get(each[0])
            for each in parts
            if not self.playback.confirms(each, whole=True)
        }
        is_current = self._responses.is_current(response_id)
        return not (is_current or response_id in unheard or self.queue.held)

    def is_speech_pending(self, now: int) -> bool:
        """Whether more is certain to be said: a response is generated that is heard, or something
        is held."""
        return bool(self.queue.held) or self._responses.is_speech_expected(now)

    def heard_parts(self) -> Iterator[tuple[PartId, bool]]:
        """Yield the parts of which marks of this stream confirm something, and whether they confirm
        the end; not those of interrupted responses."""
        held = self.queue.held_parts()
        for part in dict.fromkeys(source for source, _ in self.playback.runs):
            if isinstance(part, ExpectedClip) or not self.playback.confirms(part, whole=False):
                continue
            response = self._responses.by_id[self._responses.of_item[part[0]]]
            is_ended = (response.is_done or part in response.ended_parts) and part not in held
            if not response.is_interrupted:
                yield part, is_ended and self.playback.confirms(part, whole=True)

    def least_heard_ms(self, now: int) -> int:
        """Return how much was heard, at the least, of any response or clip that may be playing; 0
        if it is not certain that anything plays."""
        if not self.playback.unplayed_sources(now):
            return 0
        heard, playing = Counter[str | ExpectedClip](), set[str | ExpectedClip]()
        for source in dict.fromkeys(source for source, _ in self.playback.runs):
            if isinstance(source, ExpectedClip):
                owner: str | ExpectedClip = source
            else:
                owner = self._responses.of_item[source[0]]
            confirmed = self.playback.confirmed_of(source)
            heard[owner] += confirmed
            if confirmed < self.playback.sent_of(source):
                playing.add(owner)
        return min((samples_to_ms(heard[each]) for each in playing), default=0)

    @property
    def is_idle(self) -> bool:
        """Whether no response is under way, so that nothing more can be said."""
        return self.queue.is_empty and all(each.is_done for each in self._responses.by_id.values())

    @property
    def is_all_heard(self) -> bool:
        """Whether nothing more can be said, and all that was is confirmed as heard."""
        return self.playback.is_confirmed and self.is_idle

    @property
    def is_first_generated(self) -> bool:
        """Whether the first words are a response that is still generated, and may be heard."""
        response = self._responses.find(self.first) if isinstance(self.first, str) else None
        return response is not None and response.may_be_heard

    @property
    def _is_first_to_come(self) -> bool:
        """Whether the first words are still to come, since the response that was to say them has
        made no sound: it has called a function or written, or is given up and asked for again."""
        response = self._responses.find(self.first) if isinstance(self.first, str) else None
        if response is None or response.last_part is not None:
            return False
        return response.is_given_up or (response.has_done_item and response.is_done)

    @property
    def is_first_heard(self) -> bool:
        """Whether it is certain that the first words were heard to their end, or cut."""
        if isinstance(self.first, ExpectedClip):
            is_confirmed = self.first.is_sent and self.playback.confirms(self.first, whole=True)
            return is_confirmed or self.first not in self.unfinished_clips
        response = None if self.first is None else self._responses.find(self.first)
        if response is None or self._is_first_to_come:
            return False
        if response.is_interrupted:
            return True
        sources = dict.fromkeys(source for source, _ in self.playback.runs)
        parts = [each for each in sources if not isinstance(each, ExpectedClip)]
        of_item = self._responses.of_item
        parts = [each for each in parts if of_item[each[0]] == self.first]
        is_held = any(of_item[item_id] == self.first for item_id, _ in self.queue.held_parts())
        is_sent = not is_held and not any(self.queue.unsent_samples(each) for each in parts)
        is_confirmed = all(self.playback.confirms(each, whole=True) for each in parts)
        return not response.may_be_heard and is_sent and is_confirmed

    def is_confirmed_by_echo(self, source: SourceId, *, whole: bool) -> bool:
        """Whether the echo of this step confirms some, or the whole, of a source."""
        return self.is_echo and self.playback.confirms(source, whole=whole)

    # Inputs.

    def apply_input(self, step: StepRecord) -> None:
        """Apply audio that is received, an echo, a command or an interruption."""
        match step.event:
            case ReceivedAudio() as event:
                self._receive_audio(event, step.now)
            case ReceivedMark(stream_sid=sid, name=name):
                self._confirm(sid, name, step.now)
            case ReceivedStart() if self._links.is_stream_starting:
                self._start_stream()
            case Interrupt() | ReceivedSpeechStart():
                self.is_interrupting = True
                self._is_caller_speaking |= isinstance(step.event, ReceivedSpeechStart)
            case TimeoutHandled():
                self.is_interrupting = self._is_caller_speaking
                self._play_waiting_clip(step.now)
                self._responses.mark_lost(step.now)
            case ReceivedSpeechStop():
                self.is_interrupting = self._is_caller_speaking
                self._is_caller_speaking = False
            case Play(audio, name, until_agent_speaks):
                self._play(ExpectedClip(audio, name, until_agent_speaks), step.now)
            case PressKeys(keys, tone_ms, pause_ms):
                self._play(ExpectedClip(keypad_tones(keys, tone_ms, pause_ms)), step.now)
            case CancelResponse(id_):
                self.cancels_response = self._responses.cancel(id_)
            case ReceivedResponseStart() as event:
                self._start_response(event, step.now)
            case _:
                self._responses.apply_event(step.event, step.now)
        self.queue.release(step.now)

    def _start_stream(self) -> None:
        """Start a stream, perhaps in place of another."""
        self.playback = self.corrected = self.playback.restart()
        self.queue.drop_clips()
        self.queue.end_hold()

    def _confirm(self, sid: str, mark: str, now: int) -> None:
        if self._links.is_streaming and sid == self._links.stream_sid:
            self.is_echo = self.playback.confirm(mark, now)
            self.heard_items |= self.playback.confirmed_items() if self.is_echo else set()

    def _play(self, clip: ExpectedClip, now: int) -> None:
        self.unfinished_clips.append(clip)
        if not clip.is_hold:
            self._note_first(clip, now)
        self.queue.add_clip(clip, now)

    def _play_waiting_clip(self, now: int) -> None:
        """Queue what the caller hears while the first session takes long, once."""
        links, clip = self._links, self._config.waiting_clip
        is_opening = links.states[Peer.REALTIME] in OPEN_STATES and not links.is_session_ready
        is_due = is_opening and now >= links.waiting_since_ns + WAITING_NS
        if clip and is_due and not self._has_waiting_clip:
            self._has_waiting_clip = True
            self._play(ExpectedClip(clip, "waiting", is_hold=True), now)

    def _start_response(self, event: ReceivedResponseStart, now: int) -> None:
        id_ = self._responses.start(event, now)
        response = self._responses.by_id[id_]
        if event.is_text is None:
            response.is_text = event.response_id in self._requests.silent_ids
        if event.response_id and not response.is_text:
            self._note_first(id_, now)
        is_suppressed = event.response_id in self._requests.suppressed
        self._responses.by_id[id_].is_interrupted |= is_suppressed
        self._responses.by_id[id_].is_cancelled |= self._requests.is_start_cancelled

    def _note_first(self, speech: str | ExpectedClip, now: int) -> None:
        if self.first is None or self._is_first_to_come:
            self.first, self.first_ns = speech, now

    def _receive_audio(self, event: ReceivedAudio, now: int) -> None:
        response = self._responses.get_or_create(event.response_id)
        response.progress_ns = now
        part = event.item_id, event.content_index
        self._responses.of_item[event.item_id] = event.response_id
        audio = decode_audio(event.payload) if self._responses.is_growing(part) else None
        if audio is None:
            return
        response.last_part, response.is_lost, self.accepts_audio = part, False, True
        self._note_first(event.response_id, now)
        self.queue.add_audio(part, event.response_id, audio, now)

    # Outputs.

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Apply audio, a mark or a clear that is sent, or what is notified of them."""
        match value:
            case SentMedia(payload=payload):
                self._send(payload, step.now)
            case SentMark(name=name):
                playback = self.playback
                playback.marks[name] = playback.marked_samples = playback.sent_samples
            case SentClear() if not (self.is_interrupting and self._may_be_interrupted(step)):
                self.playback = self.playback.restart()
                self.queue.end_hold()
            case SentClear():
                self.playback = ExpectedPlayback()
                self._interrupt()
            case SentCancel(response_id=id_) if self._uplink.is_initiated_by_bridge(value):
                for response in self._responses.named(id_):
                    response.is_interrupted = response.is_cancelled = True
                self.queue.release(step.now)
            case ModelSilent(response_ids=ids) if not self._config.on_model_silent.only_notifies:
                for response in [each for id_ in ids for each in self._responses.named(id_)]:
                    response.is_interrupted = response.is_given_up = True
                if not self._requests.is_ambiguous:  # else it may be another one
                    for id_ in self._requests.awaited():
                        for response in self._responses.active(id_):
                            response.is_lost = True
                self.queue.release(step.now)
                if self._config.on_model_silent.clip and not self._requests.turn.is_speaking:
                    self._play(ExpectedClip(self._config.on_model_silent.clip), step.now)
            case Interrupted(items=items):
                self._interrupt()
                for item in items:
                    self._responses.get_or_create(item.response_id).is_interrupted = True
            case ClipFinished():
                self._finish_clip(value)
            case Fault(Peer.REALTIME, FaultKind.OVERFLOW):
                self._has_overflow = True
            case _:
                pass

    def _may_be_interrupted(self, step: StepRecord) -> bool:
        """Whether a clear may be that of an interruption, and does not make place for a clip in
        which hold audio ends."""
        is_for_clip = self.queue.is_hold_playing and self.queue.has_due_clip
        return not is_for_clip or step.has_output(Interrupted)

    def _send(self, payload: str, now: int) -> None:
        source, samples = self.source_of(payload), count_samples(payload) or 0
        if source is None:
            return
        self.queue.send(source, samples, now)
        self.playback.send(source, samples, now)
        if not isinstance(source, ExpectedClip):
            self.sent_items.add(source[0])

    def _finish_clip(self, event: ClipFinished) -> None:
        clip = self.finished_clip(event)
        if clip is not None:
            self.unfinished_clips.remove(clip)
            if clip is self.queue.hold:
                self.queue.hold = None

    def _interrupt(self) -> None:
        """Stop all that is said or would be."""
        self._responses.interrupt_all()
        self.queue.clear()
        self.playback.marked_samples = self.playback.sent_samples  # no part ends with a mark now

    def finish_step(self, step: StepRecord) -> None:
        """Drop what the bridge dropped, and reset what holds for one step only."""
        if self._has_overflow:
            self.queue.drop_overflow(keeps_rest=isinstance(step.event, ReceivedAudio))
        elif self._requests.is_ambiguous and self._links.is_streaming:
            self.queue.drop_unsent()
        self.is_echo = self.is_interrupting = self._has_overflow = False
        self.cancels_response = self.accepts_audio = False
        self._responses.ended_id = None
        self.corrected = self.playback
