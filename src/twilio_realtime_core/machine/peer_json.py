"""Decoding of JSON that a peer or a web API has sent, which may be anything."""

from typing import TypeVar

import msgspec

__all__ = ["decode_json"]

T = TypeVar("T")


def decode_json(content: str | bytes, kind: type[T]) -> T | None:
    """Return the value of type `kind` in JSON; `None` if the content is anything else.

    Other content is no JSON, JSON of another type, JSON that is nested too deeply for this
    interpreter (`RecursionError`), or text with lone surrogates (`UnicodeEncodeError`).
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError):
        return None
