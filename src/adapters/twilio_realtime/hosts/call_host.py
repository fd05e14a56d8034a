"""The calls of one agent in servers of others, with what they share: settings, limits, log."""

import os
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import anyio
from attrs import define, field

from twilio_realtime_core.transport.http import HttpRequest, HttpResponse

from ..agents.call import CallHandler
from ..agents.call_acceptor import DriverFactory
from ..agents.required_runtime import check_runtime
from ..errors import UsageError
from ..server.agent_loader import check_agent
from ..server.operation import Operation
from ..server.proxy import driver_factory
from ..server.service import Service
from ..server.service_config import MEDIA_STREAM_PATH, ServiceConfig
from ..server.serving import make_service_config, override_agent, running_loop_name
from ..server.settings import load_settings
from ..server.streams import CallUpgrade
from ..server.supervisor import FAREWELL_S, GOODBYE_S, end_connections
from .hosted_call import HostedCall
from .socket import HostSocket

__all__ = ["CallHost", "find_call_host"]

_MAX_HOSTS: Final = 64
"""Pairs of agent and configuration whose calls share a host; a program has a few. The one that was
not used for the longest time goes first."""

_TRY_AGAIN_LATER: Final = 1013
"""The close code of a server that takes no call now (IANA, "WebSocket Close Code Number
Registry")."""

_INTERVAL_S: Final = 0.05
"""Between looks at the number of calls."""


@define(eq=False, repr=False, slots=False)
class CallHost:
    """The calls of `agent` in servers of others. `drain_timeout_s` is how long `drain` waits for
    calls to finish, by default."""

    agent: CallHandler
    operation: Operation
    drain_timeout_s: float
    on_error: Callable[[Exception], None]
    """Called with what ends a call with an error, such as an `ApplicationError`."""
    _calls: set[HostedCall] = field(init=False, factory=set[HostedCall])

    @classmethod
    def build(
        cls,
        agent: CallHandler,
        config: ServiceConfig | None,
        on_error: Callable[[Exception], None] | None = None,
        **settings: Any,
    ) -> "CallHost":
        """Build one from settings, which are those of `serve`: without `config`, all that concerns
        the service is from them and from the environment.

        Raises `UsageError` for a setting that cannot be used.
        """
        agent = check_agent(agent, "the agent")
        loaded = load_settings(settings, os.environ, Path.cwd())
        agent = override_agent(agent, loaded)
        if config is None:
            config = make_service_config(loaded, os.environ, agent)
        operation = Operation.build(loaded, config)
        drain_timeout_s = loaded["drain-timeout"] / 1000
        return cls(agent, operation, drain_timeout_s, on_error or operation.log_error)

    @property
    def service(self) -> Service:
        """The service that answers requests and makes calls."""
        return self.operation.service

    @property
    def calls(self) -> int:
        """How many calls are in progress."""
        return len(self._calls)

    @property
    def is_draining(self) -> bool:
        """Whether new calls are refused."""
        return self.service.admission.is_draining

    def refuse_calls(self) -> None:
        """Refuse new calls from now on, and say so to readiness probes; those in progress
        continue."""
        if not self.is_draining:
            self.operation.drain()

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuse new calls, wait until those in progress are over, for `timeout_s` at most, and
        then end the rest in good order, after the goodbye of their agents."""
        self.refuse_calls()
        with anyio.move_on_after(self.drain_timeout_s if timeout_s is None else timeout_s):
            await self._wait_until_idle()
        limit = anyio.CancelScope(deadline=anyio.current_time() + GOODBYE_S)
        await end_connections(lambda: self._calls, limit)
        with anyio.move_on_after(FAREWELL_S):
            await self._wait_until_idle()

    def open_call(self, upgrade: CallUpgrade, socket: HostSocket) -> HostedCall | HttpResponse:
        """Return a call to be run by `run_call`, or why it is not taken."""
        call = HostedCall(self.service, upgrade, self.agent, socket, self._make_driver)
        return call if call.refusal is None else call.refusal

    async def run_call(self, call: HostedCall) -> None:
        """Run a call to its end. What ends it with an error is passed to `on_error`."""
        self._calls.add(call)
        try:
            await call.run()
        except Exception as error:
            self.on_error(error)
        finally:
            self._calls.discard(call)

    async def host(self, socket: HostSocket) -> None:
        """Run a call that no webhook has announced, over an accepted socket.

        If the call is not taken, the socket is closed. Raises `UsageError` if the configuration of
        the call cannot be used.
        """
        upgrade = self.service.create_call(self.agent)
        if isinstance(upgrade, HttpResponse):
            raise UsageError(upgrade.body.decode().strip())
        call = self.open_call(upgrade, socket)
        if isinstance(call, HttpResponse):
            self.service.log_answer(HttpRequest("GET", MEDIA_STREAM_PATH), call)
            await socket.close(_TRY_AGAIN_LATER, "")
        else:
            await self.run_call(call)

    @cached_property
    def _make_driver(self) -> DriverFactory:
        runtime = running_loop_name()
        check_runtime(self.agent, runtime)
        api = import_module(f"twilio_realtime.{runtime}")
        return driver_factory(api, os.environ)

    async def _wait_until_idle(self) -> None:
        while self._calls:
            await anyio.sleep(_INTERVAL_S)


_HOSTS: Final = OrderedDict[tuple[int, int], tuple[object, CallHost]]()
"""The hosts that were used last, by the identities of agent and configuration, which they keep
alive."""


def find_call_host(agent: CallHandler, config: ServiceConfig | None) -> CallHost:
    """Return the host of an agent's calls, the same one for the same agent and configuration.

    Raises as `CallHost.build`.
    """
    key = id(agent), id(config)
    if key not in _HOSTS:
        _HOSTS[key] = (agent, config), CallHost.build(agent, config)
        if len(_HOSTS) > _MAX_HOSTS:
            _HOSTS.popitem(last=False)
    _HOSTS.move_to_end(key)
    return _HOSTS[key][1]
