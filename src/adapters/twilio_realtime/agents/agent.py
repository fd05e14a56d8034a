"""An agent described by its instructions, voice, greeting, functions and handlers.

agent = Agent(instructions="You answer for a pizza shop.", voice="marin", greeting="Greet them.")

@agent.function
async def opening_hours(day: str) -> str:
    '''When the shop is open on a day of the week.'''
    return "closed" if day == "Sunday" else "9 to 5"

An `Agent` is a `CallHandler`, so it can be passed wherever one is expected. Whatever opens the call
asks `resolve_call_config` for the configuration that the agent needs.
"""

import logging
from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, overload, runtime_checkable

from attrs import define, evolve, field

from twilio_realtime_core import CallConfig, LocalProtocolError
from twilio_realtime_core.commands import HangUp, Play
from twilio_realtime_core.config.fields import UNSET, UnsetType
from twilio_realtime_core.machine.arguments import CALLABLE, NULL, TEXT, FieldRule, instance_of
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.protocols.realtime import CreateResponse

from ..sim.audio import decode_speech
from .answering import greet_when_answered
from .call import Call, CallHandler
from .functions import TIMEOUT_MS, Functions
from .handlers import Handlers, NotificationHandler
from .hooks import CallHooks
from .phone_events import CallEvent

__all__ = ["MAX_GREETING_CLIP_SAMPLES", "Agent", "CallConfigurer", "resolve_call_config"]

MAX_GREETING_CLIP_SAMPLES: Final = 60 * 8000
"""The longest greeting clip: the minute of clips that a call can queue (`Play`)."""

_LOGGER: Final = logging.getLogger("twilio_realtime.agents")

E = TypeVar("E", bound=CallEvent)
F = TypeVar("F", bound=Callable[..., Any])


def _log_error(error: Exception) -> None:
    """Log a failure of a function; its text never contains what people said."""
    _LOGGER.error("%s", error)


_CLIP: Final = FieldRule(
    "bytes, or the path of a file, or None",
    lambda value: value is None or isinstance(value, bytes | str | PathLike),
)


def _to_clip(value: "bytes | PathLike[str] | None") -> bytes | None:
    """Return the samples of a clip given as µ-law, as a WAV file, or as the path of one."""
    _CLIP.check("Agent.greeting_clip", value)
    if value is None:
        return None
    audio = value if isinstance(value, bytes) else Path(value).read_bytes()
    if audio.startswith(b"RIFF") and audio[8:12] == b"WAVE":
        try:
            audio = decode_speech(audio)
        except ValueError as error:
            raise LocalProtocolError(f"Agent.greeting_clip: {error}") from None
    elif not isinstance(value, bytes):
        raise LocalProtocolError("Agent.greeting_clip: the file is not a WAV file")
    if not 0 < len(audio) <= MAX_GREETING_CLIP_SAMPLES:
        raise LocalProtocolError(
            f"Agent.greeting_clip has {len(audio)} samples: use 1 to {MAX_GREETING_CLIP_SAMPLES},"
            " a minute at 8 kHz"
        )
    return audio


@define(eq=False, repr=False)
class Agent(CallHooks):
    """An agent for phone calls: what the model knows, what it can call, and what else happens.

    It holds no state of a call, so one agent handles all calls of a process. Functions and handlers
    are registered with the decorators `function` and `on`.

    Raises `LocalProtocolError` for a field of the wrong type, for a value that the session cannot
    have, and for a greeting clip that is no audio or longer than a minute; `OSError` if the clip's
    file cannot be read.
    """

    instructions: str | None = None
    """The system instructions of the model. `None`: those of `config`."""
    voice: str | None = field(default=None, kw_only=True)
    """The name of the agent's voice, such as "marin". `None`: that of `config`."""
    greeting: str | None = field(default=None, kw_only=True, validator=TEXT | NULL)
    """An instruction for the first response, such as "Greet the caller.", which is requested when
    the call starts. `None`: the caller speaks first. It is added to the instructions."""
    greeting_clip: bytes | None = field(default=None, kw_only=True, converter=_to_clip)
    """Audio that is played when the call starts, before the greeting: G.711 µ-law at 8 kHz, one
    byte a sample, or a WAV file with one channel of 8 kHz in µ-law or 16-bit PCM, as bytes or as a
    path. The model does not know of it."""
    voicemail: str | None = field(default=None, kw_only=True, validator=TEXT | NULL)
    """An instruction for the response to an answering machine, such as "Say that the table is
    reserved for eight.", after which the call ends. It is said after the beep, on calls that are
    placed with machine detection. `None`: machines are hung up on."""
    model: str | None = field(default=None, kw_only=True)
    """The model. `None`: that of `config`."""
    config: CallConfig | None = field(
        default=None, kw_only=True, validator=instance_of(CallConfig) | NULL
    )
    """The configuration of the call. The fields above take precedence, and the agent's functions
    are added to its tools. `None`: that of the service or the test."""
    on_error: Callable[[Exception], None] = field(
        default=_log_error, kw_only=True, validator=CALLABLE
    )
    """Called with an `ApplicationError` for each function that failed (default: it is logged)."""
    _functions: Functions = field(init=False)
    _handlers: Handlers = field(init=False, factory=Handlers)

    def __attrs_post_init__(self) -> None:
        self._functions = Functions(on_error=self.on_error)
        self.call_config(CallConfig())  # raises for a value that is not valid

    @overload
    def function(self, function: F, /) -> F: ...

    @overload
    def function(
        self,
        /,
        *,
        name: str | None = None,
        timeout_ms: int = TIMEOUT_MS,
        after_playback: bool = False,
        respond: bool = True,
        wait_for_others: bool = True,
    ) -> Callable[[F], F]: ...

    def function(self, function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
        """Register the decorated function, which the model can call from then on.

        With and without options, as `Functions.add`, which has their meaning and what is raised.
        """
        register: Callable[[F], F] = self._functions.add(**options)
        return register if function is None else register(function)

    def on(self, kind: type[E]) -> Callable[[NotificationHandler[E]], NotificationHandler[E]]:
        """Register the decorated function, sync or async, for notifications of the class `kind`.

        It is called as `handler(call, event)`, in order, as `Handlers.on` says.
        """
        return self._handlers.on(kind)

    def off(self, kind: type[E], handler: NotificationHandler[E]) -> None:
        """Remove a handler of `kind`, for all calls, from the next notification on.

        Raises `LocalProtocolError` if the handler is not registered for `kind`.
        """
        self._handlers.off(kind, handler)

    def call_config(self, base: CallConfig, decided: CallConfig | None = None) -> CallConfig:
        """Return the configuration of a call of this agent.

        `base` is that of the service; it is used where the agent has no `config`. A URL of `base`
        other than OpenAI's takes precedence, since where the model is reached belongs to the place
        where the agent runs; so does its model where the agent names none. `decided` was decided
        for this call alone (`Accept.config`): what it sets takes precedence over all that the agent
        says.
        """
        if decided is not None:
            return self._complete(decided)
        config = base if self.config is None else _complete_server(self.config, base)
        if base.url != realtime.URL:
            config = evolve(config, url=base.url)
        session = config.session
        own_tools = self._functions.tools
        tools = () if isinstance(session.tools, UnsetType) else tuple(session.tools)
        return evolve(
            config,
            model=config.model if self.model is None else self.model,
            session=evolve(
                session,
                instructions=session.instructions
                if self.instructions is None
                else self.instructions,
                voice=session.voice if self.voice is None else self.voice,
                tools=(*tools, *own_tools) if own_tools else session.tools,
            ),
        )

    def _complete(self, decided: CallConfig) -> CallConfig:
        """Add what a configuration leaves open: instructions, voice, model and functions."""
        own, session = self.call_config(CallConfig()), decided.session
        own_tools = self._functions.tools
        tools = () if isinstance(session.tools, UnsetType) else tuple(session.tools)
        return evolve(
            decided,
            model=own.model if decided.model == CallConfig().model else decided.model,
            session=evolve(
                session,
                instructions=_first_set(session.instructions, own.session.instructions),
                voice=_first_set(session.voice, own.session.voice),
                tools=(*tools, *own_tools) if own_tools else session.tools,
            ),
        )

    async def __call__(self, call: Call) -> None:
        """Handle one call: answer its function calls, greet, and run the handlers to its end."""
        self._functions.attach(call)
        greet_when_answered(call, partial(self._greet, call), partial(self._leave_message, call))
        await self._handlers(call)

    def _greet(self, call: Call) -> None:
        if self.greeting_clip is not None:
            call.send(Play(self.greeting_clip, "greeting"))
        if self.greeting is not None:
            instructions = self._greeting_instructions(self.greeting, call.config)
            call.send(CreateResponse({"instructions": instructions}))

    def _leave_message(self, call: Call) -> None:
        """Say what is for an answering machine, and hang up."""
        if self.voicemail is not None:
            instructions = self._greeting_instructions(self.voicemail, call.config)
            call.send(CreateResponse({"instructions": instructions}))
        call.send(HangUp(after_playback=True))

    def _greeting_instructions(self, greeting: str, config: CallConfig | None) -> str:
        """Return the instructions of the first response. They replace those of the session for this
        response (OpenAI API reference, "Realtime", `response.create`), so they contain them."""
        session = (config or self.call_config(CallConfig())).session
        if session.instructions is UNSET or not session.instructions:
            return str.__str__(greeting)  # it may be of a subclass
        return f"{session.instructions}\n\n{greeting}"


def _first_set(value: Any, default: Any) -> Any:
    return default if value is UNSET else value


@runtime_checkable
class CallConfigurer(Protocol):
    """An agent that has a say in the configuration of its calls."""

    def call_config(self, base: CallConfig, decided: CallConfig | None = None) -> CallConfig:
        """Return the configuration of a call, as `Agent.call_config` does."""
        ...


def resolve_call_config(
    agent: CallHandler | None, base: CallConfig, decided: CallConfig | None = None
) -> CallConfig:
    """Return the configuration of a call that `agent` handles: that of an agent with a
    say in it (`CallConfigurer`), or else what was `decided`, or else `base`, the configuration of
    the service or the test.

    A configuration whose URL is the default has the server of the service or the agent instead, as
    `Accept.config` says: the service's key is for that server.
    """
    configurer = agent if isinstance(agent, CallConfigurer) else None
    undecided = base if configurer is None else configurer.call_config(base, None)
    undecided = _complete_server(undecided, base)
    if decided is None:
        return undecided
    config = decided if configurer is None else configurer.call_config(base, decided)
    return _complete_server(config, undecided)


def _complete_server(config: CallConfig, base: CallConfig) -> CallConfig:
    """Return a configuration with the URL of `base`, and also its model, where it has the defaults.
    The model belongs to the URL: it may be a deployment there."""
    if config.url != realtime.URL or base.url == realtime.URL:
        return config
    is_open = config.model == CallConfig().model
    return evolve(config, url=base.url, model=base.model if is_open else config.model)
