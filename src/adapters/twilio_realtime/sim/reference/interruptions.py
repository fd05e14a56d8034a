"""What is always true of an interruption: it does all that it has to, in one step."""

from typing import Any, Final

from twilio_realtime_core.commands import Interrupt
from twilio_realtime_core.machine.actions import Close
from twilio_realtime_core.machine.units import MS, samples_to_ms
from twilio_realtime_core.notifications import Interrupted, InterruptionBlocked
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    DeleteItem,
    OutputItemDoneEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
    TruncateItem,
)
from twilio_realtime_core.protocols.twilio import Clear, MarkEvent
from twilio_realtime_core.values.block_cause import BlockCause

from .facts import Facts
from .sent_audio import Own, yields
from .step_record import Invariant, TimedOut, Told, is_later, value_of

__all__ = ["Attempts", "Cancels", "Corrections"]

_STOPS: Final = (Clear, Interrupted)
"""What shows that something was interrupted, in a step that may interrupt."""


class Attempts(Invariant):
    """`Interrupt` stops all that is to be heard, at once; and so does a caller who speaks, once the
    policy has him judged, unless he is blocked for a cause that the policy knows, and that may be
    so. What a predicate says is left to the bridge."""

    number = 3
    inputs = (Interrupt, SpeechStartedEvent, SpeechStoppedEvent, TimedOut, MarkEvent)

    def __init__(self, facts: Facts) -> None:
        self._line, self._asks, self._speech = facts.line, facts.asks, facts.speech
        self._policy = facts.config.interruption
        self._judged_at: int | None = None
        """When the caller who speaks is to be judged, if he has not been (ns)."""
        self._protects = self._policy.protect_first
        """The agent's first words may still have to be heard."""
        self._recent: list[int] = []
        """When callers have interrupted (ns)."""

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        if not self._line.live:
            return None
        match told.event:
            case Interrupt():
                return self._judge_stop(told)
            case SpeechStartedEvent():
                self._judged_at = due = told.now + self._policy.after_speech_ms * MS
                if due > told.now and is_later(told.deadline, due):
                    return "a caller speaks, and may be judged later than the policy says"
            case SpeechStoppedEvent():
                late = self._judged_at is not None and self._judged_at < told.now
                self._judged_at = None
                return "a caller who has spoken for long enough is not judged" if late else None
            case MarkEvent():
                return None
            case _:  # TimedOut
                if any(isinstance(each, Close) for each in told.outputs):
                    return None  # which of two timers that were due came first, is not known
        if self._judged_at is None or told.now < self._judged_at:
            return None
        self._judged_at = None
        return self._judge_attempt(told)

    def after(self, told: Told) -> str | None:
        """Judge the step: it may have been the last of the agent's first words."""
        if self._protects and isinstance(told.event, MarkEvent):
            sound, speech, asks = self._speech.sound, self._speech, self._asks
            said = any(not yields(key) for key, _ in sound.runs)
            silent = sound.sent == sound.confirmed and speech.idle and speech.hold is None
            free = asks.free and not asks.waiting and not asks.vague
            self._protects = not (said and silent and free)
        return None

    def _judge_attempt(self, told: Told) -> str | None:
        told_of = [value_of(each) for each in told.outputs]
        for each in told_of:
            if isinstance(each, InterruptionBlocked):
                right = self._may_block(each.cause, told.now)
                return None if right else f"a caller is blocked without a cause: {each.cause.value}"
        if any(isinstance(each, (*_STOPS, CancelResponse)) for each in told_of):
            if not self._policy.allowed or self._at_limit(told.now):
                return "a caller interrupts whom the policy blocks"
            self._recent.append(told.now)
        return self._judge_stop(told)

    def _judge_stop(self, told: Told) -> str | None:
        unheard = self._speech.sound.unheard(told.now)
        if unheard and not _holds(told, Clear):
            return "somebody interrupts, and the sound goes on"
        # A response that begins may have been stopped already, where that is left open.
        stopped = self._speech.stoppable and not self._asks.vague
        cut = stopped or any(not isinstance(each, Own) for each in unheard)
        if cut and not _holds(told, Interrupted):
            return "somebody interrupts the agent, and nobody is told"
        return None

    def _may_block(self, cause: BlockCause, now: int) -> bool:
        policy = self._policy
        match cause:
            case BlockCause.NEVER:
                return not policy.allowed
            case BlockCause.FIRST_WORDS:
                return self._protects
            case BlockCause.LITTLE_HEARD:
                return self._speech.least_heard_ms(now) < policy.after_heard_ms
            case BlockCause.LIMIT:
                return self._at_limit(now)
            case BlockCause.APPLICATION:
                return policy.predicate is not None
            case _:  # whoever has spoken for a short time is judged when he stops
                return False

    def _at_limit(self, now: int) -> bool:
        limit = self._policy.limit
        if limit is None:
            return False
        return sum(each > now - limit.per_ms * MS for each in self._recent) >= limit.count


class Corrections(Invariant):
    """An interruption makes the model's memory what the caller heard, in the same step: each part
    that it cuts is truncated, or its item deleted. An item that is still being generated, and of
    which no mark confirms anything, may wait until it is done; then it is deleted, and so is each
    item of an interrupted response of which nothing was ever sent. All this holds for items that
    the history holds and that no command deletes."""

    number = 4
    inputs = (Interrupt, SpeechStartedEvent, TimedOut, OutputItemDoneEvent)

    def __init__(self, facts: Facts) -> None:
        self._line, self._asks = facts.line, facts.asks
        self._speech, self._history = facts.speech, facts.history
        self._done: set[str] = set()
        """Messages that are done."""
        self._unheard: set[str] = set()
        """Items that were cut and are to be deleted once they are done."""

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        if not self._line.live:
            return None
        match told.event:
            case OutputItemDoneEvent(response_id, item):
                if item.type == "message" and not self._speech.is_outside(item.id):
                    return self._judge_done(response_id, item.id, told)
            case _:
                if _holds(told, *_STOPS) and self._speech.interrupting:
                    return self._judge_cut(told)
        return None

    def _judge_done(self, response_id: str, item_id: str, told: Told) -> str | None:
        first = item_id not in self._done
        self._done.add(item_id)
        unheard = item_id in self._unheard or item_id not in self._speech.sent_items
        if not first or not unheard or not self._speech.is_stopped(response_id):
            return None
        if self._is_gone(item_id) or item_id in _deleted(told):
            return None
        return None if self._asks.vague else "an item of which nothing was heard stays"

    def _judge_cut(self, told: Told) -> str | None:
        deleted, sound = _deleted(told), self._speech.sound
        truncated = {
            (each.item_id, each.content_index): each.audio_end_ms
            for each in map(value_of, told.outputs)
            if isinstance(each, TruncateItem)
        }
        if not _holds(told, Clear):
            for key, heard_ms in truncated.items():
                if heard_ms < samples_to_ms(sound.sent_of(key)):
                    return "all counts as played, and an item is truncated before its end"
        for key in self._speech.cut(told.now):
            item_id = key[0]
            right = key in truncated or item_id in deleted or self._is_gone(item_id)
            if right or self._speech.is_outside(item_id):
                continue
            if item_id in self._speech.heard_items or item_id in self._done:
                return "an item was cut, and is neither truncated nor deleted"
            self._unheard.add(item_id)
        return None

    def _is_gone(self, item_id: str) -> bool:
        return self._history.is_deleted(item_id) or self._history.is_forgotten(item_id)


class Cancels(Invariant):
    """An interruption cancels each response of the conversation that is being generated, and each
    other that sounds, once: unless the command says that it is not to, or the server does so by
    itself when it hears the caller."""

    number = 6
    inputs = (Interrupt, SpeechStartedEvent, TimedOut)

    def __init__(self, facts: Facts) -> None:
        self._line, self._speech = facts.line, facts.speech

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        match told.event:
            case Interrupt(cancel=cancel):
                cancels = cancel and self._line.live
            case _:
                cancels = self._speech.interrupting and _holds(told, *_STOPS)
        if not cancels:
            return None
        by_itself = self._line.server_cancels and not isinstance(told.event, Interrupt)
        generating = self._speech.generating_aloud(told.now, conversation=not by_itself)
        sent = (each for each in map(value_of, told.outputs) if isinstance(each, CancelResponse))
        left = generating - {each.response_id for each in sent}
        return "a response is interrupted, and goes on being generated" if left else None


def _holds(told: Told, *kinds: type[Any]) -> bool:
    return any(isinstance(value_of(each), kinds) for each in told.outputs)


def _deleted(told: Told) -> set[str]:
    return {each.item_id for each in map(value_of, told.outputs) if isinstance(each, DeleteItem)}
