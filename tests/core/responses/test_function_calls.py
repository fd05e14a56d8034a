import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import FunctionCallRequested
from twilio_realtime_core.protocols.realtime import Item, OutputItemDoneEvent, decode
from twilio_realtime_core.responses.function_calls import MAX_CALLS, FunctionCalls

TRACE = Path(__file__).parents[1] / "traces" / "realtime_tool_call_round.jsonl"


def call(
    call_id: str | None = "call",
    name: str | None = "weather",
    status: str | None = "completed",
    arguments: str | None = "{}",
) -> Item:
    return Item(
        f"item of {call_id}",
        "function_call",
        status=status,
        call_id=call_id,
        name=name,
        arguments=arguments,
    )


def requested(call_id: str = "call", arguments: str = "{}") -> FunctionCallRequested:
    return FunctionCallRequested(call_id, "weather", arguments, "r", f"item of {call_id}")


def test_a_completed_call_is_announced() -> None:
    calls = FunctionCalls()
    assert calls.item_done("r", call(), in_conversation=True) == requested()
    assert calls.open_call_ids == ("call",)


def test_a_recorded_call_is_announced() -> None:
    calls = FunctionCalls()
    told: list[object] = []
    for line in TRACE.read_text("utf-8").splitlines():
        frame = json.loads(line)
        event = decode(json.dumps(frame["event"]))
        if frame["direction"] == "received" and isinstance(event, OutputItemDoneEvent):
            told.append(calls.item_done(event.response_id, event.item, in_conversation=True))
    first, *others = told
    assert isinstance(first, FunctionCallRequested)
    assert (first.name, json.loads(first.arguments)) == ("get_weather", {"city": "London"})
    assert others == [None]


def test_a_call_is_announced_once() -> None:
    """S71: a call that is told twice is not run twice."""
    calls = FunctionCalls()
    calls.item_done("r", call(), in_conversation=True)
    assert calls.item_done("r", call(), in_conversation=True) is None
    calls.mark_answered("call")
    assert calls.item_done("another", call(), in_conversation=True) is None
    assert calls.open_call_ids == ()


@pytest.mark.parametrize("status", ["incomplete", "in_progress", "cancelled", None])
def test_a_call_that_was_cut_short_is_not_announced(status: str | None) -> None:
    calls = FunctionCalls()
    assert calls.item_done("r", call(status=status), in_conversation=True) is None
    assert calls.open_call_ids == ()


@pytest.mark.parametrize(
    "item",
    [
        call(call_id=None),
        call(call_id=""),
        call(name=None),
        call(name=""),
        Item("i", "message", role="assistant", status="completed"),
        Item("i", "function_call_output", status="completed", call_id="call", name="weather"),
    ],
)
def test_what_cannot_be_answered_is_not_announced(item: Item) -> None:
    assert FunctionCalls().item_done("r", item, in_conversation=True) is None


def test_a_call_of_a_response_outside_the_conversation_is_not_announced() -> None:
    calls = FunctionCalls()
    assert calls.item_done("r", call(), in_conversation=False) is None
    with pytest.raises(LocalProtocolError):
        calls.check_answer("call")


def test_a_call_without_arguments_has_empty_ones() -> None:
    told = FunctionCalls().item_done("r", call(arguments=None), in_conversation=True)
    assert told == requested(arguments="")


def test_a_call_is_answered_once() -> None:
    calls = FunctionCalls()
    calls.item_done("r", call(), in_conversation=True)
    calls.check_answer("call")
    calls.mark_answered("call")
    with pytest.raises(LocalProtocolError, match="has its output"):
        calls.check_answer("call")


def test_the_model_goes_on_once_when_all_calls_of_a_response_have_outputs() -> None:
    """S81: several outputs cause one response."""
    calls = FunctionCalls()
    for response, call_id in (("r", "a"), ("r", "b"), ("s", "c")):
        calls.item_done(response, call(call_id), in_conversation=True)
    calls.mark_answered("a")
    calls.mark_output_sent("a", respond=True)
    assert not calls.take_followup("r")
    calls.mark_answered("b")
    calls.mark_output_sent("b", respond=False)
    assert calls.take_followup("r")
    assert not calls.take_followup("r")
    assert not calls.take_followup("s")


def test_without_an_output_that_wants_it_the_model_does_not_go_on() -> None:
    calls = FunctionCalls()
    calls.item_done("r", call(), in_conversation=True)
    calls.mark_answered("call")
    calls.mark_output_sent("call", respond=False)
    assert not calls.take_followup("r")
    assert calls.is_known("call")
    assert not calls.is_known("another")


def test_an_answer_to_a_call_that_nobody_made_is_misuse_and_names_no_content() -> None:
    with pytest.raises(LocalProtocolError, match="no function call") as misuse:
        FunctionCalls().check_answer("secret")
    assert "secret" not in str(misuse.value)


def test_open_calls_stand_in_the_order_in_which_they_were_announced() -> None:
    calls = FunctionCalls()
    for call_id in ("c", "a", "b"):
        calls.item_done("r", call(call_id), in_conversation=True)
    calls.mark_answered("a")
    assert calls.open_call_ids == ("c", "b")


def full() -> FunctionCalls:
    calls = FunctionCalls()
    for number in range(MAX_CALLS):
        calls.item_done("r", call(str(number)), in_conversation=True)
    return calls


def test_one_call_too_many_is_reported_and_those_announced_can_still_be_answered() -> None:
    calls = full()
    fault = calls.item_done("r", call(), in_conversation=True)
    assert isinstance(fault, Fault)
    assert (fault.peer, fault.kind) == (Peer.REALTIME, FaultKind.OVERFLOW)
    assert len(calls.open_call_ids) == MAX_CALLS
    calls.check_answer("0")
    with pytest.raises(LocalProtocolError):
        calls.check_answer("call")


def test_the_oldest_call_that_has_its_answer_is_forgotten_first() -> None:
    calls = full()
    for call_id in ("7", "3"):
        calls.mark_answered(call_id)
        assert calls.mark_output_sent(call_id, respond=True) == "r"
    assert calls.item_done("r", call(), in_conversation=True) == requested()
    with pytest.raises(LocalProtocolError, match="no function call"):
        calls.check_answer("3")
    with pytest.raises(LocalProtocolError, match="has its output"):
        calls.check_answer("7")
    calls.check_answer("0")


ids = st.sampled_from("abc")


@given(st.lists(st.tuples(st.sampled_from(["done", "cut", "answer"]), ids), max_size=30))
@settings(max_examples=50)
def test_each_call_is_announced_and_answered_at_most_once(steps: list[tuple[str, str]]) -> None:
    calls = FunctionCalls()
    announced: list[str] = []
    answered: list[str] = []
    for step, call_id in steps:
        if step == "answer":
            try:
                calls.check_answer(call_id)
            except LocalProtocolError:
                assert call_id not in calls.open_call_ids
            else:
                calls.mark_answered(call_id)
                answered.append(call_id)
        else:
            status = "completed" if step == "done" else "incomplete"
            if calls.item_done("r", call(call_id, status=status), in_conversation=True):
                announced.append(call_id)
    assert len(announced) == len(set(announced))
    assert len(answered) == len(set(answered))
    assert calls.open_call_ids == tuple(each for each in announced if each not in answered)


def test_responses_that_never_end_are_not_remembered_without_end() -> None:
    calls = FunctionCalls()
    for number in range(MAX_CALLS + 1):
        calls.mark_followup(str(number))
    assert not calls.take_followup(str(MAX_CALLS))
    assert calls.take_followup("0")
