"""`serve` in a program, on both runtimes, over sockets."""

import http.client
import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import anyio
import pytest
from anyio import to_thread

from timeouts import HANG_S
from twilio_realtime import Agent, Call, IncomingCall, Reject, Service, ServiceConfig, serve
from twilio_realtime.errors import UsageError
from twilio_realtime.server.log_output import format_text
from twilio_realtime_core import CallConfig
from twilio_realtime_core.webhook import compute_signature

TOKEN = 32 * "a"
LOCAL = {"realtime_url": "ws://127.0.0.1:9/v1/realtime", "port": 0}

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


def run(
    runtime: str, agent: Any, ask: Callable[[int], tuple[int, str]], **options: Any
) -> tuple[int, str]:
    """Serve an agent while `ask` is called with the port; return what that returns."""
    answers: list[tuple[int, str]] = []

    async def main() -> None:
        ports: list[int] = []
        listening = anyio.Event()

        def on_listening(addresses: list[tuple[str, int]]) -> None:
            ports.extend(port for _, port in addresses)
            listening.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(serve, agent, on_listening=on_listening, **options))
            await listening.wait()
            answers.append(await to_thread.run_sync(ask, ports[0]))
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=runtime)
    return answers[0]


def get(port: int, path: str = "/incoming-call", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def signed(port: int) -> tuple[int, str]:
    """Ask as through a tunnel, which passes the host on."""
    signature = compute_signature(TOKEN, "https://calls.example/incoming-call")
    return get(port, **{"Host": "calls.example", "X-Twilio-Signature": signature})


@each_runtime
def test_a_program_serves_its_agent(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    status, body = run(runtime, Agent(), get, **LOCAL)
    assert status == 200
    assert re.search(r'<Stream url="ws://127.0.0.1:\d+/media-stream/[\w-]{32}">', body)


@each_runtime
def test_a_program_behind_a_tunnel_checks_signatures(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    status, body = run(runtime, Agent(), signed, **LOCAL)
    assert status == 200
    assert '<Stream url="wss://calls.example/media-stream/' in body
    assert run(runtime, Agent(), get, **LOCAL)[0] == 403


@each_runtime
def test_a_program_decides_about_calls(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    agent = Agent()

    @agent.incoming
    async def refuse(incoming: IncomingCall) -> Reject:
        return Reject("busy")

    assert "busy" in run(runtime, agent, get, **LOCAL)[1]


@each_runtime
def test_a_program_may_configure_the_service_itself(runtime: str) -> None:
    config = ServiceConfig(auth_token=TOKEN, call=CallConfig(url=str(LOCAL["realtime_url"])))
    status, body = run(runtime, Agent(), signed, port=0, config=config)
    assert (status, "calls.example" in body) == (200, True)


def test_a_failure_is_logged_without_its_words(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    agent = Agent()

    @agent.incoming
    def fails(incoming: IncomingCall) -> None:
        raise ValueError("+15005550006")

    def ask(port: int) -> tuple[int, str]:
        answer = get(port)
        for _ in range(100 * HANG_S):  # it is reported once the connection has ended
            if any(vars(each).get("event") == "error" for each in caplog.records):
                break
            sleep(0.01)
        return answer

    with caplog.at_level(logging.INFO):
        status, _ = run("asyncio", agent, ask, **LOCAL)
    assert status == 500
    lines = [format_text(each) for each in caplog.records]
    reason = 'reason="the decision about a call failed: ValueError at test_serving.py'
    assert any(reason in line for line in lines), lines
    assert any("listening  host=127.0.0.1  port=" in line for line in lines)
    assert "+1500" not in "".join(lines)


@pytest.mark.parametrize(
    ("agent", "options", "words"),
    [
        (7, {}, "the agent is a int"),
        (Agent(), {"prot": 1}, "no setting prot"),
        (Agent(), {"api_key": "sk-"}, "is a secret"),
        (Agent(), {"public_url": "https://calls.example"}, "TWILIO_AUTH_TOKEN"),
        (Agent(), {"host": "0.0.0.0"}, "listening on 0.0.0.0 without"),  # noqa: S104
        (Agent(), {"host": "", "config": ServiceConfig()}, "listening on all addresses without"),
        (
            Agent(config=CallConfig(url="ws://model.example")),
            {"config": ServiceConfig(api_key="sk-")},
            "in the clear",
        ),
    ],
)
def test_what_cannot_be_served_is_named(
    agent: Any, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    with pytest.raises(UsageError, match=words):
        anyio.run(partial(serve, agent, **{**LOCAL, **options}))


@each_runtime
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_the_address_that_a_connection_came_in_at_counts(runtime: str, host: str) -> None:
    """`listen` and `Service` by hand, without `serve`: the socket says who can reach it."""
    from importlib import import_module  # noqa: PLC0415

    from twilio_realtime import call_acceptor  # noqa: PLC0415

    api = import_module(f"twilio_realtime.{runtime}")

    async def agent(call: Call) -> None: ...

    address = _own_address() if host == "0.0.0.0" else host  # noqa: S104
    if address is None:
        pytest.skip("this machine has the loopback address alone")
    statuses: list[int] = []

    async def main() -> None:
        ports: list[int] = []
        listening = anyio.Event()

        def on_listening(addresses: list[tuple[str, int]]) -> None:
            ports.extend(port for _, port in addresses)
            listening.set()

        def ask() -> int:
            connection = http.client.HTTPConnection(address, ports[0])
            connection.request("GET", "/incoming-call", headers={"Host": "localhost"})
            status = connection.getresponse().status
            connection.close()
            return status

        accept = call_acceptor(Service(ServiceConfig()), agent, api.Driver)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                partial(api.listen, host, 0, accept, on_error=print, on_listening=on_listening)
            )
            await listening.wait()
            statuses.append(await to_thread.run_sync(ask))
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=runtime)
    assert statuses == [200 if host == "127.0.0.1" else 403]


def _own_address() -> str | None:
    """Return an address of this machine that others could reach."""
    import socket  # noqa: PLC0415

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            address = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if address.startswith("127.") else address


def test_recording_needs_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    run("asyncio", Agent(), get, **LOCAL, record=str(tmp_path / "calls"))
    assert (tmp_path / "calls").is_dir()
