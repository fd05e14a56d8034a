"""The core, and simulated calls, depend on nothing but their inputs."""

import ast

import pytest

from source_modules import ADAPTERS, CORE, SourceModule, parse_module

# The standard library that gives the same answer whenever and wherever it is called: whole
# modules, and single names of others.
PURE = """
    base64 binascii bisect collections collections.abc enum functools hashlib heapq hmac
    http.HTTPStatus io.BytesIO io.StringIO itertools json math operator re statistics.median_low
    struct types typing urllib.parse warnings.warn zlib.crc32
"""
LIBRARIES = "twilio_realtime_core attrs msgspec"
LIBRARIES_OF_MODULE = {
    "twilio_realtime_core.transport.frames": "wsproto",
    "twilio_realtime_core.transport.handshake": "h11",
    "twilio_realtime_core.transport.http": "h11",
    "twilio_realtime_core.transport.request_head": "h11",
    "twilio_realtime_core.transport.websocket": "wsproto",
}

# Built-in functions that touch the world, or answer differently from run to run.
IMPURE_CALLS = "__import__ breakpoint compile eval exec hash id input open print"

# Modules that would make a simulated call depend on the time, the machine, chance, or a loop.
NOT_SIMULATED = """
    anyio asyncio datetime logging os secrets select socket ssl threading time trio uuid
"""

SIMULATOR = {
    name: module
    for name, module in ADAPTERS.items()
    if name.startswith("twilio_realtime.sim.") or name == "twilio_realtime.sim"
}

each_core_module = pytest.mark.parametrize("name", CORE)


def find_impurities(module: SourceModule) -> list[str]:
    """What a module of the core uses that it may not use, one line each."""
    libraries = f"{LIBRARIES} {LIBRARIES_OF_MODULE.get(module.name, '')}".split()
    pure = set(PURE.split())
    found = [
        f"imports {imported}"
        for imported, names in module.imports()
        if imported.partition(".")[0] not in libraries
        and imported not in pure
        and not (names and {f"{imported}.{name}" for name in names} <= pure)
    ]
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id=called)) if called in IMPURE_CALLS.split():
                found.append(f"calls {called}")
            case _:
                pass
    return found


def find_chance(module: SourceModule) -> list[str]:
    """What makes a simulated call depend on anything but its seed, one line each."""
    imports = list(module.imports())
    found = [
        f"imports {imported}"
        for imported, names in imports
        if imported.partition(".")[0] in NOT_SIMULATED.split()
        or (imported == "random" and names not in ([], ["Random"]))
    ]
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="random"), attr=attribute):
                # Without an import of the module, the name is that of a `Random` with a seed.
                if attribute != "Random" and ("random", []) in imports:
                    found.append(f"uses random.{attribute}")
            case ast.Call(
                func=ast.Name(id="Random") | ast.Attribute(attr="Random"), args=[], keywords=[]
            ):
                found.append("has no seed for Random")
            case _:
                pass
    return found


# The core


@each_core_module
def test_the_core_imports_and_calls_only_what_is_pure(name: str) -> None:
    assert find_impurities(CORE[name]) == []


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
def test_an_impurity_is_found_in_any_module(name: str, line: str, complaint: str) -> None:
    source = f"{ast.unparse(CORE[name].tree)}\n{line}\n"
    module = parse_module(source, name, is_package=CORE[name].is_package)
    assert complaint in find_impurities(module)


def test_only_the_transport_imports_wsproto_and_h11() -> None:
    def check(source: str, name: str) -> list[str]:
        return find_impurities(parse_module(source, f"twilio_realtime_core.{name}"))

    assert check("import wsproto", "transport.websocket") == []
    assert check("import h11", "transport.http") == []
    assert check("import wsproto, h11", "bridge") == ["imports wsproto", "imports h11"]


# The simulator


@pytest.mark.parametrize("name", SIMULATOR)
def test_the_simulator_depends_on_nothing_but_its_seed(name: str) -> None:
    assert find_chance(SIMULATOR[name]) == []


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
    assert find_chance(parse_module(source, "twilio_realtime.sim.world.world")) == found
