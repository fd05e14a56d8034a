"""Simulated calls as tests make them, on both runtimes."""

import asyncio
import stat
from collections.abc import Awaitable, Callable, Hashable
from pathlib import Path
from time import sleep

import anyio
import pytest
from anyio import to_thread

from twilio_realtime.agents.agent import Agent
from twilio_realtime.agents.call import Call, CallHandler
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.functions import Functions
from twilio_realtime.agents.handlers import Handlers
from twilio_realtime.agents.phone_events import AnsweredBy
from twilio_realtime.recordings.regression_test import write_regression_test
from twilio_realtime.recordings.replay import ReplayResult, replay
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.replies import Reply, ResponseRequest, SpokenReply, TextReply
from twilio_realtime.sim.reference import InvariantBroken
from twilio_realtime.sim.scenarios.voices import agent_voice
from twilio_realtime.testing.impairments import NO_IMPAIRMENTS, Impairments
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import CallerTurn, PhoneCall, TranscriptLine
from twilio_realtime.testing.virtual_time import RUNTIMES
from twilio_realtime_core import (
    Action,
    Bridge,
    CallConfig,
    HangUp,
    LocalProtocolError,
    Peer,
    Send,
    SessionConfig,
)
from twilio_realtime_core.commands import Play, SendFunctionOutput
from twilio_realtime_core.config.session import ServerVad
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerTranscript,
    EndReason,
    FunctionCallRequested,
    Interrupted,
    KeyPressed,
    SessionReady,
)
from twilio_realtime_core.protocols.twilio import Clear

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

LONG = "one two three four five six seven eight nine ten"


async def listening(call: Call) -> None:
    async for _ in call:
        pass


def make(
    script: Callable[[PhoneCall], Awaitable[object]],
    agent: CallHandler = listening,
    runtime: str = "asyncio",
    config: CallConfig | None = None,
) -> PhoneCall:
    call = PhoneCall(agent=agent, config=config or CallConfig(), runtime=runtime)
    call.run(script)
    return call


# SpokenReply of both sides, and how much of it was heard.


@each_runtime
def test_the_transcript_has_both_sides_in_order(runtime: str) -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Hello, how can I help?", "Goodbye!")
        await call.say("Hello")
        await call.listen()
        await call.say("I am done")
        await call.listen()

    call = make(script, runtime=runtime)
    assert call.transcript == [
        TranscriptLine("caller", "Hello"),
        TranscriptLine("agent", "Hello, how can I help?"),
        TranscriptLine("caller", "I am done"),
        TranscriptLine("agent", "Goodbye!"),
    ]
    assert [each.heard_ms for each in call.heard_speech] == [1500, 300]
    assert call.heard_speech == call.speech_in_conversation
    assert call.heard_ms == 1800
    assert call.model.errors == []


@each_runtime
@pytest.mark.parametrize("ms", [0, 700])
def test_the_caller_interrupts_after_hearing_so_much(runtime: str, ms: int) -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with(LONG, "Yes?")
        await call.say("Hello")
        call.interrupt_after(ms=ms)
        event = await call.wait_for(Interrupted)
        assert ms < event.items[0].heard_ms < ms + 300  # detection takes a moment
        await call.listen()

    call = make(script, runtime=runtime)
    assert call.transcript[2] == ("caller", "No, wait")
    assert call.heard_speech[0].generated_ms == 3000
    assert (
        call.heard_speech[0].words.split() == LONG.split()[: call.heard_speech[0].heard_ms // 300]
    )
    assert abs(call.heard_speech[0].heard_ms - call.speech_in_conversation[0].heard_ms) <= 2
    assert call.heard_speech[1].words == "Yes?"


def test_an_interruption_beyond_the_heard_audio_never_comes() -> None:
    async def script(call: PhoneCall) -> None:
        call.interrupt_after(ms=2000)
        call.model.respond_with("Hello, hello")
        await call.say("Hello")
        await call.listen()

    assert [line.speaker for line in make(script).transcript] == ["caller", "agent"]


def test_audio_has_the_words_that_are_given() -> None:
    question, answer = sample_speech.load("caller_question"), sample_speech.load("agent_answer")

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(Reply((SpokenReply(answer.audio, answer.transcript),)))
        await call.say(question.audio, question.transcript)
        await call.listen()

    # There are pauses in the recorded question.
    config = CallConfig(session=SessionConfig(turn_detection=ServerVad(silence_duration_ms=800)))
    call = make(script, config=config)
    assert call.transcript == [("caller", question.transcript), ("agent", answer.transcript)]


def test_the_caller_is_transcribed_turn_by_turn() -> None:
    config = CallConfig(session=SessionConfig(transcription={"model": "whisper-1"}))

    async def script(call: PhoneCall) -> None:
        for words in ("Is anybody there", "Hello", "I am done"):
            await call.say(words)
            await call.listen(quiet_ms=3000)

    call = make(script, config=config)
    finals = [e.text for e in call.notifications if isinstance(e, CallerTranscript) and e.final]
    assert finals == ["Is anybody there", "Hello", "I am done"]


def test_a_clip_is_heard_and_has_no_speaker() -> None:
    async def agent(call: Call) -> None:
        call.send(Play(agent_voice(400)))

    async def script(call: PhoneCall) -> None:
        await call.wait(ms=1000)

    call = make(script, agent)
    assert (call.heard_speech, call.heard_ms, call.transcript) == ([], 400, [])


# Responses of the model.


@each_runtime
def test_the_model_calls_functions_and_receives_their_outputs(runtime: str) -> None:
    functions = Functions(on_error=lambda _: None)

    @functions.add
    def add(a: int, b: int) -> int:
        """Add in a thread, in real time."""
        sleep(0.01)
        return a + b

    async def agent(call: Call) -> None:
        functions.attach(call)
        await listening(call)

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(["One moment", function_call("add", a=1, b=2)], "It is three")
        await call.say("What is one and two?")
        await call.listen()

    call = make(script, agent, runtime)
    assert call.model.function_outputs == ["3"]
    assert call.transcript[-1] == ("agent", "It is three")


def test_a_response_may_be_decided_when_it_is_requested() -> None:
    def reply(request: ResponseRequest) -> str:
        return f"This is number {request.number}"

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(reply, TextReply("unspoken"), reply)
        for _ in range(4):
            await call.say("Go on")
            await call.listen()

    words = [each.words for each in make(script).heard_speech]
    assert words == ["This is number 0", "This is number 2"]


# Time, keys, and the end.


@each_runtime
def test_test_and_agent_share_the_time_of_the_call(runtime: str) -> None:
    times = list[float]()

    async def agent(call: Call) -> None:
        await anyio.sleep(30)
        times.append(anyio.current_time())
        call.send(HangUp())

    async def script(call: PhoneCall) -> None:
        await anyio.sleep(5)
        ended = await call.wait_for_end()
        assert ended.reason is EndReason.HUNG_UP
        times.append(call.now_ms / 1000)

    make(script, agent, runtime)
    assert 35 < times[0] < times[1] < 35.5


def test_threads_of_asyncio_take_no_virtual_time() -> None:
    async def agent(call: Call) -> None:
        await asyncio.to_thread(sleep, 0.01)
        await to_thread.run_sync(sleep, 0.01)
        call.send(HangUp())

    async def script(call: PhoneCall) -> None:
        await call.wait_for_end()

    assert make(script, agent).now_ms < 2000


@each_runtime
def test_handlers_are_agents_and_receive_keys(runtime: str) -> None:
    handlers, keys = Handlers(), list[str]()

    @handlers.on(KeyPressed)
    def pressed(call: Call, event: KeyPressed) -> None:
        keys.append(event.digit)
        if event.digit == "#":
            call.send(HangUp())

    async def script(call: PhoneCall) -> None:
        await call.press_keys("12#")
        await call.press_keys("4")  # after the end
        await call.say("Hello?")
        call.interrupt_after(ms=0)
        await call.wait_for_end()

    make(script, handlers, runtime)
    assert keys == ["1", "2", "#"]


def test_the_agent_receives_the_custom_parameters_of_the_call() -> None:
    async def agent(call: Call) -> None:
        call.send(HangUp() if call.started.custom_parameters == {"who": "Ann"} else Play(b"?"))

    async def script(call: PhoneCall) -> None:
        call.custom_parameters = {"who": "Ann"}
        assert (await call.wait_for_end()).reason is EndReason.HUNG_UP

    make(script, agent)


def test_commands_of_a_watcher_act_after_pending_notifications() -> None:
    async def agent(call: Call) -> None:
        def watch(event: object) -> None:
            if isinstance(event, FunctionCallRequested):
                call.send(SendFunctionOutput(event.call_id, "{}"))

        call.watch(watch)
        await listening(call)

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(function_call("look"), "Found")
        await call.say("Look")
        await call.listen()

    call = make(script, agent)
    assert call.model.function_outputs == ["{}"]
    assert call.transcript[-1].words == "Found"


def test_the_caller_hangs_up_at_the_end_of_a_test() -> None:
    async def script(call: PhoneCall) -> None:
        await call.wait_for(SessionReady)

    ended = make(script).notifications[-1]
    assert isinstance(ended, CallEnded)
    assert ended.reason is EndReason.CALLER_HUNG_UP


def test_a_test_without_actions_makes_no_call() -> None:
    async def script(call: PhoneCall) -> None:
        await anyio.sleep(1)

    call = make(script)
    assert (
        call.heard_speech,
        call.speech_in_conversation,
        call.transcript,
        call.notifications,
    ) == ([], [], [], [])
    assert (call.heard_ms, call.model.function_outputs, call.model.errors) == (0, [], [])


@each_runtime
def test_concurrent_tasks_may_speak_before_the_stream_starts(runtime: str) -> None:
    async def script(call: PhoneCall) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.say, "Hello")
            tasks.start_soon(call.say, "Hello")
            tasks.start_soon(call.press_keys, "1")
        assert [line.words for line in call.transcript] == ["Hello", "Hello"]

    make(script, runtime=runtime)


def test_a_caller_takes_turns() -> None:
    async def script(call: PhoneCall) -> None:
        turns = [
            CallerTurn("Hello", responses=(LONG,)),
            CallerTurn("And", "5", 300, (LONG, "Yes?")),
        ]
        await call.take_turns(turns)

    call = make(script)
    assert [line.words for line in call.transcript if line.speaker == "caller"] == [
        "Hello",
        "And",
        "No, wait",
    ]
    assert any(isinstance(event, KeyPressed) for event in call.notifications)


# Recordings.


@pytest.mark.parametrize("impairments", [NO_IMPAIRMENTS, Impairments(("marks lost",))])
def test_a_recorded_call_replays_without_a_difference(
    tmp_path: Path, impairments: Impairments
) -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with(LONG, "Yes?")
        await call.say("Hello")
        call.interrupt_after(ms=700)
        await call.listen()

    calls = [
        PhoneCall(agent=listening, impairments=impairments, record_to=record_to)
        for record_to in (None, tmp_path / "call.jsonl")
    ]
    for call in calls:
        call.run(script)
    lines = (tmp_path / "call.jsonl").read_text("utf-8").splitlines(keepends=True)
    assert replay(lines) == ReplayResult(len(lines) - 1)
    assert "recorded_at" not in lines[0]
    assert calls[0].notifications == calls[1].notifications


def test_a_failed_test_keeps_the_recording_of_its_call(tmp_path: Path) -> None:
    async def script(call: PhoneCall) -> None:
        await call.say("Hello")
        raise KeyError

    path = tmp_path / "call.jsonl"
    with pytest.raises(KeyError):
        PhoneCall(record_to=path).run(script)
    assert replay(path.read_text("utf-8").splitlines(keepends=True)).is_cut_off


# Failures.


@each_runtime
def test_an_exception_of_the_test_has_the_last_steps(runtime: str) -> None:
    async def script(call: PhoneCall) -> None:
        await call.say("Hello")
        raise KeyError("the test's")

    with pytest.raises(KeyError, match="the test's") as raised:
        make(script, runtime=runtime)
    (note,) = raised.value.__notes__
    assert "Twilio: start" in note
    assert "notifies CallStarted" in note
    assert "record it (record_to=FILE) and run: twilio-realtime replay FILE --to-test DIR" in note


def test_a_failure_names_the_command_that_keeps_the_call(tmp_path: Path) -> None:
    async def script(call: PhoneCall) -> None:
        await call.say("Hello")
        raise KeyError("the test's")

    file = tmp_path / "call.jsonl"
    with pytest.raises(KeyError) as raised:
        PhoneCall(agent=listening, record_to=file).run(script)
    assert f"twilio-realtime replay {file} --to-test DIR" in raised.value.__notes__[-1]
    assert write_regression_test(file, tmp_path / "tests").steps > 10


def test_a_failure_writes_the_page_of_its_call_and_names_it(tmp_path: Path) -> None:
    async def script(call: PhoneCall) -> None:
        await call.say("Hello")
        raise KeyError("the test's")

    file = tmp_path / "call.jsonl"
    with pytest.raises(KeyError) as raised:
        PhoneCall(agent=listening, record_to=file).run(script)
    page = tmp_path / "call.html"
    assert f"\nPage of the call: {page}\n" in raised.value.__notes__[-1]
    assert "<title>Failed: call.jsonl</title>" in page.read_text("utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_test_that_passes_writes_no_page(tmp_path: Path) -> None:
    async def script(call: PhoneCall) -> None:
        await call.say("Hello")

    PhoneCall(agent=listening, record_to=tmp_path / "call.jsonl").run(script)
    assert [each.name for each in tmp_path.iterdir()] == ["call.jsonl"]


def test_a_page_that_cannot_be_written_does_not_hide_the_failure(tmp_path: Path) -> None:
    async def script(call: PhoneCall) -> None:
        await call.say("Hello")
        raise KeyError("the test's")

    (tmp_path / "call.html").mkdir()
    file = tmp_path / "call.jsonl"
    with pytest.raises(KeyError, match="the test's") as raised:
        PhoneCall(agent=listening, record_to=file).run(script)
    assert "Page of the call: not written: is a directory" in raised.value.__notes__[-1]
    assert file.exists()


def test_a_failure_before_the_call_has_no_page(tmp_path: Path) -> None:
    async def script(call: PhoneCall) -> None:
        raise KeyError("the test's")

    with pytest.raises(KeyError, match="the test's") as raised:
        PhoneCall(agent=listening, record_to=tmp_path / "call.jsonl").run(script)
    assert "not written: the call has no recording to show" in raised.value.__notes__[-1]
    assert not (tmp_path / "call.html").exists()


@each_runtime
def test_an_exception_of_the_agent_is_raised_once(runtime: str) -> None:
    async def agent(call: Call) -> None:
        raise KeyError("the agent's")

    async def script(call: PhoneCall) -> None:
        with pytest.raises(ApplicationError):
            await call.wait_for_end()

    make(script, agent, runtime)

    async def script_without_end(call: PhoneCall) -> None:
        await call.wait(ms=10)

    with pytest.raises(ApplicationError):
        make(script_without_end, agent, runtime)


def test_an_exception_of_the_agent_causes_that_of_the_test() -> None:
    async def agent(call: Call) -> None:
        raise KeyError("the agent's")

    async def script(call: PhoneCall) -> None:
        await call.listen()
        raise AssertionError("nothing was said")

    with pytest.raises(AssertionError, match="nothing") as raised:
        make(script, agent)
    assert isinstance(raised.value.__cause__, ApplicationError)


class EarlyClear(Bridge):
    """It sends a message before the stream has started."""

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return [*super().opened(peer, now), Send(Peer.TWILIO, Clear("MZ0"))]


@each_runtime
def test_a_broken_invariant_ends_the_test(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.testing.call_harness.Bridge", EarlyClear)

    async def script(call: PhoneCall) -> None:
        await call.say("Hello")
        raise AssertionError("the test continues")

    with pytest.raises(InvariantBroken):
        make(script, runtime=runtime)


@each_runtime
def test_waiting_has_a_limit(runtime: str) -> None:
    async def script(call: PhoneCall) -> None:
        await call.wait_for_end(within_ms=2000)

    with pytest.raises(AssertionError, match="the call has not ended within 2 s"):
        make(script, runtime=runtime)


@each_runtime
def test_a_test_that_waits_forever_before_its_call_fails(runtime: str) -> None:
    async def script(call: PhoneCall) -> None:
        await anyio.Event().wait()

    with pytest.raises(
        TimeoutError, match="the test had not finished after 3600 s of virtual time"
    ):
        make(script, runtime=runtime)


@each_runtime
def test_a_test_that_waits_forever_shows_its_relevant_steps(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twilio_realtime.testing.phone_call.TEST_TIMEOUT_NS", 60 * SECOND)

    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Hello")
        await call.say("Hello")
        await anyio.Event().wait()

    with pytest.raises(TimeoutError, match="the test had not finished after 60 s") as raised:
        make(script, runtime=runtime)
    (note,) = raised.value.__notes__
    done = "model: response.done (the model has ended a response), response 1, status completed"
    assert done in note
    assert "SendPing" not in note
    last, _ = note.splitlines()[-2:]
    assert "-> notifies PlaybackFinished" in last  # not what measures round trips


def test_a_test_may_set_a_shorter_limit() -> None:
    async def script(call: PhoneCall) -> None:
        with anyio.fail_after(5):
            await call.wait_for(KeyPressed)

    with pytest.raises(TimeoutError) as raised:
        make(script)
    assert str(raised.value) == ""


@pytest.mark.parametrize(
    "answer",
    [17, b"\xff", ["Hello", 17], Reply(("Hello",)), None],  # type: ignore[arg-type]
)
def test_an_invalid_response_is_refused_where_it_is_given(answer: object) -> None:
    call = PhoneCall()
    with pytest.raises(LocalProtocolError, match="a response is words, an item"):
        call.model.respond_with("Hello", answer)  # type: ignore[arg-type]

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(lambda _: answer)  # type: ignore[arg-type,return-value]
        await call.say("Hello")
        await call.listen()

    with pytest.raises(LocalProtocolError, match="a response is words, an item"):
        make(script)


def test_a_negative_time_of_an_interruption_is_refused() -> None:
    async def script(call: PhoneCall) -> None:
        call.interrupt_after(ms=-5)

    with pytest.raises(LocalProtocolError, match="-5 ms"):
        make(script)


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="trio, asyncio"):
        PhoneCall(runtime="curio").run(lambda _: anyio.sleep(0))


# Control of the call


@each_runtime
def test_a_test_sees_where_a_call_is_transferred_to(runtime: str) -> None:
    agent = Agent()

    @agent.function(respond=False)
    async def person(call: Call) -> None:
        """Connects the caller to a person."""
        await call.transfer("+15005550009")

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(["I connect you.", function_call("person")])
        await call.say("A person, please")
        assert call.next_twiml is None
        await call.wait_for_end()

    call = make(script, agent, runtime)
    assert call.next_twiml is not None
    assert "<Number>+15005550009</Number>" in call.next_twiml
    assert call.heard_speech[0].words == "I connect you."


@each_runtime
@pytest.mark.parametrize("answered_by", [AnsweredBy.HUMAN, AnsweredBy.MACHINE_END_BEEP])
def test_a_test_says_who_answers(answered_by: AnsweredBy, runtime: str) -> None:
    agent = Agent(greeting="Greet.", voicemail="Leave a message.")
    asked = list[str]()

    def reply(request: ResponseRequest) -> Reply:
        asked.append(request.params["instructions"])
        return Reply((SpokenReply(agent_voice(300), "words"),))

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(reply)
        await call.say("Leave your words after the beep")
        assert asked == []
        await call.answer(answered_by)
        await call.listen()

    call = PhoneCall(agent=agent, runtime=runtime, machine_detection=True)
    call.run(script)
    assert asked == ["Greet." if answered_by is AnsweredBy.HUMAN else "Leave a message."]


def test_a_call_where_nobody_says_who_answers_is_greeted() -> None:
    agent = Agent(greeting="Greet.")

    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Hello")
        await call.wait(ms=44_000)
        assert call.heard_speech == []
        await call.wait(ms=5_000)

    call = PhoneCall(agent=agent, machine_detection=True)
    call.run(script)
    assert [each.words for each in call.heard_speech] == ["Hello"]
