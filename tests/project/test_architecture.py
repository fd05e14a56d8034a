"""The page of the architecture shows the layers and folders that there are."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lowest_versions import lowest_versions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = {"core": "src/twilio_realtime_core", "adapters": "src/adapters/twilio_realtime"}

ROW = re.compile(r"^\| `(?P<name>\w+)` \|", re.M)


def layers(contract: str) -> list[str]:
    (found,) = (
        each["layers"]
        for each in PROJECT["tool"]["importlinter"]["contracts"]
        if each["id"] == contract
    )
    return list(found)


@pytest.mark.parametrize("contract", PACKAGES)
def test_the_page_shows_the_layers_that_are_held(contract: str) -> None:
    assert "```text\n" + "\n".join(layers(contract)) + "\n```" in PAGE


def test_the_page_has_a_row_for_each_folder_and_module() -> None:
    rows = [match["name"] for match in ROW.finditer(PAGE.partition("## Tests")[0])]
    found = [
        path.stem
        for package in PACKAGES.values()
        for path in (ROOT / package).iterdir()
        if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").exists())
    ]
    assert sorted(rows) == sorted(found)


# Dependencies


def test_every_dependency_states_its_lowest_version() -> None:
    lowest = lowest_versions(PROJECT["project"])
    assert {"attrs", "h11", "msgspec", "wsproto"} <= {line.partition("==")[0] for line in lowest}


@pytest.mark.parametrize("requirement", ["h11", "h11<1", "h11==0.16", "h11>=0.15"])
def test_an_unclear_lowest_version_is_refused(requirement: str) -> None:
    project = {"dependencies": ["h11>=0.16"], "optional-dependencies": {"extra": [requirement]}}
    with pytest.raises(ValueError, match="h11"):
        lowest_versions(project)
