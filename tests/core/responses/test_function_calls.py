import json
from enum import Enum
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.lifecycles import (
    FUNCTION_CALL,
    FunctionCallInput,
    FunctionCallState,
    Lifecycle,
    Table,
)
from twilio_realtime_core.notifications import FunctionCallRequested
from twilio_realtime_core.protocols.realtime import Item, OutputItemDoneEvent, decode
from twilio_realtime_core.responses.function_calls import MAX_CALLS, FunctionCalls
from twilio_realtime_core.responses.responses import ResponseRecord

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741

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


def test_a_completed_call_is_notified() -> None:
    calls, record = FunctionCalls(), ResponseRecord("r")
    assert calls.item_done(record, call()) == requested()
    assert calls.open_call_ids == ("call",)
    assert record.unsent_outputs == 1


def test_a_done_call_without_a_status_is_complete() -> None:
    calls, record = FunctionCalls(), ResponseRecord("r")
    assert calls.item_done(record, call(status=None)) == requested()
    calls.check_answer("call")
    assert record.unsent_outputs == 1


def test_a_recorded_call_is_notified() -> None:
    calls = FunctionCalls()
    notified: list[object] = []
    for line in TRACE.read_text("utf-8").splitlines():
        frame = json.loads(line)
        event = decode(json.dumps(frame["event"]))
        if frame["direction"] == "received" and isinstance(event, OutputItemDoneEvent):
            notified.append(calls.item_done(ResponseRecord(event.response_id), event.item))
    first, *others = notified
    assert isinstance(first, FunctionCallRequested)
    assert (first.name, json.loads(first.arguments)) == ("get_weather", {"city": "London"})
    assert others == [None]


def test_a_call_is_notified_once() -> None:
    """S71: a call that is announced twice is not run twice."""
    calls, record = FunctionCalls(), ResponseRecord("r")
    calls.item_done(record, call())
    assert calls.item_done(record, call()) is None
    calls.mark_answered("call")
    assert calls.item_done(ResponseRecord("another"), call()) is None
    assert calls.open_call_ids == ()
    assert record.unsent_outputs == 1


@pytest.mark.parametrize("status", ["incomplete", "in_progress", "cancelled"])
def test_an_incomplete_call_is_not_notified(status: str) -> None:
    calls, record = FunctionCalls(), ResponseRecord("r")
    assert calls.item_done(record, call(status=status)) is None
    assert calls.open_call_ids == ()
    assert record.unsent_outputs == 0


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
def test_what_cannot_be_answered_is_not_notified(item: Item) -> None:
    record = ResponseRecord("r")
    assert FunctionCalls().item_done(record, item) is None
    assert record.unsent_outputs == 0


def test_a_call_out_of_band_is_not_notified() -> None:
    calls, record = FunctionCalls(), ResponseRecord("r", is_in_conversation=False)
    assert calls.item_done(record, call()) is None
    with pytest.raises(LocalProtocolError):
        calls.check_answer("call")
    assert record.unsent_outputs == 0


def test_a_call_without_arguments_has_empty_ones() -> None:
    notified = FunctionCalls().item_done(ResponseRecord("r"), call(arguments=None))
    assert notified == requested(arguments="")


def test_a_call_is_answered_once() -> None:
    calls = FunctionCalls()
    calls.item_done(ResponseRecord("r"), call())
    calls.check_answer("call")
    calls.mark_answered("call")
    with pytest.raises(LocalProtocolError, match="has its output"):
        calls.check_answer("call")
    calls.mark_output_sent("call", respond=True)
    with pytest.raises(LocalProtocolError, match="has its output"):
        calls.check_answer("call")


def test_a_record_counts_the_unsent_outputs_of_its_calls() -> None:
    calls = FunctionCalls()
    first, second = ResponseRecord("r"), ResponseRecord("s")
    for record, call_id in ((first, "a"), (first, "b"), (second, "c")):
        calls.item_done(record, call(call_id))
    calls.mark_answered("a")
    assert (first.unsent_outputs, second.unsent_outputs) == (2, 1)
    assert calls.mark_output_sent("a", respond=True) is first
    assert (first.unsent_outputs, second.unsent_outputs) == (1, 1)
    calls.mark_answered("b")
    assert calls.mark_output_sent("b", respond=False) is first
    assert (first.unsent_outputs, second.unsent_outputs) == (0, 1)
    assert (first.is_followup_requested, second.is_followup_requested) == (True, False)


def test_an_output_may_request_no_follow_up() -> None:
    calls, record = FunctionCalls(), ResponseRecord("r")
    calls.item_done(record, call())
    calls.mark_answered("call")
    calls.mark_output_sent("call", respond=False)
    assert not record.is_followup_requested
    assert calls.is_known("call")
    assert not calls.is_known("another")


def test_an_answer_to_an_unknown_call_is_misuse_without_content() -> None:
    with pytest.raises(LocalProtocolError, match="not that of a function call") as misuse:
        FunctionCalls().check_answer("secret")
    assert "secret" not in str(misuse.value)


def test_open_calls_are_in_the_order_of_their_notifications() -> None:
    calls = FunctionCalls()
    for call_id in ("c", "a", "b"):
        calls.item_done(ResponseRecord("r"), call(call_id))
    calls.mark_answered("a")
    assert calls.open_call_ids == ("c", "b")


# The lifecycle.


class Observed(Lifecycle[S, I]):
    """A lifecycle whose steps are recorded: the table, the input, and the state after it."""

    steps: ClassVar[list[tuple[object, object, object]]] = []

    def __init__(self, table: Table[S, I], state: S) -> None:
        super().__init__(table, state)
        self.table = table

    def step(self, event: I) -> bool:
        is_possible = super().step(event)
        self.steps.append((self.table, event, self.state if is_possible else None))
        return is_possible


def test_a_call_follows_its_lifecycle_table() -> None:
    Observed.steps.clear()
    calls = FunctionCalls(Observed)
    calls.item_done(ResponseRecord("r"), call())
    assert Observed.steps == []
    calls.mark_answered("call")
    calls.mark_output_sent("call", respond=True)
    assert Observed.steps == [
        (FUNCTION_CALL, FunctionCallInput.ANSWER, FunctionCallState.ANSWERED),
        (FUNCTION_CALL, FunctionCallInput.SEND_OUTPUT, FunctionCallState.OUTPUT_SENT),
    ]


# Limits.


def full() -> FunctionCalls:
    calls, record = FunctionCalls(), ResponseRecord("r")
    for number in range(MAX_CALLS):
        calls.item_done(record, call(str(number)))
    return calls


def test_one_call_too_many_is_reported_and_not_notified() -> None:
    calls, record = full(), ResponseRecord("r")
    fault = calls.item_done(record, call())
    assert isinstance(fault, Fault)
    assert (fault.peer, fault.kind) == (Peer.REALTIME, FaultKind.OVERFLOW)
    assert record.unsent_outputs == 0
    assert len(calls.open_call_ids) == MAX_CALLS
    calls.check_answer("0")
    with pytest.raises(LocalProtocolError):
        calls.check_answer("call")


def test_the_oldest_call_whose_output_was_sent_is_forgotten_first() -> None:
    calls, record = full(), ResponseRecord("r")
    calls.mark_answered("1")
    for call_id in ("7", "3"):
        calls.mark_answered(call_id)
        assert calls.mark_output_sent(call_id, respond=True).id == "r"
    assert calls.item_done(record, call()) == requested()
    with pytest.raises(LocalProtocolError, match="not that of a function call"):
        calls.check_answer("3")
    for answered in ("1", "7"):
        with pytest.raises(LocalProtocolError, match="has its output"):
            calls.check_answer(answered)
    calls.check_answer("0")


def test_the_number_of_remembered_calls_is_limited() -> None:
    calls = FunctionCalls()
    for number in range(MAX_CALLS + 3):
        calls.item_done(ResponseRecord(f"r{number}"), call(str(number)))
        calls.mark_answered(str(number))
        calls.mark_output_sent(str(number), respond=True)
    known = [number for number in range(MAX_CALLS + 3) if calls.is_known(str(number))]
    assert known == list(range(3, MAX_CALLS + 3))


# Property tests.

ids = st.sampled_from("abc")


@given(st.lists(st.tuples(st.sampled_from(["done", "cut", "answer", "send"]), ids), max_size=30))
@settings(max_examples=50)
def test_each_call_is_notified_and_answered_at_most_once(steps: list[tuple[str, str]]) -> None:
    calls, record = FunctionCalls(), ResponseRecord("r")
    notified: list[str] = []
    answered: list[str] = []
    sent: list[str] = []
    for step, call_id in steps:
        if step == "answer":
            try:
                calls.check_answer(call_id)
            except LocalProtocolError:
                assert call_id not in calls.open_call_ids
            else:
                calls.mark_answered(call_id)
                answered.append(call_id)
        elif step == "send":
            if call_id in answered and call_id not in sent:
                calls.mark_output_sent(call_id, respond=True)
                sent.append(call_id)
        else:
            status = "completed" if step == "done" else "incomplete"
            if calls.item_done(record, call(call_id, status=status)):
                notified.append(call_id)
    assert len(notified) == len(set(notified))
    assert len(answered) == len(set(answered))
    assert calls.open_call_ids == tuple(each for each in notified if each not in answered)
    assert record.unsent_outputs == len(notified) - len(sent)
    assert record.is_followup_requested is bool(sent)
