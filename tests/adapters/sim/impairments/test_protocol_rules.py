"""Rules that know more of a protocol than one message."""

import json
from typing import Any

import pytest

from twilio_realtime.sim.impairments.protocol_rules import McpToolCall, Repeat, StreamRestart
from twilio_realtime.sim.impairments.rules import Rule, kind_of

OLD = "MZ" + "ab" * 16
NEW = "MZ" + "ba" * 16


def passed(rule: Rule, *texts: str) -> list[Any]:
    """What comes, and all of it at once."""
    passages = [each for text in texts for each in rule.process(text)]
    assert {delay for delay, _ in passages} <= {0}
    return [json.loads(text) for _, text in passages]


def event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


def message(kind: str, **fields: object) -> str:
    return json.dumps({"event": kind, "streamSid": OLD, **fields}, separators=(",", ":"))


# An event that comes again.


def test_an_event_comes_again_behind_others() -> None:
    rule = Repeat("a", trigger_count=2)
    came = passed(rule, event("a"), event("b"), event("c"), event("d"))
    assert [each["type"] for each in came] == ["a", "b", "c", "a", "d"]
    assert rule.applied_count == 1


def test_it_waits_for_one_of_a_kind_and_comes_several_times() -> None:
    rule = Repeat("a", trigger_kind="c", copies=2)
    came = passed(rule, event("a"), event("b"), event("c"), event("c"))
    assert [each["type"] for each in came] == ["a", "b", "c", "a", "a", "c"]


def test_it_may_come_late_and_only_then() -> None:
    rule = Repeat("a", trigger_kind="a", times=2, keep_original=False)
    came = passed(rule, *(event("a", n=n) for n in range(4)), event("b"))
    assert [each.get("n") for each in came] == [0, 2, 1, 3, None]


# A stream that begins anew.


@pytest.fixture
def restart() -> StreamRestart:
    rule = StreamRestart(after=1)
    start = {"streamSid": OLD, "callSid": "CA1"}
    connected = '{"event":"connected"}'
    before = [connected, message("start", start=start), message("media", n=0)]
    assert passed(rule, *before) == [json.loads(text) for text in before]
    assert passed(rule.to_phone, message("mark", mark={"name": "1"}))[0]["streamSid"] == OLD
    return rule


def test_another_stream_begins_with_a_start_before_the_callers_next_frame(
    restart: StreamRestart,
) -> None:
    start, frame, later = passed(restart, message("media", n=1), message("media", n=2))
    assert start["start"] == {"streamSid": NEW, "callSid": "CA1"}
    assert [each["streamSid"] for each in (start, frame, later)] == [NEW] * 3
    assert (start["event"], frame["n"], later["n"]) == ("start", 1, 2)


def test_only_marks_of_the_stream_before_are_echoed_in_its_name(restart: StreamRestart) -> None:
    echo = message("mark", mark={"name": "1"})
    *_, first, second = passed(restart, message("media"), echo, echo)
    assert [first["streamSid"], second["streamSid"]] == [OLD, NEW]


def test_what_the_stream_before_was_to_play_is_lost(restart: StreamRestart) -> None:
    passed(restart, message("media"))
    to_old, to_new = message("media", n=1), message("media", n=2).replace(OLD, NEW)
    clear, played = passed(restart.to_phone, to_old, to_new)
    assert (clear["event"], clear["streamSid"]) == ("clear", OLD)
    assert (played["n"], played["streamSid"]) == (2, OLD)


def test_what_is_no_json_reaches_the_phone_as_it_is(restart: StreamRestart) -> None:
    passed(restart, message("media"))
    assert list(restart.to_phone.process('{"event":"me')) == [(0, '{"event":"me')]


# Tools of an MCP server.

CREATED = event("response.created", response={"id": "r", "conversation_id": "c"})


@pytest.mark.parametrize(("fails", "told"), [(False, "completed"), (True, "failed")])
def test_a_tool_is_called_as_a_response_begins(*, fails: bool, told: str) -> None:
    first, *events = passed(McpToolCall(fails=fails), CREATED)
    assert first["type"] == "response.created"
    kinds = [each["type"] for each in events]
    assert kinds[:4] == [
        "response.output_item.added",
        "response.mcp_call.in_progress",
        f"response.mcp_call.{told}",
        "conversation.item.added",
    ]
    over = events[-1]["item"]
    assert (over["output"] is None, over["error"] is None) == (fails, not fails)
    assert over["type"] == "mcp_call"


def test_an_approval_is_asked_for() -> None:
    events = passed(McpToolCall(needs_approval=True), CREATED)[1:]
    assert {each["item"]["type"] for each in events} == {"mcp_approval_request"}


@pytest.mark.parametrize(
    "text",
    [
        event("response.created", response={"id": "r", "conversation_id": None}),
        event("response.created", response=None),
        CREATED[:30],
    ],
)
def test_a_response_outside_the_conversation_or_that_is_none_has_no_tools(text: str) -> None:
    assert kind_of(text) == "response.created"
    assert list(McpToolCall().process(text)) == [(0, text)]
