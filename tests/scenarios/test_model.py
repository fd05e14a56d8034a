"""The model's side: requests and their answers, events of every shape, and what becomes of them."""

import gc
import json
from typing import Any

import pytest

from calling import (
    PCMU,
    SESSION,
    Call,
    audio_done,
    created,
    delta,
    item_done,
    response_done,
    server_error,
    speech_started,
    start,
)
from twilio_realtime_core import (
    AnswerApproval,
    Bridge,
    CallConfig,
    FaultKind,
    HangUp,
    Interrupt,
    LocalProtocolError,
    Peer,
    SendMessage,
)
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    AgentText,
    CallEnded,
    EndReason,
    ItemAdded,
    McpCallFinished,
    RealtimeEvent,
    ResponseFinished,
    ResponseRefused,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import CreateItem, CreateResponse
from twilio_realtime_core.responses.responses import MAX_RESPONSES
from twilio_realtime_core.values.usage import Tokens, Usage

VOICE = {"id": "voice_1234"}
TAKEN = json.dumps({"type": "session.updated", "session": SESSION})


def types(events: list[Any]) -> list[str]:
    return [each.type for each in events]


# Requests.


def test_s34_a_request_is_answered_cancelled_once_and_released() -> None:
    call = Call.ready()
    _, request = call.send(SendMessage("Hello")).to_model
    assert isinstance(request, CreateResponse)
    assert request.event_id
    call.model(created())
    assert types(call.send(Interrupt()).to_model) == ["response.cancel"]
    assert call.send(Interrupt()).to_model == []
    call.model(response_done(status="cancelled"))
    assert types(call.send(SendMessage("Hello")).to_model)[1:] == ["response.create"]


def test_s35_an_impossible_request_is_refused_at_once() -> None:
    """S35: the core sends nothing itself, so only what is no JSON can fail at once."""
    call = Call.ready()
    with pytest.raises(LocalProtocolError, match=r"metadata\.when must be JSON data, not object"):
        call.send(CreateResponse({"metadata": {"when": object()}}))
    request = CreateResponse(event_id="mine")
    assert call.send(request).to_model == [request]


def test_s35_a_request_on_a_lost_socket_is_counted() -> None:
    call = Call.ready(CallConfig(reconnect=None))
    call.send(CreateResponse())
    assert call.closed(Peer.REALTIME, 1006).closes == [Peer.TWILIO]
    (ended,) = call.closed(Peer.TWILIO).notified(CallEnded)
    assert (ended.reason, ended.unanswered_requests) == (EndReason.REALTIME_LOST, 1)


def test_s36_s38_only_its_error_releases_a_request() -> None:
    call = Call.ready()
    call.send(CreateResponse(event_id="one"))
    second = CreateResponse(event_id="two")
    assert call.send(second).to_model == []
    assert call.model(server_error("of another", "other")).to_model == []
    done = call.model(server_error("invalid", "one", "invalid_value"))
    assert done.to_model == [second]
    assert done.notified(ResponseRefused) == [ResponseRefused("one", "invalid_value", "invalid")]


def test_s38_requests_queued_at_the_end_are_not_sent() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.send(CreateResponse())
    assert call.send(HangUp()).to_model == []
    assert call.model(response_done()).to_model == []
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.unanswered_requests == 2


def test_s41_an_item_created_after_a_request_follows_it() -> None:
    call = Call.ready()
    sent = call.send(CreateResponse()).to_model
    sent += call.send(CreateItem({"type": "message", "role": "user", "content": []})).to_model
    assert types(sent) == ["response.create", "conversation.item.create"]


def test_s44_a_request_with_parameters_is_not_automatic() -> None:
    call = Call.ready()
    call.model(created())
    call.send(SendMessage("one"))
    override = CreateResponse({"instructions": "Be brief."}, "mine")
    call.send(override)
    call.send(SendMessage("two"))
    (first,) = call.model(response_done()).to_model
    assert first != override
    call.model(created("s"))
    assert call.model(response_done("s")).to_model == [override]
    call.model(created("t"))
    assert call.model(response_done("t")).to_model == []


def test_s67_later_messages_get_another_response() -> None:
    """S67: no call blocks; `respond=False` adds a message without a request."""
    call = Call.ready()
    assert types(call.send(SendMessage("one")).to_model)[1:] == ["response.create"]
    assert types(call.send(SendMessage("two")).to_model) == ["conversation.item.create"]
    assert types(call.send(SendMessage("three", respond=False)).to_model) == [
        "conversation.item.create"
    ]
    call.model(created())
    assert types(call.model(response_done()).to_model) == ["response.create"]
    call.model(created("s"))
    assert call.model(response_done("s")).to_model == []


def test_s68_a_cancelled_response_releases_the_next_request() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.model(created())
    call.send(Interrupt())
    request = CreateResponse(event_id="next")
    assert call.send(request).to_model == []
    assert call.model(server_error("of nobody")).to_model == []
    assert call.model(response_done(status="cancelled")).to_model == [request]


# Events.


def test_s49_the_text_of_every_event_can_be_notified() -> None:
    call = Call.ready(CallConfig(raw_messages=frozenset({Peer.REALTIME})))
    unknown = '{ "type":"session.danced" ,"steps" : [1.50, "\\u00e9"]}'
    assert call.model(unknown).events == [RealtimeEvent(unknown)]


def test_s70_a_voice_that_is_an_object_is_read() -> None:
    output = {"format": PCMU, "voice": VOICE}
    session = {**SESSION, "audio": {**SESSION["audio"], "output": output}}
    (ready,) = Call.ready().model(type="session.updated", session=session).notified(SessionReady)
    assert ready.session["audio"]["output"]["voice"] == VOICE


def test_s70_an_item_may_be_first_or_be_wrong() -> None:
    call = Call.ready()
    item: dict[str, Any] = {"id": "a", "type": "message", "role": "user", "content": []}
    event = {"type": "conversation.item.added", "item": item, "previous_item_id": None}
    (added,) = call.model(event).notified(ItemAdded)
    assert added.previous_item_id is None
    assert call.model({**event, "item": 3}).faults == [FaultKind.BAD_MESSAGE]
    assert call.model({**event, "item": {**item, "id": "b"}}).notified(ItemAdded)


def test_s70_usage_is_notified_if_the_response_has_it() -> None:
    """S70: there is nothing to put before it: it is a part of `ResponseFinished`."""
    call = Call.ready()
    body = response_done()["response"]
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    (first,) = call.model(type="response.done", response={**body, "usage": usage}).notified(
        ResponseFinished
    )
    assert first.usage == Usage(input=Tokens(3), output=Tokens(4))
    (second,) = call.model(
        type="response.done", response={**body, "id": "s", "usage": None}
    ).notified(ResponseFinished)
    assert second.usage is None
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.usage == first.usage


def test_s70_an_answer_in_text_is_notified_as_text() -> None:
    call = Call.ready()
    call.model(created())
    part: dict[str, Any] = {"response_id": "r", "item_id": "i", "content_index": 0}
    done = call.model(type="response.output_text.delta", delta="Hel", **part)
    assert done.notified(AgentText) == [AgentText("r", "i", 0, "Hel", final=False)]
    done = call.model(type="response.output_text.done", text="Hello", **part)
    assert done.notified(AgentText) == [AgentText("r", "i", 0, "Hello", final=True)]


def test_s71_the_outcome_of_an_mcp_tool_is_followed_up() -> None:
    call = Call.ready()
    call.model(created())
    about = {"id": "m", "type": "mcp_call", "server_label": "docs", "name": "search"}
    item = {**about, "arguments": "{}", "output": "found"}
    call.model(type="response.mcp_call.in_progress", item_id="m", output_index=0)
    done = call.model(type="response.output_item.done", response_id="r", item=item)
    assert done.notified(McpCallFinished) == [McpCallFinished("m", "docs", "search", "found", None)]
    call.model(type="response.mcp_call.completed", item_id="m", output_index=0)
    assert types(call.model(response_done()).to_model) == ["response.create"]


def test_follow_ups_of_mcp_tools_can_be_switched_off() -> None:
    call = Call.ready(CallConfig(respond_to_mcp=False))
    call.model(created())
    item = {"id": "m", "type": "mcp_call", "name": "search", "arguments": "{}", "output": "found"}
    done = call.model(type="response.output_item.done", response_id="r", item=item)
    assert len(done.notified(McpCallFinished)) == 1
    approval = {"id": "a", "type": "mcp_approval_request", "name": "search", "arguments": "{}"}
    call.model(type="response.output_item.done", response_id="r", item=approval)
    assert types(call.send(AnswerApproval("a", approve=False)).to_model) == [
        "conversation.item.create"
    ]
    assert call.model(response_done()).to_model == []


# Lifecycle.


def test_s52_a_second_socket_is_misuse() -> None:
    call = Call.ready()
    for peer in Peer:
        with pytest.raises(LocalProtocolError, match="open already"):
            call.opened(peer)
    assert call.model(created()).faults == []


@pytest.mark.parametrize("opened", [True, False])
def test_s52_a_hang_up_while_dialling_ends_once(*, opened: bool) -> None:
    call = Call.streaming()
    assert call.send(HangUp()).closes == [Peer.TWILIO, Peer.REALTIME]
    if opened:
        assert call.opened(Peer.REALTIME).actions == []  # the driver closes it, as it was told
    assert call.closed(Peer.TWILIO).notified(CallEnded) == []
    (ended,) = call.closed(Peer.REALTIME, 1006).notified(CallEnded)
    assert ended.reason is EndReason.HUNG_UP
    assert call.closed(Peer.REALTIME).actions == []


def test_s65_a_long_call_takes_no_more_memory() -> None:
    """S65: nothing has to be cleared at the end, since each call has its bridge."""
    bridge = Bridge()
    bridge.start(0)
    bridge.opened(Peer.TWILIO, 0)
    bridge.receive_text(Peer.TWILIO, json.dumps(start()), 0)
    bridge.opened(Peer.REALTIME, 0)
    bridge.receive_text(Peer.REALTIME, TAKEN, 0)
    talk(bridge, range(MAX_RESPONSES + 100))
    gc.collect()
    before = len(gc.get_objects())
    talk(bridge, range(MAX_RESPONSES + 100, MAX_RESPONSES + 300))
    gc.collect()
    assert len(gc.get_objects()) - before < 100  # 200 turns with anything left would be more


def talk(bridge: Bridge, turns: range) -> None:
    """A turn a second: an answer of two deltas is heard in part, and interrupted."""
    for turn in turns:
        now, response, item = turn * SECOND, f"r{turn}", f"i{turn}"
        events = [
            created(response),
            delta(1600, response, item),
            delta(1600, response, item),
            audio_done(response, item),
            item_done(response, item),
            speech_started(),
            {"type": "input_audio_buffer.committed", "item_id": f"u{turn}"},
            response_done(response),
        ]
        for event in events:
            now += 20 * MS
            bridge.receive_text(Peer.REALTIME, json.dumps(event), now)
