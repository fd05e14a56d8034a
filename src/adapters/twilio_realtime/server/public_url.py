"""Under which URL does the world reach this server?

Twilio dials the URL that the TwiML names, and signs the URL that it dials; a server behind a proxy
sees neither. `base_url` is the one answer, for the TwiML and for the check of signatures.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from twilio_realtime_core.transport.handshake import HttpRequest
from twilio_realtime_core.webhook import stream_url

__all__ = ["base_url", "check_public_url", "is_loopback"]

_HTTP_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""Some proxies report the scheme of a WebSocket as it is; the server is the same."""

_PAIR: Final = re.compile(
    r"[ \t]*(?P<name>[\w!#$%&'*+.^`|~-]+)="
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s;,"]*))'
    r"[ \t]*(?P<end>[;,]|\Z)",
    re.ASCII,
)
"""One `name=value` of a Forwarded header (RFC 7239, section 4)."""


def check_public_url(url: str) -> str:
    """`url` as `base_url` gives it: http or https, without a slash at the end.

    Raises `LocalProtocolError` for what can be no base of a stream's URL.
    """
    stream_url(url, "/")
    return re.sub(r"^ws(?=s?://)", "http", url).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can reach `host`, a name or an address without brackets
    (RFC 6761, section 6.3; RFC 6890)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def base_url(request: HttpRequest, public_url: str | None, *, trust_proxy: bool) -> str | None:
    """The URL of this server as Twilio uses it, without a path of the server's own: `public_url`
    where there is one (from `check_public_url`).

    Otherwise, with `trust_proxy`, what the proxy says in X-Forwarded-Proto and X-Forwarded-Host, or
    in Forwarded (RFC 7239): of several values the first, that of the proxy which Twilio talks to. A
    proxy may leave the Host header as it was and say nothing of it, and one that says nothing of
    the scheme is taken to speak TLS. Otherwise the Host header, if it names a loopback host.
    `None`: not known.
    """
    if public_url is not None:
        return public_url
    host = request.header("host") or ""
    scheme = "http"
    if trust_proxy:
        forwarded = _forwarded(request.header("forwarded") or "")
        host = _first(request, "x-forwarded-host") or forwarded.get("host") or host
        default = "http" if is_loopback(_name(host)) else "https"
        said = _first(request, "x-forwarded-proto") or forwarded.get("proto") or default
        scheme = _HTTP_SCHEMES.get(said.lower(), "")
    elif not is_loopback(_name(host)):
        return None
    return f"{scheme}://{host}" if scheme and host else None


def _first(request: HttpRequest, header: str) -> str:
    return (request.header(header) or "").partition(",")[0].strip()


def _forwarded(header: str) -> dict[str, str]:
    """The pairs of the first element, names in lower case; those before whatever is malformed."""
    pairs: dict[str, str] = {}
    position = 0
    while match := _PAIR.match(header, position):
        quoted = match["quoted"]
        value = match["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        pairs.setdefault(match["name"].lower(), value)
        if match["end"] != ";":
            break
        position = match.end()
    return pairs


def _name(authority: str) -> str:
    """The name or address in `host:port`; empty if there is none."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
