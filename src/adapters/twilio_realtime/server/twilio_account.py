"""The Twilio account of a service: its credentials, from the environment."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from ..errors import UsageError
from ..twilio_api.client import API_URL, TwilioClient

__all__ = [
    "ACCOUNT_SID_VARIABLE",
    "API_KEY_SECRET_VARIABLE",
    "API_KEY_SID_VARIABLE",
    "make_twilio_client",
    "require_twilio_client",
]

ACCOUNT_SID_VARIABLE: Final = "TWILIO_ACCOUNT_SID"
"""Name of the variable with the SID of the Twilio account."""
API_KEY_SID_VARIABLE: Final = "TWILIO_API_KEY"
"""Name of the variable with the SID of an API key, in place of the auth token."""
API_KEY_SECRET_VARIABLE: Final = "TWILIO_API_SECRET"  # noqa: S105 - a name
"""Name of the variable with the secret of that key."""


def make_twilio_client(settings: Mapping[str, Any]) -> TwilioClient | None:
    """Return the client for the account in `settings`; `None` without an account, without
    credentials for it, and where the extra `twilio-api` is not installed.

    With an API key its secret is used, else the first auth token. Raises `UsageError` for an
    account SID that is none.
    """
    account_sid = (settings["twilio-account-sid"] or "").strip()
    key, secret = settings["twilio-api-key"], settings["twilio-api-secret"]
    token = (settings["auth-token"] or "").partition(",")[0].strip()
    username, password = (key, secret) if key and secret else (account_sid, token)
    if not account_sid or not password or find_spec("httpx2") is None:
        return None
    return TwilioClient(
        account_sid=account_sid,
        username=username.strip(),
        password=password.strip(),
        api_url=(settings["twilio-api-url"] or API_URL).rstrip("/"),
    )


def require_twilio_client(settings: Mapping[str, Any]) -> TwilioClient:
    """Return the client for the account. Raises `UsageError` that says what is missing."""
    client = make_twilio_client(settings)
    if client is None:
        raise UsageError(
            f"placing calls needs {ACCOUNT_SID_VARIABLE} with TWILIO_AUTH_TOKEN, or with "
            f"{API_KEY_SID_VARIABLE} and {API_KEY_SECRET_VARIABLE}, and the extra twilio-api"
        )
    return client
