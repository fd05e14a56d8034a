"""The settings in environment variables: secrets, and the URL of the Realtime server."""

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.transport.handshake import parse_url

from ..errors import UsageError
from .public_url import is_loopback

__all__ = [
    "API_KEY_VARIABLE",
    "AUTH_TOKEN_VARIABLE",
    "AZURE_KEY_VARIABLE",
    "AZURE_TOKEN_VARIABLE",
    "REALTIME_URL_VARIABLE",
    "Settings",
    "hide_secret",
    "read_settings",
]

API_KEY_VARIABLE: Final = "OPENAI_API_KEY"
"""Name of the variable with the key of the OpenAI API."""
AUTH_TOKEN_VARIABLE: Final = "TWILIO_AUTH_TOKEN"  # noqa: S105 - a name
"""Name of the variable with the auth token of the Twilio account, which signs its requests; or with
several, separated by commas (`ServiceConfig.auth_token`)."""
AZURE_KEY_VARIABLE: Final = "AZURE_OPENAI_API_KEY"
"""Name of the variable with the key of an Azure OpenAI resource."""
AZURE_TOKEN_VARIABLE: Final = "AZURE_OPENAI_AD_TOKEN"  # noqa: S105 - a name
"""Name of the variable with a token of Microsoft Entra ID, in place of that key. It expires."""
REALTIME_URL_VARIABLE: Final = "OPENAI_REALTIME_URL"
"""Name of the variable with the URL of the Realtime server, if it is not OpenAI's."""


def hide_secret(secret: str | None) -> str:
    """Return what a `repr` shows of a secret: whether there is one."""
    return "None" if secret is None else "<hidden>"


@frozen(kw_only=True)
class Settings:
    """The settings of the environment; `None` where one is not set."""

    api_key: str | None = field(default=None, repr=hide_secret)
    auth_token: str | tuple[str, ...] | None = field(
        default=None, repr=lambda value: hide_secret(None if value is None else "secret")
    )
    realtime_url: str = field(default=realtime.URL, repr=hide_secret)  # it may hold a token


def read_settings(
    environment: Mapping[str, str],
    realtime_url: str | None = None,
    *,
    key_variable: str | None = None,
) -> Settings:
    """Return the settings in `environment`, as a rule `os.environ`. A `realtime_url` takes
    precedence over that of the environment. Empty values count as not set; space around a value is
    removed. `key_variable` is named in place of `OPENAI_API_KEY` where the key is missing.

    Raises `UsageError` if the URL is not valid, if the key or the token contains characters that it
    cannot contain, and if there is no key for a Realtime server that is reached by wss:// and is
    not on this machine.
    """
    url = realtime_url or _read_value(environment, REALTIME_URL_VARIABLE) or realtime.URL
    try:
        address = parse_url(url)
    except LocalProtocolError as error:
        raise UsageError(
            f"--realtime-url, or {REALTIME_URL_VARIABLE}, is not valid: {error}"
        ) from None
    settings = Settings(
        api_key=_read_secret(environment, API_KEY_VARIABLE),
        auth_token=_read_tokens(environment),
        realtime_url=url,
    )
    if settings.api_key is None and address.tls and not is_loopback(address.host):
        if key_variable is not None:
            raise UsageError(f"{key_variable} is not set: set it to what your provider gave you")
        raise UsageError(
            f"{API_KEY_VARIABLE} is not set: make a key at platform.openai.com/api-keys, and set "
            f"it with export {API_KEY_VARIABLE}=..."
        )
    return settings


def _read_value(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(name, "").strip() or None


def _read_tokens(environment: Mapping[str, str]) -> str | tuple[str, ...] | None:
    text = _read_value(environment, AUTH_TOKEN_VARIABLE) or ""
    tokens = tuple(
        token
        for each in text.split(",")
        if (token := _check_secret(AUTH_TOKEN_VARIABLE, each.strip() or None)) is not None
    )
    return tokens[0] if len(tokens) == 1 else tokens or None


def _read_secret(environment: Mapping[str, str], name: str) -> str | None:
    return _check_secret(name, _read_value(environment, name))


def _check_secret(name: str, secret: str | None) -> str | None:
    if secret is not None and not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise UsageError(
            f"{name} contains a space, a line break or another character that it cannot contain: "
            "check how it was copied"
        )
    return secret
