"""The limits that the documentation of the bridge states, and constants of the peers.

They are literals: a limit of the core that is changed by mistake is not changed here.
"""

from typing import Final

from .units import SAMPLES_PER_SECOND

__all__ = [
    "ACTIVE_RESPONSE_CODE",
    "INACTIVITY_SAMPLES",
    "LATE_CANCEL_CODE",
    "MAX_EARLY_EVENTS",
    "MAX_EARLY_SAMPLES",
    "MAX_FUNCTION_CALLS",
    "MAX_GAP_SAMPLES",
    "MAX_ITEMS",
    "MAX_NESTING",
    "MAX_QUEUED_REQUESTS",
    "MAX_QUEUED_SAMPLES",
    "MAX_RESPONSES",
    "MAX_SHOWN_CHARACTERS",
    "MAX_TRANSCRIPT_CHARACTERS",
    "PCMU",
    "TWILIO_FORMAT",
]

# Of the peers.

PCMU: Final = {"type": "audio/pcmu"}
"""G.711 µ-law in a session: it has no `rate`. (OpenAI API reference, "Realtime", `session.update`,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update)"""

TWILIO_FORMAT: Final = ("audio/x-mulaw", 8000, 1)
"""Encoding, sample rate and channels of every stream. (Twilio documentation, "Media Streams -
WebSocket Messages", `start`, https://www.twilio.com/docs/voice/media-streams/websocket-messages)"""

MAX_QUEUED_SAMPLES: Final = 10 * 60 * SAMPLES_PER_SECOND
"""Audio in Twilio's queue: ten minutes, of which it discards what is beyond. (Twilio documentation,
warning 31931, https://www.twilio.com/docs/api/errors/31931)"""

ACTIVE_RESPONSE_CODE: Final = "conversation_already_has_active_response"
"""The code of the error for a request that has to wait until the active response is done. (OpenAI
API reference, "Realtime", `response.create` and `error`,
https://platform.openai.com/docs/api-reference/realtime-client-events/response/create)"""

LATE_CANCEL_CODE: Final = "response_cancel_not_active"
"""The code of the error that answers a cancel after the end of its response. (The same,
`response.cancel`.)"""

# Of the bridge.

MAX_EARLY_SAMPLES: Final = 10 * SAMPLES_PER_SECOND
"""Audio that waits for the session: a caller is answered too late after ten seconds."""

MAX_EARLY_EVENTS: Final = 256
"""Events of commands that wait for the session: a whole history that is restored."""

MAX_QUEUED_REQUESTS: Final = 32
"""Requests for responses that wait: the caller would listen to 32 for minutes."""

MAX_RESPONSES: Final = 1024
"""Responses that are remembered: a session of an hour, and one every four seconds."""

MAX_FUNCTION_CALLS: Final = 1024
"""Function calls that are remembered: several for each response of an hour."""

MAX_ITEMS: Final = 2048
"""Items of a conversation that are remembered: one every two seconds of an hour."""

MAX_TRANSCRIPT_CHARACTERS: Final = 100_000
"""Characters of a transcript that are kept: an hour of fast speech has 60,000."""

MAX_GAP_SAMPLES: Final = 10 * SAMPLES_PER_SECOND
"""Silence in place of the frames of a gap: turn detection ends a turn after less than a second."""

INACTIVITY_SAMPLES: Final = SAMPLES_PER_SECOND
"""Silence where a caller who speaks sends no frames: longer than turn detection waits."""

MAX_SHOWN_CHARACTERS: Final = 300
"""Characters of a peer's words in a notification: error texts of both vendors are shorter."""

MAX_NESTING: Final = 32
"""Levels of an item of an unknown type that are kept: schemas of tools have a dozen."""
