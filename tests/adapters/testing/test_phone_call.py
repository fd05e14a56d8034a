"""A call as a test makes it, on both loops."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from time import sleep

import anyio
import pytest
from anyio import to_thread

from twilio_realtime.agents.call import Call, CallHandler
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.functions import Functions
from twilio_realtime.agents.handlers import Handlers
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.replies import Reply, ResponseRequest, Speech, Text
from twilio_realtime.sim.reference import InvariantBroken
from twilio_realtime.sim.scenarios import agent_voice
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import Line, PhoneCall, Turn
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
    story: Callable[[PhoneCall], Awaitable[object]],
    agent: CallHandler = listening,
    runtime: str = "asyncio",
    config: CallConfig | None = None,
) -> PhoneCall:
    call = PhoneCall(agent=agent, config=config or CallConfig(), runtime=runtime)
    call.run(story)
    return call


# What both say, and what was heard of it


@each_runtime
def test_what_was_said_is_written_down_in_its_order(runtime: str) -> None:
    async def story(call: PhoneCall) -> None:
        call.model.replies("Hello, how can I help?", "Goodbye!")
        await call.say("Hello")
        await call.listen()
        await call.say("I am done")
        await call.listen()

    call = make(story, runtime=runtime)
    assert call.transcript == [
        Line("caller", "Hello"),
        Line("agent", "Hello, how can I help?"),
        Line("caller", "I am done"),
        Line("agent", "Goodbye!"),
    ]
    assert [said.ms for said in call.heard] == [1500, 300]
    assert call.heard == call.believed
    assert call.heard_ms == 1800
    assert call.model.complaints == []


@each_runtime
@pytest.mark.parametrize("ms", [0, 700])
def test_the_caller_interrupts_when_he_has_heard_so_much(runtime: str, ms: int) -> None:
    async def story(call: PhoneCall) -> None:
        call.model.replies(LONG, "Yes?")
        await call.say("Hello")
        call.interrupt_after(ms=ms)
        event = await call.told(Interrupted)
        assert ms < event.items[0].heard_ms < ms + 300  # he is understood a moment later
        await call.listen()

    call = make(story, runtime=runtime)
    assert call.transcript[2] == ("caller", "No, wait")
    assert call.heard[0].of_ms == 3000
    assert call.heard[0].words.split() == LONG.split()[: call.heard[0].ms // 300]
    assert abs(call.heard[0].ms - call.believed[0].ms) <= 2
    assert call.heard[1].words == "Yes?"


def test_an_interruption_of_what_is_never_heard_does_not_come() -> None:
    async def story(call: PhoneCall) -> None:
        call.interrupt_after(ms=2000)
        call.model.replies("Hello, hello")
        await call.say("Hello")
        await call.listen()

    assert [line.who for line in make(story).transcript] == ["caller", "agent"]


def test_recorded_audio_has_the_words_that_are_given() -> None:
    question, answer = sample_speech.load("caller_question"), sample_speech.load("agent_answer")

    async def story(call: PhoneCall) -> None:
        call.model.replies(Reply((Speech(answer.audio, answer.transcript),)))
        await call.say(question.audio, question.transcript)
        await call.listen()

    # There are pauses in the recorded question.
    config = CallConfig(session=SessionConfig(turn_detection=ServerVad(silence_duration_ms=800)))
    call = make(story, config=config)
    assert call.transcript == [("caller", question.transcript), ("agent", answer.transcript)]


def test_the_caller_is_transcribed_turn_by_turn() -> None:
    config = CallConfig(session=SessionConfig(transcription={"model": "whisper-1"}))

    async def story(call: PhoneCall) -> None:
        for words in ("Is anybody there", "Hello", "I am done"):
            await call.say(words)
            await call.listen(quiet_ms=3000)

    call = make(story, config=config)
    finals = [e.text for e in call.notifications if isinstance(e, CallerTranscript) and e.final]
    assert finals == ["Is anybody there", "Hello", "I am done"]


def test_audio_of_the_application_is_heard_and_said_by_nobody() -> None:
    async def agent(call: Call) -> None:
        call.send(Play(agent_voice(400)))

    async def story(call: PhoneCall) -> None:
        await call.wait(ms=1000)

    call = make(story, agent)
    assert (call.heard, call.heard_ms, call.transcript) == ([], 400, [])


# What the model says


@each_runtime
def test_the_model_calls_functions_and_is_told_what_they_gave(runtime: str) -> None:
    functions = Functions(on_error=lambda _: None)

    @functions.add
    def add(a: int, b: int) -> int:
        """In a thread, where time is real."""
        sleep(0.01)
        return a + b

    async def agent(call: Call) -> None:
        functions.attach(call)
        await listening(call)

    async def story(call: PhoneCall) -> None:
        call.model.replies(["One moment", function_call("add", a=1, b=2)], "It is three")
        await call.say("What is one and two?")
        await call.listen()

    call = make(story, agent, runtime)
    assert call.model.outputs == ["3"]
    assert call.transcript[-1] == ("agent", "It is three")


def test_a_reply_may_be_decided_when_its_turn_has_come() -> None:
    def reply(request: ResponseRequest) -> str:
        return f"This is number {request.number}"

    async def story(call: PhoneCall) -> None:
        call.model.replies(reply, Text("unspoken"), reply)
        for _ in range(4):
            await call.say("Go on")
            await call.listen()

    words = [said.words for said in make(story).heard]
    assert words == ["This is number 0", "This is number 2"]


# Time, keys, and the end


@each_runtime
def test_time_is_that_of_the_call_for_test_and_agent(runtime: str) -> None:
    times = list[float]()

    async def agent(call: Call) -> None:
        await anyio.sleep(30)
        times.append(anyio.current_time())
        call.send(HangUp())

    async def story(call: PhoneCall) -> None:
        await anyio.sleep(5)
        ended = await call.ended()
        assert ended.reason is EndReason.HUNG_UP
        times.append(call.now_ms / 1000)

    make(story, agent, runtime)
    assert 35 < times[0] < times[1] < 35.5


def test_threads_of_asyncio_itself_take_no_time_of_the_call() -> None:
    async def agent(call: Call) -> None:
        await asyncio.to_thread(sleep, 0.01)
        await to_thread.run_sync(sleep, 0.01)
        call.send(HangUp())

    async def story(call: PhoneCall) -> None:
        await call.ended()

    assert make(story, agent).now_ms < 2000


@each_runtime
def test_handlers_are_agents_and_hear_keys(runtime: str) -> None:
    handlers, keys = Handlers(), list[str]()

    @handlers.on(KeyPressed)
    def pressed(call: Call, event: KeyPressed) -> None:
        keys.append(event.digit)
        if event.digit == "#":
            call.send(HangUp())

    async def story(call: PhoneCall) -> None:
        await call.press("12#")
        await call.press("4")  # nobody is there any more
        await call.say("Hello?")
        call.interrupt_after(ms=0)
        await call.ended()

    make(story, handlers, runtime)
    assert keys == ["1", "2", "#"]


def test_the_agent_sees_the_parameters_of_the_call() -> None:
    async def agent(call: Call) -> None:
        call.send(HangUp() if call.started.custom_parameters == {"who": "Ann"} else Play(b"?"))

    async def story(call: PhoneCall) -> None:
        call.parameters = {"who": "Ann"}
        assert (await call.ended()).reason is EndReason.HUNG_UP

    make(story, agent)


def test_what_a_watcher_does_comes_behind_what_has_happened() -> None:
    async def agent(call: Call) -> None:
        def watch(event: object) -> None:
            if isinstance(event, FunctionCallRequested):
                call.send(SendFunctionOutput(event.call_id, "{}"))

        call.watch(watch)
        await listening(call)

    async def story(call: PhoneCall) -> None:
        call.model.replies(function_call("look"), "Found")
        await call.say("Look")
        await call.listen()

    call = make(story, agent)
    assert call.model.outputs == ["{}"]
    assert call.transcript[-1].words == "Found"


def test_who_has_not_hung_up_does_so_when_the_test_is_over() -> None:
    async def story(call: PhoneCall) -> None:
        await call.told(SessionReady)

    ended = make(story).notifications[-1]
    assert isinstance(ended, CallEnded)
    assert ended.reason is EndReason.CALLER_HUNG_UP


def test_a_test_that_makes_no_call_has_none() -> None:
    async def story(call: PhoneCall) -> None:
        await anyio.sleep(1)

    call = make(story)
    assert (call.heard, call.believed, call.transcript, call.notifications) == ([], [], [], [])
    assert (call.heard_ms, call.model.outputs, call.model.complaints) == (0, [], [])


@each_runtime
def test_tasks_may_speak_at_once_before_the_stream_has_begun(runtime: str) -> None:
    async def story(call: PhoneCall) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.say, "Hello")
            tasks.start_soon(call.say, "Hello")
            tasks.start_soon(call.press, "1")
        assert [line.words for line in call.transcript] == ["Hello", "Hello"]

    make(story, runtime=runtime)


def test_a_caller_follows_turns() -> None:
    async def story(call: PhoneCall) -> None:
        turns = [Turn("Hello", answers=(LONG,)), Turn("And", "5", 300, (LONG, "Yes?"))]
        await call.follow(turns)

    call = make(story)
    assert [line.words for line in call.transcript if line.who == "caller"] == [
        "Hello",
        "And",
        "No, wait",
    ]
    assert any(isinstance(event, KeyPressed) for event in call.notifications)


# What goes wrong


@each_runtime
def test_what_the_test_raises_is_raised_with_the_last_steps(runtime: str) -> None:
    async def story(call: PhoneCall) -> None:
        await call.say("Hello")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as raised:
        make(story, runtime=runtime)
    (note,) = raised.value.__notes__
    assert "bridge.receive_text" in note
    assert "CallStarted" in note


@each_runtime
def test_what_the_agent_raises_is_raised_by_the_end_once(runtime: str) -> None:
    async def agent(call: Call) -> None:
        raise KeyError("its own")

    async def story(call: PhoneCall) -> None:
        with pytest.raises(ApplicationError):
            await call.ended()

    make(story, agent, runtime)

    async def unaware(call: PhoneCall) -> None:
        await call.wait(ms=10)

    with pytest.raises(ApplicationError):
        make(unaware, agent, runtime)


def test_an_agent_that_has_failed_is_the_cause_of_what_the_test_raises() -> None:
    async def agent(call: Call) -> None:
        raise KeyError("its own")

    async def story(call: PhoneCall) -> None:
        await call.listen()
        raise AssertionError("nothing was said")

    with pytest.raises(AssertionError, match="nothing") as raised:
        make(story, agent)
    assert isinstance(raised.value.__cause__, ApplicationError)


class Rude(Bridge):
    """It speaks before the stream has begun."""

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return [*super().opened(peer, now), Send(Peer.TWILIO, Clear("MZ0"))]


@each_runtime
def test_a_broken_invariant_ends_the_test(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.testing.call_harness.Bridge", Rude)

    async def story(call: PhoneCall) -> None:
        await call.say("Hello")
        raise AssertionError("it goes on")

    with pytest.raises(InvariantBroken):
        make(story, runtime=runtime)


@each_runtime
def test_waiting_has_a_limit(runtime: str) -> None:
    async def story(call: PhoneCall) -> None:
        await call.ended(within_ms=2000)

    with pytest.raises(AssertionError, match="the call has not ended in 2 s"):
        make(story, runtime=runtime)


@each_runtime
def test_a_test_that_waits_for_nothing_before_its_call_is_stopped(runtime: str) -> None:
    async def story(call: PhoneCall) -> None:
        await anyio.Event().wait()

    with pytest.raises(TimeoutError, match="the test still waited after 3600 s of its own time"):
        make(story, runtime=runtime)


@each_runtime
def test_so_is_one_that_waits_in_its_call_and_the_steps_shown_are_those_that_tell(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twilio_realtime.testing.phone_call.LIMIT_NS", 60 * SECOND)

    async def story(call: PhoneCall) -> None:
        call.model.replies("Hello")
        await call.say("Hello")
        await anyio.Event().wait()

    with pytest.raises(TimeoutError, match="the test still waited after 60 s") as raised:
        make(story, runtime=runtime)
    (note,) = raised.value.__notes__
    assert '{"type":"response.done","response":{"id":"resp_' in note
    assert "SendPing" not in note
    assert "Mark(" not in note


def test_a_test_may_have_a_limit_of_its_own() -> None:
    async def story(call: PhoneCall) -> None:
        with anyio.fail_after(5):
            await call.told(KeyPressed)

    with pytest.raises(TimeoutError) as raised:
        make(story)
    assert str(raised.value) == ""


@pytest.mark.parametrize(
    "answer",
    [17, b"\xff", ["Hello", 17], Reply(("Hello",)), None],  # type: ignore[arg-type]
)
def test_what_is_no_response_is_told_where_it_is_given(answer: object) -> None:
    call = PhoneCall()
    with pytest.raises(LocalProtocolError, match="a response is words, an item"):
        call.model.replies("Hello", answer)  # type: ignore[arg-type]

    async def story(call: PhoneCall) -> None:
        call.model.replies(lambda _: answer)  # type: ignore[arg-type,return-value]
        await call.say("Hello")
        await call.listen()

    with pytest.raises(LocalProtocolError, match="a response is words, an item"):
        make(story)


def test_nobody_interrupts_before_he_has_heard_anything() -> None:
    async def story(call: PhoneCall) -> None:
        call.interrupt_after(ms=-5)

    with pytest.raises(LocalProtocolError, match="-5 ms"):
        make(story)


def test_there_are_two_runtimes() -> None:
    with pytest.raises(LocalProtocolError, match="trio, asyncio"):
        PhoneCall(runtime="curio").run(lambda _: anyio.sleep(0))
