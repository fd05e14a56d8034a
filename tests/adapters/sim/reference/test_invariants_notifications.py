"""Invariant 14: the notifications that are due, and no others."""

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
    mark,
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
from twilio_realtime_core.responses.request_queue import MAX_REQUESTS
from twilio_realtime_core.responses.responses import MAX_RESPONSES
from twilio_realtime_core.values.items import FunctionCall, Message, Role

Event = Mapping[str, Any]

ACTIVE = "conversation_already_has_active_response"
LATE = "response_cancel_not_active"


def words(kind: str, **fields: Any) -> Event:
    """Words of the response `r` and its item `i`."""
    return {"type": kind, "response_id": "r", "item_id": "i", "content_index": 0, **fields}


def instead(*events: Any) -> Change:
    """Notify these events in place of all outputs."""

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
"""Notifications, and the events of the server that they follow from."""

rows = pytest.mark.parametrize(
    ("kind", "event"), ROWS, ids=[f"{kind.__name__}, {event['type']}" for kind, event in ROWS]
)


@rows
def test_14_breaks_if_an_event_is_not_notified(kind: type, event: Event) -> None:
    assert Call.ready().model(event).notified(kind)
    call = FaultyCall.ready()
    call.leave_out(kind)
    with breaks(14):
        call.model(event)


@rows
def test_14_breaks_if_an_event_is_notified_twice(kind: type, event: Event) -> None:
    notified: list[object] = Call.ready().model(event).notified(kind)
    call = FaultyCall.ready()
    call.add(*map(Notify, notified))
    with breaks(14):
        call.model(event)


@rows
def test_14_breaks_if_a_notification_follows_from_no_event(kind: type, event: Event) -> None:
    notified: list[object] = Call.ready().model(event).notified(kind)
    call = FaultyCall.ready()
    call.add(*map(Notify, notified))
    with breaks(14):
        call.nudge()


# Twilio.


@pytest.mark.parametrize("sid", [SID, OTHER_SID])
def test_14_breaks_if_a_start_is_not_notified(sid: str) -> None:
    call = FaultyCall.answered() if sid == SID else FaultyCall.ready()
    call.leave_out(CallStarted)
    with breaks(14):
        call.phone(start(sid))


def test_14_breaks_if_a_wrong_start_is_not_reported() -> None:
    call = FaultyCall.ready()
    call.leave_out(Fault)
    with breaks(14):
        call.phone(start())
    call = FaultyCall.answered()
    call.leave_out(Fault)
    with breaks(14):
        call.phone(start(mediaFormat={"encoding": "audio/opus"}))


def test_14_breaks_if_a_call_has_other_parameters() -> None:
    call = FaultyCall.answered()

    def change(right: list[Action]) -> list[Action]:
        wrong = Notify(CallStarted(SID, "CA1", "AC1", {}))
        notified = [isinstance(getattr(each, "event", None), CallStarted) for each in right]
        return [wrong if is_it else each for is_it, each in zip(notified, right, strict=True)]

    call.change(change)
    with breaks(14):
        call.phone(start())


def test_14_breaks_if_a_key_is_not_notified() -> None:
    call = FaultyCall.ready()
    call.leave_out(KeyPressed)
    with breaks(14):
        call.phone(dtmf("5"))


def test_14_breaks_if_another_key_is_notified() -> None:
    call = FaultyCall.ready()
    call.add(Notify(KeyPressed("6")))
    with breaks(14):
        call.phone(dtmf("5"))


@pytest.mark.parametrize("streams", [True, False])
def test_14_breaks_if_a_stray_key_is_not_reported(streams: bool) -> None:  # noqa: FBT001 - a case
    call = FaultyCall.ready() if streams else FaultyCall.answered()
    call.leave_out(Fault)
    with breaks(14):
        call.phone(dtmf("5", OTHER_SID))


def test_14_breaks_if_an_unreadable_message_is_not_reported() -> None:
    call = FaultyCall.answered()
    call.leave_out(Fault)
    with breaks(14):
        call.phone("no JSON")


# Responses.


def test_14_breaks_if_events_after_responses_are_not_faults() -> None:
    for event in (created(), response_done()):
        call = FaultyCall.ready()
        call.model(response_done())
        assert call.model(event).faults == [FaultKind.UNEXPECTED]
        call.leave_out(Fault)
        with breaks(14):
            call.model(event)


def test_14_breaks_if_a_response_starts_twice() -> None:
    call = FaultyCall.ready()
    call.model(created())
    assert call.model(created()).faults == [FaultKind.UNEXPECTED]
    call.change(lambda _: [Notify(ResponseStarted("r"))])
    with breaks(14):
        call.model(created())


def test_14_holds_for_responses_that_are_forgotten() -> None:
    call = Call.ready()
    for each in range(MAX_RESPONSES + 1):
        call.model(created(str(each)))
        call.model(response_done(str(each)))
    assert call.model(response_done("0")).notified(ResponseFinished)
    assert call.model(response_done(str(MAX_RESPONSES))).faults


def test_14_breaks_if_a_function_call_has_other_arguments() -> None:
    right = Call.talking().model(function_call()).notified(FunctionCallRequested)
    assert right == [FunctionCallRequested("f", "look_up", "{}", "r", "i")]
    call = FaultyCall.talking()
    call.change(instead(FunctionCallRequested("f", "look_up", "", "r", "i")))
    with breaks(14):
        call.model(function_call())


# Faults of Twilio.


@pytest.mark.parametrize("message", ["junk", mark("z"), start()], ids=["junk", "mark", "start"])
def test_14_breaks_if_a_fault_of_the_stream_is_notified_twice(message: Any) -> None:
    call = FaultyCall.ready()
    (fault,) = call.phone(message).notified(Fault)
    assert call.phone(message).actions == []
    call.add(Notify(fault))
    with breaks(14):
        call.phone(message)


# Errors.


def requesting(kind: type[Call], count: int = 1, response: Any = None) -> Any:
    """The application has requested responses, which were created, and requests another."""
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


def test_14_breaks_if_a_refusal_is_not_notified() -> None:
    assert refused(requesting(Call)) == [REFUSED]
    call = requesting(FaultyCall)
    call.leave_out(ResponseRefused)
    with breaks(14):
        refused(call)


def test_14_breaks_if_a_refusal_is_another_error() -> None:
    call = requesting(FaultyCall)
    call.change(instead(FAULT))
    with breaks(14):
        refused(call)


def test_14_breaks_if_a_waiting_request_is_refused() -> None:
    assert refused(requesting(Call), ACTIVE) == []
    call = requesting(FaultyCall)
    call.add(Notify(ResponseRefused("ask-0", ACTIVE, "no response.create now")))
    with breaks(14):
        refused(call, ACTIVE)


def test_14_breaks_if_a_second_refusal_is_not_reported() -> None:
    call = requesting(FaultyCall)
    refused(call)
    assert refused(call) == [FAULT]
    call.leave_out(Fault)
    with breaks(14):
        refused(call)


def test_14_holds_if_an_anonymous_error_refuses_a_request() -> None:
    assert refused(requesting(Call), event_id=None) == [REFUSED]


@pytest.mark.parametrize("notified", [REFUSED, FAULT])
def test_14_holds_for_errors_of_out_of_band_requests(
    notified: object,
) -> None:
    call = requesting(FaultyCall, response={"conversation": "none"})
    call.change(instead(notified))
    refused(call)


@pytest.mark.parametrize("notified", [REFUSED, FAULT])
def test_14_holds_for_requests_that_are_forgotten(notified: object) -> None:
    call = requesting(FaultyCall, MAX_REQUESTS + 1)
    call.change(instead(notified))
    refused(call)


def test_14_breaks_if_a_late_cancel_is_notified() -> None:
    error = server_error("nothing to cancel", "bridge-cancel-r", LATE)
    call = Call.talking()
    call.send(Interrupt())
    assert call.model(error).events == []
    wrong = FaultyCall.talking()
    wrong.send(Interrupt())
    wrong.add(Notify(Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "nothing to cancel", LATE)))
    with breaks(14):
        wrong.model(error)


def test_14_breaks_if_a_late_command_cancel_is_hidden() -> None:
    call = FaultyCall.talking()
    call.send(SendEvent(CancelResponse("r", event_id="mine")))
    call.leave_out(Fault)
    with breaks(14):
        call.model(server_error("nothing to cancel", "mine", LATE))


def test_14_holds_for_a_late_cancel_that_nobody_sent() -> None:
    error = server_error("nothing to cancel", "bridge-cancel-r", LATE)
    call = FaultyCall.ready()
    call.model(error)
    call.add(Notify(Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "nothing to cancel", LATE)))
    call.model(error)


# Raw messages.

RAW = CallConfig(raw_messages=frozenset(Peer))


def last_first(right: list[Action]) -> list[Action]:
    return [*right[1:], *right[:1]]


def twice(right: list[Action]) -> list[Action]:
    return [*right[:1], *right]


def no_output(right: list[Action]) -> list[Action]:
    return right[1:]


@pytest.mark.parametrize("change", [last_first, twice, no_output])
def test_14_breaks_if_raw_messages_are_not_once_and_first(change: Change) -> None:
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


def test_14_breaks_if_raw_messages_are_notified_without_need() -> None:
    call = FaultyCall.ready()
    call.change(instead(TwilioMessage('{"event":"unknown"}')))
    with breaks(14):
        call.nudge()


def test_14_holds_for_raw_messages_of_one_peer() -> None:
    call = Call.ready(CallConfig(raw_messages=frozenset({Peer.TWILIO})))
    assert call.phone(dtmf("5")).notified(TwilioMessage)
    assert not call.model(speech_started()).notified(RealtimeEvent)


def test_14_holds_if_the_last_raw_message_is_stop() -> None:
    call = Call.ready(RAW)
    assert call.phone(stop()).notified(TwilioMessage)
    assert call.phone(stop()).events == []
    call = Call.ready(RAW)
    call.send(HangUp())
    assert call.phone(media(audio(160))).events == call.phone(stop()).events == []


def test_14_breaks_if_a_raw_message_was_not_received() -> None:
    call = FaultyCall.ready(RAW)
    call.add(Notify(TwilioMessage("{}")))
    with breaks(14):
        call.send(Interrupt())


AUDIBLE = CallConfig(notify_agent_audio=True)


def speaking(kind: type[Call]) -> Any:
    call = kind.ready(AUDIBLE)
    call.model(created())
    return call


def test_14_breaks_if_audio_of_the_agent_is_not_notified() -> None:
    call = speaking(FaultyCall)
    assert call.model(delta(800)).notified(AgentAudio)
    call.leave_out(AgentAudio)
    with breaks(14):
        call.model(delta(800))


@pytest.mark.parametrize("samples", [20, 800])
def test_14_breaks_if_audio_of_the_agent_is_changed(samples: int) -> None:
    call = speaking(FaultyCall)
    call.add(Notify(AgentAudio("r", "i", 0, audio(samples))))
    with breaks(14):
        call.model(delta(800))


@pytest.mark.parametrize("ends", [audio_done(), response_done(), None])
def test_14_breaks_if_inaudible_audio_is_notified(ends: Event | None) -> None:
    call = speaking(FaultyCall)
    call.model(delta(810))
    if ends is None:
        call.send(Interrupt())
    else:
        call.model(ends)
    assert not call.model(delta(800)).notified(AgentAudio)
    call.add(Notify(AgentAudio("r", "i", 0, audio(800))))
    with breaks(14):
        call.model(delta(800))


def test_14_holds_if_a_delta_without_audio_is_not_notified() -> None:
    call = speaking(Call)
    assert not call.model({**delta(800), "delta": "no base64"}).notified(AgentAudio)


def test_14_breaks_if_audio_is_notified_without_need() -> None:
    call = FaultyCall.talking()
    call.add(Notify(AgentAudio("r", "i", 0, audio(800))))
    with breaks(14):
        call.model(delta(800))


# Items.


def with_two_items(kind: type[Call]) -> Any:
    """The conversation has the items `i` and `j`, both being generated."""
    call = kind.ready()
    call.model(item_added("i"))
    call.model(item_added("j", "i", content=[{"type": "output_audio"}]))
    return call


SAID = words("response.output_audio_transcript.done", item_id="j", transcript="yes")
SAID_LATER = {**SAID, "content_index": 2}
HEARD = words(f"{TRANSCRIPTION}.completed", item_id="j", transcript="yes")


def being_generated(item: str, previous: str | None, **body: Any) -> Event:
    return item_added(item, previous, status="in_progress", **body)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (ItemAdded, being_generated("k", "j")),
        (ItemDeleted, item_deleted("i")),
        (ItemUpdated, SAID),
        (ItemUpdated, SAID_LATER),
        (ItemUpdated, HEARD),
    ],
    ids=["added", "deleted", "said", "said in a later part", "heard"],
)
def test_14_breaks_if_an_item_is_not_notified(kind: type, event: Event) -> None:
    notified: list[object] = with_two_items(Call).model(event).notified(kind)
    call = with_two_items(FaultyCall)
    call.leave_out(kind)
    with breaks(14):
        call.model(event)
    call = with_two_items(FaultyCall)
    call.add(*map(Notify, notified))
    with breaks(14):
        call.model(event)


def test_14_breaks_if_a_complete_item_is_not_notified() -> None:
    call = FaultyCall.ready()
    call.model(being_generated("i", None))
    call.leave_out(ItemUpdated)
    with breaks(14):
        call.model(item_complete("i"))


AGENTS, CALLERS = Message("k", Role.ASSISTANT), Message("k", Role.USER)


@pytest.mark.parametrize(
    "notified",
    [
        ItemAdded(AGENTS, "i"),
        ItemAdded(AGENTS, None),
        ItemAdded(CALLERS, "j"),
        ItemAdded(FunctionCall("k", "f", "look_up"), "j"),
    ],
)
def test_14_breaks_if_an_item_is_added_otherwise(notified: ItemAdded) -> None:
    call = with_two_items(FaultyCall)
    call.change(instead(notified))
    with breaks(14):
        call.model(item_added("k", "j"))


@pytest.mark.parametrize(
    "notified", [ItemAdded(AGENTS, "j"), ItemUpdated(AGENTS), ItemDeleted("i")]
)
def test_14_breaks_if_an_item_follows_from_no_event(notified: Any) -> None:
    call = with_two_items(FaultyCall)
    call.add(Notify(notified))
    with breaks(14):
        call.nudge()


@pytest.mark.parametrize(
    ("previous", "behind"), [(None, None), ("root", None), ("i", "i"), ("unknown", "j")]
)
def test_14_holds_if_an_item_is_at_its_place(previous: str | None, behind: str | None) -> None:
    call = with_two_items(Call)
    added = call.model(item_added("k", previous, status="completed"))
    assert added.notified(ItemAdded) == [ItemAdded(AGENTS, behind)]
    call.model(item_added("f", type="function_call", call_id="f", name="look_up"))
    assert call.model(item_deleted("nobody knows it")).events == []
    assert call.model(item_added("k", status="completed")).events == []


def test_14_holds_if_no_item_follows_the_end() -> None:
    call = with_two_items(Call)
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
def test_14_breaks_if_a_tool_is_not_notified(kind: type, events: list[Event]) -> None:
    notified = list[object]()
    call = Call.ready()
    for event in events:
        notified = list[object](call.model(event).notified(kind))
    assert len(notified) == 1
    wrong = FaultyCall.ready()
    for event in events[:-1]:
        wrong.model(event)
    wrong.change(instead())
    with breaks(14):
        wrong.model(events[-1])


@tools
def test_14_breaks_if_a_tool_is_notified_again(kind: type, events: list[Event]) -> None:
    call = Call.ready()
    notified = [each for event in events for each in call.model(event).events if type(each) is kind]
    assert len(notified) == 1
    for event in events:
        assert not call.model(event).notified(kind)
    wrong = FaultyCall.ready()
    for event in events:
        wrong.model(event)
    wrong.add(*map(Notify, notified))
    with breaks(14):
        wrong.nudge()


def test_14_holds_if_out_of_band_tools_are_not_notified() -> None:
    call = Call.ready()
    call.model(created("r", None))
    assert call.model(item_done(item="a", type_="mcp_approval_request")).events == []
    assert call.model(item_done("s", "b", "mcp_approval_request")).notified(McpApprovalRequested)
