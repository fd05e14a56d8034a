"""Our phone against the servers of others, each a process with packages of its own: whole calls,
ends from both sides, a slow reader, and SIGTERM.

`make test-integration` makes the environment that they run in (`environments.py`).
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import define, field, frozen

import twilio_realtime.trio as api
from driving import ANSWER, ignore, listening, run_in_real_time
from free_ports import free_port
from served_calls import wait_until
from twilio_realtime.cli.phone_webhook import request_stream
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
)
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import Action
from twilio_realtime_core.machine.units import MS, samples_to_ms
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig
from twilio_realtime_core.webhook import compute_signature

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-hosts/bin/python"
TOKEN = 32 * "a"
FORM = {"CallSid": "CA" + 32 * "1", "From": "+15005550006", "To": "+15005550001"}
LINK = LinkConfig(max_message_bytes=1 << 24)

SPEECH = CallerSays(ANSWER.audio[:4000])
CONVERSATION: tuple[Cue, ...] = (
    AfterDelay(100 * MS, SPEECH),
    WhenAgentHeard(700, SPEECH),
    WhenAgentHeard(500, SPEECH),
    WhenAgentHeard(300, CallerHangsUp()),
)
ASKS_FOR_THE_END: tuple[Cue, ...] = (AfterDelay(300 * MS, CallerPressesKey("9")),)
LISTENS: tuple[Cue, ...] = (AfterDelay(100 * MS, SPEECH),)

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="there is no .venv-hosts: run `make test-integration`"
)


@frozen
class HostServer:
    """A server that hosts calls, how it is started, and what becomes of a call at SIGTERM."""

    command: str
    module: str
    close_codes: tuple[int, ...]
    """With which codes the stream may be closed at SIGTERM."""
    has_webhook: bool = True
    mount: str = ""


SERVERS = {
    "uvicorn": HostServer(
        "-m uvicorn hosted_app:app --port {port} --log-level warning --loop asyncio",
        "uvicorn",
        (1012,),
    ),
    "uvicorn-mounted-uvloop": HostServer(
        "-m uvicorn hosted_app:mounted --factory --port {port} --log-level warning --loop uvloop",
        "uvloop",
        (1012,),
        mount="/voice",
    ),
    "hypercorn-asyncio": HostServer(
        "-m hypercorn -k asyncio -b 127.0.0.1:{port} hosted_app:app",
        "hypercorn",
        (1001, 1011, 1006),
    ),
    "hypercorn-trio": HostServer(
        "-m hypercorn -k trio -b 127.0.0.1:{port} hosted_app:app", "hypercorn", (1001, 1011, 1006)
    ),
    "granian": HostServer(
        "-m granian --interface asgi --port {port} --no-log hosted_app:app", "granian", (1001, 1006)
    ),
    "aiohttp": HostServer("hosted_app.py aiohttp {port}", "aiohttp", (1001,), has_webhook=False),
    "websockets": HostServer(
        "hosted_app.py websockets {port}", "websockets", (1001,), has_webhook=False
    ),
}

each_server = pytest.mark.parametrize("name", SERVERS)


@define(eq=False)
class Phone(TwilioPeer):
    """A phone that keeps the code with which its stream is closed."""

    close_code: int | None = field(init=False, default=None)

    def closed(self, peer: Any, code: int, reason: str, now: int) -> list[Action]:
        self.close_code = code
        return super().closed(peer, code, reason, now)


@define(eq=False)
class HostProcess:
    """A server in a process of its own, with a model in this one."""

    server: HostServer
    port: int = field(factory=free_port)
    process: "subprocess.Popen[bytes]" = field(init=False)
    models: list[RealtimePeer] = field(init=False, factory=list[RealtimePeer])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["HostProcess", None]:
        async with listening(api, self._accept_model) as addresses:
            url = f"ws://127.0.0.1:{addresses[0][1]}/v1/realtime"
            command = [str(PYTHON), *self.server.command.format(port=self.port).split()]
            names = ("OPENAI_API_KEY", "PYTHONPATH")
            environment = {name: each for name, each in os.environ.items() if name not in names}
            environment |= {"OPENAI_REALTIME_URL": url, "TWILIO_AUTH_TOKEN": TOKEN}
            self.process = subprocess.Popen(
                command,
                cwd=HERE,
                env=environment | {"PYTHONPATH": str(HERE)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            try:
                await wait_until(self._is_listening, self._check_alive)
                yield self
            finally:
                self.process.kill()
                await anyio.to_thread.run_sync(self.process.communicate)

    async def call(self, script: tuple[Cue, ...], *, use: Callable[..., Any] = api.dial) -> Phone:
        """Make a call, and return the phone once it is over."""
        phone = Phone(url=await anyio.to_thread.run_sync(self._request_stream), script=script)
        signature = compute_signature(TOKEN, phone.url, [])
        link = LinkConfig(max_message_bytes=1 << 24, headers=(("X-Twilio-Signature", signature),))
        await api.drive(Stack(phone, {SERVER: link}, os.urandom), notify=ignore, dial=use)
        return phone

    async def wait_until_talking(self) -> None:
        """Wait until something was said in the first call."""
        await wait_until(lambda: any(model.conversation for model in self.models))

    async def terminate(self) -> list[dict[str, Any]]:
        """Send SIGTERM, wait for the end, and return the events in the log."""
        self.process.terminate()
        output, _ = await anyio.to_thread.run_sync(self.process.communicate)
        lines = [line for line in output.decode().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def _request_stream(self) -> str:
        if not self.server.has_webhook:
            return f"ws://127.0.0.1:{self.port}/media-stream"
        url = f"http://127.0.0.1:{self.port}{self.server.mount}/incoming-call"
        return request_stream(url, FORM, TOKEN).url

    def _is_listening(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    async def _check_alive(self) -> None:
        if self.process.poll() is not None:
            _, errors = self.process.communicate()
            pytest.fail(f"the server has ended: {errors.decode()[-2000:]}")

    def _accept_model(self) -> tuple[Any, Any]:
        def respond(request: HttpRequest) -> Upgrade:
            del request
            pace = Pace(first_spoken_item_ns=20 * MS, first_audio_ns=20 * MS)
            spoken = Reply((SpokenReply(ANSWER.audio, ANSWER.transcript),))
            self.models.append(RealtimePeer([spoken] * 3, pace=pace))
            return Upgrade(self.models[-1], CLIENT, {CLIENT: LINK})

        return api.Driver(HttpConnection(CLIENT, respond, os.urandom), ignore), CLIENT


def use(name: str, main: Callable[[HostProcess], Any]) -> None:
    """Run `main` with a server, or skip the test if it is not installed."""
    server = SERVERS[name]
    found = subprocess.run(
        [str(PYTHON), "-c", f"import {server.module}"], check=False, capture_output=True
    )
    if found.returncode:
        pytest.skip(f"{server.module} is not installed in .venv-hosts")

    async def run() -> None:
        async with HostProcess(server).running() as process:
            await main(process)

    run_in_real_time("trio", run)


def reasons(log: list[dict[str, Any]]) -> list[str]:
    return [each["reason"] for each in log if each["event"] == "call.ended"]


@each_server
def test_calls_pass_beside_a_slow_reader(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    async def main(process: HostProcess) -> None:
        slow: list[Phone] = []
        phones: list[Phone] = []

        async def call_slowly() -> None:
            slow.append(await process.call(CONVERSATION, use=dial_slowly))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call_slowly)
            await wait_until(lambda: bool(process.models))
            phones.append(await process.call(CONVERSATION))
            phones.append(await process.call(ASKS_FOR_THE_END))
        phone, hung_up = phones
        assert [each.warnings for each in (*slow, phone, hung_up)] == [[], [], []]
        assert [each.sent_errors for each in process.models] == [[], [], []]
        assert hung_up.close_code == 1000
        # Truth beside belief: what the phone played, and what the model was told.
        truth = [samples_to_ms(each.heard_bytes) for each in phone.clears]
        heard = [later - earlier for earlier, later in zip([0, *truth], truth, strict=False)]
        conversation = process.models[1].conversation
        believed = [item.truncated_ms for item in conversation if item.truncated_ms is not None]
        record_property("heard_ms", heard)
        record_property("believed_ms", believed)
        print(f"{name}: heard {heard} ms, believed {believed} ms")
        assert len(heard) == len(believed) == 2
        for true_ms, believed_ms in zip(heard, believed, strict=True):
            assert abs(true_ms - believed_ms) < 300
        ends = reasons(await process.terminate())
        assert sorted(ends) == ["caller hung up", "caller hung up", "hung up"]

    use(name, main)


async def dial_slowly(host: str, port: int) -> Any:
    """Connect with a small buffer, and read a little, now and then."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await anyio.to_thread.run_sync(connection.connect, (host, port))
    return SlowTransport(connection)


@define(eq=False)
class SlowTransport(api.SocketTransport):
    """A transport that reads every tenth time that it is asked."""

    _count: int = field(init=False, default=0)

    @property
    def recv(self) -> Callable[[int], bytes]:
        return self._recv_slowly

    def _recv_slowly(self, size: int) -> bytes:
        self._count += 1
        if self._count % 10:
            raise BlockingIOError
        return super().recv(min(size, 512))


@each_server
def test_sigterm_ends_a_call_as_the_page_says(name: str) -> None:
    async def main(process: HostProcess) -> None:
        phones: list[Phone] = []

        async def call() -> None:
            phones.append(await process.call(LISTENS))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await process.wait_until_talking()
            process.process.send_signal(signal.SIGTERM)
        print(f"{name}: closed with {phones[0].close_code}")
        assert phones[0].close_code in process.server.close_codes

    use(name, main)


def test_a_draining_server_lets_the_call_finish() -> None:
    server = HostServer("hosted_app.py draining {port}", "uvicorn", ())

    async def main(process: HostProcess) -> None:
        phones: list[Phone] = []

        async def call() -> None:
            phones.append(await process.call(CONVERSATION))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await process.wait_until_talking()
            process.process.send_signal(signal.SIGTERM)
        assert len(phones[0].clears) == 2
        output, _ = await anyio.to_thread.run_sync(process.process.communicate)
        assert '"caller hung up"' in output.decode()

    SERVERS["draining"] = server
    try:
        use("draining", main)
    finally:
        del SERVERS["draining"]
