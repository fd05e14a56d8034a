"""The expected turn of the caller, as turn detection reports it."""

from typing import Any

from attrs import define, field

from ..limits import TURN_END_NS

__all__ = ["ExpectedTurn"]


@define(eq=False)
class ExpectedTurn:
    """Whether the caller has the turn, and whether the server is to respond to it."""

    is_unanswered: bool = field(init=False, default=False)
    """The server does not respond to the latest turn, since a response was under way."""
    _stage: str = field(init=False, default="")
    """How far the turn is: speaking, speaking and committed, paused, or committed."""
    _due_ns: int = field(init=False, default=0)
    """Until when the server may take to commit, or to answer, a turn."""
    _server_responds: bool = field(init=False, default=True)
    """Turn detection requests a response to each turn."""
    _is_detected: bool = field(init=False, default=True)
    """Turn detection is on."""

    @property
    def is_callers(self) -> bool:
        """Whether the caller has the turn: requests wait."""
        is_held = self._stage in ("speaking", "paused", "committed")
        is_held |= self._stage == "speaking, committed" and self._server_responds
        return is_held and self._is_detected

    def configure(self, session: dict[str, Any]) -> None:
        """Apply what a session is configured to do."""
        self._is_detected = _has_turn_detection(session)
        self._server_responds = _has_server_responses(session)

    def reset(self) -> None:
        """Begin again, with another stream."""
        self._stage = ""

    def start_speech(self) -> None:
        """The caller speaks."""
        self._stage = "speaking"

    def stop_speech(self, now: int) -> None:
        """The caller pauses."""
        if self._stage.startswith("speaking"):
            self._stage, self._due_ns = "paused", now + TURN_END_NS

    def commit(self, now: int, *, is_free: bool, is_answering: bool) -> bool:
        """The turn is committed, while a request could be sent (`is_free`), or a response that was
        not interrupted is active. Return whether the server may respond to it."""
        if self._stage:
            is_over = self._stage in ("paused", "committed")
            self._stage = "committed" if is_over else "speaking, committed"
        if not self._server_responds:
            self._stage = "" if self._stage == "committed" else self._stage
            return False
        self.is_unanswered = not is_free
        if self._stage == "committed":
            self._stage, self._due_ns = ("" if is_answering else "committed"), now + TURN_END_NS
        return True

    def answer(self) -> None:
        """A response of the conversation starts."""
        self.is_unanswered = False
        if self._stage in ("paused", "committed"):
            self._stage = ""

    def expire(self, now: int) -> bool:
        """End a turn of which the server has said nothing more in time; return whether the bridge
        has to request the response to it."""
        if self._stage not in ("paused", "committed") or now < self._due_ns:
            return False
        is_committed = self._stage == "committed"
        self._stage = ""
        if is_committed:
            self.is_unanswered = False
        return is_committed


def _has_server_responses(session: dict[str, Any]) -> bool:
    """Whether turn detection requests responses to the caller: by default, unless it is off.
    (OpenAI API reference, "Realtime", `turn_detection.create_response`)"""
    match session:
        case {"audio": {"input": {"turn_detection": {"create_response": False}}}}:
            return False
        case _:
            return _has_turn_detection(session)


def _has_turn_detection(session: dict[str, Any]) -> bool:
    match session:
        case {"audio": {"input": {"turn_detection": {}}}}:
            return True
        case _:
            return False
