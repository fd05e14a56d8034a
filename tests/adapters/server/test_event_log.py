"""The log of a service: events with fields, and like ones counted."""

import logging

import pytest
from attrs import define

from twilio_realtime.server.event_log import (
    MAX_LIKE_LINES,
    MAX_LINES,
    WINDOW_NS,
    EventLog,
    hide_path,
)


@define
class Clock:
    now: int = 0

    def __call__(self) -> int:
        return self.now


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["event"] for record in caplog.records]


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "twilio_realtime")


def test_an_event_is_a_record_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    EventLog().write(logging.INFO, "call.started", {"call": 3, "leg": None})
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("twilio_realtime", logging.INFO)
    assert record.getMessage() == "call.started call=3"
    assert vars(record)["call"] == 3
    assert vars(record)["event"] == "call.started"
    assert "leg" not in vars(record)


def test_like_events_are_counted_until_the_window_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    log = EventLog(clock)
    for number in range(1000):
        log.write(logging.WARNING, "fault", {"call": 1, "number": number}, like="junk")
    assert len(caplog.records) == MAX_LIKE_LINES
    clock.now = WINDOW_NS
    log.write(logging.INFO, "other")
    assert messages(caplog) == ["fault"] * (MAX_LIKE_LINES + 1) + ["other"]
    counted = vars(caplog.records[MAX_LIKE_LINES])
    assert counted["repeated"] == 1000 - MAX_LIKE_LINES
    assert counted["number"] == 999


def test_events_of_other_calls_are_not_alike(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(Clock())
    for number in range(20):
        log.write(logging.WARNING, "fault", {"call": number}, like="junk")
    assert len(caplog.records) == 20


def test_events_of_one_kind_and_call_are_limited_alike_or_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = EventLog(Clock())
    for number in range(10_000):
        log.write(logging.INFO, "key.pressed", {"call": 1}, like=number)
    assert len(caplog.records) == MAX_LINES
    log.flush()
    assert sum(vars(each).get("repeated", 1) for each in caplog.records) == 10_000


def test_the_end_of_a_call_writes_its_counts_alone(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(Clock())
    for call in (1, 2):
        for _ in range(10):
            log.write(logging.WARNING, "fault", {"call": call}, like="junk")
    caplog.clear()
    log.flush(call=2)
    assert [(vars(each)["call"], vars(each)["repeated"]) for each in caplog.records] == [(2, 5)]


def test_kinds_of_lines_that_are_counted_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(Clock())
    for number in range(50_000):
        log.write(logging.WARNING, "request.refused", {"call": number}, like=number)
    assert len(caplog.records) < 1200


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/incoming-call", "/incoming-call"),
        ("/media-stream/abc", "/media-stream/…"),
        ("/p/media-stream/abc", "/p/media-stream/…"),
        ("/incoming-call?token=secret", "/incoming-call?…"),
        (
            "https://calls.example:8443/a/incoming-call",
            "https://calls.example:8443/a/incoming-call",
        ),
        ("https://user:secret@calls.example/", "https://calls.example/"),
        ("https://[::1]:5050/x", "https://[::1]:5050/x"),
        ("https://ec2-203-0-113-25.example/x", "https://ec2-203-0-113-25.example/x"),
        ("/f0a1b2c3d4e5f60718/x", "/…/x"),
        ("/" + 40 * "x", "/…"),
        ("/call/+15005550006", "/call/[hidden]"),
        ("/a\x1b[2J", "/a [2J"),
        ("//incoming-call?token=secret", "//incoming-call?…"),
        ("//media-stream/abc", "//media-stream/…"),
        ("//[bad", "//[bad"),
        ("https://[bad", "?"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert hide_path(url) == shown
