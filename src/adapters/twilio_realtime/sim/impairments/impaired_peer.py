"""A peer of a call with all that is wrong with it."""

from collections.abc import Callable

from attrs import define, field

from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.contract import MessageMachine

from .clock_drift import DriftingMachine
from .impairer import Impairer
from .plan import ImpairmentPlan

__all__ = ["ImpairedPeer"]


@define(eq=False)
class ImpairedPeer:
    """A peer, `phone` or `model`, whose clock drifts, whose stream begins anew, and of whose
    messages some are meddled with: `machine` takes its place in a world."""

    _plan: ImpairmentPlan
    name: str
    _peer: MessageMachine
    machine: Impairer = field(init=False)
    _stream_restarter: Impairer | None = field(init=False, default=None)
    _drifting: DriftingMachine | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        trouble, machine = self._plan, self._peer
        if self.name == "phone" and trouble.stream_restart is not None:
            # It goes on when all else is calm: the stream has its new name until the end.
            rules = [trouble.stream_restart.to_phone], [trouble.stream_restart]
            machine = self._stream_restarter = Impairer(machine, *rules)
        if ppm := trouble.drift_ppm.get(self.name):
            machine = self._drifting = DriftingMachine(machine, ppm)
        self.machine = Impairer(machine, *trouble.rules_of(self.name))

    def to_local_ns(self, now: int) -> int:
        """What the peer's clock shows at `now` (ns)."""
        return now if self._drifting is None else self._drifting.to_local_ns(now)

    def perform(
        self, method: Callable[..., list[Action]], *arguments: object, now: int
    ) -> list[Action]:
        """The peer does something of itself, `do(*arguments, now)` by its own clock: what becomes
        of that, for `Meddled.relay`."""
        actions = method(*arguments, self.to_local_ns(now))
        if self._stream_restarter is not None:
            actions = self._stream_restarter.impair(actions, now)
        return self.machine.impair(actions, now)

    def stop_impairments(self) -> None:
        """From now on messages pass as they are."""
        self.machine.is_active = False
