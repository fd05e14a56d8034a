"""The web service for Twilio: its connections and calls, without a socket or a loop.

Requests go where `routes` says: to `streams`, `webhooks` or `callbacks`. With an auth token, all
but the checks of health must be signed by Twilio (Twilio, "Webhooks security"). Without one, only
this machine is served, unless the configuration is `insecure`.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from logging import WARNING
from typing import Final, TypeAlias, cast
from urllib.parse import urlsplit
from weakref import WeakSet

from attrs import define, field

from twilio_realtime_core import Bridge, CallConfig, Peer
from twilio_realtime_core.transport.http import (
    HttpConnection,
    HttpRequest,
    HttpResponse,
    RequestRefused,
    Upgrade,
)
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ..agents.call import CallHandler
from ..agents.call_setup import CallSetup
from ..agents.decisions import PendingAnswer
from ..recordings.bridge_wrapper import BridgeLike
from ..runtime.random_pool import RandomPool
from ..runtime.tls import Tls
from ..telemetry.observer import ObserverFactory, Observers
from ..twilio_api.client import TwilioClient
from . import routes
from .admission import Admission
from .browser_phone.browser_phone import BrowserPhone
from .call_controls import CallControls
from .call_log import CallLog
from .callbacks import Callbacks
from .connection import ServiceConnection
from .event_log import EventLog
from .outgoing_calls import OUTGOING_TOKEN_LIFETIME_MS, OutgoingCalls
from .public_url import check_public_url
from .request_guard import RequestGuard, WebhookRequest
from .routes import Route, find_route
from .service_config import ServiceConfig
from .spending import Spending, TokenBudget
from .stream_tokens import StreamTokens
from .streams import CallUpgrade, Streams
from .webhooks import Webhooks

__all__ = ["BridgeCallback", "Service"]

_CANNOT_DECIDE: Final = HttpResponse(
    500, b"nothing here can wait for the agent's decision: use call_acceptor\n"
)

BridgeCallback: TypeAlias = Callable[[BridgeLike, HttpRequest], None]
"""Called with the bridge of a new call, or with what records it, and the request that opened its
stream. Commands can be sent to the bridge from its `CallStarted` on."""


def _without_recording(bridge: Bridge, config: CallConfig) -> BridgeLike:
    del config
    return bridge


def _ignore_refusal() -> None:
    """Ignore a call that was refused."""


def _ignore(setup: CallSetup) -> None:
    """Ignore what was decided about a call."""


@define(eq=False, repr=False)
class Service:
    """The web service for Twilio, for all calls of a process.

    `client_tls` is the context for Realtime servers (default: see `Tls`). `server_tls` is the
    context for accepted connections; without it they are not encrypted, as a rule since a proxy in
    front does that. `random_bytes(n)` returns n unpredictable bytes, for WebSocket masks and for
    tokens. `record` is called with each bridge and its configuration and returns the bridge to use
    in its place, as `RecordingFolder.record` does. `admission` decides which new calls are taken;
    the others hear a busy signal. `twilio` is the client for Twilio's REST API, with which calls
    are placed, transferred and recorded. `spending` limits what calls may cost. Events are written
    to `event_log`. `now_ns` is a monotonic clock (ns), for the lifetime of tokens. Each of
    `observers` is called for each connection, and returns what gets its notifications;
    `on_call_refused` is called for each busy signal. `browser_phone` serves its page beside the
    webhook.
    """

    _config: ServiceConfig
    _client_tls: ssl.SSLContext | None = field(default=None, kw_only=True, alias="client_tls")
    _server_tls: ssl.SSLContext | None = field(default=None, kw_only=True, alias="server_tls")
    _twilio: TwilioClient | None = field(default=None, kw_only=True, alias="twilio")
    _random_bytes: Callable[[int], bytes] = field(
        factory=RandomPool, kw_only=True, alias="random_bytes"
    )
    _record: Callable[[Bridge, CallConfig], BridgeLike] = field(
        default=_without_recording, kw_only=True, alias="record"
    )
    _admission: Admission = field(factory=Admission, kw_only=True, alias="admission")
    _spending: Spending = field(factory=Spending, kw_only=True, alias="spending")
    _event_log: EventLog = field(factory=EventLog, kw_only=True, alias="event_log")
    _observers: Sequence[ObserverFactory] = field(default=(), kw_only=True, alias="observers")
    _on_call_refused: Callable[[], None] = field(
        default=_ignore_refusal, kw_only=True, alias="on_call_refused"
    )
    _browser_phone: BrowserPhone | None = field(default=None, kw_only=True, alias="browser_phone")
    _connections: "WeakSet[ServiceConnection]" = field(
        init=False, factory=WeakSet[ServiceConnection]
    )
    """Those that are calls."""
    _now_ns: Callable[[], int] = field(default=time.monotonic_ns, kw_only=True, alias="now_ns")
    _guard: RequestGuard = field(init=False)
    _streams: Streams = field(init=False)
    outgoing_calls: OutgoingCalls = field(init=False)
    """The calls that are placed."""
    _webhooks: Webhooks = field(init=False)
    _callbacks: Callbacks = field(init=False)
    _numbers: "count[int]" = field(init=False, factory=lambda: count(1))
    """The numbers of calls in the log."""
    _path_prefix: str = field(default="", init=False)
    """The path of the public URL, which a proxy may leave in the targets of requests."""

    def __attrs_post_init__(self) -> None:
        config = self._config
        self._streams = Streams(
            config,
            StreamTokens(config.token_lifetime_ms, self._random_bytes, self._now_ns),
            self._spending.find_refusal,
            self._record_call,
        )
        controls = CallControls(self._twilio, config.ask_after_stream)
        self.outgoing_calls = OutgoingCalls(
            config.public_url,
            self._twilio,
            self._find_refusal,
            controls.phone_calls,
            StreamTokens(OUTGOING_TOKEN_LIFETIME_MS, self._random_bytes, self._now_ns),
        )
        self._webhooks = Webhooks(
            config,
            self._streams,
            self._admission,
            self._spending,
            controls,
            self.outgoing_calls,
            self._event_log,
            self._on_call_refused,
        )
        self._callbacks = Callbacks(controls.phone_calls, self._event_log)
        public_url = None if config.public_url is None else check_public_url(config.public_url)
        self._path_prefix = urlsplit(public_url or "").path
        self._guard = RequestGuard(config, public_url)

    def open_connection(
        self,
        on_call: BridgeCallback | None = None,
        *,
        agent: CallHandler | None = None,
        on_setup: Callable[[CallSetup], None] = _ignore,
        on_pending: Callable[[PendingAnswer], None] | None = None,
        is_exposed: bool = False,
    ) -> ServiceConnection:
        """Return the machine of one accepted connection, which knows its peer as `Peer.TWILIO`. It
        logs what it notifies.

        If the connection becomes a call, `on_setup` is called with what was decided about it, and
        then `on_call`. `agent` handles the call, unless its decision names another one; an `Agent`
        adds to the configuration of the call. If the agent has to decide about a request,
        `on_pending` is called, and the decision is passed to `answer` of the machine. `is_exposed`:
        the connection came in at an address that other machines can reach.

        `perform` carries out the actions of commands:
        `machine.perform(bridge.send(command, now), now)`.
        """

        def respond(request: HttpRequest) -> HttpResponse | Upgrade | None:
            answer = self.respond(request, agent, is_exposed=is_exposed)
            match answer:
                case CallUpgrade(machine=machine, setup=setup):
                    bridge = cast(BridgeLike, machine)
                    refusal = self._begin_call(connection, bridge)
                    if refusal is not None:
                        return refusal
                    on_setup(setup)
                    if on_call is not None:
                        on_call(bridge, request)
                case PendingAnswer():
                    if on_pending is None:
                        return _CANNOT_DECIDE
                    on_pending(answer)
                    return None
                case _:
                    pass
            return answer

        server = {} if self._server_tls is None else {Peer.TWILIO: self._server_tls}
        http = HttpConnection(Peer.TWILIO, respond, self._random_bytes)
        tls = Tls(http, client=self._client_tls, server=server)
        connection = self._make_connection(tls)
        return connection

    def _make_connection(self, machine: Tls) -> ServiceConnection:
        """Make the machine around another, which logs, observes and limits what it does."""
        return ServiceConnection(
            machine,
            CallLog(self._event_log),
            self._end_call,
            observers=Observers([make() for make in self._observers]) if self._observers else None,
            budget=TokenBudget(self._spending.limits.max_tokens_per_call),
            on_over_budget=self._log_over_budget,
        )

    def _begin_call(self, connection: ServiceConnection, bridge: BridgeLike) -> HttpResponse | None:
        """Begin a call, or return the answer that it is not taken."""
        refusal = self._admission.begin(connection)
        if refusal is not None:
            return HttpResponse(503, f"{refusal}\n".encode())
        self._spending.begin(connection)
        self._connections.add(connection)
        connection.begin_call(bridge, next(self._numbers))
        return None

    def playback_positions(self) -> list[tuple[PlaybackPosition, ...]]:
        """Return the positions of what plays, for each call in progress."""
        return [each.playback_positions for each in self._connections]

    def _end_call(self, connection: ServiceConnection) -> None:
        self._connections.discard(connection)
        self._admission.end(connection)
        self._spending.end(connection)

    def _log_over_budget(self) -> None:
        limit = self._spending.limits.max_tokens_per_call
        self._event_log.write(WARNING, "call.over_budget", {"max_tokens_per_call": limit}, like=0)

    def _find_refusal(self) -> str | None:
        """Return why a new call would not be taken now, or `None`."""
        return self._admission.find_refusal() or self._spending.find_refusal()

    # Calls whose stream another server has accepted

    @property
    def admission(self) -> Admission:
        """What decides which new calls are taken."""
        return self._admission

    def create_call(self, agent: CallHandler) -> CallUpgrade | HttpResponse:
        """Return a new call that `agent` handles, or why there is none. No request is checked:
        that is up to the program that has accepted the stream."""
        return self._streams.create_call(agent)

    def begin_hosted_call(
        self, machine: Stack, bridge: BridgeLike
    ) -> ServiceConnection | HttpResponse:
        """Return the machine of a call whose stream another server reads and writes, with its log;
        or a response that says why the call is not taken. `machine` runs `bridge`, and has the
        links to the model."""
        connection = self._make_connection(Tls(machine, client=self._client_tls))
        return self._begin_call(connection, bridge) or connection

    def log_answer(self, request: HttpRequest, response: HttpResponse) -> None:
        """Log a response to a request that another server has received, if it is a refusal."""
        if response.status >= 300:  # noqa: PLR2004 - RFC 9110, section 15
            refused = RequestRefused(Peer.TWILIO, request, response)
            CallLog(self._event_log).on_notification(refused, 0)

    # Requests

    def respond(
        self,
        request: HttpRequest,
        agent: CallHandler | None = None,
        *,
        is_exposed: bool = False,
        root_path: str = "",
    ) -> HttpResponse | Upgrade | PendingAnswer:
        """Return the answer to a request: a response, a new call, which `agent` handles, or a
        decision that the agent has to make. `root_path` is the path below which another server
        has mounted this service; it is not in the target. Never raises."""
        route = find_route(request, self._path_prefix)
        if isinstance(route, HttpResponse):
            return route
        match route.path:
            case routes.HEALTH_PATH:
                return HttpResponse(200, b"ok\n")
            case routes.READY_PATH:
                return self._answer_whether_ready()
            case routes.MEDIA_STREAM_PATH:
                check = partial(self._check_stream, is_exposed=is_exposed, root_path=root_path)
                return self._streams.open(request, agent, route.token, check)
            case routes.BROWSER_PHONE_PATH:
                if self._browser_phone is None:
                    return routes.NOT_FOUND
                ask = partial(self._webhooks.answer_incoming, agent=agent)
                return self._browser_phone.respond(
                    request, route.token or "", ask, is_exposed=is_exposed
                )
            case _:
                webhook = self._guard.check_webhook(
                    request, route.target, is_exposed=is_exposed, root_path=root_path
                )
                if isinstance(webhook, HttpResponse):
                    return webhook
                return self._answer_webhook(route, webhook, agent)

    def _answer_webhook(
        self, route: Route, webhook: WebhookRequest, agent: CallHandler | None
    ) -> HttpResponse | PendingAnswer:
        match route.path:
            case routes.OUTGOING_CALL_PATH:
                return self._webhooks.answer_outgoing(webhook, agent, route.token or "")
            case routes.AFTER_DIAL_PATH:
                return self._webhooks.answer_after_dial(webhook, agent)
            case routes.AFTER_STREAM_PATH:
                return self._webhooks.answer_after_stream(webhook, agent)
            case routes.INCOMING_CALL_PATH:
                return self._webhooks.answer_incoming(webhook, agent)
            case _:
                return self._callbacks.receive(dict(webhook.parameters))

    def _check_stream(
        self,
        request: HttpRequest,
        base_url: str | None,
        path: str,
        setup: CallSetup | None,
        *,
        is_exposed: bool,
        root_path: str,
    ) -> HttpResponse | None:
        """Check a request for a stream: a call of the browser phone is nobody else's, and others
        are Twilio's."""
        phone = self._browser_phone
        if phone is not None and setup is not None and phone.is_call(setup):
            return phone.check_stream(request, is_exposed=is_exposed)
        return self._guard.check_stream(
            request, base_url, path, is_exposed=is_exposed, root_path=root_path
        )

    def _record_call(self, bridge: Bridge, config: CallConfig, setup: CallSetup) -> BridgeLike:
        """Return what takes the place of the bridge of a new call."""
        phone = self._browser_phone
        if phone is not None and phone.is_call(setup):
            return phone.take_over(bridge, config, setup)
        return self._record(bridge, config)

    def _answer_whether_ready(self) -> HttpResponse:
        reason = self._find_refusal()
        if reason is None:
            return HttpResponse(200, b"ok\n")
        return HttpResponse(503, f"{reason}\n".encode())
