"""A client of Twilio's REST API for calls: create, update, fetch, record.

    twilio = TwilioClient(account_sid="AC...", username="AC...", password=auth_token)
    call = await twilio.create_call(to="+15005550006", from_="+15005550001", url="https://...")
    await twilio.update_call(call["sid"], twiml="<Response><Hangup/></Response>")

It works on the event loop that runs, of trio or asyncio, over httpx2 (the extra `twilio-api`).
Sources: Twilio, "Calls resource", https://www.twilio.com/docs/voice/api/call-resource, and
"Recordings resource", https://www.twilio.com/docs/voice/api/recording, read 2026-12-01.
"""

import logging
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import anyio
from attrs import Attribute, field, frozen

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.errors import redact
from twilio_realtime_core.machine.peer_json import decode_json

from ..errors import UsageError
from .errors import TwilioApiError
from .phone_numbers import check_phone_address

if TYPE_CHECKING:
    import httpx2

__all__ = ["API_URL", "MAX_INLINE_TWIML_CHARACTERS", "TwilioClient", "check_sid"]

API_URL: Final = "https://api.twilio.com"
"""Twilio's REST API in the United States; other regions have hosts of their own, such as
https://api.dublin.ie1.twilio.com."""

MAX_INLINE_TWIML_CHARACTERS: Final = 4_000
"""The longest TwiML in a request ("Calls resource", `Twiml`)."""

_MAX_ANSWER_BYTES: Final = 1 << 20
"""A call has 2 kB of JSON."""

_ATTEMPTS: Final = 3
_FIRST_PAUSE_S: Final = 0.5
_MAX_PAUSE_S: Final = 5.0
"""Someone is on the line: more patience than that serves nobody."""

_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_RING_TIMEOUT_S: Final = 600
"""The longest `Timeout` that Twilio takes."""

_SID: Final = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")

Method = Literal["GET", "POST"]
Parameters = Mapping[str, "str | Sequence[str] | None"]


def check_sid(sid: str, prefix: str, name: str) -> str:
    """Return `sid` if it is one of Twilio's that begins with `prefix`; raise `LocalProtocolError`
    otherwise."""
    if not _SID.fullmatch(sid) or not sid.startswith(prefix):
        raise LocalProtocolError(f"{name} is no SID of Twilio: {prefix} and 32 hexadecimal digits")
    return sid


def _check_url(_: object, __: "Attribute[str]", url: str) -> None:
    parts = urlsplit(url)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise UsageError("the URL of Twilio's API is https://HOST; the credentials travel to it")


def _check_account(_: object, __: "Attribute[str]", sid: str) -> None:
    try:
        check_sid(sid, "AC", "TWILIO_ACCOUNT_SID")
    except LocalProtocolError as error:
        raise UsageError(str(error)) from None


def _make_context() -> ssl.SSLContext:
    """Make the TLS context once: it reads files, which would hold up calls at each request."""
    return ssl.create_default_context()


@frozen(kw_only=True, eq=False)
class TwilioClient:
    """A client for one account. `username` and `password` are the account's SID and auth token, or
    the SID and the secret of an API key.

    A request is made again, up to three times, only where that is safe: reading, ending a call, and
    anything that Twilio has certainly not begun, since no connection was made, or since it answered
    429. A call that is created twice would ring twice.

    Raises `UsageError` for an account SID that is none, an address that is not encrypted, and if
    httpx2 is not installed.
    """

    account_sid: str = field(validator=_check_account, repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    api_url: str = field(default=API_URL, validator=_check_url)
    timeout_ms: int = 10_000
    """How long Twilio may take to answer."""
    _context: ssl.SSLContext = field(factory=_make_context, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        _import_httpx()

    # Calls

    async def create_call(
        self,
        *,
        to: str,
        from_: str,
        url: str | None = None,
        twiml: str | None = None,
        ring_timeout_ms: int | None = None,
        status_callback: str | None = None,
        machine_detection: bool = False,
        amd_status_callback: str | None = None,
    ) -> Mapping[str, Any]:
        """Have Twilio call `to`, and return the call as Twilio describes it, with its `sid`.

        Once it is answered Twilio requests TwiML from `url`, or does what `twiml` says. It reports
        the states of the call to `status_callback`. With `machine_detection` it finds out who
        answered, meanwhile goes on with the call, and reports a person at once, a machine at the
        end of its greeting, to `amd_status_callback` ("Answering machine detection",
        https://www.twilio.com/docs/voice/answering-machine-detection, read 2026-12-01).

        Raises `LocalProtocolError` for a number that is none, and `TwilioApiError`.
        """
        if (url is None) == (twiml is None):
            raise LocalProtocolError("a call takes its TwiML from either url or twiml")
        parameters: dict[str, str | Sequence[str] | None] = {
            "To": check_phone_address(to, "the number to call"),
            "From": check_phone_address(from_, "the number to call from"),
            "Url": url,
            "Twiml": _check_twiml(twiml),
            "Timeout": None if ring_timeout_ms is None else _to_ring_seconds(ring_timeout_ms),
        }
        if status_callback is not None:
            parameters["StatusCallback"] = status_callback
            parameters["StatusCallbackEvent"] = ("initiated", "ringing", "answered", "completed")
        if machine_detection:
            parameters["MachineDetection"] = "DetectMessageEnd"
            parameters["AsyncAmd"] = "true"
            parameters["AsyncAmdStatusCallback"] = amd_status_callback
        return await self._request("POST", "Calls.json", parameters, "the call was not placed")

    async def update_call(
        self, call_sid: str, *, url: str | None = None, twiml: str | None = None
    ) -> Mapping[str, Any]:
        """Have a call that is in progress do what other TwiML says: that at `url`, or `twiml`. Its
        media stream ends.

        Raises `LocalProtocolError` and `TwilioApiError`; 21220 if the caller has hung up.
        """
        if (url is None) == (twiml is None):
            raise LocalProtocolError("a call takes its TwiML from either url or twiml")
        parameters = {"Url": url, "Twiml": _check_twiml(twiml)}
        action = "the call was not redirected"
        return await self._request("POST", _call_path(call_sid), parameters, action)

    async def end_call(self, call_sid: str) -> Mapping[str, Any]:
        """End a call, also one that still rings. Raises `TwilioApiError`."""
        return await self._request(
            "POST",
            _call_path(call_sid),
            {"Status": "completed"},
            "the call was not ended",
            is_repeatable=True,
        )

    async def fetch_call(self, call_sid: str) -> Mapping[str, Any]:
        """Return a call as Twilio describes it. Raises `TwilioApiError`."""
        return await self._request("GET", _call_path(call_sid), {}, "the call was not fetched")

    # Recordings

    async def start_recording(
        self,
        call_sid: str,
        *,
        channels: Literal["mono", "dual"] = "dual",
        status_callback: str | None = None,
    ) -> Mapping[str, Any]:
        """Have Twilio record a call that is in progress, and return the recording as it describes
        it, with its `sid`. With two channels, the caller is on the first.

        Raises `TwilioApiError`.
        """
        parameters: dict[str, str | Sequence[str] | None] = {"RecordingChannels": channels}
        if status_callback is not None:
            parameters["RecordingStatusCallback"] = status_callback
            parameters["RecordingStatusCallbackEvent"] = ("in-progress", "completed", "absent")
        path = f"Calls/{check_sid(call_sid, 'CA', 'the call')}/Recordings.json"
        return await self._request("POST", path, parameters, "the call is not recorded")

    async def update_recording(
        self,
        call_sid: str,
        recording_sid: str,
        status: Literal["paused", "in-progress", "stopped"],
    ) -> Mapping[str, Any]:
        """Pause, resume or stop a recording, for example while a card number is said. Raises
        `TwilioApiError`."""
        call, recording = (
            check_sid(call_sid, "CA", "the call"),
            check_sid(recording_sid, "RE", "the recording"),
        )
        return await self._request(
            "POST",
            f"Calls/{call}/Recordings/{recording}.json",
            {"Status": status},
            f"the recording is not {status}",
            is_repeatable=True,
        )

    # Messages

    async def send_sms(self, *, to: str, from_: str, body: str) -> Mapping[str, Any]:
        """Send a text message, and return it as Twilio describes it ("Messages resource",
        https://www.twilio.com/docs/messaging/api/message-resource, read 2026-12-01).

        Raises `LocalProtocolError` for a number that is none, and `TwilioApiError`.
        """
        parameters = {
            "To": check_phone_address(to, "the number to write to"),
            "From": check_phone_address(from_, "the number to write from"),
            "Body": body,
        }
        return await self._request("POST", "Messages.json", parameters, "the text was not sent")

    # Requests

    async def _request(
        self,
        method: Method,
        path: str,
        parameters: Parameters,
        action: str,
        *,
        is_repeatable: bool = False,
    ) -> Mapping[str, Any]:
        """Make a request, again where that is safe, and return the JSON of the answer."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._try(method, path, parameters, action)
            except TwilioApiError as error:
                is_safe = is_repeatable or method == "GET" or not error.is_uncertain
                if attempt == _ATTEMPTS or not (is_safe and _is_passing(error)):
                    raise
            await anyio.sleep(min(pause_s, _MAX_PAUSE_S))
            pause_s *= 2
        raise AssertionError("unreachable")

    async def _try(
        self, method: Method, path: str, parameters: Parameters, action: str
    ) -> Mapping[str, Any]:
        httpx = _import_httpx()
        is_sent = False

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            nonlocal is_sent
            is_sent |= event.endswith("send_request_headers.started")

        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            async with (
                httpx.AsyncClient(
                    auth=(self.username, self.password),
                    timeout=self.timeout_ms / 1000,
                    verify=self._context,
                    trust_env=True,
                ) as http,
                http.stream(
                    method,
                    f"{self.api_url}/2010-04-01/Accounts/{self.account_sid}/{path}",
                    data=given if method == "POST" else None,
                    headers={"Accept": "application/json"},
                    extensions={"trace": trace},
                ) as response,
            ):
                body = await _read(response)
        except httpx.TimeoutException:
            raise TwilioApiError(
                action, f"no answer within {self.timeout_ms} ms", is_uncertain=is_sent
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"Twilio cannot be reached or broke off ({type(error).__name__})"
            raise TwilioApiError(action, reason, is_uncertain=is_sent) from None
        return _parse(action, response.status_code, body)


def _import_httpx() -> Any:
    try:
        import httpx2  # noqa: PLC0415 - it is an extra
    except ModuleNotFoundError:
        raise UsageError(
            "Twilio's REST API needs httpx2: pip install 'twilio-realtime-core[twilio-api]'"
        ) from None
    logger = logging.getLogger("httpx2")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)  # else it logs URLs, which name the account
    return httpx2


async def _read(response: "httpx2.Response") -> bytes:
    """Read the body of an answer, up to `_MAX_ANSWER_BYTES`."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            break
    return bytes(body)


def _parse(action: str, status: int, body: bytes) -> Mapping[str, Any]:
    """Return the JSON of an answer. Raises `TwilioApiError` for a refusal, and what is no JSON."""
    is_uncertain = status >= _SERVER_ERROR or status < 300  # noqa: PLR2004 - success
    answer = decode_json(body, dict[str, Any])
    if answer is None:
        reason = f"Twilio answered {status} with {len(body)} bytes that are no JSON object"
        raise TwilioApiError(action, reason, status=status, is_uncertain=is_uncertain)
    if status < 300:  # noqa: PLR2004 - success
        return answer
    code, message = answer.get("code"), answer.get("message")
    raise TwilioApiError(
        action,
        f"Twilio answered {status}" + (f", {redact(message)}" if isinstance(message, str) else ""),
        status=status,
        code=code if isinstance(code, int) else None,
        is_uncertain=is_uncertain,
    )


def _is_passing(error: TwilioApiError) -> bool:
    """Whether a failure may be over in a moment."""
    status = error.status
    return status is None or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR


def _call_path(call_sid: str) -> str:
    return f"Calls/{check_sid(call_sid, 'CA', 'the call')}.json"


def _check_twiml(twiml: str | None) -> str | None:
    if twiml is not None and len(twiml) > MAX_INLINE_TWIML_CHARACTERS:
        raise LocalProtocolError(
            f"the TwiML has {len(twiml)} characters, a request takes "
            f"{MAX_INLINE_TWIML_CHARACTERS}: give the URL of a document"
        )
    return twiml


def _to_ring_seconds(timeout_ms: int) -> str:
    seconds = -(-timeout_ms // 1000)
    if not 1 <= seconds <= _RING_TIMEOUT_S:
        raise LocalProtocolError(f"ring_timeout_ms is 1 to {1000 * _RING_TIMEOUT_S}")
    return str(seconds)
