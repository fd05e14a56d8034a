"""The conversation: order, words, what was heard, and what makes it hold other items."""

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
    EDIT_ID,
    MAX_ITEMS,
    MAX_OUT_OF_BAND_ITEMS,
    MAX_PARTS,
    MAX_UNANSWERED_EDITS,
    Conversation,
)
from twilio_realtime_core.conversation.history_diff import Edit
from twilio_realtime_core.errors import Fault, LocalProtocolError
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
    OutputAudioDeltaEvent,
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


def told(*events: ServerEvent) -> Conversation:
    conversation = Conversation()
    for event in events:
        conversation.receive(event)
    return conversation


def ids(conversation: Conversation) -> list[str]:
    return [item.id for item in conversation.items]


def spoken(id_: str, *parts: ContentPart, complete: bool = True) -> Message:
    return Message(id_, Role.ASSISTANT, parts, complete)


def heard(id_: str, transcript: str | None) -> Message:
    return Message(id_, Role.USER, (AudioPart(transcript),))


# Order.


def test_an_item_is_told_with_its_place() -> None:
    conversation = told(added(caller("a")))
    assert conversation.receive(added(agent("b"), "a")) == [
        ItemAdded(spoken("b", complete=False), "a")
    ]
    assert conversation.items == (heard("a", None), spoken("b", complete=False))
    assert conversation.get("a") == heard("a", None)
    assert conversation.get("c") is None


def test_s71_an_item_has_its_place_behind_the_one_that_added_names() -> None:
    """S71: item order by previous_item_id."""
    conversation = told(added(caller("a")), added(caller("c"), "a"))
    assert conversation.receive(added(caller("b"), "a")) == [ItemAdded(heard("b", None), "a")]
    assert ids(conversation) == ["a", "b", "c"]


@pytest.mark.parametrize("front", [None, "root"])
def test_s70_no_previous_item_is_the_front(front: str | None) -> None:
    """S70: null previous_item_id preserved."""
    conversation = told(added(caller("b")))
    assert conversation.receive(added(caller("a"), front)) == [ItemAdded(heard("a", None), None)]
    assert ids(conversation) == ["a", "b"]


def test_behind_an_item_that_is_unknown_is_the_end() -> None:
    conversation = told(added(caller("a")))
    assert conversation.receive(added(caller("b"), "gone")) == [ItemAdded(heard("b", None), "a")]
    assert ids(conversation) == ["a", "b"]


def test_an_item_that_is_added_again_stays_where_it_is() -> None:
    conversation = told(added(caller("a")), added(caller("b"), "a"))
    assert conversation.receive(added(caller("b"), None)) == []
    assert conversation.receive(added(caller("b", "Hi."), None)) == [ItemUpdated(heard("b", "Hi."))]
    assert ids(conversation) == ["a", "b"]


def test_a_deleted_item_is_gone() -> None:
    conversation = told(added(caller("a")), added(caller("b"), "a"))
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
        OutputAudioDeltaEvent("r", "x", "AAAA"),
        ErrorEvent(ServerError("no")),
    ],
)
def test_what_is_told_of_an_item_that_it_does_not_hold_notifies_nothing(event: ServerEvent) -> None:
    conversation = told(added(caller("a")))
    assert conversation.receive(event) == []
    assert conversation.items == (heard("a", None),)


# Words.


def test_s71_the_caller_s_words_come_before_or_after_their_item() -> None:
    """S71: transcripts survive item updates and deltas."""
    conversation = told(InputTranscriptDeltaEvent("a", "Hel"), InputTranscriptDeltaEvent("a", "lo"))
    assert conversation.receive(added(caller("a"))) == [ItemAdded(heard("a", "Hello"), None)]
    assert conversation.receive(ItemDoneEvent(caller("a"))) == []
    assert conversation.receive(InputTranscriptDeltaEvent("a", " there")) == []
    assert conversation.items == (heard("a", "Hello there"),)
    assert conversation.receive(InputTranscriptCompletedEvent("a", "Hello there.")) == [
        ItemUpdated(heard("a", "Hello there."))
    ]
    assert conversation.receive(ItemRetrievedEvent(caller("a"))) == []


def test_words_that_fail_leave_those_that_came() -> None:
    conversation = told(added(caller("a")), InputTranscriptDeltaEvent("a", "Hel"))
    assert conversation.receive(InputTranscriptFailedEvent("a")) == [ItemUpdated(heard("a", "Hel"))]
    assert conversation.receive(InputTranscriptFailedEvent("a")) == []


def test_s71_the_agent_s_words_are_told_when_they_are_complete_and_shown_before() -> None:
    """S71: transcripts survive item updates and deltas."""
    conversation = told(added(agent("a")))
    assert conversation.receive(delta("a", "Good ")) == []
    assert conversation.receive(delta("a", "morning.")) == []
    said = spoken("a", AudioPart("Good morning."), complete=False)
    assert conversation.items == (said,)
    done = OutputTranscriptDoneEvent("r", "a", "Good morning.")
    assert conversation.receive(done) == [ItemUpdated(said)]
    finished = ItemDoneEvent(agent("a", audio("Good morning."), status="completed"))
    assert conversation.receive(finished) == [ItemUpdated(spoken("a", AudioPart("Good morning.")))]
    assert conversation.receive(finished) == []


def test_an_answer_in_text_comes_as_words_too() -> None:
    conversation = told(added(agent("a")), OutputTextDeltaEvent("r", "a", "Good "))
    assert conversation.items == (spoken("a", TextPart("Good "), complete=False),)
    assert conversation.receive(OutputTextDoneEvent("r", "a", "Good morning.")) == [
        ItemUpdated(spoken("a", TextPart("Good morning."), complete=False))
    ]
    part = {"type": "output_text", "text": "Good morning."}
    assert conversation.receive(ItemDoneEvent(agent("a", part))) == [
        ItemUpdated(spoken("a", TextPart("Good morning.")))
    ]


def test_each_part_has_its_own_words_and_waits_for_those_before_it() -> None:
    conversation = told(added(agent("a")), delta("a", "second", 1))
    assert conversation.items == (spoken("a", complete=False),)
    conversation.receive(delta("a", "first", 0))
    parts = AudioPart("first"), AudioPart("second")
    assert conversation.items == (spoken("a", *parts, complete=False),)


@pytest.mark.parametrize("transcript", [None, "", "One"])
def test_s71_no_description_takes_known_words_away(transcript: str | None) -> None:
    """S71: transcripts survive item updates, truncation and retrieval."""
    conversation = told(added(agent("a")), delta("a", "One two."))
    said = spoken("a", AudioPart("One two."))
    for event in (ItemDoneEvent, ItemRetrievedEvent):
        conversation.receive(event(agent("a", audio(transcript), status="completed")))
        assert conversation.items == (said,)
    conversation.receive(ItemRetrievedEvent(agent("a", status="completed")))
    assert conversation.items == (said,)


def test_an_item_that_is_done_stays_so() -> None:
    conversation = told(added(agent("a")), ItemDoneEvent(agent("a")))
    assert conversation.receive(added(agent("a"))) == []
    assert conversation.items == (spoken("a"),)


def test_a_function_call_is_told_again_when_it_is_done() -> None:
    call = Item("a", "function_call", status="in_progress", call_id="c", name="f", arguments="")
    conversation = told(added(call))
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


# What was heard.


def test_a_part_that_was_cut_is_told_with_what_was_heard() -> None:
    conversation = told(added(agent("a")), delta("a", "one two three four"))
    item = spoken("a", AudioPart("one two three four", "one two", 500), complete=False)
    assert conversation.cut("a", 0, 500, 1000) == [ItemUpdated(item)]
    assert conversation.split_transcript("a", 0) == ("one two", " three four")


def test_a_part_that_was_cut_keeps_what_was_heard_whatever_comes_later() -> None:
    conversation = told(added(agent("a")), delta("a", "one two three four"))
    conversation.cut("a", 0, 500, 1000)
    assert conversation.receive(ItemTruncatedEvent("a", 0, 500)) == []
    conversation.receive(delta("a", " five"))
    conversation.receive(OutputTranscriptDoneEvent("r", "a", "one two three four five"))
    done = conversation.receive(ItemDoneEvent(agent("a", audio(None), status="incomplete")))
    part = AudioPart("one two three four five", "one two", 500)
    assert done == [ItemUpdated(spoken("a", part))]
    assert conversation.split_transcript("a", 0) == ("one two", " three four five")


def test_a_truncation_that_was_not_our_own_is_told() -> None:
    conversation = told(added(agent("a")), delta("a", "one two"))
    assert conversation.receive(ItemTruncatedEvent("a", 0, 300)) == [
        ItemUpdated(spoken("a", AudioPart("one two", None, 300), complete=False))
    ]


def test_words_of_an_item_outside_the_conversation_are_parted_too() -> None:
    conversation = told(delta("x", "one two three four"))
    assert conversation.cut("x", 0, 500, 1000) == []
    assert conversation.split_transcript("x", 0) == ("one two", " three four")
    assert conversation.items == ()


def test_where_there_are_no_words_none_were_heard() -> None:
    conversation = told(added(agent("a")))
    assert (
        conversation.split_transcript("a", 0)
        == conversation.split_transcript("x", 0)
        == (None, None)
    )
    conversation.cut("a", 0, 500, 1000)
    assert conversation.split_transcript("a", 0) == (None, None)
    assert conversation.items == (spoken("a", AudioPart(None, None, 500), complete=False),)


def test_a_deleted_item_takes_its_words_along() -> None:
    for before in ([added(agent("a")), delta("a", "Hi.")], [delta("a", "Hi.")]):
        conversation = told(*before, deleted("a"))
        assert conversation.split_transcript("a", 0) == (None, None)


# Limits.


def test_the_item_at_the_front_is_forgotten_where_there_are_too_many() -> None:
    conversation = Conversation()
    for number in range(MAX_ITEMS + 1):
        conversation.receive(added(caller(f"{number}"), f"{number - 1}"))
    assert len(conversation.items) == MAX_ITEMS
    assert ids(conversation)[:1] == ["1"]
    assert conversation.get("0") is None
    assert conversation.receive(ItemDoneEvent(caller("0", "Hi."))) == []


def test_of_items_outside_the_conversation_the_newest_are_remembered() -> None:
    conversation = told(*(delta(f"{number}", "Hi.") for number in range(MAX_OUT_OF_BAND_ITEMS + 1)))
    assert conversation.split_transcript("0", 0) == (None, None)
    assert (
        conversation.split_transcript("1", 0)
        == conversation.split_transcript(f"{MAX_OUT_OF_BAND_ITEMS}", 0)
        == ("Hi.", "")
    )


def test_words_of_too_many_parts_are_not_kept() -> None:
    conversation = told(
        added(agent("a")), *(delta("a", "x", index) for index in range(MAX_PARTS + 1))
    )
    assert conversation.items == (spoken("a", *[AudioPart("x")] * MAX_PARTS, complete=False),)
    assert conversation.split_transcript("a", MAX_PARTS) == (None, None)


# Reset.


def said(id_: str, text: str = "Hi.") -> Message:
    return Message(id_, Role.USER, (TextPart(text),))


def answer(conversation: Conversation, edits: Sequence[Edit]) -> None:
    """Answer edits as the server does."""
    for edit in edits:
        match edit:
            case DeleteItem(item_id=item_id):
                conversation.receive(deleted(item_id))
            case CreateItem(item=body, previous_item_id=previous):
                item = msgspec.convert(body, Item)
                conversation.receive(added(item, None if previous == "root" else previous))
                conversation.receive(ItemDoneEvent(item))


def test_a_reset_asks_for_what_makes_the_history_that_was_wanted() -> None:
    conversation = told(added(caller("a")), added(caller("b"), "a"))
    first, second = conversation.reset([said("x"), heard("b", None)])
    assert first == DeleteItem("a", event_id=f"{EDIT_ID}1")
    assert isinstance(second, CreateItem)
    assert (second.previous_item_id, second.event_id) == ("root", f"{EDIT_ID}2")
    assert ids(conversation) == ["a", "b"]
    answer(conversation, [first, second])
    assert conversation.items == (said("x"), heard("b", None))


def test_a_reset_counts_on_what_an_earlier_one_has_asked_for() -> None:
    conversation = told(added(caller("a")))
    first = conversation.reset([said("x")])
    assert conversation.reset([said("x")]) == []
    second = conversation.reset([said("x"), said("y")])
    third = conversation.reset([said("y")])
    assert [len(edits) for edits in (first, second, third)] == [2, 1, 1]
    answer(conversation, [*first, *second, *third])
    assert conversation.items == (said("y"),)
    assert conversation.reset([said("y")]) == []


def test_an_edit_that_the_server_refuses_is_not_counted_on() -> None:
    conversation = Conversation()
    [edit] = conversation.reset([said("x")])
    conversation.receive(ErrorEvent(ServerError("no", event_id=edit.event_id)))
    [again] = conversation.reset([said("x")])
    assert again.event_id != edit.event_id


def test_an_item_that_was_asked_for_has_no_words_of_another_with_its_id() -> None:
    conversation = told(added(agent("a")), delta("a", "one"), delta("a", "two", 1))
    edits = conversation.reset([said("a")])
    answer(conversation, edits[:1])
    conversation.receive(delta("a", "late", 1))
    answer(conversation, edits[1:])
    assert conversation.items == (said("a"),)


def test_items_of_others_answer_no_edit() -> None:
    conversation = Conversation()
    conversation.reset([said("x")])
    conversation.receive(added(caller("a")))
    conversation.receive(deleted("a"))
    assert conversation.reset([said("x")]) == []


def test_edits_that_are_never_answered_count_as_lost_in_the_end() -> None:
    conversation = Conversation()
    short = [said("first")]
    long = [*short, *(said(f"{number}") for number in range(MAX_ITEMS - 1))]
    [create] = conversation.reset(short)
    assert conversation.reset(short) == []
    for number in range(MAX_UNANSWERED_EDITS // (len(long) - 1) + 1):
        conversation.reset(short if number % 2 else long)
    *_, again = conversation.reset(short)
    assert again == evolve(create, event_id=again.event_id)


def test_a_history_that_is_too_long_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="2048 items at most"):
        Conversation().reset(said(f"{number}") for number in range(MAX_ITEMS + 1))


def test_what_cannot_be_created_is_refused_and_nothing_is_asked_for() -> None:
    conversation = told(added(caller("a")))
    with pytest.raises(LocalProtocolError, match="audio"):
        conversation.reset([said("x"), spoken("b", AudioPart("Hi."))])
    assert [type(edit) for edit in conversation.reset([said("x")])] == [DeleteItem, CreateItem]


# Recorded traffic.


@pytest.mark.parametrize("trace", sorted(TRACES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_s71_a_recorded_session_leaves_its_items_in_order_with_their_words(trace: Path) -> None:
    """S71: item order and transcripts."""
    conversation, order, words = Conversation(), list[str](), dict[str, str]()
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


# In general.

names = st.sampled_from("abcde")
previous_ids = st.none() | st.sampled_from(["root", "gone", *"abcde"])
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
def test_the_order_is_that_of_added_and_notifications_tell_all(events: list[ServerEvent]) -> None:
    conversation, order = Conversation(), list[str]()
    view: list[ConversationItem] = []  # what an application knows that only listens
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
def test_a_reset_leads_to_what_was_wanted_from_anywhere(
    events: list[ServerEvent], wanted_ids: list[str]
) -> None:
    conversation = told(*events)
    wanted = [said(id_, f"written {id_}") for id_ in wanted_ids]
    answer(conversation, conversation.reset(wanted))
    assert conversation.items == tuple(wanted)
