"""`Functions` in calls, the same on trio and on asyncio."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial, wraps
from typing import Annotated, Any, Literal

import anyio
import msgspec
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from openai.types.realtime import RealtimeFunctionTool

from agent_harness import STARTED, AgentHarness, run_ready_tasks
from driving import RUNTIMES, run_in_real_time, run_in_virtual_time
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.functions import (
    MAX_RUNNING_FUNCTIONS,
    FunctionError,
    FunctionResult,
    Functions,
)
from twilio_realtime.agents.phone_events import CallEvent
from twilio_realtime_core import HangUp, LocalProtocolError, SessionConfig
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.notifications import FunctionCallRequested, KeyPressed

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

SECRET = "my mother's maiden name"


class BugError(Exception):
    """A bug of a function."""


def request(name: str, arguments: str = "{}", call_id: str = "f1") -> FunctionCallRequested:
    return FunctionCallRequested(call_id, name, arguments, "r", f"item-{call_id}")


class FunctionHarness:
    """Functions, the calls that they are attached to, and their errors."""

    def __init__(self, runtime: str) -> None:
        self.errors: list[Exception] = []
        self.functions = Functions(on_error=self.errors.append)
        self.calls = AgentHarness(runtime, self.agent)
        self.read: list[CallEvent] = []

    async def agent(self, call: Call) -> None:
        self.functions.attach(call)
        async for event in call:
            self.read.append(event)

    def run_requests(
        self, *requests: FunctionCallRequested, duration_s: float = 100
    ) -> list[SendFunctionOutput]:
        """Run a call in which the model makes `requests`; return the outputs that it gets."""

        async def script(calls: AgentHarness) -> None:
            calls.notify(*requests)
            await anyio.sleep(duration_s)
            calls.hang_up()

        self.calls.run(script)
        assert self.calls.errors == []
        assert list(requests) == [e for e in self.read if isinstance(e, FunctionCallRequested)]
        return self.calls.connection.outputs

    def run_requests_in_real_time(
        self, *requests: FunctionCallRequested
    ) -> list[SendFunctionOutput]:
        """Do the same in real time, for threads: virtual time would not wait for them."""

        async def script(calls: AgentHarness) -> None:
            calls.notify(*requests)
            while len(calls.connection.outputs) < len(requests):
                await anyio.sleep(0.001)
            calls.hang_up()

        run_in_real_time(self.calls.runtime, partial(self.calls.run_during_calls, script))
        return self.calls.connection.outputs


def error_of(output: SendFunctionOutput) -> str:
    content = json.loads(output.output)
    assert list(content) == ["error"]
    assert output.respond
    return str(content["error"])


# Answers


@each_runtime
def test_a_function_gets_the_arguments_and_is_answered_once(runtime: str) -> None:
    """S71."""
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def weather(city: str, days: int = 1) -> str:
        await anyio.sleep(1)
        return f"{days} sunny days in {city}"

    outputs = harness.run_requests(request("weather", '{"city":"Rome","days":3}'))
    assert outputs == [SendFunctionOutput("f1", "3 sunny days in Rome")]
    assert harness.errors == []


class Colour(Enum):
    RED = "red"


@frozen
class Place:
    street: str
    number: int


@each_runtime
@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("as it is", "as it is"),
        ("", ""),
        ('"quoted"', '"quoted"'),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        (Colour.RED, '"red"'),
        (Place("Main", 1), '{"number":1,"street":"Main"}'),
        ([Place("Main", 1)], '[{"number":1,"street":"Main"}]'),
        ({"z", "y", "x"}, '["x","y","z"]'),
        (7, "7"),
    ],
)
def test_a_string_is_sent_unchanged_and_other_output_as_json(
    runtime: str, result: object, output: str
) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def give() -> object:
        return result

    assert harness.run_requests(request("give")) == [SendFunctionOutput("f1", output)]


class Markup(str):
    """Text of a template engine: a subclass of `str`."""


@each_runtime
def test_text_of_a_subclass_is_sent_as_text(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def page() -> str:
        return Markup("<b>open</b>")

    @harness.functions.add
    async def pages() -> FunctionResult:
        return FunctionResult({"first": Markup("<b>open</b>")})

    outputs = harness.run_requests(request("page"), request("pages", call_id="f2"))
    texts = [each.output for each in outputs]
    assert sorted(texts) == ["<b>open</b>", '{"first":"<b>open</b>"}']
    assert [type(each) for each in texts] == [str, str]
    assert harness.errors == []


@each_runtime
def test_arguments_are_converted_to_the_annotated_types(runtime: str) -> None:
    harness = FunctionHarness(runtime)
    given: list[object] = []

    @harness.functions.add
    async def send(place: Place, colour: Colour = Colour.RED, often: float = 1.5) -> None:
        given.append((place, colour, often))

    @harness.functions.add
    async def ring() -> None:
        given.append("ring")

    harness.run_requests(
        request("send", '{"place":{"street":"Main","number":1},"often":2}'),
        request("ring", "", "f2"),  # some models write nothing where there are no parameters
    )
    assert sorted(given, key=str) == [(Place("Main", 1), Colour.RED, 2.0), "ring"]
    assert harness.errors == []


@each_runtime
def test_the_options_of_a_function_are_those_of_its_output(runtime: str) -> None:
    """S81: the output may wait for playback, which the bridge implements."""
    harness = FunctionHarness(runtime)

    @harness.functions.add(after_playback=True)
    async def patient() -> None: ...

    @harness.functions.add(respond=False, name="mute-one")
    async def silent() -> None: ...

    outputs = harness.run_requests(request("patient"), request("mute-one", call_id="f2"))
    assert sorted(outputs, key=lambda each: each.call_id) == [
        SendFunctionOutput("f1", "null", respond=True, after_playback=True),
        SendFunctionOutput("f2", "null", respond=False, after_playback=False),
    ]


@each_runtime
def test_a_function_decides_at_run_time_how_its_output_is_sent(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add(respond=False, wait_for_others=False)
    async def decide(respond: bool) -> FunctionResult:  # noqa: FBT001 - the model names it
        return FunctionResult({"a": 1}, respond=respond, after_playback=True, wait_for_others=True)

    @harness.functions.add(respond=False, after_playback=True, wait_for_others=False)
    async def leave() -> FunctionResult:
        return FunctionResult("text")

    outputs = harness.run_requests(
        request("decide", '{"respond":true}'), request("leave", call_id="f2")
    )
    assert sorted(outputs, key=lambda each: each.call_id) == [
        SendFunctionOutput("f1", '{"a":1}', respond=True, after_playback=True),
        SendFunctionOutput("f2", "text", False, True, wait_for_others=False),  # noqa: FBT003
    ]
    assert harness.errors == []
    assert "text" not in repr(FunctionResult("text"))


@each_runtime
def test_a_function_words_its_own_error(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add(respond=False, after_playback=True)
    async def book() -> None:
        raise FunctionError("fully booked until May \ud800")

    def pay() -> None:
        raise FunctionError("the card is declined")

    (output,) = harness.run_requests(request("book"))
    assert error_of(output) == "fully booked until May ?"
    assert output.after_playback
    in_real_time = FunctionHarness(runtime)
    in_real_time.functions.add(wait_for_others=False)(pay)
    (refused,) = in_real_time.run_requests_in_real_time(request("pay"))
    assert error_of(refused) == "the card is declined"
    assert not refused.wait_for_others
    assert harness.errors == in_real_time.errors == []


@each_runtime
def test_a_function_with_a_call_parameter_can_hang_up(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add(respond=False)
    async def hang_up(call: Call, reason: str) -> None:
        assert call.started.call_sid == "CA1"
        call.send(HangUp(after_playback=True))

    harness.calls.run(request_and_hang_up(request("hang_up", '{"reason":"done"}')))
    assert harness.calls.connection.commands == [HangUp(after_playback=True)]
    assert "call" not in harness.functions.tools[0]["parameters"]["properties"]


def request_and_hang_up(*requests: FunctionCallRequested) -> Callable[[AgentHarness], Any]:
    async def script(calls: AgentHarness) -> None:
        calls.notify(*requests)
        await run_ready_tasks()
        calls.hang_up()

    return script


@each_runtime
def test_functions_run_concurrently_and_delay_nothing(runtime: str) -> None:
    harness = FunctionHarness(runtime)
    read_at: list[float] = []

    @harness.functions.add
    async def slow(seconds: float) -> float:
        await anyio.sleep(seconds)
        return anyio.current_time()

    async def script(calls: AgentHarness) -> None:
        calls.notify(request("slow", '{"seconds":3}', "f1"), request("slow", '{"seconds":2}', "f2"))
        await anyio.sleep(1)
        calls.notify(KeyPressed("5"))
        await run_ready_tasks()
        assert harness.read[-1] == KeyPressed("5")
        read_at.append(anyio.current_time())
        await anyio.sleep(9)
        calls.hang_up()

    harness.calls.run(script)
    assert [(each.call_id, each.output) for each in harness.calls.connection.outputs] == [
        ("f2", "2.0"),
        ("f1", "3.0"),
    ]
    assert read_at == [1]


@each_runtime
def test_a_sync_function_runs_in_a_thread(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    (output,) = harness.run_requests_in_real_time(request("where"))
    assert output.output == "false"


@each_runtime
def test_functions_continue_after_the_agent_has_returned(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def late() -> str:
        await anyio.sleep(5)
        return "done"

    async def agent(call: Call) -> None:
        harness.functions.attach(call)

    async def script(calls: AgentHarness) -> None:
        await run_ready_tasks()
        calls.notify(request("late"))
        await anyio.sleep(6)
        calls.hang_up()

    calls = AgentHarness(runtime, agent).run(script)
    assert [each.output for each in calls.connection.outputs] == ["done"]


# Errors


@each_runtime
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"city":1}', "Expected `str`, got `int` - at `$.city`"),
        ("{}", "missing required field `city`"),
        ('{"city":"Rome","from":"me"}', "unknown field `from`"),
        ('{"city":"Rome","days":8}', "<= 7"),
        ('{"city":"Ro', "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ("", "missing required field `city`"),
        ('{"city":"\ud800"}', "surrogates not allowed"),
        ("[" * 10_000, "not valid"),
    ],
)
def test_the_model_gets_the_error_in_its_arguments(
    runtime: str, arguments: str, words: str
) -> None:
    """S80: the model may try again, so a response is requested despite `respond=False`."""
    harness = FunctionHarness(runtime)

    @harness.functions.add(respond=False, after_playback=True)
    async def weather(city: str, days: Annotated[int, Meta(le=7)] = 1) -> None:
        raise AssertionError("not to be called")

    (output,) = harness.run_requests(request("weather", arguments))
    assert words in error_of(output)
    assert output.after_playback
    assert harness.errors == []


@each_runtime
def test_an_unknown_function_is_answered_with_an_error(runtime: str) -> None:
    harness = FunctionHarness(runtime)
    (output,) = harness.run_requests(request("absent"))
    assert error_of(output) == "there is no function of this name"


@each_runtime
def test_a_failing_function_is_answered_without_details_and_reported(runtime: str) -> None:
    """S71."""
    harness = FunctionHarness(runtime)

    @harness.functions.add(respond=False)
    async def broken() -> None:
        raise BugError(SECRET)

    (output,) = harness.run_requests(request("broken"))
    assert error_of(output) == "the function has failed"
    (error,) = harness.errors
    assert isinstance(error, ApplicationError)
    assert str(error).startswith("the function broken failed: BugError at test_functions.py:")
    assert SECRET not in str(error)
    assert isinstance(error.__cause__, BugError)


@each_runtime
def test_a_failing_sync_function_is_answered_too(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    def broken() -> None:
        raise BugError(SECRET)

    (output,) = harness.run_requests_in_real_time(request("broken"))
    assert error_of(output) == "the function has failed"
    assert len(harness.errors) == 1


@each_runtime
@pytest.mark.parametrize("exit_class", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_sync_function_that_exits_has_failed(
    runtime: str, exit_class: type[BaseException]
) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    def leave() -> None:
        raise exit_class

    @harness.functions.add
    def stay() -> str:
        return "here"

    outputs = harness.run_requests_in_real_time(request("leave"), request("stay", call_id="f2"))
    by_call = {each.call_id: each for each in outputs}
    assert error_of(by_call["f1"]) == "the function has failed"
    assert by_call["f2"].output == "here"
    (error,) = harness.errors
    assert str(error).startswith(f"the function leave failed: {exit_class.__name__} at test_func")
    assert isinstance(error.__cause__, exit_class)
    assert harness.calls.errors == []


@pytest.mark.parametrize("exit_class", [SystemExit, KeyboardInterrupt])
def test_an_exit_on_the_thread_of_the_loop_passes(exit_class: type[BaseException]) -> None:
    harness = FunctionHarness("trio")

    @harness.functions.add
    async def interrupted() -> None:
        raise exit_class  # as the handler of a signal does

    with pytest.raises(BaseExceptionGroup) as caught:
        harness.run_requests(request("interrupted"))
    assert caught.group_contains(exit_class)
    assert harness.errors == []


async def fail_like_a_cancelled_task() -> None:
    """Raise what awaiting a cancelled task raises."""
    raise asyncio.CancelledError


async def wait_for_a_cancelled_task() -> None:
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    await task


@pytest.mark.parametrize(
    ("runtime", "wait"),
    [
        ("asyncio", wait_for_a_cancelled_task),
        ("asyncio", fail_like_a_cancelled_task),
        ("trio", fail_like_a_cancelled_task),
    ],
)
def test_awaiting_a_cancelled_task_fails_only_that_function(
    runtime: str, wait: Callable[[], Any]
) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def shared() -> None:
        await wait()

    @harness.functions.add
    async def other() -> str:
        await anyio.sleep(1)
        return "done"

    failed, done = harness.run_requests(request("shared"), request("other", call_id="f2"))
    assert error_of(failed) == "the function has failed"
    assert done.output == "done"
    (error,) = harness.errors
    assert "shared failed: CancelledError" in str(error)


@dataclass
class Table:
    guests: int

    def __post_init__(self) -> None:
        if self.guests < 0:
            raise KeyError(self.guests)


@each_runtime
def test_an_exception_in_an_annotated_class_is_a_failed_function(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def book(table: Table) -> None: ...

    (output,) = harness.run_requests(request("book", '{"table":{"guests":-1}}'))
    assert error_of(output) == "the function has failed"
    (error,) = harness.errors
    assert "KeyError" in str(error)


@each_runtime
@pytest.mark.parametrize("seconds", [0, 100])
def test_the_model_is_answered_even_if_reporting_fails(runtime: str, seconds: float) -> None:
    def report(error: Exception) -> None:
        raise BugError

    harness = FunctionHarness(runtime)
    harness.functions = Functions(on_error=report)

    @harness.functions.add(timeout_ms=10_000)
    async def late() -> None:
        await anyio.sleep(seconds)
        raise BugError

    harness.calls.run(request_and_wait(request("late")))
    (output,) = harness.calls.connection.outputs
    assert "error" in output.output
    assert len(harness.calls.errors) == 1


def request_and_wait(*requests: FunctionCallRequested) -> Callable[[AgentHarness], Any]:
    async def script(calls: AgentHarness) -> None:
        calls.notify(*requests)
        await anyio.sleep(20)

    return script


@each_runtime
def test_a_decorated_async_function_is_async(runtime: str) -> None:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def decorated(*args: Any, **named: Any) -> Any:
            return function(*args, **named)

        return decorated

    harness = FunctionHarness(runtime)

    @harness.functions.add
    @decorate
    async def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert [each.output for each in harness.run_requests(request("where"))] == ["true"]
    assert harness.errors == []


@each_runtime
def test_hung_functions_have_a_limit_and_delay_no_other_call(runtime: str) -> None:
    harness = FunctionHarness(runtime)
    release, ended = threading.Event(), threading.Semaphore(0)
    started: list[int] = []

    @harness.functions.add(timeout_ms=50)
    def hang(number: int) -> None:
        started.append(number)
        release.wait()
        ended.release()

    @harness.functions.add
    def quick() -> str:
        return "quick"

    async def script(calls: AgentHarness) -> None:
        async def wait_for_outputs(number: int, count: int) -> list[str]:
            while len(calls.connections[number].outputs) < count:
                await anyio.sleep(0.001)
            return [each.output for each in calls.connections[number].outputs]

        async def hang_all(number: int) -> int:
            """Hang all threads of a call; a request that times out before its thread starts is
            repeated."""
            requested = 0
            while missing := MAX_RUNNING_FUNCTIONS - started.count(number):
                ids = [f"h{requested + n}" for n in range(missing)]
                requests = [
                    request("hang", json.dumps({"number": number}), call_id=id_) for id_ in ids
                ]
                calls.notify(*requests, number=number)
                requested += missing
                await wait_for_outputs(number, requested)
            return requested

        requested = [await hang_all(number) for number in (0, 1)]
        calls.notify(request("quick"))  # all threads of this call are in use
        assert "too many" in (await wait_for_outputs(0, requested[0] + 1))[-1]
        calls.notify(request("quick"), number=2)
        assert await wait_for_outputs(2, 1) == ["quick"]
        release.set()
        for _ in started:
            await anyio.to_thread.run_sync(ended.acquire)
        answered, answer = requested[0] + 1, ""
        while answer != "quick":  # each thread becomes free soon after
            calls.notify(request("quick", call_id=f"again{answered}"))
            answered += 1
            answer = (await wait_for_outputs(0, answered))[-1]
        for number in range(3):
            calls.hang_up(number)

    try:
        run_in_real_time(runtime, partial(harness.calls.run_during_calls, script, 3))
    finally:
        release.set()
    assert harness.calls.errors == []


def circle() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


@each_runtime
@pytest.mark.parametrize("result", [object(), circle(), {(1, 2): 3}, "\ud800", ["\ud800"]])
def test_output_that_is_no_json_is_answered_and_reported(runtime: str, result: object) -> None:
    """S90."""
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def give() -> object:
        return result

    (output,) = harness.run_requests(request("give"))
    assert error_of(output) == "the function has failed"
    (error,) = harness.errors
    assert str(error).startswith("the function give failed: ")


@each_runtime
def test_a_function_over_its_timeout_is_cancelled_answered_and_reported(runtime: str) -> None:
    """S71."""
    harness = FunctionHarness(runtime)
    cancelled: list[float] = []

    @harness.functions.add(timeout_ms=2500)
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(anyio.current_time())

    (output,) = harness.run_requests(request("slow"))
    assert error_of(output) == "the function was not done in 2.5 s"
    assert cancelled == [2.5]
    assert [str(each) for each in harness.errors] == ["the function slow was not done in 2.5 s"]


@each_runtime
def test_output_of_a_thread_after_its_timeout_is_dropped(runtime: str) -> None:
    def is_dropped(timeout_ms: int) -> bool:
        """Whether it is; false if the thread had not started when its time was over."""
        harness = FunctionHarness(runtime)
        started, release, returned = threading.Event(), threading.Event(), threading.Event()

        @harness.functions.add(timeout_ms=timeout_ms)
        def slow() -> str:
            started.set()
            release.wait()
            returned.set()
            return "too late"

        async def script(calls: AgentHarness) -> None:
            calls.notify(request("slow"))
            while not calls.connection.outputs:
                await anyio.sleep(0.001)
            has_started = started.is_set()
            release.set()
            while has_started and not returned.is_set():
                await anyio.sleep(0.001)
            await run_ready_tasks()
            calls.hang_up()

        run_in_real_time(runtime, partial(harness.calls.run_during_calls, script))
        (output,) = harness.calls.connection.outputs
        assert error_of(output) == f"the function was not done in {timeout_ms / 1000} s"
        return returned.is_set()

    assert any(is_dropped(timeout_ms) for timeout_ms in (10, 100, 1500))


@each_runtime
def test_functions_are_cancelled_without_output_when_the_caller_hangs_up(runtime: str) -> None:
    """S71."""
    harness = FunctionHarness(runtime)
    cancelled: list[float] = []

    @harness.functions.add
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(anyio.current_time())

    assert harness.run_requests(request("slow"), duration_s=1) == []
    assert cancelled == [1]
    assert harness.errors == []


@each_runtime
def test_an_output_already_sent_by_the_application_is_only_reported(runtime: str) -> None:
    """No request is answered twice."""
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def contested(call: Call) -> str:
        call.send(SendFunctionOutput("f1", "mine"))
        return "too late"

    assert [each.output for each in harness.run_requests(request("contested"))] == ["mine"]
    (error,) = harness.errors
    assert str(error).startswith("an output of contested could not be sent: LocalProtocolError")


@each_runtime
def test_an_output_that_cannot_be_sent_is_answered_with_an_error(runtime: str) -> None:
    errors, sent = list[Exception](), list[Any]()
    functions = Functions(on_error=errors.append)

    @functions.add(wait_for_others=False)
    async def page() -> str:
        return "too long for this bridge"

    def refuse_long(command: Any) -> None:
        if "too long" in command.output:
            raise LocalProtocolError("SendFunctionOutput.output is too long")
        sent.append(command)

    async def agent(call: Call) -> None:
        functions.attach(call)

    async def run() -> None:
        call = Call(STARTED, refuse_long)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, agent)
            await run_ready_tasks()
            call.notify(request("page"))
            await anyio.sleep(1)
            call.close()

    run_in_virtual_time(runtime, run)
    (output,) = sent
    assert error_of(output) == "the function has failed"
    assert not output.wait_for_others
    (error,) = errors
    assert str(error).startswith("an output of page could not be sent: LocalProtocolError")


@each_runtime
def test_running_functions_of_one_call_are_limited(runtime: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add(timeout_ms=5000)
    async def slow() -> None:
        await anyio.sleep(1)

    many = [request("slow", call_id=str(n)) for n in range(MAX_RUNNING_FUNCTIONS + 2)]

    async def script(calls: AgentHarness) -> None:
        calls.notify(*many)
        await anyio.sleep(2)
        calls.notify(request("slow", call_id="later"))  # slots are free again
        await anyio.sleep(2)
        calls.hang_up()

    harness.calls.run(script)
    (*refused,) = (each for each in harness.calls.connection.outputs if each.output != "null")
    assert [each.call_id for each in refused] == [str(MAX_RUNNING_FUNCTIONS + n) for n in range(2)]
    assert all(error_of(each).startswith("too many functions") for each in refused)
    assert harness.calls.connection.outputs[-1] == SendFunctionOutput("later", "null")
    assert len(harness.calls.connection.outputs) == len(many) + 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@each_runtime
@settings(max_examples=25)
@given(arguments=st.text(max_size=20) | json_values.map(json.dumps))
def test_any_arguments_are_answered_once(runtime: str, arguments: str) -> None:
    harness = FunctionHarness(runtime)

    @harness.functions.add
    async def weather(city: str, days: int | None = None) -> str:
        return f"sunny in {city}"

    (output,) = harness.run_requests(request("weather", arguments), duration_s=1)
    assert output.call_id == "f1"
    assert harness.errors == []


# Tools for the model


def nobody(error: Exception) -> None:
    raise error


def register_tool(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    functions = Functions(on_error=nobody)
    functions.add(**options)(function)
    (tool,) = functions.tools
    RealtimeFunctionTool.model_validate(tool)
    assert SessionConfig(tools=functions.tools).tools == functions.tools
    return dict(tool)


def test_a_tool_is_made_of_the_signature_and_the_docstring() -> None:
    def book(
        city: Annotated[str, Meta(description="Where to.", min_length=1)],
        kind: Literal["day", "night"] = "day",
        *,
        guests: list[str] = [],  # noqa: B006
        place: Place | None = None,
    ) -> None:
        """Books a trip.

        Only for the next seven days.
        """

    assert register_tool(book) == {
        "type": "function",
        "name": "book",
        "description": "Books a trip.\n\nOnly for the next seven days.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"description": "Where to.", "type": "string", "minLength": 1},
                "kind": {"enum": ["day", "night"], "default": "day"},
                "guests": {"type": "array", "items": {"type": "string"}, "default": []},
                "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None},
            },
            "required": ["city"],
            "additionalProperties": False,
            "$defs": {
                "Place": {
                    "title": "Place",
                    "type": "object",
                    "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
                    "required": ["street", "number"],
                }
            },
        },
    }


def test_a_function_without_parameters_or_docstring_has_a_tool() -> None:
    def ring() -> None: ...

    assert register_tool(ring) == {
        "type": "function",
        "name": "ring",
        "parameters": {
            "type": "object",
            "properties": {},
            "required": [],
            "additionalProperties": False,
        },
    }


def test_a_class_named_arguments_does_not_clash_with_the_schema() -> None:
    class arguments(msgspec.Struct):  # noqa: N801
        one: int

    def give(two: arguments) -> None: ...

    give.__annotations__["two"] = arguments
    schema = register_tool(give)["parameters"]
    assert list(schema["properties"]) == ["two"]
    assert len(schema["$defs"]) == 1


def test_methods_can_be_registered_under_other_names() -> None:
    class Shop:
        def order(self, number: int) -> None:
            """Orders one."""

    tool = register_tool(Shop().order, name="order-one")
    assert tool["name"] == "order-one"
    assert list(tool["parameters"]["properties"]) == ["number"]


def several(*cities: str) -> None: ...
def others(**cities: str) -> None: ...
def by_place(city: str, /) -> None: ...
def no_json(city: object) -> None: ...
def full_list(cities: list[str] = ["Rome"]) -> None: ...  # noqa: B006
def takes_call(call: Call) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (several, "several: cities must be"),
        (others, "others: cities must be"),
        (by_place, "by_place: city must be"),
        (no_json, "no_json: there is no JSON schema"),
        (full_list, "full_list: there is no JSON schema"),
        (takes_call, "takes_call takes the call, so it must be async"),
    ],
)
def test_a_function_without_a_schema_cannot_be_registered(
    function: Callable[..., Any], words: str
) -> None:
    functions = Functions(on_error=nobody)
    with pytest.raises(LocalProtocolError, match=words):
        functions.add(function)
    assert functions.tools == ()


def test_a_parameter_without_an_annotation_cannot_be_registered() -> None:
    def give(city: str) -> None: ...

    give.__annotations__.clear()
    words = "give: city must be a parameter with a name and an annotation"
    with pytest.raises(LocalProtocolError, match=words):
        Functions(on_error=nobody).add(give)


def test_an_annotation_with_an_undefined_name_cannot_be_registered() -> None:
    def give(city: str) -> None: ...

    give.__annotations__["city"] = "Absent"
    with pytest.raises(LocalProtocolError, match="give: name 'Absent' is not defined"):
        Functions(on_error=nobody).add(give)


class Weather:
    async def __call__(self, city: str) -> None: ...


async def badly_annotated(city: "anyio.nothing") -> None:  # type: ignore[name-defined]
    ...


NO_FUNCTIONS: list[Any] = [partial(takes_call), Weather(), print, badly_annotated]


@pytest.mark.parametrize("function", NO_FUNCTIONS, ids=type)
def test_objects_that_are_no_functions_cannot_be_registered(function: Any) -> None:
    with pytest.raises(LocalProtocolError):
        Functions(on_error=nobody).add(function)
    with pytest.raises(LocalProtocolError):
        Functions(on_error=nobody).add(name="f")(function)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", ": it has 0 characters"),
        ("two words", ": it has ' '"),
        ("été", r": it has '\\xe9'"),
        (65 * "x", ": it has 65 characters"),
        (5, ", not int"),
    ],
)
def test_a_name_that_the_api_rejects_cannot_be_registered(name: Any, fault: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"unused: name must be a name of .*{fault}$"):
        Functions(on_error=nobody).add(name=name)(unused)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"timeout_ms": each}, r"timeout_ms must be 1 to .* ms \(int\), not")
            for each in ("5", None, 0, -1, 1.5, float("nan"), True)
        ),
        ({"respond": "no"}, "respond must be True or False, not str"),
        ({"after_playback": 1}, "after_playback must be True or False, not int"),
        ({"wait_for_others": None}, "wait_for_others must be True or False, not None"),
    ],
)
def test_options_of_a_function_have_their_types(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^{message}"):
        Functions(on_error=nobody).add(**options)


def test_functions_report_to_a_function() -> None:
    wrong: Any = 5
    with pytest.raises(LocalProtocolError, match=r"Functions\.on_error must be callable, not int"):
        Functions(on_error=wrong)
    with pytest.raises(LocalProtocolError, match=r"FunctionResult\.respond must be True or False"):
        FunctionResult("x", respond=wrong)


def test_two_functions_of_one_name_cannot_be_registered() -> None:
    functions = Functions(on_error=nobody)
    assert functions.add(unused) is unused
    with pytest.raises(LocalProtocolError, match="there is a function unused already"):
        functions.add(unused)


def unused() -> None: ...
