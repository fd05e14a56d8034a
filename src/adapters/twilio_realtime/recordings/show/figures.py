"""The figures of a call, for programs."""

from typing import Any

import attrs

from twilio_realtime_core.machine.units import MS

from .call_view import CallView
from .events import ShownEventKind
from .findings import find_moments
from .transcript import TranscriptEntry
from .turns import ShownTurn

__all__ = ["call_figures"]

_STAGES = ("noticed_ms", "requested_ms", "generated_ms", "heard_ms")


def call_figures(view: CallView) -> dict[str, Any]:
    """Return the figures of a call as JSON data; times are in ms since the call's start."""
    latency = view.latency
    return {
        "event": "shown",
        "recorded_at": view.recorded_at,
        "duration_ms": _ms(view.duration_ns),
        "recording": view.ending.value,
        "end_reason": view.end_reason,
        "notices": list(view.notices),
        "has_audio": view.has_audio,
        "interruptions": view.count(ShownEventKind.INTERRUPTION),
        "faults": view.count(ShownEventKind.FAULT),
        "warnings": view.count(ShownEventKind.WARNING),
        "latency_ms": None
        if latency is None
        else {
            "turns": latency.count,
            "shortest": latency.shortest_ms,
            "median": latency.median_ms,
            "p90": latency.p90_ms,
            "longest": latency.longest_ms,
        },
        "turns": [_turn(each) for each in view.turns],
        "speech": [_speech(each) for each in view.transcript],
        "events": [
            {
                "at_ms": _ms(each.at_ns),
                "kind": each.kind.value,
                "text": each.text,
                "why": [attrs.asdict(reason) for reason in each.reasons],
            }
            for each in view.events
        ],
        "findings": [{"at_ms": _ms(each.at_ns), "text": each.text} for each in find_moments(view)],
        "functions": [
            {
                "at_ms": _ms(each.requested_ns),
                "name": each.name,
                "output_at_ms": None if each.answered_ns is None else _ms(each.answered_ns),
            }
            for each in view.functions
        ],
    }


def _ms(at_ns: int) -> float:
    return round(at_ns / MS, 3)


def _turn(turn: ShownTurn) -> dict[str, Any]:
    stages = zip(_STAGES, turn.stages_ns, strict=True)
    return {
        "is_greeting": turn.is_greeting,
        "speech_end_ms": _ms(turn.speech_end_ns),
        **{name: None if each is None else _ms(each) for name, each in stages},
        "latency_ms": None if turn.latency_ns is None else _ms(turn.latency_ns),
    }


def _speech(entry: TranscriptEntry) -> dict[str, Any]:
    """An entry without its words: figures are for logs and tables."""
    return {
        "speaker": entry.speaker.value,
        "at_ms": _ms(entry.at_ns),
        "end_ms": _ms(entry.end_ns),
        "heard_ms": entry.heard_ms,
        "sent_ms": entry.sent_ms,
        "is_cut": entry.is_cut,
    }
