"""How a call's notifications are told: never with what is said in it, or who calls."""

from typing import TypeAlias

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioDropped,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallStarted,
    EndReason,
    Interrupted,
    KeyPressed,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
    SessionReady,
)

from .output import Field, Tone

__all__ = ["Told", "describe"]

Told: TypeAlias = tuple[str, Tone, dict[str, Field]]
"""An event's name, its tone, and its fields."""

_IN_ORDER = (EndReason.CALLER_HUNG_UP, EndReason.HUNG_UP)


def describe(event: object) -> Told | None:
    """How to tell a notification; `None`: it is not told. Transcripts are not, nor are the caller's
    keys and the stream's parameters, which may hold anything."""
    match event:
        case CallStarted(stream_sid=stream, call_sid=call):
            return "call_started", Tone.GOOD, {"call_sid": call, "stream_sid": stream}
        case SessionReady():
            return "session_ready", Tone.PLAIN, {}
        case CallerAudioDropped(samples):
            return "caller_audio_dropped", Tone.BAD, {"ms": samples // 8}
        case CallerSpeechStarted():
            return "caller_speaks", Tone.PLAIN, {}
        case CallerSpeechStopped():
            return "caller_is_silent", Tone.QUIET, {}
        case ResponseStarted(response):
            return "response_started", Tone.QUIET, {"response": response}
        case ResponseFinished(response, status):
            return "response_finished", Tone.QUIET, {"response": response, "status": status}
        case PlaybackStarted(item_id=item):
            return "playback_started", Tone.PLAIN, {"item": item}
        case PlaybackFinished(item_id=item):
            return "playback_finished", Tone.QUIET, {"item": item}
        case Interrupted(cause, items):
            cut = [f"{item.item_id} heard {item.heard_ms} of {item.sent_ms} ms" for item in items]
            return "interrupted", Tone.CUT, {"cause": cause.value, "items": cut or None}
        case KeyPressed():
            return "key_pressed", Tone.PLAIN, {}
        case _:
            return _describe_trouble(event)


def _describe_trouble(event: object) -> Told | None:
    match event:
        case Fault(peer, kind, message, code):
            who = getattr(peer, "value", None)
            told = {"peer": who, "kind": kind.value, "message": message, "code": code}
            return "fault", Tone.BAD, {**told}
        case CallEnded(reason, detail):
            tone = Tone.GOOD if reason in _IN_ORDER else Tone.BAD
            return "call_ended", tone, {"reason": reason.value, "detail": detail or None}
        case _:
            return None
