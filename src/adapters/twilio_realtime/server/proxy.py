"""The Realtime server through an HTTP proxy, by CONNECT (RFC 9110, section 9.3.6)."""

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

import anyio
from attrs import field, frozen

from ..agents.call_acceptor import DriverFactory
from ..errors import UsageError
from ..runtime.streams import Dial, DialError, Transport
from .public_url import is_loopback

__all__ = ["ProxyAddress", "dial_through_proxy", "driver_factory", "find_proxy"]

_MAX_HEAD_BYTES: Final = 16 * 1024
"""The longest answer of a proxy that is read; it has a few hundred bytes."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")


@frozen
class ProxyAddress:
    """An HTTP proxy, and the hosts that are reached without it."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    """The value of Proxy-Authorization."""
    no_proxy: str = ""

    def is_for(self, host: str) -> bool:
        """Whether `host` is reached through the proxy: it is neither this machine nor in
        `no_proxy`, which names hosts and domains, or `*` for all."""
        if is_loopback(host):
            return False
        name = host.lower()
        for each in self.no_proxy.lower().split(","):
            domain = each.strip().lstrip(".")
            if domain == "*" or (domain and (name == domain or name.endswith(f".{domain}"))):
                return False
        return True


def find_proxy(environment: Mapping[str, str]) -> ProxyAddress | None:
    """Return the proxy for encrypted connections in the environment: HTTPS_PROXY with the
    exceptions in NO_PROXY, or both in lower case.

    Raises `UsageError` for another URL than http://HOST:PORT.
    """
    url = environment.get("https_proxy") or environment.get("HTTPS_PROXY")
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if not host or parts.scheme != "http":
        raise UsageError("HTTPS_PROXY is not http://HOST:PORT, which is what is supported")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    no_proxy = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return ProxyAddress(host, port, authorization, no_proxy)


def dial_through_proxy(dial: Dial, proxy: ProxyAddress) -> Dial:
    """Return a `dial` that reaches hosts through a proxy, which `dial` itself reaches."""

    async def dial_host(host: str, port: int) -> Any:
        if not proxy.is_for(host):
            return await dial(host, port)
        transport = await dial(proxy.host, proxy.port)
        try:
            await _ask_for_tunnel(transport, host, port, proxy.authorization)
        except BaseException:
            transport.abort()
            raise
        return transport

    return dial_host


def driver_factory(api: Any, environment: Mapping[str, str]) -> DriverFactory:
    """Return the `Driver` of a runtime, which dials through the proxy that the environment names.
    `api` is `twilio_realtime.trio` or `twilio_realtime.asyncio`. Raises as `find_proxy` does."""
    proxy = find_proxy(environment)
    if proxy is None:
        return cast(DriverFactory, api.Driver)
    return partial(api.Driver, dial=dial_through_proxy(api.dial, proxy))


async def _ask_for_tunnel(
    transport: Transport, host: str, port: int, authorization: str | None
) -> None:
    """Send CONNECT, and read the answer. Raises `DialError` if the proxy refuses."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    if authorization is not None:
        head += f"Proxy-Authorization: {authorization}\r\n"
    request = f"{head}\r\n".encode("ascii")
    if transport.send(request) != len(request):  # a new connection has room for a few bytes
        raise DialError("the proxy does not read")
    answer = b""
    while b"\r\n\r\n" not in answer:
        await _wait_readable(transport)
        data = transport.recv(_MAX_HEAD_BYTES)
        answer += data
        if not data or len(answer) > _MAX_HEAD_BYTES:
            raise DialError("the proxy does not answer with HTTP")
    status = _STATUS.match(answer)
    if status is None:
        raise DialError("the proxy does not answer with HTTP")
    if not status[1].startswith(b"2"):
        raise DialError(f"the proxy refuses with HTTP status {status[1].decode()}")
    if not answer.endswith(b"\r\n\r\n"):  # a server with TLS sends nothing before the client
        raise DialError("the proxy sends more than an answer")


async def _wait_readable(transport: Transport) -> None:
    readable = anyio.Event()
    transport.on_readable(readable.set)
    try:
        await readable.wait()
    finally:
        transport.on_readable(None)
