"""One connection to the Realtime server, and the session on it."""

from collections.abc import Hashable

from attrs import define, field

from ..machine.lifecycles import Lifecycle, SessionInput, SessionState
from ..protocols.realtime import UpdateSession
from .effective_session import EffectiveSession

__all__ = ["Connection"]


@define(eq=False)
class Connection:
    """A connection. `link` is the key of its socket; `initial_update` configures its session."""

    link: Hashable
    initial_update: UpdateSession
    effective: EffectiveSession
    lifecycle: Lifecycle[SessionState, SessionInput]
    was_ready: bool = field(init=False, default=False)
    """Whether its session was ready at any time."""
