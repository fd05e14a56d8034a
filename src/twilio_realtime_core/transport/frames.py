"""WebSocket frames: decoding of received bytes, encoding of frames to send (RFC 6455, section 5).

Text frames of up to 65,535 bytes that are whole messages are decoded here: both peers of a call
send up to 100 of them a second. Every other frame is passed byte for byte to wsproto, which
implements the rest of the protocol and rejects what violates it.
"""

from io import StringIO
from struct import Struct
from typing import Final, TypeAlias

from attrs import define, field, frozen
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from ..machine.actions import NO_STATUS

__all__ = [
    "BAD_TEXT",
    "CLOSE",
    "MASK_BYTES",
    "MAX_CONTROL_BYTES",
    "MAX_OTHER_FRAMES",
    "PING",
    "PONG",
    "PROTOCOL_ERROR",
    "TEXT",
    "TOO_LARGE",
    "TOO_MANY",
    "FrameDecoder",
    "FrameError",
    "ReceivedFrame",
    "encode_close",
    "encode_frame",
]

MAX_CONTROL_BYTES: Final = 125
"""The longest payload of a ping, a pong and a close frame (RFC 6455, section 5.5)."""

# Close codes (RFC 6455, section 7.4.1).
PROTOCOL_ERROR: Final = 1002
"""The close code for frames that violate the protocol."""
BAD_TEXT: Final = 1007
"""The close code for text that is not UTF-8."""
TOO_LARGE: Final = 1009
"""The close code for a message that is longer than the limit."""

TOO_MANY: Final = 1008
"""The close code for more frames than a peer needs."""

MAX_OTHER_FRAMES: Final = 1_000
"""Small frames that a peer may send at once: fragments, messages under 126 bytes, pings, pongs.
Both peers send about ten a second; each costs many times what its bytes cost."""

# A frame starts with FIN, three reserved bits and the opcode; then MASK and the length, or 126 or
# 127 where the length follows in 2 or 8 bytes; then the mask (RFC 6455, section 5.2).
_FIN_BIT: Final = 0x80
_OPCODE_BITS: Final = 0x0F
_CONTROL_BIT: Final = 0x08  # the bit of the opcode that only control frames have
_MASK_BIT: Final = 0x80
_LENGTH_BITS: Final = 0x7F
_MAX_SHORT_LENGTH: Final = 125
_LENGTH_IN_2_BYTES: Final = 126
_MAX_LENGTH_IN_2_BYTES: Final = 0xFFFF
_LENGTH_IN_8_BYTES: Final = 127
MASK_BYTES: Final = 4
"""The length of a mask (RFC 6455, section 5.3)."""
_HEAD_BYTES: Final = tuple(  # the length of a frame's head, by the frame's second byte
    2
    + {_LENGTH_IN_2_BYTES: 2, _LENGTH_IN_8_BYTES: 8}.get(second_byte & _LENGTH_BITS, 0)
    + (MASK_BYTES if second_byte & _MASK_BIT else 0)
    for second_byte in range(256)
)
_pack_head: Final = Struct("!BB").pack
_pack_head_2: Final = Struct("!BBH").pack
_pack_head_8: Final = Struct("!BBQ").pack

# The first bytes of unfragmented frames.
TEXT: Final = _FIN_BIT | Opcode.TEXT
PING: Final = _FIN_BIT | Opcode.PING
PONG: Final = _FIN_BIT | Opcode.PONG
CLOSE: Final = _FIN_BIT | Opcode.CLOSE


@frozen
class FrameError:
    """Bytes that violate the protocol or the limit, so the connection must be closed. `code` is the
    close code for it."""

    code: int


ReceivedFrame: TypeAlias = str | Frame | FrameError
"""What a decoder returns: a `str` is a whole text message; a `Frame` is a ping, a pong, a close, or
the end of a binary message."""


@define(eq=False, repr=False)
class FrameDecoder:
    """A decoder of messages and control frames from bytes that are split anywhere.

    `is_masked`: the peer masks its frames, as clients do and servers do not (RFC 6455, section
    5.1). The decoder buffers at most one message of `max_message_bytes`, and one piece of data. It
    must not be used after it has returned a `FrameError` or a close frame.
    """

    is_masked: bool
    max_message_bytes: int
    other_frames_left: int = field(default=MAX_OTHER_FRAMES, init=False)
    """Small frames that may still be received (`MAX_OTHER_FRAMES`); with none left the next is a
    `FrameError`."""
    _common_second_byte: int = field(init=False)
    _common_head_bytes: int = field(init=False)
    _wsproto: FrameProtocol = field(init=False)
    _incomplete_frame: bytearray = field(factory=bytearray, init=False)
    _needed_bytes: int = field(default=0, init=False)  # of the incomplete frame
    _payload_bytes_left: int = field(default=0, init=False)  # for wsproto, not received yet
    _is_fragmented: bool = field(default=False, init=False)  # more frames of the message follow
    _message_bytes: int = field(default=0, init=False)  # announced by its frames so far
    _fragments: StringIO = field(factory=StringIO, init=False)  # decoded so far

    def __attrs_post_init__(self) -> None:
        # Nearly every message of a call has 126 to 65,535 bytes, in one frame.
        self._common_second_byte = _LENGTH_IN_2_BYTES | (_MASK_BIT if self.is_masked else 0)
        self._common_head_bytes = _HEAD_BYTES[self._common_second_byte]
        self._wsproto = FrameProtocol(client=not self.is_masked, extensions=[])

    def receive(self, data: bytes) -> list[ReceivedFrame]:
        """Return what `data` completes, in order, up to the first `FrameError` or close frame."""
        received: list[ReceivedFrame] = []
        if self._incomplete_frame or self._payload_bytes_left:
            data = self._continue_frame(data, received)
        position, end = 0, len(data)
        head_bytes, second_byte = self._common_head_bytes, self._common_second_byte
        while position < end:
            start = position + head_bytes
            if start <= end and data[position] == TEXT and data[position + 1] == second_byte:
                length = data[position + 2] << 8 | data[position + 3]
                if _MAX_SHORT_LENGTH < length <= self.max_message_bytes and not self._is_fragmented:
                    stop = start + length
                    if stop > end:
                        self._store_incomplete(data[position:], head_bytes + length)
                        return received
                    position = self._decode_text(data, start, stop, received)
                    continue
            position = self._decode_other_frame(data, position, received)
        return received

    def _decode_text(
        self, data: bytes, start: int, stop: int, received: list[ReceivedFrame]
    ) -> int:
        """Decode the payload from `start` to `stop` of a whole text message. Return the position at
        which to continue."""
        payload = data[start:stop]
        if self.is_masked:
            payload = _apply_mask(payload, data[start - MASK_BYTES : start])
        try:
            received.append(payload.decode())
        except UnicodeDecodeError:
            received.append(FrameError(BAD_TEXT))
            return len(data)
        return stop

    def _continue_frame(self, data: bytes, received: list[ReceivedFrame]) -> bytes:
        """Use `data` for the frame that is incomplete; return what is to be decoded as frames."""
        if self._payload_bytes_left:
            payload, data = data[: self._payload_bytes_left], data[self._payload_bytes_left :]
            self._payload_bytes_left -= len(payload)
            return data if self._feed_wsproto(payload, received) else b""
        self._incomplete_frame += data
        if len(self._incomplete_frame) < self._needed_bytes:
            return b""
        data = bytes(self._incomplete_frame)
        self._incomplete_frame.clear()
        return data

    def _store_incomplete(self, data: bytes, needed_bytes: int) -> None:
        """Store the start of a frame until `needed_bytes` of it are received.

        Before that it is not examined again, so a frame does not cost more in more pieces.
        """
        self._incomplete_frame += data
        self._needed_bytes = needed_bytes

    def _decode_other_frame(self, data: bytes, position: int, received: list[ReceivedFrame]) -> int:
        """Decode the frame at `position`, which counts: a short text message here, all else by
        wsproto, which gets its head, then its payload as it is received.

        Return the position at which to continue.
        """
        end = len(data)
        first_byte, second_byte = data[position], data[position + 1] if position + 1 < end else 0
        start = position + _HEAD_BYTES[second_byte]
        if start > end:
            self._store_incomplete(data[position:], start - position)
            return end
        self.other_frames_left -= 1
        if self.other_frames_left < 0:
            received.append(FrameError(TOO_MANY))
            return end
        length = second_byte - (_MASK_BIT if self.is_masked else 0)
        if first_byte == TEXT and self._is_short_text(length) and start + length <= end:
            return self._decode_text(data, start, start + length, received)
        if not self._feed_wsproto(data[position:start], received):
            return end
        length = _payload_length(data[position:start])
        if not first_byte & _CONTROL_BIT:
            is_continuation = first_byte & _OPCODE_BITS == Opcode.CONTINUATION
            self._message_bytes = (self._message_bytes if is_continuation else 0) + length
            self._is_fragmented = not first_byte & _FIN_BIT
            if self._message_bytes > self.max_message_bytes:
                received.append(FrameError(TOO_LARGE))
                return end
        payload = data[start : start + length]
        self._payload_bytes_left = length - len(payload)
        return start + len(payload) if self._feed_wsproto(payload, received) else end

    def _is_short_text(self, length: int) -> bool:
        """Whether a text frame of this length is a message that is short enough to say its length
        in its second byte; that of a peer which masks wrongly is not."""
        is_short = 0 <= length <= min(_MAX_SHORT_LENGTH, self.max_message_bytes)
        return is_short and not self._is_fragmented

    def _feed_wsproto(self, data: bytes, received: list[ReceivedFrame]) -> bool:
        """Pass a part of a frame to wsproto; return whether more frames may follow."""
        self._wsproto.receive_bytes(data)
        try:
            for frame in self._wsproto.received_frames():
                if isinstance(frame.payload, str):
                    self._fragments.write(frame.payload)
                    if frame.message_finished:
                        received.append(self._fragments.getvalue())
                        self._fragments = StringIO()
                elif frame.message_finished:
                    received.append(frame)
                if frame.opcode is Opcode.CLOSE:
                    return False
        except ParseFailed as failure:
            received.append(FrameError(int(failure.code)))
            return False
        return True


def encode_frame(first_byte: int, payload: bytes, mask: bytes | None) -> bytes:
    """Return an unfragmented frame; `first_byte` is `TEXT`, `PING`, `PONG` or `CLOSE`.

    A client passes a fresh, unpredictable mask of 4 bytes, a server none (RFC 6455, section 5.3).
    """
    length = len(payload)
    mask_bit = 0 if mask is None else _MASK_BIT
    if length <= _MAX_SHORT_LENGTH:
        head = _pack_head(first_byte, mask_bit | length)
    elif length <= _MAX_LENGTH_IN_2_BYTES:
        head = _pack_head_2(first_byte, mask_bit | _LENGTH_IN_2_BYTES, length)
    else:
        head = _pack_head_8(first_byte, mask_bit | _LENGTH_IN_8_BYTES, length)
    return head + payload if mask is None else head + mask + _apply_mask(payload, mask)


def encode_close(code: int, reason: str) -> bytes:
    """Return the payload of a close frame; for `NO_STATUS` it is empty.

    A reason that is too long is cut after a whole character, since it must be UTF-8 (RFC 6455,
    section 5.5.1).
    """
    if code == NO_STATUS:
        return b""
    short = reason.encode(errors="replace")[: MAX_CONTROL_BYTES - 2].decode(errors="ignore")
    return code.to_bytes(2, "big") + short.encode()


def _payload_length(head: bytes) -> int:
    length = head[1] & _LENGTH_BITS
    if length > _MAX_SHORT_LENGTH:
        length = int.from_bytes(head[2 : 4 if length == _LENGTH_IN_2_BYTES else 10], "big")
    return length


def _apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455, section 5.3).

    One exclusive or of two large numbers is the fastest way in the standard library.
    """
    size = len(payload)
    pattern = (mask * (size // MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)
