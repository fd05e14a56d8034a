"""Snapshots of a whole call as bytes, to continue it several times and to compare two calls.

Calls with equal bytes are equal: both thaw to the same, and what a bridge returns depends only on
its state and its input. (Equal calls may have different bytes; counting them twice only costs
work.)
"""

import copyreg
import pickle
from collections.abc import Callable
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final

from twilio_realtime.sim.reference.step_record import Dispatch, StepEnds
from twilio_realtime_core import CallConfig
from twilio_realtime_core.machine.lifecycles import (
    ACTIVE_RESPONSE,
    FUNCTION_CALL,
    RESPONSE,
    SESSION,
    STREAM,
    TURN,
)
from twilio_realtime_core.machine.outbox import Outbox
from twilio_realtime_core.machine.reasons import Reason

__all__ = ["CONFIG", "freeze", "thaw"]

CONFIG: Final = CallConfig(inactivity_timeout_ms=None)
"""Of the calls that are frozen; it is not part of the bytes."""

_CONSTANTS: Final[tuple[object, ...]] = (
    CONFIG,
    RESPONSE,
    SESSION,
    ACTIVE_RESPONSE,
    STREAM,
    TURN,
    FUNCTION_CALL,
)


def freeze(call: object) -> bytes:
    """Return a call, and all that it refers to, as bytes."""
    data = BytesIO()
    pickler = pickle.Pickler(data, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCED
    pickler.dump(call)
    return data.getvalue()


def thaw(data: bytes) -> Any:
    """Return a new copy of a frozen call."""
    return pickle.loads(data)  # noqa: S301 - from `freeze`


def _constant(index: int) -> object:
    return _CONSTANTS[index]


def _reduce_constant(value: object) -> tuple[Any, ...]:
    index = next(index for index, each in enumerate(_CONSTANTS) if each is value)
    return _constant, (index,)


def _reduce_judges(judges: Dispatch | StepEnds) -> tuple[Any, ...]:
    """Leave out the cache of the judges that a kind of event concerns."""
    return copyreg.__newobj__, (type(judges),), vars(judges)  # type: ignore[attr-defined]


def _reduce_outbox(outbox: Outbox) -> tuple[Any, ...]:
    """Leave out the reasons of the last step, which the next one forgets."""
    state = {**vars(outbox), "reasons": list[Reason]()}
    return copyreg.__newobj__, (Outbox,), state  # type: ignore[attr-defined]


_REDUCED: Final[dict[type, Callable[[Any], Any]]] = {
    Outbox: _reduce_outbox,
    MappingProxyType: _reduce_constant,
    CallConfig: _reduce_constant,
    Dispatch: _reduce_judges,
    StepEnds: _reduce_judges,
}
