"""The head of a request, and its first line where the rest cannot be read."""

import re
from typing import Final

import h11

from .handshake import HttpRequest

__all__ = ["read_first_line", "read_head"]

_ABSOLUTE_TARGET: Final = re.compile(
    r"(?i:https?)://(?P<authority>[^/?#@]+)(?P<target>(?:[/?][^#]*)?)"
)
"""A target in absolute form (RFC 9112, section 3.2.2)."""

_REQUEST_LINE: Final = re.compile(
    rb"(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<target>[!-~]+) HTTP/[0-9]\.[0-9]\r?\n"
)
"""The first line of a request, as h11 accepts it (RFC 9112, section 3)."""


def read_head(head: h11.Request) -> HttpRequest:
    """Return the request without its body; a target in absolute form is made relative."""
    target, authority = _split_target(head.target.decode("ascii"))
    headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers]
    if authority is not None:
        headers = [each for each in headers if each[0] != "host"]
        headers.insert(0, ("host", authority))
    return HttpRequest(head.method.decode("ascii"), target, tuple(headers))


def read_first_line(data: bytes | bytearray) -> HttpRequest | None:
    """Return what the first line says of a request whose head cannot be read."""
    line = _REQUEST_LINE.match(data)
    if line is None:
        return None
    target, _ = _split_target(line["target"].decode("ascii"))
    return HttpRequest(line["method"].decode("ascii"), target)


def _split_target(target: str) -> tuple[str, str | None]:
    """Return a target as path and query, and the authority of one in absolute form."""
    absolute = _ABSOLUTE_TARGET.fullmatch(target)
    if absolute is None:
        return target, None
    path = absolute["target"]
    return path if path.startswith("/") else f"/{path}", absolute["authority"]
