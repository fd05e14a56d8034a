"""What a recording shows of a call: everything that its page, its story and its figures need."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from attrs import define, field

from twilio_realtime_core.machine.actions import Notify
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ns
from twilio_realtime_core.notifications import CallEnded, EndReason

from ..inputs import STEP_ERRORS
from .events import FunctionSpan, MarkSpan, SessionSpan, ShownEvent, ShownEventKind, ShownEvents
from .playback import Playback
from .reader import RecordingEnding, RecordingReader, ShownStep
from .transcript import TranscriptEntry, Transcripts
from .turns import CallerSpeech, LatencySummary, ShownTurn, Turns, summarize_latencies
from .voices import CallerTrack, place_audio

__all__ = ["CallView", "view_call"]

StepObserver: TypeAlias = Callable[[ShownStep], object]


@define(eq=False, kw_only=True)
class CallView:
    """A call, as its recording shows it. Times are in ns since the call's start.

    `end_reason` is why the call ended; `None`: the recording does not say. `notices` are sentences
    about the recording itself, for people.
    """

    recorded_at: str | None
    package_version: str | None
    has_audio: bool
    duration_ns: int
    ending: RecordingEnding
    end_reason: str | None
    notices: Sequence[str]
    playback: Playback
    speech: Sequence[CallerSpeech]
    turns: Sequence[ShownTurn]
    transcript: Sequence[TranscriptEntry]
    events: Sequence[ShownEvent]
    marks: Sequence[MarkSpan]
    functions: Sequence[FunctionSpan]
    sessions: Sequence[SessionSpan]
    caller_frames: Sequence[tuple[int, int, bytes]] = field(repr=False)
    """The frames of the caller: when each starts, its samples, and its audio if it was kept."""

    @property
    def latency(self) -> LatencySummary | None:
        """The distribution of the latencies of the turns."""
        return summarize_latencies(self.turns)

    def count(self, kind: ShownEventKind) -> int:
        """Count the events of a kind."""
        return sum(each.kind is kind for each in self.events)

    @property
    def _audio_ns(self) -> int:
        """When the last of both voices ends."""
        ends_ns = [each.end_ns for each in self.playback.heard[-1:]]
        ends_ns += [at_ns + samples_to_ns(samples) for at_ns, samples, _ in self.caller_frames[-1:]]
        return min(self.duration_ns, max(ends_ns, default=0))

    def caller_track(self) -> bytes:
        """The caller's voice from the start of the call to the end of the last voice, as µ-law."""
        pieces = ((at_ns, audio) for at_ns, _, audio in self.caller_frames)
        return place_audio(pieces, self._audio_ns)

    def agent_track(self) -> bytes:
        """The agent's voice as it was heard in the same time, as µ-law."""
        return place_audio(self.playback.heard_audio, self._audio_ns)


def view_call(lines: Iterable[bytes], on_step: StepObserver = lambda step: None) -> CallView:
    """Read a recording; `on_step` gets each of its steps as well.

    Raises `UsageError` for what is not a recording, or has another version of the format.
    """
    reader = RecordingReader(lines)
    playback, turns, transcripts = Playback(reader.has_audio), Turns(), Transcripts()
    events, caller = ShownEvents(), CallerTrack(reader.has_audio)
    observers = (playback, turns, transcripts, events, caller)
    last_ns, end_reason = 0, None
    for step in reader:
        try:
            for observer in observers:
                observer.add_step(step)
            on_step(step)
        except STEP_ERRORS:  # of a value whose fields are of another type than they have
            reader.ending = RecordingEnding.DAMAGED
            break
        last_ns = step.at_ns
        for action in step.actions:
            if isinstance(action, Notify) and isinstance(action.event, CallEnded):
                end_reason = EndReason(action.event.reason).value
    playback.finish()
    frames = caller.finish()
    answered = turns.finish(playback.heard, last_ns)
    frames_end_ns = frames[-1][0] + samples_to_ns(frames[-1][1]) if frames else 0
    return CallView(
        recorded_at=_text(reader.header.get("recorded_at")),
        package_version=_text(reader.header.get("package_version")),
        has_audio=reader.has_audio,
        duration_ns=max(last_ns, min(frames_end_ns, last_ns + SECOND), MS),
        ending=reader.ending,
        end_reason=end_reason,
        notices=list(_notices(reader, last_ns, events.unknown_actions)),
        playback=playback,
        speech=turns.speech,
        turns=answered,
        transcript=transcripts.finish(turns.speech, playback),
        events=events.events,
        marks=events.marks,
        functions=events.functions,
        sessions=events.sessions,
        caller_frames=frames,
    )


def _notices(reader: RecordingReader, last_ns: int, unknown_actions: int) -> Iterable[str]:
    at, line = f"{last_ns / SECOND:.2f} s", reader.ending_line
    match reader.ending:
        case RecordingEnding.CUT_OFF:
            yield f"The recording is cut off after line {line}, at {at}: the call went on."
        case RecordingEnding.DAMAGED:
            yield f"Line {line} is not a step of a recording: what follows {at} is left out."
        case RecordingEnding.UNRECORDABLE:
            what = reader.ending_detail
            yield f"The recording ends at {at}: the next step could not be recorded ({what})."
        case RecordingEnding.COMPLETE:
            pass
    if reader.differs_at is not None:
        line, at_ns = reader.differs_at
        yield (
            f"From {at_ns / SECOND:.2f} s (line {line}) on, this version of the program acts "
            "otherwise than the one that was recorded: estimates without marks are rough there."
        )
    if unknown_actions:
        yield f"{unknown_actions} actions of another version of the program are left out."
    if not reader.has_audio:
        yield "The recording has no audio: voices are shown, and cannot be played."


def _text(value: Any) -> str | None:
    return value[:64] if isinstance(value, str) else None
