"""A peer whose messages go through rules."""

from collections import Counter, deque
from collections.abc import Hashable, Sequence

from attrs import define, field

from twilio_realtime_core.machine.actions import Action, Close, Refusal, Send
from twilio_realtime_core.machine.contract import MessageMachine

from ..world.silence import SilenceSink, SilenceSource, SilentFrame
from .rules import DelayedText, Rule, kind_of

__all__ = ["Impairer"]


@define
class _EncodedText:
    """A message as text, which rules may have changed."""

    text: str = field(repr=kind_of)

    def encode(self) -> str:
        return self.text


@define(eq=False)
class _RuleQueue:
    """The rules of one direction, and the messages they hold back: when each is due, its peer, its
    text."""

    rules: Sequence[Rule]
    _kinds: frozenset[str] = field(init=False)
    """The kinds of messages that the rules are for."""
    _is_selective: bool = field(init=False)
    """Whether messages of all other kinds pass unchanged, and change no rule."""
    held: deque[tuple[int, Hashable, str]] = field(
        init=False, factory=deque[tuple[int, Hashable, str]]
    )

    def __attrs_post_init__(self) -> None:
        self._kinds = frozenset(each.kind for each in self.rules)
        self._is_selective = all(each.is_selective for each in self.rules)

    def lets_pass(self, text: str, rules: Sequence[Rule]) -> bool:
        """Whether a message passes unchanged and at once, as most do."""
        if self.held:
            return False
        return not rules or (self._is_selective and kind_of(text) not in self._kinds)

    def enqueue(self, peer: Hashable, text: str, now: int, rules: Sequence[Rule]) -> None:
        """Pass a message through `rules`, one after another, and queue the results."""
        results: list[DelayedText] = [(0, text)]
        for rule in rules:
            results = [
                (delay_ns + further_ns, changed)
                for delay_ns, before in results
                for further_ns, changed in rule.process(before)
            ]
        for delay_ns, changed in results:
            due_ns = max(now + delay_ns, self.held[-1][0] if self.held else 0)
            self.held.append((due_ns, peer, changed))

    def take_due(self, now: int) -> list[tuple[Hashable, str]]:
        """Remove and return the messages that are due."""
        taken: list[tuple[Hashable, str]] = []
        while self.held and self.held[0][0] <= now:
            taken.append(self.held.popleft()[1:])
        return taken


@define(eq=False)
class Impairer(SilenceSource, SilenceSink):
    """A message machine in place of a peer: what the peer receives and sends goes through rules.

    Set `is_active` to `False` at any time to let messages pass unchanged from then on. Messages
    that are held back are sent before a close, and lost with the link.
    """

    machine: MessageMachine
    incoming: Sequence[Rule] = ()
    outgoing: Sequence[Rule] = ()
    is_active: bool = field(init=False, default=True)
    frame_ms: int = field(init=False, default=0)
    """How long a frame of the peer lasts (ms), if it sends any."""
    received_counts: Counter[str] = field(init=False, factory=Counter[str])
    """How many messages the peer has received, by kind."""
    _inbound: _RuleQueue = field(init=False)
    _outbound: _RuleQueue = field(init=False)
    _source: SilenceSource | None = field(init=False)
    _sink: SilenceSink | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._inbound, self._outbound = _RuleQueue(self.incoming), _RuleQueue(self.outgoing)
        machine = self.machine
        self._source = machine if isinstance(machine, SilenceSource) else None
        self.frame_ms = 0 if self._source is None else self._source.frame_ms
        self._sink = machine if isinstance(machine, SilenceSink) else None

    @property
    def deadline(self) -> int | None:
        """When the peer, or a message that is held back, is due (ns)."""
        due_ns = self.machine.deadline
        inbound, outbound = self._inbound.held, self._outbound.held
        if not inbound and not outbound:  # the most frequent case
            return due_ns
        for held in (inbound, outbound):
            if held and (due_ns is None or held[0][0] < due_ns):
                due_ns = held[0][0]
        return due_ns

    def start(self, now: int) -> list[Action]:
        """Start the peer."""
        return self.impair(self.machine.start(now), now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Report an open socket to the peer."""
        return self.impair(self.machine.opened(peer, now), now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """Pass a message through the rules; the peer receives the result."""
        rules = self._inbound.rules if self.is_active else ()
        if self._inbound.lets_pass(text, rules):
            return self._receive(peer, text, now)
        self._inbound.enqueue(peer, text, now, rules)
        return self._receive_due(now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """Report a pong to the peer."""
        return self.impair(self.machine.pong(peer, payload, now), now)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """Report a refused socket to the peer."""
        return self.machine.refused(peer, refusal, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """Report a closed socket to the peer, and drop the messages held back."""
        actions = self.machine.closed(peer, code, reason, now)
        self._inbound.held.clear()
        self._outbound.held.clear()
        return actions

    def handle_timeout(self, now: int) -> list[Action]:
        """Do what is due, of the peer or of a message that is held back."""
        if (deadline := self.deadline) is None or now < deadline:
            return []
        actions = self._receive_due(now) if self._inbound.held else []
        return actions + self.impair(self.machine.handle_timeout(now), now)

    def impair(self, actions: Sequence[Action], now: int) -> list[Action]:
        """Return what the peer's actions become; also for actions that you called the peer for
        yourself."""
        rules = self._outbound.rules if self.is_active else ()
        if not (rules or self._inbound.held or self._outbound.held):  # the most frequent case
            return list(actions)
        impaired: list[Action] = []
        for action in actions:
            match action:
                case Send(peer, message):
                    text = message.encode()
                    if self._outbound.lets_pass(text, rules):
                        impaired.append(Send(peer, _EncodedText(text)))
                    else:
                        self._outbound.enqueue(peer, text, now, rules)
                        impaired += self._send_due(now)
                case Close():
                    impaired += [
                        Send(peer, _EncodedText(text)) for _, peer, text in self._outbound.held
                    ]
                    impaired.append(action)
                    self._inbound.held.clear()
                    self._outbound.held.clear()
                case _:
                    impaired.append(action)
        return impaired + self._send_due(now) if self._outbound.held else impaired

    def relay(self, actions: list[Action], now: int) -> list[Action]:
        """Return actions that have gone through `impair` already, so that a world carries them
        out."""
        del now
        return actions

    # The contracts of `SilenceSource` and `SilenceSink`, for a peer that has them.

    def take_silent_frames(self, until_ns: int) -> list[SilentFrame]:
        """Have the peer send frames of silence, if they pass unchanged."""
        is_unchanged = not (self.is_active and self._outbound.rules) and not self._outbound.held
        if not is_unchanged or self._inbound.held or self._source is None:
            return []
        return self._source.take_silent_frames(until_ns)

    def return_frames(self, frames: Sequence[SilentFrame]) -> None:
        """Have the peer take back the frames that it sent last."""
        if self._source is not None:
            self._source.return_frames(frames)

    def ignores_silence(self, text: str) -> bool:
        """Whether the peer ignores a message, and it passes unchanged."""
        is_unchanged = not (self.is_active and self._inbound.rules) and not self._inbound.held
        if not is_unchanged or self._outbound.held or self._sink is None:
            return False
        return self._sink.ignores_silence(text)

    def receive_silence(self, text: str, count: int, now: int) -> None:
        """Pass a message that the peer ignores to it, so many times."""
        self.received_counts[kind_of(text)] += count
        if self._sink is not None:
            self._sink.receive_silence(text, count, now)

    def _receive_due(self, now: int) -> list[Action]:
        taken = self._inbound.take_due(now)
        return [action for each in taken for action in self._receive(*each, now)]

    def _receive(self, peer: Hashable, text: str, now: int) -> list[Action]:
        self.received_counts[kind_of(text)] += 1
        return self.impair(self.machine.receive_text(peer, text, now), now)

    def _send_due(self, now: int) -> list[Action]:
        return [Send(peer, _EncodedText(text)) for peer, text in self._outbound.take_due(now)]
