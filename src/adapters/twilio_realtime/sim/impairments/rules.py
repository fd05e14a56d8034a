"""Rules for the messages of a peer that know nothing but texts.

    phone = Impairer(TwilioPeer(...), outgoing=[Drop("mark", after=3, times=2)])

Impairments of the network itself are properties of links: see `NetworkDirection`, and
`ByteWorld.cut`.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeAlias

from attrs import define, field

__all__ = [
    "AnnounceNewEvent",
    "Corrupt",
    "Delay",
    "DelayedText",
    "Drop",
    "Duplicate",
    "Replace",
    "Rule",
    "Swap",
    "kind_of",
]

DelayedText: TypeAlias = tuple[int, str]
"""How long a message is held back (ns), and its text. Messages of one direction never overtake."""

_NEW_EVENT: Final = '{"type":"response.new_kind","event_id":"event_new","response_id":"resp_new"}'

_KIND_PATTERN: Final = re.compile(r'\{"(?:event|type)":"([^"]*)"')
"""The start of a message; all simulated peers write the kind first."""


def kind_of(text: str) -> str:
    """Return the `event` of a Twilio message, or the `type` of a Realtime API event; empty if it
    has none."""
    found = _KIND_PATTERN.match(text)
    return found[1] if found else ""


@define(eq=False)
class Rule(ABC):
    """A rule for the messages of one `kind` (empty: of all): it lets `after` of them pass, applies
    to the next `times`, and lets all others pass."""

    _sees_all: ClassVar[bool] = False
    """Whether messages of other kinds matter to the rule as well, or are changed by it."""

    kind: str = ""
    after: int = field(default=0, kw_only=True)
    times: int = field(default=1, kw_only=True)
    applied_count: int = field(init=False, default=0, repr=False)
    """How many messages the rule has applied to."""
    _matching_count: int = field(init=False, default=0, repr=False)

    def __init_subclass__(cls) -> None:
        is_processing = cls.process is not Rule.process
        cls._sees_all = is_processing or cls.pass_through is not Rule.pass_through

    @property
    def is_selective(self) -> bool:
        """Whether messages of other kinds pass unchanged, and change nothing of the rule."""
        return bool(self.kind) and not self._sees_all

    def process(self, text: str) -> Sequence[DelayedText]:
        """Return what a message becomes."""
        if self.kind and kind_of(text) != self.kind:
            return self.pass_through(text)
        self._matching_count += 1
        if not self.after < self._matching_count <= self.after + self.times:
            return self.pass_through(text)
        self.applied_count += 1
        return self.apply(text)

    @abstractmethod
    def apply(self, text: str) -> Sequence[DelayedText]:
        """Return what a message becomes that the rule applies to."""

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """Return what any other message becomes: it passes unchanged."""
        return ((0, text),)


@define(eq=False)
class Delay(Rule):
    """Hold messages back for `delay_ns`. Later messages wait behind them and are released together,
    while other links continue: so events of two links change places."""

    delay_ns: int = field(default=0, kw_only=True)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Delay the message."""
        return ((self.delay_ns, text),)


@define(eq=False)
class Drop(Rule):
    """Drop messages."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Drop the message."""
        del text
        return ()


@define(eq=False)
class Duplicate(Rule):
    """Deliver messages twice."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver the message, and deliver it again."""
        return ((0, text), (0, text))


@define(eq=False)
class AnnounceNewEvent(Rule):
    """Deliver an event before each message, of a type that a later version of the API may have."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver the event, and then the message."""
        return ((0, _NEW_EVENT), (0, text))


@define(eq=False)
class Swap(Rule):
    """Deliver a message behind the one that follows it."""

    _held: list[str] = field(init=False, factory=list[str], repr=False)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Hold the message until the next one."""
        self._held.append(text)
        return ()

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """Deliver the message, and then those that were held for it."""
        passages = [(0, text), *((0, held) for held in self._held)]
        self._held.clear()
        return passages


@define(eq=False)
class Corrupt(Rule):
    """Cut off the second half of messages, which makes them invalid JSON."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver the first half."""
        return ((0, text[: len(text) // 2]),)


@define(eq=False)
class Replace(Rule):
    """Deliver messages with other content: `edit` changes the JSON object in place."""

    edit: Callable[[dict[str, Any]], object] = field(kw_only=True, repr=lambda each: each.__name__)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver the edited message; one that another rule has corrupted passes unchanged."""
        try:
            body: dict[str, Any] = json.loads(text)
        except (ValueError, RecursionError):
            return ((0, text),)
        self.edit(body)
        return ((0, json.dumps(body, separators=(",", ":"))),)
