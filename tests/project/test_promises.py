"""The promises of the page on operation: each names a test that exists, on both runtimes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/operation.md").read_text("utf-8")
DEFAULT_FILE = "tests/adapters/cli/test_serve_operation.py"
ROWS = re.findall(
    r"^\| [^|]+ \| `(\w+)`(?:, `(tests/[^`]+)`)? \|$",
    PAGE.partition("## What is promised")[2],
    re.M,
)

ONE_RUNTIME = ("empty_folder", "passes_a_proxy")
"""Promises about packages and proxies, which the event loop does not concern."""


def test_every_promise_of_the_table_is_read() -> None:
    table = PAGE.partition("## What is promised")[2]
    assert len(ROWS) == len(re.findall(r"^\| .* \|$", table, re.M)) - 1  # its head


@pytest.mark.parametrize(("name", "file"), ROWS)
def test_a_promise_names_a_test_on_both_runtimes(name: str, file: str) -> None:
    source = (ROOT / (file or DEFAULT_FILE)).read_text("utf-8")
    matches = list(re.finditer(rf"^def (test_\w*{name}\w*)\(", source, re.M))
    assert matches, f"no test has {name} in its name"
    for match in matches:
        decorators = source[: match.start()].rpartition("\n\n\n")[2]
        assert name in ONE_RUNTIME or re.search('each_runtime|"runtime"', decorators)
