"""Calls that this program places: what each is to be travels by token, and its states come back."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import anyio
from attrs import define, field, frozen

from twilio_realtime_core import CallConfig

from ..agents.call import CallHandler
from ..agents.call_control import CallControl
from ..agents.decisions import Accept
from ..agents.phone_events import (
    CallEvent,
    PhoneCallAnswered,
    PhoneCallState,
    PhoneCallStatus,
    PhoneEvent,
)
from ..errors import UsageError
from ..twilio_api.client import TwilioClient
from ..twilio_api.errors import TwilioApiError
from .callbacks import AMD_PATH, STATUS_PATH
from .phone_calls import PhoneCalls
from .public_url import check_public_url, secure_base_url
from .stream_tokens import StreamTokens, TokenFault

__all__ = [
    "OUTGOING_CALL_PATH",
    "OUTGOING_TOKEN_LIFETIME_MS",
    "RING_TIMEOUT_MS",
    "OutgoingCalls",
    "OutgoingPlan",
    "PlacedCall",
    "PlacingRefusedError",
]

OUTGOING_CALL_PATH: Final = "/outgoing-call"
"""The path that Twilio requests once a call that was placed is answered; a token follows."""

RING_TIMEOUT_MS: Final = 30_000
"""How long a phone rings by default: five or six times, as a rule before voicemail answers."""

_POLL_S: Final = 60.0
"""How long nothing is reported until Twilio is asked for the state: its callbacks may be lost."""

_MAX_EVENTS: Final = 64
"""Reports that are kept for a reader; a call has a dozen."""


class PlacingRefusedError(Exception):
    """The service places no call now, by its limits, or since it drains. The text says why."""


OUTGOING_TOKEN_LIFETIME_MS: Final = 11 * 60_000
"""How long a placed call may ring: Twilio takes 600 s at most, and a minute for its request."""


@frozen(eq=False)
class OutgoingPlan:
    """What a call is to be once it is answered; its token leads here."""

    accept: Accept
    detects_machines: bool = field(default=False, kw_only=True)


@define(eq=False, repr=False)
class PlacedCall:
    """A call that Twilio was asked to place.

    An async iterator over what Twilio reports of it (`PhoneEvent`), which ends with its last state;
    one task at a time may iterate.
    """

    sid: str
    """Its SID at Twilio."""
    _twilio: TwilioClient
    _on_event: Callable[[PhoneEvent], None] | None = None
    status: PhoneCallStatus | None = field(init=False, default=None)
    """The last state that was reported."""
    answered: PhoneCallAnswered | None = field(init=False, default=None)
    """Who has answered, once that is known."""
    _events: deque[PhoneEvent] = field(
        init=False, factory=lambda: deque[PhoneEvent](maxlen=_MAX_EVENTS)
    )
    _arrival: anyio.Event | None = field(init=False, default=None)

    @property
    def is_over(self) -> bool:
        """Whether nothing follows."""
        return self.status is not None and self.status.is_final

    def receive(self, event: CallEvent) -> None:
        """Take a report of Twilio's; for the service."""
        match event:
            case PhoneCallStatus():
                self.status = event
            case PhoneCallAnswered():
                self.answered = event
            case _:
                return
        self._events.append(event)
        if self._arrival is not None:
            self._arrival.set()
        if self._on_event is not None:
            self._on_event(event)

    async def wait(self) -> PhoneCallStatus:
        """Wait until the call is over, and return its last state: completed, busy, no-answer,
        failed or canceled."""
        while not self.is_over:
            await self._wait_for_arrival()
        assert self.status is not None  # noqa: S101 - for the type checkers
        return self.status

    async def hang_up(self) -> None:
        """End the call, also while it rings. Raises `TwilioApiError`."""
        await self._twilio.end_call(self.sid)

    async def __aiter__(self) -> AsyncIterator[PhoneEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self.is_over:
                return
            await self._wait_for_arrival()

    async def _wait_for_arrival(self) -> None:
        """Wait for a report; if none comes for long, ask."""
        arrival = self._arrival = self._arrival or anyio.Event()
        with anyio.move_on_after(_POLL_S):
            await arrival.wait()
        if self._arrival is arrival:
            self._arrival = None
        if not arrival.is_set() and not self.is_over:
            await self._ask()

    async def _ask(self) -> None:
        try:
            answer = await self._twilio.fetch_call(self.sid)
        except TwilioApiError:
            return  # it is asked again later
        status = _read_status(self.sid, answer)
        is_news = status is not None and (self.status is None or status.state != self.status.state)
        if status is not None and is_news and not self.is_over:
            self.receive(status)


def _read_status(call_sid: str, answer: Any) -> PhoneCallStatus | None:
    """Return the state of a call as the REST API describes it."""
    try:
        state = PhoneCallState(answer.get("status"))
    except ValueError:
        return None
    duration = str(answer.get("duration") or "")
    return PhoneCallStatus(
        call_sid, state, duration_s=int(duration) if duration.isdecimal() else None
    )


@frozen(eq=False)
class OutgoingCalls:
    """The calls that a service places. `find_refusal` returns why it takes no more, or `None`."""

    _public_url: str | None
    _twilio: TwilioClient | None
    _find_refusal: Callable[[], str | None]
    _phone_calls: PhoneCalls
    _tokens: StreamTokens[OutgoingPlan]

    async def place(
        self,
        *,
        to: str,
        from_: str,
        agent: CallHandler | None = None,
        parameters: Mapping[str, str] | None = None,
        config: CallConfig | None = None,
        machine_detection: bool = False,
        ring_timeout_ms: int = RING_TIMEOUT_MS,
        on_event: Callable[[PhoneEvent], None] | None = None,
    ) -> PlacedCall:
        """Have Twilio call a number, and connect the call to `agent` once it is answered, by
        default to the agent that the service serves.

        Numbers are in E.164; `to` may also be `sip:NAME@HOST` or `client:NAME`. `parameters` and
        `config` are those of `Accept`. With `machine_detection` Twilio reports who has answered
        (`PhoneCallAnswered`), and the greeting of an `Agent` waits for that. `on_event` is called
        with each report; it must not block.

        Raises `LocalProtocolError` for a number that is none, `UsageError` without a public URL or
        an account, `PlacingRefusedError` where the limits of the service allow no more calls, and
        `TwilioApiError`.
        """
        twilio = CallControl(twilio=self._twilio).require_twilio()
        if self._public_url is None:
            raise UsageError("placing calls needs the public URL: --public-url https://...")
        base = secure_base_url(check_public_url(self._public_url))
        refusal = self._find_refusal()
        if refusal is not None:
            raise PlacingRefusedError(refusal)
        accept = Accept(agent=agent, parameters=parameters or {}, config=config)
        token = self._tokens.issue(OutgoingPlan(accept, detects_machines=machine_detection))
        answer = await twilio.create_call(
            to=to,
            from_=from_,
            url=f"{base}{OUTGOING_CALL_PATH}/{token}",
            ring_timeout_ms=ring_timeout_ms,
            status_callback=base + STATUS_PATH,
            machine_detection=machine_detection,
            amd_status_callback=base + AMD_PATH,
        )
        placed = PlacedCall(str(answer.get("sid", "")), twilio, on_event)
        self._phone_calls.follow(placed.sid, placed.receive)
        return placed

    def take_plan(self, token: str) -> OutgoingPlan | TokenFault:
        """Return what a call that was answered is to be, once; or why the token is not valid."""
        plan = self._tokens.get(token)
        if not isinstance(plan, TokenFault):
            self._tokens.mark_used(token)
        return plan
