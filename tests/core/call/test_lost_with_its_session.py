"""What would be lost with a session of the model, and is not."""

from typing import Any

import pytest

from calling import (
    SESSION,
    Call,
    ObservedCall,
    StepResult,
    audio,
    audio_done,
    created,
    delta,
    function_call,
    item_added,
    item_complete,
    item_done,
    media,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
    start,
)
from twilio_realtime_core import (
    CallConfig,
    Fault,
    FaultKind,
    HangUp,
    Peer,
    ReconnectPolicy,
    SessionLossPolicy,
)
from twilio_realtime_core.commands import (
    Interrupt,
    NotifyAfterPlayback,
    Play,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
)
from twilio_realtime_core.notifications import (
    AllHeard,
    CallEnded,
    ClipFinished,
    EndReason,
    ModelSilent,
    SessionLost,
    SessionRestored,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    CommitAudio,
    CreateItem,
    CreateResponse,
    UpdateSession,
)
from twilio_realtime_core.turns.unanswered_turns import MAX_UNANSWERED_ITEMS
from twilio_realtime_core.values.items import ConversationItem, Message, Role, TextPart

WITHOUT_DETECTION = {
    **SESSION,
    "audio": {
        **SESSION["audio"],
        "input": {**SESSION["audio"]["input"], "turn_detection": None},
    },
}
COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "u", "previous_item_id": None}
TRANSCRIPTION = "conversation.item.input_audio_transcription"
ASKING = SessionLossPolicy(ask_timeout_ms=60_000)


def said_item(item_id: str = "u") -> dict[str, Any]:
    content = [{"type": "input_audio", "transcript": None}]
    return item_added(item_id, None, role="user", status="completed", content=content)


def written_item(item_id: str, text: str = "hello", previous: str | None = None) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return item_added(item_id, previous, role="user", status="completed", content=content)


def say(call: Call) -> None:
    """The caller says something that is committed, of which the words are not known yet."""
    call.model(speech_started())
    for number in range(3):
        call.phone(media(audio(160, number)))
    call.model(speech_stopped())
    call.model(COMMITTED)
    call.model(said_item())


def next_session(call: Call, session: dict[str, Any] | None = None) -> StepResult:
    """Lose the session; return the step in which the next one is ready."""
    call.closed(call.link, 1006)
    return ready_again(call, session)


def ready_again(call: Call, session: dict[str, Any] | None = None) -> StepResult:
    call.wait(5000)
    call.opened(call.link)
    return call.model(type="session.updated", session=session or SESSION)


def replayed(done: StepResult) -> list[AppendAudio]:
    return [each for each in done.to_model if isinstance(each, AppendAudio)]


def requests(done: StepResult) -> list[CreateResponse]:
    return [each for each in done.to_model if isinstance(each, CreateResponse)]


def items(done: StepResult) -> list[dict[str, Any]]:
    return [dict(each.item) for each in done.to_model if isinstance(each, CreateItem)]


QUESTION = [AppendAudio(audio(160, number)) for number in range(3)]

# What the caller has said.


def test_a_question_is_said_again_until_the_answer_is_heard() -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    assert replayed(next_session(call)) == QUESTION
    assert not requests(call.wait(100))  # the next session answers the turn that it hears
    call.model(speech_started())
    call.model(speech_stopped())
    call.model({**COMMITTED, "item_id": "v"})
    assert not requests(call.model(created("s")))
    assert not requests(call.model(response_done("s")))


def test_a_question_is_said_again_though_some_words_of_it_are_known() -> None:
    call = Call.ready()
    say(call)
    call.model(type=f"{TRANSCRIPTION}.delta", item_id="u", content_index=0, delta="Please cancel")
    done = next_session(call)
    assert replayed(done) == QUESTION
    assert items(done) == []


def test_a_question_whose_words_are_known_is_answered_by_them() -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    call.model(type=f"{TRANSCRIPTION}.delta", item_id="u", content_index=0, delta="Please cancel")
    call.model(
        type=f"{TRANSCRIPTION}.completed", item_id="u", content_index=0, transcript="Please cancel."
    )
    done = next_session(call)
    assert replayed(done) == []
    assert [each["content"][0]["text"] for each in items(done)] == ["Please cancel."]
    assert len(requests(done)) == 1


@pytest.mark.parametrize("sign", [delta(800), item_done(), response_done()])
def test_a_question_is_not_said_again_once_the_answer_has_begun(sign: dict[str, Any]) -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    call.model(sign)
    assert replayed(next_session(call)) == []


def test_an_answer_that_has_not_begun_loses_no_later_turn() -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    call.model(speech_started())
    call.phone(media(audio(160, 9)))
    assert replayed(next_session(call)) == [*QUESTION, AppendAudio(audio(160, 9))]


def test_an_answer_that_has_begun_leaves_a_later_turn() -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    call.model(delta(800))
    call.model(speech_started())
    call.phone(media(audio(160, 9)))
    assert replayed(next_session(call)) == [AppendAudio(audio(160, 9))]


@pytest.mark.parametrize("is_done", [False, True])
def test_a_question_that_goes_on_is_said_again_from_its_beginning(*, is_done: bool) -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    call.model(speech_started())
    if is_done:
        call.model(response_done(status="cancelled"))
    call.phone(media(audio(160, 9)))
    call.model(speech_stopped())
    call.model({**COMMITTED, "item_id": "v"})
    call.model(created("s"))
    assert replayed(next_session(call)) == [*QUESTION, AppendAudio(audio(160, 9))]


def test_turns_without_an_answer_take_limited_memory() -> None:
    call = Call.ready()
    for number in range(50):
        call.model(speech_started())
        call.model(speech_stopped())
        call.model({**COMMITTED, "item_id": f"u{number}"})
        call.model(said_item(f"u{number}"))
        call.model(created(f"r{number}"))
    (restored,) = next_session(call).notified(SessionRestored)
    assert len(restored.lost) == 50 - MAX_UNANSWERED_ITEMS


def test_a_late_start_of_an_earlier_response_answers_no_question() -> None:
    call = Call.ready()
    call.model(delta(800, "q", "h"))
    say(call)
    call.model(created())
    call.model(created("q"))
    assert replayed(next_session(call)) == QUESTION


def test_a_question_whose_answer_the_application_stops_is_not_said_again() -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    call.send(Interrupt())
    assert replayed(next_session(call)) == []


def test_a_question_is_said_again_though_a_request_before_it_was_cancelled() -> None:
    """The response that is created behind the commit may be the one to the turn."""
    call = Call.ready()
    call.send(CreateResponse())
    call.send(SendEvent(CancelResponse()))
    call.model(server_error("no active response", None, "response_cancel_not_active"))
    say(call)
    call.model(created())
    assert replayed(next_session(call)) == QUESTION


@pytest.mark.parametrize("is_other_stream", [False, True])
def test_a_turn_that_is_not_committed_is_said_again_whole(*, is_other_stream: bool) -> None:
    call = Call.ready()
    say(call)
    call.model(created())
    call.send(Interrupt())  # so that nobody waits for the answer to what was said
    call.model(speech_started())
    frames = [audio(800, number) for number in range(15)]
    for frame in frames:
        call.phone(media(frame))
    if is_other_stream:
        call.phone(start("MZ2"))
    else:
        call.model(speech_stopped())
        call.wait(3_100)  # no commit is to be expected
    assert [each.audio for each in replayed(next_session(call))] == frames


def test_without_turn_detection_a_committed_question_is_said_again() -> None:
    call = Call.ready(CallConfig(), WITHOUT_DETECTION)
    call.phone(media(audio(160, 1)))
    call.send(CommitAudio())
    call.send(CreateResponse({"instructions": "Be short."}))
    call.model(COMMITTED)
    call.model(said_item())
    call.model(created())
    done = next_session(call, WITHOUT_DETECTION)
    kinds = [type(each) for each in done.to_model]
    assert kinds == [AppendAudio, CommitAudio, CreateResponse]
    assert requests(done)[0].response == {"instructions": "Be short."}


def test_without_turn_detection_a_question_is_over_once_the_answer_has_begun() -> None:
    call = Call.ready(CallConfig(), WITHOUT_DETECTION)
    call.phone(media(audio(160, 1)))
    call.send(CommitAudio())
    call.send(CreateResponse())
    for event in (COMMITTED, said_item(), created(), delta(800)):
        call.model(event)
    assert replayed(next_session(call, WITHOUT_DETECTION)) == []


def without_responses() -> dict[str, Any]:
    """A session in which the application requests the response to each turn."""
    detection = {"type": "server_vad", "create_response": False}
    direction = {**SESSION["audio"]["input"], "turn_detection": detection}
    return {**SESSION, "audio": {**SESSION["audio"], "input": direction}}


@pytest.mark.parametrize("asks", ["before", "after", "later"])
def test_a_question_that_the_application_answers_is_said_again(asks: str) -> None:
    call = Call.ready(session=without_responses())
    call.model(speech_started())
    if asks == "before":
        call.send(CreateResponse())
    say(call)
    if asks == "after":
        call.send(CreateResponse())
    said_again = next_session(call, without_responses())
    assert replayed(said_again) == QUESTION
    assert not requests(said_again)
    if asks == "later":
        call.send(CreateResponse())
    for event in (speech_started(), speech_stopped()):
        call.model(event)
    assert len(requests(call.model({**COMMITTED, "item_id": "v"}))) == 1


def test_the_next_session_is_asked_for_no_answer_that_the_application_has_not_requested() -> None:
    call = Call.ready(session=without_responses())
    say(call)
    transcript: dict[str, Any] = {"item_id": "u", "content_index": 0, "transcript": "hello"}
    call.model(type=f"{TRANSCRIPTION}.completed", **transcript)
    asked = next_session(call, without_responses())
    assert not replayed(asked)
    assert not requests(asked)


def test_an_answer_that_begins_leaves_a_later_question_that_the_application_answers() -> None:
    call = Call.ready(session=without_responses())
    say(call)
    call.send(CreateResponse())
    call.model(created("r1"))
    call.model(speech_started())
    for number in range(15):
        call.phone(media(audio(800, number)))
    call.model(speech_stopped())
    call.model({**COMMITTED, "item_id": "v"})
    call.model(said_item("v"))
    call.model(delta(8_000, "r1"))
    later = [AppendAudio(audio(800, number)) for number in range(15)]
    assert replayed(next_session(call, without_responses()))[-15:] == later


def test_a_question_that_the_server_has_not_answered_is_said_again() -> None:
    call = Call.ready()
    say(call)
    assert len(requests(call.wait(3_500))) == 1
    assert replayed(next_session(call)) == QUESTION


# What the application has sent.


def test_what_the_caller_says_is_no_echo_of_a_message() -> None:
    call = Call.ready()
    call.send(SendMessage("My number is 7.", respond=False))
    call.model(said_item())
    texts = [each["content"][0]["text"] for each in items(next_session(call))]
    assert texts == ["My number is 7."]


def test_an_update_that_is_refused_meanwhile_does_not_end_the_call() -> None:
    call = Call.ready()
    call.closed(call.link, 1006)
    call.send(UpdateSession({"instructions": "Be rude."}, event_id="mine"))
    call.wait(5000)
    assert "Be rude." in call.opened(call.link).to_model[0].encode()
    call.model(server_error("no", "configure-session"))
    call.wait(5000)
    assert "Be rude." not in call.opened(call.link).to_model[0].encode()
    done = call.model(type="session.updated", session=SESSION)
    assert done.notified(SessionRestored)


def test_what_is_queued_names_items_as_the_next_session_knows_them() -> None:
    long_id = "u" * 40
    call = Call.ready()
    call.model(written_item(long_id))
    call.model(written_item("known", previous=long_id))
    call.closed(call.link, 1006)
    item = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "a"}]}
    for previous in ("root", "known", long_id, "unknown"):
        call.send(SendEvent(CreateItem(item, previous)))
    done = ready_again(call)
    sent = [each for each in done.to_model if isinstance(each, CreateItem) and each.item == item]
    assert [each.previous_item_id for each in sent] == ["root", "known", "restored-1", None]


# What the model was about to do.

MCP_CALL = {"id": "m", "type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}"}
FUNCTION_CALL = {"id": "f", "type": "function_call", "call_id": "c", "name": "n", "arguments": ""}


def add_output(call: Call, item: dict[str, Any]) -> None:
    call.model(type="response.output_item.added", response_id="r", item=item)
    call.model(type="conversation.item.added", item=item, previous_item_id=None)


@pytest.mark.parametrize("item", [MCP_CALL, FUNCTION_CALL])
def test_a_call_behind_spoken_words_is_made_anew(item: dict[str, Any]) -> None:
    call = ObservedCall.ready()
    call.model(created())
    for event in (item_added("i"), delta(800), audio_done(), item_done(), item_complete("i")):
        call.model(event)
    add_output(call, item)
    call.play(500)
    assert len(requests(next_session(call))) == 1


def test_an_output_that_crosses_an_answer_is_answered_in_the_next_session() -> None:
    call = Call.ready()
    call.model(created("r0"))
    call.model(function_call("f", "r0"))
    call.model(response_done("r0"))
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(COMMITTED)
    call.send(SendFunctionOutput("f", "42"))
    call.model(created("r2"))
    call.model(delta(800, "r2", "i2"))
    following = next_session(call)
    assert [each["type"] for each in items(following)][-1:] == ["function_call_output"]
    assert len(requests(following)) == 1


def test_the_rest_of_a_sentence_is_not_asked_for() -> None:
    call = ObservedCall.ready()
    for event in (created(), item_added("i"), delta(800)):
        call.model(event)
    call.play(500)
    assert requests(next_session(call)) == []


def test_an_mcp_call_at_work_outlives_its_response() -> None:
    call = Call.ready()
    call.model(created())
    add_output(call, MCP_CALL)
    call.model(type="response.mcp_call.in_progress", output_index=0, item_id="m")
    call.model(response_done())
    assert len(requests(next_session(call))) == 1
    assert requests(next_session(call)) != []  # the request has no answer yet
    call.model(created("s"))
    call.model(delta(800, "s", "k"))
    assert requests(next_session(call)) == []


# What is restored.


def test_a_large_item_does_not_take_those_before_it_with_it() -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 300_000}
    call = Call.ready()
    call.model(written_item("a"))
    call.model(item_added("b", "a", role="user", status="completed", content=[picture]))
    call.model(written_item("c", previous="b"))
    (restored,) = next_session(call).notified(SessionRestored)
    assert (restored.items, restored.lost) == (("a", "c"), ("b",))


@pytest.mark.parametrize("made", [5, None, "\ud800", ZeroDivisionError])
def test_a_summary_that_fails_leaves_the_oldest_items_out(made: Any) -> None:
    def summarize(left_out: tuple[ConversationItem, ...]) -> Any:
        if made is ZeroDivisionError:
            raise made
        return made

    resume = tuple(Message(str(n), Role.USER, (TextPart("hello"),)) for n in range(501))
    call = Call.connected(CallConfig(resume=resume, summarize_history=summarize))
    done = call.model(type="session.updated", session=SESSION)
    (restored,) = done.notified(SessionRestored)
    assert (len(restored.items), restored.lost) == (500, ("0",))
    (fault,) = [each for each in done.events if isinstance(each, Fault)]
    assert fault.kind is FaultKind.APPLICATION
    assert fault.message.startswith("summarize_history has failed")


class Template(str):
    """Text of a library that renders templates."""

    __slots__ = ()


def test_a_summary_may_be_of_a_subclass_of_text() -> None:
    resume = tuple(Message(str(n), Role.USER, (TextPart("hello"),)) for n in range(501))
    config = CallConfig(resume=resume, summarize_history=lambda _: Template("one more"))
    done = Call.connected(config).model(type="session.updated", session=SESSION)
    assert '"text":"one more"' in done.to_model[0].encode()


def test_each_summary_has_an_id_of_its_own() -> None:
    resume = tuple(Message(str(n), Role.USER, (TextPart("hello"),)) for n in range(501))
    config = CallConfig(resume=resume, summarize_history=lambda left: f"{len(left)} left out")
    call = Call.connected(config)
    done = call.model(type="session.updated", session=SESSION)
    assert items(done)[0]["id"] == "summary"
    done = next_session(call)
    assert items(done)[0]["id"] == "summary-2"
    assert done.notified(SessionRestored)[0].lost == ("summary",)


def test_a_first_session_that_is_refused_ends_a_resumed_call() -> None:
    call = Call.connected(CallConfig(resume=(Message("m", Role.USER, (TextPart("hi"),)),)))
    done = call.model(server_error("no such voice", "configure-session"))
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]
    assert done.notified(SessionLost) == []


# No session can be had.


def test_an_ending_of_the_application_waits_for_no_model() -> None:
    call = Call.ready(CallConfig(reconnect=None, on_session_lost=ASKING))
    call.send(CreateResponse())
    call.closed(call.link, 1006)
    call.send(Play(bytes(8000)))
    call.send(NotifyAfterPlayback("said"))
    call.send(HangUp(after_playback=True))
    done = call.play(1000)
    assert AllHeard("said") in done.events
    assert done.closes == [Peer.TWILIO]
    call.closed(Peer.TWILIO, 1000)


@pytest.mark.parametrize(
    ("code", "reason"), [(1006, EndReason.REALTIME_LOST), (1008, EndReason.REALTIME_CLOSED)]
)
def test_a_model_that_is_lost_is_not_silent(code: int, reason: EndReason) -> None:
    reconnect = None if code == 1006 else ReconnectPolicy()
    call = Call.ready(CallConfig(reconnect=reconnect, on_session_lost=ASKING))
    call.send(CreateResponse())
    call.closed(call.link, code)
    assert call.wait(59_999).notified(ModelSilent) == []
    done = call.wait(1)
    assert done.closes == [Peer.TWILIO]
    (ended,) = call.closed(Peer.TWILIO, 1000).notified(CallEnded)
    assert (ended.reason, ended.unanswered_requests) == (reason, 1)


def test_an_ending_of_the_application_may_outlast_the_question() -> None:
    policy = SessionLossPolicy(ask_timeout_ms=1000, goodbye_clip=bytes(800))
    call = Call.ready(CallConfig(reconnect=None, on_session_lost=policy))
    call.closed(call.link, 1006)
    call.send(Play(bytes(24_000), name="mine"))
    call.send(HangUp(after_playback=True))
    assert call.play(2000).closes == []
    done = call.play(1000)
    assert done.closes == [Peer.TWILIO]
    assert [each.name for each in done.notified(ClipFinished)] == ["mine"]
