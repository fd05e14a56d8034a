"""What a bridge must tell: the invariant catches one that does not, or tells what nobody said."""

from collections.abc import Mapping
from typing import Any

import pytest

from calling import (
    OTHER_SID,
    SESSION,
    SID,
    Call,
    audio,
    audio_done,
    created,
    delta,
    dtmf,
    function_call,
    item_added,
    item_complete,
    item_deleted,
    item_done,
    media,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
    start,
    stop,
)
from faulty_call import Change, FaultyCall, breaks
from twilio_realtime_core import CallConfig, HangUp, Interrupt, SendEvent
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Action, Notify, Peer
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallerTranscriptFailed,
    CallStarted,
    FunctionCallRequested,
    ItemAdded,
    ItemDeleted,
    ItemUpdated,
    KeyPressed,
    McpApprovalRequested,
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
    RealtimeEvent,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionReady,
    TwilioMessage,
)
from twilio_realtime_core.protocols.realtime import CancelResponse, CreateResponse
from twilio_realtime_core.responses.requests import MAX_REQUESTS
from twilio_realtime_core.responses.responses import MAX_RESPONSES
from twilio_realtime_core.values.items import FunctionCall, Message, Role

Event = Mapping[str, Any]

ACTIVE = "conversation_already_has_active_response"
LATE = "response_cancel_not_active"


def words(kind: str, **fields: Any) -> Event:
    """Something said, of the response `r` and its item `i`."""
    return {"type": kind, "response_id": "r", "item_id": "i", "content_index": 0, **fields}


def instead(*events: Any) -> Change:
    """In place of what the bridge asks for, it tells of this."""

    def change(right: list[Action]) -> list[Action]:
        del right
        return [Notify(each) for each in events]

    return change


TRANSCRIPTION = "conversation.item.input_audio_transcription"

ROWS: list[tuple[type, Event]] = [
    (SessionReady, {"type": "session.updated", "session": SESSION}),
    (Fault, {"type": "session.updated", "session": {}}),
    (CallerSpeechStarted, speech_started()),
    (CallerSpeechStopped, speech_stopped()),
    (CallerTranscript, words(f"{TRANSCRIPTION}.delta", delta="yes")),
    (CallerTranscript, words(f"{TRANSCRIPTION}.completed", transcript="yes")),
    (CallerTranscriptFailed, words(f"{TRANSCRIPTION}.failed", error={"message": "noise"})),
    (AgentTranscript, words("response.output_audio_transcript.delta", delta="yes")),
    (AgentTranscript, words("response.output_audio_transcript.done", transcript="yes")),
    (AgentText, words("response.output_text.delta", delta="yes")),
    (AgentText, words("response.output_text.done", text="yes")),
    (ResponseStarted, created()),
    (ResponseFinished, response_done()),
    (Fault, server_error("what is this?")),
    (Fault, {"type": "response.created"}),
]
"""What the model's server says, and what the application is told of it."""

rows = pytest.mark.parametrize(
    ("kind", "event"), ROWS, ids=[f"{kind.__name__}, {event['type']}" for kind, event in ROWS]
)


@rows
def test_14_nobody_is_told_what_the_server_says(kind: type, event: Event) -> None:
    assert Call.ready().model(event).notified(kind)
    call = FaultyCall.ready()
    call.leave_out(kind)
    with breaks(14):
        call.model(event)


@rows
def test_14_the_application_is_told_twice(kind: type, event: Event) -> None:
    told: list[object] = Call.ready().model(event).notified(kind)
    call = FaultyCall.ready()
    call.add(*map(Notify, told))
    with breaks(14):
        call.model(event)


@rows
def test_14_the_application_is_told_what_nobody_says(kind: type, event: Event) -> None:
    told: list[object] = Call.ready().model(event).notified(kind)
    call = FaultyCall.ready()
    call.add(*map(Notify, told))
    with breaks(14):
        call.nudge()


# Twilio.


@pytest.mark.parametrize("sid", [SID, OTHER_SID])
def test_14_a_stream_begins_and_nobody_is_told(sid: str) -> None:
    call = FaultyCall.answered() if sid == SID else FaultyCall.ready()
    call.leave_out(CallStarted)
    with breaks(14):
        call.phone(start(sid))


def test_14_a_stream_begins_again_or_in_another_format_and_nobody_is_told() -> None:
    call = FaultyCall.ready()
    call.leave_out(Fault)
    with breaks(14):
        call.phone(start())
    call = FaultyCall.answered()
    call.leave_out(Fault)
    with breaks(14):
        call.phone(start(mediaFormat={"encoding": "audio/opus"}))


def test_14_a_call_began_with_other_parameters() -> None:
    call = FaultyCall.answered()

    def change(right: list[Action]) -> list[Action]:
        wrong = Notify(CallStarted(SID, "CA1", "AC1", {}))
        told = [isinstance(getattr(each, "event", None), CallStarted) for each in right]
        return [wrong if is_it else each for is_it, each in zip(told, right, strict=True)]

    call.change(change)
    with breaks(14):
        call.phone(start())


def test_14_a_key_that_nobody_is_told_of() -> None:
    call = FaultyCall.ready()
    call.leave_out(KeyPressed)
    with breaks(14):
        call.phone(dtmf("5"))


def test_14_another_key_than_the_caller_has_pressed() -> None:
    call = FaultyCall.ready()
    call.add(Notify(KeyPressed("6")))
    with breaks(14):
        call.phone(dtmf("5"))


@pytest.mark.parametrize("streams", [True, False])
def test_14_a_key_of_no_stream_is_a_fault(streams: bool) -> None:  # noqa: FBT001 - a case
    call = FaultyCall.ready() if streams else FaultyCall.answered()
    assert call.phone(dtmf("5", OTHER_SID)).faults
    call.leave_out(Fault)
    with breaks(14):
        call.phone(dtmf("5", OTHER_SID))


def test_14_what_cannot_be_read_and_nobody_is_told_of() -> None:
    call = FaultyCall.answered()
    call.leave_out(Fault)
    with breaks(14):
        call.phone("no JSON")


# Responses.


def test_14_a_response_that_begins_or_ends_behind_its_end_is_a_fault() -> None:
    for event in (created(), response_done()):
        call = FaultyCall.ready()
        call.model(response_done())
        assert call.model(event).faults == [FaultKind.UNEXPECTED]
        call.leave_out(Fault)
        with breaks(14):
            call.model(event)


def test_14_a_response_that_begins_twice_is_told_once() -> None:
    call = FaultyCall.ready()
    call.model(created())
    assert call.model(created()).faults == [FaultKind.UNEXPECTED]
    call.change(lambda _: [Notify(ResponseStarted("r"))])
    with breaks(14):
        call.model(created())


def test_14_of_the_oldest_responses_nobody_knows_any_more() -> None:
    call = Call.ready()
    for each in range(MAX_RESPONSES + 1):
        call.model(created(str(each)))
        call.model(response_done(str(each)))
    assert call.model(response_done("0")).notified(ResponseFinished)
    assert call.model(response_done(str(MAX_RESPONSES))).faults


def test_14_a_function_is_requested_with_other_arguments() -> None:
    right = Call.talking().model(function_call()).notified(FunctionCallRequested)
    assert right == [FunctionCallRequested("f", "look_up", "{}", "r", "i")]
    call = FaultyCall.talking()
    call.change(instead(FunctionCallRequested("f", "look_up", "", "r", "i")))
    with breaks(14):
        call.model(function_call())


# Errors.


def asking(kind: type[Call], count: int = 1, response: Any = None) -> Any:
    """The application has asked for responses, which came, and asks for another."""
    call = kind.ready()
    for each in range(count):
        call.send(SendEvent(CreateResponse(response, f"ask-{each}")))
        if each < count - 1:
            call.model(created(str(each)))
            call.model(response_done(str(each)))
    return call


def refused(call: Call, code: str | None = None, event_id: str | None = "ask-0") -> list[object]:
    return call.model(server_error("no response.create now", event_id, code)).events


REFUSED = ResponseRefused("ask-0", None, "no response.create now")
FAULT = Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "no response.create now")


def test_14_a_request_that_is_refused_and_nobody_is_told() -> None:
    assert refused(asking(Call)) == [REFUSED]
    call = asking(FaultyCall)
    call.leave_out(ResponseRefused)
    with breaks(14):
        refused(call)


def test_14_a_request_that_is_refused_is_no_other_error() -> None:
    call = asking(FaultyCall)
    call.change(instead(FAULT))
    with breaks(14):
        refused(call)


def test_14_a_request_that_has_to_wait_is_not_refused() -> None:
    assert refused(asking(Call), ACTIVE) == []
    call = asking(FaultyCall)
    call.add(Notify(ResponseRefused("ask-0", ACTIVE, "no response.create now")))
    with breaks(14):
        refused(call, ACTIVE)


def test_14_an_error_of_what_was_refused_before_is_told() -> None:
    call = asking(FaultyCall)
    refused(call)
    assert refused(call) == [FAULT]
    call.leave_out(Fault)
    with breaks(14):
        refused(call)


@pytest.mark.parametrize("told", [REFUSED, FAULT])
def test_14_an_error_that_names_no_request_may_be_about_one(told: object) -> None:
    call = asking(FaultyCall)
    call.change(instead(told))
    refused(call, event_id=None)


@pytest.mark.parametrize("told", [REFUSED, FAULT])
def test_14_whether_a_request_outside_of_the_conversation_was_answered_is_not_known(
    told: object,
) -> None:
    call = asking(FaultyCall, response={"conversation": "none"})
    call.change(instead(told))
    refused(call)


@pytest.mark.parametrize("told", [REFUSED, FAULT])
def test_14_of_the_oldest_requests_nobody_knows_any_more(told: object) -> None:
    call = asking(FaultyCall, MAX_REQUESTS + 1)
    call.change(instead(told))
    refused(call)


def test_14_that_a_cancel_came_too_late_is_not_told() -> None:
    error = server_error("nothing to cancel", "bridge-cancel-r", LATE)
    call = Call.talking()
    call.send(Interrupt())
    assert call.model(error).events == []
    wrong = FaultyCall.talking()
    wrong.send(Interrupt())
    wrong.add(Notify(Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "nothing to cancel", LATE)))
    with breaks(14):
        wrong.model(error)


def test_14_the_error_of_a_cancel_of_the_application_is_told() -> None:
    call = FaultyCall.talking()
    call.send(SendEvent(CancelResponse("r", event_id="mine")))
    call.leave_out(Fault)
    with breaks(14):
        call.model(server_error("nothing to cancel", "mine", LATE))


def test_14_the_error_of_a_cancel_that_nobody_has_sent_may_be_told() -> None:
    error = server_error("nothing to cancel", "bridge-cancel-r", LATE)
    call = FaultyCall.ready()
    call.model(error)
    call.add(Notify(Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "nothing to cancel", LATE)))
    call.model(error)


# Copies.

RAW = CallConfig(raw_messages=frozenset(Peer))


def last_first(right: list[Action]) -> list[Action]:
    return [*right[1:], *right[:1]]


def twice(right: list[Action]) -> list[Action]:
    return [*right[:1], *right]


def not_at_all(right: list[Action]) -> list[Action]:
    return right[1:]


@pytest.mark.parametrize("change", [last_first, twice, not_at_all])
def test_14_messages_are_told_once_and_first(change: Change) -> None:
    call = FaultyCall.ready(RAW)
    assert call.phone(dtmf("5")).notified(TwilioMessage)
    assert call.model(speech_started()).notified(RealtimeEvent)
    call.change(change)
    with breaks(14):
        call.phone(dtmf("5"))
    call = FaultyCall.ready(RAW)
    call.change(change)
    with breaks(14):
        call.model(speech_started())


def test_14_messages_that_nobody_wants_are_not_told() -> None:
    call = FaultyCall.ready()
    call.change(instead(TwilioMessage('{"event":"unknown"}')))
    with breaks(14):
        call.nudge()


def test_14_the_messages_of_one_peer_alone() -> None:
    call = Call.ready(CallConfig(raw_messages=frozenset({Peer.TWILIO})))
    assert call.phone(dtmf("5")).notified(TwilioMessage)
    assert not call.model(speech_started()).notified(RealtimeEvent)


def test_14_the_last_message_is_told_and_what_crosses_the_end_is_not() -> None:
    call = Call.ready(RAW)
    assert call.phone(stop()).notified(TwilioMessage)
    assert call.phone(stop()).events == []
    call = Call.ready(RAW)
    call.send(HangUp())
    assert call.phone(media(audio(160))).events == call.phone(stop()).events == []


def test_14_a_message_where_none_has_come() -> None:
    call = FaultyCall.ready(RAW)
    call.add(Notify(TwilioMessage("{}")))
    with breaks(14):
        call.send(Interrupt())


AUDIBLE = CallConfig(notify_agent_audio=True)


def speaking(kind: type[Call]) -> Any:
    call = kind.ready(AUDIBLE)
    call.model(created())
    return call


def test_14_audio_of_the_agent_that_is_not_told() -> None:
    call = speaking(FaultyCall)
    assert call.model(delta(800)).told(AgentAudio)
    call.leave_out(AgentAudio)
    with breaks(14):
        call.model(delta(800))


@pytest.mark.parametrize("samples", [20, 800])
def test_14_audio_of_the_agent_that_is_told_otherwise_than_it_came(samples: int) -> None:
    call = speaking(FaultyCall)
    call.add(Notify(AgentAudio("r", "i", 0, audio(samples))))
    with breaks(14):
        call.model(delta(800))


@pytest.mark.parametrize("ends", [audio_done(), response_done(), None])
def test_14_audio_of_the_agent_that_may_not_be_heard_is_not_told(ends: Event | None) -> None:
    call = speaking(FaultyCall)
    call.model(delta(810))
    if ends is None:
        call.send(Interrupt())
    else:
        call.model(ends)
    assert not call.model(delta(800)).told(AgentAudio)
    call.add(Notify(AgentAudio("r", "i", 0, audio(800))))
    with breaks(14):
        call.model(delta(800))


def test_14_what_is_no_audio_is_not_told() -> None:
    call = speaking(Call)
    assert not call.model({**delta(800), "delta": "no base64"}).told(AgentAudio)


def test_14_audio_of_the_agent_that_nobody_wants_is_not_told() -> None:
    call = FaultyCall.talking()
    call.add(Notify(AgentAudio("r", "i", 0, audio(800))))
    with breaks(14):
        call.model(delta(800))


# Items.


def holding(kind: type[Call]) -> Any:
    """The conversation holds the items `i` and `j`, both being generated."""
    call = kind.ready()
    call.model(item_added("i"))
    call.model(item_added("j", "i", content=[{"type": "output_audio"}]))
    return call


SAID = words("response.output_audio_transcript.done", item_id="j", transcript="yes")
HEARD = words(f"{TRANSCRIPTION}.completed", item_id="j", transcript="yes")


def being_generated(item: str, previous: str | None, **body: Any) -> Event:
    return item_added(item, previous, status="in_progress", **body)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (ItemAdded, being_generated("k", "j")),
        (ItemDeleted, item_deleted("i")),
        (ItemUpdated, SAID),
        (ItemUpdated, HEARD),
    ],
    ids=["added", "deleted", "said", "heard"],
)
def test_14_nobody_is_told_of_an_item(kind: type, event: Event) -> None:
    told: list[object] = holding(Call).model(event).told(kind)
    call = holding(FaultyCall)
    call.leave_out(kind)
    with breaks(14):
        call.model(event)
    call = holding(FaultyCall)
    call.add(*map(Notify, told))
    with breaks(14):
        call.model(event)


def test_14_nobody_is_told_that_an_item_is_complete() -> None:
    call = FaultyCall.ready()
    call.model(being_generated("i", None))
    call.leave_out(ItemUpdated)
    with breaks(14):
        call.model(item_complete("i"))


AGENTS, CALLERS = Message("k", Role.ASSISTANT), Message("k", Role.USER)


@pytest.mark.parametrize(
    "told",
    [
        ItemAdded(AGENTS, "i"),
        ItemAdded(AGENTS, None),
        ItemAdded(CALLERS, "j"),
        ItemAdded(FunctionCall("k", "f", "look_up"), "j"),
    ],
)
def test_14_an_item_is_told_otherwise_than_it_was_added(told: ItemAdded) -> None:
    call = holding(FaultyCall)
    call.change(instead(told))
    with breaks(14):
        call.model(item_added("k", "j"))


@pytest.mark.parametrize("told", [ItemAdded(AGENTS, "j"), ItemUpdated(AGENTS), ItemDeleted("i")])
def test_14_an_item_of_which_nobody_says_anything(told: Any) -> None:
    call = holding(FaultyCall)
    call.add(Notify(told))
    with breaks(14):
        call.nudge()


@pytest.mark.parametrize(
    ("previous", "behind"), [(None, None), ("root", None), ("i", "i"), ("unknown", "j")]
)
def test_14_an_item_has_its_place(previous: str | None, behind: str | None) -> None:
    call = holding(Call)
    assert call.model(item_added("k", previous)).told(ItemAdded) == [ItemAdded(AGENTS, behind)]
    call.model(item_added("f", type="function_call", call_id="f", name="look_up"))
    assert call.model(item_deleted("nobody knows it")).events == []
    assert call.model(item_added("k")).events == []


def test_14_once_the_call_has_ended_no_item_is_told() -> None:
    call = holding(Call)
    call.send(HangUp())
    for event in (item_added("k"), item_complete("j"), mcp("mcp_list_tools.failed", "l")):
        assert call.model(event).events == []


# Tools of MCP servers.


def mcp(kind: str, item_id: str) -> Event:
    return {"type": kind, "item_id": item_id}


def listing(tools: object) -> Event:
    return item_complete("l", type="mcp_list_tools", server_label="crm", tools=tools)


APPROVAL = item_complete("a", type="mcp_approval_request", server_label="crm", name="look_up")
OUTCOME = item_complete("c", type="mcp_call", server_label="crm", name="look_up", output="yes")
ASKED = item_complete("c", type="mcp_call", server_label="crm", name="look_up")
COMPLETED = mcp("response.mcp_call.completed", "c")
IN_PROGRESS = mcp("response.mcp_call.in_progress", "c")
LISTED = mcp("mcp_list_tools.completed", "l")

TOOLS: list[tuple[type, list[Event]]] = [
    (McpToolsListed, [listing([{"name": "look_up"}]), LISTED]),
    (McpToolsListed, [LISTED, listing("none")]),
    (McpToolsListed, [item_added("l", type="mcp_list_tools"), mcp("mcp_list_tools.failed", "l")]),
    (McpApprovalRequested, [APPROVAL]),
    (McpCallStarted, [ASKED, IN_PROGRESS]),
    (McpCallFinished, [IN_PROGRESS, ASKED, COMPLETED]),
    (McpCallFinished, [OUTCOME]),
]

tools = pytest.mark.parametrize(("kind", "events"), TOOLS)


@tools
def test_14_nobody_is_told_of_a_tool(kind: type, events: list[Event]) -> None:
    told = list[object]()
    call = Call.ready()
    for event in events:
        told = list[object](call.model(event).notified(kind))
    assert len(told) == 1
    wrong = FaultyCall.ready()
    for event in events[:-1]:
        wrong.model(event)
    wrong.change(instead())
    with breaks(14):
        wrong.model(events[-1])


@tools
def test_14_a_tool_is_told_of_again(kind: type, events: list[Event]) -> None:
    call = Call.ready()
    told = [each for event in events for each in call.model(event).events if type(each) is kind]
    assert len(told) == 1
    for event in events:
        assert not call.model(event).notified(kind)
    wrong = FaultyCall.ready()
    for event in events:
        wrong.model(event)
    wrong.add(*map(Notify, told))
    with breaks(14):
        wrong.nudge()


def test_14_tools_outside_of_the_conversation_are_not_told() -> None:
    call = Call.ready()
    call.model(created("r", None))
    assert call.model(item_done(item="a", type_="mcp_approval_request")).events == []
    assert call.model(item_done("s", "b", "mcp_approval_request")).notified(McpApprovalRequested)
