"""What an `error` of the server says about the client event that it refuses, where it has no
`event_id`.

The server echoes the event id of the refused event; an event without one has an error without one.
Codes and parameters are those of the errors that clients have reported, since the vendor lists
none.

Source: OpenAI API reference, "Realtime", `error`,
https://platform.openai.com/docs/api-reference/realtime-server-events/error (read 2026-09-30).
"""

from typing import Final

from ..protocols.realtime import ServerError

__all__ = ["BUSY", "is_of_another_event", "is_of_request", "is_of_update"]

BUSY: Final = "conversation_already_has_active_response"
"""The code of the error that asks to wait for `response.done`."""

_OTHER_CODES: Final = (
    "item_",
    "input_audio_buffer_",
    "session_",
    "response_cancel_",
    "cannot_update_",
    "unsupported_content_type",
)
"""How the codes of errors start that refuse no request for a response."""

_OTHER_PARAMETERS: Final = ("session", "item", "audio", "content_index", "previous_item_id")
"""How the parameters start that other events have."""

_OTHER_EVENTS: Final = (
    "session.update",
    "input_audio_buffer.",
    "conversation.item.",
    "output_audio_buffer.",
    "response.cancel",
)

_OTHER_WORDS: Final = ("Audio content of ", "Only model output audio ")
"""How the messages of errors of `conversation.item.truncate` start, which have no code."""


def is_of_request(error: ServerError) -> bool:
    """Whether an error names `response.create`."""
    code, param = error.code or "", error.param or ""
    return (
        "response.create" in error.message
        or code.startswith("response_create")
        or param.partition(".")[0] == "response"
    )


def is_of_update(error: ServerError) -> bool:
    """Whether an error names `session.update`."""
    code, param = error.code or "", error.param or ""
    return (
        "session.update" in error.message
        or code.startswith("cannot_update_")
        or param.partition(".")[0] == "session"
    )


def is_of_another_event(error: ServerError) -> bool:
    """Whether an error names something other than `response.create`."""
    return (
        (error.code or "").startswith(_OTHER_CODES)
        or (error.param or "").startswith(_OTHER_PARAMETERS)
        or error.message.startswith(_OTHER_WORDS)
        or any(each in error.message for each in _OTHER_EVENTS)
    )
