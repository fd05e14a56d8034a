"""The commands of the application: values, so that a recorded call is a list of them.

Give them to `Bridge.send(command, now)`. Any client event of `protocols.realtime` is a command as
well, such as `CreateResponse()`, `CancelResponse()`, `UpdateSession(...)`, `DeleteItem(id)`,
`RetrieveItem(id)`. A command after the end of the call changes nothing, since the caller may hang
up at any moment. A field of the wrong type raises `LocalProtocolError` when the command is created.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, get_args

from attrs import Attribute, field, frozen

from .audio.dtmf import MAX_MS, MIN_MS, check_keys
from .config.call import MODEL, SessionConfig
from .machine.arguments import (
    BOOLEAN,
    BYTES,
    MAPPING,
    NON_EMPTY_TEXT,
    NULL,
    TEXT,
    UNICODE,
    FieldRule,
    instance_of,
    milliseconds,
)
from .machine.websocket_url import WEBSOCKET_URL
from .protocols.realtime import ClientEvent, client_event
from .values.items import (
    ConversationItem,
    ImagePart,
    TextPart,
    as_items,
    check_creatable_part,
    check_items,
    check_part,
)

__all__ = [
    "AnswerApproval",
    "Command",
    "Configure",
    "GoAway",
    "HangUp",
    "Interrupt",
    "Mute",
    "NotifyAfterPlayback",
    "Play",
    "PressKeys",
    "ResetHistory",
    "SendAudio",
    "SendEvent",
    "SendFunctionOutput",
    "SendMessage",
    "Unmute",
]


@frozen
class Configure:
    """Configure this call, in answer to `CallStarted`.

    `None` keeps the value of the `CallConfig`. Raises `LocalProtocolError` once the session is
    opened, so `CallConfig.configure_timeout_ms` must make the bridge wait. The model cannot be
    changed during a call (OpenAI API reference, "Realtime", `session.update`).
    """

    session: SessionConfig | None = field(default=None, validator=instance_of(SessionConfig) | NULL)
    model: str | None = field(default=None, validator=MODEL | NULL)
    url: str | None = field(default=None, repr=False, validator=WEBSOCKET_URL | NULL)


@frozen
class Interrupt:
    """Interrupt the agent at once, as a caller's speech does, and tell the model what was heard.

    `cancel`: also cancel a response that is being generated, or that is requested and has not
    started. Either way nothing more of it is played. `response_id`: interrupt only while this
    response is heard, or being generated to be heard, so that a decision that comes late does not
    cut what the agent says next, and leave a requested response alone; `None`: whatever the agent
    says.
    """

    cancel: bool = field(default=True, validator=BOOLEAN)
    response_id: str | None = field(default=None, validator=TEXT | NULL)


_CONTENT: Final = FieldRule(
    "text, a TextPart, an ImagePart, or a list of such parts",
    lambda value: isinstance(value, tuple),
)
_PART: Final = instance_of(TextPart, ImagePart)


def _as_parts(
    content: str | TextPart | ImagePart | Sequence[TextPart | ImagePart],
) -> tuple[TextPart | ImagePart, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, list | tuple):
        return tuple(content)
    return (content,) if isinstance(content, TextPart | ImagePart) else content  # type: ignore[return-value] # refused


def _check_parts(
    command: object, attribute: "Attribute[Any]", parts: tuple[TextPart | ImagePart, ...]
) -> None:
    _CONTENT(command, attribute, parts)
    for index, part in enumerate(parts):
        place = f"SendMessage.content[{index}]"
        _PART.check(place, part)
        check_part(part, place)
        check_creatable_part(part, place)


@frozen
class SendMessage:
    """Send the model a message of the user, in text and images.

    `respond`: have the model respond to it, after an active response. `extra_fields` holds other
    fields of the event, such as `previous_item_id`. Raises `LocalProtocolError` where the message
    is empty, or not JSON.
    """

    content: tuple[TextPart | ImagePart, ...] = field(
        converter=_as_parts, repr=False, validator=_check_parts
    )
    respond: bool = field(default=True, validator=BOOLEAN)
    extra_fields: Mapping[str, Any] = field(factory=dict[str, Any], repr=False, validator=MAPPING)


def _show_samples(audio: bytes) -> str:
    return f"<{len(audio)} samples>"


@frozen
class SendAudio:
    """Send the model audio as if the caller had said it: G.711 µ-law, 8 kHz, one byte a sample.

    It may have any length; it is sent in pieces of ten seconds. `commit`: end the caller's turn
    with it (the server needs at least 100 ms for that). Raises `LocalProtocolError` for no audio,
    and for more than ten seconds before the session is ready.
    """

    audio: bytes = field(validator=BYTES, repr=_show_samples)
    commit: bool = field(default=False, validator=BOOLEAN)


@frozen
class SendFunctionOutput:
    """Send the output of a function, in answer to `FunctionCallRequested`. `output` is text, as a
    rule JSON.

    `respond`: have the model respond to it; the outputs of one response cause one response.
    `after_playback`: send it once all that the agent has said was heard. `wait_for_others`: the
    response waits until all function calls of the same response have their output; `False`: it does
    not, so that a call that takes long holds up no other. Raises `LocalProtocolError` for a call
    that was never requested, or has its output.
    """

    call_id: str = field(validator=NON_EMPTY_TEXT)
    output: str = field(repr=False, validator=UNICODE)
    respond: bool = field(default=True, validator=BOOLEAN)
    after_playback: bool = field(default=False, validator=BOOLEAN)
    wait_for_others: bool = field(default=True, kw_only=True, validator=BOOLEAN)


@frozen
class AnswerApproval:
    """Grant or deny the use of an MCP tool, in answer to `McpApprovalRequested`. Raises
    `LocalProtocolError` for a request that is unknown, or has its answer."""

    approval_request_id: str = field(validator=NON_EMPTY_TEXT)
    approve: bool = field(validator=BOOLEAN)
    reason: str | None = field(default=None, repr=False, validator=UNICODE | NULL)


@frozen
class ResetHistory:
    """Make the conversation hold these items and no others, in this order: other items are deleted,
    new or different ones are created in their place. Items that only the server makes, such as
    those of MCP tools, can stay where they are. Raises `LocalProtocolError`, before anything is
    sent, for what the server would not create (see `conversation.history_diff.diff`)."""

    items: tuple[ConversationItem, ...] = field(
        converter=as_items, repr=False, validator=check_items
    )


@frozen
class Mute:
    """Send the model silence in place of the caller's audio; turn detection keeps working."""


@frozen
class Unmute:
    """Send the model the caller's audio again."""


@frozen
class Play:
    """Play a clip to the caller: G.711 µ-law, 8 kHz, one byte a sample.

    The clip is played in its turn, and to its end unless the agent is interrupted. With
    `until_agent_speaks` it is hold audio, which fills the time until the agent speaks: it starts
    when nothing else plays, and ends at the first sound of the agent; new hold audio replaces one
    that is queued or plays. `ClipFinished` says how much was heard, by `name`. The model does not
    know of the clip.

    Raises `LocalProtocolError` for no audio, before Twilio's stream has started, and where more
    than a minute of clips would be queued, or more audio than Twilio holds (ten minutes).
    """

    audio: bytes = field(validator=BYTES, repr=_show_samples)
    name: str = field(default="", validator=TEXT)
    until_agent_speaks: bool = field(default=False, validator=BOOLEAN)


_KEY_DURATION: Final = milliseconds(MIN_MS, MAX_MS)


@frozen
class PressKeys:
    """Play the DTMF tones of telephone keys to the other end, as a clip: `0` to `9`, `*`, `#`, `A`
    to `D`; a comma is half a second of silence (ITU-T Q.23).

    Tones and pauses last 40 to 5,000 ms. Raises `LocalProtocolError` for any other key or duration,
    and where `Play` would.
    """

    keys: str = field(repr=False, validator=TEXT)
    tone_ms: int = field(default=100, validator=_KEY_DURATION)
    pause_ms: int = field(default=100, validator=_KEY_DURATION)

    def __attrs_post_init__(self) -> None:
        check_keys("PressKeys.keys", self.keys, self.tone_ms, self.pause_ms)


@frozen
class HangUp:
    """End the call now; what is queued to be played is not heard.

    `after_playback`: end it once all that is queued or being generated was heard. It ends at once
    if the caller interrupts, and if for ten seconds nothing shows that audio is played.
    """

    after_playback: bool = field(default=False, validator=BOOLEAN)


@frozen
class NotifyAfterPlayback:
    """Have `AllHeard` notified, with this `name`, once all that is queued or being generated was
    heard; if the agent is interrupted, once it is silent.

    The application then does what has to follow, such as a transfer. If the call ends before, it is
    not notified. Raises `LocalProtocolError` where 32 notifications are awaited already.
    """

    name: str = field(default="", validator=TEXT)


_EVENT: Final = FieldRule(
    "a client event, or its JSON data", lambda value: isinstance(value, get_args(ClientEvent))
)


@frozen
class GoAway:
    """End the call now, since the program that runs it ends: both sockets are closed with the code
    1001, "going away" (RFC 6455, section 7.4.1), and `CallEnded` has `EndReason.GOING_AWAY`."""


def _as_event(event: ClientEvent | Mapping[str, Any]) -> ClientEvent:
    return client_event(event) if isinstance(event, Mapping) else event


@frozen
class SendEvent:
    """Send a Realtime client event given as JSON data, `{"type": ..., ...}`.

    It does the same as the typed event: audio formats are fixed, requests for responses are queued.
    Before the session is ready it is queued, in order. Raises `LocalProtocolError` where the data
    is not a client event.
    """

    event: ClientEvent = field(converter=_as_event, validator=_EVENT)


Command: TypeAlias = (
    Configure
    | Interrupt
    | SendMessage
    | SendAudio
    | SendFunctionOutput
    | AnswerApproval
    | ResetHistory
    | Mute
    | Unmute
    | Play
    | PressKeys
    | HangUp
    | NotifyAfterPlayback
    | GoAway
    | SendEvent
    | ClientEvent
)
