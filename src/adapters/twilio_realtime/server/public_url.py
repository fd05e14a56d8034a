"""The URL under which Twilio reaches this server.

Twilio dials the URL in the TwiML, and signs the URL that it dials; a server behind a proxy sees
neither. `base_url` derives it from what is configured and trusted. Where requests are signed it
need not be configured: the headers of a request propose URLs (`proposed_base_urls`), and the one
that the signature matches is the one that Twilio used.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from twilio_realtime_core.transport.handshake import HttpRequest
from twilio_realtime_core.webhook import stream_url

__all__ = [
    "base_url",
    "check_public_url",
    "has_foreign_origin",
    "is_from_this_machine",
    "is_loopback",
    "is_loopback_authority",
    "parse_query",
    "proposed_base_urls",
    "secure_base_url",
]

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
        address = ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_loopback_authority(authority: str) -> bool:
    """Whether only this machine can reach `authority`, a host with or without a port."""
    return is_loopback(_host_name(authority))


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


def proposed_base_urls(request: HttpRequest) -> list[str]:
    """Return the URLs of this server that the headers of a request propose, without the path of the
    request. Anybody can write these headers, so a signature must prove the one that is used.

    The host is that of X-Forwarded-Host, of Forwarded, or of Host; a proxy that removes a prefix of
    the path may name it in X-Forwarded-Prefix. A proxy behind another one may report the wrong
    scheme, so both are proposed, https first unless the host is this machine.
    """
    forwarded = _parse_forwarded(request.header("forwarded") or "")
    hosts = [
        _first_value(request, "x-forwarded-host"),
        forwarded.get("host", ""),
        request.header("host") or "",
    ]
    port = _first_value(request, "x-forwarded-port")
    prefix = _first_value(request, "x-forwarded-prefix").rstrip("/")
    urls: list[str] = []
    for host in dict.fromkeys(filter(None, hosts)):
        with_port = [f"{host}:{port}"] if port.isascii() and port.isdecimal() else []
        schemes = ("http", "https") if is_loopback(_host_name(host)) else ("https", "http")
        for scheme in schemes:
            for authority in (host, *(with_port if ":" not in host else [])):
                base = f"{scheme}://{authority}"
                urls += [base + prefix, base] if prefix.startswith("/") else [base]
    return list(dict.fromkeys(urls))


def secure_base_url(base: str) -> str:
    """Return `base` with https, since Twilio opens streams with TLS only, even if it requests the
    webhook without. On this machine, nothing is changed."""
    host = _host_name(base.partition("://")[2].partition("/")[0])
    return base if is_loopback(host) else re.sub(r"^http://", "https://", base)


def parse_query(target: str) -> tuple[tuple[str, str], ...]:
    """Return the parameters in the query of the target of a request."""
    try:
        return tuple(parse_qsl(target.partition("?")[2], keep_blank_values=True))
    except ValueError:
        return ()


def is_from_this_machine(request: HttpRequest) -> bool:
    """Whether a request names this machine as its host, and no proxy or tunnel says that it comes
    from elsewhere.

    A name without a dot is one of this machine or of its containers, since there is none in public.
    The name of a public site stands here if a tunnel passes requests on, or if somebody's DNS
    answers with the address of this machine.
    """
    forwarded = _parse_forwarded(request.header("forwarded") or "")
    hosts = [
        request.header("host"),
        _first_value(request, "x-forwarded-host"),
        forwarded.get("host"),
    ]
    clients = [
        _first_value(request, "x-forwarded-for"),
        _first_value(request, "x-real-ip"),
        forwarded.get("for"),
    ]
    return all(_is_local_name(_host_name(each)) for each in hosts if each) and all(
        is_loopback(each) or is_loopback(_host_name(each)) for each in clients if each
    )


def has_foreign_origin(request: HttpRequest) -> bool:
    """Whether a page of another server sent the request from a browser. Twilio sends no Origin.

    Pages open WebSockets and post forms with their Origin (RFC 6455, section 10.2); for a picture
    or a link there is none, but Sec-Fetch-Site says so (W3C, "Fetch Metadata Request Headers").
    """
    if request.header("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    origin = request.header("origin")
    if origin is None:
        return False
    return origin.partition("://")[2].lower() != (request.header("host") or "").lower()


def _is_local_name(host: str) -> bool:
    return is_loopback(host) or not (set(".:") & set(host))


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
