"""The Realtime session of a call: asked for, opened, configured, ready, gone.

Until it is ready, what is meant for the model waits.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..config.audio_format import check_encodable, format_fault, pin_session
from ..config.call import session_url
from ..config.interruption_policy import disable_server_interruption
from ..config.session import SessionConfig
from ..errors import FaultKind, LocalProtocolError, redact
from ..machine.actions import NORMAL_CLOSURE, Close, Open, Peer
from ..machine.lifecycles import SESSION, Lifecycle, LifecycleFactory, SessionInput, SessionState
from ..machine.outbox import Outbox
from ..notifications import CallerAudioDropped, SessionReady
from ..protocols.realtime import ClientEvent, ServerError, UpdateSession
from .effective_session import EffectiveSession
from .pending_events import PendingEvents

__all__ = ["Session"]

_FIRST_UPDATE: Final = "configure-session"
"""Event id of the `session.update` that configures the session; an `error` naming it is final."""

_READY: Final = SessionState.READY  # asked for with every event; a look-up takes 0.1 µs


class Session:
    """One session. `owns_interruption`: the server is to leave it to us to interrupt."""

    def __init__(
        self,
        config: SessionConfig,
        outbox: Outbox,
        make_lifecycle: LifecycleFactory = Lifecycle,
        *,
        owns_interruption: bool = False,
    ) -> None:
        self._owns_interruption = owns_interruption
        self._first = self._first_update(config)
        self._effective = EffectiveSession(_FIRST_UPDATE, self._first.session)
        self._updates = 0
        self._model: str | None = None
        self._outbox = outbox
        self._pending = PendingEvents()
        self._life = make_lifecycle(SESSION, SessionState.UNOPENED)

    @property
    def state(self) -> SessionState:
        """Where the session is in its life."""
        return self._life.state

    @property
    def effective_config(self) -> Mapping[str, Any]:
        """The whole configuration as the server last told it; `{}` before it has."""
        return self._effective.config

    @property
    def server_interrupts(self) -> bool:
        """Whether the server cancels its response by itself when it hears the caller speak."""
        return self._effective.server_interrupts

    @property
    def server_responds(self) -> bool:
        """Whether the server answers each turn of the caller by itself."""
        return self._effective.server_responds

    def check_configurable(self) -> None:
        """Raise `LocalProtocolError` if the session cannot be configured any more."""
        if self.state is not SessionState.UNOPENED:
            raise LocalProtocolError(
                "Configure must come before the Realtime session is opened: set "
                "CallConfig.await_configuration_ns to have the bridge wait for it"
            )

    def configure(self, config: SessionConfig) -> None:
        """Use another configuration."""
        self._first = self._first_update(config)
        self._effective.set_initial(_FIRST_UPDATE, self._first.session)

    def _first_update(self, config: SessionConfig) -> UpdateSession:
        session = config.to_update_event().session
        return UpdateSession(self._owned(session, first=True), _FIRST_UPDATE)

    def _owned(self, session: Mapping[str, Any], *, first: bool) -> Mapping[str, Any]:
        return (
            disable_server_interruption(session, first=first)
            if self._owns_interruption
            else session
        )

    def open(self, url: str, model: str) -> None:
        """Ask for the socket. The model is named in the query, unless `url` has one of its own."""
        self._model = model
        self._life.step(SessionInput.OPEN)
        self._outbox.add(Open(Peer.REALTIME, session_url(url, model)))

    def opened(self) -> bool:
        """The socket is open. `False` if it was not asked for."""
        if not self._life.step(SessionInput.OPENED):
            return False
        if self.state is SessionState.CONFIGURING:
            self._outbox.send_to_realtime(self._first)
        return True

    def updated(self, session: dict[str, Any]) -> str | None:
        """The server has told the configuration in effect; what is wrong with it, if anything."""
        wrong = format_fault(session)
        if wrong is not None:
            return wrong
        self._life.step(SessionInput.CONFIGURED)
        self._effective.acknowledge(session)
        self._outbox.notify(SessionReady(session))
        for event in self._pending.take_all():
            self._outbox.send_to_realtime(event)
        return None

    def is_refusal(self, error: ServerError) -> bool:
        """Whether an error says that the server will not have our configuration."""
        return self.state is SessionState.CONFIGURING and error.event_id == _FIRST_UPDATE

    def take_refused_update(self, error: ServerError) -> bool:
        """Whether an error refuses a later update. The configuration stays as it was; a fault tells
        of it by the id of the update."""
        if self.is_refusal(error) or not self._effective.take_refused(error.event_id):
            return False
        self._outbox.notify_fault(
            Peer.REALTIME,
            FaultKind.SERVER_ERROR,
            f"session.update {redact(str(error.event_id))}: {redact(error.message)}",
            None if error.code is None else redact(error.code),
        )
        return True

    def mark_agent_spoke(self) -> None:
        """The conversation holds audio of the agent, so its voice cannot be changed any more."""
        self._effective.mark_agent_spoke()

    def check_capacity(self, events: int = 1, samples: int = 0) -> None:
        """Raise `LocalProtocolError` if so many events of the application, or so much audio, cannot
        be taken now."""
        if self.state is not SessionState.READY:
            self._pending.check_capacity(events, samples)

    def send(self, event: ClientEvent, samples: int = 0) -> None:
        """Send an event as soon as the session is ready. `samples`: the audio in it."""
        if self._life.state is _READY:
            self._outbox.send_to_realtime(event)
            return
        dropped = self._pending.enqueue(event, samples)
        if dropped:
            self._outbox.notify(CallerAudioDropped(dropped))

    def send_update(self, event: UpdateSession) -> None:
        """Change the configuration as soon as the session is ready; only the fields present change.
        The audio formats are pinned, and the event is given an id if it has none.

        Raises `LocalProtocolError`, before anything has changed, where the update names another
        format, is no JSON or changes what is fixed, or where too many wait.
        """
        self.check_capacity()
        self._check_model(event)
        event_id = event.event_id or f"bridge-update-{self._updates + 1}"
        pinned = UpdateSession(self._owned(pin_session(event.session), first=False), event_id)
        check_encodable(pinned)
        self._effective.submit(event_id, pinned.session)
        self._updates += 1
        self.send(pinned)

    def _check_model(self, event: UpdateSession) -> None:
        told = self.effective_config.get("model", self._model)
        if event.session.get("model", told) != told:
            raise LocalProtocolError(
                "session.model cannot be changed: name it in CallConfig, or with Configure before "
                "the session is opened"
            )

    def close(self) -> None:
        """Close the socket, if there is one."""
        self._life.step(SessionInput.CLOSE)
        if self.state is SessionState.CLOSING:
            self._outbox.add(Close(Peer.REALTIME, NORMAL_CLOSURE, ""))

    def closed(self) -> bool:
        """The socket is gone. `False` if there was none."""
        return self._life.step(SessionInput.CLOSED)
