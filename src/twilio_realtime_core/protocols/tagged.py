"""JSON text into typed values, for a family of messages told apart by one string field.

Both protocols are such families: Media Streams by `event`, Realtime by `type`. A message is parsed
once: peers put the tag first, so that a glance at the start of the text picks the decoder. Where it
stands elsewhere, a first pass reads it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from ..errors import Fault, FaultKind
from ..machine.actions import Peer

__all__ = ["TaggedDecoder"]

T = TypeVar("T")


class TaggedDecoder(Generic[T]):
    """Decodes the messages of one peer.

    `tag` names the field that tells messages apart, `types` the type to decode for each of its
    values; `other` makes a value of any other tag.
    """

    def __init__(
        self, peer: Peer, tag: str, types: Mapping[str, type[T]], make_unlisted: Callable[[str], T]
    ) -> None:
        self._peer = peer
        self._prefix = f'{{"{tag}":"'
        self._tag_start = len(self._prefix)
        fields: list[tuple[str, Any]] = [("tag", str)]
        only_tag: type[Any] = msgspec.defstruct("OnlyTag", fields, rename={"tag": tag})
        self._decode_tag = msgspec.json.Decoder(only_tag).decode
        self._decoders = {
            self._prefix + name: msgspec.json.Decoder(type_).decode for name, type_ in types.items()
        }
        self._make_unlisted = make_unlisted

    def decode(self, text: str) -> T | Fault:
        """The value of a message, or what is wrong with it.

        Messages of unlisted tags pass, since both vendors add to theirs; fields that a type does
        not name are ignored for the same reason.
        """
        head = text[: text.find('"', self._tag_start)]
        try:
            decode = self._decoders.get(head)
            if decode is None:  # the tag is unlisted, holds an escape, or stands elsewhere
                tag = self._decode_tag(text).tag
                head = self._prefix + tag
                decode = self._decoders.get(head)
                if decode is None:
                    return self._make_unlisted(tag)
            return decode(text)
        except (ValueError, RecursionError) as error:
            return self._to_fault(head, text, error)

    def _to_fault(self, head: str, text: str, error: Exception) -> Fault:
        """What `error` says, in words that hold nothing of `text`: those of `msgspec` name fields
        of our types and positions, but an unlisted tag and the text of other errors are content."""
        kind = FaultKind.NOT_JSON
        match error:
            case RecursionError():
                message = "JSON nested too deeply to be read"
            case UnicodeError():
                message = "a text message that is no JSON: it holds lone surrogates"
            case msgspec.ValidationError() if text.lstrip().startswith("{"):
                kind = FaultKind.BAD_MESSAGE
                listed = head[self._tag_start :] if head in self._decoders else "a message"
                message = f"{listed}: {error}"
            case msgspec.ValidationError():
                message = "a text message that is no JSON object"
            case _:
                message = f"a text message that is no JSON: {error}"
        return Fault(self._peer, kind, message)
