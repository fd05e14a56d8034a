"""One HTTP request after another, as the commands `phone` and `doctor` need them."""

import http.client
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen

__all__ = ["TIMEOUT_S", "HttpAnswer", "NoAnswerError", "exchange"]

TIMEOUT_S: Final = 15
"""How long an answer may take: as long as Twilio waits (error 11200)."""

_SCHEMES: Final = {"http": False, "ws": False, "https": True, "wss": True}


class NoAnswerError(Exception):
    """The server cannot be reached, or does not answer with HTTP. The text says why."""


@frozen
class HttpAnswer:
    """The answer of a server."""

    status: int
    headers: Mapping[str, str]
    """By name, in lower case."""
    body: bytes = field(repr=False)
    certificate: Mapping[str, Any] | None = field(default=None, repr=False)
    """The certificate of a server with TLS (`SSLSocket.getpeercert`)."""


def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: str | None = None,
    *,
    max_body_bytes: int = 64_000,
) -> HttpAnswer:
    """Return the answer to a request; of a longer body, the beginning.

    A WebSocket that is opened is closed at once. Raises `ValueError` if `url` is no URL of HTTP or
    of a WebSocket, and `NoAnswerError` if there is no answer.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in _SCHEMES or not host:
        raise ValueError("the URL has no scheme or no host")
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
        if _SCHEMES[parts.scheme]
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        certificate = (
            connection.sock.getpeercert() if isinstance(connection.sock, ssl.SSLSocket) else None
        )
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        is_upgraded = response.status == http.client.SWITCHING_PROTOCOLS
        return HttpAnswer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            b"" if is_upgraded else response.read(max_body_bytes),
            certificate,
        )
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(_describe(error)) from None
    finally:
        connection.close()


def _describe(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"the TLS handshake failed: {error.verify_message}"
        case ssl.SSLError():
            return f"the TLS handshake failed: {(error.reason or 'no reason').lower()}"
        case socket.gaierror():
            return "the host was not found"
        case TimeoutError():
            return f"it gave no answer in {TIMEOUT_S} s"
        case ConnectionRefusedError():
            return "the connection was refused"
        case OSError():
            return (error.strerror or "the connection failed").lower()
        case _:
            return "it does not answer with HTTP"
