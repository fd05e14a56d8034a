"""The rule for the URL of a WebSocket, for what configures a connection and what opens it.

Source: RFC 6455, section 3, https://www.rfc-editor.org/rfc/rfc6455#section-3.
"""

from typing import Final
from urllib.parse import SplitResult, urlsplit

from .arguments import well_formed

__all__ = ["DEFAULT_PORTS", "WEBSOCKET_URL", "split_url"]

DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
"""The port of a URL that names none, by the scheme."""


def _find_fault(url: str) -> str | None:
    # `urlsplit` drops some control characters and does not refuse them.
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it has a character that a URL cannot have"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "its host is not valid"
    if parts.scheme not in DEFAULT_PORTS:
        return "it has another scheme, or none"
    if not parts.hostname:
        return "it has no host"
    if "@" in parts.netloc:
        return "it has user information"
    if "#" in url:
        return "it has a fragment"
    return None if _has_valid_port(parts) else "its port is not a number from 1 to 65535"


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


WEBSOCKET_URL: Final = well_formed("a ws:// or wss:// URL", _find_fault, str)
"""A URL of a WebSocket: ASCII, with a host, and with neither user information nor a fragment. What
is said of one that is refused does not contain it, since it may contain a token."""


def split_url(url: str) -> SplitResult:
    """Return the parts of the URL of a WebSocket. Raises `LocalProtocolError` if it is none."""
    WEBSOCKET_URL.check("the URL", url)
    return urlsplit(url)
