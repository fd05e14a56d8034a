"""The requests of the browser phone's page, and the calls that it makes.

    GET /browser-phone/              the page, and its files below it
    POST /browser-phone/session      the token of the link is exchanged for a session
    POST /browser-phone/call         a new call: the answer of the webhook, and the SIDs of the call
    WebSocket /browser-phone/live    calls in progress

The page then opens the stream that the TwiML names, as Twilio does. Nothing is signed: in place of
a signature, the stream has to be of this machine and of the page, and its call one of the page's.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import anyio.to_thread
import msgspec
from attrs import define, field

from twilio_realtime_core import Bridge, CallConfig, Peer
from twilio_realtime_core.machine.peer_json import decode_json
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig

from ...agents.call_setup import CallSetup
from ...agents.decisions import PendingAnswer
from ...recordings.bridge_wrapper import BridgeLike
from ...recordings.folder import RecordingFolder
from ..request_guard import WebhookRequest
from ..routes import BROWSER_PHONE_PATH
from .access import PageAccess, TokenRefusal, find_refusal
from .live_calls import LiveCalls
from .live_feed import LiveFeed
from .page_files import load_page_files, page_response
from .stoppable_model import StoppableModel

__all__ = ["BrowserPhone", "WebhookAnswer"]

WebhookAnswer: TypeAlias = Callable[[WebhookRequest], HttpResponse | PendingAnswer]
"""Answers a request for a new call, as the webhook does."""

_MAX_CALLS: Final = 100
"""Calls of the page that are known at a time: one a tab, and those that failed. The oldest goes
first."""

_MAX_FEEDS: Final = 16
"""Pages that show calls in progress at a time."""

_MAX_FIELD_CHARACTERS: Final = 64
"""Characters of a number or an address; Twilio's longest SIP addresses have a few more."""

_MAX_MESSAGE_BYTES: Final = 4096
"""The longest message of a page: a session or a call SID, in JSON."""

_NO_SESSION: Final = HttpResponse(
    403, b"This page is of an earlier run of the service: open the link that it has printed.\n"
)
_BAD_BODY: Final = HttpResponse(400, b"the body is not what the page sends\n")
_TOO_MANY_FEEDS: Final = HttpResponse(503, b"too many pages are open\n")
_NOT_FOUND: Final = HttpResponse(404, b"the browser phone has no such file\n")
_METHOD_NOT_ALLOWED: Final = HttpResponse(405, b"the browser phone takes no such request\n")
_UPGRADE_REQUIRED: Final = HttpResponse(426, b"this is a WebSocket\n")


class _SessionRequest(msgspec.Struct):
    token: str | None = None
    session: str | None = None


class _CallRequest(msgspec.Struct, rename={"from_": "from"}):
    session: str
    from_: str = ""
    to: str = ""
    record: bool = False


@define(eq=False)
class _PageCall:
    recording: str | None
    """The name of its file, if it is recorded."""
    model: StoppableModel | None = None


@define(eq=False, repr=False)
class BrowserPhone:
    """What serves the page. `scheme` is that of the server. `random_bytes(n)` returns n
    unpredictable bytes.

    `open_recordings` opens the folder of recordings, in a thread, once a call is to be recorded; it
    raises `OSError`. `with_words` shows what is said in calls of others. `session` is one that
    stays valid when the service starts again.
    """

    _random_bytes: Callable[[int], bytes] = field(alias="random_bytes")
    _open_recordings: Callable[[], RecordingFolder] = field(alias="open_recordings")
    _scheme: str = field(default="http", kw_only=True, alias="scheme")
    with_words: bool = field(default=False, kw_only=True)
    _session: str = field(default="", kw_only=True, alias="session")
    access: PageAccess = field(init=False)
    live: LiveCalls = field(init=False)
    """The calls in progress."""
    _files: Mapping[str, HttpResponse] = field(init=False, factory=load_page_files)
    _calls: dict[str, _PageCall] = field(init=False, factory=dict[str, _PageCall])
    """The calls of the page, by SID."""
    _recordings: RecordingFolder | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.access = PageAccess(self._random_bytes, self._session)
        self.live = LiveCalls(self.with_words, self._calls.__contains__)

    def link(self, host: str, port: int) -> str:
        """Return the link to the page, with its one-time token. The token is behind a #, which
        browsers do not send, so no log of requests has it."""
        authority = f"[{host}]" if ":" in host else host
        return f"{self._scheme}://{authority}:{port}{BROWSER_PHONE_PATH}/#{self.access.token}"

    # Requests

    def respond(
        self, request: HttpRequest, name: str, answer_webhook: WebhookAnswer, *, is_exposed: bool
    ) -> HttpResponse | Upgrade | PendingAnswer:
        """Return the answer to a request for `name` below the path of the page. `is_exposed`: the
        connection came in at an address that other machines can reach."""
        is_navigation = not name and request.header("sec-fetch-mode") == "navigate"
        refusal = find_refusal(
            request, self._scheme, is_exposed=is_exposed, is_navigation=is_navigation
        )
        if refusal is not None:
            return refusal
        answer = self._route(request, name, answer_webhook)
        if isinstance(answer, HttpResponse):
            return page_response(answer, self._scheme, request.header("host") or "")
        return answer

    def _route(
        self, request: HttpRequest, name: str, answer_webhook: WebhookAnswer
    ) -> HttpResponse | Upgrade | PendingAnswer:
        match request.method, name:
            case "POST", "session":
                return self._open_session(request)
            case "POST", "call":
                return self._begin_call(request, answer_webhook)
            case "GET", "live":
                return self._open_feed() if request.is_upgrade else _UPGRADE_REQUIRED
            case "GET" | "HEAD", _:
                return self._files.get(name, _NOT_FOUND)
            case _:
                return _METHOD_NOT_ALLOWED

    def _open_session(self, request: HttpRequest) -> HttpResponse:
        body = decode_json(request.body, _SessionRequest)
        if body is None:
            return _BAD_BODY
        if body.token is None:
            is_valid = self.access.is_session(body.session)
            return _json({"session": body.session}) if is_valid else _NO_SESSION
        session = self.access.exchange(body.token)
        if isinstance(session, TokenRefusal):
            return HttpResponse(403, f"{session.value}\n".encode())
        return _json({"session": session})

    def _open_feed(self) -> HttpResponse | Upgrade:
        if self.live.pages >= _MAX_FEEDS:
            return _TOO_MANY_FEEDS
        feed = LiveFeed(self.live, self.access.is_session, self._stop_model)
        return Upgrade(
            feed, Peer.TWILIO, {Peer.TWILIO: LinkConfig(max_message_bytes=_MAX_MESSAGE_BYTES)}
        )

    def check_stream(self, request: HttpRequest, *, is_exposed: bool) -> HttpResponse | None:
        """Check a request for the stream of a call of the page; return its refusal, or `None`."""
        return find_refusal(request, self._scheme, is_exposed=is_exposed)

    # Calls

    def is_call(self, setup: CallSetup) -> bool:
        """Whether a call is one of the page's. Its SID is random, so nobody else can name it."""
        return setup.incoming is not None and setup.incoming.call_sid in self._calls

    def take_over(self, bridge: Bridge, config: CallConfig, setup: CallSetup) -> BridgeLike:
        """Return what takes the place of the bridge of a call of the page: recorded, if that is
        wanted, and with a model that can be stopped."""
        call = self._calls["" if setup.incoming is None else setup.incoming.call_sid]
        machine: BridgeLike = bridge
        if call.recording is not None and self._recordings is not None:
            machine = self._recordings.record(bridge, config, name=call.recording)
        call.model = StoppableModel(machine)
        return call.model

    def close(self) -> None:
        """Write what is left for the recordings."""
        if self._recordings is not None:
            self._recordings.close()

    def _begin_call(
        self, request: HttpRequest, answer_webhook: WebhookAnswer
    ) -> HttpResponse | PendingAnswer:
        body = decode_json(request.body, _CallRequest)
        if body is None:
            return _BAD_BODY
        if not self.access.is_session(body.session):
            return _NO_SESSION
        for number in (body.from_, body.to):
            if len(number) > _MAX_FIELD_CHARACTERS or not number.isprintable():
                return HttpResponse(400, b"A number is too long, or has what cannot be printed.\n")
        host = request.header("host") or ""
        base_url = f"{self._scheme}://{host}"

        async def decide() -> HttpResponse:
            failure = await self._prepare_recordings() if body.record else None
            answer = failure or await self._request_webhook(body, base_url, answer_webhook)
            return page_response(answer, self._scheme, host)

        return PendingAnswer(decide)

    async def _prepare_recordings(self) -> HttpResponse | None:
        """Open the folder of recordings, or return the answer that it cannot be."""
        if self._recordings is None:
            try:
                self._recordings = await anyio.to_thread.run_sync(self._open_recordings)
            except OSError as error:
                reason = error.strerror or str(error)
                return HttpResponse(500, f"The call cannot be recorded: {reason}.\n".encode())
        return None

    async def _request_webhook(
        self, body: _CallRequest, base_url: str, answer_webhook: WebhookAnswer
    ) -> HttpResponse:
        """Request the webhook for a new call, as Twilio would."""
        call_sid, stream_sid, account_sid = (self._draw_sid(each) for each in ("CA", "MZ", "AC"))
        fields = {
            "AccountSid": account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": call_sid,
            "CallStatus": "ringing",
            "Direction": "inbound",
            "From": body.from_,
            "To": body.to,
        }
        recording = None
        if body.record:
            recording = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-browser-{call_sid[2:10]}.jsonl"
        if len(self._calls) >= _MAX_CALLS:
            del self._calls[next(iter(self._calls))]
        self._calls[call_sid] = _PageCall(recording)
        answer = answer_webhook(WebhookRequest(base_url, tuple(fields.items())))
        if isinstance(answer, PendingAnswer):
            answer = await answer.decide()
        if answer.status != 200:  # noqa: PLR2004 - RFC 9110, section 15.3.1
            return answer
        path = None
        if recording is not None and self._recordings is not None:
            path = str(self._recordings.folder / recording)
        return _json(
            {
                "twiml": answer.body.decode(),
                "call_sid": call_sid,
                "stream_sid": stream_sid,
                "account_sid": account_sid,
                "recording": path,
            }
        )

    def _draw_sid(self, prefix: str) -> str:
        return prefix + self._random_bytes(16).hex()

    def _stop_model(self, call_sid: str) -> None:
        call = self._calls.get(call_sid)
        if call is not None and call.model is not None:
            call.model.stop()


def _json(body: Mapping[str, Any]) -> HttpResponse:
    return HttpResponse(200, msgspec.json.encode(body), content_type="application/json")
