"""The limits on what an account may use in a period.

Source: OpenAI API reference, "Realtime", `rate_limits.updated`,
https://platform.openai.com/docs/api-reference/realtime-server-events, read 2026-11-30.
"""

from typing import Any, cast

from attrs import frozen

__all__ = ["RateLimit", "rate_limits_from_json"]


@frozen
class RateLimit:
    """A limit on requests or tokens. A field that the server does not send is `None`."""

    name: str | None = None
    """What is limited: "requests" or "tokens"."""
    limit: int | None = None
    """The most in a period."""
    remaining: int | None = None
    """How much is left. What a response that is being generated may still use is reserved, so it
    counts as used."""
    reset_seconds: float | None = None
    """How long until all of it is available again (s)."""


def rate_limits_from_json(data: Any) -> tuple[RateLimit, ...]:
    """Return the limits that `rate_limits` describes.

    An entry that is not an object is left out, and a field of the wrong type is `None`.
    """
    match data:
        case [*entries]:
            objects = (cast("dict[str, Any]", each) for each in entries if isinstance(each, dict))
            return tuple(map(_rate_limit, objects))
        case _:
            return ()


def _rate_limit(entry: dict[str, Any]) -> RateLimit:
    name, reset = entry.get("name"), entry.get("reset_seconds")
    return RateLimit(
        name if isinstance(name, str) else None,
        _whole_number(entry.get("limit")),
        _whole_number(entry.get("remaining")),
        reset if isinstance(reset, int | float) and not isinstance(reset, bool) else None,
    )


def _whole_number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
