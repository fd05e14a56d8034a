"""Events as they may be sent: with the audio formats of a phone, and as JSON.

Source: OpenAI API reference, "Realtime", `session.update`. Without a stated format the server takes
and sends 24 kHz PCM, which a phone plays as noise; so every update that we send names G.711 µ-law
both ways, and every `session.updated` is held against it.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..audio.pcmu import PCMU_FORMAT
from ..errors import LocalProtocolError
from ..protocols.realtime import ClientEvent, CreateResponse, RawClientEvent, UpdateSession
from .fields import as_mapping

__all__ = ["check_encodable", "enforce_event_format", "enforce_session_format", "find_format_fault"]

_DIRECTIONS: Final = ("input", "output")

_BETA_NAMES: Final = {f"{way}_audio_format": f"audio.{way}.format" for way in _DIRECTIONS}
"""How the beta named the formats. This API refuses the whole event for an unknown field, and then
its default stays, which is noise."""

_TYPED_ONLY: Final = ("input_audio_buffer.append", "response.create", "session.update")
"""Types of events in which audio is counted, or formats are pinned."""


def enforce_session_format(session: Mapping[str, Any]) -> dict[str, Any]:
    """A `session` object with G.711 µ-law named in both directions, all else kept.

    Raises `LocalProtocolError` where it explicitly names another format, or one by its beta name.
    """
    _check_no_beta_names("session", session)
    audio = dict(as_mapping(session.get("audio")))
    for way in _DIRECTIONS:
        path = f"session.audio.{way}"
        audio[way] = {**as_mapping(audio.get(way)), "format": _enforce_format(audio.get(way), path)}
    return {"type": "realtime", **session, "audio": audio}


def _check_no_beta_names(path: str, fields: Mapping[str, Any]) -> None:
    for beta, name in _BETA_NAMES.items():
        if beta in fields:
            raise LocalProtocolError(
                f"{path}.{beta} must be left out: it is the beta's name of {name}, which is "
                f"always {PCMU_FORMAT['type']} here"
            )


def _enforce_format(settings: Any, path: str) -> dict[str, str]:
    asked = as_mapping(settings).get("format")
    if asked is not None and asked != PCMU_FORMAT:
        raise LocalProtocolError(
            f"{path}.format must be {PCMU_FORMAT} (a phone call is G.711 µ-law at 8 kHz, and the "
            "server accepts no rate with it): leave it out"
        )
    return dict(PCMU_FORMAT)


def enforce_event_format(event: ClientEvent) -> ClientEvent:
    """An event of the application as it may be sent: formats pinned where it could name others.

    Raises `LocalProtocolError` where it explicitly names another format, or could hide one.
    """
    match event:
        case UpdateSession():
            return UpdateSession(enforce_session_format(event.session), event.event_id)
        case CreateResponse(response=response) if response:
            return CreateResponse(_enforce_response_format(response), event.event_id)
        case RawClientEvent(body=body) if body.get("type") in _TYPED_ONLY:
            raise LocalProtocolError(f"{body['type']} must be given as its own class, not raw")
        case _:
            return event


def _enforce_response_format(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """A response takes the session's format, unless it names one of its own."""
    _check_no_beta_names("response", response)
    audio = as_mapping(response.get("audio"))
    output = as_mapping(audio.get("output"))
    if "format" not in output:
        return response
    pinned = {**output, "format": _enforce_format(output, "response.audio.output")}
    return {**response, "audio": {**audio, "output": pinned}}


def check_encodable(event: ClientEvent) -> None:
    """Raise `LocalProtocolError` if an event is no JSON."""
    try:
        event.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{event.type} is no JSON: {error}") from None


def find_format_fault(session: Mapping[str, Any]) -> str | None:
    """What is wrong with the formats of a session as the server describes it; `None` if nothing."""
    audio = as_mapping(session.get("audio"))
    for way in _DIRECTIONS:
        named = as_mapping(as_mapping(audio.get(way)).get("format")).get("type")
        if named != PCMU_FORMAT["type"]:
            told = "names no format" if not isinstance(named, str) else f"says {named[:40]!r}"
            return (
                f"session.updated {told} for audio.{way}, where {PCMU_FORMAT['type']!r} was asked for: "
                "the call would be noise"
            )
    return None
