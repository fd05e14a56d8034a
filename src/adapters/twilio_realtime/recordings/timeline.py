"""A call as it goes: the moments that matter, in words, and lanes that show who is heard.

Moments come from the steps of the bridge and from what the phone does. The lanes are the truth:
what the phone said, what it played, and what it has got and not played yet.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field, frozen
from rich.table import Table
from rich.text import Text

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.commands import SendEvent
from twilio_realtime_core.machine.actions import Action, Notify, Open, Send
from twilio_realtime_core.machine.units import MS, SECOND, ns_to_samples, samples_to_ns
from twilio_realtime_core.notifications import (
    CallEnded,
    CallStarted,
    KeyPressed,
    PlaybackFinished,
    PlaybackStarted,
    ResponseStarted,
    SessionReady,
)
from twilio_realtime_core.protocols import realtime, twilio

from ..sim.audio import energy
from ..sim.phone.caller import CallerHangsUp, CallerSays
from ..sim.phone.twilio_peer import CueStarted, QueueCleared, StreamWarning, TwilioPeer
from ..sim.world.world import Step

__all__ = ["STYLES", "Lanes", "Moment", "Narrator"]

STYLES: Final = {
    "caller": "blue",
    "key": "blue",
    "agent": "green",
    "twilio": "yellow",
    "clear": "bold red",
    "truncate": "bold red",
    "fault": "bold red",
}
"""The colours of moments, by event, and of lanes."""

_BARS: Final = "·▁▂▃▄▅▆▇█"
_QUIETEST_DB: Final = -45.0
_DB_A_STEP: Final = 4.5
"""Bars from -45 dBFS, the noise of a good line, to -9, as loud as speech gets on average."""
_WAITING_A_STEP_NS: Final = SECOND


@frozen
class Moment:
    """Something that happened `at_ns` after the call's start: what sort of `event`, told in words,
    and its `details` for programs."""

    at_ns: int
    event: str
    words: str
    details: Mapping[str, object] = field(factory=dict[str, object])

    def line(self) -> Text:
        """For people."""
        return Text.assemble(
            (f"{self.at_ns / SECOND:7.2f} s  ", "dim"),
            (f"{self.event:10}", STYLES.get(self.event, "")),
            self.words,
        )

    def as_json(self) -> str:
        """For programs: an object on one line."""
        told = {"event": self.event, "at_ms": round(self.at_ns / MS, 3), "text": self.words}
        return json.dumps({**told, **self.details}, ensure_ascii=False)


@define(eq=False)
class Narrator:
    """Tells a call in moments. `says` are the caller's words by his audio, `replies` the agent's
    in the order of its responses."""

    _says: Mapping[bytes, str]
    _replies: Sequence[str]
    _responses: dict[str, str] = field(init=False, factory=dict[str, str])

    def bridge(self, step: Step) -> list[Moment]:
        """What a step of the bridge has to tell."""
        moments: list[Moment] = []
        match step.method, step.arguments:
            case "send", (SendEvent(event=asked),):
                moments.append(Moment(step.at_ns, "app", f"{asked.type}: the agent speaks first"))
            case _:
                pass
        for action in step.outputs:
            match action:
                case Notify(event):
                    moments += self._notified(step.at_ns, event)
                case Send() | Open():
                    moments += _asked(step.at_ns, action)
                case _:
                    pass
        return moments

    def phone(self, at_ns: int, event: object) -> list[Moment]:
        """What a notification of the phone has to tell."""
        match event:
            case CueStarted(cue=cue):
                return self._acted(at_ns, cue.act)
            case QueueCleared(discarded_bytes=discarded):
                ms = round(samples_to_ns(discarded) / MS)
                words = f"is silent, {ms:,} ms of speech thrown away"
                return [Moment(at_ns, "twilio", words, {"discarded_ms": ms})]
            case StreamWarning(code, message):
                return [Moment(at_ns, "fault", f"Twilio logs {code}: {message}", {"code": code})]
            case _:
                return []

    def _acted(self, at_ns: int, act: object) -> list[Moment]:
        match act:
            case CallerSays(audio):
                words = self._says[audio]
                return [Moment(at_ns, "caller", f"says “{words}”", {"words": words})]
            case CallerHangsUp():
                return [Moment(at_ns, "caller", "hangs up")]
            case _:  # a key is told when it has arrived
                return []

    def _notified(self, at_ns: int, event: object) -> list[Moment]:
        match event:
            case CallStarted():
                return [Moment(at_ns, "call", "has begun")]
            case SessionReady():
                return [Moment(at_ns, "session", "is ready")]
            case ResponseStarted(response_id):
                self._responses[response_id] = self._replies[
                    min(len(self._responses), len(self._replies) - 1)
                ]
                return []
            case PlaybackStarted(response_id=response_id, item_id=item_id):
                words = self._responses[response_id]
                details = {"item_id": item_id, "words": words}
                return [Moment(at_ns, "agent", f"is heard: “{words}”", details)]
            case PlaybackFinished(item_id=item_id):
                return [Moment(at_ns, "agent", "was heard to the end", {"item_id": item_id})]
            case KeyPressed(digit):
                return [Moment(at_ns, "key", f"{digit} was pressed", {"digit": digit})]
            case CallEnded(reason, detail):
                words = f"has ended: {reason.value}"
                return [Moment(at_ns, "call", words, {"reason": reason.value, "detail": detail})]
            case _:
                return []


def _asked(at_ns: int, action: Action) -> list[Moment]:
    match action:
        case Open():
            return [Moment(at_ns, "session", "is opened")]
        case Send(message=twilio.Clear()):
            return [Moment(at_ns, "clear", "to Twilio: stop the sound")]
        case Send(message=realtime.TruncateItem(item_id, _, audio_end_ms)):
            words = f"to the model: {item_id} was heard for {audio_end_ms:,} ms"
            details = {"item_id": item_id, "audio_end_ms": audio_end_ms}
            return [Moment(at_ns, "truncate", words, details)]
        case _:
            return []


@define(eq=False)
class Lanes:
    """Who is heard when, in `width` cells for `seconds`; a call that lasts longer moves on to the
    left. Times are in ns since the call's start, at `began_ns` of the phone's clock."""

    _phone: TwilioPeer
    _began_ns: int
    _width: int
    _seconds: float
    _sent: list[tuple[int, int]] = field(init=False, factory=list[tuple[int, int]])
    """When audio was sent to Twilio, and how many samples."""
    _marks: list[tuple[int, str, str]] = field(init=False, factory=list[tuple[int, str, str]])
    """When, in which lane, which sign."""
    _streaming: bool = field(init=False, default=False)
    """Whether the phone's stream has begun: before, it has recorded nothing."""
    _rows: dict[str, list[int]] = field(init=False)
    """The bars of cells that are over."""

    def __attrs_post_init__(self) -> None:
        self._rows = {"caller": [], "agent": [], "twilio": []}

    @property
    def _cell_ns(self) -> int:
        return round(self._seconds * SECOND / self._width)

    def note(self, step: Step) -> None:
        """Take in a step of the bridge."""
        for action in step.outputs:
            match action:
                case Send(message=twilio.Media(payload=payload)):
                    self._sent.append((step.at_ns, count_samples(payload) or 0))
                case Send(message=twilio.Clear()):
                    self._marks.append((step.at_ns, "clear", "▲"))
                case Send(message=realtime.TruncateItem(audio_end_ms=ms)):
                    self._marks.append((step.at_ns, "truncate", f"▲ {ms:,} ms"))
                case Notify(CallStarted()):
                    self._streaming = True
                case Notify(KeyPressed(digit)):
                    self._marks.append((step.at_ns, "caller", digit))
                case _:
                    pass

    def picture(self, now: int) -> Table:
        """The lanes at `now`."""
        if self._streaming:
            self._fill(now)
        first = max(0, len(self._rows["caller"]) - self._width)
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="crop", width=self._width)
        table.add_row("", Text(self._axis(first), "dim"))
        for lane, label in (("caller", "caller"), ("agent", "agent heard"), ("twilio", "waiting")):
            bars = "".join(_BARS[level] for level in self._rows[lane][first:])
            table.add_row(Text(label, STYLES[lane]), self._bars(lane, bars, first))
        for lane in ("clear", "truncate"):
            table.add_row(Text(lane, STYLES[lane]), self._bars(lane, "", first))
        return table

    def _fill(self, now: int) -> None:
        """Draw the cells that are over at `now`; what has been heard never changes."""
        said, heard = self._phone.recorded_audio(self._began_ns + now)
        size = ns_to_samples(self._cell_ns)
        for cell in range(len(self._rows["caller"]), now // self._cell_ns):
            part = slice(cell * size, (cell + 1) * size)
            waiting_ns = self._waiting_ns((cell + 1) * self._cell_ns)
            self._rows["caller"].append(_loudness(said[part]))
            self._rows["agent"].append(_loudness(heard[part]))
            self._rows["twilio"].append(_step(waiting_ns / _WAITING_A_STEP_NS))

    def _waiting_ns(self, now: int) -> int:
        """How much audio waits at Twilio: sent, and neither heard nor thrown away."""
        at = self._began_ns + now
        sent = sum(samples for when, samples in self._sent if when <= now)
        gone = sum(clear.discarded_bytes for clear in self._phone.clears if clear.at_ns <= at)
        return samples_to_ns(max(0, sent - gone - self._phone.heard_bytes_at(at)))

    def _bars(self, lane: str, bars: str, first: int) -> Text:
        """A lane's bars with its signs in them, from the cell `first` on."""
        row, last = list(bars), len(bars)
        for when, where, sign in self._marks:
            at = when // self._cell_ns - first
            if where == lane and at >= 0:
                at = min(at, self._width - len(sign))
                row += " " * (at + len(sign) - len(row))
                row[at : at + len(sign)] = sign
        del row[max(last, self._width) :]
        return Text("".join(row), STYLES[lane])

    def _axis(self, first: int) -> str:
        row = [" "] * (self._width + 4)
        for second in range(0, round(self._seconds) + first, 2):
            label, at = f"{second} s", round(second * SECOND / self._cell_ns) - first
            if 0 <= at <= self._width - len(label):
                row[at : at + len(label)] = label
        return "".join(row).rstrip()


def _loudness(audio: bytes) -> int:
    mean = energy(audio)
    return _step((10 * math.log10(mean) - _QUIETEST_DB) / _DB_A_STEP) if mean else 0


def _step(height: float) -> int:
    return max(0, min(len(_BARS) - 1, math.ceil(height)))
