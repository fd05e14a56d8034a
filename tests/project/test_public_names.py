"""The public names of modules: listed in `__all__`, documented, and unique."""

import ast
from collections import defaultdict
from collections.abc import Iterable

import pytest

from source_modules import ADAPTERS, CORE, SourceModule, parse_module

MODULES = {
    name: module
    for name, module in (CORE | ADAPTERS).items()
    # A folder's own file holds a docstring, and names only where it shows them for its modules.
    if not (module.is_package and len(module.tree.body) == 1)
    # A program is run, and pytest finds the hooks of a plugin by their names.
    and not name.endswith((".__main__", ".testing.plugin"))
}

# Two packages of one surface: what replaces one by the other changes its imports alone.
PARALLEL = [("twilio_realtime.asyncio.", "twilio_realtime.trio.")]

each_module = pytest.mark.parametrize("name", MODULES)


def find_hidden_names(adapter: SourceModule) -> list[str]:
    """What an adapter uses of the core that no `__all__` of the core shows."""
    used: list[tuple[str, str]] = []
    imported_modules: dict[str, str] = {}
    for module, names in adapter.imports():
        if module.partition(".")[0] != "twilio_realtime_core":
            continue
        if not names:
            # The names used through a plain import are not followed, so there may be none.
            used.append((module, "*"))
        for name in names:
            if f"{module}.{name}" in CORE:
                imported_modules[name] = f"{module}.{name}"
            else:
                used.append((module, name))
    for node in ast.walk(adapter.tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in imported_modules:
                used.append((imported_modules[module], name))
            case _:
                pass
    return [f"{module}.{name}" for module, name in used if name not in shown_names(module)]


def shown_names(module: str) -> list[str]:
    return getattr(CORE[module].load(), "__all__", []) if module in CORE else []


def find_shared_class_names(modules: Iterable[SourceModule]) -> dict[str, list[str]]:
    """The names of public classes that several modules define, with those modules."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for definition in module.public_definitions():
            if isinstance(definition, ast.ClassDef):
                places[definition.name].append(module.name)
    return {
        name: found for name, found in places.items() if len(found) > 1 and not are_parallel(found)
    }


def are_parallel(modules: list[str]) -> bool:
    return len(modules) == 2 and any(
        modules[0].startswith(one)
        and modules[1].startswith(other)
        and modules[0].removeprefix(one) == modules[1].removeprefix(other)
        for one, other in PARALLEL
    )


# __all__


@each_module
def test_all_lists_the_public_names_and_nothing_else(name: str) -> None:
    module = MODULES[name].load()
    shown = module.__all__
    assert shown
    assert [one for one in shown if one.startswith("_") or not hasattr(module, one)] == []
    assert {definition.name for definition in MODULES[name].public_definitions()} <= set(shown)


@each_module
def test_all_is_sorted_constants_then_classes_then_functions(name: str) -> None:
    def kind(name: str) -> int:
        return 0 if name.isupper() else 1 if name[0].isupper() else 2

    shown = MODULES[name].load().__all__
    assert shown == sorted(set(shown), key=lambda one: (kind(one), one))


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_uses_only_what_the_core_shows(name: str) -> None:
    assert find_hidden_names(ADAPTERS[name]) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from twilio_realtime_core.errors import Fault, frozen", ["errors.frozen"]),
        (
            "from twilio_realtime_core.machine.actions import _count_bytes",
            ["machine.actions._count_bytes"],
        ),
        ("from twilio_realtime_core import errors\nerrors.Fault\nerrors.Enum", ["errors.Enum"]),
        (
            "from twilio_realtime_core.machine import units\nunits.MS\nunits.math",
            ["machine.units.math"],
        ),
        ("from twilio_realtime_core._hidden import x", ["_hidden.x"]),
        ("from twilio_realtime_core.machine import x", ["machine.x"]),
        ("from twilio_realtime_core import Peer, errors, absent", ["absent"]),
        ("import twilio_realtime_core.errors as e", ["errors.*"]),
    ],
)
def test_what_the_core_does_not_show_is_found(source: str, found: list[str]) -> None:
    adapter = parse_module(source, "twilio_realtime.sim.world.world")
    assert find_hidden_names(adapter) == [f"twilio_realtime_core.{one}" for one in found]


# Docstrings


@pytest.mark.parametrize("name", CORE | ADAPTERS)
def test_public_modules_classes_and_functions_have_docstrings(name: str) -> None:
    module = (CORE | ADAPTERS)[name]
    assert ast.get_docstring(module.tree)
    assert [each.name for each in module.public_definitions() if not ast.get_docstring(each)] == []


# Names of classes


def test_no_two_public_classes_share_a_name() -> None:
    assert find_shared_class_names((CORE | ADAPTERS).values()) == {}


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        ("sim.world cli.serve", ["Driver"]),
        ("asyncio.driver trio.driver", []),
        ("asyncio.listener trio.driver", ["Driver"]),
        ("trio.driver trio.listener", ["Driver"]),
        ("asyncio.driver trio.driver cli.serve", ["Driver"]),
    ],
)
def test_a_shared_class_name_is_found_outside_the_runtimes(names: str, shared: list[str]) -> None:
    source = "class Driver: ...\nclass _Driver: ..."
    modules = [parse_module(source, f"twilio_realtime.{name}") for name in names.split()]
    assert list(find_shared_class_names(modules)) == shared
