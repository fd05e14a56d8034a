"""The check of the files that a command writes: none may replace one that the command reads."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import UsageError

__all__ = ["check_output_files"]


def check_output_files(
    outputs: Mapping[str, Path | None], *, inputs: Iterable[Path], kind: str = "the recording"
) -> None:
    """Check that each file to be written, by its option, is neither one of the `inputs`, each of
    which is `kind`, nor that of another option. Links are followed; devices and pipes may be named
    several times. Raises `UsageError`."""
    read = tuple(inputs)
    written: dict[str, Path] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        if any(_is_same_file(path, each) for each in read):
            raise UsageError(f"{path} is {kind} itself: name another file to write")
        for other, other_path in written.items():
            if _is_same_file(path, other_path):
                raise UsageError(f"{path} is named by {other} and by {option}: name two files")
        written[option] = path


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths name one file, which may not exist yet."""
    if path.exists() and other.exists():
        return path.is_file() and path.samefile(other)
    return os.path.realpath(path) == os.path.realpath(other)
