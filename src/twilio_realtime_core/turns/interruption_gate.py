"""Whether a caller who speaks now may interrupt the agent, by the policy of the call."""

from collections import deque
from typing import Final

from ..config.interruption_policy import InterruptionAttempt, InterruptionPolicy
from ..machine.units import MS, SECOND
from ..values.block_cause import BlockCause

__all__ = ["PROTECTION_NS", "InterruptionGate"]

PROTECTION_NS: Final = 30 * SECOND
"""The first speech is protected for no longer than this: a greeting is shorter, and if its end
cannot be seen, the caller must not be shut out for the whole call."""


class InterruptionGate:
    """Evaluates the attempts of one call to interrupt, by `policy`."""

    def __init__(self, policy: InterruptionPolicy) -> None:
        self.policy = policy
        self._recent_ns: deque[int] = deque()
        self._first_speech_since_ns: int | None = None
        self._is_first_speech_heard = not policy.protect_first
        self._is_instruction_sent = False

    # The agent's first speech.

    @property
    def is_first_speech_protected(self) -> bool:
        """Whether the agent's first speech is still to be heard."""
        return not self._is_first_speech_heard

    def agent_started(self, now: int) -> None:
        """The agent is heard, or will be, unless its response is empty."""
        if self._first_speech_since_ns is None:
            self._first_speech_since_ns = now

    def agent_finished(self) -> None:
        """All that the agent had to say was heard, or cut."""
        if self._first_speech_since_ns is not None:
            self._is_first_speech_heard = True

    def _is_protected_at(self, now: int) -> bool:
        since_ns = self._first_speech_since_ns
        is_over = since_ns is not None and now >= since_ns + PROTECTION_NS
        return not self._is_first_speech_heard and not is_over

    # Attempts.

    def evaluate(self, heard_ms: int, speech_ms: int, now: int) -> BlockCause | None:
        """Why a caller who has spoken for `speech_ms`, after `heard_ms` of the reply were heard,
        may not interrupt; `None`: they may."""
        policy = self.policy
        recent = self._count_recent(now)
        if not policy.allowed:
            return BlockCause.NEVER
        if self._is_protected_at(now):
            return BlockCause.FIRST_WORDS
        if heard_ms < policy.after_heard_ms:
            return BlockCause.LITTLE_HEARD
        if policy.limit is not None and recent >= policy.limit.count:
            return BlockCause.LIMIT
        attempt = InterruptionAttempt(speech_ms, heard_ms, recent)
        if policy.predicate is not None and not policy.predicate(attempt):
            return BlockCause.APPLICATION
        return None

    def caller_interrupted(self, now: int) -> None:
        """Count an interruption by the caller."""
        limit = self.policy.limit
        if limit is None:
            return
        while self._recent_ns and self._recent_ns[0] <= now - limit.per_ms * MS:
            self._recent_ns.popleft()
        self._recent_ns.append(now)

    def _count_recent(self, now: int) -> int:
        limit = self.policy.limit
        if limit is None:
            return 0
        return sum(instant_ns > now - limit.per_ms * MS for instant_ns in self._recent_ns)

    def take_instruction(self) -> str | None:
        """What to tell the model now that the limit is exceeded; once in a call."""
        limit = self.policy.limit
        if limit is None or self._is_instruction_sent:
            return None
        self._is_instruction_sent = True
        return limit.instruction
