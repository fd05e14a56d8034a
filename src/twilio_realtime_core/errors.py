"""Errors of two kinds: misuse by the program that drives a machine, and faults of a peer.

Misuse is a bug in the program, so it raises `LocalProtocolError`, before anything has changed. What
a peer does wrong is never an exception: it is a `Fault`, a value that is notified. Any other
exception out of this package is a bug in it.
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
    """The kind of a fault. Programs decide by this; people read `Fault.message`."""

    NOT_JSON = "not JSON"
    """A text message that is not a JSON object."""
    BAD_MESSAGE = "bad message"
    """JSON of a known kind with a field missing, or of the wrong type."""
    BINARY_MESSAGE = "binary message"
    """A binary WebSocket message; both protocols are text only."""
    UNEXPECTED = "unexpected"
    """A valid message at a time when it makes no sense, such as `media` before `start`, or audio of
    the outbound track."""
    WRONG_STREAM = "wrong stream"
    """A Media Streams message whose stream SID is not that of the call's stream."""
    UNKNOWN_MARK = "unknown mark"
    """The echo of a mark that was never sent, or has been echoed already."""
    BAD_AUDIO = "bad audio"
    """An audio payload that is not base64, or empty."""
    WRONG_FORMAT = "wrong format"
    """Audio announced in another format than G.711 µ-law at 8 kHz; a format that is not stated is
    that one."""
    TOO_LARGE = "too large"
    """A message, or a header, longer than the limit."""
    TOO_MANY = "too many"
    """Messages, frames or audio beyond the rate that the protocol can need."""
    OVERFLOW = "overflow"
    """A queue is full; what did not fit was dropped."""
    BROKEN_PROTOCOL = "broken protocol"
    """Bytes that are not WebSocket, or not HTTP."""
    REFUSED = "refused"
    """The peer could not be reached, or answered the opening request with a refusal."""
    TIMED_OUT = "timed out"
    """The peer did not do in time what the protocol requires."""
    SERVER_ERROR = "server error"
    """The Realtime server reported an `error` event; the session continues unless it is closed."""
    APPLICATION = "application"
    """Not a fault of a peer: the application's own code has raised. If it is that of an agent, its
    call ends."""


@frozen
class Fault:
    """What a peer did wrong. What Twilio did wrong with each kind of text message is notified once
    in a stream.

    `peer` is the machine's key of the link (`None`: no peer in particular). `message` says what was
    wrong and where, for people; it never holds audio, keys, phone numbers or other content of the
    faulty message. `code` is the peer's own code for it, where it has one.
    """

    peer: Hashable
    kind: FaultKind
    message: str
    code: str | None = None


_MAX_CHARACTERS: Final = 300
"""Characters of a peer's text that are shown; error texts of both vendors are shorter."""

_SECRETS: Final = re.compile(
    r"\b(?:sk|ek|pk|rk|sess)[-_][\w*-]+"  # OpenAI keys and client secrets, masked by * or not
    r"|\b(?i:Bearer)\s+\S+"
    r"|\b(?:AC|SK)[0-9a-fA-F]{32}\b"  # Twilio accounts and API keys
    # Phone numbers in any of their spellings, but not the addresses of machines.
    r"|\+?(?<!\d)(?<!\d\.)(?!\d{1,3}(?:\.\d{1,3}){3}\b)\d[\d ().-]{6,}\d"
)


def redact(text: str) -> str:
    """Make a peer's text fit to be shown: one line of bounded length, all of it printable, without
    what looks like a key, a token or a phone number."""
    start = text[: 2 * _MAX_CHARACTERS]
    if not start.isprintable():  # nearly every text is: this look at all of it takes 0.1 µs
        start = "".join(each if each.isprintable() else " " for each in start)
    line = " ".join(start.split())
    shown = _SECRETS.sub("[hidden]", line)
    return shown if len(shown) <= _MAX_CHARACTERS else shown[:_MAX_CHARACTERS] + "…"
