"""The configuration of a call and its session, with audio formats pinned to what a phone speaks.

Source: OpenAI API reference, "Realtime", `session.update`. Without a stated format the server takes
and sends 24 kHz PCM, which a phone plays as noise; so every update that we send names G.711 µ-law
both ways, and every `session.updated` is held against it.
"""

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from .actions import Peer
from .audio import PCMU
from .errors import LocalProtocolError
from .realtime import (
    URL,
    ClientEvent,
    CreateResponse,
    OtherClientEvent,
    UpdateSession,
)
from .times import SECOND

__all__ = [
    "CallConfig",
    "SessionConfig",
    "check_sendable",
    "format_fault",
    "interrupts_by_itself",
    "pin_event",
    "pin_session",
    "session_url",
]

_FORMATS: Final = ("input", "output")

_UNDERSTOOD: Final = ("input_audio_buffer.append", "response.create", "session.update")
"""Types of events in which audio is counted, or formats are pinned."""


@frozen
class SessionConfig:
    """What the model is and how it behaves. `None` leaves a field to the server's default.

    `turn_detection` is the server's object, for example `{"type": "server_vad",
    "silence_duration_ms": 500}`; `transcription` names the model that writes down what the caller
    says, for example `{"model": "gpt-4o-mini-transcribe"}`. `more` holds any other field of
    `session.update`, by its name there; nested fields of `audio` are kept beside ours.

    Raises `LocalProtocolError` where `more` asks for another audio format, or a field is no JSON.
    """

    instructions: str | None = field(default=None, repr=False)
    voice: str | None = None
    turn_detection: Mapping[str, Any] | None = None
    transcription: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] | None = field(default=None, repr=False)
    more: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)

    def __attrs_post_init__(self) -> None:
        check_sendable(self.update(""))

    def update(self, event_id: str) -> UpdateSession:
        """The `session.update` that makes it so."""
        audio = dict(_mapping(self.more.get("audio")))
        heard = {"turn_detection": self.turn_detection, "transcription": self.transcription}
        audio["input"] = {**_mapping(audio.get("input")), **_given(heard)}
        audio["output"] = {**_mapping(audio.get("output")), **_given({"voice": self.voice})}
        session = {
            **self.more,
            "type": "realtime",
            **_given({"instructions": self.instructions, "tools": self.tools}),
            "audio": audio,
        }
        return UpdateSession(pin_session(session), event_id)


@frozen
class CallConfig:
    """How a call is to be. `Configure` may change `session`, `model` and `url` for one call.

    `url` is the Realtime endpoint; the model is added to it as `?model=`, unless it has a query of
    its own (such as `?call_id=`). No header is named here: the key is the driver's business, and
    `OpenAI-Beta` must not be sent (the server closes with 4000, `beta_api_shape_disabled`).

    `await_configuration_ns`: how long after `CallStarted` to wait for `Configure` before the
    defaults are used; 0 does not wait. `start_timeout_ns`: for Twilio's `start`, which follows the
    opening of the socket at once. `session_timeout_ns`: for the session to be open and configured,
    which takes about a second. `ending_timeout_ns`: for both sockets to be closed; longer than the
    driver's own close time-out. `raw_messages`: the peers whose every message is notified.

    Raises `LocalProtocolError` if `url` is no ws:// or wss:// URL.
    """

    session: SessionConfig = field(factory=SessionConfig)
    model: str = "gpt-realtime"
    url: str = field(default=URL, repr=False)
    await_configuration_ns: int = 0
    start_timeout_ns: int = 10 * SECOND
    session_timeout_ns: int = 15 * SECOND
    ending_timeout_ns: int = 10 * SECOND
    raw_messages: frozenset[Peer] = frozenset()

    def __attrs_post_init__(self) -> None:
        session_url(self.url, self.model)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def pin_session(session: Mapping[str, Any]) -> dict[str, Any]:
    """A `session` object with G.711 µ-law named in both directions, all else kept.

    Raises `LocalProtocolError` where it explicitly names another format.
    """
    audio = dict(_mapping(session.get("audio")))
    for way in _FORMATS:
        path = f"session.audio.{way}"
        audio[way] = {**_mapping(audio.get(way)), "format": _pinned(audio.get(way), path)}
    return {"type": "realtime", **session, "audio": audio}


def _pinned(settings: Any, path: str) -> dict[str, str]:
    asked = _mapping(settings).get("format")
    if asked is not None and asked != PCMU:
        raise LocalProtocolError(
            f"{path}.format must be {PCMU} (a phone call is G.711 µ-law at 8 kHz, and the "
            f"server accepts no rate with it), not {asked!r}: leave it out"
        )
    return dict(PCMU)


def pin_event(event: ClientEvent) -> ClientEvent:
    """An event of the application as it may be sent: formats pinned where it could name others.

    Raises `LocalProtocolError` where it explicitly names another format, or could hide one.
    """
    match event:
        case UpdateSession():
            return UpdateSession(pin_session(event.session), event.event_id)
        case CreateResponse(response=response) if response and "audio" in response:
            audio = _mapping(response["audio"])
            if "output" not in audio or "format" not in _mapping(audio["output"]):
                return event
            pinned = _pinned(audio["output"], "response.audio.output")
            output = {**audio["output"], "format": pinned}
            return CreateResponse(
                {**response, "audio": {**audio, "output": output}}, event.event_id
            )
        case OtherClientEvent(body=body) if body.get("type") in _UNDERSTOOD:
            raise LocalProtocolError(f"{body['type']} must be given as its own class, not raw")
        case _:
            return event


def check_sendable(event: ClientEvent) -> None:
    """Raise `LocalProtocolError` if an event is no JSON."""
    try:
        event.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{event.type} is no JSON: {error}") from None


def session_url(url: str, model: str) -> str:
    """Where to open the session: `url`, and the model in its query unless it has one of its own.

    Raises `LocalProtocolError` if `url` is no ws:// or wss:// URL, or the model is no Unicode. The
    URL is not shown, since it may hold a token.
    """
    try:
        parts = urlsplit(url)
        query = "" if parts.query else f"?model={quote(model, safe='')}"
    except ValueError:
        parts, query = None, ""
    if parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise LocalProtocolError(
            "the url needs to be ws:// or wss:// with a host, and the model to be Unicode"
        )
    return url + query


def format_fault(session: Mapping[str, Any]) -> str | None:
    """What is wrong with the formats of a session as the server describes it; `None` if nothing."""
    audio = _mapping(session.get("audio"))
    for way in _FORMATS:
        named = _mapping(_mapping(audio.get(way)).get("format")).get("type")
        if named != PCMU["type"]:
            told = "names no format" if not isinstance(named, str) else f"says {named[:40]!r}"
            return (
                f"session.updated {told} for audio.{way}, where {PCMU['type']!r} was asked for: "
                "the call would be noise"
            )
    return None


def interrupts_by_itself(session: Mapping[str, Any]) -> bool:
    """Whether the server cancels its response when it hears the caller speak.

    It does unless `turn_detection.interrupt_response` is false, or nothing detects turns.
    """
    heard = _mapping(_mapping(session.get("audio")).get("input"))
    detection = heard.get("turn_detection")
    return detection is not None and _mapping(detection).get("interrupt_response") is not False
