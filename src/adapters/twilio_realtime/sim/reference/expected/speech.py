"""The expected audio for the caller: of the model, and of the clips of the application."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from attrs import define, field

from twilio_realtime_core.commands import Interrupt, Play, PressKeys
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import ClipFinished, Interrupted, ModelSilent
from twilio_realtime_core.protocols.realtime import CancelResponse

from ..limits import ANSWER_NS, SPEECH_STALL_NS, WAITING_NS
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
from .links import OPEN_STATES, ExpectedLinks
from .playback import ExpectedClip, ExpectedPlayback, PartId, SourceId
from .requests import ExpectedRequests
from .uplink import ExpectedUplink

__all__ = ["ExpectedSpeech"]


_UNNAMED: Final = "unnamed "
"""Starts what stands for the id of a response that has started without one."""


@define(eq=False)
class _ExpectedResponse:
    """A response of the model."""

    is_in_conversation: bool = True
    is_announced: bool = False
    """Its start was received."""
    is_done: bool = False
    is_interrupted: bool = False
    """Nothing more of it may be heard."""
    is_cancelled: bool = False
    """A command or the bridge has cancelled it."""
    is_text: bool = False
    """The server has said that it has no audio."""
    is_lost: bool = False
    """Another response of the conversation has started since, or nothing of it was received for
    too long."""
    progress_ns: int = 0
    """When something of it was received."""
    last_part: PartId | None = None
    """The part of which audio was received last."""
    items: set[str] = field(factory=set[str])
    """Items that were added, or are done."""
    open_items: set[str] = field(factory=set[str])
    """Items that were added and are not done."""
    has_done_item: bool = False
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
class _HeldSpeech:
    """Audio of a response that is held until another one has been said."""

    response_id: str
    audio: deque[_ExpectedAudio] = field(factory=deque[_ExpectedAudio])


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
        ModelSilent,
    )

    _links: ExpectedLinks
    _uplink: ExpectedUplink
    _requests: ExpectedRequests
    _config: CallConfig
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
    ended_id: str | None = field(init=False, default=None)
    """The response that ends in this step by an event that does not name it."""
    cancels_response: bool = field(init=False, default=False)
    """The command of this step cancels a response that is generated, for the first time."""
    _is_caller_speaking: bool = field(init=False, default=False)
    unfinished_clips: list[ExpectedClip] = field(init=False, factory=list[ExpectedClip])
    """Clips whose end was not notified."""
    first: "str | ExpectedClip | None" = field(init=False, default=None)
    """What the caller is to hear first: a response, by its id, or a clip."""
    first_ns: int = field(init=False, default=0)
    """When that started."""
    hold: ExpectedClip | None = field(init=False, default=None)
    """The hold audio that is queued until nothing else plays, or is being sent."""

    due: deque["_ExpectedAudio | ExpectedClip"] = field(
        init=False, factory=deque["_ExpectedAudio | ExpectedClip"]
    )
    """What is to be sent now, in its order."""
    held: list["_HeldSpeech | ExpectedClip"] = field(
        init=False, factory=list["_HeldSpeech | ExpectedClip"]
    )
    """What is to be sent once the speaker has ended."""
    _speaker: str | None = field(init=False, default=None)
    """The response that is being said: no other audio goes between what it says."""
    _spoke_ns: int = field(init=False, default=0)
    """When audio of it was received."""
    _responses: dict[str, _ExpectedResponse] = field(
        init=False, factory=dict[str, _ExpectedResponse]
    )
    _unnamed_count: int = field(init=False, default=0)
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
        held = self._held_in_order() if self._requests.may_suppress else ()
        for each in chain(self.due, held):
            if each.audio.startswith(audio, each.sent_samples):
                return each if isinstance(each, ExpectedClip) else each.part
            if isinstance(each, ExpectedClip):
                break
            if each.unsent_samples >= FRAME_SAMPLES and not self._may_be_dropped(each):
                break
        hold = self.hold
        if hold is not None and hold.audio.startswith(audio, hold.sent_samples):
            return hold
        return None

    def _held_in_order(self) -> Iterator["_ExpectedAudio | ExpectedClip"]:
        for each in self.held:
            yield from (each,) if isinstance(each, ExpectedClip) else each.audio

    def _is_due(self, source: SourceId) -> bool:
        return any(source in (each, getattr(each, "part", None)) for each in self.due)

    def finished_clip(self, event: ClipFinished) -> ExpectedClip | None:
        """Return the clip that may have finished as a notification says; `None` if none may."""
        named = [each for each in self.unfinished_clips if each.name in (None, event.name)]
        named.sort(key=lambda each: each.name is None)  # keys have no name of their own
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
        sent = [part for part in parts if part in unplayed or self._is_growing(part)]
        return [*sent, *(part for part in self.held_parts() if part not in sent)]

    def held_parts(self) -> list[PartId]:
        """Return the parts of which audio is held."""
        held = (each.audio for each in self.held if isinstance(each, _HeldSpeech))
        return list(dict.fromkeys(audio.part for each in held for audio in each))

    def _is_growing(self, part: PartId) -> bool:
        response = self._responses[self._response_of[part[0]]]
        return not (response.is_done or response.is_interrupted or part in response.ended_parts)

    def uncancelled_responses(self, now: int, *, in_conversation: bool) -> set[str]:
        """Return the responses that are being generated and were not cancelled: those out of band
        that are heard or would be, and those `in_conversation`, if these count. The id is empty
        where it is not known; then only the one of the conversation can be cancelled."""
        heard = {self._response_of[item_id] for item_id, _ in self.cut_parts(now)}
        found = {
            id_: each
            for id_, each in self._responses.items()
            if not each.is_done
            and not each.is_cancelled
            and (in_conversation if each.is_in_conversation else not each.is_text or id_ in heard)
        }
        unnamed = [found.pop(id_) for id_ in self._unnamed() if id_ in found]
        is_any = any(each.is_in_conversation and not each.is_lost for each in unnamed)
        return {*found, ""} if is_any else {*found}

    def owed_responses(self, now: int) -> list[str]:
        """Return the responses of which more has to be received: audio, or items."""
        return [
            id_
            for id_, each in self._responses.items()
            if self._may_be_heard(each)
            and not each.is_cancelled
            and not _is_complete(each)
            and now < each.progress_ns + ANSWER_NS
        ]

    def is_current(self, response_id: str) -> bool:
        """Whether a response is being generated that may be heard. Without an id it is the latest
        that has none."""
        latest = self._unnamed()[-1:]
        response = self._responses.get(response_id or "".join(latest))
        if response is None or response.is_done or response.is_interrupted:
            return False
        return response.is_in_conversation or not response.is_text

    def is_over(self, response_id: str) -> bool:
        """Whether nothing more of a response can be generated or heard: marks confirm all of it. (A
        player may be behind the clock.)"""
        sources = dict.fromkeys(source for source, _ in self.playback.runs)
        parts = [each for each in sources if not isinstance(each, ExpectedClip)]
        unheard = {
            self._response_of.get(each[0])
            for each in parts
            if not self.playback.confirms(each, whole=True)
        }
        return not (self.is_current(response_id) or response_id in unheard or self.held)

    def is_speech_pending(self, now: int) -> bool:
        """Whether more is certain to be said: a response is generated that is heard, or something
        is held."""
        return bool(self.held) or any(
            self._may_be_heard(each) and not each.is_text and now < each.progress_ns + ANSWER_NS
            for each in self._responses.values()
        )

    def _may_be_heard(self, response: _ExpectedResponse) -> bool:
        return not (response.is_done or response.is_interrupted or response.is_lost)

    def is_spoken(self, now: int) -> bool:
        """Whether a response is being said, which has neither ended nor stalled."""
        speaker = None if self._speaker is None else self._responses.get(self._speaker)
        is_speaking = speaker is not None and self._may_be_heard(speaker)
        return is_speaking and now < self._spoke_ns + SPEECH_STALL_NS

    def stalls_at_ns(self) -> int | None:
        """Return when what is held is to be sent, whatever the speaker does; `None` for nothing."""
        return self._spoke_ns + SPEECH_STALL_NS if self.held else None

    def unsent_samples(self, part: PartId | None = None) -> int:
        """Return the samples that were received, may be heard and were not sent: of a part, or of
        all."""
        queued = (each for each in self.due if isinstance(each, _ExpectedAudio))
        return sum(each.unsent_samples for each in queued if part in (None, each.part))

    @property
    def has_due_clip(self) -> bool:
        """Whether a clip is to be sent now."""
        return any(isinstance(each, ExpectedClip) for each in self.due)

    def heard_parts(self) -> Iterator[tuple[PartId, bool]]:
        """Yield the parts of which marks of this stream confirm something, and whether they confirm
        the end; not those of interrupted responses."""
        held = self.held_parts()
        for part in dict.fromkeys(source for source, _ in self.playback.runs):
            if isinstance(part, ExpectedClip) or not self.playback.confirms(part, whole=False):
                continue
            response = self._responses[self._response_of[part[0]]]
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
        is_sent = not self.due and not self.held
        return is_sent and all(each.is_done for each in self._responses.values())

    @property
    def is_all_heard(self) -> bool:
        """Whether nothing more can be said, and all that was is confirmed as heard."""
        return self.playback.is_confirmed and self.is_idle

    @property
    def is_first_generated(self) -> bool:
        """Whether the first words are a response that is still generated, and may be heard."""
        response = self._responses.get(self.first) if isinstance(self.first, str) else None
        return response is not None and not (response.is_done or response.is_interrupted)

    @property
    def is_first_heard(self) -> bool:
        """Whether it is certain that the first words were heard to their end, or cut."""
        if isinstance(self.first, ExpectedClip):
            is_confirmed = self.first.is_sent and self.playback.confirms(self.first, whole=True)
            return is_confirmed or self.first not in self.unfinished_clips
        response = None if self.first is None else self._responses.get(self.first)
        if response is None or response.is_interrupted:
            return response is not None
        sources = dict.fromkeys(source for source, _ in self.playback.runs)
        parts = [each for each in sources if not isinstance(each, ExpectedClip)]
        parts = [each for each in parts if self._response_of[each[0]] == self.first]
        is_held = any(self._response_of[item_id] == self.first for item_id, _ in self.held_parts())
        is_sent = not is_held and not any(self.unsent_samples(each) for each in parts)
        is_confirmed = all(self.playback.confirms(each, whole=True) for each in parts)
        return response.is_done and is_sent and is_confirmed

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
                for each in self._responses.values():
                    is_late = step.now >= each.progress_ns + ANSWER_NS
                    each.is_lost |= is_late and not each.is_done
            case ReceivedSpeechStop():
                self.is_interrupting = self._is_caller_speaking
                self._is_caller_speaking = False
            case Play(audio, name, until_agent_speaks):
                self._play(ExpectedClip(audio, name, until_agent_speaks), step.now)
            case PressKeys(keys, tone_ms, pause_ms):
                self._play(ExpectedClip(keypad_tones(keys, tone_ms, pause_ms)), step.now)
            case CancelResponse(id_):
                self._cancel(id_)
            case _:
                self._apply_model_event(step.event, step.now)
        self._release(step.now)

    def _release(self, now: int) -> None:
        """Let what is held be sent, as far as nobody is speaking."""
        while self.held and not self.is_spoken(now):
            released = self.held.pop(0)
            self._speaker = None
            if isinstance(released, ExpectedClip):
                self.due.append(released)
            else:
                self._speaker, self._spoke_ns = released.response_id, now
                for each in released.audio:
                    self._append_due(each)

    def _start_stream(self) -> None:
        """Start a stream, perhaps in place of another."""
        self.playback = self.corrected = self.playback.restart()
        self._drop_clips()
        if self.is_hold_playing:
            self.hold = None

    def _drop_clips(self) -> None:
        self.due = deque(each for each in self.due if not isinstance(each, ExpectedClip))
        self.held = [each for each in self.held if not isinstance(each, ExpectedClip)]

    def _confirm(self, sid: str, mark: str, now: int) -> None:
        if self._links.is_streaming and sid == self._links.stream_sid:
            self.is_echo = self.playback.confirm(mark, now)
            self.heard_items |= self.playback.confirmed_items() if self.is_echo else set()

    def _play(self, clip: ExpectedClip, now: int) -> None:
        self.unfinished_clips.append(clip)
        if not clip.is_hold:
            self._note_first(clip, now)
        if clip.is_hold:
            self.hold = clip  # it replaces one that is queued, or plays
        elif self.held or self.is_spoken(now):
            self.held.append(clip)
        else:
            self.due.append(clip)

    def _play_waiting_clip(self, now: int) -> None:
        """Queue what the caller hears while the first session takes long, once."""
        links, clip = self._links, self._config.waiting_clip
        is_opening = links.states[Peer.REALTIME] in OPEN_STATES and not links.is_session_ready
        is_due = is_opening and now >= links.waiting_since_ns + WAITING_NS
        if clip and is_due and not self._has_waiting_clip:
            self._has_waiting_clip = True
            self._play(ExpectedClip(clip, "waiting", is_hold=True), now)

    def _cancel(self, response_id: str | None) -> None:
        was_cancelled = sum(each.is_cancelled for each in self._responses.values())
        for id_, each in self._responses.items():
            is_named = each.is_in_conversation if response_id is None else id_ == response_id
            each.is_cancelled |= is_named and not each.is_done
        is_cancelled = sum(each.is_cancelled for each in self._responses.values())
        self.cancels_response = is_cancelled > was_cancelled

    def _apply_model_event(self, event: object, now: int) -> None:
        match event:
            case ReceivedResponseStart(id_, is_out_of_band, is_text=is_text) as event:
                self._unnamed_count += not id_
                id_ = id_ or f"{_UNNAMED}{self._unnamed_count}"
                response = self._responses.setdefault(id_, _ExpectedResponse())
                self._note(response, now, is_out_of_band=is_out_of_band)
                response.is_announced = True
                response.is_text = is_text
                if event.response_id and not is_text:
                    self._note_first(id_, now)
                response.is_interrupted |= event.response_id in self._requests.suppressed
                if not is_out_of_band:
                    self._end_those_before(id_)
            case ReceivedResponseEnd(id_, is_out_of_band) as event:
                if not id_:
                    self.ended_id = self._under_way(event)
                    if self.ended_id is None:
                        return
                    id_ = self.ended_id
                    if self._responses[id_].is_announced:
                        is_out_of_band = not self._responses[id_].is_in_conversation
                response = self._get_or_create(id_)
                self._note(response, now, is_out_of_band=is_out_of_band)
                response.is_done = True
            case ReceivedOutputItemAdded(response_id, item):
                response = self._get_or_create(response_id)  # its start may be lost
                response.open_items.add(item.id)
                response.items.add(item.id)
                response.progress_ns = now
            case ReceivedOutputItemDone(response_id, item):
                response = self._get_or_create(response_id)
                response.open_items.discard(item.id)
                response.items.add(item.id)
                response.has_done_item, response.progress_ns = True, now
                self._response_of[item.id] = response_id
            case ReceivedAudioEnd(response_id, item_id, index):
                response = self._get_or_create(response_id)
                response.ended_parts.add((item_id, index))
                response.progress_ns = now
            case _:
                pass

    def _note_first(self, speech: str | ExpectedClip, now: int) -> None:
        if self.first is None:
            self.first, self.first_ns = speech, now

    def _note(self, response: _ExpectedResponse, now: int, *, is_out_of_band: bool) -> None:
        response.is_in_conversation = not is_out_of_band
        response.is_lost, response.progress_ns = False, now

    def _end_those_before(self, response_id: str) -> None:
        """The server has one response of the conversation at a time."""
        for id_, each in self._responses.items():
            is_before = each.is_in_conversation and not each.is_done and id_ != response_id
            each.is_lost |= is_before

    def _under_way(self, end: ReceivedResponseEnd) -> str | None:
        """Return the response that ends, where the event does not name it: the latest that is being
        generated, if it can be, of its kind, and above all the one that has its items."""
        found = [id_ for id_, each in self._responses.items() if not each.is_done]
        items = {each.id for each in end.output}
        tests: tuple[Callable[[_ExpectedResponse], bool], ...] = (
            lambda each: not items.isdisjoint(each.items),
            lambda each: each.is_in_conversation is not end.is_out_of_band,
        )
        for is_likely in tests:
            found = [id_ for id_ in found if is_likely(self._responses[id_])] or found
        return found[-1] if found else None

    def _get_or_create(self, response_id: str) -> _ExpectedResponse:
        unnamed = [id_ for id_ in self._unnamed() if not self._responses[id_].is_done]
        if response_id not in self._responses and unnamed:  # it must be of one of them
            named = min(unnamed, key=lambda id_: self._responses[id_].is_lost)
            self._responses = {
                response_id if id_ == named else id_: each for id_, each in self._responses.items()
            }
        return self._responses.setdefault(response_id, _ExpectedResponse())

    def _unnamed(self) -> list[str]:
        """Return the responses that have started without an id, and that no event has named."""
        return [id_ for id_ in self._responses if id_.startswith(_UNNAMED)]

    def _of(self, response_id: str | None) -> list[_ExpectedResponse]:
        """Return the response of an id; without one, all that no event has named."""
        if response_id:
            return [self._get_or_create(response_id)]
        return [self._responses[id_] for id_ in self._unnamed()]

    def _receive_audio(self, event: ReceivedAudio, now: int) -> None:
        response = self._get_or_create(event.response_id)
        response.progress_ns = now
        part = event.item_id, event.content_index
        self._response_of[event.item_id] = event.response_id
        is_over = response.is_done or response.is_interrupted or part in response.ended_parts
        audio = None if is_over else decode_audio(event.payload)
        if audio is None:
            return
        response.last_part, response.is_lost, self.accepts_audio = part, False, True
        self._note_first(event.response_id, now)
        received = _ExpectedAudio(part, event.response_id, audio)
        held = [each for each in self.held if isinstance(each, _HeldSpeech)]
        own = next((each for each in held if each.response_id == event.response_id), None)
        if own is not None:
            own.audio.append(received)
        elif event.response_id != self._speaker and (self.held or self.is_spoken(now)):
            self.held.append(_HeldSpeech(event.response_id, deque([received])))
        else:
            self._speaker, self._spoke_ns = event.response_id, now
            self._append_due(received)

    def _append_due(self, received: _ExpectedAudio) -> None:
        last = self.due[-1] if self.due else None
        if isinstance(last, _ExpectedAudio) and (last.part, last.response_id) == (
            received.part,
            received.response_id,
        ):
            last.audio, last.sent_samples = last.audio[last.sent_samples :] + received.audio, 0
        else:
            self.due.append(received)

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
            case SentCancel(response_id=id_) if self._uplink.is_initiated_by_bridge(value):
                for response in self._of(id_):
                    response.is_interrupted = response.is_cancelled = True
                self._release(step.now)
            case ModelSilent(response_ids=ids) if not self._config.on_model_silent.only_notifies:
                for response in [response for id_ in ids for response in self._of(id_)]:
                    response.is_interrupted = True
                self._release(step.now)
                if self._config.on_model_silent.clip:
                    self._play(ExpectedClip(self._config.on_model_silent.clip), step.now)
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
        for _ in tuple(self.held) if self._requests.may_suppress else ():
            if self._is_due(source):
                break
            self._drop_unsent()
            self._release(now)
        self.playback.send(source, samples, now)
        if isinstance(source, ExpectedClip):
            source.sent_samples += samples
            if source.is_sent and not source.is_hold:
                self.due.remove(source)
            return
        self.sent_items.add(source[0])
        for each in list(self.due):
            if isinstance(each, _ExpectedAudio) and each.part == source:
                each.sent_samples += samples
                if not each.unsent_samples:
                    self.due.remove(each)
                return

    def _finish_clip(self, event: ClipFinished) -> None:
        clip = self.finished_clip(event)
        if clip is not None:
            self.unfinished_clips.remove(clip)
            if clip is self.hold:
                self.hold = None

    def _queued_hold(self) -> ExpectedClip | None:
        return None if self.is_hold_playing else self.hold

    def _interrupt(self) -> None:
        """Stop all that is said or would be; the rest of a frame is dropped."""
        for response in self._responses.values():
            is_heard = response.is_in_conversation or not response.is_text
            response.is_interrupted |= is_heard and not response.is_done
        self.due.clear()
        self.held.clear()
        self._speaker = None
        self.hold = self._queued_hold()
        self.playback.marked_samples = self.playback.sent_samples  # no part ends with a mark now

    def finish_step(self, step: StepRecord) -> None:
        """Drop what the bridge dropped, and reset what holds for one step only."""
        if self._has_overflow:
            self._drop_clips()
            self._drop_queued(step.event)
        elif self._requests.is_ambiguous and self._links.is_streaming:
            self._drop_unsent()
        self.is_echo = self.is_interrupting = self._has_overflow = False
        self.cancels_response = self.accepts_audio = False
        self.ended_id = None
        self.corrected = self.playback

    def _drop_unsent(self) -> None:
        """Drop what may be dropped and was not sent immediately."""
        for each in [each for each in self.due if isinstance(each, _ExpectedAudio)]:
            if each.unsent_samples >= FRAME_SAMPLES and self._may_be_dropped(each):
                self._get_or_create(each.response_id).is_interrupted = True
                self.due.remove(each)

    def _may_be_dropped(self, audio: _ExpectedAudio) -> bool:
        """Whether audio of which nothing was sent need not be: where the server has left open
        whether its response answers the request that was interrupted."""
        return self._requests.is_ambiguous and not audio.sent_samples

    def _drop_queued(self, event: object) -> None:
        """Drop what found no room, but for the start of the next frame."""
        last = self.due[-1] if self.due else None
        self.due.clear()
        if isinstance(last, _ExpectedAudio) and isinstance(event, ReceivedAudio):
            last.sent_samples = len(last.audio) - last.unsent_samples % FRAME_SAMPLES
            if last.unsent_samples:
                self.due.append(last)


def _is_complete(response: _ExpectedResponse) -> bool:
    """Whether nothing need follow but the end of the response: its audio and items are complete."""
    part = response.last_part
    if part is not None and part not in response.ended_parts:
        return False
    spoken: set[str] = set() if part is None else {part[0]}
    return not response.open_items - spoken and (part is not None or response.has_done_item)
