"""The answers of the service to requests, without a socket or a loop.

    GET or POST /incoming-call    Twilio's webhook: TwiML that connects the call to the stream
    WebSocket /media-stream       the stream: a call, with its `Bridge`
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
    connect_stream_twiml,
    is_signature_valid,
    parse_form,
    stream_url,
)

from ..errors import UsageError
from ..recordings.recorder import BridgeLike
from ..runtime.tls import Tls
from .environment import hide_secret
from .public_url import base_url, check_public_url, is_loopback
from .start_delay_store import StartDelayStore

__all__ = [
    "HEALTH_PATH",
    "INCOMING_CALL_PATH",
    "MEDIA_STREAM_PATH",
    "BridgeCallback",
    "Service",
    "ServiceConfig",
    "check_exposure",
]

INCOMING_CALL_PATH: Final = "/incoming-call"
"""The path of the webhook for incoming calls."""
MEDIA_STREAM_PATH: Final = "/media-stream"
"""The path of the media stream, which the TwiML names."""
HEALTH_PATH: Final = "/healthz"
"""The path of the health check."""

_ALLOWED_METHODS: Final = {
    INCOMING_CALL_PATH: ("GET", "POST"),
    MEDIA_STREAM_PATH: ("GET",),
    HEALTH_PATH: ("GET", "HEAD"),
}

_LONGEST_URL: Final = "wss://localhost/" + MAX_HEAD_BYTES * "x"
"""Longer than any URL that can be derived from a request."""

_NOT_FOUND: Final = HttpResponse(
    404, f"not here: try {INCOMING_CALL_PATH}, {MEDIA_STREAM_PATH} or {HEALTH_PATH}\n".encode()
)
_UPGRADE_REQUIRED: Final = HttpResponse(  # RFC 9110, sections 7.8 and 15.5.22
    426,
    b"this is a WebSocket\n",
    headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
_PUBLIC_URL_UNKNOWN: Final = HttpResponse(  # RFC 9110, section 15.5.20
    421,
    b"the URL under which Twilio reaches this server is not known: set --public-url, or trust the "
    b"proxy in front\n",
)
_SIGNATURE_MISSING: Final = HttpResponse(403, b"the request has no X-Twilio-Signature\n")
_SIGNATURE_WRONG: Final = HttpResponse(
    403,
    b"X-Twilio-Signature does not match: check that --public-url is what Twilio uses, to the "
    b"letter, and that the auth token is that of the account\n",
)


@frozen(kw_only=True)
class ServiceConfig:
    """The configuration of a `Service`.

    Raises `UsageError` if a value is not valid, and if the API key would be sent unencrypted to
    another machine.
    """

    api_key: str | None = field(default=None, repr=hide_secret)
    """The key for the Realtime server, sent nowhere else; `None` for a server that needs none, such
    as a simulated one."""
    auth_token: str | None = field(default=None, repr=hide_secret)
    """The auth token of the Twilio account; without it, requests from anybody are accepted (see
    `check_exposure`)."""
    call: CallConfig = field(factory=CallConfig, repr=False)
    """The configuration of each call."""
    parameters: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """Parameters of the stream in the TwiML; they come back as `CallStarted.parameters`."""
    safety_identifier: str | None = field(default=None, repr=hide_secret)
    """A stable, hashed identifier of the end user, for OpenAI (API reference, "Realtime")."""
    public_url: str | None = field(default=None, repr=hide_secret)  # its path may hold a token
    """The URL under which Twilio reaches this server, as https://host/path. Requests are served
    whether or not a proxy removes that path."""
    trust_proxy: bool = False
    """Without a public URL, believe the forwarded headers (see `base_url`). Anybody can send them
    if there is no proxy."""

    def __attrs_post_init__(self) -> None:
        if self.auth_token == "":
            raise UsageError("the auth token is empty: everybody could sign with it")
        try:
            address = parse_url(self.call.url)
            connect_stream_twiml(self._longest_stream_url(), self.parameters)
            self.link_configs()
        except LocalProtocolError as error:
            raise UsageError(str(error)) from None
        if self.api_key is not None and not address.tls and not is_loopback(address.host):
            raise UsageError(
                "the API key would travel in the clear: use a wss:// URL for the Realtime server, "
                "or no key"
            )

    def link_configs(self) -> Mapping[Peer, LinkConfig]:
        """Return the limits of both links of a call, and the headers for the Realtime server.

        Raises `LocalProtocolError` if a header cannot be sent.
        """
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
        """Return the longest URL that the TwiML may name, to check its length."""
        if self.public_url is None:
            return _LONGEST_URL
        return stream_url(check_public_url(self.public_url), MEDIA_STREAM_PATH)


BridgeCallback: TypeAlias = Callable[[BridgeLike, HttpRequest], None]
"""Called with the bridge of a new call, or with what records it, and the request that opened its
stream. Commands can be sent to the bridge from its `CallStarted` on."""


def _without_recording(bridge: Bridge, config: CallConfig) -> BridgeLike:
    del config
    return bridge


@define(eq=False, repr=False)
class Service:
    """The web service for Twilio, for all calls of a process.

    `client_tls` is the context for Realtime servers (default: see `Tls`). `server_tls` is the
    context for accepted connections; without it they are not encrypted, as a rule since a proxy in
    front does that. `random_bytes(n)` returns n unpredictable bytes, for WebSocket masks.
    `record` is called with each bridge and its configuration and returns the bridge to use in its
    place, as `RecordingFolder.record` does.
    """

    _config: ServiceConfig
    _client_tls: ssl.SSLContext | None = field(default=None, kw_only=True, alias="client_tls")
    _server_tls: ssl.SSLContext | None = field(default=None, kw_only=True, alias="server_tls")
    _random_bytes: Callable[[int], bytes] = field(
        default=os.urandom, kw_only=True, alias="random_bytes"
    )
    _record: Callable[[Bridge, CallConfig], BridgeLike] = field(
        default=_without_recording, kw_only=True, alias="record"
    )
    _links: Mapping[Peer, LinkConfig] = field(init=False)
    _start_delays: StartDelayStore = field(init=False, factory=StartDelayStore)
    _public_url: str | None = field(default=None, init=False)
    _path_prefix: str = field(default="", init=False)
    """The path of the public URL, which a proxy may leave in the targets of requests."""

    def __attrs_post_init__(self) -> None:
        self._links = self._config.link_configs()
        if self._config.public_url is not None:
            self._public_url = check_public_url(self._config.public_url)
            self._path_prefix = urlsplit(self._public_url).path

    def open_connection(self, on_call: BridgeCallback | None = None) -> Tls:
        """Return the machine of one accepted connection, which knows its peer as `Peer.TWILIO`. If
        the connection becomes a call, `on_call` is called.

        `perform` carries out the actions of commands:
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
        connection = HttpConnection(Peer.TWILIO, respond, self._random_bytes)
        return Tls(connection, client=self._client_tls, server=server)

    def respond(self, request: HttpRequest) -> HttpResponse | Upgrade:
        """Return the answer to a request: a response, or a new call. Never raises."""
        target = request.target
        if target.startswith(f"{self._path_prefix}/"):
            target = target.removeprefix(self._path_prefix)
        path = target.partition("?")[0]
        methods = _ALLOWED_METHODS.get(path)
        if methods is None:
            return _NOT_FOUND
        if request.method not in methods:
            allowed = ", ".join(methods)
            return HttpResponse(
                405, f"{path} takes {allowed}\n".encode(), headers=(("Allow", allowed),)
            )
        if path == HEALTH_PATH:
            return HttpResponse(200, b"ok\n")
        if path == INCOMING_CALL_PATH:
            return self._answer_webhook(request, target)
        return self._open_stream(request) if request.is_upgrade else _UPGRADE_REQUIRED

    def _answer_webhook(self, request: HttpRequest, target: str) -> HttpResponse:
        urls = self._server_and_stream_url(request)
        if isinstance(urls, HttpResponse):
            return urls
        base, stream = urls
        refusal = self._check_signature(request, base + target)
        if refusal is not None:
            return refusal
        document = connect_stream_twiml(stream, self._config.parameters)
        return HttpResponse(200, document.encode(), content_type="text/xml")

    def _open_stream(self, request: HttpRequest) -> HttpResponse | Upgrade:
        if self._config.auth_token is not None:  # else the URL does not matter
            urls = self._server_and_stream_url(request)
            if isinstance(urls, HttpResponse):
                return urls
            refusal = self._check_signature(request, urls[1])
            if refusal is not None:
                return refusal
        self._start_delays.collect_ended()
        call = evolve(self._config.call, start_delay_history=self._start_delays.history)
        machine = self._record(self._start_delays.create_bridge(call), call)
        return Upgrade(machine, Peer.TWILIO, self._links)

    def _server_and_stream_url(self, request: HttpRequest) -> tuple[str, str] | HttpResponse:
        """Return the URL of this server and of its stream, as Twilio uses them."""
        base = base_url(request, self._public_url, trust_proxy=self._config.trust_proxy)
        if base is None:
            return _PUBLIC_URL_UNKNOWN
        try:
            return base, stream_url(base, MEDIA_STREAM_PATH)
        except LocalProtocolError as error:
            return HttpResponse(_PUBLIC_URL_UNKNOWN.status, f"{error}\n".encode())

    def _check_signature(self, request: HttpRequest, url: str) -> HttpResponse | None:
        """Return the refusal of a request without a valid signature for `url`, else `None`."""
        token = self._config.auth_token
        if token is None:
            return None
        form: list[tuple[str, str]] | Fault = []
        json = None
        if request.method == "POST":
            if (request.header("content-type") or "").startswith("application/json"):
                json = request.body
            else:
                form = parse_form(request.body)
        if isinstance(form, Fault):
            return HttpResponse(400, f"{form.message}\n".encode())
        signature = request.header(SIGNATURE_HEADER)
        if signature is None:
            return _SIGNATURE_MISSING
        is_valid = is_signature_valid(token, signature, url, form, json_body=json)
        return None if is_valid else _SIGNATURE_WRONG


def check_exposure(host: str, token: str | None, *, insecure: bool) -> None:
    """Check that only Twilio can use the service: there is an auth token, or `host`, on which it
    listens, is a loopback address, or `insecure` waives the check.

    Raises `UsageError` otherwise.
    """
    if token is None and not insecure and not is_loopback(host):
        raise UsageError(
            f"listening on {host or 'all addresses'} without TWILIO_AUTH_TOKEN, anybody could make "
            "calls at your expense: set it to the auth token of your Twilio account, or listen on "
            "127.0.0.1, or say --insecure"
        )
