"""What is known of a call from what its bridge was told and asked for, to judge it by.

`Facts.told` takes in an input, `Facts.asked` each output in order, `Facts.finish` ends a step.
"""

from base64 import b64decode
from collections import Counter, deque
from collections.abc import Mapping
from enum import Enum, unique
from typing import Any, TypeAlias, cast

from attrs import Factory, define, field, frozen

from twilio_realtime_core import realtime, twilio
from twilio_realtime_core.actions import Action, Close, Message, Notify, Open, Peer, Send
from twilio_realtime_core.audio import PCMU, count_samples
from twilio_realtime_core.commands import SendEvent
from twilio_realtime_core.configuration import pin_event
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.notifications import CallEnded, CallerAudioDropped, Interrupted
from twilio_realtime_core.times import FRAME_SAMPLES, duration_ns, samples_in

from .world import Step

__all__ = ["Facts", "Leg", "Part", "Sound", "Told", "speaks_pcmu"]

Part: TypeAlias = tuple[str, str, int]
"""Response id, item id, content index."""


@unique
class Leg(Enum):
    """How far one of the two links is."""

    NONE = "none"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


@frozen
class Told:
    """One step of the bridge, with its deadlines before and after. `event` is what a text says."""

    step: Step
    deadline_before: int | None
    deadline: int | None
    event: object = field(
        init=False, default=Factory(lambda self: _event(self.step), takes_self=True)
    )


def _event(step: Step) -> object:
    match step.method, step.arguments:
        case "receive_text", (Peer.TWILIO, str(text)):
            return twilio.decode(text)
        case "receive_text", (_, str(text)):
            return realtime.decode(text)
        case _:
            return None


@define(eq=False)
class Sound:
    """What was sent to Twilio since a stream began, or since the last `clear`.

    `sent_before` and `confirmed_before` are what streams before have had, by item and content
    index, since positions in a part count from its own beginning.
    """

    sent_before: Counter[tuple[str, int]] = field(factory=Counter[tuple[str, int]])
    confirmed_before: Counter[tuple[str, int]] = field(factory=Counter[tuple[str, int]])
    runs: list[tuple[Part, int]] = field(factory=list[tuple[Part, int]])
    """Samples of one part after another."""
    marks: dict[str, int] = field(factory=dict[str, int])
    """Those under way: how many samples were sent before each."""
    sent: int = 0
    confirmed: int = 0
    ends_at: int = 0
    """When all has been played, if no time passes on the way (ns)."""

    def next_stream(self) -> "Sound":
        """Nothing yet, on another stream."""
        parts = {part[1:] for part, _ in self.runs}
        sent = Counter({each: self.sent_of(*each) for each in parts})
        confirmed = Counter({each: self.confirmed_of(*each) for each in parts})
        return Sound(self.sent_before | sent, self.confirmed_before | confirmed)

    def add(self, part: Part, samples: int, now: int) -> None:
        """`samples` of `part` were sent."""
        if self.runs and self.runs[-1][0] == part:
            self.runs[-1] = part, self.runs[-1][1] + samples
        else:
            self.runs.append((part, samples))
        self.sent += samples
        self.ends_at = max(self.ends_at, now) + duration_ns(samples)

    def echo(self, name: str) -> bool:
        """A mark came back; whether it was under way."""
        if name not in self.marks:
            return False
        for each in list(self.marks):  # it answers for those before it
            self.confirmed = self.marks.pop(each)
            if each == name:
                break
        return True

    def sent_of(self, item_id: str, content_index: int) -> int:
        """Samples sent of a content part."""
        before = self.sent_before[item_id, content_index]
        return before + self._of(item_id, content_index, self.sent)

    def confirmed_of(self, item_id: str, content_index: int) -> int:
        """Samples of a content part that marks confirm."""
        before = self.confirmed_before[item_id, content_index]
        return before + self._of(item_id, content_index, self.confirmed)

    def confirms(self, item_id: str, content_index: int, *, whole: bool) -> bool:
        """Whether marks of this stream confirm some, or the whole, of a part."""
        confirmed = self._of(item_id, content_index, self.confirmed)
        least = self._of(item_id, content_index, self.sent) if whole else 1
        return confirmed >= max(least, 1)

    def waiting(self, now: int) -> int:
        """Samples that wait to be played: not confirmed, and not played by the clock."""
        return min(self.sent - self.confirmed, samples_in(self.ends_at - now))

    def confirmed_items(self) -> set[str]:
        """Items of which marks confirm something."""
        items, position = set[str](), 0
        for (_, item_id, _), samples in self.runs:
            if position >= self.confirmed:
                break
            items.add(item_id)
            position += samples
        return items

    def _of(self, item_id: str, content_index: int, position: int) -> int:
        samples = 0
        for (_, item, index), run in self.runs:
            if (item, index) == (item_id, content_index):
                samples += min(run, max(0, position))
            position -= run
        return samples


@define(eq=False)
class _Response:
    """What is known of a response. `stopped`: its interruption is committed."""

    in_conversation: bool = True
    done: bool = False
    stopped: bool = False
    done_parts: set[tuple[str, int]] = field(factory=set[tuple[str, int]])


@define(eq=False)
class Facts:
    """What has happened so far. Where something is not what it should be, this believes the peers
    and not the bridge."""

    legs: dict[Peer, Leg] = field(init=False, factory=lambda: dict.fromkeys(Peer, Leg.NONE))
    stream_sid: str = field(init=False, default="")
    """Of the stream that began last; empty before."""
    ready: bool = field(init=False, default=False)
    """The server has confirmed a session in the right format."""
    live: bool = field(init=False, default=True)
    """Nothing has yet ended the call."""
    ended: bool = field(init=False, default=False)
    """`CallEnded` was notified."""

    waiting: deque[realtime.ClientEvent] = field(init=False, factory=deque[realtime.ClientEvent])
    """Caller audio and events of commands that have not been sent, as they must be."""
    waiting_samples: int = field(init=False, default=0)

    sound: Sound = field(init=False, factory=Sound)
    judged: Sound = field(init=False)
    """What a correction of the model's memory is about: the sound that this step has cleared."""
    heard_items: set[str] = field(init=False, factory=set[str])
    """Items of which a mark has confirmed something."""

    _stopped: bool = field(init=False, default=False)
    _unsent: deque[tuple[Part, bytes]] = field(init=False, factory=deque[tuple[Part, bytes]])
    """Model audio that came and may be heard."""
    _responses: dict[str, _Response] = field(init=False, factory=dict[str, _Response])
    _response_of: dict[str, str] = field(init=False, factory=dict[str, str])
    """By item."""
    _echoes: bool = field(init=False, default=False)
    """This step was told of the echo of a mark that was under way."""
    _overflow: bool = field(init=False, default=False)
    """In this step audio was dropped and reported."""

    def __attrs_post_init__(self) -> None:
        self.judged = self.sound

    # What invariants ask.

    @property
    def streaming(self) -> bool:
        """Whether Twilio's stream has begun and not ended."""
        open_ = self.legs[Peer.TWILIO] is Leg.OPEN
        return open_ and bool(self.stream_sid) and not self._stopped

    def is_next(self, event: Message) -> bool:
        """Whether an event is the next that waits to be sent."""
        return bool(self.waiting) and self.waiting[0] == event

    def is_own(self, event: Message) -> bool:
        """Whether an event is the bridge's own, not one of a command."""
        return not self.is_next(event)

    def oldest_audio(self, samples: int) -> list[realtime.AppendAudio]:
        """The oldest audio that waits, until it holds `samples`."""
        found: list[realtime.AppendAudio] = []
        for each in self.waiting:
            if isinstance(each, realtime.AppendAudio) and samples > 0:
                found.append(each)
                samples -= count_samples(each.audio) or 0
        return found

    def part_of(self, payload: str) -> Part | None:
        """What a media's audio is of; `None` if it is not what comes next."""
        if count_samples(payload) is None or not self._unsent:
            return None
        part, audio = self._unsent[0]
        return part if audio.startswith(b64decode(payload)) else None

    def is_generating(self, response_id: str) -> bool:
        """Whether a response is known, and not known to be done."""
        response = self._responses.get(response_id)
        return response is not None and not response.done

    def is_outside(self, item_id: str) -> bool:
        """Whether an item belongs to a response outside the conversation."""
        response = self._responses.get(self._response_of.get(item_id, ""))
        return response is not None and not response.in_conversation

    def confirms(self, item_id: str, content_index: int, *, whole: bool) -> bool:
        """Whether the echo of this step says that some, or the whole, of a part was heard."""
        return self._echoes and self.sound.confirms(item_id, content_index, whole=whole)

    # What happens.

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""
        match told.step.method, told.step.arguments:
            case "opened", (Peer.TWILIO,) if self.legs[Peer.TWILIO] is Leg.NONE:
                self.legs[Peer.TWILIO] = Leg.OPEN
            case "opened", (Peer.REALTIME,) if self.legs[Peer.REALTIME] is Leg.OPENING:
                self.legs[Peer.REALTIME] = Leg.OPEN
            case "closed", (Peer() as peer, *_):
                self.legs[peer] = Leg.CLOSED
                self.live = False
            case "send", (SendEvent(event),) if self.live:
                self._wait(pin_event(event))
            case "receive_text", (Peer.TWILIO, _) if self.live:
                self._told_by_twilio(told.event)
            case "receive_text", _ if self.live:
                self._told_by_realtime(told.event)
            case _:
                pass

    def _told_by_twilio(self, message: object) -> None:
        match message:
            case twilio.Start(stream_sid=sid) if sid != self.stream_sid:
                self.stream_sid = sid
                self.sound = self.judged = self.sound.next_stream()
            case twilio.CallerMedia(stream_sid=sid, payload=payload) if self._is_of_stream(sid):
                if count_samples(payload) is not None:
                    self._wait(realtime.AppendAudio(payload))
            case twilio.MarkEcho(stream_sid=sid, name=name) if self._is_of_stream(sid):
                self._echoes = self.sound.echo(name)
                self.heard_items |= self.sound.confirmed_items() if self._echoes else set()
            case twilio.Stop(stream_sid=sid) if not self.stream_sid or self._is_of_stream(sid):
                self._stopped = True
                self.live = False
            case _:
                pass

    def _is_of_stream(self, sid: str) -> bool:
        return self.streaming and sid == self.stream_sid

    def _told_by_realtime(self, event: object) -> None:
        match event:
            case realtime.SessionUpdated(session) if speaks_pcmu(session):
                self.ready = True
            case realtime.ResponseCreated(response):
                known = self._response(response.id)
                known.in_conversation = response.conversation_id is not None
            case realtime.ResponseDone(response):
                known = self._response(response.id)
                known.in_conversation = response.conversation_id is not None
                known.done = True
            case realtime.OutputItemDone(response_id, item):
                self._response(response_id)
                self._response_of[item.id] = response_id
            case realtime.OutputAudioDelta():
                self._model_audio(event)
            case realtime.OutputAudioDone(response_id, item_id, index):
                self._response(response_id).done_parts.add((item_id, index))
            case _:
                pass

    def _response(self, id_: str) -> _Response:
        return self._responses.setdefault(id_, _Response())

    def _model_audio(self, event: realtime.OutputAudioDelta) -> None:
        response = self._response(event.response_id)
        self._response_of[event.item_id] = event.response_id
        if (event.item_id, event.content_index) in response.done_parts:
            return
        if response.done or response.stopped or count_samples(event.delta) is None:
            return
        part, audio = (
            (event.response_id, event.item_id, event.content_index),
            b64decode(event.delta),
        )
        if self._unsent and self._unsent[-1][0] == part:
            audio = self._unsent.pop()[1] + audio
        self._unsent.append((part, audio))

    def _wait(self, event: realtime.ClientEvent) -> None:
        self.waiting.append(event)
        if isinstance(event, realtime.AppendAudio):
            self.waiting_samples += count_samples(event.audio) or 0

    def asked(self, action: Action, told: Told) -> None:
        """Take in one thing that the bridge asked for."""
        match action:
            case Send(Peer.TWILIO, message):
                self._sent_to_twilio(message, told.step.when)
            case Send(Peer.REALTIME, message):
                self._sent_to_realtime(message)
            case Open(Peer() as peer):
                self.legs[peer] = Leg.OPENING
            case Close(Peer() as peer):
                self.legs[peer] = Leg.CLOSING
                self.live = False
            case Notify(event):
                self._notified(event)
            case _:
                pass

    def _sent_to_twilio(self, message: Message, now: int) -> None:
        match message:
            case twilio.Media(payload=payload):
                part, audio = self._unsent.popleft()
                samples = count_samples(payload) or 0
                if audio[samples:]:
                    self._unsent.appendleft((part, audio[samples:]))
                self.sound.add(part, samples, now)
            case twilio.Mark(name=name):
                self.sound.marks[name] = self.sound.sent
            case twilio.Clear():
                self.sound = Sound()
                self._interrupted()
            case _:
                pass

    def _sent_to_realtime(self, message: Message) -> None:
        if self.is_next(message):
            sent = self.waiting.popleft()
            if isinstance(sent, realtime.AppendAudio):
                self.waiting_samples -= count_samples(sent.audio) or 0
        elif isinstance(message, realtime.CancelResponse) and message.response_id is not None:
            self._response(message.response_id).stopped = True

    def _notified(self, event: object) -> None:
        match event:
            case Interrupted(items=items):
                self._interrupted()
                for item in items:
                    self._response(item.response_id).stopped = True
            case CallerAudioDropped(samples):
                for each in self.oldest_audio(samples):
                    self.waiting.remove(each)
                self.waiting_samples -= samples
            case Fault(Peer.REALTIME, FaultKind.OVERFLOW):
                self._overflow = True
            case CallEnded():
                self.ended = True
                self.live = False
            case _:
                pass

    def _interrupted(self) -> None:
        """All that the conversation is saying is stopped, and what is left of a frame dropped."""
        for response in self._responses.values():
            response.stopped |= response.in_conversation and not response.done
        self._unsent.clear()

    def finish(self, told: Told) -> None:
        """The step is over."""
        if self._overflow and self._unsent:
            part, audio = self._unsent[-1]
            self._unsent.clear()
            carried = len(audio) % FRAME_SAMPLES if _is_delta(told.event) else 0
            if carried:
                self._unsent.append((part, audio[-carried:]))
        self._echoes = self._overflow = False
        self.judged = self.sound


def _is_delta(event: object) -> bool:
    return isinstance(event, realtime.OutputAudioDelta)


def speaks_pcmu(session: Mapping[str, Any]) -> bool:
    """Whether a session, as the server describes it, is in G.711 µ-law both ways."""
    return all(_format(session, way).get("type") == PCMU["type"] for way in ("input", "output"))


def _format(session: Mapping[str, Any], way: str) -> Mapping[str, Any]:
    value: Any = session
    for name in ("audio", way, "format"):
        value = cast(Mapping[str, Any], value).get(name) if isinstance(value, Mapping) else None
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}
