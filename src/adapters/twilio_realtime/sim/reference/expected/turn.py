"""The expected turn of the caller, as turn detection reports it."""

from attrs import define, field

from ..limits import TURN_END_NS
from .turn_detection import ExpectedTurnDetection

__all__ = ["ExpectedTurn"]


@define(eq=False)
class ExpectedTurn:
    """Whether the caller has the turn, and whether the server is to respond to it."""

    is_unanswered: bool = field(init=False, default=False)
    """The server does not respond to the latest turn, since a response was under way."""
    is_answer_missing: bool = field(init=False, default=False)
    """The server has not committed a turn in time that it was to answer."""
    spoke_until_ns: int | None = field(init=False, default=None)
    """When speech counted as over of which the server had not reported the end."""
    _stage: str = field(init=False, default="")
    """How far the turn is: speaking, speaking and committed, paused, or committed."""
    _has_committed: bool = field(init=False, default=False)
    """A turn is committed to which no response was created since."""
    _due_ns: int | None = field(init=False, default=None)
    """Until when the server may take to commit, or to answer, a turn; `None`: the caller speaks."""
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

    @property
    def is_over(self) -> bool:
        """Whether the caller does not have the turn, and no response to it is awaited."""
        return not self._stage

    @property
    def is_answer_owed(self) -> bool:
        """Whether the server is to create the response to a turn that is over."""
        is_paused = self._stage == "paused" and self._server_responds
        return is_paused or self._stage == "committed" or self.is_answer_missing

    @property
    def is_speaking(self) -> bool:
        """Whether the caller speaks."""
        return self._stage.startswith("speaking")

    def configure(self, detection: ExpectedTurnDetection) -> None:
        """Apply what a session is configured to do."""
        was_detected, self._is_detected = self._is_detected, detection.is_on
        self._server_responds = detection.responds
        if was_detected is not self._is_detected:
            self.discard()

    def discard(self) -> None:
        """End a turn that the server does not end: only one that is committed is answered."""
        self.is_answer_missing = False
        if self._stage != "committed":
            self._stage = ""

    def reset(self) -> None:
        """Begin again, with another stream."""
        self._stage = ""

    def start_speech(self) -> None:
        """The caller speaks."""
        self._stage, self._due_ns, self.is_answer_missing = "speaking", None, False

    def stop_speech(self, now: int) -> None:
        """The caller pauses."""
        if self.is_speaking:
            self._stage, self._due_ns = "paused", now + TURN_END_NS

    def commit(self, now: int, *, is_free: bool, is_answering: bool) -> bool:
        """The turn is committed, while a request could be sent (`is_free`), or a response that was
        not interrupted is active. Return whether the server may respond to it."""
        self.is_answer_missing, self._has_committed = False, True
        if self._stage:
            is_over = self._stage in ("paused", "committed")
            self._stage = "committed" if is_over else "speaking, committed"
        if not self._server_responds:
            self._stage = "" if self._stage == "committed" else self._stage
            return False
        self.is_unanswered = not is_free
        self._due_ns = now + TURN_END_NS
        if self._stage == "committed" and is_answering:
            self._stage = ""
        return True

    def answer(self, *, is_requested: bool) -> None:
        """A response of the conversation starts: what is committed needs no other. It ends the turn
        as well, unless it may answer a request (`is_requested`), or an earlier turn."""
        is_of_earlier = self._has_committed and self._stage in ("speaking", "paused")
        if self._stage == "committed" or not (is_requested or is_of_earlier):
            self._stage = ""
        self.is_unanswered = self._has_committed = self.is_answer_missing = False

    def answer_without_start(self) -> None:
        """A response of the conversation ends whose start is lost."""
        if self._stage == "committed":
            self.answer(is_requested=False)

    def expire(self, now: int) -> bool:
        """End a turn of which the server has said nothing more in time; return whether the bridge
        has to request the response to it."""
        if not self._stage or self._due_ns is None or now < self._due_ns:
            return False
        is_committed = self._stage == "committed"
        self.is_answer_missing = self._stage == "paused" and self._server_responds
        if self.is_speaking:
            self.spoke_until_ns = now
        self._stage, self._has_committed = "", False
        self.is_unanswered = False
        return is_committed
