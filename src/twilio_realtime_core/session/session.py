"""The Realtime session of a call: its lifecycle, its configuration, and the events sent to it.

Events for the model are queued until the session is ready.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..config.audio_format import check_encodable, enforce_session_format, find_format_fault
from ..config.call import session_url
from ..config.interruption_policy import disable_server_interruption
from ..config.session import SessionConfig
from ..errors import FaultKind, LocalProtocolError, redact
from ..machine.actions import Close, Open, Peer
from ..machine.lifecycles import SESSION, Lifecycle, LifecycleFactory, SessionInput, SessionState
from ..machine.outbox import Outbox
from ..notifications import CallerAudioDropped, SessionReady
from ..protocols.realtime import ClientEvent, ServerError, UpdateSession
from .effective_session import EffectiveSession
from .pending_events import PendingEvents

__all__ = ["Session"]

_INITIAL_UPDATE_ID: Final = "configure-session"
"""The event id of the `session.update` that configures the session. An `error` that names it ends
the call."""

_READY: Final = SessionState.READY  # used for every event; a look-up in the enum takes 0.1 µs


class Session:
    """A session. `disables_server_interruption`: every update that is sent switches the server's
    interruption off, so that the bridge alone interrupts.

    Raises `LocalProtocolError` if `config` leaves interruption to the server all the same.
    """

    def __init__(
        self,
        config: SessionConfig,
        outbox: Outbox,
        make_lifecycle: LifecycleFactory = Lifecycle,
        *,
        disables_server_interruption: bool = False,
    ) -> None:
        self._disables_server_interruption = disables_server_interruption
        self._initial_update = self._make_initial_update(config)
        self._effective = EffectiveSession(_INITIAL_UPDATE_ID, self._initial_update.session)
        self._update_count = 0
        self._model: str | None = None
        self._outbox = outbox
        self._pending = PendingEvents()
        self._lifecycle = make_lifecycle(SESSION, SessionState.UNOPENED)

    @property
    def state(self) -> SessionState:
        """The state of the lifecycle."""
        return self._lifecycle.state

    @property
    def effective_config(self) -> Mapping[str, Any]:
        """The whole configuration, as the server described it last; empty before it has."""
        return self._effective.config

    @property
    def server_interrupts(self) -> bool:
        """Whether the server cancels its response by itself when the caller speaks."""
        return self._effective.server_interrupts

    @property
    def server_responds(self) -> bool:
        """Whether the server responds to each turn of the caller by itself."""
        return self._effective.server_responds

    def check_configurable(self) -> None:
        """Raise `LocalProtocolError` if the session was opened: it can no longer be configured."""
        if self.state is not SessionState.UNOPENED:
            raise LocalProtocolError(
                "Configure must come before the Realtime session is opened: set "
                "CallConfig.configure_timeout_ms to have the bridge wait for it"
            )

    def configure(self, config: SessionConfig) -> None:
        """Replace the initial configuration, before the session is opened.

        Raises `LocalProtocolError` if it leaves interruption to the server, and the server's
        interruption must be off.
        """
        self._initial_update = self._make_initial_update(config)
        self._effective.set_initial(_INITIAL_UPDATE_ID, self._initial_update.session)

    def _make_initial_update(self, config: SessionConfig) -> UpdateSession:
        session = config.to_update_event().session
        return UpdateSession(
            self._apply_interruption_policy(session, is_initial=True), _INITIAL_UPDATE_ID
        )

    def _apply_interruption_policy(
        self, session: Mapping[str, Any], *, is_initial: bool
    ) -> Mapping[str, Any]:
        if not self._disables_server_interruption:
            return session
        return disable_server_interruption(session, is_initial=is_initial)

    def open(self, url: str, model: str) -> None:
        """Open the socket. The model is added to `url` as `?model=`, unless `url` has a query."""
        self._model = model
        self._lifecycle.step(SessionInput.OPEN)
        self._outbox.add(Open(Peer.REALTIME, session_url(url, model)))

    def opened(self) -> bool:
        """Note that the socket is open, and configure the session. `False`: it was not to be
        opened, or is open already."""
        if not self._lifecycle.step(SessionInput.OPENED):
            return False
        if self.state is SessionState.CONFIGURING:
            self._outbox.send_to_realtime(self._initial_update)
        return True

    def updated(self, session: dict[str, Any]) -> str | None:
        """Set the configuration in effect, after which queued events are sent.

        Return what is wrong with the configuration, in which case nothing changes, or `None`.
        """
        fault = find_format_fault(session)
        if fault is not None:
            return fault
        self._lifecycle.step(SessionInput.CONFIGURED)
        self._effective.acknowledge(session)
        self._outbox.notify(SessionReady(session))
        for event in self._pending.take_all():
            self._outbox.send_to_realtime(event)
        return None

    def is_configuration_refusal(self, error: ServerError) -> bool:
        """Whether an error refuses the initial configuration of the session."""
        return self.state is SessionState.CONFIGURING and error.event_id == _INITIAL_UPDATE_ID

    def take_refused_update(self, error: ServerError) -> bool:
        """Remove the later update that an error refuses, and notify a fault with its event id.

        `False`: the error refuses no update.
        """
        if self.is_configuration_refusal(error) or not self._effective.take_refused(error.event_id):
            return False
        self._outbox.notify_fault(
            Peer.REALTIME,
            FaultKind.SERVER_ERROR,
            f"session.update {redact(str(error.event_id))}: {redact(error.message)}",
            None if error.code is None else redact(error.code),
        )
        return True

    def mark_agent_spoke(self) -> None:
        """Note that the conversation contains audio of the agent, so its voice is fixed."""
        self._effective.mark_agent_spoke()

    def check_capacity(self, events: int = 1, samples: int = 0) -> None:
        """Raise `LocalProtocolError` if that many events of the application, or that much audio,
        cannot be sent or queued now."""
        if self.state is not SessionState.READY:
            self._pending.check_capacity(events, samples)

    def send(self, event: ClientEvent, samples: int = 0) -> None:
        """Send an event, or queue it until the session is ready. `samples`: the audio in it."""
        if self._lifecycle.state is _READY:
            self._outbox.send_to_realtime(event)
            return
        dropped = self._pending.enqueue(event, samples)
        if dropped:
            self._outbox.notify(CallerAudioDropped(dropped))

    def send_update(self, event: UpdateSession) -> None:
        """Send an update of the configuration, or queue it until the session is ready.

        Only the fields present change. The audio formats are set to those of a call, and the event
        gets an event id if it has none.

        Raises `LocalProtocolError`, before anything has changed, if the update names another
        format, changes a field that is fixed or cannot be encoded as JSON, or if too many events
        are queued.
        """
        self.check_capacity()
        self._check_model_unchanged(event)
        event_id = event.event_id or f"bridge-update-{self._update_count + 1}"
        session = self._apply_interruption_policy(
            enforce_session_format(event.session), is_initial=False
        )
        update = UpdateSession(session, event_id)
        check_encodable(update)
        self._effective.submit(event_id, session)
        self._update_count += 1
        self.send(update)

    def _check_model_unchanged(self, event: UpdateSession) -> None:
        model = self.effective_config.get("model", self._model)
        if event.session.get("model", model) != model:
            raise LocalProtocolError(
                "session.model cannot be changed: set it in CallConfig, or with Configure before "
                "the session is opened"
            )

    def close(self, code: int) -> None:
        """Close the socket, if it is open or being opened."""
        self._lifecycle.step(SessionInput.CLOSE)
        if self.state is SessionState.CLOSING:
            self._outbox.add(Close(Peer.REALTIME, code, ""))

    def closed(self) -> bool:
        """Note that the socket is closed, or could not be opened. `False`: it was not to be opened,
        or was closed before."""
        return self._lifecycle.step(SessionInput.CLOSED)
