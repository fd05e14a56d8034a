"""How a demonstrated call went: each interruption held against the truth, and what was wrong."""

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
from ..sim.world.world import Step

__all__ = ["TOLERANCE_MS", "Cut", "complaints", "find_cuts", "table", "write_recording"]

TOLERANCE_MS: Final = 60
"""How far what the model is told may be from the truth, on real sockets: three frames, which is
what a busy machine may keep a process waiting for."""

_SAMPLE_RATE: Final = 8000


@frozen
class Cut:
    """An item that was cut off, in ms: what had been generated of it, what was truly heard, and
    what the model was told to be heard (`None`: nothing). `at_ns` is since the call's start."""

    at_ns: int
    item_id: str
    generated_ms: int
    heard_ms: int
    told_ms: int | None

    @property
    def difference_ms(self) -> int | None:
        """Told less heard."""
        return None if self.told_ms is None else self.told_ms - self.heard_ms

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "at_ms": round(self.at_ns / MS, 3),
            "item_id": self.item_id,
            "generated_ms": self.generated_ms,
            "heard_ms": self.heard_ms,
            "told_ms": self.told_ms,
            "difference_ms": self.difference_ms,
        }


def find_cuts(steps: Sequence[Step], clears: Sequence[QueueCleared]) -> list[Cut]:
    """The items that were cut off in a call on one stream, given what the phone did at each
    `clear`."""
    account = _Account(iter(clears))
    return [cut for step in steps for cut in account.take(step)]


@define(eq=False)
class _Account:
    """What the model sent of each item, and what the phone has played of it or still will. Only
    the messages count here, not what the bridge makes of them."""

    _clears: Iterator[QueueCleared]
    _generated: Counter[str] = field(init=False, factory=Counter[str])
    _played: list[tuple[str, int]] = field(init=False, factory=list[tuple[str, int]])
    """Items and samples in the order in which they were sent to the phone."""
    _item_id: str = field(init=False, default="")

    def take(self, step: Step) -> Iterator[Cut]:
        """Take in a step; the items that it cuts off."""
        match step.method, step.arguments:
            case "receive_text", (Peer.REALTIME, str(text)):
                match realtime.decode(text):
                    case realtime.OutputAudioDeltaEvent(item_id=item_id, delta=delta):
                        self._item_id = item_id
                        self._generated[item_id] += count_samples(delta) or 0
                    case _:
                        pass
            case _:
                pass
        told: dict[str, int] = {}
        cut: tuple[InterruptedItem, ...] = ()
        for action in step.outputs:
            match action:
                case Send(message=twilio.Media(payload=payload)):
                    self._played.append((self._item_id, count_samples(payload) or 0))
                case Send(message=twilio.Clear()):
                    self._clear()
                case Send(message=realtime.TruncateItem(item_id, _, audio_end_ms)):
                    told[item_id] = audio_end_ms
                case Notify(Interrupted(items=items)):
                    cut = items
                case _:
                    pass
        for item in cut:
            heard = sum(samples for item_id, samples in self._played if item_id == item.item_id)
            generated = samples_to_ms(self._generated[item.item_id])
            yield Cut(
                step.at_ns, item.item_id, generated, samples_to_ms(heard), told.get(item.item_id)
            )

    def _clear(self) -> None:
        """Keep what had been heard when the phone's queue was cleared."""
        cleared = next(self._clears, None)
        if cleared is None:  # it never arrived: all is played
            return
        room, kept = cleared.heard_bytes, list[tuple[str, int]]()
        for item_id, samples in self._played:
            kept.append((item_id, min(samples, room)))
            room -= kept[-1][1]
        self._played = kept


def complaints(
    steps: Sequence[Step],
    cuts: Sequence[Cut],
    phone: TwilioPeer,
    model: RealtimePeer,
    interruptions: int,
) -> list[str]:
    """What was not as it should be, one sentence each: a call with so many interruptions of one
    item each, and one key, that the caller ends."""
    events = [
        action.event for step in steps for action in step.outputs if isinstance(action, Notify)
    ]
    found: list[str] = []
    ends = [event for event in events if isinstance(event, CallEnded)]
    if not ends:
        found.append("the call has not ended")
    found += [
        f"the call has ended because of this: {end.reason.value} {end.detail}".rstrip()
        for end in ends
        if end.reason is not EndReason.CALLER_HUNG_UP
    ]
    cutting = [len(event.items) for event in events if isinstance(event, Interrupted)]
    if cutting != [1] * interruptions:
        found.append(f"items cut off by each interruption: {cutting}, not {[1] * interruptions}")
    keys = sum(isinstance(event, KeyPressed) for event in events)
    if keys != 1:
        found.append(f"{keys} keys have arrived, not 1")
    found += [f"Twilio would log {each.code}: {each.message}" for each in phone.warnings]
    found += [f"the model refused {each.event_type}: {each.message}" for each in model.sent_errors]
    return found + [complaint for cut in cuts for complaint in _judge(cut)]


def _judge(cut: Cut) -> Iterator[str]:
    difference = cut.difference_ms
    if difference is None:
        yield f"the model was not told how much of {cut.item_id} was heard"
    elif abs(difference) > TOLERANCE_MS:
        wrong = "too much" if difference > 0 else "too little"
        yield f"the model was told {abs(difference)} ms {wrong} of {cut.item_id}"


def table(cuts: Sequence[Cut]) -> Table:
    """The interruptions, for people."""
    shown = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    shown.add_column("at", justify="right")
    shown.add_column("item", no_wrap=True)
    for name in ("generated", "truly\nheard", "told to\nthe model", "difference"):
        shown.add_column(name, justify="right")
    for cut in cuts:
        told = "nothing" if cut.told_ms is None else f"{cut.told_ms:,} ms"
        difference = "" if cut.difference_ms is None else f"{cut.difference_ms:+} ms"
        good = not list(_judge(cut))
        shown.add_row(
            f"{cut.at_ns / SECOND:.2f} s",
            cut.item_id,
            f"{cut.generated_ms:,} ms",
            f"{cut.heard_ms:,} ms",
            told,
            Text(difference or "?", "green" if good else "bold red"),
        )
    return shown


def write_recording(path: Path, caller: bytes, agent: bytes) -> None:
    """A stereo WAV file, left the caller and right the agent, of two µ-law channels equally long.

    It holds 16-bit linear samples, since not every player knows µ-law. Raises `OSError`.
    """
    left, right = to_linear(caller), to_linear(agent)
    frames = bytearray(2 * len(left))
    for channel, samples in enumerate((left, right)):
        for byte in range(2):
            frames[2 * channel + byte :: 4] = samples[byte::2]
    with path.open("wb") as file, wave.open(file) as recording:
        recording.setnchannels(2)
        recording.setsampwidth(2)
        recording.setframerate(_SAMPLE_RATE)
        recording.writeframes(frames)
