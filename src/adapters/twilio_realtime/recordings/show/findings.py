"""What stands out in a call: the moments to look at first."""

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from twilio_realtime_core.machine.units import MS, SECOND

from .answer_functions import function_time
from .call_view import CallView
from .events import ShownEvent, ShownEventKind
from .explanations import explain_reason
from .turns import CallerSpeech, ShownTurn

__all__ = ["Finding", "find_moments"]

_SLOW_ANSWER_NS: Final = 1_500 * MS
"""People repeat themselves after two seconds; half a second before, an answer feels slow."""
_SLOW_FUNCTION_NS: Final = 1_500 * MS
_LONG_OVERLAP_NS: Final = 800 * MS
"""Both voices at once for longer than a word or two."""
_SHORT_SPEECH_NS: Final = 400 * MS
"""A cough is shorter, and so is a click of the line; few words are."""
_MAX_FINDINGS: Final = 20


@frozen
class Finding:
    """A moment to look at (ns), and why."""

    at_ns: int
    text: str


def find_moments(view: CallView) -> Sequence[Finding]:
    """Return the moments that stand out, in order; the first of them, if there are many."""
    found = [
        *_faults(view),
        *_slow_functions(view),
        *_slow_answers(view),
        *_overlaps(view),
        *_doubtful_interruptions(view),
    ]
    return sorted(found, key=lambda each: each.at_ns)[:_MAX_FINDINGS]


def _faults(view: CallView) -> Iterator[Finding]:
    seen: set[str] = set()
    for each in view.events:
        if each.kind is ShownEventKind.FAULT and each.text not in seen:
            seen.add(each.text)
            yield Finding(each.at_ns, f"Fault: {each.text}")


def _slow_functions(view: CallView) -> Iterator[Finding]:
    for each in view.functions:
        end_ns = view.duration_ns if each.answered_ns is None else each.answered_ns
        took = f"{(end_ns - each.requested_ns) / SECOND:.1f} s"
        if each.answered_ns is None:
            text = f"The function {each.name} has no output until the end, {took} later"
            yield Finding(each.requested_ns, text)
        elif end_ns - each.requested_ns >= _SLOW_FUNCTION_NS:
            yield Finding(each.requested_ns, f"The function {each.name} took {took}")


def _slow_answers(view: CallView) -> Iterator[Finding]:
    for turn in view.turns:
        latency_ns = turn.latency_ns
        if latency_ns is not None and latency_ns >= _SLOW_ANSWER_NS and not turn.is_greeting:
            text = f"The answer was heard {latency_ns / SECOND:.1f} s after the caller had stopped"
            yield Finding(turn.speech_end_ns, f"{text}, {_slowest_stage(view, turn)}")


def _slowest_stage(view: CallView, turn: ShownTurn) -> str:
    noticed, requested, generated, played = (each or 0 for each in turn.stages_ns)
    stages = {"noticing the end": noticed, "requesting the response": requested}
    functions = function_time(turn, view.functions)
    if functions is not None:
        generated -= functions.duration_ns
        stages[f"the function {functions.names}"] = functions.duration_ns
    stages |= {"its first audio": generated, "playing it": played}
    longest = max(stages, key=lambda each: stages[each])
    return f"{stages[longest] / SECOND:.1f} s of it for {longest}"


def _overlaps(view: CallView) -> Iterator[Finding]:
    for speech in view.speech:
        both_ns = sum(
            max(0, min(speech.end_ns, span.end_ns) - max(speech.start_ns, span.start_ns))
            for span in view.playback.heard
        )
        refusal = _refusal(view, speech)
        if refusal is not None and both_ns >= _SHORT_SPEECH_NS:
            why = " ".join(map(explain_reason, refusal.reasons)) or f"{refusal.text}."
            both = f"both were heard for {both_ns / SECOND:.1f} s"
            yield Finding(refusal.at_ns, f"An interruption was refused, and {both}. {why}")
        elif both_ns >= _LONG_OVERLAP_NS:
            text = f"The agent and the caller were both heard for {both_ns / SECOND:.1f} s"
            yield Finding(speech.start_ns, text)


def _refusal(view: CallView, speech: CallerSpeech) -> ShownEvent | None:
    """The first event of some speech by which it did not interrupt the agent."""
    last_ns = speech.end_ns if speech.stopped_ns is None else speech.stopped_ns
    for each in view.events:
        if each.kind is ShownEventKind.HELD and speech.start_ns <= each.at_ns <= last_ns:
            return each
    return None


def _doubtful_interruptions(view: CallView) -> Iterator[Finding]:
    words = {each.item_id: each.heard for each in view.transcript if each.item_id}
    has_words = any(words.get(each.item_id or "") for each in view.speech)
    for each in view.events:
        if each.kind is not ShownEventKind.INTERRUPTION or "the caller" not in each.text:
            continue
        speech = next((one for one in reversed(view.speech) if one.start_ns <= each.at_ns), None)
        if speech is None or speech.stopped_ns is None:
            continue
        length_ns = speech.end_ns - speech.start_ns
        if length_ns < _SHORT_SPEECH_NS:
            ms = round(length_ns / MS)
            text = f"{ms:,} ms of sound interrupted the agent: perhaps noise, and no speech"
            yield Finding(each.at_ns, text)
        elif has_words and not words.get(speech.item_id or ""):
            text = "What interrupted the agent has no words: perhaps noise, and no speech"
            yield Finding(each.at_ns, text)
