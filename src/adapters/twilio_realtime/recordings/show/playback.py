"""What was sent to Twilio, queued there, heard and cut, in time.

Twilio plays what it holds without a pause, so the audio of a burst, which starts when the queue is
empty, is one run. The latest estimate of the bridge within a burst says best when it started. All
times are those of the bridge, at which a `clear` would have cut there.

Source: Twilio documentation, "Media Streams - WebSocket Messages", `media`, `mark` and `clear`,
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from base64 import b64decode
from collections import Counter
from collections.abc import Iterator

from attrs import define, field, frozen

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.actions import Close, Notify, Send
from twilio_realtime_core.machine.units import MS, ns_to_samples, samples_to_ns
from twilio_realtime_core.notifications import CallStarted
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.values.playback_position import AudioSource, PartKey

from .reader import Positions, ShownStep

__all__ = ["AudioSpan", "EstimateSample", "Playback", "merge_spans", "part_of"]

_MIN_SAMPLE_NS = 200 * MS
"""Between two kept estimates, unless something other than audio happens: the eye sees no more."""


@frozen
class AudioSpan:
    """Audio of a source: when it starts and ends (ns), and its place in the source (samples).

    Of generated and sent audio, the times are those of the first and of the last message.
    """

    start_ns: int
    end_ns: int
    source: AudioSource
    offset: int
    samples: int


@frozen
class EstimateSample:
    """What the bridge knew of the source that is heard: positions and margin in samples."""

    at_ns: int
    source: AudioSource
    confirmed: int
    estimated: int
    sent: int
    margin: int


@define
class _Run:
    source: AudioSource
    offset: int
    samples: int
    audio: bytes


@define
class _Burst:
    first_sent_ns: int
    anchor_ns: int
    """When its first sample was played, as far as it is known."""
    is_anchored: bool = False
    samples: int = 0
    runs: list[_Run] = field(factory=list[_Run])


@define(eq=False)
class Playback:
    """Takes steps in order. `keeps_audio`: the audio that was heard is kept in `heard_audio`, with
    its times (ns)."""

    keeps_audio: bool
    generated: list[AudioSpan] = field(init=False, factory=list[AudioSpan])
    sent: list[AudioSpan] = field(init=False, factory=list[AudioSpan])
    heard: list[AudioSpan] = field(init=False, factory=list[AudioSpan])
    cut: list[AudioSpan] = field(init=False, factory=list[AudioSpan])
    """What was discarded, where it would have been heard."""
    heard_audio: list[tuple[int, bytes]] = field(init=False, factory=list[tuple[int, bytes]])
    queued: list[tuple[int, int]] = field(init=False, factory=list[tuple[int, int]])
    """When (ns), and how many samples were queued at Twilio then."""
    estimates: list[EstimateSample] = field(init=False, factory=list[EstimateSample])
    _burst: _Burst | None = field(init=False, default=None)
    _generated_samples: Counter[AudioSource] = field(init=False, factory=Counter[AudioSource])
    _sent_samples: Counter[AudioSource] = field(init=False, factory=Counter[AudioSource])
    _last_source: AudioSource | None = field(init=False, default=None)
    _is_over: bool = field(init=False, default=False)
    _has_started: bool = field(init=False, default=False)
    _last_ns: int = field(init=False, default=0)

    def heard_samples(self, source: AudioSource) -> int:
        """How much of a source was heard."""
        return sum(each.samples for each in self.heard if each.source == source)

    def sent_samples(self, source: AudioSource) -> int:
        """How much of a source was sent."""
        return self._sent_samples[source]

    def generated_samples(self, source: AudioSource) -> int:
        """How much of a source the model has generated."""
        return self._generated_samples[source]

    def add_step(self, step: ShownStep) -> None:
        """Take a step."""
        now = self._last_ns = step.at_ns
        self._take_delta(step)
        if self._is_over:
            return
        unplayed = self._observe(now, step.before)
        self._keep_estimate(step)
        is_cleared = False
        media: list[twilio.Media] = []
        for action in step.actions:
            match action:
                case Send(message=twilio.Clear()):
                    self._cut(now, unplayed)
                    unplayed, is_cleared = 0, True
                case Send(message=twilio.Media() as message):
                    media.append(message)
                case Notify(CallStarted()):
                    if self._has_started:  # another stream: what the old one held is gone
                        self._cut(now, unplayed)
                        unplayed, is_cleared = 0, True
                    self._has_started = True
                case _:
                    pass
        self._send(step, media, () if is_cleared else step.before)
        queued = unplayed + sum(count_samples(each.payload) or 0 for each in media)
        if not self.queued or self.queued[-1][1] != queued:
            self.queued.append((now, queued))
        if _ends_stream(step):
            self._cut(now, queued)
            self.queued.append((now, 0))
            self._is_over = True

    def finish(self) -> None:
        """Note that no more steps follow."""
        if not self._is_over:
            self._cut(self._last_ns, self._observe(self._last_ns, None))
            self._is_over = True

    # What is generated and sent.

    def _take_delta(self, step: ShownStep) -> None:
        match step.event:
            case realtime.OutputAudioDeltaEvent(response_id, item_id, delta, index):
                source = part_of(response_id, item_id, index)
                samples = count_samples(delta) or 0
                offset = self._generated_samples[source]
                self.generated.append(AudioSpan(step.at_ns, step.at_ns, source, offset, samples))
                self._generated_samples[source] += samples
                self._last_source = source
            case _:
                pass

    def _send(self, step: ShownStep, media: list[twilio.Media], before: Positions | None) -> None:
        if not media:
            return
        sizes = [count_samples(each.payload) or 0 for each in media]
        sources = _split_by_source(before, step.after, sum(sizes)) or self._guess(sum(sizes))
        audio = b"".join(map(_decode_payload, media)) if self.keeps_audio else b""
        burst = self._burst
        if burst is None:
            burst = self._burst = _Burst(step.at_ns, step.at_ns)
        position = 0
        for source, samples in sources:
            offset = self._sent_samples[source]
            burst.runs.append(_Run(source, offset, samples, audio[position : position + samples]))
            burst.samples += samples
            self._sent_samples[source] += samples
            self.sent.append(AudioSpan(step.at_ns, step.at_ns, source, offset, samples))
            position += samples

    def _guess(self, samples: int) -> list[tuple[AudioSource, int]]:
        source = self._last_source or part_of("", "", 0)
        return [(source, samples)]

    # What is heard.

    def _observe(self, now: int, positions: Positions | None) -> int:
        """Learn when the burst started; return how many samples are queued."""
        burst = self._burst
        if burst is None:
            return 0
        if positions is None:
            unplayed = max(0, burst.samples - ns_to_samples(now - burst.anchor_ns))
        else:
            unplayed = sum(each.sent_samples - each.estimated_samples for each in positions)
        position = max(0, burst.samples - unplayed)
        if unplayed == 0:
            if not burst.is_anchored:
                earliest_ns = now - samples_to_ns(burst.samples)
                burst.anchor_ns = max(burst.first_sent_ns, earliest_ns)
            self._emit(burst, burst.samples)
            self._burst = None
        elif positions is not None:
            burst.anchor_ns = now - samples_to_ns(position)
            burst.is_anchored = position > 0
        return unplayed

    def _cut(self, now: int, unplayed: int) -> None:
        burst, self._burst = self._burst, None
        if burst is not None:
            heard = max(0, burst.samples - unplayed)
            burst.anchor_ns = min(burst.anchor_ns, now - samples_to_ns(heard))
            self._emit(burst, heard)

    def _emit(self, burst: _Burst, heard: int) -> None:
        """Add the audio of a burst of which so many samples were heard, and the rest was cut."""
        position = 0
        earliest_ns = self.heard[-1].end_ns if self.heard else 0
        start_ns = max(burst.anchor_ns, earliest_ns)
        for run in burst.runs:
            samples = max(0, min(run.samples, heard - position))
            at_ns = start_ns + samples_to_ns(position)
            if samples:
                _append(self.heard, at_ns, run.source, run.offset, samples)
                if run.audio:
                    self.heard_audio.append((at_ns, run.audio[:samples]))
            if samples < run.samples:
                cut_ns = at_ns + samples_to_ns(samples)
                rest = run.samples - samples
                _append(self.cut, cut_ns, run.source, run.offset + samples, rest)
            position += run.samples

    def _keep_estimate(self, step: ShownStep) -> None:
        playing = [each for each in step.before or () if each.estimated_samples < each.sent_samples]
        last = self.estimates[-1].at_ns if self.estimates else -_MIN_SAMPLE_NS
        is_audio = isinstance(step.event, twilio.MediaEvent | realtime.OutputAudioDeltaEvent)
        if playing and (not is_audio or step.at_ns - last >= _MIN_SAMPLE_NS):
            each = playing[0]
            self.estimates.append(
                EstimateSample(
                    *(step.at_ns, _without_session(each.source), each.confirmed_samples),
                    *(each.estimated_samples, each.sent_samples, each.margin_samples),
                )
            )


def part_of(response_id: str, item_id: str, content_index: int) -> PartKey:
    """Return the key of a content part. Ids of a server are unique in practice, so the number of
    the session is left out of it: that of a part restored in another session stays the same."""
    return PartKey(1, response_id, item_id, content_index)


def _without_session(source: AudioSource) -> AudioSource:
    if isinstance(source, PartKey):
        return part_of(source.response_id, source.item_id, source.content_index)
    return source


def _append(
    spans: list[AudioSpan], at_ns: int, source: AudioSource, offset: int, samples: int
) -> None:
    """Append audio that is heard at a time, to the span that it continues if there is one."""
    end_ns = at_ns + samples_to_ns(samples)
    if spans:
        last = spans[-1]
        is_next = last.source == source and last.offset + last.samples == offset
        if is_next and last.end_ns == at_ns:
            total = last.samples + samples
            spans[-1] = AudioSpan(last.start_ns, end_ns, source, last.offset, total)
            return
    spans.append(AudioSpan(at_ns, end_ns, source, offset, samples))


def _split_by_source(
    before: Positions | None, after: Positions | None, samples: int
) -> list[tuple[AudioSource, int]]:
    """Return how many samples of each source a step has sent; nothing if that is not known."""
    if before is None or after is None:
        return []
    known = {each.source: each.sent_samples for each in before}
    added = [(each.source, each.sent_samples - known.get(each.source, 0)) for each in after]
    found = [(_without_session(source), count) for source, count in added if count > 0]
    return found if sum(count for _, count in found) == samples else []


def _decode_payload(media: twilio.Media) -> bytes:
    return b64decode(media.payload) if count_samples(media.payload) else b""


def _ends_stream(step: ShownStep) -> bool:
    if isinstance(step.event, twilio.StopEvent):
        return True
    if step.method == "closed" and step.peer == "twilio":
        return True
    return any(isinstance(each, Close) and each.peer == "twilio" for each in step.actions)


def merge_spans(spans: list[AudioSpan], longest_gap_ns: int) -> Iterator[AudioSpan]:
    """Join the spans of one source whose gaps are short."""
    joined: AudioSpan | None = None
    for each in spans:
        if (
            joined is not None
            and each.source == joined.source
            and each.start_ns - joined.end_ns <= longest_gap_ns
        ):
            samples = joined.samples + each.samples
            joined = AudioSpan(joined.start_ns, each.end_ns, each.source, joined.offset, samples)
            continue
        if joined is not None:
            yield joined
        joined = each
    if joined is not None:
        yield joined
