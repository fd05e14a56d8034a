"""A whole call as bytes: to go on from as often as one likes, and to tell two calls apart.

Calls whose bytes are equal are one call: the same is thawed from both, and what a bridge answers
depends on nothing but itself and what it is told. (Equal calls may have different bytes; whoever
takes them for two only does more than is needed.)
"""

import copyreg
import pickle
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final

from twilio_realtime.sim.reference.step_record import Dispatch, StepEnds
from twilio_realtime_core import CallConfig
from twilio_realtime_core.machine.lifecycles import ACTIVE_RESPONSE, RESPONSE, SESSION, STREAM, TURN

__all__ = ["CONFIG", "freeze", "thaw"]

CONFIG: Final = CallConfig(inactivity_timeout_ns=None)
"""Of the calls that are frozen; it is not part of the bytes."""

_CONSTANTS: Final[tuple[object, ...]] = (CONFIG, RESPONSE, SESSION, ACTIVE_RESPONSE, STREAM, TURN)


def freeze(call: object) -> bytes:
    """A call, and all that belongs to it, as bytes."""
    data = BytesIO()
    pickler = pickle.Pickler(data, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCED
    pickler.dump(call)
    return data.getvalue()


def thaw(data: bytes) -> Any:
    """The call, as it was; each time another object."""
    return pickle.loads(data)  # noqa: S301 - it is our own


def _constant(index: int) -> object:
    return _CONSTANTS[index]


def _reduce_constant(value: object) -> tuple[Any, ...]:
    index = next(index for index, each in enumerate(_CONSTANTS) if each is value)
    return _constant, (index,)


def _reduce_judges(judges: Dispatch | StepEnds) -> tuple[Any, ...]:
    """Without what it only remembers: which of the judges a kind of event concerns."""
    return copyreg.__newobj__, (type(judges),), vars(judges)  # type: ignore[attr-defined]


_REDUCED: Final = {
    MappingProxyType: _reduce_constant,
    CallConfig: _reduce_constant,
    Dispatch: _reduce_judges,
    StepEnds: _reduce_judges,
}
