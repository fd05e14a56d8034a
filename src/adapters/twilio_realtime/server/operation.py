"""A service in operation: with its log, its limits, its connections and its end."""

import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from attrs import define

from twilio_realtime_core import Bridge, CallConfig

from ..agents.failures import ApplicationError, describe_error
from ..errors import UsageError
from ..recordings.bridge_wrapper import BridgeLike
from ..recordings.folder import RecordingFolder
from ..runtime.random_pool import RandomPool
from ..runtime.tcp_acceptor import Connections, TooManyConnections
from ..telemetry.call_metrics import CallMetrics
from ..telemetry.call_traces import CallTracer
from ..telemetry.exporter import MetricsExporter
from ..telemetry.observer import ObserverFactory
from .admission import Admission, CallLimits, measure_capacity
from .browser_phone.browser_phone import BrowserPhone
from .event_log import EventLog
from .public_url import is_loopback
from .server_tls import ServerTls
from .service import Service
from .service_config import ServiceConfig
from .service_levels import OperationLevels
from .settings import LoadedSettings
from .spending import Spending, SpendingLimits
from .supervisor import Supervisor
from .twilio_account import make_twilio_client

__all__ = ["SESSION_VARIABLE", "Operation"]

SESSION_VARIABLE: Final = "TWILIO_REALTIME_BROWSER_SESSION"
"""The environment variable with which `--reload` keeps the session of the browser phone's page
valid."""

_BROWSER_RECORDINGS: Final = "recordings"
"""The folder for calls that are recorded on the browser phone's page, without --record."""


@define(eq=False)
class Operation:
    """A service and what watches over it. `tls` is `None` if connections are not encrypted, and
    `recordings` if calls are not recorded."""

    service: Service
    connections: Connections
    supervisor: Supervisor
    log: EventLog
    tls: ServerTls | None
    recordings: RecordingFolder | None = None
    exporter: MetricsExporter | None = None
    browser_phone: BrowserPhone | None = None

    @classmethod
    def build(
        cls,
        settings: LoadedSettings,
        config: ServiceConfig,
        is_unwatched: Callable[[], bool] = lambda: False,
    ) -> "Operation":
        """Build all of it from settings; `is_unwatched` is that of `Supervisor`.

        Raises `UsageError` for a setting that cannot be used, and `OSError` for a file that cannot
        be read or a folder that cannot be created.
        """
        log = EventLog()
        tls = ServerTls.load(settings["certificate"], settings["key"])
        recordings = _open_recordings(settings, log)
        capacity = measure_capacity(2 if settings["record"] is None else 3)
        limits = CallLimits(
            max_calls=min(settings["max-calls"], capacity.max_calls),
            max_calls_per_minute=settings["max-calls-per-minute"],
            max_loop_lag_ms=settings["max-loop-lag"],
        )
        admission = Admission(limits)
        connections = capacity.make_connections(limits.max_calls)
        port = settings["metrics-port"]
        metrics = None if port is None else CallMetrics()
        context = None if tls is None else tls.context
        browser_phone = _make_browser_phone(settings, log, is_encrypted=tls is not None)
        service = Service(
            config,
            server_tls=context,
            admission=admission,
            event_log=log,
            record=_do_not_record if recordings is None else recordings.record,
            twilio=make_twilio_client(settings),
            spending=Spending(_spending_limits(settings)),
            observers=_make_observers(settings, metrics, browser_phone),
            browser_phone=browser_phone,
            on_call_refused=_ignore if metrics is None else metrics.calls_refused.inc,
        )
        drain_timeout_s = settings["drain-timeout"] / 1000
        supervisor = Supervisor(admission, connections, drain_timeout_s, is_unwatched)
        exporter = None
        if metrics is not None:
            metrics.add_levels(OperationLevels(service, admission, supervisor))
            exporter = MetricsExporter(metrics, settings["metrics-host"], port or 0)
        return cls(service, connections, supervisor, log, tls, recordings, exporter, browser_phone)

    @asynccontextmanager
    async def supervised(self, api: Any) -> AsyncGenerator[TaskGroup, None]:
        """Watch the service while in the context, which is cancelled when the service is to end
        (`Supervisor.run`), and serve metrics, if they are asked for. They are served before the
        context is entered, so that no call is taken if they cannot be. `api` is the package of the
        runtime.

        Raises `OSError`, in a group, if the address of the metrics cannot be listened on.
        """
        async with anyio.create_task_group() as tasks:
            if self.exporter is not None:
                await tasks.start(self.exporter.run, api, self.log_error, self._log_addresses)
            tasks.start_soon(self._end_when_over, tasks.cancel_scope)
            yield tasks
            tasks.cancel_scope.cancel()

    async def _end_when_over(self, scope: anyio.CancelScope) -> None:
        await self.supervisor.run()
        scope.cancel()

    def _log_addresses(self, addresses: list[tuple[str, int]]) -> None:
        for host, port in addresses:
            self.log.write(logging.INFO, "metrics.listening", {"host": host, "port": port})

    def print_links(self, addresses: list[tuple[str, int]]) -> None:
        """Print the link of the browser phone, if there is one, to stderr: it holds a token, and so
        is not for the log."""
        if self.browser_phone is not None:
            host, port = addresses[0]
            print(f"browser phone: {self.browser_phone.link(host, port)}", file=sys.stderr)  # noqa: T201

    def drain(self) -> None:
        """Take no new calls, and end once those in progress are over (`Supervisor.drain`)."""
        self.log.write(logging.INFO, "service.draining", {"calls": self.supervisor.calls})
        self.supervisor.drain()

    def reload_certificate(self) -> None:
        """Load the certificate again, if there is one; connections that are open keep theirs."""
        if self.tls is None:
            return
        try:
            self.tls.reload()
        except (UsageError, OSError) as error:
            reason = str(error) if isinstance(error, UsageError) else describe_error(error)
            self.log.write(logging.ERROR, "certificate.not_loaded", {"reason": reason})
        else:
            self.log.write(logging.INFO, "certificate.loaded", {})

    def close(self) -> None:
        """Write what is left for the log and the recordings. It may take some seconds if a disk is
        slow."""
        if self.browser_phone is not None:
            self.browser_phone.close()
        if self.recordings is not None:
            self.recordings.close()
        self.log.flush()

    def log_error(self, error: Exception) -> None:
        """Log an error that ended a connection, or kept it from being accepted, without what people
        said."""
        if isinstance(error, TooManyConnections):
            reason, event = str(error), "connection.dropped"
        else:
            is_known = isinstance(error, ApplicationError)
            reason, event = str(error) if is_known else describe_error(error), "error"
        self.log.write(logging.ERROR, event, {"reason": reason}, like=reason)


def _do_not_record(bridge: Bridge, config: CallConfig) -> BridgeLike:
    del config
    return bridge


def _spending_limits(settings: LoadedSettings) -> SpendingLimits:
    return SpendingLimits(
        max_minutes_per_day=settings["max-minutes-per-day"],
        max_tokens_per_call=settings["max-tokens-per-call"],
        max_calls_per_caller=settings["max-calls-per-caller"],
    )


def _make_observers(
    settings: LoadedSettings, metrics: CallMetrics | None, browser_phone: BrowserPhone | None
) -> tuple[ObserverFactory, ...]:
    observers: list[ObserverFactory] = [] if metrics is None else [metrics.observe_call]
    if browser_phone is not None:
        observers.append(browser_phone.live.observe_call)
    if settings["traces"]:
        provider = "azure.ai.openai" if settings["provider"] == "azure" else "openai"
        tracer = CallTracer(with_words=settings["trace-words"], model_provider=provider)
        observers.append(tracer.observe_call)
    elif settings["trace-words"]:
        raise UsageError("--trace-words needs --traces")
    return tuple(observers)


def _ignore() -> None:
    """Ignore a call that was refused."""


def _open_recordings(settings: LoadedSettings, log: EventLog) -> RecordingFolder | None:
    if settings["record"] is None:
        if settings["record-audio"]:
            raise UsageError("--record-audio needs --record, the folder to write to")
        return None

    on_error = partial(_log_recording_error, log)
    return RecordingFolder(Path(settings["record"]), on_error, settings["record-audio"])


def _log_recording_error(log: EventLog, error: OSError) -> None:
    reason = describe_error(error)
    log.write(logging.ERROR, "recording.failed", {"reason": reason}, like=reason)


def _make_browser_phone(
    settings: LoadedSettings, log: EventLog, *, is_encrypted: bool
) -> BrowserPhone | None:
    """Return the browser phone, if it is asked for. Raises `UsageError` if other machines could
    reach it."""
    if not settings["browser-phone"]:
        if settings["live-words"]:
            raise UsageError("--live-words needs --browser-phone, the page that shows them")
        return None
    host = settings["host"]
    if not is_loopback(host):
        raise UsageError(
            f"--browser-phone is for this machine, and --host is {host or 'all addresses'}: listen "
            "on 127.0.0.1, or leave --browser-phone out"
        )
    folder = Path(settings["record"] or _BROWSER_RECORDINGS)
    return BrowserPhone(
        RandomPool(),
        partial(RecordingFolder, folder, partial(_log_recording_error, log), keep_audio=True),
        scheme="https" if is_encrypted else "http",
        with_words=settings["live-words"],
        session=os.environ.get(SESSION_VARIABLE, ""),
    )
