"""Writes lines to files from a thread, so that no disk, however slow or full, makes a call wait."""

from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread
from typing import Final, Protocol

from attrs import define, field

__all__ = ["MAX_QUEUED_BYTES", "LineFile", "LineWriter", "RawFile"]

MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
"""Bytes that wait for the disk: some 200 calls without audio for a minute."""

PERIOD_S: Final = 0.05
"""How often the thread writes what has arrived: a few frames at a time."""

CLOSE_S: Final = 3.0
"""How long `LineWriter.close` waits for the lines that are queued."""


class RawFile(Protocol):
    """A file that is open, without a buffer."""

    def write(self, data: bytes, /) -> int | None:
        """Write a part of `data`, and return how many bytes that was. Raises `OSError`."""
        ...

    def close(self) -> None:
        """Close it. Raises `OSError`."""
        ...


@define(eq=False)
class LineFile:
    """One file of a `LineWriter`, made by the first line; after a failure, which is
    reported once, nothing more is written to it."""

    _writer: "LineWriter"
    _open: Callable[[], RawFile]
    _on_error: Callable[[OSError], object]
    _file: RawFile | None = field(init=False, default=None)
    has_failed: bool = field(init=False, default=False)

    def write(self, line: str) -> None:
        """Queue a line. Never waits."""
        if not self.has_failed and not self._writer.put(self, line.encode()):
            self.fail(OSError("the disk is too slow"))

    def close(self) -> None:
        """Queue the end of the file."""
        self._writer.put(self, None)

    def fail(self, error: OSError) -> None:
        """Give the file up, and report why."""
        if not self.has_failed:
            self.has_failed = True
            with suppress(Exception):
                self._on_error(error)

    def write_now(self, data: bytes) -> None:
        """Write bytes, in the thread."""
        if self.has_failed:
            return
        try:
            if self._file is None:
                self._file = self._open()
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            self.fail(error)

    def close_now(self) -> None:
        """Close the file, in the thread."""
        if self._file is not None:
            with suppress(OSError):  # a failed write has been reported
                self._file.close()
            self._file = None


@define(eq=False)
class LineWriter:
    """Writes what is queued for any number of files, from a thread that runs while there is any."""

    _queue: dict[LineFile, "_Queued"] = field(init=False, factory=dict[LineFile, "_Queued"])
    _queued_bytes: int = field(init=False, default=0)
    _is_running: bool = field(init=False, default=False)
    _is_closing: bool = field(init=False, default=False)
    _changed: Condition = field(init=False, factory=Condition)

    def put(self, file: LineFile, data: bytes | None) -> bool:
        """Queue bytes for a file, or its end, which always fits. Return whether there is room."""
        with self._changed:
            if self._queued_bytes + len(data or b"") > MAX_QUEUED_BYTES and data is not None:
                return False
            if not self._is_running:
                try:
                    Thread(target=self._run, name="twilio-realtime disk", daemon=True).start()
                except RuntimeError:  # there is no thread left
                    return False
                self._is_running = True
            queued = self._queue.setdefault(file, _Queued())
            if data is None:
                queued.is_end = True
            else:
                queued.data += data
                self._queued_bytes += len(data)
        return True

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Wait until all that is queued is written, for `timeout_s` at the most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_running, timeout_s)
            self._is_closing = False

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, PERIOD_S)
                if not self._queue:
                    self._is_running = False
                    self._changed.notify_all()
                    return
                batch, self._queue = self._queue, {}
            for file, queued in batch.items():
                file.write_now(bytes(queued.data))
                if queued.is_end:
                    file.close_now()
                with self._changed:
                    self._queued_bytes -= len(queued.data)


@define(eq=False)
class _Queued:
    """What is to be written to one file, and whether it is closed after that."""

    data: bytearray = field(factory=bytearray)
    is_end: bool = False
