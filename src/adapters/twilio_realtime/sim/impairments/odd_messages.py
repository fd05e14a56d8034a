"""Rules for what a peer may send and seldom does: both tracks of a call, frames before their stream
has started, items with several parts, ids that are used again."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field

from .rules import DelayedText, Rule, kind_of

__all__ = ["BothTracks", "EditAll", "LateStart", "ReuseItemId", "duplicate_parts"]

_HEARD_BYTE = "gICA"
"""A payload that no caller has: three samples of full scale, in base64."""


def _encode(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


def _decode(text: str) -> dict[str, Any] | None:
    """Return a message; `None` if another rule has corrupted it."""
    try:
        return dict(json.loads(text))
    except (ValueError, RecursionError):
        return None


@define(eq=False)
class BothTracks(Rule):
    """Deliver what the caller hears as well, frame by frame: a stream of both tracks, as
    `<Start><Stream track="both_tracks">` makes it. `is_announced`: its `start` says so."""

    kind: str = field(init=False, default="media")
    times: int = field(init=False, default=1_000_000)
    is_announced: bool = field(default=True, kw_only=True)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver a frame, and one of the other track."""
        message = _decode(text)
        if message is None or not message.get("media"):
            return ((0, text),)
        heard = {**message["media"], "track": "outbound", "payload": _HEARD_BYTE}
        return ((0, text), (0, _encode({**message, "media": heard})))

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """Deliver any other message; a `start` names the tracks."""
        message = _decode(text) if self.is_announced and kind_of(text) == "start" else None
        if message is None or not message.get("start"):
            return ((0, text),)
        message["start"]["tracks"] = ["inbound", "outbound"]
        return ((0, _encode(message)),)


@define(eq=False)
class LateStart(Rule):
    """Deliver `start` behind `frames` frames of its stream."""

    kind: str = field(init=False, default="start")
    frames: int = field(default=1, kw_only=True)
    _held: str | None = field(init=False, default=None, repr=False)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Hold `start`."""
        self._held = text
        return ()

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """Deliver a message, and `start` behind it where it is due."""
        if self._held is None:
            return ((0, text),)
        self.frames -= kind_of(text) == "media"
        if self.frames > 0:
            return ((0, text),)
        held, self._held = self._held, None
        return ((0, text), (0, held))


@define(eq=False)
class EditAll(Rule):
    """Deliver all messages of `kinds` with other content: `edit` changes the JSON object in place,
    and returns whether it has."""

    kinds: tuple[str, ...] = field(kw_only=True)
    edit: Callable[[dict[str, Any]], bool] = field(kw_only=True, repr=lambda each: each.__name__)

    def process(self, text: str) -> Sequence[DelayedText]:
        """Return what a message becomes."""
        return self.apply(text) if kind_of(text) in self.kinds else ((0, text),)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver the edited message; one that another rule has corrupted passes unchanged."""
        message = _decode(text)
        if message is None or not self.edit(message):
            return ((0, text),)
        self.applied_count += 1
        return ((0, _encode(message)),)


def duplicate_parts(event: dict[str, Any]) -> bool:
    """Give what the caller says two parts of audio, of which the second is transcribed."""
    match event:
        case {"item": {"role": "user", "content": [{"type": "input_audio"} as part]}}:
            event["item"]["content"] = [{**part, "transcript": None}, part]
            return True
        case {"content_index": 0, "item_id": str()}:
            event["content_index"] = 1
            return True
        case _:
            return False


@define(eq=False)
class ReuseItemId(Rule):
    """Add a message with the id that the first message of the conversation has."""

    kind: str = field(init=False, default="conversation.item.added")
    _first_id: str | None = field(init=False, default=None, repr=False)

    def process(self, text: str) -> Sequence[DelayedText]:
        """Return what a message becomes."""
        if self._first_id is None and kind_of(text) == self.kind:
            match _decode(text):
                case {"item": {"id": str(item_id), "type": "message"}}:
                    self._first_id = item_id
                case _:
                    pass
        return super().process(text)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver the item with that id."""
        message = _decode(text)
        if message is None or not message.get("item") or self._first_id is None:
            return ((0, text),)
        message["item"]["id"] = self._first_id
        return ((0, _encode(message)),)
