"""The timeline of a call: entries in words, and lanes that show who is audible when.

Entries are made from the steps of the bridge and the notifications of the phone. Lanes show what
the phone knows: what the caller said, what was played, and what is queued at Twilio.
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
    SessionLost,
    SessionReady,
    SessionRestored,
)
from twilio_realtime_core.protocols import realtime, twilio

from ..sim.audio import energy
from ..sim.phone.caller import CallerHangsUp, CallerSays
from ..sim.phone.twilio_peer import CueStarted, QueueCleared, StreamWarning, TwilioPeer
from .recorder import RecordedStep

__all__ = ["STYLES_BY_EVENT", "Lanes", "Timeline", "TimelineEntry"]

STYLES_BY_EVENT: Final = {
    "caller": "blue",
    "key": "blue",
    "agent": "green",
    "twilio": "yellow",
    "clear": "bold red",
    "truncate": "bold red",
    "fault": "bold red",
}
"""The colours of entries, by event, and of lanes, by name."""

_BARS: Final = "·▁▂▃▄▅▆▇█"
_QUIETEST_DB: Final = -45.0
_DB_PER_LEVEL: Final = 4.5
"""Bars range from -45 dBFS, the noise of a good line, to -9 dBFS, the average of loud speech."""
_QUEUED_NS_PER_LEVEL: Final = SECOND
_AXIS_STEP_S: Final = 2


@frozen
class TimelineEntry:
    """An event of a call: its time in ns since the call's start, its kind, a text for people, and
    `details` for programs."""

    at_ns: int
    event: str
    text: str
    details: Mapping[str, object] = field(factory=dict[str, object])

    def to_line(self) -> Text:
        """The entry as a line for people."""
        return Text.assemble(
            (f"{self.at_ns / SECOND:7.2f} s  ", "dim"),
            (f"{self.event:10}", STYLES_BY_EVENT.get(self.event, "")),
            self.text,
        )

    def to_json(self) -> str:
        """The entry as a JSON object on one line."""
        fields = {"event": self.event, "at_ms": round(self.at_ns / MS, 3), "text": self.text}
        return json.dumps({**fields, **self.details}, ensure_ascii=False)


@define(eq=False)
class Timeline:
    """Describes a call in entries. `caller_words` are the caller's words by their audio,
    `agent_words` those of the agent's responses in order."""

    _caller_words: Mapping[bytes, str]
    _agent_words: Sequence[str]
    _words_of_response: dict[str, str] = field(init=False, factory=dict[str, str])

    def describe_step(self, step: RecordedStep) -> list[TimelineEntry]:
        """Return the entries of a step of the bridge."""
        entries: list[TimelineEntry] = []
        match step.method, step.arguments:
            case "send", (SendEvent(event=command),):
                text = f"sends {command.type}: the agent speaks first"
                entries.append(TimelineEntry(step.at_ns, "app", text))
            case _:
                pass
        for action in step.actions:
            match action:
                case Notify(event):
                    entries += self._describe_notification(step.at_ns, event)
                case Send() | Open():
                    entries += _describe_action(step.at_ns, action)
                case _:
                    pass
        return entries

    def describe_phone_event(self, at_ns: int, event: object) -> list[TimelineEntry]:
        """Return the entries of a notification of the phone."""
        match event:
            case CueStarted(cue=cue):
                return self._describe_act(at_ns, cue.act)
            case QueueCleared(discarded_bytes=discarded):
                ms = round(samples_to_ns(discarded) / MS)
                text = f"stops playing and discards {ms:,} ms of speech"
                return [TimelineEntry(at_ns, "twilio", text, {"discarded_ms": ms})]
            case StreamWarning(code, message):
                return [
                    TimelineEntry(at_ns, "fault", f"Twilio logs {code}: {message}", {"code": code})
                ]
            case _:
                return []

    def _describe_act(self, at_ns: int, act: object) -> list[TimelineEntry]:
        match act:
            case CallerSays(audio):
                words = self._caller_words[audio]
                return [TimelineEntry(at_ns, "caller", f"says “{words}”", {"words": words})]
            case CallerHangsUp():
                return [TimelineEntry(at_ns, "caller", "hangs up")]
            case _:  # a key has its entry when the bridge receives it
                return []

    def _describe_notification(self, at_ns: int, event: object) -> list[TimelineEntry]:
        match event:
            case CallStarted():
                return [TimelineEntry(at_ns, "call", "started")]
            case SessionReady():
                return [TimelineEntry(at_ns, "session", "ready")]
            case SessionLost(cause):
                return [TimelineEntry(at_ns, "session", "lost", {"cause": cause.value})]
            case SessionRestored(items):
                return [TimelineEntry(at_ns, "session", "restored", {"items": len(items)})]
            case ResponseStarted(response_id):
                self._words_of_response[response_id] = self._agent_words[
                    min(len(self._words_of_response), len(self._agent_words) - 1)
                ]
                return []
            case PlaybackStarted(response_id=response_id, item_id=item_id):
                words = self._words_of_response[response_id]
                details = {"item_id": item_id, "words": words}
                return [TimelineEntry(at_ns, "agent", f"starts to be heard: “{words}”", details)]
            case PlaybackFinished(item_id=item_id):
                return [TimelineEntry(at_ns, "agent", "was heard completely", {"item_id": item_id})]
            case KeyPressed(digit):
                return [TimelineEntry(at_ns, "key", f"{digit} pressed", {"digit": digit})]
            case CallEnded(reason, detail):
                details = {"reason": reason.value, "detail": detail}
                return [TimelineEntry(at_ns, "call", f"ended: {reason.value}", details)]
            case _:
                return []


def _describe_action(at_ns: int, action: Action) -> list[TimelineEntry]:
    match action:
        case Open():
            return [TimelineEntry(at_ns, "session", "connects")]
        case Send(message=twilio.Clear()):
            return [TimelineEntry(at_ns, "clear", "sent to Twilio")]
        case Send(message=realtime.TruncateItem(item_id, _, audio_end_ms)):
            text = f"sent to the model: {item_id} was heard up to {audio_end_ms:,} ms"
            details = {"item_id": item_id, "audio_end_ms": audio_end_ms}
            return [TimelineEntry(at_ns, "truncate", text, details)]
        case _:
            return []


@define(eq=False)
class Lanes:
    """Lanes that show who is audible when, in `width` cells for `duration_s`; a longer call scrolls
    to the left. Times are in ns since the call's start, which is at `started_ns` of the phone's
    clock."""

    _phone: TwilioPeer
    _started_ns: int
    _width: int
    _duration_s: float
    _sent: list[tuple[int, int]] = field(init=False, factory=list[tuple[int, int]])
    """Audio sent to Twilio: when (ns), and how many samples."""
    _symbols: list[tuple[int, str, str]] = field(init=False, factory=list[tuple[int, str, str]])
    """Symbols in lanes: when (ns), the name of the lane, and the text."""
    _has_stream_started: bool = field(init=False, default=False)
    """Until then the phone has recorded nothing."""
    _levels: dict[str, list[int]] = field(init=False)
    """By lane: the bars of past cells."""

    def __attrs_post_init__(self) -> None:
        self._levels = {"caller": [], "agent": [], "twilio": []}

    @property
    def _cell_ns(self) -> int:
        return round(self._duration_s * SECOND / self._width)

    def add_step(self, step: RecordedStep) -> None:
        """Add a step of the bridge."""
        for action in step.actions:
            match action:
                case Send(message=twilio.Media(payload=payload)):
                    self._sent.append((step.at_ns, count_samples(payload) or 0))
                case Send(message=twilio.Clear()):
                    self._symbols.append((step.at_ns, "clear", "▲"))
                case Send(message=realtime.TruncateItem(audio_end_ms=audio_end_ms)):
                    self._symbols.append((step.at_ns, "truncate", f"▲ {audio_end_ms:,} ms"))
                case Notify(CallStarted()):
                    self._has_stream_started = True
                case Notify(KeyPressed(digit)):
                    self._symbols.append((step.at_ns, "caller", digit))
                case _:
                    pass

    def draw(self, now: int) -> Table:
        """Fill the cells up to `now`, and return the lanes as a table."""
        if self._has_stream_started:
            self._fill_cells(now)
        first = max(0, len(self._levels["caller"]) - self._width)
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="crop", width=self._width)
        table.add_row("", Text(self._axis(first), "dim"))
        for lane, label in (("caller", "caller"), ("agent", "agent heard"), ("twilio", "queued")):
            bars = "".join(_BARS[level] for level in self._levels[lane][first:])
            table.add_row(Text(label, STYLES_BY_EVENT[lane]), self._lane(lane, bars, first))
        for lane in ("clear", "truncate"):
            table.add_row(Text(lane, STYLES_BY_EVENT[lane]), self._lane(lane, "", first))
        return table

    def _fill_cells(self, now: int) -> None:
        """Fill the cells that are past at `now`: what was heard then does not change any more."""
        said, heard = self._phone.recorded_audio(self._started_ns + now)
        cell_samples = ns_to_samples(self._cell_ns)
        for cell in range(len(self._levels["caller"]), now // self._cell_ns):
            part = slice(cell * cell_samples, (cell + 1) * cell_samples)
            queued_ns = self._queued_ns((cell + 1) * self._cell_ns)
            self._levels["caller"].append(_loudness_level(said[part]))
            self._levels["agent"].append(_loudness_level(heard[part]))
            self._levels["twilio"].append(_bar_level(queued_ns / _QUEUED_NS_PER_LEVEL))

    def _queued_ns(self, now: int) -> int:
        """The duration of the audio queued at Twilio: sent, and neither heard nor discarded."""
        phone_now = self._started_ns + now
        sent = sum(samples for sent_ns, samples in self._sent if sent_ns <= now)
        discarded = sum(
            clear.discarded_bytes for clear in self._phone.clears if clear.at_ns <= phone_now
        )
        return samples_to_ns(max(0, sent - discarded - self._phone.heard_bytes_at(phone_now)))

    def _lane(self, lane: str, bars: str, first: int) -> Text:
        """A lane with its bars and symbols, from the cell `first` on."""
        row, bar_count = list(bars), len(bars)
        for at_ns, symbol_lane, symbol in self._symbols:
            cell = at_ns // self._cell_ns - first
            if symbol_lane == lane and cell >= 0:
                cell = min(cell, self._width - len(symbol))
                row += " " * (cell + len(symbol) - len(row))
                row[cell : cell + len(symbol)] = symbol
        del row[max(bar_count, self._width) :]
        return Text("".join(row), STYLES_BY_EVENT[lane])

    def _axis(self, first: int) -> str:
        row = [" "] * (self._width + 4)
        for second in range(0, round(self._duration_s) + first, _AXIS_STEP_S):
            label, cell = f"{second} s", round(second * SECOND / self._cell_ns) - first
            if 0 <= cell <= self._width - len(label):
                row[cell : cell + len(label)] = label
        return "".join(row).rstrip()


def _loudness_level(audio: bytes) -> int:
    mean = energy(audio)
    return _bar_level((10 * math.log10(mean) - _QUIETEST_DB) / _DB_PER_LEVEL) if mean else 0


def _bar_level(height: float) -> int:
    return max(0, min(len(_BARS) - 1, math.ceil(height)))
