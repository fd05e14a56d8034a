"""A whole service in virtual time whose surroundings are simulated, and fail when a test wants it:
listener, descriptors, look-ups of names, the disk of recordings, the log's sink, and signals.

Phones, service and models are connected by streams in memory without any delay. So a caller's frame
reaches the model at the instant at which it is sent, unless something makes the call wait.
"""

import errno
import logging
import os
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Hashable
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from threading import Event
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
from attrs import define, field

from driving import RUNTIMES, ignore, run_in_virtual_time
from served_calls import LAST_FRAME, LINK, SILENCE, RecordingModel
from twilio_realtime.agents.call_acceptor import call_acceptor
from twilio_realtime.recordings.folder import RecordingFolder
from twilio_realtime.runtime.name_lookup import Addresses, NameLookups
from twilio_realtime.runtime.tcp_acceptor import Acceptor
from twilio_realtime.server.admission import Admission, CallLimits, Capacity
from twilio_realtime.server.browser_phone.browser_phone import BrowserPhone
from twilio_realtime.server.event_log import LOGGER, EventLog
from twilio_realtime.server.log_output import LogOutput, format_json
from twilio_realtime.server.operation import Operation
from twilio_realtime.server.server_tls import ServerTls
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.server.supervisor import Supervisor
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.caller import AfterDelay, CallerHangsUp, CallerSays
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import Action, CallConfig
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack

__all__ = ["CallOutcome", "Model", "Phone", "SimulatedService", "Surroundings"]

HOST: Final = "model.example"


def _do_nothing() -> None: ...


def _no_time() -> float:
    return 0.0


@define(eq=False)
class Surroundings:
    """What the service stands on. A test replaces what is to fail: each function is called where
    the real thing would be, and raises what that would raise."""

    accept: Callable[[], None] = _do_nothing
    """The listener accepts a connection."""
    look_up_s: Callable[[], float] = _no_time
    """A name is looked up. Returns how long that takes (s)."""
    write_log: Callable[[bytes], int] = len
    write_recording: Callable[[bytes], int] = len
    reload_certificate: Callable[[], None] = _do_nothing
    max_descriptors: int = 1024
    is_over: Event = field(init=False, factory=Event)
    """Set when nothing is to be waited for any more."""
    used_descriptors: int = field(init=False, default=0)

    def take_descriptor(self) -> None:
        if self.used_descriptors >= self.max_descriptors:
            raise OSError(errno.EMFILE, "too many open files")
        self.used_descriptors += 1

    def free_descriptor(self) -> None:
        self.used_descriptors -= 1


@define(eq=False)
class Phone(TwilioPeer):
    """A phone that notes when its stream has opened, and how it was closed."""

    opened_ns: int | None = field(init=False, default=None)
    close_codes: list[int] = field(init=False, factory=list[int])

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        self.opened_ns = now
        return super().opened(peer, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        self.close_codes.append(code)
        return super().closed(peer, code, reason, now)


@define(eq=False)
class Model(RecordingModel):
    """A model that notes when the last frame of its caller has arrived."""

    heard_ns: int | None = field(init=False, default=None)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        actions = super().receive_text(peer, text, now)
        if self.heard_ns is None and self.has_last_frame:
            self.heard_ns = now
        return actions

    @property
    def speech(self) -> bytes:
        return bytes(self.audio).strip(SILENCE)


@define(frozen=True)
class CallOutcome:
    """What has become of a call: when the model has heard the end of what the caller said, since
    the stream was opened, and the close codes of both legs."""

    heard_after_ns: int | None
    phone_codes: tuple[int, ...]
    model_codes: tuple[int, ...]


@define(eq=False)
class _Stream:
    """A stream in memory that takes a descriptor while it is open."""

    stream: Any
    surroundings: Surroundings
    is_closed: bool = field(init=False, default=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def close(self) -> None:
        self._free()
        self.stream.close()

    def abort(self) -> None:
        self._free()
        self.stream.abort()

    def getpeername(self) -> tuple[str, int]:
        return "192.0.2.1", 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _free(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.surroundings.free_descriptor()


@define(eq=False)
class _Listener:
    """A listening socket."""

    surroundings: Surroundings
    backlog: deque[Any] = field(init=False, factory=deque[Any])
    arrived: anyio.Event = field(init=False, factory=anyio.Event)
    is_closed: bool = field(init=False, default=False)

    def connect(self, stream: Any) -> None:
        if self.is_closed:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        self.backlog.append(stream)
        self.arrived.set()

    async def wait_readable(self, listener: Any) -> None:
        del listener
        while not self.backlog:
            self.arrived = anyio.Event()
            await self.arrived.wait()
        await anyio.lowlevel.checkpoint()

    def accept(self) -> tuple[_Stream, object]:
        self.surroundings.accept()
        self.surroundings.take_descriptor()
        return _Stream(self.backlog.popleft(), self.surroundings), None

    def close(self) -> None:
        self.is_closed = True
        while self.backlog:
            self.backlog.popleft().abort()


@define(eq=False)
class _Certificate(ServerTls):
    """A certificate that the surroundings load again."""

    surroundings: Surroundings = field(kw_only=True)

    def reload(self) -> None:
        self.surroundings.reload_certificate()


@define(eq=False)
class _Disk:
    """A file of a recording."""

    surroundings: Surroundings

    def write(self, data: bytes) -> int:
        return self.surroundings.write_recording(data)

    def close(self) -> None: ...


@define(eq=False)
class SimulatedService:
    """The service and its calls. The models are those of the calls, in their order."""

    runtime: str
    folder: Path
    agent: Any
    surroundings: Surroundings = field(factory=Surroundings)
    drain_timeout_s: float = 600.0
    browser_phone: BrowserPhone | None = None
    phones: list[Phone] = field(init=False, factory=list[Phone])
    models: list[Model] = field(init=False, factory=list[Model])
    errors: list[Exception] = field(init=False, factory=list[Exception])
    operation: Operation = field(init=False)
    ended_s: float | None = field(init=False, default=None)
    """When the service has ended, since it was asked to."""
    _api: Any = field(init=False)
    _tasks: Any = field(init=False)
    _listener: _Listener = field(init=False)
    _lookups: NameLookups = field(init=False)
    _look_up_error: OSError | None = field(init=False, default=None)

    def run(self, script: Callable[["SimulatedService"], Awaitable[object]]) -> Self:
        """Run `script` beside the service, which ends with it, for a minute at most."""

        async def main() -> None:
            self._build()
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._serve)
                with anyio.fail_after(60):
                    await script(self)
                self._tasks.cancel_scope.cancel()

        with self._logging():
            run_in_virtual_time(self.runtime, main)
        return self

    @contextmanager
    def _logging(self) -> Generator[None, None, None]:
        """Write the log to the sink of the surroundings."""
        with Path(os.devnull).open("w") as sink:
            output = LogOutput(
                sink.fileno(), format_json, lambda _, data: self.surroundings.write_log(data)
            )
            LOGGER.addHandler(output)
            level, LOGGER.level = LOGGER.level, logging.INFO
            try:
                yield
            finally:
                self.surroundings.is_over.set()
                LOGGER.setLevel(level)
                LOGGER.removeHandler(output)
                output.close()
                self.operation.close()

    def _build(self) -> None:
        self._api = RUNTIMES[self.runtime]
        self._listener = _Listener(self.surroundings)
        self._lookups = NameLookups(
            resolve=self._resolve, run=self._run_look_up, clock=anyio.current_time
        )
        log = EventLog()
        capacity = Capacity.of(self.surroundings.max_descriptors, used=0, descriptors_per_call=2)
        limits = CallLimits(max_calls=min(200, capacity.max_calls), max_calls_per_minute=100_000)
        admission = Admission(limits, clock=anyio.current_time)
        connections = capacity.make_connections(limits.max_calls)
        recordings = RecordingFolder(
            self.folder,
            lambda error: log.write(logging.ERROR, "recording.failed", {"reason": str(error)}),
            create_file=lambda path: _Disk(self.surroundings),
        )
        call = CallConfig(url=f"ws://{HOST}/v1/realtime")
        phone = self.browser_phone
        service = Service(
            ServiceConfig(call=call),
            admission=admission,
            event_log=log,
            record=recordings.record,
            browser_phone=phone,
            observers=() if phone is None else (phone.live.observe_call,),
        )
        supervisor = Supervisor(admission, connections, self.drain_timeout_s)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls = _Certificate(context, "", None, surroundings=self.surroundings)
        self.operation = Operation(service, connections, supervisor, log, tls, recordings)

    async def _serve(self) -> None:
        make_driver = partial(self._api.Driver, dial=self._dial_model)
        acceptor = Acceptor(
            call_acceptor(self.operation.service, self.agent, make_driver),
            self._report,
            self.operation.connections,
            self._listener.wait_readable,
            anyio.sleep,
        )
        async with anyio.create_task_group() as tasks:

            def start(connection: Any) -> None:
                tasks.start_soon(acceptor.serve, connection)

            async def supervise() -> None:
                await self.operation.supervisor.run()
                self.ended_s = anyio.current_time()
                tasks.cancel_scope.cancel()

            tasks.start_soon(supervise)
            listener: Any = self._listener
            await acceptor.accept_all(listener, start)

    def _report(self, error: Exception) -> None:
        self.errors.append(error)
        self.operation.log_error(error)

    # Calls, and others who connect.

    def start_call(self, seed: int, *, waits_s: float = 3.0) -> Phone:
        """Start a call: the caller waits, says something, and hangs up after a second."""
        audio = Random(seed).randbytes(4_000) + LAST_FRAME
        script = (
            AfterDelay(int(waits_s * SECOND), CallerSays(audio)),
            AfterDelay(SECOND, CallerHangsUp()),
        )
        phone = Phone(url="ws://localhost/media-stream", seed=seed, script=script)
        self.phones.append(phone)
        stack = Stack(phone, {SERVER: LINK}, Random(seed).randbytes)
        driver = self._api.Driver(stack, ignore, dial=self._dial_service)
        self._tasks.start_soon(driver.run)
        return phone

    def connect_stranger(self, data: bytes = b"") -> None:
        """Connect, send something, and do nothing more."""
        near, far = self._api.memory_pair()
        near.send(data)
        self._listener.connect(far)

    async def wait_until_calls_end(self) -> None:
        """Wait until all calls are over."""
        while not all(phone.close_codes for phone in self.phones):
            await anyio.sleep(0.02)

    def outcome(self, phone: Phone) -> CallOutcome:
        """Return what has become of a call."""
        speech = Random(phone.seed).randbytes(4_000) + LAST_FRAME
        models = [each for each in self.models if each.speech == speech.strip(SILENCE)]
        heard_ns = models[0].heard_ns if models else None
        return CallOutcome(
            None if heard_ns is None or phone.opened_ns is None else heard_ns - phone.opened_ns,
            tuple(phone.close_codes),
            tuple(code for model in models for code in model.close_codes),
        )

    async def _dial_service(self, host: str, port: int) -> Any:
        del host, port
        near, far = self._api.memory_pair()
        self._listener.connect(far)
        return near

    async def _dial_model(self, host: str, port: int) -> Any:
        transport = import_module(f"twilio_realtime.{self.runtime}.transport")
        await transport.look_up(host, port, self._lookups)
        self.surroundings.take_descriptor()
        near, far = self._api.memory_pair()
        self._tasks.start_soon(self._api.Driver(self._make_model(), ignore).run, {CLIENT: far})
        return _Stream(near, self.surroundings)

    def _make_model(self) -> HttpConnection:
        def respond(request: HttpRequest) -> Upgrade:
            del request
            self.models.append(Model())
            return Upgrade(self.models[-1], CLIENT, {CLIENT: LINK})

        return HttpConnection(CLIENT, respond, Random(2).randbytes)

    def _run_look_up(self, job: Callable[[], None]) -> None:
        self._tasks.start_soon(self._look_up, job)

    async def _look_up(self, job: Callable[[], None]) -> None:
        self._look_up_error = None
        try:
            await anyio.sleep(self.surroundings.look_up_s())
        except OSError as error:
            self._look_up_error = error
        job()

    def _resolve(self, host: str, port: int) -> Addresses:
        del port
        if self._look_up_error is not None:
            raise self._look_up_error
        return [(socket.AF_INET, (host, 1))]
