"""What the caller is to hear: what the model said, and the application's own audio."""

from base64 import b64decode
from collections import Counter, deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from attrs import define, field

from twilio_realtime_core.audio.dtmf import key_tones
from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.commands import Interrupt, Play, PressKeys
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.units import FRAME_SAMPLES, samples_to_ms
from twilio_realtime_core.notifications import ClipFinished, Interrupted
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    OutputAudioDeltaEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
)

from .links import Line
from .requests import Asks
from .sent_audio import Key, Own, Sound
from .step_record import Fact, TimedOut, Told
from .to_model import ToModel

__all__ = ["Speech"]


@define(eq=False)
class _Response:
    """What is known of a response. `stopped`: its interruption is committed. `cancelled`: by a
    command, or by the bridge."""

    in_conversation: bool = True
    done: bool = False
    stopped: bool = False
    cancelled: bool = False
    done_parts: set[Key] = field(factory=set[Key])


@define(eq=False)
class _Said:
    """Audio of one part that came and may be heard; `at` is how much of it was sent."""

    key: Key
    response_id: str
    audio: bytes
    at: int = 0


@define(eq=False)
class Speech(Fact):
    """Audio on its way to the caller."""

    inputs = (
        twilio.StartEvent,
        twilio.MarkEvent,
        Interrupt,
        SpeechStartedEvent,
        SpeechStoppedEvent,
        TimedOut,
        Play,
        PressKeys,
        CancelResponse,
        OutputAudioDeltaEvent,
        realtime.OutputAudioDoneEvent,
        realtime.OutputItemAddedEvent,
        realtime.OutputItemDoneEvent,
        realtime.ResponseCreatedEvent,
        realtime.ResponseDoneEvent,
    )
    outputs = (
        twilio.Media,
        twilio.Mark,
        twilio.Clear,
        CancelResponse,
        Interrupted,
        ClipFinished,
        Fault,
    )

    _line: Line
    _to_model: ToModel
    _asks: Asks
    sound: Sound = field(init=False, factory=Sound)
    judged: Sound = field(init=False)
    """What a correction of the model's memory is about: the sound that this step has cleared."""
    heard_items: set[str] = field(init=False, factory=set[str])
    """Items of which a mark has confirmed something."""
    sent_items: set[str] = field(init=False, factory=set[str])
    """Items of which some audio was sent."""
    echoed: bool = field(init=False, default=False)
    """This step was told of the echo of a mark that was under way."""
    interrupting: bool = field(init=False, default=False)
    """This step was told of an interruption, or the caller speaks for long enough to be one."""
    _speaking: bool = field(init=False, default=False)
    unfinished: list[Own] = field(init=False, factory=list[Own])
    """Own audio of which nobody was told that it has finished."""
    own: deque[Own] = field(init=False, factory=deque[Own])
    """Own audio to be sent in its turn."""
    hold: Own | None = field(init=False, default=None)
    """Own audio that yields: to be sent when nothing else plays, or being sent."""

    _said: deque[_Said] = field(init=False, factory=deque[_Said])
    _responses: dict[str, _Response] = field(init=False, factory=dict[str, _Response])
    _response_of: dict[str, str] = field(init=False, factory=dict[str, str])
    """By item."""
    _overflow: bool = field(init=False, default=False)
    """In this step audio was dropped and reported."""

    def __attrs_post_init__(self) -> None:
        self.judged = self.sound

    # What invariants ask.

    def source(self, payload: str) -> Key | None:
        """What a media's audio is of; `None` if it is none of what comes next."""
        audio = _decode(payload)
        if audio is None:
            return None
        said = self._said[0] if self._said else None
        if said is not None and said.audio.startswith(audio, said.at):
            return said.key
        for own in (self.own[0] if self.own else None, self.hold):
            if own is not None and own.audio.startswith(audio, own.at):
                return own
        return None

    def may_finish(self, event: ClipFinished) -> list[Own]:
        """The own audio that a notification may be about."""
        return [each for each in self.unfinished if each.name in (None, event.name)]

    def finishes(self, own: Own, event: ClipFinished) -> bool:
        """Whether own audio may have finished as a notification says."""
        sent, least = (
            samples_to_ms(self.judged.sent_of(own)),
            samples_to_ms(self.judged.confirmed_of(own)),
        )
        heard = least <= event.heard_ms <= event.sent_ms == sent
        by_echo = self.echoed and event.heard_ms == event.sent_ms
        return heard and (not by_echo or least == sent)

    def is_outside(self, item_id: str) -> bool:
        """Whether an item belongs to a response outside the conversation."""
        response = self._responses.get(self._response_of.get(item_id, ""))
        return response is not None and not response.in_conversation

    def is_generating(self, response_id: str) -> bool:
        """Whether a response is known, and not known to be done."""
        response = self._responses.get(response_id)
        return response is not None and not response.done

    def is_stopped(self, response_id: str) -> bool:
        """Whether a response of the conversation is known, whose interruption is committed."""
        response = self._responses.get(response_id)
        return response is not None and response.in_conversation and response.stopped

    @property
    def stoppable(self) -> bool:
        """Whether a response of the conversation is being generated that may be heard."""
        return any(
            each.in_conversation and not each.done and not each.stopped
            for each in self._responses.values()
        )

    def cut(self, now: int) -> list[tuple[str, int]]:
        """The parts that an interruption cuts: something of them waits to be played, or more of
        them would be said."""
        unheard = self.sound.unheard(now)
        parts = {key: None for key, _ in self.sound.runs if not isinstance(key, Own)}
        return [key for key in parts if key in unheard or self._goes_on(key)]

    def _goes_on(self, key: tuple[str, int]) -> bool:
        response = self._responses[self._response_of[key[0]]]
        return not (response.done or response.stopped or key in response.done_parts)

    def generating_aloud(self, now: int, *, conversation: bool) -> set[str]:
        """Responses that are being generated and were not cancelled: those that sound, outside of
        the conversation, and, if so asked, all of the `conversation`."""
        sound = {self._response_of[item_id] for item_id, _ in self.cut(now)}
        return {
            id_
            for id_, each in self._responses.items()
            if not each.done
            and not each.cancelled
            and (conversation if each.in_conversation else id_ in sound)
        }

    def kept_back(self, key: Key | None = None) -> int:
        """Samples that came, may be heard, and were not sent: of one part, or of all."""
        said = (each for each in self._said if key in (None, each.key))
        return sum(len(each.audio) - each.at for each in said)

    def heard_parts(self) -> Iterator[tuple[tuple[str, int], bool]]:
        """The parts of which marks of this stream confirm something, and whether they were heard to
        the end; those of interrupted responses excepted."""
        for key in dict.fromkeys(key for key, _ in self.sound.runs):
            if isinstance(key, Own) or not self.sound.confirms(key, whole=False):
                continue
            response = self._responses[self._response_of[key[0]]]
            over = response.done or key in response.done_parts
            if not response.stopped:
                yield key, over and self.sound.confirms(key, whole=True)

    def least_heard_ms(self, now: int) -> int:
        """How much was heard, at the least, of any response, or of own audio, that may play; 0 if
        it is not certain that anything plays."""
        if not self.sound.unheard(now):
            return 0
        heard, playing = Counter[str | Own](), set[str | Own]()
        for key in dict.fromkeys(key for key, _ in self.sound.runs):
            whose = key if isinstance(key, Own) else self._response_of[key[0]]
            heard[whose] += self.sound.confirmed_of(key)
            if self.sound.confirmed_of(key) < self.sound.sent_of(key):
                playing.add(whose)
        return min((samples_to_ms(heard[each]) for each in playing), default=0)

    @property
    def holds(self) -> bool:
        """Whether what plays only fills the time."""
        return self.hold is not None and self.hold.at > 0

    @property
    def idle(self) -> bool:
        """Whether nothing more can be said at the moment: no response is under way."""
        return not self._said and all(each.done for each in self._responses.values())

    def confirms(self, key: Key, *, whole: bool) -> bool:
        """Whether the echo of this step says that some, or the whole, of a part was heard."""
        return self.echoed and self.sound.confirms(key, whole=whole)

    # What happens.

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""
        match told.event:
            case OutputAudioDeltaEvent() as event:
                self._model_audio(event)
            case twilio.MarkEvent(stream_sid=sid, name=name):
                self._echo(sid, name, told.now)
            case twilio.StartEvent() if self._line.begins:
                self._begin()
            case Interrupt() | SpeechStartedEvent():
                self.interrupting = True
                self._speaking |= isinstance(told.event, SpeechStartedEvent)
            case TimedOut():
                self.interrupting = self._speaking
            case SpeechStoppedEvent():
                self.interrupting, self._speaking = self._speaking, False
            case Play(audio, name, yields):
                self._play(Own(audio, name, yields))
            case PressKeys(keys, tone_ms, pause_ms):
                self._play(Own(key_tones(keys, tone_ms, pause_ms)))
            case CancelResponse(id_):
                self._cancelled(id_)
            case _:
                self._model_event(told.event)

    def _begin(self) -> None:
        """A stream begins, perhaps in place of another."""
        self.sound = self.judged = self.sound.next_stream()
        self.own.clear()
        if self.hold is not None and self.hold.at:
            self.hold = None

    def _echo(self, sid: str, name: str, now: int) -> None:
        if self._line.streaming and sid == self._line.stream_sid:
            self.echoed = self.sound.echo(name, now)
            self.heard_items |= self.sound.confirmed_items() if self.echoed else set()

    def _play(self, own: Own) -> None:
        self.unfinished.append(own)
        if own.yields:
            self.hold = own  # it takes the place of one that waits, or plays
        else:
            self.own.append(own)

    def _cancelled(self, response_id: str | None) -> None:
        for id_, each in self._responses.items():
            named = each.in_conversation if response_id is None else id_ == response_id
            each.cancelled |= named and not each.done

    def _model_event(self, event: object) -> None:
        match event:
            case realtime.ResponseCreatedEvent(response):
                known = self._response(response.id)
                known.in_conversation = response.conversation_id is not None
                known.stopped |= self._asks.stillborn == response.id
            case realtime.ResponseDoneEvent(response):
                known = self._response(response.id)
                known.in_conversation = response.conversation_id is not None
                known.done = True
            case realtime.OutputItemAddedEvent(response_id):
                self._response(response_id)  # known by it, should it have begun unseen
            case realtime.OutputItemDoneEvent(response_id, item):
                self._response(response_id)
                self._response_of[item.id] = response_id
            case realtime.OutputAudioDoneEvent(response_id, item_id, index):
                self._response(response_id).done_parts.add((item_id, index))
            case _:
                pass

    def _response(self, id_: str) -> _Response:
        return self._responses.setdefault(id_, _Response())

    def _model_audio(self, event: OutputAudioDeltaEvent) -> None:
        response, key = self._response(event.response_id), (event.item_id, event.content_index)
        self._response_of[event.item_id] = event.response_id
        over = response.done or response.stopped or key in response.done_parts
        audio = None if over else _decode(event.delta)
        if audio is None:
            return
        last = self._said[-1] if self._said else None
        if last is not None and (last.key, last.response_id) == (key, event.response_id):
            last.audio, last.at = last.audio[last.at :] + audio, 0
        else:
            self._said.append(_Said(key, event.response_id, audio))

    def asked(self, value: object, told: Told) -> None:
        """Take in one thing that the bridge asked for."""
        match value:
            case twilio.Media(payload=payload):
                self._sent(payload, told.now)
            case twilio.Mark(name=name):
                self.sound.marks[name] = self.sound.marked = self.sound.sent
            case twilio.Clear() if not self.interrupting:
                self.sound, self.hold = self.sound.next_stream(), self._waiting_hold()
            case twilio.Clear():
                self.sound = Sound()
                self._interrupted()
            case CancelResponse(str(id_)) if self._to_model.is_own(value):
                response = self._response(id_)
                response.stopped = response.cancelled = True
            case Interrupted(items=items):
                self._interrupted()
                for item in items:
                    self._response(item.response_id).stopped = True
            case ClipFinished():
                self._finished(value)
            case Fault(Peer.REALTIME, FaultKind.OVERFLOW):
                self._overflow = True
            case _:
                pass

    def _sent(self, payload: str, now: int) -> None:
        key, samples = self.source(payload), len(_decode(payload) or b"")
        if key is None:
            return
        self.sound.add(key, samples, now)
        if not isinstance(key, Own):
            said = self._said[0]
            self.sent_items.add(key[0])
            said.at += samples
            if said.at == len(said.audio):
                self._said.popleft()
            return
        key.at += samples
        if key.at == len(key.audio) and not key.yields:
            self.own.popleft()

    def _finished(self, event: ClipFinished) -> None:
        own = next(each for each in self.may_finish(event) if self.finishes(each, event))
        self.unfinished.remove(own)
        if own is self.hold:
            self.hold = None

    def _waiting_hold(self) -> Own | None:
        return self.hold if self.hold is not None and not self.hold.at else None

    def _interrupted(self) -> None:
        """All that the conversation is saying is stopped, and what is left of a frame dropped."""
        for response in self._responses.values():
            response.stopped |= response.in_conversation and not response.done
        self._said.clear()
        self.own.clear()
        self.hold = self._waiting_hold()

    def finish(self, told: Told) -> None:
        """The step is over."""
        if self._overflow:
            self.own.clear()
            self._drop_said(told.event)
        elif self._asks.vague and isinstance(told.event, OutputAudioDeltaEvent):
            self._drop_unplayed()
        self.echoed = self.interrupting = self._overflow = False
        self.judged = self.sound

    def _drop_unplayed(self) -> None:
        """Where the server has left open whether a response answers the request that was
        interrupted, it is not to be heard if it is not played at once."""
        last = self._said[-1] if self._said else None
        if last is not None and len(last.audio) - last.at >= FRAME_SAMPLES:
            self._response(last.response_id).stopped = True
            self._said.pop()

    def _drop_said(self, event: Any) -> None:
        """What found no room is gone, but for the beginning of the next frame."""
        last = self._said[-1] if self._said else None
        self._said.clear()
        if last is not None and isinstance(event, OutputAudioDeltaEvent):
            last.at = len(last.audio) - (len(last.audio) - last.at) % FRAME_SAMPLES
            if last.at < len(last.audio):
                self._said.append(last)


@lru_cache(4)  # the same audio is asked about when it is judged, and when it is taken in
def _decode(payload: str) -> bytes | None:
    """The µ-law of base64; `None` if it is none, or empty."""
    return None if count_samples(payload) is None else b64decode(payload)
