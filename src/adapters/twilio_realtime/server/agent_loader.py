"""The agent of an application, found by its name: `MODULE:NAME`, as `twilio-realtime serve` has it.

    load_agent("shop.agents:pizza", folder=Path.cwd())

A failure of the application's module is shown with its traceback, from the module's first line on.
"""

import inspect
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, cast

from ..agents.call import CallHandler
from ..agents.hooks import CallHooks, FunctionAgent
from ..errors import UsageError

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_NAME",
    "AgentError",
    "check_agent",
    "load_agent",
]

DEFAULT_FILE: Final = "agent.py"
"""The file that is served if none is named."""
DEFAULT_NAME: Final = "agent"
"""The name of the agent in its module, if none is given."""

_KINDS: Final = "an Agent, Handlers, or an async function of a Call"

_PACKAGE: Final = str(Path(__file__).parents[1])
_MAX_NAMES: Final = 8


class AgentError(UsageError):
    """The application's code has raised an exception while its agent was loaded. `report` is the
    traceback, without the frames of this package."""

    def __init__(self, message: str, report: str) -> None:
        super().__init__(message)
        self.report = report


def load_agent(reference: str | None, folder: Path, *, is_factory: bool = False) -> Any:
    """Import the agent named by `reference`: `MODULE`, `MODULE:NAME`, or either with the path of a
    file in place of the module. `folder` joins `sys.path`. `is_factory`: the name is that of a
    function without parameters that makes the agent.

    Without a reference it is the name `agent` in the file `agent.py` of `folder`; `None` if there
    is no such file, or no such name in it.

    Raises `AgentError` if the application's code raises, and `UsageError` if there is no such
    module or name, or if it is no agent.
    """
    _add_to_path(folder)
    if reference is None:
        if not (folder / DEFAULT_FILE).is_file():
            return None
        module = _import(DEFAULT_FILE.removesuffix(".py"), folder)
        if not hasattr(module, DEFAULT_NAME):
            return None
        module_name, name = module.__name__, DEFAULT_NAME
    else:
        module_name, _, name = reference.rpartition(":")
        if not module_name:
            module_name, name = reference, DEFAULT_NAME
        path = Path(module_name)
        if path.suffix == ".py":
            _add_to_path((folder / path).parent)
            module_name = path.stem
        module = _import(module_name, folder)
    found = _find(module, name)
    if is_factory:
        if not callable(found):
            raise UsageError(f"{module_name}:{name} is not a function: leave out --factory")
        found = _run(f"{module_name}:{name}", cast(Callable[[], object], found))
    return check_agent(found, f"{module_name}:{name}")


def check_agent(found: object, name: str) -> CallHandler:
    """Return `found` if it is an agent, and one of the Agents SDK as one of this package; `name`
    says where it is from. Raises `UsageError` if it is none."""
    if isinstance(found, FunctionAgent):
        check_agent(found.function, name)
    if isinstance(found, CallHooks):
        return cast(CallHandler, found)
    if _is_from_agents_sdk(found):
        from ..integrations.openai_agents import from_agents_sdk  # noqa: PLC0415 - it is an extra

        return from_agents_sdk(cast(Any, found))
    if isinstance(found, type) or not callable(found):
        kind = "a class" if isinstance(found, type) else f"a {type(found).__name__}"
        raise UsageError(f"{name} is {kind}: an agent is {_KINDS}")
    if not (
        inspect.iscoroutinefunction(found)
        or inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004
    ):
        raise UsageError(
            f"{name} is a function that is not async: an agent is {_KINDS}; if it makes one, say "
            "--factory"
        )
    try:
        inspect.signature(found).bind(object())
    except TypeError:
        raise UsageError(
            f"{name} must take one argument, the Call: async def agent(call)"
        ) from None
    return cast(CallHandler, found)


def _is_from_agents_sdk(found: object) -> bool:
    """Whether `found` is an agent of the OpenAI Agents SDK, for speech or for text."""
    names = (f"{each.__module__}.{each.__name__}" for each in type(found).__mro__)
    return "agents.agent.AgentBase" in names


def _add_to_path(folder: Path) -> None:
    text = str(folder.resolve())
    if text not in sys.path:
        sys.path.insert(0, text)


def _import(name: str, folder: Path) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{name} is not the name of a module: say MODULE:NAME, or FILE.py:NAME")
    try:
        return cast(ModuleType, _run(name, lambda: import_module(name)))
    except AgentError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and _is_part_of(cause.name, name):
            files = sorted(each.stem for each in folder.glob("*.py"))
            there = _list_names(files, "there are") or "there is no Python file"
            raise UsageError(f"there is no module {cause.name} here: {there}") from None
        raise


def _is_part_of(missing: str | None, name: str) -> bool:
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _find(module: ModuleType, name: str) -> object:
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            agents = [each for each, value in vars(module).items() if _is_agent(each, value)]
            there = _list_names(agents, "it has") or "it has no agent"
            raise UsageError(f"the module {module.__name__} has no name {name}: {there}")
        found = getattr(found, part)
    return found


def _is_agent(name: str, value: object) -> bool:
    return not name.startswith("_") and (
        isinstance(value, CallHooks)
        or inspect.iscoroutinefunction(value)
        or _is_from_agents_sdk(value)
    )


def _list_names(names: list[str], verb: str) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > _MAX_NAMES else ""
    return f"{verb} {', '.join(names[:_MAX_NAMES])}{more}"


def _run(name: str, function: Callable[[], object]) -> object:
    """Run code of the application. Raises `AgentError` for its exceptions."""
    try:
        return function()
    except Exception as error:
        report = "".join(
            traceback.format_exception(type(error), error, _first_frame_of(error.__traceback__))
        )
        summary = f"{name} cannot be loaded: it raised {type(error).__name__}"
        raise AgentError(summary, report) from error


def _first_frame_of(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the application's first frame on, without ours and the import's."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((_PACKAGE, "<frozen importlib")) and not _is_importlib(file):
            return trace
        trace = trace.tb_next
    return None


def _is_importlib(file: str) -> bool:
    return file == inspect.getsourcefile(import_module)
