"""Whether the caller may interrupt, seen from outside: through `Bridge`."""

import json
from typing import Any

import pytest

from calling import (
    PCMU,
    Call,
    StepResult,
    audio_done,
    created,
    delta,
    function_call,
    response_done,
    speech_started,
)
from twilio_realtime_core import (
    CallConfig,
    Interrupt,
    LocalProtocolError,
    ModelSilencePolicy,
    Peer,
    Play,
    SendFunctionOutput,
    SessionConfig,
)
from twilio_realtime_core.config.interruption_policy import (
    InterruptionAttempt,
    InterruptionLimit,
    InterruptionPolicy,
)
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import Interrupted, InterruptionBlocked
from twilio_realtime_core.protocols.realtime import CreateItem, CreateResponse
from twilio_realtime_core.turns.interruption_gate import PROTECTION_NS
from twilio_realtime_core.values.block_cause import BlockCause

OWNED = {"type": "server_vad", "interrupt_response": False}


def session(**detection: Any) -> dict[str, Any]:
    """A session as the server describes it, in which the bridge interrupts."""
    return {
        "type": "realtime",
        "audio": {
            "input": {"format": PCMU, "turn_detection": {**OWNED, **detection}},
            "output": {"format": PCMU},
        },
    }


def ready(policy: InterruptionPolicy, **detection: Any) -> Call:
    notify = ModelSilencePolicy(ask_again=0, hang_up=False)
    config = CallConfig(interruption=policy, on_model_silent=notify)
    return Call.ready(config, session(**detection))


def talking(policy: InterruptionPolicy, *samples: int) -> Call:
    """The agent has begun to speak."""
    call = ready(policy)
    call.model(created())
    for each in samples or (2080,) * 8:
        call.model(delta(each))
    return call


def speech_stopped(call: Call) -> StepResult:
    return call.model(type="input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=900)


def committed(call: Call) -> StepResult:
    return call.model(type="input_audio_buffer.committed", item_id="u")


def blocked(done: StepResult) -> list[BlockCause]:
    assert not done.to_twilio
    assert not done.notified(Interrupted)
    return [each.cause for each in done.notified(InterruptionBlocked)]


def test_the_bridge_cancels_where_the_policy_forbids_the_server() -> None:
    """S61, S79."""
    policy = InterruptionPolicy(after_heard_ms=100)
    call = Call.connected(CallConfig(interruption=policy))
    call = talking(policy)
    call.play(100)
    done = call.model(speech_started())
    types = [json.loads(each.encode())["type"] for each in done.to_model]
    assert types == ["response.cancel", "conversation.item.truncate"]
    assert done.notified(Interrupted)


def test_later_updates_follow_the_policy_too() -> None:
    call = ready(InterruptionPolicy(allowed=False))
    (update,) = call.send(
        SessionConfig(turn_detection={"type": "semantic_vad"}).to_update_event()
    ).to_model
    detection = json.loads(update.encode())["session"]["audio"]["input"]["turn_detection"]
    assert detection == {"type": "semantic_vad", "interrupt_response": False}
    theirs = {"type": "semantic_vad", "interrupt_response": True}
    with pytest.raises(LocalProtocolError):
        call.send(SessionConfig(turn_detection=theirs).to_update_event())


def test_only_the_application_interrupts_where_none_may() -> None:
    call = talking(InterruptionPolicy(allowed=False))
    assert blocked(call.model(speech_started())) == [BlockCause.NEVER]
    assert call.send(Interrupt()).notified(Interrupted)


def test_speech_while_the_agent_is_silent_is_no_attempt() -> None:
    call = ready(InterruptionPolicy(allowed=False))
    assert blocked(call.model(speech_started())) == []


def test_a_response_must_be_heard_for_a_while() -> None:
    """S76."""
    call = talking(InterruptionPolicy(after_heard_ms=400))
    call.play(399)
    assert blocked(call.model(speech_started())) == [BlockCause.LITTLE_HEARD]
    speech_stopped(call)
    call.play(1)
    assert call.model(speech_started()).notified(Interrupted)


def test_all_items_of_a_response_count_as_heard() -> None:
    call = talking(InterruptionPolicy(after_heard_ms=400), 2400)
    call.model(audio_done())
    call.model(delta(8000, item="j"))
    call.play(399)
    assert blocked(call.model(speech_started())) == [BlockCause.LITTLE_HEARD]
    speech_stopped(call)
    call.play(1)
    assert call.model(speech_started()).notified(Interrupted)


def test_a_played_response_counts_whole_before_its_last_echo() -> None:
    call = talking(InterruptionPolicy(after_heard_ms=400))
    call.model(audio_done())
    call.model(response_done())
    call.play(2000)
    call.wait(200)
    assert call.model(speech_started()).notified(InterruptionBlocked) == []


def test_a_clip_counts_separately() -> None:
    call = ready(InterruptionPolicy(after_heard_ms=200))
    call.send(Play(bytes(8000), "greeting"))
    call.play(199)
    assert blocked(call.model(speech_started())) == [BlockCause.LITTLE_HEARD]
    speech_stopped(call)
    call.play(1)
    assert call.model(speech_started()).to_twilio


def test_the_first_speech_is_protected_until_it_was_heard() -> None:
    """S87."""
    call = talking(InterruptionPolicy(protect_first=True), 800)
    assert blocked(call.model(speech_started())) == [BlockCause.FIRST_WORDS]
    speech_stopped(call)
    call.model(response_done())
    call.play(100)
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    call.wait(50)
    assert call.model(speech_started()).notified(Interrupted)


def test_an_empty_first_response_protects_nothing() -> None:
    """S87."""
    call = ready(InterruptionPolicy(protect_first=True))
    call.model(created())
    call.model(response_done(status="failed"))
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    assert call.model(speech_started()).notified(Interrupted)


def test_the_first_speech_is_protected_while_it_is_requested() -> None:
    call = ready(InterruptionPolicy(protect_first=True))
    call.send(CreateResponse())
    assert blocked(call.model(speech_started())) == [BlockCause.FIRST_WORDS]


def test_an_interrupted_first_response_protects_nothing() -> None:
    call = ready(InterruptionPolicy(protect_first=True))
    call.model(created())
    call.send(Interrupt())
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    assert call.model(speech_started()).notified(Interrupted)


def greeting(call: Call, response: str) -> StepResult:
    """The agent says its first words, and the caller speaks before they are over."""
    call.model(created(response))
    call.model(delta(8_000, response, "greeting"))
    call.play(500)
    return call.model(speech_started())


def test_words_after_a_function_call_are_the_first() -> None:
    call = ready(InterruptionPolicy(protect_first=True))
    call.model(created())
    call.model(function_call())
    call.model(response_done())
    call.send(SendFunctionOutput("f", "x"))
    assert blocked(greeting(call, "s")) == [BlockCause.FIRST_WORDS]


def test_words_that_are_asked_for_again_in_a_silence_are_the_first() -> None:
    call = Call.ready(CallConfig(interruption=InterruptionPolicy(protect_first=True)), session())
    call.send(CreateResponse())
    call.model(created())
    call.play(5_000)
    assert blocked(greeting(call, "s")) == [BlockCause.FIRST_WORDS]


def test_words_that_are_asked_for_again_after_a_lost_session_are_the_first() -> None:
    call = ready(InterruptionPolicy(protect_first=True))
    call.send(CreateResponse())
    call.model(created())
    call.closed(Peer.REALTIME, 1006)
    call.wait(400)
    call.opened_and_configured(session())
    assert blocked(greeting(call, "s")) == [BlockCause.FIRST_WORDS]


def test_a_caller_who_speaks_after_a_function_call_does_not_end_the_protection() -> None:
    call = ready(InterruptionPolicy(protect_first=True))
    call.model(created())
    call.model(function_call())
    call.model(response_done())
    call.send(CreateResponse())
    assert blocked(call.model(speech_started())) == [BlockCause.FIRST_WORDS]
    speech_stopped(call)
    assert blocked(greeting(call, "s")) == [BlockCause.FIRST_WORDS]


def test_the_first_speech_may_be_a_clip() -> None:
    """S87."""
    call = ready(InterruptionPolicy(protect_first=True))
    call.send(Play(bytes(800), "greeting"))
    call.play(99)
    assert blocked(call.model(speech_started())) == [BlockCause.FIRST_WORDS]
    speech_stopped(call)
    call.play(1)
    call.send(Play(bytes(800), "more"))
    assert call.model(speech_started()).to_twilio


def test_a_first_speech_without_end_is_protected_for_30_seconds() -> None:
    """S87."""
    call = talking(InterruptionPolicy(protect_first=True), *[8000] * 60)
    call.wait(PROTECTION_NS / MS - 1)
    assert blocked(call.model(speech_started())) == [BlockCause.FIRST_WORDS]
    speech_stopped(call)
    call.wait(1)
    assert call.model(speech_started()).notified(Interrupted)


def test_a_limit_blocks_interruptions_and_instructs_the_model_once() -> None:
    limit = InterruptionLimit(2, 60_000, "It is noisy.")
    call = ready(InterruptionPolicy(limit=limit))
    told = list[Any]()
    for number in range(4):
        call.model(created(str(number)))
        call.model(delta(800, str(number), f"i{number}"))
        call.wait(10)
        done = call.model(speech_started())
        told.append((bool(done.notified(Interrupted)), blocked_only(done), len(items(done))))
        speech_stopped(call)
        call.model(response_done(str(number)))
    limited = [BlockCause.LIMIT]
    assert told == [(True, [], 0), (True, [], 0), (False, limited, 1), (False, limited, 0)]


def test_a_limit_forgets_old_interruptions_and_may_instruct_nothing() -> None:
    limit = InterruptionLimit(1, 1000, None)
    call = ready(InterruptionPolicy(limit=limit))
    for number, expected in enumerate((True, False, True)):
        call.model(created(str(number)))
        call.model(delta(8000, str(number), f"i{number}"))
        call.wait(10)
        done = call.model(speech_started())
        assert bool(done.notified(Interrupted)) is expected
        assert items(done) == []
        speech_stopped(call)
        call.wait(500)
        call.send(Interrupt())


def items(done: StepResult) -> list[CreateItem]:
    return [each for each in done.to_model if isinstance(each, CreateItem)]


def blocked_only(done: StepResult) -> list[BlockCause]:
    return [each.cause for each in done.notified(InterruptionBlocked)]


def test_the_predicate_is_evaluated_last() -> None:
    attempts: list[InterruptionAttempt] = []

    def predicate(attempt: InterruptionAttempt) -> bool:
        attempts.append(attempt)
        return len(attempts) > 1

    call = talking(InterruptionPolicy(after_speech_ms=100, predicate=predicate))
    call.model(speech_started())
    assert blocked(call.wait(100)) == [BlockCause.APPLICATION]
    speech_stopped(call)
    call.model(speech_started())
    assert call.wait(100).notified(Interrupted)
    assert [each.speech_ms for each in attempts] == [100, 100]
    assert attempts[0].recent_interruptions == 0
