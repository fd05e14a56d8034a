"""The caller's turns, and how long each took to be answered.

Turn detection gives positions in the audio that was sent to the model; here they are times again.
The position of a turn's end includes the silence that ends it, and that of its start the padding
before it (OpenAI API reference, "Realtime", server events, `input_audio_buffer.speech_started` and
`speech_stopped`, https://platform.openai.com/docs/api-reference/realtime-server-events).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any, Final, cast

from attrs import define, evolve, field, frozen

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.actions import Notify, Send
from twilio_realtime_core.machine.units import MS, samples_to_ns
from twilio_realtime_core.notifications import CallStarted
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.values.playback_position import PartKey

from .playback import AudioSpan
from .reader import ShownStep, session_number

__all__ = ["CallerSpeech", "LatencySummary", "ShownTurn", "Turns", "summarize_latencies"]

_DEFAULT_SILENCE_MS: Final = 500
_DEFAULT_PADDING_MS: Final = 300
"""The defaults of `server_vad` (OpenAI API reference, "Realtime", `session.update`,
`turn_detection`)."""

_SAMPLES_PER_MS: Final = 8


@frozen
class CallerSpeech:
    """Speech of the caller as turn detection heard it (ns). `detected_ns` is when its start was
    notified, `stopped_ns` when its end was; `None`: it had not ended."""

    item_id: str | None
    start_ns: int
    end_ns: int
    detected_ns: int
    stopped_ns: int | None


@frozen
class ShownTurn:
    """From the end of the caller's speech to the first audio that was heard (ns); `None`: it did
    not come to that.

    `requested_ns` is when the bridge requested the response, or the server started it by itself. Of
    the greeting, `speech_end_ns` and `stopped_ns` are the start of the stream.
    """

    is_greeting: bool
    item_id: str | None
    speech_end_ns: int
    stopped_ns: int
    requested_ns: int | None = None
    first_delta_ns: int | None = None
    first_heard_ns: int | None = None
    response_ids: tuple[str, ...] = ()
    """The responses to it."""

    @property
    def latency_ns(self) -> int | None:
        """From the end of speech to the first audio that was heard."""
        return None if self.first_heard_ns is None else self.first_heard_ns - self.speech_end_ns

    @property
    def stages_ns(self) -> tuple[int | None, ...]:
        """How long it took to notice the end, to request the response, to generate its first audio,
        and to have it heard."""
        moments = (
            *(self.speech_end_ns, self.stopped_ns, self.requested_ns),
            *(self.first_delta_ns, self.first_heard_ns),
        )
        return tuple(
            None if after is None or before is None else max(0, after - before)
            for before, after in pairwise(moments)
        )


@frozen
class LatencySummary:
    """The distribution of the latencies of a call's turns, in ms."""

    count: int
    shortest_ms: int
    median_ms: int
    p90_ms: int
    longest_ms: int


def summarize_latencies(turns: Sequence[ShownTurn]) -> LatencySummary | None:
    """Return the distribution; `None`: no turn of the caller was answered. The greeting does not
    count."""
    found = sorted(
        each.latency_ns for each in turns if each.latency_ns is not None and not each.is_greeting
    )
    if not found:
        return None
    middle, p90 = median(found), found[ceil(0.9 * len(found)) - 1]
    values = (round(each / MS) for each in (found[0], middle, p90, found[-1]))
    return LatencySummary(len(found), *values)


@define
class _InputAudio:
    """The audio that was sent to a session: the number of samples after each message, and when it
    was sent."""

    ends: list[int] = field(factory=list[int])
    times_ns: list[int] = field(factory=list[int])

    def append(self, samples: int, at_ns: int) -> None:
        if self.times_ns and self.times_ns[-1] == at_ns:  # it was queued, and said before that
            self.ends[-1] += samples
            return
        self.ends.append((self.ends[-1] if self.ends else 0) + samples)
        self.times_ns.append(at_ns)

    def time_of(self, position_ms: float | None, latest_ns: int) -> int:
        """Return when the bridge received the audio at a position; at most `latest_ns`."""
        if position_ms is None or not self.ends:
            return latest_ns
        position = round(position_ms * _SAMPLES_PER_MS)
        index = min(bisect_left(self.ends, position), len(self.ends) - 1)
        at_ns = self.times_ns[index] - samples_to_ns(max(0, self.ends[index] - position))
        return max(0, min(at_ns, latest_ns))


@define(eq=False)
class Turns:
    """Takes steps in order."""

    speech: list[CallerSpeech] = field(init=False, factory=list[CallerSpeech])
    _turns: list[ShownTurn] = field(init=False, factory=list[ShownTurn])
    _input: dict[int, _InputAudio] = field(init=False, factory=dict[int, _InputAudio])
    _silence_ms: float = field(init=False, default=_DEFAULT_SILENCE_MS)
    _padding_ms: float = field(init=False, default=_DEFAULT_PADDING_MS)
    _is_open: bool = field(init=False, default=False)
    """Whether the last turn can still get its response."""
    _has_started: bool = field(init=False, default=False)

    def add_step(self, step: ShownStep) -> None:
        """Take a step."""
        for action in step.actions:
            match action:
                case Send(peer, realtime.AppendAudio(audio=audio)):
                    session = self._input.setdefault(session_number(peer), _InputAudio())
                    session.append(count_samples(audio) or 0, step.at_ns)
                case Send(message=realtime.CreateResponse()) if self._is_open:
                    self._request(step.at_ns)
                case Notify(CallStarted()) if not self._has_started:
                    self._has_started = self._is_open = True
                    self._turns.append(ShownTurn(True, None, step.at_ns, step.at_ns))  # noqa: FBT003
                case _:
                    pass
        self._take_event(step)

    def _take_event(self, step: ShownStep) -> None:
        now = step.at_ns
        audio = self._input.get(session_number(step.peer), _InputAudio())
        match step.event:
            case realtime.SessionUpdatedEvent(session) | realtime.SessionCreatedEvent(session):
                self._take_turn_detection(session)
            case realtime.SpeechStartedEvent(item_id, start_ms):
                position = None if start_ms is None else start_ms + self._padding_ms
                start_ns = audio.time_of(position, now)
                self.speech.append(CallerSpeech(item_id, start_ns, now, now, None))
                self._is_open = False
            case realtime.SpeechStoppedEvent(item_id, end_ms):
                self._stop(item_id, audio.time_of(end_ms, now), now)
            case realtime.ResponseCreatedEvent(response) if (
                self._is_open and response.id and response.conversation_id is not None
            ):
                self._request(now)
                ids = (*self._turns[-1].response_ids, response.id)
                self._turns[-1] = evolve(self._turns[-1], response_ids=ids)
            case realtime.OutputAudioDeltaEvent(response_id=response_id) if self._turns:
                turn = self._turns[-1]
                if response_id in turn.response_ids and turn.first_delta_ns is None:
                    self._turns[-1] = evolve(turn, first_delta_ns=now)
                    self._is_open = False
            case _:
                pass

    def _request(self, now: int) -> None:
        if self._turns[-1].requested_ns is None:
            self._turns[-1] = evolve(self._turns[-1], requested_ns=now)

    def _stop(self, item_id: str | None, end_ns: int, now: int) -> None:
        # The silence lies within what was sent.
        end_ns = max(0, end_ns - round(self._silence_ms * MS))
        if self.speech and self.speech[-1].stopped_ns is None:
            speech = self.speech[-1]
            end_ns = max(end_ns, speech.start_ns)
            self.speech[-1] = evolve(speech, end_ns=end_ns, stopped_ns=now)
        self._turns.append(ShownTurn(False, item_id, end_ns, now))  # noqa: FBT003
        self._is_open = True

    def _take_turn_detection(self, session: Mapping[str, Any]) -> None:
        match session:
            case {"audio": {"input": {"turn_detection": {"type": "server_vad"} as detection}}}:
                known = cast("dict[str, object]", detection)
                self._silence_ms = _number(known.get("silence_duration_ms"), _DEFAULT_SILENCE_MS)
                self._padding_ms = _number(known.get("prefix_padding_ms"), _DEFAULT_PADDING_MS)
            case {"audio": {"input": {"turn_detection": _}}}:
                self._silence_ms = self._padding_ms = 0  # not known of any other kind
            case _:
                pass

    def finish(self, heard: Sequence[AudioSpan], last_ns: int) -> list[ShownTurn]:
        """Return the turns; `heard` is what was heard in the call, which ended at `last_ns`. The
        greeting is left out if nobody spoke first."""
        if self.speech and self.speech[-1].stopped_ns is None:
            self.speech[-1] = evolve(self.speech[-1], end_ns=last_ns)
        first_heard: dict[str, int] = {}
        for span in heard:
            match span.source:
                case PartKey(response_id=response_id):
                    first_heard.setdefault(response_id, span.start_ns)
                case _:
                    pass
        turns = [
            evolve(
                turn,
                first_heard_ns=min(
                    (first_heard[each] for each in turn.response_ids if each in first_heard),
                    default=None,
                ),
            )
            for turn in self._turns
        ]
        return [turn for turn in turns if not turn.is_greeting or turn.first_heard_ns is not None]


def _number(value: object, default: float) -> float:
    return value if isinstance(value, int | float) and 0 <= value <= 10_000 else default  # noqa: PLR2004
