"""What can go wrong, kept apart: misuse by the caller of a machine, and faults of a peer.

Misuse is a bug in the program that drives a machine, so it raises `LocalProtocolError`, before
anything has changed. What a peer does wrong is never an exception: it is a `Fault`, a value that
is notified like any other event. Any other exception out of this package is a bug in it.
"""

import re
from collections.abc import Hashable
from enum import Enum, unique
from typing import Final

from attrs import frozen

__all__ = ["Fault", "FaultKind", "LocalProtocolError", "redact"]


class LocalProtocolError(Exception):
    """The program that drives a machine broke its contract; the machine is as it was before."""


@unique
class FaultKind(Enum):
    """What sort of wrong a peer did. Programs decide by this; people read `Fault.message`."""

    NOT_JSON = "not JSON"
    """A text message that is no JSON object."""
    BAD_MESSAGE = "bad message"
    """JSON of a known kind with a field missing, or of the wrong type."""
    BINARY_MESSAGE = "binary message"
    """A binary WebSocket message; both protocols are text only."""
    UNEXPECTED = "unexpected"
    """A good message at a time when it makes no sense, such as `media` before `start`."""
    WRONG_STREAM = "wrong stream"
    """A Media Streams message whose stream SID is not that of the call's stream."""
    UNKNOWN_MARK = "unknown mark"
    """The echo of a mark that was never sent, or has been echoed already."""
    BAD_AUDIO = "bad audio"
    """An audio payload that is no base64, or empty."""
    WRONG_FORMAT = "wrong format"
    """Audio announced in another format than G.711 µ-law at 8 kHz."""
    TOO_LARGE = "too large"
    """A message, or a header, longer than the limit."""
    OVERFLOW = "overflow"
    """A queue is full; what did not fit was dropped."""
    BROKEN_PROTOCOL = "broken protocol"
    """Bytes that are no WebSocket, or no HTTP."""
    REFUSED = "refused"
    """The peer could not be reached, or answered the opening request with a refusal."""
    TIMED_OUT = "timed out"
    """The peer did not do in time what the protocol asks of it."""
    SERVER_ERROR = "server error"
    """The Realtime server reported an `error` event; the session goes on unless it is closed."""
    APPLICATION = "application"
    """No peer has done wrong: the application's own code has raised, which ends its call."""


@frozen
class Fault:
    """What a peer did wrong.

    `peer` is the machine's own key of the link (`None`: no peer in particular). `message` says
    what was wrong and where, for people; it never holds audio, keys, phone numbers or other
    content of the message at fault. `code` is the peer's own code for it, where it has one.
    """

    peer: Hashable
    kind: FaultKind
    message: str
    code: str | None = None


_MAX_PLAIN: Final = 300
"""Characters of a peer's own words that are worth showing; error texts of both vendors are
shorter."""

_SECRETS: Final = re.compile(
    r"\b(?:sk|ek|pk|rk|sess)[-_][\w*-]+"  # OpenAI keys and client secrets, masked by * or not
    r"|\b(?i:Bearer)\s+\S+"
    r"|\b(?:AC|SK)[0-9a-fA-F]{32}\b"  # Twilio accounts and API keys
    # Phone numbers in any of their spellings, but not the addresses of machines.
    r"|\+?(?<!\d)(?<!\d\.)(?!\d{1,3}(?:\.\d{1,3}){3}\b)\d[\d ().-]{6,}\d"
)


def redact(text: str) -> str:
    """A peer's own words, fit to be shown: one line of bounded length, all of it printable, with
    what looks like a key, a token or a phone number taken out."""
    printable = (each if each.isprintable() else " " for each in text[: 2 * _MAX_PLAIN])
    line = " ".join("".join(printable).split())
    shown = _SECRETS.sub("[hidden]", line)
    return shown if len(shown) <= _MAX_PLAIN else shown[:_MAX_PLAIN] + "…"
