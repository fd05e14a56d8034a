"""The Realtime session of a call: asked for, opened, configured, ready, gone.

Until it is ready, what is meant for the model waits.
"""

from typing import Any, Final

from .actions import NORMAL_CLOSURE, Close, Open, Peer
from .configuration import SessionConfig, format_fault, interrupts_by_itself, session_url
from .early import Early
from .errors import LocalProtocolError
from .notifications import CallerAudioDropped, SessionReady
from .outbox import Outbox
from .realtime import ClientEvent, ServerError
from .states import SESSION, Lifecycle, SessionInput, SessionState

__all__ = ["Session"]

_FIRST_UPDATE: Final = "configure-session"
"""Event id of the `session.update` that configures the session; an `error` naming it is final."""


class Session:
    """One session. `server_cancels`: whether the server cancels its response by itself when it
    hears the caller speak."""

    def __init__(self, config: SessionConfig, outbox: Outbox) -> None:
        self._config = config
        self._outbox = outbox
        self._early = Early()
        self._life = Lifecycle(SESSION, SessionState.UNOPENED)
        self.server_cancels = True

    @property
    def state(self) -> SessionState:
        """Where the session is in its life."""
        return self._life.state

    def check_configurable(self) -> None:
        """Raise `LocalProtocolError` if the session cannot be configured any more."""
        if self.state is not SessionState.UNOPENED:
            raise LocalProtocolError(
                "Configure must come before the Realtime session is opened: set "
                "CallConfig.await_configuration_ns to have the bridge wait for it"
            )

    def configure(self, config: SessionConfig) -> None:
        """Use another configuration."""
        self._config = config

    def open(self, url: str, model: str) -> None:
        """Ask for the socket. The model is named in the query, unless `url` has one of its own."""
        self._life.step(SessionInput.OPEN)
        self._outbox.add(Open(Peer.REALTIME, session_url(url, model)))

    def opened(self) -> bool:
        """The socket is open. `False` if it was not asked for."""
        if not self._life.step(SessionInput.OPENED):
            return False
        if self.state is SessionState.CONFIGURING:
            self._outbox.realtime(self._config.update(_FIRST_UPDATE))
        return True

    def updated(self, session: dict[str, Any]) -> str | None:
        """The server has told the configuration in effect; what is wrong with it, if anything."""
        wrong = format_fault(session)
        if wrong is not None:
            return wrong
        self._life.step(SessionInput.CONFIGURED)
        self.server_cancels = interrupts_by_itself(session)
        self._outbox.notify(SessionReady(session))
        for event in self._early.release():
            self._outbox.realtime(event)
        return None

    def is_refusal(self, error: ServerError) -> bool:
        """Whether an error says that the server will not have our configuration."""
        return self.state is SessionState.CONFIGURING and error.event_id == _FIRST_UPDATE

    def check_room(self) -> None:
        """Raise `LocalProtocolError` if another event of the application cannot be taken."""
        if self.state is not SessionState.READY:
            self._early.check_room()

    def send(self, event: ClientEvent, samples: int = 0) -> None:
        """Send an event as soon as the session is ready. `samples`: the audio in it."""
        if self.state is SessionState.READY:
            self._outbox.realtime(event)
            return
        dropped = self._early.keep(event, samples)
        if dropped:
            self._outbox.notify(CallerAudioDropped(dropped))

    def close(self) -> None:
        """Close the socket, if there is one."""
        self._life.step(SessionInput.CLOSE)
        if self.state is SessionState.CLOSING:
            self._outbox.add(Close(Peer.REALTIME, NORMAL_CLOSURE, ""))

    def closed(self) -> bool:
        """The socket is gone. `False` if there was none."""
        return self._life.step(SessionInput.CLOSED)
