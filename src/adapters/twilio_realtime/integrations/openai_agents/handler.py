"""An agent of the Agents SDK as one of this package."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, ClassVar, Final, TypeAlias, cast

from agents.realtime import RealtimeAgent, RealtimeRunConfig, RealtimeRunner, RealtimeSession
from agents.realtime.events import RealtimeSessionEvent
from attrs import define, evolve, field

from twilio_realtime_core import CallConfig, Peer

from ...agents.call import Call
from ...agents.hooks import CallHooks
from ...errors import UsageError
from .model import CallOverError, TwilioRealtimeModel

__all__ = ["AgentsSdkAgent", "SessionEventHandler", "from_agents_sdk"]

SessionEventHandler: TypeAlias = Callable[[Call, RealtimeSession, RealtimeSessionEvent], object]
"""A function, sync or async, that is called with each event of a session. What it returns is not
used."""

_CONFIGURE_TIMEOUT_MS: Final = 10_000
"""How long a session waits for the settings of its agent, whose instructions and tools may be
functions that ask a database."""

_LOWEST_VERSION: Final = (0, 22)


def _call_itself(call: Call) -> Any:
    return call


@define(eq=False, repr=False)
class AgentsSdkAgent(CallHooks):
    """A `CallHandler` that runs an agent of the Agents SDK, with a session for each call, and that
    has the hooks of an `Agent`.

    It handles the calls of a process, and so do its tools: what belongs to a call goes into the
    context.
    """

    runtime: ClassVar[str] = "asyncio"
    """The event loop that the SDK needs."""

    agent: RealtimeAgent[Any]
    run_config: RealtimeRunConfig | None = field(default=None, kw_only=True)
    """The `config` of the `RealtimeRunner`."""
    make_context: Callable[[Call], Any] = field(default=_call_itself, kw_only=True)
    """Makes the context of a call for its tools. By default it is the `Call`, so a tool hangs up by
    `context.context.send(HangUp(after_playback=True))`."""
    greeting: str | None = field(default=None, kw_only=True)
    """A message to the model when the call starts, such as "Greet the caller.". `None`: the caller
    speaks first."""
    on_event: SessionEventHandler | None = field(default=None, kw_only=True)
    """Called with each event of the session, to approve tools, for example."""

    def call_config(self, base: CallConfig, decided: CallConfig | None = None) -> CallConfig:
        """Return the configuration of a call: what was `decided` for it, or else `base`, with what
        a `TwilioRealtimeModel` needs."""
        config = base if decided is None else decided
        return evolve(
            config,
            configure_timeout_ms=max(config.configure_timeout_ms, _CONFIGURE_TIMEOUT_MS),
            notify_agent_audio=True,
            raw_messages=config.raw_messages | {Peer.REALTIME},
        )

    async def __call__(self, call: Call) -> None:
        """Handle one call: run the session to its end."""
        runner = RealtimeRunner(self.agent, model=TwilioRealtimeModel(call), config=self.run_config)
        session = await runner.run(context=self.make_context(call))
        try:
            await session.enter()
        except CallOverError:  # the call says why it has ended
            return
        try:
            if self.greeting is not None:
                await session.send_message(self.greeting)
            async for event in session:
                if self.on_event is not None:
                    result = self.on_event(call, session, event)
                    if inspect.isawaitable(result):
                        await result
        finally:
            await session.close()


def from_agents_sdk(
    agent: RealtimeAgent[Any],
    *,
    run_config: RealtimeRunConfig | None = None,
    context: Callable[[Call], Any] | None = None,
    greeting: str | None = None,
    on_event: SessionEventHandler | None = None,
) -> AgentsSdkAgent:
    """Return an agent of the Agents SDK as one of this package, to be passed wherever one is.

    The arguments are the fields of `AgentsSdkAgent`. Raises `UsageError` for what is no
    `RealtimeAgent`, and for a version of the SDK before 0.22.
    """
    installed = version("openai-agents")
    if tuple(int(part) for part in installed.split(".")[:2]) < _LOWEST_VERSION:
        raise UsageError(
            f"openai-agents {installed} is too old: pip install -U 'openai-agents>=0.22'"
        )
    given = cast(object, agent)
    if not isinstance(given, RealtimeAgent):
        kind = type(given).__name__
        raise UsageError(f"from_agents_sdk takes a RealtimeAgent of the SDK, and no {kind}")
    return AgentsSdkAgent(
        agent,
        run_config=run_config,
        make_context=context or _call_itself,
        greeting=greeting,
        on_event=on_event,
    )
