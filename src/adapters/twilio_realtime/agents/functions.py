"""Python functions that the model may call.

functions = Functions(on_error=report)

@functions.add
async def weather(city: str) -> str:
    '''Tells the weather of a city.'''
    return await forecast(city)

SessionConfig(tools=functions.tools)    # the model is told
functions.attach(call)                  # by the agent: its calls are answered

They run in tasks of the call: they delay neither audio nor what the agent reads.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar, overload

import anyio
import msgspec
from anyio import CapacityLimiter, to_thread
from attrs import define, field, frozen

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.notifications import FunctionCallRequested, Notification

from .call import Call
from .failures import ApplicationError, is_failure, place
from .function_schemas import Signature

__all__ = ["MAX_RUNNING", "TIMEOUT_SECONDS", "Functions"]

TIMEOUT_SECONDS: Final = 15.0
"""How long a function may take, unless it says otherwise: a caller who hears nothing for longer
takes the line for dead."""

MAX_RUNNING: Final = 32
"""Functions of one call that may run at a time, with the threads that nobody waits for any more. A
response asks for a handful; a model that goes on asking must not start tasks or threads without
end."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""API reference, "Realtime": the name of a function."""

F = TypeVar("F", bound=Callable[..., Any])


@define(eq=False, repr=False)
class Functions:
    """The functions of an application; one for all calls, or one for each.

    Each request of the model is answered once, by a `SendFunctionOutput`: with what the function
    returned, a string as it is and anything else as JSON; or with `{"error": ...}`, where the name
    or the arguments are wrong (the model is told what is, and may try again), or where the function
    raised, returned what is no JSON, or took too long (of these it is told no more than that).
    When the call ends, functions are cancelled, and nothing is sent.

    `on_error` is told what went wrong in a function, an `ApplicationError`; the call goes on.
    """

    _on_error: Callable[[Exception], None] = field(kw_only=True, alias="on_error")
    _functions: dict[str, "_Function"] = field(init=False, factory=dict[str, "_Function"])

    @overload
    def add(self, function: F, /) -> F: ...

    @overload
    def add(
        self,
        /,
        *,
        name: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        once_heard: bool = False,
        respond: bool = True,
    ) -> Callable[[F], F]: ...

    def add(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        once_heard: bool = False,
        respond: bool = True,
    ) -> F | Callable[[F], F]:
        """Register the function that is decorated, sync or async; its docstring tells the model
        what it does, and `Signature` how it is to be called.

        A parameter annotated `Call` gets the call. A sync function runs in a thread of its own, so
        it cannot take the call; nothing can stop it, but what it returns too late is not sent, and
        until it ends it is one of the `MAX_RUNNING` of its call.

        `name` for the model, if not the function's own. `once_heard`: the answer waits until all
        that the agent has said was heard. `respond=False`: the model does not go on at once; after
        an error it does, since it may have to mend something. Raises `LocalProtocolError` for what
        cannot be told to the model.
        """

        def register(function: F) -> F:
            signature = Signature.of(function)
            own = _Function(
                function,
                name or function.__name__,
                signature,
                timeout_seconds,
                once_heard,
                respond,
            )
            if own.name in self._functions:
                raise LocalProtocolError(f"there is a function {own.name} already")
            self._functions[own.name] = own
            return function

        return register if function is None else register(function)

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """The functions, as `SessionConfig.tools` are written."""
        return tuple(each.tool for each in self._functions.values())

    def attach(self, call: Call) -> None:
        """Answer the requests of a call from now on: so it is the first that an agent does. All
        functions of a call are in one registry, since what that does not know is answered with an
        error."""
        call.watch(_Answering(call, self._functions, self._on_error).hear)


@frozen(eq=False)
class _Function:
    """A function, and how it is to be answered."""

    function: Callable[..., Any]
    name: str
    signature: Signature
    timeout_seconds: float
    once_heard: bool
    respond: bool

    def __attrs_post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise LocalProtocolError(
                f"the name {self.name} is none for the API: letters, digits, _ and -, at most 64"
            )
        if self.signature.takes_call and not self.is_async:
            raise LocalProtocolError(
                f"{self.name} takes the call, so it must be async: no thread may touch a call"
            )

    @property
    def is_async(self) -> bool:
        """Also where a decorator has wrapped it, as `functools.wraps` tells."""
        function = self.function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            inspect.unwrap(function)
        )

    @property
    def tool(self) -> Mapping[str, Any]:
        tool = {"type": "function", "name": self.name, "parameters": self.signature.schema}
        description = inspect.getdoc(self.function)
        return tool if description is None else tool | {"description": description}

    async def run(self, arguments: Mapping[str, Any], in_thread: "_InThread") -> str:
        """What it returns, as text. Raises what it raises, and `Exception` for what is no JSON."""
        call = partial(self.function, **arguments)
        result: object = await (call() if self.is_async else in_thread(call))
        if isinstance(result, str):
            result.encode()  # a lone surrogate cannot be sent
            return result
        return msgspec.json.encode(result, order="deterministic").decode()


_InThread: TypeAlias = Callable[[Callable[[], object]], Awaitable[object]]


@define(eq=False, repr=False)
class _Running:
    """The requests of one call that are not answered yet, and its threads, by tokens.

    A call has a limiter of its own: with that of the process, the hung functions of one call would
    hold up those of all others.
    """

    _requests: set[object] = field(init=False, factory=set[object])
    _threads: set[object] = field(init=False, factory=set[object])
    """Those that run; each takes itself out."""
    _limiter: CapacityLimiter = field(init=False, factory=lambda: CapacityLimiter(MAX_RUNNING))

    def begin(self) -> object | None:
        """The token of a new request; `None`: there are too many."""
        if len(self._requests | self._threads) >= MAX_RUNNING:
            return None
        self._requests.add(token := object())
        return token

    def end(self, token: object) -> None:
        """A request is answered. Its thread may go on."""
        self._requests.discard(token)

    async def in_thread(self, token: object, function: Callable[[], object]) -> object:
        """What `function` returns, in a thread that is left to itself if we are cancelled."""

        def run() -> object:
            self._threads.add(token)
            try:
                return function()
            finally:
                self._threads.discard(token)

        return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._limiter)


@define(eq=False, repr=False)
class _Answering:
    """Answers the requests of one call."""

    _call: Call
    _functions: Mapping[str, _Function]
    _on_error: Callable[[Exception], None]
    _running: _Running = field(init=False, factory=_Running)

    def hear(self, event: Notification) -> None:
        """A watcher of the call."""
        match event:
            case FunctionCallRequested(name=name):
                function = self._functions.get(name)
                if function is None:
                    self._refuse(event, "there is no function of this name")
                elif (token := self._running.begin()) is None:
                    self._refuse(event, "too many functions are running: try again later")
                else:
                    self._call.start_soon(self._answer, function, event, token)
            case _:
                pass

    async def _answer(
        self, function: _Function, event: FunctionCallRequested, token: object
    ) -> None:
        try:
            arguments = function.signature.arguments(event.arguments, self._call)
        except (ValueError, RecursionError) as error:
            self._refuse(event, f"the arguments are not valid: {error}", function)
        except Exception as error:  # of a class of the application that an annotation names
            self._failed(function, event, error)
        else:
            await self._run(function, event, arguments, partial(self._running.in_thread, token))
        finally:
            self._running.end(token)

    async def _run(
        self,
        function: _Function,
        event: FunctionCallRequested,
        arguments: Mapping[str, Any],
        in_thread: _InThread,
    ) -> None:
        output: str | None = None
        try:
            with anyio.move_on_after(function.timeout_seconds):
                output = await function.run(arguments, in_thread)
        except BaseException as error:
            if not is_failure(error):
                raise
            self._failed(function, event, error)
            return
        if output is None:
            seconds = f"{function.timeout_seconds:g} s"
            self._refuse(event, f"the function was not done in {seconds}", function)
            self._report(f"the function {function.name} was not done in {seconds}")
        else:
            self._send(event, output, respond=function.respond, once_heard=function.once_heard)

    def _failed(
        self, function: _Function, event: FunctionCallRequested, error: BaseException
    ) -> None:
        """The model is answered first: who is told of the error may fail as well."""
        self._refuse(event, "the function has failed", function)
        self._report(f"the function {function.name} failed: {place(error)}", error)

    def _refuse(
        self, event: FunctionCallRequested, why: str, function: _Function | None = None
    ) -> None:
        output = msgspec.json.encode({"error": why}).decode()
        self._send(event, output, once_heard=function is not None and function.once_heard)

    def _send(
        self, event: FunctionCallRequested, output: str, *, respond: bool = True, once_heard: bool
    ) -> None:
        try:
            self._call.send(SendFunctionOutput(event.call_id, output, respond, once_heard))
        except LocalProtocolError as error:  # such as that somebody else has answered
            self._report(f"an output of {event.name} could not be sent: {place(error)}", error)

    def _report(self, what: str, cause: BaseException | None = None) -> None:
        error = ApplicationError(what)
        error.__cause__ = cause
        self._on_error(error)
