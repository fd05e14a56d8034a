"""The headers that a client adds to its request for a WebSocket, or the function that returns them:
a token expires, and each connection needs one that is valid."""

from collections.abc import Awaitable, Callable, ItemsView, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from attrs import Attribute

from ..errors import LocalProtocolError
from ..machine.arguments import CALLABLE
from .handshake import HEADERS, check_request_headers

__all__ = ["HeaderSource", "Headers", "check_headers", "read_headers"]

Headers: TypeAlias = Sequence[tuple[str, str]] | Mapping[str, str]
"""Names and values of HTTP headers."""

HeaderSource: TypeAlias = Callable[[], Headers | Awaitable[Headers]]
"""A function, sync or async, that returns headers."""


_RULE: Final = HEADERS | CALLABLE


def check_headers(config: object, attribute: "Attribute[Any]", headers: object) -> None:
    """Check a field of an attrs class that has headers or a function that returns them.

    Raises `LocalProtocolError` as `FieldRule` and `check_request_headers`.
    """
    _RULE(config, attribute, headers)
    if not callable(headers):
        check_request_headers(cast("tuple[tuple[str, str], ...]", headers))


def read_headers(returned: object) -> tuple[tuple[str, str], ...]:
    """Return the headers that a function has returned: a mapping, or pairs.

    Raises `LocalProtocolError` if they cannot be sent; the message does not contain a value.
    """
    pairs: object = returned
    if isinstance(returned, Mapping):
        pairs = cast("Mapping[object, object]", returned).items()
    is_readable = isinstance(pairs, list | tuple | ItemsView)
    headers = tuple(cast("Sequence[object]", pairs)) if is_readable else None
    if not HEADERS.accepts(headers):
        msg = "the headers that were returned are not pairs of text, name and value"
        raise LocalProtocolError(msg)
    found = cast("tuple[tuple[str, str], ...]", headers)
    check_request_headers(found)
    return found
