"""What a call costs in tokens, by modality.

Source: OpenAI API reference, "Realtime", `response.done`, `usage`.
"""

from collections.abc import Mapping
from typing import Any, cast

from attrs import frozen

__all__ = ["Tokens", "Usage"]


@frozen
class Tokens:
    """Tokens of one direction. What a server does not tell counts as 0."""

    total: int = 0
    text: int = 0
    audio: int = 0
    image: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.total + other.total,
            self.text + other.text,
            self.audio + other.audio,
            self.image + other.image,
        )


@frozen
class Usage:
    """Tokens of a response, or of a whole call. `cached` is the part of `input` that the server
    had in its cache; `reasoning` the part of `output` that was thought and not said."""

    input: Tokens = Tokens()
    cached: Tokens = Tokens()
    output: Tokens = Tokens()
    reasoning: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.cached + other.cached,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )

    @classmethod
    def from_json(cls, data: Any) -> "Usage | None":
        """What `response.usage` says; `None` where it says nothing. Whatever is missing, or is no
        whole number of at least 0, counts as 0."""
        if not isinstance(data, Mapping):
            return None
        whole = _object(data)
        of_input = _object(whole.get("input_token_details"))
        of_cached = _object(of_input.get("cached_tokens_details"))
        of_output = _object(whole.get("output_token_details"))
        return cls(
            input=_tokens(_count(whole, "input_tokens"), of_input),
            cached=_tokens(_count(of_input, "cached_tokens"), of_cached),
            output=_tokens(_count(whole, "output_tokens"), of_output),
            reasoning=_count(of_output, "reasoning_tokens"),
        )


def _tokens(total: int, details: Mapping[str, Any]) -> Tokens:
    return Tokens(
        total,
        text=_count(details, "text_tokens"),
        audio=_count(details, "audio_tokens"),
        image=_count(details, "image_tokens"),
    )


def _object(data: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return max(0, value)
