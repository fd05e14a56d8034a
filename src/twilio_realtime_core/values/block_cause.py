"""Why a caller who spoke did not interrupt the agent."""

from enum import Enum, unique

__all__ = ["BlockCause"]


@unique
class BlockCause(Enum):
    """Why a caller who spoke has not interrupted the agent."""

    NEVER = "never"
    """The policy lets nobody interrupt."""
    SHORT_SPEECH = "short speech"
    """The caller stopped before `after_speech_ms`."""
    LITTLE_HEARD = "little heard"
    """Less than `after_heard_ms` of the reply had been heard."""
    FIRST_WORDS = "first words"
    """The agent's first words are protected, and were not yet heard to the end."""
    LIMIT = "limit"
    """There were as many interruptions as the limit allows."""
    APPLICATION = "application"
    """The application's own predicate said no."""
