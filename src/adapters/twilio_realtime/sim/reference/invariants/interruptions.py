"""The invariants of an interruption: it does all that it has to do in one step."""

from typing import Final

from twilio_realtime_core.commands import Interrupt
from twilio_realtime_core.machine.actions import Close
from twilio_realtime_core.notifications import Interrupted, InterruptionBlocked
from twilio_realtime_core.protocols.realtime import ClearInputAudio
from twilio_realtime_core.values.block_cause import BlockCause

from ..expected.call import ExpectedCall
from ..expected.playback import ExpectedClip
from ..limits import FIRST_WORDS_NS
from ..received import (
    ReceivedOutputItemDone,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
)
from ..sent import SentCancel, SentClear, SentDelete, SentTruncate
from ..step_record import Invariant, StepRecord, TimeoutHandled, is_later
from ..units import MS, samples_to_ms

__all__ = ["InterruptionCancels", "InterruptionCorrections", "InterruptionDecisions"]

_STOPS: Final = (SentClear, Interrupted)
"""Outputs that show an interruption, in a step that may interrupt."""


_MAY_END_TURN: Final = (ReceivedStart, ReceivedSession, ReceivedResponseStart, ClearInputAudio)
"""The inputs that may end a turn of a caller who was not reported to have stopped."""


class InterruptionDecisions(Invariant):
    """`Interrupt` stops all audio that is queued; so does a caller who speaks for as long as the
    policy says, unless the policy has a cause to block the interruption.

    First words that are protected are not interrupted before they were heard to their end. Both
    happen in one step, and the interruption or its block is notified. What a predicate of the
    policy returns is left to the bridge.
    """

    number = 3
    name = "Interruption decisions"
    inputs = (
        Interrupt,
        ReceivedSpeechStart,
        ReceivedSpeechStop,
        TimeoutHandled,
        *_MAY_END_TURN,
    )

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._requests, self._speech = call.links, call.requests, call.speech
        self._responses = call.responses
        self._policy = call.config.interruption
        self._due_ns: int | None = None
        """When the speech of the caller is to be evaluated, if it has not been."""
        self._interrupted_at_ns: list[int] = []
        """When the caller has interrupted."""

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        if not self._links.is_live:
            return None
        match step.event:
            case Interrupt(response_id=str(response_id)) if not step.has_output(*_STOPS):
                is_due = self._responses.is_current(response_id)
                is_due = is_due and not self._requests.is_ambiguous
                return "the response of an interruption is not interrupted" if is_due else None
            case Interrupt(response_id=str(response_id)) if self._speech.is_over(response_id):
                return "an interruption of a response that is over stops another"
            case Interrupt():
                return self._check_stop(step)
            case ReceivedSpeechStart():
                self._due_ns = due_ns = step.now + self._policy.after_speech_ms * MS
                if due_ns > step.now and is_later(step.deadline, due_ns):
                    return "the speech of a caller is evaluated later than the policy says"
            case ReceivedSpeechStop():
                is_missed = self._due_ns is not None and self._due_ns < step.now
                # A response that answers no request of ours has ended the turn.
                is_missed = is_missed and not self._requests.is_ambiguous
                self._due_ns = None
                return "the speech of a caller is not evaluated" if is_missed else None
            case TimeoutHandled():
                if step.has_output(Close):
                    return None  # it is not known which of two due timers came first
            case _:
                self._due_ns = self._due_ns if self._requests.turn.is_speaking else None
                return None
        if self._due_ns is None or step.now < self._due_ns:
            return None
        self._due_ns = None
        return self._check_attempt(step)

    def _check_attempt(self, step: StepRecord) -> str | None:
        for each in step.values:
            if isinstance(each, InterruptionBlocked):
                if self._may_block(each.cause, step.now):
                    return None
                return f"an interruption is blocked without a cause: {each.cause.value}"
        if step.has_output(*_STOPS, SentCancel):
            if not self._policy.allowed or self._is_at_limit(step.now):
                return "a caller interrupts although the policy blocks that"
            if self._are_first_words_protected(step.now):
                return "a caller interrupts the first words of the agent"
            self._interrupted_at_ns.append(step.now)
        return self._check_stop(step)

    def _check_stop(self, step: StepRecord) -> str | None:
        unplayed = self._speech.playback.unplayed_sources(step.now)
        if unplayed and not step.has_output(SentClear):
            return "an interruption does not clear the audio"
        # A response that starts may have been interrupted before, where that is ambiguous.
        is_stopped = self._responses.has_interruptible and not self._requests.is_ambiguous
        is_cut = is_stopped or any(not isinstance(each, ExpectedClip) for each in unplayed)
        if is_cut and not step.has_output(Interrupted):
            return "an interruption of the agent is not notified"
        return None

    def _may_block(self, cause: BlockCause, now: int) -> bool:
        policy = self._policy
        match cause:
            case BlockCause.NEVER:
                return not policy.allowed
            case BlockCause.FIRST_WORDS:
                return self._policy.protect_first and not self._speech.is_first_heard
            case BlockCause.LITTLE_HEARD:
                return self._speech.least_heard_ms(now) < policy.after_heard_ms
            case BlockCause.LIMIT:
                return self._is_at_limit(now)
            case BlockCause.APPLICATION:
                return policy.predicate is not None
            case _:  # speech that was too short is evaluated when it stops
                return False

    def _are_first_words_protected(self, now: int) -> bool:
        """Whether the first words are certain not to have been heard to their end."""
        is_early = now < self._speech.first_ns + FIRST_WORDS_NS
        is_certain = self._speech.is_first_generated and not self._requests.is_ambiguous
        return self._policy.protect_first and is_early and is_certain

    def _is_at_limit(self, now: int) -> bool:
        limit = self._policy.limit
        if limit is None:
            return False
        since_ns = now - limit.per_ms * MS
        return sum(each > since_ns for each in self._interrupted_at_ns) >= limit.count


class InterruptionCorrections(Invariant):
    """An interruption corrects the memory of the model in the same step: each part that it cuts is
    truncated, or its item deleted.

    An item that is being generated, and of which no mark confirms anything, is deleted when it is
    done; so is each item of an interrupted response of which nothing was sent. This holds for items
    that the conversation holds and that no command deletes.
    """

    number = 4
    name = "Interruption corrections"
    inputs = (Interrupt, ReceivedSpeechStart, TimeoutHandled, ReceivedOutputItemDone)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._requests = call.links, call.requests
        self._speech, self._conversation = call.speech, call.conversation
        self._responses = call.responses
        self._done: set[str] = set()
        """Messages that are done."""
        self._unheard: set[str] = set()
        """Items that were cut and are to be deleted when they are done."""

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        if not self._links.is_live:
            return None
        match step.event:
            case ReceivedOutputItemDone(response_id, item):
                if item.type == "message" and not self._responses.is_out_of_band(item.id):
                    return self._check_done(response_id, item.id, step)
            case _:
                if step.has_output(*_STOPS) and self._speech.is_interrupting:
                    return self._check_cut(step)
        return None

    def _check_done(self, response_id: str, item_id: str, step: StepRecord) -> str | None:
        is_new = item_id not in self._done
        self._done.add(item_id)
        is_unheard = item_id in self._unheard or item_id not in self._speech.sent_items
        if not is_new or not is_unheard or not self._responses.is_interrupted(response_id):
            return None
        if self._is_absent(item_id) or item_id in _deleted_items(step):
            return None
        return None if self._requests.is_ambiguous else "an item that was not heard is not deleted"

    def _check_cut(self, step: StepRecord) -> str | None:
        deleted, playback = _deleted_items(step), self._speech.playback
        truncated = {
            (each.item_id, each.content_index): each.audio_end_ms
            for each in step.values
            if isinstance(each, SentTruncate)
        }
        if not step.has_output(SentClear):
            for part, end_ms in truncated.items():
                if end_ms < samples_to_ms(playback.sent_of(part)):
                    return "an item is truncated before its end although all counts as played"
        for part in self._speech.cut_parts(step.now):
            item_id = part[0]
            is_corrected = part in truncated or item_id in deleted or self._is_absent(item_id)
            if is_corrected or self._responses.is_out_of_band(item_id):
                continue
            if item_id in self._speech.heard_items or item_id in self._done:
                return "an item is cut, and neither truncated nor deleted"
            self._unheard.add(item_id)
        return None

    def _is_absent(self, item_id: str) -> bool:
        conversation = self._conversation
        return conversation.is_deleted(item_id) or conversation.is_dropped_by_command(item_id)


class InterruptionCancels(Invariant):
    """An interruption cancels, once, each response of the conversation that is being generated and
    each other response that is heard.

    That is unless the command says not to, or the server does so by itself when it hears the
    caller.
    """

    number = 6
    name = "Interruption cancels"
    inputs = (Interrupt, ReceivedSpeechStart, TimeoutHandled)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._speech = call.links, call.speech
        self._responses = call.responses

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        match step.event:
            case Interrupt(cancel=cancel, response_id=None):
                is_due = cancel and self._links.is_live
            case Interrupt(cancel=cancel):
                is_due = cancel and self._links.is_live and step.has_output(*_STOPS)
            case _:
                is_due = self._speech.is_interrupting and step.has_output(*_STOPS)
        if not is_due:
            return None
        is_by_caller = not isinstance(step.event, Interrupt)
        is_by_server = self._links.turn_detection.interrupts and is_by_caller
        cut_items = [item_id for item_id, _ in self._speech.cut_parts(step.now)]
        uncancelled = self._responses.uncancelled(cut_items, in_conversation=not is_by_server)
        cancels = [each for each in step.values if isinstance(each, SentCancel)]
        cancelled = {each.response_id or "" for each in cancels}
        return "an interrupted response is not cancelled" if uncancelled - cancelled else None


def _deleted_items(step: StepRecord) -> set[str]:
    return {each.item_id for each in step.values if isinstance(each, SentDelete)}
