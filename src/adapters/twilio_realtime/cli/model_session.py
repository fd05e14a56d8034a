"""One session of the simulated model that notifies what happens in it.

`RealtimePeer` is a server and notifies nothing. `ModelSession` adds notifications of the events and
errors that it sends, in the API's terms and without content.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final

from attrs import define, evolve, field, frozen

from twilio_realtime_core import Action, Notify, Refusal, Send
from twilio_realtime_core.errors import redact

from ..sim.model.realtime_peer import RealtimePeer, SentError
from ..sim.model.server_events import ServerEvent

__all__ = ["ClientError", "ModelSession", "ServerEventSent", "SessionClosed"]


@frozen
class ServerEventSent:
    """The server has sent an event: its type, and its ids and figures."""

    type: str
    details: Mapping[str, str | int | None]


@frozen
class ClientError:
    """The server has answered an event of the client with an error."""

    error: SentError


@frozen
class SessionClosed:
    """The client's link is closed, with the WebSocket close code `code`."""

    code: int


_DETAIL_PATHS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "session.created": {"model": ("session", "model")},
    "session.updated": {},
    "input_audio_buffer.speech_started": {"audio_start_ms": ("audio_start_ms",)},
    "input_audio_buffer.speech_stopped": {"audio_end_ms": ("audio_end_ms",)},
    "input_audio_buffer.committed": {"item": ("item_id",)},
    "response.created": {"response": ("response", "id")},
    "response.done": {"response": ("response", "id"), "status": ("response", "status")},
    "conversation.item.truncated": {"item": ("item_id",), "audio_end_ms": ("audio_end_ms",)},
    "conversation.item.deleted": {"item": ("item_id",)},
}
"""The events that are notified, and the paths of their details. Deltas are not notified: there are
five and more each second."""


@define(eq=False)
class ModelSession:
    """A `MessageMachine` that does what `peer` does and notifies `ServerEventSent`, `ClientError`
    and `SessionClosed`."""

    _peer: RealtimePeer
    _notified_errors: int = field(init=False, default=0)
    """How many of the peer's `sent_errors` have been notified."""

    @property
    def deadline(self) -> int | None:
        """See `MessageMachine`."""
        return self._peer.deadline

    def start(self, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._with_notifications(self._peer.start(now))

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._with_notifications(self._peer.opened(peer, now))

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._with_notifications(self._peer.receive_text(peer, text, now))

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._with_notifications(self._peer.pong(peer, payload, now))

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._peer.refused(peer, refusal, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """See `MessageMachine`."""
        actions = self._peer.closed(peer, code, reason, now)
        return [*self._with_notifications(actions), Notify(SessionClosed(code))]

    def handle_timeout(self, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._with_notifications(self._peer.handle_timeout(now))

    def _with_notifications(self, actions: list[Action]) -> list[Action]:
        """Add a notification behind each action that sends a notified event."""
        extended: list[Action] = []
        for action in actions:
            extended.append(action)
            match action:
                case Send(message=ServerEvent() as event) if event.type == "error":
                    extended.append(Notify(ClientError(self._take_sent_error(event.body["error"]))))
                case Send(message=ServerEvent() as event) if event.type in _DETAIL_PATHS:
                    extended.append(Notify(ServerEventSent(event.type, _details_of(event))))
                case _:
                    pass
        return extended

    def _take_sent_error(self, error: Mapping[str, Any]) -> SentError:
        """Return the peer's `SentError` of an error. For an error that no event of the client
        caused, such as that of a refused connection, it has none: make one."""
        code, message, param = error["code"], redact(error["message"]), error["param"]
        if self._notified_errors == len(self._peer.sent_errors):
            return SentError(None, code, message, param, None)
        sent_error = self._peer.sent_errors[self._notified_errors]
        self._notified_errors += 1
        return evolve(
            sent_error,
            event_type=_redact_optional(sent_error.event_type),
            message=message,
            param=_redact_optional(param),
            event_id=_redact_optional(sent_error.event_id),
        )


def _redact_optional(text: str | None) -> str | None:
    return None if text is None else redact(text)


def _details_of(event: ServerEvent) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, path in _DETAIL_PATHS[event.type].items():
        value: Any = event.body
        for key in path:
            value = value[key]
        found[name] = redact(value) if isinstance(value, str) else value
    return found
