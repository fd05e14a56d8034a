"""The expected audio at Twilio: what was sent, and what of it echoes of marks confirm as heard."""

from collections import Counter
from typing import TypeAlias

from attrs import define, field

from ..units import ns_to_samples, samples_to_ns

__all__ = ["ExpectedClip", "ExpectedPlayback", "PartId", "SourceId", "is_hold"]


@define(eq=False)
class ExpectedClip:
    """Audio that the application plays. `name` is `None` where the command has none;
    `sent_samples` counts what was sent of it."""

    audio: bytes
    name: str | None = None
    is_hold: bool = False
    """It only fills the time until the agent speaks."""
    sent_samples: int = field(init=False, default=0)

    @property
    def is_sent(self) -> bool:
        """Whether all of it was sent."""
        return self.sent_samples == len(self.audio)


PartId: TypeAlias = tuple[str, int]
"""Item id and content index of what the agent says."""

SourceId: TypeAlias = PartId | ExpectedClip
"""What audio is of: a part of what the agent says, or a clip."""


def is_hold(source: SourceId) -> bool:
    """Whether audio is a clip that only fills the time."""
    return isinstance(source, ExpectedClip) and source.is_hold


@define(eq=False)
class ExpectedPlayback:
    """What was sent to Twilio since a stream started, or since the last `clear`.

    `sent_before` and `confirmed_before` count the samples on earlier streams, since positions in a
    part count from the start of the part.
    """

    sent_before: Counter[SourceId] = field(factory=Counter[SourceId])
    confirmed_before: Counter[SourceId] = field(factory=Counter[SourceId])
    runs: list[tuple[SourceId, int]] = field(factory=list[tuple[SourceId, int]])
    """Sources and samples, in the order of sending."""
    marks: dict[str, int] = field(factory=dict[str, int])
    """Marks without an echo: how many samples were sent before each."""
    has_hold: bool = False
    sent_samples: int = 0
    confirmed_samples: int = 0
    marked_samples: int = 0
    """Samples sent before the last mark."""
    ends_at_ns: int = 0
    """When all has been played, if nothing takes time on the way."""

    @property
    def is_confirmed(self) -> bool:
        """Whether all that was sent is confirmed as heard."""
        return self.sent_samples == self.confirmed_samples

    def restart(self) -> "ExpectedPlayback":
        """Return the playback after another stream has started, or a `clear` that interrupts
        nobody."""
        sources = {source for source, _ in self.runs}
        sent = Counter({each: self.sent_of(each) for each in sources})
        confirmed = Counter({each: self.confirmed_of(each) for each in sources})
        return ExpectedPlayback(self.sent_before | sent, self.confirmed_before | confirmed)

    def send(self, source: SourceId, samples: int, now: int) -> None:
        """Add samples that are sent."""
        if self.runs and self.runs[-1][0] == source:
            self.runs[-1] = source, self.runs[-1][1] + samples
        else:
            self.runs.append((source, samples))
        self.has_hold |= is_hold(source)
        self.sent_samples += samples
        self.ends_at_ns = max(self.ends_at_ns, now) + samples_to_ns(samples)

    def confirm(self, mark: str, now: int) -> bool:
        """Confirm what was sent before a mark, which is echoed; `False` if it has no echo to come.
        An early echo shows that the player is ahead of the clock."""
        if mark not in self.marks:
            return False
        for each in list(self.marks):  # it answers for those before it
            self.confirmed_samples = self.marks.pop(each)
            if each == mark:
                break
        unconfirmed = self.sent_samples - self.confirmed_samples
        self.ends_at_ns = min(self.ends_at_ns, now + samples_to_ns(unconfirmed))
        return True

    def sent_of(self, source: SourceId) -> int:
        """Samples of a source that were sent."""
        return self.sent_before[source] + self._count(source, self.sent_samples)

    def confirmed_of(self, source: SourceId) -> int:
        """Samples of a source that are confirmed as heard."""
        return self.confirmed_before[source] + self._count(source, self.confirmed_samples)

    def confirms(self, source: SourceId, *, whole: bool) -> bool:
        """Whether marks of this stream confirm some, or the whole, of a source."""
        least = self._count(source, self.sent_samples) if whole else 1
        return self._count(source, self.confirmed_samples) >= max(least, 1)

    def unplayed_samples(self, now: int) -> int:
        """Samples that are neither confirmed nor, by the clock, played."""
        unconfirmed = self.sent_samples - self.confirmed_samples
        return min(unconfirmed, ns_to_samples(self.ends_at_ns - now))

    def unplayed_sources(self, now: int) -> list[SourceId]:
        """The sources of which something is not played, the latest first."""
        unplayed, position = list[SourceId](), self.sent_samples
        played = self.sent_samples - self.unplayed_samples(now)
        for source, samples in reversed(self.runs):
            if position <= played:
                break
            unplayed.append(source)
            position -= samples
        return unplayed

    def confirmed_items(self) -> set[str]:
        """Items of which something is confirmed as heard."""
        items, position = set[str](), 0
        for source, samples in self.runs:
            if position >= self.confirmed_samples:
                break
            if not isinstance(source, ExpectedClip):
                items.add(source[0])
            position += samples
        return items

    def _count(self, source: SourceId, position: int) -> int:
        """Samples of a source before a position in what was sent."""
        counted = 0
        for each, samples in self.runs:
            if each == source:
                counted += min(samples, max(0, position))
            position -= samples
        return counted
