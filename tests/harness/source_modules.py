"""The project's modules as source text: where they are, what they import and define."""

import ast
import importlib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

from attrs import frozen

__all__ = ["ADAPTERS", "CORE", "Definition", "SourceModule", "parse_module", "public_definitions"]

_SOURCES = Path(__file__).parents[2] / "src"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class SourceModule:
    """A module as its source says: `name` is the one to import it by."""

    name: str
    is_package: bool
    tree: ast.Module

    def load(self) -> ModuleType:
        """Import the module."""
        return importlib.import_module(self.name)

    def imports(self) -> Iterator[tuple[str, list[str]]]:
        """The imports, wherever they stand in the text: module and names taken from it."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=aliases):
                    yield from ((alias.name, []) for alias in aliases)
                case ast.ImportFrom(module=module, names=aliases, level=level):
                    full_name = resolve_name("." * level + (module or ""), package)
                    yield full_name, [alias.name for alias in aliases]
                case _:
                    pass

    def public_definitions(self) -> Iterator[Definition]:
        """The classes and functions of the module whose names begin with no underscore."""
        return public_definitions(self.tree)


def parse_module(source: str, name: str, *, is_package: bool = False) -> SourceModule:
    """Read the text of a module."""
    return SourceModule(name, is_package, ast.parse(source))


def public_definitions(tree: ast.Module) -> Iterator[Definition]:
    """The classes and functions at the top of a text whose names begin with no underscore."""
    for node in tree.body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if not node.name.startswith("_"):
                    yield node
            case _:
                pass


def _read_package(root: Path, package: str) -> dict[str, SourceModule]:
    """The modules of a package by name, in the order of their paths."""
    modules: dict[str, SourceModule] = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = parse_module(path.read_text("utf-8"), name, is_package=is_package)
    return modules


CORE = _read_package(_SOURCES, "twilio_realtime_core")
"""The modules of the core, by name."""

ADAPTERS = _read_package(_SOURCES / "adapters", "twilio_realtime")
"""The modules of the adapters, by name."""
