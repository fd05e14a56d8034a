"""The turn detection of a session, as the server describes it, or as it was asked for."""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

__all__ = ["ExpectedTurnDetection"]


@define(eq=False)
class ExpectedTurnDetection:
    """Turn detection. What the server leaves out is as it was asked for last, or else the default:
    on, and it responds and interrupts. (OpenAI API reference, "Realtime", `turn_detection`)"""

    _asked: Any = field(init=False, factory=dict[str, Any])
    _settings: Any = field(init=False, factory=dict[str, Any])

    def ask(self, body: Mapping[str, Any]) -> None:
        """Apply a `session.update` that is sent."""
        self._asked = _turn_detection(body.get("session"), self._asked)

    def describe(self, session: Mapping[str, Any]) -> None:
        """Apply the description of the session in a `session.updated`."""
        self._settings = _turn_detection(session, self._asked)

    @property
    def is_on(self) -> bool:
        """Whether the server detects the turns of the caller."""
        return self._settings is not None

    @property
    def responds(self) -> bool:
        """Whether the server requests a response to each turn."""
        return self._has("create_response")

    @property
    def interrupts(self) -> bool:
        """Whether the server cancels its response by itself when it hears the caller."""
        return self._has("interrupt_response")

    def _has(self, name: str) -> bool:
        match self._settings:
            case {**settings}:
                return settings.get(name) is not False
            case _:
                return self.is_on


def _turn_detection(session: Any, default: Any) -> Any:
    match session:
        case {"audio": {"input": {"turn_detection": settings}}}:
            return settings
        case _:
            return default
