"""What the caller has heard: what was sent, what marks confirm, and what must have played since.

Twilio plays what it receives in order and in real time, and echoes a mark when all before it has
been played. Its queue is modelled by `play_queue`. Times here are instants of our own clock, *as if
the network had no delay*: audio sent at `t` reaches the player one trip later, and the `clear` that
cuts it travels the same way. The two trips cancel, so "heard when a clear sent now takes effect" is
what the model says for now.

A mark's echo travels back as well: it arrives one round trip after the model's time. By as much as
it is later, the player is behind the model; `start_delay` decides how much of that to believe.
Until the first echo of a burst arrives, the start delay of earlier bursts is expected, and one
thing more is known: a mark without an echo had not been reached a round trip ago.

Positions are in samples. Bounds are never crossed: no position is below what marks confirm or above
what was sent. An estimate only steps back where an echo arrives later than expected.

Source: Twilio documentation, "Media Streams - WebSocket Messages", `mark` and `clear`,
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from typing import Final

from attrs import define, frozen

from ..config.start_delay_history import StartDelayHistory
from ..machine.units import SECOND, ns_to_samples
from ..values.playback_position import AudioSource, PartKey, PlaybackPosition
from .marks import Marks, PendingMark
from .play_queue import Burst, PlayQueue
from .round_trip import RoundTrip
from .start_delay import StartDelayEstimator

__all__ = ["MAX_QUEUED_SAMPLES", "PlaybackProgress", "Playout"]

MAX_QUEUED_SAMPLES: Final = 600 * 8000
"""Audio that may be queued at Twilio, which discards more than ten minutes (warning 31931)."""

_GRACE_NS: Final = 2 * SECOND
"""How long after the modelled end of all audio the player may still be playing: hidden start delays
are a few hundred ms, and a mark that is later than this was lost."""

_MAX_SOURCES: Final = 1024
"""Parts and clips remembered: a response has a handful. Only a server that never ends its parts
causes more; then the oldest that was heard as far as it was sent is forgotten."""

_MAX_RUNS: Final = 4096
"""Runs of audio in the queue, each of another source than the one before: in ten minutes there is
one for each sentence. Only a server that alternates within words causes more; then no more is
taken."""


@frozen
class PlaybackProgress:
    """What newly counts as heard: sources whose first audio was, and sources heard to the end."""

    started: tuple[AudioSource, ...] = ()
    finished: tuple[AudioSource, ...] = ()


@define
class _SourceState:
    """Of the `sent_samples`, `confirmed_samples` are in runs that marks confirm whole, and that the
    queue no longer holds."""

    sent_samples: int = 0
    confirmed_samples: int = 0
    is_complete: bool = False
    is_started: bool = False


_NOTHING: Final = PlaybackProgress()


class Playout:
    """The queue at Twilio, as far as it is known. `history` is what earlier calls have shown."""

    def __init__(self, history: StartDelayHistory | None = None) -> None:
        self._history = history or StartDelayHistory()
        self._marks = Marks()
        self._sources: dict[AudioSource, _SourceState] = {}
        self.restart()

    def restart(self) -> None:
        """Start anew for another stream, whose network path is still to be measured.

        Positions in a part that goes on count from its own start: what the old stream took of it
        lies before what will be heard next, and counts as heard.
        """
        unfinished = {
            source: _SourceState(
                state.sent_samples, state.sent_samples, is_started=state.is_started
            )
            for source, state in self._sources.items()
            if not state.is_complete
        }
        self.round_trip = RoundTrip()
        self._start_delays = StartDelayEstimator(self._history)
        self._has_echo = False
        self._freed_mark: tuple[str, int] | None = None  # its name, and when the `clear` was sent
        self.forget()
        self._sources = unfinished

    def clear(self, now: int) -> None:
        """Empty the queue, since a `clear` was sent: echoes of older marks confirm nothing now, but
        the first that it frees shows how long it took.

        The start delay of the last bursts stays the best guess for the next.
        """
        position = self._estimated_position(now)
        freed = self._marks.next_after(position + self._margin_samples(position))
        self.forget()
        if freed is not None:
            self._freed_mark = freed.name, now

    def forget(self) -> None:
        """Empty the queue, since all in it was played: echoes of older marks mean nothing now."""
        self._freed_mark = None
        self._sources = {}
        self._queue = PlayQueue()
        self._marks.clear()
        self._confirmed_position = 0

    @property
    def start_delay_history(self) -> StartDelayHistory:
        """What the player has shown on this stream, for later calls."""
        return self._start_delays.history

    # What is sent.

    def has_capacity(self, samples: int, now: int) -> bool:
        """Whether Twilio's queue can take `samples` more, and we can remember them."""
        fits = self._unconfirmed_samples + samples <= MAX_QUEUED_SAMPLES
        # Marks may be late, or lost: what must have been played by now is not queued either.
        fits = fits or self._queued_samples(now) + samples <= MAX_QUEUED_SAMPLES
        return fits and (len(self._queue) < _MAX_RUNS or not self.is_playing(now))

    def _queued_samples(self, now: int) -> int:
        ends_at_ns = self._queue.ends_at_ns
        return 0 if ends_at_ns is None else ns_to_samples(ends_at_ns - now)

    def starts_burst(self, now: int) -> bool:
        """Whether audio sent now finds the player idle, and may have a mark behind it. A first
        piece of one frame, with a mark of its own, shows the start delay soonest."""
        return self._queue.is_idle(now) and self._marks.is_allowed(now)

    def audio_sent(self, source: AudioSource, samples: int, now: int) -> PlaybackProgress:
        """Note that `samples` of `source` were sent to Twilio."""
        progress = _NOTHING
        if self._unconfirmed_samples and not self.is_playing(now):
            # The marks are lost, but the audio must have been played.
            self._marks.forget_sent()
            progress = self._confirm(self._queue.sent_samples)
        state = self._get_or_create_state(source)
        state.sent_samples += samples
        start_delay_ns = self._start_delays.expected_ns if self._queue.is_idle(now) else 0
        self._queue.append(source, samples, now, start_delay_ns)
        return progress

    def _get_or_create_state(self, source: AudioSource) -> _SourceState:
        state = self._sources.get(source)
        if state is None:
            if len(self._sources) >= _MAX_SOURCES:
                heard = (
                    old
                    for old, known in self._sources.items()
                    if known.sent_samples == known.confirmed_samples
                )
                self._sources.pop(next(heard, source), None)  # if there is none, each has a run
            state = self._sources[source] = _SourceState()
        return state

    def sent_samples(self, source: AudioSource) -> int:
        """How many samples of a source were sent; 0 for one that is not remembered."""
        state = self._sources.get(source)
        return 0 if state is None else state.sent_samples

    def source_completed(self, source: AudioSource) -> PlaybackProgress:
        """Note that no more audio of `source` will come."""
        state = self._sources.get(source)
        if state is None:
            return _NOTHING
        state.is_complete = True
        return PlaybackProgress(finished=self._take_finished())

    def response_completed(self, response_id: str) -> PlaybackProgress:
        """Note that no more audio of any part of a response will come."""
        for source, state in self._sources.items():
            if isinstance(source, PartKey) and source.response_id == response_id:
                state.is_complete = True
        return PlaybackProgress(finished=self._take_finished())

    # Marks.

    def is_mark_due(self, now: int) -> bool:
        """Whether a mark should follow what was sent last."""
        return self._marks.is_due(self._queue.sent_samples, now)

    def is_final_mark_due(self) -> bool:
        """Whether a mark should follow the last audio of a source."""
        return self._marks.is_final_due(self._queue.sent_samples)

    def is_probe_due(self) -> bool:
        """Whether a mark sent now measures the round trip: nothing is queued, and every mark was
        echoed."""
        return not self._unconfirmed_samples and not self._marks.has_unechoed

    def next_mark(self, now: int) -> str:
        """Note that a mark is sent now; return its name, unique in the call."""
        return self._marks.add(
            self._queue.sent_samples,
            now,
            is_probe=not self._unconfirmed_samples,
            overdue_ns=self.round_trip.estimate_ns if self._has_echo else None,
        )

    def mark_echoed(self, name: str, now: int) -> PlaybackProgress | None:
        """Take a mark that came back; `None` if no such mark was ever sent, or it came back before.

        Marks sent before a `clear`, or given up, are known and confirm nothing.
        """
        if self._marks.is_outdated(name):
            if self._freed_mark is not None and self._freed_mark[0] == name:
                self.round_trip.clear_echoed(self._freed_mark[1], now)
                self._freed_mark = None
            return _NOTHING
        mark = self._marks.take_echoed(name)
        if mark is None:
            return None
        self._has_echo = True
        if mark.is_probe:
            self.round_trip.probe_echoed(mark.sent_at_ns, now)
        elif mark.position > self._confirmed_position:
            self._learn(mark, now)
        return self._confirm(mark.position)

    def _learn(self, mark: PendingMark, now: int) -> None:
        """Learn from an echo the start delay of its burst, and how long a round trip is at most."""
        burst = self._find_burst(mark.position, now)
        expected_at_ns = burst.reached_at_ns(mark.position)
        bound_ns = now - max(mark.sent_at_ns, expected_at_ns - burst.start_delay_ns)
        if bound_ns < 0:
            return  # no player is so early; whatever answered, it was none
        start_delays, round_trip = self._start_delays, self.round_trip
        trip_ns = round_trip.add_upper_bound(bound_ns, burst, start_delays.echo_jitter_ns)
        # The echo of a mark that found the player idle shows when it was sent, and no more.
        was_queued = mark.sent_at_ns < expected_at_ns - min(0, burst.start_delay_ns)
        if was_queued or now - expected_at_ns < (round_trip.fastest_ns or 0):
            late_ns = now - expected_at_ns - trip_ns + burst.start_delay_ns
            start_delay_ns = start_delays.learn(burst, late_ns, round_trip.jitter_ns or 0)
            if start_delay_ns != burst.start_delay_ns:
                self._queue.set_start_delay(burst, start_delay_ns)

    def _find_burst(self, position: int, now: int) -> Burst:
        """The burst that an echo which has just come is of. Audio that was joined to the burst
        before it by less than can be known has started one of its own if that, and that alone,
        explains why the echo is late."""
        burst, trip_ns = self._queue.burst_of(position), self.round_trip.estimate_ns
        joined = self._queue.find_joined(position)
        if joined is None or trip_ns is None:
            return burst
        own, overlap_ns = joined
        exact_to_ns = self._start_delays.uncertainty_ns(self.round_trip.jitter_ns or 0)
        echo_ns = now - trip_ns
        is_late = echo_ns - burst.reached_at_ns(position) > exact_to_ns
        is_explained = abs(echo_ns - own.reached_at_ns(position)) <= exact_to_ns
        if not is_late or not is_explained or overlap_ns > exact_to_ns:
            return burst
        self._queue.separate(own)
        return own

    # What is heard.

    @property
    def _unconfirmed_samples(self) -> int:
        return self._queue.sent_samples - self._confirmed_position

    @property
    def silent_at_ns(self) -> int | None:
        """When, at the latest, all that was sent must have been played (ns): from then on nothing
        `is_playing`. `None`: all of it was confirmed as heard."""
        ends_at_ns = self._queue.ends_at_ns
        return None if ends_at_ns is None else ends_at_ns + _GRACE_NS

    def is_playing(self, now: int) -> bool:
        """Whether audio may still be audible, or queued: sent, not confirmed, and not so long ago
        that it must have been played."""
        silent_at_ns = self.silent_at_ns
        return silent_at_ns is not None and now < silent_at_ns

    def positions(self, now: int) -> list[PlaybackPosition]:
        """How far each source has been played, those heard to the end excepted, in the order in
        which they were first sent."""
        position = self._estimated_position(now)
        margin = self._margin_samples(position)
        confirmed = self._samples_before(self._confirmed_position)
        estimated = self._samples_before(position)
        return [
            PlaybackPosition(
                source,
                confirmed[source],
                estimated[source],
                state.sent_samples,
                state.is_complete,
                min(
                    margin,
                    max(
                        estimated[source] - confirmed[source],
                        state.sent_samples - estimated[source],
                    ),
                ),
                state.is_started,
            )
            for source, state in self._sources.items()
        ]

    def _estimated_position(self, now: int) -> int:
        """The position in the stream that a `clear` sent now leaves heard."""
        if not self.is_playing(now):
            return self._queue.sent_samples  # it must have been played, whatever its marks did
        reached = self._queue.position_at(now)
        mark = self._marks.next_after(self._confirmed_position)
        if mark is not None and mark.overdue_ns is not None and not self._is_learned(mark.position):
            reached = min(reached, mark.position + ns_to_samples(mark.overdue_ns))
        return max(self._confirmed_position, reached)

    def _is_learned(self, position: int) -> bool:
        """Whether the start delay there is known. A known one is not made later by an echo that
        does not come: that may be late, or lost."""
        return self._start_delays.is_learned(self._queue.burst_of(position))

    def _margin_samples(self, position: int) -> int:
        """How far the player may be from a position, in samples."""
        jitter_ns = self.round_trip.jitter_ns
        if jitter_ns is None or not self._unconfirmed_samples:
            return self._unconfirmed_samples
        learned = self._is_learned(max(position, self._confirmed_position + 1))
        unknown_ns = 0 if learned else self._start_delays.spread_ns
        if unknown_ns is None:
            return self._unconfirmed_samples
        return ns_to_samples(self._start_delays.uncertainty_ns(jitter_ns) + unknown_ns)

    def _samples_before(self, position: int) -> dict[AudioSource, int]:
        """How much of each source lies before a position in the stream."""
        before = {source: state.confirmed_samples for source, state in self._sources.items()}
        for source, samples in self._queue.samples_before(position).items():
            before[source] += samples
        return before

    def _confirm(self, position: int) -> PlaybackProgress:
        self._confirmed_position = max(self._confirmed_position, position)
        started: list[AudioSource] = []
        for source in self._queue.samples_before(self._confirmed_position):
            state = self._sources[source]
            if not state.is_started:
                state.is_started = True
                started.append(source)
        taken = self._queue.take_played(self._confirmed_position)
        for source, samples in taken:
            self._sources[source].confirmed_samples += samples
        finished = self._take_finished() if taken else ()
        return PlaybackProgress(tuple(started), finished) if started or finished else _NOTHING

    def _take_finished(self) -> tuple[AudioSource, ...]:
        """Forget the sources heard to the end, and return them. (One that another stream took away
        whole is forgotten too, but was not heard.)"""
        ended = {
            source: state
            for source, state in self._sources.items()
            if state.is_complete and state.confirmed_samples == state.sent_samples
        }
        for source in ended:
            del self._sources[source]
        return tuple(source for source, state in ended.items() if state.is_started)
