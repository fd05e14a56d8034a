"""The truth of a random call: what the phone has played, what the model remembers, and what both
have complained of.

    truth = GroundTruth(trouble, config)
    reply = truth.assign_voices(reply, now)  # for each reply of the model
    truth.on_command(command, now)  # for each command of the application
    truth.on_notification(name, event, now)  # for each notification of a machine
    wrong = truth.judge(phone, model, now)  # after the call

The invariants see the bridge alone, which may be consistent and wrong; here the bridge is not
asked. Each voice of a call consists of different bytes, so what was played shows whose it is.

Only what nothing explains is judged. Where rules change messages, a server is slow or a link is
narrow, the memory of the model is not judged.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Final

import attrs
from attrs import define, field

from twilio_realtime_core.commands import Command, GoAway, HangUp, Play, PressKeys, SendEvent
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.protocols.realtime import (
    DeleteItem,
    RawClientEvent,
    TruncateItem,
)

from ..audio import silence
from ..impairments.plan import ImpairmentPlan
from ..model.conversation import StoredItem
from ..model.output_items import TOKEN_MS
from ..model.pace import Pace
from ..model.realtime_peer import RealtimePeer, SentError
from ..model.replies import Reply, ReplyItem, SpokenReply
from ..phone.caller import CallerHangsUp as Leave
from ..phone.twilio_peer import CueStarted, PhoneDisconnected, TwilioPeer
from ..world.network_direction import NetworkDirection
from .tones import keypad_tones
from .units import FRAME_SAMPLES, MS, SAMPLES_PER_MS, SECOND, samples_to_ms, samples_to_ns

__all__ = ["GroundTruth", "Wrong", "belief_bound_ns"]

Wrong = tuple[int, str]
"""The number of the invariant, 0 for none of them, and what is wrong."""

_PROBE_BYTES: Final = 8
"""Bytes (1 ms) that identify a voice, and a position in it: they are random, so they occur once."""

_ROUNDING_NS: Final = 2 * MS
"""Positions are whole milliseconds, rounded down; less than a probe belongs to nobody."""

_DRIFT_NS: Final = 10 * SECOND
"""How long a clock may have drifted since the bridge could measure it."""

_LEARNING_NS: Final = 270 * MS
"""Audio of a burst after which the bridge knows its start delay, once a round trip has passed: the
first frame (20 ms) has a mark, or the audio 250 ms after another mark."""

_CORRECTION_NS: Final = 500 * MS
"""How long a correction may take, the links excepted: the server handles some client events before,
2 ms each, and ends items when their response is cancelled."""

_FIRST_AUDIO_NS: Final = SECOND
"""How long the first audio of a response may take: the server starts to send it after 430 ms."""

_UNKNOWN_SAMPLES: Final = FRAME_SAMPLES
"""Audio of nobody that counts: where audio is cut, less than a probe is left, which is nobody's."""

_CROSSED: Final = frozenset(
    {
        # The response was done, or the server had cancelled it, while the cancel was on its way.
        ("response.cancel", "response_cancel_not_active"),
        # Turn detection started a response while the request for one was on its way.
        ("response.create", "conversation_already_has_active_response"),
    }
)
"""Errors that no client can avoid: two messages have crossed."""

_DELETES: Final = frozenset({"DeleteItem", "ResetHistory"})

_EXCUSES: Final[Mapping[tuple[str | None, str | None], frozenset[str]]] = {
    # The item never existed, or was deleted before.
    ("conversation.item.retrieve", "item_retrieve_invalid_item_id"): frozenset({"RetrieveItem"}),
    ("conversation.item.delete", "item_delete_invalid_item_id"): _DELETES,
    ("conversation.item.truncate", "item_truncate_invalid_item_id"): _DELETES | {"TruncateItem"},
    # The item is not speech, or is shorter already.
    ("conversation.item.truncate", "unsupported_content_type"): frozenset({"TruncateItem"}),
    ("conversation.item.truncate", "invalid_value"): frozenset({"TruncateItem"}),
    # The item answers a function call that was deleted before.
    ("conversation.item.create", "invalid_value"): _DELETES,
    # There is not enough audio to commit.
    ("input_audio_buffer.commit", "input_audio_buffer_commit_empty"): frozenset(
        {"CommitAudio", "SendAudio"}
    ),
    # The simulated server does not know fields of a later version.
    ("response.create", "unknown_parameter"): frozenset({"unknown field"}),
    ("input_audio_buffer.commit", "unknown_parameter"): frozenset({"unknown field"}),
    # The voice cannot be changed after audio of it.
    ("session.update", "cannot_update_voice"): frozenset({"UpdateSession"}),
}
"""Errors that commands of the application can cause, and these commands."""


def belief_bound_ns(trouble: ImpairmentPlan) -> int | None:
    """Return how far the memory of the model may be from what was heard, once the bridge knows the
    start delay of the player; `None` if that is not known.

    Latency shifts audio and `clear` alike, so only rounding is left. What varies delays one of them
    and not the other, and makes a round trip look longer, or an echo late
    (docs/explanation/barge-in.md).
    """
    ways = trouble.directions
    there, back = ways["bridge to phone"], ways["phone to bridge"]
    is_changed = trouble.all_rules() or trouble.stream_restart
    if is_changed or there.bytes_per_second is not None or back.bytes_per_second is not None:
        return None
    drift_ns = _DRIFT_NS * abs(trouble.drift_ppm.get("phone", 0)) // 1_000_000
    return _ROUNDING_NS + 2 * _varies_ns(there) + _varies_ns(back) + drift_ns


@define(eq=False)
class _Voice:
    """What the model or the application says, in bytes that no other voice has."""

    audio: bytes
    started_ns: int = 0
    heard_samples: int = field(init=False, default=0)
    first_ns: int = field(init=False, default=0)
    """When the first of it was played."""
    clears: int = field(init=False, default=0)
    """How many clears were before the last of it."""
    run_ns: int = field(init=False, default=0)
    """For how long the phone had played without a pause at the last of it."""


_NOBODY: Final = _Voice(b"")


@define(eq=False)
class GroundTruth:
    """The truth of one call. Make it before the call: the impairments of links may be over when the
    call ends."""

    _trouble: ImpairmentPlan
    _config: CallConfig
    _bound_ns: int | None = field(init=False)
    _ways_ns: int = field(init=False)
    """What messages may take, there and back, on all links together."""
    _is_corrected_in_time: bool = field(init=False)
    """Whether the model receives corrections without delay."""
    _voices: list[_Voice] = field(init=False, factory=list[_Voice])
    _clips: list[_Voice] = field(init=False, factory=list[_Voice])
    _commands: Counter[str] = field(init=False, factory=Counter[str])
    _edited: set[str] = field(init=False, factory=set[str])
    """Items that the application has deleted or truncated."""
    _ending_ns: int | None = field(init=False, default=None)
    """When somebody started to end the call."""

    def __attrs_post_init__(self) -> None:
        trouble = self._trouble
        directions = trouble.directions.values()
        self._bound_ns = belief_bound_ns(trouble)
        config = self._config
        clips = (
            config.on_model_silent.clip,
            config.waiting_clip,
            config.on_session_lost.goodbye_clip,
        )
        self._clips += [_Voice(each) for each in clips if each]
        self._ways_ns = sum(each.latency_ns + _varies_ns(each) for each in directions)
        is_narrow = trouble.directions["bridge to model"].bytes_per_second is not None
        is_slow = trouble.pace.client_event_ns > Pace().client_event_ns
        self._is_corrected_in_time = not is_narrow and not is_slow

    # What happens.

    def assign_voices(self, reply: Reply, now: int) -> Reply:
        """Return a reply of the model with each speech in a voice that no other has."""

        def assign(item: ReplyItem) -> ReplyItem:
            if not isinstance(item, SpokenReply):
                return item
            audio = item.audio + silence(-len(item.audio) % (SAMPLES_PER_MS * TOKEN_MS))
            audio = audio.translate(_voice_table(len(self._voices) % 256))
            self._voices.append(_Voice(audio, now))
            return attrs.evolve(item, audio=audio)

        return attrs.evolve(reply, items=map(assign, reply.items))

    def on_command(self, command: Command, now: int) -> None:
        """Note a command of the application."""
        given = command.event if isinstance(command, SendEvent) else command
        self._commands[type(given).__name__] += 1
        if isinstance(given, RawClientEvent) or getattr(given, "extra_fields", None):
            self._commands["unknown field"] += 1
        match given:
            case Play(audio):
                self._clips.append(_Voice(audio))
            case PressKeys(keys, tone_ms, pause_ms):
                self._clips.append(_Voice(keypad_tones(keys, tone_ms, pause_ms)))
            case DeleteItem(item_id) | TruncateItem(item_id):
                self._edited.add(item_id)
            case HangUp(after_playback=False) | GoAway():
                self._note_ending(now)
            case _:
                pass

    def on_notification(self, name: str, event: object, now: int) -> None:
        """Note a notification of a machine."""
        if name == "phone" and isinstance(event, PhoneDisconnected | CueStarted) and _is_end(event):
            self._note_ending(now)

    def on_session_lost(self, now: int) -> None:
        """Note that a session is lost, which may end the call."""
        self._note_ending(now)

    def _note_ending(self, now: int) -> None:
        if self._ending_ns is None:
            self._ending_ns = now

    # Judgement.

    def judge(self, phone: TwilioPeer, models: Sequence[RealtimePeer], now: int) -> Wrong | None:
        """Return what is wrong with the call, which is over at `now`; `None` if nothing is. It had
        a model for each connection."""
        return next(self._find_wrong(phone, models, now), None)

    def _find_wrong(
        self, phone: TwilioPeer, models: Sequence[RealtimePeer], now: int
    ) -> Iterator[Wrong]:
        trouble = self._trouble
        # No queue of ten seconds overflows, so Twilio warns of what the bridge has sent.
        if phone.warnings and not trouble.to_phone and trouble.stream_restart is None:
            yield 0, f"Twilio warns: {phone.warnings[0].message}"
        if not trouble.is_impaired("phone") and not trouble.is_impaired("model"):
            yield from (
                (0, _refusal(each))
                for model in models
                for each in model.sent_errors
                if not self._excuses(each)
            )
        if self._bound_ns is not None:
            yield from self._find_unknown_audio(phone, now)
            is_known = self._is_corrected_in_time and not self._commands["ResetHistory"]
            if is_known and len(models) == 1:  # a later one knows the call as text
                yield from self._find_wrong_beliefs(phone, models[0], self._bound_ns)

    def _excuses(self, complaint: SentError) -> bool:
        error = complaint.event_type, complaint.code
        causes = _EXCUSES.get(error, frozenset[str]())
        return error in _CROSSED or any(self._commands[each] for each in causes)

    # What was heard.

    def _find_unknown_audio(self, phone: TwilioPeer, now: int) -> Iterator[Wrong]:
        unknown = self._attribute(phone, now)
        if unknown >= _UNKNOWN_SAMPLES:
            yield 3, f"the phone has played {samples_to_ms(unknown)} ms that nobody has said"

    def _attribute(self, phone: TwilioPeer, now: int) -> int:
        """Attribute what the phone has played to its voices. Returns the samples of nobody."""
        unknown = at = clears = 0
        clear_positions = [each.heard_bytes for each in phone.clears]
        for segment in phone.segments(now):
            audio, start = segment.audio, at
            while at < start + len(audio):
                while clears < len(clear_positions) and clear_positions[clears] <= at:
                    clears += 1
                end = min([start + len(audio), *clear_positions[clears : clears + 1]])
                rest = audio[at - start : end - start]
                voice, samples = self._find_voice(rest)
                if voice is None:
                    unknown += samples
                else:
                    if not voice.heard_samples:
                        voice.first_ns = segment.start_ns + samples_to_ns(at - start)
                    voice.heard_samples += samples
                    voice.clears, voice.run_ns = clears, samples_to_ns(at - start + samples)
                at += samples
        return unknown

    def _find_voice(self, audio: bytes) -> tuple[_Voice | None, int]:
        """Return the voice that audio starts with, and how many samples are of it."""
        if len(audio) < _PROBE_BYTES:
            return None, len(audio)
        for voice in chain(self._voices, self._clips):
            place = voice.audio.find(audio[:_PROBE_BYTES])
            if place >= 0:
                return voice, _common_bytes(audio, voice.audio[place : place + len(audio)])
        return None, 1

    # What the model remembers.

    def _find_wrong_beliefs(
        self, phone: TwilioPeer, model: RealtimePeer, bound_ns: int
    ) -> Iterator[Wrong]:
        until_ns = self._last_ns - self._ways_ns
        corrected_ns = until_ns - _CORRECTION_NS
        clears = sum(each.at_ns < corrected_ns for each in phone.clears)
        is_silent = not any(each.heard_samples for each in (*self._voices, *self._clips))
        # What is generated after a command to interrupt is deleted when it is done.
        is_silent &= not self._commands["Interrupt"]
        is_over = False
        """Whether something that follows the item was heard, and so nothing more of it is."""
        for item in filter(_is_spoken, reversed(model.conversation)):
            voice = self._voice_of(item)
            is_cut = voice.heard_samples > 0 and voice.clears < clears
            if item.id in self._edited:
                pass
            elif is_over or is_cut:
                yield from self._find_wrong_belief(item, voice, bound_ns)
            elif (
                is_silent
                and item.assumed_heard_ms
                and voice.started_ns < until_ns - self._first_audio_ns
            ):
                yield (
                    3,
                    f"the model has said {item.assumed_heard_ms} ms, and the phone has played none",
                )
            is_over |= voice.heard_samples > 0 and voice.first_ns < corrected_ns

    def _find_wrong_belief(self, item: StoredItem, voice: _Voice, bound_ns: int) -> Iterator[Wrong]:
        heard_ns = samples_to_ns(voice.heard_samples)
        if voice.run_ns < _LEARNING_NS + self._ways_ns:
            bound_ns += self._start_delay_error_ns
        is_kept_unheard = not item.is_deleted and not item.assumed_heard_ms
        if abs(item.assumed_heard_ms * MS - heard_ns) > bound_ns:
            yield 4, _difference(heard_ns // MS, item.assumed_heard_ms, bound_ns // MS)
        elif is_kept_unheard and not self._commands["CancelResponse"]:
            yield 4, "the model still has an item of which the caller has heard nothing"

    def _voice_of(self, item: StoredItem) -> _Voice:
        """Return the voice of an item; that of nobody if it has no audio, or none is left."""
        start = bytes(item.audio[:_PROBE_BYTES])
        found = (each for each in self._voices if start and each.audio.startswith(start))
        return next(found, _NOBODY)

    @property
    def _last_ns(self) -> int:
        """Until when nothing can have ended the call."""
        trouble = self._trouble
        ends = [trouble.max_session_ns, *(cut.at_ns for cut in trouble.cuts)]
        return min(ends if self._ending_ns is None else [*ends, self._ending_ns])

    @property
    def _first_audio_ns(self) -> int:
        """How long after the start of a response some of it is heard, or it is interrupted."""
        trouble = self._trouble
        return _FIRST_AUDIO_NS + trouble.start_delay_ns + trouble.pace.interruption_ns

    @property
    def _start_delay_error_ns(self) -> int:
        """How wrong the bridge may be about a start delay that it has not learned yet."""
        return max(
            self._trouble.start_delay_ns, *self._config.start_delay_history.start_delays_ns, 0
        )


def _is_end(event: PhoneDisconnected | CueStarted) -> bool:
    return isinstance(event, PhoneDisconnected) or isinstance(event.cue.act, Leave)


def _is_spoken(item: StoredItem) -> bool:
    return item.is_spoken


def _varies_ns(way: NetworkDirection) -> int:
    """How much longer than its latency a link may take."""
    return way.jitter_ns + sum(ends - begins for begins, ends in way.stalls)


def _difference(heard_ms: int, believed_ms: int, bound_ms: int) -> str:
    return (
        f"the caller has heard {heard_ms} ms of an item, and the model believes {believed_ms} ms, "
        f"where no more than {bound_ms} ms are uncertain"
    )


def _refusal(complaint: SentError) -> str:
    return f"the server refuses {complaint.event_type}: {complaint.code}"


def _common_bytes(one: bytes, other: bytes) -> int:
    """Return how many bytes both start with."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


@cache
def _voice_table(number: int) -> bytes:
    """Return a table that maps bytes to others, one of 256."""
    return bytes(each ^ number for each in range(256))
