"""The queue of events for the model until its session is ready.

Beyond the limit for audio the oldest second of it is dropped: the newest words are the ones
that the model should respond to. Other events are never dropped; one too many is refused.
"""

from collections.abc import Iterable
from typing import Final

from ..errors import LocalProtocolError
from ..protocols.realtime import ClientEvent

__all__ = ["DROPPED_SAMPLES", "MAX_PENDING_EVENTS", "MAX_PENDING_SAMPLES", "PendingEvents"]

MAX_PENDING_SAMPLES: Final = 10 * 8000
"""The most audio in the queue: ten seconds. A session is ready in one or two; words that are older
than ten seconds would be answered too late to make sense."""

DROPPED_SAMPLES: Final = 8000
"""How much audio is dropped at a time: a second, so that drops are notified once a second while a
caller speaks, and not with every frame."""

MAX_PENDING_EVENTS: Final = 256
"""The most other events in the queue: enough for a whole history that is restored item by item, too
few for a loop that sends without checking."""


class PendingEvents:
    """The queued events, oldest first, each with its samples of audio (0: it is not audio)."""

    def __init__(self) -> None:
        self._queue: list[tuple[ClientEvent, int]] = []
        self._event_count = 0
        self._audio_samples = 0

    def check_capacity(self, events: int, samples: int) -> None:
        """Raise `LocalProtocolError` if that many events of the application do not fit, or if that
        much audio does not fit at once."""
        if self._event_count + events > MAX_PENDING_EVENTS:
            raise LocalProtocolError(
                f"{self._event_count} of at most {MAX_PENDING_EVENTS} events are queued for the "
                "session: wait for SessionReady"
            )
        if samples > MAX_PENDING_SAMPLES:
            raise LocalProtocolError(
                f"{samples} samples are more than the {MAX_PENDING_SAMPLES} that are queued until "
                "the session is ready: wait for SessionReady"
            )

    def enqueue(self, event: ClientEvent, samples: int = 0) -> int:
        """Add an event. Return how many samples of audio were dropped for it, oldest first."""
        self._queue.append((event, samples))
        self._event_count += samples == 0
        self._audio_samples += samples
        before = self._audio_samples
        if before > MAX_PENDING_SAMPLES:
            while self._audio_samples > MAX_PENDING_SAMPLES - DROPPED_SAMPLES:
                self._drop_oldest_audio()
        return before - self._audio_samples

    def _drop_oldest_audio(self) -> None:
        oldest = next(index for index, (_, samples) in enumerate(self._queue) if samples)
        self._audio_samples -= self._queue.pop(oldest)[1]

    def prepend(self, events: Iterable[tuple[ClientEvent, int]]) -> None:
        """Add events, with their samples, in front of all others. They are no more audio than the
        queue takes."""
        later = self._queue
        self._queue = []
        self._event_count = self._audio_samples = 0
        for each in (*events, *later):
            self.enqueue(*each)

    def take_all(self) -> list[tuple[ClientEvent, int]]:
        """Remove and return all events, in order, each with its samples."""
        queue, self._queue = self._queue, []
        self._event_count = self._audio_samples = 0
        return queue
