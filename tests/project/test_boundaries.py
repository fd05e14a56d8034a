"""The shape of the project, held: what each module may import, and what it shows."""

import ast
import importlib
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

import pytest

SOURCES = Path(__file__).parents[2] / "src"
CORE = "twilio_realtime_core"

# What each module of the core may import of the core. A module without a row fails.
WORDS = "actions audio configuration errors notifications outbox realtime states times twilio"
ARROWS = {
    # the contract
    "errors": "",
    "times": "",
    "actions": "errors",
    "machine": "actions",
    "timers": "times",
    # the codecs: what the two protocols say
    "audio": "errors times",
    "tagged": "actions errors",
    "twilio": "actions audio errors tagged times",
    "realtime": "actions audio errors tagged times",
    # what the application says and hears
    "mulaw": "",
    "tones": "errors mulaw",
    "usage": "",
    "fields": "errors",
    "tools": "errors fields",
    "pinning": "audio errors fields realtime",
    "session_config": "errors fields pinning realtime tools",
    "interruption": "errors fields",
    "configuration": "actions errors interruption lag pinning realtime session_config times",
    "items": "errors realtime",
    "commands": "configuration errors items realtime times",
    "notifications": "actions errors interruption items usage",
    # the parts of a call
    "states": "errors",
    "outbox": "actions errors notifications",
    "early": "errors realtime times",
    "roundtrip": "errors times",
    "fifo": "times",
    "lag": "fifo times",
    "playout": "errors fifo lag roundtrip times",
    "model_audio": "audio errors playout times",
    "responses": "errors realtime states",
    "requests": "errors realtime responses states",
    "bargein": "errors playout realtime responses states times",
    "caller_audio": "mulaw times",
    "interruptions": "interruption notifications times",
    "function_calls": "actions errors notifications realtime",
    "mcp": "errors notifications realtime",
    "history_diff": "errors items realtime",
    "words": "items",
    "conversation": "errors history_diff items notifications realtime words",
    "session_view": "errors fields",
    "session": f"{WORDS} early interruption pinning session_config session_view",
    "stream": WORDS,
    "line": f"{WORDS} lag model_audio playout responses",
    "own_audio": f"{WORDS} line model_audio playout responses",
    "speech": f"{WORDS} bargein conversation line model_audio own_audio playout responses usage",
    "once_heard": "commands times",
    "parts": f"""{WORDS} caller_audio conversation function_calls interruptions line mcp once_heard
        own_audio requests responses session speech stream timers usage""",
    # what each input means for them
    "from_twilio": f"{WORDS} caller_audio parts timers",
    "from_realtime": f"{WORDS} bargein interruption parts requests timers usage",
    "from_application": f"{WORDS} bargein commands items parts timers tones",
    "bridge": f"""{WORDS} commands from_application from_realtime from_twilio items lag parts
        playout timers""",
    # the way to the bytes
    "handshake": "errors",
    "frames": "errors",
    "websocket": "errors frames handshake timers times",
    "stack": "actions errors handshake machine timers times websocket",
    "opening": "actions errors handshake machine stack timers times websocket",
    # the webhook
    "webhook": "errors",
    # what the package shows
    "__init__": "actions bridge commands configuration errors machine notifications",
}

# What no edit of the table may bring about: that one of the first comes to know one of the second.
BYTES = "frames handshake websocket stack opening"
NEVER = [
    ("bridge", f"{BYTES} webhook"),
    (BYTES, "bridge"),
    (f"{BYTES} actions machine errors times timers states playout", "twilio realtime"),
    ("webhook", f"{BYTES} twilio realtime"),
    ("from_twilio", "from_realtime from_application"),
    ("from_realtime", "from_twilio from_application"),
    ("from_application", "from_twilio from_realtime"),
]

# What of the standard library gives the same answer whenever and wherever it is asked: whole
# modules, and single names of others.
PURE = """
    base64 binascii bisect collections collections.abc enum functools hashlib heapq hmac
    http.HTTPStatus io.BytesIO io.StringIO itertools json math operator re statistics.median_low
    struct types typing urllib.parse
"""
LIBRARIES = "attrs msgspec"
LIBRARIES_OF = {
    "frames": "wsproto",
    "websocket": "wsproto",
    "handshake": "h11",
    "opening": "h11",
}

# Built-in functions that touch the world, or answer differently from run to run.
IMPURE_CALLS = "__import__ breakpoint compile eval exec hash id input open print"

# What each adapter may import: of the core, and of the other adapters.
ADAPTERS = {
    "twilio_realtime.sim": ("*", ""),
    "twilio_realtime.trio": ("actions errors machine times", "twilio_realtime_app"),
    "twilio_realtime.asyncio": ("actions errors machine times", "twilio_realtime_app"),
    "twilio_realtime_app": ("*", ""),
    "twilio_realtime.testing": ("*", "twilio_realtime_app twilio_realtime.sim"),
    "twilio_realtime.cli": (
        "*",
        "twilio_realtime_app twilio_realtime.asyncio twilio_realtime.sim twilio_realtime.trio",
    ),
}

# What the drivers share: no loop owns it, so it may be asked for on any.
SHARED = "driving listening streams"
LOOPS = "anyio asyncio selectors threading trio"

# What a simulated call may not ask: the time, the machine, chance, or a loop.
NOT_SIMULATED = """
    anyio asyncio datetime logging os secrets select socket ssl threading time trio uuid
"""


def sources(folder: Path) -> dict[str, Path]:
    """The modules below a folder of packages, by dotted name."""
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): path
        for path in sorted(folder.rglob("*.py"))
    }


def room(name: str) -> str:
    """The module of the core that a dotted name belongs to; a package counts as one."""
    return name.removeprefix(f"{CORE}.").partition(".")[0]


CORE_SOURCES = {
    name: path for name, path in sources(SOURCES).items() if name.startswith(f"{CORE}.")
}
CORE_MODULES = sorted({room(name) for name in CORE_SOURCES})
ADAPTER_SOURCES = sources(SOURCES / "adapters")

each_core_source = pytest.mark.parametrize("name", CORE_SOURCES)
each_core_module = pytest.mark.parametrize("module", CORE_MODULES)
each_adapter_source = pytest.mark.parametrize("name", ADAPTER_SOURCES)


def imports(tree: ast.AST, name: str) -> Iterator[tuple[str, list[str]]]:
    """The imports of the module `name`, wherever they stand: module and names taken from it."""
    package = name.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from ((alias.name, []) for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                full = resolve_name("." * level + (module or ""), package)
                yield full, [alias.name for alias in aliases]
            case _:
                pass


def core_imports(tree: ast.AST, name: str) -> Iterator[tuple[str, list[str]]]:
    """Those of modules of the core: module of the core and names taken from it."""
    for module, names in imports(tree, name):
        if module == CORE:
            modules = [one for one in names if one in ARROWS]
            yield from ((one, []) for one in modules)
            if modules != names or not names:
                yield "__init__", [one for one in names if one not in modules]
        elif module.startswith(f"{CORE}."):
            yield room(module), names


def impurities(source: str, name: str) -> list[str]:
    """What a module of the core uses though it must not, one line each."""
    tree = ast.parse(source)
    libraries = f"{CORE} {LIBRARIES} {LIBRARIES_OF.get(room(name), '')}".split()
    pure = set(PURE.split())
    found = [
        f"imports {module}"
        for module, names in imports(tree, name)
        if module.partition(".")[0] not in libraries
        and module not in pure
        and not (names and {f"{module}.{one}" for one in names} <= pure)
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=called)) if called in IMPURE_CALLS.split():
                found.append(f"calls {called}")
            case _:
                pass
    return found


def hidden_names(source: str, name: str) -> list[str]:
    """What an adapter uses of the core though the core does not show it."""
    tree = ast.parse(source)
    used = list(core_imports(tree, name))
    modules = {module for module, names in used if not names}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=attribute) if module in modules:
                used.append((module, [attribute]))
            case _:
                pass
    hidden = [
        f"{module}.{one}"
        for module, names in used
        for one in names
        if module not in CORE_MODULES or one not in load(module).__all__
    ]
    # What is used through a plain import is not followed, so there may be none.
    plain = [module for module, names in imports(tree, name) if not names]
    return hidden + [module for module in plain if module.partition(".")[0] == CORE]


def chances(source: str, name: str) -> list[str]:
    """What makes a simulated call depend on anything but its seed."""
    tree = ast.parse(source)
    imported = list(imports(tree, name))
    found = [
        f"imports {module}"
        for module, names in imported
        if module.partition(".")[0] in NOT_SIMULATED.split()
        or (module == "random" and names not in ([], ["Random"]))
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="random"), attr=attribute):
                # Without the module, the name is that of a `Random` with a seed.
                if attribute != "Random" and ("random", []) in imported:
                    found.append(f"uses random.{attribute}")
            case ast.Call(
                func=ast.Name(id="Random") | ast.Attribute(attr="Random"), args=[], keywords=[]
            ):
                found.append("has no seed for Random")
            case _:
                pass
    return found


def load(module: str) -> ModuleType:
    return importlib.import_module(CORE if module == "__init__" else f"{CORE}.{module}")


def knows(module: str) -> set[str]:
    """The modules that a module may import, and those that these may, and so on."""
    near = set(ARROWS[module].split())
    return near.union(*(knows(one) for one in near))


# Purity of the core


@each_core_source
def test_the_core_imports_and_calls_only_what_is_pure(name: str) -> None:
    assert impurities(CORE_SOURCES[name].read_text("utf-8"), name) == []


@each_core_module
@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("import time", "imports time"),
        ("import os.path as path", "imports os.path"),
        ("from asyncio import sleep", "imports asyncio"),
        ("import urllib.request", "imports urllib.request"),
        ("from io import StringIO, open", "imports io"),
        ("import io", "imports io"),
        ("def late():\n    import random", "imports random"),
        ("if TYPE_CHECKING:\n    import ssl", "imports ssl"),
        ("import trio", "imports trio"),
        ("from twilio_realtime.sim import world", "imports twilio_realtime.sim"),
        ("open('file')", "calls open"),
        ("ORDER = sorted([1], key=lambda x: hash(x))", "calls hash"),
        ("__import__('time')", "calls __import__"),
    ],
)
def test_what_is_not_pure_is_found_in_any_module(module: str, line: str, complaint: str) -> None:
    source = CORE_SOURCES.get(f"{CORE}.{module}", SOURCES / CORE / module / "__init__.py")
    assert complaint in impurities(f"{source.read_text('utf-8')}\n{line}\n", f"{CORE}.{module}")


def test_only_the_way_to_the_bytes_knows_their_libraries() -> None:
    assert impurities("import wsproto", f"{CORE}.websocket") == []
    assert impurities("import h11", f"{CORE}.opening") == []
    assert impurities("import wsproto, h11", f"{CORE}.bridge") == ["imports wsproto", "imports h11"]


# The arrows of the core


@each_core_source
def test_a_module_of_the_core_imports_only_what_its_row_names(name: str) -> None:
    assert room(name) in ARROWS, f"give {room(name)} a row in the table of this test"
    found = {
        module for module, _ in core_imports(ast.parse(CORE_SOURCES[name].read_text("utf-8")), name)
    }
    assert found - {room(name)} <= set(ARROWS[room(name)].split())


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from .twilio import Media", "twilio"),
        ("from . import twilio", "twilio"),
        ("from twilio_realtime_core.twilio import Media", "twilio"),
        ("import twilio_realtime_core.twilio", "twilio"),
        ("from twilio_realtime_core import twilio", "twilio"),
        ("import twilio_realtime_core", "__init__"),
        ("from . import Bridge", "__init__"),
        ("def late():\n    from .realtime.events import Event", "realtime"),
    ],
)
def test_an_import_of_the_core_is_seen_in_whatever_form(line: str, module: str) -> None:
    found = [module for module, _ in core_imports(ast.parse(line), f"{CORE}.stack")]
    assert found == [module]


def test_the_table_has_no_circle_and_names_only_its_own_rows() -> None:
    rows = {module: row.split() for module, row in ARROWS.items()}
    order = list(TopologicalSorter(rows).static_order())
    assert set(order) == set(rows)


@pytest.mark.parametrize(("modules", "strangers"), NEVER)
def test_no_row_leads_to_a_stranger_by_whatever_way(modules: str, strangers: str) -> None:
    for module in modules.split():
        assert not knows(module) & set(strangers.split()), module


# The adapters


@each_adapter_source
def test_an_adapter_uses_only_what_the_core_shows(name: str) -> None:
    assert hidden_names(ADAPTER_SOURCES[name].read_text("utf-8"), name) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from twilio_realtime_core.errors import Fault, frozen", ["errors.frozen"]),
        ("from twilio_realtime_core.actions import _count_bytes", ["actions._count_bytes"]),
        ("from twilio_realtime_core import errors\nerrors.Fault\nerrors.Enum", ["errors.Enum"]),
        ("from twilio_realtime_core._hidden import x", ["_hidden.x"]),
        ("from twilio_realtime_core import Peer, errors, absent", ["__init__.absent"]),
        ("import twilio_realtime_core.errors as e", ["twilio_realtime_core.errors"]),
    ],
)
def test_what_the_core_does_not_show_is_found(source: str, found: list[str]) -> None:
    assert hidden_names(source, "twilio_realtime.sim.world.world") == found


@each_adapter_source
def test_an_adapter_imports_only_what_its_row_names(name: str) -> None:
    package = name.partition(".")[0]
    assert package in ADAPTERS, f"give {package} a row in the table of this test"
    core, others = ADAPTERS[package]
    tree = ast.parse(ADAPTER_SOURCES[name].read_text("utf-8"))
    if core != "*":
        assert {module for module, _ in core_imports(tree, name)} <= set(core.split())
    found = {module.partition(".")[0] for module, _ in imports(tree, name)} & set(ADAPTERS)
    assert found <= {package, *others.split()}


@pytest.mark.parametrize("package", ["twilio_realtime.trio", "twilio_realtime.asyncio"])
def test_a_driver_shares_what_no_loop_owns_and_nothing_else(package: str) -> None:
    shared = {f"twilio_realtime_app.{module}" for module in SHARED.split()}
    found = {
        module
        for name, path in ADAPTER_SOURCES.items()
        if name.startswith(f"{package}.")
        for module, _ in imports(ast.parse(path.read_text("utf-8")), name)
        if module.startswith("twilio_realtime_app")
    }
    assert found == shared


@pytest.mark.parametrize("module", SHARED.split())
def test_what_the_drivers_share_knows_no_loop_and_nothing_of_a_call(module: str) -> None:
    name = f"twilio_realtime_app.{module}"
    tree = ast.parse(ADAPTER_SOURCES[name].read_text("utf-8"))
    found = {each for each, _ in imports(tree, name)}
    assert not {each.partition(".")[0] for each in found} & set(LOOPS.split())
    assert {each for each, _ in core_imports(tree, name)} <= set(
        ADAPTERS["twilio_realtime.trio"][0].split()
    )
    own = {each for each in found if each.startswith("twilio_realtime_app")}
    assert own <= {f"twilio_realtime_app.{one}" for one in SHARED.split()}


@pytest.mark.parametrize(
    "name", [name for name in ADAPTER_SOURCES if name.startswith("twilio_realtime.sim.")]
)
def test_the_simulator_depends_on_nothing_but_its_seed(name: str) -> None:
    assert chances(ADAPTER_SOURCES[name].read_text("utf-8"), name) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import random\nchoice = random.Random(7)", []),
        ("from random import Random\nrandom = Random(7)\nrandom.random()", []),
        ("from random import Random\nchoice = Random(x=7)", []),
        ("import random\nrandom.Random(7).random()", []),
        ("import random\nrandom.shuffle([])", ["uses random.shuffle"]),
        ("import random\nchoice = random.Random()", ["has no seed for Random"]),
        ("from random import Random\nchoice = Random()", ["has no seed for Random"]),
        ("from random import choice", ["imports random"]),
        ("import time", ["imports time"]),
        ("from trio.testing import MockClock", ["imports trio.testing"]),
        ("def late():\n    from os import urandom", ["imports os"]),
    ],
)
def test_what_depends_on_more_than_a_seed_is_found(source: str, found: list[str]) -> None:
    assert chances(source, "twilio_realtime.sim.world.world") == found


# What the core shows


@each_core_source
def test_every_module_class_and_function_that_is_shown_says_what_it_is(name: str) -> None:
    tree = ast.parse(CORE_SOURCES[name].read_text("utf-8"))
    assert ast.get_docstring(tree)
    assert [node.name for node in public_definitions(tree) if not ast.get_docstring(node)] == []


@each_core_module
def test_all_names_what_is_public_and_nothing_else(module: str) -> None:
    names = load(module).__all__
    assert names
    assert [one for one in names if one.startswith("_") or not hasattr(load(module), one)] == []
    source = CORE_SOURCES.get(f"{CORE}.{module}")
    if source is not None:
        defined = {node.name for node in public_definitions(ast.parse(source.read_text("utf-8")))}
        assert defined <= set(names)


@each_core_module
def test_all_is_sorted_with_constants_before_classes_before_functions(module: str) -> None:
    def kind(name: str) -> int:
        return 0 if name.isupper() else 1 if name[0].isupper() else 2

    names = load(module).__all__
    assert names == sorted(set(names), key=lambda name: (kind(name), name))


def public_definitions(
    tree: ast.Module,
) -> Iterable[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in tree.body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if not node.name.startswith("_"):
                    yield node
            case _:
                pass
