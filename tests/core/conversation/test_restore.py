"""What the next session gets of a conversation."""

import pytest

from twilio_realtime_core.conversation.restore import (
    MAX_RESTORED_BYTES,
    MAX_RESTORED_ITEMS,
    plan_restoration,
)
from twilio_realtime_core.values.items import (
    AudioPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownItem,
    UnknownPart,
)


def said(item_id: str, words: str | None = "hello") -> Message:
    return Message(item_id, Role.USER, (AudioPart(words),))


def texts(*items: ConversationItem) -> list[str]:
    """The ids of what is created."""
    return list(plan_restoration(items, frozenset()).item_ids)


def test_speech_becomes_text() -> None:
    agent = Message("a", Role.ASSISTANT, (AudioPart("one two three", "one", 300),))
    user, assistant = plan_restoration((said("u"), agent), frozenset()).events
    assert user.item["content"] == [{"type": "input_text", "text": "hello"}]
    assert assistant.item["content"] == [{"type": "output_text", "text": "one"}]


def test_an_image_stays_and_an_unknown_part_goes() -> None:
    parts = (TextPart("look"), ImagePart("data:,"), UnknownPart("new"))
    (event,) = plan_restoration((Message("m", Role.USER, parts),), frozenset()).events
    assert [part["type"] for part in event.item["content"]] == ["input_text", "input_image"]


def test_a_detail_that_no_client_can_give_is_left_out() -> None:
    parts = ImagePart("data:,", "original"), ImagePart("data:,", "high")
    (event,) = plan_restoration((Message("m", Role.USER, parts),), frozenset()).events
    assert [part.get("detail") for part in event.item["content"]] == [None, "high"]


def test_a_call_comes_with_its_output() -> None:
    call = FunctionCall("f", "c", "hours", "{}")
    output = FunctionOutput("o", "c", "9 to 5")
    assert texts(call, output) == ["f", "o"]


def test_an_output_without_its_call_is_lost() -> None:
    restoration = plan_restoration((FunctionOutput("o", "c", "9 to 5"),), frozenset())
    assert (restoration.events, restoration.lost) == ((), ("o",))


@pytest.mark.parametrize(
    ("item", "lost"),
    [
        (said("x", None), ("x",)),
        (Message("x", Role.ASSISTANT, (AudioPart("never heard", "", 0),)), ()),
        (Message("x", Role.ASSISTANT, (AudioPart("one", "", 20),)), ()),
        (FunctionCall("x", "c", "hours", is_complete=False), ()),
        (UnknownItem("x", "mcp_call"), ("x",)),
        (UnknownItem("x", "mcp_list_tools"), ()),
        (Message("x", Role.USER, (UnknownPart("new"),)), ("x",)),
        (Message("x", Role.ASSISTANT, (ImagePart("data:,"),)), ("x",)),
        (Message("x", Role.SYSTEM, (ImagePart("data:,"),)), ("x",)),
    ],
)
def test_what_cannot_be_restored_is_lost_if_it_matters(
    item: ConversationItem, lost: tuple[str, ...]
) -> None:
    restoration = plan_restoration((item,), frozenset())
    assert restoration.events == ()
    assert restoration.lost == lost


def test_what_nobody_heard_is_neither_restored_nor_lost() -> None:
    restoration = plan_restoration((said("u"), said("v")), frozenset({"u"}))
    assert (restoration.item_ids, restoration.lost) == (("v",), ())


def test_the_newest_items_are_restored() -> None:
    items = [said(str(number)) for number in range(MAX_RESTORED_ITEMS + 2)]
    restoration = plan_restoration(items, frozenset())
    assert restoration.item_ids == tuple(item.id for item in items[2:])
    assert restoration.lost == ("0", "1")


def test_no_more_is_restored_than_the_limit_of_bytes() -> None:
    items = [said(str(number), "x" * (MAX_RESTORED_BYTES // 3)) for number in range(4)]
    assert texts(*items) == ["2", "3"]


def test_a_call_whose_output_is_too_large_is_left_out_with_it() -> None:
    call = FunctionCall("f", "c", "look_up")
    output = FunctionOutput("o", "c", "x" * MAX_RESTORED_BYTES)
    assert texts(said("a"), call, output, said("b")) == ["a", "b"]


def test_a_text_stands_for_what_is_left_out() -> None:
    items = [said(str(number)) for number in range(MAX_RESTORED_ITEMS + 2)]
    seen: list[tuple[ConversationItem, ...]] = []

    def summarize(left_out: tuple[ConversationItem, ...]) -> str:
        seen.append(left_out)
        return "They said hello."

    restoration = plan_restoration(items, frozenset(), summarize)
    first = restoration.events[0].item
    assert (first["role"], first["content"][0]["text"]) == ("system", "They said hello.")
    assert [item.id for item in seen[0]] == ["0", "1"]
    assert len(plan_restoration(items[:5], frozenset(), summarize).events) == 5
    assert len(seen) == 1


def test_the_summary_has_an_id_of_its_own() -> None:
    items = [said(str(number)) for number in range(MAX_RESTORED_ITEMS)]
    items += [said("summary"), said("summary-2")]
    ids = plan_restoration(items, frozenset(), lambda _: "They said hello.").item_ids
    assert ids[0] == "summary-3"
    assert ids[-2:] == ("summary", "summary-2")


def test_an_id_that_a_client_cannot_give_is_replaced() -> None:
    restoration = plan_restoration((said("u" * 33), said("restored-1")), frozenset())
    assert restoration.item_ids == ("restored-2", "restored-1")
    assert restoration.renamed == {"u" * 33: "restored-2"}
