"""The model calls Python functions, the same on trio and on asyncio."""

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

from agent_harness import Exchange, settle
from driving import RUNTIMES, run
from twilio_realtime.agents import functions as module
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.functions import Functions
from twilio_realtime_core import HangUp, LocalProtocolError, SessionConfig
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.notifications import FunctionCallRequested, KeyPressed, Notification

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

SECRET = "my mother's maiden name"


class BugError(Exception):
    """What a function does not foresee."""


def request(name: str, arguments: str = "{}", call_id: str = "f1") -> FunctionCallRequested:
    return FunctionCallRequested(call_id, name, arguments, "r", f"item-{call_id}")


class Desk:
    """Functions, the call they are attached to, and what went wrong in them."""

    def __init__(self, runtime: str) -> None:
        self.errors: list[Exception] = []
        self.functions = Functions(on_error=self.errors.append)
        self.exchange = Exchange(runtime, self.agent)
        self.read: list[Notification] = []

    async def agent(self, call: Call) -> None:
        self.functions.attach(call)
        async for event in call:
            self.read.append(event)

    def ask(self, *requests: FunctionCallRequested, wait: float = 100) -> list[SendFunctionOutput]:
        """The model asks, and the caller hangs up much later; what it is answered."""

        async def script(exchange: Exchange) -> None:
            exchange.tell(*requests)
            await anyio.sleep(wait)
            exchange.hang_up()

        self.exchange.run(script)
        assert self.exchange.errors == []
        assert list(requests) == [e for e in self.read if isinstance(e, FunctionCallRequested)]
        return self.exchange.line.outputs

    def ask_in_real_time(self, *requests: FunctionCallRequested) -> list[SendFunctionOutput]:
        """The same where threads run: virtual time would not wait for them."""

        async def script(exchange: Exchange) -> None:
            exchange.tell(*requests)
            while len(exchange.line.outputs) < len(requests):
                await anyio.sleep(0.001)
            exchange.hang_up()

        run(self.exchange.runtime, partial(self.exchange.during_calls, script))
        return self.exchange.line.outputs


def error_of(output: SendFunctionOutput) -> str:
    told = json.loads(output.output)
    assert list(told) == ["error"]
    assert output.respond
    return str(told["error"])


# Answers


@each_runtime
def test_a_function_is_called_with_what_the_model_gives_and_answers_once(runtime: str) -> None:
    """S71."""
    desk = Desk(runtime)

    @desk.functions.add
    async def weather(city: str, days: int = 1) -> str:
        await anyio.sleep(1)
        return f"{days} sunny days in {city}"

    outputs = desk.ask(request("weather", '{"city":"Rome","days":3}'))
    assert outputs == [SendFunctionOutput("f1", "3 sunny days in Rome")]
    assert desk.errors == []


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
def test_a_string_is_sent_as_it_is_and_anything_else_as_json(
    runtime: str, result: object, output: str
) -> None:
    desk = Desk(runtime)

    @desk.functions.add
    async def give() -> object:
        return result

    assert desk.ask(request("give")) == [SendFunctionOutput("f1", output)]


@each_runtime
def test_arguments_become_what_the_annotations_say(runtime: str) -> None:
    desk = Desk(runtime)
    given: list[object] = []

    @desk.functions.add
    async def send(place: Place, colour: Colour = Colour.RED, often: float = 1.5) -> None:
        given.append((place, colour, often))

    @desk.functions.add
    async def ring() -> None:
        given.append("ring")

    desk.ask(
        request("send", '{"place":{"street":"Main","number":1},"often":2}'),
        request("ring", "", "f2"),  # some models write nothing where there are no parameters
    )
    assert sorted(given, key=str) == [(Place("Main", 1), Colour.RED, 2.0), "ring"]
    assert desk.errors == []


@each_runtime
def test_a_function_says_how_it_is_to_be_answered(runtime: str) -> None:
    """S81: the answer may wait until the agent was heard; the call itself does that."""
    desk = Desk(runtime)

    @desk.functions.add(once_heard=True)
    async def patient() -> None: ...

    @desk.functions.add(respond=False, name="mute-one")
    async def silent() -> None: ...

    outputs = desk.ask(request("patient"), request("mute-one", call_id="f2"))
    assert sorted(outputs, key=lambda each: each.call_id) == [
        SendFunctionOutput("f1", "null", respond=True, after_playback=True),
        SendFunctionOutput("f2", "null", respond=False, after_playback=False),
    ]


@each_runtime
def test_a_function_that_takes_the_call_can_end_it(runtime: str) -> None:
    desk = Desk(runtime)

    @desk.functions.add(respond=False)
    async def hang_up(call: Call, reason: str) -> None:
        assert call.started.call_sid == "CA1"
        call.send(HangUp(after_playback=True))

    desk.exchange.run(ask_and_hang_up(request("hang_up", '{"reason":"done"}')))
    assert desk.exchange.line.commands == [HangUp(after_playback=True)]
    assert "call" not in desk.functions.tools[0]["parameters"]["properties"]


def ask_and_hang_up(*requests: FunctionCallRequested) -> Callable[[Exchange], Any]:
    async def script(exchange: Exchange) -> None:
        exchange.tell(*requests)
        await settle()
        exchange.hang_up()

    return script


@each_runtime
def test_functions_run_side_by_side_and_hold_up_nothing(runtime: str) -> None:
    desk = Desk(runtime)
    read_at: list[float] = []

    @desk.functions.add
    async def slow(seconds: float) -> float:
        await anyio.sleep(seconds)
        return anyio.current_time()

    async def script(exchange: Exchange) -> None:
        exchange.tell(
            request("slow", '{"seconds":3}', "f1"), request("slow", '{"seconds":2}', "f2")
        )
        await anyio.sleep(1)
        exchange.tell(KeyPressed("5"))
        await settle()
        assert desk.read[-1] == KeyPressed("5")
        read_at.append(anyio.current_time())
        await anyio.sleep(9)
        exchange.hang_up()

    desk.exchange.run(script)
    assert [(each.call_id, each.output) for each in desk.exchange.line.outputs] == [
        ("f2", "2.0"),
        ("f1", "3.0"),
    ]
    assert read_at == [1]


@each_runtime
def test_a_sync_function_runs_in_a_thread_of_its_own(runtime: str) -> None:
    desk = Desk(runtime)

    @desk.functions.add
    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    (output,) = desk.ask_in_real_time(request("where"))
    assert output.output == "false"


@each_runtime
def test_functions_go_on_after_the_agent_has_returned(runtime: str) -> None:
    desk = Desk(runtime)

    @desk.functions.add
    async def late() -> str:
        await anyio.sleep(5)
        return "done"

    async def agent(call: Call) -> None:
        desk.functions.attach(call)

    async def script(exchange: Exchange) -> None:
        await settle()
        exchange.tell(request("late"))
        await anyio.sleep(6)
        exchange.hang_up()

    exchange = Exchange(runtime, agent).run(script)
    assert [each.output for each in exchange.line.outputs] == ["done"]


# What goes wrong


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
def test_the_model_is_told_what_is_wrong_with_its_arguments(
    runtime: str, arguments: str, words: str
) -> None:
    """S80: it may then try again, so it goes on, whatever the function says of its answers."""
    desk = Desk(runtime)

    @desk.functions.add(respond=False, once_heard=True)
    async def weather(city: str, days: Annotated[int, Meta(le=7)] = 1) -> None:
        raise AssertionError("not to be called")

    (output,) = desk.ask(request("weather", arguments))
    assert words in error_of(output)
    assert output.after_playback
    assert desk.errors == []


@each_runtime
def test_the_model_is_told_that_there_is_no_such_function(runtime: str) -> None:
    desk = Desk(runtime)
    (output,) = desk.ask(request("absent"))
    assert error_of(output) == "there is no function of this name"


@each_runtime
def test_a_function_that_raises_is_answered_without_its_words_and_reported(runtime: str) -> None:
    """S71."""
    desk = Desk(runtime)

    @desk.functions.add(respond=False)
    async def broken() -> None:
        raise BugError(SECRET)

    (output,) = desk.ask(request("broken"))
    assert error_of(output) == "the function has failed"
    (error,) = desk.errors
    assert isinstance(error, ApplicationError)
    assert str(error).startswith("the function broken failed: BugError at test_functions.py:")
    assert SECRET not in str(error)
    assert isinstance(error.__cause__, BugError)


@each_runtime
def test_a_sync_function_that_raises_is_answered_as_well(runtime: str) -> None:
    desk = Desk(runtime)

    @desk.functions.add
    def broken() -> None:
        raise BugError(SECRET)

    (output,) = desk.ask_in_real_time(request("broken"))
    assert error_of(output) == "the function has failed"
    assert len(desk.errors) == 1


async def fail_like_a_cancelled_task() -> None:
    """What it waits for has been cancelled by somebody else."""
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
def test_a_function_that_waits_for_what_was_cancelled_fails_alone(
    runtime: str, wait: Callable[[], Any]
) -> None:
    desk = Desk(runtime)

    @desk.functions.add
    async def shared() -> None:
        await wait()

    @desk.functions.add
    async def other() -> str:
        await anyio.sleep(1)
        return "done"

    failed, done = desk.ask(request("shared"), request("other", call_id="f2"))
    assert error_of(failed) == "the function has failed"
    assert done.output == "done"
    (error,) = desk.errors
    assert "shared failed: CancelledError" in str(error)


@dataclass
class Table:
    guests: int

    def __post_init__(self) -> None:
        if self.guests < 0:
            raise KeyError(self.guests)


@each_runtime
def test_a_class_of_an_annotation_that_raises_is_a_function_that_fails(runtime: str) -> None:
    desk = Desk(runtime)

    @desk.functions.add
    async def book(table: Table) -> None: ...

    (output,) = desk.ask(request("book", '{"table":{"guests":-1}}'))
    assert error_of(output) == "the function has failed"
    (error,) = desk.errors
    assert "KeyError" in str(error)


@each_runtime
@pytest.mark.parametrize("seconds", [0, 100])
def test_the_model_is_answered_though_the_report_fails(runtime: str, seconds: float) -> None:
    def report(error: Exception) -> None:
        raise BugError

    desk = Desk(runtime)
    desk.functions = Functions(on_error=report)

    @desk.functions.add(timeout_seconds=10)
    async def late() -> None:
        await anyio.sleep(seconds)
        raise BugError

    desk.exchange.run(ask_and_wait(request("late")))
    (output,) = desk.exchange.line.outputs
    assert "error" in output.output
    assert len(desk.exchange.errors) == 1


def ask_and_wait(*requests: FunctionCallRequested) -> Callable[[Exchange], Any]:
    async def script(exchange: Exchange) -> None:
        exchange.tell(*requests)
        await anyio.sleep(20)

    return script


@each_runtime
def test_an_async_function_that_is_decorated_is_async(runtime: str) -> None:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def decorated(*args: Any, **named: Any) -> Any:
            return function(*args, **named)

        return decorated

    desk = Desk(runtime)

    @desk.functions.add
    @decorate
    async def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert [each.output for each in desk.ask(request("where"))] == ["true"]
    assert desk.errors == []


@each_runtime
def test_hung_functions_hold_up_no_other_call_and_have_a_limit(runtime: str) -> None:
    desk = Desk(runtime)
    release, ended = threading.Event(), threading.Semaphore(0)
    begun: list[int] = []

    @desk.functions.add(timeout_seconds=0.05)
    def hang(line: int) -> None:
        begun.append(line)
        release.wait()
        ended.release()

    @desk.functions.add
    def quick() -> str:
        return "quick"

    async def script(exchange: Exchange) -> None:
        async def answers(line: int, many: int) -> list[str]:
            while len(exchange.lines[line].outputs) < many:
                await anyio.sleep(0.001)
            return [each.output for each in exchange.lines[line].outputs]

        async def hang_all(line: int) -> int:
            """A request whose time is over before its thread begins hangs in none: ask again."""
            asked = 0
            while missing := module.MAX_RUNNING - begun.count(line):
                ids = [f"h{asked + n}" for n in range(missing)]
                asks = [request("hang", json.dumps({"line": line}), call_id=id_) for id_ in ids]
                exchange.tell(*asks, number=line)
                asked += missing
                await answers(line, asked)
            return asked

        asked = [await hang_all(line) for line in (0, 1)]
        exchange.tell(request("quick"))  # the threads of this call are all taken
        assert "too many" in (await answers(0, asked[0] + 1))[-1]
        exchange.tell(request("quick"), number=2)
        assert await answers(2, 1) == ["quick"]
        release.set()
        for _ in begun:
            await anyio.to_thread.run_sync(ended.acquire)
        answered, answer = asked[0] + 1, ""
        while answer != "quick":  # each thread is free again soon after
            exchange.tell(request("quick", call_id=f"again{answered}"))
            answered += 1
            answer = (await answers(0, answered))[-1]
        for line in range(3):
            exchange.hang_up(line)

    try:
        run(runtime, partial(desk.exchange.during_calls, script, 3))
    finally:
        release.set()
    assert desk.exchange.errors == []


def circle() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


@each_runtime
@pytest.mark.parametrize("result", [object(), circle(), {(1, 2): 3}, "\ud800", ["\ud800"]])
def test_what_is_no_json_is_answered_with_an_error_and_reported(
    runtime: str, result: object
) -> None:
    """S90."""
    desk = Desk(runtime)

    @desk.functions.add
    async def give() -> object:
        return result

    (output,) = desk.ask(request("give"))
    assert error_of(output) == "the function has failed"
    (error,) = desk.errors
    assert str(error).startswith("the function give failed: ")


@each_runtime
def test_a_function_that_takes_too_long_is_cancelled_answered_and_reported(runtime: str) -> None:
    """S71."""
    desk = Desk(runtime)
    cancelled: list[float] = []

    @desk.functions.add(timeout_seconds=2.5)
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(anyio.current_time())

    (output,) = desk.ask(request("slow"))
    assert error_of(output) == "the function was not done in 2.5 s"
    assert cancelled == [2.5]
    assert [str(each) for each in desk.errors] == ["the function slow was not done in 2.5 s"]


@each_runtime
def test_what_a_thread_returns_too_late_is_not_sent(runtime: str) -> None:
    desk = Desk(runtime)
    release, returned = threading.Event(), threading.Event()

    @desk.functions.add(timeout_seconds=0.01)
    def slow() -> str:
        release.wait()
        returned.set()
        return "too late"

    async def script(exchange: Exchange) -> None:
        exchange.tell(request("slow"))
        while not exchange.line.outputs:
            await anyio.sleep(0.001)
        release.set()
        while not returned.is_set():
            await anyio.sleep(0.001)
        await settle()
        exchange.hang_up()

    run(runtime, partial(desk.exchange.during_calls, script))
    (output,) = desk.exchange.line.outputs
    assert error_of(output) == "the function was not done in 0.01 s"


@each_runtime
def test_when_the_caller_hangs_up_functions_are_cancelled_and_nothing_is_sent(runtime: str) -> None:
    """S71."""
    desk = Desk(runtime)
    cancelled: list[float] = []

    @desk.functions.add
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(anyio.current_time())

    assert desk.ask(request("slow"), wait=1) == []
    assert cancelled == [1]
    assert desk.errors == []


@each_runtime
def test_an_answer_that_somebody_else_has_given_is_reported_and_ends_nothing(runtime: str) -> None:
    """One request is never answered twice."""
    desk = Desk(runtime)

    @desk.functions.add
    async def contested(call: Call) -> str:
        call.send(SendFunctionOutput("f1", "mine"))
        return "too late"

    assert [each.output for each in desk.ask(request("contested"))] == ["mine"]
    (error,) = desk.errors
    assert str(error).startswith("an output of contested could not be sent: LocalProtocolError")


@each_runtime
def test_a_model_that_asks_without_end_does_not_start_tasks_without_end(runtime: str) -> None:
    desk = Desk(runtime)

    @desk.functions.add(timeout_seconds=5)
    async def slow() -> None:
        await anyio.sleep(1)

    many = [request("slow", call_id=str(n)) for n in range(module.MAX_RUNNING + 2)]

    async def script(exchange: Exchange) -> None:
        exchange.tell(*many)
        await anyio.sleep(2)
        exchange.tell(request("slow", call_id="later"))  # there is room again
        await anyio.sleep(2)
        exchange.hang_up()

    desk.exchange.run(script)
    (*refused,) = (each for each in desk.exchange.line.outputs if each.output != "null")
    assert [each.call_id for each in refused] == [str(module.MAX_RUNNING + n) for n in range(2)]
    assert all(error_of(each).startswith("too many functions") for each in refused)
    assert desk.exchange.line.outputs[-1] == SendFunctionOutput("later", "null")
    assert len(desk.exchange.line.outputs) == len(many) + 1


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
def test_whatever_the_model_writes_it_is_answered_once(runtime: str, arguments: str) -> None:
    desk = Desk(runtime)

    @desk.functions.add
    async def weather(city: str, days: int | None = None) -> str:
        return f"sunny in {city}"

    (output,) = desk.ask(request("weather", arguments), wait=1)
    assert output.call_id == "f1"
    assert desk.errors == []


# What the model is told


def nobody(error: Exception) -> None:
    raise error


def tool_of(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    functions = Functions(on_error=nobody)
    functions.add(**options)(function)
    (tool,) = functions.tools
    RealtimeFunctionTool.model_validate(tool)
    assert SessionConfig(tools=functions.tools).tools == functions.tools
    return dict(tool)


def test_the_schema_comes_from_the_signature_and_the_docstring() -> None:
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

    assert tool_of(book) == {
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


def test_a_function_without_parameters_and_docstring_is_told_as_such() -> None:
    def ring() -> None: ...

    assert tool_of(ring) == {
        "type": "function",
        "name": "ring",
        "parameters": {
            "type": "object",
            "properties": {},
            "required": [],
            "additionalProperties": False,
        },
    }


def test_a_class_named_as_the_parameters_are_does_not_get_in_their_way() -> None:
    class arguments(msgspec.Struct):  # noqa: N801
        one: int

    def give(two: arguments) -> None: ...

    give.__annotations__["two"] = arguments
    schema = tool_of(give)["parameters"]
    assert list(schema["properties"]) == ["two"]
    assert len(schema["$defs"]) == 1


def test_methods_can_be_registered_under_names_of_their_own() -> None:
    class Shop:
        def order(self, number: int) -> None:
            """Orders one."""

    tool = tool_of(Shop().order, name="order-one")
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
def test_what_the_model_cannot_be_told_is_refused_when_it_is_registered(
    function: Callable[..., Any], words: str
) -> None:
    functions = Functions(on_error=nobody)
    with pytest.raises(LocalProtocolError, match=words):
        functions.add(function)
    assert functions.tools == ()


def test_a_parameter_without_an_annotation_is_refused() -> None:
    def give(city: str) -> None: ...

    give.__annotations__.clear()
    words = "give: city must be a parameter with a name and an annotation"
    with pytest.raises(LocalProtocolError, match=words):
        Functions(on_error=nobody).add(give)


def test_an_annotation_that_the_module_does_not_know_is_refused() -> None:
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
def test_what_is_no_function_or_badly_annotated_is_refused(function: Any) -> None:
    with pytest.raises(LocalProtocolError):
        Functions(on_error=nobody).add(function)
    with pytest.raises(LocalProtocolError):
        Functions(on_error=nobody).add(name="f")(function)


@pytest.mark.parametrize("name", ["two words", "été", 65 * "x"])
def test_a_name_that_the_api_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="is none for the API"):
        Functions(on_error=nobody).add(name=name)(unused)


def test_two_functions_of_one_name_are_refused() -> None:
    functions = Functions(on_error=nobody)
    assert functions.add(unused) is unused
    with pytest.raises(LocalProtocolError, match="there is a function unused already"):
        functions.add(unused)


def unused() -> None: ...
