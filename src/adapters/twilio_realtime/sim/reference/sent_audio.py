"""What was sent to Twilio and what its marks confirm, by the part that it is of."""

from collections import Counter
from typing import TypeAlias

from attrs import define, field

from twilio_realtime_core.machine.units import ns_to_samples, samples_to_ns

__all__ = ["Key", "Own", "Sound", "yields"]


@define(eq=False)
class Own:
    """Audio of the application's own. `name` is `None` where nothing told it; `at` is how much of
    it was sent."""

    audio: bytes
    name: str | None = None
    yields: bool = False
    at: int = field(init=False, default=0)


Key: TypeAlias = tuple[str, int] | Own
"""Item id and content index of what the agent says, or audio of the application's own."""


def yields(key: Key) -> bool:
    """Whether sound only fills the time."""
    return isinstance(key, Own) and key.yields


@define(eq=False)
class Sound:
    """What was sent to Twilio since a stream began, or since the last `clear`.

    `sent_before` and `confirmed_before` are what streams before have had, since positions in a part
    count from its own beginning.
    """

    sent_before: Counter[Key] = field(factory=Counter[Key])
    confirmed_before: Counter[Key] = field(factory=Counter[Key])
    runs: list[tuple[Key, int]] = field(factory=list[tuple[Key, int]])
    """Samples of one part after another."""
    marks: dict[str, int] = field(factory=dict[str, int])
    """Those under way: how many samples were sent before each."""
    holds: bool = False
    """Some of it yields."""
    sent: int = 0
    confirmed: int = 0
    marked: int = 0
    """What was sent before the last mark."""
    ends_at: int = 0
    """When all has been played, if no time passes on the way (ns)."""

    def next_stream(self) -> "Sound":
        """Nothing yet, on another stream, or after a `clear` that has interrupted nobody."""
        keys = {key for key, _ in self.runs}
        sent = Counter({each: self.sent_of(each) for each in keys})
        confirmed = Counter({each: self.confirmed_of(each) for each in keys})
        return Sound(self.sent_before | sent, self.confirmed_before | confirmed)

    def add(self, key: Key, samples: int, now: int) -> None:
        """`samples` of a part were sent."""
        if self.runs and self.runs[-1][0] == key:
            self.runs[-1] = key, self.runs[-1][1] + samples
        else:
            self.runs.append((key, samples))
        self.holds |= isinstance(key, Own) and key.yields
        self.sent += samples
        self.ends_at = max(self.ends_at, now) + samples_to_ns(samples)

    def echo(self, name: str, now: int) -> bool:
        """A mark came back; whether it was under way. Before its time, it says that the player is
        ahead of the clock."""
        if name not in self.marks:
            return False
        for each in list(self.marks):  # it answers for those before it
            self.confirmed = self.marks.pop(each)
            if each == name:
                break
        self.ends_at = min(self.ends_at, now + samples_to_ns(self.sent - self.confirmed))
        return True

    def sent_of(self, key: Key) -> int:
        """Samples sent of a part."""
        return self.sent_before[key] + self._of(key, self.sent)

    def confirmed_of(self, key: Key) -> int:
        """Samples of a part that marks confirm."""
        return self.confirmed_before[key] + self._of(key, self.confirmed)

    def confirms(self, key: Key, *, whole: bool) -> bool:
        """Whether marks of this stream confirm some, or the whole, of a part."""
        least = self._of(key, self.sent) if whole else 1
        return self._of(key, self.confirmed) >= max(least, 1)

    def waiting(self, now: int) -> int:
        """Samples that wait to be played: not confirmed, and not played by the clock."""
        return min(self.sent - self.confirmed, ns_to_samples(self.ends_at - now))

    def unheard(self, now: int) -> list[Key]:
        """The parts of which something waits to be played."""
        unheard, position = list[Key](), self.sent
        for key, samples in reversed(self.runs):
            if position <= self.sent - self.waiting(now):
                break
            unheard.append(key)
            position -= samples
        return unheard

    def confirmed_items(self) -> set[str]:
        """Items of which marks confirm something."""
        items, position = set[str](), 0
        for key, samples in self.runs:
            if position >= self.confirmed:
                break
            if not isinstance(key, Own):
                items.add(key[0])
            position += samples
        return items

    def _of(self, key: Key, position: int) -> int:
        samples = 0
        for each, run in self.runs:
            if each == key:
                samples += min(run, max(0, position))
            position -= run
        return samples
