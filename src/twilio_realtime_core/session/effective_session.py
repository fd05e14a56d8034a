"""What the session is configured with: as the server last told it, and as it will be once the
updates on their way have arrived.

Source: OpenAI API reference, "Realtime", `session.update`. Only the fields present change; the
server answers each update once and in order, with `session.updated` (the whole configuration), or
with an `error` that names it, and then nothing of it has changed.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..config.fields import as_mapping
from ..errors import LocalProtocolError

__all__ = ["MAX_UPDATES", "EffectiveSession", "server_interrupts"]

MAX_UPDATES: Final = 64
"""Updates without an answer. Each is answered within a round trip, so more are a loop that sends
without looking."""


class EffectiveSession:
    """`in_effect` is the configuration as the server last told it; `{}` before it has."""

    def __init__(self, event_id: str, initial: Mapping[str, Any]) -> None:
        self.config: Mapping[str, Any] = {}
        self._submitted: dict[str, Mapping[str, Any]] = {event_id: initial}
        self._agent_spoke = False

    @property
    def server_interrupts(self) -> bool:
        """Whether the server cancels its response by itself when it hears the caller speak."""
        return server_interrupts(self.config) if self.config else True

    @property
    def server_responds(self) -> bool:
        """Whether the server answers each turn of the caller by itself."""
        detection = _turn_detection(self.config)
        return detection is not None and as_mapping(detection).get("create_response") is not False

    def set_initial(self, event_id: str, initial: Mapping[str, Any]) -> None:
        """The first update is another."""
        self._submitted[event_id] = initial

    def mark_agent_spoke(self) -> None:
        """The conversation holds audio of the agent; its voice is fixed."""
        self._agent_spoke = True

    def submit(self, event_id: str, update: Mapping[str, Any]) -> None:
        """An update is sent.

        Raises `LocalProtocolError` where the server would refuse all of it for a field that is
        fixed, where its id is that of an update without an answer, or too many have none.
        """
        if event_id in self._submitted:
            raise LocalProtocolError(
                "session.update: another with this event_id has no answer yet; give each its own"
            )
        if len(self._submitted) >= MAX_UPDATES:
            raise LocalProtocolError(
                f"{MAX_UPDATES} updates of the session have no answer yet: wait for SessionReady"
            )
        self._check_fixed_fields(update)
        self._submitted[event_id] = update

    def _check_fixed_fields(self, update: Mapping[str, Any]) -> None:
        expected = self.config
        for session in self._submitted.values():
            expected = _merge_update(expected, session)
        model = expected.get("model")
        if model is not None and update.get("model", model) != model:
            raise _fixed_field_error("model", "is that of the call (CallConfig.model)")
        tracing = expected.get("tracing")
        if tracing is not None and _without_nulls(update.get("tracing")) not in (
            None,
            _without_nulls(tracing),
        ):
            raise _fixed_field_error("tracing", "is fixed once it is on; null switches it off")
        voice = _audio_output(update).get("voice")
        if self._agent_spoke and voice not in (None, _audio_output(expected).get("voice")):
            raise _fixed_field_error("audio.output.voice", "is fixed once the agent has spoken")

    def acknowledge(self, session: Mapping[str, Any]) -> None:
        """The server has taken the oldest update, and tells the whole configuration."""
        self.config = session
        if self._submitted:
            del self._submitted[next(iter(self._submitted))]

    def take_refused(self, event_id: str | None) -> bool:
        """Whether an error that names this event refuses an update; nothing of it is in effect."""
        return event_id is not None and self._submitted.pop(event_id, None) is not None


def _merge_update(session: Mapping[str, Any], update: Mapping[str, Any]) -> Mapping[str, Any]:
    """Only the fields present change; the two ways of audio are merged by their own fields."""
    before, after = as_mapping(session.get("audio")), as_mapping(update.get("audio"))
    ways = {
        way: {**as_mapping(before.get(way)), **as_mapping(after.get(way))}
        for way in (*before, *after)
    }
    return {**session, **update, "audio": ways}


def _without_nulls(tracing: Any) -> Any:
    """The server shows the fields of an object that nobody named as null."""
    if not isinstance(tracing, Mapping):
        return tracing
    return {name: value for name, value in as_mapping(tracing).items() if value is not None}


def _audio_output(session: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_mapping(as_mapping(session.get("audio")).get("output"))


def _fixed_field_error(field: str, why: str) -> LocalProtocolError:
    return LocalProtocolError(
        f"session.{field} {why}, and the server would refuse the whole update: leave it out"
    )


def server_interrupts(session: Mapping[str, Any]) -> bool:
    """Whether the server cancels its response when it hears the caller speak.

    It does unless `turn_detection.interrupt_response` is false, or nothing detects turns.
    """
    detection = _turn_detection(session)
    return detection is not None and as_mapping(detection).get("interrupt_response") is not False


def _turn_detection(session: Mapping[str, Any]) -> Any:
    return as_mapping(as_mapping(session.get("audio")).get("input")).get("turn_detection")
