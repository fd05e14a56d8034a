"""A stack: it turns a machine of messages into a machine of bytes, with a WebSocket for each peer.

    bytes -> Link -> text -> MessageMachine -> message -> Link -> bytes

It does not know who the peers are, nor what the messages mean.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, get_args

from attrs import define, field

from ..errors import Fault, LocalProtocolError
from ..machine.actions import (
    Action,
    ByteAction,
    Close,
    Connect,
    Notify,
    Open,
    Send,
    SendBytes,
    SendPing,
    Shutdown,
    kind_of,
)
from ..machine.arguments import (
    BYTES,
    CALLABLE,
    MAPPING,
    TEXT,
    FieldRule,
    check_instant,
    check_time,
    instance_of,
    list_of,
)
from ..machine.contract import MessageMachine
from .handshake import HttpRequest, parse_url
from .websocket import (
    Link,
    LinkClosed,
    LinkConfig,
    LinkFault,
    LinkOpened,
    LinkPong,
    NonTextEvent,
)

__all__ = ["Stack"]

_LINK_CONFIG: Final = instance_of(LinkConfig)
_MACHINE: Final = FieldRule(
    "a MessageMachine",
    lambda value: isinstance(value, MessageMachine) and not isinstance(value, type),
)
_ACTION_KINDS: Final = frozenset[type[Any]](get_args(Action))
_ACTIONS: Final = list_of(instance_of(*get_args(Action)))


@define(eq=False, repr=False)
class Stack:
    """A `ByteMachine` that runs a `MessageMachine` over WebSocket links.

    `link_configs` has a `LinkConfig` for every kind of peer (`kind_of`) that the machine may open,
    or that is accepted.
    `accepted_requests` has the upgrade requests of byte streams that are open already: `start`
    accepts them, and `connected` must not be called for them. (An `HttpConnection` makes such a
    stack.) `random_bytes(n)` returns n unpredictable bytes.

    A peer has one link, which the machine may open once. An action for a link that is closing or
    closed is ignored, since the peer may close it at any time. An action for a link that is not
    open yet, or for an unknown peer, raises `LocalProtocolError`, as does an invalid URL. What is
    received from a byte stream after its `Shutdown` is ignored.

    Raises `LocalProtocolError` if a request cannot be accepted, or has no `LinkConfig`.
    """

    _machine: MessageMachine = field(alias="machine")
    _link_configs: Mapping[Any, LinkConfig] = field(alias="link_configs")
    _random_bytes: Callable[[int], bytes] = field(alias="random_bytes")
    _accepted_requests: Mapping[Any, HttpRequest] = field(
        factory=dict[Any, HttpRequest], alias="accepted_requests"
    )
    _links: dict[Hashable, Link] = field(factory=dict[Hashable, Link], init=False)
    _ended_links: dict[Hashable, Link] = field(factory=dict[Hashable, Link], init=False)
    """The links that are closed; they ignore what still comes for them."""
    _now: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        _MACHINE.check("machine", self._machine)
        MAPPING.check("link_configs", self._link_configs)
        for peer, config in self._link_configs.items():
            _LINK_CONFIG.check(f"link_configs[{peer!r}]", config)
        CALLABLE.check("random_bytes", self._random_bytes)
        MAPPING.check("accepted_requests", self._accepted_requests)
        for peer, request in self._accepted_requests.items():
            self._links[peer] = Link.server(request, self._require_config(peer))

    @property
    def deadline(self) -> int | None:
        """The instant by which to call `handle_timeout` (ns); `None`: it need not be called."""
        earliest = self._machine.deadline
        for link in self._links.values():
            deadline = link.timers.deadline
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    def start(self, now: int) -> list[ByteAction]:
        """Start the machine, then accept the requests. Called once, before anything else."""
        if self._now is not None:
            msg = "the stack has been started already"
            raise LocalProtocolError(msg)
        check_instant(now)
        self._now = now
        out: list[ByteAction] = []
        self._perform_all(self._machine.start(now), now, out)
        for peer in self._accepted_requests:
            self._forward_events(peer, self._require_link(peer).connected(now), now, out)
        return out

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The byte stream that `Connect` requested is open."""
        link = self._begin_input(peer, now, is_connecting=True)
        return self._forward_events(peer, link.connected(now), now, [])

    def headers_resolved(self, peer: Hashable, headers: object, now: int) -> list[ByteAction]:
        """The function in `LinkConfig.headers` of `peer` has returned its headers
        (`HeaderResolver`)."""
        link = self._begin_input(peer, now, is_connecting=True)
        return self._forward_events(peer, link.headers_resolved(headers), now, [])

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """The byte stream that `Connect` requested could not be opened; `reason` is for people."""
        TEXT.check("reason", reason)
        link = self._begin_input(peer, now, is_connecting=True)
        return self._forward_events(peer, link.connect_failed(reason), now, [])

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes were received, split anywhere."""
        if type(data) is not bytes:
            BYTES.check("data", data)
        link = self._begin_input(peer, now, is_connecting=False)
        out: list[ByteAction] = []
        for event in link.receive_bytes(data, now):
            if isinstance(event, str):
                actions = self._machine.receive_text(peer, event, now)
            else:
                actions = self._forward_event(peer, event, now, out)
            self._perform_all(actions, now, out)
        return out

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer will send no more bytes: it closed its side, or the stream was lost."""
        link = self._begin_input(peer, now, is_connecting=False)
        return self._forward_events(peer, link.receive_eof(), now, [])

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have been reached."""
        self._check_time(now)
        self._now = now
        out: list[ByteAction] = []
        # The loop runs again only if handling a time-out has set another that is already due.
        while (deadline := self.deadline) is not None and deadline <= now:
            for peer, link in list(self._links.items()):
                deadline = link.timers.deadline
                if deadline is not None and deadline <= now:
                    self._forward_events(peer, link.handle_timeout(now), now, out)
            self._perform_all(self._machine.handle_timeout(now), now, out)
        return out

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """Carry out actions that the machine has returned to another caller, usually to the
        application for a command."""
        self._check_time(now)
        if type(actions) is not list or not _ACTION_KINDS.issuperset(map(type, actions)):
            _ACTIONS.check("actions", actions)
        self._now = now
        out: list[ByteAction] = []
        self._perform_all(actions, now, out)
        return out

    def _check_time(self, now: int) -> None:
        if type(now) is not int or self._now is None or now < self._now:
            check_time(now, self._now)

    def _begin_input(self, peer: Hashable, now: int, *, is_connecting: bool) -> Link:
        """Check an input from the driver and note its time; return the link of the peer.

        Raises `LocalProtocolError`, before anything has changed, if the peer has no such link.
        """
        if type(now) is not int or self._now is None or now < self._now:
            check_time(now, self._now)
        try:
            link = self._links.get(peer) or self._ended_links.get(peer)
        except TypeError:
            msg = f"a peer must be hashable, not {type(peer).__name__}"
            raise LocalProtocolError(msg) from None
        if link is None or (link.is_connecting is not is_connecting and not link.is_closed):
            what = "to be connected" if is_connecting else "that is connected"
            msg = f"{peer} has no byte stream {what}"
            raise LocalProtocolError(msg)
        self._now = now
        return link

    def _forward_events(
        self, peer: Hashable, events: Iterable[NonTextEvent], now: int, out: list[ByteAction]
    ) -> list[ByteAction]:
        """Forward events to the machine, and perform its actions before the next event."""
        for event in events:
            self._perform_all(self._forward_event(peer, event, now, out), now, out)
        return out

    def _forward_event(
        self, peer: Hashable, event: NonTextEvent, now: int, out: list[ByteAction]
    ) -> list[Action]:
        """Forward an event to the driver or to the machine; return the machine's actions."""
        match event:
            case bytes():
                out.append(SendBytes(peer, event))
                return []
            case LinkFault():
                out.append(Notify(Fault(kind_of(peer), event.kind, event.message, event.code)))
                return []
            case LinkOpened():
                return self._machine.opened(peer, now)
            case LinkPong():
                return self._machine.pong(peer, event.payload, now)
            case LinkClosed():
                self._end_link(peer, out)
                return self._machine.closed(peer, event.code, event.reason, now)
            case _:  # LinkRefused
                self._end_link(peer, out)
                return self._machine.refused(peer, event.refusal, now)

    def _end_link(self, peer: Hashable, out: list[ByteAction]) -> None:
        self._ended_links[peer] = self._links.pop(peer)
        out.append(Shutdown(peer))

    def _perform_all(self, actions: list[Action], now: int, out: list[ByteAction]) -> None:
        """Perform actions in order, then the actions that the machine returns in response."""
        further_actions: list[Action] = []
        for action in actions:
            if isinstance(action, Send):
                link = self._links.get(action.peer) or self._require_link(action.peer)
                data = link.send_text(action.message.encode())
                if data:
                    out.append(SendBytes(action.peer, data))
            else:
                further_actions += self._perform_one(action, now, out)
        if further_actions:
            self._perform_all(further_actions, now, out)

    def _perform_one(
        self, action: Open | SendPing | Close | Notify, now: int, out: list[ByteAction]
    ) -> list[Action]:
        """Perform an action; return the actions that the machine returns in response."""
        match action:
            case Notify():
                out.append(action)
            case SendPing():
                data = self._require_link(action.peer).send_ping(action.payload)
                if data:
                    out.append(SendBytes(action.peer, data))
            case Open():
                out.append(self._open_link(action.peer, action.url, now))
            case _:
                # A link that is not open yet is closed at once.
                events = self._require_link(action.peer).close(action.code, action.reason, now)
                return [
                    further_action
                    for event in events
                    for further_action in self._forward_event(action.peer, event, now, out)
                ]
        return []

    def _find_link(self, peer: Hashable) -> Link | None:
        return self._links.get(peer) or self._ended_links.get(peer)

    def _require_link(self, peer: Hashable) -> Link:
        link = self._find_link(peer)
        if link is None:
            msg = f"the machine has not opened a link to {peer}"
            raise LocalProtocolError(msg)
        return link

    def _open_link(self, peer: Hashable, url: str, now: int) -> Connect:
        if self._find_link(peer) is not None:
            msg = f"{peer} already has, or had, a link"
            raise LocalProtocolError(msg)
        config = self._require_config(peer)
        address = parse_url(url)
        self._links[peer] = Link.client(url, config, now, self._random_bytes)
        source = config.headers if callable(config.headers) else None
        return Connect(peer, address.host, address.port, address.tls, source)

    def _require_config(self, peer: Hashable) -> LinkConfig:
        config = self._link_configs.get(kind_of(peer))
        if config is None:
            msg = f"there is no LinkConfig for {peer}"
            raise LocalProtocolError(msg)
        return config
