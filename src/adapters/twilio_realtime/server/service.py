"""What the service answers to each request, without a socket or a loop.

    GET or POST /incoming-call    Twilio's webhook: TwiML that joins the call to the stream
    WebSocket /media-stream       the stream: a call, with a `Bridge` of its own
    GET /healthz                  whether the service runs

With an auth token the first two must be signed by Twilio (Twilio, "Webhooks security").
"""

import os
import ssl
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, cast
from urllib.parse import urlsplit

from attrs import define, evolve, field, frozen

from twilio_realtime_core import Bridge, CallConfig, Fault, LocalProtocolError, Peer
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.transport.handshake import MAX_HEAD_BYTES, parse_url
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig
from twilio_realtime_core.webhook import (
    SIGNATURE_HEADER,
    connect_stream,
    form_parameters,
    signature_matches,
    stream_url,
)

from ..recordings.recorder import BridgeLike
from ..runtime.tls import Tls
from ..usage_error import UsageError
from .public_url import base_url, check_public_url, is_loopback
from .start_delay_store import Lines

__all__ = [
    "HEALTH",
    "INCOMING_CALL",
    "MEDIA_STREAM",
    "OnCall",
    "Service",
    "ServiceConfig",
    "check_exposure",
]

INCOMING_CALL: Final = "/incoming-call"
"""The path of the webhook that Twilio is configured with."""
MEDIA_STREAM: Final = "/media-stream"
"""The path of the stream, which the TwiML names."""
HEALTH: Final = "/healthz"
"""The path that says whether the service runs."""

_METHODS: Final = {
    INCOMING_CALL: ("GET", "POST"),
    MEDIA_STREAM: ("GET",),
    HEALTH: ("GET", "HEAD"),
}

_LONGEST_URL: Final = "wss://localhost/" + MAX_HEAD_BYTES * "x"
"""Longer than what a request can say about its URL."""

_NOTHING_HERE: Final = HttpResponse(
    404, f"served are {INCOMING_CALL}, {MEDIA_STREAM} and {HEALTH}\n".encode()
)
_NO_WEBSOCKET: Final = HttpResponse(  # RFC 9110, sections 7.8 and 15.5.22
    426,
    b"this is a WebSocket\n",
    headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
_URL_UNKNOWN: Final = HttpResponse(  # RFC 9110, section 15.5.20
    421,
    b"the URL under which Twilio reaches this server is not known: set --public-url, or trust the "
    b"proxy in front\n",
)
_NOT_SIGNED: Final = HttpResponse(403, b"the request has no X-Twilio-Signature\n")
_WRONGLY_SIGNED: Final = HttpResponse(
    403,
    b"X-Twilio-Signature does not match: see that --public-url is what Twilio uses, to the letter, "
    b"and that the auth token is that of the account\n",
)


def _hide(secret: str | None) -> str:
    return "None" if secret is None else "<hidden>"


@frozen(kw_only=True)
class ServiceConfig:
    """How to serve calls.

    `api_key` is sent to the Realtime server and nowhere else; `None` for a server that needs none,
    such as a simulated one. `auth_token` is that of the Twilio account; without it, requests are
    believed whoever sends them (see `check_exposure`). `call` is how each call is to be, and
    `parameters` are the stream's own, which Twilio brings back as `CallStarted.parameters`.
    `safety_identifier` tells OpenAI the end user, hashed and stable (API reference, "Realtime").

    `public_url` is how the world reaches this server, as https://host/path; where the proxy leaves
    the path in front of ours or takes it away, both are served. `trust_proxy`: without a public
    URL, believe the forwarded headers (see `base_url`), which anybody may send if there is no
    proxy.

    Raises `UsageError` for what makes no sense, and for a key that would travel in the clear.
    """

    api_key: str | None = field(default=None, repr=_hide)
    auth_token: str | None = field(default=None, repr=_hide)
    call: CallConfig = field(factory=CallConfig, repr=False)
    parameters: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    safety_identifier: str | None = field(default=None, repr=_hide)
    public_url: str | None = field(default=None, repr=_hide)  # its path may hold a token
    trust_proxy: bool = False

    def __attrs_post_init__(self) -> None:
        if self.auth_token == "":
            raise UsageError("the auth token is empty: everybody could sign with it")
        try:
            address = parse_url(self.call.url)
            connect_stream(self._longest_stream_url(), self.parameters)
            self.links()
        except LocalProtocolError as error:
            raise UsageError(str(error)) from None
        if self.api_key is not None and not address.tls and not is_loopback(address.host):
            raise UsageError(
                "the API key would travel in the clear: use a wss:// URL for the Realtime server, "
                "or no key"
            )

    def links(self) -> Mapping[Peer, LinkConfig]:
        """The limits of both links of a call, and the headers of the one to the Realtime server."""
        headers: list[tuple[str, str]] = []
        if self.api_key is not None:
            headers.append(("Authorization", f"Bearer {self.api_key}"))
        if self.safety_identifier is not None:
            headers.append(("OpenAI-Safety-Identifier", self.safety_identifier))
        return {
            Peer.TWILIO: LinkConfig(max_message_bytes=twilio.MAX_MESSAGE_BYTES),
            Peer.REALTIME: LinkConfig(
                max_message_bytes=realtime.MAX_MESSAGE_BYTES, headers=tuple(headers)
            ),
        }

    def _longest_stream_url(self) -> str:
        """What the TwiML may have to name: see that it does not become too long."""
        if self.public_url is None:
            return _LONGEST_URL
        return stream_url(check_public_url(self.public_url), MEDIA_STREAM)


OnCall: TypeAlias = Callable[[BridgeLike, HttpRequest], None]
"""Called with the bridge of a call, or with what records it, before it begins, and the request that
opened its stream.
Commands can be sent to the bridge from its `CallStarted` on."""


def _as_it_is(bridge: Bridge, config: CallConfig) -> BridgeLike:
    """It is not recorded."""
    del config
    return bridge


@define(eq=False, repr=False)
class Service:
    """Answers requests as `config` says; one for all calls.

    `client_tls` is the context for Realtime servers (default: see `Tls`), `server_tls` that for
    accepted connections, if they are to be TLS: as a rule a proxy in front does that.
    `random_bytes(n)` gives n unpredictable bytes, for WebSocket masks. `record` is given each
    bridge and its configuration, and returns what takes its place, such as `RecordingFolder.record`.
    """

    _config: ServiceConfig
    _client_tls: ssl.SSLContext | None = field(default=None, kw_only=True, alias="client_tls")
    _server_tls: ssl.SSLContext | None = field(default=None, kw_only=True, alias="server_tls")
    _random_bytes: Callable[[int], bytes] = field(
        default=os.urandom, kw_only=True, alias="random_bytes"
    )
    _record: Callable[[Bridge, CallConfig], BridgeLike] = field(
        default=_as_it_is, kw_only=True, alias="record"
    )
    _links: Mapping[Peer, LinkConfig] = field(init=False)
    _lines: Lines = field(init=False, factory=Lines)
    _public_url: str | None = field(default=None, init=False)
    _prefix: str = field(default="", init=False)
    """The path of the public URL, which a proxy may leave in front of ours."""

    def __attrs_post_init__(self) -> None:
        self._links = self._config.links()
        if self._config.public_url is not None:
            self._public_url = check_public_url(self._config.public_url)
            self._prefix = urlsplit(self._public_url).path

    def open_connection(self, on_call: OnCall | None = None) -> Tls:
        """The machine for one accepted connection, whose peer is `Peer.TWILIO` whoever it is. If
        it becomes a call, `on_call` is told.

        What the application's commands to the bridge ask for is carried out by `perform`:
        `machine.perform(bridge.send(command, now), now)`.
        """

        def respond(request: HttpRequest) -> HttpResponse | Upgrade:
            answer = self.respond(request)
            match answer:
                case Upgrade(machine=machine) if on_call is not None:
                    on_call(cast(BridgeLike, machine), request)
                case _:
                    pass
            return answer

        server = {} if self._server_tls is None else {Peer.TWILIO: self._server_tls}
        opening = HttpConnection(Peer.TWILIO, respond, self._random_bytes)
        return Tls(opening, client=self._client_tls, server=server)

    def respond(self, request: HttpRequest) -> HttpResponse | Upgrade:
        """The answer to a request; never raises, whatever is asked."""
        target = request.target
        if target.startswith(f"{self._prefix}/"):
            target = target.removeprefix(self._prefix)
        path = target.partition("?")[0]
        methods = _METHODS.get(path)
        if methods is None:
            return _NOTHING_HERE
        if request.method not in methods:
            allowed = ", ".join(methods)
            return HttpResponse(
                405, f"{path} takes {allowed}\n".encode(), headers=(("Allow", allowed),)
            )
        if path == HEALTH:
            return HttpResponse(200, b"ok\n")
        if path == INCOMING_CALL:
            return self._incoming_call(request, target)
        return self._media_stream(request) if request.is_upgrade else _NO_WEBSOCKET

    def _incoming_call(self, request: HttpRequest, target: str) -> HttpResponse:
        urls = self._urls(request)
        if isinstance(urls, HttpResponse):
            return urls
        base, stream = urls
        refusal = self._refusal(request, base + target)
        if refusal is not None:
            return refusal
        document = connect_stream(stream, self._config.parameters)
        return HttpResponse(200, document.encode(), content_type="text/xml")

    def _media_stream(self, request: HttpRequest) -> HttpResponse | Upgrade:
        if self._config.auth_token is not None:  # else the URL does not matter
            urls = self._urls(request)
            if isinstance(urls, HttpResponse):
                return urls
            refusal = self._refusal(request, urls[1])
            if refusal is not None:
                return refusal
        call = evolve(self._config.call, start_delay_history=self._lines.known())
        machine = self._record(self._lines.bridge(call), call)
        return Upgrade(machine, Peer.TWILIO, self._links)

    def _urls(self, request: HttpRequest) -> tuple[str, str] | HttpResponse:
        """Those of the server and of its stream, as Twilio has them."""
        base = base_url(request, self._public_url, trust_proxy=self._config.trust_proxy)
        if base is None:
            return _URL_UNKNOWN
        try:
            return base, stream_url(base, MEDIA_STREAM)
        except LocalProtocolError as error:
            return HttpResponse(_URL_UNKNOWN.status, f"{error}\n".encode())

    def _refusal(self, request: HttpRequest, url: str) -> HttpResponse | None:
        """The answer to a request that has to be signed, for `url`, and is not."""
        token = self._config.auth_token
        if token is None:
            return None
        form: list[tuple[str, str]] | Fault = []
        json = None
        if request.method == "POST":
            if (request.header("content-type") or "").startswith("application/json"):
                json = request.body
            else:
                form = form_parameters(request.body)
        if isinstance(form, Fault):
            return HttpResponse(400, f"{form.message}\n".encode())
        signature = request.header(SIGNATURE_HEADER)
        if signature is None:
            return _NOT_SIGNED
        matches = signature_matches(token, signature, url, form, json_body=json)
        return None if matches else _WRONGLY_SIGNED


def check_exposure(host: str, token: str | None, *, insecure: bool) -> None:
    """See that whoever can reach the service has to be Twilio: that there is an auth token, or
    `host`, on which it listens, is a loopback address, or the user wants it so.

    Raises `UsageError`.
    """
    if token is None and not insecure and not is_loopback(host):
        raise UsageError(
            f"listening on {host or 'all addresses'} without TWILIO_AUTH_TOKEN, anybody could make "
            "calls at your expense: set it to the auth token of your Twilio account, or listen on "
            "127.0.0.1, or say --insecure"
        )
