"""Recorded steps and actions, as recordings encode them: their names, and how they are compared."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

__all__ = [
    "action_name",
    "comparable_action",
    "describe_difference",
    "event_of",
    "is_sent",
    "messages_of",
    "outcome_of",
    "reasons_of",
    "turn_detection_of",
    "type_of",
]


def describe_difference(recorded: Sequence[Any], other: Sequence[Any]) -> str:
    """Say what a bridge sends in place of what was recorded."""
    missing = [action_name(each) for each in recorded if each not in other]
    added = [action_name(each) for each in other if each not in recorded]
    if not missing and not added:
        return "the bridge sends the same in another order, or another number of times"
    in_place = f" in place of {missing[0]}" if missing else ""
    return f"the bridge sends {added[0] if added else 'nothing'}{in_place}"


def outcome_of(step: Mapping[str, Any]) -> list[Any]:
    """Return what a step has done: its actions, or that it raised."""
    for name in ("misuse", "raised", "unrecordable"):
        if name in step:
            return [{name: step[name]}]
    return list(step.get("actions", ()))


def reasons_of(step: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the reasons of a step, as pairs of a decision and its reason."""
    return tuple((each["decision"], each["reason"]) for each in step.get("why", ()))


def messages_of(actions: Iterable[Any]) -> Iterator[Any]:
    """Yield the messages that are sent."""
    return (each["message"] for each in actions if each.get("@") == "Send")


def comparable_action(action: Any) -> Any:
    """Return an action as it is compared: of the configuration of a session, all but whether the
    server interrupts."""
    match action:
        case {"@": "Send", "message": {"type": "session.update"}} | {
            "@": "Notify",
            "event": {"@": "SessionReady"},
        }:
            copy = json.loads(json.dumps(action))
            detection = turn_detection_of(copy.get("message") or copy["event"])
            (detection or {}).pop("interrupt_response", None)
            return copy
        case _:
            return action


def is_sent(action: Any) -> bool:
    """Whether peers notice an action."""
    return bool(action.get("@") != "Notify")


def turn_detection_of(event: Any) -> dict[str, Any] | None:
    """Return the turn detection in an event about a session; `None`: there is none."""
    match event:
        case {"session": {"audio": {"input": {"turn_detection": detection}}}}:
            return cast("dict[str, Any]", detection) if isinstance(detection, dict) else None
        case _:
            return None


def type_of(event: Mapping[str, Any]) -> object:
    """Return the type of a message."""
    return event.get("type")


def event_of(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of the model that is the input of a step; empty: it has none."""
    match step["method"], step["arguments"]:
        case "receive_text", [peer, str(text)] if peer != "twilio":
            with suppress(ValueError, RecursionError):
                event: Any = json.loads(text)
                return cast("dict[str, Any]", event) if isinstance(event, dict) else {}
        case _:
            pass
    return {}


def action_name(action: Any) -> str:
    """Return a name for an encoded action: the type of its message, or of its notification."""
    match action:
        case {"@": "Send", "message": {"type": str(kind)} | {"event": str(kind)}}:
            return kind
        case {"@": "Notify", "event": {"@": str(kind)}} | {"@": str(kind)}:
            return kind
        case _:
            return next(iter(action), "nothing")
