"""The data of a call's page, as compact JSON data; times are in ms since the call's start."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from twilio_realtime_core.audio.pcmu import silence
from twilio_realtime_core.machine.units import (
    FRAME_SAMPLES,
    MS,
    samples_to_ms,
    samples_to_ns,
)
from twilio_realtime_core.values.playback_position import AudioSource

from ..what_if import WhatIf
from .answer_functions import function_time
from .call_view import CallView
from .events import ShownEvent
from .explanations import explanations_of
from .messages import Direction, MessageEntry
from .page_what_if import difference_text
from .perfetto import name_source
from .playback import AudioSpan, merge_spans
from .voices import levels_of

__all__ = ["page_data"]

_DIRECTIONS: Final = tuple(Direction)
_QUEUE_TOLERANCE_MS: Final = 3
"""The depth of the queue is drawn to a few pixels: seconds of audio in some forty of them."""
_GAP_NS: Final = 300 * MS


def page_data(
    view: CallView, messages: Sequence[MessageEntry], what_if: WhatIf | None = None
) -> dict[str, Any]:
    """Return the data that the scripts of the page draw."""
    sources = _Sources()
    playback = view.playback
    data: dict[str, Any] = {
        "duration": _ms(view.duration_ns),
        "speech": [[_ms(each.start_ns), _ms(each.end_ns)] for each in view.speech],
        "frames": _frame_runs(view.caller_frames),
        "heard": [sources.span(each) for each in playback.heard],
        "cut": [sources.span(each) for each in playback.cut],
        "sent": [sources.span(each) for each in merge_spans(playback.sent, _GAP_NS)],
        "generated": [sources.span(each) for each in merge_spans(playback.generated, _GAP_NS)],
        "queued": _thin_queue(playback.queued),
        "marks": [
            [_ms(each.sent_ns), _ms_or_none(each.echoed_ns), int(each.is_cleared), each.name[:64]]
            for each in view.marks
        ],
        "turns": [
            [_ms(each.speech_end_ns), *map(_ms_or_none, each.stages_ns)] for each in view.turns
        ],
        "functionTimes": [
            [_ms(found.start_ns), _ms(found.start_ns + found.duration_ns), found.names]
            for found in (function_time(each, view.functions) for each in view.turns)
            if found is not None
        ],
        "events": [_event(each) for each in view.events],
        "reasons": explanations_of(reason for each in view.events for reason in each.reasons),
        "functions": [
            [each.name[:80], _ms(each.requested_ns), _ms_or_none(each.answered_ns)]
            for each in view.functions
        ],
        "sessions": [
            [
                each.number,
                _ms(each.opened_ns),
                *map(_ms_or_none, (each.connected_ns, each.configured_ns, each.closed_ns)),
            ]
            for each in view.sessions
        ],
        "estimates": [
            [
                _ms(each.at_ns),
                sources.index(each.source),
                *map(samples_to_ms, (each.confirmed, each.estimated, each.sent, each.margin)),
            ]
            for each in playback.estimates
        ],
        "directions": [each.value for each in _DIRECTIONS],
        "messages": [_message(each) for each in sorted(messages, key=lambda each: each.at_ns)],
    }
    data["sources"] = sources.names
    if what_if is not None:
        data["whatIf"] = _what_if(what_if)
    if view.has_audio:
        data["callerLevels"] = levels_of(_whole_frames(view.caller_track()))
        data["agentLevels"] = levels_of(_whole_frames(view.agent_track()))
    return data


class _Sources:
    """Sources by number: their names stand once in the data."""

    def __init__(self) -> None:
        self._numbers: dict[AudioSource, int] = {}

    @property
    def names(self) -> list[str]:
        return [name_source(each)[:80] for each in self._numbers]

    def index(self, source: AudioSource) -> int:
        return self._numbers.setdefault(source, len(self._numbers))

    def span(self, span: AudioSpan) -> list[float]:
        """Start, end, source, place in the source and duration of its audio."""
        offset, samples = samples_to_ms(span.offset), samples_to_ms(span.samples)
        times = _ms(span.start_ns), _ms(span.end_ns)
        return [*times, self.index(span.source), offset, samples]


def _ms(at_ns: int) -> float:
    return round(at_ns / MS, 2)


def _ms_or_none(at_ns: int | None) -> float | None:
    return None if at_ns is None else _ms(at_ns)


def _frame_runs(frames: Iterable[tuple[int, int, bytes]]) -> list[list[float]]:
    """Return when the caller's audio arrived without a gap: start and end."""
    runs: list[list[int]] = []
    for at_ns, samples, _ in frames:
        end_ns = at_ns + samples_to_ns(samples)
        if runs and at_ns == runs[-1][1]:
            runs[-1][1] = end_ns
        else:
            runs.append([at_ns, end_ns])
    return [[_ms(start_ns), _ms(end_ns)] for start_ns, end_ns in runs]


def _thin_queue(queued: Sequence[tuple[int, int]]) -> list[list[float]]:
    """Leave out depths that follow from the ones before, since the queue drains in real time."""
    kept: list[list[float]] = []
    for at_ns, samples in queued:
        at_ms, depth_ms = _ms(at_ns), samples_to_ms(samples)
        expected_ms = max(0, kept[-1][1] - (at_ms - kept[-1][0])) if kept else 0
        if not kept or abs(depth_ms - expected_ms) > _QUEUE_TOLERANCE_MS:
            kept.append([at_ms, depth_ms])
    return kept


def _event(event: ShownEvent) -> list[Any]:
    why = [[each.decision, each.reason] for each in event.reasons]
    return [_ms(event.at_ns), event.kind.value, event.text[:400], why]


def _what_if(result: WhatIf) -> list[list[Any]]:
    """Return the steps that differ, and from when on the recording cannot tell the answers."""
    entries: list[list[Any]] = [
        [
            _ms(each.at_ns),
            "hypothetical" if each.is_hypothetical else "other",
            difference_text(each),
        ]
        for each in result.differences
    ]
    hypothetical = result.hypothetical
    if hypothetical is not None:
        entries.append([_ms(hypothetical.at_ns), "unknown", hypothetical.cause])
    return entries


def _message(entry: MessageEntry) -> list[Any]:
    why = [[each.decision, each.reason] for each in entry.reasons]
    fields: list[Any] = [
        _ms(entry.at_ns),
        _DIRECTIONS.index(entry.direction),
        entry.kind,
        entry.session,
        entry.line,
    ]
    if entry.samples:
        audio = [_ms(entry.end_ns), entry.count, samples_to_ms(entry.samples)]
        return [*fields, audio, *([why] if why else [])]
    return [*fields, entry.text, *([why] if why else [])]


def _whole_frames(track: bytes) -> bytes:
    return track + silence(-len(track) % FRAME_SAMPLES)
