"""The invariants of audio: the caller's, the agent's, and what of it was heard."""

from typing import Final

from twilio_realtime_core.commands import Play, PressKeys
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.notifications import (
    CallerAudioDropped,
    CallerAudioPadded,
    ClipFinished,
    InterruptionBlocked,
    ModelSilent,
    PaddingCause,
    PlaybackFinished,
    PlaybackStarted,
)

from ..expected.call import ExpectedCall
from ..expected.links import ExpectedLinks
from ..expected.playback import PartId, SourceId, is_hold
from ..expected.speech import ExpectedSpeech
from ..expected.uplink import ExpectedUplink
from ..limits import (
    DROPPED_SAMPLES,
    INACTIVITY_SAMPLES,
    MAX_EARLY_SAMPLES,
    MAX_GAP_SAMPLES,
)
from ..received import (
    ReceivedAudio,
    ReceivedAudioEnd,
    ReceivedMark,
    ReceivedMedia,
    ReceivedSpeechStart,
    ReceivedStart,
)
from ..sent import (
    SentAppend,
    SentCancel,
    SentClear,
    SentDelete,
    SentEvent,
    SentItem,
    SentMark,
    SentMedia,
    SentRequest,
    SentTruncate,
    SentUpdate,
)
from ..step_record import Invariant, StepRecord, TimeoutHandled, is_later, kinds_of
from ..units import FRAME_SAMPLES, MS, SAMPLES_PER_MS, samples_to_ms

__all__ = ["DownlinkAudio", "HeardPositions", "PlaybackMarks", "UplinkAudio"]

_MAX_JITTER_SAMPLES: Final = 2 * FRAME_SAMPLES
"""How much of a gap may be of the frames before, each off by less than a frame."""


_MAX_LATE_MS: Final = 200
"""How much earlier a frame may be than the latest; with more, the clock was set back."""


class UplinkAudio(Invariant):
    """The model receives the caller's frames and the audio and events of commands once and in
    order, with silence for muted frames and for gaps, less what is reported as dropped.

    A gap is padded once, and by no more than it lasts; where the caller speaks and no frames are
    received, by the time that is configured, which counts from the last frame. Frames that are late
    are no gap. Audio is dropped only where the limit is exceeded, and a frame that is not audio is
    reported. Frames without a stream, of another one, or of what the caller hears, are left out,
    and reported once in a stream.
    """

    number = 2
    name = "Uplink audio"
    inputs = (ReceivedStart, ReceivedMedia)
    outputs = (CallerAudioDropped, CallerAudioPadded, SentEvent)
    triggers = kinds_of(ExpectedLinks, ExpectedUplink)
    judges_deadline = True
    is_frame_judge = True

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._uplink = call.links, call.uplink
        self._requests, self._turn = call.requests, call.requests.turn
        timeout_ms = call.config.inactivity_timeout_ms
        self._timeout_ns = None if timeout_ms is None else timeout_ms * MS
        self._is_padded = True
        """No silence is missing where frames are: it was sent, or there was no gap."""
        self._last_audio_ns = 0
        """When a frame was received."""
        self._timestamp_ms: int | None = None
        """The latest."""
        self._is_late = False
        """The last frame was earlier than the latest."""
        self._reported: set[str] = set()
        """Why frames are left out that were reported in this stream."""
        self._frame_samples = 0
        """Of the last frame."""
        self._gap_samples = 0
        """How many may be missing before the frame of this step."""

    # A frame ends a gap, so the gap is measured before the outputs are judged.

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        match step.event:
            case ReceivedMedia(timestamp_ms=timestamp_ms) as media:
                if (reason := self._reason_to_leave_out(media)) is not None:
                    return self._check_reported_once(reason, step)
                if self._uplink.frame_samples is None:
                    is_live = self._links.is_live
                    return self._check_reported_once("that is not audio", step) if is_live else None
                self._measure_gap(timestamp_ms, self._uplink.frame_samples)
            case _:  # ReceivedStart
                if self._links.is_stream_starting:
                    self._is_padded = True
                    self._timestamp_ms, self._is_late = None, False
                    self._reported.clear()
        return None

    def _reason_to_leave_out(self, media: ReceivedMedia) -> str | None:
        """Why a frame is none of the caller; `None`: it is one."""
        if not self._links.is_live:
            return None
        if not self._links.is_streaming:
            return "without a stream"
        if media.stream_sid != self._links.stream_sid:
            return "of another stream"
        return "of what the caller hears" if media.is_outbound else None

    def _check_reported_once(self, reason: str, step: StepRecord) -> str | None:
        faults = [each for each in step.values if isinstance(each, Fault)]
        count = sum(each.kind is not FaultKind.TOO_MANY for each in faults)
        is_first = reason not in self._reported
        self._reported.add(reason)
        if any(isinstance(each, SentAppend) for each in step.values):
            return f"a frame {reason} is sent to the model"
        return None if count == is_first else f"a frame {reason} is not reported once in a stream"

    def _measure_gap(self, timestamp_ms: int | None, samples: int) -> None:
        """Measure from the latest frame, unless this one is late, or the clock was set back."""
        latest_ms, was_late = self._timestamp_ms, self._is_late
        self._gap_samples, self._is_late = 0, False
        if latest_ms is None or timestamp_ms is None:
            self._timestamp_ms = timestamp_ms
        elif timestamp_ms <= latest_ms:
            self._is_late = latest_ms - timestamp_ms <= _MAX_LATE_MS
            self._timestamp_ms = latest_ms if self._is_late else timestamp_ms
        else:
            self._timestamp_ms = timestamp_ms
            gap_samples = (timestamp_ms - latest_ms) * SAMPLES_PER_MS - self._frame_samples
            # What jitter has hidden so far shows with a frame in its order.
            jitter_samples = FRAME_SAMPLES // 2 if was_late else _MAX_JITTER_SAMPLES
            self._gap_samples = gap_samples + jitter_samples
        self._frame_samples = samples

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case SentAppend():
                return None if self._uplink.is_next(value) else "appended audio is not the next"
            case CallerAudioPadded():
                return self._check_padding(value, step)
            case CallerAudioDropped(samples):
                return self._check_drop(samples)
            case SentEvent():
                return self._check_event(value, step)
            case _:
                return None

    def _check_drop(self, samples: int) -> str | None:
        oldest = self._uplink.oldest_audio(samples)
        if sum(each.samples for each in oldest) != samples:
            return f"{samples} samples are dropped, which are not the oldest messages"
        if self._uplink.queued_samples <= MAX_EARLY_SAMPLES:
            return f"{samples} samples are dropped below the limit"
        kept = self._uplink.queued_samples - samples + oldest[-1].samples
        if kept <= MAX_EARLY_SAMPLES - DROPPED_SAMPLES:
            return f"{samples} samples are dropped, more than a second"
        return None

    def _check_padding(self, padding: CallerAudioPadded, step: StepRecord) -> str | None:
        was_padded, self._is_padded = self._is_padded, True
        if was_padded:
            return "a gap is padded twice"
        if not self._links.is_pcmu_stream:
            return "a stream of another format is padded"
        if padding.cause is PaddingCause.GAP:
            most = min(self._gap_samples, MAX_GAP_SAMPLES)
            is_right = isinstance(step.event, ReceivedMedia) and 0 < padding.samples <= most
        else:
            is_right = isinstance(step.event, TimeoutHandled | ReceivedSpeechStart)
            is_speaking = self._turn.is_speaking or self._turn.spoke_until_ns == step.now
            is_speaking |= self._requests.is_ambiguous  # it may or may not answer the turn
            is_right = is_right and is_speaking and self._is_silence_due(step.now)
            is_right = is_right and padding.samples == INACTIVITY_SAMPLES
        return None if is_right else f"{padding.samples} samples pad a gap that is not so long"

    def _check_event(self, event: SentEvent, step: StepRecord) -> str | None:
        """The bridge initiates cancels, corrections, its first update, requests, and an instruction
        about a caller who is blocked; a command has to ask for all other events."""
        if isinstance(event, SentCancel | SentRequest | SentDelete | SentTruncate):
            return None
        if isinstance(event, SentUpdate) and not self._links.is_session_ready:
            return None
        if isinstance(event, SentItem) and step.has_output(InterruptionBlocked):
            return None
        if self._uplink.is_next(event) or self._uplink.deferred_output(event) is not None:
            return None
        return f"{event.body.get('type')} is sent where another event is next, or none"

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        if self._uplink.frame_samples is not None:
            self._is_padded, self._last_audio_ns = False, step.now
        if not self._links.is_live:
            return None
        if self._links.is_session_ready and self._uplink.has_unsent:
            return "an event is not sent although the session is ready"
        return self._check_padding_due(step.now, step.deadline, step.event)

    def check_frame(
        self, frame: ReceivedMedia, samples: int, now: int, deadline: int | None
    ) -> str | None:
        """Note when a frame was received, which is only forwarded."""
        self._measure_gap(frame.timestamp_ms, samples)
        self._is_padded, self._last_audio_ns = False, now
        return self._check_padding_due(now, deadline, frame) if self._turn.is_speaking else None

    def _is_silence_due(self, now: int) -> bool:
        return self._timeout_ns is not None and now >= self._last_audio_ns + self._timeout_ns

    def _check_padding_due(self, now: int, deadline: int | None, event: object) -> str | None:
        if self._timeout_ns is None or not self._links.is_pcmu_stream:
            return None
        if not self._turn.is_speaking or self._is_padded or self._requests.is_ambiguous:
            return None
        is_late = isinstance(event, ReceivedSpeechStart) and self._is_silence_due(now)
        if is_late or is_later(deadline, self._last_audio_ns + self._timeout_ns):
            return "no silence is due for a caller who speaks and whose frames are missing"
        return None


class DownlinkAudio(Invariant):
    """The caller hears the audio of responses that were not interrupted, and clips, once, in order
    and without delay; after a `clear` no audio of an interrupted response is sent.

    Only the start of a frame is kept back. Hold audio starts when nothing else plays, and is
    cleared before anything else is sent; only an interruption clears anything else.
    """

    number = 3
    name = "Downlink audio"
    inputs = (ReceivedAudio, ReceivedAudioEnd)
    outputs = (SentMedia, SentClear)
    triggers = kinds_of(ExpectedLinks, ExpectedSpeech)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._requests, self._speech = call.links, call.requests, call.speech

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        speech = self._speech
        match value:
            case SentMedia(payload=payload):
                source = speech.source_of(payload)
                if source is None:
                    return "media has audio that is not the next of anything audible"
                if speech.playback.has_hold or is_hold(source):
                    return self._check_hold(source, step.now)
            case _:
                unplayed = speech.playback.unplayed_sources(step.now)
                if not speech.is_interrupting and not all(map(is_hold, unplayed)):
                    return "a clear cuts audio that nobody has interrupted"
        return None

    def _check_hold(self, source: SourceId, now: int) -> str | None:
        others = [each for each in self._speech.playback.unplayed_sources(now) if each != source]
        is_wrong = bool(others) if is_hold(source) else any(map(is_hold, others))
        return "hold audio and other audio are queued together" if is_wrong else None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        if self._speech.queue.has_due_clip and self._links.is_streaming and self._links.is_live:
            return "a clip is not sent although nothing else is being said"
        if self._links.is_live and not self._requests.is_ambiguous and self._keeps_back(step):
            return "audio of the model is kept back"
        if self._links.is_live and self._is_hold_late(step):
            return "hold audio does not start although all was heard"
        return None

    def _keeps_back(self, step: StepRecord) -> bool:
        """Whether more than the start of a frame is kept back, or anything of a part that ended."""
        match step.event:
            case ReceivedAudio():
                is_full = any(
                    isinstance(each, Fault) and each.kind is FaultKind.OVERFLOW
                    for each in step.values
                )
                return self._speech.queue.unsent_samples() >= FRAME_SAMPLES and not is_full
            case ReceivedAudioEnd(_, item_id, index):
                return self._speech.queue.unsent_samples((item_id, index)) > 0
            case _:
                return False

    def _is_hold_late(self, step: StepRecord) -> bool:
        """Whether queued hold audio has to start, since the last echo confirms all audio."""
        speech = self._speech
        if speech.queue.hold is None or speech.queue.is_hold_playing or not speech.is_echo:
            return False
        return isinstance(step.event, ReceivedMark) and speech.is_all_heard


class HeardPositions(Invariant):
    """An item is truncated between what marks confirm and what was sent, and deleted only if no
    mark confirms any of it; a clip is finished once, with a position in the same bounds.

    Only items that the conversation holds are corrected. A clip is finished as soon as an echo
    confirms its end.
    """

    number = 4
    name = "Heard positions"
    inputs = (ReceivedMark,)
    outputs = (SentTruncate, SentDelete, ClipFinished)

    def __init__(self, call: ExpectedCall) -> None:
        self._uplink, self._speech = call.uplink, call.speech
        self._responses = call.responses
        self._conversation = call.conversation

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case ClipFinished():
                if self._speech.finished_clip(value) is None:
                    return "a clip is finished that was not heard so far, or was finished before"
            case SentTruncate() if self._uplink.is_initiated_by_bridge(value):
                return self._check_truncate(value, step)
            case SentDelete(item_id=item_id) if self._uplink.is_initiated_by_bridge(value):
                if item_id in self._speech.heard_items:
                    return "an item is deleted of which something was heard"
                return self._check_item(item_id)
            case _:
                pass
        return None

    def _check_truncate(self, sent: SentTruncate, step: StepRecord) -> str | None:
        part, end_ms = (sent.item_id, sent.content_index), sent.audio_end_ms
        playback = self._speech.corrected
        if step.has_output(ModelSilent):  # what was received is still to be played
            playback = self._speech.playback
        elif part in self._speech.playback.unplayed_sources(step.now):
            return "an item is truncated before its audio is cleared"
        least_ms = samples_to_ms(playback.confirmed_of(part))
        most_ms = samples_to_ms(playback.sent_of(part))
        if not least_ms <= end_ms <= most_ms:
            return f"an item is truncated at {end_ms} ms, not in {least_ms} to {most_ms} ms"
        return self._check_item(sent.item_id)

    def _check_item(self, item_id: str) -> str | None:
        is_absent = self._responses.is_out_of_band(item_id) or self._conversation.is_deleted(
            item_id
        )
        return "an item is corrected that the conversation does not hold" if is_absent else None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        if isinstance(step.event, ReceivedMark) and self._speech.is_echo:
            for each in self._speech.unfinished_clips:
                if each.is_sent and self._speech.is_confirmed_by_echo(each, whole=True):
                    return "a clip was heard to its end, which is not notified"
        return None


class PlaybackMarks(Invariant):
    """Each mark has a unique name, the end of each part has a mark, and an echo counts as heard
    exactly what was sent before its mark and not cleared.

    The start and the end of the playback of a part are notified when an echo confirms them, and the
    end of no part whose start was not.
    """

    number = 5
    name = "Playback marks"
    inputs = (ReceivedMark, ReceivedAudioEnd, Play, PressKeys)
    outputs = (SentMark, PlaybackStarted, PlaybackFinished)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._speech = call.links, call.speech
        self._names: set[str] = set()
        self._started: set[PartId] = set()
        self._finished: set[PartId] = set()

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case SentMark(name=name):
                if name in self._names:
                    return "the name of a mark was used before"
                self._names.add(name)
            case PlaybackStarted() | PlaybackFinished():
                is_whole = isinstance(value, PlaybackFinished)
                part = value.item_id, value.content_index
                is_by_clock = not isinstance(step.event, ReceivedMark) or self._starts_hold(step)
                is_confirmed = self._speech.is_confirmed_by_echo(part, whole=is_whole)
                if not (is_confirmed or is_by_clock):
                    return "audio counts as heard that the echo does not confirm"
                if is_whole is not (part in self._started):
                    return "playback starts twice, or ends without having started"
                (self._finished if is_whole else self._started).add(part)
            case _:
                pass
        return None

    def _starts_hold(self, step: StepRecord) -> bool:
        """Whether hold audio starts: what was before it must have been played, by the clock."""
        return self._speech.queue.is_hold_playing and step.has_output(SentMedia)

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        speech = self._speech
        match step.event:
            case ReceivedMark():
                for part, is_whole in speech.heard_parts() if speech.is_echo else ():
                    if part not in self._started or (is_whole and part not in self._finished):
                        return "an echo confirms audio, which is not notified"
            case ReceivedAudioEnd() | Play(until_agent_speaks=False) | PressKeys():
                playback = speech.playback
                if speech.queue.held:
                    return None
                if self._links.is_live and playback.marked_samples < playback.sent_samples:
                    return "the end of the latest audio has no mark"
            case _:
                pass
        return None
