"""Print the lowest versions that `pyproject.toml` allows, as constraints for pip."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["lowest_versions"]

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_FOR_DEVELOPERS = {"dev", "fuzz", "test"}
"""Extras that only work on the project needs."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w.,-]+\])? *>= *(?P<version>[\w.]+)")


def lowest_versions(project: dict[str, Any]) -> list[str]:
    """Return a line `name==version` for each requirement of the package and of its extras.

    `project` is the table of that name in `pyproject.toml`.

    Raises:
        ValueError: A requirement states no lowest version, or two extras state different ones.
    """
    extras = project["optional-dependencies"]
    requirements = set(project["dependencies"])
    requirements.update(*(extras[extra] for extra in extras.keys() - _FOR_DEVELOPERS))
    lowest: dict[str, str] = {}
    for requirement in sorted(requirements):
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise ValueError(f"{requirement} states no lowest version")
        if lowest.setdefault(match["name"], match["version"]) != match["version"]:
            raise ValueError(f"{match['name']} has two lowest versions")
    return [f"{name}=={version}" for name, version in lowest.items()]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest_versions(tomllib.loads(_PROJECT.read_text())["project"])))
    sys.stdout.write("\n")
