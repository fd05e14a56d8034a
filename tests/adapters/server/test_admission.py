"""Which new calls are taken."""

import pytest
from attrs import define

from twilio_realtime.errors import UsageError
from twilio_realtime.server.admission import (
    LAG_WINDOW_S,
    RESERVATION_S,
    Admission,
    CallLimits,
    Capacity,
    measure_capacity,
)


@define
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class Call:
    pass


def admission(clock: Clock, **limits: int) -> Admission:
    return Admission(CallLimits(**limits), clock=clock)


def test_calls_are_taken_up_to_the_limit_and_again_after_an_end() -> None:
    made = admission(Clock(), max_calls=2)
    calls = [Call(), Call(), Call()]
    assert [made.begin(each) is None for each in calls] == [True, True, False]
    assert made.calls == 2
    made.end(calls[0])
    assert made.begin(calls[2]) is None


def test_a_call_that_is_forgotten_is_over() -> None:
    made = admission(Clock(), max_calls=1)
    call = Call()
    assert made.begin(call) is None
    del call
    assert made.calls == 0


def test_an_answered_webhook_keeps_a_place_for_its_stream() -> None:
    clock = Clock()
    made = admission(clock, max_calls=1)
    assert made.reserve() is None
    assert made.reserve() is not None
    first, second = Call(), Call()
    assert made.begin(first) is None  # the stream
    assert made.begin(second) is not None


def test_a_place_is_given_up_after_a_while() -> None:
    clock = Clock()
    made = admission(clock, max_calls=1)
    assert made.reserve() is None
    clock.now += RESERVATION_S
    assert made.reserve() is None
    clock.now += RESERVATION_S
    call = Call()
    assert made.begin(call) is None


def test_a_draining_service_takes_only_what_it_has_promised() -> None:
    made = admission(Clock())
    assert made.reserve() is None
    made.is_draining = True
    assert made.find_refusal() == "the service is about to end"
    first, second = Call(), Call()
    assert made.begin(first) is None
    assert made.begin(second) is not None


def test_calls_of_a_minute_are_limited() -> None:
    clock = Clock()
    made = admission(clock, max_calls_per_minute=2)
    for _ in range(2):
        assert made.begin(Call()) is None
    assert "2 calls began within a minute" in (made.find_refusal() or "")
    clock.now += 60
    assert made.find_refusal() is None
    assert made.begin(Call()) is None


def test_a_loop_that_is_late_most_of_the_time_takes_no_call() -> None:
    clock = Clock()
    made = admission(clock, max_loop_lag_ms=100)
    for _ in range(20):
        clock.now += 0.05
        made.measure_lag(0.3)
    assert "late by 300 ms" in (made.find_refusal() or "")
    clock.now += LAG_WINDOW_S
    assert made.find_refusal() is None


def test_a_loop_that_is_late_for_a_moment_takes_calls() -> None:
    clock = Clock()
    made = admission(clock)
    for number in range(60):
        clock.now += 0.05
        made.measure_lag(1.0 if number < 20 else 0.001)
    assert made.find_refusal() is None


@pytest.mark.parametrize("name", ["max_calls", "max_calls_per_minute", "max_loop_lag_ms"])
def test_a_limit_below_one_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        CallLimits(**{name: 0})


def test_the_capacity_leaves_descriptors_for_the_rest() -> None:
    two, three = measure_capacity(2), measure_capacity(3)
    assert two.max_calls > three.max_calls >= 1
    assert two.spare_connections >= 1


@pytest.mark.parametrize(
    ("limit", "calls"), [(64, range(10, 25)), (1024, range(400, 500)), (8, range(1, 2))]
)
def test_the_capacity_follows_the_limit_of_descriptors(
    limit: int, calls: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_limit(_: int) -> tuple[int, int]:
        return limit, limit

    def list_open(_: object) -> list[str]:
        return ["fd"] * 12

    monkeypatch.setattr(pytest.importorskip("resource"), "getrlimit", get_limit)
    monkeypatch.setattr("os.listdir", list_open)
    assert measure_capacity().max_calls in calls


@pytest.mark.parametrize("max_descriptors", [32, 48, 64, 256, 1024, 4096])
@pytest.mark.parametrize("descriptors_per_call", [2, 3])
def test_other_connections_leave_each_call_its_descriptors(
    max_descriptors: int, descriptors_per_call: int
) -> None:
    used = 12
    capacity = Capacity.of(max_descriptors, used, descriptors_per_call)
    connections = capacity.make_connections(capacity.max_calls)
    accepted = connections.max_connections + connections.spare_connections
    besides = capacity.max_calls * (descriptors_per_call - 1)
    assert used + accepted + besides + capacity.spare_connections <= max_descriptors
    assert connections.max_connections >= capacity.max_calls
