"""What goes wrong in a simulated call: small rules for the messages of a peer, and clocks that run
fast or slow.

    phone = Meddled(TwilioPeer(...), outgoing=[Drop("mark", after=3, times=2)])

`Meddled` takes a peer's place at message level as at byte level, so the same rules hold for both.
Faults of the network itself are properties of links: see `links`, and `cut` of a world.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from attrs import define, field

__all__ = [
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
"""How long a message is kept back (ns), and its text. Messages of one way never overtake."""

_KIND_PATTERN: Final = re.compile(r'\{"(?:event|type)":"([^"]*)"')
"""Who writes messages in a simulation begins them with their kind."""


def kind_of(text: str) -> str:
    """The `event` of a message of Twilio, or the `type` of an event of the Realtime API."""
    found = _KIND_PATTERN.match(text)
    return found[1] if found else ""


@define(eq=False)
class Rule(ABC):
    """Meddles with messages of one `kind` (empty: of all): lets `after` of them pass, has its way
    with the next `times`, and lets all that follow pass.

    `done` counts what it has had its way with.
    """

    kind: str = ""
    after: int = field(default=0, kw_only=True)
    times: int = field(default=1, kw_only=True)
    applied_count: int = field(init=False, default=0, repr=False)
    _matching_count: int = field(init=False, default=0, repr=False)

    def process(self, text: str) -> Sequence[DelayedText]:
        """What becomes of a message."""
        if self.kind and kind_of(text) != self.kind:
            return self.pass_through(text)
        self._matching_count += 1
        if not self.after < self._matching_count <= self.after + self.times:
            return self.pass_through(text)
        self.applied_count += 1
        return self.apply(text)

    @abstractmethod
    def apply(self, text: str) -> Sequence[DelayedText]:
        """What becomes of a message that it has its way with."""

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """What becomes of any other message: it passes."""
        return ((0, text),)


@define(eq=False)
class Delay(Rule):
    """Keeps messages back for `ns`. What comes behind waits with them and is then released at once,
    while other links go on: so events of two links change places."""

    delay_ns: int = field(default=0, kw_only=True)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """It comes later."""
        return ((self.delay_ns, text),)


@define(eq=False)
class Drop(Rule):
    """Messages never come."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """It is gone."""
        del text
        return ()


@define(eq=False)
class Duplicate(Rule):
    """Messages come twice."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """It comes, and comes again."""
        return ((0, text), (0, text))


@define(eq=False)
class Swap(Rule):
    """A message comes behind the one that follows it."""

    _held: list[str] = field(init=False, factory=list[str], repr=False)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """It waits for the next."""
        self._held.append(text)
        return ()

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """Behind it come those that have waited for it."""
        passages = [(0, text), *((0, kept) for kept in self._held)]
        self._held.clear()
        return passages


@define(eq=False)
class Corrupt(Rule):
    """Messages lose their second half, and so are no JSON."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Its first half comes."""
        return ((0, text[: len(text) // 2]),)


@define(eq=False)
class Replace(Rule):
    """Messages come with other content: `edit` changes the object in place."""

    edit: Callable[[dict[str, Any]], object] = field(kw_only=True, repr=lambda each: each.__name__)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """What it has become comes; what another rule has corrupted is left as it is."""
        try:
            body: dict[str, Any] = json.loads(text)
        except ValueError:
            return ((0, text),)
        self.edit(body)
        return ((0, json.dumps(body, separators=(",", ":"))),)
