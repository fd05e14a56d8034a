"""Notifications as the page shows them: a name as in the log, and fields without audio or keys."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from twilio_realtime_core.errors import Fault, redact
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import (
    AgentText,
    AgentTranscript,
    CallEnded,
    CallerAudioDropped,
    CallerAudioPadded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallStarted,
    FunctionCallRequested,
    Interrupted,
    InterruptedItem,
    InterruptionBlocked,
    KeyPressed,
    ModelSilent,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SessionRestored,
    SessionRotated,
)

__all__ = ["LiveEvent", "describe_event"]

LiveEvent: TypeAlias = tuple[str, Mapping[str, Any]]
"""The name of an event and its fields, which are JSON."""

_MAX_TEXT: Final = 4_000
"""Characters of a text that are sent: minutes of speech, and what a page can show."""


def describe_event(event: object, *, with_words: bool) -> LiveEvent | None:
    """Return what the page shows of a notification, or `None`. What is said is left out without
    `with_words`; audio, pressed keys and arguments of functions always are."""
    match event:
        case CallStarted():
            return "call.started", {"call_sid": event.call_sid}
        case CallEnded():
            return "call.ended", {"reason": event.reason.value}
        case CallerTranscript() | AgentTranscript() | AgentText():
            return _describe_words(event) if with_words else None
        case Interrupted():
            items = [_describe_interrupted(each, with_words=with_words) for each in event.items]
            return "interrupted", {"cause": event.cause.value, "items": items}
        case CallerSpeechStarted(item_id=item):
            return "caller_speech.started", {"item": item}
        case CallerSpeechStopped(item_id=item):
            return "caller_speech.stopped", {"item": item}
        case PlaybackStarted():
            return "playback.started", {"item": _part(event.item_id, event.content_index)}
        case PlaybackFinished():
            return "playback.finished", {"item": _part(event.item_id, event.content_index)}
        case Fault(peer=peer, kind=kind, message=message):
            name = peer.value if isinstance(peer, Peer) else "a peer"
            return "fault", {"peer": name, "kind": kind.value, "reason": message}
        case _:
            return _describe_progress(event)


def _describe_progress(event: object) -> LiveEvent | None:
    match event:
        case SessionReady():
            return "session.ready", {}
        case SessionLost(cause=cause, retry_in_ms=retry_in_ms):
            return "session.lost", {"cause": cause.value, "retry_in_ms": retry_in_ms}
        case SessionRestored():
            return "session.restored", {}
        case SessionRotated():
            return "session.rotated", {}
        case ResponseStarted():
            return "response.started", {}
        case ResponseFinished(status=status):
            return "response.finished", {"status": None if status is None else redact(status)}
        case ResponseRefused(code=code):
            return "response.refused", {"code": None if code is None else redact(code)}
        case ModelSilent(silent_ms=silent_ms):
            return "model.silent", {"silent_ms": silent_ms}
        case FunctionCallRequested(name=name):
            return "function.requested", {"name": redact(name)}
        case KeyPressed():
            return "key.pressed", {}
        case InterruptionBlocked(cause=cause):
            return "interruption.blocked", {"cause": cause.value}
        case CallerAudioDropped(samples=samples):
            return "caller_audio.dropped", {"ms": samples // 8}
        case CallerAudioPadded(samples=samples):
            return "caller_audio.padded", {"ms": samples // 8}
        case _:
            return None


def _describe_words(event: CallerTranscript | AgentTranscript | AgentText) -> LiveEvent:
    is_caller = isinstance(event, CallerTranscript)
    item = event.item_id if is_caller else _part(event.item_id, event.content_index)
    name = "caller.words" if is_caller else "agent.words"
    return name, {"item": item, "text": _cut(event.text), "final": event.final}


def _describe_interrupted(item: InterruptedItem, *, with_words: bool) -> Mapping[str, Any]:
    fields: dict[str, Any] = {
        "item": _part(item.item_id, item.content_index),
        "heard_ms": item.heard_ms,
        "sent_ms": item.sent_ms,
    }
    if with_words and item.heard is not None and item.unheard is not None:
        fields |= {"heard": _cut(item.heard), "unheard": _cut(item.unheard)}
    return fields


def _part(item_id: str, content_index: int) -> str:
    return f"{item_id}/{content_index}"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
