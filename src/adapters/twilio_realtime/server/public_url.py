"""The URL under which Twilio reaches this server.

Twilio dials the URL in the TwiML, and signs the URL that it dials; a server behind a proxy sees
neither. `base_url` derives it, for the TwiML and for the check of signatures alike.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from twilio_realtime_core.transport.handshake import HttpRequest
from twilio_realtime_core.webhook import stream_url

__all__ = ["base_url", "check_public_url", "is_loopback"]

_HTTP_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""The scheme of the server by the forwarded one: some proxies report that of the WebSocket."""

_FORWARDED_PAIR: Final = re.compile(
    r"[ \t]*(?P<name>[\w!#$%&'*+.^`|~-]+)="
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s;,"]*))'
    r"[ \t]*(?P<end>[;,]|\Z)",
    re.ASCII,
)
"""One `name=value` pair of a Forwarded header (RFC 7239, section 4)."""


def check_public_url(url: str) -> str:
    """Return `url` in the form of `base_url`: http or https, without a slash at the end.

    Raises `LocalProtocolError` if `url` cannot be the base of a stream's URL.
    """
    stream_url(url, "/")
    return re.sub(r"^ws(?=s?://)", "http", url).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, a name or an address without brackets (RFC 6761,
    section 6.3; RFC 6890)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def base_url(request: HttpRequest, public_url: str | None, *, trust_proxy: bool) -> str | None:
    """Return the URL of this server as Twilio uses it, without the path of the request, or `None`
    if it is not known: `public_url` if there is one (from `check_public_url`).

    Otherwise, with `trust_proxy`, it is derived from X-Forwarded-Proto and X-Forwarded-Host, or
    from Forwarded (RFC 7239); of several values the first counts, that of the proxy which Twilio
    reaches. A proxy may pass the Host header on without forwarding it separately, and one that
    reports no scheme is assumed to speak TLS. Without `trust_proxy` it is derived from the Host
    header, if that names a loopback host.
    """
    if public_url is not None:
        return public_url
    host = request.header("host") or ""
    scheme = "http"
    if trust_proxy:
        forwarded = _parse_forwarded(request.header("forwarded") or "")
        host = _first_value(request, "x-forwarded-host") or forwarded.get("host") or host
        default = "http" if is_loopback(_host_name(host)) else "https"
        protocol = _first_value(request, "x-forwarded-proto") or forwarded.get("proto") or default
        scheme = _HTTP_SCHEMES.get(protocol.lower(), "")
    elif not is_loopback(_host_name(host)):
        return None
    return f"{scheme}://{host}" if scheme and host else None


def _first_value(request: HttpRequest, header: str) -> str:
    return (request.header(header) or "").partition(",")[0].strip()


def _parse_forwarded(header: str) -> dict[str, str]:
    """Return the pairs of the first element up to malformed text, names in lower case."""
    pairs: dict[str, str] = {}
    position = 0
    while match := _FORWARDED_PAIR.match(header, position):
        quoted = match["quoted"]
        value = match["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        pairs.setdefault(match["name"].lower(), value)
        if match["end"] != ";":
            break
        position = match.end()
    return pairs


def _host_name(authority: str) -> str:
    """Return the name or address in `host:port`, or an empty string if there is none."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
