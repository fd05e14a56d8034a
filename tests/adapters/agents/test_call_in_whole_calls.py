"""Agents in whole calls: phone, service and model, over streams in memory, and over sockets for the
programs of the page."""

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
from driving import LONG_SCRIPT, RUNTIMES, ignore, listening, redirected, run_virtual
from driving import Call as Parties
from twilio_realtime.agents.call import Agent, Call
from twilio_realtime.agents.call_acceptor import answering
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.server.service import Service, ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime_core import CallConfig, Fault, HangUp
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallStarted,
    EndReason,
    Interrupted,
    Notification,
    ResponseStarted,
    SessionReady,
)

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


async def read_all(call: Call, into: list[Notification]) -> None:
    async for event in call:
        into.append(event)


async def call_in_memory(
    api: Any, parties: Parties, agent: Agent, errors: list[Exception], stray: list[object]
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
        accept = answering(service, agent, driver, on_stray=stray.append)
        await api.drive(parties.phone_machine(), notify=ignore, dial=dial_service)


@each_runtime
def test_a_whole_call_of_a_service_has_an_agent(runtime: str) -> None:
    parties, read = Parties(LONG_SCRIPT), list[Notification]()
    errors, stray = list[Exception](), list[object]()

    async def agent(call: Call) -> None:
        assert call.started.call_sid == parties.phone.call_sid
        await read_all(call, read)

    run_virtual(runtime, lambda: call_in_memory(RUNTIMES[runtime], parties, agent, errors, stray))
    assert isinstance(read[0], CallStarted)
    assert any(isinstance(event, Interrupted) for event in read)
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.CALLER_HUNG_UP
    assert [event for event in read if isinstance(event, Fault)] == []
    assert parties.model.sent_errors == []
    assert (errors, stray) == ([], [])


@each_runtime
def test_an_agent_that_takes_long_delays_no_audio(runtime: str) -> None:
    """What the caller hears is the same to the sample, whether the agent is slow or not."""

    async def sleepy(call: Call) -> None:
        async for _ in call:
            await anyio.sleep(2)

    async def quick(call: Call) -> None:
        await read_all(call, [])

    heard: list[object] = []
    for agent in (sleepy, quick):
        parties = Parties(LONG_SCRIPT)
        parties.phone.record_audio = True
        call = partial(call_in_memory, RUNTIMES[runtime], parties, agent, [], [])
        run_virtual(runtime, call)
        heard.append((parties.phone.clears, parties.phone.recorded_audio(60 * SECOND)))
    assert heard[0] == heard[1]


@each_runtime
def test_an_agent_can_hang_up(runtime: str) -> None:
    parties, read = Parties(), list[Notification]()
    errors = list[Exception]()

    async def agent(call: Call) -> None:
        async for event in call:
            read.append(event)
            if isinstance(event, ResponseStarted):
                call.send(HangUp())

    call = partial(call_in_memory, RUNTIMES[runtime], parties, agent, errors, [])
    run_virtual(runtime, call)
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.HUNG_UP
    assert errors == []


@each_runtime
def test_when_the_model_is_lost_the_agent_is_told_at_once(runtime: str) -> None:
    """S89."""
    read: list[Notification] = []
    parties = Parties(LONG_SCRIPT)
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

            config = ServiceConfig(call=CallConfig(url="ws://model/v1/realtime"))
            driver = partial(api.Driver, dial=dial_model)
            accepted, peer = answering(Service(config), agent, driver)()
            near, far = api.memory_pair()
            tasks.start_soon(accepted.run, {peer: far})

            async def dial_service(host: str, port: int) -> Any:
                return near

            await api.drive(parties.phone_machine(), notify=ignore, dial=dial_service)

    lost_at: list[float] = []
    run_virtual(runtime, main)
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.REALTIME_LOST
    assert lost_at[1] - lost_at[0] < 0.1


@each_runtime
def test_what_is_no_call_has_no_agent_and_its_faults_are_told_elsewhere(runtime: str) -> None:
    api = RUNTIMES[runtime]
    calls, stray = list[Call](), list[object]()

    async def agent(call: Call) -> None:
        calls.append(call)

    async def request(sent: bytes) -> None:
        near, far = api.memory_pair()
        driver, peer = answering(
            Service(ServiceConfig()), agent, api.Driver, on_stray=stray.append
        )()
        near.send(sent)
        near.send_eof()
        await driver.run({peer: far})

    run_virtual(runtime, partial(request, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert stray == []
    run_virtual(runtime, partial(request, b"\x00\xff\r\n\r\n"))
    assert [type(event) for event in stray] == [Fault]
    assert calls == []


# The programs of the page


async def phone_call(api: Any, main: Callable[..., Coroutine[Any, Any, None]]) -> list[Any]:
    """Run a program, and call it; what it has told."""
    parties, told = Parties(), list[Any]()
    listens = anyio.Event()

    def tell(what: object) -> None:
        told.append(what)
        listens.set()

    async with (
        listening(api, lambda: (api.Driver(parties.model_machine(), ignore), CLIENT)) as model,
        anyio.create_task_group() as tasks,
    ):
        config = ServiceConfig(call=CallConfig(url=f"ws://127.0.0.1:{model[0][1]}/v1/realtime"))
        tasks.start_soon(main, config, 0, tell)
        await listens.wait()
        ((address,),) = told
        dial = redirected(api, address)
        await api.drive(parties.phone_machine(), notify=ignore, dial=dial)
        tasks.cancel_scope.cancel()
    assert parties.model.sent_errors == []
    assert parties.phone.warnings == []
    return told


def test_the_program_for_trio_answers_calls() -> None:
    assert len(trio.run(phone_call, twilio_realtime.trio, agent_on_trio.main)) == 1


def test_the_program_for_asyncio_answers_calls() -> None:
    call = phone_call(twilio_realtime.asyncio, agent_on_asyncio.main)
    assert len(asyncio.run(call)) == 1


def test_the_page_shows_the_programs_that_are_tested() -> None:
    page = Path("docs/application.md").read_text()
    for example in ("agent_on_trio", "agent_on_asyncio"):
        assert Path(f"docs/examples/{example}.py").read_text().strip() in page
