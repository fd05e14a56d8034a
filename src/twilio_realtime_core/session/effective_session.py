"""The configuration of a session: the one in effect, and the updates that are not answered yet.

Only the fields present in an update change. The server answers each update once and in order: with
`session.updated`, which has the whole configuration, or with an `error` that names the update, of
which nothing is then in effect.

Source: OpenAI API reference, "Realtime", `session.update`,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..config.fields import as_mapping
from ..errors import LocalProtocolError

__all__ = ["MAX_UPDATES", "EffectiveSession"]

MAX_UPDATES: Final = 64
"""The most updates without an answer. Each is answered within a round trip, so more are a loop that
sends without checking."""

_MIN_SPEED: Final = 0.25
_MAX_SPEED: Final = 1.5
"""The range of `audio.output.speed`."""


class EffectiveSession:
    """The configuration of a session. `config` is the one in effect, as the server described it
    last; it is empty before the first `session.updated`."""

    def __init__(self, event_id: str, initial: Mapping[str, Any]) -> None:
        self.config: Mapping[str, Any] = {}
        self._submitted: dict[str, Mapping[str, Any]] = {event_id: initial}
        self.accepted: Mapping[str, Any] = {}
        """What the updates that the server has accepted say, together."""
        self._agent_spoke = False

    @property
    def server_interrupts(self) -> bool:
        """Whether the server cancels its response by itself when the caller speaks. It does unless
        `turn_detection.interrupt_response` is false, or turn detection is off."""
        return self._has_turn_detection("interrupt_response")

    @property
    def server_responds(self) -> bool:
        """Whether the server responds to each turn of the caller by itself. It does unless
        `turn_detection.create_response` is false, or turn detection is off."""
        return self._has_turn_detection("create_response")

    @property
    def detects_turns(self) -> bool:
        """Whether turn detection is on."""
        return self._turn_detection is not None

    def _has_turn_detection(self, field: str) -> bool:
        detection = self._turn_detection
        return detection is not None and as_mapping(detection).get(field) is not False

    @property
    def _turn_detection(self) -> Any:
        """The settings of turn detection: what the server says of them, or else what was asked for,
        or else its default, which is on."""
        for session in (self.config, self.accepted):
            audio_input = as_mapping(as_mapping(session.get("audio")).get("input"))
            if "turn_detection" in audio_input:
                return audio_input["turn_detection"]
        return {}

    @property
    def voice_speed(self) -> float:
        """The speed of the agent's voice: what the server says of it, or else what was asked for;
        the usual speed is 1."""
        for session in (self.config, self.accepted):
            speed = _audio_output(session).get("speed")
            if isinstance(speed, int | float) and _MIN_SPEED <= speed <= _MAX_SPEED:
                return speed
        return 1.0

    def set_initial(self, event_id: str, initial: Mapping[str, Any]) -> None:
        """Replace the first update, before it is sent."""
        self._submitted[event_id] = initial

    def mark_agent_spoke(self) -> None:
        """Note that the conversation contains audio of the agent, so its voice is fixed."""
        self._agent_spoke = True

    def submit(self, event_id: str, update: Mapping[str, Any]) -> None:
        """Add an update that is about to be sent.

        Raises `LocalProtocolError` if it changes a field that is fixed, for which the server would
        refuse the whole update; if an unanswered update has the same id; and if too many are
        unanswered.
        """
        if event_id in self._submitted:
            raise LocalProtocolError(
                "session.update: another one with this event_id has no answer yet; give each a "
                "different id"
            )
        if len(self._submitted) >= MAX_UPDATES:
            raise LocalProtocolError(
                f"{MAX_UPDATES} updates of the session have no answer yet: wait for SessionReady"
            )
        self._check_fixed_fields(update)
        self._submitted[event_id] = update

    def _check_fixed_fields(self, update: Mapping[str, Any]) -> None:
        expected = self.config
        for submitted in self._submitted.values():
            expected = _merge_update(expected, submitted)
        model = expected.get("model")
        if model is not None and update.get("model", model) != model:
            raise _fixed_field_error("model", "is that of the call (CallConfig.model)")
        tracing = _without_nulls(expected.get("tracing"))
        if tracing is not None and _without_nulls(update.get("tracing")) not in (None, tracing):
            raise _fixed_field_error("tracing", "is fixed once it is on; null switches it off")
        voice = _audio_output(update).get("voice")
        if self._agent_spoke and voice not in (None, _audio_output(expected).get("voice")):
            raise _fixed_field_error("audio.output.voice", "is fixed once the agent has spoken")

    def acknowledge(self, session: Mapping[str, Any]) -> None:
        """Set the configuration in effect, with which the server has answered the oldest update."""
        self.config = session
        if self._submitted:
            update = self._submitted.pop(next(iter(self._submitted)))
            self.accepted = _merge_update(self.accepted, update)

    def wanted(self) -> Mapping[str, Any]:
        """What all updates say together that the server has accepted, or may accept: the initial
        configuration of a session that replaces this one."""
        wanted = self.accepted
        for update in self._submitted.values():
            wanted = _merge_update(wanted, update)
        return wanted

    def forget_unaccepted(self, accepted: Mapping[str, Any]) -> None:
        """Have `wanted` be `accepted`, and nothing of the updates without an answer."""
        self.accepted = accepted
        self._submitted.clear()

    def take_oldest(self) -> str | None:
        """Remove the oldest unanswered update, which an error refuses; return its event id."""
        oldest = next(iter(self._submitted), None)
        if oldest is not None:
            del self._submitted[oldest]
        return oldest

    def take_refused(self, event_id: str | None) -> bool:
        """Remove the update that an error names. `False`: the error names no unanswered update."""
        return event_id is not None and self._submitted.pop(event_id, None) is not None


def _merge_update(session: Mapping[str, Any], update: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the session with the fields of an update; `audio.input` and `audio.output` are merged
    field by field."""
    before, after = as_mapping(session.get("audio")), as_mapping(update.get("audio"))
    audio = {
        direction: {**as_mapping(before.get(direction)), **as_mapping(after.get(direction))}
        for direction in (*before, *after)
    }
    return {**session, **update, "audio": audio}


def _without_nulls(tracing: Any) -> Any:
    """Return `tracing` without null fields, which the server sends for fields that were absent."""
    if not isinstance(tracing, Mapping):
        return tracing
    return {name: value for name, value in as_mapping(tracing).items() if value is not None}


def _audio_output(session: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_mapping(as_mapping(session.get("audio")).get("output"))


def _fixed_field_error(field: str, reason: str) -> LocalProtocolError:
    return LocalProtocolError(
        f"session.{field} {reason}, and the server would refuse the whole update: leave it out"
    )
