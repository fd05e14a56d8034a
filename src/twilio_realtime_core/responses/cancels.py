"""Cancels of responses, with event ids by which the errors of late ones are known.

Source: OpenAI API reference, "Realtime", `response.cancel`,
https://platform.openai.com/docs/api-reference/realtime-client-events/response/cancel.
"""

from typing import Final

from attrs import evolve

from ..protocols.realtime import CancelResponse, ServerError

__all__ = ["cancel_event", "is_late_cancel", "with_event_id"]

_ID_PREFIX: Final = "bridge-cancel-"


def cancel_event(response_id: str) -> CancelResponse:
    """Return the bridge's cancel of a response; of the active one, if its id is not known."""
    return CancelResponse(response_id or None, event_id=_ID_PREFIX + response_id)


def with_event_id(event: CancelResponse) -> CancelResponse:
    """Give a cancel of the application an event id by which its late error is known. One that has
    an event id keeps it, and its error is notified."""
    return event if event.event_id else evolve(event, event_id=_ID_PREFIX + "by-hand")


def is_late_cancel(error: ServerError) -> bool:
    """Whether an error only says that a response ended before the server received our cancel."""
    is_ours = error.event_id is not None and error.event_id.startswith(_ID_PREFIX)
    return is_ours and error.code == "response_cancel_not_active"
