import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.machine.lifecycles import ResponseInput, ResponseState
from twilio_realtime_core.protocols.realtime import Response
from twilio_realtime_core.responses.responses import (
    MAX_ITEMS,
    MAX_RESPONSES,
    ResponseRecord,
    Responses,
)

CANCEL, INTERRUPT, DONE = ResponseInput.CANCEL, ResponseInput.INTERRUPT, ResponseInput.DONE


def test_a_response_is_known_from_its_first_event_on() -> None:
    responses = Responses()
    first = responses.get_or_create("r1")
    assert first.id == "r1"
    assert first.lifecycle.state is ResponseState.GENERATING
    assert first.is_in_conversation
    assert responses.get_or_create("r2") is not first
    assert responses.get_or_create("r1") is first
    assert [each.id for each in responses] == ["r1", "r2"]


@pytest.mark.parametrize("known", [0, 3, MAX_RESPONSES])
def test_looking_a_response_up_never_creates_one(known: int) -> None:
    responses = Responses()
    records = [responses.get_or_create(str(number)) for number in range(known)]
    assert responses.get("unknown") is None
    assert responses.of_item("unknown") is None
    assert list(responses) == records
    assert responses.generating == records
    assert [responses.get(each.id) for each in records] == records


def test_looking_a_forgotten_response_up_does_not_revive_it() -> None:
    responses = Responses()
    for number in range(MAX_RESPONSES + 1):
        responses.get_or_create(str(number)).lifecycle.step(DONE)
    assert responses.get("0") is None
    assert responses.generating == []
    assert len(list(responses)) == MAX_RESPONSES


@pytest.mark.parametrize(
    ("inputs", "audible", "generating"),
    [
        ([], True, True),
        ([CANCEL], True, True),
        ([INTERRUPT], False, True),
        ([CANCEL, INTERRUPT], False, True),
        ([DONE], True, False),
        ([CANCEL, DONE], True, False),
        ([INTERRUPT, DONE], False, False),
        ([DONE, INTERRUPT], False, False),
    ],
)
def test_a_response_is_audible_and_generating_by_its_state(
    inputs: list[ResponseInput],
    audible: bool,  # noqa: FBT001
    generating: bool,  # noqa: FBT001
) -> None:
    response = Responses().get_or_create("r")
    assert all(response.lifecycle.step(each) for each in inputs)
    assert (response.is_audible, response.is_generating) == (audible, generating)


def test_a_response_without_a_conversation_is_out_of_band() -> None:
    responses = Responses()
    assert responses.start(Response("r1", conversation_id="conv"), 0).is_in_conversation
    assert not responses.start(Response("r2", conversation_id=None), 0).is_in_conversation
    assert not responses.get_or_create("r2").is_in_conversation


def test_a_response_counts_as_in_the_conversation_by_default() -> None:
    assert Responses().start(Response("r1"), 0).is_in_conversation


def test_a_description_updates_the_known_record() -> None:
    responses = Responses()
    known = responses.get_or_create("r1")
    known.done_items.add("item")
    assert responses.start(Response("r1", conversation_id=None), 0) is known
    assert known.done_items == {"item"}
    assert known.heard_items == set()


def test_the_oldest_ended_response_is_forgotten_first() -> None:
    responses = Responses()
    for number in range(MAX_RESPONSES):
        responses.get_or_create(str(number))
    for ended in ("2", "5"):
        responses.get_or_create(ended).lifecycle.step(DONE)
    responses.get_or_create("one more")
    ids = [each.id for each in responses]
    assert len(ids) == MAX_RESPONSES
    assert ids[:5] == ["0", "1", "3", "4", "5"]
    responses.get_or_create("and another")
    assert [each.id for each in responses][:5] == ["0", "1", "3", "4", "6"]


def test_the_oldest_is_forgotten_where_none_has_ended() -> None:
    responses = Responses()
    for number in range(MAX_RESPONSES + 1):
        responses.get_or_create(str(number))
    assert [each.id for each in responses] == [str(number + 1) for number in range(MAX_RESPONSES)]


def test_a_known_response_does_not_forget_another() -> None:
    responses = Responses()
    for number in range(MAX_RESPONSES):
        responses.get_or_create(str(number)).lifecycle.step(DONE)
    responses.get_or_create("7")
    assert [each.id for each in responses] == [str(number) for number in range(MAX_RESPONSES)]


def test_generating_responses_are_in_their_order() -> None:
    responses = Responses()
    for name in "abcd":
        responses.get_or_create(name)
    responses.get_or_create("b").lifecycle.step(DONE)
    responses.get_or_create("d").lifecycle.step(INTERRUPT)
    assert [each.id for each in responses.generating] == ["a", "c", "d"]
    responses.get_or_create("a").lifecycle.step(DONE)
    assert [each.id for each in responses.generating] == ["c", "d"]


def test_a_forgotten_response_is_not_generating() -> None:
    responses = Responses()
    for number in range(MAX_RESPONSES + 1):
        responses.get_or_create(str(number))
    assert [each.id for each in responses.generating] == [each.id for each in responses]


@settings(max_examples=5)
@given(st.lists(st.integers(0, 2000), max_size=20))
def test_the_number_of_remembered_responses_is_limited(ids: list[int]) -> None:
    responses = Responses()
    for number in range(MAX_RESPONSES - 5):
        responses.get_or_create(str(number))
    for number in ids:
        assert responses.get_or_create(str(number)).id == str(number)
        assert len(list(responses)) <= MAX_RESPONSES


def test_an_item_is_marked_as_done_once() -> None:
    response = Responses().get_or_create("r")
    assert response.mark_item_done("a")
    assert not response.mark_item_done("a")
    assert response.mark_item_done("b")


def test_the_marks_of_a_response_are_limited() -> None:
    response = Responses().get_or_create("r")
    for number in range(MAX_ITEMS + 1):
        response.mark_item_done(str(number))
        response.mark_item_heard(str(number))
        response.mark_part_done(str(number), 0)
    assert len(response.done_items) == MAX_ITEMS
    assert len(response.heard_items) == MAX_ITEMS
    assert len(response.done_parts) == MAX_ITEMS


@pytest.mark.parametrize(("cancelled", "states"), [("r1", "cg"), ("r2", "gc"), (None, "cg")])
def test_a_response_is_cancelled_by_id_or_by_conversation(
    cancelled: str | None, states: str
) -> None:
    responses = Responses()
    responses.get_or_create("r1")
    responses.start(Response("r2", conversation_id=None), 0)
    for each in responses.find_cancellable(cancelled):
        each.mark_cancelled()
    assert responses.find_cancellable(cancelled) == []
    named = {ResponseState.GENERATING: "g", ResponseState.CANCELLING: "c"}
    assert "".join(named[each.lifecycle.state] for each in responses) == states


def test_the_latest_deleted_items_are_remembered() -> None:
    responses = Responses()
    for number in range(MAX_RESPONSES + 1):
        responses.mark_item_deleted(str(number))
    assert not responses.is_item_deleted("0")
    assert responses.is_item_deleted("1")
    assert responses.is_item_deleted(str(MAX_RESPONSES))


def test_an_item_belongs_to_its_first_response() -> None:
    responses = Responses()
    first, second = ResponseRecord("r"), ResponseRecord("s")
    responses.index_item("i", first)
    responses.index_item("i", second)
    assert responses.of_item("i") is first
    assert responses.of_item("j") is None


def test_the_item_indexed_first_is_forgotten_first() -> None:
    responses, record = Responses(), ResponseRecord("r")
    for number in range(1025):
        responses.index_item(str(number), record)
    assert responses.of_item("0") is None
    assert responses.of_item("1") is record
    assert responses.of_item("1024") is record


@pytest.mark.parametrize(
    ("inputs", "in_conversation", "is_stoppable"),
    [
        ([], True, True),
        ([], False, True),
        ([CANCEL], True, True),
        ([INTERRUPT], True, False),
        ([DONE], True, False),
    ],
)
def test_an_audible_response_being_generated_can_be_stopped(
    inputs: list[ResponseInput],
    in_conversation: bool,  # noqa: FBT001
    is_stoppable: bool,  # noqa: FBT001
) -> None:
    responses = Responses()
    assert not responses.is_any_stoppable
    record = responses.get_or_create("r")
    record.is_in_conversation = in_conversation
    for each in inputs:
        record.lifecycle.step(each)
    assert responses.is_any_stoppable is is_stoppable
