"""The configuration of the web service, and the check of who can reach it."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from attrs import field, frozen

from twilio_realtime_core import CallConfig, LocalProtocolError, Peer
from twilio_realtime_core.machine.arguments import (
    BOOLEAN,
    CALLABLE,
    MAPPING,
    NULL,
    TEXT,
    FieldRule,
    instance_of,
    list_of,
    milliseconds,
    one_of,
)
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.transport.handshake import MAX_HEAD_BYTES, parse_url
from twilio_realtime_core.transport.headers import Headers, HeaderSource, read_headers
from twilio_realtime_core.transport.websocket import LinkConfig
from twilio_realtime_core.webhook import connect_stream_twiml, stream_url

from ..errors import UsageError
from .environment import hide_secret
from .public_url import check_public_url, is_loopback
from .realtime_headers import ApiKey, realtime_headers
from .stream_tokens import TOKEN_CHARACTERS, TOKEN_LIFETIME_MS

__all__ = ["MEDIA_STREAM_PATH", "ServiceConfig", "check_exposure"]

MEDIA_STREAM_PATH: Final = "/media-stream"
"""The path of the media stream; the TwiML adds a slash and a token."""

_LONGEST_URL: Final = "wss://localhost/" + MAX_HEAD_BYTES * "x"
"""Longer than any URL that can be derived from a request."""


_RULES: Final[Mapping[str, FieldRule]] = {
    "api_key": TEXT | CALLABLE | NULL,
    "auth_token": TEXT | list_of(TEXT) | NULL,
    "provider": one_of("openai", "azure"),
    "organization": TEXT | NULL,
    "project": TEXT | NULL,
    "headers": MAPPING | instance_of(list, tuple) | CALLABLE,
    "call": instance_of(CallConfig),
    "parameters": MAPPING,
    "safety_identifier": TEXT | NULL,
    "public_url": TEXT | NULL,
    "trust_proxy": BOOLEAN,
    "insecure": BOOLEAN,
    "static_twiml": BOOLEAN,
    "stream_status": BOOLEAN,
    "ask_after_stream": BOOLEAN,
    "token_lifetime_ms": milliseconds(1),
}
"""The rule of each field. Any other value counts as a switch that is on, or fails in a call."""


def _hide_secrets(secrets: object) -> str:
    return hide_secret(None if secrets is None else "secrets")


def _hide_headers(headers: Headers | HeaderSource) -> str:
    if callable(headers):
        return hide_secret("secrets")
    return f"[{', '.join(name for name, _ in read_headers(headers))}]"


@frozen(kw_only=True)
class ServiceConfig:
    """The configuration of a `Service`.

    Raises `UsageError` if a value is not valid, which names the field and what it must be, and if
    the API key would be sent unencrypted to another machine.
    """

    api_key: ApiKey | None = field(default=None, repr=_hide_secrets)
    """The key for the Realtime server, the one at `call.url` or the URL that an agent or
    `Accept.config` gives in its place, and sent nowhere else; `None` for a server that needs none,
    such as a simulated one. A function, sync or async, returns a bearer token that expires: it is
    called for each connection to the server, also for one that replaces a lost one, and has the
    time of the handshake, ten seconds. One that is not async runs in a thread. If it fails, the
    attempt to connect has failed, and another may follow (`CallConfig.reconnect`)."""
    auth_token: str | Sequence[str] | None = field(default=None, repr=_hide_secrets)
    """The auth token of the Twilio account, or several secrets, any of which may have signed a
    request: those of subaccounts, the next one while they are rotated, and the secrets of shared
    keys. Without it, requests of this machine alone are accepted."""
    provider: Literal["openai", "azure"] = "openai"
    """Whose Realtime server it is: it says in which header the key is sent. Azure's URL is
    wss://RESOURCE.openai.azure.com/openai/v1/realtime, and the model is the deployment."""
    organization: str | None = None
    """The OpenAI organization of the key, if it has several."""
    project: str | None = None
    """The OpenAI project of the key, if it has several."""
    headers: Headers | HeaderSource = field(default=(), repr=_hide_headers)
    """Further headers for the Realtime server, or a function that returns them, which is called as
    that of `api_key`."""
    call: CallConfig = field(factory=CallConfig, repr=False)
    """The configuration of each call; an `Agent` adds its own to it."""
    parameters: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """Parameters of the stream in the TwiML; they come back as `CallStarted.custom_parameters`."""
    safety_identifier: str | None = field(default=None, repr=hide_secret)
    """A stable, hashed identifier of the end user, for OpenAI (API reference, "Realtime")."""
    public_url: str | None = field(default=None, repr=hide_secret)  # its path may hold a token
    """The URL under which Twilio reaches this server, as https://host/path. Requests are served
    whether or not a proxy removes that path. With an auth token it may be left out: then it is
    taken from the headers of signed requests (`proposed_base_urls`)."""
    trust_proxy: bool = False
    """Without a public URL, believe the forwarded headers (see `base_url`). Anybody can send them
    if there is no proxy."""
    insecure: bool = False
    """Accept unsigned requests from anywhere: anybody who finds the server can make calls
    at your expense."""
    static_twiml: bool = False
    """With an auth token, also accept streams without a one-time token, for TwiML that is stored at
    Twilio and names /media-stream. Then a signed request that is sent again is not noticed."""
    stream_status: bool = False
    """Have Twilio report the start, the end and errors of each stream, for the log."""
    ask_after_stream: bool = False
    """Have Twilio ask what follows the stream of a call, so that an agent can transfer or redirect
    it without the REST API. It is one more request for each call that the agent ends."""
    token_lifetime_ms: int = TOKEN_LIFETIME_MS
    """How long the URL of a stream in the TwiML is valid."""

    def __attrs_post_init__(self) -> None:
        try:
            for name, rule in _RULES.items():
                rule.check(f"ServiceConfig.{name}", getattr(self, name))
            if self.auth_token is not None and not (self.auth_tokens and all(self.auth_tokens)):
                raise UsageError("the auth token is empty: everybody could sign with it")
            connect_stream_twiml(self._longest_stream_url(), self.parameters)
            self.link_configs()
        except LocalProtocolError as error:
            raise UsageError(str(error)) from None
        self.check_call(self.call)
        self._check_exposure()

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """The secrets with which requests may be signed."""
        token = self.auth_token
        if token is None:
            return ()
        return (token,) if isinstance(token, str) else tuple(token)

    def check_call(self, call: CallConfig) -> None:
        """Check the URL of the Realtime server in the configuration of a call.

        Raises `UsageError` if it is not valid, and if the API key would be sent to it in the clear.
        """
        try:
            address = parse_url(call.url)
        except LocalProtocolError as error:
            raise UsageError(str(error)) from None
        has_key = self.api_key is not None or callable(self.headers)
        if has_key and not address.tls and not is_loopback(address.host):
            raise UsageError(
                "the API key would travel in the clear: use a wss:// URL for the Realtime server, "
                "or no key"
            )
        if self.provider == "azure" and "api-version=" in address.target:
            raise UsageError(
                "the URL with api-version= speaks Azure's old protocol: use "
                "wss://RESOURCE.openai.azure.com/openai/v1/realtime, and the deployment as model"
            )
        if self.provider == "azure" and address.host == "api.openai.com":
            raise UsageError(
                "with the provider azure, --realtime-url is that of your resource: "
                "wss://RESOURCE.openai.azure.com/openai/v1/realtime"
            )

    def _check_exposure(self) -> None:
        """Check that requests are signed if the world is meant to reach the service."""
        host = urlsplit(self.public_url or "").hostname
        is_public = host is not None and not is_loopback(host)
        if (is_public or self.trust_proxy) and not self.auth_tokens and not self.insecure:
            option = "--public-url" if is_public else "--trust-proxy"
            raise UsageError(
                f"with {option} and without TWILIO_AUTH_TOKEN, anybody could make calls at your "
                "expense: set it to the auth token of your Twilio account, or say --insecure"
            )

    def link_configs(self) -> Mapping[Peer, LinkConfig]:
        """Return the limits of both links of a call, and the headers for the Realtime server.

        Raises `LocalProtocolError` if a header cannot be sent.
        """
        named = {
            "OpenAI-Organization": self.organization,
            "OpenAI-Project": self.project,
            "OpenAI-Safety-Identifier": self.safety_identifier,
        }
        headers = realtime_headers(
            self.api_key,
            self.headers,
            [(name, value) for name, value in named.items() if value is not None],
            is_azure=self.provider == "azure",
        )
        return {
            Peer.TWILIO: LinkConfig(max_message_bytes=twilio.MAX_MESSAGE_BYTES),
            Peer.REALTIME: LinkConfig(
                max_message_bytes=realtime.MAX_MESSAGE_BYTES, headers=headers
            ),
        }

    def _longest_stream_url(self) -> str:
        """Return the longest URL that the TwiML may name, to check its length."""
        if self.public_url is None:
            return _LONGEST_URL
        path = f"{MEDIA_STREAM_PATH}/{TOKEN_CHARACTERS * 'x'}"
        return stream_url(check_public_url(self.public_url), path)


def check_exposure(host: str, token: str | Sequence[str] | None, *, insecure: bool) -> None:
    """Check that only Twilio can use the service: there is an auth token, or `host`, on which it
    listens, is a loopback address, or `insecure` waives the check.

    Raises `UsageError` otherwise.
    """
    if not token and not insecure and not is_loopback(host):
        raise UsageError(
            f"listening on {host or 'all addresses'} without TWILIO_AUTH_TOKEN, anybody could make "
            "calls at your expense: set it to the auth token of your Twilio account, or listen on "
            "127.0.0.1, or say --insecure"
        )
