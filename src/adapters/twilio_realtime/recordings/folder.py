"""A folder of recordings, with one file for each call."""

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

from attrs import define, field

from twilio_realtime_core.config.call import CallConfig

from .recorder import BridgeLike, Recorder
from .redactor import Redactor

__all__ = ["RecordingFolder"]


@define(eq=False)
class RecordingFolder:
    """Records calls into files of `folder`, which is created if it does not exist (`OSError` if it
    cannot be).

    Only the owner of the process can read the files. Each line is written immediately, so the
    recording of a call that is torn down is readable up to there. If a file cannot be written,
    `on_error` is called once, and the call continues without recording. `keep_audio`: keep the
    audio of calls; otherwise it is replaced by silence.
    """

    folder: Path
    on_error: Callable[[OSError], object]
    keep_audio: bool = False
    _numbers: "count[int]" = field(init=False, factory=lambda: count(1))

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def record(self, bridge: BridgeLike, config: CallConfig) -> BridgeLike:
        """Return a recorder that takes the place of `bridge`; the bridge itself if no file can be
        created."""
        recorded_at = datetime.now(UTC)
        name = f"{recorded_at:%Y%m%dT%H%M%SZ}-{os.getpid()}-{next(self._numbers)}.jsonl"
        try:
            descriptor = os.open(self.folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except OSError as error:
            self.on_error(error)
            return bridge
        file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        writer = _FileWriter(file, self.on_error)
        recorder = Recorder(
            bridge,
            config,
            writer.write,
            Redactor(self.keep_audio),
            recorded_at=recorded_at,
            on_close=writer.close,
        )
        weakref.finalize(recorder, writer.close)  # a call that is torn down has no last line
        return recorder


@define(eq=False)
class _FileWriter:
    """Writes lines to a file until that fails."""

    _file: IO[str]
    _on_error: Callable[[OSError], object]
    _has_failed: bool = field(init=False, default=False)

    def write(self, line: str) -> None:
        if self._has_failed:
            return
        try:
            self._file.write(line)
        except OSError as error:
            self._has_failed = True
            self._on_error(error)

    def close(self) -> None:
        with suppress(OSError):  # a failed write has been reported
            self._file.close()
