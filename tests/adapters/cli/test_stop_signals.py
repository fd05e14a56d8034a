"""Signals that ask a program to stop, once and again."""

import signal
import time

import pytest

from twilio_realtime.cli.stop_signals import StopSignals
from twilio_realtime.stop_requests import StopRequest, StopRequests


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock; its one entry is the time in seconds."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    return now_s


def test_a_signal_that_arrives_twice_is_one_request(clock: list[float]) -> None:
    requests = StopRequests()
    received: list[StopRequest | None] = []
    for wait_s in (0.0, 0.001, 0.4, 0.2, 0.0):
        clock[0] += wait_s
        received.append(requests.receive())
    assert received == [StopRequest.FIRST, None, None, StopRequest.SECOND, StopRequest.SECOND]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stops_at_a_signal_and_at_once_at_another(
    number: signal.Signals, clock: list[float]
) -> None:
    ended: list[int] = []
    earlier = signal.signal(number, lambda number, frame: ended.append(number))
    try:
        with StopSignals() as stop:
            assert not stop.is_stopping()
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert (stop.is_stopping(), stop.status, ended) == (True, 128 + number, [])
            clock[0] += 1
            signal.raise_signal(number)
            assert ended == [number]
    finally:
        signal.signal(number, earlier)
