"""What arrives for the model before its session is ready: kept in order, up to stated limits.

Of caller audio beyond the limit the oldest goes first: the newest words are the ones the model is
asked to answer. Other events are never dropped; one too many is refused.
"""

from typing import Final

from ..errors import LocalProtocolError
from ..protocols.realtime import ClientEvent

__all__ = ["MAX_PENDING_EVENTS", "MAX_PENDING_SAMPLES", "PendingEvents"]

MAX_PENDING_SAMPLES: Final = 10 * 8000
"""Audio kept: ten seconds. A session is ready in one or two; a caller whose words are older than
ten would be answered too late to make sense."""

MAX_PENDING_EVENTS: Final = 256
"""Other events kept: a whole history restored item by item fits, a loop that sends without looking
does not."""


class PendingEvents:
    """Waiting events, oldest first, each with the samples of audio it holds (0: not audio)."""

    def __init__(self) -> None:
        self._queue: list[tuple[ClientEvent, int]] = []
        self._events = 0
        self._samples = 0

    def check_capacity(self, events: int, samples: int) -> None:
        """Raise `LocalProtocolError` if so many more events of the application cannot be kept, or
        so much audio not at once."""
        if self._events + events > MAX_PENDING_EVENTS:
            raise LocalProtocolError(
                f"{self._events} events of at most {MAX_PENDING_EVENTS} are queued for the "
                "session: wait for SessionReady"
            )
        if samples > MAX_PENDING_SAMPLES:
            raise LocalProtocolError(
                f"{samples} samples are more than the {MAX_PENDING_SAMPLES} that are queued until "
                "the session is ready: wait for SessionReady"
            )

    def enqueue(self, event: ClientEvent, samples: int = 0) -> int:
        """Keep an event. Returns how many samples of audio had to be dropped, oldest first."""
        self._queue.append((event, samples))
        self._events += samples == 0
        self._samples += samples
        before = self._samples
        while self._samples > MAX_PENDING_SAMPLES:
            self._drop_oldest_audio()
        return before - self._samples

    def _drop_oldest_audio(self) -> None:
        oldest = next(i for i, (_, samples) in enumerate(self._queue) if samples)
        self._samples -= self._queue.pop(oldest)[1]

    def take_all(self) -> list[ClientEvent]:
        """All that waits, in order; nothing waits any longer."""
        waiting, self._queue = self._queue, []
        self._events = self._samples = 0
        return [event for event, _ in waiting]
