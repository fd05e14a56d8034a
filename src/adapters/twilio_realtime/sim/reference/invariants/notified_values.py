"""Values of notifications, read from the fields of an event of the model."""

from collections.abc import Mapping
from typing import Any

from twilio_realtime_core.values.log_probability import TokenLogprob
from twilio_realtime_core.values.rate_limit import RateLimit
from twilio_realtime_core.values.usage import Tokens, Usage

from ..wire import is_list, is_object

__all__ = ["read_logprobs", "read_metadata", "read_rate_limits", "read_usage"]


def read_metadata(metadata: object) -> Mapping[str, Any] | None:
    """Return the metadata of a response; `None` if there is none."""
    return metadata if is_object(metadata) and metadata else None


def read_logprobs(logprobs: object) -> tuple[TokenLogprob, ...] | None:
    """Return the tokens of a transcript; those without a text or a number are left out."""
    if not is_list(logprobs):
        return None
    objects = [each for each in logprobs if is_object(each)]
    return tuple(
        TokenLogprob(each["token"], each["logprob"])
        for each in objects
        if type(each.get("token")) is str and type(each.get("logprob")) in (int, float)
    )


def read_rate_limits(limits: object) -> tuple[RateLimit, ...]:
    """Return the limits; a field of another type than it should be is as if it were missing."""
    types = {"name": (str,), "limit": (int,), "remaining": (int,), "reset_seconds": (int, float)}
    return tuple(
        RateLimit(
            **{name: each[name] for name, kinds in types.items() if type(each.get(name)) in kinds}
        )
        for each in (limits if is_list(limits) else [])
        if is_object(each)
    )


def read_usage(usage: object) -> Usage | None:
    """Return the tokens of a response; what is missing, or not a whole number, counts as 0.
    (OpenAI API reference, "Realtime", `response.done`, `usage`)"""
    if not is_object(usage):
        return None
    heard, said = (_object_of(usage, f"{way}_token_details") for way in ("input", "output"))
    cached = _object_of(heard, "cached_tokens_details")
    return Usage(
        _read_tokens(_count(usage, "input_tokens"), heard),
        _read_tokens(_count(heard, "cached_tokens"), cached),
        _read_tokens(_count(usage, "output_tokens"), said),
        _count(said, "reasoning_tokens"),
    )


def _read_tokens(total: int, details: Mapping[str, Any]) -> Tokens:
    text, audio, image = (_count(details, f"{kind}_tokens") for kind in ("text", "audio", "image"))
    return Tokens(total, text, audio, image)


def _object_of(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if is_object(value) else {}


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return max(0, value) if type(value) is int else 0
