"""Whether the caller who speaks now may interrupt, and what becomes of a turn that is not answered.

What a caller says while the agent is protected is a turn like any other, and wants its answer. The
server gives it, unless a response is still being generated: then it makes none, and we ask for one
when that is done.
"""

from collections import deque
from typing import Final

from ..config.interruption_policy import InterruptionAttempt, InterruptionPolicy
from ..machine.units import MS, SECOND
from ..notifications import InterruptionCause
from ..values.block_cause import BlockCause

__all__ = ["PROTECTION_NS", "InterruptionGate"]

PROTECTION_NS: Final = 30 * SECOND
"""First words are protected for no longer than this: a greeting is shorter, and if its end cannot
be told, the caller must not be shut out for the whole call."""


class InterruptionGate:
    """The attempts of one call, judged by `policy`."""

    def __init__(self, policy: InterruptionPolicy) -> None:
        self.policy = policy
        self._recent: deque[int] = deque()
        self._speech_since = 0
        self._is_confirming = False
        self._first_since: int | None = None
        self._first_heard = not policy.protect_first
        self._is_instruction_sent = False
        self._is_turn_unanswered = False

    # The caller's turn.

    def speech_started(self, now: int) -> int | None:
        """The caller speaks. Returns when to `judge` (ns), if it is not to be now."""
        self._speech_since = now
        delay = self.policy.after_speech_ms * MS
        self._is_confirming = delay > 0
        return now + delay if delay else None

    def speech_stopped(self) -> bool:
        """The caller speaks no longer. Returns whether an attempt was still to be judged."""
        waited, self._is_confirming = self._is_confirming, False
        return waited

    def turn_committed(self, *, generating: bool) -> None:
        """The caller's turn is complete, and wants an answer. `generating`: the server cannot begin
        one now."""
        self._is_turn_unanswered = generating

    def turn_answered(self) -> None:
        """A response has begun, which answers all that was said before."""
        self._is_turn_unanswered = False

    def take_unanswered_turn(self) -> bool:
        """Whether a turn is without an answer that the server will not give. Says so once."""
        owed, self._is_turn_unanswered = self._is_turn_unanswered, False
        return owed

    def speech_confirmed(self) -> None:
        """The caller has spoken for long enough to be judged."""
        self._is_confirming = False

    # The agent's first words.

    @property
    def is_first_speech_protected(self) -> bool:
        """Whether the agent's first words are still to be heard."""
        return not self._first_heard

    def agent_started(self, now: int) -> None:
        """The agent is heard, or will be, unless it has nothing to say."""
        if self._first_since is None:
            self._first_since = now

    def agent_finished(self) -> None:
        """All that the agent had to say was heard, or cut."""
        if self._first_since is not None:
            self._first_heard = True

    # Judgement.

    def evaluate(self, heard_ms: int, now: int) -> BlockCause | None:
        """Why the caller who speaks may not interrupt; `None`: it is an interruption."""
        policy = self.policy
        recent = self._recent_count(now)
        if not policy.allowed:
            return BlockCause.NEVER
        if self._is_protected_at(now):
            return BlockCause.FIRST_WORDS
        if heard_ms < policy.after_heard_ms:
            return BlockCause.LITTLE_HEARD
        if policy.limit is not None and recent >= policy.limit.count:
            return BlockCause.LIMIT
        attempt = InterruptionAttempt((now - self._speech_since) // MS, heard_ms, recent)
        if policy.predicate is not None and not policy.predicate(attempt):
            return BlockCause.APPLICATION
        return None

    def interrupted(self, cause: InterruptionCause, now: int) -> None:
        """The agent was interrupted."""
        if cause is InterruptionCause.CALLER and self.policy.limit is not None:
            self._recent.append(now)

    def _is_protected_at(self, now: int) -> bool:
        late = self._first_since is not None and now >= self._first_since + PROTECTION_NS
        return not self._first_heard and not late

    def _recent_count(self, now: int) -> int:
        limit = self.policy.limit
        if limit is None:
            return 0
        while self._recent and self._recent[0] <= now - limit.per_ms * MS:
            self._recent.popleft()
        return len(self._recent)

    def take_instruction(self) -> str | None:
        """What to tell the model now that the limit is exceeded; once in a call."""
        limit = self.policy.limit
        if limit is None or self._is_instruction_sent:
            return None
        self._is_instruction_sent = True
        return limit.instruction
