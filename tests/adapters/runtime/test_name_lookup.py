"""Look-ups of names: shared, kept briefly, and never in the way of a call."""

import socket
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import anyio
import pytest
from attrs import define, field

from driving import RUNTIMES, run_in_real_time, run_in_virtual_time
from twilio_realtime.runtime.name_lookup import (
    FRESH_S,
    MAX_NAMES,
    PATIENCE_S,
    STALE_S,
    Addresses,
    NameLookup,
    NameLookups,
)

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

FAILURE = socket.gaierror(socket.EAI_AGAIN, "temporary failure")


def address(host: str) -> Addresses:
    return [(socket.AF_INET, (host, 1))]


FIRST, SECOND = address("192.0.2.1"), address("192.0.2.2")


@define(eq=False)
class Resolver:
    """Look-ups whose jobs run when the test says so."""

    outcomes: list[Addresses | Exception]
    time_s: float = 0.0
    asked: list[str] = field(init=False, factory=list[str])
    jobs: list[Callable[[], None]] = field(init=False, factory=list[Callable[[], None]])
    lookups: NameLookups = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.lookups = NameLookups(
            resolve=self.resolve, run=self.jobs.append, clock=lambda: self.time_s
        )

    def resolve(self, host: str, port: int) -> Addresses:
        self.asked.append(host)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def start(self, host: str = "model.example") -> NameLookup:
        return self.lookups.start(host, 1)

    def finish(self) -> None:
        self.jobs.pop(0)()

    def look_up(self) -> Addresses:
        lookup = self.start()
        self.finish()
        return lookup.addresses()


def test_calls_at_the_same_time_share_a_look_up() -> None:
    resolver, woken = Resolver([FIRST]), list[int]()
    started = [resolver.start() for _ in range(40)]
    for number, lookup in enumerate(started):
        lookup.on_done(lambda number=number: woken.append(number))  # type: ignore[misc]
    assert not any(each.is_done for each in started)
    resolver.finish()
    assert [each.addresses() for each in started] == [FIRST] * 40
    assert woken == list(range(40))
    assert resolver.asked == ["model.example"]


def test_a_result_is_kept_briefly() -> None:
    resolver = Resolver([FIRST, SECOND])
    assert resolver.look_up() == FIRST
    resolver.time_s = FRESH_S - 1
    assert resolver.start().is_done
    resolver.time_s = FRESH_S
    assert resolver.look_up() == SECOND


def test_names_and_ports_are_looked_up_apart() -> None:
    resolver = Resolver([FIRST, SECOND])
    first, second = resolver.start("a.example"), resolver.start("b.example")
    resolver.finish()
    resolver.finish()
    assert (first.addresses(), second.addresses()) == (FIRST, SECOND)


def test_a_failure_is_not_kept() -> None:
    resolver = Resolver([FAILURE, FIRST])
    with pytest.raises(socket.gaierror):
        resolver.look_up()
    assert resolver.look_up() == FIRST


def test_an_older_result_replaces_a_failure_for_an_hour() -> None:
    resolver = Resolver([FIRST, FAILURE, FAILURE])
    resolver.look_up()
    resolver.time_s = STALE_S - 1
    assert resolver.look_up() == FIRST
    resolver.time_s = STALE_S
    with pytest.raises(socket.gaierror):
        resolver.look_up()


def test_names_that_are_kept_are_limited() -> None:
    resolver = Resolver([FIRST] * (MAX_NAMES + 2))
    for number in range(MAX_NAMES + 1):
        resolver.start(f"{number}.example")
        resolver.finish()
    assert resolver.start(f"{MAX_NAMES}.example").is_done
    assert not resolver.start("0.example").is_done


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_in_numbers_is_not_looked_up(host: str) -> None:
    lookup = Resolver([]).start(host)
    assert [each[0] for _, each in lookup.addresses()] == [host]


def test_a_process_without_threads_reports_a_failure() -> None:
    def run(job: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    lookup = NameLookups(run=run).start("model.example", 1)
    with pytest.raises(OSError, match="can't start new thread"):
        lookup.addresses()


@each_runtime
def test_a_slow_look_up_is_not_waited_for_if_there_is_a_result(runtime: str) -> None:
    resolver = Resolver([FIRST])
    resolver.look_up()
    resolver.time_s = FRESH_S

    async def main() -> tuple[Addresses, float]:
        found = await import_module(f"twilio_realtime.{runtime}.transport").look_up(
            "model.example", 1, resolver.lookups
        )
        return found, anyio.current_time()

    found, waited_s = run_in_virtual_time(runtime, main)
    assert found == FIRST
    assert waited_s == pytest.approx(PATIENCE_S)


@each_runtime
def test_forty_calls_wait_for_one_slow_look_up(runtime: str) -> None:
    """Threads of the application, which may be busy, play no part."""
    may_answer, threads = threading.Event(), list[str]()

    def resolve(host: str, port: int) -> Addresses:
        threads.append(threading.current_thread().name)
        assert may_answer.wait(60)
        return FIRST

    lookups = NameLookups(resolve=resolve)
    found: list[Addresses] = []

    async def call() -> None:
        found.append(
            await import_module(f"twilio_realtime.{runtime}.transport").look_up(
                "model.example", 1, lookups
            )
        )

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            may_answer.set()

    run_in_real_time(runtime, main)
    assert found == [FIRST] * 40
    assert len(threads) == 1


@each_runtime
def test_a_call_that_ends_leaves_its_look_up_behind(runtime: str) -> None:
    resolver = Resolver([FIRST])

    async def main() -> None:
        with anyio.move_on_after(1) as scope:
            await import_module(f"twilio_realtime.{runtime}.transport").look_up(
                "model.example", 1, resolver.lookups
            )
        assert scope.cancelled_caught

    run_in_virtual_time(runtime, main)
    resolver.finish()  # its loop is closed
    assert resolver.start().addresses() == FIRST


# The attempts on trio; those on asyncio are in `test_asyncio_driver`.


def test_trio_tries_the_next_address_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    from twilio_realtime.trio import transport  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tried: list[str] = []
        real: Any = vars(transport)["_connect"]

        async def connect(family: int, where: Any) -> socket.socket:
            tried.append(where[0])
            if where[0] != "127.0.0.1":
                await anyio.sleep_forever()
            opened: socket.socket = await real(family, where)
            return opened

        def look_up(*args: object, **options: object) -> Any:
            return [(socket.AF_INET, 1, 6, "", (each, port)) for each in ("192.0.2.1", "127.0.0.1")]

        monkeypatch.setattr(transport, "_connect", connect)
        monkeypatch.setattr(socket, "getaddrinfo", look_up)

        async def main() -> None:
            (await transport.dial("model.example", port)).close()

        run_in_real_time("trio", main)
    assert tried == ["192.0.2.1", "127.0.0.1"]
