"""The invariants of the contract, of the links, and of the end of a call."""

from twilio_realtime_core.commands import GoAway, HangUp, NotifyAfterPlayback
from twilio_realtime_core.machine.actions import Close, Open, Peer, SendPing
from twilio_realtime_core.notifications import AllHeard, CallEnded, EndReason

from ..expected.call import ExpectedCall
from ..expected.links import OPEN_STATES, OVER_STATES, LinkState
from ..expected.playback import is_hold
from ..limits import GOING_AWAY_CODE, NORMAL_CLOSE_CODE, OVER_LIMIT_CODE
from ..received import ReceivedError, ReceivedMark
from ..sent import SentAppend, SentEvent, SentToTwilio, SentUpdate, UnreadableToTwilio
from ..step_record import Invariant, SocketClosed, StepRecord, TimeoutHandled, is_later
from ..units import MS
from .stream_limits import STREAM_MESSAGES

__all__ = ["BoundedWaits", "CallEnding", "LinkOrder", "PlaybackNotices", "TimeoutContract"]


class TimeoutContract(Invariant):
    """After `handle_timeout` the deadline is in the future; called before the deadline, it changes
    nothing."""

    number = 0
    name = "Timeout contract"
    inputs = (TimeoutHandled,)

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        now, before, deadline = step.now, step.deadline_before, step.deadline
        is_early = before is None or now < before
        if is_early and (step.actions or deadline != before):
            return "handle_timeout before the deadline changes something"
        if deadline is not None and deadline <= now:
            return f"after handle_timeout({now}) the deadline is {deadline}"
        return None


class LinkOrder(Invariant):
    """Messages are sent to Twilio between the start and the end of a stream, to the Realtime server
    while its socket is open, and audio to it once the session is configured.

    Twilio can read each message to it. If the server refuses the event that is to configure the
    session, the call ends.
    """

    number = 1
    name = "Order of links"
    inputs = (ReceivedError,)
    outputs = (SentToTwilio, SendPing, SentEvent)
    is_frame_judge = True

    def __init__(self, call: ExpectedCall) -> None:
        self._links = call.links
        self._first_update_id: str | None = None
        """The event id of what is to configure the session, until it is configured."""

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        event, links = step.event, self._links
        if not isinstance(event, ReceivedError) or not links.is_live or links.is_session_ready:
            return None
        is_unnamed = event.event_id is None and event.type in (None, "invalid_request_error")
        is_refused = is_unnamed or event.event_id == self._first_update_id
        is_refused &= self._first_update_id is not None
        if is_refused and not step.has_output(Close):
            return "the server refuses to configure the session, and the call continues"
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        links = self._links
        match value:
            case SentAppend() if not links.is_session_ready:
                return "audio is sent to a session that is not configured"
            case SentUpdate(event_id=event_id) if not links.is_session_ready:
                self._first_update_id = self._first_update_id or event_id
            case UnreadableToTwilio():
                return "Twilio cannot read a message to it"
            case SentToTwilio(stream_sid=sid):
                if not links.is_streaming:
                    return f"{type(value).__name__} without a stream"
                if sid != links.stream_sid:
                    return f"{type(value).__name__} for another stream than that of start"
            case SendPing(Peer.TWILIO):
                if not links.is_streaming:
                    return "a ping to Twilio without a stream"
            case _:
                if links.states[Peer.REALTIME] is not LinkState.OPEN:
                    return f"{type(value).__name__} to the Realtime server, which is not connected"
        return None


class CallEnding(Invariant):
    """The end of one link ends the other with one close, whose code says what ended the call, and
    `CallEnded`, the last output, follows when both are closed or the time for that is over.

    After `CallEnded` there is no deadline. A call that is to end after playback ends when all was
    heard, neither before nor later, unless somebody interrupts or no echo is received.
    """

    number = 10
    name = "End of the call"
    inputs = (HangUp, GoAway)
    outputs = (object,)
    triggers = (object,)
    is_frame_judge = True

    def __init__(self, call: ExpectedCall) -> None:
        self._call = call
        self._links = call.links
        self._is_deferred = self._is_hung_up = self._is_too_early = False

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        match step.event:
            case HangUp(after_playback=True):
                self._is_deferred = True
            case _:
                self._is_hung_up = True
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        if self._links.has_ended:
            return "an output follows CallEnded"
        match value:
            case Close(Peer() as peer, code):
                self._note_close(step)
                if code not in _close_codes(peer, step.event):
                    return f"{peer.value} is closed with {code}"
                if self._links.states[peer] not in OPEN_STATES:
                    return f"{peer.value} is closed although it is not open"
            case CallEnded(reason):
                if self._is_too_early and reason is EndReason.HUNG_UP:
                    return "the call is hung up before all was heard"
                has_timed_out = isinstance(step.event, TimeoutHandled)
                are_over = all(each in OVER_STATES for each in self._links.states.values())
                if not has_timed_out and not are_over:
                    return "CallEnded before both links are closed"
            case _:
                pass
        return None

    def _note_close(self, step: StepRecord) -> None:
        """Note whether a deferred end, if this is one, cuts off what was to be heard."""
        if self._is_deferred and self._links.is_live and not self._is_hung_up:
            self._is_too_early = not _may_be_heard(self._call, step)

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        links = self._links
        if links.has_ended:
            return "a deadline follows CallEnded" if step.deadline is not None else None
        if links.is_live:
            return self._check_deferred(step)
        if any(each in OPEN_STATES for each in links.states.values()):
            return "one link has ended, and the other is not closed"
        if all(each in OVER_STATES for each in links.states.values()):
            return "both links are closed, and there is no CallEnded"
        return None

    def _check_deferred(self, step: StepRecord) -> str | None:
        """Judge whether a call that is to end after playback has to end by the echo of the step."""
        if not self._is_deferred or not isinstance(step.event, ReceivedMark):
            return None
        is_over = _is_certainly_heard(self._call)
        return "all was heard, and the call does not end" if is_over else None


class PlaybackNotices(Invariant):
    """`AllHeard` is notified once for each `NotifyAfterPlayback`, in their order, when all was
    heard or the agent was interrupted, neither before nor later."""

    number = 20
    name = "Notices after playback"
    inputs = (NotifyAfterPlayback,)
    outputs = (AllHeard,)
    triggers = (ReceivedMark,)

    def __init__(self, call: ExpectedCall) -> None:
        self._call = call
        self._awaited: list[str] = []

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        if isinstance(step.event, NotifyAfterPlayback) and self._call.links.is_live:
            self._awaited.append(step.event.name)
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        if not isinstance(value, AllHeard):
            return None
        if self._awaited[:1] != [value.name]:
            return "AllHeard for what is not awaited"
        del self._awaited[0]
        is_session_over = isinstance(step.event, SocketClosed)  # no more will come of it
        if not is_session_over and not _may_be_heard(self._call, step):
            return "AllHeard before all was heard"
        return None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        if not self._awaited or not self._call.links.is_live:
            return None
        is_over = isinstance(step.event, ReceivedMark) and _is_certainly_heard(self._call)
        return "all was heard, and AllHeard is not notified" if is_over else None


def _may_be_heard(call: ExpectedCall, step: StepRecord) -> bool:
    """Whether all may have been heard: it was by the marks, or time is up, or an interruption is
    under way."""
    speech = call.speech
    if speech.is_interrupting or isinstance(step.event, TimeoutHandled):
        return True
    unplayed = speech.playback.unplayed_sources(step.now)
    is_speech_due = speech.is_speech_pending(step.now)
    is_speech_due |= call.requests.sent.is_speech_requested
    is_speech_due &= not (call.requests.is_ambiguous or call.requests.is_over)
    return all(map(is_hold, unplayed)) and not is_speech_due


def _is_certainly_heard(call: ExpectedCall) -> bool:
    """Whether marks show that all was heard, and nothing more can come."""
    requests = call.requests
    is_free = requests.is_free and not requests.queued_count and not requests.is_ambiguous
    return call.speech.is_all_heard and is_free and not requests.sent.is_speech_requested


def _close_codes(peer: Peer, event: object) -> tuple[int, ...]:
    """The codes of close frames that may follow from `event`; `StreamLimits` judges the last."""
    if isinstance(event, GoAway):
        return (GOING_AWAY_CODE,)
    is_from_twilio = isinstance(event, STREAM_MESSAGES)
    if peer is Peer.TWILIO and is_from_twilio:
        return (NORMAL_CLOSE_CODE, OVER_LIMIT_CODE)
    return (NORMAL_CLOSE_CODE,)


class BoundedWaits(Invariant):
    """A stream, a configuration and a session are awaited no longer than is configured, and a call
    that something has ended is over within the configured time, whatever its peers do.

    A call that is to end after playback has a deadline.
    """

    number = 13
    name = "Bounded waits"
    inputs = (HangUp, GoAway)
    outputs = (Open, Close, CallEnded)
    triggers = (object,)
    is_frame_judge = True

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._config = call.links, call.config
        self._is_hang_up_given = False

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        self._is_hang_up_given |= isinstance(step.event, HangUp | GoAway)
        return None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        links = self._links
        if links.has_ended:
            return None
        if links.ending_since_ns is None:
            limit_ns = self._limit_ns()
            if limit_ns is not None and is_later(step.deadline, links.waiting_since_ns + limit_ns):
                return "the call may wait for a peer longer than is configured"
            has_no_deadline = self._is_hang_up_given and step.deadline is None
            return "the call is to end, and has no deadline" if has_no_deadline else None
        if is_later(step.deadline, links.ending_since_ns + self._config.closing_timeout_ms * MS):
            return "the call may take longer to end than is configured"
        return None

    def _limit_ns(self) -> int | None:
        """How long the call may wait for what has to happen next; `None` if nothing has to."""
        links, config = self._links, self._config
        if links.states[Peer.TWILIO] is LinkState.NONE or links.is_session_ready:
            return None
        if not links.stream_sid:
            return config.start_timeout_ms * MS
        if links.states[Peer.REALTIME] is LinkState.NONE:
            return config.configure_timeout_ms * MS
        return config.session_timeout_ms * MS

    def check_ended(self, now: int) -> str | None:
        """Judge a call that has to be over at `now`."""
        is_over = self._links.has_ended
        return None if is_over else f"the call is not over at {now / 1e9:.3f} s"
