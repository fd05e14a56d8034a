"""What a call has said and heard, by session of the model: what `LaterSessions` judges by."""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

from attrs import define, field

from twilio_realtime_core.commands import Interrupt, Mute, ResetHistory, Unmute
from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import Peer, RealtimeLink, Send
from twilio_realtime_core.notifications import (
    CallerAudioDropped,
    Interrupted,
    ItemDeleted,
    ModelSilent,
    SessionLost,
    SessionReady,
    SessionRestored,
)
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    ClearInputAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
)
from twilio_realtime_core.values.items import ConversationItem, Message, TextPart

from .expected.turn_detection import ExpectedTurnDetection
from .received import (
    ReceivedAudio,
    ReceivedCommit,
    ReceivedError,
    ReceivedInputTranscript,
    ReceivedItem,
    ReceivedItemAdded,
    ReceivedItemDeleted,
    ReceivedItemDone,
    ReceivedMedia,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
    ReceivedResponseEnd,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
    ReceivedTranscriptDelta,
    ReceivedTranscriptEnd,
)
from .sent import SentAppend, SentCancel, SentDelete, SentItem, SentOther, SentUpdate
from .step_record import StepRecord
from .wire import count_samples

__all__ = ["SessionLog", "SessionRecord", "link_of"]

_ENDS_OF_QUESTIONS: Final = (
    CancelResponse,
    ClearInputAudio,
    Interrupt,
    ReceivedAudio,
    ReceivedError,
    ReceivedItemDeleted,
    ReceivedOutputItemDone,
    ReceivedResponseEnd,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedStart,
    ResetHistory,
)
"""What begins an answer, or after which it is not certain that there is one."""

_MAX_FRAMES: Final = 2000
"""Frames of the caller that are remembered: no session takes longer to be had."""


def link_of(action: object) -> Hashable:
    """Return the key of the connection on which a message is sent; `None`: it is no message."""
    return action.peer if isinstance(action, Send) else None


@define(eq=False)
class SessionRecord:
    """What is known of one session: the items that it knows, and what was sent."""

    items: set[str] = field(factory=set[str])
    texts: set[str] = field(factory=set[str])
    """Those of them that were created here, so that they have no audio."""
    outputs: set[str] = field(factory=set[str])
    appended: deque[str] = field(factory=lambda: deque[str](maxlen=_MAX_FRAMES))
    turn: list[str] | None = None
    """What was appended since the caller started to speak; `None`: the caller does not, or the turn
    is committed or answered. Without turn detection, what was appended since the last commit."""
    question: list[str] | None = None
    """What was appended of the turn that was committed last, if nothing of an answer to it was
    received."""
    question_item: str = ""
    """The item of that turn."""
    question_samples: int = 0
    """How much audio was appended since that turn began."""
    detection: ExpectedTurnDetection = field(factory=ExpectedTurnDetection)
    is_detecting: bool = True
    """Whether turn detection is on."""
    is_speaking: bool = False
    """Whether the caller speaks, and nothing that may end their turn was received."""
    may_be_speaking: bool = False
    """Whether the caller speaks, as far as turn detection has said."""

    def end_turn(self) -> None:
        """Note that the turn is committed, answered or cleared."""
        self.turn = None if self.is_detecting else []
        self.is_speaking = False

    def commit(self, item_id: str) -> None:
        """Note that the turn is committed as an item."""
        # One that the client commits while the caller speaks is answered by nobody.
        has_question = self.is_detecting and not self.may_be_speaking
        self.question = self.turn if has_question else None
        self.question_item = item_id
        self.question_samples = sum(count_samples(each) or 0 for each in self.question or ())
        self.end_turn()

    def append(self, audio: str) -> None:
        """Note audio that is sent."""
        self.appended.append(audio)
        if self.turn is not None:
            self.turn.append(audio)
        if self.question is not None:
            self.question_samples += count_samples(audio) or 0


@define(eq=False)
class SessionLog:
    """What a call has said and heard so far, by session, whether or not one is ever lost."""

    sessions: dict[Hashable, SessionRecord] = field(factory=dict[Hashable, SessionRecord])
    order: dict[str, None] = field(factory=dict[str, None])
    """All items of the conversation, in the order in which they were added first."""
    words: dict[str, list[str]] = field(factory=dict[str, list[str]])
    """What was said in each item: the pieces so far, and each whole text that was received."""
    _words_before: dict[str, list[str]] = field(factory=dict[str, list[str]])
    """The words of items that a command has changed, which the server may refuse."""
    heard: dict[str, str] = field(factory=dict[str, str])
    """What was heard of the items that were interrupted."""
    waiting: deque[str] = field(factory=lambda: deque[str](maxlen=_MAX_FRAMES))
    """Frames of the caller that were received while no session took them."""
    has_dropped: bool = False
    """Whether audio was dropped since then."""
    answers: dict[str, str] = field(factory=dict[str, str])
    """By call id, the items that answer function calls, in whatever session."""
    deleted: set[str] = field(factory=set[str])
    """The items that were deleted."""
    unclear_answers: set[str] = field(factory=set[str])
    """Ids of function calls whose answers the server has given an id of another item; and of those
    that were deleted, since no session gets the answer without its call."""
    _calls: dict[str, str] = field(factory=dict[str, str])
    """The ids of the function calls, by their items."""
    reused: set[str] = field(factory=set[str])
    """The ids that the server has given to items of several kinds."""
    _kinds: dict[str, tuple[str, object]] = field(factory=dict[str, tuple[str, object]])
    """The types and roles of items."""
    is_ready: bool = False
    """Whether there is a session that takes the caller's audio."""
    was_ready: bool = False
    """Whether there ever was one."""
    is_ordered: bool = True
    """Whether no command has put items in an order of its own."""
    is_impatient: bool = False
    """Whether a command has made a request that does not wait for the caller."""
    _is_muted: bool = False
    _stream_sid: str = ""

    def session(self, link: Hashable) -> SessionRecord:
        """Return what is known of the session on a connection."""
        found = self.sessions.get(link)
        if found is None:
            found = self.sessions[link] = SessionRecord()
        return found

    def add_frame(self, link: Hashable, payload: str) -> None:
        """Add a frame that was only forwarded."""
        self.session(link).append(payload)

    def add_outputs(self, step: StepRecord) -> None:
        """Add what a step did, once it is judged."""
        match step.event:
            case ReceivedMedia(stream_sid, payload, is_outbound=is_outbound):  # most events
                is_taken = self._is_muted or is_outbound or step.has_output(SentAppend, Fault)
                is_waiting = not is_taken and stream_sid == self._stream_sid
                if is_waiting and count_samples(payload) is not None:
                    self.waiting.append(payload)
            case ReceivedStart(stream_sid=stream_sid):
                self._stream_sid = stream_sid
                self._end_speech()
            case ResetHistory(items=items):
                self.is_ordered = False
                for item in items:
                    self._change_words(item)
            case CreateItem():
                self.is_ordered = False
            case DeleteItem(item_id=item_id):  # perhaps sent to no session
                self._delete(item_id)
            case Mute() | Unmute():
                self._is_muted = isinstance(step.event, Mute)
            case _:
                pass
        for action, value in zip(step.actions, step.values, strict=True):
            self._add_output(action, value)

    def _end_speech(self) -> None:
        for session in self.sessions.values():
            session.is_speaking = False

    def _add_output(self, action: object, value: object) -> None:
        match value:
            case SentAppend(audio=audio):
                self.session(link_of(action)).append(audio)
                self.waiting.clear()
            case SentOther(
                body={"type": "input_audio_buffer.clear"}
            ):  # perhaps long after the command
                self.session(link_of(action)).end_turn()
            case SentUpdate(body=body):
                self.session(link_of(action)).detection.ask(body)
            case SentItem(item=item):
                self.add_sent_item(self.session(link_of(action)), item)
            case Interrupted(items=items):
                self._end_questions(self.sessions.values())
                for each in items:
                    if each.heard is None:  # words that come later may have been heard
                        self.heard.pop(each.item_id, None)
                    else:
                        self.heard[each.item_id] = each.heard
            case CallerAudioDropped():
                self.has_dropped = True
            case Fault() | ModelSilent() | SentCancel() if self.is_ready:
                self._end_questions(self.sessions.values())
            case SentDelete(item_id=item_id):
                self._delete(item_id)
            case ItemDeleted(item_id=item_id) if not self.is_ordered:
                self._delete(item_id)  # perhaps while there was no session to tell
            case SessionReady() | SessionRestored():
                self.is_ready = self.was_ready = True
            case SessionLost():
                self.is_ready = False
            case _:
                pass

    def _change_words(self, item: ConversationItem) -> None:
        """Note that a command gives an item its words, in place of those that were said in it; not
        those of an item that is not complete, which is an earlier state of one that has grown."""
        parts = item.parts if isinstance(item, Message) and item.is_complete else ()
        texts = [each.text for each in parts if isinstance(each, TextPart)]
        if texts and len(texts) == len(parts) and item.id in self.words:
            self._words_before.setdefault(item.id, []).extend(self.words[item.id])
            self.words[item.id] = ["".join(texts)]

    def _keep_words(self) -> None:
        """Note that the server may have refused what commands were to change."""
        for item_id, texts in self._words_before.items():
            self.words[item_id].extend(texts)
        self._words_before.clear()

    def _delete(self, item_id: str) -> None:
        self.deleted.add(item_id)
        if item_id in self._calls:
            self.unclear_answers.add(self._calls[item_id])

    def add_input(self, step: StepRecord) -> None:
        """Add what a step received, before it is judged."""
        if isinstance(step.event, ReceivedMedia):
            return  # as for most events
        if isinstance(step.event, _ENDS_OF_QUESTIONS):
            link = step.arguments[0]
            is_of_session = isinstance(link, Peer | RealtimeLink) and link in self.sessions
            self._end_questions([self.session(link)] if is_of_session else self.sessions.values())
        self._add_turn(step)
        match step.event:
            case CreateResponse(waits_for_caller=False):
                self.is_impatient = True
            case ReceivedItemAdded(item) | ReceivedOutputItemAdded(item=item):
                self._add_item(self.session(step.arguments[0]), item)
                self.order.setdefault(item.id)
            case ReceivedOutputItemDone(item=item) | ReceivedItemDone(item=item):
                self._add_item(self.session(step.arguments[0]), item)
            case ReceivedAudio(item_id=item_id):
                self.session(step.arguments[0]).items.add(item_id)
            case ReceivedItemDeleted(item_id=item_id):
                self._delete(item_id)
            case ReceivedTranscriptDelta(item_id=item_id, text=text):
                self.words.setdefault(item_id, [""])[0] += text
            case ReceivedTranscriptEnd(item_id=item_id, text=text):
                self.words.setdefault(item_id, [""]).append(text)
            case ReceivedInputTranscript(item_id=item_id, text=text):
                self.words.setdefault(item_id, [""]).append(text)
                session = self.session(step.arguments[0])
                if session.question_item == item_id:  # the next one is told the words
                    session.question = None
            case ReceivedError():
                self._keep_words()
            case _:
                pass

    def _add_turn(self, step: StepRecord) -> None:
        """Add what is said of the caller's turn."""
        match step.event:
            case ClearInputAudio():  # what was said of the turn is discarded
                for session in self.sessions.values():
                    session.end_turn()
            case ReceivedSpeechStart():
                session = self.session(step.arguments[0])
                session.turn, session.is_speaking, session.may_be_speaking = [], True, True
            case ReceivedSpeechStop():
                session = self.session(step.arguments[0])
                session.is_speaking = session.may_be_speaking = False
            case ReceivedSession(config):
                self._configure(self.session(step.arguments[0]), config)
            case ReceivedCommit(item_id):
                self.session(step.arguments[0]).commit(item_id)
            case ReceivedResponseStart(is_out_of_band=False):
                session = self.session(step.arguments[0])
                if session.is_detecting:
                    session.end_turn()
            case _:
                pass

    def _end_questions(self, sessions: Iterable[SessionRecord]) -> None:
        for session in sessions:
            session.question = None

    def _configure(self, session: SessionRecord, config: dict[str, Any]) -> None:
        was_detecting = session.is_detecting
        session.detection.describe(config)
        session.is_detecting = session.detection.is_on
        session.is_speaking = False
        if was_detecting is not session.is_detecting:
            session.end_turn()

    def _add_item(self, session: SessionRecord, item: ReceivedItem) -> None:
        session.items.add(item.id)
        role = item.fields.get("role")
        type_, known_role = self._kinds.setdefault(item.id, (item.type, role))
        has_other_role = role is not None and known_role not in (None, role)
        if type_ != item.type or has_other_role:
            self.reused.add(item.id)
            if item.call_id is not None:
                self.unclear_answers.add(item.call_id)
        if item.type == "function_call" and item.call_id is not None:
            self._calls[item.id] = item.call_id
        if item.type == "function_call_output" and item.call_id is not None:
            self.answers[item.call_id] = item.id
        for part in item.parts:
            text = part.get("transcript", part.get("text"))
            if isinstance(text, str):
                self.words.setdefault(item.id, [""]).append(text)

    def add_sent_item(self, session: SessionRecord, item: Mapping[str, Any]) -> None:
        """Add an item that was sent on a session."""
        item_id = str(item.get("id"))
        if item.get("type") == "function_call_output":
            session.outputs.add(str(item.get("call_id")))
        session.items.add(item_id)
        session.texts.add(item_id)
