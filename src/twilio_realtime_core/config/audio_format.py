"""The audio format of a call in the Realtime events that are sent and received.

Without a stated format the server takes and sends 24 kHz PCM, which a phone plays as noise. So
every update that is sent names G.711 µ-law in both directions, and every `session.updated` is
checked for it.

Source: OpenAI API reference, "Realtime", `session.update`,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from ..audio.pcmu import PCMU_FORMAT
from ..errors import LocalProtocolError
from ..protocols.realtime import ClientEvent, CreateResponse, RawClientEvent, UpdateSession
from .fields import as_mapping, read_object

__all__ = ["enforce_event_format", "enforce_session_format", "find_format_fault"]

_DIRECTIONS: Final = ("input", "output")

_BETA_NAMES: Final = {
    f"{direction}_audio_format": f"audio.{direction}.format" for direction in _DIRECTIONS
}
"""The beta's names of the formats. The GA API refuses the whole event for an unknown field, and
then the server's default stays, which is noise."""

_TYPED_ONLY: Final = ("input_audio_buffer.append", "response.create", "session.update")
"""Types of events that may not be raw: audio is counted in them, or formats are enforced."""


def enforce_session_format(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `session` object with G.711 µ-law named in both directions; the rest is kept.

    Raises `LocalProtocolError` if the object names another format, or one by its beta name, and if
    its audio is no object.
    """
    _check_no_beta_names("session", session)
    audio = dict(read_object(session, "audio", "session"))
    for direction in _DIRECTIONS:
        path = f"session.audio.{direction}"
        settings = read_object(audio, direction, "session.audio")
        audio[direction] = {**settings, "format": _enforce_format(settings, path)}
    return {"type": "realtime", **session, "audio": audio}


def enforce_event_format(event: ClientEvent) -> ClientEvent:
    """Return an event of the application with G.711 µ-law named wherever it can name a format.

    Raises `LocalProtocolError` if the event names another format, or is raw and could contain one.
    """
    match event:
        case UpdateSession():
            return evolve(event, session=enforce_session_format(event.session))
        case CreateResponse(response=response) if response:
            return evolve(event, response=_enforce_response_format(response))
        case RawClientEvent(body=body) if body.get("type") in _TYPED_ONLY:
            raise LocalProtocolError(f"{body['type']} must be given as its own class, not raw")
        case _:
            return event


def _enforce_response_format(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a `response` object whose format, if it names one, is G.711 µ-law.

    Without one the response has the session's format.
    """
    _check_no_beta_names("response", response)
    audio = as_mapping(response.get("audio"))
    output = as_mapping(audio.get("output"))
    if "format" not in output:
        return response
    format_ = _enforce_format(output, "response.audio.output")
    return {**response, "audio": {**audio, "output": {**output, "format": format_}}}


def _enforce_format(settings: Mapping[str, Any], path: str) -> dict[str, str]:
    named = settings.get("format")
    if named is not None and named != PCMU_FORMAT:
        raise LocalProtocolError(
            f"{path}.format must be {PCMU_FORMAT} (a phone call is G.711 µ-law at 8 kHz, and the "
            "server accepts no rate with it): leave it out"
        )
    return dict(PCMU_FORMAT)


def _check_no_beta_names(path: str, fields: Mapping[str, Any]) -> None:
    for beta, name in _BETA_NAMES.items():
        if beta in fields:
            raise LocalProtocolError(
                f"{path}.{beta} must be left out: it is the beta's name of {name}, which is "
                f"always {PCMU_FORMAT['type']} here"
            )


def find_format_fault(session: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the audio formats of a session as the server describes it.

    `None`: both are G.711 µ-law.
    """
    audio = as_mapping(session.get("audio"))
    for direction in _DIRECTIONS:
        type_ = as_mapping(as_mapping(audio.get(direction)).get("format")).get("type")
        if type_ != PCMU_FORMAT["type"]:
            named = f"names {type_[:40]!r}" if isinstance(type_, str) else "names no format"
            return (
                f"session.updated {named} for audio.{direction}, not {PCMU_FORMAT['type']!r}: the "
                "call would be noise"
            )
    return None
