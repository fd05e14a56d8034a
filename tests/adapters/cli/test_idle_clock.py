"""A clock that advances only while its loop is idle."""

import socket
import threading
from time import sleep

import anyio
import pytest

from command_line import RUNTIMES
from twilio_realtime.cli.idle_clock import idle_clock_options

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


@each_runtime
def test_work_takes_no_time_and_sleep_all_of_it(runtime: str) -> None:
    times_s: list[float] = []

    async def main() -> None:
        for _ in range(3):
            times_s.append(anyio.current_time())
            sleep(0.2)
            times_s.append(anyio.current_time())
            await anyio.sleep(0.05)

    anyio.run(main, backend=runtime, backend_options=idle_clock_options(runtime))
    assert times_s == pytest.approx([0, 0, 0.05, 0.05, 0.1, 0.1])


@each_runtime
def test_timers_are_due_in_order_after_a_long_pause(runtime: str) -> None:
    order: list[int] = []

    async def note(number: int) -> None:
        await anyio.sleep(number / 100)
        order.append(number)
        if number == 1:
            sleep(0.2)  # longer than all others wait

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in (5, 4, 3, 2, 1):
                tasks.start_soon(note, number)

    anyio.run(main, backend=runtime, backend_options=idle_clock_options(runtime))
    assert order == [1, 2, 3, 4, 5]


@each_runtime
def test_time_passes_while_a_socket_has_nothing(runtime: str) -> None:
    waited_s: list[float] = []

    async def main() -> None:
        near, far = socket.socketpair()
        with near, far:
            threading.Timer(0.1, far.send, [b"x"]).start()
            began_s = anyio.current_time()
            with anyio.fail_after(600):
                await anyio.wait_readable(near)
            waited_s.append(anyio.current_time() - began_s)

    anyio.run(main, backend=runtime, backend_options=idle_clock_options(runtime))
    assert waited_s[0] > 0.09
