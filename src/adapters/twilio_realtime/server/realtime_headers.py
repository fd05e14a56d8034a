"""The headers for the Realtime server: the key, what it belongs to, and further ones.

The key and the further headers may come from functions, sync or async, since tokens expire. Then
the driver asks for the headers at each connection.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.transport.handshake import check_request_headers
from twilio_realtime_core.transport.headers import Headers, HeaderSource, read_headers

__all__ = ["ApiKey", "realtime_headers"]

ApiKey: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A key, or a function that returns a bearer token."""

_Pairs: TypeAlias = tuple[tuple[str, str], ...]


def realtime_headers(
    api_key: ApiKey | None,
    further: Headers | HeaderSource,
    named: Sequence[tuple[str, str]],
    *,
    is_azure: bool,
) -> _Pairs | HeaderSource:
    """Return the headers; or, if a part of them comes from a function, one that returns all.

    Raises `LocalProtocolError` if a header cannot be sent, and so does that function.
    """
    check_request_headers(named)

    def join(key: object, more: object) -> _Pairs:
        if key is None and api_key is None:
            return (*named, *read_headers(more))
        if not isinstance(key, str):
            msg = f"the function of the API key must return text, not {type(key).__name__}"
            raise LocalProtocolError(msg)
        is_plain = is_azure and not callable(api_key)  # a function returns a bearer token
        pair = ("api-key", key) if is_plain else ("Authorization", f"Bearer {key}")
        return (pair, *named, *read_headers(more))

    if not callable(api_key) and not callable(further):
        return join(api_key, further)
    return partial(_ask, api_key, further, join)


def _ask(
    api_key: ApiKey | None,
    further: Headers | HeaderSource,
    join: Callable[[object, object], _Pairs],
) -> _Pairs | Awaitable[_Pairs]:
    """Call the functions; if one of them is async, return what awaits them."""
    key = api_key() if callable(api_key) else api_key
    more = further() if callable(further) else further
    if inspect.isawaitable(key) or inspect.isawaitable(more):
        return _join_later(key, more, join)
    return join(key, more)


async def _join_later(key: Any, more: Any, join: Callable[[object, object], _Pairs]) -> _Pairs:
    key = await key if inspect.isawaitable(key) else key
    return join(key, await more if inspect.isawaitable(more) else more)
