"""Model audio on its way to the caller, cut so that each message holds whole 20 ms frames.

Deltas have any length. A message that ends inside a frame can be played with a click before the
next arrives, so the rest of a frame is carried into the next message, and sent as it is when its
part ends.
"""

from base64 import b64decode, b64encode

from attrs import frozen

from ..audio.payload import count_samples
from ..machine.units import FRAME_SAMPLES
from ..values.playback_position import Part

__all__ = ["Chunk", "ModelAudio", "split"]


@frozen
class Chunk:
    """Audio to send: base64 of `samples` samples of one part."""

    part: Part
    payload: str
    samples: int


class ModelAudio:
    """Cuts the deltas of one part after another; holds less than one frame."""

    def __init__(self) -> None:
        self._part: Part | None = None
        self._carry = b""

    def delta(self, part: Part, payload: str) -> list[Chunk] | None:
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
            return [*chunks, Chunk(part, payload, samples)]
        audio = self._carry + b64decode(payload)
        whole = len(audio) - len(audio) % FRAME_SAMPLES
        self._carry = audio[whole:]
        if whole:
            chunks.append(_chunk(part, audio[:whole]))
        return chunks

    def flush(self) -> list[Chunk]:
        """The rest of a frame that waits for the next delta, if there is one."""
        part, carry = self._part, self._carry
        self._part, self._carry = None, b""
        return [_chunk(part, carry)] if part and carry else []

    def end(self, part: Part) -> list[Chunk]:
        """What to send now that `part` has ended."""
        return self.flush() if part == self._part else []

    def end_response(self, response_id: str) -> list[Chunk]:
        """What to send now that a response has ended."""
        return self.flush() if self._part and self._part.response_id == response_id else []


def split(chunk: Chunk, samples: int) -> tuple[Chunk, Chunk]:
    """The first `samples` of a longer chunk, and the rest."""
    audio = b64decode(chunk.payload)
    return _chunk(chunk.part, audio[:samples]), _chunk(chunk.part, audio[samples:])


def _chunk(part: Part, audio: bytes) -> Chunk:
    return Chunk(part, b64encode(audio).decode(), len(audio))
