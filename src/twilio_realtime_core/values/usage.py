"""The tokens that a response or a call uses, by direction and modality.

Source: OpenAI API reference, "Realtime", `response.done`, `usage`,
https://platform.openai.com/docs/api-reference/realtime-server-events/response/done.
"""

from collections.abc import Mapping
from typing import Any, cast

from attrs import frozen

__all__ = ["Tokens", "Usage"]


@frozen
class Tokens:
    """Numbers of tokens by modality. A number that the server does not send is 0."""

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
    """The tokens of a response, or of a whole call."""

    input: Tokens = Tokens()
    """What the model read."""
    cached: Tokens = Tokens()
    """The part of `input` that was in the server's cache."""
    output: Tokens = Tokens()
    """What the model generated."""
    reasoning: int = 0
    """The part of `output` that is reasoning, which is not said."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.cached + other.cached,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )

    @classmethod
    def from_json(cls, data: Any) -> "Usage | None":
        """Return the usage that `response.usage` describes; `None` if it is not an object.

        A number that is missing, or is not a whole number of at least 0, counts as 0.
        """
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
    # What was decoded is a `dict`, which is recognised at once; an abstract class takes a call.
    return cast("Mapping[str, Any]", data) if isinstance(data, (dict, Mapping)) else {}


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return max(0, value)
