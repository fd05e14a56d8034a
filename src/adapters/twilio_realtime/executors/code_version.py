"""The version of the code that makes simulated calls, to compare it with that of a worker."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from inspect import getfile
from pathlib import Path
from typing import Final

from twilio_realtime_core import Bridge

__all__ = ["code_version"]

_DIGEST_CHARACTERS: Final = 12
_FOLDERS: Final = (Path(getfile(Bridge)).parent, Path(__file__).parents[1])
"""The folders of both packages."""


@cache
def code_version() -> str:
    """Return the version of the package with a digest of its files, such as `0.1.0 (9f86d081884c)`.

    The same seed gives the same call only in the same code, and two checkouts of one version can
    differ: hence the digest.
    """
    digest = sha256()
    for folder in _FOLDERS:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(sha256(path.read_bytes()).digest())
    return f"{version('twilio-realtime-core')} ({digest.hexdigest()[:_DIGEST_CHARACTERS]})"
