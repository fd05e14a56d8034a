"""The commands of the application: values, so that a recorded call is a list of them.

Give them to `Bridge.send(command, now)`. Any client event of `protocols.realtime` is a command as
well, such as `CreateResponse()`, `CancelResponse()`, `UpdateSession(...)`, `DeleteItem(id)`,
`RetrieveItem(id)`. A command after the end of the call changes nothing, since the caller may hang
up at any moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import field, frozen, validators

from .config.call import SessionConfig
from .protocols.realtime import ClientEvent, client_event
from .values.items import ConversationItem, ImagePart, TextPart

__all__ = [
    "AnswerApproval",
    "Command",
    "Configure",
    "HangUp",
    "Interrupt",
    "Mute",
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

    session: SessionConfig | None = None
    model: str | None = None
    url: str | None = field(default=None, repr=False)


@frozen
class Interrupt:
    """Interrupt the agent at once, as a caller's speech does, and tell the model what was heard.

    `cancel`: also cancel a response that is being generated, or that is requested and has not
    started. Either way nothing more of it is played.
    """

    cancel: bool = True


def _as_parts(
    content: str | TextPart | ImagePart | Sequence[TextPart | ImagePart],
) -> tuple[TextPart | ImagePart, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return (content,) if isinstance(content, TextPart | ImagePart) else tuple(content)


@frozen
class SendMessage:
    """Send the model a message of the user, in text and images.

    `respond`: have the model respond to it, after an active response. `extra_fields` holds other
    fields of the event, such as `previous_item_id`. Raises `LocalProtocolError` where the message
    is empty, or not JSON.
    """

    content: tuple[TextPart | ImagePart, ...] = field(converter=_as_parts, repr=False)
    respond: bool = True
    extra_fields: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)


_is_bytes: Final = validators.instance_of(bytes)


@frozen
class SendAudio:
    """Send the model audio as if the caller had said it: G.711 µ-law, 8 kHz, one byte a sample.

    `commit`: end the caller's turn with it (the server needs at least 100 ms for that). Raises
    `LocalProtocolError` for no audio, for more than a minute, or for more than ten seconds before
    the session is ready.
    """

    audio: bytes = field(validator=_is_bytes, repr=lambda audio: f"<{len(audio)} samples>")
    commit: bool = False


@frozen
class SendFunctionOutput:
    """Send the output of a function, in answer to `FunctionCallRequested`. `output` is text, as a
    rule JSON.

    `respond`: have the model respond to it; the outputs of one response cause one response.
    `after_playback`: send it once all that the agent has said was heard. Raises
    `LocalProtocolError` for a call that was never requested, or has its output.
    """

    call_id: str
    output: str = field(repr=False)
    respond: bool = True
    after_playback: bool = False


@frozen
class AnswerApproval:
    """Grant or deny the use of an MCP tool, in answer to `McpApprovalRequested`. Raises
    `LocalProtocolError` for a request that is unknown, or has its answer."""

    approval_request_id: str
    approve: bool
    reason: str | None = field(default=None, repr=False)


def _as_items(items: Iterable[ConversationItem]) -> tuple[ConversationItem, ...]:
    return tuple(items)


@frozen
class ResetHistory:
    """Make the conversation hold these items and no others, in this order: other items are deleted,
    new or different ones are created in their place. Raises `LocalProtocolError` for new audio of
    the agent, which the server does not accept."""

    items: tuple[ConversationItem, ...] = field(converter=_as_items, repr=False)


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

    audio: bytes = field(validator=_is_bytes, repr=lambda audio: f"<{len(audio)} samples>")
    name: str = ""
    until_agent_speaks: bool = False


@frozen
class PressKeys:
    """Play the DTMF tones of telephone keys to the other end, as a clip: `0` to `9`, `*`, `#`, `A`
    to `D`; a comma is half a second of silence (ITU-T Q.23).

    Tones and pauses last 40 to 5,000 ms. Raises `LocalProtocolError` for any other key or duration,
    and where `Play` would.
    """

    keys: str = field(repr=False)
    tone_ms: int = 100
    pause_ms: int = 100


@frozen
class HangUp:
    """End the call now; what is queued to be played is not heard.

    `after_playback`: end it once all that is queued or being generated was heard. It ends at once
    if the caller interrupts, and if for ten seconds nothing shows that audio is played.
    """

    after_playback: bool = False


def _as_event(event: ClientEvent | Mapping[str, Any]) -> ClientEvent:
    return client_event(event) if isinstance(event, Mapping) else event


@frozen
class SendEvent:
    """Send a Realtime client event given as JSON data, `{"type": ..., ...}`.

    It does the same as the typed event: audio formats are fixed, requests for responses are queued.
    Before the session is ready it is queued, in order. Raises `LocalProtocolError` where the data
    is not a client event.
    """

    event: ClientEvent = field(converter=_as_event)


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
    | SendEvent
    | ClientEvent
)
