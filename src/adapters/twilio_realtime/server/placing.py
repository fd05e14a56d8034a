"""Place a call from a program, with a service for it alone.

    status = await place_call(
        to="+15005550006", from_="+15005550001", agent=agent, public_url="https://calls.example"
    )

A program that places many calls serves once (`serving`), and calls `outgoing_calls.place` of the
service.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio

from ..agents.call import CallHandler
from ..agents.phone_events import PhoneCallStatus, PhoneEvent
from ..twilio_api.errors import TwilioApiError
from .outgoing_calls import RING_TIMEOUT_MS
from .service_config import ServiceConfig
from .serving import serving

__all__ = ["place_call"]


async def place_call(
    *,
    to: str,
    from_: str,
    agent: CallHandler,
    parameters: Mapping[str, str] | None = None,
    machine_detection: bool = False,
    ring_timeout_ms: int = RING_TIMEOUT_MS,
    on_event: Callable[[PhoneEvent], None] | None = None,
    config: ServiceConfig | None = None,
    **settings: Any,
) -> PhoneCallStatus:
    """Have Twilio call a number, connect it to `agent`, and return how the call ended: completed,
    busy, no-answer, failed or canceled.

    The webhook is served meanwhile, as `serve` does with `config` and `settings`, at `public_url`,
    which has to lead to this program. The account is that of `TWILIO_ACCOUNT_SID`. If the task is
    cancelled, the call ends. The other arguments, and what is raised, are those of
    `OutgoingCalls.place`.
    """
    async with serving(agent, config=config, **settings) as service:
        placed = await service.outgoing_calls.place(
            to=to,
            from_=from_,
            parameters=parameters,
            machine_detection=machine_detection,
            ring_timeout_ms=ring_timeout_ms,
            on_event=on_event,
        )
        try:
            return await placed.wait()
        finally:
            if not placed.is_over:  # cancelled, perhaps while it rings
                with anyio.CancelScope(shield=True), suppress(TwilioApiError):
                    await placed.hang_up()
