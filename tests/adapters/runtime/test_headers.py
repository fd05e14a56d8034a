"""Headers that a function of the application returns, on both drivers."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest
from attrs import define, field

from driving import (
    RUNTIMES,
    MachineInput,
    RecordingMachine,
    ignore,
    run_in_real_time,
    run_in_virtual_time,
)
from timeouts import HANG_S
from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.machine.actions import ByteAction, Connect, Shutdown
from twilio_realtime_core.machine.units import SECOND

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)
A = "a"


class NoTokenError(Exception):
    """No token could be had."""


@define(eq=False)
class HeadersMachine(RecordingMachine):
    """A machine that dials once, with headers of a function, and shuts down what fails."""

    source: Callable[[], Any] = dict
    dialled: list[str] = field(init=False, factory=list[str])

    def __attrs_post_init__(self) -> None:
        self.respond = self._dial_or_stop

    def headers_resolved(self, peer: Any, headers: object, now: int) -> list[ByteAction]:
        return self._record(now, "headers", peer, headers)

    def _dial_or_stop(
        self, machine: RecordingMachine, event: MachineInput
    ) -> list[ByteAction] | None:
        match event:
            case ("start",):
                return [Connect(A, "host", 1, tls=False, headers=self.source)]
            case ("timeout",) | ("connected", _) | ("headers", _, None):
                return [Shutdown(A)]
            case _:
                return []

    def drive(self, runtime: str) -> Awaitable[None]:
        """Run until it stops; what it dials closes at once."""
        api = RUNTIMES[runtime]

        async def dial(host: str, port: int) -> Any:
            self.dialled.append(f"{host}:{port}")
            near, far = api.memory_pair()
            near.close()
            return far

        drive: Awaitable[None] = api.drive(self, notify=ignore, dial=dial)
        return drive


async def async_headers() -> dict[str, str]:
    await anyio.sleep(0)
    return {"A": "b"}


class AsyncCall:
    """An object that is called, and returns an awaitable."""

    def __call__(self) -> Awaitable[dict[str, str]]:
        return async_headers()


@each_runtime
@pytest.mark.parametrize(
    "source", [lambda: {"A": "b"}, async_headers, AsyncCall(), partial(async_headers)]
)
def test_headers_are_resolved_before_the_stream_is_opened(
    runtime: str, source: Callable[[], Any]
) -> None:
    machine = HeadersMachine(source=source)
    run_in_real_time(runtime, lambda: machine.drive(runtime))
    assert machine.inputs[:3] == [("start",), ("headers", A, {"A": "b"}), ("connected", A)]
    assert machine.dialled == ["host:1"]


@each_runtime
def test_a_function_that_is_not_async_may_block(runtime: str) -> None:
    """It runs in another thread, so that the event loop goes on."""
    called, released = threading.Event(), threading.Event()

    def source() -> dict[str, str]:
        called.set()
        assert released.wait(HANG_S)
        return {}

    async def release() -> None:
        while not called.is_set():
            await anyio.sleep(0.001)
        released.set()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(release)
            await machine.drive(runtime)

    machine = HeadersMachine(source=source)
    run_in_real_time(runtime, main)
    assert machine.dialled == ["host:1"]


def fail() -> Any:
    raise NoTokenError("secret")


async def fail_later() -> Any:
    await anyio.sleep(0)
    fail()


def exit_() -> Any:
    raise SystemExit(3)


def misuse() -> Any:
    raise LocalProtocolError("the key must be text")


@each_runtime
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (fail, "the function of the headers has raised NoTokenError"),
        (fail_later, "the function of the headers has raised NoTokenError"),
        (exit_, "the function of the headers has raised RuntimeError"),
        (misuse, "the key must be text"),
    ],
)
def test_a_function_that_fails_is_a_connection_that_fails(
    runtime: str, source: Callable[[], Any], reason: str
) -> None:
    machine = HeadersMachine(source=source)
    run_in_real_time(runtime, lambda: machine.drive(runtime))
    assert machine.inputs == [("start",), ("failed", A, reason)]
    assert machine.dialled == []


@each_runtime
def test_headers_that_the_machine_refuses_open_nothing(runtime: str) -> None:
    machine = HeadersMachine(source=lambda: None)
    run_in_real_time(runtime, lambda: machine.drive(runtime))
    assert machine.inputs == [("start",), ("headers", A, None)]
    assert machine.dialled == []


@each_runtime
def test_a_shutdown_does_not_wait_for_an_async_function(runtime: str) -> None:
    cancelled: list[bool] = []

    async def source() -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    machine = HeadersMachine(source=source, deadline=10 * SECOND)
    run_in_virtual_time(runtime, lambda: machine.drive(runtime))
    assert machine.inputs == [("start",), ("timeout",)]
    assert cancelled == [True]


@each_runtime
@pytest.mark.parametrize("make", [dict, async_headers, fail])
def test_a_shutdown_does_not_wait_for_a_thread(runtime: str, make: Callable[[], Any]) -> None:
    """What the function returns later is discarded, a coroutine too."""
    released, returned = threading.Event(), threading.Event()

    def source() -> Any:
        assert released.wait(HANG_S)
        threading.Timer(0.01, returned.set).start()
        return make()

    machine = HeadersMachine(source=source)

    async def main() -> None:
        api = RUNTIMES[runtime]
        driver = api.Driver(machine, ignore)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.run)
            while not machine.inputs:
                await anyio.sleep(0.001)
            driver.perform([Shutdown(A)])
        assert machine.inputs == [("start",)]
        released.set()
        while not returned.is_set():
            await anyio.sleep(0.001)

    run_in_real_time(runtime, main)
    assert machine.inputs == [("start",)]
