from twilio_realtime_core.config.start_delay_history import StartDelayHistory


def test_histories_are_merged_with_the_newest_last() -> None:
    history = StartDelayHistory(tuple(range(60)))
    joined = history.merged_with(StartDelayHistory(tuple(range(60, 70))))
    assert joined.start_delays_ns == tuple(range(6, 70))
    assert StartDelayHistory().merged_with(StartDelayHistory()) == StartDelayHistory()
