"""Drives any `ByteMachine` over real sockets, with the standard library's `selectors` alone."""

import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Hashable

from twilio_realtime_core import ByteAction, ByteMachine, Connect, Notify, SendBytes, Shutdown

READ_BYTES = 64 * 1024


class Loop:
    """One machine, its sockets and its timer. `notify` gets every notification."""

    def __init__(self, machine: ByteMachine, notify: Callable[[object], None]) -> None:
        self.machine = machine
        self.notify = notify
        self.selector = selectors.DefaultSelector()
        self.sockets: dict[Hashable, socket.socket] = {}
        self.actions: deque[ByteAction] = deque()

    def run(self, accepted: dict[Hashable, socket.socket]) -> None:
        """Run until no socket is left and nothing is waited for."""
        self.perform(self.machine.start(time.monotonic_ns()))  # 1
        for peer, connection in accepted.items():
            self.add(peer, connection)
        while self.sockets or self.machine.deadline is not None:
            self.wait()
        self.selector.close()

    def perform(self, actions: list[ByteAction]) -> None:
        """Do what the machine asks for, in order; what that leads to comes behind it."""  # 2
        self.actions.extend(actions)
        if len(self.actions) > len(actions):
            return  # called from `carry_out`, whose loop goes on
        while self.actions:
            self.carry_out(self.actions[0])
            self.actions.popleft()

    def carry_out(self, action: ByteAction) -> None:
        """Do one thing."""
        match action:
            case SendBytes(peer=peer, data=data) if peer in self.sockets:
                self.send(peer, data)
            case Connect():
                self.connect(action)
            case Shutdown(peer=peer) if peer in self.sockets:
                self.selector.unregister(self.sockets[peer])
                self.sockets.pop(peer).close()
            case Notify(event=event):
                self.notify(event)
            case _:
                pass  # for a socket that is gone

    def wait(self) -> None:
        """Wait for bytes or for the deadline, and tell the machine."""
        deadline = self.machine.deadline  # 3
        left = None if deadline is None else max(0, deadline - time.monotonic_ns()) / 1e9
        for key, _ in self.selector.select(left):  # 4
            self.receive(key.data)
        deadline = self.machine.deadline  # 5
        if deadline is not None and time.monotonic_ns() >= deadline:
            self.perform(self.machine.handle_timeout(time.monotonic_ns()))

    def receive(self, peer: Hashable) -> None:
        """Read what there is; a TLS socket may hold more than the selector knows of."""
        more = True
        while more and peer in self.sockets:
            connection = self.sockets[peer]
            try:
                data = connection.recv(READ_BYTES)
            except OSError:
                data = b""
            if not data:
                self.lost(peer)
                return
            self.perform(self.machine.receive_bytes(peer, data, time.monotonic_ns()))
            more = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0

    def send(self, peer: Hashable, data: bytes) -> None:
        """Write all of it. (It waits for a slow peer; so one loop is for one call.)"""
        try:
            self.sockets[peer].sendall(data)
        except OSError:
            self.lost(peer)

    def lost(self, peer: Hashable) -> None:
        """The peer will send no more bytes."""
        self.perform(self.machine.receive_eof(peer, time.monotonic_ns()))

    def connect(self, action: Connect) -> None:
        """Dial. (It waits as well.)"""
        try:
            connection = socket.create_connection((action.host, action.port), timeout=10)
            if action.tls:
                context = ssl.create_default_context()
                connection = context.wrap_socket(connection, server_hostname=action.host)
            connection.settimeout(None)
        except OSError as error:
            reason = str(error)
            self.perform(self.machine.connect_failed(action.peer, reason, time.monotonic_ns()))
        else:
            self.add(action.peer, connection)

    def add(self, peer: Hashable, connection: socket.socket) -> None:
        """A byte stream is open."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets[peer] = connection
        self.selector.register(connection, selectors.EVENT_READ, peer)
        self.perform(self.machine.connected(peer, time.monotonic_ns()))
