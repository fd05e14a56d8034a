"""The file of what was found: a line of JSON for each way in which calls failed.

Several runs may share the file. Each appends a line with a single write while it holds a lock, and
only if no other run has appended one for the same failure.
"""

import fcntl
import json
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, cast

from ..errors import UsageError

__all__ = ["FoundFile"]

_KEY: Final = "what"
"""The field that two lines of the same failure share."""


class FoundFile:
    """The file at `path`, which is created if need be. Raises `OSError`, and `UsageError` if the
    file holds something else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        self._offset = 0
        """How much of the file was read."""
        self._partial = b""
        """The end of what was read, without a line break: a writer has crashed, or its disk was
        full."""
        self._known: dict[str, Mapping[str, Any]] = {}
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise UsageError(f"--found: {path} is a device; name a file")
            with self._lock():
                self._read(is_checked=True)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._known)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def add(self, what: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Append the line of a failure, and return `None`; or return the line that this or another
        run has appended for it. Raises `UsageError` if it cannot be written."""
        with self._lock():
            self._read()
            if what in self._known:
                return self._known[what]
            line = {_KEY: what, **fields}
            data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
            if self._partial:  # keep apart from what was never finished
                data = b"\n" + data
            self._write(data)
            self._read()
        return None

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                os.write(self._descriptor, data[written:])  # raises why
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"--found: cannot write {self._path}: {reason}") from None

    @contextmanager
    def _lock(self) -> Generator[None, None, None]:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _read(self, *, is_checked: bool = False) -> None:
        """Read what was appended since the last time."""
        os.lseek(self._descriptor, self._offset, os.SEEK_SET)
        blocks = [self._partial]
        while block := os.read(self._descriptor, 1 << 16):
            blocks.append(block)
            self._offset += len(block)
        *lines, self._partial = b"".join(blocks).split(b"\n")
        findings = [_parse(line) for line in lines if line]
        is_foreign = findings[0] is None if findings else self._partial[:1] not in (b"", b"{")
        if is_checked and is_foreign:
            raise UsageError(f"--found: {self._path} is not a file of findings; name another one")
        for finding in findings:
            if finding is not None:
                self._known.setdefault(str(finding[_KEY]), finding)


def _parse(line: bytes) -> Mapping[str, Any] | None:
    """Return the fields of a line; `None` if it is none of these lines."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or _KEY not in value:
        return None
    return cast("Mapping[str, Any]", value)
