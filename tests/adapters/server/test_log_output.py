"""The log's output: written by a thread, whatever becomes of what it writes to."""

import json
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest

from timeouts import HANG_S
from twilio_realtime.server.log_output import (
    MAX_QUEUED_RECORDS,
    LogOutput,
    format_json,
    format_text,
    print_to,
    write_logs,
)

CREATED = 1_800_000_000.1239
FIELDS = {"created": CREATED, "levelno": logging.INFO, "msg": "call.ended", "event": "call.ended"}


def record(**fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({**FIELDS, **fields})


def event(number: int) -> logging.LogRecord:
    return record(number=number)


@contextmanager
def output_to(descriptor: int) -> Generator[LogOutput]:
    output = LogOutput(descriptor, format_json)
    try:
        yield output
    finally:
        output.close()


@contextmanager
def pipe() -> Generator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with suppress(OSError):  # the test has closed it
                os.close(end)


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up = monotonic() + HANG_S
    while not is_so():
        assert monotonic() < give_up
        sleep(0.01)


def numbers(text: str) -> list[int]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [line["number"] for line in lines if "number" in line]


def test_a_line_for_programs_has_time_level_event_and_fields() -> None:
    assert json.loads(format_json(record(call=1, leg="twilio", text="for people"))) == {
        "time": "2027-01-15T08:00:00.123Z",
        "level": "info",
        "event": "call.ended",
        "call": 1,
        "leg": "twilio",
    }


def test_a_line_for_people_begins_with_time_level_call_and_leg() -> None:
    line = format_text(record(leg="twilio", call=1, reason="caller hung up", ms=5, bad="a\x1bb"))
    assert line == (
        "2027-01-15T08:00:00.123Z  INFO     call 1    twilio    "
        'call ended  reason="caller hung up"  ms=5  bad=a\ufffdb'
    )
    assert format_text(record(text="listening on x", port=5)).endswith("  listening on x")


def test_a_record_of_another_logger_has_its_message() -> None:
    other = logging.LogRecord("app", logging.ERROR, "f", 1, "bad %s", ("luck",), None)
    assert "app: bad luck" in format_text(other)
    assert json.loads(format_json(other)) | {"time": 0} == {
        "time": 0,
        "level": "error",
        "event": "log",
        "logger": "app",
        "message": "bad luck",
    }


def test_all_lines_are_written_before_close_returns(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, output_to(file.fileno()) as output:
        for number in range(1000):
            output.emit(event(number))
    assert numbers((tmp_path / "log").read_text("utf-8")) == list(range(1000))


def test_a_message_and_a_traceback_are_made_at_once(tmp_path: Path) -> None:
    changing = ["before"]
    with (tmp_path / "log").open("w") as file, output_to(file.fileno()) as output:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            info = sys.exc_info()
        output.emit(logging.LogRecord("app", logging.ERROR, "f", 1, "%s", (changing,), info))
        changing[0] = "after"
    text = (tmp_path / "log").read_text("utf-8")
    assert "before" in text
    assert "after" not in text
    assert "ZeroDivisionError" in text


def test_a_pipe_that_nobody_reads_drops_lines_and_makes_nobody_wait() -> None:
    with pipe() as (reader, writer):
        output = LogOutput(writer, format_json)
        for number in range(3 * MAX_QUEUED_RECORDS):
            output.emit(event(number))
        assert output.dropped >= MAX_QUEUED_RECORDS
        before = monotonic()
        output.close()
        assert monotonic() - before < HANG_S  # it does not wait for the reader
        os.close(reader)


def test_dropped_lines_are_counted_in_a_line_once_the_pipe_is_read() -> None:
    with pipe() as (reader, writer):
        output = LogOutput(writer, format_json)
        for number in range(2 * MAX_QUEUED_RECORDS):
            output.emit(event(number))
        text = ""
        while '"log.dropped"' not in text:
            text += os.read(reader, 1 << 16).decode()
        output.close()
        dropped = next(json.loads(each) for each in text.splitlines() if "log.dropped" in each)
        assert 0 < dropped["lines"] <= output.dropped
        assert dropped["level"] == "warning"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk to try")
def test_a_full_disk_drops_lines() -> None:
    with Path("/dev/full").open("w") as disk, output_to(disk.fileno()) as output:
        output.emit(event(1))
        wait_until(lambda: output.dropped == 1)
        output.emit(event(2))
        wait_until(lambda: output.dropped == 2)
        assert not output.is_reader_gone


def test_a_reader_that_goes_is_noticed_without_a_line() -> None:
    with pipe() as (reader, writer), output_to(writer) as output:
        os.close(reader)
        wait_until(lambda: output.is_reader_gone)


def test_a_line_to_a_reader_that_is_gone_is_dropped() -> None:
    with pipe() as (reader, writer), output_to(writer) as output:
        os.close(reader)
        output.emit(event(1))
        wait_until(lambda: output.dropped == 1)
        assert output.is_reader_gone


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    with pipe() as (reader, writer), output_to(writer) as output:
        os.set_blocking(writer, False)
        for number in range(2000):
            output.emit(event(number))
        text = ""
        while len(numbers(text.rpartition("\n")[0])) < 2000:
            text += os.read(reader, 1 << 16).decode()
    assert numbers(text) == list(range(2000))


def test_a_record_that_cannot_be_formatted_is_named(tmp_path: Path) -> None:
    def fail(record: logging.LogRecord) -> str:
        if record.msg == "call.ended":
            raise ZeroDivisionError
        return format_json(record)

    with (tmp_path / "log").open("w") as file:
        output = LogOutput(file.fileno(), fail)
        output.emit(event(1))
        output.close()
    line = json.loads((tmp_path / "log").read_text("utf-8"))
    assert (line["event"], line["error"]) == ("log.failed", "ZeroDivisionError")


def test_an_application_waits_for_no_lock_while_the_thread_writes() -> None:
    with pipe() as (reader, writer):
        is_formatting, may_go_on = Event(), Event()

        def format_slowly(record: logging.LogRecord) -> str:
            is_formatting.set()
            may_go_on.wait(HANG_S)
            return format_json(record)

        output = LogOutput(writer, format_slowly)
        output.emit(event(1))
        assert is_formatting.wait(HANG_S)
        output.emit(event(2))  # would hang otherwise
        may_go_on.set()
        output.close()
        assert numbers(os.read(reader, 1 << 16).decode()) == [1, 2]


def test_write_logs_shows_events_from_a_level_on(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        output = write_logs(file.fileno(), format_text, logging.INFO)
        logger = logging.getLogger("twilio_realtime")
        try:
            logger.debug("hidden")
            logger.info("shown")
            logging.getLogger("app").warning("shown too")
        finally:
            output.close()
            logger.setLevel(logging.NOTSET)
    lines = (tmp_path / "log").read_text("utf-8").splitlines()
    assert [line.rpartition("  ")[2] for line in lines] == [
        "twilio realtime: shown",
        "app: shown too",
    ]


# What others print.


def test_what_is_printed_is_written_in_whole_lines() -> None:
    with pipe() as (reader, writer):
        with output_to(writer) as output, print_to("stdout", output):
            print("a", "b")  # noqa: T201
            output.emit(event(1))
            print("c", end="")  # noqa: T201
            assert not sys.stdout.isatty()
            assert sys.stdout.fileno() == writer
        assert sys.stdout.fileno() != writer
        os.close(writer)
        first, second, third = Path(f"/dev/fd/{reader}").read_text().splitlines()
    assert (first, third) == ("a b", "c")
    assert json.loads(second)["number"] == 1


def test_nobody_waits_who_prints_to_a_pipe_that_is_full() -> None:
    with pipe() as (_, writer), output_to(writer) as output, print_to("stderr", output):
        for _ in range(MAX_QUEUED_RECORDS + 1_000):
            print(1_000 * "-", file=sys.stderr)  # noqa: T201
        assert output.dropped > 0
