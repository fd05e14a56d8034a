"""The plugin: the fixture `call`, and who runs the tests that ask for it.

A test that asks for `call` is an `async def`, and runs in a loop of its own whose time is that of
the simulated call: on trio, or on asyncio. The agent runs beside it in the same loop. No other
plugin for async tests is needed, nor may one take all async tests for its own. With `@given` each
example has a new call.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from .phone_call import PhoneCall

__all__: list[str] = []

_BOTH: Final = "both"
_OPTION: Final = "call_runtime"
_HELP: Final = (
    "the loop of tests with a simulated call: trio, asyncio, or both, one after the other"
)
_NO_TEST: Final = (
    "a test that asks for `call` is an `async def`, and no other plugin runs it: "
    "no `trio_mode` of pytest-trio, no `asyncio_mode = auto` of pytest-asyncio"
)
_TOO_EARLY: Final = (
    "`call` begins with the test, and not with its fixtures: use a helper function that is given it"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which loop."""
    group = parser.getgroup("twilio-realtime", "tests of agents in simulated calls")
    group.addoption("--call-runtime", choices=["trio", "asyncio", _BOTH], help=_HELP)
    parser.addini(_OPTION, _HELP, default="")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers",
        "call(agent, config, parameters, faults, seed, runtime): what the call of the fixture "
        "`call` is like; see PhoneCall. The nearest marker counts, for each of them.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both loops, if they are asked for."""
    if "call" in metafunc.fixturenames and _runtime(metafunc.config) == _BOTH:
        metafunc.parametrize("call", ["trio", "asyncio"], indirect=True)


class _Booked:
    """Stands for a call until the test begins. A fixture of one test would do for all examples of
    Hypothesis together, and each needs a call of its own."""

    __slots__ = ("_runtime", "options")

    def __init__(self, runtime: str | None) -> None:
        self.options: dict[str, Any] = {}
        self._runtime = runtime

    def __repr__(self) -> str:
        return "<a simulated call>"

    def __getattr__(self, name: str) -> NoReturn:
        # Whoever looks for what any object may have, such as pytest, has to go on.
        raise AttributeError(f"call.{name}: {_TOO_EARLY}")

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__slots__:
            raise AttributeError(f"call.{name}: {_TOO_EARLY}")
        super().__setattr__(name, value)

    def of(self, test: pytest.Item) -> None:
        """It is this test that begins."""
        runtime = _runtime(test.config)
        if runtime in ("", _BOTH):
            runtime = "trio" if find_spec("trio") else "asyncio"
        self.options = {"runtime": runtime}
        for marker in reversed(list(test.iter_markers("call"))):
            if marker.args:
                raise pytest.UsageError("the marker `call` takes names: call(agent=...)")
            self.options |= marker.kwargs
        if self._runtime is not None:
            self.options["runtime"] = self._runtime

    def make(self) -> "PhoneCall":
        """A new call."""
        from .phone_call import PhoneCall  # noqa: PLC0415 - who tests no calls need not wait for it

        return PhoneCall(**self.options)


@pytest.fixture(scope="module")
def call(request: pytest.FixtureRequest) -> Any:
    """A simulated call, with an agent of one's own: a `PhoneCall`."""
    return _Booked(getattr(request, "param", None))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that asks for a call."""
    booked = [each for each in pyfuncitem.funcargs.values() if isinstance(each, _Booked)]
    if not booked:
        return None
    booked[0].of(pyfuncitem)
    test = pyfuncitem.obj
    given = {name: pyfuncitem.funcargs.get(name) for name in inspect.signature(test).parameters}
    if not any(isinstance(each, _Booked) for each in given.values()):
        pytest.fail(
            f"a fixture asks for `call`, and the test does not: {_TOO_EARLY}", pytrace=False
        )
    handle = getattr(test, "hypothesis", None)
    if handle is not None:
        handle.inner_test = _in_a_call(handle.inner_test)
        return None
    _in_a_call(test)(**given)
    return True


def _in_a_call(test: Callable[..., Any]) -> Callable[..., None]:
    """The test, as a function that is not async."""
    if getattr(test, "makes_a_call", False):
        return test
    if not inspect.iscoroutinefunction(test):
        pytest.fail(_NO_TEST, pytrace=False)

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        booked = {name: each for name, each in kwargs.items() if isinstance(each, _Booked)}

        async def story(call: "PhoneCall") -> None:
            await partial(test, *args, **{**kwargs, **dict.fromkeys(booked, call)})()

        next(iter(booked.values())).make().run(story)

    vars(run)["makes_a_call"] = True
    return run


def _runtime(config: pytest.Config) -> str:
    return str(config.getoption(_OPTION, default=None) or config.getini(_OPTION))
