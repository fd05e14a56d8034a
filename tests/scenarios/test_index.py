"""The index of scenarios, compared with the tests that it names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from scenario_index import REMARKS, TESTS

FOLDER = Path(__file__).parents[1]

GAPS = (7, 12, 14, 15, 25, 29, 40, 45, 64, 74, 84, 88)
"""Numbers that are not used."""

NUMBERS = [f"S{number:02}" for number in range(1, 93) if number not in GAPS]

ROW = re.compile(r"^\| (S\d\d) \|", re.M)
IN_A_NAME = re.compile(r"(?<=_)s\d\d(?=_)")
IN_A_DOCSTRING = re.compile(r"S\d\d(?:, S\d\d)*(?=[.:])")


@cache
def numbered(path: Path) -> dict[str, set[str]]:
    """The tests of a file, with the numbers in their names or at the start of their docstrings."""
    return {
        each.name: set(numbers_of(each))
        for each in ast.parse(path.read_text("utf-8")).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    }


def numbers_of(test: ast.FunctionDef) -> list[str]:
    found = IN_A_DOCSTRING.match(ast.get_docstring(test) or "")
    named = [each.upper() for each in IN_A_NAME.findall(test.name)]
    return named + (found[0].split(", ") if found else [])


def test_every_scenario_is_listed_in_order() -> None:
    assert list(TESTS) == NUMBERS
    assert set(REMARKS) <= set(NUMBERS)


def test_the_page_has_every_scenario_and_remark_in_order() -> None:
    page = (FOLDER.parent / "docs/project/scenarios.md").read_text("utf-8")
    scenarios, _, remarks = page.partition("## Remarks")
    assert ROW.findall(scenarios) == NUMBERS
    assert ROW.findall(remarks) == list(REMARKS)


@pytest.mark.parametrize("number", TESTS)
def test_a_scenario_has_tests_with_its_number_or_a_remark(number: str) -> None:
    assert TESTS[number] or REMARKS[number]
    assert len(set(TESTS[number])) == len(TESTS[number])
    for each in TESTS[number]:
        path, _, name = each.partition("::")
        assert number in numbered(FOLDER / path).get(name, set()), each


def test_no_test_has_an_unknown_number() -> None:
    files = sorted(FOLDER.rglob("test_*.py"))
    carried = {
        number for path in files for numbers in numbered(path).values() for number in numbers
    }
    assert carried <= set(NUMBERS)


def test_a_number_is_found_in_names_and_docstrings() -> None:
    source = 'def test_s01_s02_a() -> None:\n    """S03, S04: b, as in S05."""'
    (test,) = ast.parse(source).body
    assert isinstance(test, ast.FunctionDef)
    assert numbers_of(test) == ["S01", "S02", "S03", "S04"]
