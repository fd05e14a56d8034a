"""A handler of `logging` that never makes its caller wait, whatever happens to the output.

    output = LogOutput(sys.stdout.fileno(), format_json)
    logging.getLogger().addHandler(output)

A thread writes the lines. Nobody reads the pipe, the disk is full, the terminal is gone: lines are
dropped and counted, and the count is a line of its own as soon as lines can be written again.
"""

import io
import json
import logging
import os
import select
import stat
import sys
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Condition, Thread
from typing import Any, Final, Literal, TypeAlias

from attrs import define, field

__all__ = [
    "MAX_QUEUED_RECORDS",
    "FormatRecord",
    "LogOutput",
    "OutputStream",
    "format_json",
    "format_text",
    "print_to",
    "write_logs",
]

MAX_QUEUED_RECORDS: Final = 5_000
"""Records that wait for the thread: all that a hundred calls log in some ten seconds, in about
5 MB."""

_BATCH_BYTES: Final = 64 * 1024
"""Bytes that are written at a time, about: what a pipe holds."""

_GATHER_S: Final = 0.1
"""How long the thread waits for more records after the first: waking it for each costs more than
the line, and takes the interpreter away from the calls."""

_WATCH_S: Final = 0.5
"""How often the thread looks whether the reader of a pipe is still there."""

_WAKING_LENGTHS: Final = (1, MAX_QUEUED_RECORDS // 2)
"""Lengths of the queue at which the thread is woken: at the first it gathers more, at the second it
does not wait any longer."""

_CLOSE_S: Final = 1.0
"""How long `close` waits for the lines that are queued."""

_STANDARD_FIELDS: Final = frozenset(
    (*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "event", "text")
)
"""The attributes of a record that are not fields of an event."""

_LEADING_FIELDS: Final = ("call", "leg")
"""Fields that lines for people begin with."""

FormatRecord: TypeAlias = Callable[[logging.LogRecord], str]
"""Makes a line, without its end."""


@define(eq=False)
class _Queue:
    """The records on their way to the thread, and text that others print."""

    records: "deque[logging.LogRecord | str]" = field(factory=deque["logging.LogRecord | str"])
    dropped: int = 0
    is_closed: bool = False
    is_given_up: bool = False
    is_reader_gone: bool = False
    changed: Condition = field(factory=Condition)


class LogOutput(logging.Handler):
    """Writes records to the file descriptor `descriptor`, from a thread, with `write`.

    At most `MAX_QUEUED_RECORDS` are queued; those beyond, and those that cannot be written, are
    dropped and counted in `dropped`. The descriptor is not closed.
    """

    def __init__(
        self,
        descriptor: int,
        format_record: FormatRecord,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        super().__init__()
        self.descriptor = descriptor
        self._queue = _Queue()
        self._writer = _Writer(descriptor, format_record, self._queue, write)
        self._thread = Thread(target=self._writer.run, name="twilio-realtime log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many records were dropped so far."""
        return self._queue.dropped

    @property
    def is_reader_gone(self) -> bool:
        """Whether the pipe, if it is one, has no reader any more."""
        return self._queue.is_reader_gone

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record. Text with arguments, and tracebacks, are made now, since their objects
        may change."""
        if record.args or record.exc_info:
            if record.exc_info:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._put(record)

    def write_text(self, text: str) -> None:
        """Queue text as it is; it counts as one record."""
        self._put(text)

    def _put(self, record: logging.LogRecord | str) -> None:
        queue = self._queue
        with queue.changed:
            if len(queue.records) >= MAX_QUEUED_RECORDS:
                queue.dropped += 1
            elif not queue.is_closed:
                queue.records.append(record)
                if len(queue.records) in _WAKING_LENGTHS:
                    queue.changed.notify()

    def close(self) -> None:
        """Wait until all queued lines are written, `_CLOSE_S` at the most."""
        with self._queue.changed:
            self._queue.is_closed = True
            self._queue.changed.notify()
        self._thread.join(_CLOSE_S)
        with self._queue.changed:  # what still waits for a reader is given up
            self._queue.is_given_up = True
            self._queue.records.clear()
        logging.getLogger().removeHandler(self)
        super().close()


class OutputStream(io.TextIOBase):
    """A stream in the place of `sys.stdout` or `sys.stderr` that never makes its caller wait: what
    is printed is queued for an output, whole lines at a time."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, output: LogOutput) -> None:
        super().__init__()
        self._output = output
        self._line = ""

    def writable(self) -> bool:
        """See `io.IOBase.writable`."""
        return True

    def fileno(self) -> int:
        """See `io.IOBase.fileno`."""
        return self._output.descriptor

    def isatty(self) -> bool:
        """See `io.IOBase.isatty`."""
        return os.isatty(self._output.descriptor)

    def write(self, text: str, /) -> int:
        """See `io.TextIOBase.write`."""
        lines, newline, rest = (self._line + text).rpartition("\n")
        if newline:
            self._output.write_text(lines + newline)
        self._line = rest
        return len(text)

    def close(self) -> None:
        """See `io.IOBase.close`. A line that has not ended is ended."""
        if self._line:
            self.write("\n")
        super().close()


@contextmanager
def print_to(name: Literal["stdout", "stderr"], output: LogOutput) -> Generator[None, None, None]:
    """Print to `output` what is printed to `sys.stdout` or `sys.stderr`, which is `name`."""
    before = getattr(sys, name)
    stream = OutputStream(output)
    setattr(sys, name, stream)
    try:
        yield
    finally:
        setattr(sys, name, before)
        stream.close()


def write_logs(
    descriptor: int, format_record: FormatRecord, level: int = logging.INFO
) -> LogOutput:
    """Write the log of this process to `descriptor`: events of this package from `level` on, and
    what other loggers write by their own levels, as a rule from warnings on."""
    output = LogOutput(descriptor, format_record)
    logging.getLogger().addHandler(output)
    logging.getLogger("twilio_realtime").setLevel(level)
    return output


@define(eq=False)
class _Writer:
    """The work of the thread. It holds the lock of the queue only to take records out of it."""

    _descriptor: int
    _format: FormatRecord
    _queue: _Queue
    _write_bytes: Callable[[int, bytes], int]
    _reported_drops: int = field(init=False, default=0)
    _is_line_torn: bool = field(init=False, default=False)
    """The last line was written in part."""
    _has_reader: bool = field(init=False)
    """The descriptor is a pipe or a socket."""

    def __attrs_post_init__(self) -> None:
        mode = os.fstat(self._descriptor).st_mode
        self._has_reader = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

    def run(self) -> None:
        while True:
            batch = self._take_batch()
            if batch is None:
                return
            self._write_lines(batch)

    def _take_batch(self) -> "list[logging.LogRecord | str] | None":
        """Wait for records and take them; `None` once there are none and the queue is closed."""
        queue = self._queue
        with queue.changed:
            while not queue.records:
                if queue.is_closed:
                    return None
                if self._has_reader and _is_reader_gone(self._descriptor):
                    queue.is_reader_gone = True
                if not queue.changed.wait(_WATCH_S) and queue.dropped > self._reported_drops:
                    return []  # for the line with their number
            if not queue.is_closed and len(queue.records) < _WAKING_LENGTHS[-1]:
                queue.changed.wait(_GATHER_S)
            size = min(len(queue.records), _BATCH_BYTES // 256)
            return [queue.records.popleft() for _ in range(size)]

    def _write_lines(self, records: "list[logging.LogRecord | str]") -> None:
        lines = [
            each if isinstance(each, str) else f"{self._format_safely(each)}\n" for each in records
        ]
        dropped = self._queue.dropped
        if dropped > self._reported_drops:
            lines.append(f"{self._format(_drop_record(dropped - self._reported_drops))}\n")
        data = "".join(lines).encode("utf-8", "backslashreplace")
        unwritten = self._write(b"\n" + data if self._is_line_torn else data)
        if not unwritten:
            self._reported_drops = dropped
        elif records:
            with self._queue.changed:
                self._queue.dropped += min(unwritten.count(b"\n"), len(records))

    def _format_safely(self, record: logging.LogRecord) -> str:
        try:
            return self._format(record)
        except Exception as error:  # a field of the application's, as a rule
            return self._format(_failure_record(record, error))

    def _write(self, data: bytes) -> bytes:
        """Write `data`, however long that takes, and return what could not be written."""
        while data and not self._queue.is_given_up:
            try:
                written = self._write_bytes(self._descriptor, data)
            except BlockingIOError:
                select.select((), (self._descriptor,), ())
            except OSError as error:
                self._queue.is_reader_gone |= isinstance(error, BrokenPipeError)
                break
            else:
                self._is_line_torn = data[written - 1 : written] != b"\n"
                data = data[written:]
        return data


def _is_reader_gone(descriptor: int) -> bool:
    """Whether the reader of a pipe or a socket has closed it."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _drop_record(count: int) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"msg": "log.dropped", "levelno": logging.WARNING, "event": "log.dropped", "lines": count}
    )


def _failure_record(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    fields = {"event": "log.failed", "line": str(record.msg), "error": type(error).__name__}
    return logging.makeLogRecord({"msg": "log.failed", "levelno": logging.ERROR, **fields})


def format_json(record: logging.LogRecord) -> str:
    """Format a record for programs: a JSON object with `time` (UTC), `level`, `event` and the
    fields. A record that is no event of this package has `logger` and `message`."""
    line: dict[str, Any] = {"time": _format_time(record), "level": _level_name(record).lower()}
    event = getattr(record, "event", None)
    if event is None:
        line |= {"event": "log", "logger": record.name, "message": _message(record)}
    else:
        line["event"] = event
    return json.dumps({**line, **_fields(record)}, default=repr)


def format_text(record: logging.LogRecord) -> str:
    """Format a record for people: time (UTC), level, call and leg, the event, its fields."""
    fields = _fields(record)
    call, leg = (fields.pop(name, None) for name in _LEADING_FIELDS)
    event = getattr(record, "event", None)
    what = f"{record.name}: {_message(record)}" if event is None else event.replace(".", " ")
    text = getattr(record, "text", None)
    subject = f"call {call}" if call is not None else ""
    head = f"{_format_time(record)}  {_level_name(record):7}  {subject:8}  {leg or '':8}"
    details = [f"{name}={_format_value(value)}" for name, value in fields.items()]
    said = [what.replace("_", " "), *details] if text is None else [text]
    return "  ".join((head, *map(_printable, said))).rstrip()


def _format_time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def _level_name(record: logging.LogRecord) -> str:
    return logging.getLevelName(record.levelno)


def _message(record: logging.LogRecord) -> str:
    return "\n".join(filter(None, (record.getMessage(), record.exc_text)))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    attributes: Mapping[str, Any] = vars(record)
    return {name: value for name, value in attributes.items() if name not in _STANDARD_FIELDS}


def _format_value(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text


def _printable(text: str) -> str:
    """Replace characters that could control a terminal."""
    return "".join(
        each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text
    )
