"""Three bad calls, and one that failed: what stands out on their pages is their cause."""

from attrs import evolve

from shown_calls import QUESTION, failed_call, interrupted_call, simulate, speak, view_of
from twilio_realtime.recordings.show.answer_functions import FunctionTime, function_time
from twilio_realtime.recordings.show.events import FunctionSpan, ShownEventKind
from twilio_realtime.recordings.show.findings import Finding, find_moments
from twilio_realtime.recordings.show.turns import CallerSpeech, ShownTurn
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.replies import FunctionCallReply, Reply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerSays,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from twilio_realtime_core.config.interruption_policy import InterruptionPolicy
from twilio_realtime_core.machine.units import MS, SECOND

WAIT = sample_speech.load("caller_interruption")
NOISE = QUESTION.audio[:1600]
"""A fifth of a second of sound."""

ASK = AfterDelay(300 * MS, CallerSays(QUESTION.audio))
HANG_UP = WhenAgentQuiet(2 * SECOND, CallerHangsUp())


def texts(lines: list[bytes]) -> list[str]:
    return [each.text for each in find_moments(view_of(lines))]


def test_an_agent_that_talks_over_the_caller_stands_out() -> None:
    script = (ASK, WhenAgentHeard(1500, CallerSays(WAIT.audio)), HANG_UP)
    call = simulate(script, [speak("agent_answer")], interruption=InterruptionPolicy(allowed=False))
    view = view_of(call.lines)
    (refusal,) = (each for each in find_moments(view) if "both were heard" in each.text)
    assert refusal.text.startswith("An interruption was refused, and both were heard for 1.2 s.")
    assert "InterruptionPolicy.allowed is false" in refusal.text
    (event,) = (each for each in view.events if each.kind is ShownEventKind.HELD)
    assert refusal.at_ns == event.at_ns > view.speech[1].start_ns


def test_a_refusal_of_an_unknown_reason_stands_out_by_its_name() -> None:
    script = (ASK, WhenAgentHeard(1500, CallerSays(WAIT.audio)), HANG_UP)
    call = simulate(script, [speak("agent_answer")], interruption=InterruptionPolicy(allowed=False))
    old, new = b'"interruption_refused","reason":"never"', b'"interruption_refused","reason":"new"'
    lines = [each.replace(old, new) for each in call.lines]
    assert lines != call.lines
    assert any("interruption refused: new" in each for each in texts(lines))


def test_both_voices_stand_out_without_a_decision() -> None:
    view = view_of(interrupted_call().lines)
    start_ns = view.playback.heard[0].start_ns
    speech = CallerSpeech("item", start_ns, start_ns + SECOND, start_ns, start_ns + SECOND)
    found = find_moments(evolve(view, speech=[speech]))
    assert Finding(start_ns, "The agent and the caller were both heard for 1.0 s") in found


def test_an_interruption_by_noise_stands_out() -> None:
    script = (ASK, WhenAgentHeard(1500, CallerSays(NOISE)), HANG_UP)
    replies = [speak("agent_answer"), speak("agent_goodbye")]
    call = simulate(script, replies, transcripts=[QUESTION.transcript, ""])
    assert any("perhaps noise, and no speech" in each for each in texts(call.lines))


def test_a_slow_function_stands_out_with_its_name_and_duration() -> None:
    question = Reply((FunctionCallReply("look_up_order"),))
    script = (ASK, WhenAgentHeard(500, CallerHangsUp()))
    call = simulate(script, [question, speak("agent_answer")], function_ms=3200, until_s=30)
    found = texts(call.lines)
    assert "The function look_up_order took 3.2 s" in found
    assert any("3.2 s of it for the function look_up_order" in each for each in found)


def test_functions_at_the_same_time_count_once_in_an_answer() -> None:
    turn = ShownTurn(False, "item", 0, 500, 600, 4000, 4100)  # noqa: FBT003
    functions = [
        FunctionSpan("1", "one", 1000, 2000),
        FunctionSpan("2", "two", 1500, 3000),
        FunctionSpan("3", "two", 3500, 3600),
        FunctionSpan("4", "before", 100, 700),
        FunctionSpan("5", "after", 3900, 4050),
        FunctionSpan("6", "endless", 800),
    ]
    assert function_time(turn, functions) == FunctionTime("one and two", 1000, 2100)
    assert function_time(turn, functions[3:]) is None
    assert function_time(evolve(turn, first_delta_ns=None), functions) is None


def test_a_lost_session_stands_out() -> None:
    assert any("the session is lost" in each for each in texts(failed_call().lines))


def test_nothing_stands_out_in_a_good_call() -> None:
    assert texts(interrupted_call().lines) == []
