"""What others tell the model at an interruption: their algorithms, watching the same calls.

Each is written from a description of what the project did in August and September 2026, reduced to
what decides which items are truncated where. An observer sees what it would have seen at the
bridge's place: deltas, the ends of items and responses, the echoes of marks of its own.

Positions are in ms of an item. `barge_in` returns what each item is truncated at; an item that is
not named is left as it is, so that the model remembers all that was made of it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define

from twilio_realtime_core.machine.units import MS

from .calls import AudioDone, BargeIn, Created, Delta, Echo, Entry, PacerEcho, Probed, ResponseDone

__all__ = ["BASELINES", "Observer"]

Told: TypeAlias = dict[int, float]

METHODS: Final[dict[type, str]] = {
    Created: "created",
    Delta: "delta",
    AudioDone: "audio_done",
    ResponseDone: "response_done",
    Echo: "echo",
    PacerEcho: "pacer_echo",
    Probed: "probed",
}


class Observer(ABC):
    """Watches a call. What it does not care for it ignores."""

    def see(self, entry: Entry) -> None:
        """Anything but an interruption: told to the method named for it, if there is one."""
        handle: Callable[[Entry], None] | None = getattr(self, METHODS.get(type(entry), ""), None)
        if handle is not None:
            handle(entry)

    @abstractmethod
    def barge_in(self, event: BargeIn) -> Told:
        """The caller interrupts: what the model is told."""


@define
class _Item:
    sent: float = 0
    played: float = 0
    done: bool = False


class AgentsJs(Observer):
    """openai-agents-js, `TwilioRealtimeTransportLayer`: a mark with each delta; the newest echo and
    50 ms, for the first item also without an echo."""

    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}

    def delta(self, event: Delta) -> None:
        self._items.setdefault(event.item, _Item()).sent += event.ms

    def echo(self, echo: Echo) -> None:
        item = self._items.get(echo.item)
        if echo.cleared or item is None:
            return
        if echo.tail:
            del self._items[echo.item]
        else:
            item.played = max(item.played, echo.ms)

    def barge_in(self, event: BargeIn) -> Told:
        told = {
            number: min(item.sent, item.played + 50) if index == 0 or item.played else 0
            for index, (number, item) in enumerate(self._items.items())
        }
        self._items = {}
        return told


class AgentsJsBefore(Observer):
    """The same before August 2026: one counter; nothing once all audio has been made."""

    def __init__(self) -> None:
        self._item: int | None = None
        self._played = 0.0
        self._sent = 0.0
        self._making = False

    def delta(self, event: Delta) -> None:
        if event.item != self._item:
            self._item, self._sent = event.item, 0
        self._sent += event.ms
        self._making = True

    def audio_done(self, event: AudioDone) -> None:
        self._making = False

    def echo(self, echo: Echo) -> None:
        self._played = 0 if echo.tail else echo.ms

    def barge_in(self, event: BargeIn) -> Told:
        if not self._making or self._item is None:
            return {}
        self._making = False
        return {self._item: math.floor(min(self._played + 50, self._sent))}


class AgentsPython(Observer):
    """openai-agents-python: the wall clock since the first delta of the newest item arrived."""

    def __init__(self) -> None:
        self._began: dict[int, int] = {}
        self._sent: dict[int, float] = {}
        self._last: int | None = None
        self._ongoing = False

    def created(self, event: Created) -> None:
        self._ongoing = True

    def response_done(self, event: ResponseDone) -> None:
        self._ongoing = False

    def delta(self, event: Delta) -> None:
        self._last = event.item
        self._began.setdefault(event.item, event.at)
        self._sent[event.item] = self._sent.get(event.item, 0) + event.ms

    def barge_in(self, event: BargeIn) -> Told:
        last, self._last = self._last, None
        if last is None:
            return {}
        elapsed = round((event.at - self._began[last]) / MS)
        ongoing, self._ongoing = self._ongoing, False
        if elapsed >= self._sent[last] and not ongoing:
            return {}
        return {last: min(elapsed, self._sent[last])}


class AgentsPythonMarks(Observer):
    """The same with the playback tracker of its Twilio example: marks counted up, also those that a
    clear sets free."""

    def __init__(self) -> None:
        self._item: int | None = None
        self._elapsed = 0.0
        self._counted: dict[int, float] = {}
        self._sent: dict[int, float] = {}
        self._ongoing = False

    def created(self, event: Created) -> None:
        self._ongoing = True

    def response_done(self, event: ResponseDone) -> None:
        self._ongoing = False

    def delta(self, event: Delta) -> None:
        self._sent[event.item] = self._sent.get(event.item, 0) + event.ms

    def echo(self, echo: Echo) -> None:
        if echo.tail:
            return
        played = echo.ms - self._counted.get(echo.item, 0)
        self._counted[echo.item] = echo.ms
        if echo.item != self._item:
            self._item, self._elapsed = echo.item, 0
        self._elapsed += played

    def barge_in(self, event: BargeIn) -> Told:
        item, elapsed, self._item, self._elapsed = self._item, self._elapsed, None, 0.0
        ongoing, self._ongoing = self._ongoing, False
        if item is None or (elapsed >= self._sent[item] and not ongoing):
            return {}
        return {item: min(round(elapsed), self._sent[item])}


class SentBytes(Observer):
    """twilio-agent-connect-python, Patter: what was sent of the newest item."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._sent = 0.0

    def delta(self, event: Delta) -> None:
        if event.item != self._last:
            self._last, self._sent = event.item, 0
        self._sent += event.ms

    def barge_in(self, event: BargeIn) -> Told:
        last, self._last = self._last, None
        return {} if last is None else {last: self._sent}


class VoiceAgents(Observer):
    """realtime-voice-agents: a mark with the first delta, each second of audio, and at the end; the
    wall clock since the newest echo. All that was played counts as the response's first item."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._first: int | None = None
        self._marked: dict[tuple[int, float, bool], float] = {}
        self._newest = (0, 0.0)
        self._in_item: dict[int, float] = {}
        self._total = self._marked_at = self._played = 0.0
        self._echoed_at: int | None = None

    def delta(self, event: Delta) -> None:
        self._first = event.item if self._first is None else self._first
        ms = self._in_item[event.item] = self._in_item.get(event.item, 0) + event.ms
        self._total += event.ms
        self._newest = event.item, ms
        if not self._marked or self._total - self._marked_at >= 1000:
            self._mark(tail=False)

    def response_done(self, event: ResponseDone) -> None:
        if self._total > self._marked_at:
            self._mark(tail=True)

    def _mark(self, *, tail: bool) -> None:
        item, ms = self._newest
        self._marked[item, ms, tail] = self._marked_at = self._total

    def echo(self, echo: Echo) -> None:
        total = self._marked.get((echo.item, echo.ms, echo.tail))
        if total is not None and not echo.cleared:
            self._played = max(self._played, total)
            self._echoed_at = echo.at

    def barge_in(self, event: BargeIn) -> Told:
        first, played, at = self._first, self._played, self._echoed_at
        if at is not None:
            played = min(played + (event.at - at) / MS, self._total)
        self._begin()
        return {} if first is None else {first: round(played)}


class Paced(Observer):
    """openclaw: sent as it plays, 160 ms ahead, with a mark each 160 ms; the newest echo."""

    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}

    def delta(self, event: Delta) -> None:
        self._items.setdefault(event.item, _Item()).sent += event.ms

    def audio_done(self, event: AudioDone) -> None:
        self._items[event.item].done = True

    def pacer_echo(self, echo: PacerEcho) -> None:
        if echo.item in self._items:
            self._items[echo.item].played = echo.ms

    def barge_in(self, event: BargeIn) -> Told:
        live = {
            number: item.played
            for number, item in self._items.items()
            if not (item.done and item.sent - item.played < 160 and self._later_heard(number))
        }
        self._items = {}
        return live

    def _later_heard(self, number: int) -> bool:
        return any(item.played for later, item in self._items.items() if later > number)


class WallClock(Observer):
    """pipecat: the wall clock since the newest item began, at most what was sent."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._began = 0
        self._sent = 0.0

    def delta(self, event: Delta) -> None:
        if event.item != self._last:
            self._last, self._began, self._sent = event.item, event.at, 0
        self._sent += event.ms

    def barge_in(self, event: BargeIn) -> Told:
        last, self._last = self._last, None
        return {} if last is None else {last: min((event.at - self._began) // MS, self._sent)}


@define
class _Span:
    item: int
    starts_at: int
    ms: float
    position: float


class LocalQueue(Observer):
    """livekit agents: the position in a local queue that plays in real time (no Twilio transport:
    the queue stands in for Twilio's, without marks)."""

    def __init__(self) -> None:
        self._spans: list[_Span] = []
        self._ends_at = 0
        self._sent: dict[int, float] = {}
        self._done: set[int] = set()

    def delta(self, event: Delta) -> None:
        starts_at = max(event.at, self._ends_at)
        self._ends_at = starts_at + event.ms * MS
        sent = self._sent.get(event.item, 0)
        self._spans.append(_Span(event.item, starts_at, event.ms, sent))
        self._sent[event.item] = sent + event.ms

    def audio_done(self, event: AudioDone) -> None:
        self._done.add(event.item)

    def _reached(self, at: float) -> Told:
        heard = dict.fromkeys(self._sent, 0.0)
        for span in self._spans:
            heard[span.item] += min(max(0.0, (at - span.starts_at) / MS), span.ms)
        return heard

    def barge_in(self, event: BargeIn) -> Told:
        heard = self._reached(event.at)
        told: Told = {
            item: math.floor(ms)
            for item, ms in heard.items()
            if ms < self._sent[item] or item not in self._done
        }
        self._spans, self._sent, self._done, self._ends_at = [], {}, set(), 0
        return told


class Candidate(LocalQueue):
    """The plainest that can be right: the queue, shifted by how late the newest echo was; a mark
    with each delta, the round trip measured once, at the stream's begin."""

    def __init__(self) -> None:
        super().__init__()
        self._round_trip = 0
        self._late = 0
        self._played: dict[int, float] = {}

    def probed(self, event: Probed) -> None:
        self._round_trip = event.ns

    def echo(self, echo: Echo) -> None:
        if echo.cleared or echo.tail:
            return
        for span in self._spans:
            if span.item == echo.item and span.position + span.ms == echo.ms:
                ends_at = span.starts_at + round(span.ms * MS)
                self._late = max(0, echo.at - ends_at - self._round_trip)
                self._played[echo.item] = echo.ms

    def _reached(self, at: float) -> Told:
        heard = super()._reached(at - self._late)
        played, self._played = self._played, {}
        return {item: max(ms, played.get(item, 0)) for item, ms in heard.items()}


class Sample(Observer):
    """Twilio's sample in Python: the clock of the caller's frames since the newest item began, if
    any mark is still out; no upper bound."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._start: int | None = None
        self._marks = 0

    def delta(self, event: Delta) -> None:
        if self._begins(event.item):
            self._start = self._clock(event.at)
        self._last = event.item
        self._marks += 1

    def _begins(self, item: int) -> bool:
        return item != self._last

    def _clock(self, at: int) -> int:
        """The stamp of the newest frame of the caller, which come each 20 ms."""
        return at // (20 * MS) * 20

    def echo(self, echo: Echo) -> None:
        if not echo.tail:
            self._marks = max(0, self._marks - 1)

    def barge_in(self, event: BargeIn) -> Told:
        last, start = self._last, self._start
        if last is None or start is None or not self._marks:
            return {}
        self._last, self._start, self._marks = None, None, 0
        return {last: self._clock(event.at) - start}


class SampleNode(Sample):
    """The same in JavaScript: since the response began."""

    def _begins(self, item: int) -> bool:
        return self._start is None


class Chunks(Observer):
    """vocode: chunks whose mark came back."""

    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}

    def delta(self, event: Delta) -> None:
        self._items.setdefault(event.item, _Item()).sent += event.ms

    def audio_done(self, event: AudioDone) -> None:
        self._items[event.item].done = True

    def echo(self, echo: Echo) -> None:
        if not echo.cleared and echo.item in self._items:
            self._items[echo.item].played = echo.ms

    def barge_in(self, event: BargeIn) -> Told:
        told = {
            number: item.played
            for number, item in self._items.items()
            if item.played < item.sent or not item.done
        }
        self._items = {}
        return told


BASELINES: Final[dict[str, Callable[[], Observer]]] = {
    "openai-agents-js": AgentsJs,
    "openai-agents-js, earlier": AgentsJsBefore,
    "openai-agents-python": AgentsPython,
    "openai-agents-python, marks": AgentsPythonMarks,
    "twilio-agent-connect, Patter": SentBytes,
    "realtime-voice-agents": VoiceAgents,
    "openclaw": Paced,
    "pipecat": WallClock,
    "livekit, local queue": LocalQueue,
    "Twilio's sample, Python": Sample,
    "Twilio's sample, JavaScript": SampleNode,
    "vocode": Chunks,
    "queue and newest echo": Candidate,
}
