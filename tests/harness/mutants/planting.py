"""Puts a bug into a copy of the core; the core itself stays as it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Final

from attrs import frozen

import twilio_realtime_core

__all__ = ["CORE", "Bug", "Edit", "WrongEdit", "edited", "plant"]

CORE: Final = Path(twilio_realtime_core.__file__).parent


class WrongEdit(Exception):  # noqa: N818 - it says what is wrong
    """The core has changed, and the bug cannot be planted any more."""


@frozen
class Edit:
    """In a module of the core, `after` takes the place of `before`, which is there just once."""

    module: str
    before: str
    after: str


@frozen
class Bug:
    """A bug, and the edits that plant it."""

    name: str
    edits: Sequence[Edit]


def edited(bug: Bug) -> Mapping[str, str]:
    """The texts of the modules that have the bug, by their names.

    Raises `WrongEdit` where an edit does not fit.
    """
    texts: dict[str, str] = {}
    for edit in bug.edits:
        path = CORE / f"{edit.module}.py"
        text = texts.get(edit.module) or (path.read_text("utf-8") if path.exists() else "")
        places = text.count(edit.before)
        if places != 1:
            raise WrongEdit(
                f"{bug.name}: {path.name} has {places} places, not one, that say\n{edit.before}\n"
                "Tell in tests/harness/mutants/bugs.py where the bug belongs now."
            )
        texts[edit.module] = text.replace(edit.before, edit.after)
    return texts


def plant(bug: Bug, folder: Path) -> None:
    """Put a copy of the core with a bug into a folder. Raises `WrongEdit` as `edited` does."""
    copytree(CORE, folder / CORE.name, ignore=ignore_patterns("__pycache__"))
    for module, text in edited(bug).items():
        (folder / CORE.name / f"{module}.py").write_text(text, "utf-8")
