"""A peer of a call with all its impairments."""

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
    """A peer, `phone` or `model`, with the impairments that a plan has for it: a drifting clock, a
    stream that restarts, rules for its messages. `machine` takes its place in a world."""

    _plan: ImpairmentPlan
    name: str
    _peer: MessageMachine
    machine: Impairer = field(init=False)
    _stream_restarter: Impairer | None = field(init=False, default=None)
    _drifting: DriftingMachine | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        plan, machine = self._plan, self._peer
        if self.name == "phone" and plan.stream_restart is not None:
            # Has an impairer of its own, which is never stopped: the stream keeps its new SID.
            rules = [plan.stream_restart.to_phone], [plan.stream_restart]
            machine = self._stream_restarter = Impairer(machine, *rules)
        if ppm := plan.drift_ppm.get(self.name):
            machine = self._drifting = DriftingMachine(machine, ppm)
        self.machine = Impairer(machine, *plan.rules_of(self.name))

    def to_local_ns(self, now: int) -> int:
        """Return what the peer's clock shows at `now` (ns)."""
        return now if self._drifting is None else self._drifting.to_local_ns(now)

    def perform(
        self, method: Callable[..., list[Action]], *arguments: object, now: int
    ) -> list[Action]:
        """Call `method(*arguments, now)` of the peer, with `now` by its own clock; return the
        impaired actions, for `Impairer.relay`."""
        actions = method(*arguments, self.to_local_ns(now))
        if self._stream_restarter is not None:
            actions = self._stream_restarter.impair(actions, now)
        return self.machine.impair(actions, now)

    def stop_impairments(self) -> None:
        """Let messages pass unchanged from now on."""
        self.machine.is_active = False
