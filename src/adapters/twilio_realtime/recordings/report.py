"""The report of a demo call: each interruption compared with the truth, and what went wrong."""

import wave
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import define, field, frozen
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.actions import Notify, Peer, Send
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ms
from twilio_realtime_core.notifications import (
    CallEnded,
    EndReason,
    Interrupted,
    InterruptedItem,
    KeyPressed,
)
from twilio_realtime_core.protocols import realtime, twilio

from ..sim.audio import to_linear
from ..sim.model.realtime_peer import RealtimePeer
from ..sim.phone.twilio_peer import QueueCleared, TwilioPeer
from .recorder import RecordedStep

__all__ = [
    "TOLERANCE_MS",
    "MeasuredInterruption",
    "find_problems",
    "interruption_table",
    "measure_interruptions",
    "write_stereo_wav",
]

TOLERANCE_MS: Final = 60
"""How far the position reported to the model may be from the truth on real sockets: three frames,
the time for which a busy machine may suspend a process."""

_SAMPLE_RATE_HZ: Final = 8000


@frozen
class MeasuredInterruption:
    """The interruption of one item, in ms of its audio: how much the model had generated, how much
    the caller heard, and the position that the bridge reported to the model (`None`: it reported
    none). `at_ns` is the time since the call's start."""

    at_ns: int
    item_id: str
    generated_ms: int
    heard_ms: int
    reported_ms: int | None

    @property
    def difference_ms(self) -> int | None:
        """The reported position less the heard one."""
        return None if self.reported_ms is None else self.reported_ms - self.heard_ms

    def to_json(self) -> dict[str, object]:
        """The interruption as an object for programs."""
        return {
            "at_ms": round(self.at_ns / MS, 3),
            "item_id": self.item_id,
            "generated_ms": self.generated_ms,
            "heard_ms": self.heard_ms,
            "reported_ms": self.reported_ms,
            "difference_ms": self.difference_ms,
        }


def measure_interruptions(
    steps: Sequence[RecordedStep], clears: Sequence[QueueCleared]
) -> list[MeasuredInterruption]:
    """Measure the interruptions of a call with one stream; `clears` is what the phone did at each
    `clear`."""
    tracker = _PlaybackTracker(iter(clears))
    return [interruption for step in steps for interruption in tracker.add_step(step)]


@define(eq=False)
class _PlaybackTracker:
    """What the model sent of each item, and what the phone has played or will play of it. It is
    derived from messages alone, and does not depend on what the bridge concludes from them."""

    _clears: Iterator[QueueCleared]
    _generated_samples: Counter[str] = field(init=False, factory=Counter[str])
    _played: list[tuple[str, int]] = field(init=False, factory=list[tuple[str, int]])
    """Items and samples, in the order in which they were sent to the phone."""
    _item_id: str = field(init=False, default="")

    def add_step(self, step: RecordedStep) -> Iterator[MeasuredInterruption]:
        """Add a step; yield the interruptions in it."""
        match step.method, step.arguments:
            case "receive_text", (Peer.REALTIME, str(text)):
                match realtime.decode(text):
                    case realtime.OutputAudioDeltaEvent(item_id=item_id, delta=delta):
                        self._item_id = item_id
                        self._generated_samples[item_id] += count_samples(delta) or 0
                    case _:
                        pass
            case _:
                pass
        reported_ms: dict[str, int] = {}
        interrupted: tuple[InterruptedItem, ...] = ()
        for action in step.actions:
            match action:
                case Send(message=twilio.Media(payload=payload)):
                    self._played.append((self._item_id, count_samples(payload) or 0))
                case Send(message=twilio.Clear()):
                    self._apply_clear()
                case Send(message=realtime.TruncateItem(item_id, _, audio_end_ms)):
                    reported_ms[item_id] = audio_end_ms
                case Notify(Interrupted(items=items)):
                    interrupted = items
                case _:
                    pass
        for item in interrupted:
            played = sum(samples for item_id, samples in self._played if item_id == item.item_id)
            yield MeasuredInterruption(
                step.at_ns,
                item.item_id,
                generated_ms=samples_to_ms(self._generated_samples[item.item_id]),
                heard_ms=samples_to_ms(played),
                reported_ms=reported_ms.get(item.item_id),
            )

    def _apply_clear(self) -> None:
        """Keep what had been heard when the phone's queue was cleared."""
        cleared = next(self._clears, None)
        if cleared is None:  # the clear did not arrive: everything is played
            return
        rest_samples, heard = cleared.heard_bytes, list[tuple[str, int]]()
        for item_id, samples in self._played:
            heard.append((item_id, min(samples, rest_samples)))
            rest_samples -= heard[-1][1]
        self._played = heard


def find_problems(
    steps: Sequence[RecordedStep],
    interruptions: Sequence[MeasuredInterruption],
    phone: TwilioPeer,
    model: RealtimePeer,
    expected_interruptions: int,
) -> list[str]:
    """Return a sentence for each problem of a call in which the caller is expected to interrupt so
    many times, one item each time, to press one key, and to hang up."""
    events = [
        action.event for step in steps for action in step.actions if isinstance(action, Notify)
    ]
    problems: list[str] = []
    ends = [event for event in events if isinstance(event, CallEnded)]
    if not ends:
        problems.append("the call has not ended")
    problems += [
        f"the call ended for another reason: {end.reason.value} {end.detail}".rstrip()
        for end in ends
        if end.reason is not EndReason.CALLER_HUNG_UP
    ]
    counts = [len(event.items) for event in events if isinstance(event, Interrupted)]
    expected_counts = [1] * expected_interruptions
    if counts != expected_counts:
        problems.append(f"items of each interruption: {counts}, expected {expected_counts}")
    keys = sum(isinstance(event, KeyPressed) for event in events)
    if keys != 1:
        problems.append(f"keys received: {keys}, expected 1")
    problems += [f"Twilio would log {each.code}: {each.message}" for each in phone.warnings]
    problems += [
        f"the model refused {each.event_type}: {each.message}" for each in model.sent_errors
    ]
    return problems + [problem for each in interruptions for problem in _accuracy_problems(each)]


def _accuracy_problems(interruption: MeasuredInterruption) -> Iterator[str]:
    difference_ms = interruption.difference_ms
    if difference_ms is None:
        yield f"no position of {interruption.item_id} was reported to the model"
    elif abs(difference_ms) > TOLERANCE_MS:
        direction = "high" if difference_ms > 0 else "low"
        excess = f"{abs(difference_ms)} ms too {direction}"
        yield f"the reported position of {interruption.item_id} is {excess}"


def interruption_table(interruptions: Sequence[MeasuredInterruption]) -> Table:
    """The interruptions as a table for people."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    table.add_column("at", justify="right")
    table.add_column("item", no_wrap=True)
    for name in ("generated", "heard", "reported", "difference"):
        table.add_column(name, justify="right")
    for each in interruptions:
        reported = "nothing" if each.reported_ms is None else f"{each.reported_ms:,} ms"
        difference = "" if each.difference_ms is None else f"{each.difference_ms:+} ms"
        is_accurate = not list(_accuracy_problems(each))
        table.add_row(
            f"{each.at_ns / SECOND:.2f} s",
            each.item_id,
            f"{each.generated_ms:,} ms",
            f"{each.heard_ms:,} ms",
            reported,
            Text(difference or "?", "green" if is_accurate else "bold red"),
        )
    return table


def write_stereo_wav(path: Path, caller: bytes, agent: bytes) -> None:
    """Write a stereo WAV file, left the caller and right the agent, from two channels of µ-law of
    equal length.

    It holds 16-bit linear samples, which every player supports. Raises `OSError`.
    """
    left, right = to_linear(caller), to_linear(agent)
    frames = bytearray(2 * len(left))
    for channel, samples in enumerate((left, right)):
        for byte in range(2):
            frames[2 * channel + byte :: 4] = samples[byte::2]
    with path.open("wb") as file, wave.open(file) as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(_SAMPLE_RATE_HZ)
        wav.writeframes(frames)
