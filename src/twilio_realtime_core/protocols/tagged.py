"""Decoding of JSON text into typed values, for a family of messages with a tag field.

Both protocols are such families: Media Streams messages have the tag `event`, Realtime events have
`type`. Each message is parsed once: both peers send the tag first, so the start of the text selects
the decoder. Where the tag is elsewhere, the text is parsed a first time to find it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from ..errors import Fault, FaultKind
from ..machine.actions import Peer

__all__ = ["TaggedDecoder"]

T = TypeVar("T")


class TaggedDecoder(Generic[T]):
    """The decoder of one peer's messages.

    `tag` is the name of the tag field, `types` the type to decode for each listed tag;
    `make_unlisted` returns the value for any other tag, and the text that has it.
    """

    def __init__(
        self,
        peer: Peer,
        tag: str,
        types: Mapping[str, type[T]],
        make_unlisted: Callable[[str, str], T],
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
        """Return the value of a message, or a fault.

        Messages with an unlisted tag are accepted, since both vendors add messages; fields that a
        type does not have are ignored for the same reason.
        """
        head = text[: text.find('"', self._tag_start)]
        try:
            decode = self._decoders.get(head)
            if decode is None:  # the tag is unlisted, has an escape, or is elsewhere
                tag = self._decode_tag(text).tag
                head = self._prefix + tag
                decode = self._decoders.get(head)
                if decode is None:
                    return self._make_unlisted(tag, text)
            return decode(text)
        except (ValueError, RecursionError) as error:
            return self._to_fault(head, text, error)

    def _to_fault(self, head: str, text: str, error: Exception) -> Fault:
        """Return a fault for `error` that contains nothing of `text`.

        The messages of `msgspec` name fields of our types, and positions. But an unlisted tag, and
        the message of any other error, are content.
        """
        kind = FaultKind.NOT_JSON
        match error:
            case RecursionError():
                message = "a text message whose JSON is nested too deeply"
            case UnicodeError():
                message = "a text message that is not JSON: it has lone surrogates"
            case msgspec.ValidationError() if text.lstrip().startswith("{"):
                kind = FaultKind.BAD_MESSAGE
                name = head[self._tag_start :] if head in self._decoders else "a message"
                message = f"{name}: {error}"
            case msgspec.ValidationError():
                message = "a text message that is not a JSON object"
            case _:
                message = f"a text message that is not JSON: {error}"
        return Fault(self._peer, kind, message)
