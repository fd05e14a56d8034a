"""The settings that come from the environment: secrets, and where the Realtime server is."""

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.transport.handshake import parse_url

from ..errors import UsageError
from .public_url import is_loopback

__all__ = ["API_KEY", "AUTH_TOKEN", "REALTIME_URL", "Settings", "read_settings"]

API_KEY: Final = "OPENAI_API_KEY"
"""The key of the OpenAI API."""
AUTH_TOKEN: Final = "TWILIO_AUTH_TOKEN"  # noqa: S105 - a name
"""The auth token of the Twilio account, which signs its requests."""
REALTIME_URL: Final = "OPENAI_REALTIME_URL"
"""Where the Realtime server is, if elsewhere than at OpenAI."""


def _hide(secret: str | None) -> str:
    return "None" if secret is None else "<hidden>"


@frozen(kw_only=True)
class Settings:
    """What the environment says. `None`: nothing. The URL may hold a token too."""

    api_key: str | None = field(default=None, repr=_hide)
    auth_token: str | None = field(default=None, repr=_hide)
    realtime_url: str = field(default=realtime.URL, repr=_hide)


def read_settings(environment: Mapping[str, str], realtime_url: str | None = None) -> Settings:
    """The settings in `environment`, as a rule `os.environ`. `realtime_url`, if given, goes before
    that of the environment. What is empty counts as not set; space around a value is left out.

    Raises `UsageError` if the URL is none, if the key or the token cannot be one, and if there is
    no key though the Realtime server needs one, as all do that are reached by wss:// and are not
    on this machine.
    """
    url = realtime_url or _value(environment, REALTIME_URL) or realtime.URL
    try:
        address = parse_url(url)
    except LocalProtocolError as error:
        raise UsageError(f"--realtime-url, or {REALTIME_URL}, makes no sense: {error}") from None
    settings = Settings(
        api_key=_secret(environment, API_KEY),
        auth_token=_secret(environment, AUTH_TOKEN),
        realtime_url=url,
    )
    if settings.api_key is None and address.tls and not is_loopback(address.host):
        raise UsageError(
            f"{API_KEY} is not set: make a key at platform.openai.com/api-keys, and set it with "
            f"export {API_KEY}=..."
        )
    return settings


def _value(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(name, "").strip() or None


def _secret(environment: Mapping[str, str], name: str) -> str | None:
    secret = _value(environment, name)
    if secret is not None and not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise UsageError(
            f"{name} holds a space, a line break or another character that it cannot hold: see how "
            "it was copied"
        )
    return secret
