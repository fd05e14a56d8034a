"""Loops with virtual time: the order of tasks that are ready at one instant."""

import asyncio
import sys
import threading
from importlib import import_module
from time import sleep

import anyio
import pytest

from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime.testing.virtual_time import RUNTIMES

SCHEDULER = import_module("trio._core._run")


def race(runtime: str, seed: int) -> str:
    """The order in which two tasks run at ten instants."""
    order: list[str] = []

    async def run(name: str) -> None:
        for _ in range(10):
            await anyio.sleep(0.5)
            order.append(name)

    async def script(call: PhoneCall) -> None:
        async with anyio.create_task_group() as tasks:
            for name in "ab":
                tasks.start_soon(run, name)
            await call.say("Hello")

    PhoneCall(runtime=runtime, seed=seed).run(script)
    return "".join(order)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_same_test_runs_tasks_in_the_same_order(runtime: str) -> None:
    assert len({race(runtime, 0) for _ in range(10)}) == 1


def test_the_seed_decides_the_order_of_tasks_on_trio() -> None:
    assert len({race("trio", seed) for seed in range(5)}) > 1


def test_other_loops_of_trio_are_not_affected() -> None:
    before = dict(vars(SCHEDULER))
    race("trio", 0)
    assert vars(SCHEDULER) == before


@pytest.mark.parametrize("name", ["_ALLOW_DETERMINISTIC_SCHEDULING", "_r"])
def test_a_trio_without_a_private_name_still_runs_tests(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SCHEDULER, name)
    assert sorted(race("trio", 0)) == sorted(10 * "ab")
    assert not hasattr(SCHEDULER, name)


def test_a_trio_without_its_private_module_still_runs_tests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, SCHEDULER.__name__)
    assert sorted(race("trio", 0)) == sorted(10 * "ab")


def test_threads_left_running_are_joined_at_the_end() -> None:
    async def story(call: PhoneCall) -> None:
        await call.say("Hello")
        asyncio.get_running_loop().run_in_executor(None, sleep, 0.1).cancel()

    before = threading.active_count()
    PhoneCall(runtime="asyncio").run(story)
    assert threading.active_count() == before
