"""Access to the browser phone: this machine alone, this page alone, and a one-time token.

A page of another site can send requests to this machine: through DNS rebinding with its own name as
the host, and otherwise with its own Origin. Both are refused. What the page may do besides needs a
session, which it gets for the token in the link that is printed. A session is no cookie: cookies of
127.0.0.1 are sent to every port.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from enum import Enum, unique
from hmac import compare_digest
from typing import Final

from attrs import define, field

from twilio_realtime_core.transport.http import HttpRequest, HttpResponse

from ..public_url import has_foreign_origin, is_from_this_machine, is_loopback_authority

__all__ = ["PageAccess", "TokenRefusal", "find_refusal"]

_SECRET_BYTES: Final = 24
"""192 random bits: not to be guessed."""

_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""A host with or without a port, as browsers send it; responses repeat it in a header."""

_NOT_LOOPBACK: Final = HttpResponse(
    403, b"the browser phone is for this machine: open it at 127.0.0.1 or localhost\n"
)
_FOREIGN_ORIGIN: Final = HttpResponse(403, b"requests of other pages are refused\n")


@unique
class TokenRefusal(Enum):
    """Why a token gives no session. The texts are shown in the page."""

    UNKNOWN = "This link is not of this run of the service: open the one that it has printed."
    USED = (
        "This link was used before. Go on in that browser, or start the service again for a new "
        "link."
    )


@define(eq=False, repr=False)
class PageAccess:
    """The one-time token of the page's link, and the session that it is exchanged for.

    `session` is one that stays valid when the service starts again, for `--reload`.
    """

    _random_bytes: Callable[[int], bytes] = field(alias="random_bytes")
    _session: str = field(default="", alias="session")
    token: str = field(init=False)
    _is_token_used: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.token = self._make_secret()
        self._session = self._session or self._make_secret()

    def exchange(self, token: object) -> str | TokenRefusal:
        """Return the session for the token, once."""
        if not _is_equal(token, self.token):
            return TokenRefusal.UNKNOWN
        if self._is_token_used:
            return TokenRefusal.USED
        self._is_token_used = True
        return self._session

    def is_session(self, session: object) -> bool:
        """Whether it is the session."""
        return _is_equal(session, self._session)

    def _make_secret(self) -> str:
        return urlsafe_b64encode(self._random_bytes(_SECRET_BYTES)).decode()


def _is_equal(given: object, secret: str) -> bool:
    return isinstance(given, str) and compare_digest(
        given.encode(errors="replace"), secret.encode()
    )


def find_refusal(
    request: HttpRequest, scheme: str, *, is_exposed: bool, is_navigation: bool = False
) -> HttpResponse | None:
    """Return the refusal of a request that does not come from this machine or from the page itself,
    or `None`.

    `scheme` is that of the server. `is_exposed`: the connection came in at an address that other
    machines can reach. `is_navigation`: the request opens the page, which has no secret, so a link
    from anywhere may lead to it. What changes something must name the page as its Origin, as
    browsers do for a POST and for a WebSocket (Fetch standard, "Origin" header; RFC 6455, section
    10.2).
    """
    host = request.header("host") or ""
    is_loopback = _AUTHORITY.fullmatch(host) is not None and is_loopback_authority(host)
    if is_exposed or not is_loopback or not is_from_this_machine(request):
        return _NOT_LOOPBACK
    if request.method in ("GET", "HEAD") and not request.is_upgrade:
        is_foreign = has_foreign_origin(request) and not is_navigation
        return _FOREIGN_ORIGIN if is_foreign else None
    origin = (request.header("origin") or "").lower()
    return None if origin == f"{scheme}://{host}".lower() else _FOREIGN_ORIGIN
