"""The picture in the README is of a call as it goes today."""

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"tools/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_the_script_draws() -> None:
    drawn = load("make_picture").draw()
    picture = (DOCS / "explanation/barge-in.svg").read_text("utf-8")
    assert drawn == picture, "run: python docs/tools/make_picture.py"
