"""The application's view of a call: what happens in it, and what it may be told to do.

    async def agent(call: Call) -> None:
        async for event in call:
            if isinstance(event, KeyPressed):
                call.send(HangUp(once_heard=True))

The same on trio and on asyncio. A slow agent never delays audio.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias, TypeVarTuple, Unpack

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from twilio_realtime_core.commands import Command, HangUp
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.notifications import CallEnded, CallStarted, Notification
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

from .failures import ApplicationError, is_failure, place
from .mailbox import LIMIT, Mailbox

__all__ = ["GRACE_SECONDS", "MAX_PROBLEMS", "Agent", "Call"]

GRACE_SECONDS: Final = 5.0
"""How long an agent may go on after its call has ended: enough to write down how it went, in a
database that is slow for once. Its connection counts as open until then."""

MAX_PROBLEMS: Final = 8
"""Failures of one call that are told. What is broken may fail with each event; the first ones say
why."""

Ts = TypeVarTuple("Ts")


@define(eq=False, repr=False)
class Call:
    """One call, from `CallStarted` on. To iterate over it gives its notifications in order, and
    ends after `CallEnded`; one task at a time may do so.

    Notifications wait for who is slow: see `mailbox` for how many, and which are dropped then.
    Where more would wait, the call is ended, and the last notifications are a `Fault` of the kind
    `OVERFLOW` and `CallEnded`.

    All of it is for tasks of the call's event loop, not for other threads.
    """

    started: CallStarted
    """How the call began. If the same socket begins another stream: how that one did."""
    _command: Callable[[Command], None]
    """Gives a command to the call's machine, and carries out what that asks for."""
    _items: Callable[[], tuple[ConversationItem, ...]] = tuple
    _heard: Callable[[], tuple[PlaybackPosition, ...]] = tuple
    ended: CallEnded | None = field(init=False, default=None)
    """How it ended, once it has; the agent may not have read so far."""
    _mailbox: Mailbox = field(init=False, factory=Mailbox)
    _watchers: list[Callable[[Notification], None]] = field(
        init=False, factory=list[Callable[[Notification], None]]
    )
    _wanted: deque[Callable[[], Awaitable[object]]] = field(
        init=False, factory=deque[Callable[[], Awaitable[object]]]
    )
    """Tasks to be started, in the next turn of the loop. A callback of the loop, which asyncio's
    driver notifies from, cannot start any; so `run` does."""
    _over: bool = field(init=False, default=False)
    _stirred: anyio.Event | None = field(init=False, default=None)
    """Set when there are such tasks, or the call is over."""
    _problems: list[ApplicationError] = field(init=False, factory=list[ApplicationError])

    # For agents.

    @property
    def dropped(self) -> int:
        """How many notifications the agent missed because it was slow."""
        return self._mailbox.dropped

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far, in its order, with what was heard of each item."""
        return self._items()

    @property
    def playback_positions(self) -> tuple[PlaybackPosition, ...]:
        """How far each content part that was not heard to the end has been (`Bridge.heard`)."""
        return self._heard()

    def send(self, command: Command) -> None:
        """Give a command. What it leads to is done behind all that the call asked for before.

        Raises `LocalProtocolError` where it cannot be carried out, before anything has changed.
        After the end it does nothing: the caller may hang up at any moment.
        """
        if not self._over:
            self._command(command)

    def __aiter__(self) -> AsyncIterator[Notification]:
        return self._mailbox

    def watch(self, watcher: Callable[[Notification], None]) -> None:
        """From now on, have `watcher` called with each notification as it happens, before the agent
        reads it. None is dropped; so it must not wait. It may `send`. An exception of it ends the
        call, as one of the agent does."""
        self._watchers.append(watcher)

    def start_soon(self, function: Callable[[Unpack[Ts]], Awaitable[object]], *args: *Ts) -> None:
        """Run `function` beside the agent until the call has ended, and then cancel it. An
        exception of it ends the call, as one of the agent does. After the end it does nothing."""
        if not self._over:
            self._wanted.append(partial(function, *args))
            self._stir()

    # For whoever drives the call.

    def notify(self, event: Notification) -> None:
        """Something has happened. It never waits or raises, and may be called by a callback of the
        event loop."""
        match event:
            case CallStarted():
                self.started = event
            case CallEnded():
                self.ended = event
            case _:
                pass
        self._tell_watchers(event)
        if self.ended is None:
            self._put(event)
        else:
            self._mailbox.close(self.ended)
            self.close()

    def close(self) -> None:
        """Nothing will happen any more: what is there to be read is the last. `CallEnded` says so
        by itself."""
        self._over = True
        self._mailbox.close()
        self._stir()

    async def run(self, agent: "Agent", grace_seconds: float = GRACE_SECONDS) -> None:
        """Run the agent, once, until the call is over and the agent is done; it is cancelled if it
        takes more than `grace_seconds` for that.

        If the agent returns earlier, the call goes on without it, and with all that it started. If
        it raises, the call is hung up. What went wrong is raised at the end, an
        `ApplicationError`, or an `ExceptionGroup` of several in their order.
        """
        grace = anyio.CancelScope()
        # The agent outlives the tasks that it has started. Its time does not wait for them: they
        # may be slow to end, too.
        async with anyio.create_task_group() as agents, anyio.create_task_group() as tasks:
            agents.start_soon(self._attend, agent, grace)
            await self._start_tasks(tasks)
            tasks.cancel_scope.cancel()
            grace.deadline = anyio.current_time() + grace_seconds
        if grace.cancelled_caught:
            self._report(f"the agent still ran {grace_seconds:g} s after its call had ended")
        match self._problems:
            case []:
                pass
            case [problem]:
                raise problem
            case several:
                raise ExceptionGroup("the application has gone wrong", several)

    async def _attend(self, agent: "Agent", grace: anyio.CancelScope) -> None:
        try:
            with grace:
                await agent(self)
        except BaseException as error:
            if not is_failure(error):
                raise
            self._fail("the agent", error)
        self._mailbox.abandon()

    async def _start_tasks(self, tasks: TaskGroup) -> None:
        """Start what is wanted, until the call is over."""
        while not self._over:
            self._stirred = anyio.Event()
            while self._wanted:
                tasks.start_soon(self._run_beside, self._wanted.popleft())
            await self._stirred.wait()

    def _stir(self) -> None:
        if self._stirred is not None:
            self._stirred.set()

    async def _run_beside(self, function: Callable[[], Awaitable[object]]) -> None:
        try:
            await function()
        except BaseException as error:
            if not is_failure(error):
                raise
            self._fail("a task of the call", error)

    def _tell_watchers(self, event: Notification) -> None:
        for watcher in self._watchers:
            try:
                watcher(event)
            except Exception as error:
                if not _is_own(event):  # else it would be told of its failure, and fail, for ever
                    self._fail("a watcher of the call", error)

    def _put(self, event: Notification) -> None:
        if not self._mailbox.put(event):
            self._report(f"the agent does not keep up: {LIMIT} notifications wait for it")
            self.send(HangUp())

    def _fail(self, who: str, error: BaseException) -> None:
        """The application has gone wrong: that ends the call."""
        what = f"{who} raised {place(error)}"
        self._report(what, error)
        fault = Fault(None, FaultKind.APPLICATION, what)
        self._tell_watchers(fault)
        self._put(fault)
        self.send(HangUp())

    def _report(self, what: str, cause: BaseException | None = None) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            problem = ApplicationError(what)
            problem.__cause__ = cause
            self._problems.append(problem)


def _is_own(event: Notification) -> bool:
    """Whether it tells that the application has gone wrong."""
    return isinstance(event, Fault) and event.kind is FaultKind.APPLICATION


Agent: TypeAlias = Callable[[Call], Awaitable[None]]
"""Looks after one call, in a task of its own."""
