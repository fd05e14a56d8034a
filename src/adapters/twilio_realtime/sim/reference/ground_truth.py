"""What a random call is held against when it is over: what the phone has played, what the model
believes, and what both have complained of.

    truth = Truth(trouble, config)
    reply = truth.say(reply, now)  # for each that the model gives
    truth.take(command, now)  # for each command of the application
    truth.hear(name, event, now)  # for each notification of a machine
    wrong = truth.judge(phone, model, now)

The invariants see the bridge alone, and a bridge may well be at one with itself and wrong. Here it
is not asked. Each voice of a call is of bytes of its own, so what was played tells by itself whose
it is.

Judged is what nothing explains. Where rules meddle with messages, a server works slowly or a line
is too narrow, what the model believes is not.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Final

import attrs
from attrs import define, field

from twilio_realtime_core.audio.dtmf import key_tones
from twilio_realtime_core.commands import Command, HangUp, Play, PressKeys, SendEvent
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.machine.units import (
    FRAME_SAMPLES,
    MS,
    SECOND,
    samples_to_ms,
    samples_to_ns,
)
from twilio_realtime_core.protocols.realtime import DeleteItem, TruncateItem

from ..audio import silence
from ..impairments.plan import ImpairmentPlan
from ..model.conversation import StoredItem
from ..model.output_items import TOKEN_MS
from ..model.pace import Pace
from ..model.realtime_peer import RealtimePeer, SentError
from ..model.replies import Reply, ReplyItem, SpokenReply
from ..phone.caller import CallerHangsUp
from ..phone.twilio_peer import CueStarted, PhoneDisconnected, TwilioPeer
from ..world.network_direction import NetworkDirection

__all__ = ["Truth", "Wrong", "belief_bound_ns"]

Wrong = tuple[int, str]
"""The number of the invariant, 0 for none of them, and what is wrong."""

_PROBE: Final = 8
"""Bytes (1 ms) that tell a voice, and a place in it: they are random, and so nowhere twice."""

_ROUNDING_NS: Final = 2 * MS
"""The bridge tells whole milliseconds, rounded down; less than a probe is nobody's."""

_CALL_NS: Final = 10 * SECOND
"""How long a clock may have drifted since anybody could know."""

_LEARNED_NS: Final = 270 * MS
"""Of a burst that began late by nobody knows how much, a round trip after so much was played the
bridge does: it marks the first frame (20 ms), or 250 ms if it has just marked another."""

_BY_THEN_NS: Final = 500 * MS
"""How long a correction may take beside the ways that it goes: the server works through some
client events before it, 2 ms each, and items are done at once when their response is cancelled."""

_FIRST_SOUND_NS: Final = SECOND
"""The same for the first sound of a response: the server begins to send it after 430 ms."""

_UNKNOWN: Final = FRAME_SAMPLES
"""So many bytes that nobody has said tell something: where audio is cut, less than a probe of it is
left, and that is nobody's."""

_CROSSED: Final = frozenset(
    {
        # The response was done, or the server had cancelled it, while the cancel was under way.
        ("response.cancel", "response_cancel_not_active"),
        # Turn detection began a response while the request for one was under way.
        ("response.create", "conversation_already_has_active_response"),
    }
)
"""Errors that no client can avoid: two messages have crossed."""

_DELETES: Final = frozenset({"DeleteItem", "ResetHistory"})

_ASKED_FOR: Final[Mapping[tuple[str | None, str | None], frozenset[str]]] = {
    # Nobody knows of the item, or it was deleted meanwhile.
    ("conversation.item.retrieve", "item_retrieve_invalid_item_id"): frozenset({"RetrieveItem"}),
    ("conversation.item.delete", "item_delete_invalid_item_id"): _DELETES,
    ("conversation.item.truncate", "item_truncate_invalid_item_id"): _DELETES | {"TruncateItem"},
    # It is no speech, or shorter already.
    ("conversation.item.truncate", "unsupported_content_type"): frozenset({"TruncateItem"}),
    ("conversation.item.truncate", "invalid_value"): frozenset({"TruncateItem"}),
    # It answers a function call that was deleted meanwhile.
    ("conversation.item.create", "invalid_value"): _DELETES,
    # There is not enough audio to commit, or none any more.
    ("input_audio_buffer.commit", "input_audio_buffer_commit_empty"): frozenset(
        {"CommitAudio", "SendAudio"}
    ),
    # The voice stays as it is once it was heard.
    ("session.update", "cannot_update_voice"): frozenset({"UpdateSession"}),
}
"""Errors that commands of the application can lead to, and which."""


def belief_bound_ns(trouble: ImpairmentPlan) -> int | None:
    """How far the model's belief may be from what was heard, once the bridge knows how late the
    player has begun; `None`: nobody can tell.

    A line of which only the latency is known shifts audio and `clear` alike, so that no more is
    left than what is rounded. What varies delays the one and not the other, and makes a round trip
    look longer, or an echo late (docs/barge-in.md).
    """
    ways = trouble.directions
    there, back = ways["bridge to phone"], ways["phone to bridge"]
    meddled = trouble.all_rules() or trouble.stream_restart
    if meddled or there.bytes_per_second is not None or back.bytes_per_second is not None:
        return None
    drift_ns = _CALL_NS * abs(trouble.drift_ppm.get("phone", 0)) // 1_000_000
    return _ROUNDING_NS + 2 * _varies_ns(there) + _varies_ns(back) + drift_ns


@define(eq=False)
class _Voice:
    """What was said, by the model or by the application itself. Of its `audio` the phone has played
    `heard` bytes, the first at `first_ns`; the last behind `clears` clears, and when it had played
    for `run_ns` without a pause."""

    audio: bytes
    begun_ns: int = 0
    heard: int = field(init=False, default=0)
    first_ns: int = field(init=False, default=0)
    clears: int = field(init=False, default=0)
    run_ns: int = field(init=False, default=0)


_NOBODY: Final = _Voice(b"")


@define(eq=False)
class Truth:
    """What is true of one call. It has to be made before the call: what is wrong with the links may
    be over when that ends."""

    _trouble: ImpairmentPlan
    _config: CallConfig
    _bound_ns: int | None = field(init=False)
    _ways_ns: int = field(init=False)
    """What messages may take, there and back, on all ways together."""
    _at_once: bool = field(init=False)
    """Whether the model hears of corrections at once."""
    _voices: list[_Voice] = field(init=False, factory=list[_Voice])
    _own: list[_Voice] = field(init=False, factory=list[_Voice])
    _commands: Counter[str] = field(init=False, factory=Counter[str])
    _edited: set[str] = field(init=False, factory=set[str])
    """Items that the application has deleted, or truncated by itself."""
    _until_ns: int | None = field(init=False, default=None)
    """When somebody was first known to end the call."""

    def __attrs_post_init__(self) -> None:
        trouble = self._trouble
        self._bound_ns = belief_bound_ns(trouble)
        self._ways_ns = sum(
            each.latency_ns + _varies_ns(each) for each in trouble.directions.values()
        )
        narrow = trouble.directions["bridge to model"].bytes_per_second is not None
        self._at_once = not narrow and trouble.pace.client_event_ns <= Pace().client_event_ns

    # What happens.

    def say(self, reply: Reply, now: int) -> Reply:
        """The model begins a reply: the same, each speech in a voice that no other has."""

        def unique(item: ReplyItem) -> ReplyItem:
            if not isinstance(item, SpokenReply):
                return item
            audio = item.audio + silence(-len(item.audio) % (8 * TOKEN_MS))
            audio = audio.translate(_other_voice(len(self._voices) % 256))
            self._voices.append(_Voice(audio, now))
            return attrs.evolve(item, audio=audio)

        return attrs.evolve(reply, items=map(unique, reply.items))

    def take(self, command: Command, now: int) -> None:
        """The application gives a command."""
        what = command.event if isinstance(command, SendEvent) else command
        self._commands[type(what).__name__] += 1
        match what:
            case Play(audio):
                self._own.append(_Voice(audio))
            case PressKeys(keys, tone_ms, pause_ms):
                self._own.append(_Voice(key_tones(keys, tone_ms, pause_ms)))
            case DeleteItem(item_id) | TruncateItem(item_id):
                self._edited.add(item_id)
            case HangUp(after_playback=False):
                self._ends(now)
            case _:
                pass

    def hear(self, name: str, event: object, now: int) -> None:
        """A machine has notified something."""
        if name == "phone" and isinstance(event, PhoneDisconnected | CueStarted) and _is_end(event):
            self._ends(now)

    def _ends(self, now: int) -> None:
        if self._until_ns is None:
            self._until_ns = now

    # Judgement.

    def judge(self, phone: TwilioPeer, model: RealtimePeer, now: int) -> Wrong | None:
        """What is wrong with the call that was made, and is over at `now`; `None`: nothing."""
        return next(self._all_wrong(phone, model, now), None)

    def _all_wrong(self, phone: TwilioPeer, model: RealtimePeer, now: int) -> Iterator[Wrong]:
        trouble = self._trouble
        # No queue of ten seconds is full: what Twilio warns of the bridge has sent.
        if phone.warnings and not trouble.to_phone and trouble.stream_restart is None:
            yield 0, f"Twilio warns: {phone.warnings[0].message}"
        if not trouble.is_impaired("phone") and not trouble.is_impaired("model"):
            yield from ((0, _told(each)) for each in model.sent_errors if not self._excuses(each))
        if self._bound_ns is not None:
            yield from self._wrong_sound(phone, now)
            if self._at_once and not self._commands["ResetHistory"]:
                yield from self._wrong_beliefs(phone, model, self._bound_ns)

    def _excuses(self, complaint: SentError) -> bool:
        what = complaint.event_type, complaint.code
        asked_for = _ASKED_FOR.get(what, frozenset[str]())
        return what in _CROSSED or any(self._commands[each] for each in asked_for)

    # What was heard.

    def _wrong_sound(self, phone: TwilioPeer, now: int) -> Iterator[Wrong]:
        unknown = self._listen(phone, now)
        if unknown >= _UNKNOWN:
            yield 3, f"the phone has played {samples_to_ms(unknown)} ms of what nobody has said"

    def _listen(self, phone: TwilioPeer, now: int) -> int:
        """Tell whose voice it was that the phone has played. How many bytes are nobody's."""
        unknown = at = clears = 0
        ends = [each.heard_bytes for each in phone.clears]
        for segment in phone.segments(now):
            audio, begin = segment.audio, at
            while at < begin + len(audio):
                while clears < len(ends) and ends[clears] <= at:
                    clears += 1
                end = min([begin + len(audio), *ends[clears : clears + 1]])
                rest = audio[at - begin : end - begin]
                voice, size = self._whose(rest)
                if voice is None:
                    unknown += size
                else:
                    if not voice.heard:
                        voice.first_ns = segment.start_ns + samples_to_ns(at - begin)
                    voice.heard += size
                    voice.clears, voice.run_ns = clears, samples_to_ns(at - begin + size)
                at += size
        return unknown

    def _whose(self, audio: bytes) -> tuple[_Voice | None, int]:
        """Who says what this begins with, and how much of it."""
        if len(audio) < _PROBE:
            return None, len(audio)
        for voice in chain(self._voices, self._own):
            place = voice.audio.find(audio[:_PROBE])
            if place >= 0:
                return voice, _common(audio, voice.audio[place : place + len(audio)])
        return None, 1

    # What is believed.

    def _wrong_beliefs(
        self, phone: TwilioPeer, model: RealtimePeer, bound_ns: int
    ) -> Iterator[Wrong]:
        until_ns = self._last_ns - self._ways_ns
        corrected_ns = until_ns - _BY_THEN_NS
        clears = sum(each.at_ns < corrected_ns for each in phone.clears)
        silent = not any(each.heard for each in (*self._voices, *self._own))
        silent &= not self._commands["Interrupt"]  # what goes on unheard is deleted when it is done
        is_over = False
        """Whether something that comes behind the item was heard, and so nothing more of it is."""
        for item in filter(_is_spoken, reversed(model.conversation)):
            voice = self._voice_of(item)
            is_cut = voice.heard > 0 and voice.clears < clears
            if item.id in self._edited:
                pass
            elif is_over or is_cut:
                yield from self._wrong_belief(item, voice, bound_ns)
            elif (
                silent
                and item.assumed_heard_ms
                and voice.begun_ns < until_ns - self._first_sound_ns
            ):
                yield (
                    3,
                    f"the model has said {item.assumed_heard_ms} ms, and the phone has played none",
                )
            is_over |= voice.heard > 0 and voice.first_ns < corrected_ns

    def _wrong_belief(self, item: StoredItem, voice: _Voice, bound_ns: int) -> Iterator[Wrong]:
        heard_ns = samples_to_ns(voice.heard)
        if voice.run_ns < _LEARNED_NS + self._ways_ns:
            bound_ns += self._guess_ns
        if abs(item.assumed_heard_ms * MS - heard_ns) > bound_ns:
            yield 4, _apart(heard_ns // MS, item.assumed_heard_ms, bound_ns // MS)
        elif (
            not item.is_deleted
            and not item.assumed_heard_ms
            and not self._commands["CancelResponse"]
        ):
            yield 4, "the model still has an item of which the caller has heard nothing"

    def _voice_of(self, item: StoredItem) -> _Voice:
        """Whose audio an item has; that of nobody, where it has none, or none is left."""
        begin = bytes(item.audio[:_PROBE])
        found = (each for each in self._voices if begin and each.audio.startswith(begin))
        return next(found, _NOBODY)

    @property
    def _last_ns(self) -> int:
        """Until when nothing can have ended the call."""
        trouble = self._trouble
        ends = [trouble.max_session_ns, *(cut.at_ns for cut in trouble.cuts)]
        return min(ends if self._until_ns is None else [*ends, self._until_ns])

    @property
    def _first_sound_ns(self) -> int:
        """How long after a response has begun something of it is heard, or it is interrupted."""
        trouble = self._trouble
        return _FIRST_SOUND_NS + trouble.start_delay_ns + trouble.pace.interruption_ns

    @property
    def _guess_ns(self) -> int:
        """How wrong the bridge may be about a start delay that it has not learned yet."""
        return max(
            self._trouble.start_delay_ns, *self._config.start_delay_history.start_delays_ns, 0
        )


def _is_end(event: PhoneDisconnected | CueStarted) -> bool:
    return isinstance(event, PhoneDisconnected) or isinstance(event.cue.act, CallerHangsUp)


def _is_spoken(item: StoredItem) -> bool:
    return item.is_spoken


def _varies_ns(way: NetworkDirection) -> int:
    """How much longer than its latency a way may take."""
    return way.jitter_ns + sum(ends - begins for begins, ends in way.stalls)


def _apart(heard_ms: int, believed_ms: int, bound_ms: int) -> str:
    return (
        f"the caller has heard {heard_ms} ms of an item, and the model believes {believed_ms} ms, "
        f"where no more than {bound_ms} ms are uncertain"
    )


def _told(complaint: SentError) -> str:
    return f"the server refuses {complaint.event_type}: {complaint.code}"


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


@cache
def _other_voice(number: int) -> bytes:
    """A table that turns bytes into others, 256 different ones."""
    return bytes(each ^ number for each in range(256))
