"""A peer whose messages go through rules."""

from collections import Counter, deque
from collections.abc import Hashable, Sequence

from attrs import define, field

from twilio_realtime_core.machine.actions import Action, Close, Send
from twilio_realtime_core.machine.contract import MessageMachine

from .rules import DelayedText, Rule, kind_of

__all__ = ["Impairer"]


@define
class _EncodedText:
    """A message that has been meddled with, or may have been."""

    text: str = field(repr=kind_of)

    def encode(self) -> str:
        return self.text


@define(eq=False)
class _RuleQueue:
    """The rules of one direction, and what they keep back: when it is due, for whom, the text."""

    rules: Sequence[Rule]
    held: deque[tuple[int, Hashable, str]] = field(
        init=False, factory=deque[tuple[int, Hashable, str]]
    )

    def enqueue(self, peer: Hashable, text: str, now: int, rules: Sequence[Rule]) -> None:
        """Let the rules have their way with a message, one after another."""
        passages: list[DelayedText] = [(0, text)]
        for rule in rules:
            passages = [
                (delay + more, changed)
                for delay, before in passages
                for more, changed in rule.process(before)
            ]
        for delay, changed in passages:
            due = max(now + delay, self.held[-1][0] if self.held else 0)
            self.held.append((due, peer, changed))

    def take_due(self, now: int) -> list[tuple[Hashable, str]]:
        """What is due."""
        taken: list[tuple[Hashable, str]] = []
        while self.held and self.held[0][0] <= now:
            taken.append(self.held.popleft()[1:])
        return taken


@define(eq=False)
class Impairer:
    """Takes the place of a peer: what it is told, and what it says, goes through rules.

    `active` may be set to `False` at any time: from then on messages pass as they are. What is kept
    back is sent before a close, and lost with the link.
    """

    machine: MessageMachine
    incoming: Sequence[Rule] = ()
    outgoing: Sequence[Rule] = ()
    is_active: bool = field(init=False, default=True)
    received_counts: Counter[str] = field(init=False, factory=Counter[str])
    """What the peer was told, by kind."""
    _inbound: _RuleQueue = field(init=False)
    _outbound: _RuleQueue = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._inbound, self._outbound = _RuleQueue(self.incoming), _RuleQueue(self.outgoing)

    @property
    def deadline(self) -> int | None:
        """That of the peer, or when something kept back is due."""
        due = self.machine.deadline
        for kept in (self._inbound.held, self._outbound.held):
            if kept and (due is None or kept[0][0] < due):
                due = kept[0][0]
        return due

    def start(self, now: int) -> list[Action]:
        """Begin."""
        return self.impair(self.machine.start(now), now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self.impair(self.machine.opened(peer, now), now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come; the peer is told of what becomes of it."""
        rules = self._inbound.rules if self.is_active else ()
        if not rules and not self._inbound.held:  # most often
            return self._receive(peer, text, now)
        self._inbound.enqueue(peer, text, now, rules)
        return self._receive_due(now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        return self.impair(self.machine.pong(peer, payload, now), now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone, and what was kept back with it."""
        actions = self.machine.closed(peer, code, reason, now)
        self._inbound.held.clear()
        self._outbound.held.clear()
        return actions

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come, of the peer or of something kept back."""
        if (deadline := self.deadline) is None or now < deadline:
            return []
        actions = self._receive_due(now)
        return actions + self.impair(self.machine.handle_timeout(now), now)

    def impair(self, actions: Sequence[Action], now: int) -> list[Action]:
        """What becomes of what the peer asks for, also of what it was made to do from outside."""
        passed: list[Action] = []
        rules = self._outbound.rules if self.is_active else ()
        for action in actions:
            match action:
                case Send() if not rules and not self._outbound.held:  # most often
                    passed.append(action)
                case Send(peer, message):
                    self._outbound.enqueue(peer, message.encode(), now, rules)
                    passed += self._send_due(now)
                case Close():
                    passed += [
                        Send(peer, _EncodedText(text)) for _, peer, text in self._outbound.held
                    ]
                    passed.append(action)
                    self._inbound.held.clear()
                    self._outbound.held.clear()
                case _:
                    passed.append(action)
        return passed + self._send_due(now) if self._outbound.held else passed

    def relay(self, actions: list[Action], now: int) -> list[Action]:
        """What was passed on already is to be carried out."""
        del now
        return actions

    def _receive_due(self, now: int) -> list[Action]:
        taken = self._inbound.take_due(now)
        return [action for each in taken for action in self._receive(*each, now)]

    def _receive(self, peer: Hashable, text: str, now: int) -> list[Action]:
        self.received_counts[kind_of(text)] += 1
        return self.impair(self.machine.receive_text(peer, text, now), now)

    def _send_due(self, now: int) -> list[Action]:
        return [Send(peer, _EncodedText(text)) for peer, text in self._outbound.take_due(now)]
