"""A call that outlives its model session."""

from collections.abc import Callable
from typing import Any

import pytest

from calling import (
    SESSION,
    Call,
    ObservedCall,
    StepResult,
    audio,
    connected,
    created,
    delta,
    function_call,
    item_added,
    item_done,
    media,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
    start,
)
from twilio_realtime.sim.reference import CheckedBridge
from twilio_realtime_core import (
    Action,
    Bridge,
    CallConfig,
    FaultKind,
    HangUp,
    InterruptionPolicy,
    LocalProtocolError,
    Peer,
    RealtimeLink,
    ReconnectPolicy,
    Refusal,
    SessionLossPolicy,
)
from twilio_realtime_core.commands import (
    AnswerApproval,
    Interrupt,
    Play,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
)
from twilio_realtime_core.machine.actions import Send
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallEndsSoon,
    CallerAudioDropped,
    EndReason,
    Interrupted,
    ItemAdded,
    ItemDeleted,
    ItemUpdated,
    ResponseFinished,
    SessionLost,
    SessionRestored,
    SessionRotated,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClearInputAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    TruncateItem,
    UpdateSession,
)
from twilio_realtime_core.protocols.twilio import Clear
from twilio_realtime_core.values.items import (
    AudioPart,
    ConversationItem,
    FunctionCall,
    Message,
    Role,
    TextPart,
)


def user_item(item_id: str, words: str) -> list[dict[str, Any]]:
    content = [{"type": "input_audio", "transcript": None}]
    item = {"id": item_id, "type": "message", "role": "user", "content": content}
    return [
        {"type": "input_audio_buffer.committed", "item_id": item_id},
        {"type": "conversation.item.added", "item": item},
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": item_id,
            "content_index": 0,
            "transcript": words,
        },
    ]


def agent_item(item_id: str = "i") -> dict[str, Any]:
    item: dict[str, Any] = {"id": item_id, "type": "message", "role": "assistant", "content": []}
    return {"type": "conversation.item.added", "item": item}


def words(text: str, item_id: str = "i") -> dict[str, Any]:
    return {
        "type": "response.output_audio_transcript.delta",
        "response_id": "r",
        "item_id": item_id,
        "content_index": 0,
        "delta": text,
    }


def say(call: Call, text: str, samples: int) -> None:
    """The agent says these words, in so much audio, all of which is received."""
    call.model(created())
    call.model(agent_item())
    call.model(words(text))
    call.model(delta(samples))
    call.model(item_done())
    call.model(response_done())


def requests(*steps: Any) -> list[CreateResponse]:
    return [each for step in steps for each in step.to_model if isinstance(each, CreateResponse)]


def lose(call: Call, code: int = 1006) -> list[SessionLost]:
    return call.closed(call.link, code).notified(SessionLost)


def restore(call: Call) -> Any:
    """Have the next session, and return the step in which it is ready."""
    call.wait(5000)
    return call.opened_and_configured()


def created_items(done: Any) -> list[tuple[str, str]]:
    """Id and text of the items that are created."""
    items = [each.item for each in done.to_model if isinstance(each, CreateItem)]
    return [
        (each.get("id", ""), "".join(part["text"] for part in each.get("content", ())))
        for each in items
    ]


def test_a_lost_session_is_replaced_by_one_like_it() -> None:
    call = Call.ready()
    (lost,) = lose(call)
    assert (lost.cause, lost.attempt) == (EndReason.REALTIME_LOST, 1)
    assert 125 <= (lost.retry_in_ms or 0) <= 250
    done = call.wait(250)
    assert call.link == RealtimeLink(2)
    assert len(done.urls) == 1
    (update,) = call.opened(call.link).to_model
    assert isinstance(update, UpdateSession)
    call.model(type="session.created", session={})
    done = call.model(type="session.updated", session=SESSION)
    assert len(done.notified(SessionRestored)) == 1
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


def test_what_was_said_is_restored_in_order() -> None:
    call = Call.ready()
    for event in user_item("u", "hello"):
        call.model(event)
    say(call, "good morning", 8000)
    call.play(2000)
    lose(call)
    done = restore(call)
    assert created_items(done) == [("u", "hello"), ("i", "good morning")]
    (restored,) = done.notified(SessionRestored)
    assert (restored.items, restored.lost) == (("u", "i"), ())


def test_audio_of_the_caller_is_kept_meanwhile() -> None:
    call = Call.ready()
    lose(call)
    call.phone(media(audio(160, 7)))
    done = restore(call)
    assert AppendAudio(audio(160, 7)) in done.to_model


def test_a_turn_that_was_cut_is_completed() -> None:
    call = Call.ready()
    call.phone(media(audio(160, 1)))
    call.model(type="input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    call.phone(media(audio(160, 2)))
    lose(call)
    call.phone(media(audio(160, 3)))
    done = restore(call)
    assert [each for each in done.to_model if isinstance(each, AppendAudio)] == [
        AppendAudio(audio(160, value)) for value in (1, 2, 3)
    ]


def test_a_turn_that_the_server_never_committed_is_kept() -> None:
    """The server still holds its audio, and would commit it with what the caller says next."""
    call = Call.ready()
    call.model(speech_started())
    said = [audio(1600, value) for value in range(12)]  # longer than what is kept between turns
    for each in said:
        call.phone(media(each))
    call.model(speech_stopped())
    assert FaultKind.TIMED_OUT in call.wait(3000).faults
    lose(call)
    done = restore(call)
    assert [each for each in done.to_model if isinstance(each, AppendAudio)] == [
        AppendAudio(each) for each in said
    ]


def test_a_session_that_spoke_before_it_was_configured_is_restored() -> None:
    call = Call()
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start())
    call.opened(Peer.REALTIME)
    call.model(created())
    call.model(delta(8000))
    call.play(200)
    lose(call)
    assert len(restore(call).notified(SessionRestored)) == 1
    assert not any(isinstance(each, TruncateItem) for each in call.model(speech_started()).to_model)


def test_a_request_without_an_answer_is_made_again() -> None:
    call = Call.ready()
    (request,) = call.send(CreateResponse()).to_model
    assert lose(call)
    assert restore(call).to_model[-1:] == [request]


def test_a_response_that_had_not_started_is_asked_for_again() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.model(created())
    finished = call.closed(Peer.REALTIME, 1006).notified(ResponseFinished)
    assert [each.status for each in finished] == ["incomplete"]
    assert any(isinstance(each, CreateResponse) for each in restore(call).to_model)


def test_a_response_that_was_spoken_is_not_asked_for_again() -> None:
    call = Call.talking(8000)
    call.model(agent_item())
    call.model(words("good morning to you"))
    lose(call)
    done = restore(call)
    assert not any(isinstance(each, CreateResponse) for each in done.to_model)
    assert created_items(done)[0][0] == "i"


def test_an_item_that_is_retrieved_as_restored_keeps_the_words_that_were_heard() -> None:
    call = Call.talking(80_000)
    call.model(agent_item())
    call.model(words("one two three four five six seven eight nine ten"))
    call.play(3000)
    call.send(Interrupt())
    lose(call)
    ((item_id, heard),) = created_items(restore(call))
    assert "one" in heard
    assert "ten" not in heard
    body = {"id": item_id, "type": "message", "role": "assistant", "status": "completed"}
    content = [{"type": "output_text", "text": heard}]
    call.model(type="conversation.item.retrieved", item={**body, "content": content})
    lose(call)
    assert created_items(restore(call)) == [(item_id, heard)]


def test_sound_that_twilio_holds_can_still_be_interrupted() -> None:
    call = Call.talking(80_000)
    call.model(agent_item())
    call.model(words("one two three four five six seven eight nine ten"))
    call.model(item_done())
    call.model(response_done())
    lose(call)
    call.play(1000)
    call.opened_and_configured()
    call.play(1000)
    done = call.model(type="input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    kinds = [type(each) for each in done.to_model]
    assert kinds == [DeleteItem, CreateItem]
    ((item_id, text),) = created_items(done)
    assert item_id == "i"
    assert "one two three four five six seven eight nine ten".startswith(text)
    assert "ten" not in text


def spoken_after_a_message() -> tuple[Call, ConversationItem, ConversationItem]:
    """A call whose session was restored with a message and with speech that still plays; and the
    two items."""
    call = Call.talking(80_000)
    call.send(SendMessage("hello", respond=False))
    content = [{"type": "input_text", "text": "hello"}]
    (message,) = call.model(item_added("m", role="user", content=content)).notified(ItemAdded)
    call.model(agent_item())
    said = "one two three four five six seven eight"
    call.model(words(said))
    call.model(item_done())
    body = {"id": "i", "type": "message", "role": "assistant", "status": "completed"}
    content = [{"type": "output_audio", "transcript": said}]
    done = call.model(type="conversation.item.done", item={**body, "content": content})
    (spoken,) = done.notified(ItemUpdated)
    call.model(response_done())
    lose(call)
    call.play(1000)
    call.opened_and_configured()
    call.play(1000)
    return call, message.item, spoken.item


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_corrected_item_is_not_placed_behind_one_that_is_deleted(*, is_reset: bool) -> None:
    call, _, spoken = spoken_after_a_message()
    call.send(ResetHistory((spoken,)) if is_reset else SendEvent(DeleteItem("m")))
    edits = call.send(Interrupt()).to_model
    assert [type(each) for each in edits] == [DeleteItem, CreateItem]
    assert getattr(edits[1], "previous_item_id", None) == "root"


def test_an_item_that_is_deleted_is_not_corrected() -> None:
    call, message, _ = spoken_after_a_message()
    call.send(ResetHistory((message,)))
    assert call.send(Interrupt()).to_model == []


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1015])
def test_every_passing_end_is_tried_again(code: int) -> None:
    assert lose(Call.ready(), code)


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 3000, 4000])
def test_a_final_end_is_not_tried_again(code: int) -> None:
    call = Call.ready()
    done = call.closed(Peer.REALTIME, code)
    assert done.notified(SessionLost) == []
    assert done.closes == [Peer.TWILIO]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_final_refusal_is_not_tried_again(status: int) -> None:
    call = Call.streaming()
    refusal = Refusal(status, None, None, "refused")
    done = call.record(call.bridge.refused(Peer.REALTIME, refusal, call.now))
    assert done.closes == [Peer.TWILIO]


def test_a_refusal_is_tried_again_when_the_server_says() -> None:
    call = Call.streaming()
    refusal = Refusal(429, 3000, "rate_limit_exceeded", "busy")
    done = call.record(call.bridge.refused(Peer.REALTIME, refusal, call.now))
    assert [each.retry_in_ms for each in done.notified(SessionLost)] == [3000]
    assert call.wait(2999).urls == []
    assert len(call.wait(1).urls) == 1


def test_after_the_last_attempt_the_call_ends() -> None:
    config = CallConfig(reconnect=ReconnectPolicy(max_attempts=2))
    call = Call.ready(config)
    for attempt in (1, 2):
        (lost,) = lose(call)
        assert lost.attempt == attempt
        call.wait(1000)
    done = call.closed(call.link, 1006)
    assert done.closes == [Peer.TWILIO]
    (ended,) = call.closed(Peer.TWILIO).notified(CallEnded)
    assert ended.reason is EndReason.REALTIME_UNREACHABLE


def test_a_call_without_a_model_ends_when_all_was_heard() -> None:
    call = Call.ready(CallConfig(reconnect=None))
    call.model(created())
    call.model(delta(8000))
    assert call.closed(Peer.REALTIME, 1006).closes == []
    assert call.play(999).closes == []
    assert call.play(3000).closes == [Peer.TWILIO]


def test_no_clip_for_waiting_is_played_once_the_waiting_is_over() -> None:
    """Both are due after a second."""
    config = CallConfig(reconnect=None, session_timeout_ms=1000, waiting_clip=bytes(1600))
    call = Call.connected(config)
    done = call.wait(1000)
    assert (done.audio_samples, done.closes) == ([], [Peer.REALTIME, Peer.TWILIO])


def test_a_new_id_stands_for_one_item_in_the_whole_call() -> None:
    call = Call.ready()
    renamed: list[str] = []
    for number in range(2):
        for event in user_item(f"odd.{number}", "hello"):
            call.model(event)
        lose(call)
        (restored,) = restore(call).notified(SessionRestored)
        renamed += restored.renamed.values()
    assert renamed == ["restored-1", "restored-2"]


def test_a_call_without_a_model_can_be_interrupted() -> None:
    call = Call.ready(CallConfig(reconnect=None))
    call.model(created())
    call.model(delta(8000))
    call.closed(Peer.REALTIME, 1006)
    call.play(500)
    done = call.send(Interrupt())
    assert (done.to_model, done.closes) == ([], [Peer.TWILIO])


def test_a_response_ends_with_its_session_though_the_call_ends_too() -> None:
    call = Call.ready(CallConfig(reconnect=None))
    call.model(created())
    lost = call.closed(Peer.REALTIME, 1006)
    assert [each.status for each in lost.notified(ResponseFinished)] == ["incomplete"]
    assert lost.closes == [Peer.TWILIO]


def test_what_is_held_and_a_goodbye_are_heard_without_a_model() -> None:
    policy = SessionLossPolicy(goodbye_clip=b"g" * 800)
    call = Call.ready(CallConfig(reconnect=None, on_session_lost=policy))
    call.model(created())
    call.model(delta(800))
    call.model(created("o", None))
    call.model(delta(800, "o", "x"))
    lost = call.closed(Peer.REALTIME, 1006)
    assert [each.response_id for each in lost.notified(ResponseFinished)] == ["r", "o"]
    assert (sum(lost.audio_samples), lost.closes) == (1600, [])
    assert call.play(299).closes == []
    assert call.play(3000).closes == [Peer.TWILIO]


def test_a_session_is_rotated_while_nobody_speaks() -> None:
    call = Call.ready(CallConfig(idle_timeout_ms=None))
    for event in user_item("u", "hello"):
        call.model(event)
    call.model(created())
    call.model(response_done())
    call.wait(3_480_000 - 1)
    done = call.wait(1)
    assert len(done.urls) == 1
    assert call.phone(media(audio(160))).actions
    call.opened(call.link)
    done = call.model(type="session.updated", session=SESSION)
    assert done.notified(SessionRotated)
    assert done.closes == [Peer.REALTIME]
    assert created_items(done) == [("u", "hello")]


def test_a_hang_up_while_no_session_is_there_ends_the_call() -> None:
    call = Call.ready()
    lose(call)
    assert call.send(HangUp()).closes == [Peer.TWILIO]
    assert call.closed(Peer.TWILIO).notified(CallEnded)


# The first session.


def refuse(
    call: Call, status: int = 503, code: str | None = None, wait_ms: int | None = None
) -> StepResult:
    refusal = Refusal(status, wait_ms, code, "refused")
    return call.record(call.bridge.refused(call.link, refusal, call.now))


def test_a_first_session_that_is_refused_is_tried_again() -> None:
    call = Call.streaming()
    call.phone(media(audio(160, 5)))
    (lost,) = refuse(call).notified(SessionLost)
    assert (lost.cause, lost.attempt) == (EndReason.REALTIME_UNREACHABLE, 1)
    call.wait(250)
    assert call.opened_and_configured().to_model == [AppendAudio(audio(160, 5))]


def test_the_caller_hears_a_clip_while_the_first_session_takes_long() -> None:
    call = Call.streaming(CallConfig(waiting_clip=bytes(800)))
    assert call.wait(999).to_twilio == []
    assert sum(call.wait(1).audio_samples) == 800
    call.opened_and_configured()
    call.model(created())
    assert any(isinstance(each, Clear) for each in call.model(delta(800)).to_twilio)


def test_no_clip_is_played_for_a_session_that_is_ready_soon() -> None:
    call = Call.ready(CallConfig(waiting_clip=bytes(800)))
    assert call.wait(5000).audio_samples == []


def test_a_waiting_clip_that_does_not_fit_is_left_out() -> None:
    call = Call.streaming(CallConfig(waiting_clip=bytes(800)))
    for _ in range(2):
        call.send(Play(bytes(240_000)))
    assert call.wait(1000).audio_samples == []


@pytest.mark.parametrize(
    "code",
    [
        "account_deactivated",
        "billing_hard_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "model_not_found",
    ],
)
def test_an_error_that_is_final_is_not_tried_again(code: str) -> None:
    assert refuse(Call.streaming(), 429, code).closes == [Peer.TWILIO]
    call = Call.ready()
    call.model(type="error", error={"type": "invalid_request_error", "code": code, "message": "no"})
    assert call.closed(Peer.REALTIME, 1000).closes == [Peer.TWILIO]


def test_a_server_that_says_to_wait_too_long_is_not_waited_for() -> None:
    assert refuse(Call.streaming(), 429, wait_ms=20_000).closes == [Peer.TWILIO]


def test_a_server_that_stays_silent_is_abandoned_for_another_attempt() -> None:
    call = Call.connected()
    done = call.wait(7500)
    assert done.closes == [Peer.REALTIME]
    (lost,) = done.notified(SessionLost)
    assert lost.cause is EndReason.SESSION_NOT_READY
    assert call.closed(Peer.REALTIME, 1006).actions == []
    assert len(call.wait(250).urls) == 1
    done = call.wait(15_000)
    assert done.closes == [RealtimeLink(2), Peer.TWILIO]


def test_late_events_of_an_abandoned_connection_are_ignored() -> None:
    call = Call.connected()
    call.wait(7500)
    reports: list[Callable[[], list[Action]]] = [
        lambda: call.bridge.receive_text(Peer.REALTIME, "{}", call.now),
        lambda: call.bridge.opened(Peer.REALTIME, call.now),
        lambda: call.bridge.closed(Peer.REALTIME, 1006, "", call.now),
        lambda: call.bridge.refused(Peer.REALTIME, Refusal(500, None, None, ""), call.now),
    ]
    for report in reports:
        assert report() == []


def test_a_connection_that_was_not_opened_is_unknown() -> None:
    call = Call.ready()
    for peer in (RealtimeLink(1), RealtimeLink(2)):
        with pytest.raises(LocalProtocolError, match=r"peer must be a Peer, .*, not RealtimeLi"):
            call.bridge.receive_text(peer, "{}", call.now)
    with pytest.raises(LocalProtocolError, match="cannot be refused"):
        refuse(Call.answered())


# What belongs to a session that is lost.


def test_a_committed_turn_with_words_is_answered_by_them() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.phone(media(audio(160, 1)))
    call.model({"type": "input_audio_buffer.speech_stopped"})
    for event in user_item("u", "hello"):
        call.model(event)
    lose(call)
    done = restore(call)
    assert created_items(done) == [("u", "hello")]
    assert not any(isinstance(each, AppendAudio) for each in done.to_model)
    assert any(isinstance(each, CreateResponse) for each in done.to_model)


def test_a_committed_turn_without_words_is_said_again() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.phone(media(audio(160, 1)))
    call.model({"type": "input_audio_buffer.speech_stopped"})
    for event in user_item("u", "hello")[:2]:
        call.model(event)
    lose(call)
    done = restore(call)
    assert created_items(done) == []
    assert AppendAudio(audio(160, 1)) in done.to_model
    assert done.notified(ItemDeleted) == [ItemDeleted("u")]
    assert done.notified(SessionRestored)[0].lost == ()
    assert not any(isinstance(each, CreateResponse) for each in done.to_model)


@pytest.mark.parametrize("stage", ["speaking", "paused", "committed"])
def test_requests_wait_while_the_next_session_hears_the_turn(stage: str) -> None:
    call = Call.ready()
    call.model(speech_started())
    call.phone(media(audio(160, 1)))
    if stage != "speaking":
        call.model({"type": "input_audio_buffer.speech_stopped"})
    if stage == "committed":
        call.model(user_item("u", "hello")[0])
    lose(call)
    call.send(SendMessage("hello"))
    assert not requests(restore(call))
    assert not requests(call.wait(2_999))
    done = call.wait(1)
    assert len(requests(done)) == 1
    assert done.faults == []


def test_the_next_session_answers_the_turn_that_it_hears_again() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.phone(media(audio(160, 1)))
    lose(call)
    call.send(SendMessage("hello"))
    restore(call)
    lose(call)  # once more, before it has reported anything
    restore(call)
    call.model({"type": "input_audio_buffer.speech_stopped"})  # the start was lost
    for event in user_item("v", "hello")[:2]:
        call.model(event)
    assert not requests(call.wait(2_999))
    call.model(created())
    assert not requests(call.model(response_done()), call.wait(5_000))


def test_requests_wait_for_a_turn_during_a_response_that_is_heard_again() -> None:
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(allowed=False)))
    say(call, "One moment.", 8_000)
    call.model(created("s"))
    call.model(delta(8_000, "s", "j"))
    call.model(speech_started())
    call.model({"type": "input_audio_buffer.speech_stopped"})
    call.model(user_item("u", "hello")[0])
    lose(call)
    call.send(CreateResponse())
    assert not requests(restore(call))
    call.model(created("t"))
    assert len(requests(call.model(response_done("t")))) == 1


WITHOUT_DETECTION: dict[str, Any] = {
    **SESSION,
    "audio": {**SESSION["audio"], "input": {**SESSION["audio"]["input"], "turn_detection": None}},
}


def without_detection() -> Call:
    return Call.ready(CallConfig(idle_timeout_ms=None), WITHOUT_DETECTION)


def speak(call: Call, frames: int) -> None:
    """The caller speaks so many frames of 100 ms."""
    for _ in range(frames):
        call.phone(media(audio(800), timestamp_ms=call.now // 1_000_000))
        call.wait(100)


def replayed(call: Call) -> list[Any]:
    """What of the input audio buffer the next session gets."""
    lose(call)
    call.wait(400)
    sent = call.opened_and_configured(WITHOUT_DETECTION).to_model
    return [each for each in sent if isinstance(each, AppendAudio | CommitAudio)]


@pytest.mark.parametrize(("frames", "kept"), [(50, 50), (120, 100)])
def test_without_turn_detection_all_audio_is_kept(frames: int, kept: int) -> None:
    call = without_detection()
    speak(call, frames)
    assert replayed(call) == [AppendAudio(audio(800))] * kept


def test_without_turn_detection_audio_is_not_kept_whose_words_are_known() -> None:
    call = without_detection()
    speak(call, 50)
    call.send(CommitAudio())
    speak(call, 20)
    for event in user_item("u", "hello"):
        call.model(event)
    assert replayed(call) == [AppendAudio(audio(800))] * 20


def test_without_turn_detection_a_commit_is_sent_again_until_its_answer_begins() -> None:
    call = without_detection()
    speak(call, 50)
    call.send(CommitAudio())
    speak(call, 20)
    call.model(user_item("u", "hello")[0])
    frame = AppendAudio(audio(800))
    assert replayed(call) == [*[frame] * 50, CommitAudio(), *[frame] * 20]


def test_turn_detection_that_is_switched_on_keeps_the_last_second() -> None:
    call = without_detection()
    speak(call, 50)
    call.model(type="session.updated", session=SESSION)
    assert replayed(call) == [AppendAudio(audio(800))] * 10


def test_a_commit_without_an_answer_is_sent_again() -> None:
    call = Call.ready()
    call.send(SendAudio(b"\x11" * 24_000, commit=True))
    call.send(CreateResponse())
    lose(call)
    sent: list[Any] = restore(call).to_model
    assert [type(each) for each in sent] == [AppendAudio, CommitAudio, CreateResponse]


@pytest.mark.parametrize(("event_id", "code"), [("c", "bad"), (None, "commit_empty")])
def test_a_commit_that_is_refused_is_not_sent_again(event_id: str | None, code: str) -> None:
    call = without_detection()
    speak(call, 1)
    call.send(CommitAudio(event_id=event_id))
    call.model(server_error("too small", event_id, f"input_audio_buffer_{code}"))
    assert replayed(call) == [AppendAudio(audio(800))]


def test_a_refusal_of_another_event_changes_no_commit() -> None:
    call = without_detection()
    call.send(CommitAudio())
    speak(call, 1)
    call.send(CommitAudio())
    call.model(server_error("no", "other", "bad"))
    assert replayed(call) == [AppendAudio(audio(800)), CommitAudio()]


def test_a_rotation_without_turn_detection_takes_all_that_is_not_committed() -> None:
    call = without_detection()
    speak(call, 120)
    call.wait(3_480_000)
    call.opened(call.link)
    ready = call.model(type="session.updated", session=WITHOUT_DETECTION)
    assert ready.notified(SessionRotated) == []
    call.link = Peer.REALTIME
    call.send(CommitAudio())
    rotated = call.model(user_item("u", "hello")[0])
    assert len(rotated.notified(SessionRotated)) == 1


@pytest.mark.parametrize("ends", [CommitAudio(), ClearInputAudio()])
def test_a_rotation_without_turn_detection_waits_where_audio_was_dropped(ends: Any) -> None:
    call = without_detection()
    speak(call, 1)
    call.send(SendAudio(bytes(88_000), commit=False))  # in pieces, of which one alone is the limit
    call.wait(3_480_000)
    call.opened(call.link)
    ready = call.model(type="session.updated", session=WITHOUT_DETECTION)
    assert ready.notified(SessionRotated) == []
    call.link = Peer.REALTIME
    done = call.send(ends)
    if isinstance(ends, CommitAudio):
        done = call.model(user_item("u", "hello")[0])
    assert len(done.notified(SessionRotated)) == 1


def test_an_earlier_turn_without_words_is_lost_and_named() -> None:
    call = Call.ready()
    for event in user_item("u", "hello")[:2]:
        call.model(event)
    call.model(created())
    call.model(response_done())
    lose(call)
    assert restore(call).notified(SessionRestored)[0].lost == ("u",)


def test_an_item_without_an_echo_is_sent_again() -> None:
    call = Call.ready()
    (item, request) = call.send(SendMessage("call me Ann")).to_model
    lose(call)
    done = restore(call)
    assert [each for each in done.to_model if not isinstance(each, UpdateSession)] == [
        item,
        request,
    ]


def test_an_item_with_an_echo_is_restored_and_not_sent_again() -> None:
    call = Call.ready()
    call.send(SendMessage("call me Ann", respond=False))
    content = [{"type": "input_text", "text": "call me Ann"}]
    added = {"id": "m", "type": "message", "role": "user", "content": content}
    call.model(type="conversation.item.added", item=added)
    lose(call)
    assert created_items(restore(call)) == [("m", "call me Ann")]


def test_an_item_that_was_refused_is_not_sent_again() -> None:
    call = Call.ready()
    call.send(CreateItem({"type": "message", "role": "system", "content": []}, event_id="e"))
    call.model(server_error("no", "e"))
    lose(call)
    assert restore(call).to_model == []


def call_function(call: Call) -> None:
    """The model calls a function, and its response is done."""
    call.model(created())
    item = {
        "id": "f",
        "type": "function_call",
        "call_id": "c",
        "name": "hours",
        "arguments": "{}",
        "status": "completed",
    }
    call.model(type="conversation.item.added", item={**item, "arguments": "", "status": None})
    call.model(type="response.output_item.added", response_id="r", item=item)
    call.model(type="response.output_item.done", response_id="r", item=item)
    call.model(response_done())


def test_a_function_call_is_answered_in_the_next_session() -> None:
    call = Call.ready()
    call_function(call)
    lose(call)
    call.send(SendFunctionOutput("c", "9 to 5"))
    done = restore(call)
    kinds = [each.item["type"] for each in done.to_model if isinstance(each, CreateItem)]
    assert kinds == ["function_call", "function_call_output"]
    assert isinstance(done.to_model[-1], CreateResponse)


def test_an_output_that_was_removed_meanwhile_is_not_restored() -> None:
    call = Call.ready()
    call_function(call)
    answer, *_ = call.send(SendFunctionOutput("c", "9 to 5")).to_model
    assert isinstance(answer, CreateItem)
    call.model(type="conversation.item.added", item={"id": "o", **answer.item})
    lose(call)
    call.send(ResetHistory((FunctionCall("f", "c", "hours", "{}"),)))
    for _ in range(2):
        done = restore(call)
        items = [each.item for each in done.to_model if isinstance(each, CreateItem)]
        assert [each["type"] for each in items] == ["function_call"]
        lose(call)


def test_an_output_without_an_echo_is_sent_once_more() -> None:
    call = Call.ready()
    call_function(call)
    call.send(SendFunctionOutput("c", "9 to 5"))
    lose(call)
    done = restore(call)
    items = [each.item for each in done.to_model if isinstance(each, CreateItem)]
    assert [each["type"] for each in items] == ["function_call", "function_call_output"]


def test_a_function_call_that_was_not_finished_is_asked_for_again() -> None:
    call = Call.ready()
    call.send(CreateResponse(event_id="mine"))
    call.model(created())
    item = {"id": "f", "type": "function_call", "call_id": "c", "name": "hours", "arguments": ""}
    call.model(type="conversation.item.added", item=item)
    call.model(type="response.output_item.added", response_id="r", item=item)
    lose(call)
    done = restore(call)
    assert [each.event_id for each in done.to_model if isinstance(each, CreateResponse)] == ["mine"]
    assert done.notified(SessionRestored) == [SessionRestored((), (), {})]


def test_a_request_that_was_interrupted_is_not_made_again() -> None:
    call = Call.ready()
    call.send(CreateResponse())
    call.send(Interrupt())
    lose(call)
    assert restore(call).to_model == []


def test_an_approval_of_a_session_that_is_lost_has_no_effect() -> None:
    call = Call.ready()
    request = {"id": "a", "type": "mcp_approval_request", "server_label": "s", "name": "n"}
    call.model(type="conversation.item.added", item=request)
    call.model(type="conversation.item.done", item=request)
    lose(call)
    done = restore(call)
    assert done.notified(SessionRestored)[0].lost == ("a",)
    assert len([each for each in done.to_model if isinstance(each, CreateResponse)]) == 1
    assert call.send(AnswerApproval("a", approve=True)).actions == []


def test_an_item_that_was_interrupted_unheard_is_not_restored() -> None:
    call = Call.ready()
    call.model(created())
    call.model(agent_item())
    call.model(type="response.output_item.added", response_id="r", item=agent_item()["item"])
    call.model(words("never heard"))
    call.send(Interrupt())
    lose(call)
    assert created_items(restore(call)) == []


def test_updates_of_the_session_are_kept() -> None:
    call = Call.ready()
    call.send(UpdateSession({"instructions": "Be brief."}))
    lose(call)
    call.send(UpdateSession({"tool_choice": "none"}))
    call.wait(250)
    (update,) = call.opened(call.link).to_model
    assert isinstance(update, UpdateSession)
    assert update.session["instructions"] == "Be brief."
    assert update.session["tool_choice"] == "none"
    call.model(type="session.updated", session=SESSION)
    assert call.send(UpdateSession({"instructions": "Sing."})).to_model


def test_edits_of_items_that_the_next_session_does_not_know_are_dropped() -> None:
    call = Call.ready()
    lose(call)
    call.send(DeleteItem("gone"))
    call.send(TruncateItem("gone", 0, 100))
    assert restore(call).to_model == []


def test_a_reset_without_an_answer_is_restored_as_it_was_to_be() -> None:
    call = Call.ready()
    item = Message("new", Role.USER, (TextPart("hello"),))
    call.send(ResetHistory((item,)))
    lose(call)
    done = restore(call)
    assert created_items(done) == [("new", "hello")]
    assert [each.item.id for each in done.notified(ItemAdded)] == ["new"]


def test_an_item_that_a_reset_without_an_answer_has_changed_stays_changed() -> None:
    call = ObservedCall.ready()
    for event in user_item("u", "hello"):
        call.model(event)
    call.send(ResetHistory((Message("u", Role.USER, (TextPart("good-bye"),)),)))
    lose(call)
    done = restore(call)
    assert created_items(done) == [("u", "good-bye")]
    assert [each.item_id for each in done.notified(ItemDeleted)] == ["u"]
    (added,) = done.notified(ItemAdded)
    assert call.items == (added.item,)
    lose(call)
    assert created_items(restore(call)) == [("u", "good-bye")]


def test_audio_that_was_cleared_is_not_sent_again() -> None:
    call = Call.ready()
    call.phone(media(audio(160)))
    call.send(ClearInputAudio())
    lose(call)
    assert restore(call).to_model == []


def test_audio_beyond_the_limit_is_dropped_and_said() -> None:
    call = Call.ready()
    call.model(speech_started())
    for _ in range(9):
        call.phone(media(audio(8000)))
    lose(call)
    done = [call.phone(media(audio(8000))) for _ in range(3)]
    assert sum(each.samples for one in done for each in one.notified(CallerAudioDropped)) > 0
    sent = [each for each in restore(call).to_model if isinstance(each, AppendAudio)]
    assert len(sent) <= 10


# After the next session has taken over.


def test_a_restored_item_of_which_nothing_was_heard_is_deleted() -> None:
    call = Call.talking(80_000)
    call.model(agent_item())
    call.model(words("one two three"))
    call.model(item_done())
    call.model(response_done())
    lose(call)
    call.wait(250)
    call.opened_and_configured()
    done = call.send(Interrupt())
    assert [type(each) for each in done.to_model] == [DeleteItem]
    assert call.model(type="conversation.item.deleted", item_id="i").faults == []


def test_a_restored_item_is_replaced_once_and_its_echo_says_nothing() -> None:
    call = Call.ready()
    for event in user_item("u", "hello"):
        call.model(event)
    say(call, "one two three four five six seven eight", 64_000)
    lose(call)
    call.play(2000)
    call.opened_and_configured()
    call.play(2000)
    delete, create = call.send(Interrupt()).to_model
    assert isinstance(delete, DeleteItem)
    assert isinstance(create, CreateItem)
    assert create.previous_item_id == "u"
    assert call.model(type="conversation.item.deleted", item_id="i").events == []
    echo = {**create.item, "status": "completed"}
    assert call.model(type="conversation.item.added", item=echo).events == []
    assert call.model(type="conversation.item.done", item=echo).events == []
    assert call.model(type="conversation.item.deleted", item_id="i").notified(ItemDeleted)


def test_an_id_that_a_client_cannot_give_is_replaced() -> None:
    call = Call.ready()
    for event in user_item("u" * 40, "hello"):
        call.model(event)
    call.model(created())
    call.model(response_done())
    for number in (1, 2):
        lose(call)
        done = restore(call)
        assert created_items(done) == [("restored-1", "hello")], number
    assert done.notified(SessionRestored)[0].renamed == {}


def test_sound_of_a_renamed_item_can_be_interrupted() -> None:
    call = Call.ready()
    call.model(created())
    item_id = "i" * 40
    call.model(agent_item(item_id))
    call.model(words("one two three four five six seven eight", item_id))
    call.model(delta(64_000, "r", item_id))
    call.model({**item_done(), "item": {**item_done()["item"], "id": item_id}})
    call.model(response_done())
    lose(call)
    call.play(2000)
    call.opened_and_configured()
    call.play(1000)
    done = call.send(Interrupt())
    (interrupted,) = done.notified(Interrupted)
    assert interrupted.items[0].heard
    assert [each.item_id for each in done.to_model if isinstance(each, DeleteItem)] == [
        "restored-1"
    ]


# Without a model.


def test_a_goodbye_is_played_before_the_call_ends() -> None:
    loss = SessionLossPolicy(goodbye_clip=bytes(1600))
    call = Call.ready(CallConfig(reconnect=None, on_session_lost=loss))
    done = call.closed(Peer.REALTIME, 1006)
    assert (sum(done.audio_samples), done.closes) == (1600, [])
    assert call.play(300).closes == [Peer.TWILIO]


def test_an_output_after_playback_does_not_delay_the_end() -> None:
    policy = ReconnectPolicy(max_attempts=1)
    call = Call.ready(CallConfig(reconnect=policy, idle_timeout_ms=None))
    call.model(created())
    call.model(delta(16000))
    call.model(function_call("c1"))
    call.model(response_done())
    call.closed(Peer.REALTIME, 1006)
    call.send(SendFunctionOutput("c1", "{}", after_playback=True))
    call.wait(1000)
    call.closed(call.link, 1006)
    assert call.play(1000).closes == [Peer.TWILIO]


def test_the_stream_can_be_ended_at_once() -> None:
    loss = SessionLossPolicy(ends_stream=True)
    call = Call.ready(CallConfig(reconnect=None, on_session_lost=loss))
    call.model(created())
    call.model(delta(8000))
    assert call.closed(Peer.REALTIME, 1006).closes == [Peer.TWILIO]


def test_the_application_is_asked_what_becomes_of_the_call() -> None:
    loss = SessionLossPolicy(ask_timeout_ms=2000)
    call = Call.ready(CallConfig(reconnect=None, on_session_lost=loss))
    (lost,) = call.closed(Peer.REALTIME, 1006).notified(SessionLost)
    assert (lost.attempt, lost.retry_in_ms) == (None, None)
    assert call.wait(1999).closes == []
    assert call.wait(1).closes == [Peer.TWILIO]


def test_a_goodbye_that_does_not_fit_is_left_out() -> None:
    loss = SessionLossPolicy(goodbye_clip=bytes(480_001))
    call = Call.ready(CallConfig(reconnect=None, on_session_lost=loss))
    assert call.closed(Peer.REALTIME, 1006).closes == [Peer.TWILIO]


def test_a_link_that_closes_late_changes_nothing() -> None:
    loss = SessionLossPolicy(ask_timeout_ms=2000)
    call = Call.connected(CallConfig(reconnect=None, on_session_lost=loss))
    assert call.wait(15_000).closes == [Peer.REALTIME]
    assert call.bridge.receive_text(Peer.REALTIME, "{}", call.now) == []
    assert call.closed(Peer.REALTIME).actions == []


# Rotation.


def rotating(config: CallConfig | None = None) -> Call:
    """A call whose next session is being opened."""
    call = Call.ready(config or CallConfig(idle_timeout_ms=None))
    assert call.wait(3_480_000).urls
    return call


def test_a_rotation_waits_until_nobody_speaks() -> None:
    call = rotating()
    old, new = Peer.REALTIME, call.link
    call.link = old
    call.model(speech_started())
    call.link = new
    call.opened_and_configured()
    call.link = old
    assert call.model({"type": "input_audio_buffer.speech_stopped"}).notified(SessionRotated) == []
    assert call.wait(3000).notified(SessionRotated)
    assert call.bridge.receive_text(old, "{}", call.now) == []


def test_an_interruption_lets_the_next_session_take_over() -> None:
    """What was being said is cancelled in the session that is replaced in the same step."""
    call = rotating()
    call.link, new = Peer.REALTIME, call.link
    call.send(CreateResponse({"conversation": "none"}))
    call.model(created("r", None))
    call.model(delta(800))
    call.link = new
    call.opened_and_configured()
    call.play(200)
    done = call.send(Interrupt())
    assert len(done.notified(SessionRotated)) == 1
    sent = [(each.peer, each.message) for each in done.actions if isinstance(each, Send)]
    assert (Peer.REALTIME, CancelResponse("r", event_id="bridge-cancel-r")) in sent


def test_a_rotation_is_forced_at_last() -> None:
    call = rotating()
    call.link, new = Peer.REALTIME, call.link
    call.model(speech_started())
    call.link = new
    call.opened(new)
    assert call.model(type="session.updated", session=SESSION).notified(SessionRotated) == []
    assert call.wait(104_999).notified(SessionRotated) == []
    assert call.wait(1).notified(SessionRotated)


def lose_next(call: Call) -> StepResult:
    return call.closed(call.link, 1006)


def refuse_configuration(call: Call) -> StepResult:
    call.opened(call.link)
    return call.model(server_error("no", "x"))


def configure_otherwise(call: Call) -> StepResult:
    call.opened(call.link)
    return call.model(type="session.updated", session={"audio": {}})


@pytest.mark.parametrize("fail", [lose_next, refuse, refuse_configuration, configure_otherwise])
def test_a_next_session_that_fails_is_opened_again_later(
    fail: Callable[[Call], StepResult],
) -> None:
    call = rotating()
    done = fail(call)
    assert done.notified(SessionLost) == []
    assert len(call.wait(10_000).urls) == 1
    call.opened(call.link)
    assert call.model(type="session.updated", session=SESSION).notified(SessionRotated)


def test_a_next_session_that_is_configured_otherwise_is_opened_again() -> None:
    call = rotating()
    call.send(UpdateSession({"instructions": "Be brief."}))
    call.opened(call.link)
    done = call.model(type="session.updated", session=SESSION)
    assert done.closes == [RealtimeLink(2)]
    assert len(done.urls) == 1
    (update,) = call.opened(call.link).to_model
    assert isinstance(update, UpdateSession)
    assert update.session["instructions"] == "Be brief."


def test_a_next_session_that_is_not_ready_is_waited_for() -> None:
    call = rotating()
    call.opened(call.link)
    assert call.wait(105_000).actions
    assert call.link == RealtimeLink(2)
    assert call.model(type="session.updated", session=SESSION).notified(SessionRotated)


def test_a_refusal_after_the_end_closes_the_call() -> None:
    call = Call.streaming()
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    assert refuse(call).notified(CallEnded)


def test_what_a_next_session_says_is_checked() -> None:
    call = rotating()
    assert call.model("{").faults == [FaultKind.NOT_JSON]
    assert call.model(type="session.created", session={}).actions == []


def test_a_session_that_is_lost_takes_the_next_one_with_it() -> None:
    call = rotating()
    done = call.closed(Peer.REALTIME, 1006)
    assert done.notified(SessionLost)
    assert done.closes == [RealtimeLink(2)]


@pytest.mark.parametrize(
    ("expires_at", "due_ms"),
    [(1_000_600, 480_000), (999_000, 3_480_000), ("soon", 3_480_000), (None, 3_480_000)],
)
def test_a_session_is_rotated_by_the_time_it_states(expires_at: object, due_ms: int) -> None:
    call = Call(CallConfig(idle_timeout_ms=None))
    call.bridge = CheckedBridge(Bridge(call.config), call.config)
    call.record(call.bridge._bridge.start(0, 1_000_000 * SECOND))  # type: ignore[call-arg] # noqa: SLF001
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start())
    call.opened_and_configured({**SESSION, "expires_at": expires_at})
    assert call.wait(due_ms - 1).urls == []
    assert call.wait(1).urls


def test_the_last_minute_of_a_call_is_notified() -> None:
    call = Call.ready(CallConfig(idle_timeout_ms=None, max_call_ms=120_000))
    assert call.wait(59_999).notified(CallEndsSoon) == []
    assert call.wait(1).notified(CallEndsSoon) == [CallEndsSoon(60_000)]


# Resuming.


def test_a_conversation_is_resumed_in_a_new_call() -> None:
    heard = AudioPart("one two three", "one", 400)
    items = (
        Message("u", Role.USER, (AudioPart("hello"),)),
        Message("i", Role.ASSISTANT, (heard,)),
    )
    call = Call.streaming(CallConfig(resume=items))
    call.opened(Peer.REALTIME)
    done = call.model(type="session.updated", session=SESSION)
    assert created_items(done) == [("u", "hello"), ("i", "one")]
    assert done.notified(SessionRestored)


class OpenCall(Call):
    """A call whose bridge can be reached behind the checks."""

    inner: Bridge

    def build(self) -> Bridge:
        self.inner = Bridge(self.config)
        return self.inner


def test_what_a_call_reports_is_resumed_without_what_no_client_can_create() -> None:
    earlier = OpenCall.ready()
    image = {"type": "input_image", "image_url": "data:,", "detail": "original"}
    said = {"type": "output_text", "text": "Look."}
    earlier.model(item_added("u" * 40, role="user", content=[image]))
    earlier.model(item_added("a", "u" * 40, content=[said, image]))
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    earlier.model(item_added("o", "a", **output))
    assert len(earlier.inner.items) == 3

    call = Call.streaming(CallConfig(resume=earlier.inner.items))
    call.opened(Peer.REALTIME)
    done = call.model(type="session.updated", session=SESSION)
    contents = [each.item["content"] for each in done.to_model if isinstance(each, CreateItem)]
    assert contents == [[{"type": "input_image", "image_url": "data:,"}], [said]]
    assert [each.lost for each in done.notified(SessionRestored)] == [("o",)]


def test_a_cut_that_changes_no_words_is_not_corrected() -> None:
    call = Call.ready()
    call.model(created())
    call.model(agent_item())
    call.model(words("one"))
    call.model(delta(800))
    call.model(delta(80_000, content_index=1))
    call.model(item_done())
    call.model(response_done())
    lose(call)
    call.play(2000)
    assert created_items(call.opened_and_configured()) == [("i", "one")]
    assert call.send(Interrupt()).to_model == []


def test_a_correction_without_an_echo_is_part_of_what_is_restored() -> None:
    call = Call.ready()
    say(call, "one two three four five six seven eight", 64_000)
    lose(call)
    call.play(2000)
    call.opened_and_configured()
    call.play(2000)
    _, corrected = call.send(Interrupt()).to_model
    call.model(type="conversation.item.deleted", item_id="i")
    lose(call)
    done = restore(call)
    assert isinstance(corrected, CreateItem)
    assert created_items(done) == [("i", corrected.item["content"][0]["text"])]
