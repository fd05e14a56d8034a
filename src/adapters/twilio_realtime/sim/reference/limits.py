"""The limits that the documentation of the bridge states, and constants of the peers.

They are literals: a limit of the core that is changed by mistake is not changed here.
"""

from typing import Final

from .units import SAMPLES_PER_SECOND, SECOND

__all__ = [
    "ACTIVE_RESPONSE_CODE",
    "ANSWER_NS",
    "DROPPED_SAMPLES",
    "FIRST_WORDS_NS",
    "GOING_AWAY_CODE",
    "INACTIVITY_SAMPLES",
    "KEYS",
    "LATE_CANCEL_CODE",
    "MAX_EARLY_EVENTS",
    "MAX_EARLY_SAMPLES",
    "MAX_FUNCTION_CALLS",
    "MAX_GAP_SAMPLES",
    "MAX_ITEMS",
    "MAX_NESTING",
    "MAX_PARTS",
    "MAX_QUEUED_REQUESTS",
    "MAX_QUEUED_SAMPLES",
    "MAX_RESPONSES",
    "MAX_SHOWN_CHARACTERS",
    "MAX_SID_CHARACTERS",
    "MAX_STREAM_BURST_SAMPLES",
    "MAX_STREAM_MESSAGES",
    "MAX_TRANSCRIPT_CHARACTERS",
    "MAX_UNECHOED_ITEMS",
    "MODEL_SILENCE_NS",
    "NORMAL_CLOSE_CODE",
    "OTHER_ERROR_CODES",
    "OTHER_ERROR_FIELDS",
    "OTHER_ERROR_WORDS",
    "OVER_LIMIT_CODE",
    "PCMU",
    "SPEECH_STALL_NS",
    "TURN_END_NS",
    "TWILIO_FORMAT",
    "WAITING_NS",
]

# Of the peers.

PCMU: Final = {"type": "audio/pcmu"}
"""G.711 µ-law in a session: it has no `rate`. (OpenAI API reference, "Realtime", `session.update`,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update)"""

TWILIO_FORMAT: Final = ("audio/x-mulaw", 8000, 1)
"""Encoding, sample rate and channels of every stream. (Twilio documentation, "Media Streams -
WebSocket Messages", `start`, https://www.twilio.com/docs/voice/media-streams/websocket-messages)"""

KEYS: Final = "0123456789*#ABCD"
"""The keys of a phone. (The same, `dtmf`.)"""

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

OTHER_ERROR_CODES: Final = (
    "item_",
    "input_audio_buffer_",
    "session_",
    "response_cancel_",
    "cannot_update_",
    "unsupported_content_type",
)
"""How the codes of errors start that refuse another event than `response.create`."""

OTHER_ERROR_FIELDS: Final = ("session", "item", "audio", "content_index", "previous_item_id")
"""How the parameters of such errors start."""

OTHER_ERROR_WORDS: Final = (
    "Audio content of ",
    "Only model output audio ",
    "session.update",
    "input_audio_buffer.",
    "conversation.item.",
    "Error deleting item",
    "output_audio_buffer.",
    "response.cancel",
)
"""What their messages hold."""

NORMAL_CLOSE_CODE: Final = 1000
GOING_AWAY_CODE: Final = 1001
OVER_LIMIT_CODE: Final = 1008
"""Close codes of a call that is over, of a program that ends, and of a stream that sends too much
(RFC 6455, section 7.4.1)."""

# Of the bridge.

TURN_END_NS: Final = 3 * SECOND
"""How long requests wait for a caller who has stopped, until the turn is committed or answered."""

ANSWER_NS: Final = 10 * SECOND
"""How long a request waits for its answer, and an active response for its next event."""

FIRST_WORDS_NS: Final = 30 * SECOND
"""How long the first words of the agent are protected, at most."""

MODEL_SILENCE_NS: Final = 5 * SECOND
"""How long a model that owes a response may send nothing."""

SPEECH_STALL_NS: Final = 5 * SECOND
"""How long others are held for a response of which no more audio is received."""

MAX_EARLY_SAMPLES: Final = 10 * SAMPLES_PER_SECOND
"""Audio that waits for the session: a caller is answered too late after ten seconds."""

MAX_STREAM_BURST_SAMPLES: Final = 60 * SAMPLES_PER_SECOND
"""Audio that a stream may send at once; beyond that, at twice the speed of real time."""

MAX_STREAM_MESSAGES: Final = 200
"""Messages besides audio and known marks that a stream may send at once: those of ten seconds."""

MAX_SID_CHARACTERS: Final = 64
"""The longest SID that is accepted; Twilio's have 34 characters."""

DROPPED_SAMPLES: Final = SAMPLES_PER_SECOND
"""Audio that is dropped at a time, beyond that: a second."""

MAX_EARLY_EVENTS: Final = 256
"""Events of commands that wait for the session: a whole history that is restored."""

MAX_QUEUED_REQUESTS: Final = 32
"""Requests for responses that wait: the caller would listen to 32 for minutes."""

MAX_UNECHOED_ITEMS: Final = 256
"""Items of ours whose echo is awaited: it takes a round trip."""

MAX_RESPONSES: Final = 1024
"""Responses that are remembered: a session of an hour, and one every four seconds."""

MAX_FUNCTION_CALLS: Final = 1024
"""Function calls that are remembered: several for each response of an hour."""

MAX_ITEMS: Final = 2048
"""Items of a conversation that are remembered: one every two seconds of an hour."""

MAX_PARTS: Final = 64
"""Content parts of an item whose words are kept: an item has one or two."""

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

WAITING_NS: Final = SECOND
"""How long the caller waits for the first session in silence where there is a clip to play."""
