"""The conversation: the order of its items, their words, what was heard, and resets."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.conversation.conversation import (
    MAX_ITEMS,
    MAX_OUT_OF_BAND_ITEMS,
    Conversation,
    ItemNotification,
)
from twilio_realtime_core.conversation.entry import MAX_PARTS
from twilio_realtime_core.conversation.history_diff import Edit
from twilio_realtime_core.conversation.unanswered_edits import EDIT_ID, MAX_UNANSWERED_EDITS
from twilio_realtime_core.errors import Fault, LocalProtocolError
from twilio_realtime_core.machine.arguments import MAX_MS
from twilio_realtime_core.notifications import ItemAdded, ItemDeleted, ItemUpdated
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.protocols.realtime import (
    CreateItem,
    DeleteItem,
    ErrorEvent,
    InputTranscriptCompletedEvent,
    InputTranscriptDeltaEvent,
    InputTranscriptFailedEvent,
    Item,
    ItemDoneEvent,
    ItemRetrievedEvent,
    ItemTruncatedEvent,
    OutputTextDeltaEvent,
    OutputTextDoneEvent,
    OutputTranscriptDeltaEvent,
    OutputTranscriptDoneEvent,
    ServerError,
    ServerEvent,
)
from twilio_realtime_core.values.items import (
    AudioPart,
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    Message,
    Role,
    TextPart,
)

TRACES = Path(__file__).parents[1] / "traces"


def added(item: Item, previous: str | None = None) -> realtime.ItemAddedEvent:
    return realtime.ItemAddedEvent(item, previous)


def deleted(item_id: str) -> realtime.ItemDeletedEvent:
    return realtime.ItemDeletedEvent(item_id)


def caller(id_: str, transcript: str | None = None) -> Item:
    content = [{"type": "input_audio", "transcript": transcript}]
    return Item(id_, "message", "user", "completed", content)


def agent(id_: str, *parts: dict[str, Any], status: str = "in_progress") -> Item:
    return Item(id_, "message", "assistant", status, list(parts))


def audio(transcript: str | None) -> dict[str, Any]:
    return {"type": "output_audio", "transcript": transcript}


def delta(item_id: str, words: str, content_index: int = 0) -> OutputTranscriptDeltaEvent:
    return OutputTranscriptDeltaEvent("r", item_id, words, content_index)


class SessionConversation(Conversation):
    """The conversation, which takes the events of the server."""

    def receive(self, event: ServerEvent) -> list[ItemNotification]:
        """Pass an event on to the method for it. Returns what to notify."""
        match event:
            case OutputTranscriptDeltaEvent(_, item_id, words, index):
                self.transcript_delta(item_id, index, words)
            case OutputTextDeltaEvent(_, item_id, words, index):
                self.transcript_delta(item_id, index, words, is_spoken=False)
            case InputTranscriptDeltaEvent(item_id, words):
                self.transcript_delta(item_id, 0, words or "")
            case OutputTranscriptDoneEvent(_, item_id, words, index):
                return self.transcript_done(item_id, index, words)
            case OutputTextDoneEvent(_, item_id, words, index):
                return self.transcript_done(item_id, index, words, is_spoken=False)
            case InputTranscriptCompletedEvent(item_id, words):
                return self.transcript_done(item_id, 0, words)
            case InputTranscriptFailedEvent(item_id):
                return self.transcript_failed(item_id)
            case realtime.ItemAddedEvent(item=item, previous_item_id=previous):
                return self.item_added(item, previous)
            case ItemDoneEvent(item=item):
                return self.item_done(item)
            case ItemRetrievedEvent(item=item):
                return self.item_retrieved(item)
            case ItemTruncatedEvent(item_id, index, audio_end_ms):
                return self.item_truncated(item_id, index, audio_end_ms)
            case realtime.ItemDeletedEvent(item_id):
                return self.item_deleted(item_id)
            case ErrorEvent(error):
                self.edit_refused(error)
            case _:
                pass
        return []


def received(*events: ServerEvent) -> SessionConversation:
    conversation = SessionConversation()
    for event in events:
        conversation.receive(event)
    return conversation


def ids(conversation: Conversation) -> list[str]:
    return [item.id for item in conversation.items]


def of_agent(id_: str, *parts: ContentPart, complete: bool = True) -> Message:
    return Message(id_, Role.ASSISTANT, parts, complete)


def of_caller(id_: str, transcript: str | None) -> Message:
    return Message(id_, Role.USER, (AudioPart(transcript),))


# Order.


def test_an_added_item_is_notified_with_its_place() -> None:
    conversation = received(added(caller("a")))
    assert conversation.receive(added(agent("b"), "a")) == [
        ItemAdded(of_agent("b", complete=False), "a")
    ]
    assert conversation.items == (of_caller("a", None), of_agent("b", complete=False))
    assert conversation.get("a") == of_caller("a", None)
    assert conversation.get("c") is None


def test_s71_an_item_is_added_behind_the_item_named() -> None:
    """S71: item order by previous_item_id."""
    conversation = received(added(caller("a")), added(caller("c"), "a"))
    assert conversation.receive(added(caller("b"), "a")) == [ItemAdded(of_caller("b", None), "a")]
    assert ids(conversation) == ["a", "b", "c"]


@pytest.mark.parametrize("front", [None, "root"])
def test_s70_an_item_without_a_previous_one_is_first(front: str | None) -> None:
    """S70: null previous_item_id preserved."""
    conversation = received(added(caller("b")))
    assert conversation.receive(added(caller("a"), front)) == [
        ItemAdded(of_caller("a", None), None)
    ]
    assert ids(conversation) == ["a", "b"]


def test_an_item_behind_an_unknown_one_is_last() -> None:
    conversation = received(added(caller("a")))
    assert conversation.receive(added(caller("b"), "unknown")) == [
        ItemAdded(of_caller("b", None), "a")
    ]
    assert ids(conversation) == ["a", "b"]


def test_an_item_added_again_keeps_its_place() -> None:
    conversation = received(added(caller("a")), added(caller("b"), "a"))
    assert conversation.receive(added(caller("b"), None)) == []
    assert conversation.receive(added(caller("b", "Hi."), None)) == [
        ItemUpdated(of_caller("b", "Hi."))
    ]
    assert ids(conversation) == ["a", "b"]


def test_a_deleted_item_is_removed_once() -> None:
    conversation = received(added(caller("a")), added(caller("b"), "a"))
    assert conversation.receive(deleted("a")) == [ItemDeleted("a")]
    assert conversation.receive(deleted("a")) == []
    assert ids(conversation) == ["b"]


@pytest.mark.parametrize(
    "event",
    [
        ItemDoneEvent(caller("x", "Hi.")),
        ItemRetrievedEvent(caller("x", "Hi.")),
        ItemTruncatedEvent("x", 0, 100),
        deleted("x"),
        delta("x", "Hi."),
        OutputTranscriptDoneEvent("r", "x", "Hi."),
        OutputTextDoneEvent("r", "x", "Hi."),
        InputTranscriptDeltaEvent("x"),
        InputTranscriptCompletedEvent("x", "Hi."),
        InputTranscriptFailedEvent("x"),
        ErrorEvent(ServerError("no")),
    ],
)
def test_events_of_unknown_items_notify_nothing(event: ServerEvent) -> None:
    conversation = received(added(caller("a")))
    assert conversation.receive(event) == []
    assert conversation.items == (of_caller("a", None),)


# Words.


def test_s71_words_of_the_caller_precede_or_follow_their_item() -> None:
    """S71: transcripts survive item updates and deltas."""
    conversation = received(
        InputTranscriptDeltaEvent("a", "Hel"), InputTranscriptDeltaEvent("a", "lo")
    )
    assert conversation.receive(added(caller("a"))) == [ItemAdded(of_caller("a", "Hello"), None)]
    assert conversation.receive(ItemDoneEvent(caller("a"))) == []
    assert conversation.receive(InputTranscriptDeltaEvent("a", " there")) == []
    assert conversation.items == (of_caller("a", "Hello there"),)
    assert conversation.receive(InputTranscriptCompletedEvent("a", "Hello there.")) == [
        ItemUpdated(of_caller("a", "Hello there."))
    ]
    assert conversation.receive(ItemRetrievedEvent(caller("a"))) == []


def test_a_failed_transcript_keeps_the_words_received() -> None:
    conversation = received(added(caller("a")), InputTranscriptDeltaEvent("a", "Hel"))
    assert conversation.receive(InputTranscriptFailedEvent("a")) == [
        ItemUpdated(of_caller("a", "Hel"))
    ]
    assert conversation.receive(InputTranscriptFailedEvent("a")) == []


def test_s71_words_of_the_agent_are_notified_when_complete() -> None:
    """S71: transcripts survive item updates and deltas."""
    conversation = received(added(agent("a")))
    assert conversation.receive(delta("a", "Good ")) == []
    assert conversation.receive(delta("a", "morning.")) == []
    said = of_agent("a", AudioPart("Good morning."), complete=False)
    assert conversation.items == (said,)
    done = OutputTranscriptDoneEvent("r", "a", "Good morning.")
    assert conversation.receive(done) == [ItemUpdated(said)]
    finished = ItemDoneEvent(agent("a", audio("Good morning."), status="completed"))
    assert conversation.receive(finished) == [
        ItemUpdated(of_agent("a", AudioPart("Good morning.")))
    ]
    assert conversation.receive(finished) == []


def test_an_answer_in_text_has_words_too() -> None:
    conversation = received(added(agent("a")), OutputTextDeltaEvent("r", "a", "Good "))
    assert conversation.items == (of_agent("a", TextPart("Good "), complete=False),)
    assert conversation.receive(OutputTextDoneEvent("r", "a", "Good morning.")) == [
        ItemUpdated(of_agent("a", TextPart("Good morning."), complete=False))
    ]
    part = {"type": "output_text", "text": "Good morning."}
    assert conversation.receive(ItemDoneEvent(agent("a", part))) == [
        ItemUpdated(of_agent("a", TextPart("Good morning.")))
    ]


def test_each_part_has_its_words_in_order() -> None:
    conversation = received(added(agent("a")), delta("a", "second", 1))
    unknown = AudioPart(), AudioPart("second")
    assert conversation.items == (of_agent("a", *unknown, complete=False),)
    conversation.receive(delta("a", "first", 0))
    parts = AudioPart("first"), AudioPart("second")
    assert conversation.items == (of_agent("a", *parts, complete=False),)


def test_complete_words_show_while_earlier_parts_are_unknown() -> None:
    conversation = received(added(agent("a")))
    said = of_agent("a", AudioPart(), AudioPart("Hi."), complete=False)
    done = OutputTranscriptDoneEvent("r", "a", "Hi.", 1)
    assert conversation.receive(done) == [ItemUpdated(said)]


def test_written_words_show_while_earlier_parts_are_unknown() -> None:
    conversation = received(added(agent("a")), OutputTextDeltaEvent("r", "a", "Hi.", 2))
    parts = TextPart(""), TextPart(""), TextPart("Hi.")
    assert conversation.items == (of_agent("a", *parts, complete=False),)
    part = {"type": "output_text", "text": "First."}
    conversation.receive(ItemRetrievedEvent(agent("a", part)))
    parts = TextPart("First."), TextPart(""), TextPart("Hi.")
    assert conversation.items == (of_agent("a", *parts, complete=False),)


@pytest.mark.parametrize("index", [-1, MAX_PARTS, 10**9])
def test_words_of_an_impossible_part_are_not_kept(index: int) -> None:
    conversation = received(added(agent("a")), delta("a", "x", index))
    assert conversation.items == (of_agent("a", complete=False),)


@pytest.mark.parametrize(
    ("transcript", "status"), [(None, "completed"), ("", "completed"), ("One", "incomplete")]
)
def test_s71_no_description_removes_known_words(transcript: str | None, status: str) -> None:
    """S71: transcripts survive item updates, truncation and retrieval."""
    conversation = received(added(agent("a")), delta("a", "One two."))
    said = of_agent("a", AudioPart("One two."))
    for event in (ItemDoneEvent, ItemRetrievedEvent):
        conversation.receive(event(agent("a", audio(transcript), status=status)))
        assert conversation.items == (said,)
    conversation.receive(ItemRetrievedEvent(agent("a", status=status)))
    assert conversation.items == (said,)


def test_late_words_of_the_agent_do_not_repeat_a_done_item() -> None:
    done = ItemDoneEvent(agent("a", audio("Hello there."), status="completed"))
    conversation = received(added(agent("a")), done, delta("a", "Hello there."))
    assert conversation.items == (of_agent("a", AudioPart("Hello there.")),)


def test_late_words_of_the_caller_do_not_repeat_their_item() -> None:
    conversation = received(added(caller("a", "Good morning.")))
    conversation.receive(InputTranscriptDeltaEvent("a", "Good"))
    assert conversation.items == (of_caller("a", "Good morning."),)


def test_a_done_item_stays_done() -> None:
    conversation = received(added(agent("a")), ItemDoneEvent(agent("a")))
    assert conversation.receive(added(agent("a"))) == []
    assert conversation.items == (of_agent("a"),)


def test_a_function_call_is_notified_again_when_done() -> None:
    call = Item("a", "function_call", status="in_progress", call_id="c", name="f", arguments="")
    conversation = received(added(call))
    assert conversation.items == (FunctionCall("a", "c", "f", "", is_complete=False),)
    done = Item("a", "function_call", status="completed", call_id="c", name="f", arguments="{}")
    assert conversation.receive(ItemDoneEvent(done)) == [
        ItemUpdated(FunctionCall("a", "c", "f", "{}"))
    ]
    output = Item("o", "function_call_output", call_id="c", output="1")
    assert conversation.receive(added(output, "a")) == [
        ItemAdded(FunctionOutput("o", "c", "1"), "a")
    ]
    assert conversation.receive(ItemDoneEvent(output)) == []


@pytest.mark.parametrize("is_added_whole", [False, True])
def test_a_function_call_that_was_cut_off_is_never_complete(*, is_added_whole: bool) -> None:
    status = "completed" if is_added_whole else "in_progress"
    call = Item("a", "function_call", status=status, call_id="c", name="f", arguments="")
    cut = evolve(call, status="incomplete", arguments='{"order": 4')
    conversation = received(added(call), ItemDoneEvent(cut))
    item = FunctionCall("a", "c", "f", '{"order": 4', is_complete=False)
    assert conversation.items == (item,)
    conversation.receive(ItemRetrievedEvent(evolve(cut, status=None)))
    assert conversation.items == (item,)


# What was heard.


def test_a_cut_part_is_notified_with_what_was_heard() -> None:
    conversation = received(added(agent("a")), delta("a", "one two three four"))
    item = of_agent("a", AudioPart("one two three four", "one two", 1000), complete=False)
    assert conversation.cut("a", 0, 1000, 2000) == [ItemUpdated(item)]
    assert conversation.split_transcript("a", 0) == ("one two", " three four")


def test_later_words_do_not_change_what_was_heard() -> None:
    conversation = received(added(agent("a")), delta("a", "one two three four"))
    conversation.cut("a", 0, 1000, 2000)
    assert conversation.receive(ItemTruncatedEvent("a", 0, 1000)) == []
    conversation.receive(delta("a", " five"))
    conversation.receive(OutputTranscriptDoneEvent("r", "a", "one two three four five"))
    done = conversation.receive(ItemDoneEvent(agent("a", audio(None), status="incomplete")))
    part = AudioPart("one two three four five", "one two", 1000)
    assert done == [ItemUpdated(of_agent("a", part))]
    assert conversation.split_transcript("a", 0) == ("one two", " three four five")


def test_a_truncation_by_another_client_is_notified() -> None:
    conversation = received(added(agent("a")), delta("a", "one two"))
    assert conversation.receive(ItemTruncatedEvent("a", 0, 300)) == [
        ItemUpdated(of_agent("a", AudioPart("one two", None, 300), complete=False))
    ]


@pytest.mark.parametrize(("audio_end_ms", "heard_ms"), [(-5, 0), (2**40, MAX_MS)])
def test_a_truncation_at_an_impossible_time_is_kept_within_what_is_possible(
    audio_end_ms: int, heard_ms: int
) -> None:
    conversation = received(added(agent("a")), ItemTruncatedEvent("a", 0, audio_end_ms))
    assert conversation.items == (of_agent("a", AudioPart(None, None, heard_ms), complete=False),)
    assert conversation.reset(conversation.items) == []


def test_words_of_an_out_of_band_item_are_split_too() -> None:
    conversation = received(delta("x", "one two three four"))
    assert conversation.cut("x", 0, 1000, 2000) == []
    assert conversation.split_transcript("x", 0) == ("one two", " three four")
    assert conversation.items == ()


def test_an_item_without_words_has_none_heard() -> None:
    conversation = received(added(agent("a")))
    assert (
        conversation.split_transcript("a", 0)
        == conversation.split_transcript("x", 0)
        == (None, None)
    )
    conversation.cut("a", 0, 1000, 2000)
    assert conversation.split_transcript("a", 0) == (None, None)
    assert conversation.items == (of_agent("a", AudioPart(None, None, 1000), complete=False),)


def test_a_deleted_item_keeps_its_words_until_its_id_is_used_again() -> None:
    """The agent may still be speaking them."""
    for before in ([added(agent("a")), delta("a", "Hi")], [delta("a", "Hi")]):
        conversation = received(*before, deleted("a"), delta("a", "."))
        assert conversation.split_transcript("a", 0) == ("Hi.", "")
        conversation.receive(added(agent("a")))
        assert conversation.split_transcript("a", 0) == (None, None)


def test_the_words_of_the_oldest_deleted_item_are_forgotten() -> None:
    conversation = SessionConversation()
    for number in range(MAX_OUT_OF_BAND_ITEMS + 1):
        conversation.receive(delta(f"{number}", "Hi."))
        conversation.receive(deleted(f"{number}"))
    assert conversation.split_transcript("0", 0) == (None, None)
    assert conversation.split_transcript("1", 0) == ("Hi.", "")


# Limits.


def test_the_first_of_too_many_items_is_forgotten() -> None:
    conversation = SessionConversation()
    for number in range(MAX_ITEMS + 1):
        conversation.receive(added(caller(f"{number}"), f"{number - 1}"))
    assert len(conversation.items) == MAX_ITEMS
    assert ids(conversation)[:1] == ["1"]
    assert conversation.get("0") is None
    assert conversation.receive(ItemDoneEvent(caller("0", "Hi."))) == []


def test_the_newest_out_of_band_items_are_remembered() -> None:
    conversation = received(
        *(delta(f"{number}", "Hi.") for number in range(MAX_OUT_OF_BAND_ITEMS + 1))
    )
    assert conversation.split_transcript("0", 0) == (None, None)
    assert (
        conversation.split_transcript("1", 0)
        == conversation.split_transcript(f"{MAX_OUT_OF_BAND_ITEMS}", 0)
        == ("Hi.", "")
    )


def test_words_of_too_many_parts_are_not_kept() -> None:
    conversation = received(
        added(agent("a")), *(delta("a", "x", index) for index in range(MAX_PARTS + 1))
    )
    assert conversation.items == (of_agent("a", *[AudioPart("x")] * MAX_PARTS, complete=False),)
    assert conversation.split_transcript("a", MAX_PARTS) == (None, None)


# Resets.


def said(id_: str, text: str = "Hi.") -> Message:
    return Message(id_, Role.USER, (TextPart(text),))


def answer(conversation: SessionConversation, edits: Sequence[Edit]) -> None:
    """Answer edits as the server does."""
    for edit in edits:
        match edit:
            case DeleteItem(item_id=item_id):
                conversation.receive(deleted(item_id))
            case CreateItem(item=body, previous_item_id=previous):
                item = msgspec.convert(body, Item)
                conversation.receive(added(item, None if previous == "root" else previous))
                conversation.receive(ItemDoneEvent(item))


def test_a_reset_returns_the_edits_to_the_new_history() -> None:
    conversation = received(added(caller("a")), added(caller("b"), "a"))
    first, second = conversation.reset([said("x"), of_caller("b", None)])
    assert first == DeleteItem("a", event_id=f"{EDIT_ID}1")
    assert isinstance(second, CreateItem)
    assert (second.previous_item_id, second.event_id) == ("root", f"{EDIT_ID}2")
    assert ids(conversation) == ["a", "b"]
    answer(conversation, [first, second])
    assert conversation.items == (said("x"), of_caller("b", None))


def test_a_reset_takes_earlier_edits_as_done() -> None:
    conversation = received(added(caller("a")))
    first = conversation.reset([said("x")])
    assert conversation.reset([said("x")]) == []
    second = conversation.reset([said("x"), said("y")])
    third = conversation.reset([said("y")])
    assert [len(edits) for edits in (first, second, third)] == [2, 1, 1]
    answer(conversation, [*first, *second, *third])
    assert conversation.items == (said("y"),)
    assert conversation.reset([said("y")]) == []


def test_a_refused_edit_is_not_taken_as_done() -> None:
    conversation = SessionConversation()
    [edit] = conversation.reset([said("x")])
    conversation.receive(ErrorEvent(ServerError("no", event_id=edit.event_id)))
    [again] = conversation.reset([said("x")])
    assert again.event_id != edit.event_id


def test_a_refused_deletion_is_not_taken_as_done() -> None:
    conversation = received(added(caller("a")), added(caller("b"), "a"))
    conversation.deletion_sent("a", is_unheard=False, event_id="e")
    assert conversation.reset(conversation.items[1:]) == []
    conversation.receive(ErrorEvent(ServerError("no", event_id="e")))
    assert conversation.reset(conversation.items) == []


def test_an_error_without_an_event_id_refuses_no_deletion_that_has_one() -> None:
    conversation = received(added(caller("a")), added(caller("b"), "a"))
    conversation.deletion_sent("a", is_unheard=False, event_id="e")
    conversation.receive(ErrorEvent(ServerError("no", code="item_delete_invalid_item_id")))
    assert conversation.reset(conversation.items[1:]) == []


def test_late_words_of_the_caller_do_not_change_the_text_that_replaces_them() -> None:
    late = InputTranscriptCompletedEvent("a", "Where is my order?")
    conversation = received(added(caller("a")), InputTranscriptDeltaEvent("a", "Where is"))
    answer(conversation, conversation.reset([said("a", "Where is")]))
    conversation.receive(late)
    assert conversation.items == (said("a", "Where is"),)


def test_a_created_item_has_no_words_of_an_earlier_one() -> None:
    conversation = received(added(agent("a")), delta("a", "one"), delta("a", "two", 1))
    edits = conversation.reset([said("a")])
    answer(conversation, edits[:1])
    conversation.receive(delta("a", "late", 1))
    answer(conversation, edits[1:])
    assert conversation.items == (said("a"),)


def test_unrelated_items_answer_no_edit() -> None:
    conversation = SessionConversation()
    conversation.reset([said("x")])
    conversation.receive(added(caller("a")))
    conversation.receive(deleted("a"))
    assert conversation.reset([said("x")]) == []


def test_the_oldest_of_too_many_unanswered_edits_counts_as_lost() -> None:
    conversation = SessionConversation()
    short = [said("first")]
    long = [*short, *(said(f"{number}") for number in range(MAX_ITEMS - 1))]
    [create] = conversation.reset(short)
    assert conversation.reset(short) == []
    for number in range(MAX_UNANSWERED_EDITS // (len(long) - 1) + 1):
        conversation.reset(short if number % 2 else long)
    *_, again = conversation.reset(short)
    assert again == evolve(create, event_id=again.event_id)


def test_a_history_with_too_many_items_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match="2048 items at most"):
        Conversation().reset(said(f"{number}") for number in range(MAX_ITEMS + 1))


def test_an_item_that_cannot_be_created_is_misuse() -> None:
    conversation = received(added(caller("a")))
    with pytest.raises(LocalProtocolError, match="audio"):
        conversation.reset([said("x"), of_agent("b", AudioPart("Hi."))])
    assert [type(edit) for edit in conversation.reset([said("x")])] == [DeleteItem, CreateItem]


# Recorded traffic.


@pytest.mark.parametrize("trace", sorted(TRACES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_s71_a_recorded_session_leaves_its_items_in_order(trace: Path) -> None:
    """S71: item order and transcripts."""
    conversation, order, words = SessionConversation(), list[str](), dict[str, str]()
    for line in trace.read_text("utf-8").splitlines():
        frame = json.loads(line)
        event = frame["event"]
        if frame["direction"] != "received":
            continue
        match event["type"]:
            case "conversation.item.added":
                order.append(event["item"]["id"])
            case "response.output_audio_transcript.done" | (
                "conversation.item.input_audio_transcription.completed"
            ):
                words[event["item_id"]] = event["transcript"]
            case _:
                pass
        decoded = realtime.decode(json.dumps(event))
        assert not isinstance(decoded, Fault)
        conversation.receive(decoded)
    assert ids(conversation) == order
    for item_id, transcript in words.items():
        item = conversation.get(item_id)
        assert isinstance(item, Message)
        assert item.is_complete
        assert item.parts == (AudioPart(transcript),)
    assert conversation.reset(conversation.items) == []


# Property tests.

names = st.sampled_from("abcde")
previous_ids = st.none() | st.sampled_from(["root", "unknown", *"abcde"])
steps = st.one_of(
    st.builds(added, names.map(caller), previous_ids),
    st.builds(added, names.map(agent), previous_ids),
    st.builds(deleted, names),
    st.builds(ItemDoneEvent, names.map(caller)),
    st.builds(ItemRetrievedEvent, names.map(agent)),
    st.builds(ItemTruncatedEvent, names, st.integers(0, 1), st.integers(0, 9)),
    st.builds(delta, names, st.sampled_from(["one", " two "]), st.integers(0, 1)),
    st.builds(InputTranscriptCompletedEvent, names, st.sampled_from(["", "three"])),
)


@settings(max_examples=100)
@given(st.lists(steps, max_size=20))
def test_notifications_describe_the_order_and_all_items(events: list[ServerEvent]) -> None:
    conversation, order = SessionConversation(), list[str]()
    view: list[ConversationItem] = []  # of an application that only reads notifications
    for event in events:
        for notification in conversation.receive(event):
            view_ids = [item.id for item in view]
            match notification:
                case ItemAdded(item=item, previous_item_id=behind):
                    view.insert(0 if behind is None else view_ids.index(behind) + 1, item)
                case ItemUpdated(item=item):
                    assert view[view_ids.index(item.id)] != item
                    view[view_ids.index(item.id)] = item
                case ItemDeleted(item_id=item_id):
                    del view[view_ids.index(item_id)]
        match event:
            case realtime.ItemAddedEvent(item=Item(id=id_), previous_item_id=previous):
                if id_ not in order:
                    front = previous in (None, "root")
                    end = order.index(previous) + 1 if previous in order else len(order)
                    order.insert(0 if front else end, id_)
            case realtime.ItemDeletedEvent(item_id=id_) if id_ in order:
                order.remove(id_)
            case _:
                pass
        assert ids(conversation) == [item.id for item in view] == order
    for known, shown in zip(view, conversation.items, strict=True):
        update = [] if known == shown else [ItemUpdated(shown)]
        assert conversation.receive(InputTranscriptFailedEvent(known.id)) == update


@settings(max_examples=100)
@given(st.lists(steps, max_size=20), st.lists(names, unique=True))
def test_a_reset_leads_to_any_history_from_any_conversation(
    events: list[ServerEvent], expected_ids: list[str]
) -> None:
    conversation = received(*events)
    expected = [said(id_, f"written {id_}") for id_ in expected_ids]
    answer(conversation, conversation.reset(expected))
    assert conversation.items == tuple(expected)
