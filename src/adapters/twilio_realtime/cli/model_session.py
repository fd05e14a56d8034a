"""One session of the simulated model, which also tells what goes on in it.

`RealtimePeer` is a server and notifies nothing; for whoever watches it, this notifies the events
that it sends and the errors that it answers, in the API's own words and without content.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final

from attrs import define, evolve, field, frozen

from twilio_realtime_core import Action, Notify, Send
from twilio_realtime_core.errors import redact

from ..sim.model.realtime_peer import RealtimePeer, SentError
from ..sim.model.server_events import ServerEvent

__all__ = ["Mistake", "ModelSession", "ServerTold", "SessionOver"]


@frozen
class ServerTold:
    """The server has sent an event worth knowing of: its type, and what tells it from others."""

    type: str
    details: Mapping[str, str | int | None]


@frozen
class Mistake:
    """The server has answered an error: the client did something wrong."""

    complaint: SentError


@frozen
class SessionOver:
    """The client's link is gone; `code` is how it was closed."""

    code: int


_DETAILS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
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
"""The events told, and where in them the details are. Deltas are not told: 5 a second and more."""


@define(eq=False)
class ModelSession:
    """A `MessageMachine`: `peer` itself, and besides it notifies `ServerTold`, `Mistake` and
    `SessionOver`."""

    _peer: RealtimePeer
    _told: int = field(init=False, default=0)

    @property
    def deadline(self) -> int | None:
        """See `MessageMachine`."""
        return self._peer.deadline

    def start(self, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._watched(self._peer.start(now))

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._watched(self._peer.opened(peer, now))

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._watched(self._peer.receive_text(peer, text, now))

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._watched(self._peer.pong(peer, payload, now))

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """See `MessageMachine`."""
        actions = self._peer.closed(peer, code, reason, now)
        return [*self._watched(actions), Notify(SessionOver(code))]

    def handle_timeout(self, now: int) -> list[Action]:
        """See `MessageMachine`."""
        return self._watched(self._peer.handle_timeout(now))

    def _watched(self, actions: list[Action]) -> list[Action]:
        """The actions, each event to be told behind the one that sends it."""
        watched: list[Action] = []
        for action in actions:
            watched.append(action)
            match action:
                case Send(message=ServerEvent() as event) if event.type == "error":
                    watched.append(Notify(Mistake(self._complaint(event.body["error"]))))
                case Send(message=ServerEvent() as event) if event.type in _DETAILS:
                    watched.append(Notify(ServerTold(event.type, _details(event))))
                case _:
                    pass
        return watched

    def _complaint(self, error: Mapping[str, Any]) -> SentError:
        """What an error is about. Those for which no event of the client is to blame, such as a
        connection that is refused, are not among the peer's complaints."""
        code, message, param = error["code"], redact(error["message"]), error["param"]
        if self._told == len(self._peer.sent_errors):
            return SentError(None, code, message, param, None)
        complaint = self._peer.sent_errors[self._told]
        self._told += 1
        return evolve(
            complaint,
            event_type=_plain(complaint.event_type),
            message=message,
            param=_plain(param),
            event_id=_plain(complaint.event_id),
        )


def _plain(text: str | None) -> str | None:
    return None if text is None else redact(text)


def _details(event: ServerEvent) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, path in _DETAILS[event.type].items():
        value: Any = event.body
        for key in path:
            value = value[key]
        found[name] = redact(value) if isinstance(value, str) else value
    return found
