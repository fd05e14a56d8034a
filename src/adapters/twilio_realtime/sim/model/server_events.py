"""Events of the simulated Realtime server, and the ids in them."""

import random
import string
from typing import Any

import msgspec
from attrs import frozen

from twilio_realtime_core.machine.units import SECOND

from .event_queue import EventQueue

__all__ = ["ServerEvent", "ServerEventWriter"]

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_DIGITS = bytes(ord(_ALPHABET[value % len(_ALPHABET)]) for value in range(256))
"""By the value of a random byte, a digit of an id."""
_ID_EPOCH_S = 1_576_800_000
"""The epoch of the time in an id (unix seconds)."""

_PADDED_CHARACTERS = 16
"""Text deltas are padded to a multiple of this many characters, so that their size reveals
nothing."""

_encode = msgspec.json.Encoder().encode


@frozen
class ServerEvent:
    """An event of the server. `body` is the JSON object to send; it never changes."""

    body: dict[str, Any]

    @property
    def type(self) -> str:
        """The event's type, such as `response.done`."""
        return str(self.body["type"])

    def encode(self) -> str:
        """Return the event as a text message."""
        return _encode(self.body).decode()


class ServerEventWriter:
    """Makes events with ids in the server's format: a prefix, five base-62 digits for the second in
    which the id was made, and sixteen random ones (drawn from `seed`). Those of items and function
    calls end with `suffix`."""

    def __init__(self, event_queue: EventQueue, seed: int, unix_s: int, suffix: str = "") -> None:
        self._suffix = suffix
        self._event_queue = event_queue
        self._start_unix_s = unix_s
        # Ids need to differ, not to be secret; and a run must be repeatable.
        self._random = random.Random(seed)  # noqa: S311
        self._padding = "".join(self._random.choices(_ALPHABET, k=64))
        self._id_unix_s = -1
        self._id_digits = ""

    @property
    def unix_s(self) -> int:
        """The time of day of the simulated server (unix seconds)."""
        return self._start_unix_s + self._event_queue.now // SECOND

    def new_id(self, prefix: str) -> str:
        """Return a new id, such as `item_E6U0xpLmn5e80rVGpEeKv`."""
        if self._id_unix_s != self.unix_s:
            self._id_unix_s = self.unix_s
            self._id_digits = _base_62(self._id_unix_s - _ID_EPOCH_S)
        suffix = self._suffix if prefix == "item" else ""
        return f"{prefix}_{self._id_digits}{self._new_id_tail()}{suffix}"

    def new_call_id(self) -> str:
        """Return a new id of a function call; it contains no time."""
        return f"call_{self._new_id_tail()}{self._suffix}"

    def new_ping_payload(self) -> bytes:
        """Return the four bytes of a keepalive ping."""
        return self._random.randbytes(4)

    def make_event(self, type_: str, /, **fields: object) -> ServerEvent:
        """Return an event with a new id; its fields in the order given."""
        return ServerEvent({"type": type_, "event_id": self.new_id("event"), **fields})

    def make_delta(self, type_: str, text: str, /, **fields: object) -> ServerEvent:
        """Return a delta of text, padded."""
        padding = self._padding[: -len(text) % _PADDED_CHARACTERS]
        return self.make_event(type_, **fields, delta=text, obfuscation=padding)

    def _new_id_tail(self) -> str:
        return self._random.randbytes(16).translate(_DIGITS).decode()


def _base_62(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
