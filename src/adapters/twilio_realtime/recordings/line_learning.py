"""Learns how a line behaves from recordings of its calls.

    learner = LineLearner()
    with open(path, "rb") as file:
        learner.add_recording(file)
    profile = learner.profile()

Echoes of marks show three times in one: the round trip, the jitter of the messages, and how long
the player waits before it starts. They are taken apart in this order:

1. Jitter: echoes of one burst of audio differ by nothing else.
2. Round trips: marks sent while nothing is queued, and marks that a `clear` frees, are echoed at
   once. Without the jitter of both ways, what is left is the same throughout a call.
3. Start delays: what an echo from behind audio is later than that.
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from attrs import define, field

from twilio_realtime_core.machine.units import MS

from ..sim.line_profile import Distribution, LineProfile
from .line_observations import StreamObservations, observe_recording

__all__ = ["LineLearner"]

_QUICKEST_SHARE: Final = 0.02
"""The share of echoes that may be quicker than what counts as no jitter: a few are odd."""

_VARIATION: Final = 2.0
"""How many times the jitter start delays of one call have to differ by until it is not jitter."""

_NO_STREAM: Final = "no media stream started"
_NO_AUDIO: Final = "no audio was sent to the phone"
_NO_MARKS: Final = "no mark was echoed"


@define(eq=False)
class LineLearner:
    """Collects what recordings show. `profile` returns what it comes to, and `missing` why the rest
    is not known."""

    _calls: int = field(init=False, default=0)
    _streams: list[StreamObservations] = field(init=False, factory=list[StreamObservations])
    _response_ns: list[int] = field(init=False, factory=list[int])
    _first_audio_ns: list[int] = field(init=False, factory=list[int])
    _speeds: list[float] = field(init=False, factory=list[float])

    def add_recording(self, lines: Iterable[bytes]) -> None:
        """Add a recording; its lines have their ends. Raises `UsageError` for what is none, and
        then changes nothing."""
        streams, responses = observe_recording(lines)
        self._calls += 1
        self._streams += streams
        self._response_ns += responses.response_ns
        self._first_audio_ns += responses.first_audio_ns
        self._speeds += [played_ns / took_ns for played_ns, took_ns in responses.paces]

    def profile(self) -> LineProfile:
        """Return what was learned so far."""
        jitter_ns = self._jitter_ns()
        usual_jitter_ns = median(jitter_ns) if jitter_ns else 0
        base_ns: list[float] = []
        start_ns: list[float] = []
        varies_ns: list[float] = []
        for stream in self._streams:
            trips_ns = stream.round_trips_ns or stream.pings_ns
            if not trips_ns:
                continue
            trip_ns = median(trips_ns)
            base_ns.append(trip_ns - 2 * usual_jitter_ns)
            delays_ns = [max(0, median(late) - trip_ns) for late in stream.late_ns if late]
            if delays_ns:
                least_ns, varies = _split_delays(delays_ns, usual_jitter_ns)
                start_ns.append(least_ns)
                varies_ns += varies
        return LineProfile(
            calls=self._calls,
            round_trip_ms=_distribution(base_ns),
            jitter_ms=_distribution(jitter_ns),
            start_delay_ms=_distribution(start_ns),
            start_delay_varies_ms=_distribution(varies_ns),
            frame_gap_ms=_distribution(
                [gap for each in self._streams for gap in each.frame_gaps_ns]
            ),
            response_ms=_distribution(self._response_ns),
            first_audio_ms=_distribution(self._first_audio_ns),
            audio_speed=Distribution.of([max(0.01, each) for each in self._speeds]),
        )

    def missing(self) -> dict[str, str]:
        """Return for each distribution that is not known why it is not."""
        known = self.profile().distributions
        has_audio = any(each.has_audio for each in self._streams)
        reasons = {
            "round_trip_ms": self._why_no_trips(),
            "jitter_ms": "no two marks behind the same audio were echoed",
            "start_delay_ms": "no mark behind audio was echoed, or no round trip is known",
            "start_delay_varies_ms": "no mark behind audio was echoed, or no round trip is known",
            "frame_gap_ms": "the caller sent no two frames",
            "response_ms": "no response with audio followed the caller's speech",
            "first_audio_ms": "no response had audio",
            "audio_speed": "no response had three deltas of audio",
        }
        if self._streams and not has_audio:
            reasons |= dict.fromkeys(("jitter_ms", "start_delay_ms"), _NO_AUDIO)
            reasons["start_delay_varies_ms"] = _NO_AUDIO
        return {name: reason for name, reason in reasons.items() if name not in known}

    def _why_no_trips(self) -> str:
        if not self._streams:
            return _NO_STREAM
        has_marks = any(each.has_marks for each in self._streams)
        return "no mark was echoed while nothing was queued" if has_marks else _NO_MARKS

    def _jitter_ns(self) -> list[float]:
        """What each echo took longer than the quickest of its call."""
        found: list[float] = []
        for stream in self._streams:
            apart = [
                each - median(late) for late in stream.late_ns if len(late) > 1 for each in late
            ]
            if apart:
                quickest = sorted(apart)[int(_QUICKEST_SHARE * len(apart))]
                found += [max(0.0, each - quickest) for each in apart]
        return found


def _split_delays(delays_ns: Sequence[float], usual_jitter_ns: float) -> tuple[float, list[float]]:
    """Return the start delay that all bursts of a call have, and what each has more: nothing, if
    they differ by no more than jitter does."""
    middle_ns = median(delays_ns)
    limit_ns = max(MS, _VARIATION * usual_jitter_ns)
    if all(abs(each - middle_ns) <= limit_ns for each in delays_ns):
        return middle_ns, [0.0] * len(delays_ns)
    least_ns = min(delays_ns)
    return least_ns, [each - least_ns for each in delays_ns]


def _distribution(samples_ns: Sequence[float]) -> Distribution | None:
    return Distribution.of([each / MS for each in samples_ns])
