"""The invariants of what the model receives."""

from base64 import b64encode
from typing import Any, TypeVar

import pytest

from calling import (
    SESSION,
    Call,
    audio,
    created,
    delta,
    function_call,
    item_added,
    item_complete,
    item_deleted,
    media,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
    start,
    stop,
)
from faulty_call import Change, FaultyCall, breaks, to_model
from twilio_realtime.sim.reference import InvariantBroken
from twilio_realtime_core import CallConfig, HangUp, Interrupt, LocalProtocolError
from twilio_realtime_core.commands import (
    AnswerApproval,
    Mute,
    ResetHistory,
    SendAudio,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from twilio_realtime_core.machine.actions import Action, Notify, Peer, Send
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioPadded,
    EndReason,
    FunctionCallRequested,
    PaddingCause,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClientEvent,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    UpdateSession,
)
from twilio_realtime_core.responses.request_queue import MAX_REQUESTS
from twilio_realtime_core.values.items import (
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
)

C = TypeVar("C", bound=Call)

GAP, INACTIVITY = PaddingCause.GAP, PaddingCause.INACTIVITY


def silence(samples: int) -> str:
    return audio(samples, 0xFF)


def padding(samples: int, cause: PaddingCause = GAP) -> list[Action]:
    notified = Notify(CallerAudioPadded(samples, cause))
    return [notified, to_model(AppendAudio(silence(samples)))]


# 2: audio of the caller, and events of commands.


def test_2_holds_if_silence_replaces_muted_frames() -> None:
    call = Call.ready()
    call.send(Mute())
    assert call.phone(media(audio(160))).to_model == [AppendAudio(silence(160))]
    call.send(Unmute())
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


def test_2_breaks_if_audio_continues_while_muted() -> None:
    call = FaultyCall.ready()
    call.send(Mute())
    call.change(lambda _: [to_model(AppendAudio(audio(160)))])
    with breaks(2):
        call.phone(media(audio(160)))


def test_2_breaks_if_muted_silence_has_another_length() -> None:
    call = FaultyCall.ready()
    call.send(Mute())
    call.change(lambda _: [to_model(AppendAudio(silence(80)))])
    with breaks(2):
        call.phone(media(audio(160)))


@pytest.mark.parametrize("cut", [1, 100, 159, 160, 200, 319])
def test_2_holds_if_audio_is_cut_and_joined(cut: int) -> None:
    call = FaultyCall.connected()
    call.phone(media(audio(160, 1)))
    call.phone(media(audio(160, 2)))
    said = b"\1" * 160 + b"\2" * 160

    def joined(right: list[Action]) -> list[Action]:
        pieces = (b64encode(each).decode() for each in (said[:cut], said[cut:]))
        return [*right[:-2], *(to_model(AppendAudio(each)) for each in pieces)]

    call.change(joined)
    call.model(type="session.updated", session=SESSION)


@pytest.mark.parametrize(
    "pieces",
    [
        [audio(160, 1)],
        [audio(160, 1), audio(159, 2)],
        [audio(160, 1), audio(161, 2)],
        [audio(160, 1), "no base64"],
        [audio(161, 1), audio(159, 2)],
    ],
)
def test_2_breaks_if_audio_is_cut_wrongly(pieces: list[str]) -> None:
    call = FaultyCall.connected()
    call.phone(media(audio(160, 1)))
    call.phone(media(audio(160, 2)))
    call.change(lambda right: [*right[:-2], *(to_model(AppendAudio(each)) for each in pieces)])
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_breaks_if_audio_is_joined_across_an_event() -> None:
    call = FaultyCall.connected()
    call.phone(media(audio(160)))
    call.send(CommitAudio())
    call.phone(media(audio(160)))
    call.change(lambda right: [*right[:-3], to_model(AppendAudio(audio(320)))])
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_breaks_if_a_commit_is_missing() -> None:
    call = FaultyCall.ready()
    call.leave_out(CommitAudio)
    with breaks(2):
        call.send(SendAudio(bytes(800), commit=True))


def test_2_holds_for_audio_of_commands_and_the_caller() -> None:
    call = Call.ready()
    assert call.send(SendAudio(bytes(800), commit=True)).to_model == [
        AppendAudio(audio(800)),
        CommitAudio(),
    ]
    event = AppendAudio(audio(160), "mine")
    assert call.send(event).to_model == [event]
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


def test_2_breaks_if_audio_has_another_event_id() -> None:
    call = FaultyCall.ready()
    call.change(lambda _: [to_model(AppendAudio(audio(160), "yours"))])
    with breaks(2):
        call.send(AppendAudio(audio(160), "mine"))


def two_frames_of_a_gap(call: Call) -> Any:
    call.phone(media(audio(160), timestamp_ms=100))
    return media(audio(160), timestamp_ms=140)


def test_2_holds_if_a_gap_is_padded_before_its_end() -> None:
    call = Call.ready()
    done = call.phone(two_frames_of_a_gap(call))
    assert done.to_model == [AppendAudio(silence(160)), AppendAudio(audio(160))]


WRONG_PADDING: dict[str, Change] = {
    "behind the frame": lambda right: right[::-1],
    "not told": lambda right: right[1:],
    "told and not done": lambda right: [right[0], right[2]],
    "longer than told": lambda right: [right[0], *padding(161)[1:], right[2]],
    "twice": lambda right: [*padding(160), *right],
    "more than is missing": lambda right: [*padding(641), right[2]],
    "another cause": lambda right: [*padding(8000, INACTIVITY), right[2]],
}


@pytest.mark.parametrize("wrong", WRONG_PADDING.values(), ids=WRONG_PADDING)
def test_2_breaks_if_a_gap_is_padded_wrongly(wrong: Change) -> None:
    call = FaultyCall.ready()
    frame = two_frames_of_a_gap(call)
    call.change(wrong)
    with breaks(2):
        call.phone(frame)


@pytest.mark.parametrize("timestamp_ms", [90, 100])
def test_2_breaks_if_padding_has_no_gap(timestamp_ms: int) -> None:
    call = FaultyCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.change(lambda right: [*padding(160), *right])
    with breaks(2):
        call.phone(media(audio(160), timestamp_ms=timestamp_ms))


def test_2_breaks_if_padding_is_above_the_limit() -> None:
    call = FaultyCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.change(lambda right: [*padding(80_001), right[-1]])
    with breaks(2):
        call.phone(media(audio(160), timestamp_ms=20_100))


def test_2_breaks_if_another_format_is_padded() -> None:
    call = FaultyCall.answered()
    call.phone(start(mediaFormat={"encoding": "audio/l16", "sampleRate": 8000, "channels": 1}))
    call.opened_and_configured()
    frame = two_frames_of_a_gap(call)
    call.change(lambda right: [*padding(160), *right])
    with breaks(2):
        call.phone(frame)


def test_2_holds_if_inactivity_is_padded_once() -> None:
    call = Call.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.model(speech_started())
    assert call.wait(2000).to_model == [AppendAudio(silence(8000))]
    assert call.phone(media(audio(160), timestamp_ms=2120)).to_model == [AppendAudio(audio(160))]


def test_2_breaks_if_a_gap_is_padded_for_both_causes() -> None:
    call = FaultyCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.model(speech_started())
    call.wait(2000)
    call.change(lambda right: [*padding(8000), *right])
    with breaks(2):
        call.phone(media(audio(160), timestamp_ms=2120))


@pytest.mark.parametrize(("speaks", "samples"), [(False, 8000), (True, 7999)])
def test_2_breaks_if_inactivity_is_padded_wrongly(*, speaks: bool, samples: int) -> None:
    call = FaultyCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.model(speech_started())
    if not speaks:
        call.model(speech_stopped())
    call.now += 700_000_000
    call.timeout()
    call.now += 5 * SECOND
    call.change(lambda _: padding(samples, INACTIVITY))
    with breaks(2):
        call.timeout()


def test_2_breaks_if_silence_is_never_due() -> None:
    call = FaultyCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.faulty_bridge.is_never_due = True
    call.nudge()
    with breaks(2):
        call.model(speech_started())


def test_2_breaks_if_due_silence_is_missing() -> None:
    call = FaultyCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.model(speech_started())
    call.change(lambda _: [])
    call.now += 750_000_000
    with breaks(2):
        call.timeout()


def test_2_holds_without_silence_before_the_first_frame() -> None:
    call = FaultyCall.ready()
    call.faulty_bridge.is_never_due = True
    assert call.model(speech_started()).to_model == []


def test_2_holds_without_silence_if_it_is_off() -> None:
    call = FaultyCall.ready(CallConfig(inactivity_timeout_ms=None))
    call.phone(media(audio(160), timestamp_ms=100))
    call.faulty_bridge.is_never_due = True
    assert call.model(speech_started()).to_model == []


def test_2_breaks_if_a_message_is_changed() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: right[:1] and [to_model(_says("b")), *right[1:]])
    with breaks(2):
        call.send(SendMessage("a"))


def _says(*words: str) -> CreateItem:
    content = [{"type": "input_text", "text": each} for each in words]
    return CreateItem({"type": "message", "role": "user", "content": content})


@pytest.mark.parametrize(
    "sent",
    [
        _says(),
        _says("a", "b"),
        CreateItem({**_says("a").item, "role": "system"}),
        CreateItem({**_says("a").item, "status": "completed"}),
        CreateItem({**_says("a").item, "content": "a"}),
        CommitAudio(),
    ],
)
def test_2_breaks_if_another_event_replaces_a_message(sent: ClientEvent) -> None:
    call = FaultyCall.ready()
    call.change(lambda _: [to_model(sent)])
    with breaks(2):
        call.send(SendMessage("a", respond=False))


def test_2_holds_for_a_message_of_text_and_pictures() -> None:
    call = Call.ready()
    pictures = ImagePart("https://b"), ImagePart("https://c", "low")
    content: list[TextPart | ImagePart] = [TextPart("a"), *pictures]
    more = {"previous_item_id": "i"}
    assert len(call.send(SendMessage(content, respond=False, extra_fields=more)).to_model) == 1


def test_2_breaks_if_an_item_is_sent_without_command() -> None:
    call = FaultyCall.ready()
    call.add(to_model(_says("a")))
    with breaks(2):
        call.nudge()


def test_2_breaks_if_an_event_is_left_out() -> None:
    call = FaultyCall.ready()
    call.change(lambda _: [])
    with breaks(2):
        call.send(SendMessage("a", respond=False))


def test_2_breaks_if_an_update_leaves_out_a_change() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: right[:0])
    update = UpdateSession({"type": "realtime", "instructions": "be brief"})
    with breaks(2):
        call.send(update)


# 2: resets of the history.


ITEM: Any = Message("a", Role.USER, (TextPart("hello"),))


def with_items(kind: type[C], *ids: str) -> C:
    call = kind.ready()
    for each in ids:
        body: dict[str, Any] = {
            "role": "user",
            "content": [{"type": "input_text", "text": "hello"}],
        }
        call.model(item_added(each, **body))
        call.model(item_complete(each, **body))
    return call


def test_2_holds_if_a_reset_deletes_and_creates() -> None:
    call = with_items(Call, "x", "y")
    events = call.send(ResetHistory([ITEM])).to_model
    assert {type(each) for each in events} == {DeleteItem, CreateItem}
    assert call.send(CommitAudio()).to_model == [CommitAudio()]


def test_2_holds_for_a_reset_before_the_session() -> None:
    call = Call.connected()
    call.send(ResetHistory([ITEM]))
    call.phone(media(audio(160)))
    call.send(SendMessage("b", respond=False))
    call.model(type="session.updated", session=SESSION)


def test_2_holds_for_two_resets_before_the_session() -> None:
    call = Call.connected()
    call.send(ResetHistory([ITEM]))
    call.send(ResetHistory([ITEM]))
    call.send(SendAudio(bytes(800)))
    done = call.model(type="session.updated", session=SESSION)
    assert [type(each) for each in done.to_model] == [CreateItem, AppendAudio]


@pytest.mark.parametrize("again", [False, True])
def test_2_breaks_if_a_reset_before_the_session_is_lost(*, again: bool) -> None:
    call = FaultyCall.connected()
    for _ in range(1 + again):
        call.send(ResetHistory([ITEM]))
    call.leave_out(CreateItem)
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_holds_if_an_equal_reset_sends_nothing() -> None:
    call = with_items(Call, "a")
    assert call.send(ResetHistory([ITEM])).to_model == []


@pytest.mark.parametrize("missing", [DeleteItem, CreateItem])
def test_2_breaks_if_a_reset_is_incomplete(missing: type) -> None:
    call = with_items(FaultyCall, "x", "y")
    call.leave_out(missing)
    with breaks(2):
        call.send(ResetHistory([ITEM]))


def test_2_breaks_if_a_reset_has_another_result() -> None:
    call = with_items(FaultyCall, "x")
    call.add(to_model(CreateItem({"id": "z", "type": "message", "role": "user", "content": []})))
    with breaks(2):
        call.send(ResetHistory([ITEM]))


def test_2_holds_if_deleted_items_are_not_deleted_again() -> None:
    call = with_items(Call, "x", "y")
    call.model(item_deleted("x"))
    (event,) = call.send(ResetHistory([])).to_model
    assert isinstance(event, DeleteItem)
    assert event.item_id == "y"


# 6: requests for responses.


def test_6_breaks_if_a_request_is_not_due() -> None:
    call = FaultyCall.ready()
    call.add(to_model(CreateResponse()))
    with breaks(6):
        call.nudge()


def test_6_breaks_if_a_request_is_sent_twice() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: [*right, right[-1]])
    with breaks(6):
        call.send(CreateResponse())


def test_6_breaks_if_a_request_precedes_its_item() -> None:
    call = FaultyCall.ready()
    call.change(lambda right: right[::-1])
    with breaks(6):
        call.send(SendMessage("a"))


def test_6_holds_if_a_request_follows_the_history() -> None:
    call = Call.connected()
    call.send(ResetHistory([ITEM]))
    call.send(CreateResponse())
    done = call.model(type="session.updated", session=SESSION)
    assert [type(each) for each in done.to_model] == [CreateItem, CreateResponse]


def test_6_breaks_if_a_request_precedes_its_history() -> None:
    call = FaultyCall.connected()
    call.send(ResetHistory([ITEM]))
    call.send(CreateResponse())
    call.change(lambda right: [*right[:-2], right[-1], right[-2]])
    with breaks(6):
        call.model(type="session.updated", session=SESSION)


def test_6_breaks_if_two_requests_are_unanswered() -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse())
    call.add(to_model(CreateResponse(event_id="2")))
    with breaks(6):
        call.send(CreateResponse())


def test_6_breaks_if_a_request_meets_an_active_response() -> None:
    call = FaultyCall.talking()
    call.add(to_model(CreateResponse(event_id="2")))
    with breaks(6):
        call.send(CreateResponse())


@pytest.mark.parametrize("end", [response_done(), server_error("no", "e", "invalid_value")])
def test_6_breaks_if_a_due_request_is_not_sent(end: Any) -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse(event_id="e"))
    if end["type"] == "response.done":
        call.model(created())
    call.send(CreateResponse({"instructions": "x"}))
    call.leave_out(CreateResponse)
    with breaks(6):
        call.model(end)


def test_6_breaks_if_requests_are_out_of_order() -> None:
    call = FaultyCall.talking()
    for words in "ab":
        call.send(CreateResponse({"instructions": words}))
    call.change(lambda right: [*right[:-1], to_model(CreateResponse({"instructions": "b"}))])
    with breaks(6):
        call.model(response_done())


def test_6_breaks_if_an_automatic_request_overtakes() -> None:
    call = FaultyCall.talking()
    call.send(CreateResponse({"instructions": "a"}))
    call.send(SendMessage("b"))
    call.change(lambda right: [*right[:-1], to_model(CreateResponse())])
    with breaks(6):
        call.model(response_done())


def test_6_holds_if_a_busy_request_is_repeated() -> None:
    call = Call.ready()
    (sent,) = call.send(CreateResponse({"instructions": "x"})).to_model
    assert isinstance(sent, CreateResponse)
    call.model(created("v"))
    code = "conversation_already_has_active_response"
    call.model(server_error("busy", sent.event_id, code))
    assert call.model(response_done("v")).to_model == [sent]


def test_6_breaks_if_a_repeated_request_has_another_id() -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse(event_id="e"))
    call.model(created("v"))
    call.model(server_error("busy", "e", "conversation_already_has_active_response"))
    call.change(lambda right: [*right[:-1], to_model(CreateResponse(event_id="f"))])
    with breaks(6):
        call.model(response_done("v"))


def refused_twice(kind: type[C]) -> C:
    """Two requests that seemed to be answered were refused, since other responses were active."""
    call = kind.ready()
    for name, words in (("v", "a"), ("w", "b")):
        call.send(CreateResponse({"instructions": words}, words))
        call.model(created(name))
        if name == "v":
            call.model(response_done(name))
    for words in "ab":
        call.model(server_error("busy", words, "conversation_already_has_active_response"))
    return call


def test_6_holds_if_busy_requests_are_repeated_in_order() -> None:
    call = refused_twice(Call)
    for name, words in (("w", "a"), ("x", "b")):
        (again,) = call.model(response_done(name)).to_model
        assert isinstance(again, CreateResponse)
        assert again.event_id == words
        call.model(created("x"))


def test_6_breaks_if_repeated_requests_are_out_of_order() -> None:
    call = refused_twice(FaultyCall)
    second = CreateResponse({"instructions": "b"}, "b")
    call.change(lambda right: [*right[:-1], to_model(second)])
    with breaks(6):
        call.model(response_done("w"))


def test_6_holds_if_repeated_automatic_requests_are_one() -> None:
    call = Call.ready()
    names = list[str]()
    for response in "vw":
        (_, sent) = call.send(SendMessage("a")).to_model
        assert isinstance(sent, CreateResponse)
        names.append(sent.event_id or "")
        call.model(created(response))
        if response == "v":
            call.model(response_done(response))
    for name in reversed(names):
        call.model(server_error("busy", name, "conversation_already_has_active_response"))
    assert len(call.model(response_done("w")).to_model) == 1
    call.model(created("x"))
    assert call.model(response_done("x")).to_model == []


def test_6_holds_if_a_request_with_unseen_answer_is_refused() -> None:
    call = Call.ready()
    for words in "ab":
        call.send(CreateResponse({"instructions": words}, words))
    (second,) = call.model(response_done("never heard of")).to_model
    assert isinstance(second, CreateResponse)
    call.model(created())
    call.model(server_error("busy", "a", "conversation_already_has_active_response"))
    (again,) = call.model(response_done()).to_model
    assert isinstance(again, CreateResponse)
    assert (second.event_id, again.event_id) == ("b", "a")


COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u"}


def unanswered_turn(kind: type[C]) -> C:
    """The server could not answer a turn, and from then on answers none by itself."""
    call = kind.talking()
    call.model(COMMITTED)
    heard = {**SESSION["audio"]["input"], "turn_detection": {"create_response": False}}
    audio = {**SESSION["audio"], "input": heard}
    call.model(type="session.updated", session={**SESSION, "audio": audio})
    call.model(COMMITTED)
    return call


def test_6_holds_if_an_unanswered_turn_outlives_the_setting() -> None:
    assert len(unanswered_turn(Call).model(response_done()).to_model) == 1


def test_6_breaks_if_a_turn_is_not_answered() -> None:
    call = unanswered_turn(FaultyCall)
    call.leave_out(CreateResponse)
    with breaks(6):
        call.model(response_done())


def test_6_holds_if_a_repeated_end_requests_nothing() -> None:
    call = Call.talking()
    call.model(response_done())
    call.send(CreateResponse())
    call.model(COMMITTED)
    call.model(response_done())
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).notified(CallEnded)[0].unanswered_requests == 1


def test_6_holds_if_outcomes_wait_for_a_lost_response_that_starts_after_all() -> None:
    call = Call.ready()
    call.model(function_call())
    call.model(created("s"))
    call.model(created())
    call.send(SendFunctionOutput("f", "done"))
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).notified(CallEnded)[0].unanswered_requests == 0


def test_6_holds_if_an_unseen_response_is_cancelled() -> None:
    call = Call.ready()
    added: dict[str, Any] = {"id": "i", "type": "message", "role": "assistant", "content": []}
    call.model(type="response.output_item.added", response_id="r", item=added)
    (cancel,) = call.send(Interrupt()).to_model
    assert isinstance(cancel, CancelResponse)
    assert cancel.response_id == "r"


def test_6_holds_if_out_of_band_requests_are_not_queued() -> None:
    call = Call.talking()
    event = CreateResponse({"conversation": "none"}, "e")
    assert call.send(event).to_model == [event]
    call.model(created("o", conversation=None))
    call.model(response_done("o", conversation=None))
    call.send(event)
    call.model(server_error("no", "e", "invalid_value"))
    call.send(HangUp())


def test_6_breaks_if_an_out_of_band_request_waits() -> None:
    call = FaultyCall.talking()
    call.leave_out(CreateResponse)
    with breaks(6):
        call.send(CreateResponse({"conversation": "none"}))


def test_6_holds_if_several_outputs_cause_one_request() -> None:
    call = Call.talking()
    for each in "fg":
        call.model(function_call(each, item=each))
        call.send(SendFunctionOutput(each, "{}"))
    assert len(call.model(response_done()).to_model) == 1


def test_6_breaks_if_each_output_causes_a_request() -> None:
    call = FaultyCall.talking()
    for each in "fg":
        call.model(function_call(each, item=each))
        call.send(SendFunctionOutput(each, "{}"))
    call.change(lambda right: [*right, right[-1]])
    with breaks(6):
        call.model(response_done())


def test_6_breaks_if_a_suppressed_response_is_not_cancelled() -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse())
    call.send(Interrupt())
    call.leave_out(CancelResponse)
    with breaks(6):
        call.model(created())


def test_6_holds_if_a_response_is_cancelled_before_its_start() -> None:
    call = Call.ready()
    call.model(delta(800))
    call.send(CreateResponse())
    call.send(Interrupt())
    assert call.model(created()).to_model == []


def test_6_holds_if_a_suppressed_response_need_not_be_cancelled() -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse())
    call.send(Interrupt(cancel=False))
    call.leave_out(CancelResponse)
    call.model(created())


def test_6_breaks_if_a_response_that_the_caller_interrupted_is_not_cancelled() -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse())
    call.model(speech_started())
    call.leave_out(CancelResponse)
    with breaks(6):
        call.model(created())


def test_6_breaks_if_a_response_is_cancelled_that_nobody_interrupted() -> None:
    call = FaultyCall.talking(800)
    call.add(to_model(CancelResponse("r", "bridge-cancel-r")))
    with breaks(6):
        call.model(delta(800))


def test_6_breaks_if_a_request_is_sent_while_the_caller_has_the_turn() -> None:
    call = FaultyCall.ready()
    call.model(speech_started())
    call.add(to_model(CreateResponse(event_id="e")))
    with breaks(6):
        call.send(CreateResponse(event_id="e"))


def test_6_breaks_if_a_cancel_of_nothing_is_sent() -> None:
    call = FaultyCall.ready()
    call.add(to_model(CancelResponse()))
    with breaks(6):
        call.send(CancelResponse())


def test_6_breaks_if_unanswered_requests_are_not_counted() -> None:
    call = FaultyCall.ready()
    call.send(CreateResponse())
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    call.change(lambda _: [Notify(CallEnded(EndReason.HUNG_UP))])
    with breaks(6):
        call.closed(Peer.REALTIME)


@pytest.mark.parametrize(
    "odd",
    [
        server_error("busy", None, "conversation_already_has_active_response"),
        server_error("response.create is wrong"),
        response_done("never heard of"),
        created("o", conversation=None),
    ],
)
def test_6_holds_for_any_request_after_an_ambiguous_event(
    odd: Any,
) -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.send(SendMessage("a"))
    call.model(odd)
    call.model(created())
    call.model(response_done())
    call.phone(stop())


def test_6_holds_if_a_request_overtakes_an_uncertain_one() -> None:
    call = Call.ready()
    for event in (created(), response_done(), created()):
        call.model(event)
    call.model(COMMITTED)
    call.model(response_done("never heard of"))
    assert len(call.send(CreateResponse({"instructions": "x"})).to_model) == 1


def test_6_holds_if_the_oldest_of_equal_requests_is_sent() -> None:
    call = Call.ready()
    call.model(response_done("never heard of"))
    call.model(created("r"))
    call.send(SendMessage("a"))
    call.send(CreateResponse())
    assert len(call.model(response_done("r")).to_model) == 1
    call.model(created("s"))
    call.send(SendMessage("b"))
    for name in "st":
        assert len(call.model(response_done(name)).to_model) == 1
        call.model(created("t"))


def test_6_holds_if_another_error_changes_nothing() -> None:
    call = Call.ready()
    call.send(CreateResponse(event_id="e"))
    call.send(SendMessage("a"))
    call.model(server_error("no", "x", "invalid_value"))
    call.model(created())
    call.model(server_error("no", "e", "invalid_value"))
    assert len(call.model(response_done()).to_model) == 1


# 7: function calls.


def requested(kind: type[C], *samples: int) -> C:
    call = kind.talking(*samples)
    call.model(function_call())
    return call


OUTPUT = CreateItem({"type": "function_call_output", "call_id": "f", "output": "{}"})


def test_7_breaks_if_an_output_is_sent_twice() -> None:
    call = requested(FaultyCall)
    call.change(lambda right: right * 2)
    with pytest.raises(InvariantBroken):
        call.send(SendFunctionOutput("f", "{}", respond=False))
    call = requested(FaultyCall)
    call.send(SendFunctionOutput("f", "{}", respond=False))
    call.faulty_bridge.is_refusing = False
    with breaks(7):
        call.send(SendFunctionOutput("unknown", "{}"))


@pytest.mark.parametrize("command", [SendFunctionOutput("x", ""), SendFunctionOutput("f", "")])
def test_7_breaks_if_an_invalid_answer_is_taken(command: SendFunctionOutput) -> None:
    call = requested(FaultyCall)
    call.send(SendFunctionOutput("f", "{}"))
    call.faulty_bridge.is_refusing = False
    with breaks(7):
        call.send(command)


def test_7_breaks_if_an_approval_is_answered_twice() -> None:
    call = FaultyCall.ready()
    call.faulty_bridge.is_refusing = False
    item = {
        "id": "o",
        "type": "mcp_approval_response",
        "approval_request_id": "a",
        "approve": True,
        "reason": "no harm",
    }
    call.add(to_model(CreateItem(item)))
    call.send(AnswerApproval("a", approve=True, reason="no harm"))
    with breaks(7):
        call.send(AnswerApproval("a", approve=True, reason="no harm"))


def test_7_breaks_if_an_incomplete_call_is_requested() -> None:
    call = FaultyCall.talking()
    call.add(Notify(FunctionCallRequested("f", "look_up", "{}", "r", "i")))
    with breaks(7):
        call.model(function_call(status="incomplete"))


def test_7_breaks_if_a_call_is_requested_twice() -> None:
    call = FaultyCall.talking()
    call.change(lambda right: right * 2)
    with breaks(7):
        call.model(function_call())


@pytest.mark.parametrize("status", ["completed", None])
def test_7_breaks_if_a_call_is_not_requested(status: str | None) -> None:
    call = FaultyCall.talking()
    call.leave_out(FunctionCallRequested)
    with breaks(7):
        call.model(function_call(status=status))


def test_7_breaks_if_an_output_has_no_requested_call() -> None:
    call = FaultyCall.ready()
    call.faulty_bridge.is_refusing = False
    with breaks(7):
        call.send(SendFunctionOutput("unknown", "{}"))


def test_7_breaks_if_a_deferred_output_is_early() -> None:
    call = requested(FaultyCall, 800)
    call.add(to_model(OUTPUT))
    with breaks(7):
        call.send(SendFunctionOutput("f", "{}", after_playback=True))


def said_and_done(kind: type[C]) -> C:
    call = requested(kind, 800)
    call.model(response_done())
    call.send(SendFunctionOutput("f", "{}", after_playback=True))
    call.play(99)
    return call


def test_7_holds_if_a_deferred_output_follows_playback() -> None:
    call = said_and_done(Call)
    done = call.play(1)
    assert isinstance(done.to_model[0], CreateItem)
    assert isinstance(done.to_model[1], CreateResponse)


def test_7_breaks_if_a_deferred_output_is_late() -> None:
    call = said_and_done(FaultyCall)
    call.change(lambda right: [each for each in right if not isinstance(each, Send)])
    with breaks(7):
        call.play(1)


def test_7_holds_if_a_reset_has_the_output() -> None:
    call = requested(Call)
    call.send(ResetHistory([FunctionCall("c", "f", "look_up"), FunctionOutput("o", "f", "{}")]))
    with pytest.raises(LocalProtocolError):
        call.send(SendFunctionOutput("f", "{}"))


# 9: limits.


def test_9_breaks_if_more_requests_are_queued() -> None:
    call = FaultyCall.talking()
    call.faulty_bridge.is_refusing = False
    for _ in range(MAX_REQUESTS + 1):
        call.send(CreateResponse())
    with breaks(9):
        call.send(CreateResponse())
