"""A folder that calls are recorded into, a file for each."""

import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO

from attrs import define, field

from twilio_realtime_core.config.call import CallConfig

from .format import Hider
from .recorder import BridgeLike, Recorder

__all__ = ["RecordedCalls"]


@define(eq=False)
class RecordedCalls:
    """Records calls into `folder`, which is made if it is not there (`OSError`: it cannot be).

    Only the owner of the process can read the files. What is written is written at once, and a call
    that ends badly is readable up to there. If it cannot be written, `on_error` is told once, and
    the call goes on without. `audio`: keep it.
    """

    folder: Path
    on_error: Callable[[OSError], object]
    audio: bool = False
    _numbers: "count[int]" = field(init=False, factory=lambda: count(1))

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def record(self, bridge: BridgeLike, config: CallConfig) -> BridgeLike:
        """What takes the place of a bridge; the bridge itself, if there can be no file."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = self.folder / f"{stamp}-{os.getpid()}-{next(self._numbers)}.jsonl"
        try:
            number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except OSError as error:
            self.on_error(error)
            return bridge
        file = os.fdopen(number, "w", encoding="utf-8", buffering=1)
        writer = _Writer(file, self.on_error)
        recorder = Recorder(bridge, config, writer.write, Hider(self.audio), done=writer.close)
        weakref.finalize(recorder, writer.close)  # a call that is torn has no end
        return recorder


@define(eq=False)
class _Writer:
    """Writes to a file, until that fails."""

    _file: IO[str]
    _on_error: Callable[[OSError], object]
    _failed: bool = field(init=False, default=False)

    def write(self, line: str) -> None:
        if self._failed:
            return
        try:
            self._file.write(line)
        except OSError as error:
            self._failed = True
            self._on_error(error)

    def close(self) -> None:
        """Nothing more is written."""
        with suppress(OSError):  # of what could not be written, which was told
            self._file.close()
