"""The WebSocket of a page that shows calls in progress: a message machine with one peer.

It sends a batch at most every tenth of a second, and none before the page has acknowledged the one
before, so a page that does not read costs no more than its queue.
"""

from collections.abc import Callable, Hashable
from typing import Any, Final

import msgspec
from attrs import define, field, frozen

from twilio_realtime_core.machine.actions import Action, Close, Refusal, Send
from twilio_realtime_core.machine.peer_json import decode_json
from twilio_realtime_core.machine.units import MS, SECOND

from .live_calls import LiveCalls, LiveQueue

__all__ = ["LiveFeed"]

_PERIOD_NS: Final = 100 * MS
"""The shortest time between batches: what people see as at once, at ten steps a second."""

_HELLO_TIMEOUT_NS: Final = 10 * SECOND
"""How long the page has to name its session, which it does at once."""

_ACK_TIMEOUT_NS: Final = 10 * 60 * SECOND
"""How long a batch may stay without an acknowledgement: pages in the background are frozen for a
while, and go on; a page that does not come back ends here."""

_POLICY_VIOLATION: Final = 1008
"""RFC 6455, section 7.4.1."""


@frozen
class _JsonMessage:
    body: dict[str, Any]

    def encode(self) -> str:
        """Return the JSON text."""
        return msgspec.json.encode(self.body).decode()


class _PageMessage(msgspec.Struct):
    session: str | None = None
    ack: int | None = None
    stop_model: str | None = None


@define(eq=False)
class LiveFeed:
    """A `MessageMachine` that sends what `calls` show to one page.

    The page first names its session, which `is_session` accepts. `stop_model` is called with the
    SID of a call whose model the page wants to fall silent.
    """

    _calls: LiveCalls
    _is_session: Callable[[object], bool]
    _stop_model: Callable[[str], object]
    _queue: LiveQueue | None = field(init=False, default=None)
    _peer: Hashable = field(init=False, default=None)
    _deadline: int | None = field(init=False, default=None)
    _batch_number: int = field(init=False, default=0)
    _is_acknowledged: bool = field(init=False, default=True)
    _next_batch_ns: int = field(init=False, default=0)

    @property
    def deadline(self) -> int | None:
        """See `MessageMachine.deadline`."""
        return self._deadline

    def start(self, now: int) -> list[Action]:
        """See `MessageMachine.start`."""
        del now
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Wait for the session of the page."""
        self._peer = peer
        self._deadline = now + _HELLO_TIMEOUT_NS
        return []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """Handle a message of the page: its session, an acknowledgement, or a wish."""
        del peer
        if self._deadline is None:
            return []
        message = decode_json(text, _PageMessage)
        if message is None:
            return self._close("not a message of the page")
        if self._queue is None:
            if not self._is_session(message.session):
                return self._close("not the session of this run of the service")
            self._queue = self._calls.open_queue()
            return self._send_batch(now)
        if message.ack == self._batch_number:
            self._is_acknowledged = True
            self._deadline = max(now, self._next_batch_ns)
        if message.stop_model is not None:
            self._stop_model(message.stop_model)
        return []

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """See `MessageMachine.pong`."""
        del peer, payload, now
        return []

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """See `MessageMachine.refused`; an accepted WebSocket is never refused."""
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """The page is gone."""
        del peer, code, reason, now
        self._end()
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        """Send what waits, or give the page up."""
        if self._deadline is None or now < self._deadline:
            return []
        if self._queue is None:
            return self._close("the page did not name its session")
        if not self._is_acknowledged:
            return self._close("the page does not read")
        return self._send_batch(now)

    def _send_batch(self, now: int) -> list[Action]:
        queue = self._queue
        self._next_batch_ns = now + _PERIOD_NS
        if queue is None or queue.is_empty:
            self._deadline = self._next_batch_ns
            return []
        batch = queue.take()
        self._batch_number += 1
        self._is_acknowledged = False
        self._deadline = now + _ACK_TIMEOUT_NS
        body: dict[str, Any] = {
            "batch": self._batch_number,
            "now_ms": now / MS,
            "events": batch.events,
            "dropped": batch.dropped,
        }
        if batch.calls is not None:
            body["calls"] = batch.calls
        return [Send(self._peer, _JsonMessage(body))]

    def _close(self, reason: str) -> list[Action]:
        self._end()
        return [Close(self._peer, _POLICY_VIOLATION, reason)]

    def _end(self) -> None:
        self._deadline = None
        if self._queue is not None:
            self._calls.close_queue(self._queue)
            self._queue = None
