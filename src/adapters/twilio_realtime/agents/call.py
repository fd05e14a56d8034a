"""A call as the application sees it: its notifications, and the commands that it takes.

    async def agent(call: Call) -> None:
        async for event in call:
            if isinstance(event, KeyPressed):
                call.send(HangUp(after_playback=True))

The same on trio and on asyncio. A slow agent never delays audio.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum, unique
from functools import partial
from typing import Final, TypeAlias, TypeVarTuple, Unpack

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from twilio_realtime_core.commands import Command, HangUp, Mute, Unmute
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.notifications import (
    CallEnded,
    CallStarted,
    SessionLost,
    SessionReady,
)
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

from .call_actions import CallActions
from .failures import ApplicationError, describe_error, is_application_failure
from .incoming_call import IncomingCall
from .mailbox import MAX_QUEUED_NOTIFICATIONS, Mailbox
from .phone_events import CallEvent, PhoneCallAnswered

__all__ = ["GRACE_MS", "MAX_REPORTED_FAILURES", "Call", "CallHandler", "ConnectionStatus"]

GRACE_MS: Final = 5_000
"""How long (ms) an agent may run after its call has ended: enough to store a result in a slow
database. Its connection counts as open until then."""

MAX_REPORTED_FAILURES: Final = 8
"""Failures of one call that are reported. Broken code may fail with each event; the first failures
show why."""

Ts = TypeVarTuple("Ts")


@unique
class ConnectionStatus(Enum):
    """Whether a call is connected to the model."""

    CONNECTING = "connecting"
    """A session is being opened and configured, the first or one after another was lost."""
    CONNECTED = "connected"
    """The session is ready: the caller's audio reaches the model."""
    DISCONNECTED = "disconnected"
    """The call has ended, or no other session is tried (`SessionLost` without an `attempt`)."""


@define(eq=False, repr=False)
class Call(CallActions):
    """One call, from `CallStarted` on.

    An async iterator over its notifications in order, which ends after `CallEnded`; one task at a
    time may iterate. Notifications are queued for a slow agent: see `mailbox` for how many, and for
    those that are dropped. If the queue overflows, the call is hung up, and the last notifications
    are a `Fault` of the kind `OVERFLOW` and `CallEnded`.

    A call may only be used by tasks of its event loop, not by other threads.
    """

    started: CallStarted
    """How the call started; if the same socket starts another stream, how that one did."""
    _send_command: Callable[[Command], None]
    """Passes a command to the bridge, and performs the actions that it returns."""
    _get_items: Callable[[], tuple[ConversationItem, ...]] = tuple
    _get_playback_positions: Callable[[], tuple[PlaybackPosition, ...]] = tuple
    incoming: IncomingCall | None = None
    """Who calls: the request of Twilio's webhook, or `None` for a stream without one."""
    config: CallConfig | None = None
    """The configuration with which the call was opened, if the program that runs it gives it."""
    _mailbox: Mailbox = field(init=False)
    _watchers: list[Callable[[CallEvent], None]] = field(
        init=False, factory=list[Callable[[CallEvent], None]]
    )
    _pending_tasks: deque[Callable[[], Awaitable[object]]] = field(
        init=False, factory=deque[Callable[[], Awaitable[object]]]
    )
    """Tasks for `run` to start. `start_soon` cannot start them itself: on asyncio, watchers are
    called from callbacks of the loop, outside of any task."""
    _status: ConnectionStatus = field(init=False, default=ConnectionStatus.CONNECTING)
    _is_closed: bool = field(init=False, default=False)
    _wake_event: anyio.Event | None = field(init=False, default=None)
    """Set when a task is pending or the call is closed."""
    _is_muted: bool = field(init=False, default=False)
    """Whether the application has muted the caller."""
    _mute_holds: int = field(init=False, default=0)
    """How many calls of `hold_mute` are not released."""
    _failures: list[ApplicationError] = field(init=False, factory=list[ApplicationError])

    def __attrs_post_init__(self) -> None:
        self._mailbox = Mailbox(self._handle_overflow)

    # For agents.

    @property
    def dropped_count(self) -> int:
        """Number of notifications that were dropped because the agent was slow."""
        return self._mailbox.dropped_count

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far in its order, each item with what the caller heard of it."""
        return self._get_items()

    @property
    def playback_positions(self) -> tuple[PlaybackPosition, ...]:
        """The position of each content part that has not been heard to its end
        (`Bridge.playback_positions`)."""
        return self._get_playback_positions()

    @property
    def connection_status(self) -> ConnectionStatus:
        """Whether the call is connected to the model now; the agent may not have read that far."""
        return ConnectionStatus.DISCONNECTED if self._is_closed else self._status

    def send(self, command: Command) -> None:
        """Send a command to the bridge. Its actions are performed after all earlier ones.

        Once the call has ended this does nothing, since the caller may hang up at any moment. An
        `Unmute` takes effect when no `collect_keys` runs. Raises `LocalProtocolError` if the
        command is not possible now; nothing has changed then.
        """
        if self._is_closed:
            return
        is_mute = isinstance(command, Mute | Unmute)
        if not is_mute or not self._mute_holds:
            self._send_command(command)
        if is_mute:
            self._is_muted = isinstance(command, Mute)

    def __aiter__(self) -> AsyncIterator[CallEvent]:
        return self._mailbox

    def watch(self, watcher: Callable[[CallEvent], None]) -> None:
        """Call `watcher` with each notification from now on, before the agent reads it.

        Watchers get every notification, dropped ones too. They must not block, and they may `send`.
        An exception of a watcher ends the call, as one of the agent does.
        """
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[CallEvent], None]) -> None:
        """Call `watcher` no more, from the next notification on. One that does not watch is
        ignored."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def start_soon(self, function: Callable[[Unpack[Ts]], Awaitable[object]], *args: *Ts) -> None:
        """Run `function(*args)` as a task of the call, which is cancelled when the call ends.

        An exception of the task ends the call, as one of the agent does. Once the call has ended
        this does nothing.
        """
        if not self._is_closed:
            self._pending_tasks.append(partial(function, *args))
            self._wake()

    def hold_mute(self) -> None:
        """Mute the caller, whatever is sent meanwhile, until `release_mute` has been called as
        often as this."""
        if not self._mute_holds and not self._is_muted and not self._is_closed:
            self._send_command(Mute())
        self._mute_holds += 1

    def release_mute(self) -> None:
        """Undo one `hold_mute`. After the last one, the caller is muted only if the application has
        muted them."""
        self._mute_holds -= 1
        if not self._mute_holds and not self._is_muted and not self._is_closed:
            self._send_command(Unmute())

    # For the code that runs the call.

    def notify(self, event: CallEvent) -> None:
        """Pass a notification to the watchers and queue it for the agent.

        Never waits or raises; callbacks of the event loop may call it.
        """
        match event:
            case CallStarted():
                self.started = event
            case SessionReady():
                self._status = ConnectionStatus.CONNECTED
            case SessionLost(attempt=None):
                self._status = ConnectionStatus.DISCONNECTED
            case SessionLost():
                self._status = ConnectionStatus.CONNECTING
            case CallEnded():
                self.ended = event
            case PhoneCallAnswered():
                self.answered = event
            case _:
                pass
        if self._has_notice(event):
            return
        self._notify_watchers(event)
        if self.ended is None:
            self._mailbox.put(event)
            if isinstance(event, CallStarted):
                self._follow_phone_call()
        else:
            self._mailbox.close(self.ended)
            self.close()

    def close(self) -> None:
        """End the call without further notifications; `CallEnded` does so by itself."""
        self._is_closed = True
        self._mailbox.close()
        self._wake()
        self._end_waits()
        self._unfollow_phone_call()

    async def run(self, agent: "CallHandler", grace_ms: int = GRACE_MS) -> None:
        """Run the agent, once, until the call is closed and the agent has returned.

        An agent that still runs `grace_ms` after the call was closed is cancelled. If the agent
        returns earlier, the call continues without it, and so do the tasks that it started. If the
        agent raises, the call is hung up.

        Raises at the end an `ApplicationError` for a failure of the application, and an
        `ExceptionGroup` for several, in their order.
        """
        grace = anyio.CancelScope()
        # The agent's task group is the outer one: its grace period does not wait for the tasks of
        # the call, which may be slow to end, too.
        async with anyio.create_task_group() as agents, anyio.create_task_group() as tasks:
            agents.start_soon(self._run_agent, agent, grace)
            await self._start_pending_tasks(tasks)
            tasks.cancel_scope.cancel()
            grace.deadline = anyio.current_time() + grace_ms / 1000
        if grace.cancelled_caught:
            seconds = f"{grace_ms / 1000:g} s"
            self._add_failure(f"the agent still ran {seconds} after its call had ended")
        match self._failures:
            case []:
                pass
            case [failure]:
                raise failure
            case several:
                raise ExceptionGroup("the application has failed", several)

    async def _run_agent(self, agent: "CallHandler", grace: anyio.CancelScope) -> None:
        try:
            with grace:
                await agent(self)
        except BaseException as error:
            if not is_application_failure(error):
                raise
            self._fail("the agent", error)
        self._mailbox.discard()

    async def _start_pending_tasks(self, tasks: TaskGroup) -> None:
        """Start pending tasks until the call is closed."""
        while not self._is_closed:
            self._wake_event = anyio.Event()
            while self._pending_tasks:
                tasks.start_soon(self._run_task, self._pending_tasks.popleft())
            await self._wake_event.wait()

    def _wake(self) -> None:
        if self._wake_event is not None:
            self._wake_event.set()

    async def _run_task(self, function: Callable[[], Awaitable[object]]) -> None:
        try:
            await function()
        except BaseException as error:
            if not is_application_failure(error):
                raise
            self._fail("a task of the call", error)

    def _has_notice(self, event: CallEvent) -> bool:
        """Do what was to follow playback; return whether the notification is for that alone."""
        try:
            return self._take_notice(event)
        except Exception as error:
            self._fail("what follows playback", error)
            return True

    def _notify_watchers(self, event: CallEvent) -> None:
        for watcher in tuple(self._watchers):
            try:
                watcher(event)
            except Exception as error:
                # A watcher that fails with its own failure would fail without end.
                if not _is_application_fault(event):
                    self._fail("a watcher of the call", error)

    def _handle_overflow(self) -> None:
        self._add_failure(
            f"the agent does not keep up: {MAX_QUEUED_NOTIFICATIONS} notifications wait for it"
        )
        self.send(HangUp())

    def _fail(self, source: str, error: BaseException) -> None:
        """Report a failure of the application, and hang up."""
        message = f"{source} raised {describe_error(error)}"
        self._add_failure(message, error)
        fault = Fault(None, FaultKind.APPLICATION, message)
        self._notify_watchers(fault)
        self._mailbox.put(fault)
        self.send(HangUp())

    def _add_failure(self, message: str, cause: BaseException | None = None) -> None:
        if len(self._failures) < MAX_REPORTED_FAILURES:
            failure = ApplicationError(message)
            failure.__cause__ = cause
            self._failures.append(failure)


def _is_application_fault(event: CallEvent) -> bool:
    return isinstance(event, Fault) and event.kind is FaultKind.APPLICATION


CallHandler: TypeAlias = Callable[[Call], Awaitable[None]]
"""An async function that handles one call; each call runs it in its own task."""
