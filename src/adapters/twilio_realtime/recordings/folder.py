"""A folder of recordings, with one file for each call."""

import os
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

from attrs import define, field

from twilio_realtime_core.config.call import CallConfig

from .bridge_wrapper import BridgeLike
from .line_writer import LineFile, LineWriter, RawFile
from .recorder import Recorder
from .redactor import Redactor

__all__ = ["RecordingFolder"]


def _create_file(path: Path) -> RawFile:
    """Create a file that only the owner of the process can read."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)


@define(eq=False)
class RecordingFolder:
    """Records calls into files of `folder`, which is created if it does not exist (`OSError` if it
    cannot be).

    Only the owner of the process can read the files. A thread writes each line as soon as it can,
    so no call waits for the disk, and the recording of a call that is torn down is readable up to
    there. If a file cannot be created or written, or the disk is far behind, `on_error` is called
    once, in any thread, and the call continues without recording. `keep_audio`: keep the audio of
    calls; otherwise it is replaced by silence. `create_file` returns a new file for writing.
    """

    folder: Path
    on_error: Callable[[OSError], object]
    keep_audio: bool = False
    _create_file: Callable[[Path], RawFile] = field(
        default=_create_file, kw_only=True, alias="create_file"
    )
    _numbers: "count[int]" = field(init=False, factory=lambda: count(1))
    _writer: LineWriter = field(init=False, factory=LineWriter)

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def record(
        self, bridge: BridgeLike, config: CallConfig, *, name: str | None = None
    ) -> BridgeLike:
        """Return a recorder that takes the place of `bridge`. `name` is that of the new file."""
        recorded_at = datetime.now(UTC)
        if name is None:
            name = f"{recorded_at:%Y%m%dT%H%M%SZ}-{os.getpid()}-{next(self._numbers)}.jsonl"
        create = partial(self._create_file, self.folder / name)
        file = LineFile(self._writer, create, self.on_error)
        recorder = Recorder(
            bridge,
            config,
            file.write,
            Redactor(self.keep_audio),
            recorded_at=recorded_at,
            on_close=file.close,
        )
        weakref.finalize(recorder, file.close)  # a call that is torn down has no last line
        return recorder

    def close(self) -> None:
        """Wait until all that was recorded is written, for three seconds at the most."""
        self._writer.close()
