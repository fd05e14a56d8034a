"""The fewest events that make the server's conversation hold other items."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.sim.model.client_requests import ClientRequest, decode_client_request
from twilio_realtime_core.conversation.history_diff import Edit, apply_edits, diff, item_id_of
from twilio_realtime_core.conversation.item_json import item_from_server
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols.realtime import CreateItem, DeleteItem, Item
from twilio_realtime_core.values.items import (
    AudioPart,
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownItem,
    UnknownPart,
    replace_audio_with_text,
)


def said(id_: str, text: str | None = None, role: Role = Role.USER) -> Message:
    return Message(id_, role, (TextPart(text or id_),))


def spoken(id_: str, transcript: str | None = "Hello.", role: Role = Role.ASSISTANT) -> Message:
    return Message(id_, role, (AudioPart(transcript),))


def message(*parts: ContentPart, complete: bool = True) -> Message:
    return Message("a", Role.USER, parts, complete)


class Server:
    """Holds a conversation as the real one does, and refuses what that refuses."""

    def __init__(self, items: Sequence[ConversationItem]) -> None:
        self.items = list(items)

    def receive(self, edit: Edit) -> None:
        ids = [item.id for item in self.items]
        match edit:
            case DeleteItem(item_id=item_id):
                del self.items[ids.index(item_id)]
            case CreateItem(item=body, previous_item_id=previous):
                item = item_from_server(msgspec.convert(body, Item))
                assert item.id not in ids
                assert not any(part["type"].endswith("audio") for part in body.get("content", ()))
                self.items.insert(0 if previous == "root" else ids.index(previous or "") + 1, item)


def after(edits: Sequence[Edit], items: Sequence[ConversationItem]) -> list[ConversationItem]:
    server = Server(items)
    for edit in edits:
        server.receive(edit)
    return server.items


# Edits.


def test_missing_items_are_deleted_and_new_ones_created() -> None:
    edits = diff([said("a"), said("b"), said("c")], [said("x"), said("a"), said("y"), said("c")])
    assert [(type(edit), item_id_of(edit)) for edit in edits] == [
        (DeleteItem, "b"),
        (CreateItem, "x"),
        (CreateItem, "y"),
    ]
    assert edits[1:] == [
        CreateItem(
            {
                "id": "x",
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "x"}],
            },
            previous_item_id="root",
        ),
        CreateItem(
            {
                "id": "y",
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "y"}],
            },
            previous_item_id="a",
        ),
    ]


def test_a_different_item_is_deleted_and_created_again() -> None:
    edits = diff([said("a"), said("b")], [said("a", "other"), said("b")])
    assert [type(edit) for edit in edits] == [DeleteItem, CreateItem]
    assert after(edits, [said("a"), said("b")]) == [said("a", "other"), said("b")]


def test_nothing_is_done_for_the_same_items() -> None:
    assert diff([said("a"), spoken("b")], [said("a"), spoken("b")]) == []
    assert diff([], []) == []


def test_the_fewest_items_are_moved() -> None:
    current = [said(id_) for id_ in "abcde"]
    edits = diff(current, [said(id_) for id_ in "eabcd"])
    assert [item_id_of(edit) for edit in edits] == ["e", "e"]


def test_items_with_audio_are_never_moved() -> None:
    current = [spoken("x"), said("a"), said("b")]
    expected = [said("a"), said("b"), spoken("x")]
    edits = diff(current, expected)
    assert {item_id_of(edit) for edit in edits} == {"a", "b"}
    assert after(edits, current) == expected


# Equal items.


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (message(TextPart("x"), complete=False), message(TextPart("x"))),
        (message(ImagePart("url", "auto")), message(ImagePart("url"))),
        (spoken("a", "Hello."), spoken("a", None)),
        (spoken("a", "As noted.", Role.USER), spoken("a", "As edited.", Role.USER)),
        (
            Message("a", Role.ASSISTANT, (AudioPart("one two", "one", 300),)),
            Message("a", Role.ASSISTANT, (AudioPart("one two"),)),
        ),
        (
            spoken("a", "All that was said."),
            Message("a", Role.ASSISTANT, (AudioPart("All"),), is_complete=False),
        ),
        (FunctionCall("a", "c", "f", "{}"), FunctionCall("a", "c", "f", "{}", is_complete=False)),
        (FunctionCall("a", "c", "f", "{}"), FunctionCall("a", "c", "f", "", is_complete=False)),
        (UnknownItem("a", "mcp_call", {"output": "x"}), UnknownItem("a", "mcp_call")),
    ],
)
def test_fields_that_the_server_adds_are_no_difference(
    known: ConversationItem, given: ConversationItem
) -> None:
    assert diff([known], [given]) == []


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (said("a"), said("a", role=Role.SYSTEM)),
        (message(TextPart("x")), message(TextPart("x"), TextPart("y"))),
        (message(TextPart("x")), message(ImagePart("x"))),
        (message(ImagePart("x")), message(ImagePart("y"))),
        (message(ImagePart("x", "low")), message(ImagePart("x", "high"))),
        (FunctionCall("a", "c", "f", "{}"), FunctionCall("a", "c", "g", "{}")),
        (spoken("a"), replace_audio_with_text(spoken("a"))),
    ],
)
def test_fields_that_a_client_chooses_are_a_difference(
    known: ConversationItem, given: ConversationItem
) -> None:
    assert diff([known], [given]) == [DeleteItem("a"), *diff([], [given])]


# Impossible edits.


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ([said("")], r"items\[0\] needs an id"),
        ([said("root")], r"items\[0\] needs an id"),
        ([said("a"), said("a")], r"items\[1\] has the id of an earlier item"),
        ([said("a"), spoken("b")], r"items\[1\] cannot be created: it has audio"),
        ([spoken("b", role=Role.USER)], r"items\[0\] cannot be created: it has audio"),
        ([spoken("x", "Other words.")], r"items\[0\] cannot be created: it has audio"),
        ([spoken("y"), spoken("x")], r"items\[\d\] cannot be created: it has audio"),
        ([Message("a", Role.USER)], r"items\[0\] cannot be created: it has no content"),
        ([FunctionOutput("o", "c")], r"items\[0\] cannot be created: its function call"),
        ([FunctionOutput("o", "c"), FunctionCall("f", "c", "f")], r"items\[0\] cannot be created"),
    ],
)
def test_an_impossible_history_is_refused_with_the_reason(
    expected: list[ConversationItem], reason: str
) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        diff([spoken("x"), spoken("y")], expected)


def test_an_output_is_created_behind_its_call() -> None:
    call, output = FunctionCall("f", "c", "f", "{}"), FunctionOutput("o", "c", "1")
    assert after(diff([], [call, output]), []) == [call, output]
    assert after(diff([call], [call, output]), [call]) == [call, output]


def test_an_existing_output_stays_without_its_call() -> None:
    call, output = FunctionCall("f", "c", "f", "{}"), FunctionOutput("o", "c", "1")
    assert diff([call, output], [output]) == [DeleteItem("f")]


# The outcome of edits.


def test_edits_that_the_server_would_refuse_change_nothing() -> None:
    [new] = diff([], [said("a")])
    _, behind = diff([], [said("x"), said("b")])
    assert apply_edits([new, new], []) == [said("a")]
    assert apply_edits([behind, DeleteItem("unknown")], [said("a")]) == [said("a")]


def test_an_item_can_be_created_behind_a_created_one() -> None:
    first = diff([said("a"), said("c")], [said("a"), said("b"), said("c")])
    second = diff([said("a"), said("b"), said("c")], [said("b"), said("c"), said("d")])
    items = [said("b"), said("c"), said("d")]
    assert apply_edits([*first, *second], [said("a"), said("c")]) == items


# Property tests: items of six ids, some with audio, some changed.

ids = st.lists(st.sampled_from("abcdXY"), unique=True)


def item(id_: str, *, changed: bool = False) -> Message:
    return spoken(id_) if id_ in "XY" else said(id_, f"{id_} changed" if changed else id_)


def fewest(current: list[str], kept: list[str]) -> int | None:
    """How many of `kept` can stay at most; `None` if not all that have audio can."""
    for count in range(len(kept), -1, -1):
        for chosen in combinations(kept, count):
            in_order = [id_ for id_ in current if id_ in chosen] == list(chosen)
            if in_order and all(id_ in chosen for id_ in kept if id_ in "XY"):
                return count
    return None


@settings(max_examples=150)
@given(ids, ids, st.sets(st.sampled_from("abcd")))
def test_the_fewest_edits_lead_to_the_expected_items(
    current_ids: list[str], expected_ids: list[str], changed: set[str]
) -> None:
    current = [item(id_) for id_ in current_ids]
    expected = [item(id_, changed=id_ in changed) for id_ in expected_ids]
    kept = [id_ for id_ in expected_ids if id_ in current_ids and id_ not in changed]
    staying = fewest(current_ids, kept)
    if staying is None or {*expected_ids} & {*"XY"} - {*current_ids}:
        with pytest.raises(LocalProtocolError, match="audio"):
            diff(current, expected)
        return
    edits = diff(current, expected)
    assert after(edits, current) == expected
    assert len(edits) == len(current) + len(expected) - 2 * staying
    assert apply_edits(edits, current) == expected


# What the simulated server makes of it.

details = st.sampled_from([None, "", "auto", "low", "high", "zzz"])
parts = st.one_of(
    st.builds(TextPart, st.text()),
    st.builds(ImagePart, st.text(), details),
    st.builds(AudioPart, st.text()),
    st.builds(UnknownPart, st.just("video")),
)
names = st.text("ab -", max_size=3)
new_items = st.one_of(
    st.builds(Message, names, st.sampled_from(Role), st.lists(parts, max_size=3).map(tuple)),
    st.builds(FunctionCall, names, names, names, st.text()),
)


@given(new_items)
def test_an_item_is_refused_or_the_server_accepts_it(item: ConversationItem) -> None:
    with suppress(LocalProtocolError):
        (edit,) = diff([], [item])
        assert isinstance(decode_client_request(edit.encode()), ClientRequest)
