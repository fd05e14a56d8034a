"""Twilio at the other end of a Media Stream, with a caller at the phone, as a message machine.

It dials the server, sends what Twilio sends when Twilio sends it, plays what it receives as Twilio
plays it, and so knows what the caller has heard. The caller acts by method calls or by a script
(see `caller`). Source: https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from binascii import b2a_base64
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum, unique
from functools import lru_cache
from random import Random
from typing import Final

from attrs import Factory, define, field, frozen

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import (
    ABNORMAL_CLOSURE,
    Action,
    Close,
    Notify,
    Open,
    Refusal,
    Send,
)
from twilio_realtime_core.machine.arguments import check_time
from twilio_realtime_core.machine.units import MS, ns_to_samples

from ..audio import SILENCE, silence
from ..world.silence import SilenceSource, SilentFrame
from .caller import (
    FRAME_MS_VALUES,
    MAX_SPEECH_BYTES,
    CallerAct,
    CallerHangsUp,
    CallerMutes,
    CallerPressesKey,
    CallerSays,
    CallerScript,
    CallerUnmutes,
    CallerVoice,
    Cue,
    check_frame_ms,
)
from .frame_schedule import FrameSchedule
from .player import PlayedSegment, Player
from .wire_messages import (
    WireClear,
    WireConnected,
    WireDtmf,
    WireFrame,
    WireMark,
    WireMarkEcho,
    WireMedia,
    WireStart,
    WireStop,
    decode_server_message,
    encode_frame,
)

__all__ = [
    "SERVER",
    "CueStarted",
    "PhoneDisconnected",
    "QueueCleared",
    "StreamWarning",
    "TwilioPeer",
]

SERVER: Final = "server"
"""The key of the one peer of a `TwilioPeer`."""

_FIRST_FRAME_NS = 150 * MS
_FIRST_FRAME_SPREAD_NS = 25 * MS
"""The first frames of recorded streams had timestamps of 155 and 171 ms."""

_INVALID_MESSAGE = 31950
_NONCOMPLIANT_MESSAGE = 31951
_QUEUE_OVERFLOW = 31931


# Notifications.


@frozen
class StreamWarning:
    """A warning in Twilio's log: its number there, and what it says. Each is logged once a
    stream."""

    code: int
    message: str


@frozen
class QueueCleared:
    """What a `clear` did at `at_ns`.

    `heard_bytes` bytes had been played to the end since the stream started; `discarded_bytes` were
    discarded; `mark_count` pending marks were echoed.
    """

    at_ns: int
    heard_bytes: int
    discarded_bytes: int
    mark_count: int


@frozen
class CueStarted:
    """The caller started an act of the script, which was due at `at_ns`."""

    at_ns: int
    cue: Cue


@frozen
class PhoneDisconnected:
    """The link is closed and the call is over: the close code and reason, and whether the caller
    hung up."""

    caller_hung_up: bool
    code: int
    reason: str


@unique
class _PhoneState(Enum):
    IDLE = "idle"
    DIALLING = "dialling"
    STREAMING = "streaming"
    CLOSING = "closing"
    DISCONNECTED = "disconnected"


_STATES_BEFORE_STREAM = (_PhoneState.IDLE, _PhoneState.DIALLING)


def _seeded_random(seed: int, purpose: str) -> Random:
    return Random(f"{seed} {purpose}")  # noqa: S311 - a simulation must be repeatable


@lru_cache(16)  # calls of the same seed, as all random calls are, have the same
def _draw_sid(prefix: str, seed: int) -> str:
    return f"{prefix}{_seeded_random(seed, prefix).getrandbits(128):032x}"


@lru_cache(16)
def _draw_first_frame_ns(seed: int) -> int:
    return _FIRST_FRAME_NS + _seeded_random(seed, "first frame").randrange(_FIRST_FRAME_SPREAD_NS)


@define(eq=False, kw_only=True)
class TwilioPeer(SilenceSource):
    """A `MessageMachine` with one peer, `SERVER`, which it dials.

    The same arguments and inputs give the same call. `start_delay_ns` (or a function that returns
    one each time) passes before audio is played that arrives in an empty queue; the server cannot
    measure it. The first frame comes `first_frame_ns` after the start of the stream, and any frame
    up to `jitter_ns` sooner or later. With `record_audio` the audio of both sides is kept. Each
    frame has `frame_ms` of audio, 20 as those of Twilio, or one of `FRAME_MS_VALUES`: with fewer
    and longer frames a call is simulated faster.

    The caller's methods (`say` and those below it) raise `LocalProtocolError` before the stream has
    started. Once the call is over every input is ignored. Raises `ValueError` for another
    `frame_ms`, and for a `jitter_ns` of half a frame or more, which could reorder frames.
    """

    url: str = "wss://localhost/media-stream"
    seed: int = 0
    script: Sequence[Cue] = ()
    custom_parameters: Mapping[str, str] = field(factory=dict[str, str])
    start_delay_ns: int | Callable[[], int] = 0
    first_frame_ns: int = field(
        default=Factory(lambda self: _draw_first_frame_ns(self.seed), takes_self=True)
    )
    jitter_ns: int = 2 * MS
    record_audio: bool = True
    frame_ms: int = FRAME_MS_VALUES[0]
    call_sid: str = field(default=Factory(lambda self: _draw_sid("CA", self.seed), takes_self=True))
    stream_sid: str = field(
        default=Factory(lambda self: _draw_sid("MZ", self.seed), takes_self=True)
    )
    account_sid: str = field(
        default=Factory(lambda self: _draw_sid("AC", self.seed), takes_self=True)
    )

    warnings: list[StreamWarning] = field(init=False, factory=list[StreamWarning])
    """What Twilio has logged, each code once."""
    warning_counts: dict[int, int] = field(init=False, factory=dict[int, int])
    """How often each warning occurred, by code."""
    clears: list[QueueCleared] = field(init=False, factory=list[QueueCleared])
    """What each `clear` did, in order."""

    _state: _PhoneState = field(init=False, default=_PhoneState.IDLE)
    _now: int = field(init=False, default=0)
    _stream_start_ns: int = field(init=False, default=0)
    _caller_hung_up: bool = field(init=False, default=False)
    _player: Player = field(init=False)
    _script: CallerScript = field(init=False)
    _voice: CallerVoice = field(init=False)
    _frames: FrameSchedule = field(init=False)
    _sequence_number: int = field(init=False, default=0)
    _deadline: int | None = field(init=False, default=None)
    _mark_or_cue_due_ns: int | None = field(init=False, default=None)
    """When the next mark or cue is due (ns). Frames, most of a call, do not change it."""

    def __attrs_post_init__(self) -> None:
        check_frame_ms(self.frame_ms)
        if not 0 <= self.jitter_ns < self.frame_ms * MS // 2:
            raise ValueError(
                "jitter_ns must be from 0 to less than half a frame, or frames could be reordered"
            )
        self._player = Player(self.start_delay_ns, self.record_audio)
        self._script = CallerScript(self.script)
        self._voice = CallerVoice(self.record_audio, self.frame_ms)
        self._frames = FrameSchedule(
            self.first_frame_ns, self.frame_ms, self.jitter_ns, _seeded_random(self.seed, "jitter")
        )

    # The contract of `MessageMachine`.

    @property
    def deadline(self) -> int | None:
        """When the next frame, mark or cue is due (ns)."""
        return self._deadline

    def start(self, now: int) -> list[Action]:
        """Dial the server."""
        if self._state is not _PhoneState.IDLE:
            raise LocalProtocolError("start was called twice")
        self._advance_clock(now)
        self._state = _PhoneState.DIALLING
        return [Open(SERVER, self.url)]

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Start the stream."""
        self._accept_input(peer, now)
        if self._state is not _PhoneState.DIALLING:
            return []
        self._state = _PhoneState.STREAMING
        self._stream_start_ns = now
        self._script.start(now)
        self._frames.start(now)
        self._reschedule()
        custom = dict(self.custom_parameters)
        start = WireStart(
            self._take_sequence_number(), self.stream_sid, self.account_sid, self.call_sid, custom
        )
        return [Send(SERVER, WireConnected()), Send(SERVER, start), *self._run_due(now)]

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """Handle a message from the server: play it, queue a mark, clear, or log a warning."""
        self._accept_input(peer, now)
        actions = self._run_due(now)
        if self._state is not _PhoneState.STREAMING:
            return actions
        message, fault = decode_server_message(text, self.stream_sid)
        if fault is not None:
            actions += self._log_warning(_NONCOMPLIANT_MESSAGE, fault)
        match message:
            case WireMedia(audio):
                if not self._player.enqueue_audio(audio, now):
                    actions += self._log_warning(
                        _QUEUE_OVERFLOW, "media: more than ten minutes are queued"
                    )
            case WireMark(name):
                if not self._player.enqueue_mark(name, now):
                    actions += self._log_warning(
                        _QUEUE_OVERFLOW, "mark: too many marks are pending"
                    )
            case WireClear():
                actions += self._clear_queue(now)
            case _:
                pass
        self._reschedule()
        return actions + self._run_due(now)

    def receive_binary(self, peer: Hashable, now: int) -> list[Action]:
        """Log a warning: Twilio cannot decode binary messages. (Not part of the contract of message
        machines, which is text only; call it if your link carries binary messages.)"""
        self._accept_input(peer, now)
        actions = self._run_due(now)
        if self._state is _PhoneState.STREAMING:
            actions += self._log_warning(_INVALID_MESSAGE, "a binary message")
        return actions

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """Ignore a pong: Twilio has not been seen to send pings."""
        del payload
        self._accept_input(peer, now)
        return self._run_due(now)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """End the call: the server does not take its stream."""
        return self.closed(peer, ABNORMAL_CLOSURE, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """End the call with its link. What was queued is not played, and what became due at this
        moment is not sent."""
        self._accept_input(peer, now)
        actions: list[Action] = [each for each in self._run_due(now) if isinstance(each, Notify)]
        if self._state is _PhoneState.DISCONNECTED:
            return actions
        self._state = _PhoneState.DISCONNECTED
        self._update_deadline()
        self._player.clear(now)
        return [*actions, Notify(PhoneDisconnected(self._caller_hung_up, code, reason))]

    def handle_timeout(self, now: int) -> list[Action]:
        """Send, echo and do what is due, in the order in which it became due."""
        self._advance_clock(now)
        return self._run_due(now)

    # The caller's acts.

    def say(self, audio: bytes, now: int) -> list[Action]:
        """Say µ-law `audio`, after what is still to be said, from the next frame on.

        Raises `LocalProtocolError` if more than `MAX_SPEECH_BYTES` would be left to say.
        """
        if self._voice.remaining_bytes + len(audio) > MAX_SPEECH_BYTES:
            raise LocalProtocolError(
                f"say: more than {MAX_SPEECH_BYTES} bytes would be left to say"
            )
        return self._act_now(CallerSays(audio), now)

    def press_key(self, digit: str, now: int) -> list[Action]:
        """Press a key, one of `0123456789*#ABCD` (`LocalProtocolError`: no such key)."""
        return self._act_now(CallerPressesKey(digit), now)

    def mute(self, now: int) -> list[Action]:
        """Send silence from now on; what the caller says meanwhile is lost."""
        return self._act_now(CallerMutes(), now)

    def unmute(self, now: int) -> list[Action]:
        """Send the caller's voice again."""
        return self._act_now(CallerUnmutes(), now)

    def hang_up(self, now: int) -> list[Action]:
        """End the call: send `stop`, and close the link with 1000. Nothing more is played."""
        return self._act_now(CallerHangsUp(), now)

    # The contract of `SilenceSource`.

    def take_silent_frames(self, until_ns: int) -> list[SilentFrame]:
        """Send frames of silence, while they are all that is due, and due before `until_ns`."""
        frames: list[SilentFrame] = []
        if self._state is not _PhoneState.STREAMING or self._voice.remaining_bytes:
            return frames
        if (mark_or_cue_ns := self._mark_or_cue_due_ns) is not None:
            until_ns = min(until_ns, mark_or_cue_ns)
        payload, sid = b2a_base64(self._voice.silent_frame, newline=False).decode(), self.stream_sid
        schedule = self._frames
        while (due_ns := schedule.due_ns) < until_ns:
            schedule.advance()
            stamp_ms = (due_ns - self._stream_start_ns) // MS
            self._sequence_number = sequence = self._sequence_number + 1
            frames.append((due_ns, encode_frame(sequence, sid, schedule.count, stamp_ms, payload)))
        self._update_deadline()
        self._voice.take_silence(len(frames))
        return frames

    def return_frames(self, frames: Sequence[SilentFrame]) -> None:
        """Take back the frames that were sent last: they are still to be sent."""
        self._frames.take_back(due_ns for due_ns, _ in reversed(frames))
        self._sequence_number -= len(frames)
        self._voice.return_silence(len(frames))
        self._update_deadline()

    # What was heard and said.

    @property
    def is_over(self) -> bool:
        """Whether the link is closed, and with it the call."""
        return self._state is _PhoneState.DISCONNECTED

    def heard_bytes_at(self, at_ns: int) -> int:
        """Return how many bytes of the agent's audio have been played to the end at `at_ns`, since
        the stream started; for the future, as if no more audio came."""
        return self._player.heard_bytes_at(at_ns)

    def segments(self, until_ns: int) -> list[PlayedSegment]:
        """Return what was played until `until_ns`, one segment for each run without a pause.

        Raises `LocalProtocolError` if audio is not recorded.
        """
        if not self.record_audio:
            raise LocalProtocolError("segments: the call is not recorded")
        return self._player.segments(until_ns)

    def recorded_audio(self, until_ns: int) -> tuple[bytes, bytes]:
        """Return the audio of the caller and of the agent until `until_ns`, both from the start of
        the stream, equally long, with silence where there was none.

        Raises `LocalProtocolError` if audio is not recorded.
        """
        length_samples = ns_to_samples(until_ns - self._stream_start_ns)
        agent = bytearray(silence(length_samples))
        for segment in self.segments(until_ns):
            at = ns_to_samples(segment.start_ns - self._stream_start_ns)
            agent[at : at + len(segment.audio)] = segment.audio
        # A frame holds the audio of the time before it is sent.
        silence_ns = self.first_frame_ns - self.frame_ms * MS
        caller = silence(ns_to_samples(silence_ns)) + self._voice.sent_audio
        return bytes(caller[:length_samples]).ljust(length_samples, bytes([SILENCE])), bytes(agent)

    # What is due, earliest first.

    def _run_due(self, now: int) -> list[Action]:
        actions: list[Action] = []
        while (due_ns := self.deadline) is not None and due_ns <= now:
            if due_ns != self._mark_or_cue_due_ns:
                actions.append(Send(SERVER, self._take_frame(due_ns)))
                continue
            if due_ns == self._player.next_mark_ns:
                actions += self._echo_marks(self._player.take_due_marks(due_ns))
            else:
                cue = self._script.take_cue(due_ns, self._player)
                actions += [Notify(CueStarted(due_ns, cue)), *self._perform_act(cue.act, due_ns)]
            self._reschedule()
        return actions

    def _reschedule(self) -> None:
        """Update the deadline after the queue or the script has changed."""
        due_ns = self._player.next_mark_ns, self._script.due_ns(self._player)
        self._mark_or_cue_due_ns = min((each for each in due_ns if each is not None), default=None)
        self._update_deadline()

    def _update_deadline(self) -> None:
        """Update the deadline: a mark or cue goes before a frame of the same time."""
        due_ns, mark_or_cue_ns = self._frames.due_ns, self._mark_or_cue_due_ns
        if mark_or_cue_ns is not None and mark_or_cue_ns < due_ns:
            due_ns = mark_or_cue_ns
        self._deadline = due_ns if self._state is _PhoneState.STREAMING else None

    def _take_frame(self, due_ns: int) -> WireFrame:
        self._frames.advance()
        self._update_deadline()
        was_speaking = self._voice.remaining_bytes > 0
        audio = self._voice.take_frame()
        if was_speaking and not self._voice.remaining_bytes:
            self._script.finish_speech(due_ns, self._player)
            self._reschedule()
        stamp_ms = (due_ns - self._stream_start_ns) // MS
        return WireFrame(
            self._take_sequence_number(), self.stream_sid, self._frames.count, stamp_ms, audio
        )

    def _echo_marks(self, names: list[str]) -> list[Action]:
        return [
            Send(SERVER, WireMarkEcho(self._take_sequence_number(), self.stream_sid, name))
            for name in names
        ]

    # Immediate reactions.

    def _clear_queue(self, now: int) -> list[Action]:
        discarded_bytes, marks = self._player.clear(now)
        cleared = QueueCleared(now, self._player.total_bytes, discarded_bytes, len(marks))
        self.clears.append(cleared)
        return [Notify(cleared), *self._echo_marks(marks)]

    def _log_warning(self, code: int, message: str) -> list[Action]:
        count = self.warning_counts[code] = self.warning_counts.get(code, 0) + 1
        if count > 1:
            return []
        warning = StreamWarning(code, message)
        self.warnings.append(warning)
        return [Notify(warning)]

    def _act_now(self, act: CallerAct, now: int) -> list[Action]:
        if self._state in _STATES_BEFORE_STREAM:
            raise LocalProtocolError("the caller cannot act before the stream has begun")
        self._advance_clock(now)
        actions = self._run_due(now)
        return actions + (
            self._perform_act(act, now) if self._state is _PhoneState.STREAMING else []
        )

    def _perform_act(self, act: CallerAct, now: int) -> list[Action]:
        match act:
            case CallerHangsUp():
                return self._hang_up(now)
            case CallerPressesKey(digit):
                return [
                    Send(SERVER, WireDtmf(self._take_sequence_number(), self.stream_sid, digit))
                ]
            case CallerSays(audio):
                self._voice.enqueue(audio)
            case _:
                self._voice.is_muted = isinstance(act, CallerMutes)
        return []

    def _hang_up(self, now: int) -> list[Action]:
        self._state = _PhoneState.CLOSING
        self._update_deadline()
        self._caller_hung_up = True
        self._player.clear(now)
        stop = WireStop(
            self._take_sequence_number(), self.stream_sid, self.account_sid, self.call_sid
        )
        return [Send(SERVER, stop), Close(SERVER, 1000, "")]

    def _take_sequence_number(self) -> int:
        """Return the next sequence number, which messages of all kinds share."""
        self._sequence_number += 1
        return self._sequence_number

    def _accept_input(self, peer: Hashable, now: int) -> None:
        if peer != SERVER:
            raise LocalProtocolError("a Twilio peer has one peer, SERVER")
        if self._state is _PhoneState.IDLE:
            raise LocalProtocolError("the call has not been started")
        self._advance_clock(now)

    def _advance_clock(self, now: int) -> None:
        if type(now) is not int or now < self._now:
            check_time(now, self._now)
        self._now = now
