"""Files that only the owner of the process can read: what they hold is of a call."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["create_private_file"]


def create_private_file(path: Path) -> None:
    """Make sure that there is a file that only the owner of the process can read, and which can be
    written. A device, or a pipe, stays as it is. Raises `OSError`."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if path.is_file():
        path.chmod(0o600)
