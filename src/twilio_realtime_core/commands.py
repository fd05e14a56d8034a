"""What the application may ask of a call: values, so that a recorded call is a list of them.

Given to `Bridge.send(command, now)`. Any client event of `realtime` is a command as well, such as
`CreateResponse()`, `CancelResponse()`, `UpdateSession(...)`, `DeleteItem(id)`, `RetrieveItem(id)`.
A command that comes after the call has ended changes nothing: the caller may hang up at any moment.
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
    """Answers `CallStarted`: how this call is to be, in place of the default configuration.

    `None` keeps what the call was set up with. Only before the Realtime session is opened; so the
    bridge must have been told to wait (`CallConfig.configure_timeout_ms`). The model cannot be
    changed during a call (API reference, "Realtime", `session.update`).
    """

    session: SessionConfig | None = None
    model: str | None = None
    url: str | None = field(default=None, repr=False)


@frozen
class Interrupt:
    """Stops the agent at once, as a caller's speech does, and tells the model what was heard.

    `cancel`: also cancel a response that is still being generated, or that was asked for and has
    not begun. Either way nothing more of it is played.
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
    """Says something to the model in the caller's name, in text and pictures.

    `respond`: have the model answer; where a response is under way, after it. `more` holds other
    fields of the event, such as `previous_item_id`. Raises `LocalProtocolError` where they are no
    JSON.
    """

    content: tuple[TextPart | ImagePart, ...] = field(converter=_as_parts, repr=False)
    respond: bool = True
    extra_fields: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)


_is_bytes: Final = validators.instance_of(bytes)


@frozen
class SendAudio:
    """Gives the model audio as if the caller had said it: G.711 µ-law, 8 kHz, one byte a sample; a
    minute at most, and ten seconds before the session is ready.

    `commit`: it ends the caller's turn (at least 100 ms must wait to be committed).
    """

    audio: bytes = field(validator=_is_bytes, repr=lambda audio: f"<{len(audio)} samples>")
    commit: bool = False


@frozen
class SendFunctionOutput:
    """Answers `FunctionCallRequested`. `output` is text, as a rule JSON.

    `respond`: have the model go on; several outputs at a time cause one response. `after_playback`:
    wait until all that the agent has said was heard. Raises `LocalProtocolError` for a call that
    was never requested, or has its answer.
    """

    call_id: str
    output: str = field(repr=False)
    respond: bool = True
    after_playback: bool = False


@frozen
class AnswerApproval:
    """Answers `McpApprovalRequested`. Raises `LocalProtocolError` for a request that is unknown, or
    has its answer."""

    approval_request_id: str
    approve: bool
    reason: str | None = field(default=None, repr=False)


def _as_items(items: Iterable[ConversationItem]) -> tuple[ConversationItem, ...]:
    return tuple(items)


@frozen
class ResetHistory:
    """Makes the conversation hold these items and no others: what is not among them is deleted,
    what is new or different is created in its place. Raises `LocalProtocolError` for new audio of
    the agent, which the server does not take."""

    items: tuple[ConversationItem, ...] = field(converter=_as_items, repr=False)


@frozen
class Mute:
    """The model hears silence in place of the caller, so that turn detection keeps working."""


@frozen
class Unmute:
    """The model hears the caller again."""


@frozen
class Play:
    """Plays audio of one's own to the caller: G.711 µ-law, 8 kHz, one byte a sample.

    `until_agent_speaks`: it fills the time until the agent speaks, such as hold audio: it
    begins when nothing else plays, and ends at the first sound of the agent; a new one takes the
    place of one that waits or plays. Else it is played in its turn, and to its end unless somebody
    interrupts. `ClipFinished` tells how much was heard, by `name`. The model does not know of
    it. Raises `LocalProtocolError` for no audio, before Twilio's stream has begun, or where more
    would wait than a minute of such audio, or than Twilio holds (ten minutes).
    """

    audio: bytes = field(validator=_is_bytes, repr=lambda audio: f"<{len(audio)} samples>")
    name: str = ""
    until_agent_speaks: bool = False


@frozen
class PressKeys:
    """Plays the tones of telephone keys towards the caller's end, as `Play` plays audio: `0` to
    `9`, `*`, `#`, `A` to `D`; a comma is half a second of silence (ITU-T Q.23).

    Tones and pauses last 40 to 5,000 ms. Raises `LocalProtocolError` for any other key or duration,
    or where `Play` would.
    """

    keys: str = field(repr=False)
    tone_ms: int = 100
    pause_ms: int = 100


@frozen
class HangUp:
    """Ends the call now; what waits to be played is not heard.

    `after_playback`: not before all that waits to be played has been. It ends at once if the caller
    interrupts it, and where no sign of playing comes any more, since the line is then dead.
    """

    after_playback: bool = False


def _as_event(event: ClientEvent | Mapping[str, Any]) -> ClientEvent:
    return client_event(event) if isinstance(event, Mapping) else event


@frozen
class SendEvent:
    """Sends a Realtime client event given as plain data, `{"type": ..., ...}`.

    What it means for the call is the same as of the typed event: audio formats are pinned, requests
    for responses take their turn. Before the session is ready it waits in order. Raises
    `LocalProtocolError` where the data is no client event.
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
