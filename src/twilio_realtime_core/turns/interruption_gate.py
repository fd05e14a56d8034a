"""Whether a caller who speaks now may interrupt the agent, by the policy of the call."""

from collections import deque
from typing import Final

from ..config.interruption_policy import InterruptionAttempt, InterruptionPolicy
from ..machine.units import MS, SECOND
from ..values.block_cause import BlockCause
from ..values.playback_position import Clip

__all__ = ["PROTECTION_NS", "InterruptionGate"]

PROTECTION_NS: Final = 30 * SECOND
"""The first speech is protected for no longer than this: a greeting is shorter, and if its end
cannot be seen, the caller must not be shut out for the whole call."""


class InterruptionGate:
    """Evaluates the attempts of one call to interrupt, by `policy`."""

    def __init__(self, policy: InterruptionPolicy) -> None:
        self.policy = policy
        self._recent_ns: deque[int] = deque()
        self._first_speech: str | Clip | None = None
        self._first_speech_since_ns = 0
        self._is_first_speech_heard = not policy.protect_first
        self._is_instruction_sent = False

    # The agent's first speech.

    @property
    def is_first_speech_protected(self) -> bool:
        """Whether the agent's first speech is still to be heard."""
        return not self._is_first_speech_heard

    @property
    def first_speech(self) -> str | Clip | None:
        """The first that the caller is to hear: a response, by its id, or a clip; `None`: there was
        none yet."""
        return self._first_speech

    def agent_spoke(self, speech: str | Clip, now: int) -> None:
        """Note that a response was created, or a clip is played."""
        if self._first_speech is None:
            self._first_speech, self._first_speech_since_ns = speech, now

    def forget_first_speech(self) -> None:
        """Take what the agent says next for its first speech."""
        self._first_speech = None

    def first_speech_ended(self) -> None:
        """Note that the first speech was heard to its end, or cut."""
        self._is_first_speech_heard = True

    def _is_protected_at(self, now: int) -> bool:
        is_over = (
            self._first_speech is not None and now >= self._first_speech_since_ns + PROTECTION_NS
        )
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
