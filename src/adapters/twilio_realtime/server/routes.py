"""The paths of the service, and which methods each takes.

GET or POST /incoming-call       Twilio's webhook: TwiML that connects the call to the stream
WebSocket /media-stream/TOKEN    the stream: a call, with its `Bridge`
GET or POST /after-stream        how a call continues once its stream has ended
POST /outgoing-call/TOKEN        a call that was placed is answered
GET or POST /after-dial          how a call continues once a transfer has ended
POST /status /amd /recording /stream-status    what Twilio reports (`callbacks`)
/browser-phone/...               the page of the browser phone, where it is asked for
GET /healthz                     whether the service runs
GET /readyz                      whether it takes new calls
"""

from typing import Final

from attrs import frozen

from twilio_realtime_core.transport.http import HttpRequest, HttpResponse

from ..agents.call_control import AFTER_DIAL_PATH
from .callbacks import CALLBACK_PATHS
from .outgoing_calls import OUTGOING_CALL_PATH
from .service_config import MEDIA_STREAM_PATH

__all__ = [
    "AFTER_DIAL_PATH",
    "AFTER_STREAM_PATH",
    "BROWSER_PHONE_PATH",
    "HEALTH_PATH",
    "INCOMING_CALL_PATH",
    "MEDIA_STREAM_PATH",
    "NOT_FOUND",
    "OUTGOING_CALL_PATH",
    "READY_PATH",
    "ROUTES",
    "TOKEN_ROUTES",
    "Route",
    "find_route",
]

INCOMING_CALL_PATH: Final = "/incoming-call"
"""The path of the webhook for incoming calls."""
AFTER_STREAM_PATH: Final = "/after-stream"
"""The path that Twilio requests after the stream of a call whose agent decides how it continues."""
BROWSER_PHONE_PATH: Final = "/browser-phone"
"""The path of the page for development; its files and requests are below it (`browser_phone`)."""
HEALTH_PATH: Final = "/healthz"
"""The path of the health check."""
READY_PATH: Final = "/readyz"
"""The path that says whether new calls are taken."""

_ALLOWED_METHODS: Final = {
    INCOMING_CALL_PATH: ("GET", "POST"),
    MEDIA_STREAM_PATH: ("GET",),
    AFTER_STREAM_PATH: ("GET", "POST"),
    AFTER_DIAL_PATH: ("GET", "POST"),
    OUTGOING_CALL_PATH: ("POST",),
    **dict.fromkeys(CALLBACK_PATHS, ("POST",)),
    HEALTH_PATH: ("GET", "HEAD"),
    READY_PATH: ("GET", "HEAD"),
}

ROUTES: Final = tuple(_ALLOWED_METHODS)
"""The paths of the service. Below those of `TOKEN_ROUTES` there are tokens."""
TOKEN_ROUTES: Final = (MEDIA_STREAM_PATH, OUTGOING_CALL_PATH)
"""The paths that a token follows."""

NOT_FOUND: Final = HttpResponse(
    404, f"not here: try {INCOMING_CALL_PATH}, {MEDIA_STREAM_PATH} or {HEALTH_PATH}\n".encode()
)
"""The answer to a request for another path."""
_UPGRADE_REQUIRED: Final = HttpResponse(  # RFC 9110, sections 7.8 and 15.5.22
    426,
    b"this is a WebSocket\n",
    headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
)


@frozen
class Route:
    """Where a request goes."""

    path: str
    """One of `ROUTES`, or `BROWSER_PHONE_PATH`."""
    token: str | None
    """What follows it, below those of `TOKEN_ROUTES` and below the page of the browser phone."""
    target: str
    """The target of the request, without what a proxy has left before the path."""


def find_route(request: HttpRequest, path_prefix: str) -> Route | HttpResponse:
    """Return where a request goes, or the answer if it goes nowhere. `path_prefix` is the path of
    the public URL, which a proxy may leave in targets."""
    target = request.target
    if target.startswith(f"{path_prefix}/"):
        target = target.removeprefix(path_prefix)
    path = target.partition("?")[0]
    if path.startswith(f"{BROWSER_PHONE_PATH}/"):
        return Route(BROWSER_PHONE_PATH, path.removeprefix(f"{BROWSER_PHONE_PATH}/"), target)
    token: str | None = None
    for each in TOKEN_ROUTES:
        if path.startswith(f"{each}/"):
            path, token = each, path.removeprefix(f"{each}/")
    methods = _ALLOWED_METHODS.get(path)
    if methods is None:
        return NOT_FOUND
    if request.method not in methods:
        allowed = ", ".join(methods)
        body = f"{path} takes {allowed}\n".encode()
        return HttpResponse(405, body, headers=(("Allow", allowed),))
    if path == MEDIA_STREAM_PATH and not request.is_upgrade:
        return _UPGRADE_REQUIRED
    return Route(path, token, target)
