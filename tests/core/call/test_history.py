"""What the conversation of a call holds, whatever a server describes."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from calling import (
    SESSION,
    Call,
    ObservedCall,
    audio_done,
    created,
    delta,
    item_added,
    item_complete,
    item_deleted,
    item_done,
    media,
    response_done,
    server_error,
    speech_started,
)
from twilio_realtime_core import (
    Command,
    Fault,
    FaultKind,
    Interrupt,
    LocalProtocolError,
    ResetHistory,
)
from twilio_realtime_core.commands import SendEvent
from twilio_realtime_core.notifications import (
    CallerTranscript,
    CallerTranscriptFailed,
    Interrupted,
    ItemAdded,
    ItemUpdated,
    PlaybackFinished,
    PlaybackStarted,
)
from twilio_realtime_core.protocols.realtime import (
    CreateItem,
    CreateResponse,
    DeleteItem,
    RawClientEvent,
    UpdateSession,
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
    replace_audio_with_text,
)

PLAYBACK: Final = (PlaybackStarted, PlaybackFinished)
TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


def said(id_: str, text: str = "x") -> Message:
    return Message(id_, Role.USER, (TextPart(text),))


def user_item(id_: str, text: str = "x", previous: str | None = None) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return item_added(id_, previous, role="user", status="completed", content=content)


def with_tools() -> ObservedCall:
    """A conversation of a message, the tools of an MCP server, a call of one, and a message."""
    call = ObservedCall.ready()
    call.model(user_item("a"))
    call.model(item_added("tools", "a", type="mcp_list_tools", server_label="docs", tools=[]))
    call.model(item_added("search", "tools", type="mcp_call", name="search", output="{}"))
    call.model(user_item("b", previous="search"))
    return call


# Deletions that the server has not confirmed.


def test_a_reset_leaves_out_what_is_deleted_as_unheard() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    call.model(created())
    call.model(item_added("i", "a", status="in_progress"))
    call.model(delta(8000))
    call.model(item_complete("i"))
    call.model(item_done())
    assert call.send(Interrupt()).to_model[-1] == DeleteItem("i")
    (created_item,) = call.send(ResetHistory((*call.items, said("b")))).to_model
    assert isinstance(created_item, CreateItem)
    assert (created_item.item["id"], created_item.previous_item_id) == ("b", "a")


def test_a_reset_leaves_out_what_is_deleted_once_done() -> None:
    call = ObservedCall.ready()
    call.model(created())
    call.model(item_added("i", status="in_progress"))
    call.model(delta(8000))
    call.send(Interrupt())
    call.model(item_complete("i"))
    assert call.model(item_done()).to_model == [DeleteItem("i")]
    (created_item,) = call.send(ResetHistory((*call.items, said("b")))).to_model
    assert isinstance(created_item, CreateItem)
    assert created_item.previous_item_id == "root"


REFUSAL: Final = server_error(
    "Error deleting item: the item does not exist.", code="item_delete_invalid_item_id"
)


@pytest.mark.parametrize(
    "refusal",
    [
        REFUSAL,
        server_error("no", code="item_delete_invalid_item_id"),
        server_error("Error deleting item: there is none."),
        server_error("Invalid 'item_id' in conversation.item.delete"),
    ],
)
def test_a_refused_deletion_without_an_event_id_is_not_taken_as_done(
    refusal: dict[str, Any],
) -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    call.model(user_item("b", previous="a"))
    assert call.send(DeleteItem("a")).to_model == [DeleteItem("a")]
    assert call.send(ResetHistory(call.items[1:])).to_model == []
    assert call.model(refusal).faults == [FaultKind.SERVER_ERROR]
    assert call.send(ResetHistory(call.items)).to_model == []


def test_an_error_settles_the_oldest_deletion_without_an_event_id() -> None:
    call = ObservedCall.ready()
    for id_, previous in (("a", None), ("b", "a"), ("c", "b")):
        call.model(user_item(id_, previous=previous))
    call.send(DeleteItem("c", "named"))
    call.send(DeleteItem("unknown"))
    call.send(DeleteItem("a"))
    call.send(DeleteItem("b"))
    call.model(REFUSAL)  # of the unknown one
    assert call.send(ResetHistory([])).to_model == []
    call.model(REFUSAL)
    (again,) = call.send(ResetHistory([])).to_model
    assert isinstance(again, DeleteItem)
    assert again.item_id == "a"


def test_an_item_deleted_twice_can_be_created_again() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    before = call.items
    call.send(ResetHistory([]))
    call.send(DeleteItem("a"))
    call.model(item_deleted("a"))
    call.model(REFUSAL)
    (edit,) = call.send(ResetHistory(before)).to_model
    assert isinstance(edit, CreateItem)
    call.model(user_item("a"))
    assert call.send(ResetHistory(call.items)).to_model == []


def test_another_error_without_an_event_id_settles_no_deletion() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    call.send(DeleteItem("a"))
    call.model(server_error("no", code="item_truncate_invalid_item_id"))
    assert call.send(ResetHistory([])).to_model == []


def test_an_error_about_a_deletion_refuses_no_update_and_no_request() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    call.send(UpdateSession({"instructions": "x"}, "e"))
    call.send(CreateResponse())
    call.send(DeleteItem("a"))
    (fault,) = call.model(server_error("Error deleting item: no.")).events
    assert isinstance(fault, Fault)
    assert fault.message == "Error deleting item: no."
    assert call.model(server_error("session.update is wrong")).notified(Fault)[0].message == (
        "session.update e: session.update is wrong"
    )


def test_an_unheard_item_stays_if_its_deletion_is_refused() -> None:
    call = ObservedCall.ready()
    call.model(created())
    call.model(item_added("i", status="in_progress"))
    call.model(delta(8000))
    call.model(item_complete("i"))
    call.model(item_done())
    assert call.send(Interrupt()).to_model[-1] == DeleteItem("i")
    call.model(REFUSAL)
    (edit,) = call.send(ResetHistory((*call.items, said("n")))).to_model
    assert isinstance(edit, CreateItem)
    assert (edit.item["id"], edit.previous_item_id) == ("n", "i")


DELETION: Final = {"type": "conversation.item.delete", "item_id": "a"}


@pytest.mark.parametrize("is_wanted", [False, True])
@pytest.mark.parametrize(
    "deletion",
    [SendEvent(DELETION), SendEvent({**DELETION, "new": 1}), RawClientEvent("x", DELETION)],
)
def test_a_reset_counts_with_a_deletion_of_the_application(
    deletion: Command, *, is_wanted: bool
) -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    call.model(user_item("b", previous="a"))
    call.send(deletion)
    wanted = call.items if is_wanted else call.items[1:]
    edits = call.send(ResetHistory(wanted)).to_model
    assert [getattr(each, "item", {}).get("id") for each in edits] == ["a"] * is_wanted


# Items that only the server makes.


@pytest.mark.parametrize(
    "kind", ["mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "x"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_item_that_only_the_server_makes_is_refused_before_anything_is_sent(
    kind: str, place: int
) -> None:
    call = with_tools()
    items: list[ConversationItem] = [said("n"), said("a")]
    items.insert(place, UnknownItem("new", kind, {"server_label": "docs"}))
    before = call.items
    with pytest.raises(LocalProtocolError, match=rf"items\[{place}\] cannot be .* type '{kind}'"):
        call.send(ResetHistory(items))
    assert call.items == before
    assert len(call.send(ResetHistory([said("a")])).to_model) == 3  # nothing was noted either


def test_items_of_mcp_tools_stay_where_they_are() -> None:
    call = with_tools()
    a, tools, search, _ = call.items
    edits = call.send(ResetHistory([a, tools, search, said("b", "other"), said("c")])).to_model
    assert [type(each) for each in edits] == [DeleteItem, CreateItem, CreateItem]
    assert {getattr(each, "item_id", "b") for each in edits} == {"b"}


def test_everything_else_moves_around_items_of_mcp_tools() -> None:
    call = with_tools()
    a, tools, search, b = call.items
    edits = call.send(ResetHistory([tools, b, a, search])).to_model
    assert [each.item_id for each in edits if isinstance(each, DeleteItem)] == ["a", "b"]
    assert [each.item["id"] for each in edits if isinstance(each, CreateItem)] == ["b", "a"]


@pytest.mark.parametrize("changed", [("search", "tools"), ("search",), ("tools",)])
def test_items_of_mcp_tools_can_be_left_out_and_never_moved(changed: tuple[str, ...]) -> None:
    call = with_tools()
    by_id = {each.id: each for each in call.items}
    if changed == ("search", "tools"):
        with pytest.raises(LocalProtocolError, match="not be added, changed or moved"):
            call.send(ResetHistory([by_id[each] for each in changed]))
    else:
        edits = call.send(ResetHistory([by_id[each] for each in changed])).to_model
        assert not any(isinstance(each, CreateItem) for each in edits)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (Message("n", Role.SYSTEM, (ImagePart("data:x"),)), "system can have only TextPart"),
        (Message("n", Role.ASSISTANT, (ImagePart("data:x"),)), "assistant can have only TextPart"),
        (Message("n", Role.USER, (UnknownPart("video"),)), "user can have only TextPart and Image"),
    ],
)
def test_content_that_a_role_cannot_have_is_refused(item: Message, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        with_tools().send(ResetHistory([item]))


def test_a_detail_of_an_image_that_cannot_be_created_changes_nothing() -> None:
    call = with_tools()
    before = call.items
    item = Message("n", Role.USER, (TextPart("Look"), ImagePart("data:x", "zzz")))
    with pytest.raises(LocalProtocolError, match=r"items\[0\]\.parts\[1\]\.detail must be"):
        call.send(ResetHistory([item]))
    assert call.items == before
    assert call.send(ResetHistory(before)).to_model == []


def test_an_item_that_stays_may_have_any_detail_of_an_image() -> None:
    call = ObservedCall.ready()
    image = {"type": "input_image", "image_url": "data:x", "detail": "original"}
    call.model(item_complete("i", role="user", content=[image]))
    assert call.send(ResetHistory(call.items)).to_model == []


# Items without a status.


def test_an_item_added_without_a_status_is_not_complete_until_it_is_done() -> None:
    call = ObservedCall.ready()
    (added,) = call.model(item_added("i")).notified(ItemAdded)
    assert added.item == Message("i", Role.ASSISTANT, (), is_complete=False)
    (updated,) = call.model(item_complete("i", status=None)).notified(ItemUpdated)
    assert updated.item == Message("i", Role.ASSISTANT)


def test_a_function_call_without_a_status_is_not_complete_until_it_is_done() -> None:
    call = ObservedCall.ready()
    fields = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    call.model(item_added("i", **fields))
    assert call.items == (FunctionCall("i", "c", "f", "{}", is_complete=False),)
    call.model(item_complete("i", status=None, **fields))
    assert call.items == (FunctionCall("i", "c", "f", "{}"),)


def test_an_item_that_was_complete_stays_so_without_a_status() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    for type_ in ("conversation.item.retrieved", "conversation.item.added"):
        item: dict[str, Any] = {"id": "a", "type": "message", "role": "user", "content": []}
        call.model(type=type_, item=item)
        assert call.items == (said("a"),)


# Stale words.


def spoken(transcript: str | None, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_audio", "transcript": transcript}]
    return {"role": "assistant", "content": content, **fields}


def words(text: str, item: str = "i", content_index: int = 0) -> dict[str, Any]:
    place = {"response_id": "r", "item_id": item, "content_index": content_index}
    return {"type": "response.output_audio_transcript.delta", **place, "delta": text}


def all_words(text: str, item: str = "i") -> dict[str, Any]:
    place = {"response_id": "r", "item_id": item, "content_index": 0}
    return {"type": "response.output_audio_transcript.done", **place, "transcript": text}


def transcript_of(call: ObservedCall, item: str = "i", index: int = 0) -> str | None:
    (message,) = (each for each in call.items if each.id == item)
    assert isinstance(message, Message)
    part = message.parts[index]
    assert isinstance(part, AudioPart)
    return part.transcript


def answering(*deltas: str) -> ObservedCall:
    call = ObservedCall.ready()
    call.model(created())
    call.model(item_added("i", status="in_progress", **spoken("")))
    for each in deltas:
        call.model(words(each))
    return call


def test_the_transcript_of_an_item_that_is_done_replaces_stale_words() -> None:
    call = answering("Your or", "der is")
    call.model(item_complete("i", **spoken("Your order left the warehouse.")))
    assert transcript_of(call) == "Your order left the warehouse."
    call.model(words(" late piece"))
    assert transcript_of(call) == "Your order left the warehouse."


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (None, "completed"),
        ("", "completed"),
        (" ", "completed"),
        ("Your order left.", "completed"),
        ("Your order", "incomplete"),
        ("Your order", None),
    ],
)
def test_an_item_that_is_done_removes_no_words(text: str | None, status: str | None) -> None:
    call = answering(" Your order left.")
    call.model(item_complete("i", status=status, **spoken(text)))
    assert transcript_of(call) == " Your order left."


def test_a_completed_item_has_no_words_beyond_its_own() -> None:
    call = answering("Your order ", "left everybody.")
    call.model(item_complete("i", **spoken("Your order")))
    assert transcript_of(call) == "Your order"
    call.model(words(" late piece"))
    assert transcript_of(call) == "Your order"


def test_a_completed_item_has_no_text_beyond_its_own() -> None:
    call = ObservedCall.ready()
    call.model(item_added("i", status="in_progress"))
    place: dict[str, Any] = {"response_id": "r", "item_id": "i", "content_index": 0}
    call.model(type="response.output_text.delta", **place, delta="Good morning everybody")
    content = [{"type": "output_text", "text": "Good morning"}]
    call.model(item_complete("i", content=content))
    assert call.items == (Message("i", Role.ASSISTANT, (TextPart("Good morning"),)),)


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_completed_item_that_was_cut_keeps_its_words(*, is_ours: bool) -> None:
    call = answering("Your order left.")
    call.model(delta(8 * 2000))
    call.play(1000)
    if is_ours:
        call.send(Interrupt())
    else:
        place: dict[str, Any] = {"item_id": "i", "content_index": 0, "audio_end_ms": 1000}
        call.model(type="conversation.item.truncated", **place)
    call.model(item_complete("i", **spoken("Your order")))
    assert transcript_of(call) == "Your order left."


@pytest.mark.parametrize("content", [None, [], [{"type": "output_audio", "transcript": None}]])
def test_the_first_words_of_an_item_do_not_replace_pieces_once_it_is_done(content: Any) -> None:
    call = ObservedCall.ready()
    call.model(item_added("i", status="in_progress", **spoken("Good")))
    call.model(words("Good morning."))
    call.model(item_complete("i", content=content))
    assert transcript_of(call) == "Good morning."


def test_the_shorter_words_of_the_callers_item_do_not_replace_pieces() -> None:
    call = ObservedCall.ready()
    heard: dict[str, Any] = {
        "role": "user",
        "content": [{"type": "input_audio", "transcript": "Where"}],
    }
    call.model(item_added("u", status="completed", **heard))
    call.model(type=f"{TRANSCRIPTION}.delta", item_id="u", content_index=0, delta="Where is it")
    call.model(item_complete("u", **heard))
    assert transcript_of(call, "u") == "Where is it"


# What a later description leaves out.


def retrieved(id_: str, **fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.retrieved", "item": {"id": id_, **fields}}


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}, {"content": [None]}])
@pytest.mark.parametrize("role", [{}, {"role": "assistant"}])
def test_text_and_phase_stay_where_a_later_description_lacks_them(
    content: dict[str, Any], role: dict[str, str]
) -> None:
    call = ObservedCall.ready()
    content_text = [{"type": "output_text", "text": "Hello"}]
    phase = "final_answer"
    call.model(item_added("i", status="completed", content=content_text, phase=phase))
    call.model(retrieved("i", type="message", status="completed", **role, **content))
    (item,) = call.items
    assert item == Message("i", Role.ASSISTANT, (TextPart("Hello"),), phase="final_answer")


def test_a_later_description_changes_what_it_has() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a", "one"))
    new = [{"type": "input_text", "text": "two"}, {"type": "input_text", "text": "three"}]
    fields = {"type": "message", "role": "user", "status": "completed"}
    call.model(retrieved("a", **fields, content=new, phase="commentary"))
    parts = (TextPart("two"), TextPart("three"))
    assert call.items == (Message("a", Role.USER, parts, phase="commentary"),)
    call.model(retrieved("a", **fields, content=[{"type": "input_text", "text": ""}]))
    assert call.items == (Message("a", Role.USER, parts, phase="commentary"),)


def test_an_earlier_state_of_a_text_does_not_shorten_it() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a", "Hello there"))
    fields = {"type": "message", "role": "user", "status": "in_progress"}
    call.model(retrieved("a", **fields, content=[{"type": "input_text", "text": "Hello"}]))
    assert call.items == (said("a", "Hello there"),)


@pytest.mark.parametrize(
    ("fields", "item"),
    [
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]},
            Message("i", Role.USER, (ImagePart("data:x"),)),
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            FunctionCall("i", "c", "f", "{}"),
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": "1"},
            FunctionOutput("i", "c", "1"),
        ),
    ],
)
def test_no_field_is_removed_by_a_later_description(
    fields: dict[str, Any], item: ConversationItem
) -> None:
    call = ObservedCall.ready()
    call.model(item_added("i", status="completed", **fields))
    call.model(retrieved("i", type=fields.get("type", "message"), status="completed"))
    assert call.items == (item,)
    if isinstance(item, Message):
        content = [{"type": "input_image", "detail": "low"}]
        call.model(retrieved("i", type="message", status="completed", content=content))
        assert call.items == (Message("i", Role.USER, (ImagePart("data:x", "low"),)),)


def test_the_transcript_of_its_own_event_stays() -> None:
    call = answering("Your or")
    call.model(all_words("Your order left."))
    call.model(item_complete("i", **spoken("Another text.")))
    assert transcript_of(call) == "Your order left."


def test_an_item_that_is_not_done_may_lag_behind() -> None:
    call = answering("Your order left.")
    item = item_complete("i", status="in_progress", **spoken("Another"))["item"]
    call.model(type="conversation.item.retrieved", item=item)
    assert transcript_of(call) == "Your order left."


# Parts of what the caller says.


def two_parts() -> ObservedCall:
    call = ObservedCall.ready()
    content = [{"type": "input_audio", "transcript": None}] * 2
    call.model(item_added("u", role="user", status="completed", content=content))
    return call


def test_a_transcription_belongs_to_its_part() -> None:
    call = two_parts()
    fields: dict[str, Any] = {"item_id": "u", "content_index": 1}
    (piece,) = call.model(type=f"{TRANSCRIPTION}.delta", delta="Hel", **fields).events
    assert piece == CallerTranscript("u", "Hel", final=False, content_index=1)
    assert (transcript_of(call, "u", 0), transcript_of(call, "u", 1)) == (None, "Hel")
    whole, updated = call.model(
        type=f"{TRANSCRIPTION}.completed", transcript="Hello.", **fields
    ).events
    assert whole == CallerTranscript("u", "Hello.", final=True, content_index=1)
    parts = (AudioPart(), AudioPart("Hello."))
    assert updated == ItemUpdated(Message("u", Role.USER, parts))


def test_a_transcription_without_an_index_belongs_to_the_first_part() -> None:
    call = two_parts()
    call.model(type=f"{TRANSCRIPTION}.completed", item_id="u", transcript="Hello.")
    assert (transcript_of(call, "u", 0), transcript_of(call, "u", 1)) == ("Hello.", None)


def test_a_failed_transcription_leaves_the_other_part_alone() -> None:
    call = two_parts()
    done = call.model(type=f"{TRANSCRIPTION}.failed", item_id="u", content_index=1, error={})
    assert done.notified(CallerTranscriptFailed)


# Words that were heard.

TEN_WORDS: Final = "one two three four five six seven eight nine ten"


def interrupted_after(ms: int, sent_ms: int, text: str = TEN_WORDS) -> str | None:
    """The words heard of a part of which `sent_ms` were received, and `ms` played."""
    call = answering(text)
    for _ in range(sent_ms // 20):
        call.model(delta(160))
    call.play(ms)
    (interrupted,) = call.model(speech_started()).notified(Interrupted)
    (item,) = interrupted.items
    assert item.heard_ms == ms
    return item.heard


@pytest.mark.parametrize("sent_ms", [1000, 1500, 2000, 2500, 3980])
def test_no_more_words_are_heard_than_the_audio_can_have_held(sent_ms: int) -> None:
    """Ten words, which take 4 s; the caller interrupts after 1 s, so two and a half were heard."""
    assert interrupted_after(1000, sent_ms) == "one two"


def test_the_words_of_a_deleted_item_are_heard_from_their_beginning() -> None:
    call = Call.ready()
    call.model(created())
    call.model(item_added("i", status="in_progress"))
    call.model(words("one two "))
    call.model(delta(8_000))
    call.send(DeleteItem("i"))
    call.model(item_deleted())
    call.model(words("three four"))
    call.model(delta(8_000))
    call.play(1_900)
    (interrupted,) = call.model(speech_started()).notified(Interrupted)
    assert (interrupted.items[0].heard or "").startswith("one two")


@pytest.mark.parametrize(
    ("word", "most"),
    [("a", 5), ("7", 5), ("word", 5), ("extraordinarily", 2), ("日", 6), ("안녕", 4)],
)
def test_short_and_long_words_take_their_time(word: str, most: int) -> None:
    """Within 2 s, at 125 words a minute, or three characters of Chinese a second."""
    heard = interrupted_after(2000, 2000, " ".join([word] * 40)) or ""
    assert most - 2 <= len(heard.split()) <= most


@pytest.mark.parametrize(("speed", "heard"), [(0.25, 1), (0.5, 2), (1, 5), (1.5, 7)])
def test_a_slow_voice_says_fewer_words(speed: float, heard: int) -> None:
    """Within 3 s, of words that take 0.6 s at the usual speed."""
    call = answering(" ".join(["words"] * 40))
    output = {**SESSION["audio"]["output"], "speed": speed}
    audio = {**SESSION["audio"], "output": output}
    call.model(type="session.updated", session={**SESSION, "audio": audio})
    call.model(delta(8 * 4000))
    call.play(3000)
    (interrupted,) = call.model(speech_started()).notified(Interrupted)
    assert len((interrupted.items[0].heard or "").split()) == heard


def test_a_part_that_is_complete_is_split_in_proportion() -> None:
    assert heard_of_whole(TEN_WORDS, 4000, 2000) == "one two three four five"  # 23 of 48 characters


def heard_of_whole(text: str, duration_ms: int, heard_ms: int, speed: float = 1) -> str | None:
    """The words that count as heard of an item that is complete."""
    call = answering(text)
    output = {**SESSION["audio"]["output"], "speed": speed}
    audio = {**SESSION["audio"], "output": output}
    call.model(type="session.updated", session={**SESSION, "audio": audio})
    call.model(delta(8 * duration_ms))
    call.model(audio_done())
    call.model(all_words(text))
    call.model(item_complete("i", **spoken(text)))
    call.model(response_done())
    call.play(heard_ms)
    (interrupted,) = call.model(speech_started()).notified(Interrupted)
    return interrupted.items[0].heard


def test_digits_take_a_larger_share_of_the_time_than_letters() -> None:
    text = " ".join(["5551234567"] * 3 + ["lovely"] * 10)
    assert heard_of_whole(text, 15_000, 5000) == "5551234567"  # 51 of 223 units


def test_a_larger_share_of_the_characters_is_not_heard_either() -> None:
    text = " ".join(["lovely"] * 10 + ["5551234567"] * 3)
    assert heard_of_whole(text, 15_000, 5000) == " ".join(["lovely"] * 5)  # 34 of 102 characters


@pytest.mark.parametrize(("speed", "heard"), [(0.5, 1), (1, 3), (1.5, 4)])
def test_no_voice_says_more_than_the_fastest_of_a_complete_part(speed: float, heard: int) -> None:
    """In one second 10, 20 and 29 units, of words of six."""
    text = " ".join(["words"] * 40)
    assert len((heard_of_whole(text, 2000, 1000, speed) or "").split()) == heard


def test_the_pace_of_the_agent_is_learned() -> None:
    """A fast agent: twenty words in four seconds, completed twice."""
    call = ObservedCall.ready()
    for number in range(2):
        response, item = f"r{number}", f"i{number}"
        call.model(created(response))
        text = " ".join(["word"] * 60)
        call.model(item_added(item, status="in_progress", **spoken("")))
        call.model(delta(8 * 15_000, response, item))
        call.model(audio_done(response, item))
        call.model(item_complete(item, **spoken(text)))
        call.model(response_done(response))
        call.play(15_000)
    call.model(created())
    call.model(item_added("i", status="in_progress", **spoken("")))
    call.model(words(" ".join(["word"] * 30)))
    call.model(delta(8 * 2000))
    call.play(2000)
    (interrupted,) = call.model(speech_started()).notified(Interrupted)
    heard = interrupted.items[0].heard or ""
    assert 5 < len(heard.split()) <= 8  # eight were said


# The recipe of docs/how-to/history.md.


def test_a_conversation_with_a_function_call_is_restored_as_text() -> None:
    call = answering("Your order left.")
    fields = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    call.model(item_added("f", "i", status="completed", **fields))
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    call.model(item_added("o", "f", status="completed", **output))
    call.model(item_complete("i", **spoken("Your order left.")))
    texts = [replace_audio_with_text(item) for item in call.items]
    before = [item for item in texts if not isinstance(item, Message) or item.parts]
    edits = ObservedCall.ready().send(ResetHistory(before)).to_model
    kinds = [each.item["type"] for each in edits if isinstance(each, CreateItem)]
    assert kinds == ["message", "function_call", "function_call_output"]


# Ids that no item can have.


DESCRIPTIONS: Final[list[Callable[[str], dict[str, Any]]]] = [
    item_added,
    item_complete,
    lambda id_: {"type": "conversation.item.retrieved", "item": item_added(id_)["item"]},
    lambda id_: {
        "type": "response.output_item.added",
        "response_id": "r",
        "item": item_added(id_)["item"],
    },
    lambda id_: {
        "type": "response.output_item.done",
        "response_id": "r",
        "item": item_added(id_)["item"],
    },
]


@pytest.mark.parametrize("id_", ["root", ""])
@pytest.mark.parametrize("event", DESCRIPTIONS)
def test_an_item_with_an_id_that_no_item_can_have_is_a_fault(
    id_: str, event: Callable[[str], dict[str, Any]]
) -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    assert call.model(event(id_)).faults == [FaultKind.BAD_MESSAGE]
    assert call.items == (said("a"),)
    assert len(call.send(ResetHistory([said("b")])).to_model) == 2


def test_deleting_truncating_or_following_such_an_item_does_nothing() -> None:
    call = ObservedCall.ready()
    call.model(user_item("a"))
    call.model(item_deleted("root"))
    call.model(type="conversation.item.truncated", item_id="root", content_index=0, audio_end_ms=0)
    call.model(words("x", "root"))
    call.model(user_item("b", previous="root"))
    call.model(user_item("c", previous="c"))
    assert [each.id for each in call.items] == ["b", "a", "c"]
    assert call.send(ResetHistory([said("d")])).to_model


def test_an_id_that_is_used_again_is_a_new_item() -> None:
    call = answering("Old words.")
    call.model(item_complete("i", **spoken("Old words.")))
    call.model(item_deleted("i"))
    call.phone(media("/w=="))
    call.model(item_added("i", status="in_progress", **spoken(None)))
    assert transcript_of(call) is None
    call.model(words("New."))
    assert transcript_of(call) == "New."


# Playback that no mark has confirmed.


def test_the_end_of_playback_is_never_notified_without_its_start() -> None:
    """All marks of an item are lost; it must have been played when the caller interrupts."""
    call = answering("Hello.")
    call.model(delta(800))
    call.model(audio_done())
    call.model(response_done())
    call.wait(3000)
    call.model(created("r2"))
    done = call.model(speech_started())
    kinds = [type(each) for each in done.events if isinstance(each, PLAYBACK)]
    assert kinds == [PlaybackStarted, PlaybackFinished]


def test_a_start_that_was_notified_is_not_again() -> None:
    call = answering("Hello.")
    assert call.model(delta(800)).to_twilio
    assert call.play(60).notified(PlaybackStarted)
    call.model(audio_done())
    call.model(response_done())
    call.wait(3000)
    call.model(created("r2"))
    done = call.model(speech_started())
    assert [type(each) for each in done.events if isinstance(each, PLAYBACK)] == [PlaybackFinished]
