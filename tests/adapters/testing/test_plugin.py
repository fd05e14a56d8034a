"""The pytest plugin in nested test runs: the fixture, its options, and the example of the docs."""

import re
import sys
from pathlib import Path

import pytest

# Nested runs in this process share these modules; otherwise each run would import them again.
import twilio_realtime.testing.strategies  # noqa: F401  # pyright: ignore[reportUnusedImport]

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs/examples"
PAGE = ROOT / "docs/how-to/test-agents.md"

AGENT = """
import pytest
from twilio_realtime_core import HangUp

async def agent(call):
    call.send(HangUp())

async def other(call):
    async for _ in call:
        pass
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run tests in this process, with the plugin loaded whether or not it has its entry point."""
    plugins = ("-p", "twilio_realtime.testing.plugin", "-p", "no:cacheprovider")
    return pytester.runpytest_inprocess(*plugins, "--strict-markers", *options)


def test_a_test_has_a_call_and_needs_no_other_plugin(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        AGENT
        + """
pytestmark = pytest.mark.call(agent=agent)

async def test_of_the_module(call, tmp_path):
    assert (await call.wait_for_end()).reason.name == "HUNG_UP"

@pytest.mark.call(agent=other, custom_parameters={"who": "Ann"})
async def test_of_its_own(call):
    await call.hang_up()
    assert (await call.wait_for_end()).reason.name == "CALLER_HUNG_UP"
    assert call.notifications[0].custom_parameters == {"who": "Ann"}

class TestInAClass:
    async def test_in_a_class(self, call):
        await call.wait_for_end()

async def test_another_agent(call):
    call.agent = other
    await call.say("Hello")
    assert not any(type(event).__name__ == "CallEnded" for event in call.notifications)
"""
    )
    run(pytester, "-p", "no:trio", "-p", "no:anyio").assert_outcomes(passed=4)


RUNTIME = """
import sniffio

async def test_which(call):
    await call.dial()
    print("\\non", sniffio.current_async_library())
"""


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ((), ["on trio"]),
        (("--call-runtime", "asyncio"), ["on asyncio"]),
        (("-o", "call_runtime=asyncio"), ["on asyncio"]),
        (("--call-runtime", "both"), ["on trio", "on asyncio"]),
    ],
)
def test_the_runtime_is_chosen_by_option_and_configuration(
    pytester: pytest.Pytester, options: tuple[str, ...], seen: list[str]
) -> None:
    pytester.makepyfile(RUNTIME)
    result = run(pytester, "-s", *options)
    result.assert_outcomes(passed=len(seen))
    assert [line for line in result.outlines if line.startswith("on ")] == seen


def test_each_example_of_hypothesis_has_a_new_call(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest
from hypothesis import given, settings
from twilio_realtime.testing import strategies

@settings(deadline=None, max_examples=3, database=None)
@given(turns=strategies.turns(2, keys="12"), impairments=strategies.impairments("marks lost"))
async def test_any_call(call, turns, impairments):
    assert call.notifications == []
    call.impairments = impairments
    await call.take_turns(turns)

class TestInAClass:
    @settings(deadline=None, max_examples=3, database=None)
    @given(ms=strategies.interruption_times())
    async def test_in_a_class(self, call, ms):
        assert call.notifications == []
        await call.dial()
"""
    )
    run(pytester).assert_outcomes(passed=2)
    run(pytester, "--call-runtime", "both", "-k", "any_call").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("def test_sync(call): pass", "must be an `async def`"),
        ("@pytest.mark.call(print, 1)\nasync def test_sync(call): pass", "takes keyword arguments"),
        ("@pytest.mark.call(runtime='curio')\nasync def test_x(call): pass", "trio, asyncio"),
    ],
)
def test_misuse_fails_the_test_with_its_reason(
    pytester: pytest.Pytester, test: str, message: str
) -> None:
    pytester.makepyfile(f"import pytest\n{test}")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{message}*"])


FIXTURE = """
import pytest

@pytest.fixture
def another(call):
    pass
    return call

async def test_x(another, call):
    await another.dial()
    assert another is call
"""


@pytest.mark.parametrize(
    "use",
    [
        "call.model.respond_with('Hello')",
        "call.agent = print",
    ],
)
def test_a_fixture_that_uses_the_call_is_refused(pytester: pytest.Pytester, use: str) -> None:
    pytester.makepyfile(FIXTURE.replace("pass", use))
    result = run(pytester)
    result.assert_outcomes(errors=1)
    expected = "*AttributeError: call.*: `call` starts with the test*to a helper function*"
    result.stdout.fnmatch_lines([expected])


def test_a_fixture_may_return_the_call(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FIXTURE)
    run(pytester).assert_outcomes(passed=1)


def test_a_test_must_use_the_call_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.fixture
def helper(call):
    return lambda: call.dial()

async def test_x(helper):
    await helper()
"""
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a fixture uses `call`, and the test does not: *helper fun*"])


def test_other_tests_are_not_affected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

def test_sync(): pass

@pytest.fixture
def call(): return 5

def test_with_another_call(call): assert call == 5
"""
    )
    run(pytester).assert_outcomes(passed=2)


def test_a_failure_shows_the_last_steps(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "async def test_x(call):\n    await call.say('Hi')\n    assert call.heard_speech"
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*The last steps of the call:*", "*model: session.updated*"])


# The example of the docs.

QUICK = """
from hypothesis import Phase, settings

phases = (Phase.generate, Phase.shrink)
settings.register_profile("quick", max_examples=10, phases=phases, derandomize=True)
settings.load_profile("quick")
"""


def example(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(QUICK)
    for name in ("order_agent.py", "test_order_agent.py"):
        (pytester.path / name).write_text((EXAMPLES / name).read_text())
        # Another test of this process may have imported the example from where it stands.
        sys.modules.pop(name.removesuffix(".py"), None)
    pytester.syspathinsert()


def block(word: str, start: str) -> str:
    """Return the block of the page of this kind that starts so."""
    found = [part for part in PAGE.read_text().split(f"```{word}\n")[1:] if part.startswith(start)]
    (one,) = found
    return one.partition("```")[0]


def test_the_example_finds_the_mistake_with_the_smallest_interruption(
    pytester: pytest.Pytester,
) -> None:
    example(pytester)
    result = run(pytester, "test_order_agent.py")
    result.assert_outcomes(passed=1, failed=1)
    expected = [line.strip() for line in block("text", "ApplicationError").splitlines()]
    printed = [
        # Older versions of Hypothesis name it otherwise.
        line.lstrip("E").strip().replace("Falsifying example:", "Failing test case:")
        for line in result.outlines
    ]
    assert [line for line in expected if not any(line in each for each in printed)] == []


def test_the_corrected_example_passes(pytester: pytest.Pytester) -> None:
    example(pytester)
    code = (EXAMPLES / "order_agent.py").read_text()
    changes = re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", block("diff", "-"), re.M)
    assert changes
    for change in changes:
        before, after = (re.sub("^.", "", lines, flags=re.M) for lines in change)
        assert code.count(before) == 1
        code = code.replace(before, after)
    (pytester.path / "order_agent.py").write_text(code)
    run(pytester, "test_order_agent.py").assert_outcomes(passed=2)


def test_the_page_shows_the_example(pytester: pytest.Pytester) -> None:
    for name in ("order_agent.py", "test_order_agent.py"):
        assert (EXAMPLES / name).read_text().strip() in PAGE.read_text()
