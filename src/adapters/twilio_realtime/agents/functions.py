"""Python functions that the model can call.

functions = Functions(on_error=report)

@functions.add
async def weather(city: str) -> str:
    '''Tells the weather of a city.'''
    return await forecast(city)

SessionConfig(tools=functions.tools)    # describes them to the model
functions.attach(call)                  # by the agent: answers the function calls of `call`

Functions run in tasks of the call. They delay neither audio nor the notifications of the agent.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar, overload

import anyio
import msgspec
from anyio import CapacityLimiter, to_thread
from attrs import define, field, frozen

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.machine.arguments import BOOLEAN, CALLABLE, NULL, milliseconds
from twilio_realtime_core.notifications import FunctionCallRequested
from twilio_realtime_core.values.identifiers import FUNCTION_NAME

from .call import Call
from .failures import ApplicationError, describe_error, is_application_failure
from .function_schemas import FunctionSchema
from .phone_events import CallEvent

__all__ = [
    "MAX_RUNNING_FUNCTIONS",
    "TIMEOUT_MS",
    "FunctionError",
    "FunctionResult",
    "Functions",
]

TIMEOUT_MS: Final = 15_000
"""Default of a function's `timeout_ms`: callers who hear nothing for longer assume
that the line is dead."""

MAX_RUNNING_FUNCTIONS: Final = 32
"""Functions of one call that may run at a time, abandoned threads included. A response requests a
handful; a model that requests calls without end must not start tasks or threads without end."""

_TIMEOUT: Final = milliseconds(1)

F = TypeVar("F", bound=Callable[..., Any])


@frozen
class FunctionResult:
    """The output of a function, and whether and when the model responds to it.

    A function returns it in place of its output to decide this at run time. A field that is `None`
    has the value with which the function was registered.
    """

    output: object = field(repr=False)
    """A string as it is, anything else as JSON."""
    respond: bool | None = field(default=None, kw_only=True, validator=BOOLEAN | NULL)
    """Whether the model responds to the output."""
    after_playback: bool | None = field(default=None, kw_only=True, validator=BOOLEAN | NULL)
    """Whether the output is sent once all audio of the agent so far has been heard."""
    wait_for_others: bool | None = field(default=None, kw_only=True, validator=BOOLEAN | NULL)
    """Whether the response waits for the outputs of the other function calls of its response."""


class FunctionError(Exception):
    """A failure of a function that the model may know of.

    A function raises it with the words for the model, which gets them as `{"error": ...}`. It is
    not reported to `Functions.on_error`.
    """


@define(eq=False, repr=False)
class Functions:
    """A registry of functions that the model can call, for all calls or for each.

    Each function call of the model is answered once, by a `SendFunctionOutput` of what the function
    returned: a string as it is, anything else as JSON, and a `FunctionResult` as it says. The
    output is `{"error": ...}` if the name or the arguments are wrong (it says how, so that the
    model can try again), if the function raised `FunctionError` (it has the words of that), and if
    the function raised anything else, returned what is no JSON, or took too long (it says no more
    than that). When the call ends, running functions are cancelled, and nothing is sent.

    `on_error` gets an `ApplicationError` for each function that failed; the call continues.
    """

    _on_error: Callable[[Exception], None] = field(
        kw_only=True, alias="on_error", validator=CALLABLE
    )
    _functions: dict[str, "_RegisteredFunction"] = field(
        init=False, factory=dict[str, "_RegisteredFunction"]
    )

    @overload
    def add(self, function: F, /) -> F: ...

    @overload
    def add(
        self,
        /,
        *,
        name: str | None = None,
        timeout_ms: int = TIMEOUT_MS,
        after_playback: bool = False,
        respond: bool = True,
        wait_for_others: bool = True,
    ) -> Callable[[F], F]: ...

    def add(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        timeout_ms: int = TIMEOUT_MS,
        after_playback: bool = False,
        respond: bool = True,
        wait_for_others: bool = True,
    ) -> F | Callable[[F], F]:
        """Register the decorated function, sync or async, with its docstring as the description and
        the schema that `FunctionSchema` makes of its parameters.

        A parameter annotated `Call` gets the call. A sync function runs in a thread, so it cannot
        take the call. If it raises `SystemExit`, it has failed. A thread cannot be cancelled:
        output that comes too late is not sent, and until the thread ends it counts as one of the
        `MAX_RUNNING_FUNCTIONS` of its call.

        `name`: the name for the model (default: the function's). `timeout_ms`: how long the
        function may run. `after_playback`: send the output once all audio of the agent so far has
        been heard. `respond=False`: do not request a response to the output; a response to an error
        is always requested, since the model may have to correct something. `wait_for_others=False`:
        request the response even while other function calls of the same response are running.

        Raises `LocalProtocolError` if the name is not valid or is in use, and if the function
        cannot be described to the model (`FunctionSchema.from_function`).
        """
        _TIMEOUT.check("timeout_ms", timeout_ms)
        BOOLEAN.check("after_playback", after_playback)
        BOOLEAN.check("respond", respond)
        BOOLEAN.check("wait_for_others", wait_for_others)

        def register(function: F) -> F:
            schema = FunctionSchema.from_function(function)
            registered = _RegisteredFunction(
                function,
                function.__name__ if name is None else name,
                schema,
                timeout_ms,
                after_playback,
                respond,
                wait_for_others,
            )
            if registered.name in self._functions:
                raise LocalProtocolError(f"there is a function {registered.name} already")
            self._functions[registered.name] = registered
            return function

        return register if function is None else register(function)

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """The functions as `SessionConfig.tools`."""
        return tuple(each.tool for each in self._functions.values())

    def attach(self, call: Call) -> None:
        """Answer the function calls of `call` from now on.

        Attach first in an agent: function calls that come earlier go unanswered. Attach one
        registry to a call, since it answers function calls that it does not know with an error.
        """
        call.watch(_FunctionCallResponder(call, self._functions, self._on_error).on_notification)


@frozen(eq=False)
class _RegisteredFunction:
    """A function, and how its calls are answered."""

    function: Callable[..., Any]
    name: str
    schema: FunctionSchema
    timeout_ms: int
    after_playback: bool
    respond: bool
    wait_for_others: bool

    def __attrs_post_init__(self) -> None:
        FUNCTION_NAME.check(f"{self.function.__name__}: name", self.name)
        if self.schema.call_parameters and not self.is_async:
            raise LocalProtocolError(
                f"{self.name} takes the call, so it must be async: no thread may touch a call"
            )

    @property
    def is_async(self) -> bool:
        """Whether the function, or the one that it wraps (`functools.wraps`), is async."""
        function = self.function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            inspect.unwrap(function)
        )

    @property
    def tool(self) -> Mapping[str, Any]:
        tool = {"type": "function", "name": self.name, "parameters": self.schema.parameters}
        description = inspect.getdoc(self.function)
        return tool if description is None else tool | {"description": description}

    async def run(
        self, arguments: Mapping[str, Any], run_in_thread: "_ThreadRunner", call_id: str
    ) -> SendFunctionOutput:
        """Return the answer to a call of the function. Raises what the function raises, and an
        `Exception` if the output is no JSON."""
        call = partial(self.function, **arguments)
        returned: object = await (call() if self.is_async else run_in_thread(call))
        result = returned if isinstance(returned, FunctionResult) else FunctionResult(returned)
        return SendFunctionOutput(
            call_id,
            _to_text(result.output),
            self.respond if result.respond is None else result.respond,
            self.after_playback if result.after_playback is None else result.after_playback,
            wait_for_others=(
                self.wait_for_others if result.wait_for_others is None else result.wait_for_others
            ),
        )


def _to_text(output: object) -> str:
    """Return an output as text. Raises an `Exception` if it is no JSON."""
    if isinstance(output, str):
        text = _plain_text(output)
        text.encode()  # a lone surrogate cannot be sent
        return text
    return msgspec.json.encode(output, order="deterministic", enc_hook=_plain_text).decode()


def _plain_text(value: object) -> str:
    """Return a value of a subclass of `str` as `str`, which JSON encoders and the core need. Raises
    `TypeError` for another value."""
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} is no JSON")
    return str.__str__(value)


_ThreadRunner: TypeAlias = Callable[[Callable[[], object]], Awaitable[object]]
"""Runs a function in a thread and returns what it returns."""


class _ThreadExitError(Exception):
    """A function in a thread has raised what ends a program, such as `SystemExit`, its cause. It
    ends neither the program nor the call."""


@define(eq=False, repr=False)
class _RunningFunctions:
    """The running functions of one call, each of which holds one of `MAX_RUNNING_FUNCTIONS` slots
    until both its function call is answered and its thread has ended.

    The limiter of threads belongs to the call: with one for the process, hung functions of one call
    would delay those of all others.
    """

    _unanswered: set[object] = field(init=False, factory=set[object])
    _in_threads: set[object] = field(init=False, factory=set[object])
    _limiter: CapacityLimiter = field(
        init=False, factory=lambda: CapacityLimiter(MAX_RUNNING_FUNCTIONS)
    )

    def claim_slot(self) -> object | None:
        """Return the token of a new slot, or `None` if all slots are in use."""
        if len(self._unanswered | self._in_threads) >= MAX_RUNNING_FUNCTIONS:
            return None
        self._unanswered.add(slot := object())
        return slot

    def mark_answered(self, slot: object) -> None:
        """Release a slot, unless its thread still runs."""
        self._unanswered.discard(slot)

    async def run_in_thread(self, slot: object, function: Callable[[], object]) -> object:
        """Return what `function` returns, from a thread that is abandoned on cancellation. Raises
        what it raises, and `_ThreadExitError` for what is no `Exception`."""

        def run() -> object:
            self._in_threads.add(slot)
            try:
                return function()
            except Exception:
                raise
            except BaseException as error:
                raise _ThreadExitError from error
            finally:
                self._in_threads.discard(slot)

        return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._limiter)


@define(eq=False, repr=False)
class _FunctionCallResponder:
    """Answers the function calls of one call."""

    _call: Call
    _functions: Mapping[str, _RegisteredFunction]
    _on_error: Callable[[Exception], None]
    _running: _RunningFunctions = field(init=False, factory=_RunningFunctions)

    def on_notification(self, event: CallEvent) -> None:
        """Start the requested function; a watcher of the call."""
        match event:
            case FunctionCallRequested(name=name):
                function = self._functions.get(name)
                if function is None:
                    self._send_error(event, "there is no function of this name")
                elif (slot := self._running.claim_slot()) is None:
                    self._send_error(event, "too many functions are running: try again later")
                else:
                    self._call.start_soon(self._answer, function, event, slot)
            case _:
                pass

    async def _answer(
        self, function: _RegisteredFunction, event: FunctionCallRequested, slot: object
    ) -> None:
        try:
            arguments = function.schema.decode_arguments(event.arguments, self._call)
        except (ValueError, RecursionError) as error:
            self._send_error(event, f"the arguments are not valid: {error}", function)
        except Exception as error:  # of a class of the application that an annotation names
            self._handle_failure(function, event, error)
        else:
            run_in_thread = partial(self._running.run_in_thread, slot)
            await self._run(function, event, arguments, run_in_thread)
        finally:
            self._running.mark_answered(slot)

    async def _run(
        self,
        function: _RegisteredFunction,
        event: FunctionCallRequested,
        arguments: Mapping[str, Any],
        run_in_thread: _ThreadRunner,
    ) -> None:
        answer: SendFunctionOutput | None = None
        try:
            with anyio.move_on_after(function.timeout_ms / 1000):
                answer = await function.run(arguments, run_in_thread, event.call_id)
        except FunctionError as error:
            self._send_error(event, str(error), function)
            return
        except _ThreadExitError as error:
            self._handle_failure(function, event, error.__cause__ or error)
            return
        except BaseException as error:
            if not is_application_failure(error):
                raise
            self._handle_failure(function, event, error)
            return
        if answer is None:
            seconds = f"{function.timeout_ms / 1000:g} s"
            self._send_error(event, f"the function was not done in {seconds}", function)
            self._report(f"the function {function.name} was not done in {seconds}")
        else:
            self._send(function, event, answer)

    def _handle_failure(
        self, function: _RegisteredFunction, event: FunctionCallRequested, error: BaseException
    ) -> None:
        """Answer the model, and then report: `on_error` may fail as well."""
        self._send_error(event, "the function has failed", function)
        self._report(f"the function {function.name} failed: {describe_error(error)}", error)

    def _send_error(
        self,
        event: FunctionCallRequested,
        message: str,
        function: _RegisteredFunction | None = None,
    ) -> None:
        try:
            self._call.send(self._error_output(event, message, function))
        except LocalProtocolError as error:  # for example, the application has answered already
            self._report_unsent(event, error)

    def _error_output(
        self, event: FunctionCallRequested, message: str, function: _RegisteredFunction | None
    ) -> SendFunctionOutput:
        text = message.encode(errors="replace").decode()  # a lone surrogate cannot be sent
        output = msgspec.json.encode({"error": text}).decode()
        after_playback = function is not None and function.after_playback
        waits = function is None or function.wait_for_others
        return SendFunctionOutput(
            event.call_id, output, after_playback=after_playback, wait_for_others=waits
        )

    def _send(
        self,
        function: _RegisteredFunction,
        event: FunctionCallRequested,
        answer: SendFunctionOutput,
    ) -> None:
        """Send an output; if it cannot be sent, answer with an error, unless the application has
        answered already."""
        try:
            self._call.send(answer)
        except LocalProtocolError as refused:
            with suppress(LocalProtocolError):  # reported below
                self._call.send(self._error_output(event, "the function has failed", function))
            self._report_unsent(event, refused)

    def _report_unsent(self, event: FunctionCallRequested, error: LocalProtocolError) -> None:
        self._report(f"an output of {event.name} could not be sent: {describe_error(error)}", error)

    def _report(self, message: str, cause: BaseException | None = None) -> None:
        error = ApplicationError(message)
        error.__cause__ = cause
        self._on_error(error)
