"""The Realtime server through an HTTP proxy, over sockets."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module

import anyio
import pytest

from timeouts import HANG_S
from twilio_realtime.errors import UsageError
from twilio_realtime.runtime.streams import DialError, describe_dial_error
from twilio_realtime.server.proxy import ProxyAddress, dial_through_proxy, find_proxy

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])

OK = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"


@contextmanager
def proxy_that(
    answers: Callable[[socket.socket, bytes], None],
) -> Generator[tuple[int, list[bytes]]]:
    """A proxy that reads a head and then does as it is told; its port, and the heads."""
    heads: list[bytes] = []

    def serve() -> None:
        with listener.accept()[0] as connection:
            connection.settimeout(HANG_S)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
            heads.append(head)
            answers(connection, head)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heads
        thread.join(HANG_S)


def dial(
    runtime: str, port: int, host: str = "model.example", authorization: str | None = None
) -> bytes:
    """Dial through the proxy, send a word, and return the answer to it."""
    api = import_module(f"twilio_realtime.{runtime}")
    proxy = ProxyAddress("127.0.0.1", port, authorization, no_proxy="other.example")

    async def main() -> bytes:
        transport = await dial_through_proxy(api.dial, proxy)(host, 443)
        transport.send(b"hello")
        readable = anyio.Event()
        transport.on_readable(readable.set)
        await readable.wait()
        data = bytes(transport.recv(100))
        transport.close()
        return data

    return anyio.run(main, backend=runtime)


@each_runtime
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_tunnel_is_asked_for_and_used(runtime: str, *, is_cut: bool) -> None:
    def answer(connection: socket.socket, head: bytes) -> None:
        for piece in [OK[:20], OK[20:]] if is_cut else [OK]:
            connection.sendall(piece)
        connection.sendall(connection.recv(100).upper())

    with proxy_that(answer) as (port, heads):
        assert dial(runtime, port, authorization="Basic eDp5") == b"HELLO"
    (head,) = heads
    assert head.split(b"\r\n") == [
        b"CONNECT model.example:443 HTTP/1.1",
        b"Host: model.example:443",
        b"Proxy-Authorization: Basic eDp5",
        b"",
        b"",
    ]


@each_runtime
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "the proxy refuses with HTTP status 407",
        ),
        (b"SSH-2.0\r\n\r\n", "the proxy does not answer with HTTP"),
        (b"", "the proxy does not answer with HTTP"),
        (OK + b"early", "the proxy sends more than an answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + 17_000 * b"x", "the proxy does not answer with HTTP"),
    ],
)
def test_a_proxy_that_refuses_is_described(runtime: str, answer: bytes, reason: str) -> None:
    with (
        proxy_that(lambda connection, _: connection.sendall(answer)) as (port, _),
        pytest.raises(DialError) as caught,
    ):
        dial(runtime, port)
    assert describe_dial_error(caught.value) == reason


@each_runtime
def test_hosts_without_a_proxy_are_dialled_directly(runtime: str) -> None:
    api = import_module(f"twilio_realtime.{runtime}")
    dialled: list[tuple[str, int]] = []

    async def record(host: str, port: int) -> object:
        dialled.append((host, port))
        return None

    proxy = ProxyAddress("proxy.example", 3128, no_proxy="localhost,.internal")

    async def main() -> None:
        through = dial_through_proxy(record, proxy)  # type: ignore[arg-type]
        await through("localhost", 1)
        await through("model.internal", 2)

    anyio.run(main, backend=runtime)
    assert api.dial is not record
    assert dialled == [("localhost", 1), ("model.internal", 2)]


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, ProxyAddress("proxy.example", 3128)),
        ({"https_proxy": "proxy.example", "HTTPS_PROXY": "x"}, ProxyAddress("proxy.example", 80)),
        (
            {"HTTPS_PROXY": "http://a%40b:c@[::1]:8080/", "NO_PROXY": "localhost"},
            ProxyAddress("::1", 8080, "Basic YUBiOmM=", "localhost"),
        ),
    ],
)
def test_a_proxy_is_found_in_the_environment(
    environment: dict[str, str], proxy: ProxyAddress | None
) -> None:
    assert find_proxy(environment) == proxy
    assert "YUBi" not in repr(proxy)


@pytest.mark.parametrize("url", ["https://proxy:1", "socks5://proxy:1", "http://", "http://a:b:c"])
def test_another_kind_of_proxy_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="HTTPS_PROXY is not http://HOST:PORT"):
        find_proxy({"HTTPS_PROXY": url})


@pytest.mark.parametrize(
    ("host", "is_for"),
    [
        ("model.example", True),
        ("notinternal", True),
        ("internal", False),
        ("Model.Internal", False),
        ("api.openai.com", False),
        ("127.0.0.1", False),
        ("localhost", False),
    ],
)
def test_no_proxy_names_hosts_and_domains(host: str, *, is_for: bool) -> None:
    proxy = ProxyAddress("proxy.example", 3128, no_proxy="api.openai.com, .internal,")
    assert proxy.is_for(host) is is_for
    assert not ProxyAddress("proxy.example", 3128, no_proxy="*").is_for(host)
