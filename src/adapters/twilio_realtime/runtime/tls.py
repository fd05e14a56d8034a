"""TLS as a `ByteMachine`, between a machine and its driver (RFC 8446).

    driver <- ciphertext -> Tls <- plaintext -> machine

The machine asks for `Connect(tls=True)` and exchanges plaintext; the driver sees plain byte streams
only. So all drivers, and the simulator, have the same TLS. `ssl.SSLObject` does the work in memory,
and a step stays a function call. (TLS takes its randomness from the system: the ciphertext differs
from run to run, the inputs of the machine do not.)
"""

import ssl
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, unique
from functools import cache
from typing import Any, Final, Protocol, runtime_checkable

from attrs import define, evolve, field

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import (
    Action,
    ByteAction,
    Connect,
    Notify,
    SendBytes,
    Shutdown,
)
from twilio_realtime_core.machine.arguments import BYTES, check_time
from twilio_realtime_core.machine.contract import ByteMachine, HeaderResolver
from twilio_realtime_core.machine.units import SECOND

__all__ = ["HANDSHAKE_TIMEOUT_NS", "Tls"]

HANDSHAKE_TIMEOUT_NS: Final = 10 * SECOND
"""How long the handshake of an accepted peer may take: it is two round trips, and a peer that takes
longer only occupies a connection. (The machine limits the handshakes of peers that it dials.)"""

_RECORD_BYTES: Final = 16 * 1024
"""The most plaintext that a record holds (RFC 8446, section 5.1): a read of so many bytes leaves
nothing of its record unread. No other limit is needed: all bytes are read as they arrive and passed
on as they are written, and of incomplete records and handshake messages OpenSSL keeps no more than
its own limits (100 KiB for the certificates)."""

_RECORD_TYPES: Final = range(20, 24)
"""The values of the first byte of a record (RFC 8446, section 5.1)."""

_UNTRUSTED: Final = "is not from an authority that is trusted here"
_CERTIFICATE_ERRORS: Final = {
    9: "is not valid yet (or this machine's clock is wrong)",
    10: "has expired (or this machine's clock is wrong)",
    18: "is self-signed",
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: "is for another name",
    64: "is for another address",
}
"""What is wrong with a certificate, by OpenSSL's numbers (x509_vfy.h, `X509_V_ERR_...`)."""


@unique
class _ChannelState(Enum):
    HANDSHAKE = "handshake"
    OPEN = "open"
    READ_ENDED = "read ended"  # the peer has ended its side; the machine may still write
    BROKEN = "broken"  # nothing can be read or written any more
    SHUT_DOWN = "shut down"  # the byte stream is shut down


@runtime_checkable
class _Performer(Protocol):
    def perform(self, actions: list[Action], now: int) -> list[ByteAction]: ...


@runtime_checkable
class _Answerer(Protocol):
    def answer(self, response: Any, now: int) -> list[ByteAction]: ...


@define(eq=False, repr=False)
class Tls:
    """A machine that puts TLS under the peers of `machine`: those that it connects with `tls=True`,
    and the accepted ones in `server`, which maps each to its context.

    `client` is the context for peers that are dialled, by default `ssl.create_default_context()`:
    certificates are checked against the system's authorities and against the host. Renegotiation
    is disabled in every context, since it is not needed and blocks writing.

    The machine gets `connected` once the handshake is complete. If the handshake fails, a machine
    that dialled gets `connect_failed` with a sentence that names the host; for an accepted peer a
    `Fault` is notified, and the machine gets nothing. If TLS fails later, a `Fault` is notified,
    and the machine gets `receive_eof`. An end without close_notify counts as a regular end:
    WebSocket and HTTP detect truncation themselves. `Shutdown` sends close_notify.

    The methods are those of `ByteMachine`. They raise `LocalProtocolError` before `start`, if time
    runs backwards, and where the machine raises it.
    """

    _machine: ByteMachine
    _client: ssl.SSLContext | None = field(default=None, kw_only=True, alias="client")
    _server: Mapping[Any, ssl.SSLContext] = field(
        factory=dict[Any, ssl.SSLContext], kw_only=True, alias="server"
    )
    _dialled_hosts: dict[Hashable, str] = field(factory=dict[Hashable, str], init=False)
    """The hosts of peers that are being dialled and will speak TLS."""
    _channels: dict[Hashable, "_Channel"] = field(factory=dict[Hashable, "_Channel"], init=False)
    _handshake_deadlines_ns: dict[Hashable, int] = field(factory=dict[Hashable, int], init=False)
    """The deadlines of the handshakes of accepted peers."""
    _now: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        for context in (self._client, *self._server.values()):
            if context is not None:
                context.options |= ssl.OP_NO_RENEGOTIATION

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None` if not at all."""
        earliest = self._machine.deadline
        if not self._handshake_deadlines_ns:
            return earliest
        handshake = min(self._handshake_deadlines_ns.values())
        return handshake if earliest is None else min(handshake, earliest)

    def start(self, now: int) -> list[ByteAction]:
        """Start the machine. Called once, before all other methods."""
        return self._encrypt_actions(self._machine.start(now), now)

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The byte stream to `peer` is open. If it is to be TLS, the handshake starts."""
        self._check_not_connected(peer)
        if peer not in self._dialled_hosts and peer not in self._server:
            return self._encrypt_actions(self._machine.connected(peer, now), now)
        self._advance_time(now)
        if peer in self._dialled_hosts:
            return self._start_handshake(peer, self._dialled_hosts.pop(peer), now)
        self._channels[peer] = _Channel.server(self._server[peer])
        self._handshake_deadlines_ns[peer] = now + HANDSHAKE_TIMEOUT_NS
        return []

    def headers_resolved(self, peer: Hashable, headers: object, now: int) -> list[ByteAction]:
        """See `HeaderResolver`. Raises `LocalProtocolError` if the machine has no such method."""
        self._check_not_connected(peer)
        if not isinstance(self._machine, HeaderResolver):
            msg = "the machine has no method headers_resolved"
            raise LocalProtocolError(msg)
        return self._encrypt_actions(self._machine.headers_resolved(peer, headers, now), now)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """The byte stream that `Connect` asked for could not be opened; `reason` is for people."""
        self._check_not_connected(peer)
        actions = self._machine.connect_failed(peer, reason, now)
        self._dialled_hosts.pop(peer, None)
        return self._encrypt_actions(actions, now)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes have arrived, cut at any place."""
        if type(data) is not bytes:
            BYTES.check("data", data)
        channel = self._channels.get(peer)
        if channel is None:
            return self._encrypt_actions(self._machine.receive_bytes(peer, data, now), now)
        self._advance_time(now)
        match channel.state:
            case _ChannelState.OPEN:
                channel.incoming.write(data)
                return self._read(peer, channel, now)
            case _ChannelState.HANDSHAKE:
                channel.first_byte = channel.first_byte or data[:1]
                channel.incoming.write(data)
                return self._continue_handshake(peer, channel, now)
            case _:
                return []

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer has ended its side of the byte stream, or the stream is lost."""
        channel = self._channels.get(peer)
        if channel is None:
            return self._encrypt_actions(self._machine.receive_eof(peer, now), now)
        self._advance_time(now)
        match channel.state:
            case _ChannelState.OPEN:
                channel.state = _ChannelState.READ_ENDED
                return self._encrypt_actions(self._machine.receive_eof(peer, now), now)
            case _ChannelState.HANDSHAKE if channel.host is None and not channel.first_byte:
                return self._drop(peer)  # a check whether the port is open
            case _ChannelState.HANDSHAKE:
                return self._fail_handshake(peer, channel, "it hung up", now)
            case _:
                return []

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have come."""
        out = self._encrypt_actions(self._machine.handle_timeout(now), now)
        message = "the TLS handshake was not complete in time"
        due = [peer for peer, limit in self._handshake_deadlines_ns.items() if limit <= now]
        for peer in due:
            out += [Notify(Fault(peer, FaultKind.TIMED_OUT, message)), *self._drop(peer)]
        return out

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """See `Stack.perform`. Raises `LocalProtocolError` if the machine has no such method."""
        if not isinstance(self._machine, _Performer):
            msg = "the machine has no method perform"
            raise LocalProtocolError(msg)
        return self._encrypt_actions(self._machine.perform(actions, now), now)

    def answer(self, response: Any, now: int) -> list[ByteAction]:
        """See `HttpConnection.answer`. Raises `LocalProtocolError` if the machine has no such
        method."""
        if not isinstance(self._machine, _Answerer):
            msg = "the machine has no method answer"
            raise LocalProtocolError(msg)
        return self._encrypt_actions(self._machine.answer(response, now), now)

    def _advance_time(self, now: int) -> None:
        """Accept `now` as the time of an input that the machine does not get."""
        if type(now) is not int or self._now is None or now < self._now:
            check_time(now, self._now)
        self._now = now

    def _check_not_connected(self, peer: Hashable) -> None:
        if peer in self._channels:
            msg = f"{peer} is connected already"
            raise LocalProtocolError(msg)

    def _encrypt_actions(self, actions: Sequence[ByteAction], now: int) -> list[ByteAction]:
        """Return the machine's actions as the driver is to perform them, with ciphertext in place
        of plaintext. The machine has accepted `now`."""
        self._now = now
        out: list[ByteAction] = []
        for action in actions:
            if isinstance(action, SendBytes):
                channel = self._channels.get(action.peer)
                if channel is None:
                    out.append(action)
                else:
                    channel.encrypt(action.data)
                    out += channel.take_output(action.peer)
            elif isinstance(action, Shutdown):
                out += self._shut_down(action)
            elif isinstance(action, Connect):
                out.append(self._dial(action))
            else:
                out.append(action)
        return out

    def _shut_down(self, action: Shutdown) -> list[ByteAction]:
        self._dialled_hosts.pop(action.peer, None)
        channel = self._channels.get(action.peer)
        if channel is None:
            return [action]
        if channel.state is _ChannelState.SHUT_DOWN:
            return []
        channel.close()
        return [*channel.take_output(action.peer), action]

    def _dial(self, action: Connect) -> Connect:
        self._channels.pop(action.peer, None)  # of an earlier stream to the same peer
        if not action.tls:
            return action
        self._dialled_hosts[action.peer] = action.host
        return evolve(action, tls=False)

    def _start_handshake(self, peer: Hashable, host: str, now: int) -> list[ByteAction]:
        """Start the handshake with a peer that was dialled."""
        try:
            channel = _Channel.client(self._client or _default_context(), host)
        except (ValueError, ssl.SSLError):
            reason = f"{host} is no name that a certificate can be for"
            actions = self._encrypt_actions(self._machine.connect_failed(peer, reason, now), now)
            shutdown = Shutdown(peer)
            return [shutdown, *(action for action in actions if action != shutdown)]
        self._channels[peer] = channel
        return self._continue_handshake(peer, channel, now)

    def _continue_handshake(
        self, peer: Hashable, channel: "_Channel", now: int
    ) -> list[ByteAction]:
        try:
            channel.tls.do_handshake()
        except ssl.SSLWantReadError:
            return channel.take_output(peer)
        except ssl.SSLError as error:
            return self._fail_handshake(peer, channel, channel.describe(error), now)
        channel.open()
        self._handshake_deadlines_ns.pop(peer, None)
        out = channel.take_output(peer)
        out += self._encrypt_actions(self._machine.connected(peer, now), now)
        if channel.is_open:
            out += self._read(peer, channel, now)
        return out

    def _fail_handshake(
        self, peer: Hashable, channel: "_Channel", reason: str, now: int
    ) -> list[ByteAction]:
        if channel.host is None:
            message = f"the TLS handshake failed: {reason}"
            fault = Notify(Fault(peer, FaultKind.BROKEN_PROTOCOL, message))
            return [fault, *self._drop(peer)]
        message = f"the TLS handshake with {channel.host} failed: {reason}"
        return self._drop(peer) + self._encrypt_actions(
            self._machine.connect_failed(peer, message, now), now
        )

    def _drop(self, peer: Hashable) -> list[ByteAction]:
        """Shut down a stream that the machine was not notified of, after TLS's alert."""
        self._handshake_deadlines_ns.pop(peer, None)
        return self._shut_down(Shutdown(peer))

    def _read(self, peer: Hashable, channel: "_Channel", now: int) -> list[ByteAction]:
        """Pass on all plaintext that has arrived, and then how it ended."""
        data = channel.take_plaintext()
        out = channel.take_output(peer)
        if data:
            out += self._encrypt_actions(self._machine.receive_bytes(peer, data, now), now)
        if channel.state is _ChannelState.BROKEN:
            out.append(Notify(Fault(peer, FaultKind.BROKEN_PROTOCOL, channel.failure)))
        if channel.state in (_ChannelState.BROKEN, _ChannelState.READ_ENDED):
            out += self._encrypt_actions(self._machine.receive_eof(peer, now), now)
        return out


@define(eq=False, repr=False)
class _Channel:
    """TLS on one byte stream. `host` is the host that was dialled, `None` for an accepted peer."""

    host: str | None
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    tls: ssl.SSLObject
    state: _ChannelState = field(default=_ChannelState.HANDSHAKE, init=False)
    first_byte: bytes = field(default=b"", init=False)
    """The first byte that arrived."""
    failure: str = field(default="", init=False)
    """What broke the channel."""

    @classmethod
    def client(cls, context: ssl.SSLContext, host: str) -> "_Channel":
        """Raises `ValueError` or `ssl.SSLError` if no certificate can be for `host`."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        return cls(host, incoming, outgoing, tls)

    @classmethod
    def server(cls, context: ssl.SSLContext) -> "_Channel":
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return cls(None, incoming, outgoing, context.wrap_bio(incoming, outgoing, server_side=True))

    @property
    def is_open(self) -> bool:
        return self.state is _ChannelState.OPEN

    def open(self) -> None:
        self.state = _ChannelState.OPEN

    def encrypt(self, data: bytes) -> None:
        """Write `data`; it is dropped if the channel is broken, which the machine cannot know."""
        match self.state:
            case _ChannelState.OPEN | _ChannelState.READ_ENDED:
                self.tls.write(data)
            case _ChannelState.HANDSHAKE:
                msg = "the machine writes to a peer that is not connected yet"
                raise LocalProtocolError(msg)
            case _:
                pass

    def take_plaintext(self) -> bytes:
        """Read all plaintext that has arrived; `state` changes if it has ended."""
        pieces: list[bytes] = []
        try:
            while not pieces or self.incoming.pending:  # a read of nothing costs an exception
                piece = self.tls.read(_RECORD_BYTES)
                if not piece:  # close_notify
                    self.state = _ChannelState.READ_ENDED
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.state = _ChannelState.BROKEN
            self.failure = f"TLS broke: {self.describe(error)}"
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Write close_notify if the state allows it, without waiting for the peer's."""
        if self.state in (_ChannelState.OPEN, _ChannelState.READ_ENDED):
            with suppress(ssl.SSLError):  # the peer's has not come, or data has come instead
                self.tls.unwrap()
        self.state = _ChannelState.SHUT_DOWN

    def take_output(self, peer: Hashable) -> list[ByteAction]:
        """Return the ciphertext that TLS has written since the last call."""
        return [SendBytes(peer, self.outgoing.read())] if self.outgoing.pending else []

    def describe(self, error: ssl.SSLError) -> str:
        """Return the reason of an error, in words for people."""
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = _CERTIFICATE_ERRORS.get(error.verify_code, f"is bad: {error.verify_message}")
            return f"its certificate {reason}"
        if self.first_byte and self.first_byte[0] not in _RECORD_TYPES:
            return "what it sends is no TLS"
        return (error.reason or "it hung up").replace("_", " ").lower()


@cache
def _default_context() -> ssl.SSLContext:
    """The context for all calls: reading the system's authorities takes tens of milliseconds."""
    context = ssl.create_default_context()
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context
