"""Rules that know more of a protocol than one message."""

import json
from typing import Any

import pytest

from twilio_realtime.sim.impairments.protocol_rules import McpToolCall, Repeat, StreamRestart
from twilio_realtime.sim.impairments.rules import Rule, kind_of

OLD = "MZ" + "ab" * 16
NEW = "MZ" + "ba" * 16


def delivered(rule: Rule, *texts: str) -> list[Any]:
    """The messages that a rule delivers, none of them delayed."""
    results = [each for text in texts for each in rule.process(text)]
    assert {delay_ns for delay_ns, _ in results} <= {0}
    return [json.loads(text) for _, text in results]


def event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


def message(kind: str, **fields: object) -> str:
    return json.dumps({"event": kind, "streamSid": OLD, **fields}, separators=(",", ":"))


# Repeated events.


def test_an_event_is_repeated_behind_others() -> None:
    rule = Repeat("a", trigger_count=2)
    messages = delivered(rule, event("a"), event("b"), event("c"), event("d"))
    assert [each["type"] for each in messages] == ["a", "b", "c", "a", "d"]
    assert rule.applied_count == 1


def test_a_repeat_waits_for_its_trigger_kind_and_makes_copies() -> None:
    rule = Repeat("a", trigger_kind="c", copies=2)
    messages = delivered(rule, event("a"), event("b"), event("c"), event("c"))
    assert [each["type"] for each in messages] == ["a", "b", "c", "a", "a", "c"]


def test_a_repeat_can_drop_the_original() -> None:
    rule = Repeat("a", trigger_kind="a", times=2, keep_original=False)
    messages = delivered(rule, *(event("a", n=n) for n in range(4)), event("b"))
    assert [each.get("n") for each in messages] == [0, 2, 1, 3, None]


# A restarted stream.


@pytest.fixture
def restart() -> StreamRestart:
    rule = StreamRestart(after=1)
    start = {"streamSid": OLD, "callSid": "CA1"}
    connected = '{"event":"connected"}'
    before = [connected, message("start", start=start), message("media", n=0)]
    assert delivered(rule, *before) == [json.loads(text) for text in before]
    assert delivered(rule.to_phone, message("mark", mark={"name": "1"}))[0]["streamSid"] == OLD
    return rule


def test_a_restart_sends_start_before_the_callers_next_frame(
    restart: StreamRestart,
) -> None:
    start, frame, later = delivered(restart, message("media", n=1), message("media", n=2))
    assert start["start"] == {"streamSid": NEW, "callSid": "CA1"}
    assert [each["streamSid"] for each in (start, frame, later)] == [NEW] * 3
    assert (start["event"], frame["n"], later["n"]) == ("start", 1, 2)


def test_only_marks_of_the_former_stream_keep_its_sid(restart: StreamRestart) -> None:
    echo = message("mark", mark={"name": "1"})
    *_, first, second = delivered(restart, message("media"), echo, echo)
    assert [first["streamSid"], second["streamSid"]] == [OLD, NEW]


def test_audio_for_the_former_stream_is_lost(restart: StreamRestart) -> None:
    delivered(restart, message("media"))
    to_old, to_new = message("media", n=1), message("media", n=2).replace(OLD, NEW)
    clear, played = delivered(restart.to_phone, to_old, to_new)
    assert (clear["event"], clear["streamSid"]) == ("clear", OLD)
    assert (played["n"], played["streamSid"]) == (2, OLD)


def test_invalid_json_reaches_the_phone_unchanged(restart: StreamRestart) -> None:
    delivered(restart, message("media"))
    assert list(restart.to_phone.process('{"event":"me')) == [(0, '{"event":"me')]


# Tools of an MCP server.

CREATED = event("response.created", response={"id": "r", "conversation_id": "c"})


@pytest.mark.parametrize(("fails", "result"), [(False, "completed"), (True, "failed")])
def test_a_tool_is_called_when_a_response_starts(*, fails: bool, result: str) -> None:
    first, *events = delivered(McpToolCall(fails=fails), CREATED)
    assert first["type"] == "response.created"
    kinds = [each["type"] for each in events]
    assert kinds[:4] == [
        "response.output_item.added",
        "response.mcp_call.in_progress",
        f"response.mcp_call.{result}",
        "conversation.item.added",
    ]
    item = events[-1]["item"]
    assert (item["output"] is None, item["error"] is None) == (fails, not fails)
    assert item["type"] == "mcp_call"


def test_an_approval_request_is_an_item() -> None:
    events = delivered(McpToolCall(needs_approval=True), CREATED)[1:]
    assert {each["item"]["type"] for each in events} == {"mcp_approval_request"}


@pytest.mark.parametrize(
    "text",
    [
        event("response.created", response={"id": "r", "conversation_id": None}),
        event("response.created", response=None),
        CREATED[:30],
    ],
)
def test_out_of_band_and_broken_responses_call_no_tool(text: str) -> None:
    assert kind_of(text) == "response.created"
    assert list(McpToolCall().process(text)) == [(0, text)]
