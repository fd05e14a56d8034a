"""Serve an agent: in a program with `serve`, and step by step, as the command line does.

    trio.run(serve, agent)          # or asyncio.run(serve(agent))

`find_agent` and `make_service_config` lead from settings to an agent and to a service.
"""

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from attrs import evolve, frozen

from twilio_realtime_core import CallConfig, LocalProtocolError, SessionConfig
from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.protocols import realtime

from ..agents.agent import Agent, resolve_call_config
from ..agents.call import CallHandler
from ..agents.call_acceptor import call_acceptor
from ..agents.required_runtime import check_runtime
from ..errors import UsageError
from ..stop_requests import StopRequests
from .agent_loader import DEFAULT_FILE, DEFAULT_NAME, check_agent, load_agent
from .environment import (
    API_KEY_VARIABLE,
    AUTH_TOKEN_VARIABLE,
    AZURE_KEY_VARIABLE,
    AZURE_TOKEN_VARIABLE,
    read_settings,
)
from .operation import Operation
from .proxy import driver_factory
from .public_url import check_public_url
from .service import Service
from .service_config import ServiceConfig, check_exposure
from .settings import LoadedSettings, load_settings, parse_headers

__all__ = [
    "ServedAgent",
    "find_agent",
    "make_service_config",
    "override_agent",
    "running_loop_name",
    "serve",
    "serving",
]

_OVERRIDES: Final = ("instructions", "voice", "greeting", "model")
"""Settings that replace the values of an `Agent`."""


async def serve(
    agent: CallHandler,
    *,
    config: ServiceConfig | None = None,
    on_listening: Callable[[list[tuple[str, int]]], None] | None = None,
    **settings: Any,
) -> None:
    """Answer Twilio's calls with `agent` until cancelled, on the event loop that runs, of trio or
    asyncio.

    `settings` are those of `twilio-realtime serve` by their keys, such as `port=5060` and
    `public_url="https://calls.example"`. They take precedence over the environment
    (`TWILIO_REALTIME_*`), `twilio-realtime.toml`, and the defaults. Secrets come from the
    environment, as `OPENAI_API_KEY` and `TWILIO_AUTH_TOKEN`; or `config` replaces all that
    concerns the service, and host, port, certificate and recording are left to the settings.

    After SIGTERM it takes no new calls, and returns once those in progress are over
    (`drain_timeout`); SIGHUP loads the certificate again. What happens is logged by `logging`.
    `on_listening` gets the addresses, with the port that the system chose for port 0.

    Raises `UsageError` for a setting that cannot be used, and `OSError` if the address cannot be
    listened on.
    """
    operation, agent, loaded = _prepare(agent, config, settings)
    await _run(operation, agent, loaded, on_listening, handles_signals=True)


@asynccontextmanager
async def serving(
    agent: CallHandler, *, config: ServiceConfig | None = None, **settings: Any
) -> AsyncGenerator[Service, None]:
    """Serve an agent while in the context, as `serve` does, and yield the service once it listens,
    to place calls with it. At the end, calls in progress may finish (`drain_timeout`). Signals are
    up to the program.

    Raises what `serve` raises.
    """
    operation, agent, loaded = _prepare(agent, config, settings)
    is_listening = anyio.Event()

    def on_listening(_: object) -> None:
        is_listening.set()

    async def run() -> None:
        await _run(operation, agent, loaded, on_listening, handles_signals=False)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await is_listening.wait()
            yield operation.service
            operation.drain()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _prepare(
    agent: CallHandler, config: ServiceConfig | None, settings: Mapping[str, Any]
) -> tuple[Operation, CallHandler, LoadedSettings]:
    agent = check_agent(agent, "the agent")
    check_runtime(agent, running_loop_name())
    loaded = load_settings(settings, os.environ, Path.cwd())
    agent = override_agent(agent, loaded)
    if config is None:
        config = make_service_config(loaded, os.environ, agent)
    else:
        check_exposure(loaded["host"], config.auth_tokens, insecure=config.insecure)
        config.check_call(resolve_call_config(agent, config.call))
    return Operation.build(loaded, config), agent, loaded


async def _run(
    operation: Operation,
    agent: CallHandler,
    loaded: LoadedSettings,
    on_listening: Callable[[list[tuple[str, int]]], None] | None,
    *,
    handles_signals: bool,
) -> None:
    api = import_module(f"twilio_realtime.{running_loop_name()}")
    make_driver = driver_factory(api, os.environ)

    def report_addresses(addresses: list[tuple[str, int]]) -> None:
        for host, port in addresses:
            operation.log.write(logging.INFO, "listening", {"host": host, "port": port})
        operation.print_links(addresses)
        if on_listening is not None:
            on_listening(addresses)

    try:
        async with operation.supervised(api) as tasks:
            if handles_signals and current_thread() is main_thread():  # only there are signals
                tasks.start_soon(_handle_signals, operation)
            await api.listen(
                loaded["host"] or None,
                loaded["port"],
                call_acceptor(operation.service, agent, make_driver),
                on_error=operation.log_error,
                on_listening=report_addresses,
                connections=operation.connections,
            )
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(operation.close)


async def _handle_signals(operation: Operation) -> None:
    """SIGTERM drains the service, and a second one ends it; SIGHUP loads the certificate again."""
    requests = StopRequests()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as received:
        async for number in received:
            if number == signal.SIGHUP:
                operation.reload_certificate()
            elif requests.receive() is not None:
                operation.drain()


def running_loop_name() -> str:
    """Return the name of the library whose event loop runs, "trio" or "asyncio"."""
    trio = sys.modules.get("trio")
    return "trio" if trio is not None and trio.lowlevel.in_trio_run() else "asyncio"


@frozen(eq=False)
class ServedAgent:
    """An agent, and where it is from."""

    handler: CallHandler
    name: str


def find_agent(settings: LoadedSettings, folder: Path) -> ServedAgent:
    """Return the agent that the settings name, with the settings that replace its values; else the
    one in `agent.py`, else the built-in one that they describe.

    Raises as `load_agent` does, and `UsageError` for a value that an agent cannot have.
    """
    reference: str | None = settings["agent"]
    found = load_agent(reference, folder, is_factory=settings["factory"])
    name = reference or f"{DEFAULT_FILE.removesuffix('.py')}:{DEFAULT_NAME}"
    if found is None:
        if settings["factory"]:
            raise UsageError("--factory needs the name of the function: MODULE:NAME")
        found, name = Agent(), "the built-in agent"
    return ServedAgent(override_agent(found, settings), name)


def override_agent(agent: CallHandler, settings: LoadedSettings) -> CallHandler:
    """Replace the values of an `Agent` by those that are set. Raises `UsageError` for a value that
    it cannot have."""
    if isinstance(agent, Agent):
        for name in _OVERRIDES:
            if settings[name] is not None:
                setattr(agent, name, settings[name])
        try:
            agent.call_config(CallConfig())
        except LocalProtocolError as error:
            raise UsageError(str(error)) from None
    elif settings["greeting"] is not None:
        raise UsageError("--greeting is for an Agent, and this agent is a function or Handlers")
    return agent


def make_service_config(
    settings: LoadedSettings, environment: Mapping[str, str], agent: CallHandler | None = None
) -> ServiceConfig:
    """Return the configuration of the service, for calls that `agent` handles.

    Raises `UsageError` if it cannot be used, if a key or an auth token is missing that the
    Realtime server or the exposure of the service requires.
    """
    is_azure = settings["provider"] == "azure"
    base = CallConfig() if agent is None else resolve_call_config(agent, CallConfig())
    url = settings["realtime-url"]
    if settings.sources["realtime-url"] == "default":
        url = _azure_url(environment) if is_azure and base.url == realtime.URL else base.url
    secrets = {
        API_KEY_VARIABLE: settings["api-key"],
        AUTH_TOKEN_VARIABLE: settings["auth-token"],
    }
    azure_token = settings["azure-token"] if is_azure else None
    if is_azure:
        secrets[API_KEY_VARIABLE] = azure_token or settings["azure-api-key"] or settings["api-key"]
    present = {name: value for name, value in secrets.items() if value is not None}
    key_variable = f"{AZURE_KEY_VARIABLE} or {AZURE_TOKEN_VARIABLE}" if is_azure else None
    checked = read_settings(present, url, key_variable=key_variable)
    check_exposure(settings["host"], checked.auth_token, insecure=settings["insecure"])
    _check_public_url(settings["public-url"])
    api_key: Any = checked.api_key
    if azure_token is not None:
        api_key = _constant(checked.api_key or "")
    try:
        session = SessionConfig()
        if agent is None or not isinstance(agent, Agent):
            session = SessionConfig(
                instructions=_or_unset(settings["instructions"]), voice=_or_unset(settings["voice"])
            )
        call = CallConfig(session=session, url=url)
        if settings["model"] is not None:
            call = evolve(call, model=settings["model"])
        return ServiceConfig(
            api_key=api_key,
            auth_token=checked.auth_token,
            provider=settings["provider"],
            organization=settings["organization"],
            project=settings["project"],
            headers=parse_headers(settings["header"], environment),
            call=call,
            public_url=settings["public-url"],
            trust_proxy=settings["trust-proxy"],
            insecure=settings["insecure"],
            static_twiml=settings["static-twiml"],
            stream_status=settings["stream-status"],
            ask_after_stream=settings["ask-after-stream"],
            token_lifetime_ms=settings["token-lifetime"],
        )
    except LocalProtocolError as error:
        raise UsageError(str(error)) from None


def _azure_url(environment: Mapping[str, str]) -> str:
    """Return the URL of the Realtime server of the Azure resource in AZURE_OPENAI_ENDPOINT."""
    endpoint = environment.get("AZURE_OPENAI_ENDPOINT", "").strip()
    host = urlsplit(endpoint).netloc
    if not host:
        raise UsageError(
            "with the provider azure, set AZURE_OPENAI_ENDPOINT to https://RESOURCE.openai.azure.com"
            " or --realtime-url to wss://RESOURCE.openai.azure.com/openai/v1/realtime"
        )
    return f"wss://{host}/openai/v1/realtime"


def _constant(value: str) -> Any:
    return lambda: value


def _or_unset(value: str | None) -> Any:
    return UNSET if value is None else value


def _check_public_url(url: str | None) -> None:
    if url is None:
        return
    try:
        check_public_url(url)
    except LocalProtocolError:
        raise UsageError(
            "--public-url is not a URL at which Twilio can reach this server: use one such as "
            "https://calls.example"
        ) from None
