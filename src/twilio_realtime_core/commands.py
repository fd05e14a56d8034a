"""What the application may ask of a call: values, so that a recorded call is a list of them.

Given to `Bridge.send(command, now)`. A command that comes after the call has ended changes nothing:
the caller may hang up at any moment.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

from .configuration import SessionConfig
from .realtime import ClientEvent, client_event

__all__ = ["Command", "Configure", "HangUp", "Interrupt", "SendEvent"]


@frozen
class Configure:
    """Answers `CallStarted`: how this call is to be, in place of the default configuration.

    `None` keeps what the call was set up with. Only before the Realtime session is opened; so the
    bridge must have been told to wait (`CallConfig.await_configuration_ns`).
    """

    session: SessionConfig | None = None
    model: str | None = None
    url: str | None = field(default=None, repr=False)


@frozen
class Interrupt:
    """Stops the agent at once, as a caller's speech does, and tells the model what was heard.

    `cancel`: also cancel a response that is still being generated. Either way nothing more of it
    is played.
    """

    cancel: bool = True


@frozen
class HangUp:
    """Ends the call now. What waits to be played is not heard."""


def _as_event(event: ClientEvent | Mapping[str, Any]) -> ClientEvent:
    return client_event(event) if isinstance(event, Mapping) else event


@frozen
class SendEvent:
    """Sends a Realtime client event, as a value or as plain data `{"type": ..., ...}`.

    Audio formats are pinned where the event could name another. Before the session is ready it
    waits in order. Raises `LocalProtocolError` where plain data is no client event.
    """

    event: ClientEvent = field(converter=_as_event)


Command: TypeAlias = Configure | Interrupt | HangUp | SendEvent
