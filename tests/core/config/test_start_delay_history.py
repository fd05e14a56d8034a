from typing import Any

import pytest

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.config.start_delay_history import StartDelayHistory


def test_histories_are_merged_with_the_newest_last() -> None:
    history = StartDelayHistory(tuple(range(60)))
    joined = history.merged_with(StartDelayHistory(tuple(range(60, 70))))
    assert joined.start_delays_ns == tuple(range(6, 70))
    assert StartDelayHistory().merged_with(StartDelayHistory()) == StartDelayHistory()


@pytest.mark.parametrize(
    ("delays", "message"),
    [
        ([1], r"start_delays_ns must be a tuple of durations in whole nanoseconds .*, not list$"),
        (
            (1, True),
            r"start_delays_ns\[1\] must be whole nanoseconds \(int\), .*, not True$",
        ),
        ((-1,), r"start_delays_ns\[0\] must be whole nanoseconds \(int\), at least 0, not -1$"),
        ((0, 0.3), r"start_delays_ns\[1\] must be whole nanoseconds .*, not 0\.3$"),
        ((None,), r"start_delays_ns\[0\] must be whole nanoseconds .*, not None$"),
    ],
)
def test_delays_are_durations_in_ns(delays: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^StartDelayHistory\\.{message}"):
        StartDelayHistory(delays)
