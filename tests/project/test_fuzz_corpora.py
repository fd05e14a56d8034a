"""Every input that fuzzing began with, or found, stays harmless."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
TARGETS = sorted(path.stem for path in FUZZ.glob("fuzz_*.py"))


@cache
def check_of(target: str) -> Callable[[bytes], None]:
    spec = importlib.util.spec_from_file_location(target, FUZZ / f"{target}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check: Callable[[bytes], None] = module.check
    return check


def inputs(target: str) -> list[Path]:
    return sorted((FUZZ / "corpus" / target.removeprefix("fuzz_")).iterdir())


KNOWN = [
    pytest.param(target, path, id=f"{target}-{path.name}")
    for target in TARGETS
    for path in inputs(target)
]


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_has_a_corpus(target: str) -> None:
    assert inputs(target)


@pytest.mark.parametrize(("target", "path"), KNOWN)
def test_a_known_input_is_harmless(target: str, path: Path) -> None:
    check_of(target)(path.read_bytes())
