"""The answers to requests for a stream: each that is accepted is a new call, with its `Bridge`."""

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, evolve, field, frozen

from twilio_realtime_core import Bridge, CallConfig, LocalProtocolError, Peer
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse, Upgrade

from ..agents.agent import resolve_call_config
from ..agents.call import CallHandler
from ..agents.call_setup import CallSetup
from ..agents.hooks import find_hooks
from ..errors import UsageError
from ..recordings.bridge_wrapper import BridgeLike
from .service_config import MEDIA_STREAM_PATH, ServiceConfig
from .start_delay_store import StartDelayStore
from .stream_tokens import StreamTokens, TokenFault

__all__ = ["CallUpgrade", "StreamCheck", "Streams", "refuse_config"]

StreamCheck: TypeAlias = Callable[
    [HttpRequest, str | None, str, CallSetup | None], HttpResponse | None
]
"""`RequestGuard.check_stream`, with what the server knows of the connection, and with what was
decided about the call, if a webhook has announced it."""

_MAX_AFTER_STREAM: Final = 1000
"""Calls whose end is kept until Twilio asks how they continue, which it does within seconds: more
than a process has at a time. The oldest goes first."""

_TOKEN_REQUIRED: Final = HttpResponse(
    403,
    b"the URL of the stream has no token: let Twilio request /incoming-call, whose TwiML names "
    b"one, or say --static-twiml\n",
)


@frozen
class CallUpgrade(Upgrade):
    """The answer to a request for a stream: a new call, and what was decided about it."""

    setup: CallSetup


@frozen(eq=False)
class _AnnouncedStream:
    """A stream that the TwiML has named."""

    setup: CallSetup
    base_url: str


@define(eq=False)
class Streams:
    """Opens the streams of a service: those that its TwiML has named by a token, and, if it is
    configured so, others.

    `find_refusal` returns why a call that no webhook has announced is not taken, or `None`.
    `record` is called with each bridge, its configuration and what was decided about its call, and
    returns the bridge to use.
    """

    _config: ServiceConfig
    _tokens: StreamTokens[_AnnouncedStream]
    _find_refusal: Callable[[], str | None]
    _record: Callable[[Bridge, CallConfig, CallSetup], BridgeLike]
    _start_delays: StartDelayStore = field(init=False, factory=StartDelayStore)
    _after_stream: dict[str, CallSetup] = field(init=False, factory=dict[str, CallSetup])
    """By call SID, the calls whose agents decide how they continue."""

    def announce(self, setup: CallSetup, base_url: str) -> str:
        """Return the path of a new stream, for the TwiML of a call; `base_url` is before it."""
        token = self._tokens.issue(_AnnouncedStream(setup, base_url))
        return f"{MEDIA_STREAM_PATH}/{token}"

    def take_setup(self, call_sid: str) -> CallSetup | None:
        """Return what was decided about a call whose stream has ended, once, or `None` if that is
        not known."""
        return self._after_stream.pop(call_sid, None)

    def asks_after_stream(self, agent: CallHandler | None) -> bool:
        """Whether Twilio is to ask how a call of this agent continues after its stream."""
        return self._config.ask_after_stream or find_hooks(agent).after_stream_handler is not None

    def resolve(self, agent: CallHandler | None, decided: CallConfig | None) -> CallConfig:
        """Return the configuration of a call. Raises `LocalProtocolError` or `UsageError`."""
        config = resolve_call_config(agent, self._config.call, decided)
        self._config.check_call(config)
        return config

    def open(
        self,
        request: HttpRequest,
        agent: CallHandler | None,
        token: str | None,
        check: StreamCheck,
    ) -> HttpResponse | CallUpgrade:
        """Answer a request for a stream. `agent` handles a call that no webhook has announced."""
        if token is None:
            return self._open_plain(request, agent, check)
        announced = self._tokens.get(token)
        if isinstance(announced, TokenFault):
            return HttpResponse(403, f"the stream is refused: {announced.value}\n".encode())
        path = f"{MEDIA_STREAM_PATH}/{token}"
        refusal = check(request, announced.base_url, path, announced.setup)
        if refusal is not None:
            return refusal
        self._tokens.mark_used(token)
        return self._open_call(announced.setup)

    def create_call(self, agent: CallHandler | None) -> HttpResponse | CallUpgrade:
        """Return a call that no webhook has announced, or why there is none."""
        try:
            config = self.resolve(agent, None)
        except (LocalProtocolError, UsageError) as error:
            return refuse_config(error)
        return self._open_call(CallSetup(agent, config))

    def _open_plain(
        self, request: HttpRequest, agent: CallHandler | None, check: StreamCheck
    ) -> HttpResponse | CallUpgrade:
        """Answer a request for a stream that no webhook has announced."""
        refusal = check(request, None, MEDIA_STREAM_PATH, None)
        if refusal is None and self._config.auth_tokens and not self._config.static_twiml:
            refusal = _TOKEN_REQUIRED
        reason = self._find_refusal()
        if refusal is None and reason is not None:
            refusal = HttpResponse(503, f"{reason}\n".encode())
        return self.create_call(agent) if refusal is None else refusal

    def _open_call(self, setup: CallSetup) -> CallUpgrade:
        self._start_delays.collect_ended()
        call = evolve(setup.config, start_delay_history=self._start_delays.history)
        machine = self._record(self._start_delays.create_bridge(call), call, setup)
        if setup.incoming is not None and self.asks_after_stream(setup.agent):
            self._keep(setup.incoming.call_sid, setup)
        return CallUpgrade(machine, Peer.TWILIO, self._config.link_configs(), setup)

    def _keep(self, call_sid: str, setup: CallSetup) -> None:
        if len(self._after_stream) >= _MAX_AFTER_STREAM:
            del self._after_stream[next(iter(self._after_stream))]
        self._after_stream[call_sid] = setup


def refuse_config(error: Exception) -> HttpResponse:
    """Return the answer that the configuration of a call cannot be used."""
    return HttpResponse(500, f"the configuration of the call cannot be used: {error}\n".encode())
