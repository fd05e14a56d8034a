"""Twilio at the other end of a Media Stream, with a caller at the phone, as a message machine.

It dials the server, sends what Twilio sends at the times Twilio does, plays what it gets as Twilio
plays it, and so knows what the caller has heard. The caller acts by method calls or by a script
(see `caller`). Source: Twilio documentation, "Media Streams - WebSocket Messages".
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum, unique
from random import Random
from typing import Final

from attrs import Factory, define, field, frozen

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Close, Notify, Open, Send
from twilio_realtime_core.machine.units import FRAME_SAMPLES, MS, ns_to_samples, samples_to_ns

from ..audio import SILENCE, silence
from .caller import SPEECH_LIMIT, Act, Cue, HangUp, Mute, Press, Say, Script, Unmute, Voice
from .player import Player, Segment
from .wire_messages import Clear, Connected, Dtmf, Frame, Mark, MarkEcho, Media, Start, Stop, read

__all__ = [
    "SERVER",
    "CallOver",
    "Cleared",
    "CueTaken",
    "StreamWarning",
    "TwilioPeer",
]

SERVER: Final = "server"
"""The one peer of a `TwilioPeer`."""

_FRAME_NS = samples_to_ns(FRAME_SAMPLES)
_FIRST_FRAME_NS = 150 * MS
_FIRST_FRAME_SPREAD_NS = 25 * MS
"""The first frames of recorded streams were stamped 155 and 171 ms."""

_BINARY = 31950
_NOT_COMPLIANT = 31951
_OVERFLOW = 31931


# Notifications.


@frozen
class StreamWarning:
    """A warning in Twilio's log, by its number there. Each is logged once a stream."""

    code: int
    message: str


@frozen
class Cleared:
    """What a `clear` did at `at_ns`.

    `heard` bytes had been played to the end since the stream began; `discarded` were thrown away;
    `marks` that waited were echoed.
    """

    at_ns: int
    heard: int
    discarded: int
    marks: int


@frozen
class CueTaken:
    """The caller began an act of the script, which was due at `at_ns`."""

    at_ns: int
    cue: Cue


@frozen
class CallOver:
    """The link is closed. `code` is the close code; `hung_up`: the caller ended the call."""

    hung_up: bool
    code: int
    reason: str


@unique
class _Stage(Enum):
    IDLE = "idle"
    DIALLING = "dialling"
    STREAMING = "streaming"
    CLOSING = "closing"
    OVER = "over"


_BEFORE_THE_STREAM = (_Stage.IDLE, _Stage.DIALLING)


def _random(seed: int, purpose: str) -> Random:
    return Random(f"{seed} {purpose}")  # noqa: S311 - a simulation must repeat itself


def _draw_sid(prefix: str, seed: int) -> str:
    return f"{prefix}{_random(seed, prefix).getrandbits(128):032x}"


def _draw_first_frame(seed: int) -> int:
    return _FIRST_FRAME_NS + _random(seed, "first frame").randrange(_FIRST_FRAME_SPREAD_NS)


@define(eq=False, kw_only=True)
class TwilioPeer:
    """A `MessageMachine` with one peer, `SERVER`, which it dials.

    The same arguments and inputs give the same call. `start_delay` (ns, or called for each value)
    passes before audio is played that arrives when nothing is; the server has no means to see it.
    `first_frame_ns` is how long after the stream's begin the first frame comes, and `jitter_ns`
    how much sooner or later any frame may (`ValueError`: 10 ms or more, which could reorder them).
    With `record` the audio of both sides is kept.

    The caller's methods (`say` and on) raise `LocalProtocolError` before the stream has begun.
    Once the call is over every input is ignored.
    """

    url: str = "wss://localhost/media-stream"
    seed: int = 0
    script: Sequence[Cue] = ()
    custom_parameters: Mapping[str, str] = field(factory=dict[str, str])
    start_delay: int | Callable[[], int] = 0
    first_frame_ns: int = field(
        default=Factory(lambda self: _draw_first_frame(self.seed), takes_self=True)
    )
    jitter_ns: int = 2 * MS
    record: bool = True
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
    """How often there was reason to, by code."""
    clears: list[Cleared] = field(init=False, factory=list[Cleared])
    """What each `clear` did, in order."""

    _stage: _Stage = field(init=False, default=_Stage.IDLE)
    _now: int = field(init=False, default=0)
    _began_ns: int = field(init=False, default=0)
    _hung_up: bool = field(init=False, default=False)
    _player: Player = field(init=False)
    _script: Script = field(init=False)
    _voice: Voice = field(init=False)
    _jitter: Random = field(init=False)
    _sequence: int = field(init=False, default=0)
    _frames: int = field(init=False, default=0)
    _frame_due_ns: int = field(init=False, default=0)
    _other_due_ns: int | None = field(init=False, default=None)
    """When the next mark or cue is due. Frames, most of a call, leave it as it is."""

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.jitter_ns < _FRAME_NS // 2:
            raise ValueError("jitter_ns would reorder frames: not from 0 to under 10 ms")
        self._player = Player(self.start_delay, self.record)
        self._script = Script(self.script)
        self._voice = Voice(self.record)
        self._jitter = _random(self.seed, "jitter")

    # The contract of `MessageMachine`.

    @property
    def deadline(self) -> int | None:
        """When the next frame, mark or cue is due (ns)."""
        if self._stage is not _Stage.STREAMING:
            return None
        frame, other = self._frame_due_ns, self._other_due_ns
        return frame if other is None or frame < other else other

    def start(self, now: int) -> list[Action]:
        """Dial the server."""
        if self._stage is not _Stage.IDLE:
            raise LocalProtocolError("the call has been started already")
        self._tell_time(now)
        self._stage = _Stage.DIALLING
        return [Open(SERVER, self.url)]

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """The stream begins."""
        self._check(peer, now)
        if self._stage is not _Stage.DIALLING:
            return []
        self._stage = _Stage.STREAMING
        self._began_ns = now
        self._script.begin(now)
        self._look_ahead()
        self._schedule_frame(0)
        custom = dict(self.custom_parameters)
        start = Start(self._number(), self.stream_sid, self.account_sid, self.call_sid, custom)
        return [Send(SERVER, Connected()), Send(SERVER, start), *self._catch_up(now)]

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message of the server: play it, mark it, clear, or log a warning."""
        self._check(peer, now)
        actions = self._catch_up(now)
        if self._stage is not _Stage.STREAMING:
            return actions
        message, wrong = read(text, self.stream_sid)
        if wrong is not None:
            actions += self._warn(_NOT_COMPLIANT, wrong)
        match message:
            case Media(audio):
                if not self._player.add(audio, now):
                    actions += self._warn(_OVERFLOW, "media: more than ten minutes are queued")
            case Mark(name):
                if not self._player.mark(name, now):
                    actions += self._warn(_OVERFLOW, "mark: too many marks wait")
            case Clear():
                actions += self._clear(now)
            case _:
                pass
        self._look_ahead()
        return actions + self._catch_up(now)

    def receive_binary(self, peer: Hashable, now: int) -> list[Action]:
        """A binary message has come, which Twilio cannot decode. (Not part of the contract of
        machines, which knows text alone: for whoever carries the link and sees one.)"""
        self._check(peer, now)
        actions = self._catch_up(now)
        if self._stage is _Stage.STREAMING:
            actions += self._warn(_BINARY, "a binary message")
        return actions

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """Of no interest: Twilio has not been seen to send pings."""
        del payload
        self._check(peer, now)
        return self._catch_up(now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """The link is gone, and the call is over. What was queued is not played, and what came due
        at this moment is not sent any more."""
        self._check(peer, now)
        due = self._catch_up(now)
        actions: list[Action] = [each for each in due if isinstance(each, Notify)]
        if self._stage is _Stage.OVER:
            return actions
        self._stage = _Stage.OVER
        self._player.clear(now)
        return [*actions, Notify(CallOver(self._hung_up, code, reason))]

    def handle_timeout(self, now: int) -> list[Action]:
        """Send, echo and do what is due, in the order it came due."""
        self._tell_time(now)
        return self._catch_up(now)

    # What the caller does.

    def say(self, audio: bytes, now: int) -> list[Action]:
        """Say µ-law `audio`, after what is still being said; from the next frame on.

        `LocalProtocolError`: more than `SPEECH_LIMIT` bytes would wait.
        """
        if self._voice.remaining + len(audio) > SPEECH_LIMIT:
            raise LocalProtocolError(f"say: more than {SPEECH_LIMIT} bytes would wait")
        return self._act(Say(audio), now)

    def press(self, digit: str, now: int) -> list[Action]:
        """Press a key: one of `0123456789*#ABCD` (`LocalProtocolError`: no such key)."""
        return self._act(Press(digit), now)

    def mute(self, now: int) -> list[Action]:
        """Send silence from now on; what is said meanwhile is lost."""
        return self._act(Mute(), now)

    def unmute(self, now: int) -> list[Action]:
        """Send the caller's voice again."""
        return self._act(Unmute(), now)

    def hang_up(self, now: int) -> list[Action]:
        """End the call: `stop`, and the link is closed with 1000. Nothing more is played."""
        return self._act(HangUp(), now)

    # What the caller has heard and said.

    @property
    def over(self) -> bool:
        """Whether the link is closed, and so the call over."""
        return self._stage is _Stage.OVER

    def heard_at(self, when: int) -> int:
        """Bytes of the agent's audio played to the end at `when` (ns), since the stream began.

        The future is told as things stand, as if no more came.
        """
        return self._player.heard_at(when)

    def segments(self, until: int) -> list[Segment]:
        """What was played until `until` (ns), each stretch without a pause for itself.

        `LocalProtocolError`: the call is not recorded.
        """
        if not self.record:
            raise LocalProtocolError("segments: the call is not recorded")
        return self._player.segments(until)

    def recorded(self, until: int) -> tuple[bytes, bytes]:
        """The caller's audio and the agent's until `until` (ns), both from the stream's begin on,
        with silence where there was none, equally long (`LocalProtocolError`: not recorded)."""
        length = ns_to_samples(until - self._began_ns)
        agent = bytearray(silence(length))
        for segment in self.segments(until):
            at = ns_to_samples(segment.start_ns - self._began_ns)
            agent[at : at + len(segment.payload)] = segment.payload
        # A frame holds the 20 ms before it is sent.
        caller = silence(ns_to_samples(self.first_frame_ns - _FRAME_NS)) + self._voice.said
        return bytes(caller[:length]).ljust(length, bytes([SILENCE])), bytes(agent)

    # What is due, earliest first.

    def _catch_up(self, now: int) -> list[Action]:
        actions: list[Action] = []
        while (due := self.deadline) is not None and due <= now:
            if due != self._other_due_ns:
                actions.append(Send(SERVER, self._next_frame(due)))
                continue
            if due == self._player.next_mark_ns:
                actions += self._echo(self._player.take_due_marks(due))
            else:
                cue = self._script.take(due, self._player)
                actions += [Notify(CueTaken(due, cue)), *self._do(cue.act, due)]
            self._look_ahead()
        return actions

    def _look_ahead(self) -> None:
        """The player's queue or the script has changed."""
        mark, cue = self._player.next_mark_ns, self._script.due_ns(self._player)
        self._other_due_ns = cue if mark is None or (cue is not None and cue < mark) else mark

    def _next_frame(self, due: int) -> Frame:
        self._schedule_frame(self._frames + 1)
        spoke = self._voice.remaining > 0
        audio = self._voice.next_frame()
        if spoke and not self._voice.remaining:
            self._script.spoken(due, self._player)
            self._look_ahead()
        stamp_ms = (due - self._began_ns) // MS
        return Frame(self._number(), self.stream_sid, self._frames, stamp_ms, audio)

    def _schedule_frame(self, frames: int) -> None:
        """The next frame after `frames` of them. A stamp is a clock reading: it jitters."""
        self._frames = frames
        jitter_ns = int((2 * self._jitter.random() - 1) * self.jitter_ns)
        after_ns = self.first_frame_ns + frames * _FRAME_NS + jitter_ns
        self._frame_due_ns = self._began_ns + max(0, after_ns)

    def _echo(self, names: list[str]) -> list[Action]:
        return [Send(SERVER, MarkEcho(self._number(), self.stream_sid, name)) for name in names]

    # What is done at once.

    def _clear(self, now: int) -> list[Action]:
        discarded, marks = self._player.clear(now)
        cleared = Cleared(now, self._player.total, discarded, len(marks))
        self.clears.append(cleared)
        return [Notify(cleared), *self._echo(marks)]

    def _warn(self, code: int, message: str) -> list[Action]:
        count = self.warning_counts[code] = self.warning_counts.get(code, 0) + 1
        if count > 1:
            return []
        warning = StreamWarning(code, message)
        self.warnings.append(warning)
        return [Notify(warning)]

    def _act(self, act: Act, now: int) -> list[Action]:
        if self._stage in _BEFORE_THE_STREAM:
            raise LocalProtocolError("the caller cannot act before the stream has begun")
        self._tell_time(now)
        actions = self._catch_up(now)
        return actions + (self._do(act, now) if self._stage is _Stage.STREAMING else [])

    def _do(self, act: Act, now: int) -> list[Action]:
        match act:
            case HangUp():
                return self._hang_up(now)
            case Press(digit):
                return [Send(SERVER, Dtmf(self._number(), self.stream_sid, digit))]
            case Say(audio):
                self._voice.say(audio)
            case _:
                self._voice.muted = isinstance(act, Mute)
        return []

    def _hang_up(self, now: int) -> list[Action]:
        self._stage = _Stage.CLOSING
        self._hung_up = True
        self._player.clear(now)
        stop = Stop(self._number(), self.stream_sid, self.account_sid, self.call_sid)
        return [Send(SERVER, stop), Close(SERVER, 1000, "")]

    def _number(self) -> int:
        """The next sequence number, of messages of any kind."""
        self._sequence += 1
        return self._sequence

    def _check(self, peer: Hashable, now: int) -> None:
        if peer != SERVER:
            raise LocalProtocolError("a Twilio peer has one peer, SERVER")
        if self._stage is _Stage.IDLE:
            raise LocalProtocolError("the call has not been started")
        self._tell_time(now)

    def _tell_time(self, now: int) -> None:
        if now < self._now:
            raise LocalProtocolError("time runs backwards")
        self._now = now
