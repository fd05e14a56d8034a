"""The pytest plugin: the fixture `call`, and a runner for the tests that use it.

A test that uses `call` is an `async def`. It runs in a new loop, on trio or asyncio, with the
virtual time of the simulated call; the agent runs in the same loop. No other plugin for async tests
is needed, and none may run all async tests. With `@given`, each example has a new call.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from ..agents.required_runtime import required_runtime

if TYPE_CHECKING:
    from .phone_call import PhoneCall

__all__: list[str] = []

_BOTH: Final = "both"
_OPTION: Final = "call_runtime"
_RUNS_IN_CALL: Final = "runs_in_call"
"""The attribute of a test function that `_run_in_call` has made."""
_HELP: Final = (
    "the runtime of tests with a simulated call: trio, asyncio, or both, one after the other"
)
_NOT_ASYNC: Final = (
    "a test that uses `call` must be an `async def`, and no other plugin may run it: disable "
    "`trio_mode` of pytest-trio and `asyncio_mode = auto` of pytest-asyncio"
)
_TOO_EARLY: Final = (
    "`call` starts with the test, after its fixtures: pass it to a helper function instead"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the runtime."""
    group = parser.getgroup("twilio-realtime", "tests of agents in simulated calls")
    group.addoption("--call-runtime", choices=["trio", "asyncio", _BOTH], help=_HELP)
    parser.addini(_OPTION, _HELP, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `call`."""
    config.addinivalue_line(
        "markers",
        "call(agent, config, custom_parameters, incoming, "
        "machine_detection, impairments, seed, runtime, record_to): "
        "attributes of the fixture `call`; see PhoneCall. The nearest marker applies, for each "
        "attribute.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests on both runtimes, if chosen."""
    if "call" in metafunc.fixturenames and _configured_runtime(metafunc.config) == _BOTH:
        metafunc.parametrize("call", ["trio", "asyncio"], indirect=True)


class _CallPlaceholder:
    """Takes the place of a call until the test starts. Hypothesis runs all examples of a test with
    the same fixtures, and each example needs a new call."""

    __slots__ = ("_runtime", "options")

    def __init__(self, runtime: str | None) -> None:
        self.options: dict[str, Any] = {}
        self._runtime = runtime

    def __repr__(self) -> str:
        return "<a simulated call>"

    def __getattr__(self, name: str) -> NoReturn:
        # An `AttributeError`, since pytest and others look for optional attributes.
        raise AttributeError(f"call.{name}: {_TOO_EARLY}")

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__slots__:
            raise AttributeError(f"call.{name}: {_TOO_EARLY}")
        super().__setattr__(name, value)

    def configure_for(self, test: pytest.Item) -> None:
        """Set the options of the call of a test, from its markers."""
        runtime = _configured_runtime(test.config)
        if runtime in ("", _BOTH):
            runtime = "trio" if find_spec("trio") else "asyncio"
        self.options = {"runtime": runtime}
        for marker in reversed(list(test.iter_markers("call"))):
            if marker.args:
                raise pytest.UsageError(
                    "the marker `call` takes keyword arguments: call(agent=...)"
                )
            self.options |= marker.kwargs
        if self._runtime is not None:
            self.options["runtime"] = self._runtime
        required = required_runtime(self.options.get("agent"))
        if required is not None and self._runtime not in (None, required):
            pytest.skip(f"the agent needs {required}")
        self.options["runtime"] = required or self.options["runtime"]

    def create_call(self) -> "PhoneCall":
        """Create a new call."""
        from .phone_call import PhoneCall  # noqa: PLC0415 - it takes long to import

        return PhoneCall(**self.options)


@pytest.fixture(scope="module")
def call(request: pytest.FixtureRequest) -> Any:
    """A simulated call with your agent: a `PhoneCall`."""
    return _CallPlaceholder(getattr(request, "param", None))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that uses `call`."""
    values = pyfuncitem.funcargs.values()
    placeholders = [each for each in values if isinstance(each, _CallPlaceholder)]
    if not placeholders:
        return None
    placeholders[0].configure_for(pyfuncitem)
    test = pyfuncitem.obj
    arguments = {name: pyfuncitem.funcargs.get(name) for name in inspect.signature(test).parameters}
    if not any(isinstance(each, _CallPlaceholder) for each in arguments.values()):
        pytest.fail(f"a fixture uses `call`, and the test does not: {_TOO_EARLY}", pytrace=False)
    handle = getattr(test, "hypothesis", None)
    if handle is not None:
        handle.inner_test = _run_in_call(handle.inner_test)
        return None
    _run_in_call(test)(**arguments)
    return True


def _run_in_call(test: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that runs an async test in a call."""
    if getattr(test, _RUNS_IN_CALL, False):
        return test
    if not inspect.iscoroutinefunction(test):
        pytest.fail(_NOT_ASYNC, pytrace=False)

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        placeholders = {
            name: each for name, each in kwargs.items() if isinstance(each, _CallPlaceholder)
        }

        async def script(call: "PhoneCall") -> None:
            await partial(test, *args, **{**kwargs, **dict.fromkeys(placeholders, call)})()

        next(iter(placeholders.values())).create_call().run(script)

    vars(run)[_RUNS_IN_CALL] = True
    return run


def _configured_runtime(config: pytest.Config) -> str:
    return str(config.getoption(_OPTION, default=None) or config.getini(_OPTION))
