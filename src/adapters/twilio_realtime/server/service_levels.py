"""What a service knows of its state, for metrics."""

from collections.abc import Iterable

import anyio
from attrs import frozen

from twilio_realtime_core.values.playback_position import PlaybackPosition

from .admission import Admission
from .service import Service
from .supervisor import Supervisor

__all__ = ["OperationLevels"]


@frozen(eq=False)
class OperationLevels:
    """The levels of a service in operation (`telemetry.call_metrics.ServiceLevels`)."""

    _service: Service
    _admission: Admission
    _supervisor: Supervisor

    @property
    def calls(self) -> int:
        """See `ServiceLevels.calls`."""
        return self._admission.calls

    @property
    def loop_lag_s(self) -> float:
        """See `ServiceLevels.loop_lag_s`."""
        return self._admission.loop_lag_s

    @property
    def drain_left_s(self) -> float | None:
        """See `ServiceLevels.drain_left_s`."""
        ends_s = self._supervisor.drain_ends_s
        return None if ends_s is None else max(0.0, ends_s - anyio.current_time())

    def playback_positions(self) -> Iterable[tuple[PlaybackPosition, ...]]:
        """See `ServiceLevels.playback_positions`."""
        return self._service.playback_positions()
