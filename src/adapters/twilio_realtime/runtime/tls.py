"""TLS between a `ByteMachine` and whoever drives it (RFC 8446); itself a `ByteMachine`.

    driver <- ciphertext -> Tls <- plaintext -> machine

The machine asks for `Connect(tls=True)` and speaks in the clear; the driver sees plain byte streams
only. So every driver has the same TLS, and the simulator has it too. `ssl.SSLObject` does the work
in memory, and a step stays a function call. (TLS takes its randomness from the system: the bytes
differ from run to run, what the machine is told does not.)
"""

import ssl
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, unique
from functools import cache
from typing import Any, Final, Protocol, runtime_checkable

from attrs import define, field

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import (
    Action,
    ByteAction,
    Connect,
    Notify,
    SendBytes,
    Shutdown,
)
from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND

__all__ = ["HANDSHAKE_TIMEOUT_NS", "Tls"]

HANDSHAKE_TIMEOUT_NS: Final = 10 * SECOND
"""How long the handshake of an accepted peer may take: it is two round trips, and whoever takes
longer holds on to a connection for nothing. (For a peer that it dials the machine has a limit.)"""

_RECORD_BYTES: Final = 16 * 1024
"""The most plaintext that a record holds (RFC 8446, section 5.1): a read of so many bytes leaves
nothing of its record behind. No other limit is needed. All that comes is read at once and all that
is written is handed on at once; of records and handshake messages that are not whole, OpenSSL keeps
no more than its own limits (100 KiB for the certificates)."""

_RECORD_TYPES: Final = range(20, 24)
"""What the first byte of a record can be (RFC 8446, section 5.1)."""

_STRANGER: Final = "is not from an authority that is trusted here"
_OBJECTIONS: Final = {
    9: "is not valid yet (or this machine's clock is wrong)",
    10: "has expired (or this machine's clock is wrong)",
    18: "is self-signed",
    19: _STRANGER,
    20: _STRANGER,
    21: _STRANGER,
    62: "is for another name",
    64: "is for another address",
}
"""What is wrong with a certificate, by OpenSSL's numbers (x509_vfy.h, `X509_V_ERR_...`)."""


@unique
class _State(Enum):
    HANDSHAKE = "handshake"
    OPEN = "open"
    ENDED = "ended"  # the peer sends no more, the machine still may
    BROKEN = "broken"  # nothing can be read or written any more
    OVER = "over"  # the byte stream is shut down


@runtime_checkable
class _Performer(Protocol):
    def perform(self, actions: list[Action], now: int) -> list[ByteAction]: ...


@define(eq=False, repr=False)
class Tls:
    """Puts TLS under the peers that `machine` connects with `tls`, and under the accepted peers
    that `server` names, each with its context.

    `client` is the context for peers that are dialled; without one, it is that of
    `ssl.create_default_context()`: certificates are checked against the system's authorities, and
    against the host. Renegotiation is switched off in every context, since nobody needs it and
    nothing can be written while it goes on.

    The machine is told `connected` once the handshake is complete. If it fails, a machine that
    dialled is told `connect_failed`, with a sentence that names the host; of an accepted peer there
    is a `Fault`, and the machine never hears of it. If TLS breaks later there is a `Fault`, and the
    machine is told `receive_eof`. An end without close_notify is an end like any other: WebSocket
    and HTTP know by themselves whether they are complete. `Shutdown` sends our close_notify.
    """

    _machine: ByteMachine
    _client: ssl.SSLContext | None = field(default=None, kw_only=True, alias="client")
    _server: Mapping[Any, ssl.SSLContext] = field(
        factory=dict[Any, ssl.SSLContext], kw_only=True, alias="server"
    )
    _dialled: dict[Hashable, str] = field(factory=dict[Hashable, str], init=False)
    """The hosts of peers whose byte stream is asked for and not open yet."""
    _channels: dict[Hashable, "_Channel"] = field(factory=dict[Hashable, "_Channel"], init=False)
    _limits: dict[Hashable, int] = field(factory=dict[Hashable, int], init=False)
    """When (ns) the handshakes of accepted peers must be complete."""
    _now: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        for context in (self._client, *self._server.values()):
            if context is not None:
                context.options |= ssl.OP_NO_RENEGOTIATION

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        earliest = self._machine.deadline
        if not self._limits:
            return earliest
        limit = min(self._limits.values())
        return limit if earliest is None else min(limit, earliest)

    def start(self, now: int) -> list[ByteAction]:
        """Begin, with the machine. Called once, before anything else."""
        return self._pass(self._machine.start(now), now)

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The byte stream to `peer` is open; if it is to be TLS, the handshake begins."""
        self._check_unconnected(peer)
        if peer not in self._dialled and peer not in self._server:
            return self._pass(self._machine.connected(peer, now), now)
        self._check(now)
        if peer in self._dialled:
            return self._begin(peer, self._dialled.pop(peer), now)
        self._channels[peer] = _Channel.server(self._server[peer])
        self._limits[peer] = now + HANDSHAKE_TIMEOUT_NS
        return []

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """The stream asked for by `Connect` could not be opened; `reason` is for people."""
        self._check_unconnected(peer)
        actions = self._machine.connect_failed(peer, reason, now)
        self._dialled.pop(peer, None)
        return self._pass(actions, now)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes have arrived, cut anywhere."""
        channel = self._channels.get(peer)
        if channel is None:
            return self._pass(self._machine.receive_bytes(peer, data, now), now)
        self._check(now)
        match channel.state:
            case _State.OPEN:
                channel.incoming.write(data)
                return self._read(peer, channel, now)
            case _State.HANDSHAKE:
                channel.first = channel.first or data[:1]
                channel.incoming.write(data)
                return self._shake_hands(peer, channel, now)
            case _:
                return []

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer will send no more bytes: it closed its side, or the stream was lost."""
        channel = self._channels.get(peer)
        if channel is None:
            return self._pass(self._machine.receive_eof(peer, now), now)
        self._check(now)
        match channel.state:
            case _State.OPEN:
                channel.state = _State.ENDED
                return self._pass(self._machine.receive_eof(peer, now), now)
            case _State.HANDSHAKE if channel.host is None and not channel.first:
                return self._give_up(peer)  # somebody looked whether the port is open
            case _State.HANDSHAKE:
                return self._refuse(peer, channel, "it hung up", now)
            case _:
                return []

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have come."""
        out = self._pass(self._machine.handle_timeout(now), now)
        message = "the TLS handshake was not complete in time"
        for peer in [peer for peer, limit in self._limits.items() if limit <= now]:
            out += [Notify(Fault(peer, FaultKind.TIMED_OUT, message)), *self._give_up(peer)]
        return out

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """See `Stack.perform`. Raises `LocalProtocolError` if the machine has no such method."""
        if not isinstance(self._machine, _Performer):
            msg = "the machine has no way to carry out what others asked for"
            raise LocalProtocolError(msg)
        return self._pass(self._machine.perform(actions, now), now)

    def _check(self, now: int) -> None:
        if self._now is None or now < self._now:
            msg = "not started yet" if self._now is None else "time runs backwards"
            raise LocalProtocolError(msg)
        self._now = now

    def _check_unconnected(self, peer: Hashable) -> None:
        if peer in self._channels:
            msg = f"{peer} is connected already"
            raise LocalProtocolError(msg)

    def _pass(self, actions: Sequence[ByteAction], now: int) -> list[ByteAction]:
        """What the machine asks for, as the driver is to do it. The machine has accepted `now`."""
        self._now = now
        out: list[ByteAction] = []
        for action in actions:
            if isinstance(action, SendBytes):
                channel = self._channels.get(action.peer)
                if channel is None:
                    out.append(action)
                else:
                    channel.encrypt(action.data)
                    out += channel.written(action.peer)
            elif isinstance(action, Shutdown):
                out += self._shut_down(action)
            elif isinstance(action, Connect):
                out.append(self._dial(action))
            else:
                out.append(action)
        return out

    def _shut_down(self, action: Shutdown) -> list[ByteAction]:
        self._dialled.pop(action.peer, None)
        channel = self._channels.get(action.peer)
        if channel is None:
            return [action]
        if channel.state is _State.OVER:
            return []
        channel.close()
        return [*channel.written(action.peer), action]

    def _dial(self, action: Connect) -> Connect:
        self._channels.pop(action.peer, None)  # what is left of a stream before this one
        if not action.tls:
            return action
        self._dialled[action.peer] = action.host
        return Connect(action.peer, action.host, action.port, tls=False)

    def _begin(self, peer: Hashable, host: str, now: int) -> list[ByteAction]:
        try:
            channel = _Channel.client(self._client or _system_trust(), host)
        except (ValueError, ssl.SSLError):
            reason = f"{host} is no name that a certificate can be for"
            asked = self._pass(self._machine.connect_failed(peer, reason, now), now)
            return [end := Shutdown(peer), *(action for action in asked if action != end)]
        self._channels[peer] = channel
        return self._shake_hands(peer, channel, now)

    def _shake_hands(self, peer: Hashable, channel: "_Channel", now: int) -> list[ByteAction]:
        try:
            channel.tls.do_handshake()
        except ssl.SSLWantReadError:
            return channel.written(peer)
        except ssl.SSLError as error:
            return self._refuse(peer, channel, channel.reason(error), now)
        channel.open()
        self._limits.pop(peer, None)
        out = channel.written(peer)
        out += self._pass(self._machine.connected(peer, now), now)
        if channel.is_open:
            out += self._read(peer, channel, now)
        return out

    def _refuse(
        self, peer: Hashable, channel: "_Channel", reason: str, now: int
    ) -> list[ByteAction]:
        """The handshake has failed."""
        if channel.host is None:
            message = f"the TLS handshake failed: {reason}"
            fault = Notify(Fault(peer, FaultKind.BROKEN_PROTOCOL, message))
            return [fault, *self._give_up(peer)]
        message = f"the TLS handshake with {channel.host} failed: {reason}"
        return self._give_up(peer) + self._pass(
            self._machine.connect_failed(peer, message, now), now
        )

    def _give_up(self, peer: Hashable) -> list[ByteAction]:
        """End a stream of which the machine has not been told; an alert says why."""
        self._limits.pop(peer, None)
        return self._shut_down(Shutdown(peer))

    def _read(self, peer: Hashable, channel: "_Channel", now: int) -> list[ByteAction]:
        """Read all that has come."""
        data = channel.decrypt()
        out = channel.written(peer)
        if data:
            out += self._pass(self._machine.receive_bytes(peer, data, now), now)
        if channel.state is _State.BROKEN:
            out.append(Notify(Fault(peer, FaultKind.BROKEN_PROTOCOL, channel.failure)))
        if channel.state in (_State.BROKEN, _State.ENDED):
            out += self._pass(self._machine.receive_eof(peer, now), now)
        return out


@define(eq=False, repr=False)
class _Channel:
    """The TLS of one byte stream. `host`: who was dialled, and must be there."""

    host: str | None
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    tls: ssl.SSLObject
    state: _State = field(default=_State.HANDSHAKE, init=False)
    first: bytes = field(default=b"", init=False)
    """The first byte that came."""
    failure: str = field(default="", init=False)

    @classmethod
    def client(cls, context: ssl.SSLContext, host: str) -> "_Channel":
        """Raises `ValueError` or `ssl.SSLError` for what can be no host."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        return cls(host, incoming, outgoing, tls)

    @classmethod
    def server(cls, context: ssl.SSLContext) -> "_Channel":
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return cls(None, incoming, outgoing, context.wrap_bio(incoming, outgoing, server_side=True))

    @property
    def is_open(self) -> bool:
        return self.state is _State.OPEN

    def open(self) -> None:
        self.state = _State.OPEN

    def encrypt(self, data: bytes) -> None:
        """Write `data`; nothing if that has become impossible, which the machine cannot know."""
        match self.state:
            case _State.OPEN | _State.ENDED:
                self.tls.write(data)
            case _State.HANDSHAKE:
                msg = "the machine writes to a peer that it was not told is connected"
                raise LocalProtocolError(msg)
            case _:
                pass

    def decrypt(self) -> bytes:
        """All plaintext that has come, and how it ends, if it does, in `state`."""
        pieces: list[bytes] = []
        try:
            while not pieces or self.incoming.pending:  # a read in vain costs an exception
                piece = self.tls.read(_RECORD_BYTES)
                if not piece:  # close_notify
                    self.state = _State.ENDED
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.state = _State.BROKEN
            self.failure = f"TLS broke: {self.reason(error)}"
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Write close_notify where it makes sense; the peer's is not waited for."""
        if self.state in (_State.OPEN, _State.ENDED):
            with suppress(ssl.SSLError):  # the peer's has not come, or data has come instead
                self.tls.unwrap()
        self.state = _State.OVER

    def written(self, peer: Hashable) -> list[ByteAction]:
        """What TLS has written since it was last asked."""
        return [SendBytes(peer, self.outgoing.read())] if self.outgoing.pending else []

    def reason(self, error: ssl.SSLError) -> str:
        """What went wrong, in words for people."""
        if isinstance(error, ssl.SSLCertVerificationError):
            objection = _OBJECTIONS.get(error.verify_code, f"is bad: {error.verify_message}")
            return f"its certificate {objection}"
        if self.first and self.first[0] not in _RECORD_TYPES:
            return "what it sends is no TLS"
        return (error.reason or "it hung up").replace("_", " ").lower()


@cache
def _system_trust() -> ssl.SSLContext:
    """One for all calls: to read the authorities takes tens of milliseconds."""
    context = ssl.create_default_context()
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context
