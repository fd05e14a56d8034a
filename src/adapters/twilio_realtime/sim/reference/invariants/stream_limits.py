"""The invariant of what a stream may send."""

from typing import Final

from twilio_realtime_core.machine.actions import Close, Peer

from ..expected.call import ExpectedCall
from ..limits import MAX_STREAM_BURST_SAMPLES, MAX_STREAM_MESSAGES, OVER_LIMIT_CODE
from ..received import (
    ReceivedKey,
    ReceivedMark,
    ReceivedMedia,
    ReceivedOther,
    ReceivedStart,
    ReceivedStop,
    UnreadableMessage,
)
from ..step_record import Invariant, StepRecord
from ..units import SAMPLES_PER_SECOND, SECOND

__all__ = ["STREAM_MESSAGES", "StreamLimits"]

_OTHERS: Final = (
    ReceivedKey,
    ReceivedMark,
    ReceivedOther,
    ReceivedStart,
    ReceivedStop,
    UnreadableMessage,
)

STREAM_MESSAGES: Final = (ReceivedMedia, *_OTHERS)
"""The messages of Twilio, and those of the model that look the same."""


_WITHOUT_LIMIT: Final = "a stream sends audio without limit"


class StreamLimits(Invariant):
    """A stream that sends audio at more than twice the speed of real time, after a burst of a
    minute, or more than 20 other messages a second for ten seconds is closed with 1008, and no
    other is."""

    number = 17
    name = "Stream limits"
    inputs = STREAM_MESSAGES
    outputs = (Close,)
    is_frame_judge = True

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._uplink = call.links, call.uplink
        self._audio_samples = 0.0
        """Audio that was received, less what may have been since."""
        self._at_ns = 0
        self._messages = 0
        """Messages besides audio, those of the model included."""

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        if not isinstance(step.event, ReceivedMedia):
            self._messages += 1
            return None
        samples = self._uplink.frame_samples
        if samples is None:
            self._messages += 1
            return None
        is_over = self._add_audio(samples, step.now)
        if is_over and self._links.is_live and not step.has_output(Close):
            return _WITHOUT_LIMIT
        return None

    def check_frame(
        self, frame: ReceivedMedia, samples: int, now: int, deadline: int | None
    ) -> str | None:
        """Judge a frame that is forwarded."""
        del frame, deadline
        return _WITHOUT_LIMIT if self._add_audio(samples, now) else None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case Close(Peer.TWILIO, code) if code == OVER_LIMIT_CODE:
                is_over = self._audio_samples > MAX_STREAM_BURST_SAMPLES - 1
                if not is_over and self._messages < MAX_STREAM_MESSAGES:
                    return "a stream within its limits is closed with 1008"
            case _:
                pass
        return None

    def _add_audio(self, samples: int, now: int) -> bool:
        """Add audio that is received; return whether it is more than a stream may send."""
        passed_samples = 2 * SAMPLES_PER_SECOND * (now - self._at_ns) / SECOND
        self._at_ns = now
        self._audio_samples = max(0.0, self._audio_samples - passed_samples) + samples
        return self._audio_samples > MAX_STREAM_BURST_SAMPLES + 1
