"""Agents found by their names."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from twilio_realtime import Agent, Handlers
from twilio_realtime.errors import UsageError
from twilio_realtime.server.agent_loader import AgentError, load_agent


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """Forget the modules and folders of a test, and an `agent` that another test imported."""
    sys.modules.pop("agent", None)
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def write(folder: Path, code: str, name: str = "agent.py") -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(dedent(code), "utf-8")


AGENTS = """
    from twilio_realtime import Agent, Call, FunctionAgent, Handlers

    agent = Agent("The agent.")
    other = Agent("Another.")
    handlers = Handlers()

    async def function(call: Call) -> None: ...

    def make() -> Agent:
        return other

    def make_number() -> int:
        return 7

    def fails() -> Agent:
        raise ValueError("of the factory")

    async def too_many(call, other): ...

    def not_async(call): ...

    function_agent = FunctionAgent(function)
    no_function_agent = FunctionAgent(not_async)

    class Shop:
        agent = Agent("Of the shop.")

    class Callable:
        async def __call__(self, call): ...

    callable_agent = Callable()
    number = 7
"""


def test_the_agent_of_agent_py_is_the_default(tmp_path: Path) -> None:
    write(tmp_path, AGENTS)
    found = load_agent(None, tmp_path)
    assert isinstance(found, Agent)
    assert found.instructions == "The agent."


def test_without_such_a_file_or_name_there_is_none(tmp_path: Path) -> None:
    assert load_agent(None, tmp_path) is None
    write(tmp_path, "other = 7")
    assert load_agent(None, tmp_path) is None


@pytest.mark.parametrize(
    ("reference", "instructions"),
    [
        ("shop_agents", "The agent."),
        ("shop_agents:agent", "The agent."),
        ("shop_agents:other", "Another."),
        ("shop_agents:Shop.agent", "Of the shop."),
        ("shop_agents.py", "The agent."),
        ("shop_agents.py:other", "Another."),
        ("shop/menu.py:agent", "The agent."),
        ("shop.menu:agent", "The agent."),
    ],
)
def test_an_agent_is_found_by_module_and_name(
    tmp_path: Path, reference: str, instructions: str
) -> None:
    write(tmp_path, AGENTS, "shop_agents.py")
    write(tmp_path, AGENTS, "shop/menu.py")
    found = load_agent(reference, tmp_path)
    assert isinstance(found, Agent)
    assert found.instructions == instructions


def test_handlers_and_functions_are_agents(tmp_path: Path) -> None:
    write(tmp_path, AGENTS, "shop_agents.py")
    assert isinstance(load_agent("shop_agents:handlers", tmp_path), Handlers)
    for name in ("function", "callable_agent", "function_agent"):
        assert callable(load_agent(f"shop_agents:{name}", tmp_path))


def test_a_factory_makes_the_agent(tmp_path: Path) -> None:
    write(tmp_path, AGENTS, "shop_agents.py")
    found = load_agent("shop_agents:make", tmp_path, is_factory=True)
    assert isinstance(found, Agent)
    assert found.instructions == "Another."
    with pytest.raises(
        UsageError, match="shop_agents:number is not a function: leave out --factory"
    ):
        load_agent("shop_agents:number", tmp_path, is_factory=True)
    with pytest.raises(UsageError, match="shop_agents:make_number is a int"):
        load_agent("shop_agents:make_number", tmp_path, is_factory=True)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("shop_agents:Shop", "shop_agents:Shop is a class"),
        (
            "shop_agents:number",
            "shop_agents:number is a int: an agent is an Agent, Handlers, or",
        ),
        ("shop_agents:not_async", "not async.*--factory"),
        ("shop_agents:no_function_agent", "not async"),
        ("shop_agents:too_many", "must take one argument"),
        (
            "shop_agents:absent",
            "no name absent: it has agent, other, handlers, function, too_many",
        ),
        ("shop_agents:Shop.absent", r"no name Shop\.absent"),
        ("absent:agent", "there is no module absent here: there are empty, shop_agents"),
        ("shop.absent", r"no module shop\.absent|no module shop here"),
        ("empty:agent", "it has no agent"),
        ("not a module:agent", "not the name of a module"),
        (":agent", "not the name of a module"),
        ("shop_agents:", "has no name"),
    ],
)
def test_a_wrong_name_lists_what_is_there(tmp_path: Path, reference: str, reason: str) -> None:
    write(tmp_path, AGENTS, "shop_agents.py")
    write(tmp_path, "", "empty.py")
    with pytest.raises(UsageError, match=reason):
        load_agent(reference, tmp_path)


def test_an_error_of_the_module_is_shown_with_its_traceback(tmp_path: Path) -> None:
    write(tmp_path, "def broken():\n    return 1 / 0\n\nbroken()\n")
    with pytest.raises(
        AgentError, match="agent cannot be loaded: it raised ZeroDivisionError"
    ) as e:
        load_agent(None, tmp_path)
    lines = e.value.report.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert f'File "{tmp_path / "agent.py"}", line 4, in <module>' in lines[1]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "agent_loader" not in e.value.report
    assert "importlib" not in e.value.report


def test_a_syntax_error_is_shown_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "agent = (\n")
    with pytest.raises(AgentError) as caught:
        load_agent(None, tmp_path)
    assert f'File "{tmp_path / "agent.py"}", line 1' in caught.value.report
    assert "agent_loader" not in caught.value.report


def test_a_module_that_the_agent_needs_is_an_error_of_the_agent(tmp_path: Path) -> None:
    write(tmp_path, "import absent_package\n")
    with pytest.raises(AgentError) as caught:
        load_agent(None, tmp_path)
    assert "No module named 'absent_package'" in caught.value.report


def test_an_error_of_a_factory_is_shown_with_its_traceback(tmp_path: Path) -> None:
    write(tmp_path, AGENTS, "shop_agents.py")
    with pytest.raises(AgentError) as caught:
        load_agent("shop_agents:fails", tmp_path, is_factory=True)
    assert "ValueError: of the factory" in caught.value.report
    assert "in fails" in caught.value.report
