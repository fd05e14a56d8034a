"""What goes to the model: each invariant of it catches a bridge that breaks it, and no other."""

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
from twilio_realtime_core.responses.requests import MAX_REQUESTS
from twilio_realtime_core.values.items import (
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
)
from wrong_call import Change, WrongCall, breaks, to_model

C = TypeVar("C", bound=Call)

GAP, INACTIVITY = PaddingCause.GAP, PaddingCause.INACTIVITY


def silence(samples: int) -> str:
    return audio(samples, 0xFF)


def padding(samples: int, cause: PaddingCause = GAP) -> list[Action]:
    told = Notify(CallerAudioPadded(samples, cause))
    return [told, to_model(AppendAudio(silence(samples)))]


# 2: caller audio, and the events of commands.


def test_2_silence_takes_the_place_of_each_frame_while_muted() -> None:
    call = Call.ready()
    call.send(Mute())
    assert call.phone(media(audio(160))).to_model == [AppendAudio(silence(160))]
    call.send(Unmute())
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


def test_2_audio_that_goes_on_while_muted() -> None:
    call = WrongCall.ready()
    call.send(Mute())
    call.change(lambda _: [to_model(AppendAudio(audio(160)))])
    with breaks(2):
        call.phone(media(audio(160)))


def test_2_silence_of_another_length_while_muted() -> None:
    call = WrongCall.ready()
    call.send(Mute())
    call.change(lambda _: [to_model(AppendAudio(silence(80)))])
    with breaks(2):
        call.phone(media(audio(160)))


@pytest.mark.parametrize("cut", [1, 100, 159, 160, 200, 319])
def test_2_audio_may_be_cut_and_joined(cut: int) -> None:
    call = WrongCall.connected()
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
def test_2_audio_that_was_cut_wrongly(pieces: list[str]) -> None:
    call = WrongCall.connected()
    call.phone(media(audio(160, 1)))
    call.phone(media(audio(160, 2)))
    call.change(lambda right: [*right[:-2], *(to_model(AppendAudio(each)) for each in pieces)])
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_audio_joined_across_an_event_that_lies_between() -> None:
    call = WrongCall.connected()
    call.phone(media(audio(160)))
    call.send(CommitAudio())
    call.phone(media(audio(160)))
    call.change(lambda right: [*right[:-3], to_model(AppendAudio(audio(320)))])
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_audio_of_a_command_without_its_commit() -> None:
    call = WrongCall.ready()
    call.leave_out(CommitAudio)
    with breaks(2):
        call.send(SendAudio(bytes(800), commit=True))


def test_2_audio_of_a_command_is_told_from_the_callers() -> None:
    call = Call.ready()
    assert call.send(SendAudio(bytes(800), commit=True)).to_model == [
        AppendAudio(audio(800)),
        CommitAudio(),
    ]
    event = AppendAudio(audio(160), "mine")
    assert call.send(event).to_model == [event]
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


def test_2_audio_of_a_command_with_another_event_id() -> None:
    call = WrongCall.ready()
    call.change(lambda _: [to_model(AppendAudio(audio(160), "yours"))])
    with breaks(2):
        call.send(AppendAudio(audio(160), "mine"))


def two_frames_of_a_gap(call: Call) -> Any:
    call.phone(media(audio(160), timestamp_ms=100))
    return media(audio(160), timestamp_ms=140)


def test_2_a_gap_is_padded_before_the_frame_that_ends_it() -> None:
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
def test_2_a_gap_padded_wrongly(wrong: Change) -> None:
    call = WrongCall.ready()
    frame = two_frames_of_a_gap(call)
    call.change(wrong)
    with breaks(2):
        call.phone(frame)


@pytest.mark.parametrize("timestamp_ms", [90, 100])
def test_2_padding_where_timestamps_show_no_gap(timestamp_ms: int) -> None:
    call = WrongCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.change(lambda right: [*padding(160), *right])
    with breaks(2):
        call.phone(media(audio(160), timestamp_ms=timestamp_ms))


def test_2_padding_of_more_than_ten_seconds() -> None:
    call = WrongCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.change(lambda right: [*padding(80_001), right[-1]])
    with breaks(2):
        call.phone(media(audio(160), timestamp_ms=20_100))


def test_2_padding_in_a_stream_of_another_format() -> None:
    call = WrongCall.answered()
    call.phone(start(mediaFormat={"encoding": "audio/l16", "sampleRate": 8000, "channels": 1}))
    call.opened_and_configured()
    frame = two_frames_of_a_gap(call)
    call.change(lambda right: [*padding(160), *right])
    with breaks(2):
        call.phone(frame)


def test_2_a_caller_who_speaks_and_falls_silent_is_padded_once() -> None:
    call = Call.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.model(speech_started())
    assert call.wait(2000).to_model == [AppendAudio(silence(8000))]
    assert call.phone(media(audio(160), timestamp_ms=2120)).to_model == [AppendAudio(audio(160))]


def test_2_a_gap_padded_for_inactivity_and_by_timestamps() -> None:
    call = WrongCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.model(speech_started())
    call.wait(2000)
    call.change(lambda right: [*padding(8000), *right])
    with breaks(2):
        call.phone(media(audio(160), timestamp_ms=2120))


@pytest.mark.parametrize(("speaks", "samples"), [(False, 8000), (True, 7999)])
def test_2_inactivity_that_is_none_or_padded_otherwise(*, speaks: bool, samples: int) -> None:
    call = WrongCall.ready()
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


def test_2_silence_that_may_never_come() -> None:
    call = WrongCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.wrong.never_due = True
    call.nudge()
    with breaks(2):
        call.model(speech_started())


def test_2_silence_that_does_not_come_when_it_is_due() -> None:
    call = WrongCall.ready()
    call.phone(media(audio(160), timestamp_ms=100))
    call.model(speech_started())
    call.change(lambda _: [])
    call.now += 750_000_000
    with breaks(2):
        call.timeout()


def test_2_no_silence_is_due_where_no_frame_has_come() -> None:
    call = WrongCall.ready()
    call.wrong.never_due = True
    assert call.model(speech_started()).to_model == []


def test_2_no_silence_is_due_where_none_is_to_be_put() -> None:
    call = WrongCall.ready(CallConfig(inactivity_timeout_ms=None))
    call.phone(media(audio(160), timestamp_ms=100))
    call.wrong.never_due = True
    assert call.model(speech_started()).to_model == []


def test_2_a_message_that_is_said_otherwise() -> None:
    call = WrongCall.ready()
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
def test_2_an_event_that_is_not_what_a_message_asks_for(sent: ClientEvent) -> None:
    call = WrongCall.ready()
    call.change(lambda _: [to_model(sent)])
    with breaks(2):
        call.send(SendMessage("a", respond=False))


def test_2_a_message_of_words_and_pictures_is_what_was_asked_for() -> None:
    call = Call.ready()
    pictures = ImagePart("https://b"), ImagePart("https://c", "low")
    content: list[TextPart | ImagePart] = [TextPart("a"), *pictures]
    more = {"previous_item_id": "i"}
    assert len(call.send(SendMessage(content, respond=False, extra_fields=more)).to_model) == 1


def test_2_an_item_that_nobody_asked_for() -> None:
    call = WrongCall.ready()
    call.add(to_model(_says("a")))
    with breaks(2):
        call.nudge()


def test_2_an_event_that_is_left_out() -> None:
    call = WrongCall.ready()
    call.change(lambda _: [])
    with breaks(2):
        call.send(SendMessage("a", respond=False))


def test_2_an_update_may_repeat_what_is_in_effect_but_not_leave_out_what_is_new() -> None:
    call = WrongCall.ready()
    call.change(lambda right: right[:0])
    update = UpdateSession({"type": "realtime", "instructions": "be brief"})
    with breaks(2):
        call.send(update)


# 2: a history.


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


def test_2_a_history_is_reset_by_deletes_and_creates() -> None:
    call = with_items(Call, "x", "y")
    events = call.send(ResetHistory([ITEM])).to_model
    assert {type(each) for each in events} == {DeleteItem, CreateItem}
    assert call.send(CommitAudio()).to_model == [CommitAudio()]


def test_2_a_history_reset_before_the_session_is_ready() -> None:
    call = Call.connected()
    call.send(ResetHistory([ITEM]))
    call.phone(media(audio(160)))
    call.send(SendMessage("b", respond=False))
    call.model(type="session.updated", session=SESSION)


def test_2_a_history_reset_twice_before_the_session_is_ready() -> None:
    call = Call.connected()
    call.send(ResetHistory([ITEM]))
    call.send(ResetHistory([ITEM]))
    call.send(SendAudio(bytes(800)))
    done = call.model(type="session.updated", session=SESSION)
    assert [type(each) for each in done.to_model] == [CreateItem, AppendAudio]


@pytest.mark.parametrize("again", [False, True])
def test_2_a_history_that_was_reset_before_the_session_and_is_not(*, again: bool) -> None:
    call = WrongCall.connected()
    for _ in range(1 + again):
        call.send(ResetHistory([ITEM]))
    call.leave_out(CreateItem)
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_a_history_that_is_what_it_is_needs_nothing() -> None:
    call = with_items(Call, "a")
    assert call.send(ResetHistory([ITEM])).to_model == []


@pytest.mark.parametrize("missing", [DeleteItem, CreateItem])
def test_2_a_history_reset_in_part(missing: type) -> None:
    call = with_items(WrongCall, "x", "y")
    call.leave_out(missing)
    with breaks(2):
        call.send(ResetHistory([ITEM]))


def test_2_a_history_reset_to_something_else() -> None:
    call = with_items(WrongCall, "x")
    call.add(to_model(CreateItem({"id": "z", "type": "message", "role": "user", "content": []})))
    with breaks(2):
        call.send(ResetHistory([ITEM]))


def test_2_items_that_are_gone_are_not_deleted_again() -> None:
    call = with_items(Call, "x", "y")
    call.model(item_deleted("x"))
    (event,) = call.send(ResetHistory([])).to_model
    assert isinstance(event, DeleteItem)
    assert event.item_id == "y"


# 6: requests for responses.


def test_6_a_request_that_nobody_asked_for() -> None:
    call = WrongCall.ready()
    call.add(to_model(CreateResponse()))
    with breaks(6):
        call.nudge()


def test_6_a_request_made_twice() -> None:
    call = WrongCall.ready()
    call.change(lambda right: [*right, right[-1]])
    with breaks(6):
        call.send(CreateResponse())


def test_6_a_request_before_the_item_that_it_is_about() -> None:
    call = WrongCall.ready()
    call.change(lambda right: right[::-1])
    with breaks(6):
        call.send(SendMessage("a"))


def test_6_a_request_made_before_the_session_is_ready_waits_for_the_history() -> None:
    call = Call.connected()
    call.send(ResetHistory([ITEM]))
    call.send(CreateResponse())
    done = call.model(type="session.updated", session=SESSION)
    assert [type(each) for each in done.to_model] == [CreateItem, CreateResponse]


def test_6_a_request_before_the_history_that_it_is_about() -> None:
    call = WrongCall.connected()
    call.send(ResetHistory([ITEM]))
    call.send(CreateResponse())
    call.change(lambda right: [*right[:-2], right[-1], right[-2]])
    with breaks(6):
        call.model(type="session.updated", session=SESSION)


def test_6_a_request_while_another_has_no_answer() -> None:
    call = WrongCall.ready()
    call.send(CreateResponse())
    call.add(to_model(CreateResponse(event_id="2")))
    with breaks(6):
        call.send(CreateResponse())


def test_6_a_request_while_a_response_is_active() -> None:
    call = WrongCall.talking()
    call.add(to_model(CreateResponse(event_id="2")))
    with breaks(6):
        call.send(CreateResponse())


@pytest.mark.parametrize("end", [response_done(), server_error("no", "e", "invalid_value")])
def test_6_a_request_that_is_not_made_though_nothing_is_in_its_way(end: Any) -> None:
    call = WrongCall.ready()
    call.send(CreateResponse(event_id="e"))
    if end["type"] == "response.done":
        call.model(created())
    call.send(CreateResponse({"instructions": "x"}))
    call.leave_out(CreateResponse)
    with breaks(6):
        call.model(end)


def test_6_requests_out_of_order() -> None:
    call = WrongCall.talking()
    for words in "ab":
        call.send(CreateResponse({"instructions": words}))
    call.change(lambda right: [*right[:-1], to_model(CreateResponse({"instructions": "b"}))])
    with breaks(6):
        call.model(response_done())


def test_6_a_request_for_a_message_before_one_by_hand_that_is_older() -> None:
    call = WrongCall.talking()
    call.send(CreateResponse({"instructions": "a"}))
    call.send(SendMessage("b"))
    call.change(lambda right: [*right[:-1], to_model(CreateResponse())])
    with breaks(6):
        call.model(response_done())


def test_6_a_request_refused_because_of_another_response_is_made_again_as_it_was() -> None:
    call = Call.ready()
    (sent,) = call.send(CreateResponse({"instructions": "x"})).to_model
    assert isinstance(sent, CreateResponse)
    call.model(created("v"))
    code = "conversation_already_has_active_response"
    call.model(server_error("busy", sent.event_id, code))
    assert call.model(response_done("v")).to_model == [sent]


def test_6_a_request_made_again_under_another_name() -> None:
    call = WrongCall.ready()
    call.send(CreateResponse(event_id="e"))
    call.model(created("v"))
    call.model(server_error("busy", "e", "conversation_already_has_active_response"))
    call.change(lambda right: [*right[:-1], to_model(CreateResponse(event_id="f"))])
    with breaks(6):
        call.model(response_done("v"))


def refused_twice(kind: type[C]) -> C:
    """Two requests that seemed to be answered were refused because of other responses."""
    call = kind.ready()
    for name, words in (("v", "a"), ("w", "b")):
        call.send(CreateResponse({"instructions": words}, words))
        call.model(created(name))
        if name == "v":
            call.model(response_done(name))
    for words in "ab":
        call.model(server_error("busy", words, "conversation_already_has_active_response"))
    return call


def test_6_several_requests_that_only_seemed_to_be_answered_are_made_again_in_order() -> None:
    call = refused_twice(Call)
    for name, words in (("w", "a"), ("x", "b")):
        (again,) = call.model(response_done(name)).to_model
        assert isinstance(again, CreateResponse)
        assert again.event_id == words
        call.model(created("x"))


def test_6_requests_made_again_out_of_order() -> None:
    call = refused_twice(WrongCall)
    second = CreateResponse({"instructions": "b"}, "b")
    call.change(lambda right: [*right[:-1], to_model(second)])
    with breaks(6):
        call.model(response_done("w"))


def test_6_messages_whose_requests_are_all_made_again_are_answered_together() -> None:
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


def test_6_a_request_whose_answer_began_unseen_may_be_refused_all_the_same() -> None:
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
    """The server could not answer a turn, and from then on is not to answer any by itself."""
    call = kind.talking()
    call.model(COMMITTED)
    heard = {**SESSION["audio"]["input"], "turn_detection": {"create_response": False}}
    audio = {**SESSION["audio"], "input": heard}
    call.model(type="session.updated", session={**SESSION, "audio": audio})
    call.model(COMMITTED)
    return call


def test_6_a_turn_that_wants_its_answer_still_does_when_the_server_answers_no_more() -> None:
    assert len(unanswered_turn(Call).model(response_done()).to_model) == 1


def test_6_a_turn_that_is_not_answered() -> None:
    call = unanswered_turn(WrongCall)
    call.leave_out(CreateResponse)
    with breaks(6):
        call.model(response_done())


def test_6_an_end_that_is_told_twice_lets_nobody_ask_for_what_the_server_answers() -> None:
    call = Call.talking()
    call.model(response_done())
    call.send(CreateResponse())
    call.model(COMMITTED)
    call.model(response_done())
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).told(CallEnded)[0].unanswered_requests == 1


def test_6_a_response_that_has_begun_unseen_is_cancelled() -> None:
    call = Call.ready()
    added: dict[str, Any] = {"id": "i", "type": "message", "role": "assistant", "content": []}
    call.model(type="response.output_item.added", response_id="r", item=added)
    (cancel,) = call.send(Interrupt()).to_model
    assert isinstance(cancel, CancelResponse)
    assert cancel.response_id == "r"


def test_6_a_request_outside_the_conversation_runs_beside_the_others() -> None:
    call = Call.talking()
    event = CreateResponse({"conversation": "none"}, "e")
    assert call.send(event).to_model == [event]
    call.model(created("o", conversation=None))
    call.model(response_done("o", conversation=None))
    call.send(event)
    call.model(server_error("no", "e", "invalid_value"))
    call.send(HangUp())


def test_6_a_request_outside_the_conversation_that_waits() -> None:
    call = WrongCall.talking()
    call.leave_out(CreateResponse)
    with breaks(6):
        call.send(CreateResponse({"conversation": "none"}))


def test_6_several_outputs_cause_one_response() -> None:
    call = Call.talking()
    for each in "fg":
        call.model(function_call(each, item=each))
        call.send(SendFunctionOutput(each, "{}"))
    assert len(call.model(response_done()).to_model) == 1


def test_6_a_response_for_each_output() -> None:
    call = WrongCall.talking()
    for each in "fg":
        call.model(function_call(each, item=each))
        call.send(SendFunctionOutput(each, "{}"))
    call.change(lambda right: [*right, right[-1]])
    with breaks(6):
        call.model(response_done())


def test_6_a_response_interrupted_before_it_began_that_is_not_cancelled() -> None:
    call = WrongCall.ready()
    call.send(CreateResponse())
    call.send(Interrupt())
    call.leave_out(CancelResponse)
    with breaks(6):
        call.model(created())


def test_6_a_response_cancelled_before_its_begin_is_told_is_not_cancelled_again() -> None:
    call = Call.ready()
    call.model(delta(800))
    call.send(CreateResponse())
    call.send(Interrupt())
    assert call.model(created()).to_model == []


@pytest.mark.parametrize("cause", [Interrupt(cancel=False), "caller"])
def test_6_a_response_interrupted_otherwise_before_it_began_need_not_be_cancelled(
    cause: Any,
) -> None:
    call = WrongCall.ready()
    call.send(CreateResponse())
    if isinstance(cause, Interrupt):
        call.send(cause)
    else:
        call.model(speech_started())
    call.leave_out(CancelResponse)
    call.model(created())


def test_6_unanswered_requests_that_are_not_counted() -> None:
    call = WrongCall.ready()
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
def test_6_nothing_is_held_against_a_bridge_whose_server_leaves_open_what_it_means(
    odd: Any,
) -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.send(SendMessage("a"))
    call.model(odd)
    call.model(created())
    call.model(response_done())
    call.phone(stop())


def test_6_a_request_need_not_wait_for_one_that_only_seems_to_be_wanted() -> None:
    call = Call.ready()
    for event in (created(), response_done(), created()):
        call.model(event)
    call.model(COMMITTED)
    call.model(response_done("never heard of"))
    assert len(call.send(CreateResponse({"instructions": "x"})).to_model) == 1


def test_6_of_requests_that_say_the_same_the_oldest_is_the_one_that_was_made() -> None:
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


def test_6_an_error_about_something_else_changes_nothing() -> None:
    call = Call.ready()
    call.send(CreateResponse(event_id="e"))
    call.send(SendMessage("a"))
    call.model(server_error("no", "x", "invalid_value"))
    call.model(created())
    call.model(server_error("no", "e", "invalid_value"))
    assert len(call.model(response_done()).to_model) == 1


# 7: functions.


def requested(kind: type[C], *samples: int) -> C:
    call = kind.talking(*samples)
    call.model(function_call())
    return call


OUTPUT = CreateItem({"type": "function_call_output", "call_id": "f", "output": "{}"})


def test_7_an_output_given_twice() -> None:
    call = requested(WrongCall)
    call.change(lambda right: right * 2)
    with pytest.raises(InvariantBroken):
        call.send(SendFunctionOutput("f", "{}", respond=False))
    call = requested(WrongCall)
    call.send(SendFunctionOutput("f", "{}", respond=False))
    call.wrong.refuses = False
    with breaks(7):
        call.send(SendFunctionOutput("unknown", "{}"))


@pytest.mark.parametrize("command", [SendFunctionOutput("x", ""), SendFunctionOutput("f", "")])
def test_7_an_answer_taken_that_should_be_refused(command: SendFunctionOutput) -> None:
    call = requested(WrongCall)
    call.send(SendFunctionOutput("f", "{}"))
    call.wrong.refuses = False
    with breaks(7):
        call.send(command)


def test_7_an_approval_answered_twice() -> None:
    call = WrongCall.ready()
    call.wrong.refuses = False
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


def test_7_a_call_that_is_incomplete_but_requested() -> None:
    call = WrongCall.talking()
    call.add(Notify(FunctionCallRequested("f", "look_up", "{}", "r", "i")))
    with breaks(7):
        call.model(function_call(status="incomplete"))


def test_7_a_call_requested_twice() -> None:
    call = WrongCall.talking()
    call.change(lambda right: right * 2)
    with breaks(7):
        call.model(function_call())


def test_7_a_call_that_nobody_is_told_of() -> None:
    call = WrongCall.talking()
    call.leave_out(FunctionCallRequested)
    with breaks(7):
        call.model(function_call())


def test_7_an_output_for_a_call_that_was_not_requested() -> None:
    call = WrongCall.ready()
    call.wrong.refuses = False
    with breaks(7):
        call.send(SendFunctionOutput("unknown", "{}"))


def test_7_an_output_that_does_not_wait_until_all_was_heard() -> None:
    call = requested(WrongCall, 800)
    call.add(to_model(OUTPUT))
    with breaks(7):
        call.send(SendFunctionOutput("f", "{}", after_playback=True))


def said_and_done(kind: type[C]) -> C:
    call = requested(kind, 800)
    call.model(response_done())
    call.send(SendFunctionOutput("f", "{}", after_playback=True))
    call.hear(99)
    return call


def test_7_an_output_that_waits_until_all_was_heard() -> None:
    call = said_and_done(Call)
    done = call.hear(1)
    assert isinstance(done.to_model[0], CreateItem)
    assert isinstance(done.to_model[1], CreateResponse)


def test_7_an_output_that_waits_although_all_was_heard() -> None:
    call = said_and_done(WrongCall)
    call.change(lambda right: [each for each in right if not isinstance(each, Send)])
    with breaks(7):
        call.hear(1)


def test_7_an_output_in_a_new_history_answers_its_call() -> None:
    call = requested(Call)
    call.send(ResetHistory([FunctionCall("c", "f", "look_up"), FunctionOutput("o", "f", "{}")]))
    with pytest.raises(LocalProtocolError):
        call.send(SendFunctionOutput("f", "{}"))


# 9: limits.


def test_9_more_requests_than_there_is_room_for() -> None:
    call = WrongCall.talking()
    call.wrong.refuses = False
    for _ in range(MAX_REQUESTS + 1):
        call.send(CreateResponse())
    with breaks(9):
        call.send(CreateResponse())
