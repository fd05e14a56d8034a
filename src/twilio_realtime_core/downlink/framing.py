"""Model audio on its way to the caller, cut so that each message holds whole 20 ms frames.

Deltas have any length. A message that ends inside a frame can be played with a click before the
next arrives, so the rest of a frame is carried into the next message, and sent as it is when its
part ends.
"""

from base64 import b64decode, b64encode

from attrs import frozen

from ..audio.payload import count_samples
from ..machine.units import FRAME_SAMPLES
from ..values.playback_position import PartKey

__all__ = ["AudioChunk", "FrameAligner", "split"]


@frozen
class AudioChunk:
    """Audio to send: base64 of `samples` samples of one part."""

    part: PartKey
    payload: str
    samples: int


class FrameAligner:
    """Cuts the deltas of one part after another; holds less than one frame."""

    def __init__(self) -> None:
        self._part: PartKey | None = None
        self._carry = b""

    def add_delta(self, part: PartKey, payload: str) -> list[AudioChunk] | None:
        """What to send now that a delta of `part` has come; `None` if it is no base64.

        A part that follows another before that has ended cuts it short: the rest of its frame goes
        first, since audio must stay in order.
        """
        samples = count_samples(payload)
        if samples is None:
            return None
        chunks = self.flush() if part != self._part else []
        self._part = part
        if not self._carry and samples % FRAME_SAMPLES == 0:
            return [*chunks, AudioChunk(part, payload, samples)]
        audio = self._carry + b64decode(payload)
        whole = len(audio) - len(audio) % FRAME_SAMPLES
        self._carry = audio[whole:]
        if whole:
            chunks.append(_chunk(part, audio[:whole]))
        return chunks

    def flush(self) -> list[AudioChunk]:
        """The rest of a frame that waits for the next delta, if there is one."""
        part, carry = self._part, self._carry
        self._part, self._carry = None, b""
        return [_chunk(part, carry)] if part and carry else []

    def end_part(self, part: PartKey) -> list[AudioChunk]:
        """What to send now that `part` has ended."""
        return self.flush() if part == self._part else []

    def end_response(self, response_id: str) -> list[AudioChunk]:
        """What to send now that a response has ended."""
        return self.flush() if self._part and self._part.response_id == response_id else []


def split(chunk: AudioChunk, samples: int) -> tuple[AudioChunk, AudioChunk]:
    """The first `samples` of a longer chunk, and the rest."""
    audio = b64decode(chunk.payload)
    return _chunk(chunk.part, audio[:samples]), _chunk(chunk.part, audio[samples:])


def _chunk(part: PartKey, audio: bytes) -> AudioChunk:
    return AudioChunk(part, b64encode(audio).decode(), len(audio))
