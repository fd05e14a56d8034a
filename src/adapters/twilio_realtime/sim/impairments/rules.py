"""What goes wrong in a simulated call: small rules for the messages of a peer, and clocks that run
fast or slow.

    phone = Meddled(TwilioPeer(...), outgoing=[Drop("mark", after=3, times=2)])

`Meddled` takes a peer's place at message level as at byte level, so the same rules hold for both.
Faults of the network itself are properties of links: see `links`, and `cut` of a world.
"""

import json
import re
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeAlias

from attrs import define, field

from twilio_realtime_core.machine.actions import Action, Close, Send
from twilio_realtime_core.machine.contract import MessageMachine

__all__ = [
    "Corrupt",
    "Delay",
    "Drifting",
    "Drop",
    "Duplicate",
    "Meddled",
    "Passage",
    "Replace",
    "Rule",
    "Swap",
    "kind_of",
]

Passage: TypeAlias = tuple[int, str]
"""How long a message is kept back (ns), and its text. Messages of one way never overtake."""

_KIND: Final = re.compile(r'\{"(?:event|type)":"([^"]*)"')
"""Who writes messages in a simulation begins them with their kind."""

_MILLION: Final = 1_000_000


def kind_of(text: str) -> str:
    """The `event` of a message of Twilio, or the `type` of an event of the Realtime API."""
    found = _KIND.match(text)
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
    done: int = field(init=False, default=0, repr=False)
    _seen: int = field(init=False, default=0, repr=False)

    def pass_on(self, text: str) -> Sequence[Passage]:
        """What becomes of a message."""
        if self.kind and kind_of(text) != self.kind:
            return self.other(text)
        self._seen += 1
        if not self.after < self._seen <= self.after + self.times:
            return self.other(text)
        self.done += 1
        return self.meddle(text)

    @abstractmethod
    def meddle(self, text: str) -> Sequence[Passage]:
        """What becomes of a message that it has its way with."""

    def other(self, text: str) -> Sequence[Passage]:
        """What becomes of any other message: it passes."""
        return ((0, text),)


@define(eq=False)
class Delay(Rule):
    """Keeps messages back for `ns`. What comes behind waits with them and is then released at once,
    while other links go on: so events of two links change places."""

    ns: int = field(default=0, kw_only=True)

    def meddle(self, text: str) -> Sequence[Passage]:
        """It comes later."""
        return ((self.ns, text),)


@define(eq=False)
class Drop(Rule):
    """Messages never come."""

    def meddle(self, text: str) -> Sequence[Passage]:
        """It is gone."""
        del text
        return ()


@define(eq=False)
class Duplicate(Rule):
    """Messages come twice."""

    def meddle(self, text: str) -> Sequence[Passage]:
        """It comes, and comes again."""
        return ((0, text), (0, text))


@define(eq=False)
class Swap(Rule):
    """A message comes behind the one that follows it."""

    _kept: list[str] = field(init=False, factory=list[str], repr=False)

    def meddle(self, text: str) -> Sequence[Passage]:
        """It waits for the next."""
        self._kept.append(text)
        return ()

    def other(self, text: str) -> Sequence[Passage]:
        """Behind it come those that have waited for it."""
        passages = [(0, text), *((0, kept) for kept in self._kept)]
        self._kept.clear()
        return passages


@define(eq=False)
class Corrupt(Rule):
    """Messages lose their second half, and so are no JSON."""

    def meddle(self, text: str) -> Sequence[Passage]:
        """Its first half comes."""
        return ((0, text[: len(text) // 2]),)


@define(eq=False)
class Replace(Rule):
    """Messages come with other content: `edit` changes the object in place."""

    edit: Callable[[dict[str, Any]], object] = field(kw_only=True, repr=lambda each: each.__name__)

    def meddle(self, text: str) -> Sequence[Passage]:
        """What it has become comes; what another rule has corrupted is left as it is."""
        try:
            body: dict[str, Any] = json.loads(text)
        except ValueError:
            return ((0, text),)
        self.edit(body)
        return ((0, json.dumps(body, separators=(",", ":"))),)


@define
class _Text:
    """A message that has been meddled with, or may have been."""

    text: str = field(repr=kind_of)

    def encode(self) -> str:
        return self.text


@define(eq=False)
class _Way:
    """The rules of one direction, and what they keep back: when it is due, for whom, the text."""

    rules: Sequence[Rule]
    kept: deque[tuple[int, Hashable, str]] = field(
        init=False, factory=deque[tuple[int, Hashable, str]]
    )

    def put(self, peer: Hashable, text: str, now: int, rules: Sequence[Rule]) -> None:
        """Let the rules have their way with a message, one after another."""
        passages: list[Passage] = [(0, text)]
        for rule in rules:
            passages = [
                (delay + more, changed)
                for delay, before in passages
                for more, changed in rule.pass_on(before)
            ]
        for delay, changed in passages:
            due = max(now + delay, self.kept[-1][0] if self.kept else 0)
            self.kept.append((due, peer, changed))

    def take(self, now: int) -> list[tuple[Hashable, str]]:
        """What is due."""
        taken: list[tuple[Hashable, str]] = []
        while self.kept and self.kept[0][0] <= now:
            taken.append(self.kept.popleft()[1:])
        return taken


@define(eq=False)
class Meddled:
    """Takes the place of a peer: what it is told, and what it says, goes through rules.

    `active` may be set to `False` at any time: from then on messages pass as they are. What is kept
    back is sent before a close, and lost with the link.
    """

    machine: MessageMachine
    incoming: Sequence[Rule] = ()
    outgoing: Sequence[Rule] = ()
    active: bool = field(init=False, default=True)
    received: Counter[str] = field(init=False, factory=Counter[str])
    """What the peer was told, by kind."""
    _in: _Way = field(init=False)
    _out: _Way = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._in, self._out = _Way(self.incoming), _Way(self.outgoing)

    @property
    def deadline(self) -> int | None:
        """That of the peer, or when something kept back is due."""
        due = self.machine.deadline
        for kept in (self._in.kept, self._out.kept):
            if kept and (due is None or kept[0][0] < due):
                due = kept[0][0]
        return due

    def start(self, now: int) -> list[Action]:
        """Begin."""
        return self.pass_on(self.machine.start(now), now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self.pass_on(self.machine.opened(peer, now), now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come; the peer is told of what becomes of it."""
        rules = self._in.rules if self.active else ()
        if not rules and not self._in.kept:  # most often
            return self._receive(peer, text, now)
        self._in.put(peer, text, now, rules)
        return self._receive_due(now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        return self.pass_on(self.machine.pong(peer, payload, now), now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone, and what was kept back with it."""
        actions = self.machine.closed(peer, code, reason, now)
        self._in.kept.clear()
        self._out.kept.clear()
        return actions

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come, of the peer or of something kept back."""
        if (deadline := self.deadline) is None or now < deadline:
            return []
        actions = self._receive_due(now)
        return actions + self.pass_on(self.machine.handle_timeout(now), now)

    def pass_on(self, actions: Sequence[Action], now: int) -> list[Action]:
        """What becomes of what the peer asks for, also of what it was made to do from outside."""
        passed: list[Action] = []
        rules = self._out.rules if self.active else ()
        for action in actions:
            match action:
                case Send() if not rules and not self._out.kept:  # most often
                    passed.append(action)
                case Send(peer, message):
                    self._out.put(peer, message.encode(), now, rules)
                    passed += self._send_due(now)
                case Close():
                    passed += [Send(peer, _Text(text)) for _, peer, text in self._out.kept]
                    passed.append(action)
                    self._in.kept.clear()
                    self._out.kept.clear()
                case _:
                    passed.append(action)
        return passed + self._send_due(now) if self._out.kept else passed

    def relay(self, actions: list[Action], now: int) -> list[Action]:
        """What was passed on already is to be carried out."""
        del now
        return actions

    def _receive_due(self, now: int) -> list[Action]:
        taken = self._in.take(now)
        return [action for each in taken for action in self._receive(*each, now)]

    def _receive(self, peer: Hashable, text: str, now: int) -> list[Action]:
        self.received[kind_of(text)] += 1
        return self.pass_on(self.machine.receive_text(peer, text, now), now)

    def _send_due(self, now: int) -> list[Action]:
        return [Send(peer, _Text(text)) for peer, text in self._out.take(now)]


@define(eq=False)
class Drifting:
    """A machine whose clock gains `ppm` millionths (loses them, if negative) on that of the world.

    Crystals of telephones and servers differ by up to a hundred.
    """

    machine: MessageMachine
    ppm: int

    @property
    def deadline(self) -> int | None:
        """That of the machine, in the world's time."""
        deadline = self.machine.deadline
        return None if deadline is None else -(-deadline * _MILLION // (_MILLION + self.ppm))

    def local(self, now: int) -> int:
        """What its clock shows at `now`."""
        return now * (_MILLION + self.ppm) // _MILLION

    def start(self, now: int) -> list[Action]:
        """Begin."""
        return self.machine.start(self.local(now))

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self.machine.opened(peer, self.local(now))

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come."""
        return self.machine.receive_text(peer, text, self.local(now))

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        return self.machine.pong(peer, payload, self.local(now))

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone."""
        return self.machine.closed(peer, code, reason, self.local(now))

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come."""
        return self.machine.handle_timeout(self.local(now))
