"""Agents in whole calls: phone, service and model, over streams in memory; and over sockets for the
programs of the documentation."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

import agent_on_asyncio
import agent_on_trio
import twilio_realtime.asyncio
import twilio_realtime.trio
from driving import (
    LONG_SCRIPT,
    RUNTIMES,
    CallParties,
    dial_to,
    ignore,
    listening,
    run_in_virtual_time,
)
from twilio_realtime.agents.call import Call, CallHandler
from twilio_realtime.agents.call_acceptor import call_acceptor
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.phone_events import CallEvent
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime_core import CallConfig, Fault, HangUp
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallStarted,
    EndReason,
    Interrupted,
    ResponseStarted,
    SessionReady,
)
from twilio_realtime_core.transport.http import RequestRefused

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


async def read_all(call: Call, into: list[CallEvent]) -> None:
    async for event in call:
        into.append(event)


async def run_call(
    api: Any,
    parties: CallParties,
    agent: CallHandler,
    errors: list[Exception],
    unhandled: list[object],
) -> None:
    """Phone, service and model, over byte streams in memory."""
    service = Service(ServiceConfig(call=CallConfig(url="ws://model/v1/realtime")))
    async with anyio.create_task_group() as tasks:

        async def dial_model(host: str, port: int) -> Any:
            near, far = api.memory_pair()
            tasks.start_soon(api.Driver(parties.model_machine(), ignore).run, {CLIENT: far})
            return near

        async def serve(far: Any) -> None:
            driver, peer = accept()
            try:
                await driver.run({peer: far})
            except ApplicationError as error:
                errors.append(error)

        async def dial_service(host: str, port: int) -> Any:
            near, far = api.memory_pair()
            tasks.start_soon(serve, far)
            return near

        driver = partial(api.Driver, dial=dial_model)
        accept = call_acceptor(service, agent, driver, on_unhandled=unhandled.append)
        await api.drive(parties.phone_machine(), notify=ignore, dial=dial_service)


@each_runtime
def test_a_whole_call_of_a_service_runs_an_agent(runtime: str) -> None:
    parties, read = CallParties(LONG_SCRIPT), list[CallEvent]()
    errors, unhandled = list[Exception](), list[object]()

    async def agent(call: Call) -> None:
        assert call.started.call_sid == parties.phone.call_sid
        await read_all(call, read)

    run_in_virtual_time(
        runtime, lambda: run_call(RUNTIMES[runtime], parties, agent, errors, unhandled)
    )
    assert isinstance(read[0], CallStarted)
    assert any(isinstance(event, Interrupted) for event in read)
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.CALLER_HUNG_UP
    assert [event for event in read if isinstance(event, Fault)] == []
    assert parties.model.sent_errors == []
    assert (errors, unhandled) == ([], [])


@each_runtime
def test_a_slow_agent_delays_no_audio(runtime: str) -> None:
    """The caller hears the same to the sample, whether the agent is slow or not."""

    async def sleepy(call: Call) -> None:
        async for _ in call:
            await anyio.sleep(2)

    async def quick(call: Call) -> None:
        await read_all(call, [])

    heard: list[object] = []
    for agent in (sleepy, quick):
        parties = CallParties(LONG_SCRIPT)
        parties.phone.record_audio = True
        call = partial(run_call, RUNTIMES[runtime], parties, agent, [], [])
        run_in_virtual_time(runtime, call)
        heard.append((parties.phone.clears, parties.phone.recorded_audio(60 * SECOND)))
    assert heard[0] == heard[1]


@each_runtime
def test_an_agent_can_hang_up(runtime: str) -> None:
    parties, read = CallParties(), list[CallEvent]()
    errors = list[Exception]()

    async def agent(call: Call) -> None:
        async for event in call:
            read.append(event)
            if isinstance(event, ResponseStarted):
                call.send(HangUp())

    call = partial(run_call, RUNTIMES[runtime], parties, agent, errors, [])
    run_in_virtual_time(runtime, call)
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.HUNG_UP
    assert errors == []


@each_runtime
def test_losing_the_model_ends_the_call_of_the_agent_immediately(runtime: str) -> None:
    """S89."""
    read: list[CallEvent] = []
    parties = CallParties(LONG_SCRIPT)
    api = RUNTIMES[runtime]
    ends: list[Any] = []

    async def agent(call: Call) -> None:
        async for event in call:
            read.append(event)
            if isinstance(event, SessionReady):
                lost_at.append(anyio.current_time())
                ends[0].abort()
        lost_at.append(anyio.current_time())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:

            async def dial_model(host: str, port: int) -> Any:
                near, far = api.memory_pair()
                ends.append(far)
                tasks.start_soon(api.Driver(parties.model_machine(), ignore).run, {CLIENT: far})
                return near

            config = ServiceConfig(call=CallConfig(url="ws://model/v1/realtime", reconnect=None))
            driver = partial(api.Driver, dial=dial_model)
            accepted, peer = call_acceptor(Service(config), agent, driver)()
            near, far = api.memory_pair()
            tasks.start_soon(accepted.run, {peer: far})

            async def dial_service(host: str, port: int) -> Any:
                return near

            await api.drive(parties.phone_machine(), notify=ignore, dial=dial_service)

    lost_at: list[float] = []
    run_in_virtual_time(runtime, main)
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.REALTIME_LOST
    assert lost_at[1] - lost_at[0] < 0.1


@each_runtime
def test_connections_without_a_call_run_no_agent_and_report_faults(runtime: str) -> None:
    api = RUNTIMES[runtime]
    calls, unhandled = list[Call](), list[object]()

    async def agent(call: Call) -> None:
        calls.append(call)

    async def request(sent: bytes) -> None:
        near, far = api.memory_pair()
        driver, peer = call_acceptor(
            Service(ServiceConfig()), agent, api.Driver, on_unhandled=unhandled.append
        )()
        near.send(sent)
        near.send_eof()
        await driver.run({peer: far})

    run_in_virtual_time(
        runtime, partial(request, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    )
    assert unhandled == []
    run_in_virtual_time(runtime, partial(request, b"\x00\xff\r\n\r\n"))
    assert [type(event) for event in unhandled] == [RequestRefused, Fault]
    assert calls == []


# The programs of the documentation


async def phone_call(api: Any, main: Callable[..., Coroutine[Any, Any, None]]) -> list[Any]:
    """Run a program and call it; return what it reported."""
    parties, reported = CallParties(), list[Any]()
    first_report = anyio.Event()

    def report(event: object) -> None:
        reported.append(event)
        first_report.set()

    async with (
        listening(api, lambda: (api.Driver(parties.model_machine(), ignore), CLIENT)) as model,
        anyio.create_task_group() as tasks,
    ):
        config = ServiceConfig(call=CallConfig(url=f"ws://127.0.0.1:{model[0][1]}/v1/realtime"))
        tasks.start_soon(main, config, 0, report)
        await first_report.wait()
        ((address,),) = reported
        dial = dial_to(api, address)
        await api.drive(parties.phone_machine(), notify=ignore, dial=dial)
        tasks.cancel_scope.cancel()
    assert parties.model.sent_errors == []
    assert parties.phone.warnings == []
    return reported


def test_the_example_for_trio_answers_calls() -> None:
    assert len(trio.run(phone_call, twilio_realtime.trio, agent_on_trio.main)) == 1


def test_the_example_for_asyncio_answers_calls() -> None:
    call = phone_call(twilio_realtime.asyncio, agent_on_asyncio.main)
    assert len(asyncio.run(call)) == 1


def test_the_documentation_shows_the_tested_examples() -> None:
    page = Path("docs/reference/agents.md").read_text()
    for example in ("agent_on_trio", "agent_on_asyncio"):
        assert Path(f"docs/examples/{example}.py").read_text().strip() in page
