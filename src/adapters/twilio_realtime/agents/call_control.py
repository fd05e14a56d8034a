"""What a program can have Twilio do with a call beside its stream: transfer it, redirect it, record
it.

Two ways lead there. With a `TwilioClient`, its REST API changes the call. Without, the stream is
closed, and Twilio asks `<Connect action>` what follows (the setting `ask-after-stream`).
"""

from collections.abc import Callable
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from attrs import define, field, frozen

from ..errors import UsageError
from ..twilio_api.client import TwilioClient
from ..twilio_api.phone_numbers import check_phone_address, check_phone_number
from .decisions import Decision
from .phone_events import CallEvent

__all__ = [
    "AFTER_DIAL_PATH",
    "RECORDING_PATH",
    "CallControl",
    "NextDecisions",
    "TwilioRecording",
    "transfer_twiml",
]

AFTER_DIAL_PATH: Final = "/after-dial"
"""The path that Twilio requests after a transfer: it says whether somebody answered."""
RECORDING_PATH: Final = "/recording"
"""The path to which Twilio reports the states of recordings."""

_MAX_CALLS: Final = 1_000
"""Calls whose next step is kept until Twilio asks, within seconds or the time of a transfer. The
oldest goes first."""

_NO_WAY: Final = (
    "the call cannot be redirected: set TWILIO_ACCOUNT_SID and install the extra twilio-api, or say"
    " --ask-after-stream"
)


def transfer_twiml(
    number: str,
    *,
    action: str,
    caller_id: str | None = None,
    ring_timeout_ms: int | None = None,
) -> str:
    """Return the TwiML that connects a call to `number`: in E.164, `sip:NAME@HOST` or
    `client:NAME` (Twilio, "TwiML Voice: <Dial>", https://www.twilio.com/docs/voice/twiml/dial, read
    2026-12-01).

    Twilio requests `action` once that call is over, or was not answered. The one who is called sees
    `caller_id`, by default the number of the caller. Raises `LocalProtocolError` for a number that
    is none.
    """
    check_phone_address(number)
    kind, _, address = number.rpartition(":")
    tag = {"": "Number", "sip": "Sip", "client": "Client"}[kind.partition(":")[0]]
    content = address if tag == "Client" else number
    attributes = {"action": action}
    if caller_id is not None:
        attributes["callerId"] = check_phone_number(caller_id, "caller_id")
    if ring_timeout_ms is not None:
        attributes["timeout"] = str(max(1, -(-ring_timeout_ms // 1000)))
    shown = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Response><Dial{shown}><{tag}>{escape(content)}</{tag}></Dial></Response>"
    )


@define(eq=False)
class NextDecisions:
    """What agents decided about the next steps of calls, by call SID."""

    _decisions: dict[str, Decision] = field(init=False, factory=dict[str, Decision])

    def put(self, call_sid: str, decision: Decision) -> None:
        """Keep a decision; a later one about the same call replaces it."""
        self._decisions.pop(call_sid, None)
        if len(self._decisions) >= _MAX_CALLS:
            del self._decisions[next(iter(self._decisions))]
        self._decisions[call_sid] = decision

    def get(self, call_sid: str) -> Decision | None:
        """Return the decision about a call; `None` if there is none."""
        return self._decisions.get(call_sid)

    def pop(self, call_sid: str) -> Decision | None:
        """Remove the decision about a call, and return it; `None` if there is none."""
        return self._decisions.pop(call_sid, None)


def _ignore_calls(call_sid: str, listener: Callable[[CallEvent], None]) -> None:
    """Follow no call."""


@define(eq=False, kw_only=True)
class CallControl:
    """What Twilio can be asked about one call; made by the service, used by `Call`."""

    base_url: str = ""
    """The URL of this service as Twilio uses it."""
    twilio: TwilioClient | None = None
    asks_after_stream: bool = False
    """Whether Twilio asks what follows the stream."""
    detects_machines: bool = False
    """Whether Twilio will report who has answered (`PhoneCallAnswered`)."""
    after_stream: NextDecisions = field(factory=NextDecisions)
    after_dial: NextDecisions = field(factory=NextDecisions)
    follow: Callable[[str, Callable[[CallEvent], None]], None] = _ignore_calls
    """`follow(call_sid, listener)`: pass what Twilio reports of a call to `listener`."""
    unfollow: Callable[[str, Callable[[CallEvent], None]], None] = _ignore_calls

    def require_twilio(self) -> TwilioClient:
        """Return the client. Raises `UsageError` if there is none."""
        if self.twilio is None:
            raise UsageError(
                "Twilio's REST API is not set up: set TWILIO_ACCOUNT_SID and install the extra "
                "twilio-api"
            )
        return self.twilio

    def check_redirectable(self) -> None:
        """Raise `UsageError` if there is no way to redirect the call."""
        if self.twilio is None and not self.asks_after_stream:
            raise UsageError(_NO_WAY)


@frozen(eq=False)
class TwilioRecording:
    """A recording that Twilio makes of a call."""

    sid: str
    call_sid: str
    _twilio: TwilioClient = field(repr=False)

    async def pause(self) -> None:
        """Pause, for example while a card number is said. Raises `TwilioApiError`."""
        await self._update("paused")

    async def resume(self) -> None:
        """Resume. Raises `TwilioApiError`."""
        await self._update("in-progress")

    async def stop(self) -> None:
        """End the recording. Raises `TwilioApiError`."""
        await self._update("stopped")

    async def _update(self, status: Literal["paused", "in-progress", "stopped"]) -> None:
        await self._twilio.update_recording(self.call_sid, self.sid, status)
