"""Lifts a machine that speaks in messages to one that speaks in bytes, a link for each peer.

    bytes -> Link -> text -> MessageMachine -> message -> Link -> bytes

It knows neither what the peers are nor what they say.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

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
)
from ..machine.contract import MessageMachine
from .handshake import HttpRequest, parse_url
from .websocket import Link, LinkConfig, LinkEvent, LinkFault, LinkOpened, LinkPong

__all__ = ["Stack"]


@define(eq=False, repr=False)
class Stack:
    """A `ByteMachine` made of a `MessageMachine`.

    `links` holds the limits and times for every peer that the machine may open, or that has been
    accepted. `accepted` holds the opening requests of byte streams that are open already:
    `start` accepts them, and tells the machine that their links are open, so that nobody calls
    `connected` for them (drivers do; they drive an `Opening`). `random_bytes(n)` gives
    n unpredictable bytes.

    A peer has one link: the machine may open it once. What the machine asks of a link that is
    closing or closed is left out, since the peer may close at any time; asking it of a link that
    is not open yet, or of an unknown peer, raises `LocalProtocolError`, as does a bad URL.
    What comes from a byte stream after its `Shutdown` is ignored.

    Raises `LocalProtocolError` if a request cannot be accepted, or has no `LinkConfig`.
    """

    _machine: MessageMachine = field(alias="machine")
    _link_configs: Mapping[Any, LinkConfig] = field(alias="link_configs")
    _random_bytes: Callable[[int], bytes] = field(alias="random_bytes")
    _accepted_requests: Mapping[Any, HttpRequest] = field(
        factory=dict[Any, HttpRequest], alias="accepted_requests"
    )
    _links: dict[Hashable, Link] = field(factory=dict[Hashable, Link], init=False)
    _now: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        for peer, request in self._accepted_requests.items():
            self._links[peer] = Link.server(request, self._require_config(peer))

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        earliest = self._machine.deadline
        for link in self._links.values():
            deadline = link.deadline
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    def start(self, now: int) -> list[ByteAction]:
        """Begin, with the machine; then accept what was accepted. Called once, before all else."""
        if self._now is not None:
            msg = "the stack has been started already"
            raise LocalProtocolError(msg)
        self._now = now
        out: list[ByteAction] = []
        self._perform_all(self._machine.start(now), now, out)
        for peer in self._accepted_requests:
            self._forward_events(peer, self._links[peer].connected(now), now, out)
        return out

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The byte stream asked for by `Connect` is open."""
        link = self._begin_input(peer, now, is_connecting=True)
        return self._forward_events(peer, link.connected(now), now, [])

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """The byte stream asked for by `Connect` could not be opened; `reason` is for people."""
        link = self._begin_input(peer, now, is_connecting=True)
        return self._forward_events(peer, link.connect_failed(reason), now, [])

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes have arrived, cut anywhere."""
        link = self._begin_input(peer, now, is_connecting=False)
        return self._forward_events(peer, link.receive_bytes(data, now), now, [])

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer will send no more bytes: it closed its side, or the stream was lost."""
        link = self._begin_input(peer, now, is_connecting=False)
        return self._forward_events(peer, link.receive_eof(), now, [])

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have come."""
        self._check_time(now)
        self._now = now
        out: list[ByteAction] = []
        # More than once only if an answer to one time-out is due at once itself.
        while (deadline := self.deadline) is not None and deadline <= now:
            for peer, link in list(self._links.items()):
                if link.deadline is not None and link.deadline <= now:
                    self._forward_events(peer, link.handle_timeout(now), now, out)
            self._perform_all(self._machine.handle_timeout(now), now, out)
        return out

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """Carry out what the machine asked of somebody else: of the application, as a rule, in
        answer to a command that it gave to the machine itself."""
        self._check_time(now)
        self._now = now
        out: list[ByteAction] = []
        self._perform_all(actions, now, out)
        return out

    def _check_time(self, now: int) -> None:
        if self._now is None or now < self._now:
            msg = "not started yet" if self._now is None else "time runs backwards"
            raise LocalProtocolError(msg)

    def _begin_input(self, peer: Hashable, now: int, *, is_connecting: bool) -> Link:
        """The link that the driver speaks of; nothing has changed if there is none."""
        if self._now is None or now < self._now:
            self._check_time(now)
        link = self._links.get(peer)
        if link is None or (link.is_connecting is not is_connecting and not link.is_closed):
            msg = f"{peer} has no byte stream {'to connect' if is_connecting else 'that is connected'}"
            raise LocalProtocolError(msg)
        self._now = now
        return link

    def _forward_events(
        self, peer: Hashable, events: Iterable[LinkEvent], now: int, out: list[ByteAction]
    ) -> list[ByteAction]:
        """Let the machine react to each event before the next one is made."""
        for event in events:
            self._perform_all(self._forward_event(peer, event, now, out), now, out)
        return out

    def _forward_event(
        self, peer: Hashable, event: LinkEvent, now: int, out: list[ByteAction]
    ) -> list[Action]:
        """Pass an event on, to the driver or to the machine; returns what the machine asks."""
        match event:
            case str():
                return self._machine.receive_text(peer, event, now)
            case bytes():
                out.append(SendBytes(peer, event))
                return []
            case LinkFault():
                out.append(Notify(Fault(peer, event.kind, event.message, event.code)))
                return []
            case LinkOpened():
                return self._machine.opened(peer, now)
            case LinkPong():
                return self._machine.pong(peer, event.payload, now)
            case _:
                out.append(Shutdown(peer))
                return self._machine.closed(peer, event.code, event.reason, now)

    def _perform_all(self, actions: list[Action], now: int, out: list[ByteAction]) -> None:
        """Carry out actions in order; what the machine asks in answer to them comes after."""
        consequences: list[Action] = []
        for action in actions:
            if isinstance(action, Send):
                data = self._require_link(action.peer).send_text(action.message.encode())
                if data:
                    out.append(SendBytes(action.peer, data))
            else:
                consequences += self._perform_one(action, now, out)
        if consequences:
            self._perform_all(consequences, now, out)

    def _perform_one(
        self, action: Open | SendPing | Close | Notify, now: int, out: list[ByteAction]
    ) -> list[Action]:
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
                # A link that was not open yet is over at once.
                events = self._require_link(action.peer).close(action.code, action.reason, now)
                return [
                    answer
                    for event in events
                    for answer in self._forward_event(action.peer, event, now, out)
                ]
        return []

    def _require_link(self, peer: Hashable) -> Link:
        """The link that the machine speaks of."""
        link = self._links.get(peer)
        if link is None:
            msg = f"the machine has not opened a link to {peer}"
            raise LocalProtocolError(msg)
        return link

    def _open_link(self, peer: Hashable, url: str, now: int) -> Connect:
        if peer in self._links:
            msg = f"{peer} has, or had, a link"
            raise LocalProtocolError(msg)
        config = self._require_config(peer)
        address = parse_url(url)
        self._links[peer] = Link.client(url, config, now, self._random_bytes)
        return Connect(peer, address.host, address.port, address.tls)

    def _require_config(self, peer: Hashable) -> LinkConfig:
        config = self._link_configs.get(peer)
        if config is None:
            msg = f"no LinkConfig for {peer}"
            raise LocalProtocolError(msg)
        return config
