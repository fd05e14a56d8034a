"""The bridge in somebody else's event loop: a framework that calls back with whole messages."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Protocol

from twilio_realtime_core import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    Action,
    Bridge,
    Close,
    Command,
    Notify,
    Open,
    Peer,
    Send,
    SendPing,
)


class WebSocket(Protocol):
    """What the framework's sockets can do."""

    def send_text(self, text: str) -> None: ...
    def ping(self, payload: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class Framework(Protocol):
    """What the framework can do. `dial` calls `Call.on_open` later, or `Call.on_close`."""

    def now_ns(self) -> int: ...
    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Callable[[], None]: ...
    def dial(self, call: "Call", peer: Hashable, url: str) -> None: ...


class Call:
    """One call. The framework calls the `on_` methods; `notify` gets every notification."""

    def __init__(
        self, framework: Framework, bridge: Bridge, notify: Callable[[object], None]
    ) -> None:
        self.framework = framework
        self.bridge = bridge
        self.notify = notify
        self.sockets: dict[Hashable, WebSocket] = {}
        self.unwanted: set[Hashable] = set()  # to be closed as soon as they are open
        self.actions: deque[Action] = deque()
        self.cancel_timer: Callable[[], None] = lambda: None

    def on_accept(self, websocket: WebSocket) -> None:
        """Twilio's socket is open: the call begins."""
        self.perform(self.bridge.start(self.framework.now_ns()))
        self.on_open(Peer.TWILIO, websocket)

    def on_open(self, peer: Hashable, websocket: WebSocket) -> None:
        if peer in self.unwanted:
            websocket.close(NORMAL_CLOSURE, "")
            return
        self.sockets[peer] = websocket
        self.perform(self.bridge.opened(peer, self.framework.now_ns()))

    def on_text(self, peer: Hashable, text: str) -> None:
        self.perform(self.bridge.receive_text(peer, text, self.framework.now_ns()))

    def on_pong(self, peer: Hashable, payload: bytes) -> None:
        self.perform(self.bridge.pong(peer, payload, self.framework.now_ns()))

    def on_close(self, peer: Hashable, code: int = ABNORMAL_CLOSURE, reason: str = "") -> None:
        self.sockets.pop(peer, None)
        self.perform(self.bridge.closed(peer, code, reason, self.framework.now_ns()))

    def on_timer(self) -> None:
        self.perform(self.bridge.handle_timeout(self.framework.now_ns()))

    def command(self, command: Command) -> None:
        """What the application wants, at any time."""
        self.perform(self.bridge.send(command, self.framework.now_ns()))

    def perform(self, actions: list[Action]) -> None:
        """Do what the bridge asks for, in order, then wait for its deadline. What the application
        commands meanwhile comes behind."""
        self.actions.extend(actions)
        if len(self.actions) > len(actions):
            return  # called from `carry_out`, whose loop goes on
        while self.actions:
            self.carry_out(self.actions[0])
            self.actions.popleft()
        self.cancel_timer()
        deadline = self.bridge.deadline
        if deadline is not None:
            self.cancel_timer = self.framework.call_at(deadline, self.on_timer)

    def carry_out(self, action: Action) -> None:
        """Do one thing."""
        match action:
            case Send(peer=peer, message=message) if peer in self.sockets:
                self.sockets[peer].send_text(message.encode())
            case SendPing(peer=peer, payload=payload) if peer in self.sockets:
                self.sockets[peer].ping(payload)
            case Close(peer=peer, code=code, reason=reason) if peer in self.sockets:
                self.sockets[peer].close(code, reason)
            case Close(peer=peer):
                self.unwanted.add(peer)  # the call has ended while it was dialled
            case Open(peer=peer, url=url):
                self.framework.dial(self, peer, url)
            case Notify(event=event):
                self.notify(event)
            case _:
                pass  # for a socket that is gone
