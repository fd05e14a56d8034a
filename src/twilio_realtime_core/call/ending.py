"""How a call ends: both links are closed, then the end is notified."""

from typing import Final

from attrs import define, evolve, field

from ..conversation.conversation import Conversation
from ..downlink.clips import ClipPlayer
from ..downlink.downlink import Downlink
from ..errors import FaultKind
from ..machine.actions import NORMAL_CLOSURE, Peer
from ..machine.lifecycles import SessionState, StreamState
from ..machine.outbox import Outbox
from ..machine.timers import Timer, Timers
from ..machine.units import samples_to_ms
from ..notifications import CallEnded, EndReason
from ..responses.requests import Requests
from ..responses.responses import Responses
from ..session.media_stream import MediaStream
from ..session.session import Session
from ..values.playback_position import PartKey

__all__ = ["Ending"]

_CLOSED: Final = (StreamState.CLOSED, SessionState.CLOSED)


@define(eq=False)
class Ending:
    """The end of one call. `cause` is set by what ends the call first."""

    _outbox: Outbox
    _timers: Timers[Timer]
    _stream: MediaStream
    _session: Session
    _responses: Responses
    _requests: Requests
    _conversation: Conversation
    _downlink: Downlink
    _clips: ClipPlayer
    _closing_timeout_ns: int
    cause: CallEnded | None = field(init=False, default=None)

    @property
    def has_started(self) -> bool:
        """Whether something has ended the call; its links may still be open."""
        return self.cause is not None

    @property
    def is_complete(self) -> bool:
        """Whether something has ended the call, and both links are closed."""
        return self.has_started and (self._stream.state, self._session.state) == _CLOSED

    def end(
        self,
        reason: EndReason,
        detail: str,
        now: int,
        *,
        stream_code: int = NORMAL_CLOSURE,
        session_code: int = NORMAL_CLOSURE,
    ) -> None:
        """End the call: close what is open, with these close codes. The first cause counts."""
        if self.cause is None:
            self.cause = CallEnded(reason, detail)
            self._clips.drop_queued_hold()
            self._cut_unheard(now)
            self._downlink.end_stream(now)
            self._timers.stop_all()
            self._timers.set(Timer.CLOSING, now + self._closing_timeout_ns)
            self._stream.close(stream_code)
            self._session.close(session_code)
        self._notify_if_complete()

    def _cut_unheard(self, now: int) -> None:
        """Leave of the words of the agent those that were heard, since nothing more will be."""
        samples: dict[PartKey, tuple[int, int]] = {}
        for held in self._downlink.order.held_parts:
            samples[held] = 0, 0
        for each in self._downlink.positions(now):
            if isinstance(each.source, PartKey) and not each.is_heard_completely:
                samples[each.source] = each.estimated_samples, each.sent_samples
        for part, heard_and_sent in samples.items():
            heard_ms, sent_ms = map(samples_to_ms, heard_and_sent)
            cut = self._conversation.cut(part.item_id, part.content_index, heard_ms, sent_ms)
            for update in cut:
                self._outbox.notify(update)

    def time_out(self, reason: EndReason, peer: Peer, what: str, now: int) -> None:
        """End the call, since a peer has not done in time what it has to."""
        self._outbox.notify_fault(peer, FaultKind.TIMED_OUT, what)
        self.end(reason, what, now)

    def link_closed(self) -> None:
        """Note that a link of a call that has ended is closed."""
        self._notify_if_complete()

    def give_up_closing(self) -> None:
        """Count both links as closed, though the driver has not reported it."""
        self._stream.closed()
        self._session.closed()
        self._notify_if_complete()

    def _notify_if_complete(self) -> None:
        if self.cause is not None and self.is_complete:
            self._timers.stop_all()
            usage, unanswered = self._responses.usage, self._requests.unanswered_count
            self._outbox.notify(evolve(self.cause, usage=usage, unanswered_requests=unanswered))
