"""The base class of the drivers: one machine, its byte streams and its timer, without a loop.

An input and all actions that it leads to are one step without an await, so that a cancellation
cannot come in between. Bytes are written to the socket at once; only those that the kernel does not
take are queued, so that a slow peer delays only itself.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import Enum, unique
from functools import partial
from socket import socket
from typing import Any, Final, Protocol, cast, runtime_checkable

from attrs import define, field

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import ByteAction, Connect, Notify, SendBytes, Shutdown
from twilio_realtime_core.machine.contract import ByteMachine, HeaderResolver
from twilio_realtime_core.machine.units import SECOND

from .driven_stream import MIN_READ_BYTES, READ_BYTES, DrivenStream, join_writes
from .headers import HeadersError, resolve_headers
from .streams import Dial, Transport, describe_dial_error

__all__ = [
    "CLOSE_TIMEOUT_NS",
    "GOODBYE_TIMEOUT_NS",
    "MAX_UNSENT_BYTES",
    "READ_BYTES",
    "BaseDriver",
    "DriverState",
    "GoingAway",
    "PendingDial",
]

MAX_UNSENT_BYTES: Final = 1024 * 1024
"""Bytes queued for a peer above which a further write aborts its stream (one write may be larger):
50 s of caller audio in the form that the model gets, 100 s of the agent's in the form that Twilio
gets. A peer as far behind as that will not catch up within the call."""

CLOSE_TIMEOUT_NS: Final = 2 * SECOND
"""From `Shutdown` until the stream is closed at the latest: a round trip, and one segment lost on
the way (RFC 6298, section 2: sent again after 1 s)."""

GOODBYE_TIMEOUT_NS: Final = 3 * SECOND
"""From `go_away` until all streams are closed at the latest: a close frame is answered within two
seconds (`LinkConfig.close_timeout_ms`), and the end of a stream within a round trip after that."""

_NEVER: Final = 1 << 63


@runtime_checkable
class GoingAway(Protocol):
    """What a machine has that can end its work in good order when the program ends."""

    @property
    def is_established(self) -> bool:
        """Whether there is work to end, such as a call; otherwise streams are just closed."""
        ...

    def go_away(self, now: int) -> list[ByteAction]:
        """End the work, with close frames where there are links."""
        ...


@unique
class DriverState(Enum):
    """The state of a driver, which runs once."""

    NEW = "new"
    RUNNING = "running"
    ENDED = "ended"


_RUNNING: Final = DriverState.RUNNING  # read at each step: the look-up takes 0.1 µs a time


@define(eq=False)
class PendingDial:
    """A stream that is being opened."""

    action: Connect
    cancel: Callable[[], object] = field(init=False)


@define(eq=False, repr=False)
class BaseDriver(ABC):
    """A driver without its event loop, for which a subclass adds the abstract methods at the end.

    `notify` is called with every notification and must not block; `dial` opens streams.
    """

    _machine: ByteMachine
    _notify: Callable[[object], None]
    _open_transport: Dial = field(alias="dial")
    _state: DriverState = field(init=False, default=DriverState.NEW)
    _clock: Callable[[], float] | None = field(init=False, default=None)
    """The clock of the loop (s), once it runs."""
    _earliest_now_ns: int = field(init=False, default=0)
    """The time of the last timer; `now` is never before it."""
    _actions: deque[ByteAction] = field(init=False, factory=deque[ByteAction])
    _is_performing: bool = field(init=False, default=False)
    _streams: dict[Hashable, DrivenStream] = field(init=False, factory=dict[Hashable, DrivenStream])
    _dials: dict[Hashable, PendingDial] = field(init=False, factory=dict[Hashable, PendingDial])
    _close_deadlines_ns: dict[DrivenStream, int] = field(
        init=False, factory=dict[DrivenStream, int]
    )
    """The streams that are shut down and not yet closed."""
    _timer_ns: int = field(init=False, default=_NEVER)
    """When the timer fires."""
    _goodbye_deadline_ns: int | None = field(init=False, default=None)
    """When all streams are closed after `go_away`."""
    _failure: BaseException | None = field(init=False, default=None)

    @property
    def is_established(self) -> bool:
        """Whether the machine says so (`GoingAway`); true for a machine that says nothing."""
        return not isinstance(self._machine, GoingAway) or self._machine.is_established

    async def run(self, accepted: Mapping[Any, socket | Transport] = {}) -> None:
        """Start the machine, with the `accepted` streams connected, and run it until no stream is
        left and its deadline is `None`.

        All streams are closed at the end, the accepted ones too. A cancellation does the same as
        `go_away` first. An exception of the machine or of `notify` ends the run and is raised here.
        Raises `LocalProtocolError` if called twice.
        """
        if self._state is not DriverState.NEW:
            raise LocalProtocolError("a driver runs once")
        self._clock = self._loop_clock()
        self._streams = {
            peer: DrivenStream(
                peer, self._make_transport(each) if isinstance(each, socket) else each
            )
            for peer, each in accepted.items()
        }
        self._state = _RUNNING
        try:
            await self._run_until_stopped()
        finally:
            if self._failure is not None:
                raise self._failure

    def now(self) -> int:
        """Return the time (ns) for the methods of the machine. It never runs backwards."""
        clock = self._clock or self._loop_clock()
        now = int(clock() * SECOND + 0.5)
        return now if now > self._earliest_now_ns else self._earliest_now_ns

    def perform(self, actions: Iterable[ByteAction]) -> None:
        """Perform actions that the machine returned to others than the driver, such as those of a
        command, after all earlier ones.

        Once the run is over this does nothing. An exception of the machine is raised by `run`.
        Raises `LocalProtocolError` before the run.
        """
        if self._state is DriverState.NEW:
            raise LocalProtocolError("the driver does not run yet")
        if self._state is _RUNNING:
            try:
                self._perform_actions(actions)
            except BaseException as error:
                self._fail(error)

    def go_away(self) -> None:
        """End the run since the program ends: a machine that can ends its work in good order
        (`GoingAway`), within `GOODBYE_TIMEOUT_NS`; otherwise all streams are closed at once.

        A second call closes all streams at once: the machine gets their end. Nothing happens before
        the run and after it.
        """
        if self._state is not _RUNNING:
            return
        machine, is_first = self._machine, self._goodbye_deadline_ns is None
        if is_first and isinstance(machine, GoingAway) and machine.is_established:
            self._goodbye_deadline_ns = self.now() + GOODBYE_TIMEOUT_NS
            self._call_machine(machine.go_away)
        else:
            self._end_streams()

    # A step: one input, and all actions that it leads to.

    def _start_machine(self) -> None:
        accepted = list(self._streams.values())
        self._call_machine(self._machine.start)
        for stream in accepted:
            self._handle_connected(stream)

    def _call_machine(
        self, method: Callable[..., Iterable[ByteAction]], *arguments: object
    ) -> None:
        if self._state is _RUNNING:
            try:
                self._perform_actions(method(*arguments, self.now()))
            except BaseException as error:
                self._fail(error)

    def _perform_actions(self, actions: Iterable[ByteAction]) -> None:
        self._actions.extend(actions)
        if self._is_performing:
            return  # called from `_perform_action`, whose caller goes on with the queue
        self._is_performing = True
        queue = self._actions
        while queue:
            action = queue.popleft()
            if isinstance(action, SendBytes):
                data = join_writes(action, queue) if queue else action.data
                stream = self._streams.get(action.peer)
                if stream is not None:  # else it is lost, and the machine was notified of its end
                    self._send(stream, data)
            else:
                self._perform_action(action)
        self._is_performing = False
        self._finish_step()

    def _perform_action(self, action: Connect | Notify | Shutdown) -> None:
        match action:
            case Notify():
                self._notify(action.event)
            case Connect():
                self._handle_connect(action)
            case Shutdown():
                self._shut_down(action.peer)

    def _finish_step(self) -> None:
        """After each step: set the timer earlier if necessary, or stop if nothing is left to do.

        Most messages move the deadline later, which is noticed only when the timer fires.
        """
        if self._is_performing or self._state is not _RUNNING:
            return  # the step goes on, or was the last
        deadline = self._machine.deadline
        if self._close_deadlines_ns:
            first = min(self._close_deadlines_ns.values())
            deadline = first if deadline is None else min(deadline, first)
        if self._goodbye_deadline_ns is not None and (self._streams or self._dials):
            goodbye_ns = self._goodbye_deadline_ns
            deadline = goodbye_ns if deadline is None else min(deadline, goodbye_ns)
        if deadline is None:
            if not self._streams and not self._dials:
                self._stop()
        elif deadline < self._timer_ns:
            self._timer_ns = deadline
            self._set_timer(deadline)

    def _handle_timer(self) -> None:
        """The timer has fired: close what is due, and call the machine if its deadline has come."""
        # A loop may wake slightly before the time of the timer; that counts as in time.
        self._earliest_now_ns = now = max(self.now(), self._timer_ns)
        self._timer_ns = _NEVER
        for stream in [stream for stream, due in self._close_deadlines_ns.items() if due <= now]:
            (self._abort_stream if stream.unsent else self._close_stream)(stream)
        deadline = self._machine.deadline
        if deadline is not None and deadline <= now:
            self._call_machine(self._machine.handle_timeout)
        if self._goodbye_deadline_ns is not None and self._goodbye_deadline_ns <= now:
            self._end_streams()
        self._finish_step()

    # Streams: opened, read, written.

    def _handle_connect(self, action: Connect) -> None:
        if action.tls:
            raise LocalProtocolError("a driver has no TLS: wrap the machine in Tls")
        if action.peer in self._streams or action.peer in self._dials:
            raise LocalProtocolError(f"{action.peer} has a byte stream already")
        self._dials[action.peer] = pending = PendingDial(action)
        self._start_dial(pending)

    async def _dial(self, pending: PendingDial) -> None:
        action, transport, reason = pending.action, None, ""
        if action.headers is not None:
            await self._resolve_headers(pending, action.headers)
            if self._dials.get(action.peer) is not pending:
                return
        try:
            transport = await self._open_transport(action.host, action.port)
        except (OSError, UnicodeError) as error:
            reason = describe_dial_error(error)
        if self._dials.get(action.peer) is not pending:
            if transport is not None:  # shut down meanwhile
                transport.close()
            return
        del self._dials[action.peer]
        if transport is not None:
            self._streams[action.peer] = stream = DrivenStream(action.peer, transport)
            self._handle_connected(stream)
        else:
            self._call_machine(self._machine.connect_failed, action.peer, reason)

    async def _resolve_headers(self, pending: PendingDial, source: Callable[[], Any]) -> None:
        """Have the application return the headers for a stream that is being opened."""
        peer = pending.action.peer
        try:
            headers = await resolve_headers(source, self._run_in_thread)
        except HeadersError as error:
            if self._dials.get(peer) is pending:
                del self._dials[peer]
                self._call_machine(self._machine.connect_failed, peer, str(error))
            return
        if self._dials.get(peer) is pending:
            machine = cast(HeaderResolver, self._machine)
            self._call_machine(machine.headers_resolved, peer, headers)

    def _handle_connected(self, stream: DrivenStream) -> None:
        # The machine may have shut it down when another accepted stream was connected.
        if not stream.has_ended and not stream.is_shut_down:
            stream.transport.on_readable(partial(self._receive, stream))
            self._call_machine(self._machine.connected, stream.peer)

    def _receive(self, stream: DrivenStream) -> None:
        """Read once, each time that the stream is readable, so that no peer starves another."""
        try:
            data = stream.recv(stream.read_bytes)
        except BlockingIOError:
            return
        except OSError:
            self._abort_stream(stream)
            return
        if not data:
            self._handle_eof(stream)
        elif not stream.is_shut_down:
            if len(data) <= MIN_READ_BYTES < stream.read_bytes:
                # Nearly all reads are as short as can be, and need not be timed.
                self._call_machine(self._machine.receive_bytes, stream.peer, data)
                return
            started_ns = self.now()
            self._call_machine(self._machine.receive_bytes, stream.peer, data)
            stream.adapt_reads(self.now() - started_ns)

    def _handle_eof(self, stream: DrivenStream) -> None:
        stream.has_ended = True
        stream.transport.on_readable(None)
        if not stream.is_shut_down:
            self._call_machine(self._machine.receive_eof, stream.peer)
        elif not stream.unsent:
            self._close_stream(stream)

    def _send(self, stream: DrivenStream, data: bytes) -> None:
        unsent = stream.unsent
        if unsent:
            if len(unsent) > MAX_UNSENT_BYTES:
                self._abort_stream(stream)
            else:
                unsent += data
            return
        try:
            sent_bytes = stream.send(data)
        except BlockingIOError:
            sent_bytes = 0
        except OSError:
            self._abort_stream(stream)
            return
        if sent_bytes < len(data):
            unsent += data[sent_bytes:]
            stream.transport.on_writable(partial(self._flush, stream))

    def _flush(self, stream: DrivenStream) -> None:
        """Write unsent bytes, as many as the kernel takes."""
        unsent = stream.unsent
        try:
            del unsent[: stream.send(unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._abort_stream(stream)
            return
        if not unsent:
            stream.transport.on_writable(None)
            if stream.is_shut_down:
                self._send_eof(stream)

    # Streams: ended.

    def _shut_down(self, peer: Hashable) -> None:
        if peer in self._dials:
            self._dials.pop(peer).cancel()
        stream = self._streams.pop(peer, None)
        if stream is not None:
            stream.is_shut_down = True
            self._close_deadlines_ns[stream] = self.now() + CLOSE_TIMEOUT_NS
            if not stream.unsent:
                self._send_eof(stream)

    def _send_eof(self, stream: DrivenStream) -> None:
        """End our side of a stream. It is closed when the peer has ended its side as well: closing
        it with bytes unread would reset the connection, and the peer would lose what it has not
        read yet (RFC 9112, section 9.6)."""
        if not stream.has_ended:
            try:
                stream.transport.send_eof()
            except OSError:
                pass
            else:
                return
        self._close_stream(stream)

    def _close_stream(self, stream: DrivenStream) -> None:
        """Close a stream that was shut down."""
        stream.has_ended = True
        stream.transport.close()
        self._close_deadlines_ns.pop(stream, None)
        self._finish_step()

    def _abort_stream(self, stream: DrivenStream) -> None:
        """Close a stream that is broken or too slow, and pass its end to the machine unless that
        was done before."""
        is_end_unreported = not stream.has_ended
        stream.has_ended = True
        stream.unsent.clear()
        stream.transport.abort()
        self._close_deadlines_ns.pop(stream, None)
        if self._streams.get(stream.peer) is stream:
            del self._streams[stream.peer]
            if is_end_unreported:
                self._call_machine(self._machine.receive_eof, stream.peer)
        self._finish_step()

    def _end_streams(self) -> None:
        """End the run: the machine gets the end of each stream, and then all are closed."""
        for stream in list(self._streams.values()):
            if not stream.has_ended:
                stream.has_ended = True
                self._call_machine(self._machine.receive_eof, stream.peer)
        if self._state is _RUNNING:
            self._stop()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop()

    def _stop(self) -> None:
        """Close everything; the machine is not called any more, and no action is performed."""
        self._state = DriverState.ENDED
        self._actions.clear()
        for pending in self._dials.values():
            pending.cancel()
        self._dials.clear()
        for stream in [*self._streams.values(), *self._close_deadlines_ns]:
            stream.has_ended = True
            stream.unsent.clear()
            stream.transport.close()
        self._streams.clear()
        self._close_deadlines_ns.clear()
        self._signal_stop()

    # What depends on the loop.

    @abstractmethod
    def _make_transport(self, connection: socket) -> Transport:
        """Return the transport of a connected socket."""

    @abstractmethod
    async def _run_until_stopped(self) -> None:
        """Open the task group, `_start_machine`, wait for `_signal_stop`, and `_stop` in any case.

        A cancellation calls `go_away` first, and waits on for `_signal_stop`, without being
        cancelled again."""

    @abstractmethod
    def _signal_stop(self) -> None:
        """Make `_run_until_stopped` return. A second call does nothing."""

    @abstractmethod
    def _loop_clock(self) -> Callable[[], float]:
        """Return what reads the monotonic clock of the loop (s)."""

    @abstractmethod
    def _set_timer(self, deadline_ns: int) -> None:
        """Call `_handle_timer` at `deadline_ns`, in place of the time set before."""

    @abstractmethod
    def _start_dial(self, pending: PendingDial) -> None:
        """Start a task that runs `_dial`, and set `pending.cancel` to what cancels it."""

    @abstractmethod
    async def _run_in_thread(self, function: Callable[[], Any]) -> Any:
        """Run a function that may block in a thread, without blocking the loop."""
