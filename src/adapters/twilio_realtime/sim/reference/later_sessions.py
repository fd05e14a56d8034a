"""The judge of a call that goes on after a session was lost, or replaced before it expired.

The other judges follow one session. From the step on in which a session ends and the call does not,
this one judges the call in their place: it knows each connection to the model by its key, and has
followed the call from the start (`SessionLog`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

from twilio_realtime_core.machine.actions import (
    Close,
    Open,
    Peer,
    RealtimeLink,
    kind_of,
)
from twilio_realtime_core.notifications import (
    CallEnded,
    ItemDeleted,
    SessionLost,
    SessionReady,
    SessionRestored,
)
from twilio_realtime_core.protocols.realtime import ClearInputAudio

from .limits import MAX_EARLY_SAMPLES, TURN_END_NS
from .received import (
    ReceivedCommit,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
)
from .sent import (
    SentAppend,
    SentCancel,
    SentDelete,
    SentItem,
    SentRequest,
    SentTruncate,
    SentUpdate,
    UnreadableToTwilio,
)
from .session_log import SessionLog, SessionRecord, link_of
from .step_record import (
    Invariant,
    SocketClosed,
    SocketOpened,
    StepRecord,
    TimeoutHandled,
    is_later,
)
from .units import MS
from .wire import count_samples, is_list, is_object

__all__ = ["LaterSessions", "outlives_session"]

_OF_TURN: Final = (
    ClearInputAudio,
    ReceivedCommit,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
)
"""What is known of a caller's turn, or ends it."""

_END_OR_START: Final = frozenset({Close, Open, SessionLost, SessionRestored})
"""The outputs with which a session may end, or another one start."""


def outlives_session(step: StepRecord) -> bool:
    """Whether a session of the model ends in a step, and the call does not; or another one is
    opened beside it."""
    if type(step.event) is not SocketClosed and _END_OR_START.isdisjoint(map(type, step.values)):
        return False  # as nearly always
    if step.has_output(SessionLost, SessionRestored) or any(map(_opens_another, step.actions)):
        return True
    closed = {kind_of(each.peer) for each in step.actions if isinstance(each, Close)}
    if isinstance(step.event, SocketClosed):
        closed.add(kind_of(step.event.peer))
    return closed == {Peer.REALTIME}


def _opens_another(action: object) -> bool:
    return isinstance(action, Open) and isinstance(action.peer, RealtimeLink)


class LaterSessions(Invariant):
    """A call outlives a session of the model: the next one gets the words that were heard, and
    the caller's audio, in order, without a gap up to the limit, from the beginning of a turn whose
    answer has not begun.

    A function call is answered once in a session, and restored with its output. No event names an
    item of an earlier session, nor the audio of one that a session has as text, and nothing that is
    still received of an earlier session has an effect. No automatic request is sent before the next
    session has had time to report the turn of a caller who was speaking. A session is used as soon
    as it is configured. The call never waits without a deadline, nor for longer than is configured,
    and it ends.
    """

    number = 21
    name = "Later sessions"

    def __init__(self, log: SessionLog, timeout_ms: int | None) -> None:
        """`timeout_ms` is how long a session that replaces a lost one may take to be ready."""
        super().__init__(None)
        self._log = log
        self._timeout_ms = timeout_ms
        self._limit_ns: int | None = None
        """Until when the next session has to be ready, since one was lost."""
        self._newest: object = None
        """The connection that was opened last, while it is not closed."""
        self._has_ended = False
        self._is_lost = False
        self._is_ending = False
        self._open_due_ns: int | None = None
        """When another connection is to be opened, by the last `SessionLost`."""
        self._closed: set[object] = set()
        """The connections that are closed, or were told to."""
        self._turn_until_ns = 0
        """Until when requests wait for the caller who was speaking when a session was lost."""

    def check(self, step: StepRecord) -> str | None:
        """Judge a step, and add it to the log."""
        checks = self._check_end(step), self._check_links(step), self._check_time(step)
        wrong = next(chain(*checks), None)
        if wrong is None and step.has_output(SessionRestored):
            wrong = next(self._check_restored(step), None)
        if wrong is None:
            checks = self._check_sent(step), self._check_attempts(step), self._check_turn(step)
            wrong = next(chain(*checks), None)
        self._is_lost = step.has_output(SessionLost) or (
            self._is_lost and not step.has_output(SessionRestored)
        )
        return wrong

    def check_ended(self, now: int) -> str | None:
        """Judge a call that has to be over at `now`."""
        return None if self._has_ended else f"the call is not over at {now / 1e9:.3f} s"

    def _check_end(self, step: StepRecord) -> Iterator[str]:
        if self._has_ended and step.values:
            yield "an output follows CallEnded"
        self._has_ended |= step.has_output(CallEnded)
        is_timeout = isinstance(step.event, TimeoutHandled)
        if is_timeout and step.deadline is not None and step.deadline <= step.now:
            yield "after handle_timeout the deadline is not in the future"
        if self._has_ended and step.deadline is not None:
            yield "a deadline follows CallEnded"
        if self._is_lost and not self._has_ended and step.deadline is None:
            yield "the call waits for a session without a deadline"

    def _check_links(self, step: StepRecord) -> Iterator[str]:
        link = step.arguments[0] if step.arguments else None
        is_link = isinstance(link, Peer | RealtimeLink)
        if is_link and link in self._closed and step.values and not self._has_ended:
            yield "an event of an earlier session has an effect"
        if isinstance(step.event, SocketClosed):
            self._closed.add(step.event.peer)
        is_over = any(isinstance(each, Close) and each.peer is Peer.TWILIO for each in step.actions)
        if not is_over:  # else the end of the links ends the call
            self._closed |= {each.peer for each in step.actions if isinstance(each, Close)}

    def _check_time(self, step: StepRecord) -> Iterator[str]:
        """Judge whether a session takes the place of a lost one as soon as it is configured, and is
        not awaited for longer than is configured."""
        if isinstance(step.event, SocketClosed) and step.event.peer == self._newest:
            self._newest = None
        is_over = step.has_output(SessionRestored, CallEnded) or any(
            isinstance(each, SessionLost) and each.attempt is None for each in step.values
        )
        if self._limit_ns is not None and not is_over and not step.has_output(Close, SessionLost):
            is_newest = bool(step.arguments) and step.arguments[0] == self._newest
            if isinstance(step.event, ReceivedSession) and is_newest:
                yield "a session that is configured is not restored"
            is_late = step.now > self._limit_ns or is_later(step.deadline, self._limit_ns)
            if is_late and self._newest is not None:
                yield "a session may be awaited for longer than is configured"
        if step.has_output(SessionLost) and self._log.is_ready and self._timeout_ms is not None:
            self._limit_ns = step.now + self._timeout_ms * MS
        for each in step.actions:
            match each:
                case Open(peer=RealtimeLink()):
                    self._newest = each.peer
                case Close(peer=Peer.TWILIO):
                    is_over = True
                case Close():
                    self._newest = None
                case _:
                    pass
        if is_over:
            self._limit_ns = None
        if self._log.is_ready and self._log.waiting and not self._is_ending:
            yield "audio of the caller is not sent though a session is ready"

    def _check_attempts(self, step: StepRecord) -> Iterator[str]:
        """Judge whether the connections that were announced are opened, and configured."""
        is_ending = any(isinstance(each, Close | CallEnded) for each in step.values)
        due_ns = self._open_due_ns
        if is_ending or any(map(_opens_another, step.actions)):
            self._open_due_ns = None
        elif due_ns is not None and step.now > due_ns:
            yield "no other session is opened when SessionLost says"
        for each in step.values:
            if is_ending:  # another session is of no use
                continue
            if isinstance(each, SessionLost) and each.retry_in_ms:  # at once where it is 0
                self._open_due_ns = step.now + each.retry_in_ms * MS
        match step.event:
            case SocketOpened(RealtimeLink() as link) if link not in self._closed:
                if not self._is_ending and not step.has_output(SentUpdate):
                    yield "a session that is open is not configured"
            case _:
                pass
        self._is_ending |= is_ending and any(
            isinstance(each, Close) and each.peer is Peer.TWILIO for each in step.actions
        )

    def _check_sent(self, step: StepRecord) -> Iterator[str]:
        for action, value in zip(step.actions, step.values, strict=True):
            session = self._log.session(link_of(action))
            match value:
                case UnreadableToTwilio():
                    yield "Twilio cannot read a message to it"
                case SentTruncate(item_id=item_id) | SentDelete(item_id=item_id):
                    if item_id not in session.items and _is_automatic(step):
                        yield "an item is named that this session does not know"
                    is_text = item_id in session.texts and isinstance(value, SentTruncate)
                    if is_text and _is_automatic(step):
                        yield "an item is truncated that this session has as text"
                case SentCancel(response_id=str()) if (
                    step.has_output(SessionRestored) and link_of(action) not in self._closed
                ):
                    yield "a response of an earlier session is cancelled"
                case SentItem(item={"type": "function_call_output", "call_id": str(call_id)}):
                    if call_id in session.outputs and _is_automatic(step):
                        yield "a function call gets two outputs in a session"
                case _:
                    pass
            self._note_sent(action, value)

    def _check_turn(self, step: StepRecord) -> Iterator[str]:
        """Judge whether requests wait for a turn of which the next session gets the audio."""
        link = step.arguments[0] if step.arguments else None
        if isinstance(step.event, ReceivedSpeechStart) and link in self._closed:
            self._log.session(link).is_speaking = False  # it is late
        if step.has_output(SessionRestored):
            is_detecting = self._log.session(self._newest).is_detecting
            may_speak = is_detecting and not isinstance(step.event, ReceivedStart)
            is_speaking = any(each.is_speaking for each in self._log.sessions.values())
            self._turn_until_ns = step.now + TURN_END_NS if may_speak and is_speaking else 0
            for each in self._log.sessions.values():
                each.is_speaking = False
        elif isinstance(step.event, _OF_TURN) or step.has_output(SessionLost):
            self._turn_until_ns = 0
        if step.now < self._turn_until_ns and not self._log.is_impatient:
            requests = [each for each in step.values if isinstance(each, SentRequest)]
            if not all("response" in each.body for each in requests):
                yield "a request is sent before the next session has reported the caller's turn"

    def _note_sent(self, action: object, value: object) -> None:
        """Add an item to the log at once, since later events of the step may name it."""
        if isinstance(value, SentItem):
            self._log.add_sent_item(self._log.session(link_of(action)), value.item)

    # What the next session gets.

    def _check_restored(self, step: StepRecord) -> Iterator[str]:
        restored = next(each for each in step.values if isinstance(each, SessionRestored))
        items = [each.item for each in step.values if isinstance(each, SentItem)]
        told = [each for each in items if each.get("id") in restored.items]
        ids = [str(each["id"]) for each in told]
        # One that was deleted and came again has another place than it had at first.
        order = [each for each in self._log.order if each not in self._log.deleted]
        known = [each for each in order if each in ids]
        if self._log.is_ordered and [each for each in ids if each in order] != known:
            yield "items are restored in another order"
        counts = Counter(str(each.get("id")) for each in items)
        if self._log.is_ordered and any(counts[each] > 1 for each in ids):
            yield "an item is restored twice"
        for item in told:
            yield from self._check_words(item)
        yield from self._check_answers(items, self._removed_items(step))
        calls = [each.get("call_id") for each in items if each.get("type") == "function_call"]
        for item in told:
            if item.get("type") == "function_call_output" and item.get("call_id") not in calls:
                yield "the output of a function call is restored without the call"
        yield from self._check_audio(step)

    def _removed_items(self, step: StepRecord) -> set[str]:
        """Return the items that were deleted, with those that the application has removed while
        there was no session to delete them from."""
        if self._log.is_ordered:
            return self._log.deleted
        removed = {each.item_id for each in step.values if isinstance(each, ItemDeleted)}
        return self._log.deleted | removed

    def _check_answers(self, items: list[dict[str, Any]], removed: set[str]) -> Iterator[str]:
        """Judge whether each function call that was answered is restored with its output, unless
        that was `removed`."""
        outputs = {each.get("call_id") for each in items if "output" in each}
        for item in items:
            call_id = str(item.get("call_id"))
            answer_id = self._log.answers.get(call_id)
            is_lost = item.get("type") == "function_call" and call_id not in outputs
            is_known = answer_id is not None and call_id not in self._log.unclear_answers
            if is_lost and is_known and answer_id not in removed:
                yield "a function call is restored without its output"

    def _check_words(self, item: Mapping[str, Any]) -> Iterator[str]:
        item_id, said = str(item.get("id")), _text_of(item)
        is_spoken = item.get("role") in ("user", "assistant") and item_id in self._log.words
        if not is_spoken or len(item.get("content", ())) > 1 or item_id in self._log.reused:
            return
        texts = self._log.words[item_id]
        if not any(each.strip().startswith(said.strip()) for each in texts):
            yield "an item is restored with words that were not said in it"
        # A command that resets the history chooses the words itself.
        heard = self._log.heard.get(item_id) if self._log.is_ordered else None
        if heard is not None and said.strip() != heard.strip():
            yield "an item is restored with other words than were heard"

    def _check_audio(self, step: StepRecord) -> Iterator[str]:
        """Judge whether the caller's audio goes on where the last session stopped."""
        sent = [each.audio for each in step.values if isinstance(each, SentAppend)]
        waiting = list(self._log.waiting)
        earlier = [list(each.appended) for each in self._log.sessions.values() if each.appended]
        replaced = [each for each in self._log.sessions.values() if each.appended]
        turns = [each.turn for each in replaced if each.turn is not None]
        turn = turns[-1] if turns else []
        asked = [each for each in replaced if each.question is not None] or [SessionRecord()]
        question, question_samples = asked[-1].question or [], asked[-1].question_samples
        for each in replaced:
            each.turn = each.question = None
        if self._log.has_dropped:
            self._log.has_dropped = False
            return
        is_short = sum(count_samples(each) or 0 for each in turn) < MAX_EARLY_SAMPLES // 2
        if is_short and not _is_within(turn, sent):
            yield "a turn of the caller is cut by the loss of a session"
        is_short = question_samples < MAX_EARLY_SAMPLES // 2
        if is_short and not _is_within(question, sent):
            yield "a turn whose answer has not begun is lost with a session"
        old = earlier[-1] if earlier else []
        if not any(
            sent[:count] == old[len(old) - count :] and _is_within(waiting, sent[count:])
            for count in range(min(len(sent), len(old)) + 1)
        ):
            yield "audio of the caller is lost between two sessions"


def _is_automatic(step: StepRecord) -> bool:
    """Whether the bridge acts by itself, and not by a command of the application."""
    is_flush = step.has_output(SessionReady, SessionRestored)
    return step.method.__name__ != "send" and not is_flush


def _text_of(item: Mapping[str, Any]) -> str:
    content = item.get("content")
    parts: Iterable[Any] = content if is_list(content) else ()
    return "".join(str(each.get("text", "")) for each in parts if is_object(each))


def _is_within(some: list[str], all_: list[str]) -> bool:
    """Whether all of `some` are in `all_`, in this order."""
    left = iter(all_)
    return all(each in left for each in some)
