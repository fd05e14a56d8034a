"""Model audio cut so that each message to Twilio holds whole 20 ms frames.

Deltas have any length. A message that ends inside a frame can be played with a click before the
next arrives, so the rest of a frame is carried into the next message, and sent as it is when its
part ends.
"""

from base64 import b64decode, b64encode
from typing import Final

from attrs import frozen

from ..machine.units import FRAME_SAMPLES
from ..protocols.realtime import OutputAudioDeltaEvent, OutputAudioDoneEvent
from ..values.playback_position import AudioSource, PartKey

__all__ = ["AudioChunk", "FrameAligner", "part_key", "split"]

_SESSION: Final = 1
"""The number of the Realtime session in the keys of parts; a call has one."""


@frozen
class AudioChunk:
    """Audio to send: `samples` samples of one source, in base64."""

    source: AudioSource
    payload: str
    samples: int


class FrameAligner:
    """Aligns the deltas of one part after another to frames; holds less than one frame."""

    def __init__(self) -> None:
        self._part: PartKey | None = None
        self._carry = b""

    def add_delta(self, part: PartKey, payload: str, samples: int) -> list[AudioChunk]:
        """Return what can be sent after a delta of `part`, base64 of `samples`.

        A part that follows another before that has ended cuts it short: the rest of its frame goes
        first, since audio must stay in order.
        """
        chunks = self.take_rest() if part != self._part else []
        self._part = part
        if not self._carry and samples % FRAME_SAMPLES == 0:
            return [*chunks, AudioChunk(part, payload, samples)]
        audio = self._carry + b64decode(payload)
        whole = len(audio) - len(audio) % FRAME_SAMPLES
        self._carry = audio[whole:]
        if whole:
            chunks.append(_chunk(part, audio[:whole]))
        return chunks

    def take_rest(self) -> list[AudioChunk]:
        """Return the rest of a frame that was held for the next delta, if there is one."""
        part, carry = self._part, self._carry
        self._part, self._carry = None, b""
        return [_chunk(part, carry)] if part and carry else []

    def end_part(self, part: PartKey) -> list[AudioChunk]:
        """Return what can be sent now that `part` has ended."""
        return self.take_rest() if part == self._part else []

    def end_response(self, response_id: str) -> list[AudioChunk]:
        """Return what can be sent now that a response has ended."""
        return self.take_rest() if self._part and self._part.response_id == response_id else []


def split(chunk: AudioChunk, samples: int) -> tuple[AudioChunk, AudioChunk]:
    """Split a longer chunk behind its first `samples`."""
    audio = b64decode(chunk.payload)
    return _chunk(chunk.source, audio[:samples]), _chunk(chunk.source, audio[samples:])


def _chunk(source: AudioSource, audio: bytes) -> AudioChunk:
    return AudioChunk(source, b64encode(audio).decode(), len(audio))


def part_key(event: OutputAudioDeltaEvent | OutputAudioDoneEvent) -> PartKey:
    """Return the key of the content part that an event is about."""
    return PartKey(_SESSION, event.response_id, event.item_id, event.content_index)
