"""One machine, its byte streams, and its timer; all of driving it that no event loop owns.

An input and all that it leads to are one step without a wait in between, so that no cancellation
can tear them apart. Bytes go straight to the socket; only what the kernel does not take waits, so
a slow peer holds up nobody but itself.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from enum import Enum, unique
from socket import socket
from typing import Any, Final, Generic, TypeVar

from attrs import define, field

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import ByteAction, Connect, Notify, SendBytes, Shutdown
from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND

from .streams import ByteStream, explain

__all__ = ["CLOSE_NS", "OUTBOX_LIMIT", "READ_BYTES", "BaseDriver", "Dialling", "State", "Stream"]

READ_BYTES: Final = 64 * 1024
"""Bytes of one read: a message of audio fits several times, and the allocation stays below the
128 KiB from which the C library asks the kernel for memory at each read."""

OUTBOX_LIMIT: Final = 1024 * 1024
"""Bytes that may wait for a peer when more are to be written (which may be one large message): 50 s
of caller audio as the model gets it, 100 s of the agent's as Twilio does. Who is as far behind as
that will not catch up within the call."""

CLOSE_NS: Final = 2 * SECOND
"""From `Shutdown` until the stream is closed at the latest: a round trip, and one segment lost on
the way (RFC 6298, section 2: sent again after 1 s)."""

_NEVER: Final = 1 << 63

T = TypeVar("T", bound=ByteStream)


@unique
class State(Enum):
    """Whether a driver runs: it does so once."""

    NEW = "new"
    RUNNING = "running"
    OVER = "over"


_RUNNING: Final = State.RUNNING  # asked for at each step: looking it up takes 0.1 µs a time


@define(eq=False)
class Stream(Generic[T]):
    """An open byte stream."""

    peer: Hashable
    transport: T
    outbox: bytearray = field(init=False, factory=bytearray)
    """What the kernel did not take. While it holds anything, it is written as the peer takes it."""
    ended: bool = field(init=False, default=False)
    """Nothing more can be read."""
    shut: bool = field(init=False, default=False)
    """The machine has asked for the end; nothing is reported any more."""


@define(eq=False)
class Dialling:
    """A stream that is being opened."""

    action: Connect
    cancel: Callable[[], object] = field(init=False)


@define(eq=False, repr=False)
class BaseDriver(ABC, Generic[T]):
    """A driver, but for what only a loop can do: the methods at the end, which a driver adds.

    `notify` gets every notification, and must not wait; `dial` opens the streams asked for.
    """

    _machine: ByteMachine
    _notify: Callable[[object], None]
    _connect: Callable[[str, int], Awaitable[T]] = field(alias="dial")
    _state: State = field(init=False, default=State.NEW)
    _now: int = field(init=False, default=0)
    _actions: deque[ByteAction] = field(init=False, factory=deque[ByteAction])
    _performing: bool = field(init=False, default=False)
    _streams: dict[Hashable, Stream[T]] = field(init=False, factory=dict[Hashable, Stream[T]])
    _dials: dict[Hashable, Dialling] = field(init=False, factory=dict[Hashable, Dialling])
    _closing: dict[Stream[T], int] = field(init=False, factory=dict[Stream[T], int])
    _wake_at: int = field(init=False, default=_NEVER)
    _failure: BaseException | None = field(init=False, default=None)

    async def run(self, accepted: Mapping[Any, socket | T] = {}) -> None:
        """Start the machine, tell it that the `accepted` streams are connected, and run it until no
        stream is left and its deadline is `None`. Once.

        Whatever ends it, the streams are closed, those accepted too. An exception of the machine
        or of `notify` ends it, and is raised here. Raises `LocalProtocolError` if it has run.
        """
        if self._state is not State.NEW:
            raise LocalProtocolError("a driver runs once")
        self._streams = {
            peer: Stream(peer, self._own(each) if isinstance(each, socket) else each)
            for peer, each in accepted.items()
        }
        self._state = _RUNNING
        try:
            await self._live()
        finally:
            if self._failure is not None:
                raise self._failure

    def now(self) -> int:
        """The time in ns, to be passed to the machine. It never runs backwards."""
        now = int(self._time() * SECOND + 0.5)
        self._now = max(self._now, now)
        return self._now

    def perform(self, actions: Iterable[ByteAction]) -> None:
        """Do what the machine asks for, in order, behind all that it has asked for before.

        For what it asks of somebody else than the driver, such as the answer to a command. Once the
        run is over it does nothing; before, it raises `LocalProtocolError`. What goes wrong is
        raised by `run`.
        """
        if self._state is State.NEW:
            raise LocalProtocolError("the driver does not run yet")
        if self._state is _RUNNING:
            try:
                self._perform(actions)
            except BaseException as error:
                self._fail(error)

    # A step: one input, and all it leads to.

    def _start(self) -> None:
        accepted = list(self._streams.values())
        self._tell(self._machine.start)
        for stream in accepted:
            self._open(stream)

    def _tell(self, method: Callable[..., Iterable[ByteAction]], *arguments: object) -> None:
        if self._state is _RUNNING:
            try:
                self._perform(method(*arguments, self.now()))
            except BaseException as error:
                self._fail(error)

    def _perform(self, actions: Iterable[ByteAction]) -> None:
        self._actions.extend(actions)
        if self._performing:
            return  # called from `_carry_out`: the loop below goes on
        self._performing = True
        while self._actions:
            self._carry_out(self._actions.popleft())
        self._performing = False
        self._settle()

    def _carry_out(self, action: ByteAction) -> None:
        match action:
            case SendBytes():
                stream = self._streams.get(action.peer)
                if stream is not None:  # else it is lost, as the machine has heard
                    self._send(stream, action.data)
            case Notify():
                self._notify(action.event)
            case Connect():
                self._connect_to(action)
            case Shutdown():
                self._shut_down(action.peer)

    def _settle(self) -> None:
        """After each step: wake earlier if need be, or find that all is over.

        Most messages move the deadline, and to later: so that is noticed only on waking.
        """
        if self._performing or self._state is not _RUNNING:
            return  # the step goes on, or was the last
        deadline = self._machine.deadline
        if self._closing:
            first = min(self._closing.values())
            deadline = first if deadline is None else min(deadline, first)
        if deadline is None:
            if not self._streams and not self._dials:
                self._stop()
        elif deadline < self._wake_at:
            self._wake_at = deadline
            self._set_timer(deadline)

    def _expire(self) -> None:
        """The timer has fired: call the machine, if its deadline has come."""
        # A loop may wake a hair before the time it was given; that is as good as in time.
        self._now = now = max(self.now(), self._wake_at)
        self._wake_at = _NEVER
        for stream in [stream for stream, due in self._closing.items() if due <= now]:
            (self._lose if stream.outbox else self._close)(stream)
        deadline = self._machine.deadline
        if deadline is not None and deadline <= now:
            self._tell(self._machine.handle_timeout)
        self._settle()

    # Streams: opened, read, written.

    def _connect_to(self, action: Connect) -> None:
        if action.tls:
            raise LocalProtocolError("a driver speaks no TLS: wrap the machine in one that does")
        if action.peer in self._streams or action.peer in self._dials:
            raise LocalProtocolError(f"{action.peer} has a byte stream already")
        self._dials[action.peer] = dialling = Dialling(action)
        self._start_dialling(dialling)

    async def _dial(self, dialling: Dialling) -> None:
        action, transport, reason = dialling.action, None, ""
        try:
            transport = await self._connect(action.host, action.port)
        except (OSError, UnicodeError) as error:
            reason = explain(error)
        if self._dials.get(action.peer) is not dialling:
            if transport is not None:  # shut down, too late
                transport.close()
            return
        del self._dials[action.peer]
        if transport is not None:
            self._streams[action.peer] = stream = Stream(action.peer, transport)
            self._open(stream)
        else:
            self._tell(self._machine.connect_failed, action.peer, reason)

    def _open(self, stream: Stream[T]) -> None:
        if not stream.ended and not stream.shut:  # by what the machine did on another's opening
            self._start_reading(stream)
            self._tell(self._machine.connected, stream.peer)

    def _receive(self, stream: Stream[T]) -> None:
        """One read for each time that there is something, so that no peer starves another."""
        try:
            data = stream.transport.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._lose(stream)
            return
        if not data:
            self._hear_end(stream)
        elif not stream.shut:
            self._tell(self._machine.receive_bytes, stream.peer, data)

    def _hear_end(self, stream: Stream[T]) -> None:
        stream.ended = True
        if not stream.shut:
            self._tell(self._machine.receive_eof, stream.peer)
        elif not stream.outbox:
            self._close(stream)

    def _send(self, stream: Stream[T], data: bytes) -> None:
        outbox = stream.outbox
        if outbox:
            if len(outbox) > OUTBOX_LIMIT:
                self._lose(stream)
            else:
                outbox += data
            return
        try:
            sent = stream.transport.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(stream)
            return
        if sent < len(data):
            outbox += data[sent:]
            self._start_writing(stream)

    def _flush(self, stream: Stream[T]) -> None:
        """Write what waits, as far as the peer takes it."""
        outbox = stream.outbox
        try:
            del outbox[: stream.transport.send(outbox)]
        except BlockingIOError:
            return
        except OSError:
            self._lose(stream)
            return
        if stream.shut and not outbox:
            self._send_eof(stream)

    # Streams: ended.

    def _shut_down(self, peer: Hashable) -> None:
        if peer in self._dials:
            self._dials.pop(peer).cancel()
        stream = self._streams.pop(peer, None)
        if stream is not None:
            stream.shut = True
            self._closing[stream] = self.now() + CLOSE_NS
            if not stream.outbox:
                self._send_eof(stream)

    def _send_eof(self, stream: Stream[T]) -> None:
        """All is written. The socket is closed when the peer has closed as well: closed with
        bytes unread, it would reset the connection, and what the peer has not read yet would be
        lost to it (RFC 9112, section 9.6)."""
        if not stream.ended:
            try:
                stream.transport.send_eof()
            except OSError:
                pass
            else:
                return
        self._close(stream)

    def _close(self, stream: Stream[T]) -> None:
        """Close a stream that was shut down."""
        stream.ended = True
        stream.transport.close()
        self._closing.pop(stream, None)
        self._settle()

    def _lose(self, stream: Stream[T]) -> None:
        """A stream is broken, or too slow: the machine hears its end, if it has not yet."""
        unheard = not stream.ended
        stream.ended = True
        stream.outbox.clear()
        stream.transport.abort()
        self._closing.pop(stream, None)
        if self._streams.get(stream.peer) is stream:
            del self._streams[stream.peer]
            if unheard:
                self._tell(self._machine.receive_eof, stream.peer)
        self._settle()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop()

    def _stop(self) -> None:
        """Let go of everything; nothing is told or done any more."""
        self._state = State.OVER
        self._actions.clear()
        for dialling in self._dials.values():
            dialling.cancel()
        self._dials.clear()
        for stream in [*self._streams.values(), *self._closing]:
            stream.ended = True
            stream.outbox.clear()
            stream.transport.close()
        self._streams.clear()
        self._closing.clear()
        self._end()

    # What only a loop can do.

    @abstractmethod
    def _own(self, connection: socket) -> T:
        """The transport of a connection."""

    @abstractmethod
    async def _live(self) -> None:
        """Open what holds the tasks, `_start`, wait for `_end`; however that ends, `_stop`."""

    @abstractmethod
    def _end(self) -> None:
        """Let `_live` end. A second time it does nothing."""

    @abstractmethod
    def _time(self) -> float:
        """The loop's clock (seconds)."""

    @abstractmethod
    def _set_timer(self, deadline: int) -> None:
        """At `deadline` (ns), and no more when it was set before, `_expire`."""

    @abstractmethod
    def _start_dialling(self, dialling: Dialling) -> None:
        """Start a task that does `_dial`, and set what cancels it."""

    @abstractmethod
    def _start_reading(self, stream: Stream[T]) -> None:
        """Until the stream has `ended`: `_receive` whenever it is readable."""

    @abstractmethod
    def _start_writing(self, stream: Stream[T]) -> None:
        """While its `outbox` holds anything: `_flush` whenever it is writable."""
