"""Twilio's REST API on loopback: it keeps the requests, and answers as a test says."""

from base64 import b64decode
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import anyio
import msgspec
from anyio.abc import SocketAttribute, SocketStream
from attrs import define, field, frozen

from twilio_realtime.twilio_api.client import TwilioClient

ACCOUNT = "AC" + 32 * "a"
CALL = "CA" + 32 * "1"
RECORDING = "RE" + 32 * "2"
PASSWORD = 32 * "b"


@frozen
class ApiRequest:
    """A request as it arrived: what matters of it, without the order of fields."""

    method: str
    path: str
    credentials: str
    fields: tuple[tuple[str, str], ...]

    @property
    def form(self) -> dict[str, str]:
        return dict(self.fields)


@frozen
class ApiAnswer:
    """An answer; with `cut`, only so many bytes of it are sent."""

    status: int
    body: Any = None
    cut: int | None = None
    is_silent: bool = False
    """Nothing is answered, and the connection stays open."""

    def encode(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
        kind = "text/html" if body.startswith(b"<") else "application/json"
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return (head.encode() + body)[: self.cut]


def error(status: int, code: int, message: str = "it failed") -> ApiAnswer:
    return ApiAnswer(status, {"code": code, "message": message, "status": status})


Handler: TypeAlias = Callable[[ApiRequest], Awaitable[ApiAnswer]]


async def answer_call(request: ApiRequest) -> ApiAnswer:
    """Answer as Twilio does to what it can do."""
    if request.path.endswith("Recordings.json") or "/Recordings/" in request.path:
        return ApiAnswer(201, {"sid": RECORDING, "call_sid": CALL, "status": "in-progress"})
    if request.path.endswith("Messages.json"):
        return ApiAnswer(201, {"sid": "SM" + 32 * "3", "status": "queued"})
    return ApiAnswer(201, {"sid": CALL, "status": "queued"})


@define(eq=False)
class TwilioApiServer:
    """The server. `answers` are given first; then `handler` answers."""

    handler: Handler = answer_call
    answers: deque[ApiAnswer] = field(factory=deque[ApiAnswer])
    requests: list[ApiRequest] = field(init=False, factory=list[ApiRequest])
    url: str = field(init=False, default="")

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator["TwilioApiServer", None]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
        self.url = f"http://127.0.0.1:{port}"
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            yield self
            tasks.cancel_scope.cancel()

    def client(self, **options: Any) -> TwilioClient:
        given: dict[str, Any] = {
            "account_sid": ACCOUNT,
            "username": ACCOUNT,
            "password": PASSWORD,
            "api_url": self.url,
        }
        return TwilioClient(**(given | options))

    async def _serve(self, stream: Any) -> None:
        connection: SocketStream = stream
        async with connection:
            try:
                request = await _read_request(connection)
            except anyio.EndOfStream:
                return
            self.requests.append(request)
            answer = self.answers.popleft() if self.answers else await self.handler(request)
            if answer.is_silent:
                await anyio.sleep_forever()
            await connection.send(answer.encode())


async def _read_request(connection: SocketStream) -> ApiRequest:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await connection.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += await connection.receive()
    method, path, _ = line.split(" ")
    credentials = b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
    return ApiRequest(method, path, credentials, tuple(sorted(parse_qsl(body.decode()))))
