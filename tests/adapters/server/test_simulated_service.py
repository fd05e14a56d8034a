"""A service whose surroundings fail: no call ends or waits because of them."""

import errno
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from driving import RUNTIMES
from simulated_service import CallOutcome, SimulatedService, Surroundings
from twilio_realtime import Call, FunctionAgent, HangUp, Play
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.folder import RecordingFolder
from twilio_realtime.server.browser_phone.browser_phone import BrowserPhone
from twilio_realtime.server.browser_phone.live_calls import MAX_QUEUED_EVENTS
from twilio_realtime.server.supervisor import GOODBYE_S
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import CallerSpeechStarted, CallStarted

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

CALLS = 5
STRANGERS = [
    b"",
    b"GET /healthz HT",
    b"\x00\xff" * 50,
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


async def listen_to(call: Call) -> None:
    async for _ in call:
        pass


async def begin_calls(service: SimulatedService) -> None:
    for seed in range(CALLS):
        service.start_call(seed)
        await anyio.sleep(0.5)


async def run_calls(service: SimulatedService) -> None:
    await begin_calls(service)
    await service.wait_until_calls_end()


def outcomes(service: SimulatedService) -> list[CallOutcome]:
    return [service.outcome(phone) for phone in service.phones]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[CallOutcome]]:
    """What becomes of the same calls if nothing fails, by runtime."""
    folder = tmp_path_factory.mktemp("calm")
    return {
        runtime: outcomes(SimulatedService(runtime, folder, listen_to).run(run_calls))
        for runtime in RUNTIMES
    }


@each_runtime
def test_calls_in_calm_surroundings_are_heard_to_the_end(
    runtime: str, calm: dict[str, list[CallOutcome]]
) -> None:
    for outcome in calm[runtime]:
        assert outcome.heard_after_ns is not None
        assert 3.5 * SECOND < outcome.heard_after_ns < 3.8 * SECOND
        assert outcome.phone_codes == (1000,)
        assert outcome.model_codes == (1000,)


def random_surroundings(random: Random) -> Surroundings:
    """Surroundings of which each part fails in its own ways, as often as `random` decides."""
    rates = {name: random.choice([0, 0.3, 0.9]) for name in ("accept", "name", "log", "disk")}
    rates["accept"] /= 3  # a caller whose connection is not accepted has to wait for it
    looked_up: list[float] = []

    def fails(part: str) -> bool:
        return random.random() < rates[part]

    def accept() -> None:
        if fails("accept"):
            number = random.choice(
                [errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EPERM]
            )
            raise OSError(number, "accept")

    def look_up_s() -> float:
        looked_up.append(0)
        if len(looked_up) == 1 or not fails("name"):
            return 0.0
        if random.random() < 0.5:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return random.choice([0.1, 3.0, 3600.0])

    def write(part: str) -> Callable[[bytes], int]:
        hangs = random.random() < 0.2

        def write_some(data: bytes) -> int:
            if hangs:
                made.is_over.wait(60)
            if fails(part):
                number = random.choice([errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EAGAIN])
                raise OSError(number, "write")
            return random.randint(1, len(data))

        return write_some

    def reload_certificate() -> None:
        if random.random() < 0.5:
            raise random.choice([UsageError("no certificate"), OSError(errno.ENOENT, "gone")])

    made = Surroundings(
        accept,
        look_up_s,
        write("log"),
        write("disk"),
        reload_certificate,
        max_descriptors=random.choice([20, 64, 1024]),
    )
    return made


@pytest.mark.parametrize("seed", range(8))
@each_runtime
def test_nothing_outside_a_call_ends_or_delays_it(
    runtime: str, seed: int, tmp_path: Path, calm: dict[str, list[CallOutcome]]
) -> None:
    random = Random(seed)

    async def trouble(service: SimulatedService) -> None:
        """Strangers connect, and SIGHUP arrives, as long as the service listens."""
        with suppress(ConnectionRefusedError):
            while True:
                await anyio.sleep(random.choice([0.01, 0.1, 1]))
                for _ in range(random.choice([0, 1, 15])):
                    service.connect_stranger(random.choice(STRANGERS))
                if random.random() < 0.1:
                    service.operation.reload_certificate()

    async def script(service: SimulatedService) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(trouble, service)
            await begin_calls(service)
            if seed % 2:
                while service.operation.supervisor.calls < CALLS:
                    await anyio.sleep(0.01)
                service.operation.drain()
            await service.wait_until_calls_end()
            tasks.cancel_scope.cancel()
        while seed % 2 and service.ended_s is None:
            await anyio.sleep(0.01)

    surroundings = random_surroundings(random)
    service = SimulatedService(runtime, tmp_path, listen_to, surroundings)
    service.run(script)
    assert outcomes(service) == calm[runtime]


# A page that shows calls in progress.


def open_live_page(service: SimulatedService, phone: BrowserPhone) -> None:
    """Open a page that names its session, and reads nothing from then on."""
    session = phone.access.exchange(phone.access.token)
    hello = json.dumps({"session": session}).encode()
    head = (
        b"GET /browser-phone/live HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    frame = bytes([0x81, 0x80 | len(hello)]) + bytes(4) + hello  # masked by zeros
    service.connect_stranger(head + frame)


@each_runtime
def test_a_page_that_does_not_read_delays_no_call(
    runtime: str, tmp_path: Path, calm: dict[str, list[CallOutcome]]
) -> None:
    phone = BrowserPhone(Random(1).randbytes, lambda: RecordingFolder(tmp_path, print))
    missed: list[int] = []

    async def chatter() -> None:
        """Calls with more events than any page shows."""
        observer = phone.live.observe_call()
        observer.on_notification(CallStarted("MZ", None, None, {}), 0)
        while True:
            await anyio.sleep(0.01)
            for _ in range(10):
                observer.on_notification(CallerSpeechStarted("i", 0.0), 0)

    async def script(service: SimulatedService) -> None:
        open_live_page(service, phone)
        while not phone.live.pages:
            await anyio.sleep(0.01)
        queue = phone.live.open_queue()  # of another page, which is slow as well
        queue.take()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chatter)
            await run_calls(service)
            tasks.cancel_scope.cancel()
        missed.append(queue.take().dropped)
        assert phone.live.pages == 2

    service = SimulatedService(runtime, tmp_path, listen_to, browser_phone=phone).run(script)
    assert outcomes(service) == calm[runtime]
    assert missed[0] > MAX_QUEUED_EVENTS


# The end.

CLIP = bytes(8_000)  # a second


def agent_with(goodbye: Callable[[Call], Any]) -> FunctionAgent:
    agent = FunctionAgent(listen_to)
    agent.goodbye(goodbye)
    return agent


def end_calls(
    runtime: str, folder: Path, agent: Any, *, again_after_s: float | None = None
) -> tuple[SimulatedService, float]:
    """Drain a service whose calls go on; return it, and how long it takes to end (s)."""
    drained_s: list[float] = []

    async def script(service: SimulatedService) -> None:
        for seed in range(3):
            service.start_call(seed, waits_s=600)
        while service.operation.supervisor.calls < 3:
            await anyio.sleep(0.1)
        await anyio.sleep(1)
        drained_s.append(anyio.current_time() + 2)
        service.operation.drain()
        if again_after_s is not None:
            await anyio.sleep(2 + again_after_s)
            service.operation.drain()
        await service.wait_until_calls_end()
        while service.ended_s is None:
            await anyio.sleep(0.1)

    service = SimulatedService(runtime, folder, agent, drain_timeout_s=2).run(script)
    assert service.ended_s is not None
    return service, service.ended_s - drained_s[0]


@each_runtime
def test_calls_that_are_left_after_the_drain_get_1001(runtime: str, tmp_path: Path) -> None:
    service, took_s = end_calls(runtime, tmp_path, listen_to)
    assert [each.phone_codes for each in outcomes(service)] == [(1001,)] * 3
    assert [model.close_codes for model in service.models] == [[1001]] * 3
    assert service.errors == []
    assert took_s < 1


@each_runtime
def test_a_goodbye_is_heard_before_the_call_is_hung_up(runtime: str, tmp_path: Path) -> None:
    def say_goodbye(call: Call) -> str:
        call.send(Play(CLIP))
        call.send(HangUp(after_playback=True))
        return "a value that is not used"

    service, took_s = end_calls(runtime, tmp_path, agent_with(say_goodbye))
    assert [each.phone_codes for each in outcomes(service)] == [(1000,)] * 3
    assert 1 < took_s < 3


@each_runtime
def test_a_goodbye_that_only_awaits_ends_with_1001(runtime: str, tmp_path: Path) -> None:
    async def tell_somebody(call: Call) -> None:
        await anyio.sleep(2)

    service, took_s = end_calls(runtime, tmp_path, agent_with(tell_somebody))
    assert [each.phone_codes for each in outcomes(service)] == [(1001,)] * 3
    assert 2 <= took_s < 3


@each_runtime
def test_a_goodbye_that_takes_too_long_is_cut_off(runtime: str, tmp_path: Path) -> None:
    async def hang(call: Call) -> None:
        await anyio.sleep_forever()

    service, took_s = end_calls(runtime, tmp_path, agent_with(hang))
    assert [each.phone_codes for each in outcomes(service)] == [(1001,)] * 3
    assert took_s == pytest.approx(GOODBYE_S, abs=1)


@each_runtime
def test_a_second_sigterm_skips_the_goodbye(runtime: str, tmp_path: Path) -> None:
    async def hang(call: Call) -> None:
        await anyio.sleep_forever()

    service, took_s = end_calls(runtime, tmp_path, agent_with(hang), again_after_s=2)
    assert [each.phone_codes for each in outcomes(service)] == [(1001,)] * 3
    assert 2 <= took_s < 3


@each_runtime
def test_a_goodbye_that_fails_ends_its_call_alone(runtime: str, tmp_path: Path) -> None:
    goodbyes: list[Call] = []

    def fail_once(call: Call) -> None:
        goodbyes.append(call)
        if len(goodbyes) == 1:
            raise ValueError("+15005550006")
        call.send(Play(CLIP))
        call.send(HangUp(after_playback=True))

    service, _ = end_calls(runtime, tmp_path, agent_with(fail_once))
    assert sorted(each.phone_codes for each in outcomes(service)) == [(1000,), (1000,), (1001,)]
    (error,) = service.errors
    assert isinstance(error, ApplicationError)
    assert "the goodbye failed: ValueError at test_simulated_service.py" in str(error)


@each_runtime
def test_a_call_that_is_over_gets_no_goodbye(runtime: str, tmp_path: Path) -> None:
    async def script(service: SimulatedService) -> None:
        service.start_call(1)
        await service.wait_until_calls_end()
        service.operation.drain()
        while service.ended_s is None:
            await anyio.sleep(0.1)

    def say_goodbye(call: Call) -> None:
        raise AssertionError("the call is over")

    service = SimulatedService(runtime, tmp_path, agent_with(say_goodbye)).run(script)
    assert service.errors == []
