"""`Call` with an agent, the same on trio and on asyncio."""

import asyncio
import json
import traceback
from typing import Any, cast

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_harness import CALLER_HUNG_UP, HUNG_UP, STARTED, AgentHarness, run_ready_tasks
from driving import RUNTIMES, ignore, run_in_virtual_time
from twilio_realtime.agents import mailbox
from twilio_realtime.agents.call import GRACE_MS, MAX_REPORTED_FAILURES, Call, ConnectionStatus
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.handlers import Handlers
from twilio_realtime.agents.mailbox import Mailbox, is_droppable
from twilio_realtime.agents.phone_events import CallEvent
from twilio_realtime_core import Fault, FaultKind, HangUp, Interrupt, LocalProtocolError, Peer
from twilio_realtime_core.commands import Mute, SendFunctionOutput, Unmute
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallEnded,
    CallerAudioDropped,
    CallerAudioPadded,
    CallerTranscript,
    CallStarted,
    EndReason,
    ItemDeleted,
    KeyPressed,
    PaddingCause,
    RateLimitsUpdated,
    RealtimeEvent,
    SessionLost,
    SessionReady,
    TwilioMessage,
    TypedRealtimeEvent,
)
from twilio_realtime_core.protocols.realtime import UnknownServerEvent
from twilio_realtime_core.values.items import Message, Role
from twilio_realtime_core.values.playback_position import PartKey, PlaybackPosition

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

SECRET = "my mother's maiden name"
KEY = KeyPressed("5")
DROPPABLE: list[CallEvent] = [
    AgentAudio("r", "i", 0, "//8="),
    AgentText("r", "i", 0, "wel", final=False),
    AgentTranscript("r", "i", 0, "wel", final=False),
    CallerTranscript("i", "wel", final=False),
    CallerAudioDropped(160),
    CallerAudioPadded(160, PaddingCause.GAP),
    TwilioMessage("{}"),
    RealtimeEvent("{}"),
    TypedRealtimeEvent(UnknownServerEvent("x")),
    RateLimitsUpdated(()),
    Fault(Peer.TWILIO, FaultKind.NOT_JSON, "no JSON"),
]
NOT_DROPPABLE: list[CallEvent] = [
    AgentText("r", "i", 0, "welcome", final=True),
    AgentTranscript("r", "i", 0, "welcome", final=True),
    CallerTranscript("i", "welcome", final=True),
    ItemDeleted("i"),
    KEY,
]


class BugError(Exception):
    """A bug of the application."""


async def nothing(harness: AgentHarness) -> None:
    """A script in which nothing happens."""


async def read_all(call: Call, into: list[CallEvent]) -> None:
    async for event in call:
        into.append(event)


# What an agent sees


@each_runtime
def test_an_agent_reads_notifications_in_order_until_the_end(runtime: str) -> None:
    """S69: the end of the call ends the iteration, whichever side has hung up."""
    read: list[CallEvent] = []

    async def agent(call: Call) -> None:
        assert call.started == STARTED
        assert call.ended is None
        await read_all(call, read)
        assert call.ended == CALLER_HUNG_UP
        assert call.dropped_count == 0
        await read_all(call, read)  # there is no more

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY, ItemDeleted("i"))
        await run_ready_tasks()
        harness.notify(KeyPressed("7"))
        harness.hang_up()

    harness = AgentHarness(runtime, agent).run(script)
    assert read == [STARTED, KEY, ItemDeleted("i"), KeyPressed("7"), CALLER_HUNG_UP]
    assert harness.errors == []
    assert harness.unhandled == []


@each_runtime
def test_iteration_can_stop_and_continue(runtime: str) -> None:
    read: list[CallEvent] = []

    async def agent(call: Call) -> None:
        async for event in call:
            read.append(event)
            break
        await read_all(call, read)

    async def script(harness: AgentHarness) -> None:
        harness.hang_up()

    AgentHarness(runtime, agent).run(script)
    assert read == [STARTED, CALLER_HUNG_UP]


@each_runtime
def test_a_second_reading_task_gets_an_error(runtime: str) -> None:
    async def agent(call: Call) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_all, call, list[CallEvent]())
            await run_ready_tasks()
            with pytest.raises(LocalProtocolError, match="another task reads"):
                await read_all(call, [])

    async def script(harness: AgentHarness) -> None:
        await anyio.sleep(1)
        harness.hang_up()

    harness = AgentHarness(runtime, agent).run(script)
    assert harness.errors == []


@each_runtime
def test_another_stream_of_the_same_socket_replaces_call_started(runtime: str) -> None:
    again = CallStarted("MZ2", "CA1", "AC1", {})
    seen: list[str] = []

    async def agent(call: Call) -> None:
        call.watch(lambda event: seen.append(call.started.stream_sid))
        async for _ in call:
            seen.append(call.started.stream_sid)

    async def script(harness: AgentHarness) -> None:
        harness.notify(again)
        await run_ready_tasks()
        harness.hang_up()

    AgentHarness(runtime, agent).run(script)
    assert seen == ["MZ1", "MZ2", "MZ2", "MZ2", "MZ2"]


@each_runtime
def test_a_watcher_gets_every_notification_at_once_and_may_send(runtime: str) -> None:
    watched: list[CallEvent] = []
    order: list[str] = []

    async def agent(call: Call) -> None:
        def watch(event: CallEvent) -> None:
            watched.append(event)
            if event == KEY:
                order.append("key")
                call.send(HangUp())
                order.append("sent")  # its actions are performed later
            if isinstance(event, CallEnded):
                order.append("ended")

        call.watch(watch)

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY, *DROPPABLE)

    harness = AgentHarness(runtime, agent).run(script)
    assert watched == [KEY, *DROPPABLE, HUNG_UP]
    assert order == ["key", "sent", "ended"]
    assert harness.errors == []


# Commands


@each_runtime
def test_commands_are_sent_in_order_and_ignored_after_the_end(runtime: str) -> None:
    """S52: a command after the end is no misuse, but a race that cannot be avoided."""

    async def agent(call: Call) -> None:
        call.send(Mute())
        call.send(Unmute())
        async for event in call:
            if event == KEY:
                call.send(HangUp())
        call.send(Interrupt())

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY)

    harness = AgentHarness(runtime, agent).run(script)
    assert harness.connection.commands == [Mute(), Unmute(), HangUp()]
    assert harness.errors == []


@each_runtime
def test_an_impossible_command_raises_in_the_agent(runtime: str) -> None:
    async def agent(call: Call) -> None:
        call.send(SendFunctionOutput("f", "1"))
        with pytest.raises(LocalProtocolError, match="has its answer"):
            call.send(SendFunctionOutput("f", "2"))
        call.send(HangUp())

    harness = AgentHarness(runtime, agent).run(nothing)
    assert [each.output for each in harness.connection.outputs] == ["1"]
    assert harness.errors == []


# An agent that is slow


@each_runtime
def test_a_slow_agent_loses_droppable_notifications_and_sees_their_count(runtime: str) -> None:
    read: list[CallEvent] = []
    many = 2 * mailbox.DROP_THRESHOLD

    async def agent(call: Call) -> None:
        await anyio.sleep(1)
        assert call.dropped_count == many + 1 - mailbox.DROP_THRESHOLD  # CallStarted is queued too
        await read_all(call, read)

    async def script(harness: AgentHarness) -> None:
        harness.notify(*[DROPPABLE[0]] * many, KEY)
        await anyio.sleep(2)
        harness.hang_up()

    harness = AgentHarness(runtime, agent).run(script)
    assert read == [STARTED, *[DROPPABLE[0]] * (mailbox.DROP_THRESHOLD - 1), KEY, CALLER_HUNG_UP]
    assert harness.errors == []


@each_runtime
def test_an_overflowing_mailbox_ends_the_call_with_a_fault(runtime: str) -> None:
    read: list[CallEvent] = []

    async def agent(call: Call) -> None:
        await anyio.sleep(1)
        await read_all(call, read)
        assert call.dropped_count == 2

    async def script(harness: AgentHarness) -> None:
        harness.notify(*[KEY] * (mailbox.MAX_QUEUED_NOTIFICATIONS + 1))

    harness = AgentHarness(runtime, agent).run(script)
    assert harness.connection.commands == [HangUp()]
    assert read[: mailbox.MAX_QUEUED_NOTIFICATIONS] == [
        STARTED,
        *[KEY] * (mailbox.MAX_QUEUED_NOTIFICATIONS - 1),
    ]
    fault, end = read[mailbox.MAX_QUEUED_NOTIFICATIONS :]
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.OVERFLOW
    assert end == HUNG_UP
    (error,) = harness.errors
    assert str(error) == "the agent does not keep up: 3072 notifications wait for it"


@each_runtime
def test_an_agent_that_only_reads_lets_other_tasks_run(runtime: str) -> None:
    seen: list[bool] = []
    other = list[None]()

    async def agent(call: Call) -> None:
        async def other_task() -> None:
            other.append(None)

        call.start_soon(other_task)
        async for _ in call:
            seen.append(bool(other))

    async def script(harness: AgentHarness) -> None:
        harness.notify(*[KEY] * 10)
        harness.hang_up()

    harness = AgentHarness(runtime, agent)
    harness.run(script)
    assert seen[-1]


def test_only_partial_text_audio_raw_messages_and_faults_are_droppable() -> None:
    assert all(map(is_droppable, DROPPABLE))
    assert not any(map(is_droppable, [*NOT_DROPPABLE, STARTED, HUNG_UP]))


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 700), st.booleans()), max_size=6))
def test_the_mailbox_keeps_order_count_and_limit(
    bursts: list[tuple[int, bool]],
) -> None:
    events: list[CallEvent] = []
    for size, droppable in bursts:
        numbers = range(len(events), len(events) + size)
        events += [
            Fault(None, FaultKind.NOT_JSON, str(n)) if droppable else ItemDeleted(str(n))
            for n in numbers
        ]
    overflows = list[None]()
    box = Mailbox(lambda: overflows.append(None))
    for event in events:
        box.put(event)
    box.close(HUNG_UP)
    box.put(KEY)  # ignored after close

    async def read() -> list[CallEvent]:
        return [event async for event in box]

    *kept, last = asyncio.run(read())
    faults = [e for e in kept if isinstance(e, Fault) and e.kind is FaultKind.OVERFLOW]
    assert last == HUNG_UP
    assert len(faults) == len(overflows) <= 1
    passed = [event for event in kept if event not in faults]
    assert len(passed) <= mailbox.MAX_QUEUED_NOTIFICATIONS
    assert len(passed) + box.dropped_count == len(events)
    unique = set(passed)
    assert passed == [event for event in events if event in unique]
    if not overflows:
        required = [event for event in events if not is_droppable(event)]
        assert [event for event in passed if not is_droppable(event)] == required


# An agent that fails


@each_runtime
def test_an_exception_of_an_agent_ends_only_its_call(runtime: str) -> None:
    ended: list[CallEnded | None] = []

    async def agent(call: Call) -> None:
        async for event in call:
            if event == KEY:
                raise BugError(SECRET)
        ended.append(call.ended)

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY, number=0)
        await run_ready_tasks()
        harness.notify(ItemDeleted("i"), number=1)
        harness.hang_up(number=1)

    harness = AgentHarness(runtime, agent).run(script, calls=2)
    assert harness.connections[0].commands == [HangUp()]
    assert harness.connections[1].commands == []
    assert ended == [CALLER_HUNG_UP]
    (error,) = harness.errors
    assert isinstance(error, ApplicationError)
    assert str(error).startswith("the agent raised BugError at test_call.py:")
    assert SECRET not in "".join(traceback.format_exception_only(error))
    assert isinstance(error.__cause__, BugError)


@each_runtime
def test_an_exception_group_of_one_is_reported_as_that_one(runtime: str) -> None:
    async def agent(call: Call) -> None:
        async with anyio.create_task_group():
            raise BugError(call)

    harness = AgentHarness(runtime, agent).run(nothing)
    (error,) = harness.errors
    assert str(error).startswith("the agent raised BugError at test_call.py:")


@each_runtime
@pytest.mark.parametrize("where", ["watcher", "task"])
def test_an_exception_of_a_watcher_or_task_ends_the_call(runtime: str, where: str) -> None:
    read: list[CallEvent] = []

    def watch(event: CallEvent) -> None:
        if event == KEY:
            raise BugError(SECRET)

    async def task(key_pressed: anyio.Event) -> None:
        await key_pressed.wait()
        raise BugError(SECRET)

    async def agent(call: Call) -> None:
        if where == "watcher":
            call.watch(watch)
        key_pressed = anyio.Event()
        call.start_soon(task, key_pressed)
        async for event in call:
            read.append(event)
            if event == KEY and where == "task":
                key_pressed.set()

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY)

    harness = AgentHarness(runtime, agent).run(script)
    (fault,) = (each for each in read if isinstance(each, Fault))
    assert (fault.peer, fault.kind) == (None, FaultKind.APPLICATION)
    assert SECRET not in fault.message
    assert [each for each in read if each != fault] == [STARTED, KEY, HUNG_UP]
    (error,) = harness.errors
    assert str(error).startswith(f"a {where} of the call raised BugError at test_call.py:")


@each_runtime
def test_several_failures_are_reported_together_in_order(runtime: str) -> None:
    """S66: the call is hung up at the first."""

    async def task() -> None:
        raise BugError("first")

    async def agent(call: Call) -> None:
        call.start_soon(task)
        await read_all(call, [])
        raise BugError("second")

    harness = AgentHarness(runtime, agent).run(nothing)
    assert harness.connection.commands == [HangUp()]
    assert [str(each.__cause__) for each in several(harness)] == ["first", "second"]


@each_runtime
def test_a_repeated_failure_is_reported_a_few_times(runtime: str) -> None:
    def watch(event: CallEvent) -> None:
        raise BugError(event)

    async def agent(call: Call) -> None:
        call.watch(watch)

    async def script(harness: AgentHarness) -> None:
        harness.notify(*[KEY] * 100)

    harness = AgentHarness(runtime, agent).run(script)
    assert len(several(harness)) == MAX_REPORTED_FAILURES


def several(harness: AgentHarness) -> list[Exception]:
    """The failures that were reported together."""
    (group,) = harness.errors
    assert isinstance(group, ExceptionGroup)
    return list(cast("ExceptionGroup[Exception]", group).exceptions)


# The end of an agent


@each_runtime
def test_a_call_continues_after_its_agent_has_returned(runtime: str) -> None:
    watched: list[CallEvent] = []
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await anyio.sleep(1)
            ticks.append(anyio.current_time())

    async def agent(call: Call) -> None:
        call.watch(watched.append)
        call.start_soon(tick)

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        harness.notify(*[KEY] * (2 * mailbox.MAX_QUEUED_NOTIFICATIONS))  # no reader is needed
        await anyio.sleep(3.5)
        harness.hang_up()

    harness = AgentHarness(runtime, agent).run(script)
    assert watched == [*[KEY] * (2 * mailbox.MAX_QUEUED_NOTIFICATIONS), CALLER_HUNG_UP]
    assert ticks == [1, 2, 3]
    assert harness.connection.commands == []
    assert harness.errors == []


@each_runtime
def test_at_the_end_tasks_are_cancelled_and_agents_have_grace(runtime: str) -> None:
    """S71: tasks of the call are cancelled, and their ends awaited."""
    done: list[tuple[str, float]] = []

    async def task() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            done.append(("task", anyio.current_time()))

    async def agent(call: Call) -> None:
        call.start_soon(task)
        await read_all(call, [])
        await anyio.sleep(GRACE_MS / 1000 - 1)
        call.start_soon(task)  # too late
        done.append(("agent", anyio.current_time()))

    async def script(harness: AgentHarness) -> None:
        await anyio.sleep(1)
        harness.hang_up()

    harness = AgentHarness(runtime, agent).run(script)
    assert done == [("task", 1), ("agent", GRACE_MS / 1000)]
    assert harness.errors == []


@each_runtime
def test_an_agent_is_cancelled_and_reported_after_its_grace_period(runtime: str) -> None:
    cancelled: list[float] = []

    async def agent(call: Call) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(anyio.current_time())

    async def script(harness: AgentHarness) -> None:
        await anyio.sleep(1)
        harness.hang_up()

    harness = AgentHarness(runtime, agent, {"grace_ms": 2500}).run(script)
    assert cancelled == [3.5]
    (error,) = harness.errors
    assert str(error) == "the agent still ran 2.5 s after its call had ended"


@each_runtime
def test_cancelling_ends_the_agent_immediately(runtime: str) -> None:
    """S52: ending the service does not wait for agents."""
    log: list[str] = []

    async def agent(call: Call) -> None:
        try:
            await read_all(call, [])
        finally:
            call.send(HangUp())  # has no effect any more
            log.append("cancelled")

    harness = AgentHarness(runtime, agent)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(harness.run_call)
            await run_ready_tasks()
            tasks.cancel_scope.cancel()

    run_in_virtual_time(runtime, main)
    assert log == ["cancelled"]
    assert harness.errors == []


@each_runtime
def test_an_exception_of_the_machine_ends_iteration_and_is_raised(runtime: str) -> None:
    read: list[CallEvent] = []

    async def agent(call: Call) -> None:
        await read_all(call, read)
        assert call.ended is None
        call.send(Mute())

    async def script(harness: AgentHarness) -> None:
        harness.send_bytes(b"oh")

    harness = AgentHarness(runtime, agent).run(script)
    assert read == [STARTED]
    assert harness.connection.commands == []
    (error,) = harness.errors
    assert isinstance(error, ValueError)
    assert str(error) == "oh"


@each_runtime
def test_an_agent_runs_even_if_its_call_has_already_ended(runtime: str) -> None:
    read: list[CallEvent] = []

    async def agent(call: Call) -> None:
        await read_all(call, read)

    harness = AgentHarness(runtime, agent)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            call = Call(STARTED, ignore)
            call.notify(STARTED)
            call.notify(CALLER_HUNG_UP)
            tasks.start_soon(call.run, agent)

    run_in_virtual_time(harness.runtime, main)
    assert read == [STARTED, CALLER_HUNG_UP]


# Handlers


@each_runtime
def test_handlers_are_called_by_kind_in_order_and_awaited(runtime: str) -> None:
    log: list[object] = []
    handlers = Handlers()

    @handlers.on(KeyPressed)
    async def slow(call: Call, event: KeyPressed) -> None:
        await anyio.sleep(1)
        log.append(("slow", event.digit, anyio.current_time()))

    @handlers.on(KeyPressed)
    def quick(call: Call, event: KeyPressed) -> None:
        log.append(("quick", event.digit, anyio.current_time()))
        if event.digit == "7":
            call.send(HangUp())

    @handlers.on(CallEnded)
    def ended(call: Call, event: CallEnded) -> int:
        log.append((call.started.call_sid, event.reason))
        return len(log)  # it is not used

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY, ItemDeleted("i"), KeyPressed("7"))

    harness = AgentHarness(runtime, handlers).run(script)
    assert log == [
        ("slow", "5", 1),
        ("quick", "5", 1),
        ("slow", "7", 2),
        ("quick", "7", 2),
        ("CA1", EndReason.HUNG_UP),
    ]
    assert harness.errors == []
    assert quick.__name__ == "quick"


@each_runtime
def test_a_handler_can_be_removed(runtime: str) -> None:
    log: list[str] = []
    handlers = Handlers()

    def once(call: Call, event: KeyPressed) -> None:
        log.append(event.digit)
        handlers.off(KeyPressed, once)

    handlers.on(KeyPressed)(once)
    handlers.on(KeyPressed)(lambda call, event: log.append(f"other {event.digit}"))

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY, KeyPressed("7"))
        harness.hang_up()

    assert AgentHarness(runtime, handlers).run(script).errors == []
    assert log == ["5", "other 5", "other 7"]
    with pytest.raises(LocalProtocolError, match="not registered for KeyPressed"):
        handlers.off(KeyPressed, once)


def test_handlers_are_functions_for_classes_of_notifications() -> None:
    handlers: Any = Handlers()
    with pytest.raises(LocalProtocolError, match="kind must be a class of notifications, not str"):
        handlers.on("x")
    with pytest.raises(LocalProtocolError, match="kind must be a class of notifications, not int"):
        handlers.off(5, print)
    with pytest.raises(LocalProtocolError, match="handler must be callable, not int"):
        handlers.on(KeyPressed)(5)


@each_runtime
def test_a_call_says_whether_it_is_connected_to_the_model(runtime: str) -> None:
    seen: list[ConnectionStatus] = []

    async def agent(call: Call) -> None:
        seen.append(call.connection_status)
        async for event in call:
            if isinstance(event, SessionReady | CallEnded):
                seen.append(call.connection_status)

    async def script(harness: AgentHarness) -> None:
        harness.notify(SessionReady({}))
        await run_ready_tasks()
        harness.hang_up()

    AgentHarness(runtime, agent).run(script)
    assert seen == [
        ConnectionStatus.CONNECTING,
        ConnectionStatus.CONNECTED,
        ConnectionStatus.DISCONNECTED,
    ]


@each_runtime
def test_a_call_whose_model_is_given_up_is_disconnected(runtime: str) -> None:
    seen: list[ConnectionStatus] = []

    async def agent(call: Call) -> None:
        async for event in call:
            if isinstance(event, SessionReady | SessionLost):
                seen.append(call.connection_status)

    async def script(harness: AgentHarness) -> None:
        for attempt in (1, None):
            harness.notify(SessionReady({}))
            await run_ready_tasks()
            harness.notify(SessionLost(EndReason.REALTIME_LOST, "", attempt, None))
            await run_ready_tasks()
        harness.hang_up()

    AgentHarness(runtime, agent).run(script)
    assert seen == [
        ConnectionStatus.CONNECTED,
        ConnectionStatus.CONNECTING,
        ConnectionStatus.CONNECTED,
        ConnectionStatus.DISCONNECTED,
    ]


@each_runtime
def test_an_exception_of_a_handler_ends_the_call(runtime: str) -> None:
    """S52: the call is ended in order all the same."""
    handlers = Handlers()

    @handlers.on(KeyPressed)
    def broken(call: Call, event: KeyPressed) -> None:
        raise BugError(SECRET)

    async def script(harness: AgentHarness) -> None:
        harness.notify(KEY)

    harness = AgentHarness(runtime, handlers).run(script)
    assert harness.connection.commands == [HangUp()]
    (error,) = harness.errors
    assert str(error).startswith("the agent raised BugError at test_call.py:")


@each_runtime
def test_an_agent_sees_conversation_items_and_playback_positions(runtime: str) -> None:
    seen: list[object] = []

    async def agent(call: Call) -> None:
        seen.extend([*call.items, *call.playback_positions])

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        harness.hang_up()

    AgentHarness(runtime, agent).run(script)
    assert seen == [
        Message("i", Role.USER),
        PlaybackPosition(PartKey(1, "r", "i", 0), 0, 80, 160, is_complete=False),
    ]


# Failures of the application and other exceptions


def test_awaiting_a_cancelled_task_is_a_failure_of_the_agent() -> None:
    async def wait() -> None:
        task = asyncio.create_task(asyncio.sleep(10))
        task.cancel()
        await task

    async def agent(call: Call) -> None:
        call.start_soon(wait)
        await run_ready_tasks()
        await wait()

    harness = AgentHarness("asyncio", agent).run(nothing)
    assert harness.connection.commands == [HangUp()]
    (several,) = harness.errors
    assert isinstance(several, ExceptionGroup)
    texts = [str(each) for each in cast(ExceptionGroup[Exception], several).exceptions]
    assert ["raised CancelledError" in each for each in texts] == [True, True]


@each_runtime
def test_the_grace_period_does_not_wait_for_slow_tasks(runtime: str) -> None:
    ran: list[float] = []

    async def slow() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(30)

    async def agent(call: Call) -> None:
        call.start_soon(slow)
        async for _ in call:
            pass
        started = anyio.current_time()
        try:
            await anyio.sleep(100)
        finally:
            ran.append(anyio.current_time() - started)

    async def script(harness: AgentHarness) -> None:
        await anyio.sleep(1)
        harness.hang_up()

    AgentHarness(runtime, agent).run(script)
    assert ran == [pytest.approx(GRACE_MS / 1000)]


@each_runtime
def test_watchers_get_a_fault_when_the_agent_fails(runtime: str) -> None:
    seen: list[CallEvent] = []

    def fail(event: CallEvent) -> None:
        raise BugError

    async def agent(call: Call) -> None:
        call.watch(seen.append)
        call.watch(fail)
        raise BugError

    harness = AgentHarness(runtime, agent).run(nothing)
    fault = seen[0]
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.APPLICATION
    assert "the agent raised BugError at test_call.py" in fault.message
    assert len(harness.errors) == 1


@each_runtime
def test_a_failure_names_the_line_of_the_application_code(runtime: str) -> None:
    async def agent(call: Call) -> None:
        json.loads("{")

    harness = AgentHarness(runtime, agent).run(nothing)
    (error,) = harness.errors
    assert "JSONDecodeError at test_call.py:" in str(error)
