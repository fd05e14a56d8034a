"""The two voices of a call as tracks of audio in time, and how loud they are."""

import math
from base64 import b64decode
from collections.abc import Iterable
from typing import Final

from attrs import define, field

from twilio_realtime_core.audio.pcmu import count_samples, silence
from twilio_realtime_core.machine.units import (
    FRAME_SAMPLES,
    MS,
    ns_to_samples,
    samples_to_ns,
)
from twilio_realtime_core.protocols import twilio

from ...sim.audio import to_linear
from .reader import ShownStep

__all__ = ["LEVEL_CHARACTERS", "CallerTrack", "levels_of", "place_audio"]

LEVEL_CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""A level from 0 to 63 as a character. The level grows with the square root of the amplitude."""

_SNAP_NS: Final = 30 * MS
"""Timestamps are readings of a clock, with a few ms of jitter: a frame that close to the end of the
one before follows it without a gap."""


@define(eq=False)
class CallerTrack:
    """Takes steps in order, and finds when the caller said what Twilio sent.

    Twilio's timestamps place the frames; of the frames of a stream, the one that took the shortest
    time to arrive stands where it arrived.
    """

    keeps_audio: bool
    _frames: list[tuple[int, int | None, int, bytes]] = field(
        init=False, factory=list[tuple[int, "int | None", int, bytes]]
    )
    """Arrival and timestamp (ns), samples, and audio of the frames of this stream."""
    _placed: list[tuple[int, int, bytes]] = field(init=False, factory=list[tuple[int, int, bytes]])

    def add_step(self, step: ShownStep) -> None:
        """Take a step."""
        match step.event:
            case twilio.StartEvent():
                self._place()
            case twilio.MediaEvent(media=media):
                samples = count_samples(media.payload)
                if samples and media.track in (None, "inbound"):
                    timestamp_ms = media.timestamp_ms
                    timestamp_ns = None if timestamp_ms is None else timestamp_ms * MS
                    audio = b64decode(media.payload) if self.keeps_audio else b""
                    self._frames.append((step.at_ns, timestamp_ns, samples, audio))
            case _:
                pass

    def finish(self) -> list[tuple[int, int, bytes]]:
        """Return the frames: when each starts (ns), its samples, and its audio."""
        self._place()
        return self._placed

    def _place(self) -> None:
        offsets = [
            at_ns - samples_to_ns(samples) - timestamp_ns
            for at_ns, timestamp_ns, samples, _ in self._frames
            if timestamp_ns is not None
        ]
        offset_ns = min(offsets, default=0)
        end_ns = self._placed[-1][0] + samples_to_ns(self._placed[-1][1]) if self._placed else 0
        for at_ns, timestamp_ns, samples, audio in self._frames:
            start_ns = at_ns - samples_to_ns(samples)
            if timestamp_ns is not None:
                start_ns = timestamp_ns + offset_ns
            if abs(start_ns - end_ns) <= _SNAP_NS or start_ns < end_ns:
                start_ns = end_ns
            start_ns = max(0, start_ns)
            self._placed.append((start_ns, samples, audio))
            end_ns = start_ns + samples_to_ns(samples)
        self._frames.clear()


def place_audio(pieces: Iterable[tuple[int, bytes]], duration_ns: int) -> bytes:
    """Return a track of µ-law with pieces of audio at their times (ns), and silence in between."""
    track = bytearray(silence(ns_to_samples(duration_ns)))
    for at_ns, audio in pieces:
        start = ns_to_samples(at_ns)
        fitting = audio[: max(0, len(track) - start)]
        track[start : start + len(fitting)] = fitting
    return bytes(track)


def levels_of(track: bytes) -> str:
    """Return the peak level of each 20 ms of a track, as a character."""
    return "".join(
        LEVEL_CHARACTERS[max(track[start : start + FRAME_SAMPLES].translate(_LEVELS))]
        for start in range(0, len(track), FRAME_SAMPLES)
    )


def _level_of(code: int) -> int:
    linear = int.from_bytes(to_linear(bytes([code])), "little", signed=True)
    return round(63 * math.sqrt(abs(linear) / 32_768))


_LEVELS: Final = bytes(map(_level_of, range(256)))
