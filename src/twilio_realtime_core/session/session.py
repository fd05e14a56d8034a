"""The Realtime session of a call: its connection, its configuration, and the events sent to it.

Events for the model are queued until the session is ready. A session that is lost is replaced by
one on another connection; one that is about to expire, by one that was opened beside it.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from attrs import evolve

from ..config.audio_format import enforce_session_format, find_format_fault
from ..config.call import session_url
from ..config.interruption_policy import disable_server_interruption
from ..config.session import SessionConfig
from ..errors import FaultKind, LocalProtocolError, redact
from ..machine.actions import NORMAL_CLOSURE, Close, Open, Peer, RealtimeLink, Send
from ..machine.lifecycles import SESSION, Lifecycle, LifecycleFactory, SessionInput, SessionState
from ..machine.outbox import Outbox
from ..notifications import CallerAudioDropped, SessionReady
from ..protocols.realtime import (
    ClearInputAudio,
    ClientEvent,
    CommitAudio,
    Item,
    ServerError,
    UpdateSession,
    check_encodable,
)
from ..responses.refusals import BUSY, is_of_another_event, is_of_request, is_of_update
from ..values.identifiers import check_tool_names
from .connection import Connection
from .effective_session import EffectiveSession
from .kept_audio import KeptAudio
from .pending_events import PendingEvents
from .unechoed_items import UnechoedItems

__all__ = ["Session"]

_INITIAL_UPDATE_ID: Final = "configure-session"
"""The event id of the `session.update` that configures the session. An `error` that names it ends
the call."""

_COMMIT_EMPTY: Final = "input_audio_buffer_commit_empty"
"""The code of the error for a commit of less than 100 ms of audio (OpenAI API reference,
"Realtime", `input_audio_buffer.commit`)."""

_OPEN: Final = (SessionState.CONFIGURING, SessionState.READY)
"""When the server takes events."""

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
        self._make_lifecycle = make_lifecycle
        self._update_count = 0
        self._model: str | None = None
        self._outbox = outbox
        self._pending = PendingEvents()
        self._unechoed = UnechoedItems()
        self._link_count = 1
        self.kept_audio = KeptAudio()
        self.link: Hashable = Peer.REALTIME
        """The key of the connection that is used."""
        initial_update = self._make_initial_update(config.to_update_event().session)
        self._use(self._make_connection(Peer.REALTIME, initial_update))
        self._next: Connection | None = None
        """The connection that is opened beside the one that is used."""
        self._accepted: Mapping[str, Any] = {}
        """What the updates say together that were accepted in any session."""

    def _make_connection(self, link: Hashable, initial_update: UpdateSession) -> Connection:
        return Connection(
            link,
            initial_update,
            EffectiveSession(_INITIAL_UPDATE_ID, initial_update.session),
            self._make_lifecycle(SESSION, SessionState.UNOPENED),
        )

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self.is_abandoned = False
        self._effective = connection.effective
        self._lifecycle = connection.lifecycle
        self._outbox.realtime_link = self.link = connection.link

    @property
    def state(self) -> SessionState:
        """The state of the lifecycle of the connection that is used."""
        return self._lifecycle.state

    @property
    def was_ready(self) -> bool:
        """Whether the session on the connection that is used was ready at any time."""
        return self._connection.was_ready

    @property
    def next_link(self) -> Hashable | None:
        """The key of the connection that is opened beside the one that is used, if there is one."""
        return None if self._next is None else self._next.link

    @property
    def is_next_ready(self) -> bool:
        """Whether the session that was opened beside this one is configured."""
        return self._next is not None and self._next.was_ready

    @property
    def is_next_current(self) -> bool:
        """Whether it is configured as this one is, by all updates so far."""
        wanted = self._make_initial_update(self._effective.wanted())
        return self._next is not None and self._next.initial_update == wanted

    def is_known(self, link: object) -> bool:
        """Whether a connection of this key was opened, or is about to be. `link` may be anything,
        and what it is made of as well."""
        if type(link) is RealtimeLink:
            return type(link.number) is int and 1 < link.number <= self._link_count
        return link is Peer.REALTIME

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

    @property
    def detects_turns(self) -> bool:
        """Whether turn detection is on, which tells when the caller speaks."""
        return self._effective.detects_turns

    @property
    def voice_speed(self) -> float:
        """The speed of the agent's voice; the usual speed is 1."""
        return self._effective.voice_speed

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
        initial_update = self._make_initial_update(config.to_update_event().session)
        self._connection.initial_update = initial_update
        self._effective.set_initial(_INITIAL_UPDATE_ID, initial_update.session)

    def _make_initial_update(self, session: Mapping[str, Any]) -> UpdateSession:
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
        self._open(self._connection, url)

    def _open(self, connection: Connection, url: str) -> None:
        connection.lifecycle.step(SessionInput.OPEN)
        self._outbox.add(Open(connection.link, session_url(url, self._model or "")))

    def reopen(self, url: str) -> None:
        """Open another connection in the place of the one that is closed. Its session is configured
        as the last one was."""
        self._use(self._make_next())
        self.drop_pending(
            lambda event: isinstance(event, UpdateSession)
        )  # it is configured by them
        self._open(self._connection, url)

    def open_next(self, url: str) -> None:
        """Open another connection beside the one that is used."""
        self._next = self._make_next()
        self._open(self._next, url)

    def _make_next(self) -> Connection:
        self._link_count += 1
        update = self._make_initial_update(self._effective.wanted())
        return self._make_connection(RealtimeLink(self._link_count), update)

    def switch(self) -> None:
        """Use the connection that was opened beside the one that is used, and close that. Without
        one nothing changes."""
        old, new = self._connection, self._next
        if new is not None:
            self._next = None
            self._use(new)
            self._close(old, NORMAL_CLOSURE)

    def opened(self, link: Hashable) -> bool:
        """Note that a socket is open, and configure the session. `False`: it was not to be opened,
        or is open already."""
        connection = self._connection
        if self._next is not None and link == self._next.link:
            connection = self._next
        if not connection.lifecycle.step(SessionInput.OPENED):
            return False
        if connection.lifecycle.state is SessionState.CONFIGURING:
            self._outbox.add(Send(connection.link, connection.initial_update))
        return True

    def updated(self, session: dict[str, Any]) -> str | None:
        """Set the configuration in effect; `send_pending` is to follow.

        Return what is wrong with the configuration, in which case nothing changes, or `None`.
        """
        fault = find_format_fault(session)
        if fault is not None:
            return fault
        self._configured(self._connection, session)
        self._outbox.notify(SessionReady(session))
        return None

    def next_updated(self, session: dict[str, Any]) -> str | None:
        """The same for the session that was opened beside this one, which is not used yet."""
        fault = find_format_fault(session)
        if fault is None and self._next is not None:
            self._configured(self._next, session)
        return fault

    def _configured(self, connection: Connection, session: dict[str, Any]) -> None:
        connection.lifecycle.step(SessionInput.CONFIGURED)
        connection.was_ready = True
        connection.effective.acknowledge(session)
        self._accepted = connection.effective.accepted

    def configure_as_before(self) -> None:
        """Configure the next session with nothing but what a server has accepted: another update
        may be why this one was refused."""
        self._effective.forget_unaccepted(self._accepted)

    def send_pending(self) -> None:
        """Send the queued events, since the session is ready."""
        for event, samples in self._pending.take_all():
            self.send(event, samples)

    def queue_again(self, is_restored: Callable[[ClientEvent], bool]) -> None:
        """Queue for the next session, in front of all other events, what this one may not have
        made use of: the items that it has not added, but for those that are restored, and the audio
        that it has not answered."""
        items = [(each, 0) for each in self._unechoed.take_all() if not is_restored(each)]
        self._pending.prepend([*items, *self.kept_audio.take_all()])

    def drop_pending(self, is_obsolete: Callable[[ClientEvent], bool]) -> None:
        """Drop queued events that make no sense for the next session."""
        kept = [each for each in self._pending.take_all() if not is_obsolete(each[0])]
        self._pending.prepend(kept)

    def adapt_pending(self, adapt: Callable[[ClientEvent], ClientEvent | None]) -> None:
        """Replace queued events by those that the next session understands; `None` drops one."""
        adapted = [(adapt(event), samples) for event, samples in self._pending.take_all()]
        self._pending.prepend([(event, n) for event, n in adapted if event is not None])

    def item_added(self, item: Item) -> None:
        """Note that the server has added an item."""
        self._unechoed.added(item)

    def event_refused(self, error: ServerError) -> None:
        """Note that the server has refused an event."""
        self._unechoed.refused(error.event_id)
        if error.event_id or error.code == _COMMIT_EMPTY:
            self.kept_audio.commit_refused(error.event_id)

    def is_configuration_refusal(self, error: ServerError) -> bool:
        """Whether an error refuses the initial configuration of the session. Nothing else was sent
        before it is configured, so that an invalid request without an event id can be no other."""
        is_unnamed = error.event_id is None and error.type in (None, "invalid_request_error")
        is_named = error.event_id == _INITIAL_UPDATE_ID
        return self.state is SessionState.CONFIGURING and (is_named or is_unnamed)

    def take_refused_update(self, error: ServerError) -> bool:
        """Remove the later update that an error refuses, and notify a fault with its event id. An
        invalid request that names no event refuses the oldest update without an answer.

        `False`: the error refuses no update.
        """
        if self.is_configuration_refusal(error):
            return False
        event_id = error.event_id
        if event_id is None:
            event_id = self._effective.take_oldest() if _may_be_update(error) else None
        elif not self._effective.take_refused(event_id):
            event_id = None
        if event_id is None:
            return False
        self._outbox.notify_fault(
            Peer.REALTIME,
            FaultKind.SERVER_ERROR,
            f"session.update {redact(event_id)}: {redact(error.message)}",
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
            if samples:
                self.kept_audio.add(event, samples)
            else:
                self._unechoed.add(event)
                if type(event) is ClearInputAudio:
                    self.kept_audio.clear()
                elif type(event) is CommitAudio:
                    self.kept_audio.add(event, 0)
            return
        dropped = self._pending.enqueue(event, samples)
        if dropped:
            self._outbox.notify(CallerAudioDropped(dropped))

    def send_if_open(self, event: ClientEvent) -> None:
        """Send an event about what this session has generated; the next one knows nothing of it."""
        if self._lifecycle.state in _OPEN:
            self._outbox.send_to_realtime(event)

    def send_update(self, event: UpdateSession) -> None:
        """Send an update of the configuration, or queue it until the session is ready.

        Only the fields present change. The audio formats are set to those of a call, and the event
        gets an event id if it has none.

        Raises `LocalProtocolError`, before anything has changed, if the update names another
        format, changes a field that is fixed, names a function as the server does not accept it or
        cannot be encoded as JSON, or if too many events are queued.
        """
        self.check_capacity()
        self._check_model_unchanged(event)
        event_id = event.event_id or f"bridge-update-{self._update_count + 1}"
        session = self._apply_interruption_policy(
            enforce_session_format(event.session), is_initial=False
        )
        update = evolve(event, session=session, event_id=event_id)
        check_encodable(update)
        check_tool_names(session, "session")
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
        """Close the socket, if it is open or being opened; and the one beside it."""
        self._close(self._connection, code)
        self.close_next(code)

    def close_next(self, code: int = NORMAL_CLOSURE) -> None:
        """Close the connection beside the one that is used, if there is one, and forget it."""
        connection, self._next = self._next, None
        if connection is not None:
            self._close(connection, code)

    def _close(self, connection: Connection, code: int) -> None:
        is_closing = connection.lifecycle.step(SessionInput.CLOSE)
        if is_closing and connection.lifecycle.state is SessionState.CLOSING:
            self._outbox.add(Close(connection.link, code, ""))

    def abandon(self) -> None:
        """Close the socket, and count it as closed: what is still received of it is ignored."""
        self.close(NORMAL_CLOSURE)
        self._lifecycle.step(SessionInput.CLOSED)
        self.is_abandoned = True

    def closed(self) -> bool:
        """Note that the socket is closed, or could not be opened. `False`: it was not to be opened,
        or was closed before."""
        return self._lifecycle.step(SessionInput.CLOSED)


def _may_be_update(error: ServerError) -> bool:
    if is_of_update(error):
        return True
    is_other = error.code == BUSY or is_of_request(error) or is_of_another_event(error)
    return error.type == "invalid_request_error" and not is_other
