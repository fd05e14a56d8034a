"""The reason why a caller who spoke did not interrupt the agent."""

from enum import Enum, unique

__all__ = ["BlockCause"]


@unique
class BlockCause(Enum):
    """The reason why a caller who spoke did not interrupt the agent, by the policy of the call."""

    NEVER = "never"
    """The policy does not allow interruptions."""
    SHORT_SPEECH = "short speech"
    """The caller stopped before they had spoken for `after_speech_ms`."""
    LITTLE_HEARD = "little heard"
    """Less than `after_heard_ms` of the reply had been heard."""
    FIRST_WORDS = "first words"
    """The agent's first speech is protected, and was not heard to the end yet."""
    LIMIT = "limit"
    """There were as many interruptions as the limit allows."""
    APPLICATION = "application"
    """The application's predicate returned false."""
