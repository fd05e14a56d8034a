"""The service's answers to requests that another server has received."""

from collections.abc import Iterable

import anyio
from attrs import frozen

from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.transport.http import (
    ANSWER_TIMEOUT_NS,
    MAX_BODY_BYTES,
    HttpRequest,
    HttpResponse,
)

from ..agents.call_acceptor import answer_pending
from ..agents.decisions import PendingAnswer
from ..server.public_url import is_loopback
from ..server.routes import ROUTES, TOKEN_ROUTES
from ..server.streams import CallUpgrade
from .call_host import CallHost
from .hosted_call import HostedCall
from .socket import HostSocket

__all__ = ["HostedRequest", "answer_request", "is_exposed", "open_stream"]

_TOO_SLOW = HttpResponse(504, b"the application did not decide in time\n")
_TOO_LARGE = HttpResponse(413, b"the body of the request is too long\n")
_NO_UPGRADE = HttpResponse(426, b"this is a WebSocket, which the server in front does not take\n")
_NO_STREAM = HttpResponse(400, b"there is no WebSocket at this path\n")


@frozen(eq=False)
class HostedRequest:
    """A request that another server has received."""

    request: HttpRequest
    """The request, with its target from the path of the service on."""
    root_path: str
    """What is before that in the path: where the service is mounted."""
    is_exposed: bool
    """Whether it came in at an address that other machines can reach."""

    @classmethod
    def build(
        cls,
        method: str,
        path: str,
        query: str,
        headers: Iterable[tuple[str, str]],
        *,
        body: bytes = b"",
        root_path: str = "",
        is_exposed: bool,
        is_websocket: bool = False,
    ) -> "HostedRequest":
        """Make one of what servers know of a request.

        Servers and frameworks disagree whether `path` contains `root_path`, and some leave that
        out: so what is before the path of a route counts.
        """
        root_path = root_path.rstrip("/")
        if not f"{path}/".startswith(f"{root_path}/"):
            path = root_path + path
        prefix, route = _split_path(path, root_path)
        named = [(name.lower(), value) for name, value in headers]
        if is_websocket and not any(name == "upgrade" for name, _ in named):
            named.append(("upgrade", "websocket"))  # HTTP/2 has none (RFC 8441)
        target = f"{route}?{query}" if query else route
        return cls(HttpRequest(method, target, tuple(named), body), prefix, is_exposed)


async def answer_request(host: CallHost, hosted: HostedRequest) -> HttpResponse:
    """Return the answer to a request that is no WebSocket, once the agent has decided."""
    response = _TOO_LARGE
    if len(hosted.request.body) <= MAX_BODY_BYTES:
        response = await _find_response(host, hosted)
    host.service.log_answer(hosted.request, response)
    return response


def open_stream(
    host: CallHost, hosted: HostedRequest, socket: HostSocket
) -> HostedCall | HttpResponse:
    """Return the call of a request for a stream, to be run once `socket` is accepted; or why it is
    refused."""
    answer = _respond(host, hosted)
    if isinstance(answer, CallUpgrade):
        call = host.open_call(answer, socket)
    elif isinstance(answer, PendingAnswer):
        call = _NO_STREAM
    else:
        call = answer
    if isinstance(call, HttpResponse):
        host.service.log_answer(hosted.request, call)
    return call


def is_exposed(address: str | None) -> bool:
    """Whether a connection to a local address may come from another machine: unless it is a
    loopback address. `None`: the server does not know the address."""
    return address is None or not is_loopback(address.partition("%")[0])


async def _find_response(host: CallHost, hosted: HostedRequest) -> HttpResponse:
    answer = _respond(host, hosted)
    if isinstance(answer, CallUpgrade):
        return _NO_UPGRADE
    if isinstance(answer, HttpResponse):
        return answer
    with anyio.move_on_after(ANSWER_TIMEOUT_NS / SECOND):
        response, failure = await answer_pending(answer)
        if failure is not None:
            host.on_error(failure)
        return response
    return _TOO_SLOW


def _respond(host: CallHost, hosted: HostedRequest) -> HttpResponse | CallUpgrade | PendingAnswer:
    answer = host.service.respond(
        hosted.request, host.agent, is_exposed=hosted.is_exposed, root_path=hosted.root_path
    )
    assert isinstance(answer, HttpResponse | CallUpgrade | PendingAnswer)  # noqa: S101
    return answer


def _split_path(path: str, root_path: str) -> tuple[str, str]:
    for route in ROUTES:
        if path.endswith(route):
            return path.removesuffix(route), route
    for route in TOKEN_ROUTES:
        start = path.rfind(f"{route}/")
        if start >= 0:
            return path[:start], path[start:]
    return root_path, path.removeprefix(root_path)
