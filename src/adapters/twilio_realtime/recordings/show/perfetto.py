"""A call as a trace of Chrome's Trace Event Format, which Perfetto (ui.perfetto.dev) opens.

Source: "Trace Event Format",
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

from collections.abc import Iterator
from typing import Any, Final

from twilio_realtime_core.machine.units import MS, samples_to_ms
from twilio_realtime_core.values.playback_position import AudioSource, PartKey

from .call_view import CallView
from .playback import AudioSpan, merge_spans

__all__ = ["call_trace", "name_source"]

_LANES: Final = (
    *("caller", "agent as heard", "agent, cut", "sent to Twilio", "generated", "marks"),
    *("functions", "sessions", "events"),
)
_PROCESS: Final = 1
_GAP_NS: Final = 300 * MS


def call_trace(view: CallView) -> dict[str, Any]:
    """Return the trace: a lane is a thread, the queue at Twilio a counter."""
    return {"displayTimeUnit": "ms", "traceEvents": [*_names(), *_spans(view), *_moments(view)]}


def _names() -> Iterator[dict[str, Any]]:
    for number, lane in enumerate(_LANES, 1):
        yield {
            "ph": "M",
            "pid": _PROCESS,
            "tid": number,
            "name": "thread_name",
            "args": {"name": lane},
        }


def _spans(view: CallView) -> Iterator[dict[str, Any]]:
    for speech in view.speech:
        yield _span("caller", "speech", speech.start_ns, speech.end_ns)
    playback = view.playback
    for lane, spans in (
        ("agent as heard", playback.heard),
        ("agent, cut", playback.cut),
        ("sent to Twilio", merge_spans(playback.sent, _GAP_NS)),
        ("generated", merge_spans(playback.generated, _GAP_NS)),
    ):
        yield from (_audio_span(lane, each) for each in spans)
    for mark in view.marks:
        if mark.echoed_ns is not None:
            yield _span("marks", mark.name[:64], mark.sent_ns, mark.echoed_ns)
    for function in view.functions:
        end_ns = view.duration_ns if function.answered_ns is None else function.answered_ns
        yield _span("functions", function.name, function.requested_ns, end_ns)
    for session in view.sessions:
        end_ns = view.duration_ns if session.closed_ns is None else session.closed_ns
        yield _span("sessions", f"session {session.number}", session.opened_ns, end_ns)


def _moments(view: CallView) -> Iterator[dict[str, Any]]:
    for each in view.events:
        yield {
            "ph": "i",
            "s": "t",
            "pid": _PROCESS,
            "tid": _thread("events"),
            "ts": each.at_ns / 1000,
            "name": each.kind.value,
            "args": {
                "text": each.text,
                "why": [f"{reason.decision}: {reason.reason}" for reason in each.reasons],
            },
        }
    for at_ns, samples in view.playback.queued:
        yield {
            "ph": "C",
            "pid": _PROCESS,
            "ts": at_ns / 1000,
            "name": "queued at Twilio",
            "args": {"ms": samples_to_ms(samples)},
        }


def _thread(lane: str) -> int:
    return _LANES.index(lane) + 1


def _span(lane: str, name: str, start_ns: int, end_ns: int, **details: object) -> dict[str, Any]:
    return {
        "ph": "X",
        "pid": _PROCESS,
        "tid": _thread(lane),
        "name": name,
        "ts": start_ns / 1000,
        "dur": max(0, end_ns - start_ns) / 1000,
        "args": details,
    }


def _audio_span(lane: str, span: AudioSpan) -> dict[str, Any]:
    name, ms = name_source(span.source), samples_to_ms(span.samples)
    return _span(lane, name, span.start_ns, span.end_ns, audio_ms=ms)


def name_source(source: AudioSource) -> str:
    """Return the name of a source of audio, for people."""
    if isinstance(source, PartKey):
        return source.item_id
    return f"clip {source.name}" if source.name else f"clip {source.number}"
