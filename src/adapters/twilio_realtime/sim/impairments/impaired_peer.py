"""A peer of a call with all that is wrong with it."""

from collections.abc import Callable

from attrs import define, field

from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.contract import MessageMachine

from .clock_drift import Drifting
from .impairer import Meddled
from .plan import Trouble

__all__ = ["Troubled"]


@define(eq=False)
class Troubled:
    """A peer, `phone` or `model`, whose clock drifts, whose stream begins anew, and of whose
    messages some are meddled with: `machine` takes its place in a world."""

    _trouble: Trouble
    name: str
    _peer: MessageMachine
    machine: Meddled = field(init=False)
    _restarted: Meddled | None = field(init=False, default=None)
    _clock: Drifting | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        trouble, machine = self._trouble, self._peer
        if self.name == "phone" and trouble.restart is not None:
            # It goes on when all else is calm: the stream has its new name until the end.
            rules = [trouble.restart.to_phone], [trouble.restart]
            machine = self._restarted = Meddled(machine, *rules)
        if ppm := trouble.drift_ppm.get(self.name):
            machine = self._clock = Drifting(machine, ppm)
        self.machine = Meddled(machine, *trouble.rules_of(self.name))

    def local(self, now: int) -> int:
        """What the peer's clock shows at `now` (ns)."""
        return now if self._clock is None else self._clock.local(now)

    def act(self, do: Callable[..., list[Action]], *arguments: object, now: int) -> list[Action]:
        """The peer does something of itself, `do(*arguments, now)` by its own clock: what becomes
        of that, for `Meddled.relay`."""
        actions = do(*arguments, self.local(now))
        if self._restarted is not None:
            actions = self._restarted.pass_on(actions, now)
        return self.machine.pass_on(actions, now)

    def calm(self) -> None:
        """From now on messages pass as they are."""
        self.machine.active = False
