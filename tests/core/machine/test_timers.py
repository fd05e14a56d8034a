from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.machine.timers import Timer, Timers, TransportTimer


def test_nothing_is_due_where_nothing_is_set() -> None:
    timers = Timers(Timer)
    assert timers.deadline is None
    assert timers.expire(10**18) == []


def test_the_deadline_is_that_of_the_earliest_timer_set() -> None:
    timers = Timers(Timer)
    timers.set(Timer.SESSION, 300)
    timers.set(Timer.CLOSING, 100)
    timers.set(Timer.START, 200)
    assert timers.deadline == 100


def test_a_timer_expires_at_its_deadline() -> None:
    timers = Timers(Timer)
    timers.set(Timer.CLOSING, 100)
    assert timers.expire(99) == []
    assert timers.deadline == 100
    assert timers.expire(100) == [Timer.CLOSING]
    assert timers.deadline is None
    assert timers.expire(100) == []


def test_setting_a_timer_again_moves_it() -> None:
    timers = Timers(Timer)
    timers.set(Timer.ROUND_TRIP, 100)
    timers.set(Timer.ROUND_TRIP, 300)
    assert timers.expire(200) == []
    timers.set(Timer.ROUND_TRIP, 250)
    assert timers.expire(260) == [Timer.ROUND_TRIP]


def test_timers_expire_by_deadline_and_then_in_enum_order() -> None:
    timers = Timers(Timer)
    timers.set(Timer.CLOSING, 200)
    timers.set(Timer.CONFIGURATION, 200)
    timers.set(Timer.SESSION, 100)
    timers.set(Timer.START, 300)
    assert timers.expire(200) == [Timer.SESSION, Timer.CONFIGURATION, Timer.CLOSING]
    assert timers.deadline == 300


def test_a_stopped_timer_does_not_expire() -> None:
    timers = Timers(Timer)
    timers.set(Timer.SESSION, 100)
    timers.set(Timer.CLOSING, 200)
    timers.stop(Timer.SESSION)
    timers.stop(Timer.START)
    assert timers.deadline == 200
    assert timers.expire(150) == []


def test_stop_all_stops_every_timer() -> None:
    timers = Timers(Timer)
    timers.set(Timer.SESSION, 100)
    timers.set(Timer.CLOSING, 200)
    timers.stop_all()
    assert timers.deadline is None
    assert timers.expire(1000) == []


def test_a_timer_that_is_due_can_be_stopped_by_the_one_before() -> None:
    timers = Timers(Timer)
    for timer in (Timer.CLOSING, Timer.SESSION, Timer.START):
        timers.set(timer, 100)
    assert timers.expire_next(99) is None
    assert timers.expire_next(100) is Timer.START
    timers.stop(Timer.SESSION)
    assert timers.expire_next(100) is Timer.CLOSING
    assert timers.expire_next(100) is None


def test_timers_are_of_any_one_enum() -> None:
    timers = Timers(TransportTimer)
    for timer in reversed(TransportTimer):
        timers.set(timer, 100)
    assert timers.is_set(TransportTimer.PONG)
    assert timers.expire(100) == list(TransportTimer)
    assert not timers.is_set(TransportTimer.PONG)


def test_a_call_and_a_link_have_distinct_timers() -> None:
    assert not {each.value for each in Timer} & {each.value for each in TransportTimer}


settings_of_timers = st.tuples(st.sampled_from(Timer), st.integers(0, 9))


@given(
    st.lists(
        st.one_of(
            settings_of_timers,
            st.sampled_from(Timer),
            st.integers(0, 9),
        ),
        max_size=30,
    )
)
def test_timers_do_what_a_plain_table_of_deadlines_does(
    steps: list[tuple[Timer, int] | Timer | int],
) -> None:
    timers = Timers(Timer)
    table: dict[Timer, int] = {}
    for step in steps:
        match step:
            case (timer, deadline):
                timers.set(timer, deadline)
                table[timer] = deadline
            case Timer():
                timers.stop(step)
                table.pop(step, None)
            case now:
                due = [timer for timer in Timer if table.get(timer, now + 1) <= now]
                assert timers.expire(now) == sorted(due, key=lambda timer: table[timer])
                for timer in due:
                    del table[timer]
                assert timers.deadline is None or timers.deadline > now
        assert timers.deadline == min(table.values(), default=None)
