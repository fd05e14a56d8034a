"""`serve` in operation: nothing outside a call hurts it, and it ends well. Each test has real
sockets and a service in another process."""

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest

from command_line import RUNTIMES
from free_ports import free_port
from served_calls import (
    PATIENCE_S,
    ServedCalls,
    ServeProcess,
    log_events,
    wait_until,
)

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

OPTIONS = ("--log-format", "json", "--max-calls-per-minute", "10000")

Body: TypeAlias = Callable[[ServedCalls, ServeProcess, Any], Awaitable[None]]


def run_calls(
    runtime: str, folder: Path, body: Body, *options: str, stdout: Any = subprocess.DEVNULL
) -> ServedCalls:
    """Run `body` with a service, its models, and a task group for phones."""

    async def main() -> ServedCalls:
        with anyio.fail_after(PATIENCE_S):
            calls = ServedCalls(runtime, free_port())
            async with calls.serving_models():
                arguments = (*OPTIONS, "--runtime", runtime, "--realtime-url", calls.model_url)
                serve = ServeProcess.start(
                    calls.port, *arguments, *options, stdout=stdout, folder=folder
                )
                try:
                    await serve.wait_until_healthy()
                    async with anyio.create_task_group() as tasks:
                        await body(calls, serve, tasks)
                finally:
                    serve.kill()
            return calls

    return anyio.run(main, backend=runtime)


CHATTERER = """
import sys
from twilio_realtime import Agent, Call, CallStarted

agent = Agent()

@agent.on(CallStarted)
def chatter(call: Call, event: CallStarted) -> None:
    for stream in (sys.stdout, sys.stderr):
        print(100_000 * "-", file=stream, flush=True)
"""


@pytest.fixture
def chatterer(tmp_path: Path) -> Path:
    """A folder with an agent that prints more than a pipe holds."""
    (tmp_path / "agent.py").write_text(CHATTERER)
    return tmp_path


async def twenty_calls(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
    await calls.begin(20, tasks)
    await calls.finish()
    assert serve.status("/readyz") == 200


# The log's output.


@each_runtime
def test_a_log_that_nobody_reads_ends_and_delays_no_call(runtime: str, chatterer: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        run_calls(runtime, chatterer, twenty_calls, stdout=writer).assert_nothing_lost()
    finally:
        os.close(reader)
        os.close(writer)


@each_runtime
def test_a_full_disk_ends_and_delays_no_call(runtime: str, chatterer: Path) -> None:
    with Path("/dev/full").open("w") as disk:
        run_calls(runtime, chatterer, twenty_calls, stdout=disk).assert_nothing_lost()


@each_runtime
def test_a_closed_terminal_ends_no_call(runtime: str, chatterer: Path) -> None:
    with ExitStack() as opened:
        terminal, end = pty.openpty()
        opened.callback(os.close, end)

        async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
            await calls.begin(10, tasks)
            os.close(terminal)
            serve.send_signal(signal.SIGHUP)
            await calls.begin(10, tasks)
            await calls.finish()
            assert serve.status("/readyz") == 200

        run_calls(runtime, chatterer, body, stdout=end).assert_nothing_lost()


@each_runtime
def test_a_reader_of_one_line_ends_the_service_once_it_is_idle(
    runtime: str, tmp_path: Path
) -> None:
    reader, writer = os.pipe()

    async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
        os.close(writer)
        await calls.begin(5, tasks)
        os.close(reader)
        await anyio.sleep(1)  # it is noticed after half a second
        await calls.begin(5, tasks)
        await calls.finish()
        assert await serve.wait() == (128 + signal.SIGPIPE, "")

    run_calls(runtime, tmp_path, body, stdout=writer).assert_nothing_lost()


# The end.


@each_runtime
def test_sigterm_cuts_none_of_forty_calls(runtime: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
        await calls.begin(40, tasks)
        serve.send_signal()
        await wait_until(lambda: serve.status("/readyz") == 503)
        assert serve.status("/healthz") == 200
        status, document = serve.request("/incoming-call", "POST")
        assert (status, b'<Reject reason="busy"/>' in document) == (200, True)
        await calls.finish()
        assert await serve.wait() == (143, "")

    with log.open("w") as file:
        calls = run_calls(runtime, tmp_path, body, "--drain-timeout", "10m", stdout=file)
    calls.assert_nothing_lost()
    text = log.read_text("utf-8")
    ends = log_events(text, "call.ended")
    assert [end["reason"] for end in ends] == ["caller hung up"] * 40
    assert [each["reason"] for each in log_events(text, "call.refused")] == [
        "the service is about to end"
    ]
    assert log_events(text, "service.draining")[0]["calls"] == 40


@each_runtime
@pytest.mark.parametrize("ending", ["the time to drain is over", "a second SIGTERM", "Ctrl-C"])
def test_calls_that_are_left_are_closed_with_1001(
    runtime: str, ending: str, tmp_path: Path
) -> None:
    log, recordings = tmp_path / "log", tmp_path / "recordings"

    async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
        await calls.begin(5, tasks)
        serve.send_signal(signal.SIGINT if ending == "Ctrl-C" else signal.SIGTERM)
        if ending == "a second SIGTERM":
            await wait_until(lambda: serve.status("/readyz") == 503)
            await anyio.sleep(0.6)  # earlier, it counts as the first
            serve.send_signal()
        assert await serve.wait() == (130 if ending == "Ctrl-C" else 143, "")
        await wait_until(lambda: all(each.close_codes for each in calls.phones))

    timeout = "0s" if ending == "the time to drain is over" else "10m"
    with log.open("w") as file:
        options = ("--drain-timeout", timeout, "--record", str(recordings))
        calls = run_calls(runtime, tmp_path, body, *options, stdout=file)
    assert [phone.close_codes for phone in calls.phones] == [[1001]] * 5
    assert [model.close_codes for model in calls.models] == [[1001]] * 5
    ends = log_events(log.read_text("utf-8"), "call.ended")
    assert [end["reason"] for end in ends] == ["going away"] * 5
    last = [path.read_text("utf-8").splitlines()[-1] for path in recordings.iterdir()]
    assert ["CallEnded" in line for line in last] == [True] * 5


# Other connections.


@each_runtime
def test_idle_slow_and_hostile_connections_lose_no_call(runtime: str, tmp_path: Path) -> None:
    upgrade = (
        b"GET /media-stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    hostile = [upgrade + b"\x81\x85\0\0\0\0hello" * 1000, b"\x00\xff" * 5000]

    async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
        with ExitStack() as opened:

            def connect(data: bytes) -> socket.socket:
                stranger = socket.create_connection(("127.0.0.1", serve.port))
                opened.enter_context(stranger)
                stranger.sendall(data)
                return stranger

            for _ in range(200):
                connect(b"")
            slow = [connect(b"GET /healthz HT") for _ in range(50)]
            for number in range(20):
                connect(hostile[number % 2])
            await calls.begin(40, tasks)
            for stranger in slow:
                stranger.send(b"T")
            assert serve.status("/healthz") == 200
            await calls.finish()

    run_calls(runtime, tmp_path, body).assert_nothing_lost()


@each_runtime
def test_at_the_limit_of_calls_health_answers_and_callers_hear_busy(
    runtime: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
        await calls.begin(3, tasks)
        assert serve.status("/healthz") == 200
        assert serve.status("/readyz") == 503
        assert b'<Reject reason="busy"/>' in serve.request("/incoming-call", "POST")[1]
        await calls.finish()
        await wait_until(lambda: serve.status("/readyz") == 200)

    with log.open("w") as file:
        run_calls(runtime, tmp_path, body, "--max-calls", "3", stdout=file)
    (refusal,) = log_events(log.read_text("utf-8"), "call.refused")
    assert "3 calls" in refusal["reason"]


# Refusals.


def test_every_refusal_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
        del calls, tasks
        assert serve.status("/else?secret=1") == 404
        assert serve.status("/incoming-call", "PUT") == 405
        assert serve.status("/media-stream") == 426
        with socket.create_connection(("127.0.0.1", serve.port)) as stranger:
            stranger.sendall(b"hello\r\n\r\n")
            assert b" 400 " in stranger.recv(100)
        await wait_until(lambda: log.read_text("utf-8").count("request.refused") == 4)

    with log.open("w") as file:
        run_calls("asyncio", tmp_path, body, stdout=file)
    refusals = log_events(log.read_text("utf-8"), "request.refused")
    assert [(each["status"], each.get("path")) for each in refusals] == [
        (404, "/else?…"),
        (405, "/incoming-call"),
        (426, "/media-stream"),
        (400, None),
    ]
    assert all(each["reason"] for each in refusals)
    assert log_events(log.read_text("utf-8"), "fault") == []


def test_calls_beyond_the_descriptors_hear_busy(tmp_path: Path) -> None:
    async def main() -> None:
        answers = list[tuple[int, bytes]]()
        with anyio.fail_after(PATIENCE_S):
            calls = ServedCalls("asyncio", free_port())
            async with calls.serving_models():
                limit = ("/bin/sh", "-c", 'ulimit -n 64 && exec "$@"', "sh")
                arguments = ("--runtime", "asyncio", "--realtime-url", calls.model_url)
                serve = ServeProcess.start(
                    *(calls.port, *OPTIONS, *arguments),
                    stdout=subprocess.DEVNULL,
                    folder=tmp_path,
                    prefix=limit,
                )
                try:
                    await serve.wait_until_healthy()
                    async with anyio.create_task_group() as tasks:
                        with ExitStack() as opened:
                            for _ in range(60):  # idle connections leave calls what they need
                                opened.enter_context(
                                    socket.create_connection(("127.0.0.1", serve.port))
                                )
                            await calls.begin(8, tasks)
                        answers += [serve.request("/incoming-call", "POST") for _ in range(30)]
                        await calls.finish()
                finally:
                    serve.kill()
        assert {status for status, _ in answers} == {200}
        busy = [b"<Reject" in document for _, document in answers]
        assert busy == sorted(busy)
        assert any(busy)
        calls.assert_nothing_lost()

    anyio.run(main, backend="asyncio")


def test_the_log_is_json_with_time_level_call_and_leg(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def body(calls: ServedCalls, serve: ServeProcess, tasks: Any) -> None:
        del serve
        await calls.begin(1, tasks)
        await calls.finish()
        await wait_until(lambda: "call.ended" in log.read_text("utf-8"))

    with log.open("w") as file:
        run_calls("asyncio", tmp_path, body, stdout=file)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    started = next(line for line in lines if line["event"] == "call.started")
    assert (started["call"], started["leg"], started["level"]) == (1, "twilio", "info")
    assert started["call_sid"].startswith("CA")
    ended = next(line for line in lines if line["event"] == "call.ended")
    expected = {"turns": 0, "interruptions": 0, "input_tokens": 0, "output_tokens": 0, "faults": 0}
    assert expected.items() <= ended.items()
    assert ended["duration_ms"] > 0
    assert ended["time"] > started["time"]
